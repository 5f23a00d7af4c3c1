//! Typed columns under construction. Unlike Arrow's builders they can be cut back, so a message that
//! fails half-way leaves nothing behind.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::builder::NullBufferBuilder;
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, DurationMillisecondArray, IntervalYearMonthArray, ListArray,
    MapArray, NullArray, PrimitiveArray, StringArray, StructArray, Time32MillisecondArray, TimestampMicrosecondArray,
    TimestampNanosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType as ArrowType, Date32Type, Fields, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type,
};
use starweir_model::{DataType, Error, LogicalType};

use crate::error::{DecodeErrorKind, Decoded, fault};

/// One column: its values and which of them are NULL.
pub(crate) struct Column {
    pub values: Values,
    nulls: NullBufferBuilder,
    pub nullable: bool,
    /// The unit of numbers in a temporal column of change messages.
    pub unit: Unit,
    arrow_type: ArrowType,
}

/// What is known of the unit in which change messages count a column's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Unknown,
    /// Units per second, as earlier values showed.
    Likely(i64),
    /// Units per second, as the message's schema says.
    Certain(i64),
}

/// The values of a column by the way they are held.
pub(crate) enum Values {
    Null(usize),
    Boolean(Vec<bool>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal {
        values: Vec<i128>,
        precision: u8,
        scale: u8,
        written_as: DecimalText,
        /// The scale of base64 numbers: the declared one unless the message's schema names another.
        bytes_scale: u8,
    },
    Text(Bytes),
    Binary(Bytes),
    Date(Vec<i32>),
    /// Milliseconds of the day.
    Time {
        values: Vec<i32>,
        precision: u8,
    },
    Timestamp {
        values: Vec<i64>,
        precision: u8,
        zoned: bool,
    },
    YearMonth(Vec<i32>),
    DayTime(Vec<i64>),
    List {
        offsets: Vec<i32>,
        item: Box<Column>,
    },
    Map {
        offsets: Vec<i32>,
        key: Box<Column>,
        value: Box<Column>,
    },
    Row(Members),
}

/// How the texts of a DECIMAL column have turned out to be written in change messages: Debezium's
/// `decimal.handling.mode` is `precise` (base64 of the unscaled number) or `string`, never both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecimalText {
    Unknown,
    Digits,
    Base64,
}

/// Text or bytes, one after the other, and where each ends (the first offset is 0).
pub(crate) struct Bytes {
    pub data: Vec<u8>,
    pub offsets: Vec<i32>,
}

/// The members of a ROW, or of a message.
pub(crate) struct Members {
    pub names: Vec<String>,
    /// `"name"` with its quotes, as it usually stands in a JSON text; empty when it needs escapes.
    pub quoted: Vec<Vec<u8>>,
    pub columns: Vec<Column>,
    pub len: usize,
    /// Positions by name, when there are too many to look through.
    by_name: HashMap<String, usize>,
}

impl Bytes {
    fn new() -> Self {
        Self { data: Vec::new(), offsets: vec![0] }
    }

    /// Ends the value whose bytes were just appended to `data`.
    #[inline]
    pub fn end_value(&mut self, offset: usize) -> Decoded<()> {
        match i32::try_from(self.data.len()) {
            Ok(end) => {
                self.offsets.push(end);
                Ok(())
            }
            Err(_) => {
                self.data.truncate(self.last_end());
                Err(fault(DecodeErrorKind::Full, offset, "the batch holds 2 GiB in one column"))
            }
        }
    }

    pub fn last_end(&self) -> usize {
        self.offsets.last().map_or(0, |o| *o as usize)
    }

    fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        self.data.truncate(self.last_end());
    }
}

impl Members {
    pub fn new(fields: impl IntoIterator<Item = (String, DataType)>) -> Result<Self, Error> {
        let mut names = Vec::new();
        let mut columns = Vec::new();
        let mut quoted = Vec::new();
        for (name, data_type) in fields {
            columns.push(Column::new(&data_type)?);
            let plain = name.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\');
            quoted.push(if plain { format!("\"{name}\"").into_bytes() } else { Vec::new() });
            names.push(name);
        }
        let by_name = match names.len() {
            0..=16 => HashMap::new(),
            _ => names.iter().enumerate().map(|(i, n)| (n.clone(), i)).collect(),
        };
        Ok(Self { names, quoted, columns, len: 0, by_name })
    }

