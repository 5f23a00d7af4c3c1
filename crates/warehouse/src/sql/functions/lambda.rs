//! Functions that take a lambda. Two are DataFusion functions: `__lambda` computes the lambda for
//! every item of its arrays, `__lambda_sort` orders an array by a comparing lambda. All others
//! (`array_filter`, `any_match`, `map_apply` …) are made of them by [`rewrite`].

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt32Array, new_null_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{concat, take, take_arrays};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result as DfResult, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, HigherOrderFunctionArgs, HigherOrderReturnFieldArgs, HigherOrderSignature, HigherOrderUDF,
    HigherOrderUDFImpl, LambdaParametersProgress, ValueOrLambda, Volatility,
};
use sqlparser::ast::{Expr, Ident, LambdaFunction, LambdaFunctionParameter, OneOrManyWithParens};

use crate::error::{SqlError, SqlResult};
use crate::sql::rewrite::call;
use crate::types::{SqlType, field_ref};
use crate::value::Value;

/// Rows that a comparing lambda is asked about at once: pairs of one array's items.
const PAIRS_MAX: usize = 4_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Each,
    Sort,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Lambda {
    kind: Kind,
    signature: HigherOrderSignature,
}

/// The function a lambda form is planned as; None when the name is no such form.
pub fn function(name: &str) -> Option<Arc<HigherOrderUDF>> {
    let kind = match name {
        "__lambda" => Kind::Each,
        "__lambda_sort" => Kind::Sort,
        _ => return None,
    };
    let signature = HigherOrderSignature::variadic_any(Volatility::Immutable);
    Some(Arc::new(HigherOrderUDF::new_from_impl(Lambda { kind, signature })))
}

/// The field of an array's items.
fn item_field(list: &Field) -> DfResult<FieldRef> {
    match list.data_type() {
        DataType::List(item) => Ok(item.clone()),
        DataType::Null => Ok(Arc::new(Field::new("item", DataType::Null, true))),
        _ => Err(SqlError::analysis("Lambda inputs should be arrays").into()),
    }
}

impl HigherOrderUDFImpl for Lambda {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Each => "__lambda",
            Kind::Sort => "__lambda_sort",
        }
    }

    fn signature(&self) -> &HigherOrderSignature {
        &self.signature
    }

    fn lambda_parameters(
        &self,
        _: usize,
        fields: &[ValueOrLambda<FieldRef, Option<FieldRef>>],
    ) -> DfResult<LambdaParametersProgress> {
        let mut items = Vec::new();
        for field in fields {
            if let ValueOrLambda::Value(list) = field {
                items.push(item_field(list)?);
            }
        }
        if self.kind == Kind::Sort {
            items = vec![items[0].clone(), items[0].clone()];
        }
        Ok(LambdaParametersProgress::Complete(vec![items]))
    }

    fn return_field_from_args(&self, args: HigherOrderReturnFieldArgs<'_>) -> DfResult<FieldRef> {
        match (self.kind, args.arg_fields.first(), args.arg_fields.last()) {
            (Kind::Sort, Some(ValueOrLambda::Value(list)), _) => Ok(list.clone()),
            (Kind::Each, _, Some(ValueOrLambda::Lambda(item))) => {
                Ok(field_ref("", &SqlType::Array(Box::new(SqlType::of_field(item))), true))
            }
            _ => internal_err!("{} expects arrays and a lambda", self.name()),
        }
    }

    fn invoke_with_args(&self, args: HigherOrderFunctionArgs) -> DfResult<ColumnarValue> {
        let rows = args.number_rows;
        let mut lists: Vec<ArrayRef> = Vec::new();
        let mut body = None;
        for arg in &args.args {
            match arg {
                ValueOrLambda::Value(v) => lists.push(v.to_array(rows)?),
                ValueOrLambda::Lambda(l) => body = Some(l),
            }
        }
        let Some(body) = body else { return internal_err!("{} expects a lambda", self.name()) };
        let evaluate = |params: &[ArrayRef], owners: &UInt32Array| -> DfResult<ArrayRef> {
            let n = owners.len();
            let closures: Vec<Box<dyn Fn() -> DfResult<ArrayRef>>> =
                params.iter().cloned().map(|a| Box::new(move || Ok(a.clone())) as Box<_>).collect();
            let references: Vec<&dyn Fn() -> DfResult<ArrayRef>> = closures.iter().map(|c| &**c as _).collect();
            body.evaluate(&references, |captures| Ok(take_arrays(captures, owners, None)?))?.into_array(n)
        };
        let result_type = SqlType::of_field(&args.return_field);
        let lists: Option<Vec<&ListArray>> = lists.iter().map(|l| l.as_list_opt::<i32>()).collect();
        let Some(lists) = lists else {
            return Ok(ColumnarValue::Array(new_null_array(args.return_type(), rows)));
        };
        let out = match self.kind {
            Kind::Each => each(&lists, rows, &result_type, evaluate)?,
            Kind::Sort => sorted(lists[0], &result_type, evaluate)?,
        };
        Ok(ColumnarValue::Array(out))
    }
}

