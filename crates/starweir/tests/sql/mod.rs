//! `starweir sql` for scripts: what goes to which stream, and the exit code.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::{root, starweir, text};

const TABLE: &str = "CREATE DATABASE d; USE d; CREATE TABLE t (k INT, v VARCHAR(20), d DECIMAL(20,2)) PRIMARY KEY (k); \
                     INSERT INTO t VALUES (1, 'a,b', 1.50), (2, NULL, NULL);";

#[test]
fn rows_go_to_standard_output_in_the_wanted_form_and_times_to_standard_error() {
    let select = "SELECT * FROM t ORDER BY k";
    let run = |format: &[&str], sql: &str| {
        let mut args = vec!["sql", "--local", "-e", TABLE, "-e", sql];
        args.extend(format);
        let out = starweir(&args);
        assert!(out.status.success(), "{}", text(&out.stderr));
        (text(&out.stdout), text(&out.stderr))
    };
    let (out, err) = run(&[], &format!("USE d; {select}"));
    assert_eq!(out, "k\tv\td\n1\ta,b\t1.50\n2\tNULL\tNULL\n");
    assert!(err.contains("Query OK, 2 rows affected (") && err.contains("2 rows in set ("), "{err}");
    assert_eq!(run(&["--json"], select).0, "{\"k\":1,\"v\":\"a,b\",\"d\":1.50}\n{\"k\":2,\"v\":null,\"d\":null}\n");
    assert_eq!(run(&["--csv", "--quiet"], select), ("k,v,d\n1,\"a,b\",1.50\n2,,\n".into(), String::new()));
    let (table, _) = run(&["--format", "table"], select);
    assert!(table.starts_with("+---+------+------+\n| k | v    | d    |\n"), "{table}");
    let (vertical, _) = run(&[], &format!("{select}\\G"));
    assert!(vertical.contains("1. row ***") && vertical.contains("\nv: a,b\n"), "{vertical}");
}

#[test]
fn a_wrong_statement_ends_a_script_with_2_and_an_absent_server_with_3() {
    let out = starweir(&["sql", "--local", "-e", "SELECT 1; SELEC 2; SELECT 3"]);
    assert_eq!(out.status.code(), Some(2));
    assert_eq!(text(&out.stdout), "1\n1\n");
    assert!(text(&out.stderr).contains("Error 1064 in -e: ") && text(&out.stderr).contains("\n  SELEC 2"));
    let out = starweir(&["sql", "--local", "--force", "-e", "SELEC 2; SELECT 3"]);
    assert_eq!((out.status.code(), text(&out.stdout)), (Some(2), "3\n3\n".into()));
    let out = starweir(&["sql", "--local", "-e", "SELECT 'open"]);
    assert_eq!(out.status.code(), Some(2), "{}", text(&out.stderr));
    // Port 1 of this machine is nobody's.
    let out = starweir(&["sql", "-P", "1", "-e", "SELECT 1"]);
    assert_eq!(out.status.code(), Some(3));
    assert!(text(&out.stderr).contains("127.0.0.1:1 cannot be reached"), "{}", text(&out.stderr));
    // The password of a refused statement is not printed.
    let out = starweir(&["sql", "--local", "-e", "ALTER USER nobody IDENTIFIED BY 'hidden'"]);
    assert!(out.status.code() == Some(2) && !text(&out.stderr).contains("hidden"), "{}", text(&out.stderr));
}

#[test]
fn statements_come_from_standard_input_and_files_and_a_directory_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let local = format!("--local={}", folder.path().join("warehouse").display());
    let mut child = Command::new(env!("CARGO_BIN_EXE_starweir"))
        .current_dir(root())
        .args(["sql", &local])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The administrator's password does not shut out the process that opens the directory.
    let script = format!("{TABLE}\nSET PASSWORD FOR root = PASSWORD('x');\n-- the end\nSELECT count(*) AS n\nFROM t");
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert_eq!(text(&out.stdout), "n\n2\n");
    let file = folder.path().join("more.sql");
    std::fs::write(&file, "SELECT sum(k) AS s FROM t;").unwrap();
    let out = starweir(&["sql", &local, "--database", "d", &file.display().to_string()]);
    assert_eq!(text(&out.stdout), "s\n3\n", "{}", text(&out.stderr));
}
