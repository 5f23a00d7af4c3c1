//! Date and time functions, and MySQL's date formats.

use super::{Args, Function, bigint, boolean, date, datetime, int, lenient, strict, string};
use crate::error::{SqlError, SqlResult};
use crate::time::{DAY_US, add_months, civil, days_of, in_range, is_leap};
use crate::types::SqlType;
use crate::value::Value;

pub const MONTHS: [&str; 12] = [
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
pub const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

pub fn us(v: &Value) -> Option<i64> {
    v.as_datetime()
}

pub fn day_of(us: i64) -> i32 {
    us.div_euclid(DAY_US) as i32
}

/// Monday is 0.
pub fn weekday(days: i32) -> i32 {
    (days + 3).rem_euclid(7)
}

pub fn day_of_year(days: i32) -> i32 {
    days - days_of(civil(days).0, 1, 1) + 1
}

/// Year and week of ISO 8601.
pub fn iso_week(days: i32) -> (i32, i32) {
    let thursday = days - weekday(days) + 3;
    let year = civil(thursday).0;
    (year, (thursday - days_of(year, 1, 1)) / 7 + 1)
}

/// MySQL's WEEK(date, mode): (year, week).
fn week(days: i32, mode: i64) -> (i32, i32) {
    let monday_first = mode & 1 != 0;
    let full_year = mode & 2 != 0;
    let mut first_weekday = mode & 4 != 0;
    if !monday_first {
        first_weekday = !first_weekday;
    }
    let (mut year, month, day) = civil(days);
    let mut first = days_of(year, 1, 1);
    let wd = |d: i32| if monday_first { weekday(d) } else { (weekday(d) + 1) % 7 };
    let mut w = wd(first);
    if month == 1 && day <= (7 - w) as u32 {
        if !full_year && ((first_weekday && w != 0) || (!first_weekday && w >= 4)) {
            return (year, 0);
        }

        year -= 1;
        let length = if is_leap(year) { 366 } else { 365 };
        first -= length;
        w = (w + 53 * 7 - length).rem_euclid(7);
        let passed = if (first_weekday && w != 0) || (!first_weekday && w >= 4) {
            days - (first + (7 - w))
        } else {
            days - (first - w)
        };
        if passed < 0
            || (days >= days_of(year + 1, 1, 1)) && {
                let next = wd(days_of(year + 1, 1, 1));
                (!first_weekday && next < 4) || (first_weekday && next == 0)
            }
        {
            return (year + 1, 1);
        }
        return (year, passed / 7 + 1);
    }
    let passed = if (first_weekday && w != 0) || (!first_weekday && w >= 4) {
        days - (first + (7 - w))
    } else {
        days - (first - w)
    };
    if full_year && passed >= 52 * 7 {
        let length = if is_leap(year) { 366 } else { 365 };
        let next = (w + length).rem_euclid(7);
        if (!first_weekday && next < 4) || (first_weekday && next == 0) {
            return (year + 1, 1);
        }
    }
    (year, passed / 7 + 1)
}

/// `%Y-%m-%d` and Java-like words (`yyyyMMdd`).
fn format(us: i64, pattern: &str) -> Option<String> {
    let pattern = match pattern {
        "yyyyMMdd" => "%Y%m%d",
        "yyyy-MM-dd" => "%Y-%m-%d",
        "yyyy-MM-dd HH:mm:ss" => "%Y-%m-%d %H:%i:%s",
        "yyyyMMddHHmmss" => "%Y%m%d%H%i%s",
        "yyyy" => "%Y",
        other => other,
    };
    let days = day_of(us);
    let (y, m, d) = civil(days);
    let rest = us.rem_euclid(DAY_US);
    let (s, f) = (rest / 1_000_000, rest % 1_000_000);
    let (h, mi, sec) = (s / 3600, s / 60 % 60, s % 60);
    let h12 = if h % 12 == 0 { 12 } else { h % 12 };
    let mut out = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let text = match chars.next()? {
            'Y' => format!("{y:04}"),
            'y' => format!("{:02}", y.rem_euclid(100)),
            'm' => format!("{m:02}"),
            'c' => m.to_string(),
            'd' => format!("{d:02}"),
            'e' => d.to_string(),
            'D' => format!(
                "{d}{}",
                match (d % 10, d) {
                    (1, x) if x != 11 => "st",
                    (2, x) if x != 12 => "nd",
                    (3, x) if x != 13 => "rd",
                    _ => "th",
                }
            ),
            'H' => format!("{h:02}"),
            'k' => h.to_string(),
            'h' | 'I' => format!("{h12:02}"),
            'l' => h12.to_string(),
            'i' => format!("{mi:02}"),
            's' | 'S' => format!("{sec:02}"),
            'f' => format!("{f:06}"),
            'p' => (if h < 12 { "AM" } else { "PM" }).to_string(),
            'T' => format!("{h:02}:{mi:02}:{sec:02}"),
            'r' => format!("{h12:02}:{mi:02}:{sec:02} {}", if h < 12 { "AM" } else { "PM" }),
            'j' => format!("{:03}", day_of_year(days)),
            'M' => MONTHS[m as usize - 1].to_string(),
            'b' => MONTHS[m as usize - 1][..3].to_string(),
            'W' => DAYS[((weekday(days) + 1) % 7) as usize].to_string(),
            'a' => DAYS[((weekday(days) + 1) % 7) as usize][..3].to_string(),
            'w' => ((weekday(days) + 1) % 7).to_string(),
            'U' => format!("{:02}", week(days, 0).1),
            'u' => format!("{:02}", week(days, 1).1),
            'V' => format!("{:02}", week(days, 2).1),
            'v' => format!("{:02}", week(days, 3).1),
            'X' => format!("{:04}", week(days, 2).0),
            'x' => format!("{:04}", week(days, 3).0),
            other => other.to_string(),
        };
        out.push_str(&text);
    }
    (out.len() <= FORMATTED_MAX).then_some(out)
}

