//! `debezium-json`: change events `{before, after, source, op, ts_ms}`, plain or wrapped as `{schema, payload}`.
//!
//! | op | rows |
//! |---|---|
//! | `c`, `r` | `+I` after |
//! | `u` | `-U` before, `+U` after; fails when before is null |
//! | `d` | `-D` before; fails when before is null |
//!
//! `before` and `after` are read into columns where they stand, as nearly every event needs them; only an
//! event whose `op` then says otherwise is read a second time. `source` is stepped over unless asked for.

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};
use starweir_model::{ChangeBatch, DataType, Error, LogicalType, Options, Result, RowKind, RowKinds, Schema};

use crate::Decoder;
use crate::column::{Column, DecimalText, Members, Unit, Values};
use crate::convert::{Rules, append_json, append_object, to_unit};
use crate::error::{DecodeError, DecodeErrorKind, Decoded, Fault, bad_value, fault, in_field, malformed};
use crate::json::{checked_utf8, finish_members, members_of};
use crate::options::json_rules;
use crate::scan::Scanner;

const REPLICA_IDENTITY: &str = "if you use the Debezium PostgreSQL connector, set the table's REPLICA IDENTITY to FULL: \
     ALTER TABLE … REPLICA IDENTITY FULL";

/// A metadata column and where its value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Schema,
    IngestionTimestamp,
    SourceTimestamp,
    SourceDatabase,
    SourceSchema,
    SourceTable,
    SourceProperties,
}

const KEYS: &[(&str, Key)] = &[
    ("schema", Key::Schema),
    ("ingestion-timestamp", Key::IngestionTimestamp),
    ("source.timestamp", Key::SourceTimestamp),
    ("source.database", Key::SourceDatabase),
    ("source.schema", Key::SourceSchema),
    ("source.table", Key::SourceTable),
    ("source.properties", Key::SourceProperties),
];

impl Key {
    fn data_type(self) -> DataType {
        match self {
            Self::IngestionTimestamp | Self::SourceTimestamp => DataType::nullable(LogicalType::TimestampLtz(3)),
            Self::SourceProperties => DataType::nullable(LogicalType::Map(
                Box::new(DataType::string().with_nullable(false)),
                Box::new(DataType::string()),
            )),
            _ => DataType::string(),
        }
    }

    /// Whether a column declared as `declared` can hold the value.
    fn fits(self, declared: &LogicalType) -> bool {
        match self {
            Self::IngestionTimestamp | Self::SourceTimestamp => matches!(declared, LogicalType::TimestampLtz(_)),
            Self::SourceProperties => {
                matches!(declared, LogicalType::Map(k, v) if k.logical.is_character() && v.logical.is_character())
            }
            _ => declared.is_character(),
        }
    }

    fn in_source(self) -> bool {
        !matches!(self, Self::Schema | Self::IngestionTimestamp)
    }
}

/// The metadata keys of the format with Flink's types.
pub(crate) fn metadata() -> Vec<(&'static str, DataType)> {
    KEYS.iter().map(|(name, key)| (*name, key.data_type())).collect()
}

pub(crate) struct DebeziumDecoder {
    members: Members,
    metadata: Vec<(Key, Column)>,
    kinds: Vec<RowKind>,
    schema: SchemaRef,
    data_schema: SchemaRef,
    rules: Rules,
    /// A TIME column needs to know the connector before a number can be read.
    needs_connector: bool,
    needs_source: bool,
    /// The schema the columns' units were taken from, as it stood in the last wrapped message.
    known_schema: Vec<u8>,
    skipped: u64,
}

