//! Runs a job graph: workers, writers, and the coordinator that cuts epochs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use starweir_model::{Clock, Epoch, Error, Result};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::epoch::EpochStep;
use crate::graph::JobGraph;
use crate::manifest::{Manifest, SourceState};
use crate::plan::compare_plans;
use crate::protocol::{Attempt, Protocol, Sinks, run_attempts};
use crate::queue::{Message, Sender};
use crate::restart::RestartStrategy;
use crate::sink::{Token, Writer};
use crate::source::{Lane, SplitOffsets};
use crate::status::{JobStatus, SourceCounters};
use crate::store::CheckpointStore;
use crate::worker::{Control, CutRequest, Event, PanicGuard, Route, Worker};

/// The first epoch is cut this long after the first row, so that somebody who just started a job sees rows soon.
pub const FIRST_CUT_AFTER: Duration = Duration::from_millis(100);

/// Asks a running job to stop.
#[derive(Clone, Default)]
pub struct StopSignal(Arc<(AtomicU8, Notify)>);

impl StopSignal {
    /// Finish the epoch, then stop.
    pub fn finish(&self) {
        self.0.0.fetch_max(1, Ordering::AcqRel);
        self.0.1.notify_waiters();
        self.0.1.notify_one();
    }

    /// Stop at once: what is not committed is left to the next start.
    pub fn abandon(&self) {
        self.0.0.fetch_max(2, Ordering::AcqRel);
        self.0.1.notify_waiters();
        self.0.1.notify_one();
    }

    /// 0: go on, 1: finish, 2: stop at once.
    pub fn level(&self) -> u8 {
        self.0.0.load(Ordering::Acquire)
    }

    /// Returns once the level is above this one.
    pub async fn raised_above(&self, level: u8) {
        while self.level() <= level {
            self.0.1.notified().await;
        }
    }
}

/// How a job is run.
pub struct RunOptions {
    /// Time between two cuts (`execution.checkpointing.interval`).
    pub checkpoint_interval: Duration,
    /// The least pause between the end of an epoch and the next cut (`execution.checkpointing.min-pause`).
    pub checkpoint_pause_min: Duration,
    pub parallelism: usize,
    pub restart: RestartStrategy,
    pub clock: Arc<dyn Clock>,
    /// The id the job gets if its state is new. Handed in, because chance is.
    pub new_job_id: String,
    /// Forget the saved state: give up its open transactions and read from the start.
    pub fresh: bool,
    pub stop: StopSignal,
    /// Told of sentences for the user.
    pub note: Arc<dyn Fn(String) + Send + Sync>,
    /// Called at each step of the epoch protocol; tests let the process die in it.
    pub at_step: Arc<dyn Fn(EpochStep) + Send + Sync>,
}

/// How a job ended when it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobEnd {
    /// Every source was read to its end.
    Finished,
    /// Stopped after a whole epoch, as asked.
    Stopped,
    /// Stopped at once, as asked a second time.
    Abandoned,
}

/// A status with a counter for each source and table of the graph.
pub fn new_status(graph: &JobGraph, parallelism: usize, clock: &dyn Clock) -> Arc<JobStatus> {
    let lanes = |node: &crate::graph::SourceNode| node.source.lanes(parallelism).max(1);
    Arc::new(JobStatus {
        name: graph.name.clone(),
        started_ms: clock.now_ms(),
        sources: graph.sources.iter().map(|s| Arc::new(SourceCounters::new(&s.name, lanes(s)))).collect(),
        tables: parking_lot::Mutex::new(graph.sinks.iter().map(|s| s.sink.counters()).collect()),
        ..JobStatus::default()
    })
}

/// Runs the job until it ends, restarting it as its strategy says.
pub async fn run(
    graph: &JobGraph,
    store: &dyn CheckpointStore,
    status: &Arc<JobStatus>,
    options: &RunOptions,
) -> Result<JobEnd> {
    let end = run_attempts(&GraphJob { graph }, &graph.name, store, status, options).await?;
    if end == JobEnd::Finished {
        for sink in &graph.sinks {
            sink.sink.close().await?;
        }
    }
    Ok(end)
}

