//! Calendar, time zones and Java's date-time patterns. Days and times are counted as Java counts
//! them (proleptic Gregorian calendar); local times in a gap move forward, in an overlap the earlier
//! offset counts, as `java.time.ZonedDateTime` decides.

use std::fmt::Write as _;

use chrono::{NaiveDate, NaiveDateTime, Offset, TimeZone};

pub const NANOS_PER_SECOND: i128 = 1_000_000_000;
pub const NANOS_PER_MILLI: i128 = 1_000_000;
pub const NANOS_PER_DAY: i128 = 86_400 * NANOS_PER_SECOND;

/// A session time zone: a named region or a fixed offset.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Zone {
    Region(chrono_tz::Tz),
    /// Seconds east of UTC.
    Fixed(i32),
}

impl Zone {
    pub const UTC: Zone = Zone::Fixed(0);

    /// Java's `ZoneId.of`: a region, `UTC`, `GMT+08:00`, `+8`, `Z` …
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if matches!(text, "Z" | "UTC" | "GMT" | "UT") {
            return Some(Self::UTC);
        }
        let rest = ["UTC", "GMT", "UT"].iter().find_map(|p| text.strip_prefix(p)).unwrap_or(text);
        if let Some(seconds) = parse_offset(rest) {
            return Some(Self::Fixed(seconds));
        }
        text.parse::<chrono_tz::Tz>().ok().map(Self::Region)
    }

    /// `TimeZone.getTimeZone` of Java: what is unknown is GMT.
    pub fn parse_or_gmt(text: &str) -> Self {
        if let Some(rest) = text.strip_prefix("GMT")
            && let Some(seconds) = parse_offset(rest)
        {
            return Self::Fixed(seconds);
        }
        // TimeZone knows offsets only behind GMT.
        if text.starts_with(['+', '-']) {
            return Self::UTC;
        }
        match text {
            "PST" => Self::Region(chrono_tz::America::Los_Angeles),
            "CST" => Self::Region(chrono_tz::America::Chicago),
            "JST" => Self::Region(chrono_tz::Asia::Tokyo),
            "CTT" => Self::Region(chrono_tz::Asia::Shanghai),
            "IST" => Self::Region(chrono_tz::Asia::Kolkata),
            _ => Self::parse(text).unwrap_or(Self::UTC),
        }
    }

    pub fn name(&self) -> String {
        match self {
            Self::Region(tz) => tz.name().to_owned(),
            Self::Fixed(0) => "UTC".to_owned(),
            Self::Fixed(seconds) => offset_text(*seconds),
        }
    }

    /// Seconds east of UTC at an instant.
    pub fn offset_at(&self, epoch_seconds: i64) -> i64 {
        match self {
            Self::Fixed(seconds) => i64::from(*seconds),
            Self::Region(tz) => match naive(epoch_seconds) {
                Some(at) => i64::from(tz.offset_from_utc_datetime(&at).fix().local_minus_utc()),
                None => 0,
            },
        }
    }

    /// The local wall clock at an instant, both in nanoseconds.
    pub fn to_local(&self, instant: i128) -> i128 {
        if let Self::Fixed(0) = self {
            return instant;
        }
        let seconds = clamp_seconds(instant.div_euclid(NANOS_PER_SECOND));
        instant + i128::from(self.offset_at(seconds)) * NANOS_PER_SECOND
    }

    /// The instant of a local wall clock, both in nanoseconds.
    pub fn to_instant(&self, local: i128) -> i128 {
        match self {
            Self::Fixed(seconds) => local - i128::from(*seconds) * NANOS_PER_SECOND,
            Self::Region(tz) => {
                let seconds = clamp_seconds(local.div_euclid(NANOS_PER_SECOND));
                let Some(at) = naive(seconds) else { return local };
                let offset = match tz.offset_from_local_datetime(&at) {
                    chrono::LocalResult::Single(offset) | chrono::LocalResult::Ambiguous(offset, _) => {
                        offset.fix().local_minus_utc()
                    }
                    chrono::LocalResult::None => {
                        // A gap: the offset before it counts, which moves the time forward.
                        self.offset_at(seconds - 86_400 / 4 - self.offset_at(seconds)) as i32
                    }
                };
                local - i128::from(offset) * NANOS_PER_SECOND
            }
        }
    }
}

