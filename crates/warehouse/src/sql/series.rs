//! `TABLE(generate_series(start, end [, step]))` of constants, and the same as an array.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use datafusion::common::{DFSchema, Result as DfResult};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{ColumnarValue, Expr, ExprSchemable, TableSource};

use super::functions::common;
use crate::error::{SqlError, SqlResult};
use crate::types::SqlType;
use crate::value::Value;

/// Rows a series may have here.
const ROWS_MAX: i128 = 50_000_000;
const CHUNK: i128 = 65_536;

const NAME: &str = "generate_series";

fn constant(state: &SessionState, e: &Expr) -> DfResult<(Value, SqlType)> {
    let schema = DFSchema::empty();
    let t = SqlType::of_field(&e.to_field(&schema)?.1);
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
    let v = Value::get(&value, &t, 0);
    // A number as written has the smallest type it fits in.
    let t = if matches!(e, Expr::Literal(..)) { SqlType::of_integer(&v).unwrap_or(t) } else { t };
    Ok((v, t))
}

/// The type of a series over these types.
pub fn item_type(types: &[SqlType]) -> SqlResult<SqlType> {
    let integers = types.iter().all(|t| t.is_integer() || *t == SqlType::Null);
    if !(2..=3).contains(&types.len()) || !integers {
        let names: Vec<String> = types.iter().map(SqlType::message).collect();
        return Err(SqlError::analysis(format!("Unknown table function '{NAME}({})'", names.join(","))));
    }
    Ok(match common(types) {
        t @ (SqlType::BigInt | SqlType::LargeInt) => t,
        _ => SqlType::Int,
    })
}

/// First value, step and number of values; None when an argument is NULL.
pub fn extent(args: &[Value]) -> SqlResult<Option<(i128, i128, i128)>> {
    let step = args.get(2).map_or(Some(1), Value::as_i128);
    let (Some(start), Some(end), Some(step)) = (args[0].as_i128(), args[1].as_i128(), step) else { return Ok(None) };
    if step == 0 {
        return Err(SqlError::plain("table function's parameter step size cannot equal zero"));
    }
    let backwards = (step > 0 && start > end) || (step < 0 && start < end);
    let rows = if backwards { 0 } else { (end - start) / step + 1 };
    if rows > ROWS_MAX {
        return Err(SqlError::unsupported(format!("a series of more than {ROWS_MAX} rows")));
    }
    Ok(Some((start, step, rows)))
}

pub fn source(state: &SessionState, args: Vec<Expr>) -> DfResult<Arc<dyn TableSource>> {
    let (values, types): (Vec<Value>, Vec<SqlType>) =
        args.iter().map(|e| constant(state, e)).collect::<DfResult<Vec<_>>>()?.into_iter().unzip();
    let t = item_type(&types)?;
    let schema = Arc::new(Schema::new(vec![t.field(NAME, true)]));
    let Some((start, step, rows)) = extent(&values)? else {
        return Err(SqlError::plain("table function not support null parameter").into());
    };
    let mut batches = Vec::new();
    let mut at = 0;
    while at < rows {
        let n = CHUNK.min(rows - at);
        let values: Vec<Value> = (at..at + n).map(|i| Value::Int(start + i * step)).collect();
        batches.push(RecordBatch::try_new(schema.clone(), vec![Value::array(&values, &t)])?);
        at += n;
    }
    Ok(provider_as_source(Arc::new(MemTable::try_new(schema, vec![batches])?)))
}
