//! Arithmetic with StarRocks' result types, and mathematics.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{Float64Type, Int64Type, i256};

use super::{Args, Function, bigint, common_two, double, lenient, same, strict, string};
use crate::error::{SqlError, SqlResult};
use crate::types::SqlType;
use crate::value::{Value, fits_storage, rescale};

/// Text, dates and JSON take part in arithmetic as DOUBLE.
fn numeric(t: &SqlType) -> SqlType {
    match t {
        SqlType::Boolean => SqlType::TinyInt,
        SqlType::Null => SqlType::Null,
        t if t.is_numeric() => t.clone(),
        SqlType::Date | SqlType::DateTime => SqlType::Double,
        _ => SqlType::Double,
    }
}

fn widen(t: SqlType) -> SqlType {
    match t {
        SqlType::TinyInt => SqlType::SmallInt,
        SqlType::SmallInt => SqlType::Int,
        SqlType::Int => SqlType::BigInt,
        SqlType::Float => SqlType::Double,
        SqlType::Null => SqlType::TinyInt,
        other => other,
    }
}

fn as_decimal(t: &SqlType) -> (u8, u8) {
    match t {
        SqlType::Decimal(p, s) => (*p, *s),
        SqlType::Boolean | SqlType::TinyInt => (3, 0),
        SqlType::SmallInt => (5, 0),
        SqlType::Int => (10, 0),
        SqlType::BigInt => (19, 0),
        SqlType::Null => (1, 0),
        _ => (38, 0),
    }
}

/// The widest precision of the kind: a DECIMAL of more than 38 digits stays a 256-bit one.
fn most(p: u8, q: u8) -> u8 {
    if p > 38 || q > 38 { 76 } else { 38 }
}

fn two(a: &Args<'_>) -> SqlResult<(SqlType, SqlType)> {
    match a.types {
        [x, y] => {
            if x.is_nested() || y.is_nested() {
                return Err(SqlError::analysis(format!(
                    "No matching function with signature for types {}, {}",
                    x.ddl(),
                    y.ddl()
                )));
            }
            Ok((numeric(x), numeric(y)))
        }
        _ => Err(SqlError::analysis("two operands are needed")),
    }
}

fn is_decimal(t: &SqlType) -> bool {
    matches!(t, SqlType::Decimal(..))
}

fn is_float(t: &SqlType) -> bool {
    matches!(t, SqlType::Float | SqlType::Double)
}

fn add_type(a: &Args<'_>) -> SqlResult<SqlType> {
    let (x, y) = two(a)?;
    if is_float(&x) || is_float(&y) {
        return Ok(SqlType::Double);
    }
    if is_decimal(&x) || is_decimal(&y) {
        let ((p, s), (q, t)) = (as_decimal(&x), as_decimal(&y));
        let scale = s.max(t);
        let whole = (p - s).max(q - t) + 1;
        // 64-bit operands give at most 128 bits, 38 digits.
        let precision = (whole + scale).min(most(p, q));
        return Ok(SqlType::Decimal(precision.max(scale), scale));
    }
    Ok(widen(common_two(&x, &y)))
}

fn multiply_type(a: &Args<'_>) -> SqlResult<SqlType> {
    let (x, y) = two(a)?;
    if is_float(&x) || is_float(&y) {
        return Ok(SqlType::Double);
    }
    if is_decimal(&x) || is_decimal(&y) {
        let ((p, s), (q, t)) = (as_decimal(&x), as_decimal(&y));
        let scale = s + t;
        let top = most(p, q);
        if scale <= top {
            return Ok(SqlType::Decimal((p + q).min(top), scale));
        }
        return Err(SqlError::analysis(format!(
            "Return scale({scale}) exceeds maximum value({top}), please cast decimal type to low-precision one"
        )));
    }
    Ok(widen(common_two(&x, &y)))
}

