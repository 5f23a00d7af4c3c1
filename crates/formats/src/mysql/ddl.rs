//! A tolerant reader of MySQL's and MariaDB's statements about tables: names, columns and keys are understood,
//! every other clause is left out, and what is no such statement is [`Statement::Other`].

use super::column::{Column, charset_of_collation, read_attributes, read_type};
use super::lexer::{Cursor, Token, split_commas, tokens};

/// A table's name as a statement writes it; the database is absent when the session's counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub database: Option<String>,
    pub table: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    First,
    After(String),
}

/// What a statement does to tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    CreateTable {
        table: Name,
        temporary: bool,
        /// MariaDB's CREATE OR REPLACE.
        replace: bool,
        body: TableBody,
    },
    CreateLike {
        table: Name,
        temporary: bool,
        replace: bool,
        like: Name,
    },
    AlterTable {
        table: Name,
        clauses: Vec<AlterClause>,
    },
    RenameTables(Vec<(Name, Name)>),
    DropTables {
        tables: Vec<Name>,
        temporary: bool,
    },
    TruncateTable(Name),
    DropDatabase(String),
    /// CREATE or ALTER DATABASE with a default character set.
    DatabaseCharset {
        database: Option<String>,
        charset: String,
    },
    Other,
}

/// The definition of a new table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableBody {
    pub columns: Vec<Column>,
    pub primary_key: Vec<String>,
    pub comment: Option<String>,
    pub charset: Option<String>,
    /// The table of `AS SELECT * FROM table`.
    pub select_from: Option<Name>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlterClause {
    /// One ADD clause; with parentheses it may have several columns.
    Add(Vec<(Column, Option<Place>)>),
    Drop(String),
    Modify(Column, Option<Place>),
    Change(String, Column, Option<Place>),
    RenameColumn(String, String),
    RenameTable(Name),
    Comment(String),
    PrimaryKey(Vec<String>),
    DropPrimaryKey,
    /// CONVERT TO CHARACTER SET: columns and default.
    ConvertTo(String),
    DefaultCharset(String),
    /// ALTER COLUMN … SET DEFAULT, DROP DEFAULT.
    Default(String, Option<String>),
}

impl Statement {
    /// Reads one statement. Nothing is an error.
    pub fn parse(sql: &str) -> Self {
        let tokens = tokens(sql);
        let mut cursor = Cursor::new(&tokens);
        // MariaDB: SET STATEMENT max_statement_time = 1 FOR ALTER TABLE …
        if cursor.take(&["set", "statement"]) {
            while !cursor.done() && !cursor.take(&["for"]) {
                cursor.next();
            }
        }
        read(&mut cursor).unwrap_or(Statement::Other)
    }

    /// Whether the text begins like a statement this reader understands; cheap, for the many that do not.
    pub fn may_matter(sql: &str) -> bool {
        let start = sql.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
        let head = start.get(..8).unwrap_or(start).to_ascii_lowercase();
        ["create", "alter", "drop", "rename", "truncate", "set stat", "/*", "--", "#"]
            .iter()
            .any(|w| head.starts_with(w))
    }
}

fn name(cursor: &mut Cursor<'_>) -> Option<Name> {
    let first = cursor.name()?;
    if cursor.take_sign('.') {
        return Some(Name { database: Some(first), table: cursor.name()? });
    }
    Some(Name { database: None, table: first })
}