/// Longer results of a format are NULL.
const FORMATTED_MAX: usize = 128;

/// STR_TO_DATE.
fn parse(text: &str, pattern: &str) -> Option<i64> {
    let t: Vec<char> = text.trim_start().chars().collect();
    let (mut y, mut mo, mut d, mut h, mut mi, mut s, mut f) = (0i32, 1u32, 1u32, 0i64, 0i64, 0i64, 0i64);
    let (mut pm, mut year_day) = (None, None);
    let mut at = 0;
    let number = |at: &mut usize, most: usize| -> Option<i64> {
        let start = *at;
        while *at < t.len() && *at - start < most && t[*at].is_ascii_digit() {
            *at += 1;
        }
        (*at > start).then(|| t[start..*at].iter().collect::<String>().parse().ok()).flatten()
    };
    let word = |at: &mut usize, names: &[&str], short: bool| -> Option<usize> {
        let rest: String = t[*at..].iter().collect::<String>().to_lowercase();
        names
            .iter()
            .position(|n| {
                let n = if short { &n[..3] } else { n };
                rest.starts_with(&n.to_lowercase())
            })
            .inspect(|i| *at += if short { 3 } else { names[*i].len() })
    };
    let expanded = pattern.replace("%T", "%H:%i:%s").replace("%r", "%h:%i:%s %p");
    let mut chars = expanded.chars();
    while let Some(c) = chars.next() {
        if c == '%' {
            match chars.next()? {
                'Y' => y = number(&mut at, 4)? as i32,
                'y' => {
                    let n = number(&mut at, 2)? as i32;
                    y = if n < 70 { 2000 + n } else { 1900 + n };
                }
                'm' | 'c' => mo = number(&mut at, 2)? as u32,
                'd' | 'e' => d = number(&mut at, 2)? as u32,
                'H' | 'k' | 'h' | 'I' | 'l' => h = number(&mut at, 2)?,
                'i' => mi = number(&mut at, 2)?,
                's' | 'S' => s = number(&mut at, 2)?,
                'f' => {
                    let start = at;
                    let n = number(&mut at, 6)?;
                    f = n * 10i64.pow(6 - (at - start) as u32);
                }
                'j' => year_day = Some(number(&mut at, 3)?),
                'M' => mo = word(&mut at, &MONTHS, false)? as u32 + 1,
                'b' => mo = word(&mut at, &MONTHS, true)? as u32 + 1,
                'W' => {
                    word(&mut at, &DAYS, false)?;
                }
                'a' => {
                    word(&mut at, &DAYS, true)?;
                }
                'p' => {
                    let rest: String = t[at..].iter().take(2).collect::<String>().to_uppercase();
                    pm = Some(match rest.as_str() {
                        "AM" => false,
                        "PM" => true,
                        _ => return None,
                    });
                    at += 2;
                }
                '%' if t.get(at) == Some(&'%') => at += 1,
                _ => return None,
            }
        } else if c.is_whitespace() {
            while t.get(at).is_some_and(|c| c.is_whitespace()) {
                at += 1;
            }
        } else {
            if t.get(at) != Some(&c) {
                return None;
            }
            at += 1;
        }
    }
    match pm {
        Some(true) if h < 12 => h += 12,
        Some(false) if h == 12 => h = 0,
        _ => {}
    }
    if h > 23 || mi > 59 || s > 59 {
        return None;
    }
    let day = match year_day {
        Some(n) => days_of(y, 1, 1) + n as i32 - 1,
        None => crate::time::date(y, mo, d)?,
    };
    Some(i64::from(day) * DAY_US + (h * 3600 + mi * 60 + s) * 1_000_000 + f)
}

