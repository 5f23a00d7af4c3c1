//! A rule compiled for one table's schema.

use starweir_model::{Error, Result, RowChange, TableColumn, TableId, TableSchema, Value};
use starweir_sql::ast::ExprKind;
use starweir_sql::with_room;

use super::bind::{Output, Scope};
use super::cast;
use super::node::{Frame, Node};
use super::projection::{Item, Rule, mentioned};
use super::transformer::Compiler;
use super::types;
use crate::print;

/// Rules that nest deeper than this are evaluated on a larger stack.
const SHALLOW: usize = 64;

/// Where a column of the output comes from.
#[derive(Debug, Clone)]
pub(super) enum From {
    /// A source column, under its own or another name.
    Source { name: String, index: usize },
    /// An expression, with its texts for messages.
    Computed { node: Box<Node>, text: Box<Texts> },
}

/// What messages say about an expression.
#[derive(Debug, Clone)]
pub(super) struct Texts {
    sql: String,
    java: String,
    names: String,
}

/// A column of the output.
#[derive(Debug, Clone)]
pub(super) struct Projected {
    pub column: TableColumn,
    pub from: From,
}

#[derive(Debug)]
struct Filter {
    node: Node,
    text: Texts,
    /// Whether it looks at what the projection computes.
    after_projection: bool,
}

/// A table of the pipeline with its rule.
#[derive(Debug)]
pub(super) struct Table {
    /// The source's schema.
    pub before: TableSchema,
    pub after: TableSchema,
    pub projected: Vec<Projected>,
    /// The source's schema as far as the rule mentions it, with the rule's keys; for messages.
    pub mentioned: TableSchema,
    /// What is wrong with the filter is told with the first change.
    filter: Option<std::result::Result<Filter, String>>,
}

impl Table {
    /// # Errors
    /// When the rule mentions columns there are not, or functions and types that do not fit.
    pub fn compile(compiler: &Compiler<'_>, rule: &Rule, id: &TableId, before: TableSchema) -> Result<Self> {
        with_room(rule.depth, || Self::compile_here(compiler, rule, id, before))
    }

    fn compile_here(compiler: &Compiler<'_>, rule: &Rule, id: &TableId, before: TableSchema) -> Result<Self> {
        let mentioned = pre_schema(rule, &before);
        let event = || format!("CreateTableEvent{{tableId={id}, schema={}}}", print::table_schema(&mentioned));
        let projected = project(compiler, rule, &before).map_err(|e| failed(e, &event(), id, None))?;
        let after = after(rule, &before, &mentioned, &projected);
        let keyed = with_keys(after.clone());
        let after = keyed.map_err(|e| failed(e, &event(), id, Some((&mentioned, &after))))?;
        let filter = rule.filter.is_some().then(|| filter(compiler, rule, &before, &projected));
        Ok(Self { before, after, projected, mentioned, filter })
    }

    /// The projected row, or None when the filter does not let it through.
    pub fn image(&self, id: &TableId, rule: &Rule, frame: &Frame<'_>) -> Result<Option<Vec<Value>>> {
        if rule.depth <= SHALLOW {
            return self.image_here(id, rule, frame);
        }
        with_room(rule.depth, || self.image_here(id, rule, frame))
    }

