//! What another attempt needs: plain data, kept in the job's own state.

use serde::{Deserialize, Serialize};
use starweir_formats::postgres::Shape;
use starweir_model::{Error, Offset, Result};

const VERSION: u32 = 1;

/// A table with the shape in force at the saved place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SavedTable {
    pub schema: String,
    pub name: String,
    pub oid: u32,
    pub shape: Shape,
    /// Its snapshot is not complete: it is read again.
    #[serde(default)]
    pub unread: bool,
}

/// Transactions that a snapshot beside an older slot holds already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Contained {
    /// Every transaction below is contained.
    pub xmin: u64,
    /// None from here on is.
    pub xmax: u64,
    /// Those between that were running, and are not.
    pub running: Vec<u64>,
    /// Commits from here on are not contained.
    pub until: u64,
}

impl Contained {
    /// Reads `pg_current_snapshot()`: `10:20:10,14,15`.
    pub fn parse(text: &str, until: u64) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let (xmin, xmax) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let running =
            parts.next()?.split(',').filter(|t| !t.is_empty()).map(|t| t.parse().ok()).collect::<Option<_>>()?;
        Some(Self { xmin, xmax, running, until })
    }

    /// Whether the snapshot holds the transaction. The stream has only the lower half of its number.
    pub fn holds(&self, xid: u32, commit: u64) -> bool {
        if commit >= self.until {
            return false;
        }
        // Within half of the 32-bit circle around xmax.
        let distance = xid.wrapping_sub(self.xmax as u32).cast_signed();
        let xid = self.xmax.saturating_add_signed(i64::from(distance));
        xid < self.xmin || (xid < self.xmax && !self.running.contains(&xid))
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Saved {
    version: u32,
    /// Everything committed before was given out.
    pub lsn: u64,
    pub tables: Vec<SavedTable>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contained: Option<Contained>,
    #[serde(default)]
    pub finished: bool,
}

impl Saved {
    pub fn new(lsn: u64, tables: Vec<SavedTable>, contained: Option<Contained>, finished: bool) -> Self {
        Self { version: VERSION, lsn, tables, contained, finished }
    }

    pub fn read(offset: &Offset) -> Result<Self> {
        let damaged = || Error::internal("the saved state of a PostgreSQL capture cannot be read");
        let saved: Saved = serde_json::from_str(&offset.0).map_err(|e| damaged().with_source(e))?;
        if saved.version == VERSION { Ok(saved) } else { Err(damaged()) }
    }

    pub fn write(&self) -> Result<Offset> {
        let text = serde_json::to_string(self);
        Ok(Offset(
            text.map_err(|e| Error::internal("the state of a PostgreSQL capture cannot be written").with_source(e))?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_holds_what_was_committed_in_it() {
        let high = 3_u64 << 32;
        let text = format!("{}:{}:{},{}", high + 10, high + 20, high + 10, high + 14);
        let contained = Contained::parse(&text, 1000).unwrap();
        for (xid, commit, expected) in [
            (9, 10, true),
            (10, 10, false),
            (12, 10, true),
            (14, 10, false),
            (20, 10, false),
            (u32::MAX, 10, true),
            (9, 1000, false),
        ] {
            assert_eq!(contained.holds(xid, commit), expected, "{xid} at {commit}");
        }
        assert!(Contained::parse("1:2", 0).is_none());
    }
}
