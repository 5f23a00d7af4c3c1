//! Text: LIKE and SIMILAR, substrings, trimming, padding, regular expressions, URLs, Base64.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::Int32Type;
use base64::Engine as _;
use starweir_model::{DataType, Error, LogicalType as L, Result};

use super::regex::{Cache, Regex};
use super::{
    Function, Invocation, MANY, any_null_at, bool_kernel, bytes_at, bytes_kernel, i32_at, i64_at, num_kernel, str_at,
    text_kernel,
};
use crate::ast::TrimSide;
use crate::bind::expr::{bool_type, convert};
use crate::diagnostic::{Diagnostic, Span};
use crate::eval::{EvalContext, Typed, Val};
use crate::parser::Parse;
use crate::types;

/// Longest text one function call may build, in bytes.
const RESULT_BYTES_MAX: usize = 64 << 20;

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "UPPER", arity: (1, 1), bind: |c| same_length(c, |s| s.to_uppercase()) },
    Function { name: "LOWER", arity: (1, 1), bind: |c| same_length(c, |s| s.to_lowercase()) },
    Function { name: "INITCAP", arity: (1, 1), bind: |c| same_length(c, initcap) },
    Function { name: "CHAR_LENGTH", arity: (1, 1), bind: char_length },
    Function { name: "CHARACTER_LENGTH", arity: (1, 1), bind: char_length },
    Function { name: "CONCAT", arity: (1, MANY), bind: concat },
    Function { name: "CONCAT_WS", arity: (2, MANY), bind: concat_ws },
    Function { name: "SUBSTRING", arity: (2, 3), bind: substring },
    Function { name: "SUBSTR", arity: (2, 3), bind: substring },
    Function { name: "LEFT", arity: (2, 2), bind: |c| left_right(c, true) },
    Function { name: "RIGHT", arity: (2, 2), bind: |c| left_right(c, false) },
    Function { name: "OVERLAY", arity: (3, 4), bind: overlay },
    Function { name: "POSITION", arity: (2, 3), bind: position },
    Function { name: "LOCATE", arity: (2, 3), bind: locate },
    Function { name: "INSTR", arity: (2, 4), bind: instr },
    Function { name: "LTRIM", arity: (1, 2), bind: |c| side_trim(c, TrimSide::Leading) },
    Function { name: "RTRIM", arity: (1, 2), bind: |c| side_trim(c, TrimSide::Trailing) },
    Function { name: "LPAD", arity: (3, 3), bind: |c| pad(c, true) },
    Function { name: "RPAD", arity: (3, 3), bind: |c| pad(c, false) },
    Function { name: "REPEAT", arity: (2, 2), bind: repeat },
    Function { name: "REPLACE", arity: (3, 3), bind: replace },
    Function { name: "REVERSE", arity: (1, 1), bind: reverse },
    Function { name: "SPLIT_INDEX", arity: (3, 3), bind: split_index },
    Function { name: "ASCII", arity: (1, 1), bind: ascii },
    Function { name: "CHR", arity: (1, 1), bind: chr },
    Function { name: "REGEXP", arity: (2, 2), bind: regexp },
    Function { name: "REGEXP_REPLACE", arity: (3, 3), bind: regexp_replace },
    Function { name: "REGEXP_EXTRACT", arity: (2, 3), bind: regexp_extract },
    Function {
        name: "IS_ALPHA",
        arity: (1, 1),
        bind: |c| is_kind(c, |s| !s.is_empty() && s.chars().all(char::is_alphabetic)),
    },
    Function {
        name: "IS_DIGIT",
        arity: (1, 1),
        bind: |c| is_kind(c, |s| !s.is_empty() && s.chars().all(char::is_numeric)),
    },
    Function { name: "IS_DECIMAL", arity: (1, 1), bind: |c| is_kind(c, is_decimal) },
    Function { name: "FROM_BASE64", arity: (1, 1), bind: from_base64 },
    Function { name: "TO_BASE64", arity: (1, 1), bind: to_base64 },
    Function { name: "ENCODE", arity: (2, 2), bind: encode },
    Function { name: "DECODE", arity: (2, 2), bind: decode },
    Function { name: "PARSE_URL", arity: (2, 3), bind: parse_url },
];

/// VARCHAR as long as a text type.
fn varchar_of(logical: &L) -> L {
    match types::length(logical) {
        Some(n) => L::VarChar(n.max(1)),
        None => L::STRING,
    }
}

fn same_length(mut c: Invocation<'_>, f: fn(&str) -> String) -> Parse<Typed> {
    c.text(0)?;
    let data_type = c.args[0].data_type.clone();
    Ok(c.finish(data_type, text_kernel(move |_, args, row| Ok(Some(f(str_at(args, 0, row)))))).total())
}

