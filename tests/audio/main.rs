//! Voice from end to end, on a clock and a network of the tests' own.
#![cfg(feature = "audio")]
#![expect(clippy::unwrap_used, reason = "a failing test is a panic")]

mod interruption;
mod memory;
mod quality;
mod stage;
mod traces;
