//! TABLE_MAP events: which table the rows that follow belong to, and how its columns lie in them.

use starweir_model::{Error, Result};

use super::bytes::{Broken, Bytes, Read, bit};
use super::catalog::Table;
use super::column::{Column, Kind, MySqlType};
use super::rows::Collations;

/// Type numbers of the binary log.
pub(crate) mod kinds {
    pub const TINY: u8 = 1;
    pub const SHORT: u8 = 2;
    pub const LONG: u8 = 3;
    pub const FLOAT: u8 = 4;
    pub const DOUBLE: u8 = 5;
    pub const NULL: u8 = 6;
    pub const TIMESTAMP: u8 = 7;
    pub const LONGLONG: u8 = 8;
    pub const INT24: u8 = 9;
    pub const DATE: u8 = 10;
    pub const TIME: u8 = 11;
    pub const DATETIME: u8 = 12;
    pub const YEAR: u8 = 13;
    pub const NEWDATE: u8 = 14;
    pub const VARCHAR: u8 = 15;
    pub const BIT: u8 = 16;
    pub const TIMESTAMP2: u8 = 17;
    pub const DATETIME2: u8 = 18;
    pub const TIME2: u8 = 19;
    pub const TYPED_ARRAY: u8 = 20;
    pub const MARIADB_BLOB_COMPRESSED: u8 = 140;
    pub const MARIADB_VARCHAR_COMPRESSED: u8 = 141;
    pub const VECTOR: u8 = 242;
    pub const JSON: u8 = 245;
    pub const NEWDECIMAL: u8 = 246;
    pub const ENUM: u8 = 247;
    pub const SET: u8 = 248;
    pub const TINY_BLOB: u8 = 249;
    pub const MEDIUM_BLOB: u8 = 250;
    pub const LONG_BLOB: u8 = 251;
    pub const BLOB: u8 = 252;
    pub const VAR_STRING: u8 = 253;
    pub const STRING: u8 = 254;
    pub const GEOMETRY: u8 = 255;
}

/// A column as the log lays it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapColumn {
    /// The type's number; of STRING, ENUM and SET the real one.
    pub kind: u8,
    /// What the type's layout depends on.
    pub meta: u16,
    pub nullable: bool,
    /// Known when the server writes it.
    pub unsigned: Option<bool>,
    /// Number of the collation of text, when the server writes it.
    pub collation: Option<u32>,
    /// Members of ENUM and SET, when the server writes them (`binlog_row_metadata=FULL`).
    pub members: Vec<Vec<u8>>,
}

/// What a TABLE_MAP event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableMap {
    pub id: u64,
    pub database: String,
    pub table: String,
    pub columns: Vec<MapColumn>,
    /// Names of the columns (`binlog_row_metadata=FULL`).
    pub names: Option<Vec<String>>,
    /// Positions of the primary key's columns (`binlog_row_metadata=FULL`).
    pub primary_key: Option<Vec<usize>>,
}

impl TableMap {
    /// Reads the event's data, after its header.
    pub fn parse(data: &[u8]) -> Result<Self> {
        read(data).map_err(|Broken| Error::data("a TABLE_MAP event of the binary log is damaged"))
    }

    /// The number that rows events refer to: of a TABLE_MAP or a rows event.
    pub fn table_id(data: &[u8]) -> Option<u64> {
        Bytes::new(data).uint(6).ok()
    }
}

fn read(data: &[u8]) -> Read<TableMap> {
    let mut bytes = Bytes::new(data);
    let id = bytes.uint(6)?;
    bytes.take(2)?;
    let name = |bytes: &mut Bytes<'_>| -> Read<String> {
        let text = bytes.lenenc_bytes()?;
        bytes.u8()?;
        Ok(String::from_utf8_lossy(text).into_owned())
    };
    let database = name(&mut bytes)?;
    let table = name(&mut bytes)?;
    let count = usize::try_from(bytes.lenenc()?).map_err(|_| Broken)?;
    let types = bytes.take(count)?;
    let mut meta = Bytes::new(bytes.lenenc_bytes()?);
    let mut columns = Vec::with_capacity(count);
    for kind in types {
        let (kind, meta) = column_meta(*kind, &mut meta)?;
        columns.push(MapColumn { kind, meta, nullable: true, unsigned: None, collation: None, members: Vec::new() });
    }
    let nullable = bytes.take(count.div_ceil(8))?;
    for (i, column) in columns.iter_mut().enumerate() {
        column.nullable = bit(nullable, i);
    }
    let mut map = TableMap { id, database, table, columns, names: None, primary_key: None };
    while bytes.left() > 0 {
        let field = bytes.u8()?;
        let data = bytes.lenenc_bytes()?;
        optional(&mut map, field, Bytes::new(data))?;
    }
    Ok(map)
}

