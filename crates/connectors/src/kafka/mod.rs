//! `kafka`: topics as unbounded or bounded streams.
//!
//! Partitions are assigned by us, offsets live in the job's own checkpoints, and are committed to the consumer group
//! (if `properties.group.id` is set) after an epoch, for others to look at.

mod batch;
mod columns;
mod position;
mod properties;
mod reader;
mod source;

use std::sync::Arc;
use std::time::Duration;

use starweir_model::option::OptionError;
use starweir_model::{LogicalType, OptionDef, OptionType, nearest};

use self::position::{Bound, Start, parse_specific};
use self::source::{KafkaSource, KeyPlan, Topics};
use crate::format::{FORMAT, FormatPlan, split_options};
use crate::registry::{BuiltSource, Connector, SourceRequest};

pub const CONNECTOR: Connector = Connector {
    name: "kafka",
    about: "Reads topics of Apache Kafka and brokers that speak its protocol.",
    options,
    metadata: METADATA,
    formats: true,
    source: Some(build),
    sink: None,
};

pub(super) const METADATA: &[(&str, &str, &str)] = &[
    ("topic", "STRING NOT NULL", "Topic of the message"),
    ("partition", "INT NOT NULL", "Partition of the message"),
    ("headers", "MAP<STRING NOT NULL, BYTES NOT NULL> NOT NULL", "Headers; of equal keys the last one"),
    ("leader-epoch", "INT", "Leader epoch of the message, if known"),
    ("offset", "BIGINT NOT NULL", "Offset in the partition"),
    ("timestamp", "TIMESTAMP_LTZ(3) NOT NULL", "Timestamp of the message"),
    ("timestamp-type", "STRING NOT NULL", "NoTimestampType, CreateTime or LogAppendTime"),
];

fn options() -> Vec<OptionDef> {
    use OptionDef as O;
    vec![
        O::optional("topic", OptionType::Text, "Topics to read, separated by `;`. Either this or topic-pattern."),
        O::optional(
            "topic-pattern",
            OptionType::Text,
            "Reads every topic whose whole name matches this regular expression.",
        ),
        O::optional(
            "properties.",
            OptionType::Prefix,
            "Settings of the Kafka client, by their Java names; `properties.bootstrap.servers` is required.",
        ),
        FORMAT,
        O::optional("value.format", OptionType::Text, "The same as format, for tables with a key format."),
        O::optional("key.format", OptionType::Text, "How message keys are written; needs key.fields."),
        O::optional("key.fields", OptionType::Text, "Columns that come from the message key, separated by `;`."),
        O::optional(
            "key.fields-prefix",
            OptionType::Text,
            "What key columns have before their names in the key itself.",
        )
        .with_default(""),
        O::optional(
            "value.fields-include",
            OptionType::Choice(&["ALL", "EXCEPT_KEY"]),
            "Whether key columns are in the value too.",
        )
        .with_default("ALL"),
        O::optional(
            "scan.startup.mode",
            OptionType::Choice(&["group-offsets", "earliest-offset", "latest-offset", "timestamp", "specific-offsets"]),
            "Where reading starts without saved state.",
        )
        .with_default("group-offsets"),
        O::optional(
            "scan.startup.specific-offsets",
            OptionType::Text,
            "`partition:0,offset:42;partition:1,offset:300`, for startup mode specific-offsets.",
        ),
        O::optional(
            "scan.startup.timestamp-millis",
            OptionType::Int(0, i64::MAX),
            "Milliseconds since 1970, for startup mode timestamp.",
        ),
        O::optional(
            "scan.bounded.mode",
            OptionType::Choice(&["unbounded", "latest-offset", "group-offsets", "timestamp", "specific-offsets"]),
            "Where reading ends.",
        )
        .with_default("unbounded"),
        O::optional(
            "scan.bounded.specific-offsets",
            OptionType::Text,
            "Ends before these offsets, for bounded mode specific-offsets; partitions not named are not read.",
        ),
        O::optional(
            "scan.bounded.timestamp-millis",
            OptionType::Int(0, i64::MAX),
            "Ends at the first message not older, for bounded mode timestamp.",
        ),
        O::optional(
            "scan.topic-partition-discovery.interval",
            OptionType::Duration,
            "How often new partitions and topics are looked for; 0 never. New ones are read from their start.",
        )
        .with_default("5 min"),
        O::optional("scan.parallelism", OptionType::Int(1, i64::MAX), "Accepted; lanes follow parallelism.default."),
        O::optional(
            "scan.watermark.emit.strategy",
            OptionType::Text,
            "Accepted; watermarks are carried with each batch.",
        ),
        O::optional("scan.watermark.alignment.group", OptionType::Text, "Accepted; nothing consumes alignment yet."),
        O::optional(
            "scan.watermark.alignment.max-drift",
            OptionType::Text,
            "Accepted; nothing consumes alignment yet.",
        ),
        O::optional("scan.watermark.idle-timeout", OptionType::Text, "Accepted; nothing consumes idleness yet."),
        O::optional("sink.partitioner", OptionType::Text, "For writing; accepted on a table that is only read."),
        O::optional("sink.delivery-guarantee", OptionType::Text, "For writing; accepted on a table that is only read."),
        O::optional("sink.semantic", OptionType::Text, "For writing; accepted on a table that is only read."),
        O::optional(
            "sink.transactional-id-prefix",
            OptionType::Text,
            "For writing; accepted on a table that is only read.",
        ),
        O::optional("sink.parallelism", OptionType::Text, "For writing; accepted on a table that is only read."),
    ]
}

