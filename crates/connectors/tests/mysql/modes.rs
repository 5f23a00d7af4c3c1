//! Where captures begin, tables without a key, and the odder forms of the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use starweir_engine::{CdcEvent, TableRows};
use starweir_model::ErrorKind;

use super::harness::{Chance, alone, servers, truth};

/// A startup mode, its further options, and the keys that come.
type Mode<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

const NEW: (&str, &str) = ("scan.binlog.newly-added-table.enabled", "true");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captures_begin_where_they_are_told() {
    let _alone = alone().await;
    for server in servers() {
        let db = "sw_modes";
        let mut conn = server.fresh(db).await;
        conn.query_drop("FLUSH BINARY LOGS").await.unwrap();
        conn.query_drop("CREATE TABLE t (id INT PRIMARY KEY)").await.unwrap();
        conn.query_drop("INSERT INTO t VALUES (1)").await.unwrap();
        let status = if server.name == "mysql" { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
        let row: mysql_async::Row = conn.query_first(status).await.unwrap().unwrap();
        let (file, position): (String, u64) = (row.get(0).unwrap(), row.get(1).unwrap());
        let with_gtids = server.has_gtids(&mut conn).await;
        let gtids: String = match server.name {
            "mysql" => conn.query_first("SELECT @@GLOBAL.gtid_executed").await.unwrap().unwrap(),
            _ => conn.query_first(format!("SELECT BINLOG_GTID_POS('{file}', {position})")).await.unwrap().unwrap(),
        };
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let now: u64 = conn.query_first("SELECT UNIX_TIMESTAMP() * 1000").await.unwrap().unwrap();
        conn.query_drop("INSERT INTO t VALUES (2)").await.unwrap();
        let (position, now) = (position.to_string(), now.to_string());
        let modes: [Mode<'_>; 6] = [
            ("initial", &[], &["1", "2", "3"]),
            ("latest-offset", &[], &["3"]),
            ("timestamp", &[("scan.startup.timestamp-millis", &now)], &["2", "3"]),
            (
                "specific-offset",
                &[("scan.startup.specific-offset.file", &file), ("scan.startup.specific-offset.pos", &position)],
                &["2", "3"],
            ),
            ("specific-offset", &[("scan.startup.specific-offset.gtid-set", &gtids)], &["2", "3"]),
            ("snapshot", &[], &["1", "2"]),
        ];
        let mut pipes = Vec::new();
        for (mode, more, expected) in modes {
            if !with_gtids && more.iter().any(|(name, _)| name.ends_with("gtid-set")) {
                continue;
            }
            let mut options = vec![("scan.startup.mode", mode)];
            options.extend(more);
            let mut pipe = server.pipe(&format!("{db}.t"), &options).await;
            if mode == "snapshot" {
                pipe.settle().await;
                assert!(pipe.finished);
                pipe.restart().await;
                pipe.step(Duration::from_millis(10)).await;
                assert!(pipe.finished);
            }
            pipes.push((mode, pipe, expected));
        }
        conn.query_drop("INSERT INTO t VALUES (3)").await.unwrap();
        for (mode, pipe, expected) in &mut pipes {
            if !pipe.finished {
                pipe.settle().await;
                pipe.restart().await;
                pipe.settle().await;
            }
            let rows = &pipe.model.table(db, "t").rows;
            let found: Vec<_> = rows.values().map(|r| r[0].clone().unwrap()).collect();
            assert_eq!(found, *expected, "{} {mode}", server.name);
        }
        conn.query_drop(format!("DROP DATABASE {db}")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_without_a_key_is_read_exactly_once() {
    let _alone = alone().await;
    for server in servers() {
        let db = "sw_nokey";
        let mut conn = server.fresh(db).await;
        conn.query_drop("CREATE TABLE t (v INT, w VARCHAR(10))").await.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..4u64)
            .map(|i| {
                let (server, stop) = (server.clone(), stop.clone());
                tokio::spawn(async move {
                    let mut conn = server.connect().await;
                    let mut n = i;
                    while !stop.load(Ordering::Relaxed) {
                        conn.query_drop(format!("INSERT INTO sw_nokey.t VALUES ({n}, 'x')")).await.unwrap();
                        n += 4;
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        for _ in 0..3 {
            let options = [("scan.incremental.snapshot.chunk.size", "50")];
            let mut pipe = server.pipe(&format!("{db}.t"), &options).await;
            pipe.count_rows = true;
            for _ in 0..15 {
                pipe.step(Duration::from_millis(20)).await;
            }
            conn.query_drop("FLUSH TABLES t WITH READ LOCK").await.unwrap();
            pipe.settle().await;
            let expected: u64 = conn.query_first("SELECT COUNT(*) FROM t").await.unwrap().unwrap();
            conn.query_drop("UNLOCK TABLES").await.unwrap();
            assert_eq!(pipe.rows_added, expected, "{}", server.name);
            assert_eq!(pipe.model.table(db, "t").rows.len() as u64, expected, "{}", server.name);
        }
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.await.unwrap();
        }
        conn.query_drop(format!("DROP DATABASE {db}")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_and_partial_and_tagged_transactions_are_understood() {
    let _alone = alone().await;
    for server in servers() {
        let db = "sw_odd";
        let mut conn = server.fresh(db).await;
        conn.query_drop("CREATE TABLE t (id INT PRIMARY KEY, j JSON, v INT)").await.unwrap();
        let json = format!(r#"{{"a": [1, 2, {{"b": "{}"}}], "c": 1, "key with . \" [x]": null}}"#, "x".repeat(500));
        conn.exec_drop("INSERT INTO t VALUES (1, ?, 1), (2, ?, 2)", (&json, &json)).await.unwrap();
        let mut pipe = server.pipe(&format!("{db}.t"), &[("use.legacy.json.format", "false")]).await;
        pipe.settle().await;
        let statements: &[&str] = if server.name == "mysql" {
            &[
                "SET SESSION binlog_transaction_compression = ON",
                "INSERT INTO t SELECT id + 10, j, v FROM t",
                "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'",
                "UPDATE t SET j = JSON_SET(j, '$.a[2].b', 'short', '$.c', JSON_OBJECT('new', 1)) WHERE id < 10",
                "UPDATE t SET j = JSON_REMOVE(j, '$.a[0]'), v = 7 WHERE id = 1",
                "UPDATE t SET j = JSON_REPLACE(j, '$.\"key with . \\\\\" [x]\"', 3.5) WHERE id = 2",
                "UPDATE t SET j = JSON_REPLACE(j, '$.a', 1) WHERE id = 11",
                "SET SESSION binlog_transaction_compression = OFF",
                "UPDATE t SET j = JSON_SET(j, '$.c', 2), v = v + 1",
                "SET SESSION gtid_next = 'AUTOMATIC:starweir'",
                "INSERT INTO t VALUES (20, '[]', 20)",
                "INSERT INTO t VALUES (21, '[]', 21)",
                "SET SESSION gtid_next = 'AUTOMATIC'",
                "DELETE FROM t WHERE id = 21",
            ]
        } else {
            &[
                "SET GLOBAL log_bin_compress = ON",
                "SET GLOBAL log_bin_compress_min_len = 10",
                "INSERT INTO t SELECT id + 10, j, v FROM t",
                "UPDATE t SET j = JSON_SET(j, '$.c', 2), v = v + 1",
                "ALTER TABLE t ADD COLUMN a_new_column_with_a_long_name VARCHAR(100) DEFAULT 'some text' COMMENT 'some more text'",
                "DELETE FROM t WHERE id = 11",
                "SET GLOBAL log_bin_compress = OFF",
                "INSERT INTO t (id) VALUES (30)",
            ]
        };
        let with_gtids = server.has_gtids(&mut conn).await;
        for statement in statements.iter().filter(|s| with_gtids || !s.contains("gtid_next")) {
            conn.query_drop(*statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
        }
        pipe.settle().await;
        pipe.restart().await;
        conn.query_drop("INSERT INTO t (id) VALUES (40)").await.unwrap();
        pipe.settle().await;
        let found: Vec<_> = pipe.model.table(db, "t").rows.values().cloned().collect();
        let mut expected = truth(&mut conn, "SELECT * FROM t").await;
        expected.sort();
        assert_eq!(found.len(), expected.len(), "{}", server.name);
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{}", server.name);
        }
        // A snapshot after transactions with tags.
        let mut again = server.pipe(&format!("{db}.t"), &[]).await;
        again.settle().await;
        assert_eq!(again.model.table(db, "t").rows.len(), expected.len(), "{}", server.name);
        conn.query_drop(format!("DROP DATABASE {db}")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_captures_under_writers_agree() {
    let _alone = alone().await;
    for server in servers() {
        let db = "sw_many";
        let mut conn = server.fresh(db).await;
        conn.query_drop(
            "CREATE TABLE t (id INT, g VARCHAR(8) COLLATE utf8mb4_general_ci, v BIGINT, PRIMARY KEY (g, id))",
        )
        .await
        .unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..8u64)
            .map(|i| {
                let (server, stop) = (server.clone(), stop.clone());
                tokio::spawn(async move {
                    let mut conn = server.connect().await;
                    let mut chance = Chance::new(31 * i + 5);
                    let mut n = i;
                    while !stop.load(Ordering::Relaxed) {
                        n += 8;
                        let (id, g) = (chance.below(300), ["a", "A", "b", "B"][chance.below(4) as usize]);
                        let sql = match chance.below(8) {
                            0 => format!("DELETE FROM sw_many.t WHERE id = {id} AND g = '{g}'"),
                            1 => format!("UPDATE IGNORE sw_many.t SET g = '{g}', v = {n} WHERE id = {id}"),
                            _ => format!("REPLACE INTO sw_many.t VALUES ({id}, '{g}', {n})"),
                        };
                        let _ = conn.query_drop(sql).await;
                    }
                })
            })
            .collect();
        let mut pipes = Vec::new();
        for _ in 0..8 {
            let options = [("scan.incremental.snapshot.chunk.size", "20")];
            let mut pipe = server.pipe(&format!("{db}.t"), &options).await;
            for _ in 0..10 {
                pipe.step(Duration::from_millis(5)).await;
            }
            pipes.push(pipe);
        }
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.await.unwrap();
        }
        let mut expected = truth(&mut conn, "SELECT id, g, v FROM t").await;
        expected.sort();
        for pipe in &mut pipes {
            pipe.settle().await;
            let mut found: Vec<_> = pipe.model.table(db, "t").rows.values().cloned().collect();
            found.sort();
            assert_eq!(found, expected, "{}", server.name);
        }
        conn.query_drop(format!("DROP DATABASE {db}")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_with_the_fix() {
    let _alone = alone().await;
    for server in servers() {
        let db = "sw_wrong";
        let mut conn = server.fresh(db).await;
        conn.query_drop("CREATE TABLE t (id INT PRIMARY KEY)").await.unwrap();
        let none = server.source(&format!("{db}.nothing"), &[]).discover().await.unwrap_err();
        assert_eq!(none.kind, ErrorKind::User);
        assert!(none.chain().contains("Cannot find any table"), "{}", none.chain());

        let source = server.source(&format!("{db}.t"), &[("password", "wr0ng-s3cret"), ("connect.max-retries", "0")]);
        let denied = source.discover().await.unwrap_err();
        assert_eq!(denied.kind, ErrorKind::Refused, "{}", denied.chain());
        assert!(denied.hint().is_some() && !denied.chain().contains("wr0ng"), "{}", denied.chain());

        let position = [
            ("scan.startup.mode", "specific-offset"),
            ("scan.startup.specific-offset.file", "binlog.999999"),
            ("scan.startup.specific-offset.pos", "4"),
        ];
        let gone = server.source(&format!("{db}.t"), &position).open(None).await.err().unwrap();
        assert!(gone.chain().contains("binlog.999999") && gone.hint().is_some(), "{}", gone.chain());

        conn.query_drop("DROP USER IF EXISTS sw_weak").await.unwrap();
        conn.query_drop("CREATE USER sw_weak IDENTIFIED BY 'weak'").await.unwrap();
        conn.query_drop(format!("GRANT SELECT ON {db}.* TO sw_weak")).await.unwrap();
        let options = [("username", "sw_weak"), ("password", "weak")];
        let weak = server.source(&format!("{db}.t"), &options).discover().await.unwrap_err();
        assert!(weak.hint().is_some_and(|h| h.contains("REPLICATION")), "{} {:?}", weak.chain(), weak.hint());
        conn.query_drop("DROP USER sw_weak").await.unwrap();

        conn.query_drop("SET GLOBAL binlog_row_image = 'MINIMAL'").await.unwrap();
        let image = server.source(&format!("{db}.t"), &[NEW]).discover().await.unwrap_err();
        conn.query_drop("SET GLOBAL binlog_row_image = 'FULL'").await.unwrap();
        assert!(image.hint().is_some_and(|h| h.contains("binlog_row_image")), "{}", image.chain());
        conn.query_drop(format!("DROP DATABASE {db}")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_small_transactions_is_given_out_between_them() {
    let _alone = alone().await;
    for server in servers() {
        let db = "sw_backlog";
        let mut conn = server.fresh(db).await;
        conn.query_drop("CREATE TABLE t (id INT PRIMARY KEY)").await.unwrap();
        let source = server.source(&format!("{db}.t"), &[("scan.startup.mode", "latest-offset")]);
        let mut reader = source.open(None).await.unwrap_or_else(|e| panic!("{}", e.chain()));
        conn.query_drop(
            "CREATE PROCEDURE fill() BEGIN DECLARE i INT DEFAULT 0; WHILE i < 100000 DO SET i = i + 1; INSERT INTO t VALUES (i); END WHILE; END",
        )
        .await
        .unwrap();
        conn.query_drop("SET GLOBAL innodb_flush_log_at_trx_commit = 0, GLOBAL sync_binlog = 0").await.unwrap();
        conn.query_drop("CALL fill()").await.unwrap();
        conn.query_drop("SET GLOBAL innodb_flush_log_at_trx_commit = DEFAULT, GLOBAL sync_binlog = DEFAULT")
            .await
            .unwrap();
        let mut rows = 0;
        while rows < 100_000 {
            let polled = reader.poll(Duration::from_secs(30)).await.unwrap();
            let of = |event: &CdcEvent| match event {
                CdcEvent::Rows { rows: TableRows::Columns { changes, .. }, .. } => changes.rows(),
                _ => 0,
            };
            let given: usize = polled.events.iter().map(of).sum();
            rows += given;
            assert!(given == 0 || polled.boundary, "{}: an epoch can end although there is more to read", server.name);
        }
    }
}
