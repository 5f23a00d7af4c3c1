//! Bytes ⇄ [`ChangeBatch`]: json, csv, raw, debezium-json, canal-json, maxwell-json and ogg-json, with Flink's
//! options and coercions.
//!
//! Pure: no I/O, no clock. A message's values go straight into typed columns; no value tree is built.
//!
//! ```text
//! message bytes ─► Decoder::decode ─► typed columns ─► Decoder::finish ─► ChangeBatch
//! ChangeBatch ─► Encoder::encode ─► bytes (and where each record ends)
//! ```
//!
//! Start from [`decoder`] and [`Decoder`]; the other way from [`encoder`] and [`Encoder`]. Changes of captured tables
//! are written by [`encode`].
//!
//! ```
//! use starweir_formats::{decoder, definitions};
//! use starweir_model::{Column, DataType, LogicalType, Options, Schema};
//!
//! let schema = Schema::new(vec![
//!     Column::new("id", DataType::nullable(LogicalType::BigInt)),
//!     Column::new("name", DataType::string()),
//! ]);
//! let options = Options::parse(definitions("json").unwrap(), []).unwrap();
//! let mut json = decoder("json", &schema, &[], &options).unwrap();
//! assert_eq!(json.decode(br#"{"id": 1, "name": "a"}"#).unwrap(), 1);
//! assert_eq!(json.finish().unwrap().rows(), 1);
//! ```

mod changes;
mod column;
mod convert;
mod csv;
mod debezium;
mod decimal;
pub mod encode;
mod error;
mod json;
pub mod mysql;
mod options;
pub mod postgres;
mod raw;
mod scan;
mod time;
mod write;

use arrow::datatypes::SchemaRef;
use starweir_model::{ChangeBatch, DataType, Error, Options, Result, Schema};

use crate::changes::{ChangeDecoder, Flavor};

pub use decimal::{NotANumber, decimal_from_bytes, parse_decimal};
pub use error::{DecodeError, DecodeErrorKind};
pub use options::{FORMATS, definitions};
pub use time::{TimestampStyle, civil_from_days, days_from_civil, parse_date};
pub use write::{Encoder, encoder};

/// What a format's rows mean together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangelogMode {
    /// Only `+I`.
    AppendOnly,
    /// `+I`, `-U`, `+U`, `-D`: every update comes with its old row.
    Retract,
    /// Keyed, without `-U`.
    Upsert,
}

/// How records are laid out in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One record per line.
    Lines,
    /// Lines, but a quoted field may hold line ends.
    QuotedLines,
}

/// What the rows of this format mean together; None for an unknown format.
pub fn changelog_mode(format: &str) -> Option<ChangelogMode> {
    match format {
        "json" | "csv" | "raw" => Some(ChangelogMode::AppendOnly),
        "debezium-json" | "canal-json" | "maxwell-json" | "ogg-json" => Some(ChangelogMode::Retract),
        _ => None,
    }
}

/// How this format's records are laid out in files; None for an unknown format.
pub fn framing(format: &str) -> Option<Framing> {
    match format {
        "json" | "raw" | "debezium-json" | "canal-json" | "maxwell-json" | "ogg-json" => Some(Framing::Lines),
        "csv" => Some(Framing::QuotedLines),
        _ => None,
    }
}

/// The metadata columns a format can give, and the type of each (Flink's names).
pub fn metadata(format: &str) -> Vec<(&'static str, DataType)> {
    match format {
        "debezium-json" => debezium::metadata(),
        "canal-json" => changes::metadata(Flavor::Canal),
        "maxwell-json" => changes::metadata(Flavor::Maxwell),
        "ogg-json" => changes::metadata(Flavor::Ogg),
        _ => Vec::new(),
    }
}

/// What one call of [`Decoder::decode_lines`] did.
#[derive(Debug, Default)]
pub struct Lines {
    /// Bytes read: whole records and their line ends. A source resumes at this distance.
    pub consumed: usize,
    /// Rows appended.
    pub rows: usize,
    /// Records read, skipped and failed ones included; blank lines are none.
    pub records: usize,
    /// The record that stopped the call; it lies within `consumed`, so calling again goes on after it.
    pub failed: Option<FailedRecord>,
}

