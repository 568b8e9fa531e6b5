//! Any schedule of a simulated room: what must always hold holds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use parlor::sim::fuzz;

fuzz_target!(|data: &[u8]| fuzz::sim_schedule(data));
