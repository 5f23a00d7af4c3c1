//! The binary as a user runs it.

mod refused;
mod runs;
mod sql;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The repository's root: examples name their files from there.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace").to_owned()
}

fn starweir(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_starweir")).current_dir(root()).args(args).output().expect("the binary starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