fn clamp_seconds(seconds: i128) -> i64 {
    // chrono's calendar ends at the years ±262143.
    seconds.clamp(-8_200_000_000_000, 8_200_000_000_000) as i64
}

fn naive(epoch_seconds: i64) -> Option<NaiveDateTime> {
    NaiveDate::from_ymd_opt(1970, 1, 1)?
        .and_hms_opt(0, 0, 0)?
        .checked_add_signed(chrono::TimeDelta::try_seconds(epoch_seconds)?)
}

/// `+8`, `+08`, `+0800`, `+08:00`, `+08:00:30` in seconds.
fn parse_offset(text: &str) -> Option<i32> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let rest = &text[1..];
    let digits = |s: &str| -> Option<i32> {
        if s.is_empty() || s.len() > 2 || !s.bytes().all(|b| b.is_ascii_digit()) { None } else { s.parse().ok() }
    };
    let (hours, minutes, seconds) = if rest.contains(':') {
        let mut parts = rest.split(':');
        let h = digits(parts.next()?)?;
        let m = digits(parts.next()?)?;
        let s = match parts.next() {
            Some(s) => digits(s)?,
            None => 0,
        };
        (h, m, s)
    } else if rest.len() <= 2 {
        (digits(rest)?, 0, 0)
    } else if rest.len() == 4 && rest.is_ascii() {
        (digits(&rest[..2])?, digits(&rest[2..])?, 0)
    } else {
        return None;
    };
    (hours <= 18 && minutes < 60 && seconds < 60).then_some(sign * (hours * 3600 + minutes * 60 + seconds))
}

fn offset_text(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let s = seconds.abs();
    let mut text = format!("{sign}{:02}:{:02}", s / 3600, s / 60 % 60);
    if s % 60 != 0 {
        let _ = write!(text, ":{:02}", s % 60);
    }
    text
}

// ---- calendar ------------------------------------------------------------------------------

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
pub fn days_of(year: i64, month: u32, day: u32) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = i64::from((month + 9) % 12);
    let doy = (153 * mp + 2) / 5 + i64::from(day) - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

/// Year, month and day of days since 1970-01-01.
pub fn date_of(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
    let month = if mp < 10 { mp + 3 } else { mp - 9 } as u32;
    let year = yoe + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

pub fn is_leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Adds months; the day is cut to the month's length.
pub fn add_months(days: i64, months: i64) -> i64 {
    let (year, month, day) = date_of(days);
    let total = year * 12 + i64::from(month) - 1 + months;
    let (y, m) = (total.div_euclid(12), total.rem_euclid(12) as u32 + 1);
    days_of(y, m, day.min(days_in_month(y, m)))
}

/// ISO: Monday 1 to Sunday 7.
pub fn iso_weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7) + 1
}

pub fn day_of_year(days: i64) -> i64 {
    let (year, _, _) = date_of(days);
    days - days_of(year, 1, 1) + 1
}

/// ISO year and week.
pub fn iso_week(days: i64) -> (i64, i64) {
    // The week's Thursday decides the year.
    let thursday = days - iso_weekday(days) + 4;
    let (year, _, _) = date_of(thursday);
    (year, (thursday - days_of(year, 1, 1)) / 7 + 1)
}

/// Year and week of Java's calendar for the US: weeks begin on Sunday, the first holds 1 January.
fn sunday_week(c: &Civil) -> (i64, i64) {
    let days = c.days();
    // The Sunday on or before a day.
    let sunday = |days: i64| days - iso_weekday(days) % 7;
    if sunday(days) == sunday(days_of(c.year + 1, 1, 1)) {
        return (c.year + 1, 1);
    }
    (c.year, (sunday(days) - sunday(days_of(c.year, 1, 1))) / 7 + 1)
}

/// A point on a clock, with its date, that a pattern can print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    pub month: u32,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
    pub nano: u32,
}

