//! What must hold of replicated models whatever is edited where and whatever arrives when: C1 to C5,
//! C7 and C8 of the reliability notes, on every kind of property. `PARLOR_FULL=1` runs many more
//! cases.
#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, reason = "a failing test is a panic")]

#[path = "convergence/creation.rs"]
mod creation;
#[path = "convergence/delivery.rs"]
mod delivery;
#[path = "convergence/dictionary.rs"]
mod dictionary;
#[path = "convergence/elements.rs"]
mod elements;
#[path = "convergence/epochs.rs"]
mod epochs;
#[path = "convergence/evolution.rs"]
mod evolution;
#[path = "convergence/orders.rs"]
mod orders;
#[path = "convergence/removal.rs"]
mod removal;
#[path = "convergence/replica.rs"]
mod replica;
