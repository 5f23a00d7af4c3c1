//! A table's shape as a Kafka Connect schema: the `schema` of a wrapped debezium-json message.
//!
//! | column | type | name |
//! |---|---|---|
//! | BOOLEAN | boolean | |
//! | TINYINT, SMALLINT / INT / BIGINT | int16 / int32 / int64 | |
//! | FLOAT / DOUBLE | float / double | |
//! | DECIMAL(p, s) | bytes | `org.apache.kafka.connect.data.Decimal` |
//! | DATE | int32 | `io.debezium.time.Date` |
//! | TIME | int64 | `io.debezium.time.MicroTime` |
//! | TIMESTAMP(p), p ≤ 3 / above | int64 | `io.debezium.time.Timestamp` / `MicroTimestamp` |
//! | TIMESTAMP_LTZ, TIMESTAMP WITH TIME ZONE | string | `io.debezium.time.ZonedTimestamp` |
//! | BINARY, VARBINARY | bytes | `io.debezium.data.Bits` |
//! | ARRAY / MAP / ROW | array / map / struct | |
//! | others | string | |
//!
//! Flink CDC's payload does not keep to it: times and dates are texts there and decimals numbers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use starweir_model::{DataType, LogicalType, TableColumn, TableSchema};

use crate::decimal::parse_decimal;
use crate::time::{TimestampStyle, Zone, parse_date, parse_time, parse_timestamp};
use crate::write::{java_float, json_string, quoted};

/// Appends the schema of the table's messages.
pub(super) fn write_schema(schema: &TableSchema, out: &mut Vec<u8>) {
    let mut image = b"{\"type\":\"struct\",\"fields\":[".to_vec();
    for (n, column) in schema.columns.iter().enumerate() {
        if n > 0 {
            image.push(b',');
        }
        write_column(column, &mut image);
    }
    image.extend_from_slice(b"],\"optional\":true,\"field\":");
    out.extend_from_slice(b"{\"type\":\"struct\",\"fields\":[");
    out.extend_from_slice(&image);
    out.extend_from_slice(b"\"before\"},");
    out.extend_from_slice(&image);
    out.extend_from_slice(b"\"after\"}],\"optional\":false}");
}

fn write_column(column: &TableColumn, out: &mut Vec<u8>) {
    out.push(b'{');
    write_type(&column.data_type, column.data_type.nullable, column.comment.as_deref(), out);
    if let Some(default) = column.default.as_deref().and_then(|text| default(&column.data_type.logical, text)) {
        out.extend_from_slice(b",\"default\":");
        out.extend_from_slice(&default);
    }
    write_member("field", &column.name, out);
    out.push(b'}');
}

fn write_member(name: &str, text: &str, out: &mut Vec<u8>) {
    out.push(b',');
    out.extend_from_slice(&quoted(name));
    out.push(b':');
    json_string(text.as_bytes(), out);
}

