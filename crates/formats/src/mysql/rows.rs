//! Rows of the binary log into columns: WRITE, UPDATE and DELETE rows events of version 1 and 2, and updates that carry
//! parts of JSON documents.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use starweir_model::{ChangeBatch, Error, LogicalType, Result, RowKind, RowKinds, TableSchema};

use super::bytes::{Broken, Bytes, Read, bit};
use super::catalog::Table;
use super::cells::{Cell, ColumnBuilder, Misfit, ValueOptions};
use super::charset::Charset;
use super::column::Kind;
use super::map::{MapColumn, TableMap, kinds};
use super::{decimal, json, temporal};

/// Rows events of the log, by their type's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsKind {
    Insert,
    Update,
    Delete,
    /// An update that may carry changes of JSON documents.
    PartialUpdate,
}

impl RowsKind {
    /// What an event of this type does, and whether it has the longer head of version 2.
    pub fn of_event(event_type: u8) -> Option<(Self, bool)> {
        Some(match event_type {
            23 => (Self::Insert, false),
            24 => (Self::Update, false),
            25 => (Self::Delete, false),
            30 => (Self::Insert, true),
            31 => (Self::Update, true),
            32 => (Self::Delete, true),
            39 => (Self::PartialUpdate, true),
            _ => return None,
        })
    }
}

/// Names of character sets by the numbers of collations.
pub type Collations = HashMap<u32, String>;

/// How the bytes of one column are read.
#[derive(Debug, Clone)]
enum Source {
    Null,
    Int {
        size: usize,
        unsigned: bool,
    },
    Float,
    Double,
    Decimal {
        precision: usize,
        scale: usize,
        as_text: bool,
    },
    Year,
    Date,
    OldTime,
    Time2(u8),
    OldDateTime,
    DateTime2(u8),
    OldTimestamp,
    Timestamp2(u8),
    Bits(usize),
    /// Text and bytes with a length of this many bytes before them.
    Text {
        prefix: usize,
        charset: Charset,
    },
    Bytes {
        prefix: usize,
    },
    Json {
        prefix: usize,
    },
    Geometry {
        prefix: usize,
    },
    Vector {
        prefix: usize,
    },
    Enum {
        size: usize,
        members: Vec<String>,
    },
    Set {
        size: usize,
        members: Vec<String>,
    },
    Uuid,
    Inet6,
    Inet4,
}

/// Rows of one table, being gathered.
#[derive(Debug)]
pub struct RowBatch {
    schema: SchemaRef,
    columns: Vec<ColumnBuilder>,
    kinds: Vec<RowKind>,
    bytes: usize,
}

impl RowBatch {
    pub fn new(schema: &TableSchema, options: ValueOptions) -> Result<Self> {
        let columns = schema
            .columns
            .iter()
            .map(|c| {
                ColumnBuilder::new(&c.data_type.logical, options)
                    .ok_or_else(|| Error::internal(format!("column {} has no MySQL type", c.name)))
            })
            .collect::<Result<_>>()?;
        Ok(Self { schema: schema.to_arrow(), columns, kinds: Vec::new(), bytes: 0 })
    }

    pub fn rows(&self) -> usize {
        self.kinds.len()
    }

    /// Bytes of the log the rows came from.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The columns, to append one row cell by cell; then [`RowBatch::end_row`].
    pub fn columns(&mut self) -> &mut [ColumnBuilder] {
        &mut self.columns
    }

    pub fn end_row(&mut self, kind: RowKind, bytes: usize) {
        self.kinds.push(kind);
        self.bytes += bytes;
    }

    /// Takes the rows and starts anew.
    pub fn finish(&mut self) -> Result<ChangeBatch> {
        let arrays = self.columns.iter_mut().map(ColumnBuilder::finish).collect::<Result<Vec<_>>>()?;
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(self.kinds.len()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|e| Error::internal("columns of rows do not fit together").with_source(e))?;
        self.bytes = 0;
        Ok(ChangeBatch::new(batch, RowKinds::from_vec(std::mem::take(&mut self.kinds))))
    }
}

/// Reads rows of one table map into batches of one schema.
#[derive(Debug)]
pub struct RowDecoder {
    name: String,
    sources: Vec<Source>,
    names: Vec<String>,
    options: ValueOptions,
    scratch: String,
}

