//! A peer, its clock, and what became of its links.

use std::collections::BTreeMap;
use std::time::Duration;

use super::follower::Follower;
use super::network::Way;
use crate::proto::event::{Outcome, Ticket};
use crate::proto::id::Link;
use crate::proto::peer::Peer;
use crate::proto::time::Time;

/// A peer and what it runs on.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) peer: Peer,
    pub(super) follower: Follower,
    /// What its application was told of what it proposed.
    pub(super) outcomes: BTreeMap<Ticket, Outcome>,
    /// It neither hears nor acts, and keeps its memory: a process that is stopped and resumed.
    pub(super) asleep: bool,
    /// No link comes about.
    pub(super) cut: bool,
    /// It reads nothing, though its link is up.
    pub(super) deaf: bool,
    /// Which way of its link carries nothing, though neither end has been told.
    pub(super) broken: Option<Way>,
    /// How much faster its clock runs than the relay's, in millionths.
    pub(super) rate: i32,
    /// How far its clock has leapt ahead.
    pub(super) leapt: Duration,
    /// Links that it lost while it was asleep, and was not told of.
    pub(super) lost: Vec<Link>,
}

impl Host {
    /// What its clock shows at a time.
    pub(super) fn local(&self, now: Time) -> Time {
        let millionths = 1_000_000 + i128::from(self.rate);
        scaled(now, millionths, 1_000_000, 0) + self.leapt
    }

    /// The first time at which its clock shows another.
    pub(super) fn global(&self, local: Time) -> Time {
        let millionths = 1_000_000 + i128::from(self.rate);
        let steady = Time::ZERO + local.since(Time::ZERO + self.leapt);
        scaled(steady, 1_000_000, millionths, millionths - 1)
    }
}

fn scaled(time: Time, by: i128, over: i128, rounding: i128) -> Time {
    let micros = (i128::from(time.as_micros()) * by + rounding) / over;
    Time::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}
