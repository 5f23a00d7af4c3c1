//! `_stream_load` on both ports, `get_load_state`, `_cancel` (protocol reference 1.2 to 1.9).

use std::sync::Arc;

use http::Version;
use hyper::body::Incoming;
use serde_json::{Map, Value as Json, json};
use starweir_model::Label;

use super::server::{
    Answer, Call, Caller, Disturbance, Reply, closing, disturb, json_answer, read_body, read_half, to_backend,
};
use crate::core::Core;
use crate::load::plan::{Format, LoadPlan};
use crate::load::run::{LoadOutcome, load};
use crate::store::{Table, TxnState};

/// `streaming_load_max_mb` (100 GB) and the limit of one JSON batch (100 MB) of a BE.
const BODY_MAX: u64 = 102_400 << 20;
const JSON_MAX: u64 = 100 << 20;

/// An error of the FE: HTTP 200, `Status` FAILED, the exception's class in front.
pub fn frontend_failure(message: &str) -> Answer {
    closing(json_answer(
        &json!({"Status": "FAILED", "Message": format!("class com.starrocks.common.DdlException: {message}")}),
        b"  ",
    ))
}

pub async fn at_frontend(core: &Arc<Core>, call: &Call, db: &str, table: &str) -> Reply {
    let label = call.header("label").unwrap_or_default();
    if let Disturbance::Instead(reply) = disturb(core, "stream_load", db, table, &label, true).await {
        return reply;
    }
    let expects = call.header("expect").is_some_and(|e| e.eq_ignore_ascii_case("100-continue"));
    if call.version != Version::HTTP_10 && !expects {
        return Some(frontend_failure("There is no 100-continue header"));
    }
    if call.header("enable_merge_commit").is_some_and(|v| v.eq_ignore_ascii_case("true")) {
        for (header, what) in
            [("merge_commit_interval_ms", "Batch write interval"), ("merge_commit_parallel", "Batch write parallel")]
        {
            let value = call.header(header).unwrap_or_else(|| "null".into());
            if value.parse::<i64>().unwrap_or(0) <= 0 {
                return Some(closing(json_answer(
                    &json!({"Status": "Fail", "Message": format!("{what} must be set positive, but is {value}")}),
                    b"  ",
                )));
            }
        }
    }
    Some(to_backend(core, call))
}

/// Everything an answer of a plain load says.
struct Report<'a> {
    txn: i64,
    label: &'a str,
    db: &'a str,
    table: &'a str,
    status: &'a str,
    existing: Option<&'a str>,
    message: String,
    outcome: LoadOutcome,
    times: [i64; 5],
    error_url: Option<String>,
}

impl Report<'_> {
    fn answer(&self) -> Answer {
        let mut m = Map::new();
        m.insert("TxnId".into(), self.txn.into());
        m.insert("Label".into(), self.label.into());
        m.insert("Db".into(), self.db.into());
        m.insert("Table".into(), self.table.into());
        m.insert("Status".into(), self.status.into());
        if let Some(e) = self.existing {
            m.insert("ExistingJobStatus".into(), e.into());
        }
        m.insert("Message".into(), self.message.clone().into());
        let c = &self.outcome.counters;
        m.insert("NumberTotalRows".into(), c.total.into());
        m.insert("NumberLoadedRows".into(), c.loaded.into());
        m.insert("NumberFilteredRows".into(), c.filtered.into());
        m.insert("NumberUnselectedRows".into(), c.unselected.into());
        m.insert("LoadBytes".into(), c.bytes.into());
        m.insert("LoadTimeMs".into(), self.times.iter().sum::<i64>().into());
        for (name, ms) in
            ["BeginTxnTimeMs", "StreamLoadPlanTimeMs", "ReadDataTimeMs", "WriteDataTimeMs", "CommitAndPublishTimeMs"]
                .iter()
                .zip(self.times)
        {
            m.insert((*name).into(), ms.into());
        }
        if let Some(url) = &self.error_url {
            m.insert("ErrorURL".into(), url.clone().into());
        }
        json_answer(&Json::Object(m), b"    ")
    }
}

