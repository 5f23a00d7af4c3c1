//! Queries to branches. What needs state is refused where it stands; nothing is left out silently.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, RecordBatchOptions};
use starweir_model::{Column, DataType, LogicalType as L, Schema};

use super::expr::{ExprBinder, PlanSettings, convert, pad_char};
use super::scope::{Scope, ScopeColumn};
use crate::ast::{self, ExprKind, Hint, JoinKind, SelectItem, SetExpr, SetOp, TableRef};
use crate::chain::{Chain, ChainBuilder, Step, Unnest};
use crate::diagnostic::{Diagnostic, Span};
use crate::eval::{Node, Typed};
use crate::parser::{Parse, parse_expression};
use crate::plan::{Branch, ColumnKind, Input, Query, Scan, ScanColumn, TableDef, TableOption};
use crate::session::{Relation, ViewDef};
use crate::types;

/// Finds tables and views by name.
pub(crate) trait Names {
    fn relation(&self, name: &ast::Name) -> Parse<Relation>;
}

/// Rows on their way: branches whose columns are those of the scope.
#[derive(Clone)]
pub(crate) struct Rel {
    pub scope: Scope,
    pub branches: Vec<RelBranch>,
}

#[derive(Clone)]
pub(crate) struct RelBranch {
    input: RelInput,
    chain: ChainBuilder,
}

#[derive(Clone)]
enum RelInput {
    /// A table with all the columns a connector can give.
    Scan {
        table: Arc<TableDef>,
        options: Vec<TableOption>,
        columns: Vec<ScanColumn>,
        declared: Vec<Column>,
    },
    Values(RecordBatch),
}

impl RelInput {
    fn width(&self) -> usize {
        match self {
            Self::Scan { columns, .. } => columns.len(),
            Self::Values(batch) => batch.num_columns(),
        }
    }
}

const JOIN_HINTS: &[&str] = &["BROADCAST", "SHUFFLE_HASH", "SHUFFLE_MERGE", "NEST_LOOP", "LOOKUP", "STATE_TTL"];
const WINDOW_TABLES: &[&str] = &["TUMBLE", "HOP", "CUMULATE", "SESSION"];
/// Views may use views this deep.
const VIEW_DEPTH_MAX: usize = 32;

pub(crate) struct QueryBinder<'a> {
    pub names: &'a dyn Names,
    pub settings: &'a PlanSettings,
    pub view_depth: usize,
}

type Ctes = HashMap<String, Rel>;

