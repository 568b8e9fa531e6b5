//! Voice: what is said, in packets, and packets, as they are heard.
//!
//! All of it is on samples in memory, 48,000 a second, one channel, between -1 and 1. Who has a
//! microphone or a loudspeaker brings its samples and takes ours.
//!
//! Pure, as [`proto`](crate::proto) is: time is an argument, and nothing here waits or makes sound.
#![deny(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::disallowed_types,
    clippy::wildcard_enum_match_arm
)]

pub mod codec;
pub mod opus;

/// Samples a second, everywhere in here and in packets.
pub const RATE: u32 = 48_000;

/// Samples of a frame, 20 ms: what is encoded at a time.
pub const FRAME: usize = 960;

/// Samples of a block, 10 ms: what is played at a time.
pub const BLOCK: usize = 480;
