#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dokuei_pixels::fuzzing::render_frames(input));
