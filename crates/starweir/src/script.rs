//! Reading and compiling the script of a command.

use std::path::Path;

use starweir_job::{LocalTarget, Script};

use crate::cli::ScriptArgs;
use crate::report;

/// A script that compiled, and how it is named in messages.
pub struct Loaded {
    pub script: Script,
    pub shown: String,
}

/// Reads and compiles; says what is wrong and gives the exit code otherwise.
pub fn load(args: &ScriptArgs, local: Option<LocalTarget>) -> Result<Loaded, u8> {
    let shown = args.script.display().to_string();
    let text = std::fs::read_to_string(&args.script).map_err(|e| {
        eprintln!("Error: script {shown} cannot be read: {e}");
        report::EXIT_USER
    })?;
    let settings = parse_settings(&args.set)?;
    match Script::compile(&text, &settings, local) {
        Ok(script) => {
            for (key, why) in &script.notes {
                eprintln!("note: {key} has no effect here: {why}");
            }
            Ok(Loaded { script, shown })
        }
        Err(diagnostics) => Err(report::diagnostics(&shown, &text, &diagnostics)),
    }
}

pub fn parse_settings(given: &[String]) -> Result<Vec<(String, String)>, u8> {
    given
        .iter()
        .map(|text| match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
            _ => {
                eprintln!("Error: --set {text}: write KEY=VALUE");
                Err(report::EXIT_USER)
            }
        })
        .collect()
}

/// The job's name when the script does not set one: the file's, without its ending.
pub fn job_name(path: &Path) -> String {
    path.file_stem().map_or_else(|| "job".to_owned(), |stem| stem.to_string_lossy().into_owned())
}
