//! `transform/`: projection, filter and the built-in functions.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use serde_json::Value as Json;
use starweir_model::{
    ChangeOp, Clock, DataType, LogicalType, RowChange, SchemaChange, TableColumn, TableId, TableSchema, Value,
};
use starweir_pipeline::print;
use starweir_pipeline::transform::{TransformRule, TransformSettings, Transformer, Zone};

use super::notation::{self, Event};
use super::{Outcome, run_file};
use crate::conformance::{Case, Status};

pub fn run(directory: &Path, filter: Option<&str>, cases: &mut Vec<Case>) -> anyhow::Result<()> {
    let directory = directory.join("transform");
    if !directory.is_dir() {
        return Ok(());
    }
    let input: Json = match std::fs::read_to_string(directory.join("input.json")) {
        Ok(text) => serde_json::from_str(&text).context("read transform/input.json")?,
        Err(_) => Json::Null,
    };
    let mut waiting = Vec::new();
    let from = cases.len();
    run_file(&directory, "specs.jsonl", filter, cases, |case| {
        let outcome = spec(case, &input)?;
        Ok(outcome)
    })?;
    // A case upstream does not pass either counts only when we do what upstream wants.
    if directory.join("specs.jsonl").is_file() {
        for json in notation::lines(&directory.join("specs.jsonl"))? {
            if let Some(ticket) = json["ignore"].as_str() {
                waiting.push((notation::text(&json, "id")?.to_owned(), ticket.to_owned()));
            }
        }
    }
    for case in &mut cases[from..] {
        if case.status == Status::Failed
            && let Some((_, ticket)) = waiting.iter().find(|(id, _)| *id == case.id)
        {
            case.status = Status::Skipped;
            case.reason = format!("upstream waits for {ticket}: {}", case.reason);
        }
    }
    run_file(&directory, "operators.jsonl", filter, cases, operator)?;
    run_file(&directory, "functions.jsonl", filter, cases, function)
}

/// 2024-01-01T00:00:00Z: no case depends on the time.
struct StoppedClock;

impl Clock for StoppedClock {
    fn now_ms(&self) -> i64 {
        1_704_067_200_000
    }
}

fn settings(zone: &str, mode: &str) -> anyhow::Result<TransformSettings> {
    let zone = Zone::parse(zone).with_context(|| format!("no zone '{zone}'"))?;
    let mut settings = TransformSettings::new(zone, Arc::new(StoppedClock));
    settings.decimal_precision_max = if mode == "UP_TO_38" { 38 } else { 19 };
    // The expected texts hold the values of the failing rows.
    settings.values_in_errors = true;
    Ok(settings)
}

fn rule(json: &Json, table: &str) -> TransformRule {
    let optional = |key: &str| json[key].as_str().map(str::to_owned);
    TransformRule {
        source_table: table.to_owned(),
        projection: optional("projection"),
        filter: optional("filter"),
        primary_keys: optional("primary_key"),
        partition_keys: optional("partition_key"),
        table_options: optional("table_options"),
        converter_after_transform: optional("converters"),
        ..TransformRule::default()
    }
}

/// Feeds events and prints what comes out.
fn printed(
    transformer: &mut Transformer,
    events: &[Json],
    schema: &TableSchema,
) -> Result<Vec<String>, starweir_model::Error> {
    let mut lines = Vec::new();
    for json in events {
        match notation::event(json, &|_| Some(schema.clone())) {
            Ok(Event::Schema(change)) => {
                lines.extend(transformer.schema_change(change)?.iter().map(print::schema_change));
            }
            Ok(Event::Change { table, change }) => {
                if let Some(change) = transformer.change(&table, change)? {
                    let after = transformer.schema_after(&table).cloned().unwrap_or_default();
                    lines.push(print::row_change(&table, &after, &change));
                }
            }
            Ok(Event::Flush { .. }) => {}
            Err(error) => return Err(starweir_model::Error::internal(format!("{error:#}"))),
        }
    }
    Ok(lines)
}

