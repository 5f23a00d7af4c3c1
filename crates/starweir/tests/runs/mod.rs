//! Whole runs: the example, restarts, deaths at every step, summaries, metrics.

mod letters;
mod pipelines;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{root, starweir, text};

fn run_ok(args: &[&str]) -> String {
    let output = starweir(args);
    assert!(output.status.success(), "{args:?}: {:?}\n{}", output.status, text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn the_example_of_the_readme_prints_its_tables() {
    let out = run_ok(&["run", "examples/orders/orders.sql", "--local"]);
    let readme = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    for line in out.lines().filter(|l| l.starts_with('|')) {
        assert!(readme.contains(line), "the README shows another output; this line is not in it:\n{line}\nall:\n{out}");
    }
    assert!(out.contains("shop.orders: 6 rows"), "{out}");
    assert!(out.contains("山田 花子"), "{out}");
    assert!(out.contains("| 2003 "), "the order whose number changed has its new number: {out}");
    assert!(!out.contains("| 1003 | 山田"), "and not its old one as well: {out}");
    assert!(!out.contains("Test Account"), "{out}");
}

#[test]
fn a_kept_local_warehouse_gets_every_row_once_over_two_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = format!("--local={}", folder.path().display());
    let first = run_ok(&["run", "examples/orders/orders.sql", &local]);
    let second = run_ok(&["run", "examples/orders/orders.sql", &local]);
    assert_eq!(first, second);
    let fresh = run_ok(&["run", "examples/orders/orders.sql", &local, "--fresh"]);
    assert!(fresh.contains("shop.orders: 6 rows"), "a primary-key table stays the same: {fresh}");
}

/// A script that copies `rows` rows from a file into two tables of the local warehouse.
fn copy_script(folder: &Path, rows: u64, extra: &str) -> String {
    let data = folder.join("data.json");
    let lines: String = (0..rows).map(|i| format!("{{\"id\":{i},\"v\":\"value {i}\"}}\n")).collect();
    std::fs::write(&data, lines).expect("the data");
    let table = |name: &str, key: &str| {
        format!(
            "CREATE TABLE {name} (id BIGINT, v STRING{key}) WITH ('connector' = 'starrocks', 'jdbc-url' = 'jdbc:mysql://x:1', \
             'load-url' = 'x:1', 'database-name' = 'd', 'table-name' = '{name}', 'username' = 'u', 'password' = 'p', \
             'sink.semantic' = 'exactly-once'{extra});\n"
        )
    };
    let script = format!(
        "SET 'execution.checkpointing.interval' = '5 ms';\n\
         SET 'restart-strategy.type' = 'none';\n\
         CREATE TABLE src (id BIGINT, v STRING) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json');\n{}{}\
         EXECUTE STATEMENT SET BEGIN INSERT INTO appended SELECT * FROM src; INSERT INTO keyed SELECT id, v FROM src; END;\n",
        data.display(),
        table("appended", ""),
        table("keyed", ", PRIMARY KEY (id) NOT ENFORCED"),
    );
    let path = folder.join("copy.sql");
    std::fs::write(&path, script).expect("the script");
    path.display().to_string()
}

const STEPS: [&str; 9] = [
    "recover-read",
    "recover-commit",
    "cut",
    "before-prepare",
    "before-manifest",
    "before-commit",
    "between-commits",
    "before-acknowledge",
    "after-acknowledge",
];

fn dies_and_recovers(extra: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = 20_000;
    let script = copy_script(folder.path(), rows, extra);
    let local = format!("--local={}", folder.path().join("warehouse").display());
    for nth in [1, 2] {
        for step in STEPS {
            let die = format!("{step}:{nth}");
            let output = starweir(&["run", &script, &local, "--json", "--die-at", &die]);
            assert!(
                output.status.code().is_none_or(|c| c == 0),
                "{die}: the process dies or finishes, {:?}: {}",
                output.status,
                text(&output.stderr)
            );
        }
    }
    let out = run_ok(&["run", &script, &local]);
    for table in ["d.appended", "d.keyed"] {
        assert!(out.contains(&format!("{table}: {rows} rows")), "{out}");
    }
}

#[test]
fn a_job_that_dies_at_every_step_delivers_every_row_once_by_transactions() {
    dies_and_recovers("");
}

#[test]
fn a_job_that_dies_at_every_step_delivers_every_row_once_by_journal() {
    dies_and_recovers(", 'sink.version' = 'V1', 'sink.properties.format' = 'json'");
}

#[test]
fn the_summary_for_machines_has_its_fields() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = copy_script(folder.path(), 1000, "");
    let out = run_ok(&["run", &script, "--local", "--json"]);
    let summary: serde_json::Value = serde_json::from_str(out.trim()).expect("one object");
    assert_eq!(summary["job"], "copy");
    assert_eq!(summary["status"], "finished");
    assert_eq!(summary["sources"].as_array().expect("sources").len(), 1, "both inserts share one reading: {summary}");
    assert_eq!(summary["sources"][0]["rows"], 1000);
    assert_eq!(summary["sources"][0]["errors"], 0);
    assert_eq!(summary["tables"].as_array().expect("tables").len(), 2);
    for field in ["rows", "upserts", "deletes", "loads", "transactions", "bytes"] {
        assert!(summary["tables"][0][field].is_u64(), "{field}: {summary}");
    }
    for field in ["epochs", "restarts", "elapsed_ms"] {
        assert!(summary[field].is_u64(), "{field}: {summary}");
    }
}

