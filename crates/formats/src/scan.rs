//! A pull scanner over one JSON text: the caller asks for what it expects next.
//!
//! Accepts what Jackson accepts as Flink sets it up: standard JSON, and unescaped control characters
//! within strings. What is skipped is checked for balance only.

use crate::error::{Decoded, malformed};

/// Deeper nesting than this in a value that is copied as text is refused.
const DEPTH_MAX: usize = 512;

pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The inside of a string, between its quotes.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    pub raw: &'a [u8],
    pub escaped: bool,
    /// Where `raw` begins.
    pub offset: usize,
}

impl<'a> Text<'a> {
    /// Appends the characters the text stands for.
    #[inline]
    pub fn append_to(&self, out: &mut Vec<u8>) -> Decoded<()> {
        if !self.escaped {
            out.extend_from_slice(self.raw);
            return Ok(());
        }
        unescape(self.raw, self.offset, out)
    }

    /// The characters, in `scratch` if they had to be unescaped.
    #[inline]
    pub fn plain<'b>(&self, scratch: &'b mut Vec<u8>) -> Decoded<&'b [u8]>
    where
        'a: 'b,
    {
        if !self.escaped {
            return Ok(self.raw);
        }
        scratch.clear();
        unescape(self.raw, self.offset, scratch)?;
        Ok(scratch)
    }
}

#[inline]
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

