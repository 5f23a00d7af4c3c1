//! Writers that send as rows come: transactions (exactly once, or at least once) and plain loads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use starweir_engine::{Chunk, SinkContext, Token, Writer};
use starweir_model::{Clock, Epoch, Error, Label, Result};
use starweir_starrocks::{Body, Congestion, Done, LoadRequest, Step, TransactionRequest};

use super::labels::Labels;
use super::options::{Delivery, SinkOptions};
use super::sink::{Shared, SinkToken};

/// With `sink.flush-on = watermark`, rows that no watermark follows are committed after this quiet time.
const QUIET_MS: u64 = 20;

/// Chunks that wait to be sent.
#[derive(Default)]
struct Buffer {
    chunks: Vec<Bytes>,
    bytes: u64,
    rows: u64,
    upserts: u64,
    deletes: u64,
}

impl Buffer {
    fn push(&mut self, chunk: Chunk) {
        self.bytes += chunk.bytes.len() as u64;
        self.rows += chunk.rows;
        self.upserts += chunk.upserts;
        self.deletes += chunk.deletes;
        if !chunk.bytes.is_empty() {
            self.chunks.push(chunk.bytes);
        }
    }
}

/// When an at-least-once writer commits. Slows down while the server complains about too many versions.
struct Due {
    since: Option<Instant>,
    rows: u64,
    bytes: u64,
    watermark_ms: Option<i64>,
    watermark_moved: bool,
    /// Least time between commits, as learned from the server.
    pause: Duration,
    last_commit: Option<Instant>,
}

const PAUSE_MAX: Duration = Duration::from_secs(60);

impl Due {
    fn new() -> Self {
        Self {
            since: None,
            rows: 0,
            bytes: 0,
            watermark_ms: None,
            watermark_moved: false,
            pause: Duration::ZERO,
            last_commit: None,
        }
    }

    fn take(&mut self, chunk: &Chunk) {
        if chunk.rows > 0 {
            self.since.get_or_insert_with(Instant::now);
        }
        self.rows += chunk.rows;
        self.bytes += chunk.bytes.len() as u64;
        if chunk.watermark_ms > self.watermark_ms {
            self.watermark_ms = chunk.watermark_ms;
            self.watermark_moved = true;
        }
    }

    /// Whether it is time. `idle`: no chunk waits.
    fn is_due(&self, options: &SinkOptions, idle: bool) -> bool {
        let Some(since) = self.since else { return false };
        if options.flush_on_checkpoint {
            return false;
        }
        if self.last_commit.is_some_and(|at| at.elapsed() < self.pause) {
            return false;
        }
        self.rows >= options.flush_rows
            || self.bytes >= options.flush_bytes
            || since.elapsed() >= options.flush_interval
            || (options.flush_on_watermark && (self.watermark_moved || idle))
    }

    /// How long until it may be time.
    fn wait_ms(&self, options: &SinkOptions) -> Option<u64> {
        let since = self.since?;
        if options.flush_on_checkpoint {
            return None;
        }
        if options.flush_on_watermark {
            let paused = self.last_commit.map_or(Duration::ZERO, |at| self.pause.saturating_sub(at.elapsed()));
            return Some(QUIET_MS.max(paused.as_millis() as u64));
        }
        Some(options.flush_interval.saturating_sub(since.elapsed()).as_millis() as u64 + 1)
    }

    fn committed(&mut self, congestion: Option<Congestion>) {
        self.since = None;
        self.rows = 0;
        self.bytes = 0;
        self.watermark_moved = false;
        self.last_commit = Some(Instant::now());
        // Twice as slow with each complaint, a quarter faster with each commit without one.
        self.pause = match congestion {
            Some(Congestion::TooManyVersions | Congestion::TooManyTransactions) => {
                (self.pause * 2).clamp(Duration::from_secs(1), PAUSE_MAX)
            }
            _ => Some(self.pause.mul_f64(0.75)).filter(|p| *p >= Duration::from_millis(100)).unwrap_or_default(),
        };
    }
}

/// Plain Stream Loads: one request per commit.
pub(super) struct LoadWriter {
    shared: Arc<Shared>,
    labels: Labels,
    generation: u64,
    clock: Arc<dyn Clock>,
    headers: Vec<(String, String)>,
    buffer: Buffer,
    due: Due,
}

