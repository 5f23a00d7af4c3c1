//! Batches into load bytes, with row kinds as StarRocks understands them.

use arrow::array::ArrayRef;
use arrow::row::{RowConverter, SortField};
use bytes::Bytes;
use starweir_engine::{Chunk, Encoder};
use starweir_model::{ChangeBatch, Error, Result, RowKind, RowKinds};
use starweir_starrocks::encode::LoadEncoder;

/// A worker's encoder.
pub(super) struct Rows {
    encoder: Box<dyn LoadEncoder>,
    /// Positions of the primary key's columns; empty for append-only tables.
    key: Vec<usize>,
    /// `sink.ignore.update-before = false`: every old image is sent as a deletion.
    send_update_before: bool,
    out: Vec<u8>,
    pending: Chunk,
}

/// What becomes of the row kinds: old images of updates are dropped when the new image, which follows at once,
/// has the same key; otherwise the old key has to be deleted (the key changed, or a filter took the new image away).
pub(super) fn resolve_updates(
    kinds: &[RowKind],
    same_key_as_next: impl Fn(usize) -> bool,
    send_all: bool,
) -> Vec<RowKind> {
    let mut resolved = kinds.to_vec();
    for row in 0..kinds.len() {
        if kinds[row] == RowKind::UpdateBefore {
            let replaced = kinds.get(row + 1) == Some(&RowKind::UpdateAfter) && same_key_as_next(row);
            if send_all || !replaced {
                resolved[row] = RowKind::Delete;
            }
        }
    }
    resolved
}

impl Rows {
    pub(super) fn new(encoder: Box<dyn LoadEncoder>, key: Vec<usize>, send_update_before: bool) -> Self {
        Self { encoder, key, send_update_before, out: Vec::new(), pending: Chunk::default() }
    }

    fn kinds(&self, batch: &ChangeBatch) -> Result<RowKinds> {
        let RowKinds::Each(kinds) = &batch.kinds else { return Ok(RowKinds::AllInsert) };
        if !kinds.contains(&RowKind::UpdateBefore) {
            return Ok(batch.kinds.clone());
        }
        let columns: Vec<ArrayRef> = self.key.iter().map(|&i| batch.column(i).clone()).collect();
        let fields = columns.iter().map(|c| SortField::new(c.data_type().clone())).collect();
        let internal = |e| Error::internal("the primary key could not be compared").with_source(e);
        let converter = RowConverter::new(fields).map_err(internal)?;
        let keys = converter.convert_columns(&columns).map_err(internal)?;
        let same = |row: usize| keys.row(row) == keys.row(row + 1);
        Ok(RowKinds::Each(resolve_updates(kinds, same, self.send_update_before)))
    }
}

impl Encoder for Rows {
    fn encode(&mut self, batch: &ChangeBatch) -> Result<()> {
        self.pending.watermark_ms = self.pending.watermark_ms.max(batch.watermark_ms);
        if batch.rows() == 0 {
            return Ok(());
        }
        let kinds = self.kinds(batch)?;
        let (mut upserts, mut deletes) = (batch.rows() as u64, 0);
        if let RowKinds::Each(kinds) = &kinds {
            deletes = kinds.iter().filter(|k| **k == RowKind::Delete).count() as u64;
            upserts = kinds.iter().filter(|k| k.is_addition()).count() as u64;
        }
        let resolved = ChangeBatch { batch: batch.batch.clone(), kinds, watermark_ms: None };
        let written = self.encoder.encode(&resolved, &mut self.out)?;
        debug_assert_eq!(written as u64, upserts + deletes);
        self.pending.rows += upserts + deletes;
        self.pending.upserts += upserts;
        self.pending.deletes += deletes;
        Ok(())
    }

    fn buffered_bytes(&self) -> usize {
        self.out.len()
    }

    fn take(&mut self) -> Option<Chunk> {
        let mut chunk = std::mem::take(&mut self.pending);
        if chunk.rows == 0 && chunk.watermark_ms.is_none() {
            return None;
        }
        let capacity = self.out.len();
        chunk.bytes = Bytes::from(std::mem::replace(&mut self.out, Vec::with_capacity(capacity)));
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_delete_the_old_key_only_when_nothing_replaces_it() {
        use RowKind::{Delete as D, Insert as I, UpdateAfter as A, UpdateBefore as B};
        let check = |kinds: &[RowKind], keys: &[u8], send_all, expected: &[RowKind]| {
            let got = resolve_updates(kinds, |row| keys[row] == keys[row + 1], send_all);
            assert_eq!(got, expected, "{kinds:?} {keys:?}");
        };
        check(&[I, B, A, D], &[1, 1, 1, 1], false, &[I, B, A, D]);
        check(&[B, A], &[1, 2], false, &[D, A]);
        check(&[B, A], &[1, 1], true, &[D, A]);
        // The new image was filtered away; another row follows.
        check(&[B, I], &[1, 1], false, &[D, I]);
        check(&[B, B, A], &[1, 2, 2], false, &[D, B, A]);
        check(&[A, B], &[1, 2], false, &[A, D]);
        check(&[B], &[1], false, &[D]);
    }
}
