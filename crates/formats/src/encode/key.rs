//! The keys of messages: the table's id, then the primary key's values in the order of the key.

use starweir_model::{ChangeBatch, Error, Options, Result, TableId, TableSchema};

use super::{Change, cells, for_each_change, style};
use crate::write::{CsvEncoder, Style, quoted};
use crate::{Encoder, definitions};

/// Positions of the primary key's columns.
fn positions(table: &TableId, schema: &TableSchema) -> Result<Vec<usize>> {
    schema
        .primary_keys
        .iter()
        .map(|name| {
            schema.index_of(name).ok_or_else(|| {
                Error::user(format!("table {table} has no column '{name}', which is in its primary key"))
            })
        })
        .collect()
}

/// The row whose key goes with the change's message.
fn keyed_row(change: Change) -> usize {
    match change {
        Change::Insert(row) | Change::Delete(row) | Change::Update { after: row, .. } => row,
    }
}

pub(super) struct JsonKeys {
    /// `{"TableId":"…"`.
    head: Vec<u8>,
    /// The key's columns and their names, each as `,"name":`.
    columns: Vec<(usize, Vec<u8>)>,
    style: Style,
}

impl JsonKeys {
    pub fn new(table: &TableId, schema: &TableSchema, options: &Options) -> Result<Self> {
        let mut head = b"{\"TableId\":".to_vec();
        head.extend_from_slice(&quoted(&table.to_string()));
        let columns = positions(table, schema)?
            .into_iter()
            .map(|at| {
                let mut name = vec![b','];
                name.extend_from_slice(&quoted(&schema.columns[at].name));
                name.push(b':');
                (at, name)
            })
            .collect();
        Ok(Self { head, columns, style: style(options) })
    }
}

impl Encoder for JsonKeys {
    fn encode(&mut self, batch: &ChangeBatch, out: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        let cells = cells(batch, self.columns.iter().map(|(at, _)| *at))?;
        for_each_change(batch, |change| {
            let row = keyed_row(change);
            out.extend_from_slice(&self.head);
            for ((_, name), cells) in self.columns.iter().zip(&cells) {
                if self.style.skip_nulls && cells.is_null(row) {
                    continue;
                }
                out.extend_from_slice(name);
                cells.json(row, &self.style, out)?;
            }
            out.push(b'}');
            ends.push(out.len());
            Ok(())
        })
    }
}

/// As Flink's csv format writes with its default options; the key has none of its own.
pub(super) struct CsvKeys {
    csv: CsvEncoder,
    /// The table's id as a field.
    head: Vec<u8>,
    columns: Vec<usize>,
}

impl CsvKeys {
    pub fn new(table: &TableId, schema: &TableSchema) -> Result<Self> {
        let defaults = Options::parse(definitions("csv").unwrap_or_default(), [])
            .map_err(|_| Error::internal("the csv format has no defaults"))?;
        let mut csv = CsvEncoder::new(&defaults)?;
        csv.style.whole_seconds = true;
        let mut head = Vec::new();
        csv.field(table.to_string().as_bytes(), &mut head);
        Ok(Self { csv, head, columns: positions(table, schema)? })
    }
}

impl Encoder for CsvKeys {
    fn encode(&mut self, batch: &ChangeBatch, out: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        let cells = cells(batch, self.columns.iter().copied())?;
        let mut room = Vec::new();
        for_each_change(batch, |change| {
            out.extend_from_slice(&self.head);
            for cells in &cells {
                out.push(self.csv.delimiter);
                self.csv.cell(cells, keyed_row(change), &mut room, out)?;
            }
            ends.push(out.len());
            Ok(())
        })
    }
}
