//! Options of the PostgreSQL source, as Flink CDC names them.

use std::time::Duration;

use starweir_formats::postgres::{BinaryMode, DecimalMode, HstoreMode, IntervalMode, TypeOptions};
use starweir_model::option::OptionError;
use starweir_model::{DataType, LogicalType, OptionDef, OptionType, Options, TableId};

use crate::capture::Selection;

/// The options of a pipeline source of type `postgres`.
pub fn definitions() -> Vec<OptionDef> {
    use OptionDef as O;
    let accepted = |name: &'static str, kind: OptionType, default: &'static str| {
        O::optional(name, kind, "Accepted; Starweir does not need it.").with_default(default)
    };
    vec![
        O::required("hostname", OptionType::Text, "Host or address of the PostgreSQL server."),
        O::optional("port", OptionType::Int(1, 65535), "Port of the server.").with_default("5432"),
        O::required("username", OptionType::Text, "User that may read the tables and has the attribute REPLICATION."),
        O::required("password", OptionType::Secret, "Password of the user."),
        O::required(
            "tables",
            OptionType::Text,
            "Tables to capture: patterns `database.schema.table`, separated by commas, all of one database. Each part is a regular expression in which the dot is written `\\.`.",
        ),
        O::required("slot.name", OptionType::Text, "Replication slot to read from; it is created when there is none, and never removed."),
        O::optional("tables.exclude", OptionType::Text, "Tables to leave out, in the form of `tables`."),
        O::optional("decoding.plugin.name", OptionType::Text, "Output plugin of the slot: pgoutput.").with_default("pgoutput"),
        O::optional("server-time-zone", OptionType::Text, "Accepted: TIMESTAMPTZ values are read as instants and do not depend on it."),
        O::optional("metadata.list", OptionType::Text, "Metadata of rows to hand on: op_ts, table_name, database_name, schema_name."),
        O::optional(
            "scan.startup.mode",
            OptionType::Choice(&["initial", "latest-offset", "committed-offset", "snapshot"]),
            "Where reading starts without saved state.",
        )
        .with_default("initial"),
        accepted("scan.incremental.snapshot.chunk.size", OptionType::Int(1, 100_000_000), "8096"),
        O::optional("scan.incremental.snapshot.chunk.key-column", OptionType::Text, "Accepted; large tables are cut by their pages."),
        accepted("scan.snapshot.fetch.size", OptionType::Int(1, i64::MAX), "1024"),
        accepted("chunk-meta.group.size", OptionType::Int(1, i64::MAX), "1000"),
        accepted("chunk-key.even-distribution.factor.upper-bound", OptionType::Float(0.0, f64::MAX), "1000.0"),
        accepted("chunk-key.even-distribution.factor.lower-bound", OptionType::Float(0.0, f64::MAX), "0.05"),
        O::optional(
            "scan.incremental.snapshot.backfill.skip",
            OptionType::Bool,
            "Accepted; snapshot and stream meet at one exact place, whatever it says.",
        )
        .with_default("true"),
        accepted("scan.incremental.snapshot.unbounded-chunk-first.enabled", OptionType::Bool, "false"),
        accepted("scan.incremental.close-idle-reader.enabled", OptionType::Bool, "false"),
        O::optional(
            "scan.lsn-commit.checkpoints-num-delay",
            OptionType::Int(0, i64::MAX),
            "Accepted; the slot follows every epoch that is committed.",
        )
        .with_default("3"),
        O::optional("connect.timeout", OptionType::Duration, "How long to wait for a connection.").with_default("30s"),
        O::optional("connect.max-retries", OptionType::Int(0, 1000), "How often a first connection is tried again.")
            .with_default("3"),
        O::optional("connection.pool.size", OptionType::Int(1, 1000), "At most so many connections read a snapshot.")
            .with_default("20"),
        O::optional(
            "heartbeat.interval",
            OptionType::Duration,
            "How often the server hears that the reader is alive; after three times this without a word from it the connection is given up.",
        )
        .with_default("30s"),
        O::optional("table-id.include-database", OptionType::Bool, "Whether tables are `database.schema.table` and not `schema.table`.")
            .with_default("false"),
        O::optional(
            "scan.newly-added-table.enabled",
            OptionType::Bool,
            "When started from saved state: tables that match `tables` now and were not captured before get a snapshot.",
        )
        .with_default("false"),
        O::optional("schema-change.enabled", OptionType::Bool, "Whether changes of tables are handed on.")
            .with_default("false"),
        O::optional(
            "jdbc.properties.",
            OptionType::Prefix,
            "Of the JDBC driver's settings these count: sslmode (disable, prefer, require, verify-ca, verify-full) and sslrootcert (a PEM file).",
        ),
        O::optional(
            "debezium.",
            OptionType::Prefix,
            "Of Debezium's settings these count: publication.name, publication.autocreate.mode (disabled: never create or change it), decimal.handling.mode, binary.handling.mode, interval.handling.mode, hstore.handling.mode.",
        ),
    ]
}

