//! A connection's session: its database, variables, transaction, and the running of statements.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::Array as _;
use futures::FutureExt as _;
use sqlparser::ast;

use super::functions::variable::UserVariable;
use super::parser::{self, Parsed};
use super::planner::{QueryResult, Scope};
use super::rewrite::{Facts, literal};
use super::statement::*;
use super::{ddl, dml, information_schema, show};
use crate::core::{Core, time_constant};
use crate::error::{SqlError, SqlResult};
use crate::types::SqlType;
use crate::users::{self, Identity};
use crate::value::Value;

/// What `select version()` and the greeting say.
pub const MYSQL_VERSION: &str = "8.0.33";
/// What `select current_version()` says: clients read the numbers.
pub const STARROCKS_VERSION: &str = "3.5.8-starweir";

/// What a statement gave.
#[derive(Debug, Clone)]
pub enum Outcome {
    Rows(QueryResult),
    Done { affected: u64, info: String },
}

impl Outcome {
    pub fn ok() -> Outcome {
        Outcome::Done { affected: 0, info: String::new() }
    }
}

pub struct Session {
    pub id: u64,
    pub core: Arc<Core>,
    pub database: Option<String>,
    pub user: String,
    /// Who the session acts for.
    pub identity: Identity,
    pub variables: HashMap<String, Value>,
    pub user_variables: HashMap<String, UserVariable>,
    /// BEGIN … COMMIT: the transaction's id.
    pub transaction: Option<u64>,
    /// Tables the open transaction has written.
    pub touched: Vec<u64>,
    prepared: HashMap<String, String>,
    pub last_query_id: String,
    /// When the running statement is out of time, and what it is told then.
    deadline: Option<(std::time::Instant, String)>,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(txn) = self.transaction.take()
            && let Err(e) = self.core.store.abort(txn, "the connection was closed")
        {
            tracing::warn!(error = %e.chain(), "cannot give up the transaction of a closed connection");
        }
        for table in self.core.store.temporary_tables(Some(self.id)) {
            if let Err(e) = self.core.store.drop_table(table.id) {
                tracing::warn!(error = %e.chain(), "cannot drop a temporary table");
            }
        }
    }
}

/// What `session_id()` gives for a connection.
pub fn session_uuid(id: u64) -> String {
    uuid::Uuid::from_u64_pair(0x5357, id).to_string()
}

/// What the planner asks of a session, fixed for one statement.
pub struct SessionFacts {
    variables: HashMap<String, Value>,
    user_variables: HashMap<String, UserVariable>,
    database: Option<String>,
    user: String,
    roles: Vec<String>,
    id: u64,
    now_ms: i64,
    last_query_id: String,
}

impl Facts for SessionFacts {
    fn variable(&self, name: &str, user: bool) -> Value {
        let name = name.to_lowercase();
        if user {
            return self.user_variables.get(&name).map_or(Value::Null, |v| Value::get(&v.array, &v.sql_type, 0));
        }
        let name = name.strip_prefix("session.").or_else(|| name.strip_prefix("global.")).unwrap_or(&name);
        self.variables.get(name).cloned().or_else(|| default_variable(name)).unwrap_or(Value::Null)
    }

    fn nested_variable(&self, name: &str) -> Option<UserVariable> {
        self.user_variables.get(name).filter(|v| v.sql_type.is_nested() && v.array.is_valid(0)).cloned()
    }

    fn constant(&self, function: &str, args: &[ast::Expr]) -> Option<ast::Expr> {
        let v = match function {
            "database" | "schema" => self.database.clone().map_or(Value::Null, Value::Text),
            "user" | "current_user" | "session_user" => Value::Text(self.user.clone()),
            "connection_id" => Value::Int(i128::from(self.id)),
            "session_id" => Value::Text(session_uuid(self.id)),
            "version" => Value::text(MYSQL_VERSION),
            "current_version" => Value::text(STARROCKS_VERSION),
            "catalog" => Value::text("default_catalog"),
            "current_role" if self.roles.is_empty() => Value::text("NONE"),
            "current_role" => Value::Text(self.roles.join(", ")),
            "current_warehouse" => Value::text("default_warehouse"),
            "last_query_id" => Value::Text(self.last_query_id.clone()),
            _ => {
                let zone = self.variable("time_zone", false).as_text().unwrap_or_default();
                return time_constant(self.now_ms, &zone, function, args);
            }
        };
        Some(literal(&v))
    }

