//! Partitions: which rows a partition holds, as a condition, and the partitions that rows make.

use sqlparser::ast::Expr;

use crate::catalog::{PartitionBy, PartitionDef, PartitionKind, PartitionRange, TableDef};
use crate::error::{SqlError, SqlResult};
use crate::types::SqlType;
use crate::value::Value;

/// The smallest value of a partition column's type, as StarRocks prints it.
pub fn smallest(t: &SqlType) -> String {
    match t {
        SqlType::Date => "0000-01-01".into(),
        SqlType::DateTime => "0000-01-01 00:00:00".into(),
        SqlType::TinyInt => i8::MIN.to_string(),
        SqlType::SmallInt => i16::MIN.to_string(),
        SqlType::Int => i32::MIN.to_string(),
        SqlType::BigInt => i64::MIN.to_string(),
        SqlType::LargeInt => i128::MIN.to_string(),
        _ => String::new(),
    }
}

/// The condition of rows in these partitions.
pub fn selection(def: &TableDef, names: &[String]) -> SqlResult<Expr> {
    let mut parts = Vec::new();
    for name in names {
        let found = def
            .partitions
            .iter()
            .find(|p| p.name.eq_ignore_ascii_case(name))
            .ok_or_else(|| SqlError::analysis(format!("Unknown partition '{name}' in table '{}'", def.name)))?;
        parts.push(format!("({})", condition(def, found)));
    }
    super::parser::parse_expression(&parts.join(" OR "))
}

