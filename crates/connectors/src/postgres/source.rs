//! The database as a source: what it captures, and where a capture begins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use starweir_engine::{CdcReader, CdcSource};
use starweir_formats::postgres::Types;
use starweir_model::{Clock, DataType, Error, Offset, Result, TableId, TableSchema};

use super::catalog::{self, Found, Slot, TableKey, check_identity, check_old_images, check_server};
use super::options::{Settings, Startup};
use super::publication;
use super::reader::{PostgresReader, ReaderParts};
use super::snapshot::{Snapshot, ToRead};
use super::state::{Contained, Saved, SavedTable};
use super::tables::Tables;
use super::wire::{Wire, damaged, literal, parse_lsn, quoted};

pub(super) struct PostgresSource {
    pub settings: Arc<Settings>,
    pub clock: Arc<dyn Clock>,
}

/// A snapshot of the server that readers can take up while its session lives.
struct Exported {
    /// Kept open until the readers have the snapshot.
    session: Wire,
    name: String,
}

/// Where a capture begins.
struct Begin {
    lsn: u64,
    tables: Vec<SavedTable>,
    contained: Option<Contained>,
    snapshot: Option<Exported>,
    finished: bool,
}

impl PostgresSource {
    fn none_found(&self) -> Error {
        self.settings.selection.none_found()
    }

    fn streams(&self) -> bool {
        self.settings.startup != Startup::Snapshot
    }

    /// Checks the server and finds the tables.
    async fn look(&self, wire: &mut Wire) -> Result<(Types, BTreeMap<TableKey, Found>, Option<Slot>)> {
        let version = wire.server_version();
        if version < 12 {
            return Err(Error::refused(format!("the server is PostgreSQL {version}; capturing needs 12 or newer")));
        }
        let slot = if self.streams() { catalog::slot(wire, &self.settings).await? } else { None };
        if self.streams() {
            check_server(wire, slot.is_none()).await?;
        }
        let types = catalog::types(wire).await?;
        let found = catalog::selected(wire, &self.settings, &types).await?;
        if self.streams() {
            for (key, found) in &found {
                check_identity(key, found)?;
                if self.settings.old_images {
                    check_old_images(key, found)?;
                }
            }
        }
        Ok((types, found, slot))
    }

    fn saved(&self, found: &BTreeMap<TableKey, Found>) -> Vec<SavedTable> {
        found
            .iter()
            .map(|((schema, name), found)| SavedTable {
                schema: schema.clone(),
                name: name.clone(),
                oid: found.oid,
                shape: found.shape.clone(),
                unread: self.settings.startup.has_snapshot(),
            })
            .collect()
    }

    /// A new slot; with `export`, its snapshot too.
    async fn create_slot(&self, export: bool) -> Result<(u64, Exported)> {
        let mut session = Wire::connect(&self.settings, true).await?;
        let sql = format!(
            "CREATE_REPLICATION_SLOT {} LOGICAL pgoutput {}",
            quoted(&self.settings.slot),
            if export { "EXPORT_SNAPSHOT" } else { "NOEXPORT_SNAPSHOT" }
        );
        let doing = || format!("create replication slot {}", self.settings.slot);
        let rows = session.query(&sql).await.map_err(|e| e.context(doing()))?;
        let row = rows.first().ok_or_else(damaged)?;
        let text = |i: usize| row.get(i).cloned().flatten().unwrap_or_default();
        let lsn = parse_lsn(&text(1))?;
        tracing::info!(slot = self.settings.slot, at = text(1), "the replication slot was created");
        Ok((lsn, Exported { session, name: text(2) }))
    }

    /// A snapshot of now, and the transactions it holds.
    async fn export(&self) -> Result<(Exported, Contained)> {
        let mut session = Wire::connect(&self.settings, false).await?;
        session.query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let rows = session
            .query("SELECT pg_export_snapshot(), txid_current_snapshot(), pg_current_wal_insert_lsn()")
            .await
            .map_err(|e| e.context("take a snapshot"))?;
        let row = rows.first().ok_or_else(damaged)?;
        let text = |i: usize| row.get(i).cloned().flatten().unwrap_or_default();
        let contained = Contained::parse(&text(1), parse_lsn(&text(2))?).ok_or_else(damaged)?;
        Ok((Exported { session, name: text(0) }, contained))
    }

