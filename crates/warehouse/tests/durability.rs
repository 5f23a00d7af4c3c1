//! A directory that is opened again has every acknowledged commit, every prepared transaction, and
//! nothing else.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use starweir_model::SystemClock;
use starweir_warehouse::catalog::{ColumnDef, Distribution, TableDef, TableModel};
use starweir_warehouse::store::txn::StagedPart;
use starweir_warehouse::store::{Store, StoreConfig, TxnState};
use starweir_warehouse::types::SqlType;

fn open(dir: &std::path::Path) -> starweir_model::Result<Arc<Store>> {
    Store::open(StoreConfig { dir: dir.to_path_buf(), durable: true, clock: Arc::new(SystemClock) })
}

fn column(id: u32, name: &str, sql_type: SqlType, key: bool) -> ColumnDef {
    ColumnDef { id, nullable: !key, key, ..ColumnDef::new(name.into(), sql_type) }
}

fn table(id: u64) -> TableDef {
    TableDef {
        id,
        database: "d".into(),
        name: "t".into(),
        model: TableModel::Primary,
        columns: vec![column(1, "k", SqlType::BigInt, true), column(2, "v", SqlType::STRING, false)],
        next_column_id: 3,
        distribution: Distribution::Random,
        buckets: None,
        order_by: vec![],
        partition_by: None,
        partitions: vec![],
        properties: Default::default(),
        comment: String::new(),
        indexes: vec![],
        created_ms: 0,
        view: None,
        session: None,
    }
}

fn rows(keys: &[i64], value: &str) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("c1", DataType::Int64, true), Field::new("c2", DataType::Utf8, true)]);
    RecordBatch::try_new(
        Arc::new(schema),
        vec![Arc::new(Int64Array::from(keys.to_vec())), Arc::new(StringArray::from(vec![value; keys.len()]))],
    )
    .unwrap()
}

fn begin(store: &Store, label: &str, table: u64, batch: &RecordBatch) -> u64 {
    let id = store.begin(store.new_txn(store.database_id("d").unwrap(), "d", label, "TEST")).unwrap();
    let segment = store.stage(table, batch).unwrap();
    let part = StagedPart { segment: segment.meta.clone(), partial: None, condition: None, update_only: false };
    store.keep_staged(segment);
    store.update_txn(id, |t| {
        t.parts.push(part);
        t.tables.push(table);
    });
    id
}

fn folder(name: &str) -> std::path::PathBuf {
    let dir = std::env::temp_dir().join(format!("starweir-test-{name}-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

#[test]
fn prepared_early_and_committed_late_survives_and_wins() {
    let dir = folder("late");
    let id;
    {
        let store = open(&dir).unwrap();
        store.create_database("d").unwrap();
        id = store.next_id();
        store.create_table(table(id)).unwrap();
        let early = begin(&store, "early", id, &rows(&[1, 2, 2], "early"));
        store.prepare(early, None).unwrap();
        let other = begin(&store, "other", id, &rows(&[2, 3], "other"));
        store.commit(other).unwrap();
        // Never prepared: not promised.
        begin(&store, "lost", id, &rows(&[9], "lost"));
    }
    let store = open(&dir).unwrap();
    let db = store.database_id("d").unwrap();
    assert_eq!(store.table_by_id(id).unwrap().version().rows(), 2);
    assert_eq!(store.txn_of_label(db, "early").unwrap().state, TxnState::Prepared);
    assert_eq!(store.txn_of_label(db, "other").unwrap().state, TxnState::Visible);
    assert!(store.txn_of_label(db, "lost").is_none());
    assert!(store.begin(store.new_txn(db, "d", "other", "TEST")).is_err(), "a committed label stays used");
    store.commit(store.txn_of_label(db, "early").unwrap().id).unwrap();
    assert_eq!(store.table_by_id(id).unwrap().version().rows(), 3);
    drop(store);
    let store = open(&dir).unwrap();
    assert_eq!(store.table_by_id(id).unwrap().version().rows(), 3);
    assert_eq!(store.txn_of_label(store.database_id("d").unwrap(), "early").unwrap().state, TxnState::Visible);
    drop(store);
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_cut_log_end_is_removed_and_any_other_damage_is_named_and_refused() {
    let dir = folder("damage");
    let id;
    {
        let store = open(&dir).unwrap();
        store.create_database("d").unwrap();
        id = store.next_id();
        store.create_table(table(id)).unwrap();
        let t = begin(&store, "a", id, &rows(&[1], "a"));
        store.commit(t).unwrap();
        let t = begin(&store, "b", id, &rows(&[2], "b"));
        store.commit(t).unwrap();
    }
    let log = dir.join("redo.log");
    let whole = std::fs::read(&log).unwrap();
    std::fs::write(&log, &whole[..whole.len() - 3]).unwrap();
    {
        let store = open(&dir).unwrap();
        assert_eq!(store.table_by_id(id).unwrap().version().rows(), 1, "the record that was cut is not there");
        let t = begin(&store, "c", id, &rows(&[3], "c"));
        store.commit(t).unwrap();
    }
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    std::fs::write(&log, &bytes).unwrap();
    let error = open(&dir).err().expect("damage is refused");
    assert!(error.chain().contains("redo.log"), "{}", error.chain());
    bytes[middle] ^= 0x55;
    std::fs::write(&log, &bytes).unwrap();
    let segment = std::fs::read_dir(dir.join("segments")).unwrap().next().unwrap().unwrap().path();
    let mut data = std::fs::read(&segment).unwrap();
    let at = data.len() / 2;
    data[at] ^= 1;
    std::fs::write(&segment, data).unwrap();
    let error = open(&dir).err().expect("a damaged segment is refused");
    assert!(error.chain().contains(".arrow"), "{}", error.chain());
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn two_processes_cannot_have_one_directory() {
    let dir = folder("lock");
    let store = open(&dir).unwrap();
    assert!(open(&dir).is_err());
    drop(store);
    open(&dir).unwrap();
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn many_small_commits_are_merged_and_keep_every_key() {
    let dir = folder("small");
    let id;
    {
        let store = open(&dir).unwrap();
        store.create_database("d").unwrap();
        id = store.next_id();
        store.create_table(table(id)).unwrap();
        for i in 0..200i64 {
            let t = begin(&store, &format!("l{i}"), id, &rows(&[i, i / 2], "x"));
            store.commit(t).unwrap();
        }
        let version = store.table_by_id(id).unwrap().version();
        assert_eq!(version.rows(), 200);
        assert!(version.segments.len() < 100, "{}", version.segments.len());
    }
    let store = open(&dir).unwrap();
    assert_eq!(store.table_by_id(id).unwrap().version().rows(), 200);
    std::fs::remove_dir_all(dir).unwrap();
}
