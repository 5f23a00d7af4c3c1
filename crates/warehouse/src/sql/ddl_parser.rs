//! CREATE TABLE and ALTER TABLE of StarRocks.

use sqlparser::tokenizer::Token;

use super::column_parser::column;
use super::lexer::Cursor;
use super::parser::query;
use super::statement::*;
use crate::catalog::{ColumnDef, Distribution, PartitionBy, PartitionKind, PartitionRange, TableModel};
use crate::error::{SqlError, SqlResult};
use crate::types::SqlType;

fn bound(c: &mut Cursor<'_>) -> SqlResult<Vec<Option<String>>> {
    if c.eat(&["MAXVALUE"]) {
        return Ok(vec![None]);
    }
    c.expect_token(&Token::LParen)?;
    let mut out = Vec::new();
    loop {
        out.push(if c.eat(&["MAXVALUE"]) { None } else { Some(c.scalar_text()?) });
        if c.eat_token(&Token::RParen) {
            return Ok(out);
        }
        c.expect_token(&Token::Comma)?;
    }
}

fn list_value(c: &mut Cursor<'_>) -> SqlResult<Option<String>> {
    if c.eat(&["NULL"]) { Ok(None) } else { c.scalar_text().map(Some) }
}

/// `START ("a") END ("b") EVERY (…)`
fn batch(c: &mut Cursor<'_>) -> SqlResult<PartitionClause> {
    c.expect(&["START"])?;
    c.expect_token(&Token::LParen)?;
    let start = c.scalar_text()?;
    c.expect_token(&Token::RParen)?;
    c.expect(&["END"])?;
    c.expect_token(&Token::LParen)?;
    let end = c.scalar_text()?;
    c.expect_token(&Token::RParen)?;
    let (mut every, mut unit) = (1, "DAY".to_string());
    if c.eat(&["EVERY"]) {
        c.expect_token(&Token::LParen)?;
        let interval = c.eat(&["INTERVAL"]);
        let n = c.scalar_text()?;
        every = n.parse().map_err(|_| SqlError::syntax(format!("Invalid partition step {n}")))?;
        unit = if interval { c.ident()?.to_uppercase() } else { String::new() };
        c.expect_token(&Token::RParen)?;
    }
    Ok(PartitionClause::Batch { start, end, every, unit })
}

/// `PARTITION [IF NOT EXISTS] p VALUES …` or a batch.
fn partition(c: &mut Cursor<'_>) -> SqlResult<(String, PartitionClause)> {
    if c.looking_at(&["START"]) {
        return Ok((String::new(), batch(c)?));
    }
    if !c.eat(&["PARTITION"]) {
        c.expect(&["PARTITIONS"])?;
        return Ok((String::new(), batch(c)?));
    }
    c.eat(&["IF", "NOT", "EXISTS"]);
    let name = c.ident()?;
    c.expect(&["VALUES"])?;
    let clause = if c.eat(&["LESS", "THAN"]) {
        PartitionClause::LessThan(bound(c)?)
    } else if c.eat(&["IN"]) {
        c.expect_token(&Token::LParen)?;
        let mut rows = Vec::new();
        loop {
            if c.eat_token(&Token::LParen) {
                let mut row = Vec::new();
                loop {
                    row.push(list_value(c)?);
                    if c.eat_token(&Token::RParen) {
                        break;
                    }
                    c.expect_token(&Token::Comma)?;
                }
                rows.push(row);
            } else {
                rows.push(vec![list_value(c)?]);
            }
            if c.eat_token(&Token::RParen) {
                break;
            }
            c.expect_token(&Token::Comma)?;
        }
        PartitionClause::One(PartitionRange::List(rows))
    } else {
        // [("a"), ("b"))
        c.expect_token(&Token::LBracket)?;
        let lower = bound(c)?;
        c.expect_token(&Token::Comma)?;
        let upper = bound(c)?;
        c.expect_token(&Token::RParen)?;
        PartitionClause::One(PartitionRange::Range { lower: Some(lower), upper })
    };
    // Per-partition properties and distribution are accepted.
    if c.peek() == Some(&Token::LParen) {
        c.properties()?;
    }
    Ok((name, clause))
}

fn partition_list(c: &mut Cursor<'_>) -> SqlResult<Vec<(String, PartitionClause)>> {
    let mut out = Vec::new();
    c.expect_token(&Token::LParen)?;
    if c.eat_token(&Token::RParen) {
        return Ok(out);
    }
    loop {
        out.push(partition(c)?);
        if c.eat_token(&Token::RParen) {
            return Ok(out);
        }
        c.expect_token(&Token::Comma)?;
    }
}

