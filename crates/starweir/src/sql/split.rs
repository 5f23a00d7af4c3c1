//! Text → statements: each ends with `;`, `\g` or `\G`; quotes and comments hide them.

/// How a statement's rows are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// `;`, `\g`, or the end of a script.
    Plain,
    /// `\G`: a line for each column.
    Vertical,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub text: String,
    pub ending: Ending,
}

/// The statements of a text, and what is left after the last end.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Split {
    pub statements: Vec<Statement>,
    /// The text after the last end; empty when nothing but blanks and comments is left.
    pub rest: String,
    /// Whether the rest stops inside of a quote or a comment.
    pub open: bool,
}

pub fn split(text: &str) -> Split {
    let bytes = text.as_bytes();
    let mut out = Split::default();
    let (mut from, mut at) = (0, 0);
    // Whether the present statement has anything but blanks and comments.
    let mut says = false;
    let mut open = false;
    while at < bytes.len() {
        let next = bytes.get(at + 1).copied();
        match bytes[at] {
            quote @ (b'\'' | b'"' | b'`') => {
                says = true;
                let end = end_of_quote(bytes, at, quote);
                open = end.is_none();
                at = end.unwrap_or(bytes.len());
            }
            b'#' => at = end_of_line(bytes, at),
            b'-' if next == Some(b'-') && bytes.get(at + 2).is_none_or(u8::is_ascii_whitespace) => {
                at = end_of_line(bytes, at);
            }
            b'/' if next == Some(b'*') => {
                // `/*+ … */` and `/*! … */` are for the server.
                says |= matches!(bytes.get(at + 2), Some(b'+' | b'!'));
                let end = text[at + 2..].find("*/").map(|n| at + 2 + n + 2);
                open = end.is_none();
                at = end.unwrap_or(bytes.len());
            }
            b';' => {
                push(&mut out, &text[from..at], says, Ending::Plain);
                at += 1;
                (from, says) = (at, false);
            }
            b'\\' if matches!(next, Some(b'g' | b'G')) => {
                let ending = if next == Some(b'G') { Ending::Vertical } else { Ending::Plain };
                push(&mut out, &text[from..at], says, ending);
                at += 2;
                // `\G;` is one end.
                if bytes.get(at) == Some(&b';') {
                    at += 1;
                }
                (from, says) = (at, false);
            }
            byte => {
                says |= !byte.is_ascii_whitespace();
                at += 1;
            }
        }
    }
    if says || open {
        out.rest = text[from..].trim().to_string();
    }
    out.open = open;
    out
}

fn push(out: &mut Split, text: &str, says: bool, ending: Ending) {
    if says {
        out.statements.push(Statement { text: text.trim().to_string(), ending });
    }
}

fn end_of_line(bytes: &[u8], from: usize) -> usize {
    bytes[from..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| from + n + 1)
}

/// After the closing quote; None when there is none.
fn end_of_quote(bytes: &[u8], from: usize, quote: u8) -> Option<usize> {
    let mut at = from + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quote != b'`' => at += 2,
            b if b == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> (Vec<String>, String) {
        let s = split(text);
        let mark = |s: &Statement| match s.ending {
            Ending::Plain => s.text.clone(),
            Ending::Vertical => format!("{}|G", s.text),
        };
        (s.statements.iter().map(mark).collect(), s.rest)
    }

    #[test]
    fn statements_end_where_no_quote_or_comment_hides_the_end() {
        for (text, statements, rest) in [
            ("", vec![], ""),
            (" ;; ", vec![], ""),
            ("select 1", vec![], "select 1"),
            ("select 1; select 2 ;", vec!["select 1", "select 2"], ""),
            ("select ';'; x", vec!["select ';'"], "x"),
            (r"select 'it\'s; fine', 'a''b;'; x", vec![r"select 'it\'s; fine', 'a''b;'"], "x"),
            ("select `a;b\\`; x", vec!["select `a;b\\`"], "x"),
            ("select 1 -- not; here\n; x", vec!["select 1 -- not; here"], "x"),
            ("select 5--3; x", vec!["select 5--3"], "x"),
            ("# a; b\nselect 1;", vec!["# a; b\nselect 1"], ""),
            ("select /* ; */ 1;", vec!["select /* ; */ 1"], ""),
            ("/* nothing */; -- nothing", vec![], ""),
            ("/*!40101 SET NAMES utf8 */;", vec!["/*!40101 SET NAMES utf8 */"], ""),
            ("select 1\\G select 2\\g", vec!["select 1|G", "select 2"], ""),
            ("select 1\\G;select 2", vec!["select 1|G"], "select 2"),
            ("select 'ünï;cödé'; x", vec!["select 'ünï;cödé'"], "x"),
        ] {
            let (found, left) = shown(text);
            assert_eq!(found, statements, "{text}");
            assert_eq!(left, rest, "{text}");
        }
    }

    #[test]
    fn an_open_quote_or_comment_is_told() {
        for (text, open) in [
            ("select 'a", true),
            ("select /* a", true),
            ("select 'a'", false),
            ("select \"a\\", true),
            ("-- 'a", false),
        ] {
            assert_eq!(split(text).open, open, "{text}");
        }
    }
}
