//! Errors for people: places underlined in the script, sentences with their cause and a hint.

use std::io::{IsTerminal, Write};

use ariadne::{Color, Config, IndexType, Label, Report, ReportKind, Source};
use starweir_job::Diagnostic;
use starweir_model::{Error, ErrorKind};

/// Exit code of a wrong script or option.
pub const EXIT_USER: u8 = 2;

/// The exit code of an error.
pub fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::User => EXIT_USER,
        ErrorKind::Data | ErrorKind::Internal => 1,
        ErrorKind::Unavailable | ErrorKind::Refused => 3,
    }
}

/// The diagnostics as they are shown: file, line, underlined words, cause, hint.
pub fn render(name: &str, text: &str, diagnostics: &[Diagnostic], color: bool) -> String {
    let mut out = Vec::new();
    for diagnostic in diagnostics {
        let Some(span) = &diagnostic.span else {
            let _ = writeln!(out, "Error: {}", diagnostic.message);
            if let Some(hint) = &diagnostic.hint {
                let _ = writeln!(out, "  hint: {hint}");
            }
            continue;
        };
        // A whole statement is marked by its first line: the rest says nothing new.
        let end = span.end.min(text.len()).max(span.start.min(text.len()));
        let start = span.start.min(end);
        let shown = text.get(start..end).unwrap_or_default();
        let first_line = shown.find('\n').map_or(end, |at| start + at);
        let span = start..first_line.max(start);
        let config = Config::default().with_color(color).with_index_type(IndexType::Byte);
        let mut report = Report::build(ReportKind::Error, (name, span.clone()))
            .with_config(config)
            .with_message(&diagnostic.message);
        let mut label = Label::new((name, span)).with_color(Color::Red);
        if !diagnostic.label.is_empty() {
            label = label.with_message(&diagnostic.label);
        } else {
            label = label.with_message("here");
        }
        report = report.with_label(label);
        if let Some(hint) = &diagnostic.hint {
            report = report.with_help(hint);
        }
        let _ = report.finish().write((name, Source::from(text)), &mut out);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Writes diagnostics to standard error and gives the exit code.
pub fn diagnostics(name: &str, text: &str, diagnostics: &[Diagnostic]) -> u8 {
    let color = std::io::stderr().is_terminal();
    eprint!("{}", render(name, text, diagnostics, color));
    let count = diagnostics.len();
    eprintln!("{count} error{} in {name}", if count == 1 { "" } else { "s" });
    EXIT_USER
}

/// Writes an error to standard error and gives the exit code.
pub fn error(error: &Error) -> u8 {
    eprintln!("Error: {}", error.message);
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(inner) = cause {
        eprintln!("  cause: {inner}");
        cause = inner.source();
    }
    if let Some(hint) = error.hint() {
        eprintln!("  hint: {hint}");
    }
    exit_code(error.kind)
}
