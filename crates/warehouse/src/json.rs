//! JSON text: StarRocks' normal form (`{"a": 1, "b": [1, 2]}`), paths, and the text form of
//! ARRAY, MAP and STRUCT values.

use serde_json::Value as Json;

use crate::types::SqlType;
use crate::value::{Value, double_text};

/// The deepest nesting that is read; deeper text is no JSON for us.
pub const DEPTH_MAX: usize = 128;

pub fn parse(text: &str) -> Option<Json> {
    serde_json::from_str(text).ok()
}

/// StarRocks' normal form of a JSON text; None when it is no JSON.
pub fn normalise(text: &str) -> Option<String> {
    parse(text).map(|v| print(&v))
}

pub fn quote(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// The text inside of a JSON string, or the JSON text of anything else.
pub fn unquote(json: &str) -> String {
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_string()),
        _ => json.to_string(),
    }
}

/// With a blank after `:` and `,`; keys in order of their bytes, as StarRocks keeps objects.
pub fn print(v: &Json) -> String {
    let mut out = String::new();
    print_into(v, &mut out, true);
    out
}

/// Without blanks.
pub fn print_compact(v: &Json) -> String {
    let mut out = String::new();
    print_into(v, &mut out, false);
    out
}

fn print_into(v: &Json, out: &mut String, blanks: bool) {
    match v {
        Json::Null => out.push_str("null"),
        Json::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Json::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(i), _, _) => out.push_str(&i.to_string()),
            (None, Some(u), _) => out.push_str(&u.to_string()),
            (None, None, Some(f)) => out.push_str(&double_text(f)),
            _ => out.push_str(&n.to_string()),
        },
        Json::String(s) => out.push_str(&quote(s)),
        Json::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(if blanks { ", " } else { "," });
                }
                print_into(item, out, blanks);
            }
            out.push(']');
        }
        Json::Object(map) => {
            out.push('{');
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
            for (i, (k, item)) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push_str(if blanks { ", " } else { "," });
                }
                out.push_str(&quote(k));
                out.push_str(if blanks { ": " } else { ":" });
                print_into(item, out, blanks);
            }
            out.push('}');
        }
    }
}

/// JSON of a value: `to_json`, `cast(x as json)`.
pub fn of_value(v: &Value) -> String {
    print(&tree_of(v))
}

pub fn tree_of(v: &Value) -> Json {
    match v {
        Value::Null => Json::Null,
        Value::Bool(b) => Json::Bool(*b),
        Value::Int(i) => match i64::try_from(*i) {
            Ok(i) => Json::from(i),
            Err(_) => u64::try_from(*i).map_or_else(|_| Json::from(*i as f64), Json::from),
        },
        Value::Float(_) | Value::Double(_) | Value::Decimal(..) => v.as_f64().map_or(Json::Null, Json::from),
        Value::Json(t) => parse(t).unwrap_or(Json::Null),
        Value::List(items) => Json::Array(items.iter().map(tree_of).collect()),
        Value::Map(items) => {
            Json::Object(items.iter().map(|(k, v)| (k.as_text().unwrap_or_default(), tree_of(v))).collect())
        }
        Value::Struct(items) => Json::Object(items.iter().map(|(k, v)| (k.clone(), tree_of(v))).collect()),
        other => Json::String(other.as_text().unwrap_or_default()),
    }
}

/// A value of a type from a JSON tree.
pub fn from_tree(json: &Json, to: &SqlType) -> Option<Value> {
    match (json, to) {
        (Json::Null, t) if *t != SqlType::Json => Some(Value::Null),
        (v, SqlType::Json) => Some(Value::Json(print(v))),
        (Json::Array(items), SqlType::Array(e)) => {
            Some(Value::List(items.iter().map(|v| from_tree(v, e).unwrap_or(Value::Null)).collect()))
        }
        (Json::Object(map), SqlType::Map(k, v)) => Some(Value::Map(
            map.iter()
                .map(|(a, b)| {
                    (Value::Text(a.clone()).cast(k).unwrap_or(Value::Null), from_tree(b, v).unwrap_or(Value::Null))
                })
                .collect(),
        )),
        (Json::Object(map), SqlType::Struct(fields)) => Some(Value::Struct(
            fields
                .iter()
                .map(|(n, t)| {
                    let found = map.get(n).or_else(|| map.iter().find(|(k, _)| k.eq_ignore_ascii_case(n)).map(|x| x.1));
                    (n.clone(), found.and_then(|v| from_tree(v, t)).unwrap_or(Value::Null))
                })
                .collect(),
        )),
        (_, SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_)) => None,
        (Json::Bool(b), SqlType::Char(_) | SqlType::Varchar(_)) => Some(Value::Text(if *b { "1" } else { "0" }.into())),
        (Json::Bool(b), t) => Value::Bool(*b).cast(t),
        (Json::Number(n), t) => match (n.as_i64(), t) {
            (Some(i), t) => Value::Int(i128::from(i)).cast(t),
            (None, SqlType::Decimal(..) | SqlType::LargeInt | SqlType::Char(_) | SqlType::Varchar(_)) => {
                Value::Text(n.to_string()).cast(t)
            }
            (None, t) => Value::Double(n.as_f64()?).cast(t),
        },
        (Json::String(s), t) => Value::Text(s.clone()).cast(t),
        (nested, SqlType::Char(_) | SqlType::Varchar(_)) => Some(Value::Text(print_compact(nested))),
        _ => None,
    }
}