fn spec(case: &Json, input: &Json) -> anyhow::Result<Outcome> {
    let table = input["table"].as_str().unwrap_or("foo.bar.baz");
    let schema = notation::schema(&input["schema"])?;
    let settings = settings(
        case["time_zone"].as_str().unwrap_or("UTC"),
        case["decimal_precision_mode"].as_str().unwrap_or("UP_TO_19"),
    )?;
    let key = if case["non_null_input"].as_bool() == Some(true) { "events_non_null" } else { "events" };
    let events = input[key].as_array().context("no events")?;
    let id: TableId = notation::table_id(&Json::String(table.to_owned()))?;
    let result = Transformer::new(&[rule(case, table)], &[], settings).and_then(|mut transformer| {
        let created = transformer.schema_change(SchemaChange::CreateTable { table: id, schema: schema.clone() })?;
        let mut lines: Vec<String> = created.iter().map(print::schema_change).collect();
        lines.extend(printed(&mut transformer, events, &schema)?);
        Ok(lines)
    });
    if let Some(texts) = case["expect_error"].as_array() {
        let error = match result {
            Ok(_) => return Ok(Err("an error was expected".into())),
            Err(error) => error.chain(),
        };
        for text in texts.iter().filter_map(Json::as_str) {
            if !error.contains(without_class(text)) {
                return Ok(Err(format!("expected the error '{text}', got '{error}'")));
            }
        }
        return Ok(Ok(()));
    }
    if case["expect"].is_null() {
        return Ok(Err("nothing is expected of this case".into()));
    }
    let lines = match result {
        Ok(lines) => lines,
        Err(error) => return Ok(Err(error.chain())),
    };
    let expected = notation::texts(&case["expect"])?;
    for (index, expected) in expected.iter().enumerate() {
        match lines.get(index) {
            Some(line) if same_line(line, expected) => {}
            Some(line) => return Ok(Err(format!("line {index}: expected\n  {expected}\ngot\n  {line}"))),
            None => return Ok(Err(format!("line {index} is missing: {expected}"))),
        }
    }
    if lines.len() > expected.len() {
        return Ok(Err(format!("unexpected line: {}", lines[expected.len()])));
    }
    Ok(Ok(()))
}

/// `SqlValidatorException: what is wrong` is `what is wrong`.
fn without_class(text: &str) -> &str {
    match text.split_once("Exception: ") {
        Some((class, rest)) if class.chars().all(|c| c.is_ascii_alphanumeric() || c == '.') => rest,
        _ => text,
    }
}

/// Maps are sets of entries: both lines with their `{… -> …}` sorted.
pub fn same_line(line: &str, expected: &str) -> bool {
    line == expected || with_sorted_maps(line) == with_sorted_maps(expected)
}

fn with_sorted_maps(text: &str) -> String {
    // Innermost braces first; a sorted map's braces are replaced, so that each is done once.
    let mut text = text.to_owned();
    let mut from = 0;
    while let Some(at) = text[from..].find('{').map(|i| i + from) {
        let rest = &text[at + 1..];
        let close = rest.find('}').map(|i| i + at + 1);
        let open = rest.find('{').map(|i| i + at + 1);
        match (open, close) {
            (Some(open), Some(close)) if open < close => from = open,
            (_, Some(close)) => {
                let mut entries: Vec<String> = Vec::new();
                // Entries are parted by ", " before a "key -> ".
                for part in text[at + 1..close].split(", ") {
                    match entries.last_mut() {
                        Some(last) if !part.contains(" -> ") => {
                            last.push_str(", ");
                            last.push_str(part);
                        }
                        _ => entries.push(part.to_owned()),
                    }
                }
                let sorted = entries.iter().all(|e| e.contains(" -> "));
                if sorted {
                    entries.sort();
                }
                text = format!("{}\u{1}{}\u{2}{}", &text[..at], entries.join(", "), &text[close + 1..]);
                from = 0;
            }
            _ => break,
        }
    }
    text
}

