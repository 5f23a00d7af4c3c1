//! `TABLE(generate_series(start, end [, step]))`.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{DFSchema, Result as DfResult};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{ColumnarValue, Expr, TableSource};

use crate::error::SqlError;

/// Rows a series may have here.
const ROWS_MAX: i64 = 50_000_000;
const CHUNK: i64 = 65_536;

fn constant(state: &SessionState, e: &Expr) -> DfResult<Option<i64>> {
    let schema = DFSchema::empty();
    let physical = state.create_physical_expr(e.clone(), &schema)?;
    let batch = RecordBatch::try_new_with_options(
        Arc::new(Schema::empty()),
        vec![],
        &arrow::array::RecordBatchOptions::new().with_row_count(Some(1)),
    )?;
    let value = match physical.evaluate(&batch)? {
        ColumnarValue::Scalar(s) => s.to_array()?,
        ColumnarValue::Array(a) => a,
    };
    let t = crate::types::SqlType::of_arrow(value.data_type());
    if !t.is_integer() && t != crate::types::SqlType::Null {
        return Err(SqlError::analysis("Unknown table function 'generate_series', with incorrect argument type").into());
    }
    Ok(crate::value::Value::get(&value, &t, 0).as_i64())
}

pub fn source(state: &SessionState, args: Vec<Expr>) -> DfResult<Arc<dyn TableSource>> {
    if !(2..=3).contains(&args.len()) {
        return Err(SqlError::analysis("Unknown table function 'generate_series'").into());
    }
    let values = args.iter().map(|e| constant(state, e)).collect::<DfResult<Vec<_>>>()?;
    let schema = Arc::new(Schema::new(vec![Field::new("generate_series", DataType::Int64, true)]));
    let mut batches = Vec::new();
    if let (Some(start), Some(end), Some(step)) = (values[0], values[1], values.get(2).copied().unwrap_or(Some(1))) {
        if step == 0 {
            return Err(SqlError::new(1064, "table function's parameter step size can not be zero").into());
        }
        let rows = (i128::from(end) - i128::from(start)) / i128::from(step) + 1;
        let rows = if (step > 0 && start > end) || (step < 0 && start < end) { 0 } else { rows };
        if rows > i128::from(ROWS_MAX) {
            return Err(SqlError::unsupported(format!("a series of more than {ROWS_MAX} rows")).into());
        }
        let rows = rows as i64;
        let mut at = 0;
        while at < rows {
            let n = CHUNK.min(rows - at);
            let values = Int64Array::from_iter_values((at..at + n).map(|i| start.wrapping_add(i.wrapping_mul(step))));
            batches.push(RecordBatch::try_new(schema.clone(), vec![Arc::new(values)])?);
            at += n;
        }
    }
    Ok(provider_as_source(Arc::new(MemTable::try_new(schema, vec![batches])?)))
}
