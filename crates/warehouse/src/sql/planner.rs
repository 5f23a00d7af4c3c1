//! Queries: tree → plan → batches. Names are resolved against the store, functions are StarRocks'
//! first and DataFusion's second, and types meet as StarRocks lets them meet.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::catalog::{TableFunctionArgs, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DFSchema, Result as DfResult, TableReference, plan_datafusion_err};
use datafusion::datasource::{MemTable, ViewTable, provider_as_source};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    AggregateUDF, Expr, ExprSchemable, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF, binary_expr, lit,
};
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionConfig;
use datafusion::sql::planner::{NullOrdering, ParserOptions, SqlToRel};
use sqlparser::ast;

use super::functions;
use super::provider::WarehouseTable;
use super::rewrite::{Facts, Rewriter};
use crate::catalog::TableDef;
use crate::error::{SqlError, SqlResult};
use crate::store::{Store, Table};
use crate::types::SqlType;
use crate::value::Value;

/// How deep views may refer to views.
const VIEW_DEPTH_MAX: usize = 32;

/// A result: column names as a client sees them, types, batches.
#[derive(Debug, Clone)]
pub struct QueryResult {
    pub names: Vec<String>,
    pub types: Vec<SqlType>,
    pub batches: Vec<RecordBatch>,
}

impl QueryResult {
    /// A result made of values.
    pub fn of(columns: &[(&str, SqlType)], rows: &[Vec<Value>]) -> QueryResult {
        let types: Vec<SqlType> = columns.iter().map(|c| c.1.clone()).collect();
        let arrays: Vec<ArrayRef> = types
            .iter()
            .enumerate()
            .map(|(i, t)| {
                let column: Vec<Value> = rows.iter().map(|r| r.get(i).cloned().unwrap_or(Value::Null)).collect();
                Value::array(&column, t)
            })
            .collect();
        let fields: Vec<Field> = columns.iter().map(|(n, t)| t.field(n, true)).collect();
        let schema: SchemaRef = Arc::new(arrow::datatypes::Schema::new(fields));
        let batches = RecordBatch::try_new(schema, arrays).map(|b| vec![b]).unwrap_or_default();
        QueryResult { names: columns.iter().map(|c| c.0.to_string()).collect(), types, batches }
    }

    /// Text columns.
    pub fn texts(columns: &[&str], rows: &[Vec<Value>]) -> QueryResult {
        let columns: Vec<(&str, SqlType)> = columns.iter().map(|c| (*c, SqlType::STRING)).collect();
        Self::of(&columns, rows)
    }

    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// All rows as values.
    pub fn values(&self) -> Vec<Vec<Value>> {
        let mut out = Vec::with_capacity(self.rows());
        for batch in &self.batches {
            for row in 0..batch.num_rows() {
                out.push(batch.columns().iter().zip(&self.types).map(|(c, t)| Value::get(c, t, row)).collect());
            }
        }
        out
    }
}

/// The query engine: one for the warehouse.
pub struct Planner {
    state: SessionState,
    scalar: HashMap<String, Arc<ScalarUDF>>,
    aggregate: HashMap<String, Arc<AggregateUDF>>,
}

/// What a query is planned in.
pub struct Scope<'a> {
    pub store: &'a Store,
    pub database: Option<String>,
    /// The connection, for temporary tables.
    pub session: u64,
    pub facts: &'a dyn Facts,
    /// Tables only this query has.
    pub extra: HashMap<String, Arc<dyn TableProvider>>,
    /// information_schema and other tables made on demand.
    pub virtual_table: &'a (dyn Fn(&str, &str) -> Option<QueryResult> + Send + Sync),
    pub depth: usize,
}

impl Scope<'_> {
    /// The table a name means: temporary tables of the connection first.
    pub fn resolve(&self, database: Option<&str>, name: &str) -> SqlResult<Arc<Table>> {
        let database = match database.map(str::to_string).or_else(|| self.database.clone()) {
            Some(d) => d,
            None => return Err(SqlError::new(1046, "No database selected")),
        };
        if let Some(t) = self
            .store
            .temporary_tables(Some(self.session))
            .into_iter()
            .find(|t| t.def().name == name && t.def().database == database)
        {
            return Ok(t);
        }
        if self.store.database_id(&database).is_none() {
            return Err(SqlError::unknown_database(&database));
        }
        self.store.table(&database, name).ok_or_else(|| {
            SqlError::new(5502, format!("Getting analyzing error. Detail message: Unknown table '{database}.{name}'."))
        })
    }
}

