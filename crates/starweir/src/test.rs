//! `starweir test`: the tests a user writes for a pipeline.
//!
//! ```yaml
//! pipeline: pipeline.yaml
//! cases:
//!   - name: orders without an amount are left out
//!     input:
//!       - create: shop.orders
//!         columns: {id: INT NOT NULL, amount: INT}
//!         primary-keys: [id]
//!       - insert: shop.orders
//!         row: [1, 0]
//!       - insert: shop.orders
//!         row: [2, 5]
//!     expect:
//!       - insert: ods.orders
//!         row: [2, 5]
//! ```
//!
//! Events are written as the `values` source reads them. Where `expect` names no change of a table's shape, only rows are
//! compared.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value as Node, json};
use starweir_engine::TableRows;
use starweir_job::{BuiltPipeline, PipelineContext, build_pipeline};
use starweir_model::{Error, Result, SystemClock};
use starweir_pipeline::evolution::SchemaState;
use starweir_pipeline::print;
use starweir_pipeline::values::events::{Event, from_nodes, with_schemas};

use crate::cli::TestArgs;
use crate::{report, script};

pub fn command(args: &TestArgs) -> u8 {
    match run(args) {
        Ok(code) => code,
        Err(error) => report::error(&error.context(format!("test file {}", args.file.display()))),
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| Error::user(format!("{} cannot be read", path.display())).with_source(e))
}

fn run(args: &TestArgs) -> Result<u8> {
    let document: Node = serde_saphyr::from_str(&read(&args.file)?)
        .map_err(|e| Error::user("the file is not valid YAML").with_source(e))?;
    let pipeline =
        document["pipeline"].as_str().ok_or_else(|| Error::user("`pipeline` must name the file under test"))?;
    let path = args.file.parent().unwrap_or(Path::new(".")).join(pipeline);
    let context = PipelineContext {
        clock: Arc::new(SystemClock),
        local: None,
        settings: Vec::new(),
        seed: 0,
        print: Arc::new(|_| {}),
    };
    let built = build_pipeline(&read(&path)?, &script::job_name(&path), context)
        .map_err(|e| e.context(format!("pipeline {}", path.display())))?;
    let cases = document["cases"].as_array().ok_or_else(|| Error::user("`cases` must be a list"))?;
    let mut results = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let name = case["name"].as_str().map_or_else(|| format!("case {}", number + 1), str::to_owned);
        let outcome = check(&built, case);
        if !args.json {
            match &outcome {
                Ok(None) => println!("ok      {name}"),
                Ok(Some(difference)) => println!("FAILED  {name}\n{difference}"),
                Err(error) => println!("FAILED  {name}\n        {}", error.chain()),
            }
        }
        results.push((name, outcome));
    }
    let failed = results.iter().filter(|(_, outcome)| !matches!(outcome, Ok(None))).count();
    if args.json {
        let list: Vec<_> = results
            .iter()
            .map(|(name, outcome)| match outcome {
                Ok(None) => json!({"name": name, "ok": true}),
                Ok(Some(difference)) => json!({"name": name, "ok": false, "text": difference}),
                Err(error) => json!({"name": name, "ok": false, "text": error.chain()}),
            })
            .collect();
        println!("{}", json!({"passed": results.len() - failed, "failed": failed, "cases": list}));
    } else {
        println!("{} passed, {failed} failed", results.len() - failed);
    }
    Ok(u8::from(failed > 0))
}

/// None: as expected; otherwise the first difference.
fn check(built: &BuiltPipeline, case: &Node) -> Result<Option<String>> {
    let list = |key: &str| case[key].as_array().ok_or_else(|| Error::user(format!("`{key}` must be a list of events")));
    let mut flow = (built.job.flow)(SchemaState::default())?;
    let mut got: Vec<(bool, String)> = Vec::new();
    for event in from_nodes(list("input")?).map_err(|e| e.context("input"))? {
        match event {
            Event::Schema(change) => {
                for change in flow.schema_change(change)? {
                    flow.operator().applied(&change)?;
                    got.push((false, print::schema_change(&change)));
                }
            }
            Event::Change { table, change } => {
                for (sink, change) in flow.changes(&table, TableRows::Changes(vec![change]))? {
                    let Some(schema) = flow.sink_schema(&sink) else { continue };
                    got.push((true, print::row_change(&sink, schema, &change)));
                }
            }
        }
    }
    let known = flow.state().sinks.clone().into_iter().collect();
    let expected = with_schemas(list("expect")?, known).map_err(|e| e.context("expect"))?;
    let rows_only = !expected.iter().any(|event| matches!(event, Event::Schema(_)));
    let expected: Vec<String> = expected
        .iter()
        .map(|event| match event {
            Event::Schema(change) => print::schema_change(change),
            Event::Change { table, change } => {
                let schema = flow.sink_schema(table).cloned().unwrap_or_default();
                print::row_change(table, &schema, change)
            }
        })
        .collect();
    let got: Vec<&String> = got.iter().filter(|(row, _)| *row || !rows_only).map(|(_, line)| line).collect();
    let at = (0..got.len().max(expected.len())).find(|at| got.get(*at).copied() != expected.get(*at));
    Ok(at.map(|at| {
        let shown = |line: Option<&String>| line.map_or("nothing more", String::as_str).to_owned();
        format!(
            "        event {}\n        got      {}\n        expected {}",
            at + 1,
            shown(got.get(at).copied()),
            shown(expected.get(at))
        )
    }))
}