/// ARRAY, MAP or STRUCT from its text: JSON, or StarRocks' own form with unquoted map keys
/// (`{1:"a"}`) and single quotes.
pub fn parse_nested(text: &str, to: &SqlType) -> Option<Value> {
    if let Some(tree) = parse(text)
        && let Some(v) = from_tree(&tree, to)
    {
        return Some(v);
    }
    let mut reader = Reader { text: text.as_bytes(), at: 0 };
    let value = reader.value(to, 0)?;
    reader.blanks();
    (reader.at == reader.text.len()).then_some(value)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn blanks(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn eat(&mut self, b: u8) -> bool {
        self.blanks();
        if self.text.get(self.at) == Some(&b) {
            self.at += 1;
            true
        } else {
            false
        }
    }

    fn scalar(&mut self) -> Option<Option<String>> {
        self.blanks();
        let first = *self.text.get(self.at)?;
        if first == b'"' || first == b'\'' {
            let mut out = Vec::new();
            self.at += 1;
            loop {
                match *self.text.get(self.at)? {
                    b if b == first => {
                        self.at += 1;
                        return Some(Some(String::from_utf8(out).ok()?));
                    }
                    b'\\' => {
                        let b = *self.text.get(self.at + 1)?;
                        out.push(match b {
                            b'n' => b'\n',
                            b't' => b'\t',
                            b'r' => b'\r',
                            other => other,
                        });
                        self.at += 2;
                    }
                    b => {
                        out.push(b);
                        self.at += 1;
                    }
                }
            }
        }
        let start = self.at;
        while self.text.get(self.at).is_some_and(|b| !matches!(b, b',' | b':' | b']' | b'}')) {
            self.at += 1;
        }
        let word = std::str::from_utf8(&self.text[start..self.at]).ok()?.trim();
        if word.is_empty() {
            return None;
        }
        Some((!word.eq_ignore_ascii_case("null")).then(|| word.to_string()))
    }

    fn value(&mut self, to: &SqlType, depth: usize) -> Option<Value> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.blanks();
        match to {
            SqlType::Array(e) if self.text.get(self.at) == Some(&b'[') => {
                self.at += 1;
                let mut items = Vec::new();
                if self.eat(b']') {
                    return Some(Value::List(items));
                }
                loop {
                    items.push(self.value(e, depth + 1)?);
                    if self.eat(b']') {
                        return Some(Value::List(items));
                    }
                    if !self.eat(b',') {
                        return None;
                    }
                }
            }
            SqlType::Map(k, v) if self.text.get(self.at) == Some(&b'{') => {
                self.at += 1;
                let mut items = Vec::new();
                if self.eat(b'}') {
                    return Some(Value::Map(items));
                }
                loop {
                    let key = self.value(k, depth + 1)?;
                    if !self.eat(b':') {
                        return None;
                    }
                    items.push((key, self.value(v, depth + 1)?));
                    if self.eat(b'}') {
                        return Some(Value::Map(items));
                    }
                    if !self.eat(b',') {
                        return None;
                    }
                }
            }
            SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_) => match self.scalar()? {
                None => Some(Value::Null),
                // A quoted nested value. It is shorter than what it was quoted in, so this ends.
                Some(text) if text.len() < self.text.len() && text.trim_start().starts_with(['[', '{']) => {
                    parse_nested(&text, to)
                }
                Some(_) => None,
            },
            scalar => match self.scalar()? {
                None => Some(Value::Null),
                Some(text) => Some(Value::Text(text).cast(scalar).unwrap_or(Value::Null)),
            },
        }
    }
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Key(String),
    Index(usize),
    /// `[*]`
    All,
    /// `[a:b]`
    Slice(usize, usize),
}

