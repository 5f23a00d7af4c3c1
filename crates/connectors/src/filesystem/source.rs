//! Reading files: which ones, in which order, from where.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use arrow::array::{ArrayRef, Int64Array, TimestampMicrosecondArray};
use serde::{Deserialize, Serialize};
use starweir_engine::{Lane, Polled, Reader, Source, SplitOffsets};
use starweir_formats::Decoder;
use starweir_model::{Error, Offset, Result, SplitId};

use crate::format::{FormatPlan, cast, repeat_text};

/// Bytes asked of the file at once.
const BLOCK_BYTES: usize = 512 << 10;
/// The longest record: longer means that the file is not made of lines.
const RECORD_BYTES_MAX: usize = 256 << 20;
/// Rows of a batch: columns of it stay in the processor's cache.
const BATCH_ROWS: usize = 4096;

pub(super) struct FileSource {
    pub path: PathBuf,
    pub pattern: Option<regex::Regex>,
    pub monitor: Option<Duration>,
    pub plan: Arc<FormatPlan>,
}

/// An offset within a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct FileOffset {
    /// Uncompressed bytes whose records were read.
    bytes: u64,
    /// The file was read to its end.
    done: bool,
}

impl FileOffset {
    fn parse(offset: &Offset) -> Result<Self> {
        serde_json::from_str(&offset.0)
            .map_err(|e| Error::internal(format!("a file source cannot go on from '{offset}'")).with_source(e))
    }

    fn text(self) -> Offset {
        Offset(format!("{{\"bytes\":{},\"done\":{}}}", self.bytes, self.done))
    }
}

impl Source for FileSource {
    fn is_bounded(&self) -> bool {
        self.monitor.is_none()
    }

    fn open(&self, lane: Lane, restored: &SplitOffsets) -> Result<Box<dyn Reader>> {
        let mut reader = FileReader {
            path: self.path.clone(),
            pattern: self.pattern.clone(),
            monitor: self.monitor,
            decoder: self.plan.decoder()?,
            plan: self.plan.clone(),
            lane,
            offsets: SplitOffsets::new(),
            restored: restored.clone(),
            waiting: VecDeque::new(),
            open: None,
            listed: Instant::now(),
            bytes_done: 0,
            bytes_all: 0,
        };
        reader.list()?;
        if reader.offsets.is_empty() && self.monitor.is_none() && !any_file(&self.path)? {
            return Err(Error::user(format!("no file to read at {}", self.path.display()))
                .with_hint("the path is taken from the directory the command was started in"));
        }
        Ok(Box::new(reader))
    }
}

fn any_file(path: &Path) -> Result<bool> {
    let mut found = Vec::new();
    find(path, &mut found)?;
    Ok(!found.is_empty() || path.is_dir())
}

/// The lane of a file: the same on every machine and with every version (FNV-1a of the path).
fn lane_of(split: &str, lanes: usize) -> usize {
    let hash = split.bytes().fold(0xCBF2_9CE4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3));
    (hash % lanes as u64) as usize
}

/// Files at a path, sorted by name; folders are walked, globs expanded.
fn find(path: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |e: std::io::Error| Error::user(format!("{} cannot be read", path.display())).with_source(e);
    let text = path.to_string_lossy();
    if !path.exists() && text.contains(['*', '?', '[']) {
        let paths =
            glob::glob(&text).map_err(|e| Error::user(format!("'{text}' is not a pattern of paths")).with_source(e))?;
        for path in paths.filter_map(|p| p.ok()) {
            find(&path, found)?;
        }
        return Ok(());
    }
    if path.is_dir() {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            entries.push(entry.map_err(failed)?.path());
        }
        entries.sort();
        for entry in entries {
            let hidden = entry.file_name().is_some_and(|n| n.to_string_lossy().starts_with(['.', '_']));
            if !hidden {
                find(&entry, found)?;
            }
        }
    } else if path.is_file() {
        found.push(path.to_owned());
    }
    Ok(())
}

struct FileReader {
    path: PathBuf,
    pattern: Option<regex::Regex>,
    monitor: Option<Duration>,
    plan: Arc<FormatPlan>,
    decoder: Box<dyn Decoder>,
    lane: Lane,
    offsets: SplitOffsets,
    restored: SplitOffsets,
    waiting: VecDeque<PathBuf>,
    open: Option<OpenFile>,
    listed: Instant,
    bytes_done: u64,
    bytes_all: u64,
}

