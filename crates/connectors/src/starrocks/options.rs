//! The options of a StarRocks table, with the names, ranges and defaults of the Flink connector, and what they mean
//! together.

use std::time::Duration;

use starweir_model::option::OptionError;
use starweir_model::{OptionDef, OptionType, Options, TableName};
use starweir_starrocks::config::HostMapping;
use starweir_starrocks::{ClientConfig, Endpoint};

use crate::registry::{Changelog, SinkRequest};

/// Every option of the table; sink and source share the addresses.
pub(super) fn definitions() -> Vec<OptionDef> {
    use OptionDef as O;
    use OptionType as T;
    const BIG: i64 = i64::MAX;
    vec![
        O::required("jdbc-url", T::Text, "Query addresses of the FEs, `jdbc:mysql://fe1:9030,fe2:9030`: metadata and checks."),
        O::required("load-url", T::Text, "HTTP addresses of the FEs, `fe1:8030;http://fe2:8030;https://nlb`; the next is tried when one is down."),
        O::required("database-name", T::Text, "Database of the table."),
        O::required("table-name", T::Text, "Name of the table in StarRocks."),
        O::required("username", T::Text, "User; needs SELECT and INSERT on the table."),
        O::required("password", T::Secret, "The user's password; may be empty."),
        O::optional("sink.version", T::Choice(&["V1", "V2", "AUTO"]), "V2 uses the transaction interface (StarRocks 2.4 and later), V1 plain Stream Loads; AUTO is V2 where the server has it.").with_default("AUTO"),
        O::optional("sink.semantic", T::Choice(&["at-least-once", "exactly-once"]), "Delivery. exactly-once: with V2 by transactions that are prepared at each epoch and committed after its manifest, with V1 by a journal in the state directory that is kept until the rows are visible.").with_default("at-least-once"),
        O::optional("sink.flush-on", T::Choice(&["checkpoint", "watermark"]), "watermark: commits whenever the watermark advances or no row comes, for low latency, at-least-once only. checkpoint: commits at epochs only, never earlier by size or time."),
        O::optional("sink.buffer-flush.max-bytes", T::Size, "At-least-once: commits at the latest after so many bytes (64 mb to 10 gb).").with_default("94371840"),
        O::optional("sink.buffer-flush.max-rows", T::Int(64_000, 5_000_000), "At-least-once: commits at the latest after so many rows.").with_default("500000"),
        O::optional("sink.buffer-flush.interval-ms", T::Int(1, 3_600_000), "At-least-once: commits at the latest after so many milliseconds; an epoch's end commits too.").with_default("300000"),
        O::optional("sink.buffer-flush.enqueue-timeout-ms", T::Int(300_000, BIG), "Accepted; a full buffer makes the source wait without limit.").with_default("600000"),
        O::optional("sink.max-retries", T::Int(0, 1000), "Repeats of a call under its same label. Waits that the server asks for (too many versions, running transactions) do not count.").with_default("3"),
        O::optional("sink.retry.interval-ms", T::Int(1, 3_600_000), "The longest pause between repeats, milliseconds.").with_default("10000"),
        O::optional("sink.connect.timeout-ms", T::Int(1, BIG), "Milliseconds to connect; held between 100 and 60000.").with_default("30000"),
        O::optional("sink.socket.timeout-ms", T::Int(-1, BIG), "Milliseconds without a byte from the server; -1 and 0: the load's own timeout and a minute.").with_default("-1"),
        O::optional("sink.wait-for-continue.timeout-ms", T::Int(1, BIG), "Milliseconds to wait for `100 Continue`; held between 3000 and 600000.").with_default("30000"),
        O::optional("sink.io.thread-count", T::Int(1, BIG), "Accepted; one writer loads a table.").with_default("2"),
        O::optional("sink.chunk-limit", T::Size, "The largest request of a transaction; requests are at most 16 mb here.").with_default("3 gb"),
        O::optional("sink.scan-frequency.ms", T::Int(1, BIG), "Accepted; nothing is polled here.").with_default("50"),
        O::optional("sink.label-prefix", T::Text, "Begins every label, `[-_A-Za-z0-9]`. The job's id follows, so that two jobs never share a label."),
        O::optional("sink.at-least-once.use-transaction-stream-load", T::Bool, "At-least-once with V2: several requests per commit through the transaction interface.").with_default("true"),
        O::optional("sink.transaction.multi-table.enabled", T::Bool, "Atomic commits over tables; not supported yet.").with_default("false"),
        O::optional("sink.transaction.multi-table.buffer-size", T::Size, "Accepted; see sink.transaction.multi-table.enabled.").with_default("134217728"),
        O::optional("sink.ignore.update-before", T::Bool, "Old images of updates are not sent. An update that changes the key always deletes the old key, whatever this says.").with_default("true"),
        O::optional("sink.exactly-once.enable-label-gen", T::Bool, "Accepted; labels are always derived from job, table and epoch.").with_default("true"),
        O::optional("sink.exactly-once.enable-abort-lingering-txn", T::Bool, "Accepted; lingering transactions are always aborted on start.").with_default("true"),
        O::optional("sink.exactly-once.check-num-lingering-txn", T::Int(-1, BIG), "Accepted; all that can exist are checked.").with_default("-1"),
        O::optional("sink.use.new-sink-api", T::Bool, "Accepted; there is one implementation.").with_default("false"),
        O::optional("sink.wrap-json-as-array", T::Bool, "Accepted; rows are written as JSON lines.").with_default("false"),
        O::optional("sink.sanitize-error-log", T::Bool, "Hides values of rejected rows in errors.").with_default("false"),
        O::optional("sink.publish-timeout.ms", T::Int(-1, BIG), "Milliseconds a commit waits to become visible; -1: the server's default.").with_default("-1"),
        O::optional("sink.prepared-timeout", T::Duration, "How long the server keeps a prepared transaction. Longer than any restart of this job may take.").with_default("1 d"),
        O::optional("sink.blackhole", T::Bool, "Rows are encoded and thrown away, for measuring.").with_default("false"),
        O::optional("sink.metric.histogram-window-size", T::Int(1, BIG), "Accepted; see --metrics.").with_default("100"),
        O::optional("sink.parallelism", T::Int(1, BIG), "Accepted; one writer loads a table, so that the order of each key is kept."),
        O::optional("sink.be-host-mapping-list", T::Text, "`reachable:port,be:port;…`: addresses to use instead of those the server redirects to."),
        O::optional("sink.tls.ca-file", T::Text, "PEM file of the authority that signed the server's certificate, for https addresses; the usual ones are known."),
        O::optional("sink.properties.", T::Prefix, "Any Stream Load header: format (csv, json), column_separator, row_delimiter, columns, partial_update, merge_condition, strict_mode, timeout, max_filter_ratio, enable_merge_commit, …"),
        O::optional("sink.merge-commit.", T::Prefix, "Accepted; requests of a table are sent in order, one at a time."),
        O::optional("starrocks.create.table.properties", T::Text, "Of the managed flavour: accepted; used when a table is created."),
        O::optional("table.create.num-buckets", T::Int(1, BIG), "Buckets of a table created by --local; the server decides when absent."),
        // Reading.
        O::optional("scan-url", T::Text, "HTTP addresses for reading; accepted on a table that is written."),
        O::optional("scan.", T::Prefix, "Options for reading; accepted on a table that is written."),
        O::optional("lookup.", T::Prefix, "Options for look-ups; accepted on a table that is written."),
    ]
}

