//! [`ChangeBatch`] to bytes: json, csv, raw and debezium-json as Flink writes them.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, GenericListArray,
    MapArray, RecordBatch, StringArray, StructArray,
};
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, DurationMillisecondType, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalUnit, IntervalYearMonthType, Time32MillisecondType, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampNanosecondType,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use starweir_model::{ChangeBatch, Error, Options, Result, RowKind, Schema};

use crate::csv::characters;
use crate::decimal::write_decimal;
use crate::options::{is_iso, unknown};
use crate::raw::{Charset, check_schema, settings};
use crate::time::{write_date, write_long_time, write_time, write_timestamp};

/// Turns rows into records of a format.
pub trait Encoder: Send {
    /// Appends one record per row (an encoder of [`encode`](crate::encode): one per change), without anything
    /// between them, and where each ends. Errors: a row the format cannot express, such as a deletion in an
    /// append-only format. After an error `out` and `ends` may hold a part of the batch.
    fn encode(&mut self, batch: &ChangeBatch, out: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()>;

    /// The same, each record followed by a line feed.
    fn encode_lines(&mut self, batch: &ChangeBatch, out: &mut Vec<u8>) -> Result<()> {
        let (mut bytes, mut ends, mut start) = (Vec::new(), Vec::new(), 0);
        self.encode(batch, &mut bytes, &mut ends)?;
        out.reserve(bytes.len() + ends.len());
        for end in ends {
            out.extend_from_slice(&bytes[start..end]);
            out.push(b'\n');
            start = end;
        }
        Ok(())
    }
}

/// An encoder for `format`; `options` were parsed with [`definitions`](crate::definitions) of the same format.
pub fn encoder(format: &str, schema: &Schema, options: &Options) -> Result<Box<dyn Encoder>> {
    let names = schema.columns.iter().map(|c| c.name.clone()).collect();
    match format {
        "json" => Ok(Box::new(JsonEncoder { names, style: Style::from_options(options), shape: Shape::Row })),
        "debezium-json" | "canal-json" | "maxwell-json" | "ogg-json" => {
            let shape = match format {
                "debezium-json" => Shape::Debezium,
                "canal-json" => Shape::Canal,
                "maxwell-json" => Shape::Maxwell,
                _ => Shape::Ogg,
            };
            Ok(Box::new(JsonEncoder { names, style: Style::from_options(options), shape }))
        }
        "csv" => Ok(Box::new(CsvEncoder::new(options)?)),
        "raw" => {
            check_schema(schema)?;
            let (charset, little_endian) = settings(options)?;
            Ok(Box::new(RawEncoder { charset, little_endian }))
        }
        _ => Err(unknown(format)),
    }
}

/// How values are written.
#[derive(Debug, Clone)]
pub(crate) struct Style {
    iso: bool,
    plain_decimals: bool,
    pub skip_nulls: bool,
    null_key: NullKey,
    /// TIME without its fraction, whatever the declared precision.
    pub whole_seconds: bool,
}

#[derive(Debug, Clone)]
enum NullKey {
    Fail,
    Drop,
    Literal(String),
}

impl Style {
    pub fn from_options(options: &Options) -> Self {
        let null_key = match options.text("map-null-key.mode").unwrap_or("FAIL").to_ascii_uppercase().as_str() {
            "DROP" => NullKey::Drop,
            "LITERAL" => NullKey::Literal(options.text("map-null-key.literal").unwrap_or("null").to_owned()),
            _ => NullKey::Fail,
        };
        Self {
            iso: is_iso(options),
            plain_decimals: options.bool("encode.decimal-as-plain-number").unwrap_or(false),
            skip_nulls: options.bool("encode.ignore-null-fields").unwrap_or(false),
            null_key,
            whole_seconds: false,
        }
    }
}

/// Appends `text` (UTF-8) as a JSON string with its quotes.
pub(crate) fn json_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut from = 0;
    for (at, &byte) in text.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text[from..at]);
        from = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.push(b'0' + (byte >> 4));
                out.push(b"0123456789ABCDEF"[(byte & 15) as usize]);
            }
        }
    }
    out.extend_from_slice(&text[from..]);
    out.push(b'"');
}

