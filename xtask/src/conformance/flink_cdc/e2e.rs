//! `e2e/`: complete pipeline files, run by the binary against a real MySQL. Skipped where there is no server.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts};
use serde_json::Value as Json;

use super::notation::{lines, text, texts};
use super::pipelines::ordered_maps;
use super::types::Server;
use super::{Case, Outcome};
use crate::conformance::Status;

/// How long all lines of a step may take.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn run(directory: &Path, filter: Option<&str>, cases: &mut Vec<Case>) -> anyhow::Result<()> {
    let folder = directory.join("e2e");
    if !folder.is_dir() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)?.filter_map(|e| Some(e.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    files.sort();
    let mut server: Option<Result<Server, String>> = None;
    for file in files {
        let group = format!("e2e/{}", file.file_stem().and_then(|s| s.to_str()).unwrap_or_default());
        for json in lines(&file)? {
            let id = text(&json, "id")?.to_owned();
            if filter.is_some_and(|text| !id.contains(text)) {
                continue;
            }
            let needs_server = json["steps"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|step| step["submit"].as_str().is_some_and(|yaml| yaml.contains("$hostname$")));
            let started = if needs_server {
                match server.get_or_insert_with(|| Server::start(directory)) {
                    Err(reason) => {
                        cases.push(Case::new(id, &group, Status::Skipped, reason.clone()));
                        continue;
                    }
                    Ok(server) => Some(&*server),
                }
            } else {
                None
            };
            let mut checked = runtime.block_on(check(&json, &folder, started));
            // A loaded machine may be slower than patience: a second failure counts.
            if !matches!(checked, Ok(Ok(()))) {
                checked = runtime.block_on(check(&json, &folder, started));
            }
            let (status, reason) = match checked {
                Ok(Ok(())) => (Status::Passed, String::new()),
                Ok(Err(reason)) => (Status::Failed, reason),
                Err(error) => (Status::Failed, format!("{error:#}")),
            };
            cases.push(Case::new(id, &group, status, reason));
        }
    }
    Ok(())
}

/// A running pipeline and everything it has printed.
struct Running {
    child: Child,
    printed: Arc<Mutex<Vec<String>>>,
    _folder: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn submit(yaml: &str) -> anyhow::Result<Running> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("pipeline.yaml");
    std::fs::write(&path, yaml)?;
    let mut child = Command::new(crate::binary::starweir(false)?)
        .arg("run")
        .arg(&path)
        .args(["--set", "execution.checkpointing.interval=300ms", "--set", "restart-strategy.type=none"])
        // Upstream's test cluster has it in its global configuration.
        .args(
            (!yaml.contains("schema.change.behavior:"))
                .then_some(["--set", "pipeline.schema.change.behavior=evolve"])
                .into_iter()
                .flatten(),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let printed: Arc<Mutex<Vec<String>>> = Arc::default();
    let outputs: [Option<Box<dyn std::io::Read + Send>>; 2] = [
        child.stdout.take().map(|out| Box::new(out) as Box<dyn std::io::Read + Send>),
        child.stderr.take().map(|out| Box::new(out) as Box<dyn std::io::Read + Send>),
    ];
    for output in outputs.into_iter().flatten() {
        let printed = printed.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Ok(mut printed) = printed.lock() {
                    printed.push(line);
                }
            }
        });
    }
    Ok(Running { child, printed, _folder: folder })
}

/// What only Flink's own runtime says.
fn is_upstreams_own(line: &str) -> bool {
    line.contains("org.apache.flink.runtime") || line.starts_with("An exception was triggered from")
}

/// An expected line without Java's wrapping: classes in front, exceptions printed with their fields.
fn plain(line: &str) -> String {
    let line = match line.split_once("Exception: ") {
        Some((class, rest)) if class.starts_with("org.apache.flink.") && !class.contains(' ') => rest,
        _ => line,
    };
    match line.split_once("Caused by: UnsupportedSchemaChangeEventException{") {
        Some((before, wrapped)) => {
            let why = wrapped.split_once("exceptionMessage='").and_then(|(_, rest)| rest.split_once("', cause="));
            format!("{before}Caused by: {}", why.map_or(wrapped, |(why, _)| why))
        }
        None => line.to_owned(),
    }
}

