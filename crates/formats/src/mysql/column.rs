//! Columns and types as MySQL declares them, and the Flink type of each.

use serde::{Deserialize, Serialize};
use starweir_model::{DataType, LogicalType, TableColumn};

use super::lexer::{Cursor, Token, tokens};

/// The families of MySQL's column types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    TinyInt,
    SmallInt,
    MediumInt,
    Int,
    BigInt,
    /// BOOL and BOOLEAN of a statement; information_schema says tinyint(1).
    Bool,
    Decimal,
    Float,
    Double,
    Bit,
    Date,
    Time,
    DateTime,
    Timestamp,
    Year,
    Char,
    VarChar,
    Binary,
    VarBinary,
    Text,
    Blob,
    Enum,
    Set,
    Json,
    Geometry,
    /// MySQL 9: an array of 32-bit floats.
    Vector,
    /// MariaDB.
    Uuid,
    /// MariaDB.
    Inet6,
    /// MariaDB.
    Inet4,
    /// A type this version does not know.
    Other,
}

/// A MySQL column type with everything that decides how its values are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MySqlType {
    pub kind: Kind,
    /// Display width, characters, bits, or total digits, as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<u32>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsigned: bool,
    /// Members of ENUM and SET.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// Name of the character set of text; None when the table's default counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charset: Option<String>,
}

/// Options that decide which Flink type a MySQL type becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeOptions {
    /// TINYINT(1) is BOOLEAN.
    pub tinyint1_is_boolean: bool,
}

impl Default for TypeOptions {
    fn default() -> Self {
        Self { tinyint1_is_boolean: true }
    }
}

impl MySqlType {
    pub fn new(kind: Kind) -> Self {
        Self { kind, length: None, scale: None, unsigned: false, members: Vec::new(), charset: None }
    }

    /// Reads a type's text, as information_schema's COLUMN_TYPE or a statement writes it. A type not known is
    /// [`Kind::Other`].
    pub fn parse(text: &str) -> Self {
        let tokens = tokens(text);
        let mut cursor = Cursor::new(&tokens);
        let mut column = Column::new(String::new(), read_type(&mut cursor));
        read_attributes(&mut cursor, &mut column);
        column.column_type
    }

    /// The Flink type, as Flink CDC maps it.
    pub fn to_logical(&self, options: &TypeOptions) -> LogicalType {
        let fraction = self.length.unwrap_or(0).min(6) as u8;
        let length = |default: u32| self.length.unwrap_or(default);
        match (self.kind, self.unsigned) {
            (Kind::TinyInt, false) if self.length == Some(1) && options.tinyint1_is_boolean => LogicalType::Boolean,
            (Kind::TinyInt, false) => LogicalType::TinyInt,
            (Kind::TinyInt, true) | (Kind::SmallInt, false) => LogicalType::SmallInt,
            (Kind::SmallInt, true) | (Kind::MediumInt, _) | (Kind::Int, false) | (Kind::Year, _) => LogicalType::Int,
            (Kind::Int, true) | (Kind::BigInt, false) => LogicalType::BigInt,
            (Kind::BigInt, true) => LogicalType::Decimal(20, 0),
            (Kind::Bool, _) => LogicalType::Boolean,
            (Kind::Decimal, _) => match self.precision() {
                (precision, scale) if precision <= 38 => LogicalType::Decimal(precision as u8, scale as u8),
                _ => LogicalType::STRING,
            },
            // With two numbers, or more digits than a FLOAT has.
            (Kind::Float, _) if self.scale.is_some() || length(0) > 24 => LogicalType::Double,
            (Kind::Float, _) => LogicalType::Float,
            (Kind::Double, _) => LogicalType::Double,
            (Kind::Bit, _) => match length(1) {
                0 | 1 => LogicalType::Boolean,
                bits => LogicalType::Binary(bits.div_ceil(8)),
            },
            (Kind::Date, _) => LogicalType::Date,
            (Kind::Time, _) => LogicalType::Time(fraction),
            (Kind::DateTime, _) => LogicalType::Timestamp(fraction),
            (Kind::Timestamp, _) => LogicalType::TimestampLtz(fraction),
            (Kind::Char, _) => LogicalType::Char(length(1)),
            (Kind::VarChar, _) => match length(0) {
                0 => LogicalType::STRING,
                length => LogicalType::VarChar(length),
            },
            (Kind::Binary, _) => LogicalType::Binary(length(1)),
            (Kind::VarBinary, _) => LogicalType::VarBinary(length(0)),
            (Kind::Blob, _) => LogicalType::BYTES,
            (
                Kind::Text
                | Kind::Enum
                | Kind::Set
                | Kind::Json
                | Kind::Geometry
                | Kind::Vector
                | Kind::Uuid
                | Kind::Inet6
                | Kind::Inet4
                | Kind::Other,
                _,
            ) => LogicalType::STRING,
        }
    }

