//! Every number of a playout that is somebody's choice.

use std::time::Duration;

/// How long is waited for packets, and what is heard of those that do not come.
#[derive(Clone, Debug, PartialEq)]
pub struct PlayoutConfig {
    /// The least that is waited beyond the shortest delay until twenty times as long was heard. Who knows
    /// that a carrier sends again what is lost does well to say two round trips.
    pub start: Duration,
    /// The least that is waited beyond the shortest delay.
    pub least: Duration,
    /// The most that is waited beyond the shortest delay. What lies farther behind is not played, and
    /// when nothing has come for so long a pause begins, of which nothing counts as lost.
    pub most: Duration,
    /// What is not later than this is always waited for, unless it is that late less than once in 20 s of
    /// voice.
    pub free: Duration,
    /// Which share of voice may be made up for each second that is waited beyond [`Self::free`]: of the
    /// waits for which it is at most that, the least is waited. A short delay harms nobody and a long one
    /// more with each millisecond (ITU-T G.107), so that the longer it is, the more may be made up.
    /// 0.045 is 0.06 % for 54 ms, what 5 % of lost packets that the next ones tell of take; and 0.7 %
    /// for 200 ms, what a stream of QUIC takes that loses as much.
    pub price: f32,
    /// Which share of what is known of delays is still known a packet later, from 0 to 1: half of it
    /// 20 s of voice later if it is 0.9993.
    pub forget: f32,
    /// How much more than is to be waited is waited before voice is shortened; silence is at half of
    /// that.
    pub slack: Duration,
    /// How long is at least between two changes of the length of what is heard, but where a stall is
    /// known to make up more.
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
            free: Duration::from_millis(40),
            price: 0.045,
            forget: 0.9993,
            slack: Duration::from_millis(20),
            rest: Duration::from_millis(50),
            fade: Duration::from_millis(100),
            comfort: 50,
        }
    }
}
