//! `formats/`: messages about changes of captured tables, written and read.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use serde_json::Value as Json;
use starweir_formats::encode::{key_definitions, key_encoder, message_definitions, message_encoder};
use starweir_formats::mysql::{Catalog, CatalogOptions, TableKey};
use starweir_formats::{decoder, definitions};
use starweir_model::{
    ChangeBatch, ChangeOp, Column, DataType, Instant, LogicalType, Options, RowChange, Schema, TableColumn, TableId,
    TableSchema, Value,
};
use starweir_pipeline::evolution::schema::apply;
use starweir_pipeline::rows::{batch_of, changes_of};

use super::notation::{self, Event, event, text, texts};
use super::{Case, Outcome, run_file};

pub fn run(directory: &Path, filter: Option<&str>, cases: &mut Vec<Case>) -> anyhow::Result<()> {
    run_file(directory, "formats/encode.jsonl", filter, cases, encode)?;
    let inventory = directory.join("e2e/mysql-mysql_inventory.sql");
    let inventory = if inventory.is_file() { std::fs::read_to_string(inventory)? } else { String::new() };
    run_file(directory, "formats/mysql-to-kafka.jsonl", filter, cases, |case| round_trip(case, &inventory))?;
    run_file(directory, "formats/debezium-messages.jsonl", filter, cases, decode)
}

fn fail(error: starweir_model::Error) -> anyhow::Error {
    anyhow!(error.chain())
}

fn options(definitions: Option<&[starweir_model::OptionDef]>, given: &[(String, String)]) -> anyhow::Result<Options> {
    Options::parse(definitions.context("no such format")?, given.iter().map(|(k, v)| (&**k, &**v)))
        .map_err(|errors| anyhow!("{}", errors.iter().map(|e| &*e.message).collect::<Vec<_>>().join("; ")))
}

/// What one batch becomes in the encoder of a message or key.
fn records(
    format: &str,
    key: bool,
    given: &[(String, String)],
    (table, schema): (&TableId, &TableSchema),
    batch: &ChangeBatch,
) -> anyhow::Result<Vec<String>> {
    let mut encoder = if key {
        key_encoder(format, table, schema, &options(key_definitions(format), given)?)
    } else {
        message_encoder(format, table, schema, &options(message_definitions(format), given)?)
    }
    .map_err(fail)?;
    let (mut out, mut ends, mut start) = (Vec::new(), Vec::new(), 0);
    encoder.encode(batch, &mut out, &mut ends).map_err(fail)?;
    ends.into_iter().map(|end| Ok(String::from_utf8(out[std::mem::replace(&mut start, end)..end].to_vec())?)).collect()
}

fn parsed_equal(got: &str, expected: &Json) -> anyhow::Result<Outcome> {
    let parsed: Json = serde_json::from_str(got).with_context(|| format!("not JSON: {got}"))?;
    Ok(if parsed == *expected { Ok(()) } else { Err(format!("got {parsed}, expected {expected}")) })
}

fn encode(case: &Json) -> anyhow::Result<Outcome> {
    let format = text(case, "format")?;
    let key = text(case, "role")? == "key";
    let given: Vec<(String, String)> = case["config"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| (k.clone(), v.as_str().map_or_else(|| v.to_string(), str::to_owned)))
        .collect();
    let mut schemas: HashMap<TableId, TableSchema> = HashMap::new();
    for (n, step) in case["steps"].as_array().context("no steps")?.iter().enumerate() {
        let got = match event(&step["event"], &|table| schemas.get(table).cloned())? {
            Event::Schema(change) => {
                let after = apply(schemas.get(change.table()), &change).map_err(fail)?;
                schemas.insert(change.table().clone(), after);
                Vec::new()
            }
            Event::Change { table, change } => {
                let schema = schemas.get(&table).context("no schema")?;
                let batch = batch_of(schema, &[change]).map_err(fail)?;
                records(format, key, &given, (&table, schema), &batch)?
            }
            Event::Flush { .. } => Vec::new(),
        };
        let outcome = match (&got[..], step.get("json"), step["text"].as_str()) {
            ([], None, None) => Ok(()),
            ([got], Some(expected), _) => parsed_equal(got, expected)?,
            ([got], None, Some(expected)) if got == expected => Ok(()),
            _ => Err(format!("got {got:?}, expected {step}")),
        };
        if let Err(reason) = outcome {
            return Ok(Err(format!("step {n}: {reason}")));
        }
    }
    Ok(Ok(()))
}

