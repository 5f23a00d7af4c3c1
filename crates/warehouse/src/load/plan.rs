//! What a load will do, from its headers (protocol reference 1.4 and 1.6). Everything that can be
//! wrong about a load before its first byte is found here.

use sqlparser::ast;

use super::csv::{CsvFormat, separator};
use crate::catalog::{ColumnDefault, TableDef, TableModel};
use crate::json::{self, Step};
use crate::sql::lexer::{Cursor, split_angles, statements};
use crate::sql::parser;
use crate::types::SqlType;

/// Compression of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Deflate,
    Zstd,
    Bzip2,
    Lz4Frame,
}

impl Compression {
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "" | "NONE" | "NO_COMPRESSION" => Self::None,
            "GZIP" => Self::Gzip,
            "DEFLATE" | "ZLIB" => Self::Deflate,
            "ZSTD" => Self::Zstd,
            "BZIP2" => Self::Bzip2,
            "LZ4" | "LZ4_FRAME" => Self::Lz4Frame,
            _ => return None,
        })
    }
}

/// Why a load cannot be planned, and the status the transaction interface gives it.
#[derive(Debug, Clone)]
pub struct PlanError {
    /// ANALYSIS_ERROR, INVALID_ARGUMENT or INTERNAL_ERROR.
    pub status: &'static str,
    pub message: String,
}

fn invalid(message: impl Into<String>) -> PlanError {
    PlanError { status: "INVALID_ARGUMENT", message: message.into() }
}

fn analysis(message: impl Into<String>) -> PlanError {
    PlanError { status: "ANALYSIS_ERROR", message: message.into() }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Csv,
    Json,
}

/// Where a source column's values go.
#[derive(Debug, Clone)]
pub struct Source {
    pub name: String,
    pub sql_type: SqlType,
    /// The table column it is, when it is one and is taken as it comes.
    pub target: Option<usize>,
    /// JSON: the path below the object; a single key is read without a tree.
    pub path: Vec<Step>,
    pub is_op: bool,
}

#[derive(Debug, Clone)]
pub struct LoadPlan {
    pub format: Format,
    pub compression: Compression,
    pub csv: CsvFormat,
    pub skip_header: usize,
    pub sources: Vec<Source>,
    /// Derived table columns, in order.
    pub derived: Vec<(usize, ast::Expr)>,
    /// A derived `__op`.
    pub derived_op: Option<ast::Expr>,
    pub selection: Option<ast::Expr>,
    pub max_filter_ratio: f64,
    pub strict: bool,
    pub strip_outer_array: bool,
    pub json_root: Option<Vec<Step>>,
    pub debezium: bool,
    /// JSON: every source is one key of the object.
    pub flat: bool,
    /// Ids of the columns a partial update gives.
    pub partial: Option<Vec<u32>>,
    pub condition: Option<u32>,
    pub negative: bool,
    pub partitions: Vec<String>,
}

/// Reads headers by lower-case name.
pub type Headers<'a> = &'a dyn Fn(&str) -> Option<String>;

fn flag(headers: Headers<'_>, name: &str) -> Result<bool, PlanError> {
    match headers(name).as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("false" | "0" | "") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(_) if name == "strict_mode" => Err(invalid("Invalid strict mode format. Must be bool type")),
        Some(_) => Ok(false),
    }
}

enum Item {
    Plain(String),
    Derived(String, Box<ast::Expr>),
}

/// `a, b, tmp, c = expr(tmp)`.
fn column_items(text: &str) -> Result<Vec<Item>, PlanError> {
    let wrong = |m: String| analysis(format!("parse columns header failed: {m}"));
    let all = statements(text).map_err(|e| wrong(e.message))?;
    let Some((text, tokens)) = all.into_iter().next() else { return Ok(Vec::new()) };
    let tokens = split_angles(&tokens);
    let mut c = Cursor::new(&text, &tokens);
    let mut out = Vec::new();
    loop {
        let name = c.ident().map_err(|e| wrong(e.message))?;
        if c.eat_token(&sqlparser::tokenizer::Token::Eq) {
            let e = c.expression_until(&[]);
            out.push(Item::Derived(name, Box::new(parser::parse_expression(e).map_err(|e| wrong(e.message))?)));
        } else {
            out.push(Item::Plain(name));
        }
        if c.done() {
            return Ok(out);
        }
        if !c.eat_token(&sqlparser::tokenizer::Token::Comma) {
            return Err(wrong(c.unexpected(",").message));
        }
    }
}

