//! A running capture: events of the log and chunks of snapshots, merged into one order.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mysql_async::Conn;
use mysql_async::binlog::events::Event;
use starweir_engine::{CaptureLag, CdcEvent, CdcPolled, CdcReader, TableProgress};
use starweir_formats::mysql::ddl::Statement;
use starweir_formats::mysql::{RowsKind, TableKey, TableMap, table_id};
use starweir_model::{ChangeBatch, Clock, Error, Offset, Result, RowKinds, SchemaChange};

use super::chunk::TableRead;
use super::connect::connect;
use super::events::{self, types};
use super::log::{LogPosition, TransactionId, contains};
use super::options::Settings;
use super::position::Place;
use super::pump::Pump;
use super::schema::one_table;
use super::server::Server;
use super::snapshot::Snapshots;
use super::state::{Saved, SavedSnapshot, Skip};
use super::tables::{Mapped, Tables, untouched};

/// A poll returns when so much is gathered.
const POLL_BYTES: usize = 4 << 20;
const POLL_ROWS: usize = 32_768;
/// A transaction that is under way then is read on to its end, unless it is so many times larger.
const TRANSACTION_POLLS: usize = 4;
/// So long the rest of a transaction is waited for, each time that nothing more of it has come.
const REST_WAIT: Duration = Duration::from_millis(50);

/// What hinders an event: it is tried again after this is known.
struct Unknown {
    key: TableKey,
    map: TableMap,
    reason: String,
}

/// Rows of an XA transaction that is not decided yet.
type Held = Vec<(TableKey, ChangeBatch, i64)>;

pub(super) struct MySqlReader {
    pub settings: Arc<Settings>,
    pub server: Arc<Server>,
    pub clock: Arc<dyn Clock>,
    pub tables: Tables,
    pub log: LogPosition,
    pub pump: Pump,
    pub snapshots: Snapshots,
    /// Tables captured by name; others only when the options say so.
    pub fixed: BTreeSet<TableKey>,
    inbox: VecDeque<Event>,
    out: Vec<CdcEvent>,
    bytes: u64,
    held: HashMap<String, Held>,
    /// Rows of the XA transaction being read.
    xa_rows: Held,
    conn: Option<Conn>,
    finished: bool,
    /// Rows before this time are passed over (startup mode timestamp), in milliseconds.
    since_ms: Option<i64>,
    skip: Skip,
    /// The event being handled is one of those to pass over.
    skip_this: bool,
    lag_ms: Option<u64>,
    /// The event at the head of the inbox has been counted already.
    stepped: bool,
    /// The state before the change of a table's shape that waits in `out`.
    state_before: Option<Offset>,
}

pub(super) struct ReaderParts {
    pub settings: Arc<Settings>,
    pub server: Arc<Server>,
    pub clock: Arc<dyn Clock>,
    pub tables: Tables,
    pub log: LogPosition,
    pub pump: Pump,
    pub snapshots: Snapshots,
    pub fixed: BTreeSet<TableKey>,
    pub finished: bool,
    pub since_ms: Option<i64>,
    pub skip: Skip,
}

impl MySqlReader {
    pub fn new(parts: ReaderParts) -> Self {
        let mut reader = Self {
            settings: parts.settings,
            server: parts.server,
            clock: parts.clock,
            tables: parts.tables,
            log: parts.log,
            pump: parts.pump,
            snapshots: parts.snapshots,
            fixed: parts.fixed,
            inbox: VecDeque::new(),
            out: Vec::new(),
            bytes: 0,
            held: HashMap::new(),
            xa_rows: Vec::new(),
            conn: None,
            finished: parts.finished,
            since_ms: parts.since_ms,
            skip: parts.skip,
            skip_this: false,
            lag_ms: None,
            stepped: false,
            state_before: None,
        };
        // Tables of a snapshot are announced at once, also those without rows.
        for key in reader.snapshots.tables.keys().cloned().collect::<Vec<_>>() {
            if let Some(create) = reader.tables.catalog.announce(&key) {
                reader.tables.put_schema(create, &mut reader.out);
            }
        }
        reader
    }