impl QueryBinder<'_> {
    /// Plans a query down to its result columns.
    pub fn plan(&self, query: &ast::Query) -> Parse<Query> {
        let rel = self.query(query, &Ctes::new())?;
        finish(rel)
    }

    pub fn rel(&self, query: &ast::Query) -> Parse<Rel> {
        self.query(query, &Ctes::new())
    }

    fn query(&self, query: &ast::Query, outer: &Ctes) -> Parse<Rel> {
        let mut ctes;
        let mut reach = outer;
        if !query.with.is_empty() {
            ctes = outer.clone();
            for cte in &query.with {
                let mut rel = self.query(&cte.query, &ctes)?;
                rename(&mut rel, &cte.columns, &cte.name.span)?;
                ctes.insert(cte.name.name.clone(), rel);
            }
            reach = &ctes;
        }
        if let Some(span) = &query.order_by {
            return Err(Diagnostic::unsupported(span.clone(), "ORDER BY"));
        }
        if let Some(span) = &query.limit {
            return Err(Diagnostic::unsupported(span.clone(), "LIMIT, OFFSET and FETCH"));
        }
        self.set_expr(&query.body, reach)
    }

    fn set_expr(&self, body: &SetExpr, ctes: &Ctes) -> Parse<Rel> {
        match body {
            SetExpr::Select(select) => self.select(select, ctes),
            SetExpr::Values { rows, span } => self.values(rows, span.clone()),
            SetExpr::Query(query) => self.query(query, ctes),
            SetExpr::Table(name) => self.table(name, &[], None, &ast::Alias::default(), ctes),
            SetExpr::Set { op, all, op_span, left, right } => {
                let what = match (op, all) {
                    (SetOp::Union, true) => {
                        let left = self.set_expr(left, ctes)?;
                        let right = self.set_expr(right, ctes)?;
                        return union(left, right, op_span.clone());
                    }
                    (SetOp::Union, false) => "UNION without ALL",
                    (SetOp::Intersect, _) => "INTERSECT",
                    (SetOp::Except, _) => "EXCEPT",
                };
                let diagnostic = Diagnostic::unsupported(op_span.clone(), what);
                Err(if *op == SetOp::Union {
                    diagnostic.with_hint("UNION ALL keeps duplicates and needs no state")
                } else {
                    diagnostic
                })
            }
        }
    }

    fn values(&self, rows: &[Vec<ast::Expr>], span: Span) -> Parse<Rel> {
        let scope = Scope::default();
        let binder = ExprBinder { scope: &scope, settings: self.settings };
        let width = rows.first().map_or(0, Vec::len);
        let mut bound = Vec::with_capacity(rows.len());
        for row in rows {
            if row.len() != width {
                return Err(Diagnostic::at(span, "the rows of VALUES have different numbers of columns"));
            }
            bound.push(row.iter().map(|e| binder.bind(e)).collect::<Parse<Vec<_>>>()?);
        }
        let mut columns = Vec::with_capacity(width);
        let mut exprs = Vec::with_capacity(width);
        let count = bound.len();
        for index in 0..width {
            let Some(data_type) = types::common_of(bound.iter().map(|r| &r[index].data_type)) else {
                return Err(Diagnostic::at(
                    span,
                    format!("column {} of VALUES has values of no common type", index + 1),
                ));
            };
            columns.push(ScopeColumn {
                qualifier: None,
                path: None,
                name: format!("EXPR${index}"),
                data_type: data_type.clone(),
            });
            let cells: Vec<Typed> = bound.iter().map(|r| pad_char(r[index].clone(), &data_type.logical)).collect();
            exprs.push(one_of(cells, data_type, span.clone())?);
        }
        let counter: ArrayRef = Arc::new(Int32Array::from_iter_values(0..count as i32));
        let mut rel = from_batch(counter, count, &span)?;
        let names = columns.iter().map(|c| c.name.clone()).collect();
        rel.branches[0].chain.project(exprs, names);
        rel.scope = Scope { columns };
        Ok(rel)
    }

    fn select(&self, select: &ast::Select, ctes: &Ctes) -> Parse<Rel> {
        for hint in &select.hints {
            check_query_hint(hint)?;
        }
        let mut rel = match &select.from {
            None => {
                let one: ArrayRef = Arc::new(Int32Array::from(vec![0]));
                from_batch(one, 1, &select.span)?
            }
            Some(from) => self.table_ref(from, ctes)?,
        };
        // Stateful clauses are named in the order a reader meets them.
        if let Some(span) = &select.distinct {
            return Err(Diagnostic::unsupported(span.clone(), "SELECT DISTINCT"));
        }
        for (clause, what) in [
            (&select.group_by, "GROUP BY"),
            (&select.having, "HAVING"),
            (&select.window, "WINDOW"),
            (&select.qualify, "QUALIFY"),
        ] {
            if let Some(span) = clause {
                return Err(Diagnostic::unsupported(span.clone(), what));
            }
        }
        if let Some(filter) = &select.filter {
            let condition = ExprBinder { scope: &rel.scope, settings: self.settings }.condition(filter, "WHERE")?;
            for branch in &mut rel.branches {
                branch.chain.filter(condition.clone());
            }
        }
        self.project(rel, &select.items)
    }

    fn project(&self, mut rel: Rel, items: &[SelectItem]) -> Parse<Rel> {
        let mut exprs: Vec<Typed> = Vec::new();
        let mut columns: Vec<ScopeColumn> = Vec::new();
        for item in items {
            match item {
                SelectItem::Star { qualifier, span } => {
                    let picked: Vec<usize> = match qualifier {
                        None => (0..rel.scope.columns.len()).collect(),
                        Some(name) => {
                            let picked = rel.scope.of_qualifier(&name.parts);
                            if picked.is_empty() {
                                if let Some(expanded) = self.row_star(&rel.scope, name)? {
                                    for (expr, name) in expanded {
                                        columns.push(out_column(name, expr.data_type.clone()));
                                        exprs.push(expr);
                                    }
                                    continue;
                                }
                                let known = rel.scope.columns.iter().filter_map(|c| c.qualifier.as_deref());
                                return Err(Diagnostic::at(
                                    name.span(),
                                    format!("there is no table '{}' here", name.text()),
                                )
                                .with_nearest(name.last(), known));
                            }
                            picked
                        }
                    };
                    if picked.is_empty() {
                        return Err(Diagnostic::at(span.clone(), "'*' needs a table in FROM"));
                    }
                    for index in picked {
                        let expr = rel.scope.column(index, span.clone());
                        columns.push(out_column(rel.scope.columns[index].name.clone(), expr.data_type.clone()));
                        exprs.push(expr);
                    }
                }
                SelectItem::Expr { expr, alias } => {
                    let bound = ExprBinder { scope: &rel.scope, settings: self.settings }.bind(expr)?;
                    let name = match alias {
                        Some(alias) => alias.name.clone(),
                        None => match &expr.kind {
                            ExprKind::Name(name) => name.last().to_owned(),
                            _ => format!("EXPR${}", exprs.len()),
                        },
                    };
                    columns.push(out_column(name, bound.data_type.clone()));
                    exprs.push(bound);
                }
            }
        }
        unique_names(&mut columns);
        let names: Vec<String> = columns.iter().map(|c| c.name.clone()).collect();
        for branch in &mut rel.branches {
            branch.chain.project(exprs.clone(), names.clone());
        }
        rel.scope = Scope { columns };
        Ok(rel)
    }

    /// `row_column.*`.
    fn row_star(&self, scope: &Scope, name: &ast::Name) -> Parse<Option<Vec<(Typed, String)>>> {
        let binder = ExprBinder { scope, settings: self.settings };
        let span = name.span();
        let Ok(base) = binder.bind(&ast::Expr::new(ExprKind::Name(name.clone()), span.clone())) else {
            return Ok(None);
        };
        let L::Row(fields) = base.data_type.logical.clone() else { return Ok(None) };
        fields
            .into_iter()
            .map(|f| Ok((binder.field(base.clone(), &f.name, span.clone())?, f.name)))
            .collect::<Parse<Vec<_>>>()
            .map(Some)
    }

    fn table_ref(&self, table: &TableRef, ctes: &Ctes) -> Parse<Rel> {
        match table {
            TableRef::Table { name, hints, system_time, alias, .. } => {
                self.table(name, hints, system_time.as_ref(), alias, ctes)
            }
            TableRef::Derived { query, alias, span, .. } => {
                let mut rel = self.query(query, ctes)?;
                requalify(&mut rel, alias, span)?;
                Ok(rel)
            }
            TableRef::Unnest { .. } => {
                let span = table.span();
                let one: ArrayRef = Arc::new(Int32Array::from(vec![0]));
                let mut base = from_batch(one, 1, &span)?;
                base.project(Vec::new(), Vec::new());
                self.unnest(base, table, JoinKind::Cross, None)
            }
            TableRef::Function { call, span, .. } => Err(self.table_function(call, span)),
            TableRef::Join { left, right, kind, natural, using, on, span } => {
                let unnest = matches!(right.as_ref(), TableRef::Unnest { .. });
                if !unnest {
                    // The first mistake inside either side is worth more than "join".
                    self.table_ref(left, ctes)?;
                    match right.as_ref() {
                        TableRef::Function { call, span, .. } => return Err(self.table_function(call, span)),
                        TableRef::Table { system_time: Some(time), .. } => {
                            return Err(Diagnostic::unsupported(
                                time.span.clone(),
                                "a lookup or temporal join (FOR SYSTEM_TIME AS OF)",
                            ));
                        }
                        TableRef::Derived { lateral: true, span, .. } => {
                            return Err(Diagnostic::unsupported(span.clone(), "LATERAL over a query"));
                        }
                        other => {
                            self.table_ref(other, ctes)?;
                        }
                    }
                    return Err(Diagnostic::unsupported(span.clone(), "a join"));
                }
                if *natural || !using.is_empty() {
                    return Err(Diagnostic::at(span.clone(), "UNNEST is joined with ON TRUE"));
                }
                let base = self.table_ref(left, ctes)?;
                self.unnest(base, right, *kind, on.as_ref())
            }
            TableRef::Other { what, span } => {
                let diagnostic = Diagnostic::unsupported(span.clone(), what);
                Err(if what == "MATCH_RECOGNIZE" {
                    Diagnostic::at(span.clone(), "MATCH_RECOGNIZE is not supported, now or later")
                        .with_label("run this script on Apache Flink")
                } else {
                    diagnostic
                })
            }
        }
    }

    fn table_function(&self, call: &ast::Expr, span: &Span) -> Diagnostic {
        let name = match &call.kind {
            ExprKind::Call(call) => call.name.clone(),
            _ => return Diagnostic::unsupported(span.clone(), "this table function"),
        };
        let upper = name.last().to_ascii_uppercase();
        if WINDOW_TABLES.contains(&upper.as_str()) {
            return Diagnostic::unsupported(name.span(), format!("the window table function {upper}"));
        }
        Diagnostic::at(name.span(), format!("unknown table function '{}'", name.last()))
            .with_label("unknown function")
            .with_nearest(name.last(), WINDOW_TABLES.iter().copied().chain(["UNNEST"]))
    }

    fn unnest(&self, mut base: Rel, table: &TableRef, kind: JoinKind, on: Option<&ast::Expr>) -> Parse<Rel> {
        let TableRef::Unnest { exprs, ordinality, alias, span } = table else {
            return Err(Diagnostic::at(table.span(), "this is no UNNEST"));
        };
        let [expr] = exprs.as_slice() else {
            return Err(Diagnostic::unsupported(span.clone(), "UNNEST of more than one collection"));
        };
        let outer = match kind {
            JoinKind::Cross | JoinKind::Inner => false,
            JoinKind::Left => true,
            _ => return Err(Diagnostic::at(span.clone(), "UNNEST is joined with CROSS JOIN, INNER JOIN or LEFT JOIN")),
        };
        let bound = ExprBinder { scope: &base.scope, settings: self.settings }.bind(expr)?;
        let element_columns = |element: &DataType| -> Vec<(String, DataType)> {
            match &element.logical {
                L::Row(fields) => fields
                    .iter()
                    .map(|f| {
                        (f.name.clone(), f.data_type.clone().with_nullable(f.data_type.nullable || element.nullable))
                    })
                    .collect(),
                _ => vec![("EXPR$0".to_owned(), element.clone())],
            }
        };
        let mut added: Vec<(String, DataType)> = match &bound.data_type.logical {
            L::Array(element) | L::Multiset(element) => element_columns(element),
            L::Map(key, value) => {
                vec![("KEY".to_owned(), key.as_ref().clone()), ("VALUE".to_owned(), value.as_ref().clone())]
            }
            other => {
                return Err(Diagnostic::at(
                    expr.span.clone(),
                    format!("UNNEST takes an ARRAY, MAP or MULTISET, this is {other}"),
                ));
            }
        };
        if *ordinality {
            added.push(("ORDINALITY".to_owned(), DataType::not_null(L::Int)));
        }
        if !alias.columns.is_empty() {
            if alias.columns.len() != added.len() {
                return Err(Diagnostic::at(
                    span.clone(),
                    format!("UNNEST gives {} columns, but {} names are written", added.len(), alias.columns.len()),
                ));
            }
            for (column, name) in added.iter_mut().zip(&alias.columns) {
                column.0.clone_from(&name.name);
            }
        } else if let (1, Some(name)) = (added.len(), &alias.name)
            && !matches!(&bound.data_type.logical, L::Array(e) if matches!(e.logical, L::Row(_)))
        {
            // `UNNEST(a) AS x` names the only column too.
            added[0].0.clone_from(&name.name);
        }
        if outer {
            for column in &mut added {
                column.1.nullable = true;
            }
        }
        let schema = Schema::new(added.iter().map(|(n, t)| Column::new(n.clone(), t.clone())).collect());
        let step = Unnest { expr: bound, outer, ordinality: *ordinality, added: schema };
        for branch in &mut base.branches {
            branch.chain.steps.push(Step::Unnest(step.clone()));
        }
        let qualifier = alias.name.as_ref().map(|n| n.name.clone());
        base.scope.columns.extend(added.into_iter().map(|(name, data_type)| ScopeColumn {
            qualifier: qualifier.clone(),
            path: None,
            name,
            data_type,
        }));
        if let Some(on) = on {
            let condition = ExprBinder { scope: &base.scope, settings: self.settings }.condition(on, "ON")?;
            let always = matches!(&condition.node, Node::Literal(a) if a.logical_null_count() == 0 && crate::eval::as_bool(a).is_ok_and(|b| b.value(0)));
            if outer && !always {
                return Err(Diagnostic::unsupported(
                    on.span.clone(),
                    "LEFT JOIN UNNEST with another condition than TRUE",
                ));
            }
            if !always {
                for branch in &mut base.branches {
                    branch.chain.filter(condition.clone());
                }
            }
        }
        Ok(base)
    }

    fn table(
        &self,
        name: &ast::Name,
        hints: &[Hint],
        system_time: Option<&ast::Expr>,
        alias: &ast::Alias,
        ctes: &Ctes,
    ) -> Parse<Rel> {
        if let Some(time) = system_time {
            return Err(Diagnostic::unsupported(time.span.clone(), "FOR SYSTEM_TIME AS OF"));
        }
        if let [single] = name.parts.as_slice()
            && let Some(rel) = ctes.get(&single.name)
        {
            let mut rel = rel.clone();
            check_no_options(hints, "a query of WITH")?;
            let span = name.span();
            let alias = if alias.name.is_some() {
                alias.clone()
            } else {
                ast::Alias { name: Some(single.clone()), columns: Vec::new() }
            };
            requalify(&mut rel, &alias, &span)?;
            return Ok(rel);
        }
        let relation = self.names.relation(name)?;
        let span = name.span();
        match relation {
            Relation::View(view) => {
                check_no_options(hints, "a view")?;
                let mut rel = self.view(&view, &span)?;
                let own = ast::Ident { name: view.path.name.clone(), quoted: true, span: span.clone() };
                let path = [view.path.catalog.clone(), view.path.database.clone(), view.path.name.clone()];
                let explicit = alias.name.is_some();
                let alias = if explicit { alias.clone() } else { ast::Alias { name: Some(own), columns: Vec::new() } };
                requalify(&mut rel, &alias, &span)?;
                if !explicit {
                    for column in &mut rel.scope.columns {
                        column.path = Some(path.clone());
                    }
                }
                Ok(rel)
            }
            Relation::Table(table) => {
                let options = hinted_options(&table.options, hints)?;
                let mut rel = self.scan(&table, options)?;
                if alias.name.is_some() {
                    requalify(&mut rel, alias, &span)?;
                }
                Ok(rel)
            }
        }
    }

    fn view(&self, view: &ViewDef, span: &Span) -> Parse<Rel> {
        if self.view_depth >= VIEW_DEPTH_MAX {
            return Err(Diagnostic::at(span.clone(), format!("views may use views {VIEW_DEPTH_MAX} deep at most")));
        }
        let settings = PlanSettings {
            legacy_cast: self.settings.legacy_cast,
            catalog: view.current_catalog.clone(),
            database: view.current_database.clone(),
        };
        let names = InDatabase { inner: self.names, catalog: &view.current_catalog, database: &view.current_database };
        let binder = QueryBinder { names: &names, settings: &settings, view_depth: self.view_depth + 1 };
        let mut rel = binder.query(&view.query, &Ctes::new()).map_err(|mut d| {
            // The view's text stands elsewhere in the script: point there, say which view.
            d.message = format!("view '{}': {}", view.path.name, d.message);
            d
        })?;
        rename(&mut rel, &view.columns, span)?;
        Ok(rel)
    }

    /// A table with everything it declares: computed columns and watermark included.
    fn scan(&self, table: &Arc<TableDef>, options: Vec<TableOption>) -> Parse<Rel> {
        let mut columns = Vec::new();
        let mut declared = Vec::new();
        let mut physical = 0;
        // Scope of what the connector gives, and where each declared column is in it.
        let mut given = Scope::default();
        let path = [table.path.catalog.clone(), table.path.database.clone(), table.path.name.clone()];
        let scoped = |name: &str, data_type: DataType| ScopeColumn {
            qualifier: Some(table.path.name.clone()),
            path: Some(path.clone()),
            name: name.to_owned(),
            data_type,
        };
        for column in &table.columns {
            match &column.kind {
                ColumnKind::Physical => {
                    columns.push(ScanColumn::Physical(physical));
                    physical += 1;
                }
                ColumnKind::Metadata { key, .. } => {
                    columns.push(ScanColumn::Metadata(key.clone(), column.data_type.clone()))
                }
                ColumnKind::Computed(_) => continue,
            }
            declared.push(Column::new(column.name.clone(), column.data_type.clone()));
            given.columns.push(scoped(&column.name, column.data_type.clone()));
        }
        let mut exprs = Vec::with_capacity(table.columns.len());
        let mut scope = Scope::default();
        let mut next = 0;
        for column in &table.columns {
            if let ColumnKind::Computed(text) = &column.kind {
                let parsed = parse_expression(text).map_err(|d| inside_table(d, table))?;
                let bound = ExprBinder { scope: &given, settings: self.settings }
                    .bind(&parsed)
                    .map_err(|d| inside_table(d, table))?;
                scope.columns.push(scoped(&column.name, bound.data_type.clone()));
                exprs.push(bound);
            } else {
                exprs.push(given.column(next, 0..0));
                scope.columns.push(given.columns[next].clone());
                next += 1;
            }
        }
        let mut chain = ChainBuilder::default();
        let names: Vec<String> = scope.names();
        let straight = exprs.len() == columns.len();
        if !straight {
            chain.project(exprs, names);
        }
        if let Some(watermark) = &table.watermark {
            let parsed = parse_expression(&watermark.expression).map_err(|d| inside_table(d, table))?;
            let bound = ExprBinder { scope: &scope, settings: self.settings }
                .bind(&parsed)
                .map_err(|d| inside_table(d, table))?;
            if !types::is_timestamp(&bound.data_type.logical) {
                return Err(Diagnostic::at(
                    table.span.clone(),
                    format!("the watermark of {} is {}, not a TIMESTAMP", table.path.name, bound.data_type.logical),
                ));
            }
            chain.steps.push(Step::Watermark(bound));
        }
        let input = RelInput::Scan { table: Arc::clone(table), options, columns, declared };
        Ok(Rel { scope, branches: vec![RelBranch { input, chain }] })
    }
}

