//! StarRocks as the sink of a CDC pipeline: makes and changes tables, and hands out a sink for each.

mod rows;
pub mod types;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use starweir_engine::status::TableCounters;
use starweir_engine::{Applied, CdcSink, Chunk, Encoder, Sink, SinkContext, Token, TokenState, Writer};
use starweir_model::option::OptionError;
use starweir_model::{
    Epoch, Error, ErrorKind, OptionDef, OptionType, Options, Result, SchemaChange, TableId, TableName, TableSchema,
};
use starweir_starrocks::{Client, ClientConfig, Metadata, ddl};

use self::rows::{Turning, load_schema};
pub use self::types::TableOptions;
use super::options::SinkOptions;
use super::sink::{History, StarRocksSink};
use crate::registry::{Changelog, SinkRequest};

/// Every option of the sink. Those of the Flink CDC connector, of its managed flavour, and `sink.version`.
pub fn definitions() -> Vec<OptionDef> {
    use OptionDef as O;
    use OptionType as T;
    const BIG: i64 = i64::MAX;
    vec![
        O::required(
            "jdbc-url",
            T::Text,
            "Query addresses of the FEs, `jdbc:mysql://fe1:9030,fe2:9030`: tables are made and changed there.",
        ),
        O::required("load-url", T::Text, "HTTP addresses of the FEs, `fe1:8030;fe2:8030`."),
        O::required("username", T::Text, "User; needs to create, alter and load."),
        O::required("password", T::Secret, "The user's password; may be empty."),
        O::optional(
            "sink.semantic",
            T::Choice(&["at-least-once", "exactly-once"]),
            "Delivery; exactly-once by prepared transactions, at-least-once as upstream.",
        )
        .with_default("at-least-once"),
        O::optional(
            "sink.version",
            T::Choice(&["V1", "V2", "AUTO"]),
            "As of the SQL connector: V1 with exactly-once keeps a journal.",
        )
        .with_default("AUTO"),
        O::optional("sink.label-prefix", T::Text, "Begins every label."),
        O::optional("sink.connect.timeout-ms", T::Int(1, BIG), "Milliseconds to connect.").with_default("30000"),
        O::optional("sink.wait-for-continue.timeout-ms", T::Int(1, BIG), "Milliseconds to wait for `100 Continue`.")
            .with_default("30000"),
        O::optional(
            "sink.socket.timeout-ms",
            T::Int(-1, BIG),
            "Milliseconds without a byte from the server; -1: the load's own timeout and a minute.",
        )
        .with_default("-1"),
        O::optional(
            "sink.buffer-flush.max-bytes",
            T::Size,
            "At-least-once: commits a table at the latest after so many bytes.",
        )
        .with_default("157286400"),
        O::optional(
            "sink.buffer-flush.max-rows",
            T::Int(64_000, 5_000_000),
            "At-least-once: commits a table at the latest after so many rows.",
        )
        .with_default("500000"),
        O::optional(
            "sink.buffer-flush.interval-ms",
            T::Int(1, 3_600_000),
            "At-least-once: commits at the latest after so many milliseconds; an epoch's end commits too.",
        )
        .with_default("300000"),
        O::optional("sink.max-retries", T::Int(0, 1000), "Repeats of a call under its same label.").with_default("3"),
        O::optional("sink.scan-frequency.ms", T::Int(1, BIG), "Accepted; nothing is polled here.").with_default("50"),
        O::optional("sink.io.thread-count", T::Int(1, BIG), "Accepted; one writer loads a table.").with_default("2"),
        O::optional(
            "sink.at-least-once.use-transaction-stream-load",
            T::Bool,
            "At-least-once: several requests per commit through the transaction interface.",
        )
        .with_default("true"),
        O::optional("sink.metric.histogram-window-size", T::Int(1, BIG), "Accepted; see --metrics.")
            .with_default("100"),
        O::optional(
            "sink.properties.",
            T::Prefix,
            "Any Stream Load header. What describes the body (format, strip_outer_array, …) is ours to say. strict_mode is \
             true unless set: false lets the server store NULL where a value does not fit, as with Flink CDC.",
        ),
        O::optional(
            "table.create.num-buckets",
            T::Int(1, BIG),
            "Buckets of tables that are made; the server decides when absent.",
        ),
        O::optional(
            "table.create.properties.",
            T::Prefix,
            "Properties of tables that are made, such as `replication_num`.",
        ),
        O::optional("table.schema-change.timeout", T::Duration, "How long a change of a table's shape may take.")
            .with_default("30 min"),
        O::optional(
            "unicode-char.max-bytes",
            T::Int(1, 4),
            "Bytes a character may take: CHAR and VARCHAR lengths are multiplied by it. 4 is what utf8mb4 needs.",
        )
        .with_default("3"),
    ]
}

