//! Captures of databases as tables of a script: what `mysql-cdc` and `postgres-cdc` have in common.
//!
//! ```text
//! CdcReader ─► CaptureReader: fit (declared against captured columns) ─► convert ─► ChangeBatch
//! ```
//!
//! A script's table has the columns it declares, whatever becomes of the captured ones: [`fit`] decides which declared
//! type holds which captured one, [`columns`] finds each declared column by its name, and [`convert`] carries it out. The
//! state of the capture is the one offset of the source; an epoch ends only between the database's transactions.

mod columns;
mod convert;
pub(crate) mod debezium;
mod fit;
mod reader;
mod selection;
mod source;
#[cfg(test)]
mod tests;
mod zone;

use std::sync::Arc;

use starweir_engine::CdcSource;
use starweir_model::option::OptionError;
use starweir_model::{Selector, nearest};

use self::columns::{Declared, Metadata};
pub(crate) use self::reader::Mode;
pub(crate) use self::selection::Selection;
use self::source::CaptureSource;
pub(crate) use self::zone::Zone;
use crate::registry::{BuiltSource, Changelog, SourceRequest, Wanted};

/// A capture and how a script's table reads it.
pub(crate) struct Capture {
    pub cdc: Arc<dyn CdcSource>,
    /// The tables that the options name.
    pub selector: Selector,
    pub mode: Mode,
    /// Where TIMESTAMP columns that hold instants at the server have their local time.
    pub zone: Zone,
    /// Kinds of changes that are passed over.
    pub skipped: debezium::Skipped,
}

/// The table as a source of a job.
pub(crate) fn build(request: &SourceRequest<'_>, capture: Capture) -> BuiltSource {
    let identity = capture.cdc.identity();
    let changelog = match capture.mode {
        Mode::All => Changelog::Retract,
        Mode::Upsert => Changelog::Upsert,
        Mode::AppendOnly => Changelog::AppendOnly,
    };
    let declared = Declared::new(request);
    BuiltSource { source: Arc::new(CaptureSource::new(capture, declared)), identity, changelog }
}

/// Whether the time of changes is wanted: it is gathered only then.
pub(crate) fn wants_op_ts(request: &SourceRequest<'_>) -> bool {
    request.wanted.iter().any(|w| matches!(w, Wanted::Metadata { key, .. } if key == Metadata::OpTs.key()))
}

/// What is wrong with the metadata columns; `known` are those of the connector.
pub(crate) fn check_metadata(request: &SourceRequest<'_>, known: &[(&str, &str, &str)], errors: &mut Vec<OptionError>) {
    for wanted in request.wanted {
        let Wanted::Metadata { key, .. } = wanted else { continue };
        if !known.iter().any(|(name, ..)| name == key) {
            errors.push(OptionError {
                option: key.clone(),
                message: format!("table {} has no metadata column '{key}'", request.table),
                hint: nearest(key, known.iter().map(|(name, ..)| *name)).map(|k| format!("did you mean '{k}'?")),
            });
        }
    }
}

/// Flink's rule for snapshots in chunks: a primary key, or the column that chunks are cut by.
pub(crate) fn check_chunk_key(request: &SourceRequest<'_>, chunk_key: Option<&str>, errors: &mut Vec<OptionError>) {
    const CHUNK_KEY: &str = "scan.incremental.snapshot.chunk.key-column";
    match chunk_key {
        None if request.physical.primary_key.is_empty() => errors.push(OptionError {
            option: CHUNK_KEY.into(),
            message: format!(
                "'{CHUNK_KEY}' is required for table without primary key when 'scan.incremental.snapshot.enabled' enabled."
            ),
            hint: Some("declare PRIMARY KEY (…) NOT ENFORCED, name a column there, or set 'scan.incremental.snapshot.enabled' = 'false'".into()),
        }),
        Some(name) if request.physical.index_of(name).is_none() => errors.push(OptionError {
            option: CHUNK_KEY.into(),
            message: format!("option '{CHUNK_KEY}' names '{name}', which is no column of table {}", request.table),
            hint: nearest(name, request.physical.columns.iter().map(|c| c.name.as_str()))
                .map(|c| format!("did you mean '{c}'?")),
        }),
        _ => {}
    }
}

/// The zone of `server-time-zone`, or the session's.
pub(crate) fn server_zone(request: &SourceRequest<'_>, given: Option<&str>, errors: &mut Vec<OptionError>) -> Zone {
    let Some(text) = given else { return Zone::parse(request.zone).unwrap_or(Zone::Fixed(0)) };
    Zone::parse(text).unwrap_or_else(|| {
        errors.push(OptionError {
            option: "server-time-zone".into(),
            message: format!("option 'server-time-zone' is '{text}', which is no time zone"),
            hint: Some("zones are written Europe/Berlin, UTC or +08:00".into()),
        });
        Zone::Fixed(0)
    })
}

/// A number that differs from table to table and from run to run.
pub(crate) fn seed(request: &SourceRequest<'_>) -> u64 {
    // FNV-1a: the same on every machine.
    let hash =
        request.table.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    request.seed ^ hash
}