impl<'a> Scanner<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub fn position(&self) -> usize {
        self.at
    }

    pub fn seek(&mut self, at: usize) {
        self.at = at;
    }

    /// The text between two positions.
    pub fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        &self.bytes[from..to]
    }

    /// The next byte that is not white space, not consumed; 0 at the end.
    #[inline]
    pub fn peek(&mut self) -> u8 {
        while let Some(&byte) = self.bytes.get(self.at) {
            if !is_space(byte) {
                return byte;
            }
            self.at += 1;
        }
        0
    }

    /// Consumes `byte` if it comes next (after white space).
    #[inline]
    pub fn take(&mut self, byte: u8) -> bool {
        if self.bytes.get(self.at) == Some(&byte) {
            self.at += 1;
            return true;
        }
        if self.peek() == byte && self.at < self.bytes.len() {
            self.at += 1;
            return true;
        }
        false
    }

    #[inline]
    pub fn expect(&mut self, byte: u8, reason: &'static str) -> Decoded<()> {
        if self.take(byte) { Ok(()) } else { Err(malformed(self.at, reason)) }
    }

    /// Consumes `text` if exactly these bytes come next, white space not skipped.
    #[inline]
    pub fn take_exact(&mut self, text: &[u8]) -> bool {
        let hit = self.bytes.get(self.at..self.at + text.len()).is_some_and(|found| same(found, text));
        if hit {
            self.at += text.len();
        }
        hit
    }

    /// Consumes the literal `null` if it comes next.
    #[inline]
    pub fn take_null(&mut self) -> Decoded<bool> {
        if self.peek() != b'n' {
            return Ok(false);
        }
        self.word(b"null")?;
        Ok(true)
    }

    pub fn word(&mut self, word: &'static [u8]) -> Decoded<()> {
        if self.take_exact(word) { Ok(()) } else { Err(malformed(self.at, "not a JSON value")) }
    }

    /// A string; the next byte must be its opening quote.
    #[inline]
    pub fn string(&mut self) -> Decoded<Text<'a>> {
        debug_assert_eq!(self.bytes.get(self.at), Some(&b'"'));
        let start = self.at + 1;
        let (end, escaped) = string_end(self.bytes, start).ok_or_else(|| malformed(self.at, "a string without end"))?;
        self.at = end + 1;
        Ok(Text { raw: &self.bytes[start..end], escaped, offset: start })
    }

    /// A whole number of at most 18 digits; None (nothing consumed) when the next value is anything else.
    #[inline]
    pub fn small_integer(&mut self) -> Option<i64> {
        let negative = self.bytes.get(self.at) == Some(&b'-');
        let start = self.at + usize::from(negative);
        let mut at = start;
        let mut number = 0i64;
        while let Some(digit) = self.bytes.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
            if at - start == 18 {
                return None;
            }
            number = number * 10 + digit as i64;
            at += 1;
        }
        let digits = at - start;
        if digits == 0
            || (digits > 1 && self.bytes[start] == b'0')
            || matches!(self.bytes.get(at), Some(b'.' | b'e' | b'E'))
        {
            return None;
        }
        self.at = at;
        Some(if negative { -number } else { number })
    }

    /// A number without exponent and with at most 15 digits, which a double holds exactly before and after its point;
    /// None (nothing consumed) when the next value is anything else.
    #[inline]
    pub fn small_decimal(&mut self) -> Option<f64> {
        let negative = self.bytes.get(self.at) == Some(&b'-');
        let start = self.at + usize::from(negative);
        let mut at = start;
        let mut mantissa = 0u64;
        let mut point = None;
        while let Some(&byte) = self.bytes.get(at) {
            let digit = byte.wrapping_sub(b'0');
            if digit < 10 {
                mantissa = mantissa * 10 + digit as u64;
            } else if byte == b'.' && point.is_none() && at > start {
                point = Some(at);
            } else {
                break;
            }
            at += 1;
            if at - start > 16 {
                return None;
            }
        }
        let fraction = point.map_or(0, |p| at - p - 1);
        let whole = point.unwrap_or(at) - start;
        if whole == 0
            || (point.is_some() && fraction == 0)
            || whole + fraction > 15
            || (whole > 1 && self.bytes[start] == b'0')
            || matches!(self.bytes.get(at), Some(b'e' | b'E' | b'.'))
        {
            return None;
        }
        self.at = at;
        // Both are exact, so the division rounds once, as it must.
        let number = mantissa as f64 / EXACT_POWERS[fraction];
        Some(if negative { -number } else { number })
    }

    /// A number's text, checked against JSON's grammar, and whether it is whole (no fraction, no exponent).
    #[inline]
    pub fn number(&mut self) -> Decoded<(&'a [u8], bool)> {
        let bytes = self.bytes;
        let start = self.at;
        let mut at = start;
        if bytes.get(at) == Some(&b'-') {
            at += 1;
        }
        let digits = at;
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        if at == digits || (bytes[digits] == b'0' && at > digits + 1) {
            return Err(malformed(start, "not a JSON value"));
        }
        let mut whole = true;
        if bytes.get(at) == Some(&b'.') {
            whole = false;
            at += 1;
            let from = at;
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            if at == from {
                return Err(malformed(at, "a number without digits after its point"));
            }
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            whole = false;
            at += 1;
            if matches!(bytes.get(at), Some(b'+' | b'-')) {
                at += 1;
            }
            let from = at;
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            if at == from {
                return Err(malformed(at, "a number without digits in its exponent"));
            }
        }
        self.at = at;
        Ok((&bytes[start..at], whole))
    }

    /// Steps over one value of any kind.
    #[inline]
    pub fn skip_value(&mut self) -> Decoded<()> {
        match self.peek() {
            b'"' => self.string().map(drop),
            b'{' | b'[' => self.skip_container(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number().map(drop),
        }
    }

    fn skip_container(&mut self) -> Decoded<()> {
        let start = self.at;
        let bytes = self.bytes;
        let mut at = start;
        let mut depth = 0usize;
        while let Some(&byte) = bytes.get(at) {
            match SKIP[byte as usize] {
                0 => at += 1,
                1 => {
                    depth += 1;
                    at += 1;
                }
                2 => {
                    depth -= 1;
                    at += 1;
                    if depth == 0 {
                        self.at = at;
                        return Ok(());
                    }
                }
                _ => match string_end(bytes, at + 1) {
                    Some((end, _)) => at = end + 1,
                    None => return Err(malformed(at, "a string without end")),
                },
            }
        }
        Err(malformed(start, "an object or array without end"))
    }

    /// Appends one value as JSON text without white space; numbers stay as they are written.
    pub fn copy_value(&mut self, out: &mut Vec<u8>) -> Decoded<()> {
        self.copy_nested(out, 0)
    }

    fn copy_nested(&mut self, out: &mut Vec<u8>, depth: usize) -> Decoded<()> {
        if depth > DEPTH_MAX {
            return Err(malformed(self.at, "nested too deeply"));
        }
        match self.peek() {
            b'"' => self.copy_string(out),
            b'{' => {
                self.at += 1;
                out.push(b'{');
                if self.take(b'}') {
                    out.push(b'}');
                    return Ok(());
                }
                loop {
                    if self.peek() != b'"' {
                        return Err(malformed(self.at, "expected a field name"));
                    }
                    self.copy_string(out)?;
                    self.expect(b':', "expected ':'")?;
                    out.push(b':');
                    self.copy_nested(out, depth + 1)?;
                    if self.take(b',') {
                        out.push(b',');
                        continue;
                    }
                    self.expect(b'}', "expected ',' or '}'")?;
                    out.push(b'}');
                    return Ok(());
                }
            }
            b'[' => {
                self.at += 1;
                out.push(b'[');
                if self.take(b']') {
                    out.push(b']');
                    return Ok(());
                }
                loop {
                    self.copy_nested(out, depth + 1)?;
                    if self.take(b',') {
                        out.push(b',');
                        continue;
                    }
                    self.expect(b']', "expected ',' or ']'")?;
                    out.push(b']');
                    return Ok(());
                }
            }
            _ => {
                let start = self.at;
                self.skip_value()?;
                out.extend_from_slice(&self.bytes[start..self.at]);
                Ok(())
            }
        }
    }

    fn copy_string(&mut self, out: &mut Vec<u8>) -> Decoded<()> {
        let text = self.string()?;
        if text.escaped {
            let mut plain = Vec::with_capacity(text.raw.len());
            text.append_to(&mut plain)?;
            crate::write::json_string(&plain, out);
        } else {
            crate::write::json_string(text.raw, out);
        }
        Ok(())
    }

    /// Only white space may follow.
    #[inline]
    pub fn end(&mut self) -> Decoded<()> {
        self.peek();
        if self.at == self.bytes.len() { Ok(()) } else { Err(malformed(self.at, "more text after the JSON value")) }
    }
}