fn initcap(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut start = true;
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || c.is_alphanumeric() {
            if start {
                out.extend(c.to_uppercase());
            } else {
                out.extend(c.to_lowercase());
            }
            start = false;
        } else {
            out.push(c);
            start = true;
        }
    }
    out
}

fn char_length(mut c: Invocation<'_>) -> Parse<Typed> {
    c.text(0)?;
    let data_type = c.strict_type(L::Int);
    Ok(c.finish(
        data_type,
        num_kernel::<Int32Type>(|_, args, row| Ok(Some(str_at(args, 0, row).chars().count() as i32))),
    )
    .total())
}

/// `a || b`.
pub(crate) fn concat_operator(left: Typed, right: Typed, span: Span) -> Parse<Typed> {
    let (left, right) = match (left.is_null_literal(), right.is_null_literal()) {
        (true, false) => {
            let target = right.data_type.logical.clone();
            (convert(left, &target), right)
        }
        (false, true) => {
            let target = left.data_type.logical.clone();
            (left, convert(right, &target))
        }
        (true, true) => (convert(left, &L::STRING), convert(right, &L::STRING)),
        _ => (left, right),
    };
    let (a, b) = (left.data_type.logical.clone(), right.data_type.logical.clone());
    let nullable = left.data_type.nullable || right.data_type.nullable;
    if a.is_character() && b.is_character() {
        let length = types::add_lengths(types::length(&a).unwrap_or(0), types::length(&b).unwrap_or(0));
        let logical = if matches!((&a, &b), (L::Char(_), L::Char(_))) { L::Char(length) } else { L::VarChar(length) };
        let kernel = text_kernel(|_, args, row| {
            let (x, y) = (str_at(args, 0, row), str_at(args, 1, row));
            let mut out = String::with_capacity(x.len() + y.len());
            out.push_str(x);
            out.push_str(y);
            Ok(Some(out))
        });
        return Ok(Typed::call("||", vec![left, right], DataType { logical, nullable }, span, kernel).total());
    }
    if a.is_binary() && b.is_binary() {
        let length = types::add_lengths(types::length(&a).unwrap_or(0), types::length(&b).unwrap_or(0));
        let kernel = bytes_kernel(|_, args, row| Ok(Some([bytes_at(args, 0, row), bytes_at(args, 1, row)].concat())));
        let data_type = DataType { logical: L::VarBinary(length), nullable };
        return Ok(Typed::call("||", vec![left, right], data_type, span, kernel).total());
    }
    if let (L::Array(_), L::Array(_)) = (&a, &b) {
        return super::collection::concat_operator(left, right, span);
    }
    Err(Diagnostic::at(span, format!("'||' does not apply to {a} and {b}")).with_hint("write CAST(… AS STRING)"))
}

fn concat(mut c: Invocation<'_>) -> Parse<Typed> {
    for i in 0..c.args.len() {
        if c.args[i].is_null_literal() {
            return Err(Diagnostic::at(
                c.args[i].span.clone(),
                "a NULL without a type can not be an argument of CONCAT",
            )
            .with_hint("write CAST(NULL AS STRING)"));
        }
        c.text(i)?;
    }
    let data_type = c.strict_type(L::STRING);
    Ok(c.finish(
        data_type,
        text_kernel(|_, args, row| {
            let mut out = String::new();
            for i in 0..args.len() {
                out.push_str(str_at(args, i, row));
            }
            Ok(Some(out))
        }),
    )
    .total())
}

fn concat_ws(mut c: Invocation<'_>) -> Parse<Typed> {
    for i in 0..c.args.len() {
        c.text(i)?;
    }
    let data_type = c.strict_type(L::STRING);
    Ok(c.finish(
        data_type,
        Arc::new(|_: &EvalContext, args: &[Val], rows: usize| {
            let mut builder = StringBuilder::new();
            for row in 0..rows {
                if args[0].is_null(row) {
                    builder.append_null();
                    continue;
                }
                let mut out = String::new();
                let mut first = true;
                for (i, arg) in args.iter().enumerate().skip(1) {
                    if arg.is_null(row) {
                        continue;
                    }
                    if !first {
                        out.push_str(str_at(args, 0, row));
                    }
                    out.push_str(str_at(args, i, row));
                    first = false;
                }
                builder.append_value(out);
            }
            Ok(Arc::new(builder.finish()) as ArrayRef)
        }),
    )
    .total())
}

