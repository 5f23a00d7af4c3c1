//! Where reading starts, ends, and goes on.

use std::collections::BTreeSet;

use starweir_connectors::Wanted;
use starweir_engine::{Lane, SplitOffsets};
use starweir_model::{ErrorKind, Offset, SplitId};

use super::*;

const BOUNDED: (&str, &str) = ("scan.bounded.mode", "latest-offset");
const EARLIEST: (&str, &str) = ("scan.startup.mode", "earliest-offset");

fn acknowledge(source: &dyn Source, offsets: &SplitOffsets) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(source.acknowledge(offsets)).map_err(|e| e.chain()).unwrap();
}

#[test]
fn earliest_to_latest_reads_what_is_there_and_ends() {
    let broker = Broker::new(&[("rows", 3), ("empty", 1)]);
    for partition in 0..3 {
        broker.rows("rows", partition, i64::from(partition) * 100..i64::from(partition) * 100 + 10);
    }
    let source = broker.source(&[("topic", "rows;empty;rows"), EARLIEST, BOUNDED]);
    assert!(source.is_bounded());
    let mut reader = open(&*source);
    broker.rows("rows", 0, 1000..1010);
    assert_eq!(all_ids(&mut *reader), [0..10, 100..110, 200..210].into_iter().flatten().collect::<Vec<i64>>());
    assert!(matches!(reader.poll(LIMIT), Ok(Polled::Finished)));
    assert_eq!(reader.lag().iter().map(|(_, lag)| lag).sum::<u64>(), 0);
    assert_eq!(reader.offsets().unwrap().len(), 4);
}

#[test]
fn latest_reads_only_what_comes_after() {
    let broker = Broker::new(&[("rows", 1)]);
    broker.rows("rows", 0, 0..5);
    let source = broker.source(&[("topic", "rows"), ("scan.startup.mode", "latest-offset")]);
    let mut reader = open(&*source);
    broker.rows("rows", 0, 5..8);
    assert_eq!(first_ids(&mut *reader, 3), [5, 6, 7]);
    assert_eq!(offset(&reader.offsets().unwrap(), "rows-0"), 8);
}

#[test]
fn a_start_time_later_than_every_message_is_the_end() {
    let broker = Broker::new(&[("rows", 1)]);
    broker.rows("rows", 0, 0..5);
    let late = ("scan.startup.timestamp-millis", "9999999999999");
    let source = broker.source(&[("topic", "rows"), ("scan.startup.mode", "timestamp"), late]);
    let mut reader = open(&*source);
    broker.rows("rows", 0, 5..6);
    assert_eq!(first_ids(&mut *reader, 1), [5]);
}

#[test]
fn specific_offsets_start_and_end_as_written_and_partitions_not_named_are_not_read_to_an_end() {
    let broker = Broker::new(&[("rows", 3)]);
    for partition in 0..3 {
        broker.rows("rows", partition, i64::from(partition) * 100..i64::from(partition) * 100 + 10);
    }
    let source = broker.source(&[
        ("topic", "rows"),
        ("scan.startup.mode", "specific-offsets"),
        ("scan.startup.specific-offsets", "partition:0,offset:7"),
        ("scan.bounded.mode", "specific-offsets"),
        ("scan.bounded.specific-offsets", "partition:0,offset:9;partition:1,offset:2"),
    ]);
    assert_eq!(all_ids(&mut *open(&*source)), [7, 8, 100, 101]);
}

#[test]
fn without_a_committed_offset_auto_offset_reset_decides_and_without_it_nothing_is_guessed() {
    let broker = Broker::new(&[("rows", 1)]);
    broker.rows("rows", 0, 0..4);
    let group = ("properties.group.id", "readers");
    let earliest = broker.source(&[("topic", "rows"), group, BOUNDED, ("properties.auto.offset.reset", "earliest")]);
    assert_eq!(all_ids(&mut *open(&*earliest)), [0, 1, 2, 3]);
    let latest = broker.source(&[("topic", "rows"), group, BOUNDED, ("properties.auto.offset.reset", "latest")]);
    assert_eq!(all_ids(&mut *open(&*latest)), [] as [i64; 0]);
    let none = broker.source(&[("topic", "rows"), group, BOUNDED]);
    let error = failure(&*none);
    assert_eq!(error.kind, ErrorKind::User);
    assert!(error.chain().contains("topic rows partition 0"), "{}", error.chain());
    assert!(error.hint().unwrap().contains("auto.offset.reset"));
}

