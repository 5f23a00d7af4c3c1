//! The database as a source: what it captures, and where a capture begins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use mysql_async::Conn;
use starweir_engine::{CdcReader, CdcSource};
use starweir_formats::mysql::{Catalog, CatalogOptions, Charset, Table, TableKey, table_id};
use starweir_model::{Clock, DataType, Error, LogicalType, Offset, Result, TableId, TableSchema};

use super::connect::connect;
use super::log::LogPosition;
use super::options::{Settings, Startup};
use super::position::{FilePosition, Place};
use super::pump::{Pump, file_begin_ms};
use super::reader::{MySqlReader, ReaderParts};
use super::schema::{cascading, selected_tables};
use super::server::Server;
use super::snapshot::{Snapshots, TableSnapshot};
use super::state::{Saved, Skip};
use super::tables::Tables;

/// So many chunks are read at once, if the options allow so many connections.
const SNAPSHOT_READERS: usize = 4;

pub(super) struct MySqlSource {
    pub settings: Arc<Settings>,
    pub clock: Arc<dyn Clock>,
    /// Chooses among the server ids.
    pub seed: u64,
}

impl MySqlSource {
    fn where_to(&self) -> String {
        format!("mysql {}:{}", self.settings.host, self.settings.port)
    }

    async fn look(&self, conn: &mut Conn) -> Result<(Server, BTreeMap<TableKey, Table>)> {
        let server = Server::inspect(conn).await?;
        let found = selected_tables(conn, &server, &self.settings).await?;
        let found = if server.lower_case_names {
            found.into_iter().map(|((d, t), f)| ((d.to_lowercase(), t.to_lowercase()), f)).collect()
        } else {
            found
        };
        if server.mariadb {
            let captured = |database: &str, table: &str| found.contains_key(&(database.to_owned(), table.to_owned()));
            for key in cascading(conn, &captured).await? {
                tracing::warn!(
                    "foreign key {key} changes rows of a captured table by itself, which MariaDB does not write to its \
                     binary log: these changes will be missed"
                );
            }
        }
        Ok((server, found))
    }

    /// Why no table is captured: none matches, or all that match are excluded.
    async fn none_found(&self, conn: &mut Conn, server: &Server) -> Error {
        if let Some(exclude) = &self.settings.selection.exclude {
            let mut all = (*self.settings).clone();
            all.selection.exclude = None;
            if selected_tables(conn, server, &all).await.is_ok_and(|found| !found.is_empty()) {
                return Error::user(format!(
                    "Cannot find any table with by the option 'tables.exclude'  = {}",
                    exclude.text()
                ))
                .with_hint("every table that 'tables' names is excluded");
            }
        }
        self.settings.selection.none_found()
    }

    fn options(&self, server: &Server) -> CatalogOptions {
        CatalogOptions { lower_case_names: server.lower_case_names, ..self.settings.catalog }
    }

    fn tables(&self, server: &Server) -> Tables {
        Tables::new(
            Catalog::new(self.options(server)),
            server.collations.clone(),
            self.settings.values,
            self.settings.op_ts,
            self.settings.schema_changes,
        )
    }

    /// The place a capture without state begins at.
    async fn start(&self, conn: &mut Conn, server: &Server) -> Result<Place> {
        let first = |files: Vec<(String, u64)>| {
            files.into_iter().next().map(|(file, _)| Place { at: FilePosition::new(file, 4), ..Place::default() })
        };
        match &self.settings.startup {
            Startup::Initial | Startup::Snapshot | Startup::Latest => server.place(conn).await,
            Startup::Earliest => {
                first(server.log_files(conn).await?).ok_or_else(|| Error::refused("the server has no binary log"))
            }
            Startup::Timestamp(since_ms) => {
                let mut files = server.log_files(conn).await?;
                // The last file that was begun before the time holds the first change from it on.
                while files.len() > 1 {
                    let file = &files[files.len() - 1].0;
                    let id = server.reader_id(&self.settings, self.seed);
                    if file_begin_ms(&self.settings, file, id).await? < *since_ms {
                        break;
                    }
                    files.pop();
                }
                let file = files.pop().ok_or_else(|| Error::refused("the server has no binary log"))?.0;
                Ok(Place { at: FilePosition::new(file, 4), ..Place::default() })
            }
            Startup::Position(at) => {
                let files = server.log_files(conn).await?;
                if !files.iter().any(|(file, _)| *file == at.file) {
                    return Err(Error::user(format!("the server has no file {} in its binary log", at.file))
                        .with_hint("SHOW BINARY LOGS lists them"));
                }
                Ok(Place { at: at.clone(), ..Place::default() })
            }
            Startup::GtidSet(set) => {
                if !server.gtids {
                    return Err(Error::user("the server does not use GTIDs (gtid_mode is not ON)"));
                }
                let at = FilePosition::new("", 4);
                Ok(Place { at, gtids: Some(set.clone()), gtid_list: None })
            }
            Startup::GtidList(list) => {
                if !server.mariadb {
                    return Err(Error::user("a GTID list such as 0-1-30 is MariaDB's, and the server is MySQL"));
                }
                let at = FilePosition::new("", 4);
                Ok(Place { at, gtids: None, gtid_list: Some(list.clone()) })
            }
        }
    }

