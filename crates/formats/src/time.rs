//! Dates and times as Flink's formats read and write them, without a calendar library in the loop.
//!
//! | style | date and time | zone |
//! |---|---|---|
//! | SQL | `2024-01-31 10:20:30[.123456789]` | `Z` at the end for TIMESTAMP_LTZ |
//! | ISO | `2024-01-31T10:20[:30[.123456789]]` | the same |
//! | any | both, and an offset such as `+02:00` | Debezium's ZonedTimestamp |
//!
//! Source of the rule: Flink 1.20 `TimeFormats` and `java.time.format.DateTimeFormatter`.

/// Which spellings of a timestamp are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampStyle {
    Sql,
    Iso,
    /// Both, with or without an offset: for change messages, whose producers differ.
    Any,
}

/// Whether a timestamp's text names its zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    Without,
    Utc,
}

const SECONDS_PER_DAY: i64 = 86_400;

/// Days since 1970-01-01 of a day of the proleptic Gregorian calendar (Hinnant's algorithm).
#[inline]
pub fn days_from_civil(year: i32, month: u32, day: u32) -> i32 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = month as i32;
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day as i32 - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The year, month and day of a number of days since 1970-01-01.
#[inline]
pub fn civil_from_days(days: i32) -> (i64, u32, u32) {
    let shifted = days as i64 + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = (if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 }) as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[inline]
fn two(text: &[u8], at: usize) -> Option<u32> {
    let (a, b) = (text.get(at)?.wrapping_sub(b'0'), text.get(at + 1)?.wrapping_sub(b'0'));
    (a < 10 && b < 10).then_some(a as u32 * 10 + b as u32)
}

/// `yyyy-MM-dd` to days since 1970-01-01.
#[inline]
pub fn parse_date(text: &[u8]) -> Option<i32> {
    if text.len() != 10 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let year = (two(text, 0)? * 100 + two(text, 2)?) as i32;
    let (month, day) = (two(text, 5)?, two(text, 8)?);
    if !(1..=12).contains(&month) || day == 0 || (day > 28 && day > days_in_month(year, month)) {
        return None;
    }
    Some(days_from_civil(year, month, day))
}

/// `HH:mm:ss[.n…]` (seconds may be absent in ISO style) to nanoseconds of the day.
#[inline]
pub(crate) fn parse_time(text: &[u8], style: TimestampStyle) -> Option<i64> {
    let (hour, minute) = (two(text, 0)?, two(text, 3)?);
    if text[2] != b':' || hour > 23 || minute > 59 {
        return None;
    }
    let minutes = (hour * 60 + minute) as i64;
    if text.len() == 5 {
        return (style != TimestampStyle::Sql).then_some(minutes * 60_000_000_000);
    }
    let second = two(text, 6)?;
    if text[5] != b':' || second > 59 {
        return None;
    }
    let mut nanos = 0i64;
    if text.len() > 8 {
        let fraction = &text[9..];
        if text[8] != b'.' || fraction.len() > 9 {
            return None;
        }
        for &digit in fraction {
            if !digit.is_ascii_digit() {
                return None;
            }
            nanos = nanos * 10 + (digit - b'0') as i64;
        }
        nanos *= POWERS_OF_TEN[9 - fraction.len()];
    }
    Some((minutes * 60 + second as i64) * 1_000_000_000 + nanos)
}

pub(crate) const POWERS_OF_TEN: [i64; 10] =
    [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

/// A date and a time to (seconds since 1970-01-01, nanoseconds of the second). With [`Zone::Utc`] the
/// text must end in `Z`, without it must not; style Any takes both and applies an offset.
#[inline]
pub(crate) fn parse_timestamp(text: &[u8], style: TimestampStyle, zone: Zone) -> Option<(i64, u32)> {
    let days = parse_date(text.get(..10)?)?;
    let separator = *text.get(10)?;
    let good = match style {
        TimestampStyle::Sql => separator == b' ',
        TimestampStyle::Iso => separator == b'T',
        TimestampStyle::Any => separator == b' ' || separator == b'T',
    };
    if !good {
        return None;
    }
    let mut time = &text[11..];
    let mut offset_seconds = 0i64;
    match (time.last(), zone, style) {
        (Some(b'Z'), Zone::Utc, _) | (Some(b'Z'), _, TimestampStyle::Any) => time = &time[..time.len() - 1],
        (_, Zone::Without, _) if style != TimestampStyle::Any => {}
        (_, Zone::Utc, TimestampStyle::Sql | TimestampStyle::Iso) => return None,
        _ => {
            if let Some(at) = time.iter().position(|b| matches!(b, b'+' | b'-')) {
                offset_seconds = parse_offset(&time[at..])?;
                time = &time[..at];
            }
        }
    }
    let nanos = parse_time(time, style)?;
    let seconds = days as i64 * SECONDS_PER_DAY + nanos / 1_000_000_000 - offset_seconds;
    Some((seconds, (nanos % 1_000_000_000) as u32))
}

/// `+HH`, `+HHmm` or `+HH:mm` in seconds.
fn parse_offset(text: &[u8]) -> Option<i64> {
    let hours = two(text, 1)? as i64;
    let minutes = match text.len() {
        3 => 0,
        5 => two(text, 3)? as i64,
        6 if text[3] == b':' => two(text, 4)? as i64,
        _ => return None,
    };
    if hours > 18 || minutes > 59 {
        return None;
    }
    let seconds = hours * 3600 + minutes * 60;
    Some(if text[0] == b'-' { -seconds } else { seconds })
}

#[inline]
fn push_two(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&[b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]);
}

