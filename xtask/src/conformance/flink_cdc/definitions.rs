//! `rejected/` and `definitions/`: pipeline files, their meaning and what must be refused.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use mysql_async::prelude::Queryable as _;
use serde_json::{Value as Json, json};
use starweir_job::pipeline::check_connector;
use starweir_job::{PipelineContext, build_pipeline};
use starweir_model::SystemClock;
use starweir_pipeline::PipelineDef;
use starweir_pipeline::definition::Config;

use super::notation::text;
use super::routes::same;
use super::types::Server;
use super::{Outcome, run_file};
use crate::conformance::Case;

pub fn run(directory: &Path, filter: Option<&str>, cases: &mut Vec<Case>) -> anyhow::Result<()> {
    run_file(directory, "rejected/submissions.jsonl", filter, cases, submission)?;
    run_file(directory, "rejected/definitions.jsonl", filter, cases, |case| {
        let parsed = PipelineDef::parse(text(case, "yaml")?, &config(&case["global_config"]));
        Ok(refused(parsed.err().map(|e| e.chain()), &case["expect"]))
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let server: std::cell::OnceCell<Result<Server, String>> = std::cell::OnceCell::new();
    for file in ["rejected/connector-options.jsonl", "definitions/connector-options.jsonl"] {
        run_file(directory, file, filter, cases, |case| {
            let needs = text(case, "connector")? == "mysql" && case["options"]["hostname"] == "$hostname$";
            if !needs {
                // What is wrong here is wrong without a server.
                let fill = [
                    ("$database$", "db".to_owned()),
                    ("$hostname$", "127.0.0.1".to_owned()),
                    ("$port$", "1".to_owned()),
                    ("$username$", "user".to_owned()),
                    ("$password$", "secret".to_owned()),
                    ("$slot$", "slot".to_owned()),
                ];
                return connector_options(case, &fill);
            }
            match server.get_or_init(|| Server::start(directory)) {
                Err(reason) => Ok(Err(format!("no server to look tables up: {reason}"))),
                Ok(server) => runtime.block_on(on_server(case, server)),
            }
        })?;
    }
    run_file(directory, "definitions/definitions.jsonl", filter, cases, definition)
}

fn config(json: &Json) -> Config {
    let pairs = json.as_object().into_iter().flatten();
    pairs.map(|(k, v)| (k.clone(), v.as_str().map_or_else(|| v.to_string(), str::to_owned))).collect()
}

/// Line breaks within a text differ between upstream's cases: a run of blanks is one.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn refused(error: Option<String>, expect: &Json) -> Outcome {
    let Some(error) = error else { return Err("was not refused".into()) };
    let part = expect["message"].as_str().or(expect["message_contains"].as_str()).unwrap_or_default();
    if squeezed(&error).contains(&squeezed(part)) { Ok(()) } else { Err(format!("refused with: {error}")) }
}

fn submission(case: &Json) -> anyhow::Result<Outcome> {
    let context = PipelineContext {
        clock: Arc::new(SystemClock),
        local: None,
        settings: Vec::new(),
        seed: 0,
        print: Arc::new(|_| {}),
    };
    let built = build_pipeline(text(case, "yaml")?, "case", context);
    let Err(error) = built else { return Ok(Err("was not refused".into())) };
    let expected = case["error"].as_str().unwrap_or_default();
    let got = error.chain();
    Ok(if squeezed(&got).contains(&squeezed(expected)) { Ok(()) } else { Err(format!("refused with: {got}")) })
}

const DATABASE: &str = "sw_rejected";

/// Runs a case whose check looks tables up, in a database with the recorded inventory.
async fn on_server(case: &Json, server: &Server) -> anyhow::Result<Outcome> {
    let mut conn = server.connect().await?;
    conn.query_drop(format!("DROP DATABASE IF EXISTS {DATABASE}")).await?;
    conn.query_drop(format!("CREATE DATABASE {DATABASE}")).await?;
    conn.query_drop(format!("USE {DATABASE}")).await?;
    conn.query_drop("CREATE TABLE products (id INT PRIMARY KEY, name VARCHAR(20))").await?;
    let options = mysql_async::Opts::from_url(&server.url)?;
    let fill = [
        ("$database$", DATABASE.to_owned()),
        ("$hostname$", options.ip_or_hostname().to_owned()),
        ("$port$", options.tcp_port().to_string()),
        ("$username$", options.user().unwrap_or_default().to_owned()),
        ("$password$", options.pass().unwrap_or_default().to_owned()),
    ];
    let outcome = connector_options(case, &fill)?;
    if outcome.is_ok() {
        return Ok(outcome);
    }
    // Nothing is wrong with the options themselves: the server has to be asked.
    let filled = |text: &str| fill.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    let options: Config = config(&case["options"]).into_iter().map(|(k, v)| (k, filled(&v))).collect();
    let context = PipelineContext {
        clock: Arc::new(SystemClock),
        local: None,
        settings: Vec::new(),
        seed: 0,
        print: Arc::new(|_| {}),
    };
    let source = starweir_job::pipeline::build_source(text(case, "connector")?, &options, &context)
        .map_err(|e| anyhow!(e.chain()))?;
    let found = source.discover().await;
    let expect: Json = serde_json::from_str(&filled(&case["expect"].to_string()))?;
    Ok(match (found, &expect) {
        (Ok(_), Json::String(word)) if word == "accepted" => Ok(()),
        (found, expect) => refused(found.err().map(|e| e.chain()), expect),
    })
}

fn connector_options(case: &Json, fill: &[(&str, String)]) -> anyhow::Result<Outcome> {
    let (connector, role) = (text(case, "connector")?, text(case, "role")?);
    let filled = |text: &str| fill.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    let options: Config = config(&case["options"]).into_iter().map(|(k, v)| (k, filled(&v))).collect();
    let checked = check_connector(connector, role, &options)
        .and_then(|()| starweir_job::pipeline::check_meaning(connector, role, &options));
    Ok(match (checked, &case["expect"]) {
        (Ok(()), Json::String(word)) if word == "accepted" => Ok(()),
        (Err(error), Json::String(_)) => Err(format!("refused with: {}", error.chain())),
        (checked, expect) => refused(checked.err().map(|e| e.chain()), expect),
    })
}

fn definition(case: &Json) -> anyhow::Result<Outcome> {
    let parsed = PipelineDef::parse(text(case, "yaml")?, &config(&case["global_config"]));
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return Ok(Err(format!("refused with: {}", error.chain()))),
    };
    let expect = &case["expect"];
    let mut got = described(&parsed);
    if let Some(models) = expect.get("models") {
        return Ok(same(&got["models"], models));
    }
    let zone = |config: &Config| -> anyhow::Result<String> {
        let given = config.get("local-time-zone").map_or("systemDefault", String::as_str);
        starweir_job::pipeline::zone(given).map_err(|e| anyhow!(e.chain()))?;
        Ok(if given == "systemDefault" { "UTC".into() } else { given.to_owned() })
    };
    for (key, negated) in [("config", false), ("config_not", true)] {
        let Some(options) = expect.get(key).and_then(Json::as_object) else { continue };
        for (option, expected) in options {
            let value = match (option.as_str(), parsed.config.get(option)) {
                ("local-time-zone", _) => json!(zone(&parsed.config)?),
                (_, Some(value)) if expected.get("seconds").is_some() => {
                    let duration = starweir_model::option::parse_duration(value).context("no duration")?;
                    json!({"seconds": duration.as_secs()})
                }
                (_, value) => json!(value),
            };
            if (value == *expected) == negated {
                return Ok(Err(format!("{option}: got {value}, expected {expected}")));
            }
        }
        return Ok(Ok(()));
    }
    let mut expected = expect["definition"].clone();
    // Upstream fills the zone in always; the cases say to ignore it where they do not name it.
    if expected["config"]["local-time-zone"] == "${system time zone}" {
        expected["config"]["local-time-zone"] = json!(zone(&parsed.config)?);
        got["config"]["local-time-zone"] = json!(zone(&parsed.config)?);
    } else if expected["config"].get("local-time-zone").is_none()
        && let Some(config) = got["config"].as_object_mut()
    {
        config.remove("local-time-zone");
    }
    for model in expected["models"].as_array_mut().into_iter().flatten().filter_map(Json::as_object_mut) {
        // The older spelling, which upstream keeps beside the options as well.
        if let Some(class) = model.remove("class-name") {
            model.insert("type".into(), class);
            if let Some(options) = model.get_mut("options").and_then(Json::as_object_mut) {
                options.remove("class-name");
                options.remove("model-name");
            }
        }
    }
    for (mine, theirs) in [(&mut got, &expected)] {
        for (key, value) in mine.as_object_mut().into_iter().flatten() {
            strip(value, &theirs[key]);
        }
    }
    Ok(same(&sorted(&got), &sorted(&expected)))
}

