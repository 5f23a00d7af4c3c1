//! What holds for all inputs: no panic, nothing left of a failed message, and round trips.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use proptest::prelude::*;
use starweir_formats::{Decoder, FORMATS, decoder, definitions, encoder, metadata};
use starweir_model::{ChangeBatch, Column, DataType, Field, LogicalType as T, Options, Schema};

fn wide() -> Schema {
    let types = vec![
        ("i", T::Int),
        ("n", T::Decimal(10, 2)),
        ("s", T::STRING),
        ("t", T::Timestamp(3)),
        ("d", T::Date),
        ("tm", T::Time(3)),
        ("b", T::BYTES),
        ("l", T::Array(Box::new(DataType::nullable(T::Int)))),
        ("r", T::Row(vec![Field { name: "x".into(), data_type: DataType::nullable(T::Double) }])),
        ("f", T::Float),
        ("o", T::Boolean),
    ];
    Schema::new(types.into_iter().map(|(n, t)| Column::new(n, DataType::nullable(t))).collect())
}

fn all(options: &[(&str, &str)]) -> Vec<Box<dyn Decoder>> {
    FORMATS
        .iter()
        .map(|format| {
            let known = definitions(format).unwrap();
            let given = options.iter().copied().filter(|(n, _)| known.iter().any(|d| d.name == *n));
            let options = Options::parse(known, given).unwrap();
            let schema =
                if *format == "raw" { Schema::new(vec![Column::new("v", DataType::string())]) } else { wide() };
            let keys: Vec<_> = metadata(format).into_iter().map(|(n, t)| (n.to_owned(), t)).collect();
            decoder(format, &schema, &keys, &options).unwrap()
        })
        .collect()
}

const EVENT: &str = r#"{"before":null,"after":{"i":1,"n":"EtaH","s":"aé\n","t":1595008822123,"d":18460,"tm":64822000000,"b":"EA==","l":[1,null],"r":{"x":1.5e3},"f":2.5,"o":true},"source":{"connector":"mysql","db":"d","table":"t","ts_ms":1},"op":"c","ts_ms":2}"#;
const OBJECT: &str = r#"{"i":1,"n":12.345,"s":"aé\n","t":"2024-01-31 10:20:30.5","d":"2024-01-31","tm":"10:20:30","b":"EA==","l":[1,null],"r":{"x":1.5e3},"f":2.5,"o":true}"#;
const LINE: &str = "1,12.345,\"a,\"\"b\",2024-01-31 10:20:30.5,2024-01-31,10:20:30,EA==,1;2,1.5,2.5,true";

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let text = prop::sample::select(vec![EVENT, OBJECT, LINE]);
    (text, prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 0..6)).prop_map(
        |(text, edits)| {
            let mut bytes = text.as_bytes().to_vec();
            for (at, byte, how) in edits {
                if bytes.is_empty() {
                    break;
                }
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => {
                        bytes.remove(at);
                    }
                    _ => bytes.truncate(at),
                }
            }
            bytes
        },
    )
}

