#[path = "../../../xtask/src/conformance/mod.rs"]
mod conformance;
use clap::Parser;
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: conformance::Args,
}
fn main() -> anyhow::Result<std::process::ExitCode> {
    conformance::main(Cli::parse().args)
}
