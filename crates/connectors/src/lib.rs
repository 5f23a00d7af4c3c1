//! Everything that touches the outside, one folder per system; [`registry`] lists them on one screen.
//!
//! A folder holds `mod.rs` (options and what they build), `source.rs` and `sink.rs` as far as the system is either.

pub mod blackhole;
mod capture;
pub mod datagen;
pub mod filesystem;
mod format;
pub mod kafka;
pub mod mysql;
pub mod postgres;
pub mod print;
pub mod registry;
pub mod starrocks;

pub use registry::{
    BuiltSink, BuiltSource, Changelog, Connector, SinkRequest, SourceRequest, Wanted, connector, connectors,
};
