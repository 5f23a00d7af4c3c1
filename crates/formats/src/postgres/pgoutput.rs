//! Messages of the output plugin `pgoutput`, protocol version 1. Tuples are read in place; nothing is copied but
//! what describes a table.

/// The bytes are not what the protocol says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

type Read<T> = Result<T, Broken>;

/// A column as a Relation message describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationColumn {
    /// Part of the replica identity.
    pub is_key: bool,
    pub name: String,
    pub type_oid: u32,
    pub type_modifier: i32,
}

/// The shape of a table for the rows that follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    pub id: u32,
    pub schema: String,
    pub name: String,
    /// `d`, `n`, `f` or `i`, as `pg_class.relreplident`.
    pub identity: u8,
    pub columns: Vec<RelationColumn>,
}

/// A value of a tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field<'a> {
    Null,
    /// A TOASTed value that did not change and is not sent.
    Unchanged,
    Text(&'a [u8]),
    Binary(&'a [u8]),
}

/// A row image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple<'a> {
    columns: usize,
    body: &'a [u8],
}

impl<'a> Tuple<'a> {
    /// Number of columns.
    pub fn len(&self) -> usize {
        self.columns
    }

    pub fn is_empty(&self) -> bool {
        self.columns == 0
    }

    /// The values in order. The tuple was checked when it was read, so there are exactly [`Self::len`].
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let mut reader = Reader { rest: self.body };
        (0..self.columns).map_while(move |_| reader.field().ok())
    }
}

/// What an image of before consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldKind {
    /// The columns of the replica identity; the others are NULL.
    Key,
    /// The whole row (REPLICA IDENTITY FULL).
    Full,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    Begin {
        /// Where the transaction's commit record is.
        final_lsn: u64,
        /// Microseconds since 2000-01-01 UTC.
        commit_time: i64,
        xid: u32,
    },
    Commit {
        commit_lsn: u64,
        end_lsn: u64,
        commit_time: i64,
    },
    Origin,
    Relation(Relation),
    Type {
        oid: u32,
        name: &'a str,
    },
    Insert {
        relation: u32,
        new: Tuple<'a>,
    },
    Update {
        relation: u32,
        old: Option<(OldKind, Tuple<'a>)>,
        new: Tuple<'a>,
    },
    Delete {
        relation: u32,
        kind: OldKind,
        old: Tuple<'a>,
    },
    Truncate {
        relations: Vec<u32>,
    },
    /// Written by `pg_logical_emit_message`.
    Logical {
        prefix: &'a str,
        content: &'a [u8],
    },
}