fn build(request: &SourceRequest<'_>) -> Result<BuiltSource, Vec<OptionError>> {
    let wrong = |option: &str, message: String| vec![OptionError { option: option.into(), message, hint: None }];
    let (options, formats) = split_options(&options(), &["format", "value.format", "key.format"], request.options);
    let options = options?;
    let value_choice = formats.iter().find(|c| c.key != "key.format");
    let value_choice = value_choice.ok_or_else(|| wrong("format", "option 'format' is missing".into()))?;
    if formats.iter().filter(|c| c.key != "key.format").count() > 1 {
        return Err(wrong("value.format", "options 'format' and 'value.format' say the same thing; keep one".into()));
    }

    let topics = match (options.text("topic"), options.text("topic-pattern")) {
        (Some(list), None) => {
            let names: Vec<String> = list.split(';').map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect();
            if names.is_empty() {
                return Err(wrong("topic", "option 'topic' names no topic".into()));
            }
            Topics::Named(names)
        }
        (None, Some(pattern)) => {
            Topics::Pattern(regex::Regex::new(&format!("^(?:{pattern})$")).map_err(|e| {
                wrong("topic-pattern", format!("option 'topic-pattern' is not a regular expression: {e}"))
            })?)
        }
        (None, None) => return Err(wrong("topic", "option 'topic' or 'topic-pattern' is missing".into())),
        (Some(_), Some(_)) => {
            return Err(wrong("topic-pattern", "options 'topic' and 'topic-pattern' exclude one another".into()));
        }
    };
    let properties = properties::translate(options.group("properties."))?;

    let specific = |name: &str| {
        let text = options.text(name).ok_or_else(|| wrong(name, format!("option '{name}' is missing")))?;
        parse_specific(text).ok_or_else(|| {
            wrong(name, format!("option '{name}' must look like partition:0,offset:42;partition:1,offset:300"))
        })
    };
    let millis = |name: &str| options.int(name).ok_or_else(|| wrong(name, format!("option '{name}' is missing")));
    let start = match options.must("scan.startup.mode").to_lowercase().as_str() {
        "earliest-offset" => Start::Earliest,
        "latest-offset" => Start::Latest,
        "timestamp" => Start::Timestamp(millis("scan.startup.timestamp-millis")?),
        "specific-offsets" => Start::Specific {
            offsets: specific("scan.startup.specific-offsets")?,
            grouped: properties.group_id.is_some(),
        },
        _ => Start::Group { reset: properties.reset.clone() },
    };
    if matches!(start, Start::Group { .. }) && properties.group_id.is_none() {
        return Err(vec![OptionError {
            option: "properties.group.id".into(),
            message: "option 'properties.group.id' is required when scan.startup.mode is group-offsets".into(),
            hint: Some("set it, or choose a startup mode such as earliest-offset".into()),
        }]);
    }
    let bound = match options.must("scan.bounded.mode").to_lowercase().as_str() {
        "latest-offset" => Some(Bound::Latest),
        "group-offsets" => Some(Bound::Group),
        "timestamp" => Some(Bound::Timestamp(millis("scan.bounded.timestamp-millis")?)),
        "specific-offsets" => Some(Bound::Specific(specific("scan.bounded.specific-offsets")?)),
        _ if request.batch => Some(Bound::Latest),
        _ => None,
    };
    if matches!(bound, Some(Bound::Group)) && properties.group_id.is_none() {
        return Err(wrong(
            "properties.group.id",
            "option 'properties.group.id' is required when scan.bounded.mode is group-offsets".into(),
        ));
    }

    // Key columns are taken from the key; the value gives them too only when it holds them and no key format does.
    let key_choice = formats.iter().find(|c| c.key == "key.format");
    let mut own: Vec<String> = METADATA.iter().map(|(key, ..)| key.to_string()).collect();
    let mut elsewhere = Vec::new();
    let mut key = None;
    if let Some(choice) = key_choice {
        let fields = options.text("key.fields").ok_or_else(|| {
            wrong("key.fields", "option 'key.fields' is missing: the columns that come from the message key".into())
        })?;
        let prefix = options.must("key.fields-prefix");
        let except_key = options.must("value.fields-include").eq_ignore_ascii_case("EXCEPT_KEY");
        if !prefix.is_empty() && !except_key {
            return Err(wrong(
                "key.fields-prefix",
                "option 'key.fields-prefix' needs 'value.fields-include' = 'EXCEPT_KEY'".into(),
            ));
        }
        let mut positions = Vec::new();
        for field in fields.split(';').map(str::trim).filter(|f| !f.is_empty()) {
            let Some(index) = request.physical.index_of(field) else {
                return Err(vec![OptionError {
                    option: "key.fields".into(),
                    message: format!(
                        "option 'key.fields' names '{field}', which is no column of table {}",
                        request.table
                    ),
                    hint: nearest(field, request.physical.columns.iter().map(|c| c.name.as_str()))
                        .map(|c| format!("did you mean '{c}'?")),
                }]);
            };
            if !field.starts_with(prefix) {
                return Err(wrong("key.fields", format!("key column '{field}' does not begin with key.fields-prefix")));
            }
            elsewhere.push((index, own.len()));
            own.push(format!("key column {field}"));
            positions.push(index);
        }
        key = Some(KeyPlan::new(choice, request.physical, &positions, prefix)?);
        // With `ALL` the value holds the key columns too, and Flink takes the value's.
        if !except_key {
            elsewhere.clear();
            key = None;
        }
    } else if options.text("key.fields").is_some() {
        return Err(wrong("key.format", "option 'key.format' is missing: 'key.fields' needs it".into()));
    }
    let plan = FormatPlan::new(request, value_choice, &own, &elsewhere)?;
    for wanted in request.wanted {
        if let crate::registry::Wanted::Metadata { key, data_type } = wanted
            && key == "headers"
            && !matches!(data_type.logical, LogicalType::Map(..))
        {
            return Err(wrong("headers", "metadata column 'headers' must be a MAP<STRING, BYTES>".into()));
        }
    }
    let identity = match &topics {
        Topics::Named(names) => format!("kafka {} {}", plan.format, names.join(";")),
        Topics::Pattern(pattern) => format!("kafka {} {}", plan.format, pattern.as_str()),
    };
    let discovery = options.duration("scan.topic-partition-discovery.interval").filter(|d| !d.is_zero());
    let changelog = plan.changelog;
    let source = KafkaSource::new(
        properties,
        topics,
        start,
        bound,
        discovery.map(|d| d.max(Duration::from_millis(100))),
        Arc::new(plan),
        key.map(Arc::new),
    );
    source.check_settings().map_err(|e| vec![e])?;
    Ok(BuiltSource { source: Arc::new(source), identity, changelog })
}