/// Options of this sink that the sink of a single table takes as they are.
const HANDED_ON: &[&str] = &[
    "jdbc-url",
    "load-url",
    "username",
    "password",
    "sink.semantic",
    "sink.version",
    "sink.label-prefix",
    "sink.connect.timeout-ms",
    "sink.wait-for-continue.timeout-ms",
    "sink.socket.timeout-ms",
    "sink.buffer-flush.max-bytes",
    "sink.buffer-flush.max-rows",
    "sink.buffer-flush.interval-ms",
    "sink.max-retries",
    "sink.at-least-once.use-transaction-stream-load",
];

/// What is kept of a table over its sinks.
type Kept = (Arc<TableCounters>, Arc<History>);

/// The StarRocks behind a pipeline.
pub struct StarRocksPipeline {
    client: Client,
    /// Options of every table's sink.
    handed_on: Vec<(String, String)>,
    tables: TableOptions,
    change_limit: Duration,
    job: String,
    zone: String,
    place: String,
    /// By table, for as long as the process lives.
    histories: Mutex<HashMap<TableName, Kept>>,
}

impl StarRocksPipeline {
    /// `job` is the pipeline's name, `zone` its `local-time-zone` as an IANA name.
    ///
    /// # Errors
    /// Options that are wrong, all at once.
    pub fn new<'a>(
        given: impl IntoIterator<Item = (&'a str, &'a str)>,
        job: &str,
        zone: &str,
    ) -> Result<Self, Vec<OptionError>> {
        let options = Options::parse(&definitions(), given)?;
        let mut handed_on: Vec<(String, String)> = HANDED_ON
            .iter()
            .filter_map(|name| options.text(name).map(|value| ((*name).to_owned(), value.to_owned())))
            .collect();
        handed_on.extend(
            options
                .group("sink.properties.")
                .filter(|(name, _)| !["format", "strip_outer_array", "ignore_json_size", "jsonpaths"].contains(name))
                .map(|(name, value)| (format!("sink.properties.{name}"), value.to_owned())),
        );
        handed_on.push(("sink.properties.format".into(), "json".into()));
        // The server's default turns values that do not fit (a text too long) into NULL without a word.
        if options.group("sink.properties.").all(|(name, _)| name != "strict_mode") {
            handed_on.push(("sink.properties.strict_mode".into(), "true".into()));
        }
        let wrong = |e: Error| vec![OptionError { option: "load-url".into(), message: e.chain(), hint: None }];
        let config = ClientConfig::new(options.must("load-url"))
            .and_then(|c| c.with_jdbc_url(options.must("jdbc-url")))
            .map_err(wrong)?
            .with_login(options.must("username"), options.must("password"));
        Ok(Self {
            client: Client::new(config).map_err(wrong)?,
            handed_on,
            tables: TableOptions {
                buckets: options.int("table.create.num-buckets").and_then(|n| u32::try_from(n).ok()),
                properties: options
                    .group("table.create.properties.")
                    .map(|(k, v)| (k.to_owned(), v.to_owned()))
                    .collect(),
                bytes_per_character: options.int("unicode-char.max-bytes").unwrap_or(3) as u32,
            },
            change_limit: options.duration("table.schema-change.timeout").unwrap_or(Duration::from_secs(1800)),
            job: job.to_owned(),
            zone: zone.to_owned(),
            place: options.must("load-url").to_owned(),
            histories: Mutex::default(),
        })
    }

    fn metadata(&self) -> Result<Metadata> {
        self.client.metadata()
    }

    async fn create(&self, name: &TableName, schema: &TableSchema) -> Result<()> {
        let metadata = self.metadata()?;
        metadata.create_database(&name.database).await?;
        if metadata.table_exists(name).await? {
            return Ok(());
        }
        metadata.create_table(&types::table(name, schema, &self.tables)?).await
    }

    async fn change(&self, change: &SchemaChange, before: Option<&TableSchema>) -> Result<()> {
        let name = table_name(change.table())?;
        let metadata = self.metadata()?;
        let is_key = |column: &str| before.is_some_and(|schema| schema.primary_keys.iter().any(|k| k == column));
        match change {
            SchemaChange::CreateTable { schema, .. } => self.create(&name, schema).await,
            SchemaChange::AddColumn { columns, .. } => {
                // StarRocks fills the rows that are there: a NOT NULL column without a default could not be added.
                let columns: Vec<_> = columns
                    .iter()
                    .map(|added| {
                        let mut column = types::column(&added.column, false, &self.tables);
                        column.nullable |= column.default.is_none();
                        column
                    })
                    .collect();
                metadata.add_columns(&name, &columns, self.change_limit).await
            }
            SchemaChange::DropColumn { columns, .. } => metadata.drop_columns(&name, columns, self.change_limit).await,
            SchemaChange::AlterColumnType { types: changed, comments, .. } => {
                let found = metadata
                    .describe(&name)
                    .await?
                    .ok_or_else(|| Error::refused(format!("table {name} does not exist")))?;
                for (column, data_type) in changed {
                    let known = before.and_then(|schema| schema.column(column));
                    let mut declared = known
                        .cloned()
                        .unwrap_or_else(|| starweir_model::TableColumn::new(column.clone(), data_type.clone()));
                    declared.data_type = data_type.clone();
                    if let Some((_, text)) = comments.iter().find(|(name, _)| name == column) {
                        declared.comment = Some(text.clone());
                    }
                    let key = is_key(column);
                    let mut definition = types::column(&declared, key, &self.tables);
                    definition.nullable &= !key;
                    let real = found.column(column);
                    if real.is_some_and(|real| {
                        real.data_type == definition.data_type && (real.nullable || !definition.nullable)
                    }) {
                        continue;
                    }
                    // The server never takes NOT NULL back on, and rows may hold NULLs by now.
                    definition.nullable |= real.is_some_and(|real| real.nullable);
                    metadata.modify_column(&name, &definition, self.change_limit).await?;
                }
                Ok(())
            }
            SchemaChange::RenameColumn { names, .. } => {
                for (old, new) in names {
                    let found = metadata
                        .describe(&name)
                        .await?
                        .ok_or_else(|| Error::refused(format!("table {name} does not exist")))?;
                    // Done by an earlier attempt.
                    if found.column(old).is_none() && found.column(new).is_some() {
                        continue;
                    }
                    metadata.execute(&ddl::rename_column(&name, old, new)).await?;
                }
                Ok(())
            }
            SchemaChange::TruncateTable { .. } => metadata.execute(&ddl::truncate_table(&name)).await,
            SchemaChange::DropTable { .. } => metadata.execute(&ddl::drop_table(&name, true)).await,
            SchemaChange::AlterTableComment { comment, .. } => {
                let sql = format!("ALTER TABLE {} COMMENT = {}", ddl::quoted_table(&name), ddl::text(comment));
                metadata.execute(&sql).await
            }
        }
    }
}

