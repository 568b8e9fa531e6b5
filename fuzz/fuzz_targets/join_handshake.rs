//! Any messages in any order while joining: nobody panics, and nobody joins without the key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use parlor::sim::fuzz;

fuzz_target!(|data: &[u8]| fuzz::join_handshake(data));
