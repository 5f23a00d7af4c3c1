//! Partitions that a condition holds for, found from the partitions' own values: DROP PARTITIONS WHERE and
//! `partition_retention_condition`.
//!
//! A list partition holds when the condition does for each of its values. A range partition holds when the condition
//! does at both of its ends: the upper one counts although no row reaches it, as in StarRocks.

use std::collections::HashSet;
use std::ops::ControlFlow;

use arrow::array::ArrayRef;
use sqlparser::ast;

use crate::catalog::{Bound, PartitionDef, PartitionKind, PartitionRange, TableDef};
use crate::core::Core;
use crate::error::{SqlError, SqlResult};
use crate::types::SqlType;
use crate::value::Value;

/// Names of the partitions that the condition holds for.
pub fn matching(core: &Core, def: &TableDef, condition: &ast::Expr, temporary: bool) -> SqlResult<Vec<String>> {
    if def.partition_by.is_none() {
        return Err(SqlError::analysis("Can't drop partitions of a table that is not partitioned"));
    }
    let keys = keys(def);
    let condition = bound(def, condition, &keys)?;
    let mut rows: Vec<(usize, Vec<Value>)> = Vec::new();
    let partitions: Vec<&PartitionDef> = def.partitions.iter().filter(|p| p.temporary == temporary).collect();
    for (n, p) in partitions.iter().enumerate() {
        for values in points(p) {
            let cells = values.iter().zip(&keys).map(|(v, k)| match v {
                Some(v) => Value::Text(v.clone()).cast(&k.sql_type).unwrap_or(Value::Null),
                None => Value::Null,
            });
            rows.push((n, cells.collect()));
        }
    }
    let columns: Vec<(String, SqlType, ArrayRef)> = keys
        .iter()
        .enumerate()
        .map(|(i, k)| {
            let cells: Vec<Value> = rows.iter().map(|r| r.1.get(i).cloned().unwrap_or(Value::Null)).collect();
            (k.name.clone(), k.sql_type.clone(), Value::array(&cells, &k.sql_type))
        })
        .collect();
    let (array, t) = core.evaluate(&columns, rows.len(), &[condition])?.remove(0);
    let failed: HashSet<usize> = rows
        .iter()
        .enumerate()
        .filter(|(i, _)| Value::get(&array, &t, *i).as_bool() != Some(true))
        .map(|(_, (n, _))| *n)
        .collect();
    let known: HashSet<usize> = rows.iter().map(|r| r.0).collect();
    Ok(partitions
        .iter()
        .enumerate()
        .filter(|(n, _)| known.contains(n) && !failed.contains(n))
        .map(|(_, p)| p.name.clone())
        .collect())
}

/// The value rows a partition is judged by.
fn points(p: &PartitionDef) -> Vec<Bound> {
    match &p.range {
        PartitionRange::Whole => Vec::new(),
        PartitionRange::List(rows) => rows.clone(),
        PartitionRange::Range { lower, upper } => {
            vec![lower.clone().unwrap_or_else(|| vec![None; upper.len()]), upper.clone()]
        }
    }
}

/// A partition key under the name that the condition knows it by.
struct Key {
    name: String,
    sql_type: SqlType,
    /// Expressions that have the key's value, normalised; the columns among them by their lower-case name.
    stands_for: Vec<String>,
}

fn keys(def: &TableDef) -> Vec<Key> {
    let Some(by) = &def.partition_by else { return Vec::new() };
    by.expressions
        .iter()
        .enumerate()
        .map(|(i, text)| {
            let column = by.columns.get(i).and_then(|c| def.column(c));
            let of_column = column.map_or(SqlType::STRING, |c| c.sql_type.clone());
            let sql_type = match by.kind {
                PartitionKind::Expression => by.types.get(i).cloned().unwrap_or(of_column),
                _ => of_column,
            };
            let mut stands_for = Vec::new();
            if let Ok(e) = super::parser::parse_expression(text) {
                stands_for.push(normal(&e));
                // The beginning of a day stands for the day's moments.
                if let Some(inner) = truncated(&e) {
                    stands_for.push(normal(inner));
                }
            }
            Key { name: format!("__partition_key_{i}"), sql_type, stands_for }
        })
        .collect()
}

/// What `date_trunc` or `time_slice` is applied to.
fn truncated(e: &ast::Expr) -> Option<&ast::Expr> {
    let ast::Expr::Function(f) = e else { return None };
    let at = match f.name.to_string().to_lowercase().as_str() {
        "date_trunc" => 1,
        "time_slice" => 0,
        _ => return None,
    };
    let ast::FunctionArguments::List(list) = &f.args else { return None };
    match list.args.get(at) {
        Some(ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(e))) => Some(e),
        _ => None,
    }
}

fn normal(e: &ast::Expr) -> String {
    e.to_string().replace('`', "").replace('"', "'").to_lowercase()
}

/// The condition over the keys' names.
fn bound(def: &TableDef, condition: &ast::Expr, keys: &[Key]) -> SqlResult<ast::Expr> {
    let mut condition = condition.clone();
    // From the outside to the inside: an expression is replaced before its column is.
    let _ = ast::visit_expressions_mut(&mut condition, |e| {
        let text = normal(e);
        if let Some(key) = keys.iter().find(|k| k.stands_for.contains(&text)) {
            *e = ast::Expr::Identifier(ast::Ident::with_quote('`', &key.name));
        }
        ControlFlow::<()>::Continue(())
    });
    let wrong = ast::visit_expressions(&condition, |e| match e {
        ast::Expr::Identifier(i) if !keys.iter().any(|k| k.name == i.value) => ControlFlow::Break(i.value.clone()),
        _ => ControlFlow::Continue(()),
    });
    if let ControlFlow::Break(name) = wrong {
        let expressions = def.partition_by.as_ref().map_or(Vec::new(), |b| b.expressions.clone());
        let shown: Vec<String> =
            expressions.iter().map(|e| if e.contains(['(', '`']) { e.clone() } else { format!("`{e}`") }).collect();
        return Err(SqlError::analysis(format!(
            "Column `{name}` in the partition condition is not a table's partition expression, please use table's partition expressions: {}",
            shown.join(",")
        )));
    }
    Ok(condition)
}
