//! `cargo xtask conformance <suite>`: runs recorded cases and compares with the committed baseline.
//!
//! The cases lie beside the repository (`../shared/conformance/<suite>`); without them the run says
//! so loudly and succeeds, so that a clone alone can be built. A case that once passed must pass.

pub mod flink_cdc;
pub mod flink_sql;
mod flink_values;
mod starrocks_sql;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

/// How a case went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Passed,
    Failed,
    Skipped,
}

/// One recorded case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Case {
    pub id: String,
    pub status: Status,
    /// Why it failed or was skipped; a remark where it passed.
    #[serde(default)]
    pub reason: String,
    /// For the summary only.
    #[serde(skip)]
    pub group: String,
}

impl Case {
    pub fn new(id: impl Into<String>, group: &str, status: Status, reason: impl Into<String>) -> Self {
        Self { id: id.into(), status, reason: reason.into(), group: group.to_owned() }
    }
}

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the suite, such as flink-sql.
    pub suite: String,
    /// Directory of the cases [default: ../shared/conformance/`SUITE`].
    #[arg(long, value_name = "DIR")]
    pub cases: Option<PathBuf>,
    /// Only cases whose id contains this text.
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Writes every case with its status and reason.
    #[arg(long, value_name = "FILE.json")]
    pub report: Option<PathBuf>,
    /// Makes the cases that pass now the baseline.
    #[arg(long)]
    pub update_baseline: bool,
}

/// Runs the cases of a directory.
type Runner = fn(&Path, Option<&str>) -> anyhow::Result<Vec<Case>>;

/// Every suite there is.
const SUITES: &[(&str, Runner)] =
    &[("flink-cdc", flink_cdc::run), ("flink-sql", flink_sql::run), ("starrocks-sql", starrocks_sql::run)];

#[derive(Serialize, Deserialize)]
struct Report {
    suite: String,
    cases: Vec<Case>,
}

/// Ids that passed when the baseline was made.
#[derive(Serialize, Deserialize, Default)]
struct Baseline {
    passed: BTreeSet<String>,
}

/// The repository's directory: where `Cargo.lock` lies, from the working directory upwards.
fn repository() -> anyhow::Result<PathBuf> {
    let mut directory = std::env::current_dir()?;
    loop {
        if directory.join("Cargo.lock").is_file() {
            return Ok(directory);
        }
        if !directory.pop() {
            bail!("run this inside the repository");
        }
    }
}

/// Runs a suite. Exit code 1 when a case of the baseline fails now.
///
/// # Errors
/// When the suite is unknown or its files can not be read.
pub fn main(args: Args) -> anyhow::Result<ExitCode> {
    let Some((name, runner)) = SUITES.iter().find(|(name, _)| *name == args.suite) else {
        let known: Vec<_> = SUITES.iter().map(|(n, _)| *n).collect();
        bail!("unknown suite '{}'; there are: {}", args.suite, known.join(", "));
    };
    let repository = repository()?;
    let default = repository.join("../shared/conformance").join(name);
    let given = args.cases.is_some();
    let directory = args.cases.unwrap_or(default);
    if !directory.is_dir() {
        if given {
            bail!("there is no directory {}", directory.display());
        }
        println!("SKIPPED {name}: the recorded cases are not beside this repository");
        println!("0 passed, 0 failed, 0 skipped");
        return Ok(ExitCode::SUCCESS);
    }
    let cases = runner(&directory, args.filter.as_deref())?;
    summarize(&cases);
    if let Some(path) = &args.report {
        let report = Report { suite: (*name).to_owned(), cases: cases.clone() };
        let file = std::fs::File::create(path).with_context(|| format!("create {}", path.display()))?;
        serde_json::to_writer_pretty(std::io::BufWriter::new(file), &report)?;
    }
    let baseline_path = repository.join("conformance").join(format!("{name}.json"));
    let mut code = ExitCode::SUCCESS;
    if args.update_baseline {
        // Cases that were not run keep what the baseline says.
        let mut baseline = read_baseline(&baseline_path)?;
        for case in &cases {
            if case.status == Status::Passed {
                baseline.passed.insert(case.id.clone());
            } else {
                baseline.passed.remove(&case.id);
            }
        }
        if let Some(parent) = baseline_path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&baseline_path, serde_json::to_string_pretty(&baseline)? + "\n")?;
        println!("baseline: {} cases", baseline.passed.len());
    } else {
        let baseline = read_baseline(&baseline_path)?;
        let lost: Vec<&Case> =
            cases.iter().filter(|c| c.status == Status::Failed && baseline.passed.contains(&c.id)).collect();
        let unseen = cases.iter().filter(|c| c.status == Status::Skipped && baseline.passed.contains(&c.id)).count();
        if unseen > 0 {
            println!("SKIPPED {unseen} cases of the baseline: what they need is not here");
        }
        for case in &lost {
            println!("REGRESSED {}: {}", case.id, case.reason);
        }
        if !lost.is_empty() {
            println!("{} cases of the baseline do not pass any more", lost.len());
            code = ExitCode::from(1);
        }
    }
    let count = |status| cases.iter().filter(|c| c.status == status).count();
    println!("{} passed, {} failed, {} skipped", count(Status::Passed), count(Status::Failed), count(Status::Skipped));
    Ok(code)
}

fn read_baseline(path: &Path) -> anyhow::Result<Baseline> {
    if !path.is_file() {
        return Ok(Baseline::default());
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))
}

fn summarize(cases: &[Case]) {
    let mut groups: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for case in cases {
        let counts = groups.entry(&case.group).or_default();
        counts[match case.status {
            Status::Passed => 0,
            Status::Failed => 1,
            Status::Skipped => 2,
        }] += 1;
    }
    for (group, [passed, failed, skipped]) in groups {
        let run = passed + failed;
        let share = if run == 0 { 0.0 } else { passed as f64 * 100.0 / run as f64 };
        println!("{group:<24} {passed:>5} passed {failed:>5} failed {skipped:>5} skipped  {share:>5.1} % of those run");
    }
}