/// The table of a load, or the sentence why there is none.
pub fn find_table(core: &Core, db: &str, table: &str) -> Result<Arc<Table>, String> {
    if core.store.database_id(db).is_none() {
        return Err(format!("unknown database, database={db}"));
    }
    match core.store.table(db, table) {
        Some(t) if !t.def().is_view() => Ok(t),
        _ => Err(format!("unknown table \"{db}.{table}\"")),
    }
}

/// Keeps row errors where clients find them; the address is given when there are any.
pub fn keep_errors(core: &Core, txn: u64, outcome: &LoadOutcome) -> Option<String> {
    if outcome.errors.is_empty() {
        return None;
    }
    let text = outcome.errors.join("\n") + "\n";
    let name = format!("error_log_{txn:016x}_{:016x}", core.store.next_id());
    core.keep_error_log(name.clone(), &text);
    let be = core.addresses.read().map(|a| a.be.to_string()).unwrap_or_default();
    let url = format!("http://{be}/api/_load_error_log?file={name}");
    core.store.update_txn(txn, |t| {
        t.tracking = Some(text);
        t.error_url = Some(url.clone());
    });
    Some(url)
}

/// The sentence that refuses a load whose rows are not good enough; None when they are.
pub fn verdict(plan: &LoadPlan, outcome: &LoadOutcome) -> Option<String> {
    let c = &outcome.counters;
    let judged = c.total - c.unselected;
    if c.filtered > 0 && c.filtered as f64 > plan.max_filter_ratio * judged as f64 {
        return Some("too many filtered rows".into());
    }
    if c.loaded == 0 {
        return Some(
            "No partitions have data available for loading. If you are sure there may be no data to be loaded, you can use `ADMIN SET FRONTEND CONFIG ('empty_load_as_error' = 'false')` to ensure such load jobs can succeed"
                .into(),
        );
    }
    None
}