impl Civil {
    pub fn from_nanos(local: i128) -> Self {
        let days = local.div_euclid(NANOS_PER_DAY) as i64;
        let of_day = local.rem_euclid(NANOS_PER_DAY);
        let (year, month, day) = date_of(days);
        let seconds = (of_day / NANOS_PER_SECOND) as u32;
        Self {
            year,
            month,
            day,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            nano: (of_day % NANOS_PER_SECOND) as u32,
        }
    }

    pub fn nanos(&self) -> i128 {
        let seconds = i128::from(self.hour * 3600 + self.minute * 60 + self.second);
        i128::from(self.days()) * NANOS_PER_DAY + seconds * NANOS_PER_SECOND + i128::from(self.nano)
    }

    pub fn days(&self) -> i64 {
        days_of(self.year, self.month, self.day)
    }
}

/// `2020-01-31`.
pub fn write_date(out: &mut String, days: i64) {
    let (year, month, day) = date_of(days);
    let _ = write!(out, "{year:04}-{month:02}-{day:02}");
}

/// `13:05:09` and, for a positive precision, that many fractional digits, zeros cut.
pub fn write_time_millis(out: &mut String, millis: i64, precision: u8) {
    let seconds = millis.div_euclid(1000);
    let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if precision > 0 {
        let fraction = format!("{:03}", millis.rem_euclid(1000));
        let digits: String = fraction.chars().take(usize::from(precision)).collect();
        let digits = digits.trim_end_matches('0');
        if !digits.is_empty() {
            out.push('.');
            out.push_str(digits);
        }
    }
}

/// `2020-01-31 13:05:09.123`, exactly `precision` fractional digits (cut, not rounded).
pub fn write_timestamp(out: &mut String, local: i128, precision: u8) {
    let c = Civil::from_nanos(local);
    let _ = write!(out, "{:04}-{:02}-{:02} {:02}:{:02}:{:02}", c.year, c.month, c.day, c.hour, c.minute, c.second);
    if precision > 0 {
        let digits = format!("{:09}", c.nano);
        out.push('.');
        out.push_str(&digits[..usize::from(precision.min(9))]);
    }
}

/// Cuts a count of nanoseconds to `precision` fractional digits of a second, towards the past.
pub fn cut_nanos(nanos: i128, precision: u8) -> i128 {
    let unit = 10i128.pow(9 - u32::from(precision.min(9)));
    nanos.div_euclid(unit) * unit
}

// ---- parsing the fixed forms ---------------------------------------------------------------

fn small_int(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// A date as CAST reads it: `2020`, `2020-5`, `2020-05-01`; what follows a blank is ignored.
pub fn parse_date(text: &str) -> Option<i64> {
    let text = text.trim();
    let text = match text.find(' ') {
        Some(at) if at > 0 => &text[..at],
        _ => text,
    };
    let mut parts = text.splitn(3, '-');
    let year = small_int(parts.next()?)?;
    let month = match parts.next() {
        Some(m) => small_int(m)?,
        None => 1,
    };
    let day = match parts.next() {
        Some(d) => small_int(d)?,
        None => 1,
    };
    if !(0..=9999).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    let month = month as u32;
    if day < 1 || day > i64::from(days_in_month(year, month)) {
        return None;
    }
    Some(days_of(year, month, day as u32))
}

/// A time as CAST reads it: `13`, `13:05`, `13:05:09.123`; milliseconds of the day.
pub fn parse_time(text: &str) -> Option<i64> {
    let text = text.trim();
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (text, None),
    };
    let mut parts = clock.split(':');
    let hour = small_int(parts.next()?)?;
    let minute = match parts.next() {
        Some(m) => small_int(m)?,
        None => 0,
    };
    let second = match parts.next() {
        Some(s) => small_int(s)?,
        None => 0,
    };
    if parts.next().is_some() || !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0..60).contains(&second) {
        return None;
    }
    let millis = match fraction {
        Some(f) => {
            let f = f.trim();
            if f.is_empty() || f.len() > 9 || !f.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            format!("{f:0<3}")[..3].parse::<i64>().ok()?
        }
        None => 0,
    };
    Some(((hour * 60 + minute) * 60 + second) * 1000 + millis)
}

