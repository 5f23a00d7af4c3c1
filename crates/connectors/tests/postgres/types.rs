//! Values of every type: the snapshot and the stream give the same.

use super::harness::server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_is_the_same_from_the_snapshot_and_from_the_stream() {
    let Some(server) = server() else { return };
    let db = server.fresh("sw_pg_types").await;
    let columns = [
        ("bool", "true", "true"),
        ("smallint", "-32768", "-32768"),
        ("bigint", "-9223372036854775808", "-9223372036854775808"),
        ("real", "'NaN'", "NaN"),
        ("double precision", "'-Infinity'", "-inf"),
        ("double precision", "0.1", "0.1"),
        ("numeric(38, 10)", "1234567890123456789012345678.0123456789", "1234567890123456789012345678.0123456789"),
        (
            "numeric",
            "0.000000000000000000000000000000000000000000001",
            "0.000000000000000000000000000000000000000000001",
        ),
        ("numeric(5, 2)", "'NaN'", "NULL"),
        ("money", "-1234.5", "-1234.50"),
        ("text", "'ä\u{1f600}\n\\'", "ä\u{1f600}\n\\"),
        ("char(5)", "'ab'", "ab   "),
        ("varchar(20)", "''", ""),
        ("bytea", r"'\x00ff5c'", "00ff5c"),
        ("date", "'0044-03-15 BC'", "-0043-03-15"),
        ("date", "'infinity'", "NULL"),
        ("time(3)", "'18:00:22.1234'", "64822123000 us"),
        ("time", "'24:00:00'", "86400000000 us"),
        ("timetz", "'18:00:22+08'", "18:00:22+08"),
        ("timestamp", "'2020-07-17 18:00:22.123456'", "2020-07-17T18:00:22.123456"),
        ("timestamp", "'-infinity'", "NULL"),
        ("timestamptz", "'2020-07-17 18:00:22.5+08'", "2020-07-17T10:00:22.500"),
        ("interval", "'1 year 2 days -00:00:01.5'", "31730398500000"),
        ("json", r#"'{"a":  1}'"#, r#"{"a":  1}"#),
        ("jsonb", r#"'{"b":1, "a":[1,2]}'"#, r#"{"a": [1, 2], "b": 1}"#),
        ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("inet", "'192.168.1.1'", "192.168.1.1"),
        ("bit(1)", "B'1'", "true"),
        ("bit(12)", "B'100000000010'", "0208"),
        ("varbit", "B'101'", "05"),
        ("int4range", "'[1,10)'", "[1,10)"),
        ("point", "'(1.5,2)'", "(1.5,2)"),
        ("int[]", "'{1,NULL,3}'", "[1, NULL, 3]"),
        ("text[]", r#"ARRAY['a,b', NULL, '"']"#, "[a,b, NULL, \"]"),
        ("timestamp[]", "ARRAY['2020-01-01'::timestamp]", "[2020-01-01T00:00:00]"),
        ("numeric(6, 2)[]", "'{1.5,2}'", "[1.50, 2.00]"),
        ("mood", "'happy'", "happy"),
        ("price", "12.5", "12.50"),
        ("mood[]", "ARRAY['happy'::mood]", "[happy]"),
        ("hstore", "'a=>1, b=>NULL'", r#"{"a":"1","b":null}"#),
        ("xml", "'<a/>'", "<a/>"),
    ];
    let list = |part: &dyn Fn(usize) -> String| (0..columns.len()).map(part).collect::<Vec<_>>().join(", ");
    let definitions = list(&|i| format!("\"C {i}\" {}", columns[i].0));
    let values = list(&|i| columns[i].1.to_owned());
    let nulls = list(&|_| "NULL".to_owned());
    db.run("CREATE EXTENSION IF NOT EXISTS hstore; CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN price AS numeric(8, 2)")
        .await;
    db.run(&format!(
        "CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED, {definitions}); \
         ALTER TABLE t REPLICA IDENTITY FULL"
    ))
    .await;
    let names = list(&|i| format!("\"C {i}\""));
    let insert = |id: u32| {
        format!(
            "INSERT INTO t (id, {names}) VALUES ({id}, {values}); INSERT INTO t (id, {names}) VALUES ({}, {nulls})",
            id + 1
        )
    };
    db.run(&insert(1)).await;
    let mut pipe = db.pipe(&[]).await;
    pipe.settle().await;
    db.run(&insert(3)).await;
    // Old and new image.
    db.run("UPDATE t SET id = 30 WHERE id = 3").await;
    pipe.settle().await;
    let rows = pipe.model.rows("t");
    assert_eq!(rows.len(), 4);
    let row = |id: &str| rows.iter().find(|r| r[0].as_deref() == Some(id)).unwrap()[1..].to_vec();
    for (i, (kind, _, expected)) in columns.iter().enumerate() {
        assert_eq!(row("1")[i].as_deref().unwrap_or("NULL"), *expected, "{kind} from the snapshot");
        assert_eq!(row("30")[i].as_deref().unwrap_or("NULL"), *expected, "{kind} from the stream");
    }
    assert_eq!(row("2"), vec![None; columns.len()]);
    assert_eq!(row("4"), row("2"));
}
