//! Aggregates that look at a group as a distribution: quantiles, the most frequent values, the
//! smallest and largest.

use std::cmp::Ordering;
use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

use super::table::first;
use super::{Aggregate, identity};
use crate::error::{SqlError, SqlResult};
use crate::types::SqlType;
use crate::value::Value;

/// Values `approx_top_k` gives when nobody says how many.
const TOP_K: usize = 5;
const TOP_K_MAX: i64 = 100_000;
/// Items of `min_n` and `max_n` at most.
const N_MAX: i64 = 10_000;

fn fraction(name: &str, v: Option<&Value>) -> SqlResult<f64> {
    let p = v.and_then(Value::as_f64).unwrap_or(0.0);
    if (0.0..=1.0).contains(&p) {
        Ok(p)
    } else {
        Err(SqlError::plain(format!("{name} second parameter'value should be between 0 and 1")))
    }
}

/// The value at a fraction; between two values the later or the earlier one.
fn discrete(rows: &[Vec<Value>], lower: bool) -> SqlResult<Value> {
    let p =
        fraction(if lower { "percentile_disc_lc" } else { "percentile_disc" }, rows.first().and_then(|r| r.get(1)))?;
    let mut v: Vec<&Value> = rows.iter().map(|r| &r[0]).collect();
    v.sort_by(|a, b| a.compare(b));
    let at = p * v.len().saturating_sub(1) as f64;
    let at = if lower { at.floor() } else { at.ceil() } as usize;
    Ok(v.get(at).map_or(Value::Null, |x| (*x).clone()))
}

fn weight(v: Option<&Value>) -> usize {
    v.and_then(Value::as_i64).map_or(1, |n| usize::try_from(n).unwrap_or(0))
}

/// The quantile of a t-digest of few values: linear between the middles of neighbours.
fn quantile(sorted: &[f64], p: f64) -> Option<f64> {
    let n = sorted.len();
    let (last, first) = (sorted.last()?, sorted.first()?);
    let at = p * n as f64 - 0.5;
    if at <= 0.0 {
        return Some(*first);
    }
    let low = at.floor() as usize;
    if low + 1 >= n {
        return Some(*last);
    }
    Some(sorted[low] + (sorted[low + 1] - sorted[low]) * (at - low as f64))
}

fn quantiles(mut values: Vec<f64>, wanted: Option<&Value>) -> SqlResult<Value> {
    values.sort_by(f64::total_cmp);
    let one = |v: &Value| -> SqlResult<Value> {
        Ok(quantile(&values, fraction("percentile_approx", Some(v))?).map_or(Value::Null, Value::Double))
    };
    match wanted {
        Some(Value::List(ps)) => Ok(Value::List(ps.iter().map(one).collect::<SqlResult<_>>()?)),
        Some(p) => one(p),
        None => Ok(Value::Null),
    }
}

fn quantile_type(types: &[SqlType], at: usize) -> SqlResult<SqlType> {
    Ok(match types.get(at) {
        Some(SqlType::Array(_)) => SqlType::Array(Box::new(SqlType::Double)),
        _ => SqlType::Double,
    })
}

/// PERCENTILE values are their numbers, one after the other.
pub fn percentile_write(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub fn percentile_read(bytes: &[u8]) -> Vec<f64> {
    bytes.chunks_exact(8).map(|c| f64::from_le_bytes(c.try_into().unwrap_or_default())).collect()
}

/// The quantile of a PERCENTILE value.
pub fn percentile_quantile(bytes: &[u8], p: &Value) -> SqlResult<Value> {
    quantiles(percentile_read(bytes), Some(p))
}

fn extreme(rows: &[Vec<Value>], name: &str, wanted: Ordering) -> SqlResult<Value> {
    let Some(n) = rows.first().and_then(|r| r.get(1)).and_then(Value::as_i64) else { return Ok(Value::Null) };
    if !(1..=N_MAX).contains(&n) {
        return Err(SqlError::analysis(format!(
            "The second parameter of {name} must be a constant positive integer, at most {N_MAX}"
        )));
    }
    let mut v: Vec<Value> = rows.iter().map(|r| r[0].clone()).collect();
    v.sort_by(|a, b| if wanted == Ordering::Less { a.compare(b) } else { b.compare(a) });
    v.truncate(n as usize);
    Ok(Value::List(v))
}

fn list_of_first(types: &[SqlType]) -> SqlResult<SqlType> {
    Ok(SqlType::Array(Box::new(first(types)?)))
}

fn top_k(rows: &[Vec<Value>], types: &[SqlType], _: &SqlType) -> SqlResult<Value> {
    if rows.is_empty() {
        return Ok(Value::Null);
    }
    let k = match rows[0].get(1) {
        Some(v) if types.len() > 1 => v.as_i64().filter(|k| (1..=TOP_K_MAX).contains(k)).ok_or_else(|| {
            SqlError::analysis(format!("The second parameter of approx_top_k must be between 1 and {TOP_K_MAX}"))
        })? as usize,
        _ => TOP_K,
    };
    let mut counts: HashMap<String, (usize, i64)> = HashMap::new();
    for (i, row) in rows.iter().enumerate() {
        counts.entry(identity(&row[..1])).or_insert((i, 0)).1 += 1;
    }
    let mut all: Vec<(usize, i64)> = counts.into_values().collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| rows[a.0][0].compare(&rows[b.0][0])));
    all.truncate(k);
    let item = |(at, n): (usize, i64)| {
        Value::Struct(vec![("item".into(), rows[at][0].clone()), ("count".into(), Value::int(n))])
    };
    Ok(Value::List(all.into_iter().map(item).collect()))
}