fn operator(case: &Json) -> anyhow::Result<Outcome> {
    let table = notation::text(case, "table")?;
    let id = notation::table_id(&case["table"])?;
    let settings = settings("UTC", "UP_TO_19")?;
    let mut transformer =
        Transformer::new(&[rule(case, table)], &[], settings).map_err(|e| anyhow!("{}", e.chain()))?;
    for (index, step) in case["steps"].as_array().context("no steps")?.iter().enumerate() {
        let before = transformer.schema_before(&id).cloned();
        let got = match notation::event(&step["source"], &|_| before.clone())? {
            Event::Schema(change) => match transformer.schema_change(change) {
                Ok(changes) => changes.into_iter().map(Event::Schema).next(),
                Err(error) => return Ok(Err(format!("step {index}: {}", error.chain()))),
            },
            Event::Change { table, change } => match transformer.change(&table, change) {
                Ok(change) => change.map(|change| Event::Change { table, change }),
                Err(error) => return Ok(Err(format!("step {index}: {}", error.chain()))),
            },
            Event::Flush { .. } => None,
        };
        let after = transformer.schema_after(&id).cloned();
        let expected = match &step["expect"] {
            Json::Null => None,
            json => Some(notation::event(json, &|_| after.clone())?),
        };
        if !same_event(got.as_ref(), expected.as_ref()) {
            return Ok(Err(format!("step {index}: expected {expected:?}, got {got:?}")));
        }
    }
    Ok(Ok(()))
}

/// Types of an altered column are a map, and old ones need not be told.
fn same_event(got: Option<&Event>, expected: Option<&Event>) -> bool {
    match (got, expected) {
        (
            Some(Event::Schema(SchemaChange::AlterColumnType { table: a, types: got, comments: c, .. })),
            Some(Event::Schema(SchemaChange::AlterColumnType { table: b, types: expected, comments: d, .. })),
        ) => {
            let sorted = |types: &[(String, DataType)]| {
                let mut types = types.to_vec();
                types.sort_by(|a, b| a.0.cmp(&b.0));
                types
            };
            a == b && sorted(got) == sorted(expected) && c == d
        }
        _ => got == expected,
    }
}

// ---- single calls --------------------------------------------------------------------------

/// An argument or result: its type and value.
struct Typed {
    of: DataType,
    value: Value,
}

fn typed(json: &Json) -> anyhow::Result<Typed> {
    if json.is_null() {
        return Ok(Typed { of: DataType::nullable(LogicalType::Null), value: Value::Null });
    }
    let name = notation::text(json, "type")?;
    let value = &json["value"];
    Ok(match name {
        "ARRAY" => {
            let items = value.as_array().context("no list")?.iter().map(typed).collect::<anyhow::Result<Vec<_>>>()?;
            let element = items.iter().map(|i| i.of.clone()).find(|of| of.logical != LogicalType::Null);
            let of = LogicalType::Array(Box::new(element.unwrap_or_else(DataType::string)));
            Typed { of: DataType::nullable(of), value: Value::Array(items.into_iter().map(|i| i.value).collect()) }
        }
        "MAP" => {
            let mut entries = Vec::new();
            let (mut key_of, mut value_of) = (DataType::string(), DataType::string());
            for pair in value.as_array().context("no list")? {
                let (key, of) = (typed(&pair[0])?, typed(&pair[1])?);
                (key_of, value_of) = (key.of, of.of);
                entries.push((key.value, of.value));
            }
            let of = LogicalType::Map(Box::new(key_of), Box::new(value_of));
            Typed { of: DataType::nullable(of), value: Value::Map(entries) }
        }
        "VARIANT" => {
            let of = DataType::nullable(LogicalType::Variant);
            let json =
                if value.get("$variant").is_some() { value.clone() } else { serde_json::json!({ "$variant": value }) };
            Typed { value: notation::value(&json, &of)?, of }
        }
        "DECIMAL" => {
            let number = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let number = notation::decimal(&number)?;
            let of = DataType::nullable(LogicalType::Decimal(38.min(30 + number.scale), number.scale));
            Typed { of, value: Value::Decimal(number) }
        }
        other => {
            let of: DataType = other.parse().map_err(|e: starweir_model::Error| anyhow!("{}", e.message))?;
            Typed { value: notation::value(value, &of)?, of }
        }
    })
}

