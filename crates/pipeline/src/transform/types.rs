//! Types of expressions, as Flink CDC's validator (Calcite) infers them.

use starweir_model::{DataType, LogicalType as L};

/// The longest VARBINARY the validator knows.
pub(super) const VARBINARY_MAX: u32 = 65_536;
/// Temporal types keep at most this many fractional digits (their values keep all).
const TEMPORAL_PRECISION_MAX: u8 = 3;

/// What depends on `transform.decimal.precision.mode`.
#[derive(Debug, Clone, Copy)]
pub(super) struct TypeSystem {
    pub precision_max: u8,
}

fn nullable(logical: L) -> DataType {
    DataType::nullable(logical)
}

impl TypeSystem {
    /// A column's type as expressions see it.
    pub fn of_column(&self, of: &DataType) -> DataType {
        DataType { logical: self.limited(&of.logical), nullable: of.nullable }
    }

    fn limited(&self, logical: &L) -> L {
        match logical {
            L::Decimal(p, s) => self.decimal(i32::from(*p), i32::from(*s)),
            L::Time(p) => L::Time((*p).min(TEMPORAL_PRECISION_MAX)),
            L::Timestamp(p) => L::Timestamp((*p).min(TEMPORAL_PRECISION_MAX)),
            L::TimestampLtz(p) => L::TimestampLtz((*p).min(TEMPORAL_PRECISION_MAX)),
            L::Binary(n) => L::Binary((*n).min(VARBINARY_MAX)),
            L::VarBinary(n) => L::VarBinary((*n).min(VARBINARY_MAX)),
            L::Array(element) => L::Array(Box::new(self.of_column(element))),
            L::Map(key, value) => L::Map(Box::new(self.of_column(key)), Box::new(self.of_column(value))),
            L::Row(fields) => L::Row(
                fields
                    .iter()
                    .map(|f| starweir_model::Field { name: f.name.clone(), data_type: self.of_column(&f.data_type) })
                    .collect(),
            ),
            other => other.clone(),
        }
    }

    /// DECIMAL(p, s) within the mode's limits.
    pub fn decimal(&self, precision: i32, scale: i32) -> L {
        let max = i32::from(self.precision_max);
        let precision = precision.clamp(1, max);
        L::Decimal(precision as u8, scale.clamp(0, precision) as u8)
    }

    /// Precision and scale of an exact number.
    pub fn exact(logical: &L) -> Option<(i32, i32)> {
        Some(match logical {
            L::TinyInt => (3, 0),
            L::SmallInt => (5, 0),
            L::Int => (10, 0),
            L::BigInt => (19, 0),
            L::Decimal(p, s) => (i32::from(*p), i32::from(*s)),
            _ => return None,
        })
    }

    /// The type of `left op right` for two numbers.
    pub fn arithmetic(&self, op: char, left: &L, right: &L) -> Option<L> {
        if op == '%' {
            return match (left, right) {
                (L::Decimal(..), _) | (_, L::Decimal(..)) => {
                    let ((p1, s1), (p2, s2)) = (Self::exact(left)?, Self::exact(right)?);
                    let scale = s1.max(s2);
                    Some(self.decimal((p1 - s1).min(p2 - s2) + scale, scale))
                }
                _ => Some(right.clone()),
            };
        }
        let decimals = matches!(left, L::Decimal(..)) || matches!(right, L::Decimal(..));
        if let (true, Some((p1, s1)), Some((p2, s2))) = (decimals, Self::exact(left), Self::exact(right)) {
            let max = i32::from(self.precision_max);
            return Some(match op {
                '+' | '-' => {
                    let scale = s1.max(s2);
                    self.decimal((p1 - s1).max(p2 - s2) + scale + 1, scale.min(max))
                }
                '*' => self.decimal(p1 + p2, (s1 + s2).min(max)),
                _ => {
                    let whole = (p1 - s1 + s2).min(max);
                    let scale = 6.max(s1 + p2 + 1).min(max - whole).min(max);
                    self.decimal(whole + scale, scale)
                }
            });
        }
        self.common_logical(left, right)
    }

    /// The narrowest type that holds both; None when there is none.
    pub fn common(&self, left: &DataType, right: &DataType) -> Option<DataType> {
        let nullable = left.nullable || right.nullable;
        Some(DataType { logical: self.common_logical(&left.logical, &right.logical)?, nullable })
    }

