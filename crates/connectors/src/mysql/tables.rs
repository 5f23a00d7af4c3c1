//! The captured tables while reading: their shapes, the rows gathered of each, and how to read their rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::OnceLock;

use arrow::array::BooleanArray;
use arrow::row::{RowConverter, SortField};
use serde_json::value::RawValue;
use starweir_engine::{CdcEvent, TableRows};
use starweir_formats::mysql::{
    Catalog, Collations, RowBatch, RowDecoder, Table, TableKey, TableMap, ValueOptions, table_id,
};
use starweir_model::{ChangeBatch, Error, Result, RowKinds, SchemaChange};

use super::state::SavedTable;

/// What a table map number stands for.
#[allow(clippy::large_enum_variant, reason = "there is one per table")]
pub(super) enum Mapped {
    /// A table that is not captured.
    Ignored {
        data: Vec<u8>,
    },
    Captured {
        key: TableKey,
        data: Vec<u8>,
        map: TableMap,
        decoder: Option<Decoder>,
    },
}

impl Mapped {
    /// The event it was made from.
    pub fn data(&self) -> &[u8] {
        match self {
            Self::Ignored { data } | Self::Captured { data, .. } => data,
        }
    }
}

/// A decoder and the version of the shape it was made for.
pub(super) struct Decoder {
    pub rows: RowDecoder,
    pub version: u64,
}

/// Rows of a table that wait to be given out.
#[derive(Default)]
struct Gathered {
    batch: Option<RowBatch>,
    /// Commit time of each row, in milliseconds, when asked for.
    op_ts: Vec<i64>,
    /// Version of the shape the batch was made for.
    version: u64,
}

pub(super) struct Tables {
    pub catalog: Catalog,
    pub collations: Collations,
    values: ValueOptions,
    /// Hand on the time of changes.
    op_ts: bool,
    /// Hand on changes of tables.
    schema_changes: bool,
    gathered: HashMap<TableKey, Gathered>,
    /// Tables with rows gathered, in the order of their first row.
    order: Vec<TableKey>,
    versions: HashMap<TableKey, u64>,
    pub maps: HashMap<u64, Mapped>,
    /// Tables that are captured; what else is known helps to understand statements.
    pub captured: BTreeSet<TableKey>,
    /// The shapes as text, until one changes.
    saved: OnceLock<Box<RawValue>>,
    pub rows_gathered: usize,
    pub bytes_gathered: usize,
    converters: HashMap<TableKey, (u64, RowConverter, Vec<usize>)>,
    /// With schema changes off: the shape that was given out.
    frozen: BTreeMap<TableKey, arrow::datatypes::SchemaRef>,
}

impl Tables {
    pub fn new(
        catalog: Catalog,
        collations: Collations,
        values: ValueOptions,
        op_ts: bool,
        schema_changes: bool,
    ) -> Self {
        Self {
            catalog,
            collations,
            values,
            op_ts,
            schema_changes,
            gathered: HashMap::new(),
            order: Vec::new(),
            versions: HashMap::new(),
            maps: HashMap::new(),
            captured: BTreeSet::new(),
            saved: OnceLock::new(),
            rows_gathered: 0,
            bytes_gathered: 0,
            converters: HashMap::new(),
            frozen: BTreeMap::new(),
        }
    }

    /// The shape of a table, or of several, has changed.
    pub fn changed(&mut self, key: &TableKey) {
        *self.versions.entry(key.clone()).or_default() += 1;
        self.saved = OnceLock::new();
    }

    fn version(&self, key: &TableKey) -> u64 {
        self.versions.get(key).copied().unwrap_or(0)
    }

    /// A batch for rows of a table by the shape in force.
    pub fn new_batch(&self, key: &TableKey) -> Result<RowBatch> {
        let schema = self.catalog.schema(key);
        let schema = schema.ok_or_else(|| Error::internal(format!("table {}.{} is not known", key.0, key.1)))?;
        RowBatch::new(&schema, self.values)
    }