/// How rows get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Plain Stream Loads, repeated under the same label within an attempt.
    Loads,
    /// Transactions committed as soon as they are full, due, or an epoch ends.
    Transactions,
    /// Prepared at the epoch's end, committed after the manifest.
    Prepared,
    /// Kept in the state directory at the epoch's end, loaded after the manifest.
    Journal,
}

impl Delivery {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Loads => "at-least-once (Stream Loads)",
            Self::Transactions => "at-least-once (transactions)",
            Self::Prepared => "exactly-once (prepared transactions)",
            Self::Journal => "exactly-once (journal)",
        }
    }
}

/// How a load's body is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Format {
    Csv { column_separator: Vec<u8>, row_delimiter: Vec<u8> },
    Json,
}

/// The options of a sink, understood.
#[derive(Clone)]
pub(super) struct SinkOptions {
    pub table: TableName,
    pub client: ClientConfig,
    pub delivery: Delivery,
    /// `sink.version = AUTO`: fall back to V1 where the server has no transactions.
    pub version_auto: bool,
    pub flush_on_watermark: bool,
    /// Never commit before an epoch ends.
    pub flush_on_checkpoint: bool,
    pub flush_bytes: u64,
    pub flush_rows: u64,
    pub flush_interval: Duration,
    pub request_bytes: u64,
    pub retries: u32,
    pub retry_pause_max: Duration,
    pub label_prefix: Option<String>,
    pub publish_timeout: Option<Duration>,
    pub prepared_timeout: Duration,
    pub sanitize: bool,
    pub blackhole: bool,
    pub format: Format,
    /// Headers of every load besides the ones we make.
    pub headers: Vec<(String, String)>,
    pub columns: Option<String>,
    pub partial_update: bool,
    /// `sink.ignore.update-before = false`.
    pub send_update_before: bool,
}