/// The call in the transform language, its arguments being the columns `a0`, `a1`, ….
fn expression(function: &str, args: &[Typed]) -> anyhow::Result<String> {
    let column = |index: usize| {
        // A NULL of no type is written as itself.
        match args.get(index) {
            Some(arg) if arg.of.logical == LogicalType::Null => "CAST(NULL AS STRING)".to_owned(),
            _ => format!("a{index}"),
        }
    };
    let all = |from: usize| (from..args.len()).map(column).collect::<Vec<_>>().join(", ");
    let literal = |index: usize| match args.get(index).map(|a| &a.value) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => print::value(other, None),
        None => String::new(),
    };
    let cast = |word: &str, to: &str| match to {
        "Byte" => Ok(format!("{word}({} AS TINYINT)", column(0))),
        "Short" => Ok(format!("{word}({} AS SMALLINT)", column(0))),
        "Integer" => Ok(format!("{word}({} AS INT)", column(0))),
        "Long" => Ok(format!("{word}({} AS BIGINT)", column(0))),
        "Float" => Ok(format!("{word}({} AS FLOAT)", column(0))),
        "Double" => Ok(format!("{word}({} AS DOUBLE)", column(0))),
        "Boolean" => Ok(format!("{word}({} AS BOOLEAN)", column(0))),
        "String" => Ok(format!("{word}({} AS STRING)", column(0))),
        "BigDecimal" => Ok(format!("{word}({} AS DECIMAL({}, {}))", column(0), literal(1), literal(2))),
        "Timestamp" => Ok(format!("{word}({} AS TIMESTAMP(9))", column(0))),
        other => Err(anyhow!("no cast to {other}")),
    };
    if let Some(to) = function.strip_prefix("tryCastTo") {
        return cast("TRY_CAST", to);
    }
    if let Some(to) = function.strip_prefix("castTo") {
        return cast("CAST", to);
    }
    let (a, b, c) = (column(0), column(1), column(2));
    let negated = |yes: &str, name: &str| if function == yes { name.to_owned() } else { format!("NOT {name}") };
    Ok(match function {
        "valueEquals" => format!("{a} = {b}"),
        "notEquals" => format!("{a} <> {b}"),
        "lessThan" => format!("{a} < {b}"),
        "lessThanOrEqual" => format!("{a} <= {b}"),
        "greaterThan" => format!("{a} > {b}"),
        "greaterThanOrEqual" => format!("{a} >= {b}"),
        "betweenAsymmetric" => format!("{a} BETWEEN {b} AND {c}"),
        "notBetweenAsymmetric" => format!("{a} NOT BETWEEN {b} AND {c}"),
        "in" => format!("{a} IN ({})", all(1)),
        "notIn" => format!("{a} NOT IN ({})", all(1)),
        "isDistinctFrom" => format!("{a} IS DISTINCT FROM {b}"),
        "isNotDistinctFrom" => format!("{a} IS NOT DISTINCT FROM {b}"),
        "isNull" | "isUnknown" => format!("{a} IS NULL"),
        "isNotNull" | "isNotUnknown" => format!("{a} IS NOT NULL"),
        "isTrue" => format!("{a} IS TRUE"),
        "isNotTrue" => format!("{a} IS NOT TRUE"),
        "isFalse" => format!("{a} IS FALSE"),
        "isNotFalse" => format!("{a} IS NOT FALSE"),
        "and" => format!("{a} AND {b}"),
        "or" => format!("{a} OR {b}"),
        "not" => format!("NOT {a}"),
        "like" | "notLike" => {
            let word = negated("like", "LIKE");
            if args.len() > 2 { format!("{a} {word} {b} ESCAPE {c}") } else { format!("{a} {word} {b}") }
        }
        "similarTo" | "notSimilarTo" => {
            let word = negated("similarTo", "SIMILAR TO");
            if args.len() > 2 { format!("{a} {word} {b} ESCAPE {c}") } else { format!("{a} {word} {b}") }
        }
        "itemAccess" => format!("{a}[{b}]"),
        "array" => format!("ARRAY[{}]", all(0)),
        "map" => format!("MAP[{}]", all(0)),
        "row" => format!("ROW({})", all(0)),
        "temporalPlusMonths" => format!("{a} + INTERVAL '{}' MONTH", literal(1)),
        "temporalPlusMillis" => {
            let millis: i64 = literal(1).parse().context("no milliseconds")?;
            let sign = if millis < 0 { "-" } else { "" };
            format!("{a} + INTERVAL '{sign}{}.{:03}' SECOND", millis.abs() / 1000, millis.abs() % 1000)
        }
        "extract" => format!("EXTRACT({} FROM {b})", literal(0)),
        "position" => {
            if args.len() > 2 {
                format!("POSITION({a} IN {b} FROM {c})")
            } else {
                format!("POSITION({a} IN {b})")
            }
        }
        "overlay" => {
            let end = if args.len() > 3 { format!(" FOR {}", column(3)) } else { String::new() };
            format!("OVERLAY({a} PLACING {b} FROM {c}{end})")
        }
        "trim" => format!("TRIM({})", column(args.len().saturating_sub(1))),
        "coalesce" => format!("COALESCE({})", all(0)),
        other => {
            let mut name = String::new();
            for (index, ch) in other.chars().enumerate() {
                // toBase64 is TO_BASE64, arrayContains ARRAY_CONTAINS.
                if ch.is_uppercase() && index > 0 {
                    name.push('_');
                }
                name.push(ch.to_ascii_uppercase());
            }
            let name = match name.as_str() {
                "NULL_IF" => "NULLIF",
                "IF_NULL" => "IFNULL",
                "TIMESTAMP_ADD" => "TIMESTAMPADD",
                other => other,
            };
            format!("{name}({})", all(0))
        }
    })
}

