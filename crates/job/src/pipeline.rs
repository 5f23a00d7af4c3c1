//! A Flink-CDC pipeline file becomes a job: connectors found, options checked, the flow put together.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use chrono_tz::Tz;
use starweir_connectors::mysql;
use starweir_connectors::postgres;
use starweir_connectors::starrocks::pipeline as starrocks;
use starweir_engine::{CdcSink, CdcSource};
use starweir_model::option::OptionError;
use starweir_model::{Clock, Error, OptionDef, OptionType, Options, Result, SystemClock, nearest};
use starweir_pipeline::definition::Config;
use starweir_pipeline::evolution::{SchemaOperator, SchemaState};
use starweir_pipeline::options::check;
use starweir_pipeline::run::{FlowFactory, PipelineJob};
use starweir_pipeline::transform::{TransformSettings, Transformer, Zone};
use starweir_pipeline::values::{self, Line, ValuesSink, ValuesSource};
use starweir_pipeline::{Flow, LetterOptions, PipelineDef, RouteMode, Router, SchemaChangeBehavior};

use crate::overrides::LocalTarget;
use crate::settings::{Checked, JobSettings, check as check_setting};

/// Options of the `pipeline` block.
pub fn pipeline_definitions() -> Vec<OptionDef> {
    use OptionDef as O;
    use OptionType as T;
    vec![
        O::optional("name", T::Text, "The pipeline's name.").with_default("Flink CDC Pipeline Job"),
        O::optional("parallelism", T::Int(1, 4096), "Accepted; one process reads and writes.").with_default("1"),
        O::optional(
            "execution.runtime-mode",
            T::Choice(&["STREAMING", "BATCH"]),
            "BATCH: sources end after their snapshot, and tables are created once with their final schema.",
        )
        .with_default("STREAMING"),
        O::optional(
            "schema.change.behavior",
            T::Choice(&SchemaChangeBehavior::NAMES),
            "What a change of a source table's shape does to its sink tables.",
        )
        .with_default("LENIENT"),
        O::optional(
            "route-mode",
            T::Choice(&["ALL_MATCH", "FIRST_MATCH"]),
            "Whether a table goes where all matching routes say, or the first.",
        )
        .with_default("ALL_MATCH"),
        O::optional(
            "local-time-zone",
            T::Text,
            "Zone of TIMESTAMP_LTZ values and temporal functions; UTC when it is systemDefault.",
        )
        .with_default("systemDefault"),
        O::optional(
            "transform.decimal.precision.mode",
            T::Choice(&["UP_TO_19", "UP_TO_38"]),
            "Digits that decimals of computed columns may have.",
        )
        .with_default("UP_TO_19"),
        O::optional("operator.uid.prefix", T::Text, "Accepted; has no meaning in one process."),
        O::optional("schema.operator.uid", T::Text, "Accepted; has no meaning in one process."),
        O::optional("schema-operator.rpc-timeout", T::Duration, "Accepted; nothing is asked over a network.")
            .with_default("3 min"),
        O::optional(
            "sink.partitioning.strategy",
            T::Choice(&["SINK_DEFINED", "PRIMARY_KEY", "TABLE_ID"]),
            "Accepted; one writer loads a table.",
        )
        .with_default("SINK_DEFINED"),
        O::optional(
            "dead-letters",
            T::Text,
            "Where rows go that cannot be delivered: `file:FOLDER` or `table:DATABASE.TABLE` of the sink. Without it the \
             job stops at such a row. Not an option of Flink CDC: leave it to `--set pipeline.dead-letters=…` in files \
             that run there too.",
        ),
        O::optional(
            "dead-letters.limit",
            T::Int(1, 1_000_000),
            "More dead letters than this in one epoch stop the job.",
        )
        .with_default("1000"),
    ]
}

/// A connector of pipelines and its options.
pub struct PipelineConnector {
    pub name: &'static str,
    pub source: Option<fn() -> Vec<OptionDef>>,
    pub sink: Option<fn() -> Vec<OptionDef>>,
}

