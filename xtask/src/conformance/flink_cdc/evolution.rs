//! `schema-evolution/`: merging, widening, the five behaviours.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value as Json, json};
use starweir_model::{Error, SchemaChange, SchemaChangeKind, TableId, TableSchema, Value};
use starweir_pipeline::evolution::{self, SchemaChangeBehavior, SchemaOperator, SchemaState, coerce, schema, types};
use starweir_pipeline::{Router, print};

use super::notation::{self, Event, data_type, event, table_id, text, texts};
use super::routes::{router, same};
use super::{Outcome, run_file};
use crate::conformance::Case;

pub fn run(directory: &Path, filter: Option<&str>, cases: &mut Vec<Case>) -> anyhow::Result<()> {
    for file in ["schema-utils", "schema-merging", "least-common-type", "change-event-options"] {
        run_file(directory, &format!("schema-evolution/{file}.jsonl"), filter, cases, function)?;
    }
    let derivator = "schema-evolution/derivator.jsonl";
    let known = known_tables(&directory.join(derivator))?;
    run_file(directory, derivator, filter, cases, |case| derive(case, &known))?;
    run_file(directory, "schema-evolution/normalize.jsonl", filter, cases, normalize)?;
    run_file(directory, "schema-evolution/schema-manager.jsonl", filter, cases, manager)?;
    run_file(directory, "schema-evolution/behaviors.jsonl", filter, cases, behaviors)?;
    run_file(directory, "schema-evolution/behaviors-parallel-source.jsonl", filter, cases, behaviors)
}

fn fail(error: Error) -> anyhow::Error {
    anyhow!(error.chain())
}

/// What a function came to, in the notation of the cases.
enum Answer {
    Schema(TableSchema),
    Column(starweir_model::TableColumn),
    Changes(Vec<SchemaChange>),
    Type(starweir_model::DataType),
    Value(Value, starweir_model::DataType),
    Row(Vec<Value>, TableSchema),
    Json(Json),
}

fn function(case: &Json) -> anyhow::Result<Outcome> {
    let args = case["args"].as_array().context("no arguments")?;
    let answer = call(text(case, "function")?, args)?;
    let expect = &case["expect"];
    if expect.get("exception").is_some() {
        return Ok(match answer {
            Ok(_) => Err("did not fail".into()),
            Err(error) => {
                let part = expect["message_contains"].as_str().or(expect["message"].as_str()).unwrap_or_default();
                if error.chain().contains(part) { Ok(()) } else { Err(format!("failed with: {}", error.chain())) }
            }
        });
    }
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(format!("failed: {}", error.chain()))),
    };
    let unordered = &expect["equals_unordered"];
    let expected = if unordered.is_null() { &expect["equals"] } else { unordered };
    Ok(match answer {
        Answer::Schema(got) if expected.is_null() => Err(format!("got {got:?}, expected nothing")),
        Answer::Schema(got) => same(&got, &notation::schema(expected)?),
        Answer::Column(got) => same(&got, &notation::column(expected)?),
        Answer::Type(got) => same(&got, &data_type(expected)?),
        Answer::Value(got, of) => {
            same(&print::value(&got, Some(&of)), &print::value(&notation::value(expected, &of)?, Some(&of)))
        }
        Answer::Row(got, schema) => same(&got, &notation::row(expected, &schema)?),
        Answer::Changes(got) => {
            let expected: Vec<_> = expected
                .as_array()
                .context("no changes")?
                .iter()
                .map(|json| match event(json, &|_| None)? {
                    Event::Schema(change) => Ok(sorted(change)),
                    other => bail!("{other:?} is no schema change"),
                })
                .collect::<anyhow::Result<_>>()?;
            same(&got.into_iter().map(sorted).collect::<Vec<_>>(), &expected)
        }
        Answer::Json(got) => {
            let set = |json: &Json| json.as_array().map(|a| a.iter().map(ToString::to_string).collect::<BTreeSet<_>>());
            if unordered.is_null() { same(&got, expected) } else { same(&set(&got), &set(expected)) }
        }
    })
}

