//! Statement texts, every name quoted, every text escaped.

use starweir_model::{Error, Result, TableName};

use crate::types::StarRocksType;

/// A name in back-ticks.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// `db`.`table`.
pub fn quoted_table(table: &TableName) -> String {
    format!("{}.{}", quoted(&table.database), quoted(&table.table))
}

/// A text literal in double quotes.
pub fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The table models of StarRocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TableModel {
    Duplicate,
    Aggregate,
    Unique,
    Primary,
}

/// What a column without a value gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnDefault {
    Text(String),
    CurrentTimestamp,
}

/// A column of a table to be made or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDefinition {
    pub name: String,
    pub data_type: StarRocksType,
    pub nullable: bool,
    pub default: Option<ColumnDefault>,
    pub comment: Option<String>,
}

impl ColumnDefinition {
    pub fn new(name: impl Into<String>, data_type: StarRocksType) -> Self {
        Self { name: name.into(), data_type, nullable: true, default: None, comment: None }
    }

    fn sql(&self) -> String {
        let mut out = format!("{} {}", quoted(&self.name), self.data_type);
        out.push_str(if self.nullable { " NULL" } else { " NOT NULL" });
        match &self.default {
            Some(ColumnDefault::Text(value)) => out.push_str(&format!(" DEFAULT {}", text(value))),
            Some(ColumnDefault::CurrentTimestamp) => out.push_str(" DEFAULT CURRENT_TIMESTAMP"),
            None => {}
        }
        if let Some(comment) = self.comment.as_deref().filter(|c| !c.is_empty()) {
            out.push_str(&format!(" COMMENT {}", text(comment)));
        }
        out
    }
}

/// A table to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDefinition {
    pub table: TableName,
    pub columns: Vec<ColumnDefinition>,
    pub model: TableModel,
    /// Names of the key's columns.
    pub keys: Vec<String>,
    /// Columns rows are distributed by; empty: the key's (or at random without key).
    pub distributed_by: Vec<String>,
    /// None: the server chooses.
    pub buckets: Option<u32>,
    pub properties: Vec<(String, String)>,
    pub comment: Option<String>,
}

impl TableDefinition {
    /// A primary-key table.
    pub fn primary(table: TableName, columns: Vec<ColumnDefinition>, keys: Vec<String>) -> Self {
        Self {
            table,
            columns,
            model: TableModel::Primary,
            keys,
            distributed_by: Vec::new(),
            buckets: None,
            properties: Vec::new(),
            comment: None,
        }
    }

    /// The CREATE TABLE statement. Key columns are moved to the front in the key's order and made NOT NULL, as
    /// the server demands. Errors: a key column that does not exist, or whose type cannot be a key.
    pub fn create_sql(&self, if_not_exists: bool) -> Result<String> {
        let mut columns = Vec::with_capacity(self.columns.len());
        for key in &self.keys {
            let column = (self.columns.iter().find(|c| c.name.eq_ignore_ascii_case(key)))
                .ok_or_else(|| Error::user(format!("key column '{key}' is not a column of table {}", self.table)))?;
            if self.model == TableModel::Primary && !column.data_type.can_be_key() {
                return Err(Error::user(format!(
                    "column '{key}' of table {} is of type {}, which cannot be in a primary key",
                    self.table, column.data_type
                )));
            }
            let mut column = column.clone();
            column.nullable = self.model != TableModel::Primary && column.nullable;
            columns.push(column);
        }
        if self.model == TableModel::Primary && self.keys.is_empty() {
            return Err(Error::user(format!("table {} has no primary key", self.table)));
        }
        columns.extend(
            self.columns.iter().filter(|c| !self.keys.iter().any(|k| k.eq_ignore_ascii_case(&c.name))).cloned(),
        );
        let names = |list: &[String]| list.iter().map(|n| quoted(n)).collect::<Vec<_>>().join(", ");
        let exists = if if_not_exists { "IF NOT EXISTS " } else { "" };
        let columns: Vec<_> = columns.iter().map(|c| format!("  {}", c.sql())).collect();
        let mut sql = format!("CREATE TABLE {exists}{} (\n{}\n)", quoted_table(&self.table), columns.join(",\n"));
        let model = match self.model {
            TableModel::Duplicate => "DUPLICATE KEY",
            TableModel::Aggregate => "AGGREGATE KEY",
            TableModel::Unique => "UNIQUE KEY",
            TableModel::Primary => "PRIMARY KEY",
        };
        if !self.keys.is_empty() {
            sql.push_str(&format!("\n{model} ({})", names(&self.keys)));
        }
        if let Some(comment) = self.comment.as_deref().filter(|c| !c.is_empty()) {
            sql.push_str(&format!("\nCOMMENT {}", text(comment)));
        }
        let by = if self.distributed_by.is_empty() { &self.keys } else { &self.distributed_by };
        if !by.is_empty() {
            sql.push_str(&format!("\nDISTRIBUTED BY HASH ({})", names(by)));
        } else if self.buckets.is_some() {
            sql.push_str("\nDISTRIBUTED BY RANDOM");
        }
        if let Some(buckets) = self.buckets {
            sql.push_str(&format!(" BUCKETS {buckets}"));
        }
        sql.push_str(&properties(&self.properties));
        Ok(sql)
    }
}

