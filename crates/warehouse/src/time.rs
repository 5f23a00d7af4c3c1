//! Dates and times of StarRocks: years 0000 to 9999, microseconds, no zones. The text parser is
//! the tolerant one of the loader: `2024-01-02`, `20240102`, `2024-1-2 3:4:5.678`, `…T…`.

/// Microseconds of a day.
pub const DAY_US: i64 = 86_400_000_000;
/// 0000-01-01.
pub const DATE_MIN: i32 = -719_528;
/// 9999-12-31.
pub const DATE_MAX: i32 = 2_932_896;

/// Days since 1970-01-01 of a proleptic Gregorian date.
pub fn days_of(year: i32, month: u32, day: u32) -> i32 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = (month as i32 + 9) % 12;
    let doy = (153 * mp + 2) / 5 + day as i32 - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

/// Year, month, day of days since 1970-01-01.
pub fn civil(days: i32) -> (i32, u32, u32) {
    let z = i64::from(days) + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
    let month = (if mp < 10 { mp + 3 } else { mp - 9 }) as u32;
    let year = (yoe + era * 400 + i64::from(month <= 2)) as i32;
    (year, month, day)
}

pub fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A checked date.
pub fn date(year: i32, month: u32, day: u32) -> Option<i32> {
    ((0..=9999).contains(&year) && (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month))
        .then(|| days_of(year, month, day))
}

/// 20240102
pub fn date_number(days: i32) -> i64 {
    let (y, m, d) = civil(days);
    i64::from(y) * 10_000 + i64::from(m) * 100 + i64::from(d)
}

/// 20240102030405
pub fn datetime_number(us: i64) -> i64 {
    let s = us.rem_euclid(DAY_US) / 1_000_000;
    date_number(us.div_euclid(DAY_US) as i32) * 1_000_000 + s / 3600 * 10_000 + s / 60 % 60 * 100 + s % 60
}

/// 20240102 or 20240102030405 (and two-digit years as MySQL reads them).
pub fn datetime_of_number(n: i64) -> Option<i64> {
    if n <= 0 {
        return None;
    }
    let (day, clock) = if n >= 100_000_000 { (n / 1_000_000, n % 1_000_000) } else { (n, 0) };
    let day = if day < 700_000 {
        day + 20_000_000
    } else if day < 1_000_000 {
        day + 19_000_000
    } else {
        day
    };
    let days = date((day / 10_000) as i32, (day / 100 % 100) as u32, (day % 100) as u32)?;
    let (h, m, s) = (clock / 10_000, clock / 100 % 100, clock % 100);
    (h < 24 && m < 60 && s < 60).then(|| i64::from(days) * DAY_US + (h * 3600 + m * 60 + s) * 1_000_000)
}

fn two(out: &mut String, n: u32) {
    out.push((b'0' + (n / 10 % 10) as u8) as char);
    out.push((b'0' + (n % 10) as u8) as char);
}

pub fn write_date(out: &mut String, days: i32) {
    let (y, m, d) = civil(days);
    let y = y.clamp(0, 9999) as u32;
    two(out, y / 100);
    two(out, y % 100);
    out.push('-');
    two(out, m);
    out.push('-');
    two(out, d);
}

/// `2024-01-02 03:04:05`, with six fractional digits when they are not zero.
pub fn write_datetime(out: &mut String, us: i64) {
    write_date(out, us.div_euclid(DAY_US) as i32);
    let rest = us.rem_euclid(DAY_US);
    let s = (rest / 1_000_000) as u32;
    out.push(' ');
    two(out, s / 3600);
    out.push(':');
    two(out, s / 60 % 60);
    out.push(':');
    two(out, s % 60);
    let fraction = (rest % 1_000_000) as u32;
    if fraction != 0 {
        out.push('.');
        two(out, fraction / 10_000);
        two(out, fraction / 100 % 100);
        two(out, fraction % 100);
    }
}

pub fn date_text(days: i32) -> String {
    let mut s = String::with_capacity(10);
    write_date(&mut s, days);
    s
}

pub fn datetime_text(us: i64) -> String {
    let mut s = String::with_capacity(26);
    write_datetime(&mut s, us);
    s
}

/// Microseconds since 1970-01-01 of a date or datetime text; None when it is none.
pub fn parse_datetime(text: &[u8]) -> Option<i64> {
    let t = text.trim_ascii();
    // The usual form, without branches for the rest.
    if t.len() >= 10 && t[4] == b'-' && t[7] == b'-' {
        let day = date(number(&t[..4])? as i32, number(&t[5..7])?, number(&t[8..10])?)?;
        let base = i64::from(day) * DAY_US;
        if t.len() == 10 {
            return Some(base);
        }
        if t.len() >= 19 && (t[10] == b' ' || t[10] == b'T') && t[13] == b':' && t[16] == b':' {
            let (h, m, s) = (number(&t[11..13])?, number(&t[14..16])?, number(&t[17..19])?);
            if h < 24 && m < 60 && s < 60 {
                let base = base + (i64::from(h) * 3600 + i64::from(m) * 60 + i64::from(s)) * 1_000_000;
                if t.len() == 19 {
                    return Some(base);
                }
                if t[19] == b'.' {
                    return Some(base + fraction(&t[20..])?);
                }
            }
            return None;
        }
    }
    parse_tolerant(t)
}

fn number(t: &[u8]) -> Option<u32> {
    let mut v = 0u32;
    for b in t {
        if !b.is_ascii_digit() {
            return None;
        }
        v = v.checked_mul(10)?.checked_add(u32::from(b - b'0'))?;
    }
    (!t.is_empty()).then_some(v)
}

