//! The engine: contracts for sources, sinks and transforms, the epoch protocol that makes a job exactly once,
//! and the runtime that carries it out.
//!
//! ```text
//! data     splits ─► Reader ─► Transform ─► Encoder ─► queue (bounded by bytes) ─► Writer ─► outside system
//! control  cut ─► barriers ─► prepare ─► manifest (the commit point) ─► commit ─► acknowledge the source
//! ```
//!
//! Start from [`JobGraph`] (what runs), [`run()`] (runs it) and [`epoch`] (what can lose or double a row, as pure
//! decisions). The crate reads no environment, and takes the clock as an argument.

pub mod cdc;
pub mod epoch;
pub mod graph;
pub mod manifest;
pub mod metrics;
pub mod plan;
pub mod protocol;
mod queue;
pub mod requests;
pub mod restart;
pub mod run;
pub mod sink;
pub mod source;
pub mod status;
pub mod store;
mod worker;

pub use cdc::{Applied, CaptureLag, CdcEvent, CdcPolled, CdcReader, CdcSink, CdcSource, TableProgress, TableRows};
pub use epoch::EpochStep;
pub use graph::{JobGraph, Output, SinkNode, SourceNode, Transform, TransformFactory};
pub use manifest::Manifest;
pub use restart::RestartStrategy;
pub use run::{JobEnd, RunOptions, StopSignal, run};
pub use sink::{Chunk, Encoder, Sink, SinkContext, Token, TokenState, Writer};
pub use source::{Lane, Polled, Reader, Source, SplitOffsets};
pub use status::JobStatus;
pub use store::CheckpointStore;
