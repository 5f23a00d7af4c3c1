//! The server's tables, types and slots, from its catalog.

use std::collections::{BTreeMap, HashMap};

use starweir_formats::postgres::{Column, Shape, TypeRow, Types};
use starweir_model::{Error, Result};

use super::options::Settings;
use super::wire::{Row, Wire, damaged, literal, parse_lsn};

/// Schema and name.
pub(super) type TableKey = (String, String);

/// A table as it is now.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub oid: u32,
    /// A partitioned table: its rows are in its partitions.
    pub partitioned: bool,
    /// `pg_class.relreplident`.
    pub identity: u8,
    /// Columns of the index that is the replica identity.
    pub identity_columns: Vec<String>,
    pub pages: u64,
    pub shape: Shape,
}

fn text(row: &Row, column: usize) -> &str {
    row.get(column).and_then(Option::as_deref).unwrap_or_default()
}

fn number<T: std::str::FromStr>(row: &Row, column: usize) -> Result<T> {
    text(row, column).parse().map_err(|_| damaged())
}

fn optional(row: &Row, column: usize) -> Option<String> {
    row.get(column).cloned().flatten().filter(|t| !t.is_empty())
}

/// Types that not every server has.
pub(super) async fn types(wire: &mut Wire) -> Result<Types> {
    let sql = "SELECT oid, typname, typbasetype, typtypmod, CASE WHEN typcategory = 'A' THEN typelem ELSE 0 END \
         FROM pg_catalog.pg_type WHERE oid >= 16384 AND typtype IN ('b', 'd', 'e')";
    let mut types = Types::default();
    for row in wire.query(sql).await.map_err(|e| e.context("read the server's types"))? {
        let base_modifier = number(&row, 3)?;
        let type_row = TypeRow {
            name: text(&row, 1).to_owned(),
            base: number(&row, 2)?,
            base_modifier,
            element: number(&row, 4)?,
        };
        types.insert(number(&row, 0)?, type_row);
    }
    Ok(types)
}

/// All tables that the options name.
pub(super) async fn selected(wire: &mut Wire, settings: &Settings, types: &Types) -> Result<BTreeMap<TableKey, Found>> {
    let sql = "SELECT n.nspname, c.relname, c.oid, c.relkind, c.relreplident, greatest(c.relpages, 0), \
         pg_catalog.obj_description(c.oid, 'pg_class') \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p' \
         AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'";
    let rows = wire.query(sql).await.map_err(|e| e.context("list the tables"))?;
    let mut found = HashMap::new();
    for row in &rows {
        let key = (text(row, 0).to_owned(), text(row, 1).to_owned());
        if settings.selects(&key.0, &key.1) {
            found.insert(number::<u32>(row, 2)?, (key, table(row)?));
        }
    }
    let oids: Vec<u32> = found.keys().copied().collect();
    for some in oids.chunks(500) {
        fill(wire, types, some, &mut found).await?;
    }
    Ok(found.into_values().collect())
}

/// A table by its number; None when it is gone.
pub(super) async fn one(wire: &mut Wire, types: &Types, oid: u32) -> Result<Option<Found>> {
    let sql = format!(
        "SELECT n.nspname, c.relname, c.oid, c.relkind, c.relreplident, 0, \
         pg_catalog.obj_description(c.oid, 'pg_class') \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = {oid}"
    );
    let rows = wire.query(&sql).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut found = HashMap::from([(oid, ((text(row, 0).to_owned(), text(row, 1).to_owned()), table(row)?))]);
    fill(wire, types, &[oid], &mut found).await?;
    Ok(found.remove(&oid).map(|(_, found)| found))
}

fn table(row: &Row) -> Result<Found> {
    Ok(Found {
        oid: number(row, 2)?,
        partitioned: text(row, 3) == "p",
        identity: text(row, 4).bytes().next().unwrap_or(b'd'),
        identity_columns: Vec::new(),
        pages: number(row, 5)?,
        shape: Shape { comment: optional(row, 6), ..Shape::default() },
    })
}

