//! JSON text into variants: compact, object keys in alphabetical order.

use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use starweir_model::{Error, LogicalType as L, Result, Value};
use starweir_sql::java;

use super::super::errors::private;
use super::super::node::Env;
use super::{Args, Function, Want, text, value};
use crate::print;

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "PARSE_JSON",
        arity: (1, 2),
        wants: &[Want::Text, Want::Boolean],
        returns: |_| L::Variant,
        eval: parse_json,
        strict: true,
    },
    Function {
        name: "TRY_PARSE_JSON",
        arity: (1, 2),
        wants: &[Want::Text, Want::Boolean],
        returns: |_| L::Variant,
        eval: |args, _| Ok(parsed(args).ok().flatten().map_or(Value::Null, Value::Variant)),
        strict: true,
    },
];

/// Deeper JSON is refused rather than followed.
const DEPTH_MAX: usize = 200;
/// Digits a DECIMAL holds; longer numbers are doubles.
const DIGITS_MAX: usize = 38;

fn parse_json(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    parsed(args).map(|json| json.map_or(Value::Null, Value::Variant)).map_err(|cause| {
        Error::data(format!("Failed to parse json string: {}", private(text(args, 0)))).with_source(cause)
    })
}

fn parsed(args: Args<'_, '_>) -> Result<Option<String>, String> {
    let json = text(args, 0);
    if json.is_empty() {
        return Ok(None);
    }
    let duplicates = matches!(value(args, 1), Value::Boolean(true));
    let raw: &RawValue = serde_json::from_str(json).map_err(|e| e.to_string())?;
    let mut out = String::with_capacity(json.len());
    write(&mut out, raw.get(), duplicates, 0)?;
    Ok(Some(out))
}

fn write(out: &mut String, json: &str, duplicates: bool, depth: usize) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err("the JSON is nested too deeply".to_owned());
    }
    let json = json.trim_matches([' ', '\t', '\n', '\r']);
    match json.as_bytes().first() {
        Some(b'{') => {
            let mut fields =
                serde_json::Deserializer::from_str(json).deserialize_map(Fields).map_err(|e| e.to_string())?;
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            if !duplicates && let Some(pair) = fields.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                return Err(format!("VARIANT_DUPLICATE_KEY: {}", private(&pair[0].0)));
            }
            out.push('{');
            let mut first = true;
            for (index, (name, field)) in fields.iter().enumerate() {
                // Of equal keys the last one counts; the sort has kept their order.
                if fields.get(index + 1).is_some_and(|(next, _)| next == name) {
                    continue;
                }
                if !std::mem::take(&mut first) {
                    out.push(',');
                }
                write_text(out, name)?;
                out.push(':');
                write(out, field.get(), duplicates, depth + 1)?;
            }
            out.push('}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|e| e.to_string())?;
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(out, item.get(), duplicates, depth + 1)?;
            }
            out.push(']');
        }
        Some(b'"') => write_text(out, &serde_json::from_str::<String>(json).map_err(|e| e.to_string())?)?,
        Some(b'-' | b'0'..=b'9') => write_number(out, json),
        _ => out.push_str(json),
    }
    Ok(())
}

fn write_text(out: &mut String, text: &str) -> Result<(), String> {
    out.push_str(&serde_json::to_string(text).map_err(|e| e.to_string())?);
    Ok(())
}

/// Whole numbers and decimals as they are written, others as Java prints doubles.
fn write_number(out: &mut String, number: &str) {
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    if let Ok(whole) = number.parse::<i64>() {
        out.push_str(&whole.to_string());
    } else if digits <= DIGITS_MAX && !number.contains(['e', 'E']) {
        out.push_str(number);
    } else {
        out.push_str(&java::java_double(number).map_or_else(|| number.to_owned(), print::java_double));
    }
}

/// An object's fields in their order, equal names included.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(entry) = map.next_entry()? {
            fields.push(entry);
        }
        Ok(fields)
    }
}
