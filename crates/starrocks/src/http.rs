//! HTTP/1.1 as Stream Load needs it, by hand: `Expect: 100-continue` that is really waited for, answers
//! that come before the body is sent, bodies that can be sent again, connections kept for reuse.
//!
//! ```text
//! head ─► (100 ─► body ─► answer) | (answer, body never sent) | (nothing in time)
//! ```

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::config::Endpoint;

/// A response's head may be this long.
const HEAD_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 128;
/// Idle connections kept per server, and for how long. BEs close idle ones after a minute or so.
const IDLE_PER_SERVER_MAX: usize = 8;
const IDLE_TIME_MAX: Duration = Duration::from_secs(20);

/// Bytes to send, in pieces, as often as needed.
#[derive(Debug, Clone, Default)]
pub struct Body {
    chunks: Vec<Bytes>,
    len: u64,
}

impl Body {
    pub fn new(chunks: Vec<Bytes>) -> Self {
        let len = chunks.iter().map(|c| c.len() as u64).sum();
        Self { chunks, len }
    }

    /// Bytes in all.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(vec![bytes.into()])
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::new(vec![bytes])
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::new(vec![Bytes::from_static(text.as_bytes())])
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::new(vec![text.into()])
    }
}

/// An HTTP response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// In order, names as sent.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// How much of a request had left when something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sent {
    /// Nothing: the server knows nothing of it.
    Nothing,
    /// The head: the server may have begun a transaction, but has no data.
    Head,
    /// Some or all of the body (or a request that has none): the server may have done it all.
    Body,
}

/// A request without an answer.
#[derive(Debug)]
pub struct Lost {
    pub sent: Sent,
    pub error: io::Error,
}

impl Lost {
    fn new(sent: Sent, error: io::Error) -> Self {
        Self { sent, error }
    }
}

/// What a request needs besides its head.
pub(crate) struct Exchange<'a> {
    pub endpoint: &'a Endpoint,
    pub method: &'static str,
    /// Path and query.
    pub target: &'a str,
    /// Everything but Host, Content-Length and Expect.
    pub headers: &'a [(String, String)],
    pub body: Option<&'a Body>,
    /// Wait for `100 Continue`; when it does not come in time the body is sent anyway, or not.
    pub expect: Option<Expect>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Expect {
    pub wait: Duration,
    /// A server that only redirects must never see the body.
    pub send_anyway: bool,
}

/// Limits of one exchange.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub connect_timeout: Duration,
    pub socket_timeout: Duration,
    pub answer_bytes_max: usize,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

struct Connection {
    stream: Box<dyn Stream>,
    /// Bytes read beyond what was used so far.
    input: BytesMut,
    answered_once: bool,
}

/// Connections for reuse, and TLS settings.
pub(crate) struct Connections {
    idle: Mutex<HashMap<Endpoint, Vec<(Connection, Instant)>>>,
    tls: Option<tokio_rustls::TlsConnector>,
    limits: Limits,
}

fn timed_out(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what.to_owned())
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed before the answer was complete")
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