/// Where the parts of an event lie; positions of their first byte.
#[derive(Default)]
struct Envelope {
    before: Option<usize>,
    after: Option<usize>,
    source: Option<usize>,
    schema: Option<usize>,
    op: Option<u8>,
    ts_ms: Option<i64>,
    /// What was read into columns already, in this order.
    read: [Option<Image>; 2],
    tombstone: bool,
    wrapped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Image {
    Before,
    After,
}

/// The fields of `source` that were asked for.
#[derive(Default)]
struct SourceInfo {
    ts_ms: Option<i64>,
    database: Option<usize>,
    schema: Option<usize>,
    table: Option<usize>,
    mysql: bool,
}

impl DebeziumDecoder {
    pub fn new(schema: &Schema, metadata: &[(String, DataType)], options: &Options) -> Result<Self> {
        let data_schema = schema.to_arrow();
        let mut fields: Vec<_> = data_schema.fields().iter().cloned().collect();
        let mut columns = Vec::new();
        for (name, declared) in metadata {
            let Some((_, key)) = KEYS.iter().find(|(known, _)| known == name) else {
                let known: Vec<_> = KEYS.iter().map(|(n, _)| *n).collect();
                return Err(Error::user(format!("format 'debezium-json' has no metadata column '{name}'"))
                    .with_hint(format!("it has {}", known.join(", "))));
            };
            if !key.fits(&declared.logical) {
                return Err(Error::user(format!(
                    "metadata column '{name}' is of type {}, not {}",
                    key.data_type(),
                    declared.logical
                )));
            }
            columns.push((*key, Column::new(declared)?));
            fields.push(declared.to_arrow_field(name).into());
        }
        Ok(Self {
            members: members_of(schema)?,
            needs_source: columns.iter().any(|(key, _)| key.in_source()),
            metadata: columns,
            kinds: Vec::new(),
            schema: ArrowSchema::new(fields).into(),
            data_schema,
            rules: json_rules(options, true)?,
            needs_connector: schema.columns.iter().any(|c| matches!(c.data_type.logical, LogicalType::Time(_))),
            known_schema: Vec::new(),
            skipped: 0,
        })
    }

    fn truncate(&mut self, rows: usize) {
        self.members.truncate(rows);
        for (_, column) in &mut self.metadata {
            column.truncate(rows);
        }
        self.kinds.truncate(rows);
    }

    fn rows_of(&mut self, message: &[u8]) -> Decoded<()> {
        checked_utf8(message)?;
        let mut scanner = Scanner::new(message);
        if scanner.peek() == b'n' {
            scanner.take_null()?;
            return scanner.end();
        }
        let first = self.members.len;
        let mut envelope = Envelope::default();
        self.envelope(&mut scanner, &mut envelope, true)?;
        scanner.end()?;
        if envelope.tombstone {
            return Ok(());
        }
        let images: &[Image] = match envelope.op {
            Some(b'c' | b'r') => &[Image::After],
            Some(b'u') => &[Image::Before, Image::After],
            Some(b'd') => &[Image::Before],
            Some(_) => return Err(malformed(0, "the event's \"op\" is none of c, r, u, d")),
            None => return Err(no_operation(&envelope)),
        };
        for image in images {
            let there = match image {
                Image::Before => envelope.before.is_some(),
                Image::After => envelope.after.is_some(),
            };
            if !there {
                return Err(image_is_null(*image, envelope.op));
            }
        }
        let mut source = SourceInfo::default();
        if let Some(at) = envelope.source.filter(|_| self.needs_source || self.needs_connector) {
            scanner.seek(at);
            source = read_source(&mut scanner)?;
        }
        let in_order = envelope.read.iter().flatten().eq(images.iter());
        if !in_order {
            self.members.truncate(first);
            self.rules.times_in_micros = source.mysql;
            for image in images {
                let at = match image {
                    Image::Before => envelope.before,
                    Image::After => envelope.after,
                };
                scanner.seek(at.unwrap_or_default());
                self.image(&mut scanner, *image)?;
            }
        }
        match envelope.op {
            Some(b'u') => self.kinds.extend([RowKind::UpdateBefore, RowKind::UpdateAfter]),
            Some(b'd') => self.kinds.push(RowKind::Delete),
            _ => self.kinds.push(RowKind::Insert),
        }
        for (key, column) in &mut self.metadata {
            for _ in images {
                append_metadata(*key, column, &mut scanner, &envelope, &source)
                    .map_err(|e| in_field(e, KEYS.iter().find(|(_, k)| k == key).map_or("", |(n, _)| n)))?;
            }
        }
        Ok(())
    }

    fn image(&mut self, scanner: &mut Scanner<'_>, image: Image) -> Decoded<()> {
        append_object(&mut self.members, scanner, &self.rules)
            .map_err(|error| in_field(error, if image == Image::Before { "before" } else { "after" }))
    }

