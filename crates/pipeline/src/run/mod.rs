//! Runs a pipeline: one captured source, sink tables that come and change as it goes.
//!
//! ```text
//! CdcReader ─► Flow (transform, route, evolution) ─► Encoder per sink table ─► queue ─► Writer per sink table
//! ```
//!
//! The reader, the flow and the encoders work on one thread of their own; each sink table's writer is a task. Epochs
//! end only where no source transaction is open, and before every change of a sink table's shape: everything written
//! in the old shape is committed first, then the change is applied, then rows go on.

mod careful;
mod resync;
mod sifting;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use starweir_engine::manifest::{Manifest, SourceState};
use starweir_engine::protocol::{Attempt, Protocol, Sinks, run_attempts};
use starweir_engine::run::FIRST_CUT_AFTER;
use starweir_engine::status::{CaptureStatus, SourceCounters};
use starweir_engine::{
    Applied, CdcEvent, CdcReader, CdcSink, CdcSource, CheckpointStore, Chunk, Encoder, EpochStep, JobEnd, JobStatus,
    RunOptions, Sink, SinkContext, Token,
};
use starweir_model::{
    ChangeBatch, Epoch, Error, ErrorKind, Offset, Result, SchemaChange, SplitId, TableId, TableSchema,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use self::careful::{Carefulness, EpochLetters};
use crate::evolution::SchemaState;
use crate::flow::Flow;
use crate::letters::{Letter, LetterBox, LetterFolder, LetterOptions};

/// The capture's position and the schemas of both sides, as splits of the one source in the manifest.
const POSITION: &str = "position";
const SCHEMAS: &str = "schemas";
const SOURCE: &str = "capture";
/// Encoded bytes of a table that are handed to its writer at once.
const CHUNK_BYTES: usize = 1 << 20;
/// Chunks that wait for a table's writer; with the above it bounds what a slow table holds.
const QUEUE_CHUNKS: usize = 8;
/// How long a poll waits for the first event.
const POLL_WAIT: Duration = Duration::from_millis(20);
/// An epoch ends early when it has read so much: bounds what a restart repeats and what one transaction loads.
const EPOCH_BYTES_MAX: u64 = 1 << 30;

/// How often the capture is asked where it stands, and the state directory what it is asked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Makes the flow of an attempt from the schemas that were saved.
pub type FlowFactory = Arc<dyn Fn(SchemaState) -> Result<Flow> + Send + Sync>;

/// Everything a pipeline runs with.
pub struct PipelineJob {
    pub name: String,
    pub source: Arc<dyn CdcSource>,
    pub sink: Arc<dyn CdcSink>,
    pub flow: FlowFactory,
    /// The file's rules in words, to tell what changed between two runs.
    pub plan: Vec<String>,
    /// Bounded pipelines only (`execution.runtime-mode: BATCH`): tables are created once, with the schema that holds
    /// everything.
    pub batch: bool,
    /// What becomes of rows that cannot be delivered. None: the job stops at them.
    pub letters: Option<LetterOptions>,
}

impl PipelineJob {
    /// The schema of a sink table as an attempt knows it; the table of letters is not one of the flow's.
    fn sink_schema(&self, table: &TableId, schemas: &SchemaState) -> TableSchema {
        match &self.letters {
            Some(LetterOptions { to: LetterBox::Table(letters), .. }) if letters == table => Letter::table_schema(),
            _ => schemas.sinks.get(table).cloned().unwrap_or_default(),
        }
    }
}

/// A status with a counter for the capture; tables come as they are seen.
pub fn new_status(job: &PipelineJob, options: &RunOptions) -> Arc<JobStatus> {
    Arc::new(JobStatus {
        name: job.name.clone(),
        started_ms: options.clock.now_ms(),
        sources: vec![Arc::new(SourceCounters::new(&job.source.identity(), 1))],
        ..JobStatus::default()
    })
}

/// Runs the pipeline until it ends, restarting it as its strategy says.
pub async fn run(
    job: &PipelineJob,
    store: &dyn CheckpointStore,
    status: &Arc<JobStatus>,
    options: &RunOptions,
) -> Result<JobEnd> {
    run_attempts(
        &Pipeline { job, careful: Carefulness::default(), state_changed: AtomicBool::new(false) },
        &job.name,
        store,
        status,
        options,
    )
    .await
}

struct Pipeline<'a> {
    job: &'a PipelineJob,
    careful: Carefulness,
    /// The attempt ended because the state was changed as asked.
    state_changed: AtomicBool,
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct SavedSchemas(SchemaState);

fn saved(manifest: &Manifest, split: &str) -> Option<Offset> {
    manifest.sources.get(SOURCE)?.offsets.get(&SplitId(split.to_owned())).cloned()
}

fn saved_schemas(manifest: &Manifest) -> Result<SchemaState> {
    match saved(manifest, SCHEMAS) {
        None => Ok(SchemaState::default()),
        Some(offset) => serde_json::from_str::<SavedSchemas>(&offset.0)
            .map(|saved| saved.0)
            .map_err(|e| Error::internal("the schemas of the saved state cannot be read").with_source(e)),
    }
}

#[async_trait]
impl Attempt for Pipeline<'_> {
    fn sinks(&self, manifests: &[Manifest]) -> Result<Sinks> {
        let mut sinks = Sinks::new();
        for manifest in manifests {
            let schemas = saved_schemas(manifest)?;
            for id in manifest.sinks.keys().filter(|id| !sinks.contains_key(*id)).collect::<Vec<_>>() {
                let table: TableId = id.parse()?;
                // A table that was dropped since may still have a transaction to end; its columns no longer matter.
                let schema = self.job.sink_schema(&table, &schemas);
                sinks.insert(id.clone(), self.job.sink.table(&table, &schema)?);
            }
            for (table, schema) in &schemas.sinks {
                if let Entry::Vacant(entry) = sinks.entry(table.to_string()) {
                    entry.insert(self.job.sink.table(table, schema)?);
                }
            }
        }
        Ok(sinks)
    }

    fn compare(&self, manifest: &Manifest) -> Result<Vec<String>> {
        let identity = self.job.source.identity();
        match manifest.sources.get(SOURCE) {
            Some(state) if state.identity != identity => {
                Err(Error::user(format!("the pipeline no longer fits the saved state of job {}", manifest.job_name))
                    .with_source(format!("its source was `{}` and is now `{identity}`", state.identity))
                    .with_hint("use another --state for the changed pipeline, or start anew with --fresh"))
            }
            _ if manifest.plans != self.job.plan => {
                Ok(vec!["the pipeline's rules changed; changes from the saved position on follow the new ones".into()])
            }
            _ => Ok(Vec::new()),
        }
    }

    fn deals_with(&self, error: &Error) -> Option<&'static str> {
        if self.state_changed.swap(false, Ordering::AcqRel) {
            return Some("the other tables go on");
        }
        let letters = self.job.letters.is_some() && error.kind == ErrorKind::Data && self.careful.begin();
        letters.then_some("reading the epoch again to find the rows")
    }

    async fn attempt(&self, protocol: Protocol<'_>, manifest: Option<Manifest>) -> Result<JobEnd> {
        let schemas = manifest.as_ref().map(saved_schemas).transpose()?.unwrap_or_default();
        let position = manifest.as_ref().and_then(|m| saved(m, POSITION));
        for sink in protocol.sinks.values() {
            protocol.status.add_table(sink.counters());
        }
        if manifest.as_ref().is_some_and(|m| m.finished) {
            return Ok(JobEnd::Finished);
        }
        let restored = manifest.is_some();
        let reader = self.job.source.open(position.as_ref()).await?;
        let position = match position {
            Some(position) => position,
            None => reader.state()?,
        };
        protocol.status.running.store(true, Ordering::Release);
        let mut running = Running {
            job: self.job,
            careful: &self.careful,
            state_changed: &self.state_changed,
            letters: EpochLetters::default(),
            protocol,
            flow: (self.job.flow)(schemas)?,
            reader,
            tables: IndexMap::new(),
            epoch: manifest.as_ref().map_or(Epoch::FIRST, |m| m.epoch.next()),
            recovered: manifest.as_ref().map_or(Epoch(0), |m| m.epoch),
            position,
            read_bytes: 0,
            creations: Vec::new(),
        };
        if !restored {
            // Start offsets such as "latest" must mean the same after a crash in the first epoch.
            let manifest = running.manifest(Epoch(0), &running.position, BTreeMap::new(), false)?;
            running.protocol.store.write(&manifest).await?;
        }
        if let Some(LetterOptions { to: LetterBox::Folder(folder), .. }) = &self.job.letters {
            LetterFolder(folder).forget_after(&running.protocol.context.job_id, running.recovered)?;
        }
        let ended = running.drive().await;
        ended.map_err(|error| match error.kind {
            ErrorKind::Data => {
                error.context(format!("the job stops at {} of {}", running.reader.place(), self.job.source.identity()))
            }
            _ => error,
        })
    }
}

