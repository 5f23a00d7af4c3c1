//! The source of a script over a capture that a test scripts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::util::display::array_value_to_string;
use async_trait::async_trait;
use parking_lot::Mutex;
use starweir_engine::{
    CdcEvent, CdcPolled, CdcReader, CdcSource, Lane, Polled, Reader, Source, SplitOffsets, TableProgress, TableRows,
};
use starweir_model::{
    ChangeBatch, Column, DataType, Error, Offset, Result, RowKind, RowKinds, Schema, SchemaChange, Selector,
    SystemClock, TableColumn, TableId, TableSchema,
};

use super::{Capture, Mode, Zone, build, debezium};
use crate::registry::{SourceRequest, Wanted};

/// What a capture did and was told.
#[derive(Default)]
struct Log {
    /// States it was opened with.
    opened: Vec<Option<String>>,
    acknowledged: Vec<String>,
}

/// What a poll gives, by the table's schema then.
type Poll = fn(&TableSchema) -> CdcPolled;

#[derive(Clone)]
struct Scripted {
    schema: TableSchema,
    polls: Arc<Vec<Poll>>,
    log: Arc<Mutex<Log>>,
}

fn table() -> TableId {
    TableId::in_schema("shop", "orders")
}

#[async_trait]
impl CdcSource for Scripted {
    fn identity(&self) -> String {
        "scripted".into()
    }

    fn is_bounded(&self) -> bool {
        false
    }

    async fn discover(&self) -> Result<Vec<(TableId, TableSchema)>> {
        Ok(vec![(table(), self.schema.clone())])
    }

    async fn open(&self, restored: Option<&Offset>) -> Result<Box<dyn CdcReader>> {
        self.log.lock().opened.push(restored.map(|o| o.0.clone()));
        let at: usize = restored.map_or(0, |o| o.0.parse().unwrap());
        let schema = self.schema.clone();
        let announced = SchemaChange::CreateTable { table: table(), schema: schema.clone() };
        Ok(Box::new(ScriptedReader {
            announced: Some(announced),
            left: self.polls.iter().skip(at).copied().collect(),
            at,
            schema,
            log: self.log.clone(),
        }))
    }
}

struct ScriptedReader {
    announced: Option<SchemaChange>,
    left: VecDeque<Poll>,
    at: usize,
    schema: TableSchema,
    log: Arc<Mutex<Log>>,
}

#[async_trait]
impl CdcReader for ScriptedReader {
    async fn poll(&mut self, _: Duration) -> Result<CdcPolled> {
        let Some(next) = self.left.pop_front() else {
            return Ok(CdcPolled { boundary: true, finished: true, ..CdcPolled::default() });
        };
        self.at += 1;
        let mut polled = next(&self.schema);
        for event in &polled.events {
            if let CdcEvent::Schema(change) = event {
                self.schema = self.schema.after(change).unwrap();
            }
        }
        if let Some(create) = self.announced.take() {
            polled.events.insert(0, CdcEvent::Schema(create));
        }
        Ok(polled)
    }

    fn state(&self) -> Result<Offset> {
        Ok(Offset(self.at.to_string()))
    }

    fn place(&self) -> String {
        format!("poll {}", self.at)
    }

    async fn acknowledge(&mut self, state: &Offset) -> Result<()> {
        self.log.lock().acknowledged.push(state.0.clone());
        Ok(())
    }

    fn progress(&self) -> Vec<TableProgress> {
        vec![TableProgress { table: table(), phase: "streaming", chunks_done: 0, chunks: 0 }]
    }
}

/// Rows of `id INT, name STRING, qty BIGINT`, at the boundary or not.
fn rows(changes: &[(RowKind, i32, Option<&str>, Option<i64>)], boundary: bool) -> CdcPolled {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(changes.iter().map(|c| Some(c.1)).collect::<Int32Array>())),
        ("name", Arc::new(changes.iter().map(|c| c.2).collect::<StringArray>())),
        ("qty", Arc::new(changes.iter().map(|c| c.3).collect::<Int64Array>())),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let kinds = RowKinds::from_vec(changes.iter().map(|c| c.0).collect());
    let meta = vec![("op_ts".into(), vec!["1500".into(); changes.len()])];
    let rows = TableRows::Columns { changes: ChangeBatch::new(batch, kinds), meta };
    CdcPolled { events: vec![CdcEvent::Rows { table: table(), rows }], bytes: 10, boundary, ..CdcPolled::default() }
}

