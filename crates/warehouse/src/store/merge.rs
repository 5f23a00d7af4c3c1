//! Merge on write: what a commit does to a keyed table. Rows are taken in the order they were sent;
//! the last operation of a key wins.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::datatypes::{Field, Schema};
use roaring::RoaringBitmap;
use starweir_model::{Error, Result};

use super::index::{Key, Place};
use super::segment::Segment;
use super::table::{TableVersion, Writer, encoder, fill, read_column};
use super::txn::StagedPart;
use crate::catalog::{Aggregation, ColumnDef, TableDef, TableModel};
use crate::sketch;
use crate::types::SqlType;
use crate::value::{Value, rescale};

/// What a commit changes: new segments, and rows of old or new segments that are gone.
#[derive(Default)]
pub struct Changes {
    pub added: Vec<Arc<Segment>>,
    pub deleted: HashMap<u64, RoaringBitmap>,
}

/// What the merge needs from the store.
pub trait Target {
    fn write(&self, table: u64, batch: &RecordBatch) -> Result<Arc<Segment>>;
    /// Computes generated columns of a batch with the table's columns.
    fn generate(&self, def: &TableDef, batch: RecordBatch) -> Result<RecordBatch>;
    /// The value of a column that a new row does not give.
    fn default_value(&self, column: &ColumnDef) -> Result<Value>;
}

struct Merge<'a> {
    target: &'a dyn Target,
    version: &'a TableVersion,
    writer: &'a mut Writer,
    changes: Changes,
}

/// Merges staged parts into the table and moves the index; the caller logs and publishes.
pub fn merge(
    target: &dyn Target,
    version: &TableVersion,
    writer: &mut Writer,
    parts: &[(StagedPart, Arc<Segment>)],
) -> Result<Changes> {
    let mut merge = Merge { target, version, writer, changes: Changes::default() };
    for (part, segment) in parts {
        if segment.rows() == 0 {
            continue;
        }
        match version.def.model {
            TableModel::Duplicate => merge.changes.added.push(segment.clone()),
            TableModel::Aggregate => merge.aggregate(segment)?,
            TableModel::Unique | TableModel::Primary
                if part.partial.is_none() && part.condition.is_none() && !part.update_only =>
            {
                merge.replace(segment)?;
            }
            TableModel::Unique | TableModel::Primary => merge.patch(part, segment)?,
        }
    }
    Ok(merge.changes)
}

/// Index keys of a segment's rows.
pub fn keys_of(def: &TableDef, segment: &Segment) -> Result<Vec<Key>> {
    let columns = def.keys().map(|c| read_column(segment, c)).collect::<Result<Vec<_>>>()?;
    encoder(def).encode(&columns)
}