/// With `decimal_overflow_to_double`, a product that needs more digits than there are is a DOUBLE.
fn multiply_or_double_type(a: &Args<'_>) -> SqlResult<SqlType> {
    if let (SqlType::Decimal(p, _), SqlType::Decimal(q, _)) = two(a)?
        && p + q > most(p, q)
    {
        return Ok(SqlType::Double);
    }
    multiply_type(a)
}

fn divide_type(a: &Args<'_>) -> SqlResult<SqlType> {
    let (x, y) = two(a)?;
    if !is_float(&x) && !is_float(&y) && (is_decimal(&x) || is_decimal(&y)) {
        let ((p, s), (q, t)) = (as_decimal(&x), as_decimal(&y));
        // At least six digits after the point, as many as the dividend has when it has more.
        let scale = if s <= 6 { s + 6 } else { s.max(12).min(s.max(t)).max(s) };
        return Ok(SqlType::Decimal(most(p, q), scale.min(most(p, q))));
    }
    Ok(SqlType::Double)
}

fn modulo_type(a: &Args<'_>) -> SqlResult<SqlType> {
    let (x, y) = two(a)?;
    if is_float(&x) || is_float(&y) {
        return Ok(SqlType::Double);
    }
    if is_decimal(&x) || is_decimal(&y) {
        let ((p, s), (q, t)) = (as_decimal(&x), as_decimal(&y));
        let scale = s.max(t);
        return Ok(SqlType::Decimal(((p - s).max(q - t) + scale).min(most(p, q)), scale));
    }
    Ok(match common_two(&x, &y) {
        SqlType::Null => SqlType::TinyInt,
        t => t,
    })
}

fn int_type(a: &Args<'_>) -> SqlResult<SqlType> {
    let (x, y) = two(a)?;
    Ok(if x == SqlType::LargeInt || y == SqlType::LargeInt { SqlType::LargeInt } else { SqlType::BigInt })
}

fn wrap(v: i128, r: &SqlType) -> Value {
    Value::Int(match r {
        SqlType::TinyInt => i128::from(v as i8),
        SqlType::SmallInt => i128::from(v as i16),
        SqlType::Int => i128::from(v as i32),
        SqlType::BigInt => i128::from(v as i64),
        _ => v,
    })
}

fn decimal_of(v: &Value) -> Option<(i256, u8)> {
    match v {
        Value::Decimal(v, s) => Some((*v, *s)),
        other => Some((i256::from_i128(other.as_i128()?), 0)),
    }
}

/// Addition and subtraction.
fn sum(v: &[Value], r: &SqlType, minus: bool) -> SqlResult<Value> {
    match r {
        SqlType::Double => {
            let (Some(a), Some(b)) = (v[0].as_f64(), v[1].as_f64()) else { return Ok(Value::Null) };
            Ok(Value::Double(if minus { a - b } else { a + b }))
        }
        SqlType::Decimal(p, s) => {
            let (Some((a, sa)), Some((b, sb))) = (decimal_of(&v[0]), decimal_of(&v[1])) else { return Ok(Value::Null) };
            let (Some(a), Some(b)) = (rescale(a, sa, *s), rescale(b, sb, *s)) else { return Ok(Value::Null) };
            let out = if minus { a.checked_sub(b) } else { a.checked_add(b) };
            Ok(out.filter(|o| fits_storage(*o, *p)).map_or(Value::Null, |o| Value::Decimal(o, *s)))
        }
        _ => {
            let (Some(a), Some(b)) = (v[0].as_i128(), v[1].as_i128()) else { return Ok(Value::Null) };
            Ok(wrap(if minus { a.wrapping_sub(b) } else { a.wrapping_add(b) }, r))
        }
    }
}

