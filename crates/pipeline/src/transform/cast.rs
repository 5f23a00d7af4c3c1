//! CAST and TRY_CAST: from every type to every type, as Flink CDC's casting functions do.

use starweir_model::{DataType, Decimal, Error, Instant, LogicalType as L, Result, Value};
use starweir_sql::Zone;
use starweir_sql::java::{self, Civil, NANOS_PER_DAY, NANOS_PER_SECOND};

use super::decimal::{self, Digits};
use crate::print;

/// What becomes of text that is no value of the target type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// CAST: NULL for numbers, an error for timestamps; integers wrap around.
    Cast,
    /// TRY_CAST: NULL.
    Try,
    /// A conversion nobody wrote, because an operator wants the type: an error.
    Implicit,
}

/// The value as text: Java's `toString`, with timestamps in ISO form and instants in UTC.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Map(entries) => {
            let entries: Vec<_> = entries.iter().map(|(k, v)| format!("{}={}", text(k), text(v))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Array(items) | Value::Row(items) => {
            format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(", "))
        }
        other => print::value(other, None),
    }
}

/// The value in another type. NULL stays NULL.
pub(super) fn cast(value: &Value, to: &L, mode: Mode, zone: Zone) -> Result<Value> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    let trimmed;
    // TRY_CAST reads text without the blanks around it.
    let value = match (value, mode) {
        (Value::String(s), Mode::Try) if !to.is_character() => {
            trimmed = Value::String(s.trim_matches(|c| c <= ' ').to_owned());
            &trimmed
        }
        _ => value,
    };
    let result = match to {
        L::Char(_) | L::VarChar(_) => Value::String(text(value)),
        L::Boolean => boolean(value, mode),
        L::TinyInt => integer(value, mode, 8).map_or(Value::Null, |v| Value::TinyInt(v as i8)),
        L::SmallInt => integer(value, mode, 16).map_or(Value::Null, |v| Value::SmallInt(v as i16)),
        L::Int => integer(value, mode, 32).map_or(Value::Null, |v| Value::Int(v as i32)),
        L::BigInt => integer(value, mode, 64).map_or(Value::Null, Value::BigInt),
        L::Float => single(value).map_or(Value::Null, Value::Float),
        L::Double => double(value).map_or(Value::Null, Value::Double),
        L::Decimal(p, s) => exact(value, *p, *s).map_or(Value::Null, Value::Decimal),
        L::Timestamp(_) => return timestamp(value, mode, zone),
        L::TimestampLtz(_) => return Ok(instant(timestamp(value, mode, zone)?, value, zone)),
        L::TimestampTz(_) => return Ok(zoned(timestamp(value, mode, zone)?, value, zone)),
        L::Date => return date(value, mode, zone),
        L::Time(_) => return time(value, mode, zone),
        L::Binary(_) | L::VarBinary(_) => match value {
            Value::Binary(bytes) => Value::Binary(bytes.clone()),
            other => Value::Binary(text(other).into_bytes()),
        },
        L::Array(element) => match value {
            Value::Array(items) => {
                Value::Array(items.iter().map(|v| cast(v, &element.logical, mode, zone)).collect::<Result<_>>()?)
            }
            _ => return Err(no_cast(value, to)),
        },
        L::Map(key, of) => match value {
            Value::Map(entries) => Value::Map(
                entries
                    .iter()
                    .map(|(k, v)| Ok((cast(k, &key.logical, mode, zone)?, cast(v, &of.logical, mode, zone)?)))
                    .collect::<Result<_>>()?,
            ),
            _ => return Err(no_cast(value, to)),
        },
        L::Row(fields) => match value {
            Value::Row(items) if items.len() == fields.len() => Value::Row(
                items
                    .iter()
                    .zip(fields)
                    .map(|(v, f)| cast(v, &f.data_type.logical, mode, zone))
                    .collect::<Result<_>>()?,
            ),
            _ => return Err(no_cast(value, to)),
        },
        L::Variant => match value {
            Value::Variant(_) => value.clone(),
            other => Value::Variant(as_json(other)),
        },
        L::Null => value.clone(),
        L::Multiset(_) | L::IntervalYearMonth | L::IntervalDayTime => return Err(no_cast(value, to)),
    };
    if mode == Mode::Implicit && result.is_null() {
        return Err(Error::data(format!("a value is no {}", super::types::digest(to))));
    }
    Ok(result)
}

