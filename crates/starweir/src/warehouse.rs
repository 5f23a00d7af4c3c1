//! `starweir warehouse`: a local StarRocks on its own.

use std::sync::Arc;

use starweir_model::SystemClock;
use starweir_model::option::parse_size;
use starweir_warehouse::{Config, Tls, Warehouse};

use crate::cli::WarehouseArgs;
use crate::report;

pub async fn command(args: WarehouseArgs) -> u8 {
    let Some(memory_bytes) = parse_size(&args.memory) else {
        eprintln!("Error: --memory {}: write a size such as `2 gb`", args.memory);
        return report::EXIT_USER;
    };
    let config = Config {
        data_dir: args.data.clone(),
        host: args.host,
        mysql_port: args.mysql_port,
        http_port: args.http_port,
        be_port: args.be_port,
        user: args.user.clone(),
        password: args.password.clone(),
        tls: match (args.tls_cert.clone(), args.tls_key.clone()) {
            (Some(certificate), Some(key)) => Tls::Files { certificate, key },
            _ if args.tls => Tls::Own,
            _ => Tls::Off,
        },
        allow_faults: args.allow_faults,
        memory_bytes,
        clock: Arc::new(SystemClock),
    };
    let warehouse = match Warehouse::start(config).await {
        Ok(warehouse) => warehouse,
        Err(error) => return report::error(&error),
    };
    let (mysql, http) = (warehouse.mysql_addr(), warehouse.http_addr());
    let (host, port, user) = (mysql.ip(), mysql.port(), &args.user);
    let ask = if args.password.is_empty() { "" } else { " -p" };
    eprintln!(
        "A local StarRocks for development and tests; its data is {}.",
        match &args.data {
            Some(dir) => format!("kept in {}", dir.display()),
            None => "gone when it stops".to_owned(),
        }
    );
    eprintln!("  mysql       mysql -h {host} -P {port} -u {user}{ask}");
    eprintln!("  JDBC        jdbc:mysql://{host}:{port}/");
    eprintln!("  SQLAlchemy  starrocks://{user}@{host}:{port}/");
    eprintln!("  load-url    {http}   (BE {})", warehouse.be_addr());
    // For scripts: one line on standard output once everything answers.
    println!("ready mysql={mysql} http={http} be={}", warehouse.be_addr());
    let stopped = wait_for_stop().await;
    if let Err(e) = stopped {
        eprintln!("Error: {e}");
    }
    match warehouse.shutdown().await {
        Ok(()) => 0,
        Err(error) => report::error(&error),
    }
}

/// Ctrl-C or a polite request to end.
pub async fn wait_for_stop() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