/// A timestamp as CAST and TO_TIMESTAMP read it: `yyyy-M-d[ H:m:s[.fraction]]`, nanoseconds of the
/// local clock. A day up to 31 is cut to the month's length (Java's SMART resolving).
pub fn parse_timestamp(text: &str) -> Option<i128> {
    let bytes = text.as_bytes();
    let mut at = 0usize;
    let take = |at: &mut usize, min: usize, max: usize| -> Option<i64> {
        let start = *at;
        while *at < bytes.len() && *at - start < max && bytes[*at].is_ascii_digit() {
            *at += 1;
        }
        if *at - start < min { None } else { std::str::from_utf8(&bytes[start..*at]).ok()?.parse().ok() }
    };
    let expect = |at: &mut usize, b: u8| -> Option<()> {
        if bytes.get(*at) == Some(&b) {
            *at += 1;
            Some(())
        } else {
            None
        }
    };
    let year = take(&mut at, 4, 4)?;
    expect(&mut at, b'-')?;
    let month = take(&mut at, 1, 2)?;
    expect(&mut at, b'-')?;
    let day = take(&mut at, 1, 2)?;
    let (mut hour, mut minute, mut second, mut nano) = (0, 0, 0, 0);
    if at < bytes.len() {
        expect(&mut at, b' ')?;
        hour = take(&mut at, 1, 2)?;
        expect(&mut at, b':')?;
        minute = take(&mut at, 1, 2)?;
        expect(&mut at, b':')?;
        second = take(&mut at, 1, 2)?;
        if at < bytes.len() {
            expect(&mut at, b'.')?;
            let start = at;
            take(&mut at, 0, 9)?;
            let digits = &text[start..at];
            nano = if digits.is_empty() { 0 } else { format!("{digits:0<9}").parse().ok()? };
        }
    }
    if at != bytes.len() {
        return None;
    }
    civil(year, month, day, hour, minute, second, nano)
}

fn civil(year: i64, month: i64, day: i64, hour: i64, minute: i64, second: i64, nano: i64) -> Option<i128> {
    if !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || !(0..24).contains(&hour)
        || !(0..60).contains(&minute)
        || !(0..60).contains(&second)
    {
        return None;
    }
    let month = month as u32;
    let day = (day as u32).min(days_in_month(year, month));
    let c =
        Civil { year, month, day, hour: hour as u32, minute: minute as u32, second: second as u32, nano: nano as u32 };
    Some(c.nanos())
}

// ---- Java patterns -------------------------------------------------------------------------

#[derive(Debug, Clone, PartialEq)]
enum Item {
    Text(String),
    Field(char, usize),
    OptionalStart,
    OptionalEnd,
}

