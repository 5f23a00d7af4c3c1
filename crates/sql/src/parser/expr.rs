//! Expressions: precedence climbing over Flink's operators, and the functions with words inside.

use super::{Parse, Parser, is_reserved};
use crate::ast::*;
use crate::diagnostic::{Diagnostic, Span};
use crate::lexer::Tok;

/// Functions that are written without parentheses.
const BARE_FUNCTIONS: &[&str] = &[
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "CURRENT_USER",
    "SESSION_USER",
    "SYSTEM_USER",
    "USER",
    "CURRENT_CATALOG",
    "CURRENT_DATABASE_",
    "CURRENT_ROW_TIMESTAMP_",
];

/// Reserved words that are functions when a parenthesis follows.
const CALLABLE_RESERVED: &[&str] = &[
    "LEFT",
    "RIGHT",
    "ROW",
    "GROUPING",
    "VALUE",
    "CURRENT_TIMESTAMP",
    "CURRENT_TIME",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "CURRENT_DATE",
    "INSERT",
    "SET",
    "CHAR",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "UNNEST",
];

const UNITS: &[&str] = &[
    "YEAR",
    "QUARTER",
    "MONTH",
    "WEEK",
    "DAY",
    "HOUR",
    "MINUTE",
    "SECOND",
    "MILLISECOND",
    "MICROSECOND",
    "NANOSECOND",
    "DECADE",
    "CENTURY",
    "MILLENNIUM",
    "DOW",
    "DOY",
    "ISODOW",
    "ISOYEAR",
    "EPOCH",
];

/// `DAYS` is `DAY`; anything else is itself in upper case.
pub(crate) fn singular_unit(word: &str) -> String {
    let upper = word.to_ascii_uppercase();
    match upper.strip_suffix('S') {
        Some(one) if UNITS.contains(&one) => one.to_owned(),
        _ => upper,
    }
}

fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    let span = left.span.start..right.span.end;
    Expr::new(ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) }, span)
}

/// AND and OR over any number of operands as a tree of logarithmic depth; the order stays.
fn balanced(op: BinaryOp, mut operands: Vec<Expr>) -> Option<Expr> {
    while operands.len() > 1 {
        let mut next = Vec::with_capacity(operands.len().div_ceil(2));
        let mut rest = operands.into_iter();
        while let Some(left) = rest.next() {
            next.push(match rest.next() {
                Some(right) => binary(op, left, right),
                None => left,
            });
        }
        operands = next;
    }
    operands.pop()
}

