//! Words, quoted names, texts and signs of a MySQL statement; comments are left out, except that what
//! `/*! … */` holds is read as the server reads it.

/// One token of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// A bare word: keyword or name, as written.
    Word(String),
    /// A name in backticks.
    Quoted(String),
    /// A text in quotes, its escapes resolved.
    Text(String),
    /// A number, as written.
    Number(String),
    /// `b'01'`, `x'ff'`: the letter in lower case and the digits.
    Literal(char, String),
    Sign(char),
}

/// All tokens. Anything a statement may hold gives some tokens; nothing is an error.
pub(crate) fn tokens(sql: &str) -> Vec<Token> {
    Lexer { bytes: sql.as_bytes(), sql, at: 0, out: Vec::new() }.run()
}

struct Lexer<'a> {
    bytes: &'a [u8],
    sql: &'a str,
    at: usize,
    out: Vec<Token>,
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn run(mut self) -> Vec<Token> {
        while self.at < self.bytes.len() {
            match self.peek(0) {
                b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c | 0 => self.at += 1,
                b'#' => self.line(),
                b'-' if self.peek(1) == b'-' && matches!(self.peek(2), b' ' | b'\t' | b'\n' | b'\r' | 0) => self.line(),
                b'/' if self.peek(1) == b'*' => self.comment(),
                // The end of a versioned comment.
                b'*' if self.peek(1) == b'/' => self.at += 2,
                b'`' => {
                    let text = self.quoted(b'`', false);
                    self.out.push(Token::Quoted(text));
                }
                quote @ (b'\'' | b'"') => {
                    let text = self.quoted(quote, true);
                    // Adjacent texts are one.
                    if let Some(Token::Text(last)) = self.out.last_mut() {
                        last.push_str(&text);
                    } else {
                        self.out.push(Token::Text(text));
                    }
                }
                byte if byte.is_ascii_digit()
                    || (byte == b'.' && self.peek(1).is_ascii_digit() && !self.after_name()) =>
                {
                    self.number();
                }
                byte if is_name(byte) => self.word(),
                byte => {
                    self.out.push(Token::Sign(byte as char));
                    self.at += 1;
                }
            }
        }
        self.out
    }

    fn after_name(&self) -> bool {
        matches!(self.out.last(), Some(Token::Word(_) | Token::Quoted(_)))
    }

    fn line(&mut self) {
        while self.at < self.bytes.len() && self.bytes[self.at] != b'\n' {
            self.at += 1;
        }
    }

    fn comment(&mut self) {
        let versioned = match (self.peek(2), self.peek(3)) {
            (b'!', _) => Some(3),
            (b'M', b'!') => Some(4),
            _ => None,
        };
        if let Some(skip) = versioned {
            self.at += skip;
            while self.peek(0).is_ascii_digit() {
                self.at += 1;
            }
            return;
        }
        let rest = &self.bytes[self.at + 2..];
        self.at = match memchr::memmem::find(rest, b"*/") {
            Some(end) => self.at + 2 + end + 2,
            None => self.bytes.len(),
        };
    }

    fn quoted(&mut self, quote: u8, escapes: bool) -> String {
        self.at += 1;
        let mut out = Vec::new();
        while let Some(&byte) = self.bytes.get(self.at) {
            self.at += 1;
            if byte == quote {
                if self.peek(0) == quote {
                    out.push(quote);
                    self.at += 1;
                    continue;
                }
                break;
            }
            if byte == b'\\' && escapes {
                let Some(&escaped) = self.bytes.get(self.at) else { break };
                self.at += 1;
                match escaped {
                    b'n' => out.push(b'\n'),
                    b't' => out.push(b'\t'),
                    b'r' => out.push(b'\r'),
                    b'0' => out.push(0),
                    b'b' => out.push(8),
                    b'Z' => out.push(26),
                    other => out.push(other),
                }
                continue;
            }
            out.push(byte);
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    fn number(&mut self) {
        let start = self.at;
        let hex = self.peek(0) == b'0' && matches!(self.peek(1), b'x' | b'b');
        while self.at < self.bytes.len() {
            let byte = self.peek(0);
            let exponent_sign = matches!(byte, b'+' | b'-')
                && !hex
                && matches!(self.bytes[self.at - 1], b'e' | b'E')
                && self.at > start
                && self.bytes[start..self.at - 1].iter().all(|b| b.is_ascii_digit() || *b == b'.');
            if is_name(byte) || exponent_sign || (byte == b'.' && self.peek(1).is_ascii_digit()) {
                self.at += 1;
            } else {
                break;
            }
        }
        let text = &self.sql[start..self.at];
        let digits = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = digits.is_empty()
            || hex
            || (digits.starts_with(['e', 'E'])
                && digits[1..].trim_start_matches(['+', '-']).bytes().all(|b| b.is_ascii_digit()));
        // A name may begin with digits.
        self.out.push(if number { Token::Number(text.to_owned()) } else { Token::Word(text.to_owned()) });
    }

    fn word(&mut self) {
        let start = self.at;
        while self.at < self.bytes.len() && is_name(self.bytes[self.at]) {
            self.at += 1;
        }
        let word = &self.sql[start..self.at];
        if self.peek(0) == b'\'' {
            match word {
                "b" | "B" | "x" | "X" => {
                    let letter = word.to_ascii_lowercase().remove(0);
                    let digits = self.quoted(b'\'', false);
                    self.out.push(Token::Literal(letter, digits));
                    return;
                }
                "n" | "N" => return,
                // An introducer, such as _utf8mb4'text'.
                _ if word.starts_with('_') => return,
                _ => {}
            }
        }
        self.out.push(Token::Word(word.to_owned()));
    }
}

/// A place in a list of tokens, with what readers of statements ask for.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(tokens: &'a [Token]) -> Self {
        Self { tokens, at: 0 }
    }

    pub fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    pub fn next(&mut self) -> Option<&'a Token> {
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        Some(token)
    }

    pub fn done(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub fn mark(&self) -> usize {
        self.at
    }

    pub fn reset(&mut self, mark: usize) {
        self.at = mark;
    }

    /// Whether the word `ahead` tokens further is this keyword.
    pub fn is_at(&self, ahead: usize, word: &str) -> bool {
        matches!(self.tokens.get(self.at + ahead), Some(Token::Word(w)) if w.eq_ignore_ascii_case(word))
    }

    pub fn is(&self, word: &str) -> bool {
        self.is_at(0, word)
    }

    /// Takes these keywords if all of them follow.
    pub fn take(&mut self, words: &[&str]) -> bool {
        if words.iter().enumerate().all(|(i, word)| self.is_at(i, word)) {
            self.at += words.len();
            return true;
        }
        false
    }

    pub fn is_sign(&self, sign: char) -> bool {
        self.peek() == Some(&Token::Sign(sign))
    }

    pub fn take_sign(&mut self, sign: char) -> bool {
        let is = self.is_sign(sign);
        self.at += usize::from(is);
        is
    }

    /// A name: a bare word or one in backticks (or in double quotes, as ANSI mode writes it).
    pub fn name(&mut self) -> Option<String> {
        match self.peek()? {
            Token::Word(name) | Token::Quoted(name) | Token::Text(name) => {
                self.at += 1;
                Some(name.clone())
            }
            _ => None,
        }
    }

    /// A text, or a word standing for one.
    pub fn text(&mut self) -> Option<String> {
        self.name()
    }

    pub fn number(&mut self) -> Option<u32> {
        match self.peek()? {
            Token::Number(digits) => {
                let number = digits.parse().ok()?;
                self.at += 1;
                Some(number)
            }
            _ => None,
        }
    }

    /// The tokens between a parenthesis that opens here and the one that closes it.
    pub fn parenthesised(&mut self) -> Option<&'a [Token]> {
        if !self.take_sign('(') {
            return None;
        }
        let start = self.at;
        let mut depth = 1;
        while let Some(token) = self.next() {
            match token {
                Token::Sign('(') => depth += 1,
                Token::Sign(')') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some(&self.tokens[start..self.at - 1]);
            }
        }
        Some(&self.tokens[start..])
    }

    /// Leaves out everything up to a comma outside of parentheses, which is not taken.
    pub fn skip_clause(&mut self) {
        let mut depth = 0usize;
        while let Some(token) = self.peek() {
            match token {
                Token::Sign('(') => depth += 1,
                Token::Sign(')') => depth = depth.saturating_sub(1),
                Token::Sign(',' | ';') if depth == 0 => return,
                _ => {}
            }
            self.at += 1;
        }
    }
}

