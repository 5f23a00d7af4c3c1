//! `postgres-cdc`: the tables as a source of a script, with the options of Flink CDC's SQL connector.

use std::sync::Arc;

use starweir_model::option::OptionError;
use starweir_model::{OptionDef, OptionType, Options};

use super::options::{Metadata, Settings, definitions};
use super::source::PostgresSource;
use crate::capture::{self, Capture, Mode, Selection, debezium};
use crate::registry::{BuiltSource, Connector, SourceRequest};

pub const CONNECTOR: Connector = Connector {
    name: "postgres-cdc",
    about: "Reads tables of PostgreSQL 12 and newer: a snapshot, then every change from a logical replication slot.",
    options,
    metadata: METADATA,
    formats: false,
    source: Some(build),
    sink: None,
};

const METADATA: &[(&str, &str, &str)] = &[
    ("table_name", "STRING NOT NULL", "Table the row is of"),
    ("schema_name", "STRING NOT NULL", "Schema of that table"),
    ("database_name", "STRING NOT NULL", "Database of that table"),
    ("op_ts", "TIMESTAMP_LTZ(3) NOT NULL", "When the change was committed; 1970 for rows of a snapshot"),
    ("row_kind", "STRING NOT NULL", "`+I`, `-U`, `+U` or `-D`"),
];

/// Options of pipelines that scripts have under another name, or not at all.
const OF_PIPELINES: &[&str] = &[
    "tables",
    "tables.exclude",
    "server-time-zone",
    "metadata.list",
    "scan.incremental.snapshot.chunk.key-column",
    "chunk-key.even-distribution.factor.upper-bound",
    "chunk-key.even-distribution.factor.lower-bound",
    "heartbeat.interval",
    "table-id.include-database",
    "schema-change.enabled",
    "debezium.",
];

/// Settings of Debezium that count, or that the declared types make needless.
const COUNTED: &[&str] = &[
    "publication.name",
    "publication.autocreate.mode",
    "binary.handling.mode",
    "decimal.handling.mode",
    "hstore.handling.mode",
    "interval.handling.mode",
    "time.precision.mode",
    "tombstones.on.delete",
];

fn options() -> Vec<OptionDef> {
    use OptionDef as O;
    let factor = |name, aliases, default| {
        O::optional(name, OptionType::Float(0.0, f64::MAX), "Accepted; Starweir does not need it.")
            .with_default(default)
            .with_aliases(aliases)
    };
    let mut all = vec![
        O::required("database-name", OptionType::Text, "Database to capture."),
        O::required(
            "schema-name",
            OptionType::Text,
            "Schema of the tables: a regular expression that matches whole names; case does not count.",
        ),
        O::required(
            "table-name",
            OptionType::Text,
            "Tables to capture: a regular expression that matches whole names; case does not count. All that match are read as one table.",
        ),
        O::optional(
            "changelog-mode",
            OptionType::Choice(&["all", "upsert"]),
            "all: updates come with their old rows, for which the tables need REPLICA IDENTITY FULL. upsert: without them; a primary key is required, and rows that a WHERE leaves out are deleted by key.",
        )
        .with_default("all"),
        O::optional(
            "scan.incremental.snapshot.enabled",
            OptionType::Bool,
            "Snapshots are read in parallel, whatever it says; with true a primary key or a chunk key column is required.",
        )
        .with_default("false"),
        O::optional(
            "scan.incremental.snapshot.chunk.key-column",
            OptionType::Text,
            "Needed for a table without a primary key when scan.incremental.snapshot.enabled is true. Large tables are cut by their pages.",
        ),
        factor(
            "chunk-key.even-distribution.factor.upper-bound",
            &["split-key.even-distribution.factor.upper-bound"],
            "1000.0",
        ),
        factor(
            "chunk-key.even-distribution.factor.lower-bound",
            &["split-key.even-distribution.factor.lower-bound"],
            "0.05",
        ),
        O::optional(
            "heartbeat.interval.ms",
            OptionType::Duration,
            "How often the server hears that the reader is alive; after three times this without a word from it the connection is given up.",
        )
        .with_default("30s")
        .with_aliases(&["heartbeat.interval"]),
        O::optional(
            "scan.include-partitioned-tables.enabled",
            OptionType::Bool,
            "Accepted; partitioned tables are captured as wholes, whatever it says.",
        )
        .with_default("false"),
        O::optional(
            "scan.read-changelog-as-append-only.enabled",
            OptionType::Bool,
            "Whether every change is a row of its own, inserted; row_kind says what it was.",
        )
        .with_default("false"),
        O::optional(
            "server-time-zone",
            OptionType::Text,
            "Zone such as Europe/Berlin: a TIMESTAMPTZ column that is declared TIMESTAMP is the local time there. By default the session's zone.",
        ),
        O::optional(
            "debezium.",
            OptionType::Prefix,
            "Of Debezium's settings these count: publication.name, publication.autocreate.mode (disabled: never create or change it), binary.handling.mode, interval.handling.mode, hstore.handling.mode, skipped.operations (u, d). Those that would leave rows, columns or values out otherwise are refused, the rest is without effect.",
        ),
    ];
    all.extend(definitions().into_iter().filter(|definition| !OF_PIPELINES.contains(&definition.name)));
    all
}