/// The dictionary of low-cardinality columns, as StarRocks prints it.
fn dictionary(rows: &[Vec<Value>], _: &[SqlType], _: &SqlType) -> SqlResult<Value> {
    let mut words: Vec<String> = rows
        .iter()
        .flat_map(|r| match &r[0] {
            Value::List(items) => items.iter().filter_map(Value::as_text).collect(),
            other => other.as_text().into_iter().collect::<Vec<_>>(),
        })
        .collect();
    words.sort();
    words.dedup();
    if words.is_empty() {
        return Ok(Value::Null);
    }
    let most = rows.first().and_then(|r| r.get(1)).and_then(Value::as_i64).map_or(usize::MAX, |n| n.max(0) as usize);
    if words.len() > most {
        words.insert(0, "0".into());
        words.truncate(most + 1);
    }
    let list: Vec<String> = words.iter().map(|w| format!("\"{}\"", BASE64.encode(w))).collect();
    let ids: Vec<String> = (1..=words.len()).map(|i| i.to_string()).collect();
    Ok(Value::Text(format!(
        "{{\"2\":{{\"lst\":[\"str\",{n},{}]}},\"3\":{{\"lst\":[\"i32\",{n},{}]}}}}",
        list.join(","),
        ids.join(","),
        n = words.len()
    )))
}

pub const AGGREGATES: &[Aggregate] = &[
    Aggregate { name: "percentile_disc", types: first, fold: |r, _, _| discrete(r, false), skip_nulls: true },
    Aggregate { name: "percentile_disc_lc", types: first, fold: |r, _, _| discrete(r, true), skip_nulls: true },
    Aggregate {
        name: "percentile_approx",
        types: |t| quantile_type(t, 1),
        fold: |r, _, _| {
            let values = r.iter().filter_map(|x| x[0].as_f64()).collect();
            quantiles(values, r.first().and_then(|x| x.get(1)))
        },
        skip_nulls: true,
    },
    Aggregate {
        name: "percentile_approx_weighted",
        types: |t| quantile_type(t, 2),
        fold: |r, _, _| {
            let each = |x: &Vec<Value>| x[0].as_f64().map(|v| std::iter::repeat_n(v, weight(x.get(1))));
            quantiles(r.iter().filter_map(each).flatten().collect(), r.first().and_then(|x| x.get(2)))
        },
        skip_nulls: true,
    },
    Aggregate {
        name: "percentile_union",
        types: |_| Ok(SqlType::Percentile),
        fold: |r, _, _| {
            let read = |x: &Vec<Value>| match &x[0] {
                Value::Bytes(b) => percentile_read(b),
                other => other.as_f64().into_iter().collect(),
            };
            Ok(Value::Bytes(percentile_write(&r.iter().flat_map(read).collect::<Vec<f64>>())))
        },
        skip_nulls: true,
    },
    Aggregate {
        name: "min_n",
        types: list_of_first,
        fold: |r, _, _| extreme(r, "min_n", Ordering::Less),
        skip_nulls: true,
    },
    Aggregate {
        name: "max_n",
        types: list_of_first,
        fold: |r, _, _| extreme(r, "max_n", Ordering::Greater),
        skip_nulls: true,
    },
    Aggregate {
        name: "approx_top_k",
        types: |t| {
            let item = match first(t)? {
                SqlType::Null => SqlType::Boolean,
                t => t,
            };
            let fields = vec![("item".into(), item), ("count".into(), SqlType::BigInt)];
            Ok(SqlType::Array(Box::new(SqlType::Struct(fields))))
        },
        fold: top_k,
        skip_nulls: false,
    },
    Aggregate { name: "dict_merge", types: |_| Ok(SqlType::STRING), fold: dictionary, skip_nulls: true },
];
