//! Load transactions and their labels, as plain data that survives a restart.
//!
//! | state | set by | survives a restart |
//! |---|---|---|
//! | PREPARE | begin | no: the label is unknown again, as nothing of it was promised |
//! | PREPARED | prepare | yes, with its segments |
//! | COMMITTED | – (publishing is part of the commit here) | – |
//! | VISIBLE | commit | yes |
//! | ABORTED | rollback, failure, timeout | only when it had been prepared |

use serde::{Deserialize, Serialize};

use super::segment::SegmentMeta;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TxnState {
    Prepare,
    Prepared,
    Committed,
    Visible,
    Aborted,
}

impl TxnState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Prepare => "PREPARE",
            Self::Prepared => "PREPARED",
            Self::Committed => "COMMITTED",
            Self::Visible => "VISIBLE",
            Self::Aborted => "ABORTED",
        }
    }

    pub fn is_final(self) -> bool {
        matches!(self, Self::Visible | Self::Aborted)
    }

    pub fn is_done(self) -> bool {
        matches!(self, Self::Visible | Self::Committed)
    }
}

/// Rows of a load that are on disk and not yet visible.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StagedPart {
    pub segment: SegmentMeta,
    /// Column ids given by a partial update; None: all columns.
    pub partial: Option<Vec<u32>>,
    /// `merge_condition`: the row counts only if its value is not below the stored one.
    pub condition: Option<u32>,
    /// Rows whose key is not there are left out (UPDATE).
    pub update_only: bool,
}

/// What a load counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadCounters {
    pub total: u64,
    pub loaded: u64,
    pub filtered: u64,
    pub unselected: u64,
    pub bytes: u64,
}

impl LoadCounters {
    pub fn add(&mut self, other: &LoadCounters) {
        self.total += other.total;
        self.loaded += other.loaded;
        self.filtered += other.filtered;
        self.unselected += other.unselected;
        self.bytes += other.bytes;
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Txn {
    pub id: u64,
    pub database_id: u64,
    pub database: String,
    pub label: String,
    pub state: TxnState,
    pub reason: Option<String>,
    /// `transaction_type: multi`
    pub multi: bool,
    pub tables: Vec<u64>,
    /// The table named at begin, for answers.
    pub table_name: String,
    pub parts: Vec<StagedPart>,
    pub begun_ms: i64,
    pub prepared_ms: i64,
    pub finished_ms: i64,
    /// Seconds from begin to prepare or commit.
    pub timeout_s: u64,
    /// Seconds from prepare to commit.
    pub prepared_timeout_s: u64,
    /// `STREAM LOAD`, `INSERT`, …
    pub source: String,
    pub user: String,
    pub counters: LoadCounters,
    pub error_url: Option<String>,
    /// Text of the tracking log (row errors).
    pub tracking: Option<String>,
}

impl Txn {
    /// When the transaction is given up, in milliseconds since 1970; None when it is final.
    pub fn expires_ms(&self) -> Option<i64> {
        match self.state {
            TxnState::Prepare => Some(self.begun_ms.saturating_add((self.timeout_s as i64).saturating_mul(1000))),
            TxnState::Prepared => {
                Some(self.prepared_ms.saturating_add((self.prepared_timeout_s as i64).saturating_mul(1000)))
            }
            _ => None,
        }
    }
}
