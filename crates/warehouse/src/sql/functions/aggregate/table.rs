//! What the aggregates are: result types and folds.

use arrow::datatypes::i256;
use roaring::RoaringTreemap;

use super::{Aggregate, element, identity};
use crate::error::{SqlError, SqlResult};
use crate::sketch::{self, Hll};
use crate::sql::functions::arithmetic::divide_rounded;
use crate::types::SqlType;
use crate::value::{Value, rescale};

pub fn first(types: &[SqlType]) -> SqlResult<SqlType> {
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

fn union(rows: &[Vec<Value>]) -> RoaringTreemap {
    rows.iter().fold(RoaringTreemap::new(), |m, r| match &r[0] {
        Value::Bytes(b) => m | sketch::bitmap_read(b),
        v => {
            let mut m = m;
            if let Some(n) = v.as_i128().and_then(|n| u64::try_from(n).ok()) {
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

/// The estimate of a HyperLogLog over the raw values.
fn estimate(rows: &[Vec<Value>], types: &[SqlType]) -> i64 {
    let t = types.first().unwrap_or(&SqlType::Null);
    let mut h = Hll::default();
    for r in rows {
        h.add_hash(sketch::murmur64(&sketch::hashed_bytes(&r[0], t), sketch::HLL_SEED));
    }
    h.estimate() as i64
}

fn distinct_count(rows: &[Vec<Value>]) -> i64 {
    let set: std::collections::HashSet<String> = rows.iter().map(|r| identity(r)).collect();
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

pub const AGGREGATES: &[Aggregate] = &[
    Aggregate { name: "sum", types: sum_type, fold: |r, _, t| Ok(total(r, t)), skip_nulls: true },
    Aggregate {
        name: "avg",
        types: avg_type,
        fold: |r, _, t| {
            if r.is_empty() {
                return Ok(Value::Null);
            }
            Ok(match t {
                SqlType::Decimal(_, s) => {
                    let own = match &r[0][0] {
                        Value::Decimal(_, own) => *own,
                        _ => *s,
                    };
                    match total(r, &SqlType::Decimal(76, own)) {
                        Value::Decimal(sum, _) => rescale(sum, own, *s)
                            .and_then(|sum| divide_rounded(sum, i256::from_i128(r.len() as i128)))
                            .map_or(Value::Null, |q| Value::Decimal(q, *s)),
                        _ => Value::Null,
                    }
                }
                _ => Value::Double(r.iter().filter_map(|x| x[0].as_f64()).sum::<f64>() / r.len() as f64),
            })
        },
        skip_nulls: true,
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
            // NULLs are false, but no rows are NULL.
            Ok(if r.is_empty() { Value::Null } else { Value::Bool(r.iter().any(|x| x[0].as_bool() == Some(true))) })
        },
        skip_nulls: false,
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
        fold: |r, types, _| Ok(Value::int(estimate(r, types))),
        skip_nulls: true,
    },
    Aggregate {
        name: "ds_theta_count_distinct",
        types: bigint,
        fold: |r, _, _| Ok(Value::int(distinct_count(r))),
        skip_nulls: true,
    },
    Aggregate { name: "ndv", types: bigint, fold: |r, t, _| Ok(Value::int(estimate(r, t))), skip_nulls: true },
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
