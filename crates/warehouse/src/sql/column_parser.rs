//! The definition of one column in CREATE TABLE and ALTER TABLE.

use sqlparser::tokenizer::Token;

use super::lexer::Cursor;
use super::place;
use crate::catalog::{Aggregation, ColumnDef, ColumnDefault};
use crate::error::{SqlError, SqlResult};
use crate::types::SqlType;

/// Words that begin no expression, whatever they are followed by.
const NO_EXPRESSION: &[&str] = &["DEFAULT", "FROM", "WHERE", "GROUP", "ORDER", "AS"];

/// One column: `name type [AGG] [NULL|NOT NULL] [DEFAULT …] [AUTO_INCREMENT] [AS expr] [COMMENT …]`.
pub fn column(c: &mut Cursor<'_>) -> SqlResult<ColumnDef> {
    let from = c.at;
    let name = c.ident()?;
    let type_from = c.at;
    let sql_type = c.sql_type()?;
    refuse_time(c, type_from, &name)?;
    let mut column = ColumnDef::new(name, sql_type);
    let mut said_null = false;
    loop {
        if c.eat(&["CHARSET"]) || c.eat(&["CHARACTER", "SET"]) || c.eat(&["COLLATE"]) {
            c.at += 1;
        } else if c.eat(&["KEY"]) {
            column.key = true;
        } else if c.eat(&["NOT", "NULL"]) {
            column.nullable = false;
        } else if c.eat(&["NULL"]) {
            column.nullable = true;
            said_null = true;
        } else if c.looking_at(&["DEFAULT"]) {
            if column.auto_increment {
                return Err(c.unexpected("',', ')'"));
            }
            c.at += 1;
            column.default = default_value(c, &column.sql_type)?;
        } else if c.eat(&["AUTO_INCREMENT"]) {
            column.auto_increment = true;
        } else if c.eat(&["COMMENT"]) {
            column.comment = c.string()?;
        } else if c.eat(&["AS"]) {
            column.generated = Some(generated(c)?);
        } else if let Some(Token::Word(w)) = c.peek() {
            match Aggregation::parse(&w.value) {
                Some(a) if w.quote_style.is_none() => {
                    c.at += 1;
                    column.aggregation = Some(a);
                }
                _ => break,
            }
        } else {
            break;
        }
    }
    if column.auto_increment {
        if said_null {
            let at = place::shown(c.text, c.tokens[from].start);
            let name = &column.name;
            return Err(SqlError::new(
                1064,
                format!("Getting syntax error at {at}. Detail message: AUTO_INCREMENT column {name} must be NOT NULL."),
            ));
        }
        column.nullable = false;
        if column.sql_type != SqlType::BigInt {
            return Err(SqlError::analysis("The AUTO_INCREMENT column must be BIGINT").within(c.span(from)));
        }
    }
    if column.generated.is_some() && column.key {
        return Err(SqlError::syntax("Generated Column can not be KEY"));
    }
    Ok(column)
}

/// The expression of a generated column. What follows a whole expression is an error where it stands.
fn generated(c: &mut Cursor<'_>) -> SqlResult<String> {
    if NO_EXPRESSION.iter().any(|w| c.is_word(0, w)) {
        return Err(c.unexpected("a legal identifier"));
    }
    let from = c.at;
    let text = c.expression_until(&["COMMENT", "AFTER"]).to_string();
    if c.at == from {
        return Err(c.unexpected("an expression"));
    }
    super::parser::expression(c.text, &c.tokens[from..c.at])?;
    Ok(text)
}

/// No column holds a TIME; it is the type of some functions' results only.
fn refuse_time(c: &Cursor<'_>, from: usize, column: &str) -> SqlResult<()> {
    let mut again = Cursor { text: c.text, tokens: c.tokens, at: from };
    let (shown, has_time) = type_with_time(&mut again, false)?;
    if has_time {
        return Err(SqlError::analysis(format!("Type:{shown} of column:{column} does not support")));
    }
    Ok(())
}

/// A type as errors show it, and whether there is a TIME in it. The fields of a struct are shown as a table shows them.
fn type_with_time(c: &mut Cursor<'_>, of_field: bool) -> SqlResult<(String, bool)> {
    if c.eat(&["TIME"]) {
        return Ok(("TIME".into(), true));
    }
    if c.eat(&["ARRAY"]) {
        c.expect_token(&Token::Lt)?;
        let (item, time) = type_with_time(c, of_field)?;
        c.expect_token(&Token::Gt)?;
        return Ok((format!("ARRAY<{item}>"), time));
    }
    if c.eat(&["MAP"]) {
        c.expect_token(&Token::Lt)?;
        let (key, of_key) = type_with_time(c, of_field)?;
        c.expect_token(&Token::Comma)?;
        let (value, of_value) = type_with_time(c, of_field)?;
        c.expect_token(&Token::Gt)?;
        return Ok((format!("MAP<{key},{value}>"), of_key || of_value));
    }
    if c.eat(&["STRUCT"]) {
        c.expect_token(&Token::Lt)?;
        let (mut fields, mut any) = (Vec::new(), false);
        loop {
            let name = c.ident()?;
            c.eat_token(&Token::Colon);
            let (field, time) = type_with_time(c, true)?;
            any |= time;
            fields.push(format!("{name} {field}"));
            if !c.eat_token(&Token::Comma) {
                break;
            }
        }
        c.expect_token(&Token::Gt)?;
        return Ok((format!("struct<{}>", fields.join(", ")), any));
    }
    let plain = c.sql_type()?;
    Ok((if of_field { plain.ddl() } else { plain.message() }, false))
}

fn default_value(c: &mut Cursor<'_>, sql_type: &SqlType) -> SqlResult<ColumnDefault> {
    if c.eat(&["NULL"]) {
        return Ok(ColumnDefault::Null);
    }
    if c.eat(&["CURRENT_TIMESTAMP"]) || c.eat(&["NOW"]) {
        let mut precision = 0;
        if c.eat_token(&Token::LParen) {
            if let Some(Token::Number(n, _)) = c.peek() {
                precision = n.parse().unwrap_or(0);
                c.at += 1;
            }
            c.expect_token(&Token::RParen)?;
        }
        return Ok(ColumnDefault::CurrentTimestamp(precision));
    }
    if c.peek() == Some(&Token::LParen) {
        let text = c.group()?;
        return Ok(ColumnDefault::Expression(format!("({text})")));
    }
    if let (Some(Token::Word(w)), Some(Token::LParen)) = (c.peek(), c.peek_at(1)) {
        let from = c.at;
        c.at += 1;
        c.group()?;
        let text = c.text_since(from).to_string();
        if !matches!(w.value.to_ascii_lowercase().as_str(), "uuid" | "uuid_numeric") && !sql_type.is_nested() {
            return Err(SqlError::analysis(format!("Unsupported default expr: {text}")));
        }
        return Ok(ColumnDefault::Expression(text));
    }
    if matches!(c.peek(), Some(Token::LBracket))
        || (sql_type.is_nested()
            && !matches!(c.peek(), Some(Token::SingleQuotedString(_) | Token::DoubleQuotedString(_))))
    {
        let text = c.expression_until(&["COMMENT", "NOT", "NULL"]).to_string();
        return Ok(ColumnDefault::Expression(text));
    }
    let text = c.scalar_text()?;
    Ok(ColumnDefault::Literal(match (sql_type, text.to_ascii_lowercase().as_str()) {
        (SqlType::Boolean, "true") => "1".into(),
        (SqlType::Boolean, "false") => "0".into(),
        _ => text,
    }))
}
