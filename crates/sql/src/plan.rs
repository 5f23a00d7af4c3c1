//! What the planner hands on: tables, queries as branches of scans, and inserts. Plain data with
//! stable texts, so that a plan can be shown, compared with a checkpoint's, and shared.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::RecordBatch;
use starweir_model::{DataType, Schema};

use crate::chain::Chain;
use crate::diagnostic::Span;

/// Catalog, database and name of a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TablePath {
    pub catalog: String,
    pub database: String,
    pub name: String,
}

impl fmt::Display for TablePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.catalog, self.database, self.name)
    }
}

/// Where the values of a column come from.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnKind {
    /// Stored by the outside system.
    Physical,
    /// Computed from the row; the text of the expression.
    Computed(String),
    /// Given by the connector beside the row under `key`. Virtual ones are read only.
    Metadata { key: String, virtual_: bool },
}

#[derive(Debug, Clone, PartialEq)]
pub struct TableColumn {
    pub name: String,
    pub data_type: DataType,
    pub comment: Option<String>,
    pub kind: ColumnKind,
}

impl TableColumn {
    /// Physical columns and metadata that is not virtual take part in INSERT.
    pub fn is_persisted(&self) -> bool {
        match &self.kind {
            ColumnKind::Physical => true,
            ColumnKind::Computed(_) => false,
            ColumnKind::Metadata { virtual_, .. } => !virtual_,
        }
    }
}

/// One `'key' = 'value'` of WITH or of a hint, with its places in the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableOption {
    pub key: String,
    pub value: String,
    pub key_span: Span,
    pub value_span: Span,
}

/// `WATERMARK FOR column AS expression`.
#[derive(Debug, Clone, PartialEq)]
pub struct WatermarkSpec {
    /// Position in [`TableDef::columns`].
    pub column: usize,
    /// The text of the expression.
    pub expression: String,
}

/// A table as declared. What its connector is and whether its options are right is decided elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct TableDef {
    pub path: TablePath,
    pub columns: Vec<TableColumn>,
    pub watermark: Option<WatermarkSpec>,
    /// Positions in `columns`; empty: no key. Never enforced.
    pub primary_key: Vec<usize>,
    pub partitioned_by: Vec<String>,
    pub comment: Option<String>,
    pub options: Vec<TableOption>,
    pub temporary: bool,
    /// The CREATE TABLE statement in the script.
    pub span: Span,
}

impl TableDef {
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.iter().rev().find(|o| o.key == key).map(|o| o.value.as_str())
    }

    /// Columns that INSERT writes, in order, with the primary key's positions among them.
    pub fn sink_schema(&self) -> Schema {
        self.schema_of(|c| c.is_persisted())
    }

    /// The physical columns, in order, with the primary key's positions among them: what a
    /// connector's format reads.
    pub fn physical_schema(&self) -> Schema {
        self.schema_of(|c| c.kind == ColumnKind::Physical)
    }

    /// All columns, as SELECT * gives them.
    pub fn full_schema(&self) -> Schema {
        self.schema_of(|_| true)
    }

    fn schema_of(&self, keep: impl Fn(&TableColumn) -> bool) -> Schema {
        let kept: Vec<usize> = (0..self.columns.len()).filter(|i| keep(&self.columns[*i])).collect();
        let columns = kept
            .iter()
            .map(|i| {
                let c = &self.columns[*i];
                starweir_model::Column {
                    name: c.name.clone(),
                    data_type: c.data_type.clone(),
                    comment: c.comment.clone(),
                }
            })
            .collect();
        let key: Option<Vec<usize>> = self.primary_key.iter().map(|k| kept.iter().position(|i| i == k)).collect();
        Schema::new(columns).with_primary_key(key.unwrap_or_default())
    }
}

/// A column a scan asks its connector for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ScanColumn {
    /// Position among the table's **physical** columns ([`TableDef::physical_schema`]).
    Physical(usize),
    /// Metadata key and the type the script declares.
    Metadata(String, DataType),
}

/// Reading a table: only the columns that are used, in this order.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    pub table: Arc<TableDef>,
    /// The table's options with those of `/*+ OPTIONS(…) */` over them.
    pub options: Vec<TableOption>,
    pub columns: Vec<ScanColumn>,
    /// Names and types of `columns`: the schema of the batches the chain takes.
    pub schema: Schema,
}

impl Scan {
    /// The same text for scans that read the same: table, options and columns.
    pub fn fingerprint(&self) -> String {
        let mut text = self.source_fingerprint();
        for (column, declared) in self.columns.iter().zip(&self.schema.columns) {
            let _ = match column {
                ScanColumn::Physical(_) => write!(text, " [{} {}]", declared.name, declared.data_type),
                ScanColumn::Metadata(key, data_type) => write!(text, " [{key}: {data_type} METADATA]"),
            };
        }
        text
    }

