//! The watermark race: rows that are in the log but not yet visible when a chunk is read must not be lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable as _;

use super::harness::{Server, alone, servers, truth};

const WRITERS: u64 = 12;

fn seconds() -> u64 {
    std::env::var("STARWEIR_TEST_RACE_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(8)
}

async fn insert(server: Server, stop: Arc<AtomicBool>, next: Arc<AtomicU64>) {
    let mut conn = server.connect().await;
    while !stop.load(Ordering::Relaxed) {
        let id = next.fetch_add(1, Ordering::Relaxed);
        conn.query_drop(format!("INSERT INTO sw_race.t VALUES ({id}, {id})")).await.unwrap();
    }
}

/// Snapshots over and over while twelve writers insert, each followed for a moment: every one must end with all rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_row_is_lost_between_snapshot_and_stream() {
    let _alone = alone().await;
    for server in servers() {
        let mut conn = server.fresh("sw_race").await;
        conn.query_drop("CREATE TABLE t (id BIGINT PRIMARY KEY, v BIGINT)").await.unwrap();
        let until = Instant::now() + Duration::from_secs(seconds());
        let (mut captures, mut violations, mut rows) = (0u64, 0u64, 0usize);
        let next = Arc::new(AtomicU64::new(1));
        while Instant::now() < until {
            conn.query_drop("TRUNCATE TABLE t").await.unwrap();
            let stop = Arc::new(AtomicBool::new(false));
            let writers: Vec<_> =
                (0..WRITERS).map(|_| tokio::spawn(insert(server.clone(), stop.clone(), next.clone()))).collect();
            tokio::time::sleep(Duration::from_millis(30)).await;
            let mut pipes = Vec::new();
            for _ in 0..4 {
                pipes.push(server.pipe(r"sw_race.t", &[("scan.incremental.snapshot.chunk.size", "100")]).await);
            }
            for pipe in &mut pipes {
                for _ in 0..20 {
                    pipe.step(Duration::from_millis(10)).await;
                }
            }
            stop.store(true, Ordering::Relaxed);
            for writer in writers {
                writer.await.unwrap();
            }
            let expected = truth(&mut conn, "SELECT id, v FROM t ORDER BY id").await;
            for pipe in &mut pipes {
                pipe.settle().await;
                captures += 1;
                let model = pipe.model.table("sw_race", "t");
                let missing: Vec<_> = expected.iter().filter(|row| !model.rows.contains_key(&row[..1])).collect();
                if !missing.is_empty() {
                    let (first, last) = (&expected[0], &expected[expected.len() - 1]);
                    eprintln!("{}: missing {missing:?} between {first:?} and {last:?}", server.name);
                }
                let missing = missing.len();
                rows += expected.len();
                violations += u64::from(missing > 0);
                assert_eq!(model.rows.len() + missing, expected.len(), "{}: rows that were never written", server.name);
            }
        }
        eprintln!("{}: {captures} captures of {rows} rows, {violations} violations", server.name);
        assert_eq!(violations, 0, "{}", server.name);
        conn.query_drop("DROP DATABASE sw_race").await.unwrap();
    }
}

/// The method of positions, for comparison: the position is read, then the rows; what the log holds before the position
/// and the rows lack would be lost. Prints; asserts nothing, since it depends on the machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn positions_before_a_read_do_lose_rows() {
    let _alone = alone().await;
    for server in servers() {
        let mut conn = server.fresh("sw_race_old").await;
        conn.query_drop("CREATE TABLE t (id BIGINT PRIMARY KEY, v BIGINT)").await.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let next = Arc::new(AtomicU64::new(1));
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                let (server, stop, next) = (server.clone(), stop.clone(), next.clone());
                tokio::spawn(async move {
                    let mut conn = server.connect().await;
                    while !stop.load(Ordering::Relaxed) {
                        let id = next.fetch_add(1, Ordering::Relaxed);
                        conn.query_drop(format!("INSERT INTO sw_race_old.t VALUES ({id}, {id})")).await.unwrap();
                    }
                })
            })
            .collect();
        let status = match conn.query_drop("SHOW BINARY LOG STATUS").await {
            Ok(()) => "SHOW BINARY LOG STATUS",
            Err(_) => "SHOW MASTER STATUS",
        };
        let start: mysql_async::Row = conn.query_first(status).await.unwrap().unwrap();
        let (first_file, first_position): (String, u64) = (start.get(0).unwrap(), start.get(1).unwrap());
        // Positions, and what a read right after each finds.
        let mut trials = Vec::new();
        let until = Instant::now() + Duration::from_secs(3);
        while Instant::now() < until {
            let row: mysql_async::Row = conn.query_first(status).await.unwrap().unwrap();
            let (file, position): (String, u64) = (row.get(0).unwrap(), row.get(1).unwrap());
            let newest = next.load(Ordering::Relaxed).saturating_sub(300);
            let ids: Vec<u64> = conn.query(format!("SELECT id FROM t WHERE id >= {newest}")).await.unwrap();
            if file == first_file {
                trials.push((position, newest, ids));
            }
        }
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.await.unwrap();
        }
        let committed = committed(&server, &first_file, first_position, next.load(Ordering::Relaxed) - 1).await;
        let violations = trials.iter().filter(|(position, newest, ids)| {
            let found: std::collections::HashSet<u64> = ids.iter().copied().collect();
            committed.iter().any(|(id, at)| id >= newest && at <= position && !found.contains(id))
        });
        eprintln!("{}: bare positions lose rows in {} of {} reads", server.name, violations.count(), trials.len());
        conn.query_drop("DROP DATABASE sw_race_old").await.unwrap();
    }
}

/// Where the log has the commit of each row, up to the row `last`.
async fn committed(server: &Server, file: &str, position: u64, last: u64) -> Vec<(u64, u64)> {
    use futures::StreamExt as _;
    let mut conn = server.connect().await;
    conn.query_drop("SET @mariadb_slave_capability = 4").await.unwrap();
    let request = mysql_async::BinlogStreamRequest::new(77_001).with_filename(file.as_bytes()).with_pos(position);
    let mut stream = conn.get_binlog_stream(request).await.unwrap();
    let (mut out, mut open, mut seen) = (Vec::new(), Vec::new(), 0);
    while seen < last {
        let event = stream.next().await.unwrap().unwrap();
        match event.header().event_type_raw() {
            // Rows of two BIGINTs: the last sixteen bytes.
            23 | 30 => {
                let data = event.data();
                let id = u64::from_le_bytes(data[data.len() - 16..data.len() - 8].try_into().unwrap());
                open.push(id);
            }
            16 => {
                seen += open.len() as u64;
                out.extend(open.drain(..).map(|id| (id, u64::from(event.header().log_pos()))));
            }
            _ => {}
        }
    }
    out
}
