//! The store: databases, tables, transactions, and the one way anything changes — write the
//! record, then publish in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use parking_lot::{Mutex, RwLock};
use roaring::RoaringBitmap;
use starweir_model::{Clock, Error, Result};

use super::index::Place;
use super::log::{Log, Op, sync_folder};
use super::merge::{Changes, Target, keys_of, merge};
use super::segment::{Segment, SegmentMeta, parse_file_name};
use super::table::{SegmentView, Table, TableVersion, Writer, read_rows};
use super::txn::{StagedPart, Txn, TxnState};
use crate::catalog::{AlterJob, ColumnDef, TableDef};
use crate::value::Value;

/// Finished transactions a database keeps (StarRocks `label_keep_max_num`).
pub const LABEL_KEEP_NUM: usize = 1000;
/// Seconds a finished label is kept (StarRocks `label_keep_max_second`).
pub const LABEL_KEEP_SECONDS: i64 = 3 * 24 * 3600;
/// The format of the directory; a directory of another format is refused.
const FORMAT: u32 = 1;
/// Rows below which a segment is small, and how many small ones are merged.
const SMALL_ROWS: u64 = 65_536;
const SMALL_SEGMENTS: usize = 64;
/// Rows of a merged segment at most.
const MERGED_ROWS: u64 = 2_000_000;
/// The log is rewritten when it is larger than this and twice what it was after the last rewrite.
const LOG_BYTES: u64 = 64 << 20;

pub struct StoreConfig {
    pub dir: PathBuf,
    /// Whether files are synced to disk before an answer.
    pub durable: bool,
    pub clock: Arc<dyn Clock>,
}

/// What the store asks the SQL side for.
pub trait Hooks: Send + Sync {
    /// Computes the generated columns of a batch under stored names.
    fn generate(&self, def: &TableDef, batch: RecordBatch) -> Result<RecordBatch>;
    /// The value of a column that a new row does not give.
    fn default_value(&self, column: &ColumnDef) -> Result<Value>;
}

#[derive(Default)]
struct State {
    databases: BTreeMap<String, u64>,
    tables: HashMap<u64, Arc<Table>>,
    /// (database, table) → id. Temporary tables are not in it.
    names: BTreeMap<(String, String), u64>,
    txns: BTreeMap<u64, Txn>,
    /// (database id, label) → transactions of this label, oldest first.
    labels: HashMap<(u64, String), Vec<u64>>,
    jobs: Vec<AlterJob>,
}

pub struct Store {
    dir: PathBuf,
    segments: PathBuf,
    durable: bool,
    pub clock: Arc<dyn Clock>,
    log: Mutex<Log>,
    log_floor: AtomicU64,
    state: RwLock<State>,
    staged: Mutex<HashMap<u64, Arc<Segment>>>,
    ids: AtomicU64,
    hooks: OnceLock<Arc<dyn Hooks>>,
    /// A failed log write: memory and disk may differ, nothing more is written.
    poisoned: AtomicBool,
    _lock: std::fs::File,
}

/// The names of tables that are parts of others begin with it: they are in no list.
pub const HIDDEN: char = '\u{1}';

/// Names rows of a table's version: a bitmap per segment id.
pub type Picker<'a> = dyn Fn(&TableVersion) -> Result<HashMap<u64, RoaringBitmap>> + 'a;

/// Why a transaction could not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelUsed {
    pub txn: u64,
    pub state: TxnState,
}

fn io(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::internal(format!("cannot {what} {}", path.display())).with_source(error)
}

fn bitmap_text(map: &RoaringBitmap) -> String {
    let mut bytes = Vec::with_capacity(map.serialized_size());
    // Writing into memory cannot fail.
    let _ = map.serialize_into(&mut bytes);
    BASE64.encode(bytes)
}

fn bitmap_of(text: &str) -> Result<RoaringBitmap> {
    let bytes =
        BASE64.decode(text).map_err(|e| Error::internal("a delete bitmap in the log is damaged").with_source(e))?;
    RoaringBitmap::deserialize_from(&bytes[..])
        .map_err(|e| Error::internal("a delete bitmap in the log is damaged").with_source(e))
}

