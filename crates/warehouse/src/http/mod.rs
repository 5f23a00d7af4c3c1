//! The HTTP doors: the FE port answers and redirects, the BE port loads.

pub mod faults;
pub mod server;
pub mod sql_api;
pub mod stream_load;
pub mod transaction;
