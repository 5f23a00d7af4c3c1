//! Sums and averages: a running total and a count instead of rows.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::i256;
use datafusion::common::{Result as DfResult, ScalarValue, internal_err};
use datafusion::logical_expr::Accumulator;

use crate::sql::functions::arithmetic::divide_rounded;
use crate::types::SqlType;
use crate::value::{Value, pow10, rescale};

#[derive(Debug, Clone, Copy)]
pub enum Total {
    Int(i64),
    Float(f64),
    Decimal(i256),
}

/// A running total and count.
#[derive(Debug)]
pub struct Running {
    pub sum: Total,
    pub n: i64,
    pub scale: u8,
    pub average: bool,
    pub result: SqlType,
}

impl Running {
    fn add(&mut self, array: &ArrayRef, sign: i64) -> DfResult<()> {
        use arrow::datatypes::{Decimal128Type, Decimal256Type, Float64Type, Int64Type};
        let n = (array.len() - array.null_count()) as i64;
        match &mut self.sum {
            Total::Int(sum) => {
                if let Some(a) = array.as_primitive_opt::<Int64Type>() {
                    for v in a.iter().flatten() {
                        *sum = sum.wrapping_add(v.wrapping_mul(sign));
                    }
                }
            }
            Total::Float(sum) => {
                if let Some(a) = array.as_primitive_opt::<Float64Type>() {
                    for v in a.iter().flatten() {
                        *sum += v * sign as f64;
                    }
                }
            }
            Total::Decimal(sum) => {
                let mut step = |v: i256| *sum = if sign > 0 { sum.wrapping_add(v) } else { sum.wrapping_sub(v) };
                if let Some(a) = array.as_primitive_opt::<Decimal128Type>() {
                    a.iter().flatten().for_each(|v| step(i256::from_i128(v)));
                } else if let Some(a) = array.as_primitive_opt::<Decimal256Type>() {
                    a.iter().flatten().for_each(step);
                }
            }
        }
        self.n += n * sign;
        Ok(())
    }
}

impl Accumulator for Running {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        match values.first() {
            Some(array) => self.add(array, 1),
            None => Ok(()),
        }
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        match values.first() {
            Some(array) => self.add(array, -1),
            None => Ok(()),
        }
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        let v = if self.n == 0 {
            Value::Null
        } else {
            match (&self.sum, self.average) {
                (Total::Int(v), false) => Value::int(*v),
                (Total::Int(v), true) => Value::Double(*v as f64 / self.n as f64),
                (Total::Float(v), false) => Value::Double(*v),
                (Total::Float(v), true) => Value::Double(*v / self.n as f64),
                (Total::Decimal(v), false) => Value::Decimal(*v, self.scale),
                (Total::Decimal(v), true) => {
                    let to = match self.result {
                        SqlType::Decimal(_, s) => s,
                        _ => self.scale,
                    };
                    let n = i256::from_i128(i128::from(self.n));
                    // Sums of more than 38 digits wrap around when their scale is raised, as in StarRocks.
                    let wide = matches!(self.result, SqlType::Decimal(39.., _)) && to >= self.scale;
                    let sum = if wide {
                        Some(v.wrapping_mul(pow10(u32::from(to - self.scale))))
                    } else {
                        rescale(*v, self.scale, to)
                    };
                    sum.and_then(|v| divide_rounded(v, n)).map_or(Value::Null, |q| Value::Decimal(q, to))
                }
            }
        };
        crate::sql::functions::one_scalar(&Value::array(&[v], &self.result))
    }

    fn size(&self) -> usize {
        std::mem::size_of::<Self>()
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        let sum = match self.sum {
            Total::Int(v) => ScalarValue::Int64(Some(v)),
            Total::Float(v) => ScalarValue::Float64(Some(v)),
            Total::Decimal(v) => ScalarValue::Decimal256(Some(v), 76, self.scale as i8),
        };
        Ok(vec![sum, ScalarValue::Int64(Some(self.n))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        let [sums, counts] = states else { return internal_err!("a state of a sum has two parts") };
        let before = self.n;
        self.add(sums, 1)?;
        let more: i64 =
            counts.as_primitive_opt::<arrow::datatypes::Int64Type>().map_or(0, |c| c.iter().flatten().sum());
        self.n = before + more;
        Ok(())
    }
}
