//! Equality and order of values: Java's `equals`, which knows classes, and the numeric comparisons beside it.

use std::cmp::Ordering;

use starweir_model::{Error, Result, Value};

use super::decimal::{self, Digits};

/// The name of the class Flink CDC holds the value in.
pub(super) fn java_class(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Boolean(_) => "java.lang.Boolean",
        Value::TinyInt(_) => "java.lang.Byte",
        Value::SmallInt(_) => "java.lang.Short",
        Value::Int(_) => "java.lang.Integer",
        Value::BigInt(_) => "java.lang.Long",
        Value::Float(_) => "java.lang.Float",
        Value::Double(_) => "java.lang.Double",
        Value::Decimal(_) => "java.math.BigDecimal",
        Value::String(_) => "java.lang.String",
        Value::Binary(_) => "byte[]",
        Value::Date(_) => "java.time.LocalDate",
        Value::Time(_) => "java.time.LocalTime",
        Value::Timestamp(_) => "java.time.LocalDateTime",
        Value::TimestampLtz(_) => "java.time.Instant",
        Value::TimestampTz { .. } => "java.time.ZonedDateTime",
        Value::Array(_) | Value::Row(_) => "java.util.List",
        Value::Map(_) => "java.util.Map",
        Value::Variant(_) => "org.apache.flink.cdc.common.types.variant.Variant",
    }
}

/// `=`: false with a NULL, and false for numbers of different types, as Java's `equals` has it.
pub(super) fn equals(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => false,
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
        (Value::Double(a), Value::Double(b)) => a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
        (Value::Decimal(a), Value::Decimal(b)) => compare_digits(&Digits::of(*a), &Digits::of(*b)) == Ordering::Equal,
        (Value::Array(_) | Value::Row(_) | Value::Map(_), _) => deep_equals(left, right),
        _ => left == right,
    }
}

fn as_f64(value: &Value) -> Option<f64> {
    Some(match value {
        Value::TinyInt(v) => f64::from(*v),
        Value::SmallInt(v) => f64::from(*v),
        Value::Int(v) => f64::from(*v),
        Value::BigInt(v) => *v as f64,
        Value::Float(v) => f64::from(*v),
        Value::Double(v) => *v,
        Value::Decimal(v) => decimal::to_f64(*v),
        _ => return None,
    })
}

fn as_digits(value: &Value) -> Option<Digits> {
    match value {
        Value::Float(v) if v.is_finite() => Digits::parse(&v.to_string()),
        Value::Double(v) if v.is_finite() => Digits::parse(&v.to_string()),
        Value::Decimal(v) => Some(Digits::of(*v)),
        Value::TinyInt(_) | Value::SmallInt(_) | Value::Int(_) | Value::BigInt(_) => {
            Digits::parse(&super::cast::text(value))
        }
        _ => None,
    }
}

fn as_i64(value: &Value) -> Option<i64> {
    Some(match value {
        Value::TinyInt(v) => i64::from(*v),
        Value::SmallInt(v) => i64::from(*v),
        Value::Int(v) => i64::from(*v),
        Value::BigInt(v) => *v,
        _ => return None,
    })
}

/// Java's `Double.compare`: NaN is greatest, -0.0 below 0.0.
fn compare_doubles(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => a.total_cmp(&b),
    }
}

fn compare_digits(a: &Digits, b: &Digits) -> Ordering {
    let (Some(x), Some(y)) = (a.to_decimal(), b.to_decimal()) else {
        // Beyond 38 digits a double decides.
        let value = |d: &Digits| d.text().parse::<f64>().unwrap_or(f64::NAN);
        return compare_doubles(value(a), value(b));
    };
    let scale = x.scale.max(y.scale);
    match (decimal::rescale(x, scale), decimal::rescale(y, scale)) {
        (Some(x), Some(y)) => x.unscaled.cmp(&y.unscaled),
        _ => compare_doubles(decimal::to_f64(x), decimal::to_f64(y)),
    }
}

/// Numbers by their value, whatever their types; None when one is no number.
pub(super) fn compare_numbers(left: &Value, right: &Value) -> Option<Ordering> {
    if let (Some(a), Some(b)) = (as_i64(left), as_i64(right)) {
        return Some(a.cmp(&b));
    }
    match (as_digits(left), as_digits(right)) {
        (Some(a), Some(b)) => Some(compare_digits(&a, &b)),
        _ => Some(compare_doubles(as_f64(left)?, as_f64(right)?)),
    }
}