/// Reads a message and writes it again: it is the same.
fn round_trip(case: &Json, inventory: &str) -> anyhow::Result<Outcome> {
    let message = &case["message"];
    let wrapped = message.get("payload").is_some();
    let event = if wrapped { &message["payload"] } else { message };
    let format = text(case, "format")?.trim_end_matches("-with-schema");
    // The names of the table, and a row of it, as the format holds them.
    let (origin, database, rows) = match format {
        "canal-json" => (event, "database", [&event["data"][0], &event["old"][0]]),
        _ => (&event["source"], "db", [&event["after"], &event["before"]]),
    };
    let row = rows.into_iter().find_map(Json::as_object).context("a message without row")?;
    let table = TableId::in_schema(text(origin, database)?, text(origin, "table")?);
    let known = if wrapped { connect_columns(&message["schema"])? } else { created(inventory, &table.table) };
    let columns = row.iter().map(|(name, value)| {
        let column = known.iter().find(|c| c.name == *name).cloned();
        column.unwrap_or_else(|| TableColumn::new(name, inferred(value)))
    });
    let primary_keys = if event["pkNames"].is_array() { texts(&event["pkNames"])? } else { Vec::new() };
    let schema = TableSchema { columns: columns.collect(), primary_keys, ..TableSchema::default() };
    let batch = decoded(format, &schema, message)?;
    let given = if wrapped { vec![("include-schema.enabled".to_owned(), "true".to_owned())] } else { Vec::new() };
    let records = records(format, false, &given, (&table, &schema), &batch)?;
    let [record] = &records[..] else { return Ok(Err(format!("became {} messages", records.len()))) };
    parsed_equal(record, message)
}

fn decoded(format: &str, schema: &TableSchema, message: &Json) -> anyhow::Result<ChangeBatch> {
    let columns = schema.columns.iter().map(|c| Column::new(&c.name, c.data_type.clone())).collect();
    let mut decoder = decoder(format, &Schema::new(columns), &[], &options(definitions(format), &[])?).map_err(fail)?;
    decoder.decode(message.to_string().as_bytes()).map_err(|e| fail(e.into()))?;
    decoder.finish().map_err(fail)
}

/// The columns of a table as the statements of a script create it; none if they do not.
fn created(script: &str, table: &str) -> Vec<TableColumn> {
    const DATABASE: &str = "inventory";
    let mut catalog = Catalog::new(CatalogOptions { names_as_written: true, ..CatalogOptions::default() });
    for statement in script.split(";\n").map(str::trim) {
        // Comments stand in front of statements.
        let statement = statement.find("CREATE TABLE").map_or(statement, |at| &statement[at..]);
        catalog.apply(statement, DATABASE, &|_: &TableKey| true);
    }
    catalog.schema(&(DATABASE.to_owned(), table.to_owned())).map(|schema| schema.columns).unwrap_or_default()
}

/// The type of a column nothing else is known of.
fn inferred(value: &Json) -> DataType {
    DataType::nullable(match value {
        Json::Bool(_) => LogicalType::Boolean,
        Json::Number(number) if number.is_i64() => LogicalType::BigInt,
        Json::Number(_) => LogicalType::Double,
        _ => return DataType::string(),
    })
}

