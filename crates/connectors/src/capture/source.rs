//! A capture as a source of a script: checked against the declaration, opened, acknowledged.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use starweir_engine::{CdcSource, Lane, Reader, Source, SplitOffsets};
use starweir_model::{Error, Result};
use tokio::runtime::Handle;

use super::Capture;
use super::columns::Declared;
use super::reader::{CaptureReader, Desk, Plan, split};

pub(super) struct CaptureSource {
    cdc: Arc<dyn CdcSource>,
    plan: Arc<Plan>,
    desk: Arc<Mutex<Desk>>,
}

impl CaptureSource {
    pub fn new(capture: Capture, declared: Declared) -> Self {
        let Capture { cdc, selector, mode, zone, skipped } = capture;
        Self { cdc, plan: Arc::new(Plan { declared, selector, mode, zone, skipped }), desk: Arc::default() }
    }

    /// Whether every captured table can be read as declared; how many there are.
    async fn check(&self) -> Result<usize> {
        let found = self.cdc.discover().await?;
        let misfits: Vec<String> =
            found.iter().flat_map(|(id, schema)| self.plan.declared.misfits(id, schema)).collect();
        if misfits.is_empty() {
            return Ok(found.len());
        }
        Err(Error::user(format!("table {} cannot be read as it is declared", self.plan.declared.table))
            .with_source(misfits.join("; ")))
    }
}

#[async_trait]
impl Source for CaptureSource {
    fn is_bounded(&self) -> bool {
        self.cdc.is_bounded()
    }

    /// A database has one log.
    fn lanes(&self, _: usize) -> usize {
        1
    }

    fn open(&self, _: Lane, restored: &SplitOffsets) -> Result<Box<dyn Reader>> {
        // The capture of the last attempt holds on to the server: its slot, its server id.
        *self.desk.lock() = Desk::default();
        let runtime = Handle::current();
        let state = restored.get(&split());
        let capture = runtime.block_on(async {
            if state.is_none() {
                self.check().await?;
            }
            self.cdc.open(state).await
        })?;
        if state.is_some() {
            let captured = capture.progress();
            if !captured.is_empty() && !captured.iter().any(|p| self.plan.selector.matches(&p.table)) {
                let names: Vec<String> = captured.iter().map(|p| p.table.to_string()).collect();
                return Err(Error::user(format!(
                    "the saved state of table {} is of {}, which its options do not name any more",
                    self.plan.declared.table,
                    names.join(", ")
                ))
                .with_hint("use another --state for the changed script, or start anew with --fresh"));
            }
        }
        Ok(Box::new(CaptureReader::new(self.plan.clone(), self.desk.clone(), runtime, capture)))
    }

    async fn acknowledge(&self, offsets: &SplitOffsets) -> Result<()> {
        let Some(state) = offsets.get(&split()) else { return Ok(()) };
        let parked = {
            let mut desk = self.desk.lock();
            let parked = desk.parked.take();
            if parked.is_none() {
                desk.committed = Some(state.clone());
            }
            parked
        };
        let Some(mut capture) = parked else { return Ok(()) };
        let result = capture.acknowledge(state).await;
        self.desk.lock().parked = Some(capture);
        result
    }

    async fn inspect(&self) -> Option<Result<String>> {
        let tables = |n: usize| format!("readable, {n} table{}", if n == 1 { "" } else { "s" });
        Some(self.check().await.map(tables))
    }
}
