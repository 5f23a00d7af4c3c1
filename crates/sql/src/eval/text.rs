//! Values as Flink prints them: `TRUE`, `1.0E7`, `[1, 2, NULL]`, `(7, NULL, abc)`, `{a=1}`.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, DurationMillisecondType, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalYearMonthType, Time32MillisecondType, TimeUnit, TimestampMicrosecondType,
    TimestampNanosecondType,
};
use starweir_model::{DataType, LogicalType};

use super::time::{self, Zone};

/// How values are printed.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    pub zone: Zone,
    /// `table.exec.legacy-cast-behaviour`: `true`, `null`, `(1,a)`.
    pub legacy: bool,
}

/// Every value of a column as text, NULL as NULL. `data_type` is the column's Flink type.
pub fn to_string(array: &ArrayRef, data_type: &DataType, zone: Zone) -> ArrayRef {
    to_string_styled(array, &data_type.logical, Style { zone, legacy: false })
}

pub(crate) fn to_string_styled(array: &ArrayRef, logical: &LogicalType, style: Style) -> ArrayRef {
    if logical.is_character() && array.data_type() == &ArrowType::Utf8 {
        return Arc::clone(array);
    }
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 8);
    let mut buffer = String::new();
    for row in 0..array.len() {
        if is_null(array, row) {
            builder.append_null();
        } else {
            buffer.clear();
            write_value(&mut buffer, array.as_ref(), logical, row, style);
            builder.append_value(&buffer);
        }
    }
    Arc::new(builder.finish())
}

/// One value as text; `None` is NULL.
pub fn format_value(array: &ArrayRef, data_type: &DataType, row: usize, zone: Zone) -> Option<String> {
    if row >= array.len() || is_null(array, row) {
        return None;
    }
    let mut out = String::new();
    write_value(&mut out, array.as_ref(), &data_type.logical, row, Style { zone, legacy: false });
    Some(out)
}

fn is_null(array: &dyn Array, row: usize) -> bool {
    array.data_type() == &ArrowType::Null || array.is_null(row)
}

/// Local or UTC nanoseconds of a timestamp column's value.
pub(crate) fn timestamp_nanos(array: &dyn Array, row: usize) -> i128 {
    match array.data_type() {
        ArrowType::Timestamp(TimeUnit::Nanosecond, _) => {
            i128::from(array.as_primitive::<TimestampNanosecondType>().value(row))
        }
        ArrowType::Timestamp(TimeUnit::Microsecond, _) => {
            i128::from(array.as_primitive::<TimestampMicrosecondType>().value(row)) * 1000
        }
        ArrowType::Timestamp(TimeUnit::Millisecond, _) => {
            i128::from(array.as_primitive::<arrow::datatypes::TimestampMillisecondType>().value(row))
                * time::NANOS_PER_MILLI
        }
        ArrowType::Timestamp(TimeUnit::Second, _) => {
            i128::from(array.as_primitive::<arrow::datatypes::TimestampSecondType>().value(row))
                * time::NANOS_PER_SECOND
        }
        _ => 0,
    }
}

/// Appends the text of a value that is not NULL.
pub(crate) fn write_value(out: &mut String, array: &dyn Array, logical: &LogicalType, row: usize, style: Style) {
    if is_null(array, row) {
        out.push_str(if style.legacy { "null" } else { "NULL" });
        return;
    }
    match logical {
        LogicalType::Null => out.push_str("NULL"),
        LogicalType::TimestampTz(_) | LogicalType::Variant => out.push_str(array.as_string::<i32>().value(row)),
        LogicalType::Boolean => {
            let value = array.as_boolean().value(row);
            out.push_str(match (value, style.legacy) {
                (true, false) => "TRUE",
                (false, false) => "FALSE",
                (true, true) => "true",
                (false, true) => "false",
            });
        }
        LogicalType::TinyInt => push(out, array.as_primitive::<Int8Type>().value(row)),
        LogicalType::SmallInt => push(out, array.as_primitive::<Int16Type>().value(row)),
        LogicalType::Int => push(out, array.as_primitive::<Int32Type>().value(row)),
        LogicalType::BigInt => push(out, array.as_primitive::<Int64Type>().value(row)),
        LogicalType::Float => write_float(out, array.as_primitive::<Float32Type>().value(row)),
        LogicalType::Double => write_double(out, array.as_primitive::<Float64Type>().value(row)),
        LogicalType::Decimal(_, scale) => write_decimal(out, array.as_primitive::<Decimal128Type>().value(row), *scale),
        LogicalType::Char(_) | LogicalType::VarChar(_) => out.push_str(array.as_string::<i32>().value(row)),
        LogicalType::Binary(_) | LogicalType::VarBinary(_) => {
            out.push_str(&String::from_utf8_lossy(array.as_binary::<i32>().value(row)));
        }
        LogicalType::Date => time::write_date(out, i64::from(array.as_primitive::<Date32Type>().value(row))),
        LogicalType::Time(p) => {
            time::write_time_millis(out, i64::from(array.as_primitive::<Time32MillisecondType>().value(row)), *p);
        }
        LogicalType::Timestamp(p) => time::write_timestamp(out, timestamp_nanos(array, row), *p),
        LogicalType::TimestampLtz(p) => {
            time::write_timestamp(out, style.zone.to_local(timestamp_nanos(array, row)), *p)
        }
        LogicalType::IntervalYearMonth => {
            let months = i64::from(array.as_primitive::<IntervalYearMonthType>().value(row));
            let _ = write!(out, "{}{}-{:02}", if months < 0 { '-' } else { '+' }, months.abs() / 12, months.abs() % 12);
        }
        LogicalType::IntervalDayTime => {
            let millis = array.as_primitive::<DurationMillisecondType>().value(row);
            let m = millis.unsigned_abs();
            let _ = write!(
                out,
                "{}{} {:02}:{:02}:{:02}.{:03}",
                if millis < 0 { '-' } else { '+' },
                m / 86_400_000,
                m / 3_600_000 % 24,
                m / 60_000 % 60,
                m / 1000 % 60,
                m % 1000
            );
        }
        LogicalType::Array(element) => {
            let values = array.as_list::<i32>().value(row);
            out.push('[');
            for i in 0..values.len() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_value(out, values.as_ref(), &element.logical, i, style);
            }
            out.push(']');
        }
        LogicalType::Map(key, value) => write_map(out, array, &key.logical, &value.logical, row, style),
        LogicalType::Multiset(element) => write_map(out, array, &element.logical, &LogicalType::Int, row, style),
        LogicalType::Row(fields) => {
            let row_array = array.as_struct();
            out.push('(');
            for (i, field) in fields.iter().enumerate() {
                if i > 0 {
                    out.push_str(if style.legacy { "," } else { ", " });
                }
                if i < row_array.num_columns() {
                    write_value(out, row_array.column(i).as_ref(), &field.data_type.logical, row, style);
                }
            }
            out.push(')');
        }
    }
}

