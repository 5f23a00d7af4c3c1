//! A warehouse on fixed ports, for tests with other clients:
//! `cargo run --example serve -- [mysql port] [http port] [be port] [data directory]`.

use starweir_warehouse::{Config, Warehouse};

#[tokio::main]
async fn main() -> starweir_model::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let port = |i: usize| args.get(i).and_then(|p| p.parse().ok()).unwrap_or(0);
    let config = Config {
        mysql_port: port(0),
        http_port: port(1),
        be_port: port(2),
        data_dir: args.get(3).map(Into::into),
        allow_faults: true,
        ..Config::default()
    };
    let warehouse = Warehouse::start(config).await?;
    println!("mysql {} http {} be {}", warehouse.mysql_addr(), warehouse.http_addr(), warehouse.be_addr());
    let _ = tokio::signal::ctrl_c().await;
    warehouse.shutdown().await
}
