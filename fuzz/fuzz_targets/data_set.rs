#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dokuei_dataset::fuzzing::data_set(input));
