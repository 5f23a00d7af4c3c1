//! From changes of source tables to changes of sink tables, and rows into the shape sinks have.

use chrono_tz::Tz;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use starweir_model::{
    AddedColumn, ColumnPosition, Error, Result, RowChange, SchemaChange, SchemaChangeKind, TableId, TableSchema,
};

use super::SchemaChangeBehavior;
use super::coerce::coerce_row;
use super::schema::{apply, difference, is_redundant, least_common_schema, merge_and_diff};
use crate::route::Router;

/// The schemas of both sides; part of every epoch's state, so that a restart knows what was applied.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SchemaState {
    /// As the sources (after their transforms) last said.
    #[serde(with = "pairs")]
    pub upstream: IndexMap<TableId, TableSchema>,
    /// As the sinks have them.
    #[serde(with = "pairs")]
    pub sinks: IndexMap<TableId, TableSchema>,
}

/// A map as a list of pairs, in its order.
mod pairs {
    use indexmap::IndexMap;
    use serde::{Deserialize as _, Deserializer, Serializer};
    use starweir_model::{TableId, TableSchema};

    pub fn serialize<S: Serializer>(map: &IndexMap<TableId, TableSchema>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IndexMap<TableId, TableSchema>, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}

/// Keeps the schemas of both sides and decides what reaches a sink.
pub struct SchemaOperator {
    router: Router,
    behavior: SchemaChangeBehavior,
    /// Kinds that the pipeline's include and exclude lists and the sink take.
    accepted: Vec<SchemaChangeKind>,
    zone: Tz,
    state: SchemaState,
    /// What the include and exclude lists kept from the sinks since somebody asked.
    ignored: Vec<SchemaChange>,
}

impl SchemaOperator {
    pub fn new(
        router: Router,
        behavior: SchemaChangeBehavior,
        accepted: Vec<SchemaChangeKind>,
        zone: Tz,
        state: SchemaState,
    ) -> Self {
        Self { router, behavior, accepted, zone, state, ignored: Vec::new() }
    }

    pub fn state(&self) -> &SchemaState {
        &self.state
    }

    pub fn router(&self) -> &Router {
        &self.router
    }

    /// What a change of a source table asks of the sinks, in order. The caller flushes what was written before,
    /// applies each and reports it by [`SchemaOperator::applied`].
    ///
    /// # Errors
    /// Under `exception`, any change but a creation; two schemas that no schema holds.
    pub fn schema_change(&mut self, change: &SchemaChange) -> Result<Vec<SchemaChange>> {
        let table = change.table().clone();
        let known = self.state.upstream.get(&table);
        if is_redundant(known, change) {
            return Ok(Vec::new());
        }
        let after = apply(known, change)?;
        self.state.upstream.insert(table.clone(), after);
        let mut changes = Vec::new();
        for sink in self.router.route(&table)? {
            let normalized = self.sink_changes(&sink, change)?;
            let (accepted, ignored) =
                normalized.into_iter().partition::<Vec<_>, _>(|change| self.accepted.contains(&change.kind()));
            changes.extend(accepted);
            self.ignored.extend(ignored);
        }
        if matches!(change, SchemaChange::DropTable { .. }) {
            self.state.upstream.shift_remove(&table);
        }
        if self.behavior == SchemaChangeBehavior::Exception
            && let Some(unexpected) = changes.iter().find(|c| c.kind() != SchemaChangeKind::CreateTable)
        {
            return Err(Error::data("Unexpected schema change events occurred in EXCEPTION mode. Job will fail now.")
                .with_source(Error::data(format!("applying {}", crate::print::schema_change(unexpected)))));
        }
        Ok(changes)
    }