    /// The member of this name (case counts).
    pub fn position(&self, name: &[u8]) -> Option<usize> {
        if self.by_name.is_empty() {
            return self.names.iter().position(|n| n.as_bytes() == name);
        }
        self.by_name.get(std::str::from_utf8(name).ok()?).copied()
    }

    /// Back to `len` rows, whatever was appended to which column since.
    pub fn truncate(&mut self, len: usize) {
        for column in &mut self.columns {
            column.truncate(len);
        }
        self.len = len;
    }
}

impl Column {
    pub fn new(data_type: &DataType) -> Result<Self, Error> {
        let values = match &data_type.logical {
            LogicalType::Null => Values::Null(0),
            LogicalType::Boolean => Values::Boolean(Vec::new()),
            LogicalType::TinyInt => Values::Int8(Vec::new()),
            LogicalType::SmallInt => Values::Int16(Vec::new()),
            LogicalType::Int => Values::Int32(Vec::new()),
            LogicalType::BigInt => Values::Int64(Vec::new()),
            LogicalType::Float => Values::Float32(Vec::new()),
            LogicalType::Double => Values::Float64(Vec::new()),
            LogicalType::Decimal(precision, scale) => {
                let (precision, scale) = (*precision, *scale);
                Values::Decimal {
                    values: Vec::new(),
                    precision,
                    scale,
                    written_as: DecimalText::Unknown,
                    bytes_scale: scale,
                }
            }
            LogicalType::Char(_) | LogicalType::VarChar(_) | LogicalType::TimestampTz(_) | LogicalType::Variant => {
                Values::Text(Bytes::new())
            }
            LogicalType::Binary(_) | LogicalType::VarBinary(_) => Values::Binary(Bytes::new()),
            LogicalType::Date => Values::Date(Vec::new()),
            LogicalType::Time(precision) => Values::Time { values: Vec::new(), precision: *precision },
            LogicalType::Timestamp(precision) => {
                Values::Timestamp { values: Vec::new(), precision: *precision, zoned: false }
            }
            LogicalType::TimestampLtz(precision) => {
                Values::Timestamp { values: Vec::new(), precision: *precision, zoned: true }
            }
            LogicalType::IntervalYearMonth => Values::YearMonth(Vec::new()),
            LogicalType::IntervalDayTime => Values::DayTime(Vec::new()),
            LogicalType::Array(item) => Values::List { offsets: vec![0], item: Box::new(Column::new(item)?) },
            LogicalType::Map(key, value) => Values::Map {
                offsets: vec![0],
                key: Box::new(Column::new(&key.as_ref().clone().with_nullable(false))?),
                value: Box::new(Column::new(value)?),
            },
            LogicalType::Multiset(element) => Values::Map {
                offsets: vec![0],
                key: Box::new(Column::new(&element.as_ref().clone().with_nullable(false))?),
                value: Box::new(Column::new(&DataType::not_null(LogicalType::Int))?),
            },
            LogicalType::Row(fields) => {
                Values::Row(Members::new(fields.iter().map(|f| (f.name.clone(), f.data_type.clone())))?)
            }
        };
        Ok(Self {
            values,
            nulls: NullBufferBuilder::new(0),
            nullable: data_type.nullable || data_type.logical == LogicalType::Null,
            unit: Unit::Unknown,
            arrow_type: data_type.to_arrow(),
        })
    }

    /// Values so far.
    pub fn len(&self) -> usize {
        self.nulls.len()
    }

    /// Counts the value that was just pushed.
    #[inline]
    pub fn mark(&mut self) {
        self.nulls.append_non_null();
    }

    /// Appends NULL; an error when the column is NOT NULL.
    pub fn append_null(&mut self, offset: usize) -> Decoded<()> {
        if !self.nullable {
            return Err(fault(DecodeErrorKind::Missing, offset, "NULL where the type is NOT NULL"));
        }
        self.append_null_unchecked();
        Ok(())
    }

