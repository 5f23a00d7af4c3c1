//! All connectors, and what each of them is asked for.

use std::sync::Arc;

use starweir_engine::{Sink, Source};
use starweir_model::option::OptionError;
use starweir_model::{Clock, DataType, OptionDef, Schema};

use crate::{blackhole, datagen, filesystem, kafka, mysql, postgres, print, starrocks};

/// What kinds of changes a stream may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Changelog {
    /// Only `+I`.
    AppendOnly,
    /// `+I`, `+U`, `-D` by key, without `-U`.
    Upsert,
    /// All four.
    Retract,
}

impl Changelog {
    pub fn name(self) -> &'static str {
        match self {
            Self::AppendOnly => "append-only",
            Self::Upsert => "upsert",
            Self::Retract => "retract",
        }
    }
}

/// A column a source has to produce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Position in [`SourceRequest::physical`].
    Physical(usize),
    Metadata {
        key: String,
        data_type: DataType,
    },
}

/// What a table says of itself when it is read.
pub struct SourceRequest<'a> {
    /// The table's name, for messages.
    pub table: &'a str,
    /// Every physical column in the declared order, and the primary key.
    pub physical: &'a Schema,
    /// What to produce, in this order.
    pub wanted: &'a [Wanted],
    /// Options as written, hints applied, without `connector`.
    pub options: &'a [(String, String)],
    /// True in batch mode: what can end must end.
    pub batch: bool,
    /// The session's time zone, as Java names it.
    pub zone: &'a str,
    /// Chance, handed in: differs from run to run.
    pub seed: u64,
    pub clock: Arc<dyn Clock>,
}

impl SourceRequest<'_> {
    /// The schema of the batches to produce.
    pub fn produced(&self) -> Schema {
        let columns = self.wanted.iter().map(|wanted| match wanted {
            Wanted::Physical(index) => self.physical.columns[*index].clone(),
            Wanted::Metadata { key, data_type } => starweir_model::Column::new(key.clone(), data_type.clone()),
        });
        Schema::new(columns.collect())
    }

    pub fn given(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

pub struct BuiltSource {
    pub source: Arc<dyn Source>,
    /// What is read, so that saved offsets are never used for something else. Holds no secret.
    pub identity: String,
    pub changelog: Changelog,
}

/// What a table says of itself when it is written.
pub struct SinkRequest<'a> {
    pub table: &'a str,
    /// The columns of the rows that will come, and the declared primary key.
    pub schema: &'a Schema,
    pub options: &'a [(String, String)],
    /// What the query may send.
    pub changelog: Changelog,
    /// `pipeline.name`, part of labels.
    pub job: &'a str,
    pub checkpoint_interval: std::time::Duration,
    /// The session's time zone, an IANA name: TIMESTAMP_LTZ is written as local time of it.
    pub zone: &'a str,
}

impl SinkRequest<'_> {
    pub fn given(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

pub struct BuiltSink {
    pub sink: Arc<dyn Sink>,
    /// Stable over restarts; names the sink's tokens in the manifest.
    pub id: String,
}

pub type BuildSource = fn(&SourceRequest<'_>) -> Result<BuiltSource, Vec<OptionError>>;
pub type BuildSink = fn(&SinkRequest<'_>) -> Result<BuiltSink, Vec<OptionError>>;

/// A value of `'connector' = '…'`.
pub struct Connector {
    pub name: &'static str,
    /// One sentence for the reference page.
    pub about: &'static str,
    /// Options besides those of formats.
    pub options: fn() -> Vec<OptionDef>,
    /// Metadata columns: key, type in Flink's spelling, meaning.
    pub metadata: &'static [(&'static str, &'static str, &'static str)],
    /// Whether `format` and the format's own options belong to it.
    pub formats: bool,
    pub source: Option<BuildSource>,
    pub sink: Option<BuildSink>,
}

/// The complete list.
pub fn connectors() -> &'static [Connector] {
    static ALL: &[Connector] = &[
        kafka::CONNECTOR,
        filesystem::CONNECTOR,
        mysql::CONNECTOR,
        postgres::CONNECTOR,
        starrocks::CONNECTOR,
        datagen::CONNECTOR,
        print::CONNECTOR,
        blackhole::CONNECTOR,
    ];
    ALL
}

pub fn connector(name: &str) -> Option<&'static Connector> {
    connectors().iter().find(|c| c.name == name)
}
