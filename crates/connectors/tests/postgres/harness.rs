//! A real server, a capture of it, and a model of the tables that the capture's events make.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array as _, ArrayRef, RecordBatch, Time64MicrosecondArray, TimestampMicrosecondArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use starweir_connectors::postgres::postgres_source;
use starweir_engine::{CdcEvent, CdcReader, CdcSource, TableRows};
use starweir_model::{Offset, RowKind, SchemaChange, SystemClock, TableId, TableSchema};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

pub type Cells = Vec<Option<String>>;

/// The server, if the environment names one.
pub fn server() -> Option<Server> {
    match std::env::var("STARWEIR_TEST_POSTGRES") {
        Ok(url) => Some(Server { config: url.parse().unwrap() }),
        Err(_) => {
            eprintln!("SKIPPED: STARWEIR_TEST_POSTGRES holds no URL");
            None
        }
    }
}

pub struct Server {
    config: Config,
}

/// One database of a test, with its capture's options.
pub struct Database {
    config: Config,
    pub name: String,
    pub client: Client,
}

async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

impl Server {
    /// A database of this name, empty and without slots.
    pub async fn fresh(&self, name: &str) -> Database {
        let admin = connect(&self.config).await;
        let drop_slots = format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '{name}' AND NOT active"
        );
        admin.batch_execute(&drop_slots).await.unwrap();
        admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.unwrap();
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let mut config = self.config.clone();
        config.dbname(name);
        let client = connect(&config).await;
        Database { config, name: name.to_owned(), client }
    }
}

impl Database {
    pub async fn connect(&self) -> Client {
        connect(&self.config).await
    }

