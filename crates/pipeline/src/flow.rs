//! The way of events from source to sinks: transform, route, schema evolution, as one pure machine.

use std::collections::HashMap;

use starweir_engine::TableRows;
use starweir_model::{ChangeBatch, Error, Result, RowChange, SchemaChange, TableId, TableSchema};

use crate::evolution::{SchemaOperator, SchemaState};
use crate::rows::{batch_of, changes_of, with_metadata};
use crate::transform::Transformer;

/// Holds what a pipeline has to remember between events.
pub struct Flow {
    transformer: Transformer,
    operator: SchemaOperator,
    /// Schemas as the source has them, for tables without a rule.
    source: HashMap<TableId, TableSchema>,
}

impl Flow {
    pub fn new(transformer: Transformer, operator: SchemaOperator) -> Self {
        Self { transformer, operator, source: HashMap::new() }
    }

    /// The schemas of both sides, for the epoch's state.
    pub fn state(&self) -> &SchemaState {
        self.operator.state()
    }

    pub fn operator(&mut self) -> &mut SchemaOperator {
        &mut self.operator
    }

    /// The schema a sink table has now.
    pub fn sink_schema(&self, table: &TableId) -> Option<&TableSchema> {
        self.operator.state().sinks.get(table)
    }

    /// A source table changes: what the sinks have to do. They report each by [`SchemaOperator::applied`].
    pub fn schema_change(&mut self, change: SchemaChange) -> Result<Vec<SchemaChange>> {
        let table = change.table().clone();
        if !self.transformer.applies_to(&table) {
            self.remember(&change)?;
            return self.operator.schema_change(&change);
        }
        let mut changes = Vec::new();
        for change in self.transformer.schema_change(change)? {
            changes.extend(self.operator.schema_change(&change)?);
        }
        Ok(changes)
    }

    fn remember(&mut self, change: &SchemaChange) -> Result<()> {
        let table = change.table();
        let after = crate::evolution::schema::apply(self.source.get(table), change)?;
        self.source.insert(table.clone(), after);
        Ok(())
    }

    /// Bounded pipelines: the sink tables that these source tables together need, with their final schema.
    pub fn merged_creations(&mut self, announced: Vec<(TableId, TableSchema)>) -> Result<Vec<SchemaChange>> {
        let mut tables = Vec::new();
        for (table, schema) in announced {
            let change = SchemaChange::CreateTable { table, schema };
            let changes = if self.transformer.applies_to(change.table()) {
                self.transformer.schema_change(change)?
            } else {
                self.remember(&change)?;
                vec![change]
            };
            for change in changes {
                if let SchemaChange::CreateTable { table, schema } = change {
                    tables.push((table, schema));
                }
            }
        }
        self.operator.merged_creations(&tables)
    }

    /// The schema a source table has now.
    pub fn source_schema(&self, table: &TableId) -> Result<&TableSchema> {
        let ruled = self.transformer.applies_to(table);
        let schema = if ruled { self.transformer.schema_before(table) } else { self.source.get(table) };
        schema.ok_or_else(|| Error::internal(format!("rows of table {table} came before its schema")))
    }

    /// Rows of a source table as single changes, as the source gave them.
    pub fn source_changes(&self, table: &TableId, rows: TableRows) -> Result<Vec<RowChange>> {
        match rows {
            TableRows::Changes(changes) => Ok(changes),
            TableRows::Columns { changes, meta } => changes_of(self.source_schema(table)?, &changes, &meta),
        }
    }

    /// The source table's changes as single ones, after its rule.
    fn transformed(&mut self, table: &TableId, rows: TableRows) -> Result<Vec<RowChange>> {
        let changes = self.source_changes(table, rows)?;
        if !self.transformer.applies_to(table) {
            return Ok(changes);
        }
        let mut out = Vec::with_capacity(changes.len());
        for change in changes {
            out.extend(self.transformer.change(table, change)?);
        }
        Ok(out)
    }

    /// Rows of a source table as each sink table takes them, as single changes in order.
    pub fn changes(&mut self, table: &TableId, rows: TableRows) -> Result<Vec<(TableId, RowChange)>> {
        let mut out = Vec::new();
        for change in self.transformed(table, rows)? {
            out.extend(self.operator.row_change(table, &change)?);
        }
        Ok(out)
    }

    /// Rows of a source table as a batch for each sink table. Columns that need no rule and no other shape pass
    /// through as they are. With `metadata` batches carry it in columns of their own.
    pub fn batches(&mut self, table: &TableId, rows: TableRows, metadata: bool) -> Result<Vec<(TableId, ChangeBatch)>> {
        let targets = self.operator.targets(table)?;
        if let TableRows::Columns { changes, meta } = &rows
            && (!metadata || meta.is_empty())
            && !self.transformer.applies_to(table)
            && targets.iter().all(|(_, same)| *same)
        {
            return Ok(targets.into_iter().map(|(sink, _)| (sink, changes.clone())).collect());
        }
        let mut grouped: Vec<(TableId, Vec<RowChange>)> = Vec::new();
        for (sink, change) in self.changes(table, rows)? {
            match grouped.iter_mut().find(|(id, _)| *id == sink) {
                Some((_, changes)) => changes.push(change),
                None => grouped.push((sink, vec![change])),
            }
        }
        let mut batches = Vec::with_capacity(grouped.len());
        for (sink, changes) in grouped {
            let Some(schema) = self.sink_schema(&sink) else { continue };
            let mut batch = batch_of(schema, &changes)?;
            if metadata {
                batch = with_metadata(batch, &changes)?;
            }
            batches.push((sink, batch));
        }
        Ok(batches)
    }
}
