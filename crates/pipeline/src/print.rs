//! Events as Flink CDC prints them (its `values` sink): one event, one line.

use std::fmt::Write as _;

use base64::Engine as _;
use chrono::{DateTime, NaiveDate, NaiveDateTime, Timelike as _};
use starweir_model::{
    ChangeOp, ColumnPosition, DataType, Instant, LogicalType, RowChange, SchemaChange, TableColumn, TableId,
    TableSchema, Value,
};

/// A schema change's line.
pub fn schema_change(change: &SchemaChange) -> String {
    match change {
        SchemaChange::CreateTable { table, schema } => {
            format!("CreateTableEvent{{tableId={table}, schema={}}}", table_schema(schema))
        }
        SchemaChange::AddColumn { table, columns } => {
            let columns: Vec<_> = columns
                .iter()
                .map(|added| {
                    let (position, existing) = match &added.position {
                        ColumnPosition::First => ("FIRST", None),
                        ColumnPosition::Last => ("LAST", None),
                        ColumnPosition::Before(name) => ("BEFORE", Some(name.as_str())),
                        ColumnPosition::After(name) => ("AFTER", Some(name.as_str())),
                    };
                    format!(
                        "ColumnWithPosition{{column={}, position={position}, existedColumnName={}}}",
                        column(&added.column),
                        existing.unwrap_or("null")
                    )
                })
                .collect();
            format!("AddColumnEvent{{tableId={table}, addedColumns=[{}]}}", columns.join(", "))
        }
        SchemaChange::AlterColumnType { table, types, old_types, comments } => {
            let mut line = format!("AlterColumnTypeEvent{{tableId={table}, typeMapping={{{}}}", hashed(types));
            if !old_types.is_empty() {
                let _ = write!(line, ", oldTypeMapping={{{}}}", hashed(old_types));
            }
            let _ = write!(line, ", comments={{{}}}}}", hashed(comments));
            line
        }
        SchemaChange::RenameColumn { table, names } => {
            format!("RenameColumnEvent{{tableId={table}, nameMapping={{{}}}}}", hashed(names))
        }
        SchemaChange::DropColumn { table, columns } => {
            format!("DropColumnEvent{{tableId={table}, droppedColumnNames=[{}]}}", columns.join(", "))
        }
        SchemaChange::DropTable { table } => format!("DropTableEvent{{tableId={table}}}"),
        SchemaChange::TruncateTable { table } => format!("TruncateTableEvent{{tableId={table}}}"),
        SchemaChange::AlterTableComment { table, comment } => {
            format!("AlterTableCommentEvent{{tableId={table}, comment='{comment}'}}")
        }
    }
}

/// A change's line; `schema` is the one its rows belong to.
pub fn row_change(table: &TableId, schema: &TableSchema, change: &RowChange) -> String {
    let op = match change.op {
        ChangeOp::Insert => "INSERT",
        ChangeOp::Update => "UPDATE",
        ChangeOp::Delete => "DELETE",
        ChangeOp::Replace => "REPLACE",
    };
    let image = |row: &Option<Vec<Value>>| row.as_ref().map_or_else(String::new, |row| row_text(schema, row));
    format!(
        "DataChangeEvent{{tableId={table}, before=[{}], after=[{}], op={op}, meta={}}}",
        image(&change.before),
        image(&change.after),
        if change.meta.is_empty() { "()".to_owned() } else { format!("({{{}}})", pairs(&change.meta)) }
    )
}

/// `columns={…}, primaryKeys=…, options=()`.
pub fn table_schema(schema: &TableSchema) -> String {
    let columns: Vec<_> = schema.columns.iter().map(column).collect();
    let mut text = format!("columns={{{}}}, primaryKeys={}", columns.join(","), schema.primary_keys.join(";"));
    if !schema.partition_keys.is_empty() {
        let _ = write!(text, ", partitionKeys={}", schema.partition_keys.join(";"));
    }
    if let Some(comment) = schema.comment.as_ref().filter(|c| !c.is_empty()) {
        let _ = write!(text, ", comment={comment}");
    }
    if schema.options.is_empty() {
        text.push_str(", options=()");
    } else {
        let _ = write!(text, ", options=({{{}}})", pairs(&schema.options));
    }
    text
}

fn column(column: &TableColumn) -> String {
    let mut text = format!("`{}` {}", column.name, column.data_type);
    for extra in [&column.comment, &column.default].into_iter().flatten() {
        let _ = write!(text, " '{}'", extra.replace('\'', "''"));
    }
    text
}

