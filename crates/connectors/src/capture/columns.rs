//! The declared columns, and where each comes from in a captured table.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray, new_null_array};
use arrow::datatypes::{Field, Schema as ArrowSchema, SchemaRef};
use starweir_model::{ChangeBatch, Column, DataType, Error, Result, RowKind, TableId, TableSchema, nearest};

use super::convert::convert;
use super::fit::{Conversion, fit};
use super::zone::Zone;
use crate::format::{cast, repeat_text};
use crate::registry::{SourceRequest, Wanted};

/// Metadata columns of a captured table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metadata {
    TableName,
    DatabaseName,
    SchemaName,
    OpTs,
    RowKind,
}

impl Metadata {
    const ALL: [Self; 5] = [Self::TableName, Self::DatabaseName, Self::SchemaName, Self::OpTs, Self::RowKind];

    pub const fn key(self) -> &'static str {
        match self {
            Self::TableName => "table_name",
            Self::DatabaseName => "database_name",
            Self::SchemaName => "schema_name",
            Self::OpTs => "op_ts",
            Self::RowKind => "row_kind",
        }
    }
}

enum Produced {
    /// Position among the physical columns.
    Physical(usize),
    Metadata(Metadata),
}

/// What a script declares of a captured table.
pub(super) struct Declared {
    /// The table's name in the script.
    pub table: String,
    physical: Vec<Column>,
    /// Names of the primary key's columns.
    pub key: Vec<String>,
    produced: Vec<Produced>,
    /// The form of the batches. Every column may hold NULL: a deleted row's image may be nothing but its key.
    schema: SchemaRef,
}

/// Where a produced column comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Column(usize, Conversion),
    /// The captured table has it no more.
    Nowhere,
    Metadata(Metadata),
}

/// Where the columns come from in a captured table of one shape.
#[derive(Debug)]
pub(super) struct Columns {
    table: TableId,
    from: Vec<Origin>,
    /// Positions of the key among the captured columns; empty when one of them is missing.
    key: Vec<usize>,
}

impl Declared {
    pub fn new(request: &SourceRequest<'_>) -> Self {
        let produced: Vec<Produced> = request
            .wanted
            .iter()
            .map(|wanted| match wanted {
                Wanted::Physical(index) => Produced::Physical(*index),
                Wanted::Metadata { key, .. } => {
                    let known = Metadata::ALL.into_iter().find(|m| m.key() == key);
                    Produced::Metadata(known.unwrap_or(Metadata::TableName))
                }
            })
            .collect();
        let fields = request.produced().columns;
        let fields = fields.iter().map(|c| Field::new(&c.name, c.data_type.to_arrow(), true)).collect::<Vec<_>>();
        Self {
            table: request.table.to_owned(),
            physical: request.physical.columns.clone(),
            key: request.physical.primary_key_names().into_iter().map(str::to_owned).collect(),
            produced,
            schema: Arc::new(ArrowSchema::new(fields)),
        }
    }

    /// Everything that keeps a table from being read as declared, column by column.
    pub fn misfits(&self, id: &TableId, captured: &TableSchema) -> Vec<String> {
        let misfit = |column: &Column| {
            let Some(found) = captured.column(&column.name) else {
                let near = nearest(&column.name, captured.columns.iter().map(|c| c.name.as_str()));
                let near = near.map(|n| format!(" (did you mean '{n}'?)")).unwrap_or_default();
                return Some(format!("column '{}' is not in table {id}{near}", column.name));
            };
            let instead = fit(&found.data_type.logical, &column.data_type.logical).err()?;
            Some(told(column, id, &found.data_type, &instead))
        };
        self.physical.iter().filter_map(misfit).collect()
    }

    /// The columns of a table that is being read. A column that it has no more is NULL.
    ///
    /// # Errors
    /// `Data` that names the columns whose types no longer fit, and those that are gone and declared NOT NULL.
    pub fn columns(&self, id: &TableId, captured: &TableSchema) -> Result<Columns> {
        let mut misfits = Vec::new();
        let mut from = Vec::with_capacity(self.produced.len());
        for produced in &self.produced {
            let index = match produced {
                Produced::Metadata(metadata) => {
                    from.push(Origin::Metadata(*metadata));
                    continue;
                }
                Produced::Physical(index) => *index,
            };
            let column = &self.physical[index];
            match captured.index_of(&column.name) {
                None if column.data_type.nullable => from.push(Origin::Nowhere),
                None => misfits.push(format!("column '{}' is gone from table {id} and declared NOT NULL", column.name)),
                Some(at) => {
                    let of = &captured.columns[at].data_type;
                    match fit(&of.logical, &column.data_type.logical) {
                        Ok(conversion) => from.push(Origin::Column(at, conversion)),
                        Err(instead) => misfits.push(told(column, id, of, &instead)),
                    }
                }
            }
        }
        if !misfits.is_empty() {
            return Err(Error::data(format!("table {id} no longer fits the declaration of {}", self.table))
                .with_source(misfits.join("; "))
                .with_hint("change the declaration in the script and start again from the same state"));
        }
        let key: Option<Vec<usize>> = self.key.iter().map(|name| captured.index_of(name)).collect();
        Ok(Columns { table: id.clone(), from, key: key.unwrap_or_default() })
    }

