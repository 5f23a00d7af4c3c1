//! Schemas after a change, schemas that hold two others, and the changes between two schemas.

use starweir_model::{
    AddedColumn, ColumnPosition, DataType, Error, Result, SchemaChange, TableColumn, TableId, TableSchema,
};

use super::types::{infer_wider, is_compatible, least_common};

/// The schema after a change of its table's shape.
///
/// # Errors
/// A position next to a column that is not there; a change that has no schema after it (dropping the table).
pub fn apply(schema: Option<&TableSchema>, change: &SchemaChange) -> Result<TableSchema> {
    if let SchemaChange::CreateTable { schema, .. } = change {
        return Ok(schema.clone());
    }
    let before =
        schema.ok_or_else(|| Error::user(format!("table {} changes before it was created", change.table())))?;
    before.after(change)
}

/// Whether a change says nothing new: sources announce a table again after a restart, and the same column may arrive
/// over two roads.
pub fn is_redundant(schema: Option<&TableSchema>, change: &SchemaChange) -> bool {
    let Some(schema) = schema else { return false };
    match change {
        // Whatever it says: the changes since then are known already.
        SchemaChange::CreateTable { .. } => true,
        SchemaChange::AddColumn { columns, .. } => {
            columns.iter().all(|a| schema.column(&a.column.name) == Some(&a.column))
        }
        SchemaChange::DropColumn { columns, .. } => columns.iter().all(|name| schema.index_of(name).is_none()),
        SchemaChange::RenameColumn { names, .. } => {
            names.iter().all(|(old, new)| schema.index_of(old).is_none() && schema.index_of(new).is_some())
        }
        SchemaChange::AlterColumnType { types, comments, .. } => {
            types.iter().all(|(name, of)| schema.column(name).is_some_and(|c| c.data_type == *of))
                && comments
                    .iter()
                    .all(|(name, text)| schema.column(name).is_some_and(|c| c.comment.as_ref() == Some(text)))
        }
        SchemaChange::AlterTableComment { comment, .. } => schema.comment.as_ref() == Some(comment),
        SchemaChange::TruncateTable { .. } | SchemaChange::DropTable { .. } => false,
    }
}

/// Whether rows of `upcoming` can be written to `current` as it is. Keys and options do not count.
pub fn is_schema_compatible(current: Option<&TableSchema>, upcoming: &TableSchema) -> bool {
    current.is_some_and(|current| {
        upcoming
            .columns
            .iter()
            .all(|c| current.column(&c.name).is_some_and(|known| is_compatible(&known.data_type, &c.data_type)))
    })
}

/// The schema that holds the rows of both: the columns of `current` first, new ones at the end.
pub fn least_common_schema(current: Option<&TableSchema>, upcoming: &TableSchema) -> TableSchema {
    let Some(current) = current else { return upcoming.clone() };
    if is_schema_compatible(Some(current), upcoming) {
        return current.clone();
    }
    let mut merged = current.clone();
    for column in &upcoming.columns {
        match merged.columns.iter_mut().find(|c| c.name == column.name) {
            Some(known) => known.data_type = least_common(&known.data_type, &column.data_type),
            None => merged.columns.push(column.clone()),
        }
    }
    merged
}

/// The changes that turn `before` into `after`: added columns, changed types, dropped columns, in this order.
pub fn difference(table: &TableId, before: Option<&TableSchema>, after: &TableSchema) -> Vec<SchemaChange> {
    let Some(before) = before else {
        return vec![SchemaChange::CreateTable { table: table.clone(), schema: after.clone() }];
    };
    let (mut added, mut types, mut old_types) = (Vec::new(), Vec::new(), Vec::new());
    let mut previous: Option<&str> = None;
    for column in &after.columns {
        match before.column(&column.name) {
            Some(known) if known.data_type != column.data_type => {
                types.push((column.name.clone(), column.data_type.clone()));
                old_types.push((column.name.clone(), known.data_type.clone()));
            }
            Some(_) => {}
            None => {
                let position = previous.map_or(ColumnPosition::First, |name| ColumnPosition::After(name.to_owned()));
                added.push(AddedColumn { column: column.clone(), position });
            }
        }
        previous = Some(&column.name);
    }
    let dropped: Vec<String> =
        before.columns.iter().filter(|c| after.index_of(&c.name).is_none()).map(|c| c.name.clone()).collect();
    let mut changes = Vec::new();
    if !added.is_empty() {
        changes.push(SchemaChange::AddColumn { table: table.clone(), columns: added });
    }
    if !types.is_empty() {
        changes.push(SchemaChange::AlterColumnType { table: table.clone(), types, old_types, comments: Vec::new() });
    }
    if !dropped.is_empty() {
        changes.push(SchemaChange::DropColumn { table: table.clone(), columns: dropped });
    }
    changes
}

/// The changes that widen `current` so that it holds the rows of `upcoming` too.
pub fn merge_and_diff(table: &TableId, current: Option<&TableSchema>, upcoming: &TableSchema) -> Vec<SchemaChange> {
    difference(table, current, &least_common_schema(current, upcoming))
}

/// The wider of two columns of one name by the older rules.
pub fn infer_wider_column(a: &TableColumn, b: &TableColumn) -> Result<TableColumn> {
    if a.name != b.name {
        return Err(unmergeable("column", &a.name, &b.name, "name"));
    }
    if a.comment != b.comment {
        return Err(unmergeable("column", &a.name, &b.name, "comments"));
    }
    let data_type: DataType = infer_wider(&a.data_type, &b.data_type)?;
    Ok(TableColumn { data_type, ..a.clone() })
}

/// The wider of two schemas of the same shape by the older rules.
pub fn infer_wider_schema(a: &TableSchema, b: &TableSchema) -> Result<TableSchema> {
    let texts = || (crate::print::table_schema(a), crate::print::table_schema(b));
    let unlike = |what: &str| {
        let (a, b) = texts();
        Err(unmergeable("schema", &a, &b, what))
    };
    if a.columns.len() != b.columns.len() {
        return unlike("column counts");
    }
    if a.primary_keys != b.primary_keys {
        return unlike("primary keys");
    }
    if a.partition_keys != b.partition_keys {
        return unlike("partition keys");
    }
    if a.options != b.options {
        return unlike("options");
    }
    if a.comment != b.comment {
        return unlike("comments");
    }
    let columns = a.columns.iter().zip(&b.columns).map(|(a, b)| infer_wider_column(a, b)).collect::<Result<_>>()?;
    Ok(TableSchema { columns, ..a.clone() })
}

fn unmergeable(what: &str, a: &str, b: &str, by: &str) -> Error {
    Error::user(format!("Unable to merge {what} {a} and {b} with different {by}."))
}