fn inside_table(mut diagnostic: Diagnostic, table: &TableDef) -> Diagnostic {
    diagnostic.message = format!("table '{}': {}", table.path.name, diagnostic.message);
    diagnostic.span = Some(table.span.clone());
    diagnostic
}

/// Names are looked up where a view was made.
struct InDatabase<'a> {
    inner: &'a dyn Names,
    catalog: &'a str,
    database: &'a str,
}

impl Names for InDatabase<'_> {
    fn relation(&self, name: &ast::Name) -> Parse<Relation> {
        let mut full = name.clone();
        let ident = |n: &str| ast::Ident { name: n.to_owned(), quoted: true, span: name.span() };
        if full.parts.len() == 1 {
            full.parts.insert(0, ident(self.database));
        }
        if full.parts.len() == 2 {
            full.parts.insert(0, ident(self.catalog));
        }
        self.inner.relation(&full)
    }
}

fn out_column(name: String, data_type: DataType) -> ScopeColumn {
    ScopeColumn { qualifier: None, path: None, name, data_type }
}

/// Of equal names the later get a number, as Calcite numbers them: `id`, `id0`, `id1`.
fn unique_names(columns: &mut [ScopeColumn]) {
    let mut taken: std::collections::HashSet<String> = std::collections::HashSet::new();
    for column in columns {
        if !taken.insert(column.name.clone()) {
            let mut number = 0usize;
            while !taken.insert(format!("{}{number}", column.name)) {
                number += 1;
            }
            column.name = format!("{}{number}", column.name);
        }
    }
}

