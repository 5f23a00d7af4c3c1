//! Where in the log the stream stands, and which transaction is open.

use std::collections::HashMap;

use mysql_async::binlog::events::Event;

use super::events::{self, ARTIFICIAL, types};
use super::gtid::{GtidList, GtidSet};
use super::position::{FilePosition, Place};

/// The transaction an event belongs to, as far as known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TransactionId {
    Gtid(String, u64),
    Maria { domain: u32, server: u32, number: u64 },
    Anonymous,
}

/// A transaction being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Open {
    pub id: TransactionId,
    pub start: FilePosition,
    /// A commit will come; without it one statement is all.
    pub begun: bool,
    /// The XA id it is held under until a later statement decides about it.
    pub xa: Option<String>,
    /// Already given out by an earlier attempt.
    pub skipped: bool,
}

/// Follows the events' positions.
#[derive(Debug)]
pub(super) struct LogPosition {
    /// Where the last event ended.
    at: FilePosition,
    /// Where the last transaction ended.
    pub seen: Place,
    /// Everything up to here was given out by an earlier attempt: the stream was asked for from an earlier place.
    pub skip_until: Option<Place>,
    pub open: Option<Open>,
    /// Bytes left of a compressed transaction that is being unpacked: its events carry no positions.
    payload_left: u64,
    /// Prepared XA transactions that are held: their id, start and XA id. A later attempt must see them again.
    pub held: HashMap<String, (TransactionId, Place)>,
}

impl LogPosition {
    /// `from`: where the stream was asked for. `seen`: what was given out already.
    pub fn new(from: &Place, seen: Place) -> Self {
        let skip_until = (*from != seen).then(|| seen.clone());
        Self { at: from.at.clone(), seen, skip_until, open: None, payload_left: 0, held: HashMap::new() }
    }

    pub fn in_transaction(&self) -> bool {
        self.open.is_some()
    }

    /// Takes an event's place into account, before its content.
    pub fn step(&mut self, event: &Event) {
        let header = event.header();
        if self.payload_left > 0 {
            self.payload_left = self.payload_left.saturating_sub(u64::from(header.event_size()));
            return;
        }
        let event_type = header.event_type_raw();
        let artificial = header.flags_raw() & ARTIFICIAL != 0 || header.log_pos() == 0;
        match event_type {
            types::ROTATE => {
                if let Some(file) = events::rotate_file(event) {
                    let first = artificial && self.at.file == file;
                    if !first {
                        let position = event
                            .data()
                            .get(..8)
                            .map_or(4, |b| u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]));
                        self.at = FilePosition::new(file, position.max(4));
                        if self.open.is_none() {
                            self.seen_here();
                        }
                    }
                }
            }
            types::HEARTBEAT | types::HEARTBEAT_V2 => {
                if self.open.is_none()
                    && u64::from(header.log_pos()) > self.at.position
                    && self.at.position <= u64::from(u32::MAX)
                {
                    self.at.position = u64::from(header.log_pos());
                    self.seen_here();
                }
            }
            _ if artificial => {}
            _ => {
                let size = u64::from(header.event_size());
                let low = u64::from(header.log_pos());
                // Positions in the log have 32 bits; one transaction can be longer.
                let mut position = (self.at.position & !0xffff_ffff) | low;
                if position < self.at.position {
                    position = if self.at.position + size > u64::from(u32::MAX) { position + (1 << 32) } else { low };
                }
                self.at.position = position;
                if event_type == types::TRANSACTION_PAYLOAD {
                    self.payload_left = event
                        .read_event::<mysql_async::binlog::events::TransactionPayloadEvent<'_>>()
                        .map_or(0, |payload| payload.uncompressed_size());
                }
                let quiet = !matches!(
                    event_type,
                    types::QUERY | types::XID | types::XA_PREPARE | types::MARIADB_QUERY_COMPRESSED
                );
                if self.open.is_none() && quiet {
                    self.seen_here();
                }
            }
        }
    }

    fn seen_here(&mut self) {
        if self.skip_until.as_ref().is_some_and(|until| until.at > self.at) {
            return;
        }
        if self.at > self.seen.at {
            self.seen.at = self.at.clone();
        }
    }

    /// MySQL says at the head of each file what lies before it.
    pub fn previous_gtids(&mut self, set: GtidSet) {
        if self.open.is_none() && self.seen.gtids.is_none() && self.skip_until.is_none() {
            self.seen.gtids = Some(set);
        }
    }

    /// A transaction or a single statement begins.
    pub fn begin(&mut self, id: TransactionId, event: &Event, begun: bool) {
        let size = u64::from(event.header().event_size());
        let start = FilePosition::new(self.at.file.clone(), self.at.position.saturating_sub(size));
        if self.open.is_some() {
            // The one before ended without saying so.
            let after = std::mem::replace(&mut self.at, start.clone());
            self.end();
            self.at = after;
        }
        let skipped = self.skip_until.as_ref().is_some_and(|until| contains(until, &id, &start));
        if !skipped {
            self.skip_until = None;
        }
        self.open = Some(Open { id, start, begun, xa: None, skipped });
    }

    /// The open transaction has ended, one way or another.
    pub fn end(&mut self) -> Option<Open> {
        let open = self.open.take()?;
        if open.skipped {
            return Some(open);
        }
        match &open.id {
            TransactionId::Gtid(source, number) => {
                if let Some(set) = &mut self.seen.gtids {
                    set.add(source, *number);
                }
            }
            TransactionId::Maria { domain, server, number } => {
                self.seen.gtid_list.get_or_insert_with(GtidList::default).set(*domain, *server, *number);
            }
            TransactionId::Anonymous => {}
        }
        self.seen.at = self.at.clone();
        Some(open)
    }

    /// Where another attempt has to ask from, so that held XA transactions come again.
    pub fn resume(&self) -> Option<Place> {
        if self.held.is_empty() {
            return None;
        }
        if let Some(set) = &self.seen.gtids {
            let mut set = set.clone();
            for (id, _) in self.held.values() {
                if let TransactionId::Gtid(source, number) = id {
                    set.remove(source, *number);
                }
            }
            return Some(Place { gtids: Some(set), ..self.seen.clone() });
        }
        self.held.values().map(|(_, place)| place).min_by(|a, b| a.at.cmp(&b.at)).cloned()
    }
}

/// Whether a transaction lies before a place.
pub(super) fn contains(place: &Place, id: &TransactionId, start: &FilePosition) -> bool {
    match (id, &place.gtids, &place.gtid_list) {
        (TransactionId::Gtid(source, number), Some(set), _) => set.contains(source, *number),
        (TransactionId::Maria { domain, number, .. }, _, Some(list)) => list.contains(*domain, *number),
        _ => *start < place.at,
    }
}
