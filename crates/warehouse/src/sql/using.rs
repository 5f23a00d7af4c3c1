//! `a JOIN b USING (k)`: in StarRocks the joined column k is one column, the first that is not NULL,
//! and `SELECT *` shows it before all others. Here such a join becomes one with ON, and k the
//! expression it stands for.

use std::ops::ControlFlow;

use sqlparser::ast::*;

use super::rewrite::call;

/// Rewrites the joins of a query's own FROMs; subqueries are visited on their own.
pub fn rewrite(query: &mut Query) {
    let order = match &mut query.order_by {
        Some(OrderBy { kind: OrderByKind::Expressions(keys), .. }) => keys.as_mut_slice(),
        _ => &mut [],
    };
    set_expression(&mut query.body, order);
}

fn set_expression(body: &mut SetExpr, order: &mut [OrderByExpr]) {
    match body {
        SetExpr::Select(select) => one_select(select, order),
        SetExpr::SetOperation { left, right, .. } => {
            set_expression(left, &mut []);
            set_expression(right, &mut []);
        }
        _ => {}
    }
}

fn one_select(select: &mut Select, order: &mut [OrderByExpr]) {
    let Some(joined) = merge(select).filter(|j| !j.merged.is_empty()) else { return };
    let merged = &joined.merged;
    let shown: Vec<String> = select.projection.iter().filter_map(shown_name).collect();
    let mut projection = Vec::new();
    for item in std::mem::take(&mut select.projection) {
        match item {
            SelectItem::Wildcard(_) => {
                for (name, e) in merged {
                    projection.push(SelectItem::ExprWithAlias { expr: e.clone(), alias: quoted(name) });
                }
                projection.extend(joined.tables.iter().map(others));
            }
            SelectItem::UnnamedExpr(Expr::Identifier(i)) => match find(merged, &i) {
                Some(e) => projection.push(SelectItem::ExprWithAlias { expr: e.clone(), alias: quoted(&i.value) }),
                None => projection.push(SelectItem::UnnamedExpr(Expr::Identifier(i))),
            },
            other => projection.push(other),
        }
    }
    select.projection = projection;
    let mut names = Names { merged, depth: 0 };
    let _ = VisitMut::visit(&mut select.projection, &mut names);
    let _ = VisitMut::visit(&mut select.selection, &mut names);
    let _ = VisitMut::visit(&mut select.group_by, &mut names);
    let _ = VisitMut::visit(&mut select.having, &mut names);
    for key in order {
        // A name of the result is that column of the result.
        let own = matches!(&key.expr, Expr::Identifier(i) if shown.contains(&i.value.to_lowercase()));
        if !own {
            let _ = VisitMut::visit(&mut key.expr, &mut names);
        }
    }
}

/// `t.*` without the joined columns.
fn others((table, columns): &(ObjectName, Vec<Ident>)) -> SelectItem {
    let mut options = WildcardAdditionalOptions::default();
    if !columns.is_empty() {
        let names = columns.iter().map(|c| ObjectName::from(vec![quoted(&c.value)])).collect();
        options.opt_exclude = Some(ExcludeSelectItem::Multiple(names));
    }
    SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(table.clone()), options)
}

fn quoted(name: &str) -> Ident {
    Ident::with_quote('`', name.to_lowercase())
}

fn shown_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(Expr::Identifier(i)) => Some(i.value.to_lowercase()),
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.to_lowercase()),
        _ => None,
    }
}

type Merged = Vec<(String, Expr)>;

struct Joined {
    merged: Merged,
    /// Every table with those of its columns that are joined.
    tables: Vec<(ObjectName, Vec<Ident>)>,
}

fn find<'a>(merged: &'a Merged, i: &Ident) -> Option<&'a Expr> {
    merged.iter().find(|(name, _)| name.eq_ignore_ascii_case(&i.value)).map(|(_, e)| e)
}

fn table_name(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table { alias: Some(a), .. } | TableFactor::Derived { alias: Some(a), .. } => Some(a.name.clone()),
        TableFactor::Table { name, .. } => name.0.last().and_then(|p| p.as_ident()).cloned(),
        _ => None,
    }
}

/// What `*` of the table is qualified with.
fn qualifier(factor: &TableFactor) -> Option<ObjectName> {
    match factor {
        TableFactor::Table { name, alias: None, .. } => Some(name.clone()),
        other => table_name(other).map(|n| ObjectName::from(vec![n])),
    }
}

fn constraint(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(c)
        | JoinOperator::Inner(c)
        | JoinOperator::Left(c)
        | JoinOperator::LeftOuter(c)
        | JoinOperator::Right(c)
        | JoinOperator::RightOuter(c)
        | JoinOperator::FullOuter(c) => Some(c),
        _ => None,
    }
}

/// The joined columns of the one FROM item with USING; None when a table has no name or there are
/// several items, which are left to the planner.
fn merge(select: &mut Select) -> Option<Joined> {
    let [from] = select.from.as_mut_slice() else { return None };
    let is_using = |j: &mut Join| matches!(constraint(&mut j.join_operator), Some(JoinConstraint::Using(_)));
    if !from.joins.iter_mut().any(is_using) {
        return None;
    }
    let first = table_name(&from.relation)?;
    let names: Vec<Ident> = from.joins.iter().map(|j| table_name(&j.relation)).collect::<Option<_>>()?;
    let mut tables = vec![(qualifier(&from.relation)?, Vec::new())];
    for join in &from.joins {
        tables.push((qualifier(&join.relation)?, Vec::new()));
    }
    let mut parts: Vec<(String, Vec<Expr>)> = Vec::new();
    for (n, (join, name)) in from.joins.iter_mut().zip(&names).enumerate() {
        let Some(c) = constraint(&mut join.join_operator) else { continue };
        let JoinConstraint::Using(columns) = c else { continue };
        let mut condition: Option<Expr> = None;
        for column in columns.iter() {
            let ident = column.0.last().and_then(|p| p.as_ident())?;
            let of = |table: &Ident| Expr::CompoundIdentifier(vec![table.clone(), ident.clone()]);
            let key = ident.value.to_lowercase();
            let at = match parts.iter().position(|(k, _)| *k == key) {
                Some(at) => at,
                None => {
                    tables[0].1.push(ident.clone());
                    parts.push((key, vec![of(&first)]));
                    parts.len() - 1
                }
            };
            let equal =
                Expr::BinaryOp { left: Box::new(one(&parts[at].1)), op: BinaryOperator::Eq, right: Box::new(of(name)) };
            parts[at].1.push(of(name));
            tables[n + 1].1.push(ident.clone());
            condition = Some(match condition {
                Some(c) => Expr::BinaryOp { left: Box::new(c), op: BinaryOperator::And, right: Box::new(equal) },
                None => equal,
            });
        }
        *c = JoinConstraint::On(condition?);
    }
    Some(Joined { merged: parts.into_iter().map(|(name, all)| (name, one(&all))).collect(), tables })
}

fn one(parts: &[Expr]) -> Expr {
    match parts {
        [only] => only.clone(),
        many => call("coalesce", many.to_vec()),
    }
}

/// Puts the joined columns in the places of their names, outside of subqueries.
struct Names<'a> {
    merged: &'a Merged,
    depth: usize,
}

impl VisitorMut for Names<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, e: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0
            && let Expr::Identifier(i) = e
            && let Some(merged) = find(self.merged, i)
        {
            *e = merged.clone();
        }
        ControlFlow::Continue(())
    }
}
