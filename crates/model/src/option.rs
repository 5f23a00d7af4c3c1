//! One definition per option: it feeds parsing, errors, `--help` and the reference pages.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::suggest::nearest;

/// What an option's value is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OptionType {
    Text,
    Bool,
    /// A whole number and its range, both ends included.
    Int(i64, i64),
    Float(f64, f64),
    /// A duration in Flink's spelling: `10 s`, `500ms`, `3 min`, a bare number is milliseconds.
    Duration,
    /// A size in Flink's spelling: `64 mb`, `1 gb`, a bare number is bytes.
    Size,
    /// One of these words; case does not count.
    Choice(&'static [&'static str]),
    /// Never printed.
    Secret,
    /// Any option that starts with this name; the rest of the name is handed on.
    Prefix,
}

/// An option a user may write. `default` is the text that stands for it when absent.
#[derive(Debug, Clone, Copy)]
pub struct OptionDef {
    /// As the user types it. For [`OptionType::Prefix`] it ends with a dot.
    pub name: &'static str,
    pub kind: OptionType,
    pub default: Option<&'static str>,
    pub required: bool,
    /// One or two sentences: what it does, its unit, what it interacts with.
    pub description: &'static str,
    /// Older or other spellings that mean the same.
    pub aliases: &'static [&'static str],
}

impl OptionDef {
    pub const fn optional(name: &'static str, kind: OptionType, description: &'static str) -> Self {
        Self { name, kind, default: None, required: false, description, aliases: &[] }
    }

    pub const fn required(name: &'static str, kind: OptionType, description: &'static str) -> Self {
        Self { name, kind, default: None, required: true, description, aliases: &[] }
    }

    pub const fn with_default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    pub const fn with_aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// The value's form in words, for errors and reference pages.
    pub fn kind_text(&self) -> String {
        match self.kind {
            OptionType::Text => "text".into(),
            OptionType::Bool => "true or false".into(),
            OptionType::Int(min, i64::MAX) if min > i64::MIN => format!("a whole number of at least {min}"),
            OptionType::Int(i64::MIN, i64::MAX) => "a whole number".into(),
            OptionType::Int(min, max) => format!("a whole number from {min} to {max}"),
            OptionType::Float(min, max) => format!("a number from {min} to {max}"),
            OptionType::Duration => "a duration such as `10 s`".into(),
            OptionType::Size => "a size such as `64 mb`".into(),
            OptionType::Choice(words) => format!("one of {}", words.join(", ")),
            OptionType::Secret => "text (never printed)".into(),
            OptionType::Prefix => "a group of options".into(),
        }
    }

    /// Whether `value` is of this option's form and within its range.
    pub fn check(&self, value: &str) -> Result<(), OptionError> {
        let good = match self.kind {
            OptionType::Text | OptionType::Secret | OptionType::Prefix => true,
            OptionType::Bool => parse_bool(value).is_some(),
            OptionType::Int(min, max) => value.trim().parse::<i64>().is_ok_and(|n| (min..=max).contains(&n)),
            OptionType::Float(min, max) => value.trim().parse::<f64>().is_ok_and(|n| n >= min && n <= max),
            OptionType::Duration => parse_duration(value).is_some(),
            OptionType::Size => parse_size(value).is_some(),
            OptionType::Choice(words) => words.iter().any(|w| w.eq_ignore_ascii_case(value.trim())),
        };
        if good {
            return Ok(());
        }
        let hint = match self.kind {
            OptionType::Choice(words) => nearest(value, words.iter().copied()).map(|w| format!("did you mean '{w}'?")),
            _ => None,
        };
        Err(OptionError {
            option: self.name.into(),
            message: format!("option '{}' must be {}, but is '{value}'", self.name, self.kind_text()),
            hint,
        })
    }
}

/// What is wrong with which option; whoever knows the script adds the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionError {
    /// As the user wrote it; for a missing option, as it should be written.
    pub option: String,
    pub message: String,
    pub hint: Option<String>,
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for OptionError {}

impl From<OptionError> for Error {
    fn from(error: OptionError) -> Self {
        Error { kind: ErrorKind::User, message: error.message, hint: error.hint, source: None }
    }
}

/// The options of one table, checked against their definitions: every value is of its form, no name
/// is unknown, nothing required is missing.
#[derive(Debug, Clone, Default)]
pub struct Options {
    values: BTreeMap<&'static str, String>,
    groups: BTreeMap<&'static str, BTreeMap<String, String>>,
}

impl Options {
    /// All errors at once, in the order of `given`, then the missing ones.
    pub fn parse<'a>(
        definitions: &[OptionDef],
        given: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Vec<OptionError>> {
        let mut options = Options::default();
        let mut errors = Vec::new();
        for (name, value) in given {
            let exact = definitions
                .iter()
                .find(|d| d.kind != OptionType::Prefix && (d.name == name || d.aliases.contains(&name)));
            if let Some(definition) = exact {
                match definition.check(value) {
                    Ok(()) => {
                        options.values.insert(definition.name, value.to_owned());
                    }
                    Err(error) => errors.push(error),
                }
            } else if let Some((definition, rest)) = definitions
                .iter()
                .filter(|d| d.kind == OptionType::Prefix)
                .find_map(|d| Some((d, name.strip_prefix(d.name)?)).filter(|(_, rest)| !rest.is_empty()))
            {
                options.groups.entry(definition.name).or_default().insert(rest.to_owned(), value.to_owned());
            } else {
                let known = definitions.iter().map(|d| d.name);
                errors.push(OptionError {
                    option: name.to_owned(),
                    message: format!("unknown option '{name}'"),
                    hint: nearest(name, known).map(|n| format!("did you mean '{n}'?")),
                });
            }
        }
        for definition in definitions.iter().filter(|d| d.required && !options.values.contains_key(d.name)) {
            errors.push(OptionError {
                option: definition.name.into(),
                message: format!("option '{}' is missing: {}", definition.name, definition.description),
                hint: None,
            });
        }
        for definition in definitions {
            if let Some(default) = definition.default {
                options.values.entry(definition.name).or_insert_with(|| default.to_owned());
            }
        }
        if errors.is_empty() { Ok(options) } else { Err(errors) }
    }

