//! Text → [`Statement`]. The outer forms are read here; queries and expressions by sqlparser, after
//! a pass over the tokens that turns what only StarRocks has into what sqlparser knows.

use sqlparser::ast;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Word};

use super::ddl_parser;
use super::lexer::{Cursor, Lexeme, StarRocksDialect, split_angles, statements};
use super::statement::*;
use crate::error::{SqlError, SqlResult};
use crate::types::SqlType;
use crate::users::statement::{self as users, UserStatement};

/// Prefix of the custom type name that stands for a StarRocks type in a CAST.
pub const TYPE_PREFIX: &str = "__type_";

/// A statement and its own text.
pub struct Parsed {
    pub text: String,
    pub statement: SqlResult<Statement>,
}

/// All statements of a request. A statement that cannot be read is an error of its own: those
/// before it are run.
pub fn parse(sql: &str) -> SqlResult<Vec<Parsed>> {
    Ok(statements(sql)?
        .into_iter()
        .map(|(text, tokens)| {
            let tokens = split_angles(&tokens);
            let statement = parse_statement(&mut Cursor::new(&text, &tokens));
            Parsed { statement, text }
        })
        .collect())
}

/// A query of its own.
pub fn parse_query(sql: &str) -> SqlResult<Box<ast::Query>> {
    match parse(sql)?.into_iter().next() {
        Some(Parsed { statement, .. }) => match statement? {
            Statement::Query(q) => Ok(q),
            _ => Err(SqlError::syntax("a query is expected")),
        },
        None => Err(SqlError::syntax("a query is expected")),
    }
}

/// An expression of its own, such as a generated column's.
pub fn parse_expression(sql: &str) -> SqlResult<ast::Expr> {
    let all = statements(sql)?;
    let Some((text, tokens)) = all.into_iter().next() else {
        return Err(SqlError::syntax("an expression is expected"));
    };
    expression(&text, &split_angles(&tokens))
}

/// The expression of these tokens, all of them.
pub fn expression(text: &str, tokens: &[Lexeme]) -> SqlResult<ast::Expr> {
    let dialect = StarRocksDialect::default();
    let mut parser = Parser::new(&dialect).with_recursion_limit(200).with_tokens(rewrite_tokens(text, tokens)?);
    let e = parser.parse_expr().map_err(syntax)?;
    match left_over(text, tokens, &mut parser) {
        Some(e) => Err(e),
        None => Ok(e),
    }
}

/// The error about what a parser has not read.
fn left_over(text: &str, tokens: &[Lexeme], parser: &mut Parser<'_>) -> Option<SqlError> {
    let first = parser.peek_token().token;
    if first == Token::EOF {
        return None;
    }
    // Counted from the end: the pass over the tokens changes their number before that, not after it.
    let mut left = 0;
    while parser.next_token().token != Token::EOF {
        left += 1;
    }
    let cursor = Cursor { text, tokens, at: tokens.len().saturating_sub(left) };
    if cursor.peek() == Some(&first) {
        return Some(cursor.unexpected("<EOF>"));
    }
    Some(SqlError::syntax(format!("Unexpected input '{first}', the most similar input is {{<EOF>, ';'}}")))
}

fn syntax(e: sqlparser::parser::ParserError) -> SqlError {
    match e {
        sqlparser::parser::ParserError::ParserError(m) | sqlparser::parser::ParserError::TokenizerError(m) => {
            SqlError::new(1064, format!("Getting syntax error. Detail message: Unexpected input: {m}."))
        }
        other => SqlError::syntax(other),
    }
}