/// Database and table; a namespace has no place in StarRocks.
fn table_name(id: &TableId) -> Result<TableName> {
    match &id.schema {
        Some(database) => Ok(TableName::new(database.clone(), id.table.clone())),
        None => {
            Err(Error::user(format!("table {id} has no database")).with_hint("route it: `sink-table: database.table`"))
        }
    }
}

#[async_trait]
impl CdcSink for StarRocksPipeline {
    fn name(&self) -> String {
        format!("starrocks {}", self.place)
    }

    fn table(&self, table: &TableId, schema: &TableSchema) -> Result<Arc<dyn Sink>> {
        let name = table_name(table)?;
        let load = load_schema(schema);
        let mut options = self.handed_on.clone();
        options.push(("database-name".into(), name.database.clone()));
        options.push(("table-name".into(), name.table.clone()));
        // A table that is gone by now has no columns left; only its transactions matter.
        let changelog = if schema.columns.is_empty() { Changelog::AppendOnly } else { Changelog::Retract };
        let request = SinkRequest {
            table: &name.table,
            schema: &load,
            options: &options,
            changelog,
            job: &self.job,
            checkpoint_interval: Duration::ZERO,
            zone: &self.zone,
        };
        let parsed = SinkOptions::parse(&request).map_err(|errors| {
            errors.into_iter().next().map_or_else(|| Error::internal("no error in a list of errors"), Error::from)
        })?;
        let (counters, history) = self
            .histories
            .lock()
            .entry(name.clone())
            .or_insert_with(|| (TableCounters::named(name.to_string()), Arc::default()))
            .clone();
        let inner = StarRocksSink::with_history(&request, parsed, counters, history)?;
        Ok(Arc::new(CapturedTable { inner, schema: schema.clone() }))
    }