impl Connections {
    pub fn new(limits: Limits, tls: Option<Arc<rustls::ClientConfig>>) -> Self {
        Self { idle: Mutex::new(HashMap::new()), tls: tls.map(Into::into), limits }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Endpoint, Vec<(Connection, Instant)>>> {
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// An idle connection that is not closed yet.
    fn reuse(&self, endpoint: &Endpoint) -> Option<Connection> {
        loop {
            let (mut connection, since) = self.lock().get_mut(endpoint)?.pop()?;
            if since.elapsed() > IDLE_TIME_MAX {
                continue;
            }
            // Anything to read on an idle connection is its end, or nonsense.
            let mut byte = [0u8; 1];
            let mut read = std::pin::pin!(connection.stream.read(&mut byte));
            if futures::FutureExt::now_or_never(&mut read).is_none() {
                return Some(connection);
            }
        }
    }

    fn keep(&self, endpoint: &Endpoint, connection: Connection) {
        let mut idle = self.lock();
        let list = idle.entry(endpoint.clone()).or_default();
        if list.len() < IDLE_PER_SERVER_MAX {
            list.push((connection, Instant::now()));
        }
    }

    async fn open(&self, endpoint: &Endpoint) -> io::Result<Connection> {
        let connect = async {
            let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
            tcp.set_nodelay(true)?;
            let stream: Box<dyn Stream> = match (endpoint.tls, &self.tls) {
                (false, _) => Box::new(tcp),
                (true, Some(tls)) => {
                    let name = rustls::pki_types::ServerName::try_from(endpoint.host.clone())
                        .map_err(|_| malformed("the host is not a name a certificate can have"))?;
                    Box::new(tls.connect(name, tcp).await?)
                }
                (true, None) => return Err(malformed("https is used but no TLS settings were made")),
            };
            Ok(Connection { stream, input: BytesMut::new(), answered_once: false })
        };
        match timeout(self.limits.connect_timeout, connect).await {
            Ok(result) => result,
            Err(_) => Err(timed_out("the connection was not established in time")),
        }
    }

    /// Sends one request and reads its answer. A kept connection that turns out to be closed before
    /// anything was answered is replaced once, unless a body had begun to leave.
    pub async fn exchange(&self, request: &Exchange<'_>) -> Result<Response, Lost> {
        if let Some(connection) = self.reuse(request.endpoint) {
            match self.exchange_on(connection, request).await {
                Err((lost, false)) if lost.sent != Sent::Body || request.body.is_none() => {
                    tracing::debug!(server = %request.endpoint, "a kept connection was closed; opening another");
                }
                Err((lost, _)) => return Err(lost),
                Ok(response) => return Ok(response),
            }
        }
        let connection = self.open(request.endpoint).await.map_err(|e| Lost::new(Sent::Nothing, e))?;
        self.exchange_on(connection, request).await.map_err(|(lost, _)| lost)
    }

    /// The error says whether any byte of an answer had come.
    async fn exchange_on(&self, mut connection: Connection, request: &Exchange<'_>) -> Result<Response, (Lost, bool)> {
        connection.answered_once = false;
        let result = self.steps(&mut connection, request).await;
        match result {
            Ok((response, reusable)) => {
                if reusable && connection.input.is_empty() {
                    self.keep(request.endpoint, connection);
                }
                Ok(response)
            }
            Err(lost) => {
                // A timeout is not a closed connection: it must not be repeated silently.
                let answered = connection.answered_once || lost.error.kind() == io::ErrorKind::TimedOut;
                Err((lost, answered))
            }
        }
    }

    async fn steps(&self, connection: &mut Connection, request: &Exchange<'_>) -> Result<(Response, bool), Lost> {
        let head = head_of(request);
        let silence = self.limits.socket_timeout;
        match timeout(silence, connection.stream.write_all(&head)).await {
            Ok(Ok(())) => {}
            // A head that did not leave whole is no request.
            Ok(Err(error)) => return Err(Lost::new(Sent::Nothing, error)),
            Err(_) => return Err(Lost::new(Sent::Nothing, timed_out("the request could not be sent in time"))),
        }
        let without_body = request.body.is_none_or(Body::is_empty);
        let mut sent = if without_body && request.expect.is_none() { Sent::Body } else { Sent::Head };
        if let Some(expect) = request.expect {
            match timeout(expect.wait, self.read_head(connection)).await {
                Ok(Ok(head)) if head.status == 100 => {}
                Ok(Ok(head)) => {
                    // The answer came instead: the body stays here, so the connection cannot be used again.
                    let response = self.read_body(connection, head).await.map_err(|e| Lost::new(sent, e))?.0;
                    return Ok((response, false));
                }
                Ok(Err(error)) => return Err(Lost::new(sent, error)),
                Err(_) if expect.send_anyway => {}
                Err(_) => {
                    return Err(Lost::new(sent, timed_out("the FE did not redirect the load in time")));
                }
            }
        }
        if let Some(body) = request.body.filter(|b| !b.is_empty()) {
            sent = Sent::Body;
            if self.send_body(connection, body).await.map_err(|e| Lost::new(sent, e))? == Sending::Interrupted {
                let head = self.final_head(connection).await.map_err(|e| Lost::new(sent, e))?;
                let response = self.read_body(connection, head).await.map_err(|e| Lost::new(sent, e))?.0;
                return Ok((response, false));
            }
        } else {
            sent = Sent::Body;
        }
        let head = self.final_head(connection).await.map_err(|e| Lost::new(sent, e))?;
        self.read_body(connection, head).await.map_err(|e| Lost::new(sent, e))
    }

    /// Sends the body while listening: an answer that comes meanwhile ends the sending.
    async fn send_body(&self, connection: &mut Connection, body: &Body) -> io::Result<Sending> {
        let Connection { stream, input, answered_once } = connection;
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut continues = false;
        for chunk in &body.chunks {
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                let step = async {
                    tokio::select! {
                        biased;
                        read = reader.read_buf(input) => read.map(Step::Read),
                        written = writer.write(rest) => written.map(Step::Written),
                    }
                };
                match timeout(self.limits.socket_timeout, step).await {
                    Err(_) => return Err(timed_out("the server stopped taking the body")),
                    Ok(Ok(Step::Read(0))) => return Err(cut_short()),
                    Ok(Ok(Step::Read(_))) => {
                        *answered_once = true;
                        // A late `100 Continue` is no answer.
                        if !continues && take_continue(input) {
                            continues = true;
                        }
                        if !input.is_empty() && !is_continue_prefix(input) {
                            return Ok(Sending::Interrupted);
                        }
                    }
                    Ok(Ok(Step::Written(0))) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(Ok(Step::Written(written))) => rest = &rest[written..],
                    Ok(Err(error)) => {
                        // The server may have answered and closed: read what it said before giving up.
                        let wait = Duration::from_secs(1).min(self.limits.socket_timeout);
                        while let Ok(Ok(read)) = timeout(wait, reader.read_buf(input)).await {
                            if read == 0 || input.len() > HEAD_BYTES_MAX {
                                break;
                            }
                        }
                        return if matches!(parse_head(input), Ok(Some(_))) {
                            Ok(Sending::Interrupted)
                        } else {
                            Err(error)
                        };
                    }
                }
            }
        }
        match timeout(self.limits.socket_timeout, writer.flush()).await {
            Ok(result) => result.map(|()| Sending::Whole),
            Err(_) => Err(timed_out("the server stopped taking the body")),
        }
    }

    /// The next head that is not interim.
    async fn final_head(&self, connection: &mut Connection) -> io::Result<Head> {
        for _ in 0..8 {
            let head = self.read_head(connection).await?;
            if head.status >= 200 {
                return Ok(head);
            }
        }
        Err(malformed("the server sends interim answers without end"))
    }

    async fn read_head(&self, connection: &mut Connection) -> io::Result<Head> {
        loop {
            if let Some((head, used)) = parse_head(&connection.input)? {
                let _ = connection.input.split_to(used);
                return Ok(head);
            }
            if self.fill(connection).await? == 0 {
                return Err(cut_short());
            }
        }
    }

    /// Reads more; 0 at the end of the stream.
    async fn fill(&self, connection: &mut Connection) -> io::Result<usize> {
        connection.input.reserve(4096);
        match timeout(self.limits.socket_timeout, connection.stream.read_buf(&mut connection.input)).await {
            Ok(Ok(read)) => {
                connection.answered_once |= read > 0;
                Ok(read)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(timed_out("the server did not answer in time")),
        }
    }

    /// The response, and whether the connection can be used again.
    async fn read_body(&self, connection: &mut Connection, head: Head) -> io::Result<(Response, bool)> {
        let mut reusable = head.keep_alive;
        let max = self.limits.answer_bytes_max;
        let mut body = Vec::new();
        match head.length {
            Length::None => {}
            Length::Known(length) => {
                if length > max as u64 {
                    return Err(malformed("the answer is longer than allowed"));
                }
                while (connection.input.len() as u64) < length {
                    if self.fill(connection).await? == 0 {
                        return Err(cut_short());
                    }
                }
                body = connection.input.split_to(length as usize).to_vec();
            }
            Length::Chunked => loop {
                match parse_chunk(&connection.input)? {
                    Some((data, used)) => {
                        let last = data.is_empty();
                        body.extend_from_slice(&connection.input[data]);
                        let _ = connection.input.split_to(used);
                        if last {
                            break;
                        }
                        if body.len() > max {
                            return Err(malformed("the answer is longer than allowed"));
                        }
                    }
                    None => {
                        if connection.input.len() > max {
                            return Err(malformed("the answer is longer than allowed"));
                        }
                        if self.fill(connection).await? == 0 {
                            return Err(cut_short());
                        }
                    }
                }
            },
            Length::UntilClosed => {
                reusable = false;
                while self.fill(connection).await? > 0 {
                    if connection.input.len() > max {
                        return Err(malformed("the answer is longer than allowed"));
                    }
                }
                body = connection.input.split().to_vec();
            }
        }
        Ok((Response { status: head.status, headers: head.headers, body }, reusable))
    }
}

#[derive(PartialEq, Eq)]
enum Sending {
    Whole,
    /// An answer came first.
    Interrupted,
}

enum Step {
    Read(usize),
    Written(usize),
}

fn head_of(request: &Exchange<'_>) -> Vec<u8> {
    let mut head =
        format!("{} {} HTTP/1.1\r\nHost: {}\r\n", request.method, request.target, request.endpoint.authority());
    for (name, value) in request.headers {
        head.push_str(name);
        head.push_str(": ");
        head.push_str(value);
        head.push_str("\r\n");
    }
    if request.expect.is_some() {
        head.push_str("Expect: 100-continue\r\n");
    }
    if request.body.is_some() || request.method != "GET" {
        head.push_str(&format!("Content-Length: {}\r\n", request.body.map_or(0, Body::len)));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// How a response's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    None,
    Known(u64),
    Chunked,
    UntilClosed,
}

/// A response's status line and headers.
#[derive(Debug)]
struct Head {
    status: u16,
    headers: Vec<(String, String)>,
    length: Length,
    keep_alive: bool,
}

/// A head and the bytes it takes; None when more bytes are needed.
fn parse_head(input: &[u8]) -> io::Result<Option<(Head, usize)>> {
    let Some(end) = find_end(input) else {
        return if input.len() > HEAD_BYTES_MAX { Err(malformed("the answer's head is too long")) } else { Ok(None) };
    };
    if end > HEAD_BYTES_MAX {
        return Err(malformed("the answer's head is too long"));
    }
    let text = String::from_utf8_lossy(&input[..end]);
    let mut lines = text.split('\n').map(|l| l.strip_suffix('\r').unwrap_or(l));
    let status_line = lines.next().unwrap_or_default();
    let mut words = status_line.split(' ');
    let version = words.next().unwrap_or_default();
    let status = words.next().and_then(|w| w.parse::<u16>().ok()).filter(|s| (100..600).contains(s));
    let (Some(status), true) = (status, version.starts_with("HTTP/1.")) else {
        return Err(malformed("the answer is not HTTP/1.1"));
    };
    let mut headers = Vec::new();
    for line in lines.filter(|l| !l.is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(|| malformed("a header of the answer has no colon"))?;
        if headers.len() == HEADERS_MAX {
            return Err(malformed("the answer has too many headers"));
        }
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let find = |wanted: &str| headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(wanted)).map(|(_, v)| v.as_str());
    let chunked = find("transfer-encoding").is_some_and(|v| v.to_ascii_lowercase().contains("chunked"));
    let length = if status < 200 || matches!(status, 204 | 304) {
        Length::None
    } else if chunked {
        Length::Chunked
    } else if let Some(length) = find("content-length") {
        Length::Known(length.parse().map_err(|_| malformed("the answer's Content-Length is not a number"))?)
    } else if (300..400).contains(&status) {
        // A redirect's body, if any, says nothing; FEs close the connection after it.
        Length::None
    } else {
        Length::UntilClosed
    };
    let connection = find("connection").unwrap_or_default().to_ascii_lowercase();
    let framed = length != Length::None || !(300..400).contains(&status);
    let keep_alive =
        framed && if version == "HTTP/1.0" { connection.contains("keep-alive") } else { !connection.contains("close") };
    Ok(Some((Head { status, headers, length, keep_alive }, end)))
}

/// After the empty line that ends a head.
fn find_end(input: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(next) = input[at..].iter().position(|b| *b == b'\n') {
        at += next + 1;
        match &input[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// The range of the next chunk's data and the bytes it takes with its frame; an empty range is the last
/// chunk. None when more bytes are needed.
fn parse_chunk(input: &[u8]) -> io::Result<Option<(std::ops::Range<usize>, usize)>> {
    let Some(line_end) = input.iter().position(|b| *b == b'\n') else {
        return if input.len() > 1024 { Err(malformed("a chunk's size line is too long")) } else { Ok(None) };
    };
    let line = String::from_utf8_lossy(&input[..line_end]);
    let digits = line.split(';').next().unwrap_or_default().trim();
    let size = usize::from_str_radix(digits, 16).map_err(|_| malformed("a chunk's size is not a number"))?;
    let start = line_end + 1;
    if size == 0 {
        // Trailers, if any, end with an empty line.
        return Ok(match &input[start..] {
            [b'\n', ..] => Some((start..start, start + 1)),
            [b'\r', b'\n', ..] => Some((start..start, start + 2)),
            rest => find_end(rest).map(|end| (start..start, start + end)),
        });
    }
    let end = start.checked_add(size).ok_or_else(|| malformed("a chunk's size is not a number"))?;
    match input.get(end..).unwrap_or_default() {
        [b'\n', ..] => Ok(Some((start..end, end + 1))),
        [b'\r', b'\n', ..] => Ok(Some((start..end, end + 2))),
        [] | [b'\r'] => Ok(None),
        _ => Err(malformed("a chunk does not end where its size says")),
    }
}

fn is_continue_prefix(input: &[u8]) -> bool {
    b"HTTP/1.1 100".starts_with(&input[..input.len().min(12)]) && find_end(input).is_none()
}

/// Removes a whole `100 Continue` from the front.
fn take_continue(input: &mut BytesMut) -> bool {
    match parse_head(input) {
        Ok(Some((head, used))) if head.status == 100 => {
            let _ = input.split_to(used);
            true
        }
        _ => false,
    }
}

/// Reads a whole response from bytes, as if the connection then closed; None when it is cut short.
/// Bytes after the response are ignored.
pub fn parse_response(input: &[u8], bytes_max: usize) -> io::Result<Option<Response>> {
    let Some((head, mut at)) = parse_head(input)? else { return Ok(None) };
    let mut body = Vec::new();
    match head.length {
        Length::None => {}
        Length::Known(length) => {
            if length > bytes_max as u64 {
                return Err(malformed("the answer is longer than allowed"));
            }
            match input.get(at..at + length as usize) {
                Some(bytes) => body.extend_from_slice(bytes),
                None => return Ok(None),
            }
        }
        Length::Chunked => loop {
            let rest = &input[at..];
            let Some((data, used)) = parse_chunk(rest)? else { return Ok(None) };
            at += used;
            if data.is_empty() {
                break;
            }
            body.extend_from_slice(&rest[data]);
            if body.len() > bytes_max {
                return Err(malformed("the answer is longer than allowed"));
            }
        },
        Length::UntilClosed => body.extend_from_slice(&input[at..]),
    }
    if body.len() > bytes_max {
        return Err(malformed("the answer is longer than allowed"));
    }
    Ok(Some(Response { status: head.status, headers: head.headers, body }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_read_in_all_their_frames() {
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", Some((200, "ab"))),
            ("HTTP/1.1 200 OK\nContent-Length: 2\n\nabc", Some((200, "ab"))),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
                Some((200, "abc")),
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n", Some((200, ""))),
            ("HTTP/1.0 200 OK\r\n\r\nall of it", Some((200, "all of it"))),
            ("HTTP/1.1 204 No Content\r\n\r\n", Some((204, ""))),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", None),
            ("HTTP/1.1 200", None),
        ] {
            let found = parse_response(text.as_bytes(), 1000).unwrap();
            let found = found.map(|r| (r.status, String::from_utf8(r.body).unwrap()));
            assert_eq!(found, expected.map(|(s, b)| (s, b.to_owned())), "{text}");
        }
        for bad in [
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 abc\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nab",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        ] {
            assert!(parse_response(bad.as_bytes(), 1000).is_err(), "{bad}");
        }
    }
}