fn no_cast(value: &Value, to: &L) -> Error {
    Error::data(format!("{} can not be cast to {to}", super::compare::java_class(value)))
}

fn as_json(value: &Value) -> String {
    match value {
        Value::Boolean(_)
        | Value::TinyInt(_)
        | Value::SmallInt(_)
        | Value::Int(_)
        | Value::BigInt(_)
        | Value::Decimal(_) => text(value),
        other => serde_json::Value::String(text(other)).to_string(),
    }
}

fn boolean(value: &Value, mode: Mode) -> Value {
    Value::Boolean(match value {
        Value::Boolean(v) => *v,
        Value::TinyInt(v) => *v != 0,
        Value::SmallInt(v) => *v != 0,
        Value::Int(v) => *v != 0,
        Value::BigInt(v) => *v != 0,
        Value::Float(v) => *v != 0.0,
        Value::Double(v) => *v != 0.0,
        Value::Decimal(v) => v.unscaled != 0,
        Value::String(s) if mode == Mode::Try => match s.to_lowercase().as_str() {
            "t" | "true" | "y" | "yes" | "1" => true,
            "f" | "false" | "n" | "no" | "0" => false,
            _ => return Value::Null,
        },
        other => text(other).eq_ignore_ascii_case("true"),
    })
}

/// The text a number is read from.
fn number_text(value: &Value) -> String {
    match value {
        Value::Boolean(v) => if *v { "1" } else { "0" }.to_owned(),
        other => text(other),
    }
}

/// An integer of so many bits. A fraction is cut; text that holds a floating point number wraps around as Java's
/// narrowing does, other text gives None.
fn integer(value: &Value, mode: Mode, bits: u32) -> Option<i64> {
    let narrow = |wide: i64| match bits {
        8 => i64::from(wide as i8),
        16 => i64::from(wide as i16),
        32 => i64::from(wide as i32),
        _ => wide,
    };
    // double → int saturates, int → byte and short wrap.
    let from_double = |v: f64| if bits == 64 { v as i64 } else { narrow(i64::from(v as i32)) };
    match value {
        Value::Boolean(v) => return Some(i64::from(*v)),
        Value::Decimal(v) => return Some(narrow(decimal::whole(*v) as i64)),
        Value::Double(v) => return Some(from_double(*v)),
        Value::Float(v) => return Some(from_double(f64::from(*v))),
        _ => {}
    }
    let text = text(value);
    let whole = match bits {
        8 => text.parse::<i8>().ok().map(i64::from),
        16 => text.parse::<i16>().ok().map(i64::from),
        32 => text.parse::<i32>().ok().map(i64::from),
        _ => text.parse::<i64>().ok(),
    };
    match (whole, value, mode) {
        (Some(whole), _, _) => Some(whole),
        (None, Value::String(_), Mode::Try) => None,
        (None, _, _) => java::java_double(&text).map(from_double),
    }
}

fn double(value: &Value) -> Option<f64> {
    match value {
        Value::Double(v) => Some(*v),
        Value::Float(v) => Some(f64::from(*v)),
        Value::Decimal(v) => Some(decimal::to_f64(*v)),
        other => java::java_double(&number_text(other)),
    }
}

fn single(value: &Value) -> Option<f32> {
    match value {
        Value::Float(v) => Some(*v),
        Value::Double(v) => Some(*v as f32),
        Value::Decimal(v) => Some(decimal::to_f32(*v)),
        other => {
            let text = number_text(other);
            java::java_double(&text)?;
            let text = text.trim_matches(|c| c <= ' ');
            let text = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
            text.parse().ok()
        }
    }
}

fn exact(value: &Value, precision: u8, scale: u8) -> Option<Decimal> {
    let digits = match value {
        Value::Decimal(v) => Digits::of(*v),
        other => Digits::parse(&number_text(other))?,
    };
    let digits = digits.round(usize::from(precision)).with_scale(i64::from(scale));
    if digits.precision() > usize::from(precision) {
        return None;
    }
    digits.to_decimal()
}

// ---- points in time ------------------------------------------------------------------------

/// Nanoseconds since 1970 of an [`Instant`].
pub(super) fn nanos(at: Instant) -> i128 {
    i128::from(at.seconds) * NANOS_PER_SECOND + i128::from(at.nanos)
}

