#![no_main]

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use starweir_model::ChangeBatch;
use starweir_starrocks::{CsvEncoder, CsvOptions, LoadEncoder, Operations};

// What is written is read back the same by cutting at the separators, or it is refused.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [column, row, rest @ ..] = data else { return };
    let options = CsvOptions {
        column_separator: vec![*column | 0x80, 0x81],
        row_delimiter: vec![*row & 0x1f],
        enclose: None,
    };
    let text = String::from_utf8_lossy(rest);
    let values: Vec<&str> = text.split(' ').collect();
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(values.iter().map(|v| v.len() as i64 - 3)));
    let texts: ArrayRef = Arc::new(StringArray::from(values.clone()));
    let Ok(batch) = RecordBatch::try_from_iter([("n", numbers), ("s", texts)]) else { return };
    let Ok(mut encoder) = CsvEncoder::new(vec!["n".into(), "s".into()], options.clone(), Operations::Append) else {
        return;
    };
    let mut out = Vec::new();
    if encoder.encode(&ChangeBatch::inserts(batch), &mut out).is_err() {
        assert!(out.is_empty());
        return;
    }
    let mut at = 0;
    for value in values {
        let expected = [
            (value.len() as i64 - 3).to_string().as_bytes(),
            &options.column_separator,
            value.as_bytes(),
            &options.row_delimiter,
        ]
        .concat();
        assert!(out[at..].starts_with(&expected));
        at += expected.len();
    }
    assert_eq!(at, out.len());
});