fn partition_by(c: &mut Cursor<'_>, table: &mut CreateTable) -> SqlResult<()> {
    if c.eat(&["RANGE"]) || c.eat(&["LIST"]) {
        let list = matches!(&c.tokens[c.at - 1].token, Token::Word(w) if w.value.eq_ignore_ascii_case("LIST"));
        c.expect_token(&Token::LParen)?;
        let mut expressions = Vec::new();
        loop {
            expressions.push(c.expression_until(&[]).to_string());
            if c.eat_token(&Token::RParen) {
                break;
            }
            c.expect_token(&Token::Comma)?;
        }
        let columns = expressions.iter().map(|e| column_in(e)).collect();
        table.partition_by = Some(PartitionBy {
            kind: if list { PartitionKind::List } else { PartitionKind::Range },
            expressions,
            columns,
            types: Vec::new(),
        });
        if c.peek() == Some(&Token::LParen) {
            table.partitions = partition_list(c)?;
        }
        return Ok(());
    }
    // Columns and expressions: (a, b) or date_trunc('day', a)[, b]
    let mut expressions = Vec::new();
    let grouped = c.eat_token(&Token::LParen);
    loop {
        let text = c.expression_until(&[
            "DISTRIBUTED",
            "ORDER",
            "PROPERTIES",
            "AS",
            "COMMENT",
            "PARTITION",
            "BUCKETS",
            "REFRESH",
        ]);
        if text.is_empty() {
            return Err(c.unexpected("a partition expression"));
        }
        // `date_trunc('day', k)(START …)`: the group is no part of the expression.
        expressions.push(text.to_string());
        if !c.eat_token(&Token::Comma) {
            break;
        }
    }
    if grouped {
        c.expect_token(&Token::RParen)?;
    }
    if !grouped
        && expressions.len() == 1
        && let Some((head, _)) = split_start(&expressions[0])
    {
        // Predefined partitions of an automatic table.
        let text = expressions[0][head.len()..].to_string();
        expressions[0] = head.trim().to_string();
        let tokens = super::lexer::statements(&text)?;
        if let Some((text, tokens)) = tokens.into_iter().next() {
            table.partitions = partition_list(&mut Cursor::new(&text, &tokens))?;
        }
    }
    let columns = expressions.iter().map(|e| column_in(e)).collect();
    table.partition_by = Some(PartitionBy { kind: PartitionKind::Expression, expressions, columns, types: Vec::new() });
    if c.peek() == Some(&Token::LParen) {
        table.partitions = partition_list(c)?;
    }
    Ok(())
}

fn split_start(text: &str) -> Option<(&str, &str)> {
    let upper = text.to_ascii_uppercase();
    let at = upper.find("START")?;
    let open = text[..at].rfind('(')?;
    text[open + 1..at].trim().is_empty().then_some((&text[..open], &text[open..]))
}

/// The column a partition expression is about: the last plain identifier of it.
pub fn column_in(expression: &str) -> String {
    let Ok(all) = super::lexer::statements(expression) else { return expression.to_string() };
    let Some((_, tokens)) = all.first() else { return String::new() };
    let mut found = None;
    for (i, t) in tokens.iter().enumerate() {
        if let Token::Word(w) = &t.token
            && tokens.get(i + 1).map(|t| &t.token) != Some(&Token::LParen)
            && (w.quote_style.is_some() || found.is_none())
        {
            found = Some(w.value.clone());
        }
    }
    found.unwrap_or_else(|| expression.to_string())
}

