//! Asks a StarRocks table whether it would take rows: a transaction that is rolled back whatever the answer.

use starweir_engine::Chunk;
use starweir_model::{Error, ErrorKind, Label, Result};
use starweir_starrocks::{Body, LoadRequest, Step, TransactionRequest};

use super::sink::Shared;

/// Why the server rejects the rows; None when it takes them, or has no transactions to try it by. Nothing becomes
/// visible. The server looks at rows in the load and counts what it filtered at the latest in the prepare.
pub(super) async fn refusal(
    shared: &Shared,
    label: Label,
    headers: Vec<(String, String)>,
    rows: Chunk,
) -> Result<Option<Error>> {
    if !shared.client.metadata()?.version().await?.has_transactions() {
        return Ok(None);
    }
    let (client, policy, table) = (&shared.client, shared.policy(), &shared.options.table);
    let request = TransactionRequest { table: table.clone(), label: label.clone(), headers: Vec::new() };
    client.begin_transaction(&request, &policy).await.map_err(|e| shared.rejected(e))?;
    let request =
        LoadRequest { table: table.clone(), label: label.clone(), headers, body: Body::new(vec![rows.bytes]) };
    let mut step = client.load_into_transaction(&request, &policy).await;
    if matches!(step, Ok(Step::Done(_))) {
        step = client.prepare_transaction(table, &label, None, &policy).await;
    }
    let outcome = match step {
        Ok(Step::Done(_)) => Ok(None),
        Ok(Step::Lost(error)) => {
            Err(Error::unavailable(format!("table {table}: a trial was lost")).with_source(error.chain()))
        }
        Err(error) if error.kind == ErrorKind::Data => Ok(Some(shared.rejected(error))),
        Err(error) => Err(shared.rejected(error)),
    };
    // A rejected transaction may be gone already.
    let rolled_back = client.resolve_rollback(table, &label, &policy).await;
    if let (Ok(None), Err(error)) = (&outcome, rolled_back) {
        return Err(shared.rejected(error));
    }
    outcome
}
