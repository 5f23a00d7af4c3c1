//! The shape of a table, and what has changed between two of them.

use serde::{Deserialize, Serialize};
use starweir_model::{AddedColumn, ColumnPosition, DataType, SchemaChange, TableColumn, TableId, TableSchema};

use super::types::{Kind, TypeOptions};

/// A column of a captured table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    /// `pg_attribute.attnum`: stays when the column is renamed. Zero when not known.
    pub number: i16,
    pub type_oid: u32,
    pub type_modifier: i32,
    pub kind: Kind,
    pub not_null: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The default's expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

impl Column {
    fn data_type(&self, options: TypeOptions) -> DataType {
        DataType::nullable(self.kind.logical(options)).with_nullable(!self.not_null)
    }

    fn to_column(&self, options: TypeOptions) -> TableColumn {
        TableColumn {
            name: self.name.clone(),
            data_type: self.data_type(options),
            comment: self.comment.clone(),
            default: self.default.clone(),
        }
    }
}

/// A table's columns, in the order the stream has them, and its key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    pub columns: Vec<Column>,
    #[serde(default)]
    pub primary_key: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

impl Shape {
    pub fn to_schema(&self, options: TypeOptions) -> TableSchema {
        TableSchema {
            columns: self.columns.iter().map(|c| c.to_column(options)).collect(),
            primary_keys: self.primary_key.clone(),
            comment: self.comment.clone(),
            ..TableSchema::default()
        }
    }
}

/// What makes a table of shape `before` one of shape `after`: dropped columns, renamed ones (the number stays), changed
/// types, added ones, in this order.
pub fn changes(table: &TableId, before: &Shape, after: &Shape, options: TypeOptions) -> Vec<SchemaChange> {
    let same = |a: &Column, b: &Column| {
        if a.number != 0 && b.number != 0 { a.number == b.number } else { a.name == b.name }
    };
    let (mut names, mut dropped, mut types, mut old_types) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for old in &before.columns {
        let Some(new) = after.columns.iter().find(|new| same(old, new)) else {
            dropped.push(old.name.clone());
            continue;
        };
        if old.name != new.name {
            names.push((old.name.clone(), new.name.clone()));
        }
        let (was, is) = (old.data_type(options), new.data_type(options));
        if was.logical != is.logical {
            types.push((new.name.clone(), is));
            old_types.push((new.name.clone(), was));
        }
    }
    let added: Vec<AddedColumn> = after
        .columns
        .iter()
        .filter(|new| !before.columns.iter().any(|old| same(old, new)))
        .map(|new| AddedColumn { column: new.to_column(options), position: ColumnPosition::Last })
        .collect();
    let mut out = Vec::new();
    let table = || table.clone();
    // Dropped before renamed: a column may take the name of one that is gone.
    if !dropped.is_empty() {
        out.push(SchemaChange::DropColumn { table: table(), columns: dropped });
    }
    if !names.is_empty() {
        out.push(SchemaChange::RenameColumn { table: table(), names });
    }
    if !types.is_empty() {
        out.push(SchemaChange::AlterColumnType { table: table(), types, old_types, comments: Vec::new() });
    }
    if !added.is_empty() {
        out.push(SchemaChange::AddColumn { table: table(), columns: added });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(columns: &[(&str, i16, Kind)]) -> Shape {
        let column = |(name, number, kind): &(&str, i16, Kind)| Column {
            name: (*name).into(),
            number: *number,
            type_oid: 0,
            type_modifier: -1,
            kind: kind.clone(),
            not_null: false,
            comment: None,
            default: None,
        };
        Shape { columns: columns.iter().map(column).collect(), ..Shape::default() }
    }

    #[test]
    fn numbers_tell_a_renamed_column_from_another() {
        let before = shape(&[("id", 1, Kind::Int4), ("a", 2, Kind::Text), ("b", 3, Kind::Int4)]);
        let after = shape(&[("id", 1, Kind::Int8), ("b", 2, Kind::Text), ("c", 4, Kind::Int4)]);
        let table = TableId::in_schema("public", "t");
        let found: Vec<String> = changes(&table, &before, &after, TypeOptions::default())
            .into_iter()
            .map(|change| match change {
                SchemaChange::DropColumn { columns, .. } => format!("drop {columns:?}"),
                SchemaChange::RenameColumn { names, .. } => format!("rename {names:?}"),
                SchemaChange::AlterColumnType { types, .. } => format!("type {} {}", types[0].0, types[0].1),
                SchemaChange::AddColumn { columns, .. } => format!("add {}", columns[0].column.name),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(found, ["drop [\"b\"]", "rename [(\"a\", \"b\")]", "type id BIGINT", "add c"]);
        assert!(changes(&table, &before, &before, TypeOptions::default()).is_empty());
    }
}