/// Every connector a pipeline can name.
pub const PIPELINE_CONNECTORS: &[PipelineConnector] = &[
    PipelineConnector { name: "mysql", source: Some(mysql::definitions), sink: None },
    PipelineConnector { name: "postgres", source: Some(postgres::definitions), sink: None },
    PipelineConnector { name: "starrocks", source: None, sink: Some(starrocks::definitions) },
    PipelineConnector {
        name: "values",
        source: Some(values::source_definitions),
        sink: Some(values::sink_definitions),
    },
];

/// What the outside gives to a pipeline.
pub struct PipelineContext {
    pub clock: Arc<dyn Clock>,
    /// Where `--local` sends the StarRocks sink.
    pub local: Option<LocalTarget>,
    /// `--set KEY=VALUE`: job settings, `pipeline.KEY`, `source.KEY` and `sink.KEY`.
    pub settings: Vec<(String, String)>,
    /// Chance, handed in: captures choose their server ids by it.
    pub seed: u64,
    /// Takes what the `values` sink prints.
    pub print: Line,
}

/// A pipeline, ready to run.
pub struct BuiltPipeline {
    pub definition: PipelineDef,
    pub job: PipelineJob,
    pub settings: JobSettings,
    /// Sentences for the user.
    pub notes: Vec<String>,
}

/// Reads and checks a pipeline file. Opens nothing. `fallback_name` names the job when the file does not.
///
/// # Errors
/// The first thing that is wrong.
pub fn build_pipeline(text: &str, fallback_name: &str, context: PipelineContext) -> Result<BuiltPipeline> {
    let mut definition = PipelineDef::parse(text, &Config::new())?;
    let (mut session, mut notes) = (BTreeMap::new(), Vec::new());
    for (key, value) in &context.settings {
        if let Some(option) = key.strip_prefix("source.") {
            definition.source.config.insert(option.to_owned(), value.clone());
        } else if let Some(option) = key.strip_prefix("sink.").filter(|_| !key.starts_with("sink.partitioning")) {
            definition.sink.config.insert(option.to_owned(), value.clone());
        } else if let Some(option) = key.strip_prefix("pipeline.").filter(|option| *option != "name") {
            definition.config.insert(option.to_owned(), value.clone());
        } else {
            match check_setting(key, value) {
                Checked::Fine => {
                    session.insert(key.clone(), value.clone());
                }
                Checked::Note(why) => notes.push(format!("{key} has no effect here: {why}")),
                Checked::Wrong(message, hint) => {
                    let error = Error::user(message);
                    return Err(match hint {
                        Some(hint) => error.with_hint(hint),
                        None => error,
                    });
                }
            }
        }
    }
    if let Some(local) = context.local.as_ref().filter(|_| definition.sink.kind == "starrocks") {
        for (key, value) in [
            ("jdbc-url", &local.jdbc_url),
            ("load-url", &local.load_url),
            ("username", &local.user),
            ("password", &local.password),
        ] {
            definition.sink.config.insert(key.to_owned(), value.clone());
        }
        definition.sink.config.entry("table.create.properties.replication_num".into()).or_insert_with(|| "1".into());
    }
    let options = pipeline_options(&definition)?;
    let name = session
        .get("pipeline.name")
        .cloned()
        .or_else(|| definition.config.get("name").cloned())
        .unwrap_or_else(|| fallback_name.to_owned());
    let zone = zone(options.must("local-time-zone"))?;
    let batch = options.must("execution.runtime-mode").eq_ignore_ascii_case("BATCH");
    let behavior = definition.behavior()?;
    let mode = if options.must("route-mode").eq_ignore_ascii_case("FIRST_MATCH") {
        RouteMode::FirstMatch
    } else {
        RouteMode::AllMatch
    };
    if let Some(model) = definition.models.first() {
        return Err(Error::user(format!(
            "model '{}' cannot run here: models call services on the internet",
            model.name
        )));
    }
    let source = source(&definition, &context, batch)?;
    let sink = sink(&definition, &name, &zone, context.print.clone())?;

    let decimal_precision_max =
        if options.must("transform.decimal.precision.mode").eq_ignore_ascii_case("UP_TO_38") { 38 } else { 19 };
    let (rules, functions, routes) =
        (definition.transforms.clone(), definition.functions.clone(), definition.routes.clone());
    let included = definition.included_changes.clone();
    let (clock, metadata) = (context.clock.clone(), source.metadata());
    let flow: FlowFactory = Arc::new(move |state: SchemaState| {
        let mut settings = TransformSettings::new(Zone::Region(zone), clock.clone());
        settings.decimal_precision_max = decimal_precision_max;
        settings.metadata.clone_from(&metadata);
        let transformer = Transformer::new(&rules, &functions, settings)?;
        let router = Router::new(&routes, mode)?;
        Ok(Flow::new(transformer, SchemaOperator::new(router, behavior, included.clone(), zone, state)))
    });
    // Wrong rules are found now, not when the first row comes.
    flow(SchemaState::default())?;
    if batch {
        session.entry("execution.runtime-mode".to_owned()).or_insert_with(|| "batch".to_owned());
    }
    let letters = match options.text("dead-letters") {
        None => None,
        Some(to) => Some(LetterOptions {
            to: to.parse().map_err(|e: Error| e.context("the pipeline block is wrong: dead-letters"))?,
            per_epoch_max: options.int("dead-letters.limit").and_then(|n| usize::try_from(n).ok()).unwrap_or(1000),
        }),
    };
    let job = PipelineJob { name, source, sink, flow, plan: vec![plan_text(&definition)], batch, letters };
    Ok(BuiltPipeline { settings: JobSettings::from_session(&session), definition, job, notes })
}