/// Where a capture without state begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Startup {
    /// A snapshot, then changes.
    Initial,
    /// A snapshot, then the end.
    Snapshot,
    /// Changes from now on.
    Latest,
    /// Changes from where the slot stands.
    Committed,
}

impl Startup {
    pub fn has_snapshot(self) -> bool {
        matches!(self, Self::Initial | Self::Snapshot)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    Disable,
    /// Encrypted when the server can; its certificate is not looked at.
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Metadata of a change that can be handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metadata {
    OpTs,
    TableName,
    DatabaseName,
    SchemaName,
}

impl Metadata {
    pub const ALL: [Self; 4] = [Self::OpTs, Self::TableName, Self::DatabaseName, Self::SchemaName];

    pub const fn name(self) -> &'static str {
        match self {
            Self::OpTs => "op_ts",
            Self::TableName => "table_name",
            Self::DatabaseName => "database_name",
            Self::SchemaName => "schema_name",
        }
    }

    pub fn data_type(self) -> DataType {
        DataType::not_null(if self == Self::OpTs { LogicalType::BigInt } else { LogicalType::STRING })
    }
}

/// Checked options.
#[derive(Clone)]
pub struct Settings {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub database: String,
    pub slot: String,
    pub publication: String,
    /// Whether the publication may be created and tables may be added to it.
    pub manage_publication: bool,
    pub tls: TlsMode,
    pub tls_roots: Option<String>,
    pub selection: Selection,
    pub connect_timeout: Duration,
    pub connect_retries: u32,
    pub connections: usize,
    pub heartbeat: Duration,
    pub startup: Startup,
    pub schema_changes: bool,
    /// Whether a restored capture takes up tables that it did not have.
    pub new_tables: bool,
    pub include_database: bool,
    /// Whether updates and deletes have to come with their whole old rows.
    pub old_images: bool,
    pub metadata: Vec<Metadata>,
    pub types: TypeOptions,
}

impl Settings {
    /// Of a pipeline's source.
    pub fn new(options: &Options) -> Result<Self, Vec<OptionError>> {
        const HINT: &str = "patterns are `database.schema.table`; a dot of a regular expression is written `\\.`";
        let selection = Selection::of_patterns(options, HINT);
        match database_of(options.must("tables")) {
            Ok(database) => Self::of(options, &database, selection),
            Err(message) => {
                let hint = Some("write `database.schema.table`, all of one database".to_owned());
                let mut errors = selection.err().unwrap_or_default();
                errors.push(OptionError { option: "tables".into(), message, hint });
                Self::of(options, "", Err(errors))
            }
        }
    }