    fn pipes_as_concat(&self) -> bool {
        self.variable("sql_mode", false).as_text().unwrap_or_default().to_uppercase().contains("PIPES_AS_CONCAT")
    }
}

/// Variables clients ask for, with the values StarRocks has.
pub const VARIABLES: &[(&str, &str)] = &[
    ("autocommit", "1"),
    ("auto_increment_increment", "1"),
    ("character_set_client", "utf8"),
    ("character_set_connection", "utf8"),
    ("character_set_database", "utf8"),
    ("character_set_results", "utf8"),
    ("character_set_server", "utf8"),
    ("collation_connection", "utf8_general_ci"),
    ("collation_database", "utf8_general_ci"),
    ("collation_server", "utf8_general_ci"),
    ("dynamic_overwrite", "0"),
    ("enable_insert_partial_update", "1"),
    ("enable_insert_strict", "1"),
    ("init_connect", ""),
    ("insert_max_filter_ratio", "0"),
    ("insert_timeout", "14400"),
    ("interactive_timeout", "3600"),
    ("language", "/starrocks/share/english/"),
    ("license", "Apache License 2.0"),
    ("lower_case_table_names", "0"),
    ("max_allowed_packet", "33554432"),
    ("net_buffer_length", "16384"),
    ("net_read_timeout", "60"),
    ("net_write_timeout", "60"),
    ("parallel_fragment_exec_instance_num", "1"),
    ("partial_update_mode", "auto"),
    ("performance_schema", "0"),
    ("pipeline_dop", "0"),
    ("query_cache_size", "1048576"),
    ("query_cache_type", "0"),
    ("query_mem_limit", "0"),
    ("query_timeout", "300"),
    ("sql_auto_is_null", "0"),
    ("sql_mode", "ONLY_FULL_GROUP_BY"),
    ("sql_safe_updates", "0"),
    ("sql_select_limit", "9223372036854775807"),
    ("storage_engine", "olap"),
    ("system_time_zone", "UTC"),
    ("time_zone", "UTC"),
    ("transaction_isolation", "REPEATABLE-READ"),
    ("transaction_read_only", "0"),
    ("tx_isolation", "REPEATABLE-READ"),
    ("tx_read_only", "0"),
    ("version", MYSQL_VERSION),
    ("version_comment", "Starweir local warehouse (StarRocks compatible)"),
    ("wait_timeout", "28800"),
];

fn default_variable(name: &str) -> Option<Value> {
    VARIABLES.iter().find(|(n, _)| *n == name).map(|(_, v)| match v.parse::<i64>() {
        Ok(n) => Value::int(n),
        Err(_) => Value::text(*v),
    })
}

impl Session {
    /// A session of the warehouse itself, until it acts for somebody.
    pub fn new(core: Arc<Core>) -> Session {
        let core_globals = core.globals.read().clone();
        let user = core.user.clone();
        Session {
            id: core.next_session(),
            core,
            database: None,
            identity: Identity::internal(&user),
            user,
            variables: core_globals,
            user_variables: HashMap::new(),
            transaction: None,
            touched: Vec::new(),
            prepared: HashMap::new(),
            last_query_id: uuid::Uuid::new_v4().to_string(),
            deadline: None,
        }
    }

    /// From now on the session is this user's.
    pub fn act_for(&mut self, identity: Identity) {
        self.user.clone_from(&identity.name.name);
        self.identity = identity;
    }

    /// COM_RESET_CONNECTION: everything but the connection itself.
    pub fn reset(&mut self) -> SqlResult<()> {
        if let Some(txn) = self.transaction.take() {
            self.core.store.abort(txn, "the connection was reset")?;
        }
        self.variables = self.core.globals.read().clone();
        self.user_variables.clear();
        self.prepared.clear();
        Ok(())
    }

    pub fn facts(&self) -> SessionFacts {
        SessionFacts {
            variables: self.variables.clone(),
            user_variables: self.user_variables.clone(),
            database: self.database.clone(),
            user: self.identity.name.to_string(),
            roles: self.core.users.roles(&self.identity),
            id: self.id,
            now_ms: self.core.store.now_ms(),
            last_query_id: self.last_query_id.clone(),
        }
    }

    pub fn variable(&self, name: &str) -> Value {
        self.variables.get(name).cloned().or_else(|| default_variable(name)).unwrap_or(Value::Null)
    }

    pub fn flag(&self, name: &str) -> bool {
        self.variable(name).as_bool().unwrap_or(false)
    }

