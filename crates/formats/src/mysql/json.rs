//! MySQL's binary JSON: to text as the server prints it, and changes of parts of a document.

use std::borrow::Cow;

use super::bytes::{Broken, Bytes, Read};
use super::decimal;
use super::temporal;

/// How text separates: as the server does (`", "`, `": "`) or without blanks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonStyle {
    pub blanks: bool,
}

/// Documents nest at most 100 levels; more is damage.
const DEPTH_MAX: u32 = 110;

/// A document or part of one.
#[derive(Debug, Clone, PartialEq)]
enum Node<'a> {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Double(f64),
    Text(&'a [u8]),
    /// A MySQL value: its type and bytes.
    Opaque(u8, &'a [u8]),
    Array(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, [u8]>, Node<'a>)>),
}

/// Appends the text of a document. An empty value is the JSON null of a row written in non-strict mode.
pub(crate) fn to_text(document: &[u8], style: JsonStyle, out: &mut String) -> Read<()> {
    if document.is_empty() {
        out.push_str("null");
        return Ok(());
    }
    parse(document)?.write(style, out);
    Ok(())
}

/// Appends the text of a document after the changes of a partial update.
pub(crate) fn apply_diffs(document: &[u8], diffs: &[u8], style: JsonStyle, out: &mut String) -> Read<()> {
    let mut root = if document.is_empty() { Node::Null } else { parse(document)? };
    let mut bytes = Bytes::new(diffs);
    while bytes.left() > 0 {
        let operation = bytes.u8()?;
        let path = bytes.lenenc_bytes()?;
        let value = match operation {
            0 | 1 => Some(parse(bytes.lenenc_bytes()?)?),
            2 => None,
            _ => return Err(Broken),
        };
        change(&mut root, &steps(path)?, operation, value)?;
    }
    root.write(style, out);
    Ok(())
}

fn parse(document: &[u8]) -> Read<Node<'_>> {
    let (kind, data) = document.split_first().ok_or(Broken)?;
    value(*kind, data, 0)
}

fn value(kind: u8, data: &[u8], depth: u32) -> Read<Node<'_>> {
    if depth > DEPTH_MAX {
        return Err(Broken);
    }
    let mut bytes = Bytes::new(data);
    Ok(match kind {
        0 => container(data, true, false, depth)?,
        1 => container(data, true, true, depth)?,
        2 => container(data, false, false, depth)?,
        3 => container(data, false, true, depth)?,
        4 => match bytes.u8()? {
            0 => Node::Null,
            1 => Node::Bool(true),
            2 => Node::Bool(false),
            _ => return Err(Broken),
        },
        5 => Node::Int(bytes.int(2)?),
        6 => Node::UInt(bytes.uint(2)?),
        7 => Node::Int(bytes.int(4)?),
        8 => Node::UInt(bytes.uint(4)?),
        9 => Node::Int(bytes.int(8)?),
        10 => Node::UInt(bytes.uint(8)?),
        11 => Node::Double(f64::from_bits(bytes.uint(8)?)),
        12 => {
            let length = variable_length(&mut bytes)?;
            Node::Text(bytes.take(length)?)
        }
        15 => {
            let of = bytes.u8()?;
            let length = variable_length(&mut bytes)?;
            Node::Opaque(of, bytes.take(length)?)
        }
        _ => return Err(Broken),
    })
}

fn variable_length(bytes: &mut Bytes<'_>) -> Read<usize> {
    let mut length = 0usize;
    for i in 0..5 {
        let byte = bytes.u8()?;
        length |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(Broken)
}

fn container(data: &[u8], object: bool, large: bool, depth: u32) -> Read<Node<'_>> {
    let size = if large { 4 } else { 2 };
    let mut bytes = Bytes::new(data);
    let count = bytes.uint(size)? as usize;
    let total = bytes.uint(size)? as usize;
    let data = data.get(..total).ok_or(Broken)?;
    let entry = if object { 2 * size + 3 } else { size + 1 };
    if count.checked_mul(entry).ok_or(Broken)? > total {
        return Err(Broken);
    }
    let mut keys = Vec::with_capacity(if object { count } else { 0 });
    if object {
        for _ in 0..count {
            let offset = bytes.uint(size)? as usize;
            let length = bytes.uint(2)? as usize;
            keys.push(Cow::Borrowed(data.get(offset..offset.checked_add(length).ok_or(Broken)?).ok_or(Broken)?));
        }
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        let kind = bytes.u8()?;
        let inline = matches!(kind, 4..=6) || (large && matches!(kind, 7 | 8));
        let slot = bytes.take(size)?;
        values.push(if inline {
            value(kind, slot, depth + 1)?
        } else {
            let offset = Bytes::new(slot).uint(size)? as usize;
            value(kind, data.get(offset..).ok_or(Broken)?, depth + 1)?
        });
    }
    Ok(if object { Node::Object(keys.into_iter().zip(values).collect()) } else { Node::Array(values) })
}