    /// Options that pipelines and scripts have in common; those that only one has are as if they were not set.
    pub fn of(
        options: &Options,
        database: &str,
        selection: Result<Selection, Vec<OptionError>>,
    ) -> Result<Self, Vec<OptionError>> {
        let (selection, mut errors) = match selection {
            Ok(selection) => (Some(selection), Vec::new()),
            Err(errors) => (None, errors),
        };
        let mut wrong = |option: &str, message: String, hint: Option<&str>| {
            errors.push(OptionError { option: option.into(), message, hint: hint.map(str::to_owned) });
        };
        let plugin = options.must("decoding.plugin.name");
        if plugin != "pgoutput" {
            wrong(
                "decoding.plugin.name",
                format!("option 'decoding.plugin.name' is '{plugin}', and Starweir reads pgoutput"),
                Some("pgoutput is part of every PostgreSQL server; give the job a slot of its own"),
            );
        }
        let slot = options.must("slot.name");
        if !(1..=63).contains(&slot.len())
            || !slot.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        {
            wrong(
                "slot.name",
                format!("option 'slot.name' is '{slot}', which cannot be the name of a slot"),
                Some("names of slots consist of small letters, digits and underscores"),
            );
        }
        let mut metadata = Vec::new();
        for name in
            options.text("metadata.list").unwrap_or_default().split(',').map(str::trim).filter(|n| !n.is_empty())
        {
            match Metadata::ALL.into_iter().find(|m| m.name() == name) {
                Some(found) => metadata.push(found),
                None => wrong(
                    "metadata.list",
                    format!("option 'metadata.list' names '{name}', which the PostgreSQL source does not have"),
                    Some("it has op_ts, table_name, database_name and schema_name"),
                ),
            }
        }
        let group =
            |prefix: &str, name: &str| options.group(prefix).find(|(n, _)| *n == name).map(|(_, v)| v.to_owned());
        let tls = match group("jdbc.properties.", "sslmode").as_deref().unwrap_or("prefer") {
            "disable" => TlsMode::Disable,
            "allow" | "prefer" => TlsMode::Prefer,
            "require" => TlsMode::Require,
            "verify-ca" => TlsMode::VerifyCa,
            "verify-full" => TlsMode::VerifyFull,
            other => {
                let message = format!("option 'jdbc.properties.sslmode' is '{other}'");
                wrong(
                    "jdbc.properties.sslmode",
                    message,
                    Some("it may be disable, prefer, require, verify-ca or verify-full"),
                );
                TlsMode::VerifyFull
            }
        };
        let mut mode = |name: &str, known: &[&str]| -> usize {
            let Some(given) = group("debezium.", name) else { return 0 };
            known.iter().position(|k| given.eq_ignore_ascii_case(k)).unwrap_or_else(|| {
                let message = format!("option 'debezium.{name}' is '{given}'; it may be one of {}", known.join(", "));
                wrong(&format!("debezium.{name}"), message, None);
                0
            })
        };
        let types = TypeOptions {
            decimal: [DecimalMode::Precise, DecimalMode::Double, DecimalMode::String]
                [mode("decimal.handling.mode", &["precise", "double", "string"])],
            binary: [BinaryMode::Bytes, BinaryMode::Base64, BinaryMode::Base64UrlSafe, BinaryMode::Hex]
                [mode("binary.handling.mode", &["bytes", "base64", "base64-url-safe", "hex"])],
            interval: [IntervalMode::Numeric, IntervalMode::String]
                [mode("interval.handling.mode", &["numeric", "string"])],
            hstore: [HstoreMode::Json, HstoreMode::Map][mode("hstore.handling.mode", &["json", "map"])],
        };
        if !errors.is_empty() {
            return Err(errors);
        }
        let Some(selection) = selection else { return Err(errors) };
        Ok(Self {
            host: options.must("hostname").to_owned(),
            port: options.int("port").and_then(|p| u16::try_from(p).ok()).unwrap_or(5432),
            user: options.must("username").to_owned(),
            password: options.must("password").to_owned(),
            database: database.to_owned(),
            slot: slot.to_owned(),
            publication: group("debezium.", "publication.name").unwrap_or_else(|| "dbz_publication".to_owned()),
            manage_publication: group("debezium.", "publication.autocreate.mode").as_deref() != Some("disabled"),
            tls,
            tls_roots: group("jdbc.properties.", "sslrootcert"),
            selection,
            connect_timeout: options.duration("connect.timeout").unwrap_or(Duration::from_secs(30)),
            connect_retries: options.int("connect.max-retries").and_then(|n| u32::try_from(n).ok()).unwrap_or(3),
            connections: options.int("connection.pool.size").and_then(|n| usize::try_from(n).ok()).unwrap_or(20),
            heartbeat: options
                .duration("heartbeat.interval")
                .or_else(|| options.duration("heartbeat.interval.ms"))
                .filter(|d| !d.is_zero())
                .unwrap_or(Duration::from_secs(30))
                // Below, the connection would be busy with nothing else.
                .max(Duration::from_secs(1)),
            startup: match options.must("scan.startup.mode").trim().to_ascii_lowercase().as_str() {
                "latest-offset" => Startup::Latest,
                "committed-offset" => Startup::Committed,
                "snapshot" => Startup::Snapshot,
                _ => Startup::Initial,
            },
            schema_changes: options.bool("schema-change.enabled").unwrap_or(false),
            new_tables: options.bool("scan.newly-added-table.enabled").unwrap_or(false),
            include_database: options.bool("table-id.include-database").unwrap_or(false),
            old_images: false,
            metadata,
            types,
        })
    }

