//! CAST, conditionals, access to nested values, and facts about values.

use std::cmp::Ordering;

use super::{Args, Function, boolean, common, int, lenient, same, strict, string};
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
    Ok(common(a.types))
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

pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "__cast",
        types: cast_type,
        row: |v, _, r| Ok(v[0].cast(r).unwrap_or(Value::Null)),
        column: Some(|arrays, types, result| cast_array(&arrays[0], &types[0], result, false).map(Some)),
        nulls: true,
        volatile: false,
    },
    lenient("__truth", boolean, |v, _, _| Ok(Value::Bool(v[0].as_bool().unwrap_or(false)))),
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
    lenient("coalesce", common_type, |v, _, r| {
        Ok(v.iter().find(|x| !x.is_null()).and_then(|x| x.cast(r)).unwrap_or(Value::Null))
    }),
    lenient("nullif", same, |v, _, _| {
        Ok(if !v[0].is_null() && !v[1].is_null() && v[0].compare(&v[1]) == Ordering::Equal {
            Value::Null
        } else {
            v[0].clone()
        })
    }),
    lenient("greatest", common_type, |v, _, r| pick_extreme(v, r, Ordering::Greater)),
    lenient("least", common_type, |v, _, r| pick_extreme(v, r, Ordering::Less)),
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
    strict("murmur_hash3_32", int, |v, _, _| {
        let mut h = 0x9747_b28cu32;
        // Several arguments hash one after the other, the first hash seeding the next.
        for x in v {
            h = crate::sketch::murmur3_32(
                x.as_text().unwrap_or_default().as_bytes(),
                if h == 0x9747_b28c { 104_729 } else { h },
            );
        }
        Ok(Value::Int(i128::from(h as i32)))
    }),
    strict("crc32", super::bigint, |v, _, _| {
        Ok(Value::Int(i128::from(crc32fast::hash(v[0].as_text().unwrap_or_default().as_bytes()))))
    }),
];
