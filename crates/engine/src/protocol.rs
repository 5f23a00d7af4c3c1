//! The epoch protocol of [`crate::epoch`] carried out against the outside: recovery, an epoch's commit, and the attempts
//! of a job. Every kind of job goes through here, so the order of things is written once.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use starweir_model::{Epoch, Error, Result};

use crate::epoch::{EpochStep, RecoveryDecision, decide_recovery};
use crate::manifest::{FORMAT, Manifest, SourceState};
use crate::restart::decide_restart;
use crate::run::{JobEnd, RunOptions};
use crate::sink::{Sink, SinkContext, Token, TokenState};
use crate::status::JobStatus;
use crate::store::CheckpointStore;

/// Attempts before anything was read: a wrong address should be reported, not retried for ever.
const STARTS_MAX: usize = 3;
const START_PAUSE: Duration = Duration::from_secs(1);

/// Sinks by their id in manifests.
pub type Sinks = BTreeMap<String, Arc<dyn Sink>>;

/// A kind of job: what an attempt of it does.
#[async_trait]
pub trait Attempt: Send + Sync {
    /// Every sink that these manifests may hold tokens of, and those the job will write.
    fn sinks(&self, manifests: &[Manifest]) -> Result<Sinks>;

    /// Refuses a saved state that the job no longer fits; returns sentences for the user where it does.
    fn compare(&self, manifest: &Manifest) -> Result<Vec<String>>;

    /// What the next attempt does about this error, in words, where a restart strategy has no say.
    fn deals_with(&self, error: &Error) -> Option<&'static str> {
        let _ = error;
        None
    }

    /// Reads and writes from `manifest` on until the end, a stop, or the first error.
    async fn attempt(&self, protocol: Protocol<'_>, manifest: Option<Manifest>) -> Result<JobEnd>;
}

/// What the steps of the protocol need.
pub struct Protocol<'a> {
    pub store: &'a dyn CheckpointStore,
    pub status: &'a Arc<JobStatus>,
    pub options: &'a RunOptions,
    pub context: SinkContext,
    pub job_name: String,
    pub sinks: Sinks,
}

/// Runs a job until it ends, restarting it as its strategy says.
pub async fn run_attempts(
    job: &dyn Attempt,
    name: &str,
    store: &dyn CheckpointStore,
    status: &Arc<JobStatus>,
    options: &RunOptions,
) -> Result<JobEnd> {
    let mut record = store.open(&options.new_job_id, name).await?;
    let mut failures_ms: Vec<i64> = Vec::new();
    let mut starts = 0;
    let mut fresh = options.fresh;
    loop {
        if fresh {
            let generation = store.claim_generation().await?;
            let protocol = Protocol::new(job, &record.job_id, &record.name, generation, store, status, options).await?;
            protocol.forget().await?;
            // Labels of the new life have nothing to do with those of the old one.
            record.job_id.clone_from(&options.new_job_id);
            store.rename(&record).await?;
            fresh = false;
        }
        let generation = store.claim_generation().await?;
        let ended = async {
            let protocol = Protocol::new(job, &record.job_id, &record.name, generation, store, status, options).await?;
            let manifest = protocol.recover(job).await?;
            job.attempt(protocol, manifest).await
        };
        let error = match ended.await {
            Ok(end) => return Ok(end),
            Err(error) => error,
        };
        if options.stop.level() == 0
            && let Some(what) = job.deals_with(&error)
        {
            (options.note)(format!("{}; {what}", error.chain()));
            status.restarts.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        *status.last_error.lock() = Some(error.chain());
        if !error.kind.is_retryable() || options.stop.level() > 0 {
            return Err(error);
        }
        failures_ms.push(options.clock.now_ms());
        let pause = if status.running.load(Ordering::Acquire) {
            decide_restart(&options.restart, &failures_ms)
        } else {
            starts += 1;
            (starts < STARTS_MAX).then_some(START_PAUSE)
        };
        let Some(pause) = pause else { return Err(error) };
        (options.note)(format!(
            "attempt {generation} failed: {}; restarting in {} ms",
            error.chain(),
            pause.as_millis()
        ));
        status.restarts.fetch_add(1, Ordering::Relaxed);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = options.stop.raised_above(0) => return Err(error),
        }
    }
}

impl<'a> Protocol<'a> {
    async fn new(
        job: &dyn Attempt,
        job_id: &str,
        job_name: &str,
        generation: u64,
        store: &'a dyn CheckpointStore,
        status: &'a Arc<JobStatus>,
        options: &'a RunOptions,
    ) -> Result<Self> {
        let context = SinkContext {
            job_id: job_id.to_owned(),
            generation,
            journal: store.journal(),
            clock: options.clock.clone(),
        };
        let sinks = job.sinks(&store.manifests().await?)?;
        Ok(Self { store, status, options, context, job_name: job_name.to_owned(), sinks })
    }