/// How a table map and the known table differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction(pub String);

impl RowDecoder {
    /// A decoder for rows that follow `map`, read by the shape `table` and its `schema`. Err when the two contradict
    /// one another: a change of the table was missed.
    pub fn new(
        map: &TableMap,
        table: &Table,
        schema: &TableSchema,
        collations: &Collations,
        options: ValueOptions,
    ) -> std::result::Result<Self, Contradiction> {
        if map.columns.len() != table.columns.len() {
            let (there, known) = (map.columns.len(), table.columns.len());
            return Err(Contradiction(format!("the log has {there} columns, {known} are known")));
        }
        if let Some(names) = &map.names {
            for (there, known) in names.iter().zip(&table.columns) {
                if there.to_lowercase() != known.name.to_lowercase() {
                    return Err(Contradiction(format!("column {} is {there} in the log", known.name)));
                }
            }
        }
        let mut sources = Vec::with_capacity(map.columns.len());
        for ((there, known), shown) in map.columns.iter().zip(&table.columns).zip(&schema.columns) {
            let source = source(there, known.column_type.kind, known, &shown.data_type.logical, table, collations)
                .ok_or_else(|| {
                    Contradiction(format!("column {} has type number {} in the log", known.name, there.kind))
                })?;
            sources.push(source);
        }
        Ok(Self {
            name: format!("{}.{}", map.database, map.table),
            sources,
            names: table.columns.iter().map(|c| c.name.clone()).collect(),
            options,
            scratch: String::new(),
        })
    }

    /// Appends the rows of one event and says how many: two per updated row. `data` is the event after its header.
    pub fn decode(&mut self, kind: RowsKind, version2: bool, data: &[u8], out: &mut RowBatch) -> Result<usize> {
        let before = out.kinds.len();
        match self.read(kind, version2, data, out) {
            Ok(()) => {
                out.bytes += data.len();
                Ok(out.kinds.len() - before)
            }
            Err(Problem::Broken) => {
                Err(Error::data(format!("a rows event of table {} in the binary log cannot be read", self.name)))
            }
            Err(Problem::Column(at)) => {
                let column = self.names.get(at).map_or("?", String::as_str);
                Err(Error::data(format!("a value of column {column} of table {} does not fit its type", self.name)))
            }
            Err(Problem::Missing(at)) => {
                let column = self.names.get(at).map_or("?", String::as_str);
                Err(Error::data(format!("rows of table {} in the binary log lack column {column}", self.name))
                    .with_hint("set binlog_row_image=FULL on the server"))
            }
        }
    }

    fn read(&mut self, kind: RowsKind, version2: bool, data: &[u8], out: &mut RowBatch) -> Result<(), Problem> {
        let mut bytes = Bytes::new(data);
        bytes.take(8)?;
        if version2 {
            let extra = bytes.uint(2)? as usize;
            bytes.take(extra.checked_sub(2).ok_or(Broken)?)?;
        }
        let width = usize::try_from(bytes.lenenc()?).map_err(|_| Broken)?;
        if width != self.sources.len() || out.columns.len() != width {
            return Err(Problem::Broken);
        }
        let present = bytes.take(width.div_ceil(8))?;
        let is_update = matches!(kind, RowsKind::Update | RowsKind::PartialUpdate);
        let present_after = if is_update { bytes.take(width.div_ceil(8))? } else { present };
        let mut images = Images { cells: vec![(0, 0); width] };
        while bytes.left() > 0 {
            match kind {
                RowsKind::Insert => self.image(&mut bytes, present, None, None, out)?,
                RowsKind::Delete => self.image(&mut bytes, present, None, Some(&mut images), out)?,
                RowsKind::Update | RowsKind::PartialUpdate => {
                    self.image(&mut bytes, present, None, Some(&mut images), out)?;
                    out.kinds.push(RowKind::UpdateBefore);
                    let partial = if kind == RowsKind::PartialUpdate { self.partial_bits(&mut bytes)? } else { None };
                    self.image(&mut bytes, present_after, Some((&images, partial)), None, out)?;
                }
            }
            out.kinds.push(match kind {
                RowsKind::Insert => RowKind::Insert,
                RowsKind::Delete => RowKind::Delete,
                RowsKind::Update | RowsKind::PartialUpdate => RowKind::UpdateAfter,
            });
        }
        Ok(())
    }

