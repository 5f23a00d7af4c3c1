//! Users over the wire: who comes in by which plugin, over TLS or not, by HTTP, and what it may then do.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};
use starweir_warehouse::{Config, Tls, Warehouse};

fn options(w: &Warehouse, user: &str, password: &str) -> OptsBuilder {
    OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(w.mysql_addr().port())
        .user(Some(user))
        .pass((!password.is_empty()).then_some(password))
        .prefer_socket(false)
}

async fn connect(w: &Warehouse, user: &str, password: &str) -> Result<Conn, String> {
    Conn::new(options(w, user, password)).await.map_err(|e| e.to_string())
}

async fn run(c: &mut Conn, sql: &str) -> Result<(), String> {
    c.query_drop(sql).await.map_err(|e| e.to_string())
}

/// What a user is told when it runs a statement; empty when it is let through.
async fn told(w: &Warehouse, user: &str, sql: &str) -> String {
    let mut c = connect(w, user, "pw").await.unwrap();
    run(&mut c, sql).await.err().unwrap_or_default()
}

async fn texts(c: &mut Conn, sql: &str) -> Vec<String> {
    let rows: Vec<mysql_async::Row> = c.query(sql).await.unwrap();
    rows.into_iter()
        .map(|r| {
            let cells = r.unwrap().into_iter().map(|v| match v {
                mysql_async::Value::Bytes(b) => String::from_utf8(b).unwrap(),
                _ => "NULL".into(),
            });
            cells.collect::<Vec<_>>().join("|")
        })
        .collect()
}

