//! CSV bodies. NULL is `\N`; nothing is escaped, so separators must not occur in texts.

use arrow::array::{Array, ArrayRef};
use starweir_model::{ChangeBatch, Error, Result};

use super::cell::{Cell, Values, ZoneOffset, base64, canonical};
use super::{LoadEncoder, Operations, check_width, columns_header, operation};

/// The longest separator the server takes, in bytes.
const SEPARATOR_BYTES_MAX: usize = 50;

/// Separators of a CSV body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    pub column_separator: Vec<u8>,
    pub row_delimiter: Vec<u8>,
    /// Texts stand between two of these, doubled inside. Not for transaction loads: they ignore the header.
    pub enclose: Option<u8>,
}

impl Default for CsvOptions {
    /// Control characters, which hardly any text holds.
    fn default() -> Self {
        Self { column_separator: vec![1], row_delimiter: vec![2], enclose: None }
    }
}

impl CsvOptions {
    /// From the values of the headers `column_separator` (default tab) and `row_delimiter` (default line feed).
    /// Errors: one is empty, longer than 50 bytes, not hexadecimal after `\x`, or both are alike.
    pub fn from_headers(column_separator: Option<&str>, row_delimiter: Option<&str>) -> Result<Self> {
        let options = Self {
            column_separator: parse_separator(column_separator.unwrap_or("\\t"))?,
            row_delimiter: parse_separator(row_delimiter.unwrap_or("\\n"))?,
            enclose: None,
        };
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<()> {
        for (name, separator) in [("column_separator", &self.column_separator), ("row_delimiter", &self.row_delimiter)]
        {
            if separator.is_empty() || separator.len() > SEPARATOR_BYTES_MAX {
                return Err(Error::user(format!("{name} must have 1 to {SEPARATOR_BYTES_MAX} bytes")));
            }
        }
        for separator in [&self.column_separator, &self.row_delimiter] {
            if separator.iter().all(|b| b.is_ascii_digit() || b".+-: \\NeE".contains(b)) {
                return Err(Error::user(
                    "a separator must not consist of characters that numbers, dates or NULL are written with",
                ));
            }
        }
        if self.column_separator == self.row_delimiter {
            return Err(Error::user("column_separator and row_delimiter must differ"));
        }
        Ok(())
    }
}

/// A separator as load headers spell it: `\x01`, `0x0102`, or text with `\t` and `\n`.
pub fn parse_separator(text: &str) -> Result<Vec<u8>> {
    let lower = text.to_ascii_lowercase();
    if let Some(digits) = lower.strip_prefix("\\x").or_else(|| lower.strip_prefix("0x")) {
        let bad = || Error::user("a separator in hexadecimal form needs an even number of digits, such as \\x01");
        if digits.is_empty() || digits.len() % 2 != 0 || !digits.is_ascii() {
            return Err(bad());
        }
        return (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| bad()))
            .collect();
    }
    Ok(text.replace("\\t", "\t").replace("\\n", "\n").into_bytes())
}

fn spelled(separator: &[u8]) -> String {
    let digits: String = separator.iter().map(|b| format!("{b:02x}")).collect();
    format!("\\x{digits}")
}

/// Writes CSV bodies for one table.
pub struct CsvEncoder {
    names: Vec<String>,
    options: CsvOptions,
    operations: Operations,
    zone: Option<ZoneOffset>,
    /// Bytes of a row so far, for room ahead.
    row_bytes: usize,
}

impl CsvEncoder {
    /// `names` are the table's columns in the order of the batches.
    pub fn new(names: Vec<String>, options: CsvOptions, operations: Operations) -> Result<Self> {
        options.check()?;
        Ok(Self { names, options, operations, zone: None, row_bytes: 64 })
    }

    /// The zone in which TIMESTAMP_LTZ is stored; UTC without it.
    pub fn with_zone(mut self, zone: ZoneOffset) -> Self {
        self.zone = Some(zone);
        self
    }

