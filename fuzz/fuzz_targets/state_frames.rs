//! Any bytes as frames of the state lane: reading never panics, and stays within its limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use parlor::sim::fuzz;

fuzz_target!(|data: &[u8]| fuzz::state_frames(data));
