//! `starrocks-sink/`: tables, types and rows as the StarRocks sink makes them.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use serde_json::{Value as Json, json};
use starweir_connectors::starrocks::pipeline::StarRocksPipeline;
use starweir_connectors::starrocks::pipeline::types::{self, TableOptions};
use starweir_engine::CdcSink;
use starweir_model::{ChangeBatch, RowChange, TableId, TableName, TableSchema};
use starweir_pipeline::evolution::schema::apply;
use starweir_pipeline::rows::batch_of;
use starweir_starrocks::StarRocksType;
use starweir_starrocks::ddl::{TableDefinition, TableModel};

use super::notation::{self, Event, data_type, event, table_id, text};
use super::routes::same;
use super::{Outcome, run_file};
use crate::conformance::Case;

pub fn run(directory: &Path, filter: Option<&str>, cases: &mut Vec<Case>) -> anyhow::Result<()> {
    run_file(directory, "starrocks-sink/column-types.jsonl", filter, cases, column_type)?;
    run_file(directory, "starrocks-sink/tables.jsonl", filter, cases, table)?;
    run_file(directory, "starrocks-sink/functions.jsonl", filter, cases, function)?;
    run_file(directory, "starrocks-sink/metadata-applier.jsonl", filter, cases, applier)?;
    run_file(directory, "starrocks-sink/json-rows.jsonl", filter, cases, json_rows)
}

fn options(config: &Json, bytes_per_character: &Json) -> TableOptions {
    let mut options = TableOptions::default();
    let number = |json: &Json| json.as_u64().or_else(|| json.as_str()?.parse().ok());
    options.buckets = number(&config["num_buckets"]).or(number(&config["table.create.num-buckets"])).map(|n| n as u32);
    if let Some(bytes) = number(bytes_per_character)
        .or(number(&config["unicode_char_max_bytes"]))
        .or(number(&config["unicode-char.max-bytes"]))
    {
        options.bytes_per_character = bytes as u32;
    }
    let text = |v: &Json| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    for (key, value) in config.as_object().into_iter().flatten() {
        if let Some(name) = key.strip_prefix("table.create.properties.") {
            options.properties.push((name.to_owned(), text(value)));
        }
    }
    for (key, value) in config["properties"].as_object().into_iter().flatten() {
        options.properties.push((key.clone(), text(value)));
    }
    options
}

/// Name, size and digits of a type, as `information_schema` splits them.
fn described(data_type: &StarRocksType, size: Option<u32>) -> (String, Option<u32>, Option<u32>) {
    match data_type {
        StarRocksType::Decimal(p, s) => ("DECIMAL".into(), Some(u32::from(*p)), Some(u32::from(*s))),
        StarRocksType::Char(n) => ("CHAR".into(), Some(*n), None),
        StarRocksType::Varchar(n) => ("VARCHAR".into(), Some(*n), None),
        other => (other.to_string(), size, None),
    }
}

fn column_type(case: &Json) -> anyhow::Result<Outcome> {
    let of = data_type(&case["type"])?;
    let expect = &case["expect"];
    let key = case["primary_key"] == true;
    let bytes = case["unicode_char_max_bytes"].as_u64().unwrap_or(3) as u32;
    let (starrocks, size) = types::column_type(&of.logical, key, bytes);
    let (name, size, digits) = described(&starrocks, size);
    let got = json!({"data_type": name, "column_size": size, "decimal_digits": digits, "nullable": of.nullable});
    for (key, expected) in expect.as_object().context("no expectation")? {
        let same_text = |a: &Json, b: &Json| match (a.as_str(), b.as_str()) {
            (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
            _ => a == b,
        };
        if ["exception", "message_contains"].contains(&key.as_str()) {
            return Ok(Err(format!("became {starrocks}, upstream refuses it")));
        }
        if !same_text(&got[key], expected) {
            return Ok(Err(format!("{key}: got {}, expected {expected}", got[key])));
        }
    }
    Ok(Ok(()))
}

fn name_of(id: &TableId) -> TableName {
    TableName::new(id.schema.clone().unwrap_or_default(), id.table.clone())
}

fn table_json(table: &TableDefinition, schema: &TableSchema) -> Json {
    let columns: Vec<Json> = table
        .columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let of = schema.column(&column.name).map(|c| c.data_type.logical.clone());
            let key = table.keys.contains(&column.name);
            let size = of.and_then(|of| types::column_type(&of, key, 3).1);
            let (name, size, digits) = described(&column.data_type, size);
            let default = match &column.default {
                Some(starweir_starrocks::ddl::ColumnDefault::Text(text)) => json!(text),
                _ => Json::Null,
            };
            json!({
                "column_name": column.name, "ordinal_position": at, "data_type": name, "nullable": column.nullable,
                "column_size": size, "decimal_digits": digits, "column_comment": column.comment,
                "default_value": default,
            })
        })
        .collect();
    let properties: serde_json::Map<String, Json> =
        table.properties.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
    json!({
        "database_name": table.table.database, "table_name": table.table.table,
        "table_type": if table.model == TableModel::Primary { "PRIMARY_KEY" } else { "DUPLICATE_KEY" },
        "columns": columns, "table_keys": table.keys, "distribution_keys": table.distributed_by,
        "num_buckets": table.buckets, "properties": properties, "table_properties": properties,
        "comment": table.comment,
    })
}