pub async fn at_backend(
    core: &Arc<Core>,
    call: &Call,
    db: &str,
    table: &str,
    caller: &Caller,
    body: Incoming,
) -> Reply {
    let given = call.header("label").filter(|l| !l.is_empty());
    let merge = call.header("enable_merge_commit").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let label = match (&given, merge) {
        (Some(l), false) => l.clone(),
        (_, true) => format!("merge_commit_{}", uuid::Uuid::new_v4()),
        (None, false) => uuid::Uuid::new_v4().to_string(),
    };
    let mut lose = false;
    let mut late = false;
    let mut cut = false;
    match disturb(core, "stream_load", db, table, &label, false).await {
        Disturbance::Instead(reply) => return reply,
        Disturbance::LoseAnswer => lose = true,
        Disturbance::PublishTimeout => late = true,
        Disturbance::Cut => cut = true,
        Disturbance::None => {}
    }
    let clock = || core.store.now_ms();
    let mut report = Report {
        txn: -1,
        label: &label,
        db,
        table,
        status: "Fail",
        existing: None,
        message: String::new(),
        outcome: LoadOutcome::default(),
        times: [0; 5],
        error_url: None,
    };
    // Everything up to here and below until the body is asked for is answered without `100 Continue`.
    macro_rules! refuse {
        ($message:expr) => {{
            report.message = $message;
            return Some(closing(report.answer()));
        }};
    }
    if let Some(message) = &caller.refusal {
        refuse!(message.clone());
    }
    if Label::new(label.clone()).is_none() {
        refuse!(format!("Label format error. regex: ^[-\\w]{{1,128}}$, label: {label}"));
    }
    let length: Option<u64> = call.header("content-length").and_then(|l| l.parse().ok());
    let limit = if call.header("format").is_some_and(|f| f.eq_ignore_ascii_case("json"))
        && !call.header("ignore_json_size").is_some_and(|v| v.eq_ignore_ascii_case("true"))
    {
        JSON_MAX
    } else {
        BODY_MAX
    };
    if let Some(n) = length.filter(|n| *n > limit) {
        refuse!(if limit == JSON_MAX {
            format!(
                "The size of this batch exceed the max size [{JSON_MAX}] of json type data  data [ {n} ]. Set ignore_json_size to skip the check, although it may lead enormous memory consuming."
            )
        } else {
            format!(
                "body size {n} exceed limit: {BODY_MAX}, You can increase the limit by setting streaming_load_max_mb in be.conf."
            )
        });
    }
    let timeout = match call.header("timeout").map(|t| t.parse::<u64>()) {
        None => 600,
        Some(Ok(t)) if (1..=259_200).contains(&t) => t,
        Some(_) => refuse!("Invalid timeout format".into()),
    };
    let target = match find_table(core, db, table) {
        Ok(t) => t,
        Err(m) => refuse!(m),
    };
    let began = clock();
    let Some(database_id) = core.store.database_id(db) else { refuse!(format!("unknown database, database={db}")) };
    let mut txn = core.store.new_txn(database_id, db, &label, "STREAM LOAD");
    txn.timeout_s = timeout;
    txn.table_name = table.to_string();
    txn.user.clone_from(&caller.user);
    txn.tables.push(target.id);
    let id = match core.store.begin(txn) {
        Ok(id) => id,
        Err(used) => {
            report.status = "Label Already Exists";
            report.existing = Some(if used.state.is_done() { "FINISHED" } else { "RUNNING" });
            refuse!(format!("Label [{label}] has already been used."));
        }
    };
    report.txn = id as i64;
    report.times[0] = clock() - began;
    // The transaction is given up on every way out but the last, also when the client goes away.
    let guard = AbortGuard { core: core.clone(), id, armed: true };
    let planned = clock();
    let headers = |name: &str| call.header(name);
    let plan = match LoadPlan::new(&target.def(), &headers) {
        Ok(p) => p,
        Err(e) => {
            guard.abort(&e.message);
            refuse!(e.message);
        }
    };
    report.times[1] = clock() - planned;
    if cut {
        read_half(body).await;
        guard.abort("the connection was cut");
        return None;
    }
    let reading = clock();
    let limit = if plan.format == Format::Json { limit } else { BODY_MAX };
    let bytes = match read_body(core, body, limit).await {
        Ok(b) if length.is_none_or(|n| n == b.len() as u64) => b,
        Ok(_) => {
            guard.abort("receive body don't equal with body bytes");
            refuse!("receive body don't equal with body bytes".into());
        }
        Err(m) => {
            guard.abort(&m);
            refuse!(m);
        }
    };
    report.times[2] = clock() - reading;
    let received = bytes.len() as u64;
    let writing = clock();
    let (worker, plan2, target2) = (core.clone(), plan.clone(), target.clone());
    let result = tokio::task::spawn_blocking(move || load(&worker, &target2, id, &plan2, bytes)).await;
    let (outcome, failure) = match result {
        Ok(Ok(outcome)) => {
            let v = verdict(&plan, &outcome);
            (outcome, v)
        }
        Ok(Err(e)) => (e.outcome, Some(e.message)),
        Err(e) => (LoadOutcome::default(), Some(format!("internal error: {e}"))),
    };
    report.outcome = outcome;
    report.outcome.counters.bytes = received;
    report.times[3] = clock() - writing;
    core.store.update_txn(id, |t| t.counters = report.outcome.counters);
    report.error_url = keep_errors(core, id, &report.outcome);
    if let Some(message) = failure {
        guard.abort(&message);
        report.message = message;
        return if lose { None } else { Some(report.answer()) };
    }
    let publishing = clock();
    let worker = core.clone();
    let committed = tokio::task::spawn_blocking(move || worker.store.commit(id)).await;
    match committed {
        Ok(Ok(_)) => {
            guard.disarm();
            report.status = if late { "Publish Timeout" } else { "Success" };
            report.message = if late { "publish timeout".into() } else { "OK".into() };
        }
        Ok(Err(e)) => {
            report.message = e.chain();
            guard.abort(&report.message);
        }
        Err(e) => {
            report.message = format!("internal error: {e}");
            guard.abort(&report.message);
        }
    }
    report.times[4] = clock() - publishing;
    if lose {
        return None;
    }
    if merge {
        let a = json!({"TxnId": id, "Label": label, "Db": db, "Table": table, "Status": report.status, "Message": report.message, "RequestId": given.unwrap_or_default(), "LoadBytes": received, "LoadTimeMs": report.times.iter().sum::<i64>(), "ReadDataTimeMs": report.times[2], "PendingTimeMs": 0, "WaitPlanTimeMs": report.times[1], "WriteDataTimeMs": report.times[3], "WaitFinishTimeMs": report.times[4], "LeftMergeTimeMs": 0});
        return Some(json_answer(&a, b"    "));
    }
    Some(report.answer())
}