impl Store {
    /// Opens or makes a data directory and reads its log. A directory that another process has open,
    /// of another format, or with a damaged file is refused.
    pub fn open(config: StoreConfig) -> Result<Arc<Store>> {
        let StoreConfig { dir, durable, clock } = config;
        let segments = dir.join("segments");
        std::fs::create_dir_all(&segments).map_err(|e| io("create", &segments, e))?;
        let lock_path = dir.join("LOCK");
        let lock = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(|e| io("open", &lock_path, e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(Error::refused(format!(
                    "the data directory {} is in use by another process",
                    dir.display()
                ))
                .with_hint("stop the other warehouse, or name another directory"));
            }
            Err(std::fs::TryLockError::Error(e)) => return Err(io("lock", &lock_path, e)),
        }
        let format_path = dir.join("FORMAT");
        match std::fs::read_to_string(&format_path) {
            Ok(text) if text.trim() == FORMAT.to_string() => {}
            Ok(text) => {
                return Err(Error::refused(format!(
                    "the data directory {} has format {}, this version reads format {FORMAT}",
                    dir.display(),
                    text.trim()
                )));
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                std::fs::write(&format_path, format!("{FORMAT}\n")).map_err(|e| io("write", &format_path, e))?;
            }
            Err(e) => return Err(io("read", &format_path, e)),
        }
        let mut state = State::default();
        let mut next = 10_001u64;
        let mut metas: HashMap<u64, (SegmentMeta, RoaringBitmap)> = HashMap::new();
        let mut versions: HashMap<u64, u64> = HashMap::new();
        let mut autos: HashMap<u64, i64> = HashMap::new();
        let mut defs: HashMap<u64, TableDef> = HashMap::new();
        let log = Log::open(&dir.join("redo.log"), durable, |op| {
            match op {
                Op::PutDatabase { id, name } => {
                    next = next.max(id + 1);
                    state.databases.insert(name, id);
                }
                Op::DropDatabase { name } => {
                    if let Some(id) = state.databases.remove(&name) {
                        state.txns.retain(|_, t| t.database_id != id);
                    }
                }
                Op::PutTable(def) => {
                    next = next.max(def.id + 1);
                    for p in &def.partitions {
                        next = next.max(p.id + 1);
                    }
                    versions.entry(def.id).or_insert(1);
                    defs.insert(def.id, *def);
                }
                Op::DropTable { id } => {
                    defs.remove(&id);
                    metas.retain(|_, (m, _)| m.table != id);
                }
                Op::PutTxn(txn) => {
                    next = next.max(txn.id + 1);
                    for part in &txn.parts {
                        next = next.max(part.segment.id + 1);
                    }
                    state.txns.insert(txn.id, *txn);
                }
                Op::ForgetTxn { id } => {
                    state.txns.remove(&id);
                }
                Op::Apply { table, version, add, delete, drop } => {
                    versions.insert(table, version);
                    for meta in add {
                        next = next.max(meta.id + 1);
                        metas.insert(meta.id, (meta, RoaringBitmap::new()));
                    }
                    for (id, text) in delete {
                        if let Some((_, deleted)) = metas.get_mut(&id) {
                            *deleted |= bitmap_of(&text)?;
                        }
                    }
                    for id in drop {
                        metas.remove(&id);
                    }
                }
                Op::AutoIncrement { table, next } => {
                    autos.insert(table, next);
                }
                Op::PutJob(job) => {
                    next = next.max(job.id + 1);
                    state.jobs.push(job);
                }
                Op::Ids { next: given } => next = next.max(given),
            }
            Ok(())
        })?;
        let now = clock.now_ms();
        let mut by_table: HashMap<u64, Vec<(SegmentMeta, RoaringBitmap)>> = HashMap::new();
        for (_, (meta, deleted)) in metas {
            by_table.entry(meta.table).or_default().push((meta, deleted));
        }
        let mut live: HashSet<u64> = HashSet::new();
        for (id, def) in defs {
            // A temporary table ends with its connection, and so with the process.
            if def.session.is_some() {
                continue;
            }
            let mut version = TableVersion::empty(Arc::new(def), now);
            version.version = versions.get(&id).copied().unwrap_or(1);
            for (meta, deleted) in by_table.remove(&id).unwrap_or_default() {
                live.insert(meta.id);
                let segment = Arc::new(Segment::open(&segments, meta)?);
                let deleted = (!deleted.is_empty()).then(|| Arc::new(deleted));
                version.segments.push(SegmentView { segment, deleted });
            }
            version.segments.sort_by_key(|s| s.segment.meta.id);
            let table = Arc::new(Table::new(version));
            {
                let mut writer = table.writer.lock();
                writer.auto_next = autos.get(&id).copied().unwrap_or(1);
                build_index(&mut writer, &table.version())?;
            }
            let def = table.def();
            state.names.insert((def.database.clone(), def.name.clone()), id);
            state.tables.insert(id, table);
        }
        let mut staged = HashMap::new();
        let ids: Vec<u64> = state.txns.keys().copied().collect();
        for id in ids {
            let txn = &state.txns[&id];
            let key = (txn.database_id, txn.label.clone());
            if txn.state == TxnState::Prepared {
                for part in &txn.parts {
                    live.insert(part.segment.id);
                    staged.insert(part.segment.id, Arc::new(Segment::open(&segments, part.segment.clone())?));
                }
            }
            state.labels.entry(key).or_default().push(id);
        }
        // Files of transactions that never were prepared or committed.
        for entry in std::fs::read_dir(&segments).map_err(|e| io("list", &segments, e))? {
            let entry = entry.map_err(|e| io("list", &segments, e))?;
            let name = entry.file_name();
            if parse_file_name(&name.to_string_lossy()).is_some_and(|(_, id)| !live.contains(&id)) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        let store = Store {
            dir,
            segments,
            durable,
            clock,
            log: Mutex::new(log),
            log_floor: AtomicU64::new(0),
            state: RwLock::new(state),
            staged: Mutex::new(staged),
            // Ids of transactions that were begun and never logged are not given again.
            ids: AtomicU64::new(next + 1000),
            hooks: OnceLock::new(),
            poisoned: AtomicBool::new(false),
            _lock: lock,
        };
        if store.log.lock().bytes() > 1 << 20 {
            let mut log = store.log.lock();
            let ops = store.snapshot();
            log.rewrite(&ops)?;
            store.log_floor.store(log.bytes(), Ordering::Relaxed);
        }
        Ok(Arc::new(store))
    }

    pub fn set_hooks(&self, hooks: Arc<dyn Hooks>) {
        let _ = self.hooks.set(hooks);
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// A number never given before, for tables, transactions, segments and jobs.
    pub fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Everything as operations; called under the log lock, so nothing changes meanwhile.
    fn snapshot(&self) -> Vec<Op> {
        let state = self.state.read();
        let mut ops = vec![Op::Ids { next: self.ids.load(Ordering::Relaxed) }];
        ops.extend(state.databases.iter().map(|(name, id)| Op::PutDatabase { id: *id, name: name.clone() }));
        for table in state.tables.values() {
            let version = table.version();
            ops.push(Op::PutTable(Box::new((*version.def).clone())));
            ops.push(Op::Apply {
                table: table.id,
                version: version.version,
                add: version.segments.iter().map(|s| s.segment.meta.clone()).collect(),
                delete: version
                    .segments
                    .iter()
                    .filter_map(|s| Some((s.segment.meta.id, bitmap_text(s.deleted.as_deref()?))))
                    .collect(),
                drop: Vec::new(),
            });
            if version.def.columns.iter().any(|c| c.auto_increment) {
                // Taken with try_lock: a writer that is busy logs its own next value afterwards.
                if let Some(writer) = table.writer.try_lock() {
                    ops.push(Op::AutoIncrement { table: table.id, next: writer.auto_next });
                }
            }
        }
        ops.extend(
            state.txns.values().filter(|t| t.state != TxnState::Prepare).map(|t| Op::PutTxn(Box::new(t.clone()))),
        );
        ops.extend(state.jobs.iter().cloned().map(Op::PutJob));
        ops
    }

    /// Writes one record, then lets `publish` change the memory, as one step.
    fn commit_ops(&self, ops: &[Op], publish: impl FnOnce(&mut State)) -> Result<()> {
        let mut log = self.log.lock();
        if self.poisoned.load(Ordering::Acquire) {
            return Err(Error::internal("the warehouse stopped writing after an error of its log")
                .with_hint("look at the disk, then start the warehouse again"));
        }
        if let Err(e) = log.append(ops) {
            self.poisoned.store(true, Ordering::Release);
            return Err(e);
        }
        publish(&mut self.state.write());
        let floor = self.log_floor.load(Ordering::Relaxed);
        if log.bytes() > LOG_BYTES && log.bytes() > floor * 2 {
            let snapshot = self.snapshot();
            if let Err(e) = log.rewrite(&snapshot) {
                self.poisoned.store(true, Ordering::Release);
                return Err(e);
            }
            self.log_floor.store(log.bytes(), Ordering::Relaxed);
        }
        Ok(())
    }

    // ---- databases and tables ----

    pub fn databases(&self) -> Vec<(String, u64)> {
        self.state.read().databases.iter().map(|(n, i)| (n.clone(), *i)).collect()
    }

    pub fn database_id(&self, name: &str) -> Option<u64> {
        self.state.read().databases.get(name).copied()
    }

    /// False when it was there already.
    pub fn create_database(&self, name: &str) -> Result<bool> {
        if self.database_id(name).is_some() {
            return Ok(false);
        }
        let id = self.next_id();
        self.commit_ops(&[Op::PutDatabase { id, name: name.into() }], |state| {
            state.databases.insert(name.into(), id);
        })?;
        Ok(true)
    }

    /// False when it was not there.
    pub fn drop_database(&self, name: &str) -> Result<bool> {
        let Some(id) = self.database_id(name) else { return Ok(false) };
        let tables = self.all_tables(name);
        let mut ops: Vec<Op> = tables.iter().map(|t| Op::DropTable { id: t.id }).collect();
        ops.push(Op::DropDatabase { name: name.into() });
        self.commit_ops(&ops, |state| {
            for table in &tables {
                remove_table(state, table);
            }
            state.databases.remove(name);
            state.txns.retain(|_, t| t.database_id != id);
            state.labels.retain(|(db, _), _| *db != id);
            state.jobs.retain(|j| j.database != name);
        })?;
        Ok(true)
    }

    pub fn table(&self, database: &str, name: &str) -> Option<Arc<Table>> {
        let state = self.state.read();
        let id = state.names.get(&(database.to_string(), name.to_string()))?;
        state.tables.get(id).cloned()
    }

    pub fn table_by_id(&self, id: u64) -> Option<Arc<Table>> {
        self.state.read().tables.get(&id).cloned()
    }

    /// Tables and views of a database by name, without temporary tables.
    pub fn tables(&self, database: &str) -> Vec<Arc<Table>> {
        let state = self.state.read();
        state
            .names
            .iter()
            .filter(|((db, name), _)| db == database && !name.starts_with(HIDDEN))
            .filter_map(|(_, id)| state.tables.get(id).cloned())
            .collect()
    }

    fn all_tables(&self, database: &str) -> Vec<Arc<Table>> {
        self.state.read().tables.values().filter(|t| t.def().database == database).cloned().collect()
    }

    /// Temporary tables of a connection.
    pub fn temporary_tables(&self, session: Option<u64>) -> Vec<Arc<Table>> {
        let mut found: Vec<_> = self
            .state
            .read()
            .tables
            .values()
            .filter(|t| {
                let def = t.def();
                def.session.is_some() && (session.is_none() || def.session == session)
            })
            .cloned()
            .collect();
        found.sort_by_key(|t| t.id);
        found
    }

    pub fn create_table(&self, def: TableDef) -> Result<Arc<Table>> {
        let table = Arc::new(Table::new(TableVersion::empty(Arc::new(def.clone()), self.now_ms())));
        let name = (def.database.clone(), def.name.clone());
        let temporary = def.session.is_some();
        if !temporary && self.state.read().names.contains_key(&name) {
            return Err(Error::refused(format!("Table '{}' already exists", def.name)));
        }
        self.commit_ops(&[Op::PutTable(Box::new(def))], |state| {
            if !temporary {
                state.names.insert(name, table.id);
            }
            state.tables.insert(table.id, table.clone());
        })?;
        Ok(table)
    }

    pub fn drop_table(&self, id: u64) -> Result<()> {
        let Some(table) = self.table_by_id(id) else { return Ok(()) };
        let _writer = table.writer.lock();
        self.commit_ops(&[Op::DropTable { id }], |state| remove_table(state, &table))
    }

    /// Changes a table's definition; data is not touched. `job` is shown as a finished ALTER job.
    pub fn alter_table(
        &self,
        id: u64,
        change: impl FnOnce(&mut TableDef) -> Result<()>,
        job: Option<&str>,
    ) -> Result<()> {
        let table = self.table_by_id(id).ok_or_else(|| Error::refused("the table was dropped"))?;
        let _writer = table.writer.lock();
        let version = table.version();
        let mut def = (*version.def).clone();
        let old_name = (def.database.clone(), def.name.clone());
        change(&mut def)?;
        let new_name = (def.database.clone(), def.name.clone());
        if new_name != old_name && self.state.read().names.contains_key(&new_name) {
            return Err(Error::refused(format!("Table name[{}] is already used", def.name)));
        }
        let mut ops = vec![Op::PutTable(Box::new(def.clone()))];
        let job = job.map(|kind| AlterJob {
            id: self.next_id(),
            database: def.database.clone(),
            table: def.name.clone(),
            table_id: id,
            kind: kind.to_string(),
            created_ms: self.now_ms(),
            transaction: self.next_id(),
        });
        ops.extend(job.iter().cloned().map(Op::PutJob));
        let next = TableVersion { def: Arc::new(def), ..(*version).clone() };
        self.commit_ops(&ops, |state| {
            if new_name != old_name && state.names.remove(&old_name).is_some() {
                state.names.insert(new_name, id);
            }
            table.publish(next);
            state.jobs.extend(job);
            if state.jobs.len() > 1000 {
                state.jobs.remove(0);
            }
        })
    }

    /// `ALTER TABLE a SWAP WITH b`: the two change names.
    pub fn swap_tables(&self, a: u64, b: u64) -> Result<()> {
        let missing = || Error::refused("the table was dropped");
        let (first, second) = (self.table_by_id(a).ok_or_else(missing)?, self.table_by_id(b).ok_or_else(missing)?);
        let (low, high) = if a < b { (&first, &second) } else { (&second, &first) };
        let _low = low.writer.lock();
        let _high = if a == b { None } else { Some(high.writer.lock()) };
        let (va, vb) = (first.version(), second.version());
        let mut da = (*va.def).clone();
        let mut db = (*vb.def).clone();
        std::mem::swap(&mut da.name, &mut db.name);
        self.commit_ops(&[Op::PutTable(Box::new(da.clone())), Op::PutTable(Box::new(db.clone()))], |state| {
            state.names.insert((da.database.clone(), da.name.clone()), a);
            state.names.insert((db.database.clone(), db.name.clone()), b);
            first.publish(TableVersion { def: Arc::new(da), ..(*va).clone() });
            second.publish(TableVersion { def: Arc::new(db), ..(*vb).clone() });
        })
    }

    /// Jobs of a kind, oldest first.
    pub fn jobs(&self, database: &str, kind: &str) -> Vec<AlterJob> {
        self.state.read().jobs.iter().filter(|j| j.database == database && j.kind == kind).cloned().collect()
    }

    // ---- writing ----

    /// Writes rows to a segment that is not yet part of anything.
    pub fn stage(&self, table: u64, batch: &RecordBatch) -> Result<Arc<Segment>> {
        let segment = Arc::new(Segment::write(&self.segments, table, self.next_id(), batch, self.durable)?);
        Ok(segment)
    }

    /// A staged part of a transaction.
    pub fn keep_staged(&self, segment: Arc<Segment>) {
        self.staged.lock().insert(segment.meta.id, segment);
    }

    fn drop_staged(&self, parts: &[StagedPart], forget: bool) {
        let mut staged = self.staged.lock();
        for part in parts {
            if let Some(segment) = staged.remove(&part.segment.id)
                && forget
            {
                segment.forget();
            }
        }
    }

    fn label_check(state: &State, database_id: u64, label: &str, multi: bool) -> Result<(), LabelUsed> {
        for id in state.labels.get(&(database_id, label.to_string())).into_iter().flatten() {
            if let Some(txn) = state.txns.get(id) {
                // A rolled-back label is free again, but not that of a multi-table transaction.
                if txn.state != TxnState::Aborted || (multi && txn.multi) {
                    return Err(LabelUsed { txn: txn.id, state: txn.state });
                }
            }
        }
        Ok(())
    }

    /// Takes a label. The transaction lives in memory until it is prepared or committed.
    pub fn begin(&self, mut txn: Txn) -> Result<u64, LabelUsed> {
        let mut state = self.state.write();
        Self::label_check(&state, txn.database_id, &txn.label, txn.multi)?;
        let id = self.next_id();
        txn.id = id;
        txn.begun_ms = self.clock.now_ms();
        state.labels.entry((txn.database_id, txn.label.clone())).or_default().push(id);
        state.txns.insert(id, txn);
        Ok(id)
    }

    /// A transaction's data for callers that build one.
    pub fn new_txn(&self, database_id: u64, database: &str, label: &str, source: &str) -> Txn {
        Txn {
            id: 0,
            database_id,
            database: database.into(),
            label: label.into(),
            state: TxnState::Prepare,
            reason: None,
            multi: false,
            tables: Vec::new(),
            table_name: String::new(),
            parts: Vec::new(),
            begun_ms: 0,
            prepared_ms: 0,
            finished_ms: 0,
            timeout_s: 600,
            prepared_timeout_s: 86_400,
            source: source.into(),
            user: "root".into(),
            counters: Default::default(),
            error_url: None,
            tracking: None,
        }
    }

    pub fn txn(&self, id: u64) -> Option<Txn> {
        self.state.read().txns.get(&id).cloned()
    }

    /// The newest transaction of a label.
    pub fn txn_of_label(&self, database_id: u64, label: &str) -> Option<Txn> {
        let state = self.state.read();
        let ids = state.labels.get(&(database_id, label.to_string()))?;
        ids.iter().rev().find_map(|id| state.txns.get(id)).cloned()
    }

    /// Transactions of a database, oldest first.
    pub fn txns(&self, database_id: u64) -> Vec<Txn> {
        self.state.read().txns.values().filter(|t| t.database_id == database_id).cloned().collect()
    }

    pub fn all_txns(&self) -> Vec<Txn> {
        self.state.read().txns.values().cloned().collect()
    }

    /// Changes a running transaction in memory (parts, counters). None when it is not there.
    pub fn update_txn<T>(&self, id: u64, change: impl FnOnce(&mut Txn) -> T) -> Option<T> {
        self.state.write().txns.get_mut(&id).map(change)
    }

    fn auto_ops(&self, tables: &[u64]) -> Vec<Op> {
        let mut ops = Vec::new();
        for id in tables {
            if let Some(table) = self.table_by_id(*id)
                && table.def().columns.iter().any(|c| c.auto_increment)
            {
                ops.push(Op::AutoIncrement { table: *id, next: table.writer.lock().auto_next });
            }
        }
        ops
    }

    fn sync_segments(&self) -> Result<()> {
        if self.durable { sync_folder(&self.segments) } else { Ok(()) }
    }

    /// Makes certain that the transaction can be committed, whatever happens to this process.
    pub fn prepare(&self, id: u64, prepared_timeout_s: Option<u64>) -> Result<Txn> {
        let mut txn = self.txn(id).ok_or_else(|| Error::refused(format!("transaction {id} does not exist")))?;
        if txn.state != TxnState::Prepare {
            return Err(Error::refused(format!("transaction {id} is {}, not PREPARE", txn.state.name())));
        }
        txn.state = TxnState::Prepared;
        txn.prepared_ms = self.now_ms();
        if let Some(seconds) = prepared_timeout_s {
            txn.prepared_timeout_s = seconds;
        }
        self.sync_segments()?;
        let mut ops = self.auto_ops(&txn.tables);
        ops.push(Op::PutTxn(Box::new(txn.clone())));
        self.commit_ops(&ops, |state| {
            state.txns.insert(id, txn.clone());
        })?;
        Ok(txn)
    }

    /// Makes the transaction's rows visible in all of its tables at once.
    pub fn commit(&self, id: u64) -> Result<Txn> {
        self.commit_replacing(id, None)
    }

    /// Like [`Store::commit`]; the rows of one table that `replace` picks are removed in the same step
    /// (INSERT OVERWRITE).
    pub fn commit_replacing(&self, id: u64, replace: Option<(u64, &Picker<'_>)>) -> Result<Txn> {
        let mut txn = self.txn(id).ok_or_else(|| Error::refused(format!("transaction {id} does not exist")))?;
        if !matches!(txn.state, TxnState::Prepare | TxnState::Prepared) {
            return Err(Error::refused(format!("transaction {id} is {}", txn.state.name())));
        }
        let mut ids: Vec<u64> = txn.parts.iter().map(|p| p.segment.table).chain(replace.iter().map(|r| r.0)).collect();
        ids.sort_unstable();
        ids.dedup();
        let tables: Vec<Arc<Table>> = ids.iter().filter_map(|t| self.table_by_id(*t)).collect();
        // Writers are locked in the order of table ids, so two commits cannot wait for each other.
        let mut writers: Vec<_> = tables.iter().map(|t| t.writer.lock()).collect();
        let mut ops = Vec::new();
        let mut next_versions = Vec::new();
        let mut gone_segments: Vec<Arc<Segment>> = Vec::new();
        let now = self.now_ms();
        let result = (|| -> Result<()> {
            for (table, writer) in tables.iter().zip(writers.iter_mut()) {
                let version = table.version();
                let parts: Vec<(StagedPart, Arc<Segment>)> = {
                    let staged = self.staged.lock();
                    txn.parts
                        .iter()
                        .filter(|p| p.segment.table == table.id)
                        .map(|p| match staged.get(&p.segment.id) {
                            Some(s) => Ok((p.clone(), s.clone())),
                            None => Err(Error::internal(format!("staged segment {} is missing", p.segment.id))),
                        })
                        .collect::<Result<_>>()?
                };
                let gone = match replace {
                    Some((id, pick)) if id == table.id => pick(&version)?,
                    _ => HashMap::new(),
                };
                if !gone.is_empty() && version.def.model.is_keyed() {
                    remove_from_index(writer, &version, &gone)?;
                }
                let mut changes = merge(self, &version, writer, &parts)?;
                for (segment, rows) in gone {
                    *changes.deleted.entry(segment).or_default() |= rows;
                }
                let (next, op, dropped) = self.next_version(&version, changes, now);
                gone_segments.extend(dropped);
                ops.push(op);
                if version.def.columns.iter().any(|c| c.auto_increment) {
                    ops.push(Op::AutoIncrement { table: table.id, next: writer.auto_next });
                }
                next_versions.push(next);
            }
            self.sync_segments()
        })();
        if let Err(e) = result {
            // The index may have moved; it is rebuilt from what is committed.
            for (table, writer) in tables.iter().zip(writers.iter_mut()) {
                build_index(writer, &table.version())?;
            }
            return Err(e);
        }
        let parts = std::mem::take(&mut txn.parts);
        txn.state = TxnState::Visible;
        txn.finished_ms = now;
        ops.push(Op::PutTxn(Box::new(txn.clone())));
        self.commit_ops(&ops, |state| {
            for (table, next) in tables.iter().zip(next_versions) {
                table.publish(next);
            }
            state.txns.insert(id, txn.clone());
            retain_labels(state, txn.database_id, now);
        })?;
        // Files go only after the record that drops them is on disk.
        gone_segments.iter().for_each(|s| s.forget());
        self.drop_merged(&tables, &parts);
        for (table, writer) in tables.iter().zip(writers.iter_mut()) {
            self.compact(table, writer)?;
        }
        Ok(txn)
    }

    /// Staged segments that did not become segments of their table are removed.
    fn drop_merged(&self, tables: &[Arc<Table>], parts: &[StagedPart]) {
        let mut staged = self.staged.lock();
        for part in parts {
            if let Some(segment) = staged.remove(&part.segment.id) {
                let kept = tables
                    .iter()
                    .find(|t| t.id == part.segment.table)
                    .is_some_and(|t| t.version().segment(part.segment.id).is_some());
                if !kept {
                    segment.forget();
                }
            }
        }
    }

    fn next_version(
        &self,
        version: &TableVersion,
        changes: Changes,
        now: i64,
    ) -> (TableVersion, Op, Vec<Arc<Segment>>) {
        let mut next = version.clone();
        next.version += 1;
        next.committed_ms = now;
        for segment in &changes.added {
            next.segments.push(SegmentView { segment: segment.clone(), deleted: None });
        }
        next.segments.sort_by_key(|s| s.segment.meta.id);
        let mut delete = Vec::new();
        for (id, rows) in &changes.deleted {
            if let Ok(at) = next.segments.binary_search_by_key(id, |s| s.segment.meta.id) {
                let view = &mut next.segments[at];
                let merged = match &view.deleted {
                    Some(old) => &**old | rows,
                    None => rows.clone(),
                };
                view.deleted = Some(Arc::new(merged));
                delete.push((*id, bitmap_text(rows)));
            }
        }
        // Segments without a live row go at once.
        let dropped: Vec<Arc<Segment>> =
            next.segments.iter().filter(|s| s.live_rows() == 0).map(|s| s.segment.clone()).collect();
        let drop: Vec<u64> = dropped.iter().map(|s| s.meta.id).collect();
        next.segments.retain(|s| s.live_rows() > 0);
        let op = Op::Apply {
            table: version.def.id,
            version: next.version,
            add: changes.added.iter().map(|s| s.meta.clone()).collect(),
            delete,
            drop,
        };
        (next, op, dropped)
    }

    /// Deletes rows that a bitmap per segment names, found in `version`. False when the table has
    /// moved on and the caller must look again.
    pub fn delete_rows(
        &self,
        table: &Arc<Table>,
        version: &Arc<TableVersion>,
        rows: &HashMap<u64, RoaringBitmap>,
    ) -> Result<bool> {
        let mut writer = table.writer.lock();
        if !Arc::ptr_eq(&table.version(), version) {
            return Ok(false);
        }
        if rows.values().all(RoaringBitmap::is_empty) {
            return Ok(true);
        }
        if version.def.model.is_keyed() {
            remove_from_index(&mut writer, version, rows)?;
        }
        let changes = Changes { added: Vec::new(), deleted: rows.clone() };
        let (next, op, dropped) = self.next_version(version, changes, self.now_ms());
        self.commit_ops(&[op], |_| table.publish(next))?;
        dropped.iter().for_each(|s| s.forget());
        Ok(true)
    }

    /// TRUNCATE: no rows, same definition.
    pub fn truncate(&self, table: &Arc<Table>) -> Result<()> {
        let mut writer = table.writer.lock();
        let version = table.version();
        let op = Op::Apply {
            table: table.id,
            version: version.version + 1,
            add: Vec::new(),
            delete: Vec::new(),
            drop: version.segments.iter().map(|s| s.segment.meta.id).collect(),
        };
        let next = TableVersion {
            version: version.version + 1,
            def: version.def.clone(),
            segments: Vec::new(),
            committed_ms: self.now_ms(),
        };
        self.commit_ops(&[op], |_| table.publish(next))?;
        writer.index.clear();
        for view in &version.segments {
            view.segment.forget();
        }
        Ok(())
    }

    /// Gives a transaction up; its label is free again. Repeating it changes nothing.
    pub fn abort(&self, id: u64, reason: &str) -> Result<()> {
        let Some(mut txn) = self.txn(id) else { return Ok(()) };
        if txn.state.is_final() {
            return Ok(());
        }
        let logged = txn.state == TxnState::Prepared;
        let parts = std::mem::take(&mut txn.parts);
        txn.state = TxnState::Aborted;
        txn.reason = Some(reason.to_string());
        txn.finished_ms = self.now_ms();
        let now = txn.finished_ms;
        if logged {
            self.commit_ops(&[Op::PutTxn(Box::new(txn.clone()))], |state| {
                state.txns.insert(id, txn.clone());
                retain_labels(state, txn.database_id, now);
            })?;
        } else {
            let mut state = self.state.write();
            state.txns.insert(id, txn.clone());
            retain_labels(&mut state, txn.database_id, now);
        }
        self.drop_staged(&parts, true);
        Ok(())
    }

    /// Forgets a label, as a busy server does after some time (a fault for tests).
    pub fn forget_label(&self, database_id: u64, label: &str) -> Result<()> {
        let ids: Vec<u64> =
            self.state.read().labels.get(&(database_id, label.to_string())).cloned().unwrap_or_default();
        let ops: Vec<Op> = ids.iter().map(|id| Op::ForgetTxn { id: *id }).collect();
        self.commit_ops(&ops, |state| {
            for id in &ids {
                state.txns.remove(id);
            }
            state.labels.remove(&(database_id, label.to_string()));
        })
    }

    /// Aborts what has waited longer than its own limits.
    pub fn expire(&self) -> Result<()> {
        let now = self.now_ms();
        let late: Vec<(u64, TxnState)> = self
            .state
            .read()
            .txns
            .values()
            .filter(|t| t.expires_ms().is_some_and(|at| at <= now))
            .map(|t| (t.id, t.state))
            .collect();
        for (id, _) in late {
            self.abort(id, "timeout by txn manager")?;
        }
        Ok(())
    }

    /// Merges small segments into one, and drops rows that are gone.
    fn compact(&self, table: &Arc<Table>, writer: &mut Writer) -> Result<()> {
        let version = table.version();
        let small: Vec<&SegmentView> = version.segments.iter().filter(|s| s.live_rows() < SMALL_ROWS).collect();
        if small.len() < SMALL_SEGMENTS {
            return Ok(());
        }
        let mut rows = 0;
        let chosen: Vec<&SegmentView> = small
            .into_iter()
            .take_while(|s| {
                rows += s.live_rows();
                rows <= MERGED_ROWS
            })
            .collect();
        let def = &version.def;
        let schema = def.schema();
        let all: Vec<usize> = (0..def.columns.len()).collect();
        // NOT NULL is no matter of storage: a column may have been made so later.
        let loose = Arc::new(arrow::datatypes::Schema::new(
            schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>(),
        ));
        let mut batches = Vec::with_capacity(chosen.len());
        for view in &chosen {
            batches.push(read_rows(view, def, &loose, &all, 0, view.segment.rows())?);
        }
        let merged = arrow::compute::concat_batches(&loose, &batches)
            .map_err(|e| Error::internal("cannot merge segments").with_source(e))?;
        let stored = super::merge::stored_batch(def, merged.columns().to_vec())?;
        let segment = self.stage(table.id, &stored)?;
        self.sync_segments()?;
        let drop: Vec<u64> = chosen.iter().map(|s| s.segment.meta.id).collect();
        let op = Op::Apply {
            table: table.id,
            version: version.version,
            add: vec![segment.meta.clone()],
            delete: Vec::new(),
            drop: drop.clone(),
        };
        let mut next = (*version).clone();
        let (gone, kept): (Vec<_>, Vec<_>) = next.segments.drain(..).partition(|s| drop.contains(&s.segment.meta.id));
        next.segments = kept;
        next.segments.push(SegmentView { segment: segment.clone(), deleted: None });
        next.segments.sort_by_key(|s| s.segment.meta.id);
        if def.model.is_keyed() {
            for (row, key) in keys_of(def, &segment)?.into_iter().enumerate() {
                writer.index.put(key, Place { segment: segment.meta.id as u32, row: row as u32 });
            }
        }
        self.commit_ops(&[op], |_| table.publish(next))?;
        for view in gone {
            view.segment.forget();
        }
        Ok(())
    }
}

impl Target for Store {
    fn write(&self, table: u64, batch: &RecordBatch) -> Result<Arc<Segment>> {
        self.stage(table, batch)
    }

    fn generate(&self, def: &TableDef, batch: RecordBatch) -> Result<RecordBatch> {
        match self.hooks.get() {
            Some(hooks) => hooks.generate(def, batch),
            None => Ok(batch),
        }
    }

    fn default_value(&self, column: &ColumnDef) -> Result<Value> {
        match self.hooks.get() {
            Some(hooks) => hooks.default_value(column),
            None => Ok(Value::Null),
        }
    }
}

fn remove_table(state: &mut State, table: &Arc<Table>) {
    let version = table.version();
    let name = (version.def.database.clone(), version.def.name.clone());
    if state.names.get(&name) == Some(&table.id) {
        state.names.remove(&name);
    }
    state.tables.remove(&table.id);
    for view in &version.segments {
        view.segment.forget();
    }
}

/// Drops the oldest finished transactions beyond the limits.
fn retain_labels(state: &mut State, database_id: u64, now: i64) {
    let finished: Vec<(u64, i64)> = state
        .txns
        .values()
        .filter(|t| t.database_id == database_id && t.state.is_final())
        .map(|t| (t.id, t.finished_ms))
        .collect();
    let excess = finished.len().saturating_sub(LABEL_KEEP_NUM);
    for (i, (id, at)) in finished.into_iter().enumerate() {
        if (i < excess || now - at > LABEL_KEEP_SECONDS * 1000)
            && let Some(txn) = state.txns.remove(&id)
        {
            let key = (txn.database_id, txn.label);
            if let Some(ids) = state.labels.get_mut(&key) {
                ids.retain(|i| *i != id);
                if ids.is_empty() {
                    state.labels.remove(&key);
                }
            }
        }
    }
}

/// Rebuilds a table's index from its segments.
fn build_index(writer: &mut Writer, version: &TableVersion) -> Result<()> {
    writer.index.clear();
    if !version.def.model.is_keyed() {
        return Ok(());
    }
    writer.index.reserve(version.rows() as usize);
    for view in &version.segments {
        for (row, key) in keys_of(&version.def, &view.segment)?.into_iter().enumerate() {
            let row = row as u32;
            if !view.deleted.as_ref().is_some_and(|d| d.contains(row)) {
                writer.index.put(key, Place { segment: view.segment.meta.id as u32, row });
            }
        }
    }
    Ok(())
}

fn remove_from_index(writer: &mut Writer, version: &TableVersion, rows: &HashMap<u64, RoaringBitmap>) -> Result<()> {
    for (id, rows) in rows {
        let Some(view) = version.segment(*id) else { continue };
        let keys = keys_of(&version.def, &view.segment)?;
        for row in rows {
            let gone = view.deleted.as_ref().is_some_and(|d| d.contains(row));
            if let (false, Some(key)) = (gone, keys.get(row as usize)) {
                writer.index.remove(key);
            }
        }
    }
    Ok(())
}
