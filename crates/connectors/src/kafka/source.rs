//! Reading partitions.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Array, Int64Array, MapBuilder, StringArray, StringBuilder,
    TimestampMicrosecondArray, UInt32Array,
};
use async_trait::async_trait;
use parking_lot::Mutex;
use rdkafka::bindings::rd_kafka_resp_err_t as Code;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, TopicPartitionList};
use serde::{Deserialize, Serialize};
use starweir_engine::{Lane, Polled, Reader, Source, SplitOffsets};
use starweir_formats::Decoder;
use starweir_model::option::OptionError;
use starweir_model::{Error, Offset, Result, Schema, SplitId};

use super::batch::{BatchQueue, RawMessage};
use super::position::{Bound, REQUEST_TIMEOUT, Start, watermarks};
use super::properties::Translated;
use crate::format::{FormatChoice, FormatPlan, cast};

/// Rows of a batch.
const BATCH_ROWS: usize = 4096;
/// Without a word from any broker for this long the attempt fails, so that the job's restart strategy decides.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Messages librdkafka may hold ahead of us; two fetches' worth. Bounds the memory of a reader.
const PREFETCH_KIB: &str = "16384";

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

    fn decoder(&self) -> Result<Box<dyn Decoder>> {
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
    /// Consumers of the present attempt, for committing offsets to the group.
    consumers: Mutex<Vec<Weak<BaseConsumer>>>,
}

/// An offset within a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct PartitionOffset {
    /// The next message to read.
    next: i64,
    /// The first message not to read; a bounded read keeps its end over restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<i64>,
}

impl PartitionOffset {
    fn parse(offset: &Offset) -> Result<Self> {
        serde_json::from_str(&offset.0)
            .map_err(|e| Error::internal(format!("a kafka source cannot go on from '{offset}'")).with_source(e))
    }

    fn text(self) -> Offset {
        match self.end {
            Some(end) => Offset(format!("{{\"next\":{},\"end\":{end}}}", self.next)),
            None => Offset(format!("{{\"next\":{}}}", self.next)),
        }
    }
}

fn split_id(topic: &str, partition: i32) -> SplitId {
    SplitId(format!("{topic}-{partition}"))
}

fn parse_split(split: &SplitId) -> Option<(&str, i32)> {
    let (topic, partition) = split.0.rsplit_once('-')?;
    Some((topic, partition.parse().ok()?))
}

/// Who has to act on an error of librdkafka.
pub(super) fn kafka_error(message: String, error: KafkaError) -> Error {
    use RDKafkaErrorCode as C;
    let refused = matches!(
        error.rdkafka_error_code(),
        Some(
            C::Authentication
                | C::SaslAuthenticationFailed
                | C::TopicAuthorizationFailed
                | C::GroupAuthorizationFailed
                | C::ClusterAuthorizationFailed
                | C::UnsupportedSASLMechanism
        )
    );
    let made = if matches!(error, KafkaError::ClientConfig(..)) {
        Error::user(message)
    } else if refused {
        Error::refused(message)
    } else {
        Error::unavailable(message)
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
        Self { properties, topics: Arc::new(topics), start, bound, discovery, plan, key, consumers: Mutex::default() }
    }

    fn consumer(&self) -> Result<Arc<BaseConsumer>> {
        let mut config = ClientConfig::new();
        // Flink's Java client reads uncommitted messages unless told otherwise; librdkafka's default differs.
        config.set("isolation.level", "read_uncommitted");
        config.set("queued.max.messages.kbytes", PREFETCH_KIB);
        config.set("fetch.wait.max.ms", "100");
        for (name, value) in &self.properties.settings {
            config.set(name, value);
        }
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("enable.partition.eof", "true");
        config.set("auto.offset.reset", match self.properties.reset.as_deref() {
            Some("earliest") => "earliest",
            Some("latest") => "latest",
            _ => "error",
        });
        if self.properties.group_id.is_none() {
            // librdkafka wants a name; nothing is ever committed under it.
            config.set("group.id", "starweir-no-group");
        }
        let consumer: BaseConsumer =
            config.create().map_err(|e| kafka_error("the kafka client could not be made".into(), e))?;
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
        if self.properties.group_id.is_some() && self.properties.commit_offsets {
            let mut consumers = self.consumers.lock();
            consumers.retain(|c| c.strong_count() > 0);
            consumers.push(Arc::downgrade(&consumer));
        }
        let mut reader = KafkaReader {
            queue: BatchQueue::new(consumer.clone()),
            consumer,
            lane,
            topics: self.topics.clone(),
            start: self.start.clone(),
            bound: self.bound.clone(),
            discovery: self.discovery,
            discovered: Instant::now(),
            restored: restored.clone(),
            partitions: Vec::new(),
            index: BTreeMap::new(),
            topic_names: Vec::new(),
            decoder: self.plan.decoder()?,
            key_decoder: self.key.as_ref().map(|k| k.decoder()).transpose()?,
            key: self.key.clone(),
            own: OwnColumns::new(&self.plan),
            plan: self.plan.clone(),
            heard: Instant::now(),
            last_error: None,
        };
        reader.discover(true)?;
        Ok(Box::new(reader))
    }

    async fn acknowledge(&self, offsets: &SplitOffsets) -> Result<()> {
        let consumers: Vec<_> = self.consumers.lock().iter().filter_map(Weak::upgrade).collect();
        let Some(consumer) = consumers.first() else { return Ok(()) };
        let mut list = TopicPartitionList::new();
        for (split, offset) in offsets {
            if let Some((topic, partition)) = parse_split(split) {
                let next = rdkafka::Offset::Offset(PartitionOffset::parse(offset)?.next);
                list.add_partition_offset(topic, partition, next)
                    .map_err(|e| kafka_error("offsets could not be committed to the group".into(), e))?;
            }
        }
        consumer
            .commit(&list, CommitMode::Async)
            .map_err(|e| kafka_error("offsets could not be committed to the group".into(), e))
    }
}