fn fraction(t: &[u8]) -> Option<i64> {
    let t = t.trim_ascii_end();
    let mut v = 0i64;
    for i in 0..6 {
        let digit = match t.get(i) {
            Some(b) if b.is_ascii_digit() => i64::from(b - b'0'),
            Some(_) => return None,
            None => 0,
        };
        v = v * 10 + digit;
    }
    t.iter().all(u8::is_ascii_digit).then_some(v)
}

fn parse_tolerant(t: &[u8]) -> Option<i64> {
    // Numbers without separators: YYYYMMDD[HHMMSS].
    let digits = t.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == t.len() || (digits >= 8 && t.get(digits) == Some(&b'.')) || (digits == 8 && t.get(8) == Some(&b'T')) {
        let year_digits = if digits == 6 || digits == 12 { 2 } else { 4 };
        if !matches!(digits, 6 | 8 | 12 | 14) {
            return None;
        }
        let mut y = number(&t[..year_digits])? as i32;
        if year_digits == 2 {
            y += if y < 70 { 2000 } else { 1900 };
        }
        let at = year_digits;
        let base = i64::from(date(y, number(&t[at..at + 2])?, number(&t[at + 2..at + 4])?)?) * DAY_US;
        let mut clock = &t[at + 4..];
        if clock.first() == Some(&b'T') {
            clock = &clock[1..];
        }
        if clock.len() < 6 {
            return clock.is_empty().then_some(base);
        }
        let (h, m, s) = (number(&clock[..2])?, number(&clock[2..4])?, number(&clock[4..6])?);
        if h > 23 || m > 59 || s > 59 {
            return None;
        }
        let rest = if clock.get(6) == Some(&b'.') { fraction(&clock[7..])? } else { 0 };
        return Some(base + (i64::from(h) * 3600 + i64::from(m) * 60 + i64::from(s)) * 1_000_000 + rest);
    }
    let mut parts = [0u32; 6];
    let mut lengths = [0usize; 6];
    let mut at = 0;
    let mut count = 0;
    let mut us = 0;
    while at < t.len() {
        if count == 6 {
            if t[at] == b'.' {
                us = fraction(&t[at + 1..])?;
                break;
            }
            return t[at..].iter().all(u8::is_ascii_whitespace).then_some(()).and(None);
        }
        let end = at + t[at..].iter().take_while(|b| b.is_ascii_digit()).count();
        if end == at || end - at > 4 || (count > 0 && end - at > 2) {
            return None;
        }
        parts[count] = number(&t[at..end])?;
        lengths[count] = end - at;
        count += 1;
        at = end;
        if at >= t.len() {
            break;
        }
        if count == 6 {
            continue;
        }
        let separator = t[at];
        match separator {
            b' ' | b'T' if count == 3 => {
                at += 1;
                while t.get(at) == Some(&b' ') {
                    at += 1;
                }
            }
            b if b.is_ascii_punctuation() => at += 1,
            _ => return None,
        }
    }
    if count < 3 {
        return None;
    }
    let mut y = parts[0] as i32;
    if lengths[0] == 2 {
        y += if y < 70 { 2000 } else { 1900 };
    } else if lengths[0] != 4 {
        return None;
    }
    if parts[3] > 23 || parts[4] > 59 || parts[5] > 59 {
        return None;
    }
    let base = i64::from(date(y, parts[1], parts[2])?) * DAY_US;
    Some(base + (i64::from(parts[3]) * 3600 + i64::from(parts[4]) * 60 + i64::from(parts[5])) * 1_000_000 + us)
}

/// Adds months, keeping the day inside the month. None outside of the years 0 to 9999.
pub fn add_months(us: i64, months: i64) -> Option<i64> {
    let (y, m, d) = civil(us.div_euclid(DAY_US) as i32);
    let total = i64::from(y) * 12 + i64::from(m) - 1 + months;
    let year = i32::try_from(total.div_euclid(12)).ok()?;
    let month = total.rem_euclid(12) as u32 + 1;
    let day = d.min(days_in_month(year, month));
    Some(i64::from(date(year, month, day)?) * DAY_US + us.rem_euclid(DAY_US))
}

/// The instant, when it lies in the years 0 to 9999.
pub fn in_range(us: i64) -> Option<i64> {
    let days = us.div_euclid(DAY_US);
    (i64::from(DATE_MIN)..=i64::from(DATE_MAX)).contains(&days).then_some(us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_the_calendar_goes_there_and_back() {
        for days in (DATE_MIN..=DATE_MAX).step_by(37) {
            let (y, m, d) = civil(days);
            assert_eq!(days_of(y, m, d), days);
        }
        assert_eq!(days_of(1970, 1, 1), 0);
        assert_eq!(date_text(DATE_MAX), "9999-12-31");
        assert_eq!(date_text(DATE_MIN), "0000-01-01");
    }

    #[test]
    fn date_texts_are_read_tolerantly_and_nonsense_is_refused() {
        let check = |text: &str, want: Option<&str>| {
            assert_eq!(parse_datetime(text.as_bytes()).map(datetime_text).as_deref(), want, "{text}");
        };
        check("2024-01-02", Some("2024-01-02 00:00:00"));
        check("2024-1-2 3:4:5", Some("2024-01-02 03:04:05"));
        check("2024-01-02T03:04", Some("2024-01-02 03:04:00"));
        check("20240102", Some("2024-01-02 00:00:00"));
        check("20240102030405", Some("2024-01-02 03:04:05"));
        check("2024-01-02 03:04:05.1234567", Some("2024-01-02 03:04:05.123456"));
        check("2024-02-30", None);
        check("2024-01-02 25:00:00", None);
        check("hello", None);
        check("", None);
        check("2024-01-02 03:04:05Z", None);
    }
}
