//! One value of a StarRocks type: what functions, literals, results and casts work on. The load
//! path does not come here; it parses straight into column builders.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, TimeUnit, i256};

use crate::error::{SqlError, SqlResult};
use crate::time::{self, DAY_US};
use crate::types::SqlType;

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f32),
    Double(f64),
    /// Unscaled value and scale.
    Decimal(i256, u8),
    Text(String),
    Bytes(Vec<u8>),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01.
    DateTime(i64),
    /// JSON text.
    Json(String),
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Struct(Vec<(String, Value)>),
}

/// 10 to the power of `n`, for n up to 76.
pub fn pow10(n: u32) -> i256 {
    if n <= 38 {
        i256::from_i128(10i128.pow(n))
    } else {
        i256::from_i128(10i128.pow(38)).wrapping_mul(i256::from_i128(10i128.pow(n.min(76) - 38)))
    }
}

/// Changes a decimal's scale, rounding half away from zero. None when it does not fit.
pub fn rescale(value: i256, from: u8, to: u8) -> Option<i256> {
    if to >= from {
        value.checked_mul(pow10(u32::from(to - from)))
    } else {
        let d = pow10(u32::from(from - to));
        let q = value.checked_div(d)?;
        let r = value.checked_rem(d)?;
        let twice = r.checked_mul(i256::from_i128(2))?;
        if twice >= d {
            q.checked_add(i256::ONE)
        } else if twice <= d.wrapping_neg() {
            q.checked_sub(i256::ONE)
        } else {
            Some(q)
        }
    }
}

/// Whether an unscaled value has at most `precision` digits.
pub fn fits_precision(value: i256, precision: u8) -> bool {
    if precision >= 76 {
        return true;
    }
    let bound = pow10(u32::from(precision));
    value < bound && value > bound.wrapping_neg()
}

/// Whether an unscaled value fits into the integers that a decimal of this precision is computed with: 64, 128 or 256
/// bits. Only what is written into a column has to keep to the precision itself.
pub fn fits_storage(value: i256, precision: u8) -> bool {
    match precision {
        0..=18 => value.to_i128().is_some_and(|v| i64::try_from(v).is_ok()),
        19..=38 => value.to_i128().is_some(),
        _ => true,
    }
}

pub fn decimal_text(value: i256, scale: u8) -> String {
    let negative = value < i256::ZERO;
    let mut digits = value.to_string();
    if negative {
        digits.remove(0);
    }
    let scale = scale as usize;
    if scale > 0 {
        if digits.len() <= scale {
            digits = "0".repeat(scale + 1 - digits.len()) + &digits;
        }
        digits.insert(digits.len() - scale, '.');
    }
    if negative {
        digits.insert(0, '-');
    }
    digits
}