/// The text as a JSON string.
pub(crate) fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    json_string(text.as_bytes(), &mut out);
    out
}

/// A column by the way its values are written, borrowed once per batch.
enum Reader<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    Float32(&'a Float32Array),
    Float64(&'a Float64Array),
    Decimal(&'a Decimal128Array, i8),
    Text(&'a StringArray),
    Binary(&'a BinaryArray),
    Date(&'a [i32]),
    Time(&'a [i32]),
    /// Microseconds; may lie outside of a day.
    LongTime(&'a [i64]),
    Timestamp {
        values: &'a [i64],
        nanos: bool,
        zoned: bool,
    },
    List(&'a GenericListArray<i32>, Box<Cells<'a>>),
    Map(&'a MapArray, Box<Cells<'a>>, Box<Cells<'a>>),
    Row(Vec<(String, Cells<'a>)>),
}

/// One column of a batch, ready to be written.
pub(crate) struct Cells<'a> {
    array: &'a ArrayRef,
    reader: Reader<'a>,
}

impl<'a> Cells<'a> {
    pub fn new(array: &'a ArrayRef) -> Result<Self> {
        let reader = match array.data_type() {
            ArrowType::Null => Reader::Null,
            ArrowType::Boolean => Reader::Boolean(array.as_boolean()),
            ArrowType::Int8 => Reader::Int8(array.as_primitive::<Int8Type>().values()),
            ArrowType::Int16 => Reader::Int16(array.as_primitive::<Int16Type>().values()),
            ArrowType::Int32 => Reader::Int32(array.as_primitive::<Int32Type>().values()),
            ArrowType::Int64 => Reader::Int64(array.as_primitive::<Int64Type>().values()),
            ArrowType::Float32 => Reader::Float32(array.as_primitive()),
            ArrowType::Float64 => Reader::Float64(array.as_primitive()),
            ArrowType::Decimal128(_, scale) => Reader::Decimal(array.as_primitive(), *scale),
            ArrowType::Utf8 => Reader::Text(array.as_string()),
            ArrowType::Binary => Reader::Binary(array.as_binary()),
            ArrowType::Date32 => Reader::Date(array.as_primitive::<Date32Type>().values()),
            ArrowType::Time32(TimeUnit::Millisecond) => {
                Reader::Time(array.as_primitive::<Time32MillisecondType>().values())
            }
            ArrowType::Time64(TimeUnit::Microsecond) => {
                Reader::LongTime(array.as_primitive::<Time64MicrosecondType>().values())
            }
            ArrowType::Timestamp(TimeUnit::Microsecond, zone) => Reader::Timestamp {
                values: array.as_primitive::<TimestampMicrosecondType>().values(),
                nanos: false,
                zoned: zone.is_some(),
            },
            ArrowType::Timestamp(TimeUnit::Nanosecond, zone) => Reader::Timestamp {
                values: array.as_primitive::<TimestampNanosecondType>().values(),
                nanos: true,
                zoned: zone.is_some(),
            },
            ArrowType::Interval(IntervalUnit::YearMonth) => {
                Reader::Int32(array.as_primitive::<IntervalYearMonthType>().values())
            }
            ArrowType::Duration(TimeUnit::Millisecond) => {
                Reader::Int64(array.as_primitive::<DurationMillisecondType>().values())
            }
            ArrowType::List(_) => {
                let list = array.as_list::<i32>();
                Reader::List(list, Box::new(Cells::new(list.values())?))
            }
            ArrowType::Map(..) => {
                let map = array.as_map();
                Reader::Map(map, Box::new(Cells::new(map.keys())?), Box::new(Cells::new(map.values())?))
            }
            ArrowType::Struct(fields) => {
                let row: &StructArray = array.as_struct();
                let members = fields.iter().zip(row.columns()).map(|(field, column)| {
                    let mut name = Vec::new();
                    json_string(field.name().as_bytes(), &mut name);
                    Ok((String::from_utf8_lossy(&name).into_owned(), Cells::new(column)?))
                });
                Reader::Row(members.collect::<Result<_>>()?)
            }
            other => return Err(Error::internal(format!("a column held as {other} cannot be written as text"))),
        };
        Ok(Self { array, reader })
    }

    pub fn is_null(&self, row: usize) -> bool {
        matches!(self.reader, Reader::Null) || self.array.is_null(row)
    }

    /// Whether the text of [`plain`](Self::plain) stands in JSON without quotes.
    fn is_bare(&self) -> bool {
        matches!(
            self.reader,
            Reader::Boolean(_)
                | Reader::Int8(_)
                | Reader::Int16(_)
                | Reader::Int32(_)
                | Reader::Int64(_)
                | Reader::Float32(_)
                | Reader::Float64(_)
                | Reader::Decimal(..)
        )
    }

    /// Appends a value that is not nested, as bare text.
    fn plain(&self, row: usize, style: &Style, out: &mut Vec<u8>) -> Result<()> {
        match &self.reader {
            Reader::Boolean(a) => out.extend_from_slice(if a.value(row) { b"true" } else { b"false" }),
            Reader::Int8(v) => integer(out, v[row] as i64),
            Reader::Int16(v) => integer(out, v[row] as i64),
            Reader::Int32(v) => integer(out, v[row] as i64),
            Reader::Int64(v) => integer(out, v[row]),
            Reader::Float32(a) => java_float(out, &format!("{:e}", a.value(row)), a.value(row) as f64),
            Reader::Float64(a) => java_float(out, &format!("{:e}", a.value(row)), a.value(row)),
            Reader::Decimal(a, scale) => {
                let unscaled = a.value(row);
                if style.plain_decimals || !scientific(out, unscaled, *scale) {
                    write_decimal(out, unscaled, *scale);
                }
            }
            Reader::Text(a) => out.extend_from_slice(a.value(row).as_bytes()),
            Reader::Binary(a) => out.extend_from_slice(STANDARD.encode(a.value(row)).as_bytes()),
            Reader::Date(v) => write_date(out, v[row]),
            Reader::Time(v) => {
                let millis = v[row].rem_euclid(86_400_000) as u32;
                write_time(out, millis / 1000, if style.whole_seconds { 0 } else { millis % 1000 * 1_000_000 });
            }
            Reader::LongTime(v) => write_long_time(out, v[row], style.whole_seconds),
            Reader::Timestamp { values, nanos, zoned } => {
                let per_second = if *nanos { 1_000_000_000 } else { 1_000_000 };
                let rest = values[row].rem_euclid(per_second) as u32;
                let nanos = if *nanos { rest } else { rest * 1000 };
                write_timestamp(out, values[row].div_euclid(per_second), nanos, style.iso);
                if *zoned {
                    out.push(b'Z');
                }
            }
            Reader::Null => {}
            Reader::List(..) | Reader::Map(..) | Reader::Row(_) => {
                return Err(Error::user("a nested value cannot be written here"));
            }
        }
        Ok(())
    }

    pub fn json(&self, row: usize, style: &Style, out: &mut Vec<u8>) -> Result<()> {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        match &self.reader {
            Reader::Text(a) => json_string(a.value(row).as_bytes(), out),
            Reader::List(list, items) => {
                out.push(b'[');
                for (n, at) in bounds(list.value_offsets(), row).enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    items.json(at, style, out)?;
                }
                out.push(b']');
            }
            Reader::Map(map, keys, values) => {
                out.push(b'{');
                let mut first = true;
                for at in bounds(map.value_offsets(), row) {
                    let mut key = Vec::new();
                    if keys.is_null(at) {
                        match &style.null_key {
                            NullKey::Drop => continue,
                            NullKey::Literal(text) => key.extend_from_slice(text.as_bytes()),
                            NullKey::Fail => {
                                return Err(Error::data(
                                    "JSON format doesn't support to serialize map data with null keys",
                                )
                                .with_hint("see the option 'map-null-key.mode'"));
                            }
                        }
                    } else {
                        keys.plain(at, style, &mut key)?;
                    }
                    if !std::mem::take(&mut first) {
                        out.push(b',');
                    }
                    json_string(&key, out);
                    out.push(b':');
                    values.json(at, style, out)?;
                }
                out.push(b'}');
            }
            Reader::Row(members) => {
                write_object(members.iter().map(|(name, cells)| (name.as_bytes(), cells)), row, style, out)?;
            }
            _ if self.is_bare() => self.plain(row, style, out)?,
            _ => {
                out.push(b'"');
                self.plain(row, style, out)?;
                out.push(b'"');
            }
        }
        Ok(())
    }
}

/// Appends a JSON object; the members' names are quoted already.
pub(crate) fn write_object<'a, 'b: 'a>(
    members: impl Iterator<Item = (&'a [u8], &'a Cells<'b>)>,
    row: usize,
    style: &Style,
    out: &mut Vec<u8>,
) -> Result<()> {
    out.push(b'{');
    let mut first = true;
    for (name, cells) in members {
        if style.skip_nulls && cells.is_null(row) {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        out.extend_from_slice(name);
        out.push(b':');
        cells.json(row, style, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn bounds(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}

fn integer(out: &mut Vec<u8>, number: i64) {
    let mut room = [0u8; lexical_core::BUFFER_SIZE];
    out.extend_from_slice(lexical_core::write(number, &mut room));
}

/// Java's `Double.toString`, from Rust's shortest scientific form.
pub(crate) fn java_float(out: &mut Vec<u8>, scientific: &str, value: f64) {
    if !value.is_finite() {
        let text = if value.is_nan() {
            "\"NaN\""
        } else if value > 0.0 {
            "\"Infinity\""
        } else {
            "\"-Infinity\""
        };
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    out.extend_from_slice(sign.as_bytes());
    let text = if value == 0.0 {
        "0.0".to_owned()
    } else if (-3..7).contains(&exponent) {
        if exponent < 0 {
            format!("0.{}{digits}", "0".repeat((-exponent - 1) as usize))
        } else {
            let whole = exponent as usize + 1;
            let padded = format!("{digits:0<whole$}");
            let (head, tail) = padded.split_at(whole);
            format!("{head}.{}", if tail.is_empty() { "0" } else { tail })
        }
    } else {
        let (head, tail) = digits.split_at(1);
        format!("{head}.{}E{exponent}", if tail.is_empty() { "0" } else { tail })
    };
    out.extend_from_slice(text.as_bytes());
}

/// Writes as `BigDecimal.toString` does where that uses an exponent; false (nothing written) where it does not.
fn scientific(out: &mut Vec<u8>, unscaled: i128, scale: i8) -> bool {
    let digits = unscaled.unsigned_abs().to_string();
    let adjusted = digits.len() as i32 - 1 - scale as i32;
    if adjusted >= -6 {
        return false;
    }
    let (head, tail) = digits.split_at(1);
    let sign = if unscaled < 0 { "-" } else { "" };
    let point = if tail.is_empty() { "" } else { "." };
    out.extend_from_slice(format!("{sign}{head}{point}{tail}E{adjusted}").as_bytes());
    true
}

struct JsonEncoder {
    names: Vec<String>,
    style: Style,
    shape: Shape,
}

/// What stands around a row: as Flink writes it, an update is a deletion and an insertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Row,
    Debezium,
    Canal,
    Maxwell,
    Ogg,
}

impl Shape {
    /// The texts before and after a row; None when the change cannot be expressed.
    fn frame(self, addition: bool) -> Option<(&'static str, &'static str)> {
        Some(match (self, addition) {
            (Self::Row, true) => ("", ""),
            (Self::Row, false) => return None,
            (Self::Debezium, true) => ("{\"before\":null,\"after\":", ",\"op\":\"c\"}"),
            (Self::Debezium, false) => ("{\"before\":", ",\"after\":null,\"op\":\"d\"}"),
            (Self::Canal, true) => ("{\"data\":[", "],\"type\":\"INSERT\"}"),
            (Self::Canal, false) => ("{\"data\":[", "],\"type\":\"DELETE\"}"),
            (Self::Maxwell, true) => ("{\"data\":", ",\"type\":\"insert\"}"),
            (Self::Maxwell, false) => ("{\"data\":", ",\"type\":\"delete\"}"),
            (Self::Ogg, true) => ("{\"before\":null,\"after\":", ",\"op_type\":\"I\"}"),
            (Self::Ogg, false) => ("{\"before\":", ",\"after\":null,\"op_type\":\"D\"}"),
        })
    }
}

impl Encoder for JsonEncoder {
    fn encode(&mut self, batch: &ChangeBatch, out: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        let columns = cells_of(&batch.batch)?;
        let names: Vec<Vec<u8>> = (self.names.iter().take(columns.len())).map(|name| quoted(name)).collect();
        for row in 0..batch.rows() {
            let kind = batch.kinds.at(row);
            let Some((before, after)) = self.shape.frame(kind.is_addition()) else {
                return append_only("json", kind);
            };
            out.extend_from_slice(before.as_bytes());
            write_object(names.iter().map(Vec::as_slice).zip(&columns), row, &self.style, out)?;
            out.extend_from_slice(after.as_bytes());
            ends.push(out.len());
        }
        Ok(())
    }
}

fn cells_of(batch: &RecordBatch) -> Result<Vec<Cells<'_>>> {
    batch.columns().iter().map(Cells::new).collect()
}

fn append_only(format: &str, kind: RowKind) -> Result<()> {
    match kind {
        RowKind::Insert | RowKind::UpdateAfter => Ok(()),
        _ => Err(Error::data(format!("format '{format}' cannot express a change of kind {}", kind.short()))),
    }
}

pub(crate) struct CsvEncoder {
    pub delimiter: u8,
    quote: Option<u8>,
    escape: Option<u8>,
    null_literal: Vec<u8>,
    element_delimiter: Vec<u8>,
    pub style: Style,
}

impl CsvEncoder {
    pub fn new(options: &Options) -> Result<Self> {
        let (delimiter, quote, escape) = characters(options)?;
        Ok(Self {
            delimiter,
            quote,
            escape,
            null_literal: options.text("null-literal").unwrap_or_default().as_bytes().to_vec(),
            element_delimiter: options.text("array-element-delimiter").unwrap_or(";").as_bytes().to_vec(),
            style: Style {
                plain_decimals: options.bool("write-bigdecimal-in-scientific-notation") == Some(false),
                ..Style::from_options(options)
            },
        })
    }

    /// Appends one field; `room` is for texts on their way.
    pub fn cell(&self, cells: &Cells<'_>, row: usize, room: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<()> {
        if cells.is_null(row) {
            out.extend_from_slice(&self.null_literal);
        } else if cells.is_bare() {
            cells.plain(row, &self.style, out)?;
        } else {
            room.clear();
            self.nested(cells, row, room)?;
            self.field(room, out);
        }
        Ok(())
    }

    fn nested(&self, cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if cells.is_null(row) {
            out.extend_from_slice(&self.null_literal);
            return Ok(());
        }
        match &cells.reader {
            Reader::List(list, items) => {
                for (n, at) in bounds(list.value_offsets(), row).enumerate() {
                    if n > 0 {
                        out.extend_from_slice(&self.element_delimiter);
                    }
                    self.nested(items, at, out)?;
                }
                Ok(())
            }
            Reader::Row(members) => {
                for (n, (_, member)) in members.iter().enumerate() {
                    if n > 0 {
                        out.extend_from_slice(&self.element_delimiter);
                    }
                    self.nested(member, row, out)?;
                }
                Ok(())
            }
            Reader::Map(..) => Err(Error::user("the csv format does not support MAP and MULTISET")),
            _ => cells.plain(row, &self.style, out),
        }
    }

    /// Jackson quotes a text that is long or has any character up to the highest special one.
    pub fn field(&self, text: &[u8], out: &mut Vec<u8>) {
        let Some(quote) = self.quote else {
            for &byte in text {
                if Some(byte) == self.escape || (self.escape.is_some() && byte == self.delimiter) {
                    out.extend(self.escape);
                }
                out.push(byte);
            }
            return;
        };
        let safe_from = quote.max(self.delimiter).max(b'\r') + 1;
        let special = |b: &u8| *b < safe_from || Some(*b) == self.escape;
        if text.len() <= 24 && !text.iter().any(special) {
            out.extend_from_slice(text);
            return;
        }
        out.push(quote);
        for &byte in text {
            match self.escape {
                Some(escape) if byte == quote || byte == escape => out.push(escape),
                None if byte == quote => out.push(quote),
                _ => {}
            }
            out.push(byte);
        }
        out.push(quote);
    }
}

impl Encoder for CsvEncoder {
    fn encode(&mut self, batch: &ChangeBatch, out: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        let columns = cells_of(&batch.batch)?;
        let mut text = Vec::new();
        for row in 0..batch.rows() {
            append_only("csv", batch.kinds.at(row))?;
            for (n, cells) in columns.iter().enumerate() {
                if n > 0 {
                    out.push(self.delimiter);
                }
                self.cell(cells, row, &mut text, out)?;
            }
            ends.push(out.len());
        }
        Ok(())
    }
}

struct RawEncoder {
    charset: Charset,
    little_endian: bool,
}

impl Encoder for RawEncoder {
    fn encode(&mut self, batch: &ChangeBatch, out: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        let Some(array) = batch.batch.columns().first() else {
            return Err(Error::internal("the raw format was given a batch without columns"));
        };
        let cells = Cells::new(array)?;
        for row in 0..batch.rows() {
            append_only("raw", batch.kinds.at(row))?;
            let start = out.len();
            if !cells.is_null(row) {
                match &cells.reader {
                    Reader::Text(a) => self.charset.write(a.value(row), out),
                    Reader::Binary(a) => out.extend_from_slice(a.value(row)),
                    Reader::Boolean(a) => out.push(u8::from(a.value(row))),
                    Reader::Int8(v) => out.extend_from_slice(&v[row].to_be_bytes()),
                    Reader::Int16(v) => out.extend_from_slice(&v[row].to_be_bytes()),
                    Reader::Int32(v) => out.extend_from_slice(&v[row].to_be_bytes()),
                    Reader::Int64(v) => out.extend_from_slice(&v[row].to_be_bytes()),
                    Reader::Float32(a) => out.extend_from_slice(&a.value(row).to_be_bytes()),
                    Reader::Float64(a) => out.extend_from_slice(&a.value(row).to_be_bytes()),
                    _ => return Err(Error::user("the raw format does not support the column's type")),
                }
                if self.little_endian && !matches!(cells.reader, Reader::Text(_) | Reader::Binary(_)) {
                    out[start..].reverse();
                }
            }
            ends.push(out.len());
        }
        Ok(())
    }
}

impl Charset {
    /// Appends the text in this encoding; characters it does not have become `?`, as in Java.
    fn write(self, text: &str, out: &mut Vec<u8>) {
        match self {
            Self::Utf8 => out.extend_from_slice(text.as_bytes()),
            Self::Latin1 => out.extend(text.chars().map(|c| u8::try_from(c as u32).unwrap_or(b'?'))),
            Self::Ascii => out.extend(text.chars().map(|c| if c.is_ascii() { c as u8 } else { b'?' })),
            Self::Utf16 { big_endian, marked } => {
                if marked {
                    out.extend_from_slice(&[0xFE, 0xFF]);
                }
                for unit in text.encode_utf16() {
                    out.extend_from_slice(&if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() });
                }
            }
        }
    }
}
