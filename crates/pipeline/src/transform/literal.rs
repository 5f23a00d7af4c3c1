//! Literals and their types.

use starweir_model::{DataType, Error, LogicalType as L, Result, Value};
use starweir_sql::ast::{Expr, ExprKind};

use super::bind::{Bound, done, null};
use super::node::Node;
use super::unparse::Text;
use super::{decimal, interval};

pub(super) fn literal(expr: &Expr) -> Result<Bound> {
    let (value, of) = match &expr.kind {
        ExprKind::Number(text) => number(text)?,
        ExprKind::Str(text) => (Value::String(text.clone()), L::Char(text.chars().count() as u32)),
        ExprKind::Bytes(bytes) => (Value::Binary(bytes.clone()), L::Binary(bytes.len() as u32)),
        ExprKind::Bool(Some(value)) => (Value::Boolean(*value), L::Boolean),
        ExprKind::Bool(None) => return Ok(Bound { of: DataType::nullable(L::Boolean), ..null() }),
        ExprKind::Date(text) => (interval::date(text)?, L::Date),
        ExprKind::Time(text) => (interval::time(text)?, L::Time(0)),
        ExprKind::Timestamp(text) => (interval::timestamp(text)?, L::Timestamp(3)),
        ExprKind::Interval { value, negative, from, to } => {
            let (amount, of) = interval::interval(value, *negative, from, to.as_deref())?;
            (Value::BigInt(amount), of)
        }
        _ => return Ok(null()),
    };
    let text = Text::of_literal(expr, &value);
    Ok(done(Node::Literal(value), DataType::not_null(of), text))
}

fn number(text: &str) -> Result<(Value, L)> {
    if text.contains(['e', 'E']) {
        let value = text.parse().map_err(|_| Error::user(format!("'{text}' is no number")))?;
        return Ok((Value::Double(value), L::Double));
    }
    if !text.contains('.') {
        if let Ok(value) = text.parse::<i32>() {
            return Ok((Value::Int(value), L::Int));
        }
        if let Ok(value) = text.parse::<i64>() {
            return Ok((Value::BigInt(value), L::BigInt));
        }
    }
    let value = decimal::Digits::parse(text)
        .and_then(|d| d.to_decimal())
        .ok_or_else(|| Error::user(format!("Numeric literal '{text}' out of range")))?;
    let digits = value.unscaled.unsigned_abs().to_string().len() as u8;
    Ok((Value::Decimal(value), L::Decimal(digits.max(value.scale).clamp(1, 38), value.scale)))
}