fn quote(v: &str) -> String {
    format!("'{}'", v.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// The partition's condition as SQL text.
pub fn condition(def: &TableDef, partition: &PartitionDef) -> String {
    let Some(by) = &def.partition_by else { return "true".into() };
    match &partition.range {
        PartitionRange::Whole => "true".into(),
        PartitionRange::Range { lower, upper } => {
            // NULL lies below everything, so it is in the partition that begins with the smallest value.
            let least = |l: &&crate::catalog::Bound| {
                by.columns
                    .iter()
                    .zip(l.iter())
                    .all(|(c, v)| def.column(c).is_some_and(|c| v.as_deref() == Some(smallest(&c.sql_type).as_str())))
            };
            let low = lower.as_ref().filter(|l| !least(l)).map_or("true".to_string(), |l| bound_text(by, l, true));
            format!("{low} AND {}", bound_text(by, upper, false))
        }
        PartitionRange::List(rows) => {
            let one = |row: &Vec<Option<String>>| {
                let parts: Vec<String> = by
                    .expressions
                    .iter()
                    .zip(row)
                    .map(|(e, v)| match v {
                        Some(v) => format!("{e} = {}", quote(v)),
                        None => format!("{e} IS NULL"),
                    })
                    .collect();
                format!("({})", parts.join(" AND "))
            };
            rows.iter().map(one).collect::<Vec<_>>().join(" OR ")
        }
    }
}

/// `(a, b) >= bound` or `< bound`, column by column. NULL sorts below everything.
fn bound_text(by: &PartitionBy, bound: &[Option<String>], lower: bool) -> String {
    let mut out = String::new();
    let mut equal = String::new();
    let shown = |(c, e): (&String, &String)| {
        if by.kind == PartitionKind::Range && e.contains('(') { e.clone() } else { format!("`{c}`") }
    };
    let keys: Vec<String> = by.columns.iter().zip(&by.expressions).map(shown).collect();
    for (i, (column, v)) in keys.iter().zip(bound).enumerate() {
        let Some(v) = v else {
            // MAXVALUE
            let text = if lower { "false" } else { "true" };
            out.push_str(if i == 0 { text } else { "" });
            if i > 0 && !lower {
                out.push_str(&format!(" OR ({equal})"));
            }
            return format!("({out})");
        };
        let last = i + 1 == bound.len().min(by.columns.len());
        let v = quote(v);
        let this = match (lower, last) {
            (true, true) => format!("{column} >= {v}"),
            (true, false) => format!("{column} > {v}"),
            (false, _) => format!("({column} < {v} OR {column} IS NULL)"),
        };
        if i > 0 {
            out.push_str(&format!(" OR ({equal} AND {this})"));
            equal.push_str(&format!(" AND {column} = {v}"));
        } else {
            out.push_str(&this);
            equal = format!("{column} = {v}");
        }
    }
    format!("({out})")
}

/// The name StarRocks gives an automatic partition of these values.
pub fn automatic_name(by: &PartitionBy, values: &[Value]) -> String {
    let mut name = String::from("p");
    for (i, v) in values.iter().enumerate() {
        if i > 0 {
            name.push('_');
        }
        match v {
            Value::Null => name.push_str("NULL"),
            Value::Date(_) | Value::DateTime(_) => {
                let text = v.as_text().unwrap_or_default();
                let digits: String = text.chars().filter(char::is_ascii_digit).collect();
                let unit = by.expressions.get(i).map(|e| truncation_unit(e)).unwrap_or_default();
                let keep = match (unit.as_str(), by.expressions.len()) {
                    ("year", 1) => 4,
                    ("month", 1) => 6,
                    ("hour", 1) => 10,
                    ("minute", 1) => 12,
                    ("day", _) => 8,
                    ("second", _) => 14,
                    ("", _) => digits.len(),
                    (_, n) if n > 1 => digits.len(),
                    _ => 8,
                };
                name.push_str(&digits[..keep.min(digits.len())]);
            }
            other => {
                for c in other.as_text().unwrap_or_default().chars() {
                    if c.is_ascii_alphanumeric() || c == '_' {
                        name.push(c);
                    } else if c == '-' && name == "p" {
                        name.push('-');
                    } else {
                        name.push_str(&format!("{:x}", c as u32));
                    }
                }
            }
        }
    }
    name
}

/// The unit of `date_trunc('month', c)`, lower case; empty for anything else.
pub fn truncation_unit(expression: &str) -> String {
    let lower = expression.to_lowercase();
    if !lower.starts_with("date_trunc") && !lower.starts_with("time_slice") {
        return String::new();
    }
    lower.split(['\'', '"']).nth(1).unwrap_or_default().to_string()
}

/// The range a date_trunc value covers: `[value, value + 1 unit)`.
pub fn truncated_range(expression: &str, value: &Value, sql_type: &SqlType) -> Option<PartitionRange> {
    let unit = truncation_unit(expression);
    let start = value.as_datetime()?;
    let end = match unit.as_str() {
        "year" => crate::time::add_months(start, 12)?,
        "quarter" => crate::time::add_months(start, 3)?,
        "month" => crate::time::add_months(start, 1)?,
        "week" => start + 7 * crate::time::DAY_US,
        "day" => start + crate::time::DAY_US,
        "hour" => start + 3_600_000_000,
        "minute" => start + 60_000_000,
        "second" => start + 1_000_000,
        _ => return None,
    };
    let text = |us: i64| {
        if *sql_type == SqlType::Date {
            crate::time::date_text(us.div_euclid(crate::time::DAY_US) as i32)
        } else {
            crate::time::datetime_text(us)
        }
    };
    Some(PartitionRange::Range { lower: Some(vec![Some(text(start))]), upper: vec![Some(text(end))] })
}

/// The value that stands for NULL in a partition by `date_trunc` or `time_slice`: the smallest date.
pub fn null_of_range(expression: &str, sql_type: &SqlType) -> Option<Value> {
    if truncation_unit(expression).is_empty() {
        return None;
    }
    Value::text(smallest(sql_type)).cast(sql_type).filter(|v| !v.is_null())
}

/// The partition that automatically partitioned tables have before there are rows.
pub const SHADOW: &str = "$shadow_automatic_partition";

/// Whether rows make the partitions of this table.
pub fn is_automatic(def: &TableDef) -> bool {
    def.partition_by.as_ref().is_some_and(|b| b.kind == PartitionKind::Expression)
}