/// Appends `yyyy-MM-dd`.
pub(crate) fn write_date(out: &mut Vec<u8>, days: i32) {
    let (year, month, day) = civil_from_days(days);
    if (0..=9999).contains(&year) {
        push_two(out, (year / 100) as u32);
        push_two(out, (year % 100) as u32);
    } else {
        out.extend_from_slice(format!("{year:+05}").as_bytes());
    }
    out.push(b'-');
    push_two(out, month);
    out.push(b'-');
    push_two(out, day);
}

/// Appends `HH:mm:ss` and the fraction without trailing zeros (none if zero).
pub(crate) fn write_time(out: &mut Vec<u8>, second_of_day: u32, nanos: u32) {
    push_two(out, second_of_day / 3600);
    out.push(b':');
    push_two(out, second_of_day / 60 % 60);
    out.push(b':');
    push_two(out, second_of_day % 60);
    if nanos == 0 {
        return;
    }
    out.push(b'.');
    let mut digits = [0u8; 9];
    let mut rest = nanos;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let keep = 9 - digits.iter().rev().take_while(|d| **d == b'0').count();
    out.extend_from_slice(&digits[..keep]);
}

/// Appends a time that may lie outside of a day (MySQL's TIME goes from -838 to 838 hours): its sign, then all hours.
pub(crate) fn write_long_time(out: &mut Vec<u8>, micros: i64, whole_seconds: bool) {
    let micros = if whole_seconds { micros / 1_000_000 * 1_000_000 } else { micros };
    if micros < 0 {
        out.push(b'-');
    }
    let micros = micros.unsigned_abs();
    let (hours, rest) = (micros / 3_600_000_000, micros % 3_600_000_000);
    if hours > 99 {
        out.extend_from_slice(hours.to_string().as_bytes());
    } else {
        push_two(out, hours as u32);
    }
    let at = out.len();
    write_time(out, (rest / 1_000_000) as u32, (rest % 1_000_000) as u32 * 1000);
    // The hours are written already: what follows them begins at the first colon.
    out.drain(at..at + 2);
}

/// Appends a timestamp in SQL (`T` false) or ISO style.
pub(crate) fn write_timestamp(out: &mut Vec<u8>, seconds: i64, nanos: u32, iso: bool) {
    write_date(out, seconds.div_euclid(SECONDS_PER_DAY) as i32);
    out.push(if iso { b'T' } else { b' ' });
    write_time(out, seconds.rem_euclid(SECONDS_PER_DAY) as u32, nanos);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_eight_centuries_goes_there_and_back() {
        for days in -150_000..150_000 {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year as i32, month, day), days);
        }
    }

    #[test]
    fn timestamps_are_read_as_flink_reads_them() {
        use TimestampStyle::{Any, Iso, Sql};
        let second = 1_577_934_245;
        for (text, style, zone, expected) in [
            ("2020-01-02 03:04:05", Sql, Zone::Without, Some((second, 0))),
            ("2020-01-02 03:04:05.", Sql, Zone::Without, Some((second, 0))),
            ("2020-01-02 03:04:05.12", Sql, Zone::Without, Some((second, 120_000_000))),
            ("2020-01-02 03:04:05.123456789", Sql, Zone::Without, Some((second, 123_456_789))),
            ("2020-01-02 03:04:05.1234567890", Sql, Zone::Without, None),
            ("2020-01-02T03:04:05", Sql, Zone::Without, None),
            ("2020-01-02 03:04", Sql, Zone::Without, None),
            ("2020-01-02T03:04", Iso, Zone::Without, Some((second - 5, 0))),
            ("2020-01-02T03:04:05Z", Iso, Zone::Without, None),
            ("2020-01-02 03:04:05Z", Sql, Zone::Utc, Some((second, 0))),
            ("2020-01-02 03:04:05", Sql, Zone::Utc, None),
            ("2020-01-02T05:04:05+02:00", Any, Zone::Utc, Some((second, 0))),
            ("2020-01-02T03:04:05Z", Any, Zone::Without, Some((second, 0))),
            ("2020-02-30 00:00:00", Sql, Zone::Without, None),
            ("2020-01-02 24:00:00", Sql, Zone::Without, None),
            ("1960-01-02 03:04:05.5", Sql, Zone::Without, Some((-315_521_755, 500_000_000))),
            ("", Any, Zone::Utc, None),
            ("2020-01-02T", Any, Zone::Utc, None),
        ] {
            assert_eq!(parse_timestamp(text.as_bytes(), style, zone), expected, "{text}");
        }
    }

    #[test]
    fn a_time_outside_of_a_day_keeps_its_sign_and_hours() {
        for (micros, whole, text) in [
            (200_000, true, "00:00:00"),
            (200_000, false, "00:00:00.2"),
            (-200_000, true, "00:00:00"),
            (-3_020_399_000_000, false, "-838:59:59"),
            (90_061_500_000, false, "25:01:01.5"),
        ] {
            let mut out = Vec::new();
            write_long_time(&mut out, micros, whole);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn a_time_is_written_without_trailing_zeros() {
        let mut out = Vec::new();
        write_timestamp(&mut out, -1, 120_000_000, false);
        assert_eq!(out, b"1969-12-31 23:59:59.12");
    }
}
