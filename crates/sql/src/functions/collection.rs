//! Arrays, maps and multisets. Results are positions in the argument's values: nothing is copied one
//! by one but by Arrow's own kernels.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute;
use arrow::datatypes::Int32Type;
use starweir_model::{DataType, Error, Field, LogicalType as L, Result};

use super::{Function, Invocation, MANY, any_null_at, i32_at, num_kernel, str_at};
use crate::bind::expr::{convert, nullable_of};
use crate::diagnostic::{Diagnostic, Span};
use crate::eval::cast::{make_list, make_map, make_row};
use crate::eval::compare::{nested, same};
use crate::eval::{EvalContext, Kernel, Typed, Val, arrow_error};
use crate::parser::Parse;
use crate::types;

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "CARDINALITY", arity: (1, 1), bind: cardinality },
    Function { name: "ELEMENT", arity: (1, 1), bind: element },
    Function { name: "ARRAY_CONTAINS", arity: (2, 2), bind: |c| search(c, true) },
    Function { name: "ARRAY_POSITION", arity: (2, 2), bind: |c| search(c, false) },
    Function { name: "ARRAY_APPEND", arity: (2, 2), bind: |c| push(c, false) },
    Function { name: "ARRAY_PREPEND", arity: (2, 2), bind: |c| push(c, true) },
    Function { name: "ARRAY_REMOVE", arity: (2, 2), bind: remove },
    Function { name: "ARRAY_REVERSE", arity: (1, 1), bind: |c| rearrange(c, |_, range| range.rev().collect()) },
    Function { name: "ARRAY_DISTINCT", arity: (1, 1), bind: |c| rearrange(c, distinct) },
    Function { name: "ARRAY_SORT", arity: (1, 3), bind: sort },
    Function { name: "ARRAY_SLICE", arity: (2, 3), bind: slice },
    Function { name: "ARRAY_MAX", arity: (1, 1), bind: |c| extreme(c, Ordering::Greater) },
    Function { name: "ARRAY_MIN", arity: (1, 1), bind: |c| extreme(c, Ordering::Less) },
    Function { name: "ARRAY_JOIN", arity: (2, 3), bind: join },
    Function { name: "ARRAY_CONCAT", arity: (1, MANY), bind: concat },
    Function { name: "ARRAY_UNION", arity: (2, 2), bind: |c| set(c, SetOp::Union) },
    Function { name: "ARRAY_EXCEPT", arity: (2, 2), bind: |c| set(c, SetOp::Except) },
    Function { name: "ARRAY_INTERSECT", arity: (2, 2), bind: |c| set(c, SetOp::Intersect) },
    Function { name: "SPLIT", arity: (2, 2), bind: split },
    Function { name: "STR_TO_MAP", arity: (1, 3), bind: str_to_map },
    Function { name: "MAP_KEYS", arity: (1, 1), bind: |c| map_part(c, true) },
    Function { name: "MAP_VALUES", arity: (1, 1), bind: |c| map_part(c, false) },
    Function { name: "MAP_ENTRIES", arity: (1, 1), bind: map_entries },
    Function { name: "MAP_FROM_ARRAYS", arity: (2, 2), bind: map_from_arrays },
    Function { name: "MAP_UNION", arity: (1, MANY), bind: map_union },
];

/// Range of a row's elements in a list's or map's values.
fn range(arg: &Val, row: usize) -> std::ops::Range<usize> {
    let at = arg.at(row);
    let offsets = match arg.array.as_list_opt::<i32>() {
        Some(list) => list.offsets(),
        None => arg.array.as_map().offsets(),
    };
    offsets[at] as usize..offsets[at + 1] as usize
}

fn list_values(arg: &Val) -> &ArrayRef {
    arg.array.as_list::<i32>().values()
}

fn array_arg(c: &Invocation<'_>, index: usize) -> Parse<DataType> {
    match &c.args[index].data_type.logical {
        L::Array(element) => Ok(element.as_ref().clone()),
        _ => Err(c.mismatch(index, "an ARRAY")),
    }
}

/// A list column from sources and, per row, which values of which source.
struct ListBuilder {
    places: Vec<(usize, usize)>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
}

impl ListBuilder {
    fn new(rows: usize) -> Self {
        Self { places: Vec::new(), lengths: Vec::with_capacity(rows), valid: Vec::with_capacity(rows) }
    }

