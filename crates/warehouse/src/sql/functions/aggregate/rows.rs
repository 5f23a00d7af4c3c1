//! Aggregates that collect a group's rows as values and fold them at the end.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray};
use datafusion::common::{Result as DfResult, ScalarValue, internal_err};
use datafusion::logical_expr::Accumulator;

use super::{Aggregate, row_type};
use crate::types::SqlType;
use crate::value::Value;

pub struct Rows {
    pub aggregate: Aggregate,
    pub types: Vec<SqlType>,
    pub result: SqlType,
    pub rows: Vec<Vec<Value>>,
    pub seen: Option<HashSet<String>>,
    pub bytes: usize,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({} rows)", self.aggregate.name, self.rows.len())
    }
}

impl Rows {
    fn push(&mut self, row: Vec<Value>) {
        if self.aggregate.skip_nulls && row.first().is_some_and(Value::is_null) {
            return;
        }
        if let Some(seen) = &mut self.seen
            && !seen.insert(super::identity(&row))
        {
            return;
        }
        self.bytes += row.iter().map(size_of_value).sum::<usize>() + 24;
        self.rows.push(row);
    }
}

fn size_of_value(v: &Value) -> usize {
    std::mem::size_of::<Value>()
        + match v {
            Value::Text(t) | Value::Json(t) => t.len(),
            Value::Bytes(b) => b.len(),
            Value::List(l) => l.iter().map(size_of_value).sum(),
            _ => 0,
        }
}

impl Accumulator for Rows {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        let n = values.first().map_or(0, |a| a.len());
        for row in 0..n {
            let args = values.iter().zip(&self.types).map(|(a, t)| Value::get(a, t, row)).collect();
            self.push(args);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        let v = (self.aggregate.fold)(&self.rows, &self.types, &self.result)
            .map_err(datafusion::error::DataFusionError::from)?;
        crate::sql::functions::one_scalar(&Value::array(&[v], &self.result))
    }

    /// A window frame that moves on lets its oldest rows go.
    fn retract_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        let Some(first) = values.first() else { return Ok(()) };
        let n = if self.aggregate.skip_nulls { first.len() - first.null_count() } else { first.len() };
        self.rows.drain(..n.min(self.rows.len()));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        self.seen.is_none()
    }

    fn size(&self) -> usize {
        std::mem::size_of::<Self>() + self.bytes
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        let items: Vec<Value> = self
            .rows
            .iter()
            .map(|r| Value::Struct(r.iter().enumerate().map(|(i, v)| (format!("a{i}"), v.clone())).collect()))
            .collect();
        let t = SqlType::Array(Box::new(row_type(&self.types)));
        Ok(vec![crate::sql::functions::one_scalar(&Value::array(&[Value::List(items)], &t))?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        let Some(lists) = states.first().and_then(|s| s.as_list_opt::<i32>()) else {
            return internal_err!("a state of {} is no list", self.aggregate.name);
        };
        let t = row_type(&self.types);
        for i in 0..lists.len() {
            if lists.is_null(i) {
                continue;
            }
            let rows = lists.value(i);
            for r in 0..rows.len() {
                if let Value::Struct(fields) = Value::get(&rows, &t, r) {
                    self.push(fields.into_iter().map(|f| f.1).collect());
                }
            }
        }
        Ok(())
    }
}
