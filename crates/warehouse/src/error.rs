//! The error a MySQL client sees: a code and a sentence. Codes are those of StarRocks' `ErrorCode`.

use std::fmt;

use datafusion::error::DataFusionError;

/// An error with StarRocks' code for it. 1064 is the code of nearly every syntax and analysis error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    pub code: u16,
    pub message: String,
    /// The function whose call is wrong; the message then gets the call's place in the statement.
    pub about: Option<String>,
}

pub type SqlResult<T> = Result<T, SqlError>;

impl SqlError {
    pub fn new(code: u16, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), about: None }
    }

    /// A wrong meaning: unknown column, wrong type. StarRocks puts the place before the detail.
    pub fn analysis(detail: impl fmt::Display) -> Self {
        Self::new(1064, format!("Getting analyzing error. Detail message: {detail}."))
    }

    /// A wrong form.
    pub fn syntax(detail: impl fmt::Display) -> Self {
        Self::new(1064, format!("Getting syntax error. Detail message: {detail}."))
    }

    /// The same error, about a call of a function.
    #[must_use]
    pub fn of_call(mut self, function: &str) -> Self {
        self.about.get_or_insert_with(|| function.to_string());
        self
    }

    /// The same error, with its place: `from line 1, column 7 to line 1, column 9`.
    #[must_use]
    pub fn within(mut self, span: impl fmt::Display) -> Self {
        for kind in ["Getting analyzing error", "Getting syntax error"] {
            if let Some(rest) = self.message.strip_prefix(kind).filter(|r| r.starts_with(". Detail message:")) {
                self.message = format!("{kind} {span}{rest}");
                break;
            }
        }
        self
    }

    /// No form of a function takes these types.
    pub fn no_function(name: &str, types: &[String]) -> Self {
        Self::analysis(format!("No matching function with signature: {name}({})", types.join(", ")))
    }

    /// A refusal at run time, with nothing around the sentence.
    pub fn plain(message: impl Into<String>) -> Self {
        Self::new(1064, message)
    }

    /// What this warehouse leaves to a cluster.
    pub fn unsupported(feature: impl fmt::Display) -> Self {
        Self::new(1064, format!("not supported by the local warehouse: {feature}; use a StarRocks cluster"))
    }

    pub fn unknown_database(name: &str) -> Self {
        Self::new(5501, format!("Getting analyzing error. Detail message: Unknown database '{name}'."))
    }

    pub fn unknown_table(name: &str) -> Self {
        Self::new(5502, format!("Unknown table '{name}'"))
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SqlError {}

impl From<DataFusionError> for SqlError {
    fn from(error: DataFusionError) -> Self {
        fn root(error: &DataFusionError) -> Option<SqlError> {
            match error {
                DataFusionError::External(e) => e.downcast_ref::<SqlError>().cloned(),
                DataFusionError::Context(_, e) | DataFusionError::Diagnostic(_, e) => root(e),
                DataFusionError::Shared(e) => root(e),
                DataFusionError::Collection(all) => all.first().and_then(root),
                _ => None,
            }
        }
        if let Some(known) = root(&error) {
            return known;
        }
        let text = error.strip_backtrace();
        if let Some(at) = text.find("Order by column out of bounds, specified: ") {
            let position: String =
                text[at..].chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
            return Self::analysis(format!("ORDER BY position {position} is not in select list"));
        }
        match error {
            DataFusionError::SQL(e, _) => Self::syntax(e),
            DataFusionError::SchemaError(e, _) => {
                Self::analysis(format!("Column {e}").replace("Column Schema error: ", ""))
            }
            other => Self::analysis(other.strip_backtrace()),
        }
    }
}

impl From<SqlError> for DataFusionError {
    fn from(error: SqlError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

impl From<arrow::error::ArrowError> for SqlError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::plain(error.to_string())
    }
}

impl From<starweir_model::Error> for SqlError {
    fn from(error: starweir_model::Error) -> Self {
        Self::plain(error.chain())
    }
}

impl From<SqlError> for starweir_model::Error {
    fn from(error: SqlError) -> Self {
        starweir_model::Error::refused(format!("{} (code {})", error.message, error.code))
    }
}
