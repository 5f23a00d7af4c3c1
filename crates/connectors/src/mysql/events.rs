//! Events of the binary log that are not rows: what they say, from their bytes.

use mysql_async::binlog::events::Event;

use super::gtid::GtidSet;

/// Event types by number; MariaDB's own from 160 on.
pub(super) mod types {
    pub const QUERY: u8 = 2;
    pub const ROTATE: u8 = 4;
    pub const FORMAT_DESCRIPTION: u8 = 15;
    pub const XID: u8 = 16;
    pub const TABLE_MAP: u8 = 19;
    pub const INCIDENT: u8 = 26;
    pub const HEARTBEAT: u8 = 27;
    pub const GTID: u8 = 33;
    pub const ANONYMOUS_GTID: u8 = 34;
    pub const PREVIOUS_GTIDS: u8 = 35;
    pub const XA_PREPARE: u8 = 38;
    pub const TRANSACTION_PAYLOAD: u8 = 40;
    pub const HEARTBEAT_V2: u8 = 41;
    pub const GTID_TAGGED: u8 = 42;
    pub const MARIADB_GTID: u8 = 162;
    pub const MARIADB_QUERY_COMPRESSED: u8 = 165;
}

/// The event was made by the server for this connection and lies in no file.
pub(super) const ARTIFICIAL: u16 = 0x20;

fn number<const N: usize>(data: &[u8], at: usize) -> Option<u64> {
    let bytes = data.get(at..at + N)?;
    Some(bytes.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b)))
}

/// The file a ROTATE event names. MariaDB leaves the checksum of an artificial one at the end of the name.
pub(super) fn rotate_file(event: &Event) -> Option<String> {
    let data = event.data();
    let name = data.get(8..)?;
    let name = match name.len().checked_sub(4).map(|end| name.split_at(end)) {
        Some((rest, checksum)) if checksum_of(event, data.len() - 4).to_le_bytes() == *checksum => rest,
        _ => name,
    };
    Some(String::from_utf8_lossy(name).into_owned())
}

/// The event's checksum over its header and the first bytes of its data.
fn checksum_of(event: &Event, length: usize) -> u32 {
    let header = event.header();
    let mut bytes = Vec::with_capacity(19 + length);
    bytes.extend(header.timestamp().to_le_bytes());
    bytes.push(header.event_type_raw());
    bytes.extend(header.server_id().to_le_bytes());
    bytes.extend(header.event_size().to_le_bytes());
    bytes.extend(header.log_pos().to_le_bytes());
    bytes.extend(header.flags_raw().to_le_bytes());
    bytes.extend(event.data().get(..length).unwrap_or_default());
    let mut crc = flate2::Crc::new();
    crc.update(&bytes);
    crc.sum()
}

/// A statement in the log.
pub(super) struct QueryEvent {
    pub database: String,
    pub sql: String,
}

pub(super) fn query(data: &[u8], compressed: bool) -> Option<QueryEvent> {
    let database_length = *data.get(8)? as usize;
    let variables_length = number::<2>(data, 11)? as usize;
    let start = 13 + variables_length;
    let database = data.get(start..start + database_length)?;
    let sql = data.get(start + database_length + 1..)?;
    let unpacked;
    let sql = if compressed {
        unpacked = uncompress(sql)?;
        &unpacked
    } else {
        sql
    };
    Some(QueryEvent {
        database: String::from_utf8_lossy(database).into_owned(),
        sql: String::from_utf8_lossy(sql).into_owned(),
    })
}

/// MariaDB's compressed bytes: a head with the length, then zlib.
pub(super) fn uncompress(data: &[u8]) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let head = *data.first()?;
    if head & 0xf0 != 0x80 {
        return None;
    }
    let length_bytes = usize::from(head & 7);
    let length = data.get(1..1 + length_bytes)?.iter().fold(0usize, |n, b| n << 8 | usize::from(*b));
    let packed = data.get(1 + length_bytes..)?;
    let mut out = Vec::with_capacity(length.min(1 << 24));
    flate2::read::ZlibDecoder::new(packed).take(length as u64).read_to_end(&mut out).ok()?;
    (out.len() == length).then_some(out)
}

/// MariaDB's compressed rows event as its plain type and data.
pub(super) fn uncompress_rows(event_type: u8, data: &[u8]) -> Option<(u8, Vec<u8>)> {
    let (plain, head) = match event_type {
        166 => (23, 8),
        167 => (24, 8),
        168 => (25, 8),
        169 => (30, 10),
        170 => (31, 10),
        171 => (32, 10),
        _ => return None,
    };
    // Table, flags, width and bitmaps stay as they are.
    let mut at = head;
    let width = *data.get(at)? as usize;
    let (width, width_bytes) = match width {
        0..=250 => (width, 1),
        0xfc => (number::<2>(data, at + 1)? as usize, 3),
        _ => return None,
    };
    at += width_bytes;
    at += width.div_ceil(8) * if matches!(plain, 24 | 31) { 2 } else { 1 };
    let mut out = data.get(..at)?.to_vec();
    out.extend(uncompress(data.get(at..)?)?);
    Some((plain, out))
}

