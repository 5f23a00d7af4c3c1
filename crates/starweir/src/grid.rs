//! Rows as a table in the terminal, widths counted as they are shown.

use unicode_width::UnicodeWidthStr;

/// The longest cell that is shown whole.
const CELL_WIDTH_MAX: usize = 60;

/// A grid with a header, as the mysql client draws it. NULL is None.
pub fn grid(columns: &[String], rows: &[Vec<Option<String>>]) -> String {
    let cell = |text: &Option<String>| -> String {
        let text = text.as_deref().unwrap_or("NULL").replace(['\n', '\r', '\t'], " ");
        if text.width() <= CELL_WIDTH_MAX {
            return text;
        }
        let mut cut = String::new();
        for c in text.chars() {
            if cut.width() >= CELL_WIDTH_MAX - 1 {
                break;
            }
            cut.push(c);
        }
        cut.push('…');
        cut
    };
    let texts: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let mut widths: Vec<usize> = columns.iter().map(|c| c.width()).collect();
    for row in &texts {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.width());
        }
    }
    let rule: String = widths.iter().map(|w| format!("+{}", "-".repeat(w + 2))).collect::<String>() + "+\n";
    let line = |cells: &[String]| -> String {
        let parts =
            cells.iter().zip(&widths).map(|(text, width)| format!("| {text}{} ", " ".repeat(width - text.width())));
        parts.collect::<String>() + "|\n"
    };
    let mut out = rule.clone();
    out.push_str(&line(columns));
    out.push_str(&rule);
    for row in &texts {
        out.push_str(&line(row));
    }
    out.push_str(&rule);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_keep_the_columns_straight() {
        let rows = vec![vec![Some("山田".into()), None], vec![Some("a".into()), Some("b".into())]];
        let text = grid(&["name".into(), "x".into()], &rows);
        assert_eq!(
            text,
            "+------+------+\n| name | x    |\n+------+------+\n| 山田 | NULL |\n| a    | b    |\n+------+------+\n"
        );
    }
}
