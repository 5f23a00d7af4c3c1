//! StarRocks' functions as DataFusion functions. A function is a name, a rule for its result type,
//! and how one row is computed; the frame here does arrays, NULLs and constants.

pub mod aggregate;
pub mod arithmetic;
pub mod array;
pub mod bitmap;
pub mod core;
pub mod date;
pub mod json;
pub mod lambda;
pub mod pattern;
pub mod string;

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result as DfResult, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::{SqlError, SqlResult};
use crate::types::{SqlType, field_ref};
use crate::value::Value;

/// The types and constant values a result type is found from.
pub struct Args<'a> {
    pub types: &'a [SqlType],
    pub constants: &'a [Option<Value>],
}

pub type TypeRule = fn(&Args<'_>) -> SqlResult<SqlType>;
/// One row: argument values, argument types, result type.
pub type RowRule = fn(&[Value], &[SqlType], &SqlType) -> SqlResult<Value>;
/// Whole columns, for functions that are hot; None: row by row.
pub type ColumnRule = fn(&[ArrayRef], &[SqlType], &SqlType) -> SqlResult<Option<ArrayRef>>;

#[derive(Clone, Copy)]
pub struct Function {
    pub name: &'static str,
    pub types: TypeRule,
    pub row: RowRule,
    pub column: Option<ColumnRule>,
    /// Any NULL argument gives NULL without asking the function.
    pub nulls: bool,
    pub volatile: bool,
}

/// A function whose result is NULL when an argument is.
pub const fn strict(name: &'static str, types: TypeRule, row: RowRule) -> Function {
    Function { name, types, row, column: None, nulls: true, volatile: false }
}

/// A function that looks at NULLs itself.
pub const fn lenient(name: &'static str, types: TypeRule, row: RowRule) -> Function {
    Function { name, types, row, column: None, nulls: false, volatile: false }
}

pub fn boolean(_: &Args<'_>) -> SqlResult<SqlType> {
    Ok(SqlType::Boolean)
}
pub fn int(_: &Args<'_>) -> SqlResult<SqlType> {
    Ok(SqlType::Int)
}
pub fn bigint(_: &Args<'_>) -> SqlResult<SqlType> {
    Ok(SqlType::BigInt)
}
pub fn largeint(_: &Args<'_>) -> SqlResult<SqlType> {
    Ok(SqlType::LargeInt)
}
pub fn double(_: &Args<'_>) -> SqlResult<SqlType> {
    Ok(SqlType::Double)
}
pub fn string(_: &Args<'_>) -> SqlResult<SqlType> {
    Ok(SqlType::STRING)
}
pub fn date(_: &Args<'_>) -> SqlResult<SqlType> {
    Ok(SqlType::Date)
}
pub fn datetime(_: &Args<'_>) -> SqlResult<SqlType> {
    Ok(SqlType::DateTime)
}
pub fn json_type(_: &Args<'_>) -> SqlResult<SqlType> {
    Ok(SqlType::Json)
}
pub fn binary(_: &Args<'_>) -> SqlResult<SqlType> {
    Ok(SqlType::Varbinary)
}
pub fn bitmap(_: &Args<'_>) -> SqlResult<SqlType> {
    Ok(SqlType::Bitmap)
}
pub fn hll(_: &Args<'_>) -> SqlResult<SqlType> {
    Ok(SqlType::Hll)
}
pub fn same(a: &Args<'_>) -> SqlResult<SqlType> {
    a.types.first().cloned().ok_or_else(|| SqlError::analysis("an argument is missing"))
}

/// The type both fit in: CASE, arrays, least, greatest.
pub fn common(types: &[SqlType]) -> SqlType {
    types.iter().fold(SqlType::Null, |a, b| common_two(&a, b))
}

pub fn common_two(a: &SqlType, b: &SqlType) -> SqlType {
    use SqlType::*;
    fn rank(t: &SqlType) -> u8 {
        match t {
            Boolean => 0,
            TinyInt => 1,
            SmallInt => 2,
            Int => 3,
            BigInt => 4,
            LargeInt => 5,
            Decimal(..) => 6,
            Float => 7,
            _ => 8,
        }
    }
    fn digits(t: &SqlType) -> u8 {
        match t {
            Boolean | TinyInt => 3,
            SmallInt => 5,
            Int => 10,
            BigInt => 19,
            _ => 38,
        }
    }
    match (a, b) {
        (x, y) if x == y => x.clone(),
        (Null, x) | (x, Null) => x.clone(),
        (Char(_) | Varchar(_), Char(_) | Varchar(_)) => SqlType::STRING,
        (Json, _) | (_, Json) => Json,
        (Date, DateTime) | (DateTime, Date) => DateTime,
        (Array(x), Array(y)) => Array(Box::new(common_two(x, y))),
        (Map(k, v), Map(l, w)) => Map(Box::new(common_two(k, l)), Box::new(common_two(v, w))),
        (Struct(x), Struct(y)) if x.len() == y.len() => {
            Struct(x.iter().zip(y).map(|((n, s), (_, t))| (n.clone(), common_two(s, t))).collect())
        }
        (Decimal(p, s), Decimal(q, t)) => {
            let scale = (*s).max(*t);
            let whole = (p - s).max(q - t);
            Decimal((whole + scale).min(if *p > 38 || *q > 38 { 76 } else { 38 }), scale)
        }
        (Decimal(p, s), n) | (n, Decimal(p, s)) if n.is_integer() || *n == Boolean => {
            let whole = (p - s).max(digits(n));
            Decimal((whole + s).min(38), *s)
        }
        (x, y) if x.is_numeric() && y.is_numeric() => {
            if rank(x).max(rank(y)) >= 7 {
                Double
            } else if rank(x) > rank(y) {
                x.clone()
            } else {
                y.clone()
            }
        }
        _ => SqlType::STRING,
    }
}

/// The element of an array type.
pub fn element(t: &SqlType) -> SqlType {
    match t {
        SqlType::Array(e) => (**e).clone(),
        _ => SqlType::Null,
    }
}

pub struct Udf {
    function: Function,
    signature: Signature,
}

impl std::fmt::Debug for Udf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.function.name)
    }
}
impl PartialEq for Udf {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}
impl Eq for Udf {}
impl Hash for Udf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl Udf {
    pub fn new(function: Function) -> Self {
        let volatility = if function.volatile { Volatility::Volatile } else { Volatility::Immutable };
        Self { function, signature: Signature::user_defined(volatility) }
    }
}

