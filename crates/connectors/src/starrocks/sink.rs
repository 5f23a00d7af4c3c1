//! A StarRocks table as a sink: checks, labels, recovery.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{Offset as _, TimeZone};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use starweir_engine::status::TableCounters;
use starweir_engine::{Chunk, Encoder, Sink, SinkContext, Token, TokenState, Writer};
use starweir_model::{Epoch, Error, Label, Result, Schema};
use starweir_starrocks::ddl::TableModel;
use starweir_starrocks::encode::{CsvOptions, JsonColumn, JsonLayout, ZoneOffset};
use starweir_starrocks::{
    Client, Congestion, CsvEncoder, JsonEncoder, LabelState, LoadEncoder, Operations, RetryPolicy, StarRocksType,
    TableDescription,
};

use super::journal::{self, JournalToken, JournalWriter};
use super::labels::Labels;
use super::options::{Delivery, Format, SinkOptions};
use super::rows::Rows;
use super::target;
use super::trial;
use super::writer::{LoadWriter, TransactionWriter};
use crate::blackhole::CountingEncoder;
use crate::registry::{Changelog, SinkRequest};

pub(super) struct StarRocksSink {
    pub(super) shared: Arc<Shared>,
    schema: Schema,
    changelog: Changelog,
    zone: chrono_tz::Tz,
}

/// What outlives the sinks of one table within a process: a table that changes its shape gets a new sink.
#[derive(Default)]
pub(super) struct History {
    /// Commits begun with at-least-once delivery; each has a label of its own.
    commits: AtomicU64,
}

impl History {
    /// The number of the next commit, from 1.
    pub(super) fn next_commit(&self) -> u64 {
        self.commits.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// What the sink and its writers have in common.
pub(super) struct Shared {
    pub options: SinkOptions,
    pub client: Client,
    pub counters: Arc<TableCounters>,
    pub history: Arc<History>,
    /// The real table, once checked.
    pub found: Mutex<Option<TableDescription>>,
    /// What was decided after the server's version was seen.
    delivery: Mutex<Delivery>,
}

/// A prepared transaction, as it stands in a manifest.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum SinkToken {
    Prepared { label: Label, rows: u64 },
    Journal(JournalToken),
}

impl SinkToken {
    pub(super) fn text(&self) -> Result<Token> {
        serde_json::to_string(self)
            .map(Token)
            .map_err(|e| Error::internal("a token could not be written").with_source(e))
    }

    fn parse(token: &Token) -> Result<Self> {
        serde_json::from_str(&token.0)
            .map_err(|e| Error::internal("a token of the manifest cannot be read").with_source(e))
    }
}

impl Shared {
    pub(super) fn delivery(&self) -> Delivery {
        *self.delivery.lock()
    }

    pub(super) fn labels(&self, context: &SinkContext) -> Labels {
        Labels::new(self.options.label_prefix.as_deref(), &context.job_id, &self.options.table)
    }

    /// Repeats as the options say; waits that the server asks for have no limit but show in the status.
    pub(super) fn policy(&self) -> RetryPolicy {
        let counters = self.counters.clone();
        RetryPolicy {
            attempts_max: self.options.retries + 1,
            pause_max: self.options.retry_pause_max,
            congested_attempts_max: u32::MAX,
            observer: starweir_starrocks::Observer(Some(Arc::new(move |why, pause: Duration| {
                let why = match why {
                    Congestion::InProcessing => "another call on the label is running",
                    Congestion::TooManyVersions => "too many versions",
                    Congestion::TooManyTransactions => "too many running transactions",
                    Congestion::Memory => "a node is short of memory",
                };
                counters.retries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                *counters.waiting.lock() = Some(format!("waits {} ms: {why}", pause.as_millis()));
            }))),
            commit_timeout_s: self.options.publish_timeout.map(|t| t.as_secs().max(1)),
            hide_values: self.options.sanitize,
            ..RetryPolicy::default()
        }
    }

    /// The wait, if any, is over.
    pub(super) fn flows(&self) {
        let mut waiting = self.counters.waiting.lock();
        if waiting.is_some() {
            *waiting = None;
        }
    }

    pub(super) fn count_attempts(&self, attempts: u32) {
        self.counters.retries.fetch_add(u64::from(attempts.saturating_sub(1)), std::sync::atomic::Ordering::Relaxed);
    }

    /// Headers of every load: the encoder's and the user's.
    pub(super) fn load_headers(&self, encoder: &[(String, String)]) -> Vec<(String, String)> {
        let mut headers = self.options.headers.clone();
        for (name, value) in encoder {
            let value = match (name.as_str(), &self.options.columns) {
                ("columns", Some(columns)) => merge_columns(columns, value),
                _ => value.clone(),
            };
            if !headers.iter().any(|(k, _)| k.eq_ignore_ascii_case(name)) {
                headers.push((name.clone(), value));
            }
        }
        headers
    }

