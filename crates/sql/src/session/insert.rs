//! INSERT: the query's columns become the target's, with the conversions Flink makes by itself.

use std::sync::Arc;

use super::{Relation, Session, unknown_column};
use crate::ast;
use crate::bind::expr::{ExprBinder, convert};
use crate::bind::query::{Names, QueryBinder, Rel, finish, hinted_options};
use crate::bind::scope::Scope;
use crate::chain::{NotNullEnforcer, Step};
use crate::diagnostic::{Diagnostic, Span};
use crate::eval::{Typed, Zone};
use crate::parser::Parse;
use crate::plan::{Insert, TableDef, TableOption};
use crate::types;

impl Session {
    pub(super) fn plan_insert(&self, insert: &ast::Insert) -> Parse<Insert> {
        if insert.upsert {
            return Err(Diagnostic::at(
                insert.span.start..insert.span.start + 6,
                "UPSERT is not Flink's: write INSERT; a primary key makes it an upsert",
            ));
        }
        if let Some(extended) = &insert.extended {
            return Err(Diagnostic::unsupported(
                extended.clone(),
                "INSERT with columns that the table does not declare",
            ));
        }
        let target = match self.relation(&insert.target)? {
            Relation::Table(table) => table,
            Relation::View(view) => {
                return Err(Diagnostic::at(
                    insert.target.span(),
                    format!("'{}' is a view: nothing can be inserted into it", view.path.name),
                ));
            }
        };
        let options = hinted_options(&target.options, &insert.hints)?;
        let settings = self.plan_settings();
        let binder = QueryBinder { names: self, settings: &settings, view_depth: 0 };
        let rel = binder.rel(&insert.query)?;
        self.finish_insert(
            target,
            rel,
            options,
            &insert.columns,
            &insert.partition,
            insert.overwrite,
            insert.span.clone(),
            false,
        )
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn finish_insert(
        &self,
        target: Arc<TableDef>,
        mut rel: Rel,
        options: Vec<TableOption>,
        columns: &[ast::Ident],
        partition: &[(ast::Ident, Option<ast::Expr>)],
        overwrite: bool,
        span: Span,
        by_name: bool,
    ) -> Parse<Insert> {
        let options = if options.is_empty() { target.options.clone() } else { options };
        let sink = target.sink_schema();
        let settings = self.plan_settings();
        let empty = Scope::default();
        let constants = ExprBinder { scope: &empty, settings: &settings };
        // Static partition columns take their value from the statement.
        let mut fixed: Vec<Option<Typed>> = vec![None; sink.columns.len()];
        let mut static_partition = Vec::new();
        for (column, value) in partition {
            let at = sink.index_of(&column.name).ok_or_else(|| {
                Diagnostic::at(column.span.clone(), format!("unknown partition column '{}'", column.name))
                    .with_nearest(&column.name, sink.columns.iter().map(|c| c.name.as_str()))
            })?;
            if !target.partitioned_by.contains(&column.name) {
                return Err(Diagnostic::at(
                    column.span.clone(),
                    format!("table '{}' is not partitioned by '{}'", target.path.name, column.name),
                ));
            }
            if let Some(value) = value {
                let bound = constants.bind(value)?;
                let text = bound
                    .as_literal()
                    .and_then(|a| crate::eval::text::format_value(a, &bound.data_type, 0, Zone::UTC))
                    .ok_or_else(|| Diagnostic::at(value.span.clone(), "a partition's value must be a literal"))?;
                static_partition.push((column.name.clone(), text));
                fixed[at] = Some(bound);
            }
        }
        // Which sink column each query column goes to.
        let mut target_columns = Vec::new();
        let wanted: Vec<usize> = if by_name {
            rel.scope
                .columns
                .iter()
                .map(|c| {
                    sink.index_of(&c.name).ok_or_else(|| {
                        Diagnostic::at(span.clone(), format!("table '{}' has no column '{}'", target.path.name, c.name))
                    })
                })
                .collect::<Parse<_>>()?
        } else if columns.is_empty() {
            (0..sink.columns.len()).filter(|i| fixed[*i].is_none()).collect()
        } else {
            for column in columns {
                let at = sink.index_of(&column.name).ok_or_else(|| unknown_column(column, &target))?;
                if target_columns.contains(&at) {
                    return Err(Diagnostic::at(
                        column.span.clone(),
                        format!("column '{}' is named twice", column.name),
                    ));
                }
                target_columns.push(at);
            }
            target_columns.iter().copied().filter(|i| fixed[*i].is_none()).collect()
        };
        if wanted.len() != rel.scope.columns.len() {
            let have: Vec<_> =
                rel.scope.columns.iter().map(|c| format!("{} {}", c.name, c.data_type.logical)).collect();
            let want: Vec<_> = wanted
                .iter()
                .map(|i| format!("{} {}", sink.columns[*i].name, sink.columns[*i].data_type.logical))
                .collect();
            return Err(Diagnostic::at(
                span,
                format!("the query gives {} columns, table '{}' takes {}", have.len(), target.path.name, want.len()),
            )
            .with_hint(format!("query: [{}]; table: [{}]", have.join(", "), want.join(", "))));
        }
        let mut exprs = Vec::with_capacity(sink.columns.len());
        for (index, column) in sink.columns.iter().enumerate() {
            let source = match (&fixed[index], wanted.iter().position(|w| *w == index)) {
                (Some(value), _) => value.clone(),
                (None, Some(from)) => rel.scope.column(from, span.clone()),
                (None, None) => {
                    if !column.data_type.nullable {
                        return Err(Diagnostic::at(
                            span,
                            format!(
                                "column '{}' of table '{}' is NOT NULL, but the statement gives it no value",
                                column.name, target.path.name
                            ),
                        ));
                    }
                    Typed::null(span.clone())
                }
            };
            if !types::can_store(&source.data_type.logical, &column.data_type.logical) {
                return Err(Diagnostic::at(
                    span,
                    format!(
                        "column '{}' of table '{}' is {}, the query gives {}",
                        column.name, target.path.name, column.data_type.logical, source.data_type.logical
                    ),
                )
                .with_hint(format!("write CAST(… AS {})", column.data_type.logical)));
            }
            // Lengths are checked by the sink, not cut here (table.exec.sink.type-length-enforcer = IGNORE).
            let text = source.data_type.logical.is_character() && column.data_type.logical.is_character();
            let bytes = source.data_type.logical.is_binary() && column.data_type.logical.is_binary();
            let trim = self
                .setting("table.exec.sink.type-length-enforcer")
                .is_some_and(|v| v.eq_ignore_ascii_case("TRIM_PAD"));
            let mut expr = if (text || bytes) && !trim { source } else { convert(source, &column.data_type.logical) };
            expr.data_type = column.data_type.clone();
            exprs.push(expr);
        }
        rel.project(exprs, sink.columns.iter().map(|c| c.name.clone()).collect());
        let not_null: Vec<(usize, String)> = sink
            .columns
            .iter()
            .enumerate()
            .filter(|(_, c)| !c.data_type.nullable)
            .map(|(i, c)| (i, c.name.clone()))
            .collect();
        if !not_null.is_empty() {
            let enforcer = match self.setting("table.exec.sink.not-null-enforcer") {
                Some(v) if v.eq_ignore_ascii_case("DROP") => NotNullEnforcer::Drop,
                _ => NotNullEnforcer::Error,
            };
            rel.push(Step::NotNull { columns: not_null, enforcer });
        }
        let mut query = finish(rel)?;
        query.schema.primary_key.clone_from(&sink.primary_key);
        Ok(Insert { target, options, query, overwrite, target_columns, static_partition, span })
    }
}
