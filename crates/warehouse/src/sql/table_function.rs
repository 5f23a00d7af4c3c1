//! Table functions in FROM: `TABLE(generate_series(1, 5))`, `unnest(t.items)`, `json_each(t.doc)`.
//! All but a series of constants are unnests of an array function's result.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, SelectItem, SetExpr, TableAlias, TableAliasColumnDef,
    TableFactor, TableFunctionArgs, Visit, Visitor,
};

use super::rewrite::call;
use crate::error::{SqlError, SqlResult};

/// Names of a series' parameters.
const SERIES: [&str; 3] = ["start", "end", "step"];

/// The form of a table function that the planner knows.
pub fn factor(name: &str, args: &[FunctionArg], alias: Option<TableAlias>) -> SqlResult<TableFactor> {
    let args = positional(name, args)?;
    Ok(match name {
        "unnest" => {
            let names = (0..args.len()).map(|i| if i == 0 { "unnest".into() } else { format!("unnest_{i}") });
            unnest(args, names.collect(), alias, name)
        }
        "unnest_bitmap" => unnest(vec![call("bitmap_to_array", args)], vec![name.into()], alias, name),
        "subdivide_bitmap" => unnest(vec![call("__subdivide_bitmap", args)], vec![name.into()], alias, name),
        "json_each" => {
            let parts = vec![call("__json_each_keys", args.clone()), call("__json_each_values", args)];
            unnest(parts, vec!["key".into(), "value".into()], alias, name)
        }
        "generate_series" if args.iter().any(has_columns) => {
            unnest(vec![call("__series", args)], vec![name.into()], alias, name)
        }
        _ => TableFactor::Table {
            name: ObjectName::from(vec![Ident::with_quote('`', name)]),
            alias,
            args: Some(TableFunctionArgs {
                args: args.into_iter().map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e))).collect(),
                settings: None,
            }),
            with_hints: Vec::new(),
            version: None,
            with_ordinality: false,
            partitions: Vec::new(),
            json_path: None,
            sample: None,
            index_hints: Vec::new(),
        },
    })
}

fn unnest(arrays: Vec<Expr>, columns: Vec<String>, alias: Option<TableAlias>, name: &str) -> TableFactor {
    let definition = |name: String| TableAliasColumnDef { name: Ident::with_quote('`', name), data_type: None };
    let mut alias = alias.unwrap_or_else(|| TableAlias {
        explicit: true,
        name: Ident::with_quote('`', name),
        columns: Vec::new(),
        at: None,
    });
    if alias.columns.is_empty() {
        alias.columns = columns.into_iter().map(definition).collect();
    }
    if !arrays.iter().any(has_columns)
        && let Some(factor) = derived(&arrays, &mut alias)
    {
        return factor;
    }
    TableFactor::UNNEST {
        alias: Some(alias),
        array_exprs: arrays,
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: false,
    }
}

/// An unnest of constants is a query of its own and may stand in any join.
fn derived(arrays: &[Expr], alias: &mut TableAlias) -> Option<TableFactor> {
    let mut subquery = super::parser::parse_query("SELECT 1").ok()?;
    let SetExpr::Select(select) = subquery.body.as_mut() else { return None };
    select.projection = arrays
        .iter()
        .zip(&alias.columns)
        .map(|(e, column)| SelectItem::ExprWithAlias {
            expr: call("unnest", vec![e.clone()]),
            alias: column.name.clone(),
        })
        .collect();
    if select.projection.len() != arrays.len() {
        return None;
    }
    Some(TableFactor::Derived { lateral: false, subquery, alias: Some(alias.clone()), sample: None })
}

/// Arguments in order; those given by name are put into their places.
fn positional(function: &str, args: &[FunctionArg]) -> SqlResult<Vec<Expr>> {
    let mut named: Vec<(String, Expr)> = Vec::new();
    let mut plain = Vec::new();
    for arg in args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => plain.push(e.clone()),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(e), .. } => {
                named.push((name.value.to_lowercase(), e.clone()));
            }
            FunctionArg::ExprNamed { name, arg: FunctionArgExpr::Expr(e), .. } => {
                named.push((name.to_string().replace('`', "").to_lowercase(), e.clone()));
            }
            other => return Err(SqlError::syntax(format!("Unexpected input '{other}'"))),
        }
    }
    if named.is_empty() {
        return Ok(plain);
    }
    let unknown = || {
        let list: Vec<String> = named.iter().map(|(n, e)| format!("{n}=>{e}")).collect();
        SqlError::analysis(format!(
            "Unknown table function '{function}({})', the function doesn't support named arguments or has invalid arguments",
            list.join(",")
        ))
    };
    let find = |wanted: &str| named.iter().find(|(n, _)| n == wanted).map(|(_, e)| e.clone());
    let repeated = named.iter().enumerate().any(|(i, (n, _))| named[..i].iter().any(|(m, _)| m == n));
    let known = named.iter().all(|(n, _)| SERIES.contains(&n.as_str()));
    if function != "generate_series" || !plain.is_empty() || repeated || !known {
        return Err(unknown());
    }
    let (Some(start), Some(end)) = (find("start"), find("end")) else { return Err(unknown()) };
    Ok([start, end].into_iter().chain(find("step")).collect())
}

/// Whether an expression speaks of a column.
fn has_columns(e: &Expr) -> bool {
    struct Columns;
    impl Visitor for Columns {
        type Break = ();
        fn pre_visit_expr(&mut self, e: &Expr) -> ControlFlow<()> {
            match e {
                Expr::Identifier(i) if i.quote_style.is_some() || !i.value.starts_with('@') => ControlFlow::Break(()),
                Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    e.visit(&mut Columns).is_break()
}
