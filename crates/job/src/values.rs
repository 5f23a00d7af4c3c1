//! Constant rows as a source: one split, read once.

use std::time::Duration;

use arrow::array::RecordBatch;
use starweir_engine::{Lane, Polled, Reader, Source, SplitOffsets};
use starweir_model::{ChangeBatch, Offset, Result, SplitId};

pub(crate) struct Values(pub RecordBatch);

fn split() -> SplitId {
    SplitId("values".into())
}

impl Source for Values {
    fn is_bounded(&self) -> bool {
        true
    }

    fn lanes(&self, _: usize) -> usize {
        1
    }

    fn open(&self, _: Lane, restored: &SplitOffsets) -> Result<Box<dyn Reader>> {
        let done = restored.get(&split()).is_some_and(|offset| offset.0 == "done");
        Ok(Box::new(ValuesReader { rows: (!done).then(|| self.0.clone()) }))
    }
}

struct ValuesReader {
    rows: Option<RecordBatch>,
}

impl Reader for ValuesReader {
    fn poll(&mut self, _: Duration) -> Result<Polled> {
        Ok(match self.rows.take() {
            Some(batch) => {
                Polled::Batch { bytes: batch.get_array_memory_size() as u64, batch: ChangeBatch::inserts(batch) }
            }
            None => Polled::Finished,
        })
    }

    fn offsets(&self) -> Result<SplitOffsets> {
        let at = if self.rows.is_some() { "start" } else { "done" };
        Ok(SplitOffsets::from([(split(), Offset(at.into()))]))
    }
}