fn column_meta(kind: u8, meta: &mut Bytes<'_>) -> Read<(u8, u16)> {
    use kinds::*;
    Ok(match kind {
        FLOAT
        | DOUBLE
        | BLOB
        | TINY_BLOB
        | MEDIUM_BLOB
        | LONG_BLOB
        | JSON
        | GEOMETRY
        | VECTOR
        | TIMESTAMP2
        | DATETIME2
        | TIME2
        | MARIADB_BLOB_COMPRESSED => (kind, u16::from(meta.u8()?)),
        VARCHAR | VAR_STRING | BIT | MARIADB_VARCHAR_COMPRESSED => (kind, meta.uint(2)? as u16),
        NEWDECIMAL => {
            let (precision, scale) = (meta.u8()?, meta.u8()?);
            (kind, u16::from(precision) << 8 | u16::from(scale))
        }
        STRING | ENUM | SET => {
            let (real, low) = (meta.u8()?, u16::from(meta.u8()?));
            if real & 0x30 == 0x30 {
                (real, low)
            } else {
                // CHAR of more than 255 bytes keeps two bits of its length in the type.
                (real | 0x30, low | u16::from((real & 0x30) ^ 0x30) << 4)
            }
        }
        TYPED_ARRAY => return Err(Broken),
        other => (other, 0),
    })
}

impl MapColumn {
    fn is_numeric(&self) -> bool {
        use kinds::*;
        matches!(self.kind, TINY | SHORT | INT24 | LONG | LONGLONG | NEWDECIMAL | FLOAT | DOUBLE | YEAR)
    }

    fn is_character(&self) -> bool {
        use kinds::*;
        matches!(
            self.kind,
            STRING
                | VAR_STRING
                | VARCHAR
                | BLOB
                | TINY_BLOB
                | MEDIUM_BLOB
                | LONG_BLOB
                | MARIADB_BLOB_COMPRESSED
                | MARIADB_VARCHAR_COMPRESSED
        )
    }

    fn is_enum_or_set(&self) -> bool {
        matches!(self.kind, kinds::ENUM | kinds::SET)
    }
}

fn optional(map: &mut TableMap, field: u8, mut bytes: Bytes<'_>) -> Read<()> {
    match field {
        1 => {
            let bits = bytes.data;
            for (i, column) in map.columns.iter_mut().filter(|c| c.is_numeric()).enumerate() {
                column.unsigned = Some(bits.get(i / 8).is_some_and(|b| b & (0x80 >> (i % 8)) != 0));
            }
        }
        2 | 10 => {
            let default = bytes.lenenc()? as u32;
            let mut special = Vec::new();
            while bytes.left() > 0 {
                special.push((bytes.lenenc()?, bytes.lenenc()? as u32));
            }
            let of = |c: &&mut MapColumn| if field == 2 { c.is_character() } else { c.is_enum_or_set() };
            for (i, column) in map.columns.iter_mut().filter(of).enumerate() {
                let own = special.iter().find(|(at, _)| *at == i as u64);
                column.collation = Some(own.map_or(default, |(_, collation)| *collation));
            }
        }
        3 | 11 => {
            let of = |c: &&mut MapColumn| if field == 3 { c.is_character() } else { c.is_enum_or_set() };
            for column in map.columns.iter_mut().filter(of) {
                column.collation = Some(bytes.lenenc()? as u32);
            }
        }
        4 => {
            let mut names = Vec::with_capacity(map.columns.len());
            while bytes.left() > 0 {
                names.push(String::from_utf8_lossy(bytes.lenenc_bytes()?).into_owned());
            }
            map.names = (names.len() == map.columns.len()).then_some(names);
        }
        5 | 6 => {
            let kind = if field == 5 { kinds::SET } else { kinds::ENUM };
            for column in map.columns.iter_mut().filter(|c| c.kind == kind) {
                let count = bytes.lenenc()?;
                for _ in 0..count {
                    column.members.push(bytes.lenenc_bytes()?.to_vec());
                }
            }
        }
        8 | 9 => {
            let mut key = Vec::new();
            while bytes.left() > 0 {
                key.push(bytes.lenenc()? as usize);
                if field == 9 {
                    bytes.lenenc()?;
                }
            }
            map.primary_key = Some(key);
        }
        _ => {}
    }
    Ok(())
}

