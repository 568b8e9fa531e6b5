//! Any bytes as a token: nobody panics, and what a token says can be said again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use parlor::sim::fuzz;

fuzz_target!(|data: &[u8]| fuzz::admission_token(data));
