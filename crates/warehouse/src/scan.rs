//! Reading by connectors: `_query_plan` of the FE and the thrift scan service of the BE. The plan is
//! a token of our own, opaque to clients: the query and the database, base64.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use arrow::ipc::writer::StreamWriter;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::StatusCode;
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::core::Core;
use crate::http::server::{Answer, answer, read_body};
use crate::sql::parser;
use crate::sql::planner::QueryResult;
use crate::sql::session::{Outcome, Session};
use crate::sql::statement::Statement;
use crate::types::SqlType;
use crate::users::{Identity, needs};
use crate::value::cast_array;

fn failed(status: u16, message: impl Into<String>) -> Answer {
    let message: String = message.into();
    answer(
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        "application/json",
        json!({"status": status, "exception": message}).to_string(),
    )
}

/// `POST /api/{db}/{table}/_query_plan`.
pub async fn query_plan(core: &Arc<Core>, identity: Identity, db: &str, table: &str, body: Incoming) -> Answer {
    let bytes = match read_body(core, body, 16 << 20).await {
        Ok(b) => b,
        Err(e) => return failed(400, e),
    };
    let sql = match serde_json::from_slice::<Json>(&bytes) {
        Ok(v) => match v.get("sql").and_then(Json::as_str) {
            Some(s) => s.to_string(),
            None => return failed(400, "POST body must contains [sql] root object"),
        },
        Err(_) => return failed(400, "malformed json"),
    };
    let Some(found) = core.store.table(db, table) else {
        return failed(404, format!("Table [{table}] does not exists"));
    };
    if found.def().is_view() {
        return failed(403, "Only support OlapTable, CloudNativeTable and MaterializedView currently");
    }
    let query = match parser::parse_query(&sql) {
        Ok(q) => q,
        Err(e) => return failed(500, format!("Invalid SQL: {}", e.message)),
    };
    let mut session = Session::new(core.clone());
    session.act_for(identity);
    session.database = Some(db.to_string());
    if let Err(e) = needs::check(&session, &Statement::Query(query.clone())) {
        return failed(403, e.message);
    }
    let simple = match query.body.as_ref() {
        sqlparser::ast::SetExpr::Select(s) => {
            s.from.len() == 1
                && s.from[0].joins.is_empty()
                && matches!(s.from[0].relation, sqlparser::ast::TableFactor::Table { .. })
                && s.having.is_none()
                && matches!(&s.group_by, sqlparser::ast::GroupByExpr::Expressions(e, _) if e.is_empty())
                && query.order_by.is_none()
                && query.limit_clause.is_none()
        }
        _ => false,
    };
    if !simple {
        return failed(400, format!("only support single table filter-prune-scan, but found [ {sql}]"));
    }
    let Some(addresses) = *core.addresses.read() else { return failed(500, "starting") };
    let version = found.version();
    let seal = seal(core, db, &sql);
    let token = BASE64
        .encode(json!({"db": db, "table": table, "sql": sql, "version": version.version, "seal": seal}).to_string());
    let mut partitions = serde_json::Map::new();
    partitions.insert(
        found.id.to_string(),
        json!({"routings": [addresses.thrift.to_string()], "version": version.version, "schemaHash": 0}),
    );
    answer(
        StatusCode::OK,
        "application/json",
        json!({"status": 200, "partitions": partitions, "opaqued_query_plan": token}).to_string(),
    )
}

/// Shows that a plan was given out by this warehouse: the scan service asks for no password, so nobody may write a
/// plan of their own.
fn seal(core: &Core, db: &str, sql: &str) -> String {
    let keyed = |text: &[u8]| Sha256::new().chain_update(core.scan_key).chain_update(text).finalize();
    let text = [db.as_bytes(), &[0], sql.as_bytes()].concat();
    // Twice, so that a longer text cannot be sealed by going on from a shorter one's seal.
    hex::encode(keyed(&keyed(&text)))
}

/// The Arrow form of the scan service: dates, times, LARGEINT and JSON are text.
fn wire_batch(result: &QueryResult, batch: &RecordBatch) -> Result<RecordBatch, String> {
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for ((name, t), array) in result.names.iter().zip(&result.types).zip(batch.columns()) {
        let array = match t {
            SqlType::Date | SqlType::DateTime | SqlType::LargeInt => {
                cast_array(array, t, &SqlType::STRING, false).map_err(|e| e.message)?
            }
            SqlType::Null => cast_array(array, t, &SqlType::Boolean, false).map_err(|e| e.message)?,
            SqlType::Varbinary | SqlType::Bitmap | SqlType::Hll | SqlType::Percentile => {
                return Err(format!("Unknown logical type of column {name}"));
            }
            _ => array.clone(),
        };
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|e| e.to_string())
}