/// A file that is being read.
struct OpenFile {
    path: PathBuf,
    split: SplitId,
    input: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// Bytes of `buffer` already decoded.
    used: usize,
    /// Uncompressed offset of `buffer[0]`.
    base: u64,
    ended: bool,
    size: u64,
    modified_ms: i64,
    /// Whether `size` counts uncompressed bytes.
    plain: bool,
}

fn open_file(path: &Path, offset: u64) -> Result<OpenFile> {
    let failed = |e: std::io::Error| Error::user(format!("{} cannot be read", path.display())).with_source(e);
    let mut file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    let modified = about.modified().ok().and_then(|m| m.duration_since(UNIX_EPOCH).ok());
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    let mut plain = false;
    let mut input: Box<dyn Read + Send> = match ending.as_str() {
        "gz" | "gzip" => Box::new(flate2::read::MultiGzDecoder::new(file)),
        "zst" | "zstd" => Box::new(zstd::Decoder::new(file).map_err(failed)?),
        _ => {
            use std::io::{Seek, SeekFrom};
            plain = true;
            file.seek(SeekFrom::Start(offset)).map_err(failed)?;
            Box::new(file)
        }
    };
    if !plain && offset > 0 {
        // A compressed file has no shortcut to an offset.
        let skipped = std::io::copy(&mut (&mut input).take(offset), &mut std::io::sink()).map_err(failed)?;
        if skipped < offset {
            return Err(Error::refused(format!("{} is shorter than when it was read before", path.display())));
        }
    }
    if plain && offset > about.len() {
        return Err(Error::refused(format!("{} is shorter than when it was read before", path.display()))
            .with_hint("files must not change once they are there; start anew with --fresh if this is meant"));
    }
    Ok(OpenFile {
        path: path.to_owned(),
        split: SplitId(path.to_string_lossy().into_owned()),
        input,
        buffer: Vec::new(),
        used: 0,
        base: offset,
        ended: false,
        size: about.len(),
        modified_ms: modified.map_or(0, |d| d.as_millis() as i64),
        plain,
    })
}

impl OpenFile {
    /// Reads on behind what is not yet decoded. False at the end of the file.
    fn fill(&mut self) -> Result<()> {
        let failed =
            |e: std::io::Error| Error::data(format!("{} cannot be read on", self.path.display())).with_source(e);
        self.buffer.drain(..self.used);
        self.base += self.used as u64;
        self.used = 0;
        let held = self.buffer.len();
        // A record that fills the whole buffer needs a larger one.
        let wanted = BLOCK_BYTES.max(held);
        self.buffer.resize(held + wanted, 0);
        let mut filled = held;
        while filled < self.buffer.len() {
            match self.input.read(&mut self.buffer[filled..]) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(n) => filled += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(failed(e)),
            }
        }
        self.buffer.truncate(filled);
        Ok(())
    }
}

impl FileReader {
    /// Looks for files of this lane that are not known yet.
    fn list(&mut self) -> Result<()> {
        let mut found = Vec::new();
        find(&self.path, &mut found)?;
        for path in found {
            let split = SplitId(path.to_string_lossy().into_owned());
            let fits = self.pattern.as_ref().is_none_or(|p| p.is_match(&split.0));
            if !fits || self.offsets.contains_key(&split) || lane_of(&split.0, self.lane.count) != self.lane.index {
                continue;
            }
            let offset = match self.restored.get(&split) {
                Some(offset) => FileOffset::parse(offset)?,
                None => FileOffset::default(),
            };
            self.offsets.insert(split, offset.text());
            let size = std::fs::metadata(&path).map_or(0, |m| m.len());
            self.bytes_all += size;
            if offset.done {
                self.bytes_done += size;
            } else {
                self.waiting.push_back(path);
            }
        }
        self.listed = Instant::now();
        Ok(())
    }

    fn offset_of(&self, path: &Path) -> Result<FileOffset> {
        let split = SplitId(path.to_string_lossy().into_owned());
        self.offsets.get(&split).map_or(Ok(FileOffset::default()), FileOffset::parse)
    }