    /// Runs `ask` with everything a query is planned in.
    pub async fn query(&self, query: &ast::Query, params: Vec<Value>) -> SqlResult<QueryResult> {
        let facts = self.facts();
        let (plan, names) = {
            let virtual_table = |db: &str, table: &str| information_schema::table(self, db, table);
            let scope = self.scope(&facts, &virtual_table);
            self.core.planner.plan(&scope, query, params)?
        };
        let names = self.original_names(names);
        let result = self.core.planner.run(plan, names).await;
        // A function that blocks its thread is seen to be late when it ends.
        match &self.deadline {
            Some((at, told)) if std::time::Instant::now() >= *at => Err(SqlError::plain(told.clone())),
            _ => self.within_memory(result?),
        }
    }

    /// A result that is larger than `query_mem_limit` allows is an error. Zero means no limit.
    fn within_memory(&self, result: QueryResult) -> SqlResult<QueryResult> {
        let limit = self.variable("query_mem_limit").as_i64().unwrap_or(0).max(0) as usize;
        let used: usize = result.batches.iter().map(arrow::array::RecordBatch::get_array_memory_size).sum();
        if limit > 0 && used > limit {
            return Err(SqlError::plain(format!(
                "Memory of Query {} exceed limit. Used: {used}, Limit: {limit}. Mem usage has exceed the limit of single query, You can change the limit by set session variable query_mem_limit.",
                self.last_query_id
            )));
        }
        Ok(result)
    }

