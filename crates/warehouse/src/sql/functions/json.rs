//! JSON functions.

use serde_json::Value as Json;

use super::{Args, Function, bigint, boolean, double, int, json_type, lenient, strict, string};
use crate::error::SqlResult;
use crate::json::{self, Step, lookup, parse, path, print};
use crate::types::SqlType;
use crate::value::Value;

fn tree(v: &Value) -> Option<Json> {
    match v {
        Value::Json(t) | Value::Text(t) => parse(t),
        other => Some(json::tree_of(other)),
    }
}

fn steps(v: &Value) -> Option<Vec<Step>> {
    path(&v.as_text()?)
}

fn query(v: &[Value]) -> Option<Json> {
    let t = tree(&v[0])?;
    match v.get(1) {
        None => Some(t),
        Some(p) => lookup(&t, &steps(p)?),
    }
}

fn json_of(v: Option<Json>) -> SqlResult<Value> {
    Ok(v.map_or(Value::Null, |j| Value::Json(print(&j))))
}

fn text_of(j: &Json) -> Option<String> {
    match j {
        Json::Null => None,
        Json::String(s) => Some(s.clone()),
        other => Some(print(other)),
    }
}

fn array_json(_: &Args<'_>) -> SqlResult<SqlType> {
    Ok(SqlType::Array(Box::new(SqlType::Json)))
}

fn array_string(_: &Args<'_>) -> SqlResult<SqlType> {
    Ok(SqlType::Array(Box::new(SqlType::STRING)))
}

/// Members of an object by key, items of an array by place.
fn entries(j: &Json) -> Vec<(String, Json)> {
    match j {
        Json::Object(m) => {
            let mut all: Vec<(String, Json)> = m.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            all.sort_by(|a, b| a.0.cmp(&b.0));
            all
        }
        Json::Array(l) => l.iter().enumerate().map(|(i, v)| (i.to_string(), v.clone())).collect(),
        _ => Vec::new(),
    }
}

/// Sets, inserts or replaces the value at a path.
fn put(target: &mut Json, steps: &[Step], value: Json, insert: bool, replace: bool) {
    match steps {
        [] if replace => {
            *target = value;
        }
        [Step::Key(k), rest @ ..] => {
            if let Json::Object(map) = target {
                match map.get_mut(k) {
                    Some(inner) => put(inner, rest, value, insert, replace),
                    None if rest.is_empty() && insert => {
                        map.insert(k.clone(), value);
                    }
                    None => {}
                }
            }
        }
        [Step::Index(i), rest @ ..] => {
            if let Json::Array(items) = target {
                match items.get_mut(*i) {
                    Some(inner) => put(inner, rest, value, insert, replace),
                    None if rest.is_empty() && insert => items.push(value),
                    None => {}
                }
            }
        }
        _ => {}
    }
}

fn remove(target: &mut Json, steps: &[Step]) {
    match steps {
        [Step::Key(k)] => {
            if let Json::Object(map) = target {
                map.shift_remove(k);
            }
        }
        [Step::Index(i)] => {
            if let Json::Array(items) = target
                && *i < items.len()
            {
                items.remove(*i);
            }
        }
        [Step::Key(k), rest @ ..] => {
            if let Some(inner) = target.get_mut(k) {
                remove(inner, rest);
            }
        }
        [Step::Index(i), rest @ ..] => {
            if let Some(inner) = target.get_mut(i) {
                remove(inner, rest);
            }
        }
        _ => {}
    }
}

fn edit(v: &[Value], insert: bool, replace: bool) -> SqlResult<Value> {
    let Some(mut t) = tree(&v[0]) else { return Ok(Value::Null) };
    for pair in v[1..].chunks(2) {
        let [p, x] = pair else { return Ok(Value::Null) };
        let Some(s) = steps(p) else { return Ok(Value::Null) };
        // A text that is an object or array is one.
        let new = match x {
            // StarRocks sets the word, not the null.
            Value::Json(text) if text.trim() == "null" => Json::String("null".into()),
            Value::Text(text) if text.trim_start().starts_with(['{', '[']) => {
                parse(text).unwrap_or_else(|| json::tree_of(x))
            }
            _ => json::tree_of(x),
        };
        put(&mut t, &s, new, insert, replace);
    }
    json_of(Some(t))
}

fn contains(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Object(x), Json::Object(y)) => y.iter().all(|(k, v)| x.get(k).is_some_and(|w| contains(w, v))),
        (Json::Array(x), Json::Array(y)) => y.iter().all(|v| x.iter().any(|w| contains(w, v))),
        (Json::Array(x), v) => x.iter().any(|w| contains(w, v)),
        (x, y) => x == y || (x.as_f64().is_some() && x.as_f64() == y.as_f64()),
    }
}

fn pretty(j: &Json) -> String {
    // Keys are sorted as in the compact form; two blanks, as StarRocks prints.
    let sorted: Json = serde_json::from_str(&print(j)).unwrap_or(Json::Null);
    let mut out = String::new();
    indent(&sorted, 0, &mut out);
    out
}

