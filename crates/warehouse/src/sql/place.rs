//! Where in a statement an error is: StarRocks says from which line and column to which.

use sqlparser::tokenizer::Token;

use super::lexer::{Lexeme, statements};
use crate::error::SqlError;

/// The error with the place of the call it is about.
pub fn placed(e: SqlError, statement: &str) -> SqlError {
    match e.about.as_deref().and_then(|function| call(function, statement)) {
        Some((from, to)) => e.within(span(statement, from, to)),
        None => e,
    }
}

/// The error about a column that is neither grouped nor aggregated, in StarRocks' words.
pub fn ungrouped(e: SqlError, statement: &str, database: Option<&str>) -> SqlError {
    const CLAUSE: &str = "must appear in the GROUP BY clause";
    let Some(before) = e.message.split(CLAUSE).next().filter(|b| b.len() < e.message.len()) else { return e };
    let Some(named) = before.trim_end().strip_suffix('"').and_then(|b| b.rsplit('"').next()) else { return e };
    let mut parts: Vec<&str> = named.split('.').collect();
    let column = parts.last().copied().unwrap_or_default();
    let tokens = statements(statement).ok().and_then(|all| all.into_iter().next()).map(|s| s.1).unwrap_or_default();
    let found = tokens.iter().rfind(|t| matches!(&t.token, Token::Word(w) if w.value.eq_ignore_ascii_case(column)));
    let Some(at) = found else { return e };
    if let (2, Some(database)) = (parts.len(), database) {
        parts.insert(0, database);
    }
    let shown: Vec<String> = parts.iter().map(|p| format!("`{p}`")).collect();
    SqlError::analysis(format!("'{}' must be an aggregate expression or appear in GROUP BY clause", shown.join(".")))
        .within(format!("at {}", self::shown(statement, at.start)))
}

/// `from line 1, column 7 to line 1, column 9`
pub fn span(statement: &str, from: usize, to: usize) -> String {
    format!("from {} to {}", shown(statement, from), shown(statement, to))
}

/// First and last byte of the first call of a function.
fn call(function: &str, statement: &str) -> Option<(usize, usize)> {
    let tokens: Vec<Lexeme> = statements(statement).ok()?.into_iter().next()?.1;
    let at = tokens.windows(2).position(|w| {
        w[1].token == Token::LParen && matches!(&w[0].token, Token::Word(x) if x.value.eq_ignore_ascii_case(function))
    })?;
    let mut depth = 0;
    for t in &tokens[at + 1..] {
        match t.token {
            Token::LParen => depth += 1,
            Token::RParen => {
                depth -= 1;
                if depth == 0 {
                    return Some((tokens[at].start, t.start));
                }
            }
            _ => {}
        }
    }
    None
}

/// `line 1, column 7`: lines from 1, columns from 0.
pub fn shown(statement: &str, at: usize) -> String {
    let before = statement.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    format!("line {line}, column {column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_about_a_call_names_its_place() {
        let e = SqlError::analysis("no").of_call("array_sort");
        let e = placed(e, "select 1,\n  Array_Sort(f(x), 2) from t");
        assert_eq!(
            e.message,
            "Getting analyzing error from line 2, column 2 to line 2, column 20. Detail message: no."
        );
    }
}