    pub fn scope<'a>(
        &'a self,
        facts: &'a SessionFacts,
        virtual_table: &'a (dyn Fn(&str, &str) -> Option<QueryResult> + Send + Sync),
    ) -> Scope<'a> {
        Scope {
            store: &self.core.store,
            database: self.database.clone(),
            session: self.id,
            facts,
            extra: HashMap::new(),
            virtual_table,
            depth: 0,
        }
    }

    /// Puts the case back into names that planning made lower case.
    fn original_names(&self, names: Vec<String>) -> Vec<String> {
        let Some(db) = &self.database else { return names };
        let mut originals: HashMap<String, String> = HashMap::new();
        if names.iter().any(|n| n.chars().all(|c| !c.is_uppercase())) {
            for table in self.core.store.tables(db) {
                for c in &table.def().columns {
                    if c.name.chars().any(char::is_uppercase) {
                        originals.insert(c.name.to_lowercase(), c.name.clone());
                    }
                }
            }
        }
        names
            .into_iter()
            .map(|n| {
                let plain = n.split('\u{2}').next().unwrap_or_default().to_string();
                originals.get(&plain).cloned().unwrap_or(plain)
            })
            .collect()
    }

    /// Evaluates one expression without columns.
    pub fn constant(&self, e: &ast::Expr) -> SqlResult<Value> {
        let v = self.evaluated(e)?;
        Ok(Value::get(&v.array, &v.sql_type, 0))
    }

    fn evaluated(&self, e: &ast::Expr) -> SqlResult<UserVariable> {
        let facts = self.facts();
        let none = |_: &str, _: &str| None;
        let scope = self.scope(&facts, &none);
        let (array, sql_type) = self.core.planner.evaluate(&scope, &[], 1, std::slice::from_ref(e))?.remove(0);
        Ok(UserVariable { array, sql_type })
    }

    /// The value of a query of one row and column.
    async fn scalar(&self, query: &ast::Query) -> SqlResult<UserVariable> {
        let result = self.query(query, Vec::new()).await?;
        let sql_type = result.types.first().cloned().unwrap_or(SqlType::Null);
        let rows = result.rows();
        if result.types.len() != 1 || rows > 1 {
            return Err(SqlError::analysis("Scalar subquery should output one column and at most one row"));
        }
        let array = result.batches.iter().find(|b| b.num_rows() > 0).map(|b| b.column(0).clone());
        Ok(UserVariable { array: array.unwrap_or_else(|| Value::array(&[Value::Null], &sql_type)), sql_type })
    }

    /// Database and table of a name.
    pub fn split_name(&self, name: &[String]) -> SqlResult<(String, String)> {
        match name {
            [table] => match &self.database {
                Some(db) => Ok((db.clone(), table.clone())),
                None => Err(SqlError::new(1046, "No database selected")),
            },
            [db, table] => Ok((db.clone(), table.clone())),
            [catalog, db, table] if catalog.eq_ignore_ascii_case("default_catalog") => Ok((db.clone(), table.clone())),
            _ => Err(SqlError::unsupported("external catalogs")),
        }
    }

    pub fn table(&self, name: &[String]) -> SqlResult<Arc<crate::store::Table>> {
        let (db, table) = self.split_name(name)?;
        let facts = self.facts();
        let none = |_: &str, _: &str| None;
        self.scope(&facts, &none).resolve(Some(&db), &table)
    }

    /// Runs all statements of a request; the first error ends it.
    pub async fn execute(&mut self, sql: &str, params: Vec<Value>) -> Vec<SqlResult<Outcome>> {
        let sql = match crate::mysql::server::with_params(sql, &params) {
            Ok(sql) => sql,
            Err(e) => return vec![Err(e)],
        };
        let params: Vec<Value> = Vec::new();
        let parsed = match parser::parse(&sql) {
            Ok(p) => p,
            Err(e) => return vec![Err(e)],
        };
        let mut out = Vec::with_capacity(parsed.len());
        for Parsed { statement, text } in parsed {
            let result = match statement {
                Ok(s) => self.guarded(s, &text, params.clone()).await,
                Err(e) => Err(e),
            };
            let result = result
                .map_err(|e| super::place::placed(super::place::ungrouped(e, &text, self.database.as_deref()), &text));
            let failed = result.is_err();
            out.push(result);
            if failed {
                break;
            }
        }
        if out.is_empty() {
            out.push(Ok(Outcome::ok()));
        }
        out
    }

    /// Runs a statement within its time limit. A panic is this statement's error and nobody else's.
    async fn guarded(&mut self, statement: Statement, text: &str, params: Vec<Value>) -> SqlResult<Outcome> {
        let name = match &statement {
            Statement::Query(_) => "query_timeout",
            _ => "insert_timeout",
        };
        let limited = matches!(
            statement,
            Statement::Query(_) | Statement::Insert(_) | Statement::Update { .. } | Statement::Delete { .. }
        ) || matches!(&statement, Statement::CreateTable(t) if t.query.is_some());
        let mut seconds = self.variable(name).as_i64().unwrap_or(300).clamp(1, 259_200) as u64;
        for (k, v) in parser::set_var_hints(text) {
            if k == name {
                seconds = v.parse().unwrap_or(seconds);
            }
        }
        if let Statement::Insert(insert) = &statement {
            let own = insert.properties.iter().find(|(k, _)| k.eq_ignore_ascii_case("timeout"));
            seconds = own.and_then(|(_, v)| v.parse().ok()).unwrap_or(seconds);
        }
        let limit = std::time::Duration::from_secs(if limited { seconds } else { 259_200 });
        let told = format!(
            "Query reached its timeout of {seconds} seconds, please increase the '{name}' session variable and retry"
        );
        self.deadline = Some((std::time::Instant::now() + limit, told.clone()));
        let work = std::panic::AssertUnwindSafe(Box::pin(self.run(statement, text, params))).catch_unwind();
        let result = match tokio::time::timeout(limit, work).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => {
                let what = panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
                    .unwrap_or_default();
                Err(SqlError::plain(format!("internal error of the local warehouse: {what}")))
            }
            Err(_) => Err(SqlError::plain(told)),
        };
        self.deadline = None;
        result
    }

    async fn run(&mut self, statement: Statement, text: &str, params: Vec<Value>) -> SqlResult<Outcome> {
        self.last_query_id = uuid::Uuid::new_v4().to_string();
        let hints = parser::set_var_hints(text);
        let saved: Vec<(String, Option<Value>)> =
            hints.iter().map(|(k, _)| (k.clone(), self.variables.get(k).cloned())).collect();
        for (k, v) in hints {
            self.variables.insert(k, Value::Text(v));
        }
        let result = self.dispatch(statement, text, params).await;
        for (k, v) in saved {
            match v {
                Some(v) => self.variables.insert(k, v),
                None => self.variables.remove(&k),
            };
        }
        result
    }

    async fn dispatch(&mut self, statement: Statement, text: &str, params: Vec<Value>) -> SqlResult<Outcome> {
        users::needs::check(self, &statement)?;
        match statement {
            Statement::Query(q) => {
                self.check_untouched(&q)?;
                check_tracking_logs(&q)?;
                self.query(&q, params).await.map(Outcome::Rows)
            }
            Statement::Explain(inner) => {
                if let Statement::Query(q) = *inner {
                    let facts = self.facts();
                    let virtual_table = |db: &str, table: &str| information_schema::table(self, db, table);
                    let scope = self.scope(&facts, &virtual_table);
                    let (plan, _) = self.core.planner.plan(&scope, &q, params)?;
                    let lines = plan.display_indent().to_string().lines().map(str::to_string).collect();
                    return Ok(Outcome::Rows(crate::core::lines("Explain String", lines)));
                }
                Ok(Outcome::Rows(crate::core::lines("Explain String", vec!["PLAN FRAGMENT 0".into()])))
            }
            Statement::Insert(i) => {
                if let InsertSource::Query(q) = &i.source {
                    self.check_untouched(q)?;
                }
                dml::insert(self, *i, params).await
            }
            Statement::Update { name, alias, assignments, from, selection, with } => {
                dml::update(self, &name, alias, assignments, from, selection, with, params).await
            }
            Statement::Delete { name, alias, using, selection, partitions, with } => {
                dml::delete(self, &name, alias, using, selection, partitions, with, params).await
            }
            Statement::CreateTable(t) => ddl::create_table(self, *t).await,
            Statement::CreateTableLike { name, like, if_not_exists, temporary, properties } => {
                ddl::create_like(self, &name, &like, if_not_exists, temporary, properties)
            }
            Statement::CreateView { name, columns, query, or_replace, if_not_exists, comment } => {
                ddl::create_view(self, &name, columns, &query, or_replace, if_not_exists, comment)
            }
            Statement::AlterView { name, columns, query } => ddl::alter_view(self, &name, columns, &query),
            Statement::AlterTable { name, clauses } => ddl::alter_table(self, &name, clauses).await,
            Statement::Truncate { name, partitions } => ddl::truncate(self, &name, partitions).await,
            Statement::Show(s) => show::show(self, s).map(Outcome::Rows),
            Statement::Describe { name } => show::describe(self, &name).map(Outcome::Rows),
            Statement::CreateDatabase { .. }
            | Statement::DropDatabase { .. }
            | Statement::DropTable { .. }
            | Statement::DropView { .. } => ddl::simple(self, statement),
            Statement::Use(name) => {
                self.use_database(&name)?;
                Ok(Outcome::ok())
            }
            Statement::Set(items) => {
                for (name, e) in items {
                    let lower = name.to_lowercase();
                    let variable = match &e {
                        ast::Expr::Identifier(i) if !i.value.starts_with('@') => {
                            let sql_type = SqlType::STRING;
                            UserVariable { array: Value::array(&[Value::Text(i.value.clone())], &sql_type), sql_type }
                        }
                        ast::Expr::Subquery(q) => self.scalar(q).await?,
                        e => self.evaluated(e)?,
                    };
                    let value = if lower.starts_with('@') && !lower.starts_with("@@") {
                        Value::Null
                    } else {
                        Value::get(&variable.array, &variable.sql_type, 0)
                    };
                    match lower.strip_prefix("@@") {
                        Some(v) => {
                            let value = on_off(value);
                            let name = match v.strip_prefix("global.") {
                                Some(global) => {
                                    self.core.globals.write().insert(global.to_string(), value.clone());
                                    global
                                }
                                None => v.trim_start_matches("session."),
                            };
                            self.variables.insert(name.to_string(), value);
                        }
                        None => match lower.strip_prefix('@') {
                            Some(v) => {
                                self.user_variables.insert(v.to_string(), variable);
                            }
                            None => {
                                self.variables.insert(lower, on_off(value));
                            }
                        },
                    }
                }
                Ok(Outcome::ok())
            }
            Statement::Begin => {
                if self.transaction.is_none() {
                    let Some(db) = self.database.clone() else {
                        // Nothing is written outside of a database; the transaction begins with the first write.
                        return Ok(Outcome::ok());
                    };
                    dml::begin(self, &db, None)?;
                }
                let id = self.transaction.unwrap_or(0);
                let label = self.core.store.txn(id).map(|t| t.label).unwrap_or_default();
                Ok(Outcome::Done {
                    affected: 0,
                    info: format!("{{'label':'{label}', 'status':'PREPARE', 'txnId':'{id}'}}"),
                })
            }
            Statement::Commit => dml::commit(self).await,
            Statement::Rollback => {
                self.touched.clear();
                match self.transaction.take() {
                    Some(id) => {
                        let label = self.core.store.txn(id).map(|t| t.label).unwrap_or_default();
                        self.core.store.abort(id, "rollback")?;
                        Ok(Outcome::Done {
                            affected: 0,
                            info: format!("{{'label':'{label}', 'status':'ABORTED', 'txnId':'{id}'}}"),
                        })
                    }
                    None => Ok(Outcome::ok()),
                }
            }
            Statement::Prepare { name, sql } => {
                self.prepared.insert(name.to_lowercase(), sql);
                Ok(Outcome::ok())
            }
            Statement::Execute { name, using } => {
                let sql = self
                    .prepared
                    .get(&name.to_lowercase())
                    .cloned()
                    .ok_or_else(|| SqlError::analysis(format!("prepared statement '{name}' is not found")))?;
                let values = using
                    .iter()
                    .map(|u| {
                        self.user_variables
                            .get(&u.trim_start_matches('@').to_lowercase())
                            .map_or(Value::Null, |v| Value::get(&v.array, &v.sql_type, 0))
                    })
                    .collect();
                Box::pin(self.execute(&sql, values)).await.pop().unwrap_or_else(|| Ok(Outcome::ok()))
            }
            Statement::Deallocate { name } => {
                self.prepared.remove(&name.to_lowercase());
                Ok(Outcome::ok())
            }
            Statement::SetFrontendConfig(values) => {
                for (name, value) in values {
                    self.core.set_frontend_config(&name, &value);
                }
                Ok(Outcome::ok())
            }
            Statement::User(s) => users::run::run(self, *s),
            Statement::Nothing => Ok(Outcome::ok()),
            Statement::SubmitTask(text) => {
                let tables = self.core.store.temporary_tables(Some(self.id));
                if tables.iter().any(|t| ddl::mentions(&text, &t.def().name)) {
                    return Err(SqlError::analysis("Cannot submit task based on temporary table"));
                }
                Err(SqlError::unsupported("SUBMIT"))
            }
            Statement::Unsupported(what) => {
                let _ = text;
                Err(SqlError::unsupported(what))
            }
        }
    }

    /// A transaction does not read what it has written itself.
    fn check_untouched(&self, query: &ast::Query) -> SqlResult<()> {
        if self.transaction.is_none() || self.touched.is_empty() {
            return Ok(());
        }
        let mut found = None;
        let _ = ast::visit_relations(query, |name| {
            let parts: Vec<String> = name.0.iter().map(|p| p.to_string().replace('`', "")).collect();
            if let Ok(table) = self.table(&parts)
                && self.touched.contains(&table.id)
            {
                found = Some(table.def().name.clone());
            }
            std::ops::ControlFlow::<()>::Continue(())
        });
        match found {
            Some(name) => Err(SqlError::new(
                5307,
                format!(
                    "Getting analyzing error. Detail message: SELECT cannot read table '{name}' modified earlier in the same transaction."
                ),
            )),
            None => Ok(()),
        }
    }

    /// Goes into a database; it may be named with its catalog.
    pub fn use_database(&mut self, name: &str) -> SqlResult<()> {
        let name = name.strip_prefix("default_catalog.").unwrap_or(name);
        if self.core.store.database_id(name).is_none()
            && !name.eq_ignore_ascii_case("information_schema")
            && !name.eq_ignore_ascii_case("sys")
        {
            return Err(SqlError::unknown_database(name));
        }
        users::needs::check_database(self, name)?;
        self.database = Some(name.to_string());
        Ok(())
    }
}

/// Tracking logs are read one load at a time.
fn check_tracking_logs(query: &ast::Query) -> SqlResult<()> {
    let text = query.to_string().to_lowercase();
    let reads = text.contains("information_schema.load_tracking_logs");
    let says = |column: &str| {
        text.split(column).skip(1).any(|rest| rest.trim_start_matches('`').trim_start().starts_with('='))
    };
    if reads && !says("label") && !says("job_id") {
        return Err(SqlError::plain("load_tracking_logs must specify label or job_id"));
    }
    Ok(())
}

fn on_off(v: Value) -> Value {
    match &v {
        Value::Text(t) if t.eq_ignore_ascii_case("on") || t.eq_ignore_ascii_case("true") => Value::int(1),
        Value::Text(t) if t.eq_ignore_ascii_case("off") || t.eq_ignore_ascii_case("false") => Value::int(0),
        Value::Bool(b) => Value::int(i64::from(*b)),
        _ => v,
    }
}
