//! Completion: keywords, and the names the server has. Which of them depends on the words before.

/// Words of StarRocks SQL worth completing.
const KEYWORDS: &[&str] = &[
    "ADD",
    "AGGREGATE KEY",
    "ALL",
    "ALTER",
    "AND",
    "ANTI",
    "AS",
    "ASC",
    "BEGIN",
    "BETWEEN",
    "BIGINT",
    "BOOLEAN",
    "BUCKETS",
    "BY",
    "CASE",
    "CAST",
    "CATALOG",
    "COLUMN",
    "COLUMNS",
    "COMMENT",
    "COMMIT",
    "COUNT",
    "CREATE",
    "CROSS",
    "CURRENT_DATE",
    "CURRENT_TIMESTAMP",
    "DATABASE",
    "DATABASES",
    "DATE",
    "DATETIME",
    "DECIMAL",
    "DEFAULT",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DISTRIBUTED BY",
    "DOUBLE",
    "DROP",
    "DUPLICATE KEY",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FLOAT",
    "FROM",
    "FULL",
    "GRANT",
    "GROUP BY",
    "HASH",
    "HAVING",
    "IDENTIFIED BY",
    "IF EXISTS",
    "IF NOT EXISTS",
    "IN",
    "INNER",
    "INSERT INTO",
    "INSERT OVERWRITE",
    "INT",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "JSON",
    "LARGEINT",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER BY",
    "OUTER",
    "OVER",
    "PARTITION BY",
    "PRIMARY KEY",
    "PROCESSLIST",
    "PROPERTIES",
    "RENAME",
    "REVOKE",
    "RIGHT",
    "ROLE",
    "ROLLBACK",
    "SELECT",
    "SEMI",
    "SET",
    "SHOW",
    "SMALLINT",
    "STRING",
    "SUM",
    "TABLE",
    "TABLES",
    "THEN",
    "TINYINT",
    "TO",
    "TRUE",
    "TRUNCATE TABLE",
    "UNION ALL",
    "UNIQUE KEY",
    "UPDATE",
    "USE",
    "USER",
    "USING",
    "VALUES",
    "VARCHAR",
    "VARIABLES",
    "VIEW",
    "WHEN",
    "WHERE",
    "WITH",
];

/// Words after which a table is meant.
const BEFORE_TABLE: &[&str] =
    &["FROM", "JOIN", "INTO", "OVERWRITE", "TABLE", "UPDATE", "DESC", "DESCRIBE", "VIEW", "TRUNCATE"];
/// Words after which a database is meant.
const BEFORE_DATABASE: &[&str] = &["USE", "DATABASE", "SCHEMA"];

/// What the server has.
#[derive(Debug, Default, Clone)]
pub struct Names {
    pub database: Option<String>,
    pub databases: Vec<String>,
    /// (database, table)
    pub tables: Vec<(String, String)>,
    /// (database, table, column)
    pub columns: Vec<(String, String, String)>,
}

/// Where the word under the cursor begins, and what it may become.
pub fn complete(names: &Names, line: &str, at: usize) -> (usize, Vec<String>) {
    let before = &line[..at];
    let from = before
        .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
        .map_or(0, |i| i + before[i..].chars().next().map_or(1, char::len_utf8));
    let word = &before[from..];
    let head = before[..from].trim_end_matches('`');
    let mut found: Vec<String> = if let Some(owner) = head.strip_suffix('.') {
        of_owner(names, line, last_word(owner))
    } else {
        let previous = last_word(head.trim_end()).to_ascii_uppercase();
        if BEFORE_DATABASE.contains(&previous.as_str()) {
            names.databases.clone()
        } else if BEFORE_TABLE.contains(&previous.as_str()) {
            own_tables(names).chain(names.databases.iter().cloned()).collect()
        } else {
            let columns = used_columns(names, line);
            if word.is_empty() {
                columns
            } else {
                let keywords = KEYWORDS.iter().map(|k| in_case_of(k, word));
                columns
                    .into_iter()
                    .chain(own_tables(names))
                    .chain(names.databases.iter().cloned())
                    .chain(keywords)
                    .collect()
            }
        }
    };
    let lower = word.to_lowercase();
    found.retain(|f| f.to_lowercase().starts_with(&lower));
    let mut seen = std::collections::HashSet::new();
    found.retain(|f| seen.insert(f.clone()));
    (from, found)
}

