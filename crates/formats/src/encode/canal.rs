//! `canal-json`: `{old, data, type, database, table, pkNames}`. Unlike Canal's own messages, whose `old` has the
//! changed fields only, an update's old row is whole.

use starweir_model::{ChangeBatch, Options, Result, TableId, TableSchema};

use super::{Change, Row, for_each_change, texts};
use crate::Encoder;
use crate::write::quoted;

pub(super) struct CanalMessages {
    row: Row,
    /// What stands after `type`.
    tail: Vec<u8>,
}

impl CanalMessages {
    pub fn new(table: &TableId, schema: &TableSchema, options: &Options) -> Self {
        let row = Row::new(schema, options);
        let mut tail = vec![b','];
        let origin = [("database", table.schema.as_deref()), ("table", Some(&*table.table))];
        texts(&origin, row.style.skip_nulls, &mut tail);
        tail.extend_from_slice(b"\"pkNames\":[");
        for (n, name) in schema.primary_keys.iter().enumerate() {
            if n > 0 {
                tail.push(b',');
            }
            tail.extend_from_slice(&quoted(name));
        }
        tail.extend_from_slice(b"]}");
        Self { row, tail }
    }
}

impl Encoder for CanalMessages {
    fn encode(&mut self, batch: &ChangeBatch, out: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        let cells = self.row.cells(batch)?;
        for_each_change(batch, |change| {
            let (old, data, kind) = match change {
                Change::Insert(row) => (None, row, "INSERT"),
                Change::Update { before, after } => (before, after, "UPDATE"),
                Change::Delete(row) => (None, row, "DELETE"),
            };
            out.push(b'{');
            if let Some(old) = old {
                out.extend_from_slice(b"\"old\":[");
                self.row.write(&cells, old, out)?;
                out.extend_from_slice(b"],");
            } else if !self.row.style.skip_nulls {
                out.extend_from_slice(b"\"old\":null,");
            }
            out.extend_from_slice(b"\"data\":[");
            self.row.write(&cells, data, out)?;
            out.extend_from_slice(b"],\"type\":\"");
            out.extend_from_slice(kind.as_bytes());
            out.push(b'"');
            out.extend_from_slice(&self.tail);
            ends.push(out.len());
            Ok(())
        })
    }
}
