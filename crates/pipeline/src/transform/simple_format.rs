//! `java.text.SimpleDateFormat`: the patterns of DATE_FORMAT, FROM_UNIXTIME, UNIX_TIMESTAMP and TO_TIMESTAMP. Reading is
//! lenient as in Java: the thirteenth month is January of the next year, and what stands behind the pattern is ignored.

use std::fmt::Write as _;

use starweir_model::{Error, Result};
use starweir_sql::Zone;
use starweir_sql::java::{
    Civil, NANOS_PER_MILLI, NANOS_PER_SECOND, add_months, day_of_year, days_of, iso_week, iso_weekday,
};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Text(String),
    Field(char, usize),
}

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SimpleFormat {
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
const LETTERS: &str = "GyYMLwWDdFEuaHkKhmsSzZX";
/// More of one letter than anybody writes.
const REPEAT_MAX: usize = 64;

impl SimpleFormat {
    /// # Errors
    /// For letters that mean nothing and quotes that stay open.
    pub fn compile(pattern: &str) -> Result<Self> {
        let mut items: Vec<Item> = Vec::new();
        let mut text = String::new();
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\'' if chars.peek() == Some(&'\'') => {
                    chars.next();
                    text.push('\'');
                }
                '\'' => loop {
                    match chars.next() {
                        Some('\'') if chars.peek() == Some(&'\'') => {
                            chars.next();
                            text.push('\'');
                        }
                        Some('\'') => break,
                        Some(other) => text.push(other),
                        None => return Err(Error::data(format!("Unterminated quote in the date format '{pattern}'"))),
                    }
                },
                c if c.is_ascii_alphabetic() => {
                    let mut count = 1;
                    while chars.peek() == Some(&c) {
                        chars.next();
                        count += 1;
                    }
                    if !LETTERS.contains(c) || count > REPEAT_MAX {
                        return Err(Error::data(format!("Illegal pattern character '{c}'")));
                    }
                    if !text.is_empty() {
                        items.push(Item::Text(std::mem::take(&mut text)));
                    }
                    items.push(Item::Field(c, count));
                }
                other => text.push(other),
            }
        }
        if !text.is_empty() {
            items.push(Item::Text(text));
        }
        Ok(Self { items })
    }

    /// The text of an instant, in nanoseconds, on the clocks of a zone.
    pub fn format(&self, instant: i128, zone: Zone) -> String {
        let local = zone.to_local(instant);
        let civil = Civil::from_nanos(local);
        let offset = ((local - instant) / NANOS_PER_SECOND) as i64;
        let mut out = String::new();
        for item in &self.items {
            match item {
                Item::Text(text) => out.push_str(text),
                Item::Field(letter, count) => write_field(&mut out, &civil, *letter, *count, offset, zone),
            }
        }
        out
    }

    /// The instant a text stands for, in nanoseconds; None when it does not match. `now_year` decides the century of
    /// years with two digits.
    pub fn parse(&self, text: &str, zone: Zone, now_year: i64) -> Option<i128> {
        let chars: Vec<char> = text.chars().collect();
        let mut read = Fields::default();
        let mut at = 0;
        for (index, item) in self.items.iter().enumerate() {
            match item {
                Item::Text(text) => {
                    for c in text.chars() {
                        if chars.get(at) != Some(&c) {
                            return None;
                        }
                        at += 1;
                    }
                }
                Item::Field(letter, count) => {
                    let abutting =
                        matches!(self.items.get(index + 1), Some(Item::Field(next, n)) if is_number(*next, *n));
                    at = read.field(&chars, at, *letter, *count, abutting && is_number(*letter, *count), now_year)?;
                }
            }
        }
        read.resolve(zone)
    }
}

fn is_number(letter: char, count: usize) -> bool {
    match letter {
        'M' | 'L' => count <= 2,
        'G' | 'E' | 'a' | 'z' | 'Z' | 'X' => false,
        _ => true,
    }
}

