//! Columns filled with values in the server's text form, from the stream or from a snapshot.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder,
    Float64Builder, Int16Builder, Int32Builder, Int64Builder, ListArray, MapBuilder, MapFieldNames, RecordBatch,
    StringBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{Field as ArrowField, SchemaRef};
use base64::Engine as _;
use starweir_model::table::arrow_type;
use starweir_model::{ChangeBatch, Error, LogicalType, Result, RowKind, RowKinds};

use super::array::{NotFlat, Pair, elements, pairs};
use super::pgoutput::Field;
use super::shape::Shape;
use super::temporal::{self, Point};
use super::types::{BinaryMode, Kind, TypeOptions};

/// Why a value could not be taken: what it is, not its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// The text is not one of the column's type.
    Broken,
    /// An array of several dimensions.
    Dimensions,
}

#[derive(Debug)]
enum Builder {
    Boolean(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float(Float32Builder),
    Double(Float64Builder),
    Decimal(Decimal128Builder, u8, u8),
    Text(StringBuilder),
    Binary(BinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder, bool),
    Map(Box<MapBuilder<StringBuilder, StringBuilder>>),
    List { element: Box<ColumnBuilder>, ends: Vec<i32>, valid: Vec<bool>, logical: LogicalType },
}

/// A column being filled.
#[derive(Debug)]
pub struct ColumnBuilder {
    kind: Kind,
    options: TypeOptions,
    builder: Builder,
    /// Values that have no place in the column's type (NaN of a DECIMAL, infinity of a DATE) and became NULL.
    beyond: u64,
}

impl ColumnBuilder {
    /// A column of this kind; its Arrow type is that of [`Kind::logical`].
    pub fn new(kind: &Kind, options: TypeOptions) -> Self {
        let builder = match kind.logical(options) {
            LogicalType::Boolean => Builder::Boolean(BooleanBuilder::new()),
            LogicalType::SmallInt => Builder::Int16(Int16Builder::new()),
            LogicalType::Int => Builder::Int32(Int32Builder::new()),
            LogicalType::BigInt => Builder::Int64(Int64Builder::new()),
            LogicalType::Float => Builder::Float(Float32Builder::new()),
            LogicalType::Double => Builder::Double(Float64Builder::new()),
            LogicalType::Decimal(p, s) => Builder::Decimal(Decimal128Builder::new(), p, s),
            LogicalType::Binary(_) | LogicalType::VarBinary(_) => Builder::Binary(BinaryBuilder::new()),
            LogicalType::Date => Builder::Date(Date32Builder::new()),
            LogicalType::Time(_) => Builder::Time(Time64MicrosecondBuilder::new()),
            LogicalType::Timestamp(_) => Builder::Timestamp(TimestampMicrosecondBuilder::new(), false),
            LogicalType::TimestampLtz(_) => Builder::Timestamp(TimestampMicrosecondBuilder::new(), true),
            LogicalType::Map(..) => {
                let names = MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
                Builder::Map(Box::new(MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())))
            }
            logical @ LogicalType::Array(_) => match kind {
                Kind::Array(element) => Builder::List {
                    element: Box::new(Self::new(element, options)),
                    ends: Vec::new(),
                    valid: Vec::new(),
                    logical,
                },
                _ => Builder::Text(StringBuilder::new()),
            },
            _ => Builder::Text(StringBuilder::new()),
        };
        Self { kind: kind.clone(), options, builder, beyond: 0 }
    }

    pub fn append_null(&mut self) {
        match &mut self.builder {
            Builder::Boolean(b) => b.append_null(),
            Builder::Int16(b) => b.append_null(),
            Builder::Int32(b) => b.append_null(),
            Builder::Int64(b) => b.append_null(),
            Builder::Float(b) => b.append_null(),
            Builder::Double(b) => b.append_null(),
            Builder::Decimal(b, ..) => b.append_null(),
            Builder::Text(b) => b.append_null(),
            Builder::Binary(b) => b.append_null(),
            Builder::Date(b) => b.append_null(),
            Builder::Time(b) => b.append_null(),
            Builder::Timestamp(b, _) => b.append_null(),
            // Only fails when keys and values differ in number, which they do not here.
            Builder::Map(b) => drop(b.append(false)),
            Builder::List { ends, valid, .. } => {
                ends.push(ends.last().copied().unwrap_or(0));
                valid.push(false);
            }
        }
    }

