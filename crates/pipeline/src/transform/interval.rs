//! Literals of time: DATE, TIME, TIMESTAMP and INTERVAL.

use starweir_model::{Error, LogicalType as L, Result, Value};
use starweir_sql::Zone;

use super::cast::{self, Mode};

fn read(text: &str, of: &L, what: &str) -> Result<Value> {
    cast::cast(&Value::string(text), of, Mode::Try, Zone::UTC)
        .ok()
        .filter(|v| !v.is_null())
        .ok_or_else(|| Error::user(format!("Illegal {what} literal '{text}': not in format '{}'", format_of(of))))
}

fn format_of(of: &L) -> &'static str {
    match of {
        L::Date => "yyyy-MM-dd",
        L::Time(_) => "HH:mm:ss",
        _ => "yyyy-MM-dd HH:mm:ss",
    }
}

pub(super) fn date(text: &str) -> Result<Value> {
    read(text, &L::Date, "DATE")
}

pub(super) fn time(text: &str) -> Result<Value> {
    read(text, &L::Time(0), "TIME")
}

pub(super) fn timestamp(text: &str) -> Result<Value> {
    read(&text.replacen(' ', "T", 1), &L::Timestamp(3), "TIMESTAMP")
}

/// Units from the longest to the shortest, in months or milliseconds.
const MONTHS: &[(&str, i64)] = &[("YEAR", 12), ("QUARTER", 3), ("MONTH", 1)];
const MILLIS: &[(&str, i64)] =
    &[("WEEK", 7 * 86_400_000), ("DAY", 86_400_000), ("HOUR", 3_600_000), ("MINUTE", 60_000), ("SECOND", 1000)];

/// Months or milliseconds of `INTERVAL 'value' from [TO to]`.
pub(super) fn interval(value: &str, negative: bool, from: &str, to: Option<&str>) -> Result<(i64, L)> {
    let refused = || Error::user(format!("Illegal INTERVAL literal '{value}' {from}"));
    let text = value.trim();
    let minus = text.starts_with('-');
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (units, of) = if MONTHS.iter().any(|(unit, _)| *unit == from) {
        (MONTHS, L::IntervalYearMonth)
    } else {
        (MILLIS, L::IntervalDayTime)
    };
    let first = units.iter().position(|(unit, _)| *unit == from).ok_or_else(refused)?;
    let last = match to {
        Some(to) => units.iter().position(|(unit, _)| *unit == to).filter(|last| *last > first).ok_or_else(refused)?,
        None => first,
    };
    // YEAR TO MONTH skips the quarter.
    let fields: Vec<i64> =
        units[first..=last].iter().filter(|(unit, _)| to.is_none() || *unit != "QUARTER").map(|(_, n)| *n).collect();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let parts: Vec<&str> = whole.split(['-', ' ', ':']).collect();
    let is_digits = |text: &str| !text.is_empty() && text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit());
    if parts.len() != fields.len() || !parts.iter().all(|p| is_digits(p)) {
        return Err(refused());
    }
    let mut amount = 0i64;
    for (part, unit) in parts.iter().zip(&fields) {
        let part: i64 = part.parse().map_err(|_| refused())?;
        amount = part.checked_mul(*unit).and_then(|n| amount.checked_add(n)).ok_or_else(refused)?;
    }
    if !fraction.is_empty() {
        if fields.last() != Some(&1000) || !is_digits(fraction) {
            return Err(refused());
        }
        amount += format!("{fraction:0<3}")[..3].parse::<i64>().map_err(|_| refused())?;
    }
    Ok((if minus != negative { -amount } else { amount }, of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_months_or_milliseconds() {
        for (value, from, to, expected) in [
            ("1", "DAY", None, Some(86_400_000)),
            ("-2", "HOUR", None, Some(-7_200_000)),
            ("1-6", "YEAR", Some("MONTH"), Some(18)),
            ("3", "MONTH", None, Some(3)),
            ("1 02:03:04.5", "DAY", Some("SECOND"), Some(93_784_500)),
            ("10:20", "HOUR", Some("MINUTE"), Some(37_200_000)),
            ("1.25", "SECOND", None, Some(1250)),
            ("1", "CENTURY", None, None),
            ("x", "DAY", None, None),
            ("1 2", "DAY", None, None),
            ("999999999999", "WEEK", None, None),
        ] {
            assert_eq!(interval(value, false, from, to).ok().map(|(n, _)| n), expected, "{value} {from} {to:?}");
        }
    }
}
