//! The Kafka source against librdkafka's mock cluster, in process; what that cannot do, against a real one.

mod broker;
mod messages;
mod positions;
mod trouble;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use starweir_connectors::{BuiltSource, SourceRequest, Wanted, connector};
use starweir_engine::{Lane, Polled, Reader, Source, SplitOffsets};
use starweir_model::option::OptionError;
use starweir_model::{Column, DataType, Error, LogicalType, Offset, Schema, SplitId, SystemClock};

/// Nothing here takes longer, also on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(60);
pub const ONE: Lane = Lane { index: 0, count: 1 };

pub struct Broker {
    pub cluster: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
}

impl Broker {
    pub fn new(topics: &[(&str, i32)]) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        for (topic, partitions) in topics {
            cluster.create_topic(topic, *partitions, 1).unwrap();
        }
        let producer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .set("linger.ms", "0")
            .create()
            .unwrap();
        Self { cluster, producer }
    }

    pub fn send(&self, topic: &str, partition: i32, key: Option<&str>, value: Option<&str>, headers: &[(&str, &str)]) {
        let mut list = OwnedHeaders::new();
        for (name, value) in headers {
            list = list.insert(Header { key: name, value: Some(*value) });
        }
        let mut record: BaseRecord<'_, str, str> =
            BaseRecord::to(topic).partition(partition).headers(list).timestamp(1_700_000_000_123);
        record.key = key;
        record.payload = value;
        self.producer.send(record).map_err(|(e, _)| e).unwrap();
        self.producer.flush(LIMIT).unwrap();
    }

    /// Messages `{"id": n}`.
    pub fn rows(&self, topic: &str, partition: i32, ids: std::ops::Range<i64>) {
        for id in ids {
            let text = format!("{{\"id\":{id}}}");
            let record: BaseRecord<'_, str, str> = BaseRecord::to(topic).partition(partition).payload(&text);
            self.producer.send(record).map_err(|(e, _)| e).unwrap();
        }
        self.producer.flush(LIMIT).unwrap();
    }

    pub fn build(
        &self,
        options: &[(&str, &str)],
        physical: &Schema,
        wanted: &[Wanted],
    ) -> Result<BuiltSource, Vec<OptionError>> {
        build(&self.cluster.bootstrap_servers(), options, physical, wanted)
    }

    /// A table with the one column `id`.
    pub fn source(&self, options: &[(&str, &str)]) -> Arc<dyn Source> {
        self.build(options, &ids_only(), &[Wanted::Physical(0)]).map_err(|e| format!("{e:?}")).unwrap().source
    }
}

/// A source of these options; `format` is json unless they say otherwise.
pub fn build(
    bootstrap: &str,
    options: &[(&str, &str)],
    physical: &Schema,
    wanted: &[Wanted],
) -> Result<BuiltSource, Vec<OptionError>> {
    let mut all = vec![("properties.bootstrap.servers".to_owned(), bootstrap.to_owned())];
    all.extend(options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    if !options.iter().any(|(k, _)| *k == "format" || *k == "value.format") {
        all.push(("format".into(), "json".into()));
    }
    let request = SourceRequest {
        table: "t",
        physical,
        wanted,
        options: &all,
        batch: false,
        zone: "UTC",
        seed: 0,
        clock: Arc::new(SystemClock),
    };
    connector("kafka").unwrap().source.unwrap()(&request)
}

pub fn ids_only() -> Schema {
    Schema::new(vec![Column::new("id", DataType::nullable(LogicalType::BigInt))])
}

pub fn open(source: &dyn Source) -> Box<dyn Reader> {
    source.open(ONE, &SplitOffsets::new()).map_err(|e| e.chain()).unwrap()
}

pub fn ids_of(batch: &RecordBatch) -> Vec<i64> {
    batch.column(0).as_primitive::<Int64Type>().values().to_vec()
}

/// Asks until `enough` says so or the reader ends; the batches in order.
pub fn read_until(
    reader: &mut dyn Reader,
    mut enough: impl FnMut(&[RecordBatch]) -> bool,
) -> Result<Vec<RecordBatch>, Error> {
    let started = Instant::now();
    let mut batches = Vec::new();
    while !enough(&batches) {
        assert!(started.elapsed() < LIMIT, "nothing more came; {} batches did", batches.len());
        match reader.poll(Duration::from_millis(50))? {
            Polled::Batch { batch, .. } => batches.push(batch.batch),
            Polled::Idle => {}
            Polled::Finished => break,
        }
    }
    Ok(batches)
}

pub fn ids(batches: &[RecordBatch]) -> Vec<i64> {
    batches.iter().flat_map(ids_of).collect()
}

/// The ids of a bounded source, sorted.
pub fn all_ids(reader: &mut dyn Reader) -> Vec<i64> {
    let mut ids = ids(&read_until(reader, |_| false).map_err(|e| e.chain()).unwrap());
    ids.sort_unstable();
    ids
}

/// The first ids of an unbounded source, and that no more come with them.
pub fn first_ids(reader: &mut dyn Reader, count: usize) -> Vec<i64> {
    let batches = read_until(reader, |b| ids(b).len() >= count).map_err(|e| e.chain()).unwrap();
    let mut ids = ids(&batches);
    ids.sort_unstable();
    ids
}

/// What opening or reading fails with.
pub fn failure(source: &dyn Source) -> Error {
    match source.open(ONE, &SplitOffsets::new()) {
        Err(error) => error,
        Ok(mut reader) => read_until(&mut *reader, |_| false).err().unwrap_or_else(|| panic!("it ended well")),
    }
}

pub fn offset(offsets: &SplitOffsets, split: &str) -> i64 {
    let Offset(text) = &offsets[&SplitId(split.into())];
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    value["next"].as_i64().unwrap()
}
