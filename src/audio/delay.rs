//! How long packets are on their way, and how long is waited for them.
//!
//! What is kept is how often something came so and so late: not each packet, because what waits behind
//! another one comes with it, and is waited for once. From that follows how much of a voice has to be
//! made up for each wait. The wait is the least for which that is little enough; the longer a wait, the
//! more is. So a burst of delays costs what it is long, and not whether it is one in twenty spans.
//!
//! Times and delays are in samples of 48 kHz. A delay is when a packet came, by our clock, less its
//! media time: only differences of delays mean something.

use super::playout::config::PlayoutConfig;
use super::{FRAME, RATE, samples};

/// Packets of which the shortest delay counts: two seconds of voice.
const WINDOW: usize = 100;

/// Samples of a bucket, 1 ms.
const BUCKET: i64 = 48;

/// Buckets: up to 512 ms.
const BUCKETS: usize = 512;

/// How many times as long as [`PlayoutConfig::start`] voice is heard until that does not hold any more:
/// 0.6 s, and 4 s of a carrier that sends again, whose long stalls are rare.
const HELD: i64 = 20;

/// The share of voice that may be made up whatever the wait is, lest one packet be waited for for ever.
const LEAST: f32 = 5e-5;

/// What happens at a lesser share of packets is not waited for: once in 20 s of voice.
const SELDOM: f32 = 0.001;

/// The delays of a stream's packets.
#[derive(Debug)]
pub(crate) struct Delay {
    /// The last delays, round and round.
    recent: [i64; WINDOW],
    /// How many delays there have been since the beginning.
    heard: usize,
    /// The shortest of the recent ones.
    shortest: i64,
    /// How much of the past counts still, in packets, of which each is forgotten bit by bit.
    known: f32,
    /// How long has been heard, in samples.
    length: i64,
    /// How late the last packet was, in buckets.
    last: usize,
    /// At which share of packets it became so late or later, that of the packets before it less; the
    /// sum from a bucket up is the share at which it became later than that and was not before.
    rises: [f32; BUCKETS],
    wait: i64,
}

impl Delay {
    pub(crate) fn new(config: &PlayoutConfig) -> Self {
        Self {
            recent: [0; WINDOW],
            heard: 0,
            shortest: 0,
            known: 0.0,
            length: 0,
            last: 0,
            rises: [0.0; BUCKETS],
            wait: samples(config.start).min(samples(config.most)),
        }
    }

    /// Takes the delay of a packet, how much later than it something came that it was needed for, and
    /// whether a talk spurt begins with it, for which nothing is made up however late it is.
    pub(crate) fn heard(&mut self, delay: i64, beyond: i64, first: bool, config: &PlayoutConfig) {
        self.recent[self.heard % WINDOW] = delay;
        self.heard += 1;
        let recent = &self.recent[..self.heard.min(WINDOW)];
        self.shortest = recent.iter().copied().min().unwrap_or(delay);
        let late = delay - self.shortest;
        // Each counts alike until there are as many as are remembered.
        let forget = config.forget.clamp(0.0, 1.0);
        self.known = self.known * forget + 1.0;
        self.length = self.length.saturating_add(FRAME as i64);
        let weight = 1.0 / self.known;
        self.rises.iter_mut().for_each(|share| *share *= 1.0 - weight);
        if first {
            self.last = bucket(late);
        }
        self.rise(late + beyond, weight);
        self.rise(late, weight);
        self.learn(config);
    }

    /// The stream's time is another from here on; the network is the same.
    pub(crate) const fn restart(&mut self) {
        self.heard = 0;
        self.last = 0;
    }

    /// The shortest delay lately, if any is known.
    pub(crate) fn shortest(&self) -> Option<i64> {
        (self.heard > 0).then_some(self.shortest)
    }

    /// How much longer than the shortest delay is waited for a packet.
    pub(crate) const fn wait(&self) -> i64 {
        self.wait
    }

    /// Whether a frame or more will be made up on average, by what there was, for a packet that is so
    /// late already and has not come, if so much is waited for it.
    pub(crate) fn stalls(&self, late: i64, wait: i64) -> bool {
        if late <= 0 {
            return false;
        }
        let (from, to) = (bucket(late), bucket(wait));
        let (mut later, mut missing) = (0.0, 0.0);
        for (at, share) in self.rises.iter().enumerate().skip(from).rev() {
            if at > to {
                missing += (later + share / 2.0) * BUCKET as f32;
            }
            later += share;
        }
        later > LEAST && missing >= later * FRAME as f32
    }

