//! What a message becomes.

use arrow::array::MapArray;
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};
use starweir_connectors::Changelog;

use super::*;

const EARLIEST: (&str, &str) = ("scan.startup.mode", "earliest-offset");
const BOUNDED: (&str, &str) = ("scan.bounded.mode", "latest-offset");

fn metadata(key: &str, logical: LogicalType, nullable: bool) -> Wanted {
    let data_type = if nullable { DataType::nullable(logical) } else { DataType::not_null(logical) };
    Wanted::Metadata { key: key.into(), data_type }
}

fn read(broker: &Broker, options: &[(&str, &str)], physical: &Schema, wanted: &[Wanted]) -> RecordBatch {
    let mut all = vec![("topic", "rows"), EARLIEST, BOUNDED];
    all.extend(options);
    let source = broker.build(&all, physical, wanted).map_err(|e| format!("{e:?}")).unwrap().source;
    let batches = read_until(&mut *open(&*source), |_| false).map_err(|e| e.chain()).unwrap();
    let schema = batches[0].schema();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

#[test]
fn every_metadata_column_is_filled_and_may_be_asked_for_twice() {
    let broker = Broker::new(&[("rows", 1)]);
    broker.send("rows", 0, Some("k"), Some("{\"id\":1}"), &[("a", "1"), ("b", "2"), ("a", "3")]);
    broker.send("rows", 0, None, Some("{\"id\":2}"), &[]);
    let headers = LogicalType::Map(
        Box::new(DataType::not_null(LogicalType::STRING)),
        Box::new(DataType::not_null(LogicalType::BYTES)),
    );
    let wanted = [
        Wanted::Physical(0),
        metadata("topic", LogicalType::STRING, false),
        metadata("partition", LogicalType::Int, false),
        metadata("headers", headers, false),
        metadata("leader-epoch", LogicalType::Int, true),
        metadata("offset", LogicalType::BigInt, false),
        metadata("timestamp", LogicalType::TimestampLtz(3), false),
        metadata("timestamp-type", LogicalType::STRING, false),
        metadata("offset", LogicalType::BigInt, false),
        metadata("topic", LogicalType::STRING, true),
    ];
    let batch = read(&broker, &[], &ids_only(), &wanted);
    assert_eq!(ids_of(&batch), [1, 2]);
    assert_eq!(batch.column(1).as_string::<i32>().value(1), "rows");
    assert_eq!(batch.column(2).as_primitive::<Int32Type>().values(), &[0, 0]);
    let map: &MapArray = batch.column(3).as_map();
    let first = map.value(0);
    assert_eq!(first.column(0).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(first.column(1).as_binary::<i32>().iter().flatten().collect::<Vec<_>>(), [b"3", b"2"]);
    assert_eq!(map.value_length(1), 0);
    assert_eq!(batch.column(5).as_primitive::<Int64Type>().values(), &[0, 1]);
    assert_eq!(batch.column(6).as_primitive::<TimestampMicrosecondType>().value(0), 1_700_000_000_123_000);
    assert_eq!(batch.column(7).as_string::<i32>().value(0), "CreateTime");
    assert_eq!(batch.column(8), batch.column(5));
    assert_eq!(batch.column(9).as_string::<i32>().value(0), "rows");
}

#[test]
fn an_unknown_metadata_column_is_refused_with_the_nearest_name() {
    let broker = Broker::new(&[]);
    let wanted = [metadata("ofset", LogicalType::BigInt, false)];
    let errors = broker.build(&[("topic", "rows"), EARLIEST], &ids_only(), &wanted).err().unwrap();
    assert_eq!(errors[0].hint.as_deref(), Some("did you mean 'offset'?"));
}

#[test]
fn key_columns_come_from_the_key_by_their_names_without_the_prefix() {
    let broker = Broker::new(&[("rows", 1)]);
    broker.send("rows", 0, Some("{\"id\":7}"), Some("{\"name\":\"a\"}"), &[]);
    broker.send("rows", 0, Some("{\"id\":8}"), None, &[]);
    broker.send("rows", 0, Some("{\"id\":9}"), Some("{\"name\":\"b\"}"), &[]);
    let physical = Schema::new(vec![
        Column::new("k_id", DataType::nullable(LogicalType::BigInt)),
        Column::new("name", DataType::string()),
    ]);
    let key = [
        ("key.format", "json"),
        ("value.format", "json"),
        ("key.fields", "k_id"),
        ("key.fields-prefix", "k_"),
        ("value.fields-include", "EXCEPT_KEY"),
    ];
    let wanted = [Wanted::Physical(0), Wanted::Physical(1), metadata("offset", LogicalType::BigInt, false)];
    let batch = read(&broker, &key, &physical, &wanted);
    assert_eq!(ids_of(&batch), [7, 9]);
    assert_eq!(batch.column(1).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(batch.column(2).as_primitive::<Int64Type>().values(), &[0, 2]);
}

#[test]
fn a_key_that_cannot_be_read_follows_the_key_formats_policy() {
    let broker = Broker::new(&[("rows", 1)]);
    broker.send("rows", 0, Some("{s3cret"), Some("{\"name\":\"a\"}"), &[]);
    broker.send("rows", 0, Some("{\"id\":9}"), Some("{\"name\":\"b\"}"), &[]);
    let physical = Schema::new(vec![
        Column::new("id", DataType::nullable(LogicalType::BigInt)),
        Column::new("name", DataType::string()),
    ]);
    let key = [
        ("topic", "rows"),
        EARLIEST,
        BOUNDED,
        ("key.format", "json"),
        ("value.format", "json"),
        ("key.fields", "id"),
        ("value.fields-include", "EXCEPT_KEY"),
    ];
    let wanted = [Wanted::Physical(0), Wanted::Physical(1)];
    let strict = broker.build(&key, &physical, &wanted).map_err(|e| format!("{e:?}")).unwrap().source;
    let error = failure(&*strict);
    assert!(error.chain().contains("topic rows partition 0 offset 0, key"), "{}", error.chain());
    assert!(!format!("{error:?}").contains("s3cret"));
    let mut lenient = key.to_vec();
    lenient.push(("key.json.ignore-parse-errors", "true"));
    let lenient = broker.build(&lenient, &physical, &wanted).map_err(|e| format!("{e:?}")).unwrap().source;
    let mut reader = open(&*lenient);
    assert_eq!(all_ids(&mut *reader), [9]);
    assert_eq!(reader.skipped(), 1);
}

#[test]
fn with_all_fields_in_the_value_the_value_counts() {
    let broker = Broker::new(&[("rows", 1)]);
    broker.send("rows", 0, Some("{\"id\":1}"), Some("{\"id\":2}"), &[]);
    let key = [("key.format", "json"), ("value.format", "json"), ("key.fields", "id")];
    assert_eq!(ids_of(&read(&broker, &key, &ids_only(), &[Wanted::Physical(0)])), [2]);
}

#[test]
fn debezium_changes_keep_their_kinds_their_offsets_and_their_format_metadata() {
    let broker = Broker::new(&[("rows", 1)]);
    let source = "\"source\":{\"table\":\"orders\",\"db\":\"shop\"}";
    broker.send(
        "rows",
        0,
        None,
        Some(&format!("{{\"before\":null,\"after\":{{\"id\":1}},{source},\"op\":\"c\",\"ts_ms\":5}}")),
        &[],
    );
    broker.send(
        "rows",
        0,
        None,
        Some(&format!("{{\"before\":{{\"id\":1}},\"after\":{{\"id\":2}},{source},\"op\":\"u\",\"ts_ms\":5}}")),
        &[],
    );
    broker.send("rows", 0, None, None, &[]);
    broker.send(
        "rows",
        0,
        None,
        Some(&format!("{{\"before\":{{\"id\":2}},\"after\":null,{source},\"op\":\"d\",\"ts_ms\":5}}")),
        &[],
    );
    let wanted = [
        Wanted::Physical(0),
        metadata("value.source.table", LogicalType::STRING, true),
        metadata("offset", LogicalType::BigInt, false),
    ];
    let options = [("topic", "rows"), EARLIEST, BOUNDED, ("value.format", "debezium-json")];
    let built = broker.build(&options, &ids_only(), &wanted).map_err(|e| format!("{e:?}")).unwrap();
    assert_eq!(built.changelog, Changelog::Retract);
    let batch = read(&broker, &[("value.format", "debezium-json")], &ids_only(), &wanted);
    assert_eq!(ids_of(&batch), [1, 1, 2, 2]);
    assert_eq!(batch.column(1).as_string::<i32>().value(3), "orders");
    assert_eq!(batch.column(2).as_primitive::<Int64Type>().values(), &[0, 1, 1, 3]);
}

#[test]
fn a_topic_of_nothing_but_tombstones_gives_no_rows_and_moves_on() {
    let broker = Broker::new(&[("rows", 1)]);
    for _ in 0..20 {
        broker.send("rows", 0, Some("k"), None, &[]);
    }
    let source = broker.source(&[("topic", "rows"), EARLIEST, BOUNDED]);
    let mut reader = open(&*source);
    assert_eq!(all_ids(&mut *reader), [] as [i64; 0]);
    assert_eq!(offset(&reader.offsets().unwrap(), "rows-0"), 20);
}
