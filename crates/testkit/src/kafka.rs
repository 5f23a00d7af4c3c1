//! A real Apache Kafka (KRaft, one node) from its Java artifacts, by Maven, on the loopback address.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::{Server, free_port, wait_until};

const VERSION: &str = "3.9.2";

/// A broker with its data in a folder; started again on it after a kill.
pub struct Kafka {
    folder: PathBuf,
    class_path: String,
    port: u16,
    server: Option<Server>,
}

/// The class path of the broker; Maven fetches it once into a cache folder.
fn class_path() -> Result<String> {
    let home = std::env::var("HOME").unwrap_or_else(|_| ".".into());
    let cache = std::env::var("XDG_CACHE_HOME").map_or_else(|_| PathBuf::from(home).join(".cache"), PathBuf::from);
    let folder = cache.join("starweir").join(format!("kafka-{VERSION}"));
    let listed = folder.join("classpath");
    if let Ok(text) = std::fs::read_to_string(&listed)
        && text.split(':').all(|jar| Path::new(jar).exists())
    {
        return Ok(text);
    }
    std::fs::create_dir_all(&folder)?;
    let artifact = |group: &str, name: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
        )
    };
    let pom = format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>starweir</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>\
         <dependencies>{}{}{}</dependencies></project>",
        artifact("org.apache.kafka", "kafka_2.13", VERSION),
        artifact("org.apache.kafka", "kafka-tools", VERSION),
        artifact("org.slf4j", "slf4j-reload4j", "1.7.36"),
    );
    std::fs::write(folder.join("pom.xml"), pom)?;
    let done = Command::new("mvn")
        .args(["-B", "-ntp", "-q", "-f"])
        .arg(folder.join("pom.xml"))
        .arg("org.apache.maven.plugins:maven-dependency-plugin:3.6.1:build-classpath")
        .arg(format!("-Dmdep.outputFile={}", listed.display()))
        .stdin(Stdio::null())
        .status()
        .context("mvn could not be started: a JDK 17 and Maven are needed for a real Kafka")?;
    if !done.success() {
        bail!("Maven could not fetch Kafka {VERSION}");
    }
    Ok(std::fs::read_to_string(&listed)?)
}

impl Kafka {
    /// A broker in this folder, with `topics` (name, partitions). `port` None: any free one.
    pub fn start(folder: &Path, port: Option<u16>, topics: &[(&str, u32)]) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let port = port.map_or_else(free_port, Ok)?;
        let mut kafka = Self { folder: folder.canonicalize()?, class_path: class_path()?, port, server: None };
        let properties = kafka.folder.join("server.properties");
        if !properties.exists() {
            let controller = free_port()?;
            let data = kafka.folder.join("data");
            std::fs::write(
                &properties,
                format!(
                    "process.roles=broker,controller\nnode.id=1\n\
                     controller.quorum.voters=1@127.0.0.1:{controller}\n\
                     listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
                     advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
                     controller.listener.names=CONTROLLER\n\
                     listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
                     inter.broker.listener.name=PLAINTEXT\nlog.dirs={}\n\
                     offsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\n\
                     transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
                     transaction.state.log.num.partitions=4\ngroup.initial.rebalance.delay.ms=0\n\
                     num.network.threads=2\nnum.io.threads=2\nlog.cleaner.dedupe.buffer.size=16777216\n",
                    data.display()
                ),
            )?;
            let id = "c3RhcndlaXItdGVzdC0wMQ";
            let formatted = kafka
                .java("128m")
                .args(["kafka.tools.StorageTool", "format", "-t", id, "-c"])
                .arg(&properties)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .context("java could not be started")?;
            if !formatted.success() {
                bail!("Kafka's folder could not be formatted");
            }
        }
        kafka.up()?;
        for (topic, partitions) in topics {
            kafka.create_topic(topic, *partitions)?;
        }
        Ok(kafka)
    }

    fn java(&self, heap: &str) -> Command {
        let mut command = Command::new("java");
        command.args([
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Djava.awt.headless=true",
            "-Djava.net.preferIPv4Stack=true",
        ]);
        command.arg(format!("-Xmx{heap}")).arg("-cp").arg(&self.class_path).stdin(Stdio::null());
        command
    }

    /// Starts the broker (again) and waits until it answers.
    pub fn up(&mut self) -> Result<()> {
        let log = std::fs::File::create(self.folder.join("kafka.log"))?;
        let mut command = self.java("384m");
        command.arg("kafka.Kafka").arg(self.folder.join("server.properties"));
        command.stdout(log.try_clone()?).stderr(log);
        let mut server = Server::spawn("Kafka", &mut command)?;
        let (log, port) = (self.folder.join("kafka.log"), self.port);
        wait_until("Kafka to start", Duration::from_secs(90), || {
            if let Some(code) = server.ended()? {
                bail!("Kafka ended with {code}; see {}", log.display());
            }
            let started = std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
            // It listens a little before it serves.
            Ok(started
                && std::fs::read_to_string(&log).is_ok_and(|text| {
                    text.is_empty() || text.contains("log4j") || text.contains("Kafka Server started")
                }))
        })?;
        self.server = Some(server);
        Ok(())
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.server = None;
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Server::id)
    }

    pub fn create_topic(&self, name: &str, partitions: u32) -> Result<()> {
        let mut last = String::new();
        // The controller may still be electing itself.
        for _ in 0..10 {
            let output = self
                .java("128m")
                .args([
                    "org.apache.kafka.tools.TopicCommand",
                    "--bootstrap-server",
                    &self.bootstrap(),
                    "--create",
                    "--if-not-exists",
                ])
                .args(["--topic", name, "--partitions", &partitions.to_string(), "--replication-factor", "1"])
                .output()?;
            if output.status.success() {
                return Ok(());
            }
            last = String::from_utf8_lossy(&output.stdout).into_owned();
            std::thread::sleep(Duration::from_millis(500));
        }
        bail!("topic {name} could not be created: {last}")
    }
}
