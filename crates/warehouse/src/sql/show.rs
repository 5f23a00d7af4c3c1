//! SHOW and DESC.

use super::planner::QueryResult;
use super::rewrite::Rewriter;
use super::session::{Session, VARIABLES};
use super::statement::Show;
use crate::catalog::*;
use crate::error::{SqlError, SqlResult};
use crate::time::datetime_text;
use crate::types::SqlType;
use crate::users::needs;
use crate::value::Value;

fn t(s: impl Into<String>) -> Value {
    Value::Text(s.into())
}

fn when(ms: i64) -> Value {
    Value::Text(datetime_text(ms.div_euclid(1000) * 1_000_000))
}

/// An expression with its columns in backquotes.
pub fn quote_columns(expression: &str, columns: &[ColumnDef]) -> String {
    use sqlparser::tokenizer::Token;
    let Ok(all) = super::lexer::statements(expression) else { return expression.to_string() };
    let Some((text, tokens)) = all.first() else { return expression.to_string() };
    let mut out = String::new();
    let mut at = 0;
    for (i, t) in tokens.iter().enumerate() {
        let Token::Word(w) = &t.token else { continue };
        let call = tokens.get(i + 1).is_some_and(|n| n.token == Token::LParen);
        if w.quote_style.is_none() && !call && columns.iter().any(|c| c.name.eq_ignore_ascii_case(&w.value)) {
            out.push_str(&text[at..t.start]);
            out.push_str(&format!("`{}`", w.value));
            at = t.end;
        }
    }
    out.push_str(&text[at..]);
    out
}

/// An expression with its strings in single quotes.
pub fn quoted_strings(expression: &str) -> String {
    use sqlparser::tokenizer::Token;
    let Ok(all) = super::lexer::statements(expression) else { return expression.to_string() };
    let Some((text, tokens)) = all.first() else { return expression.to_string() };
    let mut out = String::new();
    let mut at = 0;
    for t in tokens {
        if let Token::DoubleQuotedString(s) = &t.token {
            out.push_str(&text[at..t.start]);
            out.push_str(&format!("'{}'", s.replace('\'', "\\'")));
            at = t.end;
        }
    }
    out.push_str(&text[at..]);
    out
}

/// An expression with CAST and its type in capitals.
fn capital_casts(expression: &str) -> String {
    use sqlparser::tokenizer::Token;
    let Ok(all) = super::lexer::statements(expression) else { return expression.to_string() };
    let Some((text, tokens)) = all.first() else { return expression.to_string() };
    let mut out = String::new();
    let mut at = 0;
    // Where the parentheses of CASTs were opened, and whether a type is being written.
    let (mut casts, mut depth, mut in_type) = (Vec::new(), 0usize, false);
    for (i, t) in tokens.iter().enumerate() {
        match &t.token {
            Token::LParen => {
                depth += 1;
                if matches!(i.checked_sub(1).map(|p| &tokens[p].token), Some(Token::Word(w)) if w.value.eq_ignore_ascii_case("cast"))
                {
                    casts.push(depth);
                }
            }
            Token::RParen => {
                if casts.last() == Some(&depth) {
                    casts.pop();
                    in_type = false;
                }
                depth = depth.saturating_sub(1);
            }
            Token::Word(w) if w.quote_style.is_none() => {
                in_type |= casts.last() == Some(&depth) && w.value.eq_ignore_ascii_case("as");
                let call = tokens.get(i + 1).is_some_and(|n| n.token == Token::LParen);
                if in_type || call && w.value.eq_ignore_ascii_case("cast") {
                    out.push_str(&text[at..t.start]);
                    out.push_str(&w.value.to_uppercase());
                    at = t.end;
                }
            }
            _ => {}
        }
    }
    out.push_str(&text[at..]);
    out
}

/// Properties that SHOW CREATE TABLE leaves out: they say nothing, or nothing about this model.
fn is_shown(def: &TableDef, key: &str, value: &str) -> bool {
    match key {
        "storage_format" | "in_memory" | "storage_type" if value.eq_ignore_ascii_case("DEFAULT") => false,
        "in_memory" => value != "false",
        "enable_persistent_index" | "persistent_index_type" => def.model == TableModel::Primary,
        "primary_index_cache_expire_sec" => value != "0",
        "base_compaction_forbidden_time_ranges" => !value.is_empty(),
        _ => true,
    }
}

/// A column as SHOW CREATE TABLE prints it.
pub fn column_text(c: &ColumnDef) -> String {
    use std::fmt::Write as _;
    let mut line = format!("`{}` {}", c.name, c.sql_type.ddl());
    if let Some(a) = &c.aggregation {
        let _ = write!(line, " {}", a.ddl());
    }
    line.push_str(if c.nullable { " NULL" } else { " NOT NULL" });
    if c.auto_increment {
        line.push_str(" AUTO_INCREMENT");
    }
    if let Some(g) = &c.generated {
        let _ = write!(line, " AS {g}");
    }
    match &c.default {
        ColumnDefault::Literal(v) => {
            let _ = write!(line, " DEFAULT \"{v}\"");
        }
        ColumnDefault::CurrentTimestamp(0) => line.push_str(" DEFAULT CURRENT_TIMESTAMP"),
        ColumnDefault::CurrentTimestamp(p) => {
            let _ = write!(line, " DEFAULT CURRENT_TIMESTAMP({p})");
        }
        ColumnDefault::Expression(e) => {
            let _ = write!(line, " DEFAULT {}", if e.starts_with('(') { e.clone() } else { format!("({e})") });
        }
        ColumnDefault::None | ColumnDefault::Null => {}
    }
    let _ = write!(line, " COMMENT \"{}\"", c.comment);
    line
}

