//! The local warehouse.
pub mod catalog;
pub mod error;
pub mod json;
pub mod sketch;
pub mod sql;
pub mod store;
pub mod time;
pub mod types;
pub mod value;
