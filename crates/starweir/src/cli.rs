//! The command line: what can be typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const AFTER: &str = "\
Start here:
  starweir run examples/orders/orders.sql --local     a script into a StarRocks inside this process
  starweir run pipeline.yaml --local                  whole databases by a Flink-CDC pipeline file
  starweir plan job.sql                               what a script would do, before it does it
  starweir validate job.sql --online                  is everything there and allowed?
  starweir run job.sql --state ./state                exactly once, over restarts
  starweir sql --local=./warehouse                    type SQL, here or with -h at any StarRocks

Exit codes: 0 done, 1 the job failed, 2 the script or its options are wrong, 3 an outside system refused or is
unreachable. Data goes to standard output, everything else to standard error.";

/// Runs Flink SQL scripts and Flink-CDC pipelines into StarRocks: exactly once, from one process.
#[derive(Debug, Parser)]
#[command(name = "starweir", version, about, after_help = AFTER, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// How log lines are written to standard error.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Which log lines are written, such as `info` or `warn,starweir_starrocks=debug`.
    #[arg(long, global = true, env = "STARWEIR_LOG", default_value = "warn")]
    pub log: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a script until its sources end, or until Ctrl-C.
    Run(RunArgs),
    /// Check a script without running it.
    Validate(ValidateArgs),
    /// Show what a script would do: target tables, type mapping, keys, delivery, transactions per minute.
    Plan(ScriptArgs),
    /// Show how each insert is carried out.
    Explain(ScriptArgs),
    /// Run the tests of a pipeline: events in, expected events out, no database.
    Test(TestArgs),
    /// Read tables of a pipeline again from their beginning, into emptied tables, while it runs.
    Resync(ResyncArgs),
    /// Rows that a pipeline could not deliver: list, replay or discard them.
    #[command(subcommand)]
    DeadLetters(LettersCommand),
    /// Serve a local warehouse that speaks StarRocks' protocols.
    Warehouse(WarehouseArgs),
    /// Type SQL: a shell for the warehouse and for any StarRocks.
    Sql(SqlArgs),
    /// Print a completion script for a shell.
    Completion {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Clone, Args)]