impl Node<'_> {
    fn write(&self, style: JsonStyle, out: &mut String) {
        use std::fmt::Write as _;
        let (comma, colon) = if style.blanks { (", ", ": ") } else { (",", ":") };
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(number) => {
                let _ = write!(out, "{number}");
            }
            Self::UInt(number) => {
                let _ = write!(out, "{number}");
            }
            Self::Double(number) => write_double(*number, out),
            Self::Text(text) => write_text(&String::from_utf8_lossy(text), out),
            Self::Opaque(of, data) => write_opaque(*of, data, out),
            Self::Array(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push_str(comma);
                    }
                    item.write(style, out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (i, (key, item)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push_str(comma);
                    }
                    write_text(&String::from_utf8_lossy(key), out);
                    out.push_str(colon);
                    item.write(style, out);
                }
                out.push('}');
            }
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    use std::fmt::Write as _;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A double as the server's `my_gcvt` prints it inside of JSON: plain from 1e-15 to below 1e15, else with an exponent
/// without plus; a whole number keeps `.0`.
fn write_double(number: f64, out: &mut String) {
    use std::fmt::Write as _;
    if !number.is_finite() {
        out.push_str("null");
        return;
    }
    if number == 0.0 {
        out.push_str(if number.is_sign_negative() { "-0.0" } else { "0.0" });
        return;
    }
    let scientific = format!("{number:e}");
    let (_, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-15..15).contains(&exponent) {
        let start = out.len();
        let _ = write!(out, "{number}");
        if !out[start..].contains('.') {
            out.push_str(".0");
        }
    } else {
        out.push_str(&scientific);
    }
}

fn write_opaque(of: u8, data: &[u8], out: &mut String) {
    let start = out.len();
    let written = match of {
        // NEWDECIMAL: precision, scale, packed digits.
        246 => match data {
            [precision, scale, packed @ ..] => {
                decimal::read_text(&mut Bytes::new(packed), usize::from(*precision), usize::from(*scale), out)
            }
            _ => Err(Broken),
        },
        // DATE, DATETIME, TIMESTAMP, TIME.
        7 | 10 | 11 | 12 => Bytes::new(data).int(8).map(|packed| {
            out.push('"');
            match of {
                11 => temporal::write_packed_time(packed, out),
                10 => temporal::write_packed_date(packed, out),
                _ => temporal::write_packed_datetime(packed, out),
            }
            out.push('"');
        }),
        _ => Err(Broken),
    };
    if written.is_err() {
        use base64::Engine as _;
        out.truncate(start);
        out.push_str(&format!("\"base64:type{of}:"));
        base64::engine::general_purpose::STANDARD.encode_string(data, out);
        out.push('"');
    }
}

#[derive(Debug, PartialEq)]
enum Step {
    Member(Vec<u8>),
    Cell(usize),
}

