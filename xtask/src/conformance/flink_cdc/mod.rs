//! The suite flink-cdc: what Apache Flink CDC's own tests state about pipelines.
//!
//! Each module runs one folder of the cases. A folder or file that is missing is no error: any directory in this
//! layout is taken.

mod definitions;
mod e2e;
mod evolution;
mod formats;
mod mysql_ddl;
mod notation;
mod pipelines;
mod postgres_types;
mod routes;
mod starrocks_sink;
mod transform;
mod types;

use std::path::Path;

use serde_json::Value as Json;

use super::{Case, Status};

/// What a case came to: Ok(()) passed, Err(reason) failed.
type Outcome = Result<(), String>;

/// Runs the cases of `folder/file` that match the filter. A panic fails its case alone.
fn run_file(
    directory: &Path,
    file: &str,
    filter: Option<&str>,
    cases: &mut Vec<Case>,
    check: impl Fn(&Json) -> anyhow::Result<Outcome>,
) -> anyhow::Result<()> {
    let path = directory.join(file);
    if !path.is_file() {
        return Ok(());
    }
    let group = file.trim_end_matches(".jsonl");
    for json in notation::lines(&path)? {
        let id = notation::text(&json, "id")?.to_owned();
        if filter.is_some_and(|text| !id.contains(text)) {
            continue;
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&json)));
        let (status, reason) = match outcome {
            Ok(Ok(Ok(()))) => (Status::Passed, String::new()),
            Ok(Ok(Err(reason))) => (Status::Failed, reason),
            Ok(Err(error)) => (Status::Failed, format!("{error:#}")),
            Err(_) => (Status::Failed, "panicked".to_owned()),
        };
        cases.push(Case::new(id, group, status, reason));
    }
    Ok(())
}

/// Runs every folder of the suite that the directory has.
pub fn run(directory: &Path, filter: Option<&str>) -> anyhow::Result<Vec<Case>> {
    let mut cases = Vec::new();
    definitions::run(directory, filter, &mut cases)?;
    evolution::run(directory, filter, &mut cases)?;
    pipelines::run(directory, filter, &mut cases)?;
    routes::run(directory, filter, &mut cases)?;
    starrocks_sink::run(directory, filter, &mut cases)?;
    transform::run(directory, filter, &mut cases)?;
    mysql_ddl::run(directory, filter, &mut cases)?;
    types::run(directory, filter, &mut cases)?;
    postgres_types::run(directory, filter, &mut cases)?;
    e2e::run(directory, filter, &mut cases)?;
    formats::run(directory, filter, &mut cases)?;
    Ok(cases)
}
