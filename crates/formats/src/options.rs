//! The options of each format, their names without the format's prefix.

use starweir_model::{Error, OptionDef, OptionType, Options, Result, nearest};

use crate::convert::Rules;
use crate::time::TimestampStyle;

/// The formats there are.
pub const FORMATS: &[&str] = &["json", "csv", "raw", "debezium-json", "canal-json", "maxwell-json", "ogg-json"];

const IGNORE: OptionDef = OptionDef::optional(
    "ignore-parse-errors",
    OptionType::Bool,
    "a value that does not fit becomes NULL, a message that cannot be read is skipped and counted, instead of failing",
)
.with_default("false");
const TIMESTAMPS: OptionDef = OptionDef::optional(
    "timestamp-format.standard",
    OptionType::Choice(&["SQL", "ISO-8601"]),
    "how timestamps are written: `2024-01-31 10:20:30.5` or `2024-01-31T10:20:30.5`",
)
.with_default("SQL");
const NULL_KEYS: OptionDef = OptionDef::optional(
    "map-null-key.mode",
    OptionType::Choice(&["FAIL", "DROP", "LITERAL"]),
    "what is written for a MAP entry whose key is NULL",
)
.with_default("FAIL");
const NULL_KEY_LITERAL: OptionDef =
    OptionDef::optional("map-null-key.literal", OptionType::Text, "the key written when the mode is LITERAL")
        .with_default("null");
const PLAIN_DECIMALS: OptionDef = OptionDef::optional(
    "encode.decimal-as-plain-number",
    OptionType::Bool,
    "writes decimals without exponent (false: as Java prints them, which may use one)",
)
.with_default("false");
const SKIP_NULLS: OptionDef =
    OptionDef::optional("encode.ignore-null-fields", OptionType::Bool, "leaves fields that are NULL out")
        .with_default("false");
const JSON_PARSER: OptionDef = OptionDef::optional(
    "decode.json-parser.enabled",
    OptionType::Bool,
    "accepted for Flink's scripts; there is one parser here",
)
.with_default("true");

const JSON: &[OptionDef] = &[
    OptionDef::optional(
        "fail-on-missing-field",
        OptionType::Bool,
        "fails when a field is missing instead of giving NULL",
    )
    .with_default("false"),
    IGNORE,
    TIMESTAMPS,
    NULL_KEYS,
    NULL_KEY_LITERAL,
    PLAIN_DECIMALS,
    SKIP_NULLS,
    JSON_PARSER,
];

const DEBEZIUM: &[OptionDef] = &[
    OptionDef::optional(
        "schema-include",
        OptionType::Bool,
        "messages are wrapped as {schema, payload} (value.converter.schemas.enable = true); both forms are read either way",
    )
    .with_default("false"),
    IGNORE,
    TIMESTAMPS,
    NULL_KEYS,
    NULL_KEY_LITERAL,
    PLAIN_DECIMALS,
    SKIP_NULLS,
    JSON_PARSER,
];

const CANAL: &[OptionDef] = &[
    OptionDef::optional(
        "database.include",
        OptionType::Text,
        "a regular expression; events of databases whose whole name it does not match are passed over",
    ),
    OptionDef::optional(
        "table.include",
        OptionType::Text,
        "a regular expression; events of tables whose whole name it does not match are passed over",
    ),
    IGNORE,
    TIMESTAMPS,
    NULL_KEYS,
    NULL_KEY_LITERAL,
    PLAIN_DECIMALS,
    SKIP_NULLS,
    JSON_PARSER,
];

const CHANGES: &[OptionDef] =
    &[IGNORE, TIMESTAMPS, NULL_KEYS, NULL_KEY_LITERAL, PLAIN_DECIMALS, SKIP_NULLS, JSON_PARSER];

const CSV: &[OptionDef] = &[
    OptionDef::optional(
        "field-delimiter",
        OptionType::Text,
        "the character between fields; escapes such as \\t are understood",
    )
    .with_default(","),
    OptionDef::optional("disable-quote-character", OptionType::Bool, "no quotes at all; excludes quote-character")
        .with_default("false"),
    OptionDef::optional("quote-character", OptionType::Text, "the character around fields that hold a delimiter")
        .with_default("\""),
    OptionDef::optional("allow-comments", OptionType::Bool, "lines that begin with # are skipped")
        .with_default("false"),
    IGNORE,
    OptionDef::optional("array-element-delimiter", OptionType::Text, "what separates the elements of an ARRAY or ROW")
        .with_default(";"),
    OptionDef::optional(
        "escape-character",
        OptionType::Text,
        "the character after which the next one stands for itself",
    ),
    OptionDef::optional(
        "null-literal",
        OptionType::Text,
        "the text that stands for NULL; without it only missing fields are NULL",
    ),
    OptionDef::optional(
        "write-bigdecimal-in-scientific-notation",
        OptionType::Bool,
        "writes decimals as Java prints them, which may use an exponent",
    )
    .with_default("true"),
];

