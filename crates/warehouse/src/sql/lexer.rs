//! Words of StarRocks SQL: sqlparser's tokens under a MySQL dialect with StarRocks' additions
//! (lambdas, map literals), with byte places, and a cursor over them.

use sqlparser::dialect::{Dialect, MySqlDialect};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::error::{SqlError, SqlResult};
use crate::types::{STRING_LENGTH, SqlType, VARCHAR_MAX};

/// MySQL's dialect with what StarRocks adds to it.
#[derive(Debug, Default)]
pub struct StarRocksDialect {
    mysql: MySqlDialect,
}

impl Dialect for StarRocksDialect {
    fn dialect(&self) -> std::any::TypeId {
        self.mysql.dialect()
    }
    fn is_identifier_start(&self, ch: char) -> bool {
        self.mysql.is_identifier_start(ch)
    }
    fn is_identifier_part(&self, ch: char) -> bool {
        self.mysql.is_identifier_part(ch)
    }
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }
    fn identifier_quote_style(&self, _: &str) -> Option<char> {
        Some('`')
    }
    fn supports_string_literal_backslash_escape(&self) -> bool {
        true
    }
    fn supports_string_literal_concatenation(&self) -> bool {
        true
    }
    fn ignores_wildcard_escapes(&self) -> bool {
        true
    }
    fn supports_numeric_prefix(&self) -> bool {
        true
    }
    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }
    fn supports_multiline_comment_hints(&self) -> bool {
        false
    }
    fn parse_infix(
        &self,
        parser: &mut Parser,
        expr: &sqlparser::ast::Expr,
        precedence: u8,
    ) -> Option<Result<sqlparser::ast::Expr, ParserError>> {
        if parser.parse_keyword(Keyword::DIV) {
            let right = match parser.parse_subexpr(self.prec_value(sqlparser::dialect::Precedence::MulDivModOp)) {
                Ok(right) => right,
                Err(e) => return Some(Err(e)),
            };
            return Some(Ok(sqlparser::ast::Expr::BinaryOp {
                left: Box::new(expr.clone()),
                op: sqlparser::ast::BinaryOperator::MyIntegerDivide,
                right: Box::new(right),
            }));
        }
        self.mysql.parse_infix(parser, expr, precedence)
    }
    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        match &parser.peek_token_ref().token {
            Token::Word(w) if w.keyword == Keyword::DIV => {
                Some(Ok(self.prec_value(sqlparser::dialect::Precedence::MulDivModOp)))
            }
            // `j->'$.a'` binds tighter than everything around it.
            Token::HashArrow => Some(Ok(self.prec_value(sqlparser::dialect::Precedence::DoubleColon))),
            _ => None,
        }
    }
    fn require_interval_qualifier(&self) -> bool {
        true
    }
    fn supports_limit_comma(&self) -> bool {
        true
    }
    fn is_table_factor_alias(&self, explicit: bool, kw: &Keyword, parser: &mut Parser) -> bool {
        self.mysql.is_table_factor_alias(explicit, kw, parser)
    }
    fn supports_select_modifiers(&self) -> bool {
        true
    }
    fn supports_cross_join_constraint(&self) -> bool {
        true
    }
    fn supports_double_ampersand_operator(&self) -> bool {
        true
    }
    fn supports_binary_kw_as_cast(&self) -> bool {
        true
    }
    fn supports_bang_not_operator(&self) -> bool {
        true
    }
    fn supports_lambda_functions(&self) -> bool {
        true
    }
    fn support_map_literal_syntax(&self) -> bool {
        true
    }
    fn supports_group_by_expr(&self) -> bool {
        true
    }
    fn supports_group_by_with_modifier(&self) -> bool {
        true
    }
    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }
    fn supports_select_wildcard_except(&self) -> bool {
        true
    }
    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }
    fn supports_values_as_table_factor(&self) -> bool {
        true
    }
}

/// A token and where it stands in the text, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Lexeme {
    pub token: Token,
    pub start: usize,
    pub end: usize,
}