/// The SHOW CREATE TABLE text, as StarRocks prints it.
pub fn create_text(def: &TableDef) -> String {
    use std::fmt::Write as _;
    let list = |names: &[String]| names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    let mut out = format!("CREATE {}TABLE `{}` (\n", if def.session.is_some() { "TEMPORARY " } else { "" }, def.name);
    let mut lines = Vec::new();
    for c in &def.columns {
        let mut shown = c.clone();
        shown.generated = c.generated.as_ref().map(|g| {
            let inner = g.strip_prefix('(').and_then(|g| g.strip_suffix(')')).filter(|g| !g.contains([')', '(']));
            let text = inner.unwrap_or(g);
            // A column alone is shown as it is written.
            let alone = def.column(text.trim_matches('`')).map(|c| c.name.clone());
            alone.unwrap_or_else(|| quote_columns(text, &def.columns))
        });
        lines.push(format!("  {}", column_text(&shown)));
    }
    let hidden = def.partition_by.as_ref().map_or(Vec::new(), super::generated_partition::hidden);
    for h in &hidden {
        let mut column = ColumnDef::new(h.name.clone(), h.sql_type.clone());
        column.generated = Some(h.expression.to_string());
        lines.push(format!("  {}", column_text(&column)));
    }
    for index in &def.indexes {
        lines.push(format!("  {index}"));
    }
    out.push_str(&lines.join(",\n"));
    out.push_str("\n) ENGINE=OLAP \n");
    let keys: Vec<String> = def.keys().map(|c| c.name.clone()).collect();
    let _ = writeln!(out, "{}({})", def.model.ddl(), list(&keys));
    if !def.comment.is_empty() {
        let _ = writeln!(out, "COMMENT \"{}\"", def.comment);
    }
    if let Some(by) = &def.partition_by {
        let name = |(n, e): (&String, &String)| if e.contains('(') { capital_casts(e) } else { format!("`{n}`") };
        let names = by.columns.iter().zip(&by.expressions).map(name).collect::<Vec<_>>().join(", ");
        match by.kind {
            PartitionKind::Expression if !hidden.is_empty() => {
                let shown = |(i, e): (usize, &String)| {
                    hidden
                        .iter()
                        .find(|h| h.at == i)
                        .map_or_else(|| format!("`{}`", e.trim_matches('`')), |h| format!("`{}`", h.name))
                };
                let names: Vec<String> = by.expressions.iter().enumerate().map(shown).collect();
                let _ = writeln!(out, "PARTITION BY ({})", names.join(","));
            }
            PartitionKind::Expression => {
                if by.expressions.iter().all(|e| e.starts_with('`') && e.ends_with('`') && e.matches('`').count() == 2)
                {
                    let _ = writeln!(out, "PARTITION BY ({})", by.expressions.join(","));
                } else {
                    let _ = writeln!(out, "PARTITION BY {}", by.expressions.join(","));
                }
            }
            kind => {
                let _ = writeln!(
                    out,
                    "PARTITION BY {}({names})",
                    if kind == PartitionKind::Range { "RANGE" } else { "LIST" }
                );
                out.push('(');
                let mut parts: Vec<&PartitionDef> = def.partitions.iter().filter(|p| !p.temporary).collect();
                if kind == PartitionKind::List {
                    parts.sort_by(|a, b| a.name.cmp(&b.name));
                }
                let texts: Vec<String> = parts.iter().map(|p| partition_text(p, by.columns.len())).collect();
                out.push_str(&texts.join(if kind == PartitionKind::Range { ",\n" } else { ",\n  " }).replacen(
                    "PARTITION",
                    if kind == PartitionKind::Range { "PARTITION" } else { "\n  PARTITION" },
                    1,
                ));
                out.push_str(if kind == PartitionKind::Range { ")\n" } else { "\n)\n" });
            }
        }
    }
    match (&def.distribution, def.buckets) {
        (Distribution::Hash(names), None) => {
            let _ = writeln!(out, "DISTRIBUTED BY HASH({})", list(names));
        }
        (Distribution::Hash(names), Some(b)) => {
            let _ = writeln!(out, "DISTRIBUTED BY HASH({}) BUCKETS {b} ", list(names));
        }
        (Distribution::Random, None) => out.push_str("DISTRIBUTED BY RANDOM\n"),
        (Distribution::Random, Some(b)) => {
            let _ = writeln!(out, "DISTRIBUTED BY RANDOM BUCKETS {b}");
        }
    }
    if !def.order_by.is_empty() {
        let _ = writeln!(out, "ORDER BY({})", list(&def.order_by));
    }
    out.push_str("PROPERTIES (\n");
    let properties: Vec<String> =
        def.properties.iter().filter(|(k, v)| is_shown(def, k, v)).map(|(k, v)| format!("\"{k}\" = \"{v}\"")).collect();
    out.push_str(&properties.join(",\n"));
    out.push_str("\n);");
    out
}

