//! `json`: one object per message, or an array of them.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use starweir_model::{ChangeBatch, DataType, Error, LogicalType, Options, Result, Schema};

use crate::Decoder;
use crate::column::{Column, Members};
use crate::convert::{Rules, append_object};
use crate::error::{DecodeError, Decoded, malformed};
use crate::options::json_rules;
use crate::scan::Scanner;

pub(crate) struct JsonDecoder {
    members: Members,
    schema: SchemaRef,
    rules: Rules,
    skipped: u64,
}

/// Map keys come as text, so only character types can be keys.
pub(crate) fn check_types(data_type: &DataType, column: &str) -> Result<()> {
    match &data_type.logical {
        LogicalType::Map(key, value) => {
            check_key(key, column)?;
            check_types(value, column)
        }
        LogicalType::Multiset(element) => check_key(element, column),
        LogicalType::Array(element) => check_types(element, column),
        LogicalType::Row(fields) => fields.iter().try_for_each(|f| check_types(&f.data_type, column)),
        _ => Ok(()),
    }
}

fn check_key(key: &DataType, column: &str) -> Result<()> {
    if key.logical.is_character() {
        return Ok(());
    }
    Err(Error::user(format!(
        "JSON has text as keys only, but column '{column}' has a MAP or MULTISET whose key is {}",
        key.logical
    )))
}

/// The columns of a schema, ready to be filled from JSON.
pub(crate) fn members_of(schema: &Schema) -> Result<Members> {
    for column in &schema.columns {
        check_types(&column.data_type, &column.name)?;
    }
    Members::new(schema.columns.iter().map(|c| (c.name.clone(), c.data_type.clone())))
}

/// All columns as a batch.
pub(crate) fn finish_members(members: &mut Members, schema: &SchemaRef) -> Result<RecordBatch> {
    let rows = std::mem::take(&mut members.len);
    let arrays = members.columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), arrays, &options)
        .map_err(|e| Error::internal("decoded columns do not form a batch").with_source(e))
}

pub(crate) fn checked_utf8(message: &[u8]) -> Decoded<()> {
    match simdutf8::basic::from_utf8(message) {
        Ok(_) => Ok(()),
        Err(_) => {
            let offset = simdutf8::compat::from_utf8(message).err().map_or(0, |e| e.valid_up_to());
            Err(malformed(offset, "not UTF-8"))
        }
    }
}

impl JsonDecoder {
    pub fn new(schema: &Schema, options: &Options) -> Result<Self> {
        Ok(Self {
            members: members_of(schema)?,
            schema: schema.to_arrow(),
            rules: json_rules(options, false)?,
            skipped: 0,
        })
    }

    fn rows_of(&mut self, message: &[u8]) -> Decoded<()> {
        checked_utf8(message)?;
        let mut scanner = Scanner::new(message);
        match scanner.peek() {
            b'{' => append_object(&mut self.members, &mut scanner, &self.rules)?,
            b'[' => {
                scanner.take(b'[');
                if !scanner.take(b']') {
                    loop {
                        append_object(&mut self.members, &mut scanner, &self.rules)?;
                        if scanner.take(b',') {
                            continue;
                        }
                        scanner.expect(b']', "expected ',' or ']'")?;
                        break;
                    }
                }
            }
            b'n' => {
                scanner.take_null()?;
            }
            0 if scanner.position() == message.len() => {}
            _ => return Err(malformed(scanner.position(), "the message is neither an object nor an array of objects")),
        }
        scanner.end()
    }
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, message: &[u8]) -> Result<usize, DecodeError> {
        let before = self.members.len;
        match self.rows_of(message) {
            Ok(()) => Ok(self.members.len - before),
            Err(error) => {
                self.members.truncate(before);
                if self.rules.ignore_errors && error.kind != crate::DecodeErrorKind::Full {
                    self.skipped += 1;
                    return Ok(0);
                }
                Err(*error)
            }
        }
    }

    fn rows(&self) -> usize {
        self.members.len
    }

    fn bytes(&self) -> usize {
        self.members.columns.iter().map(Column::bytes).sum()
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn finish(&mut self) -> Result<ChangeBatch> {
        Ok(ChangeBatch::inserts(finish_members(&mut self.members, &self.schema)?))
    }
}