    fn is_captured(&self, key: &TableKey) -> bool {
        self.fixed.contains(key) || (self.settings.new_tables_by_stream && self.settings.selects(&key.0, &key.1))
    }

    /// Handles one event. Ok(Some) when a table has to be looked up first.
    fn handle(&mut self, event: &Event) -> Result<Option<Unknown>> {
        let header = event.header();
        let event_type = header.event_type_raw();
        let data = event.data();
        match event_type {
            types::TABLE_MAP => {
                self.table_map(data)?;
                Ok(None)
            }
            types::GTID => self.begin_gtid(event, events::gtid(data)),
            types::GTID_TAGGED => self.begin_gtid(event, events::gtid_tagged(data)),
            types::ANONYMOUS_GTID => {
                self.log.begin(TransactionId::Anonymous, event, false);
                Ok(None)
            }
            types::MARIADB_GTID => {
                let gtid = events::maria_gtid(data).ok_or_else(damaged)?;
                let id = TransactionId::Maria { domain: gtid.domain, server: header.server_id(), number: gtid.number };
                self.log.begin(id, event, !gtid.standalone);
                if let (Some(open), Some(xa)) = (&mut self.log.open, gtid.xa) {
                    open.xa = Some(xa);
                    self.xa_rows.clear();
                }
                Ok(None)
            }
            types::QUERY | types::MARIADB_QUERY_COMPRESSED => {
                let query = events::query(data, event_type == types::MARIADB_QUERY_COMPRESSED).ok_or_else(damaged)?;
                self.query(event, &query.sql, &query.database)?;
                Ok(None)
            }
            types::XID => {
                self.commit(event)?;
                Ok(None)
            }
            types::XA_PREPARE => {
                self.xa_prepare(event, events::xa_one_phase(data))?;
                Ok(None)
            }
            types::PREVIOUS_GTIDS => {
                if self.server.gtids
                    && let Some(set) = events::previous_gtids(data)
                {
                    self.log.previous_gtids(set);
                }
                Ok(None)
            }
            types::INCIDENT => {
                Err(Error::refused("the server reports an incident in its binary log: changes may be missing")
                    .with_hint("start again with a snapshot"))
            }
            types::HEARTBEAT | types::HEARTBEAT_V2 => {
                self.lag_ms = Some(0);
                Ok(None)
            }
            166..=171 => {
                let (plain, data) = events::uncompress_rows(event_type, data).ok_or_else(damaged)?;
                self.rows(event, plain, &data)
            }
            other => self.rows(event, other, data),
        }
    }

    fn begin_gtid(&mut self, event: &Event, gtid: Option<(String, u64)>) -> Result<Option<Unknown>> {
        let (source, number) = gtid.ok_or_else(damaged)?;
        self.log.begin(TransactionId::Gtid(source, number), event, false);
        Ok(None)
    }

    fn table_map(&mut self, data: &[u8]) -> Result<()> {
        let id = TableMap::table_id(data).ok_or_else(damaged)?;
        if self.tables.maps.get(&id).is_some_and(|known| known.data() == data) {
            return Ok(());
        }
        let map = TableMap::parse(data)?;
        let mut key = (map.database.clone(), map.table.clone());
        if self.server.lower_case_names {
            key = (key.0.to_lowercase(), key.1.to_lowercase());
        }
        let data = data.to_vec();
        let mapped = if self.is_captured(&key) {
            Mapped::Captured { key, data, map, decoder: None }
        } else {
            Mapped::Ignored { data }
        };
        // Numbers are never used twice between restarts of the server.
        if self.tables.maps.len() > 10_000 {
            self.tables.maps.clear();
        }
        self.tables.maps.insert(id, mapped);
        Ok(())
    }