fn from_batch(column: ArrayRef, rows: usize, span: &Span) -> Parse<Rel> {
    let schema = Schema::new(vec![Column::new("$row", DataType::not_null(L::Int))]);
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(schema.to_arrow(), vec![column], &options)
        .map_err(|e| Diagnostic::at(span.clone(), e.to_string()))?;
    Ok(Rel {
        scope: Scope::default(),
        branches: vec![RelBranch { input: RelInput::Values(batch), chain: ChainBuilder::default() }],
    })
}

/// The cell of each row: constants as one array where they are, else picked by the row's number.
fn one_of(cells: Vec<Typed>, data_type: DataType, span: Span) -> Parse<Typed> {
    use crate::eval::{EvalContext, Val};
    if let [single] = cells.as_slice() {
        return Ok(Typed { data_type, ..single.clone() });
    }
    let target = data_type.to_arrow();
    let literals: Option<Vec<ArrayRef>> =
        cells.iter().map(|c| c.as_literal().and_then(|a| crate::eval::with_arrow_type(a, &target).ok())).collect();
    let row = Typed::new(Node::Column(0), DataType::not_null(L::Int), span.clone());
    if let Some(arrays) = literals {
        let refs: Vec<&dyn arrow::array::Array> = arrays.iter().map(|a| a.as_ref()).collect();
        let all = arrow::compute::concat(&refs).map_err(|e| Diagnostic::at(span.clone(), e.to_string()))?;
        let detail = cells.iter().map(|c| c.describe(&[])).collect::<Vec<_>>().join(", ");
        return Ok(Typed::call(
            "VALUES",
            vec![row],
            data_type,
            span,
            Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
                let indices = args[0].expand(rows)?;
                arrow::compute::take(&all, &indices, None).map_err(crate::eval::arrow_error)
            }),
        )
        .detail(detail));
    }
    let mut whens = Vec::new();
    for (index, cell) in cells.into_iter().enumerate() {
        let number = super::expr::int_literal(index as i32, span.clone());
        let is_row = Typed::call(
            "=",
            vec![row.clone(), number],
            super::expr::bool_type(false),
            span.clone(),
            Arc::new(|_: &EvalContext, args: &[Val], rows: usize| {
                crate::eval::compare::compare(crate::eval::compare::Op::Eq, &args[0], &args[1], rows)
            }),
        )
        .total();
        whens.push((is_row, cell));
    }
    Ok(Typed::new(
        Node::Case { whens, otherwise: Box::new(convert(Typed::null(span.clone()), &data_type.logical)) },
        data_type,
        span,
    ))
}

