//! Recursive-descent parser for Flink SQL, with the place of every word kept.
//!
//! The parser is our own (docs/decisions/0001-own-binder.md): nothing that is written may be
//! dropped, every refusal underlines the word it is about, and nesting is bounded.

mod expr;
mod query;
mod statement;
mod types;

use crate::ast::{Ident, Name, OptionText, Statement, StatementKind};
use crate::diagnostic::{Diagnostic, Span};
use crate::lexer::{self, Tok, Token};
use crate::stack::with_room;

/// Deeper nesting is refused: the parser and everything behind it recurse.
const DEPTH_MAX: usize = 96;

pub(crate) type Parse<T> = Result<T, Diagnostic>;

/// Words Flink reserves that can not stand for a name without backticks.
const RESERVED: &[&str] = &[
    "ALL",
    "ALTER",
    "AND",
    "ANY",
    "ARRAY",
    "AS",
    "ASYMMETRIC",
    "BETWEEN",
    "BIGINT",
    "BINARY",
    "BOOLEAN",
    "BOTH",
    "BY",
    "CASE",
    "CAST",
    "CHAR",
    "CHARACTER",
    "CHECK",
    "COLLATE",
    "CONSTRAINT",
    "CREATE",
    "CROSS",
    "CUBE",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "DATE",
    "DEC",
    "DECIMAL",
    "DEFAULT",
    "DELETE",
    "DESCRIBE",
    "DISTINCT",
    "DOUBLE",
    "DROP",
    "ELSE",
    "END",
    "ESCAPE",
    "EXCEPT",
    "EXECUTE",
    "EXISTS",
    "EXPLAIN",
    "EXTRACT",
    "FALSE",
    "FETCH",
    "FILTER",
    "FLOAT",
    "FOR",
    "FROM",
    "FULL",
    "FUNCTION",
    "GRANT",
    "GROUP",
    "GROUPING",
    "HAVING",
    "IN",
    "INNER",
    "INSERT",
    "INT",
    "INTEGER",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "LATERAL",
    "LEADING",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "MATCH_RECOGNIZE",
    "MERGE",
    "MINUS",
    "MULTISET",
    "NATURAL",
    "NOT",
    "NULL",
    "NUMERIC",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "OVERLAPS",
    "PARTITION",
    "PRIMARY",
    "REAL",
    "RIGHT",
    "ROLLUP",
    "ROW",
    "ROWS",
    "SELECT",
    "SET",
    "SIMILAR",
    "SMALLINT",
    "SOME",
    "SYMMETRIC",
    "TABLE",
    "TABLESAMPLE",
    "THEN",
    "TINYINT",
    "TO",
    "TRAILING",
    "TRUE",
    "UNION",
    "UNIQUE",
    "UNKNOWN",
    "UNNEST",
    "UPDATE",
    "UPSERT",
    "USING",
    "VALUE",
    "VALUES",
    "VARBINARY",
    "VARCHAR",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
    "WITHIN",
    "WITHOUT",
];

/// True when `word` needs backticks to be a name.
pub fn is_reserved(word: &str) -> bool {
    RESERVED.binary_search(&word.to_ascii_uppercase().as_str()).is_ok()
}

/// Splits a script at `;` and parses every statement; all mistakes are reported at once.
///
/// Statement sets written as one statement (`EXECUTE STATEMENT SET BEGIN … END`) are one statement.
pub fn parse_script(text: &str) -> Result<Vec<Statement>, Vec<Diagnostic>> {
    let tokens = lexer::tokenize(text).map_err(|d| vec![d])?;
    with_room(nesting(&tokens), || parse_statements(text, tokens))
}

/// How deep a row of tokens nests at most: parentheses, brackets, CASE, type arguments and unary
/// operators in a row.
fn nesting(tokens: &[Token]) -> usize {
    let (mut depth, mut deepest, mut unary) = (0usize, 0usize, 0usize);
    for (index, token) in tokens.iter().enumerate() {
        let before = index.checked_sub(1).map(|i| &tokens[i].tok);
        let word = |tok: Option<&Tok>, list: &[&str]| matches!(tok, Some(Tok::Word(w)) if list.iter().any(|l| w.eq_ignore_ascii_case(l)));
        match &token.tok {
            Tok::Sym("(" | "[" | "{") => depth += 1,
            Tok::Sym("<") if word(before, &["ARRAY", "MAP", "ROW", "MULTISET"]) => depth += 1,
            Tok::Sym(")" | "]" | "}" | ">") => depth = depth.saturating_sub(1),
            tok if word(Some(tok), &["CASE"]) => depth += 1,
            tok if word(Some(tok), &["END"]) => depth = depth.saturating_sub(1),
            _ => {}
        }
        let one =
            matches!(token.tok, Tok::Sym("-" | "+" | ".")) || word(Some(&token.tok), &["NOT", "INTERSECT", "EXPLAIN"]);
        unary = if one { unary + 1 } else { 0 };
        deepest = deepest.max(depth + unary);
        if token.tok == Tok::Sym(";") {
            depth = 0;
        }
    }
    deepest
}

