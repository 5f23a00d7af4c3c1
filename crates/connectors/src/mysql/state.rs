//! What another attempt needs: plain data, kept in the job's own state.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use starweir_formats::mysql::{Table, table_id};
use starweir_model::{Error, Offset, Result, TableId};

use super::position::Place;
use super::snapshot::TableSnapshot;

const VERSION: u32 = 1;

/// A table with the shape in force at the saved place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SavedTable {
    pub database: String,
    pub name: String,
    pub shape: Table,
}

/// What is left of a table's snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SavedSnapshot {
    pub database: String,
    pub name: String,
    #[serde(flatten)]
    pub left: TableSnapshot,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    version: u32,
    /// Everything up to here was given out.
    pub seen: Place,
    /// Where the stream has to be asked for, when that is earlier: a prepared XA transaction is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Place>,
    /// A list of [`SavedTable`]; written only when it changes.
    pub tables: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<SavedSnapshot>,
    #[serde(default)]
    pub finished: bool,
    /// What is left to pass over of the stream, as the start mode asks.
    #[serde(default, skip_serializing_if = "Skip::is_nothing")]
    pub skip: Skip,
}

/// Events and rows to pass over at the start of the stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Skip {
    pub events: u64,
    pub rows: u64,
}

impl Skip {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Saved {
    pub fn new(
        seen: Place,
        resume: Option<Place>,
        tables: Box<RawValue>,
        snapshots: Vec<SavedSnapshot>,
        finished: bool,
        skip: Skip,
    ) -> Self {
        Self { version: VERSION, seen, resume, tables, snapshots, finished, skip }
    }

    pub fn read(offset: &Offset) -> Result<Self> {
        let damaged = || Error::internal("the saved state of a MySQL capture cannot be read");
        let saved: Saved = serde_json::from_str(&offset.0).map_err(|e| damaged().with_source(e))?;
        if saved.version == VERSION { Ok(saved) } else { Err(damaged()) }
    }

    pub fn shapes(&self) -> Result<Vec<SavedTable>> {
        serde_json::from_str(self.tables.get()).map_err(|e| {
            Error::internal("the tables in the saved state of a MySQL capture cannot be read").with_source(e)
        })
    }

    /// The same, with the snapshots of these tables still to be taken.
    pub fn unread(mut self, tables: &[TableId]) -> Result<Self> {
        for table in self.shapes()? {
            let key = (table.database, table.name);
            if !tables.contains(&table_id(&key)) {
                continue;
            }
            self.snapshots.retain(|snapshot| (&snapshot.database, &snapshot.name) != (&key.0, &key.1));
            self.snapshots.push(SavedSnapshot { database: key.0, name: key.1, left: TableSnapshot::default() });
            self.finished = false;
        }
        Ok(self)
    }

    pub fn write(&self) -> Result<Offset> {
        let text = serde_json::to_string(self);
        Ok(Offset(text.map_err(|e| Error::internal("the state of a MySQL capture cannot be written").with_source(e))?))
    }
}
