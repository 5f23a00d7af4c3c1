//! Metric names, units and labels, defined once, and their Prometheus text.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use crate::status::JobStatus;

/// What a metric is.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    pub name: &'static str,
    /// `counter` or `gauge`.
    pub kind: &'static str,
    /// Metric labels besides `job`.
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

const fn metric(name: &'static str, kind: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind, labels, help }
}

/// Every metric a job serves; the reference page is made from it.
pub const METRICS: [Metric; 27] = [
    metric("starweir_job_up", "gauge", &[], "1 while the job runs"),
    metric("starweir_job_started_seconds", "gauge", &[], "When the process started the job, seconds since 1970"),
    metric("starweir_epoch", "gauge", &[], "Number of the last committed epoch"),
    metric("starweir_epochs_total", "counter", &[], "Epochs committed by this process"),
    metric("starweir_epoch_duration_seconds", "gauge", &[], "Last epoch, from cut to acknowledgement"),
    metric("starweir_last_epoch_seconds", "gauge", &[], "When the last epoch was committed, seconds since 1970"),
    metric("starweir_restarts_total", "counter", &[], "Attempts that failed and were followed by another"),
    metric("starweir_open_transactions", "gauge", &[], "Transactions prepared and not yet committed"),
    metric("starweir_source_rows_total", "counter", &["table"], "Rows read"),
    metric("starweir_source_bytes_total", "counter", &["table"], "Bytes read, as they lie in the source"),
    metric("starweir_source_errors_total", "counter", &["table"], "Messages skipped because they could not be decoded"),
    metric("starweir_source_lag", "gauge", &["table", "split"], "Messages (Kafka) or bytes (files) still to read"),
    metric("starweir_source_watermark_seconds", "gauge", &["table"], "Event-time watermark, seconds since 1970"),
    metric(
        "starweir_capture_lag_seconds",
        "gauge",
        &["source"],
        "Captures: time between a change's commit and its arrival here",
    ),
    metric("starweir_capture_lag_bytes", "gauge", &["source"], "Captures: bytes of the server's log still to read"),
    metric(
        "starweir_capture_retained_bytes",
        "gauge",
        &["source"],
        "Captures: bytes of log the server keeps for this capture",
    ),
    metric(
        "starweir_capture_snapshot",
        "gauge",
        &["source", "table"],
        "Captures: 1 while the table's snapshot is being read",
    ),
    metric(
        "starweir_capture_chunks_done",
        "gauge",
        &["source", "table"],
        "Captures: chunks of the snapshot that are read",
    ),
    metric(
        "starweir_capture_chunks",
        "gauge",
        &["source", "table"],
        "Captures: chunks of the snapshot in all, 0 when not known",
    ),
    metric("starweir_sink_rows_total", "counter", &["table"], "Rows sent: upserts and deletes"),
    metric("starweir_sink_upserts_total", "counter", &["table"], "Rows inserted or replaced"),
    metric("starweir_sink_deletes_total", "counter", &["table"], "Rows deleted"),
    metric("starweir_sink_loads_total", "counter", &["table"], "Load requests that were accepted"),
    metric(
        "starweir_sink_transactions_total",
        "counter",
        &["table"],
        "Transactions made visible: versions of the table",
    ),
    metric("starweir_sink_bytes_total", "counter", &["table"], "Bytes of load bodies"),
    metric("starweir_sink_retries_total", "counter", &["table"], "Requests that were repeated"),
    metric("starweir_sink_rows_committed_total", "counter", &["table"], "Rows whose transaction is visible"),
];

