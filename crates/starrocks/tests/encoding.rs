//! What the encoders write, and that it can be read back.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray,
    RecordBatch, StringArray, StringViewArray, Time32MillisecondArray, TimestampMicrosecondArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::Int32Type;
use proptest::prelude::*;
use starweir_model::{ChangeBatch, RowKind, RowKinds};
use starweir_starrocks::encode::{JsonColumn, JsonLayout, json_lines, json_rows, parse_separator};
use starweir_starrocks::{CsvEncoder, CsvOptions, JsonEncoder, LoadEncoder, Operations};

fn batch(columns: Vec<(&str, ArrayRef)>) -> ChangeBatch {
    ChangeBatch::inserts(RecordBatch::try_from_iter(columns).unwrap())
}

fn names(batch: &ChangeBatch) -> Vec<String> {
    batch.batch.schema().fields().iter().map(|f| f.name().clone()).collect()
}

fn csv(batch: &ChangeBatch, options: CsvOptions, operations: Operations) -> starweir_model::Result<String> {
    let mut out = Vec::new();
    CsvEncoder::new(names(batch), options, operations)?.encode(batch, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn json(batch: &ChangeBatch, layout: JsonLayout, operations: Operations) -> String {
    let columns = names(batch).into_iter().map(|name| JsonColumn { embed: name.starts_with("json"), name }).collect();
    let mut encoder = JsonEncoder::new(columns, layout, operations);
    let mut out = Vec::new();
    encoder.encode(batch, &mut out).unwrap();
    encoder.finish(&mut out);
    String::from_utf8(out).unwrap()
}

fn commas() -> CsvOptions {
    CsvOptions { column_separator: b",".to_vec(), row_delimiter: b"\n".to_vec(), enclose: None }
}

fn every_type() -> ChangeBatch {
    batch(vec![
        ("i", Arc::new(Int32Array::from(vec![Some(-5), None]))),
        ("d", Arc::new(Float64Array::from(vec![Some(1.5), Some(1e21)]))),
        ("n", Arc::new(Decimal128Array::from(vec![-12345, 5]).with_precision_and_scale(10, 2).unwrap())),
        ("s", Arc::new(StringArray::from(vec!["a\"b\\é", "\u{1}"]))),
        ("b", Arc::new(BooleanArray::from(vec![true, false]))),
        ("y", Arc::new(BinaryArray::from(vec![&b"\x01\x02"[..], b""]))),
        ("dt", Arc::new(Date32Array::from(vec![0, 19_000]))),
        ("t", Arc::new(Time32MillisecondArray::from(vec![37_230_500, 0]))),
        ("ts", Arc::new(TimestampMicrosecondArray::from(vec![1_706_696_430_120_000, 0]))),
        ("tz", Arc::new(TimestampNanosecondArray::from(vec![1_706_696_430_123_456_789, 0]).with_timezone("UTC"))),
        ("v", Arc::new(StringViewArray::from(vec!["view", "x"]))),
    ])
}

#[test]
fn csv_holds_every_type_as_starrocks_reads_it() {
    let batch = every_type();
    assert_eq!(
        csv(&batch, CsvOptions { column_separator: b"|".to_vec(), ..commas() }, Operations::Append).unwrap(),
        "-5|1.5|-123.45|a\"b\\é|1|AQI=|1970-01-01|10:20:30.5|2024-01-31 10:20:30.12|2024-01-31 10:20:30.123456|view\n\
         \\N|1e+21|0.05|\u{1}|0||2022-01-08|00:00:00|1970-01-01 00:00:00|1970-01-01 00:00:00|x\n"
    );
    let mut encoder = CsvEncoder::new(names(&batch), CsvOptions::default(), Operations::Upsert)
        .unwrap()
        .with_zone(Arc::new(|_| 3600));
    let error = encoder.encode(&batch, &mut Vec::new()).unwrap_err();
    assert!(error.message.contains("column 's'") && error.hint().is_some());
    let headers = encoder.headers();
    assert!(headers.contains(&("column_separator".into(), "\\x01".into())), "{headers:?}");
    assert!(headers.iter().any(|(n, v)| n == "columns" && v.starts_with("`i`,`d`") && v.ends_with("`v`,__op")));
}

#[test]
fn json_holds_every_type_as_starrocks_reads_it() {
    assert_eq!(
        json(&every_type(), JsonLayout::Lines, Operations::Append),
        "{\"i\":-5,\"d\":1.5,\"n\":\"-123.45\",\"s\":\"a\\\"b\\\\é\",\"b\":1,\"y\":\"AQI=\",\"dt\":\"1970-01-01\",\"t\":\"10:20:30.5\",\
         \"ts\":\"2024-01-31 10:20:30.12\",\"tz\":\"2024-01-31 10:20:30.123456\",\"v\":\"view\"}\n\
         {\"d\":1e+21,\"n\":\"0.05\",\"s\":\"\\u0001\",\"b\":0,\"y\":\"\",\"dt\":\"2022-01-08\",\"t\":\"00:00:00\",\
         \"ts\":\"1970-01-01 00:00:00\",\"tz\":\"1970-01-01 00:00:00\",\"v\":\"x\"}\n"
    );
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None]), None]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["{\"a\":\n1}", "{broken"]));
    let nested = batch(vec![("l", lists), ("json", texts)]);
    assert_eq!(
        json(&nested, JsonLayout::Array, Operations::Upsert),
        r#"[{"l":[1,null],"json":{"a": 1},"__op":0},{"json":"{broken","__op":0}]"#
    );
}

