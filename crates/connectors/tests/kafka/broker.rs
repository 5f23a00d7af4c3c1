//! What the mock cluster cannot do: transactions that abort, and offsets by time. These run against a real Kafka that
//! makes topics on first use: `STARWEIR_TEST_KAFKA=127.0.0.1:9092 cargo test -p starweir-connectors -- --ignored`.

use std::time::{SystemTime, UNIX_EPOCH};

use super::*;

const EARLIEST: (&str, &str) = ("scan.startup.mode", "earliest-offset");
const BOUNDED: (&str, &str) = ("scan.bounded.mode", "latest-offset");
const COMMITTED: (&str, &str) = ("properties.isolation.level", "read_committed");

fn bootstrap() -> String {
    std::env::var("STARWEIR_TEST_KAFKA").expect("STARWEIR_TEST_KAFKA names a broker")
}

/// A topic no other run has used.
fn fresh(name: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("{name}_{now}")
}

fn producer(transactional: Option<&str>) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap());
    if let Some(id) = transactional {
        config.set("transactional.id", id);
    }
    let producer: BaseProducer = config.create().unwrap();
    if transactional.is_some() {
        producer.init_transactions(LIMIT).unwrap();
    }
    producer
}

/// Messages `{"id": n}`, each with this timestamp; 0: the present.
fn send(producer: &BaseProducer, topic: &str, ids: std::ops::Range<i64>, timestamp_ms: i64) {
    for id in ids {
        let text = format!("{{\"id\":{id}}}");
        let mut record: BaseRecord<'_, str, str> = BaseRecord::to(topic).partition(0).payload(&text);
        record.timestamp = (timestamp_ms > 0).then_some(timestamp_ms);
        producer.send(record).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(LIMIT).unwrap();
}

fn transaction(producer: &BaseProducer, topic: &str, ids: std::ops::Range<i64>, commit: bool) {
    producer.begin_transaction().unwrap();
    send(producer, topic, ids, 0);
    if commit { producer.commit_transaction(LIMIT) } else { producer.abort_transaction(LIMIT) }.unwrap();
}

fn source(options: &[(&str, &str)]) -> Arc<dyn Source> {
    build(&bootstrap(), options, &ids_only(), &[Wanted::Physical(0)]).map_err(|e| format!("{e:?}")).unwrap().source
}

#[test]
#[ignore = "needs a Kafka at STARWEIR_TEST_KAFKA"]
fn aborted_messages_are_read_only_when_uncommitted_ones_may_be() {
    let topic = fresh("aborted");
    let writer = producer(Some(&topic));
    transaction(&writer, &topic, 0..3, true);
    transaction(&writer, &topic, 3..6, false);
    transaction(&writer, &topic, 6..8, true);
    let all = source(&[("topic", &topic), EARLIEST, BOUNDED]);
    assert_eq!(all_ids(&mut *open(&*all)), (0..8).collect::<Vec<i64>>());
    let committed = source(&[("topic", &topic), EARLIEST, BOUNDED, COMMITTED]);
    assert_eq!(all_ids(&mut *open(&*committed)), [0, 1, 2, 6, 7]);
}

#[test]
#[ignore = "needs a Kafka at STARWEIR_TEST_KAFKA"]
fn a_bounded_read_ends_on_transaction_marks_and_aborted_messages_and_stands_after_them() {
    let topic = fresh("marks");
    let writer = producer(Some(&topic));
    transaction(&writer, &topic, 0..3, true);
    transaction(&writer, &topic, 3..6, false);
    let split = format!("{topic}-0");
    // Offsets 0–2 and their mark, 4–6 aborted and their mark: the log ends at 8.
    for options in [&[EARLIEST, BOUNDED, COMMITTED][..], &[EARLIEST, BOUNDED][..]] {
        let mut all = vec![("topic", topic.as_str())];
        all.extend(options);
        let mut reader = open(&*source(&all));
        let read = all_ids(&mut *reader);
        assert_eq!(&read[..3], [0, 1, 2]);
        assert_eq!(offset(&reader.offsets().unwrap(), &split), 8);
    }
    // Ends within marks and aborted messages too.
    for end in [3, 4, 5, 7, 8] {
        let text = format!("partition:0,offset:{end}");
        let mode = ("scan.bounded.mode", "specific-offsets");
        let bounded = source(&[("topic", &topic), EARLIEST, COMMITTED, mode, ("scan.bounded.specific-offsets", &text)]);
        let mut reader = open(&*bounded);
        assert_eq!(all_ids(&mut *reader), [0, 1, 2], "end {end}");
    }
    // Going on from there gives what comes next, once.
    let unbounded = source(&[("topic", &topic), EARLIEST, COMMITTED]);
    let mut reader = open(&*unbounded);
    assert_eq!(first_ids(&mut *reader, 3), [0, 1, 2]);
    let started = Instant::now();
    while offset(&reader.offsets().unwrap(), &split) < 8 {
        assert!(started.elapsed() < LIMIT);
        assert!(matches!(reader.poll(Duration::from_millis(20)), Ok(Polled::Idle)));
    }
    let offsets = reader.offsets().unwrap();
    drop(reader);
    transaction(&writer, &topic, 6..9, true);
    assert_eq!(first_ids(&mut *unbounded.open(ONE, &offsets).unwrap(), 3), [6, 7, 8]);
}

#[test]
#[ignore = "needs a Kafka at STARWEIR_TEST_KAFKA"]
fn a_time_starts_and_ends_at_the_first_message_that_is_not_older() {
    let topic = fresh("times");
    let writer = producer(None);
    for (ids, at) in [(0..3, 1_000_000), (3..6, 2_000_000), (6..9, 3_000_000)] {
        send(&writer, &topic, ids, at);
    }
    let check = |from: &str, to: &str, expected: &[i64]| {
        let bounded = source(&[
            ("topic", &topic),
            ("scan.startup.mode", "timestamp"),
            ("scan.startup.timestamp-millis", from),
            ("scan.bounded.mode", "timestamp"),
            ("scan.bounded.timestamp-millis", to),
        ]);
        assert_eq!(all_ids(&mut *open(&*bounded)), expected, "{from} to {to}");
    };
    check("0", "1999999", &[0, 1, 2]);
    check("1000001", "3000000", &[3, 4, 5]);
    check("2000000", "9000000", &[3, 4, 5, 6, 7, 8]);
    check("3000001", "9000000", &[]);
}
