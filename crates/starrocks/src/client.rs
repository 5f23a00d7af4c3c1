//! The calls: one method per endpoint, each one attempt. What to do when an attempt is lost or refused is
//! decided in [`crate::decide`] and carried out in [`crate::resolve`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use starweir_model::{Error, Label, Result, TableName};

use crate::answer::{Answer, LabelState};
use crate::config::{ClientConfig, Endpoint};
use crate::http::{Body, Connections, Exchange, Expect, Limits, Lost, Response, Sent};

/// A load is redirected by a follower FE to the leader and from there to a BE: two hops, no more.
const HOPS_MAX: usize = 2;

/// Headers the client writes itself; given ones are left out.
const RESERVED: &[&str] = &["authorization", "host", "content-length", "transfer-encoding", "expect", "connection"];

/// Data for one table under one label.
#[derive(Debug, Clone)]
pub struct LoadRequest {
    pub table: TableName,
    pub label: Label,
    /// Stream Load headers: `format`, `columns`, `column_separator`, …; names in any case.
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

/// What is needed to begin a transaction.
#[derive(Debug, Clone)]
pub struct TransactionRequest {
    pub table: TableName,
    pub label: Label,
    /// `timeout` (seconds to prepare or commit, default 600), `idle_transaction_timeout`, `warehouse`.
    pub headers: Vec<(String, String)>,
}

/// An attempt that gave no answer of the load interface.
#[derive(Debug)]
pub enum AttemptError {
    /// The connection failed, or the answer did not come in time; see [`Sent`] for what may have happened.
    Lost(Lost),
    /// The server answered something else: refused for good (access, address) or not (5xx).
    Refused(Error),
}

impl AttemptError {
    /// The error for a person; `doing` says what could not be done.
    pub fn into_error(self, doing: &str) -> Error {
        match self {
            Self::Lost(lost) => Error::unavailable(doing.to_owned()).with_source(lost.error),
            Self::Refused(error) => error.context(doing.to_owned()),
        }
    }
}

impl From<Lost> for AttemptError {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

/// A StarRocks, as seen by loads. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub config: ClientConfig,
    connections: Connections,
    authorization: String,
    /// The FE that answered last.
    frontend: AtomicUsize,
}

/// A call before its address is chosen.
struct Call<'a> {
    method: &'static str,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<&'a Body>,
    expect: bool,
}

impl Client {
    /// Errors: TLS certificates that cannot be read. Nothing is connected yet.
    pub fn new(config: ClientConfig) -> Result<Self> {
        if config.load_urls.is_empty() {
            return Err(Error::user("no load URL is given"));
        }
        let limits = Limits {
            connect_timeout: config.connect_timeout,
            socket_timeout: config.socket_timeout,
            answer_bytes_max: config.answer_bytes_max,
        };
        // A BE behind https cannot be ruled out when only FEs are http, so TLS is always ready.
        let tls = Some(Arc::new(crate::tls::settings(config.tls_ca_pem.as_deref())?));
        let login = STANDARD.encode(format!("{}:{}", config.user, config.password));
        Ok(Self {
            inner: Arc::new(Inner {
                connections: Connections::new(limits, tls),
                authorization: format!("Basic {login}"),
                frontend: AtomicUsize::new(0),
                config,
            }),
        })
    }

    pub fn config(&self) -> &ClientConfig {
        &self.inner.config
    }

    /// One Stream Load: begin, load, commit and publish in one request. One attempt.
    pub async fn stream_load(&self, request: &LoadRequest) -> Result<Answer, AttemptError> {
        let target = format!("/api/{}/{}/_stream_load", path(&request.table.database), path(&request.table.table));
        let mut headers = without_identity(&request.headers);
        headers.push(("label".into(), request.label.to_string()));
        self.answer(Call { method: "PUT", target, headers, body: Some(&request.body), expect: true }).await
    }

    /// Begins a transaction. One attempt.
    pub async fn begin(&self, request: &TransactionRequest) -> Result<Answer, AttemptError> {
        let mut headers = without_identity(&request.headers);
        headers.extend(identity(&request.table.database, Some(&request.table.table), &request.label));
        self.transaction("POST", "begin", headers, None).await
    }

    /// Adds data to a begun transaction. Headers must be the same for every load of one transaction, and CSV
    /// bodies must end with the row delimiter. One attempt.
    pub async fn load(&self, request: &LoadRequest) -> Result<Answer, AttemptError> {
        let mut headers = without_identity(&request.headers);
        headers.extend(identity(&request.table.database, Some(&request.table.table), &request.label));
        self.transaction("PUT", "load", headers, Some(&request.body)).await
    }

    /// Makes a transaction certain to be committable. `prepared_timeout_s`: seconds until the server gives it
    /// up (its default is a day). One attempt.
    pub async fn prepare(
        &self,
        table: &TableName,
        label: &Label,
        prepared_timeout_s: Option<u64>,
    ) -> Result<Answer, AttemptError> {
        let mut headers = identity(&table.database, Some(&table.table), label);
        headers.extend(prepared_timeout_s.map(|s| ("prepared_timeout".to_owned(), s.to_string())));
        self.transaction("POST", "prepare", headers, None).await
    }

