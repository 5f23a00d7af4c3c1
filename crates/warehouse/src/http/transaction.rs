//! The transaction interface: begin, load, prepare, commit, rollback (protocol reference, section 2).
//! What a call means is decided by [`decide`] from the transaction's state alone.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use hyper::body::Incoming;
use parking_lot::Mutex;
use serde_json::{Map, Value as Json, json};
use starweir_model::Label;

use super::server::{
    Answer, Call, Caller, Disturbance, Door, Reply, closing, disturb, json_answer, read_body, read_half, to_backend,
};
use super::stream_load::{find_table, keep_errors, verdict};
use crate::core::Core;
use crate::load::plan::LoadPlan;
use crate::load::run::load;
use crate::store::txn::{LoadCounters, Txn};
use crate::store::{Table, TxnState};

/// Bytes of one load of a transaction.
const BODY_MAX: u64 = 10 << 30;
/// Load headers that must be the same for every load of a table in one transaction.
const LOAD_HEADERS: &[&str] = &[
    "format",
    "columns",
    "where",
    "partitions",
    "column_separator",
    "row_delimiter",
    "jsonpaths",
    "json_root",
    "strip_outer_array",
    "strict_mode",
    "partial_update",
    "partial_update_mode",
    "merge_condition",
    "max_filter_ratio",
    "envelope",
    "compression",
];

/// (transaction, table) with a load or prepare going on, and the headers of the first load.
#[derive(Default)]
struct Running {
    busy: HashSet<(u64, u64)>,
    headers: HashMap<(u64, u64), String>,
}

static RUNNING: LazyLock<Mutex<Running>> = LazyLock::new(Mutex::default);

struct Busy(Arc<Core>, (u64, u64));

impl Drop for Busy {
    fn drop(&mut self) {
        RUNNING.lock().busy.remove(&self.1);
        let _ = &self.0;
    }
}

/// Transaction ids of two warehouses in one process are told apart by the store's address.
fn key(core: &Arc<Core>, txn: u64) -> u64 {
    (Arc::as_ptr(&core.store) as usize as u64).rotate_left(20) ^ txn
}

fn occupy(core: &Arc<Core>, txn: u64, table: u64) -> Option<Busy> {
    let k = (key(core, txn), table);
    RUNNING.lock().busy.insert(k).then(|| Busy(core.clone(), k))
}

fn is_busy(core: &Arc<Core>, txn: u64) -> bool {
    let k = key(core, txn);
    RUNNING.lock().busy.iter().any(|b| b.0 == k)
}

/// A call that ends a transaction, and where its state stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Load,
    Prepare,
    Commit,
    Rollback,
}

/// What to do with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Act,
    /// OK without doing anything: it was done before.
    Done,
    /// Refused with this status.
    Refuse(&'static str),
}

/// The semantics table of the protocol reference, 2.2 (`multi`: 2.3).
pub fn decide(call: Step, state: Option<TxnState>, has_data: bool, multi: bool) -> Decision {
    use TxnState::*;
    let gone = if multi { "FAILED" } else { "TXN_NOT_EXISTS" };
    match (call, state) {
        (_, None) => Decision::Refuse("FAILED"),
        (Step::Load, Some(Prepare)) => Decision::Act,
        (Step::Load, Some(_)) => Decision::Refuse(gone),
        (Step::Prepare, _) if multi => Decision::Refuse("FAILED"),
        (Step::Prepare, Some(Prepare)) if has_data => Decision::Act,
        (Step::Prepare, Some(Prepare)) => Decision::Refuse("INTERNAL_ERROR"),
        (Step::Prepare, Some(Prepared)) => Decision::Done,
        (Step::Prepare, Some(Committed | Visible | Aborted)) => Decision::Refuse("TXN_NOT_EXISTS"),
        (Step::Commit, Some(Prepare)) if has_data || multi => Decision::Act,
        (Step::Commit, Some(Prepare)) => Decision::Refuse("INTERNAL_ERROR"),
        (Step::Commit, Some(Prepared)) => Decision::Act,
        (Step::Commit, Some(Committed | Visible)) => Decision::Done,
        (Step::Commit, Some(Aborted)) => Decision::Refuse("FAILED"),
        (Step::Rollback, Some(Prepare | Prepared)) => Decision::Act,
        (Step::Rollback, Some(Aborted)) => Decision::Done,
        (Step::Rollback, Some(Committed | Visible)) => Decision::Refuse("FAILED"),
    }
}

