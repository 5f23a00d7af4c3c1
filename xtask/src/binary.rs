//! The starweir binary that tasks run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// Builds the binary and says where it is. `STARWEIR_BIN` names one that is built already.
pub fn starweir(release: bool) -> Result<PathBuf> {
    if let Ok(path) = std::env::var("STARWEIR_BIN") {
        return Ok(PathBuf::from(path));
    }
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root()).args(["build", "--quiet", "--package", "starweir"]);
    if release {
        command.arg("--release");
    }
    if !command.status()?.success() {
        bail!("starweir does not build");
    }
    let target = std::env::var("CARGO_TARGET_DIR").map_or_else(|_| root().join("target"), PathBuf::from);
    Ok(target.join(if release { "release" } else { "debug" }).join("starweir"))
}
