//! `pipelines/`: whole pipelines without a database, through the same flow that a running pipeline has.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use serde_json::Value as Json;
use starweir_engine::TableRows;
use starweir_model::{
    ChangeOp, DataType, LogicalType, RowChange, SchemaChange, SystemClock, TableId, TableSchema, Value,
};
use starweir_pipeline::evolution::{SchemaOperator, SchemaState};
use starweir_pipeline::transform::{TransformRule, TransformSettings, Transformer, UserFunction, Zone};
use starweir_pipeline::{Flow, Router, SchemaChangeBehavior, evolution, print};

use super::notation::{self, Event, event, text, texts};
use super::routes::{mode, rule};
use super::{Outcome, run_file};
use crate::conformance::Case;

pub fn run(directory: &Path, filter: Option<&str>, cases: &mut Vec<Case>) -> anyhow::Result<()> {
    let sets = directory.join("pipelines/event-sets.json");
    let sets: Json = if sets.is_file() { serde_json::from_str(&std::fs::read_to_string(sets)?)? } else { Json::Null };
    for file in ["streaming", "lenient", "batch", "transform"] {
        run_file(directory, &format!("pipelines/{file}.jsonl"), filter, cases, |case| pipeline(case, &sets))?;
    }
    Ok(())
}

/// The events of a case, and the schemas their rows had.
fn events(case: &Json, sets: &Json) -> anyhow::Result<Vec<Event>> {
    let splits = match case["event_set"].as_str() {
        Some(name) => &sets[name],
        None => &case["events"],
    };
    let mut schemas: BTreeMap<TableId, TableSchema> = BTreeMap::new();
    let mut events = Vec::new();
    for json in splits.as_array().context("no events")?.iter().flat_map(|split| split.as_array().into_iter().flatten())
    {
        let event = event(json, &|table| schemas.get(table).cloned())?;
        if let Event::Schema(change) = &event {
            let after =
                evolution::schema::apply(schemas.get(change.table()), change).map_err(|e| anyhow!(e.chain()))?;
            schemas.insert(change.table().clone(), after);
        }
        events.push(event);
    }
    Ok(events)
}

fn rules(case: &Json) -> anyhow::Result<Vec<TransformRule>> {
    let optional = |json: &Json, key: &str| json[key].as_str().map(str::to_owned);
    case["transforms"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|json| {
            Ok(TransformRule {
                source_table: text(json, "source-table")?.to_owned(),
                projection: optional(json, "projection").map(|text| text.replace("\\*", "*")),
                filter: optional(json, "filter"),
                primary_keys: optional(json, "primary-keys"),
                partition_keys: optional(json, "partition-keys"),
                table_options: optional(json, "table-options"),
                table_options_delimiter: optional(json, "table-options.delimiter").or(Some(",".into())),
                converter_after_transform: optional(json, "converter-after-transform"),
                description: optional(json, "description"),
            })
        })
        .collect()
}

/// Everything a run came to.
#[derive(Default)]
struct Ran {
    lines: Vec<String>,
    /// By sink table: rows by key (or by their number where there is no key).
    rows: BTreeMap<TableId, Vec<Vec<Value>>>,
    schemas: BTreeMap<TableId, TableSchema>,
}

fn pipeline(case: &Json, sets: &Json) -> anyhow::Result<Outcome> {
    let events = events(case, sets)?;
    let mut ran = Ran::default();
    let result = feed(case, events, &mut ran);
    let expect = &case["expect"];
    if let Some(errors) = expect.get("error_texts") {
        let Err(error) = result else { return Ok(Err("did not fail".into())) };
        let text = format!("{error:#}");
        let missing: Vec<_> = texts(errors)?.into_iter().filter(|part| !text.contains(plain(part))).collect();
        return Ok(if missing.is_empty() { Ok(()) } else { Err(format!("failed with: {text}; missing {missing:?}")) });
    }
    if let Err(error) = result {
        return Ok(Err(format!("failed: {error:#}")));
    }
    for (key, expected) in expect.as_object().into_iter().flatten() {
        if let Err(reason) = compare(key, expected, &ran)? {
            return Ok(Err(reason));
        }
    }
    Ok(Ok(()))
}

/// Texts that begin with a Java class are compared without it.
fn plain(text: &str) -> &str {
    match text.split_once("Exception: ") {
        Some((class, rest)) if class.chars().all(|c| c.is_alphanumeric() || c == '.') => rest,
        _ => text,
    }
}