/// A pattern of `java.time.format.DateTimeFormatter`, compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    items: Vec<Item>,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl Pattern {
    /// `None` for letters Java does not know, or that make no sense without more (such as `z`).
    pub fn compile(text: &str) -> Option<Self> {
        let mut items: Vec<Item> = Vec::new();
        let push = |items: &mut Vec<Item>, c: char| match items.last_mut() {
            Some(Item::Text(t)) => t.push(c),
            _ => items.push(Item::Text(c.to_string())),
        };
        let mut chars = text.chars().peekable();
        let mut open = 0usize;
        while let Some(c) = chars.next() {
            match c {
                '\'' => {
                    if chars.peek() == Some(&'\'') {
                        chars.next();
                        push(&mut items, '\'');
                        continue;
                    }
                    loop {
                        match chars.next() {
                            Some('\'') if chars.peek() == Some(&'\'') => {
                                chars.next();
                                push(&mut items, '\'');
                            }
                            Some('\'') => break,
                            Some(other) => push(&mut items, other),
                            None => return None,
                        }
                    }
                }
                '[' => {
                    open += 1;
                    items.push(Item::OptionalStart);
                }
                ']' => {
                    open = open.checked_sub(1)?;
                    items.push(Item::OptionalEnd);
                }
                '{' | '}' | '#' => return None,
                'a'..='z' | 'A'..='Z' => {
                    let mut count = 1;
                    while chars.peek() == Some(&c) {
                        chars.next();
                        count += 1;
                    }
                    if !"yuMLdDHhkKmsSnaEeQqNAwYXxZ".contains(c) || count > 19 {
                        return None;
                    }
                    items.push(Item::Field(c, count));
                }
                other => push(&mut items, other),
            }
        }
        Some(Self { items })
    }

    /// The text of a local clock.
    pub fn format(&self, c: &Civil, out: &mut String) {
        for item in &self.items {
            match item {
                Item::Text(text) => out.push_str(text),
                Item::OptionalStart | Item::OptionalEnd => {}
                Item::Field(letter, count) => write_field(out, c, *letter, *count),
            }
        }
    }

    /// The local clock a text stands for, in nanoseconds. What the pattern does not name is the
    /// first of January 1970, midnight. `None` when the text does not match.
    pub fn parse(&self, text: &str) -> Option<i128> {
        self.parse_zoned(text).map(|(local, _)| local)
    }

    /// [`Pattern::parse`] with the offset from UTC in seconds, when the text holds one.
    pub fn parse_zoned(&self, text: &str) -> Option<(i128, Option<i32>)> {
        let chars: Vec<char> = text.chars().collect();
        let mut fields = Fields::default();
        let end = self.parse_items(0, self.items.len(), &chars, 0, &mut fields)?;
        if end != chars.len() {
            return None;
        }
        Some((fields.resolve()?, fields.offset))
    }

    /// Whether the pattern names an offset from UTC, which a local clock can not print.
    pub fn has_zone(&self) -> bool {
        self.items.iter().any(|i| matches!(i, Item::Field('X' | 'x' | 'Z', _)))
    }

    fn parse_items(&self, from: usize, to: usize, chars: &[char], mut at: usize, fields: &mut Fields) -> Option<usize> {
        let mut i = from;
        while i < to {
            match &self.items[i] {
                Item::Text(text) => {
                    for c in text.chars() {
                        if chars.get(at) != Some(&c) {
                            return None;
                        }
                        at += 1;
                    }
                }
                Item::OptionalEnd => {}
                Item::OptionalStart => {
                    let mut depth = 1;
                    let mut end = i + 1;
                    while end < to && depth > 0 {
                        match self.items[end] {
                            Item::OptionalStart => depth += 1,
                            Item::OptionalEnd => depth -= 1,
                            _ => {}
                        }
                        end += 1;
                    }
                    let mut attempt = fields.clone();
                    if let Some(after) = self.parse_items(i + 1, end, chars, at, &mut attempt) {
                        *fields = attempt;
                        at = after;
                    }
                    i = end;
                    continue;
                }
                Item::Field(letter, count) => {
                    // Digits that following fields of fixed width need stay for them.
                    let mut reserved = 0;
                    if let Some(Item::Field(..)) = self.items.get(i + 1) {
                        let mut j = i + 1;
                        while let Some(Item::Field(next, n)) = self.items.get(j) {
                            if !is_numeric_field(*next, *n) {
                                break;
                            }
                            reserved += *n;
                            j += 1;
                        }
                    }
                    at = parse_field(chars, at, *letter, *count, reserved, fields)?;
                }
            }
            i += 1;
        }
        Some(at)
    }
}

fn is_numeric_field(letter: char, count: usize) -> bool {
    match letter {
        'M' | 'L' | 'Q' | 'q' => count <= 2,
        'a' | 'E' | 'X' | 'x' | 'Z' => false,
        _ => true,
    }
}

