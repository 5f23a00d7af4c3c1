//! Which declared type holds which captured one, and how: a decision over two types.
//!
//! As Flink CDC decides where it converts, with one difference: where it would cut a number off or write something else
//! without a word, the declaration is refused. What no type can tell before the first row (a BIGINT UNSIGNED declared
//! BIGINT, a NUMERIC without a precision declared DECIMAL) is checked value by value.

use starweir_model::LogicalType;

/// How values of a captured column become those of a declared one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Conversion {
    /// As they are.
    Same,
    /// To a type that holds every value.
    Widen,
    /// To a number that may be rounded.
    Approximate,
    /// Whole numbers of a larger type; each has to fit.
    Checked,
    /// Everything but zero is TRUE.
    Truth,
    /// Text that has to be a number; digits beyond the scale are rounded, as Flink rounds them.
    Parse,
    /// As text; times with so many digits of a second.
    Text(u8),
    /// Times with so many digits of a second; those beyond are cut off.
    Fraction(u8),
    /// An instant as the local time of the server's zone, with so many digits of a second.
    Local(u8),
    /// Element by element.
    Elements(Box<Conversion>),
}

/// The conversion, or what to declare instead.
pub(super) fn fit(captured: &LogicalType, declared: &LogicalType) -> Result<Conversion, String> {
    use LogicalType as L;
    let instead = || Err(format!("declare it {captured}"));
    Ok(match (captured, declared) {
        (c, d) if c.is_character() && d.is_character() || c.is_binary() && d.is_binary() => Conversion::Same,
        (L::Timestamp(from), L::Timestamp(to)) | (L::TimestampLtz(from), L::TimestampLtz(to)) => {
            if from == to {
                Conversion::Same
            } else {
                Conversion::Fraction(*to)
            }
        }
        (L::TimestampLtz(_), L::Timestamp(to)) => Conversion::Local(*to),
        // Also those of one precision are held in another form.
        (L::Time(_), L::Time(to)) => Conversion::Fraction((*to).min(3)),
        (L::Array(c), L::Array(d)) => match fit(&c.logical, &d.logical) {
            Ok(element) => Conversion::Elements(Box::new(element)),
            Err(_) => return instead(),
        },
        (c, d) if c == d => Conversion::Same,
        (L::TinyInt, L::Boolean) => Conversion::Truth,
        (c, d) if c.is_integer() && d.is_integer() => {
            if digits(c) > digits(d) {
                return instead();
            }
            Conversion::Widen
        }
        (c, L::Decimal(precision, scale)) if c.is_integer() => {
            if precision - scale < digits(c) {
                return Err(format!("declare it {c}, or DECIMAL({}, {scale})", (digits(c) + scale).min(38)));
            }
            Conversion::Widen
        }
        (L::Decimal(from, from_scale), L::Decimal(to, to_scale)) => {
            if to_scale < from_scale || to - to_scale < from - from_scale {
                return instead();
            }
            Conversion::Widen
        }
        // BIGINT UNSIGNED: what fits into BIGINT is what tables have.
        (L::Decimal(20, 0), L::BigInt) => Conversion::Checked,
        (L::Decimal(precision, 0), d) if d.is_integer() => {
            if *precision >= digits(d) {
                return instead();
            }
            Conversion::Checked
        }
        (c, L::Float | L::Double) if c.is_numeric() => {
            if matches!((c, declared), (L::Float, L::Double)) {
                Conversion::Widen
            } else {
                Conversion::Approximate
            }
        }
        (c, L::Decimal(..)) if c.is_character() => Conversion::Parse,
        (c, d) if d.is_character() => match c {
            L::Timestamp(digits) | L::TimestampLtz(digits) | L::Time(digits) => Conversion::Text(*digits),
            L::Boolean | L::Date | L::Decimal(..) => Conversion::Text(0),
            c if c.is_integer() => Conversion::Text(0),
            _ => return instead(),
        },
        (L::Timestamp(digits), L::TimestampLtz(_)) => return Err(format!("declare it TIMESTAMP({digits})")),
        _ => return instead(),
    })
}

/// Digits that hold every number of the type.
fn digits(integer: &LogicalType) -> u8 {
    match integer {
        LogicalType::TinyInt => 3,
        LogicalType::SmallInt => 5,
        LogicalType::Int => 10,
        _ => 19,
    }
}

