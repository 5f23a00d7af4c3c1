//! The way from workers (threads) to a sink's writer (a task): chunks and barriers in order, bounded by bytes.

use std::sync::Arc;

use starweir_model::Epoch;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::sink::Chunk;

/// Bytes one worker may have under way to one sink. Two chunks of the usual size being sent, a few waiting; beyond it
/// the worker, and so the source, waits.
pub(crate) const BUDGET_BYTES: usize = 8 << 20;
/// Permits count in these units, because a semaphore counts in u32.
const UNIT_BYTES: usize = 1024;

pub(crate) enum Message {
    Data {
        worker: usize,
        chunk: Chunk,
        /// Given back when the writer has taken the chunk.
        _permit: OwnedSemaphorePermit,
    },
    /// Everything the worker sent before belongs to this epoch or an earlier one.
    Barrier { worker: usize, epoch: Epoch },
    /// The worker sends nothing more.
    End { worker: usize },
}

/// A worker's end of the queue.
pub(crate) struct Sender {
    worker: usize,
    budget: Arc<Semaphore>,
    queue: mpsc::UnboundedSender<Message>,
    runtime: Handle,
}

/// The attempt is over: nobody receives any more.
#[derive(Debug)]
pub(crate) struct Closed;

impl Sender {
    pub(crate) fn new(worker: usize, queue: mpsc::UnboundedSender<Message>, runtime: Handle) -> Self {
        Self { worker, budget: Arc::new(Semaphore::new(BUDGET_BYTES / UNIT_BYTES)), queue, runtime }
    }

    /// The budget, so that the coordinator can wake a waiting worker by closing it.
    pub(crate) fn budget(&self) -> Arc<Semaphore> {
        self.budget.clone()
    }

    /// Blocks while the sink is behind.
    pub(crate) fn send(&self, chunk: Chunk) -> Result<(), Closed> {
        let units = chunk.bytes.len().div_ceil(UNIT_BYTES).clamp(1, BUDGET_BYTES / UNIT_BYTES) as u32;
        let permit = match self.budget.clone().try_acquire_many_owned(units) {
            Ok(permit) => permit,
            Err(_) => self.runtime.block_on(self.budget.clone().acquire_many_owned(units)).map_err(|_| Closed)?,
        };
        let message = Message::Data { worker: self.worker, chunk, _permit: permit };
        self.queue.send(message).map_err(|_| Closed)
    }

    pub(crate) fn barrier(&self, epoch: Epoch) -> Result<(), Closed> {
        self.queue.send(Message::Barrier { worker: self.worker, epoch }).map_err(|_| Closed)
    }

    pub(crate) fn end(&self) {
        let _ = self.queue.send(Message::End { worker: self.worker });
    }
}