fn parse_statements(text: &str, tokens: Vec<Token>) -> Result<Vec<Statement>, Vec<Diagnostic>> {
    let mut parser = Parser { text, tokens, at: 0, depth: 0 };
    let mut statements = Vec::new();
    let mut diagnostics = Vec::new();
    loop {
        while parser.eat_sym(";") {}
        if parser.at_end() {
            break;
        }
        let start = parser.span().start;
        let first = parser.at;
        parser.depth = 0;
        let parsed = parser.statement().and_then(|kind| {
            if parser.peek_sym(";") || parser.at_end() {
                Ok(kind)
            } else {
                Err(parser.unexpected("the end of the statement or ';'"))
            }
        });
        match parsed {
            Ok(kind) => {
                let end = parser.previous_end().max(start);
                let nesting = nesting(&parser.tokens[first..parser.at.min(parser.tokens.len())]);
                statements.push(Statement { kind, span: start..end, text: text[start..end].to_owned(), nesting });
            }
            Err(diagnostic) => {
                diagnostics.push(diagnostic);
                while !parser.peek_sym(";") && !parser.at_end() {
                    parser.at += 1;
                }
            }
        }
    }
    if diagnostics.is_empty() { Ok(statements) } else { Err(diagnostics) }
}

/// Parses one expression, such as a computed column's text.
pub fn parse_expression(text: &str) -> Result<crate::ast::Expr, Diagnostic> {
    let tokens = lexer::tokenize(text)?;
    with_room(nesting(&tokens), || {
        let mut parser = Parser { text, tokens, at: 0, depth: 0 };
        let expr = parser.expr()?;
        if parser.at_end() { Ok(expr) } else { Err(parser.unexpected("the end of the expression")) }
    })
}

/// An item of a select list.
#[derive(Debug, Clone, PartialEq)]
pub struct Projected {
    /// [`crate::ast::ExprKind::Star`] for `*`.
    pub expr: crate::ast::Expr,
    pub alias: Option<Ident>,
}

/// Parses a select list without a query around it: `a, b + 1 AS c, *`. The star may be written `\*`, as YAML files do.
pub fn parse_projection(text: &str) -> Result<Vec<Projected>, Diagnostic> {
    let mut tokens = lexer::tokenize(text)?;
    let mut at = 0;
    while at + 1 < tokens.len() {
        if tokens[at].tok == Tok::Unknown('\\') && tokens[at + 1].tok == Tok::Sym("*") {
            tokens.remove(at);
        }
        at += 1;
    }
    with_room(nesting(&tokens), || {
        let mut parser = Parser { text, tokens, at: 0, depth: 0 };
        let mut items = Vec::new();
        loop {
            let expr = parser.expr()?;
            let named = parser.eat_word("AS");
            let alias = match parser.tok() {
                Tok::Word(_) | Tok::Quoted(_) => Some(parser.any_ident("a column's name")?),
                _ if named => return Err(parser.unexpected("a column's name")),
                _ => None,
            };
            items.push(Projected { expr, alias });
            if !parser.eat_sym(",") {
                break;
            }
        }
        if parser.at_end() { Ok(items) } else { Err(parser.unexpected("',' or the end of the projection")) }
    })
}

/// Parses one data type, such as `ROW<a INT NOT NULL, b STRING>`.
pub fn parse_data_type(text: &str) -> Result<starweir_model::DataType, Diagnostic> {
    let tokens = lexer::tokenize(text)?;
    with_room(nesting(&tokens), || parse_type(text, tokens))
}

fn parse_type(text: &str, tokens: Vec<Token>) -> Result<starweir_model::DataType, Diagnostic> {
    let mut parser = Parser { text, tokens, at: 0, depth: 0 };
    let parsed = parser.type_name()?;
    if !parser.at_end() {
        return Err(parser.unexpected("the end of the type"));
    }
    parsed.data_type.ok_or_else(|| Diagnostic::unsupported(parsed.span, format!("the type {}", parsed.text)))
}