fn http(to: SocketAddr, method: &str, path: &str, login: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let basic = base64::engine::general_purpose::STANDARD.encode(login);
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Basic {basic}\r\nContent-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    for (k, v) in headers {
        head.push_str(&format!("{k}: {v}\r\n"));
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
    let mut out = String::new();
    let _ = stream.read_to_string(&mut out);
    out
}

fn folder() -> PathBuf {
    std::env::temp_dir().join(format!("starweir-users-{}", uuid::Uuid::new_v4()))
}

async fn start(config: Config) -> Warehouse {
    Warehouse::start(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_in_starrocks_words() {
    let w = start(Config::default()).await;
    w.query("CREATE USER 'ann'@'%' IDENTIFIED BY 'pw'").await.unwrap();
    connect(&w, "ann", "pw").await.unwrap();
    for (user, password, using) in
        [("ann", "wrong", "YES"), ("ann", "", "NO"), ("nobody", "pw", "YES"), ("root", "pw", "YES")]
    {
        let error = connect(&w, user, password).await.err().unwrap();
        assert!(
            error.contains("1045")
                && error.contains(&format!("Access denied for user '{user}' (using password: {using})")),
            "{error}"
        );
    }
    w.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_their_grants_are_there_after_a_restart() {
    let dir = folder();
    let config = || Config { data_dir: Some(dir.clone()), ..Config::default() };
    let w = start(config()).await;
    w.query(
        "CREATE DATABASE d; CREATE TABLE d.t (k INT) DUPLICATE KEY (k); \
         CREATE USER ann IDENTIFIED WITH caching_sha2_password BY 'pw'; GRANT SELECT ON d.t TO ann; \
         CREATE ROLE reader; GRANT reader TO ann; SET PASSWORD = PASSWORD('rootpw')",
    )
    .await
    .unwrap();
    w.shutdown().await.unwrap();
    let w = start(config()).await;
    // Nothing was seen of the password yet: it is asked for under the public key, then the scramble is enough.
    for _ in 0..2 {
        let mut ann = connect(&w, "ann", "pw").await.unwrap();
        assert_eq!(texts(&mut ann, "SELECT count(*) FROM d.t").await, ["0"]);
        assert_eq!(
            texts(&mut ann, "SHOW GRANTS").await,
            [
                "'ann'@'%'|NULL|GRANT 'reader' TO 'ann'@'%'",
                "'ann'@'%'|default_catalog|GRANT SELECT ON TABLE d.t TO USER 'ann'@'%'"
            ]
        );
    }
    assert!(connect(&w, "ann", "wrong").await.is_err());
    assert!(connect(&w, "root", "").await.is_err());
    connect(&w, "root", "rootpw").await.unwrap();
    w.shutdown().await.unwrap();
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_mysql_made_is_asked_for_over_tls_and_under_the_public_key() {
    let w = start(Config { tls: Tls::Own, ..Config::default() }).await;
    let stored = "*D821809F681A40A6E379B50D0463EFAE20BDD122";
    w.query(&format!("CREATE USER old IDENTIFIED WITH mysql_native_password AS '{stored}'")).await.unwrap();
    connect(&w, "old", "pw").await.unwrap();
    let hash = "$A$005$abcdefghijklmnopqrst";
    let crypt = starweir_warehouse::users::password::Secret::of_password(
        starweir_warehouse::users::password::Plugin::CachingSha2Password,
        "pw",
        &[9; 20],
    );
    for (user, tls) in [("plain", false), ("tls", true)] {
        w.query(&format!("CREATE USER {user} IDENTIFIED WITH caching_sha2_password AS '{}'", crypt.stored()))
            .await
            .unwrap();
        for password in ["pw", "wrong"] {
            let ssl = tls.then(|| SslOpts::default().with_danger_accept_invalid_certs(true));
            let opts: Opts = options(&w, user, password).ssl_opts(ssl).into();
            let found = Conn::new(opts).await;
            assert_eq!(found.is_ok(), password == "pw", "{user} {password}: {:?}", found.err());
        }
    }
    let error = w.query(&format!("CREATE USER bad IDENTIFIED WITH caching_sha2_password AS '{hash}'")).await;
    assert!(error.unwrap_err().to_string().contains("expected format"));
    w.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_without_the_privilege_is_refused_and_with_it_is_not() {
    let w = start(Config::default()).await;
    w.query(
        "CREATE DATABASE d; CREATE TABLE d.t (k INT, v INT) PRIMARY KEY (k); CREATE TABLE d.u (k INT) DUPLICATE KEY (k); \
         CREATE VIEW d.w AS SELECT k FROM d.u; CREATE USER ann IDENTIFIED BY 'pw'",
    )
    .await
    .unwrap();
    let refused = "ERROR 42000 (5203): Access denied; you need (at least one of) the SELECT privilege(s) on TABLE t for this operation. Please ask the admin to grant permission(s) or try activating existing roles using <set [default] role>. Current role(s): NONE. Inactivated role(s): NONE.";
    assert!(told(&w, "ann", "SELECT * FROM d.t").await.contains(refused.trim_start_matches("ERROR 42000 (5203): ")));
    for (grant, sql) in [
        ("SELECT ON d.t", "SELECT * FROM d.t"),
        ("INSERT ON d.t", "INSERT INTO d.t VALUES (1, 1)"),
        ("UPDATE ON d.t", "UPDATE d.t SET v = 2 WHERE k = 1"),
        ("DELETE ON d.t", "DELETE FROM d.t WHERE k = 1"),
        ("SELECT ON VIEW d.w", "SELECT * FROM d.w"),
        ("SELECT ON d.u", "INSERT INTO d.t SELECT k, 1 FROM d.u"),
        ("CREATE TABLE ON DATABASE d", "CREATE TABLE d.x (k INT) DUPLICATE KEY (k)"),
        ("ALTER ON ALL TABLES IN DATABASE d", "ALTER TABLE d.t COMMENT = 'c'"),
        ("DROP ON d.u", "DROP TABLE d.u"),
        ("CREATE DATABASE ON CATALOG default_catalog", "CREATE DATABASE e"),
        ("OPERATE ON SYSTEM", "SET GLOBAL query_timeout = 200"),
        ("GRANT ON SYSTEM", "CREATE USER bob"),
        ("IMPERSONATE ON USER bob", "EXECUTE AS bob WITH NO REVERT"),
    ] {
        let before = told(&w, "ann", sql).await;
        assert!(before.contains("Access denied; you need"), "{sql}: {before}");
        w.query(&format!("USE d; GRANT {grant} TO ann")).await.unwrap();
        assert_eq!(told(&w, "ann", sql).await, "", "{sql}");
    }
    w.query("CREATE DATABASE hidden; CREATE TABLE hidden.h (k INT) DUPLICATE KEY (k)").await.unwrap();
    let mut ann = connect(&w, "ann", "pw").await.unwrap();
    assert_eq!(texts(&mut ann, "SHOW DATABASES").await, ["d", "information_schema"]);
    assert_eq!(texts(&mut ann, "SHOW TABLES FROM d").await, ["t", "w", "x"]);
    let listed =
        "SELECT table_name FROM information_schema.tables WHERE table_schema <> 'information_schema' ORDER BY 1";
    assert_eq!(texts(&mut ann, listed).await, ["t", "w", "x"]);
    assert!(told(&w, "ann", "USE hidden").await.contains("ANY privilege(s) on DATABASE hidden"));
    // One who manages users cannot make itself the administrator.
    assert!(told(&w, "ann", "GRANT root TO ann").await.contains("by root"));
    assert!(told(&w, "ann", "ALTER USER root IDENTIFIED BY 'mine'").await.contains("by root"));
    w.query("REVOKE SELECT ON d.t FROM ann").await.unwrap();
    assert!(told(&w, "ann", "SELECT * FROM d.t").await.contains("SELECT privilege(s) on TABLE t"));
    w.query("DROP USER ann").await.unwrap();
    assert!(connect(&w, "ann", "pw").await.is_err());
    w.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_active_when_they_are_set_or_default() {
    let w = start(Config::default()).await;
    w.query(
        "CREATE DATABASE d; CREATE TABLE d.t (k INT) DUPLICATE KEY (k); CREATE ROLE reader; \
         GRANT SELECT ON ALL TABLES IN DATABASE d TO ROLE reader; CREATE USER ann IDENTIFIED BY 'pw'; GRANT reader TO ann",
    )
    .await
    .unwrap();
    let mut ann = connect(&w, "ann", "pw").await.unwrap();
    let error = run(&mut ann, "SELECT * FROM d.t").await.unwrap_err();
    assert!(error.contains("Current role(s): NONE. Inactivated role(s): [reader]."), "{error}");
    run(&mut ann, "SET ROLE reader").await.unwrap();
    run(&mut ann, "SELECT * FROM d.t").await.unwrap();
    assert_eq!(texts(&mut ann, "SELECT current_role(), current_user()").await, ["reader|'ann'@'%'"]);
    assert!(run(&mut ann, "SET ROLE db_admin").await.is_err());
    w.query("SET DEFAULT ROLE ALL TO ann").await.unwrap();
    assert_eq!(told(&w, "ann", "SELECT * FROM d.t").await, "");
    w.query("DROP ROLE reader").await.unwrap();
    assert!(run(&mut ann, "SELECT * FROM d.t").await.is_err(), "the role is gone in open sessions too");
    w.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_and_sql_over_http_ask_for_the_user_and_its_privileges() {
    let w = start(Config::default()).await;
    w.query(
        "CREATE DATABASE d; CREATE TABLE d.t (k INT) DUPLICATE KEY (k); CREATE TABLE d.u (k INT) DUPLICATE KEY (k); \
         CREATE USER ann IDENTIFIED WITH caching_sha2_password BY 'p:w'",
    )
    .await
    .unwrap();
    let load = |to: SocketAddr, login: &str| {
        http(to, "PUT", "/api/d/t/_stream_load", login, &[("Expect", "100-continue"), ("format", "csv")], "1\n")
    };
    for (login, part) in
        [("ann:wrong", "Access denied for ann@127.0.0.1"), ("ann:p:w", "INSERT privilege(s) on TABLE t")]
    {
        let answer = load(w.http_addr(), login);
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains(part), "{answer}");
    }
    assert!(load(w.be_addr(), "ann:wrong").contains("no valid Basic authorization"));
    assert!(load(w.be_addr(), "ann:p:w").contains("INSERT privilege(s) on TABLE t"));
    let begin = |table: &str| {
        let headers = [("db", "d"), ("table", table), ("label", table)];
        http(w.http_addr(), "POST", "/api/transaction/begin", "ann:p:w", &headers, "")
    };
    assert!(begin("t").contains("INSERT privilege(s) on TABLE t"));
    w.query("GRANT INSERT ON d.t TO ann").await.unwrap();
    assert!(load(w.be_addr(), "ann:p:w").contains("\"Status\": \"Success\""));
    assert!(begin("t").contains("307") && begin("u").contains("INSERT privilege(s) on TABLE u"));
    let sql = |login: &str| {
        let body = r#"{"query": "SELECT k FROM d.t;"}"#;
        http(w.http_addr(), "POST", "/api/v1/catalogs/default_catalog/sql", login, &[], body)
    };
    assert!(sql("ann:p:w").contains("SELECT privilege(s) on TABLE t"));
    w.query("GRANT SELECT ON d.t TO ann").await.unwrap();
    assert!(sql("ann:p:w").contains("\"data\":[1]"));
    assert!(sql("ann:").starts_with("HTTP/1.1 401"));
    let plan = |sql: &str| {
        http(w.http_addr(), "POST", "/api/d/t/_query_plan", "ann:p:w", &[], &format!(r#"{{"sql":"{sql}"}}"#))
    };
    assert!(plan("select k from d.t").contains("opaqued_query_plan"));
    assert!(plan("select k from d.t where k in (select k from d.u)").contains("SELECT privilege(s) on TABLE u"));
    w.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_shown_and_wrong_statements_told() {
    let w = start(Config::default()).await;
    let mut root = connect(&w, "root", "").await.unwrap();
    run(&mut root, "CREATE USER 'ann'@'10.%' IDENTIFIED BY 'pw' DEFAULT ROLE 'db_admin'").await.unwrap();
    assert_eq!(texts(&mut root, "SHOW USERS").await, ["'root'@'%'", "'ann'@'10.%'"]);
    assert_eq!(
        texts(&mut root, "SHOW ALL AUTHENTICATION").await,
        ["'root'@'%'|No|MYSQL_NATIVE_PASSWORD|NULL", "'ann'@'10.%'|Yes|MYSQL_NATIVE_PASSWORD|NULL"]
    );
    assert_eq!(texts(&mut root, "SHOW GRANTS").await, ["'root'@'%'|NULL|GRANT 'root' TO 'root'@'%'"]);
    assert_eq!(
        texts(&mut root, "SHOW GRANTS FOR 'ann'@'10.%'").await,
        ["'ann'@'10.%'|NULL|GRANT 'db_admin' TO 'ann'@'10.%'"]
    );
    assert_eq!(texts(&mut root, "SHOW ROLES").await.len(), 6);
    for (sql, part) in [
        ("CREATE USER 'ann'@'10.%'", "Operation CREATE USER failed for 'ann'@'10.%' : user already exists"),
        ("DROP USER bob", "Operation DROP USER failed for 'bob'@'%' : user not exists"),
        ("ALTER USER bob IDENTIFIED BY 'x'", "Operation ALTER USER failed for 'bob'@'%' : user not exists"),
        ("DROP USER root", "cannot drop user 'root'@'%'"),
        ("GRANT db_admin TO bob", "cannot find user 'bob'@'%'!"),
        ("GRANT nothing TO 'ann'@'10.%'", "cannot find role nothing!"),
        ("GRANT INSERT ON DATABASE information_schema TO 'ann'@'10.%'", "cannot find db"),
        ("CREATE ROLE root", "Operation CREATE ROLE failed for root : role already exists"),
        ("CREATE USER c IDENTIFIED BY PASSWORD 'pw'", "Password hash should be a 41-digit hexadecimal number"),
    ] {
        let error = run(&mut root, sql).await.unwrap_err();
        assert!(error.contains(part), "{sql}: {error}");
    }
    for sql in [
        "CREATE USER IF NOT EXISTS 'ann'@'10.%'",
        "DROP USER IF EXISTS bob",
        "ALTER USER IF EXISTS bob IDENTIFIED BY 'x'",
    ] {
        run(&mut root, sql).await.unwrap();
    }
    assert!(connect(&w, "ann", "pw").await.is_err(), "from another host");
    w.shutdown().await.unwrap();
}
