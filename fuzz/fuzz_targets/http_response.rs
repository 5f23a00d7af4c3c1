#![no_main]

use starweir_starrocks::{Answer, parse_response, sanitize};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(Some(response)) = parse_response(data, 1 << 16) {
        assert!(response.body.len() <= 1 << 16);
        let _ = Answer::parse(&response.body);
        let _ = sanitize(&String::from_utf8_lossy(&response.body));
    }
    let _ = Answer::parse(data);
});
