//! Any bytes as packets of a voice: what is played of them is within its bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use parlor::audio::fuzz;

fuzz_target!(|data: &[u8]| fuzz::voice_packets(data));
