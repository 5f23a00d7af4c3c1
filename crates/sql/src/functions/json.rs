//! SQL/JSON: JSON_VALUE, JSON_QUERY, JSON_EXISTS, the constructors, IS JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes as t;
use base64::Engine as _;
use serde_json::Value;
use starweir_model::{DataType, Error, LogicalType as L};

use super::jsonpath::{Found, Mode, Path};
use super::{Function, Invocation, any_null_at, str_at};
use crate::ast::{IsWhat, JsonBehavior, JsonClauses, JsonWrapper};
use crate::bind::expr::{PlanSettings, bool_type, convert};
use crate::diagnostic::{Diagnostic, Span};
use crate::eval::cast::{Mode as CastMode, make_list};
use crate::eval::text::{timestamp_nanos, write_decimal, write_double, write_float};
use crate::eval::time::Zone;
use crate::eval::{EvalContext, Kernel, Node, Typed, Val, text, time};
use crate::parser::Parse;

pub(super) const FUNCTIONS: &[Function] = &[Function { name: "JSON_STRING", arity: (1, 1), bind: json_string }];

/// `x IS [NOT] JSON [VALUE | OBJECT | ARRAY | SCALAR]`.
pub(crate) fn is_json(arg: Typed, what: IsWhat, negated: bool, span: Span) -> Parse<Typed> {
    let arg = if arg.is_null_literal() { convert(arg, &L::STRING) } else { arg };
    if !arg.data_type.logical.is_character() {
        return Err(Diagnostic::at(span, format!("IS JSON takes text, this is {}", arg.data_type.logical)));
    }
    let kernel: Kernel = Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
        let result: BooleanArray = (0..rows)
            .map(|row| {
                if args[0].is_null(row) {
                    // NULL is no JSON: IS NOT JSON is TRUE then.
                    return Some(negated);
                }
                let text = str_at(args, 0, row).trim();
                let valid = first_json::<serde::de::IgnoredAny>(text).is_some();
                let first = text.bytes().next();
                let kind = match what {
                    IsWhat::JsonObject => first == Some(b'{'),
                    IsWhat::JsonArray => first == Some(b'['),
                    IsWhat::JsonScalar => !matches!(first, Some(b'{' | b'[')),
                    _ => true,
                };
                Some((valid && kind) != negated)
            })
            .collect();
        Ok(Arc::new(result) as ArrayRef)
    });
    Ok(Typed::call(if negated { "IS NOT JSON" } else { "IS JSON" }, vec![arg], bool_type(false), span, kernel)
        .detail(format!("{what:?}"))
        .total())
}

pub(crate) fn bind(
    name: &str,
    args: Vec<Typed>,
    clauses: &JsonClauses,
    on_empty: Option<Typed>,
    on_error: Option<Typed>,
    span: Span,
) -> Parse<Typed> {
    let settings = PlanSettings::default();
    let static_name: &'static str = match name {
        "JSON_VALUE" => "JSON_VALUE",
        "JSON_QUERY" => "JSON_QUERY",
        "JSON_EXISTS" => "JSON_EXISTS",
        "JSON_OBJECT" => "JSON_OBJECT",
        _ => "JSON_ARRAY",
    };
    let mut c =
        Invocation { name: static_name, args, span: span.clone(), name_span: span.clone(), settings: &settings };
    match name {
        "JSON_OBJECT" => return json_object(c, clauses),
        "JSON_ARRAY" => return json_array(c, clauses),
        _ => {}
    }
    if c.args.len() != 2 {
        return Err(Diagnostic::at(span, format!("{name} takes a text and a path")));
    }
    c.text(0)?;
    c.text(1)?;
    if let Some(path) = c.args[1].literal_text()
        && Path::parse(path).is_none()
    {
        return Err(Diagnostic::at(c.args[1].span.clone(), "this is no JSON path")
            .with_hint("write a path such as 'lax $.a[0].b'"));
    }
    match name {
        "JSON_EXISTS" => json_exists(c, clauses),
        "JSON_VALUE" => json_value(c, clauses, on_empty, on_error),
        _ => json_query(c, clauses),
    }
}

