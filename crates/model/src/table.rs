//! Tables as change data capture sees them: their name, their columns, and what can change about both.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{DataType as ArrowType, Field as ArrowField, SchemaRef, TimeUnit};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::types::{DataType, LogicalType};

/// The name of a source or sink table: `table`, `schema.table` or `namespace.schema.table` (MySQL uses
/// `database.table`). Flink CDC's `TableId`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TableId {
    pub namespace: Option<String>,
    pub schema: Option<String>,
    pub table: String,
}

impl TableId {
    pub fn table(table: impl Into<String>) -> Self {
        Self { namespace: None, schema: None, table: table.into() }
    }

    pub fn in_schema(schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self { namespace: None, schema: Some(schema.into()), table: table.into() }
    }

    pub fn full(namespace: impl Into<String>, schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self { namespace: Some(namespace.into()), schema: Some(schema.into()), table: table.into() }
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.namespace, &self.schema].into_iter().flatten() {
            write!(f, "{part}.")?;
        }
        f.write_str(&self.table)
    }
}

impl FromStr for TableId {
    type Err = Error;

    /// One to three parts separated by dots.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split('.').collect::<Vec<_>>()[..] {
            [table] if !table.is_empty() => Ok(Self::table(table)),
            [schema, table] => Ok(Self::in_schema(schema, table)),
            [namespace, schema, table] => Ok(Self::full(namespace, schema, table)),
            _ => Err(Error::user(format!("'{text}' is not a table id: it has one to three parts"))),
        }
    }
}

impl TryFrom<String> for TableId {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<TableId> for String {
    fn from(id: TableId) -> String {
        id.to_string()
    }
}

/// A column of a captured table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableColumn {
    pub name: String,
    pub data_type: DataType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The default value's expression, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

impl TableColumn {
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type, comment: None, default: None }
    }
}

/// The columns of a captured table, its key and what a sink may use to create it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableSchema {
    pub columns: Vec<TableColumn>,
    pub primary_keys: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partition_keys: Vec<String>,
    /// Table options in the order given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

impl TableSchema {
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    pub fn column(&self, name: &str) -> Option<&TableColumn> {
        self.columns.iter().find(|c| c.name == name)
    }

    pub fn primary_key_indices(&self) -> Vec<usize> {
        self.primary_keys.iter().filter_map(|name| self.index_of(name)).collect()
    }

    /// The schema after a change of the table's shape; dropping and emptying the table leave it as it is.
    ///
    /// # Errors
    /// A position next to a column that is not there.
    pub fn after(&self, change: &SchemaChange) -> Result<TableSchema, Error> {
        let mut after = self.clone();
        match change {
            SchemaChange::AddColumn { columns, .. } => {
                for added in columns {
                    let at = match &added.position {
                        ColumnPosition::First => 0,
                        ColumnPosition::Last => after.columns.len(),
                        ColumnPosition::Before(name) => after.existing(change.table(), "BEFORE", name)?,
                        ColumnPosition::After(name) => after.existing(change.table(), "AFTER", name)? + 1,
                    };
                    after.columns.insert(at, added.column.clone());
                }
            }
            SchemaChange::DropColumn { columns, .. } => after.columns.retain(|c| !columns.contains(&c.name)),
            SchemaChange::RenameColumn { names, .. } => {
                let renamed = |name: &str| names.iter().find(|(old, _)| old == name).map(|(_, new)| new.clone());
                for column in &mut after.columns {
                    if let Some(new) = renamed(&column.name) {
                        column.name = new;
                    }
                }
                for key in after.primary_keys.iter_mut().chain(&mut after.partition_keys) {
                    if let Some(new) = renamed(key) {
                        *key = new;
                    }
                }
            }
            SchemaChange::AlterColumnType { types, comments, .. } => {
                for column in &mut after.columns {
                    if let Some((_, data_type)) = types.iter().find(|(name, _)| *name == column.name) {
                        column.data_type = data_type.clone();
                    }
                    if let Some((_, comment)) = comments.iter().find(|(name, _)| *name == column.name) {
                        column.comment = Some(comment.clone());
                    }
                }
            }
            SchemaChange::AlterTableComment { comment, .. } => after.comment = Some(comment.clone()),
            SchemaChange::CreateTable { schema, .. } => after = schema.clone(),
            SchemaChange::TruncateTable { .. } | SchemaChange::DropTable { .. } => {}
        }
        Ok(after)
    }

    fn existing(&self, table: &TableId, position: &str, name: &str) -> Result<usize, Error> {
        self.index_of(name).ok_or_else(|| {
            Error::user(format!("{position} type AddColumnEvent error: Column {name} does not exist in table {table}"))
        })
    }

    /// The Arrow schema of this table's batches; see [`arrow_type`]. Every column is nullable: a delete's image may
    /// hold nothing but the key.
    pub fn to_arrow(&self) -> SchemaRef {
        Arc::new(arrow::datatypes::Schema::new(
            self.columns
                .iter()
                .map(|c| ArrowField::new(&c.name, arrow_type(&c.data_type.logical), true))
                .collect::<Vec<_>>(),
        ))
    }
}

