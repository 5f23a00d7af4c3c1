//! Types of PostgreSQL as types of captured columns.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use starweir_model::{DataType, LogicalType};

/// How NUMERIC and MONEY are given (`debezium.decimal.handling.mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DecimalMode {
    #[default]
    Precise,
    Double,
    String,
}

/// How BYTEA is given (`debezium.binary.handling.mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BinaryMode {
    #[default]
    Bytes,
    Base64,
    Base64UrlSafe,
    Hex,
}

/// How INTERVAL is given (`debezium.interval.handling.mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IntervalMode {
    /// Microseconds; a month counts 30.4375 days.
    #[default]
    Numeric,
    /// ISO 8601: `P1Y2M3DT4H5M6S`.
    String,
}

/// How HSTORE is given (`debezium.hstore.handling.mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HstoreMode {
    #[default]
    Json,
    Map,
}

/// Choices about types that apply to all columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TypeOptions {
    pub decimal: DecimalMode,
    pub binary: BinaryMode,
    pub interval: IntervalMode,
    pub hstore: HstoreMode,
}

/// What the text of a value is; which column it goes to follows from it and the [`TypeOptions`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    /// Total digits and scale; None when the type does not say.
    Numeric(Option<(i32, i32)>),
    Money,
    /// Everything that is given as the server writes it.
    Text,
    Bytea,
    Date,
    /// Digits of the fraction of a second.
    Time(u8),
    Timestamp(u8),
    TimestampTz(u8),
    Interval,
    /// Length; None for BIT VARYING without one.
    Bit(Option<u32>),
    VarBit(Option<u32>),
    Hstore,
    Array(Box<Kind>),
}

/// A type after domains are resolved.
pub type Resolved = Kind;

/// A row of `pg_type`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeRow {
    pub name: String,
    /// A domain's type.
    pub base: u32,
    pub base_modifier: i32,
    /// The element of an array type; zero for others.
    pub element: u32,
}

/// Types that the server has beside those that every server has.
#[derive(Debug, Clone, Default)]
pub struct Types {
    rows: HashMap<u32, TypeRow>,
}

impl Types {
    pub fn insert(&mut self, oid: u32, row: TypeRow) {
        self.rows.insert(oid, row);
    }

    /// Whether the type is one that every server has, or one that was looked up.
    pub fn knows(&self, oid: u32) -> bool {
        oid < FIRST_OF_USERS || self.rows.contains_key(&oid)
    }

    /// The kind of a column of this type. Unknown types are text.
    pub fn resolve(&self, oid: u32, modifier: i32) -> Kind {
        self.resolve_at(oid, modifier, 0)
    }

    fn resolve_at(&self, oid: u32, modifier: i32, depth: u8) -> Kind {
        if let Some(kind) = builtin(oid, modifier) {
            return kind;
        }
        if let Some(row) = self.rows.get(&oid).filter(|_| depth < 8) {
            if row.base != 0 {
                return self.resolve_at(row.base, row.base_modifier, depth + 1);
            }
            if row.element != 0 {
                return Kind::Array(Box::new(self.resolve_at(row.element, modifier, depth + 1)));
            }
            if row.name == "hstore" {
                return Kind::Hstore;
            }
        }
        Kind::Text
    }
}

/// Object ids from here on belong to users.
const FIRST_OF_USERS: u32 = 16_384;

/// Digits of the fraction of a second that a type modifier says: 6 when it says nothing.
pub fn precision_of(modifier: i32) -> u8 {
    u8::try_from(modifier).ok().filter(|p| *p <= 6).unwrap_or(6)
}

/// Types by the numbers that all servers share (`pg_type.dat`).
fn builtin(oid: u32, modifier: i32) -> Option<Kind> {
    let length = |modifier: i32| u32::try_from(modifier).ok();
    let array = |element: u32| builtin(element, modifier).map(|kind| Kind::Array(Box::new(kind)));
    Some(match oid {
        16 => Kind::Bool,
        21 => Kind::Int2,
        23 => Kind::Int4,
        20 | 26 => Kind::Int8,
        700 => Kind::Float4,
        701 => Kind::Float8,
        1700 => Kind::Numeric((modifier >= 4).then(|| {
            let modifier = modifier - 4;
            // The scale is a signed number of 11 bits.
            ((modifier >> 16) & 0xffff, ((modifier & 0x7ff) ^ 1024) - 1024)
        })),
        790 => Kind::Money,
        17 => Kind::Bytea,
        1082 => Kind::Date,
        1083 => Kind::Time(precision_of(modifier)),
        1114 => Kind::Timestamp(precision_of(modifier)),
        1184 => Kind::TimestampTz(precision_of(modifier)),
        1186 => Kind::Interval,
        1560 => Kind::Bit(length(modifier).or(Some(1))),
        1562 => Kind::VarBit(length(modifier)),
        1000 => array(16)?,
        1001 => array(17)?,
        1005 => array(21)?,
        1007 => array(23)?,
        1016 => array(20)?,
        1028 => array(26)?,
        1021 => array(700)?,
        1022 => array(701)?,
        1231 => array(1700)?,
        791 => array(790)?,
        1182 => array(1082)?,
        1183 => array(1083)?,
        1115 => array(1114)?,
        1185 => array(1184)?,
        1187 => array(1186)?,
        1561 => array(1560)?,
        1563 => array(1562)?,
        // char, name, text, json, xml, varchar, bpchar, inet, cidr, macaddr, macaddr8, timetz, uuid, jsonb, bpchar.
        1002 | 1003 | 1009 | 199 | 143 | 1015 | 1014 | 1041 | 651 | 1040 | 775 | 1270 | 2951 | 3807 => {
            Kind::Array(Box::new(Kind::Text))
        }
        _ => return None,
    })
}

