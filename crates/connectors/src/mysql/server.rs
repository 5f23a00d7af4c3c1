//! What the server is and whether it is set up for capturing.

use std::collections::HashMap;

use mysql_async::Conn;
use starweir_formats::mysql::Collations;
use starweir_model::{Error, Result};

use super::connect::{failed, optional_text, rows, text};
use super::gtid::{GtidList, GtidSet};
use super::options::Settings;
use super::position::{FilePosition, Place};

/// How a read view tells which transactions it contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    /// MySQL with GTIDs: the executed set before and after the read.
    GtidExecuted,
    /// MySQL: performance_schema.log_status before and after.
    LogStatus,
    /// MariaDB: the exact position of a consistent snapshot.
    Snapshot,
    /// MySQL without the right to any of these: positions and patience.
    Delayed,
}

/// Facts about a server, read once per connection attempt.
#[derive(Debug, Clone)]
pub struct Server {
    pub mariadb: bool,
    pub version: (u16, u16, u16),
    pub gtids: bool,
    pub lower_case_names: bool,
    pub server_id: u32,
    pub marks: Marks,
    pub collations: Collations,
}

impl Server {
    /// Looks at the server and refuses, with the fix, what cannot be captured from.
    pub async fn inspect(conn: &mut Conn) -> Result<Self> {
        let found = rows(conn, "SHOW GLOBAL VARIABLES").await?;
        let variables: HashMap<String, String> =
            found.iter().map(|r| (text(r, 0).to_ascii_lowercase(), text(r, 1))).collect();
        let variable = |name: &str| variables.get(name).map(String::as_str).unwrap_or_default();
        let version_text = variable("version");
        let mariadb = version_text.contains("MariaDB");
        let mut numbers = version_text.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        let refused = |what: String, fix: &str| Err(Error::refused(what).with_hint(fix));
        if !variable("log_bin").eq_ignore_ascii_case("ON") {
            return refused("the server writes no binary log".into(), "start it with log_bin=binlog and a server_id");
        }
        let format = variable("binlog_format");
        if !format.is_empty() && !format.eq_ignore_ascii_case("ROW") {
            return refused(
                format!("the server's binlog_format is {format}"),
                "SET GLOBAL binlog_format = 'ROW', also in its configuration; sessions that are open keep the old one",
            );
        }
        let image = variable("binlog_row_image");
        if !image.is_empty() && !image.eq_ignore_ascii_case("FULL") {
            return refused(
                format!("the server's binlog_row_image is {image}: rows in its log are incomplete"),
                "SET GLOBAL binlog_row_image = 'FULL', also in its configuration; sessions that are open keep the old one",
            );
        }
        if !variable("binlog_row_metadata").eq_ignore_ascii_case("FULL") {
            tracing::info!("binlog_row_metadata=FULL on the server would let missed table changes be noticed by name");
        }
        if variable("server_id") == "0" {
            return refused(
                "the server's server_id is 0: it serves no replicas".into(),
                "set server_id to a number above 0",
            );
        }
        let gtids = !mariadb && variable("gtid_mode").eq_ignore_ascii_case("ON");
        let mut server = Self {
            mariadb,
            version,
            gtids,
            lower_case_names: variable("lower_case_table_names") == "1",
            server_id: variable("server_id").parse().unwrap_or(0),
            marks: Marks::Delayed,
            collations: Collations::new(),
        };
        server.marks = if mariadb {
            Marks::Snapshot
        } else if gtids {
            if variable("binlog_order_commits").eq_ignore_ascii_case("OFF") {
                return refused(
                    "the server's binlog_order_commits is OFF: snapshots cannot be placed in its log".into(),
                    "SET GLOBAL binlog_order_commits = ON",
                );
            }
            Marks::GtidExecuted
        } else if log_status(conn).await.is_ok() {
            Marks::LogStatus
        } else {
            tracing::warn!(
                "neither GTIDs nor performance_schema.log_status can be used: each part of a snapshot waits some \
                 seconds; set gtid_mode=ON or GRANT BACKUP_ADMIN ON *.* to the user"
            );
            Marks::Delayed
        };
        let names = "SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATIONS WHERE ID IS NOT NULL";
        let newer = "SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY \
             WHERE ID IS NOT NULL";
        let mut found = rows(conn, names).await?;
        if mariadb {
            found.extend(rows(conn, newer).await.unwrap_or_default());
        }
        for row in found {
            if let Some(id) = text(&row, 0).parse().ok()
                && let Some(charset) = optional_text(&row, 1)
            {
                server.collations.insert(id, charset);
            }
        }
        Ok(server)
    }

