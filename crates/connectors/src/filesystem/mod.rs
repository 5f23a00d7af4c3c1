//! `filesystem`: files of lines, read once or watched for new ones; gzip and zstd by their endings.
//!
//! A split is a file, an offset the number of (uncompressed) bytes whose records were read, so a restart goes on
//! inside a file. Files are taken to be complete when they appear and never to change, as in Flink; hidden ones
//! (`.` or `_` first) are left out.

mod source;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use starweir_model::option::OptionError;
use starweir_model::{OptionDef, OptionType};

use self::source::FileSource;
use crate::format::{FORMAT, FormatPlan, split_options};
use crate::registry::{BuiltSource, Connector, SourceRequest};

pub const CONNECTOR: Connector = Connector {
    name: "filesystem",
    about: "Reads a file, a folder or a glob: json, csv, raw or debezium-json lines, gzip and zstd too.",
    options,
    metadata: METADATA,
    formats: true,
    source: Some(build),
    sink: None,
};

const METADATA: &[(&str, &str, &str)] = &[
    ("file.path", "STRING NOT NULL", "Full path of the file"),
    ("file.name", "STRING NOT NULL", "Name of the file, without its folder"),
    ("file.size", "BIGINT NOT NULL", "Bytes of the file"),
    ("file.modification-time", "TIMESTAMP_LTZ(3) NOT NULL", "When the file was last changed"),
];

fn options() -> Vec<OptionDef> {
    vec![
        OptionDef::required(
            "path",
            OptionType::Text,
            "A file, a folder (read with its sub-folders) or a glob such as `in/*.json`. `file://` may stand before it.",
        ),
        FORMAT,
        OptionDef::optional(
            "source.monitor-interval",
            OptionType::Duration,
            "Looks for new files this often; without it the files there at the start are read and the source ends.",
        ),
        OptionDef::optional(
            "source.path.regex-pattern",
            OptionType::Text,
            "Reads only files whose path matches this regular expression as a whole.",
        ),
        OptionDef::optional("source.report-statistics", OptionType::Text, "Accepted; no statistics are needed here."),
        OptionDef::optional(
            "partition.default-name",
            OptionType::Text,
            "Accepted; folders are not read as partitions here.",
        )
        .with_default("__DEFAULT_PARTITION__"),
    ]
}

fn build(request: &SourceRequest<'_>) -> Result<BuiltSource, Vec<OptionError>> {
    let wrong = |option: &str, message: String| vec![OptionError { option: option.into(), message, hint: None }];
    let (options, formats) = split_options(&options(), &["format"], request.options);
    let options = options?;
    let choice = formats.first().ok_or_else(|| wrong("format", "option 'format' is missing".into()))?;
    let own: Vec<String> = METADATA.iter().map(|(key, ..)| key.to_string()).collect();
    let plan = FormatPlan::new(request, choice, &own, &[])?;
    let text = options.must("path");
    let path = text.strip_prefix("file://").unwrap_or(text);
    if let Some((scheme, _)) = path.split_once("://") {
        return Err(wrong(
            "path",
            format!("option 'path' names a file system '{scheme}' that cannot be read; local files can"),
        ));
    }
    let pattern = match options.text("source.path.regex-pattern") {
        None => None,
        Some(pattern) => Some(regex::Regex::new(&format!("^(?:{pattern})$")).map_err(|e| {
            wrong(
                "source.path.regex-pattern",
                format!("option 'source.path.regex-pattern' is not a regular expression: {e}"),
            )
        })?),
    };
    let monitor = options.duration("source.monitor-interval").filter(|_| !request.batch);
    let changelog = plan.changelog;
    let source = FileSource {
        path: PathBuf::from(path),
        pattern,
        monitor: monitor.map(|d| d.max(Duration::from_millis(10))),
        plan: Arc::new(plan),
    };
    Ok(BuiltSource { identity: format!("filesystem {} {}", choice.format, path), source: Arc::new(source), changelog })
}
