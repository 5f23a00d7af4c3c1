//! A real server, a capture of it, and a model of the tables that the capture's events make.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array as _, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts};
use starweir_connectors::mysql::mysql_source;
use starweir_engine::{CdcEvent, CdcReader, CdcSource, TableRows};
use starweir_model::{ColumnPosition, Offset, RowKind, SchemaChange, SystemClock, TableId, TableSchema};

/// Servers the tests run on: those whose address the environment holds.
pub fn servers() -> Vec<Server> {
    let mut found = Vec::new();
    for (name, variable) in [("mariadb", "STARWEIR_TEST_MARIADB"), ("mysql", "STARWEIR_TEST_MYSQL")] {
        match std::env::var(variable) {
            Ok(url) => found.push(Server { name, url }),
            Err(_) => eprintln!("SKIPPED on {name}: {variable} holds no URL such as mysql://root:root@127.0.0.1:3306/"),
        }
    }
    found
}

/// Tests run one after another: what one writes keeps the captures of others from coming to rest.
pub async fn alone() -> tokio::sync::MutexGuard<'static, ()> {
    static LOCK: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    LOCK.lock().await
}

#[derive(Clone)]
pub struct Server {
    pub name: &'static str,
    url: String,
}

impl Server {
    pub async fn connect(&self) -> Conn {
        let mut conn = Conn::new(Opts::from_url(&self.url).unwrap()).await.unwrap();
        conn.query_drop("SET SESSION sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'").await.unwrap();
        conn
    }

    /// Whether transactions have GTIDs; MariaDB's always do.
    pub async fn has_gtids(&self, conn: &mut Conn) -> bool {
        let mode: Option<String> = conn.query_first("SELECT @@GLOBAL.gtid_mode").await.unwrap_or(Some("ON".into()));
        mode.is_some_and(|m| m == "ON")
    }

    /// Where the log ends.
    pub async fn log_end(&self) -> (u64, u64) {
        let mut conn = self.connect().await;
        let row: Option<mysql_async::Row> = match conn.query_first("SHOW BINARY LOG STATUS").await {
            Ok(row) => row,
            Err(_) => conn.query_first("SHOW MASTER STATUS").await.unwrap(),
        };
        let row = row.unwrap();
        (file_number(&row.get::<String, _>(0).unwrap()), row.get(1).unwrap())
    }

    /// A database of this name, empty.
    pub async fn fresh(&self, database: &str) -> Conn {
        let mut conn = self.connect().await;
        conn.query_drop(format!("DROP DATABASE IF EXISTS {database}")).await.unwrap();
        conn.query_drop(format!("CREATE DATABASE {database} CHARACTER SET utf8mb4")).await.unwrap();
        conn.query_drop(format!("USE {database}")).await.unwrap();
        conn
    }