fn indent(j: &Json, depth: usize, out: &mut String) {
    let blanks = |n: usize| "  ".repeat(n);
    match j {
        Json::Array(items) => {
            out.push_str("[\n");
            for (i, item) in items.iter().enumerate() {
                out.push_str(&blanks(depth + 1));
                indent(item, depth + 1, out);
                out.push_str(if i + 1 < items.len() { ",\n" } else { "\n" });
            }
            out.push_str(&blanks(depth));
            out.push(']');
        }
        Json::Object(map) => {
            out.push_str("{\n");
            for (i, (k, item)) in map.iter().enumerate() {
                out.push_str(&blanks(depth + 1));
                out.push_str(&json::quote(k));
                out.push_str(" : ");
                indent(item, depth + 1, out);
                out.push_str(if i + 1 < map.len() { ",\n" } else { "\n" });
            }
            out.push_str(&blanks(depth));
            out.push('}');
        }
        other => out.push_str(&print(other)),
    }
}

pub const FUNCTIONS: &[Function] = &[
    strict("parse_json", json_type, |v, _, _| json_of(tree(&v[0]))),
    lenient("to_json", json_type, |v, _, _| {
        if v[0].is_null() { Ok(Value::Null) } else { Ok(Value::Json(json::of_value(&v[0]))) }
    }),
    strict("json_string", string, |v, _, _| Ok(tree(&v[0]).map_or(Value::Null, |j| Value::Text(print(&j))))),
    strict("json_pretty", string, |v, _, _| Ok(tree(&v[0]).map_or(Value::Null, |j| Value::Text(pretty(&j))))),
    strict("json_query", json_type, |v, _, _| json_of(query(v))),
    strict("__json_member", json_type, |v, _, _| match &v[0] {
        Value::Json(t) if t == "null" => Ok(Value::Null),
        other => Ok(other.clone()),
    }),
    strict("get_json_object", string, |v, _, _| {
        Ok(query(v).as_ref().and_then(text_of).map_or(Value::Null, Value::Text))
    }),
    strict("get_json_string", string, |v, _, _| {
        Ok(query(v).as_ref().and_then(text_of).map_or(Value::Null, Value::Text))
    }),
    strict("get_json_int", bigint, |v, _, _| {
        Ok(query(v).and_then(|j| Value::Json(j.to_string()).as_i64()).map_or(Value::Null, Value::int))
    }),
    strict("get_json_double", double, |v, _, _| {
        Ok(query(v).and_then(|j| Value::Json(j.to_string()).as_f64()).map_or(Value::Null, Value::Double))
    }),
    strict("get_json_bool", boolean, |v, _, _| {
        Ok(query(v).and_then(|j| Value::Json(j.to_string()).as_bool()).map_or(Value::Null, Value::Bool))
    }),
    strict("json_exists", boolean, |v, _, _| {
        Ok(Value::Bool(query(v).is_some_and(|j| !matches!(&j, Json::Array(a) if a.is_empty() && v.get(1).and_then(Value::as_text).is_some_and(|p| p.contains('*'))))))
    }),
    strict("json_length", int, |v, _, _| {
        if tree(&v[0]).is_none() {
            return Ok(Value::Null);
        }
        Ok(query(v).map_or(Value::int(0), |j| {
            Value::int(match j {
                Json::Array(a) => a.len() as i64,
                Json::Object(m) => m.len() as i64,
                _ => 1,
            })
        }))
    }),
    strict("json_keys", json_type, |v, _, _| {
        Ok(match query(v) {
            Some(Json::Object(m)) => {
                let mut keys: Vec<&String> = m.keys().collect();
                keys.sort();
                Value::Json(print(&Json::from(keys.into_iter().cloned().collect::<Vec<_>>())))
            }
            _ => Value::Null,
        })
    }),
    strict("__json_each_keys", array_string, |v, _, _| {
        Ok(tree(&v[0])
            .map_or(Value::Null, |j| Value::List(entries(&j).into_iter().map(|e| Value::Text(e.0)).collect())))
    }),
    strict("__json_each_values", array_json, |v, _, _| {
        let json = |j: &Json| Value::Json(print(j));
        Ok(tree(&v[0]).map_or(Value::Null, |j| Value::List(entries(&j).iter().map(|e| json(&e.1)).collect())))
    }),
    lenient("json_object", json_type, |v, _, _| {
        let mut m = serde_json::Map::new();
        for pair in v.chunks(2) {
            m.insert(pair[0].as_text().unwrap_or_default(), pair.get(1).map_or(Json::Null, json::tree_of));
        }
        json_of(Some(Json::Object(m)))
    }),
    lenient("json_array", json_type, |v, _, _| json_of(Some(Json::Array(v.iter().map(json::tree_of).collect())))),
    strict("json_contains", boolean, |v, _, _| {
        Ok(match (tree(&v[0]), tree(&v[1])) {
            (Some(a), Some(b)) => Value::Bool(contains(&a, &b)),
            _ => Value::Null,
        })
    }),
    strict("json_set", json_type, |v, _, _| edit(v, true, true)),
    strict("json_insert", json_type, |v, _, _| edit(v, true, false)),
    strict("json_replace", json_type, |v, _, _| edit(v, false, true)),
    strict("json_remove", json_type, |v, _, _| {
        let Some(mut t) = tree(&v[0]) else { return Ok(Value::Null) };
        for p in &v[1..] {
            let Some(s) = steps(p) else { return Ok(Value::Null) };
            remove(&mut t, &s);
        }
        json_of(Some(t))
    }),
    strict("is_json_scalar", boolean, |v, _, _| {
        Ok(tree(&v[0]).map_or(Value::Null, |j| Value::Bool(!j.is_object() && !j.is_array())))
    }),
];
