//! One lane: its partitions, from messages to batches.

use std::collections::{BTreeMap, HashSet};
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::bindings::rd_kafka_resp_err_t as Code;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use starweir_engine::{Lane, Polled, Reader, SplitOffsets};
use starweir_formats::Decoder;
use starweir_model::{Error, ErrorKind, Result, SplitId};

use super::batch::{BatchQueue, RawMessage};
use super::columns::OwnColumns;
use super::position::{Bound, REQUEST_TIMEOUT, Start, watermarks};
use super::source::{KeyPlan, PartitionOffset, Topics, kafka_error, lane_of, split_id};
use crate::format::FormatPlan;

/// Rows of a batch, about.
const BATCH_ROWS: usize = 4096;
/// A batch is handed out once its rows take this many bytes: large messages must not gather by the thousand.
const BATCH_BYTES: usize = 8 << 20;
/// A resumed partition that gives nothing for this long is assigned once more.
const RESUME_WAIT: Duration = Duration::from_secs(2);
/// Without a word from any broker for this long the attempt fails, so that the job's restart strategy decides.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Topics the broker keeps for itself; a pattern never means them (Flink's rule).
const INTERNAL_TOPICS: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

struct Partition {
    topic: String,
    /// For asking librdkafka.
    topic_c: CString,
    partition: i32,
    at: PartitionOffset,
    finished: bool,
}

/// What a reader is made of, besides what it finds out itself.
pub(super) struct ReaderParts {
    pub consumer: Arc<BaseConsumer>,
    pub lane: Lane,
    pub topics: Arc<Topics>,
    pub start: Start,
    pub bound: Option<Bound>,
    pub discovery: Option<Duration>,
    /// What `properties.auto.offset.reset` says: earliest or latest.
    pub reset: Option<String>,
    pub restored: SplitOffsets,
    pub plan: Arc<FormatPlan>,
    pub key: Option<Arc<KeyPlan>>,
}

pub(super) struct KafkaReader {
    queue: BatchQueue,
    parts: ReaderParts,
    /// When partitions were looked for.
    discovered: Instant,
    /// Partitions that go on after their offset was lost, until they give a message: position, offset, since when.
    resumed: Vec<(usize, i64, Instant)>,
    intake: Intake,
    heard: Instant,
}

impl KafkaReader {
    /// Finds the lane's partitions and starts fetching them. Blocks on the brokers' answers.
    pub(super) fn open(parts: ReaderParts) -> Result<Self> {
        let mut reader = Self {
            queue: BatchQueue::new(parts.consumer.clone()),
            discovered: Instant::now(),
            resumed: Vec::new(),
            intake: Intake {
                partitions: Vec::new(),
                index: BTreeMap::new(),
                topics: Vec::new(),
                last: None,
                decoder: parts.plan.decoder()?,
                key_decoder: parts.key.as_ref().map(|k| k.decoder()).transpose()?,
                own: OwnColumns::new(&parts.plan),
                keyless: 0,
                bytes: 0,
                resettable: parts.reset.is_some(),
                ended: Vec::new(),
                lost: Vec::new(),
                last_error: None,
            },
            parts,
            heard: Instant::now(),
        };
        reader.discover(true)?;
        Ok(reader)
    }

    /// The partitions of all lanes, each once.
    fn list(&self, timeout: Duration) -> Result<Vec<(String, i32)>> {
        let failed = |e| kafka_error("topics could not be listed".into(), e);
        let mut found: Vec<(String, i32)> = Vec::new();
        match &*self.parts.topics {
            Topics::Named(names) => {
                for name in names {
                    let metadata = self.parts.consumer.fetch_metadata(Some(name), timeout).map_err(failed)?;
                    let topic = metadata.topics().iter().find(|t| t.name() == name);
                    let partitions = topic.map(|t| t.partitions()).unwrap_or_default();
                    if partitions.is_empty() {
                        let code = topic.and_then(|t| t.error()).map(RDKafkaErrorCode::from);
                        let code = code.unwrap_or(RDKafkaErrorCode::UnknownTopicOrPartition);
                        let error =
                            kafka_error(format!("topic {name} cannot be read"), KafkaError::MetadataFetch(code));
                        return Err(match code {
                            RDKafkaErrorCode::UnknownTopicOrPartition => {
                                error.with_hint("create the topic first; it is never created by reading")
                            }
                            _ => error,
                        });
                    }
                    found.extend(partitions.iter().map(|p| (name.clone(), p.id())));
                }
            }
            Topics::Pattern(pattern) => {
                let metadata = self.parts.consumer.fetch_metadata(None, timeout).map_err(failed)?;
                let matches = |name: &str| pattern.is_match(name) && !INTERNAL_TOPICS.contains(&name);
                for topic in metadata.topics().iter().filter(|t| matches(t.name())) {
                    found.extend(topic.partitions().iter().map(|p| (topic.name().to_owned(), p.id())));
                }
            }
        }
        let mut seen = HashSet::new();
        found.retain(|split| seen.insert(split.clone()));
        Ok(found)
    }