/// How the server's escapes in separators are read: `\x01`, `0x01`, `\t`, `\n` (Stream Load headers).
fn separator(text: &str) -> Option<Vec<u8>> {
    let lower = text.to_ascii_lowercase();
    if let Some(digits) = lower.strip_prefix("\\x").or_else(|| lower.strip_prefix("0x")) {
        let pairs = (0..digits.len()).step_by(2).map(|i| digits.get(i..i + 2));
        return pairs.map(|p| u8::from_str_radix(p?, 16).ok()).collect::<Option<Vec<u8>>>().filter(|v| !v.is_empty());
    }
    Some(text.replace("\\t", "\t").replace("\\n", "\n").into_bytes()).filter(|v| !v.is_empty() && v.len() <= 50)
}

impl SinkOptions {
    pub(super) fn parse(request: &SinkRequest<'_>) -> Result<Self, Vec<OptionError>> {
        let options = Options::parse(&definitions(), request.given())?;
        let mut errors = Vec::new();
        let mut wrong = |option: &str, message: String, hint: Option<&str>| {
            errors.push(OptionError { option: option.into(), message, hint: hint.map(str::to_owned) });
        };
        let properties: Vec<(String, String)> =
            options.group("sink.properties.").map(|(k, v)| (k.to_lowercase(), v.to_owned())).collect();
        let property = |name: &str| properties.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
        let is_true = |name: &str| property(name).is_some_and(|v| v.trim().eq_ignore_ascii_case("true"));
        let ms = |name: &str| options.int(name).unwrap_or(0);

        let mut client = match ClientConfig::new(options.must("load-url")) {
            Ok(client) => client,
            Err(e) => {
                wrong("load-url", format!("option 'load-url': {}", e.chain()), e.hint());
                ClientConfig::new("127.0.0.1:8030").map_err(|_| Vec::new())?
            }
        };
        match client.clone().with_jdbc_url(options.must("jdbc-url")) {
            Ok(with) => client = with,
            Err(e) => wrong("jdbc-url", format!("option 'jdbc-url': {}", e.chain()), e.hint()),
        }
        client = client.with_login(options.must("username"), options.must("password"));
        client.connect_timeout = Duration::from_millis(ms("sink.connect.timeout-ms").clamp(100, 60_000) as u64);
        client.wait_for_continue_timeout =
            Duration::from_millis(ms("sink.wait-for-continue.timeout-ms").clamp(3_000, 600_000) as u64);
        let load_timeout = property("timeout").and_then(|t| t.trim().parse::<u64>().ok()).unwrap_or(600);
        client.socket_timeout = match ms("sink.socket.timeout-ms") {
            ..=0 => Duration::from_secs(load_timeout + 60),
            given => Duration::from_millis(given as u64),
        };
        if let Some(list) = options.text("sink.be-host-mapping-list") {
            match HostMapping::parse(list) {
                Ok(mapping) => client.be_host_mapping = mapping,
                Err(e) => wrong(
                    "sink.be-host-mapping-list",
                    format!("option 'sink.be-host-mapping-list': {}", e.chain()),
                    e.hint(),
                ),
            }
        }
        if let Some(file) = options.text("sink.tls.ca-file") {
            match std::fs::read(file) {
                Ok(pem) => client.tls_ca_pem = Some(pem),
                Err(e) => {
                    wrong("sink.tls.ca-file", format!("option 'sink.tls.ca-file': the file cannot be read: {e}"), None)
                }
            }
        }

        let exactly_once = options.must("sink.semantic").eq_ignore_ascii_case("exactly-once");
        let version = options.must("sink.version").to_uppercase();
        let merge_commit = is_true("enable_merge_commit");
        let transactions = options.bool("sink.at-least-once.use-transaction-stream-load").unwrap_or(true);
        let delivery = match (exactly_once, version.as_str()) {
            (true, "V1") => Delivery::Journal,
            (true, _) => Delivery::Prepared,
            (false, "V1") => Delivery::Loads,
            (false, _) if merge_commit || !transactions => Delivery::Loads,
            (false, _) => Delivery::Transactions,
        };
        let flush_on = options.text("sink.flush-on").map(str::to_lowercase);
        if exactly_once && flush_on.as_deref() == Some("watermark") {
            wrong("sink.flush-on", "option 'sink.flush-on' = 'watermark' commits between epochs, which is at-least-once; it cannot be used with 'sink.semantic' = 'exactly-once'".into(), Some("use 'checkpoint', or drop exactly-once"));
        }
        if exactly_once && merge_commit {
            wrong(
                "sink.properties.enable_merge_commit",
                "merge commit does not de-duplicate labels, so it cannot be used with 'sink.semantic' = 'exactly-once'"
                    .into(),
                None,
            );
        }
        if merge_commit && property("merge_commit_interval_ms").is_none() {
            wrong(
                "sink.properties.merge_commit_interval_ms",
                "option 'sink.properties.merge_commit_interval_ms' is missing: merge commit needs it".into(),
                None,
            );
        }
        if options.bool("sink.transaction.multi-table.enabled") == Some(true) {
            wrong(
                "sink.transaction.multi-table.enabled",
                "transactions over several tables are not supported yet".into(),
                None,
            );
        }
        let flush_bytes = options.size("sink.buffer-flush.max-bytes").unwrap_or(94_371_840);
        if !((64 << 20)..=(10u64 << 30)).contains(&flush_bytes) {
            wrong(
                "sink.buffer-flush.max-bytes",
                format!("option 'sink.buffer-flush.max-bytes' must be from 64 mb to 10 gb, but is {flush_bytes} bytes"),
                None,
            );
        }
        let label_prefix = options.text("sink.label-prefix").map(str::to_owned);
        if let Some(prefix) = &label_prefix
            && (prefix.is_empty()
                || prefix.len() > 48
                || !prefix.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')))
        {
            wrong(
                "sink.label-prefix",
                "option 'sink.label-prefix' must be 1 to 48 of letters, digits, - and _".into(),
                None,
            );
        }
        let mut csv = |name: &str, default: u8| match property(name) {
            None => vec![default],
            Some(text) => separator(text).unwrap_or_else(|| {
                wrong(
                    &format!("sink.properties.{name}"),
                    format!("option 'sink.properties.{name}' is not a separator of 1 to 50 bytes"),
                    None,
                );
                vec![default]
            }),
        };
        let format = match property("format").map(str::to_lowercase).as_deref() {
            // Control characters as separators: text hardly ever holds them.
            None | Some("csv") => {
                Format::Csv { column_separator: csv("column_separator", 1), row_delimiter: csv("row_delimiter", 2) }
            }
            Some("json") => Format::Json,
            Some(other) => {
                wrong(
                    "sink.properties.format",
                    format!("option 'sink.properties.format' must be csv or json, but is '{other}'"),
                    None,
                );
                Format::Json
            }
        };
        // What describes the body is ours to say.
        const OURS: [&str; 8] = [
            "format",
            "column_separator",
            "row_delimiter",
            "columns",
            "label",
            "strip_outer_array",
            "jsonpaths",
            "json_root",
        ];
        for name in ["jsonpaths", "json_root", "compression", "skip_header", "enclose", "escape", "content-encoding"] {
            if property(name).is_some() {
                wrong(
                    &format!("sink.properties.{name}"),
                    format!(
                        "option 'sink.properties.{name}' describes a body that somebody else wrote; rows are encoded here"
                    ),
                    None,
                );
            }
        }
        let headers = properties.iter().filter(|(k, _)| !OURS.contains(&k.as_str())).cloned().collect();
        if request.changelog != Changelog::AppendOnly && request.schema.primary_key.is_empty() {
            wrong(
                "connector",
                format!(
                    "table {} has no PRIMARY KEY, but the query updates and deletes rows ({}): StarRocks could only append them",
                    request.table,
                    request.changelog.name()
                ),
                Some("declare PRIMARY KEY (…) NOT ENFORCED, and use a StarRocks primary-key table"),
            );
        }
        let parsed = Self {
            table: TableName::new(options.must("database-name"), options.must("table-name")),
            delivery,
            version_auto: version == "AUTO",
            flush_on_watermark: flush_on.as_deref() == Some("watermark"),
            flush_on_checkpoint: flush_on.as_deref() == Some("checkpoint"),
            flush_bytes,
            flush_rows: options.int("sink.buffer-flush.max-rows").unwrap_or(500_000) as u64,
            flush_interval: Duration::from_millis(ms("sink.buffer-flush.interval-ms") as u64),
            request_bytes: options.size("sink.chunk-limit").unwrap_or(u64::MAX).clamp(1 << 20, REQUEST_BYTES),
            retries: options.int("sink.max-retries").unwrap_or(3) as u32,
            retry_pause_max: Duration::from_millis(ms("sink.retry.interval-ms") as u64),
            label_prefix,
            publish_timeout: u64::try_from(ms("sink.publish-timeout.ms"))
                .ok()
                .filter(|m| *m > 0)
                .map(Duration::from_millis),
            prepared_timeout: options.duration("sink.prepared-timeout").unwrap_or(Duration::from_secs(86_400)),
            sanitize: options.bool("sink.sanitize-error-log").unwrap_or(false),
            blackhole: options.bool("sink.blackhole").unwrap_or(false),
            format,
            headers,
            columns: property("columns").map(str::to_owned),
            partial_update: is_true("partial_update"),
            send_update_before: options.bool("sink.ignore.update-before") == Some(false),
            client,
        };
        if errors.is_empty() { Ok(parsed) } else { Err(errors) }
    }

    /// The first load address, for messages.
    pub(super) fn place(&self) -> String {
        self.client.load_urls.first().map(Endpoint::to_string).unwrap_or_default()
    }
}

/// The largest request: enough for StarRocks to be efficient, small enough to be held twice in memory.
const REQUEST_BYTES: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use starweir_model::{Column, DataType, LogicalType, Schema};

