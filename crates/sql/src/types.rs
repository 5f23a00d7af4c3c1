//! Type rules: common types, implicit conversions, what CAST accepts.

use starweir_model::types::LENGTH_MAX;
use starweir_model::{DataType, Field, LogicalType as L};

/// Decimal form of an exact number type.
pub(crate) fn as_decimal(logical: &L) -> Option<(u8, u8)> {
    Some(match logical {
        L::TinyInt => (3, 0),
        L::SmallInt => (5, 0),
        L::Int => (10, 0),
        L::BigInt => (19, 0),
        L::Decimal(p, s) => (*p, *s),
        _ => return None,
    })
}

fn integer_rank(logical: &L) -> Option<u8> {
    Some(match logical {
        L::TinyInt => 0,
        L::SmallInt => 1,
        L::Int => 2,
        L::BigInt => 3,
        _ => return None,
    })
}

pub(crate) fn is_approximate(logical: &L) -> bool {
    matches!(logical, L::Float | L::Double)
}

pub(crate) fn is_interval(logical: &L) -> bool {
    matches!(logical, L::IntervalYearMonth | L::IntervalDayTime)
}

pub(crate) fn is_timestamp(logical: &L) -> bool {
    matches!(logical, L::Timestamp(_) | L::TimestampLtz(_))
}

pub(crate) fn is_temporal(logical: &L) -> bool {
    is_timestamp(logical) || matches!(logical, L::Date | L::Time(_))
}

/// The number type two numbers are brought to before `+`, a comparison or a CASE.
pub(crate) fn common_number(a: &L, b: &L) -> Option<L> {
    if let (Some(x), Some(y)) = (integer_rank(a), integer_rank(b)) {
        return Some(if x >= y { a.clone() } else { b.clone() });
    }
    if is_approximate(a) || is_approximate(b) {
        if !a.is_numeric() || !b.is_numeric() {
            return None;
        }
        if matches!(a, L::Decimal(..)) || matches!(b, L::Decimal(..)) {
            return Some(L::Double);
        }
        // Of FLOAT and DOUBLE the first counts: to Calcite both have the same precision.
        return Some(if is_approximate(a) { a.clone() } else { b.clone() });
    }
    let ((p1, s1), (p2, s2)) = (as_decimal(a)?, as_decimal(b)?);
    let scale = s1.max(s2);
    let whole = (p1 - s1).max(p2 - s2);
    if whole + scale > 38 {
        let scale = (38 - whole).min(scale);
        return Some(L::Decimal(38, scale));
    }
    Some(L::Decimal(whole + scale, scale))
}

/// The type that holds values of both (`leastRestrictive`); `None` when there is none.
pub(crate) fn common(a: &DataType, b: &DataType) -> Option<DataType> {
    let nullable = a.nullable || b.nullable;
    let of = |logical: L| Some(DataType { logical, nullable });
    if a.logical == b.logical {
        return of(a.logical.clone());
    }
    if a.logical == L::Null {
        return of(b.logical.clone());
    }
    if b.logical == L::Null {
        return of(a.logical.clone());
    }
    match (&a.logical, &b.logical) {
        (x, y) if x.is_numeric() && y.is_numeric() => of(common_number(x, y)?),
        (L::Char(n), L::Char(m))
        | (L::VarChar(n), L::Char(m))
        | (L::Char(n), L::VarChar(m))
        | (L::VarChar(n), L::VarChar(m)) => of(L::VarChar(*n.max(m))),
        (L::Binary(n), L::Binary(m))
        | (L::VarBinary(n), L::Binary(m))
        | (L::Binary(n), L::VarBinary(m))
        | (L::VarBinary(n), L::VarBinary(m)) => of(L::VarBinary(*n.max(m))),
        (L::Time(p), L::Time(q)) => of(L::Time(*p.max(q))),
        (L::Timestamp(p), L::Timestamp(q)) => of(L::Timestamp(*p.max(q))),
        (L::TimestampLtz(p), L::TimestampLtz(q)) => of(L::TimestampLtz(*p.max(q))),
        (L::TimestampLtz(p), L::Timestamp(q)) | (L::Timestamp(p), L::TimestampLtz(q)) => of(L::TimestampLtz(*p.max(q))),
        (L::Date, L::Timestamp(p)) | (L::Timestamp(p), L::Date) => of(L::Timestamp(*p)),
        (L::Date, L::TimestampLtz(p)) | (L::TimestampLtz(p), L::Date) => of(L::TimestampLtz(*p)),
        (L::Array(x), L::Array(y)) => of(L::Array(Box::new(common(x, y)?))),
        (L::Multiset(x), L::Multiset(y)) => of(L::Multiset(Box::new(common(x, y)?))),
        (L::Map(ka, va), L::Map(kb, vb)) => of(L::Map(Box::new(common(ka, kb)?), Box::new(common(va, vb)?))),
        (L::Row(x), L::Row(y)) if x.len() == y.len() => {
            let fields = x
                .iter()
                .zip(y)
                .map(|(f, g)| Some(Field { name: f.name.clone(), data_type: common(&f.data_type, &g.data_type)? }))
                .collect::<Option<Vec<_>>>()?;
            of(L::Row(fields))
        }
        _ => None,
    }
}

/// [`common`] of many.
pub(crate) fn common_of<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Option<DataType> {
    let mut types = types.into_iter();
    let first = types.next()?.clone();
    types.try_fold(first, |a, b| common(&a, b))
}