    async fn apply(&self, change: &SchemaChange, before: Option<&TableSchema>) -> Result<Applied> {
        match self.change(change, before).await {
            Ok(()) => Ok(Applied::Done),
            // The server understood and said no.
            Err(error) if error.kind == ErrorKind::Refused => Ok(Applied::Unsupported(error.chain())),
            Err(error) => Err(error),
        }
    }

    async fn read_column(&self, table: &TableId, schema: &TableSchema, column: &str) -> Result<Vec<String>> {
        let name = table_name(table)?;
        let metadata = self.metadata()?;
        if !metadata.table_exists(&name).await? {
            return Ok(Vec::new());
        }
        let order: Vec<String> = schema.primary_keys.iter().map(|key| ddl::quoted(key)).collect();
        let (column, from, order) = (ddl::quoted(column), ddl::quoted_table(&name), order.join(", "));
        let rows = metadata.query(&format!("SELECT {column} FROM {from} ORDER BY {order}")).await?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }
}

/// The sink of one captured table.
struct CapturedTable {
    inner: StarRocksSink,
    schema: TableSchema,
}

#[async_trait]
impl Sink for CapturedTable {
    fn name(&self) -> String {
        self.inner.name()
    }
    fn counters(&self) -> Arc<TableCounters> {
        self.inner.counters()
    }
    fn delivery(&self) -> String {
        self.inner.delivery()
    }
    async fn check(&self) -> Result<()> {
        self.inner.check().await
    }
    fn encoder(&self) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(Turning::new(self.inner.encoder()?, &self.schema)))
    }
    async fn writer(&self, context: &SinkContext, epoch: Epoch) -> Result<Box<dyn Writer>> {
        self.inner.writer(context, epoch).await
    }
    async fn inspect(&self, context: &SinkContext, token: &Token) -> Result<TokenState> {
        self.inner.inspect(context, token).await
    }
    async fn commit(&self, context: &SinkContext, token: &Token) -> Result<()> {
        self.inner.commit(context, token).await
    }
    async fn abort(&self, context: &SinkContext, token: &Token) -> Result<()> {
        self.inner.abort(context, token).await
    }
    async fn refusal(&self, context: &SinkContext, rows: Chunk) -> Result<Option<Error>> {
        self.inner.refusal(context, rows).await
    }
    async fn abort_lingering(&self, context: &SinkContext, last: Epoch, generations: &[u64]) -> Result<()> {
        self.inner.abort_lingering(context, last, generations).await
    }
}
