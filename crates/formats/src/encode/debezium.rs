//! `debezium-json`: `{before, after, op, source}`, or that as the payload of `{schema, payload}`.

use starweir_model::{ChangeBatch, Options, Result, TableId, TableSchema};

use super::{Change, Row, connect, for_each_change, texts};
use crate::Encoder;
use crate::write::Cells;

pub(super) struct DebeziumMessages {
    row: Row,
    /// What stands before the images.
    head: Vec<u8>,
    /// What stands after `op`.
    tail: Vec<u8>,
}

impl DebeziumMessages {
    pub fn new(table: &TableId, schema: &TableSchema, options: &Options) -> Self {
        let row = Row::new(schema, options);
        let wrapped = options.bool("include-schema.enabled").unwrap_or(false);
        let mut head = Vec::new();
        if wrapped {
            head.extend_from_slice(b"{\"schema\":");
            connect::write_schema(schema, &mut head);
            head.extend_from_slice(b",\"payload\":");
        }
        head.push(b'{');
        let mut tail = b",\"source\":{".to_vec();
        let source = [("db", table.schema.as_deref()), ("table", Some(&*table.table))];
        texts(&source, row.style.skip_nulls, &mut tail);
        tail.pop();
        tail.extend_from_slice(if wrapped { b"}}}" } else { b"}}" });
        Self { row, head, tail }
    }

    fn image(&self, name: &str, cells: &[Cells<'_>], row: Option<usize>, out: &mut Vec<u8>) -> Result<()> {
        if row.is_none() && self.row.style.skip_nulls {
            return Ok(());
        }
        out.extend_from_slice(name.as_bytes());
        match row {
            Some(row) => self.row.write(cells, row, out)?,
            None => out.extend_from_slice(b"null"),
        }
        out.push(b',');
        Ok(())
    }
}

impl Encoder for DebeziumMessages {
    fn encode(&mut self, batch: &ChangeBatch, out: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        let cells = self.row.cells(batch)?;
        for_each_change(batch, |change| {
            let (before, after, op) = match change {
                Change::Insert(row) => (None, Some(row), "c"),
                Change::Update { before, after } => (before, Some(after), "u"),
                Change::Delete(row) => (Some(row), None, "d"),
            };
            out.extend_from_slice(&self.head);
            self.image("\"before\":", &cells, before, out)?;
            self.image("\"after\":", &cells, after, out)?;
            out.extend_from_slice(b"\"op\":\"");
            out.extend_from_slice(op.as_bytes());
            out.push(b'"');
            out.extend_from_slice(&self.tail);
            ends.push(out.len());
            Ok(())
        })
    }
}
