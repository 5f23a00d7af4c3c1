//! A running capture: the snapshot's rows first, then the stream's changes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use starweir_engine::{CaptureLag, CdcEvent, CdcPolled, CdcReader, TableProgress};
use starweir_formats::postgres::pgoutput::{Field, Message, OldKind, Relation};
use starweir_formats::postgres::{Column, Shape, Types, changes};
use starweir_model::{Clock, Error, Offset, Result, RowKind, SchemaChange};

use super::catalog;
use super::health::Health;
use super::options::{Settings, Startup};
use super::pump::{EPOCH_MS, Item, Pump};
use super::snapshot::{Part, Snapshot};
use super::state::{Contained, Saved};
use super::tables::Tables;
use super::wire::{Wire, damaged, lsn_text};

/// A poll returns when so much is gathered.
const POLL_BYTES: usize = 4 << 20;
const POLL_ROWS: usize = 32_768;
/// A transaction that is under way then is read on to its end, unless it is so many times larger.
const TRANSACTION_POLLS: usize = 4;
/// So long the rest of a transaction is waited for, each time that nothing more of it has come.
const REST_WAIT: Duration = Duration::from_millis(50);

/// A table of the stream, as it was last described.
struct Bound {
    relation: Relation,
    /// None for a table that is not captured.
    table: Option<usize>,
    /// The table's shape is known to be the described one.
    current: bool,
}

/// The transaction being read.
struct Transaction {
    time_ms: i64,
    /// It was given out before, or the snapshot holds it.
    skip: bool,
}

pub(super) struct ReaderParts {
    pub settings: Arc<Settings>,
    pub clock: Arc<dyn Clock>,
    pub types: Types,
    pub tables: Tables,
    pub snapshot: Option<Snapshot>,
    pub contained: Option<Contained>,
    pub lsn: u64,
    pub finished: bool,
}

pub(super) struct PostgresReader {
    settings: Arc<Settings>,
    clock: Arc<dyn Clock>,
    types: Types,
    tables: Tables,
    snapshot: Option<Snapshot>,
    pump: Option<Pump>,
    health: Option<Health>,
    contained: Option<Contained>,
    relations: HashMap<u32, Bound>,
    inbox: VecDeque<Item>,
    out: Vec<CdcEvent>,
    bytes: u64,
    /// Everything committed before was given out.
    lsn: u64,
    /// What was committed before this reader began.
    begun_at: u64,
    transaction: Option<Transaction>,
    /// The state before the change of a table's shape that waits in `out`.
    state_before: Option<Offset>,
    /// The state before the first change of a shape in this transaction.
    transaction_state: Option<Offset>,
    /// For questions about tables.
    wire: Option<Wire>,
    lag_ms: Option<u64>,
    finished: bool,
}

impl PostgresReader {
    pub fn new(parts: ReaderParts) -> Self {
        let mut reader = Self {
            health: (parts.settings.startup != Startup::Snapshot).then(|| Health::watch(parts.settings.clone())),
            settings: parts.settings,
            clock: parts.clock,
            types: parts.types,
            tables: parts.tables,
            snapshot: parts.snapshot,
            pump: None,
            contained: parts.contained,
            relations: HashMap::new(),
            inbox: VecDeque::new(),
            out: Vec::new(),
            bytes: 0,
            lsn: parts.lsn,
            begun_at: parts.lsn,
            transaction: None,
            state_before: None,
            transaction_state: None,
            wire: None,
            lag_ms: None,
            finished: parts.finished,
        };
        reader.finished |= reader.settings.startup == Startup::Snapshot && reader.snapshot.is_none();
        reader.tables.announce(&mut reader.out);
        reader
    }

