//! Column builders of a load: text or JSON tokens straight into Arrow columns.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, i256};

use crate::json;
use crate::time;
use crate::types::SqlType;
use crate::value::{Value, fits_precision, parse_decimal, rescale};

/// Why a cell has no value in its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    Value,
    TooLong,
    /// JSON `true` for a number: an error even in non-strict mode.
    Kind,
}

/// One JSON value as it stands in the text.
#[derive(Debug, Clone, Copy)]
pub enum Token<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    /// Without quotes, escapes resolved.
    Text(&'a str),
    /// An object or array, as text.
    Nested(&'a str),
}

pub enum Builder {
    Bool(BooleanBuilder),
    I8(Int8Builder),
    I16(Int16Builder),
    I32(Int32Builder),
    I64(Int64Builder),
    F32(Float32Builder),
    F64(Float64Builder),
    Decimal(Decimal128Builder, u8, u8),
    Text(StringBuilder, usize),
    Date(Date32Builder),
    DateTime(TimestampMicrosecondBuilder),
    Json(StringBuilder),
    /// Types that are rare in loads.
    Other(Vec<Value>, SqlType),
}

fn small_int(text: &str) -> Option<i64> {
    let t = text.as_bytes();
    let (negative, digits) = match t.first()? {
        b'-' => (true, &t[1..]),
        b'+' => (false, &t[1..]),
        _ => (false, t),
    };
    if digits.is_empty() || digits.len() > 18 {
        return text.trim().parse().ok().or_else(|| whole_of(text));
    }
    let mut v = 0i64;
    for b in digits {
        if !b.is_ascii_digit() {
            return whole_of(text);
        }
        v = v * 10 + i64::from(b - b'0');
    }
    Some(if negative { -v } else { v })
}

/// A number with a fraction or exponent, cut toward zero.
fn whole_of(text: &str) -> Option<i64> {
    let t = text.trim();
    if let Ok(v) = t.parse::<i64>() {
        return Some(v);
    }
    let (v, s) = parse_decimal(t)?;
    rescale_down(v, s)
}

fn rescale_down(v: i256, s: u8) -> Option<i64> {
    v.checked_div(crate::value::pow10(u32::from(s)))?.to_i128().and_then(|v| i64::try_from(v).ok())
}

fn decimal(text: &str, p: u8, s: u8) -> Option<i128> {
    // Up to 18 digits without an exponent, the usual case, needs no wide arithmetic.
    let t = text.trim().as_bytes();
    let (negative, body) = match t.first()? {
        b'-' => (true, &t[1..]),
        b'+' => (false, &t[1..]),
        _ => (false, t),
    };
    if !body.is_empty() && body.len() <= 18 {
        let mut v = 0i64;
        let mut scale: Option<u8> = None;
        let mut plain = true;
        let mut digits = 0;
        for b in body {
            match b {
                b'0'..=b'9' => {
                    v = v * 10 + i64::from(b - b'0');
                    digits += 1;
                    if let Some(n) = &mut scale {
                        *n += 1;
                    }
                }
                b'.' if scale.is_none() => scale = Some(0),
                _ => {
                    plain = false;
                    break;
                }
            }
        }
        let scale = scale.unwrap_or(0);
        if plain && digits > 0 && scale <= s {
            let v = i128::from(v) * 10i128.pow(u32::from(s - scale));
            let bound = 10i128.pow(u32::from(p));
            return (v < bound).then_some(if negative { -v } else { v });
        }
    }
    let (v, scale) = parse_decimal(text)?;
    let v = rescale(v, scale, s)?;
    fits_precision(v, p).then(|| v.to_i128()).flatten()
}

impl Builder {
    pub fn new(t: &SqlType, rows: usize) -> Builder {
        match t {
            SqlType::Boolean => Self::Bool(BooleanBuilder::with_capacity(rows)),
            SqlType::TinyInt => Self::I8(Int8Builder::with_capacity(rows)),
            SqlType::SmallInt => Self::I16(Int16Builder::with_capacity(rows)),
            SqlType::Int => Self::I32(Int32Builder::with_capacity(rows)),
            SqlType::BigInt => Self::I64(Int64Builder::with_capacity(rows)),
            SqlType::Float => Self::F32(Float32Builder::with_capacity(rows)),
            SqlType::Double => Self::F64(Float64Builder::with_capacity(rows)),
            SqlType::Decimal(p, s) if *p <= 38 => Self::Decimal(
                Decimal128Builder::with_capacity(rows).with_data_type(DataType::Decimal128(*p, *s as i8)),
                *p,
                *s,
            ),
            SqlType::Char(n) | SqlType::Varchar(n) => {
                Self::Text(StringBuilder::with_capacity(rows, rows * 16), *n as usize)
            }
            SqlType::Date => Self::Date(Date32Builder::with_capacity(rows)),
            SqlType::DateTime => Self::DateTime(TimestampMicrosecondBuilder::with_capacity(rows)),
            SqlType::Json => Self::Json(StringBuilder::with_capacity(rows, rows * 32)),
            other => Self::Other(Vec::with_capacity(rows), other.clone()),
        }
    }

    pub fn null(&mut self) {
        match self {
            Self::Bool(b) => b.append_null(),
            Self::I8(b) => b.append_null(),
            Self::I16(b) => b.append_null(),
            Self::I32(b) => b.append_null(),
            Self::I64(b) => b.append_null(),
            Self::F32(b) => b.append_null(),
            Self::F64(b) => b.append_null(),
            Self::Decimal(b, ..) => b.append_null(),
            Self::Text(b, _) | Self::Json(b) => b.append_null(),
            Self::Date(b) => b.append_null(),
            Self::DateTime(b) => b.append_null(),
            Self::Other(v, _) => v.push(Value::Null),
        }
    }

    /// Appends a text; on an error nothing is appended.
    pub fn text(&mut self, text: &str) -> Result<(), Bad> {
        macro_rules! int {
            ($b:expr, $n:ty) => {{
                let v = small_int(text).ok_or(Bad::Value)?;
                $b.append_value(<$n>::try_from(v).map_err(|_| Bad::Value)?)
            }};
        }
        match self {
            Self::Text(b, limit) => {
                if text.len() > *limit {
                    return Err(Bad::TooLong);
                }
                b.append_value(text);
            }
            Self::I64(b) => b.append_value(small_int(text).ok_or(Bad::Value)?),
            Self::I32(b) => int!(b, i32),
            Self::I16(b) => int!(b, i16),
            Self::I8(b) => int!(b, i8),
            Self::Bool(b) => b.append_value(Value::text(text).as_bool().ok_or(Bad::Value)?),
            Self::F32(b) => {
                b.append_value(text.trim().parse::<f32>().ok().filter(|v| v.is_finite()).ok_or(Bad::Value)?)
            }
            Self::F64(b) => {
                b.append_value(text.trim().parse::<f64>().ok().filter(|v| v.is_finite()).ok_or(Bad::Value)?)
            }
            Self::Decimal(b, p, s) => b.append_value(decimal(text, *p, *s).ok_or(Bad::Value)?),
            Self::Date(b) => {
                let us = time::parse_datetime(text.as_bytes()).ok_or(Bad::Value)?;
                b.append_value(us.div_euclid(time::DAY_US) as i32);
            }
            Self::DateTime(b) => b.append_value(time::parse_datetime(text.as_bytes()).ok_or(Bad::Value)?),
            Self::Json(b) => b.append_value(json::normalise(text).ok_or(Bad::Value)?),
            Self::Other(values, t) => {
                let v = match t {
                    SqlType::Varbinary => {
                        use base64::Engine as _;
                        // Base64 when it decodes, the bytes themselves otherwise.
                        let bytes = base64::engine::general_purpose::STANDARD
                            .decode(text)
                            .unwrap_or_else(|_| text.as_bytes().to_vec());
                        Some(Value::Bytes(bytes))
                    }
                    t => Value::text(text).cast(t),
                };
                values.push(v.ok_or(Bad::Value)?);
            }
        }
        Ok(())
    }

    /// Appends a JSON value.
    pub fn json(&mut self, token: Token<'_>) -> Result<(), Bad> {
        match (&mut *self, token) {
            (_, Token::Null) => {
                self.null();
                Ok(())
            }
            (Self::Json(b), token) => {
                let text = match token {
                    Token::Bool(v) => v.to_string(),
                    Token::Text(t) => json::quote(t),
                    Token::Number(t) | Token::Nested(t) => json::normalise(t).ok_or(Bad::Value)?,
                    Token::Null => return Ok(()),
                };
                b.append_value(text);
                Ok(())
            }
            (Self::Bool(b), Token::Bool(v)) => {
                b.append_value(v);
                Ok(())
            }
            (
                Self::I8(_) | Self::I16(_) | Self::I32(_) | Self::I64(_) | Self::F32(_) | Self::F64(_),
                Token::Bool(_),
            ) => Err(Bad::Kind),
            (Self::Other(values, t), Token::Nested(text)) => {
                let tree = json::parse(text).ok_or(Bad::Value)?;
                values.push(json::from_tree(&tree, t).ok_or(Bad::Value)?);
                Ok(())
            }
            // In JSON a text is the bytes themselves; only CSV knows base64.
            (Self::Other(values, SqlType::Varbinary), Token::Text(t) | Token::Number(t)) => {
                values.push(Value::Bytes(t.as_bytes().to_vec()));
                Ok(())
            }
            (Self::Text(..), Token::Nested(t)) => {
                let compact = json::parse(t).map(|v| json::print_compact(&v)).ok_or(Bad::Value)?;
                self.text(&compact)
            }
            (_, Token::Bool(v)) => self.text(if v { "1" } else { "0" }),
            (_, Token::Number(t) | Token::Text(t)) => self.text(t),
            (_, Token::Nested(_)) => Err(Bad::Value),
        }
    }

    pub fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Bool(b) => Arc::new(b.finish()),
            Self::I8(b) => Arc::new(b.finish()),
            Self::I16(b) => Arc::new(b.finish()),
            Self::I32(b) => Arc::new(b.finish()),
            Self::I64(b) => Arc::new(b.finish()),
            Self::F32(b) => Arc::new(b.finish()),
            Self::F64(b) => Arc::new(b.finish()),
            Self::Decimal(b, ..) => Arc::new(b.finish()),
            Self::Text(b, _) | Self::Json(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::DateTime(b) => Arc::new(b.finish()),
            Self::Other(v, t) => {
                let array = Value::array(v, t);
                v.clear();
                array
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_values_or_are_refused() {
        let check = |t: SqlType, text: &str, want: Option<&str>| {
            let mut b = Builder::new(&t, 1);
            let got = b.text(text).ok().map(|()| Value::get(&b.finish(), &t, 0).as_text().unwrap_or_default());
            assert_eq!(got.as_deref(), want, "{text} as {t:?}");
        };
        check(SqlType::Int, "12", Some("12"));
        check(SqlType::Int, "-12.9", Some("-12"));
        check(SqlType::Int, "3000000000", None);
        check(SqlType::Int, "", None);
        check(SqlType::TinyInt, "128", None);
        check(SqlType::BigInt, "9223372036854775807", Some("9223372036854775807"));
        check(SqlType::BigInt, "9223372036854775808", None);
        check(SqlType::Decimal(10, 2), "1.005", Some("1.01"));
        check(SqlType::Decimal(4, 2), "123.4", None);
        check(SqlType::Varchar(3), "äb", Some("äb"));
        check(SqlType::Varchar(3), "äbc", None);
        check(SqlType::Boolean, "true", Some("1"));
        check(SqlType::DateTime, "2024-01-02T03:04:05.6", Some("2024-01-02 03:04:05.600000"));
        check(SqlType::Json, r#"{"b":1}"#, Some(r#"{"b": 1}"#));
        check(SqlType::Array(Box::new(SqlType::Int)), "[1,null]", Some("[1,null]"));
    }
}
