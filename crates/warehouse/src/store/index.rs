//! The key index of a table: encoded key → (segment, row). Keys of at most 16 bytes of fixed-width
//! columns are kept exactly; others as two independent 64-bit hashes, so that two keys are never
//! taken for one in practice (128 bits).

use ahash::RandomState;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use hashbrown::HashTable;
use starweir_model::{Error, Result};

use crate::types::SqlType;
use crate::value::Value;

/// A key as the index holds it.
pub type Key = [u64; 2];

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: Key,
    segment: u32,
    row: u32,
}

/// Where a key's row is: the segment's place in the table's list of ids, and the row in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub segment: u32,
    pub row: u32,
}

#[derive(Debug, Default)]
pub struct KeyIndex {
    table: HashTable<Entry>,
}

fn spread(key: &Key) -> u64 {
    // Exact keys are small integers; multiply-and-fold spreads them over the table.
    let x = u128::from(key[0] ^ 0x9E37_79B9_7F4A_7C15) * u128::from((key[1] ^ 0xD1B5_4A32_D192_ED03) | 1);
    let folded = (x as u64) ^ ((x >> 64) as u64);
    folded.wrapping_mul(0xA24B_AED4_963E_E407) ^ folded.rotate_left(29)
}

impl KeyIndex {
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub fn reserve(&mut self, more: usize) {
        self.table.reserve(more, |e| spread(&e.key));
    }

    pub fn get(&self, key: &Key) -> Option<Place> {
        self.table.find(spread(key), |e| e.key == *key).map(|e| Place { segment: e.segment, row: e.row })
    }

    /// Puts a key at a place and returns where it was.
    pub fn put(&mut self, key: Key, place: Place) -> Option<Place> {
        match self.table.entry(spread(&key), |e| e.key == key, |e| spread(&e.key)) {
            hashbrown::hash_table::Entry::Occupied(mut found) => {
                let entry = found.get_mut();
                let old = Place { segment: entry.segment, row: entry.row };
                entry.segment = place.segment;
                entry.row = place.row;
                Some(old)
            }
            hashbrown::hash_table::Entry::Vacant(free) => {
                free.insert(Entry { key, segment: place.segment, row: place.row });
                None
            }
        }
    }

    pub fn remove(&mut self, key: &Key) -> Option<Place> {
        match self.table.find_entry(spread(key), |e| e.key == *key) {
            Ok(found) => {
                let (entry, _) = found.remove();
                Some(Place { segment: entry.segment, row: entry.row })
            }
            Err(_) => None,
        }
    }

    pub fn clear(&mut self) {
        self.table.clear();
    }
}

/// Turns key columns into index keys.
pub struct KeyEncoder {
    exact: bool,
    a: RandomState,
    b: RandomState,
}

fn width(data_type: &DataType) -> Option<usize> {
    Some(match data_type {
        DataType::Boolean | DataType::Int8 => 1,
        DataType::Int16 => 2,
        DataType::Int32 | DataType::Date32 => 4,
        DataType::Int64 | DataType::Timestamp(..) => 8,
        DataType::Decimal128(..) => 16,
        _ => return None,
    })
}

impl KeyEncoder {
    /// `types` are the key columns' Arrow types; `nullable` whether any may hold NULL.
    pub fn new(types: &[DataType], nullable: bool) -> KeyEncoder {
        let bytes: Option<usize> = types.iter().map(width).sum();
        KeyEncoder {
            exact: !nullable && bytes.is_some_and(|b| b <= 16),
            // Fixed seeds: the index is rebuilt at every start and never leaves the process.
            a: RandomState::with_seeds(0x5757_4541, 0x5349_4e47, 0x1234_5678, 0x9abc_def0),
            b: RandomState::with_seeds(0x0fed_cba9, 0x8765_4321, 0x5445_4e53, 0x4b45_5953),
        }
    }

