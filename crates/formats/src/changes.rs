//! `canal-json`, `maxwell-json` and `ogg-json`: change events of MySQL's and Oracle's log readers.
//!
//! | format | rows in | kind in | an update's old row |
//! |---|---|---|---|
//! | canal-json | `data` (array) | `type`: INSERT, UPDATE, DELETE; CREATE is skipped | `old` (array), only changed fields |
//! | maxwell-json | `data` | `type`: insert, update, delete | `old`, only changed fields |
//! | ogg-json | `after` | `op_type`: I, U, D | `before`, all fields |
//!
//! The kind stands after the rows, so an event is first walked over, then its rows are read where they lie.
//! A field that `old` does not have has not changed: its value is taken from the new row.

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};
use regex::Regex;
use starweir_model::{ChangeBatch, DataType, Error, LogicalType, Options, Result, RowKind, RowKinds, Schema};

use crate::Decoder;
use crate::column::{Column, Members, Values};
use crate::convert::{Rules, append_json, append_merged, append_object, to_unit};
use crate::error::{DecodeError, DecodeErrorKind, Decoded, bad_value, fault, in_field, malformed};
use crate::json::{checked_utf8, finish_members, members_of};
use crate::options::json_rules;
use crate::scan::Scanner;

/// Whose events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavor {
    Canal,
    Maxwell,
    Ogg,
}

impl Flavor {
    pub fn name(self) -> &'static str {
        match self {
            Self::Canal => "canal-json",
            Self::Maxwell => "maxwell-json",
            Self::Ogg => "ogg-json",
        }
    }

    fn rows_key(self) -> &'static [u8] {
        if self == Self::Ogg { b"after" } else { b"data" }
    }

    fn old_key(self) -> &'static [u8] {
        if self == Self::Ogg { b"before" } else { b"old" }
    }

    fn kind_key(self) -> &'static [u8] {
        if self == Self::Ogg { b"op_type" } else { b"type" }
    }

    /// The metadata keys, the event's field each is in, and its type.
    fn keys(self) -> &'static [(&'static str, &'static str, Kind)] {
        match self {
            Self::Canal => &[
                ("database", "database", Kind::Text),
                ("table", "table", Kind::Text),
                ("sql-type", "sqlType", Kind::IntMap),
                ("pk-names", "pkNames", Kind::TextArray),
                ("ingestion-timestamp", "ts", Kind::Instant),
                ("event-timestamp", "es", Kind::Instant),
            ],
            Self::Maxwell => &[
                ("database", "database", Kind::Text),
                ("table", "table", Kind::Text),
                ("primary-key-columns", "primary_key_columns", Kind::TextArray),
                ("ingestion-timestamp", "ts", Kind::Instant),
            ],
            Self::Ogg => &[
                ("table", "table", Kind::Text),
                ("primary-keys", "primary_keys", Kind::TextArray),
                ("ingestion-timestamp", "current_ts", Kind::Instant),
                ("event-timestamp", "op_ts", Kind::Instant),
            ],
        }
    }
}

/// What a metadata field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    TextArray,
    IntMap,
    /// Milliseconds or seconds since 1970-01-01 UTC, or a timestamp's text.
    Instant,
}

impl Kind {
    fn data_type(self, flavor: Flavor) -> DataType {
        let text = || Box::new(DataType::string());
        DataType::nullable(match self {
            Self::Text => LogicalType::STRING,
            Self::TextArray => LogicalType::Array(text()),
            Self::IntMap => LogicalType::Map(
                Box::new(DataType::string().with_nullable(false)),
                Box::new(DataType::nullable(LogicalType::Int)),
            ),
            Self::Instant => LogicalType::TimestampLtz(if flavor == Flavor::Ogg { 6 } else { 3 }),
        })
    }

    fn fits(self, declared: &LogicalType) -> bool {
        match (self, declared) {
            (Self::Text, t) => t.is_character(),
            (Self::TextArray, LogicalType::Array(t)) => t.logical.is_character(),
            (Self::IntMap, LogicalType::Map(k, v)) => k.logical.is_character() && v.logical.is_integer(),
            (Self::Instant, LogicalType::TimestampLtz(_)) => true,
            _ => false,
        }
    }
}

