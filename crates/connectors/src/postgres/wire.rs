//! A connection to the server: start-up, authentication, simple queries, and the two-way copy of replication.

use std::collections::HashMap;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;
use starweir_formats::postgres::pgoutput::Field;
use starweir_model::{Error, ErrorKind, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::options::{Settings, TlsMode};
use super::tls;

/// A server that does not answer a query of the catalog within this time is not coming back.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
const READ_BYTES: usize = 128 * 1024;

/// What texts of values look like, whatever the server's own settings are.
const SESSION: [(&str, &str); 9] = [
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "iso_8601"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("lc_monetary", "C"),
    ("statement_timeout", "0"),
    ("application_name", "starweir"),
];

trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// A message of the server.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub tag: u8,
    pub body: Bytes,
}

/// A row of a query's answer: text, or None for NULL.
pub(super) type Row = Vec<Option<String>>;

pub(super) struct Wire {
    stream: Box<dyn Duplex>,
    input: BytesMut,
    parameters: HashMap<String, String>,
}

pub(super) fn damaged() -> Error {
    Error::unavailable("PostgreSQL sent something that is not of its protocol")
}

impl Wire {
    /// A new connection; tries again as the options say. `replication` makes it one for replication commands too.
    pub async fn connect(settings: &Settings, replication: bool) -> Result<Self> {
        let to = format!("connect to PostgreSQL at {}:{}", settings.host, settings.port);
        let mut attempt = 0;
        loop {
            let connecting = Box::pin(Self::once(settings, replication));
            let error = match tokio::time::timeout(settings.connect_timeout, connecting).await {
                Ok(Ok(wire)) => return Ok(wire),
                Ok(Err(error)) => error,
                Err(_) => Error::unavailable(format!("no answer within {:?}", settings.connect_timeout)),
            };
            attempt += 1;
            if error.kind != ErrorKind::Unavailable || attempt > settings.connect_retries {
                return Err(error.context(to));
            }
            tokio::time::sleep(Duration::from_millis(200 * u64::from(attempt))).await;
        }
    }

