//! Job settings by their Flink names: what they do here, which are accepted without effect, and which are unknown.

use std::collections::BTreeMap;
use std::time::Duration;

use starweir_engine::RestartStrategy;
use starweir_model::option::{OptionType, parse_duration};
use starweir_model::{OptionDef, nearest};

/// What a setting does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingEffect {
    /// As in Flink, or as described.
    Used,
    /// Means something in a Flink cluster and nothing in one process: accepted with one note.
    Meaningless,
}

/// A setting and what becomes of it.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub definition: OptionDef,
    pub effect: SettingEffect,
}

const fn used(
    name: &'static str,
    kind: OptionType,
    default: Option<&'static str>,
    description: &'static str,
) -> Setting {
    let mut definition = OptionDef::optional(name, kind, description);
    definition.default = default;
    Setting { definition, effect: SettingEffect::Used }
}

const fn idle(name: &'static str, description: &'static str) -> Setting {
    Setting { definition: OptionDef::optional(name, OptionType::Text, description), effect: SettingEffect::Meaningless }
}

/// Every setting that is known by its whole name.
pub const SETTINGS: &[Setting] = &[
    used(
        "pipeline.name",
        OptionType::Text,
        None,
        "The job's name, in the status, the metrics and the state directory. The script's file name when absent.",
    ),
    used(
        "execution.runtime-mode",
        OptionType::Choice(&["streaming", "batch", "automatic"]),
        Some("streaming"),
        "batch: sources end where they can; each target is written in one epoch.",
    ),
    used("parallelism.default", OptionType::Int(1, 128), Some("1"), "Threads that share the splits of each source."),
    used(
        "execution.checkpointing.interval",
        OptionType::Duration,
        Some("10 s"),
        "Time between two epochs. Flink has none by default and then never commits exactly-once rows; here it is 10 s.",
    ),
    used(
        "execution.checkpointing.min-pause",
        OptionType::Duration,
        Some("0 ms"),
        "The least pause between the end of an epoch and the next cut.",
    ),
    used(
        "execution.checkpointing.mode",
        OptionType::Choice(&["EXACTLY_ONCE", "AT_LEAST_ONCE"]),
        Some("EXACTLY_ONCE"),
        "Accepted; offsets and rows of an epoch always belong together, and delivery is each sink's choice (`sink.semantic`).",
    ),
    used(
        "execution.checkpointing.dir",
        OptionType::Text,
        None,
        "Where epochs are kept: `file:///path` or `s3://bucket/path`. The --state option wins over it.",
    ),
    used("state.checkpoints.dir", OptionType::Text, None, "The older name of execution.checkpointing.dir."),
    used("table.local-time-zone", OptionType::Text, Some("UTC"), "The session's time zone, such as Europe/Berlin."),
    used(
        "table.exec.sink.not-null-enforcer",
        OptionType::Choice(&["ERROR", "DROP"]),
        Some("ERROR"),
        "What happens to a row with NULL for a NOT NULL column: the job stops, or the row is left out.",
    ),
    used(
        "table.exec.legacy-cast-behaviour",
        OptionType::Choice(&["ENABLED", "DISABLED"]),
        Some("DISABLED"),
        "CAST as before Flink 1.15.",
    ),
    used(
        "restart-strategy.type",
        OptionType::Choice(&[
            "none",
            "off",
            "disable",
            "fixeddelay",
            "fixed-delay",
            "failurerate",
            "failure-rate",
            "exponentialdelay",
            "exponential-delay",
        ]),
        Some("exponential-delay"),
        "When a failed attempt is followed by another.",
    ),
    used(
        "restart-strategy",
        OptionType::Choice(&[
            "none",
            "off",
            "disable",
            "fixeddelay",
            "fixed-delay",
            "failurerate",
            "failure-rate",
            "exponentialdelay",
            "exponential-delay",
        ]),
        None,
        "The older name of restart-strategy.type.",
    ),
    used(
        "restart-strategy.fixed-delay.attempts",
        OptionType::Int(0, i64::MAX),
        Some("1"),
        "Restarts before the job ends.",
    ),
    used("restart-strategy.fixed-delay.delay", OptionType::Duration, Some("1 s"), "Pause before a restart."),
    used(
        "restart-strategy.failure-rate.max-failures-per-interval",
        OptionType::Int(0, i64::MAX),
        Some("1"),
        "Failures in the interval before the job ends.",
    ),
    used("restart-strategy.failure-rate.failure-rate-interval", OptionType::Duration, Some("1 min"), "The interval."),
    used("restart-strategy.failure-rate.delay", OptionType::Duration, Some("1 s"), "Pause before a restart."),
    used(
        "restart-strategy.exponential-delay.initial-backoff",
        OptionType::Duration,
        Some("1 s"),
        "Pause before the first restart.",
    ),
    used("restart-strategy.exponential-delay.max-backoff", OptionType::Duration, Some("1 min"), "The longest pause."),
    used(
        "restart-strategy.exponential-delay.backoff-multiplier",
        OptionType::Float(1.0, 1000.0),
        Some("1.5"),
        "How the pause grows.",
    ),
    used(
        "restart-strategy.exponential-delay.reset-backoff-threshold",
        OptionType::Duration,
        Some("1 h"),
        "A quiet time after which the pause falls back.",
    ),
    used(
        "restart-strategy.exponential-delay.jitter-factor",
        OptionType::Float(0.0, 1.0),
        Some("0.1"),
        "Accepted; one job in one process needs no jitter.",
    ),
    used(
        "restart-strategy.exponential-delay.attempts-before-reset-backoff",
        OptionType::Int(1, i64::MAX),
        None,
        "Restarts in a row before the job ends; unlimited when absent.",
    ),
    idle("execution.checkpointing.timeout", "epochs end when their sinks have prepared"),
    idle("execution.checkpointing.max-concurrent-checkpoints", "one epoch is committed at a time"),
    idle("execution.checkpointing.tolerable-failed-checkpoints", "a failed epoch restarts the job"),
    idle("execution.checkpointing.unaligned", "barriers never wait behind data of other inputs here"),
    idle("execution.checkpointing.unaligned.enabled", "barriers never wait behind data of other inputs here"),
    idle("execution.checkpointing.incremental", "a manifest is a few hundred bytes"),
    idle("execution.checkpointing.num-retained", "the last three manifests are kept"),
    idle("execution.checkpointing.externalized-checkpoint-retention", "manifests are always kept"),
    idle("execution.checkpointing.savepoint-dir", "a stopped job goes on from its last epoch"),
    idle("execution.checkpointing.storage", "manifests are files"),
    idle("state.backend", "there is no operator state yet"),
    idle("state.backend.type", "there is no operator state yet"),
    idle("state.backend.incremental", "there is no operator state yet"),
    idle("state.savepoints.dir", "a stopped job goes on from its last epoch"),
    idle("state.checkpoint-storage", "manifests are files"),
    idle("state.checkpoints.num-retained", "the last three manifests are kept"),
    idle("table.exec.state.ttl", "there is no operator state yet"),
    idle("table.exec.source.idle-timeout", "nothing consumes watermarks yet"),
    idle("table.exec.source.cdc-events-duplicate", "repeats are harmless for primary-key tables"),
    idle("table.exec.sink.upsert-materialize", "rows of a key come from one lane and stay in order"),
    idle("table.exec.sink.keyed-shuffle", "rows of a key come from one lane and stay in order"),
    idle("table.exec.sink.type-length-enforcer", "StarRocks checks lengths, and a row that does not fit stops the job"),
    idle("table.exec.resource.default-parallelism", "see parallelism.default"),
    idle("table.exec.mini-batch.enabled", "rows are always processed in batches"),
    idle("table.exec.mini-batch.allow-latency", "rows are always processed in batches"),
    idle("table.exec.mini-batch.size", "rows are always processed in batches"),
    idle("table.dml-sync", "statements of a script run one after the other"),
    idle("table.sql-dialect", "scripts are in Flink's default dialect"),
    idle("table.plan.force-recompile", "nothing is compiled at run time"),
    idle("sql-client.execution.result-mode", "results are printed"),
    idle("sql-client.execution.max-table-result.rows", "results are printed"),
    idle("sql-client.display.max-column-width", "results are printed"),
    idle("sql-client.verbose", "errors are always told in full"),
    idle("pipeline.object-reuse", "rows are columns here"),
    idle("pipeline.operator-chaining", "operators are always chained"),
    idle("pipeline.operator-chaining.enabled", "operators are always chained"),
    idle("pipeline.max-parallelism", "there is no operator state yet"),
    idle("pipeline.auto-watermark-interval", "watermarks travel with each batch"),
    idle("pipeline.jars", "Java archives cannot run here"),
    idle("execution.target", "the job runs in this process"),
    idle("execution.attached", "the job runs in this process"),
    idle("execution.buffer-timeout", "batches are handed over within 50 ms"),
    idle("execution.buffer-timeout.interval", "batches are handed over within 50 ms"),
    idle("cluster.evenly-spread-out-slots", "the job runs in this process"),
];