/// Appends the members that tell a type. What lies within another type is never optional, as in Flink CDC.
fn write_type(of: &DataType, optional: bool, comment: Option<&str>, out: &mut Vec<u8>) {
    use LogicalType as L;
    let kind = match &of.logical {
        L::Boolean => "boolean",
        L::TinyInt | L::SmallInt => "int16",
        L::Int | L::Date => "int32",
        L::BigInt | L::Time(_) | L::Timestamp(_) => "int64",
        L::Float => "float",
        L::Double => "double",
        L::Decimal(..) | L::Binary(_) | L::VarBinary(_) => "bytes",
        L::Array(_) => "array",
        L::Map(..) => "map",
        L::Row(_) => "struct",
        _ => "string",
    };
    out.extend_from_slice(b"\"type\":");
    out.extend_from_slice(&quoted(kind));
    let within = |name: &str, of: &DataType, out: &mut Vec<u8>| {
        out.push(b',');
        out.extend_from_slice(&quoted(name));
        out.extend_from_slice(b":{");
        write_type(of, false, None, out);
        out.push(b'}');
    };
    match &of.logical {
        L::Array(element) => within("items", element, out),
        L::Map(key, value) => {
            within("keys", key, out);
            within("values", value, out);
        }
        L::Row(fields) => {
            out.extend_from_slice(b",\"fields\":[");
            for (n, field) in fields.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                out.push(b'{');
                write_type(&field.data_type, false, None, out);
                write_member("field", &field.name, out);
                out.push(b'}');
            }
            out.push(b']');
        }
        _ => {}
    }
    out.extend_from_slice(if optional { b",\"optional\":true" } else { b",\"optional\":false" });
    let name = match &of.logical {
        L::Decimal(..) => Some("org.apache.kafka.connect.data.Decimal"),
        L::Date => Some("io.debezium.time.Date"),
        L::Time(_) => Some("io.debezium.time.MicroTime"),
        L::Timestamp(..=3) => Some("io.debezium.time.Timestamp"),
        L::Timestamp(_) => Some("io.debezium.time.MicroTimestamp"),
        L::TimestampLtz(_) | L::TimestampTz(_) => Some("io.debezium.time.ZonedTimestamp"),
        L::Binary(_) | L::VarBinary(_) => Some("io.debezium.data.Bits"),
        _ => None,
    };
    if let Some(name) = name {
        write_member("name", name, out);
        out.extend_from_slice(b",\"version\":1");
    }
    if let Some(comment) = comment {
        write_member("doc", comment, out);
    }
    match &of.logical {
        L::Decimal(precision, scale) => out.extend_from_slice(
            format!(",\"parameters\":{{\"scale\":\"{scale}\",\"connect.decimal.precision\":\"{precision}\"}}")
                .as_bytes(),
        ),
        L::Binary(length) | L::VarBinary(length) => {
            out.extend_from_slice(format!(",\"parameters\":{{\"length\":\"{length}\"}}").as_bytes());
        }
        _ => {}
    }
}

/// A default value's text as JSON of the column's Connect type; None (the schema then has no default, as in Flink CDC)
/// when it is no value of the type, such as a function's call.
fn default(of: &LogicalType, text: &str) -> Option<Vec<u8>> {
    use LogicalType as L;
    let trimmed = text.trim();
    let whole = |number: Option<i64>| number.map(|n| n.to_string().into_bytes());
    let count = || trimmed.parse::<i64>().ok();
    match of {
        L::Boolean => match trimmed.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(b"true".to_vec()),
            "false" | "0" => Some(b"false".to_vec()),
            _ => None,
        },
        L::TinyInt | L::SmallInt => whole(trimmed.parse::<i16>().ok().map(i64::from)),
        L::Int => whole(trimmed.parse::<i32>().ok().map(i64::from)),
        L::BigInt => whole(count()),
        L::Float => {
            let number = trimmed.parse::<f32>().ok().filter(|n| n.is_finite())?;
            let mut out = Vec::new();
            java_float(&mut out, &format!("{number:e}"), number.into());
            Some(out)
        }
        L::Double => {
            let number = trimmed.parse::<f64>().ok().filter(|n| n.is_finite())?;
            let mut out = Vec::new();
            java_float(&mut out, &format!("{number:e}"), number);
            Some(out)
        }
        L::Decimal(precision, scale) => {
            let unscaled = parse_decimal(trimmed.as_bytes(), *precision, *scale).ok()??;
            Some(quoted(&STANDARD.encode(shortest(unscaled))))
        }
        // Temporal defaults are counts already, or the texts a database's catalog gives.
        L::Date => whole(trimmed.parse::<i32>().ok().or_else(|| parse_date(trimmed.as_bytes())).map(i64::from)),
        L::Time(_) => {
            let nanos = || parse_time(trimmed.as_bytes(), TimestampStyle::Any);
            whole(count().or_else(|| nanos().map(|nanos| nanos / 1000)))
        }
        L::Timestamp(precision) => {
            let parsed = || {
                let (seconds, nanos) = parse_timestamp(trimmed.as_bytes(), TimestampStyle::Any, Zone::Without)?;
                let per_second = if *precision > 3 { 1_000_000 } else { 1000 };
                let fraction = i64::from(nanos) / (1_000_000_000 / per_second);
                seconds.checked_mul(per_second)?.checked_add(fraction)
            };
            whole(count().or_else(parsed))
        }
        L::Binary(_) | L::VarBinary(_) => Some(quoted(&STANDARD.encode(text))),
        L::Array(_) | L::Map(..) | L::Row(_) => None,
        _ => Some(quoted(text)),
    }
}