    /// Which JSON columns of the image after come as changes: one bit per JSON column.
    fn partial_bits<'a>(&self, bytes: &mut Bytes<'a>) -> Result<Option<&'a [u8]>, Problem> {
        if bytes.lenenc()? & 1 == 0 {
            return Ok(None);
        }
        let json = self.sources.iter().filter(|s| matches!(s, Source::Json { .. })).count();
        Ok(Some(bytes.take(json.div_ceil(8))?))
    }

    /// One image of a row. `note`: where its cells lie is noted; `before`: the image before, for what this one leaves
    /// out.
    fn image<'a>(
        &mut self,
        bytes: &mut Bytes<'a>,
        present: &[u8],
        before: Option<(&Images, Option<&[u8]>)>,
        mut note: Option<&mut Images>,
        out: &mut RowBatch,
    ) -> Result<(), Problem> {
        let count = present.iter().map(|b| b.count_ones() as usize).sum::<usize>().min(self.sources.len());
        let nulls = bytes.take(count.div_ceil(8))?;
        let mut at = 0;
        let mut json_at = 0;
        let scratch = &mut self.scratch;
        for (i, (source, column)) in self.sources.iter().zip(&mut out.columns).enumerate() {
            let is_json = matches!(source, Source::Json { .. });
            let is_partial = is_json && before.is_some_and(|(_, partial)| partial.is_some_and(|p| bit(p, json_at)));
            json_at += usize::from(is_json);
            if !bit(present, i) {
                // Left out: unchanged in an image after, not needed in an image before.
                match before {
                    None => column.append_null(),
                    Some((images, _)) => match images.cells[i] {
                        (0, 0) => return Err(Problem::Missing(i)),
                        (usize::MAX, _) => column.append_null(),
                        (start, end) => {
                            let mut cell = Bytes::new(bytes.data.get(start..end).ok_or(Broken)?);
                            source.read(&mut cell, column, scratch, self.options).map_err(|p| p.at(i))?;
                        }
                    },
                }
                continue;
            }
            let is_null = bit(nulls, at);
            at += 1;
            let start = bytes.at;
            if is_null {
                column.append_null();
            } else if is_partial {
                let length = bytes.uint(4)? as usize;
                let diffs = bytes.take(length)?;
                let (images, _) = before.ok_or(Broken)?;
                let (start, end) = images.cells[i];
                let Source::Json { prefix } = source else { return Err(Problem::Broken) };
                let document =
                    bytes.data.get(start.checked_add(*prefix).ok_or(Broken)?..end).ok_or(Problem::Missing(i))?;
                let style = self.options.json_style();
                column
                    .append_written(scratch, |text| json::apply_diffs(document, diffs, style, text))
                    .map_err(|_| Problem::Column(i))?;
            } else {
                source.read(bytes, column, scratch, self.options).map_err(|p| p.at(i))?;
            }
            if let Some(images) = &mut note {
                images.cells[i] = if is_null { (usize::MAX, 0) } else { (start, bytes.at) };
            }
        }
        Ok(())
    }
}

/// Where the cells of an image lie: start and end; (0, 0) when left out, (MAX, 0) when NULL.
struct Images {
    cells: Vec<(usize, usize)>,
}

enum Problem {
    Broken,
    /// The value of this column does not fit.
    Column(usize),
    /// This column is needed and left out.
    Missing(usize),
}

impl From<Broken> for Problem {
    fn from(_: Broken) -> Self {
        Self::Broken
    }
}

enum CellProblem {
    Broken,
    Misfit,
}

impl CellProblem {
    fn at(self, column: usize) -> Problem {
        match self {
            Self::Broken => Problem::Broken,
            Self::Misfit => Problem::Column(column),
        }
    }
}

impl From<Broken> for CellProblem {
    fn from(_: Broken) -> Self {
        Self::Broken
    }
}

impl From<Misfit> for CellProblem {
    fn from(_: Misfit) -> Self {
        Self::Misfit
    }
}