/// The functions whose last argument is the pipeline's time zone.
fn takes_zone(class: &str, function: &str) -> bool {
    function.ends_with("CastToTimestamp")
        || function == "castToTimestamp"
        || class == "temporal"
            && matches!(
                function,
                "extract"
                    | "fromUnixtime"
                    | "dateFormat"
                    | "toTimestamp"
                    | "timestampDiff"
                    | "timestampdiff"
                    | "timestampadd"
                    | "dateAdd"
                    | "unixTimestamp"
                    | "localtime"
                    | "localtimestamp"
                    | "currentTime"
                    | "currentDate"
            )
}

fn function(case: &Json) -> anyhow::Result<Outcome> {
    let name = notation::text(case, "function")?;
    let class = notation::text(case, "class")?;
    let mut args = case["args"].as_array().context("no args")?.iter().map(typed).collect::<anyhow::Result<Vec<_>>>()?;
    let mut zone = "UTC".to_owned();
    if takes_zone(class, name)
        && let Some(Typed { value: Value::String(_), .. }) = args.last()
        && let Some(Typed { value: Value::String(last), .. }) = args.pop()
    {
        zone = last;
    }
    if class == "comparison" || class == "logical" {
        // NULL takes the type of its neighbour.
        let of = args.iter().map(|a| a.of.clone()).find(|of| of.logical != LogicalType::Null);
        let of = of.unwrap_or_else(|| DataType::nullable(LogicalType::Boolean));
        for arg in args.iter_mut().filter(|a| a.of.logical == LogicalType::Null) {
            arg.of = of.clone();
        }
    }
    if name == "itemAccess"
        && let [collection, index] = args.as_mut_slice()
    {
        let null = |of: LogicalType| DataType::nullable(of);
        if collection.of.logical == LogicalType::Null {
            let key = Box::new(index.of.clone());
            collection.of = if index.of.logical.is_integer() {
                null(LogicalType::Array(Box::new(DataType::string())))
            } else {
                null(LogicalType::Map(key, Box::new(DataType::string())))
            };
        }
        if index.of.logical == LogicalType::Null {
            index.of = match &collection.of.logical {
                LogicalType::Map(key, _) => (**key).clone(),
                _ => null(LogicalType::Int),
            };
        }
    }
    if class == "struct" && args.first().is_some_and(|a| a.of.logical == LogicalType::Null) && name != "row" {
        args[0].of = DataType::nullable(LogicalType::Array(Box::new(DataType::string())));
    }
    if class == "temporal" {
        for arg in args.iter_mut().filter(|a| a.of.logical == LogicalType::Null) {
            arg.of = DataType::nullable(LogicalType::Timestamp(3));
        }
    }
    let result = evaluated(name, &args, &zone);
    let expect = &case["expect"];
    if let Some(exception) = expect["exception"].as_str() {
        let error = match result {
            Ok(value) => return Ok(Err(format!("expected {exception}, got {value:?}"))),
            Err(error) => error,
        };
        let texts = [&expect["message"], &expect["message_contains"]];
        for text in texts.into_iter().filter_map(Json::as_str) {
            if !error.contains(text) {
                return Ok(Err(format!("expected the message '{text}', got '{error}'")));
            }
        }
        return Ok(Ok(()));
    }
    let value = match result {
        Ok(value) => value,
        Err(error) => return Ok(Err(error)),
    };
    let ordered = expect.get("equals").is_some();
    let expected = if ordered { &expect["equals"] } else { &expect["equals_unordered"] };
    let expected = typed(expected)?.value;
    Ok(if same_value(&value, &expected) { Ok(()) } else { Err(format!("expected {expected:?}, got {value:?}")) })
}