/// The tokens split at commas outside of parentheses.
pub(crate) fn split_commas(tokens: &[Token]) -> Vec<&[Token]> {
    let mut out = Vec::new();
    let (mut depth, mut start) = (0usize, 0);
    for (i, token) in tokens.iter().enumerate() {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth = depth.saturating_sub(1),
            Token::Sign(',') if depth == 0 => {
                out.push(&tokens[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    if start < tokens.len() {
        out.push(&tokens[start..]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_fall_into_tokens() {
        let text = "ALTER /* x */ TABLE `a``b`.2c ADD d INT DEFAULT -1.5e-3 COMMENT 'it''s \\n' -- end\n, /*!80023 INVISIBLE */ b'01' N'x'";
        let found = tokens(text);
        let word = |w: &str| Token::Word(w.into());
        assert_eq!(
            found,
            [
                word("ALTER"),
                word("TABLE"),
                Token::Quoted("a`b".into()),
                Token::Sign('.'),
                word("2c"),
                word("ADD"),
                word("d"),
                word("INT"),
                word("DEFAULT"),
                Token::Sign('-'),
                Token::Number("1.5e-3".into()),
                word("COMMENT"),
                Token::Text("it's \n".into()),
                Token::Sign(','),
                word("INVISIBLE"),
                Token::Literal('b', "01".into()),
                Token::Text("x".into()),
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = tokens(&text);
        }
    }
}
