//! Flink SQL data types and the Arrow type each is held in.
//!
//! | Flink | Arrow |
//! |---|---|
//! | BOOLEAN | Boolean |
//! | TINYINT, SMALLINT, INT, BIGINT | Int8, Int16, Int32, Int64 |
//! | FLOAT, DOUBLE | Float32, Float64 |
//! | DECIMAL(p,s), p ≤ 38 | Decimal128(p,s) |
//! | CHAR(n), VARCHAR(n), STRING | Utf8 (lengths are checked by casts and sinks, not by the array) |
//! | BINARY(n), VARBINARY(n), BYTES | Binary |
//! | DATE | Date32 (days since 1970-01-01) |
//! | TIME(p) | Time32(Millisecond): Flink itself keeps milliseconds |
//! | TIMESTAMP(p), p ≤ 6 | Timestamp(Microsecond, no zone) |
//! | TIMESTAMP(p), p > 6 | Timestamp(Nanosecond, no zone): years 1678 to 2261 |
//! | TIMESTAMP_LTZ(p) | the same with zone "UTC" |
//! | INTERVAL YEAR TO MONTH | Interval(YearMonth) |
//! | INTERVAL DAY TO SECOND | Duration(Millisecond) |
//! | ARRAY, MAP, MULTISET, ROW | List, Map, Map with Int32 counts, Struct |
//! | NULL | Null |
//! | TIMESTAMP(p) WITH TIME ZONE, VARIANT | Utf8 (only in CDC pipelines; SQL scripts refuse them) |

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType as ArrowType, Field as ArrowField, Fields, IntervalUnit, TimeUnit};
use serde::{Deserialize, Serialize};

/// The longest VARCHAR or VARBINARY: `STRING` is `VARCHAR(2147483647)`, `BYTES` the same in bytes.
pub const LENGTH_MAX: u32 = 2_147_483_647;
/// The widest DECIMAL Flink knows.
pub const DECIMAL_PRECISION_MAX: u8 = 38;

/// A Flink data type: what it is and whether it may be NULL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DataType {
    pub logical: LogicalType,
    pub nullable: bool,
}

/// A Flink data type without its nullability.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LogicalType {
    Boolean,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Float,
    Double,
    /// Precision 1 to 38, scale 0 to precision.
    Decimal(u8, u8),
    /// Length in characters.
    Char(u32),
    /// Length in characters; [`LENGTH_MAX`] is STRING.
    VarChar(u32),
    /// Length in bytes.
    Binary(u32),
    /// Length in bytes; [`LENGTH_MAX`] is BYTES.
    VarBinary(u32),
    Date,
    /// Fractional digits 0 to 9; values are milliseconds.
    Time(u8),
    /// Fractional digits 0 to 9.
    Timestamp(u8),
    /// Fractional digits 0 to 9; an instant, shown in the session zone.
    TimestampLtz(u8),
    /// Fractional digits 0 to 9; local time with its own zone. CDC pipelines only.
    TimestampTz(u8),
    IntervalYearMonth,
    IntervalDayTime,
    Array(Box<DataType>),
    Map(Box<DataType>, Box<DataType>),
    Multiset(Box<DataType>),
    Row(Vec<Field>),
    /// A JSON value. CDC pipelines only.
    Variant,
    /// The type of the literal NULL.
    Null,
}

/// A named member of a ROW.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Field {
    pub name: String,
    pub data_type: DataType,
}

impl DataType {
    pub fn nullable(logical: LogicalType) -> Self {
        Self { logical, nullable: true }
    }

    pub fn not_null(logical: LogicalType) -> Self {
        Self { logical, nullable: false }
    }

    /// The unbounded character type.
    pub fn string() -> Self {
        Self::nullable(LogicalType::VarChar(LENGTH_MAX))
    }

    pub fn with_nullable(mut self, nullable: bool) -> Self {
        self.nullable = nullable;
        self
    }

    /// The Arrow type values of this type are held in.
    pub fn to_arrow(&self) -> ArrowType {
        self.logical.to_arrow()
    }

    /// An Arrow field of this name; nullability is kept.
    pub fn to_arrow_field(&self, name: &str) -> ArrowField {
        ArrowField::new(name, self.to_arrow(), self.nullable)
    }
}

impl LogicalType {
    pub const STRING: LogicalType = LogicalType::VarChar(LENGTH_MAX);
    pub const BYTES: LogicalType = LogicalType::VarBinary(LENGTH_MAX);