/// The lambda's result for every item of every row.
fn each(
    lists: &[&ListArray],
    rows: usize,
    result: &SqlType,
    evaluate: impl Fn(&[ArrayRef], &UInt32Array) -> DfResult<ArrayRef>,
) -> DfResult<ArrayRef> {
    let mut places: Vec<Vec<u32>> = vec![Vec::new(); lists.len()];
    let (mut owners, mut lengths, mut valid) = (Vec::new(), Vec::with_capacity(rows), Vec::with_capacity(rows));
    for row in 0..rows {
        if lists.iter().any(|l| l.is_null(row)) {
            lengths.push(0);
            valid.push(false);
            continue;
        }
        let n = lists[0].value_length(row);
        if lists.iter().any(|l| l.value_length(row) != n) {
            return Err(SqlError::plain("Input array element's size is not equal in array_map().").into());
        }
        for (list, places) in lists.iter().zip(&mut places) {
            let from = list.value_offsets()[row] as u32;
            places.extend(from..from + n as u32);
        }
        owners.extend(std::iter::repeat_n(row as u32, n as usize));
        lengths.push(n as usize);
        valid.push(true);
    }
    let owners = UInt32Array::from(owners);
    let params = lists
        .iter()
        .zip(places)
        .map(|(list, places)| Ok(take(list.values(), &UInt32Array::from(places), None)?))
        .collect::<DfResult<Vec<_>>>()?;
    let values = evaluate(&params, &owners)?;
    let DataType::List(item) = result.arrow() else { return internal_err!("a lambda's result is a list") };
    let values =
        if values.data_type() == item.data_type() { values } else { arrow::compute::cast(&values, item.data_type())? };
    let nulls = Some(NullBuffer::from(valid)).filter(|n| n.null_count() > 0);
    Ok(Arc::new(ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), values, nulls)?))
}

/// Each row's items in the order of the comparing lambda.
fn sorted(
    list: &ListArray,
    result: &SqlType,
    evaluate: impl Fn(&[ArrayRef], &UInt32Array) -> DfResult<ArrayRef>,
) -> DfResult<ArrayRef> {
    let mut parts: Vec<ArrayRef> = Vec::new();
    let (mut lengths, mut valid) = (Vec::new(), Vec::new());
    for row in 0..list.len() {
        if list.is_null(row) {
            lengths.push(0);
            valid.push(false);
            continue;
        }
        valid.push(true);
        let items = list.value(row);
        let n = items.len();
        lengths.push(n);
        if n * n > PAIRS_MAX {
            return Err(SqlError::unsupported("array_sort with a lambda over so many items").into());
        }
        let left = UInt32Array::from_iter_values((0..n as u32).flat_map(|i| std::iter::repeat_n(i, n)));
        let right = UInt32Array::from_iter_values((0..n as u32).flat_map(|_| 0..n as u32));
        let owners = UInt32Array::from_value(row as u32, n * n);
        let signs = evaluate(&[take(&items, &left, None)?, take(&items, &right, None)?], &owners)?;
        let sign_type = SqlType::of_arrow(signs.data_type());
        let compare = |a: &usize, b: &usize| match Value::get(&signs, &sign_type, a * n + b).as_f64() {
            Some(s) if s < 0.0 => Ordering::Less,
            Some(s) if s > 0.0 => Ordering::Greater,
            _ => Ordering::Equal,
        };
        let order = insertion_sorted(n, compare);
        parts.push(take(&items, &UInt32Array::from_iter_values(order.into_iter().map(|i| i as u32)), None)?);
    }
    let DataType::List(item) = result.arrow() else { return internal_err!("a sorted array is a list") };
    let references: Vec<&dyn Array> = parts.iter().map(|p| p.as_ref()).collect();
    let values =
        if references.is_empty() { arrow::array::new_empty_array(item.data_type()) } else { concat(&references)? };
    let nulls = Some(NullBuffer::from(valid)).filter(|n| n.null_count() > 0);
    Ok(Arc::new(ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), values, nulls)?))
}

