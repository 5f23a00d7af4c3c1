//! MySQL and MariaDB: statements about tables, types, and the rows of the binary log. Pure: no I/O.
//!
//! ```text
//! statement text ─► Catalog::apply ─► schema changes, in Flink CDC's form
//! row event bytes ─► RowDecoder ─► Arrow columns of the table's schema
//! ```

pub mod catalog;
pub mod column;
pub mod ddl;
mod lexer;

pub use catalog::{Catalog, CatalogOptions, Table, TableKey, online_change_of, table_id};
pub use column::{Column, Kind, MySqlType, TypeOptions};
