//! How long a row takes to encode, in nanoseconds, best of 61 rounds.
//!
//! `cargo run --release -p starweir-starrocks --example encode_speed`

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use starweir_model::ChangeBatch;
use starweir_starrocks::encode::{JsonColumn, JsonLayout};
use starweir_starrocks::{CsvEncoder, CsvOptions, JsonEncoder, LoadEncoder, Operations};

fn measure(name: &str, encoder: &mut dyn LoadEncoder, batch: &ChangeBatch) {
    let mut best = f64::MAX;
    let mut out = Vec::new();
    for _ in 0..61 {
        out.clear();
        let start = Instant::now();
        encoder.encode(batch, &mut out).unwrap();
        best = best.min(start.elapsed().as_nanos() as f64 / batch.rows() as f64);
    }
    println!("{name}: {} bytes per row, {best:.0} ns per row", out.len() / batch.rows());
}

fn main() {
    let rows = 20_000usize;
    let ints = |m: i32| Arc::new(Int32Array::from_iter_values((0..rows as i32).map(move |n| n * 7 % m))) as ArrayRef;
    let texts = |f: &dyn Fn(usize) -> String| Arc::new(StringArray::from_iter_values((0..rows).map(f))) as ArrayRef;
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from_iter_values(0..rows as i64)) as ArrayRef),
        ("user_id", ints(100_000)),
        ("item_id", ints(10_000)),
        ("price", Arc::new(Float64Array::from_iter_values((0..rows).map(|n| n as f64 / 100.0)))),
        ("city", texts(&|n| format!("city-{:04}", n % 5000))),
        ("status", texts(&|n| ["created", "paid", "shipped"][n % 3].to_owned())),
        ("note", texts(&|n| format!("a note about order {n}"))),
        (
            "ts",
            Arc::new(TimestampMicrosecondArray::from_iter_values((0..rows as i64).map(|n| 1_706_696_430_123_000 + n))),
        ),
    ])
    .unwrap();
    let names: Vec<String> = batch.schema().fields().iter().map(|f| f.name().clone()).collect();
    let batch = ChangeBatch::inserts(batch);
    let columns = names.iter().map(JsonColumn::new).collect();
    let mut csv = CsvEncoder::new(names.clone(), CsvOptions::default(), Operations::Upsert).unwrap();
    measure("csv", &mut csv, &batch);
    measure("json", &mut JsonEncoder::new(columns, JsonLayout::Lines, Operations::Upsert), &batch);
}