impl Planner {
    pub fn new(memory_bytes: u64) -> SqlResult<Planner> {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(usize::try_from(memory_bytes).unwrap_or(usize::MAX))))
            .build_arc()?;
        let mut config = SessionConfig::new().with_target_partitions(2).with_batch_size(8192);
        let options = config.options_mut();
        options.sql_parser.enable_ident_normalization = false;
        options.sql_parser.parse_float_as_decimal = true;
        options.sql_parser.map_string_types_to_utf8view = false;
        options.execution.collect_statistics = false;
        let mut planners: Vec<Arc<dyn ExprPlanner>> = vec![Arc::new(StarRocksExpressions)];
        let state =
            SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).with_default_features().build();
        planners.extend(state.expr_planners().iter().cloned());
        let state = SessionStateBuilder::new_from_existing(state).with_expr_planners(planners).build();
        Ok(Planner { state, scalar: functions::scalar_functions(), aggregate: functions::aggregate::functions() })
    }

    /// Plans a query; the result's column names are found from the query's own text.
    pub fn plan(
        &self,
        scope: &Scope<'_>,
        query: &ast::Query,
        params: Vec<Value>,
    ) -> SqlResult<(LogicalPlan, Vec<String>)> {
        let mut query = query.clone();
        let names = output_names(&query);
        super::having::into_filters(&mut query, &|name| {
            self.aggregate.contains_key(name) || self.state.aggregate_functions().contains_key(name)
        });
        super::lateral::check(&query)?;
        Rewriter::new(scope.facts, params).query(&mut query)?;
        unique_items(&mut query.body);
        let provider = Provider { planner: self, scope };
        let plan = SqlToRel::new_with_options(&provider, parser_options()).query_to_plan_with_schema(query)?;
        let plan = super::lateral::resolve(plan)?;
        let names = complete_names(names, &plan);
        Ok((plan, names))
    }

    /// Whether an expression calls an aggregate function.
    pub fn aggregates(&self, e: &ast::Expr) -> bool {
        let found = ast::visit_expressions(e, |e| match e {
            ast::Expr::Function(f) if self.is_aggregate(&f.name.to_string().to_lowercase()) => {
                std::ops::ControlFlow::Break(())
            }
            _ => std::ops::ControlFlow::Continue(()),
        });
        found.is_break()
    }

    fn is_aggregate(&self, name: &str) -> bool {
        self.aggregate.contains_key(name)
            || self.state.aggregate_functions().contains_key(datafusion_name(name)) && !self.scalar.contains_key(name)
    }

    pub async fn query(&self, scope: &Scope<'_>, query: &ast::Query, params: Vec<Value>) -> SqlResult<QueryResult> {
        let (plan, names) = self.plan(scope, query, params)?;
        self.run(plan, names).await
    }

    pub async fn run(&self, plan: LogicalPlan, names: Vec<String>) -> SqlResult<QueryResult> {
        let types: Vec<SqlType> = plan.schema().fields().iter().map(|f| SqlType::of_field(f)).collect();
        let physical = self.state.create_physical_plan(&plan).await?;
        let batches = collect(physical, self.state.task_ctx()).await?;
        Ok(QueryResult { names, types, batches })
    }

    /// Evaluates expressions over one batch whose columns are named as the expressions name them.
    /// The second result says which rows a condition keeps (NULL keeps none).
    pub fn evaluate(
        &self,
        scope: &Scope<'_>,
        columns: &[(String, SqlType, ArrayRef)],
        rows: usize,
        expressions: &[ast::Expr],
    ) -> SqlResult<Vec<(ArrayRef, SqlType)>> {
        let fields: Vec<Field> = columns.iter().map(|(n, t, _)| t.field(&n.to_lowercase(), true)).collect();
        let arrays: Vec<ArrayRef> = columns.iter().map(|c| c.2.clone()).collect();
        let schema: SchemaRef = Arc::new(arrow::datatypes::Schema::new(fields));
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?;
        let provider = Provider { planner: self, scope };
        let sql = SqlToRel::new_with_options(&provider, parser_options());
        let df_schema = DFSchema::try_from(schema)?;
        let mut out = Vec::with_capacity(expressions.len());
        for e in expressions {
            let mut e = e.clone();
            Rewriter::new(scope.facts, Vec::new()).expression(&mut e)?;
            let mut context = datafusion::sql::planner::PlannerContext::new();
            let logical = sql.sql_to_expr(e, &df_schema, &mut context)?;
            let t = type_of(&logical, &df_schema)?;
            let physical = self.state.create_physical_expr(logical, &df_schema)?;
            let array = physical.evaluate(&batch)?.into_array(rows)?;
            out.push((array, t));
        }
        Ok(out)
    }
}