impl Merge<'_> {
    fn segment(&self, id: u64) -> Result<Arc<Segment>> {
        self.changes
            .added
            .iter()
            .find(|s| s.meta.id == id)
            .cloned()
            .or_else(|| self.version.segment(id).map(|v| v.segment.clone()))
            .ok_or_else(|| Error::internal(format!("the key index names segment {id}, which is not there")))
    }

    fn delete(&mut self, place: Place) {
        self.changes.deleted.entry(u64::from(place.segment)).or_default().insert(place.row);
    }

    /// Whole rows: the staged segment becomes a segment of the table as it is.
    fn replace(&mut self, segment: &Arc<Segment>) -> Result<()> {
        let keys = keys_of(&self.version.def, segment)?;
        let ops = segment.ops();
        let id = segment.meta.id as u32;
        self.writer.index.reserve(keys.len() / 4);
        let mut gone_here = RoaringBitmap::new();
        // Most old rows lie in few segments: the last bitmap is kept at hand.
        for (row, key) in keys.iter().enumerate() {
            let place = Place { segment: id, row: row as u32 };
            let old = if ops.is_some_and(|ops| ops[row] == 1) {
                gone_here.insert(row as u32);
                self.writer.index.remove(key)
            } else {
                self.writer.index.put(*key, place)
            };
            if let Some(old) = old {
                if old.segment == id {
                    gone_here.insert(old.row);
                } else {
                    self.delete(old);
                }
            }
        }
        if gone_here.len() < segment.rows() as u64 {
            if !gone_here.is_empty() {
                *self.changes.deleted.entry(segment.meta.id).or_default() |= gone_here;
            }
            self.changes.added.push(segment.clone());
        }
        Ok(())
    }

    /// Partial and conditional updates: new rows are put together from given and stored values.
    fn patch(&mut self, part: &StagedPart, segment: &Arc<Segment>) -> Result<()> {
        #[derive(Clone, Copy)]
        struct Row {
            /// The stored row, when the key was there before.
            stored: Option<Place>,
            /// Where values that are not given come from.
            base: Option<Place>,
            given: Option<u32>,
            alive: bool,
        }
        let def = self.version.def.clone();
        let keys = keys_of(&def, segment)?;
        let ops = segment.ops();
        let condition = match part.condition {
            Some(id) => def.columns.iter().find(|c| c.id == id),
            None => None,
        };
        let given_condition = condition.map(|c| read_column(segment, c)).transpose()?;
        let mut order: Vec<Key> = Vec::new();
        let mut rows: HashMap<Key, Row> = HashMap::new();
        for (r, key) in keys.iter().enumerate() {
            let mut row = match rows.get(key) {
                Some(row) => *row,
                None => {
                    order.push(*key);
                    let stored = self.writer.index.get(key);
                    Row { stored, base: stored, given: None, alive: stored.is_some() }
                }
            };
            if ops.is_some_and(|o| o[r] == 1) {
                row = Row { stored: row.stored, base: None, given: None, alive: false };
            } else if !part.update_only || row.alive {
                let accepted = match (condition, &given_condition) {
                    (Some(column), Some(values)) if row.alive => {
                        let new = Value::get(values, &column.sql_type, r);
                        let old = match (row.given, row.base) {
                            (Some(g), _) => Value::get(values, &column.sql_type, g as usize),
                            (None, Some(p)) => {
                                let old = self.segment(u64::from(p.segment))?;
                                Value::get(&read_column(&old, column)?, &column.sql_type, p.row as usize)
                            }
                            (None, None) => Value::Null,
                        };
                        new.compare(&old) != std::cmp::Ordering::Less
                    }
                    _ => true,
                };
                if accepted {
                    row.given = Some(r as u32);
                    row.alive = true;
                }
            }
            rows.insert(*key, row);
        }
        let mut out: Vec<(Key, u32, Option<Place>)> = Vec::new();
        for key in &order {
            let row = rows[key];
            match (row.alive, row.given) {
                (true, Some(given)) => {
                    if let Some(old) = row.stored {
                        self.delete(old);
                    }
                    out.push((*key, given, row.base));
                }
                (false, _) => {
                    if let Some(old) = self.writer.index.remove(key) {
                        self.delete(old);
                    }
                }
                (true, None) => {}
            }
        }
        if out.is_empty() {
            return Ok(());
        }
        let batch = self.assemble(&def, part, segment, &out)?;
        let written = self.target.write(def.id, &batch)?;
        for (row, (key, _, _)) in out.iter().enumerate() {
            self.writer.index.put(*key, Place { segment: written.meta.id as u32, row: row as u32 });
        }
        self.changes.added.push(written);
        Ok(())
    }

    /// Full rows of `(key, row of the part, stored row)`.
    fn assemble(
        &mut self,
        def: &TableDef,
        part: &StagedPart,
        segment: &Arc<Segment>,
        rows: &[(Key, u32, Option<Place>)],
    ) -> Result<RecordBatch> {
        let wrong = |e| Error::internal("cannot put rows together").with_source(e);
        let given_rows = UInt32Array::from(rows.iter().map(|r| r.1).collect::<Vec<_>>());
        // The segments that old values come from, each once.
        let mut sources: Vec<Arc<Segment>> = Vec::new();
        let mut at: HashMap<u32, usize> = HashMap::new();
        for (_, _, base) in rows {
            if let Some(place) = base
                && let std::collections::hash_map::Entry::Vacant(slot) = at.entry(place.segment)
            {
                slot.insert(sources.len());
                sources.push(self.segment(u64::from(place.segment))?);
            }
        }
        let mut fields = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for column in &def.columns {
            let given =
                part.partial.as_ref().is_none_or(|ids| ids.contains(&column.id)) && segment.column(column.id).is_some();
            let array = if given {
                arrow::compute::take(&read_column(segment, column)?, &given_rows, None).map_err(wrong)?
            } else {
                let new_rows = rows.iter().filter(|r| r.2.is_none()).count();
                let mut pool = sources.iter().map(|s| read_column(s, column)).collect::<Result<Vec<_>>>()?;
                let fresh = pool.len();
                if column.auto_increment {
                    let first = self.writer.auto_next;
                    self.writer.auto_next += new_rows as i64;
                    let values: Vec<Value> = (0..new_rows as i64).map(|i| Value::int(first + i)).collect();
                    pool.push(Value::array(&values, &column.sql_type));
                } else if new_rows > 0 {
                    let value = self.target.default_value(column)?;
                    pool.push(Value::array(&vec![value; new_rows], &column.sql_type));
                }
                let mut next_new = 0;
                let picks: Vec<(usize, usize)> = rows
                    .iter()
                    .map(|(_, _, base)| match base {
                        Some(place) => (at[&place.segment], place.row as usize),
                        None => {
                            next_new += 1;
                            (fresh, next_new - 1)
                        }
                    })
                    .collect();
                let refs: Vec<&dyn Array> = pool.iter().map(|a| a.as_ref()).collect();
                arrow::compute::interleave(&refs, &picks).map_err(wrong)?
            };
            fields.push(column.sql_type.field(&column.stored_name(), true));
            arrays.push(array);
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(wrong)?;
        if def.has_generated() { self.target.generate(def, batch) } else { Ok(batch) }
    }

    /// Aggregate tables: rows of one key fold into one, together with the stored row.
    fn aggregate(&mut self, segment: &Arc<Segment>) -> Result<()> {
        let def = self.version.def.clone();
        let keys = keys_of(&def, segment)?;
        let values: Vec<&ColumnDef> = def.columns.iter().filter(|c| !c.key).collect();
        let given = values.iter().map(|c| read_column(segment, c)).collect::<Result<Vec<_>>>()?;
        let mut order: Vec<(Key, u32)> = Vec::new();
        let mut states: HashMap<Key, Vec<Value>> = HashMap::new();
        for (r, key) in keys.iter().enumerate() {
            let row: Vec<Value> = values.iter().zip(&given).map(|(c, a)| Value::get(a, &c.sql_type, r)).collect();
            if let Some(state) = states.get_mut(key) {
                for ((column, state), new) in values.iter().zip(state.iter_mut()).zip(row) {
                    let old = std::mem::replace(state, Value::Null);
                    *state = fold(column, old, new);
                }
                continue;
            }
            order.push((*key, r as u32));
            let state = match self.writer.index.get(key) {
                None => row,
                Some(place) => {
                    let stored = self.segment(u64::from(place.segment))?;
                    let mut state = Vec::with_capacity(values.len());
                    for (column, new) in values.iter().zip(row) {
                        let old = Value::get(&read_column(&stored, column)?, &column.sql_type, place.row as usize);
                        state.push(fold(column, old, new));
                    }
                    self.delete(place);
                    state
                }
            };
            states.insert(*key, state);
        }
        let picks = UInt32Array::from(order.iter().map(|o| o.1).collect::<Vec<_>>());
        let mut fields: Vec<Field> = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        let mut value_at = 0;
        for column in &def.columns {
            fields.push(column.sql_type.field(&column.stored_name(), true));
            arrays.push(if column.key {
                arrow::compute::take(&read_column(segment, column)?, &picks, None)
                    .map_err(|e| Error::internal("cannot fold rows").with_source(e))?
            } else {
                let folded: Vec<Value> = order
                    .iter()
                    .map(|(k, _)| {
                        std::mem::replace(&mut states.get_mut(k).expect("every key has a state")[value_at], Value::Null)
                    })
                    .collect();
                value_at += 1;
                Value::array(&folded, &column.sql_type)
            });
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .map_err(|e| Error::internal("cannot fold rows").with_source(e))?;
        let written = self.target.write(def.id, &batch)?;
        for (row, (key, _)) in order.iter().enumerate() {
            self.writer.index.put(*key, Place { segment: written.meta.id as u32, row: row as u32 });
        }
        self.changes.added.push(written);
        Ok(())
    }
}

/// One step of a value column's aggregation. NULL counts for nothing except in REPLACE.
fn fold(column: &ColumnDef, old: Value, new: Value) -> Value {
    use std::cmp::Ordering;
    let Some(aggregation) = &column.aggregation else { return new };
    match aggregation {
        Aggregation::Replace => new,
        Aggregation::ReplaceIfNotNull => {
            if new.is_null() {
                old
            } else {
                new
            }
        }
        _ if new.is_null() => old,
        _ if old.is_null() => new,
        Aggregation::Min => {
            if new.compare(&old) == Ordering::Less {
                new
            } else {
                old
            }
        }
        Aggregation::Max => {
            if new.compare(&old) == Ordering::Greater {
                new
            } else {
                old
            }
        }
        Aggregation::Sum => match (old, new) {
            (Value::Int(a), Value::Int(b)) => Value::Int(wrap(a.wrapping_add(b), &column.sql_type)),
            (Value::Decimal(a, s), Value::Decimal(b, t)) => match rescale(b, t, s) {
                Some(b) => Value::Decimal(a.wrapping_add(b), s),
                None => Value::Decimal(a, s),
            },
            (a, b) => Value::Double(a.as_f64().unwrap_or(0.0) + b.as_f64().unwrap_or(0.0)),
        },
        Aggregation::BitmapUnion => match (old, new) {
            (Value::Bytes(a), Value::Bytes(b)) => Value::Bytes(sketch::bitmap_union(&a, &b)),
            (a, _) => a,
        },
        Aggregation::HllUnion => match (old, new) {
            (Value::Bytes(a), Value::Bytes(b)) => Value::Bytes(sketch::hll_union(&a, &b)),
            (a, _) => a,
        },
        Aggregation::PercentileUnion => old,
    }
}

/// Integer sums wrap at the column's width, as the server's do.
fn wrap(v: i128, sql_type: &SqlType) -> i128 {
    match sql_type {
        SqlType::TinyInt => i128::from(v as i8),
        SqlType::SmallInt => i128::from(v as i16),
        SqlType::Int => i128::from(v as i32),
        SqlType::BigInt => i128::from(v as i64),
        _ => v,
    }
}

/// The segment's batch under its stored names.
pub fn stored_batch(def: &TableDef, arrays: Vec<ArrayRef>) -> Result<RecordBatch> {
    let fields: Vec<Field> = def.columns.iter().map(|c| c.sql_type.field(&c.stored_name(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
        .map_err(|e| Error::internal("cannot build a segment").with_source(e))
}

/// A default array of a column for `rows` rows, for columns that a staged full row does not have.
pub fn default_array(target: &dyn Target, column: &ColumnDef, rows: usize) -> Result<ArrayRef> {
    let value = target.default_value(column)?;
    if value.is_null() {
        return fill(&ColumnDef { added_value: None, ..column.clone() }, rows);
    }
    Ok(Value::array(&vec![value; rows], &column.sql_type))
}
