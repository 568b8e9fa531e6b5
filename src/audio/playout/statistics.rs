//! What a playout did, counted.

use std::time::Duration;

use super::super::{BLOCK, duration};

/// What became of a stream's packets and of time, since the beginning. Samples are of 48 kHz.
///
/// Delays are from when a sample was captured until it is played. What the fastest packet lately took
/// on its way is in none of them, because no clock is shared: they are as if that were nothing.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PlayoutStatistics {
    /// The delay now: the 20 ms of a frame, what a packet took longer than the fastest, and what it
    /// waited here. Nothing in a pause, and while nothing comes.
    pub delay: Option<Duration>,
    /// The mean delay.
    pub mean_delay: Duration,
    /// The delay that 95 of 100 blocks had at most, to 2.5 ms.
    pub high_delay: Duration,
    /// How long is waited for packets beyond what the fastest take.
    pub target: Duration,
    /// Samples that were played of voice, made up or not.
    pub voice: u64,
    /// Samples of voice that were made up because packets had not come.
    pub concealed: u64,
    /// Samples of noise in pauses.
    pub comfort: u64,
    /// Samples that were left out because more was waited than needed.
    pub accelerated: u64,
    /// Samples that were put in to wait longer.
    pub expanded: u64,
    /// How often samples were left out or put in.
    pub stretches: u64,
    /// Frames that were lost and recovered from what the next told.
    pub recovered: u64,
    /// Frames that were lost and repeated in the next packet.
    pub repeated: u64,
    /// Frames that had not come when they were to be played, recovered or not; none of a time in which
    /// nothing came for as long as is waited at most, or longer.
    pub lost: u64,
    /// Packets that came when they were not needed any more.
    pub late: u64,
    /// Packets that came again.
    pub duplicates: u64,
    /// Packets that came after one that was sent later.
    pub reordered: u64,
    /// Packets that were passed over because they lay too far behind.
    pub skipped: u64,
    /// Frames that the decoder refused; they were made up.
    pub failed: u64,
    /// How often the stream began anew.
    pub resets: u64,
}

/// Samples of a bucket of delays, 2.5 ms.
const BUCKET: u64 = 120;

/// Buckets of delays, up to 1.28 s.
const BUCKETS: usize = 512;

/// The statistics, and what delays they are made of.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) counts: PlayoutStatistics,
    delays: Box<[u64; BUCKETS]>,
    blocks: u64,
    sum: u64,
}

impl Tally {
    pub(super) fn new() -> Self {
        let delays = Box::new([0; BUCKETS]);
        Self { counts: PlayoutStatistics::default(), delays, blocks: 0, sum: 0 }
    }

    /// A block of noise was played.
    pub(super) const fn rested(&mut self) {
        self.counts.comfort += BLOCK as u64;
        self.counts.delay = None;
    }

    /// A block of voice was played, so many samples late if that is known.
    pub(super) fn played(&mut self, delay: Option<i64>) {
        self.counts.voice += BLOCK as u64;
        let delay = delay.map(|delay| delay.max(0).cast_unsigned());
        self.counts.delay = delay.map(duration);
        let Some(delay) = delay else { return };
        self.blocks += 1;
        self.sum = self.sum.saturating_add(delay);
        let bucket = usize::try_from(delay / BUCKET).unwrap_or(BUCKETS);
        self.delays[bucket.min(BUCKETS - 1)] += 1;
    }

    pub(super) fn statistics(&self, target: i64) -> PlayoutStatistics {
        let mut left = self.blocks - self.blocks / 20;
        let reached = self.delays.iter().position(|blocks| {
            left = left.saturating_sub(*blocks);
            left == 0
        });
        let high = reached.filter(|_| self.blocks > 0).map_or(0, |bucket| bucket as u64 + 1);
        PlayoutStatistics {
            mean_delay: duration(self.sum.checked_div(self.blocks).unwrap_or(0)),
            high_delay: duration(high * BUCKET),
            target: duration(target.max(0).cast_unsigned()),
            ..self.counts
        }
    }
}