    /// Decodes from the open file until a batch is full or the file ends.
    fn read_on(&mut self) -> Result<Option<(starweir_model::ChangeBatch, u64)>> {
        let Some(file) = &mut self.open else { return Ok(None) };
        let start = file.base + file.used as u64;
        let mut finished = false;
        while self.decoder.rows() < BATCH_ROWS {
            if file.used == file.buffer.len() && file.ended {
                finished = true;
                break;
            }
            let lines = self.decoder.decode_lines(&file.buffer[file.used..], file.ended, BATCH_ROWS);
            let before = file.used;
            file.used += lines.consumed;
            if let Some(failed) = lines.failed {
                if failed.error.kind == starweir_formats::DecodeErrorKind::Full && self.decoder.rows() > 0 {
                    file.used = before + failed.start;
                    break;
                }
                let at = file.base + (before + failed.start) as u64;
                return Err(Error::from(failed.error).context(format!("{}, record at byte {at}", file.path.display())));
            }
            if lines.consumed == 0 {
                if file.ended {
                    finished = file.used == file.buffer.len();
                    break;
                }
                if file.buffer.len() - file.used > RECORD_BYTES_MAX {
                    return Err(Error::data(format!(
                        "{}: a record is longer than {RECORD_BYTES_MAX} bytes",
                        file.path.display()
                    )));
                }
                file.fill()?;
            }
        }
        let bytes = file.base + file.used as u64 - start;
        let rows = self.decoder.rows();
        let offset = FileOffset { bytes: file.base + file.used as u64, done: finished };
        self.offsets.insert(file.split.clone(), offset.text());
        let batch = if rows == 0 {
            None
        } else {
            let decoded = self.decoder.finish()?;
            Some(self.plan.arrange(decoded, |own, data_type| own_column(file, own, rows, data_type))?)
        };
        if finished {
            self.bytes_done += file.size;
            self.open = None;
        }
        Ok(batch.map(|b| (b, bytes)))
    }
}

/// The metadata columns, in the order of `METADATA`.
fn own_column(file: &OpenFile, own: usize, rows: usize, data_type: &arrow::datatypes::DataType) -> Result<ArrayRef> {
    match own {
        0 => repeat_text(&file.split.0, rows, data_type),
        1 => {
            let name = file.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            repeat_text(&name, rows, data_type)
        }
        2 => {
            let array: ArrayRef = Arc::new(Int64Array::from_value(file.size as i64, rows));
            cast(&array, data_type)
        }
        _ => {
            let array = TimestampMicrosecondArray::from_value(file.modified_ms.saturating_mul(1000), rows);
            let array: ArrayRef = Arc::new(array.with_timezone("UTC"));
            cast(&array, data_type)
        }
    }
}

impl Reader for FileReader {
    fn poll(&mut self, wait: Duration) -> Result<Polled> {
        loop {
            if self.open.is_some() {
                if let Some((batch, bytes)) = self.read_on()? {
                    return Ok(Polled::Batch { batch, bytes });
                }
                continue;
            }
            if let Some(path) = self.waiting.pop_front() {
                let offset = self.offset_of(&path)?;
                self.open = Some(open_file(&path, offset.bytes)?);
                continue;
            }
            let Some(interval) = self.monitor else { return Ok(Polled::Finished) };
            let left = interval.saturating_sub(self.listed.elapsed());
            if !left.is_zero() {
                std::thread::sleep(left.min(wait));
                return Ok(Polled::Idle);
            }
            self.list()?;
            if self.waiting.is_empty() {
                return Ok(Polled::Idle);
            }
        }
    }

    fn offsets(&self) -> Result<SplitOffsets> {
        Ok(self.offsets.clone())
    }

    fn skipped(&self) -> u64 {
        self.decoder.skipped()
    }

    fn lag(&self) -> Vec<(SplitId, u64)> {
        let Some(file) = &self.open else { return Vec::new() };
        let done = if file.plain { file.base + file.used as u64 } else { 0 };
        vec![(file.split.clone(), file.size.saturating_sub(done))]
    }

