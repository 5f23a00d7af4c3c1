//! PostgreSQL's logical replication, without the network: messages of `pgoutput`, types, and values as columns.
//!
//! ```text
//! CopyData ─► pgoutput::Message ─► Fields of a tuple ─┐
//! DataRow of a snapshot ─► Fields ────────────────────┴─► RowBatch (ColumnBuilder) ─► ChangeBatch
//! ```
//!
//! Both ways carry the server's text form of a value and end in the same conversion, so that a row looks the same
//! whichever way it came. Start from [`pgoutput::Message`] and [`RowBatch`]; shapes of tables are [`Shape`].

mod array;
mod cells;
pub mod pgoutput;
mod shape;
mod temporal;
mod types;

pub use cells::{ColumnBuilder, Misfit, RowBatch};
pub use shape::{Column, Shape, changes};
pub use types::{
    BinaryMode, DecimalMode, HstoreMode, IntervalMode, Kind, Resolved, TypeOptions, TypeRow, Types, binary, hstore,
    interval, money, numeric, precision_of,
};