pub(crate) struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    // ---- looking ---------------------------------------------------------------------------

    fn tok(&self) -> &Tok {
        &self.tokens[self.at.min(self.tokens.len() - 1)].tok
    }

    fn tok_at(&self, ahead: usize) -> &Tok {
        &self.tokens[(self.at + ahead).min(self.tokens.len() - 1)].tok
    }

    fn span(&self) -> Span {
        self.tokens[self.at.min(self.tokens.len() - 1)].span.clone()
    }

    fn previous_end(&self) -> usize {
        if self.at == 0 { 0 } else { self.tokens[self.at - 1].span.end }
    }

    fn at_end(&self) -> bool {
        *self.tok() == Tok::Eof
    }

    fn peek_sym(&self, symbol: &str) -> bool {
        matches!(self.tok(), Tok::Sym(s) if *s == symbol)
    }

    fn peek_sym_at(&self, ahead: usize, symbol: &str) -> bool {
        matches!(self.tok_at(ahead), Tok::Sym(s) if *s == symbol)
    }

    fn peek_word(&self, word: &str) -> bool {
        self.peek_word_at(0, word)
    }

    fn peek_word_at(&self, ahead: usize, word: &str) -> bool {
        matches!(self.tok_at(ahead), Tok::Word(w) if w.eq_ignore_ascii_case(word))
    }

    fn peek_words(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(i, w)| self.peek_word_at(i, w))
    }

    // ---- taking ----------------------------------------------------------------------------

    fn eat_sym(&mut self, symbol: &str) -> bool {
        let found = self.peek_sym(symbol);
        self.at += usize::from(found);
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.peek_word(word);
        self.at += usize::from(found);
        found
    }

    /// Takes all the words or none.
    fn eat_words(&mut self, words: &[&str]) -> bool {
        let found = self.peek_words(words);
        if found {
            self.at += words.len();
        }
        found
    }

    fn expect_sym(&mut self, symbol: &str) -> Parse<Span> {
        let span = self.span();
        if self.eat_sym(symbol) { Ok(span) } else { Err(self.unexpected(&format!("'{symbol}'"))) }
    }

    fn expect_word(&mut self, word: &str) -> Parse<Span> {
        let span = self.span();
        if self.eat_word(word) { Ok(span) } else { Err(self.unexpected(word)) }
    }

    fn expect_words(&mut self, words: &[&str]) -> Parse<()> {
        for word in words {
            self.expect_word(word)?;
        }
        Ok(())
    }

    fn string(&mut self, what: &str) -> Parse<String> {
        match self.tok().clone() {
            Tok::Str(value) => {
                self.at += 1;
                Ok(value)
            }
            Tok::UnicodeStr(raw) => {
                let span = self.span();
                self.at += 1;
                self.unicode(&raw, span)
            }
            _ => Err(self.unexpected(what)),
        }
    }

    /// `U&'…' [UESCAPE 'c']` behind its token.
    fn unicode(&mut self, raw: &str, span: Span) -> Parse<String> {
        let mut escape = '\\';
        if self.eat_word("UESCAPE") {
            let escape_span = self.span();
            let text = self.string("the escape character")?;
            let mut chars = text.chars();
            escape = match (chars.next(), chars.next()) {
                (Some(c), None) => c,
                _ => return Err(Diagnostic::at(escape_span, "UESCAPE takes one character")),
            };
        }
        lexer::decode_unicode(raw, escape).map_err(|m| Diagnostic::at(span, m))
    }

    /// A name: quoted, or a word that is not reserved.
    fn ident(&mut self, what: &str) -> Parse<Ident> {
        let span = self.span();
        match self.tok().clone() {
            Tok::Quoted(name) => {
                self.at += 1;
                Ok(Ident { name, quoted: true, span })
            }
            Tok::Word(name) if !is_reserved(&name) => {
                self.at += 1;
                Ok(Ident { name, quoted: false, span })
            }
            Tok::Word(name) => Err(Diagnostic::at(span, format!("expected {what}, found the reserved word {name}"))
                .with_label("reserved word")
                .with_hint(format!("to use it as a name, write `{name}` between backticks"))),
            _ => Err(self.unexpected(what)),
        }
    }

    /// Any word or quoted name, reserved ones too (behind a dot and after AS Flink is not strict).
    fn any_ident(&mut self, what: &str) -> Parse<Ident> {
        let span = self.span();
        match self.tok().clone() {
            Tok::Quoted(name) => {
                self.at += 1;
                Ok(Ident { name, quoted: true, span })
            }
            Tok::Word(name) => {
                self.at += 1;
                Ok(Ident { name, quoted: false, span })
            }
            _ => Err(self.unexpected(what)),
        }
    }

    fn name(&mut self, what: &str) -> Parse<Name> {
        let mut parts = vec![self.ident(what)?];
        while self.peek_sym(".") {
            self.at += 1;
            parts.push(self.ident(what)?);
        }
        Ok(Name { parts })
    }

    fn ident_list(&mut self, what: &str) -> Parse<Vec<Ident>> {
        self.expect_sym("(")?;
        let mut list = vec![self.ident(what)?];
        while self.eat_sym(",") {
            list.push(self.ident(what)?);
        }
        self.expect_sym(")")?;
        Ok(list)
    }

    /// `'key' = 'value', …` to the closing parenthesis, which is taken; the opening one was.
    fn option_pairs(&mut self) -> Parse<Vec<OptionText>> {
        let mut options = Vec::new();
        if self.eat_sym(")") {
            return Ok(options);
        }
        loop {
            let key_span = self.span();
            let key = self.string("an option's name between quotes")?;
            self.expect_sym("=")?;
            let value_span = self.span();
            let value = self.string("the option's value between quotes")?;
            options.push(OptionText { key, value, key_span, value_span });
            if !self.eat_sym(",") {
                break;
            }
        }
        self.expect_sym(")")?;
        Ok(options)
    }

    // ---- failing ---------------------------------------------------------------------------

    fn unexpected(&self, wanted: &str) -> Diagnostic {
        let found = match self.tok() {
            Tok::Eof => "the end of the script".to_owned(),
            Tok::Word(w) => w.clone(),
            Tok::Quoted(w) => format!("`{w}`"),
            Tok::Number(n) => n.clone(),
            Tok::Str(_) | Tok::UnicodeStr(_) | Tok::Hex(_) => "a character literal".to_owned(),
            Tok::Sym(s) => format!("'{s}'"),
            Tok::Unknown(c) => format!("'{c}'"),
        };
        Diagnostic::at(self.span(), format!("expected {wanted}, found {found}"))
            .with_label(format!("expected {wanted}"))
    }

    /// Runs `inner` one level deeper; too deep is an error, not a stack overflow.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<T> {
        if self.depth >= DEPTH_MAX {
            return Err(Diagnostic::at(
                self.span(),
                format!("expressions and queries may be nested {DEPTH_MAX} deep at most"),
            ));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// Takes everything to the parenthesis that closes the one just taken.
    fn skip_parens(&mut self) -> Parse<()> {
        let open = self.span();
        let mut depth = 1usize;
        while depth > 0 {
            if self.at_end() || self.peek_sym(";") {
                return Err(Diagnostic::at(open, "a parenthesis is opened and never closed"));
            }
            if self.peek_sym("(") {
                depth += 1;
            } else if self.peek_sym(")") {
                depth -= 1;
            }
            self.at += 1;
        }
        Ok(())
    }

    fn slice(&self, span: &Span) -> String {
        self.text.get(span.clone()).unwrap_or("").to_owned()
    }
}