/// The metadata keys of a format with Flink's types.
pub(crate) fn metadata(flavor: Flavor) -> Vec<(&'static str, DataType)> {
    flavor.keys().iter().map(|(name, _, kind)| (*name, kind.data_type(flavor))).collect()
}

struct Metadata {
    name: &'static str,
    field: &'static str,
    kind: Kind,
    column: Column,
    /// Where the event at hand has it.
    at: Option<usize>,
}

pub(crate) struct ChangeDecoder {
    flavor: Flavor,
    members: Members,
    metadata: Vec<Metadata>,
    kinds: Vec<RowKind>,
    schema: SchemaRef,
    data_schema: SchemaRef,
    rules: Rules,
    /// Events of other databases or tables are passed over.
    database: Option<Regex>,
    table: Option<Regex>,
    skipped: u64,
}

/// A pattern that must match the whole name, as Java's `matches` does.
fn whole(options: &Options, name: &str) -> Result<Option<Regex>> {
    let Some(pattern) = options.text(name) else { return Ok(None) };
    Regex::new(&format!("^(?:{pattern})$"))
        .map(Some)
        .map_err(|e| Error::user(format!("option '{name}' is not a regular expression")).with_source(e))
}

impl ChangeDecoder {
    pub fn new(flavor: Flavor, schema: &Schema, metadata: &[(String, DataType)], options: &Options) -> Result<Self> {
        let data_schema = schema.to_arrow();
        let mut fields: Vec<_> = data_schema.fields().iter().cloned().collect();
        let mut columns = Vec::new();
        for (wanted, declared) in metadata {
            let format = flavor.name();
            let Some((name, field, kind)) = flavor.keys().iter().copied().find(|(name, ..)| name == wanted) else {
                let known: Vec<_> = flavor.keys().iter().map(|(n, ..)| *n).collect();
                return Err(Error::user(format!("format '{format}' has no metadata column '{wanted}'"))
                    .with_hint(format!("it has {}", known.join(", "))));
            };
            if !kind.fits(&declared.logical) {
                return Err(Error::user(format!(
                    "metadata column '{name}' is of type {}, not {}",
                    kind.data_type(flavor),
                    declared.logical
                )));
            }
            columns.push(Metadata { name, field, kind, column: Column::new(declared)?, at: None });
            fields.push(declared.to_arrow_field(name).into());
        }
        Ok(Self {
            flavor,
            members: members_of(schema)?,
            metadata: columns,
            kinds: Vec::new(),
            schema: ArrowSchema::new(fields).into(),
            data_schema,
            rules: Rules { base64_decimals: false, ..json_rules(options, true)? },
            database: whole(options, "database.include")?,
            table: whole(options, "table.include")?,
            skipped: 0,
        })
    }

    fn truncate(&mut self, rows: usize) {
        self.members.truncate(rows);
        for metadata in &mut self.metadata {
            metadata.column.truncate(rows);
        }
        self.kinds.truncate(rows);
    }

