//! Values of a result set on their way into columns, and keys as literals of SQL.

use mysql_async::Value;
use starweir_formats::mysql::{Cell, Kind};

const MICROS: i64 = 1_000_000;

/// A value of the binary protocol as the cell it is in the log.
pub(super) fn cell(value: &Value, kind: Kind) -> Cell<'_> {
    match value {
        Value::NULL => Cell::Null,
        Value::Int(n) => Cell::Int(*n),
        Value::UInt(n) => Cell::UInt(*n),
        Value::Float(n) => Cell::Float(*n),
        Value::Double(n) => Cell::Double(*n),
        Value::Date(year, month, day, hour, minute, second, micros) => Cell::DateTime {
            year: u32::from(*year),
            month: u32::from(*month),
            day: u32::from(*day),
            hour: u32::from(*hour),
            minute: u32::from(*minute),
            second: u32::from(*second),
            micros: *micros,
        },
        Value::Time(negative, days, hours, minutes, seconds, micros) => {
            let hours = i64::from(*days) * 24 + i64::from(*hours);
            let size = ((hours * 60 + i64::from(*minutes)) * 60 + i64::from(*seconds)) * MICROS + i64::from(*micros);
            Cell::Time(if *negative { -size } else { size })
        }
        Value::Bytes(bytes) => match kind {
            Kind::Binary | Kind::VarBinary | Kind::Blob | Kind::Bit => Cell::Bytes(bytes),
            Kind::Geometry => Cell::Geometry(bytes),
            Kind::Vector => Cell::Vector(bytes),
            Kind::Decimal => std::str::from_utf8(bytes).map_or(Cell::Bytes(bytes), |t| Cell::Text(plain_decimal(t))),
            _ => std::str::from_utf8(bytes).map_or(Cell::Bytes(bytes), Cell::Text),
        },
    }
}

/// Without the zeros of ZEROFILL in front.
fn plain_decimal(text: &str) -> &str {
    let trimmed = text.trim_start_matches('0');
    if trimmed.len() == text.len() {
        text
    } else if trimmed.is_empty() || trimmed.starts_with('.') {
        &text[text.len() - trimmed.len() - 1..]
    } else {
        trimmed
    }
}

/// Whether keys of this kind are ordered and compared by their number: the text of an ENUM orders otherwise.
pub(super) fn key_by_number(kind: Kind) -> bool {
    matches!(kind, Kind::Enum | Kind::Set | Kind::Bit)
}

/// The value as a literal that compares equal to it. Text is compared with the column's collation, since a literal's
/// counts less.
pub(super) fn key_literal(value: &Value, kind: Kind) -> String {
    match value {
        Value::NULL => "NULL".into(),
        Value::Int(n) => n.to_string(),
        Value::UInt(n) => n.to_string(),
        Value::Float(n) => format!("{n:e}"),
        Value::Double(n) => format!("{n:e}"),
        Value::Date(y, m, d, 0, 0, 0, 0) if kind == Kind::Date => format!("'{y:04}-{m:02}-{d:02}'"),
        Value::Date(y, m, d, h, i, s, u) => format!("'{y:04}-{m:02}-{d:02} {h:02}:{i:02}:{s:02}.{u:06}'"),
        Value::Time(negative, days, h, i, s, u) => {
            let hours = days * 24 + u32::from(*h);
            format!("'{}{hours:02}:{i:02}:{s:02}.{u:06}'", if *negative { "-" } else { "" })
        }
        Value::Bytes(bytes) => match kind {
            Kind::Decimal => String::from_utf8_lossy(bytes).into_owned(),
            Kind::Binary | Kind::VarBinary | Kind::Blob | Kind::Geometry | Kind::Vector => {
                format!("x'{}'", hex::encode(bytes))
            }
            _ => format!("_utf8mb4 x'{}'", hex::encode(bytes)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zerofill_leaves_no_zeros() {
        for (text, plain) in [("0011.500", "11.500"), ("0000.5", "0.5"), ("000", "0"), ("-0.5", "-0.5"), ("10", "10")] {
            assert_eq!(plain_decimal(text), plain);
        }
    }

    #[test]
    fn keys_become_literals() {
        assert_eq!(key_literal(&Value::Bytes(b"a'".to_vec()), Kind::VarChar), "_utf8mb4 x'6127'");
        assert_eq!(key_literal(&Value::Bytes(vec![0, 255]), Kind::Binary), "x'00ff'");
        assert_eq!(key_literal(&Value::Date(2020, 1, 2, 0, 0, 0, 0), Kind::Date), "'2020-01-02'");
    }
}
