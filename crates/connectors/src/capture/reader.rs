//! A running capture as the lane of a source.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use futures::FutureExt as _;
use parking_lot::Mutex;
use starweir_engine::status::CaptureStatus;
use starweir_engine::{CdcEvent, CdcPolled, CdcReader, Polled, Reader, SplitOffsets, TableRows};
use starweir_model::{
    ChangeBatch, Error, Offset, Result, RowKind, RowKinds, SchemaChange, Selector, SplitId, TableId, TableSchema,
};
use tokio::runtime::Handle;

use super::columns::{Columns, Declared, without_old_images};
use super::debezium::Skipped;
use super::zone::Zone;

/// The one split of a capture.
pub(super) fn split() -> SplitId {
    SplitId("capture".into())
}

/// Which changes a script sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// All four kinds.
    All,
    /// No `-U`.
    Upsert,
    /// Every change is a row of its own, inserted (`scan.read-changelog-as-append-only.enabled`).
    AppendOnly,
}

/// What a reader turns captured rows into.
pub(super) struct Plan {
    pub declared: Declared,
    pub selector: Selector,
    pub mode: Mode,
    pub zone: Zone,
    pub skipped: Skipped,
}

/// Between a source and the reader of its present attempt.
#[derive(Default)]
pub(super) struct Desk {
    /// The last committed state that the capture has not heard of yet.
    pub committed: Option<Offset>,
    /// The capture, when its reader has gone: the last epoch is committed after the readers have ended.
    pub parked: Option<Box<dyn CdcReader>>,
}

struct Table {
    schema: TableSchema,
    columns: Columns,
}

pub(super) struct CaptureReader {
    plan: Arc<Plan>,
    desk: Arc<Mutex<Desk>>,
    runtime: Handle,
    /// There until the reader goes.
    capture: Option<Box<dyn CdcReader>>,
    /// None for a table that the options do not name any more.
    tables: HashMap<TableId, Option<Table>>,
    /// Batches that wait to be handed out.
    ready: VecDeque<ChangeBatch>,
    /// Bytes that were read and not told of yet.
    bytes: u64,
    at_boundary: bool,
    finished: bool,
}

impl CaptureReader {
    pub fn new(plan: Arc<Plan>, desk: Arc<Mutex<Desk>>, runtime: Handle, capture: Box<dyn CdcReader>) -> Self {
        Self {
            plan,
            desk,
            runtime,
            capture: Some(capture),
            tables: HashMap::new(),
            ready: VecDeque::new(),
            bytes: 0,
            at_boundary: true,
            finished: false,
        }
    }

    fn capture(&mut self) -> Result<&mut Box<dyn CdcReader>> {
        self.capture.as_mut().ok_or_else(|| Error::internal("a capture has gone before its reader"))
    }

    /// Tells the capture what was committed.
    fn acknowledge(&mut self) -> Result<()> {
        let Some(state) = self.desk.lock().committed.take() else { return Ok(()) };
        let runtime = self.runtime.clone();
        if let Err(error) = runtime.block_on(self.capture()?.acknowledge(&state)) {
            tracing::warn!("a committed state could not be acknowledged: {}", error.chain());
        }
        Ok(())
    }

    fn take(&mut self, polled: CdcPolled) -> Result<()> {
        self.bytes += polled.bytes;
        self.at_boundary = polled.boundary;
        self.finished = polled.finished;
        for event in polled.events {
            match event {
                CdcEvent::Schema(change) => self.reshape(&change)?,
                CdcEvent::Rows { table, rows: TableRows::Columns { changes, meta } } => {
                    self.rows(&table, &changes, &meta)?;
                }
                CdcEvent::Rows { .. } => return Err(Error::internal("a capture gave single changes")),
            }
        }
        Ok(())
    }

    /// Follows the shape of a captured table; the script's does not change.
    fn reshape(&mut self, change: &SchemaChange) -> Result<()> {
        let id = change.table();
        let known = self.tables.get(id);
        let schema = match (change, known) {
            (SchemaChange::TruncateTable { .. } | SchemaChange::DropTable { .. }, Some(Some(_))) => {
                tracing::warn!(table = %id, "the table was emptied or dropped, which a script does not see: rows that were read stay in its targets");
                return Ok(());
            }
            (SchemaChange::CreateTable { .. }, None) if !self.plan.selector.matches(id) => {
                tracing::warn!(table = %id, "the saved state has a table that the options do not name any more: its changes are left out");
                self.tables.insert(id.clone(), None);
                return Ok(());
            }
            (SchemaChange::CreateTable { schema, .. }, _) => schema.clone(),
            (_, Some(Some(known))) => known.schema.after(change)?,
            _ => return Ok(()),
        };
        let columns = self.plan.declared.columns(id, &schema)?;
        self.tables.insert(id.clone(), Some(Table { schema, columns }));
        Ok(())
    }