struct Partition {
    topic: String,
    /// For asking librdkafka.
    topic_c: CString,
    partition: i32,
    at: PartitionOffset,
    finished: bool,
}

struct KafkaReader {
    queue: BatchQueue,
    consumer: Arc<BaseConsumer>,
    lane: Lane,
    topics: Arc<Topics>,
    start: Start,
    bound: Option<Bound>,
    discovery: Option<Duration>,
    discovered: Instant,
    restored: SplitOffsets,
    partitions: Vec<Partition>,
    /// (topic number, partition) → position in `partitions`.
    index: BTreeMap<(usize, i32), usize>,
    /// Topic names with the address librdkafka knows them by, once seen.
    topic_names: Vec<(String, usize)>,
    decoder: Box<dyn Decoder>,
    key_decoder: Option<Box<dyn Decoder>>,
    key: Option<Arc<KeyPlan>>,
    own: OwnColumns,
    plan: Arc<FormatPlan>,
    heard: Instant,
    last_error: Option<String>,
}

impl KafkaReader {
    /// Finds partitions of this lane and starts reading new ones.
    fn discover(&mut self, first: bool) -> Result<()> {
        let failed = |e| kafka_error("topics could not be listed".into(), e);
        let mut found: Vec<(String, i32)> = Vec::new();
        match &*self.topics.clone() {
            Topics::Named(names) => {
                for name in names {
                    let metadata = self.consumer.fetch_metadata(Some(name), REQUEST_TIMEOUT).map_err(failed)?;
                    let topic = metadata.topics().iter().find(|t| t.name() == name);
                    let partitions = topic.map(|t| t.partitions()).unwrap_or_default();
                    if partitions.is_empty() {
                        let error = topic.and_then(|t| t.error()).map(|e| format!("{:?}", RDKafkaErrorCode::from(e)));
                        let error = error.unwrap_or_else(|| "unknown topic".into());
                        return Err(Error::refused(format!("topic {name} cannot be read")).with_source(error));
                    }
                    found.extend(partitions.iter().map(|p| (name.clone(), p.id())));
                }
            }
            Topics::Pattern(pattern) => {
                let metadata = self.consumer.fetch_metadata(None, REQUEST_TIMEOUT).map_err(failed)?;
                for topic in metadata.topics().iter().filter(|t| pattern.is_match(t.name())) {
                    found.extend(topic.partitions().iter().map(|p| (topic.name().to_owned(), p.id())));
                }
            }
        }
        let before = self.partitions.len();
        for (topic, partition) in found {
            let split = split_id(&topic, partition);
            let known = self.partitions.iter().any(|p| p.topic == topic && p.partition == partition);
            if known || partition as usize % self.lane.count != self.lane.index {
                continue;
            }
            let at = match self.restored.get(&split) {
                Some(offset) => PartitionOffset::parse(offset)?,
                None => {
                    // A partition that appears later holds nothing that was there before: from its start (Flink's
                    // rule). The same for one that appeared while we were down.
                    let late = !first || !self.restored.is_empty();
                    let start = if late { &Start::Earliest } else { &self.start };
                    let next = start.resolve(&self.consumer, &topic, partition)?;
                    let end = match &self.bound {
                        Some(bound) => Some(bound.resolve(&self.consumer, &topic, partition)?),
                        None => None,
                    };
                    PartitionOffset { next, end }
                }
            };
            let at = match (&self.bound, at.end) {
                (None, _) => PartitionOffset { end: None, ..at },
                (Some(bound), None) => {
                    PartitionOffset { end: Some(bound.resolve(&self.consumer, &topic, partition)?), ..at }
                }
                _ => at,
            };
            let topic_number = match self.topic_names.iter().position(|(name, _)| *name == topic) {
                Some(number) => number,
                None => {
                    self.topic_names.push((topic.clone(), 0));
                    self.topic_names.len() - 1
                }
            };
            self.index.insert((topic_number, partition), self.partitions.len());
            let topic_c = CString::new(topic.as_str()).map_err(|_| Error::user("a topic's name holds a zero byte"))?;
            let finished = at.end.is_some_and(|end| at.next >= end);
            self.partitions.push(Partition { topic, topic_c, partition, at, finished });
        }
        self.discovered = Instant::now();
        if self.partitions.len() > before {
            self.assign(before)?;
        }
        Ok(())
    }