    fn rows(&self, batch: &ChangeBatch, cells: &[Cell<'_>], out: &mut Vec<u8>) -> Result<usize> {
        let checks: Vec<Check> = cells.iter().map(|c| self.check(c)).collect();
        let zone = self.zone.as_ref();
        let separator = &self.options.column_separator[..];
        let delimiter = &self.options.row_delimiter[..];
        // Base64 can hold such separators.
        let letters = [separator, delimiter].iter().any(|s| s[0].is_ascii_alphanumeric() || b"+/=".contains(&s[0]));
        let lone = cells.len() == 1 && self.operations == Operations::Append;
        let mut rows = 0;
        for row in 0..batch.rows() {
            let Some(delete) = operation(&batch.kinds, row, self.operations)? else { continue };
            let mut first = true;
            for (cell, check) in cells.iter().zip(&checks) {
                if !std::mem::take(&mut first) {
                    append(out, separator);
                }
                if cell.is_null(row) {
                    out.extend_from_slice(b"\\N");
                    continue;
                }
                match &cell.values {
                    Values::Text(texts) => {
                        let text = texts.value(row).as_bytes();
                        self.text(text, *check, lone, cell.name, out)?;
                    }
                    Values::Binary(values) => {
                        let start = out.len();
                        base64(values.value(row), out);
                        if letters && self.holds_separator(&out[start..]) {
                            return Err(self.separator_within(cell.name));
                        }
                    }
                    Values::List(..) | Values::Map(..) | Values::Row(_) => {
                        let start = out.len();
                        cell.json(row, true, zone, out)?;
                        if self.options.enclose.is_some() {
                            let text = out.split_off(start);
                            self.text(&text, Check::Each, lone, cell.name, out)?;
                        } else if self.holds_separator(&out[start..]) {
                            return Err(self.separator_within(cell.name));
                        }
                    }
                    _ => cell.plain(row, zone, out)?,
                }
            }
            if self.operations == Operations::Upsert {
                append(out, separator);
                out.push(b'0' + u8::from(delete));
            }
            append(out, delimiter);
            rows += 1;
        }
        Ok(rows)
    }

    /// Whether texts of this column have to be looked at one by one: one pass over all its bytes tells.
    fn check(&self, cell: &Cell<'_>) -> Check {
        let Values::Text(texts) = &cell.values else { return Check::Each };
        let offsets = texts.value_offsets();
        let (from, to) = (offsets[0] as usize, offsets[texts.len()] as usize);
        let bytes = &texts.values()[from..to];
        let suspicious =
            self.holds_separator(bytes) || self.options.enclose.is_some() || memchr::memchr(b'\\', bytes).is_some();
        if suspicious { Check::Each } else { Check::Clean }
    }

    fn holds_separator(&self, bytes: &[u8]) -> bool {
        match (&self.options.column_separator[..], &self.options.row_delimiter[..]) {
            ([column], [row]) => memchr::memchr2(*column, *row, bytes).is_some(),
            (column, row) => {
                memchr::memmem::find(bytes, column).is_some() || memchr::memmem::find(bytes, row).is_some()
            }
        }
    }

    /// A text that would grow into a multi-byte separator together with what follows is found, too.
    fn ends_in_part_of_separator(&self, text: &[u8]) -> bool {
        let separators = [&self.options.column_separator, &self.options.row_delimiter];
        separators.iter().any(|s| (1..s.len()).any(|part| text.ends_with(&s[..part])))
    }

    #[inline]
    fn text(&self, text: &[u8], check: Check, lone: bool, column: &str, out: &mut Vec<u8>) -> Result<()> {
        if let Some(enclose) = self.options.enclose {
            out.push(enclose);
            for &byte in text {
                if byte == enclose {
                    out.push(enclose);
                }
                out.push(byte);
            }
            out.push(enclose);
            return Ok(());
        }
        if check == Check::Each && self.holds_separator(text) {
            return Err(self.separator_within(column));
        }
        let long = self.options.column_separator.len() > 1 || self.options.row_delimiter.len() > 1;
        if long && self.ends_in_part_of_separator(text) {
            return Err(self.separator_within(column));
        }
        if text == b"\\N" {
            return Err(Error::data(format!("column '{column}' holds the text \\N, which CSV loads read as NULL"))
                .with_hint("load as JSON: 'sink.properties.format' = 'json'"));
        }
        if lone && text.is_empty() {
            return Err(Error::data(format!(
                "column '{column}' is the only one and holds an empty text, which CSV loads read as no row"
            ))
            .with_hint("load as JSON: 'sink.properties.format' = 'json'"));
        }
        out.extend_from_slice(text);
        Ok(())
    }

    #[cold]
    fn separator_within(&self, column: &str) -> Error {
        Error::data(format!("a text of column '{column}' holds the column separator or the row delimiter")).with_hint(
            "choose others ('sink.properties.column_separator', 'sink.properties.row_delimiter') or load as JSON",
        )
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    /// No text of the batch holds a separator or a backslash.
    Clean,
    Each,
}

#[inline]
fn append(out: &mut Vec<u8>, separator: &[u8]) {
    match separator {
        [byte] => out.push(*byte),
        bytes => out.extend_from_slice(bytes),
    }
}

impl LoadEncoder for CsvEncoder {
    fn encode(&mut self, batch: &ChangeBatch, out: &mut Vec<u8>) -> Result<usize> {
        check_width(batch, self.names.len())?;
        let arrays: Vec<ArrayRef> = batch.batch.columns().iter().map(canonical).collect::<Result<_>>()?;
        let cells: Vec<_> =
            self.names.iter().zip(&arrays).map(|(name, array)| Cell::new(name, array)).collect::<Result<_>>()?;
        let start = out.len();
        out.reserve(batch.rows() * self.row_bytes);
        match self.rows(batch, &cells, out) {
            Ok(rows) => {
                if let Some(bytes) = (out.len() - start).checked_div(rows) {
                    self.row_bytes = bytes + 16;
                }
                Ok(rows)
            }
            Err(error) => {
                out.truncate(start);
                Err(error)
            }
        }
    }

    fn headers(&self) -> Vec<(String, String)> {
        let mut headers = vec![
            ("format".to_owned(), "csv".to_owned()),
            ("columns".into(), columns_header(self.names.iter().map(String::as_str), self.operations)),
            ("column_separator".into(), spelled(&self.options.column_separator)),
            ("row_delimiter".into(), spelled(&self.options.row_delimiter)),
        ];
        headers.extend(self.options.enclose.map(|e| ("enclose".to_owned(), (e as char).to_string())));
        headers
    }
}