pub fn create_table(c: &mut Cursor<'_>, temporary: bool, external: bool) -> SqlResult<Statement> {
    let if_not_exists = c.eat(&["IF", "NOT", "EXISTS"]);
    let name = c.name()?;
    if c.eat(&["LIKE"]) {
        let like = c.name()?;
        let properties = if c.eat(&["PROPERTIES"]) { c.properties()? } else { Vec::new() };
        return Ok(Statement::CreateTableLike { name, like, if_not_exists, temporary, properties });
    }
    let mut table = CreateTable {
        name,
        if_not_exists,
        temporary,
        external,
        columns: Vec::new(),
        indexes: Vec::new(),
        key: None,
        comment: String::new(),
        partition_by: None,
        partitions: Vec::new(),
        distribution: None,
        buckets: None,
        order_by: Vec::new(),
        properties: Vec::new(),
        query: None,
    };
    if c.peek() == Some(&Token::LParen) {
        c.at += 1;
        loop {
            if (c.looking_at(&["INDEX"]) || c.looking_at(&["KEY"]))
                && matches!(c.peek_at(2), Some(Token::LParen))
                && !matches!(c.peek_at(1), Some(Token::LParen))
            {
                let from = c.at;
                c.expression_until(&[]);
                table.indexes.push(c.text_since(from).to_string());
            } else if let (Some(Token::Word(_)), Some(Token::Comma | Token::RParen)) = (c.peek(), c.peek_at(1)) {
                // CTAS with only names.
                let name = c.ident()?;
                table.columns.push(ColumnDef::new(name, SqlType::Null));
            } else {
                table.columns.push(column(c)?);
            }
            if c.eat_token(&Token::RParen) {
                break;
            }
            c.expect_token(&Token::Comma)?;
            if c.eat_token(&Token::RParen) {
                break;
            }
        }
    }
    loop {
        if c.eat(&["ENGINE"]) {
            c.eat_token(&Token::Eq);
            let engine = c.ident()?;
            if !matches!(engine.to_ascii_lowercase().as_str(), "olap" | "starrocks") {
                c.rest();
                return Ok(Statement::Unsupported(format!("tables of engine {engine}")));
            }
        } else if c.eat(&["CHARSET"]) || c.eat(&["DEFAULT", "CHARSET"]) || c.eat(&["DEFAULT", "CHARACTER", "SET"]) {
            c.eat_token(&Token::Eq);
            c.at += 1;
        } else if c.eat(&["PRIMARY", "KEY"]) {
            table.key = Some((TableModel::Primary, c.ident_list()?));
        } else if c.eat(&["DUPLICATE", "KEY"]) {
            let keys = if c.peek() == Some(&Token::LParen) && c.peek_at(1) == Some(&Token::RParen) {
                c.at += 2;
                Vec::new()
            } else {
                c.ident_list()?
            };
            table.key = Some((TableModel::Duplicate, keys));
        } else if c.eat(&["UNIQUE", "KEY"]) {
            table.key = Some((TableModel::Unique, c.ident_list()?));
        } else if c.eat(&["AGGREGATE", "KEY"]) {
            table.key = Some((TableModel::Aggregate, c.ident_list()?));
        } else if c.eat(&["COMMENT"]) {
            c.eat_token(&Token::Eq);
            table.comment = c.string()?;
        } else if c.eat(&["PARTITION", "BY"]) {
            partition_by(c, &mut table)?;
        } else if c.eat(&["DISTRIBUTED", "BY"]) {
            if c.eat(&["RANDOM"]) {
                table.distribution = Some(Distribution::Random);
            } else {
                c.expect(&["HASH"])?;
                table.distribution = Some(Distribution::Hash(c.ident_list()?));
            }
            if c.eat(&["BUCKETS"]) {
                table.buckets = Some(c.number()? as u32);
            }
            if c.eat(&["DEFAULT", "BUCKETS"]) {
                c.number()?;
            }
        } else if c.eat(&["BUCKETS"]) {
            table.buckets = Some(c.number()? as u32);
        } else if c.eat(&["ORDER", "BY"]) {
            table.order_by = if c.peek() == Some(&Token::LParen) { c.ident_list()? } else { vec![c.ident()?] };
        } else if c.eat(&["ROLLUP"]) {
            c.group()?;
        } else if c.eat(&["PROPERTIES"]) {
            table.properties = c.properties()?;
        } else if c.eat(&["BROKER", "PROPERTIES"]) {
            c.properties()?;
        } else if c.looking_at(&["AS"]) || c.looking_at(&["SELECT"]) || c.looking_at(&["WITH"]) {
            c.eat(&["AS"]);
            table.query = Some(query(c)?);
            break;
        } else {
            break;
        }
    }
    Ok(Statement::CreateTable(Box::new(table)))
}

fn position(c: &mut Cursor<'_>) -> SqlResult<ColumnPosition> {
    Ok(if c.eat(&["FIRST"]) {
        ColumnPosition::First
    } else if c.eat(&["AFTER"]) {
        ColumnPosition::After(c.ident()?)
    } else {
        ColumnPosition::Last
    })
}

