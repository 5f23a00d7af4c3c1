//! A Flink SQL script becomes job graphs: statements are carried out, settings understood, tables given their
//! connectors, equal scans read once. A Flink-CDC pipeline file becomes a pipeline job.
//!
//! Start from [`Script::compile`]: it checks everything that can be checked without opening anything. Then
//! [`build_job`] turns one of its [`Stage`]s into a graph that the engine runs.

mod build;
mod overrides;
pub mod pipeline;
mod script;
mod select;
mod settings;
mod transform;
mod values;

pub use build::{BuiltJob, TargetInfo, build_job};
pub use overrides::{LocalTarget, Overrides};
pub use pipeline::{BuiltPipeline, PipelineContext, build_pipeline};
pub use script::{Script, Stage, StageKind};
pub use select::{RowsSink, SelectRows};
pub use settings::{JobSettings, SETTINGS, Setting, SettingEffect};
pub use starweir_sql::{Diagnostic, Span};
