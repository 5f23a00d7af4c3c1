//! Reading one chunk of a table: the rows between two keys together with what the read contains of the log.

use std::time::Duration;

use futures::StreamExt as _;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Row};
use serde::{Deserialize, Serialize};
use starweir_formats::mysql::{Kind, RowBatch, Table, TableKey, ValueOptions};
use starweir_model::{ChangeBatch, Error, Result, RowKind, TableSchema};

use tokio::sync::mpsc;

use super::connect::{connect, failed, rows};
use super::options::Settings;
use super::position::Place;
use super::schema::quoted;
use super::server::{Marks, Server, gtid_executed, log_status, must_run, snapshot_position};
use super::values::{cell, key_by_number, key_literal};

/// A view that does not contain everything streamed by now is taken again after this pause, for this long.
const VISIBLE_PAUSE: Duration = Duration::from_millis(2);
const VISIBLE_PATIENCE: Duration = Duration::from_secs(60);
/// Without a safe mark: how long a transaction may take from the log to being visible.
const DELAY: Duration = Duration::from_secs(5);

/// Keys after `low` up to and with `high`, as literals; None is open.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeyRange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<Vec<String>>,
}

/// How to read a table.
#[derive(Debug, Clone)]
pub(super) struct TableRead {
    pub key: TableKey,
    pub columns: Vec<(String, Kind)>,
    /// Positions of the primary key's columns.
    pub primary: Vec<usize>,
    pub schema: TableSchema,
    pub values: ValueOptions,
}

impl TableRead {
    pub fn new(key: TableKey, table: &Table, schema: TableSchema, values: ValueOptions) -> Self {
        Self {
            key,
            columns: table.columns.iter().map(|c| (c.name.clone(), c.column_type.kind)).collect(),
            primary: schema.primary_key_indices(),
            schema,
            values,
        }
    }

    fn name(&self) -> String {
        format!("{}.{}", quoted(&self.key.0), quoted(&self.key.1))
    }

    fn key_expression(&self, at: usize) -> String {
        let (name, kind) = &self.columns[at];
        if key_by_number(*kind) { format!("({} + 0)", quoted(name)) } else { quoted(name) }
    }

    fn key_expressions(&self) -> Vec<String> {
        self.primary.iter().map(|at| self.key_expression(*at)).collect()
    }

    fn condition(&self, range: &KeyRange) -> String {
        let keys = self.key_expressions();
        let mut parts = Vec::new();
        if let Some(low) = &range.low {
            parts.push(compare(&keys, low, '>', false));
        }
        if let Some(high) = &range.high {
            parts.push(compare(&keys, high, '<', true));
        }
        if parts.is_empty() { String::new() } else { format!(" WHERE {}", parts.join(" AND ")) }
    }

    /// The key at the end of the next `rows` keys after `low`; None when there are not so many.
    pub async fn split(
        &self,
        conn: &mut Conn,
        low: Option<&Vec<String>>,
        rows_max: u64,
    ) -> Result<Option<Vec<String>>> {
        let keys = self.key_expressions().join(", ");
        let range = KeyRange { low: low.cloned(), high: None };
        let sql = format!(
            "SELECT {keys} FROM {}{} ORDER BY {keys} LIMIT {}, 1",
            self.name(),
            self.condition(&range),
            rows_max.saturating_sub(1)
        );
        let found: Option<Row> = conn.exec_first(sql, ()).await.map_err(failed)?;
        Ok(found.map(|row| {
            self.primary
                .iter()
                .enumerate()
                .map(|(i, at)| row.as_ref(i).map_or_else(String::new, |v| key_literal(v, self.columns[*at].1)))
                .collect()
        }))
    }

    fn select_sql(&self, range: &KeyRange) -> String {
        let columns: Vec<String> = self.columns.iter().map(|(name, _)| quoted(name)).collect();
        format!("SELECT {} FROM {}{}", columns.join(", "), self.name(), self.condition(range))
    }

