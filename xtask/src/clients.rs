//! Checks of the lane with clients that people point at a StarRocks; what they run is in `xtask/clients`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;
use starweir_testkit::{Server, free_port};

use crate::binary::root;
use crate::lane::{Outcome, Place, expect, output};

/// Python clients that fit into one environment, with what they need.
const CLIENTS: &[&str] = &[
    "pymysql==1.2.4",
    "cryptography==50.0.2",
    "mysql-connector-python==26.10.0",
    "sqlalchemy==2.1.9",
    "starrocks==1.3.4",
    "pytest==9.2.0",
    "setuptools==80.9.0",
];
/// dbt 2 fetches a part of itself from GitHub when it is installed; the adapter sets a property of the connector that newer
/// ones have made read-only.
const DBT: &[&str] = &["dbt-core==1.10.23", "dbt-starrocks==1.12.2", "mysql-connector-python==9.1.0"];

fn scripts() -> PathBuf {
    root().join("xtask/clients")
}

/// A folder of the cache that outlives runs.
pub fn cache() -> PathBuf {
    let home = std::env::var("HOME").unwrap_or_else(|_| ".".into());
    let cache = std::env::var("XDG_CACHE_HOME").map_or_else(|_| Path::new(&home).join(".cache"), PathBuf::from);
    cache.join("starweir")
}

/// The folder of a Python environment's programs. It is made once, and again when what it has to hold changes. None, with
/// a word about it, where the packages cannot be had.
fn environment(name: &str, packages: &[&str]) -> Result<Option<PathBuf>> {
    let folder = cache().join(name);
    let list = folder.join("starweir-packages.txt");
    let wanted = packages.join("\n");
    if !std::fs::read_to_string(&list).is_ok_and(|have| have == wanted) {
        output(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let mut install = Command::new(folder.join("bin/python"));
        if let Err(error) = output(install.args(["-m", "pip", "install", "--quiet"]).args(packages)) {
            eprintln!("{name} cannot be installed: {error:#}");
            return Ok(None);
        }
        std::fs::write(&list, wanted)?;
    }
    Ok(Some(folder.join("bin")))
}

fn not_installed() -> Outcome {
    Outcome::Skipped("its Python packages cannot be installed here".into())
}

fn python(place: &Place, script: &str) -> Result<Outcome> {
    let Some(bin) = environment("python-clients", CLIENTS)? else { return Ok(not_installed()) };
    let text = output(Command::new(bin.join("python")).arg(scripts().join(script)).arg(place.mysql.to_string()))?;
    expect(&text, &["fine"])
}

pub fn mysql_connector(place: &Place) -> Result<Outcome> {
    python(place, "mysql_connector.py")
}

pub fn sqlalchemy(place: &Place) -> Result<Outcome> {
    python(place, "sqlalchemy_starrocks.py")
}

/// In a warehouse of its own, as it needs a password and TLS.
pub fn users(place: &Place) -> Result<Outcome> {
    let port = free_port()?;
    let mut command = Command::new(&place.binary);
    command.args(["warehouse", "--ephemeral", "--tls", "--password", "rootpw", "--mysql-port", &port.to_string()]);
    command.args(["--http-port", "0", "--be-port", "0"]).stderr(Stdio::null());
    let (_warehouse, _) = Server::start("the warehouse", &mut command, "ready")?;
    let Some(bin) = environment("python-clients", CLIENTS)? else { return Ok(not_installed()) };
    let text = output(Command::new(bin.join("python")).arg(scripts().join("users.py")).arg(port.to_string()))?;
    expect(&text, &["fine"])
}

/// A project with a seed, a view, a table, an incremental model and tests: built twice, tested, documented.
pub fn dbt(place: &Place) -> Result<Outcome> {
    let Some(bin) = environment("python-dbt", DBT)? else { return Ok(not_installed()) };
    let dbt = bin.join("dbt");
    let project = place.folder.join("dbt");
    copy(&scripts().join("dbt"), &project)?;
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&dbt);
        command.current_dir(&project).env("STARWEIR_PORT", place.mysql.to_string());
        command.env("DBT_PROFILES_DIR", &project).env("DBT_SEND_ANONYMOUS_USAGE_STATS", "false");
        output(command.arg("--no-use-colors").args(arguments))
    };
    expect(&run(&["build"])?, &["ERROR=0", "PASS="])?;
    let seed = project.join("seeds/orders.csv");
    let rows = std::fs::read_to_string(&seed)?;
    std::fs::write(&seed, rows + "4,Ada,1.00,2026-01-03 08:00:00\n")?;
    expect(&run(&["seed"])?, &["ERROR=0"])?;
    expect(&run(&["run"])?, &["ERROR=0"])?;
    expect(&run(&["run", "--full-refresh"])?, &["ERROR=0"])?;
    expect(&run(&["docs", "generate"])?, &["Catalog written"])?;
    let catalog = std::fs::read_to_string(project.join("target/catalog.json"))?;
    expect(&catalog, &["\"customers\"", "\"orders_view\"", "\"decimal"])?;
    let sql =
        "SELECT * FROM shop_dbt.customers ORDER BY customer; SELECT day, n, amount FROM shop_dbt.days ORDER BY day";
    let shown = crate::lane::mariadb(place, sql)?;
    expect(&shown, &["Ada\t3\t16.75", "Zoë\t1\t20.00", "2026-01-01\t1\t10.50", "2026-01-03\t1\t1.00"])
}

