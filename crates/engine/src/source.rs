//! What a source promises.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use starweir_model::{ChangeBatch, Offset, Result, SplitId};

use crate::status::CaptureStatus;

/// Where reading stands, split by split.
pub type SplitOffsets = BTreeMap<SplitId, Offset>;

/// One of the threads that share a source's splits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    pub index: usize,
    pub count: usize,
}

/// A system we read.
///
/// * **Splits** belong to lanes: a reader takes the splits its lane owns, by a rule that depends only on the split's
///   id and the number of lanes, so that no split is read twice and none is forgotten, also when the number of lanes
///   changes over a restart.
/// * **Offsets** are totally ordered within a split and stand after the batch they came with: reading again from an
///   offset gives exactly the rows that followed it.
/// * **Order**: rows of one split come in the split's order; between splits there is none.
/// * **Boundaries**: a source of transactions says where none is open; an epoch ends only there.
#[async_trait]
pub trait Source: Send + Sync {
    /// Whether reading ends by itself.
    fn is_bounded(&self) -> bool;

    /// How many lanes are of use; at most `parallelism`.
    fn lanes(&self, parallelism: usize) -> usize {
        parallelism
    }

    /// Opens a lane. `restored` holds every split of the source that the last epoch knew, with its offset; splits
    /// not in it start where the source's options say. Runs on the lane's own thread, within the runtime's context
    /// (`tokio::runtime::Handle::current`), and may block.
    fn open(&self, lane: Lane, restored: &SplitOffsets) -> Result<Box<dyn Reader>>;

    /// Tells the outside system that everything up to these offsets is committed and may be forgotten. Called only
    /// after the epoch is committed, in order, at least once; may be repeated. An error is reported, not fatal.
    async fn acknowledge(&self, offsets: &SplitOffsets) -> Result<()> {
        let _ = offsets;
        Ok(())
    }

    /// Asks the outside system whether this can be read, changing nothing there, and says what was found. None where
    /// opening a lane does no more than that.
    async fn inspect(&self) -> Option<Result<String>> {
        None
    }
}

/// What a reader had to say.
#[derive(Debug)]
pub enum Polled {
    /// Rows, and the size in bytes of what they were decoded from.
    Batch { batch: ChangeBatch, bytes: u64 },
    /// Nothing within the time allowed; ask again.
    Idle,
    /// All splits of the lane have ended. Asked again, it says so again.
    Finished,
}

/// One lane of a source, on a thread of its own.
pub trait Reader: Send {
    /// The next batch. Blocks for at most about `wait`. An error ends the attempt; the job restarts from its last
    /// epoch with new readers.
    fn poll(&mut self, wait: Duration) -> Result<Polled>;

    /// The offset of every split of this lane, after everything `poll` has returned. Finished splits stay in it. Asked
    /// only at a boundary. An error ends the attempt.
    fn offsets(&self) -> Result<SplitOffsets>;

    /// Whether an epoch may end after what `poll` has returned: no transaction of the source is open there. A reader
    /// that is not at one is polled on, and must come to one while it has something to read.
    fn is_at_boundary(&self) -> bool {
        true
    }

    /// Rows or messages that could not be decoded and were skipped as the options allow.
    fn skipped(&self) -> u64 {
        0
    }

    /// How far behind the end of each split reading is, in the unit of the source (Kafka: messages, files: bytes).
    /// Empty when unknown. Must not block.
    fn lag(&self) -> Vec<(SplitId, u64)> {
        Vec::new()
    }

    /// Bytes still to read and bytes in all, for a progress bar; None for unbounded sources.
    fn progress(&self) -> Option<(u64, u64)> {
        None
    }

    /// How far a capture of changes is, for sources that are one. Must not block.
    fn capture(&self) -> Option<CaptureStatus> {
        None
    }
}