#[test]
fn changes_become_upserts_and_deletes() {
    let mut changes = batch(vec![("id", Arc::new(Int64Array::from(vec![1, 1, 1, 2])))]);
    changes.kinds = RowKinds::Each(vec![RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete]);
    assert_eq!(csv(&changes, commas(), Operations::Upsert).unwrap(), "1,0\n1,0\n2,1\n");
    assert!(csv(&changes, commas(), Operations::Append).unwrap_err().message.contains("deletion"));
    assert_eq!(
        json(&changes, JsonLayout::Lines, Operations::Upsert),
        "{\"id\":1,\"__op\":0}\n{\"id\":1,\"__op\":0}\n{\"id\":2,\"__op\":1}\n"
    );
}

#[test]
fn what_csv_would_silently_change_is_an_error() {
    let texts = |values: Vec<&str>| batch(vec![("s", Arc::new(StringArray::from(values)) as ArrayRef)]);
    assert!(csv(&texts(vec!["fine", "a,b"]), commas(), Operations::Append).is_err());
    assert!(csv(&texts(vec!["a\nb"]), commas(), Operations::Append).is_err());
    assert!(csv(&texts(vec!["\\N"]), commas(), Operations::Append).is_err());
    assert!(csv(&texts(vec![""]), commas(), Operations::Append).is_err());
    assert_eq!(csv(&texts(vec![""]), commas(), Operations::Upsert).unwrap(), ",0\n");
    let enclosed = CsvOptions { enclose: Some(b'"'), ..commas() };
    assert_eq!(csv(&texts(vec!["a,\"b\n"]), enclosed, Operations::Append).unwrap(), "\"a,\"\"b\n\"\n");
    let numbers = batch(vec![("d", Arc::new(Float64Array::from(vec![f64::NAN])) as ArrayRef)]);
    assert!(csv(&numbers, commas(), Operations::Append).is_err());
    assert!(
        CsvEncoder::new(vec![], CsvOptions { column_separator: b"0".to_vec(), ..commas() }, Operations::Append)
            .is_err()
    );
    let mut out = b"before".to_vec();
    let mut encoder = CsvEncoder::new(vec!["s".into()], commas(), Operations::Append).unwrap();
    assert!(encoder.encode(&texts(vec!["x", "a,b"]), &mut out).is_err());
    assert_eq!(out, b"before", "nothing stays of a batch that failed");
}

#[test]
fn separators_are_read_in_all_spellings() {
    for (text, expected) in [
        ("\\x01", Some(vec![1])),
        ("0x0102", Some(vec![1, 2])),
        ("\\X0A", Some(vec![10])),
        ("\\t", Some(vec![9])),
        ("||\\n", Some(b"||\n".to_vec())),
        ("\\x1", None),
        ("\\xzz", None),
        ("\\xé", None),
    ] {
        assert_eq!(parse_separator(text).ok(), expected, "{text}");
    }
}

