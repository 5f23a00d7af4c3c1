//! A worker: one thread that reads a lane of a source, transforms and encodes, and hands chunks to the sinks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use starweir_model::{Clock, Epoch, Error, Result};
use tokio::sync::mpsc;

use crate::graph::Transform;
use crate::queue::{Closed, Sender};
use crate::sink::{Encoder, Token};
use crate::source::{Lane, Polled, Reader, Source, SplitOffsets};
use crate::status::SourceCounters;

/// A chunk goes out at this size: large enough that a request is worth its cost, small enough to stay in cache.
const CHUNK_BYTES: usize = 1 << 20;
/// A chunk that does not fill goes out after this time, so that a slow stream is not held back.
const CHUNK_AGE_MAX: Duration = Duration::from_millis(50);
/// The longest a reader may block: a cut waits this long at worst.
const POLL_WAIT: Duration = Duration::from_millis(20);
/// How often lag and progress are asked for.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The coordinator's word to all workers.
#[derive(Default)]
pub(crate) struct Control {
    /// Grows with every cut.
    pub cut_number: AtomicU64,
    pub cut: Mutex<Option<CutRequest>>,
    /// The attempt is over: leave at once.
    pub abandon: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct CutRequest {
    pub number: u64,
    pub epoch: Epoch,
    /// Nothing is read after this cut.
    pub last: bool,
}

/// What the coordinator hears.
pub(crate) enum Event {
    Opened { worker: usize, offsets: SplitOffsets },
    Finished { worker: usize },
    Cut { worker: usize, number: u64, offsets: SplitOffsets, watermark_ms: Option<i64> },
    Prepared { sink: usize, tokens: Vec<Token> },
    Failed(Error),
}

/// One way out of a worker.
pub(crate) struct Route {
    pub transform: Box<dyn Transform>,
    pub encoder: Box<dyn Encoder>,
    /// Index into the worker's senders.
    pub sender: usize,
    pub oldest: Option<Instant>,
}

pub(crate) struct Worker {
    pub index: usize,
    pub lane: Lane,
    pub source: Arc<dyn Source>,
    pub restored: SplitOffsets,
    pub routes: Vec<Route>,
    /// One for each distinct sink.
    pub senders: Vec<Sender>,
    pub counters: Arc<SourceCounters>,
    pub control: Arc<Control>,
    pub events: mpsc::UnboundedSender<Event>,
    pub clock: Arc<dyn Clock>,
    pub watermark_ms: Option<i64>,
}

impl Worker {
    /// The thread's whole life. Errors go to the coordinator.
    pub(crate) fn run(mut self) {
        let guard = PanicGuard::new(self.events.clone(), "a worker");
        if let Err(Stopped::Failed(error)) = self.work() {
            let _ = self.events.send(Event::Failed(error));
        }
        guard.disarm();
        for sender in &self.senders {
            sender.end();
        }
    }

    fn work(&mut self) -> Result<(), Stopped> {
        let mut reader = self.source.open(self.lane, &self.restored)?;
        self.tell(Event::Opened { worker: self.index, offsets: reader.offsets()? })?;
        let mut cuts_done = self.control.cut_number.load(Ordering::Acquire);
        let mut skipped_before = 0;
        let mut finished = false;
        let mut looked: Option<Instant> = None;
        loop {
            if self.control.abandon.load(Ordering::Acquire) {
                return Ok(());
            }
            // A cut inside of a source's transaction would tear it apart: reading goes on to its end.
            if self.control.cut_number.load(Ordering::Acquire) > cuts_done && reader.is_at_boundary() {
                let request = self.control.cut.lock().ok_or_else(|| Error::internal("a cut without a request"))?;
                self.cut(request, &*reader)?;
                cuts_done = request.number;
                if request.last {
                    return Ok(());
                }
            }
            if looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
                self.look(&*reader);
                looked = Some(Instant::now());
            }
            if finished {
                std::thread::sleep(POLL_WAIT.min(Duration::from_millis(2)));
                continue;
            }
            match reader.poll(POLL_WAIT)? {
                Polled::Batch { batch, bytes } => {
                    self.counters.rows.fetch_add(batch.rows() as u64, Ordering::Relaxed);
                    self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
                    self.feed(batch)?;
                }
                Polled::Idle => self.hand_over(true)?,
                Polled::Finished => {
                    finished = true;
                    self.hand_over(true)?;
                    self.look(&*reader);
                    self.tell(Event::Finished { worker: self.index })?;
                }
            }
            let skipped = reader.skipped();
            self.counters.errors.fetch_add(skipped - skipped_before, Ordering::Relaxed);
            skipped_before = skipped;
        }
    }