    pub async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }

    /// The options of a script that reach the database.
    pub fn login(&self) -> Vec<(String, String)> {
        let tokio_postgres::config::Host::Tcp(host) = &self.config.get_hosts()[0] else { panic!("not TCP") };
        let password = String::from_utf8(self.config.get_password().unwrap().to_vec()).unwrap();
        [
            ("hostname", host.clone()),
            ("port", self.config.get_ports().first().copied().unwrap_or(5432).to_string()),
            ("username", self.config.get_user().unwrap().to_owned()),
            ("password", password),
            ("database-name", self.name.clone()),
            ("slot.name", self.name.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    pub fn source(&self, more: &[(&str, &str)]) -> Arc<dyn CdcSource> {
        let tokio_postgres::config::Host::Tcp(host) = &self.config.get_hosts()[0] else { panic!("not TCP") };
        let port = self.config.get_ports().first().copied().unwrap_or(5432).to_string();
        let password = String::from_utf8(self.config.get_password().unwrap().to_vec()).unwrap();
        let tables = format!(r"{}.public.\.*", self.name);
        let mut given = vec![
            ("hostname", host.as_str()),
            ("port", port.as_str()),
            ("username", self.config.get_user().unwrap()),
            ("password", password.as_str()),
            ("tables", tables.as_str()),
            ("slot.name", self.name.as_str()),
            ("schema-change.enabled", "true"),
        ];
        for (name, value) in more {
            given.retain(|(n, _)| n != name);
            given.push((name, value));
        }
        postgres_source(given, Arc::new(SystemClock)).unwrap_or_else(|errors| panic!("{errors:?}"))
    }

    pub async fn pipe(&self, more: &[(&str, &str)]) -> Pipe {
        let source = self.source(more);
        let reader = source.open(None).await.unwrap_or_else(|e| panic!("{}", e.chain()));
        Pipe { source, reader: Some(reader), model: Model::default(), saved: None, finished: false, meta: Vec::new() }
    }

    /// What the server holds now, as text, in the order of the query.
    pub async fn truth(&self, sql: &str) -> Vec<Cells> {
        let found = self.client.simple_query(sql).await.unwrap();
        let cells =
            |row: &tokio_postgres::SimpleQueryRow| (0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect();
        found
            .iter()
            .filter_map(|m| if let SimpleQueryMessage::Row(row) = m { Some(cells(row)) } else { None })
            .collect()
    }
}

/// A capture whose events are carried out on a model; it can be broken off and restored.
pub struct Pipe {
    pub source: Arc<dyn CdcSource>,
    reader: Option<Box<dyn CdcReader>>,
    pub model: Model,
    saved: Option<(Offset, Model)>,
    pub finished: bool,
    pub meta: Vec<(String, Vec<String>)>,
}

impl Pipe {
    /// Polls once; whether anything came.
    pub async fn step(&mut self, wait: Duration) -> Result<bool, String> {
        let reader = self.reader.as_mut().unwrap();
        let polled = reader.poll(wait).await.map_err(|e| format!("{} {:?}", e.chain(), e.hint()))?;
        self.finished = polled.finished;
        let came = !polled.events.is_empty();
        for event in polled.events {
            if let CdcEvent::Rows { rows: TableRows::Columns { meta, .. }, .. } = &event {
                self.meta.clone_from(meta);
            }
            self.model.apply(event);
        }
        if polled.boundary {
            let state = reader.state().unwrap();
            reader.acknowledge(&state).await.unwrap();
            self.saved = Some((state, self.model.clone()));
        }
        Ok(came)
    }

    pub fn snapshotting(&self) -> bool {
        self.reader.as_ref().unwrap().progress().iter().any(|p| p.phase == "snapshot")
    }

    pub fn reader(&self) -> &dyn CdcReader {
        self.reader.as_deref().unwrap()
    }

    /// Reads until the snapshot is complete and nothing has come for a while.
    pub async fn settle(&mut self) {
        let limit = Instant::now() + Duration::from_secs(90);
        let mut quiet = 0;
        while !self.finished && (quiet < 4 || self.snapshotting()) {
            assert!(Instant::now() < limit, "the capture does not come to rest");
            quiet = if self.step(Duration::from_millis(250)).await.unwrap() { 0 } else { quiet + 1 };
        }
    }

    /// Empties a table and opens the capture anew as if it had never read it.
    pub async fn read_again(&mut self, table: &TableId) {
        let Some((offset, model)) = &mut self.saved else { return };
        *offset = self.source.unread(offset, std::slice::from_ref(table)).unwrap();
        model.tables.get_mut(table).unwrap().rows.clear();
        self.restart().await;
    }

    /// Breaks the capture off and opens it anew from the last place between transactions.
    pub async fn restart(&mut self) {
        let Some((offset, model)) = self.saved.clone() else { return };
        self.model = model;
        self.reader = None;
        let reader = self.source.open(Some(&offset)).await.unwrap_or_else(|e| panic!("{}", e.chain()));
        self.reader = Some(reader);
    }
}

/// Tables made by events: rows by key, cells as text.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub tables: BTreeMap<TableId, ModelTable>,
    /// Schema changes after the announcements, in words.
    pub log: Vec<String>,
}

#[derive(Debug, Clone, Default)]
pub struct ModelTable {
    pub schema: TableSchema,
    pub rows: BTreeMap<Cells, Cells>,
}

impl Model {
    fn apply(&mut self, event: CdcEvent) {
        match event {
            CdcEvent::Schema(change) => self.change(change),
            CdcEvent::Rows { table, rows } => {
                let TableRows::Columns { changes, .. } = rows else { panic!("single changes") };
                let known = self.tables.get_mut(&table).unwrap_or_else(|| panic!("{table} was not announced"));
                assert_eq!(changes.batch.schema(), known.schema.to_arrow(), "{table}");
                let key = known.schema.primary_key_indices();
                for (i, row) in cells(&changes.batch).into_iter().enumerate() {
                    let id: Cells = key.iter().map(|k| row[*k].clone()).collect();
                    if changes.kinds.at(i).is_addition() {
                        known.rows.insert(id, row);
                    } else {
                        known.rows.remove(&id);
                    }
                    assert!(changes.kinds.at(i) != RowKind::UpdateBefore || i + 1 < changes.rows());
                }
            }
        }
    }

    fn change(&mut self, change: SchemaChange) {
        let table = change.table().clone();
        if let SchemaChange::CreateTable { schema, .. } = change {
            self.tables.entry(table).or_default().schema = schema;
            return;
        }
        let known = self.tables.get_mut(&table).unwrap_or_else(|| panic!("{table} was not announced"));
        let ModelTable { schema, rows } = known;
        match change {
            SchemaChange::AddColumn { columns, .. } => {
                for added in columns {
                    self.log.push(format!("add {} {}", added.column.name, added.column.data_type));
                    let default = added.column.default.clone();
                    schema.columns.push(added.column);
                    rows.values_mut().for_each(|r| r.push(default.clone()));
                }
            }
            SchemaChange::AlterColumnType { types, .. } => {
                for (name, to) in types {
                    self.log.push(format!("type {name} {to}"));
                    let at = schema.index_of(&name).unwrap();
                    schema.columns[at].data_type = to;
                }
            }
            SchemaChange::RenameColumn { names, .. } => {
                for (from, to) in names {
                    self.log.push(format!("rename {from} {to}"));
                    let at = schema.index_of(&from).unwrap();
                    schema.columns[at].name.clone_from(&to);
                    schema.primary_keys.iter_mut().filter(|k| **k == from).for_each(|k| k.clone_from(&to));
                }
            }
            SchemaChange::DropColumn { columns, .. } => {
                for name in columns {
                    self.log.push(format!("drop {name}"));
                    let at = schema.index_of(&name).unwrap();
                    schema.columns.remove(at);
                    rows.values_mut().for_each(|r| drop(r.remove(at)));
                }
            }
            SchemaChange::TruncateTable { .. } => {
                self.log.push("truncate".into());
                rows.clear();
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn rows(&self, table: &str) -> Vec<Cells> {
        let id = TableId::in_schema("public", table);
        let mut rows: Vec<Cells> =
            self.tables.get(&id).unwrap_or_else(|| panic!("no table {id}")).rows.values().cloned().collect();
        rows.sort();
        rows
    }
}

/// A column whose values have a text: instants of UTC without their zone.
fn plain(column: &ArrayRef) -> ArrayRef {
    match column.as_any().downcast_ref::<TimestampMicrosecondArray>() {
        Some(instants) => Arc::new(instants.clone().with_timezone_opt(None::<Arc<str>>)),
        None => column.clone(),
    }
}

fn cells(batch: &RecordBatch) -> Vec<Cells> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<ArrayRef> = batch.columns().iter().map(plain).collect();
    let formats: Vec<_> = columns.iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap()).collect();
    let time = |column: &ArrayRef, row: usize| {
        // 24:00:00 has no text of its own.
        column.as_any().downcast_ref::<Time64MicrosecondArray>().map(|t| format!("{} us", t.value(row)))
    };
    (0..batch.num_rows())
        .map(|row| {
            let cell = |(f, c): (&ArrayFormatter<'_>, &ArrayRef)| {
                (!c.is_null(row)).then(|| time(c, row).unwrap_or_else(|| f.value(row).to_string()))
            };
            formats.iter().zip(&columns).map(cell).collect()
        })
        .collect()
}
