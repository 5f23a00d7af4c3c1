//! `starrocks`: tables of StarRocks as targets.
//!
//! ```text
//! worker   batch ─► Rows (row kinds, CSV or JSON) ─► chunk
//! writer   chunks ─► requests of up to 16 MB ─► one labelled transaction per epoch ─► prepare
//! engine   manifest ─► commit
//! ```
//!
//! One writer per table and job keeps the order of every key. Labels are in `labels`, options and what they mean
//! together in `options`, checks against the real table in [`target`].

mod journal;
mod labels;
mod options;
pub mod pipeline;
mod rows;
mod sink;
pub mod target;
mod trial;
mod writer;

use std::sync::Arc;

use starweir_model::OptionDef;
use starweir_model::option::OptionError;

use crate::registry::{BuiltSink, Connector, SinkRequest};

pub const CONNECTOR: Connector = Connector {
    name: "starrocks",
    about: "Writes tables of StarRocks, exactly once or at least once.",
    options: definitions,
    metadata: &[],
    formats: false,
    source: None,
    sink: Some(build),
};

fn definitions() -> Vec<OptionDef> {
    options::definitions()
}

fn build(request: &SinkRequest<'_>) -> Result<BuiltSink, Vec<OptionError>> {
    let options = options::SinkOptions::parse(request)?;
    let id = format!("starrocks:{}", options.table);
    let sink = sink::StarRocksSink::new(request, options).map_err(|e| {
        vec![OptionError { option: "connector".into(), message: e.chain(), hint: e.hint().map(str::to_owned) }]
    })?;
    Ok(BuiltSink { sink: Arc::new(sink), id })
}
