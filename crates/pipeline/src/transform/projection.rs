//! A rule as it is parsed once: its projection's items, its filter, keys and options.

use std::fmt::Write as _;

use starweir_model::{DataType, Error, Result, Selector};
use starweir_sql::ast::{Expr, ExprKind};
use starweir_sql::{Diagnostic, parse_expression, parse_projection, with_room};

use super::bind::metadata_column;

use super::rule::TransformRule;
use super::udf::Udf;

/// Expressions inside expressions; deeper ones are refused.
const DEPTH_MAX: usize = 400;

/// An item of a projection.
#[derive(Debug, Clone)]
pub(super) enum Item {
    /// Every source column.
    Star,
    /// A column or metadata under its own name.
    Column(String),
    /// `expr AS name`.
    Named { expr: Expr, name: String },
}

/// A rule, parsed and checked as far as that is possible without a table.
#[derive(Debug)]
pub(super) struct Rule {
    pub selector: Selector,
    /// None: all columns.
    pub projection: Option<Vec<Item>>,
    pub filter: Option<Expr>,
    /// The filter as it is written.
    pub filter_text: String,
    /// Empty: the source's.
    pub primary_keys: Vec<String>,
    pub partition_keys: Vec<String>,
    pub options: Vec<(String, String)>,
    pub soft_delete: bool,
    /// How deep its expressions nest.
    pub depth: usize,
}

impl Rule {
    /// # Errors
    /// When a text can not be read, or names what there is not.
    pub fn new(rule: &TransformRule, metadata: &[(String, DataType)], udfs: &[Udf]) -> Result<Self> {
        // How deep the text nests is only known afterwards.
        with_room(usize::MAX, || Self::parse(rule, metadata, udfs))
    }

    fn parse(rule: &TransformRule, metadata: &[(String, DataType)], udfs: &[Udf]) -> Result<Self> {
        let about = |error: Error| error.context(format!("the transform of '{}' can not be used", rule.source_table));
        let projection = given(rule.projection.as_deref());
        let filter = given(rule.filter.as_deref());
        let items = projection.map(|text| items(text, metadata)).transpose().map_err(about)?;
        let parsed = filter.map(|text| parse_expression(text).map_err(|d| unparsed("filter", text, &d)));
        let parsed = parsed.transpose().map_err(about)?;
        let mut deepest = 0;
        for expr in items.iter().flatten().filter_map(Item::expr).chain(&parsed) {
            deepest = deepest.max(depth(expr));
            if deepest > DEPTH_MAX {
                let error = Error::user(format!("expressions may be nested {DEPTH_MAX} deep at most"));
                return Err(about(error));
            }
            check_functions(expr, udfs).map_err(about)?;
        }
        Ok(Self {
            selector: Selector::parse(&rule.source_table)?,
            projection: items,
            filter: parsed,
            filter_text: filter.unwrap_or_default().to_owned(),
            primary_keys: keys(rule.primary_keys.as_deref()),
            partition_keys: keys(rule.partition_keys.as_deref()),
            options: options(rule).map_err(about)?,
            depth: deepest,
            soft_delete: match given(rule.converter_after_transform.as_deref()) {
                None => false,
                Some(name) if name.trim().eq_ignore_ascii_case("SOFT_DELETE") => true,
                Some(other) => {
                    let error = Error::user(format!("there is no converter-after-transform '{other}'"));
                    return Err(about(error.with_hint("the only one is SOFT_DELETE")));
                }
            },
        })
    }

    /// Whether columns that come later become part of the output.
    pub fn has_star(&self) -> bool {
        self.projection.as_ref().is_none_or(|items| items.iter().any(|item| matches!(item, Item::Star)))
    }
}

impl Item {
    fn expr(&self) -> Option<&Expr> {
        match self {
            Self::Named { expr, .. } => Some(expr),
            _ => None,
        }
    }
}

/// Text that is not only blanks.
fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|t| !t.trim().is_empty())
}

fn unparsed(what: &str, text: &str, diagnostic: &Diagnostic) -> Error {
    let mut message = String::from("Statements can not be parsed.");
    let _ = write!(message, " The {what} is wrong");
    if let Some((line, column)) = diagnostic.position(text) {
        let _ = write!(message, " at line {line}, column {column}");
    }
    let _ = write!(message, ": {}", diagnostic.message);
    let error = Error::user(message);
    match &diagnostic.hint {
        Some(hint) => error.with_hint(hint.clone()),
        None => error,
    }
}

