//! What saying and hearing have in common: a pace, keys, and what is shown meanwhile.

pub(crate) mod device;
pub(crate) mod keys;
pub(crate) mod meter;
pub(crate) mod wav;

use std::time::Duration;

use parlor::net::Clock;
use parlor::proto::event::State;
use parlor::proto::time::Time;

/// What has not happened for so long after its time is not made up for: the computer slept, or what is
/// said did not come.
const STALL: Duration = Duration::from_millis(500);

/// When samples are due, by the clock alone: whatever each turn takes, the next one's time is that of the
/// beginning and of the samples since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    clock: Clock,
    rate: u32,
    /// When the first sample was due, and so many since.
    from: Time,
    since: u64,
    began: Time,
    began_unix: u64,
}

impl Pace {
    /// So many samples a second, from now on.
    pub(crate) fn new(rate: u32) -> Self {
        let clock = Clock::new();
        let began = clock.now();
        Self { clock, rate, from: began, since: 0, began, began_unix: Clock::unix_micros() }
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// When the sample `ahead` of the next is due.
    pub(crate) fn due(&self, ahead: usize) -> Time {
        let samples = self.since + ahead as u64;
        let rate = u64::from(self.rate);
        self.from
            + Duration::from_secs(samples / rate)
            + Duration::from_micros(samples % rate * 1_000_000 / rate)
    }

    /// Waits until that sample is due. Can be cancelled.
    pub(crate) async fn wait(&self, ahead: usize) {
        self.clock.sleep_until(Some(self.due(ahead))).await;
    }

    /// So many samples were dealt with.
    pub(crate) fn pass(&mut self, samples: usize) {
        self.since += samples as u64;
        let now = self.now();
        if now.since(self.due(0)) > STALL {
            (self.from, self.since) = (now, 0);
        }
    }

    /// When the first sample was due, in microseconds since 1970: processes of one computer agree about
    /// it while nobody sets its clock.
    pub(crate) const fn began_unix(&self) -> u64 {
        self.began_unix
    }

    /// By how many microseconds the computer's clock was set since.
    pub(crate) fn clock_set(&self) -> i64 {
        let passed = self.now().since(self.began).as_micros();
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        Clock::unix_micros().cast_signed().wrapping_sub(self.began_unix.cast_signed()) - passed
    }
}

/// Whether the link was lost, which is told; how it first came about is not.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Link {
    lost: bool,
}

impl Link {
    /// Whether a state of the room is to be told.
    pub(crate) const fn tells(&mut self, state: &State) -> bool {
        match state {
            State::Reconnecting { .. } => {
                self.lost = true;
                true
            }
            State::Ready => {
                let lost = self.lost;
                self.lost = false;
                lost
            }
            State::Offline | State::Connecting | State::Joining | State::Closed(_) => false,
        }
    }
}