struct Scan {
    result: QueryResult,
    /// (batch, row) of the next row.
    batch: usize,
    row: usize,
    sent: i64,
    rows_at_once: usize,
    touched_ms: i64,
    keep_ms: i64,
}

type Scans = Arc<Mutex<HashMap<String, Scan>>>;

/// Scans open at once.
const SCANS_MAX: usize = 1024;

pub async fn serve(listener: TcpListener, core: Arc<Core>, stop: CancellationToken) {
    let scans: Scans = Arc::default();
    let tasks = tokio_util::task::TaskTracker::new();
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let (core, scans, stop) = (core.clone(), scans.clone(), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                end = connection(stream, core, scans) => if let Err(e) = end {
                    tracing::debug!(error = %e, "a scan connection ended");
                },
            }
        });
    }
    tasks.close();
    let _ = tokio::time::timeout(std::time::Duration::from_secs(2), tasks.wait()).await;
}

/// A thrift value, as far as this service reads any.
#[derive(Debug, Clone)]
enum Thrift {
    Int(i64),
    Text(Vec<u8>),
    List(Vec<Thrift>),
    Struct(HashMap<i16, Thrift>),
    Other,
}

/// Longest text and list of a request.
const TEXT_MAX: usize = 16 << 20;

async fn read_value<R: AsyncReadExt + Unpin>(r: &mut R, kind: u8, depth: usize) -> std::io::Result<Thrift> {
    let wrong = || std::io::Error::other("a thrift value that this service does not read");
    if depth > 16 {
        return Err(wrong());
    }
    Ok(match kind {
        2 | 3 => Thrift::Int(i64::from(r.read_i8().await?)),
        4 => {
            r.read_f64().await?;
            Thrift::Other
        }
        6 => Thrift::Int(i64::from(r.read_i16().await?)),
        8 => Thrift::Int(i64::from(r.read_i32().await?)),
        10 => Thrift::Int(r.read_i64().await?),
        11 => {
            let n = usize::try_from(r.read_i32().await?).map_err(|_| wrong())?;
            if n > TEXT_MAX {
                return Err(wrong());
            }
            let mut b = vec![0; n];
            r.read_exact(&mut b).await?;
            Thrift::Text(b)
        }
        12 => {
            let mut fields = HashMap::new();
            loop {
                let kind = r.read_u8().await?;
                if kind == 0 {
                    break;
                }
                let id = r.read_i16().await?;
                let v = Box::pin(read_value(r, kind, depth + 1)).await?;
                fields.insert(id, v);
            }
            Thrift::Struct(fields)
        }
        13 => {
            let (k, v) = (r.read_u8().await?, r.read_u8().await?);
            let n = r.read_i32().await?;
            for _ in 0..n.clamp(0, 100_000) {
                Box::pin(read_value(r, k, depth + 1)).await?;
                Box::pin(read_value(r, v, depth + 1)).await?;
            }
            Thrift::Other
        }
        14 | 15 => {
            let kind = r.read_u8().await?;
            let n = r.read_i32().await?;
            if !(0..=1_000_000).contains(&n) {
                return Err(wrong());
            }
            let mut items = Vec::new();
            for _ in 0..n {
                items.push(Box::pin(read_value(r, kind, depth + 1)).await?);
            }
            Thrift::List(items)
        }
        _ => return Err(wrong()),
    })
}

fn put_field(out: &mut Vec<u8>, kind: u8, id: i16) {
    out.push(kind);
    out.extend_from_slice(&id.to_be_bytes());
}

fn put_text(out: &mut Vec<u8>, t: &[u8]) {
    out.extend_from_slice(&(t.len() as i32).to_be_bytes());
    out.extend_from_slice(t);
}

