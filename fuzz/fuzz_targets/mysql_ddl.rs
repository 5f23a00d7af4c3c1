#![no_main]

use starweir_formats::mysql::{Catalog, CatalogOptions, MySqlType, TypeOptions};

// Each line is a statement; none may panic, and every type has a Flink type.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut catalog = Catalog::new(CatalogOptions { comments: true, ..CatalogOptions::default() });
    catalog.apply("CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(10), b ENUM('x'))", "d", &|_| true);
    for statement in text.lines() {
        catalog.apply(statement, "d", &|_| true);
        let _ = MySqlType::parse(statement).to_logical(&TypeOptions::default());
    }
    for (_, table) in catalog.tables() {
        let _ = table.to_schema(&catalog.options);
    }
});
