//! `starweir sql`: a shell for the warehouse and for any StarRocks.

mod client;
mod complete;
mod output;
mod script;
mod shell;
mod split;

use std::io::{IsTerminal as _, Read as _};
use std::time::Instant;

use mysql_async::SslOpts;
use starweir_warehouse::{Config, Warehouse};

use crate::cli::SqlArgs;
use crate::report;
use client::{Client, Failure, Target, Told};
pub use output::Format;

/// Exit code of a server that cannot be reached or lets nobody in.
const EXIT_CONNECTION: u8 = 3;

/// A connection and how its results are shown.
pub struct Session {
    client: Client,
    format: Format,
    /// Says nothing but errors on standard error.
    quiet: bool,
    /// Goes on after a statement that failed.
    force: bool,
    /// Fetches names for completion.
    completes: bool,
}

impl Session {
    /// Runs a statement, prints its rows, and says on standard error what it was.
    async fn run(&mut self, sql: &str, format: Format) -> Result<(), Failure> {
        let began = Instant::now();
        let told = self.client.run(sql, format, &mut std::io::stdout().lock()).await?;
        if self.quiet {
            return Ok(());
        }
        let seconds = began.elapsed().as_secs_f64();
        for t in told {
            match t {
                Told::Rows(0) => eprintln!("Empty set ({seconds:.3} s)"),
                Told::Rows(n) => eprintln!("{n} {} in set ({seconds:.3} s)", rows(n)),
                Told::Affected { rows: n, info } => {
                    let info = if info.is_empty() { String::new() } else { format!("\n{info}") };
                    eprintln!("Query OK, {n} {} affected ({seconds:.3} s){info}", rows(n));
                }
            }
        }
        Ok(())
    }
}

fn rows(n: u64) -> &'static str {
    if n == 1 { "row" } else { "rows" }
}

pub async fn command(args: SqlArgs) -> u8 {
    // Kept for as long as the shell runs.
    let (warehouse, target) = match target(&args).await {
        Ok(found) => found,
        Err(code) => return code,
    };
    let code = Box::pin(with_target(args, target)).await;
    match warehouse {
        None => code,
        Some(warehouse) => match warehouse.shutdown().await {
            Ok(()) => code,
            Err(e) => report::error(&e),
        },
    }
}

/// Where to connect; with `--local`, the warehouse that was started for it.
async fn target(args: &SqlArgs) -> Result<(Option<Warehouse>, Target), u8> {
    if let Some(dir) = &args.local {
        let config = Config { data_dir: dir.clone(), ..Config::default() };
        let warehouse = Warehouse::start(config).await.map_err(|e| report::error(&e))?;
        let address = warehouse.mysql_addr();
        let (user, password) = warehouse.local_login();
        let target = Target { host: address.ip().to_string(), port: address.port(), user, password, tls: None };
        return Ok((Some(warehouse), target));
    }
    let password = match &args.password {
        None => String::new(),
        Some(Some(password)) => password.clone(),
        Some(None) => shell::ask_password().map_err(|e| {
            eprintln!("Error: no password was typed: {e}");
            report::EXIT_USER
        })?,
    };
    let tls = (args.tls || args.tls_ca.is_some() || args.tls_insecure).then(|| {
        let mut tls = SslOpts::default();
        if let Some(file) = &args.tls_ca {
            tls = tls.with_root_certs(vec![file.clone().into()]);
        }
        tls.with_danger_accept_invalid_certs(args.tls_insecure)
    });
    Ok((None, Target { host: args.host.clone(), port: args.port, user: args.user.clone(), password, tls }))
}

async fn with_target(args: SqlArgs, target: Target) -> u8 {
    let typed = args.execute.is_empty() && args.files.is_empty() && std::io::stdin().is_terminal();
    let place = format!("{}:{} as {}", target.host, target.port, target.user);
    let client = match Client::connect(target, args.database.clone()).await {
        Ok(client) => client,
        Err(e) => {
            report::error(&e);
            return EXIT_CONNECTION;
        }
    };
    let default = if std::io::stdout().is_terminal() { Format::Table } else { Format::Tab };
    let format = match (args.format, args.json, args.csv) {
        (Some(format), ..) => format,
        (None, true, _) => Format::Json,
        (None, _, true) => Format::Csv,
        (None, false, false) => default,
    };
    let mut session = Session { client, format, quiet: args.quiet, force: args.force, completes: !args.no_completion };
    let code = if typed {
        greet(&mut session, args.local.is_some(), &place).await;
        shell::run(&mut session).await
    } else {
        scripts(&mut session, &args).await
    };
    session.client.close().await;
    code
}

async fn greet(session: &mut Session, local: bool, place: &str) {
    if session.quiet {
        return;
    }
    let version = session.client.texts("SELECT current_version()").await.unwrap_or_default();
    let version = version.into_iter().flatten().next().unwrap_or_else(|| "of an unknown version".into());
    let place = if local { "inside this process".to_string() } else { format!("at {place}") };
    eprintln!("StarRocks {version} {place}. End statements with ; or \\G. Type \\h for help, Ctrl-D to end.");
}

/// `-e`, then files, else standard input.
async fn scripts(session: &mut Session, args: &SqlArgs) -> u8 {
    let mut worst = 0;
    for text in &args.execute {
        worst = script::run(session, text, "-e").await.max(worst);
        if worst != 0 && !session.force {
            return worst;
        }
    }
    for file in &args.files {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(e) => {
                eprintln!("Error: {} cannot be read: {e}", file.display());
                return report::EXIT_USER;
            }
        };
        worst = script::run(session, &text, &file.display().to_string()).await.max(worst);
        if worst != 0 && !session.force {
            return worst;
        }
    }
    if args.execute.is_empty() && args.files.is_empty() {
        let mut text = String::new();
        if let Err(e) = std::io::stdin().read_to_string(&mut text) {
            eprintln!("Error: standard input cannot be read: {e}");
            return report::EXIT_USER;
        }
        worst = script::run(session, &text, "standard input").await;
    }
    worst
}
