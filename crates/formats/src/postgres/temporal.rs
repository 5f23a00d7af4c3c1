//! Dates, times and intervals from the server's text (DateStyle ISO, IntervalStyle iso_8601, TimeZone UTC).

const DAY_MICROS: i64 = 86_400_000_000;

/// A point in time, or one of the two ends of time, which no column of ours holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    At(i64),
    /// `infinity`, `-infinity`, or too far away for the column.
    Beyond,
}

/// Days since 1970-01-01 of the proleptic Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn number(text: &str) -> Option<i64> {
    if text.is_empty() || text.len() > 9 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn date_part(text: &str, before_christ: bool) -> Option<i64> {
    let mut parts = text.splitn(3, '-');
    let (year, month, day) = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // 1 BC is the year 0.
    Some(days(if before_christ { 1 - year } else { year }, month, day))
}

/// `2020-01-31`, `0044-03-15 BC`, `infinity`: days since 1970.
pub(super) fn date(text: &str) -> Option<Point> {
    if matches!(text, "infinity" | "-infinity") {
        return Some(Point::Beyond);
    }
    let (text, before_christ) = text.strip_suffix(" BC").map_or((text, false), |t| (t, true));
    date_part(text, before_christ).map(Point::At)
}

/// `18:00:22.123456`, up to `24:00:00`: microseconds.
pub(super) fn time(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, ':');
    let (hours, minutes, seconds) = (number(parts.next()?)?, number(parts.next()?)?, parts.next()?);
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let micros = if fraction.is_empty() {
        0
    } else {
        number(fraction).filter(|_| fraction.len() <= 6)? * 10i64.pow(6 - fraction.len() as u32)
    };
    let seconds = number(seconds)?;
    (hours <= 24 && minutes < 60 && seconds <= 60)
        .then_some(((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros)
}

/// Hours, minutes and seconds east of UTC: `+00`, `-05:30`, `+01:15:30`.
fn zone(text: &str) -> Option<i64> {
    let (sign, text) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let mut size = 0;
    for (i, part) in text.split(':').enumerate() {
        size += number(part)? * [3600, 60, 1].get(i)?;
    }
    Some(sign * size * 1_000_000)
}

/// A timestamp, with a zone or without one: microseconds since 1970 (of UTC when there is a zone).
pub(super) fn timestamp(text: &str) -> Option<Point> {
    if matches!(text, "infinity" | "-infinity") {
        return Some(Point::Beyond);
    }
    let (text, before_christ) = text.strip_suffix(" BC").map_or((text, false), |t| (t, true));
    let (day, clock) = text.split_once(' ')?;
    let (clock, offset) = match clock.find(['+', '-']) {
        Some(at) => (&clock[..at], zone(&clock[at..])?),
        None => (clock, 0),
    };
    let (day, clock) = (date_part(day, before_christ)?, time(clock)?);
    let micros = day.checked_mul(DAY_MICROS).and_then(|m| m.checked_add(clock - offset));
    Some(micros.map_or(Point::Beyond, Point::At))
}

/// An ISO 8601 interval in microseconds; a year has 12 months, a month 30.4375 days.
pub(super) fn interval(text: &str) -> Option<i64> {
    let mut micros: i128 = 0;
    let mut in_time = false;
    let mut rest = text.strip_prefix('P')?;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('T') {
            in_time = true;
            rest = after;
            continue;
        }
        let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let (size, unit) = (&rest[..end], rest.as_bytes()[end]);
        rest = &rest[end + 1..];
        let (negative, size) = size.strip_prefix('-').map_or((false, size), |s| (true, s));
        let (whole, fraction) = size.split_once('.').unwrap_or((size, ""));
        let whole: i128 = whole.parse::<u64>().ok()?.into();
        let unit: i128 = match (unit, in_time) {
            (b'Y', false) => 12 * 2_629_800_000_000,
            (b'M', false) => 2_629_800_000_000,
            (b'W', false) => 7 * i128::from(DAY_MICROS),
            (b'D', false) => DAY_MICROS.into(),
            (b'H', true) => 3_600_000_000,
            (b'M', true) => 60_000_000,
            (b'S', true) => 1_000_000,
            _ => return None,
        };
        let fraction: i128 = if fraction.is_empty() {
            0
        } else {
            i128::from(number(fraction).filter(|_| fraction.len() <= 6)?) * unit / 10i128.pow(fraction.len() as u32)
        };
        let size = whole * unit + fraction;
        micros += if negative { -size } else { size };
    }
    i64::try_from(micros).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn odd_dates_and_times_are_read() {
        assert_eq!(date("1970-01-02"), Some(Point::At(1)));
        assert_eq!(date("0001-01-01 BC"), Some(Point::At(-719_528)));
        assert_eq!(date("5874897-12-31"), Some(Point::At(2_145_042_905)));
        assert_eq!(date("infinity"), Some(Point::Beyond));
        assert_eq!(time("24:00:00"), Some(DAY_MICROS));
        assert_eq!(time("18:00:22.5"), Some(64_822_500_000));
        assert_eq!(timestamp("1970-01-01 00:00:00.000001"), Some(Point::At(1)));
        assert_eq!(timestamp("1970-01-01 08:00:00+08"), Some(Point::At(0)));
        assert_eq!(timestamp("1970-01-01 00:00:00-00:30"), Some(Point::At(1_800_000_000)));
        assert_eq!(timestamp("294276-12-31 23:59:59.999999"), Some(Point::Beyond));
        assert!(matches!(timestamp("4713-11-24 00:00:00 BC"), Some(Point::At(m)) if m < 0));
    }

    #[test]
    fn intervals_are_microseconds() {
        for (text, expected) in [
            ("PT0S", 0),
            ("P1D", DAY_MICROS),
            ("P1Y", 31_557_600_000_000),
            ("P-1M", -2_629_800_000_000),
            ("P1DT-2H3M4.5S", DAY_MICROS - 7_200_000_000 + 184_500_000),
        ] {
            assert_eq!(interval(text), Some(expected), "{text}");
        }
        assert_eq!(interval("1 day"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*", digits in "[-0-9:. PTYMDHSBC+]{0,40}") {
            for text in [text, digits] {
                let _ = (date(&text), time(&text), timestamp(&text), interval(&text));
            }
        }
    }
}