impl LoadWriter {
    pub(super) fn new(shared: Arc<Shared>, context: &SinkContext, headers: Vec<(String, String)>) -> Self {
        Self {
            labels: shared.labels(context),
            shared,
            generation: context.generation,
            clock: context.clock.clone(),
            headers,
            buffer: Buffer::default(),
            due: Due::new(),
        }
    }

    async fn commit(&mut self) -> Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.rows == 0 {
            return Ok(());
        }
        if self.shared.options.blackhole {
            self.shared.counters.add_load(buffer.rows, buffer.upserts, buffer.deletes, buffer.bytes);
            self.due.committed(None);
            return Ok(());
        }
        let number = self.shared.history.next_commit();
        let request = LoadRequest {
            table: self.shared.options.table.clone(),
            label: self.labels.of_commit(number, self.generation),
            headers: self.headers.clone(),
            body: Body::new(buffer.chunks),
        };
        let resolved = self.shared.client.resolve_load(&request, &self.shared.policy()).await;
        let resolved = resolved.map_err(|e| self.shared.rejected(e))?;
        self.shared.flows();
        self.shared.count_attempts(resolved.attempts);
        self.shared.counters.add_load(buffer.rows, buffer.upserts, buffer.deletes, buffer.bytes);
        self.shared.counters.add_transaction(buffer.rows, self.clock.now_ms());
        self.due.committed(resolved.congestion);
        Ok(())
    }
}

#[async_trait]
impl Writer for LoadWriter {
    async fn write(&mut self, chunk: Chunk) -> Result<()> {
        self.due.take(&chunk);
        self.buffer.push(chunk);
        // Everything of a commit is held in memory, so it is never more than that is worth.
        if self.due.is_due(&self.shared.options, false) || self.buffer.bytes >= self.shared.options.flush_bytes {
            self.commit().await?;
        }
        Ok(())
    }

    async fn idle(&mut self) -> Result<Option<u64>> {
        if self.due.is_due(&self.shared.options, true) {
            self.commit().await?;
        }
        Ok(self.due.wait_ms(&self.shared.options))
    }

    async fn prepare(&mut self, _: Epoch) -> Result<Vec<Token>> {
        self.commit().await?;
        Ok(Vec::new())
    }
}

/// A transaction that was begun.
struct Open {
    label: Label,
    rows: u64,
}

/// Transactions: rows are sent as they come, in requests of limited size, and are never held longer.
pub(super) struct TransactionWriter {
    shared: Arc<Shared>,
    labels: Labels,
    generation: u64,
    clock: Arc<dyn Clock>,
    headers: Vec<(String, String)>,
    buffer: Buffer,
    due: Due,
    open: Option<Open>,
    /// The epoch whose rows come now.
    epoch: Epoch,
    congestion: Option<Congestion>,
    exactly_once: bool,
}

impl TransactionWriter {
    pub(super) fn new(
        shared: Arc<Shared>,
        context: &SinkContext,
        epoch: Epoch,
        headers: Vec<(String, String)>,
    ) -> Self {
        Self {
            labels: shared.labels(context),
            exactly_once: shared.delivery() == Delivery::Prepared,
            shared,
            generation: context.generation,
            clock: context.clock.clone(),
            headers,
            buffer: Buffer::default(),
            due: Due::new(),
            open: None,
            epoch,
            congestion: None,
        }
    }

    fn label(&mut self) -> Label {
        if self.exactly_once {
            return self.labels.of_epoch(self.epoch, self.generation);
        }
        let number = self.shared.history.next_commit();
        self.labels.of_commit(number, self.generation)
    }

    /// Sends what is buffered into the transaction, beginning it first.
    async fn send(&mut self) -> Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.rows == 0 {
            return Ok(());
        }
        if self.shared.options.blackhole {
            self.shared.counters.add_load(buffer.rows, buffer.upserts, buffer.deletes, buffer.bytes);
            return Ok(());
        }
        let (shared, policy) = (self.shared.clone(), self.shared.policy());
        let table = &shared.options.table;
        if self.open.is_none() {
            let label = self.label();
            let timeout = self.headers.iter().find(|(name, _)| name == "timeout").map(|(_, v)| v.clone());
            let headers = vec![("timeout".to_owned(), timeout.unwrap_or_else(|| "600".to_owned()))];
            let request = TransactionRequest { table: table.clone(), label: label.clone(), headers };
            let resolved = shared.client.begin_transaction(&request, &policy).await.map_err(|e| shared.rejected(e))?;
            if resolved.done == Done::Before {
                return Err(Error::refused(format!("table {table}: label {label} is already committed"))
                    .with_hint("another job uses this job's state or label prefix; start anew with --fresh"));
            }
            self.note(resolved.congestion, resolved.attempts);
            self.open = Some(Open { label, rows: 0 });
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let request = LoadRequest {
            table: table.clone(),
            label: open.label.clone(),
            headers: self.headers.clone(),
            body: Body::new(buffer.chunks),
        };
        let step = shared.client.load_into_transaction(&request, &policy).await.map_err(|e| shared.rejected(e))?;
        match step {
            Step::Done(resolved) => {
                open.rows += buffer.rows;
                shared.counters.add_load(buffer.rows, buffer.upserts, buffer.deletes, buffer.bytes);
                self.note(resolved.congestion, resolved.attempts);
                Ok(())
            }
            Step::Lost(error) => {
                self.open = None;
                Err(lost(&shared, error))
            }
        }
    }