    fn image_here(&self, id: &TableId, rule: &Rule, frame: &Frame<'_>) -> Result<Option<Vec<Value>>> {
        let filter = match &self.filter {
            None => None,
            Some(Ok(filter)) => Some(filter),
            Some(Err(message)) => return Err(Error::user(message.clone())),
        };
        let passes = |filter: &Filter, frame: &Frame<'_>| {
            filter.node.passes(frame).map_err(|e| {
                e.context(format!(
                    "Failed to evaluate filtering expression for table `{id}`.\n\tOriginal expression: {}\n\t\
                     Compiled expression: {}\n\tColumn name map: {{{}}}",
                    rule.filter_text, filter.text.java, filter.text.names
                ))
            })
        };
        if let Some(filter) = filter.filter(|f| !f.after_projection)
            && !passes(filter, frame)?
        {
            return Ok(None);
        }
        let mut row = Vec::with_capacity(self.projected.len());
        for item in &self.projected {
            row.push(match &item.from {
                From::Source { index, .. } => frame.source.get(*index).cloned().unwrap_or(Value::Null),
                From::Computed { node, text } => computed(node, item, frame).map_err(|e| {
                    e.context(format!(
                        "Failed to evaluate projection expression `{}` for column `{}` in table `{id}`.\n\t\
                         Compiled expression: {}\n\tColumn name map: {{{}}}",
                        text.sql, item.column.name, text.java, text.names
                    ))
                })?,
            });
        }
        if let Some(filter) = filter.filter(|f| f.after_projection) {
            let frame = Frame { projected: &row, ..*frame };
            if !passes(filter, &frame)? {
                return Ok(None);
            }
        }
        Ok(Some(row))
    }

    /// The error of a change that could not be transformed.
    pub fn change_failed(&self, error: Error, id: &TableId, change: &RowChange) -> Error {
        let indices: Vec<Option<usize>> =
            self.mentioned.columns.iter().map(|c| self.before.index_of(&c.name)).collect();
        let image = |row: &Option<Vec<Value>>| match row {
            None => "null".to_owned(),
            Some(row) => {
                let fields: Vec<_> = self
                    .mentioned
                    .columns
                    .iter()
                    .zip(&indices)
                    .map(|(column, index)| {
                        let value = index.and_then(|i| row.get(i)).unwrap_or(&Value::Null);
                        let text = print::value(value, Some(&column.data_type));
                        format!("{}: {} -> {}", column.name, column.data_type, super::errors::private(&text))
                    })
                    .collect();
                format!("{{{}}}", fields.join(", "))
            }
        };
        let op = match change.op {
            starweir_model::ChangeOp::Insert => "INSERT",
            starweir_model::ChangeOp::Update => "UPDATE",
            starweir_model::ChangeOp::Delete => "DELETE",
            starweir_model::ChangeOp::Replace => "REPLACE",
        };
        let meta: Vec<_> = change.meta.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let meta = if meta.is_empty() { "()".to_owned() } else { format!("({{{}}})", meta.join(", ")) };
        let event = format!(
            "DataChangeEvent{{tableId={id}, before={}, after={}, op={op}, meta={meta}}}",
            image(&change.before),
            image(&change.after)
        );
        failed(error, &event, id, Some((&self.mentioned, &self.after)))
    }

    /// Columns of the output that are this source column, by their names there.
    pub fn names_of<'t>(&'t self, source: &'t str) -> impl Iterator<Item = &'t str> {
        self.projected.iter().filter_map(move |p| match &p.from {
            From::Source { name, .. } if name == source => Some(p.column.name.as_str()),
            _ => None,
        })
    }
}

fn computed(node: &Node, item: &Projected, frame: &Frame<'_>) -> Result<Value> {
    let value = node.eval(frame)?.into_owned();
    cast::fit(value, &item.column.data_type, frame.env.zone)
}

/// Upstream's message about an event that could not be transformed.
pub(super) fn failed(cause: Error, event: &str, id: &TableId, schemas: Option<(&TableSchema, &TableSchema)>) -> Error {
    let unknown = || "(Unknown)".to_owned();
    let (from, to) = match schemas {
        Some((from, to)) => (print::table_schema(from), print::table_schema(to)),
        None => (unknown(), unknown()),
    };
    cause.context(format!(
        "Failed to post-transform with\n\t{event}\nfor table\n\t{id}\nfrom schema\n\t{from}\nto schema\n\t{to}."
    ))
}

fn project(compiler: &Compiler<'_>, rule: &Rule, before: &TableSchema) -> Result<Vec<Projected>> {
    let mut projected: Vec<Projected> = Vec::new();
    // Of columns with one name the later takes the earlier's place.
    let mut add = |item: Projected| match projected.iter_mut().find(|p| p.column.name == item.column.name) {
        Some(known) => *known = item,
        None => projected.push(item),
    };
    let all = [Item::Star];
    for item in rule.projection.as_deref().unwrap_or(&all) {
        match item {
            Item::Star => {
                for (index, column) in before.columns.iter().enumerate() {
                    add(forwarded(column.clone(), &column.name, index));
                }
            }
            Item::Column(name) => add(column(compiler, before, name, name)?),
            Item::Named { expr, name } => match &expr.kind {
                ExprKind::Name(source) if source.parts.len() == 1 || source.parts[0].name == super::bind::TABLE => {
                    add(column(compiler, before, source.last(), name)?);
                }
                kind => {
                    let scope = compiler.scope(&before.columns, &[]);
                    let bound = scope.bind(expr)?;
                    let mut of = types::as_column(&bound.of);
                    if let ExprKind::Call(call) = kind
                        && call.name.last().eq_ignore_ascii_case("IFNULL")
                    {
                        // The one function whose result is known not to be NULL.
                        of.nullable = bound.of.nullable;
                    }
                    let text = texts(&bound.text, &scope);
                    let from = From::Computed { node: Box::new(bound.node), text: Box::new(text) };
                    add(Projected { column: TableColumn::new(name, of), from });
                }
            },
        }
    }
    Ok(projected)
}

fn texts(text: &super::unparse::Text, scope: &Scope<'_>) -> Texts {
    let names = scope.names.borrow();
    let names: Vec<_> = names.iter().enumerate().map(|(i, name)| format!("${i} -> {name}")).collect();
    Texts { sql: text.sql.clone(), java: text.java.clone(), names: names.join(", ") }
}

fn forwarded(column: TableColumn, source: &str, index: usize) -> Projected {
    Projected { column, from: From::Source { name: source.to_owned(), index } }
}