fn parser_options() -> ParserOptions {
    ParserOptions::new()
        .with_enable_ident_normalization(false)
        .with_parse_float_as_decimal(true)
        .with_map_string_types_to_utf8view(false)
        .with_default_null_ordering(NullOrdering::NullsMin)
}

/// Entry points of [`SqlToRel`] differ by name between versions; this is the one place.
trait QueryToPlan {
    fn query_to_plan_with_schema(&self, query: ast::Query) -> DfResult<LogicalPlan>;
}

impl<S: ContextProvider> QueryToPlan for SqlToRel<'_, S> {
    fn query_to_plan_with_schema(&self, query: ast::Query) -> DfResult<LogicalPlan> {
        self.sql_statement_to_plan(ast::Statement::Query(Box::new(query)))
    }
}

/// Names of a query's result: Some for an item whose name the text says, None for `*`.
fn output_names(query: &ast::Query) -> Vec<Option<String>> {
    fn of_body(body: &ast::SetExpr) -> Vec<Option<String>> {
        match body {
            ast::SetExpr::Select(s) => s
                .projection
                .iter()
                .map(|item| match item {
                    ast::SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
                    ast::SelectItem::UnnamedExpr(e) => Some(match e {
                        ast::Expr::Identifier(i) => i.value.clone(),
                        ast::Expr::CompoundIdentifier(parts) => {
                            parts.last().map(|p| p.value.clone()).unwrap_or_default()
                        }
                        other => other.to_string(),
                    }),
                    _ => None,
                })
                .collect(),
            ast::SetExpr::Query(q) => output_names(q),
            ast::SetExpr::SetOperation { left, .. } => of_body(left),
            _ => vec![None],
        }
    }
    of_body(&query.body)
}

/// Metadata of a field: its name as `*` shows it.
const SHOWN: &str = "starweir.shown";

/// Fills in the columns of `*` from the plan.
fn complete_names(names: Vec<Option<String>>, plan: &LogicalPlan) -> Vec<String> {
    let shown = |f: &Field| f.metadata().get(SHOWN).unwrap_or(f.name()).clone();
    let fields: Vec<String> = plan.schema().fields().iter().map(|f| shown(f)).collect();
    let wildcards = names.iter().filter(|n| n.is_none()).count();
    if wildcards == 0 && names.len() == fields.len() {
        return names.into_iter().flatten().collect();
    }
    if wildcards == 1 && fields.len() + 1 >= names.len() {
        let width = fields.len() + 1 - names.len();
        let mut out = Vec::with_capacity(fields.len());
        for name in names {
            match name {
                Some(n) => out.push(n),
                None => {
                    let at = out.len();
                    out.extend(fields[at..(at + width).min(fields.len())].iter().cloned());
                }
            }
        }
        return out;
    }
    fields
}