async fn fill(wire: &mut Wire, types: &Types, oids: &[u32], found: &mut HashMap<u32, (TableKey, Found)>) -> Result<()> {
    let list = oids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    // Generated columns are not in the stream.
    let sql = format!(
        "SELECT a.attrelid, a.attname, a.attnum, a.atttypid, a.atttypmod, a.attnotnull, \
         pg_catalog.pg_get_expr(d.adbin, d.adrelid), pg_catalog.col_description(a.attrelid, a.attnum) \
         FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE a.attrelid IN ({list}) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' \
         ORDER BY a.attrelid, a.attnum"
    );
    for row in wire.query(&sql).await? {
        let Some((_, found)) = found.get_mut(&number(&row, 0)?) else { continue };
        let (type_oid, type_modifier) = (number(&row, 3)?, number(&row, 4)?);
        found.shape.columns.push(Column {
            name: text(&row, 1).to_owned(),
            number: number(&row, 2)?,
            type_oid,
            type_modifier,
            kind: types.resolve(type_oid, type_modifier),
            not_null: text(&row, 5) == "t",
            comment: optional(&row, 7),
            default: optional(&row, 6).and_then(|expression| plain_default(&expression)),
        });
    }
    let sql = format!(
        "SELECT i.indrelid, a.attname, i.indisprimary, i.indisreplident FROM pg_catalog.pg_index i \
         CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY k(attnum, place) \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
         WHERE i.indrelid IN ({list}) AND (i.indisprimary OR i.indisreplident) AND k.place <= i.indnkeyatts \
         ORDER BY i.indrelid, k.place"
    );
    for row in wire.query(&sql).await? {
        let Some((_, found)) = found.get_mut(&number(&row, 0)?) else { continue };
        if text(&row, 2) == "t" {
            found.shape.primary_key.push(text(&row, 1).to_owned());
        }
        if text(&row, 3) == "t" {
            found.identity_columns.push(text(&row, 1).to_owned());
        }
    }
    Ok(())
}

/// The value of a default that is a plain literal (`'a'::text`, `5`, `true`); None for every other expression.
fn plain_default(expression: &str) -> Option<String> {
    if let Some(rest) = expression.strip_prefix('\'') {
        let end = rest.rfind('\'')?;
        let (value, after) = (&rest[..end], &rest[end + 1..]);
        let is_plain = after.is_empty() || after.starts_with("::");
        let is_one = !value.replace("\'\'", "").contains('\'');
        return (is_plain && is_one).then(|| value.replace("\'\'", "\'"));
    }
    let number = expression.strip_prefix('-').unwrap_or(expression);
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    (is_number || matches!(expression, "true" | "false")).then(|| expression.to_owned())
}

/// Whether deletes and updates of the table can be followed; the message says what to do when not.
pub(super) fn check_identity(key: &TableKey, found: &Found) -> Result<()> {
    let refused = |why: &str| {
        Err(Error::refused(format!("table {}.{} cannot be captured: {why}", key.0, key.1)).with_hint(format!(
            "ALTER TABLE {}.{} REPLICA IDENTITY FULL, or leave it out of the tables to capture",
            key.0, key.1
        )))
    };
    match found.identity {
        b'f' => Ok(()),
        b'd' if !found.shape.primary_key.is_empty() => Ok(()),
        b'd' => refused("it has no primary key, and with it no replica identity"),
        b'i' if found.shape.primary_key.is_empty()
            || found.shape.primary_key.iter().all(|c| found.identity_columns.contains(c)) =>
        {
            Ok(())
        }
        b'i' => refused("the index that is its replica identity does not have all columns of its primary key"),
        _ => refused("its replica identity is NOTHING"),
    }
}

