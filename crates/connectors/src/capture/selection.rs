//! Which tables of a database are captured.

use starweir_model::option::OptionError;
use starweir_model::{Options, Selector, TableId};

/// The tables that the options name.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    pub tables: Selector,
    pub exclude: Option<Selector>,
    /// How the options name them, for messages.
    asked: String,
    hint: &'static str,
}

impl Selection {
    /// By `tables` and `tables.exclude` of a pipeline; `hint` says how an item is written.
    pub fn of_patterns(options: &Options, hint: &'static str) -> Result<Self, Vec<OptionError>> {
        let mut errors = Vec::new();
        let mut selector = |name: &str| match Selector::parse(options.text(name)?) {
            Ok(selector) => Some(selector),
            Err(error) => {
                let message = format!("option '{name}': {}", error.message);
                errors.push(OptionError { option: name.into(), message, hint: error.hint });
                None
            }
        };
        let (tables, exclude) = (selector("tables"), selector("tables.exclude"));
        match tables {
            Some(tables) if errors.is_empty() => {
                let asked = format!("the option 'tables' = {}", tables.text());
                Ok(Self { tables, exclude, asked, hint })
            }
            _ => Err(errors),
        }
    }

    /// By options of a script, each a regular expression for one part of a table's name. `before` are the parts in
    /// front of them, taken as they are.
    pub fn of_expressions(before: &[&str], named: &[(&str, &str)]) -> Result<Self, Vec<OptionError>> {
        let literal: Vec<String> = before.iter().map(|part| regex::escape(part)).collect();
        let parts: Vec<&str> = literal.iter().map(String::as_str).chain(named.iter().map(|(_, text)| *text)).collect();
        let tables = Selector::from_expressions(&parts).map_err(|(at, error)| {
            let name = at.checked_sub(before.len()).and_then(|at| named.get(at)).map_or("table-name", |(name, _)| name);
            let message = format!("option '{name}' is not a regular expression");
            vec![OptionError { option: name.to_owned(), message, hint: error.source.map(|cause| cause.to_string()) }]
        })?;
        let asked: Vec<String> = named.iter().map(|(name, text)| format!("'{name}' = '{text}'")).collect();
        Ok(Self {
            tables,
            exclude: None,
            asked: format!("the options {}", asked.join(", ")),
            hint: "each is a regular expression that has to match the whole name",
        })
    }

    pub fn matches(&self, id: &TableId) -> bool {
        self.tables.matches(id) && !self.exclude.as_ref().is_some_and(|e| e.matches(id))
    }

    /// That no table matches.
    pub fn none_found(&self) -> starweir_model::Error {
        starweir_model::Error::user(format!("Cannot find any table by {}", self.asked)).with_hint(self.hint)
    }
}
