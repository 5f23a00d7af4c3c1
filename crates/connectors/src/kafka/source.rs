//! What is read from where, and whom offsets are told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, TopicPartitionList};
use serde::{Deserialize, Serialize};
use starweir_engine::{Lane, Reader, Source, SplitOffsets};
use starweir_formats::Decoder;
use starweir_model::option::OptionError;
use starweir_model::{Error, Offset, Result, Schema, SplitId};

use super::position::{Bound, Start};
use super::properties::Translated;
use super::reader::{KafkaReader, ReaderParts};
use crate::format::{FormatChoice, FormatPlan};

/// What the client is told unless the script says otherwise. A reader's memory stays at about the queue, one answer
/// being fetched and the batch.
const DEFAULTS: &[(&str, &str)] = &[
    // Flink's Java client reads uncommitted messages unless told otherwise; librdkafka's default differs.
    ("isolation.level", "read_uncommitted"),
    // Messages held ahead of us.
    ("queued.max.messages.kbytes", "16384"),
    ("fetch.max.bytes", "8388608"),
    // When the queue is full librdkafka looks again only after this long; a small queue is empty long before its
    // default of a second.
    ("fetch.queue.backoff.ms", "10"),
    // How long a broker may wait for the first byte.
    ("fetch.wait.max.ms", "100"),
];
/// The group's coordinator is waited for this long; an epoch does not wait longer for what is only information.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) enum Topics {
    Named(Vec<String>),
    Pattern(regex::Regex),
}

/// How key columns are decoded.
pub(super) struct KeyPlan {
    format: String,
    options: starweir_model::Options,
    schema: Schema,
    /// Position of the first key column in the connector's own list.
    pub first_own: usize,
}

impl KeyPlan {
    pub(super) fn new(
        choice: &FormatChoice,
        physical: &Schema,
        positions: &[usize],
        prefix: &str,
    ) -> Result<Self, Vec<OptionError>> {
        let columns = positions.iter().map(|&index| {
            let mut column = physical.columns[index].clone();
            column.name = column.name[prefix.len()..].to_owned();
            column
        });
        let plan = Self {
            format: choice.format.clone(),
            options: choice.options()?,
            schema: Schema::new(columns.collect()),
            first_own: super::METADATA.len(),
        };
        plan.decoder().map_err(|e| {
            vec![OptionError { option: choice.key.clone(), message: e.chain(), hint: e.hint().map(str::to_owned) }]
        })?;
        Ok(plan)
    }

    pub(super) fn decoder(&self) -> Result<Box<dyn Decoder>> {
        starweir_formats::decoder(&self.format, &self.schema, &[], &self.options)
    }
}

pub(super) struct KafkaSource {
    properties: Translated,
    topics: Arc<Topics>,
    start: Start,
    bound: Option<Bound>,
    discovery: Option<Duration>,
    plan: Arc<FormatPlan>,
    key: Option<Arc<KeyPlan>>,
    /// The client of the present attempt that commits offsets to the group. Kept when its reader is gone: the last
    /// epoch is committed after the readers have ended.
    committer: Mutex<Option<Arc<BaseConsumer>>>,
    /// Whether a commit is under way.
    committing: Arc<AtomicBool>,
}

/// An offset within a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartitionOffset {
    /// The next message to read.
    pub next: i64,
    /// The first message not to read; a bounded read keeps its end over restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
}

impl PartitionOffset {
    pub(super) fn parse(offset: &Offset) -> Result<Self> {
        serde_json::from_str(&offset.0)
            .map_err(|e| Error::internal(format!("a kafka source cannot go on from '{offset}'")).with_source(e))
    }

    pub(super) fn text(self) -> Offset {
        match self.end {
            Some(end) => Offset(format!("{{\"next\":{},\"end\":{end}}}", self.next)),
            None => Offset(format!("{{\"next\":{}}}", self.next)),
        }
    }
}

pub(super) fn split_id(topic: &str, partition: i32) -> SplitId {
    SplitId(format!("{topic}-{partition}"))
}

/// The lane a partition belongs to. Topics begin at different lanes, so that many small topics are spread too.
pub(super) fn lane_of(topic: &str, partition: i32, lanes: usize) -> usize {
    // FNV-1a: the same on every machine and in every version.
    let hash = topic.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let lanes = lanes.max(1) as u64;
    (((hash % lanes) + u64::from(partition.unsigned_abs())) % lanes) as usize
}

fn parse_split(split: &SplitId) -> Option<(&str, i32)> {
    let (topic, partition) = split.0.rsplit_once('-')?;
    Some((topic, partition.parse().ok()?))
}

/// Who has to act on an error of librdkafka. A setting's value is never part of it.
pub(super) fn kafka_error(message: String, error: KafkaError) -> Error {
    use RDKafkaErrorCode as C;
    let made = match &error {
        KafkaError::ClientConfig(_, _, name, _) => {
            return Error::user(format!("{message}: setting '{name}' is unknown to it, or its value is not valid"));
        }
        KafkaError::ClientCreation(_) => Error::user(message),
        other => match other.rdkafka_error_code() {
            Some(
                C::Authentication
                | C::SaslAuthenticationFailed
                | C::IllegalSASLState
                | C::TopicAuthorizationFailed
                | C::GroupAuthorizationFailed
                | C::ClusterAuthorizationFailed
                | C::UnsupportedSASLMechanism
                | C::InvalidTopic
                | C::UnknownTopicOrPartition,
            ) => Error::refused(message),
            Some(C::BadMessage | C::BadCompression | C::InvalidMessage | C::InvalidMessageSize | C::NotImplemented) => {
                Error::data(message)
            }
            _ => Error::unavailable(message),
        },
    };
    made.with_source(error)
}

