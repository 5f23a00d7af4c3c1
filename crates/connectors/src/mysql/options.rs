//! Options of the MySQL source, as Flink CDC names them.

use std::time::Duration;

use starweir_formats::mysql::{CatalogOptions, TypeOptions, ValueOptions};
use starweir_model::option::OptionError;
use starweir_model::{OptionDef, OptionType, Options, TableId};

use super::gtid::{GtidList, GtidSet};
use super::position::FilePosition;
use crate::capture::Selection;

/// The options of a pipeline source of type `mysql`.
pub fn definitions() -> Vec<OptionDef> {
    use OptionDef as O;
    let accepted = |name: &'static str, kind: OptionType, default: &'static str| {
        O::optional(name, kind, "Accepted; Starweir does not need it.").with_default(default)
    };
    vec![
        O::required("hostname", OptionType::Text, "Host or address of the MySQL or MariaDB server."),
        O::optional("port", OptionType::Int(1, 65535), "Port of the server.").with_default("3306"),
        O::required("username", OptionType::Text, "User that may read the tables and the binary log."),
        O::required("password", OptionType::Secret, "Password of the user."),
        O::required(
            "tables",
            OptionType::Text,
            "Tables to capture: patterns `database.table`, separated by commas. Each part is a regular expression in which the dot is written `\\.`.",
        ),
        O::optional("tables.exclude", OptionType::Text, "Tables to leave out, in the form of `tables`."),
        O::optional(
            "server-id",
            OptionType::Text,
            "A number, or a range `5400-6400`, that no other replica or reader of the server uses. One of the range is taken.",
        )
        .with_default("5400-6400"),
        O::optional(
            "server-time-zone",
            OptionType::Text,
            "Accepted: TIMESTAMP values are read as instants and do not depend on it.",
        ),
        O::optional("connect.timeout", OptionType::Duration, "How long to wait for a connection.").with_default("30s"),
        O::optional("connect.max-retries", OptionType::Int(0, 1000), "How often a first connection is tried again.")
            .with_default("3"),
        O::optional("connection.pool.size", OptionType::Int(1, 1000), "At most so many connections read snapshots.")
            .with_default("20"),
        O::optional(
            "heartbeat.interval",
            OptionType::Duration,
            "How often an idle server says that it is alive; after three times this without a word the connection is given up.",
        )
        .with_default("30s"),
        O::optional(
            "scan.startup.mode",
            OptionType::Choice(&[
                "initial",
                "earliest-offset",
                "latest-offset",
                "specific-offset",
                "timestamp",
                "snapshot",
            ]),
            "Where reading starts without saved state.",
        )
        .with_default("initial"),
        O::optional("scan.startup.specific-offset.file", OptionType::Text, "File of the binary log, for specific-offset."),
        O::optional("scan.startup.specific-offset.pos", OptionType::Int(0, i64::MAX), "Position in that file."),
        O::optional(
            "scan.startup.specific-offset.gtid-set",
            OptionType::Text,
            "Transactions already seen, for specific-offset: MySQL's GTID set or MariaDB's GTID list.",
        ),
        O::optional("scan.startup.specific-offset.skip-events", OptionType::Int(0, i64::MAX), "Events to pass over after it."),
        O::optional("scan.startup.specific-offset.skip-rows", OptionType::Int(0, i64::MAX), "Rows to pass over after those."),
        O::optional(
            "scan.startup.timestamp-millis",
            OptionType::Int(0, i64::MAX),
            "Changes from this time on, in milliseconds since 1970, for startup mode timestamp.",
        ),
        O::optional(
            "scan.incremental.snapshot.chunk.size",
            OptionType::Int(1, 100_000_000),
            "Rows of a table that are read at once in a snapshot.",
        )
        .with_default("8096"),
        O::optional(
            "scan.incremental.snapshot.chunk.key-column",
            OptionType::Text,
            "Accepted: chunks are cut over all columns of the primary key.",
        ),
        accepted("scan.snapshot.fetch.size", OptionType::Int(1, i64::MAX), "1024"),
        accepted("chunk-meta.group.size", OptionType::Int(1, i64::MAX), "1000"),
        accepted("chunk-key.even-distribution.factor.upper-bound", OptionType::Float(0.0, f64::MAX), "1000.0"),
        accepted("chunk-key.even-distribution.factor.lower-bound", OptionType::Float(0.0, f64::MAX), "0.05"),
        O::optional(
            "scan.incremental.snapshot.backfill.skip",
            OptionType::Bool,
            "Accepted; changes during a snapshot are always merged in their order.",
        )
        .with_default("false"),
        accepted("scan.incremental.snapshot.unbounded-chunk-first.enabled", OptionType::Bool, "false"),
        accepted("scan.incremental.close-idle-reader.enabled", OptionType::Bool, "false"),
        O::optional(
            "scan.newly-added-table.enabled",
            OptionType::Bool,
            "When started from saved state: tables that match `tables` now and were not captured before get a snapshot.",
        )
        .with_default("false"),
        O::optional(
            "scan.binlog.newly-added-table.enabled",
            OptionType::Bool,
            "Tables created while reading are captured if they match `tables`. Not together with scan.newly-added-table.enabled.",
        )
        .with_default("false"),
        O::optional("schema-change.enabled", OptionType::Bool, "Whether changes of tables are handed on.")
            .with_default("true"),
        O::optional("include-comments.enabled", OptionType::Bool, "Whether comments of tables and columns are handed on.")
            .with_default("false"),
        O::optional(
            "scan.parse.online.schema.changes.enabled",
            OptionType::Bool,
            "Leaves the helper tables of gh-ost and pt-online-schema-change out. The swap of tables itself is always understood.",
        )
        .with_default("false"),
        O::optional("metadata.list", OptionType::Text, "Metadata of rows to hand on: `op_ts`."),
        O::optional("treat-tinyint1-as-boolean.enabled", OptionType::Bool, "Whether TINYINT(1) is BOOLEAN.")
            .with_default("true"),
        O::optional(
            "use.legacy.json.format",
            OptionType::Bool,
            "Writes JSON from the binary log without blanks after `,` and `:`, as Flink CDC does, while snapshots keep the server's. false: both are the server's.",
        )
        .with_default("true"),
        O::optional(
            "jdbc.properties.",
            OptionType::Prefix,
            "Of the JDBC driver's settings these count: useSSL, requireSSL, sslMode, trustCertificateKeyStoreUrl (a PEM file).",
        ),
        O::optional(
            "debezium.",
            OptionType::Prefix,
            "Of Debezium's settings this counts: enable.time.adjuster (years 1 to 99 become 1970 to 2069).",
        ),
    ]
}

