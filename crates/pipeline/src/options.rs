//! The check of a connector's options with Flink CDC's texts (`FactoryHelper`): what is missing first, then what is
//! unknown; the values are checked by whoever reads them.

use starweir_model::{Error, OptionDef, OptionType, Result};

use crate::definition::Config;

/// # Errors
/// Required options that are missing (all of them, sorted), or options that nobody knows.
pub fn check(connector: &str, definitions: &[OptionDef], given: &Config) -> Result<()> {
    let has = |definition: &OptionDef| {
        given.contains_key(definition.name) || definition.aliases.iter().any(|alias| given.contains_key(*alias))
    };
    let mut missing: Vec<&str> =
        definitions.iter().filter(|definition| definition.required && !has(definition)).map(|d| d.name).collect();
    missing.sort_unstable();
    if !missing.is_empty() {
        return Err(Error::user(format!(
            "One or more required options are missing.\n\nMissing required options are:\n\n{}",
            missing.join("\n")
        )));
    }
    let known = |name: &str| {
        definitions.iter().any(|d| match d.kind {
            OptionType::Prefix => name.strip_prefix(d.name).is_some_and(|rest| !rest.is_empty()),
            _ => d.name == name || d.aliases.contains(&name),
        })
    };
    let mut unknown: Vec<&str> = given.keys().map(String::as_str).filter(|name| !known(name)).collect();
    unknown.sort_unstable();
    if let Some(first) = unknown.first() {
        let mut supported: Vec<&str> = definitions.iter().map(|d| d.name).collect();
        supported.sort_unstable();
        let error = Error::user(format!(
            "Unsupported options found for '{connector}'.\n\nUnsupported options:\n\n{}\n\nSupported options:\n\n{}",
            unknown.join("\n"),
            supported.join("\n")
        ));
        return Err(match starweir_model::nearest(first, supported.iter().copied()) {
            Some(near) => error.with_hint(format!("did you mean '{near}'?")),
            None => error,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_before_what_is_unknown() {
        let definitions = [
            OptionDef::required("b", OptionType::Text, ""),
            OptionDef::required("a", OptionType::Text, ""),
            OptionDef::optional("p.", OptionType::Prefix, ""),
        ];
        let config = |pairs: &[&str]| pairs.iter().map(|k| ((*k).to_owned(), String::new())).collect::<Config>();
        let text = |pairs: &[&str]| check("x", &definitions, &config(pairs)).unwrap_err().message;
        assert!(text(&["q"]).ends_with("Missing required options are:\n\na\nb"));
        assert!(text(&["a", "b", "q", "p."]).contains("Unsupported options:\n\np.\nq\n\nSupported"));
        assert!(check("x", &definitions, &config(&["a", "b", "p.z"])).is_ok());
    }
}