fn multiply(v: &[Value], _: &[SqlType], r: &SqlType) -> SqlResult<Value> {
    match r {
        SqlType::Double => {
            let (Some(a), Some(b)) = (v[0].as_f64(), v[1].as_f64()) else { return Ok(Value::Null) };
            Ok(Value::Double(a * b))
        }
        SqlType::Decimal(p, s) => {
            let (Some((a, sa)), Some((b, sb))) = (decimal_of(&v[0]), decimal_of(&v[1])) else { return Ok(Value::Null) };
            let out = a.checked_mul(b).and_then(|o| rescale(o, sa + sb, *s));
            Ok(out.filter(|o| fits_storage(*o, *p)).map_or(Value::Null, |o| Value::Decimal(o, *s)))
        }
        _ => {
            let (Some(a), Some(b)) = (v[0].as_i128(), v[1].as_i128()) else { return Ok(Value::Null) };
            Ok(wrap(a.wrapping_mul(b), r))
        }
    }
}

/// A quotient rounded half away from zero.
pub fn divide_rounded(a: i256, b: i256) -> Option<i256> {
    let quotient = a.checked_div(b)?;
    let rest = a.checked_rem(b)?;
    let (rest, half) = (rest.wrapping_abs(), b.wrapping_abs());
    if rest < half.wrapping_sub(rest) {
        return Some(quotient);
    }
    let away = if (a < i256::ZERO) == (b < i256::ZERO) { i256::ONE } else { i256::MINUS_ONE };
    quotient.checked_add(away)
}

fn divide(v: &[Value], _: &[SqlType], r: &SqlType) -> SqlResult<Value> {
    if let SqlType::Decimal(p, s) = r {
        let (Some((a, sa)), Some((b, sb))) = (decimal_of(&v[0]), decimal_of(&v[1])) else { return Ok(Value::Null) };
        if b == i256::ZERO {
            return Ok(Value::Null);
        }
        // a·10^-sa / (b·10^-sb)
        let up = i32::from(*s) + i32::from(sb) - i32::from(sa);
        let out = if up >= 0 {
            rescale(a, 0, up as u8).and_then(|a| divide_rounded(a, b))
        } else {
            rescale(b, 0, (-up) as u8).and_then(|b| divide_rounded(a, b))
        };
        return Ok(out.filter(|o| fits_storage(*o, *p)).map_or(Value::Null, |o| Value::Decimal(o, *s)));
    }
    let (Some(a), Some(b)) = (v[0].as_f64(), v[1].as_f64()) else { return Ok(Value::Null) };
    Ok(if b == 0.0 { Value::Null } else { Value::Double(a / b) })
}

fn modulo(v: &[Value], _: &[SqlType], r: &SqlType) -> SqlResult<Value> {
    match r {
        SqlType::Double => {
            let (Some(a), Some(b)) = (v[0].as_f64(), v[1].as_f64()) else { return Ok(Value::Null) };
            Ok(if b == 0.0 { Value::Null } else { Value::Double(a % b) })
        }
        SqlType::Decimal(_, s) => {
            let (Some((a, sa)), Some((b, sb))) = (decimal_of(&v[0]), decimal_of(&v[1])) else { return Ok(Value::Null) };
            let (Some(a), Some(b)) = (rescale(a, sa, *s), rescale(b, sb, *s)) else { return Ok(Value::Null) };
            Ok(a.checked_rem(b).map_or(Value::Null, |o| Value::Decimal(o, *s)))
        }
        _ => {
            let (Some(a), Some(b)) = (v[0].as_i128(), v[1].as_i128()) else { return Ok(Value::Null) };
            Ok(if b == 0 { Value::Null } else { wrap(a % b, r) })
        }
    }
}

/// Operators that whole columns have a short way for.
#[derive(Clone, Copy)]
enum Short {
    Add,
    Subtract,
    Multiply,
    Modulo,
}