    fn append_null_unchecked(&mut self) {
        match &mut self.values {
            Values::Null(len) => *len += 1,
            Values::Boolean(v) => v.push(false),
            Values::Int8(v) => v.push(0),
            Values::Int16(v) => v.push(0),
            Values::Int32(v) | Values::Date(v) | Values::Time { values: v, .. } | Values::YearMonth(v) => v.push(0),
            Values::Int64(v) | Values::Timestamp { values: v, .. } | Values::DayTime(v) => v.push(0),
            Values::Float32(v) => v.push(0.0),
            Values::Float64(v) => v.push(0.0),
            Values::Decimal { values, .. } => values.push(0),
            Values::Text(b) | Values::Binary(b) => b.offsets.push(b.data.len() as i32),
            Values::List { offsets, item } => offsets.push(item.len() as i32),
            Values::Map { offsets, key, .. } => offsets.push(key.len() as i32),
            Values::Row(members) => {
                for column in &mut members.columns {
                    column.append_null_unchecked();
                }
                members.len += 1;
            }
        }
        self.nulls.append_null();
    }

    /// Back to `len` values. Values pushed but not yet counted go too.
    pub fn truncate(&mut self, len: usize) {
        match &mut self.values {
            Values::Null(l) => *l = (*l).min(len),
            Values::Boolean(v) => v.truncate(len),
            Values::Int8(v) => v.truncate(len),
            Values::Int16(v) => v.truncate(len),
            Values::Int32(v) | Values::Date(v) | Values::Time { values: v, .. } | Values::YearMonth(v) => {
                v.truncate(len)
            }
            Values::Int64(v) | Values::Timestamp { values: v, .. } | Values::DayTime(v) => v.truncate(len),
            Values::Float32(v) => v.truncate(len),
            Values::Float64(v) => v.truncate(len),
            Values::Decimal { values, .. } => values.truncate(len),
            Values::Text(b) | Values::Binary(b) => b.truncate(len),
            Values::List { offsets, item } => {
                offsets.truncate(len + 1);
                item.truncate(offsets.last().map_or(0, |o| *o as usize));
            }
            Values::Map { offsets, key, value } => {
                offsets.truncate(len + 1);
                let entries = offsets.last().map_or(0, |o| *o as usize);
                key.truncate(entries);
                value.truncate(entries);
            }
            Values::Row(members) => members.truncate(len),
        }
        if self.nulls.len() > len {
            self.nulls.truncate(len);
        }
    }

    /// Bytes held, about.
    pub fn bytes(&self) -> usize {
        let fixed = |width: usize| self.len() * width;
        match &self.values {
            Values::Null(_) => 0,
            Values::Boolean(_) | Values::Int8(_) => fixed(1),
            Values::Int16(_) => fixed(2),
            Values::Int32(_) | Values::Float32(_) | Values::Date(_) | Values::Time { .. } | Values::YearMonth(_) => {
                fixed(4)
            }
            Values::Int64(_) | Values::Float64(_) | Values::Timestamp { .. } | Values::DayTime(_) => fixed(8),
            Values::Decimal { .. } => fixed(16),
            Values::Text(b) | Values::Binary(b) => b.data.len() + fixed(4),
            Values::List { item, .. } => item.bytes() + fixed(4),
            Values::Map { key, value, .. } => key.bytes() + value.bytes() + fixed(4),
            Values::Row(members) => members.columns.iter().map(Column::bytes).sum(),
        }
    }

