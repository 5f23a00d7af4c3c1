//! The slot, watched from beside the stream: how much WAL it keeps, and whether it is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::AbortHandle;

use super::options::Settings;
use super::wire::{Wire, literal};

const INTERVAL: Duration = Duration::from_secs(10);
const UNKNOWN: u64 = u64::MAX;

/// What is known of the slot; stops watching when dropped.
pub(super) struct Health {
    seen: Arc<Seen>,
    task: AbortHandle,
}

struct Seen {
    retained: AtomicU64,
    behind: AtomicU64,
    lost: AtomicBool,
}

impl Health {
    pub fn watch(settings: Arc<Settings>) -> Self {
        let seen = Arc::new(Seen {
            retained: AtomicU64::new(UNKNOWN),
            behind: AtomicU64::new(UNKNOWN),
            lost: AtomicBool::new(false),
        });
        let task = tokio::spawn(watch(settings, seen.clone())).abort_handle();
        Self { seen, task }
    }

    /// Bytes of WAL that the slot keeps on the server.
    pub fn retained(&self) -> Option<u64> {
        Some(self.seen.retained.load(Ordering::Relaxed)).filter(|n| *n != UNKNOWN)
    }

    /// Bytes of WAL between the place acknowledged and the server's newest.
    pub fn behind(&self) -> Option<u64> {
        Some(self.seen.behind.load(Ordering::Relaxed)).filter(|n| *n != UNKNOWN)
    }

    pub fn is_lost(&self) -> bool {
        self.seen.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(settings: Arc<Settings>, seen: Arc<Seen>) {
    let mut wire: Option<Wire> = None;
    let mut warned = false;
    loop {
        let connected = match wire.take() {
            Some(wire) => Ok(wire),
            None => Wire::connect(&settings, false).await,
        };
        if let Ok(mut connected) = connected {
            let (status, safe) =
                if connected.server_version() >= 13 { ("wal_status", "safe_wal_size") } else { ("'reserved'", "NULL") };
            let sql = format!(
                "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint, \
                 pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint, {status}, {safe} \
                 FROM pg_catalog.pg_replication_slots WHERE slot_name = {}",
                literal(&settings.slot)
            );
            // A failure here is the stream's to report.
            if let Ok(rows) = connected.query(&sql).await {
                let value = |i: usize| rows.first().and_then(|r| r.get(i)).and_then(Option::as_deref);
                let number = |i: usize| value(i).and_then(|t| t.parse::<u64>().ok());
                seen.retained.store(number(0).unwrap_or(UNKNOWN), Ordering::Relaxed);
                seen.behind.store(number(1).unwrap_or(UNKNOWN), Ordering::Relaxed);
                seen.lost.store(value(2) == Some("lost"), Ordering::Relaxed);
                let near = number(3).zip(number(0)).is_some_and(|(safe, kept)| safe < kept);
                if near && !warned {
                    tracing::warn!(slot = settings.slot, "the slot has used half of the WAL it may keep");
                }
                warned = near;
                wire = Some(connected);
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
