//! Rows that cannot be delivered: dead letters, their list and their replay.

use std::path::PathBuf;

use serde_json::Value;

use super::{STEPS, run_ok};
use crate::{starweir, text};

/// A pipeline in a folder of its own, whose sink is a kept local warehouse.
struct Shop {
    folder: tempfile::TempDir,
    rows: Vec<(u32, String, i32)>,
}

const GOOD: &str = "fine";
/// More than VARCHAR(3) has bytes for in StarRocks: the server refuses it.
const LONG: &str = "far too long for that column";

impl Shop {
    fn new(rows: impl IntoIterator<Item = (u32, &'static str, i32)>) -> Self {
        let rows = rows.into_iter().map(|(id, name, parts)| (id, name.to_owned(), parts)).collect();
        Self { folder: tempfile::tempdir().expect("a folder"), rows }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the pipeline; every row is divided by its `parts`, so 0 fails in the transform.
    fn pipeline(&self, projection: &str, sink: &str, letters: &str) -> String {
        let mut events = String::from(
            "- create: d.t\n  columns: {id: INT NOT NULL, name: VARCHAR(3), parts: INT}\n  primary-keys: [id]\n",
        );
        for (id, name, parts) in &self.rows {
            events.push_str(&format!("- insert: d.t\n  row: [{id}, '{name}', {parts}]\n"));
        }
        std::fs::write(self.path("events.yaml"), events).expect("the events");
        let yaml = format!(
            "source:\n  type: values\n  events.file: {}\nsink:\n  type: starrocks\n  jdbc-url: jdbc:mysql://x:1\n  \
             load-url: x:1\n  username: u\n  password: p\n{sink}transform:\n  - source-table: d.t\n    projection: \
             {projection}\npipeline:\n  name: shop\n{letters}",
            self.path("events.yaml").display(),
        );
        let path = self.path("shop.yaml");
        std::fs::write(&path, yaml).expect("the pipeline");
        path.display().to_string()
    }

    fn local(&self) -> String {
        format!("--local={}", self.path("warehouse").display())
    }

    fn letters(&self, pipeline: &str) -> Vec<Value> {
        let out = run_ok(&["dead-letters", "list", pipeline, &self.local(), "--json"]);
        out.lines().map(|line| serde_json::from_str(line).expect("a letter")).collect()
    }

    /// The keys of the letters' rows.
    fn letter_keys(&self, pipeline: &str) -> Vec<i64> {
        let mut keys: Vec<i64> = self
            .letters(pipeline)
            .iter()
            .map(|letter| letter["change"]["after"][0]["Int"].as_i64().expect("the key"))
            .collect();
        keys.sort_unstable();
        keys
    }
}

const DIVIDED: &str = "id, name, 100 / parts AS share";
const REPAIRED: &str = "id, SUBSTR(name, 1, 3) AS name, CASE WHEN parts = 0 THEN 0 ELSE 100 / parts END AS share";

fn letters_in(shop: &Shop, to_table: bool) -> String {
    match to_table {
        true => "  dead-letters: table:ops.letters\n".to_owned(),
        false => format!("  dead-letters: file:{}\n", shop.path("letters").display()),
    }
}

fn refused_rows_are_kept_and_replayed(sink: &str, to_table: bool) {
    let shop = Shop::new([(1, GOOD, 1), (2, LONG, 1), (3, GOOD, 0), (4, GOOD, 2), (5, LONG, 4)]);
    let letters = letters_in(&shop, to_table);
    let pipeline = shop.pipeline(DIVIDED, sink, &letters);
    let output = starweir(&["run", &pipeline, &shop.local()]);
    let (out, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(out.contains("d.t: 2 rows"), "{out}");
    assert!(told.contains("went to the dead letters"), "{told}");

    assert_eq!(shop.letter_keys(&pipeline), [2, 3, 5]);
    let errors: Vec<String> =
        shop.letters(&pipeline).iter().map(|l| l["error"].as_str().unwrap_or_default().to_owned()).collect();
    assert!(errors.iter().any(|e| e.contains("/ by zero")), "{errors:?}");
    assert!(errors.iter().any(|e| e.contains("d.t")), "{errors:?}");
    let listed = starweir(&["dead-letters", "list", &pipeline, &shop.local()]);
    let shown = text(&listed.stdout);
    assert!(shown.contains("id=3, name=fine, parts=0"), "{shown}");
    assert!(text(&listed.stderr).contains("3 letters wait"));

    // Nothing has changed: they are refused again and stay.
    let again = starweir(&["dead-letters", "replay", &pipeline, &shop.local()]);
    assert_eq!(again.status.code(), Some(1), "{}", text(&again.stderr));
    assert_eq!(text(&again.stdout), "0 delivered, 3 refused, 0 superseded\n");

    let repaired = shop.pipeline(REPAIRED, sink, &letters);
    let first = shop.letters(&repaired)[0]["id"].as_str().expect("an id").to_owned();
    let one = run_ok(&["dead-letters", "replay", &repaired, &shop.local(), "--id", &first]);
    assert_eq!(one, "1 delivered, 0 refused, 0 superseded\n");
    assert_eq!(run_ok(&["dead-letters", "replay", &repaired, &shop.local()]), "2 delivered, 0 refused, 0 superseded\n");
    assert!(shop.letters(&repaired).is_empty());
    let table = run_ok(&["run", &repaired, &shop.local()]);
    assert!(table.contains("d.t: 5 rows"), "{table}");
    let unknown = starweir(&["dead-letters", "discard", &repaired, &shop.local(), "--id", &first]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("waits"), "{}", text(&unknown.stderr));
}

#[test]
fn refused_rows_wait_in_a_folder_until_they_are_replayed() {
    refused_rows_are_kept_and_replayed("  sink.semantic: exactly-once\n", false);
}

#[test]
fn refused_rows_wait_in_a_table_until_they_are_replayed() {
    refused_rows_are_kept_and_replayed("", true);
}

#[test]
fn without_dead_letters_the_job_stops_at_the_row_and_says_where() {
    let shop = Shop::new([(1, GOOD, 1), (2, GOOD, 0), (3, GOOD, 1)]);
    let output = starweir(&["run", &shop.pipeline(DIVIDED, "", ""), &shop.local()]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("the job stops at event 3 of values"), "{told}");
}

#[test]
fn too_many_letters_stop_the_job() {
    let shop = Shop::new((0..20).map(|id| (id, LONG, 1)));
    let limit = format!("{}  dead-letters.limit: 5\n", letters_in(&shop, false));
    let output = starweir(&["run", &shop.pipeline(DIVIDED, "", &limit), &shop.local()]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("more than 5 rows of one epoch are refused"), "{told}");
}

fn dies_and_keeps_each_letter_once(sink: &str, to_table: bool) {
    let bad = [40, 41, 90, 149];
    let rows = (0..150).map(|id| match id {
        40 | 149 => (id, LONG, 1),
        41 | 90 => (id, GOOD, 0),
        _ => (id, GOOD, 1),
    });
    let shop = Shop::new(rows);
    let pipeline = shop.pipeline(DIVIDED, sink, &letters_in(&shop, to_table));
    let set = ["--set", "execution.checkpointing.interval=5ms", "--set", "restart-strategy.type=none"];
    for nth in [1, 2, 4] {
        for step in STEPS {
            let die = format!("{step}:{nth}");
            let output = starweir(&[&["run", &pipeline, &shop.local(), "--die-at", &die][..], &set].concat());
            let code = output.status.code();
            assert!(code.is_none_or(|c| c == 0), "{die}: {code:?} {}", text(&output.stderr));
        }
    }
    let out = run_ok(&[&["run", &pipeline, &shop.local()][..], &set].concat());
    assert!(out.contains("d.t: 146 rows"), "{out}");
    assert_eq!(shop.letter_keys(&pipeline), bad);
}

#[test]
fn wherever_the_process_dies_each_refused_row_is_one_letter_of_the_folder() {
    dies_and_keeps_each_letter_once("  sink.semantic: exactly-once\n", false);
}

#[test]
fn wherever_the_process_dies_each_refused_row_is_one_letter_of_the_table() {
    dies_and_keeps_each_letter_once("  sink.semantic: exactly-once\n", true);
}

#[test]
fn a_pipeline_without_letters_says_so() {
    let shop = Shop::new([(1, GOOD, 1)]);
    let output = starweir(&["dead-letters", "list", &shop.pipeline(DIVIDED, "", "")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--set pipeline.dead-letters=file:FOLDER"));
}
