//! Rows for people and for machines.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr as _;

use crate::grid::grid;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A grid with a header.
    Table,
    /// A line for each column.
    Vertical,
    /// Tab-separated, with a header.
    Tab,
    /// Comma-separated (RFC 4180), with a header; NULL is empty, an empty text is `""`.
    Csv,
    /// A JSON object for each row.
    Json,
}

/// What a column holds, as far as output differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Number,
    Bytes,
}

pub struct Column {
    pub name: String,
    pub kind: Kind,
}

pub type Row = Vec<Option<Vec<u8>>>;

/// Writes the rows of one result as they come; only the forms for people wait for all of them.
pub struct Printer<'a, W: Write> {
    out: &'a mut W,
    format: Format,
    columns: &'a [Column],
    kept: Vec<Vec<Option<String>>>,
    rows: u64,
}

fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(t) => t.to_string(),
        Err(_) => hex(bytes),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold("0x".to_string(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

impl<'a, W: Write> Printer<'a, W> {
    pub fn new(out: &'a mut W, format: Format, columns: &'a [Column]) -> io::Result<Self> {
        match format {
            Format::Tab => {
                let names: Vec<String> = columns.iter().map(|c| tab_cell(c.name.as_bytes())).collect();
                writeln!(out, "{}", names.join("\t"))?;
            }
            Format::Csv => {
                let names: Vec<String> = columns.iter().map(|c| csv_cell(c.name.as_bytes())).collect();
                writeln!(out, "{}", names.join(","))?;
            }
            Format::Table | Format::Vertical | Format::Json => {}
        }
        Ok(Printer { out, format, columns, kept: Vec::new(), rows: 0 })
    }

    pub fn row(&mut self, row: Row) -> io::Result<()> {
        self.rows += 1;
        match self.format {
            Format::Table => self.kept.push(row.iter().map(|c| c.as_deref().map(text)).collect()),
            Format::Vertical => self.vertical(&row)?,
            Format::Tab => {
                let cells: Vec<String> =
                    row.iter().map(|c| c.as_deref().map_or_else(|| "NULL".into(), tab_cell)).collect();
                writeln!(self.out, "{}", cells.join("\t"))?;
            }
            Format::Csv => {
                let cells: Vec<String> = row.iter().map(|c| c.as_deref().map_or_else(String::new, csv_cell)).collect();
                writeln!(self.out, "{}", cells.join(","))?;
            }
            Format::Json => {
                let fields: Vec<String> = self
                    .columns
                    .iter()
                    .zip(&row)
                    .map(|(c, v)| format!("{}:{}", json_text(&c.name), json_cell(c.kind, v.as_deref())))
                    .collect();
                writeln!(self.out, "{{{}}}", fields.join(","))?;
            }
        }
        Ok(())
    }

    fn vertical(&mut self, row: &Row) -> io::Result<()> {
        let stars = "*".repeat(27);
        writeln!(self.out, "{stars} {}. row {stars}", self.rows)?;
        let widest = self.columns.iter().map(|c| c.name.width()).max().unwrap_or(0);
        for (column, cell) in self.columns.iter().zip(row) {
            let pad = " ".repeat(widest - column.name.width());
            let value = cell.as_deref().map_or_else(|| "NULL".into(), text);
            writeln!(self.out, "{pad}{}: {value}", column.name)?;
        }
        Ok(())
    }

    /// The number of rows.
    pub fn finish(self) -> io::Result<u64> {
        if self.format == Format::Table && !self.kept.is_empty() {
            let names: Vec<String> = self.columns.iter().map(|c| c.name.clone()).collect();
            write!(self.out, "{}", grid(&names, &self.kept))?;
        }
        self.out.flush()?;
        Ok(self.rows)
    }
}

/// As the mysql client escapes it in batches.
fn tab_cell(bytes: &[u8]) -> String {
    let mut out = String::new();
    for c in text(bytes).chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\0' => out.push_str("\\0"),
            c => out.push(c),
        }
    }
    out
}

fn csv_cell(bytes: &[u8]) -> String {
    let text = text(bytes);
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn json_cell(kind: Kind, value: Option<&[u8]>) -> String {
    let Some(bytes) = value else { return "null".into() };
    match kind {
        // The server's digits, so that no decimal loses any; `nan` and `inf` are no JSON numbers.
        Kind::Number if serde_json::from_slice::<&serde_json::value::RawValue>(bytes).is_ok() => text(bytes),
        Kind::Number | Kind::Text => json_text(&text(bytes)),
        Kind::Bytes => json_text(&hex(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(format: Format, rows: &[&[Option<&[u8]>]]) -> String {
        let column = |name: &str, kind| Column { name: name.into(), kind };
        let columns = [column("n", Kind::Number), column("te,xt", Kind::Text), column("b", Kind::Bytes)];
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, format, &columns).unwrap();
        for row in rows {
            printer.row(row.iter().map(|c| c.map(<[u8]>::to_vec)).collect()).unwrap();
        }
        assert_eq!(printer.finish().unwrap(), rows.len() as u64);
        String::from_utf8(out).unwrap()
    }

    const ROWS: &[&[Option<&[u8]>]] = &[
        &[Some(b"12345678901234567890.12"), Some("a \"b\"\t山".as_bytes()), Some(b"\x00\xff")],
        &[Some(b"nan"), Some(b""), None],
    ];

    #[test]
    fn every_format_keeps_null_empty_and_odd_letters_apart() {
        assert_eq!(
            printed(Format::Json, ROWS),
            "{\"n\":12345678901234567890.12,\"te,xt\":\"a \\\"b\\\"\\t山\",\"b\":\"0x00ff\"}\n{\"n\":\"nan\",\"te,xt\":\"\",\"b\":null}\n"
        );
        assert_eq!(
            printed(Format::Csv, ROWS),
            "n,\"te,xt\",b\n12345678901234567890.12,\"a \"\"b\"\"\t山\",0x00ff\nnan,\"\",\n"
        );
        assert_eq!(
            printed(Format::Tab, ROWS),
            "n\tte,xt\tb\n12345678901234567890.12\ta \"b\"\\t山\t0x00ff\nnan\t\tNULL\n"
        );
        let table = printed(Format::Table, &ROWS[1..]);
        assert!(table.contains("| nan |       | NULL |"), "{table}");
        let vertical = printed(Format::Vertical, &ROWS[1..]);
        assert!(
            vertical.contains(" 1. row ") && vertical.ends_with("    n: nan\nte,xt: \n    b: NULL\n"),
            "{vertical}"
        );
    }

    #[test]
    fn no_rows_print_no_grid_but_a_header_for_machines() {
        assert_eq!(printed(Format::Table, &[]), "");
        assert_eq!(printed(Format::Json, &[]), "");
        assert_eq!(printed(Format::Csv, &[]), "n,\"te,xt\",b\n");
    }
}
