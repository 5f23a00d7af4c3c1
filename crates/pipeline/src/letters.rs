//! Dead letters: rows that a pipeline could not deliver, kept with what is needed to understand and to replay them.
//!
//! A letter holds the change as the source gave it, before transforms and routes, and its table's schema of then, so
//! that it goes through the pipeline's rules of the day when it is replayed. Letters are written with the epoch they
//! belong to: into a folder (one file of JSON lines per epoch) or into a table of the pipeline's own sink.

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use starweir_engine::store::write_atomically;
use starweir_model::{
    ChangeOp, DataType, Epoch, Error, Instant, LogicalType, Result, RowChange, TableColumn, TableId, TableSchema, Value,
};

use crate::print;

/// Where a pipeline's dead letters go (`dead-letters`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetterBox {
    /// `file:FOLDER`: a file of JSON lines for each epoch that has letters.
    Folder(PathBuf),
    /// `table:DATABASE.TABLE`: a table of the pipeline's sink; made when the first letter comes.
    Table(TableId),
}

impl FromStr for LetterBox {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(folder) = text.strip_prefix("file:").filter(|rest| !rest.is_empty()) {
            return Ok(Self::Folder(folder.strip_prefix("//").unwrap_or(folder).into()));
        }
        match text.strip_prefix("table:").map(str::parse::<TableId>) {
            Some(Ok(table)) if table.schema.is_some() && table.namespace.is_none() => Ok(Self::Table(table)),
            _ => Err(Error::user(format!("'{text}' is no place for dead letters"))
                .with_hint("write `file:FOLDER` or `table:DATABASE.TABLE`")),
        }
    }
}

/// What a pipeline does with rows that it cannot deliver.
#[derive(Debug, Clone)]
pub struct LetterOptions {
    pub to: LetterBox,
    /// More letters than this in one epoch stop the job: then it is no row's fault.
    pub per_epoch_max: usize,
}

/// A row that was not delivered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Letter {
    /// Job, epoch and number: letters are ordered by it.
    pub id: String,
    /// When it was written, milliseconds since 1970 in UTC.
    pub written_ms: i64,
    pub pipeline: String,
    /// The source table.
    pub table: TableId,
    /// How far the source was read when the row came, in the source's words.
    pub place: String,
    pub error: String,
    /// The table's schema as the row came.
    pub schema: TableSchema,
    pub change: RowChange,
}

impl Letter {
    pub fn id_of(job_id: &str, epoch: Epoch, number: usize) -> String {
        format!("{job_id}-{:010}-{number:06}", epoch.0)
    }