/// Where a capture without state begins.
#[derive(Debug, Clone, PartialEq)]
pub enum Startup {
    /// A snapshot, then changes.
    Initial,
    /// A snapshot, then the end.
    Snapshot,
    Earliest,
    Latest,
    Position(FilePosition),
    GtidSet(GtidSet),
    GtidList(GtidList),
    /// Milliseconds since 1970.
    Timestamp(i64),
}

impl Startup {
    pub fn has_snapshot(&self) -> bool {
        matches!(self, Self::Initial | Self::Snapshot)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    Disabled,
    /// Encrypted; the server's certificate is not looked at.
    Required,
    VerifyCa,
    VerifyIdentity,
}

/// Checked options.
#[derive(Debug, Clone)]
pub struct Settings {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub tls: TlsMode,
    pub tls_roots: Option<String>,
    pub selection: Selection,
    pub server_ids: (u32, u32),
    pub connect_timeout: Duration,
    pub connect_retries: u32,
    pub connections: usize,
    pub heartbeat: Duration,
    pub startup: Startup,
    pub skip_events: u64,
    pub skip_rows: u64,
    pub chunk_rows: u64,
    pub new_tables_by_snapshot: bool,
    pub new_tables_by_stream: bool,
    pub schema_changes: bool,
    pub online_changes: bool,
    pub op_ts: bool,
    pub catalog: CatalogOptions,
    pub values: ValueOptions,
}

impl Settings {
    /// Of a pipeline's source.
    pub fn new(options: &Options) -> Result<Self, Vec<OptionError>> {
        const HINT: &str = "patterns are `database.table`; a dot of a regular expression is written `\\.`";
        Self::of(options, Selection::of_patterns(options, HINT))
    }