/// A stable order by a comparison that need not be consistent: the standard sort may panic on such.
fn insertion_sorted(n: usize, compare: impl Fn(&usize, &usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::with_capacity(n);
    for i in 0..n {
        let at = order.partition_point(|o| compare(o, &i) != Ordering::Greater);
        order.insert(at, i);
    }
    order
}

/// What a call with a lambda is made of; None when there is no lambda or the function takes none.
pub fn rewrite(name: &str, args: &[Expr]) -> SqlResult<Option<Expr>> {
    let Some(at) = args.iter().position(|a| matches!(a, Expr::Lambda(_))) else { return Ok(None) };
    let Expr::Lambda(mut lambda) = args[at].clone() else { return Ok(None) };
    let inputs: Vec<Expr> = args.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, e)| e.clone()).collect();
    lower_names(&mut lambda);
    fields_of_parameters(&mut lambda);
    let Some(first) = inputs.first().cloned() else {
        return Err(SqlError::analysis("Lambda functions need at least one input array"));
    };
    let maps = matches!(name, "map_apply" | "map_filter" | "transform_keys" | "transform_values");
    let wanted = if maps || name == "array_sort" { 2 } else { inputs.len() };
    if parameters(&lambda) != wanted {
        let shown: Vec<String> = args.iter().map(|a| a.to_string().replace('`', "")).collect();
        return Err(SqlError::analysis(format!(
            "Lambda arguments should equal to lambda input arrays in {name}({})",
            shown.join(", ")
        )));
    }
    let each = |inputs: Vec<Expr>, lambda: LambdaFunction| {
        let mut args = inputs;
        args.push(Expr::Lambda(lambda));
        call("__lambda", args)
    };
    let entries = || vec![call("map_keys", vec![first.clone()]), call("map_values", vec![first.clone()])];
    Ok(Some(match name {
        "array_map" | "transform" => each(inputs, lambda),
        "any_match" | "all_match" => call(name, vec![each(inputs, lambda)]),
        "array_filter" | "filter" => call("array_filter", vec![first, each(inputs, lambda)]),
        "array_sortby" => call("array_sortby", vec![first, each(inputs, lambda)]),
        "array_sort" => call("__lambda_sort", vec![first, Expr::Lambda(lambda)]),
        "map_filter" => call("map_filter", vec![first.clone(), each(entries(), lambda)]),
        "transform_keys" => {
            call("map_from_arrays", vec![each(entries(), lambda), call("map_values", vec![first.clone()])])
        }
        "transform_values" => {
            call("map_from_arrays", vec![call("map_keys", vec![first.clone()]), each(entries(), lambda)])
        }
        "map_apply" => {
            let pair = match &*lambda.body {
                Expr::Tuple(items) if items.len() == 2 => items.clone(),
                Expr::Function(f) if f.name.to_string().trim_matches('`') == "row" => match &f.args {
                    sqlparser::ast::FunctionArguments::List(l) if l.args.len() == 2 => {
                        super::super::rewrite::arg_exprs(f)
                    }
                    _ => return Err(SqlError::analysis("The lambda of map_apply must give a key and a value")),
                },
                _ => return Err(SqlError::analysis("The lambda of map_apply must give a key and a value")),
            };
            let part = |e: &Expr| each(entries(), LambdaFunction { body: Box::new(e.clone()), ..lambda.clone() });
            call("map_from_arrays", vec![part(&pair[0]), part(&pair[1])])
        }
        _ => return Err(SqlError::analysis(format!("No matching function with signature: {name}(function)"))),
    }))
}

/// `x.name` inside of a lambda over x is a field, not a column of a table x.
fn fields_of_parameters(lambda: &mut LambdaFunction) {
    let names: Vec<String> = match &lambda.params {
        OneOrManyWithParens::One(p) => vec![p.name.value.clone()],
        OneOrManyWithParens::Many(many) => many.iter().map(|p| p.name.value.clone()).collect(),
    };
    let _ = sqlparser::ast::visit_expressions_mut(&mut lambda.body, |e| {
        if let Expr::CompoundIdentifier(parts) = e
            && names.iter().any(|n| n.eq_ignore_ascii_case(&parts[0].value))
        {
            let root = Expr::Identifier(Ident::with_quote('`', parts[0].value.to_lowercase()));
            *e = parts[1..]
                .iter()
                .fold(root, |e, field| call("__field", vec![e, crate::sql::rewrite::text(field.value.clone())]));
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
}

fn parameters(lambda: &LambdaFunction) -> usize {
    match &lambda.params {
        OneOrManyWithParens::One(_) => 1,
        OneOrManyWithParens::Many(many) => many.len(),
    }
}

/// Column names are lower case; a lambda's parameters are names like columns.
fn lower_names(lambda: &mut LambdaFunction) {
    let lower = |p: &mut LambdaFunctionParameter| p.name = Ident::with_quote('`', p.name.value.to_lowercase());
    match &mut lambda.params {
        OneOrManyWithParens::One(p) => lower(p),
        OneOrManyWithParens::Many(many) => many.iter_mut().for_each(lower),
    }
}
