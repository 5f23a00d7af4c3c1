//! One error for every crate of ours: who has to act, what could not be done, and a hint.

use std::fmt;

/// Who has to act. Each kind is treated differently somewhere; there are no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The script, file or option is wrong: refused before anything is opened. Exit code 2.
    User,
    /// A row could not be decoded or loaded. The job stops at it unless told otherwise. Exit code 1.
    Data,
    /// An outside system did not answer, or said "later". The job restarts by itself. Exit code 3.
    Unavailable,
    /// An outside system refused for good: access, a missing table, a lost transaction. Exit code 3.
    Refused,
    /// Our own mistake, or a damaged file of ours. Exit code 1.
    Internal,
}

impl ErrorKind {
    /// Whether a restart from the last epoch may help.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Unavailable)
    }
}

/// A sentence, its cause, and what to do about it. Texts hold names, numbers and ids, never
/// passwords, tokens or row values.
#[derive(Debug)]
pub struct Error {
    pub kind: ErrorKind,
    pub message: String,
    pub hint: Option<String>,
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::User, message)
    }
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, message)
    }
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, message)
    }
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error under a sentence that says what was being done.
    pub fn context(self, message: impl Into<String>) -> Self {
        Self { kind: self.kind, message: message.into(), hint: None, source: Some(Box::new(self)) }
    }

    /// The nearest hint in the chain.
    pub fn hint(&self) -> Option<&str> {
        if let Some(hint) = &self.hint {
            return Some(hint);
        }
        let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(self);
        while let Some(error) = cause {
            if let Some(hint) = error.downcast_ref::<Error>().and_then(|e| e.hint.as_deref()) {
                return Some(hint);
            }
            cause = error.source();
        }
        None
    }

    /// The sentence and its causes, joined by ": ".
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(self);
        while let Some(error) = cause {
            let more = error.to_string();
            if !more.is_empty() && !text.ends_with(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| &**e as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_reads_as_one_sentence_and_finds_the_hint() {
        let error = Error::refused("access denied").with_hint("grant INSERT").context("load into d.t");
        assert_eq!(error.chain(), "load into d.t: access denied");
        assert_eq!(error.hint(), Some("grant INSERT"));
        assert_eq!(error.kind, ErrorKind::Refused);
    }
}
