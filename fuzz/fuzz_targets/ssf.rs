#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| deed_fuzz::ssf(data));
