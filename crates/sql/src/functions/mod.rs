//! Built-in functions by name. Each says which arguments it takes, what type it gives and how it
//! is computed over columns; names, arities and meanings are those of Flink 1.20.

pub(crate) mod collection;
pub(crate) mod conditional;
pub(crate) mod hash;
pub(crate) mod json;
pub(crate) mod jsonpath;
pub(crate) mod math;
pub mod regex;
pub(crate) mod string;
pub(crate) mod temporal;

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::ArrowPrimitiveType;
use starweir_model::{DataType, LogicalType as L, Result};

use crate::bind::expr::{PlanSettings, convert};
use crate::diagnostic::{Diagnostic, Span};
use crate::eval::{EvalContext, Kernel, Typed, Val};
use crate::parser::Parse;

/// A call whose arguments are bound.
pub(crate) struct Invocation<'a> {
    pub name: &'static str,
    pub args: Vec<Typed>,
    pub span: Span,
    pub name_span: Span,
    pub settings: &'a PlanSettings,
}

/// A built-in.
pub(crate) struct Function {
    pub name: &'static str,
    /// Fewest and most arguments.
    pub arity: (usize, usize),
    pub bind: fn(Invocation<'_>) -> Parse<Typed>,
}

/// As many arguments as one likes.
pub(crate) const MANY: usize = 250;

/// Names that aggregate: they need state.
pub(crate) const AGGREGATES: &[&str] = &[
    "COUNT",
    "SUM",
    "AVG",
    "MIN",
    "MAX",
    "STDDEV",
    "STDDEV_POP",
    "STDDEV_SAMP",
    "VARIANCE",
    "VAR_POP",
    "VAR_SAMP",
    "COLLECT",
    "LISTAGG",
    "FIRST_VALUE",
    "LAST_VALUE",
    "ARRAY_AGG",
    "JSON_OBJECTAGG",
    "JSON_ARRAYAGG",
    "APPROX_COUNT_DISTINCT",
    "SUM0",
    "GROUPING",
    "GROUPING_ID",
    "GROUP_ID",
    "PERCENTILE",
];

/// Names that need a window.
pub(crate) const WINDOW_FUNCTIONS: &[&str] = &[
    "ROW_NUMBER",
    "RANK",
    "DENSE_RANK",
    "PERCENT_RANK",
    "CUME_DIST",
    "NTILE",
    "LAG",
    "LEAD",
    "TUMBLE",
    "TUMBLE_START",
    "TUMBLE_END",
    "TUMBLE_ROWTIME",
    "TUMBLE_PROCTIME",
    "HOP",
    "HOP_START",
    "HOP_END",
    "HOP_ROWTIME",
    "HOP_PROCTIME",
    "SESSION",
    "SESSION_START",
    "SESSION_END",
    "SESSION_ROWTIME",
    "SESSION_PROCTIME",
    "CUMULATE",
];

fn groups() -> [&'static [Function]; 7] {
    [
        string::FUNCTIONS,
        math::FUNCTIONS,
        temporal::FUNCTIONS,
        conditional::FUNCTIONS,
        hash::FUNCTIONS,
        collection::FUNCTIONS,
        json::FUNCTIONS,
    ]
}

fn find(name: &str) -> Option<&'static Function> {
    groups().into_iter().flatten().find(|f| f.name == name)
}

/// Functions written with words between their arguments, or handled by the grammar.
const GRAMMAR: &[&str] = &[
    "CAST",
    "TRY_CAST",
    "EXTRACT",
    "TRIM",
    "TIMESTAMPADD",
    "TIMESTAMPDIFF",
    "JSON_VALUE",
    "JSON_QUERY",
    "JSON_EXISTS",
    "JSON_OBJECT",
    "JSON_ARRAY",
    "ROW",
    "ARRAY",
    "MAP",
    "POSITION",
    "OVERLAY",
    "CASE",
];

/// Names of all scalar functions, in upper case, each once, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    let mut all: Vec<&'static str> =
        groups().into_iter().flatten().map(|f| f.name).chain(GRAMMAR.iter().copied()).collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter()
}

