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

#[cfg(feature = "dsp")]
pub mod acoustics;
pub mod activity;
pub mod adaptation;
pub mod codec;
#[cfg(feature = "sim")]
pub mod fuzz;
pub mod grid;
pub mod input;
pub mod level;
pub mod mixer;
pub mod opus;
pub mod pcm;
pub mod playout;
pub mod resample;
pub mod speakers;

mod comfort;
mod delay;
mod jitter;
mod stretch;

use std::time::Duration;

use crate::proto::time::Time;

/// Samples a second, everywhere in here and in packets.
pub const RATE: u32 = 48_000;

/// Samples of a frame, 20 ms: what is encoded at a time.
pub const FRAME: usize = 960;

/// How long a frame is.
pub const FRAME_TIME: Duration = Duration::from_millis(20);

/// Samples of a block, 10 ms: what is played at a time.
pub const BLOCK: usize = 480;

/// Microseconds of 6 samples.
const MICROS: u64 = 125;

/// A length of time in samples, at most 24 hours.
fn samples(length: Duration) -> i64 {
    let day = 24 * 3_600 * 1_000_000;
    let micros = u64::try_from(length.as_micros()).unwrap_or(day).min(day);
    (micros * 6 / MICROS).cast_signed()
}

/// A time in samples since the driver's beginning.
fn instant(time: Time) -> i64 {
    let micros = time.as_micros();
    (micros / MICROS * 6 + micros % MICROS * 6 / MICROS).cast_signed()
}

/// How long so many samples are.
const fn duration(samples: u64) -> Duration {
    Duration::from_micros(samples.saturating_mul(MICROS) / 6)
}