/// The JSON value a text begins with; what follows it does not count, as with the parser Flink uses.
fn first_json<'t, T: serde::Deserialize<'t>>(text: &'t str) -> Option<T> {
    serde_json::Deserializer::from_str(text).into_iter::<T>().next()?.ok()
}

/// What looking a path up gave.
enum Lookup {
    /// The text is no JSON, or a strict path found nothing.
    Failed(&'static str),
    /// The mode, and the value if there is one.
    Found(Mode, Option<Value>),
}

#[derive(Default)]
struct PathCache(Option<(String, Option<Path>)>);

impl PathCache {
    fn look(&mut self, path: &str, text: &str) -> Lookup {
        if self.0.as_ref().is_none_or(|(p, _)| p != path) {
            self.0 = Some((path.to_owned(), Path::parse(path)));
        }
        let Some((_, Some(path))) = &self.0 else { return Lookup::Failed("a JSON path is malformed") };
        let Some(root) = first_json::<Value>(text) else { return Lookup::Failed("the text is no JSON") };
        match path.find(&root) {
            Found::Missing => Lookup::Failed("a strict JSON path found nothing"),
            Found::Nothing => Lookup::Found(path.mode, None),
            Found::Value(value) => Lookup::Found(path.mode, Some(value)),
        }
    }
}

fn json_exists(c: Invocation<'_>, clauses: &JsonClauses) -> Parse<Typed> {
    let on_error = clauses.on_error.clone().unwrap_or(JsonBehavior::False);
    let kernel: Kernel = Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
        let mut cache = PathCache::default();
        let mut builder = BooleanBuilder::with_capacity(rows);
        for row in 0..rows {
            if any_null_at(args, row) {
                builder.append_null();
                continue;
            }
            match cache.look(str_at(args, 1, row), str_at(args, 0, row)) {
                Lookup::Found(_, value) => builder.append_value(value.is_some_and(|v| !v.is_null())),
                Lookup::Failed(why) => match on_error {
                    JsonBehavior::True => builder.append_value(true),
                    JsonBehavior::Unknown => builder.append_null(),
                    JsonBehavior::Error => return Err(Error::data(format!("JSON_EXISTS: {why}"))),
                    _ => builder.append_value(false),
                },
            }
        }
        Ok(Arc::new(builder.finish()) as ArrayRef)
    });
    let data_type = bool_type(true);
    Ok(c.finish(data_type, kernel).detail(format!("{:?}", clauses.on_error)))
}

/// Text of a JSON scalar as Java prints it.
fn scalar_text(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Number(n) => number_text(n),
        other => other.to_string(),
    }
}

fn number_text(number: &serde_json::Number) -> String {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(v), ..) => v.to_string(),
        (_, Some(v), _) => v.to_string(),
        (_, _, Some(v)) => {
            let mut out = String::new();
            write_double(&mut out, v);
            out
        }
        _ => number.to_string(),
    }
}