/// SUBSTRING: position 0 is 1, negative ones count from the end, a negative length gives NULL.
fn substring(mut c: Invocation<'_>) -> Parse<Typed> {
    c.text(0)?;
    c.integer(1, &L::Int)?;
    if c.args.len() == 3 {
        c.integer(2, &L::Int)?;
    }
    let data_type = DataType::nullable(varchar_of(&c.args[0].data_type.logical));
    Ok(c.finish(
        data_type,
        text_kernel(|_, args, row| {
            let text = str_at(args, 0, row);
            let position = i64::from(i32_at(args, 1, row));
            let length = if args.len() == 3 { i64::from(i32_at(args, 2, row)) } else { i64::MAX };
            if length < 0 {
                return Ok(None);
            }
            let count = text.chars().count() as i64;
            let start = match position {
                0 => 0,
                p if p > 0 => p - 1,
                p => count + p,
            };
            if start < 0 || start >= count {
                return Ok(Some(String::new()));
            }
            Ok(Some(text.chars().skip(start as usize).take(usize::try_from(length).unwrap_or(usize::MAX)).collect()))
        }),
    )
    .total())
}

fn left_right(mut c: Invocation<'_>, left: bool) -> Parse<Typed> {
    c.text(0)?;
    c.integer(1, &L::Int)?;
    let data_type = DataType::nullable(varchar_of(&c.args[0].data_type.logical));
    Ok(c.finish(
        data_type,
        text_kernel(move |_, args, row| {
            let text = str_at(args, 0, row);
            let n = i32_at(args, 1, row).max(0) as usize;
            Ok(Some(if left {
                text.chars().take(n).collect()
            } else {
                let count = text.chars().count();
                text.chars().skip(count.saturating_sub(n)).collect()
            }))
        }),
    )
    .total())
}

fn overlay(mut c: Invocation<'_>) -> Parse<Typed> {
    c.text(0)?;
    c.text(1)?;
    c.integer(2, &L::BigInt)?;
    if c.args.len() == 4 {
        c.integer(3, &L::BigInt)?;
    }
    let length = types::add_lengths(
        types::length(&c.args[0].data_type.logical).unwrap_or(0),
        types::length(&c.args[1].data_type.logical).unwrap_or(0),
    );
    let data_type = c.strict_type(L::VarChar(length));
    Ok(c.finish(
        data_type,
        text_kernel(|_, args, row| {
            let text: Vec<char> = str_at(args, 0, row).chars().collect();
            let new: Vec<char> = str_at(args, 1, row).chars().collect();
            let start = i64_at(args, 2, row);
            let length = if args.len() == 4 { i64_at(args, 3, row) } else { new.len() as i64 };
            if start <= 0 || start > text.len() as i64 {
                return Ok(Some(text.into_iter().collect()));
            }
            let head = (start - 1) as usize;
            let mut out: String = text[..head].iter().collect();
            out.extend(new);
            let tail = (start - 1).saturating_add(length);
            if length >= 0 && tail < text.len() as i64 {
                out.extend(&text[tail.max(0) as usize..]);
            }
            Ok(Some(out))
        }),
    )
    .total())
}

/// Position (from 1) of a text in another from a start; 0 when it is not there.
fn find_from(needle: &str, haystack: &str, from: usize) -> i32 {
    let Some((offset, _)) = haystack
        .char_indices()
        .nth(from)
        .or_else(|| (from == haystack.chars().count()).then_some((haystack.len(), ' ')))
    else {
        return 0;
    };
    haystack[offset..].find(needle).map_or(0, |at| haystack[..offset + at].chars().count() as i32 + 1)
}

fn position(mut c: Invocation<'_>) -> Parse<Typed> {
    c.text(0)?;
    c.text(1)?;
    if c.args.len() == 3 {
        c.integer(2, &L::Int)?;
    }
    let data_type = c.strict_type(L::Int);
    Ok(c.finish(
        data_type,
        num_kernel::<Int32Type>(|_, args, row| {
            let from = if args.len() == 3 { i32_at(args, 2, row).max(1) - 1 } else { 0 };
            Ok(Some(find_from(str_at(args, 0, row), str_at(args, 1, row), from as usize)))
        }),
    )
    .total())
}

fn locate(c: Invocation<'_>) -> Parse<Typed> {
    position(c)
}

fn instr(mut c: Invocation<'_>) -> Parse<Typed> {
    c.text(0)?;
    c.text(1)?;
    for i in 2..c.args.len() {
        c.integer(i, &L::Int)?;
    }
    let data_type = c.strict_type(L::Int);
    Ok(c.finish(
        data_type,
        num_kernel::<Int32Type>(|_, args, row| {
            let text: Vec<char> = str_at(args, 0, row).chars().collect();
            let needle: Vec<char> = str_at(args, 1, row).chars().collect();
            let start = if args.len() > 2 { i32_at(args, 2, row) } else { 1 };
            let nth = if args.len() > 3 { i32_at(args, 3, row) } else { 1 };
            if nth < 1 {
                return Err(Error::data("INSTR takes an occurrence of at least 1"));
            }
            if start == 0 || needle.len() > text.len() {
                return Ok(Some(0));
            }
            let matches = |at: usize| text[at..].starts_with(&needle);
            let last = text.len() - needle.len();
            let mut left = nth;
            if start > 0 {
                let mut at = start as usize - 1;
                while at <= last {
                    if matches(at) {
                        left -= 1;
                        if left == 0 {
                            return Ok(Some(at as i32 + 1));
                        }
                    }
                    at += 1;
                }
            } else {
                let mut at = text.len() as i64 + i64::from(start);
                while at >= 0 {
                    if at as usize <= last && matches(at as usize) {
                        left -= 1;
                        if left == 0 {
                            return Ok(Some(at as i32 + 1));
                        }
                    }
                    at -= 1;
                }
            }
            Ok(Some(0))
        }),
    ))
}