#[test]
fn texts_and_structs_become_bodies() {
    #[derive(serde::Serialize)]
    struct Row {
        id: i32,
        name: Option<&'static str>,
    }
    let (body, headers) = json_rows(&[Row { id: 1, name: Some("a") }, Row { id: 2, name: None }]).unwrap();
    assert_eq!(body.chunks()[0], "{\"id\":1,\"name\":\"a\"}\n{\"id\":2,\"name\":null}\n");
    assert_eq!(headers[0], ("format".to_owned(), "json".to_owned()));
    let (body, _) = json_lines(["{\"id\":\n1}", "{}"]).unwrap();
    assert_eq!(body.chunks()[0], "{\"id\": 1}\n{}\n");
    assert!(json_lines(["{"]).is_err());
}

#[derive(serde::Deserialize)]
struct ReadBack<'a> {
    n: Option<i64>,
    #[serde(borrow)]
    d: Option<&'a serde_json::value::RawValue>,
    s: Option<String>,
}

proptest! {
    #[test]
    fn csv_that_is_written_is_read_back_the_same(
        rows in prop::collection::vec((any::<Option<i64>>(), prop::option::of("[ -~\u{1}\u{2}é]{0,6}")), 1..20),
        long in any::<bool>(),
    ) {
        let options = if long {
            CsvOptions { column_separator: b"ab".to_vec(), row_delimiter: b"b;".to_vec(), enclose: None }
        } else {
            CsvOptions::default()
        };
        let (column, row) = (options.column_separator.clone(), options.row_delimiter.clone());
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.0)));
        let texts: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|r| r.1.clone())));
        let batch = batch(vec![("s", texts), ("n", numbers)]);
        if let Ok(text) = csv(&batch, options, Operations::Upsert) {
            let (column, row) = (String::from_utf8(column).unwrap(), String::from_utf8(row).unwrap());
            let read: Vec<Vec<Option<String>>> = text
                .strip_suffix(&row)
                .unwrap()
                .split(&row)
                .map(|line| line.split(&column).map(|f| (f != "\\N").then(|| f.to_owned())).collect())
                .collect();
            let expected: Vec<Vec<Option<String>>> = rows
                .iter()
                .map(|(n, s)| vec![s.clone(), n.map(|n| n.to_string()), Some("0".to_owned())])
                .collect();
            prop_assert_eq!(read, expected);
        } else {
            let risky = rows.iter().flat_map(|r| &r.1).any(|s| {
                s == "\\N" || if long { s.contains("ab") || s.contains("b;") || s.ends_with(['a', 'b']) } else { s.contains(['\u{1}', '\u{2}']) }
            });
            prop_assert!(risky, "refused without a reason");
        }
    }

    #[test]
    fn json_that_is_written_is_read_back_the_same(
        rows in prop::collection::vec((any::<Option<i64>>(), any::<Option<f64>>(), any::<Option<String>>()), 1..20),
    ) {
        let rows: Vec<_> = rows.into_iter().map(|(n, d, s)| (n, d.filter(|d| d.is_finite()), s)).collect();
        let batch = batch(vec![
            ("n", Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.0))) as ArrayRef),
            ("d", Arc::new(Float64Array::from_iter(rows.iter().map(|r| r.1)))),
            ("s", Arc::new(StringArray::from_iter(rows.iter().map(|r| r.2.clone())))),
        ]);
        let text = json(&batch, JsonLayout::Array, Operations::Append);
        let read: Vec<ReadBack<'_>> = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(read.len(), rows.len());
        for (value, (n, d, s)) in read.iter().zip(&rows) {
            prop_assert_eq!(value.n, *n);
            prop_assert_eq!(&value.s, s);
            // serde_json rounds some numbers; the standard library does not.
            prop_assert_eq!(value.d.map(|d| d.get().parse::<f64>().unwrap()), *d);
        }
    }

    #[test]
    fn no_bytes_make_the_response_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = starweir_starrocks::parse_response(&bytes, 1000);
        let mut framed = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        framed.extend_from_slice(&bytes);
        let _ = starweir_starrocks::parse_response(&framed, 1000);
        let _ = starweir_starrocks::Answer::parse(&bytes);
        let _ = starweir_starrocks::sanitize(&String::from_utf8_lossy(&bytes));
        let _ = starweir_starrocks::StarRocksType::parse(&String::from_utf8_lossy(&bytes));
    }
}
