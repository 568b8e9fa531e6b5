//! What went over each lane, and how fast.

use std::collections::VecDeque;
use std::time::Duration;

use crate::proto::id::Lane;
use crate::proto::time::Time;

/// What went one way on one lane.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Traffic {
    /// Frames.
    pub messages: u64,
    /// Bytes of frames, without what the transport adds.
    pub bytes: u64,
    /// Frames within the last second.
    pub message_rate: u64,
    /// Bytes within the last second.
    pub byte_rate: u64,
}

/// What went both ways on one lane.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct LaneStatistics {
    /// To the relay.
    pub sent: Traffic,
    /// From the relay.
    pub received: Traffic,
}

/// A connection, in numbers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Statistics {
    /// Control.
    pub control: LaneStatistics,
    /// Documents.
    pub document: LaneStatistics,
    /// Snapshots.
    pub snapshot: LaneStatistics,
    /// State. What was sent may not have gone out.
    pub state: LaneStatistics,
    /// How long the last ping took.
    pub round_trip: Duration,
    /// How much that varies (mean deviation, RFC 3550).
    pub jitter: Duration,
}

impl Statistics {
    /// The numbers of a lane.
    #[must_use]
    pub const fn lane(&self, lane: Lane) -> &LaneStatistics {
        match lane {
            Lane::Control => &self.control,
            Lane::Document => &self.document,
            Lane::Snapshot => &self.snapshot,
            Lane::State => &self.state,
        }
    }
}

/// Counts what goes over the lanes of one peer.
#[derive(Clone, Default, Debug)]
pub struct Meter {
    lanes: [[Count; 2]; Lane::ALL.len()],
}

/// Which way a frame goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// To the relay.
    Sent,
    /// From the relay.
    Received,
}

impl Meter {
    /// Counts a frame.
    pub fn count(&mut self, lane: Lane, direction: Direction, bytes: usize, now: Time) {
        let count = &mut self.lanes[lane as usize][direction as usize];
        count.add(bytes as u64, now);
    }

    /// The numbers of a lane.
    #[must_use]
    pub fn lane(&self, lane: Lane, now: Time) -> LaneStatistics {
        let [sent, received] = &self.lanes[lane as usize];
        LaneStatistics { sent: sent.traffic(now), received: received.traffic(now) }
    }
}

/// The last second is kept in tenths.
const SLOT: Duration = Duration::from_millis(100);
const SLOTS: u64 = 10;

#[derive(Clone, Default, Debug)]
struct Count {
    messages: u64,
    bytes: u64,
    /// The slot's number, frames and bytes.
    recent: VecDeque<(u64, u64, u64)>,
}

impl Count {
    fn add(&mut self, bytes: u64, now: Time) {
        self.messages += 1;
        self.bytes += bytes;
        let slot = slot(now);
        match self.recent.back_mut() {
            Some((last, messages, total)) if *last == slot => {
                *messages += 1;
                *total += bytes;
            }
            _ => self.recent.push_back((slot, 1, bytes)),
        }
        while self.recent.front().is_some_and(|(first, ..)| first + SLOTS <= slot) {
            self.recent.pop_front();
        }
    }

    fn traffic(&self, now: Time) -> Traffic {
        let slot = slot(now);
        let recent = self.recent.iter().filter(|(at, ..)| at + SLOTS > slot);
        let (message_rate, byte_rate) =
            recent.fold((0, 0), |(frames, bytes), (_, more, size)| (frames + more, bytes + size));
        Traffic { messages: self.messages, bytes: self.bytes, message_rate, byte_rate }
    }
}

fn slot(now: Time) -> u64 {
    now.as_micros() / u64::try_from(SLOT.as_micros()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_last_second() {
        let mut meter = Meter::default();
        for tenth in 0..20 {
            let now = Time::ZERO + SLOT * tenth;
            meter.count(Lane::Document, Direction::Sent, 10, now);
        }
        let at_end = meter.lane(Lane::Document, Time::ZERO + SLOT * 19).sent;
        assert_eq!(at_end, Traffic { messages: 20, bytes: 200, message_rate: 10, byte_rate: 100 });
        let later = meter.lane(Lane::Document, Time::ZERO + SLOT * 40).sent;
        assert_eq!((later.messages, later.message_rate), (20, 0));
    }
}