fn write_field(out: &mut String, c: &Civil, letter: char, count: usize) {
    let mut number = |value: i64, width: usize| {
        let _ = write!(out, "{value:0width$}");
    };
    match letter {
        'y' | 'u' | 'Y' => {
            let year = match letter {
                'u' => c.year,
                'Y' => sunday_week(c).0,
                _ if c.year <= 0 => 1 - c.year,
                _ => c.year,
            };
            if count == 2 {
                number(year.rem_euclid(100), 2);
            } else {
                number(year, count);
            }
        }
        'M' | 'L' => match count {
            1 | 2 => number(i64::from(c.month), count),
            3 => out.push_str(&MONTHS[(c.month - 1) as usize][..3]),
            4 => out.push_str(MONTHS[(c.month - 1) as usize]),
            _ => out.push_str(&MONTHS[(c.month - 1) as usize][..1]),
        },
        'Q' | 'q' => match count {
            1 | 2 => number(i64::from(c.month.div_ceil(3)), count),
            _ => {
                let _ = write!(out, "Q{}", c.month.div_ceil(3));
            }
        },
        'd' => number(i64::from(c.day), count),
        'D' => number(day_of_year(c.days()), count),
        'H' => number(i64::from(c.hour), count),
        'k' => number(i64::from(if c.hour == 0 { 24 } else { c.hour }), count),
        'K' => number(i64::from(c.hour % 12), count),
        'h' => number(i64::from(if c.hour.is_multiple_of(12) { 12 } else { c.hour % 12 }), count),
        'm' => number(i64::from(c.minute), count),
        's' => number(i64::from(c.second), count),
        'S' => {
            let digits = format!("{:09}", c.nano);
            out.push_str(&digits[..count.min(9)]);
            for _ in 9..count {
                out.push('0');
            }
        }
        'n' => number(i64::from(c.nano), count),
        'N' | 'A' => {
            let nanos = c.nanos().rem_euclid(NANOS_PER_DAY);
            number(if letter == 'N' { nanos } else { nanos / NANOS_PER_MILLI } as i64, count);
        }
        // Weeks of the US calendar begin on Sunday, and the first holds the first of January.
        'w' => number(sunday_week(c).1, count),
        'e' => number(iso_weekday(c.days()) % 7 + 1, count),
        'a' => out.push_str(if c.hour < 12 { "AM" } else { "PM" }),
        'E' => {
            let name = WEEKDAYS[(iso_weekday(c.days()) - 1) as usize];
            out.push_str(if count <= 3 { &name[..3] } else { name });
        }
        _ => {}
    }
}

#[derive(Debug, Clone, Default)]
struct Fields {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: Option<i64>,
    hour12: Option<i64>,
    pm: Option<bool>,
    minute: Option<i64>,
    second: Option<i64>,
    nano: Option<i64>,
    /// Seconds east of UTC.
    offset: Option<i32>,
}

impl Fields {
    fn resolve(&self) -> Option<i128> {
        let hour = match (self.hour, self.hour12, self.pm) {
            (Some(h), _, _) => h,
            (None, Some(h), pm) => h % 12 + if pm == Some(true) { 12 } else { 0 },
            (None, None, _) => 0,
        };
        let year = self.year.unwrap_or(1970);
        let clock = (hour, self.minute.unwrap_or(0), self.second.unwrap_or(0), self.nano.unwrap_or(0));
        if let (Some(doy), None, None) = (self.day_of_year, self.month, self.day) {
            let start = civil(year, 1, 1, clock.0, clock.1, clock.2, clock.3)?;
            return Some(start + i128::from(doy - 1) * NANOS_PER_DAY);
        }
        civil(year, self.month.unwrap_or(1), self.day.unwrap_or(1), clock.0, clock.1, clock.2, clock.3)
    }
}

