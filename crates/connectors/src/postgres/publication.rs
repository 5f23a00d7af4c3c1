//! The publication: found, created for the captured tables alone, or completed.

use std::collections::BTreeSet;

use starweir_model::{Error, Result};

use super::catalog::TableKey;
use super::options::Settings;
use super::wire::{Wire, literal, quoted};

/// Makes sure that the publication has all of the tables. Tables that others added stay.
pub(super) async fn ensure(wire: &mut Wire, settings: &Settings, tables: &[TableKey]) -> Result<()> {
    let name = &settings.publication;
    let sql = format!(
        "SELECT pubinsert AND pubupdate AND pubdelete FROM pg_catalog.pg_publication WHERE pubname = {}",
        literal(name)
    );
    let rows = wire.query(&sql).await.map_err(|e| e.context("look the publication up"))?;
    let list = |tables: &[&TableKey]| {
        tables
            .iter()
            .map(|(schema, table)| format!("{}.{}", quoted(schema), quoted(table)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let Some(row) = rows.first() else {
        let root = if wire.server_version() >= 13 { " WITH (publish_via_partition_root = true)" } else { "" };
        let all: Vec<&TableKey> = tables.iter().collect();
        let create = format!("CREATE PUBLICATION {} FOR TABLE {}{root}", quoted(name), list(&all));
        return run(wire, settings, &create, "there is no publication").await;
    };
    if row.first().cloned().flatten().as_deref() != Some("t") {
        return Err(Error::refused(format!("publication {name} does not publish inserts, updates and deletes"))
            .with_hint(format!(
                "ALTER PUBLICATION {} SET (publish = 'insert, update, delete, truncate')",
                quoted(name)
            )));
    }
    let sql =
        format!("SELECT schemaname, tablename FROM pg_catalog.pg_publication_tables WHERE pubname = {}", literal(name));
    let published: BTreeSet<TableKey> = wire
        .query(&sql)
        .await?
        .into_iter()
        .map(|row| {
            let mut texts = row.into_iter().map(Option::unwrap_or_default);
            (texts.next().unwrap_or_default(), texts.next().unwrap_or_default())
        })
        .collect();
    let missing: Vec<&TableKey> = tables.iter().filter(|key| !published.contains(*key)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let alter = format!("ALTER PUBLICATION {} ADD TABLE {}", quoted(name), list(&missing));
    run(wire, settings, &alter, "captured tables are missing in the publication").await
}

async fn run(wire: &mut Wire, settings: &Settings, statement: &str, why: &str) -> Result<()> {
    let to_do = || format!("let an owner of the tables run: {statement}");
    if !settings.manage_publication {
        let message = format!("{why} {}, and publication.autocreate.mode is disabled", settings.publication);
        return Err(Error::refused(message).with_hint(to_do()));
    }
    tracing::info!(statement, "the publication is prepared");
    match wire.query(statement).await {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(Error::new(error.kind, format!("{why} {}, and it could not be changed", settings.publication))
                .with_source(error)
                .with_hint(to_do()))
        }
    }
}