/// Names that upstream keeps in hash maps have no order.
fn sorted(mut change: SchemaChange) -> SchemaChange {
    if let SchemaChange::AlterColumnType { types, old_types, comments, .. } = &mut change {
        types.sort_by(|a, b| a.0.cmp(&b.0));
        old_types.sort_by(|a, b| a.0.cmp(&b.0));
        comments.sort();
    }
    match &mut change {
        SchemaChange::RenameColumn { names, .. } => names.sort(),
        SchemaChange::DropColumn { columns, .. } => columns.sort(),
        _ => {}
    }
    change
}

fn call(name: &str, args: &[Json]) -> anyhow::Result<Result<Answer, Error>> {
    let arg = |at: usize| args.get(at).unwrap_or(&Json::Null);
    let optional = |at: usize| if arg(at).is_null() { Ok(None) } else { notation::schema(arg(at)).map(Some) };
    Ok(match name {
        "applySchemaChangeEvent" => {
            let before = optional(0)?;
            let Event::Schema(change) = event(arg(1), &|_| None)? else { bail!("no schema change") };
            schema::apply(before.as_ref(), &change).map(Answer::Schema)
        }
        "isSchemaCompatible" => {
            let answer = schema::is_schema_compatible(optional(0)?.as_ref(), &notation::schema(arg(1))?);
            Ok(Answer::Json(json!(answer)))
        }
        "getLeastCommonSchema" => {
            Ok(Answer::Schema(schema::least_common_schema(optional(0)?.as_ref(), &notation::schema(arg(1))?)))
        }
        "getSchemaDifference" => {
            let changes = schema::difference(&table_id(arg(0))?, optional(1)?.as_ref(), &notation::schema(arg(2))?);
            Ok(Answer::Changes(changes))
        }
        "mergeAndDiff" => {
            let table = "foo.bar.baz".parse().map_err(fail)?;
            Ok(Answer::Changes(schema::merge_and_diff(&table, optional(0)?.as_ref(), &notation::schema(arg(1))?)))
        }
        "isDataTypeCompatible" => {
            let answer = !arg(0).is_null() && types::is_compatible(&data_type(arg(0))?, &data_type(arg(1))?);
            Ok(Answer::Json(json!(answer)))
        }
        "getLeastCommonType" => Ok(Answer::Type(types::least_common(&data_type(arg(0))?, &data_type(arg(1))?))),
        "inferWiderType" => types::infer_wider(&data_type(arg(0))?, &data_type(arg(1))?).map(Answer::Type),
        "getNumericPrecision" => types::numeric_precision(&data_type(arg(0))?).map(|p| Answer::Json(json!(p))),
        "inferWiderColumn" => {
            schema::infer_wider_column(&notation::column(arg(0))?, &notation::column(arg(1))?).map(Answer::Column)
        }
        "inferWiderSchema" => {
            schema::infer_wider_schema(&notation::schema(arg(0))?, &notation::schema(arg(1))?).map(Answer::Schema)
        }
        "coerceObject" => {
            let zone = arg(0).as_str().context("no zone")?.parse().map_err(|_| anyhow!("zone"))?;
            let (from, to) = (data_type(arg(2))?, data_type(arg(3))?);
            coerce::coerce(zone, &notation::value(arg(1), &from)?, &from, &to).map(|value| Answer::Value(value, to))
        }
        "coerceRow" => {
            let zone = arg(0).as_str().context("no zone")?.parse().map_err(|_| anyhow!("zone"))?;
            let (current, upcoming) = (notation::schema(arg(1))?, notation::schema(arg(2))?);
            let row = notation::row(arg(3), &upcoming)?;
            Ok(Answer::Row(coerce::coerce_row(zone, &current, &upcoming, &row), current))
        }
        "resolveSchemaEvolutionOptions" => {
            Ok(Answer::Json(tags(evolution::resolve_tags(&texts(arg(0))?, &texts(arg(1))?))))
        }
        "resolveSchemaEvolutionTag" => {
            Ok(Answer::Json(tags(evolution::resolve_tag(arg(0).as_str().context("no tag")?))))
        }
        other => bail!("no function {other}"),
    })
}

fn tags(kinds: Vec<SchemaChangeKind>) -> Json {
    json!(kinds.into_iter().map(SchemaChangeKind::tag).collect::<Vec<_>>())
}

