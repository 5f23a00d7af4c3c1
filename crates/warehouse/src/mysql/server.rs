//! Connections: a login, then commands until the client goes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlparser::tokenizer::Token;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::packet::{Packets, Reader, put_lenenc};
use super::{login, result};
use crate::core::Core;
use crate::error::{SqlError, SqlResult};
use crate::sql::lexer;
use crate::sql::session::{Outcome, Session};
use crate::types::SqlType;
use crate::value::Value;

/// `max_allowed_packet`.
pub const PACKET_MAX: usize = 64 << 20;
/// Open connections at once.
const CONNECTIONS: usize = 1024;
/// How long a login may take.
const LOGIN_LIMIT: Duration = Duration::from_secs(30);

/// Accepts connections until `stop`.
pub async fn serve(listener: TcpListener, core: Arc<Core>, stop: CancellationToken) {
    let slots = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
    let tasks = tokio_util::task::TaskTracker::new();
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(e) => {
                    tracing::warn!(error = %e, "cannot accept a MySQL connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else { continue };
        let (core, stop) = (core.clone(), stop.clone());
        tasks.spawn(async move {
            let _slot = slot;
            let _ = stream.set_nodelay(true);
            tokio::select! {
                () = stop.cancelled() => {}
                end = connection(stream, core) => if let Err(e) = end {
                    tracing::debug!(error = %e, "a MySQL connection ended");
                },
            }
        });
    }
    tasks.close();
    let _ = tokio::time::timeout(Duration::from_secs(5), tasks.wait()).await;
}

struct Prepared {
    sql: String,
    params: usize,
    types: Vec<(u8, bool)>,
    long_data: HashMap<u16, Vec<u8>>,
}

async fn connection(stream: TcpStream, core: Arc<Core>) -> std::io::Result<()> {
    let mut session = Session::new(core.clone());
    let login = tokio::time::timeout(LOGIN_LIMIT, login::log_in(stream, &core, &mut session)).await;
    let Some((mut packets, mut greeted)) = login.map_err(std::io::Error::other)?? else { return Ok(()) };
    let mut prepared: HashMap<u32, Prepared> = HashMap::new();
    let mut next_statement = 1u32;
    while let Some(body) = packets.read().await? {
        let Some((&command, rest)) = body.split_first() else { continue };
        let state = |s: &Session| result::status(false, s.transaction.is_some());
        match command {
            0x01 => return Ok(()),
            // COM_INIT_DB
            0x02 => {
                let answer = session.use_database(&String::from_utf8_lossy(rest));
                send_plain(&mut packets, answer, state(&session)).await?;
            }
            // COM_QUERY
            0x03 => {
                let sql = String::from_utf8_lossy(rest).into_owned();
                let outcomes = session.execute(&sql, Vec::new()).await;
                send_all(&mut packets, outcomes, session.transaction.is_some(), false).await?;
            }
            // COM_FIELD_LIST
            0x04 => {
                let name = rest.split(|b| *b == 0).next().unwrap_or_default();
                match session.table(&[String::from_utf8_lossy(name).into_owned()]) {
                    Ok(table) => {
                        for c in &table.def().columns {
                            let mut body = result::column(&c.name, &c.sql_type);
                            body.push(0xfb);
                            packets.write(&body).await?;
                        }
                        packets.write(&result::eof(state(&session))).await?;
                    }
                    Err(e) => packets.write(&result::error(e.code, &e.message)).await?,
                }
            }
            // COM_STATISTICS
            0x09 => packets.write(b"Uptime: 1  Threads: 1").await?,
            // COM_PING, COM_DEBUG, COM_PROCESS_KILL
            0x0c..=0x0e => packets.write(&result::ok(0, "", state(&session))).await?,
            // COM_CHANGE_USER
            0x11 => {
                let accepted = login::change_user(&mut packets, &core, &mut session, &mut greeted, rest).await?;
                prepared.clear();
                if !accepted {
                    return Ok(());
                }
            }
            // COM_STMT_PREPARE
            0x16 => {
                let sql = String::from_utf8_lossy(rest).into_owned();
                match count_params(&sql) {
                    Ok(params) => {
                        let id = next_statement;
                        next_statement = next_statement.wrapping_add(1);
                        let mut body = vec![0];
                        body.extend_from_slice(&id.to_le_bytes());
                        body.extend_from_slice(&0u16.to_le_bytes());
                        body.extend_from_slice(&(params as u16).to_le_bytes());
                        body.extend_from_slice(&[0, 0, 0]);
                        packets.write(&body).await?;
                        for _ in 0..params {
                            packets.write(&result::column("?", &SqlType::STRING)).await?;
                        }
                        if params > 0 {
                            packets.write(&result::eof(state(&session))).await?;
                        }
                        if prepared.len() > 10_000 {
                            prepared.clear();
                        }
                        prepared.insert(id, Prepared { sql, params, types: Vec::new(), long_data: HashMap::new() });
                    }
                    Err(e) => packets.write(&result::error(e.code, &e.message)).await?,
                }
            }
            // COM_STMT_EXECUTE
            0x17 => {
                let mut r = Reader::new(rest);
                let id = r.uint(4).unwrap_or(0) as u32;
                let answer = match prepared.get_mut(&id) {
                    None => Err(SqlError::new(1243, "Unknown prepared statement handler given to EXECUTE")),
                    Some(p) => read_params(p, &mut r)
                        .ok_or_else(|| SqlError::new(1210, "Incorrect arguments to EXECUTE"))
                        .map(|values| (p.sql.clone(), values)),
                };
                match answer {
                    Ok((sql, values)) => {
                        let outcomes = session.execute(&sql, values).await;
                        send_all(&mut packets, outcomes, session.transaction.is_some(), true).await?;
                    }
                    Err(e) => packets.write(&result::error(e.code, &e.message)).await?,
                }
            }
            // COM_STMT_SEND_LONG_DATA has no answer.
            0x18 => {
                let mut r = Reader::new(rest);
                if let (Some(id), Some(n)) = (r.uint(4), r.uint(2))
                    && let Some(p) = prepared.get_mut(&(id as u32))
                {
                    let data = p.long_data.entry(n as u16).or_default();
                    if data.len() + r.data.len() <= PACKET_MAX {
                        data.extend_from_slice(r.data);
                    }
                }
                continue;
            }
            // COM_STMT_CLOSE has no answer.
            0x19 => {
                if let Some(id) = Reader::new(rest).uint(4) {
                    prepared.remove(&(id as u32));
                }
                continue;
            }
            // COM_STMT_RESET
            0x1a => {
                if let Some(p) = Reader::new(rest).uint(4).and_then(|id| prepared.get_mut(&(id as u32))) {
                    p.long_data.clear();
                }
                packets.write(&result::ok(0, "", state(&session))).await?;
            }
            // COM_SET_OPTION
            0x1b => packets.write(&result::eof(state(&session))).await?,
            // COM_RESET_CONNECTION
            0x1f => {
                let answer = session.reset();
                prepared.clear();
                send_plain(&mut packets, answer, state(&session)).await?;
            }
            other => packets.write(&result::error(1047, &format!("Unknown command {other}"))).await?,
        }
        packets.flush().await?;
    }
    Ok(())
}

async fn send_plain(packets: &mut Packets, answer: SqlResult<()>, status: u16) -> std::io::Result<()> {
    match answer {
        Ok(()) => packets.write(&result::ok(0, "", status)).await,
        Err(e) => packets.write(&result::error(e.code, &e.message)).await,
    }
}

fn count_params(sql: &str) -> SqlResult<usize> {
    Ok(lexer::statements(sql)?
        .iter()
        .flat_map(|(_, t)| t)
        .filter(|t| matches!(&t.token, Token::Placeholder(p) if p == "?"))
        .count())
}

fn read_params(p: &mut Prepared, r: &mut Reader<'_>) -> Option<Vec<Value>> {
    r.bytes(5)?;
    if p.params == 0 {
        return Some(Vec::new());
    }
    let nulls = r.bytes(p.params.div_ceil(8))?.to_vec();
    if r.u8()? == 1 {
        p.types = (0..p.params).map(|_| Some((r.u8()?, r.u8()? & 0x80 != 0))).collect::<Option<_>>()?;
    }
    if p.types.len() != p.params {
        return None;
    }
    let long = std::mem::take(&mut p.long_data);
    let mut out = Vec::with_capacity(p.params);
    for (i, (kind, unsigned)) in p.types.iter().enumerate() {
        if let Some(data) = long.get(&(i as u16)) {
            out.push(Value::Text(String::from_utf8_lossy(data).into_owned()));
            continue;
        }
        if nulls[i / 8] >> (i % 8) & 1 == 1 {
            out.push(Value::Null);
            continue;
        }
        let int = |v: u64, bits: u32| {
            if *unsigned { i128::from(v) } else { i128::from(((v << (64 - bits)) as i64) >> (64 - bits)) }
        };
        out.push(match kind {
            6 => Value::Null,
            1 => Value::Int(int(r.uint(1)?, 8)),
            2 | 13 => Value::Int(int(r.uint(2)?, 16)),
            3 | 9 => Value::Int(int(r.uint(4)?, 32)),
            8 => Value::Int(int(r.uint(8)?, 64)),
            4 => Value::Float(f32::from_bits(r.uint(4)? as u32)),
            5 => Value::Double(f64::from_bits(r.uint(8)?)),
            7 | 10 | 12 => {
                let n = r.u8()?;
                let mut d = Reader::new(r.bytes(usize::from(n))?);
                let (y, m, day) = (d.uint(2).unwrap_or(0), d.u8().unwrap_or(1), d.u8().unwrap_or(1));
                let days = crate::time::date(y as i32, u32::from(m), u32::from(day)).unwrap_or(0);
                let (h, mi, s) = (d.u8().unwrap_or(0), d.u8().unwrap_or(0), d.u8().unwrap_or(0));
                let us = d.uint(4).unwrap_or(0) as i64;
                let t = i64::from(days) * crate::time::DAY_US
                    + (i64::from(h) * 3600 + i64::from(mi) * 60 + i64::from(s)) * 1_000_000
                    + us;
                if *kind == 10 { Value::Date(days) } else { Value::DateTime(t) }
            }
            11 => {
                let n = r.u8()?;
                let mut d = Reader::new(r.bytes(usize::from(n))?);
                let negative = d.u8().unwrap_or(0) == 1;
                let days = d.uint(4).unwrap_or(0);
                let (h, m, s) = (d.u8().unwrap_or(0), d.u8().unwrap_or(0), d.u8().unwrap_or(0));
                Value::Text(format!("{}{:02}:{m:02}:{s:02}", if negative { "-" } else { "" }, days * 24 + u64::from(h)))
            }
            _ => {
                let bytes = r.lenenc_bytes()?;
                match std::str::from_utf8(bytes) {
                    Ok(t) => Value::Text(t.to_string()),
                    Err(_) => Value::Bytes(bytes.to_vec()),
                }
            }
        });
    }
    Some(out)
}

async fn send_all(
    packets: &mut Packets,
    outcomes: Vec<SqlResult<Outcome>>,
    in_transaction: bool,
    binary: bool,
) -> std::io::Result<()> {
    let last = outcomes.len().saturating_sub(1);
    for (i, outcome) in outcomes.into_iter().enumerate() {
        let status = result::status(i < last, in_transaction);
        match outcome {
            Err(e) => packets.write(&result::error(e.code, &e.message)).await?,
            Ok(Outcome::Done { affected, info }) => packets.write(&result::ok(affected, &info, status)).await?,
            Ok(Outcome::Rows(rows)) => {
                let mut head = Vec::new();
                put_lenenc(&mut head, rows.types.len() as u64);
                packets.write(&head).await?;
                for (name, t) in rows.names.iter().zip(&rows.types) {
                    packets.write(&result::column(name, t)).await?;
                }
                packets.write(&result::eof(status)).await?;
                // Encoded batch by batch, so that a large result is in memory once.
                for batch in &rows.batches {
                    let one = crate::sql::planner::QueryResult {
                        names: Vec::new(),
                        types: rows.types.clone(),
                        batches: vec![batch.clone()],
                    };
                    let mut bodies = Vec::with_capacity(batch.num_rows());
                    if binary {
                        result::binary_rows(&one, |b| bodies.push(b));
                    } else {
                        result::text_rows(&one, |b| bodies.push(b));
                    }
                    for body in bodies {
                        packets.write(&body).await?;
                    }
                }
                packets.write(&result::eof(status)).await?;
            }
        }
    }
    packets.flush().await
}

/// A prepared statement's text with its parameters in place.
pub fn with_params(sql: &str, params: &[Value]) -> SqlResult<String> {
    if params.is_empty() {
        return Ok(sql.to_string());
    }
    let mut out = String::with_capacity(sql.len() + 16 * params.len());
    let mut values = params.iter();
    for (text, tokens) in lexer::statements(sql)? {
        let mut at = 0;
        for t in &tokens {
            if matches!(&t.token, Token::Placeholder(p) if p == "?") {
                out.push_str(&text[at..t.start]);
                let v = values.next().ok_or_else(|| SqlError::new(1210, "Incorrect arguments to EXECUTE"))?;
                out.push_str(&literal_text(v));
                at = t.start + 1;
            }
        }
        out.push_str(&text[at..]);
        out.push(';');
    }
    Ok(out)
}

fn literal_text(v: &Value) -> String {
    match v {
        Value::Null => "NULL".into(),
        Value::Bool(_) | Value::Int(_) | Value::Decimal(..) => v.as_text().unwrap_or_default(),
        Value::Float(f) => format!("{f:e}"),
        Value::Double(f) => format!("{f:e}"),
        Value::Bytes(b) => format!("x'{}'", hex::encode(b)),
        other => {
            let t = other.as_text().unwrap_or_default();
            format!("'{}'", t.replace('\\', "\\\\").replace('\'', "\\'"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_put_in_place_and_cannot_break_out() {
        let sql = with_params("select ?, 'a?', ?", &[Value::int(1), Value::text("x' or '1'='1\\")]).unwrap();
        assert_eq!(sql, r"select 1, 'a?', 'x\' or \'1\'=\'1\\';");
    }
}
