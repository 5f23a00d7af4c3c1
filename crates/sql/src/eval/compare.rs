//! Equality and order of values of one type, nested types included. Floating numbers compare as
//! Java's primitives do: NaN equals nothing, -0.0 equals 0.0.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum, Scalar};
use arrow::compute::kernels::cmp;
use arrow::datatypes::{
    DataType as ArrowType, DurationMillisecondType, Float32Type, Float64Type, IntervalYearMonthType,
};
use starweir_model::Result;

use super::{Val, arrow_error};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Eq,
    NotEq,
    Less,
    LessEq,
    Greater,
    GreaterEq,
}

impl Op {
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::NotEq => "<>",
            Self::Less => "<",
            Self::LessEq => "<=",
            Self::Greater => ">",
            Self::GreaterEq => ">=",
        }
    }

    fn holds(self, ordering: Option<Ordering>) -> bool {
        match (self, ordering) {
            (Self::NotEq, None) => true,
            (_, None) => false,
            (Self::Eq, Some(o)) => o == Ordering::Equal,
            (Self::NotEq, Some(o)) => o != Ordering::Equal,
            (Self::Less, Some(o)) => o == Ordering::Less,
            (Self::LessEq, Some(o)) => o != Ordering::Greater,
            (Self::Greater, Some(o)) => o == Ordering::Greater,
            (Self::GreaterEq, Some(o)) => o != Ordering::Less,
        }
    }
}

/// Compares two columns of the same type row by row; NULL where either is NULL.
pub(crate) fn compare(op: Op, left: &Val, right: &Val, rows: usize) -> Result<ArrayRef> {
    let plain = matches!(
        left.array.data_type(),
        ArrowType::Boolean
            | ArrowType::Int8
            | ArrowType::Int16
            | ArrowType::Int32
            | ArrowType::Int64
            | ArrowType::Decimal128(_, _)
            | ArrowType::Utf8
            | ArrowType::Binary
            | ArrowType::Date32
            | ArrowType::Time32(_)
            | ArrowType::Timestamp(_, _)
    );
    if plain && left.array.data_type() == right.array.data_type() && !(left.scalar && right.scalar) {
        let (ls, rs);
        let l: &dyn Datum = if left.scalar {
            ls = Scalar::new(Arc::clone(&left.array));
            &ls
        } else {
            &left.array
        };
        let r: &dyn Datum = if right.scalar {
            rs = Scalar::new(Arc::clone(&right.array));
            &rs
        } else {
            &right.array
        };
        let result = match op {
            Op::Eq => cmp::eq(l, r),
            Op::NotEq => cmp::neq(l, r),
            Op::Less => cmp::lt(l, r),
            Op::LessEq => cmp::lt_eq(l, r),
            Op::Greater => cmp::gt(l, r),
            Op::GreaterEq => cmp::gt_eq(l, r),
        };
        return Ok(Arc::new(result.map_err(arrow_error)?));
    }
    let result: BooleanArray = (0..rows)
        .map(|row| {
            if left.is_null(row) || right.is_null(row) {
                return None;
            }
            Some(op.holds(order(left.array.as_ref(), left.at(row), right.array.as_ref(), right.at(row))))
        })
        .collect();
    Ok(Arc::new(result))
}