fn trimmed<'a>(text: &'a str, side: TrimSide, what: &[char]) -> &'a str {
    let is = |c: char| what.contains(&c);
    match side {
        TrimSide::Both => text.trim_matches(is),
        TrimSide::Leading => text.trim_start_matches(is),
        TrimSide::Trailing => text.trim_end_matches(is),
    }
}

/// `TRIM(BOTH 'x' FROM s)`: every leading or trailing character that is among `what`'s.
pub(crate) fn trim(side: TrimSide, what: Option<Typed>, arg: Typed, span: Span) -> Parse<Typed> {
    let settings = crate::bind::expr::PlanSettings::default();
    let mut args = vec![arg];
    args.extend(what);
    let mut c = Invocation { name: "TRIM", args, span: span.clone(), name_span: span, settings: &settings };
    for i in 0..c.args.len() {
        c.text(i)?;
    }
    finish_trim(c, side)
}

fn side_trim(mut c: Invocation<'_>, side: TrimSide) -> Parse<Typed> {
    for i in 0..c.args.len() {
        c.text(i)?;
    }
    finish_trim(c, side)
}

fn finish_trim(c: Invocation<'_>, side: TrimSide) -> Parse<Typed> {
    let data_type = c.strict_type(varchar_of(&c.args[0].data_type.logical));
    Ok(c.finish(
        data_type,
        text_kernel(move |_, args, row| {
            let what: Vec<char> = if args.len() == 2 { str_at(args, 1, row).chars().collect() } else { vec![' '] };
            Ok(Some(trimmed(str_at(args, 0, row), side, &what).to_owned()))
        }),
    )
    .detail(format!("{side:?}"))
    .total())
}

fn pad(mut c: Invocation<'_>, left: bool) -> Parse<Typed> {
    c.text(0)?;
    c.integer(1, &L::Int)?;
    c.text(2)?;
    let data_type = c.strict_type(L::STRING);
    Ok(c.finish(
        data_type,
        text_kernel(move |_, args, row| {
            let text = str_at(args, 0, row);
            let length = i32_at(args, 1, row);
            let fill: Vec<char> = str_at(args, 2, row).chars().collect();
            if length < 0 {
                return Ok(None);
            }
            let length = length as usize;
            if length > RESULT_BYTES_MAX {
                return Err(Error::data("LPAD and RPAD may build 64 MiB at most"));
            }
            let count = text.chars().count();
            if count >= length {
                return Ok(Some(text.chars().take(length).collect()));
            }
            if fill.is_empty() {
                return Ok(None);
            }
            let padding: String = fill.iter().cycle().take(length - count).collect();
            Ok(Some(if left { padding + text } else { text.to_owned() + &padding }))
        }),
    ))
}

fn repeat(mut c: Invocation<'_>) -> Parse<Typed> {
    c.text(0)?;
    c.integer(1, &L::Int)?;
    let data_type = c.strict_type(L::STRING);
    Ok(c.finish(
        data_type,
        text_kernel(|_, args, row| {
            let text = str_at(args, 0, row);
            let times = i32_at(args, 1, row).max(0) as usize;
            if text.len().saturating_mul(times) > RESULT_BYTES_MAX {
                return Err(Error::data("REPEAT may build 64 MiB at most"));
            }
            Ok(Some(text.repeat(times)))
        }),
    ))
}

fn replace(mut c: Invocation<'_>) -> Parse<Typed> {
    for i in 0..3 {
        c.text(i)?;
    }
    let data_type = c.strict_type(L::STRING);
    Ok(c.finish(
        data_type,
        text_kernel(|_, args, row| Ok(Some(str_at(args, 0, row).replace(str_at(args, 1, row), str_at(args, 2, row))))),
    )
    .total())
}

fn reverse(mut c: Invocation<'_>) -> Parse<Typed> {
    c.text(0)?;
    let data_type = DataType::nullable(L::STRING);
    Ok(c.finish(data_type, text_kernel(|_, args, row| Ok(Some(str_at(args, 0, row).chars().rev().collect())))).total())
}

