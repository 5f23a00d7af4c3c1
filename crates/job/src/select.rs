//! The result of a bare SELECT: rows as text, handed to whoever shows them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use async_trait::async_trait;
use bytes::Bytes;
use starweir_engine::status::TableCounters;
use starweir_engine::{Chunk, Encoder, Sink, SinkContext, Token, TokenState, Writer};
use starweir_model::{ChangeBatch, Clock, Epoch, Error, Result, RowKind, Schema};
use starweir_sql::Zone;

/// Takes rows as they come: row kind and one text per column, None for NULL.
pub type SelectRows = Arc<dyn Fn(RowKind, Vec<Option<String>>) + Send + Sync>;

/// A sink that shows rows.
pub struct RowsSink {
    schema: Schema,
    zone: Zone,
    show: SelectRows,
    counters: Arc<TableCounters>,
}

impl RowsSink {
    pub(crate) fn new(schema: Schema, zone: Zone, show: SelectRows) -> Self {
        Self { schema, zone, show, counters: TableCounters::named("result") }
    }
}

/// Rows travel as JSON through the queue; a SELECT's result is for people and small.
struct TextEncoder {
    schema: Schema,
    zone: Zone,
    out: Vec<u8>,
    rows: u64,
}

type TextRow = (RowKind, Vec<Option<String>>);

impl Encoder for TextEncoder {
    fn encode(&mut self, batch: &ChangeBatch) -> Result<()> {
        let text_of = |(index, column): (usize, &starweir_model::Column)| {
            starweir_sql::to_string(batch.column(index), &column.data_type, self.zone)
        };
        let columns: Vec<ArrayRef> = self.schema.columns.iter().enumerate().map(text_of).collect();
        for row in 0..batch.rows() {
            let cell = |c: &ArrayRef| (!c.is_null(row)).then(|| c.as_string::<i32>().value(row).to_owned());
            let texts: Vec<Option<String>> = columns.iter().map(cell).collect();
            let line: TextRow = (batch.kinds.at(row), texts);
            serde_json::to_writer(&mut self.out, &line)
                .map_err(|e| Error::internal("a row could not be shown").with_source(e))?;
            self.out.push(b'\n');
            self.rows += 1;
        }
        Ok(())
    }

    fn buffered_bytes(&self) -> usize {
        self.out.len()
    }

    fn take(&mut self) -> Option<Chunk> {
        let rows = std::mem::take(&mut self.rows);
        let bytes = Bytes::from(std::mem::take(&mut self.out));
        (rows > 0).then_some(Chunk { bytes, rows, upserts: rows, deletes: 0, watermark_ms: None })
    }
}

struct Shower {
    show: SelectRows,
    counters: Arc<TableCounters>,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Writer for Shower {
    async fn write(&mut self, chunk: Chunk) -> Result<()> {
        for line in chunk.bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            let (kind, texts): TextRow =
                serde_json::from_slice(line).map_err(|e| Error::internal("a row could not be shown").with_source(e))?;
            (self.show)(kind, texts);
        }
        self.counters.add_load(chunk.rows, chunk.upserts, chunk.deletes, chunk.bytes.len() as u64);
        self.counters.add_transaction(chunk.rows, self.clock.now_ms());
        Ok(())
    }

    async fn prepare(&mut self, _: Epoch) -> Result<Vec<Token>> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Sink for RowsSink {
    fn name(&self) -> String {
        "result".into()
    }

    fn counters(&self) -> Arc<TableCounters> {
        self.counters.clone()
    }

    fn delivery(&self) -> String {
        "at-least-once".into()
    }

    fn encoder(&self) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(TextEncoder { schema: self.schema.clone(), zone: self.zone, out: Vec::new(), rows: 0 }))
    }

    async fn writer(&self, context: &SinkContext, _: Epoch) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Shower { show: self.show.clone(), counters: self.counters.clone(), clock: context.clock.clone() }))
    }

    async fn inspect(&self, _: &SinkContext, _: &Token) -> Result<TokenState> {
        Ok(TokenState::Committed)
    }

    async fn commit(&self, _: &SinkContext, _: &Token) -> Result<()> {
        Ok(())
    }

    async fn abort(&self, _: &SinkContext, _: &Token) -> Result<()> {
        Ok(())
    }

    async fn abort_lingering(&self, _: &SinkContext, _: Epoch, _: &[u64]) -> Result<()> {
        Ok(())
    }
}
