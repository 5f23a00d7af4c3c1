//! A table in memory: the version readers see, and what the writer needs to make the next.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::datatypes::{DataType, SchemaRef};
use parking_lot::{Mutex, RwLock};
use roaring::RoaringBitmap;
use starweir_model::{Error, Result};

use super::index::{KeyEncoder, KeyIndex, Place};
use super::segment::Segment;
use crate::catalog::{ColumnDef, TableDef};
use crate::types::SqlType;
use crate::value::{Value, cast_array};

/// A segment and which of its rows are gone.
#[derive(Debug, Clone)]
pub struct SegmentView {
    pub segment: Arc<Segment>,
    pub deleted: Option<Arc<RoaringBitmap>>,
}

impl SegmentView {
    pub fn live_rows(&self) -> u64 {
        self.segment.rows() as u64 - self.deleted.as_ref().map_or(0, |d| d.len())
    }
}

/// What a reader holds: nothing in it changes.
#[derive(Debug, Clone)]
pub struct TableVersion {
    pub version: u64,
    pub def: Arc<TableDef>,
    /// In order of segment ids.
    pub segments: Vec<SegmentView>,
    pub committed_ms: i64,
}

impl TableVersion {
    pub fn empty(def: Arc<TableDef>, now_ms: i64) -> TableVersion {
        TableVersion { version: 1, def, segments: Vec::new(), committed_ms: now_ms }
    }

    pub fn segment(&self, id: u64) -> Option<&SegmentView> {
        self.segments.binary_search_by_key(&id, |s| s.segment.meta.id).ok().map(|i| &self.segments[i])
    }

    pub fn rows(&self) -> u64 {
        self.segments.iter().map(SegmentView::live_rows).sum()
    }

    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.segment.meta.bytes).sum()
    }
}

/// What only the writer touches, under one lock.
#[derive(Default)]
pub struct Writer {
    pub index: KeyIndex,
    /// The next AUTO_INCREMENT value.
    pub auto_next: i64,
}

pub struct Table {
    pub id: u64,
    current: RwLock<Arc<TableVersion>>,
    pub writer: Mutex<Writer>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table({})", self.id)
    }
}

impl Table {
    pub fn new(version: TableVersion) -> Table {
        Table {
            id: version.def.id,
            current: RwLock::new(Arc::new(version)),
            writer: Mutex::new(Writer { index: KeyIndex::default(), auto_next: 1 }),
        }
    }

    pub fn version(&self) -> Arc<TableVersion> {
        self.current.read().clone()
    }

    pub fn def(&self) -> Arc<TableDef> {
        self.current.read().def.clone()
    }

    pub(super) fn publish(&self, version: TableVersion) {
        *self.current.write() = Arc::new(version);
    }

    /// Rows of `version` with these keys, found through the index; None when the index has moved on
    /// or is busy, and a scan must find them.
    pub fn find(&self, version: &Arc<TableVersion>, keys: &[ArrayRef]) -> Option<Vec<(u64, u32)>> {
        let writer = self.writer.try_lock()?;
        if !Arc::ptr_eq(&*self.current.read(), version) {
            return None;
        }
        let keys = encoder(&version.def).encode(keys).ok()?;
        Some(
            keys.iter()
                .filter_map(|k| writer.index.get(k))
                .map(|Place { segment, row }| (u64::from(segment), row))
                .collect(),
        )
    }

    /// Takes `count` AUTO_INCREMENT values; the first is returned.
    pub fn take_auto(&self, count: i64) -> i64 {
        let mut writer = self.writer.lock();
        let first = writer.auto_next;
        writer.auto_next += count;
        first
    }
}

/// How keys of a table are encoded for its index.
pub fn encoder(def: &TableDef) -> KeyEncoder {
    let types: Vec<DataType> = def.keys().map(|c| c.sql_type.arrow()).collect();
    KeyEncoder::new(&types, def.keys().any(|c| c.nullable))
}

/// A column of a segment as the table has it today: cast when its type was changed, filled when it
/// was added later.
pub fn read_column(segment: &Segment, column: &ColumnDef) -> Result<ArrayRef> {
    let wanted = column.sql_type.arrow();
    match segment.column(column.id) {
        Some(array) if *array.data_type() == wanted => Ok(array.clone()),
        Some(array) => {
            let index = segment.batch.schema_ref().index_of(&column.stored_name()).ok();
            let from = index.map_or(SqlType::of_arrow(array.data_type()), |i| {
                SqlType::of_field(segment.batch.schema_ref().field(i))
            });
            cast_array(array, &from, &column.sql_type, false)
                .map_err(|e| Error::internal(format!("cannot read column {}", column.name)).with_source(e))
        }
        None => fill(column, segment.rows()),
    }
}

/// `rows` times what the column shows for rows without it.
pub fn fill(column: &ColumnDef, rows: usize) -> Result<ArrayRef> {
    let value = column.fill_value();
    if value.is_null() {
        return Ok(new_null_array(&column.sql_type.arrow(), rows));
    }
    let one = Value::array(&[value], &column.sql_type);
    arrow::compute::take(&one, &UInt32Array::from(vec![0; rows]), None)
        .map_err(|e| Error::internal("cannot fill a column").with_source(e))
}

/// The wanted columns of a segment's live rows in `[from, to)`, under the table's own names.
pub fn read_rows(
    view: &SegmentView,
    def: &TableDef,
    schema: &SchemaRef,
    columns: &[usize],
    from: usize,
    to: usize,
) -> Result<RecordBatch> {
    let to = to.min(view.segment.rows());
    let live: Option<UInt32Array> = view.deleted.as_ref().and_then(|deleted| {
        let gone = deleted.range_cardinality(from as u32..to as u32);
        (gone > 0).then(|| (from as u32..to as u32).filter(|row| !deleted.contains(*row)).collect::<Vec<_>>().into())
    });
    let rows = live.as_ref().map_or(to - from, |l| l.len());
    let mut arrays = Vec::with_capacity(columns.len());
    for &i in columns {
        let column = &def.columns[i];
        let array = match view.segment.column(column.id) {
            // A column the segment has in the wanted type is sliced, not copied.
            Some(array) if *array.data_type() == column.sql_type.arrow() => match &live {
                None => array.slice(from, to - from),
                Some(rows) => arrow::compute::take(array, rows, None)
                    .map_err(|e| Error::internal("cannot read a segment").with_source(e))?,
            },
            None => fill(column, rows)?,
            Some(_) => {
                let whole = read_column(&view.segment, column)?;
                match &live {
                    None => whole.slice(from, to - from),
                    Some(rows) => arrow::compute::take(&whole, rows, None)
                        .map_err(|e| Error::internal("cannot read a segment").with_source(e))?,
                }
            }
        };
        arrays.push(array);
    }
    RecordBatch::try_new_with_options(schema.clone(), arrays, &RecordBatchOptions::new().with_row_count(Some(rows)))
        .map_err(|e| Error::internal("cannot read a segment").with_source(e))
}