/// The columns a message's schema tells.
fn connect_columns(schema: &Json) -> anyhow::Result<Vec<TableColumn>> {
    let images = schema["fields"].as_array().context("a schema without fields")?;
    let after = images.iter().find(|image| image["field"] == "after").context("a schema without after")?;
    let column = |field: &Json| -> anyhow::Result<TableColumn> {
        let name = text(field, "field")?;
        let parameter = |name: &str| field["parameters"][name].as_str().and_then(|t| t.parse().ok());
        let logical = match (text(field, "type")?, field["name"].as_str().unwrap_or_default()) {
            ("boolean", _) => LogicalType::Boolean,
            ("int16", _) => LogicalType::SmallInt,
            ("int32", "io.debezium.time.Date") => LogicalType::Date,
            ("int32", _) => LogicalType::Int,
            ("int64", "io.debezium.time.MicroTime") => LogicalType::Time(6),
            ("int64", "io.debezium.time.Timestamp") => LogicalType::Timestamp(3),
            ("int64", "io.debezium.time.MicroTimestamp") => LogicalType::Timestamp(6),
            ("int64", _) => LogicalType::BigInt,
            ("float", _) => LogicalType::Float,
            ("double", _) => LogicalType::Double,
            ("bytes", "org.apache.kafka.connect.data.Decimal") => LogicalType::Decimal(
                parameter("connect.decimal.precision").context("no precision")?,
                parameter("scale").context("no scale")?,
            ),
            ("bytes", _) => LogicalType::VarBinary(starweir_model::types::LENGTH_MAX),
            ("string", "io.debezium.time.ZonedTimestamp") => LogicalType::TimestampLtz(6),
            ("string", _) => LogicalType::STRING,
            (other, _) => return Err(anyhow!("column '{name}' is of type {other}")),
        };
        let data_type = DataType { logical, nullable: field["optional"] == true };
        let default = field.get("default").map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
        Ok(TableColumn { default, ..TableColumn::new(name, data_type) })
    };
    after["fields"].as_array().context("no columns")?.iter().map(column).collect()
}

/// The wide MySQL table of the recorded messages. The schema some of the messages hold does not fit their values (it
/// lacks columns and calls geometries strings), so the table's own types are declared.
const FULL_TYPES: &[(&str, &str)] = &[
    ("id", "DECIMAL(20, 0) NOT NULL"),
    ("tiny_c", "TINYINT"),
    ("tiny_un_c", "SMALLINT"),
    ("tiny_un_z_c", "SMALLINT"),
    ("small_c", "SMALLINT"),
    ("small_un_c", "INT"),
    ("small_un_z_c", "INT"),
    ("medium_c", "INT"),
    ("medium_un_c", "INT"),
    ("medium_un_z_c", "INT"),
    ("int_c", "INT"),
    ("int_un_c", "BIGINT"),
    ("int_un_z_c", "BIGINT"),
    ("int11_c", "INT"),
    ("big_c", "BIGINT"),
    ("big_un_c", "DECIMAL(20, 0)"),
    ("big_un_z_c", "DECIMAL(20, 0)"),
    ("varchar_c", "VARCHAR(255)"),
    ("char_c", "CHAR(3)"),
    ("real_c", "DOUBLE"),
    ("float_c", "FLOAT"),
    ("float_un_c", "FLOAT"),
    ("float_un_z_c", "FLOAT"),
    ("double_c", "DOUBLE"),
    ("double_un_c", "DOUBLE"),
    ("double_un_z_c", "DOUBLE"),
    ("decimal_c", "DECIMAL(8, 4)"),
    ("decimal_un_c", "DECIMAL(8, 4)"),
    ("decimal_un_z_c", "DECIMAL(8, 4)"),
    ("numeric_c", "DECIMAL(6, 0)"),
    // DECIMAL(65, 1) in MySQL; Flink has at most 38 digits.
    ("big_decimal_c", "DECIMAL(38, 1)"),
    ("bit1_c", "BOOLEAN"),
    ("tiny1_c", "BOOLEAN"),
    ("boolean_c", "BOOLEAN"),
    ("date_c", "DATE"),
    ("time_c", "TIME(0)"),
    ("datetime3_c", "TIMESTAMP(3)"),
    ("datetime6_c", "TIMESTAMP(6)"),
    ("timestamp_c", "TIMESTAMP_LTZ(0)"),
    ("file_uuid", "BINARY(16)"),
    ("bit_c", "BINARY(8)"),
    ("text_c", "STRING"),
    ("tiny_blob_c", "BYTES"),
    ("blob_c", "BYTES"),
    ("medium_blob_c", "BYTES"),
    ("long_blob_c", "BYTES"),
    ("year_c", "INT"),
    ("enum_c", "STRING"),
    ("set_c", "STRING"),
    ("json_c", "STRING"),
    ("point_c", "STRING"),
    ("geometry_c", "STRING"),
    ("linestring_c", "STRING"),
    ("polygon_c", "STRING"),
    ("multipoint_c", "STRING"),
    ("multiline_c", "STRING"),
    ("multipolygon_c", "STRING"),
    ("geometrycollection_c", "STRING"),
    ("varchar_len0_c", "STRING"),
];