proptest! {
    #[test]
    fn no_message_makes_a_decoder_panic_or_leave_half_a_row(
        messages in prop::collection::vec(prop_oneof![mutated(), prop::collection::vec(any::<u8>(), 0..60)], 1..6),
        ignore in any::<bool>(),
    ) {
        for decoder in &mut all(&[("ignore-parse-errors", if ignore { "true" } else { "false" })]) {
            let mut rows = 0;
            for message in &messages {
                rows += decoder.decode(message).unwrap_or(0);
                prop_assert_eq!(decoder.rows(), rows);
            }
            let _ = decoder.bytes();
            let batch = decoder.finish().unwrap();
            prop_assert_eq!(batch.rows(), rows);
            prop_assert_eq!(decoder.rows(), 0);
            prop_assert_eq!(decoder.finish().unwrap().rows(), 0);
        }
    }

    #[test]
    fn numbers_are_rounded_as_the_standard_library_rounds_them(text in "-?(0|[1-9][0-9]{0,18})(\\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?") {
        let schema = Schema::new(vec![Column::new("d", DataType::nullable(T::Double)), Column::new("f", DataType::nullable(T::Float))]);
        let options = Options::parse(definitions("json").unwrap(), []).unwrap();
        let mut decoder = decoder("json", &schema, &[], &options).unwrap();
        decoder.decode(format!("{{\"d\":{text},\"f\":{text}}}").as_bytes()).unwrap();
        let batch = decoder.finish().unwrap().batch;
        let doubles = batch.column(0).as_any().downcast_ref::<Float64Array>().unwrap();
        prop_assert_eq!(doubles.value(0).to_bits(), text.parse::<f64>().unwrap().to_bits());
        let floats = batch.column(1).as_any().downcast_ref::<arrow::array::Float32Array>().unwrap();
        prop_assert_eq!(floats.value(0).to_bits(), text.parse::<f32>().unwrap().to_bits());
    }

    #[test]
    fn lines_give_the_same_rows_however_the_buffer_is_cut(
        messages in prop::collection::vec(mutated(), 1..8),
        cut in 1..200usize,
    ) {
        let bytes = messages.iter().map(|m| m.iter().filter(|b| **b != b'\n').copied().collect::<Vec<u8>>()).collect::<Vec<_>>().join(&b'\n');
        for (whole, pieces) in all(&[]).iter_mut().zip(&mut all(&[])) {
            let read = |decoder: &mut Box<dyn Decoder>, bytes: &[u8], step: usize| {
                let (mut from, mut to, mut failed) = (0, step.min(bytes.len()), 0);
                loop {
                    let last = to == bytes.len();
                    let lines = decoder.decode_lines(&bytes[from..to], last, usize::MAX);
                    from += lines.consumed;
                    if lines.failed.is_some() {
                        failed += 1;
                    } else if last {
                        break;
                    } else {
                        to = (to + step).min(bytes.len());
                    }
                }
                (from, failed, decoder.rows())
            };
            let at_once = read(whole, &bytes, bytes.len().max(1));
            let in_pieces = read(pieces, &bytes, cut);
            prop_assert_eq!(at_once, in_pieces);
            prop_assert_eq!(whole.finish().unwrap().batch, pieces.finish().unwrap().batch);
        }
    }

    #[test]
    fn what_an_encoder_writes_its_decoder_reads(
        rows in prop::collection::vec(
            (any::<Option<i64>>(), any::<Option<f64>>(), any::<Option<String>>(), prop::option::of(-62_135_596_800_000_000i64..253_402_300_799_999_999)),
            1..10,
        ),
    ) {
        let schema = Schema::new(vec![
            Column::new("n", DataType::nullable(T::BigInt)),
            Column::new("d", DataType::nullable(T::Double)),
            Column::new("s", DataType::string()),
            Column::new("t", DataType::nullable(T::Timestamp(6))),
        ]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.0))),
            Arc::new(Float64Array::from_iter(rows.iter().map(|r| r.1.filter(|d| d.is_finite())))),
            Arc::new(StringArray::from_iter(rows.iter().map(|r| r.2.clone().filter(|s| s != "NULL")))),
            Arc::new(TimestampMicrosecondArray::from_iter(rows.iter().map(|r| r.3))),
        ];
        let batch = ChangeBatch::inserts(RecordBatch::try_new(schema.to_arrow(), columns).unwrap());
        for format in ["json", "debezium-json", "csv"] {
            let given: &[(&str, &str)] = if format == "csv" { &[("null-literal", "NULL")] } else { &[] };
            let options = Options::parse(definitions(format).unwrap(), given.iter().copied()).unwrap();
            let (mut out, mut ends) = (Vec::new(), Vec::new());
            encoder(format, &schema, &options).unwrap().encode(&batch, &mut out, &mut ends).unwrap();
            let mut decoder = decoder(format, &schema, &[], &options).unwrap();
            let mut start = 0;
            for end in ends {
                prop_assert_eq!(decoder.decode(&out[start..end]).unwrap(), 1, "{}", String::from_utf8_lossy(&out[start..end]));
                start = end;
            }
            prop_assert_eq!(&decoder.finish().unwrap().batch, &batch.batch, "{}", format);
        }
    }
}