fn split_index(mut c: Invocation<'_>) -> Parse<Typed> {
    c.text(0)?;
    // The separator may be a character or its code.
    let coded = c.args[1].data_type.logical.is_integer();
    if coded {
        c.integer(1, &L::Int)?;
    } else {
        c.text(1)?;
    }
    c.integer(2, &L::Int)?;
    Ok(c.finish(
        DataType::nullable(L::STRING),
        text_kernel(move |_, args, row| {
            let text = str_at(args, 0, row);
            let index = i32_at(args, 2, row);
            if index < 0 {
                return Ok(None);
            }
            let separator = if coded {
                match u32::try_from(i32_at(args, 1, row))
                    .ok()
                    .filter(|v| (1..=255).contains(v))
                    .and_then(char::from_u32)
                {
                    Some(c) => c.to_string(),
                    None => return Ok(None),
                }
            } else {
                str_at(args, 1, row).to_owned()
            };
            if text.is_empty() {
                return Ok(None);
            }
            if separator.is_empty() {
                // Commons-lang splits at white space then.
                return Ok(text.split_whitespace().nth(index as usize).map(str::to_owned));
            }
            Ok(text.split(separator.as_str()).nth(index as usize).map(str::to_owned))
        }),
    ))
}

fn ascii(mut c: Invocation<'_>) -> Parse<Typed> {
    c.text(0)?;
    let data_type = c.strict_type(L::Int);
    Ok(c.finish(
        data_type,
        num_kernel::<Int32Type>(|_, args, row| {
            Ok(Some(str_at(args, 0, row).bytes().next().map_or(0, |b| i32::from(b as i8))))
        }),
    )
    .total())
}

fn chr(mut c: Invocation<'_>) -> Parse<Typed> {
    c.integer(0, &L::BigInt)?;
    Ok(c.finish(
        DataType::nullable(L::STRING),
        text_kernel(|_, args, row| {
            let code = i64_at(args, 0, row);
            if code < 0 {
                return Ok(Some(String::new()));
            }
            Ok(Some(char::from((code & 0xFF) as u8).to_string()))
        }),
    )
    .total())
}

fn is_kind(c: Invocation<'_>, f: fn(&str) -> bool) -> Parse<Typed> {
    let logical = c.args[0].data_type.logical.clone();
    if logical == L::Null || !(logical.is_character() || logical.is_numeric()) {
        return Err(c.mismatch(0, "text"));
    }
    let numeric = logical.is_numeric();
    let name = c.name;
    Ok(c.finish(
        bool_type(false),
        Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
            let result: BooleanArray = (0..rows)
                .map(|row| {
                    if args[0].is_null(row) {
                        return Some(false);
                    }
                    if numeric {
                        return Some(name != "IS_ALPHA");
                    }
                    Some(f(str_at(args, 0, row)))
                })
                .collect();
            Ok(Arc::new(result) as ArrayRef)
        }),
    )
    .total())
}

fn is_decimal(text: &str) -> bool {
    crate::eval::cast::java_double(text).is_some()
}

fn from_base64(mut c: Invocation<'_>) -> Parse<Typed> {
    if !c.args[0].data_type.logical.is_binary() {
        c.text(0)?;
    }
    let data_type = c.strict_type(L::STRING);
    Ok(c.finish(
        data_type,
        text_kernel(|_, args, row| {
            let engine = base64::engine::GeneralPurpose::new(
                &base64::alphabet::STANDARD,
                base64::engine::GeneralPurposeConfig::new()
                    .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
            );
            let bytes = engine
                .decode(bytes_at(args, 0, row))
                .map_err(|_| Error::data("FROM_BASE64 was given text that is no Base64"))?;
            Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
        }),
    ))
}

fn to_base64(c: Invocation<'_>) -> Parse<Typed> {
    let logical = &c.args[0].data_type.logical;
    if !logical.is_character() && !logical.is_binary() {
        return Err(c.mismatch(0, "text"));
    }
    let data_type = c.strict_type(L::STRING);
    Ok(c.finish(
        data_type,
        text_kernel(|_, args, row| Ok(Some(base64::engine::general_purpose::STANDARD.encode(bytes_at(args, 0, row))))),
    )
    .total())
}

#[derive(Clone, Copy)]
enum Charset {
    Utf8,
    Ascii,
    Latin1,
    Utf16,
    Utf16Le,
    Utf16Be,
}

fn charset(name: &str) -> Result<Charset> {
    Ok(match name.to_ascii_uppercase().replace('_', "-").as_str() {
        "UTF-8" | "UTF8" => Charset::Utf8,
        "US-ASCII" | "ASCII" => Charset::Ascii,
        "ISO-8859-1" | "LATIN1" => Charset::Latin1,
        "UTF-16" => Charset::Utf16,
        "UTF-16LE" => Charset::Utf16Le,
        "UTF-16BE" => Charset::Utf16Be,
        _ => {
            return Err(Error::data(
                "ENCODE and DECODE know US-ASCII, ISO-8859-1, UTF-8, UTF-16, UTF-16LE and UTF-16BE",
            ));
        }
    })
}