    fn common_logical(&self, left: &L, right: &L) -> Option<L> {
        if left == right {
            return Some(left.clone());
        }
        Some(match (left, right) {
            (L::Null, other) | (other, L::Null) => other.clone(),
            (L::Char(_) | L::VarChar(_), L::Char(_) | L::VarChar(_)) => L::STRING,
            (L::Binary(a) | L::VarBinary(a), L::Binary(b) | L::VarBinary(b)) => L::VarBinary((*a).max(*b)),
            (L::Double, other) | (other, L::Double) if other.is_numeric() => L::Double,
            (L::Float, L::Decimal(..)) | (L::Decimal(..), L::Float) => L::Double,
            (L::Float, other) | (other, L::Float) if other.is_numeric() => L::Float,
            (L::Decimal(..), _) | (_, L::Decimal(..)) => {
                let ((p1, s1), (p2, s2)) = (Self::exact(left)?, Self::exact(right)?);
                let max = i32::from(self.precision_max);
                let whole = (p1 - s1).max(p2 - s2).min(max);
                let scale = s1.max(s2).min(max - whole);
                self.decimal(whole + scale, scale)
            }
            (a, b) if a.is_integer() && b.is_integer() => {
                let wider = Self::exact(a)?.0 >= Self::exact(b)?.0;
                if wider { a.clone() } else { b.clone() }
            }
            (L::Time(a), L::Time(b)) => L::Time(*a.max(b)),
            (L::Timestamp(a), L::Timestamp(b)) => L::Timestamp(*a.max(b)),
            (L::TimestampLtz(a), L::TimestampLtz(b)) => L::TimestampLtz(*a.max(b)),
            (L::Timestamp(p), L::Date) | (L::Date, L::Timestamp(p)) => L::Timestamp(*p),
            (
                L::Timestamp(a) | L::TimestampLtz(a) | L::TimestampTz(a),
                L::Timestamp(b) | L::TimestampLtz(b) | L::TimestampTz(b),
            ) => L::Timestamp((*a.max(b)).min(TEMPORAL_PRECISION_MAX)),
            (L::Array(a), L::Array(b)) => L::Array(Box::new(self.common(a, b)?)),
            (L::Map(ka, va), L::Map(kb, vb)) => L::Map(Box::new(self.common(ka, kb)?), Box::new(self.common(va, vb)?)),
            (L::Row(a), L::Row(b)) if a.len() == b.len() => L::Row(
                a.iter()
                    .zip(b)
                    .map(|(a, b)| {
                        let data_type = self.common(&a.data_type, &b.data_type)?;
                        Some(starweir_model::Field { name: a.name.clone(), data_type })
                    })
                    .collect::<Option<_>>()?,
            ),
            _ => return None,
        })
    }

    /// [`TypeSystem::common`] of any number of types; characters win over what else there is, as the validator's
    /// coercion has it.
    pub fn common_of<'a>(&self, types: impl IntoIterator<Item = &'a DataType>) -> Option<DataType> {
        let types: Vec<&DataType> = types.into_iter().collect();
        let mut common: Option<DataType> = None;
        for of in &types {
            common = Some(match common {
                None => (*of).clone(),
                Some(so_far) => match self.common(&so_far, of) {
                    Some(wider) => wider,
                    None if types.iter().any(|t| t.logical.is_character())
                        && types.iter().all(|t| is_atomic(&t.logical)) =>
                    {
                        DataType::string()
                    }
                    None => return None,
                },
            });
        }
        common
    }
}

/// Neither a collection nor a variant.
pub(super) fn is_atomic(logical: &L) -> bool {
    !matches!(logical, L::Array(_) | L::Map(..) | L::Multiset(_) | L::Row(_) | L::Variant)
}

pub(super) fn is_temporal(logical: &L) -> bool {
    matches!(logical, L::Date | L::Time(_)) || is_timestamp(logical)
}

pub(super) fn is_timestamp(logical: &L) -> bool {
    matches!(logical, L::Timestamp(_) | L::TimestampLtz(_) | L::TimestampTz(_))
}

/// The type of the column an expression becomes: characters have no length, everything may be NULL.
pub(super) fn as_column(of: &DataType) -> DataType {
    nullable(match &of.logical {
        L::Char(_) | L::VarChar(_) | L::Null => L::STRING,
        L::Array(element) => L::Array(Box::new(as_column(element))),
        L::Map(key, value) => L::Map(Box::new(as_column(key)), Box::new(as_column(value))),
        L::Row(fields) => L::Row(
            fields
                .iter()
                .map(|f| starweir_model::Field { name: f.name.clone(), data_type: as_column(&f.data_type) })
                .collect(),
        ),
        other => other.clone(),
    })
}