    fn note(&mut self, congestion: Option<Congestion>, attempts: u32) {
        self.congestion = self.congestion.or(congestion);
        self.shared.flows();
        self.shared.count_attempts(attempts);
    }

    /// Sends and prepares what there is. None when there is nothing.
    async fn prepare_open(&mut self, timeout: Duration) -> Result<Option<Open>> {
        self.send().await?;
        let Some(open) = self.open.take() else { return Ok(None) };
        let shared = self.shared.clone();
        let seconds = Some(timeout.as_secs().max(1));
        let table = &shared.options.table;
        let step = shared.client.prepare_transaction(table, &open.label, seconds, &shared.policy()).await;
        match step.map_err(|e| shared.rejected(e))? {
            Step::Done(resolved) => {
                self.note(resolved.congestion, resolved.attempts);
                Ok(Some(open))
            }
            Step::Lost(error) => Err(lost(&shared, error)),
        }
    }

    /// At-least-once: prepares and commits at once.
    async fn commit(&mut self) -> Result<()> {
        /// What the Flink connector gives a transaction between its prepare and its commit.
        const BETWEEN: Duration = Duration::from_secs(180);
        let prepared = self.prepare_open(BETWEEN).await?;
        let Some(open) = prepared else {
            self.due.committed(None);
            return Ok(());
        };
        let shared = &self.shared;
        let resolved = shared.client.resolve_commit(&shared.options.table, &open.label, &shared.policy()).await;
        let resolved = resolved.map_err(|e| match e.kind {
            // At least once: rows of a transaction that is gone are read again.
            starweir_model::ErrorKind::Refused => lost(shared, e),
            _ => shared.rejected(e),
        })?;
        shared.counters.add_transaction(open.rows, self.clock.now_ms());
        self.note(resolved.congestion, resolved.attempts);
        let congestion = self.congestion.take();
        self.due.committed(congestion);
        Ok(())
    }
}

/// The server lost a transaction before it was prepared: the attempt fails and the rows are read again.
fn lost(shared: &Shared, cause: Error) -> Error {
    Error::unavailable(format!("table {}: the server lost an unfinished transaction", shared.options.table))
        .with_source(cause.chain())
}

#[async_trait]
impl Writer for TransactionWriter {
    async fn write(&mut self, chunk: Chunk) -> Result<()> {
        self.due.take(&chunk);
        self.buffer.push(chunk);
        if self.buffer.bytes >= self.shared.options.request_bytes {
            self.send().await?;
        }
        if !self.exactly_once && self.due.is_due(&self.shared.options, false) {
            self.commit().await?;
        }
        Ok(())
    }

    async fn idle(&mut self) -> Result<Option<u64>> {
        if self.exactly_once {
            return Ok(None);
        }
        if self.due.is_due(&self.shared.options, true) {
            self.commit().await?;
        }
        Ok(self.due.wait_ms(&self.shared.options))
    }

    async fn prepare(&mut self, epoch: Epoch) -> Result<Vec<Token>> {
        if !self.exactly_once {
            self.commit().await?;
            return Ok(Vec::new());
        }
        match self.prepare_open(self.shared.options.prepared_timeout).await? {
            // The number is still free: nothing was prepared under it here.
            None => {
                self.epoch = epoch;
                Ok(Vec::new())
            }
            Some(open) => {
                self.epoch = epoch.next();
                self.due.committed(None);
                Ok(vec![SinkToken::Prepared { label: open.label, rows: open.rows }.text()?])
            }
        }
    }
}
