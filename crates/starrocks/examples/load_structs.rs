//! Loads Rust structs; their field names are the table's columns.
//!
//! `cargo run -p starweir-starrocks --example load_structs -- fe1:8030`
//!
//! The table: `CREATE TABLE shop.orders (id BIGINT NOT NULL, item VARCHAR(64), price DECIMAL(10, 2)) PRIMARY KEY (id)`.

use serde::Serialize;
use starweir_model::{Error, Label, Result, TableName};
use starweir_starrocks::{Client, ClientConfig, LoadRequest, RetryPolicy, encode};

#[derive(Serialize)]
struct Order {
    id: i64,
    item: &'static str,
    /// Decimals go as text: a binary fraction would not be the same number.
    price: &'static str,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8030".into());
    let password = std::env::var("STARROCKS_PASSWORD").unwrap_or_default();
    let client = Client::new(ClientConfig::new(&address)?.with_login("root", password))?;

    let orders = [Order { id: 1, item: "lamp", price: "19.90" }, Order { id: 2, item: "chair", price: "120.00" }];
    let (body, headers) = encode::json_rows(&orders)?;
    let request = LoadRequest {
        table: TableName::new("shop", "orders"),
        label: Label::new("orders-first-batch").ok_or_else(|| Error::user("not a label"))?,
        headers,
        body,
    };
    let resolved = client.resolve_load(&request, &RetryPolicy::default()).await?;
    println!("{:?} after {} attempts", resolved.done, resolved.attempts);
    Ok(())
}
