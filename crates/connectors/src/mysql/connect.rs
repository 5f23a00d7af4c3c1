//! Connections to the server, and errors in our words.

use std::path::PathBuf;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Row, SslOpts};
use starweir_model::{Error, ErrorKind, Result};

use super::options::{Settings, TlsMode};

/// A server that does not answer a query within this time is not coming back.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A new connection, its session set up for reading: UTC, UTF-8, no surprises of the server's mode.
pub(super) async fn connect(settings: &Settings) -> Result<Conn> {
    let tls = match settings.tls {
        TlsMode::Disabled => None,
        mode => {
            let mut tls = SslOpts::default();
            if let Some(roots) = &settings.tls_roots {
                tls = tls.with_root_certs(vec![PathBuf::from(roots).into()]);
            }
            tls = tls
                .with_danger_accept_invalid_certs(mode == TlsMode::Required)
                .with_danger_skip_domain_validation(mode != TlsMode::VerifyIdentity);
            Some(tls)
        }
    };
    let options = OptsBuilder::default()
        .ip_or_hostname(settings.host.clone())
        .tcp_port(settings.port)
        .user(Some(settings.user.clone()))
        .pass(Some(settings.password.clone()))
        .prefer_socket(false)
        .stmt_cache_size(0)
        .tcp_keepalive(Some(Duration::from_secs(60)))
        .max_allowed_packet(Some(1 << 30))
        .wait_timeout(Some(28_800))
        .ssl_opts(tls);
    let to = format!("connect to MySQL at {}:{}", settings.host, settings.port);
    let mut attempt = 0;
    let mut conn = loop {
        let connecting = tokio::time::timeout(settings.connect_timeout, Conn::new(options.clone())).await;
        let error = match connecting {
            Ok(Ok(conn)) => break conn,
            Ok(Err(error)) => failed(error),
            Err(_) => Error::unavailable(format!("no answer within {:?}", settings.connect_timeout)),
        };
        attempt += 1;
        if error.kind != ErrorKind::Unavailable || attempt > settings.connect_retries {
            return Err(error.context(to));
        }
        tokio::time::sleep(Duration::from_millis(200 * u64::from(attempt))).await;
    };
    let setup = "SET SESSION time_zone = '+00:00', sql_mode = '', net_write_timeout = 600, net_read_timeout = 600, \
         SESSION TRANSACTION_ISOLATION = 'REPEATABLE-READ'";
    let older = "SET SESSION time_zone = '+00:00', sql_mode = '', net_write_timeout = 600, net_read_timeout = 600, \
         tx_isolation = 'REPEATABLE-READ'";
    if conn.query_drop(setup).await.is_err() {
        conn.query_drop(older).await.map_err(|e| failed(e).context(to))?;
    }
    Ok(conn)
}

/// Rows of a query.
pub(super) async fn rows(conn: &mut Conn, sql: &str) -> Result<Vec<Row>> {
    match tokio::time::timeout(ANSWER_TIMEOUT, conn.query(sql)).await {
        Ok(result) => result.map_err(failed),
        Err(_) => Err(Error::unavailable(format!("MySQL did not answer a query within {ANSWER_TIMEOUT:?}"))),
    }
}

/// Text of a column; empty for NULL.
pub(super) fn text(row: &Row, column: usize) -> String {
    optional_text(row, column).unwrap_or_default()
}

pub(super) fn optional_text(row: &Row, column: usize) -> Option<String> {
    match row.as_ref(column)? {
        mysql_async::Value::NULL => None,
        mysql_async::Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        mysql_async::Value::Int(n) => Some(n.to_string()),
        mysql_async::Value::UInt(n) => Some(n.to_string()),
        mysql_async::Value::Float(n) => Some(n.to_string()),
        mysql_async::Value::Double(n) => Some(n.to_string()),
        _ => None,
    }
}

/// The client's error as ours: who has to act, and the fix where one is known.
pub(super) fn failed(error: mysql_async::Error) -> Error {
    let mysql_async::Error::Server(server) = &error else {
        let kind = match &error {
            mysql_async::Error::Io(_) | mysql_async::Error::Driver(_) => ErrorKind::Unavailable,
            _ => ErrorKind::Refused,
        };
        return Error::new(kind, "the connection to MySQL failed").with_source(error);
    };
    let hint = match server.code {
        1044 | 1045 => Some("check username and password, and that the user may connect from this host"),
        1142 | 1143 => Some("GRANT SELECT on the captured tables to the user"),
        1227 => Some("GRANT REPLICATION CLIENT, REPLICATION SLAVE ON *.* to the user"),
        1236 if server.message.contains("purged") || server.message.contains("Could not find first log file") => Some(
            "the server has deleted this part of its binary log: start again with a snapshot, and raise binlog_expire_logs_seconds",
        ),
        1236 if server.message.contains("server_uuid/server_id") || server.message.contains("same server") => {
            Some("another reader uses the same server-id: give each its own range")
        }
        1236 => None,
        _ => None,
    };
    let kind = match server.code {
        // Too many connections, shutting down, lock wait, deadlock, killed, gone.
        1040 | 1053 | 1203 | 1205 | 1213 | 1317 | 1927 | 2006 | 2013 | 3024 => ErrorKind::Unavailable,
        1236 if hint.is_none() => ErrorKind::Unavailable,
        _ => ErrorKind::Refused,
    };
    let message = format!("MySQL says: {} (error {})", server.message, server.code);
    let ours = Error::new(kind, message);
    match hint {
        Some(hint) => ours.with_hint(hint),
        None => ours,
    }
}
