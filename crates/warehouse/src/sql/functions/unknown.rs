//! A function nobody knows: it takes anything and answers with StarRocks' error, which names the types it was called
//! with.

use std::hash::{Hash, Hasher};

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result as DfResult, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::{Args, constant};
use crate::error::SqlError;
use crate::types::SqlType;

#[derive(Debug)]
struct Unknown {
    name: String,
    signature: Signature,
}

impl PartialEq for Unknown {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
impl Eq for Unknown {}
impl Hash for Unknown {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// The function of this name that no call matches.
pub fn function(name: &str) -> ScalarUDF {
    let kinds = vec![TypeSignature::UserDefined, TypeSignature::Nullary];
    ScalarUDF::from(Unknown { name: name.to_string(), signature: Signature::one_of(kinds, Volatility::Volatile) })
}

impl ScalarUDFImpl for Unknown {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> DfResult<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        Err(SqlError::no_function(&self.name, &[]).of_call(&self.name).into())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> DfResult<FieldRef> {
        let types: Vec<SqlType> = args.arg_fields.iter().map(|f| SqlType::of_field(f)).collect();
        let constants: Vec<_> =
            args.scalar_arguments.iter().zip(args.arg_fields).map(|(s, f)| constant(*s, f)).collect();
        let shown = Args { types: &types, constants: &constants }.shown();
        Err(SqlError::no_function(&self.name, &shown).of_call(&self.name).into())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        internal_err!("the function {} does not exist", self.name)
    }
}