    fn parse(extra: &[(&str, &str)], changelog: Changelog, key: bool) -> Result<SinkOptions, Vec<OptionError>> {
        let schema = Schema::new(vec![Column::new("id", DataType::not_null(LogicalType::BigInt))]);
        let schema = if key { schema.with_primary_key(vec![0]) } else { schema };
        let mut options: Vec<(String, String)> = [
            ("jdbc-url", "jdbc:mysql://fe:9030"),
            ("load-url", "fe:8030"),
            ("database-name", "d"),
            ("table-name", "t"),
            ("username", "root"),
            ("password", ""),
        ]
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .into();
        options.extend(extra.iter().map(|(k, v)| (k.to_string(), v.to_string())));
        SinkOptions::parse(&SinkRequest {
            table: "t",
            schema: &schema,
            options: &options,
            changelog,
            job: "j",
            checkpoint_interval: Duration::from_secs(1),
            zone: "UTC",
        })
    }

    #[test]
    fn delivery_follows_semantic_and_version() {
        let delivery = |extra: &[(&str, &str)]| parse(extra, Changelog::AppendOnly, true).map(|o| o.delivery).ok();
        let once = ("sink.semantic", "exactly-once");
        assert_eq!(delivery(&[]), Some(Delivery::Transactions));
        assert_eq!(delivery(&[("sink.version", "V1")]), Some(Delivery::Loads));
        assert_eq!(delivery(&[("sink.at-least-once.use-transaction-stream-load", "false")]), Some(Delivery::Loads));
        assert_eq!(delivery(&[once]), Some(Delivery::Prepared));
        assert_eq!(delivery(&[once, ("sink.version", "V1")]), Some(Delivery::Journal));
        let merge =
            [("sink.properties.enable_merge_commit", "true"), ("sink.properties.merge_commit_interval_ms", "100")];
        assert_eq!(delivery(&merge), Some(Delivery::Loads));
    }