/// Every key of `expected` has its value in `got`; texts in any case.
fn contains(got: &Json, expected: &Json, path: &str) -> Outcome {
    match (got, expected) {
        (Json::Object(got), Json::Object(expected)) => expected.iter().try_for_each(|(key, value)| {
            contains(got.get(key).unwrap_or(&Json::Null), value, &format!("{path}.{key}"))
        }),
        (Json::Array(got), Json::Array(expected)) if got.len() == expected.len() => {
            got.iter().zip(expected).enumerate().try_for_each(|(at, (g, e))| contains(g, e, &format!("{path}[{at}]")))
        }
        (Json::String(got), Json::String(expected)) if got.eq_ignore_ascii_case(expected) => Ok(()),
        (got, expected) if got == expected => Ok(()),
        (got, expected) => Err(format!("{path}: got {got}, expected {expected}")),
    }
}

fn table(case: &Json) -> anyhow::Result<Outcome> {
    let schema = notation::schema(&case["schema"])?;
    let id = table_id(&case["table"])?;
    let made = types::table(&name_of(&id), &schema, &options(&case["config"], &Json::Null));
    if case["exception"].is_string()
        || case["message_contains"].is_string()
        || case["expect"].get("exception").is_some()
    {
        let part =
            case["message_contains"].as_str().or(case["expect"]["message_contains"].as_str()).unwrap_or_default();
        return Ok(match made {
            Ok(_) => Err("was not refused".into()),
            Err(error) if error.chain().contains(part) => Ok(()),
            Err(error) => Err(format!("refused with: {}", error.chain())),
        });
    }
    let made = made.map_err(|e| anyhow!(e.chain()))?;
    let got = table_json(&made, &schema);
    for (path, expected) in case["expect"].as_object().context("no expectation")? {
        let found = if let Some(list) = path.strip_suffix(".length") {
            json!(got[list].as_array().map_or(0, Vec::len))
        } else {
            let pointer = format!("/{}", path.replace("[", "/").replace("].", "/").replace(']', ""));
            got.pointer(&pointer).cloned().unwrap_or(Json::Null)
        };
        if let Err(reason) = contains(&found, expected, path) {
            return Ok(Err(reason));
        }
    }
    Ok(Ok(()))
}

fn function(case: &Json) -> anyhow::Result<Outcome> {
    let expected = &case["expect"]["equals"];
    if text(case, "function")? == "convert_invalid_timestamp_default" {
        let Some(default) = case["args"][0].as_str() else { return Ok(same(&Json::Null, expected)) };
        let of = data_type(&case["args"][1])?;
        return Ok(same(&json!(types::timestamp_default(default, &of.logical)), expected));
    }
    let of = data_type(&case["type"])?;
    let position = case["position"].as_u64().unwrap_or(0) as usize;
    let rows = case["row"].as_array().context("no row")?;
    let value = notation::value(rows.get(position).unwrap_or(&Json::Null), &of)?;
    let column = starweir_model::TableColumn::new("v", of.with_nullable(true));
    let id = starweir_model::TableColumn::new("k", "INT NOT NULL".parse().map_err(|_| anyhow!("type"))?);
    let schema = TableSchema { columns: vec![id, column], primary_keys: vec!["k".into()], ..TableSchema::default() };
    let change = RowChange {
        op: starweir_model::ChangeOp::Insert,
        before: None,
        after: Some(vec![starweir_model::Value::Int(1), value]),
        meta: Vec::new(),
    };
    let row = encoded(&schema, &[change], text(case, "zone")?)?;
    Ok(values_equal(&row[0].get("v").cloned().unwrap_or(Json::Null), expected, "v"))
}