fn change(change: SchemaChange) -> CdcPolled {
    CdcPolled { events: vec![CdcEvent::Schema(change)], boundary: true, ..CdcPolled::default() }
}

fn columns(of: &[(&str, &str)]) -> Vec<Column> {
    of.iter().map(|(name, of)| Column::new(*name, of.parse::<DataType>().unwrap())).collect()
}

/// A runtime, and the script's table over a capture of `shop.orders (id INT, name STRING, qty BIGINT)`.
struct Table {
    runtime: tokio::runtime::Runtime,
    source: Arc<dyn Source>,
    log: Arc<Mutex<Log>>,
}

impl Table {
    fn new(
        declared: &[(&str, &str)],
        metadata: &[(&str, &str)],
        mode: Mode,
        skipped: debezium::Skipped,
        polls: Vec<Poll>,
    ) -> Self {
        let physical = Schema::new(columns(declared)).with_primary_key(vec![0]);
        let mut wanted: Vec<Wanted> = (0..physical.columns.len()).map(Wanted::Physical).collect();
        wanted.extend(
            metadata
                .iter()
                .map(|(key, of)| Wanted::Metadata { key: (*key).to_owned(), data_type: of.parse().unwrap() }),
        );
        let request = SourceRequest {
            table: "src",
            physical: &physical,
            wanted: &wanted,
            options: &[],
            batch: false,
            zone: "UTC",
            seed: 0,
            clock: Arc::new(SystemClock),
        };
        let captured = [("id", "INT NOT NULL"), ("name", "STRING"), ("qty", "BIGINT")];
        let captured = captured.iter().map(|(n, of)| TableColumn::new(*n, of.parse().unwrap())).collect();
        let log: Arc<Mutex<Log>> = Arc::default();
        let schema = TableSchema { columns: captured, primary_keys: vec!["id".into()], ..TableSchema::default() };
        let cdc = Arc::new(Scripted { schema, polls: Arc::new(polls), log: log.clone() });
        let selector = Selector::from_expressions(&["shop", "orders"]).unwrap();
        let source = build(&request, Capture { cdc, selector, mode, zone: Zone::Fixed(0), skipped }).source;
        Self { runtime: tokio::runtime::Runtime::new().unwrap(), source, log }
    }

    /// As the engine opens it: on a thread of its own, within the runtime's context.
    fn open(&self, restored: &SplitOffsets) -> Result<Box<dyn Reader>> {
        let _context = self.runtime.enter();
        self.source.open(Lane { index: 0, count: 1 }, restored)
    }

    /// Everything until the end, one text per row.
    fn read(&self) -> Result<Vec<String>> {
        let mut reader = self.open(&SplitOffsets::new())?;
        let mut rows = Vec::new();
        loop {
            match reader.poll(Duration::ZERO)? {
                Polled::Batch { batch, .. } => rows.extend(texts(&batch)),
                Polled::Idle => {}
                Polled::Finished => return Ok(rows),
            }
        }
    }
}

fn texts(batch: &ChangeBatch) -> Vec<String> {
    let row = |row: usize| {
        let cells = batch.batch.columns().iter().map(|c| match c.is_null(row) {
            true => "-".to_owned(),
            false => array_value_to_string(c, row).unwrap(),
        });
        format!("{} {}", batch.kinds.at(row).short(), cells.collect::<Vec<_>>().join(","))
    };
    (0..batch.rows()).map(row).collect()
}

const DECLARED: &[(&str, &str)] = &[("id", "BIGINT NOT NULL"), ("qty", "DECIMAL(20, 0)"), ("name", "STRING")];

fn fails(result: Result<Vec<String>>) -> Error {
    match result {
        Ok(rows) => panic!("it was read: {rows:?}"),
        Err(error) => error,
    }
}

use RowKind::{Delete as D, Insert as I, UpdateAfter as A, UpdateBefore as B};

