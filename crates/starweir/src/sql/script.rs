//! Statements of a file, of standard input or of `-e`.

use super::client::Failure;
use super::output::Format;
use super::split::{Ending, Statement, split};
use super::{EXIT_CONNECTION, Session};
use crate::report::EXIT_USER;

/// Runs all statements of a text. The first that fails ends it, unless the session goes on after errors.
/// `name` is said with an error.
pub async fn run(session: &mut Session, text: &str, name: &str) -> u8 {
    let found = split(text);
    if found.open {
        eprintln!("Error: a quote or a comment of {name} is not closed");
        return EXIT_USER;
    }
    let rest = Some(found.rest).filter(|text| !text.is_empty());
    let rest = rest.map(|text| Statement { text, ending: Ending::Plain });
    let mut code = 0;
    for statement in found.statements.into_iter().chain(rest) {
        let format = match statement.ending {
            Ending::Vertical => Format::Vertical,
            Ending::Plain => session.format,
        };
        match session.run(&statement.text, format).await {
            Ok(()) => {}
            Err(Failure::Statement { code: number, message }) => {
                eprintln!("Error {number} in {name}: {message}\n  {}", first_line(&statement.text));
                code = EXIT_USER;
                if !session.force {
                    return code;
                }
            }
            Err(Failure::Connection(e)) => {
                eprintln!("Error: the connection was lost: {e}");
                return EXIT_CONNECTION;
            }
            // The reader of our output has seen enough.
            Err(Failure::Output(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => return code,
            Err(Failure::Output(e)) => {
                eprintln!("Error: the rows cannot be written: {e}");
                return 1;
            }
        }
    }
    code
}

/// Enough of a statement to find it by. Nothing of one that holds a password.
fn first_line(text: &str) -> String {
    if text.to_uppercase().contains("IDENTIFIED") || text.to_uppercase().contains("PASSWORD") {
        return "(a statement with a password)".into();
    }
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() > 100 { line.chars().take(99).chain(['…']).collect() } else { line.to_string() }
}
