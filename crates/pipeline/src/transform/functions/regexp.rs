//! LIKE, SIMILAR TO and the functions over regular expressions (Java's).

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use starweir_model::{DataType, Error, LogicalType as L, Result, Value};
use starweir_sql::java::Regex;

use super::super::errors::private;
use super::super::node::{Env, as_i64};
use super::{Args, Function, Want, int_type, string, text, text_type, value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "REGEXP_REPLACE",
        arity: (3, 3),
        wants: &[Want::Text],
        returns: text_type,
        eval: replace,
        strict: true,
    },
    Function {
        name: "REGEXP_EXTRACT",
        arity: (2, 3),
        wants: &[Want::Text, Want::Text, Want::Integer],
        returns: text_type,
        eval: extract,
        strict: true,
    },
    Function {
        name: "REGEXP_EXTRACT_ALL",
        arity: (2, 3),
        wants: &[Want::Text, Want::Text, Want::Integer],
        returns: |_| L::Array(Box::new(DataType::string())),
        eval: extract_all,
        strict: true,
    },
    Function {
        name: "REGEXP_COUNT",
        arity: (2, 2),
        wants: &[Want::Text],
        returns: int_type,
        eval: count,
        strict: true,
    },
    Function {
        name: "REGEXP_INSTR",
        arity: (2, 2),
        wants: &[Want::Text],
        returns: int_type,
        eval: instr,
        strict: true,
    },
    Function {
        name: "REGEXP_SUBSTR",
        arity: (2, 2),
        wants: &[Want::Text],
        returns: text_type,
        eval: substr,
        strict: true,
    },
];

/// Patterns kept compiled; they are literals almost always.
const PATTERNS_MAX: usize = 256;

thread_local! {
    static PATTERNS: RefCell<HashMap<String, Option<Rc<Regex>>>> = RefCell::new(HashMap::new());
}

/// The compiled pattern; None when it is no regular expression.
fn compiled(pattern: &str) -> Option<Rc<Regex>> {
    PATTERNS.with(|patterns| {
        let mut patterns = patterns.borrow_mut();
        if let Some(known) = patterns.get(pattern) {
            return known.clone();
        }
        if patterns.len() >= PATTERNS_MAX {
            patterns.clear();
        }
        let regex = Regex::compile(pattern).map(Rc::new);
        patterns.insert(pattern.to_owned(), regex.clone());
        regex
    })
}

type Groups = Vec<Option<std::ops::Range<usize>>>;

/// Calls `f` with the groups of each match, as Java's `find` goes through a text. `f` says whether to go on.
fn each_match(regex: &Regex, text: &str, mut f: impl FnMut(&Groups) -> bool) -> Result<()> {
    let mut from = 0;
    while let Some(groups) = regex.captures_from(text, from)? {
        let Some(whole) = groups.first().cloned().flatten() else { break };
        if !f(&groups) {
            break;
        }
        from = if whole.is_empty() {
            // An empty match is not found twice.
            match text[whole.end..].chars().next() {
                Some(c) => whole.end + c.len_utf8(),
                None => break,
            }
        } else {
            whole.end
        };
    }
    Ok(())
}

fn replace(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    let Some(regex) = compiled(text(args, 1)) else { return Ok(Value::Null) };
    let (all, new) = (text(args, 0), text(args, 2));
    let (mut out, mut last) = (String::new(), 0);
    each_match(&regex, all, |groups| {
        if let Some(Some(found)) = groups.first() {
            out.push_str(&all[last..found.start]);
            out.push_str(new);
            last = found.end;
        }
        out.len() <= super::RESULT_MAX
    })?;
    if out.len() > super::RESULT_MAX {
        return Err(super::too_long());
    }
    out.push_str(&all[last..]);
    string(out)
}

/// The wanted group's number, when the pattern has it.
fn group(args: Args<'_, '_>, regex: &Regex, default: i64) -> Option<usize> {
    let index = if args.len() > 2 { as_i64(value(args, 2))? } else { default };
    usize::try_from(index).ok().filter(|index| *index <= regex.group_count())
}

