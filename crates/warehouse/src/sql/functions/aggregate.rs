//! Aggregate functions of ours: rows are collected as values and folded at the end. What DataFusion
//! has with StarRocks' meaning is DataFusion's.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, FieldRef, i256};
use datafusion::common::{Result as DfResult, ScalarValue, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use roaring::RoaringTreemap;

use super::element;
use crate::error::{SqlError, SqlResult};
use crate::sketch::{self, Hll};
use crate::types::{SqlType, field_ref};
use crate::value::{Value, pow10, rescale};

type TypeRule = fn(&[SqlType]) -> SqlResult<SqlType>;
/// All rows of a group (arguments of each) → the result.
type Fold = fn(&[Vec<Value>], &[SqlType], &SqlType) -> SqlResult<Value>;

#[derive(Clone, Copy)]
struct Aggregate {
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
            distinct: args.is_distinct,
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

#[derive(Debug, Clone, Copy)]
enum Total {
    Int(i64),
    Float(f64),
    Decimal(i256),
}

/// A running total and count.
#[derive(Debug)]
struct Running {
    sum: Total,
    n: i64,
    scale: u8,
    average: bool,
    result: SqlType,
}

impl Running {
    fn add(&mut self, array: &ArrayRef, sign: i64) -> DfResult<()> {
        use arrow::datatypes::{Decimal128Type, Decimal256Type, Float64Type, Int64Type};
        let n = (array.len() - array.null_count()) as i64;
        match &mut self.sum {
            Total::Int(sum) => {
                if let Some(a) = array.as_primitive_opt::<Int64Type>() {
                    for v in a.iter().flatten() {
                        *sum = sum.wrapping_add(v.wrapping_mul(sign));
                    }
                }
            }
            Total::Float(sum) => {
                if let Some(a) = array.as_primitive_opt::<Float64Type>() {
                    for v in a.iter().flatten() {
                        *sum += v * sign as f64;
                    }
                }
            }
            Total::Decimal(sum) => {
                let mut step = |v: i256| *sum = if sign > 0 { sum.wrapping_add(v) } else { sum.wrapping_sub(v) };
                if let Some(a) = array.as_primitive_opt::<Decimal128Type>() {
                    a.iter().flatten().for_each(|v| step(i256::from_i128(v)));
                } else if let Some(a) = array.as_primitive_opt::<Decimal256Type>() {
                    a.iter().flatten().for_each(step);
                }
            }
        }
        self.n += n * sign;
        Ok(())
    }
}

impl Accumulator for Running {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        match values.first() {
            Some(array) => self.add(array, 1),
            None => Ok(()),
        }
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        match values.first() {
            Some(array) => self.add(array, -1),
            None => Ok(()),
        }
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        let v = if self.n == 0 {
            Value::Null
        } else {
            match (&self.sum, self.average) {
                (Total::Int(v), false) => Value::int(*v),
                (Total::Int(v), true) => Value::Double(*v as f64 / self.n as f64),
                (Total::Float(v), false) => Value::Double(*v),
                (Total::Float(v), true) => Value::Double(*v / self.n as f64),
                (Total::Decimal(v), false) => Value::Decimal(*v, self.scale),
                (Total::Decimal(v), true) => {
                    let to = match self.result {
                        SqlType::Decimal(_, s) => s,
                        _ => self.scale,
                    };
                    let n = i256::from_i128(i128::from(self.n));
                    rescale(*v, self.scale, to)
                        .and_then(|v| {
                            let q = v.checked_div(n)?;
                            let r = v.checked_rem(n)?;
                            // Half away from zero.
                            let twice = r.wrapping_abs().checked_mul(i256::from_i128(2))?;
                            let step = if twice >= n {
                                if v < i256::ZERO { i256::MINUS_ONE } else { i256::ONE }
                            } else {
                                i256::ZERO
                            };
                            q.checked_add(step)
                        })
                        .map_or(Value::Null, |q| Value::Decimal(q, to))
                }
            }
        };
        ScalarValue::try_from_array(&Value::array(&[v], &self.result), 0)
    }

    fn size(&self) -> usize {
        std::mem::size_of::<Self>()
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        let sum = match self.sum {
            Total::Int(v) => ScalarValue::Int64(Some(v)),
            Total::Float(v) => ScalarValue::Float64(Some(v)),
            Total::Decimal(v) => ScalarValue::Decimal256(Some(v), 76, self.scale as i8),
        };
        Ok(vec![sum, ScalarValue::Int64(Some(self.n))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        let [sums, counts] = states else { return internal_err!("a state of a sum has two parts") };
        let before = self.n;
        self.add(sums, 1)?;
        let more: i64 =
            counts.as_primitive_opt::<arrow::datatypes::Int64Type>().map_or(0, |c| c.iter().flatten().sum());
        self.n = before + more;
        Ok(())
    }
}

struct Rows {
    aggregate: Aggregate,
    types: Vec<SqlType>,
    result: SqlType,
    rows: Vec<Vec<Value>>,
    distinct: bool,
    bytes: usize,
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
        if self.distinct && self.rows.contains(&row) {
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
        ScalarValue::try_from_array(&Value::array(&[v], &self.result), 0)
    }

    /// A window frame that moves on lets its oldest rows go.
    fn retract_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        let Some(first) = values.first() else { return Ok(()) };
        let n = if self.aggregate.skip_nulls { first.len() - first.null_count() } else { first.len() };
        self.rows.drain(..n.min(self.rows.len()));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        !self.distinct
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
        Ok(vec![ScalarValue::try_from_array(&Value::array(&[Value::List(items)], &t), 0)?])
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

fn first(types: &[SqlType]) -> SqlResult<SqlType> {
    types.first().cloned().ok_or_else(|| SqlError::analysis("an argument is missing"))
}

fn sum_type(types: &[SqlType]) -> SqlResult<SqlType> {
    Ok(match first(types)? {
        SqlType::Decimal(p, s) => SqlType::Decimal(if p > 38 { 76 } else { 38 }, s),
        SqlType::LargeInt => SqlType::LargeInt,
        SqlType::Float | SqlType::Double => SqlType::Double,
        t if t.is_integer() || t == SqlType::Boolean => SqlType::BigInt,
        SqlType::Null => SqlType::Double,
        t if t.is_text() => SqlType::Double,
        t => return Err(SqlError::analysis(format!("No matching function with signature: sum({})", t.ddl()))),
    })
}

fn avg_type(types: &[SqlType]) -> SqlResult<SqlType> {
    Ok(match first(types)? {
        SqlType::Decimal(p, s) => {
            let scale = if s <= 6 { s + 6 } else { s.max(12) };
            SqlType::Decimal(if p > 38 { 76 } else { 38 }, scale)
        }
        SqlType::Date => SqlType::Double,
        SqlType::DateTime => SqlType::Double,
        t if t.is_nested() => {
            return Err(SqlError::analysis(format!("No matching function with signature: avg({})", t.ddl())));
        }
        _ => SqlType::Double,
    })
}

fn total(rows: &[Vec<Value>], r: &SqlType) -> Value {
    if rows.is_empty() {
        return Value::Null;
    }
    match r {
        SqlType::Double => Value::Double(rows.iter().filter_map(|x| x[0].as_f64()).sum()),
        SqlType::Decimal(_, s) => {
            let mut sum = i256::ZERO;
            for x in rows {
                if let Some(Value::Decimal(v, t)) = x[0].cast(&SqlType::Decimal(76, *s)) {
                    let _ = t;
                    sum = sum.wrapping_add(v);
                }
            }
            Value::Decimal(sum, *s)
        }
        SqlType::BigInt => Value::Int(i128::from(
            rows.iter().filter_map(|x| x[0].as_i128()).fold(0i64, |a, b| a.wrapping_add(b as i64)),
        )),
        _ => Value::Int(rows.iter().filter_map(|x| x[0].as_i128()).fold(0i128, i128::wrapping_add)),
    }
}

fn text(_: &[SqlType]) -> SqlResult<SqlType> {
    Ok(SqlType::STRING)
}
fn bigint(_: &[SqlType]) -> SqlResult<SqlType> {
    Ok(SqlType::BigInt)
}
fn double(_: &[SqlType]) -> SqlResult<SqlType> {
    Ok(SqlType::Double)
}
fn boolean(_: &[SqlType]) -> SqlResult<SqlType> {
    Ok(SqlType::Boolean)
}
fn bitmap(_: &[SqlType]) -> SqlResult<SqlType> {
    Ok(SqlType::Bitmap)
}
fn hll(_: &[SqlType]) -> SqlResult<SqlType> {
    Ok(SqlType::Hll)
}
fn array(types: &[SqlType]) -> SqlResult<SqlType> {
    Ok(SqlType::Array(Box::new(first(types)?)))
}

fn union(rows: &[Vec<Value>]) -> RoaringTreemap {
    rows.iter().fold(RoaringTreemap::new(), |m, r| match &r[0] {
        Value::Bytes(b) => m | sketch::bitmap_read(b),
        v => {
            let mut m = m;
            if let Some(n) = v.as_i64().and_then(|n| u64::try_from(n).ok()) {
                m.insert(n);
            }
            m
        }
    })
}

fn sketch_of(rows: &[Vec<Value>]) -> Hll {
    let mut h = Hll::default();
    for r in rows {
        match &r[0] {
            Value::Bytes(b) => h.merge(&Hll::read(b)),
            v => h.add_hash(sketch::murmur64(v.as_text().unwrap_or_default().as_bytes(), 0xadc8_3b19)),
        }
    }
    h
}

fn distinct_count(rows: &[Vec<Value>]) -> i64 {
    let set: std::collections::HashSet<String> = rows
        .iter()
        .map(|r| r.iter().map(|v| v.as_text().unwrap_or_default()).collect::<Vec<_>>().join("\u{1}"))
        .collect();
    set.len() as i64
}

/// The value at a fraction, with linear interpolation.
fn percentile(rows: &[Vec<Value>], p: f64) -> Option<f64> {
    let mut v: Vec<f64> = rows.iter().filter_map(|r| r[0].as_f64()).collect();
    if v.is_empty() {
        return None;
    }
    v.sort_by(f64::total_cmp);
    let at = p.clamp(0.0, 1.0) * (v.len() - 1) as f64;
    let (lo, hi) = (at.floor() as usize, at.ceil() as usize);
    Some(v[lo] + (v[hi] - v[lo]) * (at - lo as f64))
}

fn by(rows: &[Vec<Value>], wanted: std::cmp::Ordering) -> Value {
    let mut best: Option<&Vec<Value>> = None;
    for r in rows.iter().filter(|r| !r[1].is_null()) {
        if best.is_none_or(|b| r[1].compare(&b[1]) == wanted) {
            best = Some(r);
        }
    }
    best.map_or(Value::Null, |r| r[0].clone())
}

const AGGREGATES: &[Aggregate] = &[
    Aggregate { name: "sum", types: sum_type, fold: |r, _, t| Ok(total(r, t)), skip_nulls: true },
    Aggregate {
        name: "avg",
        types: avg_type,
        fold: |r, _, t| {
            if r.is_empty() {
                return Ok(Value::Null);
            }
            Ok(match t {
                SqlType::Decimal(_, s) => match total(r, &SqlType::Decimal(76, *s)) {
                    Value::Decimal(sum, _) => {
                        let n = i256::from_i128(r.len() as i128);
                        let ten = sum
                            .checked_mul(pow10(1))
                            .and_then(|x| x.checked_div(n))
                            .and_then(|q| rescale(q, s + 1, *s));
                        ten.map_or(Value::Null, |q| Value::Decimal(q, *s))
                    }
                    _ => Value::Null,
                },
                _ => Value::Double(r.iter().filter_map(|x| x[0].as_f64()).sum::<f64>() / r.len() as f64),
            })
        },
        skip_nulls: true,
    },
    Aggregate {
        name: "group_concat",
        types: text,
        fold: |r, types, _| {
            if r.is_empty() {
                return Ok(Value::Null);
            }
            // A second argument is the separator.
            let separator =
                if types.len() > 1 { r[0].last().and_then(Value::as_text).unwrap_or_default() } else { ",".into() };
            let parts: Vec<String> = r.iter().filter_map(|x| x[0].as_text()).collect();
            Ok(Value::Text(parts.join(&separator)))
        },
        skip_nulls: true,
    },
    Aggregate {
        name: "array_agg",
        types: array,
        fold: |r, _, _| Ok(Value::List(r.iter().map(|x| x[0].clone()).collect())),
        skip_nulls: false,
    },
    Aggregate {
        name: "array_agg_distinct",
        types: array,
        fold: |r, _, _| {
            let mut out: Vec<Value> = Vec::new();
            for x in r {
                if !out.contains(&x[0]) {
                    out.push(x[0].clone());
                }
            }
            Ok(Value::List(out))
        },
        skip_nulls: false,
    },
    Aggregate {
        name: "array_unique_agg",
        types: first,
        fold: |r, _, _| {
            let mut out: Vec<Value> = Vec::new();
            for x in r {
                if let Value::List(l) = &x[0] {
                    for v in l {
                        if !out.contains(v) {
                            out.push(v.clone());
                        }
                    }
                }
            }
            Ok(Value::List(out))
        },
        skip_nulls: true,
    },
    Aggregate {
        name: "any_value",
        types: first,
        fold: |r, _, _| Ok(r.first().map_or(Value::Null, |x| x[0].clone())),
        skip_nulls: true,
    },
    Aggregate {
        name: "max_by",
        types: first,
        fold: |r, _, _| Ok(by(r, std::cmp::Ordering::Greater)),
        skip_nulls: false,
    },
    Aggregate { name: "min_by", types: first, fold: |r, _, _| Ok(by(r, std::cmp::Ordering::Less)), skip_nulls: false },
    Aggregate {
        name: "bool_or",
        types: boolean,
        fold: |r, _, _| {
            Ok(if r.is_empty() { Value::Null } else { Value::Bool(r.iter().any(|x| x[0].as_bool() == Some(true))) })
        },
        skip_nulls: true,
    },
    Aggregate {
        name: "bool_and",
        types: boolean,
        fold: |r, _, _| {
            Ok(if r.is_empty() { Value::Null } else { Value::Bool(r.iter().all(|x| x[0].as_bool() == Some(true))) })
        },
        skip_nulls: true,
    },
    Aggregate {
        name: "count_if",
        types: bigint,
        fold: |r, _, _| Ok(Value::int(r.iter().filter(|x| x[0].as_bool() == Some(true)).count() as i64)),
        skip_nulls: true,
    },
    Aggregate {
        name: "approx_count_distinct",
        types: bigint,
        fold: |r, _, _| Ok(Value::int(distinct_count(r))),
        skip_nulls: true,
    },
    Aggregate { name: "ndv", types: bigint, fold: |r, _, _| Ok(Value::int(distinct_count(r))), skip_nulls: true },
    Aggregate {
        name: "approx_count_distinct_hll_sketch",
        types: bigint,
        fold: |r, _, _| Ok(Value::int(distinct_count(r))),
        skip_nulls: true,
    },
    Aggregate {
        name: "ds_hll_count_distinct",
        types: bigint,
        fold: |r, _, _| Ok(Value::int(distinct_count(&r.iter().map(|x| vec![x[0].clone()]).collect::<Vec<_>>()))),
        skip_nulls: true,
    },
    Aggregate {
        name: "multi_distinct_sum",
        types: sum_type,
        fold: |r, _, t| {
            let mut seen: Vec<Vec<Value>> = Vec::new();
            for x in r {
                if !seen.contains(x) {
                    seen.push(x.clone());
                }
            }
            Ok(total(&seen, t))
        },
        skip_nulls: true,
    },
    Aggregate {
        name: "bitmap_union",
        types: bitmap,
        fold: |r, _, _| Ok(Value::Bytes(sketch::bitmap_write(&union(r)))),
        skip_nulls: true,
    },
    Aggregate {
        name: "bitmap_agg",
        types: bitmap,
        fold: |r, _, _| Ok(if r.is_empty() { Value::Null } else { Value::Bytes(sketch::bitmap_write(&union(r))) }),
        skip_nulls: true,
    },
    Aggregate {
        name: "bitmap_union_count",
        types: bigint,
        fold: |r, _, _| Ok(Value::int(union(r).len() as i64)),
        skip_nulls: true,
    },
    Aggregate {
        name: "bitmap_union_int",
        types: bigint,
        fold: |r, _, _| Ok(Value::int(union(r).len() as i64)),
        skip_nulls: true,
    },
    Aggregate {
        name: "bitmap_intersect",
        types: bitmap,
        fold: |r, _, _| {
            let mut maps =
                r.iter().filter_map(|x| if let Value::Bytes(b) = &x[0] { Some(sketch::bitmap_read(b)) } else { None });
            let Some(one) = maps.next() else { return Ok(Value::Bytes(sketch::bitmap_write(&RoaringTreemap::new()))) };
            Ok(Value::Bytes(sketch::bitmap_write(&maps.fold(one, |a, b| a & b))))
        },
        skip_nulls: true,
    },
    Aggregate {
        name: "hll_union",
        types: hll,
        fold: |r, _, _| Ok(Value::Bytes(sketch_of(r).write())),
        skip_nulls: true,
    },
    Aggregate {
        name: "hll_raw_agg",
        types: hll,
        fold: |r, _, _| Ok(Value::Bytes(sketch_of(r).write())),
        skip_nulls: true,
    },
    Aggregate { name: "hll_raw", types: hll, fold: |r, _, _| Ok(Value::Bytes(sketch_of(r).write())), skip_nulls: true },
    Aggregate {
        name: "hll_union_agg",
        types: bigint,
        fold: |r, _, _| Ok(Value::int(sketch_of(r).estimate() as i64)),
        skip_nulls: true,
    },
    Aggregate {
        name: "percentile_cont",
        types: double,
        fold: |r, _, _| {
            Ok(r.first()
                .and_then(|x| x.get(1).and_then(Value::as_f64))
                .and_then(|p| percentile(r, p))
                .map_or(Value::Null, Value::Double))
        },
        skip_nulls: true,
    },
    Aggregate {
        name: "percentile_approx",
        types: double,
        fold: |r, _, _| {
            Ok(r.first()
                .and_then(|x| x.get(1).and_then(Value::as_f64))
                .and_then(|p| percentile(r, p))
                .map_or(Value::Null, Value::Double))
        },
        skip_nulls: true,
    },
    Aggregate {
        name: "percentile_disc",
        types: first,
        fold: |r, _, _| {
            let mut v: Vec<&Value> = r.iter().map(|x| &x[0]).collect();
            v.sort_by(|a, b| a.compare(b));
            let p = r.first().and_then(|x| x.get(1).and_then(Value::as_f64)).unwrap_or(0.0).clamp(0.0, 1.0);
            let at = (p * (v.len().saturating_sub(1)) as f64).ceil() as usize;
            Ok(v.get(at).map_or(Value::Null, |x| (*x).clone()))
        },
        skip_nulls: true,
    },
    Aggregate {
        name: "map_agg",
        types: |t| Ok(SqlType::Map(Box::new(first(t)?), Box::new(t.get(1).cloned().unwrap_or(SqlType::Null)))),
        fold: |r, _, _| {
            let mut out: Vec<(Value, Value)> = Vec::new();
            for x in r {
                if !out.iter().any(|o| o.0 == x[0]) {
                    out.push((x[0].clone(), x[1].clone()));
                }
            }
            Ok(Value::Map(out))
        },
        skip_nulls: true,
    },
    Aggregate {
        name: "sum_map",
        types: first,
        fold: |r, _, _| {
            let mut out: Vec<(Value, Value)> = Vec::new();
            for x in r {
                if let Value::Map(m) = &x[0] {
                    for (k, v) in m {
                        match out.iter_mut().find(|o| o.0 == *k) {
                            Some(o) => {
                                o.1 = match (&o.1, v) {
                                    (Value::Null, v) => v.clone(),
                                    (a, Value::Null) => a.clone(),
                                    (Value::Int(a), Value::Int(b)) => Value::Int(a + b),
                                    (a, b) => Value::Double(a.as_f64().unwrap_or(0.0) + b.as_f64().unwrap_or(0.0)),
                                }
                            }
                            None => out.push((k.clone(), v.clone())),
                        }
                    }
                }
            }
            Ok(Value::Map(out))
        },
        skip_nulls: true,
    },
    Aggregate {
        name: "retention",
        types: |t| {
            Ok(SqlType::Array(Box::new(match element(&first(t)?) {
                SqlType::Null => SqlType::Boolean,
                e => e,
            })))
        },
        fold: |r, _, _| {
            let n = r.iter().map(|x| if let Value::List(l) = &x[0] { l.len() } else { 0 }).max().unwrap_or(0);
            let hit = |i: usize| {
                r.iter().any(|x| matches!(&x[0], Value::List(l) if l.get(i).and_then(Value::as_bool) == Some(true)))
            };
            let base = hit(0);
            Ok(Value::List((0..n).map(|i| Value::Bool(base && hit(i))).collect()))
        },
        skip_nulls: true,
    },
];

/// All aggregate functions of ours by name.
pub fn functions() -> HashMap<String, Arc<AggregateUDF>> {
    let mut out: HashMap<String, Arc<AggregateUDF>> = AGGREGATES
        .iter()
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
