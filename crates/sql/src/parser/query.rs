//! SELECT, VALUES, set operations, joins, table functions and hints.

use super::{Parse, Parser, is_reserved};
use crate::ast::*;
use crate::diagnostic::Diagnostic;
use crate::lexer::Tok;

impl Parser<'_> {
    pub(super) fn query(&mut self) -> Parse<Query> {
        self.deeper(|p| {
            let start = p.span().start;
            let mut with = Vec::new();
            if p.eat_word("WITH") {
                p.eat_word("RECURSIVE");
                loop {
                    let name = p.ident("a name for the query")?;
                    let columns = if p.peek_sym("(") { p.ident_list("a column's name")? } else { Vec::new() };
                    p.expect_word("AS")?;
                    p.expect_sym("(")?;
                    let query = p.query()?;
                    p.expect_sym(")")?;
                    with.push(Cte { name, columns, query });
                    if !p.eat_sym(",") {
                        break;
                    }
                }
            }
            let body = p.set_expr()?;
            let mut order_by = None;
            let mut limit = None;
            loop {
                let at = p.span();
                if p.peek_words(&["ORDER", "BY"]) && order_by.is_none() {
                    p.order_by_list()?;
                    order_by = Some(at.start..p.previous_end());
                } else if p.eat_word("LIMIT") {
                    if !p.eat_word("ALL") {
                        p.expr()?;
                        if p.eat_sym(",") {
                            p.expr()?;
                        }
                    }
                    limit = Some(at.start..p.previous_end());
                } else if p.eat_word("OFFSET") {
                    p.expr()?;
                    let _ = p.eat_word("ROWS") || p.eat_word("ROW");
                    limit = Some(at.start..p.previous_end());
                } else if p.eat_word("FETCH") {
                    if !p.eat_word("FIRST") {
                        p.expect_word("NEXT")?;
                    }
                    if !(p.peek_word("ROW") || p.peek_word("ROWS")) {
                        p.expr()?;
                    }
                    if !p.eat_word("ROWS") {
                        p.expect_word("ROW")?;
                    }
                    p.expect_word("ONLY")?;
                    limit = Some(at.start..p.previous_end());
                } else {
                    break;
                }
            }
            Ok(Query { with, body, order_by, limit, span: start..p.previous_end() })
        })
    }

    pub(super) fn order_by_list(&mut self) -> Parse<()> {
        self.expect_words(&["ORDER", "BY"])?;
        loop {
            self.expr()?;
            let _ = self.eat_word("ASC") || self.eat_word("DESC");
            if self.eat_word("NULLS") && !self.eat_word("FIRST") {
                self.expect_word("LAST")?;
            }
            if !self.eat_sym(",") {
                return Ok(());
            }
        }
    }

    fn set_expr(&mut self) -> Parse<SetExpr> {
        let mut left = self.intersect_expr()?;
        let mut links = 0;
        loop {
            let op_span = self.span();
            let op = if self.peek_word("UNION") {
                SetOp::Union
            } else if self.peek_word("EXCEPT") || self.peek_word("MINUS") {
                SetOp::Except
            } else {
                return Ok(left);
            };
            links += 1;
            if links > 200 {
                return Err(Diagnostic::at(op_span, "a query may combine 200 queries at most"));
            }
            self.at += 1;
            let all = self.eat_word("ALL");
            if !all {
                self.eat_word("DISTINCT");
            }
            let right = self.intersect_expr()?;
            left = SetExpr::Set { op, all, op_span, left: Box::new(left), right: Box::new(right) };
        }
    }

    fn intersect_expr(&mut self) -> Parse<SetExpr> {
        let mut left = self.set_primary()?;
        let mut links = 0;
        while self.peek_word("INTERSECT") {
            links += 1;
            let op_span = self.span();
            if links > 200 {
                return Err(Diagnostic::at(op_span, "a query may combine 200 queries at most"));
            }
            self.at += 1;
            let all = self.eat_word("ALL");
            if !all {
                self.eat_word("DISTINCT");
            }
            let right = self.set_primary()?;
            left = SetExpr::Set { op: SetOp::Intersect, all, op_span, left: Box::new(left), right: Box::new(right) };
        }
        Ok(left)
    }

    fn set_primary(&mut self) -> Parse<SetExpr> {
        if self.peek_word("SELECT") {
            return Ok(SetExpr::Select(Box::new(self.select()?)));
        }
        if self.peek_word("VALUES") {
            let start = self.span().start;
            self.at += 1;
            let mut rows = Vec::new();
            loop {
                rows.push(self.values_row()?);
                if !self.eat_sym(",") {
                    break;
                }
            }
            return Ok(SetExpr::Values { rows, span: start..self.previous_end() });
        }
        if self.peek_word("TABLE") && !self.peek_sym_at(1, "(") {
            self.at += 1;
            return Ok(SetExpr::Table(self.name("a table's name")?));
        }
        if self.eat_sym("(") {
            let query = self.query()?;
            self.expect_sym(")")?;
            return Ok(SetExpr::Query(Box::new(query)));
        }
        Err(self.unexpected("a query"))
    }

    fn values_row(&mut self) -> Parse<Vec<Expr>> {
        let row_word = self.peek_word("ROW") && self.peek_sym_at(1, "(");
        self.at += usize::from(row_word);
        if !self.peek_sym("(") {
            return Ok(vec![self.expr()?]);
        }
        // `(1, 2)` is a row of two; `(1) + 2` is an expression, which nobody writes here.
        self.at += 1;
        let mut row = Vec::new();
        loop {
            row.push(self.expr()?);
            if !self.eat_sym(",") {
                break;
            }
        }
        self.expect_sym(")")?;
        Ok(row)
    }

    fn select(&mut self) -> Parse<Select> {
        let start = self.expect_word("SELECT")?.start;
        let hints = self.hints()?;
        self.eat_word("STREAM");
        let distinct_span = self.span();
        let distinct = if self.eat_word("DISTINCT") {
            Some(distinct_span)
        } else {
            self.eat_word("ALL");
            None
        };
        let mut items = vec![self.select_item()?];
        while self.eat_sym(",") {
            items.push(self.select_item()?);
        }
        let mut select = Select {
            hints,
            distinct,
            items,
            from: None,
            filter: None,
            group_by: None,
            having: None,
            window: None,
            qualify: None,
            span: start..start,
        };
        if self.eat_word("FROM") {
            select.from = Some(self.tables()?);
        }
        if self.eat_word("WHERE") {
            select.filter = Some(self.expr()?);
        }
        let at = self.span();
        if self.eat_words(&["GROUP", "BY"]) {
            let _ = self.eat_word("DISTINCT") || self.eat_word("ALL");
            loop {
                self.grouping_item()?;
                if !self.eat_sym(",") {
                    break;
                }
            }
            select.group_by = Some(at.start..self.previous_end());
        }
        let at = self.span();
        if self.eat_word("HAVING") {
            self.expr()?;
            select.having = Some(at.start..self.previous_end());
        }
        let at = self.span();
        if self.eat_word("WINDOW") {
            loop {
                self.ident("a window's name")?;
                self.expect_word("AS")?;
                self.expect_sym("(")?;
                self.skip_parens()?;
                if !self.eat_sym(",") {
                    break;
                }
            }
            select.window = Some(at.start..self.previous_end());
        }
        let at = self.span();
        if self.eat_word("QUALIFY") {
            self.expr()?;
            select.qualify = Some(at.start..self.previous_end());
        }
        select.span = start..self.previous_end();
        Ok(select)
    }

    fn grouping_item(&mut self) -> Parse<()> {
        if self.eat_words(&["GROUPING", "SETS"]) || self.eat_word("CUBE") || self.eat_word("ROLLUP") {
            self.expect_sym("(")?;
            return self.skip_parens();
        }
        if self.peek_sym("(") && self.peek_sym_at(1, ")") {
            self.at += 2;
            return Ok(());
        }
        self.expr().map(|_| ())
    }

    fn select_item(&mut self) -> Parse<SelectItem> {
        let start = self.span().start;
        if self.eat_sym("*") {
            return Ok(SelectItem::Star { qualifier: None, span: start..self.previous_end() });
        }
        // `a.b.*`
        if matches!(self.tok(), Tok::Word(_) | Tok::Quoted(_)) {
            let mut ahead = 1;
            while self.peek_sym_at(ahead, ".") && matches!(self.tok_at(ahead + 1), Tok::Word(_) | Tok::Quoted(_)) {
                ahead += 2;
            }
            if self.peek_sym_at(ahead, ".") && self.peek_sym_at(ahead + 1, "*") {
                let mut parts = vec![self.any_ident("a name")?];
                while self.eat_sym(".") && !self.peek_sym("*") {
                    parts.push(self.any_ident("a name")?);
                }
                self.expect_sym("*")?;
                return Ok(SelectItem::Star { qualifier: Some(Name { parts }), span: start..self.previous_end() });
            }
        }
        let expr = self.expr()?;
        let alias = self.alias_name()?;
        Ok(SelectItem::Expr { expr, alias })
    }

    fn alias_name(&mut self) -> Parse<Option<Ident>> {
        if self.eat_word("AS") {
            return Ok(Some(self.ident("a name after AS")?));
        }
        match self.tok() {
            Tok::Quoted(_) => Ok(Some(self.any_ident("a name")?)),
            Tok::Word(word) if !is_reserved(word) && !word.eq_ignore_ascii_case("QUALIFY") => {
                Ok(Some(self.any_ident("a name")?))
            }
            _ => Ok(None),
        }
    }

    /// `/*+ NAME(…), NAME */`, if any. What stands inside is kept; the planner refuses what it does not know.
    pub(super) fn hints(&mut self) -> Parse<Vec<Hint>> {
        let mut hints = Vec::new();
        while self.peek_sym("/*+") {
            self.at += 1;
            loop {
                if self.eat_sym("*/") {
                    break;
                }
                let name = self.any_ident("a hint's name")?;
                let start = name.span.start;
                let mut options = Vec::new();
                let mut words = Vec::new();
                if self.eat_sym("(") {
                    while !self.eat_sym(")") {
                        let key_span = self.span();
                        match self.tok().clone() {
                            Tok::Str(key) => {
                                self.at += 1;
                                if self.eat_sym("=") {
                                    let value_span = self.span();
                                    let value = match self.tok().clone() {
                                        Tok::Number(n) => {
                                            self.at += 1;
                                            n
                                        }
                                        _ => self.string("the option's value between quotes")?,
                                    };
                                    options.push(OptionText { key, value, key_span, value_span });
                                } else {
                                    words.push(key);
                                }
                            }
                            Tok::Number(n) => {
                                self.at += 1;
                                words.push(n);
                            }
                            Tok::Word(_) | Tok::Quoted(_) => {
                                let mut word = self.any_ident("a name")?.name;
                                while self.eat_sym(".") {
                                    word.push('.');
                                    word.push_str(&self.any_ident("a name")?.name);
                                }
                                if self.eat_sym("=") {
                                    let value_span = self.span();
                                    let value = self.string("the option's value between quotes")?;
                                    options.push(OptionText { key: word, value, key_span, value_span });
                                } else {
                                    words.push(word);
                                }
                            }
                            _ => return Err(self.unexpected("an option or ')'")),
                        }
                        if !self.eat_sym(",") && !self.peek_sym(")") {
                            return Err(self.unexpected("',' or ')'"));
                        }
                    }
                }
                hints.push(Hint { name, options, words, span: start..self.previous_end() });
                self.eat_sym(",");
            }
        }
        Ok(hints)
    }

    fn tables(&mut self) -> Parse<TableRef> {
        let mut left = self.joined()?;
        let mut links = 0;
        while self.eat_sym(",") {
            links += 1;
            if links > 60 {
                return Err(Diagnostic::at(self.span(), "a query may join 60 tables at most"));
            }
            let right = self.joined()?;
            left = join(left, right, JoinKind::Cross, false);
        }
        Ok(left)
    }

    fn joined(&mut self) -> Parse<TableRef> {
        let mut left = self.table_primary()?;
        let mut links = 0;
        loop {
            links += 1;
            if links > 60 {
                return Err(Diagnostic::at(self.span(), "a query may join 60 tables at most"));
            }
            let natural = self.peek_word("NATURAL");
            let mark = self.at;
            self.at += usize::from(natural);
            let kind = if self.eat_word("CROSS") {
                // CROSS APPLY is not Flink's.
                JoinKind::Cross
            } else if self.eat_word("INNER") {
                JoinKind::Inner
            } else if self.peek_word("LEFT") || self.peek_word("RIGHT") || self.peek_word("FULL") {
                let word = self.any_ident("a join")?.name.to_ascii_uppercase();
                if self.eat_word("SEMI") {
                    JoinKind::Semi
                } else if self.eat_word("ANTI") {
                    JoinKind::Anti
                } else {
                    self.eat_word("OUTER");
                    match word.as_str() {
                        "LEFT" => JoinKind::Left,
                        "RIGHT" => JoinKind::Right,
                        _ => JoinKind::Full,
                    }
                }
            } else if self.peek_word("ASOF") && self.peek_word_at(1, "JOIN") {
                self.at += 1;
                JoinKind::Asof
            } else if self.peek_word("JOIN") {
                JoinKind::Inner
            } else {
                self.at = mark;
                return Ok(left);
            };
            self.expect_word("JOIN")?;
            let right = self.table_primary()?;
            let mut node = join(left, right, kind, natural);
            if let TableRef::Join { on, using, span, .. } = &mut node {
                if self.eat_word("ON") {
                    *on = Some(self.expr()?);
                } else if self.peek_word("USING") {
                    self.at += 1;
                    *using = self.ident_list("a column's name")?;
                }
                span.end = self.previous_end();
            }
            left = node;
        }
    }

    fn alias(&mut self) -> Parse<Alias> {
        let name = if self.eat_word("AS") {
            Some(self.ident("a name after AS")?)
        } else {
            match self.tok() {
                Tok::Quoted(_) => Some(self.any_ident("a name")?),
                Tok::Word(w)
                    if !is_reserved(w)
                        && !["MATCH_RECOGNIZE", "PIVOT", "UNPIVOT", "ASOF", "QUALIFY"]
                            .iter()
                            .any(|k| w.eq_ignore_ascii_case(k)) =>
                {
                    Some(self.any_ident("a name")?)
                }
                _ => None,
            }
        };
        let columns =
            if name.is_some() && self.peek_sym("(") { self.ident_list("a column's name")? } else { Vec::new() };
        Ok(Alias { name, columns })
    }

    fn table_primary(&mut self) -> Parse<TableRef> {
        self.deeper(|p| {
            let table = p.table_primary_inner()?;
            p.table_suffixes(table)
        })
    }

    /// What may follow any table and is refused by name: MATCH_RECOGNIZE, TABLESAMPLE, PIVOT.
    fn table_suffixes(&mut self, table: TableRef) -> Parse<TableRef> {
        let span = self.span();
        let what = if self.eat_word("MATCH_RECOGNIZE") {
            "MATCH_RECOGNIZE"
        } else if self.eat_word("TABLESAMPLE") {
            self.any_ident("a sampling method")?;
            "TABLESAMPLE"
        } else if self.eat_word("PIVOT") {
            "PIVOT"
        } else if self.eat_word("UNPIVOT") {
            "UNPIVOT"
        } else {
            return Ok(table);
        };
        self.expect_sym("(")?;
        self.skip_parens()?;
        self.alias()?;
        Ok(TableRef::Other { what: what.to_owned(), span })
    }

    fn table_primary_inner(&mut self) -> Parse<TableRef> {
        let start = self.span().start;
        let lateral = self.eat_word("LATERAL");
        if self.peek_word("UNNEST") {
            self.at += 1;
            self.expect_sym("(")?;
            let mut exprs = vec![self.expr()?];
            while self.eat_sym(",") {
                exprs.push(self.expr()?);
            }
            self.expect_sym(")")?;
            let ordinality = self.eat_words(&["WITH", "ORDINALITY"]);
            let alias = self.alias()?;
            return Ok(TableRef::Unnest { exprs, ordinality, alias, span: start..self.previous_end() });
        }
        if self.peek_word("TABLE") && self.peek_sym_at(1, "(") {
            self.at += 2;
            if self.starts_query() && !self.peek_word("TABLE") {
                let query = self.query()?;
                self.expect_sym(")")?;
                let alias = self.alias()?;
                return Ok(TableRef::Derived {
                    query: Box::new(query),
                    lateral,
                    alias,
                    span: start..self.previous_end(),
                });
            }
            let call = self.expr()?;
            self.expect_sym(")")?;
            let alias = self.alias()?;
            return Ok(TableRef::Function { call, lateral, alias, span: start..self.previous_end() });
        }
        if self.peek_sym("(") {
            if self.starts_query() && !self.join_in_parens() {
                self.at += 1;
                let query = self.query()?;
                self.expect_sym(")")?;
                let alias = self.alias()?;
                return Ok(TableRef::Derived {
                    query: Box::new(query),
                    lateral,
                    alias,
                    span: start..self.previous_end(),
                });
            }
            self.at += 1;
            let inner = self.tables()?;
            self.expect_sym(")")?;
            let alias = self.alias()?;
            if let Some(name) = alias.name {
                return Err(Diagnostic::unsupported(name.span, "a name for a join in parentheses"));
            }
            return Ok(inner);
        }
        if self.peek_word("VALUES") {
            let query = self.query()?;
            let alias = self.alias()?;
            return Ok(TableRef::Derived { query: Box::new(query), lateral, alias, span: start..self.previous_end() });
        }
        // A function without TABLE( ), or a table.
        let mut ahead = 1;
        while self.peek_sym_at(ahead, ".") {
            ahead += 2;
        }
        if self.peek_sym_at(ahead, "(") && matches!(self.tok(), Tok::Word(_) | Tok::Quoted(_)) {
            let call = self.expr()?;
            let alias = self.alias()?;
            return Ok(TableRef::Function { call, lateral, alias, span: start..self.previous_end() });
        }
        if self.peek_word("TABLE") {
            self.at += 1;
        }
        let name = self.name("a table's name")?;
        let mut hints = self.hints()?;
        self.eat_word("EXTEND");
        let mut system_time = None;
        if self.peek_words(&["FOR", "SYSTEM_TIME"]) {
            self.at += 2;
            self.expect_words(&["AS", "OF"])?;
            system_time = Some(self.expr()?);
        }
        let alias = self.alias()?;
        hints.extend(self.hints()?);
        Ok(TableRef::Table { name, hints, system_time, alias, span: start..self.previous_end() })
    }

    /// `((SELECT …) t JOIN …)`: after the inner query's `)` something else than a query's words follows.
    fn join_in_parens(&self) -> bool {
        if !self.peek_sym_at(1, "(") {
            return false;
        }
        let mut depth = 0usize;
        let mut ahead = 1;
        loop {
            match self.tok_at(ahead) {
                Tok::Sym("(") => depth += 1,
                Tok::Sym(")") => {
                    depth = depth.saturating_sub(1);
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
}

fn join(left: TableRef, right: TableRef, kind: JoinKind, natural: bool) -> TableRef {
    let span = left.span().start..right.span().end;
    TableRef::Join { left: Box::new(left), right: Box::new(right), kind, natural, using: Vec::new(), on: None, span }
}
