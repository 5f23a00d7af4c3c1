//! Real servers for tests by hand.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use starweir_testkit::Kafka;

#[derive(clap::Args)]
pub struct Args {
    #[arg(value_enum)]
    name: Name,
    #[arg(value_enum)]
    action: Action,
    /// Where its data and its pid live.
    #[arg(long, default_value = "target/services")]
    dir: PathBuf,
    #[arg(long)]
    port: Option<u16>,
    /// Topics to create, NAME:PARTITIONS.
    #[arg(long)]
    topic: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    /// Apache Kafka from its Java artifacts (JDK 17 and Maven are needed).
    Kafka,
    /// MariaDB with a row binary log (Debian: `mariadb-server`). User and password: root.
    Mariadb,
    /// MySQL with GTIDs and a row binary log (`mysqld` in the path or in STARWEIR_MYSQLD). User and password: root.
    Mysql,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Action {
    Up,
    Down,
}

pub fn main(args: &Args) -> Result<ExitCode> {
    match args.name {
        Name::Kafka => kafka(args),
        Name::Mariadb => database(args, "mariadb"),
        Name::Mysql => database(args, "mysql"),
    }
}

/// Starts or stops a MariaDB or MySQL server.
fn database(args: &Args, name: &str) -> Result<ExitCode> {
    let folder = args.dir.join(name);
    let pid_file = folder.join("pid");
    if args.action == Action::Down {
        let pid: i32 = std::fs::read_to_string(&pid_file).context("it is not running")?.trim().parse()?;
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if command.contains("mariadbd") || command.contains("mysqld") {
            Command::new("kill").arg(pid.to_string()).status()?;
        }
        std::fs::remove_file(&pid_file)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mariadb = name == "mariadb";
    let given = std::env::var("STARWEIR_MYSQLD").ok().filter(|_| !mariadb).map(PathBuf::from);
    let places = if mariadb {
        ["/usr/sbin/mariadbd", "/usr/local/bin/mariadbd"]
    } else {
        ["/usr/sbin/mysqld", "/usr/local/bin/mysqld"]
    };
    let binary = given.or_else(|| places.iter().map(PathBuf::from).find(|p| p.is_file()));
    let Some(binary) = binary else {
        bail!("{name} is not installed (Debian: apt-get install {name}-server), or set STARWEIR_MYSQLD to its server");
    };
    std::fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    let data = folder.join("data");
    let init = folder.join("init.sql");
    let root = is_root();
    let user = if root { vec!["--user=root"] } else { Vec::new() };
    if !data.join("mysql").is_dir() {
        let status = if mariadb {
            Command::new("mariadb-install-db")
                .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
                .args(&user)
                .arg(format!("--datadir={}", data.display()))
                .stdout(Stdio::null())
                .status()?
        } else {
            Command::new(&binary)
                .args(["--no-defaults", "--initialize-insecure"])
                .args(&user)
                .arg(format!("--datadir={}", data.display()))
                .stderr(Stdio::null())
                .status()?
        };
        if !status.success() {
            bail!("{name} could not be initialised in {}", data.display());
        }
        let host = if mariadb { "127.0.0.1" } else { "%" };
        std::fs::write(
            &init,
            format!(
                "ALTER USER 'root'@'localhost' IDENTIFIED BY 'root';\nCREATE USER 'root'@'{host}' IDENTIFIED BY 'root';\n\
                 GRANT ALL ON *.* TO 'root'@'{host}' WITH GRANT OPTION;\n"
            ),
        )?;
    }
    let port = args.port.unwrap_or(if mariadb { 13_306 } else { 13_307 });
    let mut command = Command::new(&binary);
    command
        .arg("--no-defaults")
        .args(&user)
        .arg(format!("--datadir={}", data.display()))
        .arg(format!("--socket={}", folder.join("sock").display()))
        .arg(format!("--port={port}"))
        .args(["--bind-address=127.0.0.1", "--server-id=1", "--log-bin=binlog", "--binlog-format=ROW"])
        .args(["--binlog-row-image=FULL", "--binlog-row-metadata=FULL", "--max-connections=300"]);
    if mariadb {
        command.arg("--character-set-server=utf8mb4");
    } else {
        command.args(["--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--mysqlx=OFF"]);
    }
    if init.is_file() {
        command.arg(format!("--init-file={}", init.display()));
    }
    let log = std::fs::File::create(folder.join("server.log"))?;
    let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
    std::fs::write(&pid_file, child.id().to_string())?;
    let until = Instant::now() + Duration::from_secs(60);
    // It greets once it is ready.
    while !greets(port) {
        if Instant::now() > until {
            bail!("{name} does not answer; see {}", folder.join("server.log").display());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let _ = std::fs::remove_file(&init);
    println!("mysql://root:root@127.0.0.1:{port}/");
    Ok(ExitCode::SUCCESS)
}

fn greets(port: u16) -> bool {
    use std::io::Read as _;
    let Ok(mut socket) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return false };
    let _ = socket.set_read_timeout(Some(Duration::from_secs(2)));
    matches!(socket.read(&mut [0; 5]), Ok(5))
}

fn is_root() -> bool {
    // SAFETY: takes nothing and only reads.
    unsafe { libc::geteuid() == 0 }
}

fn kafka(args: &Args) -> Result<ExitCode> {
    let folder = args.dir.join("kafka");
    let pid_file = folder.join("pid");
    if args.action == Action::Down {
        let pid: i32 = std::fs::read_to_string(&pid_file).context("it is not running")?.trim().parse()?;
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if command.contains("kafka.Kafka") {
            Command::new("kill").arg(pid.to_string()).status()?;
        }
        std::fs::remove_file(&pid_file)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut topics = Vec::new();
    for topic in &args.topic {
        let (name, partitions) = topic.split_once(':').unwrap_or((topic, "1"));
        topics.push((name, partitions.parse().context("--topic NAME:PARTITIONS")?));
    }
    let kafka = Kafka::start(&folder, args.port, &topics)?;
    let Some(pid) = kafka.pid() else { bail!("Kafka has no process") };
    std::fs::write(&pid_file, pid.to_string())?;
    println!("{}", kafka.bootstrap());
    // It goes on without us.
    std::mem::forget(kafka);
    std::thread::sleep(Duration::from_millis(10));
    Ok(ExitCode::SUCCESS)
}