    async fn once(settings: &Settings, replication: bool) -> Result<Self> {
        let tcp = TcpStream::connect((settings.host.as_str(), settings.port)).await.map_err(io)?;
        tcp.set_nodelay(true).map_err(io)?;
        let stream = secured(tcp, settings).await?;
        let mut wire = Self { stream, input: BytesMut::with_capacity(READ_BYTES), parameters: HashMap::new() };
        let mut parameters = vec![("user", settings.user.as_str()), ("database", settings.database.as_str())];
        parameters.extend(SESSION);
        if replication {
            parameters.push(("replication", "database"));
        }
        let mut out = BytesMut::new();
        frontend::startup_message(parameters, &mut out).map_err(io)?;
        wire.send(&out).await?;
        wire.authenticate(settings).await?;
        loop {
            let frame = wire.next().await?;
            match frame.tag {
                b'Z' => return Ok(wire),
                b'E' => return Err(failed(&frame.body)),
                b'S' => {
                    let mut parts = frame.body.split(|b| *b == 0).map(|t| String::from_utf8_lossy(t).into_owned());
                    if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                        wire.parameters.insert(name, value);
                    }
                }
                _ => {}
            }
        }
    }

    async fn authenticate(&mut self, settings: &Settings) -> Result<()> {
        let mut scram: Option<ScramSha256> = None;
        loop {
            let mut frame = self.next().await?;
            match frame.tag {
                b'E' => return Err(failed(&frame.body)),
                b'R' if frame.body.len() >= 4 => {}
                _ => return Err(damaged()),
            }
            let wrong = || Error::refused("PostgreSQL does not prove that it knows the password");
            let mut out = BytesMut::new();
            match (frame.body.get_i32(), &mut scram) {
                (0, _) => return Ok(()),
                (3, _) => frontend::password_message(settings.password.as_bytes(), &mut out).map_err(io)?,
                (5, _) => {
                    let salt: [u8; 4] = frame.body.as_ref().try_into().map_err(|_| damaged())?;
                    let hash = md5_hash(settings.user.as_bytes(), settings.password.as_bytes(), salt);
                    frontend::password_message(hash.as_bytes(), &mut out).map_err(io)?;
                }
                (10, _) => {
                    if !frame.body.split(|b| *b == 0).any(|m| m == SCRAM_SHA_256.as_bytes()) {
                        return Err(Error::refused("PostgreSQL offers no way of authentication that is known here"));
                    }
                    let new = ScramSha256::new(settings.password.as_bytes(), ChannelBinding::unsupported());
                    frontend::sasl_initial_response(SCRAM_SHA_256, new.message(), &mut out).map_err(io)?;
                    scram = Some(new);
                }
                (11, Some(scram)) => {
                    scram.update(&frame.body).map_err(|_| wrong())?;
                    frontend::sasl_response(scram.message(), &mut out).map_err(io)?;
                }
                (12, Some(scram)) => scram.finish(&frame.body).map_err(|_| wrong())?,
                _ => {
                    return Err(Error::refused("PostgreSQL asks for a way of authentication that is not known here")
                        .with_hint("known are scram-sha-256, md5 and password in pg_hba.conf"));
                }
            }
            self.send(&out).await?;
        }
    }

    /// 15 for a server 15.4; zero when it does not say.
    pub fn server_version(&self) -> u32 {
        let text = self.parameters.get("server_version").map_or("", String::as_str);
        text.split(|c: char| !c.is_ascii_digit()).next().and_then(|t| t.parse().ok()).unwrap_or(0)
    }

    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.stream.write_all(bytes).await.map_err(io)?;
        self.stream.flush().await.map_err(io)
    }

    /// A message that has arrived already.
    pub fn buffered(&mut self) -> Result<Option<Frame>> {
        let Some(head) = self.input.get(..5) else { return Ok(None) };
        let length = i32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let length = usize::try_from(length).ok().filter(|l| *l >= 4).ok_or_else(damaged)?;
        if self.input.len() < length + 1 {
            return Ok(None);
        }
        let tag = head[0];
        let mut body = self.input.split_to(length + 1).freeze();
        body.advance(5);
        Ok(Some(Frame { tag, body }))
    }

    /// The next message. Cancel-safe. Notices are passed over.
    pub async fn next(&mut self) -> Result<Frame> {
        loop {
            while let Some(frame) = self.buffered()? {
                if frame.tag != b'N' {
                    return Ok(frame);
                }
            }
            if self.input.capacity() - self.input.len() < READ_BYTES / 4 {
                self.input.reserve(READ_BYTES);
            }
            if self.stream.read_buf(&mut self.input).await.map_err(io)? == 0 {
                return Err(Error::unavailable("PostgreSQL has closed the connection"));
            }
        }
    }

    /// Sends a query without waiting for its answer.
    pub async fn start_query(&mut self, sql: &str) -> Result<()> {
        let mut out = BytesMut::new();
        frontend::query(sql, &mut out).map_err(io)?;
        self.send(&out).await
    }

    /// The rows of a query's answer (of all its statements).
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Row>> {
        let answer = async {
            self.start_query(sql).await?;
            let mut rows = Vec::new();
            let mut error = None;
            loop {
                let frame = self.next().await?;
                match frame.tag {
                    b'D' => rows.push(
                        data_row(&frame.body)
                            .map(|field| match field {
                                Field::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
                                _ => None,
                            })
                            .collect(),
                    ),
                    b'E' => error = Some(failed(&frame.body)),
                    b'Z' => return error.map_or(Ok(rows), Err),
                    _ => {}
                }
            }
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(result) => result,
            Err(_) => Err(Error::unavailable(format!("PostgreSQL did not answer a query within {ANSWER_TIMEOUT:?}"))),
        }
    }

    /// Begins the two-way copy of a slot's changes from a position on.
    pub async fn start_replication(&mut self, settings: &Settings, from: u64) -> Result<()> {
        let sql = format!(
            "START_REPLICATION SLOT {} LOGICAL {} (proto_version '1', publication_names {})",
            quoted(&settings.slot),
            lsn_text(from),
            literal(&quoted(&settings.publication)),
        );
        self.start_query(&sql).await?;
        let mut error = None;
        loop {
            let frame = tokio::time::timeout(ANSWER_TIMEOUT, self.next())
                .await
                .map_err(|_| Error::unavailable("PostgreSQL did not begin to send changes"))??;
            match frame.tag {
                b'W' => return Ok(()),
                b'E' => error = Some(failed(&frame.body)),
                b'Z' => return Err(error.unwrap_or_else(damaged)),
                _ => {}
            }
        }
    }
}

/// Asks for TLS as the options say.
async fn secured(mut tcp: TcpStream, settings: &Settings) -> Result<Box<dyn Duplex>> {
    if settings.tls == TlsMode::Disable {
        return Ok(Box::new(tcp));
    }
    let mut out = BytesMut::new();
    frontend::ssl_request(&mut out);
    tcp.write_all(&out).await.map_err(io)?;
    if tcp.read_u8().await.map_err(io)? != b'S' {
        if settings.tls == TlsMode::Prefer {
            return Ok(Box::new(tcp));
        }
        return Err(Error::refused("the server does not offer TLS, and sslmode asks for it")
            .with_hint("set ssl = on in postgresql.conf, or jdbc.properties.sslmode: disable"));
    }
    let name = rustls::pki_types::ServerName::try_from(settings.host.clone())
        .map_err(|_| Error::user(format!("'{}' is not the name of a host", settings.host)))?;
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls::client(settings)?));
    let stream = connector.connect(name, tcp).await.map_err(|e| {
        if e.kind() == std::io::ErrorKind::InvalidData {
            Error::refused("TLS to the server failed").with_source(e)
        } else {
            io(e)
        }
    })?;
    Ok(Box::new(stream))
}