pub struct ScriptArgs {
    /// The Flink SQL script, or a Flink-CDC pipeline (`.yaml`, `.yml`).
    pub script: PathBuf,
    /// Change a setting (`execution.checkpointing.interval=3s`), an option of a table (`orders.load-url=fe:8030`), or
    /// several (`orders='topic'='o','format'='json'`). A connector's name stands for all its tables
    /// (`starrocks.load-url=fe:8030`).
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Write machine-readable output.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub script: ScriptArgs,
    /// Send every StarRocks table to a local warehouse inside this process, whatever its addresses say; what is missing
    /// there is created. With a directory the data is kept.
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    pub local: Option<Option<PathBuf>>,
    /// Keep the job's position and open transactions here, to go on from the last epoch at the next start.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Ignore the saved state: abort the transactions it left open and read from the start.
    #[arg(long)]
    pub fresh: bool,
    /// Serve Prometheus metrics (/metrics) and a health check (/health) here.
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<SocketAddr>,
    /// End the process at a step of the epoch protocol: NAME or NAME:N for the Nth time. For tests.
    #[arg(long, hide = true, value_name = "STEP")]
    pub die_at: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct ResyncArgs {
    #[command(flatten)]
    pub script: ScriptArgs,
    /// Source tables, as `database.table` (PostgreSQL: `schema.table`).
    #[arg(required = true)]
    pub tables: Vec<String>,
    /// The state directory that the pipeline runs with.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// The directory of the local warehouse that the pipeline runs with.
    #[arg(long, value_name = "DIR", require_equals = true)]
    pub local: Option<PathBuf>,
}

#[derive(Debug, Clone, Subcommand)]
pub enum LettersCommand {
    /// Show the letters that wait.
    List(LettersArgs),
    /// Send letters through the pipeline's rules as they are now. What is delivered is taken out.
    Replay(LettersArgs),
    /// Take letters out without delivering them.
    Discard(LettersArgs),
}

#[derive(Debug, Clone, Args)]
pub struct LettersArgs {
    #[command(flatten)]
    pub script: ScriptArgs,
    /// Only these letters, by the ids that `list` shows. `discard` without any takes all out.
    #[arg(long = "id", value_name = "ID")]
    pub ids: Vec<String>,
    /// The pipeline writes into the local warehouse in this directory.
    #[arg(long, value_name = "DIR", require_equals = true)]
    pub local: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct TestArgs {
    /// A YAML file with `pipeline` (the file under test) and `cases`, each with `name`, `input` and `expect`.
    pub file: PathBuf,
    /// Write machine-readable output.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct ValidateArgs {
    #[command(flatten)]
    pub script: ScriptArgs,
    /// Also ask the outside systems: reachability, tables, columns, privileges.
    #[arg(long)]
    pub online: bool,
}

#[derive(Debug, Clone, Args)]
pub struct WarehouseArgs {
    /// Where the data lives.
    #[arg(long, value_name = "DIR", required_unless_present = "ephemeral")]
    pub data: Option<PathBuf>,
    /// Keep nothing: for tests and CI.
    #[arg(long, conflicts_with = "data")]
    pub ephemeral: bool,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: std::net::IpAddr,
    /// Port of the MySQL protocol; 0 for any free one.
    #[arg(long, default_value_t = 9030)]
    pub mysql_port: u16,
    /// Port of the FE's HTTP interface.
    #[arg(long, default_value_t = 8030)]
    pub http_port: u16,
    /// Port of the BE's HTTP interface, where loads are redirected to.
    #[arg(long, default_value_t = 8040)]
    pub be_port: u16,
    /// The administrator, who may do everything. Others are made by CREATE USER.
    #[arg(long, default_value = "root")]
    pub user: String,
    /// The administrator's password for this run. Without it, the one that SET PASSWORD or ALTER USER has set, or none.
    #[arg(long, env = "STARWEIR_WAREHOUSE_PASSWORD", default_value = "", hide_env_values = true)]
    pub password: String,
    /// Offer TLS on the MySQL port, with a certificate of the warehouse's own making unless one is given.
    #[arg(long)]
    pub tls: bool,
    /// The certificate chain of TLS (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Allow `POST /api/starweir/faults`, which makes the warehouse misbehave on demand.
    #[arg(long)]
    pub allow_faults: bool,
    /// Memory for queries and loads.
    #[arg(long, default_value = "2 gb", value_name = "SIZE")]
    pub memory: String,
}

#[derive(Debug, Clone, Args)]
#[command(disable_help_flag = true)]
pub struct SqlArgs {
    /// The FE, or the warehouse.
    #[arg(short = 'h', long, default_value = "127.0.0.1")]
    pub host: String,
    /// Its MySQL port.
    #[arg(short = 'P', long, default_value_t = 9030)]
    pub port: u16,
    #[arg(short, long, default_value = "root")]
    pub user: String,
    /// The password; it is asked for when none is given. Better in the environment than in the list of processes.
    #[arg(short, long, env = "STARWEIR_SQL_PASSWORD", hide_env_values = true, num_args = 0..=1, require_equals = true)]
    pub password: Option<Option<String>>,
    /// The database to begin in.
    #[arg(short = 'D', long)]
    pub database: Option<String>,
    /// Run these statements and end. May be given several times.
    #[arg(short, long, value_name = "SQL")]
    pub execute: Vec<String>,
    /// Run the statements of these files and end. Without -e and files they come from standard input.
    pub files: Vec<PathBuf>,
    /// Open a warehouse inside of this process: the one of a directory, or an empty one that goes with the shell.
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, conflicts_with_all = ["host", "port", "user", "tls", "tls_ca", "tls_insecure"])]
    pub local: Option<Option<PathBuf>>,
    /// How rows are written. By default a table in a terminal, else tab-separated.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<crate::sql::Format>,
    /// Short for --format json: an object for each row.
    #[arg(long, conflicts_with_all = ["format", "csv"])]
    pub json: bool,
    /// Short for --format csv.
    #[arg(long, conflicts_with = "format")]
    pub csv: bool,
    /// Say nothing but errors on standard error: no times, no row counts.
    #[arg(short, long)]
    pub quiet: bool,
    /// Go on after a statement that failed. The exit code still tells.
    #[arg(short, long)]
    pub force: bool,
    /// Do not fetch names for completion: for clusters with very many tables.
    #[arg(short = 'A', long)]
    pub no_completion: bool,
    /// Connect by TLS.
    #[arg(long)]
    pub tls: bool,
    /// Connect by TLS and trust the certificates of this file (PEM).
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Connect by TLS and trust any certificate.
    #[arg(long)]
    pub tls_insecure: bool,
    /// Print help.
    #[arg(long, action = clap::ArgAction::Help)]
    pub help: Option<bool>,
}
