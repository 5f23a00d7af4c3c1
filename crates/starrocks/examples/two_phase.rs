//! Exactly once by hand: prepare, write down that it is prepared, commit.
//!
//! `cargo run -p starweir-starrocks --example two_phase -- fe1:8030 state.txt`
//!
//! Kill it wherever you like and start it again: the rows are in the table once. The state file is the commit
//! point: a label that stands in it is committed, one that does not is rolled back and loaded again.

use std::fs;
use std::io::Write;

use starweir_model::{Error, Label, Result, TableName};
use starweir_starrocks::{
    Client, ClientConfig, CsvEncoder, CsvOptions, LoadEncoder, Operations, RetryPolicy, TransactionLoad,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(state)) = (arguments.next(), arguments.next()) else {
        return Err(Error::user("arguments: FE-ADDRESS STATE-FILE"));
    };
    let password = std::env::var("STARROCKS_PASSWORD").unwrap_or_default();
    let client = Client::new(ClientConfig::new(&address)?.with_login("root", password))?;
    let policy = RetryPolicy::default();
    let table = TableName::new("shop", "orders");
    // A label is made from what it stands for, never by chance: the next start must find the same one.
    let label = Label::new("two-phase-example-epoch-1").ok_or_else(|| Error::user("not a label"))?;

    let written = fs::read_to_string(&state).unwrap_or_default();
    if written.trim() != label.as_str() {
        let encoder = CsvEncoder::new(vec!["id".into(), "item".into()], CsvOptions::default(), Operations::Append)?;
        let load = TransactionLoad {
            table: table.clone(),
            label: label.clone(),
            begin_headers: vec![("timeout".into(), "600".into())],
            load_headers: encoder.headers(),
            bodies: vec!["1\x01lamp\x022\x01chair\x02".into()],
            prepared_timeout_s: Some(86_400),
        };
        client.resolve_prepare(&load, &policy).await?;
        write_durably(&state, label.as_str())
            .map_err(|e| Error::internal("the state file could not be written").with_source(e))?;
    }
    let resolved = client.resolve_commit(&table, &label, &policy).await?;
    println!("committed: {:?}", resolved.done);
    Ok(())
}

/// Whole or not at all, also when the machine stops: write beside it, flush to disk, rename.
fn write_durably(path: &str, text: &str) -> std::io::Result<()> {
    let beside = format!("{path}.new");
    let mut file = fs::File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(beside, path)
}