/// TStatus: 0 is OK; the codes are StarRocks' TStatusCode.
fn put_status(out: &mut Vec<u8>, code: i32, message: &str) {
    put_field(out, 12, 1);
    put_field(out, 8, 1);
    out.extend_from_slice(&code.to_be_bytes());
    if !message.is_empty() {
        put_field(out, 15, 2);
        out.push(11);
        out.extend_from_slice(&1i32.to_be_bytes());
        put_text(out, message.as_bytes());
    }
    out.push(0);
}

const NOT_FOUND: i32 = 31;
const INVALID_ARGUMENT: i32 = 48;
const INTERNAL_ERROR: i32 = 6;

async fn connection(stream: TcpStream, core: Arc<Core>, scans: Scans) -> std::io::Result<()> {
    let _ = stream.set_nodelay(true);
    let (r, mut w) = stream.into_split();
    let mut r = BufReader::new(r);
    loop {
        // Strict binary protocol: version and kind, name, sequence.
        let head = match r.read_i32().await {
            Ok(h) => h,
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(e) => return Err(e),
        };
        let name = if head < 0 {
            let Thrift::Text(name) = read_value(&mut r, 11, 0).await? else { return Ok(()) };
            name
        } else {
            let n = usize::try_from(head).unwrap_or(0);
            if n > 1024 {
                return Err(std::io::Error::other("no thrift message"));
            }
            let mut name = vec![0; n];
            r.read_exact(&mut name).await?;
            r.read_u8().await?;
            name
        };
        let sequence = r.read_i32().await?;
        let Thrift::Struct(args) = read_value(&mut r, 12, 0).await? else { return Ok(()) };
        let params = match args.get(&1) {
            Some(Thrift::Struct(p)) => p.clone(),
            _ => HashMap::new(),
        };
        let mut body = Vec::new();
        match name.as_slice() {
            b"open_scanner" => open(&core, &scans, &params, &mut body).await,
            b"get_next" => next(&core, &scans, &params, &mut body),
            b"close_scanner" => {
                if let Some(Thrift::Text(id)) = params.get(&1) {
                    scans.lock().remove(String::from_utf8_lossy(id).as_ref());
                }
                put_status(&mut body, 0, "");
            }
            _ => put_status(&mut body, INTERNAL_ERROR, "unknown method"),
        }
        let mut out = Vec::with_capacity(body.len() + 64);
        out.extend_from_slice(&(0x8001_0002u32 as i32).to_be_bytes());
        put_text(&mut out, &name);
        out.extend_from_slice(&sequence.to_be_bytes());
        put_field(&mut out, 12, 0);
        out.extend_from_slice(&body);
        out.push(0);
        out.push(0);
        w.write_all(&out).await?;
    }
}

fn text(p: &HashMap<i16, Thrift>, id: i16) -> String {
    match p.get(&id) {
        Some(Thrift::Text(t)) => String::from_utf8_lossy(t).into_owned(),
        _ => String::new(),
    }
}

fn int(p: &HashMap<i16, Thrift>, id: i16) -> Option<i64> {
    match p.get(&id) {
        Some(Thrift::Int(i)) => Some(*i),
        _ => None,
    }
}

/// TPrimitiveType of a selected column.
fn primitive(t: &SqlType) -> i32 {
    match t {
        SqlType::Null => 1,
        SqlType::Boolean => 2,
        SqlType::TinyInt => 3,
        SqlType::SmallInt => 4,
        SqlType::Int => 5,
        SqlType::BigInt => 6,
        SqlType::Float => 7,
        SqlType::Double => 8,
        SqlType::Date => 9,
        SqlType::DateTime => 10,
        SqlType::LargeInt => 14,
        SqlType::Varchar(_) => 15,
        SqlType::Hll => 16,
        SqlType::Char(_) => 13,
        SqlType::Bitmap => 19,
        SqlType::Percentile => 20,
        SqlType::Decimal(p, _) if *p <= 9 => 21,
        SqlType::Decimal(p, _) if *p <= 18 => 22,
        SqlType::Decimal(..) => 23,
        SqlType::Json => 24,
        SqlType::Varbinary => 27,
        SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_) => 0,
    }
}

