//! Script text to tokens with byte positions: Flink's quoting, comments and `/*+ hint */` marks.

use crate::diagnostic::{Diagnostic, Span};

/// A lexical element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tok {
    /// An unquoted name or keyword, as written.
    Word(String),
    /// A name between backticks, unescaped.
    Quoted(String),
    /// A number without sign.
    Number(String),
    /// A character literal, unescaped.
    Str(String),
    /// `U&'…'`, still with its escapes.
    UnicodeStr(String),
    /// `X'…'`: the hex digits.
    Hex(String),
    /// Punctuation; hints are opened by `/*+` and closed by `*/`.
    Sym(&'static str),
    /// A character no rule knows; refused where it is used, except in the raw text of SET.
    Unknown(char),
    Eof,
}

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub tok: Tok,
    pub span: Span,
}

/// Longest first.
const SYMBOLS: &[&str] = &[
    "<=>", "<>", "!=", "<=", ">=", "||", "=>", "::", "(", ")", ",", ".", ";", "=", "<", ">", "+", "-", "*", "/", "%",
    "[", "]", "{", "}", "?", ":", "|", "^", "&", "~",
];

fn is_name_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_name_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// The tokens of a script, the last is `Eof`. Unclosed quotes and comments are reported at their
/// opening mark.
pub fn tokenize(text: &str) -> Result<Vec<Token>, Diagnostic> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0usize;
    let mut in_hint = false;
    while at < text.len() {
        let rest = &text[at..];
        let c = rest.chars().next().unwrap_or('\0');
        let start = at;
        if c.is_whitespace() || c == '\u{feff}' {
            at += c.len_utf8();
            continue;
        }
        if rest.starts_with("--") || rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        if rest.starts_with("/*+") {
            tokens.push(Token { tok: Tok::Sym("/*+"), span: start..start + 3 });
            in_hint = true;
            at += 3;
            continue;
        }
        if in_hint && rest.starts_with("*/") {
            tokens.push(Token { tok: Tok::Sym("*/"), span: start..start + 2 });
            in_hint = false;
            at += 2;
            continue;
        }
        if let Some(comment) = rest.strip_prefix("/*") {
            match comment.find("*/") {
                Some(end) => at += 2 + end + 2,
                None => return Err(Diagnostic::at(start..start + 2, "a comment is opened and never closed")),
            }
            continue;
        }
        // Strings, with their prefixes.
        let prefix = string_prefix(rest);
        if let Some((prefix_len, kind)) = prefix {
            let (value, end) = quoted(text, start + prefix_len, '\'')
                .ok_or_else(|| Diagnostic::at(start..start + prefix_len + 1, "a quote is opened and never closed"))?;
            let tok = match kind {
                StringKind::Plain => Tok::Str(value),
                StringKind::Unicode => Tok::UnicodeStr(value),
                StringKind::Hex => Tok::Hex(value),
            };
            tokens.push(Token { tok, span: start..end });
            at = end;
            continue;
        }
        if c == '`' || c == '"' {
            // Double quotes are not quotes in Flink; they only may stand in the raw text of SET.
            if c == '"' {
                tokens.push(Token { tok: Tok::Unknown('"'), span: start..start + 1 });
                at += 1;
                continue;
            }
            let (value, end) = quoted(text, start, c)
                .ok_or_else(|| Diagnostic::at(start..start + 1, "a backtick is opened and never closed"))?;
            if value.is_empty() {
                return Err(Diagnostic::at(start..end, "a name must not be empty"));
            }
            tokens.push(Token { tok: Tok::Quoted(value), span: start..end });
            at = end;
            continue;
        }
        if c.is_ascii_digit()
            || (c == '.' && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) && !follows_name(&tokens, at))
        {
            let end = number_end(bytes, at);
            // "1abc" is a mistake in SQL, but a raw SET value may hold it ("10s").
            tokens.push(Token { tok: Tok::Number(text[start..end].to_owned()), span: start..end });
            at = end;
            continue;
        }
        if is_name_start(c) {
            let len: usize = rest.chars().take_while(|c| is_name_part(*c)).map(char::len_utf8).sum();
            tokens.push(Token { tok: Tok::Word(rest[..len].to_owned()), span: start..start + len });
            at += len;
            continue;
        }
        if let Some(symbol) = SYMBOLS.iter().find(|s| rest.starts_with(**s)) {
            tokens.push(Token { tok: Tok::Sym(symbol), span: start..start + symbol.len() });
            at += symbol.len();
            continue;
        }
        tokens.push(Token { tok: Tok::Unknown(c), span: start..start + c.len_utf8() });
        at += c.len_utf8();
    }
    tokens.push(Token { tok: Tok::Eof, span: text.len()..text.len() });
    Ok(tokens)
}