/// A source column, or metadata, under a name.
fn column(compiler: &Compiler<'_>, before: &TableSchema, source: &str, name: &str) -> Result<Projected> {
    if let Some(index) = before.index_of(source) {
        let column = TableColumn { name: name.to_owned(), ..before.columns[index].clone() };
        return Ok(forwarded(column, source, index));
    }
    let scope = compiler.scope(&before.columns, &[]);
    let expr = starweir_sql::ast::Expr::new(
        ExprKind::Name(starweir_sql::ast::Name {
            parts: vec![starweir_sql::ast::Ident { name: source.to_owned(), quoted: true, span: 0..0 }],
        }),
        0..0,
    );
    let bound = scope.bind(&expr)?;
    let text = Texts { sql: source.to_owned(), java: "$0".to_owned(), names: format!("$0 -> {source}") };
    // Metadata is never NULL.
    let column = TableColumn::new(name, bound.of.with_nullable(false));
    Ok(Projected { column, from: From::Computed { node: Box::new(bound.node), text: Box::new(text) } })
}

/// The source's schema with only the columns the rule mentions, and with the rule's keys and options.
fn pre_schema(rule: &Rule, before: &TableSchema) -> TableSchema {
    let mut schema = before.clone();
    if !rule.has_star() {
        let mut names = Vec::new();
        for item in rule.projection.iter().flatten() {
            match item {
                Item::Star => {}
                Item::Column(name) => names.push(name.clone()),
                Item::Named { expr, .. } => mentioned(expr, &mut names),
            }
        }
        if let Some(filter) = &rule.filter {
            mentioned(filter, &mut names);
        }
        schema.columns.retain(|c| names.contains(&c.name));
    }
    if !rule.primary_keys.is_empty() {
        schema.primary_keys.clone_from(&rule.primary_keys);
    }
    if !rule.partition_keys.is_empty() {
        schema.partition_keys.clone_from(&rule.partition_keys);
    }
    if !rule.options.is_empty() {
        schema.options.clone_from(&rule.options);
    }
    schema
}

fn after(rule: &Rule, before: &TableSchema, mentioned: &TableSchema, projected: &[Projected]) -> TableSchema {
    // A source's key goes on under the name its column has in the output.
    let renamed = |key: &String| {
        let kept = projected.iter().any(|p| p.column.name == *key);
        let alias = projected.iter().find(|p| matches!(&p.from, From::Source { name, .. } if name == key));
        match alias {
            Some(alias) if !kept => alias.column.name.clone(),
            _ => key.clone(),
        }
    };
    let primary_keys = if rule.primary_keys.is_empty() {
        before.primary_keys.iter().map(renamed).collect()
    } else {
        rule.primary_keys.clone()
    };
    TableSchema {
        columns: projected.iter().map(|p| p.column.clone()).collect(),
        primary_keys,
        partition_keys: mentioned.partition_keys.clone(),
        options: mentioned.options.clone(),
        comment: before.comment.clone(),
    }
}

/// Key columns are NOT NULL.
fn with_keys(mut schema: TableSchema) -> Result<TableSchema> {
    for key in &schema.primary_keys {
        match schema.columns.iter_mut().find(|c| c.name == *key) {
            Some(column) => column.data_type.nullable = false,
            None => {
                return Err(Error::user(format!("Unable to find column \"{key}\" which is defined as primary key")));
            }
        }
    }
    Ok(schema)
}

fn filter(
    compiler: &Compiler<'_>,
    rule: &Rule,
    before: &TableSchema,
    projected: &[Projected],
) -> std::result::Result<Filter, String> {
    let Some(expr) = &rule.filter else { return Err("there is no filter".to_owned()) };
    let outputs: Vec<Output> = projected
        .iter()
        .map(|p| Output {
            name: p.column.name.clone(),
            of: compiler.types.of_column(&p.column.data_type),
            computed: !matches!(&p.from, From::Source { name, .. } if *name == p.column.name),
        })
        .collect();
    let mut scope = compiler.scope(&before.columns, &outputs);
    scope.filter = true;
    let bound = scope.bind(expr).and_then(|bound| scope.as_boolean(bound)).map_err(|e| e.chain())?;
    let mut names = Vec::new();
    mentioned(expr, &mut names);
    let after_projection = outputs.iter().any(|o| o.computed && names.contains(&o.name));
    Ok(Filter { node: bound.node, text: texts(&bound.text, &scope), after_projection })
}

/// Types of computed columns stay what they were announced as; their values follow.
pub(super) fn keep_announced(table: &mut Table, announced: &Table) {
    for item in &mut table.projected {
        if let From::Computed { .. } = item.from
            && let Some(known) = announced.projected.iter().find(|p| p.column.name == item.column.name)
            && matches!(known.from, From::Computed { .. })
        {
            item.column.data_type.logical = known.column.data_type.logical.clone();
        }
    }
    for column in &mut table.after.columns {
        if let Some(item) = table.projected.iter().find(|p| p.column.name == column.name) {
            column.data_type.logical = item.column.data_type.logical.clone();
        }
    }
}
