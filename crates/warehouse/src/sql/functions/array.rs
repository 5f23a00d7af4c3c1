//! ARRAY and MAP functions.

use std::cmp::Ordering;

use super::{Args, Function, common, common_two, compatible, element, int, lenient, same, strict, string};
use crate::error::{SqlError, SqlResult};
use crate::types::SqlType;
use crate::value::Value;

/// Items of one array at most.
pub const ITEMS_MAX: i64 = 1_000_000;

fn array_of(a: &Args<'_>) -> SqlResult<SqlType> {
    Ok(SqlType::Array(Box::new(common(a.types))))
}

/// Arguments that are arrays (or NULL) with a common type.
fn arrays(name: &'static str, a: &Args<'_>) -> SqlResult<SqlType> {
    for (i, t) in a.shown().iter().enumerate() {
        if !matches!(a.types[i], SqlType::Array(_) | SqlType::Null) {
            return Err(SqlError::analysis(format!(
                "{}-th input of {name} should be an array, rather than {t}",
                i + 1
            )));
        }
    }
    if a.types.iter().any(|x| a.types.iter().any(|y| !compatible(x, y))) {
        return Err(SqlError::no_function(name, &a.shown()));
    }
    Ok(common(a.types))
}

/// An array and a value that may be one of its items.
fn item_of(name: &'static str, a: &Args<'_>) -> SqlResult<SqlType> {
    match a.types {
        [SqlType::Array(e), item] if compatible(e, item) => Ok(SqlType::Array(Box::new(common_two(e, item)))),
        [SqlType::Null, item] => Ok(SqlType::Array(Box::new(item.clone()))),
        _ => Err(SqlError::no_function(name, &a.shown())),
    }
}

fn matched(name: &str, a: &Args<'_>) -> SqlResult<SqlType> {
    match a.types {
        [SqlType::Array(e)] if !e.is_nested() => Ok(SqlType::Boolean),
        [SqlType::Null] => Ok(SqlType::Boolean),
        _ => Err(SqlError::analysis(format!("{name} should have a input array"))),
    }
}

/// An array whose items are no arrays, maps or structs.
fn flat(name: &'static str, a: &Args<'_>) -> SqlResult<SqlType> {
    match a.types {
        [_, _, ..] => Err(SqlError::analysis(format!("{name} should have only one input"))),
        [SqlType::Array(e)] if !e.is_nested() => Ok((**e).clone()),
        [SqlType::Null] => Ok(SqlType::Null),
        _ => Err(SqlError::no_function(name, &a.shown())),
    }
}

fn first_element(a: &Args<'_>) -> SqlResult<SqlType> {
    match a.types.first() {
        Some(SqlType::Array(e)) => Ok((**e).clone()),
        Some(SqlType::Null) => Ok(SqlType::Null),
        _ => Err(SqlError::analysis("an ARRAY is expected")),
    }
}

fn common_arrays(a: &Args<'_>) -> SqlResult<SqlType> {
    Ok(common(a.types))
}

fn sum_type(a: &Args<'_>) -> SqlResult<SqlType> {
    Ok(match element(&a.types[0]) {
        SqlType::Decimal(_, s) => SqlType::Decimal(38, s),
        SqlType::Float | SqlType::Double => SqlType::Double,
        SqlType::LargeInt => SqlType::LargeInt,
        SqlType::Char(_) | SqlType::Varchar(_) => SqlType::Double,
        _ => SqlType::BigInt,
    })
}

fn avg_type(a: &Args<'_>) -> SqlResult<SqlType> {
    Ok(match element(&a.types[0]) {
        SqlType::Decimal(_, s) => SqlType::Decimal(38, (s + 6).min(38)),
        _ => SqlType::Double,
    })
}

fn map_type(a: &Args<'_>) -> SqlResult<SqlType> {
    let keys: Vec<SqlType> = a.types.iter().step_by(2).cloned().collect();
    let values: Vec<SqlType> = a.types.iter().skip(1).step_by(2).cloned().collect();
    Ok(SqlType::Map(Box::new(common(&keys)), Box::new(common(&values))))
}

