//! The redo log: a file of records, each a header (length, checksum of the length, checksum of the
//! body, all little-endian u32) and a body of JSON operations that become true together.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use starweir_model::{Error, Result};

use super::segment::SegmentMeta;
use super::txn::Txn;
use crate::catalog::{AlterJob, TableDef};

const HEADER: usize = 12;
/// A record larger than this is damage, not a record.
const RECORD_MAX: usize = 1 << 30;

/// One change of the warehouse. Applying the same sequence gives the same warehouse.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Op {
    PutDatabase {
        id: u64,
        name: String,
    },
    DropDatabase {
        name: String,
    },
    PutTable(Box<TableDef>),
    DropTable {
        id: u64,
    },
    /// A transaction as it is from now on.
    PutTxn(Box<Txn>),
    ForgetTxn {
        id: u64,
    },
    /// A commit on one table: `delete` holds (segment id, roaring bitmap in base64) to be added to
    /// the segment's deleted rows; `drop` removes whole segments.
    Apply {
        table: u64,
        version: u64,
        add: Vec<SegmentMeta>,
        delete: Vec<(u64, String)>,
        drop: Vec<u64>,
    },
    /// The next AUTO_INCREMENT value to give.
    AutoIncrement {
        table: u64,
        next: i64,
    },
    PutJob(AlterJob),
    /// Ids below this were given.
    Ids {
        next: u64,
    },
}

pub struct Log {
    file: File,
    path: PathBuf,
    durable: bool,
    bytes: u64,
}

fn io(path: &Path, what: &str, error: std::io::Error) -> Error {
    Error::internal(format!("cannot {what} {}", path.display())).with_source(error)
}

impl Log {
    /// Opens or makes the log and hands every operation to `apply` in order. A record that was cut
    /// short at the very end was never acknowledged and is removed; any other damage is refused.
    pub fn open(path: &Path, durable: bool, mut apply: impl FnMut(Op) -> Result<()>) -> Result<Log> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|e| io(path, "open", e))?;
        let mut data = Vec::new();
        file.read_to_end(&mut data).map_err(|e| io(path, "read", e))?;
        let mut at = 0;
        while at < data.len() {
            let rest = &data[at..];
            if rest.len() < HEADER || rest.iter().all(|b| *b == 0) {
                break;
            }
            let word = |i: usize| u32::from_le_bytes([rest[i], rest[i + 1], rest[i + 2], rest[i + 3]]);
            let (length, length_crc, body_crc) = (word(0) as usize, word(4), word(8));
            if crc32fast::hash(&rest[..4]) != length_crc || length > RECORD_MAX {
                return Err(damaged(path, at));
            }
            if rest.len() < HEADER + length {
                break;
            }
            let body = &rest[HEADER..HEADER + length];
            if crc32fast::hash(body) != body_crc {
                return Err(damaged(path, at));
            }
            let ops: Vec<Op> = serde_json::from_slice(body).map_err(|e| damaged(path, at).with_source(e))?;
            for op in ops {
                apply(op)?;
            }
            at += HEADER + length;
        }
        if at < data.len() {
            tracing::warn!(file = %path.display(), bytes = data.len() - at, "the last log record was cut short and is removed");
            file.set_len(at as u64).map_err(|e| io(path, "shorten", e))?;
        }
        file.seek(SeekFrom::Start(at as u64)).map_err(|e| io(path, "seek in", e))?;
        Ok(Log { file, path: path.to_path_buf(), durable, bytes: at as u64 })
    }

    /// Writes one record and returns when it is on disk. After an error the file may hold a part of
    /// the record; the caller must write no more.
    pub fn append(&mut self, ops: &[Op]) -> Result<()> {
        let record = encode(ops)?;
        self.file.write_all(&record).map_err(|e| io(&self.path, "write", e))?;
        if self.durable {
            self.file.sync_data().map_err(|e| io(&self.path, "sync", e))?;
        }
        self.bytes += record.len() as u64;
        Ok(())
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Replaces the log by one that starts with `ops`, in one step (write, fsync, rename).
    pub fn rewrite(&mut self, ops: &[Op]) -> Result<()> {
        let next = self.path.with_extension("new");
        let mut file = File::create(&next).map_err(|e| io(&next, "create", e))?;
        let mut bytes = 0;
        // Records of bounded size, so that a large catalog is no single huge record.
        for chunk in ops.chunks(1000) {
            let record = encode(chunk)?;
            file.write_all(&record).map_err(|e| io(&next, "write", e))?;
            bytes += record.len() as u64;
        }
        if self.durable {
            file.sync_all().map_err(|e| io(&next, "sync", e))?;
        }
        std::fs::rename(&next, &self.path).map_err(|e| io(&self.path, "replace", e))?;
        if self.durable
            && let Some(parent) = self.path.parent()
        {
            sync_folder(parent)?;
        }
        self.file = file;
        self.bytes = bytes;
        Ok(())
    }
}

pub fn sync_folder(path: &Path) -> Result<()> {
    File::open(path).and_then(|f| f.sync_all()).map_err(|e| io(path, "sync", e))
}

fn encode(ops: &[Op]) -> Result<Vec<u8>> {
    let body = serde_json::to_vec(ops).map_err(|e| Error::internal("cannot encode a log record").with_source(e))?;
    let length = (body.len() as u32).to_le_bytes();
    let mut record = Vec::with_capacity(HEADER + body.len());
    record.extend_from_slice(&length);
    record.extend_from_slice(&crc32fast::hash(&length).to_le_bytes());
    record.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    record.extend_from_slice(&body);
    Ok(record)
}

fn damaged(path: &Path, at: usize) -> Error {
    Error::internal(format!("the redo log {} is damaged at byte {at}", path.display()))
        .with_hint("restore the data directory from a copy, or start with an empty one and load again")
}
