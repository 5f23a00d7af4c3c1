//! Places in the binary log, and what transactions a read view contains.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::gtid::{GtidList, GtidSet};

/// A file of the binary log and a byte in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FilePosition {
    pub file: String,
    pub position: u64,
}

impl FilePosition {
    pub fn new(file: impl Into<String>, position: u64) -> Self {
        Self { file: file.into(), position }
    }

    /// The number at the end of the file's name: `binlog.000012` is 12.
    fn number(&self) -> u64 {
        self.file.rsplit('.').next().and_then(|n| n.parse().ok()).unwrap_or(0)
    }
}

impl PartialOrd for FilePosition {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for FilePosition {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.number(), self.position).cmp(&(other.number(), other.position))
    }
}

/// A place between transactions, in every way the server knows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    pub at: FilePosition,
    /// MySQL with GTIDs: all transactions up to here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtids: Option<GtidSet>,
    /// MariaDB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtid_list: Option<GtidList>,
}

impl Place {
    /// Whether everything up to the other place lies before this one. With GTIDs by the sets of transactions, never by
    /// positions.
    pub fn reaches(&self, other: &Place) -> bool {
        match (&self.gtids, &other.gtids) {
            (Some(own), Some(others)) => own.contains_all(others),
            _ => self.at >= other.at,
        }
    }
}

impl fmt::Display for Place {
    /// `binlog.000003:1178`, and the transactions where the server numbers them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.at.file, self.at.position)?;
        if let Some(gtids) = &self.gtids {
            write!(f, " ({gtids})")?;
        }
        if let Some(list) = &self.gtid_list {
            write!(f, " ({list})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_ordered_by_their_numbers() {
        assert!(FilePosition::new("b.999999", 9) < FilePosition::new("b.1000000", 4));
        assert!(FilePosition::new("b.000002", 9) < FilePosition::new("b.000002", 10));
    }
}