/// Reads `-12.345e2` as unscaled value and scale, exactly. None when it is no number.
pub fn parse_decimal(text: &str) -> Option<(i256, u8)> {
    let t = text.trim();
    let (mantissa, exponent) = match t.find(['e', 'E']) {
        Some(at) => (&t[..at], t[at + 1..].parse::<i32>().ok()?),
        None => (t, 0),
    };
    let (negative, body) = match mantissa.as_bytes().first()? {
        b'-' => (true, &mantissa[1..]),
        b'+' => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
    if whole.is_empty() && fraction.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut value = i256::ZERO;
    let mut scale = 0i32;
    let ten = i256::from_i128(10);
    for (i, b) in whole.bytes().chain(fraction.bytes()).enumerate() {
        match value.checked_mul(ten).and_then(|v| v.checked_add(i256::from_i128(i128::from(b - b'0')))) {
            Some(v) => value = v,
            // More digits than fit: those after the point are cut, those before are too many.
            None if i >= whole.len() => break,
            None => return None,
        }
        if i >= whole.len() {
            scale += 1;
        }
    }
    scale -= exponent;
    if scale < 0 {
        if scale < -76 {
            return (value == i256::ZERO).then_some((value, 0));
        }
        value = value.checked_mul(pow10((-scale) as u32))?;
        scale = 0;
    }
    if scale > 76 {
        if scale > 150 {
            return Some((i256::ZERO, 0));
        }
        let cut = (scale - 76).min(76) as u32;
        value = value.checked_div(pow10(cut))?;
        scale = 76;
    }
    Some((if negative { value.wrapping_neg() } else { value }, scale as u8))
}

/// A floating number near by, in StarRocks' steps: the integer is rounded first (of more than 128 bits each half), then
/// divided.
pub fn decimal_to_f64(value: i256, scale: u8) -> f64 {
    let rounded = match value.to_i128() {
        Some(v) => v as f64,
        None => {
            let (low, high) = value.to_parts();
            high as f64 * 2f64.powi(128) + low as f64
        }
    };
    rounded / 10f64.powi(i32::from(scale))
}

/// A floating number as a decimal of more than 38 digits: multiplied as a floating number, then rounded.
fn wide_decimal_of(v: f64, scale: u8) -> Option<i256> {
    let scaled = (v * 10f64.powi(i32::from(scale))).round();
    if !scaled.is_finite() { None } else { i256::from_string(&format!("{scaled:.0}")) }
}

/// The shortest text that reads back as this number: `1`, `0.1`, `1e+20`.
pub fn double_text(v: f64) -> String {
    float_text(v, format!("{v:e}"))
}

pub fn single_text(v: f32) -> String {
    float_text(f64::from(v), format!("{v:e}"))
}

fn float_text(v: f64, scientific: String) -> String {
    if v.is_nan() {
        return "nan".into();
    }
    if v.is_infinite() {
        return if v > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let negative = mantissa.starts_with('-');
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let mut out = String::new();
    if negative {
        out.push('-');
    }
    if (-5..16).contains(&exponent) {
        let point = exponent + 1;
        if point <= 0 {
            out.push_str("0.");
            out.push_str(&"0".repeat((-point) as usize));
            out.push_str(&digits);
        } else if digits.len() as i32 <= point {
            out.push_str(&digits);
            out.push_str(&"0".repeat(point as usize - digits.len()));
        } else {
            out.push_str(&digits[..point as usize]);
            out.push('.');
            out.push_str(&digits[point as usize..]);
        }
    } else {
        out.push_str(mantissa.trim_start_matches('-'));
        let _ = write!(out, "e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
    }
    out
}

impl Value {
    pub fn text(s: impl Into<String>) -> Self {
        Self::Text(s.into())
    }

    pub fn int(v: impl Into<i128>) -> Self {
        Self::Int(v.into())
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub fn as_i64(&self) -> Option<i64> {
        self.as_i128().and_then(|v| i64::try_from(v).ok())
    }

    pub fn as_i128(&self) -> Option<i128> {
        match self {
            Self::Bool(b) => Some(i128::from(*b)),
            Self::Int(v) => Some(*v),
            Self::Float(v) => float_to_int(f64::from(*v)),
            Self::Double(v) => float_to_int(*v),
            Self::Decimal(v, s) => v.checked_div(pow10(u32::from(*s)))?.to_i128(),
            Self::Text(t) => int_of_text(t),
            Self::Date(d) => Some(i128::from(time::date_number(*d))),
            Self::DateTime(t) => Some(i128::from(time::datetime_number(*t))),
            Self::Json(t) => match serde_json::from_str::<serde_json::Value>(t).ok()? {
                serde_json::Value::Bool(b) => Some(i128::from(b)),
                serde_json::Value::Number(n) => {
                    n.as_i64().map(i128::from).or_else(|| n.as_f64().and_then(float_to_int))
                }
                serde_json::Value::String(s) => int_of_text(&s),
                _ => None,
            },
            _ => None,
        }
    }

    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Bool(b) => Some(f64::from(u8::from(*b))),
            Self::Int(v) => Some(*v as f64),
            Self::Float(v) => Some(f64::from(*v)),
            Self::Double(v) => Some(*v),
            Self::Decimal(v, s) => Some(decimal_to_f64(*v, *s)),
            Self::Text(t) => t.trim().parse().ok().filter(|_| !t.trim().is_empty()),
            Self::Date(d) => Some(time::date_number(*d) as f64),
            Self::DateTime(t) => Some(time::datetime_number(*t) as f64),
            Self::Json(t) => match serde_json::from_str::<serde_json::Value>(t).ok()? {
                serde_json::Value::Bool(b) => Some(f64::from(u8::from(b))),
                serde_json::Value::Number(n) => n.as_f64(),
                serde_json::Value::String(s) => s.trim().parse().ok(),
                _ => None,
            },
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            Self::Text(t) => {
                let t = t.trim();
                if t.eq_ignore_ascii_case("true") {
                    Some(true)
                } else if t.eq_ignore_ascii_case("false") {
                    Some(false)
                } else {
                    t.parse::<f64>().ok().map(|v| v != 0.0)
                }
            }
            Self::Json(t) => match t.trim() {
                "true" => Some(true),
                "false" => Some(false),
                _ => Self::Text(t.trim_matches('"').to_string()).as_bool(),
            },
            other => other.as_f64().map(|v| v != 0.0),
        }
    }

    /// The value as VARCHAR; None for NULL.
    pub fn as_text(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Bytes(b) => Some(String::from_utf8_lossy(b).into_owned()),
            other => {
                let mut out = String::new();
                other.render(&mut out);
                Some(out)
            }
        }
    }

    pub fn as_datetime(&self) -> Option<i64> {
        match self {
            Self::Date(d) => Some(i64::from(*d) * DAY_US),
            Self::DateTime(t) => Some(*t),
            Self::Text(t) => time::parse_datetime(t.as_bytes()),
            Self::Int(v) => time::datetime_of_number(i64::try_from(*v).ok()?),
            Self::Double(_) | Self::Float(_) | Self::Decimal(..) => time::datetime_of_number(self.as_i64()?),
            Self::Json(t) => match serde_json::from_str::<serde_json::Value>(t).ok()? {
                serde_json::Value::String(s) => time::parse_datetime(s.as_bytes()),
                serde_json::Value::Number(n) => time::datetime_of_number(n.as_i64()?),
                _ => None,
            },
            _ => None,
        }
    }

    /// As a result's text cell shows it (NULL: nothing is written).
    pub fn render(&self, out: &mut String) {
        match self {
            Self::Null => {}
            Self::Bool(b) => out.push(if *b { '1' } else { '0' }),
            Self::Int(v) => {
                let _ = write!(out, "{v}");
            }
            Self::Float(v) => out.push_str(&single_text(*v)),
            Self::Double(v) => out.push_str(&double_text(*v)),
            Self::Decimal(v, s) => out.push_str(&decimal_text(*v, *s)),
            Self::Text(t) | Self::Json(t) => out.push_str(t),
            Self::Bytes(b) => out.push_str(&String::from_utf8_lossy(b)),
            Self::Date(d) => time::write_date(out, *d),
            Self::DateTime(t) => time::write_datetime(out, *t),
            nested => nested.render_nested(out),
        }
    }

    fn render_nested(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Text(t) => {
                out.push('"');
                out.push_str(t);
                out.push('"');
            }
            Self::Bytes(b) => {
                out.push('"');
                out.push_str(&String::from_utf8_lossy(b));
                out.push('"');
            }
            Self::Date(_) | Self::DateTime(_) => {
                out.push('"');
                self.render(out);
                out.push('"');
            }
            Self::Json(t) => {
                out.push('\'');
                out.push_str(t);
                out.push('\'');
            }
            Self::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    item.render_nested(out);
                }
                out.push(']');
            }
            Self::Map(items) => {
                out.push('{');
                for (i, (k, v)) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    k.render_nested(out);
                    out.push(':');
                    v.render_nested(out);
                }
                out.push('}');
            }
            Self::Struct(items) => {
                out.push('{');
                for (i, (k, v)) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    let _ = write!(out, "\"{k}\":");
                    v.render_nested(out);
                }
                out.push('}');
            }
            scalar => scalar.render(out),
        }
    }

    /// Reads one value of an array.
    pub fn get(array: &dyn Array, sql_type: &SqlType, row: usize) -> Value {
        if array.is_null(row) {
            return Value::Null;
        }
        match array.data_type() {
            DataType::Null => Value::Null,
            DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
            DataType::Int8 => Value::Int(i128::from(array.as_primitive::<arrow::datatypes::Int8Type>().value(row))),
            DataType::Int16 => Value::Int(i128::from(array.as_primitive::<arrow::datatypes::Int16Type>().value(row))),
            DataType::Int32 => Value::Int(i128::from(array.as_primitive::<arrow::datatypes::Int32Type>().value(row))),
            DataType::Int64 => Value::Int(i128::from(array.as_primitive::<arrow::datatypes::Int64Type>().value(row))),
            DataType::UInt8 => Value::Int(i128::from(array.as_primitive::<arrow::datatypes::UInt8Type>().value(row))),
            DataType::UInt16 => Value::Int(i128::from(array.as_primitive::<arrow::datatypes::UInt16Type>().value(row))),
            DataType::UInt32 => Value::Int(i128::from(array.as_primitive::<arrow::datatypes::UInt32Type>().value(row))),
            DataType::UInt64 => Value::Int(i128::from(array.as_primitive::<arrow::datatypes::UInt64Type>().value(row))),
            DataType::Float32 => Value::Float(array.as_primitive::<arrow::datatypes::Float32Type>().value(row)),
            DataType::Float64 => Value::Double(array.as_primitive::<arrow::datatypes::Float64Type>().value(row)),
            DataType::Decimal128(_, s) => {
                let v = array.as_primitive::<arrow::datatypes::Decimal128Type>().value(row);
                if *sql_type == SqlType::LargeInt {
                    Value::Int(v)
                } else {
                    Value::Decimal(i256::from_i128(v), (*s).max(0) as u8)
                }
            }
            DataType::Decimal256(_, s) => {
                Value::Decimal(array.as_primitive::<arrow::datatypes::Decimal256Type>().value(row), (*s).max(0) as u8)
            }
            DataType::Utf8 => {
                let t = array.as_string::<i32>().value(row).to_string();
                if *sql_type == SqlType::Json { Value::Json(t) } else { Value::Text(t) }
            }
            DataType::LargeUtf8 => Value::Text(array.as_string::<i64>().value(row).to_string()),
            DataType::Utf8View => Value::Text(array.as_string_view().value(row).to_string()),
            DataType::Binary => Value::Bytes(array.as_binary::<i32>().value(row).to_vec()),
            DataType::LargeBinary => Value::Bytes(array.as_binary::<i64>().value(row).to_vec()),
            DataType::BinaryView => Value::Bytes(array.as_binary_view().value(row).to_vec()),
            DataType::Date32 => Value::Date(array.as_primitive::<arrow::datatypes::Date32Type>().value(row)),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Value::DateTime(array.as_primitive::<arrow::datatypes::TimestampMicrosecondType>().value(row))
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => Value::DateTime(
                array.as_primitive::<arrow::datatypes::TimestampNanosecondType>().value(row).div_euclid(1000),
            ),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                Value::DateTime(array.as_primitive::<arrow::datatypes::TimestampMillisecondType>().value(row) * 1000)
            }
            DataType::Timestamp(TimeUnit::Second, _) => {
                Value::DateTime(array.as_primitive::<arrow::datatypes::TimestampSecondType>().value(row) * 1_000_000)
            }
            DataType::List(f) => {
                let inner = array.as_list::<i32>().value(row);
                let t = SqlType::of_field(f);
                Value::List((0..inner.len()).map(|i| Value::get(&inner, &t, i)).collect())
            }
            DataType::LargeList(f) => {
                let inner = array.as_list::<i64>().value(row);
                let t = SqlType::of_field(f);
                Value::List((0..inner.len()).map(|i| Value::get(&inner, &t, i)).collect())
            }
            DataType::FixedSizeList(f, _) => {
                let inner = array.as_fixed_size_list().value(row);
                let t = SqlType::of_field(f);
                Value::List((0..inner.len()).map(|i| Value::get(&inner, &t, i)).collect())
            }
            DataType::Map(..) => {
                let entries = array.as_map().value(row);
                let (kt, vt) = (SqlType::of_field(&entries.fields()[0]), SqlType::of_field(&entries.fields()[1]));
                let (k, v) = (entries.column(0), entries.column(1));
                Value::Map((0..entries.len()).map(|i| (Value::get(k, &kt, i), Value::get(v, &vt, i))).collect())
            }
            DataType::Struct(fields) => {
                let s = array.as_struct();
                Value::Struct(
                    fields
                        .iter()
                        .zip(s.columns())
                        .map(|(f, c)| (f.name().clone(), Value::get(c, &SqlType::of_field(f), row)))
                        .collect(),
                )
            }
            DataType::Dictionary(..) => {
                match arrow::compute::cast(&array.slice(row, 1), &SqlType::of_arrow(array.data_type()).arrow()) {
                    Ok(plain) => Value::get(&plain, sql_type, 0),
                    Err(_) => Value::Null,
                }
            }
            _ => match arrow::util::display::array_value_to_string(&array.slice(row, 1), 0) {
                Ok(t) => Value::Text(t),
                Err(_) => Value::Null,
            },
        }
    }

    /// An array of these values in the type's Arrow form. Values of another kind are cast; those
    /// that cannot be are NULL.
    pub fn array(values: &[Value], sql_type: &SqlType) -> ArrayRef {
        macro_rules! ints {
            ($b:ty, $n:ty) => {{
                let mut b = <$b>::with_capacity(values.len());
                for v in values {
                    b.append_option(v.as_i128().and_then(|v| <$n>::try_from(v).ok()));
                }
                Arc::new(b.finish())
            }};
        }
        match sql_type {
            SqlType::Null => Arc::new(NullArray::new(values.len())),
            SqlType::Boolean => Arc::new(values.iter().map(Value::as_bool).collect::<BooleanArray>()),
            SqlType::TinyInt => ints!(Int8Builder, i8),
            SqlType::SmallInt => ints!(Int16Builder, i16),
            SqlType::Int => ints!(Int32Builder, i32),
            SqlType::BigInt => ints!(Int64Builder, i64),
            SqlType::LargeInt => Arc::new(
                values
                    .iter()
                    .map(Value::as_i128)
                    .collect::<Decimal128Array>()
                    .with_data_type(DataType::Decimal128(38, 0)),
            ),
            SqlType::Float => Arc::new(
                values
                    .iter()
                    .map(|v| if let Value::Float(f) = v { Some(*f) } else { v.as_f64().map(|f| f as f32) })
                    .collect::<Float32Array>(),
            ),
            SqlType::Double => Arc::new(values.iter().map(Value::as_f64).collect::<Float64Array>()),
            SqlType::Decimal(p, s) => {
                let unscaled = values.iter().map(|v| match v.cast(sql_type) {
                    Some(Value::Decimal(v, _)) => Some(v),
                    _ => None,
                });
                if *p <= 38 {
                    Arc::new(
                        unscaled
                            .map(|v| v.and_then(i256::to_i128))
                            .collect::<Decimal128Array>()
                            .with_data_type(DataType::Decimal128(*p, *s as i8)),
                    )
                } else {
                    Arc::new(unscaled.collect::<Decimal256Array>().with_data_type(DataType::Decimal256(*p, *s as i8)))
                }
            }
            SqlType::Char(_) | SqlType::Varchar(_) | SqlType::Json => {
                let mut b = StringBuilder::with_capacity(values.len(), values.len() * 8);
                let mut cell = String::new();
                for v in values {
                    match v {
                        Value::Null => b.append_null(),
                        Value::Text(t) | Value::Json(t) => b.append_value(t),
                        other => {
                            cell.clear();
                            other.render(&mut cell);
                            b.append_value(&cell);
                        }
                    }
                }
                Arc::new(b.finish())
            }
            SqlType::Varbinary | SqlType::Bitmap | SqlType::Hll | SqlType::Percentile => {
                let mut b = BinaryBuilder::new();
                for v in values {
                    match v {
                        Value::Null => b.append_null(),
                        Value::Bytes(x) => b.append_value(x),
                        Value::Text(x) => b.append_value(x.as_bytes()),
                        other => b.append_option(other.as_text()),
                    }
                }
                Arc::new(b.finish())
            }
            SqlType::Date => Arc::new(
                values
                    .iter()
                    .map(|v| match v {
                        Value::Date(d) => Some(*d),
                        other => other.as_datetime().map(|t| t.div_euclid(DAY_US) as i32),
                    })
                    .collect::<Date32Array>(),
            ),
            SqlType::DateTime => Arc::new(values.iter().map(Value::as_datetime).collect::<TimestampMicrosecondArray>()),
            SqlType::Array(e) => {
                let (mut flat, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
                for v in values {
                    match v {
                        Value::List(items) => {
                            flat.extend_from_slice(items);
                            lengths.push(items.len());
                            valid.push(true);
                        }
                        _ => {
                            lengths.push(0);
                            valid.push(false);
                        }
                    }
                }
                Arc::new(ListArray::new(
                    Arc::new(e.inner_field("item", true)),
                    OffsetBuffer::from_lengths(lengths),
                    Value::array(&flat, e),
                    Some(NullBuffer::from(valid)),
                ))
            }
            SqlType::Map(k, v) => {
                let (mut keys, mut items, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
                for value in values {
                    match value {
                        Value::Map(pairs) => {
                            let before = keys.len();
                            for (key, item) in pairs {
                                // Arrow has no NULL map keys; such an entry is left out.
                                if !key.is_null() {
                                    keys.push(key.clone());
                                    items.push(item.clone());
                                }
                            }
                            lengths.push(keys.len() - before);
                            valid.push(true);
                        }
                        _ => {
                            lengths.push(0);
                            valid.push(false);
                        }
                    }
                }
                let key_array = Value::array(&keys, k);
                let DataType::Map(entries_field, _) = sql_type.arrow() else {
                    return new_null_array(&sql_type.arrow(), values.len());
                };
                let DataType::Struct(fields) = entries_field.data_type() else {
                    return new_null_array(&sql_type.arrow(), values.len());
                };
                match StructArray::try_new(fields.clone(), vec![key_array, Value::array(&items, v)], None) {
                    Ok(entries) => Arc::new(MapArray::new(
                        entries_field.clone(),
                        OffsetBuffer::from_lengths(lengths),
                        entries,
                        Some(NullBuffer::from(valid)),
                        false,
                    )),
                    Err(_) => new_null_array(&sql_type.arrow(), values.len()),
                }
            }
            SqlType::Struct(fields) => {
                let columns: Vec<ArrayRef> = fields
                    .iter()
                    .enumerate()
                    .map(|(i, (_, t))| {
                        let column: Vec<Value> = values
                            .iter()
                            .map(|v| match v {
                                Value::Struct(items) => items.get(i).map_or(Value::Null, |(_, v)| v.clone()),
                                _ => Value::Null,
                            })
                            .collect();
                        Value::array(&column, t)
                    })
                    .collect();
                let valid: Vec<bool> = values.iter().map(|v| matches!(v, Value::Struct(_))).collect();
                let DataType::Struct(arrow_fields) = sql_type.arrow() else {
                    return new_null_array(&sql_type.arrow(), values.len());
                };
                if fields.is_empty() {
                    return Arc::new(StructArray::new_empty_fields(values.len(), Some(NullBuffer::from(valid))));
                }
                Arc::new(StructArray::new(arrow_fields, columns, Some(NullBuffer::from(valid))))
            }
        }
    }

    /// StarRocks' CAST: None when the value has no form in the type (CAST then gives NULL).
    pub fn cast(&self, to: &SqlType) -> Option<Value> {
        if self.is_null() {
            return Some(Value::Null);
        }
        fn ranged(v: i128, low: i128, high: i128) -> Option<Value> {
            (low..=high).contains(&v).then_some(Value::Int(v))
        }
        match to {
            SqlType::Null => Some(Value::Null),
            SqlType::Boolean => self.as_bool().map(Value::Bool),
            SqlType::TinyInt => ranged(self.as_i128()?, i128::from(i8::MIN), i128::from(i8::MAX)),
            SqlType::SmallInt => ranged(self.as_i128()?, i128::from(i16::MIN), i128::from(i16::MAX)),
            SqlType::Int => ranged(self.as_i128()?, i128::from(i32::MIN), i128::from(i32::MAX)),
            SqlType::BigInt => ranged(self.as_i128()?, i128::from(i64::MIN), i128::from(i64::MAX)),
            SqlType::LargeInt => self.as_i128().map(Value::Int),
            SqlType::Float => match self {
                Value::Float(f) => Some(Value::Float(*f)),
                Value::Text(t) => t.trim().parse::<f32>().ok().filter(|f| f.is_finite()).map(Value::Float),
                other => other.as_f64().map(|f| Value::Float(f as f32)),
            },
            SqlType::Double => match self {
                Value::Text(_) => self.as_f64().filter(|f| f.is_finite()).map(Value::Double),
                Value::Float(f) => Some(Value::Double(f64::from(*f))),
                other => other.as_f64().map(Value::Double),
            },
            SqlType::Decimal(p, s) => {
                if let (Value::Float(_) | Value::Double(_), 39..) = (self, *p) {
                    return wide_decimal_of(self.as_f64()?, *s).map(|v| Value::Decimal(v, *s));
                }
                let (v, scale) = match self {
                    Value::Decimal(v, scale) => (*v, *scale),
                    Value::Bool(b) => (i256::from_i128(i128::from(*b)), 0),
                    Value::Int(v) => (i256::from_i128(*v), 0),
                    Value::Text(t) => parse_decimal(t)?,
                    Value::Float(f) => parse_decimal(&single_text(*f))?,
                    Value::Double(f) => parse_decimal(&double_text(*f))?,
                    Value::Json(_) => parse_decimal(&double_text(self.as_f64()?))?,
                    Value::Date(_) | Value::DateTime(_) => (i256::from_i128(self.as_i128()?), 0),
                    _ => return None,
                };
                let v = rescale(v, scale, *s)?;
                fits_storage(v, *p).then_some(Value::Decimal(v, *s))
            }
            SqlType::Char(n) | SqlType::Varchar(n) => {
                let mut text = match self {
                    Value::Json(t) => crate::json::unquote(t),
                    other => other.as_text()?,
                };
                // CAST to a shorter length cuts at a character.
                if *n > 0 && text.len() > *n as usize && *n != crate::types::STRING_LENGTH {
                    let mut end = *n as usize;
                    while !text.is_char_boundary(end) {
                        end -= 1;
                    }
                    text.truncate(end);
                }
                Some(Value::Text(text))
            }
            SqlType::Varbinary => match self {
                Value::Bytes(b) => Some(Value::Bytes(b.clone())),
                other => other.as_text().map(|t| Value::Bytes(t.into_bytes())),
            },
            SqlType::Date => match self {
                Value::Date(d) => Some(Value::Date(*d)),
                other => other.as_datetime().map(|t| Value::Date(t.div_euclid(DAY_US) as i32)),
            },
            SqlType::DateTime => self.as_datetime().map(Value::DateTime),
            SqlType::Json => match self {
                Value::Json(t) => Some(Value::Json(t.clone())),
                Value::Text(t) => Some(Value::Json(crate::json::normalise(t).unwrap_or_else(|| crate::json::quote(t)))),
                other => Some(Value::Json(crate::json::of_value(other))),
            },
            SqlType::Bitmap | SqlType::Hll | SqlType::Percentile => match self {
                Value::Bytes(b) => Some(Value::Bytes(b.clone())),
                // The only default such a column may have.
                Value::Text(t) if t.is_empty() => Some(Value::Bytes(Vec::new())),
                _ => None,
            },
            SqlType::Array(e) => match self {
                Value::List(items) => {
                    Some(Value::List(items.iter().map(|v| v.cast(e).unwrap_or(Value::Null)).collect()))
                }
                Value::Text(t) | Value::Json(t) => crate::json::parse_nested(t, to),
                _ => None,
            },
            SqlType::Map(k, v) => match self {
                Value::Map(pairs) => Some(Value::Map(
                    pairs
                        .iter()
                        .map(|(a, b)| (a.cast(k).unwrap_or(Value::Null), b.cast(v).unwrap_or(Value::Null)))
                        .collect(),
                )),
                Value::Text(t) | Value::Json(t) => crate::json::parse_nested(t, to),
                _ => None,
            },
            SqlType::Struct(fields) => match self {
                Value::Struct(items) if items.len() == fields.len() => Some(Value::Struct(
                    fields
                        .iter()
                        .zip(items)
                        .map(|((n, t), (_, v))| (n.clone(), v.cast(t).unwrap_or(Value::Null)))
                        .collect(),
                )),
                Value::Text(t) | Value::Json(t) => crate::json::parse_nested(t, to),
                _ => None,
            },
        }
    }

    /// A type the value fits in, when nobody knows its own.
    pub fn likely_type(&self) -> SqlType {
        use crate::sql::functions::{common, common_two};
        match self {
            Value::Null => SqlType::Null,
            Value::Bool(_) => SqlType::Boolean,
            Value::Int(v) if i64::try_from(*v).is_ok() => SqlType::BigInt,
            Value::Int(_) => SqlType::LargeInt,
            Value::Float(_) => SqlType::Float,
            Value::Double(_) => SqlType::Double,
            Value::Decimal(_, s) => SqlType::Decimal(38.max(*s), *s),
            Value::Text(_) => SqlType::STRING,
            Value::Bytes(_) => SqlType::Varbinary,
            Value::Date(_) => SqlType::Date,
            Value::DateTime(_) => SqlType::DateTime,
            Value::Json(_) => SqlType::Json,
            Value::List(items) => {
                SqlType::Array(Box::new(items.iter().fold(SqlType::Null, |t, v| common_two(&t, &v.likely_type()))))
            }
            Value::Map(items) => {
                let keys: Vec<SqlType> = items.iter().map(|(k, _)| k.likely_type()).collect();
                let values: Vec<SqlType> = items.iter().map(|(_, v)| v.likely_type()).collect();
                SqlType::Map(Box::new(common(&keys)), Box::new(common(&values)))
            }
            Value::Struct(items) => SqlType::Struct(items.iter().map(|(n, v)| (n.clone(), v.likely_type())).collect()),
        }
    }

    /// Order of two values of one kind; NULL first.
    pub fn compare(&self, other: &Value) -> Ordering {
        use Value::*;
        match (self, other) {
            (Null, Null) => Ordering::Equal,
            (Null, _) => Ordering::Less,
            (_, Null) => Ordering::Greater,
            (Int(a), Int(b)) => a.cmp(b),
            (Text(a) | Json(a), Text(b) | Json(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Bytes(a), Bytes(b)) => a.cmp(b),
            (Date(a), Date(b)) => a.cmp(b),
            (DateTime(a), DateTime(b)) => a.cmp(b),
            (Decimal(a, s), Decimal(b, t)) if s == t => a.cmp(b),
            (Bool(a), Bool(b)) => a.cmp(b),
            (List(a), List(b)) => {
                for (x, y) in a.iter().zip(b) {
                    match x.compare(y) {
                        Ordering::Equal => {}
                        o => return o,
                    }
                }
                a.len().cmp(&b.len())
            }
            (Struct(a), Struct(b)) => {
                for ((_, x), (_, y)) in a.iter().zip(b) {
                    match x.compare(y) {
                        Ordering::Equal => {}
                        o => return o,
                    }
                }
                a.len().cmp(&b.len())
            }
            (Map(a), Map(b)) => {
                for ((ak, av), (bk, bv)) in a.iter().zip(b) {
                    match ak.compare(bk).then_with(|| av.compare(bv)) {
                        Ordering::Equal => {}
                        o => return o,
                    }
                }
                a.len().cmp(&b.len())
            }
            (Date(_) | DateTime(_), _) | (_, Date(_) | DateTime(_)) => self.as_datetime().cmp(&other.as_datetime()),
            _ => self.as_f64().partial_cmp(&other.as_f64()).unwrap_or(Ordering::Equal),
        }
    }
}

fn float_to_int(v: f64) -> Option<i128> {
    (v.is_finite() && v.abs() < 1.7e38).then(|| v.trunc() as i128)
}

fn int_of_text(text: &str) -> Option<i128> {
    let t = text.trim();
    if let Ok(v) = t.parse::<i128>() {
        return Some(v);
    }
    let (v, s) = parse_decimal(t)?;
    v.checked_div(pow10(u32::from(s)))?.to_i128()
}

/// Casts a whole array by StarRocks' rules. With `strict`, a value that cannot be cast is an error.
pub fn cast_array(array: &ArrayRef, from: &SqlType, to: &SqlType, strict: bool) -> SqlResult<ArrayRef> {
    if from == to && array.data_type() == &to.arrow() {
        return Ok(array.clone());
    }
    if array.data_type() == &DataType::Null {
        return Ok(new_null_array(&to.arrow(), array.len()));
    }
    if let (DataType::Utf8, DataType::Utf8) = (array.data_type(), to.arrow()) {
        match (from, to) {
            (SqlType::Char(_) | SqlType::Varchar(_), SqlType::Varchar(crate::types::STRING_LENGTH)) => {
                return Ok(array.clone());
            }
            (SqlType::Json, SqlType::Json) => return Ok(array.clone()),
            _ => {}
        }
    }
    // Widening of plain numbers is Arrow's business.
    let plain = |t: &SqlType| t.is_integer() && *t != SqlType::LargeInt;
    // Too large for a smaller type is NULL there as well; a number's text is the same text.
    if !strict && plain(from) && (plain(to) || *to == SqlType::STRING) {
        return Ok(arrow::compute::cast(array, &to.arrow())?);
    }
    let widening = matches!(
        (from, to),
        (SqlType::TinyInt, SqlType::SmallInt | SqlType::Int | SqlType::BigInt | SqlType::Double)
            | (SqlType::SmallInt, SqlType::Int | SqlType::BigInt | SqlType::Double)
            | (SqlType::Int, SqlType::BigInt | SqlType::Double)
            | (SqlType::BigInt, SqlType::Double)
            | (SqlType::Date, SqlType::DateTime)
    );
    if widening {
        return Ok(arrow::compute::cast(array, &to.arrow())?);
    }
    let mut values = Vec::with_capacity(array.len());
    for row in 0..array.len() {
        let value = Value::get(array, from, row);
        match value.cast(to) {
            Some(v) => values.push(v),
            None if strict => {
                return Err(SqlError::plain(format!(
                    "The value is out of range or has no form in the type {}",
                    to.message()
                )));
            }
            None => values.push(Value::Null),
        }
    }
    Ok(Value::array(&values, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_starrocks_prints_them() {
        for (v, text) in [(1.0, "1"), (0.1, "0.1"), (1e20, "1e+20"), (-1.5e-7, "-1.5e-07"), (123456.789, "123456.789")]
        {
            assert_eq!(double_text(v), text);
        }
        assert_eq!(decimal_text(i256::from_i128(-5), 2), "-0.05");
    }

    #[test]
    fn decimals_are_read_exactly_and_rounded_half_away_from_zero() {
        let check = |text: &str, to: SqlType, want: Option<&str>| {
            assert_eq!(Value::text(text).cast(&to).and_then(|v| v.as_text()).as_deref(), want, "{text}");
        };
        check("1.005", SqlType::Decimal(10, 2), Some("1.01"));
        check("-1.005", SqlType::Decimal(10, 2), Some("-1.01"));
        // A cast is held to the integers below, not to the precision.
        check("123456789.12", SqlType::Decimal(5, 2), Some("123456789.12"));
        check("92233720368547758.08", SqlType::Decimal(5, 2), None);
        check("1e3", SqlType::Decimal(10, 2), Some("1000.00"));
        check("x", SqlType::Decimal(10, 2), None);
        check("12.7", SqlType::Int, Some("12"));
        check("300", SqlType::TinyInt, None);
        check(
            "170141183460469231731687303715884105727",
            SqlType::LargeInt,
            Some("170141183460469231731687303715884105727"),
        );
    }

    #[test]
    fn values_go_into_arrays_and_come_back() {
        let t = SqlType::Array(Box::new(SqlType::Map(Box::new(SqlType::Int), Box::new(SqlType::STRING))));
        let v = Value::List(vec![Value::Map(vec![(Value::Int(1), Value::text("a"))]), Value::Null]);
        let array = Value::array(&[v.clone(), Value::Null], &t);
        assert_eq!(Value::get(&array, &t, 0), v);
        assert!(Value::get(&array, &t, 1).is_null());
        assert_eq!(v.as_text().unwrap(), r#"[{1:"a"},null]"#);
    }
}
