//! Batches of changes: an Arrow record batch and what each row does to the table.

use arrow::array::{ArrayRef, RecordBatch};
use serde::{Deserialize, Serialize};

/// What a row does to the table it belongs to. The numbers are Flink's (`RowKind.toByteValue`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum RowKind {
    Insert = 0,
    UpdateBefore = 1,
    UpdateAfter = 2,
    Delete = 3,
}

impl RowKind {
    pub const fn short(self) -> &'static str {
        match self {
            Self::Insert => "+I",
            Self::UpdateBefore => "-U",
            Self::UpdateAfter => "+U",
            Self::Delete => "-D",
        }
    }

    /// True for `+I` and `+U`: the row is in the table after the change.
    pub const fn is_addition(self) -> bool {
        matches!(self, Self::Insert | Self::UpdateAfter)
    }
}

/// The row kinds of a batch. Append-only batches carry nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowKinds {
    AllInsert,
    /// One per row.
    Each(Vec<RowKind>),
}

impl RowKinds {
    pub fn at(&self, row: usize) -> RowKind {
        match self {
            Self::AllInsert => RowKind::Insert,
            Self::Each(kinds) => kinds[row],
        }
    }

    /// `Each` of only inserts becomes `AllInsert`.
    pub fn from_vec(kinds: Vec<RowKind>) -> Self {
        if kinds.iter().all(|k| *k == RowKind::Insert) { Self::AllInsert } else { Self::Each(kinds) }
    }
}

/// Changes in order. Columns are shared, so a clone copies no values.
#[derive(Debug, Clone)]
pub struct ChangeBatch {
    pub batch: RecordBatch,
    pub kinds: RowKinds,
    /// Event-time watermark after this batch, in milliseconds since the epoch; rows that come later
    /// and are not above it are late.
    pub watermark_ms: Option<i64>,
}

impl ChangeBatch {
    /// A batch of inserts.
    pub fn inserts(batch: RecordBatch) -> Self {
        Self { batch, kinds: RowKinds::AllInsert, watermark_ms: None }
    }

    pub fn new(batch: RecordBatch, kinds: RowKinds) -> Self {
        debug_assert!(!matches!(&kinds, RowKinds::Each(k) if k.len() != batch.num_rows()));
        Self { batch, kinds, watermark_ms: None }
    }

    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    pub fn column(&self, index: usize) -> &ArrayRef {
        self.batch.column(index)
    }
}