fn failure(status: &str, message: impl Into<String>) -> Answer {
    let message: String = message.into();
    let message =
        if status == "FAILED" { format!("class com.starrocks.common.StarRocksException: {message}") } else { message };
    closing(json_answer(&json!({"Status": status, "Message": message}), b"  "))
}

/// The answer of the BE.
fn backend(txn: &Txn, table: &str, more: Vec<(&str, Json)>) -> Answer {
    let mut m = Map::new();
    m.insert("Status".into(), "OK".into());
    m.insert("Message".into(), "".into());
    m.insert("Db".into(), txn.database.clone().into());
    m.insert("Table".into(), table.into());
    m.insert("Label".into(), txn.label.clone().into());
    m.insert("TxnId".into(), txn.id.into());
    for (k, v) in more {
        m.insert(k.into(), v);
    }
    json_answer(&Json::Object(m), b"    ")
}

fn counters(c: &LoadCounters, ms: i64) -> Vec<(&'static str, Json)> {
    vec![
        ("NumberTotalRows", c.total.into()),
        ("NumberLoadedRows", c.loaded.into()),
        ("NumberFilteredRows", c.filtered.into()),
        ("NumberUnselectedRows", c.unselected.into()),
        ("LoadBytes", c.bytes.into()),
        ("LoadTimeMs", ms.into()),
        ("StreamLoadPlanTimeMs", 0.into()),
        ("ReceivedDataTimeMs", 0.into()),
        ("WriteDataTimeMs", 0.into()),
        ("CommitAndPublishTimeMs", 0.into()),
    ]
}

pub async fn handle(core: &Arc<Core>, door: Door, call: &Call, op: &str, caller: &Caller, body: Incoming) -> Reply {
    let label = call.header("label").unwrap_or_default();
    let db = call.header("db").unwrap_or_default();
    let table = call.header("table").unwrap_or_default();
    let multi = call.header("transaction_type").is_some_and(|t| t.eq_ignore_ascii_case("multi"))
        || call.header("source_type").is_some_and(|t| t == "12");
    if let Some(message) = &caller.refusal {
        return Some(closing(json_answer(&json!({"Status": "INTERNAL_ERROR", "Message": message}), b"    ")));
    }
    let mut lose = false;
    let mut late = false;
    let mut cut = false;
    // A fault of the acting side is looked for where the call is carried out.
    let acts_here = door == Door::Be || multi && op != "load" || acts_at_frontend(core, op, &db, &label);
    if door == Door::Fe
        && let Disturbance::Instead(reply) = disturb(core, op, &db, &table, &label, true).await
    {
        return reply;
    }
    if acts_here {
        match disturb(core, op, &db, &table, &label, false).await {
            Disturbance::Instead(reply) => return reply,
            Disturbance::LoseAnswer => lose = true,
            Disturbance::PublishTimeout => late = true,
            Disturbance::Cut => cut = true,
            Disturbance::None => {}
        }
    }
    if let Err(e) = core.store.expire() {
        tracing::warn!(error = %e.chain(), "cannot expire transactions");
    }
    if label.is_empty() {
        return Some(if door == Door::Fe {
            failure("FAILED", "empty label")
        } else {
            failure("INTERNAL_ERROR", "Empty label.")
        });
    }
    if db.is_empty() {
        return Some(failure("FAILED", "No database selected."));
    }
    if door == Door::Be && multi && op != "load" {
        return Some(failure(
            "INVALID_ARGUMENT",
            "Multi-statement transaction requests can only be sent to FE nodes, not BE nodes",
        ));
    }
    let txn = core.store.database_id(&db).and_then(|d| core.store.txn_of_label(d, &label));
    if door == Door::Fe && !acts_here {
        // What can be refused without the BE is refused here.
        if let (None, "load" | "commit" | "rollback" | "prepare") = (&txn, op) {
            let m = if multi {
                format!("stream load task {label} does not exist")
            } else {
                format!("No transaction found by label {label}")
            };
            return Some(failure("FAILED", m));
        }
        if op == "load" && multi && txn.as_ref().is_some_and(|t| t.state != TxnState::Prepare) {
            return Some(failure("FAILED", format!("stream load task {label} has already been finished")));
        }
        if op == "begin" && core.store.database_id(&db).is_none() {
            return Some(failure("FAILED", format!("unknown database, database={db}")));
        }
        return Some(to_backend(core, call));
    }
    let reply = match op {
        "begin" => begin(core, door, call, caller, (&db, &table, &label), multi),
        "load" => {
            if cut {
                read_half(body).await;
                return None;
            }
            load_data(core, call, &db, &table, &label, txn, multi || is_multi(core, &db, &label), body).await
        }
        "prepare" => prepare(core, call, &label, txn, multi).await,
        "commit" => commit(core, door, &label, txn, multi, late).await,
        "rollback" => rollback(core, door, &label, txn, multi),
        "list" => json_answer(&json!({"Status": "OK", "Message": "", "Txns": []}), b"    "),
        other => failure("FAILED", format!("Unsupported operation: TXN_{}", other.to_uppercase())),
    };
    if lose { None } else { Some(reply) }
}

