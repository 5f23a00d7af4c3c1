//! `starrocks-sink/`: tables, types and rows as the StarRocks sink makes them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts};
use serde_json::{Value as Json, json};
use starweir_connectors::starrocks::pipeline::StarRocksPipeline;
use starweir_connectors::starrocks::pipeline::types::{self, TableOptions};
use starweir_engine::store::LocalStore;
use starweir_engine::{CdcSink, RestartStrategy, RunOptions, StopSignal};
use starweir_model::{ChangeBatch, RowChange, SchemaChangeKind, SystemClock, TableId, TableName, TableSchema};
use starweir_pipeline::evolution::SchemaOperator;
use starweir_pipeline::evolution::schema::apply;
use starweir_pipeline::rows::batch_of;
use starweir_pipeline::run::{PipelineJob, new_status};
use starweir_pipeline::transform::{TransformSettings, Transformer, Zone};
use starweir_pipeline::values::ValuesSource;
use starweir_pipeline::values::events::Event as HandWritten;
use starweir_pipeline::{Flow, RouteMode, Router, SchemaChangeBehavior};
use starweir_starrocks::StarRocksType;
use starweir_starrocks::ddl::{TableDefinition, TableModel};
use starweir_testkit::free_port;

use super::notation::{self, Event, data_type, event, table_id, text};
use super::routes::same;
use super::{Outcome, run_file};
use crate::conformance::Case;

pub fn run(directory: &Path, filter: Option<&str>, cases: &mut Vec<Case>) -> anyhow::Result<()> {
    run_file(directory, "starrocks-sink/column-types.jsonl", filter, cases, column_type)?;
    run_file(directory, "starrocks-sink/tables.jsonl", filter, cases, table)?;
    run_file(directory, "starrocks-sink/functions.jsonl", filter, cases, function)?;
    run_file(directory, "starrocks-sink/metadata-applier.jsonl", filter, cases, applier)?;
    run_file(directory, "starrocks-sink/json-rows.jsonl", filter, cases, json_rows)?;
    let real = "starrocks-sink/real-starrocks.jsonl";
    if !directory.join(real).is_file()
        || filter.is_some_and(|text| !"starrocks-sink/real/".contains(text) && !text.contains("starrocks-sink/real"))
    {
        return Ok(());
    }
    let (mysql, http) = (free_port()?, free_port()?);
    let mut command = Command::new(crate::binary::starweir(false)?);
    command.args(["warehouse", "--ephemeral", "--be-port", "0"]).stderr(Stdio::null());
    command.args(["--mysql-port", &mysql.to_string(), "--http-port", &http.to_string()]);
    let (_warehouse, _) = starweir_testkit::Server::start("the warehouse", &mut command, "ready")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    run_file(directory, real, filter, cases, |case| runtime.block_on(real_starrocks(case, mysql, http)))
}

const DATABASE: &str = "starrocks_database";