/// Every source table that the file names: what "all upstream tables" are to its cases.
fn known_tables(path: &Path) -> anyhow::Result<Vec<TableId>> {
    let mut known = BTreeSet::new();
    if path.is_file() {
        for case in notation::lines(path)? {
            let key = if case["function"] == "upstream_tables_of_sink" { "expect" } else { "tables" };
            for table in case[key].as_array().into_iter().flatten().filter(|json| json.is_string()) {
                known.insert(table_id(table)?);
            }
        }
    }
    Ok(known.into_iter().collect())
}

fn derive(case: &Json, known: &[TableId]) -> anyhow::Result<Outcome> {
    let router = router(case)?;
    let names = |ids: &BTreeSet<TableId>| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let expected = || -> anyhow::Result<Vec<String>> {
        let mut expected = texts(&case["expect"])?;
        expected.sort();
        Ok(expected)
    };
    let tables = || case["tables"].as_array().into_iter().flatten().map(table_id).collect::<anyhow::Result<Vec<_>>>();
    match text(case, "function")? {
        "affected_sinks" => {
            let mut sinks = BTreeSet::new();
            for table in tables()? {
                sinks.extend(router.route(&table).map_err(fail)?);
            }
            Ok(same(&names(&sinks), &expected()?))
        }
        "upstream_tables_of_sink" => {
            let sinks = tables()?;
            let mut sources = BTreeSet::new();
            for table in known {
                if router.route(table).map_err(fail)?.iter().any(|sink| sinks.contains(sink)) {
                    sources.insert(table.clone());
                }
            }
            Ok(same(&names(&sources), &expected()?))
        }
        _ => merged(case, router),
    }
}

fn merged(case: &Json, router: Router) -> anyhow::Result<Outcome> {
    let changes = |key: &str| -> anyhow::Result<Vec<(TableId, TableSchema)>> {
        case[key]
            .as_array()
            .with_context(|| format!("no {key}"))?
            .iter()
            .map(|json| match event(json, &|_| None)? {
                Event::Schema(SchemaChange::CreateTable { table, schema }) => Ok((table, schema)),
                other => bail!("{other:?} creates no table"),
            })
            .collect()
    };
    let input = if case["events"].is_null() { "input" } else { "events" };
    let mut operator = SchemaOperator::new(
        router,
        SchemaChangeBehavior::Evolve,
        SchemaChangeKind::ALL.to_vec(),
        chrono_tz::UTC,
        SchemaState::default(),
    );
    let mut got = operator.merged_creations(&changes(input)?).map_err(fail)?;
    got.sort_by_key(|change| change.table().clone());
    let expect = if case["expect_events"].is_null() { "expect" } else { "expect_events" };
    let mut expected: Vec<_> =
        changes(expect)?.into_iter().map(|(table, schema)| SchemaChange::CreateTable { table, schema }).collect();
    expected.sort_by_key(|change| change.table().clone());
    Ok(same(&got, &expected))
}

fn behavior(case: &Json) -> anyhow::Result<SchemaChangeBehavior> {
    SchemaChangeBehavior::from_name(text(case, "behavior")?).context("no such behaviour")
}

fn schema_changes(json: &Json) -> anyhow::Result<Vec<SchemaChange>> {
    json.as_array()
        .context("no events")?
        .iter()
        .map(|json| match event(json, &|_| None)? {
            Event::Schema(change) => Ok(change),
            other => bail!("{other:?} is no schema change"),
        })
        .collect()
}

fn normalize(case: &Json) -> anyhow::Result<Outcome> {
    let before = if case["schema_before"].is_null() { None } else { Some(notation::schema(&case["schema_before"])?) };
    let changes = schema_changes(&case["events"])?;
    let got = evolution::normalize(before.as_ref(), changes, behavior(case)?, &SchemaChangeKind::ALL).map_err(fail)?;
    let expected = schema_changes(&case["expect_events"])?;
    Ok(same(&got.into_iter().map(sorted).collect::<Vec<_>>(), &expected.into_iter().map(sorted).collect::<Vec<_>>()))
}

fn manager(case: &Json) -> anyhow::Result<Outcome> {
    let mut current = None;
    for change in schema_changes(&case["events"])? {
        current = Some(schema::apply(current.as_ref(), &change).map_err(fail)?);
    }
    let expected = if case["expect_schema"].is_null() { None } else { Some(notation::schema(&case["expect_schema"])?) };
    Ok(same(&current, &expected))
}