/// 0: pass by, 1: opens, 2: closes, 3: a string begins.
static SKIP: [u8; 256] = {
    let mut table = [0u8; 256];
    table[b'{' as usize] = 1;
    table[b'[' as usize] = 1;
    table[b'}' as usize] = 2;
    table[b']' as usize] = 2;
    table[b'"' as usize] = 3;
    table
};

/// Powers of ten a double holds exactly.
const EXACT_POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Equality of two texts of one length. Names are short: two overlapping words beat a call.
#[inline]
fn same(a: &[u8], b: &[u8]) -> bool {
    let word = |bytes: &[u8], at: usize| bytes.get(at..at + 8).and_then(|w| w.try_into().ok()).map(u64::from_le_bytes);
    match a.len() {
        8..=16 => word(a, 0) == word(b, 0) && word(a, a.len() - 8) == word(b, a.len() - 8),
        4..=7 => {
            let half =
                |bytes: &[u8], at: usize| bytes.get(at..at + 4).and_then(|w| w.try_into().ok()).map(u32::from_le_bytes);
            half(a, 0) == half(b, 0) && half(a, a.len() - 4) == half(b, a.len() - 4)
        }
        _ => a == b,
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// The high bit of every byte of `word` that equals `byte` (bytes above the lowest hit may be wrong).
#[inline]
fn bytes_equal(word: u64, byte: u8) -> u64 {
    let different = word ^ (ONES * byte as u64);
    different.wrapping_sub(ONES) & !different & TOPS
}

/// Where the string that begins at `from` ends (its closing quote), and whether a backslash is in it.
#[inline]
fn string_end(bytes: &[u8], from: usize) -> Option<(usize, bool)> {
    let mut at = from;
    let mut escaped = false;
    loop {
        while let Some(chunk) = bytes.get(at..at + 8) {
            let word = u64::from_le_bytes(chunk.try_into().unwrap_or([0; 8]));
            let hit = bytes_equal(word, b'"') | bytes_equal(word, b'\\');
            if hit != 0 {
                at += (hit.trailing_zeros() / 8) as usize;
                break;
            }
            at += 8;
        }
        match *bytes.get(at)? {
            b'"' => return Some((at, escaped)),
            b'\\' => {
                escaped = true;
                at += 2;
            }
            _ => at += 1,
        }
    }
}

/// Appends what an escaped text stands for. A surrogate without its pair becomes U+FFFD.
pub(crate) fn unescape(raw: &[u8], offset: usize, out: &mut Vec<u8>) -> Decoded<()> {
    let mut at = 0;
    while at < raw.len() {
        let next = memchr::memchr(b'\\', &raw[at..]).map_or(raw.len(), |n| at + n);
        out.extend_from_slice(&raw[at..next]);
        if next == raw.len() {
            break;
        }
        let bad = || malformed(offset + next, "an unknown escape in a string");
        at = next + 2;
        let byte = match raw.get(next + 1).ok_or_else(bad)? {
            b'"' => b'"',
            b'\\' => b'\\',
            b'/' => b'/',
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut code = hex4(raw, at).ok_or_else(bad)?;
                at += 4;
                if (0xD800..0xDC00).contains(&code)
                    && raw.get(at..at + 2) == Some(b"\\u")
                    && let Some(low) = hex4(raw, at + 2).filter(|low| (0xDC00..0xE000).contains(low))
                {
                    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                    at += 6;
                }
                let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return Err(bad()),
        };
        out.push(byte);
    }
    Ok(())
}

fn hex4(raw: &[u8], at: usize) -> Option<u32> {
    let mut code = 0;
    for &byte in raw.get(at..at + 4)? {
        code = code * 16 + (byte as char).to_digit(16)?;
    }
    Some(code)
}
