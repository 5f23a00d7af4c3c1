//! A transactional system in memory, a source of numbers, and the transform that does nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use starweir_engine::status::TableCounters;
use starweir_engine::{
    Chunk, Encoder, Lane, Polled, Reader, Sink, SinkContext, Source, SplitOffsets, Token, TokenState, Transform, Writer,
};
use starweir_model::{ChangeBatch, Epoch, Error, Offset, Result, SplitId};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Prepared,
    Committed,
    Aborted,
}

#[derive(Default)]
struct Inner {
    transactions: BTreeMap<String, (State, String, Vec<u64>)>,
    /// Calls until the next failure, and the generator it comes from.
    chance: Option<u64>,
}

/// Everything that was ever written.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Inner>>);

impl Ledger {
    pub fn table(&self, name: &str) -> Table {
        Table { ledger: self.clone(), counters: TableCounters::named(name) }
    }

    /// Committed rows of a table, sorted; a row that is there twice appears twice.
    pub fn visible(&self, table: &str) -> Vec<u64> {
        let inner = self.0.lock();
        let committed = inner.transactions.values().filter(|(s, t, _)| *s == State::Committed && t == table);
        let mut rows: Vec<u64> = committed.flat_map(|(_, _, rows)| rows.clone()).collect();
        rows.sort_unstable();
        rows
    }

    pub fn open_transactions(&self) -> usize {
        let inner = self.0.lock();
        inner.transactions.values().filter(|(s, ..)| *s == State::Prepared).count()
    }

    pub fn clear(&self) {
        self.0.lock().transactions.clear();
    }

    pub fn forget_all(&self) {
        self.clear();
    }

    pub fn expire_prepared(&self) -> usize {
        let mut expired = 0;
        for (state, ..) in self.0.lock().transactions.values_mut() {
            if *state == State::Prepared {
                *state = State::Aborted;
                expired += 1;
            }
        }
        expired
    }

    /// From now on calls fail by chance, before or after they acted.
    pub fn fail_now_and_then(&self, seed: u64) {
        self.0.lock().chance = Some(seed);
    }

    /// 0: act, 1: fail without acting, 2: act and lose the answer.
    fn fate(&self) -> u64 {
        let mut inner = self.0.lock();
        let Some(state) = inner.chance.as_mut() else { return 0 };
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match (*state >> 33) % 40 {
            0 => 1,
            1 => 2,
            _ => 0,
        }
    }

    fn call<T>(&self, act: impl FnOnce(&mut Inner) -> Result<T>) -> Result<T> {
        let fate = self.fate();
        if fate == 1 {
            return Err(Error::unavailable("the ledger did not answer"));
        }
        let result = act(&mut self.0.lock());
        if fate == 2 {
            return Err(Error::unavailable("the ledger's answer was lost"));
        }
        result
    }

    fn end(&self, label: &str, to: State) -> Result<()> {
        self.call(|inner| {
            let Some((state, ..)) = inner.transactions.get_mut(label) else {
                return if to == State::Aborted { Ok(()) } else { Err(Error::refused("no such transaction")) };
            };
            match (*state, to) {
                (State::Prepared, _) => *state = to,
                (now, to) if now == to => {}
                (now, to) => return Err(Error::refused(format!("{label} is {now:?} and cannot be {to:?}"))),
            }
            Ok(())
        })
    }
}

pub struct Table {
    ledger: Ledger,
    counters: Arc<TableCounters>,
}

impl Table {
    fn label(&self, epoch: Epoch, generation: u64) -> String {
        format!("{}-{epoch}-{generation}", self.counters.name)
    }
}

#[async_trait]
impl Sink for Table {
    fn name(&self) -> String {
        self.counters.name.clone()
    }

    fn counters(&self) -> Arc<TableCounters> {
        self.counters.clone()
    }

    fn delivery(&self) -> String {
        "exactly-once".into()
    }

