//! Kills our process, the warehouse and the broker at random and at every named step of the epoch protocol, loses
//! answers and cuts bodies, and then compares what arrived with what was sent: nothing lost, nothing doubled.
//!
//! Each round has a seed of its own, printed when it fails; `--seed N --rounds 1` replays it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::ClientConfig as KafkaConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use starweir_engine::EpochStep;
use starweir_starrocks::{Client, ClientConfig, Metadata};
use starweir_testkit::{Chance, Fault, Kafka, Proxy, Server, free_port};

use crate::binary;

#[derive(clap::Args)]
pub struct Args {
    /// The first round's seed; the next rounds follow from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value_t = 10)]
    rounds: u64,
    /// Read from files only; without it every other round reads a real Kafka.
    #[arg(long)]
    files_only: bool,
    /// Rows per round.
    #[arg(long, default_value_t = 200_000)]
    rows: u64,
    /// Use the release build.
    #[arg(long)]
    release: bool,
    /// Keep each round's folder.
    #[arg(long)]
    keep: bool,
}

/// Splits of the input: files, or partitions.
const SPLITS: u64 = 3;
/// Keys of the primary-key table per split; every key is rewritten often.
const KEYS: u64 = 40;
/// Lives of the job in a round that may end badly; after them it is left alone.
const LIVES: u32 = 6;
/// The longest a job may take once nothing disturbs it.
const CALM_LIMIT: Duration = Duration::from_secs(120);

pub fn main(args: &Args) -> Result<ExitCode> {
    let binary = binary::starweir(args.release)?;
    let folder = tempfile::tempdir()?;
    let mut kafka = None;
    if !args.files_only {
        kafka = Some(Kafka::start(&folder.path().join("kafka"), None, &[])?);
    }
    let started = Instant::now();
    let mut totals = Totals::default();
    let mut failed = 0;
    for round in 0..args.rounds {
        let seed = args.seed.wrapping_add(round);
        let place = folder.path().join(format!("round-{seed}"));
        let with_kafka = seed % 2 == 1;
        let broker = kafka.as_mut().filter(|_| with_kafka);
        let source = if broker.is_some() { "kafka" } else { "files" };
        match run_round(args, &binary, &place, seed, broker) {
            Ok(counts) => {
                println!("round {seed} ({source}): ok, {counts}");
                totals.add(&counts);
                if !args.keep {
                    let _ = std::fs::remove_dir_all(&place);
                }
            }
            Err(error) => {
                failed += 1;
                let kept = std::env::temp_dir().join(format!("starweir-chaos-{seed}"));
                let _ = std::fs::remove_dir_all(&kept);
                let _ = std::fs::rename(&place, &kept);
                println!("round {seed} ({source}): FAILED: {error:#}");
                println!(
                    "  replay: cargo xtask chaos --seed {seed} --rounds 1 --rows {}; its files: {}",
                    args.rows,
                    kept.display()
                );
            }
        }
    }
    if let Some(kafka) = &mut kafka {
        kafka.kill();
    }
    println!(
        "chaos: {} rounds in {:.0} s, {} kills of the job, {} of the warehouse, {} of the broker, {} lost answers and cut bodies",
        args.rounds,
        started.elapsed().as_secs_f64(),
        totals.job_kills,
        totals.warehouse_kills,
        totals.broker_kills,
        totals.faults,
    );
    println!("{} passed, {failed} failed", args.rounds - failed);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

#[derive(Default)]
struct Totals {
    job_kills: u64,
    warehouse_kills: u64,
    broker_kills: u64,
    faults: u64,
}

impl Totals {
    fn add(&mut self, other: &Totals) {
        self.job_kills += other.job_kills;
        self.warehouse_kills += other.warehouse_kills;
        self.broker_kills += other.broker_kills;
        self.faults += other.faults;
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} kills of the job, {} of the warehouse, {} of the broker, {} faults on the wire",
            self.job_kills, self.warehouse_kills, self.broker_kills, self.faults
        )
    }
}

/// The warehouse process, on ports that stay the same over its deaths.
struct Warehouse {
    binary: PathBuf,
    folder: PathBuf,
    ports: [u16; 3],
    process: Option<Server>,
}