/// Connector/J and MariaDB's driver, with statements prepared by the client and by the server.
pub fn jdbc(place: &Place) -> Result<Outcome> {
    if Command::new("mvn").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Ok(Outcome::Skipped("no Maven (Debian: maven)".into()));
    }
    let classes = cache().join("jdbc-clients");
    std::fs::create_dir_all(&classes)?;
    std::fs::copy(scripts().join("pom.xml"), classes.join("pom.xml"))?;
    let mut command = Command::new("mvn");
    command.current_dir(&classes).args(["-q", "-B", "dependency:build-classpath", "-Dmdep.outputFile=classpath.txt"]);
    output(&mut command)?;
    let classpath = std::fs::read_to_string(classes.join("classpath.txt"))?;
    let address = format!("127.0.0.1:{}", place.mysql);
    for (i, url) in [
        format!("jdbc:mysql://{address}/"),
        format!("jdbc:mysql://{address}/?useServerPrepStmts=true&cachePrepStmts=true&rewriteBatchedStatements=true"),
        format!("jdbc:mariadb://{address}/"),
        format!("jdbc:mariadb://{address}/?useServerPrepStmts=true"),
    ]
    .iter()
    .enumerate()
    {
        let mut command = Command::new("java");
        command.args(["-cp", &classpath]).arg(scripts().join("Clients.java")).args([url.as_str(), &format!("jdbc{i}")]);
        expect(&output(&mut command)?, &["fine"])?;
    }
    Ok(Outcome::Passed)
}

/// The pytest plugin, installed as a stranger would install it.
pub fn pytest(place: &Place) -> Result<Outcome> {
    let Some(bin) = environment("python-clients", CLIENTS)? else { return Ok(not_installed()) };
    let package = place.folder.join("python");
    // A copy, so that building leaves nothing in the checkout.
    copy(&root().join("python"), &package)?;
    let mut install = Command::new(bin.join("python"));
    install.args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--force-reinstall"]);
    output(install.arg(&package))?;
    let mut tests = Command::new(bin.join("python"));
    tests.current_dir(&package).env("STARWEIR_BINARY", &place.binary).args(["-m", "pytest", "-q", "tests"]);
    expect(&output(&mut tests)?, &["passed"])
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            std::fs::copy(path, target)?;
        }
    }
    Ok(())
}
