//! Brokers and messages that misbehave.

use starweir_model::{ErrorKind, Offset, SplitId};

use super::*;

const EARLIEST: (&str, &str) = ("scan.startup.mode", "earliest-offset");
const BOUNDED: (&str, &str) = ("scan.bounded.mode", "latest-offset");

#[test]
fn a_poison_message_fails_with_its_place_and_without_its_value() {
    let broker = Broker::new(&[("rows", 2)]);
    broker.rows("rows", 1, 0..3);
    broker.send("rows", 1, None, Some("{\"id\": \"s3cret"), &[]);
    let error = failure(&*broker.source(&[("topic", "rows"), EARLIEST, BOUNDED]));
    assert_eq!(error.kind, ErrorKind::Data);
    assert!(error.chain().contains("topic rows partition 1 offset 3"), "{}", error.chain());
    assert!(!format!("{error:?} {}", error.chain()).contains("s3cret"), "{error:?}");
}

#[test]
fn a_poison_message_is_counted_when_the_format_may_skip_it() {
    let broker = Broker::new(&[("rows", 1)]);
    broker.rows("rows", 0, 0..2);
    broker.send("rows", 0, None, Some("{nonsense"), &[]);
    broker.rows("rows", 0, 2..4);
    let source = broker.source(&[("topic", "rows"), EARLIEST, BOUNDED, ("json.ignore-parse-errors", "true")]);
    let mut reader = open(&*source);
    assert_eq!(all_ids(&mut *reader), [0, 1, 2, 3]);
    assert_eq!(reader.skipped(), 1);
    assert_eq!(offset(&reader.offsets().unwrap(), "rows-0"), 5);
}

#[test]
fn a_topic_that_does_not_exist_is_refused_by_name() {
    let broker = Broker::new(&[("rows", 1)]);
    broker
        .cluster
        .topic_error("gone", rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        .unwrap();
    let error = failure(&*broker.source(&[("topic", "gone"), EARLIEST]));
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.chain().contains("topic gone"), "{}", error.chain());
}

fn restored(next: i64) -> SplitOffsets {
    SplitOffsets::from([(SplitId("rows-0".into()), Offset(format!("{{\"next\":{next}}}")))])
}

#[test]
fn an_offset_that_is_gone_is_an_error_that_names_it() {
    let broker = Broker::new(&[("rows", 1)]);
    broker.rows("rows", 0, 0..3);
    let source = broker.source(&[("topic", "rows"), EARLIEST]);
    let mut reader = source.open(ONE, &restored(70)).unwrap();
    let error = read_until(&mut *reader, |_| false).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.chain().contains("topic rows partition 0: offset 70"), "{}", error.chain());
}

#[test]
fn an_offset_that_is_gone_is_passed_over_when_auto_offset_reset_says_so_also_backwards() {
    let broker = Broker::new(&[("rows", 1)]);
    broker.rows("rows", 0, 0..3);
    let source = broker.source(&[("topic", "rows"), EARLIEST, ("properties.auto.offset.reset", "earliest")]);
    let mut reader = source.open(ONE, &restored(70)).unwrap();
    assert_eq!(first_ids(&mut *reader, 3), [0, 1, 2]);
    assert_eq!(offset(&reader.offsets().unwrap(), "rows-0"), 3);
}

#[test]
fn reading_goes_on_after_the_broker_was_down() {
    let broker = Broker::new(&[("rows", 1)]);
    broker.rows("rows", 0, 0..3);
    let source = broker.source(&[("topic", "rows"), EARLIEST]);
    let mut reader = open(&*source);
    assert_eq!(first_ids(&mut *reader, 3), [0, 1, 2]);
    broker.cluster.broker_down(1).unwrap();
    for _ in 0..5 {
        assert!(matches!(reader.poll(Duration::from_millis(20)), Ok(Polled::Idle)));
    }
    broker.cluster.broker_up(1).unwrap();
    broker.rows("rows", 0, 3..5);
    assert_eq!(first_ids(&mut *reader, 2), [3, 4]);
}

#[test]
fn lag_is_the_number_of_messages_not_read_yet() {
    let broker = Broker::new(&[("rows", 1)]);
    broker.rows("rows", 0, 0..3);
    let source = broker.source(&[("topic", "rows"), EARLIEST]);
    let mut reader = open(&*source);
    first_ids(&mut *reader, 3);
    let started = Instant::now();
    while reader.lag() != [(SplitId("rows-0".into()), 0)] {
        assert!(started.elapsed() < LIMIT, "{:?}", reader.lag());
        reader.poll(Duration::from_millis(10)).unwrap();
    }
    broker.rows("rows", 0, 3..10);
    first_ids(&mut *reader, 7);
}