    pub(super) fn rejected(&self, error: Error) -> Error {
        error.context(format!("table {} at {}", self.options.table, self.options.place()))
    }
}

/// The user's `columns` with the `__op` that the encoder writes last.
fn merge_columns(users: &str, encoders: &str) -> String {
    if encoders.ends_with("__op") && !users.contains("__op") { format!("{users},__op") } else { users.to_owned() }
}

impl StarRocksSink {
    pub(super) fn new(request: &SinkRequest<'_>, options: SinkOptions) -> Result<Self> {
        let counters = TableCounters::named(options.table.to_string());
        Self::with_history(request, options, counters, Arc::default())
    }

    /// A sink that goes on counting where an earlier one of the same table stopped.
    pub(super) fn with_history(
        request: &SinkRequest<'_>,
        options: SinkOptions,
        counters: Arc<TableCounters>,
        history: Arc<History>,
    ) -> Result<Self> {
        let zone = request.zone.parse().map_err(|_| Error::user(format!("'{}' is not a time zone", request.zone)))?;
        let client = Client::new(options.client.clone())?;
        let delivery = Mutex::new(options.delivery);
        let shared = Shared { client, counters, history, options, found: Mutex::new(None), delivery };
        Ok(Self { shared: Arc::new(shared), schema: request.schema.clone(), changelog: request.changelog, zone })
    }

    /// Columns as the table spells them, and whether texts go in as JSON.
    fn columns(&self) -> Vec<(String, bool)> {
        let found = self.shared.found.lock();
        let describe = |name: &str| {
            let real = found.as_ref().and_then(|t| t.column(name));
            let embed = real.is_some_and(|c| {
                matches!(
                    c.data_type,
                    StarRocksType::Json | StarRocksType::Array(_) | StarRocksType::Map(..) | StarRocksType::Struct(_)
                )
            });
            (real.map_or(name.to_owned(), |c| c.name.clone()), embed)
        };
        self.schema.columns.iter().map(|c| describe(&c.name)).collect()
    }

    fn load_encoder(&self) -> Result<Box<dyn LoadEncoder>> {
        let operations = if self.schema.primary_key.is_empty() { Operations::Append } else { Operations::Upsert };
        let zone = self.zone;
        let zone: ZoneOffset = Arc::new(move |seconds| {
            zone.timestamp_opt(seconds, 0).single().map_or(0, |t| t.offset().fix().local_minus_utc())
        });
        let columns = self.columns();
        Ok(match &self.shared.options.format {
            Format::Csv { column_separator, row_delimiter } => {
                let options = CsvOptions {
                    column_separator: column_separator.clone(),
                    row_delimiter: row_delimiter.clone(),
                    enclose: None,
                };
                let names = columns.into_iter().map(|(name, _)| name).collect();
                Box::new(CsvEncoder::new(names, options, operations)?.with_zone(zone))
            }
            Format::Json => {
                let columns = columns.into_iter().map(|(name, embed)| JsonColumn { name, embed }).collect();
                Box::new(JsonEncoder::new(columns, JsonLayout::Lines, operations).with_zone(zone))
            }
        })
    }
}

#[async_trait]
impl Sink for StarRocksSink {
    fn name(&self) -> String {
        self.shared.options.table.to_string()
    }

    fn counters(&self) -> Arc<TableCounters> {
        self.shared.counters.clone()
    }

    fn delivery(&self) -> String {
        self.shared.delivery().text().to_owned()
    }

    async fn check(&self) -> Result<()> {
        let options = &self.shared.options;
        if options.blackhole {
            return Ok(());
        }
        let metadata = self.shared.client.metadata()?;
        let place = |e: Error| e.context(format!("table {} cannot be looked up", options.table));
        if options.version_auto && self.shared.delivery() == Delivery::Prepared {
            let version = metadata.version().await.map_err(place)?;
            if !version.has_transactions() {
                *self.shared.delivery.lock() = Delivery::Journal;
            }
        }
        let found = metadata.describe(&options.table).await.map_err(place)?;
        let Some(found) = found else {
            let tables = metadata.tables(&options.table.database).await.unwrap_or_default();
            let near = starweir_model::nearest(&options.table.table, tables.iter().map(String::as_str));
            let hint = match near {
                Some(near) => format!("did you mean '{near}'?"),
                None => {
                    "create the table first; `starweir plan` prints the statement, and --local creates it by itself"
                        .into()
                }
            };
            return Err(
                Error::user(format!("table {} does not exist at {}", options.table, options.place())).with_hint(hint)
            );
        };
        if self.changelog != Changelog::AppendOnly && found.model != TableModel::Primary {
            return Err(Error::user(format!(
                "table {} is not a primary-key table, but the query updates and deletes rows ({})",
                options.table,
                self.changelog.name()
            ))
            .with_hint("updates and deletes need a StarRocks primary-key table"));
        }
        let partial = options.partial_update || options.columns.is_some();
        let updating = self.changelog != Changelog::AppendOnly;
        let problems = target::problems(&found, &self.schema, partial, updating);
        if !problems.is_empty() {
            return Err(Error::user(format!("table {} does not fit what is written into it", options.table))
                .with_source(problems.join("; ")));
        }
        *self.shared.found.lock() = Some(found);
        Ok(())
    }

