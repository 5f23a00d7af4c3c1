//! Pipelines with a scripted capture: what is kept and repeated around changes of tables and restarts.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use starweir_engine::requests::{self, Request};
use starweir_engine::restart::RestartStrategy;
use starweir_engine::store::LocalStore;
use starweir_engine::{
    CdcEvent, CdcPolled, CdcReader, CdcSource, EpochStep, JobEnd, JobStatus, RunOptions, StopSignal, TableRows,
};
use starweir_model::{
    AddedColumn, ChangeOp, ColumnPosition, DataType, Error, LogicalType, Offset, Result, RowChange, SchemaChange,
    SchemaChangeKind, SystemClock, TableColumn, TableId, TableSchema, Value,
};
use starweir_pipeline::evolution::{SchemaOperator, SchemaState};
use starweir_pipeline::flow::Flow;
use starweir_pipeline::run::{PipelineJob, new_status, run};
use starweir_pipeline::transform::{TransformSettings, Transformer, Zone};
use starweir_pipeline::values::ValuesSink;
use starweir_pipeline::{RouteMode, Router, SchemaChangeBehavior};

/// One answer to a poll.
type Answer = Result<CdcPolled>;

/// A capture whose attempts give these answers, one list for each, and that writes down where each was opened.
#[derive(Default)]
struct Scripted {
    attempts: Mutex<VecDeque<Vec<Answer>>>,
    opened_at: Mutex<Vec<Option<String>>>,
}

#[async_trait]
impl CdcSource for Scripted {
    fn identity(&self) -> String {
        "scripted".into()
    }

    fn is_bounded(&self) -> bool {
        true
    }

    async fn discover(&self) -> Result<Vec<(TableId, TableSchema)>> {
        Ok(Vec::new())
    }

    fn unread(&self, state: &Offset, tables: &[TableId]) -> Result<Offset> {
        let names: Vec<String> = tables.iter().map(ToString::to_string).collect();
        Ok(Offset(format!("{} unread, else {}", names.join(" and "), state.0)))
    }

    async fn open(&self, restored: Option<&Offset>) -> Result<Box<dyn CdcReader>> {
        self.opened_at.lock().push(restored.map(|offset| offset.0.clone()));
        let answers = self.attempts.lock().pop_front().unwrap_or_default();
        let last = self.attempts.lock().is_empty();
        Ok(Box::new(ScriptedReader { answers: answers.into(), given: 0, last }))
    }
}

struct ScriptedReader {
    answers: VecDeque<Answer>,
    given: u64,
    /// The last attempt ends after its answers; others wait for something to end them.
    last: bool,
}

#[async_trait]
impl CdcReader for ScriptedReader {
    async fn poll(&mut self, wait: Duration) -> Answer {
        if let Some(answer) = self.answers.pop_front() {
            self.given += 1;
            return answer;
        }
        if !self.last {
            tokio::time::sleep(wait).await;
        }
        Ok(CdcPolled { boundary: true, finished: self.last, ..CdcPolled::default() })
    }

    fn state(&self) -> Result<Offset> {
        Ok(Offset(format!("after {}", self.given)))
    }

    fn place(&self) -> String {
        format!("poll {}", self.given)
    }
}

fn id(name: &str) -> TableId {
    TableId::in_schema("shop", name)
}

fn create(name: &str) -> CdcEvent {
    let schema = TableSchema {
        columns: vec![TableColumn::new("id", DataType::not_null(LogicalType::Int))],
        primary_keys: vec!["id".into()],
        ..TableSchema::default()
    };
    CdcEvent::Schema(SchemaChange::CreateTable { table: id(name), schema })
}

fn add_column(name: &str) -> CdcEvent {
    let added = AddedColumn { column: TableColumn::new("note", DataType::string()), position: ColumnPosition::Last };
    CdcEvent::Schema(SchemaChange::AddColumn { table: id(name), columns: vec![added] })
}

fn row(name: &str, key: i32) -> CdcEvent {
    let change = RowChange { op: ChangeOp::Insert, before: None, after: Some(vec![Value::Int(key)]), meta: Vec::new() };
    CdcEvent::Rows { table: id(name), rows: TableRows::Changes(vec![change]) }
}

fn polled(events: Vec<CdcEvent>) -> CdcPolled {
    let changes_shape = events.iter().any(|event| matches!(event, CdcEvent::Schema(_)));
    CdcPolled {
        events,
        boundary: true,
        state_before: changes_shape.then(|| Offset("before".into())),
        ..CdcPolled::default()
    }
}

/// What is seen of a run.
struct Seen {
    end: JobEnd,
    status: Arc<JobStatus>,
    /// Where each attempt was opened.
    opened_at: Vec<Option<String>>,
    /// What the sink printed.
    printed: Vec<String>,
}