    /// Commits a transaction. `timeout_s`: how long to wait for it to be visible (server default 20). One attempt.
    pub async fn commit(
        &self,
        table: &TableName,
        label: &Label,
        timeout_s: Option<u64>,
    ) -> Result<Answer, AttemptError> {
        let mut headers = identity(&table.database, Some(&table.table), label);
        headers.extend(timeout_s.map(|s| ("timeout".to_owned(), s.to_string())));
        self.transaction("POST", "commit", headers, None).await
    }

    /// Gives a transaction up. One attempt.
    pub async fn rollback(&self, table: &TableName, label: &Label) -> Result<Answer, AttemptError> {
        self.transaction("POST", "rollback", identity(&table.database, Some(&table.table), label), None).await
    }

    /// What became of a label. One attempt.
    pub async fn label_state(&self, database: &str, label: &Label) -> Result<LabelState, AttemptError> {
        let target = format!("/api/{}/get_load_state?label={label}", path(database));
        let headers = vec![("db".to_owned(), database.to_owned())];
        let response = self.send(Call { method: "GET", target, headers, body: None, expect: false }).await?;
        check_access(&response)?;
        Answer::parse_label_state(&response.body).map_err(|message| {
            AttemptError::Refused(not_understood(
                &response,
                format!("the state of label {label} is not known: {message}"),
            ))
        })
    }

    /// Whether an FE answers at all, on its health page.
    pub async fn health(&self) -> Result<()> {
        let call = Call { method: "GET", target: "/api/health".into(), headers: Vec::new(), body: None, expect: false };
        let response = self.send(call).await.map_err(|e| e.into_error("StarRocks is not reachable"))?;
        match response.status {
            200 => Ok(()),
            status => Err(Error::unavailable(format!("StarRocks answers its health check with HTTP {status}"))),
        }
    }

    pub(crate) async fn transaction(
        &self,
        method: &'static str,
        operation: &str,
        headers: Vec<(String, String)>,
        body: Option<&Body>,
    ) -> Result<Answer, AttemptError> {
        let target = format!("/api/transaction/{operation}");
        self.answer(Call { method, target, headers, body, expect: body.is_some() }).await
    }

    async fn answer(&self, call: Call<'_>) -> Result<Answer, AttemptError> {
        let response = self.send(call).await?;
        check_access(&response)?;
        Answer::parse(&response.body).ok_or_else(|| {
            AttemptError::Refused(not_understood(&response, "the answer is not one of StarRocks".into()))
        })
    }

