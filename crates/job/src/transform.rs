//! A compiled chain as the engine's transform.

use std::sync::Arc;

use starweir_engine::Transform;
use starweir_model::{ChangeBatch, Error, Result};
use starweir_sql::{Chain, EvalContext, Zone};

/// Applies a branch's chain to the batches of a source that may be shared with other branches.
pub(crate) struct ChainTransform {
    pub chain: Chain,
    pub zone: Zone,
    pub seed: u64,
    /// The source's columns this chain wants, in its order; None when it wants them all as they are.
    pub columns: Option<Arc<[usize]>>,
    pub batches: u64,
}

impl Transform for ChainTransform {
    fn apply(&mut self, now_ms: i64, mut batch: ChangeBatch) -> Result<ChangeBatch> {
        if let Some(columns) = &self.columns {
            batch.batch = batch
                .batch
                .project(columns)
                .map_err(|e| Error::internal("a source gave fewer columns than it promised").with_source(e))?;
        }
        self.batches += 1;
        let context = EvalContext::new(now_ms, self.zone, self.seed.wrapping_add(self.batches));
        self.chain.apply(&context, batch)
    }
}
