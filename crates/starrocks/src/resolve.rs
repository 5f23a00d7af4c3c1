//! Carries decisions out: attempts with limits, always under the same label, until it is known what happened.

use std::future::Future;
use std::time::Duration;

use starweir_model::{Error, ErrorKind, Label, Result, TableName};
use tokio::time::{Instant, sleep};

use crate::answer::{Answer, LabelState, Status};
use crate::client::{AttemptError, Client, LoadRequest, TransactionRequest};
use crate::decide::{Congestion, Decision, Done, Facts, Final, Operation, decide};
use crate::http::{Body, Sent};

/// How often and how long to try. All waits are bounded.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// Attempts of one call, the first included; at least 1.
    pub attempts_max: u32,
    /// The pause before the second attempt; it doubles from there up to `pause_max`.
    pub pause: Duration,
    pub pause_max: Duration,
    /// Attempts while the server says it has too much to do.
    pub congested_attempts_max: u32,
    /// The pause after such an answer; it doubles up to `congestion_pause_max`.
    pub congestion_pause: Duration,
    pub congestion_pause_max: Duration,
    /// How often a running label is asked about, and for how long in all.
    pub poll_interval: Duration,
    pub poll_for: Duration,
    /// Told before each pause that the server's load asks for.
    pub observer: Observer,
    /// How long a commit may wait to become visible, seconds; None: the server's default.
    pub commit_timeout_s: Option<u64>,
    /// Values of rejected rows are left out of errors.
    pub hide_values: bool,
}

/// Hears why and how long a call pauses.
#[derive(Clone, Default)]
pub struct Observer(pub Option<std::sync::Arc<dyn Fn(Congestion, Duration) + Send + Sync>>);

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: 4,
            pause: Duration::from_millis(500),
            pause_max: Duration::from_secs(10),
            congested_attempts_max: 12,
            congestion_pause: Duration::from_secs(1),
            congestion_pause_max: Duration::from_secs(30),
            poll_interval: Duration::from_millis(500),
            poll_for: Duration::from_secs(660),
            observer: Observer::default(),
            commit_timeout_s: None,
            hide_values: true,
        }
    }
}

fn doubled(first: Duration, times: u32, max: Duration) -> Duration {
    first.saturating_mul(1u32.checked_shl(times.min(16)).unwrap_or(u32::MAX)).min(max)
}

/// How a call came out.
#[derive(Debug, Clone)]
pub struct Resolved {
    pub done: Done,
    /// The server's last answer; None when only the label told.
    pub answer: Option<Answer>,
    pub attempts: u32,
    /// The server asked for less on the way.
    pub congestion: Option<Congestion>,
}

/// A whole transaction: everything of one table and label. It is kept by the caller until it is visible, so
/// that it can be sent again.
#[derive(Debug, Clone)]
pub struct TransactionLoad {
    pub table: TableName,
    pub label: Label,
    /// For `begin`: `timeout`, `idle_transaction_timeout`, `warehouse`.
    pub begin_headers: Vec<(String, String)>,
    /// For every load.
    pub load_headers: Vec<(String, String)>,
    /// One load each, in order.
    pub bodies: Vec<Body>,
    pub prepared_timeout_s: Option<u64>,
}

pub(crate) enum Ended {
    Done(Resolved),
    /// The transaction's data is gone; why.
    Again(Error),
}