    /// Options that pipelines and scripts have in common; those that only one has are as if they were not set.
    pub fn of(options: &Options, selection: Result<Selection, Vec<OptionError>>) -> Result<Self, Vec<OptionError>> {
        let (selection, mut errors) = match selection {
            Ok(selection) => (Some(selection), Vec::new()),
            Err(errors) => (None, errors),
        };
        let mut wrong = |option: &str, message: String, hint: Option<String>| {
            errors.push(OptionError { option: option.into(), message, hint });
        };
        let flag = |name: &str| options.bool(name).unwrap_or(false);
        let server_ids = parse_server_ids(options.must("server-id"));
        if server_ids.is_none() {
            let given = options.must("server-id");
            wrong("server-id", format!("option 'server-id' must be a number or a range, but is '{given}'"), None);
        }
        let startup = startup(options);
        if let Err((option, message)) = &startup {
            wrong(option, message.clone(), None);
        }
        if flag("scan.newly-added-table.enabled") && flag("scan.binlog.newly-added-table.enabled") {
            wrong(
                "scan.binlog.newly-added-table.enabled",
                "options 'scan.binlog.newly-added-table.enabled' and 'scan.newly-added-table.enabled' exclude one another"
                    .into(),
                None,
            );
        }
        let mut op_ts = false;
        for name in
            options.text("metadata.list").unwrap_or_default().split(',').map(str::trim).filter(|n| !n.is_empty())
        {
            match name {
                "op_ts" => op_ts = true,
                _ => wrong(
                    "metadata.list",
                    format!("option 'metadata.list' names '{name}', which the MySQL source does not have"),
                    Some("it has op_ts".into()),
                ),
            }
        }
        let (tls, tls_roots) = tls(options);
        let debezium = |name: &str| options.group("debezium.").find(|(n, _)| *n == name).map(|(_, v)| v == "true");
        if !errors.is_empty() {
            return Err(errors);
        }
        let (Some(selection), Some(server_ids), Ok(startup)) = (selection, server_ids, startup) else {
            return Err(errors);
        };
        Ok(Self {
            host: options.must("hostname").to_owned(),
            port: options.int("port").and_then(|p| u16::try_from(p).ok()).unwrap_or(3306),
            user: options.must("username").to_owned(),
            password: options.must("password").to_owned(),
            tls,
            tls_roots,
            selection,
            server_ids,
            connect_timeout: options.duration("connect.timeout").unwrap_or(Duration::from_secs(30)),
            connect_retries: options.int("connect.max-retries").unwrap_or(3) as u32,
            connections: options.int("connection.pool.size").unwrap_or(20) as usize,
            heartbeat: options
                .duration("heartbeat.interval")
                .filter(|d| !d.is_zero())
                .unwrap_or(Duration::from_secs(30)),
            startup,
            skip_events: options.int("scan.startup.specific-offset.skip-events").unwrap_or(0) as u64,
            skip_rows: options.int("scan.startup.specific-offset.skip-rows").unwrap_or(0) as u64,
            chunk_rows: options.int("scan.incremental.snapshot.chunk.size").unwrap_or(8096) as u64,
            new_tables_by_snapshot: flag("scan.newly-added-table.enabled"),
            new_tables_by_stream: flag("scan.binlog.newly-added-table.enabled"),
            schema_changes: options.bool("schema-change.enabled").unwrap_or(true),
            online_changes: flag("scan.parse.online.schema.changes.enabled"),
            op_ts,
            catalog: CatalogOptions {
                types: TypeOptions {
                    tinyint1_is_boolean: options.bool("treat-tinyint1-as-boolean.enabled").unwrap_or(true),
                },
                comments: flag("include-comments.enabled"),
                lower_case_names: false,
                names_as_written: false,
            },
            values: ValueOptions {
                adjust_years: debezium("enable.time.adjuster").unwrap_or(false),
                legacy_json: options.bool("use.legacy.json.format").unwrap_or(true),
            },
        })
    }

    /// Whether the options name this table.
    pub fn selects(&self, database: &str, table: &str) -> bool {
        if is_system(database) || (self.online_changes && starweir_formats::mysql::online_change_of(table).is_some()) {
            return false;
        }
        self.selection.matches(&TableId::in_schema(database, table))
    }
}

/// Databases of the server itself.
pub fn is_system(database: &str) -> bool {
    ["mysql", "information_schema", "performance_schema", "sys"].iter().any(|s| database.eq_ignore_ascii_case(s))
}

fn parse_server_ids(text: &str) -> Option<(u32, u32)> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
    (from > 0 && from <= to).then_some((from, to))
}

fn startup(options: &Options) -> Result<Startup, (String, String)> {
    let missing = |name: &str| (name.to_owned(), format!("option '{name}' is missing"));
    Ok(match options.must("scan.startup.mode").trim().to_ascii_lowercase().as_str() {
        "snapshot" => Startup::Snapshot,
        "earliest-offset" => Startup::Earliest,
        "latest-offset" => Startup::Latest,
        "timestamp" => Startup::Timestamp(
            options.int("scan.startup.timestamp-millis").ok_or_else(|| missing("scan.startup.timestamp-millis"))?,
        ),
        "specific-offset" => {
            let gtids = "scan.startup.specific-offset.gtid-set";
            if let Some(text) = options.text(gtids) {
                if let Some(set) = GtidSet::parse(text) {
                    Startup::GtidSet(set)
                } else if let Some(list) = GtidList::parse(text) {
                    Startup::GtidList(list)
                } else {
                    return Err((gtids.into(), format!("option '{gtids}' is not a GTID set")));
                }
            } else {
                let file = "scan.startup.specific-offset.file";
                let position = "scan.startup.specific-offset.pos";
                Startup::Position(FilePosition::new(
                    options.text(file).ok_or_else(|| missing(file))?,
                    options.int(position).ok_or_else(|| missing(position))?.max(4) as u64,
                ))
            }
        }
        _ => Startup::Initial,
    })
}

fn tls(options: &Options) -> (TlsMode, Option<String>) {
    let mut mode = TlsMode::Disabled;
    let mut roots = None;
    for (name, value) in options.group("jdbc.properties.") {
        let on = value.eq_ignore_ascii_case("true");
        match name {
            "useSSL" | "requireSSL" if on && mode == TlsMode::Disabled => mode = TlsMode::Required,
            "verifyServerCertificate" if on => mode = TlsMode::VerifyCa,
            "sslMode" => {
                mode = match value.to_ascii_uppercase().as_str() {
                    "REQUIRED" => TlsMode::Required,
                    "VERIFY_CA" => TlsMode::VerifyCa,
                    "VERIFY_IDENTITY" => TlsMode::VerifyIdentity,
                    _ => TlsMode::Disabled,
                }
            }
            "trustCertificateKeyStoreUrl" => {
                roots = Some(value.strip_prefix("file:").unwrap_or(value).to_owned());
            }
            _ => {}
        }
    }
    (mode, roots)
}