    /// The options that reach the server.
    pub fn login(&self) -> Vec<(String, String)> {
        let options = Opts::from_url(&self.url).unwrap();
        [
            ("hostname", options.ip_or_hostname().to_owned()),
            ("port", options.tcp_port().to_string()),
            ("username", options.user().unwrap().to_owned()),
            ("password", options.pass().unwrap().to_owned()),
            ("server-id", "5400-65000".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    pub fn source(&self, tables: &str, more: &[(&str, &str)]) -> Arc<dyn CdcSource> {
        static SEED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let seed = SEED.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + u64::from(std::process::id());
        let options = Opts::from_url(&self.url).unwrap();
        let port = options.tcp_port().to_string();
        let mut given = vec![
            ("hostname", options.ip_or_hostname()),
            ("port", port.as_str()),
            ("username", options.user().unwrap()),
            ("password", options.pass().unwrap()),
            ("tables", tables),
            ("server-id", "5400-65000"),
        ];
        given.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        given.extend(more);
        mysql_source(given, Arc::new(SystemClock), seed).unwrap_or_else(|errors| panic!("{errors:?}"))
    }

    pub async fn pipe(&self, tables: &str, more: &[(&str, &str)]) -> Pipe {
        let source = self.source(tables, more);
        let reader = source.open(None).await.unwrap_or_else(|e| panic!("{}", e.chain()));
        Pipe {
            source,
            reader,
            model: Model::default(),
            saved: None,
            versions: None,
            log: Vec::new(),
            finished: false,
            count_rows: false,
            rows_added: 0,
            at_boundary: false,
            place: (0, 0),
            server: self.clone(),
        }
    }
}

fn file_number(file: &str) -> u64 {
    file.rsplit('.').next().unwrap().parse().unwrap_or(0)
}

/// The place in the log that a state stands at.
fn place(state: &Offset) -> (u64, u64) {
    let state: serde_json::Value = serde_json::from_str(&state.0).unwrap();
    let at = &state["seen"]["at"];
    (file_number(at["file"].as_str().unwrap()), at["position"].as_u64().unwrap())
}

/// A capture whose events are carried out on a model; it can be broken off and restored.
pub struct Pipe {
    pub source: Arc<dyn CdcSource>,
    reader: Box<dyn CdcReader>,
    pub model: Model,
    saved: Option<(Offset, Model)>,
    /// The column whose value must never fall for a key.
    pub versions: Option<&'static str>,
    /// Schema changes seen, in order.
    pub log: Vec<SchemaChange>,
    pub finished: bool,
    /// Count the rows added; for tables without a key.
    pub count_rows: bool,
    pub rows_added: u64,
    at_boundary: bool,
    /// Where the last state stands in the log.
    place: (u64, u64),
    server: Server,
}

impl Pipe {
    /// Polls once; whether anything came.
    pub async fn step(&mut self, wait: Duration) -> bool {
        let polled = self.reader.poll(wait).await.unwrap_or_else(|e| panic!("{}", e.chain()));
        self.finished = polled.finished;
        self.at_boundary = polled.boundary;
        let came = !polled.events.is_empty();
        for event in polled.events {
            if let CdcEvent::Schema(change) = &event {
                self.log.push(change.clone());
            }
            if let CdcEvent::Rows { rows: TableRows::Columns { changes, .. }, .. } = &event
                && self.count_rows
            {
                self.rows_added += (0..changes.rows()).filter(|i| changes.kinds.at(*i).is_addition()).count() as u64;
            }
            self.model.apply(event, self.versions);
        }
        if polled.boundary {
            let state = self.reader.state().unwrap();
            self.place = place(&state);
            // Large models are not copied again and again; their tests do not restart.
            if self.model.tables.values().map(|t| t.rows.len()).sum::<usize>() < 20_000 {
                self.saved = Some((state, self.model.clone()));
            }
        }
        came
    }

    pub fn snapshotting(&self) -> bool {
        self.reader.progress().iter().any(|p| p.phase == "snapshot")
    }

    /// Reads until the snapshot is complete and everything the log holds now has come.
    pub async fn settle(&mut self) {
        let mark = self.server.log_end().await;
        let limit = Instant::now() + Duration::from_secs(120);
        loop {
            self.step(Duration::from_millis(100)).await;
            let place = self.place;
            if self.finished || (place >= mark && !self.snapshotting() && self.at_boundary) {
                return;
            }
            assert!(
                Instant::now() < limit,
                "the capture does not come to rest: {:?}, at {place:?} of {mark:?}",
                self.reader.progress()
            );
        }
    }

    /// Breaks the capture off and opens it anew from the last place between transactions.
    pub async fn restart(&mut self) {
        let Some((offset, model)) = self.saved.clone() else { return };
        self.model = model;
        self.reader = self.source.open(Some(&offset)).await.unwrap_or_else(|e| panic!("{}", e.chain()));
    }
}

/// Tables made by events: rows by key, cells as text.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub tables: BTreeMap<TableId, ModelTable>,
}

#[derive(Debug, Clone, Default)]
pub struct ModelTable {
    pub schema: TableSchema,
    pub rows: BTreeMap<Vec<Option<String>>, Vec<Option<String>>>,
    /// Highest version seen per key.
    versions: BTreeMap<Vec<Option<String>>, i64>,
}

impl Model {
    fn apply(&mut self, event: CdcEvent, versions: Option<&str>) {
        match event {
            CdcEvent::Schema(change) => self.change(change),
            CdcEvent::Rows { table, rows } => {
                let TableRows::Columns { changes, .. } = rows else { panic!("single changes") };
                let known = self.tables.get_mut(&table).unwrap_or_else(|| panic!("{table} was not announced"));
                assert_eq!(changes.batch.schema(), known.schema.to_arrow(), "{table}");
                let cells = cells(&changes.batch);
                let key = known.schema.primary_key_indices();
                let version = versions.and_then(|name| known.schema.index_of(name));
                for (i, row) in cells.into_iter().enumerate() {
                    let id: Vec<_> =
                        if key.is_empty() { row.clone() } else { key.iter().map(|k| row[*k].clone()).collect() };
                    match changes.kinds.at(i) {
                        RowKind::Insert | RowKind::UpdateAfter => {
                            if let Some(version) = version.and_then(|v| row[v].as_ref()?.parse::<i64>().ok()) {
                                let highest = known.versions.entry(id.clone()).or_insert(version);
                                assert!(version >= *highest, "{table} {id:?} goes back from {highest} to {version}");
                                *highest = version;
                            }
                            known.rows.insert(id, row);
                        }
                        RowKind::UpdateBefore | RowKind::Delete => {
                            known.rows.remove(&id);
                        }
                    }
                }
            }
        }
    }

    fn change(&mut self, change: SchemaChange) {
        let table = change.table().clone();
        if let SchemaChange::CreateTable { schema, .. } = change {
            let known = self.tables.entry(table.clone()).or_default();
            // After a restart it is announced again, by the shape it had.
            if !known.rows.is_empty() {
                let shape = |s: &TableSchema| {
                    s.columns.iter().map(|c| (c.name.clone(), c.data_type.clone())).collect::<Vec<_>>()
                };
                assert_eq!(shape(&known.schema), shape(&schema), "{table}");
            }
            known.schema = schema;
            return;
        }
        let known = self.tables.get_mut(&table).unwrap_or_else(|| panic!("{table} was not announced"));
        let ModelTable { schema, rows, .. } = known;
        match change {
            SchemaChange::CreateTable { .. } | SchemaChange::AlterTableComment { .. } => {}
            SchemaChange::AddColumn { columns, .. } => {
                for added in columns {
                    let at = match added.position {
                        ColumnPosition::First => 0,
                        ColumnPosition::Last => schema.columns.len(),
                        ColumnPosition::Before(name) => schema.index_of(&name).unwrap(),
                        ColumnPosition::After(name) => schema.index_of(&name).unwrap() + 1,
                    };
                    let default = added.column.default.clone();
                    schema.columns.insert(at, added.column);
                    rows.values_mut().for_each(|r| r.insert(at, default.clone()));
                }
            }
            SchemaChange::AlterColumnType { types, .. } => {
                for (name, to) in types {
                    let at = schema.index_of(&name).unwrap();
                    schema.columns[at].data_type = to;
                }
            }
            SchemaChange::RenameColumn { names, .. } => {
                for (from, to) in names {
                    let at = schema.index_of(&from).unwrap();
                    schema.columns[at].name.clone_from(&to);
                    schema.primary_keys.iter_mut().filter(|k| **k == from).for_each(|k| k.clone_from(&to));
                }
            }
            SchemaChange::DropColumn { columns, .. } => {
                for name in columns {
                    let at = schema.index_of(&name).unwrap();
                    schema.columns.remove(at);
                    rows.values_mut().for_each(|r| {
                        r.remove(at);
                    });
                }
            }
            SchemaChange::DropTable { .. } => {
                self.tables.remove(&table);
            }
            SchemaChange::TruncateTable { .. } => rows.clear(),
        }
    }

    pub fn table(&self, database: &str, table: &str) -> &ModelTable {
        let id = TableId::in_schema(database, table);
        self.tables.get(&id).unwrap_or_else(|| panic!("no table {id}"))
    }
}

fn cells(batch: &RecordBatch) -> Vec<Vec<Option<String>>> {
    let options = FormatOptions::default();
    // An instant of a named zone has no text of its own.
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|c| match c.data_type() {
            arrow::datatypes::DataType::Timestamp(unit, Some(_)) => {
                arrow::compute::cast(c, &arrow::datatypes::DataType::Timestamp(*unit, None)).unwrap()
            }
            _ => c.clone(),
        })
        .collect();
    let formats: Vec<_> = columns.iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap()).collect();
    (0..batch.num_rows())
        .map(|row| {
            formats
                .iter()
                .zip(&columns)
                .map(|(f, c)| {
                    (!c.is_null(row)).then(|| match c.data_type() {
                        // TIME beyond a day has no text of its own.
                        arrow::datatypes::DataType::Time64(_) => {
                            let times = c.as_any().downcast_ref::<arrow::array::Time64MicrosecondArray>().unwrap();
                            format!("{} us", times.value(row))
                        }
                        _ => f.value(row).to_string(),
                    })
                })
                .collect()
        })
        .collect()
}

/// What the server holds now, as text.
pub async fn truth(conn: &mut Conn, sql: &str) -> Vec<Vec<Option<String>>> {
    let rows: Vec<mysql_async::Row> = conn.query(sql).await.unwrap();
    rows.into_iter()
        .map(|row| {
            row.unwrap()
                .into_iter()
                .map(|value| match value {
                    mysql_async::Value::NULL => None,
                    mysql_async::Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
                    other => panic!("{other:?}"),
                })
                .collect()
        })
        .collect()
}

/// Numbers that a seed decides.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}