#[test]
fn declared_columns_come_by_name_whatever_the_captured_order_with_their_metadata() {
    let metadata =
        [("table_name", "STRING"), ("database_name", "STRING"), ("op_ts", "TIMESTAMP_LTZ(3)"), ("row_kind", "STRING")];
    let polls: Vec<Poll> = vec![|_| rows(&[(I, 1, Some("a"), Some(5)), (I, 2, None, None)], true), |_| {
        rows(&[(B, 1, Some("a"), Some(5)), (A, 1, Some("b"), Some(6)), (D, 2, None, None)], true)
    }];
    let table = Table::new(DECLARED, &metadata, Mode::All, debezium::Skipped::default(), polls);
    assert_eq!(
        table.read().unwrap(),
        [
            "+I 1,5,a,orders,shop,1970-01-01T00:00:01.500Z,+I",
            "+I 2,-,-,orders,shop,1970-01-01T00:00:01.500Z,+I",
            "-U 1,5,a,orders,shop,1970-01-01T00:00:01.500Z,-U",
            "+U 1,6,b,orders,shop,1970-01-01T00:00:01.500Z,+U",
            "-D 2,-,-,orders,shop,1970-01-01T00:00:01.500Z,-D",
        ]
    );
}

#[test]
fn a_declaration_that_does_not_fit_is_refused_before_the_first_row_with_every_column() {
    let declared = [("id", "SMALLINT NOT NULL"), ("qty", "INT"), ("nam", "STRING"), ("name", "STRING")];
    let table = Table::new(&declared, &[], Mode::All, debezium::Skipped::default(), Vec::new());
    let told = fails(table.read()).chain();
    for part in [
        "column 'id' is declared SMALLINT, which cannot hold the INT of table shop.orders; declare it INT",
        "column 'qty' is declared INT, which cannot hold the BIGINT of table shop.orders; declare it BIGINT",
        "column 'nam' is not in table shop.orders (did you mean 'name'?)",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert!(table.log.lock().opened.is_empty(), "nothing is opened at the server");
}

#[test]
fn changes_of_the_captured_table_do_not_reach_the_script() {
    const ADDED: Poll = |_| {
        let column = TableColumn::new("extra", "INT".parse().unwrap());
        let added = starweir_model::AddedColumn { column, position: starweir_model::ColumnPosition::First };
        change(SchemaChange::AddColumn { table: table(), columns: vec![added] })
    };
    const DROPPED: Poll = |_| change(SchemaChange::DropColumn { table: table(), columns: vec!["name".into()] });
    const NARROWED: Poll = |_| {
        let types = vec![("qty".into(), "STRING".parse().unwrap())];
        change(SchemaChange::AlterColumnType { table: table(), types, old_types: vec![], comments: vec![] })
    };
    /// A row of the shape in force.
    const ROW: Poll = |schema| {
        let full = rows(&[(I, 7, Some("n"), Some(9))], true);
        let [CdcEvent::Rows { rows: TableRows::Columns { changes, .. }, .. }] = &full.events[..] else { panic!() };
        let arrays = schema.columns.iter().map(|c| {
            let found = changes.batch.column_by_name(&c.name).cloned();
            found.unwrap_or_else(|| Arc::new(Int32Array::from(vec![1])) as ArrayRef)
        });
        let batch = RecordBatch::try_new(schema.to_arrow(), arrays.collect()).unwrap();
        let rows = TableRows::Columns { changes: ChangeBatch::inserts(batch), meta: Vec::new() };
        CdcPolled { events: vec![CdcEvent::Rows { table: table(), rows }], boundary: true, ..CdcPolled::default() }
    };
    let none = debezium::Skipped::default();
    let script = Table::new(DECLARED, &[], Mode::All, none, vec![ROW, ADDED, ROW, DROPPED, ROW]);
    assert_eq!(script.read().unwrap(), ["+I 7,9,n", "+I 7,9,n", "+I 7,9,-"]);

    let not_null = [("id", "BIGINT NOT NULL"), ("name", "STRING NOT NULL")];
    let error = fails(Table::new(&not_null, &[], Mode::All, none, vec![ROW, DROPPED, ROW]).read()).chain();
    assert!(error.contains("column 'name' is gone from table shop.orders and declared NOT NULL"), "{error}");

    let numbers = [("id", "BIGINT NOT NULL"), ("qty", "BIGINT")];
    let error = fails(Table::new(&numbers, &[], Mode::All, none, vec![ROW, NARROWED, ROW]).read()).chain();
    assert!(error.contains("column 'qty' is declared BIGINT, which cannot hold the STRING"), "{error}");

    let truncated: Poll = |_| change(SchemaChange::TruncateTable { table: table() });
    assert_eq!(Table::new(&numbers, &[], Mode::All, none, vec![ROW, truncated, ROW]).read().unwrap().len(), 2);
}

#[test]
fn modes_decide_which_changes_come() {
    let polls: Vec<Poll> = vec![|_| {
        let changes = [
            (I, 1, None, None),
            (B, 1, None, None),
            (A, 1, None, None),
            (B, 1, None, None),
            (A, 2, None, None),
            (D, 2, None, None),
        ];
        rows(&changes, true)
    }];
    let declared = [("id", "INT NOT NULL")];
    let none = debezium::Skipped::default();
    let without_deletes = debezium::Skipped { deletes: true, updates: false };
    for (mode, skipped, expected) in [
        (Mode::All, none, "+I 1|-U 1|+U 1|-U 1|+U 2|-D 2"),
        (Mode::Upsert, none, "+I 1|+U 1|-D 1|+U 2|-D 2"),
        (Mode::AppendOnly, none, "+I 1|+I 1|+I 1|+I 1|+I 2|+I 2"),
        (Mode::All, without_deletes, "+I 1|-U 1|+U 1|-U 1|+U 2"),
        (Mode::All, debezium::Skipped { deletes: true, updates: true }, "+I 1"),
    ] {
        let got = Table::new(&declared, &[], mode, skipped, polls.clone()).read().unwrap();
        assert_eq!(got.join("|"), expected, "{mode:?} {skipped:?}");
    }
}

#[test]
fn a_null_that_is_declared_not_null_is_an_error_except_in_a_deleted_row() {
    let declared = [("id", "INT NOT NULL"), ("name", "STRING NOT NULL")];
    let deleted: Poll = |_| rows(&[(D, 1, None, None)], true);
    let inserted: Poll = |_| rows(&[(I, 1, None, None)], true);
    let none = debezium::Skipped::default();
    assert_eq!(Table::new(&declared, &[], Mode::Upsert, none, vec![deleted]).read().unwrap(), ["-D 1,-"]);
    let error = fails(Table::new(&declared, &[], Mode::Upsert, none, vec![inserted]).read()).chain();
    assert!(error.contains("column 'name' of table shop.orders") && error.contains("NOT NULL"), "{error}");
}

#[test]
fn an_epoch_ends_at_boundaries_and_the_capture_hears_of_it_also_after_its_reader() {
    let polls: Vec<Poll> = vec![
        |_| rows(&[(I, 1, None, None)], false),
        |_| {
            let mut polled = rows(&[(I, 2, None, None)], true);
            polled.events.extend(rows(&[(I, 3, None, None)], true).events);
            polled
        },
        |_| rows(&[(I, 4, None, None)], true),
    ];
    let declared = [("id", "INT NOT NULL")];
    let table = Table::new(&declared, &[], Mode::All, debezium::Skipped::default(), polls);
    let mut reader = table.open(&SplitOffsets::new()).unwrap();
    assert!(reader.is_at_boundary(), "before the first row");
    let mut seen = Vec::new();
    let mut step = |reader: &mut Box<dyn Reader>| {
        let Polled::Batch { batch, .. } = reader.poll(Duration::ZERO).unwrap() else { panic!("nothing came") };
        seen.extend(texts(&batch));
        reader.is_at_boundary()
    };
    assert!(!step(&mut reader), "inside of a transaction");
    assert!(!step(&mut reader), "rows of before the boundary wait");
    assert!(step(&mut reader));
    let offsets = reader.offsets().unwrap();
    let acknowledge = |offsets: &SplitOffsets| table.runtime.block_on(table.source.acknowledge(offsets)).unwrap();
    acknowledge(&offsets);
    assert!(step(&mut reader));
    assert_eq!(table.log.lock().acknowledged, ["2"], "the next poll tells it");
    let last = reader.offsets().unwrap();
    drop(reader);
    acknowledge(&last);
    assert_eq!(table.log.lock().acknowledged, ["2", "3"]);

    // Another attempt goes on behind what was committed.
    let mut reader = table.open(&offsets).unwrap();
    assert!(step(&mut reader));
    assert_eq!(table.log.lock().opened, [None, Some("2".to_owned())]);
    assert_eq!(seen, ["+I 1", "+I 2", "+I 3", "+I 4", "+I 4"]);
}