    fn rows(&mut self, event: &Event, event_type: u8, data: &[u8]) -> Result<Option<Unknown>> {
        let Some((kind, version2)) = RowsKind::of_event(event_type) else { return Ok(None) };
        let id = TableMap::table_id(data).ok_or_else(damaged)?;
        let (skipped, is_xa) = match &self.log.open {
            Some(open) => (open.skipped, open.xa.is_some()),
            None => (false, false),
        };
        if self.skip_this || (skipped && !is_xa) {
            return Ok(None);
        }
        let time_ms = i64::from(event.header().timestamp()) * 1000;
        if self.since_ms.is_some_and(|since| time_ms < since) {
            return Ok(None);
        }
        let Some(mut mapped) = self.tables.maps.remove(&id) else {
            // The number that means "end of statement".
            return Ok(None);
        };
        let result = self.rows_of(&mut mapped, kind, version2, data, time_ms, is_xa);
        self.tables.maps.insert(id, mapped);
        result
    }

    fn rows_of(
        &mut self,
        mapped: &mut Mapped,
        kind: RowsKind,
        version2: bool,
        data: &[u8],
        time_ms: i64,
        is_xa: bool,
    ) -> Result<Option<Unknown>> {
        let Mapped::Captured { key, map, decoder, .. } = mapped else { return Ok(None) };
        // Before a table's first chunk is begun, its changes are all in what the chunks will find.
        if !is_xa && self.snapshots.tables.get(key).is_some_and(|s| !s.begun) {
            return Ok(None);
        }
        if !self.tables.captured.contains(key) && self.tables.catalog.table(key).is_some() {
            self.tables.captured.insert(key.clone());
            self.tables.changed(key);
        }
        let current = decoder.take().filter(|d| self.tables.is_current(key, d));
        let current = match current {
            Some(current) => current,
            None => match self.tables.decoder(key, map) {
                Ok(new) => new,
                Err(reason) => return Ok(Some(Unknown { key: key.clone(), map: map.clone(), reason })),
            },
        };
        let current = decoder.insert(current);
        if is_xa {
            let mut batch = self.tables.new_batch(key)?;
            current.rows.decode(kind, version2, data, &mut batch)?;
            self.xa_rows.push((key.clone(), batch.finish()?, time_ms));
            return Ok(None);
        }
        if self.skip.rows > 0 {
            let mut batch = self.tables.new_batch(key)?;
            current.rows.decode(kind, version2, data, &mut batch)?;
            let changes = batch.finish()?;
            let per_row = if matches!(kind, RowsKind::Update | RowsKind::PartialUpdate) { 2 } else { 1 };
            let skip = (self.skip.rows as usize).min(changes.rows() / per_row);
            self.skip.rows -= skip as u64;
            let rest = skip * per_row..changes.rows();
            let kinds = rest.clone().map(|i| changes.kinds.at(i)).collect();
            let batch = changes.batch.slice(rest.start, rest.len());
            let op_ts = vec![time_ms; rest.len()];
            self.tables.give(key, ChangeBatch::new(batch, RowKinds::from_vec(kinds)), &op_ts, &mut self.out)?;
            return Ok(None);
        }
        if let Some(whole) = self.snapshots.whole_of(key) {
            let open = self.log.open.as_ref();
            let is_contained = open.zip(whole.end.as_ref()).is_some_and(|(o, end)| contains(end, &o.id, &o.start));
            if !is_contained {
                let mut batch = self.tables.new_batch(key)?;
                current.rows.decode(kind, version2, data, &mut batch)?;
                whole.held.push((batch.finish()?, time_ms));
            }
            return Ok(None);
        }
        self.tables.gather(key, time_ms, |batch| current.rows.decode(kind, version2, data, batch))?;
        Ok(None)
    }