/// The fewest big-endian bytes that hold the number and its sign (Java's `BigInteger.toByteArray`).
fn shortest(number: i128) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let sign = if number < 0 { 0xFF } else { 0 };
    let spare = bytes.windows(2).take_while(|two| two[0] == sign && (two[1] ^ sign) & 0x80 == 0).count();
    bytes[spare..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::decimal_from_bytes;

    #[test]
    fn defaults_are_values_of_their_columns_type_or_left_out() {
        for (of, text, expected) in [
            ("BOOLEAN", "true", Some("true")),
            ("BOOLEAN", "0", Some("false")),
            ("TINYINT", "1", Some("1")),
            ("SMALLINT", "70000", None),
            ("INT", "nextval('s')", None),
            ("FLOAT", "1.5", Some("1.5")),
            ("DOUBLE", "10", Some("10.0")),
            ("DOUBLE", "NaN", None),
            ("DECIMAL(10, 2)", "99.99", Some("\"Jw8=\"")),
            ("DECIMAL(10, 2)", "-1", Some("\"nA==\"")),
            ("DECIMAL(3, 2)", "99.99", None),
            ("DATE", "100", Some("100")),
            ("DATE", "1970-01-11", Some("10")),
            ("DATE", "0000-00-00", None),
            ("TIME(0)", "00:00:01", Some("1000000")),
            ("TIMESTAMP(3)", "1970-01-01 00:00:01.5", Some("1500")),
            ("TIMESTAMP(6)", "1970-01-01 00:00:01.5", Some("1500000")),
            ("TIMESTAMP(6)", "CURRENT_TIMESTAMP", None),
            ("TIMESTAMP_LTZ(6)", "2023-01-01T00:00:00Z", Some("\"2023-01-01T00:00:00Z\"")),
            ("VARCHAR(9)", "a\"b ", Some("\"a\\\"b \"")),
            ("BINARY(3)", "bin", Some("\"Ymlu\"")),
            ("ARRAY<INT>", "{}", None),
        ] {
            let of: DataType = of.parse().unwrap();
            let got = default(&of.logical, text).map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(got.as_deref(), expected, "{} {text}", of.logical);
        }
    }

    #[test]
    fn numbers_take_their_fewest_bytes() {
        for number in [0, 1, -1, 127, 128, -128, -129, 9999, i128::from(i64::MIN), 10i128.pow(37)] {
            assert_eq!(decimal_from_bytes(&shortest(number), 38), Some(number));
        }
        assert_eq!(shortest(128), [0, 128]);
        assert_eq!(shortest(-128), [128]);
    }

    #[test]
    fn a_column_is_written_with_its_comment_and_parameters() {
        for (of, expected) in [
            (
                "DECIMAL(6, 3) NOT NULL",
                concat!(
                    r#"{"type":"bytes","optional":false,"name":"org.apache.kafka.connect.data.Decimal","version":1,"#,
                    r#""doc":"why","parameters":{"scale":"3","connect.decimal.precision":"6"},"field":"c"}"#
                ),
            ),
            (
                "MAP<STRING, ARRAY<DATE>>",
                concat!(
                    r#"{"type":"map","keys":{"type":"string","optional":false},"values":{"type":"array","items":"#,
                    r#"{"type":"int32","optional":false,"name":"io.debezium.time.Date","version":1},"#,
                    r#""optional":false},"optional":true,"doc":"why","field":"c"}"#
                ),
            ),
        ] {
            let column = TableColumn { comment: Some("why".into()), ..TableColumn::new("c", of.parse().unwrap()) };
            let mut out = Vec::new();
            write_column(&column, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
