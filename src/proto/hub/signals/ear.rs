//! How one member hears signals, and gives them.

use super::kept::Rule;
use crate::proto::channel::{Channel, Recent};
use crate::proto::hub::second::Second;
use crate::proto::time::Time;
use crate::proto::wire::message::SignalMessage;

/// One member's signals.
#[derive(Clone, Debug, Default)]
pub(in crate::proto::hub) struct Ear {
    /// Once it has asked: what was answered.
    pub(super) open: Option<(SignalMessage, Channel)>,
    /// What was taken.
    taken: Second,
    /// Which of those that may be lost came, and how many were said.
    heard: Recent,
    said: u64,
    /// What was passed on of those, and what the member was told of others'.
    passed: Second,
    told: Second,
}

impl Ear {
    pub(super) fn channel(&mut self) -> Option<&mut Channel> {
        self.open.as_mut().map(|(_, channel)| channel)
    }

    pub(in crate::proto::hub) fn tick(&mut self, now: Time) {
        if let Some(channel) = self.channel() {
            channel.tick(now);
        }
    }

    pub(in crate::proto::hub) fn deadline(&self) -> Option<Time> {
        self.open.as_ref().and_then(|(_, channel)| channel.deadline())
    }

    /// Whether more may be taken in this second.
    pub(super) fn may_take(&mut self, (config, now): Rule<'_>) -> bool {
        self.taken.has_room(config.per_second, config.bytes_per_second, now)
    }

    /// So many bytes were.
    pub(super) const fn took(&mut self, bytes: usize) {
        self.taken.add(bytes);
    }

    /// Whether one of the member's that may be lost is to be passed on: it is new, and not too much.
    pub(super) fn passes(&mut self, number: u64, bytes: usize, (config, now): Rule<'_>) -> bool {
        let (most, most_bytes) = (config.casts_per_second, config.cast_bytes_per_second);
        let passes = self.passed.has_room(most, most_bytes, now) && self.heard.is_new(number);
        if passes {
            self.passed.add(bytes);
        }
        passes
    }

    /// The number of one of another's that may be lost, unless it is too much for the member.
    pub(super) fn tell(&mut self, bytes: usize, (config, now): Rule<'_>) -> Option<u64> {
        let (most, most_bytes) = (config.casts_per_second, config.cast_bytes_per_second);
        if !self.told.has_room(most, most_bytes, now) {
            return None;
        }
        self.told.add(bytes);
        self.said += 1;
        Some(self.said)
    }
}