/// DataFusion wants different names for the items of a SELECT; StarRocks does not.
fn unique_items(body: &mut ast::SetExpr) {
    match body {
        ast::SetExpr::Select(select) => {
            let mut seen: HashMap<String, usize> = HashMap::new();
            for item in &mut select.projection {
                let name = match item {
                    ast::SelectItem::UnnamedExpr(e) => match e {
                        ast::Expr::CompoundIdentifier(parts) => {
                            parts.last().map(|p| p.value.to_lowercase()).unwrap_or_default()
                        }
                        ast::Expr::Identifier(i) => i.value.to_lowercase(),
                        e => e.to_string().to_lowercase(),
                    },
                    ast::SelectItem::ExprWithAlias { alias, .. } => alias.value.to_lowercase(),
                    _ => continue,
                };
                let n = seen.entry(name.clone()).or_insert(0);
                *n += 1;
                if *n > 1 {
                    let alias = ast::Ident::with_quote('`', format!("{name}\u{2}{n}"));
                    *item = match std::mem::replace(
                        item,
                        ast::SelectItem::Wildcard(ast::WildcardAdditionalOptions::default()),
                    ) {
                        ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } => {
                            ast::SelectItem::ExprWithAlias { expr, alias }
                        }
                        other => other,
                    };
                }
            }
        }
        ast::SetExpr::SetOperation { left, right, .. } => {
            unique_items(left);
            unique_items(right);
        }
        ast::SetExpr::Query(q) => unique_items(&mut q.body),
        _ => {}
    }
}

struct Provider<'a> {
    planner: &'a Planner,
    scope: &'a Scope<'a>,
}

/// Names DataFusion has under another name, or whose own meaning differs from StarRocks'.
fn datafusion_name(name: &str) -> &str {
    match name {
        "stddev_samp" => "stddev",
        "std" | "stddev" => "stddev_pop",
        "variance" | "variance_pop" => "var_pop",
        "variance_samp" => "var_samp",
        other => other,
    }
}