/// Order of two values that are not NULL; `None`: neither smaller, equal nor larger (NaN).
/// Within nested values NULL equals NULL and comes first.
pub(crate) fn order(left: &dyn Array, l: usize, right: &dyn Array, r: usize) -> Option<Ordering> {
    macro_rules! primitive {
        ($t:ty) => {
            Some(left.as_primitive::<$t>().value(l).cmp(&right.as_primitive::<$t>().value(r)))
        };
    }
    use arrow::datatypes as t;
    if left.data_type() == &ArrowType::Null || right.data_type() == &ArrowType::Null {
        return Some(Ordering::Equal);
    }
    match left.data_type() {
        ArrowType::Boolean => Some(left.as_boolean().value(l).cmp(&right.as_boolean().value(r))),
        ArrowType::Int8 => primitive!(t::Int8Type),
        ArrowType::Int16 => primitive!(t::Int16Type),
        ArrowType::Int32 => primitive!(t::Int32Type),
        ArrowType::Int64 => primitive!(t::Int64Type),
        ArrowType::Float32 => {
            left.as_primitive::<Float32Type>().value(l).partial_cmp(&right.as_primitive::<Float32Type>().value(r))
        }
        ArrowType::Float64 => {
            left.as_primitive::<Float64Type>().value(l).partial_cmp(&right.as_primitive::<Float64Type>().value(r))
        }
        ArrowType::Decimal128(_, ls) => {
            let (a, b) =
                (left.as_primitive::<t::Decimal128Type>().value(l), right.as_primitive::<t::Decimal128Type>().value(r));
            let rs = match right.data_type() {
                ArrowType::Decimal128(_, s) => *s,
                _ => *ls,
            };
            if *ls == rs {
                return Some(a.cmp(&b));
            }
            let common = (*ls).max(rs);
            let wide =
                |v: i128, s: i8| num_bigint::BigInt::from(v) * num_bigint::BigInt::from(10u8).pow((common - s) as u32);
            Some(wide(a, *ls).cmp(&wide(b, rs)))
        }
        ArrowType::Utf8 => Some(left.as_string::<i32>().value(l).cmp(right.as_string::<i32>().value(r))),
        ArrowType::Binary => Some(left.as_binary::<i32>().value(l).cmp(right.as_binary::<i32>().value(r))),
        ArrowType::Date32 => primitive!(t::Date32Type),
        ArrowType::Time32(_) => primitive!(t::Time32MillisecondType),
        ArrowType::Timestamp(_, _) => {
            Some(super::text::timestamp_nanos(left, l).cmp(&super::text::timestamp_nanos(right, r)))
        }
        ArrowType::Interval(_) => primitive!(IntervalYearMonthType),
        ArrowType::Duration(_) => primitive!(DurationMillisecondType),
        ArrowType::List(_) => {
            let (a, b) = (left.as_list::<i32>().value(l), right.as_list::<i32>().value(r));
            for i in 0..a.len().min(b.len()) {
                match nested(a.as_ref(), i, b.as_ref(), i) {
                    Some(Ordering::Equal) => {}
                    other => return other,
                }
            }
            Some(a.len().cmp(&b.len()))
        }
        ArrowType::Struct(_) => {
            let (a, b) = (left.as_struct(), right.as_struct());
            for (ca, cb) in a.columns().iter().zip(b.columns()) {
                match nested(ca.as_ref(), l, cb.as_ref(), r) {
                    Some(Ordering::Equal) => {}
                    other => return other,
                }
            }
            Some(Ordering::Equal)
        }
        ArrowType::Map(_, _) => {
            // Maps are equal when they hold the same entries, in any order.
            let (a, b) = (left.as_map().value(l), right.as_map().value(r));
            if a.len() != b.len() {
                return Some(a.len().cmp(&b.len()));
            }
            let found = (0..a.len()).all(|i| {
                (0..b.len()).any(|j| {
                    nested(a.column(0).as_ref(), i, b.column(0).as_ref(), j) == Some(Ordering::Equal)
                        && nested(a.column(1).as_ref(), i, b.column(1).as_ref(), j) == Some(Ordering::Equal)
                })
            });
            Some(if found { Ordering::Equal } else { Ordering::Less })
        }
        _ => None,
    }
}

/// Order of two values that may be NULL: NULL first, NULL equals NULL.
pub(crate) fn nested(left: &dyn Array, l: usize, right: &dyn Array, r: usize) -> Option<Ordering> {
    let null = |a: &dyn Array, i: usize| a.data_type() == &ArrowType::Null || a.is_null(i);
    match (null(left, l), null(right, r)) {
        (true, true) => Some(Ordering::Equal),
        (true, false) => Some(Ordering::Less),
        (false, true) => Some(Ordering::Greater),
        (false, false) => order(left, l, right, r),
    }
}

/// Equality of two values where NULL equals NULL.
pub(crate) fn same(left: &dyn Array, l: usize, right: &dyn Array, r: usize) -> bool {
    nested(left, l, right, r) == Some(Ordering::Equal)
}