    fn sink_changes(&self, sink: &TableId, change: &SchemaChange) -> Result<Vec<SchemaChange>> {
        let current = self.state.sinks.get(sink);
        let feeding = self.feeding(sink)?;
        let raw = match (feeding.as_slice(), current, change) {
            // Announced again (dropped and made anew): the sink's table is widened, never replaced.
            ([_], Some(current), SchemaChange::CreateTable { schema, .. }) => {
                merge_and_diff(sink, Some(current), schema)
            }
            ([_], _, change) => vec![change.clone().with_table(sink.clone())],
            (feeding, current, _) => {
                let mut merged = current.cloned();
                for schema in feeding.iter().filter_map(|id| self.state.upstream.get(*id)) {
                    merged = Some(least_common_schema(merged.as_ref(), schema));
                }
                merged.map(|merged| difference(sink, current, &merged)).unwrap_or_default()
            }
        };
        normalize(current, raw, self.behavior, &SchemaChangeKind::ALL)
    }

    /// The source tables that feed a sink table.
    fn feeding(&self, sink: &TableId) -> Result<Vec<&TableId>> {
        let mut feeding = Vec::new();
        for id in self.state.upstream.keys() {
            if self.router.route(id)?.contains(sink) {
                feeding.push(id);
            }
        }
        Ok(feeding)
    }

    /// A sink has applied a change.
    pub fn applied(&mut self, change: &SchemaChange) -> Result<()> {
        let sink = change.table().clone();
        match change {
            SchemaChange::DropTable { .. } => {
                self.state.sinks.shift_remove(&sink);
            }
            change => {
                let after = apply(self.state.sinks.get(&sink), change)?;
                self.state.sinks.insert(sink, after);
            }
        }
        Ok(())
    }

    /// Changes that the include and exclude lists kept from the sinks since the last call.
    pub fn take_ignored(&mut self) -> Vec<SchemaChange> {
        std::mem::take(&mut self.ignored)
    }

    /// Whether the job goes on when a sink does not support a change.
    pub fn tolerates_unsupported(&self) -> bool {
        self.behavior == SchemaChangeBehavior::TryEvolve
    }

    /// The sink tables rows of a source table go to, each with the schema its rows must have and whether they have it
    /// already. A sink that is not known (its creation was excluded) takes none.
    ///
    /// # Errors
    /// A table whose schema is not known.
    pub fn targets(&self, table: &TableId) -> Result<Vec<(TableId, bool)>> {
        let upstream = self.upstream(table)?;
        let sinks = self.router.route(table)?;
        Ok(sinks
            .into_iter()
            .filter_map(|sink| {
                let same = same_shape(self.state.sinks.get(&sink)?, upstream);
                Some((sink, same))
            })
            .collect())
    }

    /// A change of a source table as each of its sinks takes it.
    pub fn row_change(&self, table: &TableId, change: &RowChange) -> Result<Vec<(TableId, RowChange)>> {
        let upstream = self.upstream(table)?;
        let mut out = Vec::new();
        for (sink, same) in self.targets(table)? {
            let mut change = change.clone();
            if !same && let Some(schema) = self.state.sinks.get(&sink) {
                for image in [&mut change.before, &mut change.after].into_iter().flatten() {
                    *image = coerce_row(self.zone, schema, upstream, image);
                }
            }
            out.push((sink, change));
        }
        Ok(out)
    }

    fn upstream(&self, table: &TableId) -> Result<&TableSchema> {
        self.state
            .upstream
            .get(table)
            .ok_or_else(|| Error::internal(format!("rows of table {table} came before its schema")))
    }

