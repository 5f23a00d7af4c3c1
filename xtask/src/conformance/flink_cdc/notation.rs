//! The cases' JSON notation of schemas, events and rows, into our words.

use anyhow::{Context as _, anyhow, bail};
use base64::Engine as _;
use serde_json::Value as Json;
use starweir_model::{
    AddedColumn, ChangeOp, ColumnPosition, DataType, Decimal, Instant, LogicalType, RowChange, SchemaChange,
    TableColumn, TableId, TableSchema, Value,
};

type Result<T> = anyhow::Result<T>;

/// An item of a case's event list.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Schema(SchemaChange),
    Change {
        table: TableId,
        change: RowChange,
    },
    /// Tables to flush and the kind of change that asked for it.
    Flush {
        tables: Vec<TableId>,
        by: String,
    },
}

pub fn text<'a>(json: &'a Json, key: &str) -> Result<&'a str> {
    json[key].as_str().with_context(|| format!("no text '{key}' in {json}"))
}

pub fn texts(json: &Json) -> Result<Vec<String>> {
    json.as_array()
        .context("not a list")?
        .iter()
        .map(|item| item.as_str().map(str::to_owned).context("not a text"))
        .collect()
}

pub fn data_type(json: &Json) -> Result<DataType> {
    let text = json.as_str().with_context(|| format!("no type: {json}"))?;
    text.parse().map_err(|e: starweir_model::Error| anyhow!(e.message))
}

pub fn table_id(json: &Json) -> Result<TableId> {
    let text = json.as_str().with_context(|| format!("no table: {json}"))?;
    text.parse().map_err(|e: starweir_model::Error| anyhow!(e.message))
}

fn optional(json: &Json) -> Option<String> {
    json.as_str().map(str::to_owned)
}

pub fn column(json: &Json) -> Result<TableColumn> {
    Ok(TableColumn {
        name: text(json, "name")?.to_owned(),
        data_type: data_type(&json["type"])?,
        comment: optional(&json["comment"]),
        default: optional(&json["default"]),
    })
}

fn string_pairs(json: &Json) -> Vec<(String, String)> {
    json.as_object()
        .map(|map| {
            map.iter().map(|(k, v)| (k.clone(), v.as_str().map_or_else(|| v.to_string(), str::to_owned))).collect()
        })
        .unwrap_or_default()
}

fn type_pairs(json: &Json) -> Result<Vec<(String, DataType)>> {
    let Some(map) = json.as_object() else { return Ok(Vec::new()) };
    map.iter().map(|(name, of)| Ok((name.clone(), data_type(of)?))).collect()
}

pub fn schema(json: &Json) -> Result<TableSchema> {
    let list = |key: &str| if json[key].is_null() { Ok(Vec::new()) } else { texts(&json[key]) };
    Ok(TableSchema {
        columns: json["columns"].as_array().context("no columns")?.iter().map(column).collect::<Result<_>>()?,
        primary_keys: list("primary_keys")?,
        partition_keys: list("partition_keys")?,
        options: string_pairs(&json["options"]),
        comment: optional(&json["comment"]),
    })
}

pub fn event(json: &Json, row_schema: &dyn Fn(&TableId) -> Option<TableSchema>) -> Result<Event> {
    let kind = text(json, "event")?;
    if kind == "flush" {
        let tables = json["table"].as_array().context("no tables")?.iter().map(table_id).collect::<Result<_>>()?;
        return Ok(Event::Flush { tables, by: text(json, "by")?.to_owned() });
    }
    let table = table_id(&json["table"])?;
    Ok(match kind {
        "create_table" => Event::Schema(SchemaChange::CreateTable { table, schema: schema(&json["schema"])? }),
        "add_column" => {
            let columns = json["columns"]
                .as_array()
                .context("no columns")?
                .iter()
                .map(|added| {
                    let existing = || added["existing_column"].as_str().unwrap_or_default().to_owned();
                    let position = match added["position"].as_str().unwrap_or("last") {
                        "first" => ColumnPosition::First,
                        "before" => ColumnPosition::Before(existing()),
                        "after" => ColumnPosition::After(existing()),
                        _ => ColumnPosition::Last,
                    };
                    Ok(AddedColumn { column: column(&added["column"])?, position })
                })
                .collect::<Result<_>>()?;
            Event::Schema(SchemaChange::AddColumn { table, columns })
        }
        "alter_column_type" => Event::Schema(SchemaChange::AlterColumnType {
            table,
            types: type_pairs(&json["types"])?,
            old_types: type_pairs(&json["old_types"])?,
            comments: string_pairs(&json["comments"]),
        }),
        "rename_column" => Event::Schema(SchemaChange::RenameColumn { table, names: string_pairs(&json["names"]) }),
        "drop_column" => Event::Schema(SchemaChange::DropColumn { table, columns: texts(&json["columns"])? }),
        "drop_table" => Event::Schema(SchemaChange::DropTable { table }),
        "truncate_table" => Event::Schema(SchemaChange::TruncateTable { table }),
        "alter_table_comment" => {
            Event::Schema(SchemaChange::AlterTableComment { table, comment: text(json, "comment")?.to_owned() })
        }
        "insert" | "update" | "delete" | "replace" => {
            let schema = row_schema(&table).with_context(|| format!("no schema for {table}"))?;
            let image = |key: &str| -> Result<Option<Vec<Value>>> {
                if json[key].is_null() { Ok(None) } else { row(&json[key], &schema).map(Some) }
            };
            let op = match kind {
                "insert" => ChangeOp::Insert,
                "update" => ChangeOp::Update,
                "delete" => ChangeOp::Delete,
                _ => ChangeOp::Replace,
            };
            let change =
                RowChange { op, before: image("before")?, after: image("after")?, meta: string_pairs(&json["meta"]) };
            Event::Change { table, change }
        }
        other => bail!("unknown event '{other}'"),
    })
}

