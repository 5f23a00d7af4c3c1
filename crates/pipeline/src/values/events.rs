//! Events written by hand: a YAML list, for trying a pipeline without a database and for its tests.
//!
//! ```yaml
//! - create: shop.orders
//!   columns: {id: INT NOT NULL, city: STRING}
//!   primary-keys: [id]
//! - insert: shop.orders
//!   row: [1, Köln]
//! - update: shop.orders
//!   before: [1, Köln]
//!   after: [1, Bonn]
//! - add-column: shop.orders
//!   columns: [{name: note, type: STRING, after: id}]
//! - delete: shop.orders
//!   row: [1, null, Bonn]
//! ```
//!
//! Also `replace` (`row`), `rename-column` (`names: {old: new}`), `drop-column` (`columns: [a]`), `alter-column-type`
//! (`types: {a: BIGINT}`), `truncate-table`, `drop-table`; `meta: {op_ts: 1}` beside any row. Values go by the column's
//! type: times and dates as ISO text, binary as base64, decimals as number or text.

use std::collections::HashMap;

use base64::Engine as _;
use serde_json::Value as Node;
use starweir_model::{
    AddedColumn, ChangeOp, ColumnPosition, DataType, Decimal, Error, Instant, LogicalType, Result, RowChange,
    SchemaChange, TableColumn, TableId, TableSchema, Value,
};

use crate::evolution::schema::apply;

/// One event of a list.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Schema(SchemaChange),
    Change { table: TableId, change: RowChange },
}

/// Reads a list of events. Each table's schema follows from the events before, so that values can be read.
///
/// # Errors
/// With the number of the event that is wrong.
pub fn parse(text: &str) -> Result<Vec<Event>> {
    let nodes: Vec<Node> =
        serde_saphyr::from_str(text).map_err(|e| Error::user("the events are not a YAML list").with_source(e))?;
    from_nodes(&nodes)
}

/// The same of a list that is part of another document.
pub fn from_nodes(nodes: &[Node]) -> Result<Vec<Event>> {
    with_schemas(nodes, HashMap::new())
}

/// The same where tables are known already.
pub fn with_schemas(nodes: &[Node], mut schemas: HashMap<TableId, TableSchema>) -> Result<Vec<Event>> {
    let mut events = Vec::with_capacity(nodes.len());
    for (at, node) in nodes.iter().enumerate() {
        let event = event(node, &schemas).map_err(|e| e.context(format!("event {}", at + 1)))?;
        if let Event::Schema(change) = &event {
            let table = change.table().clone();
            let after = apply(schemas.get(&table), change).map_err(|e| e.context(format!("event {}", at + 1)))?;
            schemas.insert(table, after);
        }
        events.push(event);
    }
    Ok(events)
}

const KINDS: [&str; 11] = [
    "create",
    "insert",
    "update",
    "delete",
    "replace",
    "add-column",
    "rename-column",
    "drop-column",
    "alter-column-type",
    "truncate-table",
    "drop-table",
];

