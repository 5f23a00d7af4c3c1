//! Every type by both ways: a snapshot and the stream must give the same bytes.

use mysql_async::prelude::Queryable as _;

use super::harness::{Server, alone, servers};

/// A column's type and literals of values; those that only one server knows carry its name.
const TYPES: &[(&str, &str, &[&str])] = &[
    ("", "TINYINT", &["-128", "127", "0"]),
    ("", "TINYINT UNSIGNED", &["0", "255"]),
    ("", "TINYINT(1)", &["0", "1", "9", "-1"]),
    ("", "SMALLINT", &["-32768", "32767"]),
    ("", "SMALLINT UNSIGNED", &["65535"]),
    ("", "MEDIUMINT", &["-8388608", "-1", "8388607"]),
    ("", "MEDIUMINT UNSIGNED ZEROFILL", &["16777215", "7"]),
    ("", "INT", &["-2147483648", "2147483647"]),
    ("", "INT UNSIGNED", &["4294967295"]),
    ("", "BIGINT", &["-9223372036854775808", "9223372036854775807"]),
    ("", "BIGINT UNSIGNED", &["18446744073709551615", "0"]),
    ("", "DECIMAL(65,30)", &["-12345678901234567890123456789012345.123456789012345678901234567891", "0.5", "0"]),
    ("", "DECIMAL(38,10)", &["-9999999999999999999999999999.9999999999", "0.0000000001"]),
    ("", "DECIMAL(10,0) ZEROFILL", &["42"]),
    ("", "DECIMAL(65,1) ZEROFILL", &["42.5"]),
    ("", "DECIMAL(5,5)", &["0.12345", "-0.00001"]),
    ("", "FLOAT", &["1.1", "-3.4e38", "16777216", "1e-30", "123456789"]),
    ("", "FLOAT(10,3)", &["3.14", "-99999.125"]),
    ("", "DOUBLE", &["1.7976931348623157e308", "-2.5e-308", "0.1"]),
    ("", "DOUBLE(20,4)", &["12345.67891"]),
    ("", "BIT(1)", &["b'1'", "b'0'"]),
    ("", "BIT(3)", &["b'101'", "b'000'"]),
    ("", "BIT(33)", &["b'100000000000000000000000000000001'"]),
    ("", "BIT(64)", &["x'ffeeddccbbaa9988'", "b'0'"]),
    ("", "YEAR", &["0", "1901", "2155", "2000"]),
    (
        "",
        "DATE",
        &[
            "'0000-00-00'",
            "'2020-00-00'",
            "'1000-01-01'",
            "'9999-12-31'",
            "'1969-12-31'",
            "'2021-02-31'",
            "'0017-08-12'",
        ],
    ),
    ("", "TIME", &["'-838:59:59'", "'838:59:59'", "'00:00:00'", "'-00:00:01'"]),
    ("", "TIME(1)", &["'-00:00:00.1'", "'12:34:56.7'"]),
    ("", "TIME(3)", &["'-01:02:03.004'", "'18:00:22.123'"]),
    ("", "TIME(6)", &["'-838:59:58.999999'", "'-00:00:00.000001'", "'01:00:00.5'"]),
    ("", "DATETIME", &["'0000-00-00 00:00:00'", "'9999-12-31 23:59:59'", "'1000-01-01 00:00:00'"]),
    ("", "DATETIME(1)", &["'2020-07-17 18:00:22.1'"]),
    ("", "DATETIME(4)", &["'2020-07-17 18:00:22.1234'"]),
    ("", "DATETIME(6)", &["'0033-03-03 14:14:14.123456'", "'2020-07-17 18:00:22.000001'"]),
    (
        "",
        "TIMESTAMP NULL",
        &["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'", "'2024-03-31 01:30:00'", "'0000-00-00 00:00:00'"],
    ),
    ("", "TIMESTAMP(6) NULL", &["'2038-01-19 03:14:07.999999'", "'2024-10-27 00:59:59.5'"]),
    ("", "CHAR(5)", &["'ab'", "''", "'ab   '", "'äöü'"]),
    ("", "CHAR(255)", &["'long'"]),
    ("", "CHAR(5) CHARACTER SET latin1", &["'é€'", "'ÿ'"]),
    ("", "VARCHAR(10) CHARACTER SET gbk", &["'你好'", "'abc'"]),
    ("", "VARCHAR(10) CHARACTER SET utf8mb4", &["'😀'", "' x '"]),
    ("", "VARCHAR(300) CHARACTER SET ucs2", &["'你a'"]),
    ("", "VARCHAR(10) CHARACTER SET cp1251", &["'Привет'"]),
    ("", "VARCHAR(0)", &["''"]),
    ("", "BINARY(4)", &["x'00'", "x'ff00ff00'", "''"]),
    ("", "VARBINARY(300)", &["x'00ff00'", "''"]),
    ("", "TINYTEXT", &["'tiny'"]),
    ("", "TEXT CHARACTER SET latin1", &["'café'"]),
    ("", "MEDIUMTEXT", &["REPEAT('ü', 1000)"]),
    ("", "LONGTEXT", &["'long\\n\\0text'"]),
    ("", "BLOB", &["x'0001fe'", "''"]),
    ("", "LONGBLOB", &["REPEAT(x'ab', 70000)"]),
    ("", "ENUM('red','it''s','ü')", &["'red'", "'it''s'", "'ü'", "''"]),
    ("", "ENUM('a','b') CHARACTER SET latin1", &["'b'"]),
    ("", "SET('a','b','c d')", &["''", "'a'", "'a,b'"]),
    ("", "POINT", &["ST_GeomFromText('POINT(1.5 -2)')"]),
    (
        "",
        "GEOMETRY",
        &[
            "ST_GeomFromText('POLYGON((0 0, 4 0, 4 4, 0 4, 0 0), (1 1, 2 1, 2 2, 1 1))')",
            "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1), MULTIPOINT(1 1, 2 2), MULTILINESTRING((1 1,2 2),(3 3,4 4)))')",
            "ST_GeomFromText('MULTIPOLYGON(((0 0,1 0,1 1,0 0)))', 4326)",
        ],
    ),
    (
        "",
        "JSON",
        &[
            r#"'{"a": 1, "b": [true, null, "x\\"y"], "ü": -1.5e30}'"#,
            r#"'[1.0, 0.1, 1e100, 123456789012345678901, -9223372036854775808, 18446744073709551615, 2.5e-20]'"#,
            r#"'"text \\u0001 \\t \\\\ /"'"#,
            "'{}'",
            "'[]'",
            "'null'",
            "'70000'",
            "'-40000'",
            r#"'{"b": 1, "aa": 2, "b": 3}'"#,
        ],
    ),
    (
        "mysql",
        "JSON",
        &[
            "JSON_OBJECT('d', CAST('2020-01-02' AS DATE), 't', CAST('-01:02:03.5' AS TIME(3)), 'ts', CAST('2020-01-02 03:04:05.6' AS DATETIME(6)))",
            "JSON_ARRAY(CAST(123.4500 AS DECIMAL(10,4)), CAST(x'00ff' AS BINARY), 1.5E0)",
            "JSON_OBJECT('k', REPEAT('long ', 20000))",
        ],
    ),
    ("mysql", "VECTOR(3)", &["STRING_TO_VECTOR('[1.5,-2,0.1]')"]),
    (
        "mariadb",
        "UUID",
        &[
            "'123e4567-e89b-12d3-a456-426655440000'",
            "'ffffffff-ffff-4fff-bfff-ffffffffff00'",
            "'00000000-0000-0000-0000-000000000000'",
        ],
    ),
    ("mariadb", "INET6", &["'2001:db8::ff00:42:8329'", "'::'", "'::ffff:192.0.2.1'", "'::1'"]),
    ("mariadb", "INET4", &["'192.0.2.33'", "'0.0.0.0'"]),
];