    fn query(&mut self, event: &Event, sql: &str, database: &str) -> Result<()> {
        let trimmed = sql.trim_start();
        let head = trimmed.get(..12).unwrap_or(trimmed).to_ascii_uppercase();
        if head.starts_with("BEGIN") {
            self.begun(event);
            return Ok(());
        }
        if head.starts_with("COMMIT") || trimmed.eq_ignore_ascii_case("ROLLBACK") {
            return self.commit(event);
        }
        if head.starts_with("SAVEPOINT") || head.starts_with("ROLLBACK TO") || head.starts_with("RELEASE") {
            return Ok(());
        }
        if head.starts_with("XA ") {
            let id = events::xa_id(trimmed).ok_or_else(damaged)?;
            let word = trimmed[3..].trim_start().to_ascii_uppercase();
            if word.starts_with("START") || word.starts_with("BEGIN") {
                self.begun(event);
                if let Some(open) = &mut self.log.open {
                    open.xa = Some(id);
                }
                self.xa_rows.clear();
            } else if word.starts_with("COMMIT") {
                self.ensure_open(event);
                let rows = self.held.remove(&id);
                self.log.held.remove(&id);
                let skipped = self.log.open.as_ref().is_some_and(|o| o.skipped);
                if let Some(rows) = rows.filter(|_| !skipped) {
                    self.give_held(rows)?;
                }
                return self.commit(event);
            } else if word.starts_with("ROLLBACK") {
                self.ensure_open(event);
                self.held.remove(&id);
                self.log.held.remove(&id);
                return self.commit(event);
            }
            return Ok(());
        }
        self.ensure_open(event);
        let is_change = ["INSERT ", "UPDATE ", "DELETE ", "REPLACE ", "LOAD DATA"].iter().any(|w| head.starts_with(w));
        if is_change && self.tables.captured.iter().any(|(of, _)| of == database) {
            return Err(Error::refused(format!(
                "a change in database {database} stands in the binary log as a statement, not as rows"
            ))
            .with_hint(
                "some session has set binlog_format to STATEMENT or MIXED; start again with a snapshot once none does",
            ));
        }
        let skipped = self.log.open.as_ref().is_some_and(|o| o.skipped);
        if !skipped && Statement::may_matter(trimmed) {
            self.statement(sql, database)?;
        }
        // CREATE TABLE … SELECT goes on with rows.
        let goes_on = trimmed.trim_end().to_ascii_uppercase().ends_with("START TRANSACTION");
        if goes_on {
            self.begun(event);
        }
        if !self.log.open.as_ref().is_some_and(|o| o.begun) {
            self.commit(event)?;
        }
        Ok(())
    }

    fn ensure_open(&mut self, event: &Event) {
        if self.log.open.is_none() {
            self.log.begin(TransactionId::Anonymous, event, false);
        }
    }

    fn begun(&mut self, event: &Event) {
        self.ensure_open(event);
        if let Some(open) = &mut self.log.open {
            open.begun = true;
        }
    }

    fn commit(&mut self, event: &Event) -> Result<()> {
        // Rows of XA … COMMIT ONE PHASE.
        if self.log.open.as_ref().is_some_and(|o| o.xa.is_some() && !o.skipped) && !self.xa_rows.is_empty() {
            let rows = std::mem::take(&mut self.xa_rows);
            self.give_held(rows)?;
        }
        self.log.end();
        let committed = i64::from(event.header().timestamp()) * 1000;
        // The log tells whole seconds.
        self.lag_ms = Some((self.clock.now_ms() - committed).max(0) as u64);
        Ok(())
    }

    fn xa_prepare(&mut self, event: &Event, one_phase: bool) -> Result<()> {
        if one_phase {
            return self.commit(event);
        }
        let rows = std::mem::take(&mut self.xa_rows);
        if let Some(open) = &self.log.open
            && let Some(xa) = open.xa.clone()
        {
            let place = Place { at: open.start.clone(), gtids: None, gtid_list: self.log.seen.gtid_list.clone() };
            self.log.held.insert(xa.clone(), (open.id.clone(), place));
            self.held.insert(xa, rows);
        }
        self.log.end();
        Ok(())
    }

    fn give_held(&mut self, rows: Held) -> Result<()> {
        for (key, batch, time_ms) in rows {
            if self.snapshots.tables.get(&key).is_some_and(|s| !s.begun) {
                continue;
            }
            if let Some(whole) = self.snapshots.whole_of(&key) {
                let open = self.log.open.as_ref();
                if !open.zip(whole.end.as_ref()).is_some_and(|(o, end)| contains(end, &o.id, &o.start)) {
                    whole.held.push((batch, time_ms));
                }
                continue;
            }
            self.flush(&key)?;
            self.touch(&key, &batch)?;
            let op_ts = vec![time_ms; batch.rows()];
            self.tables.give(&key, batch, &op_ts, &mut self.out)?;
        }
        Ok(())
    }

