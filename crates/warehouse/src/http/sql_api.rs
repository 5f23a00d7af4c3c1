//! The HTTP SQL API and the small table endpoints.

use std::sync::Arc;

use http::StatusCode;
use hyper::body::Incoming;
use serde_json::{Value as Json, json};

use super::server::{Answer, answer, read_body};
use crate::core::Core;
use crate::json::tree_of;
use crate::sql::parser;
use crate::sql::session::{Outcome, Session};
use crate::sql::statement::Statement;
use crate::types::SqlType;
use crate::users::Identity;
use crate::value::Value;

fn failed(status: StatusCode, message: &str) -> Answer {
    answer(status, "application/json", json!({"status": "FAILED", "msg": message}).to_string())
}

/// One SELECT, SHOW, EXPLAIN or KILL; the answer is one JSON document a line.
pub async fn query(core: &Arc<Core>, identity: Identity, db: Option<&str>, body: Incoming) -> Answer {
    let bytes = match read_body(core, body, 16 << 20).await {
        Ok(b) => b,
        Err(e) => return failed(StatusCode::BAD_REQUEST, &e),
    };
    let Ok(request) = serde_json::from_slice::<Json>(&bytes) else {
        return failed(StatusCode::BAD_REQUEST, "malformed json");
    };
    let Some(sql) = request.get("query").and_then(Json::as_str) else {
        return failed(StatusCode::BAD_REQUEST, "\"query can not be empty\"");
    };
    let mut session = Session::new(core.clone());
    session.act_for(identity);
    if let Some(db) = db
        && let Err(e) = session.use_database(db)
    {
        return failed(StatusCode::BAD_REQUEST, &e.message);
    }
    if let Some(Json::Object(variables)) = request.get("sessionVariables") {
        for (k, v) in variables {
            let v = v.as_str().map_or_else(|| v.to_string(), str::to_string);
            session.variables.insert(k.to_lowercase(), Value::Text(v));
        }
    }
    let parsed = match parser::parse(sql) {
        Ok(p) => p,
        Err(e) => return failed(StatusCode::BAD_REQUEST, &e.message),
    };
    if parsed.len() != 1 {
        return failed(
            StatusCode::BAD_REQUEST,
            "/api/v1/catalogs/{catalog}/databases/{database}/sql not support execute multiple query",
        );
    }
    match &parsed[0].statement {
        Ok(
            Statement::Query(_)
            | Statement::Show(_)
            | Statement::Explain(_)
            | Statement::Describe { .. }
            | Statement::Nothing,
        ) => {}
        Ok(_) => {
            return failed(StatusCode::BAD_REQUEST, "http query only support QUERY, SHOW, EXPLAIN, KILL statement");
        }
        Err(e) => return failed(StatusCode::BAD_REQUEST, &e.message),
    }
    let is_query = matches!(&parsed[0].statement, Ok(Statement::Query(_)));
    let raw = request.get("onlyOutputResultRaw").and_then(Json::as_bool).unwrap_or(false);
    match session.execute(sql, Vec::new()).await.pop() {
        Some(Ok(Outcome::Rows(rows))) => {
            let mut out = String::new();
            if is_query && !raw {
                out.push_str(&json!({"connectionId": session.id}).to_string());
                out.push('\n');
            }
            let meta: Vec<Json> =
                rows.names.iter().zip(&rows.types).map(|(n, t)| json!({"name": n, "type": type_name(t)})).collect();
            out.push_str(&json!({"meta": meta}).to_string());
            out.push('\n');
            let values = rows.values();
            for row in &values {
                let data: Vec<Json> = row.iter().map(tree_of).collect();
                out.push_str(&json!({"data": data}).to_string());
                out.push('\n');
            }
            if !raw {
                out.push_str(
                    &json!({"statistics": {"scanRows": values.len(), "scanBytes": 0, "returnRows": values.len()}})
                        .to_string(),
                );
                out.push('\n');
            }
            answer(StatusCode::OK, "application/x-ndjson; charset=utf-8", out)
        }
        Some(Ok(Outcome::Done { .. })) | None => {
            answer(StatusCode::OK, "application/json", json!({"status": "OK", "msg": ""}).to_string())
        }
        Some(Err(e)) => failed(StatusCode::INTERNAL_SERVER_ERROR, &e.message),
    }
}

fn type_name(t: &SqlType) -> String {
    match t {
        SqlType::Decimal(..) => t.message(),
        SqlType::Array(e) => format!("array<{}>", type_name(e)),
        SqlType::Map(k, v) => format!("map<{},{}>", type_name(k), type_name(v)),
        SqlType::Struct(f) => {
            let inner: Vec<_> = f.iter().map(|(n, t)| format!("{n} {}", type_name(t))).collect();
            format!("struct<{}>", inner.join(", "))
        }
        SqlType::Char(_) => t.ddl(),
        other => other.ddl(),
    }
}

fn table(core: &Core, db: &str, name: &str) -> Result<Arc<crate::store::Table>, Box<Answer>> {
    core.store.table(db, name).ok_or_else(|| {
        let body = json!({"status": 404, "exception": format!("Table [{name}] does not exists")});
        Box::new(answer(StatusCode::OK, "application/json", body.to_string()))
    })
}

pub fn schema(core: &Core, db: &str, name: &str) -> Answer {
    let t = match table(core, db, name) {
        Ok(t) => t,
        Err(a) => return *a,
    };
    let def = t.def();
    let properties: Vec<Json> = def
        .columns
        .iter()
        .map(|c| {
            let mut v = json!({"type": c.sql_type.message().split('(').next().unwrap_or_default(), "name": c.name, "comment": c.comment});
            if let (SqlType::Decimal(p, s), Some(o)) = (&c.sql_type, v.as_object_mut()) {
                o.insert("precision".into(), p.to_string().into());
                o.insert("scale".into(), s.to_string().into());
            }
            v
        })
        .collect();
    answer(
        StatusCode::OK,
        "application/json",
        json!({"status": 200, "keysType": def.model.information_schema(), "properties": properties, "etlTable": false})
            .to_string(),
    )
}

pub fn count(core: &Core, db: &str, name: &str) -> Answer {
    match table(core, db, name) {
        Ok(t) => {
            answer(StatusCode::OK, "application/json", json!({"status": 200, "size": t.version().rows()}).to_string())
        }
        Err(a) => *a,
    }
}