    /// Where the log ends now.
    pub async fn place(&self, conn: &mut Conn) -> Result<Place> {
        let newer = !self.mariadb && self.version >= (8, 2, 0);
        let sql = if newer { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
        let found = rows(conn, sql).await.map_err(|e| e.context("read the position of the binary log"))?;
        let row = found.first().ok_or_else(|| Error::refused("the server writes no binary log"))?;
        let at = FilePosition::new(text(row, 0), text(row, 1).parse().unwrap_or(4));
        let mut place = Place { at, gtids: None, gtid_list: None };
        if self.gtids {
            place.gtids = GtidSet::parse(&text(row, 4));
        } else if self.mariadb {
            place.gtid_list = self.gtid_list_at(conn, &place.at).await;
        }
        Ok(place)
    }

    /// MariaDB's GTID list of a position.
    pub async fn gtid_list_at(&self, conn: &mut Conn, at: &FilePosition) -> Option<GtidList> {
        let sql = format!("SELECT BINLOG_GTID_POS('{}', {})", at.file.replace('\'', ""), at.position);
        let found = rows(conn, &sql).await.ok()?;
        GtidList::parse(&optional_text(found.first()?, 0)?)
    }

    /// Files of the log, oldest first, and their sizes.
    pub async fn log_files(&self, conn: &mut Conn) -> Result<Vec<(String, u64)>> {
        let found = rows(conn, "SHOW BINARY LOGS").await.map_err(|e| e.context("list the files of the binary log"))?;
        Ok(found.iter().map(|r| (text(r, 0), text(r, 1).parse().unwrap_or(0))).collect())
    }

    /// A number of the range that is not the server's own.
    pub fn reader_id(&self, settings: &Settings, seed: u64) -> u32 {
        let (from, to) = settings.server_ids;
        let span = u64::from(to - from) + 1;
        let id = from + (seed % span) as u32;
        if id != self.server_id {
            id
        } else if id < to {
            id + 1
        } else {
            from
        }
    }
}

/// The executed GTID set.
pub(super) async fn gtid_executed(conn: &mut Conn) -> Result<GtidSet> {
    let found = rows(conn, "SELECT @@GLOBAL.gtid_executed").await?;
    let set = found.first().and_then(|r| GtidSet::parse(&text(r, 0)));
    set.ok_or_else(|| Error::refused("the server's gtid_executed cannot be read"))
}

/// The position up to which everything is visible.
pub(super) async fn log_status(conn: &mut Conn) -> Result<FilePosition> {
    let sql = "SELECT LOCAL->>'$.binary_log_file', LOCAL->>'$.binary_log_position' FROM performance_schema.log_status";
    let found = rows(conn, sql).await?;
    let row = found.first().ok_or_else(|| Error::refused("performance_schema.log_status is empty"))?;
    Ok(FilePosition::new(text(row, 0), text(row, 1).parse().unwrap_or(0)))
}

/// The position of the consistent snapshot that this session has open.
pub(super) async fn snapshot_position(conn: &mut Conn) -> Result<FilePosition> {
    let found = rows(conn, "SHOW STATUS LIKE 'binlog_snapshot_%'").await?;
    let mut at = FilePosition::default();
    for row in &found {
        match text(row, 0).to_ascii_lowercase().as_str() {
            "binlog_snapshot_file" => at.file = text(row, 1),
            "binlog_snapshot_position" => at.position = text(row, 1).parse().unwrap_or(0),
            _ => {}
        }
    }
    if at.file.is_empty() {
        return Err(Error::refused("the server does not say where its snapshot lies in the binary log")
            .with_hint("MariaDB 10.11 or later with its binary log enabled is needed"));
    }
    Ok(at)
}

/// Runs a statement whose failure means a missing right.
pub(super) async fn must_run(conn: &mut Conn, sql: &str) -> Result<()> {
    use mysql_async::prelude::Queryable as _;
    conn.query_drop(sql).await.map_err(failed)
}