fn event(node: &Node, schemas: &HashMap<TableId, TableSchema>) -> Result<Event> {
    let wrong = |what: &str| Error::user(what.to_owned());
    let map = node.as_object().ok_or_else(|| wrong("must be a mapping such as `insert: table`"))?;
    let (kind, table) = KINDS
        .iter()
        .find_map(|kind| Some((*kind, map.get(*kind)?)))
        .ok_or_else(|| wrong(&format!("has none of the keys {}", KINDS.join(", "))))?;
    let table: TableId = table.as_str().ok_or_else(|| wrong("must name a table"))?.parse()?;
    if let Some(key) = map.keys().find(|key| {
        *key != kind
            && !["columns", "primary-keys", "row", "before", "after", "names", "types", "meta"].contains(&key.as_str())
    }) {
        return Err(wrong(&format!("unknown key '{key}'")));
    }
    let texts = |key: &str| -> Vec<String> {
        map.get(key)
            .and_then(Node::as_array)
            .into_iter()
            .flatten()
            .filter_map(Node::as_str)
            .map(str::to_owned)
            .collect()
    };
    let pairs = |key: &str| -> Vec<(String, String)> {
        map.get(key)
            .and_then(Node::as_object)
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.as_str().map_or_else(|| v.to_string(), str::to_owned)))
            .collect()
    };
    let change = match kind {
        "create" => {
            let columns = pairs("columns")
                .into_iter()
                .map(|(name, of)| Ok(TableColumn::new(name, of.parse::<DataType>()?)))
                .collect::<Result<Vec<_>>>()?;
            if columns.is_empty() {
                return Err(wrong("a table needs `columns: {name: TYPE}`"));
            }
            let schema = TableSchema { columns, primary_keys: texts("primary-keys"), ..TableSchema::default() };
            SchemaChange::CreateTable { table, schema }
        }
        "add-column" => {
            let columns = map
                .get("columns")
                .and_then(Node::as_array)
                .into_iter()
                .flatten()
                .map(added_column)
                .collect::<Result<Vec<_>>>()?;
            SchemaChange::AddColumn { table, columns }
        }
        "rename-column" => SchemaChange::RenameColumn { table, names: pairs("names") },
        "drop-column" => SchemaChange::DropColumn { table, columns: texts("columns") },
        "alter-column-type" => {
            let types = pairs("types")
                .into_iter()
                .map(|(name, of)| Ok((name, of.parse::<DataType>()?)))
                .collect::<Result<Vec<_>>>()?;
            SchemaChange::AlterColumnType { table, types, old_types: Vec::new(), comments: Vec::new() }
        }
        "truncate-table" => SchemaChange::TruncateTable { table },
        "drop-table" => SchemaChange::DropTable { table },
        kind => {
            let schema = schemas.get(&table).ok_or_else(|| wrong("comes before its table was created"))?;
            let image = |key: &str| map.get(key).map(|node| row(node, schema)).transpose();
            let needed = |key: &str| image(key)?.ok_or_else(|| wrong(&format!("needs `{key}: […]`"))).map(Some);
            let (op, before, after) = match kind {
                "insert" => (ChangeOp::Insert, None, needed("row")?),
                "replace" => (ChangeOp::Replace, None, needed("row")?),
                "delete" => (ChangeOp::Delete, needed("row")?, None),
                _ => (ChangeOp::Update, needed("before")?, needed("after")?),
            };
            return Ok(Event::Change { table, change: RowChange { op, before, after, meta: pairs("meta") } });
        }
    };
    Ok(Event::Schema(change))
}

fn added_column(node: &Node) -> Result<AddedColumn> {
    let text = |key: &str| node.get(key).and_then(Node::as_str).map(str::to_owned);
    let (Some(name), Some(of)) = (text("name"), text("type")) else {
        return Err(Error::user("an added column needs `name` and `type`"));
    };
    let column = TableColumn {
        comment: text("comment"),
        default: text("default"),
        ..TableColumn::new(name, of.parse::<DataType>()?)
    };
    let position = match (text("after"), text("before"), node.get("first")) {
        (Some(name), ..) => ColumnPosition::After(name),
        (_, Some(name), _) => ColumnPosition::Before(name),
        (.., Some(Node::Bool(true))) => ColumnPosition::First,
        _ => ColumnPosition::Last,
    };
    Ok(AddedColumn { column, position })
}

/// A row of a schema from a list of values.
pub fn row(node: &Node, schema: &TableSchema) -> Result<Vec<Value>> {
    let values = node.as_array().ok_or_else(|| Error::user("a row must be a list"))?;
    if values.len() != schema.columns.len() {
        return Err(Error::user(format!("a row has {} values for {} columns", values.len(), schema.columns.len())));
    }
    values
        .iter()
        .zip(&schema.columns)
        .map(|(node, column)| {
            value(node, &column.data_type).ok_or_else(|| {
                Error::user(format!("{node} is no value of column '{}', a {}", column.name, column.data_type))
            })
        })
        .collect()
}

