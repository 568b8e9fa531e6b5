//! What is sent, and what is known when it arrives.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Bytes of a frame.
pub(crate) const LENGTH: usize = 100;

/// Frames a second.
pub(crate) const RATE: u32 = 50;

/// How long is waited for what is late once the last frame has gone.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// A frame with its number and when it was sent.
pub(crate) fn frame(number: u32, beginning: Instant) -> Vec<u8> {
    let sent = u64::try_from(beginning.elapsed().as_micros()).unwrap_or(u64::MAX);
    let mut frame = vec![0; LENGTH];
    frame[..4].copy_from_slice(&number.to_le_bytes());
    frame[4..12].copy_from_slice(&sent.to_le_bytes());
    frame
}

/// What one receiver got.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrivals {
    seen: BTreeSet<u32>,
    /// Microseconds from the call that sends to the call that receives.
    pub(crate) ages: Vec<u32>,
}

impl Arrivals {
    /// Something arrived; the same frame counts once.
    pub(crate) fn note(&mut self, frame: &[u8], beginning: Instant) {
        let now = u64::try_from(beginning.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (Some(number), Some(sent)) = (frame.first_chunk(), frame.get(4..12)) else {
            return;
        };
        let sent = sent.iter().rev().fold(0, |sent, byte| sent << 8 | u64::from(*byte));
        if self.seen.insert(u32::from_le_bytes(*number)) {
            let age = now.saturating_sub(sent);
            self.ages.push(u32::try_from(age).unwrap_or(u32::MAX));
        }
    }

    /// Adds what another receiver got.
    pub(crate) fn merge(&mut self, other: Self) {
        self.ages.extend(other.ages);
    }
}