/// Whether CAST takes the pair (Flink's `LogicalTypeCasts.supportsExplicitCast`, as the SQL
/// validator applies it).
pub(crate) fn can_cast(from: &L, to: &L) -> bool {
    if from == to || *from == L::Null {
        return true;
    }
    match (from, to) {
        (L::Array(a), L::Array(b)) | (L::Multiset(a), L::Multiset(b)) => can_cast(&a.logical, &b.logical),
        (L::Map(ka, va), L::Map(kb, vb)) => can_cast(&ka.logical, &kb.logical) && can_cast(&va.logical, &vb.logical),
        (L::Row(a), L::Row(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(f, g)| can_cast(&f.data_type.logical, &g.data_type.logical))
        }
        (L::Array(_) | L::Multiset(_) | L::Map(..) | L::Row(_), to) => to.is_character(),
        (_, L::Array(_) | L::Multiset(_) | L::Map(..) | L::Row(_)) => false,
        (from, to) if from.is_character() => !is_interval(to),
        (from, to) if from.is_binary() => to.is_character() || to.is_binary(),
        (_, to) if to.is_character() => true,
        (_, to) if to.is_binary() => false,
        (from, L::Boolean) => from.is_numeric(),
        (L::Boolean, to) => to.is_numeric(),
        (from, to) if from.is_numeric() && to.is_numeric() => true,
        (from, _) if is_interval(from) => false,
        (_, to) if is_interval(to) => false,
        (L::Date, L::Timestamp(_) | L::TimestampLtz(_)) => true,
        (L::Time(_), L::Time(_) | L::Timestamp(_) | L::TimestampLtz(_)) => true,
        (L::Timestamp(_) | L::TimestampLtz(_), L::Date | L::Time(_) | L::Timestamp(_) | L::TimestampLtz(_)) => true,
        _ => false,
    }
}

/// Whether a query's column may be written into a table's column without a CAST
/// (`LogicalTypeCasts.supportsImplicitCast`, with the loosening Flink's sink check has).
pub(crate) fn can_store(from: &L, to: &L) -> bool {
    if from == to || *from == L::Null {
        return true;
    }
    match (from, to) {
        (f, t) if f.is_numeric() && t.is_numeric() => true,
        (f, t) if f.is_character() && t.is_character() => true,
        (f, t) if f.is_binary() && t.is_binary() => true,
        (f, t) if is_timestamp(f) && is_timestamp(t) => true,
        (L::Timestamp(_) | L::TimestampLtz(_), L::Date | L::Time(_)) => true,
        (L::Date, L::Timestamp(_) | L::TimestampLtz(_)) => true,
        (L::Time(_), L::Time(_) | L::Timestamp(_) | L::TimestampLtz(_)) => true,
        (L::Array(a), L::Array(b)) | (L::Multiset(a), L::Multiset(b)) => can_store(&a.logical, &b.logical),
        (L::Map(ka, va), L::Map(kb, vb)) => can_store(&ka.logical, &kb.logical) && can_store(&va.logical, &vb.logical),
        (L::Row(a), L::Row(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(f, g)| can_store(&f.data_type.logical, &g.data_type.logical))
        }
        _ => false,
    }
}

/// A character length that is the sum of two, capped.
pub(crate) fn add_lengths(a: u32, b: u32) -> u32 {
    a.saturating_add(b).min(LENGTH_MAX)
}

/// Length of a character or binary type.
pub(crate) fn length(logical: &L) -> Option<u32> {
    match logical {
        L::Char(n) | L::VarChar(n) | L::Binary(n) | L::VarBinary(n) => Some(*n),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::parse_data_type;

    #[test]
    fn common_types_are_flinks() {
        for (a, b, expected) in [
            ("INT", "BIGINT", Some("BIGINT")),
            ("TINYINT", "DECIMAL(10, 2)", Some("DECIMAL(10, 2)")),
            ("INT NOT NULL", "DECIMAL(10, 2) NOT NULL", Some("DECIMAL(12, 2) NOT NULL")),
            ("DECIMAL(10, 2)", "DECIMAL(8, 4)", Some("DECIMAL(12, 4)")),
            ("DECIMAL(10, 2)", "FLOAT", Some("DOUBLE")),
            ("INT", "FLOAT", Some("FLOAT")),
            ("CHAR(3) NOT NULL", "CHAR(5) NOT NULL", Some("VARCHAR(5) NOT NULL")),
            ("CHAR(3)", "STRING", Some("STRING")),
            ("TIMESTAMP(0)", "TIMESTAMP(3)", Some("TIMESTAMP(3)")),
            ("INT", "STRING", None),
            ("ARRAY<INT>", "ARRAY<BIGINT NOT NULL>", Some("ARRAY<BIGINT>")),
            ("BOOLEAN", "INT", None),
        ] {
            let found = common(&parse_data_type(a).unwrap(), &parse_data_type(b).unwrap());
            assert_eq!(found.map(|t| t.to_string()).as_deref(), expected, "{a} and {b}");
        }
    }

    #[test]
    fn casts_are_allowed_as_in_flink() {
        for (from, to, expected) in [
            ("INT", "STRING", true),
            ("INT", "DATE", false),
            ("INT", "VARBINARY(4)", false),
            ("STRING", "DATE", true),
            ("STRING", "ARRAY<INT>", false),
            ("TIMESTAMP(3)", "INT", false),
            ("ROW<a INT>", "ROW<b STRING>", true),
            ("DATE", "FLOAT", false),
        ] {
            let types = (parse_data_type(from).unwrap(), parse_data_type(to).unwrap());
            assert_eq!(can_cast(&types.0.logical, &types.1.logical), expected, "{from} to {to}");
        }
    }
}
