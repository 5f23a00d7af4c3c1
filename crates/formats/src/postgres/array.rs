//! The server's text of arrays and of hstore, in pieces.

use std::borrow::Cow;

/// Why a text is not a list of elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotFlat {
    /// More than one dimension.
    Dimensions,
    Broken,
}

/// The elements of a one-dimensional array: `{a,NULL,"b,c"}`, also with bounds in front (`[0:1]={a,b}`).
pub(super) fn elements(text: &str) -> Result<Vec<Option<Cow<'_, str>>>, NotFlat> {
    let text = match text.strip_prefix('[') {
        Some(bounds) => {
            let (bounds, rest) = bounds.split_once('=').ok_or(NotFlat::Broken)?;
            if bounds.contains("][") {
                return Err(NotFlat::Dimensions);
            }
            rest
        }
        None => text,
    };
    let inner = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).ok_or(NotFlat::Broken)?;
    let mut found = Vec::new();
    if inner.is_empty() {
        return Ok(found);
    }
    let mut rest = inner;
    loop {
        if rest.starts_with('{') {
            return Err(NotFlat::Dimensions);
        }
        if rest.starts_with('"') {
            let (value, after) = quoted(rest).ok_or(NotFlat::Broken)?;
            found.push(Some(value));
            rest = after;
        } else {
            let end = memchr::memchr(b',', rest.as_bytes()).unwrap_or(rest.len());
            let value = &rest[..end];
            found.push((!value.eq_ignore_ascii_case("NULL")).then_some(Cow::Borrowed(value)));
            rest = &rest[end..];
        }
        if rest.is_empty() {
            return Ok(found);
        }
        rest = rest.strip_prefix(',').ok_or(NotFlat::Broken)?;
    }
}

/// A key and its value; None for NULL.
pub(super) type Pair<'a> = (Cow<'a, str>, Option<Cow<'a, str>>);

/// Keys and values of `"a"=>"1", "b"=>NULL`.
pub(super) fn pairs(text: &str) -> Option<Vec<Pair<'_>>> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (key, after) = quoted(rest)?;
        let after = after.strip_prefix("=>")?;
        let (value, after) = match after.strip_prefix("NULL") {
            Some(after) => (None, after),
            None => quoted(after).map(|(v, after)| (Some(v), after))?,
        };
        found.push((key, value));
        rest = match after.strip_prefix(", ") {
            Some(after) => after,
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(found)
}

/// A quoted text at the start, in which a backslash stands before what counts as it is.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let inner = text.strip_prefix('"')?;
    let at = memchr::memchr2(b'"', b'\\', inner.as_bytes())?;
    if inner.as_bytes()[at] == b'"' {
        return Some((Cow::Borrowed(&inner[..at]), &inner[at + 1..]));
    }
    let mut value = String::from(&inner[..at]);
    let mut chars = inner[at..].char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Some((Cow::Owned(value), &inner[at + i + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn arrays_are_taken_apart() {
        for (text, expected) in [
            ("{}", Ok(vec![])),
            ("{1,NULL,3}", Ok(vec![Some("1"), None, Some("3")])),
            (r#"{"a,\"b\\",""}"#, Ok(vec![Some("a,\"b\\"), Some("")])),
            (r#"{"NULL"}"#, Ok(vec![Some("NULL")])),
            ("[0:1]={a,b}", Ok(vec![Some("a"), Some("b")])),
            ("{{1,2},{3,4}}", Err(NotFlat::Dimensions)),
            ("[1:1][2:3]={{1,2}}", Err(NotFlat::Dimensions)),
            (r#"{"a"#, Err(NotFlat::Broken)),
        ] {
            let found = elements(text);
            match (&found, &expected) {
                (Ok(found), Ok(expected)) => {
                    assert_eq!(found.iter().map(Option::as_deref).collect::<Vec<_>>(), *expected, "{text}");
                }
                (Err(found), Err(expected)) => assert_eq!(found, expected, "{text}"),
                _ => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn hstore_is_taken_apart() {
        let found = pairs(r#""a"=>"1", "b\"=>"=>NULL"#).unwrap();
        assert_eq!(found, [("a".into(), Some("1".into())), ("b\"=>".into(), None)]);
        assert_eq!(pairs(""), Some(vec![]));
        assert_eq!(pairs("a=>1"), None);
    }

    proptest! {
        #[test]
        fn written_arrays_read_back(values: Vec<Option<String>>) {
            let quote = |v: &Option<String>| match v {
                Some(v) => format!("\"{}\"", v.replace('\\', "\\\\").replace('"', "\\\"")),
                None => "NULL".to_owned(),
            };
            let text = format!("{{{}}}", values.iter().map(quote).collect::<Vec<_>>().join(","));
            let found = elements(&text).unwrap();
            prop_assert_eq!(found.into_iter().map(|v| v.map(Cow::into_owned)).collect::<Vec<_>>(), values);
        }

        #[test]
        fn no_text_panics(text in "[\\[\\]{}\",\\\\=>a0: N]{0,30}") {
            let _ = (elements(&text), pairs(&text));
        }
    }
}