/// Adds n units.
/// A moment moved by a number of units; None when there is no such moment or unit.
pub fn add(us: i64, n: i64, unit: &str) -> Option<i64> {
    let step = |size: i64| n.checked_mul(size).and_then(|d| us.checked_add(d)).and_then(in_range);
    match unit.to_ascii_uppercase().trim_end_matches('S') {
        "YEAR" => add_months(us, n.checked_mul(12)?),
        "QUARTER" => add_months(us, n.checked_mul(3)?),
        "MONTH" => add_months(us, n),
        "WEEK" => step(7 * DAY_US),
        "DAY" => step(DAY_US),
        "HOUR" => step(3_600_000_000),
        "MINUTE" => step(60_000_000),
        "SECOND" => step(1_000_000),
        "MILLISECOND" => step(1000),
        "MICROSECOND" => step(1),
        _ => None,
    }
}

fn diff(unit: &str, a: i64, b: i64) -> Option<i64> {
    // The last day of a month counts as later than any other day of that number.
    let place = |us: i64| {
        let (y, m, d) = civil(day_of(us));
        let last = d == crate::time::days_in_month(y, m);
        (i64::from(y) * 12 + i64::from(m), last, d, us.rem_euclid(DAY_US))
    };
    let forward = |a: i64, b: i64| {
        let ((ma, la, da, ta), (mb, lb, db, tb)) = (place(a), place(b));
        let reached = match da.cmp(&db) {
            std::cmp::Ordering::Greater => true,
            _ if la => !lb || ta >= tb,
            std::cmp::Ordering::Equal => ta >= tb,
            std::cmp::Ordering::Less => false,
        };
        ma - mb - i64::from(!reached)
    };
    let months = |a: i64, b: i64| if a >= b { forward(a, b) } else { -forward(b, a) };
    Some(match unit.to_ascii_uppercase().trim_end_matches('S') {
        "YEAR" => months(a, b) / 12,
        "QUARTER" => months(a, b) / 3,
        "MONTH" => months(a, b),
        "WEEK" => (a - b) / (7 * DAY_US),
        "DAY" => (a - b) / DAY_US,
        "HOUR" => (a - b) / 3_600_000_000,
        "MINUTE" => (a - b) / 60_000_000,
        "SECOND" => (a - b) / 1_000_000,
        "MILLISECOND" => (a - b) / 1000,
        "MICROSECOND" => a - b,
        _ => return None,
    })
}

fn truncate(us: i64, unit: &str) -> Option<i64> {
    let days = day_of(us);
    let (y, m, _) = civil(days);
    let whole = |size: i64| us.div_euclid(size) * size;
    Some(match unit.to_ascii_lowercase().as_str() {
        "year" => i64::from(days_of(y, 1, 1)) * DAY_US,
        "quarter" => i64::from(days_of(y, (m - 1) / 3 * 3 + 1, 1)) * DAY_US,
        "month" => i64::from(days_of(y, m, 1)) * DAY_US,
        "week" => i64::from(days - weekday(days)) * DAY_US,
        "day" => whole(DAY_US),
        "hour" => whole(3_600_000_000),
        "minute" => whole(60_000_000),
        "second" => whole(1_000_000),
        "millisecond" => whole(1000),
        "microsecond" => us,
        _ => return None,
    })
}