    /// Starts fetching the partitions from `first` on.
    fn assign(&mut self, first: usize) -> Result<()> {
        let failed = |e| kafka_error("partitions could not be assigned".into(), e);
        let mut list = TopicPartitionList::new();
        for partition in self.partitions[first..].iter().filter(|p| !p.finished) {
            list.add_partition_offset(&partition.topic, partition.partition, rdkafka::Offset::Offset(partition.at.next))
                .map_err(failed)?;
            self.queue.forward(&partition.topic, partition.partition)?;
        }
        if list.count() == 0 {
            return Ok(());
        }
        if first == 0 { self.consumer.assign(&list) } else { self.consumer.incremental_assign(&list) }.map_err(failed)
    }

    /// Errors of the client as a whole come here.
    fn serve_events(&mut self) -> Result<()> {
        while let Some(result) = self.consumer.poll(Duration::ZERO) {
            match result {
                Ok(_) | Err(KafkaError::PartitionEOF(_)) => {}
                Err(error) => {
                    let text = error.to_string();
                    let error = kafka_error("kafka".into(), error);
                    if !error.kind.is_retryable() {
                        return Err(error);
                    }
                    tracing::warn!("kafka: {text}");
                    self.last_error = Some(text);
                }
            }
        }
        Ok(())
    }
}

/// Columns the connector fills itself, for the rows the decoder holds.
#[derive(Default)]
struct OwnColumns {
    wants: Vec<bool>,
    any: bool,
    topics: Vec<u32>,
    partitions: Vec<i32>,
    headers: Vec<Vec<(String, Vec<u8>)>>,
    leader_epochs: Vec<Option<i32>>,
    offsets: Vec<i64>,
    timestamps_us: Vec<i64>,
    timestamp_types: Vec<&'static str>,
    /// For each row, its row in the key batch.
    key_rows: Vec<u32>,
}

impl OwnColumns {
    fn new(plan: &FormatPlan) -> Self {
        let wants: Vec<bool> = (0..super::METADATA.len()).map(|own| plan.wants(own)).collect();
        Self { any: plan.wants_own(), wants, ..Self::default() }
    }