    /// The tables as the snapshot sees them.
    async fn look_in(&self, name: &str, types: &Types, keys: &BTreeSet<TableKey>) -> Result<BTreeMap<TableKey, Found>> {
        let mut wire = Wire::connect(&self.settings, false).await?;
        let begin = format!(
            "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}",
            literal(name)
        );
        wire.query(&begin).await.map_err(|e| e.context("take the snapshot up"))?;
        let mut found = catalog::selected(&mut wire, &self.settings, types).await?;
        found.retain(|key, _| keys.contains(key));
        Ok(found)
    }

    /// Where a capture without state begins.
    async fn begin(
        &self,
        wire: &mut Wire,
        types: &Types,
        found: &mut BTreeMap<TableKey, Found>,
        slot: Option<Slot>,
    ) -> Result<Begin> {
        if found.is_empty() {
            return Err(self.none_found());
        }
        let settings = &self.settings;
        let keys: BTreeSet<TableKey> = found.keys().cloned().collect();
        if self.streams() {
            let list: Vec<TableKey> = keys.iter().cloned().collect();
            publication::ensure(wire, settings, &list).await?;
        }
        let (mut lsn, mut contained, mut snapshot) = (0, None, None);
        match (settings.startup, slot) {
            (Startup::Snapshot, _) => snapshot = Some(self.export().await?.0),
            (_, Some(slot)) if slot.active => {
                return Err(Error::unavailable(format!(
                    "replication slot {} is being read by somebody else",
                    settings.slot
                ))
                .with_hint("give each job a slot of its own in slot.name"));
            }
            (Startup::Initial, None) => {
                let (at, exported) = self.create_slot(true).await?;
                (lsn, snapshot) = (at, Some(exported));
            }
            (Startup::Initial, Some(slot)) => {
                let (exported, held) = self.export().await?;
                (lsn, snapshot, contained) = (slot.confirmed, Some(exported), Some(held));
            }
            (Startup::Latest, None) => lsn = self.create_slot(false).await?.0,
            (Startup::Latest, Some(_)) => {
                let rows = wire.query("SELECT pg_current_wal_lsn()").await?;
                let text = rows.first().and_then(|r| r.first()).cloned().flatten();
                lsn = parse_lsn(&text.ok_or_else(damaged)?)?;
            }
            (Startup::Committed, Some(slot)) => lsn = slot.confirmed,
            (Startup::Committed, None) => {
                return Err(Error::user(format!(
                    "there is no replication slot {}, and scan.startup.mode is committed-offset",
                    settings.slot
                ))
                .with_hint("use scan.startup.mode: initial, which creates it"));
            }
        }
        if let Some(exported) = &snapshot {
            *found = self.look_in(&exported.name, types, &keys).await?;
        }
        Ok(Begin { lsn, tables: self.saved(found), contained, snapshot, finished: false })
    }