    /// Reads an event's object, or the object it is wrapped in.
    fn envelope(&mut self, scanner: &mut Scanner<'_>, envelope: &mut Envelope, outer: bool) -> Decoded<()> {
        scanner.expect(b'{', "the message is not an object")?;
        if scanner.take(b'}') {
            return Ok(());
        }
        loop {
            if scanner.peek() != b'"' {
                return Err(malformed(scanner.position(), "expected a field name"));
            }
            let name = scanner.string()?;
            scanner.expect(b':', "expected ':'")?;
            let next = scanner.peek();
            let at = scanner.position();
            match name.raw {
                b"before" if next == b'{' => {
                    envelope.before = Some(at);
                    self.eager_image(scanner, envelope, Image::Before)?;
                }
                b"after" if next == b'{' => {
                    envelope.after = Some(at);
                    self.eager_image(scanner, envelope, Image::After)?;
                }
                b"source" if next == b'{' => {
                    envelope.source = Some(at);
                    scanner.skip_value()?;
                }
                b"op" if next == b'"' => {
                    let text = scanner.string()?;
                    envelope.op = Some(if let [op] = text.raw { *op } else { 0 });
                }
                b"ts_ms" if next != b'n' => {
                    envelope.ts_ms = scanner.small_integer();
                    if envelope.ts_ms.is_none() {
                        return Err(in_field(bad_value(at, "not a whole number"), "ts_ms"));
                    }
                }
                b"payload" if outer && (next == b'{' || next == b'n') => {
                    envelope.wrapped = true;
                    if next == b'n' {
                        scanner.skip_value()?;
                        envelope.tombstone = true;
                    } else {
                        self.envelope(scanner, envelope, false)?;
                    }
                }
                b"schema" if outer => {
                    envelope.schema = Some(at);
                    scanner.skip_value()?;
                    let text = scanner.slice(at, scanner.position());
                    if next == b'{' && text != self.known_schema.as_slice() {
                        self.learn(text)?;
                    }
                }
                _ => scanner.skip_value()?,
            }
            if scanner.take(b',') {
                continue;
            }
            return scanner.expect(b'}', "expected ',' or '}'");
        }
    }

    /// Takes the columns' units and encodings from a message's schema: the one exact source of them.
    fn learn(&mut self, text: &[u8]) -> Decoded<()> {
        for column in &mut self.members.columns {
            column.unit = Unit::Unknown;
            if let Values::Decimal { written_as, bytes_scale, scale, .. } = &mut column.values {
                *written_as = DecimalText::Unknown;
                *bytes_scale = *scale;
            }
        }
        let mut scanner = Scanner::new(text);
        let members = &mut self.members;
        walk_fields(&mut scanner, &mut |image, fields| {
            if image.name != b"after" && image.name != b"before" {
                return Ok(());
            }
            let Some(at) = fields else { return Ok(()) };
            let mut inner = Scanner::new(text);
            inner.seek(at);
            walk_array(&mut inner, &mut |field, _| {
                if let Some(index) = members.position(field.name) {
                    apply(&mut members.columns[index], field);
                }
                Ok(())
            })
        })?;
        self.known_schema.clear();
        self.known_schema.extend_from_slice(text);
        Ok(())
    }

    /// Reads an image where it stands if there is nothing to know first.
    fn eager_image(&mut self, scanner: &mut Scanner<'_>, envelope: &mut Envelope, image: Image) -> Decoded<()> {
        let slot = envelope.read.iter().position(Option::is_none);
        match slot {
            Some(slot) if !self.needs_connector => {
                self.image(scanner, image)?;
                envelope.read[slot] = Some(image);
                Ok(())
            }
            _ => scanner.skip_value(),
        }
    }
}

/// A field of a Connect schema.
#[derive(Default, Clone, Copy)]
struct SchemaField<'a> {
    name: &'a [u8],
    /// The semantic type, such as `io.debezium.time.MicroTimestamp`.
    semantic: &'a [u8],
    kind: &'a [u8],
    scale: Option<u8>,
    precision: Option<u8>,
}

