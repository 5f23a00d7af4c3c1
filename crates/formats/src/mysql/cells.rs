//! Column builders that take MySQL values one by one, from the binary log or from a result set: both ways end in the
//! same conversions, so that a row looks the same whichever way it came.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder,
    Int8Builder, Int16Builder, Int32Builder, Int64Builder, StringBuilder, Time64MicrosecondBuilder,
    TimestampMicrosecondBuilder,
};
use starweir_model::{Error, LogicalType, Result};

use super::bytes::{Broken, Read};
use super::temporal::{Parts, datetime_micros, days};
use super::{geometry, json};

/// A value on its way into a column. Nothing is owned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    Null,
    Int(i64),
    UInt(u64),
    Float(f32),
    Double(f64),
    /// Unscaled; the scale is the column's.
    Decimal(i128),
    /// UTF-8 text.
    Text(&'a str),
    Bytes(&'a [u8]),
    /// srid and WKB.
    Geometry(&'a [u8]),
    /// 32-bit floats.
    Vector(&'a [u8]),
    Date {
        year: u32,
        month: u32,
        day: u32,
    },
    DateTime {
        year: u32,
        month: u32,
        day: u32,
        hour: u32,
        minute: u32,
        second: u32,
        micros: u32,
    },
    /// Microseconds since 1970 in UTC.
    Instant(i64),
    /// Microseconds.
    Time(i64),
}

/// Choices about values that apply to all columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueOptions {
    /// Years 1 to 99 of dates count as 1970 to 2069, as Debezium's time adjuster does.
    pub adjust_years: bool,
    /// JSON of the binary log without blanks after `,` and `:`.
    pub legacy_json: bool,
}

impl ValueOptions {
    pub(crate) fn json_style(&self) -> json::JsonStyle {
        json::JsonStyle { blanks: !self.legacy_json }
    }
}

#[derive(Debug)]
enum Builder {
    Boolean(BooleanBuilder),
    Int8(Int8Builder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float(Float32Builder),
    Double(Float64Builder),
    Decimal(Decimal128Builder, u8, u8),
    Text(StringBuilder),
    Binary(BinaryBuilder, Option<usize>),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder, bool),
}

/// A column being filled.
#[derive(Debug)]
pub struct ColumnBuilder {
    builder: Builder,
    adjust_years: bool,
}

/// Why a value could not be taken: what it is, not its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misfit;

impl From<Broken> for Misfit {
    fn from(_: Broken) -> Self {
        Misfit
    }
}

impl ColumnBuilder {
    /// None for a type MySQL columns never have.
    pub fn new(logical: &LogicalType, options: ValueOptions) -> Option<Self> {
        let builder = match logical {
            LogicalType::Boolean => Builder::Boolean(BooleanBuilder::new()),
            LogicalType::TinyInt => Builder::Int8(Int8Builder::new()),
            LogicalType::SmallInt => Builder::Int16(Int16Builder::new()),
            LogicalType::Int => Builder::Int32(Int32Builder::new()),
            LogicalType::BigInt => Builder::Int64(Int64Builder::new()),
            LogicalType::Float => Builder::Float(Float32Builder::new()),
            LogicalType::Double => Builder::Double(Float64Builder::new()),
            LogicalType::Decimal(p, s) => Builder::Decimal(Decimal128Builder::new(), *p, *s),
            LogicalType::Char(_) | LogicalType::VarChar(_) => Builder::Text(StringBuilder::new()),
            LogicalType::Binary(length) => Builder::Binary(BinaryBuilder::new(), Some(*length as usize)),
            LogicalType::VarBinary(_) => Builder::Binary(BinaryBuilder::new(), None),
            LogicalType::Date => Builder::Date(Date32Builder::new()),
            LogicalType::Time(_) => Builder::Time(Time64MicrosecondBuilder::new()),
            LogicalType::Timestamp(_) => Builder::Timestamp(TimestampMicrosecondBuilder::new(), false),
            LogicalType::TimestampLtz(_) => Builder::Timestamp(TimestampMicrosecondBuilder::new(), true),
            _ => return None,
        };
        Some(Self { builder, adjust_years: options.adjust_years })
    }

    pub(crate) fn append_null(&mut self) {
        match &mut self.builder {
            Builder::Boolean(b) => b.append_null(),
            Builder::Int8(b) => b.append_null(),
            Builder::Int16(b) => b.append_null(),
            Builder::Int32(b) => b.append_null(),
            Builder::Int64(b) => b.append_null(),
            Builder::Float(b) => b.append_null(),
            Builder::Double(b) => b.append_null(),
            Builder::Decimal(b, ..) => b.append_null(),
            Builder::Text(b) => b.append_null(),
            Builder::Binary(b, _) => b.append_null(),
            Builder::Date(b) => b.append_null(),
            Builder::Time(b) => b.append_null(),
            Builder::Timestamp(b, _) => b.append_null(),
        }
    }

    /// Appends text that `write` produces.
    pub(crate) fn append_written(
        &mut self,
        scratch: &mut String,
        write: impl FnOnce(&mut String) -> Read<()>,
    ) -> Result<(), Misfit> {
        scratch.clear();
        write(scratch)?;
        match &mut self.builder {
            Builder::Text(b) => b.append_value(scratch.as_str()),
            _ => return Err(Misfit),
        }
        Ok(())
    }

    #[inline]
    pub fn append(&mut self, cell: Cell<'_>) -> Result<(), Misfit> {
        match (&mut self.builder, cell) {
            (_, Cell::Null) => self.append_null(),
            (Builder::Int32(b), Cell::Int(n)) => b.append_value(i32::try_from(n).map_err(|_| Misfit)?),
            (Builder::Int64(b), Cell::Int(n)) => b.append_value(n),
            (Builder::Int8(b), Cell::Int(n)) => b.append_value(i8::try_from(n).map_err(|_| Misfit)?),
            (Builder::Int16(b), Cell::Int(n)) => b.append_value(i16::try_from(n).map_err(|_| Misfit)?),
            (Builder::Int8(b), Cell::UInt(n)) => b.append_value(i8::try_from(n).map_err(|_| Misfit)?),
            (Builder::Int16(b), Cell::UInt(n)) => b.append_value(i16::try_from(n).map_err(|_| Misfit)?),
            (Builder::Int32(b), Cell::UInt(n)) => b.append_value(i32::try_from(n).map_err(|_| Misfit)?),
            (Builder::Int64(b), Cell::UInt(n)) => b.append_value(i64::try_from(n).map_err(|_| Misfit)?),
            (Builder::Boolean(b), Cell::Int(n)) => b.append_value(n != 0),
            (Builder::Boolean(b), Cell::UInt(n)) => b.append_value(n != 0),
            (Builder::Boolean(b), Cell::Bytes(bits)) => b.append_value(bits.iter().any(|byte| *byte != 0)),
            (Builder::Float(b), Cell::Float(n)) => b.append_value(n),
            (Builder::Double(b), Cell::Double(n)) => b.append_value(n),
            // The number a user sees: 3.14 and not 3.140000104904175.
            (Builder::Double(b), Cell::Float(n)) => {
                b.append_value(n.to_string().parse().map_err(|_| Misfit)?);
            }
            (Builder::Decimal(b, ..), Cell::Decimal(n)) => b.append_value(n),
            (Builder::Decimal(b, _, 0), Cell::UInt(n)) => b.append_value(i128::from(n)),
            (Builder::Decimal(b, _, 0), Cell::Int(n)) => b.append_value(i128::from(n)),
            (Builder::Decimal(b, p, s), Cell::Text(text)) => {
                match crate::decimal::parse_decimal(text.as_bytes(), *p, *s).map_err(|_| Misfit)? {
                    Some(number) => b.append_value(number),
                    None => return Err(Misfit),
                }
            }
            (Builder::Text(b), Cell::Text(text)) => b.append_value(text),
            (Builder::Text(b), Cell::Geometry(value)) => {
                let mut text = String::new();
                geometry::to_text(value, &mut text)?;
                b.append_value(text);
            }
            (Builder::Text(b), Cell::Vector(value)) => {
                let mut text = String::from("[");
                for (i, four) in value.chunks_exact(4).enumerate() {
                    let number = f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
                    let _ = write!(text, "{}{number}", if i > 0 { "," } else { "" });
                }
                text.push(']');
                b.append_value(text);
            }
            (Builder::Text(b), Cell::Bytes(bytes)) => b.append_value(String::from_utf8_lossy(bytes)),
            (Builder::Text(b), Cell::Int(n)) => {
                let _ = write!(b, "{n}");
                b.append_value("");
            }
            (Builder::Binary(b, Some(length)), Cell::Bytes(bytes)) if bytes.len() < *length => {
                // The log leaves out trailing zero bytes of BINARY.
                let mut padded = bytes.to_vec();
                padded.resize(*length, 0);
                b.append_value(padded);
            }
            (Builder::Binary(b, _), Cell::Bytes(bytes)) => b.append_value(bytes),
            (Builder::Binary(b, _), Cell::Text(text)) => b.append_value(text.as_bytes()),
            (Builder::Date(b), Cell::Date { year, month, day }) => {
                b.append_option(days(year, month, day, self.adjust_years));
            }
            (Builder::Date(b), Cell::DateTime { year, month, day, .. }) => {
                b.append_option(days(year, month, day, self.adjust_years));
            }
            (Builder::Timestamp(b, _), Cell::DateTime { year, month, day, hour, minute, second, micros }) => {
                let days = days(year, month, day, self.adjust_years);
                b.append_option(days.map(|days| datetime_micros(days, hour, minute, second, micros)));
            }
            (Builder::Timestamp(b, _), Cell::Date { year, month, day }) => {
                b.append_option(days(year, month, day, self.adjust_years).map(|d| datetime_micros(d, 0, 0, 0, 0)));
            }
            (Builder::Timestamp(b, true), Cell::Instant(micros)) => {
                // Zero is MySQL's '0000-00-00 00:00:00'.
                b.append_option((micros != 0).then_some(micros));
            }
            (Builder::Time(b), Cell::Time(micros)) => b.append_value(micros),
            _ => return Err(Misfit),
        }
        Ok(())
    }

    /// Takes the column and starts anew.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        Ok(match &mut self.builder {
            Builder::Boolean(b) => Arc::new(b.finish()),
            Builder::Int8(b) => Arc::new(b.finish()),
            Builder::Int16(b) => Arc::new(b.finish()),
            Builder::Int32(b) => Arc::new(b.finish()),
            Builder::Int64(b) => Arc::new(b.finish()),
            Builder::Float(b) => Arc::new(b.finish()),
            Builder::Double(b) => Arc::new(b.finish()),
            Builder::Decimal(b, p, s) => Arc::new(
                b.finish()
                    .with_precision_and_scale(*p, *s as i8)
                    .map_err(|e| Error::internal("a decimal column has a wrong precision").with_source(e))?,
            ),
            Builder::Text(b) => Arc::new(b.finish()),
            Builder::Binary(b, _) => Arc::new(b.finish()),
            Builder::Date(b) => Arc::new(b.finish()),
            Builder::Time(b) => Arc::new(b.finish()),
            Builder::Timestamp(b, false) => Arc::new(b.finish()),
            Builder::Timestamp(b, true) => Arc::new(b.finish().with_timezone("UTC")),
        })
    }
}

impl From<Parts> for Cell<'_> {
    fn from(p: Parts) -> Self {
        Cell::DateTime {
            year: p.year,
            month: p.month,
            day: p.day,
            hour: p.hour,
            minute: p.minute,
            second: p.second,
            micros: p.micros,
        }
    }
}
