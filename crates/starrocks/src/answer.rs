//! What the server says to a load, a transaction call or a question about a label.

use std::fmt;

use serde_json::Value;

/// Every outcome the load interfaces name. Stream Load writes `Success`, BEs write thrift code names in
/// transaction calls, FEs write `OK` and `FAILED`; one enum holds them all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// `Success`, `OK`.
    Ok,
    /// `Publish Timeout`, `PUBLISH_TIMEOUT`: committed, not yet visible.
    PublishTimeout,
    /// `Label Already Exists`, `LABEL_ALREADY_EXISTS`.
    LabelAlreadyExists,
    /// `Fail`, `FAILED`: see the message.
    Failed,
    TxnNotExists,
    /// Another call on the same label is still running; this one did nothing.
    TxnInProcessing,
    InternalError,
    InvalidArgument,
    AnalysisError,
    Aborted,
    Timeout,
    MemLimitExceeded,
    ServiceUnavailable,
    /// A word this client does not know; treated as a failure that may pass.
    Other(String),
}

impl Status {
    /// Case, spaces and underscores do not count.
    pub fn from_text(text: &str) -> Self {
        let plain: String = text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        match plain.as_str() {
            "success" | "ok" => Self::Ok,
            "publishtimeout" => Self::PublishTimeout,
            "labelalreadyexists" => Self::LabelAlreadyExists,
            "fail" | "failed" => Self::Failed,
            "txnnotexists" => Self::TxnNotExists,
            "txninprocessing" => Self::TxnInProcessing,
            "internalerror" => Self::InternalError,
            "invalidargument" => Self::InvalidArgument,
            "analysiserror" => Self::AnalysisError,
            "aborted" => Self::Aborted,
            "timeout" => Self::Timeout,
            "memlimitexceeded" => Self::MemLimitExceeded,
            "serviceunavailable" => Self::ServiceUnavailable,
            _ => Self::Other(text.chars().take(64).collect()),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "OK",
            Self::PublishTimeout => "PUBLISH_TIMEOUT",
            Self::LabelAlreadyExists => "LABEL_ALREADY_EXISTS",
            Self::Failed => "FAILED",
            Self::TxnNotExists => "TXN_NOT_EXISTS",
            Self::TxnInProcessing => "TXN_IN_PROCESSING",
            Self::InternalError => "INTERNAL_ERROR",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::AnalysisError => "ANALYSIS_ERROR",
            Self::Aborted => "ABORTED",
            Self::Timeout => "TIMEOUT",
            Self::MemLimitExceeded => "MEM_LIMIT_EXCEEDED",
            Self::ServiceUnavailable => "SERVICE_UNAVAILABLE",
            Self::Other(text) => text,
        })
    }
}

/// What the label's earlier load is, in answers that say [`Status::LabelAlreadyExists`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExistingJob {
    Running,
    Finished,
}

/// The state of a label's latest transaction (`get_load_state`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelState {
    /// Never begun, or forgotten: labels are kept for 3 days, but only 1000 of them per database.
    Unknown,
    /// Begun.
    Prepare,
    /// Certain to be committable; survives a BE.
    Prepared,
    /// Decided; becomes visible by itself.
    Committed,
    Visible,
    Aborted,
}

impl LabelState {
    pub fn from_text(text: &str) -> Option<Self> {
        Some(match text.trim().to_ascii_uppercase().as_str() {
            "UNKNOWN" => Self::Unknown,
            "PREPARE" => Self::Prepare,
            "PREPARED" => Self::Prepared,
            "COMMITTED" => Self::Committed,
            "VISIBLE" | "FINISHED" => Self::Visible,
            "ABORTED" | "CANCELLED" => Self::Aborted,
            _ => return None,
        })
    }

    /// Committed or visible: the data is in.
    pub fn is_decided(self) -> bool {
        matches!(self, Self::Committed | Self::Visible)
    }
}

impl fmt::Display for LabelState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "UNKNOWN",
            Self::Prepare => "PREPARE",
            Self::Prepared => "PREPARED",
            Self::Committed => "COMMITTED",
            Self::Visible => "VISIBLE",
            Self::Aborted => "ABORTED",
        })
    }
}

/// The server's answer to a load or a transaction call. Keys are found in any case; absent ones are zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: Status,
    pub existing_job: Option<ExistingJob>,
    pub message: String,
    pub label: Option<String>,
    pub txn_id: Option<i64>,
    pub rows_total: u64,
    pub rows_loaded: u64,
    pub rows_filtered: u64,
    pub rows_unselected: u64,
    pub load_bytes: u64,
    pub load_ms: u64,
    pub begin_txn_ms: u64,
    pub plan_ms: u64,
    pub read_ms: u64,
    pub write_ms: u64,
    pub commit_and_publish_ms: u64,
    /// Where the first rejected rows can be read; see [`Client::error_rows`](crate::Client::error_rows).
    pub error_url: Option<String>,
    pub rejected_record_path: Option<String>,
}