    /// Finds partitions of this lane and starts reading new ones. Fails before anything has changed, or not at all.
    fn discover(&mut self, first: bool) -> Result<()> {
        self.discovered = Instant::now();
        let parts = &self.parts;
        let consumer = &parts.consumer;
        let timeout = if first { REQUEST_TIMEOUT } else { REQUEST_TIMEOUT / 6 };
        let mut new = Vec::new();
        for (topic, partition) in self.list(timeout)? {
            let known = self.intake.partitions.iter().any(|p| p.topic == topic && p.partition == partition);
            if known || lane_of(&topic, partition, parts.lane.count) != parts.lane.index {
                continue;
            }
            let at = match parts.restored.get(&split_id(&topic, partition)) {
                Some(offset) => PartitionOffset::parse(offset)?,
                None => {
                    // A partition that appears later holds nothing that was there before: from its start (Flink's
                    // rule). The same for one that appeared while we were down.
                    let late = !first || !parts.restored.is_empty();
                    let start = if late { &Start::Earliest } else { &parts.start };
                    PartitionOffset { next: start.resolve(consumer, &topic, partition)?, end: None }
                }
            };
            let end = match (&parts.bound, at.end) {
                (None, _) => None,
                (Some(_), Some(end)) => Some(end),
                (Some(bound), None) => Some(bound.resolve(consumer, &topic, partition)?),
            };
            new.push((topic, partition, PartitionOffset { end, ..at }));
        }
        if new.is_empty() {
            return Ok(());
        }
        let first_new = self.intake.partitions.len();
        for (topic, partition, at) in new {
            self.intake.add(topic, partition, at)?;
        }
        let all: Vec<usize> = (first_new..self.intake.partitions.len()).collect();
        self.fetch(&all)
    }

    /// Starts fetching these partitions from where they stand.
    fn fetch(&self, positions: &[usize]) -> Result<()> {
        let failed = |e| kafka_error("partitions could not be assigned".into(), e);
        let mut list = TopicPartitionList::new();
        for partition in positions.iter().map(|p| &self.intake.partitions[*p]).filter(|p| !p.finished) {
            list.add_partition_offset(
                &partition.topic,
                partition.partition,
                rdkafka::Offset::Offset(partition.at.next),
            )
            .map_err(failed)?;
            self.queue.forward(&partition.topic, partition.partition)?;
        }
        if list.count() == 0 { Ok(()) } else { self.parts.consumer.incremental_assign(&list).map_err(failed) }
    }

