//! Text, and bytes where the function takes both. Positions and lengths count characters, from 1.

use std::borrow::Cow;

use base64::Engine as _;
use starweir_model::{Error, LogicalType as L, Result, Value};

use super::super::cast;
use super::super::node::Env;
use super::super::types::VARBINARY_MAX;
use super::{
    Args, Arguments, Function, MANY, RESULT_MAX, Want, boolean_type, int_type, integer, optional_text, string, text,
    text_type, too_long, value,
};

const fn function(
    name: &'static str,
    arity: (usize, usize),
    wants: &'static [Want],
    returns: fn(&Arguments<'_>) -> L,
    eval: fn(&[Cow<'_, Value>], &Env) -> Result<Value>,
) -> Function {
    Function { name, arity, wants, returns, eval, strict: true }
}

use Want::{Integer, Text, TextOrBytes};

pub(super) const FUNCTIONS: &[Function] = &[
    Function { strict: false, ..function("CONCAT", (1, MANY), &[Text], text_type, concat) },
    Function { strict: false, ..function("CONCAT_WS", (2, MANY), &[Text], text_type, concat_ws) },
    function("CHAR_LENGTH", (1, 1), &[Text], int_type, char_length),
    function("CHARACTER_LENGTH", (1, 1), &[Text], int_type, char_length),
    function("UPPER", (1, 1), &[Text], text_type, |args, _| string(text(args, 0).to_uppercase())),
    function("LOWER", (1, 1), &[Text], text_type, |args, _| string(text(args, 0).to_lowercase())),
    function("LTRIM", (1, 2), &[Text], text_type, |args, _| {
        string(text(args, 0).trim_start_matches(|c| trims(args, c)))
    }),
    function("RTRIM", (1, 2), &[Text], text_type, |args, _| string(text(args, 0).trim_end_matches(|c| trims(args, c)))),
    function("BTRIM", (1, 2), &[Text], text_type, |args, _| string(text(args, 0).trim_matches(|c| trims(args, c)))),
    function("SUBSTR", (2, 3), &[Text, Integer], text_type, substring),
    function("SUBSTRING", (2, 3), &[Text, Integer], text_type, substring),
    function("OVERLAY", (3, 4), &[TextOrBytes, TextOrBytes, Integer], overlay_type, overlay),
    function("POSITION", (2, 3), &[TextOrBytes, TextOrBytes, Integer], int_type, position),
    function("LOCATE", (2, 3), &[TextOrBytes, TextOrBytes, Integer], int_type, position),
    function("INSTR", (2, 2), &[TextOrBytes], int_type, |args, env| {
        position(&[Cow::Borrowed(value(args, 1)), Cow::Borrowed(value(args, 0))], env)
    }),
    function("LPAD", (3, 3), &[Text, Integer, Text], text_type, |args, _| pad(args, true)),
    function("RPAD", (3, 3), &[Text, Integer, Text], text_type, |args, _| pad(args, false)),
    function("REPLACE", (3, 3), &[Text], text_type, replace),
    function("REPEAT", (2, 2), &[Text, Integer], text_type, repeat),
    function("LEFT", (2, 2), &[Text, Integer], text_type, |args, _| {
        string(text(args, 0).chars().take(count(integer(args, 1))).collect::<String>())
    }),
    function("RIGHT", (2, 2), &[Text, Integer], text_type, |args, _| {
        let all = text(args, 0);
        let skip = all.chars().count().saturating_sub(count(integer(args, 1)));
        string(all.chars().skip(skip).collect::<String>())
    }),
    function("STARTSWITH", (2, 2), &[TextOrBytes], boolean_type, |args, _| {
        Ok(Value::Boolean(bytes(args, 0).starts_with(bytes(args, 1))))
    }),
    function("ENDSWITH", (2, 2), &[TextOrBytes], boolean_type, |args, _| {
        Ok(Value::Boolean(bytes(args, 0).ends_with(bytes(args, 1))))
    }),
    function("TO_BASE64", (1, 1), &[TextOrBytes], text_type, |args, _| {
        string(base64::engine::general_purpose::STANDARD.encode(bytes(args, 0)))
    }),
    function("FROM_BASE64", (1, 1), &[Text], text_type, |args, _| {
        string(String::from_utf8_lossy(&decode(text(args, 0))?).into_owned())
    }),
    function(
        "FROM_BASE64_BINARY",
        (1, 1),
        &[Text],
        |_| L::VarBinary(VARBINARY_MAX),
        |args, _| Ok(Value::Binary(decode(text(args, 0))?)),
    ),
    function("UUID", (0, 0), &[], text_type, |_, _| string(uuid::Uuid::new_v4().to_string())),
];

fn bytes<'a>(args: Args<'a, '_>, index: usize) -> &'a [u8] {
    match value(args, index) {
        Value::String(s) => s.as_bytes(),
        Value::Binary(b) => b,
        _ => &[],
    }
}

fn decode(text: &str) -> Result<Vec<u8>> {
    // Java's decoder does without the padding.
    base64::engine::general_purpose::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        base64::engine::GeneralPurposeConfig::new()
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    )
    .decode(text)
    .map_err(|e| Error::data("a text is no Base64").with_source(e))
}

fn count(n: i64) -> usize {
    usize::try_from(n).unwrap_or(0)
}

/// Everything as text behind each other. NULL is written out, as Java joins it.
pub(in super::super) fn concat(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    let mut all = String::new();
    for arg in args {
        match &**arg {
            Value::String(s) => all.push_str(s),
            other => all.push_str(&cast::text(other)),
        }
        if all.len() > RESULT_MAX {
            return Err(too_long());
        }
    }
    string(all)
}

/// NULL for a separator that is NULL; other NULLs are left out.
fn concat_ws(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    let Some(separator) = optional_text(args, 0) else { return Ok(Value::Null) };
    let parts: Vec<&str> = (1..args.len()).filter_map(|i| optional_text(args, i)).collect();
    if parts.iter().map(|p| p.len() + separator.len()).sum::<usize>() > RESULT_MAX {
        return Err(too_long());
    }
    string(parts.join(separator))
}

fn char_length(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    Ok(Value::Int(i32::try_from(text(args, 0).chars().count()).unwrap_or(i32::MAX)))
}

/// Whether the trimming functions take this character off: one of the second argument's, or a blank.
fn trims(args: Args<'_, '_>, c: char) -> bool {
    optional_text(args, 1).map_or(c == ' ', |what| what.contains(c))
}

/// TRIM without a set: Java's `trim`, which takes off control characters too.
pub(in super::super) fn trim_whitespace(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    string(text(args, 0).trim_matches(|c| c <= ' '))
}

/// `TRIM(BOTH what FROM text)`.
pub(in super::super) fn trim_both(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    string(text(args, 0).trim_matches(|c| trims(args, c)))
}

/// `TRIM(LEADING what FROM text)`.
pub(in super::super) fn trim_leading(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    string(text(args, 0).trim_start_matches(|c| trims(args, c)))
}

/// `TRIM(TRAILING what FROM text)`.
pub(in super::super) fn trim_trailing(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    string(text(args, 0).trim_end_matches(|c| trims(args, c)))
}

/// From a position, which may count from the end; 0 is the beginning.
fn substring(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    let all = text(args, 0);
    let begin = integer(args, 1);
    let length = if args.len() > 2 { integer(args, 2) } else { i64::from(i32::MAX) };
    if length < 0 {
        return Err(Error::data(format!(
            "length of 'substring(str, beginIndex, length)' must be >= 0 and Int type, but length = {length}"
        )));
    }
    let start = if begin > 0 {
        count(begin - 1)
    } else if begin < 0 {
        let from_end = count(begin.saturating_neg());
        match all.chars().count().checked_sub(from_end) {
            Some(start) => start,
            None => return string(""),
        }
    } else {
        0
    };
    string(all.chars().skip(start).take(count(length)).collect::<String>())
}

fn overlay_type(arguments: &Arguments<'_>) -> L {
    match (arguments.logical(0), arguments.logical(1)) {
        (L::Binary(a) | L::VarBinary(a), L::Binary(b) | L::VarBinary(b)) => {
            L::VarBinary(a.saturating_add(*b).min(VARBINARY_MAX))
        }
        (L::Binary(a) | L::VarBinary(a), _) => L::VarBinary(*a),
        _ => L::STRING,
    }
}

/// Writes over a part; a start outside of the text changes nothing.
fn overlay(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    fn place<T: Clone>(all: &[T], new: &[T], start: i64, length: Option<i64>) -> Vec<T> {
        let Some(before) = usize::try_from(start).ok().and_then(|s| s.checked_sub(1)).filter(|b| *b < all.len()) else {
            return all.to_vec();
        };
        let length = length.map_or(new.len(), count);
        let after = before.saturating_add(length).min(all.len());
        [&all[..before], new, &all[after..]].concat()
    }
    let (start, length) = (integer(args, 2), (args.len() > 3).then(|| integer(args, 3)));
    match (value(args, 0), value(args, 1)) {
        (Value::String(all), Value::String(new)) => {
            let (all, new): (Vec<char>, Vec<char>) = (all.chars().collect(), new.chars().collect());
            string(place(&all, &new, start, length).into_iter().collect::<String>())
        }
        _ => Ok(Value::Binary(place(bytes(args, 0), bytes(args, 1), start, length))),
    }
}

/// Where the first argument stands in the second, at the third or later: 0 when nowhere, 1 when it is empty.
fn position(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    let from = if args.len() > 2 { integer(args, 2) } else { 1 };
    let (needle, all) = (bytes(args, 0), bytes(args, 1));
    if needle.is_empty() {
        return Ok(Value::Int(1));
    }
    let Some(skip) = usize::try_from(from).ok().and_then(|f| f.checked_sub(1)) else { return Ok(Value::Int(0)) };
    let found = match (value(args, 0), value(args, 1)) {
        (Value::String(needle), Value::String(all)) => all
            .char_indices()
            .nth(skip)
            .and_then(|(start, _)| all[start..].find(needle.as_str()).map(|at| all[..start + at].chars().count())),
        _ => all.get(skip..).and_then(|rest| rest.windows(needle.len()).position(|w| w == needle)).map(|at| at + skip),
    };
    Ok(Value::Int(found.map_or(0, |at| i32::try_from(at + 1).unwrap_or(i32::MAX))))
}

fn pad(args: Args<'_, '_>, left: bool) -> Result<Value> {
    let (all, length, with) = (text(args, 0), integer(args, 1), text(args, 2));
    if length < 0 || with.is_empty() {
        return Ok(Value::Null);
    }
    let length = count(length);
    if length > RESULT_MAX {
        return Err(too_long());
    }
    let given = all.chars().count();
    if given >= length {
        return string(all.chars().take(length).collect::<String>());
    }
    let padding: String = with.chars().cycle().take(length - given).collect();
    string(if left { padding + all } else { all.to_owned() + &padding })
}

fn replace(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    let (all, old, new) = (text(args, 0), text(args, 1), text(args, 2));
    let times = if old.is_empty() { all.chars().count() + 1 } else { all.matches(old).count() };
    if times.saturating_mul(new.len()) > RESULT_MAX {
        return Err(too_long());
    }
    string(all.replace(old, new))
}

fn repeat(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    let (all, times) = (text(args, 0), count(integer(args, 1)));
    if all.len().saturating_mul(times) > RESULT_MAX {
        return Err(too_long());
    }
    string(all.repeat(times))
}