/// The type in the words of the validator's messages: `VARCHAR(17)`, `INTEGER ARRAY`.
pub(super) fn digest(logical: &L) -> String {
    match logical {
        L::Int => "INTEGER".to_owned(),
        L::VarChar(n) => format!("VARCHAR({n})"),
        L::VarBinary(n) => format!("VARBINARY({n})"),
        L::TimestampLtz(p) => format!("TIMESTAMP_WITH_LOCAL_TIME_ZONE({p})"),
        L::TimestampTz(p) => format!("TIMESTAMP({p})"),
        L::IntervalDayTime => "INTERVAL DAY TO SECOND".to_owned(),
        L::Array(element) => format!("{} ARRAY", digest(&element.logical)),
        L::Map(key, value) => format!("({}, {}) MAP", digest(&key.logical), digest(&value.logical)),
        L::Row(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|f| format!("{} {}", digest(&f.data_type.logical), f.name)).collect();
            format!("RECORDTYPE({})", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// The family of a type, as "No match found for function signature" names it.
pub(super) fn family(logical: &L) -> String {
    let name = match logical {
        L::TinyInt | L::SmallInt | L::Int | L::BigInt | L::Float | L::Double | L::Decimal(..) => "NUMERIC",
        L::Char(_) | L::VarChar(_) => "CHARACTER",
        L::Binary(_) | L::VarBinary(_) => "BINARY",
        L::Timestamp(_) | L::TimestampLtz(_) | L::TimestampTz(_) => "TIMESTAMP",
        L::Time(_) => "TIME",
        L::IntervalDayTime => "INTERVAL_DAY_TIME",
        L::IntervalYearMonth => "INTERVAL_YEAR_MONTH",
        other => return digest(other),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> DataType {
        text.parse().unwrap()
    }

    #[test]
    fn arithmetic_types_follow_the_precision_mode() {
        for (max, left, op, right, expected) in [
            (19, "DECIMAL(10, 0)", '+', "DECIMAL(1, 0)", "DECIMAL(11, 0)"),
            (19, "DECIMAL(20, 2)", '+', "DECIMAL(1, 0)", "DECIMAL(19, 2)"),
            (38, "DECIMAL(20, 2)", '-', "DECIMAL(1, 0)", "DECIMAL(21, 2)"),
            (38, "DECIMAL(20, 2)", '*', "DECIMAL(1, 0)", "DECIMAL(21, 2)"),
            (19, "DECIMAL(10, 0)", '/', "DECIMAL(1, 0)", "DECIMAL(16, 6)"),
            (19, "DECIMAL(20, 2)", '/', "DECIMAL(1, 0)", "DECIMAL(19, 2)"),
            (38, "DECIMAL(20, 2)", '/', "DECIMAL(1, 0)", "DECIMAL(24, 6)"),
            (19, "TINYINT", '/', "INT", "INT"),
            (19, "FLOAT", '/', "INT", "FLOAT"),
            (19, "BIGINT", '%', "INT", "INT"),
            (19, "DOUBLE", '/', "DECIMAL(2, 1)", "DOUBLE"),
        ] {
            let types = TypeSystem { precision_max: max };
            let (left, right) = (types.of_column(&of(left)), types.of_column(&of(right)));
            let result = types.arithmetic(op, &left.logical, &right.logical).unwrap();
            assert_eq!(result.to_string(), expected, "{left} {op} {right}");
        }
    }

    #[test]
    fn common_types_widen() {
        let types = TypeSystem { precision_max: 19 };
        for (given, expected) in [
            (vec!["CHAR(2)", "CHAR(3)"], Some("STRING")),
            (vec!["INT", "BIGINT"], Some("BIGINT")),
            (vec!["INT", "DECIMAL(4, 2)"], Some("DECIMAL(12, 2)")),
            (vec!["INT", "STRING"], Some("STRING")),
            (vec!["ARRAY<INT>", "ARRAY<BIGINT>"], Some("ARRAY<BIGINT>")),
            (vec!["INT", "ARRAY<INT>"], None),
            (vec!["BOOLEAN", "INT"], None),
        ] {
            let given: Vec<DataType> = given.into_iter().map(of).collect();
            assert_eq!(types.common_of(&given).map(|t| t.to_string()).as_deref(), expected);
        }
    }
}
