//! How fast a topic of JSON rows is read through the source the engine uses.
//!
//! `kafka_speed <bootstrap> <topic> <rows> [--produce]`: `--produce` first writes that many rows of eight columns.
//! Prints rows, seconds, CPU seconds of the whole process (client threads included) and CPU µs per row.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use starweir_connectors::{SourceRequest, Wanted, connector};
use starweir_engine::{Lane, Polled, SplitOffsets};
use starweir_model::{Column, DataType, LogicalType, Schema, SystemClock};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, topic, rows, rest @ ..] = &arguments[..] else {
        return Err("kafka_speed <bootstrap> <topic> <rows> [--produce]".into());
    };
    let rows: u64 = rows.parse()?;
    if rest.iter().any(|flag| flag == "--produce") {
        produce(bootstrap, topic, rows)?;
    }
    read(bootstrap, topic, rows)
}

fn produce(bootstrap: &str, topic: &str, rows: u64) -> Result<(), Failure> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("linger.ms", "50")
        .set("batch.size", "262144")
        .create()?;
    for row in 0..rows {
        let value = format!(
            "{{\"id\":{row},\"customer\":{},\"name\":\"customer number {}\",\"amount\":{}.{:02},\"price\":{}.5,\
             \"ok\":{},\"day\":\"2026-11-{:02}\",\"at\":\"2026-11-21 04:05:{:02}.123\"}}",
            row % 10_007,
            row % 10_007,
            row % 9973,
            row % 100,
            row % 777,
            row % 2 == 0,
            row % 28 + 1,
            row % 60
        );
        let mut record: BaseRecord<'_, (), str> = BaseRecord::to(topic).payload(&value);
        while let Err((error, back)) = producer.send(record) {
            if !matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) {
                return Err(error.into());
            }
            producer.poll(Duration::from_millis(50));
            record = back;
        }
    }
    producer.flush(Duration::from_secs(60))?;
    Ok(())
}

fn read(bootstrap: &str, topic: &str, rows_wanted: u64) -> Result<(), Failure> {
    let column = |name: &str, logical| Column::new(name, DataType::nullable(logical));
    let physical = Schema::new(vec![
        column("id", LogicalType::BigInt),
        column("customer", LogicalType::Int),
        column("name", LogicalType::STRING),
        column("amount", LogicalType::Decimal(10, 2)),
        column("price", LogicalType::Double),
        column("ok", LogicalType::Boolean),
        column("day", LogicalType::Date),
        column("at", LogicalType::Timestamp(3)),
    ]);
    let wanted: Vec<Wanted> = (0..physical.columns.len()).map(Wanted::Physical).collect();
    let options = [
        ("topic", topic),
        ("properties.bootstrap.servers", bootstrap),
        ("scan.startup.mode", "earliest-offset"),
        ("scan.bounded.mode", "latest-offset"),
        ("format", "json"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let request = SourceRequest {
        table: "rows",
        physical: &physical,
        wanted: &wanted,
        options: &options,
        batch: false,
        zone: "UTC",
        seed: 0,
        clock: Arc::new(SystemClock),
    };
    let build = connector("kafka").and_then(|c| c.source).ok_or("there is no kafka source")?;
    let source = build(&request).map_err(|errors| format!("{errors:?}"))?.source;
    let (started, cpu_before) = (Instant::now(), cpu_seconds());
    let mut reader = source.open(Lane { index: 0, count: 1 }, &SplitOffsets::new())?;
    let (mut rows, mut size) = (0u64, 0u64);
    loop {
        match reader.poll(Duration::from_millis(100))? {
            Polled::Batch { batch, bytes } => {
                rows += batch.rows() as u64;
                size += bytes;
            }
            Polled::Idle => {}
            Polled::Finished => break,
        }
    }
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu_before);
    println!(
        "{rows} rows ({rows_wanted} wanted), {:.1} MB, {seconds:.2} s, {cpu:.2} CPU s, {:.3} CPU µs/row, {:.0} rows/s",
        size as f64 / 1e6,
        cpu * 1e6 / rows.max(1) as f64,
        rows as f64 / seconds
    );
    Ok(())
}

/// User and system time of the whole process.
fn cpu_seconds() -> f64 {
    // SAFETY: getrusage fills the struct it is given; all zeros is a valid value of it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
