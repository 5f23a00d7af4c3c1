//! The local warehouse: a StarRocks that runs inside this process. Real clients talk to it over the
//! MySQL protocol, HTTP (Stream Load, transactions, SQL) and the scan service.
//!
//! Start from [`Warehouse::start`] and [`Config`].
//!
//! ```text
//! mysql ─► sql::session ─► sql::planner (DataFusion) ─► sql::provider ─┐
//! http  ─► http::stream_load, http::transaction ─► load ──────────────►├─ store (segments, index, log)
//! scan  ─► scan ───────────────────────────────────────────────────────┘
//! ```

pub mod catalog;
pub mod core;
pub mod error;
pub mod http;
pub mod json;
pub mod load;
pub mod mysql;
pub mod scan;
pub mod sketch;
pub mod sql;
pub mod store;
pub mod time;
pub mod types;
pub mod users;
pub mod value;
mod warehouse;

pub use mysql::keys::Tls;
pub use warehouse::{Config, Warehouse};
