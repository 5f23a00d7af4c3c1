//! Schema changes through a projection: what the source's change does to its own schema, and what of it comes out.

use starweir_model::{AddedColumn, ColumnPosition, Error, Result, SchemaChange, TableId, TableSchema};

use super::projection::Rule;
use super::table::Table;

fn missing(table: &TableId, column: &str) -> Error {
    Error::data(format!("a schema change of {table} names the column '{column}', which the table does not have"))
}

/// The schema after a change of it. Columns that are there already are not added again.
///
/// # Errors
/// When the change names columns there are not.
pub(super) fn applied(table: &TableId, mut schema: TableSchema, change: &SchemaChange) -> Result<TableSchema> {
    match change {
        SchemaChange::CreateTable { schema, .. } => return Ok(schema.clone()),
        SchemaChange::AddColumn { columns, .. } => {
            for added in columns {
                if schema.index_of(&added.column.name).is_some() {
                    continue;
                }
                let anchor = |name: &String| schema.index_of(name).ok_or_else(|| missing(table, name));
                let at = match &added.position {
                    ColumnPosition::First => 0,
                    ColumnPosition::Last => schema.columns.len(),
                    ColumnPosition::Before(name) => anchor(name)?,
                    ColumnPosition::After(name) => anchor(name)? + 1,
                };
                schema.columns.insert(at, added.column.clone());
            }
        }
        SchemaChange::AlterColumnType { types, comments, .. } => {
            for (name, of) in types {
                let column = schema.columns.iter_mut().find(|c| c.name == *name).ok_or_else(|| missing(table, name))?;
                column.data_type = of.clone();
            }
            for (name, comment) in comments {
                if let Some(column) = schema.columns.iter_mut().find(|c| c.name == *name) {
                    column.comment = Some(comment.clone());
                }
            }
        }
        SchemaChange::RenameColumn { names, .. } => {
            for (old, _) in names {
                if schema.index_of(old).is_none() {
                    return Err(missing(table, old));
                }
            }
            let renamed = |name: &str| names.iter().find(|(old, _)| old == name).map(|(_, new)| new.clone());
            for column in &mut schema.columns {
                if let Some(new) = renamed(&column.name) {
                    column.name = new;
                }
            }
            for key in schema.primary_keys.iter_mut().chain(&mut schema.partition_keys) {
                if let Some(new) = renamed(key) {
                    *key = new;
                }
            }
        }
        SchemaChange::DropColumn { columns, .. } => schema.columns.retain(|c| !columns.contains(&c.name)),
        SchemaChange::AlterTableComment { comment, .. } => schema.comment = Some(comment.clone()),
        SchemaChange::DropTable { .. } | SchemaChange::TruncateTable { .. } => {}
    }
    Ok(schema)
}

/// What of a change comes out of the projection; `before` is the table as it was, `after` as it is with the change.
pub(super) fn projected(rule: &Rule, before: &Table, after: &Table, change: SchemaChange) -> Option<SchemaChange> {
    let star = rule.has_star();
    match change {
        SchemaChange::AddColumn { table, columns } if star => {
            let columns = added(before, columns);
            (!columns.is_empty()).then_some(SchemaChange::AddColumn { table, columns })
        }
        SchemaChange::AlterColumnType { table, types, old_types, comments } => {
            // A source column may stand in the output several times, under other names, or not at all.
            fn outputs<'t, T: Clone>(of: &'t Table, entries: &'t [(String, T)]) -> Vec<(String, T)> {
                let names =
                    |(name, entry): &'t (String, T)| of.names_of(name).map(move |n| (n.to_owned(), entry.clone()));
                entries.iter().flat_map(names).collect()
            }
            let types = outputs(after, &types);
            let comments = outputs(after, &comments);
            if types.is_empty() && comments.is_empty() {
                return None;
            }
            Some(SchemaChange::AlterColumnType { table, types, old_types: outputs(after, &old_types), comments })
        }
        SchemaChange::RenameColumn { table, names } if star => {
            let kept = |table: &Table, name: &String| table.names_of(name).any(|n| n == name);
            let names: Vec<_> = names.into_iter().filter(|(old, new)| kept(before, old) && kept(after, new)).collect();
            (!names.is_empty()).then_some(SchemaChange::RenameColumn { table, names })
        }
        SchemaChange::DropColumn { table, columns } if star => {
            let columns: Vec<_> = columns.into_iter().filter(|name| before.names_of(name).any(|n| n == name)).collect();
            (!columns.is_empty()).then_some(SchemaChange::DropColumn { table, columns })
        }
        SchemaChange::AddColumn { .. } | SchemaChange::RenameColumn { .. } | SchemaChange::DropColumn { .. } => None,
        other => Some(other),
    }
}

/// Added columns with places that hold in the output, where computed columns may stand before and behind.
fn added(before: &Table, columns: Vec<AddedColumn>) -> Vec<AddedColumn> {
    let mut source: Vec<String> = before.before.columns.iter().map(|c| c.name.clone()).collect();
    let mut out = Vec::new();
    for AddedColumn { column, position } in columns {
        if source.contains(&column.name) {
            continue;
        }
        let at = |name: &String| source.iter().position(|s| s == name);
        let (index, position) = match position {
            ColumnPosition::First => match source.first() {
                Some(first) => (0, ColumnPosition::Before(first.clone())),
                None => (0, ColumnPosition::First),
            },
            ColumnPosition::Last => match source.last() {
                Some(last) => (source.len(), ColumnPosition::After(last.clone())),
                None => (0, ColumnPosition::Last),
            },
            ColumnPosition::Before(name) => (at(&name).unwrap_or(0), ColumnPosition::Before(name)),
            ColumnPosition::After(name) => (at(&name).map_or(source.len(), |i| i + 1), ColumnPosition::After(name)),
        };
        source.insert(index, column.name.clone());
        // What the projection computes under this name hides the new column.
        if before.after.index_of(&column.name).is_none() {
            out.push(AddedColumn { column, position });
        }
    }
    out
}