impl SchemaField<'_> {
    /// The scale a decimal's bytes have. Flink CDC's writer names precision and scale the wrong way round, which shows
    /// where the scale is the larger of the two.
    fn decimal_scale(&self) -> Option<u8> {
        match (self.scale, self.precision) {
            (Some(scale), Some(precision)) => Some(scale.min(precision)),
            (scale, _) => scale,
        }
    }
}

type Visit<'v, 'a> = &'v mut dyn FnMut(SchemaField<'a>, Option<usize>) -> Decoded<()>;

/// Visits the members of a schema's `fields`; each with the place of its own `fields`.
fn walk_fields<'a>(scanner: &mut Scanner<'a>, visit: Visit<'_, 'a>) -> Decoded<()> {
    object(scanner, &mut |scanner, name| {
        if name == b"fields" && scanner.peek() == b'[' { walk_array(scanner, visit) } else { scanner.skip_value() }
    })
}

fn walk_array<'a>(scanner: &mut Scanner<'a>, visit: Visit<'_, 'a>) -> Decoded<()> {
    scanner.expect(b'[', "expected an array")?;
    if scanner.take(b']') {
        return Ok(());
    }
    loop {
        let mut field = SchemaField::default();
        let mut fields = None;
        object(scanner, &mut |scanner, name| {
            let next = scanner.peek();
            match (name, next) {
                (b"field", b'"') => field.name = scanner.string()?.raw,
                (b"name", b'"') => field.semantic = scanner.string()?.raw,
                (b"type", b'"') => field.kind = scanner.string()?.raw,
                (b"fields", b'[') => {
                    fields = Some(scanner.position());
                    scanner.skip_value()?;
                }
                (b"parameters", b'{') => object(scanner, &mut |scanner, name| {
                    if scanner.peek() != b'"' {
                        return scanner.skip_value();
                    }
                    let text = scanner.string()?.raw;
                    let number = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok());
                    match name {
                        b"scale" => field.scale = number,
                        b"connect.decimal.precision" => field.precision = number,
                        _ => {}
                    }
                    Ok(())
                })?,
                _ => scanner.skip_value()?,
            }
            Ok(())
        })?;
        visit(field, fields)?;
        if scanner.take(b',') {
            continue;
        }
        return scanner.expect(b']', "expected ',' or ']'");
    }
}

/// Visits the members of an object; the visitor consumes each value.
fn object<'a>(
    scanner: &mut Scanner<'a>,
    visit: &mut dyn FnMut(&mut Scanner<'a>, &'a [u8]) -> Decoded<()>,
) -> Decoded<()> {
    scanner.expect(b'{', "expected an object")?;
    if scanner.take(b'}') {
        return Ok(());
    }
    loop {
        if scanner.peek() != b'"' {
            return Err(malformed(scanner.position(), "expected a field name"));
        }
        let name = scanner.string()?.raw;
        scanner.expect(b':', "expected ':'")?;
        visit(scanner, name)?;
        if scanner.take(b',') {
            continue;
        }
        return scanner.expect(b'}', "expected ',' or '}'");
    }
}

/// What a schema's field says about the numbers and texts of its column.
fn apply(column: &mut Column, field: SchemaField<'_>) {
    let per_second = match field.semantic {
        b"io.debezium.time.Timestamp"
        | b"io.debezium.time.Time"
        | b"org.apache.kafka.connect.data.Timestamp"
        | b"org.apache.kafka.connect.data.Time" => 1000,
        b"io.debezium.time.MicroTimestamp" | b"io.debezium.time.MicroTime" => 1_000_000,
        b"io.debezium.time.NanoTimestamp" | b"io.debezium.time.NanoTime" => 1_000_000_000,
        _ => 0,
    };
    if per_second > 0 {
        column.unit = Unit::Certain(per_second);
    }
    if let Values::Decimal { written_as, bytes_scale, .. } = &mut column.values {
        match (field.semantic, field.kind) {
            (b"org.apache.kafka.connect.data.Decimal", b"bytes") => {
                *written_as = DecimalText::Base64;
                if let Some(scale) = field.decimal_scale() {
                    *bytes_scale = scale;
                }
            }
            (_, b"string") => *written_as = DecimalText::Digits,
            _ => {}
        }
    }
}