    fn row(&mut self, places: impl IntoIterator<Item = (usize, usize)>) {
        let before = self.places.len();
        self.places.extend(places);
        self.lengths.push(self.places.len() - before);
        self.valid.push(true);
    }

    fn null(&mut self) {
        self.lengths.push(0);
        self.valid.push(false);
    }

    fn finish(self, sources: &[&ArrayRef], element: &DataType) -> Result<ArrayRef> {
        let target = element.to_arrow();
        let sources = sources.iter().map(|s| crate::eval::with_arrow_type(s, &target)).collect::<Result<Vec<_>>>()?;
        let values = if self.places.is_empty() {
            new_empty_array(&target)
        } else {
            let refs: Vec<&dyn Array> = sources.iter().map(|s| s.as_ref()).collect();
            compute::interleave(&refs, &self.places).map_err(arrow_error)?
        };
        let nulls = self.valid.iter().any(|v| !v).then(|| NullBuffer::from(self.valid));
        make_list(values, OffsetBuffer::from_lengths(self.lengths), nulls, element)
    }
}

fn cardinality(c: Invocation<'_>) -> Parse<Typed> {
    if !matches!(c.args[0].data_type.logical, L::Array(_) | L::Map(..) | L::Multiset(_)) {
        return Err(c.mismatch(0, "an ARRAY or MAP"));
    }
    let data_type = c.strict_type(L::Int);
    Ok(c.finish(data_type, num_kernel::<Int32Type>(|_, args, row| Ok(Some(range(&args[0], row).len() as i32)))).total())
}

/// `array[index]`, `map[key]`. Indices begin at 1; what is outside is NULL.
pub(crate) fn index(base: Typed, index: Typed, span: Span) -> Parse<Typed> {
    match base.data_type.logical.clone() {
        L::Array(element) => {
            if !index.data_type.logical.is_integer() && !index.is_null_literal() {
                return Err(Diagnostic::at(
                    index.span.clone(),
                    format!("an array's index is a whole number, this is {}", index.data_type.logical),
                ));
            }
            if let Some(literal) = index.as_literal()
                && let Some(ints) = literal.as_primitive_opt::<Int32Type>()
                && ints.is_valid(0)
                && ints.value(0) < 1
            {
                return Err(Diagnostic::at(
                    index.span.clone(),
                    format!("array indices begin at 1, this is {}", ints.value(0)),
                ));
            }
            let index = convert(index, &L::Int);
            // An index outside of the array gives NULL.
            let data_type = element.as_ref().clone().with_nullable(true);
            let target = data_type.to_arrow();
            Ok(Typed::call(
                "$INDEX",
                vec![base, index],
                data_type,
                span,
                Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
                    let places = (0..rows).map(|row| {
                        if any_null_at(args, row) {
                            return None;
                        }
                        let range = range(&args[0], row);
                        let at = i32_at(args, 1, row);
                        (at >= 1 && (at as usize) <= range.len()).then(|| (range.start + at as usize - 1) as u64)
                    });
                    let places: UInt64Array = places.collect();
                    let taken = compute::take(list_values(&args[0]), &places, None).map_err(arrow_error)?;
                    crate::eval::with_arrow_type(&taken, &target)
                }),
            )
            .total())
        }
        L::Map(key, value) => {
            let Some(common) = types::common(&key, &index.data_type) else {
                return Err(Diagnostic::at(
                    index.span.clone(),
                    format!("the map's keys are {}, this is {}", key.logical, index.data_type.logical),
                ));
            };
            let index = if common.logical.is_character() { index } else { convert(index, &key.logical) };
            let data_type = value.as_ref().clone().with_nullable(true);
            let target = data_type.to_arrow();
            Ok(Typed::call(
                "$INDEX",
                vec![base, index],
                data_type,
                span,
                Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
                    let map = args[0].array.as_map();
                    let places: UInt64Array = (0..rows)
                        .map(|row| {
                            if any_null_at(args, row) {
                                return None;
                            }
                            range(&args[0], row)
                                .find(|i| same(map.keys().as_ref(), *i, args[1].array.as_ref(), args[1].at(row)))
                                .map(|i| i as u64)
                        })
                        .collect();
                    let taken = compute::take(map.values(), &places, None).map_err(arrow_error)?;
                    crate::eval::with_arrow_type(&taken, &target)
                }),
            )
            .total())
        }
        L::Row(fields) => {
            // row[1] and row['name'] with literals.
            let place = index.as_literal().and_then(|a| {
                if let Some(ints) = a.as_primitive_opt::<Int32Type>() {
                    return usize::try_from(ints.value(0)).ok()?.checked_sub(1);
                }
                let name = a.as_string_opt::<i32>()?.value(0).to_owned();
                fields.iter().position(|f| f.name == name)
            });
            let Some(field) = place.and_then(|p| fields.get(p)) else {
                return Err(Diagnostic::at(index.span.clone(), "the row has no such field"));
            };
            let scope = crate::bind::scope::Scope::default();
            let settings = crate::bind::expr::PlanSettings::default();
            crate::bind::expr::ExprBinder { scope: &scope, settings: &settings }.field(base, &field.name, index.span)
        }
        other => Err(Diagnostic::at(span, format!("{other} has no elements"))),
    }
}