/// A value of this type; None when it is none.
pub fn value(node: &Node, of: &DataType) -> Option<Value> {
    use LogicalType as L;
    let text = || match node {
        Node::String(text) => Some(text.clone()),
        Node::Number(number) => Some(number.to_string()),
        Node::Bool(value) => Some(value.to_string()),
        _ => None,
    };
    let integer = || node.as_i64().or_else(|| node.as_str()?.trim().parse().ok());
    let instant = |text: &str| {
        let at: chrono::NaiveDateTime = text.trim_end_matches('Z').replace(' ', "T").parse().ok()?;
        Some(Instant::new(at.and_utc().timestamp(), at.and_utc().timestamp_subsec_nanos()))
    };
    Some(match (&of.logical, node) {
        (_, Node::Null) => Value::Null,
        (L::Boolean, _) => Value::Boolean(node.as_bool()?),
        (L::TinyInt, _) => Value::TinyInt(integer()?.try_into().ok()?),
        (L::SmallInt, _) => Value::SmallInt(integer()?.try_into().ok()?),
        (L::Int, _) => Value::Int(integer()?.try_into().ok()?),
        (L::BigInt, _) => Value::BigInt(integer()?),
        (L::Float, _) => Value::Float(text()?.parse().ok()?),
        (L::Double, _) => Value::Double(text()?.parse().ok()?),
        (L::Decimal(precision, scale), _) => Value::Decimal(decimal(&text()?, *precision, *scale)?),
        (L::Char(_) | L::VarChar(_), _) => Value::String(text()?),
        (L::Binary(_) | L::VarBinary(_), _) => {
            Value::Binary(base64::engine::general_purpose::STANDARD.decode(node.as_str()?).ok()?)
        }
        (L::Date, _) => {
            let date: chrono::NaiveDate = node.as_str()?.parse().ok()?;
            Value::Date(i32::try_from((date - chrono::NaiveDate::default()).num_days()).ok()?)
        }
        (L::Time(_), _) => {
            let time: chrono::NaiveTime = node.as_str()?.parse().ok()?;
            Value::Time((time - chrono::NaiveTime::MIN).num_nanoseconds()?)
        }
        (L::Timestamp(_), _) => Value::Timestamp(instant(node.as_str()?)?),
        (L::TimestampLtz(_), _) => Value::TimestampLtz(instant(node.as_str()?)?),
        (L::Array(element), Node::Array(items)) => {
            Value::Array(items.iter().map(|item| value(item, element)).collect::<Option<_>>()?)
        }
        (L::Map(key, item), Node::Object(map)) => Value::Map(
            map.iter()
                .map(|(k, v)| Some((value(&Node::String(k.clone()), key)?, value(v, item)?)))
                .collect::<Option<_>>()?,
        ),
        (L::Row(fields), Node::Array(items)) if items.len() == fields.len() => {
            Value::Row(items.iter().zip(fields).map(|(item, f)| value(item, &f.data_type)).collect::<Option<_>>()?)
        }
        (L::Variant, node) => Value::Variant(node.to_string()),
        _ => return None,
    })
}

fn decimal(text: &str, precision: u8, scale: u8) -> Option<Decimal> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let given =
        Decimal { unscaled: format!("{whole}{fraction}").parse().ok()?, scale: fraction.len().try_into().ok()? };
    crate::evolution::coerce::rescale(given, precision, scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_by_the_schema_of_their_place() {
        let events = parse(
            "- create: s.t\n  columns: {id: INT NOT NULL, price: 'DECIMAL(8, 2)'}\n  primary-keys: [id]\n- insert: s.t\n  \
             row: [1, 2.5]\n  meta: {op_ts: 7}\n- add-column: s.t\n  columns: [{name: at, type: TIMESTAMP(3), after: id}]\n- \
             delete: s.t\n  row: [1, '2026-01-02T03:04:05', null]\n- truncate-table: s.t\n",
        )
        .unwrap();
        assert_eq!(events.len(), 5);
        let Event::Change { change, .. } = &events[1] else { panic!() };
        assert_eq!(change.after, Some(vec![Value::Int(1), Value::Decimal(Decimal { unscaled: 250, scale: 2 })]));
        assert_eq!(change.meta, [("op_ts".to_owned(), "7".to_owned())]);
        let Event::Change { change, .. } = &events[3] else { panic!() };
        assert!(matches!(change.before.as_deref(), Some([Value::Int(1), Value::Timestamp(_), Value::Null])));
    }

    #[test]
    fn what_is_wrong_is_told_with_the_events_number() {
        for (text, part) in [
            ("a: b", "not a YAML list"),
            ("- insert: t\n  row: [1]", "before its table was created"),
            ("- create: t\n  columns: {a: INT}\n- insert: t\n  row: [x]", "no value of column 'a'"),
            ("- create: t\n  columns: {a: INT}\n- insert: t\n  row: [1, 2]", "2 values for 1 columns"),
            ("- create: t\n  columns: {a: INTEGRE}", "not a data type"),
            ("- shout: t", "has none of the keys"),
            ("- truncate-table: t\n  colour: red", "unknown key"),
        ] {
            let error = parse(text).unwrap_err().chain();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