    fn rows(&mut self, id: &TableId, changes: &ChangeBatch, meta: &[(String, Vec<String>)]) -> Result<()> {
        let table = self.tables.get(id);
        let table = table.ok_or_else(|| Error::internal(format!("table {id} was not announced")))?;
        let Some(table) = table else { return Ok(()) };
        let unlike = || Error::internal("a capture gave a time that is none");
        let op_ts = meta.iter().find(|(name, _)| name == "op_ts");
        let op_ts = op_ts
            .map(|(_, texts)| texts.iter().map(|t| t.parse().map_err(|_| unlike())).collect::<Result<Vec<i64>>>())
            .transpose()?;
        let plan = &*self.plan;
        let batch = plan.declared.arrange(&table.columns, changes, op_ts.as_deref(), &plan.zone)?;
        let RowKinds::Each(kinds) = &changes.kinds else {
            self.ready.push_back(ChangeBatch::inserts(batch));
            return Ok(());
        };
        let mut told: Vec<Option<RowKind>> = match plan.mode {
            Mode::Upsert => without_old_images(kinds, |row| table.columns.same_key_as_next(&changes.batch, row)),
            Mode::All | Mode::AppendOnly => kinds.iter().copied().map(Some).collect(),
        };
        for (told, kind) in told.iter_mut().zip(kinds) {
            if plan.skipped.leaves_out(*kind) {
                *told = None;
            } else if plan.mode == Mode::AppendOnly {
                *told = Some(RowKind::Insert);
            }
        }
        let batch = if told.iter().all(Option::is_some) {
            batch
        } else {
            let keep: BooleanArray = told.iter().map(|kind| Some(kind.is_some())).collect();
            filter_record_batch(&batch, &keep).map_err(|e| Error::internal("rows cannot be left out").with_source(e))?
        };
        if batch.num_rows() > 0 {
            let kinds = RowKinds::from_vec(told.into_iter().flatten().collect());
            self.ready.push_back(ChangeBatch { batch, kinds, watermark_ms: None });
        }
        Ok(())
    }
}

impl Reader for CaptureReader {
    fn poll(&mut self, wait: Duration) -> Result<Polled> {
        if self.ready.is_empty() && !self.finished {
            self.acknowledge()?;
            let runtime = self.runtime.clone();
            let polled = runtime.block_on(self.capture()?.poll(wait))?;
            self.take(polled)?;
        }
        Ok(match self.ready.pop_front() {
            Some(batch) => Polled::Batch { batch, bytes: std::mem::take(&mut self.bytes) },
            None if self.finished => Polled::Finished,
            None => Polled::Idle,
        })
    }

    fn offsets(&self) -> Result<SplitOffsets> {
        let capture = self.capture.as_ref().ok_or_else(|| Error::internal("a capture has gone before its reader"))?;
        Ok(SplitOffsets::from([(split(), capture.state()?)]))
    }

    fn is_at_boundary(&self) -> bool {
        self.at_boundary && self.ready.is_empty()
    }

    /// Bytes of the server's log, where it says.
    fn lag(&self) -> Vec<(SplitId, u64)> {
        let bytes = self.capture.as_ref().and_then(|capture| capture.lag().bytes);
        bytes.map(|bytes| (split(), bytes)).into_iter().collect()
    }

    fn capture(&self) -> Option<CaptureStatus> {
        let capture = self.capture.as_ref()?;
        Some(CaptureStatus { lag: capture.lag(), tables: capture.progress() })
    }
}

impl Drop for CaptureReader {
    fn drop(&mut self) {
        let Some(mut capture) = self.capture.take() else { return };
        let mut desk = self.desk.lock();
        if let Some(state) = desk.committed.take() {
            // Captures only note it for their connection; one that has to wait hears of it at the next start.
            let _ = capture.acknowledge(&state).now_or_never();
        }
        desk.parked = Some(capture);
    }
}