/// Splits a request into statements at `;`, each with its text and tokens without blanks.
pub fn statements(sql: &str) -> SqlResult<Vec<(String, Vec<Lexeme>)>> {
    let dialect = StarRocksDialect::default();
    let tokens = Tokenizer::new(&dialect, sql).tokenize_with_location().map_err(|e| SqlError::syntax(e.message))?;
    let places = Places::new(sql);
    let mut out = Vec::new();
    let mut current: Vec<Lexeme> = Vec::new();
    for TokenWithSpan { token, span } in tokens {
        match token {
            Token::Whitespace(_) | Token::EOF => {}
            Token::SemiColon => finish(sql, &mut current, &mut out),
            token => {
                let start = places.byte(span.start.line, span.start.column);
                let end = places.byte(span.end.line, span.end.column);
                current.push(Lexeme { token, start, end: end.max(start) });
            }
        }
    }
    finish(sql, &mut current, &mut out);
    Ok(out)
}

fn finish(sql: &str, current: &mut Vec<Lexeme>, out: &mut Vec<(String, Vec<Lexeme>)>) {
    if let (Some(first), Some(last)) = (current.first(), current.last()) {
        let base = first.start;
        let text = sql.get(base..last.end.max(base)).unwrap_or(sql).to_string();
        let mut tokens = std::mem::take(current);
        for t in &mut tokens {
            t.start -= base;
            t.end -= base;
        }
        out.push((text, tokens));
    }
}

/// Byte offsets of lines and columns (columns count characters).
struct Places<'a> {
    text: &'a str,
    lines: Vec<usize>,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        let mut lines = vec![0];
        lines.extend(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1));
        Self { text, lines }
    }

    fn byte(&self, line: u64, column: u64) -> usize {
        let Some(&start) = self.lines.get((line as usize).saturating_sub(1)) else { return self.text.len() };
        let rest = &self.text[start..];
        let column = (column as usize).saturating_sub(1);
        start + rest.char_indices().nth(column).map_or(rest.len(), |(i, _)| i)
    }
}

/// A place in a statement's tokens.
pub struct Cursor<'a> {
    pub text: &'a str,
    pub tokens: &'a [Lexeme],
    pub at: usize,
}

