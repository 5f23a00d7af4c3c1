//! Batches of captured tables into what StarRocks' columns take: TIME is text there, and so is a decimal in a key.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringBuilder};
use arrow::datatypes::{Decimal128Type, Field, Time64MicrosecondType};
use starweir_engine::{Chunk, Encoder};
use starweir_model::{ChangeBatch, Column, DataType, Decimal, Error, LogicalType, Result, Schema, TableSchema};

/// What a column is turned into before it is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// `HH:mm:ss` and so many digits of a second.
    TimeText(u8),
    /// All digits of the scale.
    DecimalText(u8),
}

fn turn(of: &DataType, key: bool) -> Option<Turn> {
    match of.logical {
        LogicalType::Time(precision) => Some(Turn::TimeText(precision.min(6))),
        LogicalType::Decimal(_, scale) if key => Some(Turn::DecimalText(scale)),
        _ => None,
    }
}

/// The columns and key as the loads of a table have them.
pub(super) fn load_schema(schema: &TableSchema) -> Schema {
    let columns = schema
        .columns
        .iter()
        .map(|column| {
            let key = schema.primary_keys.contains(&column.name);
            let nullable = column.data_type.nullable && !key;
            let data_type = match turn(&column.data_type, key) {
                Some(_) => DataType::string(),
                None => column.data_type.clone(),
            };
            Column::new(column.name.clone(), data_type.with_nullable(nullable))
        })
        .collect();
    Schema::new(columns).with_primary_key(schema.primary_key_indices())
}

/// Turns columns, then hands on.
pub(super) struct Turning {
    inner: Box<dyn Encoder>,
    turns: Vec<(usize, Turn)>,
}

impl Turning {
    pub(super) fn new(inner: Box<dyn Encoder>, schema: &TableSchema) -> Self {
        let turns = schema
            .columns
            .iter()
            .enumerate()
            .filter_map(|(at, c)| Some((at, turn(&c.data_type, schema.primary_keys.contains(&c.name))?)))
            .collect();
        Self { inner, turns }
    }
}

impl Encoder for Turning {
    fn encode(&mut self, batch: &ChangeBatch) -> Result<()> {
        if self.turns.is_empty() {
            return self.inner.encode(batch);
        }
        let mut columns = batch.batch.columns().to_vec();
        let mut fields: Vec<_> = batch.batch.schema().fields().iter().cloned().collect();
        for (at, turn) in &self.turns {
            columns[*at] = texts(&columns[*at], *turn)?;
            fields[*at] = Arc::new(Field::new(fields[*at].name(), columns[*at].data_type().clone(), true));
        }
        let turned = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns)
            .map_err(|e| Error::internal("columns could not be turned into text").with_source(e))?;
        self.inner.encode(&ChangeBatch { batch: turned, kinds: batch.kinds.clone(), watermark_ms: batch.watermark_ms })
    }

    fn buffered_bytes(&self) -> usize {
        self.inner.buffered_bytes()
    }

    fn take(&mut self) -> Option<Chunk> {
        self.inner.take()
    }
}

fn texts(array: &ArrayRef, turn: Turn) -> Result<ArrayRef> {
    let unlike = || Error::internal("a column is not held as its type says");
    let mut out = StringBuilder::with_capacity(array.len(), array.len() * 12);
    let mut text = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            out.append_null();
            continue;
        }
        text.clear();
        match turn {
            Turn::TimeText(precision) => {
                let micros = array.as_primitive_opt::<Time64MicrosecondType>().ok_or_else(unlike)?.value(row);
                time_text(&mut text, micros, precision);
            }
            Turn::DecimalText(scale) => {
                let unscaled = array.as_primitive_opt::<Decimal128Type>().ok_or_else(unlike)?.value(row);
                let _ = write!(text, "{}", Decimal { unscaled, scale });
            }
        }
        out.append_value(&text);
    }
    Ok(Arc::new(out.finish()))
}

/// `HH:mm:ss` and `precision` digits; more than a day and less than none as MySQL has them.
fn time_text(out: &mut String, micros: i64, precision: u8) {
    let sign = if micros < 0 { "-" } else { "" };
    let micros = micros.unsigned_abs();
    let seconds = micros / 1_000_000;
    let _ = write!(out, "{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if precision > 0 {
        let digits = format!("{:06}", micros % 1_000_000);
        out.push('.');
        out.push_str(&digits[..usize::from(precision)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_digits_their_type_says() {
        for (micros, precision, expected) in [
            (0, 0, "00:00:00"),
            (63_045_123_456, 3, "17:30:45.123"),
            (63_045_123_456, 6, "17:30:45.123456"),
            (-3_020_399_000_000, 0, "-838:59:59"),
        ] {
            let mut text = String::new();
            time_text(&mut text, micros, precision);
            assert_eq!(text, expected);
        }
    }
}