fn element(c: Invocation<'_>) -> Parse<Typed> {
    let element = match &c.args[0].data_type.logical {
        L::Array(e) | L::Multiset(e) => e.as_ref().clone(),
        _ => return Err(c.mismatch(0, "an ARRAY")),
    };
    Ok(c.finish(
        element,
        Arc::new(|_: &EvalContext, args: &[Val], rows: usize| {
            let mut places = Vec::with_capacity(rows);
            for row in 0..rows {
                if args[0].is_null(row) {
                    places.push(None);
                    continue;
                }
                let range = range(&args[0], row);
                match range.len() {
                    0 => places.push(None),
                    1 => places.push(Some(range.start as u64)),
                    _ => return Err(Error::data("ELEMENT was given an array of more than one element")),
                }
            }
            let values = match args[0].array.as_list_opt::<i32>() {
                Some(list) => list.values(),
                None => args[0].array.as_map().keys(),
            };
            compute::take(values, &UInt64Array::from(places), None).map_err(arrow_error)
        }),
    ))
}

/// Brings the needle and the array's elements to one type.
fn with_element(c: &mut Invocation<'_>) -> Parse<DataType> {
    let element = array_arg(c, 0)?;
    let needle = &c.args[1];
    let Some(common) = types::common(&element, &needle.data_type) else {
        return Err(c.mismatch(1, &element.logical.to_string()));
    };
    let untyped = needle.is_null_literal();
    let common = if untyped { element.clone().with_nullable(true) } else { common };
    if common.logical != element.logical && !(common.logical.is_character() && element.logical.is_character()) {
        let nullable = element.nullable;
        let list = L::Array(Box::new(DataType { logical: common.logical.clone(), nullable }));
        c.args[0] = convert(c.args[0].clone(), &list);
    }
    if !(common.logical.is_character() && c.args[1].data_type.logical.is_character()) {
        c.args[1] = convert(c.args[1].clone(), &common.logical);
    }
    Ok(common)
}

fn search(mut c: Invocation<'_>, contains: bool) -> Parse<Typed> {
    let untyped = c.args[1].is_null_literal();
    let element = array_arg(&c, 0)?;
    with_element(&mut c)?;
    if contains {
        // A NULL is looked for like a value, unless the array can hold none and is not NULL itself.
        let nullable = c.args[0].data_type.nullable;
        let _ = (untyped, element);
        return Ok(c
            .finish(
                DataType { logical: L::Boolean, nullable },
                Arc::new(|_: &EvalContext, args: &[Val], rows: usize| {
                    let result: BooleanArray = (0..rows)
                        .map(|row| {
                            if args[0].is_null(row) {
                                return None;
                            }
                            let values = list_values(&args[0]);
                            Some(
                                range(&args[0], row)
                                    .any(|i| same(values.as_ref(), i, args[1].array.as_ref(), args[1].at(row))),
                            )
                        })
                        .collect();
                    Ok(Arc::new(result) as ArrayRef)
                }),
            )
            .total());
    }
    let data_type = c.strict_type(L::Int);
    Ok(c.finish(
        data_type,
        num_kernel::<Int32Type>(|_, args, row| {
            let values = list_values(&args[0]);
            let at =
                range(&args[0], row).position(|i| same(values.as_ref(), i, args[1].array.as_ref(), args[1].at(row)));
            Ok(Some(at.map_or(0, |p| p as i32 + 1)))
        }),
    )
    .total())
}