async fn open(core: &Arc<Core>, scans: &Scans, p: &HashMap<i16, Thrift>, out: &mut Vec<u8>) {
    let size = int(p, 6).unwrap_or(4096);
    if !(1..=65_535).contains(&size) {
        return put_status(out, INVALID_ARGUMENT, "batch_size must be in (0, 65535]");
    }
    let plan = BASE64.decode(text(p, 5)).ok().and_then(|b| serde_json::from_slice::<Json>(&b).ok());
    let Some(plan) = plan else {
        return put_status(out, INVALID_ARGUMENT, "the opaqued_query_plan is not one of this warehouse");
    };
    let field = |k: &str| plan.get(k).and_then(Json::as_str).unwrap_or_default().to_string();
    if field("seal") != seal(core, &field("db"), &field("sql")) {
        return put_status(out, INVALID_ARGUMENT, "the opaqued_query_plan is not one of this warehouse");
    }
    let mut session = Session::new(core.clone());
    session.database = Some(field("db"));
    let tablets = match p.get(&4) {
        Some(Thrift::List(l)) => l.len(),
        _ => 0,
    };
    let sql = if tablets == 0 { format!("{} LIMIT 0", field("sql").trim_end_matches(';')) } else { field("sql") };
    let result = match session.execute(&sql, Vec::new()).await.pop() {
        Some(Ok(Outcome::Rows(r))) => r,
        Some(Err(e)) => return put_status(out, INTERNAL_ERROR, &e.message),
        _ => return put_status(out, INTERNAL_ERROR, "the plan gives no rows"),
    };
    let now = core.store.now_ms();
    let id = uuid::Uuid::new_v4().to_string();
    let columns: Vec<(String, i32)> =
        result.names.iter().zip(&result.types).map(|(n, t)| (n.clone(), primitive(t))).collect();
    {
        let mut scans = scans.lock();
        scans.retain(|_, s| now - s.touched_ms < s.keep_ms);
        if scans.len() >= SCANS_MAX {
            drop(scans);
            return put_status(out, INTERNAL_ERROR, "too many open scans");
        }
        let keep_ms = int(p, 11).unwrap_or(5).clamp(1, 24 * 60) * 60_000;
        scans.insert(
            id.clone(),
            Scan { result, batch: 0, row: 0, sent: 0, rows_at_once: size as usize, touched_ms: now, keep_ms },
        );
    }
    put_status(out, 0, "");
    put_field(out, 11, 2);
    put_text(out, id.as_bytes());
    put_field(out, 15, 3);
    out.push(12);
    out.extend_from_slice(&(columns.len() as i32).to_be_bytes());
    for (name, t) in columns {
        put_field(out, 11, 1);
        put_text(out, name.as_bytes());
        put_field(out, 8, 2);
        out.extend_from_slice(&t.to_be_bytes());
        out.push(0);
    }
}

fn next(core: &Arc<Core>, scans: &Scans, p: &HashMap<i16, Thrift>, out: &mut Vec<u8>) {
    let id = text(p, 1);
    let offset = int(p, 2).unwrap_or(0);
    let mut scans = scans.lock();
    let Some(scan) = scans.get_mut(&id) else {
        return put_status(out, NOT_FOUND, &format!("context_id: {id} not found"));
    };
    scan.touched_ms = core.store.now_ms();
    if offset != scan.sent {
        return put_status(
            out,
            NOT_FOUND,
            &format!("context_id={id}, send_offset={offset}, context_offset={}", scan.sent),
        );
    }
    while scan.batch < scan.result.batches.len() && scan.row >= scan.result.batches[scan.batch].num_rows() {
        scan.batch += 1;
        scan.row = 0;
    }
    if scan.batch >= scan.result.batches.len() {
        put_status(out, 0, "");
        put_field(out, 2, 2);
        out.push(1);
        return;
    }
    let source = &scan.result.batches[scan.batch];
    let n = scan.rows_at_once.min(source.num_rows() - scan.row);
    let bytes = wire_batch(&scan.result, &source.slice(scan.row, n)).and_then(|batch| {
        let mut bytes = Vec::new();
        let mut writer = StreamWriter::try_new(&mut bytes, batch.schema_ref()).map_err(|e| e.to_string())?;
        writer.write(&batch).map_err(|e| e.to_string())?;
        writer.finish().map_err(|e| e.to_string())?;
        drop(writer);
        Ok(bytes)
    });
    match bytes {
        Ok(bytes) => {
            scan.row += n;
            scan.sent += n as i64;
            put_status(out, 0, "");
            put_field(out, 2, 2);
            out.push(0);
            put_field(out, 11, 3);
            put_text(out, &bytes);
        }
        Err(m) => put_status(out, INTERNAL_ERROR, &m),
    }
}
