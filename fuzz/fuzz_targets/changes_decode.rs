#![no_main]

mod common;

// The first byte's upper bits choose the format.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let format = match data.first().map_or(0, |b| (b >> 4) % 3) {
        0 => "canal-json",
        1 => "maxwell-json",
        _ => "ogg-json",
    };
    common::decode(format, data);
});