/// The rules in words: what a restart compares.
fn plan_text(definition: &PipelineDef) -> String {
    format!(
        "routes {:?}; transforms {:?}; changes {:?}; {:?}",
        definition.routes, definition.transforms, definition.included_changes, definition.config
    )
}

fn pipeline_options(definition: &PipelineDef) -> Result<Options> {
    let definitions = pipeline_definitions();
    let given = definition.config.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    Options::parse(&definitions, given).map_err(|errors| first(errors).context("the pipeline block is wrong"))
}

fn first(errors: Vec<OptionError>) -> Error {
    errors.into_iter().next().map_or_else(|| Error::internal("no error in a list of errors"), Error::from)
}

/// A zone by its IANA name or as an offset of whole hours (`+08`, `GMT+08:00`).
///
/// # Errors
/// Anything else.
pub fn zone(text: &str) -> Result<Tz> {
    if text.eq_ignore_ascii_case("systemDefault") || text.eq_ignore_ascii_case("Z") {
        return Ok(Tz::UTC);
    }
    if let Ok(zone) = text.parse() {
        return Ok(zone);
    }
    let offset = ["GMT", "UTC", "UT"].iter().find_map(|p| text.strip_prefix(p)).unwrap_or(text);
    let hours = offset
        .strip_suffix(":00")
        .or_else(|| offset.strip_suffix("00").filter(|rest| rest.len() > 1))
        .unwrap_or(offset)
        .parse::<i32>()
        .ok()
        .filter(|h| (-12..=14).contains(h) && (offset.starts_with('+') || offset.starts_with('-')));
    match hours {
        Some(0) => Ok(Tz::UTC),
        // The sign of these names is the other way round.
        Some(hours) => {
            format!("Etc/GMT{:+}", -hours).parse().map_err(|_| Error::user(format!("'{text}' is not a time zone")))
        }
        None => Err(Error::user(format!("'{text}' is not a time zone"))
            .with_hint("write an IANA name such as Europe/Berlin, or an offset of whole hours such as GMT+08:00")),
    }
}

/// Checks the options of a connector as upstream does before anything is built.
///
/// # Errors
/// An unknown connector, missing or unknown options.
pub fn check_connector(kind: &str, role: &str, config: &Config) -> Result<()> {
    let definitions = |connector: &PipelineConnector| match role {
        "source" => connector.source,
        _ => connector.sink,
    };
    let known = PIPELINE_CONNECTORS.iter().find(|c| c.name == kind);
    match known.and_then(definitions) {
        Some(definitions) => check(kind, &definitions(), config),
        None => {
            let names: Vec<&str> =
                PIPELINE_CONNECTORS.iter().filter(|c| definitions(c).is_some()).map(|c| c.name).collect();
            let error = Error::user(format!("there is no {role} '{kind}'; there are: {}", names.join(", ")));
            Err(match nearest(kind, names.iter().copied()) {
                Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                None => error,
            })
        }
    }
}