fn union(mut left: Rel, mut right: Rel, span: Span) -> Parse<Rel> {
    if left.scope.columns.len() != right.scope.columns.len() {
        return Err(Diagnostic::at(
            span,
            format!("UNION ALL of {} columns and {} columns", left.scope.columns.len(), right.scope.columns.len()),
        ));
    }
    let mut columns = Vec::with_capacity(left.scope.columns.len());
    for (index, (a, b)) in left.scope.columns.iter().zip(&right.scope.columns).enumerate() {
        let Some(data_type) = types::common(&a.data_type, &b.data_type) else {
            return Err(Diagnostic::at(
                span,
                format!(
                    "column {} of UNION ALL is {} on one side and {} on the other",
                    index + 1,
                    a.data_type.logical,
                    b.data_type.logical
                ),
            ));
        };
        columns.push(out_column(a.name.clone(), data_type));
    }
    for rel in [&mut left, &mut right] {
        let exprs: Vec<Typed> = (0..columns.len())
            .map(|i| pad_char(rel.scope.column(i, span.clone()), &columns[i].data_type.logical))
            .collect();
        let names: Vec<String> = columns.iter().map(|c| c.name.clone()).collect();
        for branch in &mut rel.branches {
            branch.chain.project(exprs.clone(), names.clone());
        }
    }
    left.branches.append(&mut right.branches);
    left.scope = Scope { columns };
    Ok(left)
}

