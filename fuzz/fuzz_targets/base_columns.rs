//! Any bytes as a base in columns: decoding never panics, and what decodes encodes to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use parlor::sim::fuzz;

fuzz_target!(|data: &[u8]| fuzz::base_columns(data));
