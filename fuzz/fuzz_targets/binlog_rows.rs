#![no_main]

use starweir_formats::mysql::{
    CatalogOptions, Collations, RowBatch, RowDecoder, RowsKind, Table, TableMap, ValueOptions,
};

// A table map, then a rows event by the shape that the map describes.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((head, rest)) = data.split_first_chunk::<3>() else { return };
    let length = usize::from(u16::from_le_bytes([head[0], head[1]])).min(rest.len());
    let (map, rows) = rest.split_at(length);
    let Ok(map) = TableMap::parse(map) else { return };
    let Some(table) = Table::from_map(&map, None, &Collations::new()) else { return };
    let schema = table.to_schema(&CatalogOptions::default());
    let options = ValueOptions { adjust_years: head[2] & 1 == 1, legacy_json: head[2] & 2 == 2 };
    let Ok(mut decoder) = RowDecoder::new(&map, &table, &schema, &Collations::new(), options) else { return };
    let mut batch = RowBatch::new(&schema, options).expect("a schema of MySQL types");
    let kinds = [RowsKind::Insert, RowsKind::Update, RowsKind::Delete, RowsKind::PartialUpdate];
    if decoder.decode(kinds[usize::from(head[2] >> 2 & 3)], head[2] & 16 == 16, rows, &mut batch).is_ok() {
        batch.finish().expect("whole columns");
    }
});