    /// A statement about tables.
    fn statement(&mut self, sql: &str, database: &str) -> Result<()> {
        if Statement::parse(sql) == Statement::Other {
            return Ok(());
        }
        self.flush_all()?;
        self.note_state()?;
        let fixed = &self.fixed;
        let settings = &self.settings;
        let captured =
            |key: &TableKey| fixed.contains(key) || (settings.new_tables_by_stream && settings.selects(&key.0, &key.1));
        let before: Vec<TableKey> = self.tables.catalog.tables().map(|(k, _)| k.clone()).collect();
        let changes = self.tables.catalog.apply(sql, database, &captured);
        let mut touched: BTreeSet<TableKey> = BTreeSet::new();
        for change in changes {
            let table = change.table();
            let key = (table.schema.clone().unwrap_or_default(), table.table.clone());
            match &change {
                SchemaChange::DropTable { .. } => {
                    self.snapshots.forget(&key);
                    self.tables.captured.remove(&key);
                }
                SchemaChange::CreateTable { .. } => {
                    self.tables.captured.insert(key.clone());
                }
                _ => {}
            }
            touched.insert(key);
            self.tables.put_schema(change, &mut self.out);
        }
        // Shapes may change without an event: keys, character sets, renames.
        for key in before.into_iter().chain(touched) {
            self.tables.changed(&key);
            if self.statement_names(sql, &key) {
                self.snapshots.invalidate(&key)?;
            }
        }
        Ok(())
    }

    /// Keeps the state as it is before a change of a table's shape: the epoch that ends there is recorded with it.
    fn note_state(&mut self) -> Result<()> {
        if self.state_before.is_none() {
            self.state_before = Some(self.state()?);
        }
        Ok(())
    }

    /// Whether the statement may be about the table: its name stands in it.
    fn statement_names(&self, sql: &str, key: &TableKey) -> bool {
        sql.to_lowercase().contains(&key.1.to_lowercase().replace('`', "``"))
    }

    /// Remembers the keys of rows for the windows that are open on their table.
    fn touch(&mut self, key: &TableKey, batch: &ChangeBatch) -> Result<()> {
        touch(&mut self.snapshots, &mut self.tables, key, batch)
    }

    fn flush(&mut self, key: &TableKey) -> Result<()> {
        let snapshots = &mut self.snapshots;
        self.tables.flush(key, &mut self.out, &mut |tables, batch| touch(snapshots, tables, key, batch))
    }

    fn flush_all(&mut self) -> Result<()> {
        for key in self.tables.gathered() {
            self.flush(&key)?;
        }
        Ok(())
    }

    /// Gives out the chunks whose windows the stream has passed, and hands out new ones. Between transactions only.
    fn turn_snapshots(&mut self) -> Result<()> {
        if self.log.in_transaction() || self.snapshots.is_done() {
            return Ok(());
        }
        self.snapshots.take_ready()?;
        self.snapshots.let_go(&self.log.seen);
        for (key, batch) in std::mem::take(&mut self.snapshots.parts) {
            self.bytes += batch.batch.get_array_memory_size() as u64;
            let op_ts = vec![0; batch.rows()];
            self.tables.give(&key, batch, &op_ts, &mut self.out)?;
        }
        while let Some(window) = self.snapshots.passed(&self.log.seen) {
            let key = self.snapshots.windows[&window].table.clone();
            self.flush(&key)?;
            let Some((open, complete)) = self.snapshots.close(window) else { continue };
            let Some((batch, _)) = open.result else { continue };
            let batch = if open.touched.is_empty() {
                batch
            } else {
                let keys = self.tables.keys(&key, &batch)?;
                untouched(&batch, &keys, &open.touched)?
            };
            self.bytes += batch.batch.get_array_memory_size() as u64;
            if batch.rows() > 0 {
                let op_ts = vec![0; batch.rows()];
                self.tables.give(&key, batch, &op_ts, &mut self.out)?;
            }
            for (batch, time_ms) in open.whole.map(|w| w.held).unwrap_or_default() {
                let op_ts = vec![time_ms; batch.rows()];
                self.tables.give(&key, batch, &op_ts, &mut self.out)?;
            }
            if complete {
                tracing::info!(table = %table_id(&key), "the snapshot of the table is complete");
            }
        }
        let tables = &self.tables;
        let values = self.settings.values;
        let read_of = |key: &TableKey| {
            let table = tables.catalog.table(key)?;
            Some(TableRead::new(key.clone(), table, tables.catalog.schema(key)?, values))
        };
        self.snapshots.dispatch(&self.log.seen, &read_of)?;
        if self.snapshots.is_done() && self.settings.startup == super::options::Startup::Snapshot {
            self.finished = true;
        }
        Ok(())
    }