#[test]
fn a_select_prints_its_rows_and_show_its_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("select.sql");
    std::fs::write(
        &script,
        "SHOW DATABASES;\nSELECT a + 1 AS b, UPPER(c) AS d FROM (VALUES (1, 'x'), (41, 'ü')) AS t (a, c);\n",
    )
    .expect("the script");
    let out = run_ok(&["run", &script.display().to_string()]);
    assert!(out.contains("default_database"), "{out}");
    assert!(out.contains("| 42 | Ü |"), "{out}");
}

#[test]
fn print_writes_what_flinks_print_connector_writes() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("print.sql");
    let sql = "CREATE TABLE p (a INT, b STRING, c TIMESTAMP(3), d DECIMAL(5, 2)) WITH ('connector' = 'print', 'print-identifier' = 'x');\n\
               INSERT INTO p VALUES (1, 'a', TIMESTAMP '2020-01-01 10:00:00', 1.5), (2, CAST(NULL AS STRING), TIMESTAMP '2020-01-01 10:00:01.5', 2);\n";
    std::fs::write(&script, sql).expect("the script");
    let out = run_ok(&["run", &script.display().to_string()]);
    assert_eq!(out, "x> +I[1, a, 2020-01-01T10:00, 1.50]\nx> +I[2, null, 2020-01-01T10:00:01.500, 2.00]\n");
}

#[test]
fn an_endless_job_serves_metrics_and_stops_after_its_epoch() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("endless.sql");
    let sql = "SET 'execution.checkpointing.interval' = '50 ms';\n\
               CREATE TABLE s (a INT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000');\n\
               CREATE TABLE b (a INT) WITH ('connector' = 'blackhole');\nINSERT INTO b SELECT a FROM s;\n";
    std::fs::write(&script, sql).expect("the script");
    let mut job = Command::new(env!("CARGO_BIN_EXE_starweir"))
        .args(["run", &script.display().to_string(), "--json", "--metrics", "127.0.0.1:0", "--state"])
        .arg(folder.path().join("state"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the job starts");
    let mut lines = BufReader::new(job.stderr.take().expect("standard error")).lines();
    let address = lines
        .find_map(|l| l.ok()?.strip_prefix("metrics at http://").map(|a| a.trim_end_matches("/metrics").to_owned()));
    let address = address.expect("the metrics address is told");
    let get = |path: &str| {
        let mut stream = TcpStream::connect(&address).expect("the endpoint answers");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        answer
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let metrics = get("/metrics");
        let epochs = metrics
            .lines()
            .find_map(|l| l.strip_prefix("starweir_epochs_total{job=\"endless\"} ")?.parse::<u64>().ok());
        if epochs.is_some_and(|e| e >= 2) {
            break;
        }
        assert!(Instant::now() < deadline, "{metrics}");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(get("/health").starts_with("HTTP/1.1 200"));
    // SAFETY: a signal to our own child.
    unsafe { libc::kill(job.id() as libc::pid_t, libc::SIGINT) };
    let mut out = String::new();
    job.stdout.take().expect("standard output").read_to_string(&mut out).expect("read");
    assert!(job.wait().expect("ended").success());
    let summary: serde_json::Value = serde_json::from_str(out.trim()).expect("one object");
    assert_eq!(summary["status"], "stopped");
}

#[test]
fn a_changed_source_is_refused_by_the_saved_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state").display().to_string();
    let write = |path: &str, source: &str| {
        let file = folder.path().join(path);
        std::fs::write(folder.path().join(format!("{source}.json")), "{\"a\":1}\n").expect("the data");
        let sql = format!(
            "SET 'pipeline.name' = 'j';\nCREATE TABLE s (a INT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json');\n\
             CREATE TABLE b (a INT) WITH ('connector' = 'blackhole');\nINSERT INTO b SELECT a FROM s;\n",
            folder.path().join(format!("{source}.json")).display()
        );
        std::fs::write(&file, sql).expect("the script");
        file.display().to_string()
    };
    run_ok(&["run", &write("one.sql", "one"), "--state", &state]);
    let output = starweir(&["run", &write("two.sql", "two"), "--state", &state]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("no longer fits the saved state"), "{}", text(&output.stderr));
    run_ok(&["run", &write("two.sql", "two"), "--state", &state, "--fresh"]);
}

#[test]
fn plan_explain_and_validate_tell_before_anything_runs() {
    let plan = run_ok(&["plan", "examples/orders/orders.sql"]);
    assert!(plan.contains("primary key (order_no)"), "{plan}");
    assert!(plan.contains("exactly-once (prepared transactions)"), "{plan}");
    assert!(plan.contains("CREATE TABLE IF NOT EXISTS `shop`.`orders`"), "{plan}");
    assert!(plan.contains("transactions per minute: 60"), "{plan}");
    let explain = run_ok(&["explain", "examples/orders/orders.sql"]);
    assert!(explain.contains("orders_cdc"), "{explain}");
    let valid = run_ok(&["validate", "examples/orders/orders.sql"]);
    assert!(valid.contains("is valid: 1 job"), "{valid}");
    let online = starweir(&[
        "validate",
        "examples/orders/orders.sql",
        "--online",
        "--set",
        "orders.load-url=127.0.0.1:1",
        "--set",
        "orders.jdbc-url=jdbc:mysql://127.0.0.1:1",
        "--set",
        "order_log.jdbc-url=jdbc:mysql://127.0.0.1:1",
    ]);
    assert_eq!(online.status.code(), Some(3), "{}", text(&online.stdout));
    assert!(text(&online.stdout).contains("cannot be reached"), "{}", text(&online.stdout));
}