fn write_map(out: &mut String, array: &dyn Array, key: &LogicalType, value: &LogicalType, row: usize, style: Style) {
    let entries = array.as_map().value(row);
    out.push('{');
    for i in 0..entries.len() {
        if i > 0 {
            out.push_str(", ");
        }
        write_value(out, entries.column(0).as_ref(), key, i, style);
        out.push('=');
        write_value(out, entries.column(1).as_ref(), value, i, style);
    }
    out.push('}');
}

fn push(out: &mut String, value: impl std::fmt::Display) {
    let _ = write!(out, "{value}");
}

/// Digits and exponent from Rust's shortest form, laid out as Java's `Double.toString` does.
fn write_java(out: &mut String, scientific: &str) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = match digits.trim_end_matches('0') {
        "" => "0",
        shown => shown,
    };
    out.push_str(sign);
    if (-3..7).contains(&exponent) {
        if exponent >= 0 {
            let split = (exponent + 1) as usize;
            let padded = format!("{digits:0<width$}", width = split + 1);
            let _ = write!(out, "{}.{}", &padded[..split], &padded[split..]);
        } else {
            let _ = write!(out, "0.{}{digits}", "0".repeat((-exponent - 1) as usize));
        }
    } else {
        let rest = if digits.len() > 1 { &digits[1..] } else { "0" };
        let _ = write!(out, "{}.{rest}E{exponent}", &digits[..1]);
    }
}

/// As Java prints a `double`.
pub fn write_double(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        write_java(out, &whole_digits(value, 53).unwrap_or_else(|| format!("{value:e}")));
    }
}

/// Whole numbers print with the digits Java (before 19) develops for them, which may be more than the
/// shortest ones: all digits of the integer but those below the significant bits. Gives the
/// scientific form.
fn whole_digits(value: f64, significant_bits: i32) -> Option<String> {
    let magnitude = value.abs();
    if !(1e7..9.2e18).contains(&magnitude) || magnitude.fract() != 0.0 {
        return None;
    }
    let mut integer = magnitude as u64;
    let exponent = 63 - integer.leading_zeros() as i32;
    let spare = exponent - significant_bits - 1;
    // The number of decimal digits of 2^spare, less one.
    let dropped = if spare > 1 { (f64::from(spare) * std::f64::consts::LOG10_2) as u32 } else { 0 };
    let mut power = 0;
    if dropped > 0 {
        let unit = 10u64.pow(dropped);
        let rest = integer % unit;
        integer /= unit;
        integer += u64::from(rest >= unit / 2);
        power = dropped;
    }
    let digits = integer.to_string();
    let shown = digits.trim_end_matches('0');
    let shown = if shown.is_empty() { "0" } else { shown };
    let fraction = if shown.len() > 1 { &shown[1..] } else { "0" };
    let exponent = digits.len() as u32 - 1 + power;
    Some(format!("{}{}.{fraction}e{exponent}", if value < 0.0 { "-" } else { "" }, &shown[..1]))
}

/// As Java prints a `float`.
pub fn write_float(out: &mut String, value: f32) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        write_java(out, &whole_digits(f64::from(value), 24).unwrap_or_else(|| format!("{value:e}")));
    }
}

/// All digits of the scale.
pub fn write_decimal(out: &mut String, value: i128, scale: u8) {
    if value < 0 {
        out.push('-');
    }
    let digits = value.unsigned_abs().to_string();
    let scale = usize::from(scale);
    if scale == 0 {
        out.push_str(&digits);
        return;
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let split = digits.len() - scale;
    let _ = write!(out, "{}.{}", &digits[..split], &digits[split..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floating_numbers_print_as_java_prints_them() {
        for (value, text) in [
            (1e7, "1.0E7"),
            (1_234_567.0, "1234567.0"),
            (0.001, "0.001"),
            (0.000_12, "1.2E-4"),
            (-0.0, "-0.0"),
            (1.1, "1.1"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::NEG_INFINITY, "-Infinity"),
            (100.0, "100.0"),
        ] {
            let mut out = String::new();
            write_double(&mut out, value);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn decimals_keep_the_digits_of_their_scale() {
        for (value, scale, text) in [(150, 2, "1.50"), (-5, 3, "-0.005"), (7, 0, "7"), (0, 2, "0.00")] {
            let mut out = String::new();
            write_decimal(&mut out, value, scale);
            assert_eq!(out, text);
        }
    }
}
