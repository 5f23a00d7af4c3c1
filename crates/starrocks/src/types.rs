//! StarRocks types, and which Flink type goes into which.
//!
//! | Flink | StarRocks | what is lost |
//! |---|---|---|
//! | BOOLEAN, TINYINT … BIGINT, FLOAT, DOUBLE, DECIMAL | the same | |
//! | CHAR(n), VARCHAR(n) | CHAR or VARCHAR of 4 n bytes | |
//! | STRING | VARCHAR(1048576) | rows longer than 1 MiB are refused |
//! | BINARY(n), VARBINARY(n), BYTES | VARBINARY | |
//! | DATE, TIMESTAMP(p ≤ 6) | DATE, DATETIME | |
//! | TIMESTAMP(p > 6) | DATETIME | digits after the microsecond |
//! | TIMESTAMP_LTZ | DATETIME | the instant: wall-clock time of the session zone is stored |
//! | TIME(p) | VARCHAR | the type |
//! | ARRAY, MAP, ROW, MULTISET | ARRAY, MAP, STRUCT, MAP of INT | |
//! | INTERVAL | BIGINT | the unit: months, or milliseconds |

use std::fmt;

use starweir_model::{DataType, Field, LogicalType};

/// The longest VARCHAR, in bytes.
pub const VARCHAR_BYTES_MAX: u32 = 1_048_576;
/// The longest CHAR, in bytes.
pub const CHAR_BYTES_MAX: u32 = 255;
/// UTF-8 takes at most this many bytes per character; StarRocks counts bytes, Flink characters.
const BYTES_PER_CHARACTER: u32 = 4;

/// A column type of StarRocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StarRocksType {
    Boolean,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    /// 128 bits.
    LargeInt,
    Float,
    Double,
    Decimal(u8, u8),
    /// Length in bytes.
    Char(u32),
    /// Length in bytes.
    Varchar(u32),
    Date,
    DateTime,
    Json,
    Varbinary,
    Array(Box<StarRocksType>),
    Map(Box<StarRocksType>, Box<StarRocksType>),
    Struct(Vec<(String, StarRocksType)>),
    /// HLL, BITMAP, PERCENTILE and what newer versions bring.
    Other(String),
}

