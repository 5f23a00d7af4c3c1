//! What to do next with a load or a transaction: a plain function from what is known to one decision.
//! Anything that could lose or double rows is decided here and nowhere else.
//!
//! Sources: the transaction tests of StarRocks (`test_stream_load_basic_txn`, `test_prepared_timeout`), the
//! answers' texts in FE and BE, and what its Java SDK treats as final.

use crate::answer::{Answer, ExistingJob, LabelState, Status};
use crate::http::Sent;

/// A call that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// One request: begin, load, commit, publish.
    StreamLoad,
    Begin,
    Load,
    Prepare,
    Commit,
    Rollback,
}

/// What is known about one attempt.
#[derive(Debug, Clone, Copy)]
pub enum Facts<'a> {
    Answered(&'a Answer),
    /// No answer came; the server may have done it or not.
    Lost(Sent),
    /// The label was asked about after doubt.
    Label(LabelState),
}

/// Why the server wants less work at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Congestion {
    /// `TXN_IN_PROCESSING`: another call on this label is running.
    InProcessing,
    /// More versions of a tablet than compaction can merge: load less often, in bigger pieces.
    TooManyVersions,
    /// The database has as many running transactions as it may.
    TooManyTransactions,
    /// Memory limits of a node.
    Memory,
}

/// How an operation came out well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// By this attempt.
    Now,
    /// By an earlier attempt with the same label.
    Before,
    /// Committed; will be visible later.
    NotYetVisible,
}

/// Why it is no use to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Final {
    /// The server refuses the data or the request itself: rows, types, rights.
    Refused,
    /// A transaction that was prepared is gone: aborted by its timeout, or forgotten.
    TransactionLost,
    /// It is committed already and cannot be taken back.
    AlreadyCommitted,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Done(Done),
    /// The same call with the same label, after a pause.
    Retry,
    /// The same call with the same label, after a longer pause; tell the governor.
    BackOff(Congestion),
    /// Ask the server about the label, then decide again.
    AskLabel,
    /// The label's transaction is still running: ask again later.
    Poll,
    /// The transaction's data is gone: roll it back, begin it again under the same label and send all of it.
    BeginAgain,
    Stop(Final),
}

/// Parts of messages after which repeating the same bytes is no use (the Java SDK's list, and empty loads).
const FINAL_MESSAGES: &[&str] = &[
    "too many filtered rows",
    "primary key size exceed the limit",
    "Only primary key table support partial update",
    "Access denied",
    "No partitions have data available for loading",
    "hasn't send any data yet",
    "unknown table",
    "unknown database",
    "Label format error",
    "There is no 100-continue header",
];

/// The congestion a message speaks of.
fn congestion(answer: &Answer) -> Option<Congestion> {
    let message = answer.message.as_str();
    if answer.status == Status::TxnInProcessing {
        Some(Congestion::InProcessing)
    } else if message.contains("too many versions") {
        Some(Congestion::TooManyVersions)
    } else if message.contains("current running txns on db") {
        Some(Congestion::TooManyTransactions)
    } else if answer.status == Status::MemLimitExceeded {
        Some(Congestion::Memory)
    } else {
        None
    }
}

fn is_final(answer: &Answer) -> bool {
    matches!(answer.status, Status::InvalidArgument | Status::AnalysisError)
        || FINAL_MESSAGES.iter().any(|m| answer.message.contains(m))
}

/// What to do next; see the tests for the whole table.
pub fn decide(operation: Operation, facts: Facts<'_>) -> Decision {
    match facts {
        Facts::Answered(answer) => decide_answer(operation, answer),
        Facts::Lost(sent) => decide_lost(operation, sent),
        Facts::Label(state) => decide_label(operation, state),
    }
}

fn decide_answer(operation: Operation, answer: &Answer) -> Decision {
    use Operation::{Begin, Commit, Load, Prepare, Rollback, StreamLoad};
    match (&answer.status, operation) {
        (Status::Ok, _) => return Decision::Done(Done::Now),
        (Status::PublishTimeout, StreamLoad | Commit) => return Decision::Done(Done::NotYetVisible),
        (Status::LabelAlreadyExists, StreamLoad) => {
            return match answer.existing_job {
                Some(ExistingJob::Finished) => Decision::Done(Done::Before),
                Some(ExistingJob::Running) => Decision::Poll,
                None => Decision::AskLabel,
            };
        }
        (Status::LabelAlreadyExists, Begin) => return Decision::AskLabel,
        _ => {}
    }
    // The end of a transaction is what its label says, whatever the answer's words.
    if matches!(operation, Commit | Rollback) {
        return match answer.status {
            Status::TxnInProcessing => Decision::BackOff(Congestion::InProcessing),
            _ if answer.message.contains("Access denied") => Decision::Stop(Final::Refused),
            _ => Decision::AskLabel,
        };
    }
    if let Some(congestion) = congestion(answer) {
        return match (operation, congestion) {
            // The call did nothing, or there is nothing yet to lose.
            (StreamLoad | Begin, _) | (_, Congestion::InProcessing) => Decision::BackOff(congestion),
            // The transaction was aborted with it.
            _ => Decision::BeginAgain,
        };
    }
    if is_final(answer) {
        return Decision::Stop(Final::Refused);
    }
    match operation {
        StreamLoad | Begin => Decision::Retry,
        Load => Decision::BeginAgain,
        Prepare => Decision::AskLabel,
        Commit | Rollback => Decision::AskLabel,
    }
}