fn json_value(
    mut c: Invocation<'_>,
    clauses: &JsonClauses,
    on_empty: Option<Typed>,
    on_error: Option<Typed>,
) -> Parse<Typed> {
    let logical = match &clauses.returning {
        None => L::STRING,
        Some(name) => match &name.data_type {
            Some(t) if matches!(t.logical, L::Boolean | L::Int | L::Double | L::VarChar(_) | L::Char(_)) => {
                t.logical.clone()
            }
            _ => {
                return Err(Diagnostic::at(
                    name.span.clone(),
                    format!("JSON_VALUE returns STRING, BOOLEAN, INTEGER or DOUBLE, not {}", name.text),
                ));
            }
        },
    };
    if clauses.wrapper.is_some() {
        return Err(Diagnostic::at(c.span, "WRAPPER applies to JSON_QUERY"));
    }
    for default in [&on_empty, &on_error].into_iter().flatten() {
        let compatible = crate::types::can_store(&default.data_type.logical, &logical) || default.is_null_literal();
        if !compatible {
            return Err(Diagnostic::at(
                default.span.clone(),
                format!("the default is {}, JSON_VALUE returns {logical}", default.data_type.logical),
            ));
        }
    }
    let behavior = |b: &Option<JsonBehavior>| b.clone().unwrap_or(JsonBehavior::Null);
    let (empty, error) = (behavior(&clauses.on_empty), behavior(&clauses.on_error));
    let detail = format!("RETURNING {logical} {empty:?} {error:?}");
    let base = 2;
    let empty_index = on_empty.map(|e| {
        c.args.push(convert(e, &logical));
        c.args.len() - 1
    });
    let error_index = on_error.map(|e| {
        c.args.push(convert(e, &logical));
        c.args.len() - 1
    });
    let target = logical.clone();
    let kernel: Kernel = Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
        let mut cache = PathCache::default();
        // Text of the value per row, or which default stands for it.
        let mut texts = StringBuilder::new();
        let mut defaults: Vec<Option<usize>> = Vec::with_capacity(rows);
        for row in 0..rows {
            if any_null_at(&args[..base], row) {
                texts.append_null();
                defaults.push(None);
                continue;
            }
            let scalar = |v: &Value| !v.is_array() && !v.is_object();
            let outcome = match cache.look(str_at(args, 1, row), str_at(args, 0, row)) {
                Lookup::Failed(why) => Err((&error, error_index, why)),
                Lookup::Found(Mode::Strict, Some(Value::Null)) => Err((&error, error_index, "the path found NULL")),
                Lookup::Found(_, None | Some(Value::Null)) => Err((&empty, empty_index, "the path found nothing")),
                Lookup::Found(Mode::Lax, Some(v)) if !scalar(&v) => {
                    Err((&empty, empty_index, "the path found no scalar"))
                }
                Lookup::Found(_, Some(v)) if !scalar(&v) => Err((&error, error_index, "the path found no scalar")),
                Lookup::Found(_, Some(v)) => {
                    let fits = match (&target, &v) {
                        (L::Boolean, v) => v.is_boolean(),
                        (L::Int, v) => v.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
                        (L::Double, v) => v.is_number(),
                        _ => true,
                    };
                    if !fits {
                        // Not a matter of ON ERROR: Flink's generated code fails on it too.
                        return Err(Error::data(format!("JSON_VALUE found a value that is no {target}")));
                    }
                    Ok(scalar_text(&v))
                }
            };
            match outcome {
                Ok(text) => {
                    texts.append_value(text);
                    defaults.push(None);
                }
                Err((JsonBehavior::Error, _, why)) => return Err(Error::data(format!("JSON_VALUE: {why}"))),
                Err((_, index, _)) => {
                    texts.append_null();
                    defaults.push(index);
                }
            }
        }
        let texts: ArrayRef = Arc::new(texts.finish());
        let values =
            crate::eval::cast::Caster { mode: CastMode::Try, zone: Zone::UTC }.cast(&texts, &L::STRING, &target)?;
        if defaults.iter().all(Option::is_none) {
            return Ok(values);
        }
        let mut sources: Vec<&dyn Array> = vec![values.as_ref()];
        sources.extend(args.iter().map(|a| a.array.as_ref()).skip(base));
        let places: Vec<(usize, usize)> = defaults
            .iter()
            .enumerate()
            .map(|(row, d)| d.map_or((0, row), |i| (i - base + 1, args[i].at(row))))
            .collect();
        arrow::compute::interleave(&sources, &places).map_err(crate::eval::arrow_error)
    });
    Ok(c.finish(DataType::nullable(logical), kernel).detail(detail))
}

