//! Stores of rooms: what both promise, and what the one on disk does when power, disks and bits fail.
//! By default few rounds are played of each; `PARLOR_FULL=1` plays the rest, which takes minutes.
//! `STORE_SEED=7` takes others.
#![cfg(all(feature = "disk", feature = "sim"))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test is a panic")]

#[path = "store/conformance.rs"]
mod conformance;
#[path = "store/crash.rs"]
mod crash;
#[path = "store/faults.rs"]
mod faults;
#[path = "store/flips.rs"]
mod flips;
#[path = "store/format.rs"]
mod format;
#[path = "store/full.rs"]
mod full;
#[path = "store/kill.rs"]
mod kill;
#[path = "store/machine.rs"]
mod machine;
#[path = "store/pace.rs"]
mod pace;
#[path = "store/stage.rs"]
mod stage;
#[path = "store/unreadable.rs"]
mod unreadable;
#[path = "store/upkeep.rs"]
mod upkeep;
