//! How many rows of MySQL's binary log are decoded into columns per CPU second:
//! `cargo run --release -p starweir-formats --example binlog_rate`.

use std::time::Instant;

use starweir_formats::mysql::{
    CatalogOptions, Collations, Column, MapColumn, MySqlType, RowBatch, RowDecoder, RowsKind, Table, TableMap,
    ValueOptions,
};

const COLUMNS: [(&str, u8, u16); 10] = [
    ("int", 3, 0),
    ("bigint", 8, 0),
    ("varchar(60)", 15, 240),
    ("varchar(80)", 15, 320),
    ("decimal(12,2)", 246, 12 << 8 | 2),
    ("datetime(3)", 18, 3),
    ("timestamp(6)", 17, 6),
    ("double", 5, 8),
    ("tinyint(1)", 1, 0),
    ("enum('new','paid','sent')", 247, 1),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let table = Table {
        columns: COLUMNS
            .iter()
            .enumerate()
            .map(|(i, (of, ..))| Column::new(format!("c{i}"), MySqlType::parse(of)))
            .collect(),
        ..Table::default()
    };
    let map = TableMap {
        id: 1,
        database: "d".into(),
        table: "t".into(),
        columns: COLUMNS
            .iter()
            .map(|(_, kind, meta)| MapColumn {
                kind: *kind,
                meta: *meta,
                nullable: true,
                unsigned: None,
                collation: None,
                members: Vec::new(),
            })
            .collect(),
        names: None,
        primary_key: None,
    };
    let schema = table.to_schema(&CatalogOptions::default());
    let options = ValueOptions { adjust_years: false, legacy_json: true };
    let mut decoder = RowDecoder::new(&map, &table, &schema, &Collations::new(), options).map_err(|c| c.0)?;
    let mut batch = RowBatch::new(&schema, options)?;

    // An event of fifty rows.
    let mut event = vec![0u8; 8];
    event.extend([2, 0, 10, 0xff, 0x03]);
    for row in 0..50u32 {
        event.extend([0, 0]);
        event.extend(row.to_le_bytes());
        event.extend(u64::from(row).to_le_bytes());
        event.push(30);
        event.extend([b'a'; 30]);
        event.extend(70u16.to_le_bytes());
        event.extend([b'b'; 70]);
        event.extend([0x80, 0, 0, 1, 2, 50]);
        event.extend([0x99, 0xa6, 0xd2, 0x24, 0x16, 0, 10]);
        event.extend([0x5f, 0, 0, 0, 1, 2, 3]);
        event.extend(1.5f64.to_le_bytes());
        event.extend([1, 2]);
    }

    let events = 20_000;
    let start = Instant::now();
    let mut rows = 0;
    for i in 0..events {
        rows += decoder.decode(RowsKind::Insert, true, &event, &mut batch)?;
        if i % 200 == 199 {
            std::hint::black_box(batch.finish()?);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let bytes = event.len() as f64 * f64::from(events);
    println!(
        "{:.2} M rows/s, {:.0} MB/s, {} B per row",
        rows as f64 / seconds / 1e6,
        bytes / seconds / 1e6,
        event.len() / 50
    );
    Ok(())
}
