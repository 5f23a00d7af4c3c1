//! Rules about the columns that ALTER TABLE names: what StarRocks refuses before it changes anything.

use std::collections::HashMap;

use super::statement::AlterClause;
use crate::catalog::{Aggregation, ColumnDef, TableDef, TableModel};
use crate::error::{SqlError, SqlResult};

/// The model's name in sentences about its columns.
pub fn model_name(model: TableModel) -> &'static str {
    match model {
        TableModel::Duplicate => "Duplicate",
        TableModel::Aggregate => "Aggregate",
        TableModel::Unique => "Unique",
        TableModel::Primary => "Primary",
    }
}

/// Definitions that are wrong by themselves. They are found in all clauses before the first one is run.
pub fn definitions(def: &TableDef, clauses: &[AlterClause]) -> SqlResult<()> {
    for clause in clauses {
        let AlterClause::AddColumns(columns) = clause else { continue };
        for added in columns {
            let column = &added.column;
            // A value column of a primary-key table is replaced by what is loaded.
            let implied = (def.model == TableModel::Primary).then_some(Aggregation::Replace);
            if let (true, Some(a)) = (column.key, column.aggregation.clone().or(implied)) {
                return Err(SqlError::analysis(format!(
                    "Column definition is wrong. Cannot specify aggregate function '{}' for key column '{}'",
                    a.ddl(),
                    column.name
                ))
                .within(&added.span));
            }
        }
    }
    Ok(())
}

/// Columns that earlier clauses of the same statement added, by lower-case name.
#[derive(Default)]
pub struct Added(HashMap<String, ColumnDef>);

impl Added {
    /// Whether the column is there already because an earlier clause added the same one.
    ///
    /// # Errors
    /// When it is there with another definition, in the table or in an earlier clause.
    pub fn has(&mut self, def: &TableDef, column: &ColumnDef) -> SqlResult<bool> {
        let lower = column.name.to_lowercase();
        if let Some(earlier) = self.0.get(&lower) {
            if same(earlier, column) {
                return Ok(true);
            }
            return Err(SqlError::plain(format!(
                "Repeatedly add same column with different definition: {}",
                column.name
            )));
        }
        if let Some(old) = def.column(&column.name) {
            if same(old, column) {
                return Err(SqlError::plain(format!(
                    "Can not add column which already exists in base table: {}",
                    column.name
                )));
            }
            return Err(exists(&column.name, old));
        }
        // A renamed column keeps its id, and the id is the first name.
        let renamed = |c: &&ColumnDef| c.first_name.as_ref().is_some_and(|n| n.eq_ignore_ascii_case(&column.name));
        if let Some(old) = def.columns.iter().find(renamed) {
            return Err(exists(&column.name, old));
        }
        self.0.insert(lower, column.clone());
        Ok(false)
    }

    /// A later clause dropped the column again.
    pub fn forget(&mut self, name: &str) {
        self.0.remove(&name.to_lowercase());
    }
}

fn exists(id: &str, old: &ColumnDef) -> SqlError {
    SqlError::plain(format!(
        "Can not add column which already exists in column id: {id}, you can remove {} and try again.",
        super::show::column_text(old)
    ))
}

fn same(a: &ColumnDef, b: &ColumnDef) -> bool {
    a.sql_type == b.sql_type
        && a.nullable == b.nullable
        && a.key == b.key
        && a.default == b.default
        && a.aggregation == b.aggregation
        && a.generated == b.generated
}

/// What a generated column's expression may not refer to.
pub fn references(columns: &[ColumnDef], expression: &str) -> SqlResult<()> {
    let used = |c: &&ColumnDef| super::ddl::mentions(expression, &c.name);
    if let Some(c) = columns.iter().filter(|c| c.generated.is_some()).find(used) {
        return Err(SqlError::analysis(format!("Expression can not refers to other generated columns: {}", c.name)));
    }
    if let Some(c) = columns.iter().filter(|c| c.auto_increment).find(used) {
        return Err(SqlError::analysis(format!("Expression can not refers to AUTO_INCREMENT columns: {}", c.name)));
    }
    Ok(())
}

/// Changes of a column that no model allows.
pub fn modification(def: &TableDef, old: &ColumnDef, new: &ColumnDef) -> SqlResult<()> {
    if new.aggregation.is_some() && matches!(def.model, TableModel::Unique | TableModel::Duplicate) {
        return Err(assigned(def.model, &new.name));
    }
    match (old.generated.is_some(), new.generated.is_some()) {
        (true, false) => Err(SqlError::plain("Can not modify a generated column to a non-generated column")),
        (false, true) => Err(SqlError::plain("Can not modify a non-generated column to a generated column")),
        _ => Ok(()),
    }
}

/// The error of an aggregation where the model has none.
pub fn assigned(model: TableModel, column: &str) -> SqlError {
    SqlError::plain(format!(
        "Can not assign aggregation method on column in {} data model table: {column}",
        model_name(model)
    ))
}

/// Whether a column may go.
pub fn removal(def: &TableDef, column: &ColumnDef) -> SqlResult<()> {
    if column.key && def.model != TableModel::Duplicate {
        let model = match def.model {
            TableModel::Primary => "primary",
            other => model_name(other),
        };
        return Err(SqlError::plain(format!("Can not drop key column in {model} data model table")));
    }
    if def.model == TableModel::Primary && def.order_by.iter().any(|n| n.eq_ignore_ascii_case(&column.name)) {
        return Err(SqlError::plain("Can not drop sort column in primary data model table"));
    }
    Ok(())
}