    /// Enough for one poll: so much, or a change of a table's shape, which should be the last event of its poll. A poll
    /// goes on to the end of a transaction that is not too large: inside of one no epoch can end, and where there is
    /// always more to read, every poll would end there.
    fn is_full(&self) -> bool {
        let times = if self.log.in_transaction() { TRANSACTION_POLLS } else { 1 };
        self.state_before.is_some()
            || self.tables.rows_gathered >= times * POLL_ROWS
            || self.tables.bytes_gathered >= times * POLL_BYTES
            || self.bytes >= (4 * times * POLL_BYTES) as u64
    }

    /// Between transactions, with something to give, and after the time that a poll may take.
    fn is_late(&self, deadline: tokio::time::Instant) -> bool {
        !self.log.in_transaction() && self.has_something() && tokio::time::Instant::now() >= deadline
    }

    fn has_something(&self) -> bool {
        !self.out.is_empty() || self.tables.rows_gathered > 0
    }

    /// Looks a table up that the log has rows of.
    async fn look_up(&mut self, unknown: &Unknown) -> Result<()> {
        let key = &unknown.key;
        let doing = || format!("look table {}.{} up", key.0, key.1);
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => connect(&self.settings).await.map_err(|e| e.context(doing()))?,
        };
        let now = one_table(&mut conn, &self.server, key).await.map_err(|e| e.context(doing()))?;
        self.conn = Some(conn);
        self.flush_all()?;
        self.note_state()?;
        let known = self.tables.catalog.table(key).cloned();
        let described = self.tables.described(&unknown.map, known.as_ref().or(now.as_ref()));
        for candidate in [now, described].into_iter().flatten() {
            let before = self.tables.catalog.table(key).cloned();
            let changes = self.tables.catalog.replace(key, candidate);
            self.tables.changed(key);
            if self.tables.decoder(key, &unknown.map).is_ok() {
                if before.is_some() {
                    tracing::warn!(table = %table_id(key), reason = unknown.reason, "the table's shape was corrected by the log");
                }
                self.snapshots.invalidate(key)?;
                self.tables.captured.insert(key.clone());
                for change in changes {
                    self.tables.put_schema(change, &mut self.out);
                }
                return Ok(());
            }
            match before {
                Some(before) => self.tables.catalog.insert(key.clone(), before),
                None => {
                    self.tables.catalog.remove(key);
                }
            }
        }
        Err(Error::data(format!(
            "rows of table {}.{} in the binary log do not have the table's shape: {}",
            key.0, key.1, unknown.reason
        ))
        .with_hint("a change of the table was missed; set binlog_row_metadata=FULL on the server and start again with a snapshot"))
    }
}

fn touch(snapshots: &mut Snapshots, tables: &mut Tables, key: &TableKey, batch: &ChangeBatch) -> Result<()> {
    if !snapshots.has_windows(key) {
        return Ok(());
    }
    let keys = tables.keys(key, batch)?;
    for window in snapshots.windows.values_mut().filter(|w| w.table == *key) {
        for row in &keys {
            if !window.touched.contains(row.as_ref()) {
                window.touched.insert(row.as_ref().into());
            }
        }
    }
    Ok(())
}

