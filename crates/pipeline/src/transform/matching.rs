//! Which tables a `source-table` selector means.

use fancy_regex::Regex;
use starweir_model::{Error, Result, TableId};

/// A compiled selector list, such as `db.\.*, other.orders`.
///
/// Items stand between commas; each is split at its unescaped dots into up to three parts, and every part must match
/// its part of the id completely. `\.` inside of a part is the regular expression's dot.
#[derive(Debug)]
pub(super) struct Selector {
    items: Vec<Vec<Regex>>,
}

impl Selector {
    /// # Errors
    /// When a part is no regular expression.
    pub fn new(pattern: &str) -> Result<Self> {
        let mut items = Vec::new();
        for item in pattern.split(',') {
            let item = item.trim();
            if item.is_empty() {
                continue;
            }
            let parts = parts(item).iter().map(|part| compile(part, pattern)).collect::<Result<Vec<_>>>()?;
            items.push(parts);
        }
        Ok(Self { items })
    }

    /// A pattern of more parts than the id has ignores its first ones; one of fewer parts does not match.
    pub fn matches(&self, table: &TableId) -> bool {
        let of: Vec<&str> = [table.namespace.as_deref(), table.schema.as_deref(), Some(table.table.as_str())]
            .into_iter()
            .flatten()
            .collect();
        self.items.iter().any(|parts| {
            parts.len() >= of.len()
                && parts[parts.len() - of.len()..]
                    .iter()
                    .zip(&of)
                    .all(|(regex, text)| regex.is_match(text).unwrap_or(false))
        })
    }
}

/// `db.\.*` is `db` and `.*`.
fn parts(item: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = item.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'.') => {
                chars.next();
                push(&mut parts, '.');
            }
            '.' => parts.push(String::new()),
            other => push(&mut parts, other),
        }
    }
    for part in &mut parts {
        *part = part.trim().to_owned();
    }
    parts
}

fn push(parts: &mut [String], c: char) {
    if let Some(last) = parts.last_mut() {
        last.push(c);
    }
}

fn compile(part: &str, pattern: &str) -> Result<Regex> {
    Regex::new(&format!("\\A(?:{part})\\z")).map_err(|e| {
        Error::user(format!("the table selector '{pattern}' holds '{part}', which is no regular expression"))
            .with_source(e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_match_part_by_part() {
        for (pattern, table, expected) in [
            ("db.sc1.A[0-9]+,db.sc2.B[0-1]+", "db.sc1.A2", true),
            ("db.sc1.A[0-9]+,db.sc2.B[0-1]+", "db.sc2.B2", false),
            ("db\\..sc1.A1", "db1.sc1.A1", true),
            ("db\\..sc1.A1", "db.sc1.A1", false),
            ("\\.*.\\.*.mytable1", "a.b.mytable1", true),
            ("\\.*.\\.*.\\.*", "b.c", true),
            ("db.\\.*", "a.db.t", false),
            ("db.(members|new_members)", "db.new_members", true),
            ("t", "db.t", false),
        ] {
            let selector = Selector::new(pattern).unwrap();
            assert_eq!(selector.matches(&table.parse().unwrap()), expected, "{pattern} {table}");
        }
        assert!(Selector::new("db.(").is_err());
    }
}