fn read(cursor: &mut Cursor<'_>) -> Option<Statement> {
    if cursor.take(&["create"]) {
        let replace = cursor.take(&["or", "replace"]);
        let temporary = cursor.take(&["temporary"]);
        if cursor.take(&["database"]) || cursor.take(&["schema"]) {
            cursor.take(&["if", "not", "exists"]);
            return database(cursor);
        }
        if !cursor.take(&["table"]) {
            return None;
        }
        cursor.take(&["if", "not", "exists"]);
        let table = name(cursor)?;
        return create_table(cursor, table, temporary, replace);
    }
    if cursor.take(&["alter"]) {
        let _ = cursor.take(&["online"]) || cursor.take(&["offline"]);
        cursor.take(&["ignore"]);
        if cursor.take(&["database"]) || cursor.take(&["schema"]) {
            return database(cursor);
        }
        if !cursor.take(&["table"]) {
            return None;
        }
        cursor.take(&["if", "exists"]);
        let table = name(cursor)?;
        return Some(Statement::AlterTable { table, clauses: alter_clauses(cursor) });
    }
    if cursor.take(&["rename"]) {
        if !(cursor.take(&["table"]) || cursor.take(&["tables"])) {
            return None;
        }
        cursor.take(&["if", "exists"]);
        let mut pairs = Vec::new();
        loop {
            let from = name(cursor)?;
            skip_wait(cursor);
            if !cursor.take(&["to"]) {
                break;
            }
            pairs.push((from, name(cursor)?));
            if !cursor.take_sign(',') {
                break;
            }
        }
        return Some(Statement::RenameTables(pairs));
    }
    if cursor.take(&["drop"]) {
        let temporary = cursor.take(&["temporary"]);
        if cursor.take(&["database"]) || cursor.take(&["schema"]) {
            cursor.take(&["if", "exists"]);
            return Some(Statement::DropDatabase(cursor.name()?));
        }
        if !(cursor.take(&["table"]) || cursor.take(&["tables"])) {
            return None;
        }
        cursor.take(&["if", "exists"]);
        let mut tables = Vec::new();
        while let Some(table) = name(cursor) {
            tables.push(table);
            if !cursor.take_sign(',') {
                break;
            }
        }
        return Some(Statement::DropTables { tables, temporary });
    }
    if cursor.take(&["truncate"]) {
        cursor.take(&["table"]);
        return Some(Statement::TruncateTable(name(cursor)?));
    }
    None
}

fn skip_wait(cursor: &mut Cursor<'_>) {
    if cursor.take(&["wait"]) {
        cursor.next();
    }
    cursor.take(&["nowait"]);
}

fn database(cursor: &mut Cursor<'_>) -> Option<Statement> {
    let is_option = ["default", "character", "charset", "collate"].iter().any(|w| cursor.is(w));
    let database = if is_option { None } else { cursor.name() };
    let mut charset = None;
    while !cursor.done() {
        if let Some(found) = charset_option(cursor) {
            charset.get_or_insert(found);
        } else {
            cursor.next();
        }
    }
    Some(Statement::DatabaseCharset { database, charset: charset? })
}

/// `[DEFAULT] CHARACTER SET [=] x` or `COLLATE [=] x`.
fn charset_option(cursor: &mut Cursor<'_>) -> Option<String> {
    let mark = cursor.mark();
    cursor.take(&["default"]);
    if cursor.take(&["character", "set"]) || cursor.take(&["charset"]) {
        cursor.take_sign('=');
        return cursor.name().map(|n| n.to_ascii_lowercase());
    }
    if cursor.take(&["collate"]) {
        cursor.take_sign('=');
        return cursor.name().map(|n| charset_of_collation(&n.to_ascii_lowercase()).to_owned());
    }
    cursor.reset(mark);
    None
}

fn create_table(cursor: &mut Cursor<'_>, table: Name, temporary: bool, replace: bool) -> Option<Statement> {
    if cursor.take(&["like"]) {
        return Some(Statement::CreateLike { table, temporary, replace, like: name(cursor)? });
    }
    let mut body = TableBody::default();
    if cursor.is_sign('(') {
        let mark = cursor.mark();
        let items = cursor.parenthesised()?;
        let mut inner = Cursor::new(items);
        if inner.take(&["like"]) {
            return Some(Statement::CreateLike { table, temporary, replace, like: name(&mut inner)? });
        }
        if inner.is("select") || inner.is("with") {
            cursor.reset(mark);
        } else {
            for item in split_commas(items) {
                create_item(&mut Cursor::new(item), &mut body);
            }
        }
    }
    // Options, and what comes after them.
    while let Some(token) = cursor.peek() {
        if let Some(charset) = charset_option(cursor) {
            body.charset.get_or_insert(charset);
        } else if cursor.take(&["comment"]) {
            cursor.take_sign('=');
            body.comment = cursor.text();
        } else if cursor.take(&["select"]) {
            if cursor.take_sign('*') && cursor.take(&["from"]) {
                body.select_from = name(cursor);
            }
            break;
        } else if cursor.is("partition") || matches!(token, Token::Sign(';')) {
            break;
        } else {
            cursor.next();
        }
    }
    for column in body.columns.iter().filter(|c| c.primary) {
        if !body.primary_key.contains(&column.name) {
            body.primary_key.push(column.name.clone());
        }
    }
    Some(Statement::CreateTable { table, temporary, replace, body })
}