/// Columns of whole numbers and of doubles skip the row form: both sides in the result's type, then
/// one loop. A NULL modulus is what the row form makes of zero.
fn fast(arrays: &[ArrayRef], types: &[SqlType], r: &SqlType, op: Short) -> SqlResult<Option<ArrayRef>> {
    use arrow::datatypes::{ArrowPrimitiveType, Int8Type, Int16Type, Int32Type};
    fn run<T: ArrowPrimitiveType>(
        a: &ArrayRef,
        b: &ArrayRef,
        f: impl Fn(T::Native, T::Native) -> Option<T::Native>,
    ) -> Option<ArrayRef> {
        let (a, b) = (a.as_primitive_opt::<T>()?, b.as_primitive_opt::<T>()?);
        let pairs = a.iter().zip(b.iter());
        let out: arrow::array::PrimitiveArray<T> = pairs.map(|(x, y)| f(x?, y?)).collect();
        Some(std::sync::Arc::new(out))
    }
    macro_rules! whole {
        ($t:ty) => {
            run::<$t>(&arrays[0], &arrays[1], |x, y| match op {
                Short::Add => Some(x.wrapping_add(y)),
                Short::Subtract => Some(x.wrapping_sub(y)),
                Short::Multiply => Some(x.wrapping_mul(y)),
                Short::Modulo => (y != 0).then(|| x.wrapping_rem(y)),
            })
        };
    }
    let plain = |t: &SqlType| t.is_integer() && *t != SqlType::LargeInt;
    let doubles =
        *r == SqlType::Double && types.iter().all(|t| plain(t) || matches!(t, SqlType::Float | SqlType::Double));
    if !(doubles || plain(r) && types.iter().all(plain)) {
        return Ok(None);
    }
    let to = r.arrow();
    let arrays: Vec<ArrayRef> = arrays.iter().map(|a| arrow::compute::cast(a, &to)).collect::<Result<_, _>>()?;
    Ok(match r {
        SqlType::TinyInt => whole!(Int8Type),
        SqlType::SmallInt => whole!(Int16Type),
        SqlType::Int => whole!(Int32Type),
        SqlType::BigInt => whole!(Int64Type),
        _ => run::<Float64Type>(&arrays[0], &arrays[1], |x, y| match op {
            Short::Add => Some(x + y),
            Short::Subtract => Some(x - y),
            Short::Multiply => Some(x * y),
            Short::Modulo => (y != 0.0).then(|| x % y),
        }),
    })
}

fn negative_type(a: &Args<'_>) -> SqlResult<SqlType> {
    Ok(match numeric(&same(a)?) {
        SqlType::Null => SqlType::TinyInt,
        t => t,
    })
}

fn abs_type(a: &Args<'_>) -> SqlResult<SqlType> {
    Ok(match numeric(&same(a)?) {
        SqlType::TinyInt => SqlType::SmallInt,
        SqlType::SmallInt => SqlType::Int,
        SqlType::Int => SqlType::BigInt,
        SqlType::BigInt => SqlType::LargeInt,
        SqlType::Null => SqlType::Double,
        t => t,
    })
}

/// round/truncate: decimals keep a decimal with the wanted scale, others are DOUBLE (BIGINT without digits).
fn round_type(a: &Args<'_>) -> SqlResult<SqlType> {
    match (&same(a)?, a.constants.get(1)) {
        (SqlType::Decimal(p, _), None) => Ok(SqlType::Decimal((*p).max(38), 0)),
        (SqlType::Decimal(_, s), Some(Some(d))) => {
            let d = d.as_i64().unwrap_or(0);
            Ok(SqlType::Decimal(38, d.clamp(0, i64::from(*s).max(0)).max(d.clamp(0, 38)) as u8))
        }
        (_, None) => Ok(SqlType::BigInt),
        _ => Ok(SqlType::Double),
    }
}