fn extract(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    let Some(regex) = compiled(text(args, 1)) else { return Ok(Value::Null) };
    let Some(index) = group(args, &regex, 0) else { return Ok(Value::Null) };
    let all = text(args, 0);
    let found = regex.captures_from(all, 0)?.and_then(|groups| groups.get(index).cloned().flatten());
    Ok(found.map_or(Value::Null, |range| Value::string(&all[range])))
}

fn extract_all(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    let Some(regex) = compiled(text(args, 1)) else { return Ok(Value::Null) };
    let Some(index) = group(args, &regex, 1) else { return Ok(Value::Null) };
    let all = text(args, 0);
    let mut found = Vec::new();
    each_match(&regex, all, |groups| {
        found.push(groups.get(index).cloned().flatten().map_or(Value::Null, |range| Value::string(&all[range])));
        true
    })?;
    Ok(Value::Array(found))
}

fn count(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    let Some(regex) = compiled(text(args, 1)) else { return Ok(Value::Null) };
    let mut count = 0;
    each_match(&regex, text(args, 0), |_| {
        count += 1;
        true
    })?;
    Ok(Value::Int(count))
}

fn instr(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    let Some(regex) = compiled(text(args, 1)) else { return Ok(Value::Null) };
    let all = text(args, 0);
    let found = regex.captures_from(all, 0)?.and_then(|groups| groups.first().cloned().flatten());
    Ok(Value::Int(found.map_or(0, |range| i32::try_from(all[..range.start].chars().count() + 1).unwrap_or(i32::MAX))))
}

fn substr(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    let Some(regex) = compiled(text(args, 1)) else { return Ok(Value::Null) };
    let all = text(args, 0);
    let found = regex.captures_from(all, 0)?.and_then(|groups| groups.first().cloned().flatten());
    Ok(found.map_or(Value::Null, |range| Value::string(&all[range])))
}

/// LIKE without ESCAPE: a regular expression, found anywhere in the text.
pub(in super::super) fn like(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    let pattern = text(args, 1);
    let regex = compiled(pattern)
        .ok_or_else(|| Error::data(format!("the pattern '{}' of LIKE is no regular expression", private(pattern))))?;
    Ok(Value::Boolean(regex.is_match(text(args, 0))?))
}

/// LIKE with ESCAPE, as SQL has it.
pub(in super::super) fn like_escaped(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    matches_all(&sql_pattern(text(args, 1), text(args, 2), false)?, text(args, 0))
}

/// SIMILAR TO, with or without ESCAPE.
pub(in super::super) fn similar(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    let escape = if args.len() > 2 { text(args, 2) } else { "" };
    matches_all(&sql_pattern(text(args, 1), escape, true)?, text(args, 0))
}

fn matches_all(pattern: &str, text: &str) -> Result<Value> {
    let regex = compiled(pattern).ok_or_else(|| Error::data("a pattern of LIKE or SIMILAR TO can not be read"))?;
    Ok(Value::Boolean(regex.is_match(text)?))
}

/// A pattern of LIKE or SIMILAR TO as a regular expression for the whole text.
fn sql_pattern(pattern: &str, escape: &str, similar: bool) -> Result<String> {
    let mut escapes = escape.chars();
    let escape = escapes.next();
    if escapes.next().is_some() {
        return Err(Error::data("Invalid escape character: it must be one character"));
    }
    let literal = |out: &mut String, c: char| {
        if !c.is_alphanumeric() && c.is_ascii() && c != ' ' {
            out.push('\\');
        }
        out.push(c);
    };
    let mut out = String::from("\\A(?:");
    let mut in_class = false;
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            match chars.next() {
                Some(next) if similar || matches!(next, '%' | '_') || Some(next) == escape => literal(&mut out, next),
                _ => return Err(Error::data(format!("Invalid escape sequence in the pattern '{pattern}'"))),
            }
            continue;
        }
        match c {
            '_' if !in_class => out.push_str("(?s:.)"),
            '%' if !in_class => out.push_str("(?s:.*)"),
            '[' if similar => {
                in_class = true;
                out.push('[');
            }
            ']' if similar => {
                in_class = false;
                out.push(']');
            }
            '|' | '*' | '+' | '?' | '{' | '}' | '(' | ')' | '-' | '^' | ',' | ':' if similar => out.push(c),
            other => literal(&mut out, other),
        }
    }
    out.push_str(")\\z");
    Ok(out)
}
