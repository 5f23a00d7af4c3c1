//! Columns as the encoders see them: downcast once per batch, read row by row.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, GenericListArray, MapArray, StringArray, StructArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, DurationMillisecondType, Field, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, IntervalUnit, IntervalYearMonthType, Time32MillisecondType, TimeUnit,
    TimestampMicrosecondType, TimestampNanosecondType,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use starweir_model::{Error, Result};

use super::number;

/// Seconds east of UTC at an instant (seconds since 1970-01-01 UTC): the session's zone, for TIMESTAMP_LTZ.
pub type ZoneOffset = Arc<dyn Fn(i64) -> i32 + Send + Sync>;

pub(crate) struct Cell<'a> {
    pub name: &'a str,
    pub values: Values<'a>,
    nulls: Option<&'a NullBuffer>,
}

pub(crate) enum Values<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal(&'a [i128], i8),
    Text(&'a StringArray),
    Binary(&'a BinaryArray),
    Date(&'a [i32]),
    Time(&'a [i32]),
    Timestamp { values: &'a [i64], nanos: bool, zoned: bool },
    List(&'a GenericListArray<i32>, Box<Cell<'a>>),
    Map(&'a MapArray, Box<Cell<'a>>, Box<Cell<'a>>),
    Row(Vec<Cell<'a>>),
}

/// The array in one of the forms the encoders know; what queries may produce besides is cast.
pub(crate) fn canonical(array: &ArrayRef) -> Result<ArrayRef> {
    let target = match array.data_type() {
        ArrowType::Utf8View | ArrowType::LargeUtf8 => ArrowType::Utf8,
        ArrowType::BinaryView | ArrowType::LargeBinary | ArrowType::FixedSizeBinary(_) => ArrowType::Binary,
        ArrowType::Dictionary(_, value) => {
            let plain = cast(array, value).map_err(uncastable)?;
            return canonical(&plain);
        }
        ArrowType::UInt8 => ArrowType::Int16,
        ArrowType::UInt16 => ArrowType::Int32,
        ArrowType::UInt32 => ArrowType::Int64,
        ArrowType::UInt64 => ArrowType::Decimal128(20, 0),
        ArrowType::Float16 => ArrowType::Float32,
        ArrowType::Decimal32(p, s) | ArrowType::Decimal64(p, s) => ArrowType::Decimal128(*p, *s),
        ArrowType::Date64 => ArrowType::Date32,
        ArrowType::Time32(TimeUnit::Second) | ArrowType::Time64(_) => ArrowType::Time32(TimeUnit::Millisecond),
        ArrowType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, zone) => {
            ArrowType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        ArrowType::LargeList(item) | ArrowType::FixedSizeList(item, _) => {
            ArrowType::List(Arc::new(Field::new("item", item.data_type().clone(), true)))
        }
        _ => return Ok(array.clone()),
    };
    cast(array, &target).map_err(uncastable)
}

fn uncastable(error: arrow::error::ArrowError) -> Error {
    Error::internal("a column cannot be brought into a form that can be loaded").with_source(error)
}

impl<'a> Cell<'a> {
    pub fn new(name: &'a str, array: &'a ArrayRef) -> Result<Self> {
        let values = match array.data_type() {
            ArrowType::Null => Values::Null,
            ArrowType::Boolean => Values::Boolean(array.as_boolean()),
            ArrowType::Int8 => Values::Int8(array.as_primitive::<Int8Type>().values()),
            ArrowType::Int16 => Values::Int16(array.as_primitive::<Int16Type>().values()),
            ArrowType::Int32 => Values::Int32(array.as_primitive::<Int32Type>().values()),
            ArrowType::Int64 => Values::Int64(array.as_primitive::<Int64Type>().values()),
            ArrowType::Float32 => Values::Float32(array.as_primitive::<Float32Type>().values()),
            ArrowType::Float64 => Values::Float64(array.as_primitive::<Float64Type>().values()),
            ArrowType::Decimal128(_, scale) if (0..=38).contains(scale) => {
                Values::Decimal(array.as_primitive::<Decimal128Type>().values(), *scale)
            }
            ArrowType::Utf8 => Values::Text(array.as_string()),
            ArrowType::Binary => Values::Binary(array.as_binary()),
            ArrowType::Date32 => Values::Date(array.as_primitive::<Date32Type>().values()),
            ArrowType::Time32(TimeUnit::Millisecond) => {
                Values::Time(array.as_primitive::<Time32MillisecondType>().values())
            }
            ArrowType::Timestamp(TimeUnit::Microsecond, zone) => Values::Timestamp {
                values: array.as_primitive::<TimestampMicrosecondType>().values(),
                nanos: false,
                zoned: zone.is_some(),
            },
            ArrowType::Timestamp(TimeUnit::Nanosecond, zone) => Values::Timestamp {
                values: array.as_primitive::<TimestampNanosecondType>().values(),
                nanos: true,
                zoned: zone.is_some(),
            },
            ArrowType::Interval(IntervalUnit::YearMonth) => {
                Values::Int32(array.as_primitive::<IntervalYearMonthType>().values())
            }
            ArrowType::Duration(TimeUnit::Millisecond) => {
                Values::Int64(array.as_primitive::<DurationMillisecondType>().values())
            }
            ArrowType::List(_) => {
                let list = array.as_list::<i32>();
                Values::List(list, Box::new(Cell::new(name, list.values())?))
            }
            ArrowType::Map(..) => {
                let map = array.as_map();
                Values::Map(map, Box::new(Cell::new(name, map.keys())?), Box::new(Cell::new(name, map.values())?))
            }
            ArrowType::Struct(fields) => {
                let row: &StructArray = array.as_struct();
                let members = fields.iter().zip(row.columns()).map(|(field, column)| Cell::new(field.name(), column));
                Values::Row(members.collect::<Result<_>>()?)
            }
            other => {
                return Err(Error::user(format!("column '{name}' is held as {other}, which StarRocks cannot load")));
            }
        };
        Ok(Self { name, values, nulls: array.nulls().filter(|n| n.null_count() > 0) })
    }

    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        match self.nulls {
            Some(nulls) => nulls.is_null(row),
            None => matches!(self.values, Values::Null),
        }
    }

    #[cold]
    fn unloadable(&self, what: &str) -> Error {
        Error::data(format!("column '{}' holds {what}, which StarRocks cannot store", self.name))
    }

    /// Appends a value that is neither text nor nested, without quotes; booleans as 1 and 0.
    #[inline]
    pub fn plain(&self, row: usize, zone: Option<&ZoneOffset>, out: &mut Vec<u8>) -> Result<()> {
        match &self.values {
            Values::Null => {}
            Values::Boolean(a) => out.push(b'0' + u8::from(a.value(row))),
            Values::Int8(v) => number::signed(out, v[row] as i64),
            Values::Int16(v) => number::signed(out, v[row] as i64),
            Values::Int32(v) => number::signed(out, v[row] as i64),
            Values::Int64(v) => number::signed(out, v[row]),
            Values::Float32(v) if v[row].is_finite() => {
                out.extend_from_slice(zmij::Buffer::new().format_finite(v[row]).as_bytes());
            }
            Values::Float64(v) if v[row].is_finite() => {
                out.extend_from_slice(zmij::Buffer::new().format_finite(v[row]).as_bytes());
            }
            Values::Float32(_) | Values::Float64(_) => return Err(self.unloadable("NaN or an infinity")),
            Values::Decimal(v, scale) => number::decimal(out, v[row], *scale),
            Values::Date(v) => {
                if !number::date(out, v[row] as i64) {
                    return Err(self.unloadable("a date outside of the years 0 to 9999"));
                }
            }
            Values::Time(v) => {
                let millis = v[row].rem_euclid(86_400_000) as u32;
                number::time(out, millis / 1000, millis % 1000 * 1000);
            }
            Values::Timestamp { values, nanos, zoned } => {
                let per_second = if *nanos { 1_000_000_000 } else { 1_000_000 };
                let mut seconds = values[row].div_euclid(per_second);
                let rest = values[row].rem_euclid(per_second) as u32;
                if let Some(zone) = zone.filter(|_| *zoned) {
                    seconds += zone(seconds) as i64;
                }
                if !number::datetime(out, seconds, if *nanos { rest / 1000 } else { rest }) {
                    return Err(self.unloadable("a timestamp outside of the years 0 to 9999"));
                }
            }
            Values::Text(_) | Values::Binary(_) | Values::List(..) | Values::Map(..) | Values::Row(_) => {
                return Err(Error::internal("a text or nested value was written as a plain one"));
            }
        }
        Ok(())
    }

    /// Appends a value as JSON; within nested values booleans are `true` and `false`.
    pub fn json(&self, row: usize, nested: bool, zone: Option<&ZoneOffset>, out: &mut Vec<u8>) -> Result<()> {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        match &self.values {
            Values::Text(a) => string(a.value(row).as_bytes(), out),
            Values::Binary(a) => {
                out.push(b'"');
                base64(a.value(row), out);
                out.push(b'"');
            }
            Values::Boolean(a) if nested => {
                out.extend_from_slice(if a.value(row) { b"true" } else { b"false" });
            }
            Values::Decimal(..) | Values::Date(_) | Values::Time(_) | Values::Timestamp { .. } => {
                out.push(b'"');
                self.plain(row, zone, out)?;
                out.push(b'"');
            }
            Values::List(list, items) => {
                out.push(b'[');
                let offsets = list.value_offsets();
                for (n, at) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    items.json(at, true, zone, out)?;
                }
                out.push(b']');
            }
            Values::Map(map, keys, values) => {
                out.push(b'{');
                let offsets = map.value_offsets();
                for (n, at) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    match &keys.values {
                        Values::Text(a) => string(a.value(at).as_bytes(), out),
                        _ => {
                            let mut key = Vec::new();
                            keys.json(at, true, zone, &mut key)?;
                            if key.first() == Some(&b'"') {
                                out.extend_from_slice(&key);
                            } else {
                                string(&key, out);
                            }
                        }
                    }
                    out.push(b':');
                    values.json(at, true, zone, out)?;
                }
                out.push(b'}');
            }
            Values::Row(members) => {
                out.push(b'{');
                for (n, member) in members.iter().enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    string(member.name.as_bytes(), out);
                    out.push(b':');
                    member.json(row, true, zone, out)?;
                }
                out.push(b'}');
            }
            _ => self.plain(row, zone, out)?,
        }
        Ok(())
    }
}

pub(crate) fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
}

/// 0: as it is; otherwise it must be escaped in a JSON string.
static ESCAPED: [bool; 256] = {
    let mut table = [false; 256];
    let mut n = 0;
    while n < 0x20 {
        table[n] = true;
        n += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

/// Appends a JSON string with its quotes.
pub(crate) fn string(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut from = 0;
    for (at, &byte) in text.iter().enumerate() {
        if !ESCAPED[byte as usize] {
            continue;
        }
        out.extend_from_slice(&text[from..at]);
        from = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let digit = |n: u8| b"0123456789abcdef"[(n & 15) as usize];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte)]);
            }
        }
    }
    out.extend_from_slice(&text[from..]);
    out.push(b'"');
}
