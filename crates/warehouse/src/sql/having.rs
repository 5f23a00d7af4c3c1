//! HAVING without GROUP BY and aggregates: a filter on the select's rows, in which its aliases go before columns.

use std::ops::ControlFlow;

use sqlparser::ast::{self, Expr, SelectItem, SetExpr, VisitMut, VisitorMut, visit_expressions, visit_expressions_mut};

/// Turns such a HAVING into a part of WHERE, in all selects of a query.
pub fn into_filters(query: &mut ast::Query, is_aggregate: &dyn Fn(&str) -> bool) {
    let _ = query.visit(&mut Filters { is_aggregate });
}

struct Filters<'a> {
    is_aggregate: &'a dyn Fn(&str) -> bool,
}

impl VisitorMut for Filters<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        self.body(&mut query.body);
        ControlFlow::Continue(())
    }
}

impl Filters<'_> {
    fn body(&self, body: &mut SetExpr) {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left);
                self.body(right);
            }
            _ => {}
        }
    }

    fn select(&self, select: &mut ast::Select) {
        let grouped = !matches!(&select.group_by, ast::GroupByExpr::Expressions(e, m) if e.is_empty() && m.is_empty());
        let Some(having) = select.having.as_mut().filter(|_| !grouped) else { return };
        let computes = |e: &Expr| self.needs_groups(e);
        let items = select.projection.iter().filter_map(|item| match item {
            SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. } => Some(e),
            _ => None,
        });
        if computes(having) || items.into_iter().any(computes) {
            return;
        }
        // Children come first, so what is put in is not looked at again.
        let _ = visit_expressions_mut(having, |e| {
            if let Expr::Identifier(name) = e {
                let named = select.projection.iter().find_map(|item| match item {
                    SelectItem::ExprWithAlias { expr, alias } if alias.value.eq_ignore_ascii_case(&name.value) => {
                        Some(expr)
                    }
                    _ => None,
                });
                if let Some(expression) = named {
                    *e = Expr::Nested(Box::new(expression.clone()));
                }
            }
            ControlFlow::<()>::Continue(())
        });
        let Some(having) = select.having.take() else { return };
        select.selection = Some(match select.selection.take() {
            None => having,
            Some(condition) => Expr::BinaryOp {
                left: Box::new(Expr::Nested(Box::new(condition))),
                op: ast::BinaryOperator::And,
                right: Box::new(Expr::Nested(Box::new(having))),
            },
        });
    }

    /// Whether an expression is over groups or windows, not over a row. Subqueries are looked at as well: one with an
    /// aggregate leaves the HAVING as it is.
    fn needs_groups(&self, e: &Expr) -> bool {
        visit_expressions(e, |e| match e {
            Expr::Function(f) if f.over.is_some() || (self.is_aggregate)(&f.name.to_string().to_lowercase()) => {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        })
        .is_break()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parser;

    #[test]
    fn a_having_over_rows_is_a_filter_and_one_over_groups_stays() {
        for (sql, expected) in [
            (
                "SELECT CASE WHEN k = 1 THEN 'a' ELSE k END AS k FROM t WHERE x OR y HAVING K IN ('a', NULL)",
                "SELECT CASE WHEN k = 1 THEN 'a' ELSE k END AS k FROM t WHERE (x OR y) AND ((CASE WHEN k = 1 THEN 'a' ELSE k END) IN ('a', NULL))",
            ),
            (
                "SELECT a FROM t HAVING a > 1 UNION SELECT b FROM u HAVING b > 1",
                "SELECT a FROM t WHERE a > 1 UNION SELECT b FROM u WHERE b > 1",
            ),
            ("SELECT * FROM (SELECT a FROM t HAVING a > 1) AS x", "SELECT * FROM (SELECT a FROM t WHERE a > 1) AS x"),
            ("SELECT max(a) FROM t HAVING max(a) > 1", "SELECT max(a) FROM t HAVING max(a) > 1"),
            ("SELECT 1 FROM t HAVING max(a) > 1", "SELECT 1 FROM t HAVING max(a) > 1"),
            ("SELECT a FROM t GROUP BY a HAVING a > 1", "SELECT a FROM t GROUP BY a HAVING a > 1"),
        ] {
            let mut query = parser::parse_query(sql).unwrap();
            into_filters(&mut query, &|name| name == "max");
            assert_eq!(query.to_string(), expected, "{sql}");
        }
    }
}
