//! What is wrong with a message, where, and in which field. Never the value itself.

use std::borrow::Cow;
use std::fmt;

use starweir_model::{Error, ErrorKind};

/// Why a message gave no rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// The message is not of its format at all: the rest of it cannot be read.
    Malformed,
    /// A value does not fit the declared type of its field.
    Value,
    /// A field that must be there is not, or is NULL although declared NOT NULL.
    Missing,
    /// The batch would grow past what one array can address (2 GiB of text): finish the batch, then decode again.
    Full,
}

/// A message that could not be decoded. The decoder is as it was before the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    pub kind: DecodeErrorKind,
    /// Bytes from the start of the message (in `decode_lines`: of the record).
    pub offset: usize,
    /// The field, nested ones joined by dots; None when the trouble is not within one.
    pub field: Option<String>,
    /// What is wrong, without the value.
    pub reason: Cow<'static, str>,
    pub hint: Option<&'static str>,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.offset)?;
        if let Some(field) = &self.field {
            write!(f, ", field '{field}'")?;
        }
        Ok(())
    }
}

impl std::error::Error for DecodeError {}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        let mut out = Error::new(ErrorKind::Data, format!("a message could not be decoded: {error}"));
        out.hint = error.hint.map(str::to_owned);
        out
    }
}

/// An error on its way up; boxed, so that the hot path returns one word.
pub(crate) type Fault = Box<DecodeError>;
pub(crate) type Decoded<T> = Result<T, Fault>;

#[cold]
pub(crate) fn malformed(offset: usize, reason: &'static str) -> Fault {
    fault(DecodeErrorKind::Malformed, offset, reason)
}

#[cold]
pub(crate) fn bad_value(offset: usize, reason: &'static str) -> Fault {
    fault(DecodeErrorKind::Value, offset, reason)
}

#[cold]
pub(crate) fn fault(kind: DecodeErrorKind, offset: usize, reason: impl Into<Cow<'static, str>>) -> Fault {
    Box::new(DecodeError { kind, offset, field: None, reason: reason.into(), hint: None })
}

/// Puts a field's name before what is already there.
#[cold]
pub(crate) fn in_field(mut error: Fault, name: &str) -> Fault {
    error.field = Some(match error.field.take() {
        Some(inner) => format!("{name}.{inner}"),
        None => name.to_owned(),
    });
    error
}
