//! The warehouse as its users meet it: storage, loads, queries, tables, users.

mod durability;
mod end_to_end;
mod queries;
mod tables;
mod users;

use arrow::array::RecordBatch;
use starweir_warehouse::types::SqlType;
use starweir_warehouse::value::Value;

/// Rows separated by `|`, columns by a blank; NULL as `NULL`.
fn shown(batches: &[RecordBatch]) -> String {
    let mut rows = Vec::new();
    for batch in batches {
        let schema = batch.schema();
        for row in 0..batch.num_rows() {
            let cells = schema
                .fields()
                .iter()
                .zip(batch.columns())
                .map(|(f, c)| Value::get(c, &SqlType::of_field(f), row).as_text().unwrap_or_else(|| "NULL".into()));
            rows.push(cells.collect::<Vec<_>>().join(" "));
        }
    }
    rows.join("|")
}