fn last_word(text: &str) -> &str {
    let text = text.trim_end_matches('`');
    text.rsplit(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).next().unwrap_or_default()
}

/// A keyword as the user types: small letters stay small.
fn in_case_of(keyword: &str, word: &str) -> String {
    if word.chars().any(char::is_uppercase) { keyword.to_string() } else { keyword.to_lowercase() }
}

fn own_tables(names: &Names) -> impl Iterator<Item = String> + '_ {
    names.tables.iter().filter(|(d, _)| Some(d) == names.database.as_ref()).map(|(_, t)| t.clone())
}

/// After `owner.`: tables of a database, or columns of a table or of what stands for one.
fn of_owner(names: &Names, line: &str, owner: &str) -> Vec<String> {
    if names.databases.iter().any(|d| d == owner) {
        return names.tables.iter().filter(|(d, _)| d == owner).map(|(_, t)| t.clone()).collect();
    }
    let table = alias_of(names, line, owner).unwrap_or_else(|| owner.to_string());
    names.columns.iter().filter(|(_, t, _)| *t == table).map(|(_, _, c)| c.clone()).collect()
}

/// The words of a line.
fn words(line: &str) -> Vec<&str> {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).filter(|w| !w.is_empty()).collect()
}

/// The table an alias stands for: `table alias` or `table AS alias`.
fn alias_of(names: &Names, line: &str, alias: &str) -> Option<String> {
    let words = words(line);
    words.iter().enumerate().filter(|(i, w)| **w == alias && *i > 0).find_map(|(i, _)| {
        let before =
            if words[i - 1].eq_ignore_ascii_case("as") { words.get(i.checked_sub(2)?)? } else { &words[i - 1] };
        names.tables.iter().find(|(_, t)| t == before).map(|(_, t)| t.clone())
    })
}

/// Columns of the tables the line names; of the whole database when it names none.
fn used_columns(names: &Names, line: &str) -> Vec<String> {
    let words = words(line);
    let used: Vec<&(String, String, String)> =
        names.columns.iter().filter(|(_, t, _)| words.contains(&t.as_str())).collect();
    let chosen: Vec<&(String, String, String)> = if used.is_empty() {
        names.columns.iter().filter(|(d, _, _)| Some(d) == names.database.as_ref()).collect()
    } else {
        used
    };
    chosen.into_iter().map(|(_, _, c)| c.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let s = |t: &str| t.to_string();
        let column = |t: &str, c: &str| (s("shop"), s(t), s(c));
        Names {
            database: Some(s("shop")),
            databases: vec![s("information_schema"), s("shop"), s("web")],
            tables: vec![(s("shop"), s("orders")), (s("shop"), s("order_log")), (s("web"), s("visits"))],
            columns: vec![
                column("orders", "order_no"),
                column("orders", "amount"),
                column("order_log", "event"),
                (s("web"), s("visits"), s("at")),
            ],
        }
    }

    /// `|` is the cursor.
    fn found(text: &str) -> String {
        let at = text.find('|').unwrap();
        complete(&names(), &text.replace('|', ""), at).1.join(" ")
    }

    #[test]
    fn what_is_offered_depends_on_the_words_before() {
        for (line, expected) in [
            ("sel|", "select"),
            ("SEL|", "SELECT"),
            ("use s|", "shop"),
            ("select * from ord|", "orders order_log"),
            ("select * from web.|", "visits"),
            ("select * from web.v|", "visits"),
            ("select a| from orders", "amount all alter and anti as asc add aggregate key"),
            ("select | from orders", "order_no amount"),
            ("select o.| from orders o", "order_no amount"),
            ("select o.am| from orders as o", "amount"),
            ("select orders.o|", "order_no"),
            ("insert into `ord|", "orders order_log"),
            ("select 'ünï' from ord|", "orders order_log"),
            ("desc order_l|", "order_log"),
            ("xyz|", ""),
        ] {
            let mut have: Vec<String> = found(line).split(' ').map(str::to_string).collect();
            let mut want: Vec<String> = expected.split(' ').map(str::to_string).collect();
            have.sort();
            want.sort();
            assert_eq!(have, want, "{line}");
        }
    }
}