fn properties(list: &[(String, String)]) -> String {
    if list.is_empty() {
        return String::new();
    }
    let pairs: Vec<_> = list.iter().map(|(k, v)| format!("{} = {}", text(k), text(v))).collect();
    format!("\nPROPERTIES ({})", pairs.join(", "))
}

pub fn create_database(name: &str, if_not_exists: bool) -> String {
    format!("CREATE DATABASE {}{}", if if_not_exists { "IF NOT EXISTS " } else { "" }, quoted(name))
}

pub fn drop_database(name: &str, if_exists: bool) -> String {
    format!("DROP DATABASE {}{}", if if_exists { "IF EXISTS " } else { "" }, quoted(name))
}

pub fn drop_table(table: &TableName, if_exists: bool) -> String {
    format!("DROP TABLE {}{}", if if_exists { "IF EXISTS " } else { "" }, quoted_table(table))
}

pub fn truncate_table(table: &TableName) -> String {
    format!("TRUNCATE TABLE {}", quoted_table(table))
}

/// Columns are always added at the end; `timeout_s` bounds the server's schema change job.
pub fn add_columns(table: &TableName, columns: &[ColumnDefinition], timeout_s: u64) -> String {
    let adds: Vec<_> = columns.iter().map(|c| format!("ADD COLUMN {}", c.sql())).collect();
    format!("ALTER TABLE {} {}{}", quoted_table(table), adds.join(", "), timeout(timeout_s))
}

pub fn drop_columns(table: &TableName, names: &[String], timeout_s: u64) -> String {
    let drops: Vec<_> = names.iter().map(|n| format!("DROP COLUMN {}", quoted(n))).collect();
    format!("ALTER TABLE {} {}{}", quoted_table(table), drops.join(", "), timeout(timeout_s))
}

/// The definition must repeat nullability, default and comment: what is left out is lost.
pub fn modify_column(table: &TableName, column: &ColumnDefinition, timeout_s: u64) -> String {
    format!("ALTER TABLE {} MODIFY COLUMN {}{}", quoted_table(table), column.sql(), timeout(timeout_s))
}

pub fn rename_column(table: &TableName, from: &str, to: &str) -> String {
    format!("ALTER TABLE {} RENAME COLUMN {} TO {}", quoted_table(table), quoted(from), quoted(to))
}

fn timeout(seconds: u64) -> String {
    format!(" PROPERTIES (\"timeout\" = \"{seconds}\")")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_made_with_its_key_first_and_everything_quoted() {
        let columns = vec![
            ColumnDefinition { comment: Some("a \"b\"".into()), ..ColumnDefinition::new("v`1", StarRocksType::Int) },
            ColumnDefinition::new("id", StarRocksType::BigInt),
        ];
        let mut table = TableDefinition::primary(TableName::new("d", "t"), columns, vec!["id".into()]);
        table.properties = vec![("replication_num".into(), "1".into())];
        assert_eq!(
            table.create_sql(true).unwrap(),
            "CREATE TABLE IF NOT EXISTS `d`.`t` (\n  `id` BIGINT NOT NULL,\n  `v``1` INT NULL COMMENT \"a \\\"b\\\"\"\n)\n\
             PRIMARY KEY (`id`)\nDISTRIBUTED BY HASH (`id`)\nPROPERTIES (\"replication_num\" = \"1\")"
        );
        table.keys = vec!["nope".into()];
        assert!(table.create_sql(true).is_err());
    }

    #[test]
    fn changes_keep_defaults_and_quote_new_names() {
        let table = TableName::new("d", "t");
        let column = ColumnDefinition {
            nullable: false,
            default: Some(ColumnDefault::Text("x".into())),
            ..ColumnDefinition::new("c", StarRocksType::Varchar(4))
        };
        assert_eq!(
            modify_column(&table, &column, 60),
            "ALTER TABLE `d`.`t` MODIFY COLUMN `c` VARCHAR(4) NOT NULL DEFAULT \"x\" PROPERTIES (\"timeout\" = \"60\")"
        );
        assert_eq!(rename_column(&table, "a", "b"), "ALTER TABLE `d`.`t` RENAME COLUMN `a` TO `b`");
    }
}
