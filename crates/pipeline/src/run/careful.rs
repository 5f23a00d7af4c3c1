//! Careful reading: after rows were refused, their epoch is read again and every row is tried before it is written.
//! Those that are refused become dead letters. Nothing of this costs anything while no row is refused.

use std::sync::atomic::{AtomicU32, Ordering};

use starweir_engine::{SinkContext, TableRows};
use starweir_model::{ChangeOp, Error, ErrorKind, Result, RowChange, SchemaChange, TableId};

use super::Running;
use super::sifting::Sifting;
use crate::letters::{Letter, LetterBox, LetterFolder, LetterOptions};
use crate::rows::batch_of;

/// How many epochs are read carefully after one with refused rows: where one is wrong, more may follow, and finding
/// out by a failed load costs a whole epoch.
const EPOCHS: u32 = 16;

/// How long a job goes on reading carefully.
#[derive(Default)]
pub(super) struct Carefulness(AtomicU32);

impl Carefulness {
    /// A row was refused. False when this was found out although rows were tried before: the next time will not be
    /// different.
    pub fn begin(&self) -> bool {
        self.0.swap(EPOCHS, Ordering::AcqRel) == 0
    }

    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }

    /// An epoch was recorded, with or without letters.
    pub fn epoch_ended(&self, letters: bool) {
        let left = self.0.load(Ordering::Acquire);
        self.0.store(if letters { EPOCHS } else { left.saturating_sub(1) }, Ordering::Release);
    }
}

/// The letters of the epoch that is being written.
#[derive(Default)]
pub(super) struct EpochLetters {
    written: Vec<Letter>,
}

impl EpochLetters {
    /// Makes the epoch's letters durable. Called when its rows are prepared and before it is recorded.
    pub fn keep(&self, options: &LetterOptions, context: &SinkContext, epoch: starweir_model::Epoch) -> Result<()> {
        match &options.to {
            LetterBox::Folder(folder) => LetterFolder(folder).write(&context.job_id, epoch, &self.written),
            // They are rows of the epoch like others.
            LetterBox::Table(_) => Ok(()),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.written.is_empty()
    }
}

impl Running<'_> {
    /// The rows that are taken; the others become letters.
    pub(super) async fn sift(&mut self, table: &TableId, rows: TableRows) -> Result<TableRows> {
        let Some(options) = &self.job.letters else { return Ok(rows) };
        if self.refusal(table, rows.clone()).await?.is_none() {
            return Ok(rows);
        }
        let changes = self.flow.source_changes(table, rows)?;
        let mut sifting = Sifting::new(changes.len());
        while let Some(range) = sifting.next() {
            let refusal = self.refusal(table, TableRows::Changes(changes[range.clone()].to_vec())).await?;
            sifting.answer(range, refusal);
            let letters = self.letters.written.len() + sifting.refused_rows();
            if letters > options.per_epoch_max {
                return Err(Error::refused(format!(
                    "more than {} rows of one epoch are refused",
                    options.per_epoch_max
                ))
                .with_hint("find out what is wrong with all of them, or raise dead-letters.limit"));
            }
        }
        let (taken, refused) = sifting.ended();
        for (at, error) in refused {
            self.post(table, changes[at].clone(), &error).await?;
        }
        Ok(TableRows::Changes(taken.into_iter().flat_map(|range| changes[range].to_vec()).collect()))
    }

    /// Why these rows together would be refused somewhere on their way.
    async fn refusal(&mut self, table: &TableId, rows: TableRows) -> Result<Option<Error>> {
        let batches = match self.flow.batches(table, rows, self.job.sink.wants_metadata()) {
            Err(error) if error.kind == ErrorKind::Data => return Ok(Some(error)),
            batches => batches?,
        };
        for (id, batch) in batches {
            let sink = self.sink(&id).await?;
            let mut encoder = sink.encoder()?;
            match encoder.encode(&batch) {
                Err(error) if error.kind == ErrorKind::Data => {
                    return Ok(Some(error.context(format!("table {id}"))));
                }
                encoded => encoded?,
            }
            if let Some(chunk) = encoder.take()
                && let Some(error) = sink.refusal(&self.protocol.context, chunk).await?
            {
                return Ok(Some(error));
            }
        }
        Ok(None)
    }

    /// Writes a letter.
    async fn post(&mut self, table: &TableId, change: RowChange, error: &Error) -> Result<()> {
        let Some(options) = &self.job.letters else { return Ok(()) };
        let context = &self.protocol.context;
        let letter = Letter {
            id: Letter::id_of(&context.job_id, self.epoch, self.letters.written.len()),
            written_ms: context.clock.now_ms(),
            pipeline: self.job.name.clone(),
            table: table.clone(),
            place: self.reader.place(),
            error: error.chain(),
            schema: self.flow.source_schema(table)?.clone(),
            change,
        };
        if let LetterBox::Table(to) = &options.to {
            let schema = Letter::table_schema();
            if self.letters.written.is_empty() {
                let create = SchemaChange::CreateTable { table: to.clone(), schema: schema.clone() };
                self.job.sink.apply(&create, None).await?;
            }
            let row = RowChange { op: ChangeOp::Insert, before: None, after: Some(letter.to_row()?), meta: Vec::new() };
            self.write(to.clone(), &batch_of(&schema, &[row])?).await?;
        }
        let counters = &self.protocol.status.sources[0];
        counters.errors.fetch_add(1, Ordering::Relaxed);
        let (place, said) = (&letter.place, error.chain());
        (self.protocol.options.note)(format!("a row of {table} (read up to {place}) went to the dead letters: {said}"));
        self.letters.written.push(letter);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_is_careful_for_a_while_and_a_refusal_then_is_final() {
        let careful = Carefulness::default();
        assert!(!careful.is_on());
        assert!(careful.begin());
        assert!(careful.is_on());
        assert!(!careful.begin());
        for _ in 0..EPOCHS - 1 {
            careful.epoch_ended(false);
        }
        assert!(careful.is_on());
        careful.epoch_ended(true);
        for _ in 0..EPOCHS {
            assert!(careful.is_on());
            careful.epoch_ended(false);
        }
        assert!(!careful.is_on());
        assert!(careful.begin());
    }
}