/// Runs the pipeline in a new state directory. `at_step` is told of the directory and of every step.
async fn run_with(attempts: Vec<Vec<Answer>>, at_step: impl Fn(&Path, EpochStep) + Send + Sync + 'static) -> Seen {
    let source = Arc::new(Scripted { attempts: Mutex::new(attempts.into()), ..Scripted::default() });
    let flow = Arc::new(|state: SchemaState| {
        let zone = chrono_tz::UTC;
        let settings = TransformSettings::new(Zone::Region(zone), Arc::new(SystemClock));
        let transformer = Transformer::new(&[], &[], settings)?;
        let router = Router::new(&[], RouteMode::AllMatch)?;
        let behavior = SchemaChangeBehavior::Evolve;
        Ok(Flow::new(transformer, SchemaOperator::new(router, behavior, SchemaChangeKind::ALL.to_vec(), zone, state)))
    });
    let printed: Arc<Mutex<Vec<String>>> = Arc::default();
    let lines = printed.clone();
    let sink = Arc::new(ValuesSink::new([], Arc::new(move |line: &str| lines.lock().push(line.to_owned()))).unwrap());
    let job = PipelineJob {
        name: "scripted".into(),
        source: source.clone(),
        sink,
        flow,
        plan: Vec::new(),
        batch: false,
        letters: None,
    };
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    let directory = folder.path().to_owned();
    let options = RunOptions {
        // Only what must end an epoch does, and the first one ends soon.
        checkpoint_interval: Duration::from_secs(3600),
        checkpoint_pause_min: Duration::ZERO,
        parallelism: 1,
        restart: RestartStrategy::FixedDelay { attempts: 3, delay: Duration::ZERO },
        clock: Arc::new(SystemClock),
        new_job_id: "scripted".into(),
        fresh: false,
        stop: StopSignal::default(),
        note: Arc::new(|_| {}),
        at_step: Arc::new(move |step| at_step(&directory, step)),
    };
    let status = new_status(&job, &options);
    let end = run(&job, &store, &status, &options).await.unwrap();
    let (opened_at, printed) = (source.opened_at.lock().clone(), printed.lock().clone());
    Seen { end, status, opened_at, printed }
}

fn rows_written(status: &JobStatus, table: &str) -> u64 {
    let tables = status.tables.lock();
    let found = tables.iter().find(|counters| counters.name == table).unwrap();
    found.rows_committed.load(Ordering::Relaxed)
}

#[tokio::test]
async fn rows_before_a_change_of_shape_are_committed_before_their_writer_goes() {
    // The second poll holds two changes: the first needs nothing of the sink, the second finds rows not yet committed.
    let script = vec![
        Ok(polled(vec![create("orders"), row("orders", 1)])),
        Ok(polled(vec![create("orders"), add_column("orders")])),
    ];
    let seen = run_with(vec![script], |_, _| {}).await;
    assert_eq!(seen.end, JobEnd::Finished);
    assert_eq!(rows_written(&seen.status, "shop.orders"), 1);
}

#[tokio::test]
async fn the_first_place_is_the_same_after_a_crash_in_the_first_epoch() {
    let lost = Error::unavailable("the server went away");
    let first = vec![Ok(polled(vec![create("orders"), row("orders", 1)])), Err(lost)];
    let second = vec![Ok(polled(vec![create("orders"), row("orders", 1)]))];
    let seen = run_with(vec![first, second], |_, _| {}).await;
    assert_eq!(seen.end, JobEnd::Finished);
    assert_eq!(seen.opened_at, [None, Some("after 0".to_owned())]);
    assert_eq!(rows_written(&seen.status, "shop.orders"), 1);
}

#[tokio::test]
async fn a_table_is_emptied_and_read_again_when_asked_for() {
    let first = vec![Ok(polled(vec![create("orders"), create("items"), row("orders", 1), row("items", 1)]))];
    let second = vec![Ok(polled(vec![create("orders"), create("items"), row("orders", 1)]))];
    let seen = run_with(vec![first, second], |folder, step| {
        if step == EpochStep::AfterAcknowledge && !folder.join("asked").exists() {
            std::fs::write(folder.join("asked"), "").unwrap();
            let request = Request::Resync(vec!["shop.orders".into(), "shop.unknown".into()]);
            requests::leave(&folder.join("requests"), "1", &request).unwrap();
        }
    })
    .await;
    assert_eq!(seen.end, JobEnd::Finished);
    assert_eq!(seen.opened_at, [None, Some("shop.orders unread, else after 1".to_owned())]);
    let emptied: Vec<&String> = seen.printed.iter().filter(|line| line.starts_with("TruncateTable")).collect();
    assert_eq!(emptied, ["TruncateTableEvent{tableId=shop.orders}"]);
    assert_eq!(rows_written(&seen.status, "shop.orders"), 2);
    assert_eq!(rows_written(&seen.status, "shop.items"), 1);
}