/// Beginnings of names that configure a Flink cluster: accepted like the meaningless ones.
const MEANINGLESS_GROUPS: &[(&str, &str)] = &[
    ("taskmanager.", "there are no TaskManagers"),
    ("jobmanager.", "there is no JobManager"),
    ("state.backend.", "there is no operator state yet"),
    ("env.", "there is no JVM"),
    ("kubernetes.", "the job runs in this process"),
    ("yarn.", "the job runs in this process"),
    ("rest.", "see --metrics"),
    ("metrics.", "see --metrics"),
    ("high-availability", "manifests are what a restart needs"),
    ("table.optimizer.", "plans without state need no optimizer"),
    ("classloader.", "there is no JVM"),
    ("akka.", "the job runs in this process"),
    ("pekko.", "the job runs in this process"),
    ("s3.", "object store settings are read from the environment of the process"),
    ("fs.", "object store settings are read from the environment of the process"),
    ("security.", "the job runs in this process"),
    ("web.", "see --metrics"),
    ("slotmanager.", "the job runs in this process"),
    ("slot.", "the job runs in this process"),
    ("client.", "the job runs in this process"),
    ("job.", "the job runs in this process"),
    ("sql-client.", "results are printed"),
    ("sql-gateway.", "the job runs in this process"),
];

