//! Changes from outside the script: `--set` for tables, and `--local`.

use std::collections::BTreeMap;

use starweir_sql::{Diagnostic, TableDef, TableOption};

/// Where `--local` sends every StarRocks table.
#[derive(Debug, Clone)]
pub struct LocalTarget {
    pub jdbc_url: String,
    pub load_url: String,
    pub user: String,
    pub password: String,
}

/// What the command line changes in tables.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Table name → option → value.
    tables: BTreeMap<String, Vec<(String, String)>>,
    pub local: Option<LocalTarget>,
}

impl Overrides {
    pub fn new(local: Option<LocalTarget>) -> Self {
        Self { tables: BTreeMap::new(), local }
    }

    /// Understands one `--set KEY=VALUE` for a table: `orders.load-url=fe:8030` (one option), or
    /// `orders='connector'='kafka','topic'='t'` (several; with a connector among them they replace all options of the
    /// script). False: `key` names no table, so it is a setting of the session.
    ///
    /// # Errors
    /// The list of options cannot be read.
    pub fn set(&mut self, key: &str, value: &str, tables: &[String]) -> Result<bool, Diagnostic> {
        if tables.iter().any(|t| t == key) {
            let options = parse_options(value).ok_or_else(|| {
                Diagnostic::plain(format!("--set {key}=… must be a list of options"))
                    .with_hint("write --set \"orders='connector'='kafka','topic'='orders'\"")
            })?;
            self.tables.entry(key.to_owned()).or_default().extend(options);
            return Ok(true);
        }
        let table = tables.iter().find(|t| key.strip_prefix(t.as_str()).is_some_and(|rest| rest.starts_with('.')));
        let Some(table) = table else { return Ok(false) };
        let option = key[table.len() + 1..].to_owned();
        self.tables.entry(table.clone()).or_default().push((option, value.to_owned()));
        Ok(true)
    }

    /// The options a table really has.
    pub(crate) fn apply(&self, table: &TableDef, options: &[TableOption]) -> Vec<TableOption> {
        let mut result: Vec<TableOption> = options.to_vec();
        let given = self.tables.get(&table.path.name).cloned().unwrap_or_default();
        if given.iter().any(|(key, _)| key == "connector") {
            result.clear();
        }
        let put = |result: &mut Vec<TableOption>, key: &str, value: &str| {
            result.retain(|o| o.key != key);
            result.push(TableOption {
                key: key.to_owned(),
                value: value.to_owned(),
                key_span: table.span.clone(),
                value_span: table.span.clone(),
            });
        };
        for (key, value) in &given {
            put(&mut result, key, value);
        }
        let is_starrocks = |options: &[TableOption]| {
            options.iter().rev().find(|o| o.key == "connector").is_some_and(|o| o.value == "starrocks")
        };
        if let Some(local) = self.local.as_ref().filter(|_| is_starrocks(&result)) {
            for (key, value) in [
                ("jdbc-url", &local.jdbc_url),
                ("load-url", &local.load_url),
                ("username", &local.user),
                ("password", &local.password),
            ] {
                put(&mut result, key, value);
            }
            result.retain(|o| o.key != "sink.be-host-mapping-list" && o.key != "scan-url");
        }
        result
    }
}

/// `'key'='value', …`; quotes doubled inside.
fn parse_options(text: &str) -> Option<Vec<(String, String)>> {
    let mut rest = text.trim();
    let mut options = Vec::new();
    loop {
        let (key, after) = quoted(rest)?;
        let (value, after) = quoted(after.trim_start().strip_prefix('=')?.trim_start())?;
        options.push((key, value));
        rest = after.trim_start();
        if rest.is_empty() {
            return Some(options);
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('\'')?;
    let mut out = String::new();
    loop {
        let end = rest.find('\'')?;
        out.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('\'') {
            Some(more) => {
                out.push('\'');
                rest = more;
            }
            None => return Some((out, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_option_many_options_or_a_setting() {
        let tables = ["orders".to_string()];
        let mut overrides = Overrides::default();
        assert_eq!(overrides.set("orders.load-url", "fe:8030", &tables), Ok(true));
        assert_eq!(overrides.set("orders", "'connector' = 'kafka', 'topic'='it''s'", &tables), Ok(true));
        assert_eq!(overrides.set("pipeline.name", "x", &tables), Ok(false));
        assert!(overrides.set("orders", "connector=kafka", &tables).is_err());
        let expected = [("load-url", "fe:8030"), ("connector", "kafka"), ("topic", "it's")];
        assert_eq!(overrides.tables["orders"], expected.map(|(k, v)| (k.to_string(), v.to_string())));
    }
}
