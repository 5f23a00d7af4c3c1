//! Aggregates whose result is a sequence: `array_agg(x ORDER BY y)`, `group_concat(DISTINCT a, b
//! ORDER BY c SEPARATOR ';')`. DISTINCT, the order and the separator travel as arguments: first the
//! values, then the sort keys, then the separator, and at last a text that says which is which.

use std::cmp::Ordering;
use std::collections::HashSet;

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArgumentClause, FunctionArguments, OrderByExpr, UnaryOperator,
    Value as Literal,
};

use super::table::first;
use super::{Aggregate, identity};
use crate::error::{SqlError, SqlResult};
use crate::sql::rewrite::{arg_exprs, call, text};
use crate::types::SqlType;
use crate::value::Value;

/// How the arguments of a sequence aggregate are to be read.
#[derive(Debug, Default, PartialEq)]
struct Shape {
    values: usize,
    /// One letter a sort key: `a` ascending, `d` descending; upper case when NULLs come last.
    keys: String,
    distinct: bool,
}

impl Shape {
    fn text(&self) -> String {
        format!("{}|{}|{}", self.values, self.keys, u8::from(self.distinct))
    }

    fn of_row(row: &[Value]) -> Option<Shape> {
        let Some(Value::Text(t)) = row.last() else { return None };
        let mut parts = t.split('|');
        Some(Shape {
            values: parts.next()?.parse().ok()?,
            keys: parts.next()?.to_string(),
            distinct: parts.next()? == "1",
        })
    }
}

/// The call as one of the functions below; None when it is no sequence aggregate.
pub fn rewrite(name: &str, f: &Function, legacy: bool, max_len: Option<Expr>) -> SqlResult<Option<Expr>> {
    let joins = matches!(name, "group_concat" | "string_agg");
    if !joins && !matches!(name, "array_agg" | "array_agg_distinct") {
        return Ok(None);
    }
    let FunctionArguments::List(list) = &f.args else { return Ok(None) };
    let mut values = arg_exprs(f);
    let mut order: Vec<OrderByExpr> = Vec::new();
    let mut separator = None;
    for clause in &list.clauses {
        match clause {
            FunctionArgumentClause::OrderBy(keys) => order.clone_from(keys),
            FunctionArgumentClause::Separator(s) => separator = Some(Expr::Value(s.clone())),
            _ => {}
        }
    }
    if values.is_empty() {
        return Err(SqlError::analysis(format!("{name} should have at least one input")).of_call(known_name(name)));
    }
    if joins && separator.is_none() {
        separator = if name == "string_agg" || (legacy && values.len() == 2) {
            if values.len() > 1 { values.pop() } else { None }
        } else {
            None
        };
    }
    let mut shape = Shape {
        values: values.len(),
        keys: String::new(),
        distinct: list.duplicate_treatment == Some(DuplicateTreatment::Distinct) || name == "array_agg_distinct",
    };
    let mut args = values.clone();
    for key in order {
        let expr = match position(&key.expr) {
            Some(n) => usize::try_from(n - 1).ok().and_then(|i| values.get(i)).cloned().ok_or_else(|| {
                let shown = if joins { "group_concat" } else { name };
                SqlError::syntax(format!("ORDER BY position {n} is not in {shown} output list"))
                    .of_call(known_name(name))
            })?,
            None => key.expr,
        };
        let descending = key.options.asc == Some(false);
        let nulls_last = key.options.nulls_first.map_or(descending, |first| !first);
        let letter = if descending { 'd' } else { 'a' };
        shape.keys.push(if nulls_last { letter.to_ascii_uppercase() } else { letter });
        args.push(expr);
    }
    if joins {
        args.push(separator.unwrap_or_else(|| text(if legacy { ", " } else { "," })));
        args.push(max_len.unwrap_or_else(|| text("1024")));
    }
    args.push(text(shape.text()));
    let mut out = call(if joins { "__join_agg" } else { "__array_agg" }, args);
    if let Expr::Function(g) = &mut out {
        g.over.clone_from(&f.over);
        g.filter.clone_from(&f.filter);
    }
    Ok(Some(out))
}

