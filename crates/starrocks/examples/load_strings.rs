//! Loads JSON texts from standard input, one object per line, exactly once per label.
//!
//! `cargo run -p starweir-starrocks --example load_strings -- fe1:8030 shop.customers my-label < rows.jsonl`

use std::io::Read;

use starweir_model::{Error, Label, Result, TableName};
use starweir_starrocks::{Client, ClientConfig, Done, LoadRequest, RetryPolicy, encode};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, table, label] = arguments.as_slice() else {
        return Err(Error::user("arguments: FE-ADDRESS DATABASE.TABLE LABEL"));
    };
    let (database, table) = table.split_once('.').ok_or_else(|| Error::user("the table is written DATABASE.TABLE"))?;
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|e| Error::user("standard input is not text").with_source(e))?;

    let password = std::env::var("STARROCKS_PASSWORD").unwrap_or_default();
    let client = Client::new(ClientConfig::new(address)?.with_login("root", password))?;
    let (body, headers) = encode::json_lines(text.lines().filter(|l| !l.trim().is_empty()))?;
    let request = LoadRequest {
        table: TableName::new(database, table),
        label: Label::new(label.as_str())
            .ok_or_else(|| Error::user("a label has 1 to 128 letters, digits, - and _"))?,
        headers,
        body,
    };
    let resolved = client.resolve_load(&request, &RetryPolicy::default()).await?;
    match (resolved.done, resolved.answer) {
        (Done::Before, _) => println!("the label was loaded before: nothing was added"),
        (_, Some(answer)) => println!("{} rows loaded in {} ms", answer.rows_loaded, answer.load_ms),
        (_, None) => println!("loaded"),
    }
    Ok(())
}
