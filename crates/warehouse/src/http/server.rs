//! Requests in, answers out: authentication, routing, the 307 between the ports, bodies.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::faults::{Action, Fault};
use super::{sql_api, stream_load, transaction};
use crate::core::Core;
use crate::users::Identity;
use crate::users::needs::check_table;
use crate::users::privilege::Privilege;

/// Which port a request came in on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Fe,
    Be,
}

/// A request's parts, without its body.
pub struct Call {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub headers: http::HeaderMap,
    pub version: Version,
}

impl Call {
    /// A header by lower-case name.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).and_then(|v| std::str::from_utf8(v.as_bytes()).ok()).map(|v| v.trim().to_string())
    }

    pub fn param(&self, name: &str) -> Option<String> {
        self.query.split('&').find_map(|p| {
            let (k, v) = p.split_once('=')?;
            (k == name).then(|| percent_decode(v))
        })
    }
}

pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'%' => match bytes
                .get(i + 1..i + 3)
                .and_then(|h| std::str::from_utf8(h).ok())
                .and_then(|h| u8::from_str_radix(h, 16).ok())
            {
                Some(b) => {
                    out.push(b);
                    i += 3;
                    continue;
                }
                None => out.push(b'%'),
            },
            b'+' => out.push(b' '),
            b => out.push(b),
        }
        i += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

pub type Answer = Response<Full<Bytes>>;
/// None: the connection is closed without an answer.
pub type Reply = Option<Answer>;

/// Open connections of one port.
const CONNECTIONS: usize = 2048;

