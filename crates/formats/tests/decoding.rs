//! What each format makes of messages, through the public door.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType as ArrowType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use starweir_formats::{Decoder, decoder, definitions, encoder};
use starweir_model::{ChangeBatch, Column, DataType, Field, LogicalType as T, Options, RowKind, RowKinds, Schema};

fn schema(columns: &[(&str, T)]) -> Schema {
    Schema::new(columns.iter().map(|(n, t)| Column::new(*n, DataType::nullable(t.clone()))).collect())
}

fn make(format: &str, schema: &Schema, options: &[(&str, &str)]) -> Box<dyn Decoder> {
    let options = Options::parse(definitions(format).unwrap(), options.iter().copied()).unwrap();
    decoder(format, schema, &[], &options).unwrap()
}

/// Arrow prints offsets only, not the zone UTC.
fn shown(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        ArrowType::Timestamp(unit, Some(_)) => {
            arrow::compute::cast(column, &ArrowType::Timestamp(*unit, Some("+00:00".into()))).unwrap()
        }
        _ => column.clone(),
    }
}

/// Rows as `+I[1, a, NULL]`.
fn rows(batch: &ChangeBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("NULL");
    let shown: Vec<_> = batch.batch.columns().iter().map(shown).collect();
    let columns: Vec<_> = shown.iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap()).collect();
    (0..batch.rows())
        .map(|row| {
            let values: Vec<_> = columns.iter().map(|c| c.value(row).to_string()).collect();
            format!("{}[{}]", batch.kinds.at(row).short(), values.join(", "))
        })
        .collect()
}

/// Each message gives its rows, or an error whose text contains what is expected after `!`.
fn check(format: &str, columns: &[(&str, T)], options: &[(&str, &str)], cases: &[(&str, &str)]) {
    let schema = schema(columns);
    for (message, expected) in cases {
        let mut decoder = make(format, &schema, options);
        let result = decoder.decode(message.as_bytes());
        let found = match result {
            Ok(count) => {
                assert_eq!(count, decoder.rows(), "{message}");
                rows(&decoder.finish().unwrap()).join(" ")
            }
            Err(error) => {
                assert_eq!(decoder.rows(), 0);
                assert_eq!(decoder.finish().unwrap().rows(), 0, "nothing stays of {message}");
                format!("!{error}")
            }
        };
        match expected.strip_prefix('!') {
            Some(text) => assert!(found.starts_with('!') && found.contains(text), "{message}: {found}"),
            None => assert_eq!(&found, expected, "{message}"),
        }
    }
}

const STRING: T = T::VarChar(starweir_model::types::LENGTH_MAX);
const BYTES: T = T::VarBinary(starweir_model::types::LENGTH_MAX);