    /// Rows in the declared form. `op_ts` are milliseconds of 1970, one per row, when they were asked for; `kinds` are
    /// what `row_kind` says.
    pub fn arrange(
        &self,
        columns: &Columns,
        changes: &ChangeBatch,
        op_ts: Option<&[i64]>,
        zone: &Zone,
    ) -> Result<RecordBatch> {
        let rows = changes.rows();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.from.len());
        for ((from, field), produced) in columns.from.iter().zip(self.schema.fields()).zip(&self.produced) {
            arrays.push(match from {
                Origin::Nowhere => new_null_array(field.data_type(), rows),
                Origin::Metadata(metadata) => {
                    self.metadata(*metadata, &columns.table, changes, op_ts, field.data_type())?
                }
                Origin::Column(at, conversion) => {
                    let captured = changes.batch.columns().get(*at);
                    let captured = captured.ok_or_else(|| Error::internal("a capture gave too few columns"))?;
                    let misfit = |why: &str| {
                        Error::data(format!(
                            "column '{}' of table {} cannot be given as declared",
                            field.name(),
                            columns.table
                        ))
                        .with_source(why.to_owned())
                    };
                    let array = convert(captured, conversion, field.data_type(), zone).map_err(misfit)?;
                    if let Produced::Physical(index) = produced
                        && !self.physical[*index].data_type.nullable
                        && array.null_count() > 0
                        && (0..rows).any(|row| array.is_null(row) && changes.kinds.at(row).is_addition())
                    {
                        return Err(misfit("a value is NULL, and the column is declared NOT NULL"));
                    }
                    array
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|e| Error::internal("captured columns do not have the declared types").with_source(e))
    }

    fn metadata(
        &self,
        metadata: Metadata,
        table: &TableId,
        changes: &ChangeBatch,
        op_ts: Option<&[i64]>,
        to: &arrow::datatypes::DataType,
    ) -> Result<ArrayRef> {
        let rows = changes.rows();
        let (database, schema) = match (&table.namespace, &table.schema) {
            (Some(database), schema) => (Some(database), schema.as_ref()),
            (None, schema) => (schema.as_ref(), None),
        };
        let text = |name: Option<&String>| repeat_text(name.map_or("", String::as_str), rows, to);
        match metadata {
            Metadata::TableName => text(Some(&table.table)),
            Metadata::DatabaseName => text(database),
            Metadata::SchemaName => text(schema),
            Metadata::RowKind => {
                let kinds = (0..rows).map(|row| changes.kinds.at(row).short());
                cast(&(Arc::new(StringArray::from_iter_values(kinds)) as ArrayRef), to)
            }
            Metadata::OpTs => {
                let times = op_ts.ok_or_else(|| Error::internal("a capture gave no time of its changes"))?;
                let micros =
                    TimestampMicrosecondArray::from_iter_values(times.iter().map(|ms| ms.saturating_mul(1000)));
                cast(&(Arc::new(micros.with_timezone("UTC")) as ArrayRef), to)
            }
        }
    }
}

impl Columns {
    /// Whether a row and the next have the same key.
    pub fn same_key_as_next(&self, batch: &RecordBatch, row: usize) -> bool {
        !self.key.is_empty()
            && self.key.iter().all(|at| {
                let column = batch.column(*at);
                column.slice(row, 1).to_data() == column.slice(row + 1, 1).to_data()
            })
    }
}

fn told(column: &Column, id: &TableId, captured: &DataType, instead: &str) -> String {
    format!(
        "column '{}' is declared {}, which cannot hold the {} of table {id}; {instead}",
        column.name, column.data_type.logical, captured.logical
    )
}

/// Row kinds as an upsert stream has them: an old image goes, unless its key does.
pub(super) fn without_old_images(kinds: &[RowKind], same_key_as_next: impl Fn(usize) -> bool) -> Vec<Option<RowKind>> {
    (0..kinds.len())
        .map(|row| match kinds[row] {
            RowKind::UpdateBefore => {
                let replaced = kinds.get(row + 1) == Some(&RowKind::UpdateAfter) && same_key_as_next(row);
                (!replaced).then_some(RowKind::Delete)
            }
            kind => Some(kind),
        })
        .collect()
}
