#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| touchstone::fuzzing::model_manifest(bytes));
