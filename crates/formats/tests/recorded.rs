//! Recorded Debezium and Canal messages of a wide MySQL table, which lie beside the repository.

use std::path::PathBuf;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use starweir_formats::{decoder, definitions};
use starweir_model::{Column, DataType, LogicalType as T, Options, Schema};

fn lines(name: &str) -> Option<Vec<serde_json::Value>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/flink-cdc/formats");
    let Ok(text) = std::fs::read_to_string(folder.join(name)) else {
        eprintln!("SKIPPED: the recorded messages {name} are not beside this repository");
        return None;
    };
    Some(text.lines().map(|l| serde_json::from_str(l).unwrap()).collect())
}

/// Declared types and the value every recorded row has.
const COLUMNS: &[(&str, T, &str)] = &[
    ("id", T::Decimal(20, 0), "1"),
    ("tiny_c", T::TinyInt, "127"),
    ("big_c", T::BigInt, "9223372036854775807"),
    ("big_un_c", T::Decimal(20, 0), "18446744073709551615"),
    ("varchar_c", T::STRING, "Hello World"),
    ("real_c", T::Float, "123.102"),
    ("double_c", T::Double, "404.4443"),
    ("decimal_c", T::Decimal(8, 4), "123.4567"),
    ("numeric_c", T::Decimal(6, 0), "346"),
    ("big_decimal_c", T::Decimal(65 - 27, 1), "34567892.1"),
    ("bit1_c", T::Boolean, "false"),
    ("boolean_c", T::Boolean, "true"),
    ("date_c", T::Date, "2020-07-17"),
    ("time_c", T::Time(0), "18:00:22"),
    ("datetime3_c", T::Timestamp(3), "2020-07-17T18:00:22.123"),
    ("datetime6_c", T::Timestamp(6), "2020-07-17T18:00:22.123456"),
    ("bit_c", T::VarBinary(8), "0404040404040404"),
    ("text_c", T::STRING, "text"),
    ("blob_c", T::BYTES, "10"),
    ("year_c", T::Int, "2021"),
    ("enum_c", T::STRING, "red"),
    ("varchar_len0_c", T::STRING, ""),
];

#[test]
fn recorded_debezium_messages_are_read_with_every_type_right() {
    let Some(records) = lines("debezium-messages.jsonl") else { return };
    let schema = Schema::new(COLUMNS.iter().map(|(n, t, _)| Column::new(*n, DataType::nullable(t.clone()))).collect());
    for record in records {
        let options = Options::parse(definitions("debezium-json").unwrap(), []).unwrap();
        let mut decoder = decoder("debezium-json", &schema, &[], &options).unwrap();
        let message = record["message"].to_string();
        let rows = decoder.decode(message.as_bytes()).unwrap();
        let update = message.contains("\"op\":\"u\"");
        assert_eq!(rows, if update { 2 } else { 1 }, "{}", record["id"]);
        let batch = decoder.finish().unwrap().batch;
        for (column, (name, _, expected)) in batch.columns().iter().zip(COLUMNS) {
            let options = FormatOptions::new().with_null("NULL");
            let shown = ArrayFormatter::try_new(column.as_ref(), &options).unwrap();
            for row in 0..rows {
                assert_eq!(&shown.value(row).to_string(), expected, "{} {name}", record["id"]);
            }
        }
    }
}

#[test]
fn recorded_messages_of_a_pipeline_are_read() {
    let Some(records) = lines("mysql-to-kafka.jsonl") else { return };
    let schema =
        Schema::new(vec![Column::new("id", DataType::nullable(T::BigInt)), Column::new("name", DataType::string())]);
    let mut count = 0;
    for record in records {
        let format = record["format"].as_str().unwrap();
        let format = if format.starts_with("debezium-json") { "debezium-json" } else { format };
        let options = Options::parse(definitions(format).unwrap(), []).unwrap();
        let mut decoder = decoder(format, &schema, &[], &options).unwrap();
        decoder.decode(record["message"].to_string().as_bytes()).unwrap();
        count += decoder.rows();
    }
    assert!(count > 0);
}
