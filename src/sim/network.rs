//! What may happen to a frame on its way.

use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::Rng;

/// A network between peers and the relay; the same both ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    /// What every frame takes.
    pub delay: Duration,
    /// What it may take beside that, drawn evenly: frames overtake each other.
    pub jitter: Duration,
    /// Frames of a thousand that are lost, one by one.
    pub loss: u32,
    /// Frames of a thousand with which a burst begins in which all are lost.
    pub burst: u32,
    /// How many frames a burst takes at most.
    pub burst_length: u32,
    /// Frames of a thousand that arrive twice.
    pub duplicates: u32,
    lost_ahead: u32,
}

impl Network {
    /// Everything at once and in order: what is due together happens together, so that any order
    /// that is not the protocol's shows.
    pub const LOCKSTEP: Self = Self::perfect(Duration::ZERO, Duration::ZERO);
    /// One room, one switch.
    pub const LAN: Self = Self::perfect(Duration::from_micros(500), Duration::from_micros(500));
    /// 80 ms and 5 % of loss.
    pub const LOSSY: Self =
        Self { loss: 50, ..Self::perfect(Duration::from_millis(80), Duration::ZERO) };
    /// A phone on the move: 80 ms, overtaking, duplicates, single and burst loss.
    pub const MOBILE: Self = Self {
        loss: 20,
        burst: 5,
        burst_length: 12,
        duplicates: 20,
        ..Self::perfect(Duration::from_millis(80), Duration::from_millis(40))
    };

    /// 20 ms and 10 % of loss, in bursts of 1 to 9 frames.
    pub const BURSTS: Self = Self {
        burst: 22,
        burst_length: 9,
        ..Self::perfect(Duration::from_millis(20), Duration::from_millis(5))
    };

    const fn perfect(delay: Duration, jitter: Duration) -> Self {
        Self { delay, jitter, loss: 0, burst: 0, burst_length: 0, duplicates: 0, lost_ahead: 0 }
    }

    /// This network with another jitter.
    #[must_use]
    pub const fn with_jitter(self, jitter: Duration) -> Self {
        Self { jitter, ..self }
    }

    /// How long one frame takes.
    pub fn delay(&self, rng: &mut ChaCha12Rng) -> Duration {
        let jitter = u64::try_from(self.jitter.as_micros()).unwrap_or(0);
        self.delay + Duration::from_micros(rng.next_u64() % (jitter + 1))
    }

    /// What becomes of one frame.
    pub fn fate(&mut self, rng: &mut ChaCha12Rng) -> Fate {
        if self.lost_ahead == 0 && self.burst_length > 0 && happens(rng, self.burst) {
            self.lost_ahead = 1 + rng.next_u32() % self.burst_length;
        }
        let in_burst = self.lost_ahead > 0;
        self.lost_ahead = self.lost_ahead.saturating_sub(1);
        let lost = in_burst || happens(rng, self.loss);
        let twice = happens(rng, self.duplicates);
        let count = if lost { 0 } else { 1 + usize::from(twice) };
        let arrivals = (0..count).map(|_| self.delay(rng)).collect();
        Fate { arrivals, in_burst }
    }
}

fn happens(rng: &mut ChaCha12Rng, in_a_thousand: u32) -> bool {
    in_a_thousand > 0 && rng.next_u32() % 1_000 < in_a_thousand
}

/// One direction of a peer's link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// From the peer to the relay.
    Up,
    /// From the relay to the peer.
    Down,
}

/// What became of a frame: after how long it arrives, each time that it does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fate {
    /// Empty if it is lost.
    pub arrivals: Vec<Duration>,
    in_burst: bool,
}

impl Fate {
    /// It is lost, whatever the network is like.
    pub(super) const LOST: Self = Self { arrivals: Vec::new(), in_burst: false };

    /// What there was to see.
    #[must_use]
    pub fn sighting(&self) -> Option<&'static str> {
        match (self.arrivals.len(), self.in_burst) {
            (0, true) => Some("lost in a burst"),
            (0, false) => Some("lost"),
            (1, _) => None,
            _ => Some("duplicated"),
        }
    }
}