    /// A decoder of the map's rows; Err with the reason when the map contradicts what is known of the table.
    pub fn decoder(&self, key: &TableKey, map: &TableMap) -> std::result::Result<Decoder, String> {
        let (Some(table), Some(schema)) = (self.catalog.table(key), self.catalog.schema(key)) else {
            return Err("it is not known".into());
        };
        match RowDecoder::new(map, table, &schema, &self.collations, self.values) {
            Ok(rows) => Ok(Decoder { rows, version: self.version(key) }),
            Err(contradiction) => Err(contradiction.0),
        }
    }

    /// Whether the decoder was made for the shape in force.
    pub fn is_current(&self, key: &TableKey, decoder: &Decoder) -> bool {
        decoder.version == self.version(key)
    }

    /// Decodes an event's rows to those gathered of its table. `decode` appends to the batch it is given.
    pub fn gather(
        &mut self,
        key: &TableKey,
        time_ms: i64,
        decode: impl FnOnce(&mut RowBatch) -> Result<usize>,
    ) -> Result<()> {
        let version = self.version(key);
        if !self.gathered.get(key).is_some_and(|g| g.batch.is_some() && g.version == version) {
            let batch = self.new_batch(key)?;
            let gathered = self.gathered.entry(key.clone()).or_default();
            gathered.batch = Some(batch);
            gathered.version = version;
        }
        let Some(gathered) = self.gathered.get_mut(key) else { return Ok(()) };
        let Some(batch) = &mut gathered.batch else { return Ok(()) };
        let (rows, bytes) = (batch.rows(), batch.bytes());
        let decoded = decode(batch)?;
        if rows == 0 && batch.rows() > 0 {
            self.order.push(key.clone());
        }
        if self.op_ts {
            gathered.op_ts.resize(batch.rows(), time_ms);
        }
        self.rows_gathered += decoded;
        self.bytes_gathered += batch.bytes() - bytes;
        Ok(())
    }

    /// Gives the rows gathered of one table out. `touched` sees each batch before it goes.
    pub fn flush(
        &mut self,
        key: &TableKey,
        out: &mut Vec<CdcEvent>,
        touched: &mut dyn FnMut(&mut Self, &ChangeBatch) -> Result<()>,
    ) -> Result<()> {
        let Some(gathered) = self.gathered.get_mut(key) else { return Ok(()) };
        let Some(batch) = gathered.batch.as_mut().filter(|b| b.rows() > 0) else { return Ok(()) };
        let rows = batch.rows();
        self.rows_gathered -= rows;
        self.bytes_gathered = self.bytes_gathered.saturating_sub(batch.bytes());
        let changes = batch.finish()?;
        let op_ts = std::mem::take(&mut gathered.op_ts);
        self.order.retain(|k| k != key);
        touched(self, &changes)?;
        self.give(key, changes, &op_ts, out)
    }

    /// Gives rows out, after their table's announcement if that is still to be made.
    pub fn give(&mut self, key: &TableKey, changes: ChangeBatch, op_ts: &[i64], out: &mut Vec<CdcEvent>) -> Result<()> {
        if let Some(create) = self.catalog.announce(key) {
            self.put_schema(create, out);
        }
        let changes = self.as_given(key, changes)?;
        let meta = if self.op_ts {
            vec![("op_ts".to_owned(), op_ts.iter().map(i64::to_string).collect())]
        } else {
            Vec::new()
        };
        out.push(CdcEvent::Rows { table: table_id(key), rows: TableRows::Columns { changes, meta } });
        Ok(())
    }