/// The word of an unquoted identifier or keyword.
fn word(token: &Token) -> Option<&str> {
    match token {
        Token::Word(w) if w.quote_style.is_none() => Some(&w.value),
        _ => None,
    }
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str, tokens: &'a [Lexeme]) -> Self {
        Self { text, tokens, at: 0 }
    }

    pub fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at).map(|t| &t.token)
    }

    pub fn peek_at(&self, n: usize) -> Option<&'a Token> {
        self.tokens.get(self.at + n).map(|t| &t.token)
    }

    pub fn done(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub fn take(&mut self) -> Option<&'a Token> {
        let token = self.peek();
        self.at += 1;
        token
    }

    pub fn is_word(&self, n: usize, wanted: &str) -> bool {
        self.peek_at(n).and_then(word).is_some_and(|w| w.eq_ignore_ascii_case(wanted))
    }

    /// Whether the next words are these; nothing is taken.
    pub fn looking_at(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(i, w)| self.is_word(i, w))
    }

    /// Takes these words when they are next.
    pub fn eat(&mut self, words: &[&str]) -> bool {
        let found = self.looking_at(words);
        if found {
            self.at += words.len();
        }
        found
    }

    pub fn eat_token(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        if found {
            self.at += 1;
        }
        found
    }

    pub fn expect(&mut self, words: &[&str]) -> SqlResult<()> {
        if self.eat(words) { Ok(()) } else { Err(self.unexpected(&words.join(" "))) }
    }

    pub fn expect_token(&mut self, token: &Token) -> SqlResult<()> {
        if self.eat_token(token) { Ok(()) } else { Err(self.unexpected(&token.to_string())) }
    }

    pub fn unexpected(&self, wanted: &str) -> SqlError {
        let found = self.peek().map_or("<EOF>".to_string(), ToString::to_string);
        let at = self.tokens.get(self.at).map_or(self.text.len(), |t| t.start);
        let wanted = if wanted == "<EOF>" { "<EOF>, ';'" } else { wanted };
        let place = super::place::shown(self.text, at);
        SqlError::new(
            1064,
            format!(
                "Getting syntax error at {place}. Detail message: Unexpected input '{found}', the most similar input is {{{wanted}}}."
            ),
        )
    }

    /// The place of the tokens from `from` to the one before the cursor.
    pub fn span(&self, from: usize) -> String {
        let start = |i: usize| self.tokens.get(i).map_or(self.text.len(), |t| t.start);
        super::place::span(self.text, start(from), start(self.at.saturating_sub(1).max(from)))
    }

    /// An identifier, quoted or not.
    pub fn ident(&mut self) -> SqlResult<String> {
        match self.peek() {
            Some(Token::Word(w)) => {
                self.at += 1;
                Ok(w.value.clone())
            }
            // `1abc`: MySQL names may begin with a digit.
            Some(Token::Number(n, _)) => match self.peek_at(1) {
                Some(Token::Word(w)) if self.tokens[self.at].end == self.tokens[self.at + 1].start => {
                    self.at += 2;
                    Ok(format!("{n}{}", w.value))
                }
                _ => Err(self.unexpected("identifier")),
            },
            _ => Err(self.unexpected("identifier")),
        }
    }

    /// `a`, `a.b` or `a.b.c`.
    pub fn name(&mut self) -> SqlResult<Vec<String>> {
        let mut parts = vec![self.ident()?];
        while self.eat_token(&Token::Period) {
            parts.push(self.ident()?);
        }
        Ok(parts)
    }

    pub fn ident_list(&mut self) -> SqlResult<Vec<String>> {
        self.expect_token(&Token::LParen)?;
        let mut out = Vec::new();
        loop {
            out.push(self.ident()?);
            if self.eat_token(&Token::RParen) {
                return Ok(out);
            }
            self.expect_token(&Token::Comma)?;
        }
    }

    pub fn string(&mut self) -> SqlResult<String> {
        match self.take() {
            Some(Token::SingleQuotedString(s) | Token::DoubleQuotedString(s)) => Ok(s.clone()),
            _ => {
                self.at -= 1;
                Err(self.unexpected("string"))
            }
        }
    }

    /// A string, number or word as text.
    pub fn scalar_text(&mut self) -> SqlResult<String> {
        let negative = self.eat_token(&Token::Minus);
        let text = match self.take() {
            Some(Token::SingleQuotedString(s) | Token::DoubleQuotedString(s)) => s.clone(),
            Some(Token::Number(n, _)) => n.clone(),
            Some(Token::Word(w)) => w.value.clone(),
            _ => {
                self.at -= 1;
                return Err(self.unexpected("value"));
            }
        };
        Ok(if negative { format!("-{text}") } else { text })
    }

    pub fn number(&mut self) -> SqlResult<u64> {
        match self.take() {
            Some(Token::Number(n, _)) => {
                n.parse().map_err(|_| SqlError::syntax(format!("Invalid numeric literal {n}")))
            }
            _ => {
                self.at -= 1;
                Err(self.unexpected("number"))
            }
        }
    }

    /// `("a" = "b", …)` without the word before it.
    pub fn properties(&mut self) -> SqlResult<Vec<(String, String)>> {
        self.expect_token(&Token::LParen)?;
        let mut out = Vec::new();
        if self.eat_token(&Token::RParen) {
            return Ok(out);
        }
        loop {
            let mut key = self.scalar_text()?;
            while self.eat_token(&Token::Period) {
                key = format!("{key}.{}", self.ident()?);
            }
            self.expect_token(&Token::Eq)?;
            out.push((key, self.scalar_text()?));
            if self.eat_token(&Token::RParen) {
                return Ok(out);
            }
            self.expect_token(&Token::Comma)?;
            if self.eat_token(&Token::RParen) {
                return Ok(out);
            }
        }
    }

    /// The source text from token `from` up to (not with) the current one.
    pub fn text_since(&self, from: usize) -> &'a str {
        match (self.tokens.get(from), self.tokens.get(self.at.saturating_sub(1))) {
            (Some(a), Some(b)) if self.at > from => self.text.get(a.start..b.end).unwrap_or_default(),
            _ => "",
        }
    }

    /// Everything that is left, as text; the cursor goes to the end.
    pub fn rest(&mut self) -> &'a str {
        let from = self.at;
        self.at = self.tokens.len();
        self.text_since(from)
    }

    /// Skips a balanced group in parentheses; the cursor stands on `(`. Gives the text inside.
    pub fn group(&mut self) -> SqlResult<&'a str> {
        self.expect_token(&Token::LParen)?;
        let from = self.at;
        let mut depth = 1;
        while let Some(token) = self.take() {
            match token {
                Token::LParen => depth += 1,
                Token::RParen => {
                    depth -= 1;
                    if depth == 0 {
                        let inner = self.at - 1;
                        return Ok(match (self.tokens.get(from), inner > from) {
                            (Some(a), true) => self.text.get(a.start..self.tokens[inner - 1].end).unwrap_or_default(),
                            _ => "",
                        });
                    }
                }
                _ => {}
            }
        }
        Err(self.unexpected(")"))
    }

    /// Moves over an expression: to the first of these words or a comma or closing parenthesis at
    /// this depth. Gives its text.
    pub fn expression_until(&mut self, stops: &[&str]) -> &'a str {
        let from = self.at;
        let mut depth = 0usize;
        while let Some(token) = self.peek() {
            match token {
                Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                Token::RParen | Token::RBracket | Token::RBrace if depth == 0 => break,
                Token::RParen | Token::RBracket | Token::RBrace => depth -= 1,
                Token::Comma if depth == 0 => break,
                _ if depth == 0 && self.at > from && stops.iter().any(|s| self.is_word(0, s)) => break,
                _ => {}
            }
            self.at += 1;
        }
        self.text_since(from)
    }

    /// A data type.
    pub fn sql_type(&mut self) -> SqlResult<SqlType> {
        let name = self.ident()?;
        let upper = name.to_ascii_uppercase();
        let sized = |c: &mut Cursor<'a>| -> SqlResult<Option<u32>> {
            if c.peek() != Some(&Token::LParen) {
                return Ok(None);
            }
            c.at += 1;
            let n = if c.eat_token(&Token::Mul) { u64::from(VARCHAR_MAX) } else { c.number()? };
            c.expect_token(&Token::RParen)?;
            u32::try_from(n).map(Some).map_err(|_| SqlError::analysis("the length of a type is too large"))
        };
        Ok(match upper.as_str() {
            "BOOLEAN" | "BOOL" => SqlType::Boolean,
            "TINYINT" => {
                sized(self)?;
                SqlType::TinyInt
            }
            "SMALLINT" => {
                sized(self)?;
                SqlType::SmallInt
            }
            "INT" | "INTEGER" => {
                sized(self)?;
                SqlType::Int
            }
            "BIGINT" => {
                sized(self)?;
                if self.eat(&["UNSIGNED"]) { SqlType::LargeInt } else { SqlType::BigInt }
            }
            "SIGNED" | "UNSIGNED" => {
                self.eat(&["INT"]);
                self.eat(&["INTEGER"]);
                SqlType::BigInt
            }
            "LARGEINT" => {
                sized(self)?;
                SqlType::LargeInt
            }
            "FLOAT" => SqlType::Float,
            "DOUBLE" | "REAL" => {
                self.eat(&["PRECISION"]);
                SqlType::Double
            }
            "DECIMAL" | "NUMERIC" | "DECIMALV2" | "DECIMAL32" | "DECIMAL64" | "DECIMAL128" | "DECIMAL256"
            | "NUMBER" => {
                let (mut p, mut s) = match upper.as_str() {
                    "DECIMALV2" => (27, 9),
                    _ => (10, 0),
                };
                if self.eat_token(&Token::LParen) {
                    p = self.number()?;
                    s = 0;
                    if self.eat_token(&Token::Comma) {
                        s = self.number()?;
                    }
                    self.expect_token(&Token::RParen)?;
                }
                if !(1..=76).contains(&p) {
                    return Err(SqlError::analysis(format!(
                        "DECIMAL's precision should range from 1 to 76, but is {p}"
                    )));
                }
                if s > p {
                    return Err(SqlError::analysis(format!(
                        "Scale of decimal must between 0 and precision {p}, but is {s}"
                    )));
                }
                SqlType::Decimal(p as u8, s as u8)
            }
            "CHAR" | "CHARACTER" => SqlType::Char(sized(self)?.unwrap_or(1)),
            "VARCHAR" => SqlType::Varchar(sized(self)?.unwrap_or(STRING_LENGTH)),
            "STRING" | "TEXT" => SqlType::STRING,
            "BINARY" | "VARBINARY" => {
                sized(self)?;
                SqlType::Varbinary
            }
            "DATE" => SqlType::Date,
            "DATETIME" | "TIMESTAMP" => {
                sized(self)?;
                SqlType::DateTime
            }
            "TIME" => SqlType::STRING,
            "JSON" | "JSONB" | "VARIANT" => SqlType::Json,
            "BITMAP" => SqlType::Bitmap,
            "HLL" => SqlType::Hll,
            "PERCENTILE" => SqlType::Percentile,
            "ARRAY" => {
                self.open_angle()?;
                let e = self.sql_type()?;
                self.close_angle()?;
                SqlType::Array(Box::new(e))
            }
            "MAP" => {
                self.open_angle()?;
                let k = self.sql_type()?;
                self.expect_token(&Token::Comma)?;
                let v = self.sql_type()?;
                self.close_angle()?;
                SqlType::Map(Box::new(k), Box::new(v))
            }
            "STRUCT" => {
                self.open_angle()?;
                let mut fields = Vec::new();
                loop {
                    let name = self.ident()?;
                    self.eat_token(&Token::Colon);
                    fields.push((name, self.sql_type()?));
                    if self.peek() == Some(&Token::Comma) {
                        self.at += 1;
                        continue;
                    }
                    self.close_angle()?;
                    break;
                }
                SqlType::Struct(fields)
            }
            _ => {
                self.at -= 1;
                return Err(self.unexpected("a type"));
            }
        })
    }

    fn open_angle(&mut self) -> SqlResult<()> {
        self.expect_token(&Token::Lt)
    }

    fn close_angle(&mut self) -> SqlResult<()> {
        // `>>` is split by [`split_angles`] before a type is read.
        self.expect_token(&Token::Gt)
    }
}

/// `>>` inside of a type is two `>`.
pub fn split_angles(tokens: &[Lexeme]) -> Vec<Lexeme> {
    let mut out = Vec::with_capacity(tokens.len());
    let mut open = 0usize;
    for (i, t) in tokens.iter().enumerate() {
        let after_type = i > 0
            && matches!(&tokens[i - 1].token, Token::Word(w)
                if ["ARRAY", "MAP", "STRUCT"].iter().any(|n| w.value.eq_ignore_ascii_case(n)));
        match &t.token {
            Token::Lt if after_type => open += 1,
            Token::Gt if open > 0 => open -= 1,
            Token::ShiftRight if open >= 2 => {
                open -= 2;
                out.push(Lexeme { token: Token::Gt, start: t.start, end: t.start + 1 });
                out.push(Lexeme { token: Token::Gt, start: t.start + 1, end: t.end });
                continue;
            }
            _ => {}
        }
        out.push(t.clone());
    }
    out
}