    /// Digits and scale of a DECIMAL.
    pub fn precision(&self) -> (u32, u32) {
        (self.length.unwrap_or(10).clamp(1, 65), self.scale.unwrap_or(0).min(38))
    }

    /// Whether values are text in a character set.
    pub fn is_text(&self) -> bool {
        matches!(self.kind, Kind::Char | Kind::VarChar | Kind::Text)
    }
}

/// A column as its table declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub column_type: MySqlType,
    pub nullable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto_increment: bool,
    /// A generated column whose values are not stored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_virtual: bool,
    /// Only while a statement is read.
    #[serde(skip)]
    pub(crate) primary: bool,
}

impl Column {
    pub fn new(name: String, column_type: MySqlType) -> Self {
        Self {
            name,
            column_type,
            nullable: true,
            default: None,
            comment: None,
            auto_increment: false,
            is_virtual: false,
            primary: false,
        }
    }

    /// As captured tables show it. `key`: the column belongs to the primary key and is never NULL.
    pub fn to_table_column(&self, options: &TypeOptions, key: bool, comments: bool) -> TableColumn {
        let logical = self.column_type.to_logical(options);
        TableColumn {
            name: self.name.clone(),
            data_type: DataType { logical, nullable: self.nullable && !key },
            comment: self.comment.clone().filter(|_| comments),
            default: self.default.clone(),
        }
    }
}

/// Reads a type at the cursor: name, lengths, members. Attributes such as UNSIGNED come after.
pub(crate) fn read_type(cursor: &mut Cursor<'_>) -> MySqlType {
    let word = match cursor.next() {
        Some(Token::Word(word)) => word.to_ascii_lowercase(),
        _ => return MySqlType::new(Kind::Other),
    };
    let kind = match word.as_str() {
        "tinyint" | "int1" => Kind::TinyInt,
        "smallint" | "int2" => Kind::SmallInt,
        "mediumint" | "int3" | "middleint" => Kind::MediumInt,
        "int" | "integer" | "int4" => Kind::Int,
        "bigint" | "int8" => Kind::BigInt,
        "serial" => {
            let mut serial = MySqlType::new(Kind::BigInt);
            serial.unsigned = true;
            return serial;
        }
        "bool" | "boolean" => Kind::Bool,
        "decimal" | "dec" | "numeric" | "fixed" => Kind::Decimal,
        "float" | "float4" => Kind::Float,
        "double" => {
            cursor.take(&["precision"]);
            Kind::Double
        }
        "real" | "float8" => Kind::Double,
        "bit" => Kind::Bit,
        "date" => Kind::Date,
        "time" => Kind::Time,
        "datetime" => Kind::DateTime,
        "timestamp" => Kind::Timestamp,
        "year" => Kind::Year,
        "char" | "character" | "nchar" => {
            if cursor.take(&["varying"]) {
                Kind::VarChar
            } else {
                Kind::Char
            }
        }
        "varchar" | "nvarchar" | "varchar2" | "varcharacter" => Kind::VarChar,
        "national" => {
            let varying = cursor.is("varchar") || cursor.is("varcharacter") || cursor.is_at(1, "varying");
            cursor.next();
            cursor.take(&["varying"]);
            if varying { Kind::VarChar } else { Kind::Char }
        }
        "binary" => Kind::Binary,
        "varbinary" | "raw" => Kind::VarBinary,
        "tinytext" | "text" | "mediumtext" | "longtext" | "clob" => Kind::Text,
        "tinyblob" | "blob" | "mediumblob" | "longblob" => Kind::Blob,
        "long" => {
            if cursor.take(&["varbinary"]) {
                Kind::Blob
            } else {
                let _ = cursor.take(&["varchar"])
                    || cursor.take(&["character", "varying"])
                    || cursor.take(&["char", "varying"]);
                Kind::Text
            }
        }
        "enum" => Kind::Enum,
        "set" => Kind::Set,
        "json" => Kind::Json,
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
        | "geometrycollection" | "geomcollection" => Kind::Geometry,
        "vector" => Kind::Vector,
        "uuid" => Kind::Uuid,
        "inet6" => Kind::Inet6,
        "inet4" => Kind::Inet4,
        _ => Kind::Other,
    };
    let mut of = MySqlType::new(kind);
    if word == "nchar" || word == "nvarchar" || word == "national" {
        of.charset = Some("utf8mb3".into());
    }
    if let Some(arguments) = cursor.parenthesised() {
        let mut inner = Cursor::new(arguments);
        if matches!(kind, Kind::Enum | Kind::Set) {
            while !inner.done() {
                match inner.next() {
                    Some(Token::Text(member)) => of.members.push(member.clone()),
                    Some(Token::Literal('x', digits)) => {
                        let bytes = hex::decode(digits).unwrap_or_default();
                        of.members.push(String::from_utf8_lossy(&bytes).into_owned());
                    }
                    _ => {}
                }
            }
        } else {
            of.length = inner.number();
            if inner.take_sign(',') {
                of.scale = inner.number();
            }
        }
    }
    // TEXT(1000) chooses a size of TEXT; the length means nothing for values.
    if matches!(kind, Kind::Text | Kind::Blob) {
        of.length = None;
    }
    of
}