/// Checks what options of a connector mean together, as far as that needs no server.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_meaning(kind: &str, role: &str, config: &Config) -> Result<()> {
    let given = || config.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    match (kind, role) {
        ("starrocks", "sink") => starrocks::StarRocksPipeline::new(given(), "check", "UTC").map(|_| ()).map_err(first),
        ("mysql", "source") => {
            let on = |option: &str| config.get(option).is_some_and(|value| value.eq_ignore_ascii_case("true"));
            if on("scan.binlog.newly-added-table.enabled") && on("scan.newly-added-table.enabled") {
                return Err(Error::user(
                    "If both scan.binlog.newly-added-table.enabled and scan.newly-added-table.enabled are true, data \
                     maybe duplicate after restore",
                ));
            }
            Ok(())
        }
        ("postgres", "source") => postgres::postgres_source(given(), Arc::new(SystemClock)).map(|_| ()).map_err(first),
        ("values", "source") => {
            ValuesSource::new(given(), |path| std::fs::read_to_string(Path::new(path))).map(|_| ()).map_err(first)
        }
        _ => Ok(()),
    }
}

fn source(definition: &PipelineDef, context: &PipelineContext, batch: bool) -> Result<Arc<dyn CdcSource>> {
    let source = &definition.source;
    check_connector(&source.kind, "source", &source.config)?;
    check_meaning(&source.kind, "source", &source.config)?;
    let given = source.config.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    match source.kind.as_str() {
        "mysql" => {
            only_what_ends(definition, batch)?;
            mysql::mysql_source(given, context.clock.clone(), context.seed).map_err(first)
        }
        "postgres" => {
            only_what_ends(definition, batch)?;
            postgres::postgres_source(given, context.clock.clone()).map_err(first)
        }
        "values" => {
            let read = |path: &str| std::fs::read_to_string(Path::new(path));
            Ok(Arc::new(ValuesSource::new(given, read).map_err(first)?))
        }
        other => Err(Error::internal(format!("source {other} is listed and cannot be built"))),
    }
}

/// The source that a block's options name, for whoever wants to ask its server.
///
/// # Errors
/// Options that are wrong.
pub fn build_source(kind: &str, config: &Config, context: &PipelineContext) -> Result<Arc<dyn CdcSource>> {
    let definition = PipelineDef {
        source: starweir_pipeline::definition::ConnectorDef { kind: kind.into(), name: None, config: config.clone() },
        ..PipelineDef::default()
    };
    source(&definition, context, false)
}

/// BATCH is for captures that end after their snapshot.
fn only_what_ends(definition: &PipelineDef, batch: bool) -> Result<()> {
    let bounded = definition.source.config.get("scan.startup.mode").is_some_and(|mode| mode == "snapshot");
    if batch && !bounded {
        return Err(Error::user("execution.runtime-mode BATCH reads only what ends")
            .with_hint("set scan.startup.mode: snapshot in the source"));
    }
    Ok(())
}

fn sink(definition: &PipelineDef, name: &str, zone: &Tz, print: Line) -> Result<Arc<dyn CdcSink>> {
    let sink = &definition.sink;
    check_connector(&sink.kind, "sink", &sink.config)?;
    let given = sink.config.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    match sink.kind.as_str() {
        "starrocks" => Ok(Arc::new(starrocks::StarRocksPipeline::new(given, name, zone.name()).map_err(first)?)),
        "values" => Ok(Arc::new(ValuesSink::new(given, print).map_err(first)?)),
        other => Err(Error::internal(format!("sink {other} is listed and cannot be built"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_names_or_offsets_of_whole_hours() {
        for (text, expected) in [
            ("systemDefault", "UTC"),
            ("Asia/Shanghai", "Asia/Shanghai"),
            ("+08", "Etc/GMT-8"),
            ("GMT+08:00", "Etc/GMT-8"),
            ("UTC-05:00", "Etc/GMT+5"),
            ("+0800", "Etc/GMT-8"),
            ("UTC", "UTC"),
        ] {
            assert_eq!(zone(text).unwrap().name(), expected, "{text}");
        }
        assert!(zone("Mars/Base").is_err());
        assert!(zone("+05:30").is_err());
    }
}