impl fmt::Display for StarRocksType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::TinyInt => f.write_str("TINYINT"),
            Self::SmallInt => f.write_str("SMALLINT"),
            Self::Int => f.write_str("INT"),
            Self::BigInt => f.write_str("BIGINT"),
            Self::LargeInt => f.write_str("LARGEINT"),
            Self::Float => f.write_str("FLOAT"),
            Self::Double => f.write_str("DOUBLE"),
            Self::Decimal(p, s) => write!(f, "DECIMAL({p}, {s})"),
            Self::Char(n) => write!(f, "CHAR({n})"),
            Self::Varchar(n) => write!(f, "VARCHAR({n})"),
            Self::Date => f.write_str("DATE"),
            Self::DateTime => f.write_str("DATETIME"),
            Self::Json => f.write_str("JSON"),
            Self::Varbinary => f.write_str("VARBINARY"),
            Self::Array(item) => write!(f, "ARRAY<{item}>"),
            Self::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            Self::Struct(fields) => {
                f.write_str("STRUCT<")?;
                for (i, (name, field)) in fields.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{} {field}", crate::ddl::quoted(name))?;
                }
                f.write_str(">")
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl StarRocksType {
    /// Reads a type as written in DDL or in `COLUMN_TYPE`: `varchar(20)`, `decimal(10, 2)`, `tinyint(1)`,
    /// `bigint(20) unsigned`, `array<int(11)>`, `struct<a int, b varchar(3)>`.
    pub fn parse(text: &str) -> Self {
        let mut reader = Reader { rest: text };
        match reader.data_type(0) {
            Some(found) if reader.rest.trim().is_empty() => found,
            _ => Self::Other(text.trim().to_owned()),
        }
    }

    /// The type in a row of `information_schema.columns`. BOOLEAN is told from TINYINT only by its missing size.
    pub fn from_information_schema(data_type: &str, column_type: &str, column_size: Option<u64>) -> Self {
        match data_type.trim().to_ascii_lowercase().as_str() {
            "tinyint" if column_size.is_none() => Self::Boolean,
            "tinyint" => Self::TinyInt,
            _ if column_type.trim().is_empty() => Self::parse(data_type),
            _ => Self::parse(column_type),
        }
    }

    /// The Flink type that reads a column of this type, and what is lost.
    pub fn flink_type(&self) -> LogicalType {
        let nullable = |t: &Self| DataType::nullable(t.flink_type());
        match self {
            Self::Boolean => LogicalType::Boolean,
            Self::TinyInt => LogicalType::TinyInt,
            Self::SmallInt => LogicalType::SmallInt,
            Self::Int => LogicalType::Int,
            Self::BigInt => LogicalType::BigInt,
            // 39 digits do not fit DECIMAL(38, 0); Flink's catalog reads it as text too.
            Self::LargeInt => LogicalType::STRING,
            Self::Float => LogicalType::Float,
            Self::Double => LogicalType::Double,
            Self::Decimal(p, s) => LogicalType::Decimal((*p).min(38), *s),
            Self::Char(n) => LogicalType::Char(*n),
            Self::Varchar(n) if *n >= 65_533 => LogicalType::STRING,
            Self::Varchar(n) => LogicalType::VarChar(*n),
            Self::Date => LogicalType::Date,
            Self::DateTime => LogicalType::Timestamp(6),
            Self::Json | Self::Other(_) => LogicalType::STRING,
            Self::Varbinary => LogicalType::BYTES,
            Self::Array(item) => LogicalType::Array(Box::new(nullable(item))),
            Self::Map(key, value) => {
                LogicalType::Map(Box::new(nullable(key).with_nullable(false)), Box::new(nullable(value)))
            }
            Self::Struct(fields) => LogicalType::Row(
                fields.iter().map(|(name, t)| Field { name: name.clone(), data_type: nullable(t) }).collect(),
            ),
        }
    }

    /// Whether a primary-key table may have it in its key.
    pub fn can_be_key(&self) -> bool {
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
}

/// A small recursive reader of type texts.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        if let Some(inner) = self.rest.strip_prefix('`')
            && let Some(end) = inner.find('`')
        {
            self.rest = &inner[end + 1..];
            return &inner[..end];
        }
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn take(&mut self, mark: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Numbers in parentheses, if any.
    fn numbers(&mut self) -> Option<Vec<u32>> {
        let mut numbers = Vec::new();
        if !self.take('(') {
            return Some(numbers);
        }
        loop {
            numbers.push(self.word().parse().ok()?);
            if self.take(',') {
                continue;
            }
            return self.take(')').then_some(numbers);
        }
    }

    fn data_type(&mut self, depth: usize) -> Option<StarRocksType> {
        if depth > 16 {
            return None;
        }
        let name = self.word().to_ascii_lowercase();
        if self.take('<') {
            let found = match name.as_str() {
                "array" => StarRocksType::Array(Box::new(self.data_type(depth + 1)?)),
                "map" => {
                    let key = self.data_type(depth + 1)?;
                    if !self.take(',') {
                        return None;
                    }
                    StarRocksType::Map(Box::new(key), Box::new(self.data_type(depth + 1)?))
                }
                "struct" => {
                    let mut fields = Vec::new();
                    loop {
                        let field = self.word().to_owned();
                        self.take(':');
                        fields.push((field, self.data_type(depth + 1)?));
                        if !self.take(',') {
                            break;
                        }
                    }
                    StarRocksType::Struct(fields)
                }
                _ => return None,
            };
            return self.take('>').then_some(found);
        }
        let numbers = self.numbers()?;
        let first = numbers.first().copied();
        let unsigned = {
            let before = self.rest;
            let unsigned = self.word().eq_ignore_ascii_case("unsigned");
            if !unsigned {
                self.rest = before;
            }
            unsigned
        };
        Some(match name.as_str() {
            "boolean" | "bool" => StarRocksType::Boolean,
            "tinyint" if first == Some(1) => StarRocksType::Boolean,
            "tinyint" => StarRocksType::TinyInt,
            "smallint" => StarRocksType::SmallInt,
            "int" | "integer" => StarRocksType::Int,
            "bigint" if unsigned => StarRocksType::LargeInt,
            "bigint" => StarRocksType::BigInt,
            "largeint" => StarRocksType::LargeInt,
            "float" => StarRocksType::Float,
            "double" => StarRocksType::Double,
            "decimal" | "decimalv2" | "decimal32" | "decimal64" | "decimal128" | "decimalv3" | "numeric" => {
                let precision = first.unwrap_or(10).min(76) as u8;
                StarRocksType::Decimal(precision, numbers.get(1).copied().unwrap_or(0).min(precision as u32) as u8)
            }
            "char" | "character" => StarRocksType::Char(first.unwrap_or(1)),
            "varchar" => StarRocksType::Varchar(first.unwrap_or(1)),
            "string" | "text" => StarRocksType::Varchar(65_533),
            "date" => StarRocksType::Date,
            "datetime" | "timestamp" => StarRocksType::DateTime,
            "json" => StarRocksType::Json,
            "varbinary" | "binary" => StarRocksType::Varbinary,
            _ => return None,
        })
    }
}

/// The StarRocks type for a new column of a Flink type, and what is lost, if anything.
pub fn target_type(data_type: &DataType) -> (StarRocksType, Option<&'static str>) {
    use StarRocksType as S;
    let inner = |t: &DataType| target_type(t);
    match &data_type.logical {
        LogicalType::Boolean => (S::Boolean, None),
        LogicalType::TinyInt => (S::TinyInt, None),
        LogicalType::SmallInt => (S::SmallInt, None),
        LogicalType::Int => (S::Int, None),
        LogicalType::BigInt => (S::BigInt, None),
        LogicalType::Float => (S::Float, None),
        LogicalType::Double => (S::Double, None),
        LogicalType::Decimal(p, s) => (S::Decimal(*p, *s), None),
        LogicalType::Char(n) if n.saturating_mul(BYTES_PER_CHARACTER) <= CHAR_BYTES_MAX => {
            (S::Char((n * BYTES_PER_CHARACTER).max(1)), None)
        }
        LogicalType::Char(n) | LogicalType::VarChar(n) => {
            let bytes = n.saturating_mul(BYTES_PER_CHARACTER).max(1);
            let loss = (bytes > VARCHAR_BYTES_MAX && *n < starweir_model::types::LENGTH_MAX)
                .then_some("texts longer than 1048576 bytes are refused");
            (S::Varchar(bytes.min(VARCHAR_BYTES_MAX)), loss)
        }
        LogicalType::Binary(_) | LogicalType::VarBinary(_) => (S::Varbinary, None),
        LogicalType::Date => (S::Date, None),
        LogicalType::Time(p) => {
            let length = if *p == 0 { 8 } else { 9 + *p as u32 };
            (S::Varchar(length), Some("StarRocks has no TIME: it is stored as text"))
        }
        LogicalType::Timestamp(p) => (S::DateTime, (*p > 6).then_some("digits after the microsecond are cut off")),
        LogicalType::TimestampLtz(p) if *p > 6 => {
            (S::DateTime, Some("the instant is stored as wall-clock time of the session zone, cut to microseconds"))
        }
        LogicalType::TimestampLtz(_) => {
            (S::DateTime, Some("the instant is stored as wall-clock time of the session zone"))
        }
        LogicalType::IntervalYearMonth => (S::BigInt, Some("the interval is stored as its number of months")),
        LogicalType::IntervalDayTime => (S::BigInt, Some("the interval is stored as its number of milliseconds")),
        LogicalType::Array(item) => {
            let (item, loss) = inner(item);
            (S::Array(Box::new(item)), loss)
        }
        LogicalType::Map(key, value) => {
            let ((key, key_loss), (value, value_loss)) = (inner(key), inner(value));
            (S::Map(Box::new(key), Box::new(value)), key_loss.or(value_loss))
        }
        LogicalType::Multiset(element) => {
            let (element, loss) = inner(element);
            (S::Map(Box::new(element), Box::new(S::Int)), loss)
        }
        LogicalType::Row(fields) => {
            let mut loss = None;
            let fields = fields
                .iter()
                .map(|f| {
                    let (t, lost) = inner(&f.data_type);
                    loss = loss.or(lost);
                    (f.name.clone(), t)
                })
                .collect();
            (S::Struct(fields), loss)
        }
        LogicalType::TimestampTz(_) => (S::Varchar(64), Some("the zoned time is stored as text")),
        LogicalType::Variant => (S::Json, None),
        LogicalType::Null => (S::Varchar(1), Some("the column can hold nothing but NULL")),
    }
}

/// The type for a key column of a new table: what cannot be a key is stored as text. None when there is none.
pub fn key_type(data_type: &DataType) -> Option<(StarRocksType, Option<&'static str>)> {
    let (target, loss) = target_type(data_type);
    match target {
        StarRocksType::Decimal(p, s) => {
            let length = p as u32 + if s == 0 { 1 } else { 2 };
            Some((StarRocksType::Varchar(length), Some("a key cannot be DECIMAL: it is stored as text")))
        }
        StarRocksType::Char(n) => Some((StarRocksType::Varchar(n), None)),
        target if target.can_be_key() => Some((target, loss)),
        _ => None,
    }
}

/// Whether values of a Flink type can be loaded into a column of a StarRocks type; the reason when not.
///
/// All that Flink's own connector accepts is accepted, and widening beyond it where nothing is lost.
pub fn accepts(column: &StarRocksType, data_type: &DataType) -> Result<(), String> {
    use LogicalType as L;
    use StarRocksType as S;
    let flink = &data_type.logical;
    if *flink == L::Null {
        return Ok(());
    }
    let fine = match (column, flink) {
        (S::Boolean, L::Boolean | L::TinyInt | L::SmallInt | L::Int | L::BigInt) => true,
        (S::TinyInt, L::TinyInt | L::Boolean | L::Int | L::SmallInt) => true,
        (S::SmallInt, L::SmallInt | L::TinyInt | L::Int | L::Boolean) => true,
        (S::Int, L::Int | L::SmallInt | L::TinyInt | L::Boolean) => true,
        (S::BigInt, t) => t.is_integer() || matches!(t, L::Boolean | L::IntervalYearMonth | L::IntervalDayTime),
        (S::LargeInt, t) => t.is_integer() || matches!(t, L::Decimal(_, 0)) || t.is_character(),
        (S::Float, t) => t.is_integer() || matches!(t, L::Float),
        (S::Double, t) => t.is_integer() || matches!(t, L::Float | L::Double | L::Decimal(..)),
        (S::Decimal(p, s), L::Decimal(fp, fs)) => {
            let (whole, declared) = (fp.saturating_sub(*fs), p.saturating_sub(*s));
            if whole > declared {
                return Err(format!("{flink} has more digits before its point than {column}"));
            }
            true
        }
        (S::Decimal(..), t) => t.is_integer() || matches!(t, L::Float | L::Double),
        (S::Char(_) | S::Varchar(_), t) => !t.is_binary(),
        (S::Date, t) => matches!(t, L::Date) || t.is_character(),
        (S::DateTime, t) => matches!(t, L::Timestamp(_) | L::TimestampLtz(_) | L::Date) || t.is_character(),
        (S::Json, t) => !t.is_binary(),
        (S::Varbinary, t) => t.is_binary() || t.is_character(),
        (S::Array(item), L::Array(element)) => return accepts(item, element),
        (S::Map(key, value), L::Map(k, v)) => return accepts(key, k).and_then(|()| accepts(value, v)),
        (S::Map(key, _), L::Multiset(element)) => return accepts(key, element),
        (S::Struct(fields), L::Row(members)) => {
            for member in members {
                let found = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(&member.name));
                match found {
                    Some((_, field)) => accepts(field, &member.data_type)?,
                    None => return Err(format!("{column} has no field '{}'", member.name)),
                }
            }
            true
        }
        (S::Array(_) | S::Map(..) | S::Struct(_), t) => t.is_character(),
        (S::Other(_), _) => true,
        _ => false,
    };
    if fine { Ok(()) } else { Err(format!("a column of type {column} does not take {flink}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_the_server_writes_them() {
        for (text, expected) in [
            ("tinyint(4)", "TINYINT"),
            ("tinyint(1)", "BOOLEAN"),
            ("bigint(20) unsigned", "LARGEINT"),
            ("int(11)", "INT"),
            ("decimal(10, 2)", "DECIMAL(10, 2)"),
            ("DECIMAL64(18,4)", "DECIMAL(18, 4)"),
            ("varchar(65533)", "VARCHAR(65533)"),
            ("datetime", "DATETIME"),
            ("array<array<int(11)>>", "ARRAY<ARRAY<INT>>"),
            ("map<varchar(3),decimal(5, 1)>", "MAP<VARCHAR(3), DECIMAL(5, 1)>"),
            ("struct<a int(11), `b` varchar(3)>", "STRUCT<`a` INT, `b` VARCHAR(3)>"),
            ("hll", "hll"),
            ("array<", "array<"),
        ] {
            assert_eq!(StarRocksType::parse(text).to_string(), expected);
        }
        assert_eq!(StarRocksType::from_information_schema("tinyint", "tinyint(1)", None), StarRocksType::Boolean);
        assert_eq!(StarRocksType::from_information_schema("tinyint", "tinyint(4)", Some(3)), StarRocksType::TinyInt);
    }

    #[test]
    fn new_columns_have_room_for_every_value_or_say_what_is_lost() {
        use LogicalType as L;
        for (flink, expected, lossy) in [
            (L::Boolean, "BOOLEAN", false),
            (L::Decimal(38, 10), "DECIMAL(38, 10)", false),
            (L::Char(10), "CHAR(40)", false),
            (L::Char(100), "VARCHAR(400)", false),
            (L::VarChar(20), "VARCHAR(80)", false),
            (L::VarChar(400_000), "VARCHAR(1048576)", true),
            (L::STRING, "VARCHAR(1048576)", false),
            (L::BYTES, "VARBINARY", false),
            (L::Time(3), "VARCHAR(12)", true),
            (L::Timestamp(6), "DATETIME", false),
            (L::Timestamp(9), "DATETIME", true),
            (L::TimestampLtz(3), "DATETIME", true),
            (L::Array(Box::new(DataType::nullable(L::Timestamp(9)))), "ARRAY<DATETIME>", true),
        ] {
            let (target, loss) = target_type(&DataType::nullable(flink.clone()));
            assert_eq!((target.to_string().as_str(), loss.is_some()), (expected, lossy), "{flink}");
        }
        let key = |t| key_type(&DataType::not_null(t)).map(|(t, _)| t.to_string());
        assert_eq!(key(L::Decimal(10, 2)).as_deref(), Some("VARCHAR(12)"));
        assert_eq!(key(L::Char(3)).as_deref(), Some("VARCHAR(12)"));
        assert_eq!(key(L::Double), None);
    }

    #[test]
    fn columns_take_what_flinks_connector_lets_them_take() {
        use LogicalType as L;
        for (column, flink, fine) in [
            ("bigint(20)", L::Int, true),
            ("largeint", L::Decimal(38, 0), true),
            ("date", L::STRING, true),
            ("datetime", L::TimestampLtz(3), true),
            ("decimal(10, 2)", L::Decimal(12, 2), false),
            ("decimal(10, 2)", L::BigInt, true),
            ("int(11)", L::STRING, false),
            ("int(11)", L::BigInt, false),
            ("varchar(10)", L::Row(vec![]), true),
            ("varchar(10)", L::BYTES, false),
            ("json", L::STRING, true),
            ("array<int(11)>", L::Array(Box::new(DataType::nullable(L::Int))), true),
            ("array<int(11)>", L::Array(Box::new(DataType::string())), false),
            ("bitmap", L::BigInt, true),
        ] {
            let found = accepts(&StarRocksType::parse(column), &DataType::nullable(flink.clone()));
            assert_eq!(found.is_ok(), fine, "{column} {flink}: {found:?}");
        }
    }
}
