//! What a source of whole databases promises: change data capture of many tables, schema changes included.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use starweir_model::{ChangeBatch, DataType, Error, Offset, Result, RowChange, SchemaChange, TableId, TableSchema};

use crate::sink::Sink;

/// Rows of one table, in the table's order.
#[derive(Debug, Clone)]
pub enum TableRows {
    /// Columns as [`TableSchema::to_arrow`] says for the schema in force. An update is two rows next to each other,
    /// `-U` and `+U`; an insert-or-replace without an image of before is a lone `+U`.
    Columns {
        changes: ChangeBatch,
        /// What `metadata.list` asked for: a name and one text per row.
        meta: Vec<(String, Vec<String>)>,
    },
    /// Single changes with their images, where a columnar form does not pay.
    Changes(Vec<RowChange>),
}

/// One item of a capture, in order. The order holds per table; between tables only [`CdcEvent::Schema`] keeps its
/// place.
#[derive(Debug, Clone)]
pub enum CdcEvent {
    /// The table's shape changes here. A table's first event is its `CreateTable`, also after a restart: then with the
    /// schema as of the restored place.
    Schema(SchemaChange),
    Rows {
        table: TableId,
        rows: TableRows,
    },
}

/// What a capture had to say.
#[derive(Debug, Default)]
pub struct CdcPolled {
    pub events: Vec<CdcEvent>,
    /// Bytes the events were decoded from.
    pub bytes: u64,
    /// No source transaction is open after these events: an epoch may end here. A state taken at another place would
    /// tear a transaction apart.
    pub boundary: bool,
    /// Set when `events` holds a [`CdcEvent::Schema`]: the state as of the last boundary before these events. The epoch
    /// that ends before the change is applied is recorded with it.
    pub state_before: Option<Offset>,
    /// Reading ended by itself (bounded start-up modes); asked again, it says so again.
    pub finished: bool,
}

/// Where one table of a capture stands, for status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableProgress {
    pub table: TableId,
    /// `snapshot` or `streaming`.
    pub phase: &'static str,
    pub chunks_done: u64,
    /// Zero when not known.
    pub chunks: u64,
}

/// How far a capture is behind its server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaptureLag {
    /// Milliseconds between the last change's commit and its arrival here.
    pub milliseconds: Option<u64>,
    pub bytes: Option<u64>,
    /// PostgreSQL: bytes of WAL that the slot keeps on the server.
    pub retained_bytes: Option<u64>,
}

/// A database that can be captured, with its options checked. Opening is separate, so that `validate` and `plan` can
/// look without starting.
#[async_trait]
pub trait CdcSource: Send + Sync {
    /// What is read, in words, so that a restored state is never used for something else: `mysql host:port`.
    fn identity(&self) -> String;

    /// Whether reading ends by itself (`scan.startup.mode` = `snapshot`).
    fn is_bounded(&self) -> bool;

    /// Metadata columns that come with every change (`metadata.list`) and their types.
    fn metadata(&self) -> Vec<(String, DataType)> {
        Vec::new()
    }

    /// Reaches the server, checks what capturing needs (with the fix in the message) and returns the tables that match
    /// now with their schemas.
    async fn discover(&self) -> Result<Vec<(TableId, TableSchema)>>;

    /// The state as if these tables had never been read: opened with it, the capture takes their snapshots again beside
    /// the stream of the others.
    ///
    /// # Errors
    /// Kind `User`: a source that cannot read a table again.
    fn unread(&self, state: &Offset, tables: &[TableId]) -> Result<Offset> {
        let _ = (state, tables);
        Err(Error::user(format!("{} cannot be read again from its beginning", self.identity())))
    }

    /// Starts reading: where the options say, or where `restored` (a [`CdcReader::state`] of an earlier attempt)
    /// stands.
    async fn open(&self, restored: Option<&Offset>) -> Result<Box<dyn CdcReader>>;
}

/// A running capture. Calls never overlap. Dropping it stops it; nothing on the server is removed.
#[async_trait]
pub trait CdcReader: Send {
    /// The next events; waits for at most about `wait` for the first. Cancel-safe: what a cancelled call had read
    /// comes with the next. An error of kind `Unavailable` ends the attempt; the job restarts from its last epoch.
    async fn poll(&mut self, wait: Duration) -> Result<CdcPolled>;

    /// Everything another attempt needs to go on after what `poll` has returned: position, snapshot progress, schemas.
    /// Called only where the last poll said `boundary`, and before the first: there it says where this attempt starts.
    fn state(&self) -> Result<Offset>;

    /// Everything up to this state is committed: the server may forget it. Called in order, at least once per epoch.
    async fn acknowledge(&mut self, state: &Offset) -> Result<()> {
        let _ = state;
        Ok(())
    }

    /// How far the source was read, in its own words, for people: `binlog.000003:1178`, `0/16B3748`.
    fn place(&self) -> String;

    /// Per captured table.
    fn progress(&self) -> Vec<TableProgress> {
        Vec::new()
    }

    fn lag(&self) -> CaptureLag {
        CaptureLag::default()
    }
}

/// What became of a schema change at the sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The table has the shape the change asks for, now or already before.
    Done,
    /// The sink cannot do this; why.
    Unsupported(String),
}

/// Where a pipeline's tables go.
#[async_trait]
pub trait CdcSink: Send + Sync {
    /// In words, for status and messages.
    fn name(&self) -> String;

    /// The sink of one table, as long as the table keeps this schema. Its encoders take batches whose columns are
    /// [`TableSchema::to_arrow`].
    fn table(&self, table: &TableId, schema: &TableSchema) -> Result<Arc<dyn Sink>>;

    /// Gives the outside table the shape after `change`; `before` is its schema so far. Looks first and changes only
    /// what differs, so that it may be repeated after a crash at any point. Returns when rows of the new shape can be
    /// written.
    async fn apply(&self, change: &SchemaChange, before: Option<&TableSchema>) -> Result<Applied>;

    /// The texts of a column in a small table of the job's own, in the order of the table's key. NULLs are left out; a
    /// table that is not there has none.
    async fn read_column(&self, table: &TableId, schema: &TableSchema, column: &str) -> Result<Vec<String>> {
        let _ = (schema, column);
        Err(Error::user(format!("table {table} of {} cannot be read", self.name())))
    }

    /// Whether batches should carry the changes' metadata as text columns after those of the schema.
    fn wants_metadata(&self) -> bool {
        false
    }
}
