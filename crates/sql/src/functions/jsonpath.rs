//! SQL/JSON paths over parsed JSON: `lax $.a[0].*`, `strict $['a b']`, `$..name`, slices and simple
//! filters. A path without a mode is strict (flink-semantics.md, point 16).

use serde_json::Value;

/// What a path does when something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Missing is nothing.
    Lax,
    /// Missing is an error.
    Strict,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Field(String),
    /// `['a', 'b']`
    Fields(Vec<String>),
    Index(i64),
    Indices(Vec<i64>),
    Slice(Option<i64>, Option<i64>),
    All,
    /// `..name`, `..*`
    Deep(Option<String>),
    Filter(Filter),
}

/// `[?(@.a.b op literal)]` or `[?(@.a.b)]`.
#[derive(Debug, Clone, PartialEq)]
struct Filter {
    path: Vec<String>,
    test: Option<(String, Value)>,
}

/// A parsed path.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Path {
    pub mode: Mode,
    parts: Vec<Part>,
}

/// What a path found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found {
    /// Nothing, in lax mode.
    Nothing,
    Value(Value),
    /// Nothing, in strict mode.
    Missing,
}

/// Longest path, in bytes, and the most values a path may visit.
const PATH_BYTES_MAX: usize = 16 * 1024;

impl Path {
    /// `None` when it is no path.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > PATH_BYTES_MAX {
            return None;
        }
        let lower = text.get(..7).unwrap_or(text).to_ascii_lowercase();
        let (mode, rest) = if lower.starts_with("lax ") {
            (Mode::Lax, &text[4..])
        } else if lower.starts_with("strict ") {
            (Mode::Strict, &text[7..])
        } else {
            (Mode::Strict, text)
        };
        let rest = rest.trim().strip_prefix('$')?;
        let chars: Vec<char> = rest.chars().collect();
        let mut at = 0;
        let mut parts = Vec::new();
        while at < chars.len() {
            match chars[at] {
                '.' if chars.get(at + 1) == Some(&'.') => {
                    at += 2;
                    if chars.get(at) == Some(&'*') {
                        at += 1;
                        parts.push(Part::Deep(None));
                    } else if chars.get(at) == Some(&'[') {
                        parts.push(Part::Deep(None));
                    } else {
                        parts.push(Part::Deep(Some(name(&chars, &mut at)?)));
                    }
                }
                '.' => {
                    at += 1;
                    if chars.get(at) == Some(&'*') {
                        at += 1;
                        parts.push(Part::All);
                    } else if chars.get(at) == Some(&'[') {
                        // `$.['a b']`
                    } else {
                        parts.push(Part::Field(name(&chars, &mut at)?));
                    }
                }
                '[' => {
                    at += 1;
                    let close = closing(&chars, at)?;
                    let inner: String = chars[at..close].iter().collect();
                    parts.push(bracket(inner.trim())?);
                    at = close + 1;
                }
                c if c.is_whitespace() => at += 1,
                _ => return None,
            }
        }
        Some(Self { mode, parts })
    }

    /// Whether the path gives one value at most; otherwise the result is an array.
    fn is_definite(&self) -> bool {
        self.parts.iter().all(|p| matches!(p, Part::Field(_) | Part::Index(_)))
    }

    pub fn find(&self, root: &Value) -> Found {
        let missing = if self.mode == Mode::Lax { Found::Nothing } else { Found::Missing };
        if self.is_definite() {
            let mut value = root;
            for part in &self.parts {
                let next = match part {
                    Part::Field(name) => value.get(name.as_str()),
                    Part::Index(index) => at_index(value, *index),
                    _ => None,
                };
                match next {
                    Some(next) => value = next,
                    None => return missing,
                }
            }
            return Found::Value(value.clone());
        }
        let mut values = vec![Some(root.clone())];
        let count = self.parts.len();
        for (index, part) in self.parts.iter().enumerate() {
            let last = index + 1 == count;
            let mut next = Vec::new();
            for value in values.into_iter().flatten() {
                self.step(part, &value, last, &mut next);
            }
            values = next;
        }
        Found::Value(Value::Array(values.into_iter().map(|v| v.unwrap_or(Value::Null)).collect()))
    }

    fn step(&self, part: &Part, value: &Value, last: bool, out: &mut Vec<Option<Value>>) {
        match part {
            Part::Field(name) => {
                if let Value::Object(map) = value {
                    match map.get(name) {
                        Some(found) => out.push(Some(found.clone())),
                        // A leaf that is missing counts as NULL in lax mode.
                        None if last && self.mode == Mode::Lax => out.push(None),
                        None => {}
                    }
                }
            }
            Part::Fields(names) => {
                out.extend(names.iter().filter_map(|n| value.get(n.as_str())).map(|v| Some(v.clone())))
            }
            Part::Index(index) => out.extend(at_index(value, *index).map(|v| Some(v.clone()))),
            Part::Indices(indices) => {
                out.extend(indices.iter().filter_map(|i| at_index(value, *i)).map(|v| Some(v.clone())))
            }
            Part::Slice(from, to) => {
                if let Value::Array(items) = value {
                    let count = items.len() as i64;
                    let bound = |v: i64| if v < 0 { (count + v).max(0) } else { v.min(count) };
                    let (from, to) = (bound(from.unwrap_or(0)), bound(to.unwrap_or(count)));
                    if from < to {
                        out.extend(items[from as usize..to as usize].iter().map(|v| Some(v.clone())));
                    }
                }
            }
            Part::All => match value {
                Value::Array(items) => out.extend(items.iter().map(|v| Some(v.clone()))),
                Value::Object(map) => out.extend(map.values().map(|v| Some(v.clone()))),
                _ => {}
            },
            Part::Deep(name) => deep(value, name.as_deref(), out),
            Part::Filter(filter) => {
                let items: Vec<&Value> = match value {
                    Value::Array(items) => items.iter().collect(),
                    other => vec![other],
                };
                out.extend(items.into_iter().filter(|v| filter.passes(v)).map(|v| Some(v.clone())));
            }
        }
    }
}