impl Warehouse {
    fn new(binary: &Path, folder: &Path) -> Result<Self> {
        let mut warehouse = Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            ports: [free_port()?, free_port()?, free_port()?],
            process: None,
        };
        warehouse.up()?;
        Ok(warehouse)
    }

    fn up(&mut self) -> Result<()> {
        let mut command = Command::new(&self.binary);
        command.arg("warehouse").arg("--data").arg(&self.folder);
        for (name, port) in ["--mysql-port", "--http-port", "--be-port"].iter().zip(self.ports) {
            command.arg(name).arg(port.to_string());
        }
        command.stderr(std::fs::File::options().create(true).append(true).open(self.folder.with_extension("log"))?);
        self.process = Some(Server::start("the warehouse", &mut command, "ready")?.0);
        Ok(())
    }

    fn metadata(&self) -> Result<Metadata> {
        let config = ClientConfig::new(&format!("127.0.0.1:{}", self.ports[1]))
            .and_then(|c| c.with_login("root", "").with_jdbc_url(&format!("jdbc:mysql://127.0.0.1:{}", self.ports[0])));
        Ok(Client::new(config?)?.metadata()?)
    }
}

/// What was sent, to compare with.
#[derive(Default)]
struct Truth {
    rows: u64,
    id_sum: u64,
    value_sum: u64,
    last: BTreeMap<u64, (u64, u64)>,
}

impl Truth {
    fn add(&mut self, id: u64, key: u64, value: u64) {
        self.rows += 1;
        self.id_sum += id;
        self.value_sum += value;
        self.last.insert(key, (id, value));
    }
}

/// Makes the rows: split → lines.
fn make_rows(chance: &mut Chance, rows: u64) -> (Truth, Vec<Vec<String>>) {
    let mut truth = Truth::default();
    let mut splits = vec![Vec::new(); SPLITS as usize];
    for id in 1..=rows {
        let split = chance.below(SPLITS);
        let key = split * KEYS + chance.below(KEYS);
        let value = chance.below(1_000_000);
        truth.add(id, key, value);
        splits[split as usize].push(format!("{{\"id\":{id},\"k\":{key},\"v\":{value},\"note\":\"row {id} ü\"}}"));
    }
    (truth, splits)
}