#[cold]
fn no_operation(envelope: &Envelope) -> Fault {
    let mut error = malformed(0, "the message has no \"op\": it is not a Debezium change event");
    error.hint = Some(if envelope.wrapped {
        "the payload has neither before nor after: is the topic one of schema changes, heartbeats or transactions?"
    } else {
        "a topic with flattened events (ExtractNewRecordState) is read with the format 'json'"
    });
    error
}

#[cold]
fn image_is_null(image: Image, op: Option<u8>) -> Fault {
    let reason = match (image, op) {
        (Image::Before, Some(b'u')) => "the \"before\" field of an UPDATE event is null",
        (Image::Before, _) => "the \"before\" field of a DELETE event is null",
        (Image::After, _) => "the \"after\" field of the event is null",
    };
    let mut error = fault(DecodeErrorKind::Missing, 0, reason);
    if image == Image::Before {
        error.hint = Some(REPLICA_IDENTITY);
    }
    error
}

fn read_source(scanner: &mut Scanner<'_>) -> Decoded<SourceInfo> {
    let mut info = SourceInfo::default();
    scanner.expect(b'{', "expected an object")?;
    if scanner.take(b'}') {
        return Ok(info);
    }
    loop {
        if scanner.peek() != b'"' {
            return Err(malformed(scanner.position(), "expected a field name"));
        }
        let name = scanner.string()?;
        scanner.expect(b':', "expected ':'")?;
        let next = scanner.peek();
        let at = scanner.position();
        match name.raw {
            b"ts_ms" => info.ts_ms = scanner.small_integer(),
            b"db" => info.database = Some(at),
            b"schema" => info.schema = Some(at),
            b"table" => info.table = Some(at),
            b"connector" if next == b'"' => {
                info.mysql = matches!(scanner.string()?.raw, b"mysql" | b"mariadb" | b"tidb");
                scanner.seek(at);
            }
            _ => {}
        }
        if scanner.position() == at {
            scanner.skip_value()?;
        }
        if scanner.take(b',') {
            continue;
        }
        scanner.expect(b'}', "expected ',' or '}'")?;
        return Ok(info);
    }
}

fn append_metadata(
    key: Key,
    column: &mut Column,
    scanner: &mut Scanner<'_>,
    envelope: &Envelope,
    source: &SourceInfo,
) -> Decoded<()> {
    let at = match key {
        Key::Schema => envelope.schema,
        Key::SourceDatabase => source.database,
        Key::SourceSchema => source.schema,
        Key::SourceTable => source.table,
        Key::SourceProperties => envelope.source,
        Key::IngestionTimestamp | Key::SourceTimestamp => {
            let millis = if key == Key::IngestionTimestamp { envelope.ts_ms } else { source.ts_ms };
            return match (millis, &mut column.values) {
                (Some(millis), Values::Timestamp { values, precision, .. }) => {
                    let nanos = millis.rem_euclid(1000) as u32 * 1_000_000;
                    let value = to_unit(millis.div_euclid(1000), nanos, *precision)
                        .ok_or_else(|| bad_value(0, "the value does not fit TIMESTAMP_LTZ"))?;
                    values.push(value);
                    column.mark();
                    Ok(())
                }
                _ => column.append_null(0),
            };
        }
    };
    match at {
        Some(at) => {
            scanner.seek(at);
            let rules = Rules {
                timestamps: crate::TimestampStyle::Any,
                ignore_errors: false,
                fail_on_missing: false,
                change: true,
                base64_decimals: true,
                times_in_micros: false,
            };
            append_json(column, scanner, &rules)
        }
        None => column.append_null(0),
    }
}

impl Decoder for DebeziumDecoder {
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
        let metadata = self.metadata.iter().map(|(_, c)| c.bytes()).sum::<usize>();
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
        if self.metadata.is_empty() {
            return Ok(ChangeBatch::new(data, kinds));
        }
        let rows = data.num_rows();
        let mut arrays = data.columns().to_vec();
        for (_, column) in &mut self.metadata {
            arrays.push(column.finish()?);
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|e| Error::internal("decoded columns do not form a batch").with_source(e))?;
        Ok(ChangeBatch::new(batch, kinds))
    }
}