/// The metrics of a job in Prometheus' text format 0.0.4.
pub fn render(status: &JobStatus, up: bool) -> String {
    let mut out = String::new();
    let job = escape(&status.name);
    for metric in &METRICS {
        let _ = writeln!(out, "# HELP {} {}\n# TYPE {} {}", metric.name, metric.help, metric.name, metric.kind);
        let mut sample = |labels: &str, value: f64| {
            let _ = writeln!(out, "{}{{job=\"{job}\"{labels}}} {value}", metric.name);
        };
        match metric.name {
            "starweir_job_up" => sample("", f64::from(u8::from(up))),
            "starweir_job_started_seconds" => sample("", status.started_ms as f64 / 1e3),
            "starweir_epoch" => sample("", status.epoch.load(Relaxed) as f64),
            "starweir_epochs_total" => sample("", status.epochs.load(Relaxed) as f64),
            "starweir_epoch_duration_seconds" => sample("", status.epoch_duration_ms.load(Relaxed) as f64 / 1e3),
            "starweir_last_epoch_seconds" => sample("", status.last_epoch_ms.load(Relaxed) as f64 / 1e3),
            "starweir_restarts_total" => sample("", status.restarts.load(Relaxed) as f64),
            "starweir_open_transactions" => sample("", status.open_transactions.load(Relaxed) as f64),
            name if name.starts_with("starweir_source_") => {
                for source in &status.sources {
                    let table = format!(",table=\"{}\"", escape(&source.name));
                    match name {
                        "starweir_source_rows_total" => sample(&table, source.rows.load(Relaxed) as f64),
                        "starweir_source_bytes_total" => sample(&table, source.bytes.load(Relaxed) as f64),
                        "starweir_source_errors_total" => sample(&table, source.errors.load(Relaxed) as f64),
                        "starweir_source_watermark_seconds" => {
                            let watermark = source.watermark_ms.load(Relaxed);
                            if watermark != i64::MIN {
                                sample(&table, watermark as f64 / 1e3);
                            }
                        }
                        _ => {
                            for (split, lag) in source.lag.lock().iter().flatten() {
                                sample(&format!("{table},split=\"{}\"", escape(&split.0)), *lag as f64);
                            }
                        }
                    }
                }
            }
            name if name.starts_with("starweir_capture_") => {
                for (source, capture) in status.captures() {
                    let source = format!(",source=\"{}\"", escape(source));
                    let whole = match name {
                        "starweir_capture_lag_seconds" => capture.lag.milliseconds.map(|ms| ms as f64 / 1e3),
                        "starweir_capture_lag_bytes" => capture.lag.bytes.map(|bytes| bytes as f64),
                        "starweir_capture_retained_bytes" => capture.lag.retained_bytes.map(|bytes| bytes as f64),
                        _ => {
                            for progress in &capture.tables {
                                let value = match name {
                                    "starweir_capture_snapshot" => u64::from(progress.phase == "snapshot"),
                                    "starweir_capture_chunks_done" => progress.chunks_done,
                                    _ => progress.chunks,
                                };
                                let table = escape(&progress.table.to_string());
                                sample(&format!("{source},table=\"{table}\""), value as f64);
                            }
                            None
                        }
                    };
                    whole.into_iter().for_each(|value| sample(&source, value));
                }
            }
            name => {
                for counters in &status.tables() {
                    let table = format!(",table=\"{}\"", escape(&counters.name));
                    let value = match name {
                        "starweir_sink_rows_total" => &counters.rows,
                        "starweir_sink_upserts_total" => &counters.upserts,
                        "starweir_sink_deletes_total" => &counters.deletes,
                        "starweir_sink_loads_total" => &counters.loads,
                        "starweir_sink_transactions_total" => &counters.transactions,
                        "starweir_sink_bytes_total" => &counters.bytes,
                        "starweir_sink_retries_total" => &counters.retries,
                        _ => &counters.rows_committed,
                    };
                    sample(&table, value.load(Relaxed) as f64);
                }
            }
        }
    }
    out
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdc::{CaptureLag, TableProgress};
    use crate::status::{CaptureStatus, SourceCounters, TableCounters};
    use starweir_model::TableId;
    use std::sync::Arc;

    #[test]
    fn every_metric_has_its_help_type_and_labels() {
        let source = SourceCounters::new("o\"rders", 1);
        source.rows.store(3, Relaxed);
        source.watermark_ms.store(1500, Relaxed);
        source.lag.lock()[0] = vec![(starweir_model::SplitId("orders-0".into()), 9)];
        let capture = CaptureStatus {
            lag: CaptureLag { milliseconds: Some(1500), bytes: Some(7), retained_bytes: Some(9) },
            tables: vec![TableProgress {
                table: TableId::in_schema("shop", "orders"),
                phase: "snapshot",
                chunks_done: 2,
                chunks: 5,
            }],
        };
        let status = JobStatus {
            name: "j".into(),
            capture: parking_lot::Mutex::new(Some(capture)),
            sources: vec![Arc::new(source)],
            tables: parking_lot::Mutex::new(vec![TableCounters::named("shop.orders")]),
            ..JobStatus::default()
        };
        let text = render(&status, true);
        for metric in &METRICS {
            let sample = text.lines().find(|l| l.starts_with(&format!("{}{{", metric.name)));
            let sample = sample.unwrap_or_else(|| panic!("{} has no sample", metric.name));
            for label in metric.labels {
                assert!(sample.contains(&format!("{label}=\"")), "{sample}");
            }
        }
        assert!(text.contains("starweir_source_rows_total{job=\"j\",table=\"o\\\"rders\"} 3"), "{text}");
        let capture = "{job=\"j\",source=\"o\\\"rders\"";
        assert!(text.contains(&format!("starweir_capture_lag_seconds{capture}}} 1.5")), "{text}");
        assert!(text.contains(&format!("starweir_capture_chunks_done{capture},table=\"shop.orders\"}} 2")), "{text}");
        assert!(text.contains("starweir_source_watermark_seconds{job=\"j\",table=\"o\\\"rders\"} 1.5"), "{text}");
    }
}