fn items(text: &str, metadata: &[(String, DataType)]) -> Result<Vec<Item>> {
    let parsed = parse_projection(text).map_err(|d| unparsed("projection", text, &d))?;
    let mut items = Vec::with_capacity(parsed.len());
    for item in parsed {
        let written = text.get(item.expr.span.clone()).unwrap_or_default().to_owned();
        items.push(match (item.expr.kind, item.alias) {
            (ExprKind::Star, None) => Item::Star,
            (ExprKind::Name(name), None) if name.parts.len() == 1 || name.parts[0].name == super::bind::TABLE => {
                Item::Column(name.last().to_owned())
            }
            (_, None) => {
                return Err(Error::user(format!(
                    "Unrecognized projection expression: {written}. Should be <EXPR> AS <IDENTIFIER>"
                )));
            }
            (_, Some(alias))
                if metadata_column(&alias.name).is_some() || metadata.iter().any(|(n, _)| *n == alias.name) =>
            {
                return Err(Error::user(format!(
                    "Column name {} is reserved and shading it is not allowed.",
                    alias.name
                )));
            }
            (kind, Some(alias)) => Item::Named { expr: Expr::new(kind, item.expr.span), name: alias.name },
        });
    }
    Ok(items)
}

/// Names in a comma list, without their backticks.
fn keys(text: Option<&str>) -> Vec<String> {
    let unquoted = |name: &str| match name.strip_prefix('`').and_then(|n| n.strip_suffix('`')) {
        Some(inner) if !inner.is_empty() => inner.replace("``", "`"),
        _ => name.to_owned(),
    };
    given(text).unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty()).map(unquoted).collect()
}

fn options(rule: &TransformRule) -> Result<Vec<(String, String)>> {
    let Some(text) = given(rule.table_options.as_deref()) else { return Ok(Vec::new()) };
    let delimiter = rule.table_options_delimiter.as_deref().filter(|d| !d.is_empty()).unwrap_or(",");
    let mut options: Vec<(String, String)> = Vec::new();
    for option in text.trim_end_matches(delimiter).split(delimiter) {
        let Some((key, value)) = option.split_once('=') else {
            return Err(Error::user(format!(
                "table option format error: {text}, it should be like `key1=value1{delimiter}key2=value2`."
            )));
        };
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        match options.iter_mut().find(|(k, _)| *k == key) {
            Some(known) => known.1 = value,
            None => options.push((key, value)),
        }
    }
    Ok(options)
}

/// Refuses user functions that can not run, wherever they are called.
fn check_functions(expr: &Expr, udfs: &[Udf]) -> Result<()> {
    if let ExprKind::Call(call) = &expr.kind
        && let Some(udf) = udfs.iter().find(|u| u.name.eq_ignore_ascii_case(call.name.last()))
    {
        udf.native()?;
    }
    let mut result = Ok(());
    children(expr, &mut |child| {
        if result.is_ok() {
            result = check_functions(child, udfs);
        }
    });
    result
}

fn depth(expr: &Expr) -> usize {
    let mut below = 0;
    children(expr, &mut |child| below = below.max(depth(child)));
    below + 1
}

/// Names of the columns an expression mentions.
pub(super) fn mentioned(expr: &Expr, names: &mut Vec<String>) {
    if let ExprKind::Name(name) = &expr.kind {
        for part in &name.parts {
            if !names.contains(&part.name) {
                names.push(part.name.clone());
            }
        }
    }
    children(expr, &mut |child| mentioned(child, names));
}

fn children<'e>(expr: &'e Expr, f: &mut dyn FnMut(&'e Expr)) {
    match &expr.kind {
        ExprKind::Negate(inner) | ExprKind::Positive(inner) | ExprKind::Not(inner) => f(inner),
        ExprKind::Binary { left, right, .. } | ExprKind::DistinctFrom { left, right, .. } => {
            f(left);
            f(right);
        }
        ExprKind::Is { expr, .. }
        | ExprKind::Cast { expr, .. }
        | ExprKind::Field { expr, .. }
        | ExprKind::Extract { expr, .. }
        | ExprKind::Round { expr, .. } => f(expr),
        ExprKind::Between { expr, low, high, .. } => {
            f(expr);
            f(low);
            f(high);
        }
        ExprKind::InList { expr, list, .. } => {
            f(expr);
            list.iter().for_each(f);
        }
        ExprKind::Like { expr, pattern, escape, .. } => {
            f(expr);
            f(pattern);
            if let Some(escape) = escape {
                f(escape);
            }
        }
        ExprKind::Case { operand, whens, otherwise } => {
            for inner in operand.iter().chain(otherwise) {
                f(inner);
            }
            for (condition, result) in whens {
                f(condition);
                f(result);
            }
        }
        ExprKind::Call(call) => call.args.iter().for_each(f),
        ExprKind::Array(items) | ExprKind::Map(items) | ExprKind::Row(items) => items.iter().for_each(f),
        ExprKind::Index { expr, index } => {
            f(expr);
            f(index);
        }
        ExprKind::Trim { what, expr, .. } => {
            f(expr);
            if let Some(what) = what {
                f(what);
            }
        }
        ExprKind::Position { needle, haystack, from } => {
            f(needle);
            f(haystack);
            if let Some(from) = from {
                f(from);
            }
        }
        _ => {}
    }
}