/// Whether a name (in upper case) is a built-in.
pub fn is_known(name: &str) -> bool {
    find(name).is_some() || GRAMMAR.contains(&name)
}

/// The diagnostic for a name nobody knows.
pub(crate) fn unknown(name: &str, span: Span) -> Diagnostic {
    let candidates = names().chain(AGGREGATES.iter().copied());
    Diagnostic::at(span, format!("unknown function '{name}'"))
        .with_label("unknown function")
        .with_nearest(name, candidates)
}

pub(crate) fn bind(name: &str, args: Vec<Typed>, span: Span, settings: &PlanSettings) -> Parse<Typed> {
    let name_span = span.start..span.start + name.len().min(span.len());
    bind_at(name, args, span, name_span, settings)
}

/// Checks the number of arguments and binds a call.
pub(crate) fn bind_at(
    name: &str,
    args: Vec<Typed>,
    span: Span,
    name_span: Span,
    settings: &PlanSettings,
) -> Parse<Typed> {
    let Some(function) = find(name) else { return Err(unknown(name, name_span)) };
    let (min, max) = function.arity;
    if args.len() < min || args.len() > max {
        let wanted = match (min, max) {
            (a, b) if a == b => format!("{a}"),
            (a, MANY) => format!("at least {a}"),
            (a, b) => format!("{a} to {b}"),
        };
        return Err(Diagnostic::at(
            span,
            format!("{name} takes {wanted} argument{}, not {}", if wanted == "1" { "" } else { "s" }, args.len()),
        ));
    }
    (function.bind)(Invocation { name: function.name, args, span, name_span, settings })
}

impl Invocation<'_> {
    /// The kinds of the arguments are not what the function takes.
    pub fn mismatch(&self, index: usize, wanted: &str) -> Diagnostic {
        let arg = &self.args[index];
        Diagnostic::at(
            arg.span.clone(),
            format!("argument {} of {} must be {wanted}, this is {}", index + 1, self.name, arg.data_type.logical),
        )
        .with_label(arg.data_type.logical.to_string())
    }

    /// Takes a character argument; an untyped NULL becomes a STRING.
    pub fn text(&mut self, index: usize) -> Parse<()> {
        if self.args[index].is_null_literal() {
            self.args[index] = convert(self.args[index].clone(), &L::STRING);
        }
        if !self.args[index].data_type.logical.is_character() {
            return Err(self.mismatch(index, "text"));
        }
        Ok(())
    }

    /// Takes a number and brings it to `target`.
    pub fn number(&mut self, index: usize, target: &L) -> Parse<()> {
        let arg = &self.args[index];
        if !arg.data_type.logical.is_numeric() && !arg.is_null_literal() {
            return Err(self.mismatch(index, "a number"));
        }
        self.args[index] = convert(arg.clone(), target);
        Ok(())
    }

    /// Takes a whole number and brings it to `target`.
    pub fn integer(&mut self, index: usize, target: &L) -> Parse<()> {
        let arg = &self.args[index];
        if !arg.data_type.logical.is_integer() && !arg.is_null_literal() {
            return Err(self.mismatch(index, "a whole number"));
        }
        self.args[index] = convert(arg.clone(), target);
        Ok(())
    }

    pub fn nullable(&self) -> bool {
        crate::bind::expr::nullable_of(&self.args)
    }

    /// Ends the binding.
    pub fn finish(self, data_type: DataType, kernel: Kernel) -> Typed {
        Typed::call(self.name, self.args, data_type, self.span, kernel)
    }

    /// Result is NULL where an argument is.
    pub fn strict_type(&self, logical: L) -> DataType {
        DataType { logical, nullable: self.nullable() }
    }
}

// ---- kernels over rows ---------------------------------------------------------------------

/// Text argument of a row that is not NULL.
pub(crate) fn str_at(args: &[Val], index: usize, row: usize) -> &str {
    let arg = &args[index];
    arg.array.as_string::<i32>().value(arg.at(row))
}