fn build(request: &SourceRequest<'_>) -> Result<BuiltSource, Vec<OptionError>> {
    let options = Options::parse(&options(), request.given())?;
    let database = options.must("database-name");
    let names = [("schema-name", options.must("schema-name")), ("table-name", options.must("table-name"))];
    let settings = Settings::of(&options, database, Selection::of_expressions(&[database], &names));
    let mut errors = Vec::new();
    let mut wrong = |option: &str, message: &str, hint: &str| {
        errors.push(OptionError { option: option.into(), message: message.into(), hint: Some(hint.into()) });
    };
    let upsert = options.must("changelog-mode").eq_ignore_ascii_case("upsert");
    let append_only = options.bool("scan.read-changelog-as-append-only.enabled").unwrap_or(false);
    if upsert && request.physical.primary_key.is_empty() {
        let hint = "declare PRIMARY KEY (…) NOT ENFORCED";
        wrong("changelog-mode", "Primary key must be present when upsert mode is selected.", hint);
    }
    if upsert && append_only {
        wrong(
            "scan.read-changelog-as-append-only.enabled",
            "options 'scan.read-changelog-as-append-only.enabled' and 'changelog-mode' = 'upsert' exclude one another",
            "an append-only table has every change, old rows of updates included",
        );
    }
    capture::check_metadata(request, METADATA, &mut errors);
    if options.bool("scan.incremental.snapshot.enabled") == Some(true) {
        capture::check_chunk_key(request, options.text("scan.incremental.snapshot.chunk.key-column"), &mut errors);
    }
    let zone = capture::server_zone(request, options.text("server-time-zone"), &mut errors);
    let skipped = debezium::judge(options.group("debezium."), COUNTED, &mut errors);
    let mut settings = match settings {
        Ok(settings) if errors.is_empty() => settings,
        Ok(_) => return Err(errors),
        Err(mut wrong) => {
            wrong.extend(errors);
            return Err(wrong);
        }
    };
    settings.schema_changes = true;
    settings.include_database = true;
    settings.old_images = !upsert;
    settings.metadata = if capture::wants_op_ts(request) { vec![Metadata::OpTs] } else { Vec::new() };
    // The declared type decides.
    settings.types.decimal = starweir_formats::postgres::DecimalMode::Precise;
    let selector = settings.selection.tables.clone();
    let cdc = PostgresSource { settings: Arc::new(settings), clock: request.clock.clone() };
    let mode = match (upsert, append_only) {
        (true, _) => Mode::Upsert,
        (false, true) => Mode::AppendOnly,
        (false, false) => Mode::All,
    };
    Ok(capture::build(request, Capture { cdc: Arc::new(cdc), selector, mode, zone, skipped }))
}