pub async fn serve(listener: TcpListener, core: Arc<Core>, door: Door, stop: CancellationToken) {
    let slots = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
    let tasks = tokio_util::task::TaskTracker::new();
    loop {
        let (stream, from) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => (stream, from.ip()),
                Err(e) => {
                    tracing::warn!(error = %e, "cannot accept an HTTP connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else { continue };
        let _ = stream.set_nodelay(true);
        let (core, stop) = (core.clone(), stop.clone());
        tasks.spawn(async move {
            let _slot = slot;
            let service = service_fn(move |request| {
                let core = core.clone();
                async move {
                    match Box::pin(handle(core, door, from, request)).await {
                        Some(answer) => Ok::<_, std::io::Error>(answer),
                        None => Err(std::io::Error::other("the connection is closed on purpose")),
                    }
                }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .max_buf_size(1 << 20)
                .serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            tokio::select! {
                result = connection.as_mut() => if let Err(e) = result {
                    tracing::debug!(error = %e, "an HTTP connection ended");
                },
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = tokio::time::timeout(Duration::from_secs(2), connection).await;
                }
            }
        });
    }
    tasks.close();
    let _ = tokio::time::timeout(Duration::from_secs(5), tasks.wait()).await;
}

pub fn answer(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    if let Ok(v) = http::HeaderValue::from_str(content_type) {
        response.headers_mut().insert(http::header::CONTENT_TYPE, v);
    }
    response
}

/// JSON with the indent StarRocks uses.
pub fn json_answer(value: &serde_json::Value, indent: &[u8]) -> Answer {
    use serde::Serialize as _;
    let mut out = Vec::new();
    let mut writer =
        serde_json::Serializer::with_formatter(&mut out, serde_json::ser::PrettyFormatter::with_indent(indent));
    if value.serialize(&mut writer).is_err() {
        out = value.to_string().into_bytes();
    }
    answer(StatusCode::OK, "application/json", out)
}

pub fn closing(mut a: Answer) -> Answer {
    a.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
    a
}

/// Who a request is from, and why it may not do what it asks for.
pub struct Caller {
    pub user: String,
    pub refusal: Option<String>,
}

/// The user and password of basic authentication.
fn credentials(call: &Call) -> Option<(String, String)> {
    let value = call.header("authorization")?;
    let encoded = value.strip_prefix("Basic ").or_else(|| value.strip_prefix("basic "))?;
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(user, password)| (user.to_string(), password.to_string()))
}

/// The user that basic authentication proves. It may be written `user@cluster`.
fn log_in(core: &Core, user: &str, password: &str, from: IpAddr) -> Option<Identity> {
    core.users.log_in(user, password, from).or_else(|| {
        let (user, _) = user.split_once('@')?;
        core.users.log_in(user, password, from)
    })
}

/// Why somebody may not do what a path asks for, if so. SQL is checked where it is run.
fn refusal(core: &Core, identity: &Identity, call: &Call, words: &[&str]) -> Option<String> {
    let insert = |db: &str, table: &str| check_table(core, identity, db, table, Privilege::Insert);
    let of_label = |db: &str, label: &str| {
        let txn = core.store.database_id(db).and_then(|d| core.store.txn_of_label(d, label));
        txn.iter().flat_map(|t| &t.tables).try_for_each(|id| match core.store.table_by_id(*id) {
            Some(table) => insert(db, &table.def().name),
            None => Ok(()),
        })
    };
    let checked = match words {
        ["api", db, table, "_stream_load"] => insert(db, table),
        ["api", "transaction", _] => {
            let header = |name: &str| call.header(name).unwrap_or_default();
            insert(&header("db"), &header("table")).and_then(|()| of_label(&header("db"), &header("label")))
        }
        ["api", db, label, "_cancel"] => of_label(db, label),
        ["api", db, table, "_schema" | "_count"] => check_table(core, identity, db, table, Privilege::Select),
        _ => Ok(()),
    };
    checked.err().map(|e| e.message)
}

fn unauthorized(message: &str) -> Answer {
    let body = json!({"status": "FAILED", "code": "1", "msg": message, "message": message});
    let mut a = answer(StatusCode::UNAUTHORIZED, "application/json", body.to_string());
    a.headers_mut().insert(http::header::WWW_AUTHENTICATE, http::HeaderValue::from_static("Basic realm=\"\""));
    closing(a)
}

/// The 307 to the BE port. The connection is closed: a body must not come here.
pub fn to_backend(core: &Core, call: &Call) -> Answer {
    let Some(addresses) = *core.addresses.read() else {
        return answer(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "starting");
    };
    let mut location = format!("http://{}{}", addresses.be, call.path);
    if !call.query.is_empty() {
        location.push('?');
        location.push_str(&call.query);
    }
    redirect(&location)
}

fn redirect(location: &str) -> Answer {
    let mut a = answer(StatusCode::TEMPORARY_REDIRECT, "text/html", Bytes::new());
    if let Ok(v) = http::HeaderValue::from_str(location) {
        a.headers_mut().insert(http::header::LOCATION, v);
    }
    closing(a)
}

/// Reads a whole body, within the warehouse's memory. The error is a sentence.
pub async fn read_body(core: &Core, body: Incoming, limit: u64) -> Result<Vec<u8>, String> {
    struct Held<'a>(&'a Core, u64);
    impl Drop for Held<'_> {
        fn drop(&mut self) {
            self.0.body_bytes.fetch_sub(self.1, Ordering::Relaxed);
        }
    }
    let mut held = Held(core, 0);
    let mut out = Vec::new();
    let mut body = body;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| format!("the body ended early: {e}"))?;
        if let Ok(data) = frame.into_data() {
            let n = data.len() as u64;
            if out.len() as u64 + n > limit {
                return Err(format!(
                    "body size exceed limit: {limit}, You can increase the limit by setting streaming_load_max_mb in be.conf."
                ));
            }
            if core.body_bytes.fetch_add(n, Ordering::Relaxed) + n > core.memory_bytes {
                core.body_bytes.fetch_sub(n, Ordering::Relaxed);
                return Err("Memory of load exceeds the limit of the local warehouse".into());
            }
            held.1 += n;
            out.extend_from_slice(&data);
        }
    }
    Ok(out)
}

