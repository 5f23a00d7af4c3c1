//! The StarRocks columns a captured table gets. Flink CDC: `StarRocksUtils`, `CdcDataTypeTransformer`; microseconds are
//! kept, and nested types, which upstream refuses, have their StarRocks twins.

use starweir_model::{Error, LogicalType, Result, TableColumn, TableName, TableSchema};
use starweir_starrocks::StarRocksType;
use starweir_starrocks::ddl::{ColumnDefault, ColumnDefinition, TableDefinition};

/// The longest VARCHAR and VARBINARY, in bytes.
const BYTES_MAX: u32 = 1_048_576;
/// The longest CHAR, in bytes.
const CHAR_BYTES_MAX: u32 = 255;
/// What MySQL's zero date becomes as a default value.
pub const TIMESTAMP_DEFAULT: &str = "1970-01-01 00:00:00";

/// How tables are made.
#[derive(Debug, Clone)]
pub struct TableOptions {
    /// `table.create.num-buckets`.
    pub buckets: Option<u32>,
    /// `table.create.properties.*`.
    pub properties: Vec<(String, String)>,
    /// `unicode-char.max-bytes`: bytes a character may take; lengths are multiplied by it.
    pub bytes_per_character: u32,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self { buckets: None, properties: Vec::new(), bytes_per_character: 3 }
    }
}

/// The type of a column, and the bytes a binary one may take (StarRocks prints no length for it).
pub fn column_type(logical: &LogicalType, key: bool, bytes_per_character: u32) -> (StarRocksType, Option<u32>) {
    use LogicalType as L;
    use StarRocksType as S;
    let inner = |of: &starweir_model::DataType| column_type(&of.logical, false, bytes_per_character).0;
    let bytes = |characters: u32| characters.saturating_mul(bytes_per_character).clamp(1, BYTES_MAX);
    let plain = match logical {
        L::Boolean => S::Boolean,
        L::TinyInt => S::TinyInt,
        L::SmallInt => S::SmallInt,
        L::Int => S::Int,
        L::BigInt => S::BigInt,
        L::Float => S::Float,
        L::Double => S::Double,
        // A decimal cannot be part of a key: its digits, a sign and perhaps a point.
        L::Decimal(precision, scale) if key => S::Varchar(u32::from(*precision) + if *scale == 0 { 1 } else { 2 }),
        L::Decimal(precision, scale) => S::Decimal(*precision, *scale),
        L::Char(n) => match bytes(*n) {
            short if short <= CHAR_BYTES_MAX && !key => S::Char(short),
            long => S::Varchar(long),
        },
        L::VarChar(n) => S::Varchar(bytes(*n)),
        L::Binary(n) | L::VarBinary(n) => return (S::Varbinary, Some((*n).clamp(1, BYTES_MAX))),
        L::Date => S::Date,
        L::Time(0) => S::Varchar(8),
        L::Time(precision) => S::Varchar(9 + u32::from(*precision)),
        L::Timestamp(_) | L::TimestampLtz(_) => S::DateTime,
        L::TimestampTz(_) => S::Varchar(64),
        L::Variant => S::Json,
        L::Array(element) => S::Array(Box::new(inner(element))),
        L::Map(key, value) => S::Map(Box::new(inner(key)), Box::new(inner(value))),
        L::Multiset(element) => S::Map(Box::new(inner(element)), Box::new(S::Int)),
        L::Row(fields) => S::Struct(fields.iter().map(|f| (f.name.clone(), inner(&f.data_type))).collect()),
        L::IntervalYearMonth | L::IntervalDayTime => S::BigInt,
        L::Null => S::Varchar(1),
    };
    (plain, None)
}

/// A default value as StarRocks takes it: MySQL's zero timestamps have none of their own.
pub fn timestamp_default(default: &str, logical: &LogicalType) -> String {
    let timestamp =
        matches!(logical, LogicalType::Timestamp(_) | LogicalType::TimestampLtz(_) | LogicalType::TimestampTz(_));
    if timestamp && default.starts_with("0000-00-00 00:00:00") { TIMESTAMP_DEFAULT.into() } else { default.into() }
}

/// The default of a column; None where the source's text is no value of the type: a default is a convenience, a table
/// that cannot be made is not.
fn column_default(column: &TableColumn) -> Option<ColumnDefault> {
    use LogicalType as L;
    let text = timestamp_default(column.default.as_deref()?, &column.data_type.logical);
    let now = text.to_ascii_lowercase();
    let logical = &column.data_type.logical;
    match logical {
        L::Timestamp(_) | L::TimestampLtz(_) if now.starts_with("current_timestamp") || now.starts_with("now(") => {
            Some(ColumnDefault::CurrentTimestamp)
        }
        L::Boolean => match now.as_str() {
            "true" | "1" | "b'1'" => Some(ColumnDefault::Text("1".into())),
            "false" | "0" | "b'0'" => Some(ColumnDefault::Text("0".into())),
            _ => None,
        },
        L::TinyInt | L::SmallInt | L::Int | L::BigInt => {
            text.trim().parse::<i64>().ok().map(|n| ColumnDefault::Text(n.to_string()))
        }
        L::Float | L::Double | L::Decimal(..) => {
            text.trim().parse::<f64>().ok().filter(|n| n.is_finite()).map(|_| ColumnDefault::Text(text))
        }
        L::Char(_) | L::VarChar(_) | L::Date | L::Timestamp(_) | L::TimestampLtz(_) | L::Time(_) => {
            Some(ColumnDefault::Text(text))
        }
        _ => None,
    }
}