/// DATE stays DATE for units of a day and more.
fn interval_type(a: &Args<'_>) -> SqlResult<SqlType> {
    let unit = a.constants.get(2).cloned().flatten().and_then(|v| v.as_text()).unwrap_or_default().to_uppercase();
    let small = ["HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND"].iter().any(|u| unit.starts_with(u));
    Ok(if a.types[0] == SqlType::Date && !small { SqlType::Date } else { SqlType::DateTime })
}

fn keep_type(a: &Args<'_>) -> SqlResult<SqlType> {
    Ok(if a.types[0] == SqlType::Date { SqlType::Date } else { SqlType::DateTime })
}

fn trunc_type(a: &Args<'_>) -> SqlResult<SqlType> {
    Ok(if a.types.get(1) == Some(&SqlType::Date) { SqlType::Date } else { SqlType::DateTime })
}

/// A constant format without a time of day gives a DATE.
fn str_to_date_type(a: &Args<'_>) -> SqlResult<SqlType> {
    let clock = |f: &str| {
        ["%H", "%h", "%I", "%k", "%l", "%i", "%s", "%S", "%f", "%p", "%T", "%r"].iter().any(|p| f.contains(p))
    };
    Ok(match a.constants.get(1) {
        Some(Some(Value::Text(f))) if !clock(f) => SqlType::Date,
        _ => SqlType::DateTime,
    })
}

fn shift(v: &[Value], r: &SqlType, unit: &str, sign: i64) -> SqlResult<Value> {
    let (Some(t), Some(n)) = (us(&v[0]), v[1].as_i64()) else { return Ok(Value::Null) };
    Ok(n.checked_mul(sign)
        .and_then(|n| add(t, n, unit))
        .and_then(|t| Value::DateTime(t).cast(r))
        .unwrap_or(Value::Null))
}

fn field(v: &Value, f: fn(i64) -> i64) -> SqlResult<Value> {
    Ok(us(v).map_or(Value::Null, |t| Value::int(f(t))))
}

fn slice(v: &[Value], _: &[SqlType], r: &SqlType) -> SqlResult<Value> {
    let (Some(t), Some(n)) = (us(&v[0]), v[1].as_i64()) else { return Ok(Value::Null) };
    let unit = v[2].as_text().unwrap_or_default();
    let ceil = v.get(3).and_then(Value::as_text).is_some_and(|b| b.eq_ignore_ascii_case("ceil"));
    if n <= 0 {
        return Err(SqlError::plain("time_slice requires second parameter must be greater than 0"));
    }
    // Slices are counted from 0001-01-01.
    let origin = i64::from(days_of(1, 1, 1)) * DAY_US;
    if t < origin {
        return Err(SqlError::plain("time used with time_slice can't before 0001-01-01 00:00:00"));
    }
    let Some(steps) = diff(&unit, t, origin) else { return Ok(Value::Null) };
    let start = steps.div_euclid(n) * n;
    let out = add(origin, if ceil { start + n } else { start }, &unit);
    Ok(out.and_then(|t| Value::DateTime(t).cast(r)).unwrap_or(Value::Null))
}

/// A zone's distance to UTC in seconds at a moment: `Asia/Shanghai`, `+08:00`, `CST`.
pub fn zone_offset(name: &str, utc_seconds: i64) -> Option<i64> {
    use chrono::{Offset as _, TimeZone as _};
    if let Some(fixed) = fixed_offset(name) {
        return Some(fixed);
    }
    let zone = name.parse::<chrono_tz::Tz>().ok()?;
    let instant = chrono::DateTime::from_timestamp(utc_seconds, 0)?;
    Some(i64::from(zone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc()))
}

fn fixed_offset(name: &str) -> Option<i64> {
    if name.is_empty() || name.eq_ignore_ascii_case("UTC") {
        return Some(0);
    }
    if name.eq_ignore_ascii_case("CST") {
        return Some(8 * 3600);
    }
    let (sign, rest) = match name.as_bytes().first()? {
        b'+' => (1, &name[1..]),
        b'-' => (-1, &name[1..]),
        _ => return None,
    };
    let (h, m) = rest.split_once(':')?;
    Some(sign * (h.parse::<i64>().ok()? * 3600 + m.parse::<i64>().ok()? * 60))
}