    /// Sends a call to the FE that answered last, or the next ones when it cannot be reached, and follows its
    /// redirects. Another FE is tried only while nothing of the request had an effect.
    async fn send(&self, mut call: Call<'_>) -> Result<Response, AttemptError> {
        call.headers.retain(|(name, _)| !RESERVED.iter().any(|r| name.eq_ignore_ascii_case(r)));
        call.headers.push(("Authorization".into(), self.inner.authorization.clone()));
        check_headers(&call.headers).map_err(AttemptError::Refused)?;
        let urls = &self.inner.config.load_urls;
        let first = self.inner.frontend.load(Ordering::Relaxed);
        let mut last: Option<AttemptError> = None;
        for step in 0..urls.len() {
            let index = (first + step) % urls.len();
            match self.follow(&urls[index], &call).await {
                Ok(response) => {
                    self.inner.frontend.store(index, Ordering::Relaxed);
                    return Ok(response);
                }
                Err((error, at_frontend)) => {
                    let another_may_help = match &error {
                        AttemptError::Lost(lost) => {
                            lost.sent == Sent::Nothing
                                || (at_frontend && call.body.is_some() && lost.sent == Sent::Head)
                        }
                        AttemptError::Refused(_) => false,
                    };
                    if !another_may_help {
                        return Err(error);
                    }
                    if let AttemptError::Lost(lost) = &error {
                        tracing::warn!(server = %urls[index], error = %lost.error, "an FE did not answer");
                    }
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| AttemptError::Refused(Error::user("no load URL is given"))))
    }

    /// One FE and the hops from it. The error says whether it happened before any redirect.
    async fn follow(&self, frontend: &Endpoint, call: &Call<'_>) -> Result<Response, (AttemptError, bool)> {
        let config = &self.inner.config;
        let mut endpoint = frontend.clone();
        let mut target = call.target.clone();
        for hop in 0..=HOPS_MAX {
            let expect = call.expect.then_some(Expect { wait: config.wait_for_continue_timeout, send_anyway: hop > 0 });
            let exchange = Exchange {
                endpoint: &endpoint,
                method: call.method,
                target: &target,
                headers: &call.headers,
                body: call.body,
                expect,
            };
            let response = self.inner.connections.exchange(&exchange).await.map_err(|lost| (lost.into(), hop == 0))?;
            if !matches!(response.status, 301 | 302 | 307 | 308) {
                return Ok(response);
            }
            let location = response.header("location").unwrap_or_default().to_owned();
            let Some((next, next_target)) = resolve_location(&endpoint, &location) else {
                let error = Error::unavailable(format!("{endpoint} redirects to an address that cannot be read"));
                return Err((AttemptError::Refused(error), false));
            };
            endpoint = config.be_host_mapping.apply(next);
            target = next_target;
        }
        let error = Error::unavailable(format!("more than {HOPS_MAX} redirects; the last was to {endpoint}"));
        Err((AttemptError::Refused(error), false))
    }

    /// Fetches a page a BE named, for error rows: no redirects, a bounded answer.
    pub(crate) async fn fetch(&self, url: &str) -> Result<Vec<u8>> {
        let cannot = || Error::unavailable("the rejected rows could not be fetched");
        let any = &self.inner.config.load_urls[0];
        let (endpoint, target) = resolve_location(any, url).ok_or_else(cannot)?;
        let endpoint = self.inner.config.be_host_mapping.apply(endpoint);
        let headers = vec![("Authorization".to_owned(), self.inner.authorization.clone())];
        let exchange = Exchange {
            endpoint: &endpoint,
            method: "GET",
            target: &target,
            headers: &headers,
            body: None,
            expect: None,
        };
        let response =
            self.inner.connections.exchange(&exchange).await.map_err(|lost| cannot().with_source(lost.error))?;
        if response.status == 200 { Ok(response.body) } else { Err(cannot()) }
    }
}

/// Given headers without those that say which load this is.
pub(crate) fn without_identity(headers: &[(String, String)]) -> Vec<(String, String)> {
    let own = ["label", "db", "table"];
    headers.iter().filter(|(name, _)| !own.iter().any(|o| name.eq_ignore_ascii_case(o))).cloned().collect()
}

fn identity(database: &str, table: Option<&str>, label: &Label) -> Vec<(String, String)> {
    let mut headers = vec![("label".to_owned(), label.to_string()), ("db".to_owned(), database.to_owned())];
    headers.extend(table.map(|t| ("table".to_owned(), t.to_owned())));
    headers
}

/// A name as one segment of a path.
fn path(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'~') {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Header values come from user options too: a line end in one would be another header.
fn check_headers(headers: &[(String, String)]) -> Result<()> {
    for (name, value) in headers {
        let good_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        if !good_name || value.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return Err(Error::user(format!("'{}' cannot be sent as a load header", name.escape_debug())));
        }
    }
    Ok(())
}

/// Where a `Location` points, relative to the server that sent it; its user information is left out.
fn resolve_location(from: &Endpoint, location: &str) -> Option<(Endpoint, String)> {
    if location.starts_with('/') && !location.starts_with("//") {
        let good = location.bytes().all(|b| b.is_ascii_graphic());
        return good.then(|| (from.clone(), location.to_owned()));
    }
    let url = url::Url::parse(location).ok()?;
    let tls = match url.scheme() {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let endpoint = Endpoint { tls, host, port: url.port_or_known_default()? };
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    Some((endpoint, target))
}

fn check_access(response: &Response) -> Result<(), AttemptError> {
    if !matches!(response.status, 401 | 403) {
        return Ok(());
    }
    let mut error = Error::refused(
        "Access denied; the user name or password is wrong, or the INSERT privilege on the table is missing",
    )
    .with_hint("check username and password, and GRANT INSERT ON TABLE … TO USER …");
    if let Some(answer) = Answer::parse(&response.body).filter(|a| !a.message.is_empty()) {
        error = error.with_source(answer.message);
    }
    Err(AttemptError::Refused(error))
}

fn not_understood(response: &Response, message: String) -> Error {
    let status = response.status;
    if status >= 500 || status == 429 || status == 408 {
        Error::unavailable(format!("{message} (HTTP {status})"))
    } else {
        Error::refused(format!("{message} (HTTP {status})"))
            .with_hint("is the load URL that of an FE's HTTP port (8030)?")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_followed_without_their_user_information() {
        let fe = Endpoint { tls: false, host: "fe".into(), port: 8030 };
        for (location, expected) in [
            ("http://be:8040/api/d/t/_stream_load?a=b", Some("http://be:8040 /api/d/t/_stream_load?a=b")),
            ("http://root:secret@be:8040/x", Some("http://be:8040 /x")),
            ("https://be/x", Some("https://be:443 /x")),
            ("/x?y", Some("http://fe:8030 /x?y")),
            ("http://[::1]:8040/x", Some("http://[::1]:8040 /x")),
            ("ftp://be/x", None),
            ("", None),
            ("/x\r\nHost: y", None),
        ] {
            let found = resolve_location(&fe, location).map(|(e, t)| format!("{e} {t}"));
            assert_eq!(found.as_deref(), expected, "{location}");
        }
    }

    #[test]
    fn a_header_cannot_smuggle_another() {
        assert!(check_headers(&[("columns".into(), "a,b\r\nlabel: x".into())]).is_err());
        assert!(check_headers(&[("col umns".into(), "a".into())]).is_err());
        assert!(check_headers(&[("columns".into(), "a, `b`".into())]).is_ok());
    }
}