    fn rows_of(&mut self, message: &[u8]) -> Decoded<()> {
        checked_utf8(message)?;
        let mut scanner = Scanner::new(message);
        if scanner.take_null()? {
            return scanner.end();
        }
        let (mut rows, mut old, mut kind) = (None, None, None);
        let (mut database, mut table) = (Vec::new(), Vec::new());
        for metadata in &mut self.metadata {
            metadata.at = None;
        }
        scanner.expect(b'{', "the message is not an object")?;
        if !scanner.take(b'}') {
            loop {
                if scanner.peek() != b'"' {
                    return Err(malformed(scanner.position(), "expected a field name"));
                }
                let name = scanner.string()?.raw;
                scanner.expect(b':', "expected ':'")?;
                let next = scanner.peek();
                let at = scanner.position();
                if name == self.flavor.rows_key() {
                    rows = (next != b'n').then_some(at);
                } else if name == self.flavor.old_key() {
                    old = (next != b'n').then_some(at);
                } else if name == self.flavor.kind_key() && next == b'"' {
                    kind = Some(scanner.string()?.raw);
                    scanner.seek(at);
                } else if next == b'"' && (name == b"database" || name == b"table") {
                    let into = if name == b"table" { &mut table } else { &mut database };
                    into.clear();
                    scanner.string()?.append_to(into)?;
                    scanner.seek(at);
                }
                for metadata in self.metadata.iter_mut().filter(|m| m.field.as_bytes() == name) {
                    metadata.at = Some(at);
                }
                scanner.skip_value()?;
                if scanner.take(b',') {
                    continue;
                }
                scanner.expect(b'}', "expected ',' or '}'")?;
                break;
            }
        }
        scanner.end()?;
        let excluded = |pattern: &Option<Regex>, name: &[u8]| {
            pattern.as_ref().is_some_and(|p| !p.is_match(&String::from_utf8_lossy(name)))
        };
        if excluded(&self.database, &database) || excluded(&self.table, &table) {
            return Ok(());
        }
        let first = self.members.len;
        let change = match (self.flavor, kind) {
            (Flavor::Canal, Some(b"CREATE")) => return Ok(()),
            (Flavor::Canal, Some(b"INSERT")) | (Flavor::Maxwell, Some(b"insert")) | (Flavor::Ogg, Some(b"I")) => {
                RowKind::Insert
            }
            (Flavor::Canal, Some(b"UPDATE")) | (Flavor::Maxwell, Some(b"update")) | (Flavor::Ogg, Some(b"U")) => {
                RowKind::UpdateAfter
            }
            (Flavor::Canal, Some(b"DELETE")) | (Flavor::Maxwell, Some(b"delete")) | (Flavor::Ogg, Some(b"D")) => {
                RowKind::Delete
            }
            (_, Some(_)) => return Err(malformed(0, "the event is neither an insert, an update nor a delete")),
            (_, None) => return Err(malformed(0, "the message does not say what kind of change it is")),
        };
        self.changes(&mut scanner, change, rows, old)?;
        for metadata in &mut self.metadata {
            for _ in first..self.members.len {
                append_metadata(metadata, &mut scanner)?;
            }
        }
        Ok(())
    }

    /// Reads the rows of one event.
    fn changes(
        &mut self,
        scanner: &mut Scanner<'_>,
        change: RowKind,
        rows: Option<usize>,
        old: Option<usize>,
    ) -> Decoded<()> {
        let missing = |reason: &'static str| fault(DecodeErrorKind::Missing, 0, reason);
        if self.flavor == Flavor::Ogg {
            let image = if change == RowKind::Delete { old } else { rows };
            let reason = match change {
                RowKind::Delete => "the \"before\" field of a DELETE event is null",
                _ => "the \"after\" field of the event is null",
            };
            let image = image.ok_or_else(|| missing(reason))?;
            if change == RowKind::UpdateAfter {
                let Some(before) = old else {
                    let mut error = missing("the \"before\" field of an UPDATE event is null");
                    error.hint = Some("add supplemental logging of all columns to the source table");
                    return Err(error);
                };
                self.row(scanner, &[before], RowKind::UpdateBefore)?;
            }
            return self.row(scanner, &[image], change);
        }
        let rows = rows.ok_or_else(|| missing("the \"data\" field of the event is null"))?;
        let rows = self.elements(scanner, rows)?;
        if change != RowKind::UpdateAfter {
            return rows.iter().try_for_each(|row| self.row(scanner, &[*row], change));
        }
        let old = old.ok_or_else(|| missing("the \"old\" field of an UPDATE event is null"))?;
        let old = self.elements(scanner, old)?;
        if old.len() != rows.len() {
            return Err(malformed(0, "an update has not as many old rows as new ones"));
        }
        for (new, old) in rows.iter().zip(&old) {
            self.row(scanner, &[*old, *new], RowKind::UpdateBefore)?;
            self.row(scanner, &[*new], RowKind::UpdateAfter)?;
        }
        Ok(())
    }