/// The equality of NULLIF and IN: numbers by value, bytes by content.
pub(super) fn sql_equals(left: &Value, right: &Value) -> bool {
    compare_numbers(left, right).map_or_else(|| equals(left, right), Ordering::is_eq)
}

/// The equality inside of collections: NULL equals NULL, numbers are equal by value.
pub(super) fn deep_equals(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Null, _) | (_, Value::Null) => false,
        (Value::Array(a) | Value::Row(a), Value::Array(b) | Value::Row(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| deep_equals(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len()
                && a.iter().all(|(k, v)| b.iter().any(|(k2, v2)| deep_equals(k, k2) && deep_equals(v, v2)))
        }
        (Value::Array(_) | Value::Row(_) | Value::Map(_), _) => false,
        (a, b) => match (as_i64(a), as_i64(b)) {
            (Some(a), Some(b)) => a == b,
            _ => match (as_f64(a), as_f64(b)) {
                (Some(x), Some(y)) if is_float(a) || is_float(b) => compare_doubles(x, y).is_eq(),
                (Some(_), Some(_)) => compare_numbers(a, b).is_some_and(Ordering::is_eq),
                _ => equals(a, b),
            },
        },
    }
}

fn is_float(value: &Value) -> bool {
    matches!(value, Value::Float(_) | Value::Double(_))
}

/// The order of two values that are not NULL.
///
/// # Errors
/// When the types have no order with each other.
pub(super) fn order(left: &Value, right: &Value) -> Result<Ordering> {
    Ok(match (left, right) {
        (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => utf16_order(a, b),
        (Value::Date(a), Value::Date(b)) => a.cmp(b),
        (Value::Time(a), Value::Time(b)) => a.cmp(b),
        (Value::Timestamp(a), Value::Timestamp(b)) | (Value::TimestampLtz(a), Value::TimestampLtz(b)) => a.cmp(b),
        (
            Value::TimestampTz { local: a, offset_seconds: x, .. },
            Value::TimestampTz { local: b, offset_seconds: y, .. },
        ) => super::cast::of_zoned(*a, *x).cmp(&super::cast::of_zoned(*b, *y)),
        (Value::Double(a), Value::Double(b)) => compare_doubles(*a, *b),
        (Value::Float(a), Value::Float(b)) => compare_doubles(f64::from(*a), f64::from(*b)),
        (Value::Binary(a), Value::Binary(b)) => a.cmp(b),
        _ => compare_numbers(left, right).ok_or_else(|| {
            Error::data(format!("Comparison of unsupported data types: {} and {}", java_class(left), java_class(right)))
        })?,
    })
}

/// Java orders text by UTF-16 units: characters beyond the basic plane come before U+E000.
fn utf16_order(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() { a.cmp(b) } else { a.encode_utf16().cmp(b.encode_utf16()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starweir_model::Decimal;

    #[test]
    fn equality_knows_the_type_of_a_number() {
        let cent = |unscaled, scale| Value::Decimal(Decimal { unscaled, scale });
        for (left, right, java, sql) in [
            (Value::Int(1), Value::Int(1), true, true),
            (Value::Int(1), Value::BigInt(1), false, true),
            (Value::Int(1), Value::Double(1.0), false, true),
            (Value::BigInt(16_777_217), Value::Float(16_777_216.0), false, false),
            (Value::Float(-0.0), Value::Float(0.0), false, true),
            (Value::Double(f64::NAN), Value::Double(f64::NAN), true, true),
            (cent(10, 1), cent(100, 2), true, true),
            (Value::Null, Value::Null, false, false),
            (Value::Binary(vec![1]), Value::Binary(vec![1]), true, true),
            (Value::string("a"), Value::Int(1), false, false),
            (Value::Array(vec![]), Value::Map(vec![]), false, false),
            (Value::Array(vec![]), Value::Int(1), false, false),
        ] {
            assert_eq!(equals(&left, &right), java, "{left:?} {right:?}");
            assert_eq!(sql_equals(&left, &right), sql, "{left:?} {right:?}");
        }
    }

    #[test]
    fn order_is_numeric_across_types_and_refused_across_kinds() {
        assert_eq!(order(&Value::Int(1), &Value::Double(1.5)).unwrap(), Ordering::Less);
        assert_eq!(order(&Value::TinyInt(3), &Value::BigInt(2)).unwrap(), Ordering::Greater);
        assert_eq!(order(&Value::string("b"), &Value::string("a")).unwrap(), Ordering::Greater);
        let error = order(&Value::string("a1"), &Value::Int(0)).unwrap_err();
        assert_eq!(error.message, "Comparison of unsupported data types: java.lang.String and java.lang.Integer");
    }
}