fn deep(value: &Value, name: Option<&str>, out: &mut Vec<Option<Value>>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                if name.is_none_or(|n| n == key) {
                    out.push(Some(inner.clone()));
                }
                deep(inner, name, out);
            }
        }
        Value::Array(items) => {
            for inner in items {
                if name.is_none() {
                    out.push(Some(inner.clone()));
                }
                deep(inner, name, out);
            }
        }
        _ => {}
    }
}

fn at_index(value: &Value, index: i64) -> Option<&Value> {
    let items = value.as_array()?;
    let at = if index < 0 { items.len() as i64 + index } else { index };
    items.get(usize::try_from(at).ok()?)
}

fn name(chars: &[char], at: &mut usize) -> Option<String> {
    let start = *at;
    while *at < chars.len() && !matches!(chars[*at], '.' | '[' | ' ' | '(' | ')') {
        *at += 1;
    }
    (start < *at).then(|| chars[start..*at].iter().collect())
}

/// The bracket that closes the one before `at`, outside of quotes and parentheses.
fn closing(chars: &[char], at: usize) -> Option<usize> {
    let mut quote: Option<char> = None;
    let mut depth = 0;
    let mut i = at;
    while i < chars.len() {
        let c = chars[i];
        match quote {
            Some(_) if c == '\\' => i += 1,
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None => match c {
                '\'' | '"' => quote = Some(c),
                '[' | '(' => depth += 1,
                ')' => depth -= 1,
                ']' if depth == 0 => return Some(i),
                ']' => depth -= 1,
                _ => {}
            },
        }
        i += 1;
    }
    None
}

fn unquote(text: &str) -> Option<String> {
    let text = text.trim();
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next()? } else { c });
    }
    Some(out)
}

