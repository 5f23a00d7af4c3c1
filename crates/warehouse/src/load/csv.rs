//! CSV rows: fields separated by one or more bytes, rows by one or more bytes, optionally enclosed
//! and escaped (StarRocks' RFC 4180-like form).

use memchr::memmem;

/// How rows are cut.
#[derive(Debug, Clone)]
pub struct CsvFormat {
    pub column_separator: Vec<u8>,
    pub row_delimiter: Vec<u8>,
    pub enclose: Option<u8>,
    pub escape: Option<u8>,
    pub trim_space: bool,
}

/// Reads rows one after the other.
pub struct Rows<'a> {
    data: &'a [u8],
    at: usize,
    format: &'a CsvFormat,
}

impl<'a> Rows<'a> {
    pub fn new(data: &'a [u8], format: &'a CsvFormat) -> Self {
        Self { data, at: 0, format }
    }

    /// The next row that is not blank: its bytes.
    pub fn next_row(&mut self) -> Option<&'a [u8]> {
        loop {
            if self.at >= self.data.len() {
                return None;
            }
            let rest = &self.data[self.at..];
            let (length, skip) = self.row_end(rest);
            self.at += length + skip;
            let row = &rest[..length];
            if !row.is_empty() && row != b"\r" {
                return Some(row);
            }
        }
    }

    fn row_end(&self, rest: &[u8]) -> (usize, usize) {
        let f = self.format;
        if f.enclose.is_none() && f.escape.is_none() {
            let found = if let [one] = f.row_delimiter[..] {
                memchr::memchr(one, rest)
            } else {
                memmem::find(rest, &f.row_delimiter)
            };
            return found.map_or((rest.len(), 0), |n| (n, f.row_delimiter.len()));
        }
        // A delimiter inside of an enclosed or after an escape is no delimiter.
        let mut i = 0;
        let mut enclosed = false;
        let mut field_start = true;
        while i < rest.len() {
            let b = rest[i];
            if Some(b) == f.escape {
                i += 2;
                field_start = false;
            } else if enclosed {
                if Some(b) == f.enclose {
                    if rest.get(i + 1).copied() == f.enclose {
                        i += 1;
                    } else {
                        enclosed = false;
                    }
                }
                i += 1;
            } else if field_start && Some(b) == f.enclose {
                enclosed = true;
                field_start = false;
                i += 1;
            } else if rest[i..].starts_with(&f.row_delimiter) {
                return (i, f.row_delimiter.len());
            } else if rest[i..].starts_with(&f.column_separator) {
                i += f.column_separator.len();
                field_start = true;
            } else {
                if !(f.trim_space && b == b' ') {
                    field_start = false;
                }
                i += 1;
            }
        }
        (rest.len(), 0)
    }
}

/// A field: None is NULL.
pub type Field<'a> = Option<std::borrow::Cow<'a, [u8]>>;

