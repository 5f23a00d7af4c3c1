//! One transaction over several tables of a database (StarRocks 4.0 and later): all of it becomes visible at once.
//!
//! There is no prepare for it, so exactly-once needs the rows and the label kept by the caller until the label is
//! visible. A label that was rolled back cannot be used again, unlike that of a transaction over one table.

use starweir_model::{Error, ErrorKind, Label, Result, TableName};

use crate::answer::Answer;
use crate::client::{AttemptError, Client, LoadRequest, without_identity};
use crate::decide::{Done, Operation};
use crate::http::Body;
use crate::resolve::{Ended, Resolved, RetryPolicy};

/// The header that makes a call one of a transaction over several tables; every call has it.
const MULTI: (&str, &str) = ("transaction_type", "multi");

/// Rows of one table within such a transaction.
#[derive(Debug, Clone)]
pub struct TableLoad {
    pub table: String,
    /// The same for all loads of one table.
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

/// A whole transaction over several tables.
#[derive(Debug, Clone)]
pub struct TablesLoad {
    pub database: String,
    pub label: Label,
    /// For `begin`: `timeout` (seconds), `warehouse`.
    pub begin_headers: Vec<(String, String)>,
    /// In order; those of one table keep theirs.
    pub loads: Vec<TableLoad>,
}

impl Client {
    /// Begins a transaction over tables of `database`. One attempt.
    pub async fn begin_tables(
        &self,
        database: &str,
        label: &Label,
        headers: &[(String, String)],
    ) -> Result<Answer, AttemptError> {
        self.tables_call("begin", database, label, without_identity(headers)).await
    }

    /// Adds rows of one table. Calls for different tables may overlap, calls for one table must not. One attempt.
    pub async fn load_tables(&self, request: &LoadRequest) -> Result<Answer, AttemptError> {
        let mut request = request.clone();
        request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case(MULTI.0));
        request.headers.push((MULTI.0.into(), MULTI.1.into()));
        self.load(&request).await
    }

    /// Commits it. `timeout_s`: how long to wait for it to be visible. One attempt.
    pub async fn commit_tables(
        &self,
        database: &str,
        label: &Label,
        timeout_s: Option<u64>,
    ) -> Result<Answer, AttemptError> {
        let headers = timeout_s.map(|s| ("timeout".to_owned(), s.to_string()));
        self.tables_call("commit", database, label, headers.into_iter().collect()).await
    }

    /// Gives it up. One attempt.
    pub async fn rollback_tables(&self, database: &str, label: &Label) -> Result<Answer, AttemptError> {
        self.tables_call("rollback", database, label, Vec::new()).await
    }

    async fn tables_call(
        &self,
        operation: &str,
        database: &str,
        label: &Label,
        mut headers: Vec<(String, String)>,
    ) -> Result<Answer, AttemptError> {
        headers.push(("label".into(), label.to_string()));
        headers.push(("db".into(), database.to_owned()));
        headers.push((MULTI.0.into(), MULTI.1.into()));
        self.transaction("POST", operation, headers, None).await
    }

    /// Begins, loads and commits; [`Done::Before`] when the label was committed by an earlier attempt. Errors of kind
    /// [`ErrorKind::Unavailable`] before the commit mean nothing was written: it was rolled back as well as can be, and
    /// another attempt needs another label. At the commit they mean it is not known: ask for the label's state.
    pub async fn resolve_tables(&self, load: &TablesLoad, policy: &RetryPolicy) -> Result<Resolved> {
        let (database, label) = (load.database.as_str(), &load.label);
        let all = TableName::new(database, "*");
        let mut congestion = None;
        let ended = self.write_tables(load, &all, policy, &mut congestion).await;
        match ended {
            Ok(None) => {}
            Ok(Some(resolved)) => return Ok(resolved),
            Err(error) => {
                if let Err(rollback) = self.rollback_tables(database, label).await {
                    let cause = rollback.into_error("rollback").chain();
                    tracing::debug!(%label, cause, "a broken transaction was not rolled back");
                }
                return Err(error);
            }
        }
        let call = || self.commit_tables(database, label, policy.commit_timeout_s);
        match self.drive(Operation::Commit, &all, label, policy, call).await? {
            Ended::Done(resolved) => Ok(Resolved { congestion: congestion.or(resolved.congestion), ..resolved }),
            Ended::Again(error) => Err(error),
        }
    }

    /// Everything but the commit; the outcome if there is nothing left to commit.
    async fn write_tables(
        &self,
        load: &TablesLoad,
        all: &TableName,
        policy: &RetryPolicy,
        congestion: &mut Option<crate::Congestion>,
    ) -> Result<Option<Resolved>> {
        let lost = |error: Error| {
            Error::new(
                ErrorKind::Unavailable,
                format!("the transaction {} over tables of {} is lost", load.label, load.database),
            )
            .with_source(error)
        };
        let begin = || self.begin_tables(&load.database, &load.label, &load.begin_headers);
        match self.drive(Operation::Begin, all, &load.label, policy, begin).await? {
            Ended::Done(resolved) if resolved.done == Done::Before => return Ok(Some(resolved)),
            Ended::Done(resolved) => *congestion = congestion.or(resolved.congestion),
            Ended::Again(error) => return Err(lost(error)),
        }
        for part in &load.loads {
            let request = LoadRequest {
                table: TableName::new(load.database.clone(), part.table.clone()),
                label: load.label.clone(),
                headers: part.headers.clone(),
                body: part.body.clone(),
            };
            let call = || self.load_tables(&request);
            match self.drive(Operation::Load, &request.table, &load.label, policy, call).await? {
                Ended::Done(resolved) => *congestion = congestion.or(resolved.congestion),
                Ended::Again(error) => return Err(lost(error)),
            }
        }
        Ok(None)
    }
}
