//! A segment: one Arrow IPC file with one record batch, mapped into memory, never changed.
//! Columns are named `c<column id>`; staged segments may have `__op` (0 upsert, 1 delete).

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Date32Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::root_as_footer;
use arrow::ipc::writer::FileWriter;
use serde::{Deserialize, Serialize};
use starweir_model::{Error, Result};

/// Name of the column with the row's operation in staged segments.
pub const OP: &str = "__op";

/// What the log keeps of a segment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SegmentMeta {
    pub id: u64,
    pub table: u64,
    pub rows: u64,
    pub bytes: u64,
    /// crc32 of the file.
    pub crc: u32,
    /// (column id, smallest, largest) of integer and time columns without NULL in between.
    pub zones: Vec<(u32, i64, i64)>,
}

/// An open segment.
#[derive(Debug)]
pub struct Segment {
    pub meta: SegmentMeta,
    pub batch: RecordBatch,
    path: PathBuf,
    /// Set when no version will need the file again; it goes with the last reader.
    delete_on_drop: std::sync::atomic::AtomicBool,
}

impl Drop for Segment {
    fn drop(&mut self) {
        if self.delete_on_drop.load(std::sync::atomic::Ordering::Acquire) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

pub fn file_name(folder: &Path, table: u64, id: u64) -> PathBuf {
    folder.join(format!("t{table}-s{id}.arrow"))
}

/// The table and segment id of a segment file's name.
pub fn parse_file_name(name: &str) -> Option<(u64, u64)> {
    let (t, s) = name.strip_prefix('t')?.strip_suffix(".arrow")?.split_once("-s")?;
    Some((t.parse().ok()?, s.parse().ok()?))
}

struct Checked<W: Write> {
    inner: W,
    crc: crc32fast::Hasher,
    bytes: u64,
}

impl<W: Write> Write for Checked<W> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let n = self.inner.write(data)?;
        self.crc.update(&data[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

impl Segment {
    /// Writes the batch to a file and maps it. With `durable`, the file is on disk on return (its
    /// directory entry is not; the caller syncs the folder once).
    pub fn write(folder: &Path, table: u64, id: u64, batch: &RecordBatch, durable: bool) -> Result<Segment> {
        let path = file_name(folder, table, id);
        let fail = |e: Box<dyn std::error::Error + Send + Sync>| {
            Error::internal(format!("cannot write {}", path.display())).with_source(e)
        };
        let file = File::create(&path).map_err(|e| fail(e.into()))?;
        let checked = Checked {
            inner: std::io::BufWriter::with_capacity(1 << 20, file),
            crc: crc32fast::Hasher::new(),
            bytes: 0,
        };
        let mut writer = FileWriter::try_new(checked, batch.schema_ref()).map_err(|e| fail(e.into()))?;
        writer.write(batch).map_err(|e| fail(e.into()))?;
        writer.finish().map_err(|e| fail(e.into()))?;
        let checked = writer.into_inner().map_err(|e| fail(e.into()))?;
        let (crc, bytes) = (checked.crc.finalize(), checked.bytes);
        let file = checked.inner.into_inner().map_err(|e| fail(e.into_error().into()))?;
        if durable {
            file.sync_data().map_err(|e| fail(e.into()))?;
        }
        drop(file);
        let meta = SegmentMeta { id, table, rows: batch.num_rows() as u64, bytes, crc, zones: zones(batch) };
        Self::map(&path, meta, false)
    }

    /// Maps a segment that the log names. Its checksum is verified.
    pub fn open(folder: &Path, meta: SegmentMeta) -> Result<Segment> {
        Self::map(&file_name(folder, meta.table, meta.id), meta, true)
    }

    fn map(path: &Path, meta: SegmentMeta, verify: bool) -> Result<Segment> {
        let fail = |e: Box<dyn std::error::Error + Send + Sync>| {
            Error::internal(format!("cannot read segment {}", path.display())).with_source(e)
        };
        let damaged = || {
            Error::internal(format!("segment {} is damaged", path.display()))
                .with_hint("restore the data directory from a copy, or start with an empty one and load again")
        };
        let file = File::open(path).map_err(|e| fail(e.into()))?;
        // SAFETY: segment files are written once and never changed afterwards; the directory is
        // locked against other processes of ours.
        let mapped = unsafe { memmap2::Mmap::map(&file) }.map_err(|e| fail(e.into()))?;
        if mapped.len() as u64 != meta.bytes || (verify && crc32fast::hash(&mapped) != meta.crc) {
            return Err(damaged());
        }
        let buffer = Buffer::from(bytes::Bytes::from_owner(mapped));
        if buffer.len() < 10 {
            return Err(damaged());
        }
        let trailer = buffer.len() - 10;
        let mut tail = [0u8; 10];
        tail.copy_from_slice(&buffer[trailer..]);
        let footer_length = read_footer_length(tail).map_err(|e| fail(e.into()))?;
        let start = trailer.checked_sub(footer_length).ok_or_else(damaged)?;
        let footer = root_as_footer(&buffer[start..trailer]).map_err(|_| damaged())?;
        let schema = Arc::new(fb_to_schema(footer.schema().ok_or_else(damaged)?));
        let decoder = FileDecoder::new(schema.clone(), footer.version());
        let mut batch = None;
        if let Some(blocks) = footer.recordBatches() {
            for block in blocks {
                let length = usize::try_from(block.bodyLength()).map_err(|_| damaged())?
                    + block.metaDataLength().max(0) as usize;
                let offset = usize::try_from(block.offset()).map_err(|_| damaged())?;
                if offset.saturating_add(length) > buffer.len() {
                    return Err(damaged());
                }
                let data = buffer.slice_with_length(offset, length);
                batch = decoder.read_record_batch(block, &data).map_err(|e| fail(e.into()))?;
            }
        }
        let batch = batch.unwrap_or_else(|| RecordBatch::new_empty(schema));
        if batch.num_rows() as u64 != meta.rows {
            return Err(damaged());
        }
        Ok(Segment { meta, batch, path: path.to_path_buf(), delete_on_drop: false.into() })
    }

    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// The column with this id, when the segment has it.
    pub fn column(&self, id: u32) -> Option<&ArrayRef> {
        self.batch.column_by_name(&format!("c{id}"))
    }

    /// The operations, when the segment was staged with them.
    pub fn ops(&self) -> Option<&[i8]> {
        let column = self.batch.column_by_name(OP)?;
        column.as_primitive_opt::<Int8Type>().map(|a| &a.values()[..])
    }

    /// Removes the file when the last reader is gone.
    pub fn forget(&self) {
        self.delete_on_drop.store(true, std::sync::atomic::Ordering::Release);
    }

    /// False when the zone map proves that no row has a value in `[low, high]`.
    pub fn may_contain(&self, column: u32, low: i64, high: i64) -> bool {
        self.meta.zones.iter().find(|z| z.0 == column).is_none_or(|(_, min, max)| low <= *max && high >= *min)
    }
}

fn zones(batch: &RecordBatch) -> Vec<(u32, i64, i64)> {
    fn bounds(values: impl Iterator<Item = i64>) -> Option<(i64, i64)> {
        let mut out: Option<(i64, i64)> = None;
        for v in values {
            out = Some(out.map_or((v, v), |(a, b)| (a.min(v), b.max(v))));
        }
        out
    }
    let mut out = Vec::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let Some(id) = field.name().strip_prefix('c').and_then(|n| n.parse().ok()) else { continue };
        if column.null_count() > 0 {
            continue;
        }
        let found = match column.data_type() {
            DataType::Int8 => bounds(column.as_primitive::<Int8Type>().values().iter().map(|v| i64::from(*v))),
            DataType::Int16 => bounds(column.as_primitive::<Int16Type>().values().iter().map(|v| i64::from(*v))),
            DataType::Int32 => bounds(column.as_primitive::<Int32Type>().values().iter().map(|v| i64::from(*v))),
            DataType::Int64 => bounds(column.as_primitive::<Int64Type>().values().iter().copied()),
            DataType::Date32 => bounds(column.as_primitive::<Date32Type>().values().iter().map(|v| i64::from(*v))),
            DataType::Timestamp(..) => {
                column.as_primitive_opt::<TimestampMicrosecondType>().and_then(|a| bounds(a.values().iter().copied()))
            }
            _ => None,
        };
        if let Some((min, max)) = found {
            out.push((id, min, max));
        }
    }
    out
}