/// A record that could not be decoded, and where it lies in the buffer.
#[derive(Debug)]
pub struct FailedRecord {
    pub error: DecodeError,
    pub start: usize,
    /// After the record's last byte, its line end not counted.
    pub end: usize,
}

/// Turns messages into rows of one schema.
///
/// The output's columns are those of the schema, then the metadata columns asked for, in order. A
/// message that fails leaves nothing behind: the decoder is as it was before. With
/// `ignore-parse-errors` it is counted in [`skipped`](Decoder::skipped) instead of failing. Callers
/// that have columns of their own per row (a Kafka offset) use the number of rows `decode` returns.
pub trait Decoder: Send {
    /// Appends the rows of one message and says how many (0 for a tombstone, 2 for an update of a
    /// change format). An empty message is a tombstone: no rows, no error (raw: one empty value).
    fn decode(&mut self, message: &[u8]) -> Result<usize, DecodeError>;

    /// Appends the records of newline-separated `bytes` until `rows_max` rows are held, the bytes end, or
    /// a record fails. A last record without line end is read only when `last` (the file's end) is set.
    fn decode_lines(&mut self, bytes: &[u8], last: bool, rows_max: usize) -> Lines {
        let mut lines = Lines::default();
        while lines.consumed < bytes.len() && self.rows() < rows_max {
            let start = lines.consumed;
            let (end, next) = match memchr::memchr(b'\n', &bytes[start..]) {
                Some(at) => (start + at, start + at + 1),
                None if last => (bytes.len(), bytes.len()),
                None => break,
            };
            let record = &bytes[start..end];
            let record = record.strip_suffix(b"\r").unwrap_or(record);
            lines.consumed = next;
            if record.is_empty() && !self.empty_is_a_record() {
                continue;
            }
            lines.records += 1;
            match self.decode(record) {
                Ok(rows) => lines.rows += rows,
                Err(error) => {
                    lines.failed = Some(FailedRecord { error, start, end: start + record.len() });
                    break;
                }
            }
        }
        lines
    }

    /// Whether an empty line is a record (only for raw).
    fn empty_is_a_record(&self) -> bool {
        false
    }

    /// Rows held.
    fn rows(&self) -> usize;

    /// Bytes held, about.
    fn bytes(&self) -> usize;

    /// Messages left out because of `ignore-parse-errors`, since the decoder was made.
    fn skipped(&self) -> u64;

    /// The schema of the batches.
    fn schema(&self) -> SchemaRef;

    /// Takes the rows decoded so far and starts anew. An error is our own mistake, never the data's.
    fn finish(&mut self) -> Result<ChangeBatch>;
}

/// A decoder for `format` whose rows have the columns of `schema` (Flink types), then the metadata
/// columns asked for by key. `options` were parsed with [`definitions`] of the same format.
/// Errors: an unknown format, a metadata key it does not have, or a type it cannot read.
pub fn decoder(
    format: &str,
    schema: &Schema,
    metadata: &[(String, DataType)],
    options: &Options,
) -> Result<Box<dyn Decoder>> {
    if matches!(format, "json" | "csv" | "raw")
        && let Some((key, _)) = metadata.first()
    {
        return Err(Error::user(format!("format '{format}' has no metadata column '{key}'")));
    }
    match format {
        "json" => Ok(Box::new(json::JsonDecoder::new(schema, options)?)),
        "csv" => Ok(Box::new(csv::CsvDecoder::new(schema, options)?)),
        "raw" => Ok(Box::new(raw::RawDecoder::new(schema, options)?)),
        "debezium-json" => Ok(Box::new(debezium::DebeziumDecoder::new(schema, metadata, options)?)),
        "canal-json" => Ok(Box::new(ChangeDecoder::new(Flavor::Canal, schema, metadata, options)?)),
        "maxwell-json" => Ok(Box::new(ChangeDecoder::new(Flavor::Maxwell, schema, metadata, options)?)),
        "ogg-json" => Ok(Box::new(ChangeDecoder::new(Flavor::Ogg, schema, metadata, options)?)),
        _ => Err(options::unknown(format)),
    }
}