fn push(mut c: Invocation<'_>, front: bool) -> Parse<Typed> {
    let element = array_arg(&c, 0)?;
    let common = with_element(&mut c)?;
    let element = DataType { logical: common.logical, nullable: element.nullable || c.args[1].data_type.nullable };
    let data_type = DataType { logical: L::Array(Box::new(element.clone())), nullable: c.args[0].data_type.nullable };
    Ok(c.finish(
        data_type,
        Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
            let mut builder = ListBuilder::new(rows);
            for row in 0..rows {
                if args[0].is_null(row) {
                    builder.null();
                    continue;
                }
                let list = range(&args[0], row).map(|i| (0, i));
                let one = std::iter::once((1, args[1].at(row)));
                if front {
                    builder.row(one.chain(list));
                } else {
                    builder.row(list.chain(one));
                }
            }
            builder.finish(&[list_values(&args[0]), &args[1].array], &element)
        }),
    )
    .total())
}

fn remove(mut c: Invocation<'_>) -> Parse<Typed> {
    let element = array_arg(&c, 0)?;
    with_element(&mut c)?;
    let element = DataType {
        logical: match &c.args[0].data_type.logical {
            L::Array(e) => e.logical.clone(),
            _ => element.logical.clone(),
        },
        nullable: element.nullable,
    };
    let data_type = DataType { logical: L::Array(Box::new(element.clone())), nullable: c.args[0].data_type.nullable };
    Ok(c.finish(
        data_type,
        Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
            let mut builder = ListBuilder::new(rows);
            for row in 0..rows {
                if args[0].is_null(row) {
                    builder.null();
                    continue;
                }
                let values = list_values(&args[0]);
                let needle = (args[1].array.as_ref(), args[1].at(row));
                builder.row(
                    range(&args[0], row).filter(|i| !same(values.as_ref(), *i, needle.0, needle.1)).map(|i| (0, i)),
                );
            }
            builder.finish(&[list_values(&args[0])], &element)
        }),
    )
    .total())
}

/// Functions that give the array's own elements in another order or number.
fn rearrange(c: Invocation<'_>, f: fn(&dyn Array, std::ops::Range<usize>) -> Vec<usize>) -> Parse<Typed> {
    let element = array_arg(&c, 0)?;
    let data_type = c.args[0].data_type.clone();
    Ok(c.finish(data_type, rearrange_kernel(element, move |values, range, _, _| Some(f(values, range)))).total())
}

fn rearrange_kernel(
    element: DataType,
    f: impl Fn(&dyn Array, std::ops::Range<usize>, &[Val], usize) -> Option<Vec<usize>> + Send + Sync + 'static,
) -> Kernel {
    Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
        let mut builder = ListBuilder::new(rows);
        for row in 0..rows {
            if any_null_at(args, row) {
                builder.null();
                continue;
            }
            match f(list_values(&args[0]).as_ref(), range(&args[0], row), args, row) {
                Some(places) => builder.row(places.into_iter().map(|i| (0, i))),
                None => builder.null(),
            }
        }
        builder.finish(&[list_values(&args[0])], &element)
    })
}

fn distinct(values: &dyn Array, range: std::ops::Range<usize>) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::new();
    for i in range {
        if !kept.iter().any(|k| same(values, *k, values, i)) {
            kept.push(i);
        }
    }
    kept
}

