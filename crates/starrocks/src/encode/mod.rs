//! Rows to load bytes: CSV and JSON, from Arrow batches, serde structs or texts.

pub(crate) mod cell;
mod compress;
mod csv;
mod json;
mod number;

use starweir_model::{ChangeBatch, Error, Result, RowKind, RowKinds};

pub use cell::ZoneOffset;
pub use compress::Compression;
pub use csv::{CsvEncoder, CsvOptions, parse_separator};
pub use json::{JsonColumn, JsonEncoder, JsonLayout, json_lines, json_rows};

use crate::ddl::quoted;

/// What rows do to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operations {
    /// Rows are added; a deletion is an error. For duplicate, aggregate and unique tables.
    Append,
    /// A `__op` column says upsert (0) or delete (1). Only primary-key tables have it.
    Upsert,
}

/// Turns batches into the bytes of a load. The bytes of several batches follow one another in one body.
pub trait LoadEncoder: Send {
    /// Appends the rows of a batch; says how many. `-U` rows are left out: see [`fold_by_key`](crate::fold_by_key)
    /// for updates that change their key. On an error `out` is as before.
    fn encode(&mut self, batch: &ChangeBatch, out: &mut Vec<u8>) -> Result<usize>;

    /// Ends a body; for layouts with a closing mark. Nothing if no row was written.
    fn finish(&mut self, _out: &mut Vec<u8>) {}

    /// The load headers that describe the bytes: `format`, `columns`, separators.
    fn headers(&self) -> Vec<(String, String)>;
}

/// What to do with a row: None leaves it out; otherwise whether it deletes.
#[inline]
fn operation(kinds: &RowKinds, row: usize, operations: Operations) -> Result<Option<bool>> {
    match kinds {
        RowKinds::AllInsert => Ok(Some(false)),
        RowKinds::Each(kinds) => match (kinds[row], operations) {
            (RowKind::Insert | RowKind::UpdateAfter, _) => Ok(Some(false)),
            (RowKind::UpdateBefore, _) => Ok(None),
            (RowKind::Delete, Operations::Upsert) => Ok(Some(true)),
            (RowKind::Delete, Operations::Append) => {
                Err(Error::data("a deletion cannot be loaded into a table without primary key")
                    .with_hint("declare PRIMARY KEY … NOT ENFORCED and load into a primary-key table"))
            }
        },
    }
}

fn check_width(batch: &ChangeBatch, columns: usize) -> Result<()> {
    let found = batch.batch.num_columns();
    if found == columns {
        return Ok(());
    }
    Err(Error::internal(format!("a batch of {found} columns was given to an encoder of {columns}")))
}

/// The value of the header `columns`.
fn columns_header<'a>(names: impl Iterator<Item = &'a str>, operations: Operations) -> String {
    let mut list: Vec<_> = names.map(quoted).collect();
    if operations == Operations::Upsert {
        list.push("__op".into());
    }
    list.join(",")
}
