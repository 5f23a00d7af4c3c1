//! `csv`: one row per line, columns by position.
//!
//! Source of the rules: Flink 1.20 `CsvRowDataDeserializationSchema` over Jackson's CSV reader: a quote counts
//! only at the start of a field, a doubled quote within one stands for itself, line ends may stand within quotes.

use arrow::datatypes::SchemaRef;
use starweir_model::{ChangeBatch, DataType, Error, LogicalType, Options, Result, Schema};

use crate::column::{Column, Members, Values};
use crate::convert::{Rules, append_text};
use crate::error::{DecodeError, DecodeErrorKind, Decoded, bad_value, fault, in_field, malformed};
use crate::json::{checked_utf8, finish_members};
use crate::options::character;
use crate::time::TimestampStyle;
use crate::{Decoder, FailedRecord, Lines};

pub(crate) struct CsvDecoder {
    members: Members,
    schema: SchemaRef,
    rules: Rules,
    delimiter: u8,
    quote: Option<u8>,
    escape: Option<u8>,
    comments: bool,
    null_literal: Option<Vec<u8>>,
    element_delimiter: Vec<u8>,
    scratch: Vec<u8>,
    skipped: u64,
}

/// Delimiter, quote and escape of a CSV format's options.
pub(crate) fn characters(options: &Options) -> Result<(u8, Option<u8>, Option<u8>)> {
    let delimiter = character(options, "field-delimiter")?.unwrap_or(b',');
    let quote = if options.bool("disable-quote-character") == Some(true) {
        None
    } else {
        character(options, "quote-character")?.or(Some(b'"'))
    };
    let escape = character(options, "escape-character")?;
    if quote == Some(delimiter) || escape == Some(delimiter) || matches!(delimiter, b'\n' | b'\r') {
        return Err(Error::user("option 'field-delimiter' must differ from the quote, the escape and a line end"));
    }
    Ok((delimiter, quote, escape))
}

fn check_type(data_type: &DataType, column: &str, nested: bool) -> Result<()> {
    match &data_type.logical {
        LogicalType::Array(element) if !nested => check_type(element, column, true),
        LogicalType::Row(fields) if !nested => fields.iter().try_for_each(|f| check_type(&f.data_type, column, true)),
        LogicalType::Array(_) | LogicalType::Row(_) | LogicalType::Map(..) | LogicalType::Multiset(_) => {
            Err(Error::user(format!("the csv format does not support type {} of column '{column}'", data_type.logical)))
        }
        _ => Ok(()),
    }
}

impl CsvDecoder {
    pub fn new(schema: &Schema, options: &Options) -> Result<Self> {
        for column in &schema.columns {
            check_type(&column.data_type, &column.name, false)?;
        }
        let (delimiter, quote, escape) = characters(options)?;
        Ok(Self {
            members: Members::new(schema.columns.iter().map(|c| (c.name.clone(), c.data_type.clone())))?,
            schema: schema.to_arrow(),
            rules: Rules {
                // Flink's CSV reader takes both spellings.
                timestamps: TimestampStyle::Any,
                ignore_errors: options.bool("ignore-parse-errors").unwrap_or(false),
                fail_on_missing: false,
                change: false,
                base64_decimals: false,
                times_in_micros: false,
            },
            delimiter,
            quote,
            escape,
            comments: options.bool("allow-comments").unwrap_or(false),
            null_literal: options.text("null-literal").map(|t| t.as_bytes().to_vec()),
            element_delimiter: options.text("array-element-delimiter").unwrap_or(";").as_bytes().to_vec(),
            scratch: Vec::new(),
            skipped: 0,
        })
    }