fn sort(mut c: Invocation<'_>) -> Parse<Typed> {
    let element = array_arg(&c, 0)?;
    if matches!(element.logical, L::Row(_) | L::Map(..) | L::Array(_) | L::Multiset(_)) {
        return Err(c.mismatch(0, "an ARRAY of values that have an order"));
    }
    for i in 1..c.args.len() {
        if c.args[i].is_null_literal() {
            c.args[i] = convert(c.args[i].clone(), &L::Boolean);
        }
        if c.args[i].data_type.logical != L::Boolean {
            return Err(c.mismatch(i, "BOOLEAN"));
        }
    }
    let data_type = DataType { logical: c.args[0].data_type.logical.clone(), nullable: c.nullable() };
    let kernel = rearrange_kernel(element, |values, range, args, row| {
        let flag = |i: usize| args[i].array.as_boolean().value(args[i].at(row));
        let ascending = args.len() < 2 || flag(1);
        // NULLs come first in ascending order unless the third argument says otherwise.
        let nulls_first = if args.len() > 2 { flag(2) } else { ascending };
        let mut places: Vec<usize> = range.collect();
        places.sort_by(|a, b| match (values.is_null(*a), values.is_null(*b)) {
            (true, true) => Ordering::Equal,
            (true, false) => {
                if nulls_first {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (false, true) => {
                if nulls_first {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (false, false) => {
                let order = nested(values, *a, values, *b).unwrap_or(Ordering::Equal);
                if ascending { order } else { order.reverse() }
            }
        });
        Some(places)
    });
    Ok(c.finish(data_type, kernel).total())
}

fn slice(mut c: Invocation<'_>) -> Parse<Typed> {
    let element = array_arg(&c, 0)?;
    for i in 1..c.args.len() {
        c.integer(i, &L::Int)?;
    }
    let data_type = DataType { logical: c.args[0].data_type.logical.clone(), nullable: c.nullable() };
    let kernel = rearrange_kernel(element, |_, range, args, row| {
        let count = range.len() as i64;
        let normal = |v: i32| -> i64 { if v < 0 { i64::from(v) + count + 1 } else { i64::from(v.max(1)) } };
        let raw_start = i32_at(args, 1, row);
        let start = normal(raw_start);
        let raw_end = if args.len() == 3 { i32_at(args, 2, row) } else { i32::MAX };
        let end = if args.len() == 3 { normal(raw_end) } else { count };
        let from = start.max(1);
        let to = end.min(count);
        if start > end || from > to || (args.len() == 3 && end < 1) {
            return Some(Vec::new());
        }
        Some((range.start + from as usize - 1..range.start + to as usize).collect())
    });
    Ok(c.finish(data_type, kernel).total())
}

fn extreme(c: Invocation<'_>, wanted: Ordering) -> Parse<Typed> {
    let element = array_arg(&c, 0)?;
    if matches!(element.logical, L::Row(_) | L::Map(..) | L::Array(_) | L::Multiset(_)) {
        return Err(c.mismatch(0, "an ARRAY of values that have an order"));
    }
    let data_type = element.with_nullable(true);
    Ok(c.finish(
        data_type,
        Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
            let places: UInt64Array = (0..rows)
                .map(|row| {
                    if args[0].is_null(row) {
                        return None;
                    }
                    let values = list_values(&args[0]);
                    let mut best: Option<usize> = None;
                    for i in range(&args[0], row).filter(|i| values.is_valid(*i)) {
                        if best.is_none_or(|b| nested(values.as_ref(), i, values.as_ref(), b) == Some(wanted)) {
                            best = Some(i);
                        }
                    }
                    best.map(|b| b as u64)
                })
                .collect();
            compute::take(list_values(&args[0]), &places, None).map_err(arrow_error)
        }),
    )
    .total())
}

fn join(mut c: Invocation<'_>) -> Parse<Typed> {
    let element = array_arg(&c, 0)?;
    if !element.logical.is_character() {
        return Err(c.mismatch(0, "an ARRAY of text"));
    }
    for i in 1..c.args.len() {
        c.text(i)?;
    }
    let data_type = c.strict_type(L::STRING);
    Ok(c.finish(
        data_type,
        super::text_kernel(|_, args, row| {
            let values = list_values(&args[0]).as_string::<i32>();
            let mut out = String::new();
            let mut first = true;
            for i in range(&args[0], row) {
                let text = if values.is_valid(i) {
                    values.value(i)
                } else if args.len() == 3 {
                    str_at(args, 2, row)
                } else {
                    continue;
                };
                if !first {
                    out.push_str(str_at(args, 1, row));
                }
                out.push_str(text);
                first = false;
            }
            Ok(Some(out))
        }),
    )
    .total())
}

/// Brings all arguments to one array type.
fn common_arrays(c: &mut Invocation<'_>) -> Parse<DataType> {
    for i in 0..c.args.len() {
        if !c.args[i].is_null_literal() {
            array_arg(c, i)?;
        }
    }
    let Some(common) = types::common_of(c.args.iter().map(|a| &a.data_type)) else {
        let kinds: Vec<_> = c.args.iter().map(|a| a.data_type.logical.to_string()).collect();
        return Err(Diagnostic::at(c.span.clone(), format!("the arrays have no common type: {}", kinds.join(", "))));
    };
    let L::Array(element) = &common.logical else {
        return Err(Diagnostic::at(c.span.clone(), "the arrays' type is unknown"));
    };
    let element = element.as_ref().clone();
    for arg in &mut c.args {
        *arg = convert(arg.clone(), &common.logical);
    }
    Ok(element)
}

fn concat(mut c: Invocation<'_>) -> Parse<Typed> {
    let element = common_arrays(&mut c)?;
    let data_type = c.strict_type(L::Array(Box::new(element.clone())));
    Ok(c.finish(
        data_type,
        Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
            let mut builder = ListBuilder::new(rows);
            for row in 0..rows {
                if any_null_at(args, row) {
                    builder.null();
                } else {
                    builder.row(args.iter().enumerate().flat_map(|(n, a)| range(a, row).map(move |i| (n, i))));
                }
            }
            let sources: Vec<&ArrayRef> = args.iter().map(list_values).collect();
            builder.finish(&sources, &element)
        }),
    )
    .total())
}