fn run_round(args: &Args, binary: &Path, folder: &Path, seed: u64, mut kafka: Option<&mut Kafka>) -> Result<Totals> {
    let mut chance = Chance::new(seed);
    let mut totals = Totals::default();
    std::fs::create_dir_all(folder.join("in"))?;
    let (truth, splits) = make_rows(&mut chance, args.rows);
    let source = match kafka.as_deref_mut() {
        Some(kafka) => {
            let topic = format!("chaos-{seed}");
            kafka.create_topic(&topic, SPLITS as u32)?;
            produce(&kafka.bootstrap(), &topic, &splits)?;
            format!(
                "'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{}', 'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset', 'format' = 'json'",
                kafka.bootstrap()
            )
        }
        None => {
            for (index, lines) in splits.iter().enumerate() {
                std::fs::write(folder.join("in").join(format!("{index}.json")), lines.join("\n") + "\n")?;
            }
            format!("'connector' = 'filesystem', 'path' = '{}', 'format' = 'json'", folder.join("in").display())
        }
    };
    let mut warehouse = Warehouse::new(binary, &folder.join("warehouse"))?;
    let frontend = Proxy::start(([127, 0, 0, 1], warehouse.ports[1]).into())?;
    let backend = Proxy::start(([127, 0, 0, 1], warehouse.ports[2]).into())?;
    let script = folder.join("job.sql");
    std::fs::write(&script, job_sql(&mut chance, &source, &warehouse, &frontend, &backend))?;
    create_tables(&warehouse)?;

    let state = folder.join("state");
    let log = folder.join("job.log");
    let mut last_code = None;
    let mut lives = 0;
    loop {
        lives += 1;
        let calm = lives > LIVES;
        let mut command = Command::new(binary);
        command.arg("run").arg(&script).arg("--state").arg(&state).arg("--json");
        let mut dies_by_itself = false;
        if !calm && chance.one_in(2) {
            let step = chance.pick(&EpochStep::ALL).name();
            command.arg("--die-at").arg(format!("{step}:{}", 1 + chance.below(5)));
            dies_by_itself = true;
        }
        command.stdout(Stdio::null()).stderr(std::fs::File::options().create(true).append(true).open(&log)?);
        let mut job = Server::spawn("the job", &mut command)?;
        let started = Instant::now();
        // What happens to this life, and when.
        let mut events: Vec<(Duration, Event)> = Vec::new();
        if !calm {
            let at = |chance: &mut Chance, limit| Duration::from_millis(chance.below(limit));
            if !dies_by_itself {
                events.push((at(&mut chance, 600), Event::KillJob));
            }
            if chance.one_in(3) {
                events.push((at(&mut chance, 400), Event::KillWarehouse));
            }
            if kafka.is_some() && chance.one_in(6) {
                events.push((at(&mut chance, 400), Event::KillBroker));
            }
            for _ in 0..chance.below(6) {
                let fault = if chance.one_in(2) { Fault::LoseAnswer } else { Fault::CutRequest(chance.below(200_000)) };
                events.push((at(&mut chance, 400), Event::Wire(fault, chance.one_in(2))));
            }
            events.sort_by_key(|(at, _)| *at);
        }
        let mut next = 0;
        let code = loop {
            if let Some(code) = job.ended()? {
                break code;
            }
            if next < events.len() && started.elapsed() >= events[next].0 {
                match events[next].1 {
                    Event::KillJob => {
                        job.kill();
                        totals.job_kills += 1;
                    }
                    Event::KillWarehouse => {
                        warehouse.process = None;
                        totals.warehouse_kills += 1;
                        std::thread::sleep(Duration::from_millis(chance.below(300)));
                        warehouse.up()?;
                    }
                    Event::KillBroker => {
                        if let Some(kafka) = kafka.as_deref_mut() {
                            kafka.kill();
                            totals.broker_kills += 1;
                            kafka.up()?;
                        }
                    }
                    Event::Wire(fault, at_frontend) => {
                        if at_frontend {
                            frontend.inject(fault)
                        } else {
                            backend.inject(fault)
                        }
                    }
                }
                next += 1;
                continue;
            }
            if started.elapsed() > CALM_LIMIT {
                bail!("the job hangs (life {lives})");
            }
            std::thread::sleep(Duration::from_millis(3));
        };
        if dies_by_itself && code == 128 + libc::SIGABRT {
            totals.job_kills += 1;
        }
        frontend.calm();
        backend.calm();
        if code == 0 {
            break;
        }
        last_code = Some(code);
        if calm {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let tail: Vec<&str> = text.lines().rev().take(8).collect();
            bail!(
                "undisturbed, the job still ends with {code}: {}",
                tail.into_iter().rev().collect::<Vec<_>>().join(" | ")
            );
        }
    }
    totals.faults = frontend.happened() + backend.happened();
    compare(&warehouse, &truth).with_context(|| format!("after {lives} lives (last bad exit code {last_code:?})"))?;
    Ok(totals)
}

#[derive(Debug, Clone, Copy)]
enum Event {
    KillJob,
    KillWarehouse,
    KillBroker,
    /// On the way to the FE, or to the BE.
    Wire(Fault, bool),
}

