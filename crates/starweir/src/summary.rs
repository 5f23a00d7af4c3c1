//! What a run says at its end.

use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;
use starweir_engine::JobStatus;

/// The object that `--json` writes.
#[derive(Debug, Serialize)]
pub struct Summary {
    pub job: String,
    /// `finished`, `stopped` or `failed`.
    pub status: &'static str,
    pub epochs: u64,
    pub restarts: u64,
    pub sources: Vec<SourceSummary>,
    pub tables: Vec<TableSummary>,
    pub elapsed_ms: u64,
    /// Where each captured table stands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub captured: Vec<CapturedSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_visible_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct SourceSummary {
    pub table: String,
    pub rows: u64,
    pub bytes: u64,
    pub errors: u64,
}

#[derive(Debug, Serialize)]
pub struct TableSummary {
    pub table: String,
    pub rows: u64,
    pub upserts: u64,
    pub deletes: u64,
    pub loads: u64,
    pub transactions: u64,
    pub bytes: u64,
}

#[derive(Debug, Serialize)]
pub struct CapturedSummary {
    pub table: String,
    /// `snapshot` or `streaming`.
    pub phase: &'static str,
    pub chunks_done: u64,
    pub chunks: u64,
}

impl Summary {
    /// `process_started_ms` is where the time to the first visible row is counted from.
    pub fn of(
        status: &JobStatus,
        ended: &'static str,
        elapsed_ms: u64,
        process_started_ms: i64,
        error: Option<String>,
    ) -> Self {
        let first = status.tables().iter().map(|t| t.first_visible_ms.load(Relaxed)).filter(|ms| *ms > 0).min();
        Self {
            job: status.name.clone(),
            status: ended,
            epochs: status.epochs.load(Relaxed),
            restarts: status.restarts.load(Relaxed),
            sources: (status.sources.iter())
                .map(|s| SourceSummary {
                    table: s.name.clone(),
                    rows: s.rows.load(Relaxed),
                    bytes: s.bytes.load(Relaxed),
                    errors: s.errors.load(Relaxed),
                })
                .collect(),
            tables: (status.tables().iter())
                .map(|t| TableSummary {
                    table: t.name.clone(),
                    rows: t.rows.load(Relaxed),
                    upserts: t.upserts.load(Relaxed),
                    deletes: t.deletes.load(Relaxed),
                    loads: t.loads.load(Relaxed),
                    transactions: t.transactions.load(Relaxed),
                    bytes: t.bytes.load(Relaxed),
                })
                .collect(),
            elapsed_ms,
            captured: (status.captures().into_iter())
                .flat_map(|(_, capture)| capture.tables)
                .map(|t| CapturedSummary {
                    table: t.table.to_string(),
                    phase: t.phase,
                    chunks_done: t.chunks_done,
                    chunks: t.chunks,
                })
                .collect(),
            first_visible_ms: first.map(|ms| ms.saturating_sub(process_started_ms).max(0) as u64),
            error,
        }
    }

    /// For people, on standard error.
    pub fn text(&self) -> String {
        let plural = |n: u64, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        let mut out = format!(
            "{} {} in {:.2} s: {}",
            self.job,
            self.status,
            self.elapsed_ms as f64 / 1e3,
            plural(self.epochs, "epoch")
        );
        if self.restarts > 0 {
            out.push_str(&format!(", {}", plural(self.restarts, "restart")));
        }
        out.push('\n');
        for source in &self.sources {
            out.push_str(&format!(
                "  read    {}: {}, {} bytes",
                source.table,
                plural(source.rows, "row"),
                source.bytes
            ));
            if source.errors > 0 {
                out.push_str(&format!(", {} skipped as unreadable", source.errors));
            }
            out.push('\n');
        }
        for table in &self.tables {
            out.push_str(&format!(
                "  written {}: {} ({}, {}) in {}\n",
                table.table,
                plural(table.rows, "row"),
                plural(table.upserts, "upsert"),
                plural(table.deletes, "delete"),
                plural(table.transactions, "transaction"),
            ));
        }
        out
    }
}
