//! Every number of a timeline.

use std::time::Duration;

/// How a timeline delays, guesses and leads back.
#[derive(Clone, Debug, PartialEq)]
pub struct TimelineConfig {
    /// The most samples that are kept, at least 4. One more drops the oldest, shown or not: what is
    /// shown is then led to what is left.
    pub capacity: usize,
    /// Of how many samples the delays count. More take longer to forget a network that was worse.
    pub window: usize,
    /// Which of these delays is waited for: so many thousandths are at most as long.
    pub quantile: u32,
    /// The least that is waited beyond the shortest of these delays.
    pub min_wait: Duration,
    /// The most that is waited beyond the shortest of these delays. What comes later is guessed.
    pub max_wait: Duration,
    /// A longer delay says nothing of the network: the sample is shown and does not count.
    pub credible: Duration,
    /// How far the clocks of a room may differ. A sample from farther in the future is taken as
    /// written when it arrived, and its delay does not count.
    pub ahead: Duration,
    /// How far apart a writer's samples are until two have come.
    pub interval: Duration,
    /// Of how many pairs of samples the distances count: their median is the interval.
    pub pairs: usize,
    /// Samples that lie farther apart have a rest between them: what moves holds the former until
    /// one interval before the latter. Must be more than the interval of the slowest writer.
    pub gap: Duration,
    /// By how many thousandths shown time may run slower, to wait longer. At most 1,000.
    pub slower: u32,
    /// By how many thousandths shown time may run faster, to wait less.
    pub faster: u32,
    /// How long what moved coasts when no sample follows, before it stands still on the last one;
    /// zero for values that must not be guessed. It gets as far as 4/27 of this at its last speed.
    pub coast: Duration,
    /// How long it takes until what turned out otherwise, or is another writer's, shows as it is.
    pub blend: Duration,
}

impl Default for TimelineConfig {
    fn default() -> Self {
        Self {
            capacity: 128,
            window: 256,
            quantile: 980,
            min_wait: Duration::from_millis(10),
            max_wait: Duration::from_millis(400),
            credible: Duration::from_secs(1),
            ahead: Duration::from_millis(100),
            interval: Duration::from_millis(50),
            pairs: 16,
            gap: Duration::from_millis(300),
            slower: 250,
            faster: 50,
            coast: Duration::from_millis(250),
            blend: Duration::from_millis(150),
        }
    }
}
