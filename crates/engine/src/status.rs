//! What a running job counts. Written by workers and writers, read by the status line, the summary and the metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;
use starweir_model::SplitId;

use crate::cdc::{CaptureLag, TableProgress};

/// Counters of one source table.
#[derive(Debug, Default)]
pub struct SourceCounters {
    pub name: String,
    pub rows: AtomicU64,
    pub bytes: AtomicU64,
    /// Messages skipped because they could not be decoded, as the options allow.
    pub errors: AtomicU64,
    /// Milliseconds since the epoch; `i64::MIN` when there is none.
    pub watermark_ms: AtomicI64,
    /// Per lane: how far behind the end each split is.
    pub lag: Mutex<Vec<Vec<(SplitId, u64)>>>,
    /// Per lane: bytes done and bytes in all.
    pub progress: Mutex<Vec<Option<(u64, u64)>>>,
    /// Where the source's capture stands; None for sources that are none, and before its first poll.
    pub capture: Mutex<Option<CaptureStatus>>,
}

impl SourceCounters {
    pub fn new(name: &str, lanes: usize) -> Self {
        Self {
            name: name.to_owned(),
            watermark_ms: AtomicI64::new(i64::MIN),
            lag: Mutex::new(vec![Vec::new(); lanes]),
            progress: Mutex::new(vec![None; lanes]),
            ..Self::default()
        }
    }

    pub fn lag_total(&self) -> u64 {
        self.lag.lock().iter().flatten().map(|(_, lag)| lag).sum()
    }
}

/// Counters of one target table.
#[derive(Debug, Default)]
pub struct TableCounters {
    pub name: String,
    /// Rows sent: upserts and deletes.
    pub rows: AtomicU64,
    pub upserts: AtomicU64,
    pub deletes: AtomicU64,
    /// Requests that carried rows and were accepted.
    pub loads: AtomicU64,
    /// Transactions that became visible: each is a version of the table.
    pub transactions: AtomicU64,
    pub bytes: AtomicU64,
    /// Requests that were repeated.
    pub retries: AtomicU64,
    /// Rows whose transaction is visible.
    pub rows_committed: AtomicU64,
    /// Milliseconds since the epoch when the first transaction became visible; 0 when none did.
    pub first_visible_ms: AtomicI64,
    /// Why the sink waits at the moment, for the status line.
    pub waiting: Mutex<Option<String>>,
}

impl TableCounters {
    pub fn named(name: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), ..Self::default() })
    }

    pub fn add_load(&self, rows: u64, upserts: u64, deletes: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.upserts.fetch_add(upserts, Ordering::Relaxed);
        self.deletes.fetch_add(deletes, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.loads.fetch_add(1, Ordering::Relaxed);
    }

    pub fn add_transaction(&self, rows: u64, now_ms: i64) {
        self.transactions.fetch_add(1, Ordering::Relaxed);
        self.rows_committed.fetch_add(rows, Ordering::Relaxed);
        let _ = self.first_visible_ms.compare_exchange(0, now_ms, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// A capture as its reader last described it.
#[derive(Debug, Clone, Default)]
pub struct CaptureStatus {
    pub lag: CaptureLag,
    pub tables: Vec<TableProgress>,
}

/// A job as seen from outside while it runs.
#[derive(Debug, Default)]
pub struct JobStatus {
    pub name: String,
    pub started_ms: i64,
    pub sources: Vec<Arc<SourceCounters>>,
    /// A pipeline's tables come as they are seen.
    pub tables: Mutex<Vec<Arc<TableCounters>>>,
    /// Where a pipeline's capture stands; None before the first poll, and for scripts, whose captures are those of
    /// their [`sources`](Self::sources).
    pub capture: Mutex<Option<CaptureStatus>>,
    /// The last epoch that was committed.
    pub epoch: AtomicU64,
    /// Epochs committed by this process.
    pub epochs: AtomicU64,
    pub restarts: AtomicU64,
    /// Tokens prepared and not yet committed.
    pub open_transactions: AtomicU64,
    /// Milliseconds the last epoch took from cut to acknowledgement.
    pub epoch_duration_ms: AtomicU64,
    pub last_epoch_ms: AtomicI64,
    pub last_error: Mutex<Option<String>>,
    /// Set once the first attempt reads.
    pub running: AtomicBool,
}

impl JobStatus {
    /// The target tables known so far.
    pub fn tables(&self) -> Vec<Arc<TableCounters>> {
        self.tables.lock().clone()
    }

    /// Counts another target table; one that is known already stays as it is.
    pub fn add_table(&self, counters: Arc<TableCounters>) {
        let mut tables = self.tables.lock();
        if !tables.iter().any(|known| Arc::ptr_eq(known, &counters)) {
            tables.push(counters);
        }
    }

    /// Every capture of the job, with the name of its source.
    pub fn captures(&self) -> Vec<(&str, CaptureStatus)> {
        let own = self.capture.lock().clone();
        let own = own.map(|capture| (self.sources.first().map_or("", |s| s.name.as_str()), capture));
        let of_sources = self.sources.iter().filter_map(|s| Some((s.name.as_str(), s.capture.lock().clone()?)));
        own.into_iter().chain(of_sources).collect()
    }

    pub fn rows_read(&self) -> u64 {
        self.sources.iter().map(|s| s.rows.load(Ordering::Relaxed)).sum()
    }

    pub fn bytes_read(&self) -> u64 {
        self.sources.iter().map(|s| s.bytes.load(Ordering::Relaxed)).sum()
    }

    /// Bytes done and bytes in all, when every source knows.
    pub fn progress(&self) -> Option<(u64, u64)> {
        let mut sum = (0, 0);
        for source in &self.sources {
            for lane in source.progress.lock().iter() {
                let (done, all) = (*lane)?;
                sum = (sum.0 + done, sum.1 + all);
            }
        }
        (sum.1 > 0).then_some(sum)
    }

    pub fn lag_total(&self) -> u64 {
        self.sources.iter().map(|s| s.lag_total()).sum()
    }
}