fn bracket(inner: &str) -> Option<Part> {
    if inner == "*" {
        return Some(Part::All);
    }
    if let Some(filter) = inner.strip_prefix('?') {
        let body = filter.trim().strip_prefix('(')?.strip_suffix(')')?.trim();
        return Filter::parse(body).map(Part::Filter);
    }
    if inner.starts_with(['\'', '"']) {
        if let Some(one) = unquote(inner).filter(|_| !inner.contains("','") && !inner.contains("', '")) {
            return Some(Part::Field(one));
        }
        let names: Option<Vec<String>> = inner.split(',').map(unquote).collect();
        return names.map(Part::Fields);
    }
    if let Some((from, to)) = inner.split_once(':') {
        let bound = |s: &str| -> Option<Option<i64>> {
            if s.trim().is_empty() { Some(None) } else { s.trim().parse().ok().map(Some) }
        };
        return Some(Part::Slice(bound(from)?, bound(to)?));
    }
    let indices: Option<Vec<i64>> = inner.split(',').map(|s| s.trim().parse().ok()).collect();
    match indices?.as_slice() {
        [one] => Some(Part::Index(*one)),
        many => Some(Part::Indices(many.to_vec())),
    }
}

impl Filter {
    fn parse(body: &str) -> Option<Self> {
        let (left, test) = match ["==", "!=", "<=", ">=", "<", ">"]
            .iter()
            .find_map(|op| body.split_once(op).map(|(l, r)| (l, *op, r)))
        {
            Some((left, op, right)) => {
                let right = right.trim();
                let literal = match unquote(right) {
                    Some(text) => Value::String(text),
                    None => serde_json::from_str(right).ok()?,
                };
                (left, Some((op.to_owned(), literal)))
            }
            None => (body, None),
        };
        let path = left.trim().strip_prefix('@')?;
        let path = path.split('.').filter(|p| !p.is_empty()).map(str::to_owned).collect();
        Some(Self { path, test })
    }

    fn passes(&self, value: &Value) -> bool {
        let mut value = value;
        for part in &self.path {
            match value.get(part.as_str()) {
                Some(inner) => value = inner,
                None => return false,
            }
        }
        let Some((op, literal)) = &self.test else { return true };
        let order = match (value, literal) {
            (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            (a, b) => return if op == "==" { a == b } else { op == "!=" && a != b },
        };
        use std::cmp::Ordering::{Equal, Greater, Less};
        match op.as_str() {
            "==" => order == Some(Equal),
            "!=" => order != Some(Equal),
            "<" => order == Some(Less),
            "<=" => matches!(order, Some(Less | Equal)),
            ">" => order == Some(Greater),
            _ => matches!(order, Some(Greater | Equal)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(path: &str, json: &str) -> Found {
        Path::parse(path).unwrap().find(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn paths_find_what_they_name() {
        let value = |json: &str| Found::Value(serde_json::from_str(json).unwrap());
        assert_eq!(find("$.a.b", r#"{"a":{"b":1}}"#), value("1"));
        assert_eq!(find("$['a b'][1]", r#"{"a b":[1,2]}"#), value("2"));
        assert_eq!(find("lax $.x", "{}"), Found::Nothing);
        assert_eq!(find("$.x", "{}"), Found::Missing);
        assert_eq!(find("lax $.a[*].c", r#"{"a":[{"c":null},{"c":"c2"}]}"#), value(r#"[null,"c2"]"#));
        assert_eq!(find("$..c", r#"{"a":[{"c":1},{"c":2}]}"#), value("[1,2]"));
        assert_eq!(find("$.a[?(@.c > 1)]", r#"{"a":[{"c":1},{"c":2}]}"#), value(r#"[{"c":2}]"#));
        assert!(Path::parse("a.b").is_none());
        assert!(Path::parse("$.a[").is_none());
    }
}