/// Runs a pipeline of the case's events into the warehouse and looks at the table.
async fn real_starrocks(case: &Json, mysql: u16, http: u16) -> anyhow::Result<Outcome> {
    let fail = |e: starweir_model::Error| anyhow!(e.chain());
    let url = format!("mysql://root@127.0.0.1:{mysql}/");
    let mut conn = Conn::new(Opts::from_url(&url)?).await?;
    conn.query_drop(format!("DROP DATABASE IF EXISTS {DATABASE}")).await?;
    conn.query_drop(format!("CREATE DATABASE {DATABASE}")).await?;
    if let Some(statements) = case["create_sql"].as_array() {
        for sql in statements.iter().filter_map(Json::as_str) {
            conn.query_drop(sql).await?;
        }
    } else if let Some(sql) = case["create_sql"].as_str() {
        conn.query_drop(sql).await?;
    }
    let mut schemas: std::collections::HashMap<TableId, TableSchema> = std::collections::HashMap::new();
    let mut events = Vec::new();
    for json in case["events"].as_array().context("no events")? {
        events.push(match event(json, &|table| schemas.get(table).cloned())? {
            Event::Schema(change) => {
                let after = apply(schemas.get(change.table()), &change).map_err(fail)?;
                schemas.insert(change.table().clone(), after);
                HandWritten::Schema(change)
            }
            Event::Change { table, change } => HandWritten::Change { table, change },
            Event::Flush { .. } => continue,
        });
    }
    let table = schemas.keys().next().context("no table")?.clone();
    let mut given: Vec<(String, String)> = vec![
        ("jdbc-url".into(), format!("jdbc:mysql://127.0.0.1:{mysql}")),
        ("load-url".into(), format!("127.0.0.1:{http}")),
        ("username".into(), "root".into()),
        ("password".into(), String::new()),
        ("table.create.properties.replication_num".into(), "1".into()),
    ];
    for (key, value) in case["config"].as_object().into_iter().flatten() {
        given.push((key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
    }
    let sink = StarRocksPipeline::new(given.iter().map(|(k, v)| (k.as_str(), v.as_str())), "case", "UTC")
        .map_err(|errors| anyhow!("{}", errors.iter().map(|e| e.message.clone()).collect::<Vec<_>>().join("; ")))?;
    let job = PipelineJob {
        letters: None,
        name: "case".into(),
        source: Arc::new(ValuesSource::of("values case", events)),
        sink: Arc::new(sink),
        flow: Arc::new(|state| {
            let settings = TransformSettings::new(Zone::Region(chrono_tz::UTC), Arc::new(SystemClock));
            let operator = SchemaOperator::new(
                Router::new(&[], RouteMode::default())?,
                SchemaChangeBehavior::Evolve,
                SchemaChangeKind::ALL.to_vec(),
                chrono_tz::UTC,
                state,
            );
            Ok(Flow::new(Transformer::new(&[], &[], settings)?, operator))
        }),
        plan: Vec::new(),
        batch: false,
    };
    let folder = tempfile::tempdir()?;
    let store = LocalStore::open(folder.path()).map_err(fail)?;
    let options = RunOptions {
        checkpoint_interval: Duration::from_secs(5),
        checkpoint_pause_min: Duration::ZERO,
        parallelism: 1,
        restart: RestartStrategy::None,
        clock: Arc::new(SystemClock),
        new_job_id: format!("{:08x}", crc32fast::hash(text(case, "id")?.as_bytes())),
        fresh: false,
        stop: StopSignal::default(),
        note: Arc::new(|_| {}),
        at_step: Arc::new(|_| {}),
    };
    let status = new_status(&job, &options);
    let ran = starweir_pipeline::run::run(&job, &store, &status, &options).await;
    if case["expect_job_failure"] == true {
        return Ok(if ran.is_err() { Ok(()) } else { Err("the job did not fail".into()) });
    }
    if let Err(error) = ran {
        return Ok(Err(format!("failed: {}", error.chain())));
    }
    let name = format!("`{DATABASE}`.`{}`", table.table);
    let shown = |row: mysql_async::Row, limit: usize| {
        let cell = |at: usize| match row.as_ref(at) {
            None | Some(mysql_async::Value::NULL) => "null".to_owned(),
            Some(_) => row.get::<Option<String>, _>(at).flatten().unwrap_or_default(),
        };
        (0..row.len().min(limit)).map(cell).collect::<Vec<_>>().join(" | ")
    };
    if let Some(expected) = case["expect_query_error"].as_str() {
        let answer = conn.query::<mysql_async::Row, _>(format!("SELECT * FROM {name}")).await;
        return Ok(match answer {
            Ok(_) => Err("the table is still there".into()),
            Err(error) if error.to_string().contains(expected.trim_end_matches('.')) => Ok(()),
            Err(error) => Err(format!("asked with: {error}")),
        });
    }
    let (sql, key, limit) = if case["expect_description"].is_array() {
        (format!("DESC {name}"), "expect_description", 5)
    } else {
        (format!("SELECT * FROM {name}"), "expect_rows", usize::MAX)
    };
    let rows: Vec<mysql_async::Row> = conn.query(sql).await?;
    let mut got: Vec<String> = rows.into_iter().map(|row| shown(row, limit)).collect();
    let mut expected = notation::texts(&case[key])?;
    if case["ordered"] != true {
        got.sort();
        expected.sort();
    }
    Ok(same(&got, &expected))
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