    /// The same text for scans of the same table with the same options, whatever columns they take.
    pub fn source_fingerprint(&self) -> String {
        let mut text = self.table.path.to_string();
        let options: BTreeMap<_, _> = self.options.iter().map(|o| (&o.key, &o.value)).collect();
        for (key, value) in options {
            let secret = ["password", "secret", "token", "credential"].iter().any(|w| key.to_lowercase().contains(w));
            let _ = write!(text, " '{key}'='{}'", if secret { "******" } else { value.as_str() });
        }
        text
    }

    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.iter().rev().find(|o| o.key == key).map(|o| o.value.as_str())
    }
}

/// Where a branch's rows come from.
#[derive(Debug, Clone)]
pub enum Input {
    Scan(Scan),
    /// Constant rows.
    Values(RecordBatch),
}

/// One input and what is done to its rows.
#[derive(Debug, Clone)]
pub struct Branch {
    pub input: Input,
    pub chain: Chain,
}

/// A query that needs no state: branches that are put together as UNION ALL does.
#[derive(Debug, Clone)]
pub struct Query {
    pub schema: Schema,
    pub branches: Vec<Branch>,
}

impl Query {
    /// The plan for people, one step per line.
    pub fn explain(&self) -> String {
        let mut out = String::new();
        for (index, branch) in self.branches.iter().enumerate() {
            if self.branches.len() > 1 {
                let _ = writeln!(out, "branch {}", index + 1);
            }
            match &branch.input {
                Input::Scan(scan) => {
                    let names: Vec<_> = scan.schema.columns.iter().map(|c| c.name.as_str()).collect();
                    let _ = writeln!(out, "  scan {} ({})", scan.table.path, names.join(", "));
                }
                Input::Values(batch) => {
                    let _ = writeln!(
                        out,
                        "  values: {} row{}",
                        batch.num_rows(),
                        if batch.num_rows() == 1 { "" } else { "s" }
                    );
                }
            }
            for line in branch.chain.describe() {
                let _ = writeln!(out, "  {line}");
            }
        }
        out
    }

    /// Stable text of the plan, one fact per line, to compare a changed script with its checkpoint.
    pub fn fingerprint(&self) -> String {
        let mut out = String::new();
        for (index, branch) in self.branches.iter().enumerate() {
            let n = index + 1;
            match &branch.input {
                Input::Scan(scan) => {
                    let _ = writeln!(out, "input {n}: {}", scan.fingerprint());
                }
                Input::Values(batch) => {
                    let _ = writeln!(out, "input {n}: {} constant rows", batch.num_rows());
                }
            }
            for line in branch.chain.describe() {
                let _ = writeln!(out, "step {n}: {line}");
            }
        }
        for column in &self.schema.columns {
            let _ = writeln!(out, "result: {} {}", column.name, column.data_type);
        }
        out
    }
}

/// An INSERT: the query's columns are the target's persisted columns, in order, converted.
#[derive(Debug, Clone)]
pub struct Insert {
    pub target: Arc<TableDef>,
    /// The target's options with those of `/*+ OPTIONS(…) */` over them.
    pub options: Vec<TableOption>,
    pub query: Query,
    pub overwrite: bool,
    /// Columns the statement names (`INSERT INTO t (a, b)`), as positions among the persisted
    /// columns; empty: all of them. What is not named is NULL: a partial update needs this.
    pub target_columns: Vec<usize>,
    /// `PARTITION (a = 'x')`: column and value as text.
    pub static_partition: Vec<(String, String)>,
    pub span: Span,
}

impl Insert {
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.iter().rev().find(|o| o.key == key).map(|o| o.value.as_str())
    }

    /// Stable text of the statement's plan; see [`Query::fingerprint`].
    pub fn fingerprint(&self) -> String {
        let overwrite = if self.overwrite { " overwrite" } else { "" };
        format!("target{overwrite}: {}\n{}", self.target.path, self.query.fingerprint())
    }
}

/// What differs between two fingerprints, in words; empty when they are equal.
pub fn describe_changes(before: &str, after: &str) -> Vec<String> {
    fn group(text: &str) -> BTreeMap<&str, Vec<&str>> {
        let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for line in text.lines() {
            let (what, rest) = line.split_once(": ").unwrap_or((line, ""));
            groups.entry(what).or_default().push(rest);
        }
        groups
    }
    let (old, new) = (group(before), group(after));
    let mut changes = Vec::new();
    let mut keys: Vec<&str> = old.keys().chain(new.keys()).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        let none = Vec::new();
        let (was, is) = (old.get(key).unwrap_or(&none), new.get(key).unwrap_or(&none));
        if was == is {
            continue;
        }
        let gone: Vec<_> = was.iter().filter(|l| !is.contains(l)).collect();
        let added: Vec<_> = is.iter().filter(|l| !was.contains(l)).collect();
        if gone.is_empty() && added.is_empty() {
            changes.push(format!("{key}: the order changed"));
        }
        for line in gone {
            changes.push(format!("{key}: no longer {line}"));
        }
        for line in added {
            changes.push(format!("{key}: now {line}"));
        }
    }
    changes
}
