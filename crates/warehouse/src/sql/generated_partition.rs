//! Partition expressions that StarRocks keeps as hidden generated columns: everything but a single `date_trunc` or
//! `time_slice` of a column. Rows carry no such column here, partitions are conditions; SHOW CREATE TABLE prints
//! them, and what it prints can be run again.

use sqlparser::tokenizer::Token;

use super::ddl_parser::column_in;
use super::lexer;
use super::session::Session;
use crate::catalog::{ColumnDef, PartitionBy, PartitionKind};
use crate::error::SqlResult;
use crate::types::{SqlType, VARCHAR_MAX};

/// How the names of hidden columns begin; no other column may be called so.
pub const PREFIX: &str = "__generated_partition_column_";

/// A hidden column.
pub struct Hidden<'a> {
    pub name: String,
    pub expression: &'a str,
    pub sql_type: SqlType,
    /// Which of the partition expressions it is.
    pub at: usize,
}

/// The hidden columns of a table partitioned like this.
pub fn hidden(by: &PartitionBy) -> Vec<Hidden<'_>> {
    if by.kind != PartitionKind::Expression || by.types.len() != by.expressions.len() {
        return Vec::new();
    }
    if let [one] = by.expressions.as_slice()
        && is_range(one)
    {
        return Vec::new();
    }
    let computed = by.expressions.iter().enumerate().filter(|(_, e)| e.contains('('));
    computed
        .enumerate()
        .map(|(n, (at, expression))| {
            let sql_type = match &by.types[at] {
                t if t.is_text() => SqlType::Varchar(VARCHAR_MAX),
                t => t.clone(),
            };
            Hidden { name: format!("{PREFIX}{n}"), expression, sql_type, at }
        })
        .collect()
}

/// `date_trunc('day', c)` and `time_slice(c, …)`: partitions are ranges of the column.
fn is_range(expression: &str) -> bool {
    let lower = expression.to_lowercase();
    (lower.starts_with("date_trunc") || lower.starts_with("time_slice")) && lower.matches('(').count() == 1
}

/// Finds the expressions' types, and writes the expressions as StarRocks shows them.
pub fn complete(session: &Session, columns: &[ColumnDef], by: &mut PartitionBy, from_query: bool) -> SqlResult<()> {
    let expressions =
        by.expressions.iter().map(|e| super::parser::parse_expression(e)).collect::<SqlResult<Vec<_>>>()?;
    let empty: Vec<(String, SqlType, arrow::array::ArrayRef)> = columns
        .iter()
        .map(|c| (c.name.clone(), c.sql_type.clone(), arrow::array::new_empty_array(&c.sql_type.arrow())))
        .collect();
    by.types = session.core.evaluate(&empty, 0, &expressions)?.into_iter().map(|(_, t)| t).collect();
    let shown: Vec<(usize, String)> = hidden(by)
        .into_iter()
        .map(|h| {
            let text = super::show::quoted_strings(h.expression);
            (h.at, if from_query { text } else { super::show::quote_columns(&text, columns) })
        })
        .collect();
    for (at, text) in shown {
        by.expressions[at] = text;
    }
    Ok(())
}

/// A statement that SHOW CREATE TABLE gave names the hidden columns: they become the expressions they stand for.
pub fn absorb(columns: &mut Vec<ColumnDef>, by: Option<&mut PartitionBy>, table: &str) {
    let Some(by) = by else { return };
    for (expression, column) in by.expressions.iter_mut().zip(&mut by.columns) {
        let name = expression.trim_matches('`');
        let Some(at) = columns.iter().position(|c| c.name == name && c.name.starts_with(PREFIX)) else { continue };
        let Some(text) = &columns[at].generated else { continue };
        *expression = without_qualifier(text, table);
        *column = column_in(expression);
        columns.remove(at);
    }
}

/// The expression without `table.` before its columns.
fn without_qualifier(expression: &str, table: &str) -> String {
    let Ok(all) = lexer::statements(expression) else { return expression.to_string() };
    let Some((text, tokens)) = all.first() else { return expression.to_string() };
    let mut out = String::new();
    let mut at = 0;
    for pair in tokens.windows(2) {
        if let (Token::Word(w), Token::Period) = (&pair[0].token, &pair[1].token)
            && w.value == table
        {
            out.push_str(&text[at..pair[0].start]);
            at = pair[1].end;
        }
    }
    out.push_str(&text[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(expressions: &[&str], types: &[SqlType]) -> PartitionBy {
        PartitionBy {
            kind: PartitionKind::Expression,
            expressions: expressions.iter().map(ToString::to_string).collect(),
            columns: expressions.iter().map(|e| column_in(e)).collect(),
            types: types.to_vec(),
        }
    }

    #[test]
    fn a_lone_truncation_is_a_range_and_everything_else_is_hidden() {
        let names = |b: &PartitionBy| hidden(b).iter().map(|h| h.name.clone()).collect::<Vec<_>>();
        assert!(names(&by(&["date_trunc('day', d)"], &[SqlType::Date])).is_empty());
        assert!(names(&by(&["`a`", "`b`"], &[SqlType::Int, SqlType::Int])).is_empty());
        assert_eq!(names(&by(&["from_unixtime(k)"], &[SqlType::STRING])), ["__generated_partition_column_0"]);
        let two = by(&["`a`", "date_trunc('day', d)"], &[SqlType::Int, SqlType::Date]);
        assert_eq!(names(&two), ["__generated_partition_column_0"]);
        assert_eq!(hidden(&two)[0].at, 1);
    }

    #[test]
    fn hidden_columns_of_a_statement_become_their_expressions() {
        let mut hidden = ColumnDef::new("__generated_partition_column_0".into(), SqlType::Date);
        hidden.generated = Some("date_trunc('month', `t`.`d`)".into());
        let mut columns = vec![ColumnDef::new("d".into(), SqlType::Date), hidden];
        let mut by = by(&["__generated_partition_column_0"], &[]);
        absorb(&mut columns, Some(&mut by), "t");
        assert_eq!((columns.len(), by.expressions[0].as_str()), (1, "date_trunc('month', `d`)"));
        assert_eq!(by.columns, ["d"]);
    }
}
