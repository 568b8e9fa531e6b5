//! Which address of the relay is tried when. Pure: the swarm does what it says.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::time::Duration;

use libp2p::swarm::{ConnectionId, DialError};

use crate::net::address::RelayAddress;
use crate::proto::time::Time;

/// One answer to [`Effect::Dial`](crate::proto::event::Effect::Dial) in the making.
///
/// The best transport goes first. The next is tried when those before it have failed, or beside them
/// after a while. The first link that is up wins.
#[derive(Debug)]
pub(crate) struct Dialing {
    waiting: VecDeque<RelayAddress>,
    in_flight: BTreeMap<ConnectionId, RelayAddress>,
    failures: Vec<String>,
    head_start: Duration,
    next_at: Option<Time>,
}

/// What comes next in a [`Dialing`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Dial this address, and say how it went with [`Dialing::started`] or [`Dialing::not_started`].
    Start(RelayAddress),
    /// Nothing, until something fails or [`Dialing::next_at`].
    Wait,
    /// No address is left.
    GiveUp(String),
}

impl Dialing {
    pub(crate) fn new(addresses: &[RelayAddress], head_start: Duration) -> Self {
        let mut waiting = addresses.to_vec();
        waiting.sort_by_key(RelayAddress::transport);
        Self {
            waiting: waiting.into(),
            in_flight: BTreeMap::new(),
            failures: Vec::new(),
            head_start,
            next_at: None,
        }
    }

    /// When to take the next step even if nothing happens.
    pub(crate) fn next_at(&self) -> Option<Time> {
        self.next_at.filter(|_| !self.waiting.is_empty())
    }

    /// What to do at `now`.
    pub(crate) fn step(&mut self, now: Time) -> Step {
        let due = self.next_at.is_none_or(|next| next <= now);
        if due || self.in_flight.is_empty() {
            self.next_at = Some(now + self.head_start);
            if let Some(address) = self.waiting.pop_front() {
                return Step::Start(address);
            }
        }
        if self.in_flight.is_empty() { Step::GiveUp(self.failures.join("; ")) } else { Step::Wait }
    }

    pub(crate) fn started(&mut self, connection: ConnectionId, address: RelayAddress) {
        self.in_flight.insert(connection, address);
    }

    pub(crate) fn not_started(&mut self, address: &RelayAddress, why: &str) {
        self.failures.push(format!("{address}: {why}"));
    }

    pub(crate) fn is_in_flight(&self, connection: ConnectionId) -> bool {
        self.in_flight.contains_key(&connection)
    }

    /// The connections that are being made.
    pub(crate) fn in_flight(&self) -> impl Iterator<Item = ConnectionId> {
        self.in_flight.keys().copied()
    }

    /// A connection did not become a link.
    pub(crate) fn failed(&mut self, connection: ConnectionId, why: &str) {
        if let Some(address) = self.in_flight.remove(&connection) {
            self.not_started(&address, why);
        }
    }
}

/// What stood in the way of a connection, in short.
pub(crate) fn explain(error: &DialError) -> String {
    match error {
        DialError::WrongPeerId { obtained, .. } => {
            format!("another relay answers there, {obtained}")
        }
        DialError::Transport(errors) => {
            let reasons: Vec<String> = errors.iter().map(|(_, error)| root(error)).collect();
            reasons.join(", ")
        }
        other => root(other),
    }
}

/// The innermost error, which is what the system said; those around it only say where.
fn root(error: &(dyn Error + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> Vec<RelayAddress> {
        ["/ip4/127.0.0.1/tcp/2/ws", "/ip4/127.0.0.1/udp/1/quic-v1"]
            .map(|address| address.parse().unwrap())
            .into()
    }

    #[test]
    fn the_best_transport_is_tried_first_and_the_next_beside_it_after_a_while() {
        let [ws, quic] = addresses().try_into().unwrap();
        let mut dialing = Dialing::new(&addresses(), Duration::from_secs(1));
        assert_eq!(dialing.step(Time::ZERO), Step::Start(quic.clone()));
        let first = ConnectionId::new_unchecked(1);
        dialing.started(first, quic);
        assert_eq!(dialing.step(Time::ZERO), Step::Wait);
        assert_eq!(dialing.next_at(), Some(Time::from_micros(1_000_000)));
        assert_eq!(dialing.step(Time::from_micros(1_000_000)), Step::Start(ws.clone()));
        let second = ConnectionId::new_unchecked(2);
        dialing.started(second, ws);
        assert_eq!(dialing.next_at(), None);
        assert!(dialing.is_in_flight(first) && dialing.is_in_flight(second));
    }

    #[test]
    fn a_failure_starts_the_next_at_once_and_the_last_gives_up() {
        let mut dialing = Dialing::new(&addresses(), Duration::from_secs(1));
        for number in 1..=2 {
            let Step::Start(address) = dialing.step(Time::ZERO) else {
                panic!("an address is left");
            };
            let connection = ConnectionId::new_unchecked(number);
            dialing.started(connection, address);
            dialing.failed(connection, "refused");
        }
        assert_eq!(
            dialing.step(Time::ZERO),
            Step::GiveUp(
                "/ip4/127.0.0.1/udp/1/quic-v1: refused; /ip4/127.0.0.1/tcp/2/ws: refused".into()
            )
        );
    }
}