    /// Whether the options name this table.
    pub fn selects(&self, schema: &str, table: &str) -> bool {
        self.selection.matches(&TableId::full(&self.database, schema, table))
    }

    /// The id a table is given out with.
    pub fn table_id(&self, schema: &str, table: &str) -> TableId {
        if self.include_database {
            TableId::full(&self.database, schema, table)
        } else {
            TableId::in_schema(schema, table)
        }
    }
}

/// The database that all patterns name.
fn database_of(tables: &str) -> Result<String, String> {
    let mut found: Option<&str> = None;
    for item in tables.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let parts: Vec<&str> = item.split('.').collect();
        if parts.len() < 3 {
            return Err(format!(
                "The value of option `tables` is `{tables}`, but '{item}' is not `database.schema.table`"
            ));
        }
        if found.is_some_and(|f| f != parts[0]) {
            return Err(format!(
                "The value of option `tables` is `{tables}`, but not all table names have the same database name"
            ));
        }
        found = Some(parts[0]);
    }
    found.map(str::to_owned).ok_or_else(|| "option 'tables' is empty".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(more: &[(&str, &str)]) -> Result<Settings, String> {
        let mut given = vec![("hostname", "h"), ("username", "u"), ("password", "secret"), ("slot.name", "s")];
        given.extend(more);
        let options = Options::parse(&definitions(), given).map_err(|e| e[0].message.clone())?;
        Settings::new(&options).map_err(|e| e[0].message.clone())
    }

    #[test]
    fn all_tables_are_of_one_database() {
        let found = settings(&[("tables", r"db.public.a, db.inventory.prod\.*")]).unwrap();
        assert_eq!(found.database, "db");
        assert!(found.selects("inventory", "products") && !found.selects("inventory", "x"));
        let error = settings(&[("tables", "aia.public.a,other.public.b")]).err().unwrap();
        assert_eq!(
            error,
            "The value of option `tables` is `aia.public.a,other.public.b`, but not all table names have the same database name"
        );
        assert!(settings(&[("tables", "public.a")]).is_err());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (option, value) in [
            ("decoding.plugin.name", "wal2json"),
            ("slot.name", "Bad-Name"),
            ("metadata.list", "op_ts,nothing"),
            ("jdbc.properties.sslmode", "sometimes"),
            ("debezium.decimal.handling.mode", "loose"),
        ] {
            let error = settings(&[("tables", "d.s.t"), (option, value)]).err().unwrap_or_default();
            assert!(!error.is_empty() && !error.contains("secret"), "{option}: {error}");
        }
    }
}
