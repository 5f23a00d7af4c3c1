//! Results as packets: column definitions with the types clients expect, text and binary rows.

use super::packet::{put_bytes, put_lenenc};
use crate::sql::planner::QueryResult;
use crate::time;
use crate::types::SqlType;
use crate::value::Value;

/// utf8_general_ci, and "binary" for everything that is no text.
const UTF8: u16 = 33;
const BINARY: u16 = 63;

/// (type, charset, length, decimals)
fn wire_type(t: &SqlType) -> (u8, u16, u32, u8) {
    match t {
        SqlType::Boolean | SqlType::TinyInt => (1, BINARY, 4, 0),
        SqlType::SmallInt => (2, BINARY, 6, 0),
        SqlType::Int => (3, BINARY, 11, 0),
        SqlType::BigInt => (8, BINARY, 20, 0),
        SqlType::LargeInt => (254, UTF8, 40 * 3, 0),
        SqlType::Float => (4, BINARY, 12, 31),
        SqlType::Double => (5, BINARY, 22, 31),
        SqlType::Decimal(p, s) => (246, BINARY, u32::from(*p) + 2, *s),
        SqlType::Date => (10, BINARY, 10, 0),
        SqlType::DateTime => (12, BINARY, 19, 0),
        SqlType::Char(n) => (254, UTF8, n.saturating_mul(3), 0),
        SqlType::Varbinary | SqlType::Bitmap | SqlType::Hll | SqlType::Percentile => (252, BINARY, 65_535, 0),
        SqlType::Null => (6, BINARY, 0, 0),
        SqlType::Varchar(n) => (253, UTF8, n.saturating_mul(3), 0),
        SqlType::Json | SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_) => (253, UTF8, 65_533 * 3, 0),
    }
}