    fn push(&mut self, message: &RawMessage<'_>, topic: usize, rows: usize, key_row: Option<u32>) {
        let each = 0..rows;
        if self.wants[0] {
            self.topics.extend(each.clone().map(|_| topic as u32));
        }
        if self.wants[1] {
            self.partitions.extend(each.clone().map(|_| message.partition()));
        }
        if self.wants[2] {
            let headers = message.headers();
            self.headers.extend(each.clone().map(|_| headers.clone()));
        }
        if self.wants[3] {
            self.leader_epochs.extend(each.clone().map(|_| message.leader_epoch()));
        }
        if self.wants[4] {
            self.offsets.extend(each.clone().map(|_| message.offset()));
        }
        if self.wants[5] || self.wants[6] {
            let (ms, kind) = message.timestamp();
            self.timestamps_us.extend(each.clone().map(|_| ms.saturating_mul(1000)));
            self.timestamp_types.extend(each.clone().map(|_| kind));
        }
        if let Some(row) = key_row {
            self.key_rows.extend(each.map(|_| row));
        }
    }

    fn column(&mut self, own: usize, names: &[(String, usize)], data_type: &arrow::datatypes::DataType) -> Result<ArrayRef> {
        let array: ArrayRef = match own {
            0 => {
                let topics = std::mem::take(&mut self.topics);
                Arc::new(StringArray::from_iter_values(topics.iter().map(|t| names[*t as usize].0.as_str())))
            }
            1 => Arc::new(Int32Array::from(std::mem::take(&mut self.partitions))),
            2 => {
                let mut builder = MapBuilder::new(None, StringBuilder::new(), BinaryBuilder::new());
                for headers in std::mem::take(&mut self.headers) {
                    let last: BTreeMap<String, Vec<u8>> = headers.into_iter().collect();
                    for (name, value) in last {
                        builder.keys().append_value(name);
                        builder.values().append_value(value);
                    }
                    builder.append(true).map_err(|e| Error::internal("kafka headers").with_source(e))?;
                }
                Arc::new(builder.finish())
            }
            3 => Arc::new(Int32Array::from(std::mem::take(&mut self.leader_epochs))),
            4 => Arc::new(Int64Array::from(std::mem::take(&mut self.offsets))),
            5 => Arc::new(
                TimestampMicrosecondArray::from(std::mem::take(&mut self.timestamps_us)).with_timezone("UTC"),
            ),
            _ => Arc::new(StringArray::from(std::mem::take(&mut self.timestamp_types))),
        };
        cast(&array, data_type)
    }

    fn clear(&mut self) {
        self.topics.clear();
        self.partitions.clear();
        self.headers.clear();
        self.leader_epochs.clear();
        self.offsets.clear();
        self.timestamps_us.clear();
        self.timestamp_types.clear();
        self.key_rows.clear();
    }
}