pub(crate) fn bytes_at(args: &[Val], index: usize, row: usize) -> &[u8] {
    let arg = &args[index];
    match arg.array.as_binary_opt::<i32>() {
        Some(bytes) => bytes.value(arg.at(row)),
        None => arg.array.as_string::<i32>().value(arg.at(row)).as_bytes(),
    }
}

pub(crate) fn num_at<T: ArrowPrimitiveType>(args: &[Val], index: usize, row: usize) -> T::Native {
    let arg = &args[index];
    arg.array.as_primitive::<T>().value(arg.at(row))
}

pub(crate) fn i32_at(args: &[Val], index: usize, row: usize) -> i32 {
    num_at::<arrow::datatypes::Int32Type>(args, index, row)
}

pub(crate) fn i64_at(args: &[Val], index: usize, row: usize) -> i64 {
    num_at::<arrow::datatypes::Int64Type>(args, index, row)
}

pub(crate) fn f64_at(args: &[Val], index: usize, row: usize) -> f64 {
    num_at::<arrow::datatypes::Float64Type>(args, index, row)
}

pub(crate) fn any_null_at(args: &[Val], row: usize) -> bool {
    args.iter().any(|a| a.is_null(row))
}

/// A kernel that gives text (or NULL) per row, NULL where an argument is NULL.
pub(crate) fn text_kernel(
    f: impl Fn(&EvalContext, &[Val], usize) -> Result<Option<String>> + Send + Sync + 'static,
) -> Kernel {
    Arc::new(move |ctx: &EvalContext, args: &[Val], rows: usize| {
        let mut builder = StringBuilder::with_capacity(rows, rows * 8);
        for row in 0..rows {
            if any_null_at(args, row) {
                builder.append_null();
            } else {
                builder.append_option(f(ctx, args, row)?);
            }
        }
        Ok(Arc::new(builder.finish()) as ArrayRef)
    })
}

/// A kernel that gives a number (or NULL) per row, NULL where an argument is NULL.
pub(crate) fn num_kernel<T: ArrowPrimitiveType>(
    f: impl Fn(&EvalContext, &[Val], usize) -> Result<Option<T::Native>> + Send + Sync + 'static,
) -> Kernel {
    Arc::new(move |ctx: &EvalContext, args: &[Val], rows: usize| {
        let mut builder = PrimitiveBuilder::<T>::with_capacity(rows);
        for row in 0..rows {
            if any_null_at(args, row) {
                builder.append_null();
            } else {
                builder.append_option(f(ctx, args, row)?);
            }
        }
        Ok(Arc::new(builder.finish()) as ArrayRef)
    })
}

/// A kernel that gives TRUE, FALSE or NULL per row, NULL where an argument is NULL.
pub(crate) fn bool_kernel(
    f: impl Fn(&EvalContext, &[Val], usize) -> Result<Option<bool>> + Send + Sync + 'static,
) -> Kernel {
    Arc::new(move |ctx: &EvalContext, args: &[Val], rows: usize| {
        let mut builder = BooleanBuilder::with_capacity(rows);
        for row in 0..rows {
            if any_null_at(args, row) {
                builder.append_null();
            } else {
                builder.append_option(f(ctx, args, row)?);
            }
        }
        Ok(Arc::new(builder.finish()) as ArrayRef)
    })
}

/// A kernel that gives bytes per row, NULL where an argument is NULL.
pub(crate) fn bytes_kernel(
    f: impl Fn(&EvalContext, &[Val], usize) -> Result<Option<Vec<u8>>> + Send + Sync + 'static,
) -> Kernel {
    Arc::new(move |ctx: &EvalContext, args: &[Val], rows: usize| {
        let mut builder = BinaryBuilder::with_capacity(rows, rows * 8);
        for row in 0..rows {
            if any_null_at(args, row) {
                builder.append_null();
            } else {
                builder.append_option(f(ctx, args, row)?);
            }
        }
        Ok(Arc::new(builder.finish()) as ArrayRef)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_function_is_registered_twice() {
        let mut seen = std::collections::HashSet::new();
        for function in groups().into_iter().flatten() {
            assert!(seen.insert(function.name), "{}", function.name);
            assert_eq!(function.name, function.name.to_uppercase());
        }
        assert!(seen.len() > 120);
    }
}