/// The Arrow type captured values of this type are held in: as [`LogicalType::to_arrow`] says, but TIME keeps
/// microseconds (`Time64`, also outside of a day: MySQL's TIME goes from -838 to 838 hours), and what has no Arrow
/// twin (TIMESTAMP WITH TIME ZONE, VARIANT) is text.
pub fn arrow_type(logical: &LogicalType) -> ArrowType {
    match logical {
        LogicalType::Time(_) => ArrowType::Time64(TimeUnit::Microsecond),
        LogicalType::TimestampTz(_) | LogicalType::Variant => ArrowType::Utf8,
        LogicalType::Array(element) => {
            ArrowType::List(Arc::new(ArrowField::new("item", arrow_type(&element.logical), true)))
        }
        other => other.to_arrow(),
    }
}

/// Where an added column goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ColumnPosition {
    First,
    Last,
    /// Before the named column.
    Before(String),
    /// After the named column.
    After(String),
}

/// A column to add and its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedColumn {
    pub column: TableColumn,
    pub position: ColumnPosition,
}

/// A change of one table's shape; travels in order with the changes of its rows. Lists keep the order of the
/// statement they came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SchemaChange {
    CreateTable {
        table: TableId,
        schema: TableSchema,
    },
    AddColumn {
        table: TableId,
        columns: Vec<AddedColumn>,
    },
    AlterColumnType {
        table: TableId,
        /// New type by column.
        types: Vec<(String, DataType)>,
        /// Old type by column; empty when not known.
        old_types: Vec<(String, DataType)>,
        /// New comment by column.
        comments: Vec<(String, String)>,
    },
    /// Old name and new name.
    RenameColumn {
        table: TableId,
        names: Vec<(String, String)>,
    },
    DropColumn {
        table: TableId,
        columns: Vec<String>,
    },
    DropTable {
        table: TableId,
    },
    TruncateTable {
        table: TableId,
    },
    AlterTableComment {
        table: TableId,
        comment: String,
    },
}

impl SchemaChange {
    pub fn table(&self) -> &TableId {
        match self {
            Self::CreateTable { table, .. }
            | Self::AddColumn { table, .. }
            | Self::AlterColumnType { table, .. }
            | Self::RenameColumn { table, .. }
            | Self::DropColumn { table, .. }
            | Self::DropTable { table }
            | Self::TruncateTable { table }
            | Self::AlterTableComment { table, .. } => table,
        }
    }

    /// The same change of another table.
    pub fn with_table(mut self, id: TableId) -> Self {
        match &mut self {
            Self::CreateTable { table, .. }
            | Self::AddColumn { table, .. }
            | Self::AlterColumnType { table, .. }
            | Self::RenameColumn { table, .. }
            | Self::DropColumn { table, .. }
            | Self::DropTable { table }
            | Self::TruncateTable { table }
            | Self::AlterTableComment { table, .. } => *table = id,
        }
        self
    }

    pub fn kind(&self) -> SchemaChangeKind {
        match self {
            Self::CreateTable { .. } => SchemaChangeKind::CreateTable,
            Self::AddColumn { .. } => SchemaChangeKind::AddColumn,
            Self::AlterColumnType { .. } => SchemaChangeKind::AlterColumnType,
            Self::RenameColumn { .. } => SchemaChangeKind::RenameColumn,
            Self::DropColumn { .. } => SchemaChangeKind::DropColumn,
            Self::DropTable { .. } => SchemaChangeKind::DropTable,
            Self::TruncateTable { .. } => SchemaChangeKind::TruncateTable,
            Self::AlterTableComment { .. } => SchemaChangeKind::AlterTableComment,
        }
    }
}

/// The kinds of [`SchemaChange`], as options name them (`add.column`), in the order of the alphabet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SchemaChangeKind {
    AddColumn,
    AlterColumnType,
    AlterTableComment,
    CreateTable,
    DropColumn,
    DropTable,
    RenameColumn,
    TruncateTable,
}

impl SchemaChangeKind {
    pub const ALL: [Self; 8] = [
        Self::AddColumn,
        Self::AlterColumnType,
        Self::AlterTableComment,
        Self::CreateTable,
        Self::DropColumn,
        Self::DropTable,
        Self::RenameColumn,
        Self::TruncateTable,
    ];

    pub const fn tag(self) -> &'static str {
        match self {
            Self::AddColumn => "add.column",
            Self::AlterColumnType => "alter.column.type",
            Self::AlterTableComment => "alter.table.comment",
            Self::CreateTable => "create.table",
            Self::DropColumn => "drop.column",
            Self::DropTable => "drop.table",
            Self::RenameColumn => "rename.column",
            Self::TruncateTable => "truncate.table",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_id_reads_back_what_it_prints() {
        for text in ["t", "s.t", "n.s.t"] {
            assert_eq!(text.parse::<TableId>().unwrap().to_string(), text);
        }
        assert!("".parse::<TableId>().is_err());
        assert!("a.b.c.d".parse::<TableId>().is_err());
    }
}
