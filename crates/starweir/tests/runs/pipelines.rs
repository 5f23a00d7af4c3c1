//! Whole runs of pipeline files.

use std::path::Path;

use super::{STEPS, run_ok};
use crate::{root, starweir, text};

#[test]
fn the_example_of_the_guide_merges_two_shops_and_follows_their_changes() {
    let out = run_ok(&["run", "examples/pipeline/pipeline.yaml", "--local"]);
    for part in [
        "ods.orders: 3 rows",
        "| shop_1 | 1          | Ada      | 12.50  | paid   | 2026-03-01 08:15:30.123456 | PAID  | NULL     |",
        "| shop_2 | 5000000000 | Jürgen   | 3.20   | paid   | 2026-03-01 10:00:00        | PAID  | FRÜHLING |",
        "ods.customers: 2 rows",
        "| id | full_name |",
    ] {
        assert!(out.contains(part), "{part} is not in\n{out}");
    }
    let plan = run_ok(&["plan", "examples/pipeline/pipeline.yaml"]);
    assert!(plan.contains("PRIMARY KEY (`shop`, `id`)"), "{plan}");
    let explained = run_ok(&["explain", "examples/pipeline/pipeline.yaml"]);
    assert!(explained.contains("transform shop_\\d.orders"), "{explained}");
    assert!(run_ok(&["validate", "examples/pipeline/pipeline.yaml", "--online"]).contains("is valid"));
}

#[test]
fn the_examples_own_tests_pass_and_a_wrong_expectation_fails() {
    assert!(run_ok(&["test", "examples/pipeline/pipeline_test.yaml"]).contains("2 passed, 0 failed"));
    let folder = tempfile::tempdir().expect("a folder");
    let wrong = std::fs::read_to_string(root().join("examples/pipeline/pipeline_test.yaml"))
        .expect("the example")
        .replace(
            "pipeline: pipeline.yaml",
            &format!("pipeline: {}", root().join("examples/pipeline/pipeline.yaml").display()),
        )
        .replace("[1, Bo, 6, new, null, NEW, shop_2]", "[1, Bo, 7, new, null, NEW, shop_2]");
    let file = folder.path().join("wrong.yaml");
    std::fs::write(&file, wrong).expect("the file");
    let output = starweir(&["test", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    let out = text(&output.stdout);
    assert!(out.contains("FAILED  two shops") && out.contains("1 passed, 1 failed"), "{out}");
}

/// A pipeline whose table changes its shape twice among `rows` rows.
fn changing(folder: &Path, rows: u32, sink: &str) -> String {
    let mut events = String::from("- create: d.t\n  columns: {id: INT NOT NULL, v: STRING}\n  primary-keys: [id]\n");
    for id in 0..rows {
        if id == rows / 3 {
            events.push_str("- add-column: d.t\n  columns: [{name: w, type: INT}]\n");
        }
        if id == rows * 2 / 3 {
            events.push_str("- rename-column: d.t\n  names: {v: renamed}\n");
        }
        let more = if id >= rows / 3 { format!(", {id}") } else { String::new() };
        events.push_str(&format!("- insert: d.t\n  row: [{id}, 'value {id}'{more}]\n"));
    }
    let file = folder.join("events.yaml");
    std::fs::write(&file, events).expect("the events");
    let yaml = format!(
        "source:\n  type: values\n  events.file: {}\nsink:\n  type: starrocks\n  jdbc-url: jdbc:mysql://x:1\n  load-url: x:1\n  \
         username: u\n  password: p\n{sink}pipeline:\n  name: changing\n  schema.change.behavior: evolve\n",
        file.display()
    );
    let path = folder.join("changing.yaml");
    std::fs::write(&path, yaml).expect("the pipeline");
    path.display().to_string()
}

fn dies_and_recovers(sink: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = 300;
    let pipeline = changing(folder.path(), rows, sink);
    let local = format!("--local={}", folder.path().join("warehouse").display());
    let set = ["--set", "execution.checkpointing.interval=5ms", "--set", "restart-strategy.type=none"];
    for nth in [1, 2, 3] {
        for step in STEPS {
            let die = format!("{step}:{nth}");
            let args = [&["run", &pipeline, &local, "--json", "--die-at", &die][..], &set[..]].concat();
            let output = starweir(&args);
            assert!(
                output.status.code().is_none_or(|c| c == 0),
                "{die}: the process dies or finishes, {:?}: {}",
                output.status,
                text(&output.stderr)
            );
        }
    }
    let out = run_ok(&[&["run", &pipeline, &local][..], &set[..]].concat());
    assert!(out.contains(&format!("d.t: {rows} rows")), "{out}");
    assert!(out.contains("| id | renamed"), "{out}");
}

#[test]
fn a_pipeline_that_dies_at_every_step_delivers_every_row_once_through_changes_of_shape() {
    dies_and_recovers("  sink.semantic: exactly-once\n");
}

#[test]
fn a_pipeline_with_a_journal_dies_at_every_step_and_delivers_every_row_once() {
    dies_and_recovers("  sink.semantic: exactly-once\n  sink.version: V1\n");
}

#[test]
fn an_at_least_once_pipeline_delivers_every_row_whatever_dies() {
    dies_and_recovers("");
}

#[test]
fn what_is_wrong_in_a_pipeline_is_told_before_anything_is_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    for (yaml, part) in [
        ("source:\n  type: values\n", "Missing required field \"sink\""),
        ("source:\n  type: vaules\nsink:\n  type: values\n", "did you mean 'values'?"),
        (
            "source:\n  type: values\nsink:\n  type: starrocks\n  load-url: x\n  username: r\n  password: p\n",
            "Missing required options are:\n\njdbc-url",
        ),
        (
            "source:\n  type: values\nsink:\n  type: values\npipeline:\n  schema.change.behaviour: evolve\n",
            "did you mean 'schema.change.behavior'?",
        ),
        (
            "source:\n  type: values\nsink:\n  type: values\npipeline:\n  local-time-zone: Mars/Base\n",
            "'Mars/Base' is not a time zone",
        ),
        ("source:\n  type: values\n  event-set.id: NOPE\nsink:\n  type: values\n", "there is no event set 'NOPE'"),
        ("source: [\n", "not valid YAML"),
    ] {
        let file = folder.path().join("wrong.yaml");
        std::fs::write(&file, yaml).expect("the file");
        let output = starweir(&["validate", &file.display().to_string()]);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
}