async fn check(case: &Json, folder: &Path, server: Option<&Server>) -> anyhow::Result<Outcome> {
    // Names are cut to what a file system holds.
    let unique = crc32fast::hash(text(case, "id")?.as_bytes());
    let database = format!("sw_e2e_{unique:08x}");
    let mut conn = None;
    let mut fill: Vec<(&str, String)> = vec![("$database$", database.clone())];
    if let Some(server) = server {
        let options = Opts::from_url(&server.url)?;
        fill.push(("$hostname$", options.ip_or_hostname().to_owned()));
        fill.push(("$username$", options.user().unwrap_or_default().to_owned()));
        fill.push(("$password$", options.pass().unwrap_or_default().to_owned()));
        fill.push(("port: 3306", format!("port: {}", options.tcp_port())));
        let mut fresh = server.connect().await?;
        fresh.query_drop(format!("DROP DATABASE IF EXISTS `{database}`")).await?;
        fresh.query_drop(format!("CREATE DATABASE `{database}`")).await?;
        fresh.query_drop(format!("USE `{database}`")).await?;
        for fixture in texts(&case["fixtures"])? {
            let path = folder.join(&fixture);
            // One fixture (of a thousand tables) is made by upstream's test and not part of the data.
            if path.is_file() {
                execute(&mut fresh, &filled(&std::fs::read_to_string(path)?, &fill)).await?;
            }
        }
        conn = Some(fresh);
    }
    let mut running: Option<Running> = None;
    let outcome = steps(case, &fill, &mut conn, &mut running).await;
    drop(running);
    if let Some(mut conn) = conn {
        let _ = conn.query_drop(format!("DROP DATABASE IF EXISTS `{database}`")).await;
    }
    outcome
}

async fn steps(
    case: &Json,
    fill: &[(&str, String)],
    conn: &mut Option<Conn>,
    running: &mut Option<Running>,
) -> anyhow::Result<Outcome> {
    for step in case["steps"].as_array().context("no steps")? {
        if let Some(yaml) = step["submit"].as_str() {
            *running = Some(submit(&filled(yaml, fill))?);
        } else if let Some(statements) = step.get("sql") {
            let conn = conn.as_mut().context("no server")?;
            for statement in texts(statements)? {
                execute(conn, &filled(&statement, fill)).await?;
            }
        } else if let Some(expected) = step.get("expect_lines").or(step.get("expect_job_log")) {
            let job = running.as_mut().context("nothing was submitted")?;
            let expected: Vec<String> = texts(expected)?
                .iter()
                .filter(|line| !is_upstreams_own(line))
                .map(|line| ordered_maps(&filled(&plain(line), fill)))
                .collect();
            if step.get("expect_job_log").is_some() {
                continue;
            }
            if let Some(missing) = missing(job, &expected) {
                let printed = job.printed.lock().map_err(|_| anyhow!("a reader panicked"))?;
                let tail: Vec<_> = printed.iter().rev().take(6).rev().cloned().collect();
                return Ok(Err(format!("not printed: {missing}; last lines: {tail:#?}")));
            }
        } else if step["wait"] == "job finished" {
            let job = running.as_mut().context("nothing was submitted")?;
            let since = Instant::now();
            while job.child.try_wait()?.is_none() {
                if since.elapsed() > PATIENCE {
                    return Ok(Err("the job did not finish".into()));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        // `incremental stage`: here snapshot and stream run together, there is nothing to wait for.
    }
    Ok(Ok(()))
}

/// The first expected line that did not come in time, or that never will because the job ended.
fn missing(job: &mut Running, expected: &[String]) -> Option<String> {
    let since = Instant::now();
    loop {
        let ended = job.child.try_wait().ok().flatten().is_some();
        let found = {
            let printed = job.printed.lock().ok()?;
            let printed: Vec<String> = printed.iter().map(|line| ordered_maps(line)).collect();
            expected.iter().find(|line| !printed.iter().any(|p| p.ends_with(line.as_str()))).cloned()
        };
        match found {
            None => return None,
            Some(line) if since.elapsed() > PATIENCE || (ended && since.elapsed() > Duration::from_secs(1)) => {
                return Some(line);
            }
            Some(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn filled(text: &str, fill: &[(&str, String)]) -> String {
    fill.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

async fn execute(conn: &mut Conn, script: &str) -> anyhow::Result<()> {
    let lines: Vec<&str> = script.lines().filter(|l| !l.trim_start().starts_with("--")).collect();
    for statement in lines.join("\n").split(";\n").map(|s| s.trim().trim_end_matches(';')).filter(|s| !s.is_empty()) {
        conn.query_drop(statement).await.with_context(|| statement.to_owned())?;
    }
    Ok(())
}