    fn beyond(&mut self) {
        self.beyond += 1;
        self.append_null();
    }

    /// Takes a value in the server's text form.
    pub fn append_text(&mut self, bytes: &[u8]) -> Result<(), Misfit> {
        let text = simdutf8::basic::from_utf8(bytes).map_err(|_| Misfit::Broken)?;
        let broken = |_| Misfit::Broken;
        match (&mut self.builder, &self.kind) {
            (Builder::Boolean(b), Kind::Bool) => b.append_value(match text {
                "t" => true,
                "f" => false,
                _ => return Err(Misfit::Broken),
            }),
            (Builder::Boolean(b), _) => b.append_value(text == "1"),
            (Builder::Int16(b), _) => b.append_value(lexical_core::parse(bytes).map_err(|_| Misfit::Broken)?),
            (Builder::Int32(b), _) => b.append_value(lexical_core::parse(bytes).map_err(|_| Misfit::Broken)?),
            (Builder::Int64(b), Kind::Interval) => b.append_value(temporal::interval(text).ok_or(Misfit::Broken)?),
            (Builder::Int64(b), _) => b.append_value(lexical_core::parse(bytes).map_err(|_| Misfit::Broken)?),
            (Builder::Float(b), _) => b.append_value(text.parse().map_err(|_| Misfit::Broken)?),
            (Builder::Double(b), Kind::Money) => {
                b.append_value(plain_money(text).parse().map_err(|_| Misfit::Broken)?);
            }
            (Builder::Double(b), _) => b.append_value(text.parse().map_err(|_| Misfit::Broken)?),
            (Builder::Decimal(b, p, s), kind) => {
                let plain;
                let digits = if *kind == Kind::Money {
                    plain = plain_money(text);
                    plain.as_bytes()
                } else {
                    bytes
                };
                if matches!(text, "NaN" | "Infinity" | "-Infinity") {
                    self.beyond();
                } else {
                    let number = crate::decimal::parse_decimal(digits, *p, *s).map_err(|_| Misfit::Broken)?;
                    b.append_value(number.ok_or(Misfit::Broken)?);
                }
            }
            (Builder::Text(b), Kind::Bytea) => b.append_value(bytea_text(text, self.options.binary)?),
            (Builder::Text(b), Kind::Money) => b.append_value(plain_money(text)),
            (Builder::Text(b), Kind::Hstore) => {
                b.append_value(hstore_json(&pairs(text).ok_or(Misfit::Broken)?));
            }
            (Builder::Text(b), _) => b.append_value(text),
            (Builder::Binary(b), Kind::Bit(_) | Kind::VarBit(_)) => b.append_value(bits(bytes)?),
            (Builder::Binary(b), _) => b.append_value(bytea(text)?),
            (Builder::Date(b), _) => match temporal::date(text).ok_or(Misfit::Broken)? {
                Point::At(days) => b.append_value(i32::try_from(days).map_err(|_| Misfit::Broken)?),
                Point::Beyond => self.beyond(),
            },
            (Builder::Time(b), _) => b.append_value(temporal::time(text).ok_or(Misfit::Broken)?),
            (Builder::Timestamp(b, _), _) => match temporal::timestamp(text).ok_or(Misfit::Broken)? {
                Point::At(micros) => b.append_value(micros),
                Point::Beyond => self.beyond(),
            },
            (Builder::Map(b), _) => {
                for (key, value) in pairs(text).ok_or(Misfit::Broken)? {
                    b.keys().append_value(key);
                    b.values().append_option(value);
                }
                b.append(true).map_err(|_| Misfit::Broken)?;
            }
            (Builder::List { element, ends, valid, .. }, _) => {
                let found = elements(text).map_err(|e| match e {
                    NotFlat::Dimensions => Misfit::Dimensions,
                    NotFlat::Broken => Misfit::Broken,
                })?;
                let end = ends.last().copied().unwrap_or(0);
                for value in &found {
                    match value {
                        Some(value) => element.append_text(value.as_bytes())?,
                        None => element.append_null(),
                    }
                }
                let count = i32::try_from(found.len()).map_err(broken)?;
                ends.push(end.checked_add(count).ok_or(Misfit::Broken)?);
                valid.push(true);
            }
        }
        Ok(())
    }