fn encode(mut c: Invocation<'_>) -> Parse<Typed> {
    c.text(0)?;
    c.text(1)?;
    let data_type = DataType::nullable(L::Binary(1));
    Ok(c.finish(
        data_type,
        bytes_kernel(|_, args, row| {
            let text = str_at(args, 0, row);
            Ok(Some(match charset(str_at(args, 1, row))? {
                Charset::Utf8 => text.as_bytes().to_vec(),
                Charset::Ascii => text.chars().map(|c| if c.is_ascii() { c as u8 } else { b'?' }).collect(),
                Charset::Latin1 => text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect(),
                Charset::Utf16 => {
                    [0xFE, 0xFF].into_iter().chain(text.encode_utf16().flat_map(u16::to_be_bytes)).collect()
                }
                Charset::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
                Charset::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            }))
        }),
    ))
}

fn decode(mut c: Invocation<'_>) -> Parse<Typed> {
    if c.args[0].is_null_literal() {
        c.args[0] = convert(c.args[0].clone(), &L::BYTES);
    }
    if !c.args[0].data_type.logical.is_binary() {
        return Err(c.mismatch(0, "bytes"));
    }
    c.text(1)?;
    Ok(c.finish(
        DataType::nullable(L::STRING),
        text_kernel(|_, args, row| {
            let bytes = bytes_at(args, 0, row);
            let utf16 = |bytes: &[u8], little: bool| {
                let units: Vec<u16> = bytes
                    .chunks(2)
                    .map(|p| {
                        let pair = [p[0], p.get(1).copied().unwrap_or(0)];
                        if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) }
                    })
                    .collect();
                String::from_utf16_lossy(&units)
            };
            Ok(Some(match charset(str_at(args, 1, row))? {
                Charset::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
                Charset::Ascii => {
                    bytes.iter().map(|b| if b.is_ascii() { char::from(*b) } else { '\u{fffd}' }).collect()
                }
                Charset::Latin1 => bytes.iter().map(|b| char::from(*b)).collect(),
                Charset::Utf16 => match bytes {
                    [0xFF, 0xFE, rest @ ..] => utf16(rest, true),
                    [0xFE, 0xFF, rest @ ..] => utf16(rest, false),
                    rest => utf16(rest, false),
                },
                Charset::Utf16Le => utf16(bytes, true),
                Charset::Utf16Be => utf16(bytes, false),
            }))
        }),
    ))
}

// ---- patterns ------------------------------------------------------------------------------

/// A LIKE pattern as a regular expression: `_` is any character but a line break, `%` anything.
fn like_to_regex(pattern: &str, escape: Option<char>, similar: bool) -> Option<String> {
    let mut out = String::from("\\A(?:");
    let mut chars = pattern.chars();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            let next = chars.next()?;
            out.push_str(&regex::escape(&next.to_string()));
            continue;
        }
        match c {
            '_' if !in_class => out.push_str("[^\\n\\r\\u{85}\\u{2028}\\u{2029}]"),
            '%' if !in_class => out.push_str("(?s:.*)"),
            '[' if similar => {
                in_class = true;
                out.push('[');
            }
            ']' if similar => {
                in_class = false;
                out.push(']');
            }
            // SIMILAR TO hands these on to the regular expression, the dot too.
            '|' | '*' | '+' | '?' | '{' | '}' | '(' | ')' | '.' | '^' | '-' if similar => out.push(c),
            other => out.push_str(&regex::escape(&other.to_string())),
        }
    }
    out.push_str(")\\z");
    Some(out)
}

/// Whether a name matches a LIKE pattern (SHOW … LIKE).
pub(crate) fn like_matches(text: &str, pattern: &str) -> bool {
    like_to_regex(pattern, Some('\\'), false).and_then(|p| regex::Regex::new(&p).ok()).is_some_and(|r| r.is_match(text))
}

