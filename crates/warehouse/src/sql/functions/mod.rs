//! StarRocks' functions as DataFusion functions. A function is a name, a rule for its result type,
//! and how one row is computed; the frame here does arrays, NULLs and constants.

pub mod aggregate;
pub mod arithmetic;
pub mod array;
pub mod array_generate;
pub mod bitmap;
pub mod core;
pub mod date;
pub mod json;
pub mod lambda;
pub mod pattern;
pub mod string;
pub mod unknown;
pub mod variable;

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result as DfResult, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use crate::error::{SqlError, SqlResult};
use crate::types::{SqlType, field_ref};
use crate::value::Value;

/// The types and constant values a result type is found from.
pub struct Args<'a> {
    pub types: &'a [SqlType],
    pub constants: &'a [Option<Value>],
}

impl Args<'_> {
    /// The types as an error shows them: a number as written has the smallest type it fits in.
    pub fn shown(&self) -> Vec<String> {
        let one = |(t, c): (&SqlType, &Option<Value>)| match c {
            Some(Value::Text(_)) if t.is_text() => "varchar".to_string(),
            Some(v) if t.is_integer() => SqlType::of_integer(v).unwrap_or_else(|| t.clone()).signature(),
            _ => t.signature(),
        };
        self.types.iter().zip(self.constants).map(one).collect()
    }
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
        // Two decimals that need more than 38 digits together meet as DOUBLE, unless the first one is that wide.
        (Decimal(p, s), Decimal(q, t)) if *p <= 38 && (p - s).max(q - t) + (*s).max(*t) > 38 => Double,
        (Decimal(p, s), Decimal(q, t)) => {
            let scale = (*s).max(*t);
            let whole = (p - s).max(q - t);
            Decimal((whole + scale).min(if *p > 38 || *q > 38 { 76 } else { 38 }), scale)
        }
        (Decimal(p, s), n) | (n, Decimal(p, s)) if n.is_integer() || *n == Boolean => {
            let whole = (p - s).max(digits(n));
            Decimal((whole + s).min(if *p > 38 { 76 } else { 38 }), *s)
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

/// Whether two types have a common one that keeps their meaning: arrays meet arrays only.
pub fn compatible(a: &SqlType, b: &SqlType) -> bool {
    use SqlType::*;
    match (a, b) {
        (Null, _) | (_, Null) => true,
        (Array(x), Array(y)) => compatible(x, y),
        (Map(k, v), Map(l, w)) => compatible(k, l) && compatible(v, w),
        (Struct(x), Struct(y)) => x.len() == y.len() && x.iter().zip(y).all(|(s, t)| compatible(&s.1, &t.1)),
        (x, y) => !x.is_nested() && !y.is_nested(),
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
        let kinds = vec![TypeSignature::UserDefined, TypeSignature::Nullary];
        Self { function, signature: Signature::one_of(kinds, volatility) }
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
        let given = Args { types: &types, constants: &constants };
        if self.function.nulls && !self.function.volatile && types.len() < 4 {
            // A call with too few arguments reaches for one that is not there.
            let nothing = vec![Value::Null; types.len()];
            let probe = || {
                let t = (self.function.types)(&given);
                (self.function.row)(&nothing, &types, t.as_ref().unwrap_or(&SqlType::Null)).is_ok()
            };
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(probe)).is_err() {
                let e = SqlError::no_function(self.function.name, &given.shown()).of_call(self.function.name);
                return Err(e.into());
            }
        }
        let t = (self.function.types)(&given)
            .map_err(|e| datafusion::error::DataFusionError::from(e.of_call(self.function.name)))?;
        Ok(field_ref(self.function.name, &t, true))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let types: Vec<SqlType> = args.arg_fields.iter().map(|f| SqlType::of_field(f)).collect();
        let result_type = SqlType::of_field(&args.return_field);
        let all_constant = !self.function.volatile && args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if all_constant { 1 } else { args.number_rows };
        let array = self.compute(&args.args, &types, &result_type, rows)?;
        if all_constant {
            return Ok(ColumnarValue::Scalar(one_scalar(&array)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

impl Udf {
    fn compute(&self, args: &[ColumnarValue], types: &[SqlType], result: &SqlType, rows: usize) -> DfResult<ArrayRef> {
        if let Some(column) = self.function.column {
            let arrays = args.iter().map(|a| a.to_array(rows)).collect::<DfResult<Vec<ArrayRef>>>()?;
            if let Some(array) = column(&arrays, types, result)? {
                return Ok(array);
            }
        }
        // Constants are read once; they may be large arrays.
        let mut row_args: Vec<Value> = Vec::with_capacity(args.len());
        let mut columns: Vec<(usize, &ArrayRef)> = Vec::new();
        for (i, (arg, t)) in args.iter().zip(types).enumerate() {
            match arg {
                ColumnarValue::Scalar(s) => row_args.push(Value::get(&s.to_array()?, t, 0)),
                ColumnarValue::Array(array) => {
                    row_args.push(Value::Null);
                    columns.push((i, array));
                }
            }
        }
        let constant_null = self.function.nulls
            && args.iter().zip(&row_args).any(|(a, v)| matches!(a, ColumnarValue::Scalar(_)) && v.is_null());
        // A call with too few arguments is found where the function reaches for one.
        let one_row = |args: &[Value]| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (self.function.row)(args, types, result)))
                .unwrap_or_else(|_| {
                    let shown: Vec<String> = types.iter().map(SqlType::signature).collect();
                    Err(SqlError::no_function(self.function.name, &shown).of_call(self.function.name))
                })
        };
        let mut values = Vec::with_capacity(rows);
        for row in 0..rows {
            let mut null = constant_null;
            for (i, array) in &columns {
                if null {
                    break;
                }
                if self.function.nulls && (types[*i] == SqlType::Null || array.is_null(row)) {
                    null = true;
                    break;
                }
                row_args[*i] = Value::get(array, &types[*i], row);
            }
            values.push(if null { Value::Null } else { one_row(&row_args)? });
        }
        Ok(Value::array(&values, result))
    }
}

/// The one value of an array; nested values keep the marks of their fields.
pub fn one_scalar(array: &ArrayRef) -> DfResult<ScalarValue> {
    use arrow::array::AsArray;
    match array.data_type() {
        DataType::List(_) => Ok(ScalarValue::List(Arc::new(array.as_list::<i32>().slice(0, 1)))),
        DataType::Map(..) => Ok(ScalarValue::Map(Arc::new(array.as_map().slice(0, 1)))),
        DataType::Struct(_) => Ok(ScalarValue::Struct(Arc::new(array.as_struct().slice(0, 1)))),
        _ => ScalarValue::try_from_array(array, 0),
    }
}

/// All scalar functions of ours by name.
pub fn scalar_functions() -> HashMap<String, Arc<ScalarUDF>> {
    let mut out = HashMap::new();
    for table in [
        core::FUNCTIONS,
        arithmetic::FUNCTIONS,
        string::FUNCTIONS,
        date::FUNCTIONS,
        json::FUNCTIONS,
        array::FUNCTIONS,
        array_generate::FUNCTIONS,
        bitmap::FUNCTIONS,
        pattern::FUNCTIONS,
    ] {
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