    /// With schema changes off, rows keep the columns that their table was announced with.
    fn as_given(&self, key: &TableKey, changes: ChangeBatch) -> Result<ChangeBatch> {
        let Some(frozen) = self.frozen.get(key).filter(|f| **f != changes.batch.schema()) else {
            return Ok(changes);
        };
        let rows = changes.batch.num_rows();
        let columns = frozen
            .fields()
            .iter()
            .map(|field| match changes.batch.column_by_name(field.name()) {
                Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
                Some(_) => Err(Error::data(format!(
                    "column {} of table {}.{} has changed its type, and schema-change.enabled is false",
                    field.name(),
                    key.0,
                    key.1
                ))),
                None => Ok(arrow::array::new_null_array(field.data_type(), rows)),
            })
            .collect::<Result<Vec<_>>>()?;
        let batch = arrow::array::RecordBatch::try_new(frozen.clone(), columns)
            .map_err(|e| Error::internal("rows do not fit the table's first shape").with_source(e))?;
        Ok(ChangeBatch { batch, ..changes })
    }

    pub fn put_schema(&mut self, change: SchemaChange, out: &mut Vec<CdcEvent>) {
        if !self.schema_changes {
            let SchemaChange::CreateTable { table, schema } = &change else { return };
            let key = (table.schema.clone().unwrap_or_default(), table.table.clone());
            self.frozen.insert(key, schema.to_arrow());
        }
        out.push(CdcEvent::Schema(change));
    }

    /// Tables with rows gathered, in the order of their first row.
    pub fn gathered(&self) -> Vec<TableKey> {
        self.order.clone()
    }

    /// The keys of rows, as bytes that are equal exactly when the keys are.
    pub fn keys(&mut self, key: &TableKey, changes: &ChangeBatch) -> Result<arrow::row::Rows> {
        let version = self.version(key);
        let failed = |e| Error::internal("keys of rows cannot be compared").with_source(e);
        if self.converters.get(key).is_none_or(|(of, ..)| *of != version) {
            let schema = self.catalog.schema(key).unwrap_or_default();
            let indices = schema.primary_key_indices();
            let fields =
                indices.iter().map(|i| SortField::new(changes.batch.schema().field(*i).data_type().clone())).collect();
            self.converters.insert(key.clone(), (version, RowConverter::new(fields).map_err(failed)?, indices));
        }
        let Some((_, converter, indices)) = self.converters.get_mut(key) else {
            return Err(Error::internal("a converter is missing"));
        };
        let columns: Vec<_> = indices.iter().map(|i| changes.batch.column(*i).clone()).collect();
        converter.convert_columns(&columns).map_err(failed)
    }

    /// The captured tables' shapes, for a state.
    pub fn saved(&self) -> Result<Box<RawValue>> {
        if let Some(known) = self.saved.get() {
            return Ok(known.clone());
        }
        let list: Vec<SavedTable> = self
            .captured
            .iter()
            .filter_map(|key| {
                let shape = self.catalog.table(key)?.clone();
                Some(SavedTable { database: key.0.clone(), name: key.1.clone(), shape })
            })
            .collect();
        let raw = serde_json::value::to_raw_value(&list)
            .map_err(|e| Error::internal("tables cannot be saved").with_source(e))?;
        Ok(self.saved.get_or_init(|| raw).clone())
    }

    /// The shape that a table map describes, as far as it does; what it leaves open is taken from the table as known.
    pub fn described(&self, map: &TableMap, known: Option<&Table>) -> Option<Table> {
        Table::from_map(map, known, &self.collations)
    }
}

/// Only the rows whose keys are not among those touched.
pub(super) fn untouched(
    changes: &ChangeBatch,
    keys: &arrow::row::Rows,
    touched: &std::collections::HashSet<Box<[u8]>>,
) -> Result<ChangeBatch> {
    let keep: BooleanArray = keys.iter().map(|key| Some(!touched.contains(key.as_ref()))).collect();
    let batch = arrow::compute::filter_record_batch(&changes.batch, &keep)
        .map_err(|e| Error::internal("rows of a chunk cannot be filtered").with_source(e))?;
    Ok(ChangeBatch { batch, kinds: RowKinds::AllInsert, watermark_ms: None })
}
