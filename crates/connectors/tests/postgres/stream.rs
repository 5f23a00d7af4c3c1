//! Snapshots and streams of a real server: nothing missed, nothing twice, also through restarts and changes of tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use starweir_engine::{CdcEvent, TableRows};

use super::harness::{Cells, server};

/// Numbers that a seed decides.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

fn sorted(mut rows: Vec<Cells>) -> Vec<Cells> {
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_and_stream_make_the_servers_tables_whatever_restarts() {
    let Some(server) = server() else { return };
    for seed in [11, 12, 13] {
        eprintln!("seed {seed}");
        let db = server.fresh("sw_pg_race").await;
        db.run(
            "CREATE TABLE a (id int PRIMARY KEY, v int, big text); ALTER TABLE a REPLICA IDENTITY FULL;
             CREATE TABLE b (x int, y text, v int, PRIMARY KEY (x, y));
             INSERT INTO a SELECT i, 0, CASE WHEN i % 20 = 0 THEN (SELECT string_agg(md5((i * j)::text), '') FROM generate_series(1, 200) j) END FROM generate_series(1, 2000) i;
             INSERT INTO b SELECT i, 'k' || i, 0 FROM generate_series(1, 2000) i",
        )
        .await;
        let stop = Arc::new(AtomicBool::new(false));
        let mut running = Vec::new();
        for writer in [0u64, 1] {
            let (client, stop) = (db.connect().await, stop.clone());
            let mut chance = Chance((seed * 7 + writer) | 1);
            running.push(tokio::spawn(async move {
                let mut n = 0u64;
                while !stop.load(Ordering::Relaxed) {
                    n += 1;
                    let mut sql = String::from("BEGIN;");
                    for _ in 0..=chance.below(6) {
                        // Each writer has its own keys, so that they never wait for one another.
                        let id = chance.below(1_100) * 2 + writer;
                        sql += &match chance.below(7) {
                            0 => format!("INSERT INTO a VALUES ({id}, {n}, 'new') ON CONFLICT DO NOTHING;"),
                            1 => format!("DELETE FROM a WHERE id = {id};"),
                            2 | 3 => format!("UPDATE a SET v = {n} WHERE id = {id};"),
                            4 => format!("UPDATE b SET v = {n} WHERE x = {id};"),
                            5 => format!("UPDATE b SET y = 'moved{n}' WHERE x = {id};"),
                            _ => format!("DELETE FROM b WHERE x = {id};"),
                        };
                    }
                    sql += if chance.below(5) == 0 { "ROLLBACK" } else { "COMMIT" };
                    client.batch_execute(&sql).await.unwrap();
                }
            }));
        }
        let mut pipe = db.pipe(&[]).await;
        let mut chance = Chance(seed);
        for _ in 0..60 {
            pipe.step(Duration::from_millis(50)).await.unwrap();
            if chance.below(8) == 0 {
                pipe.restart().await;
            }
        }
        stop.store(true, Ordering::Relaxed);
        for writer in running {
            writer.await.unwrap();
        }
        pipe.settle().await;
        let truth = sorted(db.truth("SELECT * FROM a").await);
        assert!(pipe.model.rows("a") == truth, "table a differs, seed {seed}");
        assert_eq!(pipe.model.rows("b"), sorted(db.truth("SELECT * FROM b").await), "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_is_there_gives_way_to_a_new_snapshot() {
    let Some(server) = server() else { return };
    let db = server.fresh("sw_pg_again").await;
    db.run("CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a SELECT i, 0 FROM generate_series(1, 100) i")
        .await;
    drop(db.pipe(&[]).await);
    // A crash before the first state: the slot stays, and the next attempt knows nothing of it.
    db.run("UPDATE a SET v = 1 WHERE id < 50; DELETE FROM a WHERE id = 60; ALTER TABLE a ADD COLUMN w int DEFAULT 5")
        .await;
    let mut pipe = db.pipe(&[]).await;
    db.run("UPDATE a SET v = 2 WHERE id = 1").await;
    pipe.settle().await;
    assert_eq!(pipe.model.rows("a"), sorted(db.truth("SELECT * FROM a").await));
    assert!(pipe.model.log.is_empty(), "{:?}", pipe.model.log);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_change_while_they_are_read() {
    let Some(server) = server() else { return };
    let db = server.fresh("sw_pg_ddl").await;
    db.run("CREATE TABLE t (id int PRIMARY KEY, a text, b int); INSERT INTO t VALUES (1, 'x', 2), (2, 'y', 3)").await;
    let mut pipe = db.pipe(&[("metadata.list", "op_ts,table_name,schema_name,database_name")]).await;
    pipe.settle().await;
    let statements = [
        "BEGIN; INSERT INTO t VALUES (3, 'z', 4); ALTER TABLE t ADD COLUMN c numeric(10, 2) DEFAULT 1.50; \
         UPDATE t SET c = 2.25 WHERE id = 1; COMMIT",
        "ALTER TABLE t ALTER COLUMN b TYPE bigint; INSERT INTO t VALUES (4, 'four', 9000000000, NULL)",
        "ALTER TABLE t RENAME COLUMN a TO title; ALTER TABLE t DROP COLUMN b; ALTER TABLE t ADD COLUMN b text",
        "INSERT INTO t (id, title, b) VALUES (5, 'five', 'five')",
        "UPDATE t SET title = 'renamed' WHERE id = 2; UPDATE t SET id = 40 WHERE id = 4",
        "DELETE FROM t WHERE id = 3",
    ];
    for (i, statement) in statements.iter().enumerate() {
        db.run(statement).await;
        pipe.step(Duration::from_millis(300)).await.unwrap();
        if i % 2 == 1 {
            pipe.restart().await;
        }
    }
    pipe.settle().await;
    assert_eq!(pipe.model.rows("t"), sorted(db.truth("SELECT * FROM t").await));
    let expected = ["add c DECIMAL(10, 2)", "type b BIGINT", "drop b", "rename a title", "add b STRING"];
    assert_eq!(pipe.model.log, expected);
    let meta: Vec<_> = pipe.meta.iter().map(|(name, values)| (name.as_str(), values[0].as_str())).collect();
    assert!(meta[0].1.parse::<i64>().unwrap() > 1_600_000_000_000);
    assert_eq!(meta[1..], [("table_name", "t"), ("schema_name", "public"), ("database_name", "sw_pg_ddl")]);
    db.run("TRUNCATE t; INSERT INTO t VALUES (9)").await;
    pipe.settle().await;
    pipe.restart().await;
    assert_eq!(pipe.model.rows("t"), sorted(db.truth("SELECT * FROM t").await));
    assert_eq!(pipe.model.log.last().unwrap(), "truncate");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_followed_is_refused_with_the_fix() {
    let Some(server) = server() else { return };
    let db = server.fresh("sw_pg_refused").await;
    let open = async |more: &[(&str, &str)]| match db.source(more).open(None).await {
        Ok(_) => "opened".to_owned(),
        Err(e) => format!("{} HINT {}", e.chain(), e.hint().unwrap_or_default()),
    };
    let error = open(&[]).await;
    assert!(error.contains(r"Cannot find any table by the option 'tables' = sw_pg_refused.public.\.*"), "{error}");
    db.run("CREATE TABLE keyless (v int)").await;
    let error = open(&[]).await;
    assert!(error.contains("no primary key") && error.contains("REPLICA IDENTITY FULL"), "{error}");
    db.run("DROP TABLE keyless; CREATE TABLE t (id int PRIMARY KEY, v int, big text)").await;
    let error = open(&[("scan.startup.mode", "committed-offset")]).await;
    assert!(error.contains("there is no replication slot"), "{error}");
    let error = open(&[("password", "not-the-password")]).await;
    assert!(error.contains("28P01") && !error.contains("not-the-password"), "{error}");
    // A large value that does not change, and no image of before to take it from.
    db.run("INSERT INTO t SELECT 1, 1, string_agg(md5(i::text), '') FROM generate_series(1, 1000) i").await;
    let mut pipe = db.pipe(&[]).await;
    pipe.settle().await;
    db.run("UPDATE t SET v = 2").await;
    let error = loop {
        match pipe.step(Duration::from_secs(5)).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(error.contains("column big") && error.contains("REPLICA IDENTITY FULL"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mode_begins_where_it_says() {
    let Some(server) = server() else { return };
    let db = server.fresh("sw_pg_modes").await;
    db.run("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1)").await;
    let mut pipe = db.pipe(&[("scan.startup.mode", "snapshot")]).await;
    pipe.settle().await;
    assert!(pipe.finished && pipe.model.rows("t").len() == 1);
    let mut pipe = db.pipe(&[("scan.startup.mode", "latest-offset")]).await;
    db.run("INSERT INTO t VALUES (2, 2)").await;
    pipe.settle().await;
    assert_eq!(pipe.model.rows("t"), [[Some("2".to_owned()), Some("2".to_owned())]]);
    // The slot follows what is acknowledged, also when nothing of ours is written.
    pipe.settle().await;
    drop(pipe);
    tokio::time::sleep(Duration::from_millis(300)).await;
    db.run("INSERT INTO t VALUES (3, 3)").await;
    let mut pipe = db.pipe(&[("scan.startup.mode", "committed-offset"), ("table-id.include-database", "false")]).await;
    pipe.settle().await;
    assert_eq!(pipe.model.rows("t"), [[Some("3".to_owned()), Some("3".to_owned())]]);
    assert!(pipe.reader().lag().milliseconds.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_small_transactions_is_given_out_between_them() {
    let Some(server) = server() else { return };
    let db = server.fresh("sw_pg_backlog").await;
    db.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut reader = db.source(&[("scan.startup.mode", "latest-offset")]).open(None).await.unwrap();
    db.run("SET synchronous_commit = off").await;
    db.run("DO $$ BEGIN FOR i IN 1..100000 LOOP INSERT INTO t VALUES (i); COMMIT; END LOOP; END $$").await;
    let mut rows = 0;
    while rows < 100_000 {
        let polled = reader.poll(Duration::from_secs(30)).await.unwrap();
        let of = |event: &CdcEvent| match event {
            CdcEvent::Rows { rows: TableRows::Columns { changes, .. }, .. } => changes.rows(),
            _ => 0,
        };
        let given: usize = polled.events.iter().map(of).sum();
        rows += given;
        assert!(given == 0 || polled.boundary, "an epoch can end although there is more to read");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_capture_takes_new_tables_up_and_reads_a_table_again() {
    let Some(server) = server() else { return };
    let db = server.fresh("sw_pg_new").await;
    db.run("CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a SELECT i, 0 FROM generate_series(1, 300) i")
        .await;
    let mut pipe = db.pipe(&[("scan.newly-added-table.enabled", "true")]).await;
    pipe.settle().await;
    db.run("CREATE TABLE b (id int PRIMARY KEY, v int); INSERT INTO b SELECT i, 0 FROM generate_series(1, 500) i")
        .await;
    db.run("UPDATE a SET v = 1 WHERE id < 10").await;
    pipe.restart().await;
    db.run("UPDATE b SET v = 1 WHERE id < 50; DELETE FROM b WHERE id = 60; INSERT INTO b VALUES (1000, 5)").await;
    pipe.settle().await;
    for table in ["a", "b"] {
        assert_eq!(pipe.model.rows(table), sorted(db.truth(&format!("SELECT * FROM {table}")).await), "{table}");
    }
    pipe.read_again(&"public.a".parse().unwrap()).await;
    db.run("UPDATE a SET v = 2 WHERE id > 290; DELETE FROM a WHERE id = 5; UPDATE b SET v = 7 WHERE id = 1000").await;
    pipe.settle().await;
    for table in ["a", "b"] {
        assert_eq!(pipe.model.rows(table), sorted(db.truth(&format!("SELECT * FROM {table}")).await), "{table}");
    }
}