/// The reading of a column with this layout as that kind; None when they do not go together.
fn source(
    there: &MapColumn,
    kind: Kind,
    column: &super::column::Column,
    logical: &LogicalType,
    table: &Table,
    collations: &Collations,
) -> Option<Source> {
    use kinds::*;
    let of = &column.column_type;
    let int = |size| Source::Int { size, unsigned: of.unsigned };
    let fraction = (there.meta as u8).min(6);
    let charset = || {
        let name = there
            .collation
            .and_then(|id| collations.get(&id).map(String::as_str))
            .or(of.charset.as_deref())
            .or(table.charset.as_deref())
            .unwrap_or("utf8mb4");
        Charset::by_name(name)
    };
    let text = |prefix| match kind {
        Kind::Binary | Kind::VarBinary | Kind::Blob => Some(Source::Bytes { prefix }),
        Kind::Char | Kind::VarChar | Kind::Text | Kind::Json | Kind::Other => {
            Some(Source::Text { prefix, charset: charset()? })
        }
        Kind::Vector => Some(Source::Vector { prefix }),
        _ => None,
    };
    Some(match there.kind {
        NULL => Source::Null,
        TINY if matches!(kind, Kind::TinyInt | Kind::Bool) => int(1),
        SHORT if kind == Kind::SmallInt => int(2),
        INT24 if kind == Kind::MediumInt => int(3),
        LONG if kind == Kind::Int => int(4),
        LONGLONG if kind == Kind::BigInt => int(8),
        FLOAT if kind == Kind::Float => Source::Float,
        // FLOAT(30) is a double.
        DOUBLE if matches!(kind, Kind::Double | Kind::Float) => Source::Double,
        NEWDECIMAL if kind == Kind::Decimal => {
            let (precision, scale) = (usize::from(there.meta >> 8), usize::from(there.meta & 0xff));
            let same_scale = matches!(logical, LogicalType::Decimal(_, s) if usize::from(*s) == scale);
            Source::Decimal { precision, scale, as_text: !same_scale }
        }
        YEAR if kind == Kind::Year => Source::Year,
        DATE | NEWDATE if kind == Kind::Date => Source::Date,
        TIME if kind == Kind::Time => Source::OldTime,
        TIME2 if kind == Kind::Time => Source::Time2(fraction),
        DATETIME if kind == Kind::DateTime => Source::OldDateTime,
        DATETIME2 if kind == Kind::DateTime => Source::DateTime2(fraction),
        TIMESTAMP if kind == Kind::Timestamp => Source::OldTimestamp,
        TIMESTAMP2 if kind == Kind::Timestamp => Source::Timestamp2(fraction),
        BIT if kind == Kind::Bit => {
            let bits = usize::from(there.meta >> 8) * 8 + usize::from(there.meta & 0xff);
            Source::Bits(bits.div_ceil(8))
        }
        ENUM if kind == Kind::Enum => {
            Source::Enum { size: usize::from(there.meta).clamp(1, 2), members: of.members.clone() }
        }
        SET if kind == Kind::Set => {
            Source::Set { size: usize::from(there.meta).clamp(1, 8), members: of.members.clone() }
        }
        STRING if kind == Kind::Uuid && there.meta == 16 => Source::Uuid,
        STRING if kind == Kind::Inet6 && there.meta == 16 => Source::Inet6,
        STRING if kind == Kind::Inet4 && there.meta == 4 => Source::Inet4,
        STRING => return text(if there.meta > 255 { 2 } else { 1 }),
        VARCHAR | VAR_STRING => return text(if there.meta > 255 { 2 } else { 1 }),
        JSON if kind == Kind::Json => Source::Json { prefix: usize::from(there.meta).clamp(1, 4) },
        GEOMETRY if kind == Kind::Geometry => Source::Geometry { prefix: usize::from(there.meta).clamp(1, 4) },
        VECTOR if kind == Kind::Vector => Source::Vector { prefix: usize::from(there.meta).clamp(1, 4) },
        // MariaDB lays geometry out as BLOB in older versions.
        BLOB | TINY_BLOB | MEDIUM_BLOB | LONG_BLOB => {
            let prefix = usize::from(there.meta).clamp(1, 4);
            if kind == Kind::Geometry {
                Source::Geometry { prefix }
            } else {
                return text(prefix);
            }
        }
        _ => return None,
    })
}

