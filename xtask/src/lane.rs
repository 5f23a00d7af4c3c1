//! The lane with real clients: what a stranger would point at our warehouse, and the real Java connector.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use starweir_testkit::{Kafka, Server, free_port, wait_until};

use crate::chaos::produce;
use crate::{binary, clients, mysql_table};

#[derive(clap::Args)]
pub struct Args {
    /// Only checks whose name contains this.
    #[arg(long)]
    filter: Option<String>,
    /// Use the release build.
    #[arg(long)]
    release: bool,
}

/// A warehouse that the checks of one kind share.
pub struct Place {
    pub binary: PathBuf,
    pub folder: PathBuf,
    pub mysql: u16,
    pub http: u16,
}

pub enum Outcome {
    Passed,
    Skipped(String),
}

type Check = fn(&Place) -> Result<Outcome>;

const CHECKS: &[(&str, Check)] = &[
    ("MariaDB command line client", mariadb_client),
    ("PyMySQL", pymysql),
    ("mysql-connector-python", clients::mysql_connector),
    ("SQLAlchemy with the dialect starrocks", clients::sqlalchemy),
    ("dbt with dbt-starrocks", clients::dbt),
    ("JDBC: Connector/J and MariaDB's driver", clients::jdbc),
    ("users, both password plugins, TLS", clients::users),
    ("the pytest plugin", clients::pytest),
    ("curl loads as StarRocks' manual writes them", curl),
    ("examples of the client crate", client_examples),
    ("the MySQL guide's pipeline on a real MariaDB, changed while it runs", from_mysql),
    ("a damaged table read again while its source changes (MariaDB)", resync),
    ("mysql-cdc on a real MariaDB that changes while the script is killed", mysql_table::check),
    ("the README's script against real Kafka and a warehouse over the wire, by two --sets", two_sets),
    ("real Java connector, V1", |p| java_connector(p, "V1", "at-least-once")),
    ("real Java connector, V2", |p| java_connector(p, "V2", "at-least-once")),
    ("real Java connector, exactly-once", |p| java_connector(p, "V2", "exactly-once")),
];

