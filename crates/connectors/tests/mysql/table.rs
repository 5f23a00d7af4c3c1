//! `mysql-cdc` as a script's source, against real servers: what is declared comes, and ends where it is told.

use mysql_async::prelude::Queryable as _;
use starweir_connectors::BuiltSource;
use starweir_engine::SplitOffsets;

use super::harness::{Server, alone, servers};
use crate::scripts::{self, ONE, blocking, read, sorted};

fn table(server: &Server, declared: &[(&str, &str)], metadata: &[(&str, &str)], more: &[(&str, &str)]) -> BuiltSource {
    scripts::table("mysql-cdc", server.login(), declared, metadata, more)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_tables_come_as_one_with_declared_types_and_go_on_from_their_offset() {
    let _alone = alone().await;
    for server in servers() {
        let mut conn = server.fresh("sw_table").await;
        for name in ["orders_1", "orders_2", "other"] {
            conn.query_drop(format!(
                "CREATE TABLE {name} (id BIGINT UNSIGNED PRIMARY KEY, flag TINYINT(1), small INT UNSIGNED, at DATETIME(6), seen TIMESTAMP(3) NULL, price DECIMAL(10, 2), note TEXT)"
            ))
            .await
            .unwrap();
        }
        conn.query_drop("INSERT INTO orders_1 VALUES (1, 1, 4000000000, '2026-01-02 03:04:05.123456', '2026-01-02 03:04:05.5', 1.50, 'ü')").await.unwrap();
        conn.query_drop("INSERT INTO orders_2 VALUES (2, 0, NULL, NULL, NULL, NULL, NULL)").await.unwrap();
        conn.query_drop("INSERT INTO other VALUES (3, 0, NULL, NULL, NULL, NULL, NULL)").await.unwrap();
        let declared = [
            ("id", "BIGINT NOT NULL"),
            ("note", "STRING"),
            ("flag", "BOOLEAN"),
            ("small", "BIGINT"),
            ("at", "TIMESTAMP(3)"),
            ("seen", "TIMESTAMP(3)"),
            ("price", "DECIMAL(12, 3)"),
        ];
        let names =
            [("database-name", "sw_table"), ("table-name", "orders_[0-9]+"), ("server-time-zone", "Asia/Tokyo")];
        let built = table(&server, &declared, &[("table_name", "STRING"), ("row_kind", "STRING")], &names);
        let source = built.source.clone();
        let (mut reader, rows) = blocking(move || {
            let mut reader = source.open(ONE, &SplitOffsets::new()).unwrap_or_else(|e| panic!("{}", e.chain()));
            let rows = read(&mut *reader, 2);
            (reader, rows)
        })
        .await;
        let expected = [
            "+I 1|ü|true|4000000000|2026-01-02T03:04:05.123|2026-01-02T12:04:05.500|1.500|orders_1|+I",
            "+I 2||false|||||orders_2|+I",
        ];
        assert_eq!(sorted(rows), sorted(expected.map(str::to_owned).to_vec()), "{}", server.name);

        conn.query_drop("UPDATE orders_2 SET flag = 1 WHERE id = 2").await.unwrap();
        let (offsets, rows) = blocking(move || {
            let rows = read(&mut *reader, 2);
            (reader.offsets().unwrap(), rows)
        })
        .await;
        assert_eq!(rows, ["-U 2||false|||||orders_2|-U", "+U 2||true|||||orders_2|+U"], "{}", server.name);
        built.source.acknowledge(&offsets).await.unwrap();

        conn.query_drop("ALTER TABLE orders_1 DROP COLUMN note, ADD COLUMN extra INT FIRST").await.unwrap();
        conn.query_drop("DELETE FROM orders_1 WHERE id = 1").await.unwrap();
        let source = built.source.clone();
        let rows = blocking(move || read(&mut *source.open(ONE, &offsets).unwrap(), 1)).await;
        let deleted = "-D 1||true|4000000000|2026-01-02T03:04:05.123|2026-01-02T12:04:05.500|1.500|orders_1|-D";
        assert_eq!(rows, [deleted], "{}: nothing comes again, a dropped column is NULL", server.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_ends_by_itself_and_a_wrong_declaration_is_refused_before_it() {
    let _alone = alone().await;
    for server in servers() {
        let mut conn = server.fresh("sw_table_end").await;
        conn.query_drop("CREATE TABLE t (id INT PRIMARY KEY, amount BIGINT, name VARCHAR(10))").await.unwrap();
        conn.query_drop("INSERT INTO t SELECT seq, seq, 'x' FROM (SELECT @n := @n + 1 AS seq FROM information_schema.COLUMNS, (SELECT @n := 0) AS start LIMIT 500) AS numbers").await.unwrap();
        let names = [("database-name", "sw_table_end"), ("table-name", "T"), ("scan.startup.mode", "snapshot")];
        let built = table(&server, &[("id", "INT NOT NULL"), ("name", "STRING")], &[], &names);
        assert!(built.source.is_bounded());
        assert_eq!(built.source.inspect().await.unwrap().unwrap(), "readable, 1 table");
        let source = built.source.clone();
        let rows = blocking(move || read(&mut *source.open(ONE, &SplitOffsets::new()).unwrap(), usize::MAX)).await;
        assert_eq!(rows.len(), 500, "{}", server.name);

        let declared = [("id", "SMALLINT NOT NULL"), ("amount", "INT"), ("nam", "STRING")];
        let wrong = table(&server, &declared, &[], &names);
        let told = wrong.source.inspect().await.unwrap().unwrap_err().chain();
        for column in ["'id'", "'amount'", "'nam'"] {
            assert!(told.contains(column), "{}: {told}", server.name);
        }
        let none = table(&server, &declared, &[], &[("database-name", "sw_table_end"), ("table-name", "missing")]);
        let told = none.source.inspect().await.unwrap().unwrap_err().chain();
        assert!(told.contains("'table-name' = 'missing'"), "{told}");
    }
}