fn feed(case: &Json, events: Vec<Event>, ran: &mut Ran) -> anyhow::Result<()> {
    let fail = |e: starweir_model::Error| anyhow!(e.chain());
    let option = |key: &str| case["pipeline"][key].as_str();
    let behavior =
        SchemaChangeBehavior::from_name(option("schema.change.behavior").unwrap_or("LENIENT")).context("behaviour")?;
    let zone = starweir_job::pipeline::zone(option("local-time-zone").unwrap_or("UTC")).map_err(fail)?;
    let precision = if option("transform.decimal.precision.mode") == Some("UP_TO_38") { 38 } else { 19 };
    let functions: Vec<UserFunction> = case["udfs"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|json| {
            Ok(UserFunction {
                name: text(json, "name")?.to_owned(),
                classpath: text(json, "classpath")?.to_owned(),
                options: Vec::new(),
            })
        })
        .collect::<anyhow::Result<_>>()?;
    let routes = case["routes"].as_array().into_iter().flatten().map(rule).collect::<anyhow::Result<Vec<_>>>()?;
    let router = Router::new(&routes, mode(option("route-mode"))).map_err(fail)?;
    let exclude = if behavior == SchemaChangeBehavior::Lenient {
        vec!["drop.table".to_owned(), "truncate.table".to_owned()]
    } else {
        Vec::new()
    };
    let accepted = evolution::resolve_tags(&[], &exclude);
    let operator = SchemaOperator::new(router, behavior, accepted, zone, SchemaState::default());
    let mut settings = TransformSettings::new(Zone::Region(zone), Arc::new(SystemClock));
    settings.decimal_precision_max = precision;
    settings.values_in_errors = true;
    settings.metadata =
        vec![("op_ts".into(), DataType::not_null(LogicalType::BigInt)), ("timestamp-type".into(), DataType::string())];
    let transformer = Transformer::new(&rules(case)?, &functions, settings).map_err(fail)?;
    let mut flow = Flow::new(transformer, operator);
    let batch = option("execution.runtime-mode") == Some("BATCH");
    let mut announced: Vec<(TableId, TableSchema)> = Vec::new();
    for event in events {
        match event {
            Event::Schema(SchemaChange::CreateTable { table, schema }) if batch => {
                if !announced.iter().any(|(known, _)| *known == table) {
                    announced.push((table, schema));
                }
            }
            Event::Schema(change) => {
                let changes = flow.schema_change(change).map_err(fail)?;
                apply(&mut flow, changes, ran)?;
            }
            Event::Change { table, change } => {
                create(&mut flow, &mut announced, ran)?;
                for (sink, change) in flow.changes(&table, TableRows::Changes(vec![change])).map_err(fail)? {
                    let schema = flow.sink_schema(&sink).context("no sink schema")?;
                    ran.lines.push(print::row_change(&sink, schema, &change));
                    keep(ran.rows.entry(sink).or_default(), schema, &change);
                }
            }
            Event::Flush { .. } => {}
        }
    }
    create(&mut flow, &mut announced, ran)?;
    ran.schemas = flow.state().sinks.clone().into_iter().collect();
    Ok(())
}

fn create(flow: &mut Flow, announced: &mut Vec<(TableId, TableSchema)>, ran: &mut Ran) -> anyhow::Result<()> {
    if announced.is_empty() {
        return Ok(());
    }
    let changes = flow.merged_creations(std::mem::take(announced)).map_err(|e| anyhow!(e.chain()))?;
    apply(flow, changes, ran)
}