    /// Handles one item of the stream. Some when a table has to be looked up first.
    fn handle(&mut self, item: &Item) -> Result<Option<u32>> {
        let bytes = match item {
            Item::Alive(end) => {
                if self.transaction.is_none() {
                    self.lsn = self.lsn.max(*end);
                }
                return Ok(None);
            }
            Item::Message(bytes) => bytes,
        };
        match Message::parse(bytes).map_err(|_| damaged())? {
            Message::Begin { final_lsn, commit_time, xid } => {
                if self.contained.as_ref().is_some_and(|c| final_lsn >= c.until) {
                    self.contained = None;
                }
                let skip =
                    final_lsn < self.begun_at || self.contained.as_ref().is_some_and(|c| c.holds(xid, final_lsn));
                self.transaction_state = None;
                self.transaction = Some(Transaction { time_ms: commit_time.div_euclid(1000) + EPOCH_MS, skip });
            }
            Message::Commit { end_lsn, .. } => {
                self.lsn = self.lsn.max(end_lsn);
                self.transaction_state = None;
                if let Some(transaction) = self.transaction.take() {
                    self.lag_ms = Some(u64::try_from(self.clock.now_ms() - transaction.time_ms).unwrap_or(0));
                }
            }
            Message::Relation(relation) => self.describe(relation)?,
            Message::Insert { relation, new } => {
                return self.change(relation, |batch| batch.push(RowKind::Insert, new.fields(), None));
            }
            Message::Update { relation, old, new } => {
                return self.change(relation, |batch| match old {
                    // The key has changed; of the old row there is nothing but it.
                    Some((OldKind::Key, old)) => {
                        batch.push(RowKind::Delete, old.fields(), None)?;
                        batch.push(RowKind::Insert, new.fields(), None)
                    }
                    Some((OldKind::Full, old)) => {
                        let old: Vec<Field<'_>> = old.fields().collect();
                        batch.push(RowKind::UpdateBefore, old.iter().copied(), None)?;
                        batch.push(RowKind::UpdateAfter, new.fields(), Some(&old))
                    }
                    None => batch.push(RowKind::UpdateAfter, new.fields(), None),
                });
            }
            Message::Delete { relation, old, .. } => {
                return self.change(relation, |batch| batch.push(RowKind::Delete, old.fields(), None));
            }
            Message::Truncate { relations } => self.truncate(&relations)?,
            Message::Origin | Message::Type { .. } | Message::Logical { .. } => {}
        }
        Ok(None)
    }

    fn describe(&mut self, relation: Relation) -> Result<()> {
        let key = (relation.schema.clone(), relation.name.clone());
        let table = self.tables.index(&key);
        if table.is_none()
            && let Some(known) = self.tables.all.iter().find(|t| t.oid == relation.id)
        {
            return Err(Error::data(format!("table {} was renamed to {}.{}", known.id, key.0, key.1))
                .with_hint("name the new table in `tables` and start again with a snapshot, or rename it back"));
        }
        self.relations.insert(relation.id, Bound { relation, table, current: false });
        Ok(())
    }

    /// Adds a change to its table's rows, if the table is captured and the shape is known.
    fn change(
        &mut self,
        relation: u32,
        append: impl FnOnce(&mut starweir_formats::postgres::RowBatch) -> Result<()>,
    ) -> Result<Option<u32>> {
        let bound = self.relations.get_mut(&relation).ok_or_else(damaged)?;
        let transaction = self.transaction.as_ref().ok_or_else(damaged)?;
        let Some(index) = bound.table.filter(|_| !transaction.skip) else { return Ok(None) };
        if !bound.current {
            let Some(table) = self.tables.all.get(index) else { return Ok(None) };
            if table.oid != relation || !is_described(&bound.relation, &table.shape) {
                return Ok(Some(relation));
            }
            bound.current = true;
        }
        self.tables.gather(index, transaction.time_ms, append)?;
        Ok(None)
    }

    fn truncate(&mut self, relations: &[u32]) -> Result<()> {
        if self.transaction.as_ref().is_none_or(|t| t.skip) {
            return Ok(());
        }
        let tables: Vec<usize> =
            relations.iter().filter_map(|id| self.relations.get(id).and_then(|b| b.table)).collect();
        for index in tables {
            let Some(id) = self.tables.all.get(index).map(|t| t.id.clone()) else { continue };
            if !self.settings.schema_changes {
                tracing::warn!(table = %id, "TRUNCATE is not handed on: schema-change.enabled is false");
                continue;
            }
            self.put_changes(vec![SchemaChange::TruncateTable { table: id }])?;
        }
        Ok(())
    }

