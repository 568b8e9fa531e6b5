//! What may happen to a frame on its way.

use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::Rng;

use crate::proto::time::Time;

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
    /// How long an outage takes at most, in which everything is lost; drawn evenly.
    pub outage: Duration,
    /// How long it is from the end of one to the beginning of the next; half of it to one and a half,
    /// drawn evenly.
    pub calm: Duration,
    lost_ahead: u32,
    /// When the next outage begins, and when it ends.
    out: (Time, Time),
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

    /// 20 ms, and 10 % of loss in bursts: outages of up to 60 ms, of 30 on average, every 300.
    pub const BURSTS: Self = Self {
        outage: Duration::from_millis(60),
        calm: Duration::from_millis(270),
        ..Self::perfect(Duration::from_millis(20), Duration::from_millis(5))
    };

    const fn perfect(delay: Duration, jitter: Duration) -> Self {
        Self {
            delay,
            jitter,
            loss: 0,
            burst: 0,
            burst_length: 0,
            duplicates: 0,
            outage: Duration::ZERO,
            calm: Duration::ZERO,
            lost_ahead: 0,
            out: (Time::ZERO, Time::ZERO),
        }
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

    /// Whether nothing gets through at a time.
    fn is_out(&mut self, now: Time, rng: &mut ChaCha12Rng) -> bool {
        if self.outage.is_zero() {
            return false;
        }
        while now >= self.out.1 {
            let mut draw = |most: Duration| {
                let most = u64::try_from(most.as_micros()).unwrap_or(0);
                Duration::from_micros(rng.next_u64() % (most + 1))
            };
            let begins = self.out.1.max(now) + self.calm / 2 + draw(self.calm);
            self.out = (begins, begins + draw(self.outage));
        }
        now >= self.out.0
    }

    /// What becomes of one frame that is sent at a time.
    pub fn fate(&mut self, now: Time, rng: &mut ChaCha12Rng) -> Fate {
        if self.is_out(now, rng) {
            return Fate { arrivals: Vec::new(), in_burst: true };
        }
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
