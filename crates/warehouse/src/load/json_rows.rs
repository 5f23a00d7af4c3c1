//! JSON objects of a load: a scanner that hands out top-level values without building trees.

use super::values::Token;
use crate::json::DEPTH_MAX;

/// A place in JSON text. Every method returns None for text that is no JSON.
pub struct Scanner<'a> {
    pub text: &'a [u8],
    pub at: usize,
    /// Room for strings with escapes.
    scratch: String,
}

pub enum Scanned<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(&'a str),
    /// The text is in the scanner's scratch room.
    Escaped,
    Nested(&'a str),
}

impl<'a> Scanner<'a> {
    /// `text` must be UTF-8.
    pub fn new(text: &'a str) -> Self {
        Self { text: text.as_bytes(), at: 0, scratch: String::new() }
    }

    pub fn blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    pub fn peek(&mut self) -> Option<u8> {
        self.blanks();
        self.text.get(self.at).copied()
    }

    pub fn eat(&mut self, b: u8) -> bool {
        let found = self.peek() == Some(b);
        if found {
            self.at += 1;
        }
        found
    }

    fn slice(&self, from: usize, to: usize) -> Option<&'a str> {
        std::str::from_utf8(&self.text[from..to]).ok()
    }

    /// A string; its text is either borrowed or in the scratch room.
    pub fn string(&mut self) -> Option<Scanned<'a>> {
        if !self.eat(b'"') {
            return None;
        }
        let from = self.at;
        self.at += memchr::memchr2(b'"', b'\\', &self.text[self.at..])?;
        if self.text[self.at] == b'"' {
            let s = self.slice(from, self.at)?;
            self.at += 1;
            return Some(Scanned::Text(s));
        }
        // An escape: find the end, then let serde_json resolve it.
        let mut i = self.at;
        loop {
            i += memchr::memchr2(b'"', b'\\', &self.text[i..])?;
            if self.text[i] == b'"' {
                break;
            }
            i += 2;
            if i > self.text.len() {
                return None;
            }
        }
        let whole = self.slice(from - 1, i + 1)?;
        self.scratch = serde_json::from_str(whole).ok()?;
        self.at = i + 1;
        Some(Scanned::Escaped)
    }

    pub fn value(&mut self) -> Option<Scanned<'a>> {
        match self.peek()? {
            b'"' => self.string(),
            b'{' | b'[' => {
                let from = self.at;
                self.skip_nested()?;
                Some(Scanned::Nested(self.slice(from, self.at)?))
            }
            b't' => self.word(b"true").then_some(Scanned::Bool(true)),
            b'f' => self.word(b"false").then_some(Scanned::Bool(false)),
            b'n' => self.word(b"null").then_some(Scanned::Null),
            b'-' | b'0'..=b'9' => {
                let from = self.at;
                while let Some(b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E') = self.text.get(self.at) {
                    self.at += 1;
                }
                let s = self.slice(from, self.at)?;
                // Digits alone are the usual case and need no check.
                if !s.bytes().all(|b| b.is_ascii_digit()) && s.parse::<f64>().is_err() {
                    return None;
                }
                Some(Scanned::Number(s))
            }
            _ => None,
        }
    }

    fn word(&mut self, w: &[u8]) -> bool {
        let found = self.text[self.at..].starts_with(w);
        if found {
            self.at += w.len();
        }
        found
    }

    /// Moves over an object or array.
    fn skip_nested(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            let n = memchr::memchr3(b'"', b'{', b'}', &self.text[self.at..]).unwrap_or(usize::MAX);
            let m = memchr::memchr2(b'[', b']', &self.text[self.at..]).unwrap_or(usize::MAX);
            let n = n.min(m);
            if n == usize::MAX {
                return None;
            }
            self.at += n;
            match self.text[self.at] {
                b'"' => {
                    self.at += 1;
                    loop {
                        let n = memchr::memchr2(b'"', b'\\', &self.text[self.at..])?;
                        self.at += n;
                        if self.text[self.at] == b'"' {
                            self.at += 1;
                            break;
                        }
                        self.at += 2;
                        if self.at > self.text.len() {
                            return None;
                        }
                    }
                }
                b'{' | b'[' => {
                    depth += 1;
                    if depth > DEPTH_MAX {
                        return None;
                    }
                    self.at += 1;
                }
                _ => {
                    self.at += 1;
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        return Some(());
                    }
                }
            }
        }
    }

    pub fn token<'b>(&'b self, scanned: &Scanned<'b>) -> Token<'b> {
        match scanned {
            Scanned::Null => Token::Null,
            Scanned::Bool(b) => Token::Bool(*b),
            Scanned::Number(n) => Token::Number(n),
            Scanned::Text(t) => Token::Text(t),
            Scanned::Escaped => Token::Text(&self.scratch),
            Scanned::Nested(t) => Token::Nested(t),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_without_trees_and_broken_text_is_refused() {
        let mut s = Scanner::new(r#" {"a":[1,"]"],"b":"x\"y"} "#);
        assert!(s.eat(b'{'));
        assert!(matches!(s.string(), Some(Scanned::Text("a"))));
        assert!(s.eat(b':'));
        assert!(matches!(s.value(), Some(Scanned::Nested(r#"[1,"]"]"#))));
        assert!(s.eat(b','));
        s.string().unwrap();
        assert!(s.eat(b':'));
        let v = s.value().unwrap();
        assert!(matches!(s.token(&v), Token::Text("x\"y")));
        for broken in ["{\"a", "\"a\\", "[1,", "tru", "-", "{\"a\":}"] {
            let mut s = Scanner::new(broken);
            let first = s.value();
            assert!(first.is_none() || broken.starts_with("{\"a\":"), "{broken}");
        }
    }
}