/// A job whose sources and sinks are known before it starts.
struct GraphJob<'a> {
    graph: &'a JobGraph,
}

#[async_trait]
impl Attempt for GraphJob<'_> {
    fn sinks(&self, _manifests: &[Manifest]) -> Result<Sinks> {
        Ok(self.graph.sinks.iter().map(|node| (node.id.clone(), node.sink.clone())).collect())
    }

    /// Refuses a changed script that the saved state does not fit, tells about one that it does.
    fn compare(&self, manifest: &Manifest) -> Result<Vec<String>> {
        let sources = self.graph.sources.iter().map(|s| (s.id.clone(), s.identity.clone())).collect();
        let sinks: BTreeSet<String> = self.graph.sinks.iter().map(|s| s.id.clone()).collect();
        let old_sinks = manifest.sinks.keys().cloned().collect();
        let comparison =
            compare_plans(&manifest.sources, &old_sinks, &manifest.plans, &sources, &sinks, &self.graph.plans);
        if !comparison.refusals.is_empty() {
            return Err(Error::user(format!("the script no longer fits the saved state of job {}", manifest.job_name))
                .with_source(comparison.refusals.join("; "))
                .with_hint("use another --state for the changed script, or start anew with --fresh"));
        }
        Ok(comparison.notes)
    }

    async fn attempt(&self, protocol: Protocol<'_>, manifest: Option<Manifest>) -> Result<JobEnd> {
        Job { graph: self.graph, status: protocol.status, options: protocol.options, protocol }.attempt(manifest).await
    }
}

/// One attempt and what it needs.
struct Job<'a> {
    graph: &'a JobGraph,
    status: &'a Arc<JobStatus>,
    options: &'a RunOptions,
    protocol: Protocol<'a>,
}

impl Job<'_> {
    /// Reads and writes from `manifest` on until the end, a stop, or the first error.
    async fn attempt(&self, manifest: Option<Manifest>) -> Result<JobEnd> {
        for node in &self.graph.sinks {
            node.sink.check().await?;
        }
        let first_epoch = manifest.as_ref().map_or(Epoch::FIRST, |m| m.epoch.next());
        let (events_in, events) = mpsc::unbounded_channel();
        let control = Arc::new(Control::default());
        let mut running =
            Running { control: control.clone(), budgets: Vec::new(), writers: Vec::new(), threads: Vec::new() };

        // One queue per sink; every worker that feeds a sink gets its own budget in it.
        let mut queues: Vec<(mpsc::UnboundedSender<Message>, Option<mpsc::UnboundedReceiver<Message>>)> =
            self.graph.sinks.iter().map(|_| mpsc::unbounded_channel()).map(|(s, r)| (s, Some(r))).collect();
        let mut feeders = vec![BTreeSet::new(); self.graph.sinks.len()];
        let mut workers = Vec::new();
        let mut owners = Vec::new();
        for (source_index, node) in self.graph.sources.iter().enumerate() {
            let restored =
                manifest.as_ref().and_then(|m| m.sources.get(&node.id)).map(|s| s.offsets.clone()).unwrap_or_default();
            let lanes = node.source.lanes(self.options.parallelism).max(1);
            for lane in 0..lanes {
                let index = workers.len();
                let mut senders = Vec::new();
                let mut sender_of = BTreeMap::new();
                let mut routes = Vec::new();
                for output in &node.outputs {
                    let sender = *sender_of.entry(output.sink).or_insert_with(|| {
                        let sender = Sender::new(index, queues[output.sink].0.clone(), Handle::current());
                        running.budgets.push(sender.budget());
                        senders.push(sender);
                        feeders[output.sink].insert(index);
                        senders.len() - 1
                    });
                    let encoder = self.graph.sinks[output.sink].sink.encoder()?;
                    routes.push(Route { transform: (output.transform)(), encoder, sender, oldest: None });
                }
                owners.push(source_index);
                workers.push(Worker {
                    index,
                    lane: Lane { index: lane, count: lanes },
                    source: node.source.clone(),
                    restored: restored.clone(),
                    routes,
                    senders,
                    counters: self.status.sources[source_index].clone(),
                    control: control.clone(),
                    events: events_in.clone(),
                    clock: self.options.clock.clone(),
                    watermark_ms: None,
                });
            }
        }
        for (sink_index, node) in self.graph.sinks.iter().enumerate() {
            let writer = node.sink.writer(&self.protocol.context, first_epoch).await?;
            let Some(queue) = queues[sink_index].1.take() else { continue };
            let task = WriterTask {
                sink: sink_index,
                writer,
                queue,
                active: feeders[sink_index].clone(),
                events: events_in.clone(),
                at_step: self.options.at_step.clone(),
            };
            running.writers.push(tokio::spawn(task.run()));
        }
        drop(queues);
        drop(events_in);
        for worker in workers {
            let name = format!("read {}", self.graph.sources[owners[worker.index]].name);
            let runtime = Handle::current();
            let thread = std::thread::Builder::new()
                .name(name)
                .spawn(move || {
                    let _context = runtime.enter();
                    worker.run();
                })
                .map_err(|e| Error::internal("a worker thread could not be started").with_source(e))?;
            running.threads.push(thread);
        }

        let mut coordinator = Coordinator {
            job: self,
            events,
            control,
            owners,
            offsets: Vec::new(),
            finished: BTreeSet::new(),
            last: manifest,
            epoch: first_epoch,
            cuts: 0,
        };
        let ended = coordinator.drive().await;
        running.end().await;
        ended
    }
}