fn pairs<K: std::fmt::Display, V: std::fmt::Display>(pairs: &[(K, V)]) -> String {
    pairs.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(", ")
}

/// Pairs in the order of Java's `HashMap`, which is where upstream keeps them: by bucket, then as they came.
fn hashed<V: std::fmt::Display>(list: &[(String, V)]) -> String {
    let buckets = (list.len() * 4).div_ceil(3).next_power_of_two().max(16) as u32;
    let bucket = |name: &str| {
        let hash = name.encode_utf16().fold(0u32, |hash, c| hash.wrapping_mul(31).wrapping_add(u32::from(c)));
        (hash ^ (hash >> 16)) & (buckets - 1)
    };
    let mut sorted: Vec<_> = list.iter().map(|(name, value)| (name, value)).collect();
    sorted.sort_by_key(|(name, _)| bucket(name));
    sorted.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(", ")
}

fn row_text(schema: &TableSchema, row: &[Value]) -> String {
    let texts: Vec<_> =
        row.iter().enumerate().map(|(i, v)| value(v, schema.columns.get(i).map(|c| &c.data_type))).collect();
    texts.join(", ")
}

/// A value's text. The type is needed for rows (which print their fields' names and types) and is otherwise of no
/// consequence.
pub fn value(value: &Value, data_type: Option<&DataType>) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Boolean(v) => v.to_string(),
        Value::TinyInt(v) => v.to_string(),
        Value::SmallInt(v) => v.to_string(),
        Value::Int(v) => v.to_string(),
        Value::BigInt(v) => v.to_string(),
        Value::Float(v) => java_float(f64::from(*v), &shortest_f32(*v)),
        Value::Double(v) => java_double(*v),
        Value::Decimal(v) => v.to_string(),
        Value::String(v) | Value::Variant(v) => v.clone(),
        Value::Binary(v) => base64::engine::general_purpose::STANDARD.encode(v),
        Value::Date(days) => date(*days),
        Value::Time(nanos) => time(*nanos),
        Value::Timestamp(at) | Value::TimestampLtz(at) => timestamp(*at),
        Value::TimestampTz { local, offset_seconds, .. } => zoned(*local, *offset_seconds),
        Value::Array(items) => {
            let element = match data_type.map(|t| &t.logical) {
                Some(LogicalType::Array(element)) => Some(&**element),
                _ => None,
            };
            let items: Vec<_> = items.iter().map(|item| self::value(item, element)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(entries) => {
            let (key, of) = match data_type.map(|t| &t.logical) {
                Some(LogicalType::Map(key, of)) => (Some(&**key), Some(&**of)),
                _ => (None, None),
            };
            let entries: Vec<_> =
                entries.iter().map(|(k, v)| format!("{} -> {}", self::value(k, key), self::value(v, of))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Row(fields) => {
            let types = match data_type.map(|t| &t.logical) {
                Some(LogicalType::Row(types)) => types.as_slice(),
                _ => &[],
            };
            let fields: Vec<_> = fields
                .iter()
                .enumerate()
                .map(|(i, field)| match types.get(i) {
                    Some(of) => format!("{}: {} -> {}", of.name, of.data_type, self::value(field, Some(&of.data_type))),
                    None => self::value(field, None),
                })
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
    }
}

/// `2020-07-17`; years outside of what a calendar holds print as days.
pub fn date(days: i32) -> String {
    days.checked_add(719_163)
        .and_then(NaiveDate::from_num_days_from_ce_opt)
        .map_or_else(|| format!("{days} days"), |date| date.format("%Y-%m-%d").to_string())
}

/// Java's `LocalTime.toString`: no seconds where they are zero, otherwise 0, 3, 6 or 9 digits of fraction.
pub fn time(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let seconds = nanos / 1_000_000_000;
    let mut text = format!("{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60);
    seconds_and_fraction(&mut text, (seconds % 60) as u32, (nanos % 1_000_000_000) as u32);
    text
}

fn seconds_and_fraction(text: &mut String, seconds: u32, nanos: u32) {
    if seconds != 0 || nanos != 0 {
        let _ = write!(text, ":{seconds:02}");
    }
    if nanos == 0 {
    } else if nanos.is_multiple_of(1_000_000) {
        let _ = write!(text, ".{:03}", nanos / 1_000_000);
    } else if nanos.is_multiple_of(1000) {
        let _ = write!(text, ".{:06}", nanos / 1000);
    } else {
        let _ = write!(text, ".{nanos:09}");
    }
}

/// Date and time in no zone; None outside of what a calendar holds.
pub fn naive(at: Instant) -> Option<NaiveDateTime> {
    DateTime::from_timestamp(at.seconds, at.nanos).map(|utc| utc.naive_utc())
}

/// Java's `LocalDateTime.toString`.
pub fn timestamp(at: Instant) -> String {
    let Some(naive) = naive(at) else { return format!("{} s", at.seconds) };
    let mut text = naive.format("%Y-%m-%dT%H:%M").to_string();
    seconds_and_fraction(&mut text, naive.second(), naive.nanosecond());
    text
}

fn zoned(local: Instant, offset_seconds: i32) -> String {
    let Some(naive) = naive(local) else { return format!("{} s", local.seconds) };
    let mut text = naive.format("%Y-%m-%dT%H:%M:%S").to_string();
    if local.nanos != 0 {
        let digits = format!("{:09}", local.nanos);
        let _ = write!(text, ".{}", digits.trim_end_matches('0'));
    }
    if offset_seconds == 0 {
        text.push('Z');
    } else {
        let (sign, offset) = if offset_seconds < 0 { ('-', -offset_seconds) } else { ('+', offset_seconds) };
        let _ = write!(text, "{sign}{:02}:{:02}", offset / 3600, offset / 60 % 60);
    }
    text
}

fn shortest_f32(value: f32) -> String {
    format!("{value:e}")
}

/// Java's `Double.toString`.
pub fn java_double(value: f64) -> String {
    java_float(value, &format!("{value:e}"))
}

/// Java's `Float.toString`.
pub fn java_single(value: f32) -> String {
    java_float(f64::from(value), &shortest_f32(value))
}

/// From Rust's shortest `d.ddde±x` to Java's form: plain from 10^-3 up to 10^7, otherwise computerized scientific.
fn java_float(value: f64, scientific: &str) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0.0" } else { "0.0" }.into();
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |m| ("-", m));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    if (-3..7).contains(&exponent) {
        let (whole, fraction) = if exponent < 0 {
            ("0".to_owned(), format!("{}{digits}", "0".repeat((-exponent - 1) as usize)))
        } else {
            let whole_digits = exponent as usize + 1;
            let padded = format!("{digits:0<whole_digits$}");
            let (whole, fraction) = padded.split_at(whole_digits);
            (whole.to_owned(), fraction.to_owned())
        };
        format!("{sign}{whole}.{}", if fraction.is_empty() { "0" } else { &fraction })
    } else {
        let (first, rest) = digits.split_at(1);
        format!("{sign}{first}.{}E{exponent}", if rest.is_empty() { "0" } else { rest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_java_prints_them() {
        for (value, expected) in [
            (42.0, "42.0"),
            (1e10, "1.0E10"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (1_234_567.5, "1234567.5"),
            (12_345_678.0, "1.2345678E7"),
            (-0.5, "-0.5"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(java_double(value), expected);
        }
        assert_eq!(java_single(3.4028235e38), "3.4028235E38");
    }

    #[test]
    fn times_drop_zero_seconds_and_keep_groups_of_three_digits() {
        assert_eq!(time(0), "00:00");
        assert_eq!(time(61_000_000_000), "00:01:01");
        assert_eq!(time(1_500_000), "00:00:00.001500");
        assert_eq!(time(-3_600_000_000_000), "-01:00");
        assert_eq!(timestamp(Instant::new(0, 1_000_000)), "1970-01-01T00:00:00.001");
        assert_eq!(timestamp(Instant::new(3600, 0)), "1970-01-01T01:00");
    }

    #[test]
    fn names_print_in_the_order_of_javas_hash_map() {
        let list: Vec<(String, u8)> = ["age", "gender", "name"].map(|name| (name.to_owned(), 1)).into();
        assert_eq!(hashed(&list), "gender=1, name=1, age=1");
    }

    #[test]
    fn a_change_prints_both_images_and_its_meta() {
        let schema = TableSchema {
            columns: vec![
                TableColumn::new("id", "INT NOT NULL".parse().unwrap()),
                TableColumn::new("r", "ROW<`a` INT>".parse().unwrap()),
            ],
            ..TableSchema::default()
        };
        let change = RowChange {
            op: ChangeOp::Update,
            before: Some(vec![Value::Int(1), Value::Null]),
            after: Some(vec![Value::Int(1), Value::Row(vec![Value::Int(2)])]),
            meta: vec![("op_ts".into(), "5".into())],
        };
        assert_eq!(
            row_change(&TableId::in_schema("s", "t"), &schema, &change),
            "DataChangeEvent{tableId=s.t, before=[1, null], after=[1, {a: INT -> 2}], op=UPDATE, meta=({op_ts=5})}"
        );
    }
}