/// The fraction of a second after a packed time, in microseconds.
#[inline]
fn micros(bytes: &mut Bytes<'_>, digits: u8) -> Read<u32> {
    Ok(match digits {
        0 => 0,
        1 | 2 => bytes.uint_be(1)? as u32 * 10_000,
        3 | 4 => bytes.uint_be(2)? as u32 * 100,
        _ => bytes.uint_be(3)? as u32,
    })
}

impl Source {
    #[inline]
    fn read(
        &self,
        bytes: &mut Bytes<'_>,
        column: &mut ColumnBuilder,
        scratch: &mut String,
        options: ValueOptions,
    ) -> std::result::Result<(), CellProblem> {
        let prefixed = |bytes: &mut Bytes<'_>, prefix: usize| -> Read<std::ops::Range<usize>> {
            let length = bytes.uint(prefix)? as usize;
            let start = bytes.at;
            bytes.take(length)?;
            Ok(start..bytes.at)
        };
        let cell = match self {
            Self::Null => Cell::Null,
            Self::Int { size, unsigned: false } => Cell::Int(bytes.int(*size)?),
            Self::Int { size, unsigned: true } => Cell::UInt(bytes.uint(*size)?),
            Self::Float => Cell::Float(f32::from_bits(bytes.uint(4)? as u32)),
            Self::Double => Cell::Double(f64::from_bits(bytes.uint(8)?)),
            Self::Decimal { precision, scale, as_text: false } => {
                Cell::Decimal(decimal::read_i128(bytes, *precision, *scale)?.ok_or(CellProblem::Misfit)?)
            }
            Self::Decimal { precision, scale, as_text: true } => {
                scratch.clear();
                decimal::read_text(bytes, *precision, *scale, scratch)?;
                Cell::Text(scratch)
            }
            Self::Year => match bytes.u8()? {
                0 => Cell::Int(0),
                year => Cell::Int(1900 + i64::from(year)),
            },
            Self::Date => {
                let packed = bytes.uint(3)? as u32;
                Cell::Date { year: packed >> 9, month: packed >> 5 & 15, day: packed & 31 }
            }
            Self::OldTime => {
                let packed = bytes.int(3)?;
                let digits = packed.abs();
                let seconds = digits / 10_000 * 3600 + digits / 100 % 100 * 60 + digits % 100;
                Cell::Time(seconds * packed.signum() * temporal::MICROS_PER_SECOND)
            }
            Self::Time2(digits) => {
                let whole = bytes.uint_be(3)? as i64 - 0x80_0000;
                let fraction_bytes = usize::from(digits.div_ceil(2));
                let raw = bytes.uint_be(fraction_bytes)? as i64;
                // Negative times are stored as a whole number of fractions below zero.
                let scale = [1, 10_000, 100, 1][fraction_bytes.min(3)];
                let (whole, fraction) =
                    if whole < 0 && raw != 0 { (whole + 1, raw - (1 << (8 * fraction_bytes))) } else { (whole, raw) };
                let packed = (whole << 24) + fraction * scale;
                let size = packed.unsigned_abs();
                let (time, fraction) = (size >> 24, (size & 0xff_ffff) as i64);
                let seconds = (time >> 12 & 0x3ff) * 3600 + (time >> 6 & 63) * 60 + (time & 63);
                let micros = seconds as i64 * temporal::MICROS_PER_SECOND + fraction;
                Cell::Time(if packed < 0 { -micros } else { micros })
            }
            Self::OldDateTime => {
                let packed = bytes.uint(8)?;
                let (date, time) = (packed / 1_000_000, packed % 1_000_000);
                Cell::DateTime {
                    year: (date / 10_000) as u32,
                    month: (date / 100 % 100) as u32,
                    day: (date % 100) as u32,
                    hour: (time / 10_000) as u32,
                    minute: (time / 100 % 100) as u32,
                    second: (time % 100) as u32,
                    micros: 0,
                }
            }
            Self::DateTime2(digits) => {
                let whole = bytes.uint_be(5)? & 0x7f_ffff_ffff;
                let fraction = micros(bytes, *digits)?;
                temporal::unpack_datetime(whole, fraction).into()
            }
            Self::OldTimestamp => Cell::Instant(bytes.uint(4)? as i64 * temporal::MICROS_PER_SECOND),
            Self::Timestamp2(digits) => {
                let seconds = bytes.uint_be(4)? as i64;
                Cell::Instant(seconds * temporal::MICROS_PER_SECOND + i64::from(micros(bytes, *digits)?))
            }
            Self::Bits(size) => Cell::Bytes(bytes.take(*size)?),
            Self::Text { prefix, charset } => {
                let range = prefixed(bytes, *prefix)?;
                let raw = &bytes.data[range];
                let text = charset.decode(raw);
                column.append(Cell::Text(&text))?;
                return Ok(());
            }
            Self::Bytes { prefix } => {
                let range = prefixed(bytes, *prefix)?;
                Cell::Bytes(&bytes.data[range])
            }
            Self::Json { prefix } => {
                let range = prefixed(bytes, *prefix)?;
                let document = &bytes.data[range];
                column.append_written(scratch, |text| json::to_text(document, options.json_style(), text))?;
                return Ok(());
            }
            Self::Geometry { prefix } => {
                let range = prefixed(bytes, *prefix)?;
                Cell::Geometry(&bytes.data[range])
            }
            Self::Vector { prefix } => {
                let range = prefixed(bytes, *prefix)?;
                Cell::Vector(&bytes.data[range])
            }
            Self::Enum { size, members } => match bytes.uint(*size)? as usize {
                // The empty text that stands for a member that is none.
                0 => Cell::Text(""),
                index => Cell::Text(members.get(index - 1).ok_or(CellProblem::Misfit)?),
            },
            Self::Set { size, members } => {
                let bits = bytes.uint(*size)?;
                scratch.clear();
                for (i, member) in members.iter().enumerate().filter(|(i, _)| *i < 64 && bits >> i & 1 == 1) {
                    if !scratch.is_empty() || (i > 0 && bits & ((1 << i) - 1) != 0) {
                        scratch.push(',');
                    }
                    scratch.push_str(member);
                }
                Cell::Text(scratch)
            }
            Self::Uuid => {
                let range = fixed(bytes, 16)?;
                uuid_text(&bytes.data[range], scratch);
                Cell::Text(scratch)
            }
            Self::Inet6 => {
                let range = fixed(bytes, 16)?;
                let mut address = [0u8; 16];
                address[..range.len()].copy_from_slice(&bytes.data[range]);
                scratch.clear();
                let _ = std::fmt::Write::write_fmt(scratch, format_args!("{}", std::net::Ipv6Addr::from(address)));
                Cell::Text(scratch)
            }
            Self::Inet4 => {
                let range = fixed(bytes, 4)?;
                let mut address = [0u8; 4];
                address[..range.len()].copy_from_slice(&bytes.data[range]);
                scratch.clear();
                let _ = std::fmt::Write::write_fmt(scratch, format_args!("{}", std::net::Ipv4Addr::from(address)));
                Cell::Text(scratch)
            }
        };
        column.append(cell)?;
        Ok(())
    }
}