    fn feed(&mut self, batch: starweir_model::ChangeBatch) -> Result<(), Stopped> {
        let now_ms = self.clock.now_ms();
        for route in &mut self.routes {
            let out = route.transform.apply(now_ms, batch.clone())?;
            if let Some(watermark) = out.watermark_ms {
                self.watermark_ms = self.watermark_ms.max(Some(watermark));
                self.counters.watermark_ms.fetch_max(watermark, Ordering::Relaxed);
            }
            if out.rows() > 0 || out.watermark_ms.is_some() {
                route.encoder.encode(&out)?;
                route.oldest.get_or_insert_with(Instant::now);
            }
        }
        self.hand_over(false)
    }

    /// Sends what is large or old enough, or everything.
    fn hand_over(&mut self, all: bool) -> Result<(), Stopped> {
        for route in &mut self.routes {
            let due = all
                || route.encoder.buffered_bytes() >= CHUNK_BYTES
                || route.oldest.is_some_and(|at| at.elapsed() >= CHUNK_AGE_MAX);
            if due
                && route.oldest.take().is_some()
                && let Some(chunk) = route.encoder.take()
            {
                self.senders[route.sender].send(chunk)?;
            }
        }
        Ok(())
    }

    fn cut(&mut self, request: CutRequest, reader: &dyn Reader) -> Result<(), Stopped> {
        self.hand_over(true)?;
        for sender in &self.senders {
            sender.barrier(request.epoch)?;
        }
        self.look(reader);
        self.tell(Event::Cut {
            worker: self.index,
            number: request.number,
            offsets: reader.offsets()?,
            watermark_ms: self.watermark_ms,
        })
    }

    fn look(&self, reader: &dyn Reader) {
        if let Some(place) = self.counters.lag.lock().get_mut(self.lane.index) {
            *place = reader.lag();
        }
        if let Some(place) = self.counters.progress.lock().get_mut(self.lane.index) {
            *place = reader.progress();
        }
        if let Some(capture) = reader.capture() {
            *self.counters.capture.lock() = Some(capture);
        }
    }

    fn tell(&self, event: Event) -> Result<(), Stopped> {
        self.events.send(event).map_err(|_| Stopped::Abandoned)
    }
}

/// Why a worker leaves early.
enum Stopped {
    /// The attempt is over; whoever ended it knows why.
    Abandoned,
    Failed(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Closed> for Stopped {
    fn from(_: Closed) -> Self {
        Self::Abandoned
    }
}

/// Tells the coordinator when whoever holds it panics: a job must fail, never hang.
pub(crate) struct PanicGuard {
    events: Option<mpsc::UnboundedSender<Event>>,
    what: &'static str,
}

impl PanicGuard {
    pub(crate) fn new(events: mpsc::UnboundedSender<Event>, what: &'static str) -> Self {
        Self { events: Some(events), what }
    }

    pub(crate) fn disarm(mut self) {
        self.events = None;
    }
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if let Some(events) = self.events.take().filter(|_| std::thread::panicking()) {
            let _ = events.send(Event::Failed(Error::internal(format!("{} panicked; this is a bug", self.what))));
        }
    }
}