    fn progress(&self) -> Option<(u64, u64)> {
        if self.monitor.is_some() {
            return None;
        }
        let within = self.open.as_ref().filter(|f| f.plain).map_or(0, |f| f.base + f.used as u64);
        Some((self.bytes_done + within, self.bytes_all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{SourceRequest, Wanted};
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    use starweir_model::{Column, DataType, LogicalType, Schema, SystemClock};
    use std::io::Write;

    fn source(path: &Path, extra: &[(&str, &str)]) -> Arc<dyn Source> {
        let physical = Schema::new(vec![
            Column::new("id", DataType::nullable(LogicalType::BigInt)),
            Column::new("name", DataType::string()),
        ]);
        let wanted = [
            Wanted::Physical(0),
            Wanted::Metadata { key: "file.name".into(), data_type: DataType::string().with_nullable(false) },
        ];
        let mut options =
            vec![("path".to_string(), path.to_string_lossy().into_owned()), ("format".to_string(), "json".to_string())];
        options.extend(extra.iter().map(|(k, v)| (k.to_string(), v.to_string())));
        let request = SourceRequest {
            table: "t",
            physical: &physical,
            wanted: &wanted,
            options: &options,
            batch: false,
            zone: "UTC",
            seed: 0,
            clock: Arc::new(SystemClock),
        };
        super::super::build(&request).unwrap().source
    }

    fn read(source: &Arc<dyn Source>, restored: &SplitOffsets, rows_max: usize) -> (Vec<i64>, SplitOffsets) {
        let mut reader = source.open(Lane { index: 0, count: 1 }, restored).unwrap();
        let mut ids = Vec::new();
        while ids.len() < rows_max {
            match reader.poll(Duration::from_millis(1)).unwrap() {
                Polled::Batch { batch, .. } => ids.extend(batch.column(0).as_primitive::<Int64Type>().values()),
                Polled::Idle => {}
                Polled::Finished => break,
            }
        }
        (ids, reader.offsets().unwrap())
    }

    fn lines(ids: std::ops::Range<i64>) -> String {
        ids.map(|id| format!("{{\"id\":{id},\"name\":\"n{id}\"}}\n")).collect()
    }

    #[test]
    fn a_restart_goes_on_inside_a_file_whatever_its_compression() {
        let folder = tempfile::tempdir().unwrap();
        let text = lines(0..10_000);
        std::fs::write(folder.path().join("a.json"), &text).unwrap();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(text.as_bytes()).unwrap();
        std::fs::write(folder.path().join("b.json.gz"), gz.finish().unwrap()).unwrap();
        std::fs::write(folder.path().join("c.json.zst"), zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap();
        std::fs::write(folder.path().join("_hidden.json"), &text).unwrap();
        let source = source(folder.path(), &[]);
        let mut all = Vec::new();
        let mut offsets = SplitOffsets::new();
        loop {
            let (ids, next) = read(&source, &offsets, 1);
            if ids.is_empty() {
                break;
            }
            all.extend(ids);
            offsets = next;
        }
        let expected: Vec<i64> = (0..10_000).chain(0..10_000).chain(0..10_000).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn lanes_share_the_files_and_none_is_read_twice() {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..20 {
            std::fs::write(folder.path().join(format!("{i}.json")), lines(i..i + 1)).unwrap();
        }
        let source = source(folder.path(), &[]);
        let mut all = Vec::new();
        for index in 0..3 {
            let mut reader = source.open(Lane { index, count: 3 }, &SplitOffsets::new()).unwrap();
            while let Polled::Batch { batch, .. } = reader.poll(Duration::from_millis(1)).unwrap() {
                all.extend(batch.column(0).as_primitive::<Int64Type>().values().to_vec());
            }
        }
        all.sort_unstable();
        assert_eq!(all, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn a_watched_folder_gives_files_that_come_later() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path(), &[("source.monitor-interval", "10 ms")]);
        assert!(!source.is_bounded());
        let mut reader = source.open(Lane { index: 0, count: 1 }, &SplitOffsets::new()).unwrap();
        assert!(matches!(reader.poll(Duration::from_millis(1)).unwrap(), Polled::Idle));
        std::fs::write(folder.path().join("late.json"), lines(7..9)).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            assert!(Instant::now() < deadline, "the file was never read");
            if let Polled::Batch { batch, .. } = reader.poll(Duration::from_millis(20)).unwrap() {
                assert_eq!(batch.column(0).as_primitive::<Int64Type>().values(), &[7, 8]);
                assert_eq!(batch.column(1).as_string::<i32>().value(0), "late.json");
                return;
            }
        }
    }

    #[test]
    fn a_bad_record_is_named_by_file_and_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.json");
        std::fs::write(&path, "{\"id\":1}\nnot json\n").unwrap();
        let mut reader = source(&path, &[]).open(Lane { index: 0, count: 1 }, &SplitOffsets::new()).unwrap();
        let error = loop {
            match reader.poll(Duration::from_millis(1)) {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(error.message.ends_with("bad.json, record at byte 9"), "{}", error.message);
        let source = source(&path, &[("json.ignore-parse-errors", "true")]);
        assert_eq!(read(&source, &SplitOffsets::new(), 9).0, [1]);
    }
}