    /// The column; the builder is empty again. None when Arrow refuses it, which is our own mistake.
    pub fn finish(&mut self) -> Option<ArrayRef> {
        Some(match &mut self.builder {
            Builder::Boolean(b) => Arc::new(b.finish()),
            Builder::Int16(b) => Arc::new(b.finish()),
            Builder::Int32(b) => Arc::new(b.finish()),
            Builder::Int64(b) => Arc::new(b.finish()),
            Builder::Float(b) => Arc::new(b.finish()),
            Builder::Double(b) => Arc::new(b.finish()),
            Builder::Decimal(b, p, s) => Arc::new(b.finish().with_precision_and_scale(*p, *s as i8).ok()?),
            Builder::Text(b) => Arc::new(b.finish()),
            Builder::Binary(b) => Arc::new(b.finish()),
            Builder::Date(b) => Arc::new(b.finish()),
            Builder::Time(b) => Arc::new(b.finish()),
            Builder::Timestamp(b, zoned) => {
                let array = b.finish();
                Arc::new(if *zoned { array.with_timezone("UTC") } else { array })
            }
            Builder::Map(b) => Arc::new(b.finish()),
            Builder::List { element, ends, valid, logical } => {
                let LogicalType::Array(inner) = logical else { return None };
                let values = element.finish()?;
                let mut offsets = vec![0];
                offsets.append(ends);
                let field = Arc::new(ArrowField::new("item", arrow_type(&inner.logical), true));
                let nulls = NullBuffer::from(std::mem::take(valid));
                let offsets = OffsetBuffer::new(offsets.into());
                Arc::new(ListArray::try_new(field, offsets, values, Some(nulls)).ok()?)
            }
        })
    }
}

/// Bytes of `\x0a0b`, or of the older escape form.
fn bytea(text: &str) -> Result<Vec<u8>, Misfit> {
    if let Some(digits) = text.strip_prefix("\\x") {
        return hex::decode(digits).map_err(|_| Misfit::Broken);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte != b'\\' {
            out.push(byte);
        } else if bytes.get(at) == Some(&b'\\') {
            out.push(b'\\');
            at += 1;
        } else {
            let digits = text.get(at..at + 3).ok_or(Misfit::Broken)?;
            out.push(u8::from_str_radix(digits, 8).map_err(|_| Misfit::Broken)?);
            at += 3;
        }
    }
    Ok(out)
}

fn bytea_text(text: &str, mode: BinaryMode) -> Result<String, Misfit> {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    let bytes = bytea(text)?;
    Ok(match mode {
        BinaryMode::Hex => hex::encode(bytes),
        BinaryMode::Base64UrlSafe => URL_SAFE.encode(bytes),
        BinaryMode::Base64 | BinaryMode::Bytes => STANDARD.encode(bytes),
    })
}

/// Bits as Debezium packs them: the last bit is the lowest of the first byte.
fn bits(text: &[u8]) -> Result<Vec<u8>, Misfit> {
    let mut out = vec![0; text.len().div_ceil(8)];
    for (i, bit) in text.iter().rev().enumerate() {
        match bit {
            b'1' => out[i / 8] |= 1 << (i % 8),
            b'0' => {}
            _ => return Err(Misfit::Broken),
        }
    }
    Ok(out)
}

/// `-$1,234.50` (lc_monetary C) as a number.
fn plain_money(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_digit() || matches!(c, '.' | '-')).collect()
}

fn hstore_json(pairs: &[Pair<'_>]) -> String {
    let mut out = String::from("{");
    for (i, (key, value)) in pairs.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        json_text(&mut out, key);
        out.push(':');
        match value {
            Some(value) => json_text(&mut out, value),
            None => out.push_str("null"),
        }
    }
    out.push('}');
    out
}