    /// Gives out what was gathered, then the changes.
    fn put_changes(&mut self, changes: Vec<SchemaChange>) -> Result<()> {
        self.tables.flush_all(&mut self.out)?;
        self.note_state()?;
        self.out.extend(changes.into_iter().map(CdcEvent::Schema));
        Ok(())
    }

    /// Notes the state as of the last boundary, before a shape changes.
    fn note_state(&mut self) -> Result<()> {
        if self.transaction_state.is_none() {
            self.transaction_state = Some(self.state()?);
        }
        if self.state_before.is_none() {
            self.state_before.clone_from(&self.transaction_state);
        }
        Ok(())
    }

    /// Finds out what has changed about a table that the stream describes otherwise than we know it.
    async fn look_up(&mut self, relation: u32) -> Result<()> {
        let Some(bound) = self.relations.get(&relation) else { return Ok(()) };
        let Some(index) = bound.table else { return Ok(()) };
        let described = bound.relation.clone();
        let doing = || format!("look table {}.{} up", described.schema, described.name);
        let mut wire = match self.wire.take() {
            Some(wire) => wire,
            None => Wire::connect(&self.settings, false).await.map_err(|e| e.context(doing()))?,
        };
        if described.columns.iter().any(|c| !self.types.knows(c.type_oid)) {
            self.types = catalog::types(&mut wire).await?;
        }
        let now = catalog::one(&mut wire, &self.types, relation).await.map_err(|e| e.context(doing()))?;
        self.wire = Some(wire);
        let Some(table) = self.tables.all.get(index) else { return Ok(()) };
        let mut before = table.shape.clone();
        let id = table.id.clone();
        let mut found = Vec::new();
        if table.oid != relation {
            // Another table of the same name: numbers of columns mean nothing, and the old rows are gone.
            before.columns.iter_mut().for_each(|c| c.number = 0);
            found.push(SchemaChange::TruncateTable { table: id.clone() });
        }
        let shape = as_described(&described, &before, now.map(|n| n.shape), &self.types);
        found.extend(changes(&id, &before, &shape, self.settings.types));
        if self.settings.schema_changes && !found.is_empty() {
            self.put_changes(found)?;
        } else {
            self.tables.flush_all(&mut self.out)?;
            self.note_state()?;
        }
        self.tables.reshape(index, relation, shape);
        if let Some(bound) = self.relations.get_mut(&relation) {
            bound.current = true;
        }
        Ok(())
    }

    fn take_part(&mut self, part: Part) -> Result<()> {
        match part {
            Part::Rows { table, changes, bytes } => {
                self.bytes += bytes;
                if let Some(index) = self.tables.index(&table) {
                    let op_ts = vec![0; changes.rows()];
                    self.tables.give(index, changes, &op_ts, &mut self.out)?;
                }
            }
            Part::Done { table } => {
                let Some(snapshot) = &self.snapshot else { return Ok(()) };
                if snapshot.is_complete(&table)
                    && let Some(index) = self.tables.index(&table)
                    && let Some(captured) = self.tables.all.get_mut(index)
                {
                    captured.unread = false;
                    tracing::info!(table = %captured.id, "the snapshot of the table is complete");
                }
                if snapshot.is_done() {
                    self.snapshot = None;
                    self.finished |= self.settings.startup == Startup::Snapshot;
                }
            }
        }
        Ok(())
    }

    /// Enough for one poll. It goes on to the end of a transaction that is not too large: inside of one no epoch can end,
    /// and where there is always more to read, every poll would end there.
    fn is_full(&self) -> bool {
        let times = if self.transaction.is_some() { TRANSACTION_POLLS } else { 1 };
        self.state_before.is_some()
            || self.tables.rows_gathered >= times * POLL_ROWS
            || self.tables.bytes_gathered >= times * POLL_BYTES
            || self.bytes >= (4 * times * POLL_BYTES) as u64
    }

    /// Between transactions, with something to give, and after the time that a poll may take.
    fn is_late(&self, deadline: tokio::time::Instant) -> bool {
        self.transaction.is_none() && self.has_something() && tokio::time::Instant::now() >= deadline
    }

    fn has_something(&self) -> bool {
        !self.out.is_empty() || self.tables.rows_gathered > 0
    }
}

