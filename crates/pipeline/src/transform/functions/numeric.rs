//! Numbers, and NULLIF.

use starweir_model::{Decimal, LogicalType as L, Result, Value};

use super::super::cast;
use super::super::decimal::{self, Digits};
use super::super::node::{Env, narrowed};
use super::{Args, Arguments, Function, Want, first_type, integer, null_if, value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "ABS", arity: (1, 1), wants: &[Want::Number], returns: first_type, eval: abs, strict: true },
    Function { name: "CEIL", arity: (1, 1), wants: &[Want::Number], returns: whole_type, eval: ceil, strict: true },
    Function { name: "CEILING", arity: (1, 1), wants: &[Want::Number], returns: whole_type, eval: ceil, strict: true },
    Function { name: "FLOOR", arity: (1, 1), wants: &[Want::Number], returns: whole_type, eval: floor, strict: true },
    Function {
        name: "ROUND",
        arity: (1, 2),
        wants: &[Want::Number, Want::Integer],
        returns: round_type,
        eval: round,
        strict: true,
    },
    Function { name: "NULLIF", arity: (2, 2), wants: &[Want::Any], returns: first_type, eval: null_if, strict: false },
];

/// No digits behind the point.
fn whole_type(arguments: &Arguments<'_>) -> L {
    match arguments.logical(0) {
        L::Decimal(p, _) => L::Decimal(*p, 0),
        other => other.clone(),
    }
}

fn round_type(arguments: &Arguments<'_>) -> L {
    let L::Decimal(p, s) = arguments.logical(0) else { return arguments.logical(0).clone() };
    let (precision, scale) = (i32::from(*p), i32::from(*s));
    let digits = match arguments.literals.get(1) {
        None => 0,
        Some(Some(literal)) => match super::super::node::as_i64(literal) {
            Some(digits) => digits.clamp(-100, 100) as i32,
            None => return arguments.logical(0).clone(),
        },
        Some(None) => return arguments.logical(0).clone(),
    };
    if digits >= scale {
        arguments.logical(0).clone()
    } else if digits < 0 {
        arguments.system.decimal((precision - scale + 1).min(38), 0)
    } else {
        arguments.system.decimal((1 + precision - scale + digits).min(38), digits)
    }
}

fn abs(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    Ok(match value(args, 0) {
        Value::TinyInt(v) => Value::TinyInt(v.wrapping_abs()),
        Value::SmallInt(v) => Value::SmallInt(v.wrapping_abs()),
        Value::Int(v) => Value::Int(v.wrapping_abs()),
        Value::BigInt(v) => Value::BigInt(v.wrapping_abs()),
        Value::Float(v) => Value::Float(v.abs()),
        Value::Double(v) => Value::Double(v.abs()),
        Value::Decimal(v) => Value::Decimal(Decimal { unscaled: v.unscaled.wrapping_abs(), scale: v.scale }),
        other => other.clone(),
    })
}

fn ceil(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    Ok(match value(args, 0) {
        Value::Float(v) => Value::Float(v.ceil()),
        Value::Double(v) => Value::Double(v.ceil()),
        Value::Decimal(v) => Value::Decimal(decimal::floor(*v, true)),
        other => other.clone(),
    })
}

fn floor(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    Ok(match value(args, 0) {
        Value::Float(v) => Value::Float(v.floor()),
        Value::Double(v) => Value::Double(v.floor()),
        Value::Decimal(v) => Value::Decimal(decimal::floor(*v, false)),
        other => other.clone(),
    })
}

/// Half up, at a digit behind (or, negative, before) the point.
fn round(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    let digits = if args.len() > 1 { integer(args, 1).clamp(-400, 400) } else { 0 };
    let given = value(args, 0);
    if matches!(given, Value::Float(v) if !v.is_finite()) || matches!(given, Value::Double(v) if !v.is_finite()) {
        return Ok(given.clone());
    }
    let Some(number) = Digits::parse(&cast::text(given)) else { return Ok(given.clone()) };
    let rounded = number.with_scale(digits);
    // Java rounds through decimals, which have no -0.0.
    Ok(match given {
        Value::Float(_) => Value::Float(rounded.text().parse().unwrap_or(f32::NAN) + 0.0),
        Value::Double(_) => Value::Double(rounded.text().parse().unwrap_or(f64::NAN) + 0.0),
        Value::Decimal(given) => {
            // More digits than there are stay what they are.
            if digits >= i64::from(given.scale) {
                return Ok(Value::Decimal(*given));
            }
            rounded.to_decimal().map_or(Value::Null, Value::Decimal)
        }
        other => {
            let whole = rounded.to_decimal().map_or(0, |d| decimal::whole(d) as i64);
            narrowed(whole, &width(other))
        }
    })
}

fn width(value: &Value) -> L {
    match value {
        Value::TinyInt(_) => L::TinyInt,
        Value::SmallInt(_) => L::SmallInt,
        Value::Int(_) => L::Int,
        _ => L::BigInt,
    }
}
