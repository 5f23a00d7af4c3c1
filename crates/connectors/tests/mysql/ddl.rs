//! Changes of tables in the stream, on real servers.

use std::time::Duration;

use mysql_async::prelude::Queryable as _;

use super::harness::{alone, servers, truth};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_change_while_they_are_read() {
    let _alone = alone().await;
    for server in servers() {
        let db = "sw_ddl";
        let mut conn = server.fresh(db).await;
        conn.query_drop("CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(10), b INT)").await.unwrap();
        conn.query_drop("CREATE TABLE other (id INT PRIMARY KEY)").await.unwrap();
        conn.query_drop("INSERT INTO t VALUES (1, 'x', 2), (2, 'y', 3)").await.unwrap();
        let options = [("scan.binlog.newly-added-table.enabled", "true")];
        let mut pipe = server.pipe(&format!(r"{db}.\.*"), &options).await;
        pipe.settle().await;
        let statements = [
            "ALTER TABLE t ADD COLUMN c DATETIME(3) NULL AFTER a, ADD COLUMN (d BIT(3), e SET('p','q'))",
            "INSERT INTO t VALUES (3, 'z', '2020-01-02 03:04:05.678', 4, b'101', 'p,q')",
            "ALTER TABLE t CHANGE COLUMN b bb BIGINT UNSIGNED NOT NULL DEFAULT 0, MODIFY a TEXT",
            "UPDATE t SET bb = 18446744073709551615 WHERE id = 1",
            "ALTER TABLE t RENAME COLUMN a TO text, DROP COLUMN d",
            "INSERT INTO t (id, text, c, bb, e) VALUES (4, 'four', NULL, 1, '')",
            "CREATE TABLE fresh LIKE t",
            "INSERT INTO fresh SELECT * FROM t",
            "CREATE TABLE chosen (PRIMARY KEY (id)) AS SELECT id, bb FROM t",
            "UPDATE chosen SET bb = 5 WHERE id = 2",
            "CREATE TABLE gone (id INT PRIMARY KEY)",
            "INSERT INTO gone VALUES (1)",
            "DROP TABLE gone",
            "TRUNCATE TABLE fresh",
            "INSERT INTO fresh (id, bb) VALUES (9, 9)",
            // As gh-ost does it.
            "CREATE TABLE _t_gho LIKE t",
            "ALTER TABLE _t_gho ADD COLUMN f INT NOT NULL DEFAULT 7",
            "INSERT INTO _t_gho (id, text, c, bb, e) SELECT id, text, c, bb, e FROM t",
            "RENAME TABLE t TO _t_del, _t_gho TO t",
            "INSERT INTO t (id, bb, f) VALUES (5, 5, 55)",
        ];
        for (i, statement) in statements.iter().enumerate() {
            conn.query_drop(*statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
            if i % 3 == 1 {
                pipe.step(Duration::from_millis(100)).await;
            }
            if i % 5 == 4 {
                pipe.restart().await;
            }
        }
        pipe.settle().await;
        let show = |table: &str| {
            let known = pipe.model.table(db, table);
            let names: Vec<_> = known.schema.columns.iter().map(|c| format!("{} {}", c.name, c.data_type)).collect();
            (names.join(", "), known.rows.values().cloned().collect::<Vec<_>>())
        };
        let (schema, rows) = show("t");
        assert_eq!(
            schema,
            "id INT NOT NULL, text STRING, c TIMESTAMP(3), bb DECIMAL(20, 0) NOT NULL, e STRING, f INT NOT NULL",
            "{}",
            server.name
        );
        let expected = truth(&mut conn, "SELECT id, text, REPLACE(c, ' ', 'T'), bb, e, f FROM t ORDER BY id").await;
        assert_eq!(rows, expected, "{}", server.name);
        assert_eq!(show("fresh").1, truth(&mut conn, "SELECT id, text, c, bb, e FROM fresh").await, "{}", server.name);
        assert_eq!(
            show("chosen").1,
            truth(&mut conn, "SELECT id, bb FROM chosen ORDER BY id").await,
            "{}",
            server.name
        );
        assert!(!pipe.model.tables.keys().any(|id| id.table == "gone"));
        conn.query_drop(format!("DROP DATABASE {db}")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn xa_transactions_count_when_they_are_committed() {
    let _alone = alone().await;
    for server in servers() {
        let db = "sw_xa";
        let mut conn = server.fresh(db).await;
        conn.query_drop("CREATE TABLE t (id INT PRIMARY KEY, v INT)").await.unwrap();
        let mut pipe = server.pipe(&format!("{db}.t"), &[]).await;
        pipe.settle().await;
        let xa = |name: &'static str, id: u32| {
            let server = server.clone();
            async move {
                let mut conn = server.connect().await;
                for sql in [
                    format!("XA START '{name}'"),
                    format!("INSERT INTO {db}.t VALUES ({id}, 1)"),
                    format!("XA END '{name}'"),
                    format!("XA PREPARE '{name}'"),
                ] {
                    conn.query_drop(sql).await.unwrap();
                }
                let _ = conn.disconnect().await;
            }
        };
        xa("one", 1).await;
        xa("two", 2).await;
        xa("three", 3).await;
        conn.query_drop("INSERT INTO t VALUES (10, 10)").await.unwrap();
        pipe.settle().await;
        assert_eq!(pipe.model.table(db, "t").rows.len(), 1, "{}", server.name);
        pipe.restart().await;
        conn.query_drop("XA COMMIT 'one'").await.unwrap();
        conn.query_drop("XA ROLLBACK 'two'").await.unwrap();
        conn.query_drop("INSERT INTO t VALUES (11, 11)").await.unwrap();
        pipe.settle().await;
        pipe.restart().await;
        conn.query_drop("XA COMMIT 'three'").await.unwrap();
        pipe.settle().await;
        let found: Vec<_> = pipe.model.table(db, "t").rows.values().cloned().collect();
        let mut expected = truth(&mut conn, "SELECT id, v FROM t").await;
        expected.sort();
        assert_eq!(found, expected, "{}", server.name);
        assert_eq!(found.len(), 4);
        conn.query_drop(format!("DROP DATABASE {db}")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_transaction_comes_in_parts_and_whole() {
    let _alone = alone().await;
    for server in servers() {
        let db = "sw_large";
        let mut conn = server.fresh(db).await;
        conn.query_drop("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(100))").await.unwrap();
        let mut pipe = server.pipe(&format!("{db}.t"), &[("scan.startup.mode", "latest-offset")]).await;
        conn.query_drop("BEGIN").await.unwrap();
        let values = vec!["('some text of moderate length')"; 5000].join(",");
        for _ in 0..20 {
            conn.query_drop(format!("INSERT INTO t (v) VALUES {values}")).await.unwrap();
        }
        conn.query_drop("COMMIT").await.unwrap();
        pipe.settle().await;
        assert_eq!(pipe.model.table(db, "t").rows.len(), 100_000, "{}", server.name);
        conn.query_drop(format!("DROP DATABASE {db}")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_may_change_while_its_snapshot_is_read() {
    let _alone = alone().await;
    for server in servers() {
        let db = "sw_both";
        let mut conn = server.fresh(db).await;
        conn.query_drop("CREATE TABLE t (id INT PRIMARY KEY, a INT, b VARCHAR(20))").await.unwrap();
        let values: Vec<_> = (0..3000).map(|i| format!("({i}, {i}, 'b{i}')")).collect();
        conn.query_drop(format!("INSERT INTO t VALUES {}", values.join(","))).await.unwrap();
        let mut pipe = server.pipe(&format!("{db}.t"), &[("scan.incremental.snapshot.chunk.size", "40")]).await;
        let statements = [
            "ALTER TABLE t ADD COLUMN c INT DEFAULT 5 FIRST",
            "UPDATE t SET c = id WHERE id % 3 = 0",
            "ALTER TABLE t DROP COLUMN b",
            "DELETE FROM t WHERE id % 7 = 0",
            "ALTER TABLE t RENAME COLUMN a TO aa, ADD COLUMN d VARCHAR(5) DEFAULT 'd'",
            "UPDATE t SET aa = -aa WHERE id BETWEEN 1000 AND 1100",
            "ALTER TABLE t MODIFY aa BIGINT",
            "INSERT INTO t (id, aa) VALUES (9000, 1)",
        ];
        for statement in statements {
            for _ in 0..4 {
                pipe.step(Duration::from_millis(15)).await;
            }
            conn.query_drop(statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
        }
        pipe.restart().await;
        pipe.settle().await;
        let names: Vec<_> = pipe.model.table(db, "t").schema.columns.iter().map(|c| c.name.clone()).collect();
        assert_eq!(names, ["c", "id", "aa", "d"], "{}", server.name);
        let mut found: Vec<_> = pipe.model.table(db, "t").rows.values().cloned().collect();
        let mut expected = truth(&mut conn, "SELECT c, id, aa, d FROM t").await;
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{}", server.name);
        conn.query_drop(format!("DROP DATABASE {db}")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_not_logged_is_noticed_by_the_next_rows() {
    let _alone = alone().await;
    for server in servers() {
        let db = "sw_missed";
        let mut conn = server.fresh(db).await;
        conn.query_drop("CREATE TABLE t (id INT PRIMARY KEY, a INT)").await.unwrap();
        conn.query_drop("INSERT INTO t VALUES (1, 1)").await.unwrap();
        let mut pipe = server.pipe(&format!("{db}.t"), &[]).await;
        pipe.settle().await;
        conn.query_drop("SET sql_log_bin = 0").await.unwrap();
        conn.query_drop("ALTER TABLE t ADD COLUMN b VARCHAR(9) AFTER id").await.unwrap();
        conn.query_drop("SET sql_log_bin = 1").await.unwrap();
        conn.query_drop("INSERT INTO t VALUES (2, 'two', 2)").await.unwrap();
        pipe.settle().await;
        let found: Vec<_> = pipe.model.table(db, "t").rows.values().cloned().collect();
        assert_eq!(found, truth(&mut conn, "SELECT id, b, a FROM t ORDER BY id").await, "{}", server.name);
        conn.query_drop(format!("DROP DATABASE {db}")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_schema_changes_rows_keep_their_first_shape() {
    let _alone = alone().await;
    for server in servers() {
        let db = "sw_frozen";
        let mut conn = server.fresh(db).await;
        conn.query_drop("CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)").await.unwrap();
        conn.query_drop("INSERT INTO t VALUES (1, 1, 1)").await.unwrap();
        let mut pipe = server.pipe(&format!("{db}.t"), &[("schema-change.enabled", "false")]).await;
        pipe.settle().await;
        conn.query_drop("ALTER TABLE t ADD COLUMN c INT AFTER id, DROP COLUMN b").await.unwrap();
        conn.query_drop("INSERT INTO t VALUES (2, 22, 2)").await.unwrap();
        pipe.settle().await;
        let found: Vec<_> = pipe.model.table(db, "t").rows.values().cloned().collect();
        let text = |n: &str| Some(n.to_owned());
        assert_eq!(found, [vec![text("1"), text("1"), text("1")], vec![text("2"), text("2"), None]], "{}", server.name);
        assert_eq!(pipe.log.len(), 1, "{}", server.name);
        conn.query_drop(format!("DROP DATABASE {db}")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_tables_get_a_snapshot_when_a_capture_goes_on() {
    let _alone = alone().await;
    for server in servers() {
        let db = "sw_added";
        let mut conn = server.fresh(db).await;
        conn.query_drop("CREATE TABLE one (id INT PRIMARY KEY)").await.unwrap();
        conn.query_drop("INSERT INTO one VALUES (1)").await.unwrap();
        let options = [("scan.newly-added-table.enabled", "true")];
        let mut pipe = server.pipe(&format!(r"{db}.\.*"), &options).await;
        pipe.settle().await;
        conn.query_drop("CREATE TABLE two (id INT PRIMARY KEY)").await.unwrap();
        conn.query_drop("INSERT INTO two VALUES (1), (2)").await.unwrap();
        conn.query_drop("INSERT INTO one VALUES (2)").await.unwrap();
        pipe.settle().await;
        assert_eq!(pipe.model.tables.len(), 1, "{}", server.name);
        pipe.restart().await;
        pipe.settle().await;
        conn.query_drop("INSERT INTO two VALUES (3)").await.unwrap();
        pipe.settle().await;
        assert_eq!(pipe.model.table(db, "two").rows.len(), 3, "{}", server.name);
        assert_eq!(pipe.model.table(db, "one").rows.len(), 2, "{}", server.name);
        conn.query_drop(format!("DROP DATABASE {db}")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encrypted_connection_captures_too() {
    let _alone = alone().await;
    for server in servers().into_iter().filter(|s| s.name == "mysql") {
        let db = "sw_tls";
        let mut conn = server.fresh(db).await;
        conn.query_drop("CREATE TABLE t (id INT PRIMARY KEY)").await.unwrap();
        conn.query_drop("INSERT INTO t VALUES (1)").await.unwrap();
        let mut pipe = server.pipe(&format!("{db}.t"), &[("jdbc.properties.useSSL", "true")]).await;
        conn.query_drop("INSERT INTO t VALUES (2)").await.unwrap();
        pipe.settle().await;
        assert_eq!(pipe.model.table(db, "t").rows.len(), 2);
        let untrusted = server
            .source(&format!("{db}.t"), &[("jdbc.properties.sslMode", "VERIFY_CA"), ("connect.max-retries", "0")]);
        assert!(untrusted.discover().await.is_err(), "a certificate nobody signed is not trusted");
        conn.query_drop(format!("DROP DATABASE {db}")).await.unwrap();
    }
}
