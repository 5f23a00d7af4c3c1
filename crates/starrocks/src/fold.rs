//! The last change of every key: what a primary-key table needs of a batch.

use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;
use arrow::compute::interleave_record_batch;
use arrow::row::{RowConverter, Rows, SortField};
use hashbrown::HashTable;
use starweir_model::{ChangeBatch, Error, Result, RowKind, RowKinds};

/// Keeps the last change of every key, in the order in which these last changes stood.
///
/// A `-U` removes its key unless a later change sets it again: an update that keeps its key leaves only its
/// `+U`, one that changes its key leaves a deletion of the old key and the `+U` of the new. Columns `key` are
/// positions; all batches have the same schema. The watermark is that of the last batch that has one.
pub fn fold_by_key(batches: &[ChangeBatch], key: &[usize]) -> Result<Option<ChangeBatch>> {
    let Some(first) = batches.first() else { return Ok(None) };
    let failed = |e| Error::internal("rows could not be folded by their key").with_source(e);
    let schema = first.batch.schema();
    if key.is_empty() || key.iter().any(|k| *k >= schema.fields().len()) {
        return Err(Error::internal("rows cannot be folded without a key"));
    }
    let fields = key.iter().map(|k| SortField::new(schema.field(*k).data_type().clone())).collect();
    let converter = RowConverter::new(fields).map_err(failed)?;
    let keys: Vec<Rows> = batches
        .iter()
        .map(|b| converter.convert_columns(&key.iter().map(|k| b.column(*k).clone()).collect::<Vec<_>>()))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    let rows: usize = batches.iter().map(ChangeBatch::rows).sum();
    // Seeds are fixed: the table lives for this call only and its order does not show.
    let state = RandomState::with_seeds(0x5eed, 0x57a2, 0x3e12, 0x1f01);
    let hash = |bytes: &[u8]| {
        let mut hasher = state.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    };
    let mut last: HashTable<(u32, u32)> = HashTable::with_capacity(rows);
    for (b, batch) in batches.iter().enumerate() {
        for row in 0..batch.rows() {
            let bytes = keys[b].row(row);
            let bytes = bytes.as_ref();
            let place = (b as u32, row as u32);
            let same = |other: &(u32, u32)| keys[other.0 as usize].row(other.1 as usize).as_ref() == bytes;
            match last.find_mut(hash(bytes), same) {
                Some(found) => *found = place,
                None => {
                    let rehash = |p: &(u32, u32)| hash(keys[p.0 as usize].row(p.1 as usize).as_ref());
                    last.insert_unique(hash(bytes), place, rehash);
                }
            }
        }
    }
    let watermark_ms = batches.iter().rev().find_map(|b| b.watermark_ms);
    if last.len() == rows && batches.len() == 1 && !has_update_before(first) {
        return Ok(Some(ChangeBatch { watermark_ms, ..first.clone() }));
    }
    let mut order: Vec<(u32, u32)> = last.into_iter().collect();
    order.sort_unstable();
    let kinds = order
        .iter()
        .map(|(b, row)| match batches[*b as usize].kinds.at(*row as usize) {
            RowKind::UpdateBefore => RowKind::Delete,
            kind => kind,
        })
        .collect();
    let places: Vec<_> = order.iter().map(|(b, row)| (*b as usize, *row as usize)).collect();
    let parts: Vec<_> = batches.iter().map(|b| &b.batch).collect();
    let batch = interleave_record_batch(&parts, &places).map_err(failed)?;
    let mut folded = ChangeBatch::new(batch, RowKinds::from_vec(kinds));
    folded.watermark_ms = watermark_ms;
    Ok(Some(folded))
}

fn has_update_before(batch: &ChangeBatch) -> bool {
    matches!(&batch.kinds, RowKinds::Each(kinds) if kinds.contains(&RowKind::UpdateBefore))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int32Array, RecordBatch, StringArray};
    use arrow::datatypes::Int32Type;
    use arrow::{array::AsArray, datatypes::DataType, datatypes::Field, datatypes::Schema};

    use super::*;

    fn batch(rows: &[(&str, i32, &str)]) -> ChangeBatch {
        let schema = Schema::new(vec![Field::new("id", DataType::Int32, false), Field::new("v", DataType::Utf8, true)]);
        let ids = Int32Array::from_iter_values(rows.iter().map(|r| r.1));
        let values = StringArray::from_iter_values(rows.iter().map(|r| r.2));
        let kinds = rows.iter().map(|r| match r.0 {
            "+I" => RowKind::Insert,
            "-U" => RowKind::UpdateBefore,
            "+U" => RowKind::UpdateAfter,
            _ => RowKind::Delete,
        });
        let kinds = RowKinds::from_vec(kinds.collect());
        ChangeBatch::new(RecordBatch::try_new(Arc::new(schema), vec![Arc::new(ids), Arc::new(values)]).unwrap(), kinds)
    }

    fn shown(batch: &ChangeBatch) -> Vec<String> {
        let ids = batch.column(0).as_primitive::<Int32Type>();
        let values = batch.column(1).as_string::<i32>();
        (0..batch.rows())
            .map(|r| format!("{} {} {}", batch.kinds.at(r).short(), ids.value(r), values.value(r)))
            .collect()
    }

    #[test]
    fn only_the_last_change_of_each_key_stays() {
        for (batches, expected) in [
            (vec![vec![("+I", 1, "a"), ("+I", 2, "b")]], vec!["+I 1 a", "+I 2 b"]),
            (vec![vec![("+I", 1, "a"), ("-U", 1, "a"), ("+U", 1, "b")]], vec!["+U 1 b"]),
            (vec![vec![("+I", 1, "a")], vec![("-D", 1, "a")]], vec!["-D 1 a"]),
            (vec![vec![("-D", 1, "a"), ("+I", 1, "c")]], vec!["+I 1 c"]),
            (vec![vec![("-U", 1, "a"), ("+U", 2, "a")]], vec!["-D 1 a", "+U 2 a"]),
            (vec![vec![("-U", 1, "a")], vec![("+U", 1, "b"), ("+I", 3, "x")]], vec!["+U 1 b", "+I 3 x"]),
        ] {
            let batches: Vec<_> = batches.iter().map(|b| batch(b)).collect();
            assert_eq!(shown(&fold_by_key(&batches, &[0]).unwrap().unwrap()), expected);
        }
        assert!(fold_by_key(&[], &[0]).unwrap().is_none());
        assert!(fold_by_key(&[batch(&[])], &[9]).is_err());
    }
}