/// A sink table that is being written.
struct Table {
    sink: Arc<dyn Sink>,
    encoder: Box<dyn Encoder>,
    writer: mpsc::Sender<ToWriter>,
    task: JoinHandle<()>,
    /// Whether it got rows in this epoch.
    dirty: bool,
}

enum ToWriter {
    Rows(Chunk),
    Prepare(Epoch, oneshot::Sender<Result<Vec<Token>>>),
}

impl Drop for Table {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Running<'a> {
    job: &'a PipelineJob,
    careful: &'a Carefulness,
    state_changed: &'a AtomicBool,
    letters: EpochLetters,
    protocol: Protocol<'a>,
    flow: Flow,
    reader: Box<dyn CdcReader>,
    tables: IndexMap<TableId, Table>,
    /// The epoch that is being written.
    epoch: Epoch,
    /// The epoch this attempt started after.
    recovered: Epoch,
    /// The capture's state at the last epoch's end.
    position: Offset,
    read_bytes: u64,
    /// Batch mode: tables announced before the first row.
    creations: Vec<(TableId, TableSchema)>,
}

impl Running<'_> {
    async fn drive(&mut self) -> Result<JobEnd> {
        let options = self.protocol.options;
        let stop = options.stop.clone();
        let interval = options.checkpoint_interval;
        let mut next_cut = Instant::now() + interval.min(FIRST_CUT_AFTER);
        let mut boundary = true;
        let mut next_look = Instant::now();
        let mut next_request = Instant::now();
        loop {
            if stop.level() > 1 {
                return Ok(JobEnd::Abandoned);
            }
            if boundary && Instant::now() >= next_request {
                next_request = Instant::now() + LOOK_INTERVAL;
                self.carry_out_request().await?;
            }
            if boundary && (stop.level() > 0 || Instant::now() >= next_cut || self.read_bytes >= EPOCH_BYTES_MAX) {
                let started = Instant::now();
                let state = self.reader.state()?;
                self.end_epoch(state, false).await?;
                next_cut = (started + interval).max(Instant::now() + options.checkpoint_pause_min);
                if stop.level() > 0 {
                    return Ok(JobEnd::Stopped);
                }
            }
            let wait = next_cut.saturating_duration_since(Instant::now()).min(POLL_WAIT);
            let polled = self.reader.poll(wait).await?;
            boundary = polled.boundary;
            if Instant::now() >= next_look {
                next_look = Instant::now() + LOOK_INTERVAL;
                *self.protocol.status.capture.lock() =
                    Some(CaptureStatus { lag: self.reader.lag(), tables: self.reader.progress() });
            }
            self.read_bytes += polled.bytes;
            let counters = &self.protocol.status.sources[0];
            counters.bytes.fetch_add(polled.bytes, Ordering::Relaxed);
            for event in polled.events {
                self.event(event, polled.state_before.as_ref()).await?;
            }
            self.flush_full().await?;
            if polled.finished {
                self.create_announced().await?;
                let state = self.reader.state()?;
                self.end_epoch(state, true).await?;
                return Ok(JobEnd::Finished);
            }
        }
    }

    async fn event(&mut self, event: CdcEvent, before: Option<&Offset>) -> Result<()> {
        match event {
            CdcEvent::Schema(SchemaChange::CreateTable { table, schema }) if self.job.batch => {
                self.creations.push((table, schema));
                Ok(())
            }
            CdcEvent::Schema(change) => {
                let changes = self.flow.schema_change(change)?;
                for ignored in self.flow.operator().take_ignored() {
                    let ignored = crate::print::schema_change(&ignored);
                    (self.protocol.options.note)(format!("Ignored schema change {ignored}."));
                }
                self.apply(changes, before.cloned()).await
            }
            CdcEvent::Rows { table, rows } => {
                self.create_announced().await?;
                let rows = if self.careful.is_on() { self.sift(&table, rows).await? } else { rows };
                for (sink, batch) in self.flow.batches(&table, rows, self.job.sink.wants_metadata())? {
                    self.protocol.status.sources[0].rows.fetch_add(batch.rows() as u64, Ordering::Relaxed);
                    self.write(sink, &batch).await?;
                }
                Ok(())
            }
        }
    }

    /// Batch mode: makes the tables that were announced, in the shape that holds all of their sources.
    async fn create_announced(&mut self) -> Result<()> {
        if self.creations.is_empty() {
            return Ok(());
        }
        let announced = std::mem::take(&mut self.creations);
        let changes = self.flow.merged_creations(announced)?;
        self.apply(changes, None).await
    }

    /// Applies changes of sink tables. What was written before is committed first: a restart then meets the table in
    /// its new shape with nothing of the old one under way.
    async fn apply(&mut self, changes: Vec<SchemaChange>, before: Option<Offset>) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        if self.tables.values().any(|table| table.dirty) {
            // Without a state from before the change, the last epoch's stands: a crash repeats rows, in their order.
            let state = before.unwrap_or_else(|| self.position.clone());
            self.end_epoch(state, false).await?;
        }
        for change in changes {
            let table = change.table().clone();
            let known = self.flow.sink_schema(&table).cloned();
            // Its writer speaks the old shape.
            self.close(&table).await;
            match self.job.sink.apply(&change, known.as_ref()).await? {
                Applied::Done => self.flow.operator().applied(&change)?,
                Applied::Unsupported(why) if self.flow.operator().tolerates_unsupported() => {
                    let change = crate::print::schema_change(&change);
                    (self.protocol.options.note)(format!(
                        "Failed to apply schema change {change}, but keeps running in tolerant mode. Caused by: {why}"
                    ));
                }
                Applied::Unsupported(why) => {
                    return Err(Error::data("Failed to apply schema change event.")
                        .with_source(format!("{why}, when applying {}", crate::print::schema_change(&change)))
                        .with_hint("schema.change.behavior: try_evolve leaves out what the server refuses"));
                }
            }
        }
        Ok(())
    }

    async fn close(&mut self, table: &TableId) {
        if let Some(mut table) = self.tables.shift_remove(table) {
            table.task.abort();
            let _ = (&mut table.task).await;
        }
    }

    async fn write(&mut self, id: TableId, batch: &ChangeBatch) -> Result<()> {
        self.sink(&id).await?;
        let Some(table) = self.tables.get_mut(&id) else { return Ok(()) };
        table.encoder.encode(batch).map_err(|e| e.context(format!("table {id}")))?;
        table.dirty = true;
        if table.encoder.buffered_bytes() >= CHUNK_BYTES {
            table.flush().await?;
        }
        Ok(())
    }

    /// The sink of a table; a writer of it runs from the first time on.
    async fn sink(&mut self, id: &TableId) -> Result<Arc<dyn Sink>> {
        if let Some(table) = self.tables.get(id) {
            return Ok(table.sink.clone());
        }
        let table = self.open(id).await?;
        let sink = table.sink.clone();
        self.tables.insert(id.clone(), table);
        Ok(sink)
    }

    async fn flush_full(&mut self) -> Result<()> {
        for table in self.tables.values_mut().filter(|t| t.encoder.buffered_bytes() >= CHUNK_BYTES) {
            table.flush().await?;
        }
        Ok(())
    }

    async fn open(&mut self, id: &TableId) -> Result<Table> {
        let schema = self.job.sink_schema(id, self.flow.state());
        let sink = self.job.sink.table(id, &schema)?;
        sink.check().await?;
        self.protocol.status.add_table(sink.counters());
        if !self.protocol.sinks.contains_key(&id.to_string()) && self.protocol.context.generation > 1 {
            // No manifest knew the table, so recovery could not end what earlier attempts began on it.
            let earlier: Vec<u64> = (1..self.protocol.context.generation).rev().take(100).collect();
            sink.abort_lingering(&self.protocol.context, self.recovered, &earlier).await?;
        }
        self.protocol.sinks.insert(id.to_string(), sink.clone());
        let (sender, receiver) = mpsc::channel(QUEUE_CHUNKS);
        let encoder = sink.encoder()?;
        let context = self.protocol.context.clone();
        let task = tokio::spawn(write_table(sink.clone(), context, self.epoch, receiver));
        Ok(Table { sink, encoder, writer: sender, task, dirty: false })
    }

    fn manifest(
        &self,
        epoch: Epoch,
        state: &Offset,
        tokens: BTreeMap<String, Vec<Token>>,
        finished: bool,
    ) -> Result<Manifest> {
        let schemas = serde_json::to_string(self.flow.state())
            .map_err(|e| Error::internal("the schemas could not be written as text").with_source(e))?;
        let offsets =
            BTreeMap::from([(SplitId(POSITION.into()), state.clone()), (SplitId(SCHEMAS.into()), Offset(schemas))]);
        let source = SourceState { identity: self.job.source.identity(), offsets, watermark_ms: None };
        let sources = BTreeMap::from([(SOURCE.to_owned(), source)]);
        Ok(self.protocol.manifest(epoch, self.job.plan.clone(), sources, tokens, finished))
    }

    /// One epoch from cut to acknowledgement, recorded with `state`. One in which nothing happened leaves no trace.
    async fn end_epoch(&mut self, state: Offset, finished: bool) -> Result<()> {
        let started = Instant::now();
        (self.protocol.options.at_step)(EpochStep::Cut);
        let mut answers = Vec::new();
        // Also those without rows: each writer counts the epochs, and its labels with them.
        for (id, table) in &mut self.tables {
            table.flush().await?;
            let (answer, prepared) = oneshot::channel();
            table.send(ToWriter::Prepare(self.epoch, answer)).await?;
            table.dirty = false;
            answers.push((id.to_string(), prepared));
        }
        (self.protocol.options.at_step)(EpochStep::BeforePrepare);
        let mut tokens: BTreeMap<String, Vec<Token>> = BTreeMap::new();
        for (id, prepared) in answers {
            let prepared = prepared.await.map_err(|_| gone())??;
            tokens.insert(id, prepared);
        }
        let nothing = tokens.values().all(Vec::is_empty);
        if nothing && !finished && self.position == state {
            return Ok(());
        }
        if let Some(options) = &self.job.letters {
            self.letters.keep(options, &self.protocol.context, self.epoch)?;
        }
        let manifest = self.manifest(self.epoch, &state, tokens, finished)?;
        let reader = &mut self.reader;
        let acknowledge = async {
            if let Err(error) = reader.acknowledge(&state).await {
                tracing::warn!("the source could not be told of epoch {}: {}", manifest.epoch, error.chain());
            }
        };
        self.protocol.commit_epoch(&manifest, started, acknowledge).await?;
        self.careful.epoch_ended(!self.letters.is_empty());
        self.letters = EpochLetters::default();
        self.epoch = self.epoch.next();
        self.position = state;
        self.read_bytes = 0;
        Ok(())
    }
}

