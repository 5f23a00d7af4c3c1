//! StarRocks data types, their Arrow form and their spellings.
//!
//! | StarRocks | Arrow |
//! |---|---|
//! | BOOLEAN, TINYINT … BIGINT, FLOAT, DOUBLE | the same widths |
//! | LARGEINT | Decimal128(38, 0), marked in the field's metadata |
//! | DECIMAL(p,s) | Decimal128 up to 38 digits, Decimal256 above |
//! | CHAR, VARCHAR | Utf8 (the length is in bytes and checked on load) |
//! | JSON | Utf8, marked |
//! | VARBINARY | Binary; BITMAP, HLL, PERCENTILE: Binary, marked |
//! | DATE, DATETIME | Date32, Timestamp(Microsecond, no zone) |
//! | ARRAY, MAP, STRUCT | List, Map, Struct |
//!
//! The mark is the metadata key [`MARK`]; it travels through plans with the field.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use serde::{Deserialize, Serialize};

/// Metadata key that tells types apart which share an Arrow type.
pub const MARK: &str = "starrocks";

/// The length of STRING: `varchar(65533)`.
pub const STRING_LENGTH: u32 = 65533;
/// The longest VARCHAR in bytes.
pub const VARCHAR_MAX: u32 = 1_048_576;

/// A StarRocks type without nullability.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SqlType {
    Boolean,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    LargeInt,
    Float,
    Double,
    /// Precision 1 to 76 and scale.
    Decimal(u8, u8),
    /// Length in bytes.
    Char(u32),
    /// Length in bytes.
    Varchar(u32),
    Varbinary,
    Date,
    DateTime,
    Json,
    Bitmap,
    Hll,
    Percentile,
    Array(Box<SqlType>),
    Map(Box<SqlType>, Box<SqlType>),
    Struct(Vec<(String, SqlType)>),
    Null,
}

impl SqlType {
    pub const STRING: SqlType = SqlType::Varchar(STRING_LENGTH);

