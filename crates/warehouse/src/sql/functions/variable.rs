//! A user variable with an array, map or struct: a function without arguments whose value is there
//! already, so that a large one is neither printed into a statement nor read again for every row.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result as DfResult, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::types::{SqlType, field_ref};

/// Prefix of the function's name.
pub const PREFIX: &str = "__user_variable_";

#[derive(Debug, Clone)]
pub struct UserVariable {
    /// One row.
    pub array: ArrayRef,
    pub sql_type: SqlType,
}

#[derive(Debug)]
struct Variable {
    name: String,
    value: UserVariable,
    signature: Signature,
}

impl PartialEq for Variable {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.value.array, &other.value.array)
    }
}
impl Eq for Variable {}
impl std::hash::Hash for Variable {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

pub fn function(name: &str, value: UserVariable) -> Arc<ScalarUDF> {
    // Stable, not immutable: nobody is to fold a large array into a plan.
    let signature = Signature::nullary(Volatility::Stable);
    Arc::new(ScalarUDF::from(Variable { name: name.to_string(), value, signature }))
}

impl ScalarUDFImpl for Variable {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        Ok(self.value.array.data_type().clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> DfResult<FieldRef> {
        Ok(field_ref(&self.name, &self.value.sql_type, true))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&self.value.array, 0)?))
    }
}