/// Cuts a row into fields.
pub fn fields<'a>(row: &'a [u8], f: &CsvFormat, out: &mut Vec<Field<'a>>) {
    use std::borrow::Cow;
    out.clear();
    if f.enclose.is_none() && f.escape.is_none() {
        let mut push = |field: &'a [u8]| {
            let field = if f.trim_space { field.trim_ascii() } else { field };
            out.push(if field == b"\\N" { None } else { Some(Cow::Borrowed(field)) });
        };
        if let [one] = f.column_separator[..] {
            let mut from = 0;
            for at in memchr::memchr_iter(one, row) {
                push(&row[from..at]);
                from = at + 1;
            }
            push(&row[from..]);
        } else {
            let mut from = 0;
            for at in memmem::find_iter(row, &f.column_separator) {
                push(&row[from..at]);
                from = at + f.column_separator.len();
            }
            push(&row[from..]);
        }
        return;
    }
    let mut i = 0;
    loop {
        let mut value: Vec<u8> = Vec::new();
        let mut quoted = false;
        let mut escaped_null = false;
        if f.trim_space {
            while row.get(i) == Some(&b' ') {
                i += 1;
            }
        }
        if f.enclose.is_some() && row.get(i).copied() == f.enclose {
            quoted = true;
            i += 1;
            while i < row.len() {
                let b = row[i];
                if Some(b) == f.escape && i + 1 < row.len() && Some(b) != f.enclose {
                    value.push(unescape(row[i + 1]));
                    i += 2;
                } else if Some(b) == f.enclose {
                    if row.get(i + 1).copied() == f.enclose {
                        value.push(b);
                        i += 2;
                    } else {
                        i += 1;
                        break;
                    }
                } else {
                    value.push(b);
                    i += 1;
                }
            }
        }
        while i < row.len() && !row[i..].starts_with(&f.column_separator) {
            let b = row[i];
            if Some(b) == f.escape && i + 1 < row.len() {
                if row[i + 1] == b'N' && value.is_empty() {
                    escaped_null = true;
                }
                value.push(unescape(row[i + 1]));
                i += 2;
            } else {
                value.push(b);
                i += 1;
            }
        }
        if f.trim_space && !quoted {
            while value.last() == Some(&b' ') {
                value.pop();
            }
        }
        let null = !quoted && (value == b"\\N" || (escaped_null && value == b"N"));
        out.push(if null { None } else { Some(Cow::Owned(value)) });
        if i >= row.len() {
            return;
        }
        i += f.column_separator.len();
    }
}

fn unescape(b: u8) -> u8 {
    match b {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        other => other,
    }
}

/// `\x01`, `0x01`, `\t`, `\n` in a separator header.
pub fn separator(text: &str) -> Result<Vec<u8>, String> {
    let lower = text.to_ascii_lowercase();
    let out = if let Some(digits) = lower.strip_prefix("\\x").or_else(|| lower.strip_prefix("0x")) {
        hex::decode(digits).map_err(|_| format!("Invalid separator '{text}': the number of hex digits must be even"))?
    } else {
        text.replace("\\t", "\t").replace("\\n", "\n").replace("\\r", "\r").into_bytes()
    };
    if out.is_empty() || out.len() > 50 {
        return Err(format!("Invalid separator '{text}': its length must be between 1 and 50 bytes"));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, f: &CsvFormat) -> Vec<Vec<Option<String>>> {
        let mut rows = Rows::new(text.as_bytes(), f);
        let mut out = Vec::new();
        let mut cells = Vec::new();
        while let Some(row) = rows.next_row() {
            fields(row, f, &mut cells);
            out.push(cells.iter().map(|c| c.as_ref().map(|c| String::from_utf8_lossy(c).into_owned())).collect());
        }
        out
    }

    fn plain(sep: &str, row: &str) -> CsvFormat {
        CsvFormat {
            column_separator: separator(sep).unwrap(),
            row_delimiter: separator(row).unwrap(),
            enclose: None,
            escape: None,
            trim_space: false,
        }
    }

    fn s(v: &[&str]) -> Vec<Option<String>> {
        v.iter().map(|x| if *x == "NULL" { None } else { Some((*x).to_string()) }).collect()
    }

    #[test]
    fn rows_and_fields_are_cut_as_the_headers_say() {
        assert_eq!(all("1,a\n\n2,\\N\n", &plain(",", "\\n")), vec![s(&["1", "a"]), s(&["2", "NULL"])]);
        assert_eq!(all("1||a#2||b", &plain("||", "#")), vec![s(&["1", "a"]), s(&["2", "b"])]);
        assert_eq!(all("1\u{1}\u{1}x", &plain("\\x01", "\\n")), vec![s(&["1", "", "x"])]);
        assert!(separator("\\x0").is_err());
    }

    #[test]
    fn enclosed_fields_hold_separators_and_delimiters() {
        let f = CsvFormat { enclose: Some(b'"'), escape: Some(b'\\'), ..plain(",", "\\n") };
        assert_eq!(
            all("1,\"a,b\nc\"\"d\",x\\,y\n2,\"\\N\",\\N", &f),
            vec![s(&["1", "a,b\nc\"d", "x,y"]), s(&["2", "N", "NULL"])]
        );
    }
}
