//! What a StarRocks knows of its tables, and statements, over the MySQL protocol (text protocol only).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Row, Value};
use starweir_model::{Column, DataType, Error, Result, Schema, TableName};
use tokio::time::{Instant, sleep, timeout};

use crate::client::Client;
use crate::config::ClientConfig;
use crate::ddl::{self, ColumnDefinition, TableDefinition, TableModel};
use crate::types::StarRocksType;

/// A statement may take this long; long work in StarRocks (schema changes) is asynchronous.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(300);
/// How often a schema change is asked about.
const ALTER_POLL: Duration = Duration::from_millis(500);

/// A column as `information_schema.columns` describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumn {
    pub name: String,
    pub data_type: StarRocksType,
    pub nullable: bool,
    /// In the table's key.
    pub key: bool,
    pub default: Option<String>,
    pub comment: String,
    /// `auto_increment`, generation expressions and the like.
    pub extra: String,
}

/// A table: its model, columns in order, and the key's columns in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDescription {
    pub table: TableName,
    pub model: TableModel,
    pub columns: Vec<TableColumn>,
}

impl TableDescription {
    /// Names of the key's columns, in order.
    pub fn key_names(&self) -> Vec<&str> {
        self.columns.iter().filter(|c| c.key).map(|c| c.name.as_str()).collect()
    }

    pub fn column(&self, name: &str) -> Option<&TableColumn> {
        self.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name))
    }

    /// As a Flink table; the primary key only of primary-key tables.
    pub fn schema(&self) -> Schema {
        let columns = self
            .columns
            .iter()
            .map(|c| Column {
                name: c.name.clone(),
                data_type: DataType { logical: c.data_type.flink_type(), nullable: c.nullable && !c.key },
                comment: Some(c.comment.clone()).filter(|c| !c.is_empty()),
            })
            .collect();
        let key = match self.model {
            TableModel::Primary => (0..self.columns.len()).filter(|i| self.columns[*i].key).collect(),
            _ => Vec::new(),
        };
        Schema::new(columns).with_primary_key(key)
    }
}

/// The version of a StarRocks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

impl Version {
    /// From `current_version()`: `3.5.2-abcdef1`, `4.0.0-rc01`, `main-…` (newer than any).
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with("main") {
            return Some(Self { major: u32::MAX, minor: 0, patch: 0 });
        }
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().ok());
        Some(Self { major: numbers.next()??, minor: numbers.next()??, patch: numbers.next().flatten().unwrap_or(0) })
    }

    /// The transaction interface (`/api/transaction/*`) came with 2.4.
    pub fn has_transactions(&self) -> bool {
        (self.major, self.minor) >= (2, 4)
    }
}

/// Rows as text; None is NULL.
pub type TextRows = Vec<Vec<Option<String>>>;

/// A connection to any of the FEs for metadata and statements. One connection is kept between calls.
pub struct Metadata {
    addresses: Vec<(String, u16)>,
    user: String,
    password: String,
    connect_timeout: Duration,
    kept: Mutex<Option<Conn>>,
}

impl Client {
    /// Metadata of the same StarRocks. Errors: no query address is configured.
    pub fn metadata(&self) -> Result<Metadata> {
        Metadata::new(self.config())
    }
}

impl Metadata {
    pub fn new(config: &ClientConfig) -> Result<Self> {
        if config.query_addresses.is_empty() {
            return Err(Error::user("no address for metadata queries is given")
                .with_hint("write jdbc-url = jdbc:mysql://fe1:9030"));
        }
        Ok(Self {
            addresses: config.query_addresses.clone(),
            user: config.user.clone(),
            password: config.password.clone(),
            connect_timeout: config.connect_timeout,
            kept: Mutex::new(None),
        })
    }