/// The values of a DataRow message.
pub(super) fn data_row(body: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let (count, mut rest) = match body.split_at_checked(2) {
        Some((count, rest)) => (u16::from_be_bytes([count[0], count[1]]), rest),
        None => (0, body),
    };
    (0..count).map_while(move |_| {
        let (length, after) = rest.split_at_checked(4)?;
        let length = i32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        rest = after;
        let Ok(length) = usize::try_from(length) else { return Some(Field::Null) };
        let (text, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(Field::Text(text))
    })
}

/// A status message of a reader: everything up to `flushed` may be forgotten.
pub(super) fn standby_status(received: u64, flushed: u64, now_micros: i64, reply: bool) -> Bytes {
    let mut out = BytesMut::with_capacity(39);
    out.put_u8(b'd');
    out.put_i32(38);
    out.put_u8(b'r');
    out.put_u64(received);
    out.put_u64(flushed);
    out.put_u64(flushed);
    out.put_i64(now_micros);
    out.put_u8(u8::from(reply));
    out.freeze()
}

/// `16/B374D848`.
pub(super) fn lsn_text(lsn: u64) -> String {
    format!("{:X}/{:X}", lsn >> 32, lsn & 0xffff_ffff)
}

pub(super) fn parse_lsn(text: &str) -> Result<u64> {
    let parse = || {
        let (high, low) = text.split_once('/')?;
        Some(u64::from(u32::from_str_radix(high, 16).ok()?) << 32 | u64::from(u32::from_str_radix(low, 16).ok()?))
    };
    parse().ok_or_else(damaged)
}

/// Quotes a name for a statement.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a text for a statement.
pub(super) fn literal(text: &str) -> String {
    if text.contains('\\') {
        format!(" E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

fn io(error: std::io::Error) -> Error {
    Error::unavailable("the connection to PostgreSQL failed").with_source(error)
}

/// The server's error as ours: who has to act, and the fix where one is known.
pub(super) fn failed(body: &[u8]) -> Error {
    let (mut code, mut message) = (String::new(), String::new());
    for field in body.split(|b| *b == 0).filter(|f| !f.is_empty()) {
        let text = String::from_utf8_lossy(&field[1..]).into_owned();
        match field[0] {
            b'C' => code = text,
            b'M' => message = text,
            _ => {}
        }
    }
    let hint = match code.as_str() {
        "28P01" | "28000" => Some("check username and password, and that pg_hba.conf lets the user in"),
        "3D000" => Some("the database is the first part of the patterns in `tables`"),
        "42501" => Some(
            "the user needs the attribute REPLICATION (ALTER ROLE … REPLICATION) and SELECT on the captured tables; to \
             create a publication it must own them",
        ),
        "55006" => Some("another reader uses the slot: give each job a slot of its own"),
        "53400" => Some("raise max_replication_slots on the server, or drop a slot that is no longer used"),
        "53300" if message.contains("max_wal_senders") => Some("raise max_wal_senders on the server"),
        _ => None,
    };
    let kind = match code.get(..2).unwrap_or_default() {
        "08" | "57" | "40" | "58" | "XX" => ErrorKind::Unavailable,
        "53" if code != "53400" => ErrorKind::Unavailable,
        _ if code == "55006" || code == "55P03" => ErrorKind::Unavailable,
        _ => ErrorKind::Refused,
    };
    let error = Error::new(kind, format!("PostgreSQL says: {message} (SQLSTATE {code})"));
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_they_are_written() {
        assert_eq!(parse_lsn("16/B374D848").unwrap(), 0x16_B374_D848);
        assert_eq!(lsn_text(0x16_B374_D848), "16/B374D848");
        assert!(parse_lsn("16").is_err());
    }

    #[test]
    fn rows_that_are_cut_off_end_early() {
        let body = [0, 2, 0, 0, 0, 1, b'a', 255, 255, 255, 255];
        assert_eq!(data_row(&body).collect::<Vec<_>>(), [Field::Text(b"a"), Field::Null]);
        for end in 0..body.len() {
            assert!(data_row(&body[..end]).count() < 2);
        }
    }
}