/// The threads and tasks of an attempt; ends them on every way out.
struct Running {
    control: Arc<Control>,
    budgets: Vec<Arc<Semaphore>>,
    writers: Vec<JoinHandle<()>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Running {
    async fn end(mut self) {
        self.shut();
        for writer in self.writers.drain(..) {
            writer.abort();
            let _ = writer.await;
        }
        let threads = std::mem::take(&mut self.threads);
        let _ = tokio::task::spawn_blocking(move || {
            for thread in threads {
                let _ = thread.join();
            }
        })
        .await;
    }

    fn shut(&self) {
        self.control.abandon.store(true, Ordering::Release);
        for budget in &self.budgets {
            budget.close();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shut();
        for writer in &self.writers {
            writer.abort();
        }
    }
}

/// The task that owns a sink's writer and lines its workers' barriers up.
struct WriterTask {
    sink: usize,
    writer: Box<dyn Writer>,
    queue: mpsc::UnboundedReceiver<Message>,
    /// Workers that may still send.
    active: BTreeSet<usize>,
    events: mpsc::UnboundedSender<Event>,
    at_step: Arc<dyn Fn(EpochStep) + Send + Sync>,
}

impl WriterTask {
    async fn run(mut self) {
        let guard = PanicGuard::new(self.events.clone(), "a sink's writer");
        if let Err(error) = self.work().await {
            let _ = self.events.send(Event::Failed(error));
        }
        guard.disarm();
    }

    async fn work(&mut self) -> Result<()> {
        // Workers whose barrier of the present epoch has come; what they send after it waits.
        let mut arrived: BTreeSet<usize> = BTreeSet::new();
        let mut cut: Option<Epoch> = None;
        let mut waiting: VecDeque<Message> = VecDeque::new();
        let mut replay: VecDeque<Message> = VecDeque::new();
        loop {
            let message = match replay.pop_front() {
                Some(message) => message,
                None => match self.next().await? {
                    Some(message) => message,
                    None => return Ok(()),
                },
            };
            match message {
                Message::Data { worker, .. } | Message::Barrier { worker, .. } | Message::End { worker }
                    if arrived.contains(&worker) =>
                {
                    waiting.push_back(message);
                    continue;
                }
                Message::Data { chunk, _permit, .. } => self.writer.write(chunk).await?,
                Message::Barrier { worker, epoch } => {
                    arrived.insert(worker);
                    cut = Some(epoch);
                }
                Message::End { worker } => {
                    self.active.remove(&worker);
                }
            }
            if let Some(epoch) = cut.filter(|_| self.active.is_subset(&arrived)) {
                (self.at_step)(EpochStep::BeforePrepare);
                let tokens = self.writer.prepare(epoch).await?;
                if self.events.send(Event::Prepared { sink: self.sink, tokens }).is_err() {
                    return Ok(());
                }
                cut = None;
                arrived.clear();
                waiting.append(&mut replay);
                std::mem::swap(&mut waiting, &mut replay);
            }
        }
    }

    /// The next message; lets the writer do what time asks for while none comes.
    async fn next(&mut self) -> Result<Option<Message>> {
        loop {
            if let Ok(message) = self.queue.try_recv() {
                return Ok(Some(message));
            }
            let Some(wait_ms) = self.writer.idle().await? else {
                return Ok(self.queue.recv().await);
            };
            tokio::select! {
                message = self.queue.recv() => return Ok(message),
                () = tokio::time::sleep(Duration::from_millis(wait_ms.max(1))) => {}
            }
        }
    }
}

/// Drives the epochs of an attempt.
struct Coordinator<'a, 'j> {
    job: &'a Job<'j>,
    events: mpsc::UnboundedReceiver<Event>,
    control: Arc<Control>,
    /// The source each worker reads.
    owners: Vec<usize>,
    /// What each worker said at its last cut, or when it opened.
    offsets: Vec<(SplitOffsets, Option<i64>)>,
    finished: BTreeSet<usize>,
    last: Option<Manifest>,
    /// The epoch that is being written.
    epoch: Epoch,
    cuts: u64,
}

impl Coordinator<'_, '_> {
    async fn drive(&mut self) -> Result<JobEnd> {
        let stop = &self.job.options.stop;
        let opened = tokio::select! {
            opened = self.all_opened() => opened,
            () = stop.raised_above(0) => return Ok(JobEnd::Abandoned),
        };
        opened?;
        self.job.status.running.store(true, Ordering::Release);
        let interval = self.job.options.checkpoint_interval;
        let mut next_cut = Instant::now() + interval;
        let mut quick = true;
        loop {
            let last = self.finished.len() == self.owners.len() || stop.level() > 0;
            if stop.level() > 1 {
                return Ok(JobEnd::Abandoned);
            }
            if last || Instant::now() >= next_cut {
                let started = Instant::now();
                let cut = tokio::select! {
                    cut = self.cut(last) => cut,
                    () = stop.raised_above(1) => return Ok(JobEnd::Abandoned),
                };
                cut?;
                quick = false;
                let pause = self.job.options.checkpoint_pause_min;
                next_cut = (started + interval).max(Instant::now() + pause);
                if last {
                    let all_read = self.finished.len() == self.owners.len();
                    return Ok(if all_read { JobEnd::Finished } else { JobEnd::Stopped });
                }
                continue;
            }
            if quick && interval > FIRST_CUT_AFTER && self.job.status.rows_read() > 0 {
                quick = false;
                next_cut = next_cut.min(Instant::now() + FIRST_CUT_AFTER);
            }
            let look = if quick { Instant::now() + Duration::from_millis(10) } else { next_cut };
            tokio::select! {
                event = self.events.recv() => self.between_cuts(event)?,
                () = tokio::time::sleep_until(look.min(next_cut).into()) => {}
                () = stop.raised_above(stop.level()) => {}
            }
        }
    }

    /// Waits until every worker has opened, and saves where the job starts if nothing is saved yet.
    async fn all_opened(&mut self) -> Result<()> {
        let mut opened: Vec<Option<SplitOffsets>> = vec![None; self.owners.len()];
        while opened.iter().any(Option::is_none) {
            match self.events.recv().await {
                Some(Event::Opened { worker, offsets }) => opened[worker] = Some(offsets),
                other => self.between_cuts(other)?,
            }
        }
        self.offsets = opened.into_iter().map(|o| (o.unwrap_or_default(), None)).collect();
        if self.last.is_none() {
            // Start offsets such as "latest" must mean the same after a crash in the first epoch.
            let manifest = self.manifest(Epoch(0), BTreeMap::new(), false);
            self.job.protocol.store.write(&manifest).await?;
            self.last = Some(manifest);
        }
        Ok(())
    }

    fn between_cuts(&mut self, event: Option<Event>) -> Result<()> {
        match event {
            Some(Event::Finished { worker }) => {
                self.finished.insert(worker);
                Ok(())
            }
            Some(Event::Failed(error)) => Err(error),
            Some(_) => Err(Error::internal("an answer to a cut nobody asked for")),
            None => Err(Error::internal("all workers left without a word")),
        }
    }

    /// One epoch from cut to acknowledgement. An epoch in which nothing happened leaves no trace.
    async fn cut(&mut self, last: bool) -> Result<()> {
        let started = Instant::now();
        let job = self.job;
        let at_step = &job.options.at_step;
        self.cuts += 1;
        let request = CutRequest { number: self.cuts, epoch: self.epoch, last };
        *self.control.cut.lock() = Some(request);
        self.control.cut_number.store(self.cuts, Ordering::Release);
        at_step(EpochStep::Cut);

        let mut cut_workers = 0;
        let mut prepared: BTreeMap<String, Vec<Token>> = BTreeMap::new();
        while cut_workers < self.owners.len() || prepared.len() < job.graph.sinks.len() {
            match self.events.recv().await {
                Some(Event::Cut { worker, number, offsets, watermark_ms }) if number == self.cuts => {
                    self.offsets[worker] = (offsets, watermark_ms);
                    cut_workers += 1;
                }
                Some(Event::Prepared { sink, tokens }) => {
                    prepared.insert(job.graph.sinks[sink].id.clone(), tokens);
                }
                other => self.between_cuts(other)?,
            }
        }
        let all_read = last && self.finished.len() == self.owners.len();
        let manifest = self.manifest(self.epoch, prepared, all_read);
        let unchanged = |old: &Manifest| old.sources == manifest.sources && old.finished == manifest.finished;
        let tokens: usize = manifest.sinks.values().map(Vec::len).sum();
        if tokens == 0 && self.last.as_ref().is_some_and(unchanged) {
            return Ok(());
        }
        let acknowledge = async {
            for node in &job.graph.sources {
                if let Some(state) = manifest.sources.get(&node.id)
                    && let Err(error) = node.source.acknowledge(&state.offsets).await
                {
                    tracing::warn!(source = %node.name, "offsets could not be acknowledged: {}", error.chain());
                }
            }
        };
        job.protocol.commit_epoch(&manifest, started, acknowledge).await?;
        self.epoch = manifest.epoch.next();
        self.last = Some(manifest);
        Ok(())
    }

    fn manifest(&self, epoch: Epoch, tokens: BTreeMap<String, Vec<Token>>, finished: bool) -> Manifest {
        let job = self.job;
        let mut sources: BTreeMap<String, SourceState> = BTreeMap::new();
        for node in &job.graph.sources {
            let old = self.last.as_ref().and_then(|m| m.sources.get(&node.id));
            let state = SourceState {
                identity: node.identity.clone(),
                // Splits that no lane holds any more (a file that is gone) are kept, so that they are not read anew.
                offsets: old.map(|s| s.offsets.clone()).unwrap_or_default(),
                watermark_ms: old.and_then(|s| s.watermark_ms),
            };
            sources.insert(node.id.clone(), state);
        }
        for (worker, (offsets, watermark_ms)) in self.offsets.iter().enumerate() {
            if let Some(state) = sources.get_mut(&job.graph.sources[self.owners[worker]].id) {
                state.offsets.extend(offsets.iter().map(|(split, offset)| (split.clone(), offset.clone())));
                state.watermark_ms = state.watermark_ms.max(*watermark_ms);
            }
        }
        job.protocol.manifest(epoch, job.graph.plans.clone(), sources, tokens, finished)
    }
}
