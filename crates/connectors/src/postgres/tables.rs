//! The captured tables while reading: their shapes, and the rows gathered of each.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, new_null_array};
use arrow::datatypes::SchemaRef;
use starweir_engine::{CdcEvent, TableRows};
use starweir_formats::postgres::{RowBatch, Shape};
use starweir_model::{ChangeBatch, Error, Result, SchemaChange, TableId};

use super::catalog::TableKey;
use super::options::{Metadata, Settings};
use super::state::SavedTable;

/// A captured table.
pub(super) struct Captured {
    pub key: TableKey,
    pub id: TableId,
    pub oid: u32,
    pub shape: Shape,
    /// Its snapshot is not complete.
    pub unread: bool,
    batch: Option<RowBatch>,
    /// Commit time of each row gathered, in milliseconds, when asked for.
    op_ts: Vec<i64>,
    /// With schema changes off: the shape that was given out.
    frozen: Option<SchemaRef>,
    warned: bool,
}

pub(super) struct Tables {
    settings: Arc<Settings>,
    pub all: Vec<Captured>,
    by_key: HashMap<TableKey, usize>,
    /// Tables with rows gathered, in the order of their first row.
    order: Vec<usize>,
    pub rows_gathered: usize,
    pub bytes_gathered: usize,
}

impl Tables {
    pub fn new(settings: Arc<Settings>, saved: Vec<SavedTable>) -> Self {
        let all: Vec<Captured> = saved
            .into_iter()
            .map(|table| Captured {
                id: settings.table_id(&table.schema, &table.name),
                key: (table.schema, table.name),
                oid: table.oid,
                shape: table.shape,
                unread: table.unread,
                batch: None,
                op_ts: Vec::new(),
                frozen: None,
                warned: false,
            })
            .collect();
        let by_key = all.iter().enumerate().map(|(i, t)| (t.key.clone(), i)).collect();
        Self { settings, all, by_key, order: Vec::new(), rows_gathered: 0, bytes_gathered: 0 }
    }

    pub fn index(&self, key: &TableKey) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    /// What a state keeps of the tables.
    pub fn saved(&self) -> Vec<SavedTable> {
        self.all
            .iter()
            .map(|t| SavedTable {
                schema: t.key.0.clone(),
                name: t.key.1.clone(),
                oid: t.oid,
                shape: t.shape.clone(),
                unread: t.unread,
            })
            .collect()
    }

    /// Says what every table looks like.
    pub fn announce(&mut self, out: &mut Vec<CdcEvent>) {
        for table in &mut self.all {
            let schema = table.shape.to_schema(self.settings.types);
            if !self.settings.schema_changes {
                table.frozen = Some(schema.to_arrow());
            }
            out.push(CdcEvent::Schema(SchemaChange::CreateTable { table: table.id.clone(), schema }));
        }
    }

    /// Adds to the rows gathered of a table.
    pub fn gather(
        &mut self,
        index: usize,
        time_ms: i64,
        append: impl FnOnce(&mut RowBatch) -> Result<()>,
    ) -> Result<()> {
        let Some(table) = self.all.get_mut(index) else { return Ok(()) };
        let batch = table.batch.get_or_insert_with(|| {
            RowBatch::new(format!("{}.{}", table.key.0, table.key.1), &table.shape, self.settings.types)
        });
        let (rows, bytes) = (batch.rows(), batch.bytes());
        append(batch)?;
        if rows == 0 && batch.rows() > 0 {
            self.order.push(index);
        }
        self.rows_gathered += batch.rows() - rows;
        self.bytes_gathered += batch.bytes() - bytes;
        table.op_ts.resize(batch.rows(), time_ms);
        Ok(())
    }

    /// Gives all rows gathered out.
    pub fn flush_all(&mut self, out: &mut Vec<CdcEvent>) -> Result<()> {
        for index in std::mem::take(&mut self.order) {
            let Some(table) = self.all.get_mut(index) else { continue };
            let Some(batch) = table.batch.as_mut().filter(|b| b.rows() > 0) else { continue };
            let changes = batch.finish()?;
            if batch.take_beyond() > 0 && !table.warned {
                table.warned = true;
                tracing::warn!(table = %table.id, "NaN or infinity has no place in a column's type and became NULL");
            }
            let op_ts = std::mem::take(&mut table.op_ts);
            self.give(index, changes, &op_ts, out)?;
        }
        (self.rows_gathered, self.bytes_gathered) = (0, 0);
        Ok(())
    }

    /// Gives rows out. `op_ts` has one time per row.
    pub fn give(&self, index: usize, changes: ChangeBatch, op_ts: &[i64], out: &mut Vec<CdcEvent>) -> Result<()> {
        let Some(table) = self.all.get(index) else { return Ok(()) };
        let changes = as_given(table, changes)?;
        let same = |text: &str| vec![text.to_owned(); changes.rows()];
        let meta = self
            .settings
            .metadata
            .iter()
            .map(|metadata| {
                let texts = match metadata {
                    Metadata::OpTs => op_ts.iter().map(i64::to_string).collect(),
                    Metadata::TableName => same(&table.key.1),
                    Metadata::DatabaseName => same(&self.settings.database),
                    Metadata::SchemaName => same(&table.key.0),
                };
                (metadata.name().to_owned(), texts)
            })
            .collect();
        out.push(CdcEvent::Rows { table: table.id.clone(), rows: TableRows::Columns { changes, meta } });
        Ok(())
    }

    /// Gives a table another shape. Its rows must have been given out.
    pub fn reshape(&mut self, index: usize, oid: u32, shape: Shape) {
        if let Some(table) = self.all.get_mut(index) {
            table.oid = oid;
            table.shape = shape;
            table.batch = None;
        }
    }
}

/// With schema changes off, rows keep the columns that their table was announced with.
fn as_given(table: &Captured, changes: ChangeBatch) -> Result<ChangeBatch> {
    let Some(frozen) = table.frozen.as_ref().filter(|f| **f != changes.batch.schema()) else {
        return Ok(changes);
    };
    let rows = changes.batch.num_rows();
    let columns = frozen
        .fields()
        .iter()
        .map(|field| match changes.batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
            Some(_) => Err(Error::data(format!(
                "column {} of table {} has changed its type, and schema-change.enabled is false",
                field.name(),
                table.id
            ))
            .with_hint("set schema-change.enabled: true in the source")),
            None => Ok(new_null_array(field.data_type(), rows)),
        })
        .collect::<Result<Vec<_>>>()?;
    let batch = RecordBatch::try_new(frozen.clone(), columns)
        .map_err(|e| Error::internal("rows do not fit the table's first shape").with_source(e))?;
    Ok(ChangeBatch { batch, ..changes })
}