fn evaluated(name: &str, args: &[Typed], zone: &str) -> Result<Value, String> {
    let settings = settings(zone, "UP_TO_38").map_err(|e| format!("ZoneRulesException: {e:#}"))?;
    let projection = expression(name, args).map_err(|e| format!("{e:#}"))?;
    let columns = args
        .iter()
        .enumerate()
        .map(|(i, arg)| {
            let of = if arg.of.logical == LogicalType::Null { DataType::string() } else { arg.of.clone() };
            TableColumn::new(format!("a{i}"), of)
        })
        .collect();
    let rule = TransformRule {
        source_table: "t".into(),
        projection: Some(format!("{projection} AS result")),
        ..TransformRule::default()
    };
    let table = TableId::table("t");
    let schema = TableSchema { columns, ..TableSchema::default() };
    let row = args.iter().map(|a| a.value.clone()).collect();
    let change = RowChange { op: ChangeOp::Insert, before: None, after: Some(row), meta: Vec::new() };
    let run = || {
        let mut transformer = Transformer::new(&[rule], &[], settings)?;
        transformer.schema_change(SchemaChange::CreateTable { table: table.clone(), schema })?;
        transformer.change(&table, change)
    };
    let out = run().map_err(|e| e.chain())?;
    let row = out.and_then(|change| change.after).ok_or("nothing came out")?;
    row.into_iter().next().ok_or_else(|| "an empty row came out".to_owned())
}

/// Java's empty results have no type in the cases, and bytes are lists of numbers there.
fn same_value(got: &Value, expected: &Value) -> bool {
    match (got, expected) {
        (Value::String(text), Value::Array(items)) => text.is_empty() && items.is_empty(),
        (Value::Binary(bytes), Value::Array(items)) => {
            let byte = |item: &Value| match item {
                Value::TinyInt(v) => Some(*v as u8),
                Value::SmallInt(v) => Some(*v as u8),
                Value::Int(v) => Some(*v as u8),
                _ => None,
            };
            bytes.len() == items.len() && bytes.iter().zip(items).all(|(b, item)| byte(item) == Some(*b))
        }
        (Value::Row(a), Value::Array(b)) | (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && b.iter().all(|(k, v)| a.iter().any(|(k2, v2)| same_value(k2, k) && same_value(v2, v)))
        }
        (Value::BigInt(a), Value::Int(b)) => *a == i64::from(*b),
        (Value::Row(a), Value::Row(b)) => a == b,
        _ => got == expected,
    }
}
