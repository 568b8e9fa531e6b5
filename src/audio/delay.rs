//! How long packets are on their way, and how long is waited for them.
//!
//! The parameters are those of WebRTC's `NetEQ`: of every half second of packets the longest delay goes
//! into a histogram that forgets, and a quantile of that is waited for. Buckets are finer here, and
//! spans shorter at first.
//!
//! Times and delays are in samples of 48 kHz. A delay is when a packet came, by our clock, less its
//! media time: only differences of delays mean something.

use super::playout::config::PlayoutConfig;
use super::samples;

/// Packets of which the shortest delay counts: two seconds of voice.
const WINDOW: usize = 100;

/// Samples of a bucket, 2.5 ms.
const BUCKET: i64 = 120;

/// Buckets: up to 640 ms.
const BUCKETS: usize = 256;

/// Packets of a span whose longest delay counts: half a second of voice.
const SPAN: u32 = 25;

/// Packets of the first span. Each is as much longer, until one is as long as [`SPAN`].
const FIRST_SPAN: u32 = 5;

/// How much more than its share a span counts while few have been.
const START_WEIGHT: f32 = 2.0;

/// The delays of a stream's packets.
#[derive(Debug)]
pub(crate) struct Delay {
    /// The last delays, round and round.
    recent: [i64; WINDOW],
    /// How many delays there have been since the beginning.
    heard: usize,
    /// The shortest of the recent ones.
    shortest: i64,
    /// How much longer the longest of this span was, and how many packets it has.
    longest: i64,
    packets: u32,
    /// How many spans are in the histogram.
    spans: u32,
    /// Which share of spans had which longest delay, beyond the shortest.
    histogram: [f32; BUCKETS],
    wait: i64,
}

impl Delay {
    pub(crate) fn new(config: &PlayoutConfig) -> Self {
        let mut histogram = [0.0; BUCKETS];
        histogram[bucket(samples(config.start) - BUCKET)] = 1.0;
        Self {
            recent: [0; WINDOW],
            heard: 0,
            shortest: 0,
            longest: 0,
            packets: 0,
            spans: 1,
            histogram,
            wait: samples(config.start),
        }
    }

    /// Takes the delay of a packet, and how much later than it something came that it was needed for.
    pub(crate) fn heard(&mut self, delay: i64, beyond: i64, config: &PlayoutConfig) {
        self.recent[self.heard % WINDOW] = delay;
        self.heard += 1;
        let recent = &self.recent[..self.heard.min(WINDOW)];
        self.shortest = recent.iter().copied().min().unwrap_or(delay);
        self.longest = self.longest.max(delay + beyond - self.shortest);
        self.packets += 1;
        if self.packets >= SPAN.min(FIRST_SPAN * self.spans) {
            self.learn(config);
            self.packets = 0;
            self.longest = 0;
        }
    }

    /// The stream's time is another from here on; the network is the same.
    pub(crate) const fn restart(&mut self) {
        self.heard = 0;
        self.packets = 0;
        self.longest = 0;
    }

    /// The shortest delay lately, if any is known.
    pub(crate) fn shortest(&self) -> Option<i64> {
        (self.heard > 0).then_some(self.shortest)
    }

    /// How much longer than the shortest delay is waited for a packet.
    pub(crate) const fn wait(&self) -> i64 {
        self.wait
    }

    fn learn(&mut self, config: &PlayoutConfig) {
        self.spans = self.spans.saturating_add(1);
        let usual = config.forget.min(1.0);
        let forget = (1.0 - START_WEIGHT / (self.spans as f32 + 1.0)).clamp(0.0, usual);
        let bucket = bucket(self.longest);
        for (at, share) in self.histogram.iter_mut().enumerate() {
            *share = *share * forget + if at == bucket { 1.0 - forget } else { 0.0 };
        }
        let mut left = 1.0 - config.quantile;
        let buckets = self.histogram.iter().enumerate().rev();
        let reached = buckets.map(|(at, share)| (at, *share)).find(|(_, share)| {
            left -= share;
            left < 0.0
        });
        let reached = reached.map_or(0, |(at, _)| i64::try_from(at).unwrap_or(0));
        let most = samples(config.most);
        self.wait = ((reached + 1) * BUCKET).clamp(samples(config.least).min(most), most);
    }
}

/// The bucket of a length.
fn bucket(length: i64) -> usize {
    usize::try_from(length / BUCKET).unwrap_or(0).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 48;

    /// Delays in milliseconds, each of them so many times.
    fn heard(delay: &mut Delay, delays: &[i64], times: usize) -> i64 {
        let config = PlayoutConfig::default();
        for each in delays.iter().cycle().take(delays.len() * times) {
            delay.heard(each * MS, 0, &config);
        }
        delay.wait() / MS
    }

    fn new() -> Delay {
        Delay::new(&PlayoutConfig::default())
    }

    #[test]
    fn what_is_waited_covers_what_delays_differ() {
        let mut delay = new();
        assert_eq!(delay.wait() / MS, 30);
        let wait = heard(&mut delay, &[1_000, 1_030, 1_010, 1_041, 1_020], 40);
        assert!((41..=44).contains(&wait), "{wait}");
        assert_eq!(delay.shortest(), Some(1_000 * MS));
    }

    #[test]
    fn a_steady_network_is_waited_for_the_least_soon() {
        let mut delay = new();
        assert_eq!(heard(&mut delay, &[50], 5), 30, "what was thought first holds a little");
        assert_eq!(heard(&mut delay, &[50], 70), 7);
    }

    #[test]
    fn no_more_is_waited_than_may_be() {
        assert_eq!(heard(&mut new(), &[0, 900], 100), 400);
        assert_eq!(heard(&mut new(), &[0, 5_000], 100), 400);
    }

    #[test]
    fn one_outlier_is_not_waited_for_and_outliers_are_forgotten() {
        let mut delay = new();
        heard(&mut delay, &[50], 2_000);
        let calm = delay.wait();
        heard(&mut delay, &[250], 1);
        heard(&mut delay, &[50], 50);
        assert_eq!(delay.wait(), calm);
        let mut stormy = vec![50; 24];
        stormy.push(250);
        assert!(heard(&mut delay, &stormy, 10) >= 200);
        let spans = (1..).find(|_| heard(&mut delay, &[50; 25], 1) * MS <= calm);
        assert!((20..100).contains(&spans.unwrap_or(0)), "{spans:?}");
    }

    #[test]
    fn a_shortest_delay_that_is_over_is_forgotten() {
        let mut delay = new();
        heard(&mut delay, &[50], 100);
        heard(&mut delay, &[80], 99);
        assert_eq!(delay.shortest(), Some(50 * MS));
        heard(&mut delay, &[80], 1);
        assert_eq!(delay.shortest(), Some(80 * MS));
    }

    #[test]
    fn what_is_needed_later_is_waited_for() {
        let config = PlayoutConfig::default();
        let mut delay = new();
        for _ in 0..100 {
            delay.heard(50 * MS, 0, &config);
            delay.heard(50 * MS, 20 * MS, &config);
        }
        assert_eq!(delay.wait() / MS, 22);
    }
}