/// Rows as they are sent, without what is NULL: a column that is left out and one that is null load the same.
fn encoded(schema: &TableSchema, changes: &[RowChange], zone: &str) -> anyhow::Result<Vec<Json>> {
    let zone = starweir_job::pipeline::zone(zone).map_err(|e| anyhow!(e.chain()))?;
    let given = [
        ("jdbc-url", "jdbc:mysql://127.0.0.1:9030"),
        ("load-url", "127.0.0.1:8030"),
        ("username", "root"),
        ("password", ""),
    ];
    let sink = StarRocksPipeline::new(given, "case", zone.name())
        .map_err(|errors| anyhow!("{}", errors.iter().map(|e| e.message.clone()).collect::<Vec<_>>().join("; ")))?;
    let id: TableId = "d.t".parse().map_err(|_| anyhow!("id"))?;
    let table = sink.table(&id, schema).map_err(|e| anyhow!(e.chain()))?;
    let mut encoder = table.encoder().map_err(|e| anyhow!(e.chain()))?;
    let batch: ChangeBatch = batch_of(schema, changes).map_err(|e| anyhow!(e.chain()))?;
    encoder.encode(&batch).map_err(|e| anyhow!(e.chain()))?;
    let Some(chunk) = encoder.take() else { return Ok(Vec::new()) };
    let text = String::from_utf8(chunk.bytes.to_vec())?;
    let mut rows: Vec<Json> = Vec::new();
    for row in serde_json::Deserializer::from_str(&text).into_iter::<Json>() {
        match row? {
            Json::Array(list) => rows.extend(list),
            row => rows.push(row),
        }
    }
    for row in &mut rows {
        if let Some(map) = row.as_object_mut() {
            map.retain(|_, value| !value.is_null());
        }
    }
    Ok(rows)
}

/// Numbers by value, also as text; booleans also as 1 and 0.
fn values_equal(got: &Json, expected: &Json, path: &str) -> Outcome {
    let number = |json: &Json| match json {
        Json::Bool(value) => Some(f64::from(u8::from(*value))),
        // Decimals are sent as text: no digit is lost on the way.
        Json::String(text) => text.parse().ok(),
        json => json.as_f64(),
    };
    match (got, expected) {
        (Json::Object(got), Json::Object(expected)) => {
            if let Some(key) =
                got.keys().chain(expected.keys()).find(|k| got.get(*k).is_none() || expected.get(*k).is_none())
            {
                return Err(format!("{path}: '{key}' is in one only: {got:?} against {expected:?}"));
            }
            expected.iter().try_for_each(|(key, value)| values_equal(&got[key], value, key))
        }
        _ if got == expected => Ok(()),
        _ => match (number(got), number(expected)) {
            (Some(a), Some(b)) if (a - b).abs() <= f64::EPSILON * a.abs().max(b.abs()) => Ok(()),
            _ => Err(format!("{path}: got {got}, expected {expected}")),
        },
    }
}

fn applier(case: &Json) -> anyhow::Result<Outcome> {
    let options = options(&case["config"], &Json::Null);
    let mut schema: Option<TableSchema> = None;
    let mut id = None;
    for json in case["events"].as_array().context("no events")? {
        let Event::Schema(change) = event(json, &|_| None)? else { continue };
        schema = Some(apply(schema.as_ref(), &change).map_err(|e| anyhow!(e.chain()))?);
        id = Some(change.table().clone());
    }
    let (Some(schema), Some(id)) = (schema, id) else { return Ok(Err("no table".into())) };
    let made = types::table(&name_of(&id), &schema, &options).map_err(|e| anyhow!(e.chain()))?;
    Ok(contains(&table_json(&made, &schema), &case["expect_table"], "table"))
}

fn json_rows(case: &Json) -> anyhow::Result<Outcome> {
    let mut schemas: std::collections::HashMap<TableId, TableSchema> = std::collections::HashMap::new();
    for step in case["steps"].as_array().context("no steps")? {
        match event(&step["event"], &|table| schemas.get(table).cloned())? {
            Event::Schema(change) => {
                let after = apply(schemas.get(change.table()), &change).map_err(|e| anyhow!(e.chain()))?;
                schemas.insert(change.table().clone(), after);
            }
            Event::Change { table, change } => {
                let schema = schemas.get(&table).context("no schema")?;
                let rows = encoded(schema, &[change], text(case, "zone")?)?;
                let expected: Json = serde_json::from_str(text(step, "row")?)?;
                if rows.len() != 1 {
                    return Ok(Err(format!("got {} rows", rows.len())));
                }
                if let Err(reason) = values_equal(&rows[0], &expected, "row") {
                    return Ok(Err(reason));
                }
            }
            Event::Flush { .. } => {}
        }
    }
    Ok(Ok(()))
}