impl ContextProvider for Provider<'_> {
    fn get_table_source(&self, name: TableReference) -> DfResult<Arc<dyn TableSource>> {
        let (database, table) = match &name {
            TableReference::Bare { table } => (None, table.to_string()),
            TableReference::Partial { schema, table } => (Some(schema.to_string()), table.to_string()),
            TableReference::Full { schema, table, .. } => (Some(schema.to_string()), table.to_string()),
        };
        if let Some(extra) = self.scope.extra.get(&table) {
            return Ok(provider_as_source(extra.clone()));
        }
        if database.is_none() && table.eq_ignore_ascii_case("dual") {
            return virtual_source(QueryResult::of(&[("dummy", SqlType::TinyInt)], &[vec![Value::int(0)]]));
        }
        let database = database.or_else(|| self.scope.database.clone());
        if let Some(db) = &database
            && (db.eq_ignore_ascii_case("information_schema")
                || db.eq_ignore_ascii_case("sys")
                || db.eq_ignore_ascii_case("_statistics_"))
        {
            return match (self.scope.virtual_table)(&db.to_lowercase(), &table.to_lowercase()) {
                Some(result) => virtual_source(result),
                None => Err(SqlError::new(
                    5502,
                    format!("Getting analyzing error. Detail message: Unknown table '{db}.{table}'."),
                )
                .into()),
            };
        }
        let mut parts = table.split('\u{1}');
        let plain = parts.next().unwrap_or_default().to_string();
        let partitions: Vec<String> = parts.map(str::to_string).collect();
        let found = self.scope.resolve(database.as_deref(), &plain)?;
        let version = found.version();
        if let Some(view) = &version.def.view {
            if self.scope.depth >= VIEW_DEPTH_MAX {
                return Err(SqlError::analysis("views are nested too deep").into());
            }
            let plan = self.view_plan(&version.def, view)?;
            return Ok(provider_as_source(Arc::new(ViewTable::new(plan, None))));
        }
        let provider: Arc<dyn TableProvider> = Arc::new(WarehouseTable::new(found, version.clone()));
        if partitions.is_empty() {
            return Ok(provider_as_source(provider));
        }
        if let [one] = partitions.as_slice()
            && let Some(p) = version.def.partitions.iter().find(|p| p.temporary && p.name.eq_ignore_ascii_case(one))
        {
            let rows = super::partition_change::rows_of_temporary(self.scope.store, &version.def, p)?;
            let version = rows.version();
            return Ok(provider_as_source(Arc::new(WarehouseTable::new(rows, version))));
        }
        let condition = super::partition::selection(&version.def, &partitions)?;
        let plan = datafusion::logical_expr::LogicalPlanBuilder::scan(
            TableReference::bare("t"),
            provider_as_source(provider),
            None,
        )?;
        let schema = plan.schema().as_ref().clone();
        let mut condition = condition;
        Rewriter::new(self.scope.facts, Vec::new()).expression(&mut condition)?;
        let sql = SqlToRel::new_with_options(self, parser_options());
        let e = sql.sql_to_expr(condition, &schema, &mut datafusion::sql::planner::PlannerContext::new())?;
        let plan = plan.filter(e)?.build()?;
        Ok(provider_as_source(Arc::new(ViewTable::new(plan, None))))
    }

    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> DfResult<Arc<dyn TableSource>> {
        let name = name.trim_matches('`').to_lowercase();
        let name = name.as_str();
        if name == "generate_series" || name == "range" {
            return super::series::source(&self.planner.state, args);
        }
        let f = self
            .planner
            .state
            .table_functions()
            .get(name)
            .ok_or_else(|| plan_datafusion_err!("Unknown table function '{name}'"))?;
        let provider = f.create_table_provider_with_args(TableFunctionArgs::new(&args, &self.planner.state))?;
        Ok(provider_as_source(provider))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> DfResult<Arc<dyn TableSource>> {
        let table = Arc::new(datafusion::datasource::cte_worktable::CteWorkTable::new(name, schema));
        Ok(provider_as_source(table))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.planner.state.expr_planners()
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let name = name.to_lowercase();
        if let Some(variable) = name.strip_prefix(functions::variable::PREFIX) {
            return self.scope.facts.nested_variable(variable).map(|v| functions::variable::function(&name, v));
        }
        self.planner.scalar.get(&name).cloned().or_else(|| {
            // What StarRocks calls differently is not taken from DataFusion by accident.
            if self.planner.aggregate.contains_key(&name) {
                return None;
            }
            self.planner.state.scalar_functions().get(&name).cloned().or_else(|| {
                // `unnest` is no function but a form of the planner.
                let known = name == "unnest"
                    || self.get_higher_order_meta(&name).is_some()
                    || self.get_aggregate_meta(&name).is_some()
                    || self.get_window_meta(&name).is_some();
                (!known).then(|| Arc::new(functions::unknown::function(&name)))
            })
        })
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        functions::lambda::function(name)
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        let name = name.to_lowercase();
        self.planner
            .aggregate
            .get(&name)
            .cloned()
            .or_else(|| self.planner.state.aggregate_functions().get(datafusion_name(&name)).cloned())
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.planner.state.window_functions().get(&name.to_lowercase()).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.planner.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.planner.scalar.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.planner.aggregate.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.planner.state.window_functions().keys().cloned().collect()
    }
}

impl Provider<'_> {
    fn view_plan(&self, def: &TableDef, view: &str) -> DfResult<LogicalPlan> {
        let mut query = super::parser::parse_query(view)?;
        Rewriter::new(self.scope.facts, Vec::new()).query(&mut query)?;
        unique_items(&mut query.body);
        let scope = Scope {
            store: self.scope.store,
            database: Some(def.database.clone()),
            session: self.scope.session,
            facts: self.scope.facts,
            extra: HashMap::new(),
            virtual_table: self.scope.virtual_table,
            depth: self.scope.depth + 1,
        };
        let provider = Provider { planner: self.planner, scope: &scope };
        let plan = SqlToRel::new_with_options(&provider, parser_options()).query_to_plan_with_schema(*query)?;
        let plan = super::lateral::resolve(plan)?;
        // The view's own names for the columns.
        let mut items = Vec::new();
        for (i, (column, field)) in def.columns.iter().zip(plan.schema().columns()).enumerate() {
            let _ = i;
            items.push(Expr::Column(field).alias(column.name.to_lowercase()));
        }
        datafusion::logical_expr::LogicalPlanBuilder::from(plan).project(items)?.build()
    }
}