/// Seconds since 1970 of a local time in a zone.
fn utc_of_local(zone: &str, local_seconds: i64) -> Option<i64> {
    use chrono::TimeZone as _;
    if let Some(fixed) = fixed_offset(zone) {
        return Some(local_seconds - fixed);
    }
    let tz = zone.parse::<chrono_tz::Tz>().ok()?;
    let naive = chrono::DateTime::from_timestamp(local_seconds, 0)?.naive_utc();
    Some(tz.from_local_datetime(&naive).earliest()?.timestamp())
}

/// The last argument is the session's time zone.
fn from_unix(v: &[Value], _: &[SqlType], _: &SqlType) -> SqlResult<Value> {
    let (Some(n), Some(zone)) = (v[0].as_i64(), v.last().and_then(Value::as_text)) else { return Ok(Value::Null) };
    let offset = zone_offset(&zone, n).unwrap_or(0);
    let local = n.checked_add(offset).and_then(|n| n.checked_mul(1_000_000)).and_then(in_range);
    let Some(t) = local.filter(|_| n >= 0) else { return Ok(Value::Null) };
    let pattern = if v.len() > 2 { v[1].as_text().unwrap_or_default() } else { "%Y-%m-%d %H:%i:%s".into() };
    Ok(format(t, &pattern).map_or(Value::Null, Value::Text))
}

macro_rules! shifts {
    ($name:literal, $unit:literal, $sign:literal, $ty:expr) => {
        strict($name, $ty, |v, _, r| shift(v, r, $unit, $sign))
    };
}

