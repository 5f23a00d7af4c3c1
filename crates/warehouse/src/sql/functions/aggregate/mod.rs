//! Aggregate functions of ours: rows are collected as values and folded at the end. What DataFusion
//! has with StarRocks' meaning is DataFusion's.

pub mod ordered;
mod rows;
mod running;
pub mod statistics;
mod table;

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, i256};
use datafusion::common::Result as DfResult;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use self::rows::Rows;
use self::running::{Running, Total};
use super::element;
use crate::error::SqlResult;
use crate::types::{SqlType, field_ref};
use crate::value::Value;

type TypeRule = fn(&[SqlType]) -> SqlResult<SqlType>;
/// All rows of a group (arguments of each) → the result.
type Fold = fn(&[Vec<Value>], &[SqlType], &SqlType) -> SqlResult<Value>;

#[derive(Clone, Copy)]
pub struct Aggregate {
    name: &'static str,
    types: TypeRule,
    fold: Fold,
    /// Rows whose first argument is NULL are not collected.
    skip_nulls: bool,
}

struct Udaf {
    aggregate: Aggregate,
    signature: Signature,
}

impl std::fmt::Debug for Udaf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.aggregate.name)
    }
}
impl PartialEq for Udaf {
    fn eq(&self, other: &Self) -> bool {
        self.aggregate.name == other.aggregate.name
    }
}
impl Eq for Udaf {}
impl Hash for Udaf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.aggregate.name.hash(state);
    }
}

/// Rows that are equal have the same text.
fn identity(row: &[Value]) -> String {
    let mut out = String::new();
    for v in row {
        match v.as_text() {
            Some(t) => {
                out.push_str(&t.len().to_string());
                out.push(':');
                out.push_str(&t);
            }
            None => out.push('-'),
        }
    }
    out
}

fn row_type(types: &[SqlType]) -> SqlType {
    SqlType::Struct(types.iter().enumerate().map(|(i, t)| (format!("a{i}"), t.clone())).collect())
}

impl AggregateUDFImpl for Udaf {
    fn name(&self) -> &str {
        self.aggregate.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> DfResult<Vec<DataType>> {
        if !self.is_sum() {
            return Ok(types.to_vec());
        }
        Ok(types
            .iter()
            .map(|t| match t {
                t if t.is_integer() => DataType::Int64,
                DataType::Boolean => DataType::Int64,
                DataType::Decimal128(..)
                | DataType::Decimal256(..)
                | DataType::List(_)
                | DataType::Map(..)
                | DataType::Struct(_) => t.clone(),
                _ => DataType::Float64,
            })
            .collect())
    }

    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        let types: Vec<SqlType> = types.iter().map(SqlType::of_arrow).collect();
        Ok((self.aggregate.types)(&types).map_err(datafusion::error::DataFusionError::from)?.arrow())
    }

    fn return_field(&self, fields: &[FieldRef]) -> DfResult<FieldRef> {
        let types: Vec<SqlType> = fields.iter().map(|f| SqlType::of_field(f)).collect();
        let t = (self.aggregate.types)(&types).map_err(datafusion::error::DataFusionError::from)?;
        Ok(field_ref(self.aggregate.name, &t, true))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> DfResult<Vec<FieldRef>> {
        let types: Vec<SqlType> = args.input_fields.iter().map(|f| SqlType::of_field(f)).collect();
        if self.is_sum() && !args.is_distinct {
            let sum = match types.first().map(SqlType::arrow) {
                Some(DataType::Int64) => DataType::Int64,
                Some(DataType::Decimal128(_, s) | DataType::Decimal256(_, s)) => DataType::Decimal256(76, s),
                _ => DataType::Float64,
            };
            return Ok(vec![
                Arc::new(arrow::datatypes::Field::new("sum", sum, true)),
                Arc::new(arrow::datatypes::Field::new("n", DataType::Int64, true)),
            ]);
        }
        Ok(vec![field_ref("rows", &SqlType::Array(Box::new(row_type(&types))), true)])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> DfResult<Box<dyn Accumulator>> {
        let types: Vec<SqlType> = args.expr_fields.iter().map(|f| SqlType::of_field(f)).collect();
        let result = (self.aggregate.types)(&types).map_err(datafusion::error::DataFusionError::from)?;
        if self.is_sum() && !args.is_distinct {
            let (sum, scale) = match types.first().map(SqlType::arrow) {
                Some(DataType::Int64) => (Total::Int(0), 0),
                Some(DataType::Decimal128(_, s) | DataType::Decimal256(_, s)) => {
                    (Total::Decimal(i256::ZERO), s.max(0) as u8)
                }
                _ => (Total::Float(0.0), 0),
            };
            return Ok(Box::new(Running { sum, n: 0, scale, average: self.aggregate.name == "avg", result }));
        }
        Ok(Box::new(Rows {
            aggregate: self.aggregate,
            types,
            result,
            rows: Vec::new(),
            seen: args.is_distinct.then(HashSet::new),
            bytes: 0,
        }))
    }
}

impl Udaf {
    /// sum and avg keep a running total instead of rows.
    fn is_sum(&self) -> bool {
        matches!(self.aggregate.name, "sum" | "avg")
    }
}

/// All aggregate functions of ours by name.
pub fn functions() -> HashMap<String, Arc<AggregateUDF>> {
    let mut out: HashMap<String, Arc<AggregateUDF>> = [table::AGGREGATES, ordered::AGGREGATES, statistics::AGGREGATES]
        .into_iter()
        .flatten()
        .map(|a| {
            let f = Udaf { aggregate: *a, signature: Signature::user_defined(Volatility::Immutable) };
            (a.name.to_string(), Arc::new(AggregateUDF::from(f)))
        })
        .collect();
    for (alias, name) in [
        ("string_agg", "group_concat"),
        ("boolor_agg", "bool_or"),
        ("booland_agg", "bool_and"),
        ("array_agg_unique", "array_unique_agg"),
    ] {
        if let Some(f) = out.get(name).cloned() {
            out.insert(alias.into(), f);
        }
    }
    out
}