/// Reads what follows a type up to a comma or the end: NOT NULL, DEFAULT, COMMENT, …
pub(crate) fn read_attributes(cursor: &mut Cursor<'_>, column: &mut Column) {
    let mut is_generated = false;
    while let Some(token) = cursor.peek() {
        if matches!(token, Token::Sign(',' | ')' | ';')) {
            return;
        }
        if cursor.take(&["not", "null"]) {
            column.nullable = false;
        } else if cursor.take(&["null"]) {
            column.nullable = true;
        } else if cursor.take(&["unsigned"]) || cursor.take(&["zerofill"]) {
            column.column_type.unsigned = true;
        } else if cursor.take(&["signed"]) {
            column.column_type.unsigned = false;
        } else if cursor.take(&["default"]) {
            column.default = read_default(cursor);
        } else if cursor.take(&["on", "update"]) {
            cursor.next();
            cursor.parenthesised();
        } else if cursor.take(&["auto_increment"]) {
            column.auto_increment = true;
        } else if cursor.take(&["primary"]) {
            cursor.take(&["key"]);
            column.primary = true;
            column.nullable = false;
        } else if cursor.take(&["comment"]) {
            column.comment = cursor.text();
        } else if cursor.take(&["character", "set"]) || cursor.take(&["charset"]) {
            cursor.take_sign('=');
            if let Some(name) = cursor.name() {
                set_charset(&mut column.column_type, &name);
            }
        } else if cursor.take(&["collate"]) {
            cursor.take_sign('=');
            if let Some(name) = cursor.name()
                && column.column_type.charset.is_none()
            {
                set_charset(&mut column.column_type, charset_of_collation(&name));
            }
        } else if cursor.take(&["ascii"]) {
            set_charset(&mut column.column_type, "latin1");
        } else if cursor.take(&["unicode"]) {
            set_charset(&mut column.column_type, "ucs2");
        } else if cursor.take(&["byte"]) {
            set_charset(&mut column.column_type, "binary");
        } else if cursor.take(&["as"]) || cursor.take(&["generated", "always", "as"]) {
            cursor.parenthesised();
            is_generated = true;
            column.is_virtual = true;
        } else if is_generated && (cursor.take(&["stored"]) || cursor.take(&["persistent"])) {
            column.is_virtual = false;
        } else if cursor.is("first") || cursor.is("after") {
            return;
        } else {
            cursor.next();
        }
    }
}

fn set_charset(of: &mut MySqlType, name: &str) {
    let name = name.to_ascii_lowercase();
    if name == "binary" {
        of.kind = match of.kind {
            Kind::Char => Kind::Binary,
            Kind::VarChar => Kind::VarBinary,
            Kind::Text => Kind::Blob,
            other => other,
        };
    }
    of.charset = Some(name);
}

