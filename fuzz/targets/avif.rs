#![no_main]

use touchstone::photo::Format;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| touchstone::fuzzing::photo_of(Format::Avif, bytes));