pub fn main(args: &Args) -> Result<ExitCode> {
    let binary = binary::starweir(args.release)?;
    let folder = tempfile::tempdir()?;
    let place =
        Place { binary: binary.clone(), folder: folder.path().to_owned(), mysql: free_port()?, http: free_port()? };
    let mut command = Command::new(binary);
    command.args([
        "warehouse",
        "--ephemeral",
        "--mysql-port",
        &place.mysql.to_string(),
        "--http-port",
        &place.http.to_string(),
    ]);
    command.args(["--be-port", "0"]).stderr(Stdio::null());
    let (_warehouse, _) = Server::start("the warehouse", &mut command, "ready")?;
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, check) in
        CHECKS.iter().filter(|(name, _)| args.filter.as_ref().is_none_or(|f| name.contains(f.as_str())))
    {
        match check(&place) {
            Ok(Outcome::Passed) => {
                passed += 1;
                println!("ok       {name}");
            }
            Ok(Outcome::Skipped(why)) => {
                skipped += 1;
                println!("SKIPPED  {name}: {why}");
            }
            Err(error) => {
                failed += 1;
                println!("FAILED   {name}: {error:#}");
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Runs a command; its output, or what it said when it failed.
pub fn output(command: &mut Command) -> Result<String> {
    let done = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?} could not be started"))?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    if !done.status.success() {
        let tail: String =
            format!("{text}{}", String::from_utf8_lossy(&done.stderr)).chars().rev().take(1500).collect();
        bail!(
            "{} with {}: {}",
            command.get_program().to_string_lossy(),
            done.status,
            tail.chars().rev().collect::<String>()
        );
    }
    Ok(text)
}

pub fn expect(text: &str, parts: &[&str]) -> Result<Outcome> {
    for part in parts {
        if !text.contains(part) {
            bail!("'{part}' is not in the output:\n{text}");
        }
    }
    Ok(Outcome::Passed)
}

/// Asks the warehouse by MariaDB's client; a line of names, then the rows.
pub fn mariadb(place: &Place, sql: &str) -> Result<String> {
    let mut command = Command::new("mariadb");
    command.args([
        "--no-defaults",
        "-h",
        "127.0.0.1",
        "-P",
        &place.mysql.to_string(),
        "-u",
        "root",
        "--default-character-set=utf8mb4",
        "-e",
        sql,
    ]);
    output(&mut command)
}

fn mariadb_client(place: &Place) -> Result<Outcome> {
    let text = mariadb(
        place,
        "CREATE DATABASE cli; USE cli; \
         CREATE TABLE t (id BIGINT NOT NULL, name VARCHAR(40), price DECIMAL(10,2), at DATETIME) PRIMARY KEY(id) DISTRIBUTED BY HASH(id) PROPERTIES ('replication_num'='1'); \
         INSERT INTO t VALUES (1, 'Jürgen', 1.50, '2026-01-02 03:04:05.000006'), (2, NULL, NULL, NULL); \
         SELECT * FROM t ORDER BY id; SHOW TABLES; DESC t; SHOW CREATE TABLE t; SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = 'cli'",
    )?;
    expect(&text, &["Jürgen\t1.50\t2026-01-02 03:04:05.000006", "2\tNULL\tNULL\tNULL", "Tables_in_cli", "PRIMARY KEY"])
}

/// A Python with PyMySQL, made once in the cache.
pub fn python() -> Result<PathBuf> {
    let venv = clients::cache().join("python");
    let python = venv.join("bin/python");
    let ready = |python: &Path| {
        Command::new(python).args(["-c", "import pymysql"]).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    };
    if !ready(&python) {
        output(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        output(Command::new(&python).args(["-m", "pip", "install", "--quiet", "pymysql==1.1.2"]))?;
    }
    Ok(python)
}

fn pymysql(place: &Place) -> Result<Outcome> {
    let script = format!(
        r#"
import pymysql, datetime, decimal
c = pymysql.connect(host="127.0.0.1", port={}, user="root", password="", charset="utf8mb4")
k = c.cursor()
k.execute("CREATE DATABASE py")
k.execute("USE py")
k.execute("CREATE TABLE t (id INT NOT NULL, d DECIMAL(10,3), b BOOLEAN, at DATETIME, day DATE, x DOUBLE, note STRING) DUPLICATE KEY(id)")
k.execute("INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s, %s)", (1, decimal.Decimal("1.250"), True, datetime.datetime(2026, 1, 2, 3, 4, 5), datetime.date(2026, 1, 2), 0.5, "it's \\ ü"))
k.execute("SELECT * FROM t")
row = k.fetchone()
assert row == (1, decimal.Decimal("1.250"), 1, datetime.datetime(2026, 1, 2, 3, 4, 5), datetime.date(2026, 1, 2), 0.5, "it's \\ ü"), row
try:
    k.execute("SELECT * FROM missing")
    raise SystemExit("a missing table was found")
except pymysql.err.MySQLError as e:
    assert e.args[0] == 5502, e.args
c.ping()
print("fine")
"#,
        place.mysql
    );
    expect(&output(Command::new(python()?).args(["-c", &script]))?, &["fine"])
}

fn curl(place: &Place) -> Result<Outcome> {
    mariadb(place, "CREATE DATABASE web; CREATE TABLE web.t (id INT NOT NULL, v VARCHAR(20)) PRIMARY KEY(id)")?;
    let body = place.folder.join("rows.csv");
    std::fs::write(&body, "1,a\n2,b\n")?;
    let load = |label: &str| {
        output(
            Command::new("curl")
                .args([
                    "-sS",
                    "--location-trusted",
                    "-u",
                    "root:",
                    "-H",
                    "Expect:100-continue",
                    "-H",
                    "column_separator:,",
                ])
                .args(["-H", &format!("label:{label}"), "-T"])
                .arg(&body)
                .args(["-XPUT", &format!("http://127.0.0.1:{}/api/web/t/_stream_load", place.http)]),
        )
    };
    expect(&load("web-1")?, &["\"Status\": \"Success\"", "\"NumberLoadedRows\": 2"])?;
    expect(&load("web-1")?, &["Label Already Exists", "FINISHED"])?;
    expect(&mariadb(place, "SELECT COUNT(*) AS n FROM web.t")?, &["n\n2"])
}

fn two_sets(place: &Place) -> Result<Outcome> {
    let kafka = Kafka::start(&place.folder.join("kafka"), None, &[("shop.shop.orders", 2)])?;
    let events = std::fs::read_to_string(binary::root().join("examples/orders/orders.json"))?;
    // Both partitions get events; each order's stay together, as Debezium's key keeps them.
    produce(&kafka.bootstrap(), "shop.shop.orders", &[events.lines().map(str::to_owned).collect(), Vec::new()])?;
    mariadb(
        place,
        "CREATE DATABASE shop; \
         CREATE TABLE shop.orders (order_no BIGINT NOT NULL, customer STRING, city STRING, status STRING, amount DECIMAL(12,2), placed_at DATETIME, updated_at DATETIME) PRIMARY KEY(order_no); \
         CREATE TABLE shop.order_log (event VARCHAR(20), order_no BIGINT, status STRING, coupon STRING) DUPLICATE KEY(event)",
    )?;
    let mut command = Command::new(&place.binary);
    command
        .current_dir(binary::root())
        .args(["run", "examples/orders/orders.sql", "--json", "--state"])
        .arg(place.folder.join("state"));
    command.args(["--set", "execution.runtime-mode=batch"]);
    command.arg("--set").arg(format!(
        "filesystem='connector'='kafka','topic'='shop.shop.orders','properties.bootstrap.servers'='{}','scan.startup.mode'='earliest-offset'",
        kafka.bootstrap()
    ));
    command.arg("--set").arg(format!(
        "starrocks='jdbc-url'='jdbc:mysql://127.0.0.1:{}','load-url'='127.0.0.1:{}'",
        place.mysql, place.http
    ));
    expect(&output(&mut command)?, &["\"status\":\"finished\""])?;
    expect(&mariadb(place, "SELECT COUNT(*) AS n FROM shop.order_log")?, &["n\n18"])?;
    expect(&mariadb(place, "SELECT order_no, customer FROM shop.orders ORDER BY 1")?, &["1008\tZoë", "2003\t山田 花子"])
}

/// The client crate's own examples, as a stranger would run them.
fn client_examples(place: &Place) -> Result<Outcome> {
    mariadb(
        place,
        "CREATE DATABASE shop; \
         CREATE TABLE shop.orders (id BIGINT NOT NULL, item VARCHAR(64), price DECIMAL(10, 2)) PRIMARY KEY (id); \
         CREATE TABLE shop.customers (id BIGINT NOT NULL, name VARCHAR(64)) PRIMARY KEY (id)",
    )?;
    let address = format!("127.0.0.1:{}", place.http);
    let run = |example: &str, arguments: &[&str], input: Stdio| -> Result<String> {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(binary::root()).args([
            "run",
            "--quiet",
            "--package",
            "starweir-starrocks",
            "--example",
            example,
        ]);
        let done = command.arg("--").arg(&address).args(arguments).stdin(input).output()?;
        if !done.status.success() {
            bail!("{example}: {}", String::from_utf8_lossy(&done.stderr));
        }
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    };
    let rows = place.folder.join("rows.jsonl");
    std::fs::write(&rows, "{\"id\":1,\"name\":\"Ada\"}\n{\"id\":2,\"name\":\"Zoë\"}\n")?;
    let input = || -> Result<Stdio> { Ok(std::fs::File::open(&rows)?.into()) };
    run("load_strings", &["shop.customers", "strings-1"], input()?)?;
    run("load_strings", &["shop.customers", "strings-1"], input()?)?;
    expect(&mariadb(place, "SELECT COUNT(*) AS n, MAX(name) AS m FROM shop.customers")?, &["n\tm\n2\tZoë"])?;
    run("load_structs", &[], Stdio::null())?;
    expect(&mariadb(place, "SELECT SUM(price) AS s FROM shop.orders")?, &["s\n139.90"])?;
    let state = place.folder.join("two-phase").display().to_string();
    for _ in 0..2 {
        expect(&run("two_phase", &[&state], Stdio::null())?, &["committed"])?;
    }
    mariadb(place, "DROP DATABASE shop FORCE")?;
    Ok(Outcome::Passed)
}

/// Ten thousand rows through Flink and StarRocks' own connector.
fn java_connector(place: &Place, version: &str, semantic: &str) -> Result<Outcome> {
    let oracle = binary::root().join("../shared/tools/jvm/flink-oracle/flink-oracle");
    if !oracle.exists() {
        return Ok(Outcome::Skipped(format!("{} is absent", oracle.display())));
    }
    let table = format!("t_{}_{}", version.to_lowercase(), semantic.replace('-', "_"));
    mariadb(
        place,
        &format!(
            "CREATE DATABASE IF NOT EXISTS java; CREATE TABLE java.{table} (id BIGINT NOT NULL, name VARCHAR(100), price DECIMAL(10,2), ts DATETIME) PRIMARY KEY(id)"
        ),
    )?;
    let script = place.folder.join(format!("{table}.sql"));
    std::fs::write(
        &script,
        format!(
            "SET 'execution.checkpointing.interval' = '1 s';\n\
             CREATE TABLE src (id BIGINT, name STRING, price DECIMAL(10,2), ts TIMESTAMP(3)) WITH ('connector' = 'datagen', 'number-of-rows' = '10000', \
             'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '10000', 'fields.name.length' = '10', 'rows-per-second' = '5000');\n\
             CREATE TABLE dst (id BIGINT, name STRING, price DECIMAL(10,2), ts TIMESTAMP(3), PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'starrocks', \
             'jdbc-url' = 'jdbc:mysql://127.0.0.1:{}', 'load-url' = '127.0.0.1:{}', 'database-name' = 'java', 'table-name' = '{table}', 'username' = 'root', \
             'password' = '', 'sink.version' = '{version}', 'sink.semantic' = '{semantic}', 'sink.label-prefix' = '{table}');\n\
             INSERT INTO dst SELECT * FROM src;\n",
            place.mysql, place.http
        ),
    )?;
    output(Command::new("bash").arg(&oracle).args(["--timeout", "120"]).arg(&script))?;
    expect(
        &mariadb(place, &format!("SELECT COUNT(*) AS n, SUM(id) AS s FROM java.{table}"))?,
        &["n\ts\n10000\t50005000"],
    )
}

/// The guide's example: two databases of a real MariaDB into one, a changed shape included; the tables printed at the
/// end are those of the guide.
fn from_mysql(place: &Place) -> Result<Outcome> {
    with_mariadb(place, "from-mysql", |port| follow_mysql(place, port))
}

/// Runs a check beside a MariaDB of its own, in a folder of this name.
pub fn with_mariadb(place: &Place, name: &str, check: impl FnOnce(u16) -> Result<()>) -> Result<Outcome> {
    if Command::new("mariadbd").arg("--version").output().is_err() && !Path::new("/usr/sbin/mariadbd").is_file() {
        return Ok(Outcome::Skipped("no MariaDB server (Debian: mariadb-server)".into()));
    }
    let folder = place.folder.join(name);
    let port = free_port()?;
    let services = |action: &str| -> Result<()> {
        let port = port.to_string();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["services", "mariadb", action, "--port", &port]).arg("--dir").arg(&folder).stdout(Stdio::null());
        if !command.status()?.success() {
            bail!("MariaDB could not be brought {action}");
        }
        Ok(())
    };
    services("up")?;
    let ran = check(port);
    services("down")?;
    ran.map(|()| Outcome::Passed)
}

fn follow_mysql(place: &Place, port: u16) -> Result<()> {
    let sql = |file: &str| -> Result<()> {
        let script = std::fs::File::open(binary::root().join("examples/mysql").join(file))?;
        let status = Command::new("mariadb")
            .args(["--no-defaults", "-h127.0.0.1", "-uroot", "-proot", &format!("-P{port}")])
            .stdin(script)
            .status()?;
        if !status.success() {
            bail!("{file} failed");
        }
        Ok(())
    };
    sql("shop.sql")?;
    let set = format!("source.port={port}");
    let mut child = Command::new(&place.binary)
        .current_dir(binary::root())
        .args(["run", "examples/mysql/pipeline.yaml", "--local", "--metrics", "127.0.0.1:0"])
        .args(["--set", &set, "--set", "execution.checkpointing.interval=500ms"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // The address of the metrics is the first thing said; they tell when rows are committed.
    let mut said = BufReader::new(child.stderr.take().context("no standard error")?);
    let mut line = String::new();
    let address = loop {
        line.clear();
        if said.read_line(&mut line)? == 0 {
            bail!("the pipeline ended: {}", child.wait()?);
        }
        if let Some((_, rest)) = line.split_once("http://") {
            break rest.trim().trim_end_matches("/metrics").to_owned();
        }
    };
    let drain = std::thread::spawn(move || {
        let mut rest = String::new();
        let _ = said.read_to_string(&mut rest);
        rest
    });
    let rows = |wanted: f64| {
        wait_until("rows of the pipeline", Duration::from_secs(60), || {
            let text = http_get(&address, "/metrics")?;
            let sum: f64 = text
                .lines()
                .filter(|l| l.starts_with("starweir_sink_rows_total"))
                .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
                .sum();
            Ok(sum >= wanted)
        })
    };
    rows(5.0)?;
    sql("changes.sql")?;
    rows(11.0)?;
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status()?;
    let output = child.wait_with_output()?;
    let told = drain.join().unwrap_or_default();
    if !interrupted.success() || !output.status.success() {
        bail!("the pipeline ended with {}: {told}", output.status);
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    let guide = std::fs::read_to_string(binary::root().join("docs/guides/from-mysql.md"))?;
    if let Some(line) = printed.lines().find(|l| l.starts_with('|') && !guide.contains(l)) {
        bail!("the guide shows another output; this line is not in it:\n{line}\nall:\n{printed}");
    }
    if !printed.contains("ods.orders: 4 rows") {
        bail!("rows are missing:\n{printed}\n{told}");
    }
    Ok(())
}

/// A table that was damaged in the target is read again, while its source changes and another table goes on.
fn resync(place: &Place) -> Result<Outcome> {
    with_mariadb(place, "resync", |port| read_again(place, port))
}

fn read_again(place: &Place, port: u16) -> Result<()> {
    let source = |sql: &str| {
        output(
            Command::new("mariadb")
                .args(["--no-defaults", "-h127.0.0.1", "-uroot", "-proot", &format!("-P{port}"), "-N", "-e"])
                .arg(sql),
        )
    };
    source(
        "CREATE DATABASE again; USE again; CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(20)); CREATE TABLE b LIKE a; \
         INSERT INTO a SELECT seq, CONCAT('a', seq) FROM seq_1_to_5000; INSERT INTO b SELECT * FROM a",
    )?;
    let (pipeline, state) = (place.folder.join("resync.yaml"), place.folder.join("resync-state"));
    std::fs::write(
        &pipeline,
        format!(
            "source:\n  type: mysql\n  hostname: 127.0.0.1\n  port: {port}\n  username: root\n  password: root\n  tables: again.\\.*\n\
             sink:\n  type: starrocks\n  jdbc-url: jdbc:mysql://127.0.0.1:{}\n  load-url: 127.0.0.1:{}\n  username: root\n  \
             password: \"\"\n  sink.semantic: exactly-once\n  table.create.properties.replication_num: 1\n",
            place.mysql, place.http
        ),
    )?;
    let mut child = Command::new(&place.binary)
        .args(["run"])
        .arg(&pipeline)
        .arg("--state")
        .arg(&state)
        .args(["--set", "execution.checkpointing.interval=300ms"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let sums = "SELECT 'a', COUNT(*), SUM(id), SUM(LENGTH(v)) FROM again.a UNION ALL \
                SELECT 'b', COUNT(*), SUM(id), SUM(LENGTH(v)) FROM again.b ORDER BY 1";
    let digest = |text: &str| {
        let mut lines: Vec<String> = text.lines().filter(|l| l.starts_with(['a', 'b'])).map(str::to_owned).collect();
        lines.retain(|line| line.split('\t').count() == 4);
        lines
    };
    let same = |what: &str| {
        wait_until(what, Duration::from_secs(60), || {
            let here = mariadb(place, sums).unwrap_or_default();
            Ok(digest(&here).len() == 2 && digest(&here) == digest(&source(sums)?))
        })
    };
    let checked = (|| {
        same("the first snapshot")?;
        mariadb(place, "DELETE FROM again.a WHERE id < 100")?;
        mariadb(place, "INSERT INTO again.a VALUES (99999, 'stale')")?;
        let asked = Command::new(&place.binary)
            .args(["resync"])
            .arg(&pipeline)
            .args(["again.a", "--state"])
            .arg(&state)
            .stderr(Stdio::null())
            .status()?;
        if !asked.success() {
            bail!("the resync was not asked for");
        }
        for round in 1..=5 {
            source(&format!(
                "UPDATE again.a SET v = CONCAT(v, 'x') WHERE id <= 10; DELETE FROM again.a WHERE id = {}; \
                 INSERT INTO again.b VALUES ({}, 'new')",
                100 + round,
                9000 + round
            ))?;
        }
        same("the damaged table to be as its source")
    })();
    child.kill()?;
    child.wait()?;
    checked
}

fn http_get(address: &str, path: &str) -> Result<String> {
    let mut stream = std::net::TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
