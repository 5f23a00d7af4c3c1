//! Which tables a pattern names: the matcher of `tables`, `tables.exclude` and `transform.source-table`. (Routes have
//! another one.)

use regex::Regex;

use crate::error::Error;
use crate::table::TableId;

/// A comma list of patterns. Each is split at unescaped dots into one to three parts; `\.` inside a part is the dot of
/// regular expressions, and every part must match its part of the table's name as a whole.
#[derive(Debug, Clone)]
pub struct Selector {
    items: Vec<Item>,
}

#[derive(Debug, Clone)]
struct Item {
    /// Last part first: table, schema, namespace.
    parts: Vec<Regex>,
    /// With dots as one regular expression over the whole name.
    expression: String,
}

impl Selector {
    /// Reads a list. Blanks around patterns do not count.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut items = Vec::new();
        for pattern in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let texts = parts(pattern);
            if texts.len() > 3 {
                return Err(Error::user(format!("table pattern '{pattern}' has more than three parts"))
                    .with_hint("a dot separates parts; write `\\.` for the dot of regular expressions"));
            }
            let regexes = texts.iter().rev().map(|part| {
                Regex::new(&format!("^(?:{part})$")).map_err(|e| {
                    Error::user(format!("table pattern '{pattern}' is not a regular expression")).with_source(e)
                })
            });
            items.push(Item { parts: regexes.collect::<Result<_, _>>()?, expression: texts.join("\\.") });
        }
        if items.is_empty() {
            return Err(Error::user(format!("table pattern '{text}' names no table")));
        }
        Ok(Self { items })
    }

    pub fn matches(&self, id: &TableId) -> bool {
        self.items.iter().any(|item| item.matches(id))
    }

    /// The list as one regular expression over `schema.table`: how Debezium's options have it.
    pub fn to_expression(&self) -> String {
        self.items.iter().map(|item| item.expression.as_str()).collect::<Vec<_>>().join("|")
    }
}

impl Item {
    fn matches(&self, id: &TableId) -> bool {
        let names = [Some(&id.table), id.schema.as_ref(), id.namespace.as_ref()];
        let present = names.iter().flatten().count();
        // A pattern with fewer parts than the name does not match; of one with more, the leading parts do not count.
        self.parts.len() >= present
            && self.parts.iter().zip(names.iter().flatten()).all(|(part, name)| part.is_match(name))
    }
}

/// The parts between unescaped dots; escaped dots lose their escape.
fn parts(pattern: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        let last = out.len() - 1;
        match c {
            '\\' if chars.peek() == Some(&'.') => {
                chars.next();
                out[last].push('.');
            }
            '.' => out.push(String::new()),
            c => out[last].push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_part_by_part() {
        for (pattern, id, expected) in [
            (r"db\..\.*", "db2.t", true),
            (r"db\..\.*", "db.t", false),
            (r"\.*.\.*", "a.b", true),
            (r"db.tbl1 , db2.tbl\.*", "db2.tbl7", true),
            (r"db.tbl1", "db.tbl11", false),
            (r"sc1.A[0-9]+,sc2.B[0-1]+", "sc1.A2", true),
            (r"sc1.A[0-9]+", "db.sc1.A2", false),
            (r"db.sc1.A[0-9]+", "sc1.A2", true),
            (r"\.A[0-9]+,B[0-1]+", "1A1", true),
            (r"a|b.t|u", "b.u", true),
            (r"a|b.t|u", "b.uu", false),
        ] {
            assert_eq!(Selector::parse(pattern).unwrap().matches(&id.parse().unwrap()), expected, "{pattern} {id}");
        }
    }

    #[test]
    fn a_list_is_one_expression_for_debezium() {
        assert_eq!(
            Selector::parse(r"db.tbl1 , db2.tbl\.* , db3.tbl3").unwrap().to_expression(),
            r"db\.tbl1|db2\.tbl.*|db3\.tbl3"
        );
        assert!(Selector::parse(" , ").is_err());
        assert!(Selector::parse("a.(b").is_err());
        assert!(Selector::parse("a.b.c.d").is_err());
    }
}
