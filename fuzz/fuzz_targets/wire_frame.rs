//! Any bytes as a frame: decoding never panics, and what decodes encodes to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use parlor::sim::fuzz;

fuzz_target!(|data: &[u8]| fuzz::wire_frame(data));
