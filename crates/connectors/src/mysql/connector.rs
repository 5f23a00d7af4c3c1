//! `mysql-cdc`: the tables as a source of a script, with the options of Flink CDC's SQL connector.

use std::sync::Arc;

use starweir_model::option::OptionError;
use starweir_model::{OptionDef, OptionType, Options};

use super::options::{Settings, definitions};
use super::source::MySqlSource;
use crate::capture::{self, Capture, Mode, Selection, debezium};
use crate::registry::{BuiltSource, Connector, SourceRequest};

pub const CONNECTOR: Connector = Connector {
    name: "mysql-cdc",
    about: "Reads tables of MySQL 8 and 9 and of MariaDB: a snapshot, then every change from the binary log.",
    options,
    metadata: METADATA,
    formats: false,
    source: Some(build),
    sink: None,
};

const METADATA: &[(&str, &str, &str)] = &[
    ("table_name", "STRING NOT NULL", "Table the row is of"),
    ("database_name", "STRING NOT NULL", "Database of that table"),
    ("op_ts", "TIMESTAMP_LTZ(3) NOT NULL", "When the change was made; 1970 for rows of a snapshot"),
    ("row_kind", "STRING NOT NULL", "`+I`, `-U`, `+U` or `-D`"),
];

/// Options of pipelines that scripts have under another name, or not at all.
const OF_PIPELINES: &[&str] = &[
    "tables",
    "tables.exclude",
    "server-time-zone",
    "scan.incremental.snapshot.chunk.key-column",
    "scan.incremental.snapshot.unbounded-chunk-first.enabled",
    "scan.newly-added-table.enabled",
    "scan.binlog.newly-added-table.enabled",
    "schema-change.enabled",
    "include-comments.enabled",
    "metadata.list",
    "treat-tinyint1-as-boolean.enabled",
    "debezium.",
];

/// Settings of Debezium that count, or that the declared types make needless.
const COUNTED: &[&str] = &[
    "enable.time.adjuster",
    "bigint.unsigned.handling.mode",
    "decimal.handling.mode",
    "time.precision.mode",
    "tombstones.on.delete",
];

fn options() -> Vec<OptionDef> {
    use OptionDef as O;
    let mut all = vec![
        O::required(
            "database-name",
            OptionType::Text,
            "Database to capture: a regular expression that matches whole names; case does not count.",
        ),
        O::required(
            "table-name",
            OptionType::Text,
            "Tables to capture: a regular expression that matches whole names; case does not count. All that match are read as one table.",
        ),
        O::optional(
            "server-time-zone",
            OptionType::Text,
            "Zone of the server's session, such as Europe/Berlin: a TIMESTAMP column that is declared TIMESTAMP is the local time there. By default the session's zone.",
        ),
        O::optional(
            "scan.incremental.snapshot.enabled",
            OptionType::Bool,
            "Tables are read in chunks, whatever it says; with true a primary key or a chunk key column is required, as in Flink.",
        )
        .with_default("true"),
        O::optional(
            "scan.incremental.snapshot.chunk.key-column",
            OptionType::Text,
            "Needed for a table without a primary key when scan.incremental.snapshot.enabled is true. Chunks are cut over all columns of the primary key.",
        ),
        O::optional(
            "scan.incremental.snapshot.unbounded-chunk-first.enabled",
            OptionType::Bool,
            "Accepted; Starweir does not need it.",
        )
        .with_default("true"),
        O::optional(
            "scan.newly-added-table.enabled",
            OptionType::Bool,
            "When started from saved state: tables that the options name now and that were not captured before get a snapshot.",
        )
        .with_default("false"),
        O::optional(
            "scan.read-changelog-as-append-only.enabled",
            OptionType::Bool,
            "Whether every change is a row of its own, inserted; row_kind says what it was.",
        )
        .with_default("false"),
        O::optional(
            "debezium.",
            OptionType::Prefix,
            "Of Debezium's settings these count: enable.time.adjuster (years 1 to 99 become 1970 to 2069), skipped.operations (u, d). Those that would leave rows, columns or values out otherwise are refused, the rest is without effect.",
        ),
    ];
    all.extend(definitions().into_iter().filter(|definition| !OF_PIPELINES.contains(&definition.name)));
    all
}

fn build(request: &SourceRequest<'_>) -> Result<BuiltSource, Vec<OptionError>> {
    let options = Options::parse(&options(), request.given())?;
    let names = [("database-name", options.must("database-name")), ("table-name", options.must("table-name"))];
    let settings = Settings::of(&options, Selection::of_expressions(&[], &names));
    let mut errors = Vec::new();
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
    settings.op_ts = capture::wants_op_ts(request);
    // The declared type decides.
    settings.catalog.types.tinyint1_is_boolean = false;
    let append_only = options.bool("scan.read-changelog-as-append-only.enabled").unwrap_or(false);
    let selector = settings.selection.tables.clone();
    let cdc = MySqlSource { settings: Arc::new(settings), clock: request.clock.clone(), seed: capture::seed(request) };
    let mode = if append_only { Mode::AppendOnly } else { Mode::All };
    Ok(capture::build(request, Capture { cdc: Arc::new(cdc), selector, mode, zone, skipped }))
}