/// What a literal LIKE pattern is, when it is one of the simple forms.
#[derive(Clone)]
enum Simple {
    Equals(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
}

fn simple_like(pattern: &str) -> Option<Simple> {
    let body = pattern.trim_start_matches('%');
    let starts = body.len() < pattern.len();
    let inner = body.trim_end_matches('%');
    let ends = inner.len() < body.len();
    if inner.contains(['%', '_']) {
        return None;
    }
    let inner = inner.to_owned();
    Some(match (starts, ends) {
        (false, false) => Simple::Equals(inner),
        (false, true) => Simple::Prefix(inner),
        (true, false) => Simple::Suffix(inner),
        (true, true) => Simple::Contains(inner),
    })
}

/// LIKE, SIMILAR TO and RLIKE; `args` are the text, the pattern and perhaps the escape character.
pub(crate) fn like(name: &'static str, args: Vec<Typed>, span: Span) -> Parse<Typed> {
    let settings = crate::bind::expr::PlanSettings::default();
    let mut c = Invocation { name, args, span: span.clone(), name_span: span, settings: &settings };
    for i in 0..c.args.len() {
        c.text(i)?;
    }
    if name == "REGEXP" {
        return regexp(c);
    }
    if let Some(escape) = c.args.get(2)
        && let Some(text) = escape.literal_text()
        && text.chars().count() != 1
    {
        return Err(Diagnostic::at(escape.span.clone(), "ESCAPE takes one character"));
    }
    let similar = name == "SIMILAR TO";
    let data_type = c.strict_type(L::Boolean);
    // A literal pattern without escape needs no regular expression, and an empty one matches all:
    // that is what Flink's generated code does ('abc' LIKE '' is TRUE).
    if !similar
        && c.args.len() == 2
        && let Some(simple) = c.args[1].literal_text().and_then(simple_like)
    {
        let kernel = bool_kernel(move |_, args, row| {
            let text = str_at(args, 0, row);
            Ok(Some(match &simple {
                Simple::Equals(s) => s.is_empty() || text == s,
                Simple::Prefix(s) => text.starts_with(s.as_str()),
                Simple::Suffix(s) => text.ends_with(s.as_str()),
                Simple::Contains(s) => text.contains(s.as_str()),
            }))
        });
        return Ok(c.finish(data_type, kernel).total());
    }
    let kernel: crate::eval::Kernel = Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
        let cache = Cache::default();
        let mut builder = BooleanBuilder::with_capacity(rows);
        for row in 0..rows {
            if any_null_at(args, row) {
                builder.append_null();
                continue;
            }
            let escape = if args.len() == 3 {
                let mut chars = str_at(args, 2, row).chars();
                let (Some(escape), None) = (chars.next(), chars.next()) else {
                    return Err(Error::data("ESCAPE takes one character"));
                };
                // A backslash is refused, as Flink's own escaping fails on it.
                if escape == '\\' {
                    return Err(Error::data("'\\' can not be the escape character"));
                }
                Some(escape)
            } else {
                None
            };
            let pattern = str_at(args, 1, row);
            let compiled =
                |p: &str| like_to_regex(p, escape, similar).and_then(|p| regex::Regex::new(&p).ok().map(Regex::Linear));
            let matched = cache.with(pattern, compiled, |regex| match regex {
                Some(regex) => regex.is_match(str_at(args, 0, row)),
                None => Err(Error::data("a pattern of LIKE or SIMILAR TO is malformed")),
            })?;
            builder.append_value(matched);
        }
        Ok(Arc::new(builder.finish()) as ArrayRef)
    });
    Ok(c.finish(data_type, kernel))
}

/// Kernel with a pattern cache of its own for each batch.
fn with_cache<B: Send + Sync + 'static>(
    f: impl Fn(&Cache, &[Val], usize) -> Result<Option<B>> + Send + Sync + 'static,
    collect: fn(Vec<Option<B>>) -> ArrayRef,
) -> crate::eval::Kernel {
    Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
        let cache = Cache::default();
        let mut out = Vec::with_capacity(rows);
        for row in 0..rows {
            out.push(if any_null_at(args, row) { None } else { f(&cache, args, row)? });
        }
        Ok(collect(out))
    })
}

fn strings(values: Vec<Option<String>>) -> ArrayRef {
    Arc::new(StringArray::from(values))
}

fn regexp(mut c: Invocation<'_>) -> Parse<Typed> {
    c.text(0)?;
    c.text(1)?;
    let data_type = c.strict_type(L::Boolean);
    let kernel = with_cache(
        |cache, args, row| {
            let pattern = str_at(args, 1, row);
            if pattern.is_empty() {
                return Ok(Some(false));
            }
            cache.with(pattern, Regex::compile, |regex| match regex {
                Some(regex) => regex.is_match(str_at(args, 0, row)).map(Some),
                None => Ok(Some(false)),
            })
        },
        |v| Arc::new(BooleanArray::from(v)),
    );
    Ok(c.finish(data_type, kernel))
}

fn regexp_replace(mut c: Invocation<'_>) -> Parse<Typed> {
    for i in 0..3 {
        c.text(i)?;
    }
    let data_type = c.strict_type(L::STRING);
    let kernel = with_cache(
        |cache, args, row| {
            cache.with(str_at(args, 1, row), Regex::compile, |regex| match regex {
                Some(regex) => regex.replace_all(str_at(args, 0, row), str_at(args, 2, row)).map(Some),
                None => Ok(None),
            })
        },
        strings,
    );
    Ok(c.finish(data_type, kernel))
}