fn gone() -> Error {
    Error::internal("a table's writer left without a word")
}

impl Table {
    async fn flush(&mut self) -> Result<()> {
        match self.encoder.take() {
            Some(chunk) => self.send(ToWriter::Rows(chunk)).await,
            None => Ok(()),
        }
    }

    /// Waits while the writer is behind. A writer that failed says why when it is asked to prepare.
    async fn send(&mut self, message: ToWriter) -> Result<()> {
        self.writer.send(message).await.map_err(|_| gone())
    }
}

/// Owns a table's writer. The first error is kept and given to whoever asks next; rows after it go nowhere.
async fn write_table(sink: Arc<dyn Sink>, context: SinkContext, epoch: Epoch, mut queue: mpsc::Receiver<ToWriter>) {
    let mut writer = sink.writer(&context, epoch).await;
    let mut failure: Option<Error> = None;
    loop {
        let idle = match &mut writer {
            Ok(writer) if failure.is_none() => match writer.idle().await {
                Ok(wait) => wait,
                Err(error) => {
                    failure = Some(error);
                    None
                }
            },
            _ => None,
        };
        let message = match idle {
            None => queue.recv().await,
            Some(wait_ms) => match tokio::time::timeout(Duration::from_millis(wait_ms.max(1)), queue.recv()).await {
                Ok(message) => message,
                Err(_) => continue,
            },
        };
        match message {
            None => return,
            Some(ToWriter::Rows(chunk)) => {
                if let (Ok(writer), None) = (&mut writer, &failure)
                    && let Err(error) = writer.write(chunk).await
                {
                    failure = Some(error);
                }
            }
            Some(ToWriter::Prepare(epoch, answer)) => {
                let prepared = match (&mut writer, failure.take()) {
                    (_, Some(error)) => Err(error),
                    (Ok(writer), None) => writer.prepare(epoch).await,
                    (unopened, None) => std::mem::replace(unopened, Err(gone())).map(|_| Vec::new()),
                };
                let _ = answer.send(prepared);
            }
        }
    }
}
