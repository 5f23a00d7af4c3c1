//! Reads tables as of one snapshot, over several connections at once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use starweir_formats::postgres::{RowBatch, Shape};
use starweir_model::{ChangeBatch, Error, Result, RowKind};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::catalog::TableKey;
use super::options::Settings;
use super::wire::{Wire, data_row, failed, literal, quoted};

/// So many connections read at once, if the options allow so many.
const READERS: usize = 4;
/// Pages of a table that are read at once: 256 MiB.
const CHUNK_PAGES: u64 = 32_768;
const BATCH_ROWS: usize = 16_384;
const BATCH_BYTES: usize = 4 << 20;

/// A table to read.
pub(super) struct ToRead {
    pub key: TableKey,
    pub shape: Shape,
    pub partitioned: bool,
    pub pages: u64,
}

struct Chunk {
    table: usize,
    sql: String,
}

/// What a reader has to say.
pub(super) enum Part {
    Rows {
        table: TableKey,
        changes: ChangeBatch,
        bytes: u64,
    },
    /// A chunk is complete.
    Done {
        table: TableKey,
    },
}

/// Readers at work; they stop when this is dropped.
pub(super) struct Snapshot {
    receiver: mpsc::Receiver<Result<Part>>,
    tasks: Vec<AbortHandle>,
    /// Chunks done and chunks in all, by table.
    pub chunks: HashMap<TableKey, (u64, u64)>,
}

impl Snapshot {
    /// Connects the readers to the snapshot; when this returns, the session that exported it may end.
    pub async fn start(settings: &Arc<Settings>, name: &str, tables: Vec<ToRead>) -> Result<Self> {
        let mut queue = VecDeque::new();
        let mut chunks: HashMap<TableKey, (u64, u64)> = HashMap::new();
        let mut by_pages = None;
        let count = settings.connections.clamp(1, READERS);
        let mut wires = Vec::new();
        for _ in 0..count {
            let mut wire = Wire::connect(settings, false).await?;
            let sql = format!(
                "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}",
                literal(name)
            );
            wire.query(&sql).await.map_err(|e| e.context("take the snapshot up"))?;
            by_pages = Some(wire.server_version() >= 14);
            wires.push(wire);
        }
        let by_pages = by_pages.unwrap_or(false);
        for (i, table) in tables.iter().enumerate() {
            let sql = select(table);
            let mut ranges = vec![sql.clone()];
            if by_pages && !table.partitioned && table.pages > CHUNK_PAGES {
                ranges = (0..table.pages.div_ceil(CHUNK_PAGES))
                    .map(|n| {
                        let from = n * CHUNK_PAGES;
                        let to = from + CHUNK_PAGES;
                        // The last has no end: the number of pages is an estimate.
                        if to >= table.pages {
                            format!("{sql} WHERE ctid >= '({from},0)'::tid")
                        } else {
                            format!("{sql} WHERE ctid >= '({from},0)'::tid AND ctid < '({to},0)'::tid")
                        }
                    })
                    .collect();
            }
            chunks.insert(table.key.clone(), (0, ranges.len() as u64));
            queue.extend(ranges.into_iter().map(|sql| Chunk { table: i, sql }));
        }
        wires.truncate(queue.len().max(1));
        let (sender, receiver) = mpsc::channel(8);
        let (queue, tables) = (Arc::new(Mutex::new(queue)), Arc::new(tables));
        let tasks = wires
            .into_iter()
            .map(|wire| {
                let reader = Reader {
                    wire,
                    settings: settings.clone(),
                    tables: tables.clone(),
                    queue: queue.clone(),
                    sender: sender.clone(),
                };
                tokio::spawn(reader.run()).abort_handle()
            })
            .collect();
        Ok(Self { receiver, tasks, chunks })
    }

    /// The next part. Cancel-safe.
    pub async fn next(&mut self) -> Result<Part> {
        let part = self.receiver.recv().await.ok_or_else(|| Error::unavailable("the snapshot has ended early"))??;
        if let Part::Done { table } = &part
            && let Some((done, _)) = self.chunks.get_mut(table)
        {
            *done += 1;
        }
        Ok(part)
    }

    pub fn is_complete(&self, table: &TableKey) -> bool {
        self.chunks.get(table).is_none_or(|(done, all)| done >= all)
    }

    pub fn is_done(&self) -> bool {
        self.chunks.values().all(|(done, all)| done >= all)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn select(table: &ToRead) -> String {
    let columns = table.shape.columns.iter().map(|c| quoted(&c.name)).collect::<Vec<_>>().join(", ");
    let only = if table.partitioned { "" } else { "ONLY " };
    format!("SELECT {columns} FROM {only}{}.{}", quoted(&table.key.0), quoted(&table.key.1))
}

struct Reader {
    wire: Wire,
    settings: Arc<Settings>,
    tables: Arc<Vec<ToRead>>,
    queue: Arc<Mutex<VecDeque<Chunk>>>,
    sender: mpsc::Sender<Result<Part>>,
}

impl Reader {
    async fn run(mut self) {
        loop {
            let chunk = self.queue.lock().pop_front();
            let Some(chunk) = chunk else { return };
            let Some(table) = self.tables.get(chunk.table) else { return };
            let name = format!("{}.{}", table.key.0, table.key.1);
            let (key, batch) = (table.key.clone(), RowBatch::new(&name, &table.shape, self.settings.types));
            let result = self.read(&chunk.sql, &key, batch).await;
            let message = match result {
                Ok(()) => Ok(Part::Done { table: key }),
                Err(error) => Err(error.context(format!("read the snapshot of table {name}"))),
            };
            let failed = message.is_err();
            if self.sender.send(message).await.is_err() || failed {
                return;
            }
        }
    }

    async fn read(&mut self, sql: &str, key: &TableKey, mut batch: RowBatch) -> Result<()> {
        self.wire.start_query(sql).await?;
        let mut error = None;
        loop {
            let frame = self.wire.next().await?;
            match frame.tag {
                b'D' => {
                    batch.push(RowKind::Insert, data_row(&frame.body), None)?;
                    if batch.rows() >= BATCH_ROWS || batch.bytes() >= BATCH_BYTES {
                        self.give(key, &mut batch).await?;
                    }
                }
                b'E' => error = Some(failed(&frame.body)),
                b'Z' => break,
                _ => {}
            }
        }
        if let Some(error) = error {
            return Err(error);
        }
        self.give(key, &mut batch).await
    }

    async fn give(&self, key: &TableKey, batch: &mut RowBatch) -> Result<()> {
        if batch.rows() == 0 {
            return Ok(());
        }
        let bytes = batch.bytes() as u64;
        let part = Part::Rows { table: key.clone(), changes: batch.finish()?, bytes };
        // The capture has been dropped when nobody listens; this task is being ended.
        let _ = self.sender.send(Ok(part)).await;
        Ok(())
    }
}
