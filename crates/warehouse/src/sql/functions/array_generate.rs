//! `array_generate`: numbers or moments at equal distances, upwards or downwards.

use super::array::ITEMS_MAX;
use super::{Args, Function, common, strict};
use crate::error::{SqlError, SqlResult};
use crate::types::SqlType;
use crate::value::Value;

/// The rewriter splits `INTERVAL n unit` into a number and the unit's name, as third and fourth argument.
pub const FUNCTIONS: &[Function] = &[strict("array_generate", types, |v, _, r| match r {
    SqlType::Array(item) if matches!(**item, SqlType::Date | SqlType::DateTime) => Ok(moments(v, item)),
    _ => Ok(numbers(v)),
})];

fn is_moment(t: &SqlType) -> bool {
    t.is_text() || matches!(t, SqlType::Date | SqlType::DateTime)
}

fn types(a: &Args<'_>) -> SqlResult<SqlType> {
    let of_moments = a.types.len() == 4 || a.types.len() > 1 && a.types[..2].iter().any(is_moment);
    if !of_moments {
        return Ok(SqlType::Array(Box::new(common(a.types))));
    }
    match a.constants.get(2) {
        Some(Some(step)) if step.as_i64().is_some_and(|n| n < 0) => {
            return Err(SqlError::analysis("array_generate requires step parameter must be non-negative"));
        }
        Some(None | Some(Value::Null)) => {
            return Err(SqlError::analysis("array_generate requires step parameter must be a constant integer"));
        }
        _ => {}
    }
    let days = a.types[..2].iter().all(|t| *t == SqlType::Date);
    Ok(SqlType::Array(Box::new(if days { SqlType::Date } else { SqlType::DateTime })))
}

fn numbers(v: &[Value]) -> Value {
    let at = |i: usize| v.get(i).and_then(Value::as_i64).unwrap_or(0);
    let (from, to) = if v.len() == 1 { (1, at(0)) } else { (at(0), at(1)) };
    let step = match v.get(2) {
        Some(step) => step.as_i64().unwrap_or(1),
        None if v.len() == 1 || from <= to => 1,
        None => -1,
    };
    let mut out = Vec::new();
    let mut next = Some(from);
    while let Some(n) = next.filter(|n| step != 0 && if step > 0 { *n <= to } else { *n >= to }) {
        if out.len() as i64 >= ITEMS_MAX {
            break;
        }
        out.push(Value::int(n));
        next = n.checked_add(step);
    }
    Value::List(out)
}

fn moments(v: &[Value], item: &SqlType) -> Value {
    let moment = |v: &Value| match v {
        Value::Text(_) | Value::Date(_) | Value::DateTime(_) => v.as_datetime(),
        _ => None,
    };
    let (Some(from), Some(to)) = (moment(&v[0]), moment(&v[1])) else { return Value::Null };
    let step = v.get(2).and_then(Value::as_i64).unwrap_or(1);
    let unit = v.get(3).and_then(Value::as_text).unwrap_or_else(|| "DAY".into());
    let sign = if from <= to { 1 } else { -1 };
    let mut out = Vec::new();
    for i in 0..ITEMS_MAX {
        // Counted from the beginning: months keep its day.
        let next = step.checked_mul(sign * i).and_then(|n| super::date::add(from, n, &unit));
        match next.filter(|t| if sign > 0 { *t <= to } else { *t >= to }) {
            Some(t) => out.push(Value::DateTime(t).cast(item).unwrap_or(Value::Null)),
            None => break,
        }
        if step == 0 {
            break;
        }
    }
    Value::List(out)
}