fn keys_type(a: &Args<'_>) -> SqlResult<SqlType> {
    match a.types.first() {
        Some(SqlType::Map(k, _)) => Ok(SqlType::Array(k.clone())),
        _ => Err(SqlError::analysis("a MAP is expected")),
    }
}

fn values_type(a: &Args<'_>) -> SqlResult<SqlType> {
    match a.types.first() {
        Some(SqlType::Map(_, v)) => Ok(SqlType::Array(v.clone())),
        _ => Err(SqlError::analysis("a MAP is expected")),
    }
}

pub fn items(v: &Value) -> &[Value] {
    match v {
        Value::List(l) => l,
        _ => &[],
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    a.is_null() == b.is_null() && a.compare(b) == Ordering::Equal
}

fn has(l: &[Value], x: &Value) -> bool {
    l.iter().any(|y| equal(x, y))
}

/// Whether any item is the wanted answer; `all` is the opposite of `any` being false.
fn decided(l: &[Value], wanted: bool) -> Value {
    if l.iter().any(|x| x.as_bool() == Some(wanted)) {
        Value::Bool(wanted)
    } else if l.iter().any(Value::is_null) {
        Value::Null
    } else {
        Value::Bool(!wanted)
    }
}

fn distinct(l: &[Value]) -> Vec<Value> {
    let mut out: Vec<Value> = Vec::new();
    for x in l {
        if !has(&out, x) {
            out.push(x.clone());
        }
    }
    out
}

fn sorted(l: &[Value]) -> Vec<Value> {
    let mut out = l.to_vec();
    out.sort_by(Value::compare);
    out
}

fn sum_of(l: &[Value], r: &SqlType) -> Value {
    let mut n = 0;
    let mut total = Value::Int(0);
    for x in l.iter().filter(|x| !x.is_null()) {
        n += 1;
        total = match r {
            SqlType::Double => Value::Double(total.as_f64().unwrap_or(0.0) + x.as_f64().unwrap_or(0.0)),
            SqlType::Decimal(_, s) => {
                match (total.cast(&SqlType::Decimal(76, *s)), x.cast(&SqlType::Decimal(76, *s))) {
                    (Some(Value::Decimal(a, _)), Some(Value::Decimal(b, _))) => Value::Decimal(a.wrapping_add(b), *s),
                    _ => return Value::Null,
                }
            }
            _ => Value::Int(total.as_i128().unwrap_or(0).wrapping_add(x.as_i128().unwrap_or(0))),
        };
    }
    if n == 0 { Value::Null } else { total }
}

fn float(_: &Args<'_>) -> SqlResult<SqlType> {
    Ok(SqlType::Float)
}

/// Two vectors of one length without NULLs.
fn vectors(name: &str, v: &[Value]) -> SqlResult<(Vec<f64>, Vec<f64>)> {
    let read = |l: &Value| -> SqlResult<Vec<f64>> {
        let items = items(l);
        if items.iter().any(Value::is_null) {
            return Err(SqlError::plain(format!("{name} does not support null values. input array has null value")));
        }
        Ok(items.iter().map(|x| x.as_f64().unwrap_or(0.0)).collect())
    };
    let (a, b) = (read(&v[0])?, read(&v[1])?);
    if a.len() != b.len() {
        return Err(SqlError::plain(format!("{name} requires equal length arrays")));
    }
    Ok((a, b))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

pub const FUNCTIONS: &[Function] = &[
    lenient("__array", array_of, |v, _, r| {
        let e = element(r);
        Ok(Value::List(v.iter().map(|x| x.cast(&e).unwrap_or(Value::Null)).collect()))
    }),
    lenient("array", array_of, |v, _, r| {
        let e = element(r);
        Ok(Value::List(v.iter().map(|x| x.cast(&e).unwrap_or(Value::Null)).collect()))
    }),
    lenient("__map", map_type, |v, _, r| {
        let (k, x) = match r {
            SqlType::Map(k, x) => ((**k).clone(), (**x).clone()),
            _ => (SqlType::Null, SqlType::Null),
        };
        let mut out: Vec<(Value, Value)> = Vec::new();
        for p in v.chunks(2) {
            let key = p[0].cast(&k).unwrap_or(Value::Null);
            let value = p.get(1).and_then(|y| y.cast(&x)).unwrap_or(Value::Null);
            match out.iter_mut().find(|o| equal(&o.0, &key)) {
                Some(o) => o.1 = value,
                None => out.push((key, value)),
            }
        }
        Ok(Value::Map(out))
    }),
    strict("array_length", int, |v, _, _| {
        Ok(Value::int(match &v[0] {
            Value::List(l) => l.len() as i64,
            Value::Map(m) => m.len() as i64,
            _ => 0,
        }))
    }),
    strict("map_size", int, |v, _, _| {
        Ok(Value::int(match &v[0] {
            Value::List(l) => l.len() as i64,
            Value::Map(m) => m.len() as i64,
            _ => 0,
        }))
    }),
    strict("map_keys", keys_type, |v, _, _| {
        Ok(match &v[0] {
            Value::Map(m) => Value::List(m.iter().map(|p| p.0.clone()).collect()),
            _ => Value::Null,
        })
    }),
    strict("map_values", values_type, |v, _, _| {
        Ok(match &v[0] {
            Value::Map(m) => Value::List(m.iter().map(|p| p.1.clone()).collect()),
            _ => Value::Null,
        })
    }),
    strict(
        "map_from_arrays",
        |a| Ok(SqlType::Map(Box::new(element(&a.types[0])), Box::new(element(&a.types[1])))),
        |v, _, _| {
            if items(&v[0]).len() != items(&v[1]).len() {
                return Err(SqlError::plain("Key and value arrays must be the same length"));
            }
            let mut out: Vec<(Value, Value)> = Vec::new();
            for (k, x) in items(&v[0]).iter().zip(items(&v[1])) {
                match out.iter_mut().find(|o| equal(&o.0, k)) {
                    Some(o) => o.1 = x.clone(),
                    None => out.push((k.clone(), x.clone())),
                }
            }
            Ok(Value::Map(out))
        },
    ),
    lenient("map_concat", common_arrays, |v, _, _| {
        let mut out: Vec<(Value, Value)> = Vec::new();
        for m in v {
            if let Value::Map(m) = m {
                for (k, x) in m {
                    match out.iter_mut().find(|o| equal(&o.0, k)) {
                        Some(o) => o.1 = x.clone(),
                        None => out.push((k.clone(), x.clone())),
                    }
                }
            }
        }
        Ok(Value::Map(out))
    }),
    strict("distinct_map_keys", same, |v, _, _| Ok(v[0].clone())),
    lenient(
        "array_contains",
        |a| item_of("array_contains", a).map(|_| SqlType::Boolean),
        |v, _, _| Ok(if v[0].is_null() { Value::Null } else { Value::Bool(has(items(&v[0]), &v[1])) }),
    ),
    lenient(
        "array_position",
        |a| item_of("array_position", a).map(|_| SqlType::Int),
        |v, _, _| {
            Ok(if v[0].is_null() {
                Value::Null
            } else {
                Value::int(items(&v[0]).iter().position(|x| equal(x, &v[1])).map_or(0, |i| i as i64 + 1))
            })
        },
    ),
    strict(
        "array_contains_all",
        |a| arrays("array_contains_all", a).map(|_| SqlType::Boolean),
        |v, _, _| Ok(Value::Bool(items(&v[1]).iter().all(|x| has(items(&v[0]), x)))),
    ),
    strict(
        "array_contains_seq",
        |a| arrays("array_contains_seq", a).map(|_| SqlType::Boolean),
        |v, _, _| {
            let (a, b) = (items(&v[0]), items(&v[1]));
            Ok(Value::Bool(b.is_empty() || a.windows(b.len()).any(|w| w.iter().zip(b).all(|(x, y)| equal(x, y)))))
        },
    ),
    strict(
        "arrays_overlap",
        |a| arrays("arrays_overlap", a).map(|_| SqlType::Boolean),
        |v, _, _| Ok(Value::Bool(items(&v[0]).iter().any(|x| has(items(&v[1]), x)))),
    ),
    lenient(
        "array_append",
        |a| item_of("array_append", a),
        |v, _, _| {
            if v[0].is_null() {
                return Ok(Value::Null);
            }
            let mut out = items(&v[0]).to_vec();
            out.push(v[1].clone());
            Ok(Value::List(out))
        },
    ),
    lenient(
        "array_remove",
        |a| item_of("array_remove", a),
        |v, _, _| {
            Ok(if v[0].is_null() {
                Value::Null
            } else {
                Value::List(items(&v[0]).iter().filter(|x| !equal(x, &v[1])).cloned().collect())
            })
        },
    ),
    strict(
        "array_concat",
        |a| arrays("array_concat", a),
        |v, _, _| Ok(Value::List(v.iter().flat_map(|l| items(l).to_vec()).collect())),
    ),
    strict("array_distinct", same, |v, _, _| Ok(Value::List(distinct(items(&v[0]))))),
    strict(
        "array_sort",
        |a| flat("array_sort", a).map(|e| SqlType::Array(Box::new(e))),
        |v, _, _| Ok(Value::List(sorted(items(&v[0])))),
    ),
    lenient("array_sortby", same, |v, _, _| {
        let Value::List(source) = &v[0] else { return Ok(Value::Null) };
        let keys: Vec<&[Value]> = v[1..].iter().filter(|k| !k.is_null()).map(items).collect();
        if keys.iter().any(|k| k.len() != source.len()) {
            return Err(SqlError::plain("Expr evaluate meet error: Input arrays' size are not equal in array_sortby."));
        }
        let mut at: Vec<usize> = (0..source.len()).collect();
        at.sort_by(|a, b| {
            keys.iter().map(|k| k[*a].compare(&k[*b])).find(|o| *o != Ordering::Equal).unwrap_or(Ordering::Equal)
        });
        Ok(Value::List(at.into_iter().map(|i| source[i].clone()).collect()))
    }),
    strict(
        "array_intersect",
        |a| arrays("array_intersect", a),
        |v, _, _| {
            let mut out = distinct(items(&v[0]));
            for l in &v[1..] {
                out.retain(|x| has(items(l), x))
            }
            Ok(Value::List(out))
        },
    ),
    strict("array_slice", same, |v, _, _| {
        let l = items(&v[0]);
        let (from, n) = (v[1].as_i64().unwrap_or(1), v.get(2).and_then(Value::as_i64).unwrap_or(l.len() as i64));
        let start = if from > 0 {
            from - 1
        } else if from < 0 {
            l.len() as i64 + from
        } else {
            return Ok(Value::List(Vec::new()));
        };
        let end = (start + n.max(0)).clamp(0, l.len() as i64);
        let start = start.clamp(0, end);
        Ok(Value::List(l[start as usize..end as usize].to_vec()))
    }),
    // Of booleans: a NULL decides nothing, but may leave the answer open.
    strict("any_match", |a| matched("any_match", a), |v, _, _| Ok(decided(items(&v[0]), true))),
    strict("all_match", |a| matched("all_match", a), |v, _, _| Ok(decided(items(&v[0]), false))),
    lenient("array_filter", same, |v, _, _| match (&v[0], &v[1]) {
        (Value::Null, _) => Ok(Value::Null),
        (list, flags) => {
            let flags = items(flags);
            let keep = |i: usize| flags.get(i).and_then(Value::as_bool).unwrap_or(false);
            Ok(Value::List(items(list).iter().enumerate().filter(|(i, _)| keep(*i)).map(|(_, x)| x.clone()).collect()))
        }
    }),
    lenient("map_filter", same, |v, _, _| match (&v[0], &v[1]) {
        (Value::Map(entries), flags) => {
            let flags = items(flags);
            let keep = |i: usize| flags.get(i).and_then(Value::as_bool).unwrap_or(false);
            Ok(Value::Map(entries.iter().enumerate().filter(|(i, _)| keep(*i)).map(|(_, e)| e.clone()).collect()))
        }
        _ => Ok(Value::Null),
    }),
    strict("array_top_n", same, |v, _, _| {
        let mut sorted: Vec<Value> = items(&v[0]).to_vec();
        sorted.sort_by(|a, b| b.compare(a));
        sorted.truncate(v[1].as_i64().unwrap_or(0).max(0) as usize);
        Ok(Value::List(sorted))
    }),
    lenient(
        "arrays_zip",
        |a| {
            let fields = a.types.iter().enumerate().map(|(i, t)| (format!("col{}", i + 1), element(t))).collect();
            Ok(SqlType::Array(Box::new(SqlType::Struct(fields))))
        },
        |v, _, _| {
            if v.iter().any(Value::is_null) {
                return Ok(Value::Null);
            }
            let n = v.iter().map(|l| items(l).len()).max().unwrap_or(0);
            let row = |i: usize| {
                let column = |(k, l): (usize, &Value)| {
                    (format!("col{}", k + 1), items(l).get(i).cloned().unwrap_or(Value::Null))
                };
                Value::Struct(v.iter().enumerate().map(column).collect())
            };
            Ok(Value::List((0..n).map(row).collect()))
        },
    ),
    strict(
        "map_entries",
        |a| match a.types.first() {
            Some(SqlType::Map(k, v)) => Ok(SqlType::Array(Box::new(SqlType::Struct(vec![
                ("key".into(), (**k).clone()),
                ("value".into(), (**v).clone()),
            ])))),
            _ => Err(SqlError::analysis("a MAP is expected")),
        },
        |v, _, _| match &v[0] {
            Value::Map(m) => Ok(Value::List(
                m.iter()
                    .map(|(k, x)| Value::Struct(vec![("key".into(), k.clone()), ("value".into(), x.clone())]))
                    .collect(),
            )),
            _ => Ok(Value::Null),
        },
    ),
    strict(
        "__series",
        |a| Ok(SqlType::Array(Box::new(crate::sql::series::item_type(a.types)?))),
        |v, _, _| {
            Ok(match crate::sql::series::extent(v)? {
                Some((start, step, rows)) => {
                    Value::List((0..rows.min(i128::from(ITEMS_MAX))).map(|i| Value::Int(start + i * step)).collect())
                }
                None => Value::Null,
            })
        },
    ),
    strict(
        "array_min",
        |a| flat("array_min", a),
        |v, _, _| {
            Ok(items(&v[0]).iter().filter(|x| !x.is_null()).min_by(|a, b| a.compare(b)).cloned().unwrap_or(Value::Null))
        },
    ),
    strict(
        "array_max",
        |a| flat("array_max", a),
        |v, _, _| {
            Ok(items(&v[0]).iter().filter(|x| !x.is_null()).max_by(|a, b| a.compare(b)).cloned().unwrap_or(Value::Null))
        },
    ),
    strict("array_sum", |a| flat("array_sum", a).and_then(|_| sum_type(a)), |v, _, r| Ok(sum_of(items(&v[0]), r))),
    strict(
        "array_avg",
        |a| flat("array_avg", a).and_then(|_| avg_type(a)),
        |v, _, r| {
            let n = items(&v[0]).iter().filter(|x| !x.is_null()).count();
            if n == 0 {
                return Ok(Value::Null);
            }
            Ok(match sum_of(items(&v[0]), if *r == SqlType::Double { &SqlType::Double } else { r }) {
                Value::Double(x) => Value::Double(x / n as f64),
                Value::Decimal(x, s) => x
                    .checked_div(arrow::datatypes::i256::from_i128(n as i128))
                    .map_or(Value::Null, |q| Value::Decimal(q, s)),
                other => other.as_f64().map_or(Value::Null, |x| Value::Double(x / n as f64)),
            })
        },
    ),
    strict(
        "array_difference",
        |a| {
            let item = flat("array_difference", a)?;
            if item.is_text() {
                return Err(SqlError::analysis("array_difference function only support numeric array types"));
            }
            Ok(SqlType::Array(Box::new(match item {
                t if t.is_integer() || t == SqlType::Boolean => SqlType::BigInt,
                SqlType::Decimal(_, s) => SqlType::Decimal(38, s),
                _ => SqlType::Double,
            })))
        },
        |v, _, r| {
            let l = items(&v[0]);
            let e = element(r);
            Ok(Value::List(
                l.iter()
                    .enumerate()
                    .map(|(i, x)| {
                        if i == 0 {
                            return if x.is_null() {
                                Value::Null
                            } else {
                                Value::Int(0).cast(&e).unwrap_or(Value::Null)
                            };
                        }
                        match (&e, x.is_null() || l[i - 1].is_null()) {
                            (_, true) => Value::Null,
                            (SqlType::BigInt, _) => {
                                Value::Int(x.as_i128().unwrap_or(0) - l[i - 1].as_i128().unwrap_or(0))
                            }
                            (t, _) => Value::Double(x.as_f64().unwrap_or(0.0) - l[i - 1].as_f64().unwrap_or(0.0))
                                .cast(t)
                                .unwrap_or(Value::Null),
                        }
                    })
                    .collect(),
            ))
        },
    ),
    strict("array_cum_sum", same, |v, _, r| {
        let mut total = 0.0;
        let e = element(r);
        Ok(Value::List(
            items(&v[0])
                .iter()
                .map(|x| match x.as_f64() {
                    Some(n) => {
                        total += n;
                        Value::Double(total).cast(&e).unwrap_or(Value::Null)
                    }
                    None => Value::Null,
                })
                .collect(),
        ))
    }),
    lenient("array_join", string, |v, _, _| {
        if v[0].is_null() {
            return Ok(Value::Null);
        }
        let fill = v.get(2).and_then(Value::as_text);
        let parts: Vec<String> = items(&v[0]).iter().filter_map(|x| x.as_text().or_else(|| fill.clone())).collect();
        Ok(Value::Text(parts.join(&v[1].as_text().unwrap_or_default())))
    }),
    // A NULL is repeated; only an unknown number of times is NULL.
    lenient(
        "array_repeat",
        |a| Ok(SqlType::Array(Box::new(same(a)?))),
        |v, _, _| {
            let Some(n) = v.get(1).and_then(Value::as_i64) else { return Ok(Value::Null) };
            Ok(Value::List(vec![v[0].clone(); n.clamp(0, ITEMS_MAX) as usize]))
        },
    ),
    strict("array_flatten", first_element, |v, _, _| {
        Ok(Value::List(items(&v[0]).iter().flat_map(|l| items(l).to_vec()).collect()))
    }),
    strict("cosine_similarity", float, |v, _, _| {
        let (a, b) = vectors("cosine_similarity", v)?;
        let norm = |l: &[f64]| l.iter().map(|x| x * x).sum::<f64>().sqrt();
        Ok(Value::Float((dot(&a, &b) / (norm(&a) * norm(&b))) as f32))
    }),
    strict("cosine_similarity_norm", float, |v, _, _| {
        let (a, b) = vectors("cosine_similarity_norm", v)?;
        Ok(Value::Float(dot(&a, &b) as f32))
    }),
    strict("l2_distance", float, |v, _, _| {
        let (a, b) = vectors("l2_distance", v)?;
        Ok(Value::Float(a.iter().zip(&b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>() as f32))
    }),
];