    fn row_of(&mut self, line: &[u8]) -> Decoded<()> {
        checked_utf8(line)?;
        let row = self.members.len;
        let mut at = 0;
        let mut index = 0;
        loop {
            let start = at;
            let quoted = self.quote.is_some() && line.get(at).copied() == self.quote;
            let plain = if quoted {
                at = self.quoted_field(line, at)?;
                None
            } else {
                let end = match self.escape {
                    None => memchr::memchr(self.delimiter, &line[at..]).map_or(line.len(), |n| at + n),
                    Some(escape) => {
                        let mut end = at;
                        while end < line.len() && line[end] != self.delimiter {
                            end += if line[end] == escape { 2 } else { 1 };
                        }
                        end.min(line.len())
                    }
                };
                let field = &line[at..end];
                at = end;
                match self.escape {
                    Some(escape) if memchr::memchr(escape, field).is_some() => {
                        self.scratch.clear();
                        unescape(field, escape, &mut self.scratch);
                        None
                    }
                    _ => Some(field),
                }
            };
            let text = plain.unwrap_or(&self.scratch);
            match self.members.columns.get_mut(index) {
                None => {
                    let reason = format!("the line has more than the {} fields declared", self.members.columns.len());
                    return Err(fault(DecodeErrorKind::Malformed, start, reason));
                }
                Some(column) => {
                    let limits = Limits { null: self.null_literal.as_deref(), element: &self.element_delimiter };
                    append_field(column, text, start, &self.rules, &limits)
                        .map_err(|e| in_field(e, &self.members.names[index]))?;
                }
            }
            index += 1;
            match line.get(at) {
                Some(byte) if *byte == self.delimiter => at += 1,
                Some(_) => return Err(malformed(at, "text between a closing quote and the next delimiter")),
                None => break,
            }
        }
        if index < self.members.columns.len() {
            if !self.rules.ignore_errors {
                let declared = self.members.columns.len();
                let reason = format!("row length mismatch: {declared} fields expected but there are {index}");
                return Err(fault(DecodeErrorKind::Missing, line.len(), reason));
            }
            crate::convert::fill_missing(&mut self.members, row, line.len(), &self.rules)?;
        }
        self.members.len += 1;
        Ok(())
    }

    /// Reads the quoted field at `start` into the scratch and says where it ends (after its closing quote).
    fn quoted_field(&mut self, line: &[u8], start: usize) -> Decoded<usize> {
        let quote = self.quote.unwrap_or(b'"');
        self.scratch.clear();
        let mut at = start + 1;
        loop {
            let rest = line.get(at..).unwrap_or_default();
            let found = match self.escape {
                Some(escape) => memchr::memchr2(quote, escape, rest),
                None => memchr::memchr(quote, rest),
            };
            let Some(found) = found else { return Err(malformed(start, "a quoted field without end")) };
            self.scratch.extend_from_slice(&rest[..found]);
            at += found;
            if line[at] != quote {
                if let Some(byte) = line.get(at + 1) {
                    self.scratch.push(escaped(*byte));
                }
                at += 2;
            } else if line.get(at + 1) == Some(&quote) {
                self.scratch.push(quote);
                at += 2;
            } else {
                // Spaces between the closing quote and the delimiter do not count.
                at += 1;
                while line.get(at) == Some(&b' ') && self.delimiter != b' ' {
                    at += 1;
                }
                return Ok(at);
            }
        }
    }

    /// Where the record at the start of `bytes` ends: (its end, the next record's start). None without a line end.
    fn record_end(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        let first = memchr::memchr(b'\n', bytes)?;
        let whole = Some((first, first + 1));
        let Some(quote) = self.quote else { return whole };
        if memchr::memchr(quote, &bytes[..first]).is_none() || (self.comments && bytes.first() == Some(&b'#')) {
            return whole;
        }
        let mut in_quotes = false;
        let mut field_start = true;
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if Some(byte) == self.escape {
                at += 2;
                field_start = false;
                continue;
            }
            if in_quotes {
                if byte == quote {
                    if bytes.get(at + 1) == Some(&quote) {
                        at += 1;
                    } else {
                        in_quotes = false;
                    }
                }
            } else if byte == quote && field_start {
                in_quotes = true;
                field_start = false;
            } else if byte == b'\n' {
                return Some((at, at + 1));
            } else {
                field_start = byte == self.delimiter;
            }
            at += 1;
        }
        None
    }
}

struct Limits<'a> {
    null: Option<&'a [u8]>,
    element: &'a [u8],
}

/// Jackson's meaning of a character after the escape: letters for control characters, all others themselves.
fn escaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'0' => 0,
        other => other,
    }
}

