//! Text functions. Positions count characters and begin with 1.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::Digest as _;

use super::{Function, bigint, binary, boolean, int, lenient, strict, string};
use crate::error::{SqlError, SqlResult};
use crate::types::SqlType;
use crate::value::Value;

/// Longest text a function makes, in bytes.
const TEXT_MAX: usize = 1 << 20;

fn t(v: &Value) -> String {
    v.as_text().unwrap_or_default()
}

fn bytes(v: &Value) -> Vec<u8> {
    match v {
        Value::Bytes(b) => b.clone(),
        other => t(other).into_bytes(),
    }
}

fn ok(s: impl Into<String>) -> SqlResult<Value> {
    Ok(Value::Text(s.into()))
}

fn substr(v: &[Value], _: &[SqlType], _: &SqlType) -> SqlResult<Value> {
    let chars: Vec<char> = t(&v[0]).chars().collect();
    let n = chars.len() as i64;
    let Some(from) = v[1].as_i64() else { return Ok(Value::Null) };
    let length = match v.get(2) {
        Some(l) => l.as_i64().unwrap_or(0),
        None => n,
    };
    let start = if from > 0 {
        from - 1
    } else if from < 0 {
        n + from
    } else {
        return ok("");
    };
    if start < 0 || start >= n || length <= 0 {
        return ok("");
    }
    let end = start.saturating_add(length).min(n);
    ok(chars[start as usize..end as usize].iter().collect::<String>())
}

fn pad(v: &[Value], left: bool) -> SqlResult<Value> {
    let chars: Vec<char> = t(&v[0]).chars().collect();
    let Some(n) = v[1].as_i64() else { return Ok(Value::Null) };
    let fill: Vec<char> = v.get(2).map_or(vec![' '], |f| t(f).chars().collect());
    if n < 0 || n as usize > TEXT_MAX {
        return Ok(Value::Null);
    }
    let n = n as usize;
    if n <= chars.len() {
        return ok(chars[..n].iter().collect::<String>());
    }
    if fill.is_empty() {
        return ok(chars.iter().collect::<String>());
    }
    let padding: String = fill.iter().cycle().take(n - chars.len()).collect();
    let text: String = chars.iter().collect();
    ok(if left { padding + &text } else { text + &padding })
}

fn locate(needle: &str, text: &str, from: i64) -> i64 {
    if from < 1 {
        return 0;
    }
    let chars: Vec<char> = text.chars().collect();
    let wanted: Vec<char> = needle.chars().collect();
    let start = from as usize - 1;
    if start > chars.len() {
        return 0;
    }
    if wanted.is_empty() {
        return from;
    }
    chars[start..].windows(wanted.len()).position(|w| w == wanted).map_or(0, |i| (i + start + 1) as i64)
}

fn trim(v: &[Value], left: bool, right: bool) -> SqlResult<Value> {
    let text = t(&v[0]);
    let set: Vec<char> = v.get(1).map_or(vec![' '], |s| t(s).chars().collect());
    let mut s = text.as_str();
    if left {
        s = s.trim_start_matches(&set[..]);
    }
    if right {
        s = s.trim_end_matches(&set[..]);
    }
    ok(s)
}

fn regex(pattern: &str) -> Option<regex::Regex> {
    regex::RegexBuilder::new(pattern).size_limit(1 << 20).build().ok()
}

fn split_part(v: &[Value], _: &[SqlType], _: &SqlType) -> SqlResult<Value> {
    let (text, sep) = (t(&v[0]), t(&v[1]));
    let n = v[2].as_i64().unwrap_or(0);
    let parts: Vec<&str> = if sep.is_empty() {
        text.char_indices().map(|(i, c)| &text[i..i + c.len_utf8()]).collect()
    } else {
        text.split(sep.as_str()).collect()
    };
    let at = if n > 0 { n - 1 } else { parts.len() as i64 + n };
    Ok(usize::try_from(at).ok().and_then(|i| parts.get(i)).filter(|_| n != 0).map_or(Value::Null, |p| Value::text(*p)))
}

fn substring_index(v: &[Value], _: &[SqlType], _: &SqlType) -> SqlResult<Value> {
    let (text, sep) = (t(&v[0]), t(&v[1]));
    let n = v[2].as_i64().unwrap_or(0);
    if sep.is_empty() || n == 0 {
        return ok("");
    }
    let parts: Vec<&str> = text.split(sep.as_str()).collect();
    let k = (n.unsigned_abs() as usize).min(parts.len());
    ok(if n > 0 { parts[..k].join(&sep) } else { parts[parts.len() - k..].join(&sep) })
}

