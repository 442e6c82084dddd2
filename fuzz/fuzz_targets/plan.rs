#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stagegate_fuzz::plan::run(data));