fn rename(rel: &mut Rel, columns: &[ast::Ident], span: &Span) -> Parse<()> {
    if columns.is_empty() {
        return Ok(());
    }
    if columns.len() != rel.scope.columns.len() {
        return Err(Diagnostic::at(
            span.clone(),
            format!("{} names are written for {} columns", columns.len(), rel.scope.columns.len()),
        ));
    }
    for (column, name) in rel.scope.columns.iter_mut().zip(columns) {
        column.name.clone_from(&name.name);
    }
    Ok(())
}

fn requalify(rel: &mut Rel, alias: &ast::Alias, span: &Span) -> Parse<()> {
    rename(rel, &alias.columns, span)?;
    for column in &mut rel.scope.columns {
        column.qualifier = alias.name.as_ref().map(|n| n.name.clone());
        column.path = None;
    }
    Ok(())
}

fn check_query_hint(hint: &Hint) -> Parse<()> {
    let upper = hint.name.name.to_ascii_uppercase();
    if upper == "OPTIONS" {
        return Err(Diagnostic::at(
            hint.span.clone(),
            "the hint OPTIONS stands behind a table's name, not behind SELECT",
        ));
    }
    if JOIN_HINTS.contains(&upper.as_str()) {
        return Err(Diagnostic::unsupported(hint.span.clone(), format!("the hint {upper}"))
            .with_hint("it belongs to a join or an aggregate"));
    }
    Err(Diagnostic::at(hint.name.span.clone(), format!("unknown hint '{}'", hint.name.name))
        .with_nearest(&hint.name.name, JOIN_HINTS.iter().copied().chain(["OPTIONS"])))
}