    /// `insert`, `update`, `delete` or `replace`.
    pub fn operation(&self) -> &'static str {
        match self.change.op {
            ChangeOp::Insert => "insert",
            ChangeOp::Update => "update",
            ChangeOp::Delete => "delete",
            ChangeOp::Replace => "replace",
        }
    }

    /// The row's image (after the change; before it for a delete) as column names and texts.
    pub fn row(&self) -> Vec<(String, Option<String>)> {
        let image = self.change.after.as_ref().or(self.change.before.as_ref());
        let values = image.map(Vec::as_slice).unwrap_or_default();
        let text = |(column, value): (&TableColumn, &Value)| {
            let text = (!value.is_null()).then(|| print::value(value, Some(&column.data_type)));
            (column.name.clone(), text)
        };
        self.schema.columns.iter().zip(values).map(text).collect()
    }

    /// The values of the primary key, as texts with their columns' names. None for a table without one.
    pub fn key(&self) -> Option<Vec<(String, Option<String>)>> {
        let mut row = self.row();
        row.retain(|(column, _)| self.schema.primary_keys.contains(column));
        (!row.is_empty()).then_some(row)
    }

    fn row_json(&self) -> String {
        let object: serde_json::Map<_, _> = self.row().into_iter().map(|(k, v)| (k, v.into())).collect();
        serde_json::Value::Object(object).to_string()
    }

    /// One line of JSON.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|e| Error::internal("a dead letter cannot be written").with_source(e))
    }

    /// # Errors
    /// Text that is no letter.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| Error::data("a dead letter cannot be read").with_source(e))
    }

    /// The columns of a table of letters. `letter` is what a replay reads, the others are for people.
    pub fn table_schema() -> TableSchema {
        let column = |name: &str, of: DataType| TableColumn::new(name, of);
        TableSchema {
            columns: vec![
                column("id", DataType::not_null(LogicalType::VarChar(64))),
                column("written_at", DataType::nullable(LogicalType::Timestamp(3))),
                column("pipeline", DataType::string()),
                column("source_table", DataType::string()),
                column("operation", DataType::string()),
                column("place", DataType::string()),
                column("error", DataType::string()),
                column("source_row", DataType::string()),
                column(Self::COLUMN, DataType::string()),
            ],
            primary_keys: vec!["id".into()],
            comment: Some("Rows that a pipeline could not deliver".into()),
            ..TableSchema::default()
        }
    }

    /// The column of [`Letter::table_schema`] that holds the whole letter.
    pub const COLUMN: &str = "letter";

    /// The letter as a row of [`Letter::table_schema`].
    pub fn to_row(&self) -> Result<Vec<Value>> {
        Ok(vec![
            Value::string(&self.id),
            Value::Timestamp(Instant::from_millis(self.written_ms)),
            Value::string(&self.pipeline),
            Value::string(self.table.to_string()),
            Value::string(self.operation()),
            Value::string(&self.place),
            Value::string(&self.error),
            Value::string(self.row_json()),
            Value::string(self.to_json()?),
        ])
    }
}

/// A folder of letters: `<job id>-<epoch>.jsonl`.
pub struct LetterFolder<'a>(pub &'a Path);

impl LetterFolder<'_> {
    fn path(&self, job_id: &str, epoch: Epoch) -> PathBuf {
        self.0.join(format!("{job_id}-{:010}.jsonl", epoch.0))
    }

    /// Writes the letters of an epoch, in the place of what an earlier attempt wrote of it. Called before the epoch is
    /// recorded: a crash in between repeats both.
    pub fn write(&self, job_id: &str, epoch: Epoch, letters: &[Letter]) -> Result<()> {
        if letters.is_empty() {
            return Ok(());
        }
        std::fs::create_dir_all(self.0).map_err(|e| failed(self.0, e))?;
        self.put(&self.path(job_id, epoch), letters)
    }

    fn put(&self, path: &Path, letters: &[Letter]) -> Result<()> {
        let mut text = String::new();
        for letter in letters {
            text.push_str(&letter.to_json()?);
            text.push('\n');
        }
        write_atomically(path, text.as_bytes())
    }

    /// Removes what an attempt wrote of epochs that were never recorded.
    pub fn forget_after(&self, job_id: &str, recorded: Epoch) -> Result<()> {
        for path in self.files()? {
            let name = path.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let epoch = name.strip_prefix(job_id).and_then(|rest| rest.strip_prefix('-')?.parse::<u64>().ok());
            if epoch.is_some_and(|epoch| epoch > recorded.0) {
                std::fs::remove_file(&path).map_err(|e| failed(&path, e))?;
            }
        }
        Ok(())
    }

    fn files(&self) -> Result<Vec<PathBuf>> {
        let entries = match std::fs::read_dir(self.0) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed(self.0, e)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| failed(self.0, e))?.path();
            if path.extension().is_some_and(|end| end == "jsonl") {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    fn read(path: &Path) -> Result<Vec<Letter>> {
        let text = std::fs::read_to_string(path).map_err(|e| failed(path, e))?;
        text.lines()
            .enumerate()
            .map(|(at, line)| {
                Letter::from_json(line).map_err(|e| e.context(format!("{}, line {}", path.display(), at + 1)))
            })
            .collect()
    }

    /// Every letter in the folder, in order.
    pub fn list(&self) -> Result<Vec<Letter>> {
        let mut letters = Vec::new();
        for path in self.files()? {
            letters.extend(Self::read(&path)?);
        }
        Ok(letters)
    }

    /// Takes a letter out: it was delivered, or nobody wants it any more.
    pub fn remove(&self, id: &str) -> Result<()> {
        for path in self.files()? {
            let mut letters = Self::read(&path)?;
            let before = letters.len();
            letters.retain(|letter| letter.id != id);
            if letters.len() == before {
                continue;
            }
            if letters.is_empty() {
                return std::fs::remove_file(&path).map_err(|e| failed(&path, e));
            }
            return self.put(&path, &letters);
        }
        Ok(())
    }
}

