//! Aggregate functions of ours.
use std::collections::HashMap;
use std::sync::Arc;
use datafusion::logical_expr::AggregateUDF;
pub fn functions() -> HashMap<String, Arc<AggregateUDF>> { HashMap::new() }
