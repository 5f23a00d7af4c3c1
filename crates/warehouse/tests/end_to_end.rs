//! Loads and transactions over HTTP as clients send them, and what SQL then shows.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use starweir_warehouse::{Config, Warehouse};

/// One request on a connection of its own; the whole answer as text.
fn send(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Basic cm9vdDo=\r\nContent-Length: {}\r\n",
        body.len()
    );
    let expects = headers.iter().any(|(k, _)| *k == "Expect");
    for (k, v) in headers {
        head.push_str(&format!("{k}: {v}\r\n"));
    }
    head.push_str("Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut out = Vec::new();
    if expects {
        // The body is sent only after `100 Continue`.
        let mut buffer = [0u8; 4096];
        let n = stream.read(&mut buffer).unwrap();
        out.extend_from_slice(&buffer[..n]);
        if out.starts_with(b"HTTP/1.1 100") {
            out.clear();
            stream.write_all(body.as_bytes()).unwrap();
        } else {
            out.splice(0..0, b"EARLY ".iter().copied());
        }
    } else {
        stream.write_all(body.as_bytes()).unwrap();
    }
    let _ = stream.read_to_end(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn load(w: &Warehouse, table: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut all = vec![("Expect", "100-continue")];
    all.extend_from_slice(headers);
    send(w.be_addr(), "PUT", &format!("/api/d/{table}/_stream_load"), &all, body)
}

fn call(to: SocketAddr, op: &str, headers: &[(&str, &str)], body: &str) -> String {
    let method = if op == "load" { "PUT" } else { "POST" };
    send(to, method, &format!("/api/transaction/{op}"), headers, body)
}

async fn rows(w: &Warehouse, sql: &str) -> String {
    let batches = w.query(sql).await.unwrap();
    arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string()
}

async fn start() -> Warehouse {
    let w = Warehouse::start(Config { allow_faults: true, ..Config::default() }).await.unwrap();
    w.query(
        "CREATE DATABASE d; CREATE TABLE d.t (k INT, v VARCHAR(10), n INT NOT NULL DEFAULT '7') PRIMARY KEY (k) \
         DISTRIBUTED BY HASH(k); CREATE TABLE d.u (k INT, v VARCHAR(10) NOT NULL) DUPLICATE KEY (k)",
    )
    .await
    .unwrap();
    w
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_is_redirected_applied_once_and_its_label_is_kept() {
    let w = start().await;
    let plain = send(w.http_addr(), "PUT", "/api/d/t/_stream_load", &[], "");
    assert!(plain.contains("There is no 100-continue header"), "{plain}");
    let away = send(w.http_addr(), "PUT", "/api/d/t/_stream_load", &[("Expect", "100-continue")], "x");
    assert!(away.starts_with("EARLY HTTP/1.1 307") && away.contains(&w.be_addr().to_string()), "{away}");
    let headers = [("label", "l1"), ("column_separator", ","), ("columns", "k,v,__op")];
    let first = load(&w, "t", &headers, "1,a,0\n2,b,0\n1,c,0\n2,b,1\n");
    assert!(first.contains("\"Status\": \"Success\""), "{first}");
    let again = load(&w, "t", &headers, "9,z,0\n");
    assert!(
        again.starts_with("EARLY") && again.contains("Label Already Exists") && again.contains("FINISHED"),
        "{again}"
    );
    let shown = rows(&w, "SELECT k, v, n FROM d.t").await;
    assert!(shown.contains("| 1 | c | 7 |") && !shown.contains("| 2 |"), "{shown}");
    let state = send(w.http_addr(), "GET", "/api/d/get_load_state?label=l1", &[], "");
    assert!(state.contains("\"state\":\"VISIBLE\""), "{state}");
    w.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_planned_is_answered_before_the_body_and_bad_rows_are_reported() {
    let w = start().await;
    let planned = load(&w, "u", &[("label", "p"), ("columns", "k")], "1\n");
    assert!(planned.starts_with("EARLY") && planned.contains("Column has no default value. column: v"), "{planned}");
    let bad = load(&w, "u", &[("label", "p"), ("column_separator", ",")], "1,a\n2\n");
    assert!(bad.contains("too many filtered rows") && bad.contains("ErrorURL"), "{bad}");
    let some = load(&w, "u", &[("label", "p"), ("column_separator", ","), ("max_filter_ratio", "0.5")], "1,a\n2\n");
    assert!(some.contains("\"Status\": \"Success\"") && some.contains("\"NumberFilteredRows\": 1"), "{some}");
    let json = load(
        &w,
        "u",
        &[("format", "json"), ("strip_outer_array", "true")],
        r#"[{"k":5,"v":"x\"y"},{"v":"z","k":null}]"#,
    );
    assert!(json.contains("\"NumberLoadedRows\": 2"), "{json}");
    let shown = rows(&w, "SELECT count(*) c, max(v) m FROM d.u").await;
    assert!(shown.contains("| 3 | z |"), "{shown}");
    w.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_transaction_commits_once_and_faults_lose_answers_not_rows() {
    let w = start().await;
    let be = w.be_addr();
    let headers = [("label", "x"), ("db", "d"), ("table", "t"), ("column_separator", ",")];
    assert!(call(be, "begin", &headers, "").contains("\"Status\": \"OK\""));
    assert!(call(be, "begin", &headers, "").contains("LABEL_ALREADY_EXISTS"));
    assert!(call(be, "load", &headers, "1,a,1\n").contains("\"Status\": \"OK\""));
    assert!(call(be, "prepare", &headers, "").contains("\"Status\": \"OK\""));
    let fault = r#"[{"op":"commit","match":"x","action":"lose_answer"}]"#;
    assert!(send(w.http_addr(), "POST", "/api/starweir/faults", &[], fault).contains("lose_answer"));
    assert_eq!(call(w.http_addr(), "commit", &headers, ""), "", "the answer is lost");
    assert!(call(w.http_addr(), "commit", &headers, "").contains("already committed"));
    assert!(call(w.http_addr(), "rollback", &headers, "").contains("FAILED"));
    assert!(rows(&w, "SELECT k, n FROM d.t").await.contains("| 1 | 1 |"));
    w.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_added_renamed_and_dropped_without_touching_rows() {
    let w = start().await;
    w.query("INSERT INTO d.t VALUES (1, 'a', 1)").await.unwrap();
    w.query("ALTER TABLE d.t ADD COLUMN w INT DEFAULT '5'; ALTER TABLE d.t RENAME COLUMN v TO text").await.unwrap();
    w.query(
        "INSERT INTO d.t VALUES (2, 'b', 2, 6); UPDATE d.t SET w = 9 WHERE k = 2; DELETE FROM d.t WHERE text = 'zz'",
    )
    .await
    .unwrap();
    let shown = rows(&w, "SELECT k, text, w FROM d.t ORDER BY k").await;
    assert!(shown.contains("| 1 | a    | 5 |") && shown.contains("| 2 | b    | 9 |"), "{shown}");
    w.query("ALTER TABLE d.t DROP COLUMN text").await.unwrap();
    assert!(w.query("SELECT text FROM d.t").await.is_err());
    w.shutdown().await.unwrap();
}
