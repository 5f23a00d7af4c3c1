//! The `values` connector: a source of events written by hand and a sink that prints, so that a pipeline can be tried
//! without a database.

pub mod events;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use indexmap::IndexMap;
use parking_lot::Mutex;
use serde_json::Value as Node;
use starweir_engine::status::TableCounters;
use starweir_engine::{
    Applied, CdcEvent, CdcPolled, CdcReader, CdcSink, CdcSource, Chunk, Encoder, Sink, SinkContext, TableRows, Token,
    TokenState, Writer,
};
use starweir_model::option::OptionError;
use starweir_model::{
    ChangeBatch, Clock, DataType, Epoch, Error, LogicalType, Offset, OptionDef, OptionType, Options, Result,
    SchemaChange, TableId, TableSchema,
};

use self::events::Event;
use crate::evolution::schema;
use crate::print;
use crate::rows::{changes_of, metadata_of};

const SETS: &str = include_str!("sets.yaml");

/// Options of the source.
pub fn source_definitions() -> Vec<OptionDef> {
    use OptionDef as O;
    use OptionType as T;
    vec![
        O::optional("event-set.id", T::Text, "Which of the built-in event sets to read.")
            .with_default("SINGLE_SPLIT_SINGLE_TABLE"),
        O::optional("events.file", T::Text, "A YAML file of events to read instead."),
        O::optional("failover.enabled", T::Bool, "Accepted; there is nothing to fail over.").with_default("false"),
    ]
}

/// Options of the sink.
pub fn sink_definitions() -> Vec<OptionDef> {
    use OptionDef as O;
    use OptionType as T;
    vec![
        O::optional("print.enabled", T::Bool, "Prints every event to standard output.").with_default("true"),
        O::optional("materialized.in.memory", T::Bool, "Accepted.").with_default("false"),
        O::optional("sink.api", T::Choice(&["SINK_FUNCTION", "SINK_V2"]), "Accepted; there is one implementation.")
            .with_default("SINK_V2"),
        O::optional("error.on.schema.change", T::Bool, "Any change of a table's shape is refused.")
            .with_default("false"),
    ]
}

/// A source of events written by hand.
pub struct ValuesSource {
    name: String,
    events: Vec<Event>,
}

impl ValuesSource {
    /// `read` reads a file; handed in, because files are outside.
    pub fn new<'a>(
        given: impl IntoIterator<Item = (&'a str, &'a str)>,
        read: impl Fn(&str) -> std::io::Result<String>,
    ) -> Result<Self, Vec<OptionError>> {
        let options = Options::parse(&source_definitions(), given)?;
        let wrong = |option: &str, message: String| vec![OptionError { option: option.into(), message, hint: None }];
        if let Some(path) = options.text("events.file") {
            let text = read(path).map_err(|e| wrong("events.file", format!("{path} cannot be read: {e}")))?;
            let events = events::parse(&text).map_err(|e| wrong("events.file", format!("{path}: {}", e.chain())))?;
            return Ok(Self { name: format!("values {path}"), events });
        }
        let id = options.must("event-set.id");
        let sets: BTreeMap<String, Vec<Vec<Node>>> =
            serde_saphyr::from_str(SETS).map_err(|e| wrong("event-set.id", format!("the event sets: {e}")))?;
        let Some(splits) = sets.get(id) else {
            let known: Vec<&str> = sets.keys().map(String::as_str).collect();
            return Err(wrong(
                "event-set.id",
                format!("there is no event set '{id}'; there are: {}", known.join(", ")),
            ));
        };
        let mut all = Vec::new();
        for split in splits {
            all.extend(events::from_nodes(split).map_err(|e| wrong("event-set.id", e.chain()))?);
        }
        Ok(Self { name: format!("values {id}"), events: all })
    }

    /// The tables that are there before an event, with their schemas of then.
    fn schemas_before(&self, next: usize) -> Result<Vec<CdcEvent>> {
        let mut schemas: IndexMap<TableId, TableSchema> = IndexMap::new();
        for event in self.events.iter().take(next) {
            match event {
                Event::Schema(SchemaChange::DropTable { table }) => {
                    schemas.shift_remove(table);
                }
                Event::Schema(change) => {
                    let after = schema::apply(schemas.get(change.table()), change)?;
                    schemas.insert(change.table().clone(), after);
                }
                Event::Change { .. } => {}
            }
        }
        let create = |(table, schema)| CdcEvent::Schema(SchemaChange::CreateTable { table, schema });
        Ok(schemas.into_iter().map(create).collect())
    }

    /// A source of these events.
    pub fn of(name: impl Into<String>, events: Vec<Event>) -> Self {
        Self { name: name.into(), events }
    }
}

