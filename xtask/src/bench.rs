//! Measurements: our process's CPU seconds, peak memory and time to the first visible row.
//!
//! The target is a local warehouse in a process of its own, so that only the job is counted. Rates are marginal: the
//! difference between a large and a small run, so that start-up is out.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueEnum};
use serde_json::Value;
use starweir_testkit::{Kafka, Server, free_port};

use crate::binary;
use crate::chaos::produce;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// JSON and Debezium rows from files and Kafka into StarRocks.
    Load(LoadArgs),
}

#[derive(clap::Args)]
struct LoadArgs {
    /// Rows of the large run; the small one has a third.
    #[arg(long, default_value_t = 3_000_000)]
    rows: u64,
    #[arg(long, value_enum, default_values_t = [Input::File])]
    source: Vec<Input>,
    /// Runs of each; the median counts.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
}

#[derive(Clone, Copy, PartialEq, Debug, ValueEnum)]
enum Input {
    File,
    Kafka,
    /// Debezium envelopes from a file: 7 inserts, 2 updates, 1 delete of ten.
    Debezium,
}

pub fn main(args: &Args) -> Result<ExitCode> {
    let What::Load(load) = &args.what;
    bench_load(load)
}

/// What a finished child cost.
#[derive(Debug, Clone, Copy)]
struct Cost {
    cpu_s: f64,
    peak_mib: f64,
    wall_s: f64,
}

/// Runs a command and gives its output and cost.
fn measure(command: &mut Command) -> Result<(String, Cost)> {
    let started = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0).spawn()?;
    let mut output = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().context("no output")?, &mut output)?;
    let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: our own child, not waited for before; both out-parameters are valid.
    let waited = unsafe { libc::wait4(child.id() as libc::pid_t, &mut status, 0, usage.as_mut_ptr()) };
    if waited < 0 || status != 0 {
        bail!("the run failed with status {status}: {output}");
    }
    // SAFETY: filled by wait4.
    let usage = unsafe { usage.assume_init() };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    Ok((
        output,
        Cost {
            cpu_s: seconds(usage.ru_utime) + seconds(usage.ru_stime),
            peak_mib: usage.ru_maxrss as f64 / 1024.0,
            wall_s: started.elapsed().as_secs_f64(),
        },
    ))
}

/// The row of the measured Flink jobs: 8 columns, about 184 bytes of JSON.
fn json_row(id: u64) -> String {
    let random = id.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!(
        "{{\"id\":{id},\"user_id\":{},\"amount\":{}.{:02},\"quantity\":{},\"city\":\"city-{:05}\",\"status\":\"status-{}\",\"note\":\"note about order {:08}\",\"ts\":\"2026-03-{:02} {:02}:{:02}:{:02}\"}}",
        random % 1_000_000,
        random % 10_000,
        random % 100,
        random % 100,
        random % 50_000,
        random % 7,
        random % 100_000_000,
        1 + random % 28,
        random % 24,
        random % 60,
        (random >> 8) % 60,
    )
}

fn debezium_rows(number: u64) -> String {
    let source = "\"source\":{\"version\":\"3.0.8.Final\",\"connector\":\"mysql\",\"name\":\"shop\",\"ts_ms\":1795233392000,\"snapshot\":\"false\",\"db\":\"shop\",\"table\":\"orders\",\"server_id\":1,\"file\":\"binlog.000001\",\"pos\":2530}";
    let row = json_row(number);
    match number % 10 {
        7 | 8 => format!(
            "{{\"before\":{},\"after\":{},{source},\"op\":\"u\",\"ts_ms\":1795233428920}}",
            json_row(number - 5),
            json_row(number - 5)
        ),
        9 => format!(
            "{{\"before\":{},\"after\":null,{source},\"op\":\"d\",\"ts_ms\":1795233428920}}",
            json_row(number - 5)
        ),
        _ => format!("{{\"before\":null,\"after\":{row},{source},\"op\":\"c\",\"ts_ms\":1795233428920}}"),
    }
}

struct Case<'a> {
    name: &'a str,
    input: Input,
    format: &'a str,
    semantic: &'a str,
    interval: &'a str,
}

