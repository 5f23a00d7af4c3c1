//! What a job is: sources, the way from each to its sinks, sinks.

use std::sync::Arc;

use starweir_model::{ChangeBatch, Result};

use crate::sink::Sink;
use crate::source::Source;

/// Batch in, batch out, no I/O. One per worker, so it may keep what it has seen (a watermark).
pub trait Transform: Send {
    /// `now_ms` is the processing time of the batch.
    fn apply(&mut self, now_ms: i64, batch: ChangeBatch) -> Result<ChangeBatch>;
}

/// Makes a worker's own transform.
pub type TransformFactory = Arc<dyn Fn() -> Box<dyn Transform> + Send + Sync>;

/// The way from a source to a sink.
#[derive(Clone)]
pub struct Output {
    pub transform: TransformFactory,
    /// Index into [`JobGraph::sinks`].
    pub sink: usize,
}

/// A source, read once, and everything that is made of its rows.
pub struct SourceNode {
    /// Stable over restarts; names the source's offsets in the manifest.
    pub id: String,
    /// What is read (topics, path, format), so that offsets are never used for something else.
    pub identity: String,
    /// For status: the table's name.
    pub name: String,
    pub source: Arc<dyn Source>,
    pub outputs: Vec<Output>,
}

/// A sink and the id its tokens have in the manifest.
pub struct SinkNode {
    pub id: String,
    pub sink: Arc<dyn Sink>,
}

/// Everything that runs.
pub struct JobGraph {
    pub name: String,
    pub sources: Vec<SourceNode>,
    pub sinks: Vec<SinkNode>,
    /// The text of each insert's plan, to tell what changed between two runs.
    pub plans: Vec<String>,
}