    /// One key per row.
    pub fn encode(&self, columns: &[ArrayRef]) -> Result<Vec<Key>> {
        let rows = columns.first().map_or(0, |c| c.len());
        let mut out = Vec::with_capacity(rows);
        if self.exact && columns.len() == 1 && columns[0].null_count() == 0 {
            let c = &columns[0];
            macro_rules! fast {
                ($t:ty, $u:ty) => {{
                    out.extend(c.as_primitive::<$t>().values().iter().map(|v| [*v as $u as u64, 0]));
                    return Ok(out);
                }};
            }
            match c.data_type() {
                DataType::Int8 => fast!(Int8Type, u8),
                DataType::Int16 => fast!(Int16Type, u16),
                DataType::Int32 => fast!(Int32Type, u32),
                DataType::Int64 => fast!(Int64Type, u64),
                DataType::Date32 => fast!(Date32Type, u32),
                _ => {}
            }
        }
        let mut bytes = Vec::with_capacity(64);
        for row in 0..rows {
            bytes.clear();
            for column in columns {
                encode_value(column, row, self.exact, &mut bytes)?;
            }
            out.push(if self.exact {
                let mut raw = [0u8; 16];
                let n = bytes.len().min(16);
                raw[..n].copy_from_slice(&bytes[..n]);
                let v = u128::from_le_bytes(raw);
                [v as u64, (v >> 64) as u64]
            } else {
                [self.a.hash_one(&bytes[..]), self.b.hash_one(&bytes[..])]
            });
        }
        Ok(out)
    }
}

fn encode_value(column: &ArrayRef, row: usize, exact: bool, out: &mut Vec<u8>) -> Result<()> {
    if !exact {
        if column.is_null(row) {
            out.push(0);
            return Ok(());
        }
        out.push(1);
    }
    match column.data_type() {
        DataType::Boolean => out.push(u8::from(column.as_boolean().value(row))),
        DataType::Int8 => out.extend_from_slice(&column.as_primitive::<Int8Type>().value(row).to_le_bytes()),
        DataType::Int16 => out.extend_from_slice(&column.as_primitive::<Int16Type>().value(row).to_le_bytes()),
        DataType::Int32 => out.extend_from_slice(&column.as_primitive::<Int32Type>().value(row).to_le_bytes()),
        DataType::Int64 => out.extend_from_slice(&column.as_primitive::<Int64Type>().value(row).to_le_bytes()),
        DataType::Date32 => out.extend_from_slice(&column.as_primitive::<Date32Type>().value(row).to_le_bytes()),
        DataType::Timestamp(..) => match column.as_primitive_opt::<TimestampMicrosecondType>() {
            Some(a) => out.extend_from_slice(&a.value(row).to_le_bytes()),
            None => return Err(Error::internal("a key column has an unexpected time unit")),
        },
        DataType::Decimal128(..) => {
            out.extend_from_slice(&column.as_primitive::<Decimal128Type>().value(row).to_le_bytes());
        }
        DataType::Utf8 => {
            let text = column.as_string::<i32>().value(row);
            out.extend_from_slice(&(text.len() as u32).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        other => {
            let text = Value::get(column, &SqlType::of_arrow(other), row).as_text().unwrap_or_default();
            out.extend_from_slice(&(text.len() as u32).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_key_moves_to_its_newest_place_and_can_be_removed() {
        let mut index = KeyIndex::default();
        for i in 0..1000u64 {
            assert!(index.put([i, 0], Place { segment: 0, row: i as u32 }).is_none());
        }
        assert_eq!(index.put([5, 0], Place { segment: 1, row: 0 }), Some(Place { segment: 0, row: 5 }));
        assert_eq!(index.get(&[5, 0]), Some(Place { segment: 1, row: 0 }));
        assert_eq!(index.remove(&[5, 0]), Some(Place { segment: 1, row: 0 }));
        assert!(index.get(&[5, 0]).is_none());
        assert_eq!(index.len(), 999);
    }

    #[test]
    fn composite_keys_do_not_run_into_each_other() {
        let a: ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["ab", "a"]));
        let b: ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["c", "bc"]));
        let keys = KeyEncoder::new(&[DataType::Utf8, DataType::Utf8], false).encode(&[a, b]).unwrap();
        assert_ne!(keys[0], keys[1]);
    }
}