pub(super) fn from_nanos(nanos: i128) -> Instant {
    let seconds = nanos.div_euclid(NANOS_PER_SECOND);
    Instant::new(
        i64::try_from(seconds).unwrap_or(if seconds < 0 { i64::MIN } else { i64::MAX }),
        nanos.rem_euclid(NANOS_PER_SECOND) as u32,
    )
}

pub(super) fn to_local(at: Instant, zone: Zone) -> Instant {
    from_nanos(zone.to_local(nanos(at)))
}

pub(super) fn to_instant(local: Instant, zone: Zone) -> Instant {
    from_nanos(zone.to_instant(nanos(local)))
}

/// The instant a zoned timestamp stands for.
pub(super) fn of_zoned(local: Instant, offset_seconds: i32) -> Instant {
    Instant::new(local.seconds.saturating_sub(i64::from(offset_seconds)), local.nanos)
}

fn timestamp(value: &Value, mode: Mode, zone: Zone) -> Result<Value> {
    Ok(match value {
        Value::Null => Value::Null,
        Value::Timestamp(_) => value.clone(),
        Value::TimestampLtz(at) => Value::Timestamp(to_local(*at, zone)),
        Value::TimestampTz { local, offset_seconds, .. } => {
            Value::Timestamp(to_local(of_zoned(*local, *offset_seconds), zone))
        }
        Value::Date(days) => Value::Timestamp(Instant::new(i64::from(*days) * 86_400, 0)),
        other => match parse_timestamp(&number_text(other), zone) {
            Some(at) => Value::Timestamp(at),
            None if mode == Mode::Try => Value::Null,
            None => {
                return Err(Error::data(format!(
                    "Unable to parse given string as timestamp: {}",
                    super::errors::private(&number_text(other))
                )));
            }
        },
    })
}

fn instant(local: Value, from: &Value, zone: Zone) -> Value {
    match (local, from) {
        (_, Value::TimestampLtz(at)) => Value::TimestampLtz(*at),
        (_, Value::TimestampTz { local, offset_seconds, .. }) => Value::TimestampLtz(of_zoned(*local, *offset_seconds)),
        (Value::Timestamp(local), _) => Value::TimestampLtz(to_instant(local, zone)),
        (other, _) => other,
    }
}

fn zoned(local: Value, from: &Value, zone: Zone) -> Value {
    match (local, from) {
        (_, Value::TimestampTz { .. }) => from.clone(),
        (Value::Timestamp(local), _) => {
            let at = to_instant(local, zone);
            let offset_seconds = (local.seconds.saturating_sub(at.seconds)).clamp(-64_800, 64_800) as i32;
            Value::TimestampTz { local, offset_seconds, zone: zone.name() }
        }
        (other, _) => other,
    }
}

fn date(value: &Value, mode: Mode, zone: Zone) -> Result<Value> {
    Ok(match value {
        Value::Date(_) => value.clone(),
        Value::TimestampTz { local, .. } => Value::Date(days(*local)),
        other => match timestamp(other, mode, zone)? {
            Value::Timestamp(local) => Value::Date(days(local)),
            other => other,
        },
    })
}

fn time(value: &Value, mode: Mode, zone: Zone) -> Result<Value> {
    let of_day = |local: Instant| Value::Time(nanos(local).rem_euclid(NANOS_PER_DAY) as i64);
    Ok(match value {
        Value::Time(_) => value.clone(),
        Value::String(s) => match parse_clock(s) {
            Some((nanos, "")) => Value::Time(nanos),
            _ if mode == Mode::Try => Value::Null,
            _ => {
                return Err(Error::data(format!(
                    "Unable to parse given string as time: {}",
                    super::errors::private(s)
                )));
            }
        },
        Value::TimestampTz { local, .. } => of_day(*local),
        other => match timestamp(other, mode, zone)? {
            Value::Timestamp(local) => of_day(local),
            other => other,
        },
    })
}

/// The date of a local point in time.
pub(super) fn days(local: Instant) -> i32 {
    let days = local.seconds.div_euclid(86_400);
    i32::try_from(days).unwrap_or(if days < 0 { i32::MIN } else { i32::MAX })
}