/// MySQL's GTID: source and number.
pub(super) fn gtid(data: &[u8]) -> Option<(String, u64)> {
    let uuid = data.get(1..17)?;
    Some((uuid_text(uuid), number::<8>(data, 17)?))
}

fn uuid_text(bytes: &[u8]) -> String {
    let digits = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
}

/// What lies before a file of the log. None in the form with tags.
pub(super) fn previous_gtids(data: &[u8]) -> Option<GtidSet> {
    let sources = number::<8>(data, 0)?;
    let mut at = 8;
    let mut texts = Vec::new();
    for _ in 0..sources {
        let mut text = uuid_text(data.get(at..at + 16)?);
        let ranges = number::<8>(data, at + 16)?;
        at += 24;
        for _ in 0..ranges {
            let (from, end) = (number::<8>(data, at)?, number::<8>(data, at + 8)?);
            text.push_str(&format!(":{from}-{}", end.checked_sub(1)?));
            at += 16;
        }
        texts.push(text);
    }
    GtidSet::parse(&texts.join(","))
}

/// MySQL's GTID with a tag: a message of numbered fields (flags, uuid, number, tag, …), numbers of variable length.
pub(super) fn gtid_tagged(data: &[u8]) -> Option<(String, u64)> {
    let mut at = 0usize;
    let varlen = |at: &mut usize| -> Option<u64> {
        let first = *data.get(*at)?;
        let extra = first.trailing_ones() as usize;
        let bytes = data.get(*at..*at + extra + 1)?;
        *at += extra + 1;
        let mut wide = [0u8; 16];
        wide[..bytes.len()].copy_from_slice(bytes);
        let number = u128::from_le_bytes(wide);
        Some((number >> if extra == 8 { 8 } else { extra + 1 }) as u64)
    };
    // Version, size, last field that must be understood.
    for _ in 0..3 {
        varlen(&mut at)?;
    }
    let (mut uuid, mut gno, mut tag) = (None, None, String::new());
    for _ in 0..4 {
        match varlen(&mut at)? {
            0 => {
                varlen(&mut at)?;
            }
            1 => {
                let mut bytes = [0u8; 16];
                for byte in &mut bytes {
                    *byte = varlen(&mut at)? as u8;
                }
                uuid = Some(uuid_text(&bytes));
            }
            2 => {
                let zigzag = varlen(&mut at)?;
                gno = Some(zigzag >> 1);
            }
            3 => {
                let length = varlen(&mut at)? as usize;
                tag = String::from_utf8_lossy(data.get(at..at + length)?).into_owned();
                at += length;
            }
            _ => break,
        }
    }
    let uuid = uuid?;
    Some((if tag.is_empty() { uuid } else { format!("{uuid}:{tag}") }, gno?))
}

/// MariaDB's GTID event.
pub(super) struct MariaGtid {
    pub number: u64,
    pub domain: u32,
    /// The event group is one statement, with no commit after it.
    pub standalone: bool,
    /// The XA transaction that the group prepares, in the form of [`xa_id`].
    pub xa: Option<String>,
}

pub(super) fn maria_gtid(data: &[u8]) -> Option<MariaGtid> {
    const GROUP_COMMIT: u8 = 2;
    const PREPARED_XA: u8 = 64;
    let flags = *data.get(12)?;
    let xa = if flags & PREPARED_XA != 0 {
        let at = if flags & GROUP_COMMIT != 0 { 21 } else { 13 };
        let format = number::<4>(data, at)?;
        let (global, branch) = (usize::from(*data.get(at + 4)?), usize::from(*data.get(at + 5)?));
        let global_id = data.get(at + 6..at + 6 + global)?;
        let branch_id = data.get(at + 6 + global..at + 6 + global + branch)?;
        Some(format!("x'{}',x'{}',{format}", hex::encode(global_id), hex::encode(branch_id)))
    } else {
        None
    };
    Some(MariaGtid {
        number: number::<8>(data, 0)?,
        domain: number::<4>(data, 8)? as u32,
        standalone: flags & 1 == 1,
        xa,
    })
}

/// The id of an XA transaction as its statements write it: `X'67',X'',1`.
pub(super) fn xa_id(sql: &str) -> Option<String> {
    let rest = sql.get(2..)?.trim_start();
    let (_, id) = rest.split_once(char::is_whitespace)?;
    let id: String = id.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
    let id = id.strip_suffix("onephase").unwrap_or(&id);
    Some(id.to_owned())
}

/// XA_PREPARE: whether it commits at once.
pub(super) fn xa_one_phase(data: &[u8]) -> bool {
    data.first().is_some_and(|b| *b != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xa_ids_are_the_same_in_all_statements() {
        for sql in [
            "XA START X'6131',X'',1",
            "XA END X'6131',X'',1",
            "XA COMMIT X'6131',X'',1",
            "XA COMMIT X'6131',X'',1 ONE PHASE",
        ] {
            assert_eq!(xa_id(sql).as_deref(), Some("x'6131',x'',1"));
        }
    }

    #[test]
    fn damaged_events_say_nothing() {
        for length in 0..30 {
            let data = vec![0xfc; length];
            let _ = (query(&data, false), query(&data, true), gtid(&data), maria_gtid(&data), gtid_tagged(&data));
            let _ = (uncompress(&data), uncompress_rows(167, &data));
        }
    }
}
