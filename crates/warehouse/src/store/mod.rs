//! Storage: immutable segments, key indexes, delete bitmaps and one redo log.
//!
//! ```text
//! load ─► segment files (fsync) ─► log record (fsync) ─► publish in memory ─► answer
//! ```
//! Segments have ids, commits have versions, and the two are never mixed: a transaction that was
//! prepared early and is committed late has old segment ids and the newest version.

mod engine;
pub mod index;
pub mod log;
pub mod merge;
pub mod segment;
pub mod table;
pub mod txn;

pub use engine::{HIDDEN, Hooks, LabelUsed, Picker, Store, StoreConfig};
pub use segment::{Segment, SegmentMeta};
pub use table::{Table, TableVersion};
pub use txn::{Txn, TxnState};
