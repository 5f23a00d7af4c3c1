//! Flink-CDC pipelines: a YAML file becomes a checked pipeline whose decisions (which tables, where to, how changed,
//! what a schema change does) are pure functions over events.
//!
//! ```text
//! CdcEvent ─► transform ─► route ─► schema evolution ─► sink
//! ```

pub mod print;
pub mod transform;
