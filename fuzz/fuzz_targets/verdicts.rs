#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nri_tests::fuzz::fuzz_verdicts(data));