impl Client {
    /// Loads until the server has it, once. Errors: [`ErrorKind::Data`] when rows are rejected,
    /// [`ErrorKind::Refused`] for rights and requests, [`ErrorKind::Unavailable`] when the attempts ran out:
    /// then it is not known whether the label was committed, and the same label must be used when going on.
    pub async fn resolve_load(&self, request: &LoadRequest, policy: &RetryPolicy) -> Result<Resolved> {
        let call = || self.stream_load(request);
        let is_on = |name: &str| {
            request.headers.iter().any(|(n, v)| n.eq_ignore_ascii_case(name) && v.trim().eq_ignore_ascii_case("true"))
        };
        let queued = is_on("enable_merge_commit") && is_on("merge_commit_async");
        for round in 1.. {
            let resolved = match self.drive(Operation::StreamLoad, &request.table, &request.label, policy, call).await?
            {
                Ended::Done(resolved) => resolved,
                Ended::Again(error) => return Err(error),
            };
            // An asynchronous merge commit answers when the rows are queued, and names the label they will have.
            let merged = resolved.answer.as_ref().and_then(|a| Label::new(a.label.clone()?));
            match merged.filter(|_| queued) {
                None => return Ok(resolved),
                Some(label) => {
                    if self.merged(&request.table, &label, policy).await? {
                        return Ok(resolved);
                    }
                    if round >= policy.attempts_max {
                        let error = Error::unavailable(format!("the load of {} failed", request.table));
                        return Err(error.with_source(format!("the server aborted its merged transaction {label}")));
                    }
                    sleep(doubled(policy.pause, round - 1, policy.pause_max)).await;
                }
            }
        }
        Err(Error::internal("a load was neither done nor given up"))
    }

    /// Waits until the server's own transaction is committed; false when it was aborted.
    async fn merged(&self, table: &TableName, label: &Label, policy: &RetryPolicy) -> Result<bool> {
        let since = Instant::now();
        loop {
            match self.resolve_label(table, label, policy).await? {
                LabelState::Committed | LabelState::Visible => return Ok(true),
                LabelState::Aborted => return Ok(false),
                LabelState::Unknown | LabelState::Prepare | LabelState::Prepared => {}
            }
            if since.elapsed() >= policy.poll_for {
                return Err(Error::unavailable(format!("the load of {table} is not committed yet"))
                    .with_hint(format!("the merged transaction {label} is still running")));
            }
            sleep(policy.poll_interval).await;
        }
    }

    /// Begins, loads and prepares; starts over under the same label when the server lost the data. When the
    /// label turns out to be committed already, [`Resolved::done`] is [`Done::Before`] after `prepare`'s question;
    /// committing it again is harmless. On an error the transaction is rolled back as well as can be.
    pub async fn resolve_prepare(&self, load: &TransactionLoad, policy: &RetryPolicy) -> Result<Resolved> {
        let mut round = 0;
        let mut congestion = None;
        loop {
            round += 1;
            let error = match self.transaction_round(load, policy, &mut congestion).await {
                Ok(Ended::Done(resolved)) => {
                    return Ok(Resolved {
                        attempts: round,
                        congestion: congestion.or(resolved.congestion),
                        ..resolved
                    });
                }
                Ok(Ended::Again(error)) => error,
                Err(error) => {
                    self.give_up(load).await;
                    return Err(error);
                }
            };
            self.give_up(load).await;
            if round >= policy.attempts_max {
                return Err(error);
            }
            tracing::warn!(table = %load.table, label = %load.label, cause = %error.chain(), "the transaction begins again");
            sleep(doubled(policy.pause, round - 1, policy.pause_max)).await;
        }
    }

    async fn transaction_round(
        &self,
        load: &TransactionLoad,
        policy: &RetryPolicy,
        congestion: &mut Option<Congestion>,
    ) -> Result<Ended> {
        let (table, label) = (&load.table, &load.label);
        let begin =
            TransactionRequest { table: table.clone(), label: label.clone(), headers: load.begin_headers.clone() };
        let call = || self.begin(&begin);
        match self.drive(Operation::Begin, table, label, policy, call).await? {
            Ended::Done(resolved) if resolved.done == Done::Before => return Ok(Ended::Done(resolved)),
            Ended::Done(resolved) => *congestion = congestion.or(resolved.congestion),
            again @ Ended::Again(_) => return Ok(again),
        }
        for body in &load.bodies {
            let request = LoadRequest {
                table: table.clone(),
                label: label.clone(),
                headers: load.load_headers.clone(),
                body: body.clone(),
            };
            let call = || self.load(&request);
            match self.drive(Operation::Load, table, label, policy, call).await? {
                Ended::Done(resolved) => *congestion = congestion.or(resolved.congestion),
                again @ Ended::Again(_) => return Ok(again),
            }
        }
        let call = || self.prepare(table, label, load.prepared_timeout_s);
        self.drive(Operation::Prepare, table, label, policy, call).await
    }

