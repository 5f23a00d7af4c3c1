//! Random writers while a snapshot and the stream run, with and without restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable as _;

use super::harness::{Chance, Server, alone, servers, truth};

const TABLES: &str = "CREATE TABLE plain (id INT PRIMARY KEY, version BIGINT NOT NULL, text VARCHAR(40));
    CREATE TABLE pair (a INT, b VARCHAR(20) COLLATE utf8mb4_general_ci, version BIGINT NOT NULL, PRIMARY KEY (a, b));
    CREATE TABLE words (w VARCHAR(30) COLLATE utf8mb4_general_ci PRIMARY KEY, version BIGINT NOT NULL, n DECIMAL(20, 3));
    CREATE TABLE kinds (k ENUM('z', 'm', 'a'), i BINARY(4), version BIGINT NOT NULL, PRIMARY KEY (k, i))";

/// One change of a random row, as SQL. Versions only grow.
fn change(chance: &mut Chance, version: u64) -> String {
    let id = chance.below(600);
    let kind = chance.below(10);
    match chance.below(4) {
        0 => match kind {
            0..=5 => format!("REPLACE INTO plain VALUES ({id}, {version}, 'text {version}')"),
            6 | 7 => format!("UPDATE plain SET version = {version}, text = NULL WHERE id = {id}"),
            8 => format!("UPDATE IGNORE plain SET id = {}, version = {version} WHERE id = {id}", chance.below(600)),
            _ => format!("DELETE FROM plain WHERE id = {id}"),
        },
        1 => {
            let (a, b) =
                (id % 20, if chance.below(2) == 0 { format!("K{}", id / 20) } else { format!("k{}", id / 20) });
            match kind {
                0..=6 => format!("REPLACE INTO pair VALUES ({a}, '{b}', {version})"),
                7 => format!("UPDATE pair SET b = '{b}', version = {version} WHERE a = {a} AND b = '{b}'"),
                _ => format!("DELETE FROM pair WHERE a = {a} AND b = '{b}'"),
            }
        }
        2 => {
            let w =
                ["Äpfel", "äpfel", "o''x", "birne", "BIRNE", "ß"][id as usize % 6].to_owned() + &(id % 40).to_string();
            match kind {
                0..=6 => format!("REPLACE INTO words VALUES ('{w}', {version}, {version} / 8)"),
                7 => format!("UPDATE words SET version = {version}, n = -0.5 WHERE w = '{w}'"),
                _ => format!("DELETE FROM words WHERE w = '{w}'"),
            }
        }
        _ => {
            let (k, i) = (["z", "m", "a"][id as usize % 3], id % 60);
            match kind {
                0..=7 => format!("REPLACE INTO kinds VALUES ('{k}', x'0000{i:02x}00', {version})"),
                _ => format!("DELETE FROM kinds WHERE k = '{k}' AND i = x'0000{i:02x}00'"),
            }
        }
    }
}

/// Writes until told to stop: single statements and transactions, some rolled back.
async fn write(server: Server, database: String, seed: u64, stop: Arc<AtomicBool>, version: Arc<AtomicU64>) -> u64 {
    let mut conn = server.connect().await;
    conn.query_drop(format!("USE {database}")).await.unwrap();
    let mut chance = Chance::new(seed);
    let mut changes = 0;
    while !stop.load(Ordering::Relaxed) {
        let statements = 1 + chance.below(4);
        let explicit = statements > 1;
        if explicit {
            conn.query_drop("BEGIN").await.unwrap();
        }
        let mut good = true;
        for _ in 0..statements {
            let sql = change(&mut chance, version.fetch_add(1, Ordering::SeqCst));
            good &= conn.query_drop(&sql).await.is_ok();
            changes += 1;
        }
        if explicit {
            let end = if good && chance.below(8) > 0 { "COMMIT" } else { "ROLLBACK" };
            let _ = conn.query_drop(end).await;
        }
        if chance.below(50) == 0 {
            tokio::time::sleep(Duration::from_millis(chance.below(5))).await;
        }
    }
    changes
}

const SELECTS: [(&str, &str); 4] = [
    ("plain", "SELECT id, version, text FROM plain ORDER BY id"),
    ("pair", "SELECT a, b, version FROM pair ORDER BY a, BINARY b"),
    ("words", "SELECT w, version, n FROM words ORDER BY BINARY w"),
    ("kinds", "SELECT k, LOWER(HEX(i)), version FROM kinds ORDER BY BINARY k, i"),
];

async fn run(server: &Server, database: &str, seed: u64, seconds: u64, restarts: bool) {
    eprintln!("{} {database}: seed {seed}", server.name);
    let mut conn = server.fresh(database).await;
    for sql in TABLES.split(';') {
        conn.query_drop(sql).await.unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let version = Arc::new(AtomicU64::new(1));
    let mut filler = Chance::new(seed);
    for _ in 0..1500 {
        conn.query_drop(change(&mut filler, 0)).await.unwrap();
    }
    let writers: Vec<_> = (0..4)
        .map(|i| tokio::spawn(write(server.clone(), database.into(), seed + 7 * i + 1, stop.clone(), version.clone())))
        .collect();
    let mut pipe = server.pipe(&format!(r"{database}.\.*"), &[("scan.incremental.snapshot.chunk.size", "37")]).await;
    let mut chance = Chance::new(seed + 99);
    let until = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < until {
        pipe.step(Duration::from_millis(20)).await;
        if restarts && chance.below(25) == 0 {
            pipe.restart().await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut changes = 0;
    for writer in writers {
        changes += writer.await.unwrap();
    }
    pipe.settle().await;
    eprintln!("{} {database}: {changes} changes written", server.name);
    for (table, sql) in SELECTS {
        let mut found: Vec<_> = pipe.model.table(database, table).rows.values().cloned().collect();
        let mut expected = truth(&mut conn, sql).await;
        found.sort();
        expected.sort();
        assert!(!expected.is_empty());
        assert_eq!(found.len(), expected.len(), "{} {table}", server.name);
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{} {table}", server.name);
        }
    }
    conn.query_drop(format!("DROP DATABASE {database}")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_snapshot_and_the_stream_give_the_tables_of_the_source() {
    let _alone = alone().await;
    for server in servers() {
        run(&server, "sw_writers", 4711, 5, false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn restarts_at_random_places_change_nothing() {
    let _alone = alone().await;
    for server in servers() {
        run(&server, "sw_restarts", 815, 6, true).await;
    }
}
