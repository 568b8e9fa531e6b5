//! Plugins of a relay: what they are asked, what becomes of what they say, and what they do. By seeds:
//! `SIM_SEED=7 cargo test --features portable --test plugins` runs one; `PARLOR_FULL=1` runs more of them.
#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test is a panic")]

#[path = "plugins/acts.rs"]
mod acts;
#[path = "plugins/court.rs"]
mod court;
#[path = "plugins/faults.rs"]
mod faults;
#[path = "plugins/owners.rs"]
mod owners;
#[path = "plugins/rivals.rs"]
mod rivals;
#[path = "plugins/rulings.rs"]
mod rulings;
#[path = "plugins/signals.rs"]
mod signals;

use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
