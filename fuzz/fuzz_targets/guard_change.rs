//! Any bytes as a change after those of honest peers: what is let in does no harm.
#![no_main]

use libfuzzer_sys::fuzz_target;
use parlor::sim::fuzz;

fuzz_target!(|data: &[u8]| fuzz::guard_change(data));