/// Feeds events through the schema operator with a sink that takes and fails on what the case says.
fn behaviors(case: &Json) -> anyhow::Result<Outcome> {
    let kinds = |key: &str| -> Vec<SchemaChangeKind> {
        let named = |kind: &SchemaChangeKind| {
            case[key].as_array().is_none_or(|list| list.iter().any(|tag| tag.as_str() == Some(kind.tag())))
        };
        SchemaChangeKind::ALL.into_iter().filter(named).collect()
    };
    let fails_on = if case["sink_fails_on"].is_null() { Vec::new() } else { kinds("sink_fails_on") };
    let behavior = behavior(case)?;
    let router =
        if case["routes"].is_null() { Router::new(&[], Default::default()).map_err(fail)? } else { router(case)? };
    let mut operator =
        SchemaOperator::new(router, behavior, kinds("sink_accepts"), chrono_tz::UTC, SchemaState::default());
    let whole = [case.clone()];
    let steps = case["steps"].as_array().map_or(whole.as_slice(), Vec::as_slice);
    // A parallel source's flushes are not told.
    let flushes = !case["steps"].is_null();
    for step in steps {
        let mut got = Vec::new();
        let mut failure = None;
        for json in step["input"].as_array().context("no input")? {
            let event = event(json, &|table| operator.state().upstream.get(table).cloned())?;
            if let Err(error) = feed(&mut operator, &event, &fails_on, flushes, &mut got)? {
                failure = Some(error);
                break;
            }
        }
        if let Some(expected) = step.get("error").filter(|error| !error.is_null()) {
            let Some(error) = failure else { return Ok(Err("did not fail".into())) };
            let part = expected["exception_message"].as_str().unwrap_or_default();
            return Ok(if error.contains(part) { Ok(()) } else { Err(format!("failed with: {error}")) });
        }
        if let Some(error) = failure {
            return Ok(Err(format!("failed: {error}")));
        }
        let sinks = operator.state().sinks.clone();
        let mut running: Vec<Event> = Vec::new();
        // Rows in the output belong to the schema their table has at that point of the output.
        let mut schemas: std::collections::HashMap<TableId, TableSchema> = std::collections::HashMap::new();
        for json in step["output"].as_array().context("no output")? {
            let table = json["table"].as_str().map(|t| t.parse::<TableId>().map_err(fail)).transpose()?;
            if let Some(table) = &table
                && !schemas.contains_key(table)
                && let Some(schema) = sinks.get(table)
            {
                schemas.insert(table.clone(), schema.clone());
            }
            running.push(match event(json, &|table| schemas.get(table).cloned())? {
                Event::Schema(change) => Event::Schema(sorted(change)),
                other => other,
            });
        }
        let outcome = same(&got, &running);
        if outcome.is_err() {
            return Ok(outcome);
        }
        for (key, schemas) in
            [("upstream_schema", &operator.state().upstream), ("sink_schema", &operator.state().sinks)]
        {
            if step[key].is_object() {
                let expected = notation::schema(&step[key])?;
                if !schemas.values().any(|schema| *schema == expected) {
                    return Ok(Err(format!("{key}: got {schemas:?}, expected {expected:?}")));
                }
            }
        }
    }
    Ok(Ok(()))
}

fn feed(
    operator: &mut SchemaOperator,
    event: &Event,
    fails_on: &[SchemaChangeKind],
    flushes: bool,
    out: &mut Vec<Event>,
) -> anyhow::Result<Result<(), String>> {
    match event {
        Event::Schema(change) => {
            if flushes {
                let tables = operator.router().route(change.table()).map_err(fail)?;
                out.push(Event::Flush { tables, by: change.kind().tag().to_owned() });
            }
            let changes = match operator.schema_change(change) {
                Ok(changes) => changes,
                Err(error) => return Ok(Err(error.chain())),
            };
            for change in changes {
                if fails_on.contains(&change.kind()) {
                    if operator.tolerates_unsupported() {
                        continue;
                    }
                    return Ok(Err("Sink doesn't support such schema change event.".into()));
                }
                operator.applied(&change).map_err(fail)?;
                out.push(Event::Schema(sorted(change)));
            }
        }
        Event::Change { table, change } => {
            for (table, change) in operator.row_change(table, change).map_err(fail)? {
                out.push(Event::Change { table, change });
            }
        }
        Event::Flush { .. } => bail!("a flush is no input"),
    }
    Ok(Ok(()))
}
