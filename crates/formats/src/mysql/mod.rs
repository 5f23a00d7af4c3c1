//! MySQL and MariaDB: statements about tables, types, and the rows of the binary log. Pure: no I/O.
//!
//! ```text
//! statement text ─► Catalog::apply ─► schema changes, in Flink CDC's form
//! row event bytes ─► RowDecoder ─► Arrow columns of the table's schema
//! ```

mod bytes;
pub mod catalog;
mod cells;
mod charset;
pub mod column;
pub mod ddl;
mod decimal;
mod geometry;
mod json;
mod lexer;
mod map;
mod rows;
mod temporal;

pub use catalog::{Catalog, CatalogOptions, Table, TableKey, online_change_of, table_id};
pub use cells::{Cell, ColumnBuilder, Misfit, ValueOptions};
pub use charset::Charset;
pub use column::{Column, Kind, MySqlType, TypeOptions};
pub use map::{MapColumn, TableMap};
pub use rows::{Collations, Contradiction, RowBatch, RowDecoder, RowsKind};