impl KafkaSource {
    pub(super) fn new(
        properties: Translated,
        topics: Topics,
        start: Start,
        bound: Option<Bound>,
        discovery: Option<Duration>,
        plan: Arc<FormatPlan>,
        key: Option<Arc<KeyPlan>>,
    ) -> Self {
        Self {
            properties,
            topics: Arc::new(topics),
            start,
            bound,
            discovery,
            plan,
            key,
            committer: Mutex::default(),
            committing: Arc::default(),
        }
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in DEFAULTS {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties.settings {
            config.set(name, value);
        }
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("enable.partition.eof", "true");
        // An offset that is gone comes to us as an error: librdkafka would go on elsewhere without a word.
        config.set("auto.offset.reset", "error");
        if self.properties.group_id.is_none() {
            // librdkafka wants a name; nothing is ever committed under it.
            config.set("group.id", "starweir-no-group");
        }
        config
    }

    /// Whether the client takes its settings; opens nothing.
    pub(super) fn check_settings(&self) -> Result<(), OptionError> {
        match self.config().create_native_config() {
            Err(KafkaError::ClientConfig(_, _, name, _)) => Err(OptionError {
                message: format!(
                    "option 'properties.{name}' is unknown to the Kafka client, or its value is not valid"
                ),
                option: format!("properties.{name}"),
                hint: Some(
                    "settings are those of the Java client, translated where librdkafka's differ, or librdkafka's own"
                        .into(),
                ),
            }),
            // What else there may be is said when the client is made.
            _ => Ok(()),
        }
    }

    fn consumer(&self) -> Result<Arc<BaseConsumer>> {
        let consumer: BaseConsumer =
            self.config().create().map_err(|e| kafka_error("the kafka client could not be made".into(), e))?;
        Ok(Arc::new(consumer))
    }
}

#[async_trait]
impl Source for KafkaSource {
    fn is_bounded(&self) -> bool {
        self.bound.is_some()
    }

    fn open(&self, lane: Lane, restored: &SplitOffsets) -> Result<Box<dyn Reader>> {
        let consumer = self.consumer()?;
        let reader = KafkaReader::open(ReaderParts {
            consumer: consumer.clone(),
            lane,
            topics: self.topics.clone(),
            start: self.start.clone(),
            bound: self.bound.clone(),
            discovery: self.discovery,
            reset: self.properties.reset.clone().filter(|r| r == "earliest" || r == "latest"),
            restored: restored.clone(),
            plan: self.plan.clone(),
            key: self.key.clone(),
        })?;
        if lane.index == 0 && self.properties.group_id.is_some() && self.properties.commit_offsets {
            *self.committer.lock() = Some(consumer);
        }
        Ok(Box::new(reader))
    }

    async fn acknowledge(&self, offsets: &SplitOffsets) -> Result<()> {
        let Some(consumer) = self.committer.lock().clone() else { return Ok(()) };
        let message = || String::from("offsets could not be committed to the group");
        let mut list = TopicPartitionList::new();
        for (split, offset) in offsets {
            if let Some((topic, partition)) = parse_split(split) {
                let next = rdkafka::Offset::Offset(PartitionOffset::parse(offset)?.next);
                list.add_partition_offset(topic, partition, next).map_err(|e| kafka_error(message(), e))?;
            }
        }
        if list.count() == 0 {
            return Ok(());
        }
        let committing = self.committing.clone();
        if committing.swap(true, Ordering::AcqRel) {
            return Err(Error::unavailable(message()).with_source("the commit before it has no answer yet"));
        }
        let commit = tokio::task::spawn_blocking(move || {
            let result = consumer.commit(&list, CommitMode::Sync);
            drop(consumer);
            committing.store(false, Ordering::Release);
            result
        });
        match tokio::time::timeout(COMMIT_TIMEOUT, commit).await {
            Ok(Ok(result)) => result.map_err(|e| kafka_error(message(), e)),
            Ok(Err(stopped)) => Err(Error::internal(message()).with_source(stopped)),
            Err(_) => Err(Error::unavailable(message()).with_source("the group's coordinator does not answer")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_one_lane_and_small_topics_are_spread() {
        for lanes in 1..=4 {
            let taken: Vec<usize> = (0..8).map(|p| lane_of("orders", p, lanes)).collect();
            for lane in 0..lanes {
                assert_eq!(
                    taken.iter().filter(|l| **l == lane).count(),
                    (8 + lanes - 1 - (lane + lanes - taken[0]) % lanes) / lanes
                );
            }
        }
        let many: std::collections::BTreeSet<usize> = (0..20).map(|t| lane_of(&format!("t{t}"), 0, 4)).collect();
        assert_eq!(many.len(), 4);
    }

    #[test]
    fn a_settings_error_does_not_repeat_the_value() {
        let mut config = ClientConfig::new();
        config.set("no.such.setting", "s3cret");
        let Err(error) = config.create::<BaseConsumer>() else { panic!("accepted") };
        let error = kafka_error("the client".into(), error);
        assert!(error.chain().contains("no.such.setting"), "{}", error.chain());
        assert!(!error.chain().contains("s3cret"), "{}", error.chain());
    }
}
