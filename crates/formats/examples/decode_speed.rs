//! How long a row takes to decode, in nanoseconds, best of 61 rounds.
//!
//! `cargo run --release -p starweir-formats --example decode_speed`

use std::time::Instant;

use starweir_formats::{Decoder, decoder, definitions};
use starweir_model::{Column, DataType, LogicalType as T, Options, Schema};

const ROWS: usize = 20_000;

fn schema() -> Schema {
    let columns = [
        ("id", T::BigInt),
        ("user_id", T::Int),
        ("item_id", T::Int),
        ("price", T::Double),
        ("city", T::STRING),
        ("status", T::STRING),
        ("note", T::STRING),
        ("ts", T::Timestamp(3)),
    ];
    Schema::new(columns.into_iter().map(|(n, t)| Column::new(n, DataType::nullable(t))).collect())
}

fn object(n: usize, time: &str) -> String {
    format!(
        "{{\"id\":{n},\"user_id\":{},\"item_id\":{},\"price\":{}.{:02},\"city\":\"city-{:04}\",\"status\":\"{}\",\
         \"note\":\"a note about order {n}\",\"ts\":{time}}}",
        n * 7 % 100_000,
        n * 13 % 10_000,
        n % 1000,
        n % 100,
        n % 5000,
        ["created", "paid", "shipped"][n % 3],
    )
}

fn measure(name: &str, format: &str, messages: &[String]) {
    let options = Options::parse(definitions(format).unwrap(), []).unwrap();
    let mut decoder: Box<dyn Decoder> = decoder(format, &schema(), &[], &options).unwrap();
    let mut best = f64::MAX;
    let mut rows = 0;
    for _ in 0..61 {
        let start = Instant::now();
        for message in messages {
            decoder.decode(message.as_bytes()).unwrap();
        }
        rows = decoder.finish().unwrap().rows();
        best = best.min(start.elapsed().as_nanos() as f64 / rows as f64);
    }
    let bytes = messages.iter().map(String::len).sum::<usize>() / messages.len();
    println!("{name}: {rows} rows, {bytes} bytes per message, {best:.0} ns per row");
}

fn main() {
    let json: Vec<_> = (0..ROWS).map(|n| object(n, "\"2024-01-31 10:20:30.123\"")).collect();
    measure("json", "json", &json);
    let csv: Vec<_> = (0..ROWS)
        .map(|n| {
            format!(
                "{n},{},{},{}.{:02},city-{:04},paid,a note about order {n},2024-01-31 10:20:30.123",
                n * 7 % 100_000,
                n * 13 % 10_000,
                n % 1000,
                n % 100,
                n % 5000
            )
        })
        .collect();
    measure("csv", "csv", &csv);
    let source = "\"source\":{\"version\":\"2.7.0.Final\",\"connector\":\"mysql\",\"name\":\"shop\",\"ts_ms\":1706696430123,\
                  \"snapshot\":\"false\",\"db\":\"shop\",\"table\":\"orders\",\"server_id\":1,\"gtid\":null,\
                  \"file\":\"binlog.000003\",\"pos\":12345,\"row\":0,\"thread\":7,\"query\":null}";
    let events: Vec<_> = (0..ROWS)
        .map(|n| {
            let after = object(n, "1706696430123");
            format!("{{\"before\":null,\"after\":{after},{source},\"op\":\"c\",\"ts_ms\":1706696430200,\"transaction\":null}}")
        })
        .collect();
    measure("debezium-json", "debezium-json", &events);
}
