//! `print`: each change on a line of standard output (or standard error), as Flink's print connector writes it:
//! `+I[1, abc, 2020-01-01T00:00]`, with `identifier> ` before it when one is given.

mod text;

use std::io::Write;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use starweir_engine::status::TableCounters;
use starweir_engine::{Chunk, Encoder, Sink, SinkContext, Token, TokenState, Writer};
use starweir_model::option::OptionError;
use starweir_model::{ChangeBatch, Clock, Epoch, Error, OptionDef, OptionType, Options, Result};

use crate::registry::{BuiltSink, Connector, SinkRequest};

pub const CONNECTOR: Connector = Connector {
    name: "print",
    about: "Writes each change to standard output; at-least-once.",
    options,
    metadata: &[],
    formats: false,
    source: None,
    sink: Some(build),
};

fn options() -> Vec<OptionDef> {
    vec![
        OptionDef::optional("print-identifier", OptionType::Text, "Written before each row, followed by `> `."),
        OptionDef::optional("standard-error", OptionType::Bool, "Write to standard error instead.")
            .with_default("false"),
        OptionDef::optional("sink.parallelism", OptionType::Int(1, i64::MAX), "Accepted; one writer is used."),
    ]
}

fn build(request: &SinkRequest<'_>) -> Result<BuiltSink, Vec<OptionError>> {
    let options = Options::parse(&options(), request.given())?;
    let prefix = options.text("print-identifier").map(|id| format!("{id}> ")).unwrap_or_default();
    let sink = Arc::new(Print {
        counters: TableCounters::named(request.table),
        prefix,
        to_stderr: options.bool("standard-error").unwrap_or(false),
    });
    Ok(BuiltSink { sink, id: format!("print:{}", request.table) })
}

struct Print {
    counters: Arc<TableCounters>,
    prefix: String,
    to_stderr: bool,
}

struct LineEncoder {
    prefix: String,
    out: String,
    rows: u64,
    deletes: u64,
}

impl Encoder for LineEncoder {
    fn encode(&mut self, batch: &ChangeBatch) -> Result<()> {
        for row in 0..batch.rows() {
            let kind = batch.kinds.at(row);
            self.out.push_str(&self.prefix);
            self.out.push_str(kind.short());
            text::write_row(batch.batch.columns(), row, &mut self.out);
            self.out.push('\n');
            self.rows += 1;
            self.deletes += u64::from(!kind.is_addition());
        }
        Ok(())
    }

    fn buffered_bytes(&self) -> usize {
        self.out.len()
    }

    fn take(&mut self) -> Option<Chunk> {
        let (rows, deletes) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.deletes));
        (rows > 0).then(|| Chunk {
            bytes: Bytes::from(std::mem::take(&mut self.out)),
            rows,
            upserts: rows - deletes,
            deletes,
            watermark_ms: None,
        })
    }
}

struct LineWriter {
    counters: Arc<TableCounters>,
    clock: Arc<dyn Clock>,
    to_stderr: bool,
}

#[async_trait]
impl Writer for LineWriter {
    async fn write(&mut self, chunk: Chunk) -> Result<()> {
        let written = if self.to_stderr {
            let mut out = std::io::stderr().lock();
            out.write_all(&chunk.bytes).and_then(|()| out.flush())
        } else {
            let mut out = std::io::stdout().lock();
            out.write_all(&chunk.bytes).and_then(|()| out.flush())
        };
        written.map_err(|e| {
            Error::refused(format!("table {}: rows could not be printed", self.counters.name)).with_source(e)
        })?;
        self.counters.add_load(chunk.rows, chunk.upserts, chunk.deletes, chunk.bytes.len() as u64);
        self.counters.add_transaction(chunk.rows, self.clock.now_ms());
        Ok(())
    }

    async fn prepare(&mut self, _: Epoch) -> Result<Vec<Token>> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Sink for Print {
    fn name(&self) -> String {
        self.counters.name.clone()
    }

    fn counters(&self) -> Arc<TableCounters> {
        self.counters.clone()
    }

    fn delivery(&self) -> String {
        "at-least-once".into()
    }

    fn encoder(&self) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(LineEncoder { prefix: self.prefix.clone(), out: String::new(), rows: 0, deletes: 0 }))
    }

    async fn writer(&self, context: &SinkContext, _: Epoch) -> Result<Box<dyn Writer>> {
        Ok(Box::new(LineWriter {
            counters: self.counters.clone(),
            clock: context.clock.clone(),
            to_stderr: self.to_stderr,
        }))
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
