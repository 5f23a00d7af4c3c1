//! Starweir: Flink SQL scripts into StarRocks, exactly once, from one process.
//!
//! Commands, configuration and output; everything else is in the library crates. See `ARCHITECTURE.md`.

mod cli;
mod grid;
mod letters;
mod local;
mod metrics;
mod pipeline;
mod plan;
mod progress;
mod report;
mod run;
mod script;
mod sql;
mod summary;
mod test;
mod validate;
mod warehouse;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use cli::{Cli, Command, LogFormat};

fn main() -> ExitCode {
    let started_ms = starweir_model::Clock::now_ms(&starweir_model::SystemClock);
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_new(&cli.log).unwrap_or_else(|_| {
        eprintln!("note: --log {} cannot be read; using warn", cli.log);
        tracing_subscriber::EnvFilter::new("warn")
    });
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match cli.log_format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
    if let Command::Completion { shell } = cli.command {
        clap_complete::generate(shell, &mut Cli::command(), "starweir", &mut std::io::stdout());
        return ExitCode::SUCCESS;
    }
    // Reading and encoding have threads of their own; these only wait for the network.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("Error: the process could not be set up: {e}");
            return ExitCode::from(1);
        }
    };
    let code = runtime.block_on(async {
        match cli.command {
            Command::Run(args) => Box::pin(run::command(args, started_ms)).await,
            Command::Validate(args) => Box::pin(validate::command(args)).await,
            Command::Plan(args) => Box::pin(plan::command(&args)).await,
            Command::Explain(args) => plan::explain(&args),
            Command::Resync(args) => pipeline::resync(&args),
            Command::DeadLetters(command) => Box::pin(letters::command(command)).await,
            Command::Test(args) => test::command(&args),
            Command::Warehouse(args) => Box::pin(warehouse::command(args)).await,
            Command::Sql(args) => Box::pin(sql::command(args)).await,
            Command::Completion { .. } => 0,
        }
    });
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    ExitCode::from(code)
}
