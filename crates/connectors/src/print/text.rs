//! Values as Flink's print connector shows them: the text of the Java object (`Row.toString`), which is not the
//! text of a cast to STRING.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, DurationMillisecondType, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalYearMonthType, Time32MillisecondType, TimeUnit, TimestampMicrosecondType,
    TimestampNanosecondType,
};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike};

/// Appends `[a, b, …]`.
pub(super) fn write_row(columns: &[ArrayRef], row: usize, out: &mut String) {
    out.push('[');
    for (i, column) in columns.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write_value(column, row, out);
    }
    out.push(']');
}

fn write_value(array: &ArrayRef, row: usize, out: &mut String) {
    if array.is_null(row) {
        out.push_str("null");
        return;
    }
    let _ = match array.data_type() {
        ArrowType::Boolean => write!(out, "{}", array.as_boolean().value(row)),
        ArrowType::Int8 => write!(out, "{}", array.as_primitive::<Int8Type>().value(row)),
        ArrowType::Int16 => write!(out, "{}", array.as_primitive::<Int16Type>().value(row)),
        ArrowType::Int32 => write!(out, "{}", array.as_primitive::<Int32Type>().value(row)),
        ArrowType::Int64 => write!(out, "{}", array.as_primitive::<Int64Type>().value(row)),
        ArrowType::Float32 => {
            write_float(f64::from(array.as_primitive::<Float32Type>().value(row)), true, out);
            Ok(())
        }
        ArrowType::Float64 => {
            write_float(array.as_primitive::<Float64Type>().value(row), false, out);
            Ok(())
        }
        ArrowType::Decimal128(_, scale) => {
            write_decimal(array.as_primitive::<Decimal128Type>().value(row), *scale, out);
            Ok(())
        }
        ArrowType::Utf8 => {
            out.push_str(array.as_string::<i32>().value(row));
            Ok(())
        }
        ArrowType::Binary => {
            out.push('[');
            for (i, byte) in array.as_binary::<i32>().value(row).iter().enumerate() {
                let _ = write!(out, "{}{}", if i > 0 { ", " } else { "" }, *byte as i8);
            }
            out.push(']');
            Ok(())
        }
        ArrowType::Date32 => {
            let days = array.as_primitive::<Date32Type>().value(row);
            match NaiveDate::from_num_days_from_ce_opt(days.saturating_add(719_163)) {
                Some(date) => write_date(date, out),
                None => write!(out, "{days}"),
            }
        }
        ArrowType::Time32(_) => {
            let ms = array.as_primitive::<Time32MillisecondType>().value(row);
            write_time(ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, (ms % 1000) as u32 * 1_000_000, out)
        }
        ArrowType::Timestamp(unit, zone) => {
            let value = match unit {
                TimeUnit::Nanosecond => {
                    Some(DateTime::from_timestamp_nanos(array.as_primitive::<TimestampNanosecondType>().value(row)))
                }
                _ => DateTime::from_timestamp_micros(array.as_primitive::<TimestampMicrosecondType>().value(row)),
            };
            match value {
                Some(instant) => {
                    let written = write_timestamp(instant.naive_utc(), out);
                    if zone.is_some() {
                        out.push('Z');
                    }
                    written
                }
                None => {
                    out.push('?');
                    Ok(())
                }
            }
        }
        ArrowType::Interval(_) => {
            let months = array.as_primitive::<IntervalYearMonthType>().value(row);
            write!(out, "P{}Y{}M", months / 12, months % 12)
        }
        ArrowType::Duration(_) => {
            let ms = array.as_primitive::<DurationMillisecondType>().value(row);
            write!(out, "PT{}.{:03}S", ms / 1000, (ms % 1000).abs())
        }
        ArrowType::List(_) => {
            let values = array.as_list::<i32>().value(row);
            out.push('[');
            for i in 0..values.len() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_value(&values, i, out);
            }
            out.push(']');
            Ok(())
        }
        ArrowType::Map(..) => {
            let entries = array.as_map().value(row);
            out.push('{');
            for i in 0..entries.len() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_value(entries.column(0), i, out);
                out.push('=');
                write_value(entries.column(1), i, out);
            }
            out.push('}');
            Ok(())
        }
        ArrowType::Struct(_) => {
            out.push_str("+I");
            write_row(array.as_struct().columns(), row, out);
            Ok(())
        }
        other => write!(out, "<{other}>"),
    };
}

fn write_date(date: NaiveDate, out: &mut String) -> std::fmt::Result {
    write!(out, "{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
}

/// Java's `LocalTime.toString`: seconds are left out when zero, fractions are 3, 6 or 9 digits.
fn write_time(hour: i32, minute: i32, second: i32, nanos: u32, out: &mut String) -> std::fmt::Result {
    write!(out, "{hour:02}:{minute:02}")?;
    if second == 0 && nanos == 0 {
        return Ok(());
    }
    write!(out, ":{second:02}")?;
    match nanos {
        0 => Ok(()),
        n if n % 1_000_000 == 0 => write!(out, ".{:03}", n / 1_000_000),
        n if n % 1000 == 0 => write!(out, ".{:06}", n / 1000),
        n => write!(out, ".{n:09}"),
    }
}

fn write_timestamp(value: NaiveDateTime, out: &mut String) -> std::fmt::Result {
    write_date(value.date(), out)?;
    out.push('T');
    let time = value.time();
    write_time(time.hour() as i32, time.minute() as i32, time.second() as i32, time.nanosecond(), out)
}

fn write_decimal(value: i128, scale: i8, out: &mut String) {
    let scale = scale.max(0) as usize;
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    if value < 0 {
        out.push('-');
    }
    out.push_str(&digits[..digits.len() - scale]);
    if scale > 0 {
        out.push('.');
        out.push_str(&digits[digits.len() - scale..]);
    }
}

/// Java's `Double.toString`: shortest digits, at least one after the point, `E` outside 10^-3 to 10^7.
fn write_float(value: f64, single: bool, out: &mut String) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else if value == 0.0 {
        out.push_str(if value.is_sign_negative() { "-0.0" } else { "0.0" });
    } else if (1e-3..1e7).contains(&value.abs()) {
        let text = if single { (value as f32).to_string() } else { value.to_string() };
        out.push_str(&text);
        if !text.contains('.') {
            out.push_str(".0");
        }
    } else {
        let text = if single { format!("{:E}", value as f32) } else { format!("{value:E}") };
        match text.split_once('E') {
            Some((digits, exponent)) if !digits.contains('.') => {
                let _ = write!(out, "{digits}.0E{exponent}");
            }
            _ => out.push_str(&text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_and_times_read_as_java_writes_them() {
        let float = |value| {
            let mut out = String::new();
            write_float(value, false, &mut out);
            out
        };
        assert_eq!(float(1.0), "1.0");
        assert_eq!(float(1e7), "1.0E7");
        assert_eq!(float(1.5e-5), "1.5E-5");
        assert_eq!(float(123456.75), "123456.75");
        let mut out = String::new();
        write_time(10, 0, 0, 0, &mut out).unwrap();
        out.push(' ');
        write_time(10, 0, 1, 500_000_000, &mut out).unwrap();
        assert_eq!(out, "10:00 10:00:01.500");
        let mut out = String::new();
        write_decimal(-5, 2, &mut out);
        assert_eq!(out, "-0.05");
    }
}