fn is_multi(core: &Core, db: &str, label: &str) -> bool {
    core.store.database_id(db).and_then(|d| core.store.txn_of_label(d, label)).is_some_and(|t| t.multi)
}

/// commit and rollback of a prepared or finished transaction are carried out by the FE itself.
fn acts_at_frontend(core: &Core, op: &str, db: &str, label: &str) -> bool {
    if !matches!(op, "commit" | "rollback") {
        return false;
    }
    core.store
        .database_id(db)
        .and_then(|d| core.store.txn_of_label(d, label))
        .is_some_and(|t| t.state != TxnState::Prepare)
}

fn begin(
    core: &Arc<Core>,
    door: Door,
    call: &Call,
    caller: &Caller,
    (db, table, label): (&str, &str, &str),
    multi: bool,
) -> Answer {
    let Some(database_id) = core.store.database_id(db) else {
        return failure("FAILED", format!("unknown database, database={db}"));
    };
    if Label::new(label).is_none() {
        return failure("INVALID_ARGUMENT", format!("Label format error. regex: ^[-\\w]{{1,128}}$, label: {label}"));
    }
    let mut txn = core.store.new_txn(database_id, db, label, "TRANSACTION STREAM LOAD");
    if !multi {
        if table.is_empty() {
            return failure("FAILED", "No table selected.");
        }
        match find_table(core, db, table) {
            Ok(t) => txn.tables.push(t.id),
            Err(m) => return failure("ANALYSIS_ERROR", m),
        }
    }
    match call.header("timeout").map(|t| t.parse::<u64>()) {
        None => {}
        Some(Ok(t)) if (1..=259_200).contains(&t) => txn.timeout_s = t,
        Some(_) => return failure("INVALID_ARGUMENT", "Invalid timeout format"),
    }
    txn.multi = multi;
    txn.table_name = table.to_string();
    txn.user.clone_from(&caller.user);
    let id = match core.store.begin(txn) {
        Ok(id) => id,
        Err(used) => {
            let existing = if used.state.is_done() { "FINISHED" } else { "RUNNING" };
            let a = json!({"Status": "LABEL_ALREADY_EXISTS", "ExistingJobStatus": existing, "Message": format!("Label [{label}] has already been used."), "Label": label});
            return json_answer(&a, b"    ");
        }
    };
    let Some(txn) = core.store.txn(id) else { return failure("FAILED", "the transaction was ended at once") };
    if multi && door == Door::Fe {
        return json_answer(&json!({"Status": "OK", "Message": "", "Label": label, "TxnId": id}), b"  ");
    }
    backend(&txn, table, vec![("BeginTxnTimeMs", 0.into())])
}

