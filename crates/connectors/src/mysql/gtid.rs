//! Sets of transactions: MySQL's GTID sets and MariaDB's GTID lists.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// MySQL: ranges of transaction numbers by source (`uuid` or `uuid:tag`); ends included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GtidSet {
    ranges: BTreeMap<String, Vec<(u64, u64)>>,
}

impl GtidSet {
    /// Reads `uuid:1-5:8,uuid2:tag:1`. None when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut set = Self::default();
        for item in text.split(',').map(str::trim).filter(|i| !i.is_empty()) {
            let mut parts = item.split(':').map(str::trim);
            let uuid = parts.next()?.to_ascii_lowercase();
            if uuid.len() != 36 {
                return None;
            }
            let mut source = uuid.clone();
            for part in parts {
                if part.starts_with(|c: char| c.is_ascii_digit()) {
                    let (from, to) = part.split_once('-').unwrap_or((part, part));
                    let (from, to): (u64, u64) = (from.parse().ok()?, to.parse().ok()?);
                    if from == 0 || to < from || to == u64::MAX {
                        return None;
                    }
                    set.add_range(&source, from, to);
                } else {
                    source = format!("{uuid}:{}", part.to_ascii_lowercase());
                }
            }
        }
        Some(set)
    }

    pub fn add(&mut self, source: &str, number: u64) {
        self.add_range(source, number, number);
    }

    fn add_range(&mut self, source: &str, from: u64, to: u64) {
        if !self.ranges.contains_key(source) {
            self.ranges.insert(source.to_owned(), Vec::new());
        }
        let Some(ranges) = self.ranges.get_mut(source) else { return };
        // The usual case: one more at the end.
        if let Some(last) = ranges.last_mut()
            && last.1 + 1 == from
        {
            last.1 = to;
            return;
        }
        let at = ranges.partition_point(|(_, end)| end + 1 < from);
        let mut merged = (from, to);
        let mut end = at;
        while let Some(range) = ranges.get(end).filter(|r| r.0 <= to + 1) {
            merged = (merged.0.min(range.0), merged.1.max(range.1));
            end += 1;
        }
        ranges.splice(at..end, [merged]);
    }

    /// Takes one transaction out.
    pub fn remove(&mut self, source: &str, number: u64) {
        let Some(ranges) = self.ranges.get_mut(source) else { return };
        let Some(at) = ranges.iter().position(|r| r.0 <= number && number <= r.1) else { return };
        let (from, to) = ranges[at];
        let rest = [(from, number.wrapping_sub(1)), (number + 1, to)];
        ranges.splice(at..=at, rest.into_iter().filter(|r| r.0 <= r.1 && r.1 != u64::MAX));
        if ranges.is_empty() {
            self.ranges.remove(source);
        }
    }

    pub fn contains(&self, source: &str, number: u64) -> bool {
        self.ranges.get(source).is_some_and(|ranges| {
            let at = ranges.partition_point(|r| r.1 < number);
            ranges.get(at).is_some_and(|r| r.0 <= number)
        })
    }

    /// Whether every transaction of the other set is in this one.
    pub fn contains_all(&self, other: &Self) -> bool {
        other.ranges.iter().all(|(source, ranges)| {
            let Some(own) = self.ranges.get(source) else { return ranges.is_empty() };
            ranges.iter().all(|r| {
                let at = own.partition_point(|o| o.1 < r.0);
                own.get(at).is_some_and(|o| o.0 <= r.0 && r.1 <= o.1)
            })
        })
    }

    /// One text per source, as a dump request takes them.
    pub fn sources(&self) -> impl Iterator<Item = String> + '_ {
        self.ranges.iter().map(|(source, ranges)| {
            let mut text = source.clone();
            for (from, to) in ranges {
                text.push_str(&if from == to { format!(":{from}") } else { format!(":{from}-{to}") });
            }
            text
        })
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sources().collect::<Vec<_>>().join(","))
    }
}

impl Serialize for GtidSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GtidSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a GTID set"))
    }
}

/// MariaDB: the last transaction of each replication domain.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GtidList {
    /// Server and sequence number by domain.
    last: BTreeMap<u32, (u32, u64)>,
}

impl GtidList {
    /// Reads `0-1-30,1-1-7`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut list = Self::default();
        for item in text.split(',').map(str::trim).filter(|i| !i.is_empty()) {
            let mut parts = item.split('-');
            let (domain, server, number) = (parts.next()?, parts.next()?, parts.next()?);
            list.last.insert(domain.parse().ok()?, (server.parse().ok()?, number.parse().ok()?));
        }
        Some(list)
    }

    pub fn set(&mut self, domain: u32, server: u32, number: u64) {
        self.last.insert(domain, (server, number));
    }

    pub fn contains(&self, domain: u32, number: u64) -> bool {
        self.last.get(&domain).is_some_and(|(_, last)| number <= *last)
    }
}

impl fmt::Display for GtidList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (domain, (server, number))) in self.last.iter().enumerate() {
            write!(f, "{}{domain}-{server}-{number}", if i > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";

    #[test]
    fn sets_grow_and_are_compared() {
        let mut set = GtidSet::parse(&format!("{A}:1-5:8, {A}:tag:3")).unwrap();
        assert_eq!(set.to_string(), format!("{A}:1-5:8,{A}:tag:3"));
        for (number, expected) in [(6, ":1-6:8"), (7, ":1-8"), (10, ":1-8:10"), (9, ":1-10")] {
            set.add(A, number);
            assert_eq!(set.sources().next().unwrap(), format!("{A}{expected}"));
        }
        assert!(set.contains(A, 10) && !set.contains(A, 11) && set.contains(&format!("{A}:tag"), 3));
        assert!(set.contains_all(&GtidSet::parse(&format!("{A}:2-9")).unwrap()));
        assert!(!set.contains_all(&GtidSet::parse(&format!("{A}:2-11")).unwrap()));
        set.remove(A, 4);
        assert_eq!(set.sources().next().unwrap(), format!("{A}:1-3:5-10"));
        assert!(!set.contains_all(&GtidSet::parse(&format!("{A}:2-9")).unwrap()));
        for wrong in ["x", &format!("{A}:5-3"), &format!("{A}:0")] {
            assert_eq!(GtidSet::parse(wrong), None);
        }
    }

    #[test]
    fn lists_hold_the_last_of_each_domain() {
        let mut list = GtidList::parse("0-1-30,2-7-5").unwrap();
        list.set(0, 3, 31);
        assert_eq!(list.to_string(), "0-3-31,2-7-5");
        assert!(list.contains(0, 31) && !list.contains(0, 32) && !list.contains(1, 1));
    }
}
