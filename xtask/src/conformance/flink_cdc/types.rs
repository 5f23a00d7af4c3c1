//! `types`: values of MySQL as CDC values. Type names need no server; the rest runs on a MySQL server, started by the
//! script beside the repository or named by `STARWEIR_TEST_MYSQL`, and is skipped without one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use arrow::array::{Array, ArrayRef, AsArray as _};
use arrow::datatypes as at;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts};
use serde_json::Value as Json;
use starweir_connectors::mysql::mysql_source;
use starweir_engine::{CdcEvent, CdcReader, CdcSource, TableRows};
use starweir_formats::mysql::{MySqlType, TypeOptions};
use starweir_model::{DataType, Decimal, Instant as Moment, RowKind, SystemClock, TableSchema, Value};

use super::super::Status;
use super::{Case, Outcome, notation, run_file};

const DATABASE: &str = "sw_conformance_types";

pub fn run(directory: &Path, filter: Option<&str>, cases: &mut Vec<Case>) -> anyhow::Result<()> {
    let folder = directory.join("types");
    run_file(&folder, "mysql-type-names.jsonl", filter, cases, type_name)?;
    let files = ["mysql-rows.jsonl", "mysql-schemas.jsonl", "mysql-ancient.jsonl"];
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut server: Option<Result<Server, String>> = None;
    for file in files.into_iter().filter(|f| folder.join(f).is_file()) {
        let group = file.trim_end_matches(".jsonl");
        for json in notation::lines(&folder.join(file))? {
            let id = notation::text(&json, "id")?.to_owned();
            if filter.is_some_and(|text| !id.contains(text)) {
                continue;
            }
            let (status, reason) = match server.get_or_insert_with(|| Server::start(directory)) {
                Err(reason) => (Status::Skipped, reason.clone()),
                Ok(server) => {
                    let checked = runtime.block_on(async {
                        match group {
                            "mysql-rows" => server.rows(&json, &folder).await,
                            "mysql-schemas" => server.schemas(&json, &folder).await,
                            _ => server.ancient(&json, &folder).await,
                        }
                    });
                    match checked {
                        Ok(Ok(())) => (Status::Passed, String::new()),
                        Ok(Err(reason)) => (Status::Failed, reason),
                        Err(error) => (Status::Failed, format!("{error:#}")),
                    }
                }
            };
            cases.push(Case::new(id, group, status, reason));
        }
    }
    Ok(())
}

fn type_name(json: &Json) -> anyhow::Result<Outcome> {
    let number = |key: &str| json[key].as_i64().and_then(|n| u32::try_from(n).ok());
    let options = TypeOptions { tinyint1_is_boolean: json["tinyint1_is_boolean"].as_bool().unwrap_or(true) };
    let mapped = |name: &str| {
        let mut of = MySqlType::parse(name);
        of.length = of.length.or(number("length"));
        of.scale = of.scale.or(number("scale"));
        let nullable = json["nullable"].as_bool().unwrap_or(true);
        DataType { logical: of.to_logical(&options), nullable }.to_string()
    };
    let found = mapped(notation::text(json, "mysql_type")?);
    let expected = match json["expect_same_as"].as_str() {
        Some(other) => mapped(other),
        None => notation::text(json, "expect")?.to_owned(),
    };
    Ok(if found == expected { Ok(()) } else { Err(format!("expected {expected}, got {found}")) })
}

/// A MySQL server for the cases; stopped when dropped, if we started it.
pub struct Server {
    pub url: String,
    started: Option<(PathBuf, tempfile::TempDir)>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((script, folder)) = &self.started {
            let _ = Command::new(script).arg("down").arg(folder.path()).output();
        }
    }
}

impl Server {
    pub fn start(cases: &Path) -> Result<Self, String> {
        if let Ok(url) = std::env::var("STARWEIR_TEST_MYSQL") {
            return Ok(Self { url, started: None });
        }
        let script = cases.ancestors().map(|a| a.join("tools/servers/mysql")).find(|p| p.is_file());
        let script = script.ok_or("STARWEIR_TEST_MYSQL names no server, and no script that starts one is there")?;
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(|e| e.to_string())?;
        let output = Command::new(&script)
            .args([Path::new("up"), folder.path(), Path::new(&port.port().to_string())])
            .output()
            .map_err(|e| e.to_string())?;
        let printed = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let server = Self { url: printed, started: Some((script, folder)) };
        if output.status.success() { Ok(server) } else { Err("the MySQL server did not start".into()) }
    }