/// A value of fixed length as the log packs it: a length byte, trailing zero bytes left out.
fn fixed(bytes: &mut Bytes<'_>, size: usize) -> Read<std::ops::Range<usize>> {
    let length = usize::from(bytes.u8()?);
    if length > size {
        return Err(Broken);
    }
    let start = bytes.at;
    bytes.take(length)?;
    Ok(start..bytes.at)
}

/// The text of a UUID; bytes left out at its end are zero.
fn uuid_text(stored: &[u8], out: &mut String) {
    let mut id = [0u8; 16];
    for (to, from) in id.iter_mut().zip(stored) {
        *to = *from;
    }
    let digits = hex::encode(id);
    out.clear();
    for (i, part) in [0..8, 8..12, 12..16, 16..20, 20..32].into_iter().enumerate() {
        if i > 0 {
            out.push('-');
        }
        out.push_str(&digits[part]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::{CatalogOptions, Column, MySqlType};

    pub(super) fn table(columns: &[(&str, &str)]) -> Table {
        Table {
            columns: columns.iter().map(|(n, t)| Column::new((*n).into(), MySqlType::parse(t))).collect(),
            ..Table::default()
        }
    }

    fn decoder(map: &TableMap, table: &Table) -> (RowDecoder, RowBatch) {
        let options = ValueOptions { adjust_years: false, legacy_json: false };
        let schema = table.to_schema(&CatalogOptions::default());
        let decoder = RowDecoder::new(map, table, &schema, &Collations::new(), options).unwrap();
        (decoder, RowBatch::new(&schema, options).unwrap())
    }

    fn map(columns: &[(u8, u16)]) -> TableMap {
        TableMap {
            id: 1,
            database: "d".into(),
            table: "t".into(),
            columns: columns
                .iter()
                .map(|(kind, meta)| MapColumn {
                    kind: *kind,
                    meta: *meta,
                    nullable: true,
                    unsigned: None,
                    collation: None,
                    members: Vec::new(),
                })
                .collect(),
            names: None,
            primary_key: None,
        }
    }

    #[test]
    fn an_update_is_two_rows_and_negative_mediumints_keep_their_sign() {
        let table = table(&[("a", "mediumint"), ("b", "varchar(10)"), ("c", "year")]);
        let map = map(&[(kinds::INT24, 0), (kinds::VARCHAR, 40), (kinds::YEAR, 0)]);
        let (mut decoder, mut batch) = decoder(&map, &table);
        let mut data = vec![0u8; 8];
        data.extend([2, 0, 3, 0b111, 0b111]);
        data.extend([0b000, 0xff, 0xff, 0xff, 2, b'h', b'i', 0]);
        data.extend([0b010, 0x00, 0x00, 0x80, 100]);
        assert_eq!(decoder.decode(RowsKind::Update, true, &data, &mut batch).unwrap(), 2);
        let rows = batch.finish().unwrap();
        assert_eq!(rows.kinds, RowKinds::Each(vec![RowKind::UpdateBefore, RowKind::UpdateAfter]));
        let text = arrow::util::pretty::pretty_format_batches(&[rows.batch]).unwrap().to_string();
        assert!(text.contains("| -1       | hi | 0    |") && text.contains("| -8388608 |    | 2000 |"), "{text}");
    }

    #[test]
    fn a_missed_change_of_the_table_is_noticed() {
        let table = table(&[("a", "int"), ("b", "text")]);
        let schema = table.to_schema(&CatalogOptions::default());
        let options = ValueOptions { adjust_years: false, legacy_json: false };
        for wrong in [map(&[(kinds::LONG, 0)]), map(&[(kinds::LONG, 0), (kinds::DOUBLE, 8)])] {
            assert!(RowDecoder::new(&wrong, &table, &schema, &Collations::new(), options).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_rows_event_panics(kind in 0usize..4, data in proptest::collection::vec(0u8..=255, 0..80)) {
            let all = [
                ("a", "int"), ("b", "varchar(10)"), ("c", "decimal(20,5)"), ("d", "datetime(3)"), ("e", "time(6)"), ("f", "json"),
                ("g", "geometry"), ("h", "enum('x','y')"), ("i", "set('x','y')"), ("j", "bit(12)"), ("k", "uuid"), ("l", "timestamp(1)"),
            ];
            let table = table(&all);
            let map = map(&[
                (kinds::LONG, 0), (kinds::VARCHAR, 40), (kinds::NEWDECIMAL, 20 << 8 | 5), (kinds::DATETIME2, 3), (kinds::TIME2, 6),
                (kinds::JSON, 4), (kinds::GEOMETRY, 4), (kinds::ENUM, 1), (kinds::SET, 1), (kinds::BIT, 1 << 8 | 4), (kinds::STRING, 16),
                (kinds::TIMESTAMP2, 1),
            ]);
            let (mut decoder, mut batch) = decoder(&map, &table);
            let kind = [RowsKind::Insert, RowsKind::Update, RowsKind::Delete, RowsKind::PartialUpdate][kind];
            let mut event = vec![0u8; 8];
            event.extend([2, 0, 12, 0xff, 0x0f, 0xff, 0x0f]);
            event.extend(&data);
            let _ = decoder.decode(kind, true, &event, &mut batch);
            let _ = TableMap::parse(&data);
        }
    }
}