/// `utf8mb4` of `utf8mb4_general_ci`.
pub fn charset_of_collation(collation: &str) -> &str {
    match collation.split_once('_') {
        // MariaDB's names without a character set.
        Some(("uca1400", _)) => "utf8mb4",
        Some((charset, _)) => charset,
        None => collation,
    }
}

/// The text of a default value, as Debezium's reader gives it.
fn read_default(cursor: &mut Cursor<'_>) -> Option<String> {
    let negative = match cursor.peek() {
        Some(Token::Sign('-')) => {
            cursor.next();
            true
        }
        Some(Token::Sign('+')) => {
            cursor.next();
            false
        }
        _ => false,
    };
    match cursor.peek()? {
        Token::Number(number) => {
            cursor.next();
            Some(if negative { format!("-{number}") } else { number.clone() })
        }
        Token::Text(text) => {
            cursor.next();
            Some(text.clone())
        }
        Token::Literal(_, digits) => {
            cursor.next();
            Some(digits.clone())
        }
        Token::Sign('(') => {
            cursor.parenthesised();
            None
        }
        Token::Word(word) => {
            cursor.next();
            let word = word.to_ascii_lowercase();
            match word.as_str() {
                "null" => None,
                "current_timestamp" | "now" | "localtime" | "localtimestamp" => {
                    cursor.parenthesised();
                    Some(NOW.to_owned())
                }
                "true" | "false" => Some(word),
                _ => {
                    cursor.parenthesised();
                    None
                }
            }
        }
        _ => None,
    }
}

/// The text of a default value that is written as an expression: `'it''s'`, `NULL`, `current_timestamp()`.
pub fn default_from_text(text: &str) -> Option<String> {
    let tokens = tokens(text);
    read_default(&mut Cursor::new(&tokens))
}

/// What stands for "the time of insertion" as a default: Debezium's choice.
pub const NOW: &str = "1970-01-01 00:00:00";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_become_flink_types() {
        for (text, expected) in [
            ("tinyint(1)", "BOOLEAN"),
            ("tinyint(4)", "TINYINT"),
            ("tinyint(1) unsigned", "SMALLINT"),
            ("smallint unsigned", "INT"),
            ("mediumint(8) unsigned zerofill", "INT"),
            ("int ZEROFILL", "BIGINT"),
            ("bigint unsigned", "DECIMAL(20, 0)"),
            ("serial", "DECIMAL(20, 0)"),
            ("float", "FLOAT"),
            ("float(6)", "FLOAT"),
            ("float(30)", "DOUBLE"),
            ("float(6,2)", "DOUBLE"),
            ("double precision(6,2)", "DOUBLE"),
            ("decimal", "DECIMAL(10, 0)"),
            ("numeric(38,10)", "DECIMAL(38, 10)"),
            ("decimal(65,30)", "STRING"),
            ("bit", "BOOLEAN"),
            ("bit(9)", "BINARY(2)"),
            ("char", "CHAR(1)"),
            ("char(0)", "CHAR(0)"),
            ("national varchar(20)", "VARCHAR(20)"),
            ("national character varying(20)", "VARCHAR(20)"),
            ("varchar(0)", "STRING"),
            ("varchar(5) character set binary", "VARBINARY(5)"),
            ("long varchar", "STRING"),
            ("long varbinary", "BYTES"),
            ("binary", "BINARY(1)"),
            ("varbinary(7)", "VARBINARY(7)"),
            ("datetime(6)", "TIMESTAMP(6)"),
            ("timestamp", "TIMESTAMP_LTZ(0)"),
            ("time(3)", "TIME(3)"),
            ("year(4)", "INT"),
            ("set('a','b')", "STRING"),
            ("enum('it''s','b')", "STRING"),
            ("json", "STRING"),
            ("point srid 4326", "STRING"),
        ] {
            assert_eq!(MySqlType::parse(text).to_logical(&TypeOptions::default()).to_string(), expected, "{text}");
        }
        assert_eq!(MySqlType::parse("enum('it''s','b')").members, ["it's", "b"]);
        assert_eq!(MySqlType::parse("varchar(5) collate gbk_bin").charset.as_deref(), Some("gbk"));
    }
}
