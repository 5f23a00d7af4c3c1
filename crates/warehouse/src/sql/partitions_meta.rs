//! information_schema.partitions_meta: every partition with what the server knows about it.

use std::sync::Arc;

use super::partition::{SHADOW, is_automatic};
use crate::catalog::{Bound, Distribution, PartitionDef, PartitionRange, TableDef};
use crate::store::{Table, TableVersion};
use crate::value::Value;

const SPEC: &str = "DB_NAME TABLE_NAME PARTITION_NAME PARTITION_ID:i COMPACT_VERSION:i VISIBLE_VERSION:i VISIBLE_VERSION_TIME:d NEXT_VERSION:i DATA_VERSION:i VERSION_EPOCH:i VERSION_TXN_TYPE IS_TEMP:i PARTITION_KEY PARTITION_VALUE DISTRIBUTION_KEY BUCKETS:i REPLICATION_NUM:i STORAGE_MEDIUM COOLDOWN_TIME:d LAST_CONSISTENCY_CHECK_TIME:d IS_IN_MEMORY:i DATA_SIZE ROW_COUNT:i ENABLE_DATACACHE AVG_CS:f P50_CS:f MAX_CS:f STORAGE_PATH STORAGE_SIZE:i METADATA_SWITCH_VERSION TABLET_BALANCED:i";

/// The columns, and a row for each partition. Tables that rows make the partitions of have one more, the shadow that
/// new partitions are made after.
pub fn rows(tables: &[Arc<Table>]) -> (&'static str, Vec<Vec<Value>>) {
    let mut out = Vec::new();
    for x in tables {
        let v = x.version();
        if is_automatic(&v.def) {
            out.push(row(&v, x.id, SHADOW, false, String::new()));
        }
        for p in &v.def.partitions {
            out.push(row(&v, p.id, &p.name, p.temporary, value(&v.def, p)));
        }
    }
    (SPEC, out)
}

fn row(v: &TableVersion, id: u64, name: &str, temporary: bool, value: String) -> Vec<Value> {
    let t = |s: &str| Value::Text(s.to_string());
    let n = |v: i64| Value::int(v);
    let at = |ms: i64| if ms <= 0 { Value::Null } else { Value::DateTime(ms.div_euclid(1000) * 1_000_000) };
    let def = &v.def;
    vec![
        t(&def.database),
        t(&def.name),
        t(name),
        n(id as i64),
        n(0),
        n(v.version as i64),
        at(v.committed_ms),
        n(v.version as i64 + 1),
        n(v.version as i64),
        n(0),
        t("TXN_NORMAL"),
        n(i64::from(temporary)),
        t(&key(def)),
        Value::Text(value),
        t(&match &def.distribution {
            Distribution::Hash(c) => c.join(", "),
            Distribution::Random => "ALL KEY".into(),
        }),
        n(i64::from(def.buckets.unwrap_or(1))),
        n(def.properties.get("replication_num").and_then(|r| r.parse().ok()).unwrap_or(1)),
        t("HDD"),
        at(253_402_300_799_000),
        Value::Null,
        n(0),
        t("0B"),
        n(v.rows() as i64),
        t("true"),
        Value::Double(0.0),
        Value::Double(0.0),
        Value::Double(0.0),
        t(""),
        n(0),
        t("0"),
        // All tablets are on the one node there is.
        n(1),
    ]
}

/// The partition columns as a table shows them.
fn key(def: &TableDef) -> String {
    let Some(by) = &def.partition_by else { return String::new() };
    let shown = |name: &String| def.column(name).map_or_else(|| name.clone(), super::show::column_text);
    by.columns.iter().map(shown).collect::<Vec<_>>().join(", ")
}

fn value(def: &TableDef, p: &PartitionDef) -> String {
    let types: Vec<String> = def
        .partition_by
        .iter()
        .flat_map(|by| &by.columns)
        .map(|c| def.column(c).map_or_else(|| "VARCHAR".into(), |c| c.sql_type.message()))
        .collect();
    let ends = |b: &Bound| {
        let keys = b.iter().map(|v| v.clone().unwrap_or_else(|| "MAXVALUE".into())).collect::<Vec<_>>();
        format!("types: [{}]; keys: [{}]; ", types.join(", "), keys.join(", "))
    };
    match &p.range {
        PartitionRange::Whole => String::new(),
        PartitionRange::List(rows) => serde_json::to_string(rows).unwrap_or_default(),
        PartitionRange::Range { lower, upper } => {
            format!("[{}..{})", lower.as_ref().map_or_else(String::new, ends), ends(upper))
        }
    }
}
