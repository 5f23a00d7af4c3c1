//! What the warehouse knows about a table: plain data, kept in the redo log as it is.

use std::collections::BTreeMap;

use arrow::datatypes::{Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use crate::types::SqlType;
use crate::value::Value;

/// The four table models of StarRocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TableModel {
    Duplicate,
    Aggregate,
    Unique,
    Primary,
}

impl TableModel {
    /// Whether rows with equal keys are folded into one.
    pub fn is_keyed(self) -> bool {
        self != Self::Duplicate
    }

    pub fn ddl(self) -> &'static str {
        match self {
            Self::Duplicate => "DUPLICATE KEY",
            Self::Aggregate => "AGGREGATE KEY",
            Self::Unique => "UNIQUE KEY",
            Self::Primary => "PRIMARY KEY",
        }
    }

    /// `information_schema.columns.COLUMN_KEY` of key columns.
    pub fn column_key(self) -> &'static str {
        match self {
            Self::Duplicate => "DUP",
            Self::Aggregate => "AGG",
            Self::Unique => "UNI",
            Self::Primary => "PRI",
        }
    }

    pub fn information_schema(self) -> &'static str {
        match self {
            Self::Duplicate => "DUP_KEYS",
            Self::Aggregate => "AGG_KEYS",
            Self::Unique => "UNIQUE_KEYS",
            Self::Primary => "PRIMARY_KEYS",
        }
    }
}

/// How the value column of an aggregate table folds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Aggregation {
    Sum,
    Min,
    Max,
    Replace,
    ReplaceIfNotNull,
    HllUnion,
    BitmapUnion,
    PercentileUnion,
}

impl Aggregation {
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_uppercase().as_str() {
            "SUM" => Self::Sum,
            "MIN" => Self::Min,
            "MAX" => Self::Max,
            "REPLACE" => Self::Replace,
            "REPLACE_IF_NOT_NULL" => Self::ReplaceIfNotNull,
            "HLL_UNION" => Self::HllUnion,
            "BITMAP_UNION" => Self::BitmapUnion,
            "PERCENTILE_UNION" => Self::PercentileUnion,
            _ => return None,
        })
    }

    pub fn ddl(&self) -> &'static str {
        match self {
            Self::Sum => "SUM",
            Self::Min => "MIN",
            Self::Max => "MAX",
            Self::Replace => "REPLACE",
            Self::ReplaceIfNotNull => "REPLACE_IF_NOT_NULL",
            Self::HllUnion => "HLL_UNION",
            Self::BitmapUnion => "BITMAP_UNION",
            Self::PercentileUnion => "PERCENTILE_UNION",
        }
    }
}

/// What a column gets when a load or INSERT does not name it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ColumnDefault {
    /// Nothing: NULL for a nullable column, an error for another.
    #[default]
    None,
    /// `DEFAULT NULL`
    Null,
    Literal(String),
    /// `CURRENT_TIMESTAMP`, with its precision.
    CurrentTimestamp(u8),
    /// An expression, such as `uuid()`.
    Expression(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDef {
    /// Never used twice in a table: segments name their columns by it, so renaming, dropping and
    /// adding a column touch no data.
    pub id: u32,
    pub name: String,
    pub sql_type: SqlType,
    pub nullable: bool,
    pub key: bool,
    pub aggregation: Option<Aggregation>,
    pub default: ColumnDefault,
    /// Rows from before the column was added show this text, cast; None shows NULL.
    pub added_value: Option<String>,
    pub comment: String,
    pub auto_increment: bool,
    /// The expression of a generated column, as written.
    pub generated: Option<String>,
    /// The name from before the first RENAME COLUMN: StarRocks goes on to use it as the column's id.
    #[serde(default)]
    pub first_name: Option<String>,
}

impl ColumnDef {
    /// A nullable value column with nothing special about it.
    pub fn new(name: String, sql_type: SqlType) -> Self {
        Self {
            id: 0,
            name,
            sql_type,
            nullable: true,
            key: false,
            aggregation: None,
            default: ColumnDefault::None,
            added_value: None,
            comment: String::new(),
            auto_increment: false,
            generated: None,
            first_name: None,
        }
    }

    /// The column of rows that were written before it existed.
    pub fn fill_value(&self) -> Value {
        match &self.added_value {
            Some(text) => Value::Text(text.clone()).cast(&self.sql_type).unwrap_or(Value::Null),
            None => Value::Null,
        }
    }

    /// The name in segment files.
    pub fn stored_name(&self) -> String {
        format!("c{}", self.id)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Distribution {
    Hash(Vec<String>),
    Random,
}

/// A partition bound: one value per partition column; `MAXVALUE` is None.
pub type Bound = Vec<Option<String>>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartitionRange {
    /// The only partition of a table without PARTITION BY.
    Whole,
    /// `[lower, upper)`, lower None: from the smallest value.
    Range { lower: Option<Bound>, upper: Bound },
    /// Rows whose partition values are one of these; None is NULL.
    List(Vec<Vec<Option<String>>>),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionDef {
    pub id: u64,
    pub name: String,
    pub range: PartitionRange,
    pub temporary: bool,
    /// Made by a load, not by a statement.
    pub automatic: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartitionKind {
    Range,
    List,
    /// `PARTITION BY date_trunc('day', c)` and the like: partitions appear with the rows.
    Expression,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionBy {
    pub kind: PartitionKind,
    /// Column names or expressions, as StarRocks prints them.
    pub expressions: Vec<String>,
    pub columns: Vec<String>,
    /// The expressions' types, of tables that rows make the partitions of.
    #[serde(default)]
    pub types: Vec<SqlType>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDef {
    pub id: u64,
    pub database: String,
    pub name: String,
    pub model: TableModel,
    pub columns: Vec<ColumnDef>,
    pub next_column_id: u32,
    pub distribution: Distribution,
    pub buckets: Option<u32>,
    pub order_by: Vec<String>,
    pub partition_by: Option<PartitionBy>,
    pub partitions: Vec<PartitionDef>,
    pub properties: BTreeMap<String, String>,
    pub comment: String,
    /// Index clauses, echoed.
    pub indexes: Vec<String>,
    pub created_ms: i64,
    /// A view's query; a view has columns and no rows.
    pub view: Option<String>,
    /// The connection a temporary table belongs to.
    pub session: Option<u64>,
}

impl TableDef {
    pub fn key_count(&self) -> usize {
        self.columns.iter().filter(|c| c.key).count()
    }

    pub fn keys(&self) -> impl Iterator<Item = &ColumnDef> {
        self.columns.iter().filter(|c| c.key)
    }

    /// Column names match without regard to case.
    pub fn column(&self, name: &str) -> Option<&ColumnDef> {
        self.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name))
    }

    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name.eq_ignore_ascii_case(name))
    }

    /// The Arrow schema queries see.
    pub fn schema(&self) -> SchemaRef {
        SchemaRef::new(Schema::new(
            self.columns.iter().map(|c| c.sql_type.field(&c.name, c.nullable)).collect::<Vec<_>>(),
        ))
    }

    pub fn is_view(&self) -> bool {
        self.view.is_some()
    }

    pub fn has_generated(&self) -> bool {
        self.columns.iter().any(|c| c.generated.is_some())
    }
}

/// A schema change that was done at once but is shown as a finished job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterJob {
    pub id: u64,
    pub database: String,
    pub table: String,
    pub table_id: u64,
    /// COLUMN, OPTIMIZE or ROLLUP.
    pub kind: String,
    pub created_ms: i64,
    pub transaction: u64,
}
