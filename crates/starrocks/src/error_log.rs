//! The first rejected rows of a load: why, and, if wanted, what they were.

use starweir_model::Result;

use crate::client::Client;

impl Client {
    /// The first lines behind an answer's `ErrorURL`, at most `lines_max`. With `hide_values` the rows and the
    /// values quoted in reasons are replaced by `***`, as the option `sink.sanitize-error-log` asks.
    pub async fn error_rows(&self, url: &str, lines_max: usize, hide_values: bool) -> Result<Vec<String>> {
        let body = self.fetch(url).await?;
        let text = String::from_utf8_lossy(&body);
        let lines = text.lines().filter(|l| !l.trim().is_empty()).take(lines_max);
        Ok(lines
            .map(|line| {
                let line: String = line.chars().take(2000).collect();
                if hide_values { sanitize(&line) } else { line }
            })
            .collect())
    }
}

/// A reason without the values of rows: `Row: …` and what stands in quotes after words that introduce a value.
pub fn sanitize(line: &str) -> String {
    let mut rest = line;
    let mut tail = "";
    for mark in ["Row: ", "row: "] {
        if let Some(at) = rest.find(mark) {
            rest = &rest[..at + mark.len()];
            tail = "***";
        }
    }
    let mut out = String::new();
    loop {
        let found = ["Value '", "String '", "Decimal '", "value '", "Value: "]
            .iter()
            .filter_map(|mark| rest.find(mark).map(|at| (at + mark.len(), mark.ends_with('\''))))
            .min();
        let Some((start, quoted)) = found else { break };
        out.push_str(&rest[..start]);
        out.push_str("***");
        // The value may hold quotes itself, so it ends where the reason's own words go on.
        let after = &rest[start..];
        let end = if quoted {
            ["' is ", "'(length", "' can", "' of "].iter().filter_map(|m| after.find(m)).min()
        } else {
            after.find(". Row: ")
        };
        match end {
            Some(end) => rest = &after[end..],
            None => {
                rest = "";
                break;
            }
        }
    }
    out.push_str(rest);
    out.push_str(tail);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stay_and_values_go() {
        for (line, expected) in [
            (
                "Error: NULL value in non-nullable column 'c'. Row: [1, NULL]",
                "Error: NULL value in non-nullable column 'c'. Row: ***",
            ),
            (
                "Error: Value 'it's' is out of range. The type of 'c' is INT. Row: x",
                "Error: Value '***' is out of range. The type of 'c' is INT. Row: ***",
            ),
            (
                "Error: String 'abc'(length=3) is too long. The max length of 'c' is 2. Row: abc",
                "Error: String '***'(length=3) is too long. The max length of 'c' is 2. Row: ***",
            ),
            ("too many filtered rows", "too many filtered rows"),
            ("Type: INT, Value length: 3, Value: abc", "Type: INT, Value length: 3, Value: ***"),
        ] {
            assert_eq!(sanitize(line), expected);
        }
    }
}
