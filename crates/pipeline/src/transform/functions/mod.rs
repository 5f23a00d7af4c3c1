//! The built-in functions: names, arguments, result types, and how each is computed for one row.

mod collection;
mod numeric;
mod regexp;
mod string;
mod temporal;
mod variant;

use std::borrow::Cow;

use starweir_model::{DataType, Error, LogicalType as L, Result, Value};

use super::node::{Env, Eval};
use super::types::TypeSystem;

pub(super) use collection::{array, item, map, row};
pub(super) use regexp::{like, like_escaped, similar};
pub(super) use string::{concat, trim_both, trim_leading, trim_trailing, trim_whitespace};
pub(super) use temporal::{plus_millis, plus_months};

/// What an argument has to be. What is not, but can become it, is converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    Any,
    Text,
    TextOrBytes,
    Integer,
    Number,
    Boolean,
    Temporal,
    Timestamp,
    Array,
    Collection,
    /// A unit of time: a bare word or a literal.
    Unit,
}

/// What a result's type follows from.
pub(super) struct Arguments<'a> {
    pub types: &'a [DataType],
    /// The values of arguments that are literals.
    pub literals: &'a [Option<Value>],
    pub system: TypeSystem,
}

impl Arguments<'_> {
    pub fn logical(&self, index: usize) -> &L {
        self.types.get(index).map_or(&L::Null, |t| &t.logical)
    }
}

/// A built-in.
pub(super) struct Function {
    pub name: &'static str,
    /// Fewest and most arguments.
    pub arity: (usize, usize),
    /// By position; the last one stands for all that follow.
    pub wants: &'static [Want],
    pub returns: fn(&Arguments<'_>) -> L,
    pub eval: Eval,
    /// NULL for any argument gives NULL.
    pub strict: bool,
}

/// As many arguments as one likes.
pub(super) const MANY: usize = 1000;

/// Longest text or array a function may make, in bytes or elements.
const RESULT_MAX: usize = 64 << 20;

fn too_long() -> Error {
    Error::data("the result of a function is longer than 64 MiB")
}

const TABLES: &[&[Function]] = &[
    collection::FUNCTIONS,
    numeric::FUNCTIONS,
    regexp::FUNCTIONS,
    string::FUNCTIONS,
    temporal::FUNCTIONS,
    variant::FUNCTIONS,
];

/// The built-in of this name, in any case.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    TABLES.iter().flat_map(|table| table.iter()).find(|f| f.name.eq_ignore_ascii_case(name))
}

/// Names of all built-ins, for suggestions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().flat_map(|table| table.iter()).map(|f| f.name)
}

fn text_type(_: &Arguments<'_>) -> L {
    L::STRING
}

fn int_type(_: &Arguments<'_>) -> L {
    L::Int
}

fn boolean_type(_: &Arguments<'_>) -> L {
    L::Boolean
}

fn first_type(arguments: &Arguments<'_>) -> L {
    arguments.logical(0).clone()
}

type Args<'a, 'b> = &'a [Cow<'b, Value>];

/// The text of an argument that is text.
fn text<'a>(args: Args<'a, '_>, index: usize) -> &'a str {
    match args.get(index).map(|v| &**v) {
        Some(Value::String(s)) => s,
        _ => "",
    }
}

fn optional_text<'a>(args: Args<'a, '_>, index: usize) -> Option<&'a str> {
    match args.get(index).map(|v| &**v) {
        Some(Value::String(s)) => Some(s),
        _ => None,
    }
}

fn integer(args: Args<'_, '_>, index: usize) -> i64 {
    args.get(index).and_then(|v| super::node::as_i64(v)).unwrap_or(0)
}

fn string(text: impl Into<String>) -> Result<Value> {
    Ok(Value::String(text.into()))
}

fn value<'a>(args: Args<'a, '_>, index: usize) -> &'a Value {
    args.get(index).map_or(&Value::Null, |v| &**v)
}

/// NULLIF: the first, or NULL when both are equal.
fn null_if(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    let (left, right) = (value(args, 0), value(args, 1));
    Ok(if super::compare::sql_equals(left, right) { Value::Null } else { left.clone() })
}