/// Runs sqlparser on the rest of the cursor's tokens; the cursor goes to the end.
fn with_parser<T>(
    c: &mut Cursor<'_>,
    read: impl FnOnce(&mut Parser<'_>) -> Result<T, sqlparser::parser::ParserError>,
) -> SqlResult<T> {
    let dialect = StarRocksDialect::default();
    let tokens = rewrite_tokens(c.text, &c.tokens[c.at.min(c.tokens.len())..])?;
    let mut parser = Parser::new(&dialect).with_recursion_limit(200).with_tokens(tokens);
    let value = read(&mut parser).map_err(syntax)?;
    if let Some(e) = left_over(c.text, c.tokens, &mut parser) {
        return Err(e);
    }
    c.at = c.tokens.len();
    Ok(value)
}

pub fn query(c: &mut Cursor<'_>) -> SqlResult<Box<ast::Query>> {
    with_parser(c, |p| p.parse_query())
}

/// A CAST's type as a word sqlparser takes for a custom type.
fn type_word(t: &SqlType) -> Token {
    let text = serde_json::to_string(t).unwrap_or_default();
    Token::Word(Word {
        value: format!("{TYPE_PREFIX}{}", hex::encode(text)),
        quote_style: Some('`'),
        keyword: Keyword::NoKeyword,
    })
}

/// The type of `type_word`.
pub fn type_of_word(word: &str) -> Option<SqlType> {
    let bytes = hex::decode(word.strip_prefix(TYPE_PREFIX)?).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn is_word(token: Option<&Lexeme>, w: &str) -> bool {
    matches!(token, Some(Lexeme { token: Token::Word(x), .. }) if x.quote_style.is_none() && x.value.eq_ignore_ascii_case(w))
}

fn plain_word(w: &str) -> Token {
    Token::make_word(w, None)
}

fn rewrite_tokens(text: &str, tokens: &[Lexeme]) -> SqlResult<Vec<Token>> {
    let mut out = Vec::with_capacity(tokens.len() + 8);
    // Depths at which a CAST's parenthesis was opened.
    let mut casts: Vec<usize> = Vec::new();
    let mut depth = 0usize;
    let mut i = 0;
    while i < tokens.len() {
        let t = &tokens[i].token;
        match t {
            Token::LParen => {
                depth += 1;
                if i > 0 && (is_word(tokens.get(i - 1), "CAST") || is_word(tokens.get(i - 1), "TRY_CAST")) {
                    casts.push(depth);
                }
            }
            Token::RParen => {
                if casts.last() == Some(&depth) {
                    casts.pop();
                }
                depth = depth.saturating_sub(1);
            }
            Token::Word(w) if w.quote_style.is_none() => {
                let upper = w.value.to_ascii_uppercase();
                if upper == "AS" && casts.last() == Some(&depth) {
                    let mut c = Cursor { text, tokens, at: i + 1 };
                    let sql_type = c.sql_type()?;
                    out.push(t.clone());
                    out.push(type_word(&sql_type));
                    i = c.at;
                    continue;
                }
                // ARRAY<INT>[1] and MAP<INT,INT>{1:2}: the elements say it.
                if matches!(upper.as_str(), "ARRAY" | "MAP") && tokens.get(i + 1).is_some_and(|t| t.token == Token::Lt)
                {
                    let mut c = Cursor { text, tokens, at: i };
                    if let Ok(sql_type) = c.sql_type() {
                        let (open, close) = match c.peek() {
                            Some(Token::LBracket) => (Token::LBracket, Token::RBracket),
                            Some(Token::LBrace) => (Token::LBrace, Token::RBrace),
                            _ => {
                                out.push(t.clone());
                                i += 1;
                                continue;
                            }
                        };
                        // CAST([…] AS type)
                        let from = c.at;
                        let mut level = 0;
                        let mut end = from;
                        while let Some(t) = tokens.get(end) {
                            if t.token == open {
                                level += 1;
                            } else if t.token == close {
                                level -= 1;
                                if level == 0 {
                                    break;
                                }
                            }
                            end += 1;
                        }
                        if end < tokens.len() {
                            out.push(plain_word("CAST"));
                            out.push(Token::LParen);
                            if upper == "MAP" {
                                out.push(plain_word("MAP"));
                            }
                            out.extend(rewrite_tokens(text, &tokens[from..=end])?);
                            out.push(plain_word("AS"));
                            out.push(type_word(&sql_type));
                            out.push(Token::RParen);
                            i = end + 1;
                            continue;
                        }
                    }
                }
                if upper == "CONVERT"
                    && let Some((cast, end)) = convert_as_cast(text, tokens, i)?
                {
                    out.extend(cast);
                    i = end;
                    continue;
                }
                if upper == "TEMPORARY" && is_word(tokens.get(i + 1), "PARTITION") {
                    i += 1;
                    continue;
                }
                if upper == "PARTITIONS" && tokens.get(i + 1).is_some_and(|t| t.token == Token::LParen) {
                    out.push(plain_word("PARTITION"));
                    i += 1;
                    continue;
                }
                // JOIN [BROADCAST], OVER([…]): hints.
                if upper == "JOIN" && tokens.get(i + 1).is_some_and(|t| t.token == Token::LBracket) {
                    out.push(t.clone());
                    i += 2;
                    while i < tokens.len() && tokens[i].token != Token::RBracket {
                        i += 1;
                    }
                    i += 1;
                    continue;
                }
                if matches!(upper.as_str(), "ALL" | "DISTINCT") && i > 0 && is_word(tokens.get(i - 1), "MINUS") {
                    out.push(t.clone());
                    i += 1;
                    continue;
                }
                if upper == "MINUS" && i > 0 {
                    out.push(plain_word("EXCEPT"));
                    i += 1;
                    continue;
                }
            }
            Token::Arrow => {
                if matches!(
                    tokens.get(i + 1).map(|t| &t.token),
                    Some(Token::SingleQuotedString(_) | Token::DoubleQuotedString(_))
                ) {
                    out.push(Token::HashArrow);
                    i += 1;
                    continue;
                }
            }
            Token::Placeholder(p) if p.starts_with(':') && p.len() > 1 => {
                out.push(Token::Colon);
                let rest = &p[1..];
                out.push(if rest.bytes().all(|b| b.is_ascii_digit()) {
                    Token::Number(rest.to_string(), false)
                } else {
                    plain_word(rest)
                });
                i += 1;
                continue;
            }
            _ => {}
        }
        out.push(t.clone());
        i += 1;
    }
    Ok(out)
}

/// `CONVERT(value, type)` at a place of the tokens, as the CAST it is, and where it ends.
fn convert_as_cast(text: &str, tokens: &[Lexeme], at: usize) -> SqlResult<Option<(Vec<Token>, usize)>> {
    if tokens.get(at + 1).is_none_or(|t| t.token != Token::LParen) {
        return Ok(None);
    }
    let (mut depth, mut comma) = (0, None);
    for (i, lexeme) in tokens.iter().enumerate().skip(at + 1) {
        match lexeme.token {
            Token::LParen => depth += 1,
            Token::Comma if depth == 1 => comma = Some(i),
            Token::RParen if depth > 1 => depth -= 1,
            Token::RParen => {
                let Some(comma) = comma else { return Ok(None) };
                let mut c = Cursor { text, tokens, at: comma + 1 };
                let Ok(sql_type) = c.sql_type() else { return Ok(None) };
                if c.at != i {
                    return Ok(None);
                }
                let mut cast = vec![plain_word("CAST"), Token::LParen];
                cast.extend(rewrite_tokens(text, &tokens[at + 2..comma])?);
                cast.extend([plain_word("AS"), type_word(&sql_type), Token::RParen]);
                return Ok(Some((cast, i + 1)));
            }
            _ => {}
        }
    }
    Ok(None)
}

fn parse_statement(c: &mut Cursor<'_>) -> SqlResult<Statement> {
    let parsed = statement(c)?;
    if !c.done() {
        return Err(c.unexpected("<EOF>"));
    }
    Ok(parsed)
}

fn statement(c: &mut Cursor<'_>) -> SqlResult<Statement> {
    let first = match c.peek() {
        Some(Token::Word(w)) => w.value.to_ascii_uppercase(),
        Some(Token::LParen) => "(".to_string(),
        _ => return Err(c.unexpected("a statement")),
    };
    match first.as_str() {
        "SELECT" | "WITH" | "(" | "VALUES" => {
            if first == "WITH"
                && let Some(s) = with_dml(c)?
            {
                return Ok(s);
            }
            query(c).map(Statement::Query)
        }
        "EXPLAIN" => {
            c.at += 1;
            for w in ["ANALYZE", "VERBOSE", "COSTS", "LOGICAL", "SCHEDULER"] {
                c.eat(&[w]);
            }
            let inner = statement(c)?;
            Ok(Statement::Explain(Box::new(inner)))
        }
        "CREATE" => create(c),
        "DROP" => drop_statement(c),
        "ALTER" => alter(c),
        "TRUNCATE" => {
            c.at += 1;
            c.eat(&["TABLE"]);
            let name = c.name()?;
            let partitions = partition_names(c)?;
            c.eat(&["FORCE"]);
            Ok(Statement::Truncate { name, partitions })
        }
        "INSERT" => insert(c),
        "UPDATE" => update(c, None),
        "DELETE" => delete(c, None),
        "SHOW" => show(c),
        "DESC" | "DESCRIBE" => {
            c.at += 1;
            if c.looking_at(&["FILES"]) {
                c.rest();
                return Ok(Statement::Unsupported("FILES()".into()));
            }
            if c.looking_at(&["SELECT"]) || c.looking_at(&["WITH"]) {
                return statement(c).map(|s| Statement::Explain(Box::new(s)));
            }
            let name = c.name()?;
            c.eat(&["ALL"]);
            Ok(Statement::Describe { name })
        }
        "USE" => {
            c.at += 1;
            let name = match c.peek() {
                Some(Token::SingleQuotedString(s) | Token::DoubleQuotedString(s)) => {
                    let s = s.clone();
                    c.at += 1;
                    s.rsplit('.').next().unwrap_or_default().to_string()
                }
                _ => c.name()?.pop().unwrap_or_default(),
            };
            Ok(Statement::Use(name))
        }
        "SET" => set(c),
        "BEGIN" => {
            c.rest();
            Ok(Statement::Begin)
        }
        "START" if c.is_word(1, "TRANSACTION") => {
            c.rest();
            Ok(Statement::Begin)
        }
        "COMMIT" => {
            c.rest();
            Ok(Statement::Commit)
        }
        "ROLLBACK" => {
            c.rest();
            Ok(Statement::Rollback)
        }
        "PREPARE" => {
            c.at += 1;
            let name = c.ident()?;
            c.expect(&["FROM"])?;
            let sql = match c.peek() {
                Some(Token::SingleQuotedString(s) | Token::DoubleQuotedString(s)) => {
                    c.at += 1;
                    s.clone()
                }
                _ => c.rest().to_string(),
            };
            let overwrite = sql.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
            if overwrite.eq_ignore_ascii_case("insert overwrite") {
                let e = SqlError::analysis("This command is not supported in the prepared statement protocol yet");
                return Err(SqlError::new(1295, e.message));
            }
            Ok(Statement::Prepare { name, sql })
        }
        "EXECUTE" if c.is_word(1, "AS") => {
            c.at += 1;
            users::execute_as(c).map(user)
        }
        "EXECUTE" => {
            c.at += 1;
            let name = c.ident()?;
            let mut using = Vec::new();
            if c.eat(&["USING"]) {
                loop {
                    using.push(c.ident()?);
                    if !c.eat_token(&Token::Comma) {
                        break;
                    }
                }
            }
            Ok(Statement::Execute { name, using })
        }
        "DEALLOCATE" => {
            c.at += 1;
            c.eat(&["PREPARE"]);
            Ok(Statement::Deallocate { name: c.ident()? })
        }
        "ADMIN" => {
            if c.is_word(1, "SHOW") {
                c.at += 1;
                return show(c);
            }
            if c.is_word(1, "SET") && c.is_word(2, "FRONTEND") {
                c.at += 3;
                c.expect(&["CONFIG"])?;
                let values = c.properties()?;
                c.rest();
                return Ok(Statement::SetFrontendConfig(values));
            }
            c.rest();
            Ok(Statement::Nothing)
        }
        "ANALYZE" | "SYNC" | "KILL" | "UNLOCK" | "LOCK" | "FLUSH" | "RECOVER" | "CLEAN" => {
            c.rest();
            Ok(Statement::Nothing)
        }
        "REFRESH" => {
            c.rest();
            Ok(Statement::Unsupported("materialized views and external catalogs".into()))
        }
        "GRANT" | "REVOKE" => users::grant(c).map(user),
        "SUBMIT" => {
            let text = c.rest().to_string();
            Ok(Statement::SubmitTask(text))
        }
        "BACKUP" | "RESTORE" | "EXPORT" | "LOAD" | "CANCEL" | "PAUSE" | "RESUME" | "STOP" | "CALL" | "INSTALL"
        | "UNINSTALL" | "TRACE" | "MERGE" => {
            c.rest();
            Ok(Statement::Unsupported(first))
        }
        _ => Err(c.unexpected("a statement")),
    }
}

fn user(s: UserStatement) -> Statement {
    Statement::User(Box::new(s))
}

/// `WITH … UPDATE/DELETE/INSERT`.
fn with_dml(c: &mut Cursor<'_>) -> SqlResult<Option<Statement>> {
    let mut depth = 0usize;
    let mut at = c.at + 1;
    while let Some(t) = c.tokens.get(at) {
        match &t.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Word(w) if depth == 0 && w.quote_style.is_none() => {
                let upper = w.value.to_ascii_uppercase();
                match upper.as_str() {
                    "SELECT" => return Ok(None),
                    "UPDATE" | "DELETE" if at > c.at + 1 => {
                        let with_tokens = &c.tokens[c.at..at];
                        let dialect = StarRocksDialect::default();
                        let mut tokens = rewrite_tokens(c.text, with_tokens)?;
                        tokens.extend([plain_word("SELECT"), Token::Number("1".into(), false)]);
                        let q = Parser::new(&dialect)
                            .with_recursion_limit(200)
                            .with_tokens(tokens)
                            .parse_query()
                            .map_err(syntax)?;
                        c.at = at;
                        return if upper == "UPDATE" { update(c, q.with) } else { delete(c, q.with) }.map(Some);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        at += 1;
    }
    Ok(None)
}

fn create(c: &mut Cursor<'_>) -> SqlResult<Statement> {
    c.at += 1;
    let or_replace = c.eat(&["OR", "REPLACE"]);
    if c.eat(&["DATABASE"]) || c.eat(&["SCHEMA"]) {
        let if_not_exists = c.eat(&["IF", "NOT", "EXISTS"]);
        let name = c.name()?.pop().unwrap_or_default();
        c.rest();
        return Ok(Statement::CreateDatabase { name, if_not_exists });
    }
    if c.eat(&["VIEW"]) {
        let if_not_exists = c.eat(&["IF", "NOT", "EXISTS"]);
        let name = c.name()?;
        let columns = view_columns(c)?;
        let mut comment = String::new();
        if c.eat(&["COMMENT"]) {
            comment = c.string()?;
        }
        if c.eat(&["SECURITY"]) {
            c.at += 1;
        }
        c.expect(&["AS"])?;
        let query = c.rest().to_string();
        return Ok(Statement::CreateView { name, columns, query, or_replace, if_not_exists, comment });
    }
    if let Some(s) = users::create(c)? {
        return Ok(user(s));
    }
    let temporary = c.eat(&["TEMPORARY"]);
    let external = c.eat(&["EXTERNAL"]);
    if c.eat(&["TABLE"]) {
        return ddl_parser::create_table(c, temporary, external);
    }
    let what: Vec<String> = (0..2)
        .filter_map(|i| match c.peek_at(i) {
            Some(Token::Word(w)) => Some(w.value.to_uppercase()),
            _ => None,
        })
        .collect();
    c.rest();
    let what = what.join(" ");
    if what.starts_with("INDEX") {
        return Ok(Statement::Nothing);
    }
    Ok(Statement::Unsupported(format!("CREATE {what}")))
}

fn view_columns(c: &mut Cursor<'_>) -> SqlResult<Vec<(String, String)>> {
    let mut out = Vec::new();
    if c.eat_token(&Token::LParen) {
        loop {
            let name = c.ident()?;
            let comment = if c.eat(&["COMMENT"]) { c.string()? } else { String::new() };
            out.push((name, comment));
            if c.eat_token(&Token::RParen) {
                break;
            }
            c.expect_token(&Token::Comma)?;
        }
    }
    Ok(out)
}

fn drop_statement(c: &mut Cursor<'_>) -> SqlResult<Statement> {
    c.at += 1;
    if c.eat(&["DATABASE"]) || c.eat(&["SCHEMA"]) {
        let if_exists = c.eat(&["IF", "EXISTS"]);
        let name = c.name()?.pop().unwrap_or_default();
        let force = c.eat(&["FORCE"]);
        return Ok(Statement::DropDatabase { name, if_exists, force });
    }
    if c.eat(&["VIEW"]) {
        let if_exists = c.eat(&["IF", "EXISTS"]);
        return Ok(Statement::DropView { name: c.name()?, if_exists });
    }
    if let Some(s) = users::drop(c)? {
        return Ok(user(s));
    }
    let temporary = c.eat(&["TEMPORARY"]);
    if c.eat(&["TABLE"]) {
        let if_exists = c.eat(&["IF", "EXISTS"]);
        let mut names = vec![c.name()?];
        while c.eat_token(&Token::Comma) {
            names.push(c.name()?);
        }
        let force = c.eat(&["FORCE"]);
        if temporary && names.iter().any(|n| n.len() > 2 && !n[0].eq_ignore_ascii_case("default_catalog")) {
            return Err(SqlError::analysis("drop temporary table can only be execute under default catalog"));
        }
        return Ok(Statement::DropTable { names, if_exists, temporary, force });
    }
    if c.looking_at(&["MATERIALIZED", "VIEW", "IF", "EXISTS"]) || c.looking_at(&["INDEX"]) || c.looking_at(&["STATS"]) {
        c.rest();
        return Ok(Statement::Nothing);
    }
    let what = c.rest().split_whitespace().next().unwrap_or_default().to_uppercase();
    if what == "PREPARE" {
        return Ok(Statement::Nothing);
    }
    Ok(Statement::Unsupported(format!("DROP {what}")))
}

fn alter(c: &mut Cursor<'_>) -> SqlResult<Statement> {
    c.at += 1;
    if c.eat(&["TABLE"]) {
        let name = c.name()?;
        let clauses = ddl_parser::alter_clauses(c)?;
        return Ok(Statement::AlterTable { name, clauses });
    }
    if c.eat(&["VIEW"]) {
        let name = c.name()?;
        let columns = view_columns(c)?;
        c.expect(&["AS"])?;
        let query = c.rest().to_string();
        return Ok(Statement::AlterView { name, columns, query });
    }
    if let Some(s) = users::alter(c)? {
        return Ok(user(s));
    }
    if c.looking_at(&["DATABASE"]) || c.looking_at(&["SYSTEM"]) {
        c.rest();
        return Ok(Statement::Nothing);
    }
    let what = c.rest().split_whitespace().next().unwrap_or_default().to_uppercase();
    Ok(Statement::Unsupported(format!("ALTER {what}")))
}

pub fn partition_names(c: &mut Cursor<'_>) -> SqlResult<Vec<String>> {
    if c.eat(&["PARTITION"]) || c.eat(&["PARTITIONS"]) {
        if c.peek() == Some(&Token::LParen) { c.ident_list() } else { Ok(vec![c.ident()?]) }
    } else {
        Ok(Vec::new())
    }
}

/// Variables of `/*+ SET_VAR(a=b) */` in a statement's text.
pub fn set_var_hints(text: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let lower = text.to_ascii_lowercase();
    let mut from = 0;
    while let Some(at) = lower[from..].find("set_var") {
        let start = from + at + 7;
        from = start;
        if let (Some(open), Some(close)) = (lower[start..].find('('), lower[start..].find(')'))
            && open < close
        {
            for pair in text[start + open + 1..start + close].split(',') {
                if let Some((k, v)) = pair.split_once('=') {
                    out.push((k.trim().to_ascii_lowercase(), v.trim().trim_matches(['\'', '"']).to_string()));
                }
            }
        }
    }
    out
}

fn insert(c: &mut Cursor<'_>) -> SqlResult<Statement> {
    let hints = set_var_hints(c.text);
    c.at += 1;
    let overwrite = c.eat(&["OVERWRITE"]);
    if !overwrite {
        c.eat(&["INTO"]);
    }
    c.eat(&["TABLE"]);
    if c.looking_at(&["FILES"]) {
        c.rest();
        return Ok(Statement::Unsupported("INSERT INTO FILES()".into()));
    }
    let mut insert = Insert {
        name: Vec::new(),
        overwrite,
        label: None,
        partitions: Vec::new(),
        temporary_partitions: false,
        partition_values: Vec::new(),
        columns: Vec::new(),
        by_name: false,
        properties: Vec::new(),
        source: InsertSource::Values(Vec::new()),
        hints,
        blackhole: false,
    };
    if c.eat(&["BLACKHOLE"]) {
        c.group()?;
        insert.blackhole = true;
    } else {
        insert.name = c.name()?;
    }
    loop {
        if c.looking_at(&["TEMPORARY", "PARTITION"]) {
            c.at += 1;
            insert.temporary_partitions = true;
        }
        if c.looking_at(&["PARTITION"]) || c.looking_at(&["PARTITIONS"]) {
            // PARTITION (k = 'v', …) or PARTITION (p1, …)
            if c.peek_at(1) == Some(&Token::LParen) && c.peek_at(3) == Some(&Token::Eq) {
                c.at += 2;
                loop {
                    let key = c.ident()?;
                    c.expect_token(&Token::Eq)?;
                    let value = c.expression_until(&[]).to_string();
                    insert.partition_values.push((key, value));
                    if c.eat_token(&Token::RParen) {
                        break;
                    }
                    c.expect_token(&Token::Comma)?;
                }
            } else {
                insert.partitions = partition_names(c)?;
            }
        } else if c.eat(&["WITH", "LABEL"]) {
            insert.label = Some(c.scalar_text()?);
        } else if c.eat(&["PROPERTIES"]) {
            insert.properties = c.properties()?;
        } else if c.eat(&["BY", "NAME"]) {
            insert.by_name = true;
        } else if c.peek() == Some(&Token::LParen)
            && insert.columns.is_empty()
            && !c.is_word(1, "SELECT")
            && !c.is_word(1, "WITH")
            && c.peek_at(1) != Some(&Token::LParen)
        {
            insert.columns = c.ident_list()?;
        } else {
            break;
        }
    }
    insert.source = if c.looking_at(&["VALUES"]) || c.looking_at(&["VALUE"]) {
        c.at += 1;
        let rows = with_parser(c, |p| {
            p.parse_comma_separated(|p| {
                p.expect_token(&Token::LParen)?;
                if p.consume_token(&Token::RParen) {
                    return Ok(Vec::new());
                }
                let row = p.parse_comma_separated(Parser::parse_expr)?;
                p.expect_token(&Token::RParen)?;
                Ok(row)
            })
        })?;
        InsertSource::Values(rows)
    } else {
        InsertSource::Query(query(c)?)
    };
    Ok(Statement::Insert(Box::new(insert)))
}

fn update(c: &mut Cursor<'_>, with: Option<ast::With>) -> SqlResult<Statement> {
    c.at += 1;
    let name = c.name()?;
    let mut alias = None;
    if c.eat(&["AS"]) || !c.looking_at(&["SET"]) {
        alias = Some(c.ident()?);
    }
    c.expect(&["SET"])?;
    let (assignments, from, selection) = with_parser(c, |p| {
        let assignments = p.parse_comma_separated(|p| {
            let mut column = p.parse_identifier()?;
            while p.consume_token(&Token::Period) {
                column = p.parse_identifier()?;
            }
            p.expect_token(&Token::Eq)?;
            Ok((column.value, p.parse_expr()?))
        })?;
        let from = if p.parse_keyword(Keyword::FROM) {
            p.parse_comma_separated(Parser::parse_table_and_joins)?
        } else {
            Vec::new()
        };
        let selection = if p.parse_keyword(Keyword::WHERE) { Some(p.parse_expr()?) } else { None };
        Ok((assignments, from, selection))
    })?;
    Ok(Statement::Update { name, alias, assignments, from, selection, with })
}

fn delete(c: &mut Cursor<'_>, with: Option<ast::With>) -> SqlResult<Statement> {
    c.at += 1;
    c.expect(&["FROM"])?;
    let name = c.name()?;
    let mut alias = None;
    if c.eat(&["AS"]) || !c.done() && !["PARTITION", "PARTITIONS", "USING", "WHERE"].iter().any(|w| c.is_word(0, w)) {
        alias = Some(c.ident()?);
    }
    let partitions = partition_names(c)?;
    let (using, selection) = with_parser(c, |p| {
        let using = if p.parse_keyword(Keyword::USING) {
            p.parse_comma_separated(Parser::parse_table_and_joins)?
        } else {
            Vec::new()
        };
        let selection = if p.parse_keyword(Keyword::WHERE) { Some(p.parse_expr()?) } else { None };
        Ok((using, selection))
    })?;
    Ok(Statement::Delete { name, alias, using, selection, partitions, with })
}

fn set(c: &mut Cursor<'_>) -> SqlResult<Statement> {
    c.at += 1;
    if let Some(s) = users::set(c)? {
        return Ok(user(s));
    }
    if c.looking_at(&["PROPERTY"]) || c.looking_at(&["WAREHOUSE"]) {
        c.rest();
        return Ok(Statement::Nothing);
    }
    if c.eat(&["CATALOG"]) {
        let name = c.ident()?;
        return Ok(if name.eq_ignore_ascii_case("default_catalog") {
            Statement::Nothing
        } else {
            Statement::Unsupported("external catalogs".into())
        });
    }
    let mut out = Vec::new();
    loop {
        // Text is UTF-8 here, whatever is named.
        if c.eat(&["NAMES"]) || c.eat(&["CHARACTER", "SET"]) || c.eat(&["CHARSET"]) {
            c.scalar_text()?;
            if c.eat(&["COLLATE"]) {
                c.scalar_text()?;
            }
            if c.eat_token(&Token::Comma) {
                continue;
            }
            break;
        }
        let global = c.eat(&["GLOBAL"]);
        for scope in ["SESSION", "LOCAL", "VERBOSE", "PERSIST"] {
            c.eat(&[scope]);
        }
        if c.eat(&["TRANSACTION"]) {
            c.rest();
            return Ok(Statement::Nothing);
        }
        let mut name = match c.take() {
            Some(Token::Word(w)) => w.value.clone(),
            Some(Token::AtSign) => format!("@{}", c.ident()?),
            _ => {
                c.at -= 1;
                return Err(c.unexpected("a variable"));
            }
        };
        while c.eat_token(&Token::Period) {
            name = format!("{name}.{}", c.ident()?);
        }
        if !c.eat_token(&Token::Assignment) {
            c.expect_token(&Token::Eq)?;
        }
        let from = c.at;
        c.expression_until(&[]);
        let tokens = &c.tokens[from..c.at];
        let value = expression(c.text, tokens).or_else(|_| {
            // `utf8mb4`, `ON`, `DEFAULT` and the like: a word stands for itself.
            Ok::<_, SqlError>(ast::Expr::value(ast::Value::SingleQuotedString(c.text_since(from).to_string())))
        })?;
        out.push((if global { format!("@@global.{name}") } else { name }, value));
        if !c.eat_token(&Token::Comma) {
            break;
        }
    }
    if c.looking_at(&["COLLATE"]) {
        c.rest();
    }
    if out.is_empty() { Ok(Statement::Nothing) } else { Ok(Statement::Set(out)) }
}

fn show(c: &mut Cursor<'_>) -> SqlResult<Statement> {
    c.at += 1;
    for scope in ["GLOBAL", "SESSION", "LOCAL"] {
        c.eat(&[scope]);
    }
    if let Some(s) = users::show(c)? {
        return Ok(user(s));
    }
    let mut show = Show {
        what: String::new(),
        name: None,
        from: None,
        like: None,
        selection: None,
        order_by: Vec::new(),
        limit: None,
    };
    let mut words = Vec::new();
    if c.eat(&["CREATE"]) {
        let kind = c.ident()?.to_uppercase();
        if kind == "MATERIALIZED" {
            c.rest();
            return Ok(Statement::Unsupported("materialized views".into()));
        }
        if kind == "EXTERNAL" || kind == "CATALOG" || kind == "ROUTINE" {
            c.rest();
            return Ok(Statement::Unsupported("external catalogs".into()));
        }
        c.eat(&["IF", "NOT", "EXISTS"]);
        show.what = format!("CREATE {kind}");
        show.name = Some(c.name()?);
        return Ok(Statement::Show(show));
    }
    const STOPS: &[&str] = &["FROM", "IN", "LIKE", "WHERE", "ORDER", "LIMIT", "FOR", "ON"];
    while let Some(Token::Word(w)) = c.peek() {
        if w.quote_style.is_none() && STOPS.iter().any(|s| w.value.eq_ignore_ascii_case(s)) {
            break;
        }
        if words.len() == 1 && words[0] == "TABLET" {
            show.name = Some(c.name()?);
            break;
        }
        words.push(w.value.to_ascii_uppercase());
        c.at += 1;
    }
    show.what = words.join(" ");
    match show.what.as_str() {
        "PROC" => {
            show.like = Some(c.string()?);
            return Ok(Statement::Show(show));
        }
        "TABLET" if matches!(c.peek(), Some(Token::Number(..))) => {
            c.rest();
            return Ok(Statement::Show(show));
        }
        _ => {}
    }
    if c.peek() == Some(&Token::LParen) {
        c.group()?;
    }
    while !c.done() {
        if c.eat(&["FROM"]) || c.eat(&["IN"]) || c.eat(&["ON"]) || c.eat(&["FOR"]) {
            let name = match c.peek() {
                Some(Token::SingleQuotedString(_)) => vec![c.string()?],
                _ => c.name()?,
            };
            if show.name.is_none() {
                show.name = Some(name);
            } else {
                show.from = name.last().cloned();
            }
        } else if c.eat(&["LIKE"]) {
            show.like = Some(c.string()?);
        } else if c.eat(&["WHERE"]) {
            let from = c.at;
            c.expression_until(&["ORDER", "LIMIT"]);
            show.selection = Some(expression(c.text, &c.tokens[from..c.at])?);
        } else if c.eat(&["ORDER", "BY"]) {
            loop {
                let name = c.ident()?;
                let descending = c.eat(&["DESC"]);
                c.eat(&["ASC"]);
                show.order_by.push((name, descending));
                if !c.eat_token(&Token::Comma) {
                    break;
                }
            }
        } else if c.eat(&["LIMIT"]) {
            let mut first = c.number()? as usize;
            let mut offset = 0;
            if c.eat_token(&Token::Comma) {
                offset = first;
                first = c.number()? as usize;
            } else if c.eat(&["OFFSET"]) {
                offset = c.number()? as usize;
            }
            show.limit = Some((offset, first));
        } else if c.eat(&["PARTITION"]) || c.eat(&["PARTITIONS"]) {
            c.group()?;
        } else {
            return Err(c.unexpected("<EOF>"));
        }
    }
    Ok(Statement::Show(show))
}