    #[test]
    fn combinations_that_would_lose_or_double_are_refused() {
        let text = |extra: &[(&str, &str)], changelog, key| {
            parse(extra, changelog, key).err().map(|e| e.into_iter().map(|e| e.message).collect::<Vec<_>>().join("\n"))
        };
        let once = ("sink.semantic", "exactly-once");
        assert!(
            text(&[once, ("sink.flush-on", "watermark")], Changelog::AppendOnly, true)
                .unwrap()
                .contains("between epochs")
        );
        assert!(
            text(&[once, ("sink.properties.enable_merge_commit", "true")], Changelog::AppendOnly, true)
                .unwrap()
                .contains("de-duplicate")
        );
        assert!(text(&[], Changelog::Retract, false).unwrap().contains("no PRIMARY KEY"));
        assert!(text(&[], Changelog::Retract, true).is_none());
        assert!(
            text(&[("sink.buffer-flush.max-bytes", "1 mb")], Changelog::AppendOnly, true)
                .unwrap()
                .contains("64 mb to 10 gb")
        );
        assert!(
            text(&[("sink.buffer-flush.max-rows", "10")], Changelog::AppendOnly, true)
                .unwrap()
                .contains("64000 to 5000000")
        );
        assert!(text(&[("sink.properties.jsonpaths", "[]")], Changelog::AppendOnly, true).is_some());
    }

    #[test]
    fn separators_are_read_as_the_server_reads_them() {
        assert_eq!(separator("\\x01"), Some(vec![1]));
        assert_eq!(separator("0X0102"), Some(vec![1, 2]));
        assert_eq!(separator("\\t"), Some(vec![b'\t']));
        assert_eq!(separator("||"), Some(b"||".to_vec()));
        assert_eq!(separator("\\x0"), None);
        assert_eq!(separator(""), None);
    }
}