fn json_query(c: Invocation<'_>, clauses: &JsonClauses) -> Parse<Typed> {
    let (logical, array) = match &clauses.returning {
        None => (L::STRING, false),
        Some(name) => match &name.data_type {
            Some(t) if t.logical.is_character() => (L::STRING, false),
            Some(DataType { logical: L::Array(e), .. }) if e.logical.is_character() => {
                (L::Array(Box::new(DataType::string())), true)
            }
            _ => {
                return Err(Diagnostic::at(
                    name.span.clone(),
                    format!("JSON_QUERY returns STRING or ARRAY<STRING>, not {}", name.text),
                ));
            }
        },
    };
    let wrapper = clauses.wrapper.unwrap_or(JsonWrapper::Without);
    let behavior = |b: &Option<JsonBehavior>| b.clone().unwrap_or(JsonBehavior::Null);
    let (empty, error) = (behavior(&clauses.on_empty), behavior(&clauses.on_error));
    if array && (empty == JsonBehavior::EmptyObject || error == JsonBehavior::EmptyObject) {
        return Err(Diagnostic::at(c.span, "EMPTY OBJECT is no ARRAY<STRING>"));
    }
    let detail = format!("RETURNING {logical} {wrapper:?} {empty:?} {error:?}");
    let kernel: Kernel = Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
        let mut cache = PathCache::default();
        let mut out: Vec<Option<Value>> = Vec::with_capacity(rows);
        for row in 0..rows {
            if any_null_at(args, row) {
                out.push(None);
                continue;
            }
            let outcome = match cache.look(str_at(args, 1, row), str_at(args, 0, row)) {
                Lookup::Failed(why) => Err((&error, why)),
                Lookup::Found(_, None | Some(Value::Null)) => Err((&empty, "the path found nothing")),
                Lookup::Found(mode, Some(value)) => {
                    let value = match wrapper {
                        JsonWrapper::Without => value,
                        JsonWrapper::Unconditional => Value::Array(vec![value]),
                        JsonWrapper::Conditional if value.is_array() => value,
                        JsonWrapper::Conditional => Value::Array(vec![value]),
                    };
                    let scalar = !value.is_array() && !value.is_object();
                    match (scalar, mode) {
                        (true, Mode::Lax) => Err((&empty, "the path found a scalar")),
                        (true, Mode::Strict) => Err((&error, "the path found a scalar")),
                        (false, _) if array && !value.is_array() => Err((&error, "the path found no array")),
                        (false, _) => Ok(value),
                    }
                }
            };
            out.push(match outcome {
                Ok(value) => Some(value),
                Err((JsonBehavior::EmptyArray, _)) => Some(Value::Array(Vec::new())),
                Err((JsonBehavior::EmptyObject, _)) => Some(Value::Object(serde_json::Map::new())),
                Err((JsonBehavior::Error, why)) => return Err(Error::data(format!("JSON_QUERY: {why}"))),
                Err(_) => None,
            });
        }
        if !array {
            let texts: StringArray = out.iter().map(|v| v.as_ref().map(compact)).collect();
            return Ok(Arc::new(texts) as ArrayRef);
        }
        let mut items: Vec<Option<String>> = Vec::new();
        let mut lengths = Vec::with_capacity(rows);
        let mut valid = Vec::with_capacity(rows);
        for value in &out {
            let before = items.len();
            if let Some(Value::Array(list)) = value {
                items.extend(list.iter().map(|v| match v {
                    Value::Null => None,
                    Value::String(s) => Some(s.clone()),
                    other => Some(compact(other)),
                }));
            }
            lengths.push(items.len() - before);
            valid.push(value.is_some());
        }
        let nulls = valid.iter().any(|v| !v).then(|| arrow::buffer::NullBuffer::from(valid));
        make_list(
            Arc::new(StringArray::from(items)),
            arrow::buffer::OffsetBuffer::from_lengths(lengths),
            nulls,
            &DataType::string(),
        )
    });
    Ok(c.finish(DataType::nullable(logical), kernel).detail(detail))
}

/// JSON without blanks, floating numbers as Java prints them.
fn compact(value: &Value) -> String {
    let mut out = String::new();
    write_json(&mut out, value);
    out
}