const CASES: &[Case<'_>] = &[
    Case {
        name: "file JSON → CSV loads, at-least-once, 10 s",
        input: Input::File,
        format: "csv",
        semantic: "at-least-once",
        interval: "10 s",
    },
    Case {
        name: "file JSON → CSV loads, exactly-once, 1 s",
        input: Input::File,
        format: "csv",
        semantic: "exactly-once",
        interval: "1 s",
    },
    Case {
        name: "file JSON → JSON loads, exactly-once, 1 s",
        input: Input::File,
        format: "json",
        semantic: "exactly-once",
        interval: "1 s",
    },
    Case {
        name: "Kafka JSON → CSV loads, at-least-once, 10 s",
        input: Input::Kafka,
        format: "csv",
        semantic: "at-least-once",
        interval: "10 s",
    },
    Case {
        name: "Kafka JSON → CSV loads, exactly-once, 1 s",
        input: Input::Kafka,
        format: "csv",
        semantic: "exactly-once",
        interval: "1 s",
    },
    Case {
        name: "file debezium-json → primary key, CSV loads, exactly-once, 1 s",
        input: Input::Debezium,
        format: "csv",
        semantic: "exactly-once",
        interval: "1 s",
    },
];

fn bench_load(args: &LoadArgs) -> Result<ExitCode> {
    let binary = binary::starweir(true)?;
    let folder = tempfile::tempdir()?;
    let sizes = [args.rows / 3, args.rows];
    let mut kafka = None;
    if args.source.contains(&Input::Kafka) {
        let broker = Kafka::start(&folder.path().join("kafka"), None, &[])?;
        for rows in sizes {
            let topic = format!("rows-{rows}");
            broker.create_topic(&topic, 1)?;
            for start in (0..rows).step_by(200_000) {
                let lines = (start..rows.min(start + 200_000)).map(json_row).collect();
                produce(&broker.bootstrap(), &topic, &[lines])?;
            }
        }
        kafka = Some(broker);
    }
    for (input, row) in [(Input::File, json_row as fn(u64) -> String), (Input::Debezium, debezium_rows)] {
        if args.source.contains(&input) {
            for rows in sizes {
                let file = std::fs::File::create(input_path(folder.path(), input, rows))?;
                let mut out = std::io::BufWriter::with_capacity(1 << 20, file);
                for id in 0..rows {
                    writeln!(out, "{}", row(id))?;
                }
            }
        }
    }
    println!("| job | CPU µs/row | rows per CPU s | fixed CPU s | peak MiB | first row visible ms | rows/s wall |");
    println!("|---|---|---|---|---|---|---|");
    for case in CASES.iter().filter(|c| args.source.contains(&c.input)) {
        let mut per_row = Vec::new();
        let mut fixed = Vec::new();
        let (mut peak, mut first, mut wall_rate) = (0.0f64, Vec::new(), Vec::new());
        for _ in 0..args.repeat.max(1) {
            let mut costs = Vec::new();
            for rows in sizes {
                let (cost, first_ms) = run_case(&binary, folder.path(), case, rows, kafka.as_ref())?;
                peak = peak.max(cost.peak_mib);
                first.push(first_ms);
                if rows == args.rows {
                    wall_rate.push(rows as f64 / cost.wall_s);
                }
                costs.push(cost);
            }
            let marginal = (costs[1].cpu_s - costs[0].cpu_s) / (sizes[1] - sizes[0]) as f64;
            per_row.push(marginal * 1e6);
            fixed.push(costs[1].cpu_s - marginal * args.rows as f64);
        }
        let us = median(&mut per_row);
        println!(
            "| {} | {us:.3} | {:.0} | {:.2} | {peak:.0} | {:.0} | {:.0} |",
            case.name,
            1e6 / us,
            median(&mut fixed),
            median(&mut first),
            median(&mut wall_rate),
        );
    }
    println!("{} rows against {}, median of {}", sizes[1], sizes[0], args.repeat);
    Ok(ExitCode::SUCCESS)
}