/// What is to be said of one SET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    Fine,
    /// Accepted without effect; why.
    Note(String),
    /// Refused: the sentence and a hint.
    Wrong(String, Option<String>),
}

/// Checks a setting as it is made.
pub fn check(key: &str, value: &str) -> Checked {
    if let Some(setting) = SETTINGS.iter().find(|s| s.definition.name == key) {
        if setting.effect == SettingEffect::Meaningless {
            return Checked::Note(setting.definition.description.to_owned());
        }
        if key == "table.local-time-zone" && value != "default" && starweir_sql::Zone::parse(value).is_none() {
            let hint = "write an IANA name such as Europe/Berlin, or an offset such as GMT+02:00";
            return Checked::Wrong(format!("'{value}' is not a time zone"), Some(hint.into()));
        }
        return match setting.definition.check(value) {
            Ok(()) => Checked::Fine,
            Err(e) => Checked::Wrong(e.message, e.hint),
        };
    }
    if let Some((_, why)) = MEANINGLESS_GROUPS.iter().find(|(start, _)| key.starts_with(start)) {
        return Checked::Note((*why).to_owned());
    }
    let hint = nearest(key, SETTINGS.iter().map(|s| s.definition.name)).map(|n| format!("did you mean '{n}'?"));
    Checked::Wrong(format!("unknown setting '{key}'"), hint)
}

/// The settings of a job, understood.
#[derive(Debug, Clone)]
pub struct JobSettings {
    pub name: Option<String>,
    pub batch: bool,
    pub parallelism: usize,
    pub checkpoint_interval: Duration,
    pub checkpoint_pause_min: Duration,
    pub checkpoint_dir: Option<String>,
    pub restart: RestartStrategy,
    /// IANA name of the session's zone.
    pub zone: String,
    pub drop_nulls: bool,
}