/// NUMERIC(precision, scale) as Flink CDC gives it. The type that is used differs where this loses digits.
pub fn numeric(precision: i32, scale: i32, mode: DecimalMode) -> LogicalType {
    match mode {
        DecimalMode::Double => LogicalType::Double,
        DecimalMode::String => LogicalType::STRING,
        DecimalMode::Precise => fitting(precision, scale).unwrap_or(LogicalType::Decimal(38, 0)),
    }
}

/// The decimal that holds every number of NUMERIC(precision, scale).
fn fitting(precision: i32, scale: i32) -> Option<LogicalType> {
    // A negative scale means zeros before the point; one above the precision, zeros after it.
    let (digits, scale) = if scale < 0 { (precision - scale, 0) } else { (precision.max(scale), scale) };
    let (digits, scale) = (u8::try_from(digits).ok()?, u8::try_from(scale).ok()?);
    (1..=38).contains(&digits).then_some(LogicalType::Decimal(digits, scale))
}

pub fn money(scale: u8, mode: DecimalMode) -> LogicalType {
    match mode {
        DecimalMode::Precise => LogicalType::Decimal(38, scale),
        DecimalMode::Double => LogicalType::Double,
        DecimalMode::String => LogicalType::STRING,
    }
}

pub fn binary(mode: BinaryMode) -> LogicalType {
    if mode == BinaryMode::Bytes { LogicalType::BYTES } else { LogicalType::STRING }
}

pub fn interval(mode: IntervalMode) -> LogicalType {
    match mode {
        IntervalMode::Numeric => LogicalType::BigInt,
        IntervalMode::String => LogicalType::STRING,
    }
}

pub fn hstore(mode: HstoreMode) -> LogicalType {
    match mode {
        HstoreMode::Json => LogicalType::STRING,
        HstoreMode::Map => LogicalType::Map(
            Box::new(DataType::nullable(LogicalType::STRING)),
            Box::new(DataType::nullable(LogicalType::STRING)),
        ),
    }
}

impl Kind {
    /// The type of a captured column of this kind. A NUMERIC that no DECIMAL holds is STRING: Flink CDC makes it
    /// DECIMAL(38, 0) and loses the fraction.
    pub fn logical(&self, options: TypeOptions) -> LogicalType {
        match self {
            Self::Bool => LogicalType::Boolean,
            Self::Int2 => LogicalType::SmallInt,
            Self::Int4 => LogicalType::Int,
            Self::Int8 => LogicalType::BigInt,
            Self::Float4 => LogicalType::Float,
            Self::Float8 => LogicalType::Double,
            Self::Numeric(size) if options.decimal == DecimalMode::Precise => {
                size.and_then(|(precision, scale)| fitting(precision, scale)).unwrap_or(LogicalType::STRING)
            }
            Self::Numeric(size) => {
                let (precision, scale) = size.unwrap_or_default();
                numeric(precision, scale, options.decimal)
            }
            Self::Money => money(2, options.decimal),
            Self::Text => LogicalType::STRING,
            Self::Bytea => binary(options.binary),
            Self::Date => LogicalType::Date,
            Self::Time(precision) => LogicalType::Time(*precision),
            Self::Timestamp(precision) => LogicalType::Timestamp(*precision),
            Self::TimestampTz(precision) => LogicalType::TimestampLtz(*precision),
            Self::Interval => interval(options.interval),
            Self::Bit(Some(1)) => LogicalType::Boolean,
            Self::Bit(Some(length)) => LogicalType::Binary(*length),
            Self::VarBit(Some(length)) => LogicalType::VarBinary(*length),
            Self::Bit(None) | Self::VarBit(None) => LogicalType::BYTES,
            Self::Hstore => hstore(options.hstore),
            Self::Array(element) => LogicalType::Array(Box::new(DataType::nullable(element.logical(options)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_by_number_and_modifier() {
        let mut types = Types::default();
        types.insert(20_000, TypeRow { name: "price".into(), base: 1700, base_modifier: 655_366, element: 0 });
        types.insert(20_001, TypeRow { name: "_price".into(), base: 0, base_modifier: -1, element: 20_000 });
        types.insert(20_002, TypeRow { name: "hstore".into(), base: 0, base_modifier: -1, element: 0 });
        for (oid, modifier, expected) in [
            (23, -1, "INT"),
            (1700, -1, "STRING"),
            (1700, 655_366, "DECIMAL(10, 2)"),
            (1700, (5 << 16 | (-2 & 0x7ff)) + 4, "DECIMAL(7, 0)"),
            (1700, (2 << 16 | 5) + 4, "DECIMAL(5, 5)"),
            (1700, (50 << 16 | 5) + 4, "STRING"),
            (1083, 0, "TIME(0)"),
            (1114, -1, "TIMESTAMP(6)"),
            (1184, 3, "TIMESTAMP_LTZ(3)"),
            (1560, 1, "BOOLEAN"),
            (1560, 8, "BINARY(8)"),
            (1562, -1, "BYTES"),
            (1007, -1, "ARRAY<INT>"),
            (3802, -1, "STRING"),
            (20_000, -1, "DECIMAL(10, 2)"),
            (20_001, -1, "ARRAY<DECIMAL(10, 2)>"),
            (20_002, -1, "STRING"),
            (30_000, -1, "STRING"),
        ] {
            let logical = types.resolve(oid, modifier).logical(TypeOptions::default());
            assert_eq!(DataType::nullable(logical).to_string(), expected, "{oid} {modifier}");
        }
    }
}