/// `array || array`.
pub(crate) fn concat_operator(left: Typed, right: Typed, span: Span) -> Parse<Typed> {
    let settings = crate::bind::expr::PlanSettings::default();
    concat(Invocation {
        name: "ARRAY_CONCAT",
        args: vec![left, right],
        span: span.clone(),
        name_span: span,
        settings: &settings,
    })
}

#[derive(Clone, Copy, PartialEq)]
enum SetOp {
    Union,
    Except,
    Intersect,
}

fn set(mut c: Invocation<'_>, op: SetOp) -> Parse<Typed> {
    let own = array_arg(&c, 0)?;
    let element = common_arrays(&mut c)?;
    let element =
        if op == SetOp::Except { element.clone().with_nullable(own.nullable || element.nullable) } else { element };
    let data_type = c.strict_type(L::Array(Box::new(element.clone())));
    Ok(c.finish(
        data_type,
        Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
            let mut builder = ListBuilder::new(rows);
            let (a, b) = (list_values(&args[0]), list_values(&args[1]));
            for row in 0..rows {
                if any_null_at(args, row) {
                    builder.null();
                    continue;
                }
                let (ra, rb) = (range(&args[0], row), range(&args[1], row));
                let value = |place: &(usize, usize)| -> (&dyn Array, usize) {
                    (if place.0 == 0 { a.as_ref() } else { b.as_ref() }, place.1)
                };
                let mut out: Vec<(usize, usize)> = Vec::new();
                let candidates: Vec<(usize, usize)> = match op {
                    SetOp::Union => ra.map(|i| (0, i)).chain(rb.map(|i| (1, i))).collect(),
                    SetOp::Except => ra
                        .filter(|i| !rb.clone().any(|j| same(a.as_ref(), *i, b.as_ref(), j)))
                        .map(|i| (0, i))
                        .collect(),
                    SetOp::Intersect => {
                        ra.filter(|i| rb.clone().any(|j| same(a.as_ref(), *i, b.as_ref(), j))).map(|i| (0, i)).collect()
                    }
                };
                for place in candidates {
                    let (array, i) = value(&place);
                    let seen = out.iter().any(|o| {
                        let (other, j) = value(o);
                        same(array, i, other, j)
                    });
                    if !seen {
                        out.push(place);
                    }
                }
                builder.row(out);
            }
            builder.finish(&[a, b], &element)
        }),
    )
    .total())
}

fn split(mut c: Invocation<'_>) -> Parse<Typed> {
    c.text(0)?;
    c.text(1)?;
    let element = DataType::string();
    let data_type = c.strict_type(L::Array(Box::new(element.clone())));
    Ok(c.finish(
        data_type,
        Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
            let mut parts: Vec<String> = Vec::new();
            let mut builder = ListBuilder::new(rows);
            for row in 0..rows {
                if any_null_at(args, row) {
                    builder.null();
                    continue;
                }
                let (text, separator) = (str_at(args, 0, row), str_at(args, 1, row));
                let before = parts.len();
                if text.is_empty() {
                    // Nothing splits to no parts at all.
                } else if separator.is_empty() {
                    parts.extend(text.chars().map(String::from));
                } else {
                    parts.extend(text.split(separator).map(str::to_owned));
                }
                builder.row((before..parts.len()).map(|i| (0, i)));
            }
            let values: ArrayRef = Arc::new(StringArray::from(parts));
            builder.finish(&[&values], &element)
        }),
    )
    .total())
}

