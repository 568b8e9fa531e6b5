//! What shows others' movement: values that change all the time, made smooth again behind a network.
//!
//! Pure, as [`proto`](crate::proto) is: time is an argument, and nothing is drawn or waited for.
#![deny(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::disallowed_types,
    clippy::wildcard_enum_match_arm
)]

pub mod timeline;