/// Aborts a transaction unless it was told not to.
pub struct AbortGuard {
    pub core: Arc<Core>,
    pub id: u64,
    pub armed: bool,
}

impl AbortGuard {
    fn abort(&self, reason: &str) {
        if let Err(e) = self.core.store.abort(self.id, reason) {
            tracing::warn!(error = %e.chain(), txn = self.id, "cannot abort a load");
        }
    }

    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for AbortGuard {
    fn drop(&mut self) {
        if self.armed {
            self.abort("the client closed the connection");
        }
    }
}

pub async fn get_load_state(core: &Arc<Core>, call: &Call, db: &str) -> Answer {
    let label = call.param("label").unwrap_or_default();
    if let Disturbance::Instead(Some(a)) = disturb(core, "get_load_state", db, "", &label, false).await {
        return a;
    }
    if let Err(e) = core.store.expire() {
        tracing::warn!(error = %e.chain(), "cannot expire transactions");
    }
    if label.is_empty() {
        return json_answer(
            &json!({"status": "FAILED", "code": "1", "msg": "No label selected", "message": "No label selected"}),
            b"",
        );
    }
    let Some(id) = core.store.database_id(db) else {
        let m = format!("unknown database, database={db}");
        return json_answer(&json!({"state": null, "status": "FAILED", "code": "1", "msg": m, "message": m}), b"");
    };
    let mut m = Map::new();
    match core.store.txn_of_label(id, &label) {
        Some(t) => {
            m.insert("state".into(), t.state.name().into());
            if let Some(reason) = t.reason {
                m.insert("reason".into(), reason.into());
            }
        }
        None => {
            m.insert("state".into(), "UNKNOWN".into());
        }
    }
    for (k, v) in [("status", "OK"), ("code", "0"), ("msg", "Success"), ("message", "OK")] {
        m.insert(k.into(), v.into());
    }
    super::server::answer(http::StatusCode::OK, "application/json", Json::Object(m).to_string())
}

pub fn cancel(core: &Arc<Core>, call: &Call, db: &str) -> Answer {
    let label = call.param("label").unwrap_or_default();
    let txn = core.store.database_id(db).and_then(|d| core.store.txn_of_label(d, &label));
    let result = match txn {
        Some(t) if t.state == TxnState::Prepare => core.store.abort(t.id, "user cancel").map_err(|e| e.chain()),
        _ => Err(format!("transaction not found: {label}")),
    };
    let a = match result {
        Ok(()) => json!({"status": "OK", "code": "0", "msg": "Success", "message": "OK"}),
        Err(m) => json!({"status": "FAILED", "code": "1", "msg": m, "message": m}),
    };
    super::server::answer(http::StatusCode::OK, "application/json", a.to_string())
}