#[async_trait]
impl CdcSource for ValuesSource {
    fn identity(&self) -> String {
        self.name.clone()
    }

    fn is_bounded(&self) -> bool {
        true
    }

    /// Whatever the events bring; all that is known of it is its text, but for the times that captures give.
    fn metadata(&self) -> Vec<(String, DataType)> {
        let mut known: Vec<(String, DataType)> = Vec::new();
        for event in &self.events {
            let Event::Change { change, .. } = event else { continue };
            for (name, _) in &change.meta {
                if !known.iter().any(|(seen, _)| seen == name) {
                    let of = if name == "op_ts" { DataType::not_null(LogicalType::BigInt) } else { DataType::string() };
                    known.push((name.clone(), of));
                }
            }
        }
        known
    }

    async fn discover(&self) -> Result<Vec<(TableId, TableSchema)>> {
        let creations = self.events.iter().filter_map(|event| match event {
            Event::Schema(SchemaChange::CreateTable { table, schema }) => Some((table.clone(), schema.clone())),
            _ => None,
        });
        let mut tables: Vec<(TableId, TableSchema)> = Vec::new();
        for (table, schema) in creations {
            if !tables.iter().any(|(known, _)| *known == table) {
                tables.push((table, schema));
            }
        }
        Ok(tables)
    }

    async fn open(&self, restored: Option<&Offset>) -> Result<Box<dyn CdcReader>> {
        let next = match restored {
            None => 0,
            Some(offset) => offset.0.parse().map_err(|_| Error::internal("the saved position is not a number"))?,
        };
        let announced = self.schemas_before(next)?;
        Ok(Box::new(ValuesReader { events: self.events.clone(), next, announced }))
    }
}

struct ValuesReader {
    events: Vec<Event>,
    next: usize,
    /// What a restored reader says first.
    announced: Vec<CdcEvent>,
}

#[async_trait]
impl CdcReader for ValuesReader {
    async fn poll(&mut self, _wait: Duration) -> Result<CdcPolled> {
        let state_before = Some(self.state()?);
        if !self.announced.is_empty() {
            let events = std::mem::take(&mut self.announced);
            return Ok(CdcPolled { events, bytes: 0, boundary: true, state_before, finished: false });
        }
        let events: Vec<CdcEvent> = match self.events.get(self.next) {
            None => Vec::new(),
            Some(Event::Schema(change)) => vec![CdcEvent::Schema(change.clone())],
            Some(Event::Change { table, change }) => {
                vec![CdcEvent::Rows { table: table.clone(), rows: TableRows::Changes(vec![change.clone()]) }]
            }
        };
        self.next += events.len();
        let finished = self.next >= self.events.len();
        Ok(CdcPolled { events, bytes: 0, boundary: true, state_before, finished })
    }

    fn state(&self) -> Result<Offset> {
        Ok(Offset(self.next.to_string()))
    }

    fn place(&self) -> String {
        format!("event {}", self.next)
    }
}

/// Takes a line at a time.
pub type Line = Arc<dyn Fn(&str) + Send + Sync>;

/// A sink that prints every event.
pub struct ValuesSink {
    print: Option<Line>,
    refuse_changes: bool,
    /// By table, whatever shape it has.
    counters: Mutex<BTreeMap<TableId, Arc<TableCounters>>>,
}

impl ValuesSink {
    pub fn new<'a>(given: impl IntoIterator<Item = (&'a str, &'a str)>, line: Line) -> Result<Self, Vec<OptionError>> {
        let options = Options::parse(&sink_definitions(), given)?;
        Ok(Self {
            print: options.bool("print.enabled").unwrap_or(true).then_some(line),
            refuse_changes: options.bool("error.on.schema.change").unwrap_or(false),
            counters: Mutex::default(),
        })
    }
}