    pub(crate) async fn open(&self) -> Result<Conn> {
        let mut last = None;
        for (host, port) in &self.addresses {
            let options: Opts = OptsBuilder::default()
                .ip_or_hostname(host.clone())
                .tcp_port(*port)
                .user(Some(self.user.clone()))
                .pass(Some(self.password.clone()))
                .prefer_socket(false)
                .stmt_cache_size(0)
                // Given here so that the driver does not ask the server for them.
                .max_allowed_packet(Some(16 << 20))
                .wait_timeout(Some(28_800))
                .into();
            let place = format!("{host}:{port}");
            match timeout(self.connect_timeout, Conn::new(options)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(mysql_async::Error::Server(error))) => {
                    return Err(Error::refused(format!("StarRocks at {place} refused the connection"))
                        .with_source(error.to_string())
                        .with_hint("check the user name and the password"));
                }
                Ok(Err(error)) => last = Some((place, error.to_string())),
                Err(_) => last = Some((place, "no answer in time".to_owned())),
            }
        }
        let (place, cause) = last.unwrap_or_default();
        Err(Error::unavailable(format!("StarRocks at {place} cannot be reached")).with_source(cause))
    }

    /// Runs one statement and gives its rows as text. A kept connection that is closed is replaced once when
    /// the statement only reads. Errors of the server are [`ErrorKind::Refused`](starweir_model::ErrorKind).
    pub async fn query(&self, sql: &str) -> Result<TextRows> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let reads = ["select", "show", "desc"]
            .iter()
            .any(|w| sql.trim_start().get(..w.len()).is_some_and(|start| start.eq_ignore_ascii_case(w)));
        if let Some(connection) = kept {
            match self.run(connection, sql).await {
                Err(error) if error.kind.is_retryable() && reads => {}
                result => return result,
            }
        }
        let connection = self.open().await?;
        self.run(connection, sql).await
    }

    async fn run(&self, mut connection: Conn, sql: &str) -> Result<TextRows> {
        let rows = timeout(STATEMENT_TIMEOUT, connection.query::<Row, _>(sql)).await;
        let rows = match rows {
            Ok(Ok(rows)) => rows,
            Ok(Err(mysql_async::Error::Server(error))) => {
                *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
                return Err(Error::refused(format!("StarRocks refused a statement (error {})", error.code))
                    .with_source(error.message));
            }
            Ok(Err(error)) => return Err(Error::unavailable("a statement failed").with_source(error.to_string())),
            Err(_) => return Err(Error::unavailable("a statement was not answered in time")),
        };
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        Ok(rows.into_iter().map(|row| row.unwrap().into_iter().map(text_of).collect()).collect())
    }

    /// Runs a statement whose rows do not matter.
    pub async fn execute(&self, sql: &str) -> Result<()> {
        self.query(sql).await.map(drop)
    }

    /// The server's version.
    pub async fn version(&self) -> Result<Version> {
        let rows = self.query("SELECT current_version()").await?;
        let text = rows.first().and_then(|r| r.first()).cloned().flatten().unwrap_or_default();
        Version::parse(&text)
            .ok_or_else(|| Error::refused(format!("'{text}' is not a version of StarRocks: is this another server?")))
    }

    /// Names of databases, the system's own left out.
    pub async fn databases(&self) -> Result<Vec<String>> {
        let rows = self.query("SHOW DATABASES").await?;
        let system = ["information_schema", "_statistics_", "sys", "mysql"];
        Ok(first_column(rows).into_iter().filter(|n| !system.contains(&n.as_str())).collect())
    }

    pub async fn database_exists(&self, database: &str) -> Result<bool> {
        let sql =
            format!("SELECT SCHEMA_NAME FROM information_schema.schemata WHERE SCHEMA_NAME = {}", ddl::text(database));
        Ok(!self.query(&sql).await?.is_empty())
    }

    /// Names of tables of a database, views left out.
    pub async fn tables(&self, database: &str) -> Result<Vec<String>> {
        let sql = format!(
            "SELECT TABLE_NAME FROM information_schema.tables WHERE TABLE_SCHEMA = {} AND TABLE_TYPE = \"BASE TABLE\"",
            ddl::text(database)
        );
        Ok(first_column(self.query(&sql).await?))
    }

    pub async fn table_exists(&self, table: &TableName) -> Result<bool> {
        let sql = format!(
            "SELECT TABLE_NAME FROM information_schema.tables WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
            ddl::text(&table.database),
            ddl::text(&table.table)
        );
        Ok(!self.query(&sql).await?.is_empty())
    }

    /// The table's model and columns; None when there is no such table.
    pub async fn describe(&self, table: &TableName) -> Result<Option<TableDescription>> {
        let sql = format!(
            "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, COLUMN_SIZE, IS_NULLABLE, COLUMN_KEY, COLUMN_DEFAULT, \
             COLUMN_COMMENT, EXTRA FROM information_schema.columns WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} \
             ORDER BY ORDINAL_POSITION",
            ddl::text(&table.database),
            ddl::text(&table.table)
        );
        let mut model = TableModel::Duplicate;
        let mut columns = Vec::new();
        for row in self.query(&sql).await? {
            let get = |i: usize| row.get(i).cloned().flatten();
            let text = |i: usize| get(i).unwrap_or_default();
            let key = text(5).to_ascii_uppercase();
            match key.as_str() {
                "PRI" => model = TableModel::Primary,
                "UNI" => model = TableModel::Unique,
                "AGG" => model = TableModel::Aggregate,
                _ => {}
            }
            columns.push(TableColumn {
                name: text(0),
                data_type: StarRocksType::from_information_schema(
                    &text(1),
                    &text(2),
                    get(3).and_then(|s| s.parse().ok()),
                ),
                nullable: !text(4).eq_ignore_ascii_case("NO"),
                key: !key.is_empty(),
                default: get(6),
                comment: text(7),
                extra: text(8),
            });
        }
        Ok((!columns.is_empty()).then(|| TableDescription { table: table.clone(), model, columns }))
    }

    /// Makes a database unless it is there.
    pub async fn create_database(&self, name: &str) -> Result<()> {
        self.execute(&ddl::create_database(name, true))
            .await
            .map_err(|e| e.context(format!("database {name} could not be created")))
    }

    /// Makes a table unless it is there.
    pub async fn create_table(&self, definition: &TableDefinition) -> Result<()> {
        self.execute(&definition.create_sql(true)?)
            .await
            .map_err(|e| e.context(format!("table {} could not be created", definition.table)))
    }

    /// Adds columns that are not there yet and waits until the change is done.
    pub async fn add_columns(&self, table: &TableName, columns: &[ColumnDefinition], limit: Duration) -> Result<()> {
        let Some(before) = self.describe(table).await? else {
            return Err(Error::refused(format!("table {table} does not exist")));
        };
        let missing: Vec<_> = columns.iter().filter(|c| before.column(&c.name).is_none()).cloned().collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.alter(table, &ddl::add_columns(table, &missing, limit.as_secs()), limit).await
    }

    /// Drops columns that are still there and waits until the change is done.
    pub async fn drop_columns(&self, table: &TableName, names: &[String], limit: Duration) -> Result<()> {
        let Some(before) = self.describe(table).await? else {
            return Err(Error::refused(format!("table {table} does not exist")));
        };
        let present: Vec<_> = names.iter().filter(|n| before.column(n).is_some()).cloned().collect();
        if present.is_empty() {
            return Ok(());
        }
        self.alter(table, &ddl::drop_columns(table, &present, limit.as_secs()), limit).await
    }

    /// Changes a column's type and waits until the change is done.
    pub async fn modify_column(&self, table: &TableName, column: &ColumnDefinition, limit: Duration) -> Result<()> {
        self.alter(table, &ddl::modify_column(table, column, limit.as_secs()), limit).await
    }

    /// Runs a schema change and waits for its job. With fast schema evolution it is done when the statement
    /// returns, and its job says FINISHED at once.
    async fn alter(&self, table: &TableName, sql: &str, limit: Duration) -> Result<()> {
        let doing = || format!("the schema of table {table} could not be changed");
        self.execute(sql).await.map_err(|e| e.context(doing()))?;
        let since = Instant::now();
        let show = format!(
            "SHOW ALTER TABLE COLUMN FROM {} WHERE TableName = {} ORDER BY JobId DESC LIMIT 1",
            ddl::quoted(&table.database),
            ddl::text(&table.table)
        );
        loop {
            let states = ["PENDING", "WAITING_TXN", "RUNNING", "FINISHED_REWRITING", "FINISHED", "CANCELLED"];
            let rows = self.query(&show).await.map_err(|e| e.context(doing()))?;
            let cells: Vec<String> = rows.into_iter().next().unwrap_or_default().into_iter().flatten().collect();
            match cells.iter().find(|c| states.contains(&c.as_str())).map(String::as_str) {
                None | Some("FINISHED") => return Ok(()),
                Some("CANCELLED") => {
                    return Err(Error::refused(doing()).with_source("the server cancelled the schema change"));
                }
                Some(_) if since.elapsed() >= limit => {
                    return Err(Error::unavailable(doing()).with_source("the schema change is still running"));
                }
                Some(_) => sleep(ALTER_POLL).await,
            }
        }
    }

    /// What `SHOW GRANTS` says, one line per grant. Which of them allow a load is for the reader to decide:
    /// roles and ALL privileges are not resolved here.
    pub async fn grants(&self) -> Result<Vec<String>> {
        let rows = self.query("SHOW GRANTS").await?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().flatten().last()).collect())
    }

    /// Whether the user may insert into a table, as far as grants tell: None when they do not say.
    pub async fn may_insert(&self, table: &TableName) -> Result<Option<bool>> {
        let grants = self.grants().await?;
        let mut roles = false;
        for grant in &grants {
            let upper = grant.to_ascii_uppercase();
            roles |= !upper.contains(" ON ");
            let privileged = ["INSERT", "ALL PRIVILEGES", "GRANT ALL"].iter().any(|p| upper.contains(p));
            let lower = grant.to_ascii_lowercase().replace('`', "");
            let (database, name) = (table.database.to_ascii_lowercase(), table.table.to_ascii_lowercase());
            let place = lower.contains("all tables in all databases")
                || lower.contains(&format!("all tables in database {database} "))
                || lower.contains(&format!("table {database}.{name} "))
                || lower.contains(&format!("{database}.{name}"))
                || lower.contains("*.*");
            if privileged && place {
                return Ok(Some(true));
            }
        }
        Ok(if roles || grants.is_empty() { None } else { Some(false) })
    }
}

fn first_column(rows: TextRows) -> Vec<String> {
    rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
}

fn text_of(value: Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        other => Some(other.as_sql(true).trim_matches('\'').to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("3.5.2-abcdef1") > version("3.5.1"));
        assert!(version("main-1234") > version("9.9.9"));
        assert!(!version("2.3.9").has_transactions() && version("4.0.0-rc01").has_transactions());
        assert_eq!(Version::parse("MariaDB"), None);
    }
}
