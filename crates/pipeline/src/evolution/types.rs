//! Types that hold the values of two others. Flink CDC: `SchemaMergingUtils` (in use) and `SchemaUtils` (its older,
//! stricter rules).

use starweir_model::types::DECIMAL_PRECISION_MAX;
use starweir_model::{DataType, Error, LogicalType, Result};

use LogicalType as L;

/// What a value of a type may become without loss, the nearest first; STRING holds everything.
fn widening(of: &L) -> Vec<L> {
    let decimal = L::Decimal(DECIMAL_PRECISION_MAX, 0);
    let mut wider = match of {
        L::TinyInt => vec![L::TinyInt, L::SmallInt, L::Int, L::BigInt, decimal, L::Float, L::Double],
        L::SmallInt => vec![L::SmallInt, L::Int, L::BigInt, decimal, L::Float, L::Double],
        L::Int => vec![L::Int, L::BigInt, decimal, L::Double],
        L::BigInt => vec![L::BigInt, decimal, L::Double],
        L::Float => vec![L::Float, L::Double],
        L::Double => vec![L::Double],
        L::Date => vec![L::Date, L::Timestamp(9), L::TimestampLtz(9), L::TimestampTz(9)],
        L::Timestamp(_) => vec![L::Timestamp(9), L::TimestampLtz(9), L::TimestampTz(9)],
        L::TimestampLtz(_) => vec![L::TimestampLtz(9), L::TimestampTz(9)],
        L::TimestampTz(_) => vec![L::TimestampTz(9)],
        _ => Vec::new(),
    };
    wider.push(L::STRING);
    wider
}

/// Whether a column of type `current` takes the values of type `upcoming` as it is.
pub fn is_compatible(current: &DataType, upcoming: &DataType) -> bool {
    current == upcoming || (current.nullable && widening(&upcoming.logical).contains(&current.logical))
}

/// The narrowest type that holds the values of both. Two decimals that together need more than 38 digits lose some
/// behind the point.
pub fn least_common(a: &DataType, b: &DataType) -> DataType {
    DataType { logical: least_common_logical(&a.logical, &b.logical), nullable: a.nullable || b.nullable }
}

fn least_common_logical(a: &L, b: &L) -> L {
    if a == b {
        return a.clone();
    }
    if let (Some(left), Some(right)) = (timestamp_level(a), timestamp_level(b)) {
        let precision = left.1.max(right.1);
        return match left.0.max(right.0) {
            0 => L::Timestamp(precision),
            1 => L::TimestampLtz(precision),
            _ => L::TimestampTz(precision),
        };
    }
    match (a, b) {
        (L::Decimal(p1, s1), L::Decimal(p2, s2)) => return merge_decimals((*p1, *s1), (*p2, *s2)),
        (L::Decimal(p, s), other) | (other, L::Decimal(p, s)) => {
            let merged = exact_digits(other).map(|digits| (*p).max(s + digits));
            return match merged {
                Some(precision) if precision <= DECIMAL_PRECISION_MAX => L::Decimal(precision, *s),
                _ => L::STRING,
            };
        }
        _ => {}
    }
    let wider = widening(b);
    widening(a).into_iter().find(|t| wider.contains(t)).unwrap_or(L::STRING)
}

/// 0: no zone, 1: the session's, 2: its own; and the precision.
fn timestamp_level(of: &L) -> Option<(u8, u8)> {
    match of {
        L::Timestamp(p) => Some((0, *p)),
        L::TimestampLtz(p) => Some((1, *p)),
        L::TimestampTz(p) => Some((2, *p)),
        _ => None,
    }
}