#[allow(clippy::too_many_arguments)]
async fn load_data(
    core: &Arc<Core>,
    call: &Call,
    db: &str,
    table: &str,
    label: &str,
    txn: Option<Txn>,
    multi: bool,
    body: Incoming,
) -> Answer {
    let Some(txn) = txn else { return failure("FAILED", format!("No transaction found by label {label}")) };
    if let Decision::Refuse(status) = decide(Step::Load, Some(txn.state), true, multi) {
        return failure(status, format!("Transaction not exists, label is {label}"));
    }
    let fail_status = |s: &'static str| if multi { "FAILED" } else { s };
    let target = match find_table(core, db, table) {
        Ok(t) if multi || txn.tables.contains(&t.id) => t,
        Ok(_) => {
            return failure(
                fail_status("INVALID_ARGUMENT"),
                format!("Request table {table} not equal transaction table {}", txn.table_name),
            );
        }
        Err(m) => return failure(fail_status("ANALYSIS_ERROR"), m),
    };
    let Some(_busy) = occupy(core, txn.id, target.id) else {
        return failure("TXN_IN_PROCESSING", "Transaction is in processing");
    };
    let headers = |name: &str| match name {
        // Not honoured inside of a transaction.
        "skip_header" | "trim_space" | "enclose" | "escape" => None,
        other => call.header(other),
    };
    let fingerprint: String = LOAD_HEADERS.iter().map(|h| format!("{h}={:?};", call.header(h))).collect();
    {
        let mut running = RUNNING.lock();
        let k = (key(core, txn.id), target.id);
        match running.headers.get(&k) {
            Some(first) if *first != fingerprint => {
                drop(running);
                return failure(fail_status("INTERNAL_ERROR"), "load request not equal last.");
            }
            Some(_) => {}
            None => {
                if running.headers.len() > 100_000 {
                    running.headers.clear();
                }
                running.headers.insert(k, fingerprint);
            }
        }
    }
    let abort = |reason: &str| {
        if let Err(e) = core.store.abort(txn.id, reason) {
            tracing::warn!(error = %e.chain(), "cannot abort a transaction");
        }
    };
    let plan = match LoadPlan::new(&target.def(), &headers) {
        Ok(p) => p,
        Err(e) => {
            abort(&e.message);
            return failure(fail_status(e.status), e.message);
        }
    };
    let began = core.store.now_ms();
    let bytes = match read_body(core, body, BODY_MAX).await {
        Ok(b) => b,
        Err(m) => {
            abort(&m);
            return failure(fail_status("INTERNAL_ERROR"), m);
        }
    };
    let received = bytes.len() as u64;
    let (worker, target2, id, plan2): (Arc<Core>, Arc<Table>, u64, LoadPlan) =
        (core.clone(), target.clone(), txn.id, plan.clone());
    let result = tokio::task::spawn_blocking(move || load(&worker, &target2, id, &plan2, bytes)).await;
    let (mut outcome, mut problem) = match result {
        Ok(Ok(o)) => (o, None),
        Ok(Err(e)) => (e.outcome, Some(e.message)),
        Err(e) => (Default::default(), Some(format!("internal error: {e}"))),
    };
    outcome.counters.bytes = received;
    let url = keep_errors(core, txn.id, &outcome);
    core.store.update_txn(txn.id, |t| t.counters.add(&outcome.counters));
    if problem.is_none()
        && outcome.counters.filtered > 0
        && outcome.counters.filtered as f64
            > plan.max_filter_ratio * (outcome.counters.total - outcome.counters.unselected) as f64
    {
        problem = verdict(&plan, &outcome);
    }
    if let Some(m) = problem {
        abort(&m);
        let mut v = json!({"Status": fail_status("INTERNAL_ERROR"), "Message": m, "Label": label});
        if let (Some(url), Some(o)) = (url, v.as_object_mut()) {
            o.insert("ErrorURL".into(), url.into());
        }
        return json_answer(&v, b"    ");
    }
    backend(
        &txn,
        table,
        vec![
            ("LoadBytes", received.into()),
            ("StreamLoadPlanTimeMs", 0.into()),
            ("ReceivedDataTimeMs", (core.store.now_ms() - began).into()),
        ],
    )
}

fn forget_running(core: &Arc<Core>, txn: u64) {
    let k = key(core, txn);
    RUNNING.lock().headers.retain(|h, _| h.0 != k);
}

/// Whether anything was sent: rows, or at least an accepted load.
fn has_data(core: &Arc<Core>, txn: &Txn) -> bool {
    let k = key(core, txn.id);
    txn.counters.total > 0 || !txn.parts.is_empty() || RUNNING.lock().headers.keys().any(|h| h.0 == k)
}