impl JobSettings {
    /// From settings that `check` found fine.
    pub fn from_session(settings: &BTreeMap<String, String>) -> Self {
        let default = |key: &str| SETTINGS.iter().find(|s| s.definition.name == key).and_then(|s| s.definition.default);
        let text = |key: &str| settings.get(key).map(|v| v.trim()).or(default(key));
        let duration = |key: &str| text(key).and_then(parse_duration).unwrap_or_default();
        let number = |key: &str| text(key).and_then(|v| v.parse::<u64>().ok());
        let batch = text("execution.runtime-mode").is_some_and(|v| v.eq_ignore_ascii_case("batch"));
        let kind = settings.get("restart-strategy.type").or(settings.get("restart-strategy")).map(|v| v.to_lowercase());
        let restart = match kind.as_deref().unwrap_or("exponential-delay") {
            "none" | "off" | "disable" => RestartStrategy::None,
            "fixed-delay" | "fixeddelay" => RestartStrategy::FixedDelay {
                attempts: number("restart-strategy.fixed-delay.attempts").unwrap_or(1),
                delay: duration("restart-strategy.fixed-delay.delay"),
            },
            "failure-rate" | "failurerate" => RestartStrategy::FailureRate {
                failures_per_interval: number("restart-strategy.failure-rate.max-failures-per-interval").unwrap_or(1),
                interval: duration("restart-strategy.failure-rate.failure-rate-interval"),
                delay: duration("restart-strategy.failure-rate.delay"),
            },
            _ => RestartStrategy::ExponentialDelay {
                initial: duration("restart-strategy.exponential-delay.initial-backoff"),
                max: duration("restart-strategy.exponential-delay.max-backoff"),
                multiplier: text("restart-strategy.exponential-delay.backoff-multiplier")
                    .and_then(|v| v.parse().ok())
                    .unwrap_or(1.5),
                reset_after: duration("restart-strategy.exponential-delay.reset-backoff-threshold"),
                attempts: number("restart-strategy.exponential-delay.attempts-before-reset-backoff")
                    .unwrap_or(u64::MAX),
            },
        };
        Self {
            name: settings.get("pipeline.name").cloned(),
            batch,
            parallelism: number("parallelism.default").unwrap_or(1).max(1) as usize,
            // A batch job is one epoch.
            checkpoint_interval: if batch {
                Duration::from_secs(365 * 86_400)
            } else {
                duration("execution.checkpointing.interval").max(Duration::from_millis(1))
            },
            checkpoint_pause_min: duration("execution.checkpointing.min-pause"),
            checkpoint_dir: settings
                .get("execution.checkpointing.dir")
                .or(settings.get("state.checkpoints.dir"))
                .cloned(),
            restart,
            zone: text("table.local-time-zone").filter(|z| *z != "default").unwrap_or("UTC").to_owned(),
            drop_nulls: text("table.exec.sink.not-null-enforcer").is_some_and(|v| v.eq_ignore_ascii_case("DROP")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_settings_are_checked_meaningless_ones_noted_unknown_ones_refused() {
        assert_eq!(check("execution.checkpointing.interval", "3s"), Checked::Fine);
        assert!(matches!(check("execution.checkpointing.interval", "soon"), Checked::Wrong(..)));
        assert!(matches!(check("taskmanager.memory.process.size", "4g"), Checked::Note(_)));
        assert!(matches!(check("state.backend", "rocksdb"), Checked::Note(_)));
        let Checked::Wrong(message, hint) = check("execution.checkpointing.intervall", "3s") else { panic!() };
        assert_eq!(message, "unknown setting 'execution.checkpointing.intervall'");
        assert_eq!(hint.as_deref(), Some("did you mean 'execution.checkpointing.interval'?"));
        assert!(matches!(check("table.local-time-zone", "Mars/Base"), Checked::Wrong(..)));
    }

    #[test]
    fn settings_become_what_the_engine_needs() {
        let settings = BTreeMap::from([
            ("execution.checkpointing.interval".to_string(), "2 s".to_string()),
            ("restart-strategy".to_string(), "fixed-delay".to_string()),
            ("restart-strategy.fixed-delay.attempts".to_string(), "7".to_string()),
        ]);
        let job = JobSettings::from_session(&settings);
        assert_eq!(job.checkpoint_interval, Duration::from_secs(2));
        assert_eq!(job.restart, RestartStrategy::FixedDelay { attempts: 7, delay: Duration::from_secs(1) });
        assert_eq!(job.parallelism, 1);
    }
}
