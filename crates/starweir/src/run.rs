//! `starweir run`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use starweir_engine::run::new_status;
use starweir_engine::store::{LocalStore, RemoteStore};
use starweir_engine::{CheckpointStore, EpochStep, JobEnd, RunOptions, StopSignal};
use starweir_job::{SelectRows, Stage, StageKind, build_job};
use starweir_model::{Clock, Error, Result, RowKind, SystemClock};

use crate::cli::RunArgs;
use crate::grid::grid;
use crate::local::{Local, table_name};
use crate::metrics::{self, Shown};
use crate::progress::Progress;
use crate::report;
use crate::script::{self, Loaded};
use crate::summary::Summary;

/// The folder of jobs' states within a kept local warehouse.
const LOCAL_STATE: &str = "jobs";
/// Rows of an endless SELECT are shown as they come; of a bounded one, so many are kept for a table.
const SELECT_ROWS_MAX: usize = 100_000;

pub async fn command(args: RunArgs, started_ms: i64) -> u8 {
    if crate::pipeline::is_pipeline(&args.script.script) {
        return crate::pipeline::run(args, started_ms).await;
    }
    match run_script(&args, started_ms).await {
        Ok(code) => code,
        Err(error) => report::error(&error),
    }
}

async fn run_script(args: &RunArgs, started_ms: i64) -> Result<u8> {
    let at_step = steps(args.die_at.as_deref())?;
    let local = match &args.local {
        Some(directory) => Some(Local::start(directory.as_deref()).await?),
        None => None,
    };
    let loaded = match script::load(&args.script, local.as_ref().map(|l| l.target.clone())) {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    let shown = Shown::default();
    if let Some(address) = args.metrics {
        let (bound, _task) = metrics::serve(address, shown.clone()).await?;
        eprintln!("metrics at http://{bound}/metrics");
    }
    let stop = StopSignal::default();
    tokio::spawn(listen_for_stop(stop.clone()));

    let jobs = loaded.script.jobs();
    let mut job_number = 0;
    let mut code = 0;
    for stage in &loaded.script.stages {
        match &stage.kind {
            StageKind::Rows { columns, rows } => {
                let rows: Vec<Vec<Option<String>>> =
                    rows.iter().map(|row| row.iter().cloned().map(Some).collect()).collect();
                print!("{}", grid(columns, &rows));
            }
            StageKind::Text(text) => println!("{text}"),
            StageKind::Inserts(_) | StageKind::Select(_) => {
                job_number += 1;
                let place = Place { args, jobs, job_number, local: local.as_ref() };
                code = run_stage(&loaded, stage, place, &shown, &stop, &at_step, started_ms).await?;
                if code != 0 {
                    break;
                }
            }
        }
    }
    if let Some(local) = local {
        local.stop().await?;
    }
    Ok(code)
}

/// Where a job of a script keeps its state.
pub(crate) struct Place<'a> {
    pub args: &'a RunArgs,
    pub jobs: usize,
    pub job_number: usize,
    pub local: Option<&'a Local>,
}