fn write_json(out: &mut String, value: &Value) {
    match value {
        Value::Number(n) => out.push_str(&number_text(n)),
        Value::String(s) => write_string(out, s),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (i, (key, item)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_string(out, key);
                out.push(':');
                write_json(out, item);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

fn write_string(out: &mut String, text: &str) {
    use std::fmt::Write as _;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

// ---- building JSON -------------------------------------------------------------------------

/// Whether JSON can be made of a type.
fn check_type(logical: &L, span: &Span) -> Parse<()> {
    match logical {
        L::Null => Err(Diagnostic::at(span.clone(), "a NULL without a type can not be made JSON")
            .with_hint("write CAST(NULL AS STRING)")),
        L::Map(key, value) => {
            if !key.logical.is_character() {
                return Err(Diagnostic::at(
                    span.clone(),
                    format!("JSON objects have text for keys, this map has {}", key.logical),
                ));
            }
            check_type(&value.logical, span)
        }
        L::Multiset(_) | L::IntervalYearMonth | L::IntervalDayTime | L::Date | L::Time(_) => {
            Err(Diagnostic::at(span.clone(), format!("{logical} can not be made JSON")))
        }
        L::Array(e) => check_type(&e.logical, span),
        L::Row(fields) => fields.iter().try_for_each(|f| check_type(&f.data_type.logical, span)),
        _ => Ok(()),
    }
}

/// Appends a value as JSON.
fn write_value(out: &mut String, array: &dyn Array, logical: &L, row: usize) {
    if array.is_null(row) {
        out.push_str("null");
        return;
    }
    match logical {
        L::Boolean => out.push_str(if array.as_boolean().value(row) { "true" } else { "false" }),
        L::Float => write_float(out, array.as_primitive::<t::Float32Type>().value(row)),
        L::Double => write_double(out, array.as_primitive::<t::Float64Type>().value(row)),
        L::Decimal(_, scale) => {
            let mut text = String::new();
            write_decimal(&mut text, array.as_primitive::<t::Decimal128Type>().value(row), *scale);
            let trimmed = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
            out.push_str(trimmed);
        }
        L::Char(_) | L::VarChar(_) => write_string(out, array.as_string::<i32>().value(row)),
        L::Binary(_) | L::VarBinary(_) => {
            write_string(out, &base64::engine::general_purpose::STANDARD.encode(array.as_binary::<i32>().value(row)));
        }
        L::Timestamp(_) | L::TimestampLtz(_) => {
            let nanos = timestamp_nanos(array, row);
            let mut text = String::new();
            let fraction = nanos.rem_euclid(time::NANOS_PER_SECOND);
            let digits = if fraction == 0 {
                0
            } else if fraction % 1_000_000 == 0 {
                3
            } else if fraction % 1000 == 0 {
                6
            } else {
                9
            };
            time::write_timestamp(&mut text, nanos, digits);
            let mut text = text.replacen(' ', "T", 1);
            if matches!(logical, L::TimestampLtz(_)) {
                text.push('Z');
            }
            write_string(out, &text);
        }
        L::Date | L::Time(_) => {
            let mut inner = String::new();
            text::write_value(&mut inner, array, logical, row, text::Style { zone: Zone::UTC, legacy: false });
            write_string(out, &inner);
        }
        L::Array(element) => {
            let values = array.as_list::<i32>().value(row);
            out.push('[');
            for i in 0..values.len() {
                if i > 0 {
                    out.push(',');
                }
                write_value(out, values.as_ref(), &element.logical, i);
            }
            out.push(']');
        }
        L::Map(_, value) => {
            let entries = array.as_map().value(row);
            let keys = entries.column(0).as_string::<i32>();
            let mut sorted: BTreeMap<&str, usize> = BTreeMap::new();
            for i in 0..entries.len() {
                sorted.insert(keys.value(i), i);
            }
            out.push('{');
            for (n, (key, i)) in sorted.into_iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                write_string(out, key);
                out.push(':');
                write_value(out, entries.column(1).as_ref(), &value.logical, i);
            }
            out.push('}');
        }
        L::Row(fields) => {
            let columns = array.as_struct();
            out.push('{');
            for (n, field) in fields.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                write_string(out, &field.name);
                out.push(':');
                write_value(out, columns.column(n).as_ref(), &field.data_type.logical, row);
            }
            out.push('}');
        }
        _ => text::write_value(out, array, logical, row, text::Style { zone: Zone::UTC, legacy: true }),
    }
}

fn json_string(c: Invocation<'_>) -> Parse<Typed> {
    let logical = c.args[0].data_type.logical.clone();
    check_type(&logical, &c.args[0].span)?;
    let data_type = c.strict_type(L::STRING);
    Ok(c.finish(
        data_type,
        super::text_kernel(move |_, args, row| {
            let mut out = String::new();
            write_value(&mut out, args[0].array.as_ref(), &logical, args[0].at(row));
            Ok(Some(out))
        }),
    )
    .total())
}

/// The result of a JSON constructor goes into another as it is.
fn is_raw(arg: &Typed) -> bool {
    matches!(&arg.node, Node::Call(call) if matches!(call.name.as_str(), "JSON_OBJECT" | "JSON_ARRAY"))
}

fn append(out: &mut String, arg: &Val, logical: &L, raw: bool, row: usize) {
    if raw && !arg.is_null(row) {
        out.push_str(arg.array.as_string::<i32>().value(arg.at(row)));
    } else {
        write_value(out, arg.array.as_ref(), logical, arg.at(row));
    }
}

fn json_object(c: Invocation<'_>, clauses: &JsonClauses) -> Parse<Typed> {
    let absent = clauses.null_on_null == Some(false);
    let mut kinds = Vec::new();
    for (i, arg) in c.args.iter().enumerate() {
        if i % 2 == 0 {
            if arg.literal_text().is_none() {
                return Err(Diagnostic::at(arg.span.clone(), "a key of JSON_OBJECT must be a character literal"));
            }
        } else {
            check_type(&arg.data_type.logical, &arg.span)?;
        }
        kinds.push((arg.data_type.logical.clone(), is_raw(arg)));
    }
    Ok(c.finish(
        DataType::not_null(L::STRING),
        Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
            let mut builder = StringBuilder::new();
            for row in 0..rows {
                // Keys are sorted; of equal ones the last counts.
                let mut members: BTreeMap<&str, usize> = BTreeMap::new();
                for i in (0..args.len()).step_by(2) {
                    if !(absent && args[i + 1].is_null(row)) {
                        members.insert(str_at(args, i, row), i + 1);
                    }
                }
                let mut out = String::from("{");
                for (n, (key, i)) in members.into_iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    write_string(&mut out, key);
                    out.push(':');
                    append(&mut out, &args[i], &kinds[i].0, kinds[i].1, row);
                }
                out.push('}');
                builder.append_value(out);
            }
            Ok(Arc::new(builder.finish()) as ArrayRef)
        }),
    )
    .detail(if absent { "ABSENT ON NULL" } else { "NULL ON NULL" })
    .total())
}

fn json_array(c: Invocation<'_>, clauses: &JsonClauses) -> Parse<Typed> {
    let keep = clauses.null_on_null == Some(true);
    let mut kinds = Vec::new();
    for arg in &c.args {
        check_type(&arg.data_type.logical, &arg.span)?;
        kinds.push((arg.data_type.logical.clone(), is_raw(arg)));
    }
    Ok(c.finish(
        DataType::not_null(L::STRING),
        Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
            let mut builder = StringBuilder::new();
            for row in 0..rows {
                let mut out = String::from("[");
                let mut first = true;
                for (i, arg) in args.iter().enumerate() {
                    if arg.is_null(row) && !keep {
                        continue;
                    }
                    if !first {
                        out.push(',');
                    }
                    first = false;
                    append(&mut out, arg, &kinds[i].0, kinds[i].1, row);
                }
                out.push(']');
                builder.append_value(out);
            }
            Ok(Arc::new(builder.finish()) as ArrayRef)
        }),
    )
    .detail(if keep { "NULL ON NULL" } else { "ABSENT ON NULL" })
    .total())
}