/// Whether a bare word here begins a key or constraint instead of a column.
fn is_constraint(cursor: &Cursor<'_>) -> bool {
    ["constraint", "primary", "unique", "index", "key", "fulltext", "spatial", "foreign", "check", "vector"]
        .iter()
        .any(|word| cursor.is(word) && !(*word == "vector" && !cursor.is_at(1, "index") && !cursor.is_at(1, "key")))
        || (cursor.is("period") && cursor.is_at(1, "for"))
        || (cursor.is("system") && cursor.is_at(1, "versioning"))
}

fn create_item(cursor: &mut Cursor<'_>, body: &mut TableBody) {
    if is_constraint(cursor) {
        if let Some(columns) = primary_key(cursor) {
            body.primary_key = columns;
        }
        return;
    }
    if let Some(column) = column(cursor) {
        body.columns.push(column);
    }
}

/// The columns of `[CONSTRAINT [name]] PRIMARY KEY [USING x] (a, b(10) DESC)`.
fn primary_key(cursor: &mut Cursor<'_>) -> Option<Vec<String>> {
    if cursor.take(&["constraint"]) && !cursor.is("primary") {
        cursor.name();
    }
    if !cursor.take(&["primary", "key"]) {
        return None;
    }
    while !cursor.done() && !cursor.is_sign('(') {
        cursor.next();
    }
    let items = cursor.parenthesised()?;
    Some(split_commas(items).into_iter().filter_map(|item| Cursor::new(item).name()).collect())
}

fn column(cursor: &mut Cursor<'_>) -> Option<Column> {
    let name = cursor.name()?;
    let is_serial = cursor.is("serial");
    let mut column = Column::new(name, read_type(cursor));
    if is_serial {
        column.nullable = false;
        column.auto_increment = true;
    }
    read_attributes(cursor, &mut column);
    Some(column)
}

fn place(cursor: &mut Cursor<'_>) -> Option<Place> {
    if cursor.take(&["first"]) {
        return Some(Place::First);
    }
    if cursor.take(&["after"]) {
        return cursor.name().map(Place::After);
    }
    None
}

fn alter_clauses(cursor: &mut Cursor<'_>) -> Vec<AlterClause> {
    let mut clauses = Vec::new();
    skip_wait(cursor);
    loop {
        alter_clause(cursor, &mut clauses);
        cursor.skip_clause();
        if !cursor.take_sign(',') {
            return clauses;
        }
    }
}