/// Whether the stream describes the table as we know it.
fn is_described(relation: &Relation, shape: &Shape) -> bool {
    relation.columns.len() == shape.columns.len()
        && relation.columns.iter().zip(&shape.columns).all(|(described, known)| {
            described.name == known.name
                && described.type_oid == known.type_oid
                && described.type_modifier == known.type_modifier
        })
}

/// The shape that a description gives: names and types are its own; numbers, comments and defaults come from the
/// catalog, which may be ahead of the stream, or else from what is known.
fn as_described(relation: &Relation, before: &Shape, now: Option<Shape>, types: &Types) -> Shape {
    let now = now.unwrap_or_default();
    let mut columns: Vec<Column> = Vec::with_capacity(relation.columns.len());
    for described in &relation.columns {
        let of = |shape: &Shape| shape.columns.iter().find(|c| c.name == described.name).cloned();
        let is_like = |c: &Column| c.type_oid == described.type_oid && c.type_modifier == described.type_modifier;
        let last = columns.last().map_or(0, |c| c.number);
        let known = match (of(before), of(&now)) {
            // A column of this name was dropped and another added, before or after what is described here. Columns
            // come in the order of their numbers, and the newer one has the higher.
            (Some(old), Some(new)) if old.number != new.number => {
                let is_new = old.number <= last || (!is_like(&old) && is_like(&new));
                Some(if is_new { new } else { old })
            }
            (old, new) => new.or(old),
        };
        columns.push(Column {
            name: described.name.clone(),
            number: known.as_ref().map_or(0, |k| k.number),
            type_oid: described.type_oid,
            type_modifier: described.type_modifier,
            kind: types.resolve(described.type_oid, described.type_modifier),
            not_null: known.as_ref().is_some_and(|k| k.not_null),
            comment: known.as_ref().and_then(|k| k.comment.clone()),
            default: known.and_then(|k| k.default),
        });
    }
    let has_all = |key: &[String]| !key.is_empty() && key.iter().all(|k| columns.iter().any(|c| c.name == *k));
    let primary_key = if has_all(&now.primary_key) {
        now.primary_key
    } else if relation.identity == b'd' {
        relation.columns.iter().filter(|c| c.is_key).map(|c| c.name.clone()).collect()
    } else if has_all(&before.primary_key) {
        before.primary_key.clone()
    } else {
        Vec::new()
    };
    Shape { columns, primary_key, comment: now.comment.or_else(|| before.comment.clone()) }
}

#[async_trait]
impl CdcReader for PostgresReader {
    async fn poll(&mut self, wait: Duration) -> Result<CdcPolled> {
        let deadline = tokio::time::Instant::now() + wait;
        let mut unknown: Option<u32> = None;
        loop {
            if let Some(relation) = unknown.take() {
                // The message waits in the inbox; a cancelled look-up is begun again with it.
                self.look_up(relation).await?;
            }
            if self.health.as_ref().is_some_and(Health::is_lost) {
                return Err(catalog::lost(&self.settings));
            }
            if self.finished || self.is_full() || self.is_late(deadline) {
                break;
            }
            if let Some(snapshot) = &mut self.snapshot {
                if !self.out.is_empty() {
                    break;
                }
                tokio::select! {
                    part = snapshot.next() => self.take_part(part?)?,
                    () = tokio::time::sleep_until(deadline) => break,
                }
                continue;
            }
            // The rest of a transaction is on its way.
            let gives = self.has_something() && self.transaction.is_none();
            let pump = match &mut self.pump {
                Some(pump) => pump,
                None => self.pump.insert(Box::pin(Pump::start(&self.settings, &self.clock, self.lsn)).await?),
            };
            if self.inbox.is_empty() {
                pump.ready(&mut self.inbox)?;
            }
            if self.inbox.is_empty() {
                if gives {
                    break;
                }
                let until = match self.transaction {
                    Some(_) => deadline.max(tokio::time::Instant::now() + REST_WAIT),
                    None => deadline,
                };
                tokio::select! {
                    result = pump.next(&mut self.inbox) => result?,
                    () = tokio::time::sleep_until(until) => break,
                }
                continue;
            }
            while let Some(item) = self.inbox.pop_front() {
                unknown = self.handle(&item)?;
                if unknown.is_some() {
                    self.inbox.push_front(item);
                    break;
                }
                if let Item::Message(bytes) = &item {
                    self.bytes += bytes.len() as u64;
                }
                if self.is_full() || self.is_late(deadline) {
                    break;
                }
            }
            if !self.has_something() && tokio::time::Instant::now() >= deadline {
                break;
            }
        }
        self.tables.flush_all(&mut self.out)?;
        Ok(CdcPolled {
            events: std::mem::take(&mut self.out),
            bytes: std::mem::take(&mut self.bytes),
            state_before: self.state_before.take(),
            boundary: self.transaction.is_none(),
            finished: self.finished,
        })
    }