#[test]
fn offsets_are_committed_to_the_group_when_acknowledged_also_after_the_reader_has_gone_and_not_before() {
    let broker = Broker::new(&[("rows", 1)]);
    broker.rows("rows", 0, 0..6);
    let group = ("properties.group.id", "readers");
    let first = broker.source(&[("topic", "rows"), group, EARLIEST, BOUNDED]);
    let mut reader = open(&*first);
    assert_eq!(all_ids(&mut *reader).len(), 6);
    let again = broker.source(&[("topic", "rows"), group, BOUNDED]);
    assert_eq!(failure(&*again).kind, ErrorKind::User, "nothing was acknowledged, so nothing may be committed");
    let offsets = reader.offsets().unwrap();
    drop(reader);
    acknowledge(&*first, &offsets);
    acknowledge(&*first, &offsets);
    broker.rows("rows", 0, 6..9);
    assert_eq!(all_ids(&mut *open(&*again)), [6, 7, 8]);
    let to_group = broker.source(&[("topic", "rows"), group, EARLIEST, ("scan.bounded.mode", "group-offsets")]);
    assert_eq!(all_ids(&mut *open(&*to_group)), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_restart_in_the_middle_goes_on_without_loss_or_repeat_and_keeps_its_end() {
    let broker = Broker::new(&[("rows", 2)]);
    broker.rows("rows", 0, 0..50);
    broker.rows("rows", 1, 50..100);
    let source = broker.source(&[("topic", "rows"), EARLIEST, BOUNDED]);
    let mut restored: SplitOffsets = open(&*source).offsets().unwrap();
    broker.rows("rows", 0, 100..110);
    for (split, next) in [("rows-0", 17), ("rows-1", 49)] {
        restored.insert(SplitId(split.into()), Offset(format!("{{\"next\":{next},\"end\":50}}")));
    }
    let mut reader = source.open(ONE, &restored).unwrap();
    let expected: Vec<i64> = (17..50).chain(99..100).collect();
    assert_eq!(all_ids(&mut *reader), expected);
    let mut ended = source.open(ONE, &reader.offsets().unwrap()).unwrap();
    assert_eq!(all_ids(&mut *ended), [] as [i64; 0]);
}

#[test]
fn offsets_stand_after_the_batches_handed_out_at_every_step() {
    let broker = Broker::new(&[("rows", 1)]);
    broker.rows("rows", 0, 0..9000);
    let source = broker.source(&[("topic", "rows"), EARLIEST, BOUNDED]);
    let mut reader = open(&*source);
    let mut seen = 0;
    loop {
        match reader.poll(Duration::from_millis(100)).unwrap() {
            Polled::Batch { batch, bytes } => {
                assert!(bytes > 0);
                seen += batch.rows() as i64;
                assert_eq!(offset(&reader.offsets().unwrap(), "rows-0"), seen);
            }
            Polled::Idle => {}
            Polled::Finished => break,
        }
    }
    assert_eq!(seen, 9000);
}

#[test]
fn one_to_four_lanes_share_the_partitions_exactly() {
    let broker = Broker::new(&[("rows", 5), ("more", 2)]);
    for partition in 0..5 {
        broker.rows("rows", partition, i64::from(partition) * 10..i64::from(partition) * 10 + 10);
    }
    broker.rows("more", 1, 50..60);
    for count in 1..=4 {
        let source = broker.source(&[("topic", "rows;more"), EARLIEST, BOUNDED]);
        let (mut seen, mut splits) = (Vec::new(), BTreeSet::new());
        for index in 0..count {
            let mut reader = source.open(Lane { index, count }, &SplitOffsets::new()).unwrap();
            seen.extend(all_ids(&mut *reader));
            for split in reader.offsets().unwrap().into_keys() {
                assert!(splits.insert(split.clone()), "{split} is read twice");
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..60).collect::<Vec<i64>>(), "{count} lanes");
        assert_eq!(splits.len(), 7);
    }
}

#[test]
fn a_pattern_means_whole_names_and_never_the_brokers_own_topics() {
    let broker = Broker::new(&[("orders_1", 1), ("orders_2", 1), ("old_orders_3", 1), ("__consumer_offsets", 1)]);
    broker.rows("orders_1", 0, 0..2);
    broker.rows("orders_2", 0, 2..4);
    broker.rows("old_orders_3", 0, 4..6);
    let source = broker.source(&[("topic-pattern", "orders_.|__.*"), EARLIEST, BOUNDED]);
    let mut reader = open(&*source);
    assert_eq!(all_ids(&mut *reader), [0, 1, 2, 3]);
    let splits: Vec<String> = reader.offsets().unwrap().into_keys().map(|split| split.0).collect();
    assert_eq!(splits, ["orders_1-0", "orders_2-0"]);
}

#[test]
fn a_single_message_is_handed_out_at_once_and_not_when_the_wait_is_over() {
    let broker = Broker::new(&[("rows", 1)]);
    let source = broker.source(&[("topic", "rows"), EARLIEST]);
    let mut reader = open(&*source);
    let mut fastest = LIMIT;
    for id in 0..5 {
        broker.rows("rows", 0, id..id + 1);
        let started = Instant::now();
        while !matches!(reader.poll(Duration::from_secs(1)).unwrap(), Polled::Batch { .. }) {}
        fastest = fastest.min(started.elapsed());
    }
    assert!(fastest < Duration::from_millis(900), "{fastest:?}");
}

#[test]
fn topics_that_appear_later_are_read_from_their_start_also_while_messages_never_stop() {
    let broker = Broker::new(&[("a1", 1)]);
    broker.rows("a1", 0, 0..10);
    let latest = ("scan.startup.mode", "latest-offset");
    let often = ("scan.topic-partition-discovery.interval", "100 ms");
    let source = broker.source(&[("topic-pattern", "a."), latest, often]);
    let mut reader = open(&*source);
    broker.cluster.create_topic("a2", 1, 1).unwrap();
    broker.rows("a2", 0, 1000..1003);
    let (started, mut next, mut seen) = (Instant::now(), 10, BTreeSet::new());
    // One message is always waiting, so that the reader is never idle.
    while !(1000..1003).all(|id| seen.contains(&id)) {
        assert!(started.elapsed() < LIMIT, "{seen:?}");
        broker.rows("a1", 0, next..next + 1);
        next += 1;
        if let Polled::Batch { batch, .. } = reader.poll(Duration::from_secs(1)).unwrap() {
            for id in ids_of(&batch.batch) {
                assert!(id >= 10 && seen.insert(id), "{id}");
            }
        }
    }
    assert_eq!(reader.offsets().unwrap().len(), 2);
}

#[test]
fn a_partition_unknown_to_the_last_epoch_is_read_from_its_start() {
    let broker = Broker::new(&[("rows", 2)]);
    broker.rows("rows", 0, 0..5);
    broker.rows("rows", 1, 5..8);
    let source = broker.source(&[("topic", "rows"), ("scan.startup.mode", "latest-offset"), BOUNDED]);
    let restored = SplitOffsets::from([(SplitId("rows-0".into()), Offset("{\"next\":4,\"end\":5}".into()))]);
    assert_eq!(all_ids(&mut *source.open(ONE, &restored).unwrap()), [4, 5, 6, 7]);
}

#[test]
fn options_that_contradict_one_another_are_refused_before_anything_is_opened() {
    let broker = Broker::new(&[]);
    let check = |options: &[(&str, &str)], part: &str| {
        let errors = broker.build(options, &ids_only(), &[Wanted::Physical(0)]).err().expect(part);
        assert!(errors.iter().any(|e| e.message.contains(part)), "{part}: {errors:?}");
        assert!(!format!("{errors:?}").contains("s3cret"), "{errors:?}");
    };
    check(&[("topic", "a"), ("topic-pattern", "a")], "exclude");
    check(&[], "is missing");
    check(&[("topic", "a")], "properties.group.id");
    check(&[("topic", "a"), ("scan.startup.mode", "timestamp")], "scan.startup.timestamp-millis");
    let negative = ("scan.startup.specific-offsets", "partition:0,offset:-2");
    check(&[("topic", "a"), ("scan.startup.mode", "specific-offsets"), negative], "must look like");
    check(&[("topic", "a"), EARLIEST, ("properties.no.such.setting", "s3cret")], "no.such.setting");
    check(&[("topic", "a"), EARLIEST, ("key.fields", "id")], "key.format");
}