impl Table {
    /// The shape that a table map describes; None when it does not name its columns. Columns that the known shape has
    /// by the same name and kind are taken from there: the log says less about them.
    pub fn from_map(map: &TableMap, known: Option<&Table>, collations: &Collations) -> Option<Self> {
        let names = map.names.as_ref()?;
        let mut columns = Vec::with_capacity(names.len());
        for (there, name) in map.columns.iter().zip(names) {
            let described = describe(there, name, collations)?;
            let same = known.and_then(|t| t.index_of(name).map(|i| &t.columns[i])).filter(|c| {
                let (a, b) = (&c.column_type, &described.column_type);
                let fraction = matches!(a.kind, Kind::Time | Kind::DateTime | Kind::Timestamp);
                a.kind == b.kind
                    && a.unsigned == b.unsigned
                    && (a.kind != Kind::Decimal || a.precision() == b.precision())
                    && (!fraction || a.length.unwrap_or(0) == b.length.unwrap_or(0))
                    && (!matches!(a.kind, Kind::Enum | Kind::Set) || a.members == b.members)
                    || (a.kind == Kind::Bool && b.kind == Kind::TinyInt)
                    || (b.kind == Kind::Text && matches!(a.kind, Kind::Json))
            });
            columns.push(same.cloned().unwrap_or(described));
        }
        let primary_key = match &map.primary_key {
            Some(key) => key.iter().filter_map(|i| names.get(*i).cloned()).collect(),
            None => known.map(|t| t.primary_key.clone()).unwrap_or_default(),
        };
        Some(Self {
            columns,
            primary_key,
            comment: known.and_then(|t| t.comment.clone()),
            charset: known.and_then(|t| t.charset.clone()),
        })
    }
}

/// A column as far as a table map describes it.
fn describe(there: &MapColumn, name: &str, collations: &Collations) -> Option<Column> {
    use kinds::*;
    let charset = there.collation.and_then(|id| collations.get(&id)).cloned();
    let is_binary = charset.as_deref() == Some("binary");
    let of_text = |text: Kind, binary: Kind| if is_binary { binary } else { text };
    let kind = match there.kind {
        TINY => Kind::TinyInt,
        SHORT => Kind::SmallInt,
        INT24 => Kind::MediumInt,
        LONG => Kind::Int,
        LONGLONG => Kind::BigInt,
        FLOAT => Kind::Float,
        DOUBLE => Kind::Double,
        NEWDECIMAL => Kind::Decimal,
        YEAR => Kind::Year,
        DATE | NEWDATE => Kind::Date,
        TIME | TIME2 => Kind::Time,
        DATETIME | DATETIME2 => Kind::DateTime,
        TIMESTAMP | TIMESTAMP2 => Kind::Timestamp,
        BIT => Kind::Bit,
        ENUM => Kind::Enum,
        SET => Kind::Set,
        JSON => Kind::Json,
        GEOMETRY => Kind::Geometry,
        VECTOR => Kind::Vector,
        STRING => of_text(Kind::Char, Kind::Binary),
        VARCHAR | VAR_STRING => of_text(Kind::VarChar, Kind::VarBinary),
        BLOB | TINY_BLOB | MEDIUM_BLOB | LONG_BLOB => of_text(Kind::Text, Kind::Blob),
        _ => return None,
    };
    let mut of = MySqlType::new(kind);
    of.unsigned = there.unsigned.unwrap_or(false);
    match kind {
        Kind::Decimal => {
            of.length = Some(u32::from(there.meta >> 8));
            of.scale = Some(u32::from(there.meta & 0xff));
        }
        Kind::Time | Kind::DateTime | Kind::Timestamp => of.length = Some(u32::from(there.meta)),
        Kind::Bit => of.length = Some(u32::from(there.meta >> 8) * 8 + u32::from(there.meta & 0xff)),
        Kind::Char | Kind::VarChar => {
            // Bytes there, characters here.
            let width = match charset.as_deref() {
                Some("utf8mb4" | "utf16" | "utf16le" | "utf32" | "gb18030") | None => 4,
                Some("utf8" | "utf8mb3" | "ujis" | "eucjpms") => 3,
                Some("gbk" | "gb2312" | "big5" | "sjis" | "cp932" | "euckr" | "ucs2") => 2,
                Some(_) => 1,
            };
            of.length = Some(u32::from(there.meta) / width);
        }
        Kind::Binary | Kind::VarBinary => of.length = Some(u32::from(there.meta)),
        Kind::Enum | Kind::Set => {
            of.members = there.members.iter().map(|m| String::from_utf8_lossy(m).into_owned()).collect();
        }
        _ => {}
    }
    of.charset = charset;
    let mut column = Column::new(name.to_owned(), of);
    column.nullable = there.nullable;
    Some(column)
}