fn apply(flow: &mut Flow, changes: Vec<SchemaChange>, ran: &mut Ran) -> anyhow::Result<()> {
    for change in changes {
        ran.lines.push(print::schema_change(&change));
        // The rows that are there follow their table's columns, by name.
        let table = change.table().clone();
        let before = flow.sink_schema(&table).cloned();
        flow.operator().applied(&change).map_err(|e| anyhow!(e.chain()))?;
        match (&change, before, flow.sink_schema(&table)) {
            (SchemaChange::TruncateTable { .. } | SchemaChange::DropTable { .. }, ..) => {
                ran.rows.remove(&table);
            }
            (change, Some(before), Some(after)) => {
                let source = |name: &str| match change {
                    SchemaChange::RenameColumn { names, .. } => {
                        names.iter().find(|(_, new)| new == name).map_or(name.to_owned(), |(old, _)| old.clone())
                    }
                    _ => name.to_owned(),
                };
                for row in ran.rows.entry(table).or_default() {
                    let moved = after
                        .columns
                        .iter()
                        .map(|column| {
                            // Upstream's sink in memory does not fill defaults in.
                            let old = before.index_of(&source(&column.name)).and_then(|at| row.get(at).cloned());
                            old.unwrap_or(Value::Null)
                        })
                        .collect();
                    *row = moved;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// What upstream's sink in memory keeps: rows by key.
fn keep(rows: &mut Vec<Vec<Value>>, schema: &TableSchema, change: &RowChange) {
    let keys = schema.primary_key_indices();
    let same = |a: &[Value], b: &[Value]| {
        if keys.is_empty() { a == b } else { keys.iter().all(|at| a.get(*at) == b.get(*at)) }
    };
    if let Some(before) = &change.before {
        rows.retain(|row| !same(row, before));
    }
    if let Some(after) = &change.after
        && change.op != ChangeOp::Delete
    {
        if !keys.is_empty() {
            rows.retain(|row| !same(row, after));
        }
        rows.push(after.clone());
    }
}

/// A printed line whose maps are written in one order.
pub fn ordered_maps(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(start) = rest.find('{') {
        let Some(length) = rest[start..].find('}') else { break };
        let inner = &rest[start + 1..start + length];
        out.push_str(&rest[..=start]);
        if inner.contains(" -> ") && !inner.contains('{') && !inner.contains(": ") {
            let mut entries: Vec<&str> = inner.split(", ").collect();
            entries.sort_unstable();
            out.push_str(&entries.join(", "));
        } else {
            out.push_str(inner);
        }
        out.push('}');
        rest = &rest[start + length + 1..];
    }
    out + rest
}

fn compare(key: &str, expected: &Json, ran: &Ran) -> anyhow::Result<Outcome> {
    let lines: Vec<String> = ran.lines.iter().map(|line| ordered_maps(line)).collect();
    let wanted = |json: &Json| -> anyhow::Result<Vec<String>> {
        Ok(texts(json)?.iter().map(|line| ordered_maps(line)).collect())
    };
    let first_difference = |got: &[String], expected: &[String]| {
        let at = got.iter().zip(expected).position(|(a, b)| a != b).unwrap_or(got.len().min(expected.len()));
        format!(
            "line {}: got {:?}, expected {:?} ({} against {} lines)",
            at + 1,
            got.get(at),
            expected.get(at),
            got.len(),
            expected.len()
        )
    };
    Ok(match key {
        "output" => {
            let expected = wanted(expected)?;
            if lines == expected { Ok(()) } else { Err(first_difference(&lines, &expected)) }
        }
        "output_any_order" => {
            let (mut got, mut expected) = (lines, wanted(expected)?);
            got.sort();
            expected.sort();
            if got == expected { Ok(()) } else { Err(first_difference(&got, &expected)) }
        }
        "output_contains" => match wanted(expected)?.into_iter().find(|line| !lines.contains(line)) {
            None => Ok(()),
            Some(line) => Err(format!("no line {line}")),
        },
        "rows_contains" | "rows_in_order" | "rows_any_order" => {
            for (table, expected) in expected.as_object().context("no tables")? {
                let id: TableId = table.parse().map_err(|e: starweir_model::Error| anyhow!(e.chain()))?;
                let schema = ran.schemas.get(&id);
                let got: Vec<String> = ran
                    .rows
                    .get(&id)
                    .into_iter()
                    .flatten()
                    .map(|row| {
                        let cells: Vec<String> = schema
                            .into_iter()
                            .flat_map(|schema| &schema.columns)
                            .zip(row)
                            .map(|(column, value)| {
                                let text = if value.is_null() {
                                    String::new()
                                } else {
                                    print::value(value, Some(&column.data_type))
                                };
                                format!("{}={text}", column.name)
                            })
                            .collect();
                        format!("{table}:{}", cells.join(";"))
                    })
                    .collect();
                let expected = texts(expected)?;
                if let Some(missing) = expected.iter().find(|row| !got.contains(row)) {
                    return Ok(Err(format!("no row {missing} in {got:?}")));
                }
                if key != "rows_contains" && got.len() != expected.len() {
                    return Ok(Err(format!("got {got:?}, expected {expected:?}")));
                }
            }
            Ok(())
        }
        "schemas" => {
            for (table, expected) in expected.as_object().context("no tables")? {
                let id: TableId = table.parse().map_err(|e: starweir_model::Error| anyhow!(e.chain()))?;
                let expected = notation::schema(expected)?;
                let got = ran.schemas.get(&id);
                if got != Some(&expected) {
                    return Ok(Err(format!("schema of {table}: got {got:?}, expected {expected:?}")));
                }
            }
            Ok(())
        }
        "source_batch_mode" => Ok(()),
        other => Err(format!("the runner does not know the expectation {other}")),
    })
}
