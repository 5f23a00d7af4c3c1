//! What a sink promises.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use starweir_model::{ChangeBatch, Clock, Epoch, Error, Result};

use crate::status::TableCounters;

/// Encoded rows, ready to be sent: what one worker hands to a sink's writer.
#[derive(Debug, Clone, Default)]
pub struct Chunk {
    pub bytes: Bytes,
    pub rows: u64,
    pub upserts: u64,
    pub deletes: u64,
    /// Event-time watermark after these rows, milliseconds.
    pub watermark_ms: Option<i64>,
}

/// What is certain to be committable, as plain data that survives a restart. Only its sink reads the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub String);

/// What the outside system says of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenState {
    /// Visible, or certain to become so.
    Committed,
    /// Waits for our commit.
    Prepared,
    /// Not there, but we hold the data and may send it again under the same label.
    Resendable,
    /// Begun and not prepared. After a manifest this contradicts our own record.
    InProgress,
    /// Given up by the server, for example because a prepared transaction timed out.
    Aborted,
    /// The server knows nothing of it: committed and forgotten, or lost.
    Unknown,
}

/// What every attempt of a job hands to its sinks.
#[derive(Clone)]
pub struct SinkContext {
    /// Names the job in labels; made once per state directory.
    pub job_id: String,
    /// The number of this attempt.
    pub generation: u64,
    /// A durable folder for data that must outlive the process until it is visible; None when the job's state is
    /// not on a local disk.
    pub journal: Option<PathBuf>,
    pub clock: Arc<dyn Clock>,
}

/// A system we write to: one table of it.
///
/// *Accepted* rows (`write` returned) may be lost with the process. *Prepared* rows (`prepare` returned their
/// tokens) survive it, invisible. *Committed* rows are visible. Every call may be repeated with the same arguments.
#[async_trait]
pub trait Sink: Send + Sync {
    /// The table, in words, for status and errors.
    fn name(&self) -> String;

    /// What is counted.
    fn counters(&self) -> Arc<TableCounters>;

    /// How rows get in, in words: `exactly-once (prepared transactions)`.
    fn delivery(&self) -> String;

    /// Checks the target before the first row: it exists, columns fit, we may write.
    async fn check(&self) -> Result<()> {
        Ok(())
    }

    /// One encoder for each worker that writes here.
    fn encoder(&self) -> Result<Box<dyn Encoder>>;

    /// The one writer of an attempt. `epoch` is the first one it will write.
    async fn writer(&self, context: &SinkContext, epoch: Epoch) -> Result<Box<dyn Writer>>;

    /// What became of a token of the last manifest. Changes nothing.
    async fn inspect(&self, context: &SinkContext, token: &Token) -> Result<TokenState>;

    /// Makes a token's rows visible. Returns only when they are, or are certain to become so.
    async fn commit(&self, context: &SinkContext, token: &Token) -> Result<()>;

    /// Gives a prepared token up.
    async fn abort(&self, context: &SinkContext, token: &Token) -> Result<()>;

    /// Ends what attempts `generations` may have begun and never reached a manifest, after everything the last
    /// manifest (of epoch `last`) holds was committed. Such work belongs to one of the two epochs after it, or, where
    /// a writer had no rows in it, to `last` itself.
    async fn abort_lingering(&self, context: &SinkContext, last: Epoch, generations: &[u64]) -> Result<()>;

    /// Why the target would refuse these rows: tries them and takes them back, so that nothing is seen of it. None
    /// when it would take them, or when it cannot be asked.
    async fn refusal(&self, context: &SinkContext, rows: Chunk) -> Result<Option<Error>> {
        let _ = (context, rows);
        Ok(None)
    }

    /// Called once after the last epoch of a job that ended well.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// Batches into bytes, on the worker's thread.
pub trait Encoder: Send {
    /// Appends the batch's rows to what `take` will return. A row the target cannot hold is an error of kind Data.
    fn encode(&mut self, batch: &ChangeBatch) -> Result<()>;

    /// Bytes that wait to be taken.
    fn buffered_bytes(&self) -> usize;

    /// What was encoded since the last call; None when nothing was. Rows are whole.
    fn take(&mut self) -> Option<Chunk>;
}

/// The sending side of a sink, in one task: calls never overlap.
#[async_trait]
pub trait Writer: Send {
    /// Takes a chunk; sends when enough has gathered. Returns when the writer can take more.
    async fn write(&mut self, chunk: Chunk) -> Result<()>;

    /// Called while no chunk comes; when the writer wants to be called again at the latest, in milliseconds.
    async fn idle(&mut self) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Everything written so far becomes certain to be committable, or, with at-least-once delivery, visible. Rows
    /// written after it belong to the next epoch. No rows, no tokens.
    async fn prepare(&mut self, epoch: Epoch) -> Result<Vec<Token>>;
}