fn digits(text: &str, count: usize) -> Option<(u32, &str)> {
    let head = text.get(..count)?;
    if !head.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((head.parse().ok()?, &text[count..]))
}

/// `2024-01-31` at the beginning of a text: days, and the rest.
fn parse_day(text: &str) -> Option<(i64, &str)> {
    let (year, rest) = digits(text, 4)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let year = i64::from(year);
    if !(1..=12).contains(&month) || day == 0 || day > java::days_in_month(year, month) {
        return None;
    }
    Some((java::days_of(year, month, day), rest))
}

/// `10:15`, `10:15:30` or `10:15:30.123` at the beginning of a text: nanoseconds, and the rest.
fn parse_clock(text: &str) -> Option<(i64, &str)> {
    let (hour, rest) = digits(text, 2)?;
    let (minute, mut rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (mut second, mut nano) = (0, 0);
    if let Some(more) = rest.strip_prefix(':') {
        (second, rest) = digits(more, 2)?;
        if let Some(more) = rest.strip_prefix('.') {
            let count = more.bytes().take_while(u8::is_ascii_digit).count();
            if count > 9 {
                return None;
            }
            nano = format!("{:0<9}", &more[..count]).parse().ok()?;
            rest = &more[count..];
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(((i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second)) * 1_000_000_000 + nano, rest))
}

/// A date, a local date and time with `T`, an instant with `Z`, or one with an offset and perhaps a zone (whose local
/// time counts).
fn parse_timestamp(text: &str, zone: Zone) -> Option<Instant> {
    let (days, rest) = parse_day(text)?;
    let midnight = i128::from(days) * NANOS_PER_DAY;
    if rest.is_empty() {
        return Some(from_nanos(midnight));
    }
    let (clock, rest) = parse_clock(rest.strip_prefix(['T', 't'])?)?;
    let local = from_nanos(midnight + i128::from(clock));
    match rest {
        "" => Some(local),
        "Z" | "z" => Some(to_local(local, zone)),
        offset => {
            let offset = match offset.split_once('[') {
                Some((offset, name)) => {
                    Zone::parse(name.strip_suffix(']')?)?;
                    offset
                }
                None => offset,
            };
            (matches!(offset, "Z" | "z") || offset.starts_with(['+', '-']) && Zone::parse(offset).is_some())
                .then_some(local)
        }
    }
}

/// Year to second of a local point in time.
pub(super) fn civil(local: Instant) -> Civil {
    Civil::from_nanos(nanos(local))
}

// ---- into a column -------------------------------------------------------------------------

/// The value as a column of this type holds it: a decimal that does not fit is NULL, other numbers take the column's
/// width.
pub(super) fn fit(value: Value, of: &DataType, zone: Zone) -> Result<Value> {
    Ok(match (&of.logical, value) {
        (_, Value::Null) => Value::Null,
        (L::Decimal(p, s), Value::Decimal(v)) => decimal::fit(v, *p, *s).map_or(Value::Null, Value::Decimal),
        (L::Array(element), Value::Array(items)) => {
            Value::Array(items.into_iter().map(|v| fit(v, element, zone)).collect::<Result<_>>()?)
        }
        (L::Map(key, of), Value::Map(entries)) => Value::Map(
            entries.into_iter().map(|(k, v)| Ok((fit(k, key, zone)?, fit(v, of, zone)?))).collect::<Result<_>>()?,
        ),
        (L::Row(fields), Value::Row(items)) if items.len() == fields.len() => {
            Value::Row(items.into_iter().zip(fields).map(|(v, f)| fit(v, &f.data_type, zone)).collect::<Result<_>>()?)
        }
        (L::Boolean, v @ Value::Boolean(_))
        | (L::TinyInt, v @ Value::TinyInt(_))
        | (L::SmallInt, v @ Value::SmallInt(_))
        | (L::Int, v @ Value::Int(_))
        | (L::BigInt, v @ Value::BigInt(_))
        | (L::Float, v @ Value::Float(_))
        | (L::Double, v @ Value::Double(_))
        | (L::Char(_) | L::VarChar(_), v @ Value::String(_))
        | (L::Binary(_) | L::VarBinary(_), v @ Value::Binary(_))
        | (L::Date, v @ Value::Date(_))
        | (L::Time(_), v @ Value::Time(_))
        | (L::Timestamp(_), v @ Value::Timestamp(_))
        | (L::TimestampLtz(_), v @ Value::TimestampLtz(_))
        | (L::TimestampTz(_), v @ Value::TimestampTz { .. })
        | (L::Variant, v @ Value::Variant(_)) => v,
        (logical, v) => cast(&v, logical, Mode::Cast, zone)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> L {
        text.parse::<DataType>().unwrap().logical
    }

    fn check(value: Value, to: &str, mode: Mode, expected: &str) {
        let result = match cast(&value, &of(to), mode, Zone::UTC) {
            Ok(value) => text(&value),
            Err(_) => "error".to_owned(),
        };
        assert_eq!(result, expected, "{value:?} to {to} ({mode:?})");
    }

    #[test]
    fn text_becomes_numbers_as_java_reads_them() {
        for (given, to, cast, attempt) in [
            ("2.22", "TINYINT", "2", "null"),
            ("333", "TINYINT", "77", "null"),
            ("5555555", "SMALLINT", "-15005", "null"),
            ("9999999999", "INT", "2147483647", "null"),
            ("9223372036854775808", "BIGINT", "9223372036854775807", "null"),
            (" 7 ", "INT", "7", "7"),
            ("NaN", "INT", "0", "null"),
            ("1e3", "INT", "1000", "null"),
            ("FOOBAR", "INT", "null", "null"),
            ("", "INT", "null", "null"),
            ("1.5f", "DOUBLE", "1.5", "1.5"),
            ("inf", "DOUBLE", "null", "null"),
            ("7.7", "FLOAT", "7.7", "7.7"),
            ("44.44", "DECIMAL(10, 0)", "44", "44"),
            (" 44.44", "DECIMAL(10, 0)", "null", "44"),
            ("12345", "DECIMAL(4, 0)", "null", "null"),
            ("TRUE", "BOOLEAN", "true", "true"),
            ("yes", "BOOLEAN", "false", "true"),
            ("what", "BOOLEAN", "false", "null"),
        ] {
            check(Value::string(given), to, Mode::Cast, cast);
            check(Value::string(given), to, Mode::Try, attempt);
        }
    }

    #[test]
    fn numbers_wrap_or_saturate_as_java_narrows() {
        for (given, to, expected) in [
            (Value::Int(128), "TINYINT", "-128"),
            (Value::BigInt(4_294_967_297), "INT", "2147483647"),
            (Value::Double(3.0e10), "INT", "2147483647"),
            (Value::Double(300.9), "TINYINT", "44"),
            (Value::Float(-6.7), "INT", "-6"),
            (Value::Float(6.7), "DOUBLE", "6.699999809265137"),
            (Value::Double(8.9), "DECIMAL(2, 0)", "9"),
            (Value::Boolean(true), "DECIMAL(3, 1)", "1.0"),
            (Value::Boolean(true), "TINYINT", "1"),
            (Value::Decimal(Decimal { unscaled: 1_000, scale: 2 }), "BOOLEAN", "true"),
            (Value::Date(1), "INT", "null"),
        ] {
            check(given, to, Mode::Cast, expected);
        }
    }

    #[test]
    fn text_becomes_timestamps_in_iso_form_only() {
        for (given, expected) in [
            ("2019-12-31T21:48:25", "2019-12-31T21:48:25"),
            ("2019-12-31", "2019-12-31T00:00"),
            ("2019-12-31T21:48", "2019-12-31T21:48"),
            ("2019-12-31T21:48:25Z", "2019-12-31T21:48:25"),
            ("2019-12-31T21:48:25.5+08:00[Asia/Shanghai]", "2019-12-31T21:48:25.500"),
            ("2019-12-31 21:48:25", "error"),
            ("2019-02-30", "error"),
            ("FOOBAR", "error"),
            ("", "error"),
        ] {
            check(Value::string(given), "TIMESTAMP(6)", Mode::Cast, expected);
            let attempt = if expected == "error" { "null" } else { expected };
            check(Value::string(given), "TIMESTAMP(6)", Mode::Try, attempt);
        }
    }

    #[test]
    fn a_conversion_nobody_asked_for_never_loses_a_value() {
        check(Value::string("Alice"), "INT", Mode::Implicit, "error");
        check(Value::string("12"), "INT", Mode::Implicit, "12");
        check(Value::Null, "INT", Mode::Implicit, "null");
    }
}