    /// Where the rows of an event begin: Canal has an array of them.
    fn elements(&self, scanner: &mut Scanner<'_>, at: usize) -> Decoded<Vec<usize>> {
        scanner.seek(at);
        if self.flavor != Flavor::Canal {
            return Ok(vec![at]);
        }
        let mut found = Vec::new();
        scanner.expect(b'[', "the rows are not an array")?;
        if scanner.take(b']') {
            return Ok(found);
        }
        loop {
            scanner.peek();
            found.push(scanner.position());
            scanner.skip_value()?;
            if scanner.take(b',') {
                continue;
            }
            scanner.expect(b']', "expected ',' or ']'")?;
            return Ok(found);
        }
    }

    /// One row from one object, or from several: the first that has a field gives its value.
    fn row(&mut self, scanner: &mut Scanner<'_>, objects: &[usize], kind: RowKind) -> Decoded<()> {
        match objects {
            [at] => {
                scanner.seek(*at);
                append_object(&mut self.members, scanner, &self.rules)?;
            }
            several => append_merged(&mut self.members, scanner, several, &self.rules)?,
        }
        self.kinds.push(kind);
        Ok(())
    }
}

fn append_metadata(metadata: &mut Metadata, scanner: &mut Scanner<'_>) -> Decoded<()> {
    let Some(at) = metadata.at else { return metadata.column.append_null(0) };
    scanner.seek(at);
    if metadata.kind == Kind::Instant
        && let Some(number) = scanner.small_integer()
    {
        // Maxwell counts seconds; no time after 1973 in milliseconds is as small.
        const SECONDS_MAX: i64 = 100_000_000_000;
        let millis = if number.abs() < SECONDS_MAX { number * 1000 } else { number };
        let Values::Timestamp { values, precision, .. } = &mut metadata.column.values else {
            return metadata.column.append_null(at);
        };
        let value = to_unit(millis.div_euclid(1000), millis.rem_euclid(1000) as u32 * 1_000_000, *precision)
            .ok_or_else(|| bad_value(at, "the value does not fit TIMESTAMP_LTZ"))?;
        values.push(value);
        metadata.column.mark();
        return Ok(());
    }
    let rules = Rules {
        timestamps: crate::TimestampStyle::Any,
        ignore_errors: false,
        fail_on_missing: false,
        change: true,
        base64_decimals: false,
        times_in_micros: false,
    };
    append_json(&mut metadata.column, scanner, &rules).map_err(|e| in_field(e, metadata.name))
}

impl Decoder for ChangeDecoder {
    fn decode(&mut self, message: &[u8]) -> Result<usize, DecodeError> {
        if message.is_empty() {
            return Ok(0);
        }
        let before = self.members.len;
        match self.rows_of(message) {
            Ok(()) => Ok(self.members.len - before),
            Err(error) => {
                self.truncate(before);
                if self.rules.ignore_errors && error.kind != DecodeErrorKind::Full {
                    self.skipped += 1;
                    return Ok(0);
                }
                Err(*error)
            }
        }
    }

    fn rows(&self) -> usize {
        self.members.len
    }

    fn bytes(&self) -> usize {
        let metadata = self.metadata.iter().map(|m| m.column.bytes()).sum::<usize>();
        self.members.columns.iter().map(Column::bytes).sum::<usize>() + metadata + self.kinds.len()
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn finish(&mut self) -> Result<ChangeBatch> {
        let data = finish_members(&mut self.members, &self.data_schema)?;
        let room = self.kinds.len();
        let kinds = RowKinds::from_vec(std::mem::replace(&mut self.kinds, Vec::with_capacity(room)));
        let mut arrays = data.columns().to_vec();
        for metadata in &mut self.metadata {
            arrays.push(metadata.column.finish()?);
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(data.num_rows()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|e| Error::internal("decoded columns do not form a batch").with_source(e))?;
        Ok(ChangeBatch::new(batch, kinds))
    }
}