/// A table of rows made on demand, with lower-case column names.
fn virtual_source(result: QueryResult) -> DfResult<Arc<dyn TableSource>> {
    let fields: Vec<Field> = result
        .names
        .iter()
        .zip(&result.types)
        .map(|(name, t)| {
            let field = t.field(&name.to_lowercase(), true);
            let mut metadata = field.metadata().clone();
            metadata.insert(SHOWN.into(), name.clone());
            field.with_metadata(metadata)
        })
        .collect();
    let schema: SchemaRef = Arc::new(arrow::datatypes::Schema::new(fields));
    let batches = result
        .batches
        .into_iter()
        .map(|b| RecordBatch::try_new(schema.clone(), b.columns().to_vec()))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(provider_as_source(Arc::new(MemTable::try_new(schema, vec![batches])?)))
}

/// Operators with StarRocks' types.
#[derive(Debug)]
struct StarRocksExpressions;

fn udf(name: &'static str, args: Vec<Expr>) -> DfResult<Expr> {
    for table in [functions::arithmetic::FUNCTIONS, functions::core::FUNCTIONS, functions::array::FUNCTIONS] {
        if let Some(f) = table.iter().find(|f| f.name == name) {
            return Ok(Arc::new(ScalarUDF::from(functions::Udf::new(*f))).call(args));
        }
    }
    Err(plan_datafusion_err!("no function {name}"))
}

/// A cast to a StarRocks type; a constant is cast at once.
pub fn cast_to(e: Expr, to: &SqlType) -> DfResult<Expr> {
    udf("__cast", vec![e, lit(serde_json::to_string(to).unwrap_or_default())])
}

fn type_of(e: &Expr, schema: &DFSchema) -> DfResult<SqlType> {
    Ok(SqlType::of_field(&e.to_field(schema)?.1))
}

/// The type two sides are compared in; None leaves them as they are.
fn comparison_type(a: &SqlType, b: &SqlType) -> Option<SqlType> {
    use SqlType::*;
    let text = |t: &SqlType| t.is_text();
    match (a, b) {
        (Null, _) | (_, Null) => None,
        (x, y) if text(x) && text(y) => None,
        (x, y) if x == y && !x.is_nested() => None,
        (Json, Json) => None,
        (Json, y) => Some(y.clone()),
        (x, Json) => Some(x.clone()),
        (Date | DateTime, y) | (y, Date | DateTime) if text(y) || y.is_numeric() => Some(DateTime),
        (Date, DateTime) | (DateTime, Date) => Some(DateTime),
        (x, y) if text(x) && y.is_numeric() || text(y) && x.is_numeric() => {
            let n = if text(x) { y } else { x };
            Some(match n {
                Decimal(p, s) => Decimal(*p, *s),
                LargeInt => LargeInt,
                _ => Double,
            })
        }
        // Compared exactly, whatever the number of digits.
        (Decimal(p, s), Decimal(q, t)) => {
            let whole = (p - s).max(q - t);
            Some(Decimal((whole + (*s).max(*t)).min(76), (*s).max(*t)))
        }
        (x, y) if x.is_numeric() && y.is_numeric() => Some(functions::common_two(x, y)),
        (x, y) if x.is_nested() && y.is_nested() => Some(functions::common_two(x, y)),
        _ => None,
    }
}

/// A whole number as written has the smallest type it fits in; the planner makes all BIGINT.
fn narrow(e: Expr) -> Expr {
    use datafusion::common::ScalarValue as S;
    match &e {
        Expr::Literal(S::Int64(Some(n)), None) => {
            let n = *n;
            let small = i8::try_from(n)
                .map(S::from)
                .or_else(|_| i16::try_from(n).map(S::from))
                .or_else(|_| i32::try_from(n).map(S::from));
            small.map_or(e, |s| Expr::Literal(s, None))
        }
        _ => e,
    }
}

fn literal_text(e: &Expr) -> Option<String> {
    match e {
        Expr::Literal(datafusion::common::ScalarValue::Utf8(Some(t)), _) => Some(t.clone()),
        _ => None,
    }
}