    /// Looks for new partitions when it is time to. Brokers that do not answer are tried again next time.
    fn discover_again(&mut self) -> Result<()> {
        let due = self.parts.discovery.is_some_and(|interval| self.discovered.elapsed() >= interval);
        if !due || self.parts.bound.is_some() {
            return Ok(());
        }
        match self.discover(false) {
            // A topic being made is unknown to some brokers for a while; partitions already read speak for themselves.
            Err(error) if matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Refused) => {
                tracing::warn!("kafka: new partitions could not be looked for: {}", error.chain());
                Ok(())
            }
            other => other,
        }
    }

    /// Errors of the client as a whole come here.
    fn serve_events(&mut self) -> Result<()> {
        while let Some(result) = self.parts.consumer.poll(Duration::ZERO) {
            match result {
                Ok(message) => {
                    // Every partition is led to our own queue before it is fetched.
                    use rdkafka::Message;
                    return Err(Error::internal(format!(
                        "topic {} partition {} offset {} came by the wrong queue",
                        message.topic(),
                        message.partition(),
                        message.offset()
                    )));
                }
                Err(KafkaError::PartitionEOF(_)) => {}
                Err(error) => {
                    let error = kafka_error("the kafka client reports".into(), error);
                    if !error.kind.is_retryable() {
                        return Err(error);
                    }
                    self.intake.trouble(error.chain());
                }
            }
        }
        Ok(())
    }

    /// Stops fetching partitions that ended, and goes on with those whose offset the broker no longer has.
    fn settle(&mut self) -> Result<()> {
        let failed = |e| kafka_error("partitions could not be assigned".into(), e);
        if !self.intake.ended.is_empty() {
            let mut list = TopicPartitionList::new();
            for at in self.intake.ended.drain(..) {
                let partition = &self.intake.partitions[at];
                list.add_partition(&partition.topic, partition.partition);
            }
            self.parts.consumer.pause(&list).map_err(failed)?;
        }
        self.watch_resumed()?;
        for at in std::mem::take(&mut self.intake.lost) {
            let partition = &mut self.intake.partitions[at];
            let (low, high) = watermarks(&self.parts.consumer, &partition.topic, partition.partition)?;
            let next = if self.parts.reset.as_deref() == Some("latest") { high } else { low };
            tracing::warn!(
                "topic {} partition {}: offset {} is no longer there; going on at {next}, as properties.auto.offset.reset says",
                partition.topic,
                partition.partition,
                partition.at.next
            );
            partition.at.next = next;
            let mut list = TopicPartitionList::new();
            list.add_partition(&partition.topic, partition.partition);
            if partition.at.end.is_some_and(|end| next >= end) {
                partition.finished = true;
                self.parts.consumer.pause(&list).map_err(failed)?;
            } else {
                self.parts.consumer.incremental_unassign(&list).map_err(failed)?;
                self.fetch(&[at])?;
                if high > next {
                    self.resumed.push((at, next, Instant::now()));
                }
            }
        }
        Ok(())
    }

    /// librdkafka may still be stopping a partition when it is assigned anew, and then never fetches it: a partition
    /// that was resumed, has messages and gives none is assigned once more.
    fn watch_resumed(&mut self) -> Result<()> {
        let partitions = &self.intake.partitions;
        self.resumed.retain(|(at, next, _)| partitions[*at].at.next <= *next && !partitions[*at].finished);
        let stuck: Vec<usize> =
            self.resumed.iter().filter(|(.., since)| since.elapsed() >= RESUME_WAIT).map(|(at, ..)| *at).collect();
        for at in stuck {
            let mut list = TopicPartitionList::new();
            list.add_partition(&self.intake.partitions[at].topic, self.intake.partitions[at].partition);
            let failed = |e| kafka_error("partitions could not be assigned".into(), e);
            self.parts.consumer.incremental_unassign(&list).map_err(failed)?;
            self.fetch(&[at])?;
        }
        for (.., since) in &mut self.resumed {
            if since.elapsed() >= RESUME_WAIT {
                *since = Instant::now();
            }
        }
        Ok(())
    }

    /// Fails when no broker answers any more. An idle topic is silent too, so one is asked.
    fn check_silence(&mut self) -> Result<()> {
        if self.heard.elapsed() < SILENCE_MAX {
            return Ok(());
        }
        if let Some(partition) = self.intake.partitions.iter().find(|p| !p.finished) {
            watermarks(&self.parts.consumer, &partition.topic, partition.partition).map_err(|e| {
                match &self.intake.last_error {
                    Some(last) => Error::unavailable(format!("the brokers do not answer: {last}")),
                    None => e,
                }
            })?;
        }
        self.heard = Instant::now();
        Ok(())
    }

    /// The rows decoded so far, in the wanted order.
    fn take_batch(&mut self) -> Result<Polled> {
        let Self { parts, intake, .. } = self;
        let decoded = intake.decoder.finish()?;
        let keys = match &mut intake.key_decoder {
            Some(decoder) => Some(decoder.finish()?),
            None => None,
        };
        let batch = parts.plan.arrange(decoded, |position, data_type| match (&parts.key, &keys) {
            (Some(key), Some(keys)) if position >= key.first_own => {
                arrow::compute::take(keys.column(position - key.first_own), intake.own.key_rows(), None)
                    .map_err(|e| Error::internal("kafka key columns").with_source(e))
            }
            _ => intake.own.column(position, &intake.topics, data_type),
        })?;
        intake.own.clear();
        Ok(Polled::Batch { batch, bytes: std::mem::take(&mut intake.bytes) })
    }
}

/// Takes messages in.
struct Intake {
    partitions: Vec<Partition>,
    /// (topic number, partition) → position in `partitions`.
    index: BTreeMap<(usize, i32), usize>,
    topics: Vec<String>,
    /// The last message's topic address and partition, and what they stand for: topic number and position.
    last: Option<(usize, i32, usize, usize)>,
    decoder: Box<dyn Decoder>,
    key_decoder: Option<Box<dyn Decoder>>,
    own: OwnColumns,
    /// Messages left out because their key was left out.
    keyless: u64,
    /// Of the messages in the batch under way.
    bytes: u64,
    /// Whether offsets that are gone may be passed over.
    resettable: bool,
    /// Partitions that ended just now.
    ended: Vec<usize>,
    /// Partitions whose offset the broker no longer has.
    lost: Vec<usize>,
    last_error: Option<String>,
}

