//! Any bytes as a life of a store on disk, with failures and losses of power: what it said is kept is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use parlor::store::fuzz;

fuzz_target!(|data: &[u8]| fuzz::store_ops(data));
