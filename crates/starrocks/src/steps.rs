//! A transaction step by step, for writers that send while rows still come and keep no copy of what they sent.

use starweir_model::{Error, Label, Result, TableName};

use crate::client::{Client, LoadRequest, TransactionRequest};
use crate::decide::Operation;
use crate::resolve::{Ended, Resolved, RetryPolicy};

/// How a step within a transaction came out.
#[derive(Debug)]
pub enum Step {
    Done(Resolved),
    /// The transaction and everything loaded into it are gone; why. It was rolled back as well as can be. Whoever
    /// still has the rows may begin the same label again.
    Lost(Error),
}

impl Client {
    /// Begins a transaction. An unfinished one under the same label, left by a lost answer, is rolled back first.
    pub async fn begin_transaction(&self, request: &TransactionRequest, policy: &RetryPolicy) -> Result<Resolved> {
        let mut rounds = 0;
        loop {
            rounds += 1;
            let call = || self.begin(request);
            match self.drive(Operation::Begin, &request.table, &request.label, policy, call).await? {
                Ended::Done(resolved) => return Ok(resolved),
                Ended::Again(error) => {
                    if rounds >= policy.attempts_max {
                        return Err(error);
                    }
                    self.resolve_rollback(&request.table, &request.label, policy).await?;
                }
            }
        }
    }

    /// Sends rows into a begun transaction.
    pub async fn load_into_transaction(&self, request: &LoadRequest, policy: &RetryPolicy) -> Result<Step> {
        let call = || self.load(request);
        let ended = self.drive(Operation::Load, &request.table, &request.label, policy, call).await?;
        Ok(self.step(ended, &request.table, &request.label).await)
    }

    /// Makes what was loaded certain to be committable.
    pub async fn prepare_transaction(
        &self,
        table: &TableName,
        label: &Label,
        prepared_timeout_s: Option<u64>,
        policy: &RetryPolicy,
    ) -> Result<Step> {
        let call = || self.prepare(table, label, prepared_timeout_s);
        let ended = self.drive(Operation::Prepare, table, label, policy, call).await?;
        Ok(self.step(ended, table, label).await)
    }

    async fn step(&self, ended: Ended, table: &TableName, label: &Label) -> Step {
        match ended {
            Ended::Done(resolved) => Step::Done(resolved),
            Ended::Again(error) => {
                self.let_go(table, label).await;
                Step::Lost(error)
            }
        }
    }
}