#[async_trait]
impl CdcSink for ValuesSink {
    fn name(&self) -> String {
        "values".into()
    }

    fn table(&self, table: &TableId, schema: &TableSchema) -> Result<Arc<dyn Sink>> {
        let counters = self
            .counters
            .lock()
            .entry(table.clone())
            .or_insert_with(|| TableCounters::named(table.to_string()))
            .clone();
        Ok(Arc::new(PrintedTable { table: table.clone(), schema: schema.clone(), print: self.print.clone(), counters }))
    }

    fn wants_metadata(&self) -> bool {
        true
    }

    async fn apply(&self, change: &SchemaChange, _before: Option<&TableSchema>) -> Result<Applied> {
        if self.refuse_changes && !matches!(change, SchemaChange::CreateTable { .. }) {
            return Ok(Applied::Unsupported(
                "Rejected schema change event since error.on.schema.change is enabled.".into(),
            ));
        }
        if let Some(print) = &self.print {
            print(&print::schema_change(change));
        }
        Ok(Applied::Done)
    }
}

struct PrintedTable {
    table: TableId,
    schema: TableSchema,
    print: Option<Line>,
    counters: Arc<TableCounters>,
}

#[async_trait]
impl Sink for PrintedTable {
    fn name(&self) -> String {
        self.table.to_string()
    }

    fn counters(&self) -> Arc<TableCounters> {
        self.counters.clone()
    }

    fn delivery(&self) -> String {
        "at-least-once (printed)".into()
    }

    fn encoder(&self) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(Printer {
            table: self.table.clone(),
            schema: self.schema.clone(),
            print: self.print.clone(),
            pending: Chunk::default(),
        }))
    }

    async fn writer(&self, context: &SinkContext, _epoch: Epoch) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Counting { counters: self.counters.clone(), rows: 0, clock: context.clock.clone() }))
    }

    async fn inspect(&self, _context: &SinkContext, _token: &Token) -> Result<TokenState> {
        Ok(TokenState::Committed)
    }

    async fn commit(&self, _context: &SinkContext, _token: &Token) -> Result<()> {
        Ok(())
    }

    async fn abort(&self, _context: &SinkContext, _token: &Token) -> Result<()> {
        Ok(())
    }

    async fn abort_lingering(&self, _context: &SinkContext, _last: Epoch, _generations: &[u64]) -> Result<()> {
        Ok(())
    }
}

/// Prints while it "encodes": that is where the order of all tables is still the source's.
struct Printer {
    table: TableId,
    schema: TableSchema,
    print: Option<Line>,
    pending: Chunk,
}

impl Encoder for Printer {
    fn encode(&mut self, batch: &ChangeBatch) -> Result<()> {
        for change in changes_of(&self.schema, batch, &metadata_of(&self.schema, batch))? {
            if let Some(print) = &self.print {
                print(&print::row_change(&self.table, &self.schema, &change));
            }
            self.pending.rows += 1;
            if change.after.is_some() {
                self.pending.upserts += 1;
            } else {
                self.pending.deletes += 1;
            }
        }
        Ok(())
    }

    fn buffered_bytes(&self) -> usize {
        0
    }

    fn take(&mut self) -> Option<Chunk> {
        (self.pending.rows > 0).then(|| std::mem::take(&mut self.pending))
    }
}

struct Counting {
    counters: Arc<TableCounters>,
    rows: u64,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Writer for Counting {
    async fn write(&mut self, chunk: Chunk) -> Result<()> {
        self.counters.add_load(chunk.rows, chunk.upserts, chunk.deletes, 0);
        self.rows += chunk.rows;
        Ok(())
    }

    async fn prepare(&mut self, _epoch: Epoch) -> Result<Vec<Token>> {
        if self.rows > 0 {
            self.counters.add_transaction(std::mem::take(&mut self.rows), self.clock.now_ms());
        }
        Ok(Vec::new())
    }
}