impl<'a> Message<'a> {
    /// Reads one message; all of the bytes must belong to it.
    pub fn parse(bytes: &'a [u8]) -> Read<Self> {
        let mut r = Reader { rest: bytes };
        let message = match r.u8()? {
            b'B' => Self::Begin { final_lsn: r.u64()?, commit_time: r.u64()? as i64, xid: r.u32()? },
            b'C' => {
                r.u8()?;
                Self::Commit { commit_lsn: r.u64()?, end_lsn: r.u64()?, commit_time: r.u64()? as i64 }
            }
            b'O' => {
                r.u64()?;
                r.text()?;
                Self::Origin
            }
            b'R' => Self::Relation(r.relation()?),
            b'Y' => {
                let oid = r.u32()?;
                r.text()?;
                Self::Type { oid, name: r.text()? }
            }
            b'I' => {
                let relation = r.u32()?;
                r.expect(b'N')?;
                Self::Insert { relation, new: r.tuple()? }
            }
            b'U' => {
                let relation = r.u32()?;
                let old = match r.u8()? {
                    b'K' => Some((OldKind::Key, r.tuple()?)),
                    b'O' => Some((OldKind::Full, r.tuple()?)),
                    b'N' => None,
                    _ => return Err(Broken),
                };
                if old.is_some() {
                    r.expect(b'N')?;
                }
                Self::Update { relation, old, new: r.tuple()? }
            }
            b'D' => {
                let relation = r.u32()?;
                let kind = match r.u8()? {
                    b'K' => OldKind::Key,
                    b'O' => OldKind::Full,
                    _ => return Err(Broken),
                };
                Self::Delete { relation, kind, old: r.tuple()? }
            }
            b'T' => {
                let count = r.u32()? as usize;
                r.u8()?;
                if count > r.rest.len() / 4 {
                    return Err(Broken);
                }
                Self::Truncate { relations: (0..count).map(|_| r.u32()).collect::<Read<_>>()? }
            }
            b'M' => {
                r.u8()?;
                r.u64()?;
                let prefix = r.text()?;
                let length = r.u32()? as usize;
                Self::Logical { prefix, content: r.take(length)? }
            }
            _ => return Err(Broken),
        };
        if r.rest.is_empty() { Ok(message) } else { Err(Broken) }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Broken)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| Broken)
    }

    fn u8(&mut self) -> Read<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Read<u16> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> Read<u32> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn u64(&mut self) -> Read<u64> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn text(&mut self) -> Read<&'a str> {
        let end = memchr::memchr(0, self.rest).ok_or(Broken)?;
        let text = std::str::from_utf8(self.take(end)?).map_err(|_| Broken)?;
        self.u8()?;
        Ok(text)
    }

    fn expect(&mut self, byte: u8) -> Read<()> {
        if self.u8()? == byte { Ok(()) } else { Err(Broken) }
    }

    fn relation(&mut self) -> Read<Relation> {
        let id = self.u32()?;
        let schema = match self.text()? {
            "" => "pg_catalog",
            schema => schema,
        };
        let (schema, name) = (schema.to_owned(), self.text()?.to_owned());
        let identity = self.u8()?;
        let count = self.u16()?;
        let columns = (0..count)
            .map(|_| {
                Ok(RelationColumn {
                    is_key: self.u8()? & 1 == 1,
                    name: self.text()?.to_owned(),
                    type_oid: self.u32()?,
                    type_modifier: self.u32()? as i32,
                })
            })
            .collect::<Read<_>>()?;
        Ok(Relation { id, schema, name, identity, columns })
    }

    #[inline]
    fn field(&mut self) -> Read<Field<'a>> {
        Ok(match self.u8()? {
            b'n' => Field::Null,
            b'u' => Field::Unchanged,
            b't' => {
                let length = self.u32()? as usize;
                Field::Text(self.take(length)?)
            }
            b'b' => {
                let length = self.u32()? as usize;
                Field::Binary(self.take(length)?)
            }
            _ => return Err(Broken),
        })
    }

    fn tuple(&mut self) -> Read<Tuple<'a>> {
        let columns = usize::from(self.u16()?);
        let start = self.rest;
        for _ in 0..columns {
            self.field()?;
        }
        Ok(Tuple { columns, body: &start[..start.len() - self.rest.len()] })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tuple(values: &[Field<'_>]) -> Vec<u8> {
        let mut out = (values.len() as u16).to_be_bytes().to_vec();
        for value in values {
            let (tag, bytes) = match value {
                Field::Null => (b'n', None),
                Field::Unchanged => (b'u', None),
                Field::Text(t) => (b't', Some(t)),
                Field::Binary(t) => (b'b', Some(t)),
            };
            out.push(tag);
            if let Some(bytes) = bytes {
                out.extend((bytes.len() as u32).to_be_bytes());
                out.extend(*bytes);
            }
        }
        out
    }

    #[test]
    fn an_update_has_its_images() {
        let old = [Field::Text(b"1"), Field::Text(b"long")];
        let new = [Field::Text(b"2"), Field::Unchanged];
        let mut bytes = vec![b'U', 0, 0, 0, 7, b'O'];
        bytes.extend(tuple(&old));
        bytes.push(b'N');
        bytes.extend(tuple(&new));
        let Message::Update { relation: 7, old: Some((OldKind::Full, o)), new: n } = Message::parse(&bytes).unwrap()
        else {
            panic!("not an update of table 7");
        };
        assert_eq!(o.fields().collect::<Vec<_>>(), old);
        assert_eq!(n.fields().collect::<Vec<_>>(), new);
        for end in 0..bytes.len() {
            assert_eq!(Message::parse(&bytes[..end]), Err(Broken), "cut at {end}");
        }
        bytes.push(0);
        assert_eq!(Message::parse(&bytes), Err(Broken));
    }

    #[test]
    fn a_relation_names_its_columns() {
        let mut bytes = vec![b'R', 0, 0, 64, 1];
        bytes.extend(b"public\0t\0f\0\x01");
        bytes.extend(b"\x01id\0\0\0\0\x17\xff\xff\xff\xff");
        let Message::Relation(relation) = Message::parse(&bytes).unwrap() else { panic!("not a relation") };
        assert_eq!((relation.id, relation.schema.as_str(), relation.identity), (16385, "public", b'f'));
        let column = RelationColumn { is_key: true, name: "id".into(), type_oid: 23, type_modifier: -1 };
        assert_eq!(relation.columns, [column]);
    }

    proptest! {
        #[test]
        fn bytes_from_the_network_never_panic(tag in prop::sample::select(&b"BCORYIUDTMX"[..]), rest: Vec<u8>) {
            let mut bytes = vec![tag];
            bytes.extend(rest);
            if let Ok(Message::Insert { new, .. }) = Message::parse(&bytes) {
                prop_assert_eq!(new.fields().count(), new.len());
            }
        }
    }
}
