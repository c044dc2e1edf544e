#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sautikit_fuzz::leg::check(data));
