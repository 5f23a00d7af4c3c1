//! The project's chores: `cargo xtask --help`.

mod bench;
mod binary;
mod chaos;
mod clients;
mod conformance;
mod docs;
mod lane;
mod links;
mod mysql_table;
mod services;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Development tasks of Starweir")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run a conformance suite against its cases and compare with the committed baseline.
    Conformance(conformance::Args),
    /// Kill processes at random and compare what arrived with what was sent.
    Chaos(chaos::Args),
    /// Measure.
    Bench(bench::Args),
    /// Write the generated reference pages, or check that they are up to date.
    Docs(docs::Args),
    /// Real clients against the warehouse: command line, Python, curl, the Java connector.
    Lane(lane::Args),
    /// Start or stop a real server for tests.
    Services(services::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Conformance(args) => conformance::main(args),
        Task::Chaos(args) => chaos::main(&args),
        Task::Bench(args) => bench::main(&args),
        Task::Docs(args) => docs::main(&args),
        Task::Lane(args) => lane::main(&args),
        Task::Services(args) => services::main(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("Error: {error:#}");
        ExitCode::from(1)
    })
}
