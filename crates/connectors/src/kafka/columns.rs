//! Columns that come from the message itself, not from its value.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Array, Int64Array, MapArray, StringArray, StringBuilder, StructArray,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType as ArrowType;
use starweir_model::{Error, Result};

use super::METADATA;
use super::batch::RawMessage;
use crate::format::{FormatPlan, cast};

/// A header list as the message holds it; a header may have no value.
type Headers = Vec<(String, Option<Vec<u8>>)>;

/// Columns the connector fills itself, for the rows the decoder holds. Only those that are wanted are gathered.
#[derive(Default)]
pub(super) struct OwnColumns {
    wants: Vec<bool>,
    any: bool,
    topics: Vec<u32>,
    partitions: Vec<i32>,
    headers: Vec<Arc<Headers>>,
    leader_epochs: Vec<Option<i32>>,
    offsets: Vec<i64>,
    timestamps_us: Vec<i64>,
    timestamp_types: Vec<&'static str>,
    /// For each row, its row in the key batch.
    key_rows: Vec<u32>,
    /// Arrays of the batch under way: a query may want one of them more than once.
    built: Vec<Option<ArrayRef>>,
    built_key_rows: Option<UInt32Array>,
}

impl OwnColumns {
    pub(super) fn new(plan: &FormatPlan) -> Self {
        let wants: Vec<bool> = (0..METADATA.len()).map(|own| plan.wants(own)).collect();
        Self { any: plan.wants_own(), built: vec![None; wants.len()], wants, ..Self::default() }
    }

    /// Notes a message that gave this many rows.
    pub(super) fn push(&mut self, message: &RawMessage<'_>, topic: usize, rows: usize, key_row: Option<u32>) {
        fn repeat<T: Clone>(list: &mut Vec<T>, value: T, rows: usize) {
            list.extend(std::iter::repeat_n(value, rows));
        }
        if !self.any {
            return;
        }
        if self.wants[0] {
            repeat(&mut self.topics, topic as u32, rows);
        }
        if self.wants[1] {
            repeat(&mut self.partitions, message.partition(), rows);
        }
        if self.wants[2] {
            repeat(&mut self.headers, Arc::new(message.headers()), rows);
        }
        if self.wants[3] {
            repeat(&mut self.leader_epochs, message.leader_epoch(), rows);
        }
        if self.wants[4] {
            repeat(&mut self.offsets, message.offset(), rows);
        }
        if self.wants[5] || self.wants[6] {
            let (ms, kind) = message.timestamp();
            repeat(&mut self.timestamps_us, ms.saturating_mul(1000), rows);
            repeat(&mut self.timestamp_types, kind, rows);
        }
        if let Some(row) = key_row {
            repeat(&mut self.key_rows, row, rows);
        }
    }

    /// For each row of the batch, its row among the decoded keys.
    pub(super) fn key_rows(&mut self) -> &UInt32Array {
        let Self { built_key_rows, key_rows, .. } = self;
        built_key_rows.get_or_insert_with(|| UInt32Array::from(std::mem::take(key_rows)))
    }

    /// A column of [`METADATA`], in the declared type.
    pub(super) fn column(&mut self, own: usize, topics: &[String], data_type: &ArrowType) -> Result<ArrayRef> {
        if own == 2 {
            return header_map(&self.headers, data_type);
        }
        if let Some(array) = &self.built[own] {
            return cast(array, data_type);
        }
        let array: ArrayRef = match own {
            0 => Arc::new(StringArray::from_iter_values(self.topics.iter().map(|t| topics[*t as usize].as_str()))),
            1 => Arc::new(Int32Array::from(std::mem::take(&mut self.partitions))),
            3 => Arc::new(Int32Array::from(std::mem::take(&mut self.leader_epochs))),
            4 => Arc::new(Int64Array::from(std::mem::take(&mut self.offsets))),
            5 => {
                let timestamps = std::mem::take(&mut self.timestamps_us);
                Arc::new(TimestampMicrosecondArray::from(timestamps).with_timezone("UTC"))
            }
            _ => Arc::new(StringArray::from(std::mem::take(&mut self.timestamp_types))),
        };
        let made = cast(&array, data_type);
        self.built[own] = Some(array);
        made
    }

    /// Forgets the rows of the batch that was handed out.
    pub(super) fn clear(&mut self) {
        self.topics.clear();
        self.partitions.clear();
        self.headers.clear();
        self.leader_epochs.clear();
        self.offsets.clear();
        self.timestamps_us.clear();
        self.timestamp_types.clear();
        self.key_rows.clear();
        self.built.fill(None);
        self.built_key_rows = None;
    }
}

/// Headers as the declared MAP type. Of equal keys the last one counts; a header without a value is NULL where the
/// declared value type allows it, and left out otherwise.
fn header_map(rows: &[Arc<Headers>], data_type: &ArrowType) -> Result<ArrayRef> {
    let wrong = || Error::user("metadata column 'headers' must be a MAP<STRING, BYTES>");
    let ArrowType::Map(entries, sorted) = data_type else { return Err(wrong()) };
    let ArrowType::Struct(fields) = entries.data_type() else { return Err(wrong()) };
    let [key_field, value_field] = &fields[..] else { return Err(wrong()) };
    let (mut keys, mut values) = (StringBuilder::new(), BinaryBuilder::new());
    let mut lengths = Vec::with_capacity(rows.len());
    for headers in rows {
        let last: BTreeMap<&str, Option<&[u8]>> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        let mut length = 0;
        for (name, value) in last {
            if value.is_some() || value_field.is_nullable() {
                keys.append_value(name);
                values.append_option(value);
                length += 1;
            }
        }
        lengths.push(length);
    }
    let (keys, values): (ArrayRef, ArrayRef) = (Arc::new(keys.finish()), Arc::new(values.finish()));
    let columns = vec![cast(&keys, key_field.data_type())?, cast(&values, value_field.data_type())?];
    let failed = |e| Error::user("metadata column 'headers' holds a value that is not of its type").with_source(e);
    let structs = StructArray::try_new(fields.clone(), columns, None).map_err(failed)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(MapArray::try_new(entries.clone(), offsets, structs, None, *sorted).map_err(failed)?))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, RecordBatch};
    use arrow::datatypes::Schema as ArrowSchema;
    use starweir_model::{DataType, LogicalType};

    use super::*;

    fn map_of(value_nullable: bool) -> DataType {
        let key = DataType::not_null(LogicalType::STRING);
        let value = if value_nullable {
            DataType::nullable(LogicalType::BYTES)
        } else {
            DataType::not_null(LogicalType::BYTES)
        };
        DataType::not_null(LogicalType::Map(Box::new(key), Box::new(value)))
    }

    #[test]
    fn headers_have_exactly_the_arrow_type_of_their_declaration() {
        let rows = [
            Arc::new(vec![("a".into(), Some(b"1".to_vec())), ("a".into(), Some(b"2".to_vec())), ("n".into(), None)]),
            Arc::new(Vec::new()),
        ];
        for (nullable, entries) in [(false, 1), (true, 2)] {
            let field = map_of(nullable).to_arrow_field("headers");
            let array = header_map(&rows, field.data_type()).unwrap();
            let map = array.as_any().downcast_ref::<MapArray>().unwrap();
            assert_eq!((map.value_length(0), map.value_length(1)), (entries, 0));
            let schema = Arc::new(ArrowSchema::new(vec![field]));
            let batch = RecordBatch::try_new(schema, vec![array.clone()]).unwrap();
            assert_eq!(batch.num_rows(), 2);
        }
    }
}
