//! Suite `starrocks-sql`: StarRocks' recorded SQL tests, replayed by the replayer that lies beside them, against a
//! warehouse of our own in a process of its own.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::Value;
use starweir_testkit::{Server, free_port};

use super::{Case, Status};
use crate::binary;
use crate::lane::python;

/// Tiers of the replayer that are run: loading, DDL and types first, then the breadth of SQL. `STARWEIR_SQL_TIERS` names
/// others: CI leaves the last one out, which takes long on a debug build.
const TIERS: &str = "P0,P0 newer,P0x,P1";
/// The time zone of the cluster that the cases were recorded on.
const TIME_ZONE: &str = "Asia/Shanghai";
/// Limits in seconds of one query and of one case: the warehouse under test is a debug build.
const LIMITS: [&str; 4] = ["--query-timeout", "120", "--case-timeout", "600"];

/// Runs the cases of a directory that holds `replay.py` (or whose default sibling does).
///
/// # Errors
/// When the replayer or the warehouse cannot be started.
pub fn run(cases: &Path, filter: Option<&str>) -> anyhow::Result<Vec<Case>> {
    let default = binary::root().join("../shared/conformance/starrocks-sql/replay.py");
    let replayer = Some(cases.join("replay.py")).filter(|p| p.exists()).unwrap_or(default);
    let folder = tempfile::tempdir()?;
    let (mysql, http) = (free_port()?, free_port()?);
    let mut command = Command::new(binary::starweir(false)?);
    command.args([
        "warehouse",
        "--ephemeral",
        "--mysql-port",
        &mysql.to_string(),
        "--http-port",
        &http.to_string(),
        "--be-port",
        "0",
    ]);
    command.stderr(Stdio::null());
    let (_warehouse, _) = Server::start("the warehouse", &mut command, "ready")?;
    let set_zone = format!(
        "import pymysql; pymysql.connect(host='127.0.0.1', port={mysql}, user='root').cursor()\
         .execute(\"SET GLOBAL time_zone = '{TIME_ZONE}'\")"
    );
    let set = Command::new(python()?).args(["-c", &set_zone]).status().context("Python could not be started")?;
    if !set.success() {
        bail!("the warehouse did not take the time zone of the recorded cases");
    }
    let results = folder.path().join("results.jsonl");
    let mut replay = Command::new(python()?);
    replay.arg(&replayer).args(["--host", "127.0.0.1", "--port", &mysql.to_string(), "--http-port", &http.to_string()]);
    let tiers = std::env::var("STARWEIR_SQL_TIERS").unwrap_or_else(|_| TIERS.to_owned());
    replay.args(["--tier", &tiers, "--cases"]).arg(cases).arg("--jsonl").arg(&results);
    replay.args(LIMITS);
    if let Some(filter) = filter {
        replay.args(["--filter", filter]);
    }
    let done =
        replay.stdin(Stdio::null()).stdout(Stdio::null()).status().context("the replayer could not be started")?;
    if !done.success() {
        bail!("the replayer ended with {done}");
    }
    let text = std::fs::read_to_string(&results)?;
    text.lines().filter(|l| !l.trim().is_empty()).map(case_of).collect()
}

fn case_of(line: &str) -> anyhow::Result<Case> {
    let result: Value = serde_json::from_str(line)?;
    let text = |key: &str| result[key].as_str().unwrap_or_default().to_owned();
    let status = match result["status"].as_str() {
        Some("passed") => Status::Passed,
        Some("skipped") => Status::Skipped,
        _ => Status::Failed,
    };
    let first = &result["failures"][0];
    let reason = match status {
        Status::Passed => String::new(),
        Status::Skipped => text("reason"),
        Status::Failed => {
            let part = |key: &str| {
                let whole = first[key].as_str().map_or_else(|| first[key].to_string(), str::to_owned);
                whole.chars().take(300).collect::<String>()
            };
            format!("{}: expected {}, got {}", part("text"), part("expect"), part("actual"))
        }
    };
    let group = text("tier");
    Ok(Case::new(text("id"), &group, status, reason))
}