    /// The tokens of a manifest with their sinks. A target that left the script may still have some to commit.
    fn tokens<'m>(&self, manifest: &'m Manifest) -> Result<Vec<(&Arc<dyn Sink>, &'m Token)>> {
        let mut found = Vec::new();
        for (id, tokens) in &manifest.sinks {
            for token in tokens {
                let sink = self.sinks.get(id).ok_or_else(|| {
                    Error::user(format!("target {id} left the script while its last transaction waits to be committed"))
                        .with_hint("run the script with this target once more, or start anew with --fresh")
                })?;
                found.push((sink, token));
            }
        }
        Ok(found)
    }

    /// Gives up what the saved state left open and removes it.
    async fn forget(&self) -> Result<()> {
        let manifests = self.store.manifests().await?;
        if let Some(newest) = manifests.first() {
            for (id, tokens) in &newest.sinks {
                let Some(sink) = self.sinks.get(id) else { continue };
                for token in tokens {
                    if sink.inspect(&self.context, token).await? == TokenState::Prepared {
                        (self.options.note)(format!("--fresh: aborting a prepared transaction of {id}"));
                        sink.abort(&self.context, token).await?;
                    }
                }
            }
            self.abort_lingering(newest.epoch, newest.generation).await?;
        }
        for manifest in &manifests {
            self.store.remove(manifest.epoch).await?;
        }
        Ok(())
    }

    /// Brings the outside systems to where the last manifest says they are. The next epoch starts from the result.
    async fn recover(&self, job: &dyn Attempt) -> Result<Option<Manifest>> {
        let mut manifests: VecDeque<Manifest> = self.store.manifests().await?.into();
        loop {
            let Some(newest) = manifests.front() else {
                self.abort_lingering(Epoch(0), 0).await?;
                return Ok(None);
            };
            let notes = job.compare(newest)?;
            if self.context.generation > 1 {
                notes.into_iter().for_each(|note| (self.options.note)(note));
            }
            (self.options.at_step)(EpochStep::RecoverRead);
            let tokens = self.tokens(newest)?;
            let mut states = Vec::with_capacity(tokens.len());
            for (sink, token) in &tokens {
                states.push(sink.inspect(&self.context, token).await?);
            }
            match decide_recovery(&states, manifests.len() > 1) {
                RecoveryDecision::Commit => {
                    (self.options.at_step)(EpochStep::RecoverCommit);
                    for ((sink, token), state) in tokens.iter().zip(&states) {
                        if *state != TokenState::Committed {
                            sink.commit(&self.context, token).await?;
                        }
                    }
                    self.abort_lingering(newest.epoch, newest.generation).await?;
                    return Ok(manifests.pop_front());
                }
                RecoveryDecision::Rewind => {
                    for ((sink, token), state) in tokens.iter().zip(&states) {
                        if *state == TokenState::Prepared {
                            sink.abort(&self.context, token).await?;
                        }
                    }
                    (self.options.note)(format!(
                        "the server gave the transactions of epoch {} up; reading it again from epoch {}",
                        newest.epoch, manifests[1].epoch
                    ));
                    self.store.remove(newest.epoch).await?;
                    self.abort_lingering(newest.epoch, newest.generation).await?;
                    manifests.pop_front();
                }
                RecoveryDecision::Stop(reason) => {
                    return Err(Error::refused(format!(
                        "epoch {} of job {} cannot be continued: {}",
                        newest.epoch,
                        self.job_name,
                        reason.text()
                    ))
                    .with_hint(
                        "compare the target tables with the source; then go on with --fresh, which reads again from the start",
                    ));
                }
            }
        }
    }

    /// Ends what earlier attempts began after epoch `last` (written by attempt `since`) and never recorded.
    async fn abort_lingering(&self, last: Epoch, since: u64) -> Result<()> {
        let generations: Vec<u64> = (since.max(1)..self.context.generation).rev().take(100).collect();
        if generations.is_empty() {
            return Ok(());
        }
        for sink in self.sinks.values() {
            sink.abort_lingering(&self.context, last, &generations).await?;
        }
        Ok(())
    }

    /// The record of an epoch.
    pub fn manifest(
        &self,
        epoch: Epoch,
        plans: Vec<String>,
        sources: BTreeMap<String, SourceState>,
        mut tokens: BTreeMap<String, Vec<Token>>,
        finished: bool,
    ) -> Manifest {
        for id in self.sinks.keys() {
            tokens.entry(id.clone()).or_default();
        }
        Manifest {
            format: FORMAT,
            job_id: self.context.job_id.clone(),
            job_name: self.job_name.clone(),
            epoch,
            generation: self.context.generation,
            written_ms: self.options.clock.now_ms(),
            plans,
            sources,
            sinks: tokens,
            finished,
        }
    }

    /// Ends a prepared epoch: manifest (the commit point), commits, `acknowledge`. `started` is when it was cut.
    pub async fn commit_epoch(
        &self,
        manifest: &Manifest,
        started: Instant,
        acknowledge: impl Future<Output = ()>,
    ) -> Result<()> {
        let (at_step, status) = (&self.options.at_step, self.status);
        let tokens = self.tokens(manifest)?;
        status.open_transactions.store(tokens.len() as u64, Ordering::Relaxed);
        at_step(EpochStep::BeforeManifest);
        self.store.write(manifest).await?;
        at_step(EpochStep::BeforeCommit);
        for (sink, token) in tokens {
            sink.commit(&self.context, token).await?;
            at_step(EpochStep::BetweenCommits);
            status.open_transactions.fetch_sub(1, Ordering::Relaxed);
        }
        at_step(EpochStep::BeforeAcknowledge);
        acknowledge.await;
        self.store.prune(manifest.epoch).await?;
        at_step(EpochStep::AfterAcknowledge);
        let took_ms = started.elapsed().as_millis() as u64;
        tracing::debug!(epoch = manifest.epoch.0, ms = took_ms, "epoch committed");
        status.epoch.store(manifest.epoch.0, Ordering::Relaxed);
        status.epochs.fetch_add(1, Ordering::Relaxed);
        status.epoch_duration_ms.store(took_ms, Ordering::Relaxed);
        status.last_epoch_ms.store(self.options.clock.now_ms(), Ordering::Relaxed);
        Ok(())
    }
}