    fn state(&self) -> Result<Offset> {
        Saved::new(self.lsn, self.tables.saved(), self.contained.clone(), self.finished).write()
    }

    async fn acknowledge(&mut self, state: &Offset) -> Result<()> {
        let saved = Saved::read(state)?;
        // A table that is not read yet needs the stream from the slot's first place, where the state still stands.
        if let Some(pump) = &self.pump {
            pump.acknowledge(saved.lsn);
        }
        Ok(())
    }

    fn place(&self) -> String {
        lsn_text(self.lsn)
    }

    fn progress(&self) -> Vec<TableProgress> {
        self.tables
            .all
            .iter()
            .map(|table| {
                let chunks = self.snapshot.as_ref().and_then(|s| s.chunks.get(&table.key)).copied();
                TableProgress {
                    table: table.id.clone(),
                    phase: if table.unread { "snapshot" } else { "streaming" },
                    chunks_done: chunks.map_or(0, |(done, _)| done),
                    chunks: chunks.map_or(0, |(_, all)| all),
                }
            })
            .collect()
    }

    fn lag(&self) -> CaptureLag {
        CaptureLag {
            milliseconds: self.lag_ms,
            bytes: self.health.as_ref().and_then(Health::behind),
            retained_bytes: self.health.as_ref().and_then(Health::retained),
        }
    }
}

#[cfg(test)]
mod tests {
    use starweir_formats::postgres::TypeOptions;
    use starweir_formats::postgres::pgoutput::RelationColumn;
    use starweir_model::TableId;

    use super::*;

    fn shape(columns: &[(&str, i16, u32)]) -> Shape {
        let column = |(name, number, type_oid): &(&str, i16, u32)| Column {
            name: (*name).into(),
            number: *number,
            type_oid: *type_oid,
            type_modifier: -1,
            kind: Types::default().resolve(*type_oid, -1),
            not_null: false,
            comment: None,
            default: None,
        };
        Shape { columns: columns.iter().map(column).collect(), ..Shape::default() }
    }

    #[test]
    fn a_catalog_ahead_of_the_stream_does_not_confuse_columns() {
        // Described while the catalog has already: a renamed to title, b dropped and added again.
        let before = shape(&[("id", 1, 23), ("a", 2, 25), ("b", 3, 23), ("c", 4, 25)]);
        let now = shape(&[("id", 1, 23), ("title", 2, 25), ("c", 4, 25), ("b", 5, 25)]);
        for (described, expected) in [
            (vec![("id", 23), ("a", 25), ("b", 20), ("c", 25)], vec!["AlterColumnType"]),
            (vec![("id", 23), ("title", 25), ("c", 25), ("b", 25)], vec!["DropColumn", "RenameColumn", "AddColumn"]),
            (vec![("id", 23), ("title", 25), ("c", 25), ("b", 23)], vec!["DropColumn", "RenameColumn", "AddColumn"]),
        ] {
            let column = |(name, type_oid): (&str, u32)| RelationColumn {
                is_key: name == "id",
                name: name.into(),
                type_oid,
                type_modifier: -1,
            };
            let relation = Relation {
                id: 1,
                schema: "public".into(),
                name: "t".into(),
                identity: b'd',
                columns: described.into_iter().map(column).collect(),
            };
            let after = as_described(&relation, &before, Some(now.clone()), &Types::default());
            let found = changes(&TableId::table("t"), &before, &after, TypeOptions::default());
            let kinds: Vec<_> = found.iter().map(|c| format!("{:?}", c.kind())).collect();
            assert_eq!(kinds, expected);
            assert_eq!(after.primary_key, ["id"]);
        }
    }
}