impl Parser<'_> {
    pub(super) fn expr(&mut self) -> Parse<Expr> {
        self.deeper(Self::or_expr)
    }

    /// Long chains of one operator are kept flat for the stack: the tree leans left, and what walks
    /// it recurses, so their number is bounded.
    fn chain(&mut self, links: &mut usize) -> Parse<()> {
        *links += 1;
        if *links > 200 {
            return Err(Diagnostic::at(self.span(), "an expression may chain 200 operators at most"));
        }
        Ok(())
    }

    fn or_expr(&mut self) -> Parse<Expr> {
        let mut operands = vec![self.and_expr()?];
        while self.eat_word("OR") {
            operands.push(self.and_expr()?);
        }
        balanced(BinaryOp::Or, operands).ok_or_else(|| self.unexpected("an expression"))
    }

    fn and_expr(&mut self) -> Parse<Expr> {
        let mut operands = vec![self.not_expr()?];
        while self.eat_word("AND") {
            operands.push(self.not_expr()?);
        }
        balanced(BinaryOp::And, operands).ok_or_else(|| self.unexpected("an expression"))
    }

    fn not_expr(&mut self) -> Parse<Expr> {
        let start = self.span().start;
        if self.eat_word("NOT") {
            let inner = self.deeper(Self::not_expr)?;
            let span = start..inner.span.end;
            return Ok(Expr::new(ExprKind::Not(Box::new(inner)), span));
        }
        self.predicate()
    }

    fn predicate(&mut self) -> Parse<Expr> {
        let mut left = self.additive()?;
        let mut links = 0;
        loop {
            self.chain(&mut links)?;
            let start = left.span.start;
            let comparison = match self.tok() {
                Tok::Sym("=") => Some(BinaryOp::Eq),
                Tok::Sym("<>" | "!=") => Some(BinaryOp::NotEq),
                Tok::Sym("<") => Some(BinaryOp::Less),
                Tok::Sym("<=") => Some(BinaryOp::LessEq),
                Tok::Sym(">") => Some(BinaryOp::Greater),
                Tok::Sym(">=") => Some(BinaryOp::GreaterEq),
                _ => None,
            };
            if let Some(op) = comparison {
                self.at += 1;
                if (self.peek_word("ANY") || self.peek_word("SOME") || self.peek_word("ALL"))
                    && self.peek_sym_at(1, "(")
                {
                    let span = self.span();
                    self.at += 2;
                    self.skip_parens()?;
                    left = Expr::new(ExprKind::Quantified { expr: Box::new(left), span }, start..self.previous_end());
                    continue;
                }
                let right = self.additive()?;
                left = binary(op, left, right);
                continue;
            }
            if self.peek_word("IS") {
                left = self.is_predicate(left)?;
                continue;
            }
            if self.eat_word("OVERLAPS") {
                let right = self.additive()?;
                left = binary(BinaryOp::Overlaps, left, right);
                continue;
            }
            let negated = self.peek_word("NOT");
            let ahead = usize::from(negated);
            if self.peek_word_at(ahead, "BETWEEN") {
                self.at += ahead + 1;
                let symmetric = self.eat_word("SYMMETRIC");
                if !symmetric {
                    self.eat_word("ASYMMETRIC");
                }
                let low = self.additive()?;
                self.expect_word("AND")?;
                let high = self.additive()?;
                let span = start..high.span.end;
                let (low, high) = (Box::new(low), Box::new(high));
                left = Expr::new(ExprKind::Between { expr: Box::new(left), low, high, negated, symmetric }, span);
                continue;
            }
            if self.peek_word_at(ahead, "IN") {
                self.at += ahead + 1;
                left = self.in_predicate(left, negated)?;
                continue;
            }
            let kind = if self.peek_word_at(ahead, "LIKE") {
                Some((LikeKind::Like, 1))
            } else if self.peek_word_at(ahead, "SIMILAR") && self.peek_word_at(ahead + 1, "TO") {
                Some((LikeKind::SimilarTo, 2))
            } else if self.peek_word_at(ahead, "RLIKE") {
                Some((LikeKind::Rlike, 1))
            } else {
                None
            };
            if let Some((kind, words)) = kind {
                self.at += ahead + words;
                let pattern = Box::new(self.additive()?);
                let escape = if self.eat_word("ESCAPE") { Some(Box::new(self.additive()?)) } else { None };
                let span = start..self.previous_end();
                left = Expr::new(ExprKind::Like { expr: Box::new(left), pattern, escape, negated, kind }, span);
                continue;
            }
            if self.peek_word_at(ahead, "MEMBER") || self.peek_word_at(ahead, "SUBMULTISET") {
                return Err(Diagnostic::unsupported(self.span(), "MEMBER OF and SUBMULTISET OF"));
            }
            return Ok(left);
        }
    }

    fn is_predicate(&mut self, left: Expr) -> Parse<Expr> {
        self.expect_word("IS")?;
        let start = left.span.start;
        let negated = self.eat_word("NOT");
        if self.eat_words(&["DISTINCT", "FROM"]) {
            let right = self.additive()?;
            let span = start..right.span.end;
            let kind = ExprKind::DistinctFrom { left: Box::new(left), right: Box::new(right), negated };
            return Ok(Expr::new(kind, span));
        }
        let what = if self.eat_word("NULL") {
            IsWhat::Null
        } else if self.eat_word("TRUE") {
            IsWhat::True
        } else if self.eat_word("FALSE") {
            IsWhat::False
        } else if self.eat_word("UNKNOWN") {
            IsWhat::Unknown
        } else if self.eat_word("JSON") {
            if self.eat_word("OBJECT") {
                IsWhat::JsonObject
            } else if self.eat_word("ARRAY") {
                IsWhat::JsonArray
            } else if self.eat_word("SCALAR") {
                IsWhat::JsonScalar
            } else {
                self.eat_word("VALUE");
                IsWhat::JsonValue
            }
        } else if self.peek_words(&["A", "SET"]) || self.peek_word("EMPTY") {
            return Err(Diagnostic::unsupported(self.span(), "IS A SET and IS EMPTY"));
        } else {
            return Err(self.unexpected("NULL, TRUE, FALSE, UNKNOWN, JSON or DISTINCT FROM"));
        };
        let span = start..self.previous_end();
        Ok(Expr::new(ExprKind::Is { expr: Box::new(left), what, negated }, span))
    }

    fn in_predicate(&mut self, left: Expr, negated: bool) -> Parse<Expr> {
        let start = left.span.start;
        self.expect_sym("(")?;
        if self.starts_query() {
            let query = self.query()?;
            self.expect_sym(")")?;
            let span = start..self.previous_end();
            return Ok(Expr::new(ExprKind::InQuery { expr: Box::new(left), query: Box::new(query), negated }, span));
        }
        let mut list = vec![self.expr()?];
        while self.eat_sym(",") {
            list.push(self.expr()?);
        }
        self.expect_sym(")")?;
        let span = start..self.previous_end();
        Ok(Expr::new(ExprKind::InList { expr: Box::new(left), list, negated }, span))
    }

    fn additive(&mut self) -> Parse<Expr> {
        let mut left = self.multiplicative()?;
        let mut links = 0;
        loop {
            let op = match self.tok() {
                Tok::Sym("+") => BinaryOp::Plus,
                Tok::Sym("-") => BinaryOp::Minus,
                Tok::Sym("||") => BinaryOp::Concat,
                _ => return Ok(left),
            };
            self.chain(&mut links)?;
            self.at += 1;
            left = binary(op, left, self.multiplicative()?);
        }
    }

    fn multiplicative(&mut self) -> Parse<Expr> {
        let mut left = self.unary()?;
        let mut links = 0;
        loop {
            let op = match self.tok() {
                Tok::Sym("*") => BinaryOp::Multiply,
                Tok::Sym("/") => BinaryOp::Divide,
                Tok::Sym("%") => BinaryOp::Modulo,
                _ => return Ok(left),
            };
            self.chain(&mut links)?;
            self.at += 1;
            left = binary(op, left, self.unary()?);
        }
    }

    fn unary(&mut self) -> Parse<Expr> {
        let start = self.span().start;
        if self.peek_sym("-") || self.peek_sym("+") {
            let minus = self.eat_sym("-");
            if !minus {
                self.at += 1;
            }
            let inner = Box::new(self.deeper(Self::unary)?);
            let span = start..inner.span.end;
            return Ok(Expr::new(if minus { ExprKind::Negate(inner) } else { ExprKind::Positive(inner) }, span));
        }
        self.postfix()
    }

    fn postfix(&mut self) -> Parse<Expr> {
        let mut expr = self.primary()?;
        let mut links = 0;
        loop {
            if self.peek_sym("[") {
                links += 1;
                if links > 60 {
                    return Err(Diagnostic::at(self.span(), "an expression may chain 60 accesses at most"));
                }
                self.at += 1;
                let index = Box::new(self.expr()?);
                let end = self.expect_sym("]")?.end;
                let span = expr.span.start..end;
                expr = Expr::new(ExprKind::Index { expr: Box::new(expr), index }, span);
            } else if self.peek_sym(".") {
                links += 1;
                if links > 60 {
                    return Err(Diagnostic::at(self.span(), "an expression may chain 60 accesses at most"));
                }
                self.at += 1;
                if self.eat_sym("*") {
                    let span = expr.span.start..self.previous_end();
                    return Err(Diagnostic::unsupported(span, "expanding a row with .*"));
                }
                let field = self.any_ident("a field's name")?;
                // A call behind a dot is a function of another database: `a.b.f(x)`.
                let span = expr.span.start..field.span.end;
                expr = Expr::new(ExprKind::Field { expr: Box::new(expr), field }, span);
            } else if self.peek_words(&["COLLATE"]) {
                return Err(Diagnostic::unsupported(self.span(), "COLLATE"));
            } else if self.peek_words(&["AT", "LOCAL"]) || self.peek_words(&["AT", "TIME", "ZONE"]) {
                return Err(Diagnostic::unsupported(self.span(), "AT TIME ZONE").with_hint("use CONVERT_TZ"));
            } else {
                return Ok(expr);
            }
        }
    }

    pub(super) fn starts_query(&self) -> bool {
        // A query may itself stand in parentheses: ((SELECT …) UNION …).
        let mut ahead = 0;
        while self.peek_sym_at(ahead, "(") && ahead < 32 {
            ahead += 1;
        }
        let direct = self.peek_word_at(ahead, "SELECT")
            || self.peek_word_at(ahead, "VALUES")
            || self.peek_word_at(ahead, "WITH");
        direct || (ahead == 0 && self.peek_word("TABLE") && matches!(self.tok_at(1), Tok::Word(_) | Tok::Quoted(_)))
    }

    fn primary(&mut self) -> Parse<Expr> {
        let span = self.span();
        match self.tok().clone() {
            Tok::Number(text) => {
                self.at += 1;
                Ok(Expr::new(ExprKind::Number(text), span))
            }
            Tok::Str(_) | Tok::UnicodeStr(_) => {
                let mut value = self.string("a literal")?;
                // Literals that follow each other are one.
                while matches!(self.tok(), Tok::Str(_)) {
                    value.push_str(&self.string("a literal")?);
                }
                Ok(Expr::new(ExprKind::Str(value), span.start..self.previous_end()))
            }
            Tok::Hex(digits) => {
                self.at += 1;
                let bytes = hex::decode(&digits)
                    .map_err(|_| Diagnostic::at(span.clone(), "a binary literal holds an even number of hex digits"))?;
                Ok(Expr::new(ExprKind::Bytes(bytes), span))
            }
            Tok::Sym("(") => self.parenthesized(),
            Tok::Sym("*") => {
                self.at += 1;
                Ok(Expr::new(ExprKind::Star, span))
            }
            Tok::Sym("?") => {
                self.at += 1;
                Ok(Expr::new(ExprKind::Parameter, span))
            }
            Tok::Sym("{") => self.jdbc_escape(),
            Tok::Quoted(_) => self.name_or_call(),
            Tok::Word(word) => self.word_primary(&word.to_ascii_uppercase(), span),
            _ => Err(self.unexpected("an expression")),
        }
    }

    /// `{fn f(x)}`, `{d '…'}`, `{t '…'}`, `{ts '…'}`.
    fn jdbc_escape(&mut self) -> Parse<Expr> {
        let span = self.expect_sym("{")?;
        let expr = if self.eat_word("fn") {
            self.expr()?
        } else {
            let word = self.any_ident("fn, d, t or ts")?;
            let text = self.string("a literal")?;
            let kind = match word.name.to_ascii_lowercase().as_str() {
                "d" => ExprKind::Date(text),
                "t" => ExprKind::Time(text),
                "ts" => ExprKind::Timestamp(text),
                other => return Err(Diagnostic::at(word.span, format!("'{other}' is no JDBC escape"))),
            };
            Expr::new(kind, span.clone())
        };
        self.expect_sym("}")?;
        Ok(expr)
    }

    fn parenthesized(&mut self) -> Parse<Expr> {
        let start = self.span().start;
        if self.starts_query() && !self.parenthesized_expression_ahead() {
            self.at += 1;
            let query = self.query()?;
            self.expect_sym(")")?;
            return Ok(Expr::new(ExprKind::Subquery(Box::new(query)), start..self.previous_end()));
        }
        self.expect_sym("(")?;
        let first = self.expr()?;
        if self.peek_sym(",") {
            let mut items = vec![first];
            while self.eat_sym(",") {
                items.push(self.expr()?);
            }
            self.expect_sym(")")?;
            return Ok(Expr::new(ExprKind::Row(items), start..self.previous_end()));
        }
        self.expect_sym(")")?;
        Ok(Expr::new(first.kind, start..self.previous_end()))
    }

    /// `((SELECT 1) + 1)`: two parentheses before SELECT may close at different places; try the query
    /// first and fall back when what follows the inner `)` is not part of a query.
    fn parenthesized_expression_ahead(&self) -> bool {
        if !self.peek_sym_at(1, "(") {
            return false;
        }
        let mut depth = 0usize;
        let mut ahead = 1;
        loop {
            match self.tok_at(ahead) {
                Tok::Sym("(") => depth += 1,
                Tok::Sym(")") => {
                    depth -= 1;
                    if depth == 0 {
                        let next = ahead + 1;
                        let query_word = ["UNION", "INTERSECT", "EXCEPT", "MINUS", "ORDER", "LIMIT", "OFFSET", "FETCH"]
                            .iter()
                            .any(|w| self.peek_word_at(next, w));
                        return !(query_word || self.peek_sym_at(next, ")"));
                    }
                }
                Tok::Eof => return false,
                _ => {}
            }
            ahead += 1;
        }
    }

    fn word_primary(&mut self, upper: &str, span: Span) -> Parse<Expr> {
        let next_paren = self.peek_sym_at(1, "(");
        let next_string = matches!(self.tok_at(1), Tok::Str(_));
        match upper {
            "NULL" => {
                self.at += 1;
                return Ok(Expr::new(ExprKind::Null, span));
            }
            "TRUE" | "FALSE" | "UNKNOWN" => {
                self.at += 1;
                let value = match upper {
                    "TRUE" => Some(true),
                    "FALSE" => Some(false),
                    _ => None,
                };
                return Ok(Expr::new(ExprKind::Bool(value), span));
            }
            "DEFAULT" if !next_paren => {
                self.at += 1;
                return Ok(Expr::new(ExprKind::Default, span));
            }
            "DATE" | "TIME" | "TIMESTAMP" if next_string => {
                self.at += 1;
                let text = self.string("a literal")?;
                let kind = match upper {
                    "DATE" => ExprKind::Date(text),
                    "TIME" => ExprKind::Time(text),
                    _ => ExprKind::Timestamp(text),
                };
                return Ok(Expr::new(kind, span.start..self.previous_end()));
            }
            "INTERVAL" => return self.interval(),
            "CASE" => return self.case(),
            "CAST" | "TRY_CAST" | "SAFE_CAST" if next_paren => {
                self.at += 2;
                let expr = Box::new(self.expr()?);
                self.expect_word("AS")?;
                let target = self.type_name()?;
                self.expect_sym(")")?;
                let kind = ExprKind::Cast { expr, target, is_try: upper != "CAST" };
                return Ok(Expr::new(kind, span.start..self.previous_end()));
            }
            "EXISTS" if next_paren => {
                self.at += 2;
                let query = self.query()?;
                self.expect_sym(")")?;
                return Ok(Expr::new(ExprKind::Exists(Box::new(query)), span.start..self.previous_end()));
            }
            "EXTRACT" if next_paren => {
                self.at += 2;
                let unit = self.unit()?;
                self.expect_word("FROM")?;
                let expr = Box::new(self.expr()?);
                self.expect_sym(")")?;
                return Ok(Expr::new(ExprKind::Extract { unit, expr }, span.start..self.previous_end()));
            }
            "FLOOR" | "CEIL" | "CEILING" if next_paren => {
                let name = self.any_ident("a function")?;
                self.expect_sym("(")?;
                let expr = self.expr()?;
                if self.eat_word("TO") {
                    let unit = self.unit()?;
                    self.expect_sym(")")?;
                    let kind = ExprKind::Round { ceil: upper != "FLOOR", unit, expr: Box::new(expr) };
                    return Ok(Expr::new(kind, span.start..self.previous_end()));
                }
                let mut args = vec![expr];
                while self.eat_sym(",") {
                    args.push(self.expr()?);
                }
                self.expect_sym(")")?;
                return Ok(plain_call(name, args, span.start..self.previous_end()));
            }
            "TRIM" if next_paren => return self.trim(),
            "POSITION" if next_paren => {
                self.at += 2;
                let needle = Box::new(self.additive()?);
                self.expect_word("IN")?;
                let haystack = Box::new(self.additive()?);
                let from = if self.eat_word("FROM") { Some(Box::new(self.additive()?)) } else { None };
                self.expect_sym(")")?;
                return Ok(Expr::new(ExprKind::Position { needle, haystack, from }, span.start..self.previous_end()));
            }
            "SUBSTRING" | "OVERLAY" if next_paren => {
                let name = self.any_ident("a function")?;
                self.expect_sym("(")?;
                let mut args = vec![self.expr()?];
                if upper == "OVERLAY" && self.eat_word("PLACING") {
                    args.push(self.expr()?);
                }
                let mut closed_by = |p: &mut Self, word: &str| -> Parse<bool> {
                    if p.eat_word(word) || p.eat_sym(",") {
                        let arg = p.expr()?;
                        args.push(arg);
                        return Ok(true);
                    }
                    Ok(false)
                };
                if closed_by(self, "FROM")? {
                    closed_by(self, "FOR")?;
                }
                while closed_by(self, "FOR")? {}
                self.expect_sym(")")?;
                return Ok(plain_call(name, args, span.start..self.previous_end()));
            }
            "CONVERT" | "TRANSLATE" if next_paren => {}
            "ROW" if next_paren => {
                self.at += 2;
                let mut items = vec![self.expr()?];
                while self.eat_sym(",") {
                    items.push(self.expr()?);
                }
                self.expect_sym(")")?;
                return Ok(Expr::new(ExprKind::Row(items), span.start..self.previous_end()));
            }
            "ARRAY" | "MAP" | "MULTISET" if self.peek_sym_at(1, "[") => {
                self.at += 2;
                let mut items = Vec::new();
                if !self.peek_sym("]") {
                    items.push(self.expr()?);
                    while self.eat_sym(",") {
                        items.push(self.expr()?);
                    }
                }
                self.expect_sym("]")?;
                let span = span.start..self.previous_end();
                return Ok(Expr::new(
                    match upper {
                        "ARRAY" => ExprKind::Array(items),
                        "MAP" => ExprKind::Map(items),
                        _ => ExprKind::CollectionQuery("MULTISET[…]"),
                    },
                    span,
                ));
            }
            "ARRAY" | "MAP" | "MULTISET" if next_paren => {
                self.at += 2;
                if self.starts_query() {
                    self.query()?;
                    self.expect_sym(")")?;
                    let what = match upper {
                        "ARRAY" => "ARRAY(query)",
                        "MAP" => "MAP(query)",
                        _ => "MULTISET(query)",
                    };
                    return Ok(Expr::new(ExprKind::CollectionQuery(what), span.start..self.previous_end()));
                }
                self.at -= 2;
                self.at += 1;
                let name = Ident { name: upper.to_owned(), quoted: false, span: span.clone() };
                return self.call(Name { parts: vec![name] });
            }
            "DESCRIPTOR" if next_paren => {
                self.at += 1;
                let columns = self.ident_list("a column's name")?;
                return Ok(Expr::new(ExprKind::Descriptor(columns), span.start..self.previous_end()));
            }
            "TABLE" if matches!(self.tok_at(1), Tok::Word(_) | Tok::Quoted(_)) => {
                let query = self.query()?;
                return Ok(Expr::new(ExprKind::TableArg(Box::new(query)), span.start..self.previous_end()));
            }
            "TABLE" if next_paren => {
                self.at += 2;
                let query = self.query()?;
                self.expect_sym(")")?;
                return Ok(Expr::new(ExprKind::TableArg(Box::new(query)), span.start..self.previous_end()));
            }
            "JSON_VALUE" | "JSON_QUERY" | "JSON_EXISTS" | "JSON_OBJECT" | "JSON_ARRAY" | "JSON_OBJECTAGG"
            | "JSON_ARRAYAGG"
                if next_paren =>
            {
                return self.json_call(upper);
            }
            "PERIOD" if next_paren => {
                self.at += 1;
                return self.primary();
            }
            "NEXT" if self.peek_words(&["NEXT", "VALUE", "FOR"]) => {
                return Err(Diagnostic::unsupported(span, "NEXT VALUE FOR"));
            }
            _ => {}
        }
        if BARE_FUNCTIONS.contains(&upper) && !next_paren && !self.peek_sym_at(1, ".") {
            let name = self.any_ident("a function")?;
            let mut call = plain_call(name, Vec::new(), span);
            if let ExprKind::Call(c) = &mut call.kind {
                c.bare = true;
            }
            return Ok(call);
        }
        if next_paren && CALLABLE_RESERVED.contains(&upper) {
            let name = self.any_ident("a function")?;
            return self.call(Name { parts: vec![name] });
        }
        self.name_or_call()
    }

    pub(super) fn unit(&mut self) -> Parse<Unit> {
        let word = self.any_ident("a unit of time")?;
        let unit = singular_unit(&word.name);
        if UNITS.contains(&unit.as_str()) {
            return Ok(unit);
        }
        Err(Diagnostic::at(word.span, format!("unknown unit of time {}", word.name))
            .with_nearest(&word.name, UNITS.iter().copied()))
    }

    fn interval(&mut self) -> Parse<Expr> {
        let start = self.expect_word("INTERVAL")?.start;
        let mut negative = false;
        while self.peek_sym("-") || self.peek_sym("+") {
            negative ^= self.peek_sym("-");
            self.at += 1;
        }
        let value = match self.tok().clone() {
            Tok::Str(_) | Tok::UnicodeStr(_) => self.string("a literal")?,
            Tok::Number(number) => {
                self.at += 1;
                number
            }
            Tok::Sym("(") => {
                return Err(Diagnostic::unsupported(self.span(), "an INTERVAL with an expression for its value")
                    .with_hint("use TIMESTAMPADD, or multiply: INTERVAL '1' DAY * n"));
            }
            _ => return Err(self.unexpected("the interval's value")),
        };
        let digits = |p: &mut Self| -> Parse<()> {
            if p.eat_sym("(") {
                p.skip_parens()?;
            }
            Ok(())
        };
        let from = self.unit()?;
        digits(self)?;
        let to = if self.eat_word("TO") { Some(self.unit()?) } else { None };
        if to.is_some() {
            digits(self)?;
        }
        Ok(Expr::new(ExprKind::Interval { value, negative, from, to }, start..self.previous_end()))
    }

    fn case(&mut self) -> Parse<Expr> {
        let start = self.expect_word("CASE")?.start;
        let operand = if self.peek_word("WHEN") { None } else { Some(Box::new(self.expr()?)) };
        let mut whens = Vec::new();
        while self.eat_word("WHEN") {
            let mut condition = self.expr()?;
            // CASE x WHEN 1, 2 THEN …
            if operand.is_some() && self.peek_sym(",") {
                let mut list = vec![condition];
                while self.eat_sym(",") {
                    list.push(self.expr()?);
                }
                let span = list[0].span.start..self.previous_end();
                condition = Expr::new(ExprKind::Row(list), span);
            }
            self.expect_word("THEN")?;
            whens.push((condition, self.expr()?));
        }
        if whens.is_empty() {
            return Err(self.unexpected("WHEN"));
        }
        let otherwise = if self.eat_word("ELSE") { Some(Box::new(self.expr()?)) } else { None };
        self.expect_word("END")?;
        Ok(Expr::new(ExprKind::Case { operand, whens, otherwise }, start..self.previous_end()))
    }

    fn trim(&mut self) -> Parse<Expr> {
        let start = self.span().start;
        self.at += 2;
        let side = if self.eat_word("LEADING") {
            Some(TrimSide::Leading)
        } else if self.eat_word("TRAILING") {
            Some(TrimSide::Trailing)
        } else if self.eat_word("BOTH") {
            Some(TrimSide::Both)
        } else {
            None
        };
        let (mut what, mut expr) = (None, None);
        if self.eat_word("FROM") {
            expr = Some(self.expr()?);
        } else {
            let first = self.expr()?;
            if self.eat_word("FROM") {
                what = Some(Box::new(first));
                expr = Some(self.expr()?);
            } else if side.is_some() {
                return Err(self.unexpected("FROM"));
            } else {
                let _ = expr.insert(first);
            }
        }
        self.expect_sym(")")?;
        let span = start..self.previous_end();
        let Some(expr) = expr else { return Err(self.unexpected("an expression")) };
        Ok(Expr::new(ExprKind::Trim { side: side.unwrap_or(TrimSide::Both), what, expr: Box::new(expr) }, span))
    }

    fn name_or_call(&mut self) -> Parse<Expr> {
        let first = match self.tok().clone() {
            // `t.value` and `f(…)` with a word that is reserved only in Flink's list.
            Tok::Word(word) if is_reserved(&word) && !self.peek_sym_at(1, "(") => self.ident("an expression")?,
            Tok::Word(word) if is_reserved(&word) => {
                let span = self.span();
                return Err(Diagnostic::at(span, format!("expected an expression, found {word}"))
                    .with_label("expected an expression"));
            }
            _ => self.any_ident("an expression")?,
        };
        let mut parts = vec![first];
        while self.peek_sym(".") && matches!(self.tok_at(1), Tok::Word(_) | Tok::Quoted(_)) {
            self.at += 1;
            parts.push(self.any_ident("a name")?);
            if parts.len() > 60 {
                return Err(Diagnostic::at(self.span(), "a name may have 60 parts at most"));
            }
        }
        let name = Name { parts };
        if self.peek_sym("(") {
            return self.call(name);
        }
        let span = name.span();
        Ok(Expr::new(ExprKind::Name(name), span))
    }

    fn call(&mut self, name: Name) -> Parse<Expr> {
        let start = name.span().start;
        self.expect_sym("(")?;
        let mut call = Call {
            name,
            args: Vec::new(),
            distinct: false,
            star: false,
            over: None,
            filter: None,
            within_group: None,
            json: None,
            bare: false,
        };
        if !self.peek_sym(")") {
            if self.eat_word("DISTINCT") {
                call.distinct = true;
            } else {
                self.eat_word("ALL");
            }
            if self.peek_sym("*") && self.peek_sym_at(1, ")") {
                self.at += 1;
                call.star = true;
            } else {
                loop {
                    call.args.push(self.argument()?);
                    if !self.eat_sym(",") {
                        break;
                    }
                }
                if self.peek_words(&["ORDER", "BY"]) {
                    call.within_group = Some(self.span());
                    self.order_by_list()?;
                }
                // FIRST_VALUE(x IGNORE NULLS)
                if self.peek_words(&["IGNORE", "NULLS"]) || self.peek_words(&["RESPECT", "NULLS"]) {
                    self.at += 2;
                }
            }
        }
        self.expect_sym(")")?;
        self.call_suffixes(&mut call)?;
        Ok(Expr::new(ExprKind::Call(Box::new(call)), start..self.previous_end()))
    }

    fn call_suffixes(&mut self, call: &mut Call) -> Parse<()> {
        if self.peek_words(&["IGNORE", "NULLS"]) || self.peek_words(&["RESPECT", "NULLS"]) {
            self.at += 2;
        }
        if self.peek_words(&["WITHIN", "GROUP"]) {
            let span = self.span();
            self.at += 2;
            self.expect_sym("(")?;
            self.skip_parens()?;
            call.within_group = Some(span);
        }
        if self.peek_word("FILTER") && self.peek_sym_at(1, "(") {
            let span = self.span();
            self.at += 2;
            self.expect_word("WHERE")?;
            self.expr()?;
            self.expect_sym(")")?;
            call.filter = Some(span);
        }
        if self.peek_word("OVER") {
            let span = self.span();
            self.at += 1;
            if self.eat_sym("(") {
                self.skip_parens()?;
            } else {
                self.ident("a window's name or '('")?;
            }
            call.over = Some(span.start..self.previous_end());
        }
        Ok(())
    }

    fn argument(&mut self) -> Parse<Expr> {
        let start = self.span().start;
        if matches!(self.tok(), Tok::Word(_) | Tok::Quoted(_)) && self.peek_sym_at(1, "=>") {
            let name = self.any_ident("an argument's name")?;
            self.at += 1;
            let value = Box::new(self.argument()?);
            return Ok(Expr::new(ExprKind::Named { name, value }, start..self.previous_end()));
        }
        if (self.peek_word("SELECT") || self.peek_word("WITH"))
            || (self.peek_word("VALUES") && self.peek_sym_at(1, "("))
        {
            let query = self.query()?;
            return Ok(Expr::new(ExprKind::Subquery(Box::new(query)), start..self.previous_end()));
        }
        let expr = self.expr()?;
        // `TABLE t PARTITION BY …` of a table function.
        if matches!(expr.kind, ExprKind::TableArg(_)) && self.peek_words(&["PARTITION", "BY"]) {
            self.at += 2;
            if self.eat_sym("(") {
                self.skip_parens()?;
            } else {
                self.expr()?;
            }
            if self.peek_words(&["ORDER", "BY"]) {
                self.order_by_list()?;
            }
        }
        Ok(expr)
    }

    fn json_call(&mut self, upper: &str) -> Parse<Expr> {
        let name = self.any_ident("a function")?;
        let start = name.span.start;
        self.expect_sym("(")?;
        let mut clauses = JsonClauses::default();
        let mut args = Vec::new();
        let builds_object = matches!(upper, "JSON_OBJECT" | "JSON_OBJECTAGG");
        let builds = builds_object || matches!(upper, "JSON_ARRAY" | "JSON_ARRAYAGG");
        loop {
            if self.peek_sym(")") || self.json_clause(&mut clauses)? {
                if self.peek_sym(")") {
                    break;
                }
                continue;
            }
            if builds_object {
                let key_word = self.peek_word("KEY")
                    && !self.peek_sym_at(1, ")")
                    && !self.peek_word_at(1, "VALUE")
                    && !self.peek_sym_at(1, ":");
                self.at += usize::from(key_word);
                args.push(self.expr()?);
                if !self.eat_word("VALUE") && !self.eat_sym(":") && !self.eat_sym(",") {
                    return Err(self.unexpected("VALUE"));
                }
                args.push(self.expr()?);
                if self.eat_words(&["FORMAT", "JSON"]) {}
            } else {
                args.push(self.expr()?);
                if self.eat_words(&["FORMAT", "JSON"]) {}
            }
            if self.eat_sym(",") {
                if self.peek_sym(")") {
                    return Err(self.unexpected("an expression"));
                }
                continue;
            }
            if self.peek_sym(")") {
                break;
            }
            if builds && self.peek_words(&["ORDER", "BY"]) {
                self.order_by_list()?;
            }
            if !self.json_clause(&mut clauses)? && !self.peek_sym(")") {
                return Err(self.unexpected("',' or ')'"));
            }
        }
        self.expect_sym(")")?;
        let mut call = Call {
            name: Name { parts: vec![name] },
            args,
            distinct: false,
            star: false,
            over: None,
            filter: None,
            within_group: None,
            json: Some(Box::new(clauses)),
            bare: false,
        };
        self.call_suffixes(&mut call)?;
        Ok(Expr::new(ExprKind::Call(Box::new(call)), start..self.previous_end()))
    }

    fn json_clause(&mut self, clauses: &mut JsonClauses) -> Parse<bool> {
        if self.eat_word("RETURNING") {
            clauses.returning = Some(self.type_name()?);
            return Ok(true);
        }
        if self.eat_words(&["NULL", "ON", "NULL"]) {
            clauses.null_on_null = Some(true);
            return Ok(true);
        }
        if self.eat_words(&["ABSENT", "ON", "NULL"]) {
            clauses.null_on_null = Some(false);
            return Ok(true);
        }
        let wrapper = if self.eat_words(&["WITHOUT", "ARRAY", "WRAPPER"]) || self.eat_words(&["WITHOUT", "WRAPPER"]) {
            Some(JsonWrapper::Without)
        } else if self.eat_words(&["WITH", "CONDITIONAL", "ARRAY", "WRAPPER"])
            || self.eat_words(&["WITH", "CONDITIONAL", "WRAPPER"])
        {
            Some(JsonWrapper::Conditional)
        } else if self.eat_words(&["WITH", "UNCONDITIONAL", "ARRAY", "WRAPPER"])
            || self.eat_words(&["WITH", "UNCONDITIONAL", "WRAPPER"])
            || self.eat_words(&["WITH", "ARRAY", "WRAPPER"])
            || self.eat_words(&["WITH", "WRAPPER"])
        {
            Some(JsonWrapper::Unconditional)
        } else {
            None
        };
        if wrapper.is_some() {
            clauses.wrapper = wrapper;
            return Ok(true);
        }
        let behavior = if self.peek_words(&["NULL", "ON"]) {
            self.at += 1;
            JsonBehavior::Null
        } else if self.peek_words(&["ERROR", "ON"]) {
            self.at += 1;
            JsonBehavior::Error
        } else if self.peek_words(&["TRUE", "ON"]) {
            self.at += 1;
            JsonBehavior::True
        } else if self.peek_words(&["FALSE", "ON"]) {
            self.at += 1;
            JsonBehavior::False
        } else if self.peek_words(&["UNKNOWN", "ON"]) {
            self.at += 1;
            JsonBehavior::Unknown
        } else if self.eat_words(&["EMPTY", "ARRAY"]) {
            JsonBehavior::EmptyArray
        } else if self.eat_words(&["EMPTY", "OBJECT"]) {
            JsonBehavior::EmptyObject
        } else if self.eat_word("DEFAULT") {
            JsonBehavior::Default(Box::new(self.expr()?))
        } else {
            return Ok(false);
        };
        self.expect_word("ON")?;
        if self.eat_word("EMPTY") {
            clauses.on_empty = Some(behavior);
        } else {
            self.expect_word("ERROR")?;
            clauses.on_error = Some(behavior);
        }
        Ok(true)
    }
}

fn plain_call(name: Ident, args: Vec<Expr>, span: Span) -> Expr {
    let call = Call {
        name: Name { parts: vec![name] },
        args,
        distinct: false,
        star: false,
        over: None,
        filter: None,
        within_group: None,
        json: None,
        bare: false,
    };
    Expr::new(ExprKind::Call(Box::new(call)), span)
}