/// A JSON object's members by lower-case name, the first of each name.
fn members(body: &[u8]) -> Option<serde_json::Map<String, Value>> {
    let text = String::from_utf8_lossy(body);
    let start = text.find('{')?;
    let mut stream = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
    let Some(Ok(Value::Object(object))) = stream.next() else { return None };
    let mut lower = serde_json::Map::new();
    for (key, value) in object {
        lower.entry(key.to_ascii_lowercase()).or_insert(value);
    }
    Some(lower)
}

fn text_of(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}

fn count_of(value: Option<&Value>) -> u64 {
    match value {
        Some(Value::Number(n)) => n.as_u64().unwrap_or(0),
        Some(Value::String(text)) => text.trim().parse().unwrap_or(0),
        _ => 0,
    }
}

impl Answer {
    /// Reads an answer's body; None when it is not a JSON object with a status.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let m = members(body)?;
        let get = |name: &str| m.get(name);
        let status = Status::from_text(&text_of(get("status"))?);
        // FE errors carry both "msg" and "message".
        let message =
            text_of(get("message")).filter(|t| !t.is_empty()).or_else(|| text_of(get("msg"))).unwrap_or_default();
        let existing_job =
            text_of(get("existingjobstatus")).and_then(|text| match text.to_ascii_uppercase().as_str() {
                "RUNNING" | "PREPARE" | "PREPARED" => Some(ExistingJob::Running),
                "FINISHED" | "COMMITTED" | "VISIBLE" => Some(ExistingJob::Finished),
                _ => None,
            });
        let txn_id = get("txnid").and_then(|v| v.as_i64().or_else(|| v.as_str()?.parse().ok())).filter(|id| *id >= 0);
        Some(Self {
            status,
            existing_job,
            message,
            label: text_of(get("label")),
            txn_id,
            rows_total: count_of(get("numbertotalrows")),
            rows_loaded: count_of(get("numberloadedrows")),
            rows_filtered: count_of(get("numberfilteredrows")),
            rows_unselected: count_of(get("numberunselectedrows")),
            load_bytes: count_of(get("loadbytes")),
            load_ms: count_of(get("loadtimems")),
            begin_txn_ms: count_of(get("begintxntimems")),
            plan_ms: count_of(get("streamloadplantimems")),
            read_ms: count_of(get("readdatatimems")).max(count_of(get("receiveddatatimems"))),
            write_ms: count_of(get("writedatatimems")),
            commit_and_publish_ms: count_of(get("commitandpublishtimems")),
            error_url: text_of(get("errorurl")).filter(|t| !t.is_empty()),
            rejected_record_path: text_of(get("rejectedrecordpath")).filter(|t| !t.is_empty()),
        })
    }

    /// The state in an answer of `get_load_state`, or what the server says instead.
    pub(crate) fn parse_label_state(body: &[u8]) -> Result<LabelState, String> {
        let Some(m) = members(body) else { return Err("the answer is not JSON".into()) };
        if let Some(state) = text_of(m.get("state")).and_then(|t| LabelState::from_text(&t)) {
            return Ok(state);
        }
        Err(text_of(m.get("message"))
            .or_else(|| text_of(m.get("msg")))
            .unwrap_or_else(|| "the answer names no state".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_whatever_their_case_and_extra_keys() {
        let answer = Answer::parse(
            br#"{"TxnId": 7, "Label": "l", "Db": "d", "Status": "Label Already Exists", "ExistingJobStatus": "FINISHED",
                "Message": "Label [l] has already been used.", "NumberTotalRows": 3, "NumberLoadedRows": "2", "new": {}}"#,
        )
        .unwrap();
        assert_eq!(answer.status, Status::LabelAlreadyExists);
        assert_eq!(answer.existing_job, Some(ExistingJob::Finished));
        assert_eq!((answer.txn_id, answer.rows_total, answer.rows_loaded), (Some(7), 3, 2));
        let answer = Answer::parse(br#"{"status":"FAILED","code":"1","msg":"no","message":""}"#).unwrap();
        assert_eq!((answer.status, answer.message.as_str()), (Status::Failed, "no"));
        assert_eq!(Answer::parse(b"<html>"), None);
        assert_eq!(Answer::parse(b"{}"), None);
        assert_eq!(Status::from_text("Brand New"), Status::Other("Brand New".into()));
    }

    #[test]
    fn label_states_are_read_and_refusals_kept() {
        let body = br#"{"state":"VISIBLE","status":"OK","code":"0","msg":"Success","message":"OK"}"#;
        assert_eq!(Answer::parse_label_state(body), Ok(LabelState::Visible));
        let body = br#"{"status":"FAILED","code":"1","msg":"unknown database, database=x","message":"unknown database, database=x"}"#;
        assert_eq!(Answer::parse_label_state(body), Err("unknown database, database=x".into()));
    }
}