/// Both sides of a comparison in one type.
pub fn meet(left: Expr, right: Expr, schema: &DFSchema) -> DfResult<(Expr, Expr)> {
    let (a, b) = (type_of(&left, schema)?, type_of(&right, schema)?);
    // A text constant beside a typed column takes the column's type when it has a value there.
    for (constant, other, other_type, flip) in [(&left, &right, &b, false), (&right, &left, &a, true)] {
        if let Some(text) = literal_text(constant)
            && !other_type.is_text()
            && *other_type != SqlType::Null
            && !other_type.is_nested()
            && literal_text(other).is_none()
            && let Some(v) = Value::Text(text.clone()).cast(other_type)
        {
            let back = v.cast(&SqlType::STRING).and_then(|v| v.as_text());
            let exact = back.as_deref() == Some(text.trim())
                || matches!(other_type, SqlType::DateTime | SqlType::Decimal(..) | SqlType::Double)
                || (*other_type == SqlType::Date
                    && Value::Text(text.clone()).as_datetime().is_some_and(|t| t % crate::time::DAY_US == 0));
            if exact {
                let c = cast_to(constant.clone(), other_type)?;
                return Ok(if flip { (other.clone(), c) } else { (c, other.clone()) });
            }
        }
    }
    match comparison_type(&a, &b) {
        None => Ok((left, right)),
        Some(t) => {
            let l = if a == t { left } else { cast_to(left, &t)? };
            let r = if b == t { right } else { cast_to(right, &t)? };
            Ok((l, r))
        }
    }
}

impl ExprPlanner for StarRocksExpressions {
    fn plan_array_literal(&self, items: Vec<Expr>, _: &DFSchema) -> DfResult<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(udf("__array", items.into_iter().map(narrow).collect())?))
    }

    fn plan_binary_op(&self, e: RawBinaryExpr, schema: &DFSchema) -> DfResult<PlannerResult<RawBinaryExpr>> {
        use ast::BinaryOperator as Op;
        use datafusion::logical_expr::Operator;
        let arithmetic = match e.op {
            Op::Plus => Some("add"),
            Op::Minus => Some("subtract"),
            Op::Multiply => Some("multiply"),
            Op::Divide => Some("divide"),
            Op::Modulo => Some("mod"),
            Op::BitwiseAnd => Some("bitand"),
            Op::BitwiseOr => Some("bitor"),
            Op::BitwiseXor => Some("bitxor"),
            Op::PGBitwiseShiftLeft => Some("bit_shift_left"),
            Op::PGBitwiseShiftRight => Some("bit_shift_right"),
            _ => None,
        };
        if let Some(name) = arithmetic {
            return Ok(PlannerResult::Planned(udf(name, vec![narrow(e.left), narrow(e.right)])?));
        }
        let comparison = match e.op {
            Op::Eq => Some(Operator::Eq),
            Op::NotEq => Some(Operator::NotEq),
            Op::Lt => Some(Operator::Lt),
            Op::LtEq => Some(Operator::LtEq),
            Op::Gt => Some(Operator::Gt),
            Op::GtEq => Some(Operator::GtEq),
            Op::Spaceship => Some(Operator::IsNotDistinctFrom),
            _ => None,
        };
        if let Some(op) = comparison {
            let (l, r) = meet(e.left, e.right, schema)?;
            return Ok(PlannerResult::Planned(binary_expr(l, op, r)));
        }
        if matches!(e.op, Op::And | Op::Or) {
            let (a, b) = (type_of(&e.left, schema)?, type_of(&e.right, schema)?);
            let op = if e.op == Op::And { Operator::And } else { Operator::Or };
            let boolean = |e: Expr, t: SqlType| {
                if t == SqlType::Boolean || t == SqlType::Null { Ok(e) } else { cast_to(e, &SqlType::Boolean) }
            };
            return Ok(PlannerResult::Planned(binary_expr(boolean(e.left, a)?, op, boolean(e.right, b)?)));
        }
        Ok(PlannerResult::Original(e))
    }
}