fn failed(path: &Path, error: io::Error) -> Error {
    Error::refused(format!("dead letters in {} cannot be reached", path.display())).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(id: &str) -> Letter {
        let schema = TableSchema {
            columns: vec![
                TableColumn::new("id", DataType::not_null(LogicalType::Int)),
                TableColumn::new("rate", DataType::nullable(LogicalType::Double)),
            ],
            primary_keys: vec!["id".into()],
            ..TableSchema::default()
        };
        let after = Some(vec![Value::Int(7), Value::Double(f64::INFINITY)]);
        Letter {
            id: id.into(),
            written_ms: 1_700_000_000_000,
            pipeline: "shop".into(),
            table: TableId::in_schema("shop", "rates"),
            place: "0/16B3748".into(),
            error: "column 'rate' holds infinity, which StarRocks cannot store".into(),
            schema,
            change: RowChange { op: ChangeOp::Insert, before: None, after, meta: vec![] },
        }
    }

    #[test]
    fn places_are_a_folder_or_a_table_with_its_database() {
        let parse = |text: &str| text.parse::<LetterBox>().ok();
        assert_eq!(parse("file:letters"), Some(LetterBox::Folder("letters".into())));
        assert_eq!(parse("file:///var/letters"), Some(LetterBox::Folder("/var/letters".into())));
        assert_eq!(parse("table:ops.letters"), Some(LetterBox::Table(TableId::in_schema("ops", "letters"))));
        for wrong in ["letters", "file:", "table:letters", "table:a.b.c", "table:", ""] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_letter_comes_back_as_it_was_written() {
        let written = letter("a");
        assert_eq!(Letter::from_json(&written.to_json().unwrap()).unwrap(), written);
        let columns = Letter::table_schema().columns;
        let row = written.to_row().unwrap();
        assert_eq!(row.len(), columns.len());
        assert_eq!(row[7], Value::string(r#"{"id":"7","rate":"Infinity"}"#));
        assert_eq!(columns[8].name, Letter::COLUMN);
        assert_eq!(row[8], Value::string(written.to_json().unwrap()));
    }

    #[test]
    fn a_repeated_epoch_replaces_its_letters_and_an_unrecorded_one_loses_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letters");
        let letters = LetterFolder(&path);
        let ids = || letters.list().unwrap().into_iter().map(|l| l.id).collect::<Vec<_>>();
        assert!(ids().is_empty());
        letters.write("job", Epoch(9), &[letter("a"), letter("b")]).unwrap();
        letters.write("job", Epoch(9), &[letter("a")]).unwrap();
        letters.write("job", Epoch(10), &[letter("c"), letter("d")]).unwrap();
        letters.write("other", Epoch(12), &[letter("e")]).unwrap();
        letters.write("job", Epoch(11), &[]).unwrap();
        assert_eq!(ids(), ["a", "c", "d", "e"]);
        letters.remove("c").unwrap();
        letters.remove("unknown").unwrap();
        assert_eq!(ids(), ["a", "d", "e"]);
        letters.forget_after("job", Epoch(9)).unwrap();
        assert_eq!(ids(), ["a", "e"]);
        letters.remove("a").unwrap();
        letters.remove("e").unwrap();
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
    }
}
