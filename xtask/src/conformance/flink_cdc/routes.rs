//! `routes/`: table patterns and routing.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use serde_json::Value as Json;
use starweir_model::{Selector, TableId};
use starweir_pipeline::{RouteMode, RouteRule, Router};

use super::notation::{table_id, text, texts};
use super::{Outcome, run_file};
use crate::conformance::Case;

pub fn run(directory: &Path, filter: Option<&str>, cases: &mut Vec<Case>) -> anyhow::Result<()> {
    run_file(directory, "routes/selectors.jsonl", filter, cases, selector)?;
    run_file(directory, "routes/patterns.jsonl", filter, cases, |case| {
        Ok(same(starweir_pipeline::route::pattern(text(case, "pattern")?).as_str(), text(case, "regex")?))
    })?;
    run_file(directory, "routes/routes.jsonl", filter, cases, route)?;
    run_file(directory, "routes/groups.jsonl", filter, cases, groups)?;
    run_file(directory, "routes/mysql-table-lists.jsonl", filter, cases, table_list)
}

pub fn same<T: PartialEq + std::fmt::Debug + ?Sized>(got: &T, expected: &T) -> Outcome {
    if got == expected { Ok(()) } else { Err(format!("got {got:?}, expected {expected:?}")) }
}

pub fn router(case: &Json) -> anyhow::Result<Router> {
    let rules = match &case["rules"] {
        Json::Null => &case["routes"],
        rules => rules,
    };
    let rules: Vec<RouteRule> =
        rules.as_array().context("no rules")?.iter().map(rule).collect::<anyhow::Result<_>>()?;
    Router::new(&rules, mode(case["route_mode"].as_str())).map_err(|e| anyhow!(e.chain()))
}

pub fn mode(name: Option<&str>) -> RouteMode {
    if name == Some("FIRST_MATCH") { RouteMode::FirstMatch } else { RouteMode::AllMatch }
}

pub fn rule(json: &Json) -> anyhow::Result<RouteRule> {
    Ok(RouteRule {
        source_table: text(json, "source-table")?.to_owned(),
        sink_table: text(json, "sink-table")?.to_owned(),
        replace_symbol: json["replace-symbol"].as_str().map(str::to_owned),
        description: json["description"].as_str().map(str::to_owned),
    })
}

fn selector(case: &Json) -> anyhow::Result<Outcome> {
    let selector = Selector::parse(text(case, "pattern")?).map_err(|e| anyhow!(e.chain()))?;
    let part = |key: &str| case[key].as_str().map(str::to_owned);
    let id = TableId { namespace: part("namespace"), schema: part("schema"), table: text(case, "table")?.to_owned() };
    Ok(same(&selector.matches(&id), &case["matches"].as_bool().context("no answer")?))
}

fn route(case: &Json) -> anyhow::Result<Outcome> {
    let sinks = router(case)?.route(&table_id(&case["table"])?).map_err(|e| anyhow!(e.chain()))?;
    let mut sinks: Vec<String> = sinks.iter().map(ToString::to_string).collect();
    let mut expected = texts(&case["sinks"])?;
    if case["ordered"] != Json::Bool(true) {
        sinks.sort();
        expected.sort();
    }
    Ok(same(&sinks, &expected))
}

fn groups(case: &Json) -> anyhow::Result<Outcome> {
    let tables = case["tables"].as_array().context("no tables")?.iter().map(table_id).collect::<Result<Vec<_>, _>>()?;
    let mut groups: Vec<Vec<String>> = router(case)?
        .groups(&tables)
        .into_iter()
        .map(|group| sorted(group.iter().map(ToString::to_string).collect()))
        .collect();
    let mut expected: Vec<Vec<String>> = case["groups"]
        .as_array()
        .context("no groups")?
        .iter()
        .map(|group| texts(group).map(sorted))
        .collect::<Result<_, _>>()?;
    if case["ordered"] == Json::Bool(false) {
        groups.sort();
        expected.sort();
    }
    Ok(same(&groups, &expected))
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

fn table_list(case: &Json) -> anyhow::Result<Outcome> {
    let tables = text(case, "tables")?;
    if let Some(pattern) = case["expect_debezium_pattern"].as_array() {
        let expected: Vec<_> = pattern.iter().filter_map(Json::as_str).map(str::to_owned).collect();
        return Ok(same(&vec![starweir_pipeline::route::pattern(tables)], &expected));
    }
    let include = Selector::parse(tables).map_err(|e| anyhow!(e.chain()))?;
    let exclude = case["tables.exclude"].as_str().map(Selector::parse).transpose().map_err(|e| anyhow!(e.chain()))?;
    let existing = case["existing_tables"].as_array().context("no tables")?;
    let mut captured = Vec::new();
    for table in existing {
        let id = table_id(table)?;
        if include.matches(&id) && !exclude.as_ref().is_some_and(|exclude| exclude.matches(&id)) {
            captured.push(id.to_string());
        }
    }
    if !case["expect_tables"].is_null() {
        return Ok(same(&sorted(captured), &sorted(texts(&case["expect_tables"])?)));
    }
    // Every table is (id INT PRIMARY KEY NOT NULL) with the row 17.
    let mut lines = Vec::new();
    for table in &captured {
        lines.push(format!(
            "CreateTableEvent{{tableId={table}, schema=columns={{`id` INT NOT NULL}}, primaryKeys=id, options=()}}"
        ));
        lines.push(format!("DataChangeEvent{{tableId={table}, before=[], after=[17], op=INSERT, meta=()}}"));
    }
    Ok(same(&sorted(lines), &sorted(texts(&case["expect_output"])?)))
}