fn alter_clause(cursor: &mut Cursor<'_>, clauses: &mut Vec<AlterClause>) {
    if cursor.take(&["add"]) {
        let column_word = cursor.take(&["column"]);
        cursor.take(&["if", "not", "exists"]);
        if !column_word && is_constraint(cursor) {
            if let Some(columns) = primary_key(cursor) {
                clauses.push(AlterClause::PrimaryKey(columns));
            }
            return;
        }
        if !column_word && (cursor.is("partition") || (cursor.is("system") && cursor.is_at(1, "versioning"))) {
            return;
        }
        let mut added = Vec::new();
        if let Some(items) = cursor.parenthesised() {
            let mut body = TableBody::default();
            for item in split_commas(items) {
                create_item(&mut Cursor::new(item), &mut body);
            }
            added.extend(body.columns.into_iter().map(|c| (c, None)));
        } else if let Some(column) = column(cursor) {
            added.push((column, place(cursor)));
        }
        if !added.is_empty() {
            clauses.push(AlterClause::Add(added));
        }
    } else if cursor.take(&["drop"]) {
        if cursor.take(&["primary", "key"]) {
            clauses.push(AlterClause::DropPrimaryKey);
            return;
        }
        let column_word = cursor.take(&["column"]);
        cursor.take(&["if", "exists"]);
        let other = ["index", "key", "foreign", "constraint", "check", "partition", "primary"];
        if !column_word
            && (other.iter().any(|w| cursor.is(w))
                || (cursor.is("system") && cursor.is_at(1, "versioning"))
                || (cursor.is("period") && cursor.is_at(1, "for")))
        {
            return;
        }
        if let Some(name) = cursor.name() {
            clauses.push(AlterClause::Drop(name));
        }
    } else if cursor.take(&["modify"]) {
        cursor.take(&["column"]);
        cursor.take(&["if", "exists"]);
        if let Some(column) = column(cursor) {
            let place = place(cursor);
            clauses.push(AlterClause::Modify(column, place));
        }
    } else if cursor.take(&["change"]) {
        cursor.take(&["column"]);
        cursor.take(&["if", "exists"]);
        if let Some(old) = cursor.name()
            && let Some(column) = column(cursor)
        {
            let place = place(cursor);
            clauses.push(AlterClause::Change(old, column, place));
        }
    } else if cursor.take(&["rename", "column"]) {
        cursor.take(&["if", "exists"]);
        if let Some(old) = cursor.name()
            && cursor.take(&["to"])
            && let Some(new) = cursor.name()
        {
            clauses.push(AlterClause::RenameColumn(old, new));
        }
    } else if cursor.is("rename") && (cursor.is_at(1, "index") || cursor.is_at(1, "key")) {
        // The skipping of the clause does the rest.
    } else if cursor.take(&["rename"]) {
        let _ = cursor.take(&["to"]) || cursor.take(&["as"]) || cursor.take_sign('=');
        if let Some(name) = name(cursor) {
            clauses.push(AlterClause::RenameTable(name));
        }
    } else if cursor.take(&["alter"]) {
        if cursor.is("index") || cursor.is("check") || cursor.is("constraint") {
            return;
        }
        cursor.take(&["column"]);
        if let Some(name) = cursor.name() {
            if cursor.take(&["drop", "default"]) {
                clauses.push(AlterClause::Default(name, None));
            } else if cursor.is("set") && cursor.is_at(1, "default") {
                cursor.next();
                let mut holder = Column::new(String::new(), super::column::MySqlType::new(super::column::Kind::Other));
                read_attributes(cursor, &mut holder);
                clauses.push(AlterClause::Default(name, holder.default));
            }
        }
    } else if cursor.take(&["comment"]) {
        cursor.take_sign('=');
        if let Some(comment) = cursor.text() {
            clauses.push(AlterClause::Comment(comment));
        }
    } else if cursor.take(&["convert", "to"]) {
        if let Some(charset) = charset_option(cursor) {
            clauses.push(AlterClause::ConvertTo(charset));
        }
    } else {
        // Table options stand beside one another without commas.
        while let Some(token) = cursor.peek() {
            if matches!(token, Token::Sign(',' | ';')) {
                return;
            }
            if let Some(charset) = charset_option(cursor) {
                clauses.push(AlterClause::DefaultCharset(charset));
            } else if cursor.take(&["comment"]) {
                cursor.take_sign('=');
                clauses.extend(cursor.text().map(AlterClause::Comment));
            } else if cursor.parenthesised().is_none() {
                cursor.next();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clauses(sql: &str) -> Vec<AlterClause> {
        match Statement::parse(sql) {
            Statement::AlterTable { clauses, .. } => clauses,
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[test]
    fn clauses_that_do_not_touch_columns_are_left_out() {
        for sql in [
            "ALTER TABLE t ADD INDEX i (a, b), ADD UNIQUE KEY u (c), ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES x (y)",
            "ALTER TABLE t ADD FULLTEXT (a), DROP INDEX i, DROP FOREIGN KEY f, DROP CHECK c, RENAME INDEX a TO b",
            "ALTER TABLE t ADD PARTITION (PARTITION p3 VALUES LESS THAN (2000), PARTITION p4 VALUES LESS THAN (3000))",
            "ALTER TABLE t ENGINE=InnoDB ROW_FORMAT=DYNAMIC, ALGORITHM=INPLACE, LOCK=NONE",
            "ALTER TABLE t AUTO_INCREMENT = 101",
            "ALTER TABLE t PARTITION BY RANGE (a) (PARTITION p0 VALUES LESS THAN (10))",
            "ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u, ORDER BY a, b",
            "ALTER TABLE t DISABLE KEYS",
            "ALTER TABLE t ALTER INDEX i INVISIBLE",
        ] {
            assert_eq!(clauses(sql), [], "{sql}");
        }
    }

    #[test]
    fn clauses_about_columns_are_found_between_others() {
        let found = clauses(
            "alter /* c */ table `d`.t add column if not exists a int not null default 3 comment 'x,)' after b, \
             add (c varchar(3), key (c), d enum('a,b','c)')), drop e, change f g bigint unsigned first, \
             modify column h decimal(10,2) zerofill, rename column i to j, comment='hey', rename to k, add index (z)",
        );
        let kinds: Vec<String> = found
            .iter()
            .map(|c| match c {
                AlterClause::Add(list) => {
                    format!("add {:?}", list.iter().map(|(c, p)| (c.name.as_str(), p.clone())).collect::<Vec<_>>())
                }
                AlterClause::Modify(c, p) => format!("modify {} {p:?} {}", c.name, c.column_type.unsigned),
                AlterClause::Change(old, c, p) => format!("change {old} {} {p:?}", c.name),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(
            kinds,
            [
                r#"add [("a", Some(After("b")))]"#,
                r#"add [("c", None), ("d", None)]"#,
                r#"Drop("e")"#,
                "change f g Some(First)",
                "modify h None true",
                r#"RenameColumn("i", "j")"#,
                r#"Comment("hey")"#,
                r#"RenameTable(Name { database: None, table: "k" })"#,
            ]
        );
    }

    #[test]
    fn tables_are_created_with_keys_and_options() {
        let sql = "CREATE TABLE IF NOT EXISTS a.b (id int(11) NOT NULL AUTO_INCREMENT, `key` text, v int GENERATED ALWAYS \
             AS (id * 2) VIRTUAL, w int AS (id + 1) PERSISTENT, CONSTRAINT pk PRIMARY KEY USING BTREE (id, `key`(10) DESC), KEY k (v)) \
             ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_bin COMMENT='t' /*!50100 PARTITION BY KEY (id) */";
        let Statement::CreateTable { table, body, temporary: false, .. } = Statement::parse(sql) else { panic!() };
        assert_eq!((table.database.as_deref(), table.table.as_str()), (Some("a"), "b"));
        assert_eq!(body.primary_key, ["id", "key"]);
        assert_eq!(body.charset.as_deref(), Some("latin1"));
        assert_eq!(body.comment.as_deref(), Some("t"));
        let names: Vec<_> = body.columns.iter().map(|c| (c.name.as_str(), c.nullable, c.is_virtual)).collect();
        assert_eq!(names, [("id", false, false), ("key", true, false), ("v", true, true), ("w", true, false)]);
    }

    #[test]
    fn names_are_read_in_every_statement() {
        let name = |d: Option<&str>, t: &str| Name { database: d.map(Into::into), table: t.into() };
        assert_eq!(
            Statement::parse("RENAME TABLE a TO _a_del, `_a_gho` TO `d`.`a`"),
            Statement::RenameTables(vec![
                (name(None, "a"), name(None, "_a_del")),
                (name(None, "_a_gho"), name(Some("d"), "a"))
            ])
        );
        assert_eq!(
            Statement::parse("DROP TABLE IF EXISTS `x`, y.z /* generated by server */"),
            Statement::DropTables { tables: vec![name(None, "x"), name(Some("y"), "z")], temporary: false }
        );
        assert_eq!(Statement::parse("truncate t"), Statement::TruncateTable(name(None, "t")));
        assert_eq!(
            Statement::parse("SET STATEMENT max_statement_time=9 FOR TRUNCATE TABLE t"),
            Statement::TruncateTable(name(None, "t"))
        );
        assert_eq!(Statement::parse("INSERT INTO t VALUES (1)"), Statement::Other);
        assert_eq!(Statement::parse("CREATE VIEW v AS SELECT 1"), Statement::Other);
    }

    proptest::proptest! {
        #[test]
        fn no_statement_panics(words in proptest::collection::vec(proptest::sample::select(vec![
            "create", "table", "alter", "add", "column", "(", ")", ",", "`a`", "b", "int", "primary", "key", "first", "after",
            "change", "modify", "drop", "rename", "to", "like", "as", "select", "*", "from", "comment", "'x'", "enum", "default", "-", "1", "."
        ]), 0..30)) {
            let _ = Statement::parse(&words.join(" "));
        }
    }
}