    /// The text of an option: given, or its default.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The text of an option that is required or has a default.
    pub fn must(&self, name: &str) -> &str {
        self.text(name).unwrap_or_default()
    }

    pub fn bool(&self, name: &str) -> Option<bool> {
        self.text(name).and_then(parse_bool)
    }

    pub fn int(&self, name: &str) -> Option<i64> {
        self.text(name)?.trim().parse().ok()
    }

    pub fn float(&self, name: &str) -> Option<f64> {
        self.text(name)?.trim().parse().ok()
    }

    pub fn duration(&self, name: &str) -> Option<Duration> {
        self.text(name).and_then(parse_duration)
    }

    /// Bytes.
    pub fn size(&self, name: &str) -> Option<u64> {
        self.text(name).and_then(parse_size)
    }

    /// The options of a group, their names without the group's prefix.
    pub fn group(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.groups.get(prefix).into_iter().flatten().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

/// `true`/`false`, any case (Flink's `ConfigurationUtils.convertToBoolean`).
pub fn parse_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Flink's `TimeUtils.parseDuration`: a number and a unit; no unit means milliseconds.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let nanos_per_unit: u64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1_000_000,
        "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => 1,
        "us" | "µs" | "micro" | "micros" | "microsecond" | "microseconds" => 1_000,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000_000,
        "m" | "min" | "minute" | "minutes" => 60_000_000_000,
        "h" | "hour" | "hours" => 3_600_000_000_000,
        "d" | "day" | "days" => 86_400_000_000_000,
        _ => return None,
    };
    Some(Duration::from_nanos(number.checked_mul(nanos_per_unit)?))
}

/// Flink's `MemorySize.parse`: a number and a unit, powers of 1024; no unit means bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let shift = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" | "bytes" => 0,
        "k" | "kb" | "kibibytes" => 10,
        "m" | "mb" | "mebibytes" => 20,
        "g" | "gb" | "gibibytes" => 30,
        "t" | "tb" | "tebibytes" => 40,
        _ => return None,
    };
    number.checked_mul(1u64 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFINITIONS: &[OptionDef] = &[
        OptionDef::required("path", OptionType::Text, "the file to read"),
        OptionDef::optional("sink.max-retries", OptionType::Int(0, 1000), "tries").with_default("3"),
        OptionDef::optional("format", OptionType::Choice(&["json", "csv"]), "format"),
        OptionDef::optional("properties.", OptionType::Prefix, "handed on"),
    ];

    #[test]
    fn every_mistake_is_named_at_once_with_the_nearest_name() {
        let given = [("sink.max-retry", "1"), ("format", "jsno"), ("sink.max-retries", "2000")];
        let errors = Options::parse(DEFINITIONS, given).unwrap_err();
        let texts: Vec<_> = errors.iter().map(|e| (e.message.as_str(), e.hint.as_deref())).collect();
        assert_eq!(
            texts,
            [
                ("unknown option 'sink.max-retry'", Some("did you mean 'sink.max-retries'?")),
                ("option 'format' must be one of json, csv, but is 'jsno'", Some("did you mean 'json'?")),
                ("option 'sink.max-retries' must be a whole number from 0 to 1000, but is '2000'", None),
                ("option 'path' is missing: the file to read", None),
            ]
        );
    }

    #[test]
    fn defaults_and_groups_are_found() {
        let options = Options::parse(DEFINITIONS, [("path", "x"), ("properties.group.id", "g")]).unwrap();
        assert_eq!(options.int("sink.max-retries"), Some(3));
        assert_eq!(options.group("properties.").collect::<Vec<_>>(), [("group.id", "g")]);
    }

    #[test]
    fn durations_and_sizes_are_flinks() {
        assert_eq!(parse_duration("10 s"), Some(Duration::from_secs(10)));
        assert_eq!(parse_duration("3min"), Some(Duration::from_secs(180)));
        assert_eq!(parse_duration("250"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("99999999999999999999 d"), None);
        assert_eq!(parse_duration("s"), None);
        assert_eq!(parse_size("64 mb"), Some(64 << 20));
        assert_eq!(parse_size("1x"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_the_reading_of_options(name in ".{0,40}", value in ".{0,40}") {
            let _ = Options::parse(DEFINITIONS, [(name.as_str(), value.as_str()), ("path", value.as_str())]);
            let _ = (parse_duration(&value), parse_size(&value), parse_bool(&value));
            for definition in DEFINITIONS {
                let _ = definition.check(&value);
            }
        }

        #[test]
        fn durations_read_back_in_any_unit(number in 0u64..1_000_000, unit in 0usize..6) {
            let (text, nanos) = [("ns", 1), ("us", 1000), ("ms", 1_000_000), ("s", 1_000_000_000), ("min", 60_000_000_000), ("h", 3_600_000_000_000)][unit];
            proptest::prop_assert_eq!(parse_duration(&format!("{number} {text}")), Some(Duration::from_nanos(number * nanos)));
        }
    }
}