fn added_column(c: &mut Cursor<'_>, of_list: bool) -> SqlResult<AddedColumn> {
    let from = c.at;
    let column = column(c)?;
    let span = c.span(from);
    let position = if of_list { ColumnPosition::Last } else { position(c)? };
    if column.generated.is_some() && !matches!(position, ColumnPosition::Last) {
        return Err(SqlError::syntax("AFTER can not be set when ADD GENERATED COLUMN").within(span));
    }
    Ok(AddedColumn { column, position, span })
}

/// The tail `[TO rollup] [PROPERTIES (…)]` of column clauses.
fn column_tail(c: &mut Cursor<'_>) -> SqlResult<()> {
    if c.eat(&["TO"]) || c.eat(&["FROM"]) {
        c.ident()?;
    }
    if c.eat(&["PROPERTIES"]) {
        c.properties()?;
    }
    Ok(())
}

pub fn alter_clauses(c: &mut Cursor<'_>) -> SqlResult<Vec<AlterClause>> {
    let mut out = Vec::new();
    loop {
        out.push(alter_clause(c)?);
        if !c.eat_token(&Token::Comma) {
            return Ok(out);
        }
        if c.eat(&["PROPERTIES"]) {
            c.properties()?;
            return Ok(out);
        }
    }
}

fn alter_clause(c: &mut Cursor<'_>) -> SqlResult<AlterClause> {
    if c.eat(&["ADD"]) {
        if c.eat(&["COLUMN"]) {
            if c.eat_token(&Token::LParen) {
                let mut columns = Vec::new();
                loop {
                    columns.push(added_column(c, true)?);
                    if c.eat_token(&Token::RParen) {
                        break;
                    }
                    c.expect_token(&Token::Comma)?;
                }
                column_tail(c)?;
                return Ok(AlterClause::AddColumns(columns));
            }
            let added = added_column(c, false)?;
            column_tail(c)?;
            return Ok(AlterClause::AddColumns(vec![added]));
        }
        if c.looking_at(&["ROLLUP"]) {
            c.rest();
            return Ok(AlterClause::Rollup);
        }
        if c.looking_at(&["INDEX"]) {
            c.rest();
            return Ok(AlterClause::Ignored);
        }
        let temporary = c.eat(&["TEMPORARY"]);
        if c.looking_at(&["PARTITION"]) || c.looking_at(&["PARTITIONS"]) {
            let if_not_exists = c.is_word(1, "IF");
            let one = partition(c)?;
            if c.eat(&["DISTRIBUTED", "BY"]) {
                if !c.eat(&["RANDOM"]) {
                    c.expect(&["HASH"])?;
                    c.ident_list()?;
                }
                if c.eat(&["BUCKETS"]) {
                    c.number()?;
                }
            }
            if c.eat(&["PROPERTIES"]) || c.peek() == Some(&Token::LParen) {
                c.properties()?;
            }
            return Ok(AlterClause::AddPartitions { partitions: vec![one], temporary, if_not_exists });
        }
        // `ADD a int`: COLUMN may be left out.
        let added = added_column(c, false)?;
        column_tail(c)?;
        return Ok(AlterClause::AddColumns(vec![added]));
    }
    if c.eat(&["DROP"]) {
        if c.eat(&["COLUMN"]) {
            let name = c.ident()?;
            column_tail(c)?;
            return Ok(AlterClause::DropColumn(name));
        }
        if c.looking_at(&["ROLLUP"]) || c.looking_at(&["INDEX"]) {
            c.rest();
            return Ok(AlterClause::Ignored);
        }
        let temporary = c.eat(&["TEMPORARY"]);
        if c.eat(&["PARTITION"]) {
            let if_exists = c.eat(&["IF", "EXISTS"]);
            let name = c.ident()?;
            let force = c.eat(&["FORCE"]);
            return Ok(AlterClause::DropPartition { name, if_exists, temporary, force });
        }
        if c.eat(&["PARTITIONS"]) {
            let if_exists = c.eat(&["IF", "EXISTS"]);
            if c.peek() == Some(&Token::LParen) {
                let names = c.ident_list()?;
                c.eat(&["FORCE"]);
                return Ok(AlterClause::DropPartitions { names, batch: None, if_exists, temporary });
            }
            if c.eat(&["WHERE"]) {
                let from = c.at;
                c.rest();
                let condition = super::parser::expression(c.text, &c.tokens[from..])?;
                return Ok(AlterClause::DropPartitionsWhere { condition, temporary });
            }
            let clause = batch(c)?;
            c.eat(&["FORCE"]);
            return Ok(AlterClause::DropPartitions { names: Vec::new(), batch: Some(clause), if_exists, temporary });
        }
        if c.looking_at(&["PERSISTENT"]) {
            c.rest();
            return Ok(AlterClause::Ignored);
        }
        return Err(c.unexpected("COLUMN"));
    }
    if c.eat(&["MODIFY"]) {
        if c.eat(&["COLUMN"]) {
            if c.is_word(1, "COMMENT") {
                let name = c.ident()?;
                c.at += 1;
                return Ok(AlterClause::ModifyColumnComment(name, c.string()?));
            }
            if let (Some(Token::Word(_)), true) = (c.peek(), c.is_word(1, "ADD") || c.is_word(1, "DROP")) {
                let column = c.ident()?;
                if c.eat(&["ADD"]) {
                    c.eat(&["FIELD"]);
                    let path = field_path(c)?;
                    let sql_type = c.sql_type()?;
                    position(c)?;
                    return Ok(AlterClause::AddField { column, path, sql_type });
                }
                c.at += 1;
                c.eat(&["FIELD"]);
                return Ok(AlterClause::DropField { column, path: field_path(c)? });
            }
            let changed = column(c)?;
            let place = position(c)?;
            column_tail(c)?;
            return Ok(AlterClause::ModifyColumn(changed, place));
        }
        c.rest();
        return Ok(AlterClause::Ignored);
    }
    if c.eat(&["RENAME"]) {
        if c.eat(&["COLUMN"]) {
            let old = c.ident()?;
            c.expect(&["TO"])?;
            return Ok(AlterClause::RenameColumn(old, c.ident()?));
        }
        if c.eat(&["PARTITION"]) {
            let old = c.ident()?;
            c.eat(&["TO"]);
            return Ok(AlterClause::RenamePartition(old, c.ident()?));
        }
        if c.eat(&["ROLLUP"]) {
            c.rest();
            return Ok(AlterClause::Ignored);
        }
        c.eat(&["TO"]);
        return Ok(AlterClause::Rename(c.ident()?));
    }
    if c.eat(&["SWAP", "WITH"]) {
        return Ok(AlterClause::Swap(c.ident()?));
    }
    if c.eat(&["SET"]) {
        return Ok(AlterClause::SetProperties(c.properties()?));
    }
    if c.eat(&["COMMENT"]) {
        c.eat_token(&Token::Eq);
        return Ok(AlterClause::Comment(c.string()?));
    }
    if c.eat(&["ORDER", "BY"]) {
        let columns = c.ident_list()?;
        column_tail(c)?;
        return Ok(AlterClause::OrderBy(columns));
    }
    if c.eat(&["REPLACE"]) {
        c.eat(&["PARTITION"]);
        let old = c.ident_list()?;
        c.expect(&["WITH", "TEMPORARY", "PARTITION"])?;
        let temporary = c.ident_list()?;
        let properties = if c.eat(&["PROPERTIES"]) { c.properties()? } else { Vec::new() };
        return Ok(AlterClause::ReplacePartition { old, temporary, properties });
    }
    if c.eat(&["TRUNCATE"]) {
        return Ok(AlterClause::TruncatePartition(super::parser::partition_names(c)?));
    }
    if c.eat(&["DISTRIBUTED", "BY"]) {
        let distribution = if c.eat(&["RANDOM"]) {
            Distribution::Random
        } else {
            c.expect(&["HASH"])?;
            Distribution::Hash(c.ident_list()?)
        };
        let buckets = if c.eat(&["BUCKETS"]) { Some(c.number()? as u32) } else { None };
        return Ok(AlterClause::Distribution(Some(distribution), buckets));
    }
    for word in ["COMPACT", "BASE", "CUMULATIVE", "SPLIT", "AUTO_INCREMENT"] {
        if c.looking_at(&[word]) {
            c.rest();
            return Ok(AlterClause::Ignored);
        }
    }
    if c.looking_at(&["PARTITION"]) || c.looking_at(&["PARTITIONS"]) {
        let text = c.rest().to_string();
        return Ok(AlterClause::Unsupported(format!("ALTER TABLE {text}")));
    }
    Err(c.unexpected("an ALTER clause"))
}

fn field_path(c: &mut Cursor<'_>) -> SqlResult<Vec<String>> {
    let mut path = Vec::new();
    loop {
        path.push(if c.eat_token(&Token::LBracket) {
            c.expect_token(&Token::Mul)?;
            c.expect_token(&Token::RBracket)?;
            "[*]".to_string()
        } else {
            c.ident()?
        });
        if !c.eat_token(&Token::Period) {
            return Ok(path);
        }
    }
}
