//! Where reading a partition starts and ends.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use starweir_model::{Error, Result};

/// `scan.startup.mode`.
#[derive(Debug, Clone)]
pub(super) enum Start {
    Earliest,
    Latest,
    Timestamp(i64),
    Specific(BTreeMap<i32, i64>),
    /// The group's committed offset; without one, what `auto.offset.reset` says.
    Group { reset: Option<String> },
}

/// `scan.bounded.mode`.
#[derive(Debug, Clone)]
pub(super) enum Bound {
    Latest,
    Timestamp(i64),
    Specific(BTreeMap<i32, i64>),
    Group,
}

/// Requests to the broker wait this long.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// `partition:0,offset:42;partition:1,offset:300`
pub(super) fn parse_specific(text: &str) -> Option<BTreeMap<i32, i64>> {
    let mut offsets = BTreeMap::new();
    for part in text.split(';').map(str::trim).filter(|p| !p.is_empty()) {
        let (partition, offset) = part.split_once(',')?;
        let partition = partition.trim().strip_prefix("partition:")?.trim().parse().ok()?;
        let offset = offset.trim().strip_prefix("offset:")?.trim().parse().ok()?;
        offsets.insert(partition, offset);
    }
    (!offsets.is_empty()).then_some(offsets)
}

fn failed(topic: &str, partition: i32) -> impl FnOnce(rdkafka::error::KafkaError) -> Error {
    let text = format!("topic {topic} partition {partition}: offsets could not be asked for");
    move |e| super::source::kafka_error(text, e)
}

pub(super) fn watermarks(consumer: &BaseConsumer, topic: &str, partition: i32) -> Result<(i64, i64)> {
    consumer.fetch_watermarks(topic, partition, REQUEST_TIMEOUT).map_err(failed(topic, partition))
}

/// The first offset whose message is not older; None when there is none yet.
fn at_time(consumer: &BaseConsumer, topic: &str, partition: i32, ms: i64) -> Result<Option<i64>> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(ms)).map_err(failed(topic, partition))?;
    let found = consumer.offsets_for_times(list, REQUEST_TIMEOUT).map_err(failed(topic, partition))?;
    Ok(found.elements().first().and_then(|e| e.offset().to_raw()).filter(|o| *o >= 0))
}

fn committed(consumer: &BaseConsumer, topic: &str, partition: i32) -> Result<Option<i64>> {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    let found = consumer.committed_offsets(list, REQUEST_TIMEOUT).map_err(failed(topic, partition))?;
    Ok(found.elements().first().and_then(|e| e.offset().to_raw()).filter(|o| *o >= 0))
}

impl Start {
    /// The first offset to read.
    pub(super) fn resolve(&self, consumer: &BaseConsumer, topic: &str, partition: i32) -> Result<i64> {
        match self {
            Self::Earliest => Ok(watermarks(consumer, topic, partition)?.0),
            Self::Latest => Ok(watermarks(consumer, topic, partition)?.1),
            Self::Timestamp(ms) => match at_time(consumer, topic, partition, *ms)? {
                Some(offset) => Ok(offset),
                None => Ok(watermarks(consumer, topic, partition)?.1),
            },
            // Partitions that are not named start at the group's offset in Flink's older source, at the earliest in
            // its present one (OffsetsInitializer.offsets).
            Self::Specific(offsets) => match offsets.get(&partition) {
                Some(offset) => Ok(*offset),
                None => Ok(watermarks(consumer, topic, partition)?.0),
            },
            Self::Group { reset } => {
                if let Some(offset) = committed(consumer, topic, partition)? {
                    return Ok(offset);
                }
                match reset.as_deref() {
                    Some("earliest") => Ok(watermarks(consumer, topic, partition)?.0),
                    Some("latest") => Ok(watermarks(consumer, topic, partition)?.1),
                    _ => Err(Error::user(format!(
                        "the consumer group has no committed offset for topic {topic} partition {partition}"
                    ))
                    .with_hint("set 'properties.auto.offset.reset' to earliest or latest, or choose another scan.startup.mode")),
                }
            }
        }
    }
}

impl Bound {
    /// The first offset not to read.
    pub(super) fn resolve(&self, consumer: &BaseConsumer, topic: &str, partition: i32) -> Result<i64> {
        let latest = |consumer| Ok(watermarks(consumer, topic, partition)?.1);
        match self {
            Self::Latest => latest(consumer),
            Self::Timestamp(ms) => match at_time(consumer, topic, partition, *ms)? {
                Some(offset) => Ok(offset),
                None => latest(consumer),
            },
            Self::Specific(offsets) => match offsets.get(&partition) {
                Some(offset) => Ok(*offset),
                None => latest(consumer),
            },
            Self::Group => match committed(consumer, topic, partition)? {
                Some(offset) => Ok(offset),
                None => Err(Error::user(format!(
                    "the consumer group has no committed offset for topic {topic} partition {partition} to end at"
                ))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specific_offsets_are_read_as_flink_writes_them() {
        let expected = BTreeMap::from([(0, 42), (1, 300)]);
        assert_eq!(parse_specific("partition:0,offset:42;partition:1,offset:300"), Some(expected));
        for bad in ["", "0:42", "partition:0", "partition:x,offset:1", "partition:0,offset:"] {
            assert_eq!(parse_specific(bad), None, "{bad}");
        }
    }
}
