//! What receivers show, and how old it is then.

use std::time::{Duration, Instant};

use crate::hub::Usage;
use crate::script::{Script, Written};

/// What one receiver shows.
pub(crate) struct Seen {
    pub(crate) receiver: usize,
    /// By sender.
    pub(crate) pairs: Vec<Pair>,
    /// What nobody wrote.
    pub(crate) strange: usize,
    /// Ages by room time, in microseconds, where there is one.
    pub(crate) claimed: Vec<u32>,
    pub(crate) traffic: Traffic,
}

/// What a receiver shows of one sender.
#[derive(Clone, Default)]
pub(crate) struct Pair {
    last: Option<u32>,
    /// Microseconds from when something is written until it shows.
    pub(crate) ages: Vec<u32>,
}

/// What came in to a receiver while it was measured.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Traffic {
    pub(crate) bytes: u64,
    pub(crate) packets: u64,
}

impl Seen {
    pub(crate) fn new(receiver: usize, peers: usize) -> Self {
        let pairs = vec![Pair::default(); peers];
        Self { receiver, pairs, strange: 0, claimed: Vec::new(), traffic: Traffic::default() }
    }

    /// Something of a sender shows. What it showed before, or what is older than that, is nothing new.
    /// Returns whether it is new and counts.
    pub(crate) fn note(&mut self, script: &Script, sender: usize, shown: Option<Written>) -> bool {
        let (Some(pair), Some(written)) = (self.pairs.get_mut(sender), shown) else {
            self.strange += 1;
            return false;
        };
        if pair.last.is_some_and(|last| last >= written.number) {
            return false;
        }
        pair.last = Some(written.number);
        let counts = script.counts(written.at);
        if counts {
            pair.ages.push(micros(written.at.elapsed()));
        }
        counts
    }

    /// Something came.
    pub(crate) fn came(&mut self, script: &Script, bytes: usize) {
        if script.counts(Instant::now()) {
            self.traffic.bytes += bytes as u64;
            self.traffic.packets += 1;
        }
    }
}

pub(crate) fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// What came out.
pub(crate) struct Measured {
    /// Of each receiver.
    pub(crate) seen: Vec<Seen>,
    /// How much was written, by everybody.
    pub(crate) written: usize,
    pub(crate) usage: Usage,
}