pub fn row(json: &Json, schema: &TableSchema) -> Result<Vec<Value>> {
    let values = json.as_array().context("a row is not a list")?;
    values
        .iter()
        .enumerate()
        .map(|(i, v)| match schema.columns.get(i) {
            Some(column) => value(v, &column.data_type),
            None => bail!("a row has more values than columns"),
        })
        .collect()
}

pub fn value(json: &Json, data_type: &DataType) -> Result<Value> {
    if json.is_null() {
        return Ok(Value::Null);
    }
    let number = || json.as_i64().with_context(|| format!("{json} is not an integer"));
    let float = || {
        json.as_f64()
            .or_else(|| match json.as_str() {
                Some("NaN") => Some(f64::NAN),
                Some("Infinity") => Some(f64::INFINITY),
                Some("-Infinity") => Some(f64::NEG_INFINITY),
                _ => None,
            })
            .with_context(|| format!("{json} is not a number"))
    };
    let text = || json.as_str().with_context(|| format!("{json} is not a text"));
    let list = || json.as_array().with_context(|| format!("{json} is not a list"));
    Ok(match &data_type.logical {
        LogicalType::Boolean => Value::Boolean(json.as_bool().context("not a boolean")?),
        LogicalType::TinyInt => Value::TinyInt(number()? as i8),
        LogicalType::SmallInt => Value::SmallInt(number()? as i16),
        LogicalType::Int => Value::Int(number()? as i32),
        LogicalType::BigInt => Value::BigInt(number()?),
        LogicalType::Float => match json {
            Json::Number(n) => Value::Float(n.to_string().parse()?),
            _ => Value::Float(float()? as f32),
        },
        LogicalType::Double => Value::Double(float()?),
        LogicalType::Decimal(..) => {
            let text = match json {
                Json::Number(n) => n.to_string(),
                _ => text()?.to_owned(),
            };
            Value::Decimal(decimal(&text)?)
        }
        LogicalType::Char(_) | LogicalType::VarChar(_) => Value::string(text()?),
        LogicalType::Binary(_) | LogicalType::VarBinary(_) => {
            Value::Binary(base64::engine::general_purpose::STANDARD.decode(text()?)?)
        }
        LogicalType::Date => {
            let date = chrono::NaiveDate::parse_from_str(text()?, "%Y-%m-%d")?;
            Value::Date((date - chrono::NaiveDate::default()).num_days() as i32)
        }
        LogicalType::Time(_) => {
            let time: chrono::NaiveTime = text()?.parse()?;
            let since = time - chrono::NaiveTime::MIN;
            Value::Time(since.num_nanoseconds().context("time")?)
        }
        LogicalType::Timestamp(_) => Value::Timestamp(instant(text()?)?),
        LogicalType::TimestampLtz(_) => Value::TimestampLtz(instant(text()?.trim_end_matches('Z'))?),
        LogicalType::TimestampTz(_) => {
            let text = text()?;
            let (rest, zone) = match text.split_once('[') {
                Some((rest, zone)) => (rest, zone.trim_end_matches(']').to_owned()),
                None => (text, String::new()),
            };
            let at = chrono::DateTime::parse_from_rfc3339(rest)?;
            let local = at.naive_local().and_utc();
            Value::TimestampTz {
                local: Instant::new(local.timestamp(), local.timestamp_subsec_nanos()),
                offset_seconds: at.offset().local_minus_utc(),
                zone,
            }
        }
        LogicalType::Array(element) => {
            Value::Array(list()?.iter().map(|item| value(item, element)).collect::<Result<_>>()?)
        }
        LogicalType::Map(key, of) => Value::Map(
            list()?.iter().map(|pair| Ok((value(&pair[0], key)?, value(&pair[1], of)?))).collect::<Result<_>>()?,
        ),
        LogicalType::Row(fields) => {
            Value::Row(list()?.iter().zip(fields).map(|(item, f)| value(item, &f.data_type)).collect::<Result<_>>()?)
        }
        LogicalType::Variant => Value::Variant(sorted(&json["$variant"]).to_string()),
        other => bail!("values of type {other} are not written in cases"),
    })
}

/// Object keys in alphabetical order, at every depth.
fn sorted(json: &Json) -> Json {
    match json {
        Json::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort();
            Json::Object(keys.into_iter().map(|k| (k.clone(), sorted(&map[k]))).collect())
        }
        Json::Array(items) => Json::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

fn instant(text: &str) -> Result<Instant> {
    let at: chrono::NaiveDateTime = text.parse()?;
    Ok(Instant::new(at.and_utc().timestamp(), at.and_utc().timestamp_subsec_nanos()))
}

pub fn decimal(text: &str) -> Result<Decimal> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    Ok(Decimal { unscaled: format!("{whole}{fraction}").parse()?, scale: fraction.len() as u8 })
}

/// Lines of a JSON-lines file.
pub fn lines(path: &std::path::Path) -> Result<Vec<Json>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).with_context(|| format!("{}: not JSON", path.display())))
        .collect()
}