async fn prepare(core: &Arc<Core>, call: &Call, label: &str, txn: Option<Txn>, multi: bool) -> Answer {
    if multi {
        return failure("FAILED", "Unsupported operation: TXN_PREPARE");
    }
    let Some(txn) = txn else { return failure("FAILED", format!("No transaction found by label {label}")) };
    match decide(Step::Prepare, Some(txn.state), has_data(core, &txn), multi) {
        Decision::Done => return backend(&txn, &txn.table_name, counters(&txn.counters, 0)),
        Decision::Refuse("INTERNAL_ERROR") => {
            let m = format!("transaction {label} hasn't send any data yet");
            if let Err(e) = core.store.abort(txn.id, &m) {
                tracing::warn!(error = %e.chain(), "cannot abort a transaction");
            }
            return failure("INTERNAL_ERROR", m);
        }
        Decision::Refuse(status) => return failure(status, format!("Transaction not exists, label is {label}")),
        Decision::Act => {}
    }
    if is_busy(core, txn.id) {
        return failure("TXN_IN_PROCESSING", "Transaction is in processing");
    }
    let Some(_busy) = occupy(core, txn.id, 0) else {
        return failure("TXN_IN_PROCESSING", "Transaction is in processing");
    };
    let timeout = match call.header("prepared_timeout").map(|t| t.parse::<u64>()) {
        None => None,
        Some(Ok(t)) if t > 0 => Some(t),
        Some(_) => return failure("INVALID_ARGUMENT", "Invalid prepared_timeout format"),
    };
    let (worker, id) = (core.clone(), txn.id);
    match tokio::task::spawn_blocking(move || worker.store.prepare(id, timeout)).await {
        Ok(Ok(txn)) => {
            forget_running(core, txn.id);
            backend(&txn, &txn.table_name, counters(&txn.counters, core.store.now_ms() - txn.begun_ms))
        }
        Ok(Err(e)) => failure("INTERNAL_ERROR", e.chain()),
        Err(e) => failure("INTERNAL_ERROR", format!("internal error: {e}")),
    }
}

async fn commit(core: &Arc<Core>, door: Door, label: &str, txn: Option<Txn>, multi: bool, late: bool) -> Answer {
    let Some(txn) = txn else {
        let m = if multi {
            format!("stream load task {label} does not exist")
        } else {
            format!("No transaction found by label {label}")
        };
        return failure("FAILED", m);
    };
    let frontend = |message: String| {
        json_answer(&json!({"Status": "OK", "Message": message, "TxnId": txn.id, "Label": label}), b"  ")
    };
    match decide(Step::Commit, Some(txn.state), has_data(core, &txn), txn.multi) {
        Decision::Done => return frontend(format!("Transaction {} has already committed, label is {label}", txn.id)),
        Decision::Refuse("INTERNAL_ERROR") => {
            let m = format!("transaction {label} hasn't send any data yet");
            if let Err(e) = core.store.abort(txn.id, &m) {
                tracing::warn!(error = %e.chain(), "cannot abort a transaction");
            }
            return failure("INTERNAL_ERROR", m);
        }
        Decision::Refuse(status) => {
            let reason = txn.reason.clone().unwrap_or_default();
            return failure(
                status,
                format!("Can not commit {} transaction {}, reason is {reason}", txn.state.name(), txn.id),
            );
        }
        Decision::Act => {}
    }
    if is_busy(core, txn.id) {
        return failure("TXN_IN_PROCESSING", "Transaction is in processing");
    }
    let Some(_busy) = occupy(core, txn.id, 0) else {
        return failure("TXN_IN_PROCESSING", "Transaction is in processing");
    };
    // Rows came, and all of them were refused: nothing to make visible.
    if txn.counters.total > 0 && txn.counters.loaded == 0 {
        let m = "No partitions have data available for loading. If you are sure there may be no data to be loaded, you can use `ADMIN SET FRONTEND CONFIG ('empty_load_as_error' = 'false')` to ensure such load jobs can succeed";
        if let Err(e) = core.store.abort(txn.id, m) {
            tracing::warn!(error = %e.chain(), "cannot abort a transaction");
        }
        let status = if txn.multi { "FAILED" } else { "INTERNAL_ERROR" };
        let mut v = json!({"Status": status, "Message": m, "Label": label});
        if let (Some(url), Some(o)) = (&txn.error_url, v.as_object_mut()) {
            o.insert("ErrorURL".into(), url.clone().into());
        }
        return json_answer(&v, b"  ");
    }
    let (worker, id) = (core.clone(), txn.id);
    let done = match tokio::task::spawn_blocking(move || worker.store.commit(id)).await {
        Ok(Ok(done)) => done,
        Ok(Err(e)) => return failure("FAILED", e.chain()),
        Err(e) => return failure("FAILED", format!("internal error: {e}")),
    };
    forget_running(core, id);
    if late {
        return failure("FAILED", format!("publish timeout: 20000, transactionId={id}"));
    }
    if txn.multi {
        return json_answer(
            &json!({"Status": "OK", "Message": "", "Label": label, "TxnId": id, "ChannelId": null, "Prepared Channel Num": 0}),
            b"  ",
        );
    }
    if door == Door::Fe {
        return frontend(String::new());
    }
    backend(&done, &done.table_name, counters(&done.counters, core.store.now_ms() - done.begun_ms))
}

