//! `types/postgres-*`: types of PostgreSQL as types of captured columns.

use std::path::Path;

use anyhow::{anyhow, bail};
use serde_json::Value as Json;
use starweir_formats::postgres::{
    BinaryMode, DecimalMode, HstoreMode, IntervalMode, Kind, TypeOptions, binary, hstore, interval, money, numeric,
    precision_of,
};
use starweir_model::DataType;

use super::{Case, Outcome, notation, run_file};

pub fn run(directory: &Path, filter: Option<&str>, cases: &mut Vec<Case>) -> anyhow::Result<()> {
    run_file(&directory.join("types"), "postgres-type-functions.jsonl", filter, cases, function)
}

fn function(json: &Json) -> anyhow::Result<Outcome> {
    let args = json["args"].as_array().ok_or_else(|| anyhow!("no args"))?;
    let number = |i: usize| args.get(i).and_then(Json::as_i64).and_then(|n| i32::try_from(n).ok()).unwrap_or(0);
    // The mode is the one text among the arguments.
    let mode = args.iter().find_map(Json::as_str).unwrap_or_default();
    let decimal = || -> anyhow::Result<DecimalMode> {
        Ok(match mode {
            "PRECISE" => DecimalMode::Precise,
            "DOUBLE" => DecimalMode::Double,
            "STRING" => DecimalMode::String,
            other => bail!("mode {other}"),
        })
    };
    let scale = args.iter().find_map(Json::as_i64).and_then(|n| i32::try_from(n).ok()).unwrap_or(-1);
    let name = notation::text(json, "function")?;
    let logical = match name {
        "handleNumericWithDecimalMode" => numeric(number(0), number(1), decimal()?),
        "handleMoneyWithDecimalMode" => money(u8::try_from(number(0))?, decimal()?),
        "handleBinaryWithBinaryMode" => binary(match mode {
            "BYTES" => BinaryMode::Bytes,
            "BASE64" => BinaryMode::Base64,
            "BASE64_URL_SAFE" => BinaryMode::Base64UrlSafe,
            "HEX" => BinaryMode::Hex,
            other => bail!("mode {other}"),
        }),
        "handleIntervalWithIntervalHandlingMode" => interval(match mode {
            "NUMERIC" => IntervalMode::Numeric,
            "STRING" => IntervalMode::String,
            other => bail!("mode {other}"),
        }),
        "handleHstoreWithHstoreMode" => hstore(match mode {
            "JSON" => HstoreMode::Json,
            "MAP" => HstoreMode::Map,
            other => bail!("mode {other}"),
        }),
        "handleDateWithTemporalMode" => Kind::Date.logical(TypeOptions::default()),
        "handleTimeWithTemporalMode" => Kind::Time(precision_of(scale)).logical(TypeOptions::default()),
        "handleTimestampWithTemporalMode" => Kind::Timestamp(precision_of(scale)).logical(TypeOptions::default()),
        other => bail!("function {other} is not known"),
    };
    let found = DataType::nullable(logical).to_string();
    let expected = notation::text(&json["expect"], "equals")?;
    Ok(if found == expected { Ok(()) } else { Err(format!("expected {expected}, got {found}")) })
}
