//! What the decoder targets share: one wide schema, and the promise every decoder makes.

use starweir_formats::{decoder, definitions, metadata};
use starweir_model::{Column, DataType, Field, LogicalType as T, Options, Schema};

fn schema(nested: bool) -> Schema {
    let mut types = vec![
        ("i", T::Int),
        ("n", T::Decimal(10, 2)),
        ("s", T::STRING),
        ("t", T::Timestamp(3)),
        ("z", T::TimestampLtz(9)),
        ("d", T::Date),
        ("tm", T::Time(3)),
        ("b", T::BYTES),
        ("l", T::Array(Box::new(DataType::nullable(T::Int)))),
        ("r", T::Row(vec![Field { name: "x".into(), data_type: DataType::nullable(T::Double) }])),
        ("f", T::Float),
        ("o", T::Boolean),
    ];
    if nested {
        types.push(("m", T::Map(Box::new(DataType::string()), Box::new(DataType::nullable(T::BigInt)))));
    }
    Schema::new(types.into_iter().map(|(n, t)| Column::new(n, DataType::nullable(t))).collect())
}

/// The first byte chooses the options; the rest are lines, each a message, and once more as a whole.
pub fn decode(format: &str, data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else { return };
    let definitions = definitions(format).expect("a known format");
    let ignore = if choice & 1 == 1 { "true" } else { "false" };
    let options = Options::parse(definitions, [("ignore-parse-errors", ignore)]).expect("good options");
    let keys: Vec<_> = metadata(format).into_iter().map(|(n, t)| (n.to_owned(), t)).collect();
    let mut decoder = decoder(format, &schema(format != "csv"), &keys, &options).expect("a good schema");
    let mut rows = 0;
    for message in bytes.split(|b| *b == b'\n') {
        rows += decoder.decode(message).unwrap_or(0);
        assert_eq!(decoder.rows(), rows);
    }
    assert_eq!(decoder.finish().expect("whole columns").rows(), rows);
    let mut at = 0;
    while at < bytes.len() {
        let lines = decoder.decode_lines(&bytes[at..], true, usize::MAX);
        assert!(lines.consumed > 0);
        at += lines.consumed;
    }
    let rows = decoder.rows();
    assert_eq!(decoder.finish().expect("whole columns").rows(), rows);
}