async fn handle(core: Arc<Core>, door: Door, from: IpAddr, request: Request<Incoming>) -> Reply {
    let (parts, body) = request.into_parts();
    let call = Call {
        method: parts.method,
        path: parts.uri.path().to_string(),
        query: parts.uri.query().unwrap_or_default().to_string(),
        headers: parts.headers,
        version: parts.version,
    };
    let segments: Vec<String> = call.path.trim_matches('/').split('/').map(percent_decode).collect();
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["api", "health"] => {
            return Some(answer(
                StatusCode::OK,
                "application/json",
                r#"{"status": "OK","msg": "To Be Added","online_backend_num": 1,"total_backend_num": 1}"#,
            ));
        }
        ["api", "bootstrap"] => {
            return Some(answer(StatusCode::OK, "application/json", r#"{"status":"OK","msg":"Success"}"#));
        }
        ["api", "_load_error_log"] => {
            let text = call.param("file").and_then(|f| core.error_log(&f));
            return Some(match text {
                Some(t) => answer(StatusCode::OK, "text/plain", Bytes::copy_from_slice(t.as_bytes())),
                None => answer(StatusCode::NOT_FOUND, "text/plain", "the error log does not exist"),
            });
        }
        ["api", "compaction", ..] => {
            return Some(answer(StatusCode::OK, "application/json", r#"{"status":"Success"}"#));
        }
        ["api", "starweir", "faults"] => return Some(faults(&core, &call, body).await),
        _ => {}
    }
    let given = credentials(&call);
    let user = given.as_ref().map_or("root", |(user, _)| user.as_str()).to_string();
    let Some(identity) = given.and_then(|(user, password)| log_in(&core, &user, &password, from)) else {
        if door == Door::Fe {
            return Some(unauthorized(&format!("Access denied for {user}@{from}")));
        }
        let caller = Caller { user, refusal: Some("no valid Basic authorization".into()) };
        return backend(&core, &call, &words, &caller, body).await;
    };
    let caller = Caller { user: identity.name.name.clone(), refusal: refusal(&core, &identity, &call, &words) };
    if door == Door::Be {
        return backend(&core, &call, &words, &caller, body).await;
    }
    if let Some(message) = &caller.refusal {
        return Some(unauthorized(message));
    }
    match words.as_slice() {
        ["api", db, table, "_stream_load"] => stream_load::at_frontend(&core, &call, db, table).await,
        ["api", "transaction", op] => transaction::handle(&core, door, &call, op, &caller, body).await,
        ["api", db, "get_load_state" | "_load_info"] => Some(stream_load::get_load_state(&core, &call, db).await),
        ["api", db, _, "_cancel"] => Some(stream_load::cancel(&core, &call, db)),
        ["api", "trigger"] => Some(trigger(&core, &call).await),
        ["api", db, table, "_schema"] => Some(sql_api::schema(&core, db, table)),
        ["api", db, table, "_count"] => Some(sql_api::count(&core, db, table)),
        ["api", db, table, "_query_plan"] => Some(crate::scan::query_plan(&core, identity, db, table, body).await),
        ["api", _, _, "_stream_load_meta"] => {
            let be = core.addresses.read().map(|a| a.be.to_string()).unwrap_or_default();
            Some(answer(
                StatusCode::OK,
                "application/json",
                json!({"status": "OK", "code": "OK", "msg": "", "nodes": {"http": be}}).to_string(),
            ))
        }
        ["api", "v1", "catalogs", _, "sql"] => Some(sql_api::query(&core, identity, None, body).await),
        ["api", "v1", "catalogs", _, "databases", db, "sql"] => {
            Some(sql_api::query(&core, identity, Some(db), body).await)
        }
        ["api", "v2", "backend"] => {
            let be = core.addresses.read().map(|a| a.be);
            let node = be.map(|b| json!({"ip": b.ip().to_string(), "http_port": b.port(), "is_alive": true}));
            Some(answer(
                StatusCode::OK,
                "application/json",
                json!({"backends": node.into_iter().collect::<Vec<_>>()}).to_string(),
            ))
        }
        ["api", "v2", "feature"] => {
            Some(answer(StatusCode::OK, "application/json", json!({"features": []}).to_string()))
        }
        _ => Some(not_found()),
    }
}

/// Runs now what a frontend does from time to time: `type=dynamic_partition` drops partitions whose time is over.
async fn trigger(core: &Arc<Core>, call: &Call) -> Answer {
    let text = |status, text: String| answer(status, "text/plain", text);
    let param = |name: &str| call.param(name).unwrap_or_default();
    if param("type") != "dynamic_partition" {
        return text(StatusCode::BAD_REQUEST, format!("trigger type {} is not supported", param("type")));
    }
    let table = match stream_load::find_table(core, &param("db"), &param("tbl")) {
        Ok(table) => table,
        Err(e) => return text(StatusCode::NOT_FOUND, e),
    };
    match crate::sql::partition_change::drop_expired(core, &table).await {
        Ok(()) => text(StatusCode::OK, "Success".into()),
        Err(e) => text(StatusCode::INTERNAL_SERVER_ERROR, e.message),
    }
}

/// What the BE port answers.
async fn backend(core: &Arc<Core>, call: &Call, words: &[&str], caller: &Caller, body: Incoming) -> Reply {
    match words {
        ["api", db, table, "_stream_load"] => stream_load::at_backend(core, call, db, table, caller, body).await,
        ["api", "transaction", op] => transaction::handle(core, Door::Be, call, op, caller, body).await,
        _ => Some(not_found()),
    }
}

fn not_found() -> Answer {
    let body = json!({"status": "FAILED", "msg": "not found"});
    answer(StatusCode::NOT_FOUND, "application/json", body.to_string())
}

async fn faults(core: &Arc<Core>, call: &Call, body: Incoming) -> Answer {
    if !core.allow_faults {
        return answer(
            StatusCode::FORBIDDEN,
            "application/json",
            json!({"status": "FAILED", "msg": "faults are not allowed"}).to_string(),
        );
    }
    match call.method {
        Method::DELETE => core.faults.clear(),
        Method::POST | Method::PUT => {
            let bytes = match read_body(core, body, 16 << 20).await {
                Ok(b) => b,
                Err(e) => return answer(StatusCode::BAD_REQUEST, "text/plain", e),
            };
            let parsed: Result<Vec<Fault>, _> = serde_json::from_slice(&bytes)
                .or_else(|e| serde_json::from_slice::<Fault>(&bytes).map(|f| vec![f]).map_err(|_| e));
            match parsed {
                Ok(list) if core.faults.add(list.clone()) => {}
                Ok(_) => return answer(StatusCode::BAD_REQUEST, "text/plain", "too many faults"),
                Err(e) => {
                    return answer(
                        StatusCode::BAD_REQUEST,
                        "application/json",
                        json!({"status": "FAILED", "msg": e.to_string()}).to_string(),
                    );
                }
            }
        }
        _ => {}
    }
    let left = serde_json::to_value(core.faults.left()).unwrap_or_default();
    answer(StatusCode::OK, "application/json", json!({"status": "OK", "faults": left}).to_string())
}

/// What the code around a request does because of a fault.
pub enum Disturbance {
    /// Answer this instead of acting.
    Instead(Reply),
    /// Act, then close the connection.
    LoseAnswer,
    /// Act, but say that publishing was late.
    PublishTimeout,
    /// Read half of the body, then close the connection.
    Cut,
    None,
}

/// Looks for a fault and does what can be done before acting.
pub async fn disturb(core: &Arc<Core>, op: &str, db: &str, table: &str, label: &str, at_fe: bool) -> Disturbance {
    let Some(action) = core.faults.take(op, table, label, at_fe) else { return Disturbance::None };
    tracing::info!(op, table, label, ?action, "a scripted fault");
    let instead = |v: serde_json::Value| Disturbance::Instead(Some(closing(json_answer(&v, b"    "))));
    match action {
        Action::Reply { status, text } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            Disturbance::Instead(Some(closing(answer(status, "application/json", text))))
        }
        Action::LoseAnswer => Disturbance::LoseAnswer,
        Action::Drop => Disturbance::Instead(None),
        Action::Delay { ms } => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Disturbance::None
        }
        Action::Cut => Disturbance::Cut,
        Action::PublishTimeout => Disturbance::PublishTimeout,
        Action::TxnInProcessing => instead(
            json!({"Status": "TXN_IN_PROCESSING", "Message": "Transaction is in processing", "Label": label, "Db": db, "Table": table}),
        ),
        Action::TooManyVersions => {
            let message = "Failed to load data into tablet 10005, because of too many versions, current/limit: 1001/1000. You can reduce the loading job concurrency, or increase loading data batch size. If you are loading data with Routine Load, you can increase FE configs routine_load_task_consume_second and max_routine_load_batch_size.";
            if op == "stream_load" {
                instead(
                    json!({"TxnId": -1, "Label": label, "Db": db, "Table": table, "Status": "Fail", "Message": message}),
                )
            } else {
                instead(json!({"Status": "INTERNAL_ERROR", "Message": message, "Label": label}))
            }
        }
        Action::NoBackend => instead(
            json!({"Status": "FAILED", "Message": "class com.starrocks.common.DdlException: No backend alive."}),
        ),
        Action::Redirect { location } => {
            Disturbance::Instead(Some(redirect(&location.unwrap_or_else(|| "http://127.0.0.1:1/unreachable".into()))))
        }
        Action::Expire => {
            if let Some(t) = core.store.database_id(db).and_then(|d| core.store.txn_of_label(d, label))
                && let Err(e) = core.store.abort(t.id, "timeout by txn manager")
            {
                tracing::warn!(error = %e.chain(), "cannot expire a transaction");
            }
            Disturbance::None
        }
        Action::Forget => {
            if let Some(d) = core.store.database_id(db)
                && let Err(e) = core.store.forget_label(d, label)
            {
                tracing::warn!(error = %e.chain(), "cannot forget a label");
            }
            Disturbance::None
        }
    }
}

/// Reads about half of a body, for the fault `cut`.
pub async fn read_half(mut body: Incoming) {
    let _ = body.frame().await;
}
