//! What is wrong with a script, and where.

use std::fmt;
use std::ops::Range;

use starweir_model::nearest;

/// A place in the script: byte offsets, end exclusive.
pub type Span = Range<usize>;

/// One mistake in a script. Several may be returned at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What could not be done, in one sentence without a full stop.
    pub message: String,
    /// Byte range in the script the sentence is about, when there is one.
    pub span: Option<Span>,
    /// Short text to stand under the underlined words; may be empty.
    pub label: String,
    /// What to do about it, when we know.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A mistake at a place.
    pub fn at(span: Span, message: impl Into<String>) -> Self {
        Self { message: message.into(), span: Some(span), label: String::new(), hint: None }
    }

    /// A mistake with no place of its own.
    pub fn plain(message: impl Into<String>) -> Self {
        Self { message: message.into(), span: None, label: String::new(), hint: None }
    }

    pub fn with_label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds "did you mean …?" when a known name is near to `name`.
    pub fn with_nearest<'a>(self, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(name, known) {
            Some(candidate) => self.with_hint(format!("did you mean '{candidate}'?")),
            None => self,
        }
    }

    /// What needs state, or is simply not built: refused with its place, never ignored.
    pub fn unsupported(span: Span, what: impl fmt::Display) -> Self {
        Self::at(span, format!("{what} is not supported yet")).with_label("not supported yet")
    }

    /// Line and column (both from 1, in characters) of the beginning of the span.
    pub fn position(&self, script: &str) -> Option<(usize, usize)> {
        let start = self.span.as_ref()?.start.min(script.len());
        let before = script.get(..start)?;
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
        Some((line, column))
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

impl From<Diagnostic> for starweir_model::Error {
    fn from(diagnostic: Diagnostic) -> Self {
        let mut error = starweir_model::Error::user(diagnostic.message);
        error.hint = diagnostic.hint;
        error
    }
}