/// The statement inside another's grammar, such as EXPLAIN.
pub(crate) type Kind = StatementKind;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserved_words_are_sorted() {
        assert!(RESERVED.windows(2).all(|w| w[0] < w[1]));
    }

    #[test]
    fn a_script_is_split_outside_quotes_and_comments() {
        let script = "SET 'a' = 'x;y'; -- one; two\nSELECT 1 /* ; */ AS `a;b`;\n;SELECT 2";
        let statements = parse_script(script).unwrap();
        let texts: Vec<_> = statements.iter().map(|s| s.text.as_str()).collect();
        assert_eq!(texts, ["SET 'a' = 'x;y'", "SELECT 1 /* ; */ AS `a;b`", "SELECT 2"]);
        assert_eq!(&script[statements[1].span.clone()], texts[1]);
    }

    #[test]
    fn every_broken_statement_is_reported_with_the_word_it_is_about() {
        let script = "SELECT a FROM;\nSELECT 1;\nCREATE TABL x (a INT)";
        let errors = parse_script(script).unwrap_err();
        assert_eq!(errors.len(), 2);
        assert_eq!(&script[errors[0].span.clone().unwrap()], ";");
        assert_eq!(&script[errors[1].span.clone().unwrap()], "TABL");
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_crash() {
        let deep = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
        assert!(parse_script(&deep).unwrap_err()[0].message.contains("nested"));
        let deep = format!("SELECT {} TRUE", "NOT ".repeat(5000));
        assert!(parse_script(&deep).is_err());
        let deep = format!("SELECT a{}", "[1]".repeat(5000));
        assert!(parse_script(&deep).is_err());
        let deep = format!("SELECT CAST(NULL AS {}INT{})", "ARRAY<".repeat(5000), ">".repeat(5000));
        assert!(parse_script(&deep).is_err());
    }
}
