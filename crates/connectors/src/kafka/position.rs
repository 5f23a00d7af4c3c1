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
    /// By partition; `grouped`: there is a consumer group to ask for partitions that are not named.
    Specific {
        offsets: BTreeMap<i32, i64>,
        grouped: bool,
    },
    /// The group's committed offset; without one, what `auto.offset.reset` says.
    Group {
        reset: Option<String>,
    },
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
        let partition: i32 = partition.trim().strip_prefix("partition:")?.trim().parse().ok()?;
        let offset: i64 = offset.trim().strip_prefix("offset:")?.trim().parse().ok()?;
        // Negative offsets have meanings of their own in the protocol.
        if partition < 0 || offset < 0 || offsets.insert(partition, offset).is_some() {
            return None;
        }
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
    known_offset(&found).map_err(failed(topic, partition))
}

fn committed(consumer: &BaseConsumer, topic: &str, partition: i32) -> Result<Option<i64>> {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    let found = consumer.committed_offsets(list, REQUEST_TIMEOUT).map_err(failed(topic, partition))?;
    known_offset(&found).map_err(failed(topic, partition))
}

/// The one offset of an answer; None when there is none. An error of the partition is an error, not "none".
fn known_offset(found: &TopicPartitionList) -> Result<Option<i64>, rdkafka::error::KafkaError> {
    let elements = found.elements();
    let Some(element) = elements.first() else { return Ok(None) };
    element.error()?;
    Ok(element.offset().to_raw().filter(|o| *o >= 0))
}

impl Start {
    /// The first offset to read.
    pub(super) fn resolve(&self, consumer: &BaseConsumer, topic: &str, partition: i32) -> Result<i64> {
        match self {
            Self::Earliest => Ok(watermarks(consumer, topic, partition)?.0),
            Self::Latest => Ok(watermarks(consumer, topic, partition)?.1),
            Self::Timestamp(ms) => {
                // The end first: what arrives between the two questions must not be passed over.
                let end = watermarks(consumer, topic, partition)?.1;
                Ok(at_time(consumer, topic, partition, *ms)?.unwrap_or(end))
            }
            // Partitions that are not named start where the group stands, else at the earliest offset (Flink's
            // OffsetsInitializer.offsets).
            Self::Specific { offsets, grouped } => {
                if let Some(offset) = offsets.get(&partition) {
                    return Ok(*offset);
                }
                let committed = if *grouped { committed(consumer, topic, partition)? } else { None };
                committed.map_or_else(|| Ok(watermarks(consumer, topic, partition)?.0), Ok)
            }
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
                    .with_hint(
                        "set 'properties.auto.offset.reset' to earliest or latest, or choose another scan.startup.mode",
                    )),
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
                // Flink's manual: a partition for which no offset is given is not read.
                None => Ok(0),
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
        for bad in [
            "",
            "0:42",
            "partition:0",
            "partition:x,offset:1",
            "partition:0,offset:",
            "partition:0,offset:-2",
            "partition:0,offset:1;partition:0,offset:2",
        ] {
            assert_eq!(parse_specific(bad), None, "{bad}");
        }
    }
}