fn regexp_extract(mut c: Invocation<'_>) -> Parse<Typed> {
    c.text(0)?;
    c.text(1)?;
    if c.args.len() == 3 {
        c.integer(2, &L::Int)?;
    }
    let kernel = with_cache(
        |cache, args, row| {
            let group = if args.len() == 3 { i32_at(args, 2, row) } else { 0 };
            let Ok(group) = usize::try_from(group) else { return Ok(None) };
            cache.with(str_at(args, 1, row), Regex::compile, |regex| match regex {
                Some(regex) => Ok(regex.group(str_at(args, 0, row), group)?.flatten().map(str::to_owned)),
                None => Ok(None),
            })
        },
        strings,
    );
    Ok(c.finish(DataType::nullable(L::STRING), kernel))
}

// ---- URLs ----------------------------------------------------------------------------------

/// Parts of a URL as `java.net.URL` names them.
struct Url<'a> {
    protocol: &'a str,
    authority: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    reference: Option<&'a str>,
}

fn split_url(text: &str) -> Option<Url<'_>> {
    let (protocol, rest) = text.split_once(':')?;
    // java.net.URL refuses protocols it has no handler for.
    if !["http", "https", "ftp", "file", "jar", "mailto"].iter().any(|p| protocol.eq_ignore_ascii_case(p)) {
        return None;
    }
    let (rest, reference) = match rest.split_once('#') {
        Some((rest, reference)) => (rest, Some(reference)),
        None => (rest, None),
    };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        },
        None => ("", rest),
    };
    Some(Url { protocol, authority, path, query, reference })
}

fn url_part(text: &str, part: &str, key: Option<&str>) -> Option<String> {
    let url = split_url(text)?;
    let user = url.authority.rsplit_once('@').map(|(user, _)| user);
    let host_port = url.authority.rsplit_once('@').map_or(url.authority, |(_, host)| host);
    if let Some(key) = key {
        if part != "QUERY" {
            return None;
        }
        return url.query?.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned);
    }
    match part {
        "PROTOCOL" => Some(url.protocol.to_ascii_lowercase()),
        "HOST" => {
            let host = match host_port.strip_prefix('[') {
                Some(_) => host_port.split_inclusive(']').next().unwrap_or(host_port),
                None => host_port.split(':').next().unwrap_or(host_port),
            };
            Some(host.to_owned())
        }
        "PATH" => Some(url.path.to_owned()),
        "QUERY" => url.query.map(str::to_owned),
        "REF" => url.reference.map(str::to_owned),
        "FILE" => Some(match url.query {
            Some(query) => format!("{}?{query}", url.path),
            None => url.path.to_owned(),
        }),
        "AUTHORITY" => Some(url.authority.to_owned()),
        "USERINFO" => user.map(str::to_owned),
        _ => None,
    }
}

fn parse_url(mut c: Invocation<'_>) -> Parse<Typed> {
    for i in 0..c.args.len() {
        c.text(i)?;
    }
    Ok(c.finish(
        DataType::nullable(L::STRING),
        text_kernel(|_, args, row| {
            let key = if args.len() == 3 { Some(str_at(args, 2, row)) } else { None };
            Ok(url_part(str_at(args, 0, row), str_at(args, 1, row), key))
        }),
    )
    .total())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_patterns_match_as_flinks() {
        for (text, pattern, expected) in [
            ("abc", "a%", true),
            ("abc", "a_c", true),
            ("a\nc", "a_c", false),
            ("a\nc", "a%", true),
            ("abc", "b", false),
            ("a.c", "a.c", true),
            ("abc", "a.c", false),
        ] {
            assert_eq!(like_matches(text, pattern), expected, "{text:?} LIKE {pattern:?}");
        }
    }

    #[test]
    fn urls_are_taken_apart_as_java_does() {
        let url = "http://userinfo@flink.apache.org:80/path?query=1&b=2#Ref";
        for (part, expected) in [
            ("HOST", Some("flink.apache.org")),
            ("PATH", Some("/path")),
            ("QUERY", Some("query=1&b=2")),
            ("REF", Some("Ref")),
            ("PROTOCOL", Some("http")),
            ("FILE", Some("/path?query=1&b=2")),
            ("AUTHORITY", Some("userinfo@flink.apache.org:80")),
            ("USERINFO", Some("userinfo")),
            ("NOTHING", None),
        ] {
            assert_eq!(url_part(url, part, None).as_deref(), expected, "{part}");
        }
        assert_eq!(url_part(url, "QUERY", Some("b")).as_deref(), Some("2"));
        assert_eq!(url_part("invalid", "HOST", None), None);
    }
}