/// A column of a table to be made or changed.
pub fn column(column: &TableColumn, key: bool, options: &TableOptions) -> ColumnDefinition {
    let (data_type, _) = column_type(&column.data_type.logical, key, options.bytes_per_character);
    let mut made = ColumnDefinition::new(column.name.clone(), data_type);
    made.nullable = column.data_type.nullable;
    made.default = column_default(column);
    made.comment = column.comment.clone();
    made
}

/// The primary-key table a captured table becomes: the key's columns first, distributed by the key.
///
/// # Errors
/// A table without a key.
pub fn table(name: &TableName, schema: &TableSchema, options: &TableOptions) -> Result<TableDefinition> {
    if schema.primary_keys.is_empty() {
        return Err(Error::user(format!(
            "Only support StarRocks primary key table, but the source table {name} has no primary keys"
        ))
        .with_hint("name its key by `primary-keys` in a transform rule, or leave the table out"));
    }
    let is_key = |column: &&TableColumn| schema.primary_keys.contains(&column.name);
    let keys = schema.primary_keys.iter().filter_map(|name| schema.column(name));
    let columns = keys
        .map(|c| column(c, true, options))
        .chain(schema.columns.iter().filter(|c| !is_key(c)).map(|c| column(c, false, options)))
        .collect();
    let mut table = TableDefinition::primary(name.clone(), columns, schema.primary_keys.clone());
    table.distributed_by.clone_from(&schema.primary_keys);
    table.buckets = options.buckets;
    table.properties.clone_from(&options.properties);
    table.properties.extend(schema.options.iter().cloned());
    table.comment.clone_from(&schema.comment);
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use starweir_model::DataType;

    #[test]
    fn columns_are_wide_enough_for_what_the_source_holds() {
        for (of, key, expected) in [
            ("INT", false, "INT"),
            ("DECIMAL(20, 1)", false, "DECIMAL(20, 1)"),
            ("DECIMAL(20, 1)", true, "VARCHAR(22)"),
            ("DECIMAL(20, 0)", true, "VARCHAR(21)"),
            ("CHAR(17)", false, "CHAR(51)"),
            ("CHAR(17)", true, "VARCHAR(51)"),
            ("CHAR(100)", false, "VARCHAR(300)"),
            ("VARCHAR(17)", false, "VARCHAR(51)"),
            ("VARCHAR(1000000)", false, "VARCHAR(1048576)"),
            ("STRING", false, "VARCHAR(1048576)"),
            ("BYTES", false, "VARBINARY"),
            ("TIME(0)", false, "VARCHAR(8)"),
            ("TIME(6)", false, "VARCHAR(15)"),
            ("TIMESTAMP_LTZ(6)", false, "DATETIME"),
            ("ARRAY<VARCHAR(2)>", false, "ARRAY<VARCHAR(6)>"),
            ("VARIANT", false, "JSON"),
        ] {
            let of: DataType = of.parse().unwrap();
            assert_eq!(column_type(&of.logical, key, 3).0.to_string(), expected, "{of}");
        }
    }

    #[test]
    fn defaults_that_are_no_values_are_left_out() {
        let default = |of: &str, text: &str| {
            let column =
                TableColumn { default: Some(text.into()), ..TableColumn::new("c", of.parse::<DataType>().unwrap()) };
            column_default(&column).map(|d| match d {
                ColumnDefault::Text(text) => text,
                ColumnDefault::CurrentTimestamp => "now".into(),
            })
        };
        assert_eq!(default("TIMESTAMP(6)", "0000-00-00 00:00:00.000000").as_deref(), Some(TIMESTAMP_DEFAULT));
        assert_eq!(default("TIMESTAMP(0)", "CURRENT_TIMESTAMP").as_deref(), Some("now"));
        assert_eq!(default("INT", " 7").as_deref(), Some("7"));
        assert_eq!(default("INT", "nextval('s')"), None);
        assert_eq!(default("BOOLEAN", "b'1'").as_deref(), Some("1"));
        assert_eq!(default("BYTES", "x"), None);
        assert_eq!(default("VARCHAR(3)", "a'b").as_deref(), Some("a'b"));
    }
}