    /// Opens a view of a table without a key: it contains exactly the table's transactions up to the place it gives.
    pub async fn open_whole(
        &self,
        conn: &mut Conn,
        settings: &Settings,
        server: &Server,
        contain: &Place,
    ) -> Result<Place> {
        if server.marks == Marks::Snapshot {
            let at = open_snapshot(conn, contain).await?;
            return Ok(Place { at, ..Place::default() });
        }
        visible(conn, server, contain).await?;
        // While the table is locked no transaction on it is between the log and visibility.
        let mut locking = connect(settings).await?;
        must_run(&mut locking, &format!("LOCK TABLES {} READ", self.name()))
            .await
            .map_err(|e| e.context(format!("lock table {}.{}, which has no primary key", self.key.0, self.key.1)))?;
        must_run(conn, "START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
        let place = match marks(server, contain) {
            Marks::GtidExecuted => Place { gtids: Some(gtid_executed(conn).await?), ..Place::default() },
            Marks::LogStatus => Place { at: log_status(conn).await?, ..Place::default() },
            _ => Place { at: server.place(conn).await?.at, ..Place::default() },
        };
        must_run(&mut locking, "UNLOCK TABLES").await?;
        let _ = locking.disconnect().await;
        Ok(place)
    }

    /// Reads the whole table in the open view and sends it in parts.
    pub async fn read_whole<T: Send>(
        &self,
        conn: &mut Conn,
        rows_max: u64,
        parts: &mpsc::Sender<T>,
        part: impl Fn(ChangeBatch) -> T + Send + Sync,
    ) -> Result<()> {
        let mut batch = RowBatch::new(&self.schema, self.values)?;
        let mut result = conn.exec_iter(self.select_sql(&KeyRange::default()), ()).await.map_err(failed)?;
        if let Some(mut stream) = result.stream::<Row>().await.map_err(failed)? {
            while let Some(row) = stream.next().await {
                self.append(&row.map_err(failed)?, &mut batch)?;
                if batch.rows() as u64 >= rows_max {
                    let _ = parts.send(part(batch.finish()?)).await;
                }
            }
        }
        result.drop_result().await.map_err(failed)?;
        if batch.rows() > 0 {
            let _ = parts.send(part(batch.finish()?)).await;
        }
        must_run(conn, "COMMIT").await
    }

    /// The rows of a range, as inserts.
    async fn select(&self, conn: &mut Conn, range: &KeyRange) -> Result<ChangeBatch> {
        let sql = self.select_sql(range);
        let mut batch = RowBatch::new(&self.schema, self.values)?;
        let mut result = conn.exec_iter(sql, ()).await.map_err(failed)?;
        if let Some(mut stream) = result.stream::<Row>().await.map_err(failed)? {
            while let Some(row) = stream.next().await {
                self.append(&row.map_err(failed)?, &mut batch)?;
            }
        }
        result.drop_result().await.map_err(failed)?;
        batch.finish()
    }

    fn append(&self, row: &Row, batch: &mut RowBatch) -> Result<()> {
        for (i, (builder, (name, kind))) in batch.columns().iter_mut().zip(&self.columns).enumerate() {
            let value = row.as_ref(i).unwrap_or(&mysql_async::Value::NULL);
            builder.append(cell(value, *kind)).map_err(|_| {
                Error::data(format!(
                    "a value of column {name} of table {}.{} does not fit its type",
                    self.key.0, self.key.1
                ))
            })?;
        }
        batch.end_row(RowKind::Insert, 0);
        Ok(())
    }

    /// Reads a range in a view that contains everything up to `contain`, and says up to where the view may reach.
    pub async fn read(
        &self,
        conn: &mut Conn,
        server: &Server,
        range: &KeyRange,
        contain: &Place,
    ) -> Result<(ChangeBatch, Place)> {
        match server.marks {
            Marks::Snapshot => {
                let at = open_snapshot(conn, contain).await?;
                let batch = self.select(conn, range).await;
                must_run(conn, "COMMIT").await?;
                Ok((batch?, Place { at, ..Place::default() }))
            }
            _ => {
                visible(conn, server, contain).await?;
                let batch = self.select(conn, range).await?;
                Ok((batch, reached(conn, server, contain).await?))
            }
        }
    }
}

/// `(a, b) > (x, y)` in a form that uses an index: `a >= x AND (a > x OR a = x AND b > y)`.
fn compare(keys: &[String], values: &[String], sign: char, or_equal: bool) -> String {
    let mut alternatives = Vec::new();
    for i in 0..keys.len() {
        let mut terms: Vec<String> = (0..i).map(|j| format!("{} = {}", keys[j], values[j])).collect();
        let equal = if or_equal && i + 1 == keys.len() { "=" } else { "" };
        terms.push(format!("{} {sign}{equal} {}", keys[i], values[i]));
        alternatives.push(terms.join(" AND "));
    }
    if keys.len() == 1 {
        return alternatives.join("");
    }
    format!("{} {sign}= {} AND ({})", keys[0], values[0], alternatives.join(" OR "))
}

/// Opens MariaDB's consistent snapshot, containing at least `contain`; gives its exact position.
pub(super) async fn open_snapshot(conn: &mut Conn, contain: &Place) -> Result<super::position::FilePosition> {
    let start = tokio::time::Instant::now();
    loop {
        must_run(conn, "START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
        let at = snapshot_position(conn).await?;
        if at >= contain.at {
            return Ok(at);
        }
        must_run(conn, "COMMIT").await?;
        wait_for_visibility(start).await?;
    }
}

/// How reads are placed. A stream that was begun at a bare position knows no executed set to compare with.
fn marks(server: &Server, contain: &Place) -> Marks {
    match server.marks {
        Marks::GtidExecuted if contain.gtids.is_none() => Marks::Delayed,
        marks => marks,
    }
}

/// Waits until a read that starts now contains everything up to `contain`.
async fn visible(conn: &mut Conn, server: &Server, contain: &Place) -> Result<()> {
    let start = tokio::time::Instant::now();
    loop {
        let is_contained = match (marks(server, contain), &contain.gtids) {
            (Marks::GtidExecuted, Some(streamed)) => gtid_executed(conn).await?.contains_all(streamed),
            (Marks::LogStatus, _) => log_status(conn).await? >= contain.at,
            _ => {
                let at = server.place(conn).await?.at;
                tokio::time::sleep(DELAY).await;
                at >= contain.at
            }
        };
        if is_contained {
            return Ok(());
        }
        wait_for_visibility(start).await?;
    }
}

async fn wait_for_visibility(start: tokio::time::Instant) -> Result<()> {
    if start.elapsed() > VISIBLE_PATIENCE {
        return Err(Error::unavailable(format!(
            "transactions that are in the server's log have not become visible within {VISIBLE_PATIENCE:?}"
        )));
    }
    tokio::time::sleep(VISIBLE_PAUSE).await;
    Ok(())
}

/// A place at or after everything a read that has ended can contain.
async fn reached(conn: &mut Conn, server: &Server, contain: &Place) -> Result<Place> {
    Ok(match marks(server, contain) {
        // What is visible is in the log already, while it may not be in the executed set for a moment yet.
        Marks::GtidExecuted => Place { at: server.place(conn).await?.at, ..Place::default() },
        Marks::LogStatus => Place { at: log_status(conn).await?, ..Place::default() },
        _ => {
            tokio::time::sleep(DELAY).await;
            Place { at: server.place(conn).await?.at, ..Place::default() }
        }
    })
}

/// About how many rows a table has.
pub(super) async fn estimate(conn: &mut Conn, key: &TableKey) -> Result<u64> {
    let sql = format!(
        "SELECT TABLE_ROWS FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        super::schema::literal(&key.0),
        super::schema::literal(&key.1)
    );
    Ok(rows(conn, &sql).await?.first().and_then(|r| super::connect::text(r, 0).parse().ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composite_keys_are_compared_column_by_column() {
        let keys = ["a".to_owned(), "b".to_owned()];
        let values = ["1".to_owned(), "'x'".to_owned()];
        assert_eq!(compare(&keys, &values, '>', false), "a >= 1 AND (a > 1 OR a = 1 AND b > 'x')");
        assert_eq!(compare(&keys, &values, '<', true), "a <= 1 AND (a < 1 OR a = 1 AND b <= 'x')");
        assert_eq!(compare(&keys[..1], &values[..1], '<', true), "a <= 1");
    }
}
