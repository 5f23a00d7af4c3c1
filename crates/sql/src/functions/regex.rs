//! Regular expressions of Java, run by the linear engine where it can and the backtracking one where
//! it must (look-around, back references), the latter with a limit on steps.

use starweir_model::{Error, Result};

/// A compiled pattern.
#[derive(Debug, Clone)]
pub enum Regex {
    Linear(regex::Regex),
    Backtracking(Box<fancy_regex::Regex>),
}

/// Longest pattern that is compiled, in bytes.
const PATTERN_BYTES_MAX: usize = 64 * 1024;

/// Java allows what Rust's engines write otherwise.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    let mut in_class = 0usize;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                // Escapes of letters that mean nothing stay literal in neither; of signs they do.
                Some('Z') => out.push_str("(?:\\r?\\n)?\\z"),
                Some('h') => out.push_str("[ \\t]"),
                Some('R') => out.push_str("(?:\\r\\n|[\\n\\r])"),
                Some('Q') => {
                    let mut literal = String::new();
                    while let Some(c) = chars.next() {
                        if c == '\\' && chars.peek() == Some(&'E') {
                            chars.next();
                            break;
                        }
                        literal.push(c);
                    }
                    out.push_str(&regex::escape(&literal));
                }
                // Java's \d, \w and \s know ASCII only.
                Some('d') => out.push_str(if in_class > 0 { "0-9" } else { "[0-9]" }),
                Some('D') if in_class == 0 => out.push_str("[^0-9]"),
                Some('w') => out.push_str(if in_class > 0 { "a-zA-Z0-9_" } else { "[a-zA-Z0-9_]" }),
                Some('W') if in_class == 0 => out.push_str("[^a-zA-Z0-9_]"),
                Some('s') => out.push_str(if in_class > 0 { " \\t\\n\\x0B\\x0C\\r" } else { "[ \\t\\n\\x0B\\x0C\\r]" }),
                Some('S') if in_class == 0 => out.push_str("[^ \\t\\n\\x0B\\x0C\\r]"),
                Some(other) if other.is_alphanumeric() || "\\.+*?()|[]{}^$#&-~/<>".contains(other) => {
                    if "/<>".contains(other) {
                        out.push(other);
                    } else {
                        out.push('\\');
                        out.push(other);
                    }
                }
                Some(other) => out.push_str(&regex::escape(&other.to_string())),
                None => out.push('\\'),
            },
            '[' => {
                if in_class > 0 {
                    out.push('[');
                } else {
                    out.push(c);
                }
                in_class += 1;
                if chars.peek() == Some(&'^') {
                    out.push('^');
                    chars.next();
                }
            }
            ']' => {
                in_class = in_class.saturating_sub(1);
                out.push(c);
            }
            '$' if in_class == 0 => out.push_str("(?:\\n?\\z)"),
            other => out.push(other),
        }
    }
    out
}

impl Regex {
    /// `None` when it is no regular expression.
    pub fn compile(pattern: &str) -> Option<Self> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return None;
        }
        // `$` stands before an optional last line break; plain `$` is kept where look-ahead is not needed.
        let translated = translate(pattern);
        let simple = translated.replace("(?:\\n?\\z)", "$");
        if let Ok(regex) = regex::RegexBuilder::new(&simple).size_limit(8 << 20).build() {
            return Some(Self::Linear(regex));
        }
        fancy_regex::RegexBuilder::new(&simple)
            .backtrack_limit(1_000_000)
            .build()
            .ok()
            .map(|r| Self::Backtracking(Box::new(r)))
    }

    /// Anywhere in the text.
    pub fn is_match(&self, text: &str) -> Result<bool> {
        match self {
            Self::Linear(r) => Ok(r.is_match(text)),
            Self::Backtracking(r) => r.is_match(text).map_err(too_long),
        }
    }

    /// The groups of the first match that begins at byte `from` or later, the whole match first. `from` is a character's
    /// beginning or the end.
    pub fn captures_from(&self, text: &str, from: usize) -> Result<Option<Vec<Option<std::ops::Range<usize>>>>> {
        if from > text.len() {
            return Ok(None);
        }
        Ok(match self {
            Self::Linear(r) => {
                r.captures_at(text, from).map(|c| c.iter().map(|group| group.map(|m| m.range())).collect())
            }
            Self::Backtracking(r) => r
                .captures_from_pos(text, from)
                .map_err(too_long)?
                .map(|c| c.iter().map(|group| group.map(|m| m.range())).collect()),
        })
    }

    /// How many groups the pattern has, the whole match not counted.
    pub fn group_count(&self) -> usize {
        match self {
            Self::Linear(r) => r.captures_len() - 1,
            Self::Backtracking(r) => r.captures_len() - 1,
        }
    }

    /// Group of the first match: outer `None`, no match; inner `None`, no such group.
    pub fn group<'t>(&self, text: &'t str, group: usize) -> Result<Option<Option<&'t str>>> {
        match self {
            Self::Linear(r) => Ok(r.captures(text).map(|c| c.get(group).map(|m| m.as_str()))),
            Self::Backtracking(r) => Ok(r.captures(text).map_err(too_long)?.map(|c| c.get(group).map(|m| m.as_str()))),
        }
    }

    /// Every match replaced by a literal text.
    pub fn replace_all(&self, text: &str, replacement: &str) -> Result<String> {
        match self {
            Self::Linear(r) => Ok(r.replace_all(text, regex::NoExpand(replacement)).into_owned()),
            Self::Backtracking(r) => {
                r.try_replacen(text, 0, fancy_regex::NoExpand(replacement)).map(|t| t.into_owned()).map_err(too_long)
            }
        }
    }

    /// Parts between the matches.
    pub fn split<'t>(&self, text: &'t str) -> Result<Vec<&'t str>> {
        match self {
            Self::Linear(r) => Ok(r.split(text).collect()),
            Self::Backtracking(r) => {
                let mut parts = Vec::new();
                let mut last = 0;
                for found in r.find_iter(text) {
                    let found = found.map_err(too_long)?;
                    parts.push(&text[last..found.start()]);
                    last = found.end();
                }
                parts.push(&text[last..]);
                Ok(parts)
            }
        }
    }
}

fn too_long(error: fancy_regex::Error) -> Error {
    Error::data("a regular expression took too many steps").with_source(error)
}

/// The last pattern and its compiled form: patterns rarely change from row to row.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    last: std::cell::RefCell<Option<(String, Option<Regex>)>>,
}

impl Cache {
    /// Calls `f` with the compiled pattern, or `None` when it is none.
    pub fn with<T>(
        &self,
        pattern: &str,
        compile: impl Fn(&str) -> Option<Regex>,
        f: impl FnOnce(Option<&Regex>) -> T,
    ) -> T {
        let mut last = self.last.borrow_mut();
        if last.as_ref().is_none_or(|(p, _)| p != pattern) {
            *last = Some((pattern.to_owned(), compile(pattern)));
        }
        f(last.as_ref().and_then(|(_, r)| r.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_patterns_are_understood() {
        for (pattern, text, expected) in [
            (r"foo(.*?)(bar)", "foothebar", true),
            (r"^\d+$", "123", true),
            (r"(?<=a)b", "ab", true),
            (r"[\w-]+", "a-b", true),
            (r"(a)\1", "aa", true),
            (r"\Qa.b\E", "a.b", true),
        ] {
            assert_eq!(Regex::compile(pattern).unwrap().is_match(text).unwrap(), expected, "{pattern}");
        }
        assert!(Regex::compile("(").is_none());
    }
}
