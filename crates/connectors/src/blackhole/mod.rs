//! `blackhole`: rows are counted and forgotten. For measuring what comes before it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use starweir_engine::status::TableCounters;
use starweir_engine::{Chunk, Encoder, Sink, SinkContext, Token, TokenState, Writer};
use starweir_model::option::OptionError;
use starweir_model::{ChangeBatch, Clock, Epoch, OptionDef, OptionType, Options, Result};

use crate::registry::{BuiltSink, Connector, SinkRequest};

pub const CONNECTOR: Connector = Connector {
    name: "blackhole",
    about: "Counts rows and forgets them.",
    options,
    metadata: &[],
    formats: false,
    source: None,
    sink: Some(build),
};

fn options() -> Vec<OptionDef> {
    vec![OptionDef::optional("sink.parallelism", OptionType::Int(1, i64::MAX), "Accepted; one writer is used.")]
}

fn build(request: &SinkRequest<'_>) -> Result<BuiltSink, Vec<OptionError>> {
    Options::parse(&options(), request.given())?;
    let sink = Arc::new(Blackhole { counters: TableCounters::named(request.table) });
    Ok(BuiltSink { sink, id: format!("blackhole:{}", request.table) })
}

struct Blackhole {
    counters: Arc<TableCounters>,
}

#[derive(Default)]
pub(crate) struct CountingEncoder {
    rows: u64,
    deletes: u64,
}

impl Encoder for CountingEncoder {
    fn encode(&mut self, batch: &ChangeBatch) -> Result<()> {
        self.rows += batch.rows() as u64;
        if let starweir_model::RowKinds::Each(kinds) = &batch.kinds {
            self.deletes += kinds.iter().filter(|k| !k.is_addition()).count() as u64;
        }
        Ok(())
    }

    fn buffered_bytes(&self) -> usize {
        0
    }

    fn take(&mut self) -> Option<Chunk> {
        let counted = std::mem::take(self);
        (counted.rows > 0).then(|| Chunk {
            bytes: Bytes::new(),
            rows: counted.rows,
            upserts: counted.rows - counted.deletes,
            deletes: counted.deletes,
            watermark_ms: None,
        })
    }
}

struct Counter {
    counters: Arc<TableCounters>,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Writer for Counter {
    async fn write(&mut self, chunk: Chunk) -> Result<()> {
        self.counters.add_load(chunk.rows, chunk.upserts, chunk.deletes, 0);
        self.counters.add_transaction(chunk.rows, self.clock.now_ms());
        Ok(())
    }

    async fn prepare(&mut self, _: Epoch) -> Result<Vec<Token>> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Sink for Blackhole {
    fn name(&self) -> String {
        self.counters.name.clone()
    }

    fn counters(&self) -> Arc<TableCounters> {
        self.counters.clone()
    }

    fn delivery(&self) -> String {
        "none: rows are forgotten".into()
    }

    fn encoder(&self) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(CountingEncoder::default()))
    }

    async fn writer(&self, context: &SinkContext, _: Epoch) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Counter { counters: self.counters.clone(), clock: context.clock.clone() }))
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
