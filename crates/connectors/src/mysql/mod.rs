//! `mysql`: whole databases of MySQL 8 and 9 and of MariaDB, from their binary log and by snapshots.
//!
//! ```text
//! binary log ─► pump ─► LogPosition, Tables (rows into columns) ──┐
//! chunks of tables ─► Snapshots (windows of touched keys) ────────┴─► MySqlReader ─► CdcEvent
//! ```
//!
//! Snapshot and stream are merged by the transactions a read contains, never by bare positions: see [`snapshot`].
//! Start from [`mysql_source`]; its options are [`definitions`]. Scripts have it as [`CONNECTOR`].

mod chunk;
mod connect;
mod connector;
mod events;
mod gtid;
mod log;
mod options;
mod position;
mod pump;
mod reader;
mod schema;
mod server;
pub mod snapshot;
mod source;
mod state;
mod tables;
mod values;

use std::sync::Arc;

use starweir_engine::CdcSource;
use starweir_model::option::OptionError;
use starweir_model::{Clock, Options};

pub use connector::CONNECTOR;
pub use options::definitions;

/// A MySQL or MariaDB database by the options of a pipeline source (the keys of [`definitions`]). `seed` chooses among
/// the server ids; two captures of one server should have different ones.
pub fn mysql_source<'a>(
    given: impl IntoIterator<Item = (&'a str, &'a str)>,
    clock: Arc<dyn Clock>,
    seed: u64,
) -> Result<Arc<dyn CdcSource>, Vec<OptionError>> {
    let options = Options::parse(&definitions(), given)?;
    let settings = options::Settings::new(&options)?;
    Ok(Arc::new(source::MySqlSource { settings: Arc::new(settings), clock, seed }))
}