fn decide_lost(operation: Operation, sent: Sent) -> Decision {
    match (operation, sent) {
        (_, Sent::Nothing) => Decision::Retry,
        // Without its body a load did nothing but reserve the label, and is aborted when the connection ends.
        (Operation::StreamLoad | Operation::Load, Sent::Head) => Decision::Retry,
        // Some of the data may be in the transaction; sending it again would double it.
        (Operation::Load, Sent::Body) => Decision::BeginAgain,
        _ => Decision::AskLabel,
    }
}

fn decide_label(operation: Operation, state: LabelState) -> Decision {
    use LabelState::{Aborted, Committed, Prepare, Prepared, Unknown, Visible};
    match (operation, state) {
        (Operation::StreamLoad | Operation::Begin | Operation::Load | Operation::Prepare, Committed | Visible) => {
            Decision::Done(Done::Before)
        }
        (Operation::StreamLoad, Prepare | Prepared) => Decision::Poll,
        (Operation::StreamLoad, Aborted | Unknown) => Decision::Retry,
        // Begun by an attempt of ours whose answer was lost, or by an earlier life: its data is not known.
        (Operation::Begin, Prepare | Prepared) => Decision::BeginAgain,
        (Operation::Begin, Aborted | Unknown) => Decision::Retry,
        (Operation::Load, _) => Decision::BeginAgain,
        (Operation::Prepare, Prepared) => Decision::Done(Done::Before),
        (Operation::Prepare, Prepare) => Decision::Retry,
        (Operation::Prepare, Aborted | Unknown) => Decision::BeginAgain,
        (Operation::Commit, Committed | Visible) => Decision::Done(Done::Before),
        (Operation::Commit, Prepare | Prepared) => Decision::Retry,
        (Operation::Commit, Aborted | Unknown) => Decision::Stop(Final::TransactionLost),
        (Operation::Rollback, Aborted | Unknown) => Decision::Done(Done::Before),
        (Operation::Rollback, Prepare | Prepared) => Decision::Retry,
        (Operation::Rollback, Committed | Visible) => Decision::Stop(Final::AlreadyCommitted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: &str, existing: Option<&str>, message: &str) -> Answer {
        let existing = existing.map_or(String::new(), |e| format!(",\"ExistingJobStatus\":\"{e}\""));
        let body = format!("{{\"Status\":\"{status}\",\"Message\":\"{message}\"{existing}}}");
        Answer::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn every_answer_has_one_decision() {
        use Congestion::*;
        use Decision::*;
        use Operation::*;
        let versions = "Failed to load data into tablet 1, because of too many versions, current/limit: 1001/1000.";
        let running = "current running txns on db 1 is 1000, larger than limit 1000";
        let commit_error = "publish timeout: 20, transactionId=5";
        for (operation, status, existing, message, expected) in [
            (StreamLoad, "Success", None, "OK", Done(super::Done::Now)),
            (StreamLoad, "Publish Timeout", None, "", Done(super::Done::NotYetVisible)),
            (StreamLoad, "Label Already Exists", Some("FINISHED"), "", Done(super::Done::Before)),
            (StreamLoad, "Label Already Exists", Some("RUNNING"), "", Poll),
            (StreamLoad, "Label Already Exists", None, "", AskLabel),
            (StreamLoad, "Fail", None, "too many filtered rows", Stop(Final::Refused)),
            (StreamLoad, "Fail", None, "primary key size exceed the limit", Stop(Final::Refused)),
            (StreamLoad, "Fail", None, "Only primary key table support partial update", Stop(Final::Refused)),
            (StreamLoad, "Fail", None, "Access denied; you need INSERT", Stop(Final::Refused)),
            (StreamLoad, "Fail", None, versions, BackOff(TooManyVersions)),
            (StreamLoad, "Fail", None, running, BackOff(TooManyTransactions)),
            (StreamLoad, "Fail", None, "timeout by txn manager", Retry),
            (StreamLoad, "FAILED", None, "class com.starrocks.common.DdlException: No backend alive.", Retry),
            (StreamLoad, "MEM_LIMIT_EXCEEDED", None, "", BackOff(Memory)),
            (StreamLoad, "SERVICE_UNAVAILABLE", None, "", Retry),
            (StreamLoad, "Never Seen", None, "", Retry),
            (Begin, "OK", None, "", Done(super::Done::Now)),
            (Begin, "LABEL_ALREADY_EXISTS", None, "", AskLabel),
            (Begin, "FAILED", None, running, BackOff(TooManyTransactions)),
            (Begin, "FAILED", None, "Access denied", Stop(Final::Refused)),
            (Begin, "INTERNAL_ERROR", None, "x", Retry),
            (Load, "OK", None, "", Done(super::Done::Now)),
            (Load, "TXN_IN_PROCESSING", None, "Transaction is in processing", BackOff(InProcessing)),
            (Load, "TXN_NOT_EXISTS", None, "", BeginAgain),
            (Load, "FAILED", None, "No transaction found", BeginAgain),
            (Load, "INTERNAL_ERROR", None, versions, BeginAgain),
            (Load, "ANALYSIS_ERROR", None, "Column has no default value. column: c", Stop(Final::Refused)),
            (Load, "INVALID_ARGUMENT", None, "", Stop(Final::Refused)),
            (Prepare, "OK", None, "", Done(super::Done::Now)),
            (Prepare, "TXN_IN_PROCESSING", None, "", BackOff(InProcessing)),
            (Prepare, "INTERNAL_ERROR", None, "too many filtered rows", Stop(Final::Refused)),
            (Prepare, "INTERNAL_ERROR", None, "x", AskLabel),
            (Prepare, "TXN_NOT_EXISTS", None, "", AskLabel),
            (Commit, "OK", None, "Transaction 1 has already committed", Done(super::Done::Now)),
            (Commit, "FAILED", None, commit_error, AskLabel),
            (Commit, "PUBLISH_TIMEOUT", None, "", Done(super::Done::NotYetVisible)),
            (Commit, "TXN_IN_PROCESSING", None, "", BackOff(InProcessing)),
            (Commit, "FAILED", None, "Can not commit ABORTED transaction", AskLabel),
            (Commit, "FAILED", None, "Access denied", Stop(Final::Refused)),
            (Rollback, "OK", None, "", Done(super::Done::Now)),
            (Rollback, "FAILED", None, "Can not abort VISIBLE transaction", AskLabel),
            (Rollback, "FAILED", None, "No transaction found by label", AskLabel),
        ] {
            let answer = answer(status, existing, message);
            assert_eq!(decide(operation, Facts::Answered(&answer)), expected, "{operation:?} {status} {message}");
        }
    }

    #[test]
    fn every_lost_answer_has_one_decision() {
        use Decision::*;
        use Operation::*;
        for (operation, nothing, head, body) in [
            (StreamLoad, Retry, Retry, AskLabel),
            (Begin, Retry, AskLabel, AskLabel),
            (Load, Retry, Retry, BeginAgain),
            (Prepare, Retry, AskLabel, AskLabel),
            (Commit, Retry, AskLabel, AskLabel),
            (Rollback, Retry, AskLabel, AskLabel),
        ] {
            for (sent, expected) in [(Sent::Nothing, nothing), (Sent::Head, head), (Sent::Body, body)] {
                assert_eq!(decide(operation, Facts::Lost(sent)), expected, "{operation:?} {sent:?}");
            }
        }
    }

    #[test]
    fn every_label_state_has_one_decision() {
        use Decision::*;
        use Operation::*;
        let before = Done(super::Done::Before);
        let lost = Stop(Final::TransactionLost);
        let committed = Stop(Final::AlreadyCommitted);
        let states = [
            LabelState::Unknown,
            LabelState::Prepare,
            LabelState::Prepared,
            LabelState::Committed,
            LabelState::Visible,
            LabelState::Aborted,
        ];
        for (operation, expected) in [
            (StreamLoad, [Retry, Poll, Poll, before, before, Retry]),
            (Begin, [Retry, BeginAgain, BeginAgain, before, before, Retry]),
            (Load, [BeginAgain, BeginAgain, BeginAgain, before, before, BeginAgain]),
            (Prepare, [BeginAgain, Retry, before, before, before, BeginAgain]),
            (Commit, [lost, Retry, Retry, before, before, lost]),
            (Rollback, [before, Retry, Retry, committed, committed, before]),
        ] {
            for (state, expected) in states.into_iter().zip(expected) {
                assert_eq!(decide(operation, Facts::Label(state)), expected, "{operation:?} {state}");
            }
        }
    }
}