fn money(v: &[Value], _: &[SqlType], _: &SqlType) -> SqlResult<Value> {
    let Some(x) = v[0].as_f64() else { return Ok(Value::Null) };
    let text = format!("{x:.2}");
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |r| ("-", r));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "00"));
    let mut grouped = String::new();
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(c);
    }
    ok(format!("{sign}{grouped}.{fraction}"))
}

fn array_of_text(_: &super::Args<'_>) -> SqlResult<SqlType> {
    Ok(SqlType::Array(Box::new(SqlType::STRING)))
}

fn hex_of(v: &[Value], types: &[SqlType], _: &SqlType) -> SqlResult<Value> {
    if types[0].is_integer() {
        return ok(format!("{:X}", v[0].as_i64().unwrap_or(0)));
    }
    ok(hex::encode_upper(bytes(&v[0])))
}

fn ngram_type(name: &str, a: &super::Args<'_>) -> SqlResult<SqlType> {
    let text = |i: usize| a.types.get(i).is_some_and(|t| t.is_text() || *t == SqlType::Null);
    if !text(0) || !text(1) {
        return Err(SqlError::analysis(format!(
            "{name} function 's first parameter and second parameter must be string type"
        )));
    }
    if !matches!(a.constants, [_, Some(_), Some(_)]) {
        return Err(SqlError::analysis(format!(
            "{name} function 's second parameter and third parameter must be constant"
        )));
    }
    Ok(SqlType::Double)
}

/// Positions and lengths are INT; a larger constant is refused.
fn text_by_int(a: &super::Args<'_>) -> SqlResult<SqlType> {
    for v in a.constants.iter().skip(1).flatten() {
        if let Value::Int(n) = v
            && i32::try_from(*n).is_err()
        {
            return Err(SqlError::plain(format!("Cast argument {n} to int type failed.")));
        }
    }
    Ok(SqlType::STRING)
}

/// The share of grams of n characters that two texts have in common.
fn ngram(name: &str, v: &[Value], fold: bool) -> SqlResult<Value> {
    let n = v[2].as_i64().unwrap_or(0);
    if n <= 0 {
        return Err(SqlError::plain(format!("{name} function's third parameter must be a positive number")));
    }
    let text = |v: &Value| if fold { t(v).to_lowercase() } else { t(v) };
    let grams = |s: String| -> Vec<Vec<u8>> { s.into_bytes().windows(n as usize).map(<[u8]>::to_vec).collect() };
    let (haystack, needle) = (grams(text(&v[0])), grams(text(&v[1])));
    if haystack.is_empty() || needle.is_empty() {
        return Ok(Value::Double(0.0));
    }
    let mut counts: std::collections::HashMap<&[u8], i64> = std::collections::HashMap::new();
    for g in &needle {
        *counts.entry(g).or_default() += 1;
    }
    let mut same = 0;
    for g in &haystack {
        if let Some(c) = counts.get_mut(g.as_slice())
            && *c > 0
        {
            *c -= 1;
            same += 1;
        }
    }
    Ok(Value::Double(f64::from(same as f32 / needle.len() as f32)))
}

