//! What statements about tables and partitions do: one row a behaviour, the statements and what the last one answers.

use starweir_warehouse::{Config, Warehouse};

use crate::shown;

/// The warehouse and its one check: `want` is the whole answer, `HAS text` a part of it, `ERROR text` a part of an
/// error, `ok` anything but an error.
struct Checked(Warehouse);

impl Checked {
    async fn new() -> Self {
        let w = Warehouse::start(Config::default()).await.unwrap();
        w.query("CREATE DATABASE d").await.unwrap();
        Self(w)
    }

    async fn check(&self, sql: &str, want: &str) {
        let sql = format!("USE d; {sql}");
        let got = self.0.query(&sql).await.map(|b| shown(&b)).unwrap_or_else(|e| format!("ERROR {}", e.chain()));
        let good = match want.split_once(' ') {
            Some(("HAS", part)) => !got.starts_with("ERROR") && got.contains(part),
            Some(("ERROR", part)) => got.starts_with("ERROR") && got.contains(part),
            _ => got == want || want == "ok" && !got.starts_with("ERROR"),
        };
        assert!(good, "{sql}\n got {got}\nwant {want}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_alter_table_refuses() {
    let w = Checked::new().await;
    w.check("CREATE TABLE p (k INT, v INT, s INT) PRIMARY KEY(k) ORDER BY(s)", "ok").await;
    w.check("CREATE TABLE u (k INT, v INT) UNIQUE KEY(k) DISTRIBUTED BY HASH(k)", "ok").await;
    for (sql, want) in [
        (
            "ALTER TABLE p ADD COLUMN x INT KEY",
            "from line 1, column 25 to line 1, column 31. Detail message: Column definition is wrong. Cannot specify aggregate function 'REPLACE' for key column 'x'.",
        ),
        ("ALTER TABLE u ADD COLUMN x INT KEY SUM", "Cannot specify aggregate function 'SUM' for key column 'x'"),
        (
            "ALTER TABLE u ADD COLUMN x INT, ADD COLUMN x BIGINT",
            "Repeatedly add same column with different definition: x",
        ),
        ("ALTER TABLE u ADD COLUMN v INT", "Can not add column which already exists in base table: v"),
        ("ALTER TABLE u ADD COLUMN v BIGINT", "already exists in column id: v, you can remove `v` int(11) NULL"),
        ("ALTER TABLE u DROP COLUMN v, DROP COLUMN z", "Column does not exists: z"),
        ("ALTER TABLE p DROP COLUMN s", "Can not drop sort column in primary data model table"),
        (
            "ALTER TABLE u MODIFY COLUMN v INT MAX",
            "Can not assign aggregation method on column in Unique data model table: v",
        ),
    ] {
        w.check(sql, &format!("ERROR {want}")).await;
    }
    // The same column twice is one; a primary-key table takes an aggregation and forgets it.
    w.check("ALTER TABLE u ADD COLUMN x INT, ADD COLUMN x INT; SELECT count(*) FROM u", "0").await;
    w.check("ALTER TABLE p MODIFY COLUMN v INT MAX; SHOW CREATE TABLE p", "HAS `v` int(11) NULL COMMENT").await;
    // A renamed column keeps its first name as its id.
    w.check("ALTER TABLE u RENAME COLUMN v TO w", "ok").await;
    w.check("ALTER TABLE u ADD COLUMN v INT", "ERROR column id: v, you can remove `w` int(11)").await;
    w.0.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_columns_may_not_be() {
    let w = Checked::new().await;
    w.check("CREATE TABLE t (k INT, j INT, n BIGINT AUTO_INCREMENT, g INT AS (j)) PRIMARY KEY(k)", "ok").await;
    for (sql, want) in [
        (
            "CREATE TABLE x (n BIGINT NULL AUTO_INCREMENT) PRIMARY KEY(n)",
            "at line 1, column 16. Detail message: AUTO_INCREMENT column n must be NOT NULL",
        ),
        (
            "CREATE TABLE x (n INT AUTO_INCREMENT)",
            "from line 1, column 16 to line 1, column 22. Detail message: The AUTO_INCREMENT column must be BIGINT",
        ),
        (
            "CREATE TABLE x (n BIGINT AUTO_INCREMENT DEFAULT '1')",
            "at line 1, column 40. Detail message: Unexpected input 'DEFAULT', the most similar input is {',', ')'}",
        ),
        ("CREATE TABLE x (a TIME)", "Type:TIME of column:a does not support"),
        ("CREATE TABLE x (a MAP<BIGINT, TIME>)", "Type:MAP<BIGINT,TIME> of column:a"),
        ("CREATE TABLE x (a STRUCT<b BIGINT, time TIME>)", "Type:struct<b bigint(20), time TIME> of column:a"),
        ("ALTER TABLE t ADD COLUMN h INT AS (g)", "Expression can not refers to other generated columns: g"),
        ("ALTER TABLE t ADD COLUMN h INT AS (n)", "Expression can not refers to AUTO_INCREMENT columns: n"),
        ("ALTER TABLE t ADD COLUMN h INT AS (sum(j))", "Generated Column don't support aggregation function"),
        ("ALTER TABLE t ADD COLUMN h INT KEY AS (j)", "Generated Column can not be KEY"),
        (
            "ALTER TABLE t ADD COLUMN h INT AS j + 1 AFTER k",
            "from line 1, column 25 to line 1, column 38. Detail message: AFTER can not be set when ADD GENERATED COLUMN",
        ),
        ("ALTER TABLE t ADD COLUMN h INT AS j (k)", "No matching function with signature: j(int(11))"),
        (
            "ALTER TABLE t ADD COLUMN h INT AS NOT NULL (j)",
            "at line 1, column 43. Detail message: Unexpected input '(', the most similar input is {<EOF>, ';'}",
        ),
        (
            "ALTER TABLE t ADD COLUMN h INT AS DEFAULT (j)",
            "at line 1, column 34. Detail message: Unexpected input 'DEFAULT', the most similar input is {a legal identifier}",
        ),
        ("ALTER TABLE t MODIFY COLUMN g INT", "Can not modify a generated column to a non-generated column"),
        ("ALTER TABLE t MODIFY COLUMN j INT AS (k)", "Can not modify a non-generated column to a generated column"),
    ] {
        w.check(sql, &format!("ERROR {want}")).await;
    }
    // A column may be called as a type is.
    w.check("CREATE TABLE x (time INT, a STRUCT<time INT>); SELECT count(*) FROM x", "0").await;
    w.0.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn show_create_table_leaves_out_what_says_nothing_and_shows_hidden_columns() {
    let w = Checked::new().await;
    w.check(
        "CREATE TABLE t (k INT, v INT) PROPERTIES ('storage_format' = 'DEFAULT', 'in_memory' = 'false', 'enable_persistent_index' = 'true')",
        "ok",
    )
    .await;
    w.check(
        "SHOW CREATE TABLE t",
        "HAS \"bucket_size\" = \"1073741824\",\n\"compression\" = \"LZ4\",\n\"fast_schema_evolution\" = \"true\",\n\"replicated_storage\" = \"true\",\n\"replication_num\" = \"3\"\n",
    )
    .await;
    w.check("CREATE TABLE h (a INT, d DATE) PARTITION BY a, date_trunc(\"month\", d)", "ok").await;
    w.check(
        "SHOW CREATE TABLE h",
        "HAS `__generated_partition_column_0` date NULL AS date_trunc('month', `d`) COMMENT \"\"\n) ENGINE=OLAP \nDUPLICATE KEY(`a`, `d`)\nPARTITION BY (`a`,`__generated_partition_column_0`)",
    )
    .await;
    w.check("INSERT INTO h VALUES (1, '2024-05-06'); SELECT * FROM h", "1 2024-05-06").await;
    // What was printed can be run again.
    w.check(
        "CREATE TABLE again (a INT, d DATE, `__generated_partition_column_0` date NULL AS date_trunc('month', `again`.`d`)) PARTITION BY (`a`,`__generated_partition_column_0`)",
        "ok",
    )
    .await;
    w.check("SHOW CREATE TABLE again", "HAS AS date_trunc('month', `d`)").await;
    w.check("CREATE TABLE x (__generated_partition_column_1 INT)", "ERROR is a system reserved name").await;
    w.check(
        "CREATE TABLE x (a INT, b INT SUM) AGGREGATE KEY(a) PARTITION BY from_unixtime(a)",
        "ERROR should specify aggregate type for non-key column[__generated_partition_column_0]",
    )
    .await;
    w.check("CREATE TABLE r (a VARCHAR(9)) PARTITION BY RANGE(cast(substr(a, 2) as bigint)) (PARTITION p VALUES [('0'), ('10')))", "ok").await;
    w.check("SHOW CREATE TABLE r", "HAS PARTITION BY RANGE(CAST(substr(a, 2) AS BIGINT))").await;
    w.check("INSERT INTO r VALUES ('x7'); SELECT * FROM r", "x7").await;
    w.check("INSERT INTO r VALUES ('x70')", "ERROR The row is out of partition ranges").await;
    w.0.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_go_by_a_condition_on_their_values() {
    let w = Checked::new().await;
    let names = "SELECT group_concat(partition_name ORDER BY partition_name) FROM information_schema.partitions_meta WHERE db_name = 'd' AND table_name = ";
    w.check(
        "CREATE TABLE r (d DATE, v INT) PARTITION BY RANGE(d) (START ('2024-01-01') END ('2024-01-05') EVERY (INTERVAL 1 DAY)); \
         INSERT INTO r VALUES ('2024-01-01', 1), ('2024-01-03', 3)",
        "ok",
    )
    .await;
    w.check("ALTER TABLE r DROP PARTITIONS WHERE v = 1", "ERROR Column `v` in the partition condition is not a table's partition expression, please use table's partition expressions: `d`").await;
    w.check("ALTER TABLE r DROP PARTITIONS WHERE d IS NULL", "ok").await;
    // The upper end of a range counts.
    w.check("ALTER TABLE r DROP PARTITIONS WHERE d >= '2024-01-03' AND d <= '2024-01-04'", "ok").await;
    w.check(&format!("{names}'r'"), "p20240101,p20240102,p20240104").await;
    w.check("SELECT d FROM r", "2024-01-01").await;
    // Partitions that rows made, the shadow among them; NULL lies in the first one.
    w.check("CREATE TABLE a (d DATE, v INT) PARTITION BY date_trunc('day', d)", "ok").await;
    w.check("INSERT INTO a VALUES ('2024-01-01', 1), ('2024-01-02', 2), (NULL, 3)", "ok").await;
    w.check(&format!("{names}'a'"), "$shadow_automatic_partition,p00000101,p20240101,p20240102").await;
    w.check("ALTER TABLE a DROP PARTITIONS WHERE d <= '2024-01-02'; SELECT v FROM a", "2").await;
    // A list partition by an expression; what the retention condition does not keep goes.
    w.check(
        "CREATE TABLE l (s VARCHAR(10), v INT) PARTITION BY v, str2date(s, '%Y-%m-%d') \
         PROPERTIES ('partition_retention_condition' = \"str2date(s, '%Y-%m-%d') >= '2024-01-02'\")",
        "ok",
    )
    .await;
    w.check("INSERT INTO l VALUES ('2024-01-01', 1), ('2024-01-02', 2), ('2024-01-02', 3)", "ok").await;
    w.check("ALTER TABLE l DROP PARTITIONS WHERE v = 3; SELECT v FROM l ORDER BY v", "1|2").await;
    w.0.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_partition_is_seen_when_it_replaces_another() {
    let w = Checked::new().await;
    w.check("CREATE TABLE t (k VARCHAR(9), v INT) PARTITION BY (k); INSERT INTO t VALUES ('a', 1), ('b', 2)", "ok")
        .await;
    w.check("ALTER TABLE t ADD TEMPORARY PARTITION tmp VALUES IN ('a')", "ok").await;
    w.check("INSERT INTO t TEMPORARY PARTITION(tmp) VALUES ('a', 10), ('a', 11)", "ok").await;
    w.check("INSERT INTO t TEMPORARY PARTITION(tmp) VALUES ('b', 10)", "ERROR The row is out of partition ranges")
        .await;
    w.check("SELECT v FROM t ORDER BY v", "1|2").await;
    w.check("SELECT v FROM t TEMPORARY PARTITION(tmp) ORDER BY v", "10|11").await;
    w.check("SHOW TABLES", "t").await;
    w.check("ALTER TABLE t REPLACE PARTITION (pb) WITH TEMPORARY PARTITION (tmp)", "ERROR not stricly matched").await;
    w.check(
        "ALTER TABLE t REPLACE PARTITION (pa) WITH TEMPORARY PARTITION (tmp); SELECT v FROM t ORDER BY v",
        "2|10|11",
    )
    .await;
    w.check("ALTER TABLE t DROP PARTITION pa; SELECT v FROM t", "2").await;
    w.0.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_frontend_is_told_counts() {
    let w = Checked::new().await;
    w.check("CREATE TABLE a (d DATE) PARTITION BY date_trunc('day', d)", "ok").await;
    w.check("ADMIN SET FRONTEND CONFIG ('max_automatic_partition_number' = '0')", "ok").await;
    w.check("INSERT INTO a VALUES ('2024-01-01')", "ERROR created partitions exceeded the maximum limit: 0").await;
    w.check("ADMIN SET FRONTEND CONFIG ('max_automatic_partition_number' = '4')", "ok").await;
    w.check("INSERT INTO a VALUES ('2024-01-01'); SELECT count(*) FROM a", "1").await;
    w.check("ADMIN SET FRONTEND CONFIG ('enable_display_shadow_partitions' = 'true')", "ok").await;
    w.check("SHOW PARTITIONS FROM a", "HAS $shadow_automatic_partition").await;
    w.check("ADMIN SET FRONTEND CONFIG ('enable_experimental_temporary_table' = 'false')", "ok").await;
    w.check("CREATE TEMPORARY TABLE x (k INT)", "ERROR FE config 'enable_experimental_temporary_table' is disabled")
        .await;
    w.0.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_inserts_and_drops_leave_behind() {
    let w = Checked::new().await;
    w.check("CREATE TABLE t (k INT NOT NULL, v INT) PARTITION BY RANGE(k) (PARTITION p VALUES LESS THAN ('5'))", "ok")
        .await;
    w.check(
        "INSERT INTO t VALUES (7, 1)",
        "ERROR Insert has filtered data in strict mode: The row is out of partition ranges",
    )
    .await;
    w.check("INSERT INTO t VALUES (NULL, 1)", "ERROR NULL value in non-nullable column 'k'").await;
    w.check(
        "SELECT l.state, l.type, trim(g.tracking_log) FROM information_schema.loads l JOIN \
         (SELECT * FROM information_schema.load_tracking_logs WHERE job_id > 0 OR job_id = 0) g ON g.id = l.id WHERE l.db_name = 'd' ORDER BY l.id",
        "HAS CANCELLED INSERT Error: The row is out of partition ranges. Please add a new partition.. Row: [7, 1]",
    )
    .await;
    w.check(
        "SELECT * FROM information_schema.load_tracking_logs",
        "ERROR load_tracking_logs must specify label or job_id",
    )
    .await;
    w.check("ALTER TABLE t DROP PARTITION p; DROP TABLE t; CREATE TABLE t2 (k INT); DROP TABLE t2 FORCE", "ok").await;
    w.check("SELECT type, name FROM information_schema.recyclebin_catalogs", "Partition p|Table t").await;
    w.check("CREATE TABLE s (k INT, a INT, b INT) PRIMARY KEY(k) ORDER BY(b)", "ok").await;
    w.check("INSERT INTO s (k, a) VALUES (1, 1)", "ERROR must provide all sort key columns").await;
    w.check(
        "CREATE TABLE b (k INT, m BITMAP BITMAP_UNION DEFAULT '') AGGREGATE KEY(k); INSERT INTO b (k) VALUES (1)",
        "ok",
    )
    .await;
    w.check("SELECT bitmap_to_string(m), m IS NULL FROM b", " 0").await;
    w.check("SET query_mem_limit = 1; SELECT k FROM b", "ERROR exceed limit").await;
    w.check("SET insert_timeout = 1; CREATE TABLE late AS SELECT sleep(2)", "ERROR reached its timeout of 1 seconds")
        .await;
    w.check(
        "CREATE TABLE dt (k DATETIME) PARTITION BY (k); INSERT INTO dt VALUES ('2020-01-01'); SHOW PARTITIONS FROM dt",
        "HAS p20200101000000",
    )
    .await;
    w.0.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn now_is_what_the_sessions_clock_shows() {
    let w = Checked::new().await;
    let far = "timestampdiff(HOUR, utc_timestamp(), now())";
    w.check(&format!("SET time_zone = '+08:00'; SELECT {far}"), "8").await;
    w.check(&format!("SET time_zone = 'UTC'; SELECT {far}"), "0").await;
    w.0.shutdown().await.unwrap();
}