fn constant(v: Option<&ScalarValue>, field: &FieldRef) -> Option<Value> {
    let array = v?.to_array().ok()?;
    Some(Value::get(&array, &SqlType::of_field(field), 0))
}

impl ScalarUDFImpl for Udf {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> DfResult<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        internal_err!("the type of {} comes from its fields", self.function.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> DfResult<FieldRef> {
        let types: Vec<SqlType> = args.arg_fields.iter().map(|f| SqlType::of_field(f)).collect();
        let constants: Vec<Option<Value>> =
            args.scalar_arguments.iter().zip(args.arg_fields).map(|(s, f)| constant(*s, f)).collect();
        let t = (self.function.types)(&Args { types: &types, constants: &constants })
            .map_err(|e| datafusion::error::DataFusionError::External(Box::new(e)))?;
        Ok(field_ref(self.function.name, &t, true))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let types: Vec<SqlType> = args.arg_fields.iter().map(|f| SqlType::of_field(f)).collect();
        let result_type = SqlType::of_field(&args.return_field);
        let all_constant = !self.function.volatile && args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if all_constant { 1 } else { args.number_rows };
        let arrays: Vec<ArrayRef> = args
            .args
            .iter()
            .map(|a| match a {
                ColumnarValue::Array(a) => Ok(a.clone()),
                ColumnarValue::Scalar(s) => s.to_array_of_size(rows),
            })
            .collect::<DfResult<_>>()?;
        let array = self.compute(&arrays, &types, &result_type, rows)?;
        if all_constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

impl Udf {
    fn compute(&self, arrays: &[ArrayRef], types: &[SqlType], result: &SqlType, rows: usize) -> SqlResult<ArrayRef> {
        if let Some(column) = self.function.column
            && let Some(array) = column(arrays, types, result)?
        {
            return Ok(array);
        }
        let mut values = Vec::with_capacity(rows);
        let mut row_args = Vec::with_capacity(arrays.len());
        for row in 0..rows {
            row_args.clear();
            let mut null = false;
            for (array, t) in arrays.iter().zip(types) {
                if self.function.nulls && array.is_null(row) {
                    null = true;
                    break;
                }
                row_args.push(Value::get(array, t, row));
            }
            values.push(if null { Value::Null } else { (self.function.row)(&row_args, types, result)? });
        }
        Ok(Value::array(&values, result))
    }
}

/// All scalar functions of ours by name.
pub fn scalar_functions() -> HashMap<String, Arc<ScalarUDF>> {
    let mut out = HashMap::new();
    for table in
        [core::FUNCTIONS, arithmetic::FUNCTIONS, string::FUNCTIONS, date::FUNCTIONS, json::FUNCTIONS, array::FUNCTIONS, bitmap::FUNCTIONS, pattern::FUNCTIONS]
    {
        for function in table {
            out.insert(function.name.to_string(), Arc::new(ScalarUDF::from(Udf::new(*function))));
        }
    }
    for (alias, name) in ALIASES {
        if let Some(f) = out.get(*name).cloned() {
            out.insert((*alias).to_string(), f);
        }
    }
    out
}

const ALIASES: &[(&str, &str)] = &[
    ("ucase", "upper"),
    ("lcase", "lower"),
    ("substring", "substr"),
    ("mid", "substr"),
    ("character_length", "char_length"),
    ("pow", "power"),
    ("dpow", "power"),
    ("fpow", "power"),
    ("ceiling", "ceil"),
    ("dceil", "ceil"),
    ("dfloor", "floor"),
    ("dround", "round"),
    ("dsqrt", "sqrt"),
    ("dexp", "exp"),
    ("dlog1", "ln"),
    ("dlog10", "log10"),
    ("fmod", "mod"),
    ("day", "dayofmonth"),
    ("adddate", "days_add"),
    ("date_add", "days_add"),
    ("date_sub", "days_sub"),
    ("subdate", "days_sub"),
    ("to_date", "date"),
    ("to_datetime", "timestamp"),
    ("str2date", "str_to_date_only"),
    ("rlike", "regexp"),
    ("cardinality", "array_length"),
    ("size", "array_length"),
    ("week_of_year", "weekofyear"),
    ("weekofyear", "week_iso"),
    ("day_of_year", "dayofyear"),
    ("json_object_keys", "json_keys"),
    ("get_json_object", "get_json_string"),
    ("array_distinct_any", "array_distinct"),
    ("from_binary", "from_binary"),
    ("instr_", "instr"),
];

/// FLOAT, as `sign` gives.
pub fn core_float(_: &Args<'_>) -> SqlResult<SqlType> {
    Ok(SqlType::Float)
}