    /// Commits a prepared transaction until the server says it is committed or visible. An error of kind
    /// [`ErrorKind::Refused`] means the prepared data is gone.
    pub async fn resolve_commit(&self, table: &TableName, label: &Label, policy: &RetryPolicy) -> Result<Resolved> {
        let call = || self.commit(table, label, policy.commit_timeout_s);
        match self.drive(Operation::Commit, table, label, policy, call).await? {
            Ended::Done(resolved) => Ok(resolved),
            Ended::Again(error) => Err(error),
        }
    }

    /// Rolls a transaction back until it is gone. An error of kind [`ErrorKind::Refused`] means it is committed.
    pub async fn resolve_rollback(&self, table: &TableName, label: &Label, policy: &RetryPolicy) -> Result<Resolved> {
        let call = || self.rollback(table, label);
        match self.drive(Operation::Rollback, table, label, policy, call).await? {
            Ended::Done(resolved) => Ok(resolved),
            Ended::Again(error) => Err(error),
        }
    }

    /// The label's state, asked as often as the policy allows.
    pub async fn resolve_label(&self, table: &TableName, label: &Label, policy: &RetryPolicy) -> Result<LabelState> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.label_state(&table.database, label).await {
                Ok(state) => return Ok(state),
                Err(error) => {
                    error.into_error(&format!("the state of label {label} in {} is not known", table.database))
                }
            };
            if !error.kind.is_retryable() || attempt >= policy.attempts_max.max(2) {
                return Err(error);
            }
            sleep(doubled(policy.pause, attempt - 1, policy.pause_max)).await;
        }
    }

    /// One rollback, without caring: what is left is aborted by the server's own timeout.
    async fn give_up(&self, load: &TransactionLoad) {
        self.let_go(&load.table, &load.label).await;
    }

    /// One rollback, without caring: what is left is aborted by the server's own timeout.
    pub(crate) async fn let_go(&self, table: &TableName, label: &Label) {
        if let Err(error) = self.rollback(table, label).await {
            let error = error.into_error("rollback");
            tracing::debug!(%label, cause = %error.chain(), "a broken transaction was not rolled back");
        }
    }

    pub(crate) async fn drive<'a, F, A>(
        &self,
        operation: Operation,
        table: &TableName,
        label: &Label,
        policy: &RetryPolicy,
        call: F,
    ) -> Result<Ended>
    where
        F: Fn() -> A + 'a,
        A: Future<Output = Result<Answer, AttemptError>>,
    {
        let doing = format!("{} of {table} under label {label} failed", name_of(operation));
        let mut attempts = 0;
        let mut congested = 0;
        let mut congestion = None;
        loop {
            attempts += 1;
            let (mut answer, mut cause) = (None, None);
            let mut decision = match call().await {
                Ok(found) => {
                    let decision = decide(operation, Facts::Answered(&found));
                    answer = Some(found);
                    decision
                }
                Err(AttemptError::Lost(lost)) => {
                    let decision = decide(operation, Facts::Lost(lost.sent));
                    cause = Some(AttemptError::Lost(lost).into_error(&doing));
                    decision
                }
                // A proxy's 5xx tells nothing about what happened behind it.
                Err(AttemptError::Refused(error)) if error.kind == ErrorKind::Unavailable => {
                    cause = Some(error.context(doing.clone()));
                    decide(operation, Facts::Lost(Sent::Body))
                }
                Err(AttemptError::Refused(error)) => return Err(error.context(doing)),
            };
            let polling_since = Instant::now();
            loop {
                let error = |cause: Option<Error>| {
                    cause.unwrap_or_else(|| failed(&doing, ErrorKind::Unavailable, answer.as_ref()))
                };
                match decision {
                    Decision::Done(done) => {
                        return Ok(Ended::Done(Resolved { done, answer, attempts, congestion }));
                    }
                    Decision::AskLabel => {
                        let state = self.resolve_label(table, label, policy).await?;
                        tracing::debug!(%label, %state, "asked after doubt");
                        decision = decide(operation, Facts::Label(state));
                    }
                    Decision::Poll => {
                        if polling_since.elapsed() >= policy.poll_for {
                            return Err(error(cause).with_hint("the label's transaction is still running"));
                        }
                        sleep(policy.poll_interval).await;
                        let state = self.resolve_label(table, label, policy).await?;
                        decision = decide(operation, Facts::Label(state));
                    }
                    Decision::Retry => {
                        if attempts >= policy.attempts_max {
                            return Err(error(cause));
                        }
                        sleep(doubled(policy.pause, attempts - 1, policy.pause_max)).await;
                        break;
                    }
                    Decision::BackOff(why) => {
                        congestion = Some(why);
                        congested += 1;
                        if congested >= policy.congested_attempts_max {
                            return Err(error(cause).with_hint(advice(why)));
                        }
                        // Congestion has its own count.
                        attempts -= 1;
                        let pause = doubled(policy.congestion_pause, congested - 1, policy.congestion_pause_max);
                        tracing::warn!(%table, ?why, pause_ms = pause.as_millis() as u64, "StarRocks asks for less");
                        if let Some(observer) = &policy.observer.0 {
                            observer(why, pause);
                        }
                        sleep(pause).await;
                        break;
                    }
                    Decision::BeginAgain => return Ok(Ended::Again(error(cause))),
                    Decision::Stop(end) => {
                        let kind = match (end, operation, answer.as_ref()) {
                            (Final::Refused, _, Some(a)) if a.error_url.is_some() || a.rows_filtered > 0 => {
                                ErrorKind::Data
                            }
                            _ => ErrorKind::Refused,
                        };
                        let mut error = failed(&doing, kind, answer.as_ref());
                        error.hint = Some(match end {
                            Final::TransactionLost => {
                                "the prepared data is gone (aborted, or its label forgotten): the rows \
                                 must be loaded again under a new label"
                                    .into()
                            }
                            Final::AlreadyCommitted => "the transaction is committed and cannot be taken back".into(),
                            Final::Refused => self.refusal_hint(answer.as_ref(), policy.hide_values).await,
                        });
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn refusal_hint(&self, answer: Option<&Answer>, hide_values: bool) -> String {
        let Some(url) = answer.and_then(|a| a.error_url.as_deref()) else {
            return "repeating the same request is no use".into();
        };
        match self.error_rows(url, 3, hide_values).await {
            Ok(rows) if !rows.is_empty() => format!("first rejected rows: {}", rows.join(" | ")),
            _ => "the rejected rows could not be fetched; see information_schema.load_tracking_logs".into(),
        }
    }
}

fn name_of(operation: Operation) -> &'static str {
    match operation {
        Operation::StreamLoad => "the load",
        Operation::Begin => "the transaction's begin",
        Operation::Load => "the transaction's load",
        Operation::Prepare => "the transaction's prepare",
        Operation::Commit => "the transaction's commit",
        Operation::Rollback => "the transaction's rollback",
    }
}

fn advice(why: Congestion) -> &'static str {
    match why {
        Congestion::InProcessing => "another call on the same label is still running on the server",
        Congestion::TooManyVersions => {
            "the table has more versions than compaction can merge: load less often, in bigger pieces"
        }
        Congestion::TooManyTransactions => {
            "the database has too many running transactions: fewer jobs, longer intervals, or raise max_running_txn_num_per_db"
        }
        Congestion::Memory => "a node is short of memory: smaller loads, or fewer at a time",
    }
}

fn failed(doing: &str, kind: ErrorKind, answer: Option<&Answer>) -> Error {
    let error = Error::new(kind, doing);
    match answer {
        Some(answer) if answer.status != Status::Ok => {
            let message: String = crate::error_log::sanitize(&answer.message).chars().take(500).collect();
            error.with_source(format!("{}: {message}", answer.status))
        }
        _ => error,
    }
}