fn round(v: &[Value], r: &SqlType, truncate: bool) -> SqlResult<Value> {
    let digits = v.get(1).and_then(Value::as_i64).unwrap_or(0).clamp(-76, 38);
    if let (SqlType::Decimal(_, s), Some((x, xs))) = (r, decimal_of(&v[0])) {
        let keep = digits.min(i64::from(xs));
        let cut = (i64::from(xs) - keep).clamp(0, 76) as u8;
        let shortened = if truncate { x.checked_div(crate::value::pow10(u32::from(cut))) } else { rescale(x, cut, 0) };
        let full = shortened.and_then(|q| rescale(q, 0, cut)).and_then(|q| rescale(q, xs, *s));
        return Ok(full.map_or(Value::Null, |q| Value::Decimal(q, *s)));
    }
    let Some(x) = v[0].as_f64() else { return Ok(Value::Null) };
    let factor = 10f64.powi(digits as i32);
    let scaled = x * factor;
    let y = if truncate { scaled.trunc() } else { scaled.round() } / factor;
    // Rounding 2.675 to two digits is done on the shortest decimal form, as people expect.
    let y = if !truncate && digits > 0 && digits < 16 {
        match crate::value::parse_decimal(&crate::value::double_text(x)).and_then(|(m, s)| rescale(m, s, digits as u8))
        {
            Some(m) => crate::value::decimal_to_f64(m, digits as u8),
            None => y,
        }
    } else {
        y
    };
    if *r == SqlType::BigInt {
        return Ok(Value::Double(y).cast(&SqlType::BigInt).unwrap_or(Value::Null));
    }
    Ok(Value::Double(y))
}

fn finite(v: f64) -> SqlResult<Value> {
    Ok(if v.is_finite() { Value::Double(v) } else { Value::Null })
}

macro_rules! math {
    ($name:literal, $f:expr) => {
        strict($name, double, |v, _, _| match v[0].as_f64() {
            Some(x) => {
                let f: fn(f64) -> f64 = $f;
                finite(f(x))
            }
            None => Ok(Value::Null),
        })
    };
}

macro_rules! bits {
    ($name:literal, $f:expr) => {
        strict($name, int_type_any, |v, _, r| {
            let (Some(a), Some(b)) = (v[0].as_i128(), v[1].as_i128()) else { return Ok(Value::Null) };
            let f: fn(i128, i128) -> i128 = $f;
            Ok(wrap(f(a, b), r))
        })
    };
}

fn int_type_any(a: &Args<'_>) -> SqlResult<SqlType> {
    Ok(match a.types {
        [x, y] if x.is_integer() && y.is_integer() => common_two(x, y),
        [x] if x.is_integer() => x.clone(),
        _ => SqlType::BigInt,
    })
}

fn shift(v: &[Value], r: &SqlType, f: fn(i128, u32) -> i128) -> SqlResult<Value> {
    let (Some(a), Some(b)) = (v[0].as_i128(), v[1].as_i64()) else { return Ok(Value::Null) };
    Ok(wrap(f(a, (b.clamp(0, 127)) as u32), r))
}

fn conv(v: &[Value], _: &[SqlType], _: &SqlType) -> SqlResult<Value> {
    let text = v[0].as_text().unwrap_or_default();
    let (Some(from), Some(to)) = (v[1].as_i64(), v[2].as_i64()) else { return Ok(Value::Null) };
    if !(2..=36).contains(&from.abs()) || !(2..=36).contains(&to.abs()) {
        return Ok(Value::Null);
    }
    let t = text.trim();
    let (negative, digits) = t.strip_prefix('-').map_or((false, t), |r| (true, r));
    let digits: String = digits.chars().take_while(|c| c.is_digit(from.unsigned_abs() as u32)).collect();
    if digits.is_empty() {
        return Ok(Value::text("0"));
    }
    let n = u128::from_str_radix(&digits, from.unsigned_abs() as u32)
        .unwrap_or(u128::from(u64::MAX))
        .min(u128::from(u64::MAX)) as u64;
    let n = if negative { n.wrapping_neg() } else { n };
    let (minus, mut n) = if to < 0 && (n as i64) < 0 { (true, (n as i64).unsigned_abs()) } else { (false, n) };
    let base = to.unsigned_abs();
    let mut out = Vec::new();
    loop {
        out.push(char::from_digit((n % base) as u32, 36).unwrap_or('0').to_ascii_uppercase());
        n /= base;
        if n == 0 {
            break;
        }
    }
    if minus {
        out.push('-');
    }
    Ok(Value::Text(out.iter().rev().collect()))
}

pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "add",
        types: add_type,
        row: |v, _, r| sum(v, r, false),
        column: Some(|a, t, r| fast(a, t, r, Short::Add)),
        nulls: true,
        volatile: false,
    },
    Function {
        name: "subtract",
        types: add_type,
        row: |v, _, r| sum(v, r, true),
        column: Some(|a, t, r| fast(a, t, r, Short::Subtract)),
        nulls: true,
        volatile: false,
    },
    Function {
        name: "multiply",
        types: multiply_type,
        row: multiply,
        column: Some(|a, t, r| fast(a, t, r, Short::Multiply)),
        nulls: true,
        volatile: false,
    },
    strict("__multiply_or_double", multiply_or_double_type, multiply),
    strict("divide", divide_type, divide),
    Function {
        name: "mod",
        types: modulo_type,
        row: modulo,
        column: Some(|a, t, r| fast(a, t, r, Short::Modulo)),
        nulls: true,
        volatile: false,
    },
    strict("int_divide", int_type, |v, _, r| {
        if let (Value::Double(_) | Value::Float(_) | Value::Decimal(..), _)
        | (_, Value::Double(_) | Value::Float(_) | Value::Decimal(..)) = (&v[0], &v[1])
        {
            let (Some(a), Some(b)) = (v[0].as_f64(), v[1].as_f64()) else { return Ok(Value::Null) };
            return Ok(if b == 0.0 {
                Value::Null
            } else {
                Value::Double((a / b).trunc()).cast(r).unwrap_or(Value::Null)
            });
        }
        let (Some(a), Some(b)) = (v[0].as_i128(), v[1].as_i128()) else { return Ok(Value::Null) };
        Ok(if b == 0 { Value::Null } else { wrap(a.wrapping_div(b), r) })
    }),
    strict("negative", negative_type, |v, _, r| match r {
        SqlType::Double | SqlType::Float => Ok(v[0].as_f64().map_or(Value::Null, |x| Value::Double(-x))),
        SqlType::Decimal(..) => Ok(decimal_of(&v[0]).map_or(Value::Null, |(x, s)| Value::Decimal(x.wrapping_neg(), s))),
        _ => Ok(v[0].as_i128().map_or(Value::Null, |x| wrap(x.wrapping_neg(), r))),
    }),
    strict("positive", negative_type, |v, _, _| Ok(v[0].clone())),
    strict("abs", abs_type, |v, _, r| match r {
        SqlType::Double | SqlType::Float => Ok(v[0].as_f64().map_or(Value::Null, |x| Value::Double(x.abs()))),
        SqlType::Decimal(..) => Ok(decimal_of(&v[0]).map_or(Value::Null, |(x, s)| Value::Decimal(x.wrapping_abs(), s))),
        _ => Ok(v[0].as_i128().map_or(Value::Null, |x| Value::Int(x.wrapping_abs()))),
    }),
    strict("round", round_type, |v, _, r| round(v, r, false)),
    strict("truncate", round_type, |v, _, r| round(v, r, true)),
    strict("ceil", bigint, |v, _, r| {
        Ok(v[0].as_f64().and_then(|x| Value::Double(x.ceil()).cast(r)).unwrap_or(Value::Null))
    }),
    strict("floor", bigint, |v, _, r| {
        Ok(v[0].as_f64().and_then(|x| Value::Double(x.floor()).cast(r)).unwrap_or(Value::Null))
    }),
    strict("sign", super::core_float, |v, _, _| {
        Ok(v[0].as_f64().map_or(Value::Null, |x| {
            Value::Float(if x > 0.0 {
                1.0
            } else if x < 0.0 {
                -1.0
            } else {
                0.0
            })
        }))
    }),
    math!("sqrt", f64::sqrt),
    // As StarRocks computes it: a power, with its rounding.
    math!("cbrt", |x| (x.abs().ln() / 3.0).exp().copysign(x)),
    math!("exp", f64::exp),
    math!("ln", f64::ln),
    math!("log2", f64::log2),
    math!("log10", f64::log10),
    math!("sin", f64::sin),
    math!("cos", f64::cos),
    math!("tan", f64::tan),
    math!("cot", |x| 1.0 / x.tan()),
    math!("asin", f64::asin),
    math!("acos", f64::acos),
    math!("atan", f64::atan),
    math!("sinh", f64::sinh),
    math!("cosh", f64::cosh),
    math!("tanh", f64::tanh),
    math!("radians", f64::to_radians),
    math!("degrees", f64::to_degrees),
    math!("square", |x| x * x),
    strict("atan2", double, |v, _, _| match (v[0].as_f64(), v[1].as_f64()) {
        (Some(a), Some(b)) => finite(a.atan2(b)),
        _ => Ok(Value::Null),
    }),
    strict("power", double, |v, _, _| match (v[0].as_f64(), v[1].as_f64()) {
        (Some(a), Some(b)) => finite(a.powf(b)),
        _ => Ok(Value::Null),
    }),
    strict("log", double, |v, _, _| match (v[0].as_f64(), v.get(1).map(Value::as_f64)) {
        (Some(a), None) => finite(a.ln()),
        (Some(a), Some(Some(b))) => finite(b.ln() / a.ln()),
        _ => Ok(Value::Null),
    }),
    lenient("pi", double, |_, _, _| Ok(Value::Double(std::f64::consts::PI))),
    lenient("e", double, |_, _, _| Ok(Value::Double(std::f64::consts::E))),
    strict("pmod", modulo_type, |v, t, r| {
        let m = modulo(v, t, r)?;
        match (&m, v[1].as_f64()) {
            (Value::Int(x), _) if *x < 0 => Ok(Value::Int(x + v[1].as_i128().unwrap_or(0))),
            (Value::Double(x), Some(b)) if *x < 0.0 => Ok(Value::Double(x + b)),
            _ => Ok(m),
        }
    }),
    bits!("bitand", |a, b| a & b),
    bits!("bitor", |a, b| a | b),
    bits!("bitxor", |a, b| a ^ b),
    strict("bitnot", int_type_any, |v, _, r| Ok(v[0].as_i128().map_or(Value::Null, |x| wrap(!x, r)))),
    strict("bit_shift_left", int_type_any, |v, _, r| shift(v, r, |a, n| a.wrapping_shl(n))),
    strict("bit_shift_right", int_type_any, |v, _, r| shift(v, r, |a, n| a.wrapping_shr(n))),
    strict("bit_shift_right_logical", int_type_any, |v, _, r| match r {
        SqlType::BigInt => shift(v, r, |a, n| i128::from((a as u64).checked_shr(n).unwrap_or(0) as i64)),
        SqlType::Int => shift(v, r, |a, n| i128::from((a as u32).checked_shr(n).unwrap_or(0) as i32)),
        _ => shift(v, r, |a, n| ((a as u128).checked_shr(n).unwrap_or(0)) as i128),
    }),
    // A bar of at most `width` blocks, and the number of the bucket of equal width a value lies in.
    strict("bar", string, |v, _, _| {
        let n = |i: usize| v[i].as_f64().unwrap_or(0.0);
        let (x, low, high, width) = (n(0), n(1), n(2), n(3));
        if low >= high || !(1.0..=1000.0).contains(&width) {
            return Err(SqlError::plain("bar requires min < max and a width between 1 and 1000"));
        }
        let blocks = ((x.clamp(low, high) - low) / (high - low) * width).floor() as usize;
        Ok(Value::Text("\u{2593}".repeat(blocks)))
    }),
    strict("equiwidth_bucket", bigint, |v, _, _| {
        let n = |i: usize| v[i].as_i64().unwrap_or(0);
        let (x, low, high, buckets) = (n(0), n(1), n(2), n(3));
        if low >= high || buckets <= 0 {
            return Err(SqlError::plain("equiwidth_bucket requires min < max and buckets > 0"));
        }
        let width = ((high - low) / buckets + 1).max(1);
        Ok(Value::int((x.clamp(low, high) - low) / width))
    }),
    strict("bin", string, |v, _, _| Ok(v[0].as_i64().map_or(Value::Null, |x| Value::Text(format!("{x:b}"))))),
    strict("conv", string, conv),
];
