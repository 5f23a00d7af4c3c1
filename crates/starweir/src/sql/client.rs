//! One connection of the shell: statements in, printed results out.

use std::io::Write;
use std::time::Duration;

use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts, Value};
use starweir_model::{Error, Result};

use super::output::{Column, Format, Kind, Printer};

/// How long a connection may take to open.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long ending a statement may take.
const KILL_LIMIT: Duration = Duration::from_secs(2);
/// Character set of bytes that are no text.
const BINARY: u16 = 63;

/// Where and as whom to connect.
#[derive(Clone)]
pub struct Target {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub tls: Option<SslOpts>,
}

/// Why a statement gave nothing.
pub enum Failure {
    /// The server said no: code and sentence.
    Statement { code: u16, message: String },
    /// The server is gone.
    Connection(String),
    /// Standard output is gone.
    Output(std::io::Error),
}

pub struct Client {
    target: Target,
    connection: Conn,
    pub database: Option<String>,
}

/// What one result was, for the line about it.
pub enum Told {
    Rows(u64),
    Affected { rows: u64, info: String },
}

impl Client {
    /// # Errors
    /// `Refused` when the server lets nobody in like this, `Unavailable` when there is none.
    pub async fn connect(target: Target, database: Option<String>) -> Result<Client> {
        let connection = open(&target, database.as_deref()).await?;
        Ok(Client { target, connection, database })
    }

    /// Opens the connection again, in the same database.
    pub async fn reconnect(&mut self) -> Result<()> {
        self.connection = open(&self.target, self.database.as_deref()).await?;
        Ok(())
    }

    /// Runs a statement and prints what it gives.
    pub async fn run(
        &mut self,
        sql: &str,
        format: Format,
        out: &mut impl Write,
    ) -> std::result::Result<Vec<Told>, Failure> {
        let mut told = Vec::new();
        let mut results = self.connection.query_iter(sql).await.map_err(failure)?;
        loop {
            match results.columns() {
                Some(columns) if !columns.is_empty() => {
                    let columns: Vec<Column> = columns.iter().map(column).collect();
                    let mut printer = Printer::new(out, format, &columns).map_err(Failure::Output)?;
                    while let Some(row) = results.next().await.map_err(failure)? {
                        printer.row(row.unwrap().into_iter().map(bytes).collect()).map_err(Failure::Output)?;
                    }
                    told.push(Told::Rows(printer.finish().map_err(Failure::Output)?));
                }
                _ => {
                    told.push(Told::Affected { rows: results.affected_rows(), info: results.info().into_owned() });
                    // Moves on to the next result.
                    results.next().await.map_err(failure)?;
                }
            }
            if results.is_empty() {
                break;
            }
        }
        drop(results);
        if sql.trim_start().get(..3).is_some_and(|w| w.eq_ignore_ascii_case("use")) {
            self.database = self.texts("SELECT DATABASE()").await.ok().and_then(|r| r.into_iter().flatten().next());
        }
        Ok(told)
    }

    /// All cells of a query that are not NULL, row by row.
    pub async fn texts(&mut self, sql: &str) -> std::result::Result<Vec<Vec<String>>, Failure> {
        let rows: Vec<mysql_async::Row> = self.connection.query(sql).await.map_err(failure)?;
        let text = |v| bytes(v).map(|b| String::from_utf8_lossy(&b).into_owned());
        Ok(rows.into_iter().map(|r| r.unwrap().into_iter().filter_map(text).collect()).collect())
    }

    /// Asks the server to end what this connection runs, from a connection of its own.
    pub async fn kill(&self) {
        let sql = format!("KILL QUERY {}", self.connection.id());
        // A busy server may be late; the shell does not wait for it.
        let _ = tokio::time::timeout(KILL_LIMIT, async {
            if let Ok(mut other) = open(&self.target, None).await {
                let _ = other.query_drop(sql).await;
                let _ = other.disconnect().await;
            }
        })
        .await;
    }

    pub async fn close(self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.connection.disconnect()).await;
    }
}

async fn open(target: &Target, database: Option<&str>) -> Result<Conn> {
    let options: Opts = OptsBuilder::default()
        .ip_or_hostname(target.host.clone())
        .tcp_port(target.port)
        .user(Some(target.user.clone()))
        .pass((!target.password.is_empty()).then(|| target.password.clone()))
        .db_name(database)
        .ssl_opts(target.tls.clone())
        .prefer_socket(false)
        .stmt_cache_size(0)
        // Given here so that the driver does not ask the server for them.
        .max_allowed_packet(Some(64 << 20))
        .wait_timeout(Some(28_800))
        .into();
    let place = format!("{}:{}", target.host, target.port);
    match tokio::time::timeout(CONNECT_LIMIT, Conn::new(options)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(mysql_async::Error::Server(e))) => {
            Err(Error::refused(format!("StarRocks at {place} refused the connection"))
                .with_source(format!("{} (code {})", e.message, e.code)))
        }
        Ok(Err(e)) => {
            Err(Error::unavailable(format!("StarRocks at {place} cannot be reached")).with_source(e.to_string()))
        }
        Err(_) => {
            Err(Error::unavailable(format!("StarRocks at {place} cannot be reached")).with_source("no answer in time"))
        }
    }
}

fn failure(e: mysql_async::Error) -> Failure {
    match e {
        mysql_async::Error::Server(e) => Failure::Statement { code: e.code, message: e.message },
        other => Failure::Connection(other.to_string()),
    }
}

fn column(c: &mysql_async::Column) -> Column {
    use ColumnType::*;
    let kind = match c.column_type() {
        MYSQL_TYPE_TINY
        | MYSQL_TYPE_SHORT
        | MYSQL_TYPE_INT24
        | MYSQL_TYPE_LONG
        | MYSQL_TYPE_LONGLONG
        | MYSQL_TYPE_FLOAT
        | MYSQL_TYPE_DOUBLE
        | MYSQL_TYPE_DECIMAL
        | MYSQL_TYPE_NEWDECIMAL => Kind::Number,
        MYSQL_TYPE_BLOB | MYSQL_TYPE_TINY_BLOB | MYSQL_TYPE_MEDIUM_BLOB | MYSQL_TYPE_LONG_BLOB
            if c.character_set() == BINARY && c.flags().contains(ColumnFlags::BINARY_FLAG) =>
        {
            Kind::Bytes
        }
        _ => Kind::Text,
    };
    Column { name: c.name_str().into_owned(), kind }
}

fn bytes(v: Value) -> Option<Vec<u8>> {
    match v {
        Value::NULL => None,
        Value::Bytes(b) => Some(b),
        other => Some(other.as_sql(true).trim_matches('\'').as_bytes().to_vec()),
    }
}
