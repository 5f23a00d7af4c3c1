//! CAST, conditionals, access to nested values, and facts about values.

use std::cmp::Ordering;

use arrow::array::{ArrayRef, AsArray, Int32Array};
use arrow::datatypes::Int64Type;

use super::aggregate::statistics;
use super::{Args, Function, boolean, common, common_two, int, lenient, same, strict, string};
use crate::error::{SqlError, SqlResult};
use crate::types::SqlType;
use crate::value::{Value, cast_array};

fn cast_type(a: &Args<'_>) -> SqlResult<SqlType> {
    match a.constants.get(1) {
        Some(Some(Value::Text(t))) => serde_json::from_str(t).map_err(|_| SqlError::analysis("a CAST without a type")),
        _ => Err(SqlError::analysis("a CAST without a type")),
    }
}

fn common_type(a: &Args<'_>) -> SqlResult<SqlType> {
    Ok(a.types.iter().fold(SqlType::Null, |all, t| common_two(t, &all)))
}

/// Of dates, `greatest` and `least` give a DATETIME.
fn extreme_type(a: &Args<'_>) -> SqlResult<SqlType> {
    Ok(match common(a.types) {
        SqlType::Date => SqlType::DateTime,
        t => t,
    })
}

fn element_type(a: &Args<'_>) -> SqlResult<SqlType> {
    match a.types.first() {
        Some(SqlType::Array(e)) => Ok((**e).clone()),
        Some(SqlType::Map(_, v)) => Ok((**v).clone()),
        Some(SqlType::Json) => Ok(SqlType::Json),
        Some(SqlType::Struct(fields)) => match a.constants.get(1) {
            Some(Some(v)) => {
                let i = v.as_i64().unwrap_or(0);
                let at = if i > 0 { i - 1 } else { fields.len() as i64 + i };
                usize::try_from(at)
                    .ok()
                    .and_then(|i| fields.get(i))
                    .map(|f| f.1.clone())
                    .ok_or_else(|| SqlError::analysis("Out of range of struct fields"))
            }
            _ => Err(SqlError::analysis("a struct's field is named by a constant")),
        },
        Some(SqlType::Null) => Ok(SqlType::Null),
        _ => Err(SqlError::analysis("cannot subscript type, not an array or map")),
    }
}

fn element_of(v: &[Value], _: &[SqlType], _: &SqlType) -> SqlResult<Value> {
    Ok(match &v[0] {
        Value::List(items) => match v[1].as_i64() {
            Some(i) if i >= 1 => items.get(i as usize - 1).cloned().unwrap_or(Value::Null),
            Some(i) if i < 0 && items.len() as i64 + i >= 0 => items[(items.len() as i64 + i) as usize].clone(),
            _ => Value::Null,
        },
        Value::Map(items) => {
            items.iter().find(|(k, _)| k.compare(&v[1]) == Ordering::Equal).map_or(Value::Null, |(_, x)| x.clone())
        }
        Value::Struct(items) => match v[1].as_i64() {
            Some(i) => {
                let at = if i > 0 { i - 1 } else { items.len() as i64 + i };
                usize::try_from(at).ok().and_then(|i| items.get(i)).map_or(Value::Null, |x| x.1.clone())
            }
            None => Value::Null,
        },
        Value::Json(t) => {
            let step = match &v[1] {
                Value::Text(k) => crate::json::Step::Key(k.clone()),
                other => crate::json::Step::Index(other.as_i64().unwrap_or(-1).max(0) as usize),
            };
            match crate::json::parse(t).and_then(|j| crate::json::lookup(&j, &[step])) {
                Some(j) => Value::Json(crate::json::print(&j)),
                None => Value::Null,
            }
        }
        _ => Value::Null,
    })
}

fn field_type(a: &Args<'_>) -> SqlResult<SqlType> {
    let name = match a.constants.get(1) {
        Some(Some(Value::Text(t))) => t.clone(),
        _ => return Err(SqlError::analysis("a field name is missing")),
    };
    match a.types.first() {
        Some(SqlType::Struct(fields)) => fields
            .iter()
            .find(|f| f.0.eq_ignore_ascii_case(&name))
            .map(|f| f.1.clone())
            .ok_or_else(|| SqlError::analysis(format!("Struct subfield '{name}' cannot be resolved"))),
        Some(SqlType::Json) => Ok(SqlType::Json),
        Some(SqlType::Null) => Ok(SqlType::Null),
        _ => Err(SqlError::analysis(format!("'{name}' is no field of a struct"))),
    }
}

fn field_of(v: &[Value], t: &[SqlType], r: &SqlType) -> SqlResult<Value> {
    match (&v[0], &v[1]) {
        (Value::Struct(items), Value::Text(name)) => {
            Ok(items.iter().find(|f| f.0.eq_ignore_ascii_case(name)).map_or(Value::Null, |f| f.1.clone()))
        }
        (Value::Json(_), _) => element_of(v, t, r),
        _ => Ok(Value::Null),
    }
}

