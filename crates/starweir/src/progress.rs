//! What is seen while a job runs: a progress bar for bounded jobs, one status line for others, plain lines where
//! standard error is no terminal.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use starweir_engine::JobStatus;

const TICK: Duration = Duration::from_millis(200);
/// Plain lines come this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows the job until dropped or told to end.
pub struct Progress {
    task: tokio::task::JoinHandle<()>,
    bar: ProgressBar,
}

impl Progress {
    pub fn start(status: Arc<JobStatus>, bounded: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = if !terminal {
            ProgressBar::hidden()
        } else if bounded {
            let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{prefix} [{bar:30}] {percent:>3}%  {msg}  {eta} left");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
            bar
        } else {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{prefix} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        };
        bar.set_prefix(status.name.clone());
        let shown = bar.clone();
        let task = tokio::spawn(async move {
            let mut before = (Instant::now(), 0u64);
            let mut lined = Instant::now();
            let mut rate = 0.0;
            loop {
                tokio::time::sleep(TICK).await;
                let rows = status.rows_read();
                let seconds = before.0.elapsed().as_secs_f64();
                if seconds >= 0.5 {
                    rate = (rows - before.1) as f64 / seconds;
                    before = (Instant::now(), rows);
                }
                let message = line(&status, rows, rate, bounded);
                if terminal {
                    if let Some((done, all)) = status.progress().filter(|_| bounded) {
                        shown.set_length(all);
                        shown.set_position(done);
                    }
                    shown.set_message(message);
                } else if lined.elapsed() >= LINE_EVERY {
                    lined = Instant::now();
                    eprintln!("{}: {message}", status.name);
                }
            }
        });
        Self { task, bar }
    }

    /// For printing above the bar.
    pub fn handle(&self) -> ProgressBar {
        self.bar.clone()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}

fn line(status: &JobStatus, rows: u64, rate: f64, bounded: bool) -> String {
    let mut text = format!("{} rows, {} rows/s", HumanCount(rows), HumanCount(rate as u64));
    if bounded {
        text.push_str(&format!(", {}", HumanBytes(status.bytes_read())));
    } else {
        text.push_str(&format!(
            ", lag {}, epoch {} ({} ms), {} open transactions",
            HumanCount(status.lag_total()),
            status.epoch.load(Relaxed),
            status.epoch_duration_ms.load(Relaxed),
            status.open_transactions.load(Relaxed),
        ));
        // Per split only while it fits on a line.
        let splits: Vec<String> = (status.sources.iter())
            .flat_map(|s| s.lag.lock().iter().flatten().cloned().collect::<Vec<_>>())
            .filter(|(_, lag)| *lag > 0)
            .map(|(split, lag)| format!("{split} {}", HumanCount(lag)))
            .collect();
        if (1..=4).contains(&splits.len()) {
            text.push_str(&format!(" [{}]", splits.join(", ")));
        }
    }
    let captures = status.captures();
    for (source, capture) in &captures {
        let of = if captures.len() > 1 { format!("{source} ") } else { String::new() };
        if let Some(ms) = capture.lag.milliseconds {
            text.push_str(&format!(", {of}{:.1} s behind", ms as f64 / 1e3));
        }
        let reading = capture.tables.iter().filter(|t| t.phase == "snapshot").count();
        if reading > 0 {
            text.push_str(&format!(", {of}snapshot of {reading} of {} tables", capture.tables.len()));
        }
    }
    let restarts = status.restarts.load(Relaxed);
    if restarts > 0 {
        text.push_str(&format!(", {restarts} restarts"));
    }
    for table in &status.tables() {
        if let Some(waiting) = table.waiting.lock().as_ref() {
            text.push_str(&format!("; {} {waiting}", table.name));
        }
    }
    text
}