pub const FUNCTIONS: &[Function] = &[
    strict("__interval_add", interval_type, |v, _, r| shift(v, r, &v[2].as_text().unwrap_or_default(), 1)),
    strict("__interval_sub", interval_type, |v, _, r| shift(v, r, &v[2].as_text().unwrap_or_default(), -1)),
    shifts!("years_add", "YEAR", 1, keep_type),
    shifts!("years_sub", "YEAR", -1, keep_type),
    shifts!("quarters_add", "QUARTER", 1, keep_type),
    shifts!("quarters_sub", "QUARTER", -1, keep_type),
    shifts!("months_add", "MONTH", 1, keep_type),
    shifts!("months_sub", "MONTH", -1, keep_type),
    shifts!("add_months", "MONTH", 1, keep_type),
    shifts!("weeks_add", "WEEK", 1, keep_type),
    shifts!("weeks_sub", "WEEK", -1, keep_type),
    shifts!("days_add", "DAY", 1, keep_type),
    shifts!("days_sub", "DAY", -1, keep_type),
    shifts!("hours_add", "HOUR", 1, datetime),
    shifts!("hours_sub", "HOUR", -1, datetime),
    shifts!("minutes_add", "MINUTE", 1, datetime),
    shifts!("minutes_sub", "MINUTE", -1, datetime),
    shifts!("seconds_add", "SECOND", 1, datetime),
    shifts!("seconds_sub", "SECOND", -1, datetime),
    shifts!("milliseconds_add", "MILLISECOND", 1, datetime),
    shifts!("milliseconds_sub", "MILLISECOND", -1, datetime),
    shifts!("microseconds_add", "MICROSECOND", 1, datetime),
    shifts!("microseconds_sub", "MICROSECOND", -1, datetime),
    strict("timestampadd", datetime, |v, _, r| {
        shift(&[v[2].clone(), v[1].clone()], r, &v[0].as_text().unwrap_or_default(), 1)
    }),
    strict("timestampdiff", bigint, |v, _, _| {
        Ok(match (us(&v[2]), us(&v[1])) {
            (Some(a), Some(b)) => diff(&v[0].as_text().unwrap_or_default(), a, b).map_or(Value::Null, Value::int),
            _ => Value::Null,
        })
    }),
    strict("date_diff", bigint, |v, _, _| {
        Ok(match (us(&v[1]), us(&v[2])) {
            (Some(a), Some(b)) => match diff(&v[0].as_text().unwrap_or_default(), a, b) {
                Some(n) => Value::int(n),
                None => {
                    return Err(SqlError::plain(
                        "type column should be one of day/hour/minute/second/millisecond/week/month/quarter/year",
                    ));
                }
            },
            _ => Value::Null,
        })
    }),
    strict("datediff", int, |v, _, _| {
        Ok(match (us(&v[0]), us(&v[1])) {
            (Some(a), Some(b)) => Value::int(i64::from(day_of(a) - day_of(b))),
            _ => Value::Null,
        })
    }),
    strict("years_diff", bigint, |v, _, _| {
        Ok(match (us(&v[0]), us(&v[1])) {
            (Some(a), Some(b)) => diff("YEAR", a, b).map_or(Value::Null, Value::int),
            _ => Value::Null,
        })
    }),
    strict("months_diff", bigint, |v, _, _| {
        Ok(match (us(&v[0]), us(&v[1])) {
            (Some(a), Some(b)) => diff("MONTH", a, b).map_or(Value::Null, Value::int),
            _ => Value::Null,
        })
    }),
    strict("weeks_diff", bigint, |v, _, _| {
        Ok(match (us(&v[0]), us(&v[1])) {
            (Some(a), Some(b)) => diff("WEEK", a, b).map_or(Value::Null, Value::int),
            _ => Value::Null,
        })
    }),
    strict("days_diff", bigint, |v, _, _| {
        Ok(match (us(&v[0]), us(&v[1])) {
            (Some(a), Some(b)) => diff("DAY", a, b).map_or(Value::Null, Value::int),
            _ => Value::Null,
        })
    }),
    strict("hours_diff", bigint, |v, _, _| {
        Ok(match (us(&v[0]), us(&v[1])) {
            (Some(a), Some(b)) => diff("HOUR", a, b).map_or(Value::Null, Value::int),
            _ => Value::Null,
        })
    }),
    strict("minutes_diff", bigint, |v, _, _| {
        Ok(match (us(&v[0]), us(&v[1])) {
            (Some(a), Some(b)) => diff("MINUTE", a, b).map_or(Value::Null, Value::int),
            _ => Value::Null,
        })
    }),
    strict("seconds_diff", bigint, |v, _, _| {
        Ok(match (us(&v[0]), us(&v[1])) {
            (Some(a), Some(b)) => diff("SECOND", a, b).map_or(Value::Null, Value::int),
            _ => Value::Null,
        })
    }),
    strict("date_trunc", trunc_type, |v, _, r| {
        let unit = v[0].as_text().unwrap_or_default();
        let Some(t) = us(&v[1]) else { return Ok(Value::Null) };
        match truncate(t, &unit) {
            Some(t) => Ok(Value::DateTime(t).cast(r).unwrap_or(Value::Null)),
            None => Err(SqlError::plain(format!(
                "date_trunc function can't support argument other than year|quarter|month|week|day|hour|minute|second: {unit}"
            ))),
        }
    }),
    strict("time_slice", keep_type, slice),
    strict("date_slice", keep_type, slice),
    strict("year", int, |v, _, _| field(&v[0], |t| i64::from(civil(day_of(t)).0))),
    strict("month", int, |v, _, _| field(&v[0], |t| i64::from(civil(day_of(t)).1))),
    strict("dayofmonth", int, |v, _, _| field(&v[0], |t| i64::from(civil(day_of(t)).2))),
    strict("quarter", int, |v, _, _| field(&v[0], |t| i64::from((civil(day_of(t)).1 - 1) / 3 + 1))),
    strict("hour", int, |v, _, _| field(&v[0], |t| t.rem_euclid(DAY_US) / 3_600_000_000)),
    strict("minute", int, |v, _, _| field(&v[0], |t| t.rem_euclid(DAY_US) / 60_000_000 % 60)),
    strict("second", int, |v, _, _| field(&v[0], |t| t.rem_euclid(DAY_US) / 1_000_000 % 60)),
    strict("microsecond", int, |v, _, _| field(&v[0], |t| t.rem_euclid(1_000_000))),
    strict("dayofweek", int, |v, _, _| field(&v[0], |t| i64::from((weekday(day_of(t)) + 1) % 7 + 1))),
    strict("dayofweek_iso", int, |v, _, _| field(&v[0], |t| i64::from(weekday(day_of(t)) + 1))),
    strict("weekday", int, |v, _, _| field(&v[0], |t| i64::from(weekday(day_of(t))))),
    strict("dayofyear", int, |v, _, _| field(&v[0], |t| i64::from(day_of_year(day_of(t))))),
    strict("week_iso", int, |v, _, _| field(&v[0], |t| i64::from(iso_week(day_of(t)).1))),
    strict("week", int, |v, _, _| {
        Ok(us(&v[0]).map_or(Value::Null, |t| {
            Value::int(i64::from(week(day_of(t), v.get(1).and_then(Value::as_i64).unwrap_or(0)).1))
        }))
    }),
    strict("yearweek", int, |v, _, _| {
        Ok(us(&v[0]).map_or(Value::Null, |t| {
            let (y, w) = week(day_of(t), v.get(1).and_then(Value::as_i64).unwrap_or(0) | 2);
            Value::int(i64::from(y * 100 + w))
        }))
    }),
    strict("dayname", string, |v, _, _| {
        Ok(us(&v[0]).map_or(Value::Null, |t| Value::text(DAYS[((weekday(day_of(t)) + 1) % 7) as usize])))
    }),
    strict("monthname", string, |v, _, _| {
        Ok(us(&v[0]).map_or(Value::Null, |t| Value::text(MONTHS[civil(day_of(t)).1 as usize - 1])))
    }),
    strict("last_day", date, |v, _, _| {
        Ok(us(&v[0]).map_or(Value::Null, |t| {
            let (y, m, _) = civil(day_of(t));
            Value::Date(match v.get(1).and_then(Value::as_text).unwrap_or_default().to_lowercase().as_str() {
                "year" => days_of(y, 12, 31),
                "quarter" => {
                    let q = (m - 1) / 3 * 3 + 3;
                    days_of(y, q, crate::time::days_in_month(y, q))
                }
                _ => days_of(y, m, crate::time::days_in_month(y, m)),
            })
        }))
    }),
    strict("next_day", date, |v, _, _| {
        let name = v[1].as_text().unwrap_or_default().to_lowercase();
        let wanted = DAYS.iter().position(|d| {
            let d = d.to_lowercase();
            name.len() >= 2 && d.starts_with(&name)
        });
        Ok(match (us(&v[0]), wanted) {
            (Some(t), Some(w)) => {
                let d = day_of(t);
                Value::Date(d + (w as i32 - (weekday(d) + 1) % 7 + 6).rem_euclid(7) + 1)
            }
            _ => Value::Null,
        })
    }),
    strict("date", date, |v, _, r| Ok(v[0].cast(r).unwrap_or(Value::Null))),
    strict("timestamp", datetime, |v, _, r| Ok(v[0].cast(r).unwrap_or(Value::Null))),
    strict("to_days", int, |v, _, _| field(&v[0], |t| i64::from(day_of(t)) + 719_528)),
    strict("from_days", date, |v, _, _| {
        Ok(v[0]
            .as_i64()
            .and_then(|n| i32::try_from(n - 719_528).ok())
            .filter(|d| (crate::time::DATE_MIN..=crate::time::DATE_MAX).contains(d))
            .map_or(Value::Null, Value::Date))
    }),
    strict("makedate", date, |v, _, _| {
        Ok(match (v[0].as_i64(), v[1].as_i64()) {
            (Some(y), Some(n))
                if (0..=9999).contains(&y) && n >= 1 && n <= if is_leap(y as i32) { 366 } else { 365 } =>
            {
                Value::Date(days_of(y as i32, 1, 1) + n as i32 - 1)
            }
            _ => Value::Null,
        })
    }),
    strict("date_format", string, |v, _, _| {
        Ok(us(&v[0]).and_then(|t| format(t, &v[1].as_text().unwrap_or_default())).map_or(Value::Null, Value::Text))
    }),
    strict("str_to_date", str_to_date_type, |v, _, r| {
        Ok(parse(&v[0].as_text().unwrap_or_default(), &v[1].as_text().unwrap_or_default())
            .and_then(|t| Value::DateTime(t).cast(r))
            .unwrap_or(Value::Null))
    }),
    strict("str_to_date_only", date, |v, _, _| {
        Ok(parse(
            &v[0].as_text().unwrap_or_default(),
            &v.get(1).and_then(Value::as_text).unwrap_or_else(|| "%Y-%m-%d".into()),
        )
        .map_or(Value::Null, |t| Value::Date(day_of(t))))
    }),
    strict("__unix_timestamp", bigint, |v, _, _| {
        let t = if v.len() > 2 {
            parse(&v[0].as_text().unwrap_or_default(), &v[1].as_text().unwrap_or_default())
        } else {
            us(&v[0])
        };
        let zone = v.last().and_then(Value::as_text).unwrap_or_default();
        Ok(t.and_then(|t| utc_of_local(&zone, t.div_euclid(1_000_000))).map_or(Value::Null, |t| Value::int(t.max(0))))
    }),
    strict("__from_unixtime", string, from_unix),
    strict("__from_unixtime_ms", string, |v, t, r| {
        let mut v = v.to_vec();
        v[0] = v[0].as_i64().map_or(Value::Null, |n| Value::int(n / 1000));
        from_unix(&v, t, r)
    }),
    strict("sec_to_time", string, |v, _, _| {
        Ok(v[0].as_i64().map_or(Value::Null, |n| {
            let a = n.unsigned_abs();
            Value::Text(format!("{}{:02}:{:02}:{:02}", if n < 0 { "-" } else { "" }, a / 3600, a / 60 % 60, a % 60))
        }))
    }),
    strict("time_to_sec", bigint, |v, _, _| {
        let text = v[0].as_text().unwrap_or_default();
        let clock = text.rsplit(' ').next().unwrap_or_default().to_string();
        let parts: Vec<i64> =
            clock.trim_start_matches('-').split([':', '.']).take(3).map(|p| p.parse().unwrap_or(-1)).collect();
        Ok(match parts.as_slice() {
            [h, m, s] if *h >= 0 && *m >= 0 && *s >= 0 => {
                Value::int(if clock.starts_with('-') { -1 } else { 1 } * (h * 3600 + m * 60 + s))
            }
            _ => Value::Null,
        })
    }),
    strict("timediff", string, |v, _, _| {
        Ok(match (us(&v[0]), us(&v[1])) {
            (Some(a), Some(b)) => {
                let n = (a - b) / 1_000_000;
                let m = n.unsigned_abs();
                Value::Text(format!("{}{:02}:{:02}:{:02}", if n < 0 { "-" } else { "" }, m / 3600, m / 60 % 60, m % 60))
            }
            _ => Value::Null,
        })
    }),
    strict("time_format", string, |v, _, _| {
        Ok(us(&v[0]).and_then(|t| format(t, &v[1].as_text().unwrap_or_default())).map_or(Value::Null, Value::Text))
    }),
    strict("convert_tz", datetime, |v, _, _| {
        let (Some(t), Some(from), Some(to)) = (us(&v[0]), v[1].as_text(), v[2].as_text()) else {
            return Ok(Value::Null);
        };
        let utc = utc_of_local(&from, t.div_euclid(1_000_000));
        let local = utc.and_then(|utc| Some(utc + zone_offset(&to, utc)?));
        Ok(local.map_or(Value::Null, |s| Value::DateTime(s * 1_000_000 + t.rem_euclid(1_000_000))))
    }),
    lenient("is_date_valid", boolean, |v, _, _| Ok(Value::Bool(us(&v[0]).is_some()))),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_written_and_read_back() {
        let t = crate::time::parse_datetime(b"2024-02-03 14:05:06.789").unwrap();
        let check = |p: &str, want: &str| assert_eq!(format(t, p).as_deref(), Some(want), "{p}");
        check("%Y-%m-%d %H:%i:%s.%f", "2024-02-03 14:05:06.789000");
        check("%W %M %D %r", "Saturday February 3rd 02:05:06 PM");
        check("%x-%v %j", "2024-05 034");
        assert_eq!(parse("2024-02-03 14:05:06", "%Y-%m-%d %T"), Some(t - 789_000));
        assert_eq!(parse("nonsense", "%Y"), None);
        assert_eq!(diff("MONTH", t, crate::time::parse_datetime(b"2023-12-31").unwrap()), Some(1));
    }
}