fn check_no_options(hints: &[Hint], what: &str) -> Parse<()> {
    match hints.first() {
        None => Ok(()),
        Some(hint) => {
            Err(Diagnostic::at(hint.span.clone(), format!("the hint {} does not apply to {what}", hint.name.name)))
        }
    }
}

/// A table's options with those of its hints over them.
pub(crate) fn hinted_options(base: &[TableOption], hints: &[Hint]) -> Parse<Vec<TableOption>> {
    let mut options = base.to_vec();
    for hint in hints {
        if !hint.name.name.eq_ignore_ascii_case("OPTIONS") {
            return Err(Diagnostic::at(hint.name.span.clone(), format!("unknown table hint '{}'", hint.name.name))
                .with_nearest(&hint.name.name, ["OPTIONS"]));
        }
        if let Some(word) = hint.words.first() {
            return Err(Diagnostic::at(
                hint.span.clone(),
                format!("OPTIONS takes 'key' = 'value' pairs, found {word}"),
            ));
        }
        for option in &hint.options {
            options.retain(|o| o.key != option.key);
            options.push(TableOption {
                key: option.key.clone(),
                value: option.value.clone(),
                key_span: option.key_span.clone(),
                value_span: option.value_span.clone(),
            });
        }
    }
    Ok(options)
}