fn pick_extreme(v: &[Value], r: &SqlType, wanted: Ordering) -> SqlResult<Value> {
    let mut best = Value::Null;
    for x in v {
        let x = x.cast(r).unwrap_or(Value::Null);
        if x.is_null() {
            return Ok(Value::Null);
        }
        if best.is_null() || x.compare(&best) == wanted {
            best = x;
        }
    }
    Ok(best)
}

fn like(v: &[Value], _: &[SqlType], _: &SqlType) -> SqlResult<Value> {
    let (text, pattern) = (v[0].as_text().unwrap_or_default(), v[1].as_text().unwrap_or_default());
    Ok(Value::Bool(like_match(&text, &pattern)))
}

/// LIKE with `%`, `_` and `\` as the escape.
pub fn like_match(text: &str, pattern: &str) -> bool {
    enum P {
        Any,
        One,
        Is(char),
    }
    let mut parts = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        parts.push(match c {
            '%' => P::Any,
            '_' => P::One,
            '\\' => P::Is(chars.next().unwrap_or('\\')),
            c => P::Is(c),
        });
    }
    let text: Vec<char> = text.chars().collect();
    let (mut t, mut p) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        let hit = match parts.get(p) {
            Some(P::One) => true,
            Some(P::Is(c)) => *c == text[t],
            Some(P::Any) => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            None => false,
        };
        if hit {
            t += 1;
            p += 1;
        } else if let Some((sp, st)) = star {
            p = sp + 1;
            t = st + 1;
            star = Some((sp, st + 1));
        } else {
            return false;
        }
    }
    parts[p..].iter().all(|x| matches!(x, P::Any))
}

fn struct_type(a: &Args<'_>) -> SqlResult<SqlType> {
    Ok(SqlType::Struct(a.types.iter().enumerate().map(|(i, t)| (format!("col{}", i + 1), t.clone())).collect()))
}

fn named_struct_type(a: &Args<'_>) -> SqlResult<SqlType> {
    if !a.types.len().is_multiple_of(2) {
        return Err(SqlError::analysis("named_struct funtion must have even input arguments"));
    }
    let mut fields = Vec::new();
    for i in (0..a.types.len()).step_by(2) {
        let name = a.constants[i].as_ref().and_then(Value::as_text).unwrap_or_else(|| format!("col{}", i / 2 + 1));
        fields.push((name, a.types[i + 1].clone()));
    }
    Ok(SqlType::Struct(fields))
}

/// One column of texts or whole numbers is hashed without making values of it.
fn murmur_column(arrays: &[ArrayRef], types: &[SqlType], _: &SqlType) -> SqlResult<Option<ArrayRef>> {
    let [array] = arrays else { return Ok(None) };
    let hash = |bytes: &[u8]| crate::sketch::murmur3_32(bytes, 104_729) as i32;
    let out: Int32Array = match &types[0] {
        t if t.is_text() => match array.as_string_opt::<i32>() {
            Some(a) => a.iter().map(|v| v.map(|t| hash(t.as_bytes()))).collect(),
            None => return Ok(None),
        },
        SqlType::TinyInt | SqlType::SmallInt | SqlType::Int | SqlType::BigInt => {
            let wide = arrow::compute::cast(array, &arrow::datatypes::DataType::Int64)?;
            let Some(a) = wide.as_primitive_opt::<Int64Type>() else { return Ok(None) };
            let mut buffer = itoa::Buffer::new();
            a.iter().map(|v| v.map(|n| hash(buffer.format(n).as_bytes()))).collect()
        }
        _ => return Ok(None),
    };
    Ok(Some(std::sync::Arc::new(out)))
}

/// The first argument that is not NULL, when all columns have the result's form.
fn coalesce_columns(arrays: &[ArrayRef], types: &[SqlType], r: &SqlType) -> SqlResult<Option<ArrayRef>> {
    let Some((last, before)) = arrays.split_last() else { return Ok(None) };
    if types.iter().any(|t| t != r) {
        return Ok(None);
    }
    let mut out = last.clone();
    for a in before.iter().rev() {
        out = arrow::compute::kernels::zip::zip(&arrow::compute::is_not_null(a)?, a, &out)?;
    }
    Ok(Some(out))
}

fn percentile(_: &Args<'_>) -> SqlResult<SqlType> {
    Ok(SqlType::Percentile)
}

pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "__cast",
        types: cast_type,
        row: |v, _, r| Ok(v[0].cast(r).unwrap_or(Value::Null)),
        column: Some(|arrays, types, result| cast_array(&arrays[0], &types[0], result, false).map(Some)),
        nulls: true,
        volatile: false,
    },
    Function {
        name: "__truth",
        types: boolean,
        row: |v, _, _| Ok(Value::Bool(v[0].as_bool().unwrap_or(false))),
        column: Some(|arrays, _, _| {
            Ok(arrays[0].as_boolean_opt().map(|a| {
                let out: arrow::array::BooleanArray = a.iter().map(|v| Some(v == Some(true))).collect();
                std::sync::Arc::new(out) as ArrayRef
            }))
        }),
        nulls: false,
        volatile: false,
    },
    strict("__like", boolean, like),
    lenient("__tuple", string, |v, _, _| {
        if v.iter().any(Value::is_null) {
            return Ok(Value::Null);
        }
        let mut out = String::new();
        for x in v {
            let t = x.as_text().unwrap_or_default();
            out.push_str(&t.len().to_string());
            out.push(':');
            out.push_str(&t);
        }
        Ok(Value::Text(out))
    }),
    strict("__element", element_type, element_of),
    strict("element_at", element_type, element_of),
    strict("__field", field_type, field_of),
    Function {
        name: "coalesce",
        types: common_type,
        row: |v, _, r| Ok(v.iter().find(|x| !x.is_null()).and_then(|x| x.cast(r)).unwrap_or(Value::Null)),
        column: Some(coalesce_columns),
        nulls: false,
        volatile: false,
    },
    lenient("nullif", same, |v, _, _| {
        Ok(if !v[0].is_null() && !v[1].is_null() && v[0].compare(&v[1]) == Ordering::Equal {
            Value::Null
        } else {
            v[0].clone()
        })
    }),
    lenient("greatest", extreme_type, |v, _, r| pick_extreme(v, r, Ordering::Greater)),
    lenient("least", extreme_type, |v, _, r| pick_extreme(v, r, Ordering::Less)),
    lenient("typeof", string, |_, t, _| Ok(Value::Text(t[0].type_of()))),
    lenient("row", struct_type, |v, _, _| {
        Ok(Value::Struct(v.iter().enumerate().map(|(i, x)| (format!("col{}", i + 1), x.clone())).collect()))
    }),
    lenient("struct", struct_type, |v, _, _| {
        Ok(Value::Struct(v.iter().enumerate().map(|(i, x)| (format!("col{}", i + 1), x.clone())).collect()))
    }),
    lenient("named_struct", named_struct_type, |v, _, _| {
        Ok(Value::Struct(v.chunks(2).map(|p| (p[0].as_text().unwrap_or_default(), p[1].clone())).collect()))
    }),
    Function {
        name: "sleep",
        types: boolean,
        row: |v, _, _| {
            let seconds = v[0].as_f64().unwrap_or(0.0).clamp(0.0, 60.0);
            std::thread::sleep(std::time::Duration::from_secs_f64(seconds));
            Ok(Value::Bool(true))
        },
        column: None,
        nulls: true,
        volatile: true,
    },
    lenient("assert_true", boolean, |v, _, _| {
        if v[0].as_bool() == Some(true) {
            return Ok(Value::Bool(true));
        }
        Err(SqlError::plain(
            v.get(1).and_then(Value::as_text).unwrap_or_else(|| "assert_true failed due to false value".into()),
        ))
    }),
    Function {
        name: "uuid",
        types: string,
        row: |_, _, _| Ok(Value::Text(uuid::Uuid::new_v4().to_string())),
        column: None,
        nulls: false,
        volatile: true,
    },
    Function {
        name: "uuid_numeric",
        types: super::largeint,
        row: |_, _, _| Ok(Value::Int((uuid::Uuid::new_v4().as_u128() >> 1) as i128)),
        column: None,
        nulls: false,
        volatile: true,
    },
    Function {
        name: "rand",
        types: super::double,
        row: |_, _, _| Ok(Value::Double(rand::random::<f64>())),
        column: None,
        nulls: false,
        volatile: true,
    },
    Function {
        name: "random",
        types: super::double,
        row: |_, _, _| Ok(Value::Double(rand::random::<f64>())),
        column: None,
        nulls: false,
        volatile: true,
    },
    Function {
        name: "murmur_hash3_32",
        types: int,
        row: |v, _, _| {
            let mut h = 0x9747_b28cu32;
            // Several arguments hash one after the other, the first hash seeding the next.
            for x in v {
                h = crate::sketch::murmur3_32(
                    x.as_text().unwrap_or_default().as_bytes(),
                    if h == 0x9747_b28c { 104_729 } else { h },
                );
            }
            Ok(Value::Int(i128::from(h as i32)))
        },
        column: Some(murmur_column),
        nulls: true,
        volatile: false,
    },
    strict("percentile_hash", percentile, |v, _, _| {
        Ok(v[0].as_f64().map_or(Value::Null, |x| Value::Bytes(statistics::percentile_write(&[x]))))
    }),
    lenient("percentile_empty", percentile, |_, _, _| Ok(Value::Bytes(Vec::new()))),
    strict("percentile_approx_raw", super::double, |v, _, _| match &v[0] {
        Value::Bytes(b) => statistics::percentile_quantile(b, &v[1]),
        _ => Ok(Value::Null),
    }),
    strict("crc32", super::bigint, |v, _, _| {
        Ok(Value::Int(i128::from(crc32fast::hash(v[0].as_text().unwrap_or_default().as_bytes()))))
    }),
];