    /// For bounded pipelines: the sink tables that all of these source tables together need, created once with their
    /// final schema.
    pub fn merged_creations(&mut self, tables: &[(TableId, TableSchema)]) -> Result<Vec<SchemaChange>> {
        let mut sinks: IndexMap<TableId, TableSchema> = IndexMap::new();
        let ids: Vec<TableId> = tables.iter().map(|(id, _)| id.clone()).collect();
        let schema_of = |id: &TableId| tables.iter().find(|(known, _)| known == id).map(|(_, schema)| schema);
        let mut routed = Vec::new();
        for group in self.router.groups(&ids) {
            let mut merged = None;
            for schema in group.iter().filter_map(schema_of) {
                merged = Some(least_common_schema(merged.as_ref(), schema));
            }
            let Some(merged) = merged else { continue };
            for id in &group {
                for sink in self.router.route(id)? {
                    sinks.insert(sink, merged.clone());
                }
            }
            routed.extend(group);
        }
        for (id, schema) in tables {
            self.state.upstream.insert(id.clone(), schema.clone());
            if !routed.contains(id) && !sinks.contains_key(id) {
                sinks.insert(id.clone(), schema.clone());
            }
        }
        Ok(sinks.into_iter().map(|(table, schema)| SchemaChange::CreateTable { table, schema }).collect())
    }
}

/// Same names and types in the same order: rows of one are rows of the other.
fn same_shape(a: &TableSchema, b: &TableSchema) -> bool {
    a.columns.len() == b.columns.len()
        && a.columns.iter().zip(&b.columns).all(|(a, b)| a.name == b.name && a.data_type.logical == b.data_type.logical)
}

/// Changes of a sink table as the behaviour and the accepted kinds leave them.
///
/// # Errors
/// A rename of a column that the sink does not have.
pub fn normalize(
    before: Option<&TableSchema>,
    changes: Vec<SchemaChange>,
    behavior: SchemaChangeBehavior,
    accepted: &[SchemaChangeKind],
) -> Result<Vec<SchemaChange>> {
    let mut rewritten = Vec::new();
    for change in changes {
        match behavior {
            SchemaChangeBehavior::Evolve | SchemaChangeBehavior::TryEvolve | SchemaChangeBehavior::Exception => {
                rewritten.push(change);
            }
            SchemaChangeBehavior::Ignore if change.kind() == SchemaChangeKind::CreateTable => rewritten.push(change),
            SchemaChangeBehavior::Ignore => {}
            SchemaChangeBehavior::Lenient => lenient(before, change, &mut rewritten)?,
        }
    }
    rewritten.retain(|change| accepted.contains(&change.kind()));
    for change in &mut rewritten {
        if let (SchemaChange::AlterColumnType { types, old_types, .. }, Some(before)) = (change, before)
            && old_types.is_empty()
        {
            *old_types = types
                .iter()
                .filter_map(|(name, _)| before.column(name).map(|c| (name.clone(), c.data_type.clone())))
                .collect();
        }
    }
    Ok(rewritten)
}

fn lenient(before: Option<&TableSchema>, change: SchemaChange, out: &mut Vec<SchemaChange>) -> Result<()> {
    let relaxed = |names: &mut dyn Iterator<Item = &String>| {
        names
            .filter_map(|name| before.and_then(|schema| schema.column(name)))
            .filter(|column| !column.data_type.nullable)
            .map(|column| (column.name.clone(), column.data_type.clone().with_nullable(true)))
            .collect::<Vec<_>>()
    };
    let relax = |table: TableId, types: Vec<_>| SchemaChange::AlterColumnType {
        table,
        types,
        old_types: Vec::new(),
        comments: Vec::new(),
    };
    match change {
        SchemaChange::AddColumn { table, columns } => {
            let columns = columns
                .into_iter()
                .map(|mut added| {
                    added.column.data_type.nullable = true;
                    added.position = ColumnPosition::Last;
                    added
                })
                .collect();
            out.push(SchemaChange::AddColumn { table, columns });
        }
        SchemaChange::DropColumn { table, columns } => {
            let types = relaxed(&mut columns.iter());
            if !types.is_empty() {
                out.push(relax(table, types));
            }
        }
        SchemaChange::RenameColumn { table, names } => {
            let mut columns = Vec::new();
            for (old, new) in &names {
                let Some(column) = before.and_then(|schema| schema.column(old)) else {
                    return Err(Error::data(format!("Non-existed column {old} in evolved schema.")));
                };
                let mut column = column.clone();
                column.name.clone_from(new);
                column.data_type.nullable = true;
                columns.push(AddedColumn { column, position: ColumnPosition::Last });
            }
            let types = relaxed(&mut names.iter().map(|(old, _)| old));
            out.push(SchemaChange::AddColumn { table: table.clone(), columns });
            if !types.is_empty() {
                out.push(relax(table, types));
            }
        }
        other => out.push(other),
    }
    Ok(())
}