    fn rise(&mut self, late: i64, weight: f32) {
        let at = bucket(late);
        if at > self.last {
            self.rises[at] += weight;
            self.rises[self.last] -= weight;
        }
        self.last = at;
    }

    fn learn(&mut self, config: &PlayoutConfig) {
        let free = samples(config.free);
        let (mut later, mut missing) = (0.0_f32, 0.0_f32);
        let ends = (1..=BUCKETS as i64).map(|at| at * BUCKET);
        let mut wait = ends.rev().zip(self.rises.iter().rev()).find_map(|(end, share)| {
            // What is made up if only the beginning of this bucket is waited for.
            missing += (later + share / 2.0).max(0.0) * BUCKET as f32 / FRAME as f32;
            later += share;
            let beyond = (end - free) as f32 / RATE as f32;
            let much = missing > (config.price * beyond).max(LEAST);
            (much && later >= SELDOM).then_some(end)
        });
        if self.length < samples(config.start).saturating_mul(HELD) {
            wait = wait.max(Some(samples(config.start)));
        }
        let most = samples(config.most);
        self.wait = wait.unwrap_or(0).clamp(samples(config.least).min(most), most);
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
            delay.heard(each * MS, 0, false, &config);
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
        assert_eq!(heard(&mut delay, &[50], 29), 30, "what was thought first holds a little");
        assert_eq!(heard(&mut delay, &[50], 1), 7);
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
        let calm = delay.wait() / MS;
        assert_eq!(heard(&mut delay, &[250, 50], 1), calm);
        let mut stormy = vec![50; 24];
        stormy.push(250);
        assert!(heard(&mut delay, &stormy, 10) >= 170);
        let spans = (1..).find(|_| heard(&mut delay, &[50; 25], 1) <= calm);
        assert!((20..1_000).contains(&spans.unwrap_or(0)), "{spans:?}");
    }

    #[test]
    fn what_waits_behind_another_is_waited_for_once() {
        // One of a hundred is 150 ms later, and what is behind it comes with it.
        let mut burst = vec![50; 92];
        burst.extend([200, 180, 160, 140, 120, 100, 80, 60]);
        let mut alone = vec![50; 100];
        alone[92] = 200;
        let (mut one, mut other) = (new(), new());
        assert_eq!(heard(&mut one, &burst, 20), heard(&mut other, &alone, 20));
    }

    #[test]
    fn the_rarer_something_is_and_the_longer_it_takes_the_less_it_is_waited_for() {
        let wait = |late: i64, of: usize| {
            let mut delays = vec![50; of - 1];
            delays.push(50 + late);
            heard(&mut new(), &delays, 4_000 / of)
        };
        for (late, of, expected) in
            [(30, 100, 29..=31), (60, 20, 58..=61), (60, 500, 40..=55), (300, 20, 280..=300)]
        {
            let wait = wait(late, of);
            assert!(expected.contains(&wait), "{late} once in {of}: {wait}");
        }
        assert!(wait(300, 800) < wait(300, 100));
    }

    #[test]
    fn a_stall_is_known_by_those_before_it() {
        let mut delay = new();
        // Of ten that are 100 ms late, one is 200.
        let mut delays = Vec::new();
        for late in [100, 100, 100, 100, 100, 100, 100, 100, 100, 200] {
            delays.extend([50; 30]);
            delays.push(50 + late);
        }
        heard(&mut delay, &delays, 10);
        let stalls = |late: i64| delay.stalls(late * MS, 140 * MS);
        assert!(!stalls(0) && !stalls(20) && !stalls(99), "one in ten");
        assert!(stalls(110) && stalls(139));
        assert!(!delay.stalls(250 * MS, 260 * MS), "nothing was as late as that");
        assert!(!delay.stalls(150 * MS, 190 * MS), "half a frame");
    }

    #[test]
    fn nothing_is_made_up_for_the_beginning_of_a_talk_spurt() {
        let config = PlayoutConfig::default();
        let mut delay = new();
        for number in 0..2_000 {
            let first = number % 100 == 0;
            delay.heard(if first { 200 * MS } else { 50 * MS }, 0, first, &config);
        }
        assert_eq!(delay.wait() / MS, 7);
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
            delay.heard(50 * MS, 0, false, &config);
            delay.heard(50 * MS, 20 * MS, false, &config);
        }
        assert_eq!(delay.wait() / MS, 21);
    }
}