async fn both_ways(server: &Server, metadata: &str) {
    let db = "sw_types";
    let mut conn = server.fresh(db).await;
    let old: String = conn.query_first("SELECT @@GLOBAL.binlog_row_metadata").await.unwrap().unwrap();
    conn.query_drop(format!("SET GLOBAL binlog_row_metadata = '{metadata}'")).await.unwrap();
    let mut conn2 = server.connect().await;
    conn2.query_drop(format!("USE {db}")).await.unwrap();
    let options = [
        ("scan.startup.mode", "latest-offset"),
        ("use.legacy.json.format", "false"),
        ("scan.binlog.newly-added-table.enabled", "true"),
    ];
    let mut stream = server.pipe(&format!(r"{db}.\.*"), &options).await;
    let mut tables = Vec::new();
    for (i, (only, of, values)) in TYPES.iter().enumerate() {
        if !only.is_empty() && *only != server.name {
            continue;
        }
        let table = format!("t{i}");
        if let Err(error) = conn2.query_drop(format!("CREATE TABLE {table} (id INT PRIMARY KEY, v {of}, w {of})")).await
        {
            eprintln!("{}: {of}: {error}", server.name);
            continue;
        }
        for (id, value) in values.iter().chain(["NULL"].iter()).enumerate() {
            let sql = format!("INSERT INTO {table} VALUES ({id}, {value}, NULL)");
            if let Err(error) = conn2.query_drop(&sql).await {
                eprintln!("{}: {sql}: {error}", server.name);
            }
        }
        conn2.query_drop(format!("UPDATE {table} SET w = v")).await.unwrap_or_else(|e| panic!("{of}: {e}"));
        tables.push((table, *of));
    }
    stream.settle().await;
    let mut snapshot = server.pipe(&format!(r"{db}.\.*"), &[("use.legacy.json.format", "false")]).await;
    snapshot.settle().await;
    let mut wrong = Vec::new();
    for (table, of) in tables {
        let (a, b) = (stream.model.table(db, &table), snapshot.model.table(db, &table));
        assert_eq!(a.schema, b.schema, "{} {of}", server.name);
        if a.rows != b.rows {
            wrong.push(format!("{of}\n  stream   {:?}\n  snapshot {:?}", a.rows.values(), b.rows.values()));
        }
    }
    conn.query_drop(format!("SET GLOBAL binlog_row_metadata = '{old}'")).await.unwrap();
    conn.query_drop(format!("DROP DATABASE {db}")).await.unwrap();
    assert!(wrong.is_empty(), "{} {metadata}:\n{}", server.name, wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_and_stream_give_the_same_bytes_for_every_type() {
    let _alone = alone().await;
    for server in servers() {
        both_ways(&server, "FULL").await;
        both_ways(&server, "MINIMAL").await;
    }
}