fn partition_text(p: &PartitionDef, columns: usize) -> String {
    let bound = |b: &Bound| {
        let parts: Vec<String> =
            b.iter().map(|v| v.as_ref().map_or("MAXVALUE".to_string(), |v| format!("\"{v}\""))).collect();
        format!("({})", parts.join(", "))
    };
    match &p.range {
        PartitionRange::Range { lower, upper } => {
            format!("PARTITION {} VALUES [{}, {})", p.name, lower.as_ref().map_or("()".into(), bound), bound(upper))
        }
        PartitionRange::List(rows) => {
            let one = |row: &Vec<Option<String>>| {
                let parts: Vec<String> =
                    row.iter().map(|v| v.as_ref().map_or("NULL".to_string(), |v| format!("'{v}'"))).collect();
                if columns > 1 { format!("({})", parts.join(", ")) } else { parts.join(", ") }
            };
            format!("PARTITION {} VALUES IN ({})", p.name, rows.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        PartitionRange::Whole => format!("PARTITION {}", p.name),
    }
}

/// A type as DESC prints it: without the display widths of integers.
pub fn desc_type(t: &SqlType) -> String {
    match t {
        SqlType::TinyInt => "tinyint".into(),
        SqlType::SmallInt => "smallint".into(),
        SqlType::Int => "int".into(),
        SqlType::BigInt => "bigint".into(),
        SqlType::LargeInt => "largeint".into(),
        SqlType::Decimal(p, s) => format!("decimal({p},{s})"),
        SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_) => t.ddl(),
        other => other.ddl(),
    }
}

pub fn default_text(c: &ColumnDef) -> Value {
    match &c.default {
        ColumnDefault::None | ColumnDefault::Null => Value::Null,
        ColumnDefault::Literal(v) => t(v.clone()),
        ColumnDefault::CurrentTimestamp(0) => t("CURRENT_TIMESTAMP"),
        ColumnDefault::CurrentTimestamp(p) => t(format!("CURRENT_TIMESTAMP({p})")),
        ColumnDefault::Expression(e) => t(e.clone()),
    }
}

pub fn describe(session: &Session, name: &[String]) -> SqlResult<QueryResult> {
    let columns = ["Field", "Type", "Null", "Key", "Default", "Extra"];
    if let [db, table] = name
        && db.eq_ignore_ascii_case("information_schema")
    {
        let Some(r) = super::information_schema::table(session, "information_schema", &table.to_lowercase()) else {
            return Err(SqlError::unknown_table(&format!("{db}.{table}")));
        };
        let rows: Vec<Vec<Value>> = r
            .names
            .iter()
            .zip(&r.types)
            .map(|(n, ty)| {
                let ty = match ty {
                    SqlType::Varchar(crate::types::STRING_LENGTH) => "varchar(2048)".to_string(),
                    other => desc_type(other),
                };
                vec![t(n.clone()), t(ty), t("YES"), t("false"), Value::Null, t("")]
            })
            .collect();
        return Ok(QueryResult::texts(&columns, &rows));
    }
    let table = session.table(name)?;
    let def = table.def();
    let bloom: Vec<String> = def
        .properties
        .get("bloom_filter_columns")
        .map(|p| p.split(',').map(|c| c.trim().to_lowercase()).collect())
        .unwrap_or_default();
    let rows: Vec<Vec<Value>> = def
        .columns
        .iter()
        .map(|c| {
            let mut extra = Vec::new();
            if let Some(a) = &c.aggregation {
                extra.push(a.ddl().to_string());
            }
            if bloom.contains(&c.name.to_lowercase()) {
                extra.push("BLOOM_FILTER".into());
            }
            if c.auto_increment {
                extra.push("AUTO_INCREMENT".into());
            }
            if let Some(g) = &c.generated {
                extra.push(format!("AS {g}"));
            }
            vec![
                t(c.name.clone()),
                t(desc_type(&c.sql_type)),
                t(if c.nullable { "YES" } else { "NO" }),
                t(if c.key { "true" } else { "false" }),
                default_text(c),
                t(extra.join(" ")),
            ]
        })
        .collect();
    Ok(QueryResult::texts(&columns, &rows))
}

pub fn show(session: &Session, show: Show) -> SqlResult<QueryResult> {
    let store = &session.core.store;
    let database = |name: &Option<Vec<String>>| -> SqlResult<String> {
        let db = name.as_ref().and_then(|n| n.last().cloned()).or_else(|| session.database.clone());
        let db = db.ok_or_else(|| SqlError::new(1046, "No database selected"))?;
        if store.database_id(&db).is_none() && !db.eq_ignore_ascii_case("information_schema") {
            return Err(SqlError::unknown_database(&db));
        }
        Ok(db)
    };
    let table = || -> SqlResult<std::sync::Arc<crate::store::Table>> {
        match (&show.name, &show.from) {
            (Some(n), Some(db)) => session.table(&[db.clone(), n.last().cloned().unwrap_or_default()]),
            (Some(n), None) => session.table(n),
            _ => Err(SqlError::syntax("a table is expected")),
        }
    };
    let result = match show.what.as_str() {
        "DATABASES" | "SCHEMAS" => {
            let mut names: Vec<String> = needs::databases(session).into_iter().map(|d| d.0).collect();
            names.push("information_schema".into());
            names.sort();
            QueryResult::texts(&["Database"], &names.into_iter().map(|n| vec![t(n)]).collect::<Vec<_>>())
        }
        "TABLES" | "FULL TABLES" => {
            let db = database(&show.name)?;
            let full = show.what.starts_with("FULL");
            let rows: Vec<Vec<Value>> = needs::tables(session, &db)
                .iter()
                .map(|x| {
                    let def = x.def();
                    let mut row = vec![t(def.name.clone())];
                    if full {
                        row.push(t(if def.is_view() { "VIEW" } else { "BASE TABLE" }));
                    }
                    row
                })
                .collect();
            let head = format!("Tables_in_{db}");
            if full { QueryResult::texts(&[&head, "Table_type"], &rows) } else { QueryResult::texts(&[&head], &rows) }
        }
        "TEMPORARY TABLES" => {
            let db = database(&show.name)?;
            let rows: Vec<Vec<Value>> = store
                .temporary_tables(Some(session.id))
                .iter()
                .filter(|x| x.def().database == db)
                .map(|x| vec![t(x.def().name.clone())])
                .collect();
            QueryResult::texts(&[&format!("Tables_in_{db}")], &rows)
        }
        "CREATE TABLE" => {
            let x = table()?;
            let def = x.def();
            if def.is_view() {
                return create_view(&def);
            }
            QueryResult::texts(&["Table", "Create Table"], &[vec![t(def.name.clone()), t(create_text(&def))]])
        }
        "CREATE VIEW" => create_view(&table()?.def())?,
        "CREATE DATABASE" | "CREATE SCHEMA" => {
            let db = database(&show.name)?;
            QueryResult::texts(
                &["Database", "Create Database"],
                &[vec![t(db.clone()), t(format!("CREATE DATABASE `{db}`"))]],
            )
        }
        "COLUMNS" | "FIELDS" | "FULL COLUMNS" | "FULL FIELDS" => {
            let x = table()?;
            let def = x.def();
            let full = show.what.starts_with("FULL");
            let rows: Vec<Vec<Value>> = def
                .columns
                .iter()
                .map(|c| {
                    let key = if c.key { def.model.column_key() } else { "" };
                    let key = if full { key } else { "" };
                    let mut row = vec![t(c.name.clone()), t(desc_type(&c.sql_type))];
                    if full {
                        row.push(Value::Null);
                    }
                    row.extend([
                        t(if c.nullable { "YES" } else { "NO" }),
                        t(key),
                        default_text(c),
                        t(if c.auto_increment { "auto_increment" } else { "" }),
                    ]);
                    if full {
                        row.extend([t(""), t(c.comment.clone())]);
                    }
                    row
                })
                .collect();
            if full {
                QueryResult::texts(
                    &["Field", "Type", "Collation", "Null", "Key", "Default", "Extra", "Privileges", "Comment"],
                    &rows,
                )
            } else {
                QueryResult::texts(&["Field", "Type", "Null", "Key", "Default", "Extra"], &rows)
            }
        }
        "VARIABLES" | "STATUS" => {
            let mut rows: Vec<Vec<Value>> = Vec::new();
            if show.what == "VARIABLES" {
                let mut names: Vec<String> =
                    VARIABLES.iter().map(|v| v.0.to_string()).chain(session.variables.keys().cloned()).collect();
                names.sort();
                names.dedup();
                for n in names {
                    let v = session.variable(&n).as_text();
                    rows.push(vec![t(n), v.map_or(Value::Null, Value::Text)]);
                }
            }
            QueryResult::texts(&["Variable_name", "Value"], &rows)
        }
        "ALTER TABLE COLUMN" | "ALTER TABLE OPTIMIZE" | "ALTER TABLE ROLLUP" => {
            let db = database(&show.name)?;
            let kind = show.what.rsplit(' ').next().unwrap_or_default();
            let mut jobs = store.jobs(&db, kind);
            jobs.reverse();
            let rows: Vec<Vec<Value>> = jobs
                .iter()
                .map(|j| match kind {
                    "OPTIMIZE" => vec![
                        t(j.id.to_string()),
                        t(j.table.clone()),
                        when(j.created_ms),
                        when(j.created_ms),
                        t(""),
                        t(j.transaction.to_string()),
                        t("FINISHED"),
                        t(""),
                        t("100"),
                        t("86400"),
                        t(""),
                    ],
                    "ROLLUP" => vec![
                        t(j.id.to_string()),
                        t(j.table.clone()),
                        when(j.created_ms),
                        when(j.created_ms),
                        t(""),
                        t(""),
                        t(""),
                        t(j.transaction.to_string()),
                        t("FINISHED"),
                        t(""),
                        t(""),
                        t("86400"),
                    ],
                    _ => vec![
                        t(j.id.to_string()),
                        t(j.table.clone()),
                        when(j.created_ms),
                        when(j.created_ms),
                        t(j.table.clone()),
                        t(j.table_id.to_string()),
                        t(j.table_id.to_string()),
                        t("1:0"),
                        t(j.transaction.to_string()),
                        t("FINISHED"),
                        t(""),
                        Value::Null,
                        t("86400"),
                        t("default_warehouse"),
                    ],
                })
                .collect();
            match kind {
                "OPTIMIZE" => QueryResult::texts(
                    &[
                        "JobId",
                        "TableName",
                        "CreateTime",
                        "FinishTime",
                        "Operation",
                        "TransactionId",
                        "State",
                        "Msg",
                        "Progress",
                        "Timeout",
                        "Warehouse",
                    ],
                    &rows,
                ),
                "ROLLUP" => QueryResult::texts(
                    &[
                        "JobId",
                        "TableName",
                        "CreateTime",
                        "FinishedTime",
                        "BaseIndexName",
                        "RollupIndexName",
                        "RollupId",
                        "TransactionId",
                        "State",
                        "Msg",
                        "Progress",
                        "Timeout",
                    ],
                    &rows,
                ),
                _ => QueryResult::texts(
                    &[
                        "JobId",
                        "TableName",
                        "CreateTime",
                        "FinishTime",
                        "IndexName",
                        "IndexId",
                        "OriginIndexId",
                        "SchemaVersion",
                        "TransactionId",
                        "State",
                        "Msg",
                        "Progress",
                        "Timeout",
                        "Warehouse",
                    ],
                    &rows,
                ),
            }
        }
        "PARTITIONS" | "TEMPORARY PARTITIONS" => {
            let x = table()?;
            partitions(session, &x, show.what.starts_with("TEMPORARY"))
        }
        "TABLE STATUS" => {
            let db = database(&show.name)?;
            let rows: Vec<Vec<Value>> = needs::tables(session, &db)
                .iter()
                .map(|x| {
                    let v = x.version();
                    vec![
                        t(v.def.name.clone()),
                        t("StarRocks"),
                        Value::Null,
                        Value::Null,
                        Value::Int(i128::from(v.rows())),
                        Value::Null,
                        Value::Int(i128::from(v.bytes())),
                        Value::Null,
                        Value::Null,
                        Value::Null,
                        Value::Null,
                        when(v.def.created_ms),
                        when(v.committed_ms),
                        Value::Null,
                        t("utf8_general_ci"),
                        Value::Null,
                        Value::Null,
                        t(v.def.comment.clone()),
                    ]
                })
                .collect();
            QueryResult::texts(
                &[
                    "Name",
                    "Engine",
                    "Version",
                    "Row_format",
                    "Rows",
                    "Avg_row_length",
                    "Data_length",
                    "Max_data_length",
                    "Index_length",
                    "Data_free",
                    "Auto_increment",
                    "Create_time",
                    "Update_time",
                    "Check_time",
                    "Collation",
                    "Checksum",
                    "Create_options",
                    "Comment",
                ],
                &rows,
            )
        }
        "DATA" => {
            let db = database(&None)?;
            let mut total = 0;
            let mut rows: Vec<Vec<Value>> = needs::tables(session, &db)
                .iter()
                .filter(|x| !x.def().is_view())
                .map(|x| {
                    let v = x.version();
                    total += v.bytes();
                    vec![t(v.def.name.clone()), t(format!("{:.3} KB", v.bytes() as f64 / 1024.0)), t("1")]
                })
                .collect();
            rows.push(vec![t("Total"), t(format!("{:.3} KB", total as f64 / 1024.0)), t("")]);
            QueryResult::texts(&["TableName", "Size", "ReplicaCount"], &rows)
        }
        "TABLET" | "TABLETS" => {
            let rows = match table() {
                Ok(x) => {
                    let v = x.version();
                    v.def
                        .partitions
                        .iter()
                        .map(|p| {
                            vec![
                                t(p.id.to_string()),
                                t((p.id + 1).to_string()),
                                t("10001"),
                                t("0"),
                                t(v.version.to_string()),
                                t("0"),
                                t(v.version.to_string()),
                                t("0"),
                                t("0"),
                                t("-1"),
                                t(v.bytes().to_string()),
                                t(v.rows().to_string()),
                                t("NORMAL"),
                                Value::Null,
                                t("0"),
                                t("1"),
                                t("1"),
                                t(""),
                                t(""),
                                t("false"),
                                t(""),
                            ]
                        })
                        .collect()
                }
                Err(_) => Vec::new(),
            };
            QueryResult::texts(
                &[
                    "TabletId",
                    "ReplicaId",
                    "BackendId",
                    "SchemaHash",
                    "Version",
                    "VersionHash",
                    "LstSuccessVersion",
                    "LstSuccessVersionHash",
                    "LstFailedVersion",
                    "LstFailedTime",
                    "DataSize",
                    "RowCount",
                    "State",
                    "LstConsistencyCheckTime",
                    "CheckVersion",
                    "VersionCount",
                    "PathHash",
                    "MetaUrl",
                    "CompactionStatus",
                    "IsErrorState",
                    "Extra",
                ],
                &rows,
            )
        }
        "BACKENDS" => {
            let be = session.core.addresses.read().map(|a| (a.be, a.thrift));
            let (be_port, thrift, host) =
                be.map_or((0, 0, "127.0.0.1".to_string()), |(b, th)| (b.port(), th.port(), b.ip().to_string()));
            let names = [
                "BackendId",
                "IP",
                "HeartbeatPort",
                "BePort",
                "HttpPort",
                "BrpcPort",
                "LastStartTime",
                "LastHeartbeat",
                "Alive",
                "SystemDecommissioned",
                "ClusterDecommissioned",
                "TabletNum",
                "DataUsedCapacity",
                "AvailCapacity",
                "TotalCapacity",
                "UsedPct",
                "MaxDiskUsedPct",
                "ErrMsg",
                "Version",
                "Status",
                "DataTotalCapacity",
                "DataUsedPct",
                "CpuCores",
                "MemLimit",
                "NumRunningQueries",
                "MemUsedPct",
                "CpuUsedPct",
                "DataCacheMetrics",
                "Location",
                "StatusCode",
            ];
            let now = when(store.now_ms());
            let row = vec![
                t("10001"),
                t(host),
                t("9050"),
                t(thrift.to_string()),
                t(be_port.to_string()),
                t("8060"),
                now.clone(),
                now,
                t("true"),
                t("false"),
                t("false"),
                t("1"),
                t("0.000 B"),
                t("100.000 GB"),
                t("100.000 GB"),
                t("0.00 %"),
                t("0.00 %"),
                t(""),
                t(super::session::STARROCKS_VERSION),
                t("{}"),
                t("100.000 GB"),
                t("0.00 %"),
                t("2"),
                t("4GB"),
                t("0"),
                t("0.00 %"),
                t("0.0 %"),
                t("N/A"),
                t(""),
                t("OK"),
            ];
            QueryResult::texts(&names, &[row])
        }
        "FRONTENDS" => {
            let a = *session.core.addresses.read();
            let (mysql, http, host) =
                a.map_or((0, 0, "127.0.0.1".to_string()), |a| (a.mysql.port(), a.http.port(), a.http.ip().to_string()));
            let row = vec![
                t("fe"),
                t(host),
                t("9010"),
                t(http.to_string()),
                t(mysql.to_string()),
                t("9020"),
                t("LEADER"),
                t("1"),
                t("true"),
                t("true"),
                t("1"),
                when(store.now_ms()),
                t("true"),
                t(""),
                when(store.now_ms()),
                t(super::session::STARROCKS_VERSION),
            ];
            QueryResult::texts(
                &[
                    "Name",
                    "IP",
                    "EditLogPort",
                    "HttpPort",
                    "QueryPort",
                    "RpcPort",
                    "Role",
                    "ClusterId",
                    "Join",
                    "Alive",
                    "ReplayedJournalId",
                    "LastHeartbeat",
                    "IsHelper",
                    "ErrMsg",
                    "StartTime",
                    "Version",
                ],
                &[row],
            )
        }
        "COMPUTE NODES" => QueryResult::texts(&["ComputeNodeId", "IP"], &[]),
        "FRONTEND CONFIG" => QueryResult::texts(
            &["Key", "AliasNames", "Value", "Type", "IsMutable", "Comment"],
            &[vec![t("run_mode"), t("[]"), t("shared_nothing"), t("String"), t("false"), t("")]],
        ),
        "WARNINGS" | "ERRORS" => {
            QueryResult::of(&[("Level", SqlType::STRING), ("Code", SqlType::Int), ("Message", SqlType::STRING)], &[])
        }
        "PROCESSLIST" | "FULL PROCESSLIST" => QueryResult::texts(
            &[
                "ServerName",
                "Id",
                "User",
                "Host",
                "Db",
                "Command",
                "ConnectionStartTime",
                "Time",
                "State",
                "Info",
                "IsPending",
                "Warehouse",
            ],
            &[vec![
                t(""),
                t(session.id.to_string()),
                t(session.user.clone()),
                t(""),
                session.database.clone().map_or(Value::Null, Value::Text),
                t("Query"),
                when(store.now_ms()),
                t("0"),
                t("OK"),
                t(""),
                t("false"),
                t("default_warehouse"),
            ]],
        ),
        "CATALOGS" => QueryResult::texts(
            &["Catalog", "Type", "Comment"],
            &[vec![
                t("default_catalog"),
                t("Internal"),
                t("An internal catalog contains this cluster's self-managed tables."),
            ]],
        ),
        "COLLATION" => QueryResult::texts(
            &["Collation", "Charset", "Id", "Default", "Compiled", "Sortlen"],
            &[vec![t("utf8_general_ci"), t("utf8"), t("33"), t("Yes"), t("Yes"), t("1")]],
        ),
        "CHARSET" | "CHARACTER SET" => QueryResult::texts(
            &["Charset", "Description", "Default collation", "Maxlen"],
            &[vec![t("utf8"), t("UTF-8 Unicode"), t("utf8_general_ci"), t("3")]],
        ),
        "ENGINES" => QueryResult::texts(
            &["Engine", "Support", "Comment", "Transactions", "XA", "Savepoints"],
            &[vec![t("OLAP"), t("YES"), t("Default storage engine of StarRocks"), t("NO"), t("NO"), t("NO")]],
        ),
        "INDEX" | "INDEXES" | "KEYS" => QueryResult::texts(
            &[
                "Table",
                "Non_unique",
                "Key_name",
                "Seq_in_index",
                "Column_name",
                "Collation",
                "Cardinality",
                "Sub_part",
                "Packed",
                "Null",
                "Index_type",
                "Comment",
            ],
            &[],
        ),
        "PROCEDURE STATUS"
        | "FUNCTION STATUS"
        | "FUNCTIONS"
        | "FULL FUNCTIONS"
        | "BUILTIN FUNCTIONS"
        | "GLOBAL FUNCTIONS"
        | "TRIGGERS"
        | "EVENTS"
        | "PLUGINS"
        | "MATERIALIZED VIEWS"
        | "ALTER MATERIALIZED VIEW"
        | "RESOURCES"
        | "LOAD"
        | "LOAD WARNINGS"
        | "ROUTINE LOAD"
        | "DELETE" => QueryResult::texts(&["Name"], &[]),
        "TRANSACTION" => QueryResult::texts(&["TransactionId"], &[]),
        "PROC" => proc(session, show.like.as_deref().unwrap_or_default())?,
        other => return Err(SqlError::unsupported(format!("SHOW {other}"))),
    };
    finish(session, show, result)
}

fn create_view(def: &TableDef) -> SqlResult<QueryResult> {
    let Some(query) = &def.view else { return Err(SqlError::analysis(format!("'{}' is not VIEW", def.name))) };
    let columns: Vec<String> = def
        .columns
        .iter()
        .map(|c| {
            if c.comment.is_empty() {
                format!("`{}`", c.name)
            } else {
                format!("`{}` COMMENT \"{}\"", c.name, c.comment)
            }
        })
        .collect();
    let comment = if def.comment.is_empty() { String::new() } else { format!("\nCOMMENT \"{}\"", def.comment) };
    let text = format!(
        "CREATE VIEW `{}` ({}){comment} SECURITY NONE AS {};",
        def.name,
        columns.join(", "),
        query.trim_end_matches(';')
    );
    Ok(QueryResult::texts(
        &["View", "Create View", "character_set_client", "collation_connection"],
        &[vec![t(def.name.clone()), t(text), t("utf8"), t("utf8_general_ci")]],
    ))
}

fn partitions(session: &Session, x: &crate::store::Table, temporary: bool) -> QueryResult {
    let v = x.version();
    let def = &v.def;
    let list = def.partition_by.as_ref().is_some_and(|b| b.kind != PartitionKind::Range)
        && !def.partitions.iter().any(|p| matches!(p.range, PartitionRange::Range { .. }));
    let keys = def.partition_by.as_ref().map_or(String::new(), |b| b.columns.join(", "));
    let distribution = match &def.distribution {
        Distribution::Hash(c) => c.join(", "),
        Distribution::Random => "ALL KEY".into(),
    };
    let mut parts: Vec<&PartitionDef> = def.partitions.iter().filter(|p| p.temporary == temporary).collect();
    parts.sort_by(|a, b| a.name.cmp(&b.name));
    let shadow = PartitionDef {
        id: x.id,
        name: super::partition::SHADOW.into(),
        range: PartitionRange::Whole,
        temporary: false,
        automatic: true,
    };
    let shown = session.core.frontend_config("enable_display_shadow_partitions").as_deref() == Some("true");
    if shown && !temporary && super::partition::is_automatic(def) {
        parts.insert(0, &shadow);
    }
    let rows: Vec<Vec<Value>> = parts
        .iter()
        .map(|p| {
            let range = match &p.range {
                PartitionRange::Whole => String::new(),
                PartitionRange::Range { lower, upper } => {
                    let ty = |i: usize| {
                        def.partition_by
                            .as_ref()
                            .and_then(|b| b.columns.get(i))
                            .and_then(|c| def.column(c))
                            .map_or("VARCHAR".to_string(), |c| c.sql_type.message())
                    };
                    let keys = |b: &Bound| {
                        b.iter()
                            .enumerate()
                            .map(|(i, v)| {
                                v.as_ref().map_or("MAXVALUE".into(), |v| format!("types: [{}]; keys: [{v}]; ", ty(i)))
                            })
                            .collect::<String>()
                    };
                    format!("[{}..{})", lower.as_ref().map_or(String::new(), keys), keys(upper))
                }
                PartitionRange::List(rows) => {
                    let one = |r: &Vec<Option<String>>| {
                        format!(
                            "[{}]",
                            r.iter()
                                .map(|v| v.as_ref().map_or("null".into(), |v| format!("\"{v}\"")))
                                .collect::<Vec<_>>()
                                .join(",")
                        )
                    };
                    format!("[{}]", rows.iter().map(one).collect::<Vec<_>>().join(","))
                }
            };
            vec![
                t(p.id.to_string()),
                t(p.name.clone()),
                t(v.version.to_string()),
                when(v.committed_ms),
                t("0"),
                t("NORMAL"),
                t(keys.clone()),
                t(range),
                t(distribution.clone()),
                t(def.buckets.unwrap_or(1).to_string()),
                t(def.properties.get("replication_num").cloned().unwrap_or_else(|| "1".into())),
                t("HDD"),
                t("9999-12-31 23:59:59"),
                Value::Null,
                t("0B"),
                t("1"),
                t("false"),
                t("0"),
                t("0"),
                t("0"),
                t("1"),
            ]
        })
        .collect();
    QueryResult::texts(
        &[
            "PartitionId",
            "PartitionName",
            "VisibleVersion",
            "VisibleVersionTime",
            "VisibleVersionHash",
            "State",
            "PartitionKey",
            if list { "List" } else { "Range" },
            "DistributionKey",
            "Buckets",
            "ReplicationNum",
            "StorageMedium",
            "CooldownTime",
            "LastConsistencyCheckTime",
            "DataSize",
            "StorageSize",
            "IsInMemory",
            "RowCount",
            "DataVersion",
            "VersionEpoch",
            "TabletBalanced",
        ],
        &rows,
    )
}

fn proc(session: &Session, path: &str) -> SqlResult<QueryResult> {
    let store = &session.core.store;
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["dbs", db] => {
            let name = store
                .databases()
                .into_iter()
                .find(|d| d.0 == *db || d.1.to_string() == *db)
                .map_or((*db).to_string(), |d| d.0);
            let rows: Vec<Vec<Value>> = store
                .tables(&name)
                .iter()
                .map(|x| {
                    let def = x.def();
                    vec![
                        t(x.id.to_string()),
                        t(def.name.clone()),
                        t("1"),
                        t(""),
                        t(def.partitions.len().to_string()),
                        t("NORMAL"),
                        t("OLAP"),
                        t(""),
                        t("1"),
                        t("UNPARTITIONED"),
                    ]
                })
                .collect();
            Ok(QueryResult::texts(
                &[
                    "TableId",
                    "TableName",
                    "IndexNum",
                    "PartitionColumnName",
                    "PartitionNum",
                    "State",
                    "Type",
                    "LastConsistencyCheckTime",
                    "ReplicaCount",
                    "PartitionType",
                ],
                &rows,
            ))
        }
        ["dbs"] | [""] => Ok(QueryResult::texts(
            &["DbId", "DbName"],
            &store.databases().into_iter().map(|(n, i)| vec![t(i.to_string()), t(n)]).collect::<Vec<_>>(),
        )),
        ["transactions", db, state] => {
            let id = store.databases().into_iter().find(|d| d.0 == *db || d.1.to_string() == *db).map_or(0, |d| d.1);
            let running = *state == "running";
            let rows: Vec<Vec<Value>> = store
                .txns(id)
                .iter()
                .filter(|x| x.state.is_final() != running)
                .map(|x| {
                    vec![
                        t(x.id.to_string()),
                        t(x.label.clone()),
                        t("BE: 127.0.0.1"),
                        t(x.state.name()),
                        t("BACKEND_STREAMING"),
                        when(x.begun_ms),
                        when(x.finished_ms),
                        when(x.finished_ms),
                        when(x.finished_ms),
                        x.reason.clone().map_or(Value::Null, Value::Text),
                        t("0"),
                        t("[]"),
                        t((x.timeout_s * 1000).to_string()),
                        t((x.prepared_timeout_s * 1000).to_string()),
                        Value::Null,
                    ]
                })
                .collect();
            Ok(QueryResult::texts(
                &[
                    "TransactionId",
                    "Label",
                    "Coordinator",
                    "TransactionStatus",
                    "LoadJobSourceType",
                    "PrepareTime",
                    "CommitTime",
                    "PublishTime",
                    "FinishTime",
                    "Reason",
                    "ErrorReplicasCount",
                    "ListenerId",
                    "TimeoutMs",
                    "PreparedTimeoutMs",
                    "ErrMsg",
                ],
                &rows,
            ))
        }
        _ => Err(SqlError::unsupported(format!("SHOW PROC '{path}'"))),
    }
}