fn input_path(folder: &Path, input: Input, rows: u64) -> PathBuf {
    folder.join(format!("{input:?}-{rows}.json"))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn run_case(binary: &Path, folder: &Path, case: &Case<'_>, rows: u64, kafka: Option<&Kafka>) -> Result<(Cost, f64)> {
    let data = folder.join("warehouse");
    let _ = std::fs::remove_dir_all(&data);
    let ports = [free_port()?, free_port()?, free_port()?];
    let mut command = Command::new(binary);
    command.arg("warehouse").arg("--data").arg(&data).stderr(Stdio::null());
    for (name, port) in ["--mysql-port", "--http-port", "--be-port"].iter().zip(ports) {
        command.arg(name).arg(port.to_string());
    }
    let (_warehouse, _) = Server::start("the warehouse", &mut command, "ready")?;
    let key = if case.input == Input::Debezium { ", PRIMARY KEY (id) NOT ENFORCED" } else { "" };
    let ddl_key = if key.is_empty() { "DUPLICATE KEY(id)" } else { "PRIMARY KEY(id)" };
    create(&ports, ddl_key)?;
    let source = match case.input {
        Input::Kafka => format!(
            "'connector' = 'kafka', 'topic' = 'rows-{rows}', 'properties.bootstrap.servers' = '{}', 'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset', 'format' = 'json'",
            kafka.context("no broker")?.bootstrap()
        ),
        Input::File => format!(
            "'connector' = 'filesystem', 'path' = '{}', 'format' = 'json'",
            input_path(folder, case.input, rows).display()
        ),
        Input::Debezium => format!(
            "'connector' = 'filesystem', 'path' = '{}', 'format' = 'debezium-json'",
            input_path(folder, case.input, rows).display()
        ),
    };
    let columns = "id BIGINT NOT NULL, user_id INT, amount DOUBLE, quantity INT, city STRING, status STRING, note STRING, ts TIMESTAMP(0)";
    let script = format!(
        "SET 'execution.checkpointing.interval' = '{}';\nCREATE TABLE src ({columns}{key}) WITH ({source});\n\
         CREATE TABLE dst ({columns}{key}) WITH ('connector' = 'starrocks', 'jdbc-url' = 'jdbc:mysql://127.0.0.1:{}', 'load-url' = '127.0.0.1:{}', \
         'database-name' = 'd', 'table-name' = 't', 'username' = 'root', 'password' = '', 'sink.semantic' = '{}', 'sink.properties.format' = '{}');\n\
         INSERT INTO dst SELECT * FROM src;\n",
        case.interval, ports[0], ports[1], case.semantic, case.format
    );
    let path = folder.join("bench.sql");
    std::fs::write(&path, script)?;
    let state = folder.join("state");
    let _ = std::fs::remove_dir_all(&state);
    let mut command = Command::new(binary);
    command.arg("run").arg(&path).arg("--state").arg(&state).arg("--json").stderr(Stdio::inherit());
    let (output, cost) = measure(&mut command)?;
    let summary: Value = serde_json::from_str(output.trim())?;
    let read = summary["sources"][0]["rows"].as_u64().unwrap_or(0);
    let messages = if case.input == Input::Debezium { read - rows / 5 } else { read };
    if messages != rows {
        bail!("{}: {read} rows were read instead of {rows}", case.name);
    }
    Ok((cost, summary["first_visible_ms"].as_f64().unwrap_or(f64::NAN)))
}

fn create(ports: &[u16; 3], key: &str) -> Result<()> {
    use starweir_starrocks::{Client, ClientConfig};
    let config = ClientConfig::new(&format!("127.0.0.1:{}", ports[1]))
        .and_then(|c| c.with_login("root", "").with_jdbc_url(&format!("jdbc:mysql://127.0.0.1:{}", ports[0])))?;
    let metadata = Client::new(config)?.metadata()?;
    let table = format!(
        "CREATE TABLE d.t (id BIGINT NOT NULL, user_id INT, amount DOUBLE, quantity INT, city VARCHAR(100), status VARCHAR(100), note VARCHAR(200), ts DATETIME) {key} PROPERTIES (\"replication_num\" = \"1\")"
    );
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        for statement in ["CREATE DATABASE IF NOT EXISTS d", &table] {
            metadata.execute(statement).await.map_err(|e| anyhow::anyhow!(e.chain()))?;
        }
        Ok(())
    })
}