    pub async fn connect(&self) -> anyhow::Result<Conn> {
        let mut conn = Conn::new(Opts::from_url(&self.url)?).await?;
        // The recorded tests run on servers that let zero dates in.
        conn.query_drop("SET SESSION sql_mode = '', time_zone = '+00:00'").await?;
        Ok(conn)
    }

    /// The database, filled by a fixture.
    async fn fixture(&self, json: &Json, folder: &Path) -> anyhow::Result<Conn> {
        let mut conn = self.connect().await?;
        conn.query_drop(format!("DROP DATABASE IF EXISTS {DATABASE}")).await?;
        conn.query_drop(format!("CREATE DATABASE {DATABASE}")).await?;
        conn.query_drop(format!("USE {DATABASE}")).await?;
        let script = std::fs::read_to_string(folder.join(notation::text(json, "fixture")?))?;
        let lines: Vec<&str> = script.lines().filter(|l| !l.trim_start().starts_with("--")).collect();
        for statement in lines.join("\n").split(";\n").map(|s| s.trim().trim_end_matches(';')).filter(|s| !s.is_empty())
        {
            conn.query_drop(statement).await.with_context(|| statement.to_owned())?;
        }
        Ok(conn)
    }

    fn source(&self, json: &Json, table: &str) -> anyhow::Result<Arc<dyn CdcSource>> {
        let options = Opts::from_url(&self.url)?;
        let mut given: Vec<(String, String)> = vec![
            ("hostname".into(), options.ip_or_hostname().into()),
            ("port".into(), options.tcp_port().to_string()),
            ("username".into(), options.user().unwrap_or_default().into()),
            ("password".into(), options.pass().unwrap_or_default().into()),
            ("tables".into(), format!("{DATABASE}.{table}")),
        ];
        let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if let Some(legacy) = json.get("use.legacy.json.format") {
            given.push(("use.legacy.json.format".into(), text(legacy)));
        }
        for (name, value) in json["options"].as_object().into_iter().flatten() {
            given.push((name.clone(), text(value)));
        }
        let given = given.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        mysql_source(given, Arc::new(SystemClock), u64::from(std::process::id())).map_err(|e| anyhow!("{e:?}"))
    }

    async fn rows(&self, json: &Json, folder: &Path) -> anyhow::Result<Outcome> {
        let mut conn = self.fixture(json, folder).await?;
        let source = self.source(json, notation::text(json, "table")?)?;
        let mut reader = open(&source).await?;
        let types: Vec<DataType> =
            json["types"].as_array().context("no types")?.iter().map(notation::data_type).collect::<Result<_, _>>()?;
        let expected = |key: &str| -> anyhow::Result<Vec<Value>> {
            json[key].as_array().context("no row")?.iter().zip(&types).map(|(v, t)| notation::value(v, t)).collect()
        };
        let snapshot = collect(&mut reader, 1).await?;
        let mut outcome = compare("snapshot", &snapshot[0], &expected("snapshot_row")?);
        if let Some(statements) = json.get("then_sql") {
            for statement in notation::texts(statements)? {
                conn.query_drop(statement).await?;
            }
            let stream = collect(&mut reader, 1).await?;
            outcome = outcome.and(compare("stream", &stream[0], &expected("binlog_row")?));
        }
        Ok(outcome)
    }

    async fn schemas(&self, json: &Json, folder: &Path) -> anyhow::Result<Outcome> {
        self.fixture(json, folder).await?;
        let source = self.source(json, notation::text(json, "table")?)?;
        let found = source.discover().await.map_err(|e| anyhow!(e.chain()))?;
        let (_, mut found) = found.into_iter().next().context("no table found")?;
        // The recorded look at a table tells no default values, which the events of a capture do.
        found.columns.iter_mut().for_each(|c| c.default = None);
        let expected = notation::schema(&json["expect_schema"])?;
        Ok(same_schema(&found, &expected))
    }