fn merge_decimals((p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> L {
    // Digits before the point are kept whatever it costs behind it.
    let digits = (p1 - s1).max(p2 - s2);
    let scale = s1.max(s2).min(DECIMAL_PRECISION_MAX - digits);
    L::Decimal(digits + scale, scale)
}

fn decimal_or_error(a: &L, b: &L, precision: u32, scale: u8) -> Result<L> {
    match u8::try_from(precision).ok().filter(|p| *p <= DECIMAL_PRECISION_MAX) {
        Some(precision) => Ok(L::Decimal(precision, scale)),
        None => Err(Error::user(format!(
            "Failed to merge {a} NOT NULL and {b} NOT NULL type into DECIMAL. {precision} precision digits required, \
             {DECIMAL_PRECISION_MAX} available"
        ))),
    }
}

fn exact_digits(of: &L) -> Option<u8> {
    match of {
        L::TinyInt => Some(3),
        L::SmallInt => Some(5),
        L::Int => Some(10),
        L::BigInt => Some(19),
        L::Decimal(p, _) => Some(*p),
        _ => None,
    }
}

/// Decimal digits of an exact number type. Errors: any other type.
pub fn numeric_precision(of: &DataType) -> Result<u8> {
    exact_digits(&of.logical)
        .ok_or_else(|| Error::user(format!("Failed to get precision of non-exact decimal type {of}")))
}

/// The wider of two types by the older rules: integers meet at BIGINT, texts at STRING, floats at DOUBLE; an integer
/// and a float do not.
pub fn infer_wider(a: &DataType, b: &DataType) -> Result<DataType> {
    let (left, right) = (&a.logical, &b.logical);
    let nullable = a.nullable || b.nullable;
    let logical = match (left, right) {
        _ if left == right => left.clone(),
        (L::Timestamp(p), L::Timestamp(q)) => return Ok(DataType::nullable(L::Timestamp(*p.max(q)))),
        (L::TimestampTz(p), L::TimestampTz(q)) => return Ok(DataType::nullable(L::TimestampTz(*p.max(q)))),
        (L::TimestampLtz(p), L::TimestampLtz(q)) => return Ok(DataType::nullable(L::TimestampLtz(*p.max(q)))),
        _ if timestamp_level(left).is_some() && timestamp_level(right).is_some() => {
            return Ok(DataType::nullable(L::Timestamp(9)));
        }
        _ if left.is_integer() && right.is_integer() => L::BigInt,
        _ if left.is_character() && right.is_character() => L::STRING,
        (L::Float | L::Double, L::Float | L::Double) => L::Double,
        (L::Decimal(p1, s1), L::Decimal(p2, s2)) => merge_decimals((*p1, *s1), (*p2, *s2)),
        (L::Decimal(p, s), other) | (other, L::Decimal(p, s)) if other.is_integer() => {
            let needed = u32::from(*p).max(u32::from(*s) + u32::from(exact_digits(other).unwrap_or(0)));
            decimal_or_error(left, right, needed, *s)?
        }
        _ => {
            return Err(Error::user(format!("Incompatible types: \"{left} NOT NULL\" and \"{right} NOT NULL\"")));
        }
    };
    Ok(DataType { logical, nullable })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> DataType {
        text.parse().unwrap()
    }

    #[test]
    fn types_meet_at_the_narrowest_that_holds_both_in_either_order() {
        for (a, b, expected) in [
            ("TINYINT", "SMALLINT", "SMALLINT"),
            ("SMALLINT", "FLOAT", "FLOAT"),
            ("INT", "FLOAT", "DOUBLE"),
            ("BIGINT", "DECIMAL(10, 2)", "DECIMAL(21, 2)"),
            ("BIGINT", "DECIMAL(38, 30)", "STRING"),
            ("DECIMAL(10, 2)", "DECIMAL(8, 5)", "DECIMAL(13, 5)"),
            ("DATE", "TIMESTAMP(3)", "TIMESTAMP(9)"),
            ("TIMESTAMP(3)", "TIMESTAMP_LTZ(6)", "TIMESTAMP_LTZ(6)"),
            ("VARCHAR(17)", "CHAR(3)", "STRING"),
            ("INT NOT NULL", "INT NOT NULL", "INT NOT NULL"),
            ("INT NOT NULL", "BIGINT", "BIGINT"),
            ("BINARY(3)", "BYTES", "STRING"),
            ("TIME(3)", "TIME(6)", "STRING"),
            ("DECIMAL(38, 0)", "DECIMAL(5, 5)", "DECIMAL(38, 0)"),
            ("DECIMAL(38, 10)", "DECIMAL(20, 15)", "DECIMAL(38, 10)"),
        ] {
            assert_eq!(least_common(&of(a), &of(b)), of(expected), "{a} and {b}");
            assert_eq!(least_common(&of(b), &of(a)), of(expected), "{b} and {a}");
        }
    }

    #[test]
    fn a_column_takes_what_fits_it_and_nothing_else() {
        for (current, upcoming, expected) in [
            ("BIGINT", "INT", true),
            ("INT", "BIGINT", false),
            ("STRING", "DATE", true),
            ("VARCHAR(10)", "VARCHAR(5)", false),
            ("DECIMAL(38, 0)", "BIGINT", true),
            ("TIMESTAMP(3)", "DATE", false),
        ] {
            assert_eq!(is_compatible(&of(current), &of(upcoming)), expected, "{upcoming} into {current}");
        }
    }
}