pub fn column(name: &str, t: &SqlType) -> Vec<u8> {
    let (kind, charset, length, decimals) = wire_type(t);
    let mut out = Vec::with_capacity(64);
    for part in ["def", "", "", "", name, name] {
        put_bytes(&mut out, part.as_bytes());
    }
    out.push(0x0c);
    out.extend_from_slice(&charset.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.push(kind);
    let flags: u16 = if charset == BINARY { 128 } else { 0 };
    out.extend_from_slice(&flags.to_le_bytes());
    out.push(decimals);
    out.extend_from_slice(&[0, 0]);
    out
}

fn hidden(t: &SqlType) -> bool {
    matches!(t, SqlType::Bitmap | SqlType::Hll | SqlType::Percentile)
}

/// Rows in the text protocol, one packet body each.
pub fn text_rows(result: &QueryResult, mut emit: impl FnMut(Vec<u8>)) {
    let mut cell = String::new();
    for batch in &result.batches {
        for row in 0..batch.num_rows() {
            let mut out = Vec::with_capacity(batch.num_columns() * 12);
            for (array, t) in batch.columns().iter().zip(&result.types) {
                // Sketches have no text; StarRocks shows NULL.
                if array.is_null(row) || hidden(t) {
                    out.push(0xfb);
                    continue;
                }
                match Value::get(array, t, row) {
                    Value::Null => out.push(0xfb),
                    Value::Bytes(b) => put_bytes(&mut out, &b),
                    v => {
                        cell.clear();
                        v.render(&mut cell);
                        put_bytes(&mut out, cell.as_bytes());
                    }
                }
            }
            emit(out);
        }
    }
}

/// Rows in the binary protocol of prepared statements.
pub fn binary_rows(result: &QueryResult, mut emit: impl FnMut(Vec<u8>)) {
    for batch in &result.batches {
        for row in 0..batch.num_rows() {
            let n = batch.num_columns();
            let mut nulls = vec![0u8; (n + 9) / 8];
            let mut body = Vec::with_capacity(n * 8);
            for (i, (array, t)) in batch.columns().iter().zip(&result.types).enumerate() {
                let v = if array.is_null(row) || hidden(t) { Value::Null } else { Value::get(array, t, row) };
                if v.is_null() {
                    nulls[(i + 2) / 8] |= 1 << ((i + 2) % 8);
                    continue;
                }
                binary_value(&v, t, &mut body);
            }
            let mut out = Vec::with_capacity(1 + nulls.len() + body.len());
            out.push(0);
            out.extend_from_slice(&nulls);
            out.extend_from_slice(&body);
            emit(out);
        }
    }
}

fn binary_value(v: &Value, t: &SqlType, out: &mut Vec<u8>) {
    match (t, v) {
        (SqlType::Boolean | SqlType::TinyInt, _) => out.push(v.as_i64().unwrap_or(0) as u8),
        (SqlType::SmallInt, _) => out.extend_from_slice(&(v.as_i64().unwrap_or(0) as i16).to_le_bytes()),
        (SqlType::Int, _) => out.extend_from_slice(&(v.as_i64().unwrap_or(0) as i32).to_le_bytes()),
        (SqlType::BigInt, _) => out.extend_from_slice(&v.as_i64().unwrap_or(0).to_le_bytes()),
        (SqlType::Float, _) => out.extend_from_slice(&(v.as_f64().unwrap_or(0.0) as f32).to_le_bytes()),
        (SqlType::Double, _) => out.extend_from_slice(&v.as_f64().unwrap_or(0.0).to_le_bytes()),
        (SqlType::Date | SqlType::DateTime, v) => {
            let us = v.as_datetime().unwrap_or(0);
            let (y, m, d) = time::civil(us.div_euclid(time::DAY_US) as i32);
            let rest = us.rem_euclid(time::DAY_US);
            let (s, fraction) = (rest / 1_000_000, rest % 1_000_000);
            let length = if *t == SqlType::Date || rest == 0 {
                4
            } else if fraction == 0 {
                7
            } else {
                11
            };
            out.push(length);
            out.extend_from_slice(&(y as u16).to_le_bytes());
            out.push(m as u8);
            out.push(d as u8);
            if length > 4 {
                out.extend_from_slice(&[(s / 3600) as u8, (s / 60 % 60) as u8, (s % 60) as u8]);
            }
            if length > 7 {
                out.extend_from_slice(&(fraction as u32).to_le_bytes());
            }
        }
        (_, Value::Bytes(b)) => put_bytes(out, b),
        (_, v) => put_bytes(out, v.as_text().unwrap_or_default().as_bytes()),
    }
}

/// Status flags of an answer.
pub fn status(more: bool, in_transaction: bool) -> u16 {
    2 | if more { 8 } else { 0 } | u16::from(in_transaction)
}

pub fn ok(affected: u64, info: &str, status: u16) -> Vec<u8> {
    let mut out = vec![0];
    put_lenenc(&mut out, affected);
    put_lenenc(&mut out, 0);
    out.extend_from_slice(&status.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    // Length first, as servers really send it: MariaDB's client refuses the packet otherwise.
    if !info.is_empty() {
        put_lenenc(&mut out, info.len() as u64);
        out.extend_from_slice(info.as_bytes());
    }
    out
}

pub fn eof(status: u16) -> Vec<u8> {
    let mut out = vec![0xfe, 0, 0];
    out.extend_from_slice(&status.to_le_bytes());
    out
}

pub fn error(code: u16, message: &str) -> Vec<u8> {
    let state = match code {
        1045 => "28000",
        5203 => "42000",
        1064 => "42000",
        5501 | 1049 => "3D000",
        5502 | 1146 => "42S02",
        1050 => "42S01",
        1007 => "HY000",
        _ => "HY000",
    };
    let mut out = vec![0xff];
    out.extend_from_slice(&code.to_le_bytes());
    out.push(b'#');
    out.extend_from_slice(state.as_bytes());
    out.extend_from_slice(message.as_bytes());
    out
}