fn write_field(out: &mut String, c: &Civil, letter: char, count: usize, offset: i64, zone: Zone) {
    let mut number = |value: i64, width: usize| {
        let _ = write!(out, "{value:0width$}");
    };
    let year_of_era = if c.year <= 0 { 1 - c.year } else { c.year };
    match letter {
        'G' => out.push_str(if c.year <= 0 { "BC" } else { "AD" }),
        'y' if count == 2 => number(year_of_era.rem_euclid(100), 2),
        'y' => number(year_of_era, count),
        'Y' => {
            let year = if week(c) == 1 && c.month == 12 { c.year + 1 } else { c.year };
            if count == 2 { number(year.rem_euclid(100), 2) } else { number(year, count) }
        }
        'M' | 'L' => match count {
            1 | 2 => number(i64::from(c.month), count),
            3 => out.push_str(&MONTHS[(c.month as usize + 11) % 12][..3]),
            _ => out.push_str(MONTHS[(c.month as usize + 11) % 12]),
        },
        'w' => number(week(c), count),
        'W' => {
            let first = iso_weekday(days_of(c.year, c.month, 1)) % 7;
            number((i64::from(c.day) - 1 + first) / 7 + 1, count);
        }
        'D' => number(day_of_year(c.days()), count),
        'd' => number(i64::from(c.day), count),
        'F' => number((i64::from(c.day) - 1) / 7 + 1, count),
        'E' => {
            let name = WEEKDAYS[(iso_weekday(c.days()) - 1).rem_euclid(7) as usize];
            out.push_str(if count <= 3 { &name[..3] } else { name });
        }
        'u' => number(iso_weekday(c.days()), count),
        'a' => out.push_str(if c.hour < 12 { "AM" } else { "PM" }),
        'H' => number(i64::from(c.hour), count),
        'k' => number(i64::from(if c.hour == 0 { 24 } else { c.hour }), count),
        'K' => number(i64::from(c.hour % 12), count),
        'h' => number(i64::from(if c.hour.is_multiple_of(12) { 12 } else { c.hour % 12 }), count),
        'm' => number(i64::from(c.minute), count),
        's' => number(i64::from(c.second), count),
        'S' => number(i64::from(c.nano / 1_000_000), count),
        'z' => out.push_str(&zone.name()),
        'Z' => write_offset(out, offset, "", 2),
        'X' if offset == 0 => out.push('Z'),
        'X' => match count {
            1 => write_offset(out, offset, "", 1),
            2 => write_offset(out, offset, "", 2),
            _ => write_offset(out, offset, ":", 2),
        },
        _ => {}
    }
}

/// The week of Java's calendar for the US: weeks begin on Sunday, the first holds 1 January.
fn week(c: &Civil) -> i64 {
    let sunday = |days: i64| days - iso_weekday(days) % 7;
    let days = c.days();
    if sunday(days) == sunday(days_of(c.year + 1, 1, 1)) {
        return 1;
    }
    (sunday(days) - sunday(days_of(c.year, 1, 1))) / 7 + 1
}

fn write_offset(out: &mut String, offset: i64, separator: &str, parts: usize) {
    let sign = if offset < 0 { '-' } else { '+' };
    let minutes = offset.abs() / 60;
    let _ = write!(out, "{sign}{:02}", minutes / 60);
    if parts > 1 {
        let _ = write!(out, "{separator}{:02}", minutes % 60);
    }
}

#[derive(Debug, Default)]
struct Fields {
    year: Option<i64>,
    before_christ: bool,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    week: Option<i64>,
    hour: Option<i64>,
    half_day_hour: Option<i64>,
    afternoon: bool,
    minute: i64,
    second: i64,
    milli: i64,
    /// Seconds east of UTC.
    offset: Option<i64>,
}

impl Fields {
    fn field(
        &mut self,
        chars: &[char],
        at: usize,
        letter: char,
        count: usize,
        abutting: bool,
        now_year: i64,
    ) -> Option<usize> {
        let at = at + chars.iter().skip(at).take_while(|c| matches!(c, ' ' | '\t')).count();
        let name = |names: &[&str]| -> Option<(usize, usize)> {
            let starts = |text: &str| {
                text.chars()
                    .enumerate()
                    .all(|(i, c)| chars.get(at + i).is_some_and(|given| given.eq_ignore_ascii_case(&c)))
            };
            let full = names.iter().enumerate().find(|(_, n)| starts(n)).map(|(i, n)| (i, at + n.len()));
            full.or_else(|| {
                names.iter().enumerate().find(|(_, n)| n.len() > 3 && starts(&n[..3])).map(|(i, _)| (i, at + 3))
            })
        };
        if !is_number(letter, count) {
            return match letter {
                'G' => {
                    let (index, end) = name(&["BC", "AD"])?;
                    self.before_christ = index == 0;
                    Some(end)
                }
                'M' | 'L' => {
                    let (index, end) = name(&MONTHS)?;
                    self.month = Some(index as i64 + 1);
                    Some(end)
                }
                'E' => name(&WEEKDAYS).map(|(_, end)| end),
                'a' => {
                    let (index, end) = name(&["AM", "PM"])?;
                    self.afternoon = index == 1;
                    Some(end)
                }
                _ => self.zone(chars, at),
            };
        }
        let negative = chars.get(at) == Some(&'-') && !abutting;
        let start = at + usize::from(negative);
        let digits = chars.iter().skip(start).take_while(|c| c.is_ascii_digit()).count();
        let width = if abutting { count.min(digits) } else { digits };
        if width == 0 || width > 18 || abutting && width < count {
            return None;
        }
        let value: i64 = chars[start..start + width].iter().collect::<String>().parse().ok()?;
        let value = if negative { -value } else { value };
        match letter {
            'y' | 'Y' => {
                self.year = Some(if count <= 2 && width == 2 && !negative { century(value, now_year) } else { value })
            }
            'M' | 'L' => self.month = Some(value),
            'w' => self.week = Some(value),
            'D' => self.day_of_year = Some(value),
            'd' => self.day = Some(value),
            'H' => self.hour = Some(value),
            'k' => self.hour = Some(if value == 24 { 0 } else { value }),
            'K' => self.half_day_hour = Some(value),
            'h' => self.half_day_hour = Some(if value == 12 { 0 } else { value }),
            'm' => self.minute = value,
            's' => self.second = value,
            'S' => self.milli = value,
            _ => {}
        }
        Some(start + width)
    }

