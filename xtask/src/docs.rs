//! Reference pages made from the definitions that the program itself uses.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use starweir_connectors::connectors;
use starweir_engine::metrics::METRICS;
use starweir_job::pipeline::{PIPELINE_CONNECTORS, pipeline_definitions};
use starweir_job::{SETTINGS, SettingEffect};
use starweir_model::{OptionDef, OptionType};

use crate::binary::root;

#[derive(clap::Args)]
pub struct Args {
    /// Only check that the committed pages are what would be written.
    #[arg(long)]
    check: bool,
}

pub fn main(args: &Args) -> Result<ExitCode> {
    let folder = root().join("docs/reference");
    let pages = [
        ("connectors.md", connectors_page()),
        ("pipelines.md", pipelines_page()),
        ("settings.md", settings_page()),
        ("metrics.md", metrics_page()),
    ];
    let mut stale: Vec<PathBuf> = Vec::new();
    for (name, text) in pages {
        let path = folder.join(name);
        if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue;
        }
        if args.check {
            stale.push(path);
        } else {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(&path, text)?;
        }
    }
    let broken = crate::links::broken(&root())?;
    for link in &broken {
        eprintln!("{link}");
    }
    if stale.is_empty() && broken.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    for path in stale {
        eprintln!("{} is out of date: run `cargo xtask docs`", path.display());
    }
    Ok(ExitCode::from(1))
}

const HEAD: &str = "<!-- Made by `cargo xtask docs`; change the definitions in the code instead. -->\n\n";

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn option_row(out: &mut String, prefix: &str, option: &OptionDef) {
    let name = if option.kind == OptionType::Prefix { format!("{}*", option.name) } else { option.name.to_owned() };
    let default = match (option.required, option.default) {
        (true, _) => "**required**".to_owned(),
        (false, Some(default)) => format!("`{}`", cell(default)),
        (false, None) => String::new(),
    };
    let _ = writeln!(
        out,
        "| `{prefix}{name}` | {} | {default} | {} |",
        cell(&option.kind_text()),
        cell(option.description)
    );
}

const OPTION_TABLE: &str = "| option | value | default | meaning |\n|---|---|---|---|\n";

fn connectors_page() -> String {
    let mut out =
        format!("{HEAD}# Connectors and formats\n\nEvery option of `WITH (…)`. Unknown options are errors.\n");
    for connector in connectors() {
        let roles = match (connector.source.is_some(), connector.sink.is_some()) {
            (true, true) => "source and sink",
            (true, false) => "source",
            _ => "sink",
        };
        let _ = write!(out, "\n## {} ({roles})\n\n{}\n\n{OPTION_TABLE}", connector.name, connector.about);
        for option in (connector.options)() {
            option_row(&mut out, "", &option);
        }
        if connector.formats {
            out.push_str("\nThe options of its format follow the format's name, see [formats](#formats).\n");
        }
        if !connector.metadata.is_empty() {
            out.push_str("\n| metadata column | type | meaning |\n|---|---|---|\n");
            for (key, data_type, meaning) in connector.metadata {
                let _ = writeln!(out, "| `{key}` | `{}` | {} |", cell(data_type), cell(meaning));
            }
        }
    }
    out.push_str("\n## Formats\n");
    for format in starweir_formats::FORMATS {
        let _ = write!(out, "\n### {format}\n\n{OPTION_TABLE}");
        for option in starweir_formats::definitions(format).unwrap_or_default() {
            option_row(&mut out, &format!("{format}."), option);
        }
        let metadata = starweir_formats::metadata(format);
        if !metadata.is_empty() {
            out.push_str("\n| metadata column (with `value.` before it on Kafka) | type |\n|---|---|\n");
            for (key, data_type) in metadata {
                let _ = writeln!(out, "| `{key}` | `{data_type}` |");
            }
        }
    }
    out
}

fn pipelines_page() -> String {
    let mut out = format!("{HEAD}# Pipelines\n\nThe blocks of a pipeline file. Unknown keys and options are errors.\n");
    let _ = write!(out, "\n## pipeline\n\n{OPTION_TABLE}");
    for option in pipeline_definitions() {
        option_row(&mut out, "", &option);
    }
    for connector in PIPELINE_CONNECTORS {
        for (role, options) in [("source", connector.source), ("sink", connector.sink)] {
            let Some(options) = options else { continue };
            let _ = write!(out, "\n## {role} `{}`\n\n{OPTION_TABLE}", connector.name);
            for option in options() {
                option_row(&mut out, "", &option);
            }
        }
    }
    out.push_str(
        "\n## sink, any type\n\n`include.schema.changes` and `exclude.schema.changes`: lists of kinds (`add.column`, \
         `alter.column.type`, `alter.table.comment`, `create.table`, `drop.column`, `drop.table`, `rename.column`, \
         `truncate.table`) or families (`add`, `alter`, `create`, `drop`, `rename`, `column`, `table`, `all`).\n",
    );
    out
}

fn settings_page() -> String {
    let mut out = format!(
        "{HEAD}# Settings\n\n`SET 'name' = 'value';` in the script, or `--set name=value`, which wins. Unknown settings are errors.\n\n{OPTION_TABLE}"
    );
    for setting in SETTINGS.iter().filter(|s| s.effect == SettingEffect::Used) {
        option_row(&mut out, "", &setting.definition);
    }
    out.push_str("\n## Accepted without effect\n\nThey configure a Flink cluster. A note says so once.\n\n| setting | why it has no effect here |\n|---|---|\n");
    for setting in SETTINGS.iter().filter(|s| s.effect == SettingEffect::Meaningless) {
        let _ = writeln!(out, "| `{}` | {} |", setting.definition.name, cell(setting.definition.description));
    }
    out.push_str("\nThe same holds for everything that begins with `taskmanager.`, `jobmanager.`, `state.backend.`, `kubernetes.`, `yarn.`, `rest.`, `metrics.`, `high-availability` and the like.\n");
    out
}

fn metrics_page() -> String {
    let mut out = format!(
        "{HEAD}# Metrics\n\n`starweir run … --metrics ADDR` serves them at `/metrics`; `/health` answers 200 while the job runs. Every metric has the label `job`.\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n"
    );
    for metric in METRICS {
        let labels: Vec<String> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
        let _ =
            writeln!(out, "| `{}` | {} | {} | {} |", metric.name, metric.kind, labels.join(", "), cell(metric.help));
    }
    out
}