/// LIKE, WHERE, ORDER BY and LIMIT of a SHOW statement.
fn finish(session: &Session, show: Show, result: QueryResult) -> SqlResult<QueryResult> {
    let mut rows = result.values();
    if show.what != "PROC"
        && let Some(like) = &show.like
    {
        let pattern = like.to_lowercase();
        rows.retain(|r| {
            r.first()
                .and_then(Value::as_text)
                .is_some_and(|x| super::functions::core::like_match(&x.to_lowercase(), &pattern))
        });
    }
    if let Some(mut selection) = show.selection {
        let facts = session.facts();
        Rewriter::new(&facts, Vec::new()).expression(&mut selection)?;
        let columns: Vec<(String, SqlType, arrow::array::ArrayRef)> = result
            .names
            .iter()
            .zip(&result.types)
            .enumerate()
            .map(|(i, (n, ty))| {
                let values: Vec<Value> = rows.iter().map(|r| r[i].clone()).collect();
                (n.clone(), ty.clone(), Value::array(&values, ty))
            })
            .collect();
        let none = |_: &str, _: &str| None;
        let scope = session.scope(&facts, &none);
        let (kept, ty) = session.core.planner.evaluate(&scope, &columns, rows.len(), &[selection])?.remove(0);
        let mut i = 0;
        rows.retain(|_| {
            i += 1;
            Value::get(&kept, &ty, i - 1).as_bool() == Some(true)
        });
    }
    for (name, descending) in show.order_by.iter().rev() {
        if let Some(at) = result.names.iter().position(|n| n.eq_ignore_ascii_case(name)) {
            rows.sort_by(|a, b| {
                let numeric = match (a[at].as_f64(), b[at].as_f64()) {
                    (Some(x), Some(y)) => x.partial_cmp(&y).unwrap_or(std::cmp::Ordering::Equal),
                    _ => a[at].compare(&b[at]),
                };
                if *descending { numeric.reverse() } else { numeric }
            });
        }
    }
    if let Some((offset, n)) = show.limit {
        rows = rows.into_iter().skip(offset).take(n).collect();
    }
    let columns: Vec<(&str, SqlType)> =
        result.names.iter().map(String::as_str).zip(result.types.iter().cloned()).collect();
    Ok(QueryResult::of(&columns, &rows))
}