impl Intake {
    fn add(&mut self, topic: String, partition: i32, at: PartitionOffset) -> Result<()> {
        let number = self.topics.iter().position(|name| *name == topic).unwrap_or_else(|| {
            self.topics.push(topic.clone());
            self.topics.len() - 1
        });
        let topic_c = CString::new(topic.as_str()).map_err(|_| Error::user("a topic's name holds a zero byte"))?;
        self.index.insert((number, partition), self.partitions.len());
        let finished = at.end.is_some_and(|end| at.next >= end);
        self.partitions.push(Partition { topic, topic_c, partition, at, finished });
        Ok(())
    }

    /// Which topic and partition a message is of: topic number and position.
    fn place(&mut self, message: &RawMessage<'_>) -> Option<(usize, usize)> {
        let (address, partition) = (message.topic_address(), message.partition());
        if let Some((known, number_of, topic, at)) = self.last
            && (known, number_of) == (address, partition)
        {
            return Some((topic, at));
        }
        let name = message.topic();
        let topic = self.topics.iter().position(|known| *known == name)?;
        let at = *self.index.get(&(topic, partition))?;
        self.last = Some((address, partition, topic, at));
        Some((topic, at))
    }

    /// Notes an error that passes by itself.
    fn trouble(&mut self, text: String) {
        if self.last_error.as_ref() != Some(&text) {
            tracing::warn!("kafka: {text}");
        }
        self.last_error = Some(text);
    }

    fn end(&mut self, at: usize) {
        self.partitions[at].finished = true;
        self.ended.push(at);
    }

    /// Decodes a message, or notes what an error says. An error is final for the attempt.
    fn take(&mut self, message: &RawMessage<'_>) -> Result<()> {
        let Some((topic, at)) = self.place(message) else {
            return match message.error() {
                Code::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
                _ => self.failure(message, None),
            };
        };
        match message.error() {
            Code::RD_KAFKA_RESP_ERR_NO_ERROR => {}
            Code::RD_KAFKA_RESP_ERR__PARTITION_EOF => {
                // Aborted messages and transaction marks are never delivered: where the fetch stands is known only
                // from here.
                let partition = &mut self.partitions[at];
                if !partition.finished {
                    partition.at.next = partition.at.next.max(message.offset());
                    if partition.at.end.is_some_and(|end| partition.at.next >= end) {
                        self.end(at);
                    }
                }
                return Ok(());
            }
            _ => return self.failure(message, Some(at)),
        }
        let partition = &mut self.partitions[at];
        let offset = message.offset();
        if partition.finished || offset < partition.at.next {
            return Ok(());
        }
        if let Some(end) = partition.at.end
            && offset >= end
        {
            partition.at.next = end;
            self.end(at);
            return Ok(());
        }
        let place = || format!("topic {} partition {} offset {offset}", partition.topic, partition.partition);
        let payload = message.payload();
        let mut key_row = None;
        // As in Flink the key comes first, and a message whose key gives no row gives none.
        let mut wanted = payload.is_some();
        if let (Some(decoder), true) = (&mut self.key_decoder, wanted) {
            let before = decoder.rows();
            let skipped = decoder.skipped();
            let given = decoder
                .decode(message.key().unwrap_or_default())
                .map_err(|e| Error::from(e).context(format!("{}, key", place())))?;
            if given == 0 && decoder.skipped() == skipped {
                return Err(Error::data(format!("{}: there is no key to read key.fields from", place()))
                    .with_hint("leave key.format and key.fields out if the columns are in the value as well"));
            }
            if given > 1 {
                return Err(Error::data(format!("{}: the key holds {given} rows", place())));
            }
            wanted = given == 1;
            key_row = Some(before as u32);
        }
        let rows = match payload {
            Some(payload) if wanted => self.decoder.decode(payload).map_err(|e| Error::from(e).context(place()))?,
            Some(_) => {
                self.keyless += 1;
                0
            }
            None => 0,
        };
        if rows > 0 {
            self.own.push(message, topic, rows, key_row);
        }
        self.bytes += (payload.map_or(0, <[u8]>::len) + message.key().map_or(0, <[u8]>::len)) as u64;
        partition.at.next = offset + 1;
        if partition.at.end.is_some_and(|end| partition.at.next >= end) {
            self.end(at);
        }
        Ok(())
    }