/// Leaves out what the case does not state: options that only one of upstream's cases lists.
fn strip(got: &mut Json, expected: &Json) {
    match (got, expected) {
        (Json::Object(got), Json::Object(expected)) => {
            got.retain(|key, _| {
                expected.contains_key(key)
                    || !["table-options.delimiter", "included-schema-evolution-types", "options"]
                        .contains(&key.as_str())
            });
        }
        (Json::Array(got), Json::Array(expected)) => {
            for (got, expected) in got.iter_mut().zip(expected) {
                strip(got, expected);
            }
        }
        _ => {}
    }
}

/// Objects with their keys in one order.
fn sorted(json: &Json) -> Json {
    match json {
        Json::Object(map) => {
            let mut pairs: Vec<_> = map.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Json::Object(pairs.into_iter().collect())
        }
        Json::Array(items) => Json::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

fn described(parsed: &PipelineDef) -> Json {
    let connector = |def: &starweir_pipeline::definition::ConnectorDef| json!({"type": def.kind, "name": def.name, "config": def.config.iter().collect::<std::collections::BTreeMap<_, _>>()});
    let mut sink = connector(&parsed.sink);
    let mut kinds: Vec<&str> = parsed.included_changes.iter().map(|kind| kind.tag()).collect();
    kinds.sort_unstable();
    sink["included-schema-evolution-types"] = json!(kinds);
    json!({
        "source": connector(&parsed.source),
        "sink": sink,
        "routes": parsed.routes.iter().map(|r| json!({
            "source-table": r.source_table, "sink-table": r.sink_table,
            "replace-symbol": r.replace_symbol, "description": r.description,
        })).collect::<Vec<_>>(),
        "transforms": parsed.transforms.iter().map(|t| json!({
            "source-table": t.source_table, "projection": t.projection, "filter": t.filter,
            "primary-keys": t.primary_keys, "partition-keys": t.partition_keys, "table-options": t.table_options,
            "table-options.delimiter": t.table_options_delimiter, "description": t.description,
            "converter-after-transform": t.converter_after_transform,
        })).collect::<Vec<_>>(),
        "udfs": parsed.functions.iter().map(|f| json!({
            "name": f.name, "classpath": f.classpath,
            "options": f.options.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        })).collect::<Vec<_>>(),
        "models": parsed.models.iter().map(|m| json!({
            "name": m.name, "type": m.kind,
            "options": m.options.iter().collect::<std::collections::BTreeMap<_, _>>(),
        })).collect::<Vec<_>>(),
        "config": parsed.config.iter().collect::<std::collections::BTreeMap<_, _>>(),
    })
}