/// Reads a message: every image is a row with the message's values.
fn decode(case: &Json) -> anyhow::Result<Outcome> {
    let message = &case["message"];
    let event = message.get("payload").unwrap_or(message);
    let columns = FULL_TYPES.iter().map(|(name, of)| Ok(TableColumn::new(*name, of.parse().map_err(fail)?)));
    let schema = TableSchema { columns: columns.collect::<anyhow::Result<_>>()?, ..TableSchema::default() };
    let batch = decoded("debezium-json", &schema, message)?;
    let changes = changes_of(&schema, &batch, &[]).map_err(fail)?;
    let [change] = &changes[..] else { return Ok(Err(format!("became {} changes", changes.len()))) };
    let op = match text(event, "op")? {
        "u" => ChangeOp::Update,
        "d" => ChangeOp::Delete,
        _ => ChangeOp::Insert,
    };
    if change.op != op {
        return Ok(Err(format!("became {:?}, expected {op:?}", change.op)));
    }
    let RowChange { before, after, .. } = change;
    for (image, row) in [("before", before), ("after", after)] {
        match (row, event[image].as_object()) {
            (None, None) => {}
            (Some(row), Some(values)) => {
                if let Some(name) = values.keys().find(|name| schema.index_of(name).is_none()) {
                    return Ok(Err(format!("{image}: column '{name}' is not declared")));
                }
                for (got, column) in row.iter().zip(&schema.columns) {
                    let json = values.get(&column.name).unwrap_or(&Json::Null);
                    if !agrees(got, json, &column.data_type)? {
                        return Ok(Err(format!("{image}.{}: got {got:?} of {json}", column.name)));
                    }
                }
            }
            _ => return Ok(Err(format!("{image}: is in one only"))),
        }
    }
    Ok(Ok(()))
}

/// Whether a value read is what Debezium's notation of MySQL's types says.
fn agrees(got: &Value, json: &Json, of: &DataType) -> anyhow::Result<bool> {
    if json.is_null() {
        return Ok(got.is_null());
    }
    let bytes = |text: &str| base64::engine::general_purpose::STANDARD.decode(text);
    let count = || json.as_i64().with_context(|| format!("{json} is not a count"));
    let expected = match (&of.logical, json) {
        // `decimal.handling.mode` is precise: the unscaled number's bytes.
        (LogicalType::Decimal(_, scale), Json::String(text)) => {
            let wide = bytes(text)?.iter().enumerate().fold(0i128, |number, (n, byte)| {
                if n == 0 { i128::from(*byte as i8) } else { number << 8 | i128::from(*byte) }
            });
            Value::Decimal(starweir_model::Decimal { unscaled: wide, scale: *scale })
        }
        (LogicalType::Decimal(_, scale), Json::Number(number)) => {
            let read = notation::decimal(&number.to_string())?;
            let missing = u32::from(scale.checked_sub(read.scale).context("more digits than declared")?);
            Value::Decimal(starweir_model::Decimal { unscaled: read.unscaled * 10i128.pow(missing), scale: *scale })
        }
        (LogicalType::Boolean, Json::Number(number)) => Value::Boolean(number.as_i64() != Some(0)),
        (LogicalType::Date, _) => Value::Date(count()? as i32),
        (LogicalType::Time(_), _) => Value::Time(count()? * 1000),
        (LogicalType::Timestamp(..=3), _) => Value::Timestamp(Instant::from_millis(count()?)),
        (LogicalType::Timestamp(_), _) => Value::Timestamp(Instant::from_micros(count()?)),
        (LogicalType::VarChar(_), Json::Object(_) | Json::Array(_)) => {
            let Value::String(text) = got else { return Ok(false) };
            return Ok(serde_json::from_str::<Json>(text).is_ok_and(|read| read == *json));
        }
        _ => notation::value(json, of)?,
    };
    Ok(*got == expected)
}