async fn run_stage(
    loaded: &Loaded,
    stage: &Stage,
    place: Place<'_>,
    shown: &Shown,
    stop: &StopSignal,
    at_step: &Arc<dyn Fn(EpochStep) + Send + Sync>,
    started_ms: i64,
) -> Result<u8> {
    let args = place.args;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let name = stage.settings.name.clone().unwrap_or_else(|| script::job_name(&args.script.script));
    let kept_rows: Arc<Mutex<Vec<Vec<Option<String>>>>> = Arc::default();
    let is_select = matches!(stage.kind, StageKind::Select(_));
    let collected = kept_rows.clone();
    let show: SelectRows = Arc::new(move |kind, row| show_row(&collected, kind, row));
    let seed = u64::from_le_bytes(chance());
    let job = match build_job(&loaded.script, stage, &name, clock.clone(), seed, show) {
        Ok(job) => job,
        Err(diagnostics) => return Ok(report::diagnostics(&loaded.shown, &loaded.script.text, &diagnostics)),
    };
    if let Some(local) = place.local {
        local.create_missing(&job.targets).await?;
    }
    let exactly_once = job.targets.iter().any(|t| t.delivery.starts_with("exactly-once"));
    let (store, _kept) = open_store(&place, stage.settings.checkpoint_dir.as_deref(), &name, is_select, exactly_once)?;

    let status = new_status(&job.graph, stage.settings.parallelism, &*clock);
    *shown.lock() = Some(status.clone());
    let progress = Progress::start(status.clone(), job.bounded);
    let bar = progress.handle();
    let options = RunOptions {
        checkpoint_interval: stage.settings.checkpoint_interval,
        checkpoint_pause_min: stage.settings.checkpoint_pause_min,
        parallelism: stage.settings.parallelism,
        restart: stage.settings.restart,
        clock: clock.clone(),
        new_job_id: chance::<4>().iter().map(|b| format!("{b:02x}")).collect(),
        fresh: args.fresh,
        stop: stop.clone(),
        note: Arc::new(
            move |text| if bar.is_hidden() { eprintln!("note: {text}") } else { bar.println(format!("note: {text}")) },
        ),
        at_step: at_step.clone(),
    };
    let started = Instant::now();
    let result = Box::pin(starweir_engine::run(&job.graph, &*store, &status, &options)).await;
    drop(progress);
    let elapsed_ms = started.elapsed().as_millis() as u64;
    let ended = match &result {
        Ok(JobEnd::Finished) => "finished",
        Ok(JobEnd::Stopped | JobEnd::Abandoned) => "stopped",
        Err(_) => "failed",
    };
    let error = result.as_ref().err().map(Error::chain);
    let summary = Summary::of(&status, ended, elapsed_ms, started_ms, error);
    if is_select && !args.script.json {
        let rows = std::mem::take(&mut *kept_rows.lock());
        if let StageKind::Select(query) = &stage.kind
            && job.bounded
        {
            let columns: Vec<String> = query.schema.columns.iter().map(|c| c.name.clone()).collect();
            print!("{}", grid(&columns, &rows));
            println!("{} rows", rows.len());
        }
    }
    if args.script.json {
        println!("{}", serde_json::to_string(&summary).map_err(|e| Error::internal("the summary").with_source(e))?);
    } else if !is_select {
        eprint!("{}", summary.text());
        if let (Some(local), Ok(_)) = (place.local, &result) {
            let mut seen = Vec::new();
            for table in job.targets.iter().filter(|t| t.connector == "starrocks").filter_map(table_name) {
                if !seen.contains(&table) {
                    println!("\n{}", local.show(&table).await?.trim_end());
                    seen.push(table);
                }
            }
        }
    }
    match result {
        Ok(_) => Ok(0),
        Err(error) => Ok(report::error(&error)),
    }
}

fn show_row(kept: &Mutex<Vec<Vec<Option<String>>>>, kind: RowKind, row: Vec<Option<String>>) {
    let mut kept = kept.lock();
    if kind == RowKind::Insert && kept.len() < SELECT_ROWS_MAX {
        kept.push(row);
        return;
    }
    let texts: Vec<String> = row.into_iter().map(|t| t.unwrap_or_else(|| "NULL".into())).collect();
    println!("{} {}", kind.short(), texts.join("\t"));
}

/// A temporary directory that goes with the run.
pub(crate) type Temporary = Option<TemporaryDirectory>;