fn rollback(core: &Arc<Core>, door: Door, label: &str, txn: Option<Txn>, multi: bool) -> Answer {
    let Some(txn) = txn else {
        let m = if multi {
            format!("stream load task {label} does not exist")
        } else {
            format!("No transaction found by label {label}")
        };
        return failure("FAILED", m);
    };
    match decide(Step::Rollback, Some(txn.state), true, txn.multi) {
        Decision::Done => {
            let m = format!("Transaction {} has already aborted, label is {label}", txn.id);
            return json_answer(&json!({"Status": "OK", "Message": m, "TxnId": txn.id, "Label": label}), b"  ");
        }
        Decision::Refuse(status) => {
            return failure(
                status,
                format!("Can not abort {} transaction {}, label is {label}", txn.state.name(), txn.id),
            );
        }
        Decision::Act => {}
    }
    if let Err(e) = core.store.abort(txn.id, "User Abort") {
        return failure("FAILED", e.chain());
    }
    forget_running(core, txn.id);
    if txn.multi || door == Door::Fe {
        return json_answer(&json!({"Status": "OK", "Message": "", "TxnId": txn.id, "Label": label}), b"  ");
    }
    json_answer(&json!({"Status": "OK", "Message": "", "Db": "", "Table": "", "Label": label}), b"    ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_in_every_state_has_the_recorded_answer() {
        use Decision::*;
        use TxnState::*;
        let rows = [
            (Step::Load, Some(Prepare), true, false, Act),
            (Step::Load, Some(Visible), true, false, Refuse("TXN_NOT_EXISTS")),
            (Step::Load, Some(Aborted), true, false, Refuse("TXN_NOT_EXISTS")),
            (Step::Load, Some(Visible), true, true, Refuse("FAILED")),
            (Step::Load, None, true, false, Refuse("FAILED")),
            (Step::Commit, Some(Prepare), true, false, Act),
            (Step::Commit, Some(Prepare), false, false, Refuse("INTERNAL_ERROR")),
            (Step::Commit, Some(Prepare), false, true, Act),
            (Step::Commit, Some(Prepared), true, false, Act),
            (Step::Commit, Some(Visible), true, false, Done),
            (Step::Commit, Some(Aborted), true, false, Refuse("FAILED")),
            (Step::Rollback, Some(Visible), true, false, Refuse("FAILED")),
            (Step::Rollback, Some(Aborted), true, false, Done),
            (Step::Rollback, Some(Prepared), true, false, Act),
            (Step::Rollback, Some(Prepare), false, false, Act),
            (Step::Prepare, Some(Prepare), false, false, Refuse("INTERNAL_ERROR")),
            (Step::Prepare, Some(Prepare), true, true, Refuse("FAILED")),
            (Step::Prepare, Some(Prepared), true, false, Done),
        ];
        for (call, state, data, multi, want) in rows {
            assert_eq!(decide(call, state, data, multi), want, "{call:?} {state:?} {data} {multi}");
        }
    }
}
