//! Choosing among values: COALESCE, IF, NULLIF, GREATEST, LEAST, TYPEOF.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::*;
use starweir_model::{DataType, LogicalType as L};

use super::{Function, Invocation, MANY};
use crate::bind::expr::{ExprBinder, bool_type, case_of, convert, pad_char, string_literal};
use crate::bind::scope::Scope;
use crate::diagnostic::Diagnostic;
use crate::eval::{EvalContext, Node, Typed, Val, arrow_error, compare};
use crate::parser::Parse;
use crate::types;

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "COALESCE", arity: (1, MANY), bind: coalesce },
    Function { name: "IFNULL", arity: (2, 2), bind: ifnull },
    Function { name: "NULLIF", arity: (2, 2), bind: nullif },
    Function { name: "IF", arity: (3, 3), bind: if_ },
    Function { name: "GREATEST", arity: (1, MANY), bind: |c| extreme(c, Ordering::Greater) },
    Function { name: "LEAST", arity: (1, MANY), bind: |c| extreme(c, Ordering::Less) },
    Function { name: "TYPEOF", arity: (1, 2), bind: typeof_ },
    Function { name: "CURRENT_DATABASE", arity: (0, 0), bind: |c| text_of(c, |s| &s.database) },
    Function { name: "CURRENT_CATALOG", arity: (0, 0), bind: |c| text_of(c, |s| &s.catalog) },
];

fn text_of(c: Invocation<'_>, f: fn(&crate::bind::expr::PlanSettings) -> &String) -> Parse<Typed> {
    let mut literal = string_literal(f(c.settings), c.span.clone());
    literal.data_type = DataType::not_null(L::STRING);
    Ok(literal)
}

fn coalesce(c: Invocation<'_>) -> Parse<Typed> {
    let Some(common) = types::common_of(c.args.iter().map(|a| &a.data_type)) else {
        let kinds: Vec<_> = c.args.iter().map(|a| a.data_type.logical.to_string()).collect();
        return Err(Diagnostic::at(
            c.span,
            format!("the arguments of {} have no common type: {}", c.name, kinds.join(", ")),
        ));
    };
    if common.logical == L::Null {
        return Err(Diagnostic::at(
            c.span,
            format!("the arguments of {} are all NULL: their type would be unknown", c.name),
        ));
    }
    let nullable = c.args.iter().all(|a| a.data_type.nullable);
    let items: Vec<Typed> = c.args.into_iter().map(|a| pad_char(a, &common.logical)).collect();
    let data_type = DataType { logical: common.logical, nullable };
    if let [single] = items.as_slice() {
        return Ok(single.clone());
    }
    Ok(Typed::new(Node::Coalesce(items), data_type, c.span))
}

/// IFNULL of a text that is never NULL is that text, its type included.
fn ifnull(c: Invocation<'_>) -> Parse<Typed> {
    let first = &c.args[0];
    if !first.data_type.nullable && first.data_type.logical.is_character() && c.args[1].data_type.logical.is_character()
    {
        return Ok(first.clone());
    }
    coalesce(c)
}

fn nullif(c: Invocation<'_>) -> Parse<Typed> {
    let mut args = c.args.into_iter();
    let (Some(left), Some(right)) = (args.next(), args.next()) else {
        return Err(Diagnostic::at(c.span, "NULLIF takes two values"));
    };
    let scope = Scope::default();
    let binder = ExprBinder { scope: &scope, settings: c.settings };
    let (a, b) = binder.comparable(left.clone(), right, &c.span)?;
    let equal = Typed::call(
        "=",
        vec![a, b],
        bool_type(true),
        c.span.clone(),
        Arc::new(|_: &EvalContext, args: &[Val], rows: usize| {
            compare::compare(compare::Op::Eq, &args[0], &args[1], rows)
        }),
    )
    .total();
    let null = convert(Typed::null(c.span.clone()), &left.data_type.logical);
    case_of(vec![(equal, null)], left, c.span)
}

fn if_(mut c: Invocation<'_>) -> Parse<Typed> {
    if c.args[0].is_null_literal() {
        c.args[0] = convert(c.args[0].clone(), &L::Boolean);
    }
    if c.args[0].data_type.logical != L::Boolean {
        return Err(c.mismatch(0, "BOOLEAN"));
    }
    let mut args = c.args.into_iter();
    match (args.next(), args.next(), args.next()) {
        (Some(condition), Some(then), Some(otherwise)) => case_of(vec![(condition, then)], otherwise, c.span),
        _ => Err(Diagnostic::at(c.span, "IF takes a condition and two values")),
    }
}

/// GREATEST and LEAST: NULL as soon as one argument is NULL.
fn extreme(c: Invocation<'_>, wanted: Ordering) -> Parse<Typed> {
    let Some(common) = types::common_of(c.args.iter().map(|a| &a.data_type)) else {
        let kinds: Vec<_> = c.args.iter().map(|a| a.data_type.logical.to_string()).collect();
        return Err(Diagnostic::at(
            c.span,
            format!("the arguments of {} can not be compared: {}", c.name, kinds.join(", ")),
        ));
    };
    if matches!(common.logical, L::Array(_) | L::Map(..) | L::Row(_) | L::Multiset(_)) {
        return Err(Diagnostic::at(c.span, format!("{} does not apply to {}", c.name, common.logical)));
    }
    let args: Vec<Typed> = c.args.into_iter().map(|a| pad_char(a, &common.logical)).collect();
    let target = common.to_arrow();
    Ok(Typed::call(
        c.name,
        args,
        common,
        c.span,
        Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
            let mut places = Vec::with_capacity(rows);
            for row in 0..rows {
                if super::any_null_at(args, row) {
                    places.push((args.len(), 0));
                    continue;
                }
                let mut best = 0;
                for i in 1..args.len() {
                    let order = compare::order(
                        args[i].array.as_ref(),
                        args[i].at(row),
                        args[best].array.as_ref(),
                        args[best].at(row),
                    );
                    if order == Some(wanted) {
                        best = i;
                    }
                }
                places.push((best, args[best].at(row)));
            }
            let null = new_null_array(&target, 1);
            let mut refs: Vec<&dyn Array> = args.iter().map(|a| a.array.as_ref()).collect();
            refs.push(null.as_ref());
            if rows == 0 {
                return Ok(new_empty_array(&target));
            }
            arrow::compute::interleave(&refs, &places).map_err(arrow_error)
        }),
    )
    .total())
}

fn typeof_(c: Invocation<'_>) -> Parse<Typed> {
    if c.args.len() == 2 && c.args[1].data_type.logical != L::Boolean {
        return Err(c.mismatch(1, "BOOLEAN"));
    }
    if c.args.len() == 2 && c.args[1].as_literal().is_none() {
        return Err(c.mismatch(1, "a literal"));
    }
    let force = c
        .args
        .get(1)
        .and_then(|a| a.as_literal())
        .is_some_and(|a| a.as_boolean_opt().is_some_and(|b| b.is_valid(0) && b.value(0)));
    let text = c.args[0].data_type.to_string();
    let text = if force {
        text.replace("STRING", "VARCHAR(2147483647)").replace("BYTES", "VARBINARY(2147483647)")
    } else {
        text
    };
    let mut literal = string_literal(&text, c.span);
    literal.data_type = DataType::nullable(L::STRING);
    Ok(literal)
}
