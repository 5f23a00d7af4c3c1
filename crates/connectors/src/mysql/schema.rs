//! The tables of the server, from information_schema.

use std::collections::BTreeMap;

use mysql_async::{Conn, Row};
use starweir_formats::mysql::column::{charset_of_collation, default_from_text};
use starweir_formats::mysql::{Column, MySqlType, Table, TableKey};
use starweir_model::Result;

use super::connect::{optional_text, rows, text};
use super::options::{Settings, is_system};
use super::server::Server;

/// Quotes a text for a statement.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Quotes a name for a statement.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// All tables that the options name, with their shapes.
pub async fn selected_tables(
    conn: &mut Conn,
    server: &Server,
    settings: &Settings,
) -> Result<BTreeMap<TableKey, Table>> {
    let sql = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')";
    let names: Vec<TableKey> = rows(conn, sql)
        .await
        .map_err(|e| e.context("list the tables"))?
        .iter()
        .map(|r| (text(r, 0), text(r, 1)))
        .filter(|(database, table)| !is_system(database) && settings.selects(database, table))
        .collect();
    let mut by_database: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (database, table) in names {
        by_database.entry(database).or_default().push(table);
    }
    let mut found = BTreeMap::new();
    for (database, tables) in by_database {
        for some in tables.chunks(500) {
            load(conn, server, &database, some, &mut found).await?;
        }
    }
    Ok(found)
}

/// One table as it is now; None when it is not there.
pub async fn one_table(conn: &mut Conn, server: &Server, key: &TableKey) -> Result<Option<Table>> {
    let mut found = BTreeMap::new();
    load(conn, server, &key.0, std::slice::from_ref(&key.1), &mut found).await?;
    Ok(found.remove(key))
}

async fn load(
    conn: &mut Conn,
    server: &Server,
    database: &str,
    tables: &[String],
    out: &mut BTreeMap<TableKey, Table>,
) -> Result<()> {
    let names = tables.iter().map(|t| literal(t)).collect::<Vec<_>>().join(", ");
    let which = format!("WHERE TABLE_SCHEMA = {} AND TABLE_NAME IN ({names})", literal(database));
    let key = |row: &Row| (database.to_owned(), text(row, 0));

    let sql = format!("SELECT TABLE_NAME, TABLE_COMMENT, TABLE_COLLATION FROM information_schema.TABLES {which}");
    for row in rows(conn, &sql).await? {
        let table = Table {
            comment: optional_text(&row, 1).filter(|c| !c.is_empty()),
            charset: optional_text(&row, 2).map(|c| charset_of_collation(&c).to_owned()),
            ..Table::default()
        };
        out.insert(key(&row), table);
    }

    let sql = format!(
        "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA, COLUMN_COMMENT, \
         CHARACTER_SET_NAME FROM information_schema.COLUMNS {which} ORDER BY TABLE_NAME, ORDINAL_POSITION"
    );
    for row in rows(conn, &sql).await? {
        if let Some(found) = out.get_mut(&key(&row)) {
            found.columns.push(column(server, &row));
        }
    }

    let sql = format!(
        "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.STATISTICS {which} AND INDEX_NAME = 'PRIMARY' \
         ORDER BY TABLE_NAME, SEQ_IN_INDEX"
    );
    for row in rows(conn, &sql).await? {
        if let Some(found) = out.get_mut(&key(&row)) {
            let mut name = text(&row, 1);
            if server.lower_case_names {
                name = name.to_lowercase();
            }
            found.primary_key.push(name);
        }
    }
    Ok(())
}

fn column(server: &Server, row: &Row) -> Column {
    let mut name = text(row, 1);
    if server.lower_case_names {
        name = name.to_lowercase();
    }
    let extra = text(row, 5).to_ascii_lowercase();
    let mut column = Column::new(name, MySqlType::parse(&text(row, 2)));
    if column.column_type.charset.is_none() {
        column.column_type.charset = optional_text(row, 7);
    }
    column.nullable = text(row, 3) == "YES";
    column.auto_increment = extra.contains("auto_increment");
    column.is_virtual = extra.contains("virtual generated");
    column.comment = optional_text(row, 6).filter(|c| !c.is_empty());
    column.default = optional_text(row, 4).and_then(|text| {
        // MariaDB writes an expression; MySQL the text itself, and says when it is an expression.
        let is_now = text.to_ascii_lowercase().starts_with("current_timestamp");
        if server.mariadb || is_now || text.starts_with("b'") {
            default_from_text(&text)
        } else if extra.contains("default_generated") {
            None
        } else {
            Some(text)
        }
    });
    column
}

/// Foreign keys of captured tables whose deletes and updates cascade: MariaDB does not log what they do to the child.
pub async fn cascading(conn: &mut Conn, captured: &(dyn Fn(&str, &str) -> bool + Sync)) -> Result<Vec<String>> {
    let sql = "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS \
         WHERE DELETE_RULE IN ('CASCADE', 'SET NULL') OR UPDATE_RULE IN ('CASCADE', 'SET NULL')";
    let found = rows(conn, sql).await?;
    Ok(found
        .iter()
        .filter(|r| captured(&text(r, 0), &text(r, 1)))
        .map(|r| format!("{}.{} ({})", text(r, 0), text(r, 1), text(r, 2)))
        .collect())
}