    /// What an error in the place of a message means. librdkafka passes over what it cannot read, so only errors
    /// that are known to lose nothing may be passed over here.
    fn failure(&mut self, message: &RawMessage<'_>, at: Option<usize>) -> Result<()> {
        let text = message.error_text();
        let place = match at.map(|at| &self.partitions[at]) {
            Some(p) => format!("topic {} partition {}", p.topic, p.partition),
            None => format!("topic {}", message.topic()),
        };
        match (message.error(), at) {
            (
                Code::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET
                | Code::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE
                | Code::RD_KAFKA_RESP_ERR__NO_OFFSET
                | Code::RD_KAFKA_RESP_ERR__LOG_TRUNCATION,
                Some(at),
            ) => {
                if self.resettable {
                    if !self.lost.contains(&at) {
                        self.lost.push(at);
                    }
                    return Ok(());
                }
                let next = self.partitions[at].at.next;
                Err(Error::refused(format!("{place}: offset {next} is no longer there")).with_hint(
                    "the broker removed messages that were not read yet (retention); set 'properties.auto.offset.reset' \
                     to go on with what is left, or start anew with --fresh",
                ))
            }
            (code, _) if is_passing(code) => {
                self.trouble(format!("{place}: {text}"));
                Ok(())
            }
            (code, _) => {
                Err(kafka_error(format!("{place} cannot be read"), KafkaError::MessageConsumption(code.into())))
            }
        }
    }
}

/// Errors after which librdkafka goes on by itself, having passed over nothing.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::RD_KAFKA_RESP_ERR__TRANSPORT
            | Code::RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN
            | Code::RD_KAFKA_RESP_ERR__RESOLVE
            | Code::RD_KAFKA_RESP_ERR__TIMED_OUT
            | Code::RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE
            | Code::RD_KAFKA_RESP_ERR__WAIT_COORD
            | Code::RD_KAFKA_RESP_ERR__WAIT_CACHE
            | Code::RD_KAFKA_RESP_ERR__RETRY
            | Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT
            | Code::RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION
            | Code::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE
            | Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION
            | Code::RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE
            | Code::RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE
            | Code::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR
            | Code::RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH
            | Code::RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH
            | Code::RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE
            | Code::RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED
    )
}

impl Reader for KafkaReader {
    fn poll(&mut self, wait: Duration) -> Result<Polled> {
        let deadline = Instant::now() + wait;
        self.serve_events()?;
        self.discover_again()?;
        loop {
            let Self { queue, intake, .. } = self;
            let rows = intake.decoder.rows();
            let now = Instant::now();
            let left = if rows > 0 { Duration::ZERO } else { deadline.saturating_duration_since(now) };
            let count = queue.poll(left, BATCH_ROWS.saturating_sub(rows), |message| intake.take(&message))?;
            self.settle()?;
            let now = Instant::now();
            if count > 0 {
                self.heard = now;
            }
            let decoder = &self.intake.decoder;
            if count == 0 || now >= deadline || decoder.rows() >= BATCH_ROWS || decoder.bytes() >= BATCH_BYTES {
                break;
            }
        }
        if self.intake.decoder.rows() > 0 {
            return self.take_batch();
        }
        if self.parts.bound.is_some() && self.intake.partitions.iter().all(|p| p.finished) {
            return Ok(Polled::Finished);
        }
        self.check_silence()?;
        Ok(Polled::Idle)
    }

    fn offsets(&self) -> Result<SplitOffsets> {
        Ok(self.intake.partitions.iter().map(|p| (split_id(&p.topic, p.partition), p.at.text())).collect())
    }

    fn skipped(&self) -> u64 {
        self.intake.decoder.skipped() + self.intake.keyless
    }

    fn lag(&self) -> Vec<(SplitId, u64)> {
        let lag_of = |p: &Partition| {
            let end = p.at.end.or_else(|| self.queue.log_end(&p.topic_c, p.partition))?;
            Some((split_id(&p.topic, p.partition), end.saturating_sub(p.at.next).max(0) as u64))
        };
        self.intake.partitions.iter().filter_map(lag_of).collect()
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        // The client may outlive the reader, to commit the last epoch's offsets; it must not go on fetching.
        if let Err(error) = self.parts.consumer.unassign() {
            tracing::debug!("kafka: partitions could not be given up: {error}");
        }
    }
}
