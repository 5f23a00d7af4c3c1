//! JSON bodies: one object per line, or one array.

use std::sync::Arc;

use arrow::array::ArrayRef;
use serde::Serialize;
use serde::de::IgnoredAny;
use starweir_model::{ChangeBatch, Error, Result};

use super::cell::{Cell, Values, ZoneOffset, canonical, string};
use super::{LoadEncoder, Operations, check_width, columns_header, operation};
use crate::http::Body;

/// A column of a JSON body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonColumn {
    pub name: String,
    /// The target is a JSON, ARRAY, MAP or STRUCT column: a text that is a JSON object or array goes in as such.
    pub embed: bool,
}

impl JsonColumn {
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), embed: false }
    }
}

/// How objects follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonLayout {
    /// One per line. Bodies can be cut and joined between lines.
    Lines,
    /// `[…]`, read with `strip_outer_array`.
    Array,
}

/// Writes JSON bodies for one table.
pub struct JsonEncoder {
    columns: Vec<JsonColumn>,
    /// `"name":` of each.
    names: Vec<Vec<u8>>,
    layout: JsonLayout,
    operations: Operations,
    zone: Option<ZoneOffset>,
    /// Rows of the body begun.
    rows: usize,
}

impl JsonEncoder {
    /// `columns` are the table's columns in the order of the batches.
    pub fn new(columns: Vec<JsonColumn>, layout: JsonLayout, operations: Operations) -> Self {
        let names = columns
            .iter()
            .map(|column| {
                let mut name = Vec::new();
                string(column.name.as_bytes(), &mut name);
                name.push(b':');
                name
            })
            .collect();
        Self { columns, names, layout, operations, zone: None, rows: 0 }
    }

    /// The zone in which TIMESTAMP_LTZ is stored; UTC without it.
    pub fn with_zone(mut self, zone: ZoneOffset) -> Self {
        self.zone = Some(Arc::clone(&zone));
        self
    }

    fn write(&self, batch: &ChangeBatch, cells: &[Cell<'_>], out: &mut Vec<u8>) -> Result<usize> {
        let zone = self.zone.as_ref();
        let mut rows = 0;
        for row in 0..batch.rows() {
            let Some(delete) = operation(&batch.kinds, row, self.operations)? else { continue };
            if self.layout == JsonLayout::Array {
                out.push(if self.rows + rows == 0 { b'[' } else { b',' });
            }
            out.push(b'{');
            let mut first = true;
            for ((cell, name), column) in cells.iter().zip(&self.names).zip(&self.columns) {
                // A field that is not there is NULL.
                if cell.is_null(row) {
                    continue;
                }
                if !std::mem::take(&mut first) {
                    out.push(b',');
                }
                out.extend_from_slice(name);
                match &cell.values {
                    Values::Text(texts) if column.embed && is_json_container(texts.value(row)) => {
                        // A line feed between tokens would cut the line.
                        out.extend(texts.value(row).bytes().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { b }));
                    }
                    _ => cell.json(row, false, zone, out)?,
                }
            }
            if self.operations == Operations::Upsert {
                if !first {
                    out.push(b',');
                }
                out.extend_from_slice(if delete { b"\"__op\":1" } else { b"\"__op\":0" });
            }
            out.push(b'}');
            if self.layout == JsonLayout::Lines {
                out.push(b'\n');
            }
            rows += 1;
        }
        Ok(rows)
    }
}

fn is_json_container(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

impl LoadEncoder for JsonEncoder {
    fn encode(&mut self, batch: &ChangeBatch, out: &mut Vec<u8>) -> Result<usize> {
        check_width(batch, self.columns.len())?;
        let arrays: Vec<ArrayRef> = batch.batch.columns().iter().map(canonical).collect::<Result<_>>()?;
        let cells: Vec<_> =
            self.columns.iter().zip(&arrays).map(|(c, array)| Cell::new(&c.name, array)).collect::<Result<_>>()?;
        let start = out.len();
        match self.write(batch, &cells, out) {
            Ok(rows) => {
                self.rows += rows;
                Ok(rows)
            }
            Err(error) => {
                out.truncate(start);
                Err(error)
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        if self.layout == JsonLayout::Array && self.rows > 0 {
            out.push(b']');
        }
        self.rows = 0;
    }

    fn headers(&self) -> Vec<(String, String)> {
        let strip = self.layout == JsonLayout::Array;
        vec![
            ("format".into(), "json".into()),
            ("columns".into(), columns_header(self.columns.iter().map(|c| c.name.as_str()), self.operations)),
            ("strip_outer_array".into(), strip.to_string()),
            ("ignore_json_size".into(), "true".into()),
        ]
    }
}

/// A body of JSON texts, one object each, with the load headers for it. Errors: a text that is not JSON.
pub fn json_lines<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<(Body, Vec<(String, String)>)> {
    let mut out = Vec::new();
    for (n, text) in texts.into_iter().enumerate() {
        if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
            return Err(Error::data(format!(
                "text {} is not JSON: line {}, column {}",
                n + 1,
                error.line(),
                error.column()
            )));
        }
        out.extend(text.bytes().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { b }));
        out.push(b'\n');
    }
    Ok((out.into(), json_headers()))
}

/// A body of one object per value, with the load headers for it; names of fields are names of columns.
pub fn json_rows<'a, T: Serialize + 'a>(
    rows: impl IntoIterator<Item = &'a T>,
) -> Result<(Body, Vec<(String, String)>)> {
    let mut out = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut out, row)
            .map_err(|e| Error::data("a row cannot be written as JSON").with_source(e))?;
        out.push(b'\n');
    }
    Ok((out.into(), json_headers()))
}

fn json_headers() -> Vec<(String, String)> {
    vec![("format".into(), "json".into()), ("ignore_json_size".into(), "true".into())]
}