#[cfg(test)]
mod tests {
    use starweir_model::DataType;

    use super::*;

    #[test]
    fn a_declared_type_holds_what_it_holds() {
        let element = |c| Some(Conversion::Elements(Box::new(c)));
        use Conversion as C;
        for (captured, declared, expected) in [
            ("INT", "INT", Some(C::Same)),
            ("INT", "BIGINT", Some(C::Widen)),
            ("BIGINT", "INT", None),
            ("SMALLINT", "TINYINT", None),
            ("INT", "DECIMAL(10, 0)", Some(C::Widen)),
            ("INT", "DECIMAL(10, 2)", None),
            ("BIGINT", "DECIMAL(20, 0)", Some(C::Widen)),
            ("TINYINT", "BOOLEAN", Some(C::Truth)),
            ("INT", "BOOLEAN", None),
            ("BOOLEAN", "INT", None),
            ("DECIMAL(20, 0)", "BIGINT", Some(C::Checked)),
            ("DECIMAL(20, 0)", "INT", None),
            ("DECIMAL(9, 0)", "INT", Some(C::Checked)),
            ("DECIMAL(10, 0)", "INT", None),
            ("DECIMAL(10, 2)", "BIGINT", None),
            ("DECIMAL(10, 2)", "DECIMAL(10, 2)", Some(C::Same)),
            ("DECIMAL(10, 2)", "DECIMAL(12, 4)", Some(C::Widen)),
            ("DECIMAL(10, 2)", "DECIMAL(10, 4)", None),
            ("DECIMAL(10, 2)", "DECIMAL(10, 1)", None),
            ("DECIMAL(10, 2)", "DOUBLE", Some(C::Approximate)),
            ("FLOAT", "DOUBLE", Some(C::Widen)),
            ("DOUBLE", "FLOAT", Some(C::Approximate)),
            ("DOUBLE", "DECIMAL(10, 2)", None),
            ("VARCHAR(255)", "STRING", Some(C::Same)),
            ("STRING", "VARCHAR(20)", Some(C::Same)),
            ("STRING", "DECIMAL(20, 4)", Some(C::Parse)),
            ("STRING", "INT", None),
            ("STRING", "BYTES", None),
            ("BYTES", "VARBINARY(4)", Some(C::Same)),
            ("BYTES", "STRING", None),
            ("BIGINT", "STRING", Some(C::Text(0))),
            ("DECIMAL(10, 2)", "STRING", Some(C::Text(0))),
            ("DOUBLE", "STRING", None),
            ("TIMESTAMP(6)", "STRING", Some(C::Text(6))),
            ("DATE", "DATE", Some(C::Same)),
            ("DATE", "TIMESTAMP(3)", None),
            ("TIME(0)", "TIME(0)", Some(C::Fraction(0))),
            ("TIME(6)", "TIME(6)", Some(C::Fraction(3))),
            ("TIMESTAMP(0)", "TIMESTAMP(3)", Some(C::Fraction(3))),
            ("TIMESTAMP(6)", "TIMESTAMP(3)", Some(C::Fraction(3))),
            ("TIMESTAMP(6)", "TIMESTAMP(6)", Some(C::Same)),
            ("TIMESTAMP(6)", "TIMESTAMP_LTZ(6)", None),
            ("TIMESTAMP_LTZ(0)", "TIMESTAMP_LTZ(3)", Some(C::Fraction(3))),
            ("TIMESTAMP_LTZ(6)", "TIMESTAMP(3)", Some(C::Local(3))),
            ("ARRAY<INT>", "ARRAY<BIGINT>", element(C::Widen)),
            ("ARRAY<BIGINT>", "ARRAY<INT>", None),
            ("ARRAY<INT>", "STRING", None),
            ("ARRAY<INT>", "INT", None),
        ] {
            let of = |text: &str| text.parse::<DataType>().unwrap().logical;
            assert_eq!(fit(&of(captured), &of(declared)).ok(), expected, "{captured} as {declared}");
        }
        let refused = fit(&LogicalType::BigInt, &LogicalType::Int).unwrap_err();
        assert_eq!(refused, "declare it BIGINT");
    }
}