/// `t.1` never is a number after a name.
fn follows_name(tokens: &[Token], at: usize) -> bool {
    tokens
        .last()
        .is_some_and(|t| t.span.end == at && matches!(t.tok, Tok::Word(_) | Tok::Quoted(_) | Tok::Sym("]" | ")")))
}

#[derive(Clone, Copy)]
enum StringKind {
    Plain,
    Unicode,
    Hex,
}

/// Length of what stands before the opening quote, and the kind of string.
fn string_prefix(rest: &str) -> Option<(usize, StringKind)> {
    let bytes = rest.as_bytes();
    match bytes {
        [b'\'', ..] => Some((0, StringKind::Plain)),
        [b'x' | b'X', b'\'', ..] => Some((1, StringKind::Hex)),
        [b'n' | b'N', b'\'', ..] => Some((1, StringKind::Plain)),
        [b'u' | b'U', b'&', b'\'', ..] => Some((2, StringKind::Unicode)),
        [b'_', ..] => {
            // A character set before a literal: _UTF8'…', _utf16'…', _ISO-8859-1'…'.
            let end = rest.find('\'')?;
            let name = rest[1..end].to_ascii_uppercase();
            matches!(name.as_str(), "UTF8" | "UTF-8" | "UTF16" | "UTF-16LE" | "LATIN1" | "ISO-8859-1")
                .then_some((end, StringKind::Plain))
        }
        _ => None,
    }
}

/// The text between quotes from `start`, doubled quotes made one, and where it ends.
fn quoted(text: &str, start: usize, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = text[start + 1..].char_indices().peekable();
    while let Some((offset, c)) = chars.next() {
        if c == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
                value.push(quote);
                continue;
            }
            return Some((value, start + 1 + offset + 1));
        }
        value.push(c);
    }
    None
}

fn number_end(bytes: &[u8], start: usize) -> usize {
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let mut at = digits(start);
    if bytes.get(at) == Some(&b'.') && bytes.get(at + 1) != Some(&b'.') {
        at = digits(at + 1);
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let end = digits(at + 1 + sign);
        if end > at + 1 + sign {
            at = end;
        }
    }
    at
}

/// Resolves `\XXXX` and `\+XXXXXX` of a `U&'…'` literal.
pub fn decode_unicode(raw: &str, escape: char) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = raw.chars().peekable();
    // Surrogate pairs may be written as two escapes.
    let mut units: Vec<u16> = Vec::new();
    let flush = |units: &mut Vec<u16>, out: &mut String| {
        out.extend(char::decode_utf16(units.drain(..)).map(|u| u.unwrap_or('\u{fffd}')));
    };
    while let Some(c) = chars.next() {
        if c != escape {
            flush(&mut units, &mut out);
            out.push(c);
            continue;
        }
        if chars.peek() == Some(&escape) {
            chars.next();
            flush(&mut units, &mut out);
            out.push(escape);
            continue;
        }
        let count = if chars.peek() == Some(&'+') {
            chars.next();
            6
        } else {
            4
        };
        let digits: String = chars.by_ref().take(count).collect();
        let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == count);
        match code {
            Some(code) if count == 4 => units.push(code as u16),
            Some(code) => {
                flush(&mut units, &mut out);
                out.push(char::from_u32(code).ok_or_else(|| format!("'{digits}' is no Unicode character"))?);
            }
            None => return Err(format!("'{digits}' is no Unicode escape")),
        }
    }
    flush(&mut units, &mut out);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toks(text: &str) -> Vec<Tok> {
        tokenize(text).unwrap().into_iter().map(|t| t.tok).collect()
    }

    #[test]
    fn quotes_comments_and_hints_are_told_apart() {
        assert_eq!(
            toks("select /*+ x */* -- y\n from `a``b` /* c ; */ where s = 'it''s'"),
            [
                Tok::Word("select".into()),
                Tok::Sym("/*+"),
                Tok::Word("x".into()),
                Tok::Sym("*/"),
                Tok::Sym("*"),
                Tok::Word("from".into()),
                Tok::Quoted("a`b".into()),
                Tok::Word("where".into()),
                Tok::Word("s".into()),
                Tok::Sym("="),
                Tok::Str("it's".into()),
                Tok::Eof
            ]
        );
    }

    #[test]
    fn numbers_end_where_they_should() {
        assert_eq!(toks("1.5e3 .5 t.a"), {
            use Tok::*;
            [Number("1.5e3".into()), Number(".5".into()), Word("t".into()), Sym("."), Word("a".into()), Eof]
        });
    }

    #[test]
    fn an_open_quote_is_reported_at_its_mark() {
        assert_eq!(tokenize("select 'abc").unwrap_err().span, Some(7..8));
        assert_eq!(tokenize("/* abc").unwrap_err().span, Some(0..2));
    }

    #[test]
    fn unicode_escapes_are_resolved() {
        assert_eq!(decode_unicode("\\5B57x\\+01F600", '\\').unwrap(), "字x😀");
        assert!(decode_unicode("\\zz", '\\').is_err());
    }
}