    fn encoder(&self) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(NumberEncoder::default()))
    }

    async fn writer(&self, context: &SinkContext, _: Epoch) -> Result<Box<dyn Writer>> {
        Ok(Box::new(TableWriter {
            ledger: self.ledger.clone(),
            table: self.counters.name.clone(),
            generation: context.generation,
            rows: Vec::new(),
        }))
    }

    async fn inspect(&self, _: &SinkContext, token: &Token) -> Result<TokenState> {
        self.ledger.call(|inner| {
            Ok(match inner.transactions.get(&token.0).map(|t| t.0) {
                None => TokenState::Unknown,
                Some(State::Prepared) => TokenState::Prepared,
                Some(State::Committed) => TokenState::Committed,
                Some(State::Aborted) => TokenState::Aborted,
            })
        })
    }

    async fn commit(&self, _: &SinkContext, token: &Token) -> Result<()> {
        self.ledger.end(&token.0, State::Committed)
    }

    async fn abort(&self, _: &SinkContext, token: &Token) -> Result<()> {
        self.ledger.end(&token.0, State::Aborted)
    }

    async fn abort_lingering(&self, _: &SinkContext, last: Epoch, generations: &[u64]) -> Result<()> {
        for epoch in [last.next(), last.next().next()] {
            for generation in generations {
                self.ledger.end(&self.label(epoch, *generation), State::Aborted)?;
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct NumberEncoder {
    out: Vec<u8>,
}

impl Encoder for NumberEncoder {
    fn encode(&mut self, batch: &ChangeBatch) -> Result<()> {
        for value in batch.column(0).as_primitive::<Int64Type>().values() {
            self.out.extend_from_slice(&value.to_le_bytes());
        }
        Ok(())
    }

    fn buffered_bytes(&self) -> usize {
        self.out.len()
    }

    fn take(&mut self) -> Option<Chunk> {
        let bytes = Bytes::from(std::mem::take(&mut self.out));
        let rows = bytes.len() as u64 / 8;
        (rows > 0).then_some(Chunk { bytes, rows, upserts: rows, deletes: 0, watermark_ms: None })
    }
}

struct TableWriter {
    ledger: Ledger,
    table: String,
    generation: u64,
    rows: Vec<u64>,
}

#[async_trait]
impl Writer for TableWriter {
    async fn write(&mut self, chunk: Chunk) -> Result<()> {
        for bytes in chunk.bytes.chunks_exact(8) {
            self.rows.push(u64::from_le_bytes(bytes.try_into().unwrap()));
        }
        Ok(())
    }

    async fn prepare(&mut self, epoch: Epoch) -> Result<Vec<Token>> {
        if self.rows.is_empty() {
            return Ok(Vec::new());
        }
        let label = format!("{}-{epoch}-{}", self.table, self.generation);
        let rows = std::mem::take(&mut self.rows);
        let table = self.table.clone();
        self.ledger.call(|inner| {
            assert!(!inner.transactions.contains_key(&label), "label {label} is used twice");
            inner.transactions.insert(label.clone(), (State::Prepared, table, rows));
            Ok(())
        })?;
        Ok(vec![Token(label)])
    }
}

/// Numbers from `first` on, in `lanes` splits (number modulo lanes).
pub struct Numbers {
    pub first: u64,
    pub rows: u64,
    pub lanes: usize,
}

impl Source for Numbers {
    fn is_bounded(&self) -> bool {
        true
    }

    fn open(&self, lane: Lane, restored: &SplitOffsets) -> Result<Box<dyn Reader>> {
        let mut splits = BTreeMap::new();
        for split in (0..self.lanes).filter(|s| s % lane.count == lane.index) {
            let next = match restored.get(&SplitId(split.to_string())) {
                Some(offset) => offset.0.parse().unwrap(),
                None => split as u64,
            };
            splits.insert(split, next);
        }
        Ok(Box::new(NumberReader { splits, first: self.first, rows: self.rows, step: self.lanes as u64, turn: 0 }))
    }
}

struct NumberReader {
    splits: BTreeMap<usize, u64>,
    first: u64,
    rows: u64,
    step: u64,
    turn: usize,
}

impl Reader for NumberReader {
    fn poll(&mut self, _: Duration) -> Result<Polled> {
        let open: Vec<usize> = self.splits.iter().filter(|(_, n)| **n < self.rows).map(|(s, _)| *s).collect();
        if open.is_empty() {
            return Ok(Polled::Finished);
        }
        self.turn += 1;
        let next = self.splits.get_mut(&open[self.turn % open.len()]).unwrap();
        let mut values = Vec::new();
        while values.len() < 100 && *next < self.rows {
            values.push((self.first + *next) as i64);
            *next += self.step;
        }
        std::thread::sleep(Duration::from_micros(300));
        let array = Arc::new(Int64Array::from(values)) as _;
        let batch = RecordBatch::try_from_iter([("n", array)]).unwrap();
        Ok(Polled::Batch { batch: ChangeBatch::inserts(batch), bytes: 800 })
    }

    fn offsets(&self) -> Result<SplitOffsets> {
        Ok(self.splits.iter().map(|(s, n)| (SplitId(s.to_string()), Offset(n.to_string()))).collect())
    }
}

/// Numbers in transactions: three batches each, told in turn, without end. An offset within a transaction is none.
pub struct Transactions {
    pub batch: u64,
    /// Every offset that was asked for, and every one that was acknowledged.
    pub asked: Arc<Mutex<Vec<u64>>>,
    pub acknowledged: Arc<Mutex<Vec<u64>>>,
}

/// Batches of a transaction of [`Transactions`].
pub const TRANSACTION: u64 = 3;

#[async_trait]
impl Source for Transactions {
    fn is_bounded(&self) -> bool {
        false
    }

    fn lanes(&self, _: usize) -> usize {
        1
    }

    fn open(&self, _: Lane, restored: &SplitOffsets) -> Result<Box<dyn Reader>> {
        // The lane's thread has the runtime's context.
        let _ = tokio::runtime::Handle::current();
        let next = restored.values().next().map_or(0, |offset| offset.0.parse().unwrap());
        Ok(Box::new(TransactionReader { batch: self.batch, next, asked: self.asked.clone() }))
    }

    async fn acknowledge(&self, offsets: &SplitOffsets) -> Result<()> {
        self.acknowledged.lock().extend(offsets.values().map(|o| o.0.parse::<u64>().unwrap()));
        Ok(())
    }
}

struct TransactionReader {
    batch: u64,
    /// Batches told.
    next: u64,
    asked: Arc<Mutex<Vec<u64>>>,
}

impl Reader for TransactionReader {
    fn poll(&mut self, _: Duration) -> Result<Polled> {
        std::thread::sleep(Duration::from_micros(700));
        let first = (self.next * self.batch) as i64;
        self.next += 1;
        let array = Arc::new(Int64Array::from_iter_values(first..first + self.batch as i64)) as _;
        let batch = RecordBatch::try_from_iter([("n", array)]).unwrap();
        Ok(Polled::Batch { batch: ChangeBatch::inserts(batch), bytes: 8 * self.batch })
    }

    fn offsets(&self) -> Result<SplitOffsets> {
        self.asked.lock().push(self.next);
        Ok(SplitOffsets::from([(SplitId("log".into()), Offset(self.next.to_string()))]))
    }

    fn is_at_boundary(&self) -> bool {
        self.next.is_multiple_of(TRANSACTION)
    }
}

pub struct PassThrough;

impl Transform for PassThrough {
    fn apply(&mut self, _: i64, batch: ChangeBatch) -> Result<ChangeBatch> {
        Ok(batch)
    }
}