/// Steps of a path such as `$.a[0]."b c"`.
fn steps(path: &[u8]) -> Read<Vec<Step>> {
    let mut rest = path.strip_prefix(b"$").unwrap_or(path);
    let mut out = Vec::new();
    while let Some((&first, tail)) = rest.split_first() {
        match first {
            b'.' => {
                if tail.first() == Some(&b'"') {
                    let mut key = Vec::new();
                    let mut at = 1;
                    loop {
                        match tail.get(at) {
                            Some(b'"') => break,
                            Some(b'\\') => {
                                let escaped = *tail.get(at + 1).ok_or(Broken)?;
                                match escaped {
                                    b'n' => key.push(b'\n'),
                                    b't' => key.push(b'\t'),
                                    b'r' => key.push(b'\r'),
                                    b'b' => key.push(8),
                                    b'f' => key.push(12),
                                    b'u' => {
                                        let digits = tail.get(at + 2..at + 6).ok_or(Broken)?;
                                        let digits = std::str::from_utf8(digits).map_err(|_| Broken)?;
                                        let code = u32::from_str_radix(digits, 16).map_err(|_| Broken)?;
                                        let c = char::from_u32(code).ok_or(Broken)?;
                                        key.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                                        at += 4;
                                    }
                                    other => key.push(other),
                                }
                                at += 2;
                                continue;
                            }
                            Some(byte) => key.push(*byte),
                            None => return Err(Broken),
                        }
                        at += 1;
                    }
                    out.push(Step::Member(key));
                    rest = &tail[at + 1..];
                } else {
                    let end = tail.iter().position(|b| matches!(b, b'.' | b'[')).unwrap_or(tail.len());
                    out.push(Step::Member(tail[..end].to_vec()));
                    rest = &tail[end..];
                }
            }
            b'[' => {
                let end = tail.iter().position(|b| *b == b']').ok_or(Broken)?;
                let digits = std::str::from_utf8(&tail[..end]).map_err(|_| Broken)?;
                out.push(Step::Cell(digits.trim().parse().map_err(|_| Broken)?));
                rest = &tail[end + 1..];
            }
            _ => return Err(Broken),
        }
    }
    Ok(out)
}

fn change<'a>(node: &mut Node<'a>, steps: &[Step], operation: u8, new: Option<Node<'a>>) -> Read<()> {
    let Some((last, way)) = steps.split_last() else {
        if let (0, Some(new)) = (operation, new) {
            *node = new;
            return Ok(());
        }
        return Err(Broken);
    };
    let mut at = node;
    for step in way {
        at = match (step, at) {
            (Step::Member(key), Node::Object(members)) => {
                members.iter_mut().find(|(k, _)| **k == *key.as_slice()).map(|(_, n)| n).ok_or(Broken)?
            }
            (Step::Cell(index), Node::Array(items)) => items.get_mut(*index).ok_or(Broken)?,
            // `$[0]` of what is no array is the thing itself.
            (Step::Cell(0), other) => other,
            _ => return Err(Broken),
        };
    }
    match (last, at, operation, new) {
        (Step::Member(key), Node::Object(members), 0, Some(new)) => {
            members.iter_mut().find(|(k, _)| **k == *key.as_slice()).ok_or(Broken)?.1 = new;
        }
        (Step::Member(key), Node::Object(members), 1, Some(new)) => {
            // Members are ordered by length, then by bytes.
            let place = members.partition_point(|(k, _)| (k.len(), &**k) < (key.len(), key.as_slice()));
            members.insert(place, (Cow::Owned(key.clone()), new));
        }
        (Step::Member(key), Node::Object(members), 2, None) => {
            let place = members.iter().position(|(k, _)| **k == *key.as_slice()).ok_or(Broken)?;
            members.remove(place);
        }
        (Step::Cell(index), Node::Array(items), 0, Some(new)) => *items.get_mut(*index).ok_or(Broken)? = new,
        (Step::Cell(index), Node::Array(items), 1, Some(new)) => items.insert((*index).min(items.len()), new),
        (Step::Cell(index), Node::Array(items), 2, None) => {
            if *index >= items.len() {
                return Err(Broken);
            }
            items.remove(*index);
        }
        (Step::Cell(0), other, 0, Some(new)) => *other = new,
        _ => return Err(Broken),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_printed_as_the_server_does() {
        for (number, text) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e14, "100000000000000.0"),
            (1e15, "1e15"),
            (1.5e300, "1.5e300"),
            (1e-15, "0.000000000000001"),
            (1e-16, "1e-16"),
            (123456.789, "123456.789"),
        ] {
            let mut out = String::new();
            write_double(number, &mut out);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn paths_are_read() {
        let member = |k: &str| Step::Member(k.as_bytes().to_vec());
        assert_eq!(steps(b"$.a[3].\"b c\\\"\"").unwrap(), [member("a"), Step::Cell(3), member("b c\"")]);
        assert!(steps(b"$.\"x").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(document in proptest::collection::vec(0u8..20, 0..60), diffs in proptest::collection::vec(0u8..=255, 0..40)) {
            let _ = to_text(&document, JsonStyle { blanks: true }, &mut String::new());
            let _ = apply_diffs(&document, &diffs, JsonStyle { blanks: false }, &mut String::new());
        }
    }
}
