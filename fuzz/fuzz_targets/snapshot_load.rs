//! Any bytes as a snapshot: what of it is let in makes a document that can be loaded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use parlor::sim::fuzz;

fuzz_target!(|data: &[u8]| fuzz::snapshot_load(data));
