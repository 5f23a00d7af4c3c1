//! Tables of databases as sources of a script, built as a job builds them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::util::display::array_value_to_string;
use starweir_connectors::{BuiltSource, SourceRequest, Wanted, connector};
use starweir_engine::{Lane, Polled, Reader};
use starweir_model::{Column, DataType, Schema, SystemClock};

pub const ONE: Lane = Lane { index: 0, count: 1 };

pub fn table(
    name: &str,
    login: Vec<(String, String)>,
    declared: &[(&str, &str)],
    metadata: &[(&str, &str)],
    more: &[(&str, &str)],
) -> BuiltSource {
    let columns = declared.iter().map(|(name, of)| Column::new(*name, of.parse::<DataType>().unwrap()));
    let physical = Schema::new(columns.collect()).with_primary_key(vec![0]);
    let mut wanted: Vec<Wanted> = (0..physical.columns.len()).map(Wanted::Physical).collect();
    for (key, of) in metadata {
        wanted.push(Wanted::Metadata { key: (*key).to_owned(), data_type: of.parse().unwrap() });
    }
    let mut options = login;
    options.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    let request = SourceRequest {
        table: "src",
        physical: &physical,
        wanted: &wanted,
        options: &options,
        batch: false,
        zone: "UTC",
        seed: u64::from(std::process::id()),
        clock: Arc::new(SystemClock),
    };
    let built = connector(name).unwrap().source.unwrap()(&request);
    built.unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// Reads on the calling thread until `enough` rows have come, or the end.
pub fn read(reader: &mut dyn Reader, enough: usize) -> Vec<String> {
    let limit = Instant::now() + Duration::from_secs(60);
    let mut rows = Vec::new();
    while rows.len() < enough || !reader.is_at_boundary() {
        assert!(Instant::now() < limit, "the rows do not come: {rows:?}");
        match reader.poll(Duration::from_millis(50)).unwrap_or_else(|e| panic!("{}", e.chain())) {
            Polled::Batch { batch, .. } => {
                for row in 0..batch.rows() {
                    let cell = |c: &arrow::array::ArrayRef| array_value_to_string(c, row).unwrap();
                    let cells: Vec<String> = batch.batch.columns().iter().map(cell).collect();
                    rows.push(format!("{} {}", batch.kinds.at(row).short(), cells.join("|")));
                }
            }
            Polled::Idle => {}
            Polled::Finished => break,
        }
    }
    rows
}

pub fn sorted(rows: Vec<String>) -> BTreeSet<String> {
    rows.into_iter().collect()
}

/// Opening and reading block: they run on a thread that is not the runtime's.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}