fn damaged() -> Error {
    Error::data("an event of the binary log cannot be read")
}

#[async_trait]
impl CdcReader for MySqlReader {
    async fn poll(&mut self, wait: Duration) -> Result<CdcPolled> {
        let deadline = tokio::time::Instant::now() + wait;
        let mut unknown: Option<Unknown> = None;
        loop {
            if let Some(found) = unknown.take() {
                // The event waits in the inbox; a cancelled look-up is begun again with it.
                self.look_up(&found).await?;
            }
            if !self.finished {
                self.turn_snapshots()?;
            }
            if self.finished || self.is_full() || self.is_late(deadline) {
                break;
            }
            let is_opening = self.snapshots.is_opening();
            if self.inbox.is_empty() && !is_opening {
                self.pump.ready(&mut self.inbox)?;
            }
            if self.inbox.is_empty() || is_opening {
                // The rest of a transaction is on its way.
                if self.has_something() && (is_opening || !self.log.in_transaction()) {
                    break;
                }
                let until = if self.log.in_transaction() && !is_opening {
                    deadline.max(tokio::time::Instant::now() + REST_WAIT)
                } else {
                    deadline
                };
                tokio::select! {
                    result = self.pump.next(&mut self.inbox), if !is_opening => result?,
                    result = self.snapshots.reported(), if !self.snapshots.is_done() => result?,
                    () = tokio::time::sleep_until(until) => break,
                }
                continue;
            }
            while let Some(event) = self.inbox.pop_front() {
                if !self.stepped {
                    self.log.step(&event);
                    self.stepped = true;
                    let header = event.header();
                    let counts = header.log_pos() != 0
                        && !matches!(header.event_type_raw(), types::ROTATE | types::FORMAT_DESCRIPTION);
                    self.skip_this = self.skip.events > 0 && counts;
                    self.skip.events -= u64::from(self.skip_this);
                }
                match self.handle(&event)? {
                    Some(found) => {
                        self.inbox.push_front(event);
                        unknown = Some(found);
                        break;
                    }
                    None => {
                        self.stepped = false;
                        self.bytes += event.data().len() as u64;
                    }
                }
                let windows_wait = !self.log.in_transaction() && !self.snapshots.windows.is_empty();
                if self.is_full() || windows_wait || self.is_late(deadline) {
                    break;
                }
            }
        }
        self.flush_all()?;
        Ok(CdcPolled {
            events: std::mem::take(&mut self.out),
            bytes: std::mem::take(&mut self.bytes),
            state_before: self.state_before.take(),
            boundary: !self.log.in_transaction() && !self.snapshots.is_giving(),
            finished: self.finished,
        })
    }

    fn state(&self) -> Result<Offset> {
        let snapshots = self
            .snapshots
            .tables
            .keys()
            .filter_map(|key| {
                let left = self.snapshots.saved(key)?;
                Some(SavedSnapshot { database: key.0.clone(), name: key.1.clone(), left })
            })
            .collect();
        let tables = self.tables.saved()?;
        Saved::new(self.log.seen.clone(), self.log.resume(), tables, snapshots, self.finished, self.skip).write()
    }

    fn place(&self) -> String {
        self.log.seen.to_string()
    }

    fn progress(&self) -> Vec<TableProgress> {
        self.tables
            .captured
            .iter()
            .map(|key| {
                let snapshot = self.snapshots.tables.get(key);
                TableProgress {
                    table: table_id(key),
                    phase: if snapshot.is_some() { "snapshot" } else { "streaming" },
                    chunks_done: snapshot.map_or(0, |s| s.chunks_done),
                    chunks: snapshot.map_or(0, |s| s.chunks),
                }
            })
            .collect()
    }

    fn lag(&self) -> CaptureLag {
        CaptureLag { milliseconds: self.lag_ms, ..CaptureLag::default() }
    }
}