const RAW: &[OptionDef] = &[
    OptionDef::optional(
        "charset",
        OptionType::Text,
        "the encoding of text: UTF-8, ISO-8859-1, US-ASCII, UTF-16BE, UTF-16LE or UTF-16",
    )
    .with_default("UTF-8"),
    OptionDef::optional(
        "endianness",
        OptionType::Choice(&["big-endian", "little-endian"]),
        "the byte order of numbers",
    )
    .with_default("big-endian"),
];

const INCLUDE_SCHEMA: OptionDef = OptionDef::optional(
    "include-schema.enabled",
    OptionType::Bool,
    "wraps each message as {schema, payload}, the schema saying the columns' types (Kafka Connect's form)",
)
.with_default("false");

/// What the messages about changes of captured tables have in common; also their keys as json.
pub(crate) const CAPTURED: &[OptionDef] = &[TIMESTAMPS, NULL_KEYS, NULL_KEY_LITERAL, PLAIN_DECIMALS, SKIP_NULLS];

pub(crate) const CAPTURED_DEBEZIUM: &[OptionDef] =
    &[INCLUDE_SCHEMA, TIMESTAMPS, NULL_KEYS, NULL_KEY_LITERAL, PLAIN_DECIMALS, SKIP_NULLS];

/// The options of a format, names without the format's prefix; None for an unknown format.
pub fn definitions(format: &str) -> Option<&'static [OptionDef]> {
    match format {
        "json" => Some(JSON),
        "csv" => Some(CSV),
        "raw" => Some(RAW),
        "debezium-json" => Some(DEBEZIUM),
        "canal-json" => Some(CANAL),
        "maxwell-json" | "ogg-json" => Some(CHANGES),
        _ => None,
    }
}

pub(crate) fn unknown(format: &str) -> Error {
    unknown_among(format, FORMATS)
}

pub(crate) fn unknown_among(format: &str, known: &[&'static str]) -> Error {
    let error = Error::user(format!("unknown format '{format}': known are {}", known.join(", ")));
    match nearest(format, known.iter().copied()) {
        Some(name) => error.with_hint(format!("did you mean '{name}'?")),
        None => error,
    }
}

/// The rules of the JSON family from its options.
pub(crate) fn json_rules(options: &Options, change: bool) -> Result<Rules> {
    let ignore_errors = options.bool("ignore-parse-errors").unwrap_or(false);
    let fail_on_missing = options.bool("fail-on-missing-field").unwrap_or(false);
    if ignore_errors && fail_on_missing {
        return Err(Error::user("fail-on-missing-field and ignore-parse-errors shouldn't both be true"));
    }
    Ok(Rules {
        timestamps: match (change, is_iso(options)) {
            (true, _) => TimestampStyle::Any,
            (false, true) => TimestampStyle::Iso,
            (false, false) => TimestampStyle::Sql,
        },
        ignore_errors,
        fail_on_missing,
        change,
        base64_decimals: change,
        times_in_micros: false,
    })
}

pub(crate) fn is_iso(options: &Options) -> bool {
    options.text("timestamp-format.standard").is_some_and(|t| t.eq_ignore_ascii_case("ISO-8601"))
}

/// The one ASCII character an option holds, escapes (`\t`, `\u0001`, `\\`, `U&'\0001'`) resolved. Flink resolves
/// Java escapes the same way.
pub(crate) fn character(options: &Options, name: &str) -> Result<Option<u8>> {
    let Some(text) = options.text(name) else { return Ok(None) };
    let bad = || Error::user(format!("option '{name}' must be one ASCII character"));
    let hex = |digits: &str| u8::from_str_radix(digits, 16).ok().filter(u8::is_ascii);
    let byte = match text.as_bytes() {
        [byte] if byte.is_ascii() => *byte,
        b"\\t" => b'\t',
        b"\\n" => b'\n',
        b"\\r" => b'\r',
        b"\\b" => 8,
        b"\\f" => 12,
        b"\\0" => 0,
        [b'\\', byte @ (b'\\' | b'"' | b'\'')] => *byte,
        _ => {
            let digits = text
                .strip_prefix("\\u00")
                .or_else(|| text.strip_prefix("\\x"))
                .or_else(|| text.strip_prefix("U&'\\00").and_then(|t| t.strip_suffix('\'')));
            digits.filter(|d| d.len() == 2).and_then(hex).ok_or_else(bad)?
        }
    };
    Ok(Some(byte))
}
