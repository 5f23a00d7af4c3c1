//! Texts of errors, with the values of rows in them kept apart: they are shown only where the settings allow it.

use starweir_model::Error;

/// Stand around a value inside of a message; no text of ours holds them.
const OPEN: char = '\u{1}';
const CLOSE: char = '\u{2}';

/// A value of a row inside of a message.
pub(super) fn private(value: &str) -> String {
    format!("{OPEN}{value}{CLOSE}")
}

/// The message with its values, or with a mark in the place of each.
pub(super) fn settled(message: &str, show: bool) -> String {
    if !message.contains(OPEN) {
        return message.to_owned();
    }
    if show {
        return message.replace([OPEN, CLOSE], "");
    }
    let mut out = String::new();
    let mut depth = 0usize;
    for c in message.chars() {
        match c {
            OPEN => {
                if depth == 0 {
                    out.push('…');
                }
                depth += 1;
            }
            CLOSE => depth = depth.saturating_sub(1),
            other if depth == 0 => out.push(other),
            _ => {}
        }
    }
    out
}

/// The error with its own and its causes' messages settled.
pub(super) fn settle(error: Error, show: bool) -> Error {
    let Error { kind, message, hint, source } = error;
    let source = source.map(|source| match source.downcast::<Error>() {
        Ok(inner) => Box::new(settle(*inner, show)) as Box<dyn std::error::Error + Send + Sync>,
        Err(other) => settled(&other.to_string(), show).into(),
    });
    Error { kind, message: settled(&message, show), hint, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_out_of_messages_unless_asked_for() {
        let error = Error::data(format!("Unparseable date: \"{}\"", private("secret"))).context("a row failed");
        assert_eq!(settle(error, false).chain(), "a row failed: Unparseable date: \"…\"");
        let error = Error::data(format!("Unparseable date: \"{}\"", private("open")));
        assert_eq!(settle(error, true).message, "Unparseable date: \"open\"");
    }
}