/// A map column of which later entries of a key replace the value of earlier ones.
pub(crate) fn unique_map(
    keys: ArrayRef,
    values: ArrayRef,
    offsets: &OffsetBuffer<i32>,
    nulls: Option<NullBuffer>,
    to: &L,
) -> Result<ArrayRef> {
    let mut key_places: Vec<u64> = Vec::new();
    let mut value_places: Vec<u64> = Vec::new();
    let mut lengths = Vec::with_capacity(offsets.len());
    for window in offsets.windows(2) {
        let before = key_places.len();
        for i in window[0] as usize..window[1] as usize {
            let found =
                (before..key_places.len()).find(|p| same(keys.as_ref(), key_places[*p] as usize, keys.as_ref(), i));
            match found {
                Some(p) => value_places[p] = i as u64,
                None => {
                    key_places.push(i as u64);
                    value_places.push(i as u64);
                }
            }
        }
        lengths.push(key_places.len() - before);
    }
    let keys = compute::take(&keys, &UInt64Array::from(key_places), None).map_err(arrow_error)?;
    let values = compute::take(&values, &UInt64Array::from(value_places), None).map_err(arrow_error)?;
    make_map(keys, values, OffsetBuffer::from_lengths(lengths), nulls, to)
}

fn str_to_map(mut c: Invocation<'_>) -> Parse<Typed> {
    if c.args.len() == 2 {
        return Err(Diagnostic::at(c.span, "STR_TO_MAP takes 1 or 3 arguments, not 2"));
    }
    for i in 0..c.args.len() {
        c.text(i)?;
    }
    let logical = L::Map(Box::new(DataType::string()), Box::new(DataType::string()));
    let to = logical.clone();
    Ok(c.finish(
        DataType::nullable(logical),
        Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
            let (list_cache, key_cache) = (super::regex::Cache::default(), super::regex::Cache::default());
            let (mut keys, mut values) = (Vec::new(), Vec::new());
            let mut lengths = Vec::with_capacity(rows);
            let mut valid = Vec::with_capacity(rows);
            for row in 0..rows {
                let before = keys.len();
                valid.push(!any_null_at(args, row));
                if valid[row] {
                    let (list, pair) =
                        if args.len() == 3 { (str_at(args, 1, row), str_at(args, 2, row)) } else { (",", "=") };
                    let text = str_at(args, 0, row);
                    let bad = || Error::data("a delimiter of STR_TO_MAP is a malformed regular expression");
                    if !text.is_empty() {
                        let parts: Vec<String> = list_cache.with(list, super::regex::Regex::compile, |r| {
                            r.ok_or_else(bad)?.split(text).map(|p| p.into_iter().map(str::to_owned).collect())
                        })?;
                        for part in parts {
                            let pieces: Vec<String> = key_cache.with(pair, super::regex::Regex::compile, |r| {
                                r.ok_or_else(bad)?.split(&part).map(|p| p.into_iter().map(str::to_owned).collect())
                            })?;
                            let mut pieces = pieces.into_iter();
                            keys.push(pieces.next().unwrap_or_default());
                            values.push(pieces.next());
                        }
                    }
                }
                lengths.push(keys.len() - before);
            }
            let nulls = valid.iter().any(|v| !v).then(|| NullBuffer::from(valid));
            unique_map(
                Arc::new(StringArray::from(keys)),
                Arc::new(StringArray::from(values)),
                &OffsetBuffer::from_lengths(lengths),
                nulls,
                &to,
            )
        }),
    ))
}

fn map_arg(c: &Invocation<'_>, index: usize) -> Parse<(DataType, DataType)> {
    match &c.args[index].data_type.logical {
        L::Map(key, value) => Ok((key.as_ref().clone(), value.as_ref().clone())),
        _ => Err(c.mismatch(index, "a MAP")),
    }
}

fn map_part(c: Invocation<'_>, keys: bool) -> Parse<Typed> {
    let (key, value) = map_arg(&c, 0)?;
    let element = if keys { key } else { value };
    let data_type = c.strict_type(L::Array(Box::new(element.clone())));
    Ok(c.finish(
        data_type,
        Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
            let map = args[0].array.as_map();
            let mut builder = ListBuilder::new(rows);
            for row in 0..rows {
                if args[0].is_null(row) {
                    builder.null();
                } else {
                    builder.row(range(&args[0], row).map(|i| (0, i)));
                }
            }
            builder.finish(&[if keys { map.keys() } else { map.values() }], &element)
        }),
    )
    .total())
}

