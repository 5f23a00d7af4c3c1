//! A transform rule as the file states it.

use serde::{Deserialize, Serialize};

/// One entry of the `transform` list. Texts are as in the file; None: not given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransformRule {
    /// Which tables: a selector list (`db.\.*, other.orders`). The first rule that matches a table is the only one
    /// applied to it.
    pub source_table: String,
    pub projection: Option<String>,
    pub filter: Option<String>,
    /// Comma list; replaces the table's key and makes the columns NOT NULL.
    pub primary_keys: Option<String>,
    /// Comma list.
    pub partition_keys: Option<String>,
    /// `k=v` list, split at `table_options_delimiter`.
    pub table_options: Option<String>,
    /// `,` unless given.
    pub table_options_delimiter: Option<String>,
    /// `SOFT_DELETE` is the only one there is.
    pub converter_after_transform: Option<String>,
    pub description: Option<String>,
}

/// A `user-defined-function` entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserFunction {
    pub name: String,
    /// Java class; cannot run here and is refused by name, except the two example classes of Flink CDC.
    pub classpath: String,
    pub options: Vec<(String, String)>,
}