    async fn ancient(&self, json: &Json, folder: &Path) -> anyhow::Result<Outcome> {
        let mut conn = self.fixture(json, folder).await?;
        let source = self.source(json, notation::text(json, "table")?)?;
        let found = source.discover().await.map_err(|e| anyhow!(e.chain()))?;
        let (_, schema) = found.into_iter().next().context("no table found")?;
        let mut outcome = same_schema(&schema, &notation::schema(&json["expect_schema"])?);
        let mut reader = open(&source).await?;
        for (key, statements) in [("expect_snapshot_rows", None), ("expect_binlog_rows", json.get("then_sql"))] {
            for statement in statements.map(notation::texts).transpose()?.unwrap_or_default() {
                conn.query_drop(statement).await?;
            }
            let mut expected = notation::texts(&json[key])?;
            let rows = collect(&mut reader, expected.len()).await?;
            let print = |row: &Vec<Value>| {
                let cells: Vec<_> = row.iter().map(|v| starweir_pipeline::print::value(v, None)).collect();
                format!("[{}]", cells.join(", "))
            };
            let mut printed: Vec<String> = rows.iter().map(print).collect();
            printed.sort();
            expected.sort();
            if printed != expected {
                outcome = outcome.and(Err(format!("{key}: expected {expected:?}, got {printed:?}")));
            }
        }
        Ok(outcome)
    }
}

async fn open(source: &Arc<dyn CdcSource>) -> anyhow::Result<Box<dyn CdcReader>> {
    source.open(None).await.map_err(|e| anyhow!(e.chain()))
}

/// The images after of the next `count` changes.
async fn collect(reader: &mut Box<dyn CdcReader>, count: usize) -> anyhow::Result<Vec<Vec<Value>>> {
    let limit = Instant::now() + Duration::from_secs(30);
    let mut rows = Vec::new();
    while rows.len() < count {
        if Instant::now() > limit {
            bail!("only {} of {count} rows came", rows.len());
        }
        let polled = reader.poll(Duration::from_millis(200)).await.map_err(|e| anyhow!(e.chain()))?;
        for event in polled.events {
            let CdcEvent::Rows { rows: TableRows::Columns { changes, .. }, .. } = event else { continue };
            for row in 0..changes.rows() {
                if matches!(changes.kinds.at(row), RowKind::Insert | RowKind::UpdateAfter) {
                    rows.push(changes.batch.columns().iter().map(|c| value(c, row)).collect::<Result<_, _>>()?);
                }
            }
        }
    }
    Ok(rows)
}

fn same_schema(found: &TableSchema, expected: &TableSchema) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("expected {expected:?}, got {found:?}")) }
}

fn compare(what: &str, found: &[Value], expected: &[Value]) -> Outcome {
    let wide = |v: &Value| match v {
        Value::TinyInt(n) => Value::BigInt(i64::from(*n)),
        Value::SmallInt(n) => Value::BigInt(i64::from(*n)),
        Value::Int(n) => Value::BigInt(i64::from(*n)),
        other => other.clone(),
    };
    if found.len() != expected.len() {
        return Err(format!("{what}: expected {} values, got {}", expected.len(), found.len()));
    }
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        if wide(found) != wide(expected) {
            return Err(format!("{what}: value {i}: expected {expected:?}, got {found:?}"));
        }
    }
    Ok(())
}

/// A cell of a captured batch.
fn value(column: &ArrayRef, row: usize) -> anyhow::Result<Value> {
    if column.is_null(row) {
        return Ok(Value::Null);
    }
    use at::DataType as T;
    Ok(match column.data_type() {
        T::Boolean => Value::Boolean(column.as_boolean().value(row)),
        T::Int8 => Value::TinyInt(column.as_primitive::<at::Int8Type>().value(row)),
        T::Int16 => Value::SmallInt(column.as_primitive::<at::Int16Type>().value(row)),
        T::Int32 => Value::Int(column.as_primitive::<at::Int32Type>().value(row)),
        T::Int64 => Value::BigInt(column.as_primitive::<at::Int64Type>().value(row)),
        T::Float32 => Value::Float(column.as_primitive::<at::Float32Type>().value(row)),
        T::Float64 => Value::Double(column.as_primitive::<at::Float64Type>().value(row)),
        T::Decimal128(_, scale) => Value::Decimal(Decimal {
            unscaled: column.as_primitive::<at::Decimal128Type>().value(row),
            scale: *scale as u8,
        }),
        T::Utf8 => Value::string(column.as_string::<i32>().value(row)),
        T::Binary => Value::Binary(column.as_binary::<i32>().value(row).to_vec()),
        T::Date32 => Value::Date(column.as_primitive::<at::Date32Type>().value(row)),
        T::Time64(_) => Value::Time(column.as_primitive::<at::Time64MicrosecondType>().value(row) * 1000),
        T::Timestamp(_, zone) => {
            let at = Moment::from_micros(column.as_primitive::<at::TimestampMicrosecondType>().value(row));
            if zone.is_some() { Value::TimestampLtz(at) } else { Value::Timestamp(at) }
        }
        other => bail!("no value of {other}"),
    })
}
