//! Scripts that must be refused, each beside its expected message. `UPDATE_GOLDEN=1` writes the messages anew: read
//! the difference before you commit it.

use std::path::Path;

use super::{starweir, text};

#[test]
fn every_refused_script_says_what_where_and_why() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/refused");
    let mut scripts: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "sql"))
        .collect();
    scripts.sort();
    assert!(scripts.len() >= 60, "{} scripts", scripts.len());
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for script in &scripts {
        let name = script.file_stem().expect("a name").to_string_lossy().into_owned();
        let shown = format!("crates/starweir/tests/refused/{name}.sql");
        let output = starweir(&["validate", &shown]);
        let message = text(&output.stderr);
        if output.status.code() != Some(2) {
            wrong.push(format!("{name}: exit code {:?} instead of 2\n{message}", output.status.code()));
            continue;
        }
        let expected = script.with_extension("txt");
        if update {
            std::fs::write(&expected, &message).expect("the message is written");
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != message {
            wrong.push(format!("{name}: the message changed to\n{message}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), scripts.len(), wrong.join("\n"));
}
