//! Lists of table patterns, as `tables`, `tables.exclude` and a transform's `source-table` have them.
//!
//! A comma list; each item has one to three parts separated by dots (`table`, `schema.table`,
//! `namespace.schema.table`), and each part is a regular expression that must match its part of the table's id
//! completely. `\.` is not a separator but the regular expression's dot. Flink CDC: `Selectors`, `Predicates`.

use fancy_regex::Regex;

use crate::error::Error;
use crate::table::TableId;

/// A list of table patterns.
#[derive(Debug, Clone)]
pub struct Selector {
    text: String,
    items: Vec<Vec<Regex>>,
}

impl Selector {
    /// # Errors
    /// An empty list, an item with more than three parts, a part that is no regular expression.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let items = split(text, ',')
            .iter()
            .map(|item| item.trim())
            .filter(|item| !item.is_empty())
            .map(|item| {
                let parts = split(item, '.');
                if parts.len() > 3 {
                    return Err(Error::user(format!("Invalid table inclusion pattern: {text}"))
                        .with_hint("an item has at most three parts; write \\. for the dot of a regular expression"));
                }
                parts.iter().map(|part| anchored(&part.replace("\\.", "."))).collect()
            })
            .collect::<Result<Vec<Vec<Regex>>, Error>>()?;
        if items.is_empty() {
            return Err(Error::user("Invalid table inclusion pattern cannot be null or empty"));
        }
        Ok(Self { text: text.to_owned(), items })
    }

    /// Tables whose parts match these regular expressions, one for each part of the id; case does not count, as in
    /// Debezium's lists, which the options of Flink's SQL connectors end in.
    ///
    /// # Errors
    /// A part that is no regular expression: its place in `parts`, and what is wrong.
    pub fn from_expressions(parts: &[&str]) -> Result<Self, (usize, Error)> {
        let item = parts
            .iter()
            .enumerate()
            .map(|(at, part)| anchored(&format!("(?i){part}")).map_err(|e| (at, e)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { text: parts.join("."), items: vec![item] })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The list as one regular expression over the whole id: how Debezium's options have it.
    pub fn to_expression(&self) -> String {
        let part = |regex: &Regex| {
            let text = regex.as_str();
            text.strip_prefix("^(?:").and_then(|t| t.strip_suffix(")$")).unwrap_or(text).to_owned()
        };
        let item = |parts: &Vec<Regex>| parts.iter().map(part).collect::<Vec<_>>().join("\\.");
        self.items.iter().map(item).collect::<Vec<_>>().join("|")
    }

    /// An item with fewer parts than the id never matches; of one with more, the last parts count.
    pub fn matches(&self, id: &TableId) -> bool {
        let names: Vec<&str> =
            [id.namespace.as_deref(), id.schema.as_deref(), Some(id.table.as_str())].into_iter().flatten().collect();
        self.items.iter().any(|parts| {
            parts.len() >= names.len()
                && parts[parts.len() - names.len()..]
                    .iter()
                    .zip(&names)
                    .all(|(part, name)| part.is_match(name).unwrap_or(false))
        })
    }
}

/// A regular expression that must match the whole of a text.
pub(crate) fn anchored(pattern: &str) -> Result<Regex, Error> {
    Regex::new(&format!("^(?:{pattern})$"))
        .map_err(|e| Error::user(format!("'{pattern}' is not a regular expression")).with_source(e))
}

/// Splits at `separator` where no backslash stands before it.
fn split(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        if c == separator && !escaped {
            parts.push(String::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_must_match_completely() {
        let rows: &[(&str, &str, bool)] = &[
            ("db.orders", "db.orders", true),
            ("db.orders", "db.orders2", false),
            ("db.\\.*", "db.anything", true),
            ("db.\\.*", "db2.anything", false),
            ("db\\..\\.*", "db2.t", true),
            ("db\\..\\.*", "db.t", false),
            ("a.t , b.t", "b.t", true),
            ("db.s.t[0-9]+", "db.s.t12", true),
            ("db.s.t[0-9]+", "s.t12", true),
            ("t", "db.t", false),
            ("db.t", "x.db.t", false),
            ("db.(a|b)_\\.*", "db.b_1", true),
        ];
        for (pattern, id, expected) in rows {
            let selector = Selector::parse(pattern).unwrap();
            assert_eq!(selector.matches(&id.parse().unwrap()), *expected, "{pattern} on {id}");
        }
    }

    #[test]
    fn expressions_match_their_part_whatever_the_case() {
        let rows: &[(&str, &str, &str, bool)] = &[
            ("shop", "orders", "shop.orders", true),
            ("shop", "orders", "SHOP.Orders", true),
            ("shop", "orders", "shop.orders_old", false),
            ("shop_.*", "orders|customers", "shop_eu.customers", true),
            ("shop_.*", "orders|customers", "other.customers", false),
            (".*[p$]", "(t[5-8]|tt)", "shop.t6", true),
            ("shop", "t.2", "shop.t.2", true),
        ];
        for (database, table, id, expected) in rows {
            let selector = Selector::from_expressions(&[database, table]).unwrap();
            let (schema, name) = id.split_once('.').unwrap();
            assert_eq!(selector.matches(&TableId::in_schema(schema, name)), *expected, "{database}.{table} on {id}");
        }
        assert_eq!(Selector::from_expressions(&["a", "("]).unwrap_err().0, 1);
    }

    #[test]
    fn a_list_is_one_expression_for_debezium() {
        let selector = Selector::parse(r"db.tbl1 , db2.tbl\.* , db3.tbl3").unwrap();
        assert_eq!(selector.to_expression(), r"db\.tbl1|db2\.tbl.*|db3\.tbl3");
    }

    #[test]
    fn what_is_no_list_of_patterns_is_refused() {
        for text in ["", " , ", "a.b.c.d", "db.(", "db.[z-a]"] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
    }
}