pub const FUNCTIONS: &[Function] = &[
    strict("concat", string, |v, _, _| ok(v.iter().map(t).collect::<String>())),
    lenient("concat_ws", string, |v, _, _| {
        if v[0].is_null() {
            return Ok(Value::Null);
        }
        let parts: Vec<String> = v[1..].iter().filter(|x| !x.is_null()).map(t).collect();
        ok(parts.join(&t(&v[0])))
    }),
    strict("upper", string, |v, _, _| ok(t(&v[0]).to_uppercase())),
    strict("lower", string, |v, _, _| ok(t(&v[0]).to_lowercase())),
    strict("initcap", string, |v, _, _| {
        let mut first = true;
        ok(t(&v[0])
            .chars()
            .map(|c| {
                let out =
                    if first { c.to_uppercase().next().unwrap_or(c) } else { c.to_lowercase().next().unwrap_or(c) };
                first = !c.is_alphanumeric();
                out
            })
            .collect::<String>())
    }),
    strict("length", int, |v, _, _| Ok(Value::int(bytes(&v[0]).len() as i64))),
    strict("char_length", int, |v, _, _| Ok(Value::int(t(&v[0]).chars().count() as i64))),
    strict("bit_length", int, |v, _, _| Ok(Value::int(bytes(&v[0]).len() as i64 * 8))),
    strict("substr", text_by_int, substr),
    strict("left", text_by_int, |v, a, r| substr(&[v[0].clone(), Value::int(1), v[1].clone()], a, r)),
    strict("strleft", text_by_int, |v, a, r| substr(&[v[0].clone(), Value::int(1), v[1].clone()], a, r)),
    strict("right", text_by_int, |v, _, _| {
        let chars: Vec<char> = t(&v[0]).chars().collect();
        let n = (v[1].as_i64().unwrap_or(0).max(0) as usize).min(chars.len());
        ok(chars[chars.len() - n..].iter().collect::<String>())
    }),
    strict("strright", text_by_int, |v, _, _| {
        let chars: Vec<char> = t(&v[0]).chars().collect();
        let n = (v[1].as_i64().unwrap_or(0).max(0) as usize).min(chars.len());
        ok(chars[chars.len() - n..].iter().collect::<String>())
    }),
    strict("lpad", string, |v, _, _| pad(v, true)),
    strict("rpad", string, |v, _, _| pad(v, false)),
    strict("trim", string, |v, _, _| trim(v, true, true)),
    strict("ltrim", string, |v, _, _| trim(v, true, false)),
    strict("rtrim", string, |v, _, _| trim(v, false, true)),
    strict("btrim", string, |v, _, _| trim(v, true, true)),
    strict("replace", string, |v, _, _| {
        let from = t(&v[1]);
        ok(if from.is_empty() { t(&v[0]) } else { t(&v[0]).replace(&from, &t(&v[2])) })
    }),
    strict("reverse", reverse_type, |v, _, _| match &v[0] {
        Value::List(items) => Ok(Value::List(items.iter().rev().cloned().collect())),
        other => ok(t(other).chars().rev().collect::<String>()),
    }),
    strict("repeat", string, |v, _, _| {
        let (s, n) = (t(&v[0]), v[1].as_i64().unwrap_or(0).max(0) as usize);
        if s.len().saturating_mul(n) > TEXT_MAX { Ok(Value::Null) } else { ok(s.repeat(n)) }
    }),
    strict("space", string, |v, _, _| ok(" ".repeat((v[0].as_i64().unwrap_or(0).max(0) as usize).min(TEXT_MAX)))),
    strict("locate", int, |v, _, _| {
        Ok(Value::int(locate(&t(&v[0]), &t(&v[1]), v.get(2).and_then(Value::as_i64).unwrap_or(1))))
    }),
    strict("instr", int, |v, _, _| Ok(Value::int(locate(&t(&v[1]), &t(&v[0]), 1)))),
    strict("strpos", int, |v, _, _| Ok(Value::int(locate(&t(&v[1]), &t(&v[0]), 1)))),
    strict("strcmp", int, |v, _, _| Ok(Value::int(t(&v[0]).cmp(&t(&v[1])) as i64))),
    strict("ascii", int, |v, _, _| Ok(Value::int(i64::from(bytes(&v[0]).first().copied().unwrap_or(0))))),
    strict("ord", int, |v, _, _| {
        Ok(Value::int(t(&v[0]).chars().next().map_or(0, |c| {
            let mut b = [0; 4];
            c.encode_utf8(&mut b).bytes().fold(0i64, |n, b| n << 8 | i64::from(b))
        })))
    }),
    strict("char", string, |v, _, _| {
        ok(v[0]
            .as_i64()
            .and_then(|n| u32::try_from(n).ok())
            .and_then(char::from_u32)
            .map(String::from)
            .unwrap_or_default())
    }),
    strict("starts_with", boolean, |v, _, _| Ok(Value::Bool(t(&v[0]).starts_with(&t(&v[1]))))),
    strict("ends_with", boolean, |v, _, _| Ok(Value::Bool(t(&v[0]).ends_with(&t(&v[1]))))),
    lenient("null_or_empty", boolean, |v, _, _| {
        Ok(Value::Bool(match &v[0] {
            Value::Null => true,
            other => t(other).is_empty(),
        }))
    }),
    strict("append_trailing_char_if_absent", string, |v, _, _| {
        let (s, c) = (t(&v[0]), t(&v[1]));
        if c.chars().count() != 1 {
            return Ok(Value::Null);
        }
        ok(if s.ends_with(&c) { s } else { s + &c })
    }),
    lenient("field", int, |v, _, _| {
        if v[0].is_null() {
            return Ok(Value::int(0));
        }
        Ok(Value::int(
            v[1..]
                .iter()
                .position(|x| !x.is_null() && x.compare(&v[0]) == std::cmp::Ordering::Equal)
                .map_or(0, |i| i as i64 + 1),
        ))
    }),
    strict("find_in_set", int, |v, _, _| {
        let x = t(&v[0]);
        Ok(Value::int(t(&v[1]).split(',').position(|p| p == x).map_or(0, |i| i as i64 + 1)))
    }),
    strict("elt", string, |v, _, _| {
        Ok(v[0]
            .as_i64()
            .and_then(|i| usize::try_from(i).ok())
            .filter(|i| *i >= 1)
            .and_then(|i| v.get(i))
            .map_or(Value::Null, |x| Value::Text(t(x))))
    }),
    strict("split_part", string, split_part),
    strict("substring_index", string, substring_index),
    strict("split", array_of_text, |v, _, _| {
        let (s, sep) = (t(&v[0]), t(&v[1]));
        Ok(Value::List(if sep.is_empty() {
            s.chars().map(|c| Value::Text(c.to_string())).collect()
        } else {
            s.split(sep.as_str()).map(Value::text).collect()
        }))
    }),
    strict(
        "str_to_map",
        |_| Ok(SqlType::Map(Box::new(SqlType::STRING), Box::new(SqlType::STRING))),
        |v, _, _| {
            let (a, b) = (v.get(1).map_or(",".into(), t), v.get(2).map_or(":".into(), t));
            Ok(Value::Map(
                t(&v[0])
                    .split(a.as_str())
                    .map(|p| match p.split_once(b.as_str()) {
                        Some((k, x)) => (Value::text(k), Value::text(x)),
                        None => (Value::text(p), Value::Null),
                    })
                    .collect(),
            ))
        },
    ),
    strict("translate", string, |v, _, _| {
        let (from, to): (Vec<char>, Vec<char>) = (t(&v[1]).chars().collect(), t(&v[2]).chars().collect());
        ok(t(&v[0])
            .chars()
            .filter_map(|c| match from.iter().position(|f| *f == c) {
                Some(i) => to.get(i).copied(),
                None => Some(c),
            })
            .collect::<String>())
    }),
    strict("regexp", boolean, |v, _, _| {
        Ok(regex(&t(&v[1])).map_or(Value::Null, |r| Value::Bool(r.is_match(&t(&v[0])))))
    }),
    strict("regexp_extract", string, |v, _, _| {
        let n = v.get(2).and_then(Value::as_i64).unwrap_or(1).max(0) as usize;
        let Some(r) = regex(&t(&v[1])) else { return Ok(Value::Null) };
        ok(r.captures(&t(&v[0])).and_then(|c| c.get(n).map(|m| m.as_str().to_string())).unwrap_or_default())
    }),
    strict("regexp_extract_all", array_of_text, |v, _, _| {
        let n = v.get(2).and_then(Value::as_i64).unwrap_or(1).max(0) as usize;
        let Some(r) = regex(&t(&v[1])) else { return Ok(Value::Null) };
        Ok(Value::List(r.captures_iter(&t(&v[0])).filter_map(|c| c.get(n).map(|m| Value::text(m.as_str()))).collect()))
    }),
    strict("regexp_replace", string, |v, _, _| {
        let Some(r) = regex(&t(&v[1])) else { return Ok(Value::Null) };
        // `\1` is a group; `$` is no more than itself.
        let mut replacement = String::new();
        let text = t(&v[2]);
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match (c, chars.peek()) {
                ('\\', Some(d)) if d.is_ascii_digit() => {
                    replacement.push_str(&format!("${{{d}}}"));
                    chars.next();
                }
                ('$', _) => replacement.push_str("$$"),
                (c, _) => replacement.push(c),
            }
        }
        ok(r.replace_all(&t(&v[0]), replacement.as_str()).into_owned())
    }),
    strict("regexp_count", bigint, |v, _, _| {
        Ok(regex(&t(&v[1])).map_or(Value::Null, |r| Value::int(r.find_iter(&t(&v[0])).count() as i64)))
    }),
    strict("ngram_search", |a| ngram_type("ngram_search", a), |v, _, _| ngram("ngram_search", v, false)),
    strict(
        "ngram_search_case_insensitive",
        |a| ngram_type("ngram_search_case_insensitive", a),
        |v, _, _| ngram("ngram_search_case_insensitive", v, true),
    ),
    strict("money_format", string, money),
    strict("hex", string, hex_of),
    strict("unhex", string, |v, _, _| {
        Ok(hex::decode(t(&v[0])).map_or(Value::text(""), |b| Value::Text(String::from_utf8_lossy(&b).into_owned())))
    }),
    strict("unhex_binary", binary, |v, _, _| Ok(hex::decode(t(&v[0])).map_or(Value::Null, Value::Bytes))),
    strict("to_binary", binary, |v, _, _| {
        Ok(match v.get(1).map_or("hex".to_string(), |f| t(f).to_lowercase()).as_str() {
            "hex" => hex::decode(t(&v[0])).map_or(Value::Null, Value::Bytes),
            "encode64" if t(&v[0]).is_empty() => Value::Null,
            "encode64" => BASE64.decode(t(&v[0])).map_or(Value::Null, Value::Bytes),
            _ => Value::Bytes(bytes(&v[0])),
        })
    }),
    strict("from_binary", string, |v, _, _| {
        Ok(Value::Text(match v.get(1).map_or("hex".to_string(), |f| t(f).to_lowercase()).as_str() {
            "hex" => hex::encode_upper(bytes(&v[0])),
            "encode64" => BASE64.encode(bytes(&v[0])),
            _ => String::from_utf8_lossy(&bytes(&v[0])).into_owned(),
        }))
    }),
    strict("to_base64", string, |v, _, _| ok(BASE64.encode(bytes(&v[0])))),
    strict("base64_encode", string, |v, _, _| ok(BASE64.encode(bytes(&v[0])))),
    strict("from_base64", string, |v, _, _| {
        Ok(BASE64.decode(t(&v[0])).map_or(Value::Null, |b| Value::Text(String::from_utf8_lossy(&b).into_owned())))
    }),
    strict("base64_decode_string", string, |v, _, _| {
        Ok(BASE64.decode(t(&v[0])).map_or(Value::Null, |b| Value::Text(String::from_utf8_lossy(&b).into_owned())))
    }),
    strict("base64_decode_binary", binary, |v, _, _| Ok(BASE64.decode(t(&v[0])).map_or(Value::Null, Value::Bytes))),
    strict("md5", string, |v, _, _| ok(hex::encode(md5::Md5::digest(bytes(&v[0]))))),
    strict("md5sum", string, |v, _, _| {
        ok(hex::encode(md5::Md5::digest(v.iter().flat_map(bytes).collect::<Vec<u8>>())))
    }),
    strict("sha1", string, |v, _, _| ok(hex::encode(sha1::Sha1::digest(bytes(&v[0]))))),
    strict("sha2", string, |v, _, _| {
        let b = bytes(&v[0]);
        Ok(match v[1].as_i64() {
            Some(0 | 256) => Value::Text(hex::encode(sha2::Sha256::digest(&b))),
            Some(224) => Value::Text(hex::encode(sha2::Sha224::digest(&b))),
            Some(384) => Value::Text(hex::encode(sha2::Sha384::digest(&b))),
            Some(512) => Value::Text(hex::encode(sha2::Sha512::digest(&b))),
            _ => Value::Null,
        })
    }),
    strict("url_encode", string, |v, _, _| {
        let mut out = String::new();
        for b in bytes(&v[0]) {
            if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~') {
                out.push(b as char)
            } else {
                out.push_str(&format!("%{b:02X}"))
            }
        }
        ok(out)
    }),
    strict("url_decode", string, |v, _, _| ok(crate::http::server::percent_decode(&t(&v[0])))),
    strict("soundex", string, |v, _, _| {
        let text = t(&v[0]);
        let code = |c: char| match c.to_ascii_lowercase() {
            'b' | 'f' | 'p' | 'v' => '1',
            'c' | 'g' | 'j' | 'k' | 'q' | 's' | 'x' | 'z' => '2',
            'd' | 't' => '3',
            'l' => '4',
            'm' | 'n' => '5',
            'r' => '6',
            _ => '0',
        };
        let mut out = String::new();
        let mut last = '0';
        for c in text.chars().filter(char::is_ascii_alphabetic) {
            let k = code(c);
            if out.is_empty() {
                out.push(c.to_ascii_uppercase())
            } else if k != '0' && k != last {
                out.push(k)
            }
            if !matches!(c.to_ascii_lowercase(), 'h' | 'w') {
                last = k
            }
        }
        while !out.is_empty() && out.len() < 4 {
            out.push('0')
        }
        ok(out)
    }),
];

fn reverse_type(a: &super::Args<'_>) -> SqlResult<SqlType> {
    Ok(match a.types.first() {
        Some(SqlType::Array(e)) => SqlType::Array(e.clone()),
        _ => SqlType::STRING,
    })
}
