//! `FROM t, unnest(t.a, t.b) AS u(x, y)`: table functions over the columns of the tables before
//! them. sqlparser's planner leaves such a join with a subquery that nobody else runs; here it
//! becomes a plan that unnests beside the columns of the left side.

use std::ops::ControlFlow;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, NullHandling, Result as DfResult, TableReference, UnnestOptions};
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, LogicalPlanBuilder, Subquery, Unnest};
use sqlparser::ast::{self, Visitor};

use crate::error::SqlError;

/// Checks the joins of a query: only some may have a table function on their right side.
pub fn check(query: &ast::Query) -> Result<(), SqlError> {
    struct Joins;
    impl Visitor for Joins {
        type Break = SqlError;
        fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<SqlError> {
            if let ast::SetExpr::Select(select) = query.body.as_ref() {
                for join in select.from.iter().flat_map(|t| &t.joins) {
                    if let Err(e) = check_join(join) {
                        return ControlFlow::Break(e);
                    }
                }
            }
            ControlFlow::Continue(())
        }
    }
    match ast::Visit::visit(query, &mut Joins) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn check_join(join: &ast::Join) -> Result<(), SqlError> {
    use ast::JoinOperator as J;
    let function = match &join.relation {
        ast::TableFactor::Function { name, .. } | ast::TableFactor::Table { name, args: Some(_), .. } => {
            name.to_string().to_lowercase().replace('`', "")
        }
        ast::TableFactor::UNNEST { .. } => "unnest".to_string(),
        _ => return Ok(()),
    };
    let constraint = match &join.join_operator {
        J::LeftOuter(c) | J::Left(c) => c,
        J::Right(_)
        | J::RightOuter(_)
        | J::FullOuter(_)
        | J::LeftSemi(_)
        | J::LeftAnti(_)
        | J::RightSemi(_)
        | J::RightAnti(_) => {
            return Err(SqlError::analysis(if function == "unnest" {
                "unnest support inner join, cross join and left join on true"
            } else {
                "Not support lateral join except inner or cross"
            }));
        }
        _ => return Ok(()),
    };
    if function != "unnest" {
        return Err(SqlError::analysis("Not support lateral join except inner or cross"));
    }
    match constraint {
        ast::JoinConstraint::On(ast::Expr::Value(v)) if v.value == ast::Value::Boolean(true) => Ok(()),
        _ => Err(SqlError::analysis("left join unnest only support on true")),
    }
}

/// Rewrites every lateral unnest of a plan, and makes all others leave out NULL and empty arrays.
pub fn resolve(plan: LogicalPlan) -> DfResult<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(join) if matches!(join.join_type, JoinType::Inner | JoinType::Left) => {
            let Some((alias, parts)) = lateral(&join.right) else {
                return Ok(Transformed::no(LogicalPlan::Join(join)));
            };
            let left = join.left.as_ref().clone();
            let outer = join.join_type == JoinType::Left;
            let mut plan = unnested(left, alias, parts, outer)?;
            let filters = join.on.iter().map(|(a, b)| a.clone().eq(b.clone())).chain(join.filter.clone());
            if !outer {
                for condition in filters {
                    plan = LogicalPlanBuilder::from(plan).filter(condition)?.build()?;
                }
            }
            Ok(Transformed::yes(plan))
        }
        LogicalPlan::Unnest(unnest) if unnest.options.null_handling == NullHandling::Preserve => {
            let options = UnnestOptions { null_handling: NullHandling::Drop, ..unnest.options.clone() };
            Ok(Transformed::yes(LogicalPlan::Unnest(Unnest { options, ..unnest })))
        }
        other => Ok(Transformed::no(other)),
    })?;
    if !plan.transformed {
        return Ok(plan.data);
    }
    Ok(plan.data.transform_up_with_subqueries(|node| Ok(Transformed::yes(node.recompute_schema()?)))?.data)
}

/// An array expression and the name of the column its items get.
type Part = (Expr, String);

/// The alias and parts of a join's right side that is an unnest over outer columns.
fn lateral(right: &LogicalPlan) -> Option<(Option<TableReference>, Vec<Part>)> {
    match right {
        LogicalPlan::SubqueryAlias(alias) => match alias.input.as_ref() {
            LogicalPlan::Subquery(Subquery { subquery, .. }) => {
                let names: Vec<String> = alias.schema.fields().iter().map(|f| f.name().clone()).collect();
                Some((Some(alias.alias.clone()), parts(subquery, names)?))
            }
            _ => None,
        },
        LogicalPlan::Subquery(Subquery { subquery, .. }) => {
            let names: Vec<String> = subquery.schema().fields().iter().map(|f| f.name().clone()).collect();
            Some((None, parts(subquery, names)?))
        }
        _ => None,
    }
}

/// The arrays below an unnest, in the order of its columns.
fn parts(plan: &LogicalPlan, names: Vec<String>) -> Option<Vec<Part>> {
    let mut at = plan;
    let mut unnests = false;
    loop {
        match at {
            LogicalPlan::Projection(p) if unnests && matches!(p.input.as_ref(), LogicalPlan::EmptyRelation(_)) => {
                if p.expr.len() != names.len() {
                    return None;
                }
                return Some(p.expr.iter().map(|e| inner(e.clone())).zip(names).collect());
            }
            LogicalPlan::Unnest(u) => {
                unnests = true;
                at = &u.input;
            }
            LogicalPlan::Projection(p) => at = &p.input,
            LogicalPlan::SubqueryAlias(a) => at = &a.input,
            _ => return None,
        }
    }
}

/// The expression without its alias, over plain columns instead of outer ones.
fn inner(e: Expr) -> Expr {
    let e = e.unalias();
    e.clone()
        .transform(|e| {
            Ok(match e {
                Expr::OuterReferenceColumn(_, column) => Transformed::yes(Expr::Column(column)),
                other => Transformed::no(other),
            })
        })
        .map_or(e, |t| t.data)
}

fn unnested(left: LogicalPlan, alias: Option<TableReference>, parts: Vec<Part>, outer: bool) -> DfResult<LogicalPlan> {
    let columns: Vec<Expr> = left.schema().columns().into_iter().map(Expr::Column).collect();
    let hidden: Vec<String> = (0..parts.len()).map(|i| format!("\u{3}{i}")).collect();
    let mut items = columns.clone();
    items.extend(parts.iter().zip(&hidden).map(|((e, _), name)| e.clone().alias(name)));
    let null_handling = if outer { NullHandling::PreserveAndExpandEmpty } else { NullHandling::Drop };
    let options = UnnestOptions { null_handling, recursions: Vec::new() };
    let plan = LogicalPlanBuilder::from(left)
        .project(items)?
        .unnest_columns_with_options(hidden.iter().map(Column::from_name).collect(), options)?;
    let mut out = columns;
    out.extend(
        parts
            .into_iter()
            .zip(hidden)
            .map(|((_, name), hidden)| Expr::Column(Column::from_name(hidden)).alias_qualified(alias.clone(), name)),
    );
    plan.project(out)?.build()
}