/// Ends a relation: drops what nobody reads and compiles the chains.
pub(crate) fn finish(rel: Rel) -> Parse<Query> {
    let columns: Vec<Column> =
        rel.scope.columns.iter().map(|c| Column::new(c.name.clone(), c.data_type.clone())).collect();
    let mut schema = Schema::new(columns);
    let width = schema.columns.len();
    let single = rel.branches.len() == 1;
    let mut branches = Vec::with_capacity(rel.branches.len());
    for branch in rel.branches {
        let mut builder = branch.chain;
        if single {
            schema.primary_key = key_of(&branch.input, &builder, width);
        }
        // A branch without a projection of its own still gives exactly the result's columns.
        let input_width = branch.input.width();
        let kept = builder.prune(input_width, width);
        let (input, names) = match branch.input {
            RelInput::Scan { table, options, columns, declared } => {
                let declared: Vec<Column> = kept.iter().map(|i| declared[*i].clone()).collect();
                let names = declared.iter().map(|c| c.name.clone()).collect();
                let columns = kept.iter().map(|i| columns[*i].clone()).collect();
                (Input::Scan(Scan { table, options, columns, schema: Schema::new(declared) }), names)
            }
            RelInput::Values(batch) => {
                let picked = batch.project(&kept).map_err(|e| Diagnostic::plain(e.to_string()))?;
                let names = kept.iter().map(|i| format!("$row{i}")).collect();
                (Input::Values(picked), names)
            }
        };
        branches.push(Branch { input, chain: Chain::new(builder.steps, schema.clone(), names) });
    }
    Ok(Query { schema, branches })
}

/// Where the source's primary key is in the result, when all of it is there unchanged.
fn key_of(input: &RelInput, builder: &ChainBuilder, width: usize) -> Vec<usize> {
    let RelInput::Scan { table, columns, .. } = input else { return Vec::new() };
    if table.primary_key.is_empty() || builder.steps.iter().any(|s| matches!(s, Step::Unnest(_))) {
        return Vec::new();
    }
    // Positions among the scan's columns.
    let mut physical = 0;
    let mut key: Vec<Option<usize>> = Vec::new();
    let mut positions: Vec<Option<usize>> = Vec::new();
    for column in &table.columns {
        positions.push(match column.kind {
            ColumnKind::Physical => {
                physical += 1;
                columns.iter().position(|c| *c == ScanColumn::Physical(physical - 1))
            }
            _ => None,
        });
    }
    for k in &table.primary_key {
        key.push(positions.get(*k).copied().flatten());
    }
    for step in &builder.steps {
        if let Step::Project { exprs, .. } = step {
            for place in &mut key {
                *place = place.and_then(|p| exprs.iter().position(|e| matches!(e.node, Node::Column(i) if i == p)));
            }
        }
    }
    let key: Option<Vec<usize>> = key.into_iter().collect();
    key.filter(|k| k.iter().all(|i| *i < width)).unwrap_or_default()
}

impl Rel {
    /// Replaces the columns: `exprs` are over the present scope.
    pub fn project(&mut self, exprs: Vec<Typed>, names: Vec<String>) {
        let columns = exprs.iter().zip(&names).map(|(e, n)| out_column(n.clone(), e.data_type.clone())).collect();
        for branch in &mut self.branches {
            branch.chain.project(exprs.clone(), names.clone());
        }
        self.scope = Scope { columns };
    }

    /// Appends a step that leaves the columns as they are.
    pub fn push(&mut self, step: Step) {
        for branch in &mut self.branches {
            branch.chain.steps.push(step.clone());
        }
    }
}