fn unescape(field: &[u8], escape: u8, out: &mut Vec<u8>) {
    let mut bytes = field.iter();
    while let Some(&byte) = bytes.next() {
        if byte != escape {
            out.push(byte);
        } else if let Some(&next) = bytes.next() {
            out.push(escaped(next));
        }
    }
}

fn append_field(column: &mut Column, text: &[u8], offset: usize, rules: &Rules, limits: &Limits<'_>) -> Decoded<()> {
    if limits.null == Some(text) {
        return column.append_null(offset);
    }
    let before = column.len();
    let result = match &mut column.values {
        Values::List { offsets, item } => append_elements(item, text, offset, rules, limits).and_then(|()| {
            let end = i32::try_from(item.len())
                .map_err(|_| fault(DecodeErrorKind::Full, offset, "the batch holds 2^31 elements in one column"))?;
            offsets.push(end);
            Ok(true)
        }),
        Values::Row(members) => append_members(members, text, offset, rules, limits).map(|()| true),
        _ => append_text(column, text, offset, rules).map(|()| false),
    };
    let result = result.map(|nested| {
        if nested {
            column.mark();
        }
    });
    match result {
        Err(error) if rules.ignore_errors && column.nullable && error.kind == DecodeErrorKind::Value => {
            column.truncate(before);
            column.append_null(offset)
        }
        result => result,
    }
}

fn append_elements(item: &mut Column, text: &[u8], offset: usize, rules: &Rules, limits: &Limits<'_>) -> Decoded<()> {
    if text.is_empty() {
        return Ok(());
    }
    for element in split(text, limits.element) {
        append_field(item, element, offset, rules, limits)?;
    }
    Ok(())
}

fn append_members(
    members: &mut Members,
    text: &[u8],
    offset: usize,
    rules: &Rules,
    limits: &Limits<'_>,
) -> Decoded<()> {
    let mut elements = split(text, limits.element);
    for (column, name) in members.columns.iter_mut().zip(&members.names) {
        let element = elements.next().ok_or_else(|| bad_value(offset, "the ROW has too few elements"))?;
        append_field(column, element, offset, rules, limits).map_err(|e| in_field(e, name))?;
    }
    if elements.next().is_some() {
        return Err(bad_value(offset, "the ROW has too many elements"));
    }
    members.len += 1;
    Ok(())
}

fn split<'a>(text: &'a [u8], delimiter: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let current = rest?;
        let found = if delimiter.is_empty() { None } else { memchr::memmem::find(current, delimiter) };
        match found {
            Some(at) => {
                rest = Some(&current[at + delimiter.len()..]);
                Some(&current[..at])
            }
            None => {
                rest = None;
                Some(current)
            }
        }
    })
}

impl Decoder for CsvDecoder {
    fn decode(&mut self, message: &[u8]) -> Result<usize, DecodeError> {
        let line = message.strip_suffix(b"\n").unwrap_or(message);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() || (self.comments && line.first() == Some(&b'#')) {
            return Ok(0);
        }
        let before = self.members.len;
        match self.row_of(line) {
            Ok(()) => Ok(1),
            Err(error) => {
                self.members.truncate(before);
                if self.rules.ignore_errors && error.kind != DecodeErrorKind::Full {
                    self.skipped += 1;
                    return Ok(0);
                }
                Err(*error)
            }
        }
    }

    fn decode_lines(&mut self, bytes: &[u8], last: bool, rows_max: usize) -> Lines {
        let mut lines = Lines::default();
        while lines.consumed < bytes.len() && self.rows() < rows_max {
            let start = lines.consumed;
            let (end, next) = match self.record_end(&bytes[start..]) {
                Some((end, next)) => (start + end, start + next),
                None if last => (bytes.len(), bytes.len()),
                None => break,
            };
            lines.consumed = next;
            let record = &bytes[start..end];
            if record.is_empty() || record == b"\r" {
                continue;
            }
            lines.records += 1;
            match self.decode(record) {
                Ok(rows) => lines.rows += rows,
                Err(error) => {
                    lines.failed = Some(FailedRecord { error, start, end });
                    break;
                }
            }
        }
        lines
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
