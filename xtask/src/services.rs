//! Real servers for tests by hand.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

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
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Action {
    Up,
    Down,
}

pub fn main(args: &Args) -> Result<ExitCode> {
    let Name::Kafka = args.name;
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