/// Reads `$.a.b[0]`, `a.b`, `$."x y"[*]`. None when it is no path.
pub fn path(text: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let t: Vec<char> = text.trim().chars().collect();
    let mut at = 0;
    if t.first() == Some(&'$') {
        at = 1;
    }
    let mut first = true;
    while at < t.len() {
        match t[at] {
            '[' => {
                let end = at + t[at..].iter().position(|c| *c == ']')?;
                let inner: String = t[at + 1..end].iter().collect();
                let inner = inner.trim();
                if inner == "*" {
                    steps.push(Step::All);
                } else if let Some((a, b)) = inner.split_once(':') {
                    steps.push(Step::Slice(a.trim().parse().ok()?, b.trim().parse().ok()?));
                } else if let Ok(i) = inner.parse() {
                    steps.push(Step::Index(i));
                } else {
                    steps.push(Step::Key(inner.trim_matches(['"', '\'']).to_string()));
                }
                at = end + 1;
            }
            c => {
                if c == '.' {
                    at += 1;
                } else if !first || at != 0 {
                    return None;
                }
                match t.get(at) {
                    Some('"') => {
                        let end = at + 1 + t[at + 1..].iter().position(|c| *c == '"')?;
                        steps.push(Step::Key(t[at + 1..end].iter().collect()));
                        at = end + 1;
                    }
                    Some('[') => {}
                    Some(_) => {
                        let end = t[at..].iter().position(|c| matches!(c, '.' | '[')).map_or(t.len(), |n| at + n);
                        if end == at {
                            return None;
                        }
                        steps.push(Step::Key(t[at..end].iter().collect()));
                        at = end;
                    }
                    None => return None,
                }
            }
        }
        first = false;
    }
    Some(steps)
}

/// The value at a path; wildcards give an array.
pub fn lookup(json: &Json, steps: &[Step]) -> Option<Json> {
    let Some(step) = steps.first() else { return Some(json.clone()) };
    match (step, json) {
        (Step::Key(k), Json::Object(map)) => lookup(map.get(k)?, &steps[1..]),
        (Step::Index(i), Json::Array(items)) => lookup(items.get(*i)?, &steps[1..]),
        (Step::All, Json::Array(items)) => {
            Some(Json::Array(items.iter().filter_map(|v| lookup(v, &steps[1..])).collect()))
        }
        (Step::All, Json::Object(map)) => {
            Some(Json::Array(map.values().filter_map(|v| lookup(v, &steps[1..])).collect()))
        }
        (Step::Slice(a, b), Json::Array(items)) => {
            Some(Json::Array(items.iter().take(*b).skip(*a).filter_map(|v| lookup(v, &steps[1..])).collect()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_printed_in_starrocks_normal_form() {
        assert_eq!(normalise(r#"{"b":[1,2.0],"a":"x"}"#).unwrap(), r#"{"a": "x", "b": [1, 2]}"#);
        assert!(normalise("{").is_none());
    }

    #[test]
    fn paths_reach_into_objects_and_arrays() {
        let json = parse(r#"{"a":{"b":[1,{"c":2}]},"x y":3}"#).unwrap();
        let check = |p: &str, want: Option<&str>| {
            let got = path(p).and_then(|s| lookup(&json, &s)).map(|v| print(&v));
            assert_eq!(got.as_deref(), want, "{p}");
        };
        check("$.a.b[1].c", Some("2"));
        check("a.b[0]", Some("1"));
        check("$.\"x y\"", Some("3"));
        check("$.a.b[*].c", Some("[2]"));
        check("$.q", None);
        check("$", Some(r#"{"a": {"b": [1, {"c": 2}]}, "x y": 3}"#));
    }

    #[test]
    fn maps_with_bare_keys_are_read() {
        let t = SqlType::Map(Box::new(SqlType::Int), Box::new(SqlType::STRING));
        let v = parse_nested(r#"{1:"a", 2:null}"#, &t).unwrap();
        assert_eq!(v.as_text().unwrap(), r#"{1:"a",2:null}"#);
        for broken in ["[[[", "+", "1", "\"x\"", "'['", "null,"] {
            assert!(parse_nested(broken, &SqlType::Array(Box::new(SqlType::Int))).is_none(), "{broken}");
        }
    }
}