    /// See the table at the head of this module.
    pub fn to_arrow(&self) -> ArrowType {
        fn unit(precision: u8) -> TimeUnit {
            if precision <= 6 { TimeUnit::Microsecond } else { TimeUnit::Nanosecond }
        }
        fn map(key: &DataType, value: &DataType) -> ArrowType {
            let entries = Fields::from(vec![
                ArrowField::new("key", key.to_arrow(), false),
                ArrowField::new("value", value.to_arrow(), value.nullable),
            ]);
            ArrowType::Map(Arc::new(ArrowField::new("entries", ArrowType::Struct(entries), false)), false)
        }
        match self {
            Self::Boolean => ArrowType::Boolean,
            Self::TinyInt => ArrowType::Int8,
            Self::SmallInt => ArrowType::Int16,
            Self::Int => ArrowType::Int32,
            Self::BigInt => ArrowType::Int64,
            Self::Float => ArrowType::Float32,
            Self::Double => ArrowType::Float64,
            Self::Decimal(p, s) => ArrowType::Decimal128(*p, *s as i8),
            Self::Char(_) | Self::VarChar(_) => ArrowType::Utf8,
            Self::Binary(_) | Self::VarBinary(_) => ArrowType::Binary,
            Self::Date => ArrowType::Date32,
            Self::Time(_) => ArrowType::Time32(TimeUnit::Millisecond),
            Self::Timestamp(p) => ArrowType::Timestamp(unit(*p), None),
            Self::TimestampLtz(p) => ArrowType::Timestamp(unit(*p), Some("UTC".into())),
            Self::TimestampTz(_) | Self::Variant => ArrowType::Utf8,
            Self::IntervalYearMonth => ArrowType::Interval(IntervalUnit::YearMonth),
            Self::IntervalDayTime => ArrowType::Duration(TimeUnit::Millisecond),
            Self::Array(element) => ArrowType::List(Arc::new(element.to_arrow_field("item"))),
            Self::Map(key, value) => map(key, value),
            Self::Multiset(element) => map(element, &DataType::not_null(LogicalType::Int)),
            Self::Row(fields) => {
                ArrowType::Struct(fields.iter().map(|f| f.data_type.to_arrow_field(&f.name)).collect())
            }
            Self::Null => ArrowType::Null,
        }
    }

    pub fn is_integer(&self) -> bool {
        matches!(self, Self::TinyInt | Self::SmallInt | Self::Int | Self::BigInt)
    }

    pub fn is_numeric(&self) -> bool {
        self.is_integer() || matches!(self, Self::Float | Self::Double | Self::Decimal(..))
    }

    pub fn is_character(&self) -> bool {
        matches!(self, Self::Char(_) | Self::VarChar(_))
    }

    pub fn is_binary(&self) -> bool {
        matches!(self, Self::Binary(_) | Self::VarBinary(_))
    }
}

impl fmt::Display for DataType {
    /// Flink's own spelling, such as `DECIMAL(10, 2) NOT NULL`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.logical)?;
        if !self.nullable && self.logical != LogicalType::Null {
            f.write_str(" NOT NULL")?;
        }
        Ok(())
    }
}

impl fmt::Display for LogicalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::TinyInt => f.write_str("TINYINT"),
            Self::SmallInt => f.write_str("SMALLINT"),
            Self::Int => f.write_str("INT"),
            Self::BigInt => f.write_str("BIGINT"),
            Self::Float => f.write_str("FLOAT"),
            Self::Double => f.write_str("DOUBLE"),
            Self::Decimal(p, s) => write!(f, "DECIMAL({p}, {s})"),
            Self::Char(n) => write!(f, "CHAR({n})"),
            Self::VarChar(LENGTH_MAX) => f.write_str("STRING"),
            Self::VarChar(n) => write!(f, "VARCHAR({n})"),
            Self::Binary(n) => write!(f, "BINARY({n})"),
            Self::VarBinary(LENGTH_MAX) => f.write_str("BYTES"),
            Self::VarBinary(n) => write!(f, "VARBINARY({n})"),
            Self::Date => f.write_str("DATE"),
            Self::Time(p) => write!(f, "TIME({p})"),
            Self::Timestamp(p) => write!(f, "TIMESTAMP({p})"),
            Self::TimestampLtz(p) => write!(f, "TIMESTAMP_LTZ({p})"),
            Self::TimestampTz(p) => write!(f, "TIMESTAMP({p}) WITH TIME ZONE"),
            Self::Variant => f.write_str("VARIANT"),
            Self::IntervalYearMonth => f.write_str("INTERVAL YEAR TO MONTH"),
            Self::IntervalDayTime => f.write_str("INTERVAL DAY TO SECOND(3)"),
            Self::Array(element) => write!(f, "ARRAY<{element}>"),
            Self::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            Self::Multiset(element) => write!(f, "MULTISET<{element}>"),
            Self::Row(fields) => {
                f.write_str("ROW<")?;
                for (i, field) in fields.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "`{}` {}", field.name, field.data_type)?;
                }
                f.write_str(">")
            }
            Self::Null => f.write_str("NULL"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_print_as_flink_prints_them() {
        let row = LogicalType::Row(vec![Field {
            name: "a".into(),
            data_type: DataType::not_null(LogicalType::Decimal(10, 2)),
        }]);
        assert_eq!(row.to_string(), "ROW<`a` DECIMAL(10, 2) NOT NULL>");
        assert_eq!(DataType::string().to_string(), "STRING");
        assert_eq!(LogicalType::TimestampLtz(3).to_string(), "TIMESTAMP_LTZ(3)");
    }
}