fn known_name(name: &str) -> &'static str {
    match name {
        "string_agg" => "string_agg",
        "group_concat" => "group_concat",
        _ => "array_agg",
    }
}

/// `ORDER BY 2`: a place in the list of values.
fn position(e: &Expr) -> Option<i64> {
    match e {
        Expr::Value(v) => match &v.value {
            Literal::Number(n, _) => n.parse().ok(),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => position(expr).map(|n| -n),
        Expr::Nested(e) => position(e),
        _ => None,
    }
}

/// The rows in order, without repeated values if so wanted.
fn arranged<'a>(rows: &'a [Vec<Value>], shape: &Shape) -> Vec<&'a Vec<Value>> {
    let mut rows: Vec<&Vec<Value>> = rows.iter().collect();
    let keys: Vec<(usize, bool, bool)> = shape
        .keys
        .chars()
        .enumerate()
        .map(|(i, c)| (shape.values + i, c.eq_ignore_ascii_case(&'d'), c.is_ascii_uppercase()))
        .collect();
    if !keys.is_empty() {
        rows.sort_by(|a, b| {
            for (at, descending, nulls_last) in &keys {
                let (x, y) = (&a[*at], &b[*at]);
                let order = match (x.is_null(), y.is_null()) {
                    (true, true) => Ordering::Equal,
                    (true, false) if *nulls_last => Ordering::Greater,
                    (true, false) => Ordering::Less,
                    (false, true) if *nulls_last => Ordering::Less,
                    (false, true) => Ordering::Greater,
                    _ if *descending => y.compare(x),
                    _ => x.compare(y),
                };
                if order != Ordering::Equal {
                    return order;
                }
            }
            Ordering::Equal
        });
    }
    if shape.distinct {
        let mut seen = HashSet::new();
        rows.retain(|r| seen.insert(identity(&r[..shape.values])));
    }
    rows
}

fn join(rows: &[Vec<Value>], _: &[SqlType], _: &SqlType) -> SqlResult<Value> {
    let Some(shape) = rows.first().and_then(|r| Shape::of_row(r)) else { return Ok(Value::Null) };
    let whole: Vec<Vec<Value>> =
        rows.iter().filter(|r| !r[..shape.values].iter().any(Value::is_null)).cloned().collect();
    let rows = arranged(&whole, &shape);
    let mut out = String::new();
    let mut most = usize::MAX;
    for (i, row) in rows.iter().enumerate() {
        let separator = row[row.len() - 3].as_text().unwrap_or_default();
        // Shorter limits than four bytes count as four.
        most = row[row.len() - 2].as_i64().map_or(1024, |n| n.max(4) as usize);
        if i > 0 {
            out.push_str(&separator);
        }
        for v in &row[..shape.values] {
            v.render(&mut out);
        }
        if out.len() > most {
            break;
        }
    }
    if rows.is_empty() {
        return Ok(Value::Null);
    }
    if out.len() > most {
        let mut end = most;
        while !out.is_char_boundary(end) {
            end -= 1;
        }
        out.truncate(end);
    }
    Ok(Value::Text(out))
}

pub const AGGREGATES: &[Aggregate] = &[
    Aggregate {
        name: "__join_agg",
        types: |types| match types.iter().find(|t| t.is_nested() || matches!(t, SqlType::Bitmap | SqlType::Hll)) {
            Some(_) => {
                let shown: Vec<String> = types[..types.len() - 2].iter().map(SqlType::signature).collect();
                Err(SqlError::no_function("group_concat", &shown).of_call("group_concat"))
            }
            None => Ok(SqlType::STRING),
        },
        fold: join,
        skip_nulls: false,
    },
    Aggregate {
        name: "__array_agg",
        types: |types| Ok(SqlType::Array(Box::new(first(types)?))),
        fold: |rows, _, _| {
            let Some(shape) = rows.first().and_then(|r| Shape::of_row(r)) else { return Ok(Value::Null) };
            Ok(Value::List(arranged(rows, &shape).into_iter().map(|r| r[0].clone()).collect()))
        },
        skip_nulls: false,
    },
];