fn words_of(e: &ast::Expr) -> Vec<String> {
    use std::ops::ControlFlow;
    let mut out = Vec::new();
    let _ = ast::visit_expressions(e, |e| {
        match e {
            ast::Expr::Identifier(i) => out.push(i.value.to_lowercase()),
            ast::Expr::CompoundIdentifier(p) => out.extend(p.last().map(|i| i.value.to_lowercase())),
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    out
}

impl LoadPlan {
    pub fn new(def: &TableDef, headers: Headers<'_>) -> Result<LoadPlan, PlanError> {
        let mut compression = Compression::None;
        let format = match headers("format").unwrap_or_default().to_ascii_lowercase().as_str() {
            "" | "csv" => Format::Csv,
            "json" => Format::Json,
            other => match Compression::parse(other) {
                Some(c) if c != Compression::None => {
                    compression = c;
                    Format::Csv
                }
                _ => {
                    return Err(invalid(format!(
                        "unknown data format, format={}",
                        headers("format").unwrap_or_default()
                    )));
                }
            },
        };
        match (headers("compression"), headers("content-encoding")) {
            (Some(_), Some(_)) => {
                return Err(invalid("Only one of http header content-encoding and compression can be set"));
            }
            (Some(name), None) | (None, Some(name)) => {
                compression = Compression::parse(&name)
                    .ok_or_else(|| invalid(format!("Unsupported compression type: {name}")))?;
            }
            (None, None) => {}
        }
        let byte = |name: &str| headers(name).and_then(|v| v.bytes().next());
        let csv = CsvFormat {
            column_separator: separator(&headers("column_separator").unwrap_or_else(|| "\\t".into()))
                .map_err(invalid)?,
            row_delimiter: separator(&headers("row_delimiter").unwrap_or_else(|| "\\n".into())).map_err(invalid)?,
            enclose: byte("enclose"),
            escape: byte("escape"),
            trim_space: flag(headers, "trim_space")?,
        };
        let skip_header = match headers("skip_header") {
            Some(n) => n.parse().map_err(|_| invalid("Invalid csv load skip_header format"))?,
            None => 0,
        };
        let max_filter_ratio = match headers("max_filter_ratio") {
            Some(r) => match r.parse::<f64>() {
                Ok(v) if (0.0..=1.0).contains(&v) => v,
                _ => return Err(invalid("Invalid max_filter_ratio format. Must be a double in [0, 1]")),
            },
            None => 0.0,
        };
        let strict = flag(headers, "strict_mode")?;
        if headers("partitions").is_some() && headers("temporary_partitions").is_some() {
            return Err(invalid("Can not specify both partitions and temporary partitions"));
        }
        let partitions: Vec<String> = headers("partitions")
            .or_else(|| headers("temporary_partitions"))
            .map(|p| p.split(',').map(|n| n.trim().trim_matches('`').to_string()).filter(|n| !n.is_empty()).collect())
            .unwrap_or_default();
        for p in &partitions {
            if !def.partitions.iter().any(|d| d.name.eq_ignore_ascii_case(p)) {
                return Err(analysis(format!("unknown partition '{p}' in table '{}'", def.name)));
            }
        }
        let partial_update = flag(headers, "partial_update")?;
        if partial_update && def.model != TableModel::Primary {
            return Err(analysis("Only primary key table support partial update"));
        }
        let items = column_items(&headers("columns").unwrap_or_default())?;
        let debezium = match headers("envelope").map(|e| e.to_ascii_lowercase()).as_deref() {
            None | Some("") => false,
            Some("debezium") if format == Format::Json => true,
            Some("debezium") => return Err(invalid("envelope=debezium is only supported for JSON format")),
            Some(other) => return Err(invalid(format!("unsupported envelope: {other}"))),
        };
        let mut plan = LoadPlan {
            format,
            compression,
            csv,
            skip_header,
            sources: Vec::new(),
            derived: Vec::new(),
            derived_op: None,
            selection: None,
            max_filter_ratio,
            strict,
            strip_outer_array: flag(headers, "strip_outer_array")?,
            json_root: None,
            debezium,
            flat: true,
            partial: None,
            condition: None,
            negative: flag(headers, "negative")?,
            partitions,
        };
        plan.columns(def, items, partial_update)?;
        if let Some(text) = headers("where").filter(|w| !w.trim().is_empty()) {
            plan.selection = Some(
                parser::parse_expression(&text)
                    .map_err(|e| analysis(format!("parse where header failed: {}", e.message)))?,
            );
        }
        if format == Format::Json {
            plan.json_paths(headers, def)?;
        }
        if partial_update {
            plan.partial_columns(def, headers)?;
        }
        plan.condition = plan.merge_condition(def, headers)?;
        Ok(plan)
    }

    fn columns(&mut self, def: &TableDef, items: Vec<Item>, partial_update: bool) -> Result<(), PlanError> {
        let mut items = items;
        let keyed = def.model == TableModel::Primary;
        if !items.iter().any(|i| matches!(i, Item::Plain(_))) {
            // No file columns named: the table's own, before the derived ones.
            let mut own: Vec<Item> = def
                .columns
                .iter()
                .filter(|c| c.generated.is_none() && !c.auto_increment)
                .map(|c| Item::Plain(c.name.clone()))
                .collect();
            // A derived column is still a column of the file.
            own.append(&mut items);
            items = own;
        }
        let used: Vec<String> = items
            .iter()
            .filter_map(|i| match i {
                Item::Derived(_, e) => Some(words_of(e)),
                Item::Plain(_) => None,
            })
            .flatten()
            .collect();
        let overridden: Vec<String> = items
            .iter()
            .filter_map(|i| match i {
                Item::Derived(n, _) => Some(n.to_lowercase()),
                Item::Plain(_) => None,
            })
            .collect();
        let mut seen = std::collections::HashSet::new();
        let mut given = std::collections::HashSet::new();
        for item in items {
            match item {
                Item::Plain(name) => {
                    let lower = name.to_lowercase();
                    if !seen.insert(lower.clone()) {
                        return Err(analysis(format!("Duplicate column: {name}")));
                    }
                    let is_op = keyed && lower == "__op";
                    let in_table = def.column_index(&name);
                    if let Some(i) = in_table
                        && def.columns[i].generated.is_some()
                    {
                        return Err(analysis(format!("generated column: {name} can not be specified")));
                    }
                    let as_text = used.contains(&lower) || in_table.is_none();
                    let target = in_table.filter(|_| !overridden.contains(&lower));
                    let sql_type = match in_table {
                        Some(i) if !used.contains(&lower) && target.is_some() => def.columns[i].sql_type.clone(),
                        _ if is_op => SqlType::STRING,
                        _ => SqlType::Varchar(crate::types::VARCHAR_MAX),
                    };
                    let _ = as_text;
                    if let Some(t) = target {
                        given.insert(t);
                    }
                    self.sources.push(Source { path: vec![Step::Key(name.clone())], name, sql_type, target, is_op });
                }
                Item::Derived(name, e) => {
                    if keyed && name.eq_ignore_ascii_case("__op") {
                        self.derived_op = Some(*e);
                        continue;
                    }
                    let Some(i) = def.column_index(&name) else {
                        return Err(analysis(format!("Mapping column is not in table. column: {name}")));
                    };
                    if def.columns[i].generated.is_some() {
                        return Err(analysis(format!("generated column: {name} can not be specified")));
                    }
                    given.insert(i);
                    self.derived.push((i, *e));
                }
            }
        }
        if self.format == Format::Json && keyed && self.derived_op.is_none() && !self.sources.iter().any(|s| s.is_op) {
            self.sources.push(Source {
                name: "__op".into(),
                sql_type: SqlType::STRING,
                target: None,
                path: vec![Step::Key("__op".into())],
                is_op: true,
            });
        }
        if !partial_update {
            for (i, c) in def.columns.iter().enumerate() {
                let optional =
                    c.nullable || c.auto_increment || c.generated.is_some() || c.default != ColumnDefault::None;
                if !given.contains(&i) && !optional {
                    return Err(analysis(format!("Column has no default value. column: {}", c.name)));
                }
            }
        }
        Ok(())
    }

    fn json_paths(&mut self, headers: Headers<'_>, def: &TableDef) -> Result<(), PlanError> {
        if let Some(text) = headers("jsonpaths").filter(|t| !t.trim().is_empty()) {
            let paths: Vec<String> = serde_json::from_str(&text)
                .map_err(|_| invalid("Invalid json path: the header jsonpaths must be a JSON array of texts"))?;
            let mut i = 0;
            for source in &mut self.sources {
                let Some(p) = paths.get(i) else { continue };
                if source.is_op && source.name == "__op" && i >= paths.len() {
                    continue;
                }
                source.path = json::path(p).ok_or_else(|| invalid(format!("Invalid json path: {p}")))?;
                i += 1;
            }
            // Columns beyond the paths have none and stay NULL, except an operation read by its own key.
            let (n, mut at) = (paths.len(), 0);
            self.sources.retain(|s| {
                at += 1;
                at <= n || (s.is_op && s.name == "__op")
            });
            let _ = def;
        }
        if let Some(text) = headers("json_root").filter(|t| !t.trim().is_empty()) {
            self.json_root = Some(json::path(&text).ok_or_else(|| invalid(format!("Invalid json root: {text}")))?);
        }
        self.flat = self.json_root.is_none()
            && !self.debezium
            && self.sources.iter().all(|s| matches!(s.path.as_slice(), [Step::Key(_)]));
        Ok(())
    }

    fn partial_columns(&mut self, def: &TableDef, headers: Headers<'_>) -> Result<(), PlanError> {
        if headers("columns").is_none_or(|c| c.trim().is_empty()) {
            return Err(analysis("Partial update must specify the columns"));
        }
        let given: Vec<usize> =
            self.sources.iter().filter_map(|s| s.target).chain(self.derived.iter().map(|d| d.0)).collect();
        for (i, c) in def.columns.iter().enumerate().filter(|(_, c)| c.key) {
            if !given.contains(&i) && !c.auto_increment {
                return Err(analysis(format!("key column {} not in partial update columns", c.name)));
            }
        }
        let column_mode = headers("partial_update_mode").is_some_and(|m| m.eq_ignore_ascii_case("column"));
        let with_row = def.properties.get("storage_type").is_some_and(|t| t.eq_ignore_ascii_case("column_with_row"));
        if column_mode && with_row {
            return Err(PlanError {
                status: "INTERNAL_ERROR",
                message: "column with row table only support row mode partial update".into(),
            });
        }
        // The column mode writes no new order of rows: its sort key must be the primary key.
        let unfit = |i: usize| if column_mode { !def.columns[i].key } else { !given.contains(&i) };
        let missing = def.order_by.iter().any(|o| def.column_index(o).is_none_or(unfit));
        if missing {
            return Err(analysis("partial update on table with sort key must provide all sort key columns"));
        }
        self.partial = Some(given.iter().map(|i| def.columns[*i].id).collect());
        Ok(())
    }

    fn merge_condition(&self, def: &TableDef, headers: Headers<'_>) -> Result<Option<u32>, PlanError> {
        let Some(name) = headers("merge_condition").filter(|c| !c.trim().is_empty()) else { return Ok(None) };
        if def.model != TableModel::Primary {
            return Err(analysis(format!("Conditional update only support primary key table {}", def.name)));
        }
        let column = def.column(name.trim()).filter(|c| self.partial.as_ref().is_none_or(|p| p.contains(&c.id)));
        let Some(column) = column else {
            return Err(analysis(format!(
                "Merge condition column {name} does not exist. If you are doing partial update with condition update, please check condition column is in the given update columns. Otherwise please check condition column is in table {}",
                def.name
            )));
        };
        if column.key {
            return Err(analysis(format!("Merge condition column {name} should not be primary key!")));
        }
        if !(column.sql_type.is_numeric() || matches!(column.sql_type, SqlType::Date | SqlType::DateTime)) {
            return Err(analysis(format!(
                "Merge condition column {name} has invalid type {}",
                column.sql_type.message()
            )));
        }
        Ok(Some(column.id))
    }
}
