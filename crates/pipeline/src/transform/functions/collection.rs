//! Arrays, maps, rows and subscripts.

use serde_json::value::RawValue;
use starweir_model::{Error, LogicalType as L, Result, Value};

use super::super::compare;
use super::super::node::{Env, as_i64};
use super::{Args, Function, Want, boolean_type, int_type, value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "CARDINALITY",
        arity: (1, 1),
        wants: &[Want::Collection],
        returns: int_type,
        eval: cardinality,
        strict: true,
    },
    Function {
        name: "ARRAY_CONTAINS",
        arity: (2, 2),
        wants: &[Want::Array, Want::Any],
        returns: boolean_type,
        eval: contains,
        strict: false,
    },
    Function {
        name: "ARRAY_POSITION",
        arity: (2, 2),
        wants: &[Want::Array, Want::Any],
        returns: int_type,
        eval: position,
        strict: true,
    },
    Function {
        name: "ELEMENT",
        arity: (1, 1),
        wants: &[Want::Array],
        returns: |arguments| match arguments.logical(0) {
            L::Array(element) => element.logical.clone(),
            other => other.clone(),
        },
        eval: element,
        strict: true,
    },
];

fn count(n: usize) -> Value {
    Value::Int(i32::try_from(n).unwrap_or(i32::MAX))
}

fn cardinality(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    Ok(match value(args, 0) {
        Value::Array(items) => count(items.len()),
        Value::Map(entries) => count(entries.len()),
        _ => Value::Null,
    })
}

fn contains(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    Ok(match value(args, 0) {
        Value::Array(items) => Value::Boolean(items.iter().any(|item| compare::deep_equals(item, value(args, 1)))),
        _ => Value::Null,
    })
}

fn position(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    Ok(match value(args, 0) {
        Value::Array(items) => {
            count(items.iter().position(|item| compare::deep_equals(item, value(args, 1))).map_or(0, |at| at + 1))
        }
        _ => Value::Null,
    })
}

fn element(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    match value(args, 0) {
        Value::Array(items) if items.len() > 1 => Err(Error::data("Array has more than one element.")),
        Value::Array(items) => Ok(items.first().cloned().unwrap_or(Value::Null)),
        _ => Ok(Value::Null),
    }
}

/// `ARRAY[…]`.
pub(in super::super) fn array(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    Ok(Value::Array(args.iter().map(|v| v.clone().into_owned()).collect()))
}

/// `ROW(…)`.
pub(in super::super) fn row(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    Ok(Value::Row(args.iter().map(|v| v.clone().into_owned()).collect()))
}

/// `MAP[key, value, …]`: of equal keys the last value counts.
pub(in super::super) fn map(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    if args.is_empty() || !args.len().is_multiple_of(2) {
        return Err(Error::data("MAP requires at least one key-value pair and an even number of arguments."));
    }
    let mut entries: Vec<(Value, Value)> = Vec::with_capacity(args.len() / 2);
    for pair in args.chunks_exact(2) {
        let (key, of) = (pair[0].clone().into_owned(), pair[1].clone().into_owned());
        match entries.iter_mut().find(|(k, _)| k.is_null() && key.is_null() || compare::equals(k, &key)) {
            Some(entry) => entry.1 = of,
            None => entries.push((key, of)),
        }
    }
    Ok(Value::Map(entries))
}

/// `collection[index or key]`: arrays, rows and variant arrays count from 1; what is not there is NULL.
pub(in super::super) fn item(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    let key = value(args, 1);
    let index = || as_i64(key).and_then(|i| usize::try_from(i).ok()).and_then(|i| i.checked_sub(1));
    Ok(match value(args, 0) {
        Value::Array(items) | Value::Row(items) => index().and_then(|i| items.get(i)).cloned().unwrap_or(Value::Null),
        Value::Map(entries) => {
            entries.iter().find(|(k, _)| compare::sql_equals(k, key)).map_or(Value::Null, |(_, v)| v.clone())
        }
        Value::Variant(json) => match key {
            Value::String(name) => variant_field(json, name),
            _ => index().and_then(|i| variant_element(json, i)),
        }
        .map_or(Value::Null, Value::Variant),
        _ => Value::Null,
    })
}

fn variant_element(json: &str, index: usize) -> Option<String> {
    if !json.starts_with('[') {
        return None;
    }
    let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
    items.get(index).map(|item| item.get().to_owned())
}

fn variant_field(json: &str, name: &str) -> Option<String> {
    if !json.starts_with('{') {
        return None;
    }
    let fields: std::collections::HashMap<String, &RawValue> = serde_json::from_str(json).ok()?;
    fields.get(name).map(|field| field.get().to_owned())
}
