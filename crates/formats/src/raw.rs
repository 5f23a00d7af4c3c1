//! `raw`: the message is the value of the only column.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use starweir_model::{ChangeBatch, Error, LogicalType, Options, Result, Schema};

use crate::Decoder;
use crate::column::{Column, Values};
use crate::error::{DecodeError, Decoded, bad_value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    Utf8,
    Latin1,
    Ascii,
    Utf16 { big_endian: bool, marked: bool },
}

impl Charset {
    /// Java's names and their common aliases; None for one we do not have.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.trim().to_ascii_uppercase().as_str() {
            "UTF-8" | "UTF8" => Self::Utf8,
            "ISO-8859-1" | "ISO8859_1" | "LATIN1" => Self::Latin1,
            "US-ASCII" | "ASCII" => Self::Ascii,
            "UTF-16" => Self::Utf16 { big_endian: true, marked: true },
            "UTF-16BE" => Self::Utf16 { big_endian: true, marked: false },
            "UTF-16LE" => Self::Utf16 { big_endian: false, marked: false },
            _ => return None,
        })
    }

    /// Appends the text as UTF-8; what is not of this encoding becomes U+FFFD, as in Java.
    pub fn append(self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut push = |c: char| out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        match self {
            Self::Utf8 => out.extend_from_slice(String::from_utf8_lossy(bytes).as_bytes()),
            Self::Latin1 => bytes.iter().for_each(|b| push(*b as char)),
            Self::Ascii => {
                bytes.iter().for_each(|b| push(if b.is_ascii() { *b as char } else { char::REPLACEMENT_CHARACTER }))
            }
            Self::Utf16 { mut big_endian, marked } => {
                let mut bytes = bytes;
                if marked {
                    match bytes {
                        [0xFE, 0xFF, rest @ ..] => bytes = rest,
                        [0xFF, 0xFE, rest @ ..] => {
                            bytes = rest;
                            big_endian = false;
                        }
                        _ => {}
                    }
                }
                let units = bytes.chunks_exact(2).map(|pair| {
                    if big_endian {
                        u16::from_be_bytes([pair[0], pair[1]])
                    } else {
                        u16::from_le_bytes([pair[0], pair[1]])
                    }
                });
                char::decode_utf16(units).for_each(|c| push(c.unwrap_or(char::REPLACEMENT_CHARACTER)));
                if bytes.len() % 2 == 1 {
                    push(char::REPLACEMENT_CHARACTER);
                }
            }
        }
    }
}

pub(crate) struct RawDecoder {
    column: Column,
    schema: SchemaRef,
    charset: Charset,
    little_endian: bool,
}

/// Charset and byte order from the options.
pub(crate) fn settings(options: &Options) -> Result<(Charset, bool)> {
    let name = options.text("charset").unwrap_or("UTF-8");
    let charset = Charset::from_name(name).ok_or_else(|| {
        Error::user(format!("charset '{name}' is not supported by the raw format"))
            .with_hint("supported are UTF-8, ISO-8859-1, US-ASCII, UTF-16, UTF-16BE and UTF-16LE")
    })?;
    Ok((charset, options.text("endianness").is_some_and(|e| e.eq_ignore_ascii_case("little-endian"))))
}

/// The type of the only column, if raw can hold it.
pub(crate) fn check_schema(schema: &Schema) -> Result<()> {
    let [column] = schema.columns.as_slice() else {
        return Err(Error::user(format!(
            "the raw format only supports a single physical column, but there are {}",
            schema.columns.len()
        )));
    };
    match &column.data_type.logical {
        LogicalType::Char(_)
        | LogicalType::VarChar(_)
        | LogicalType::Binary(_)
        | LogicalType::VarBinary(_)
        | LogicalType::Boolean
        | LogicalType::TinyInt
        | LogicalType::SmallInt
        | LogicalType::Int
        | LogicalType::BigInt
        | LogicalType::Float
        | LogicalType::Double => Ok(()),
        other => Err(Error::user(format!("the raw format does not support type {other} of column '{}'", column.name))),
    }
}

impl RawDecoder {
    pub fn new(schema: &Schema, options: &Options) -> Result<Self> {
        check_schema(schema)?;
        let (charset, little_endian) = settings(options)?;
        Ok(Self {
            column: Column::new(&schema.columns[0].data_type)?,
            schema: schema.to_arrow(),
            charset,
            little_endian,
        })
    }

    fn push(&mut self, message: &[u8]) -> Decoded<()> {
        let little = self.little_endian;
        fn fixed<const N: usize>(message: &[u8], little: bool) -> Decoded<[u8; N]> {
            let mut bytes: [u8; N] = message
                .try_into()
                .map_err(|_| bad_value(0, "the message's length is not that of the column's type"))?;
            if little {
                bytes.reverse();
            }
            Ok(bytes)
        }
        match &mut self.column.values {
            Values::Text(bytes) => {
                self.charset.append(message, &mut bytes.data);
                bytes.end_value(0)?;
            }
            Values::Binary(bytes) => {
                bytes.data.extend_from_slice(message);
                bytes.end_value(0)?;
            }
            Values::Boolean(v) => v.push(fixed::<1>(message, little)?[0] != 0),
            Values::Int8(v) => v.push(i8::from_be_bytes(fixed(message, little)?)),
            Values::Int16(v) => v.push(i16::from_be_bytes(fixed(message, little)?)),
            Values::Int32(v) => v.push(i32::from_be_bytes(fixed(message, little)?)),
            Values::Int64(v) => v.push(i64::from_be_bytes(fixed(message, little)?)),
            Values::Float32(v) => v.push(f32::from_be_bytes(fixed(message, little)?)),
            Values::Float64(v) => v.push(f64::from_be_bytes(fixed(message, little)?)),
            _ => return Err(bad_value(0, "the raw format does not support the column's type")),
        }
        self.column.mark();
        Ok(())
    }
}

impl Decoder for RawDecoder {
    fn decode(&mut self, message: &[u8]) -> Result<usize, DecodeError> {
        let before = self.column.len();
        match self.push(message) {
            Ok(()) => Ok(1),
            Err(error) => {
                self.column.truncate(before);
                Err(DecodeError { field: Some(self.schema.field(0).name().clone()), ..*error })
            }
        }
    }

    fn empty_is_a_record(&self) -> bool {
        true
    }

    fn rows(&self) -> usize {
        self.column.len()
    }

    fn bytes(&self) -> usize {
        self.column.bytes()
    }

    fn skipped(&self) -> u64 {
        0
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn finish(&mut self) -> Result<ChangeBatch> {
        let array = self.column.finish()?;
        let batch = RecordBatch::try_new(self.schema.clone(), vec![array])
            .map_err(|e| Error::internal("decoded columns do not form a batch").with_source(e))?;
        Ok(ChangeBatch::inserts(batch))
    }
}