pub(crate) struct TemporaryDirectory(PathBuf);

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Opens the job's state: `--state`, the script's checkpoint directory, the kept local warehouse's own, or one that
/// ends with the process.
pub(crate) fn open_store(
    place: &Place<'_>,
    checkpoint_dir: Option<&str>,
    name: &str,
    is_select: bool,
    exactly_once: bool,
) -> Result<(Box<dyn CheckpointStore>, Temporary)> {
    if is_select {
        return temporary_store();
    }
    let args = place.args;
    let kept = args.local.as_ref().and_then(Option::as_deref);
    match state_place(args.state.as_deref(), checkpoint_dir, kept, name) {
        Some(StatePlace::Folder(folder)) => {
            // Each of several jobs has a folder of its own.
            let own = if place.jobs > 1 {
                folder.join(format!("{}-{}", place.job_number, folder_name(name)))
            } else {
                folder
            };
            return Ok((Box::new(LocalStore::open(&own)?), None));
        }
        Some(StatePlace::Url(url)) => {
            let variables = std::env::vars().filter(|(k, _)| k.starts_with("AWS_")).map(|(k, v)| (k.to_lowercase(), v));
            return Ok((Box::new(RemoteStore::open(&url, variables)?), None));
        }
        None => {}
    }
    if exactly_once && place.local.is_none() {
        eprintln!(
            "note: without --state the job's position ends with this process; use --state DIR to go on after a restart"
        );
    }
    temporary_store()
}

/// Where a job's state outlives its process.
pub(crate) enum StatePlace {
    Folder(PathBuf),
    /// In an object store.
    Url(String),
}

/// `--state`, else the checkpoint directory of the settings, else the kept local warehouse's own.
pub(crate) fn state_place(
    state: Option<&Path>,
    checkpoint_dir: Option<&str>,
    local: Option<&Path>,
    name: &str,
) -> Option<StatePlace> {
    if let Some(state) = state {
        return Some(StatePlace::Folder(state.to_owned()));
    }
    let Some(dir) = checkpoint_dir else {
        return Some(StatePlace::Folder(local?.join(LOCAL_STATE).join(folder_name(name))));
    };
    // A checkpoint directory may be shared by jobs, so each has a folder in it.
    Some(match dir.split_once("://") {
        None => StatePlace::Folder(Path::new(dir).join(folder_name(name))),
        Some(("file", path)) => StatePlace::Folder(Path::new(path).join(folder_name(name))),
        Some(_) => StatePlace::Url(format!("{}/{}", dir.trim_end_matches('/'), folder_name(name))),
    })
}

fn temporary_store() -> Result<(Box<dyn CheckpointStore>, Temporary)> {
    let unique: String = chance::<8>().iter().map(|b| format!("{b:02x}")).collect();
    let path = std::env::temp_dir().join(format!("starweir-{}-{unique}", std::process::id()));
    let store = LocalStore::open(&path)?;
    Ok((Box::new(store), Some(TemporaryDirectory(path))))
}

fn folder_name(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' }).collect()
}

/// Bytes nobody can guess; from the operating system.
pub(crate) fn chance<const N: usize>() -> [u8; N] {
    use std::io::Read;
    let mut bytes = [0; N];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    if read.is_err() {
        // No such device: the time and the process tell runs apart, which is all that is needed.
        let now = SystemClock.now_ms() as u64 ^ (u64::from(std::process::id()) << 32);
        for (byte, from) in bytes.iter_mut().zip(now.to_le_bytes().iter().cycle()) {
            *byte = *from;
        }
    }
    bytes
}

pub(crate) async fn listen_for_stop(stop: StopSignal) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    let mut asked = 0;
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        asked += 1;
        if asked == 1 {
            eprintln!("finishing the epoch; Ctrl-C again stops at once");
            stop.finish();
        } else {
            stop.abandon();
        }
    }
}

/// The hook of `--die-at`.
pub(crate) fn steps(die_at: Option<&str>) -> Result<Arc<dyn Fn(EpochStep) + Send + Sync>> {
    let Some(text) = die_at else { return Ok(Arc::new(|_| {})) };
    let (name, nth) = match text.split_once(':') {
        Some((name, nth)) => (name, nth.parse::<u64>().ok()),
        None => (text, Some(1)),
    };
    let known: Vec<&str> = EpochStep::ALL.iter().map(|s| s.name()).collect();
    let (Some(step), Some(nth)) = (EpochStep::from_name(name), nth) else {
        return Err(Error::user(format!("--die-at {text}: write STEP or STEP:N with one of {}", known.join(", "))));
    };
    let seen = AtomicU64::new(0);
    Ok(Arc::new(move |at| {
        if at == step && seen.fetch_add(1, Ordering::SeqCst) + 1 == nth {
            std::process::abort();
        }
    }))
}
