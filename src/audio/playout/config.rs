//! Every number of a playout that is somebody's choice.

use std::time::Duration;

/// How long is waited for packets, and what is heard of those that do not come.
#[derive(Clone, Debug, PartialEq)]
pub struct PlayoutConfig {
    /// How long is waited beyond the shortest delay before much is known of the network. Who knows
    /// that a carrier sends again what is lost does well to say two round trips.
    pub start: Duration,
    /// The least that is waited beyond the shortest delay.
    pub least: Duration,
    /// The most that is waited beyond the shortest delay. What lies farther behind is not played.
    pub most: Duration,
    /// Which share of spans of half a second is to pass without a packet too late, from 0 to 1.
    pub quantile: f32,
    /// Which share of what is known of delays is still known half a second of voice later, from 0 to
    /// 1.
    pub forget: f32,
    /// How much more than is to be waited is waited before voice is shortened; silence is at half of
    /// that.
    pub slack: Duration,
    /// How long is at least between two changes of the length of what is heard.
    pub rest: Duration,
    /// How long it takes until what is made up for missing packets is silence.
    pub fade: Duration,
    /// The loudest noise in pauses, as far under overload in decibels as [`Level`] has it.
    ///
    /// [`Level`]: crate::proto::audio::packet::Level
    pub comfort: u8,
}

impl Default for PlayoutConfig {
    fn default() -> Self {
        Self {
            start: Duration::from_millis(30),
            least: Duration::from_micros(7_500),
            most: Duration::from_millis(400),
            quantile: 0.95,
            forget: 0.983,
            slack: Duration::from_millis(20),
            rest: Duration::from_millis(50),
            fade: Duration::from_millis(100),
            comfort: 50,
        }
    }
}
