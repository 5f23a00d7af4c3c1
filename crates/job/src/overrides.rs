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
    /// Table name, or connector name for all its tables → option → value.
    given: BTreeMap<String, Vec<(String, String)>>,
    pub local: Option<LocalTarget>,
}

impl Overrides {
    pub fn new(local: Option<LocalTarget>) -> Self {
        Self { given: BTreeMap::new(), local }
    }

    /// Understands one `--set KEY=VALUE` that changes tables: `orders.load-url=fe:8030` (one option of a table), or
    /// `orders='topic'='t','properties.bootstrap.servers'='k:9092'` (several). Instead of a table a connector can be
    /// named: then all tables of it are meant. False: `key` names neither, so it is a setting of the session.
    ///
    /// # Errors
    /// The list of options cannot be read.
    pub fn set(&mut self, key: &str, value: &str, tables: &[String]) -> Result<bool, Diagnostic> {
        let connectors = starweir_connectors::connectors().iter().map(|c| c.name);
        let mut known = tables.iter().map(String::as_str).chain(connectors);
        let name =
            known.find(|name| key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')));
        let Some(name) = name else { return Ok(false) };
        let options = match key[name.len()..].strip_prefix('.') {
            Some(option) => vec![(option.to_owned(), value.to_owned())],
            None => parse_options(value).ok_or_else(|| {
                Diagnostic::plain(format!("--set {key}=… must be a list of options"))
                    .with_hint(format!("write --set \"{key}='topic'='orders','format'='json'\""))
            })?,
        };
        self.given.entry(name.to_owned()).or_default().extend(options);
        Ok(true)
    }

    /// The options a table really has: the script's, then those for its connector, then its own, then `--local`'s.
    /// Another connector takes nothing over but the format.
    pub(crate) fn apply(&self, table: &TableDef, options: &[TableOption]) -> Vec<TableOption> {
        let mut result: Vec<TableOption> = options.to_vec();
        let connector_of =
            |options: &[TableOption]| options.iter().rev().find(|o| o.key == "connector").map(|o| o.value.clone());
        let put = |result: &mut Vec<TableOption>, key: &str, value: &str| {
            result.retain(|o| o.key != key);
            result.push(TableOption {
                key: key.to_owned(),
                value: value.to_owned(),
                key_span: table.span.clone(),
                value_span: table.span.clone(),
            });
        };
        for name in [connector_of(options).unwrap_or_default(), table.path.name.clone()] {
            let given = self.given.get(&name).map(Vec::as_slice).unwrap_or_default();
            if given.iter().any(|(key, _)| key == "connector") {
                let format = result.iter().find(|o| o.key == "format").map(|o| format!("{}.", o.value));
                result.retain(|o| o.key == "format" || format.as_ref().is_some_and(|f| o.key.starts_with(f.as_str())));
            }
            for (key, value) in given {
                put(&mut result, key, value);
            }
        }
        if let Some(local) = self.local.as_ref().filter(|_| connector_of(&result).as_deref() == Some("starrocks")) {
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
        assert_eq!(overrides.set("starrocks.load-url", "fe:8030", &tables), Ok(true));
        assert_eq!(overrides.set("pipeline.name", "x", &tables), Ok(false));
        assert!(overrides.set("orders", "connector=kafka", &tables).is_err());
        let expected = [("load-url", "fe:8030"), ("connector", "kafka"), ("topic", "it's")];
        assert_eq!(overrides.given["orders"], expected.map(|(k, v)| (k.to_string(), v.to_string())));
        assert_eq!(overrides.given["starrocks"].len(), 1);
    }
}
