//! Compiled expressions and how a row is run through them.

use std::borrow::Cow;
use std::cmp::Ordering;

use starweir_model::{Decimal, Error, LogicalType as L, Result, TableId, Value};
use starweir_sql::Zone;

use super::cast::{self, Mode};
use super::compare;
use super::decimal::{self, Digits};

/// What functions may look at besides their arguments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Env {
    /// The pipeline's time zone.
    pub zone: Zone,
    /// The time at which this change is worked on, in milliseconds.
    pub now_ms: i64,
}

/// One image of one change.
pub(super) struct Frame<'a> {
    /// The source table's columns.
    pub source: &'a [Value],
    /// What the projection made of them; only filters look at it.
    pub projected: &'a [Value],
    pub table: &'a TableId,
    /// `+I`, `-U`, `+U` or `-D`.
    pub op: &'static str,
    pub meta: &'a [(String, String)],
    pub env: Env,
}

/// A value every table has without a column for it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Meta {
    Namespace,
    Schema,
    Table,
    Op,
    /// Told by the source with each change, as text.
    Source {
        name: String,
        of: L,
    },
}

impl Meta {
    fn value(&self, frame: &Frame<'_>) -> Result<Value> {
        let text = |text: Option<&String>| text.map_or(Value::Null, |t| Value::String(t.clone()));
        Ok(match self {
            Self::Namespace => text(frame.table.namespace.as_ref()),
            Self::Schema => text(frame.table.schema.as_ref()),
            Self::Table => Value::String(frame.table.table.clone()),
            Self::Op => Value::string(frame.op),
            Self::Source { name, of } => match frame.meta.iter().find(|(n, _)| n == name) {
                Some((_, text)) => cast::cast(&Value::String(text.clone()), of, Mode::Cast, frame.env.zone)?,
                None => Value::Null,
            },
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    Null,
    True,
    False,
}

/// How a function is computed from its arguments.
pub(super) type Eval = fn(&[Cow<'_, Value>], &Env) -> Result<Value>;

#[derive(Debug, Clone)]
pub(super) enum Node {
    Literal(Value),
    Column(usize),
    Projected(usize),
    Meta(Meta),
    Convert {
        inner: Box<Node>,
        to: L,
        mode: Mode,
    },
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    Not(Box<Node>),
    Is {
        inner: Box<Node>,
        what: Truth,
        negated: bool,
    },
    Compare {
        op: Comparison,
        operands: Box<[Node; 2]>,
    },
    Distinct {
        operands: Box<[Node; 2]>,
        negated: bool,
    },
    Between {
        operands: Box<[Node; 3]>,
        negated: bool,
    },
    In {
        value: Box<Node>,
        list: Vec<Node>,
        negated: bool,
    },
    Arithmetic {
        op: char,
        operands: Box<[Node; 2]>,
        to: L,
    },
    Negate(Box<Node>),
    /// Conditions with their results; the last result has none.
    Case {
        whens: Vec<(Node, Node)>,
        otherwise: Box<Node>,
    },
    Coalesce(Vec<Node>),
    /// A field of a row.
    Field {
        inner: Box<Node>,
        index: usize,
    },
    /// `strict`: NULL for any argument gives NULL without a call.
    Call {
        eval: Eval,
        args: Vec<Node>,
        strict: bool,
    },
}

impl Node {
    /// The value for a row.
    ///
    /// # Errors
    /// When there is none: a division by zero, text that is no timestamp, arguments out of range.
    pub fn eval<'a>(&'a self, frame: &'a Frame<'_>) -> Result<Cow<'a, Value>> {
        match self {
            Self::Literal(value) => Ok(Cow::Borrowed(value)),
            Self::Column(index) => Ok(frame.source.get(*index).map_or(Cow::Owned(Value::Null), Cow::Borrowed)),
            Self::Projected(index) => Ok(frame.projected.get(*index).map_or(Cow::Owned(Value::Null), Cow::Borrowed)),
            Self::Case { whens, otherwise } => {
                for (condition, result) in whens {
                    if condition.truth(frame)? == Some(true) {
                        return result.eval(frame);
                    }
                }
                otherwise.eval(frame)
            }
            Self::Coalesce(items) => {
                for item in items {
                    let value = item.eval(frame)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Ok(Cow::Owned(Value::Null))
            }
            Self::Field { inner, index } => Ok(match inner.eval(frame)? {
                Cow::Borrowed(Value::Row(fields)) => fields.get(*index).map_or(Cow::Owned(Value::Null), Cow::Borrowed),
                Cow::Owned(Value::Row(mut fields)) if *index < fields.len() => Cow::Owned(fields.swap_remove(*index)),
                _ => Cow::Owned(Value::Null),
            }),
            other => other.compute(frame).map(Cow::Owned),
        }
    }

    /// True, false or unknown.
    fn truth(&self, frame: &Frame<'_>) -> Result<Option<bool>> {
        Ok(match &*self.eval(frame)? {
            Value::Boolean(v) => Some(*v),
            Value::Null => None,
            other => match cast::cast(other, &L::Boolean, Mode::Cast, frame.env.zone)? {
                Value::Boolean(v) => Some(v),
                _ => None,
            },
        })
    }

    /// Whether a filter lets the row through: unknown does not.
    pub fn passes(&self, frame: &Frame<'_>) -> Result<bool> {
        Ok(self.truth(frame)? == Some(true))
    }

    fn compute(&self, frame: &Frame<'_>) -> Result<Value> {
        let truth = |value: Option<bool>| value.map_or(Value::Null, Value::Boolean);
        Ok(match self {
            Self::Meta(meta) => meta.value(frame)?,
            Self::Convert { inner, to, mode } => cast::cast(&*inner.eval(frame)?, to, *mode, frame.env.zone)?,
            Self::And(operands) => match operands[0].truth(frame)? {
                Some(false) => Value::Boolean(false),
                left => truth(match (left, operands[1].truth(frame)?) {
                    (_, Some(false)) => Some(false),
                    (Some(true), right) => right,
                    _ => None,
                }),
            },
            Self::Or(operands) => match operands[0].truth(frame)? {
                Some(true) => Value::Boolean(true),
                left => truth(match (left, operands[1].truth(frame)?) {
                    (_, Some(true)) => Some(true),
                    (Some(false), right) => right,
                    _ => None,
                }),
            },
            Self::Not(inner) => truth(inner.truth(frame)?.map(|v| !v)),
            Self::Is { inner, what: Truth::Null, negated } => Value::Boolean(inner.eval(frame)?.is_null() != *negated),
            Self::Is { inner, what, negated } => {
                Value::Boolean((inner.truth(frame)? == Some(*what == Truth::True)) != *negated)
            }
            Self::Compare { op, operands } => {
                let (left, right) = (operands[0].eval(frame)?, operands[1].eval(frame)?);
                Value::Boolean(compared(*op, &left, &right)?)
            }
            Self::Distinct { operands, negated } => {
                let (left, right) = (operands[0].eval(frame)?, operands[1].eval(frame)?);
                let same = left.is_null() && right.is_null() || compare::equals(&left, &right);
                Value::Boolean(same == *negated)
            }
            Self::Between { operands, negated } => {
                let value = operands[0].eval(frame)?;
                let inside = compared(Comparison::GreaterOrEqual, &value, &*operands[1].eval(frame)?)?
                    && compared(Comparison::LessOrEqual, &value, &*operands[2].eval(frame)?)?;
                Value::Boolean(inside != *negated)
            }
            Self::In { value, list, negated } => {
                let value = value.eval(frame)?;
                let mut found = false;
                for item in list {
                    let item = item.eval(frame)?;
                    if value.is_null() && item.is_null() || compare::sql_equals(&value, &item) {
                        found = true;
                        break;
                    }
                }
                Value::Boolean(found != *negated)
            }
            Self::Arithmetic { op, operands, to } => {
                let (left, right) = (operands[0].eval(frame)?, operands[1].eval(frame)?);
                arithmetic(*op, &left, &right, to)?
            }
            Self::Negate(inner) => negated(&*inner.eval(frame)?)?,
            Self::Call { eval, args, strict } => {
                let mut values = Vec::with_capacity(args.len());
                for arg in args {
                    let value = arg.eval(frame)?;
                    if *strict && value.is_null() {
                        return Ok(Value::Null);
                    }
                    values.push(value);
                }
                eval(&values, &frame.env)?
            }
            Self::Literal(_)
            | Self::Column(_)
            | Self::Projected(_)
            | Self::Case { .. }
            | Self::Coalesce(_)
            | Self::Field { .. } => self.eval(frame)?.into_owned(),
        })
    }
}

/// A comparison with NULL is false, and its negation true.
fn compared(op: Comparison, left: &Value, right: &Value) -> Result<bool> {
    match op {
        Comparison::Equal => return Ok(compare::equals(left, right)),
        Comparison::NotEqual => return Ok(!compare::equals(left, right)),
        _ if left.is_null() || right.is_null() => return Ok(false),
        _ => {}
    }
    let order = compare::order(left, right)?;
    Ok(match op {
        Comparison::Less => order == Ordering::Less,
        Comparison::LessOrEqual => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        _ => order != Ordering::Less,
    })
}

/// An integer of any width.
pub(super) fn as_i64(value: &Value) -> Option<i64> {
    Some(match value {
        Value::TinyInt(v) => i64::from(*v),
        Value::SmallInt(v) => i64::from(*v),
        Value::Int(v) => i64::from(*v),
        Value::BigInt(v) => *v,
        Value::Float(v) => *v as i64,
        Value::Double(v) => *v as i64,
        Value::Decimal(v) => decimal::whole(*v) as i64,
        _ => return None,
    })
}

pub(super) fn as_f64(value: &Value) -> Option<f64> {
    Some(match value {
        Value::Float(v) => f64::from(*v),
        Value::Double(v) => *v,
        Value::Decimal(v) => decimal::to_f64(*v),
        other => as_i64(other)? as f64,
    })
}

fn as_f32(value: &Value) -> Option<f32> {
    Some(match value {
        Value::Float(v) => *v,
        Value::Double(v) => *v as f32,
        Value::Decimal(v) => decimal::to_f32(*v),
        other => as_i64(other)? as f32,
    })
}

pub(super) fn as_decimal(value: &Value) -> Option<Decimal> {
    match value {
        Value::Decimal(v) => Some(*v),
        Value::Float(_) | Value::Double(_) => Digits::parse(&cast::text(value))?.to_decimal(),
        other => Some(Decimal { unscaled: i128::from(as_i64(other)?), scale: 0 }),
    }
}

/// An integer in the width of a type, wrapped around as Java does.
pub(super) fn narrowed(value: i64, to: &L) -> Value {
    match to {
        L::TinyInt => Value::TinyInt(value as i8),
        L::SmallInt => Value::SmallInt(value as i16),
        L::Int => Value::Int(value as i32),
        _ => Value::BigInt(value),
    }
}

fn no_number(value: &Value) -> Error {
    Error::data(format!("{} is no number", compare::java_class(value)))
}

fn by_zero() -> Error {
    Error::data("/ by zero")
}

fn arithmetic(op: char, left: &Value, right: &Value, to: &L) -> Result<Value> {
    if left.is_null() || right.is_null() {
        return Ok(Value::Null);
    }
    let missing = || if as_f64(left).is_none() { no_number(left) } else { no_number(right) };
    Ok(match to {
        L::Double => {
            let (a, b) = (as_f64(left).ok_or_else(missing)?, as_f64(right).ok_or_else(missing)?);
            Value::Double(match op {
                '+' => a + b,
                '-' => a - b,
                '*' => a * b,
                '/' => a / b,
                _ => a % b,
            })
        }
        L::Float => {
            let (a, b) = (as_f32(left).ok_or_else(missing)?, as_f32(right).ok_or_else(missing)?);
            Value::Float(match op {
                '+' => a + b,
                '-' => a - b,
                '*' => a * b,
                '/' => a / b,
                _ => a % b,
            })
        }
        L::Decimal(_, scale) => {
            let (a, b) = (as_decimal(left).ok_or_else(missing)?, as_decimal(right).ok_or_else(missing)?);
            decimal::arithmetic(op, a, b, *scale).map_err(|()| by_zero())?.map_or(Value::Null, Value::Decimal)
        }
        _ if matches!(left, Value::Float(_) | Value::Double(_) | Value::Decimal(_)) => {
            // A remainder by an integer has the divisor's type.
            arithmetic(op, &Value::Double(as_f64(left).ok_or_else(missing)?), right, &L::Double)
                .map(|v| as_i64(&v).map_or(Value::Null, |v| narrowed(v, to)))?
        }
        _ => {
            let (a, b) = (as_i64(left).ok_or_else(missing)?, as_i64(right).ok_or_else(missing)?);
            if b == 0 && matches!(op, '/' | '%') {
                return Err(by_zero());
            }
            let value = match op {
                '+' => a.wrapping_add(b),
                '-' => a.wrapping_sub(b),
                '*' => a.wrapping_mul(b),
                '/' => a.wrapping_div(b),
                _ => a.wrapping_rem(b),
            };
            narrowed(value, to)
        }
    })
}

fn negated(value: &Value) -> Result<Value> {
    Ok(match value {
        Value::Null => Value::Null,
        Value::TinyInt(v) => Value::TinyInt(v.wrapping_neg()),
        Value::SmallInt(v) => Value::SmallInt(v.wrapping_neg()),
        Value::Int(v) => Value::Int(v.wrapping_neg()),
        Value::BigInt(v) => Value::BigInt(v.wrapping_neg()),
        Value::Float(v) => Value::Float(-v),
        Value::Double(v) => Value::Double(-v),
        Value::Decimal(v) => Value::Decimal(Decimal { unscaled: v.unscaled.wrapping_neg(), scale: v.scale }),
        other => return Err(no_number(other)),
    })
}