impl Reader for KafkaReader {
    fn poll(&mut self, wait: Duration) -> Result<Polled> {
        self.serve_events()?;
        let mut bytes = 0u64;
        let deadline = Instant::now() + wait;
        while self.decoder.rows() < BATCH_ROWS {
            let left = if self.decoder.rows() > 0 { Duration::ZERO } else { deadline.saturating_duration_since(Instant::now()) };
            let Self { queue, partitions, index, topic_names, decoder, key_decoder, own, heard, last_error, .. } = self;
            let mut address = (0usize, 0usize);
            let count = queue.poll(left, |message| {
                if message.topic_address() != address.0 {
                    address = (message.topic_address(), topic_number(topic_names, &message));
                }
                let Some(&at) = index.get(&(address.1, message.partition())) else { return Ok(()) };
                let partition = &mut partitions[at];
                match message.error() {
                    Code::RD_KAFKA_RESP_ERR_NO_ERROR => {}
                    Code::RD_KAFKA_RESP_ERR__PARTITION_EOF => {
                        // Aborted transactions and markers are never delivered, so the end may come without the last
                        // offsets having been seen.
                        *heard = Instant::now();
                        if partition.at.end.is_some_and(|end| message.offset() >= end) {
                            partition.at.next = partition.at.next.max(message.offset());
                            partition.finished = true;
                        }
                        return Ok(());
                    }
                    Code::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET | Code::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE => {
                        return Err(Error::refused(format!(
                            "topic {} partition {}: offset {} is no longer there",
                            partition.topic, partition.partition, partition.at.next
                        ))
                        .with_hint("the broker removed messages that were not read yet (retention); set 'properties.auto.offset.reset' to go on with what is left, or start anew with --fresh"));
                    }
                    _ => {
                        *last_error = Some(message.error_text());
                        return Ok(());
                    }
                }
                *heard = Instant::now();
                if message.offset() < partition.at.next || partition.finished {
                    return Ok(());
                }
                if partition.at.end.is_some_and(|end| message.offset() >= end) {
                    partition.finished = true;
                    return Ok(());
                }
                let place = || format!("topic {} partition {} offset {}", partition.topic, partition.partition, message.offset());
                let payload = message.payload();
                let rows = match payload {
                    Some(payload) => decoder.decode(payload).map_err(|e| Error::from(e).context(place()))?,
                    None => 0,
                };
                if rows > 0 {
                    let key_row = match key_decoder {
                        Some(decoder) => {
                            let before = decoder.rows();
                            let given = decoder
                                .decode(message.key().unwrap_or_default())
                                .map_err(|e| Error::from(e).context(format!("{}, key", place())))?;
                            if given != 1 {
                                return Err(Error::data(format!("{}: the key holds no row", place())));
                            }
                            Some(before as u32)
                        }
                        None => None,
                    };
                    if own.any {
                        own.push(&message, address.1, rows, key_row);
                    }
                }
                bytes += (payload.map_or(0, <[u8]>::len) + message.key().map_or(0, <[u8]>::len)) as u64;
                partition.at.next = message.offset() + 1;
                if partition.at.end.is_some_and(|end| partition.at.next >= end) {
                    partition.finished = true;
                }
                Ok(())
            })?;
            if count == 0 {
                break;
            }
        }
        if self.decoder.rows() > 0 {
            let decoded = self.decoder.finish()?;
            let keys = match &mut self.key_decoder {
                Some(decoder) => Some(decoder.finish()?),
                None => None,
            };
            let Self { plan, own, topic_names, key, .. } = self;
            let batch = plan.arrange(decoded, |position, data_type| match (&*key, &keys) {
                (Some(key), Some(keys)) if position >= key.first_own => {
                    let rows = UInt32Array::from(own.key_rows.clone());
                    arrow::compute::take(keys.column(position - key.first_own), &rows, None)
                        .map_err(|e| Error::internal("kafka key columns").with_source(e))
                }
                _ => own.column(position, topic_names, data_type),
            })?;
            self.own.clear();
            return Ok(Polled::Batch { batch, bytes });
        }
        if self.bound.is_some() && self.partitions.iter().all(|p| p.finished) {
            return Ok(Polled::Finished);
        }
        if let Some(interval) = self.discovery
            && self.bound.is_none()
            && self.discovered.elapsed() >= interval
        {
            self.discover(false)?;
        }
        if self.heard.elapsed() >= SILENCE_MAX {
            // An idle topic is silent too: ask.
            if let Some(partition) = self.partitions.first() {
                watermarks(&self.consumer, &partition.topic, partition.partition).map_err(|e| match &self.last_error {
                    Some(last) => Error::unavailable(format!("the brokers do not answer: {last}")),
                    None => e,
                })?;
            }
            self.heard = Instant::now();
        }
        Ok(Polled::Idle)
    }

    fn offsets(&self) -> SplitOffsets {
        self.partitions.iter().map(|p| (split_id(&p.topic, p.partition), p.at.text())).collect()
    }

    fn skipped(&self) -> u64 {
        self.decoder.skipped()
    }

    fn lag(&self) -> Vec<(SplitId, u64)> {
        let lag_of = |p: &Partition| {
            let end = p.at.end.or_else(|| self.queue.log_end(&p.topic_c, p.partition))?;
            Some((split_id(&p.topic, p.partition), end.saturating_sub(p.at.next).max(0) as u64))
        };
        self.partitions.iter().filter_map(lag_of).collect()
    }
}

/// The number of a message's topic. The address librdkafka knows the topic by is remembered.
fn topic_number(names: &mut [(String, usize)], message: &RawMessage<'_>) -> usize {
    let address = message.topic_address();
    if let Some(number) = names.iter().position(|(_, known)| *known == address) {
        return number;
    }
    let topic = message.topic();
    match names.iter().position(|(name, _)| *name == topic) {
        Some(number) => {
            names[number].1 = address;
            number
        }
        None => usize::MAX,
    }
}
