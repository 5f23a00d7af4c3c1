//! `postgres-cdc` as a script's source, against a real server.

use starweir_connectors::BuiltSource;
use starweir_engine::SplitOffsets;

use super::harness::{Database, server};
use crate::scripts::{self, ONE, blocking, read, sorted};

const DECLARED: &[(&str, &str)] =
    &[("id", "BIGINT NOT NULL"), ("note", "STRING NOT NULL"), ("price", "DECIMAL(20, 2)"), ("at", "TIMESTAMP(3)")];
const NAMES: [(&str, &str); 2] = [("schema-name", "public"), ("table-name", "orders(_eu)?")];

fn table(db: &Database, metadata: &[(&str, &str)], more: &[(&str, &str)]) -> BuiltSource {
    let options: Vec<_> = NAMES.iter().chain(more).copied().collect();
    scripts::table("postgres-cdc", db.login(), DECLARED, metadata, &options)
}

async fn tables(db: &Database, identity: &str) {
    for name in ["orders", "orders_eu", "customers"] {
        db.run(&format!(
            "CREATE TABLE {name} (id int PRIMARY KEY, price numeric, at timestamptz, note text NOT NULL); ALTER TABLE {name} REPLICA IDENTITY {identity}"
        ))
        .await;
    }
    db.run(
        "INSERT INTO orders VALUES (1, 1.005, '2026-01-02 03:04:05.6789+00', 'a'); INSERT INTO orders_eu VALUES (2, NULL, NULL, 'b'); INSERT INTO customers VALUES (3, 1, now(), 'c')",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_tables_come_as_one_and_the_slot_follows_what_is_acknowledged() {
    let Some(server) = server() else { return };
    let db = server.fresh("sw_pg_table").await;
    tables(&db, "FULL").await;
    let metadata = [("schema_name", "STRING"), ("table_name", "STRING"), ("database_name", "STRING")];
    let built = table(&db, &metadata, &[("server-time-zone", "Asia/Tokyo")]);
    assert_eq!(built.source.inspect().await.unwrap().unwrap(), "readable, 2 tables");
    let slots = db.truth("SELECT slot_name FROM pg_replication_slots WHERE slot_name = 'sw_pg_table'").await;
    assert!(slots.is_empty(), "looking makes no slot");

    let source = built.source.clone();
    let (mut reader, rows) = blocking(move || {
        let mut reader = source.open(ONE, &SplitOffsets::new()).unwrap_or_else(|e| panic!("{}", e.chain()));
        let rows = read(&mut *reader, 2);
        (reader, rows)
    })
    .await;
    let expected =
        ["+I 1|a|1.01|2026-01-02T12:04:05.678|public|orders|sw_pg_table", "+I 2|b|||public|orders_eu|sw_pg_table"];
    assert_eq!(sorted(rows), sorted(expected.map(str::to_owned).to_vec()));

    db.run("UPDATE orders SET note = 'z' WHERE id = 1; ALTER TABLE orders ADD COLUMN extra int; DELETE FROM orders WHERE id = 1").await;
    let (reader, offsets, rows) = blocking(move || {
        let rows = read(&mut *reader, 3);
        let offsets = reader.offsets().unwrap();
        (reader, offsets, rows)
    })
    .await;
    let place = "1.01|2026-01-02T12:04:05.678|public|orders|sw_pg_table";
    assert_eq!(rows, [format!("-U 1|a|{place}"), format!("+U 1|z|{place}"), format!("-D 1|z|{place}")]);

    // The last epoch is acknowledged when its reader has gone.
    drop(reader);
    built.source.acknowledge(&offsets).await.unwrap();
    let saved: serde_json::Value = serde_json::from_str(&offsets.values().next().unwrap().0).unwrap();
    let lsn = saved["lsn"].as_u64().unwrap();
    let follows = format!(
        "SELECT confirmed_flush_lsn - '0/0' >= {lsn} FROM pg_replication_slots WHERE slot_name = 'sw_pg_table'"
    );
    for wait in 0..100 {
        if db.truth(&follows).await[0][0].as_deref() == Some("t") {
            break;
        }
        assert!(wait < 99, "the slot keeps what was committed");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }

    db.run("INSERT INTO orders_eu VALUES (9, 9, NULL, 'new')").await;
    let source = built.source.clone();
    let rows = blocking(move || read(&mut *source.open(ONE, &offsets).unwrap(), 1)).await;
    assert_eq!(rows, ["+I 9|new|9.00||public|orders_eu|sw_pg_table"], "nothing comes again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_old_rows_a_table_is_one_of_upserts_or_refused() {
    let Some(server) = server() else { return };
    let db = server.fresh("sw_pg_table_upsert").await;
    tables(&db, "DEFAULT").await;
    let error = table(&db, &[], &[]).source.inspect().await.unwrap().unwrap_err();
    assert!(error.chain().contains("without their old rows"), "{}", error.chain());
    assert!(error.hint().unwrap().contains("REPLICA IDENTITY FULL") && error.hint().unwrap().contains("upsert"));

    let built = table(&db, &[], &[("changelog-mode", "upsert")]);
    let (source, name) = (built.source.clone(), "sw_pg_table_upsert");
    let mut reader = blocking(move || {
        let mut reader = source.open(ONE, &SplitOffsets::new()).unwrap_or_else(|e| panic!("{}", e.chain()));
        assert_eq!(read(&mut *reader, 2).len(), 2);
        reader
    })
    .await;
    db.run("UPDATE orders SET note = 'z' WHERE id = 1; UPDATE orders SET id = 7; DELETE FROM orders").await;
    let rows = blocking(move || read(&mut *reader, 4)).await;
    let at = "1.01|2026-01-02T03:04:05.678";
    assert_eq!(rows, [format!("+U 1|z|{at}"), "-D 1|||".into(), format!("+I 7|z|{at}"), "-D 7|||".into()], "{name}");
}