fn job_sql(chance: &mut Chance, source: &str, warehouse: &Warehouse, frontend: &Proxy, backend: &Proxy) -> String {
    let version = if chance.one_in(4) { "V1" } else { "V2" };
    let format = if chance.one_in(2) { "csv" } else { "json" };
    let common = format!(
        "'connector' = 'starrocks', 'jdbc-url' = 'jdbc:mysql://127.0.0.1:{}', 'load-url' = '{}', 'database-name' = 'd', \
         'username' = 'root', 'password' = '', 'sink.semantic' = 'exactly-once', 'sink.version' = '{version}', \
         'sink.properties.format' = '{format}', 'sink.be-host-mapping-list' = '{},127.0.0.1:{}', \
         'sink.connect.timeout-ms' = '2000', 'sink.socket.timeout-ms' = '5000'",
        warehouse.ports[0],
        frontend.address(),
        backend.address(),
        warehouse.ports[2],
    );
    let mut out = String::new();
    let _ = writeln!(out, "SET 'pipeline.name' = 'chaos';");
    let _ = writeln!(out, "SET 'execution.checkpointing.interval' = '{} ms';", 5 + chance.below(100));
    let _ = writeln!(out, "SET 'parallelism.default' = '{}';", 1 + chance.below(3));
    let _ = writeln!(out, "SET 'restart-strategy.type' = 'fixed-delay';");
    let _ = writeln!(out, "SET 'restart-strategy.fixed-delay.attempts' = '50';");
    let _ = writeln!(out, "SET 'restart-strategy.fixed-delay.delay' = '50 ms';");
    let _ = writeln!(out, "CREATE TABLE src (id BIGINT, k BIGINT, v BIGINT, note STRING) WITH ({source});");
    let _ = writeln!(
        out,
        "CREATE TABLE log (id BIGINT, k BIGINT, v BIGINT, note STRING) WITH ({common}, 'table-name' = 'log');"
    );
    let _ = writeln!(
        out,
        "CREATE TABLE state (k BIGINT NOT NULL, id BIGINT, v BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH ({common}, 'table-name' = 'state');"
    );
    let _ = writeln!(out, "EXECUTE STATEMENT SET BEGIN");
    let _ = writeln!(out, "INSERT INTO log SELECT id, k, v, note FROM src;");
    let _ = writeln!(out, "INSERT INTO state SELECT k, id, v FROM src;");
    let _ = writeln!(out, "END;");
    out
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn create_tables(warehouse: &Warehouse) -> Result<()> {
    let metadata = warehouse.metadata()?;
    runtime()?.block_on(async {
        for statement in [
            "CREATE DATABASE IF NOT EXISTS d",
            "CREATE TABLE d.log (id BIGINT, k BIGINT, v BIGINT, note VARCHAR(200)) DUPLICATE KEY(id) PROPERTIES (\"replication_num\" = \"1\")",
            "CREATE TABLE d.state (k BIGINT NOT NULL, id BIGINT, v BIGINT) PRIMARY KEY(k) PROPERTIES (\"replication_num\" = \"1\")",
        ] {
            metadata.execute(statement).await.map_err(|e| anyhow::anyhow!(e.chain()))?;
        }
        Ok(())
    })
}

fn compare(warehouse: &Warehouse, truth: &Truth) -> Result<()> {
    let metadata = warehouse.metadata()?;
    runtime()?.block_on(async {
        let numbers = async |sql: &str| -> Result<Vec<Vec<u64>>> {
            let rows = metadata.query(sql).await.map_err(|e| anyhow::anyhow!(e.chain()))?;
            let number = |cell: Option<String>| cell.and_then(|t| t.parse().ok()).unwrap_or(0);
            Ok(rows.into_iter().map(|row| row.into_iter().map(number).collect()).collect())
        };
        let found = numbers("SELECT COUNT(*), COUNT(DISTINCT id), SUM(id), SUM(v) FROM d.log").await?;
        let expected = vec![truth.rows, truth.rows, truth.id_sum, truth.value_sum];
        let found = found.first().cloned().unwrap_or_default();
        if found != expected {
            let (count, distinct) = (found.first().copied().unwrap_or(0), found.get(1).copied().unwrap_or(0));
            bail!(
                "duplicate-key table: rows, distinct ids, sum of ids, sum of values are {found:?} instead of {expected:?}: {} lost, {} doubled",
                truth.rows.saturating_sub(distinct),
                count.saturating_sub(distinct)
            );
        }
        let mut rows = numbers("SELECT k, id, v FROM d.state").await?;
        rows.sort();
        let expected: Vec<Vec<u64>> = truth.last.iter().map(|(k, (id, v))| vec![*k, *id, *v]).collect();
        if rows != expected {
            let wrong = rows.iter().zip(&expected).find(|(a, b)| a != b);
            bail!("primary-key table: {} keys instead of {}; first difference {wrong:?}", rows.len(), expected.len());
        }
        Ok(())
    })
}

/// Writes lines to the partitions of a topic, in order.
pub fn produce(bootstrap: &str, topic: &str, splits: &[Vec<String>]) -> Result<()> {
    let producer: BaseProducer = KafkaConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("linger.ms", "20")
        .set("queue.buffering.max.messages", "1000000")
        .create()?;
    for (partition, lines) in splits.iter().enumerate() {
        for line in lines {
            let mut record = BaseRecord::<(), str>::to(topic).partition(partition as i32).payload(line);
            loop {
                match producer.send(record) {
                    Ok(()) => break,
                    Err((error, back)) => {
                        if error.rdkafka_error_code() != Some(rdkafka::types::RDKafkaErrorCode::QueueFull) {
                            return Err(error.into());
                        }
                        producer.poll(Duration::from_millis(50));
                        record = back;
                    }
                }
            }
        }
    }
    producer.flush(Duration::from_secs(120))?;
    Ok(())
}