fn parse_field(
    chars: &[char],
    start: usize,
    letter: char,
    count: usize,
    reserved: usize,
    fields: &mut Fields,
) -> Option<usize> {
    let name_at = |names: &[&str], short: bool| -> Option<(usize, usize)> {
        names.iter().enumerate().find_map(|(i, name)| {
            let name = if short { &name[..3] } else { name };
            let len = name.chars().count();
            let given: String = chars.get(start..start + len)?.iter().collect();
            (given == name).then_some((i, start + len))
        })
    };
    if !is_numeric_field(letter, count) {
        return match letter {
            'M' | 'L' => {
                let (index, end) = name_at(&MONTHS, count == 3)?;
                fields.month = Some(index as i64 + 1);
                Some(end)
            }
            'E' => name_at(&WEEKDAYS, count <= 3).map(|(_, end)| end),
            'X' if chars.get(start) == Some(&'Z') => {
                fields.offset = Some(0);
                Some(start + 1)
            }
            'X' | 'x' | 'Z' => {
                let rest = &chars[start.min(chars.len())..];
                let length = rest.iter().take_while(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | ':')).count();
                let text: String = rest[..length].iter().collect();
                fields.offset = Some(parse_offset(&text)?);
                Some(start + length)
            }
            'a' => {
                let given: String = chars.get(start..start + 2)?.iter().collect();
                fields.pm = Some(match given.as_str() {
                    "AM" => false,
                    "PM" => true,
                    _ => return None,
                });
                Some(start + 2)
            }
            _ => None,
        };
    }
    let available = chars[start.min(chars.len())..].iter().take_while(|c| c.is_ascii_digit()).count();
    let (min, max) = match letter {
        'y' | 'u' | 'Y' if count == 2 => (2, 2),
        'y' | 'u' | 'Y' if count == 4 => (4, 4.max(available.saturating_sub(reserved)).min(9)),
        'S' => (count, count),
        _ if count == 1 => (1, available.saturating_sub(reserved).clamp(1, 9)),
        _ => (count, count),
    };
    let width = available.min(max);
    // Java reads more than four digits of a year only behind a sign.
    let width = if matches!(letter, 'y' | 'u') && count == 4 { width.min(4) } else { width };
    if width < min {
        return None;
    }
    let text: String = chars[start..start + width].iter().collect();
    let value: i64 = text.parse().ok()?;
    match letter {
        'y' | 'u' | 'Y' => fields.year = Some(if count == 2 { 2000 + value } else { value }),
        'M' | 'L' => fields.month = Some(value),
        'd' => fields.day = Some(value),
        'D' => fields.day_of_year = Some(value),
        'H' => fields.hour = Some(value),
        'k' => fields.hour = Some(value % 24),
        'h' | 'K' => {
            if value > 12 {
                return None;
            }
            fields.hour12 = Some(value);
        }
        'm' => fields.minute = Some(value),
        's' => fields.second = Some(value),
        'S' => fields.nano = Some(format!("{text:0<9}").get(..9)?.parse().ok()?),
        'n' => fields.nano = Some(value),
        _ => {}
    }
    Some(start + width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_agree_over_centuries() {
        for days in (-800_000..800_000).step_by(37) {
            let (y, m, d) = date_of(days);
            assert_eq!(days_of(y, m, d), days);
        }
        assert_eq!(date_of(0), (1970, 1, 1));
        assert_eq!(days_of(2020, 2, 29), 18_321);
    }

    #[test]
    fn local_times_in_a_gap_move_forward() {
        let zone = Zone::parse("America/New_York").unwrap();
        let local = parse_timestamp("2021-03-14 02:30:00").unwrap();
        let mut text = String::new();
        write_timestamp(&mut text, zone.to_local(zone.to_instant(local)), 0);
        assert_eq!(text, "2021-03-14 03:30:00");
    }

    #[test]
    fn patterns_print_and_read_back() {
        let c = Civil::from_nanos(parse_timestamp("2020-01-31 13:05:09.123").unwrap());
        for (pattern, text) in [
            ("yyyy-MM-dd HH:mm:ss.SSS", "2020-01-31 13:05:09.123"),
            ("yyyyMMddHHmmss", "20200131130509"),
            ("d/M/yy h:mm a", "31/1/20 1:05 PM"),
            ("yyyy-MM-dd'T'HH:mm:ss", "2020-01-31T13:05:09"),
        ] {
            let compiled = Pattern::compile(pattern).unwrap();
            let mut out = String::new();
            compiled.format(&c, &mut out);
            assert_eq!(out, text, "{pattern}");
            assert!(compiled.parse(&out).is_some(), "{pattern}");
        }
        assert!(Pattern::compile("yyyy-bb").is_none());
    }

    #[test]
    fn iso_weeks_belong_to_the_year_of_their_thursday() {
        assert_eq!(iso_week(days_of(2021, 1, 3)), (2020, 53));
        assert_eq!(iso_week(days_of(2021, 1, 4)), (2021, 1));
        assert_eq!(iso_weekday(days_of(2021, 1, 3)), 7);
    }

    #[test]
    fn zones_are_read_as_java_reads_them() {
        assert_eq!(Zone::parse("GMT-08:00"), Some(Zone::Fixed(-8 * 3600)));
        assert_eq!(Zone::parse("UTC"), Some(Zone::UTC));
        assert!(Zone::parse("Nowhere/Atlantis").is_none());
        assert!(matches!(Zone::parse("Asia/Shanghai"), Some(Zone::Region(_))));
    }
}