    /// Text in a character set without a table here could be read in a snapshot, but not from the log.
    fn check_charsets(&self, tables: &Tables) -> Result<()> {
        for (key, table) in tables.catalog.tables() {
            for column in table.columns.iter().filter(|c| c.column_type.is_text()) {
                let Some(name) = column.column_type.charset.as_ref().or(table.charset.as_ref()) else { continue };
                if Charset::by_name(name).is_none() {
                    return Err(Error::refused(format!(
                        "column {} of table {}.{} has the character set {name}, which cannot be read from the log",
                        column.name, key.0, key.1
                    ))
                    .with_hint("convert the column to utf8mb4, or leave the table out"));
                }
            }
        }
        Ok(())
    }

    /// Whether the server still has the log from the place on; the message says what to do when not.
    async fn check_place(&self, conn: &mut Conn, server: &Server, place: &mut Place) -> Result<()> {
        if place.at.file.is_empty() || place.gtids.is_some() {
            return Ok(());
        }
        let files = server.log_files(conn).await?;
        if files.iter().any(|(file, _)| *file == place.at.file) {
            return Ok(());
        }
        if server.mariadb && place.gtid_list.is_some() {
            // Another server of the group, perhaps; it decides by the transactions.
            place.at = FilePosition::new("", 4);
            return Ok(());
        }
        Err(Error::refused(format!(
            "the server has deleted the file {} of its binary log, which is still needed",
            place.at.file
        ))
        .with_hint("start again with a snapshot, and raise binlog_expire_logs_seconds"))
    }
}

#[async_trait]
impl CdcSource for MySqlSource {
    fn identity(&self) -> String {
        self.where_to()
    }

    fn is_bounded(&self) -> bool {
        self.settings.startup == Startup::Snapshot
    }

    fn metadata(&self) -> Vec<(String, DataType)> {
        if self.settings.op_ts { vec![("op_ts".into(), DataType::not_null(LogicalType::BigInt))] } else { Vec::new() }
    }

    async fn discover(&self) -> Result<Vec<(TableId, TableSchema)>> {
        let mut conn = connect(&self.settings).await?;
        let (server, found) = self.look(&mut conn).await?;
        server.place(&mut conn).await?;
        if found.is_empty() && !self.settings.new_tables_by_stream {
            return Err(self.none_found(&mut conn, &server).await);
        }
        let _ = conn.disconnect().await;
        let options = self.options(&server);
        Ok(found.iter().map(|(key, f)| (table_id(key), f.to_schema(&options))).collect())
    }

    fn unread(&self, state: &Offset, tables: &[TableId]) -> Result<Offset> {
        Saved::read(state)?.unread(tables)?.write()
    }

    async fn open(&self, restored: Option<&Offset>) -> Result<Box<dyn CdcReader>> {
        let settings = &self.settings;
        let mut conn = connect(settings).await?;
        let saved = restored.map(Saved::read).transpose()?;
        // The place first: what happens to tables after it will be in the stream.
        let server_before = Server::inspect(&mut conn).await?;
        let begin = match &saved {
            Some(_) => None,
            None => Some(self.start(&mut conn, &server_before).await?),
        };
        let (server, found) = self.look(&mut conn).await?;
        if found.is_empty() && saved.is_none() && !settings.new_tables_by_stream {
            return Err(self.none_found(&mut conn, &server).await);
        }
        let server = Arc::new(server);
        let mut tables = self.tables(&server);
        let mut snapshots =
            Snapshots::new(settings.clone(), server.clone(), settings.connections.min(SNAPSHOT_READERS));
        let mut fixed = BTreeSet::new();
        let mut finished = false;
        let (mut from, seen, skip);
        match saved {
            Some(saved) => {
                for table in saved.shapes()? {
                    let key = (table.database, table.name);
                    fixed.insert(key.clone());
                    tables.captured.insert(key.clone());
                    tables.catalog.insert(key, table.shape);
                }
                for snapshot in saved.snapshots {
                    let key = (snapshot.database, snapshot.name);
                    snapshots.tables.insert(key, snapshot.left);
                }
                finished = saved.finished;
                skip = saved.skip;
                from = saved.resume.unwrap_or_else(|| saved.seen.clone());
                seen = saved.seen;
                if settings.new_tables_by_snapshot {
                    for (key, found) in found {
                        if fixed.insert(key.clone()) {
                            tables.captured.insert(key.clone());
                            tables.catalog.insert(key.clone(), found);
                            snapshots.tables.insert(key, TableSnapshot::default());
                        }
                    }
                }
            }
            None => {
                for (key, found) in found {
                    fixed.insert(key.clone());
                    tables.captured.insert(key.clone());
                    tables.catalog.insert(key.clone(), found);
                    if settings.startup.has_snapshot() {
                        snapshots.tables.insert(key, TableSnapshot::default());
                    }
                }
                from = begin.unwrap_or_default();
                seen = from.clone();
                skip = Skip { events: settings.skip_events, rows: settings.skip_rows };
            }
        }
        self.check_charsets(&tables)?;
        self.check_place(&mut conn, &server, &mut from).await?;
        let _ = conn.disconnect().await;
        finished |= settings.startup == Startup::Snapshot && snapshots.is_done();
        let log = LogPosition::new(&from, seen);
        let pump = Pump::start(settings, &server, &from, server.reader_id(settings, self.seed)).await?;
        let since_ms = match settings.startup {
            Startup::Timestamp(since) => Some(since),
            _ => None,
        };
        Ok(Box::new(MySqlReader::new(ReaderParts {
            settings: settings.clone(),
            server,
            clock: self.clock.clone(),
            tables,
            log,
            pump,
            snapshots,
            fixed,
            finished,
            since_ms,
            skip,
        })))
    }
}