    fn zone(&mut self, chars: &[char], at: usize) -> Option<usize> {
        let rest: String =
            chars.iter().skip(at).take_while(|c| c.is_ascii_alphanumeric() || "+-:/_".contains(**c)).collect();
        // The longest beginning that names a zone.
        let end = (1..=rest.len()).rev().find(|end| Zone::parse(&rest[..*end]).is_some())?;
        let zone = Zone::parse(&rest[..end])?;
        self.offset = Some(zone.offset_at(0));
        Some(at + end)
    }

    fn resolve(&self, zone: Zone) -> Option<i128> {
        let year = self.year.unwrap_or(1970);
        let year = if self.before_christ { 1 - year } else { year };
        // The calendar of the rest of the program ends somewhere; nobody's dates do.
        if year.abs() > 999_999 || self.month.is_some_and(|m| m.abs() > 1_000_000) {
            return None;
        }
        let first = days_of(year, 1, 1);
        let days = match (self.month, self.day, self.day_of_year, self.week) {
            (None, None, Some(day), _) => first.checked_add(day - 1)?,
            (None, None, None, Some(week)) if self.year.is_some() => {
                (first - iso_weekday(first) % 7).checked_add(week.checked_sub(1)?.checked_mul(7)?)?
            }
            (month, day, _, _) => add_months(first, month.unwrap_or(1) - 1).checked_add(day.unwrap_or(1) - 1)?,
        };
        let hour = self.hour.unwrap_or_else(|| self.half_day_hour.unwrap_or(0) + if self.afternoon { 12 } else { 0 });
        let millis = |value: i64, unit: i128| i128::from(value) * unit;
        let local = millis(days, 86_400_000)
            + millis(hour, 3_600_000)
            + millis(self.minute, 60_000)
            + millis(self.second, 1000)
            + i128::from(self.milli);
        let local = local * NANOS_PER_MILLI;
        Some(match self.offset {
            Some(offset) => local - i128::from(offset) * NANOS_PER_SECOND,
            None => zone.to_instant(local),
        })
    }
}

/// Two digits of a year are within eighty years before and twenty after now.
fn century(two_digits: i64, now_year: i64) -> i64 {
    let start = now_year - 80;
    let year = start - start.rem_euclid(100) + two_digits;
    if year < start { year + 100 } else { year }
}

/// Week of the ISO year.
pub(super) fn iso_week_of(days: i64) -> i64 {
    iso_week(days).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, pattern: &str) -> Option<String> {
        let iso = SimpleFormat::compile("yyyy-MM-dd HH:mm:ss.SSS").unwrap();
        let at = SimpleFormat::compile(pattern).unwrap().parse(text, Zone::UTC, 2026)?;
        Some(iso.format(at, Zone::UTC))
    }

    #[test]
    fn texts_are_read_leniently() {
        for (text, pattern, expected) in [
            ("2024-02-14", "yyyy-MM-dd", Some("2024-02-14 00:00:00.000")),
            ("2024-13-32", "yyyy-MM-dd", Some("2025-02-01 00:00:00.000")),
            ("2024-2-3 and more", "yyyy-MM-dd", Some("2024-02-03 00:00:00.000")),
            ("20240203", "yyyyMMdd", Some("2024-02-03 00:00:00.000")),
            ("24/02/03", "yy/MM/dd", Some("2024-02-03 00:00:00.000")),
            ("60/02/03", "yy/MM/dd", Some("1960-02-03 00:00:00.000")),
            ("3 Feb 2024 1:05 PM", "d MMM yyyy h:mm a", Some("2024-02-03 13:05:00.000")),
            ("2024-02-03T04:05:06.7", "yyyy-MM-dd'T'HH:mm:ss.SSS", Some("2024-02-03 04:05:06.007")),
            ("2024-02-03 00:00 +0800", "yyyy-MM-dd HH:mm Z", Some("2024-02-02 16:00:00.000")),
            ("2024 !! 02 !! 14", "yyyy//MM//dd", None),
            ("", "yyyy", None),
            ("999999999999999999-01-01", "yyyy-MM-dd", None),
        ] {
            assert_eq!(read(text, pattern).as_deref(), expected, "{text:?} {pattern:?}");
        }
    }

    #[test]
    fn milliseconds_are_a_number_not_a_fraction() {
        let at = 5_123_456_789i128;
        for (pattern, expected) in [
            ("s.SSS", "5.123"),
            ("s.SSSSSS", "5.000123"),
            ("yyyy~MM~dd", "1970~01~01"),
            ("EEE, d MMM yyyy", "Thu, 1 Jan 1970"),
            ("HH''mm XXX Z", "08'00 +08:00 +0800"),
        ] {
            let zone = Zone::parse("Asia/Shanghai").unwrap();
            assert_eq!(SimpleFormat::compile(pattern).unwrap().format(at, zone), expected);
        }
        assert!(SimpleFormat::compile("yyyy-bb").is_err());
        assert!(SimpleFormat::compile("'open").is_err());
    }
}