    /// The array of what was appended; the column starts anew, with room for as much again.
    pub fn finish(&mut self) -> Result<ArrayRef, Error> {
        fn primitive<T: ArrowPrimitiveType>(
            values: &mut Vec<T::Native>,
            nulls: Option<NullBuffer>,
        ) -> Result<PrimitiveArray<T>, arrow::error::ArrowError> {
            PrimitiveArray::try_new(take(values).into(), nulls)
        }
        fn bytes(b: &mut Bytes) -> (OffsetBuffer<i32>, Vec<u8>) {
            let data = take(&mut b.data);
            let offsets = take(&mut b.offsets);
            b.offsets.push(0);
            (OffsetBuffer::new(ScalarBuffer::from(offsets)), data)
        }
        fn starts(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
            let taken = take(offsets);
            offsets.push(0);
            OffsetBuffer::new(ScalarBuffer::from(taken))
        }
        fn build(
            values: &mut Values,
            arrow_type: &ArrowType,
            nulls: Option<NullBuffer>,
        ) -> Result<ArrayRef, arrow::error::ArrowError> {
            Ok(match values {
                Values::Null(len) => Arc::new(NullArray::new(std::mem::take(len))) as ArrayRef,
                Values::Boolean(v) => Arc::new(BooleanArray::new(take(v).into(), nulls)),
                Values::Int8(v) => Arc::new(primitive::<Int8Type>(v, nulls)?),
                Values::Int16(v) => Arc::new(primitive::<Int16Type>(v, nulls)?),
                Values::Int32(v) => Arc::new(primitive::<Int32Type>(v, nulls)?),
                Values::Int64(v) => Arc::new(primitive::<Int64Type>(v, nulls)?),
                Values::Float32(v) => Arc::new(primitive::<Float32Type>(v, nulls)?),
                Values::Float64(v) => Arc::new(primitive::<Float64Type>(v, nulls)?),
                Values::Date(v) => Arc::new(primitive::<Date32Type>(v, nulls)?),
                Values::Time { values, .. } => Arc::new(Time32MillisecondArray::try_new(take(values).into(), nulls)?),
                Values::YearMonth(v) => Arc::new(IntervalYearMonthArray::try_new(take(v).into(), nulls)?),
                Values::DayTime(v) => Arc::new(DurationMillisecondArray::try_new(take(v).into(), nulls)?),
                Values::Decimal { values, precision, scale, .. } => Arc::new(
                    Decimal128Array::try_new(take(values).into(), nulls)?
                        .with_precision_and_scale(*precision, *scale as i8)?,
                ),
                Values::Timestamp { values, precision, zoned } => {
                    let zone: Option<Arc<str>> = zoned.then(|| "UTC".into());
                    let values = ScalarBuffer::from(take(values));
                    if *precision <= 6 {
                        Arc::new(TimestampMicrosecondArray::try_new(values, nulls)?.with_timezone_opt(zone))
                    } else {
                        Arc::new(TimestampNanosecondArray::try_new(values, nulls)?.with_timezone_opt(zone))
                    }
                }
                Values::Text(b) => {
                    let (offsets, data) = bytes(b);
                    Arc::new(StringArray::try_new(offsets, data.into(), nulls)?)
                }
                Values::Binary(b) => {
                    let (offsets, data) = bytes(b);
                    Arc::new(BinaryArray::try_new(offsets, data.into(), nulls)?)
                }
                Values::List { offsets, item } => {
                    let ArrowType::List(field) = arrow_type else { return Err(unlike(arrow_type)) };
                    let child = item.finish().map_err(|e| arrow::error::ArrowError::ExternalError(Box::new(e)))?;
                    Arc::new(ListArray::try_new(field.clone(), starts(offsets), child, nulls)?)
                }
                Values::Map { offsets, key, value } => {
                    let ArrowType::Map(field, _) = arrow_type else { return Err(unlike(arrow_type)) };
                    let ArrowType::Struct(entry_fields) = field.data_type() else { return Err(unlike(arrow_type)) };
                    let external = |e: Error| arrow::error::ArrowError::ExternalError(Box::new(e));
                    let children = vec![key.finish().map_err(external)?, value.finish().map_err(external)?];
                    let entries = StructArray::try_new(entry_fields.clone(), children, None)?;
                    Arc::new(MapArray::try_new(field.clone(), starts(offsets), entries, nulls, false)?)
                }
                Values::Row(members) => {
                    let ArrowType::Struct(fields) = arrow_type else { return Err(unlike(arrow_type)) };
                    let len = std::mem::take(&mut members.len);
                    if members.columns.is_empty() {
                        return Ok(Arc::new(StructArray::new_empty_fields(len, nulls)) as ArrayRef);
                    }
                    let children = members
                        .columns
                        .iter_mut()
                        .map(Column::finish)
                        .collect::<Result<Vec<_>, _>>()
                        .map_err(|e| arrow::error::ArrowError::ExternalError(Box::new(e)))?;
                    Arc::new(StructArray::try_new(Fields::clone(fields), children, nulls)?)
                }
            })
        }
        let nulls = self.nulls.finish();
        build(&mut self.values, &self.arrow_type, nulls)
            .map_err(|e| Error::internal("decoded values do not form an array").with_source(e))
    }
}

fn unlike(arrow_type: &ArrowType) -> arrow::error::ArrowError {
    arrow::error::ArrowError::SchemaError(format!("a nested column cannot be held as {arrow_type}"))
}

/// Takes the vector and leaves one with room for as many values.
fn take<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = values.len();
    std::mem::replace(values, Vec::with_capacity(room))
}