    /// Where a saved state goes on.
    async fn resume(
        &self,
        wire: &mut Wire,
        mut saved: Saved,
        found: &BTreeMap<TableKey, Found>,
        slot: Option<Slot>,
    ) -> Result<Begin> {
        if self.streams() {
            let Some(slot) = slot else {
                return Err(Error::refused(format!(
                    "replication slot {} is gone: changes since the last epoch are missing",
                    self.settings.slot
                ))
                .with_hint("start again without the saved state; a snapshot is taken"));
            };
            if slot.confirmed > saved.lsn {
                return Err(Error::refused(format!(
                    "replication slot {} stands behind the saved place: somebody else has read from it, or the state \
                     is an older one",
                    self.settings.slot
                ))
                .with_hint("start again without the saved state; a snapshot is taken"));
            }
        }
        let known: BTreeSet<TableKey> = saved.tables.iter().map(|t| (t.schema.clone(), t.name.clone())).collect();
        let mut new = found.clone();
        new.retain(|key, _| !known.contains(key));
        if self.settings.new_tables && !new.is_empty() {
            if self.streams() {
                let all: Vec<TableKey> = known.iter().chain(new.keys()).cloned().collect();
                publication::ensure(wire, &self.settings, &all).await?;
            }
            saved.tables.extend(self.saved(&new));
        } else {
            for (schema, name) in new.keys() {
                tracing::warn!(
                    "table {schema}.{name} matches `tables` and is not captured: it was not there when the capture began; \
                     scan.newly-added-table.enabled takes it up"
                );
            }
        }
        let snapshot = if saved.tables.iter().any(|t| t.unread) { Some(self.export().await?.0) } else { None };
        Ok(Begin {
            lsn: saved.lsn,
            tables: saved.tables,
            contained: saved.contained,
            snapshot,
            finished: saved.finished,
        })
    }
}

#[async_trait]
impl CdcSource for PostgresSource {
    fn identity(&self) -> String {
        format!("postgres {}:{}/{}", self.settings.host, self.settings.port, self.settings.database)
    }

    fn is_bounded(&self) -> bool {
        self.settings.startup == Startup::Snapshot
    }

    fn metadata(&self) -> Vec<(String, DataType)> {
        self.settings.metadata.iter().map(|m| (m.name().to_owned(), m.data_type())).collect()
    }

    async fn discover(&self) -> Result<Vec<(TableId, TableSchema)>> {
        let mut wire = Wire::connect(&self.settings, false).await?;
        let (_, found, slot) = self.look(&mut wire).await?;
        if found.is_empty() {
            return Err(self.none_found());
        }
        if slot.is_some_and(|s| s.lost) {
            return Err(catalog::lost(&self.settings));
        }
        let schema = |found: &Found| found.shape.to_schema(self.settings.types);
        Ok(found.iter().map(|(key, f)| (self.settings.table_id(&key.0, &key.1), schema(f))).collect())
    }

    fn unread(&self, state: &Offset, tables: &[TableId]) -> Result<Offset> {
        let mut saved = Saved::read(state)?;
        for table in &mut saved.tables {
            if tables.contains(&self.settings.table_id(&table.schema, &table.name)) {
                table.unread = true;
                saved.finished = false;
            }
        }
        saved.write()
    }

    async fn open(&self, restored: Option<&Offset>) -> Result<Box<dyn CdcReader>> {
        let saved = restored.map(Saved::read).transpose()?;
        let mut wire = Wire::connect(&self.settings, false).await?;
        let (types, mut found, slot) = self.look(&mut wire).await?;
        if slot.as_ref().is_some_and(|s| s.lost) {
            return Err(catalog::lost(&self.settings));
        }
        let begin = match saved {
            Some(saved) => Box::pin(self.resume(&mut wire, saved, &found, slot)).await?,
            None => Box::pin(self.begin(&mut wire, &types, &mut found, slot)).await?,
        };
        let snapshot = match begin.snapshot {
            Some(exported) => {
                let to_read = begin
                    .tables
                    .iter()
                    .filter(|t| t.unread)
                    .map(|t| {
                        let key = (t.schema.clone(), t.name.clone());
                        let now = found.get(&key);
                        ToRead {
                            partitioned: now.is_some_and(|f| f.partitioned),
                            pages: now.map_or(0, |f| f.pages),
                            shape: t.shape.clone(),
                            key,
                        }
                    })
                    .collect();
                let snapshot = Box::pin(Snapshot::start(&self.settings, &exported.name, to_read)).await?;
                drop(exported.session);
                Some(snapshot)
            }
            None => None,
        };
        Ok(Box::new(PostgresReader::new(ReaderParts {
            settings: self.settings.clone(),
            clock: self.clock.clone(),
            types,
            tables: Tables::new(self.settings.clone(), begin.tables),
            snapshot,
            contained: begin.contained,
            lsn: begin.lsn,
            finished: begin.finished,
        })))
    }
}