fn json_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => drop(write!(out, "\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Rows of one table being gathered.
#[derive(Debug)]
pub struct RowBatch {
    table: String,
    schema: SchemaRef,
    names: Vec<String>,
    columns: Vec<ColumnBuilder>,
    kinds: Vec<RowKind>,
    bytes: usize,
    beyond: u64,
}

impl RowBatch {
    pub fn new(table: impl Into<String>, shape: &Shape, options: TypeOptions) -> Self {
        Self {
            table: table.into(),
            schema: shape.to_schema(options).to_arrow(),
            names: shape.columns.iter().map(|c| c.name.clone()).collect(),
            columns: shape.columns.iter().map(|c| ColumnBuilder::new(&c.kind, options)).collect(),
            kinds: Vec::new(),
            bytes: 0,
            beyond: 0,
        }
    }

    /// Values that became NULL because their column's type has no place for them (NaN of a DECIMAL, infinity of a
    /// DATE or TIMESTAMP), since this was last asked.
    pub fn take_beyond(&mut self) -> u64 {
        std::mem::take(&mut self.beyond)
    }

    pub fn rows(&self) -> usize {
        self.kinds.len()
    }

    /// Bytes the rows were decoded from.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a row. `old` is the whole row of before, from which values that are not sent again are taken.
    ///
    /// # Errors
    /// A row that does not have the columns, a value that is not of its column's type, an unchanged value without an
    /// image to take it from.
    pub fn push<'a>(
        &mut self,
        kind: RowKind,
        fields: impl Iterator<Item = Field<'a>>,
        old: Option<&[Field<'a>]>,
    ) -> Result<()> {
        let mut count = 0;
        for (i, field) in fields.enumerate() {
            let Some(column) = self.columns.get_mut(i) else { return Err(self.ragged()) };
            count += 1;
            let field = match (field, old) {
                (Field::Unchanged, Some(old)) => old.get(i).copied().unwrap_or(Field::Unchanged),
                _ => field,
            };
            let taken = match field {
                Field::Null => {
                    column.append_null();
                    Ok(())
                }
                Field::Text(text) => {
                    self.bytes += text.len();
                    column.append_text(text)
                }
                Field::Unchanged => {
                    return Err(Error::data(format!(
                        "an update of table {} leaves the large value of column {} unchanged, and the server does not \
                         send it",
                        self.table, self.names[i]
                    ))
                    .with_hint(format!(
                        "ALTER TABLE {} REPLICA IDENTITY FULL, then start again with a snapshot",
                        self.table
                    )));
                }
                Field::Binary(_) => Err(Misfit::Broken),
            };
            match taken {
                Ok(()) => {}
                Err(Misfit::Broken) => {
                    return Err(Error::data(format!(
                        "a value of column {} of table {} is not of the column's type",
                        self.names[i], self.table
                    )));
                }
                Err(Misfit::Dimensions) => {
                    return Err(Error::data(format!(
                        "Unable to convert multidimensional array value of column {} of table {} to a flat array.",
                        self.names[i], self.table
                    ))
                    .with_hint("leave the table out with tables.exclude, or give the column another type"));
                }
            }
        }
        if count != self.columns.len() {
            return Err(self.ragged());
        }
        self.bytes += count;
        self.kinds.push(kind);
        Ok(())
    }

    fn ragged(&self) -> Error {
        Error::data(format!("a row of table {} does not have the table's columns", self.table))
    }

    /// Takes the rows and starts anew.
    pub fn finish(&mut self) -> Result<ChangeBatch> {
        let table = self.table.clone();
        let ours = |m: &str| Error::internal(format!("rows of table {table} make no batch: {m}"));
        let mut columns = Vec::with_capacity(self.columns.len());
        for (column, name) in self.columns.iter_mut().zip(&self.names) {
            self.beyond += std::mem::take(&mut column.beyond);
            let array = column.finish().ok_or_else(|| ours(name))?;
            debug_assert_eq!(array.len(), self.kinds.len());
            columns.push(array);
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(self.kinds.len()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|e| ours("columns differ").with_source(e))?;
        self.bytes = 0;
        Ok(ChangeBatch::new(batch, RowKinds::from_vec(std::mem::take(&mut self.kinds))))
    }
}

#[cfg(test)]
mod tests {
    use arrow::util::display::{ArrayFormatter, FormatOptions};

    use super::super::types::{DecimalMode, HstoreMode, IntervalMode};
    use super::*;

    fn shown(kind: &Kind, options: TypeOptions, text: &str) -> Result<String, Misfit> {
        let mut builder = ColumnBuilder::new(kind, options);
        builder.append_text(text.as_bytes())?;
        let array = builder.finish().unwrap();
        assert_eq!(array.data_type(), &arrow_type(&kind.logical(options)), "{kind:?}");
        let format = FormatOptions::default().with_null("NULL");
        let array = match array.as_any().downcast_ref::<arrow::array::TimestampMicrosecondArray>() {
            Some(instants) => Arc::new(instants.clone().with_timezone_opt(None::<Arc<str>>)),
            None => array,
        };
        Ok(ArrayFormatter::try_new(&array, &format).unwrap().value(0).to_string())
    }

    #[test]
    fn values_of_every_kind() {
        let plain = TypeOptions::default();
        let list = |kind: Kind| Kind::Array(Box::new(kind));
        for (kind, text, expected) in [
            (Kind::Bool, "t", "true"),
            (Kind::Int2, "-32768", "-32768"),
            (Kind::Int4, "2147483647", "2147483647"),
            (Kind::Int8, "-9223372036854775808", "-9223372036854775808"),
            (Kind::Float4, "NaN", "NaN"),
            (Kind::Float8, "-Infinity", "-inf"),
            (Kind::Float8, "6.6", "6.6"),
            (Kind::Numeric(Some((10, 2))), "123.45", "123.45"),
            (Kind::Numeric(Some((10, 2))), "NaN", "NULL"),
            (Kind::Numeric(None), "1e400", "1e400"),
            (Kind::Money, "-$1,234.50", "-1234.50"),
            (Kind::Bytea, "\\x00ff", "00ff"),
            (Kind::Bytea, "a\\\\\\001", "615c01"),
            (Kind::Date, "0001-01-01 BC", "0000-01-01"),
            (Kind::Date, "-infinity", "NULL"),
            (Kind::Time(3), "18:00:22.123", "18:00:22.123"),
            (Kind::Timestamp(6), "2020-07-17 18:00:22.5", "2020-07-17T18:00:22.500"),
            (Kind::Timestamp(6), "infinity", "NULL"),
            (Kind::TimestampTz(6), "2020-07-17 10:00:22+00", "2020-07-17T10:00:22"),
            (Kind::Interval, "P1DT1S", "86401000000"),
            (Kind::Bit(Some(1)), "1", "true"),
            (Kind::Bit(Some(10)), "1000001010", "0a02"),
            (Kind::Hstore, r#""a"=>"x\"", "b"=>NULL"#, r#"{"a":"x\"","b":null}"#),
            (list(Kind::Int4), "{1,NULL,3}", "[1, NULL, 3]"),
            (list(Kind::Text), r#"{hello,"a,b"}"#, "[hello, a,b]"),
        ] {
            assert_eq!(shown(&kind, plain, text).as_deref(), Ok(expected), "{kind:?} {text}");
        }
        let other = TypeOptions {
            decimal: DecimalMode::Double,
            binary: BinaryMode::Base64,
            interval: IntervalMode::String,
            hstore: HstoreMode::Map,
        };
        for (kind, text, expected) in [
            (Kind::Numeric(None), "0.5", "0.5"),
            (Kind::Money, "$1,000.25", "1000.25"),
            (Kind::Bytea, "\\x00ff", "AP8="),
            (Kind::Interval, "P1D", "P1D"),
            (Kind::Hstore, r#""a"=>"1""#, "{a: 1}"),
        ] {
            assert_eq!(shown(&kind, other, text).as_deref(), Ok(expected), "{kind:?} {text}");
        }
        assert_eq!(shown(&list(Kind::Int4), plain, "{{1},{2}}"), Err(Misfit::Dimensions));
        for kind in [Kind::Bool, Kind::Int4, Kind::Date, Kind::Time(0), Kind::Bytea, Kind::Hstore, Kind::Interval] {
            let text = if kind == Kind::Bytea { "\\x0" } else { "nonsense" };
            assert_eq!(shown(&kind, plain, text), Err(Misfit::Broken), "{kind:?}");
        }
    }
}