fn map_entries(c: Invocation<'_>) -> Parse<Typed> {
    let (key, value) = map_arg(&c, 0)?;
    let fields = vec![Field { name: "key".into(), data_type: key }, Field { name: "value".into(), data_type: value }];
    let element = DataType::not_null(L::Row(fields.clone()));
    let data_type = c.strict_type(L::Array(Box::new(DataType::nullable(element.logical.clone()))));
    let element = DataType::nullable(element.logical);
    Ok(c.finish(
        data_type,
        Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
            let map = args[0].array.as_map();
            let entries =
                make_row(vec![Arc::clone(map.keys()), Arc::clone(map.values())], None, &fields, map.keys().len())?;
            let mut builder = ListBuilder::new(rows);
            for row in 0..rows {
                if args[0].is_null(row) {
                    builder.null();
                } else {
                    builder.row(range(&args[0], row).map(|i| (0, i)));
                }
            }
            builder.finish(&[&entries], &element)
        }),
    )
    .total())
}

fn map_from_arrays(c: Invocation<'_>) -> Parse<Typed> {
    let (key, value) = (array_arg(&c, 0)?, array_arg(&c, 1)?);
    let logical = L::Map(Box::new(key), Box::new(value));
    let data_type = c.strict_type(logical.clone());
    Ok(c.finish(
        data_type,
        Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
            let mut places: (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
            let mut lengths = Vec::with_capacity(rows);
            let mut valid = Vec::with_capacity(rows);
            for row in 0..rows {
                if any_null_at(args, row) {
                    lengths.push(0);
                    valid.push(false);
                    continue;
                }
                let (keys, values) = (range(&args[0], row), range(&args[1], row));
                if keys.len() != values.len() {
                    return Err(Error::data("MAP_FROM_ARRAYS takes as many keys as values"));
                }
                lengths.push(keys.len());
                valid.push(true);
                places.0.extend(keys.map(|i| i as u64));
                places.1.extend(values.map(|i| i as u64));
            }
            let keys = compute::take(list_values(&args[0]), &UInt64Array::from(places.0), None).map_err(arrow_error)?;
            let values =
                compute::take(list_values(&args[1]), &UInt64Array::from(places.1), None).map_err(arrow_error)?;
            let nulls = valid.iter().any(|v| !v).then(|| NullBuffer::from(valid));
            unique_map(keys, values, &OffsetBuffer::from_lengths(lengths), nulls, &logical)
        }),
    ))
}

fn map_union(mut c: Invocation<'_>) -> Parse<Typed> {
    for i in 0..c.args.len() {
        map_arg(&c, i)?;
    }
    let Some(common) = types::common_of(c.args.iter().map(|a| &a.data_type)) else {
        return Err(Diagnostic::at(c.span.clone(), "the maps have no common type"));
    };
    for arg in &mut c.args {
        *arg = convert(arg.clone(), &common.logical);
    }
    let nullable = nullable_of(&c.args);
    let logical = common.logical;
    let data_type = DataType { logical: logical.clone(), nullable };
    Ok(c.finish(
        data_type,
        Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
            let maps: Vec<&MapArray> = args.iter().map(|a| a.array.as_map()).collect();
            let keys: Vec<&dyn Array> = maps.iter().map(|m| m.keys().as_ref()).collect();
            let values: Vec<&dyn Array> = maps.iter().map(|m| m.values().as_ref()).collect();
            let mut places = Vec::new();
            let mut lengths = Vec::with_capacity(rows);
            let mut valid = Vec::with_capacity(rows);
            for row in 0..rows {
                let before = places.len();
                valid.push(!any_null_at(args, row));
                if valid[row] {
                    for (n, arg) in args.iter().enumerate() {
                        places.extend(range(arg, row).map(|i| (n, i)));
                    }
                }
                lengths.push(places.len() - before);
            }
            let nulls = valid.iter().any(|v| !v).then(|| NullBuffer::from(valid));
            let pick = |arrays: &[&dyn Array]| -> Result<ArrayRef> {
                if places.is_empty() {
                    Ok(arrays[0].slice(0, 0))
                } else {
                    compute::interleave(arrays, &places).map_err(arrow_error)
                }
            };
            unique_map(pick(&keys)?, pick(&values)?, &OffsetBuffer::from_lengths(lengths), nulls, &logical)
        }),
    ))
}