    fn encoder(&self) -> Result<Box<dyn Encoder>> {
        if self.shared.options.blackhole {
            return Ok(Box::new(CountingEncoder::default()));
        }
        let send_update_before = self.shared.options.send_update_before;
        Ok(Box::new(Rows::new(self.load_encoder()?, self.schema.primary_key.clone(), send_update_before)))
    }

    async fn writer(&self, context: &SinkContext, epoch: Epoch) -> Result<Box<dyn Writer>> {
        let headers = self.shared.load_headers(&self.load_encoder()?.headers());
        let shared = self.shared.clone();
        Ok(match shared.delivery() {
            Delivery::Journal => Box::new(JournalWriter::new(shared, context, epoch, headers)?),
            Delivery::Loads => Box::new(LoadWriter::new(shared, context, headers)),
            Delivery::Transactions | Delivery::Prepared => {
                Box::new(TransactionWriter::new(shared, context, epoch, headers))
            }
        })
    }

    async fn inspect(&self, context: &SinkContext, token: &Token) -> Result<TokenState> {
        let (options, client) = (&self.shared.options, &self.shared.client);
        let policy = self.shared.policy();
        match SinkToken::parse(token)? {
            SinkToken::Prepared { label, .. } => {
                Ok(match client.resolve_label(&options.table, &label, &policy).await? {
                    LabelState::Committed | LabelState::Visible => TokenState::Committed,
                    LabelState::Prepared => TokenState::Prepared,
                    LabelState::Prepare => TokenState::InProgress,
                    LabelState::Aborted => TokenState::Aborted,
                    LabelState::Unknown => TokenState::Unknown,
                })
            }
            SinkToken::Journal(token) => {
                let keyed = !self.schema.primary_key.is_empty();
                journal::inspect(&self.shared, context, &token, keyed).await
            }
        }
    }

    async fn commit(&self, context: &SinkContext, token: &Token) -> Result<()> {
        let options = &self.shared.options;
        match SinkToken::parse(token)? {
            SinkToken::Prepared { label, rows } => {
                let resolved = self.shared.client.resolve_commit(&options.table, &label, &self.shared.policy()).await;
                let resolved = resolved.map_err(|e| self.shared.rejected(e))?;
                self.shared.flows();
                self.shared.count_attempts(resolved.attempts);
                self.shared.counters.add_transaction(rows, context.clock.now_ms());
                Ok(())
            }
            SinkToken::Journal(token) => journal::commit(&self.shared, context, &token).await,
        }
    }

    async fn abort(&self, context: &SinkContext, token: &Token) -> Result<()> {
        match SinkToken::parse(token)? {
            SinkToken::Prepared { label, .. } => {
                self.shared.client.resolve_rollback(&self.shared.options.table, &label, &self.shared.policy()).await?;
                Ok(())
            }
            SinkToken::Journal(token) => journal::discard(context, &token),
        }
    }

    async fn refusal(&self, context: &SinkContext, rows: Chunk) -> Result<Option<Error>> {
        let shared = &self.shared;
        if shared.options.blackhole || shared.delivery() == Delivery::Journal {
            return Ok(None);
        }
        let headers = shared.load_headers(&self.load_encoder()?.headers());
        let label = shared.labels(context).of_trial(shared.history.next_commit(), context.generation);
        trial::refusal(shared, label, headers, rows).await
    }

    async fn abort_lingering(&self, context: &SinkContext, last: Epoch, generations: &[u64]) -> Result<()> {
        if self.shared.options.blackhole {
            return Ok(());
        }
        let table = &self.shared.options.table;
        match self.shared.delivery() {
            Delivery::Prepared => {}
            Delivery::Journal => return journal::sweep(context, table),
            Delivery::Loads | Delivery::Transactions => return Ok(()),
        }
        let labels = self.shared.labels(context);
        let policy = self.shared.policy();
        // A writer that had no rows in the last epoch began its transaction under that epoch's number.
        for epoch in [last, last.next(), last.next().next()] {
            for &generation in generations {
                let label = labels.of_epoch(epoch, generation);
                match self.shared.client.resolve_label(table, &label, &policy).await? {
                    LabelState::Unknown | LabelState::Aborted => {}
                    LabelState::Prepare | LabelState::Prepared => {
                        self.shared.client.resolve_rollback(table, &label, &policy).await?;
                    }
                    LabelState::Committed | LabelState::Visible if epoch == last => {}
                    LabelState::Committed | LabelState::Visible => {
                        return Err(Error::refused(format!(
                            "table {table}: label {label} is committed, but no manifest says so"
                        ))
                        .with_hint("the state directory is older than the table (restored from a copy?); compare both, then start anew with --fresh"));
                    }
                }
            }
        }
        Ok(())
    }
}
