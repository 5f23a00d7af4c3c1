//! Flink-CDC pipelines: a YAML file becomes a checked pipeline whose decisions (which tables, where to, how changed,
//! what a schema change does) are pure functions over events.
//!
//! ```text
//! CdcEvent ─► transform ─► route ─► schema evolution ─► sink
//! ```
//!
//! Start from [`PipelineDef`] (the file) and [`evolution::SchemaOperator`] (what a schema change does).

pub mod definition;
pub mod evolution;
pub mod flow;
pub mod letters;
pub mod options;
pub mod print;
pub mod replay;
pub mod route;
pub mod rows;
pub mod run;
pub mod transform;
pub mod values;

pub use definition::PipelineDef;
pub use evolution::SchemaChangeBehavior;
pub use flow::Flow;
pub use letters::{Letter, LetterBox, LetterFolder, LetterOptions};
pub use route::{RouteMode, RouteRule, Router};