    pub fn arrow(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::TinyInt => DataType::Int8,
            Self::SmallInt => DataType::Int16,
            Self::Int => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::LargeInt => DataType::Decimal128(38, 0),
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Decimal(p, s) if *p <= 38 => DataType::Decimal128(*p, *s as i8),
            Self::Decimal(p, s) => DataType::Decimal256(*p, *s as i8),
            Self::Char(_) | Self::Varchar(_) | Self::Json => DataType::Utf8,
            Self::Varbinary | Self::Bitmap | Self::Hll | Self::Percentile => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::DateTime => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Array(e) => DataType::List(Arc::new(e.inner_field("item", true))),
            Self::Map(k, v) => DataType::Map(
                Arc::new(Field::new(
                    "entries",
                    DataType::Struct(vec![k.inner_field("key", false), v.inner_field("value", true)].into()),
                    false,
                )),
                false,
            ),
            Self::Struct(fields) => {
                DataType::Struct(fields.iter().map(|(n, t)| t.inner_field(n, true)).collect::<Vec<_>>().into())
            }
            Self::Null => DataType::Null,
        }
    }

    /// An Arrow field, marked where the Arrow type alone would not say it.
    pub fn field(&self, name: &str, nullable: bool) -> Field {
        let field = Field::new(name, self.arrow(), nullable);
        match self.mark() {
            Some(mark) => field.with_metadata(HashMap::from([(MARK.to_string(), mark)])),
            None => field,
        }
    }

    /// A field inside of a nested type. Only what changes a value's meaning is marked: lengths and
    /// the like get lost in expressions, and two nested types must then still be equal.
    pub fn inner_field(&self, name: &str, nullable: bool) -> Field {
        match self {
            Self::Json | Self::Bitmap | Self::Hll | Self::Percentile => self.field(name, nullable),
            _ => Field::new(name, self.arrow(), nullable),
        }
    }

    fn mark(&self) -> Option<String> {
        match self {
            Self::LargeInt => Some("largeint".into()),
            Self::Json => Some("json".into()),
            Self::Bitmap => Some("bitmap".into()),
            Self::Hll => Some("hll".into()),
            Self::Percentile => Some("percentile".into()),
            Self::Char(n) => Some(format!("char:{n}")),
            Self::Varchar(n) if *n != STRING_LENGTH => Some(format!("varchar:{n}")),
            _ => None,
        }
    }

    pub fn of_field(field: &Field) -> SqlType {
        if let Some(mark) = field.metadata().get(MARK) {
            match (mark.as_str(), field.data_type()) {
                ("largeint", DataType::Decimal128(_, 0)) => return Self::LargeInt,
                ("json", DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => return Self::Json,
                ("bitmap", DataType::Binary) => return Self::Bitmap,
                ("hll", DataType::Binary) => return Self::Hll,
                ("percentile", DataType::Binary) => return Self::Percentile,
                (other, DataType::Utf8) => match other.split_once(':').map(|(k, n)| (k, n.parse::<u32>())) {
                    Some(("char", Ok(n))) => return Self::Char(n),
                    Some(("varchar", Ok(n))) => return Self::Varchar(n),
                    _ => {}
                },
                _ => {}
            }
        }
        Self::of_arrow(field.data_type())
    }

    /// The type an unmarked Arrow type stands for.
    pub fn of_arrow(data_type: &DataType) -> SqlType {
        match data_type {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Boolean,
            DataType::Int8 => Self::TinyInt,
            DataType::Int16 | DataType::UInt8 => Self::SmallInt,
            DataType::Int32 | DataType::UInt16 => Self::Int,
            DataType::Int64 | DataType::UInt32 | DataType::UInt64 => Self::BigInt,
            DataType::Float16 | DataType::Float32 => Self::Float,
            DataType::Float64 => Self::Double,
            DataType::Decimal32(p, s)
            | DataType::Decimal64(p, s)
            | DataType::Decimal128(p, s)
            | DataType::Decimal256(p, s) => Self::Decimal(*p, (*s).max(0) as u8),
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Timestamp(..) => Self::DateTime,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                Self::Varbinary
            }
            DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) => {
                Self::Array(Box::new(Self::of_field(f)))
            }
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(kv) if kv.len() == 2 => {
                    Self::Map(Box::new(Self::of_field(&kv[0])), Box::new(Self::of_field(&kv[1])))
                }
                _ => Self::STRING,
            },
            DataType::Struct(fields) => {
                Self::Struct(fields.iter().map(|f| (f.name().clone(), Self::of_field(f))).collect())
            }
            DataType::Dictionary(_, v) => Self::of_arrow(v),
            _ => Self::STRING,
        }
    }

    /// As SHOW CREATE TABLE and DESC print it: `int(11)`, `decimal(10, 2)`.
    pub fn ddl(&self) -> String {
        match self {
            Self::Boolean => "boolean".into(),
            Self::TinyInt => "tinyint(4)".into(),
            Self::SmallInt => "smallint(6)".into(),
            Self::Int => "int(11)".into(),
            Self::BigInt => "bigint(20)".into(),
            Self::LargeInt => "largeint(40)".into(),
            Self::Float => "float".into(),
            Self::Double => "double".into(),
            Self::Decimal(p, s) => format!("decimal({p}, {s})"),
            Self::Char(n) => format!("char({n})"),
            Self::Varchar(n) => format!("varchar({n})"),
            Self::Varbinary => "varbinary".into(),
            Self::Date => "date".into(),
            Self::DateTime => "datetime".into(),
            Self::Json => "json".into(),
            Self::Bitmap => "bitmap".into(),
            Self::Hll => "hll".into(),
            Self::Percentile => "percentile".into(),
            Self::Array(e) => format!("array<{}>", e.ddl()),
            Self::Map(k, v) => format!("map<{},{}>", k.ddl(), v.ddl()),
            Self::Struct(f) => {
                let inner: Vec<_> = f.iter().map(|(n, t)| format!("{n} {}", t.ddl())).collect();
                format!("struct<{}>", inner.join(", "))
            }
            Self::Null => "null_type".into(),
        }
    }

    /// As messages of StarRocks print it: `INT`, `VARCHAR(10)`, `DECIMAL64(10,2)`.
    pub fn message(&self) -> String {
        match self {
            Self::Decimal(p, s) => {
                let width = if *p <= 9 {
                    32
                } else if *p <= 18 {
                    64
                } else if *p <= 38 {
                    128
                } else {
                    256
                };
                format!("DECIMAL{width}({p},{s})")
            }
            Self::Array(e) => format!("ARRAY<{}>", e.message()),
            Self::Map(k, v) => format!("MAP<{},{}>", k.message(), v.message()),
            Self::Struct(f) => {
                let inner: Vec<_> = f.iter().map(|(n, t)| format!("{n} {}", t.message())).collect();
                format!("STRUCT<{}>", inner.join(", "))
            }
            Self::Char(_) => "CHAR".into(),
            Self::Varchar(_) => "VARCHAR".into(),
            other => other.ddl().split('(').next().unwrap_or_default().to_uppercase(),
        }
    }

    /// As a function's signature in an error shows it: `array<tinyint(4)>`, `DECIMAL64(16,3)`.
    pub fn signature(&self) -> String {
        match self {
            Self::Decimal(..) => self.message(),
            Self::Array(e) => format!("array<{}>", e.signature()),
            Self::Map(k, v) => format!("map<{},{}>", k.signature(), v.signature()),
            Self::Struct(f) => {
                let inner: Vec<_> = f.iter().map(|(n, t)| format!("{n} {}", t.signature())).collect();
                format!("struct<{}>", inner.join(", "))
            }
            other => other.ddl(),
        }
    }

    /// `typeof(x)` of the value's type.
    pub fn type_of(&self) -> String {
        match self {
            Self::Decimal(..) => self.message().to_lowercase(),
            Self::Varchar(_) | Self::Char(_) => "varchar".into(),
            Self::Null => "boolean".into(),
            other => other.ddl().split('(').next().unwrap_or_default().to_string(),
        }
    }

    /// `information_schema.columns.DATA_TYPE`.
    pub fn data_type_name(&self) -> String {
        match self {
            Self::Boolean => "tinyint".into(),
            Self::LargeInt => "bigint unsigned".into(),
            Self::Array(_) => "array".into(),
            Self::Map(..) => "map".into(),
            Self::Struct(_) => "struct".into(),
            other => other.ddl().split('(').next().unwrap_or_default().to_string(),
        }
    }

    /// `information_schema.columns.COLUMN_TYPE`.
    pub fn column_type_name(&self) -> String {
        match self {
            Self::Boolean => "tinyint(1)".into(),
            Self::LargeInt => "bigint(20) unsigned".into(),
            other => other.ddl(),
        }
    }

    /// `COLUMN_SIZE` and `DECIMAL_DIGITS` of `information_schema.columns`.
    pub fn size_and_digits(&self) -> (Option<i64>, Option<i64>) {
        match self {
            Self::Boolean => (None, Some(0)),
            Self::TinyInt => (Some(3), Some(0)),
            Self::SmallInt => (Some(5), Some(0)),
            Self::Int => (Some(10), Some(0)),
            Self::BigInt => (Some(19), Some(0)),
            Self::LargeInt => (Some(39), None),
            Self::Float => (Some(7), Some(7)),
            Self::Double => (Some(15), Some(15)),
            Self::Decimal(p, s) => (Some(i64::from(*p)), Some(i64::from(*s))),
            Self::Char(n) | Self::Varchar(n) => (Some(i64::from(*n)), None),
            _ => (None, None),
        }
    }

    /// The smallest type an integer fits in, as a number in a statement has it.
    pub fn of_integer(v: &crate::value::Value) -> Option<SqlType> {
        let crate::value::Value::Int(v) = v else { return None };
        Some(if i8::try_from(*v).is_ok() {
            Self::TinyInt
        } else if i16::try_from(*v).is_ok() {
            Self::SmallInt
        } else if i32::try_from(*v).is_ok() {
            Self::Int
        } else if i64::try_from(*v).is_ok() {
            Self::BigInt
        } else {
            Self::LargeInt
        })
    }

    pub fn is_integer(&self) -> bool {
        matches!(self, Self::TinyInt | Self::SmallInt | Self::Int | Self::BigInt | Self::LargeInt)
    }

    pub fn is_numeric(&self) -> bool {
        self.is_integer() || matches!(self, Self::Float | Self::Double | Self::Decimal(..) | Self::Boolean)
    }

    pub fn is_text(&self) -> bool {
        matches!(self, Self::Char(_) | Self::Varchar(_))
    }

    pub fn is_nested(&self) -> bool {
        matches!(self, Self::Array(_) | Self::Map(..) | Self::Struct(_))
    }

    /// Types a primary key column may have.
    pub fn fits_primary_key(&self) -> bool {
        matches!(
            self,
            Self::Boolean
                | Self::TinyInt
                | Self::SmallInt
                | Self::Int
                | Self::BigInt
                | Self::LargeInt
                | Self::Varchar(_)
                | Self::Date
                | Self::DateTime
        )
    }

    /// Types whose minimum and maximum the store keeps as one i64 per segment.
    pub fn fits_zone_map(&self) -> bool {
        matches!(self, Self::TinyInt | Self::SmallInt | Self::Int | Self::BigInt | Self::Date | Self::DateTime)
    }
}

/// Fields of a schema, by StarRocks type.
pub fn field_ref(name: &str, sql_type: &SqlType, nullable: bool) -> FieldRef {
    Arc::new(sql_type.field(name, nullable))
}