#[test]
fn json_objects_become_rows_whatever_the_order_of_their_fields() {
    check(
        "json",
        &[("id", T::BigInt), ("name", STRING), ("n", T::Int)],
        &[],
        &[
            (r#"{"id":1,"name":"a","n":2}"#, "+I[1, a, 2]"),
            (r#" { "n" : 2 , "x":{"y":[1,"}"]}, "id" : 1 , "name" : "a" } "#, "+I[1, a, 2]"),
            (r#"{"id":1}"#, "+I[1, NULL, NULL]"),
            (r#"{}"#, "+I[NULL, NULL, NULL]"),
            (r#"{"id":null,"name":null}"#, "+I[NULL, NULL, NULL]"),
            (r#"{"id":1,"id":2,"name":"a"}"#, "+I[2, a, NULL]"),
            (r#"{"ID":1}"#, "+I[NULL, NULL, NULL]"),
            (r#"{"\u0069d":7}"#, "+I[7, NULL, NULL]"),
            (r#"[{"id":1},{"id":2}]"#, "+I[1, NULL, NULL] +I[2, NULL, NULL]"),
            ("[]", ""),
            ("", ""),
            ("null", ""),
            ("  ", ""),
            (r#"{"id":"12 "}"#, "+I[12, NULL, NULL]"),
            (r#"{"id":1.9,"n":-1e2}"#, "+I[1, NULL, -100]"),
            (r#"{"id":9223372036854775807}"#, "+I[9223372036854775807, NULL, NULL]"),
            (r#"{"id":9223372036854775808}"#, "!the value does not fit BIGINT at byte 6, field 'id'"),
            (r#"{"n":2147483648}"#, "!field 'n'"),
            (r#"{"name":12.50}"#, "+I[NULL, 12.50, NULL]"),
            (r#"{"name":true}"#, "+I[NULL, true, NULL]"),
            (r#"{"name":{"a" : [1, "x\u00e9\n"] }}"#, "+I[NULL, {\"a\":[1,\"xé\\n\"]}, NULL]"),
            (r#"{"name":"\ud83d\ude00\"\\\/"}"#, "+I[NULL, 😀\"\\/, NULL]"),
            (r#"{"name":"\ud83dx"}"#, "+I[NULL, \u{FFFD}x, NULL]"),
            (r#"{"id":1} x"#, "!more text"),
            (r#"{"id":1"#, "!expected ',' or '}'"),
            (r#"{"id":01}"#, "!"),
            (r#"{"id":+1}"#, "!"),
            (r#"{"id":"x"}"#, "!does not fit BIGINT"),
            (r#"{"id":[1]}"#, "!does not fit BIGINT"),
            (r#"{"id":true}"#, "!does not fit BIGINT"),
            (r#"{"name":"\x"}"#, "!unknown escape"),
            (r#"{"name":"abc"#, "!string without end"),
            ("12", "!neither an object"),
            ("{\"name\":\"\u{1}\"}", "+I[NULL, \u{1}, NULL]"),
        ],
    );
}

#[test]
fn json_values_are_coerced_as_flink_coerces_them() {
    let row = T::Row(vec![
        Field { name: "a".into(), data_type: DataType::nullable(T::Int) },
        Field { name: "b".into(), data_type: DataType::string() },
    ]);
    for (data_type, value, expected) in [
        (T::Boolean, "true", "true"),
        (T::Boolean, "\"TRUE\"", "true"),
        (T::Boolean, "1", "false"),
        (T::TinyInt, "127", "127"),
        (T::TinyInt, "128", "!"),
        (T::TinyInt, "1.5", "!"),
        (T::SmallInt, "\"-5\"", "-5"),
        (T::Float, "1.5", "1.5"),
        (T::Double, "\" 2.5 \"", "2.5"),
        (T::Double, "\"NaN\"", "NaN"),
        (T::Double, "123456789012345678901234567890", "1.2345678901234568e29"),
        (T::Decimal(10, 2), "0.305", "0.31"),
        (T::Decimal(10, 2), "\"12.3\"", "12.30"),
        (T::Decimal(3, 2), "12.3", "NULL"),
        (T::Decimal(38, 10), "1234567890123456789012345678.0123456789", "1234567890123456789012345678.0123456789"),
        (T::Date, "\"2024-02-29\"", "2024-02-29"),
        (T::Date, "\"2023-02-29\"", "!"),
        (T::Date, "19000", "!"),
        (T::Time(3), "\"10:20:30.5\"", "10:20:30.500"),
        (T::Timestamp(3), "\"2024-01-31 10:20:30.123456\"", "2024-01-31T10:20:30.123456"),
        (T::Timestamp(9), "\"2024-01-31 10:20:30.123456789\"", "2024-01-31T10:20:30.123456789"),
        (T::Timestamp(3), "\"2024-01-31T10:20:30\"", "!timestamp"),
        (T::TimestampLtz(3), "\"2024-01-31 10:20:30Z\"", "2024-01-31T10:20:30Z"),
        (T::TimestampLtz(3), "\"2024-01-31 10:20:30\"", "!"),
        (BYTES, "\"AQID\"", "010203"),
        (BYTES, "\"A\"", "!base64"),
        (T::Array(Box::new(DataType::nullable(T::Int))), "[1, null, \"3\"]", "[1, NULL, 3]"),
        (T::Array(Box::new(DataType::nullable(T::Int))), "[]", "[]"),
        (T::Array(Box::new(DataType::nullable(T::Int))), "{}", "!ARRAY"),
        (
            T::Map(Box::new(DataType::string()), Box::new(DataType::nullable(T::Int))),
            "{\"x\": 1, \"y\": null}",
            "{x: 1, y: NULL}",
        ),
        (T::Multiset(Box::new(DataType::string())), "{\"x\": 2}", "{x: 2}"),
        (row.clone(), "{\"b\": [1], \"a\": 1}", "{a: 1, b: [1]}"),
        (row.clone(), "null", "NULL"),
        (row, "{\"a\": \"x\"}", "!field 'v.a'"),
    ] {
        let expected = expected.strip_prefix('!').map_or_else(|| format!("+I[{expected}]"), |_| "!".into());
        check("json", &[("v", data_type)], &[], &[(&format!("{{\"v\":{value}}}"), &expected)]);
    }
    check(
        "json",
        &[("v", T::Timestamp(3))],
        &[("timestamp-format.standard", "ISO-8601")],
        &[(r#"{"v":"2024-01-31T10:20"}"#, "+I[2024-01-31T10:20:00]"), (r#"{"v":"2024-01-31 10:20:00"}"#, "!")],
    );
}

#[test]
fn ignored_errors_become_null_in_their_field_or_skip_the_message() {
    let columns = [("id", T::BigInt), ("list", T::Array(Box::new(DataType::nullable(T::Int))))];
    check(
        "json",
        &columns,
        &[("ignore-parse-errors", "true")],
        &[
            (r#"{"id":"x","list":[1]}"#, "+I[NULL, [1]]"),
            (r#"{"id":1,"list":[1,"x",3]}"#, "+I[1, [1, NULL, 3]]"),
            (r#"{"id":1,"list":{"a":[]}}"#, "+I[1, NULL]"),
            (r#"{"id":1,"#, ""),
        ],
    );
    check(
        "json",
        &columns,
        &[("fail-on-missing-field", "true")],
        &[(r#"{"id":1}"#, "!the field is missing at byte 0, field 'list'"), (r#"{"id":1,"list":null}"#, "+I[1, NULL]")],
    );
    let not_null = Schema::new(vec![Column::new("id", DataType::not_null(T::BigInt))]);
    let mut decoder = make("json", &not_null, &[]);
    assert!(decoder.decode(b"{}").is_err());
    let mut decoder = make("json", &not_null, &[("ignore-parse-errors", "true")]);
    assert_eq!(decoder.decode(b"{}").unwrap(), 0);
    assert_eq!(decoder.decode(b"{\"id\":\"x\"}").unwrap(), 0);
    assert_eq!((decoder.skipped(), decoder.decode(b"{\"id\":1}").unwrap()), (2, 1));
    let both = [("ignore-parse-errors", "true"), ("fail-on-missing-field", "true")];
    let options = Options::parse(definitions("json").unwrap(), both).unwrap();
    assert!(starweir_formats::decoder("json", &not_null, &[], &options).is_err());
}

#[test]
fn a_failed_message_leaves_earlier_and_later_rows_whole() {
    let columns = [
        ("a", STRING),
        ("l", T::Array(Box::new(DataType::string()))),
        ("m", T::Map(Box::new(DataType::string()), Box::new(DataType::string()))),
        ("n", T::Int),
    ];
    let mut decoder = make("json", &schema(&columns), &[]);
    decoder.decode(br#"{"a":"x","l":["1"],"m":{"k":"v"},"n":1}"#).unwrap();
    let error = decoder.decode(br#"{"a":"secret","l":["1","2"],"m":{"k":"v","w":"z"},"n":"secret"}"#).unwrap_err();
    assert!(!error.to_string().contains("secret"));
    decoder.decode(br#"{"a":"y","m":{},"l":[]}"#).unwrap();
    assert_eq!(rows(&decoder.finish().unwrap()), ["+I[x, [1], {k: v}, 1]", "+I[y, [], {}, NULL]"]);
}

#[test]
fn lines_are_read_to_a_limit_and_resumed_where_they_stopped() {
    let mut decoder = make("json", &schema(&[("id", T::Int)]), &[]);
    let bytes = b"{\"id\":1}\n\n{\"id\":2}\r\n{\"id\":x}\n{\"id\":3}\n{\"id\":4}";
    let lines = decoder.decode_lines(bytes, false, 2);
    assert_eq!((lines.rows, lines.records, lines.consumed), (2, 2, 20));
    let lines = decoder.decode_lines(&bytes[20..], false, 100);
    let failed = lines.failed.unwrap();
    assert_eq!((lines.rows, lines.consumed, failed.start, failed.end), (0, 9, 0, 8));
    let lines = decoder.decode_lines(&bytes[29..], false, 100);
    assert_eq!((lines.rows, lines.consumed), (1, 9));
    let lines = decoder.decode_lines(&bytes[38..], false, 100);
    assert_eq!((lines.rows, lines.consumed), (0, 0));
    let lines = decoder.decode_lines(&bytes[38..], true, 100);
    assert_eq!((lines.rows, lines.consumed), (1, 8));
    assert_eq!(rows(&decoder.finish().unwrap()), ["+I[1]", "+I[2]", "+I[3]", "+I[4]"]);
}

#[test]
fn debezium_events_become_changes() {
    let columns = [("id", T::Int), ("name", STRING)];
    check(
        "debezium-json",
        &columns,
        &[],
        &[
            (r#"{"before":null,"after":{"id":1,"name":"a"},"source":{"db":"d"},"op":"c","ts_ms":1}"#, "+I[1, a]"),
            (r#"{"after":{"id":1,"name":"a"},"op":"r"}"#, "+I[1, a]"),
            (r#"{"before":{"id":1,"name":"a"},"after":{"id":1,"name":"b"},"op":"u"}"#, "-U[1, a] +U[1, b]"),
            (r#"{"op":"u","after":{"id":1,"name":"b"},"before":{"id":1,"name":"a"}}"#, "-U[1, a] +U[1, b]"),
            (r#"{"before":{"id":1,"name":"a"},"after":null,"op":"d"}"#, "-D[1, a]"),
            (r#"{"before":{"id":0,"name":"x"},"after":{"id":1,"name":"b"},"op":"c"}"#, "+I[1, b]"),
            (r#"{"schema":{"type":"struct"},"payload":{"after":{"id":1,"name":"b"},"op":"c"}}"#, "+I[1, b]"),
            (r#"{"payload":{"after":{"id":1,"name":"b"},"op":"c"},"schema":null}"#, "+I[1, b]"),
            (r#"{"schema":null,"payload":null}"#, ""),
            ("", ""),
            ("null", ""),
            (r#"{"before":null,"after":{"id":1,"name":"b"},"op":"u"}"#, "!\"before\" field of an UPDATE"),
            (r#"{"before":null,"after":null,"op":"d"}"#, "!\"before\" field of a DELETE"),
            (r#"{"after":null,"op":"c"}"#, "!\"after\" field"),
            (r#"{"after":{"id":1},"op":"x"}"#, "!none of c, r, u, d"),
            (r#"{"id":1,"name":"a"}"#, "!no \"op\""),
            (r#"{"after":{"id":"q"},"op":"c"}"#, "!field 'after.id'"),
            (r#"[1]"#, "!not an object"),
        ],
    );
    let mut decoder = make("debezium-json", &schema(&columns), &[]);
    let error = decoder.decode(br#"{"before":null,"after":{"id":1},"op":"u"}"#).unwrap_err();
    assert!(error.hint.unwrap().contains("REPLICA IDENTITY"));
}

#[test]
fn debezium_encodings_follow_the_declared_type() {
    for (data_type, value, expected) in [
        (T::Date, "18460", "2020-07-17"),
        (T::Date, "\"2020-07-17\"", "2020-07-17"),
        (T::Time(0), "64822000000", "18:00:22"),
        (T::Time(3), "64822000", "18:00:22"),
        (T::Time(6), "64822000", "00:01:04.822"),
        (T::Timestamp(3), "1595008822123", "2020-07-17T18:00:22.123"),
        (T::Timestamp(6), "1595008822123456", "2020-07-17T18:00:22.123456"),
        (T::Timestamp(3), "1595008822123456", "2020-07-17T18:00:22.123456"),
        (T::Timestamp(6), "1595008822000", "2020-07-17T18:00:22"),
        (T::Timestamp(9), "1595008822123456789", "2020-07-17T18:00:22.123456789"),
        (T::TimestampLtz(0), "\"2020-07-17T18:00:22Z\"", "2020-07-17T18:00:22Z"),
        (T::Timestamp(0), "\"2020-07-17T18:00:22Z\"", "2020-07-17T18:00:22"),
        (T::Timestamp(0), "\"2020-07-17 18:00:22\"", "2020-07-17T18:00:22"),
        (T::Decimal(8, 4), "\"EtaH\"", "123.4567"),
        (T::Decimal(8, 4), "\"123.4567\"", "123.4567"),
        (T::Decimal(8, 4), "123.4567", "123.4567"),
        (T::Decimal(20, 0), "\"AP//////////\"", "18446744073709551615"),
        (T::Decimal(20, 0), "\"1234\"", "1234"),
        (T::Decimal(20, 0), "{\"scale\":2,\"value\":\"AVo=\"}", "3"),
        (T::Boolean, "1", "true"),
        (T::Boolean, "false", "false"),
        (BYTES, "\"EA==\"", "10"),
        (STRING, "{\"x\": 1.0, \"srid\":null}", "{\"x\":1.0,\"srid\":null}"),
    ] {
        let message = format!("{{\"before\":null,\"after\":{{\"v\":{value}}},\"op\":\"c\"}}");
        check("debezium-json", &[("v", data_type)], &[], &[(&message, &format!("+I[{expected}]"))]);
    }
    let mysql = r#"{"after":{"v":64000000},"source":{"connector":"mysql"},"op":"c"}"#;
    check("debezium-json", &[("v", T::Time(0))], &[], &[(mysql, "+I[00:01:04]")]);
}

#[test]
fn a_wrapped_message_says_itself_what_its_numbers_are() {
    let columns = [("t", T::Timestamp(6)), ("u", T::Timestamp(3)), ("c", T::Time(6)), ("n", T::Decimal(10, 2))];
    let field = |name: &str, kind: &str, semantic: &str, more: &str| {
        format!(r#"{{"type":"{kind}","optional":true,"name":"{semantic}"{more},"field":"{name}"}}"#)
    };
    let fields = [
        field("t", "int64", "io.debezium.time.Timestamp", ""),
        field("u", "int64", "io.debezium.time.MicroTimestamp", ""),
        field("c", "int32", "io.debezium.time.Time", ""),
        field("n", "bytes", "org.apache.kafka.connect.data.Decimal", r#","version":1,"parameters":{"scale":"3"}"#),
    ]
    .join(",");
    let message = format!(
        r#"{{"schema":{{"type":"struct","fields":[{{"type":"struct","fields":[{fields}],"field":"before"}},
            {{"type":"struct","fields":[{fields}],"field":"after"}},{{"type":"string","field":"op"}}],"name":"e"}},
            "payload":{{"before":null,"after":{{"t":5000,"u":5000000,"c":64000,"n":"1234"}},"op":"c"}}}}"#
    );
    // "1234" is also base64 of three bytes: the number -2658824, here at scale 3.
    let expected = "+I[1970-01-01T00:00:05, 1970-01-01T00:00:05, 00:01:04, -2658.82]";
    let mut decoder = make("debezium-json", &schema(&columns), &[("schema-include", "true")]);
    decoder.decode(message.as_bytes()).unwrap();
    decoder.decode(message.as_bytes()).unwrap();
    assert_eq!(rows(&decoder.finish().unwrap()), [expected, expected]);
}

#[test]
fn debezium_metadata_stands_beside_every_row() {
    let options = Options::parse(definitions("debezium-json").unwrap(), []).unwrap();
    let wanted: Vec<_> =
        starweir_formats::metadata("debezium-json").into_iter().map(|(n, t)| (n.to_owned(), t)).collect();
    let mut decoder = decoder("debezium-json", &schema(&[("id", T::Int)]), &wanted, &options).unwrap();
    decoder
        .decode(
            br#"{"schema":{"a": 1},"payload":{"before":{"id":1},"after":{"id":2},"op":"u","ts_ms":2000,
            "source":{"db":"d","schema":null,"table":"t","ts_ms":1001,"n":5}}}"#,
        )
        .unwrap();
    decoder.decode(br#"{"after":{"id":3},"op":"c"}"#).unwrap();
    let properties = "{db: d, schema: NULL, table: t, ts_ms: 1001, n: 5}";
    let rest = format!("{{\"a\":1}}, 1970-01-01T00:00:02Z, 1970-01-01T00:00:01.001Z, d, NULL, t, {properties}]");
    assert_eq!(
        rows(&decoder.finish().unwrap()),
        [format!("-U[1, {rest}"), format!("+U[2, {rest}"), "+I[3, NULL, NULL, NULL, NULL, NULL, NULL, NULL]".into()]
    );
    assert!(starweir_formats::decoder("json", &schema(&[]), &wanted, &options).is_err());
}

#[test]
fn csv_lines_become_rows() {
    let columns = [("id", T::Int), ("name", STRING), ("at", T::Timestamp(3))];
    check(
        "csv",
        &columns,
        &[],
        &[
            ("1,a,2024-01-31 10:20:30", "+I[1, a, 2024-01-31T10:20:30]"),
            ("1,\"a,\"\"b\"\"\",\"2024-01-31 10:20:30\"", "+I[1, a,\"b\", 2024-01-31T10:20:30]"),
            ("1,\"a\nb\",2024-01-31 10:20:30\r\n", "+I[1, a\nb, 2024-01-31T10:20:30]"),
            ("1,,2024-01-31 10:20:30", "+I[1, , 2024-01-31T10:20:30]"),
            ("x,a,2024-01-31 10:20:30", "!does not fit INT at byte 0, field 'id'"),
            ("1,a", "!row length mismatch: 3 fields expected but there are 2"),
            ("1,a,2024-01-31 10:20:30,4", "!more than the 3"),
            ("1,\"a,2024", "!quoted field without end"),
            ("", ""),
        ],
    );
    check(
        "csv",
        &[("id", T::Int), ("l", T::Array(Box::new(DataType::nullable(T::Int)))), ("name", STRING)],
        &[
            ("field-delimiter", "\\t"),
            ("allow-comments", "true"),
            ("null-literal", "n/a"),
            ("escape-character", "\\"),
            ("quote-character", "'"),
            ("ignore-parse-errors", "true"),
        ],
        &[
            ("1\t1;2\ta\\\tb", "+I[1, [1, 2], a\tb]"),
            ("n/a\tn/a\t'it''s'", "+I[NULL, NULL, it's]"),
            ("x\t1;q\t", "+I[NULL, [1, NULL], ]"),
            ("#1\t1\t1", ""),
            ("5", "+I[5, NULL, NULL]"),
        ],
    );
    let mut decoder = make("csv", &schema(&[("a", T::Int), ("b", STRING)]), &[]);
    let bytes = b"1,\"x\ny\"\n2,z\n3,\"open\n";
    let lines = decoder.decode_lines(bytes, false, 100);
    assert_eq!((lines.rows, lines.consumed), (2, 12));
    assert!(decoder.decode_lines(&bytes[12..], true, 100).failed.is_some());
}

#[test]
fn raw_messages_are_the_value_itself() {
    check("raw", &[("v", STRING)], &[], &[("a,b", "+I[a,b]"), ("", "+I[]")]);
    check("raw", &[("v", T::Int)], &[], &[("\0\0\u{1}\0", "+I[256]"), ("x", "!length")]);
    check("raw", &[("v", T::Int)], &[("endianness", "little-endian")], &[("\0\u{1}\0\0", "+I[256]")]);
    let mut latin = make("raw", &schema(&[("v", STRING)]), &[("charset", "ISO-8859-1")]);
    latin.decode(&[0xE9]).unwrap();
    assert_eq!(rows(&latin.finish().unwrap()), ["+I[é]"]);
    assert_eq!(make("raw", &schema(&[("v", STRING)]), &[]).decode_lines(b"a\n\nb", true, 9).rows, 3);
}

#[test]
fn what_is_written_is_what_flink_writes_and_reads_back() {
    let columns = [
        ("i", T::Int),
        ("d", T::Double),
        ("n", T::Decimal(20, 9)),
        ("s", STRING),
        ("t", T::Timestamp(6)),
        ("l", T::Array(Box::new(DataType::string()))),
        ("b", BYTES),
    ];
    let schema = schema(&columns);
    let text = r#"{"i":-5,"d":1.0E10,"n":1.500000000,"s":"a\"\u0001é","t":"2024-01-31 10:20:30.12","l":["x",null],"b":"AQ=="}"#;
    let options = Options::parse(definitions("json").unwrap(), []).unwrap();
    let mut decoder = make("json", &schema, &[]);
    decoder.decode(text.as_bytes()).unwrap();
    decoder.decode(b"{\"n\":0.000000001}").unwrap();
    let batch = decoder.finish().unwrap();
    let mut out = Vec::new();
    encoder("json", &schema, &options).unwrap().encode_lines(&batch, &mut out).unwrap();
    let second = r#"{"i":null,"d":null,"n":1E-9,"s":null,"t":null,"l":null,"b":null}"#;
    assert_eq!(String::from_utf8(out).unwrap(), format!("{text}\n{second}\n"));

    let mut out = Vec::new();
    let options = Options::parse(definitions("csv").unwrap(), [("null-literal", "NULL")]).unwrap();
    encoder("csv", &schema, &options).unwrap().encode_lines(&batch, &mut out).unwrap();
    let expected = "-5,1.0E10,1.500000000,\"a\"\"\u{1}é\",\"2024-01-31 10:20:30.12\",x;NULL,AQ==\nNULL,NULL,1E-9,NULL,NULL,NULL,NULL\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);

    let mut out = Vec::new();
    let options =
        Options::parse(definitions("debezium-json").unwrap(), [("encode.ignore-null-fields", "true")]).unwrap();
    encoder("debezium-json", &schema, &options).unwrap().encode_lines(&batch, &mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().ends_with("{\"before\":null,\"after\":{\"n\":1E-9},\"op\":\"c\"}\n"));
}

#[test]
fn canal_maxwell_and_ogg_events_become_changes() {
    let columns = [("id", T::Int), ("name", STRING), ("price", T::Decimal(10, 2))];
    check(
        "canal-json",
        &columns,
        &[("database.include", "shop.*"), ("table.include", "orders|items")],
        &[
            (
                r#"{"data":[{"id":"1","name":"a","price":"12.00"},{"id":"2","name":null,"price":"1200"}],"database":"shop1","table":"items","type":"INSERT","old":null,"isDdl":false}"#,
                "+I[1, a, 12.00] +I[2, NULL, 1200.00]",
            ),
            (
                r#"{"data":[{"id":"1","name":"b","price":null}],"old":[{"name":"a"}],"database":"shop","table":"orders","type":"UPDATE"}"#,
                "-U[1, a, NULL] +U[1, b, NULL]",
            ),
            (
                r#"{"data":[{"id":"1","name":"b","price":"2"}],"old":[{"name":null,"price":"1"}],"database":"shop","table":"orders","type":"UPDATE"}"#,
                "-U[1, NULL, 1.00] +U[1, b, 2.00]",
            ),
            (r#"{"data":[{"id":"1"}],"database":"shop","table":"orders","type":"DELETE"}"#, "-D[1, NULL, NULL]"),
            (r#"{"data":[{"id":"1"}],"database":"shop","table":"others","type":"INSERT"}"#, ""),
            (r#"{"data":[{"id":"1"}],"database":"my-shop","table":"orders","type":"INSERT"}"#, ""),
            (r#"{"data":null,"database":"shop","table":"orders","type":"CREATE"}"#, ""),
            (r#"{"data":null,"database":"shop","table":"orders","type":"ALTER"}"#, "!neither an insert"),
            (r#"{"data":null,"database":"shop","table":"orders","type":"INSERT"}"#, "!\"data\" field"),
            (
                r#"{"data":[{"id":"1"}],"old":[],"database":"shop","table":"orders","type":"UPDATE"}"#,
                "!as many old rows",
            ),
            ("", ""),
        ],
    );
    check(
        "maxwell-json",
        &columns,
        &[],
        &[
            (
                r#"{"database":"d","table":"t","type":"insert","ts":1,"data":{"id":1,"name":"a","price":1.5}}"#,
                "+I[1, a, 1.50]",
            ),
            (
                r#"{"type":"update","data":{"id":1,"name":"b","price":1.5},"old":{"name":"a"}}"#,
                "-U[1, a, 1.50] +U[1, b, 1.50]",
            ),
            (r#"{"type":"delete","data":{"id":1,"name":"b","price":1.5}}"#, "-D[1, b, 1.50]"),
            (r#"{"type":"table-create","def":{}}"#, "!neither"),
        ],
    );
    check(
        "ogg-json",
        &columns,
        &[],
        &[
            (r#"{"table":"D.T","op_type":"I","before":{},"after":{"id":1,"name":"a"}}"#, "+I[1, a, NULL]"),
            (
                r#"{"op_type":"U","before":{"id":1,"name":"a"},"after":{"id":1,"name":"b"}}"#,
                "-U[1, a, NULL] +U[1, b, NULL]",
            ),
            (r#"{"op_type":"D","before":{"id":1,"name":"a"},"after":null}"#, "-D[1, a, NULL]"),
            (r#"{"op_type":"U","after":{"id":1,"name":"b"}}"#, "!\"before\" field of an UPDATE"),
            (r#"{"op_type":"T"}"#, "!neither"),
        ],
    );
}

#[test]
fn canal_and_maxwell_metadata_stand_beside_every_row() {
    for (format, message, expected) in [
        (
            "canal-json",
            r#"{"data":[{"id":"1"}],"old":[{}],"database":"d","table":"t","type":"UPDATE","sqlType":{"id":4},"pkNames":["id"],"ts":2000,"es":1706696430123}"#,
            "d, t, {id: 4}, [id], 1970-01-01T00:33:20Z, 2024-01-31T10:20:30.123Z]",
        ),
        (
            "maxwell-json",
            r#"{"data":{"id":1},"old":{},"database":"d","table":"t","type":"update","ts":1706696430}"#,
            "d, t, NULL, 2024-01-31T10:20:30Z]",
        ),
        (
            "ogg-json",
            r#"{"before":{"id":1},"after":{"id":1},"table":"t","op_type":"U","primary_keys":["id"],"current_ts":"2024-01-31T10:20:30.5","op_ts":"2024-01-31 10:20:30.000001"}"#,
            "t, [id], 2024-01-31T10:20:30.500Z, 2024-01-31T10:20:30.000001Z]",
        ),
    ] {
        let options = Options::parse(definitions(format).unwrap(), []).unwrap();
        let wanted: Vec<_> = starweir_formats::metadata(format).into_iter().map(|(n, t)| (n.to_owned(), t)).collect();
        let mut decoder = decoder(format, &schema(&[("id", T::Int)]), &wanted, &options).unwrap();
        decoder.decode(message.as_bytes()).unwrap();
        let found = rows(&decoder.finish().unwrap());
        assert_eq!(found, [format!("-U[1, {expected}"), format!("+U[1, {expected}")], "{format}");
    }
}

#[test]
fn changes_that_are_written_are_read_back() {
    let schema = schema(&[("id", T::Int)]);
    for format in ["debezium-json", "canal-json", "maxwell-json", "ogg-json"] {
        let options = Options::parse(definitions(format).unwrap(), []).unwrap();
        let mut decoder = decoder(format, &schema, &[], &options).unwrap();
        let column = std::sync::Arc::new(arrow::array::Int32Array::from(vec![1, 2])) as ArrayRef;
        let batch = arrow::array::RecordBatch::try_new(schema.to_arrow(), vec![column]).unwrap();
        let kinds = RowKinds::Each(vec![RowKind::UpdateAfter, RowKind::Delete]);
        let mut out = Vec::new();
        encoder(format, &schema, &options).unwrap().encode_lines(&ChangeBatch::new(batch, kinds), &mut out).unwrap();
        assert!(decoder.decode_lines(&out, true, 10).failed.is_none());
        assert_eq!(rows(&decoder.finish().unwrap()), ["+I[1]", "-D[2]"], "{format}");
    }
}