/// Whether updates and deletes of the table come with their whole old rows.
pub(super) fn check_old_images(key: &TableKey, found: &Found) -> Result<()> {
    if found.identity == b'f' {
        return Ok(());
    }
    let table = format!("{}.{}", key.0, key.1);
    Err(Error::refused(format!("updates and deletes of table {table} come without their old rows")).with_hint(format!(
        "ALTER TABLE {table} REPLICA IDENTITY FULL, or set 'changelog-mode' = 'upsert', which needs the key alone"
    )))
}

/// A replication slot.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub confirmed: u64,
    pub active: bool,
    pub lost: bool,
}

/// The slot of the options; None when there is none.
pub(super) async fn slot(wire: &mut Wire, settings: &Settings) -> Result<Option<Slot>> {
    let status = if wire.server_version() >= 13 { "wal_status" } else { "'reserved'" };
    let sql = format!(
        "SELECT plugin, database, confirmed_flush_lsn, active, {status} FROM pg_catalog.pg_replication_slots \
         WHERE slot_name = {}",
        literal(&settings.slot)
    );
    let rows = wire.query(&sql).await.map_err(|e| e.context("look the replication slot up"))?;
    let Some(row) = rows.first() else { return Ok(None) };
    let other = |why: String| {
        Error::refused(format!("replication slot {} {why}", settings.slot))
            .with_hint("give the job a slot of its own in slot.name; it is created when there is none")
    };
    if text(row, 0) != "pgoutput" {
        return Err(other(format!("is of the plugin '{}' and not of pgoutput", text(row, 0))));
    }
    if text(row, 1) != settings.database {
        return Err(other(format!("is of database {}", text(row, 1))));
    }
    let lost = text(row, 4) == "lost";
    let confirmed = if lost { 0 } else { parse_lsn(text(row, 2))? };
    Ok(Some(Slot { confirmed, active: text(row, 3) == "t", lost }))
}

pub(super) fn lost(settings: &Settings) -> Error {
    Error::refused(format!(
        "the server has removed WAL that replication slot {} still needed: changes are missing",
        settings.slot
    ))
    .with_hint(format!(
        "SELECT pg_drop_replication_slot('{}'), start again with a snapshot, and raise max_slot_wal_keep_size",
        settings.slot
    ))
}

/// What the server must allow for a new slot.
pub(super) async fn check_server(wire: &mut Wire, needs_slot: bool) -> Result<()> {
    let sql = "SELECT current_setting('wal_level'), current_setting('max_replication_slots'), \
         (SELECT count(*) FROM pg_catalog.pg_replication_slots), \
         (SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user), current_user";
    let rows = wire.query(sql).await.map_err(|e| e.context("check the server's settings"))?;
    let row = rows.first().ok_or_else(damaged)?;
    if text(row, 0) != "logical" {
        return Err(Error::refused(format!(
            "the server's wal_level is '{}', and capturing needs 'logical'",
            text(row, 0)
        ))
        .with_hint("set wal_level = logical in postgresql.conf and restart the server"));
    }
    if text(row, 3) != "t" {
        return Err(Error::refused(format!("user {} may not read changes", text(row, 4)))
            .with_hint(format!("ALTER ROLE {} REPLICATION", text(row, 4))));
    }
    if needs_slot && number::<u32>(row, 2)? >= number::<u32>(row, 1)? {
        return Err(Error::refused(format!("all {} replication slots of the server are taken", text(row, 1)))
            .with_hint("raise max_replication_slots, or drop a slot that is no longer used: SELECT * FROM pg_replication_slots"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_literals_are_defaults() {
        for (expression, expected) in [
            ("5", Some("5")),
            ("-1.5", Some("-1.5")),
            ("true", Some("true")),
            ("'it''s'::text", Some("it's")),
            ("''::character varying", Some("")),
            ("nextval('t_id_seq'::regclass)", None),
            ("'a'::text || 'b'::text", None),
            ("now()", None),
            ("NULL::integer", None),
        ] {
            assert_eq!(plain_default(expression).as_deref(), expected, "{expression}");
        }
    }
}
