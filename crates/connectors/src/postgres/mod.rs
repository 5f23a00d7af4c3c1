//! `postgres`: tables of a PostgreSQL database, from a logical replication slot and by a snapshot.
//!
//! ```text
//! new slot ─► exported snapshot ─► SnapshotReaders (parallel) ─┐
//! START_REPLICATION ─► Pump ─► pgoutput messages ──────────────┴─► PostgresReader ─► CdcEvent
//! ```
//!
//! The slot's consistent point and its snapshot are the same place, so that nothing is missed and nothing comes twice.
//! A snapshot that was interrupted is taken up per table: tables that were complete stay, the others are read again,
//! and the stream, which still begins at the slot's first place, brings every row to its present state.
//!
//! Start from [`postgres_source`]; its options are [`definitions`]. Scripts have it as [`CONNECTOR`].

mod catalog;
mod connector;
mod health;
mod options;
mod publication;
mod pump;
mod reader;
mod snapshot;
mod source;
mod state;
mod tables;
mod tls;
mod wire;

use std::sync::Arc;

use starweir_engine::CdcSource;
use starweir_model::option::OptionError;
use starweir_model::{Clock, Options};

pub use connector::CONNECTOR;
pub use options::definitions;

/// A PostgreSQL database by the options of a pipeline source (the keys of [`definitions`]).
pub fn postgres_source<'a>(
    given: impl IntoIterator<Item = (&'a str, &'a str)>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn CdcSource>, Vec<OptionError>> {
    let options = Options::parse(&definitions(), given)?;
    let settings = options::Settings::new(&options)?;
    Ok(Arc::new(source::PostgresSource { settings: Arc::new(settings), clock }))
}
