//! Whom a peer dials for a direct link, and when. Pure: the swarm does what it says.

use std::collections::{BTreeMap, BTreeSet};

use libp2p::swarm::ConnectionId;

use crate::net::direct::config::DirectConfig;
use crate::proto::id::PeerId;
use crate::proto::time::Time;

/// How many times longer than [`DirectConfig::again`] is waited at most.
const LONGEST: u32 = 64;

/// What was tried with each of those whom this peer dials: members whose ids are greater than its own.
#[derive(Debug)]
pub(crate) struct Attempts {
    me: PeerId,
    config: DirectConfig,
    tried: BTreeMap<PeerId, Tried>,
}

#[derive(Debug)]
struct Tried {
    count: u32,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// It is dialed then.
    Waiting(Time),
    Dialing(ConnectionId),
    /// There is a circuit, until then.
    Circuit(Time),
    /// There is a direct link.
    Near,
}

/// What to do about a peer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Dial it, for the so many-th time from 0, and say how it goes with [`Attempts::dialing`] or
    /// [`Attempts::failed`].
    Dial(PeerId, u32),
    /// Close its circuit, which led to nothing.
    Close(PeerId),
}

impl Attempts {
    pub(crate) fn new(me: PeerId, config: DirectConfig) -> Self {
        Self { me, config, tried: BTreeMap::new() }
    }

    /// Who is to have direct links now.
    pub(crate) fn keep(&mut self, members: &BTreeSet<PeerId>, now: Time) {
        self.tried.retain(|peer, _| members.contains(peer));
        for peer in members.iter().filter(|peer| self.me < **peer) {
            let fresh = || Tried { count: 0, state: State::Waiting(now) };
            self.tried.entry(*peer).or_insert_with(fresh);
        }
    }

    /// What is due.
    pub(crate) fn step(&mut self, now: Time) -> Option<Step> {
        let near = self.tried.values().filter(|it| it.state == State::Near).count();
        let has_room = near < self.config.links;
        for (peer, tried) in &mut self.tried {
            match tried.state {
                State::Waiting(at) if at <= now && has_room => {
                    return Some(Step::Dial(*peer, tried.count));
                }
                State::Circuit(until) if until <= now => {
                    tried.fail(now, &self.config);
                    return Some(Step::Close(*peer));
                }
                State::Waiting(_) | State::Circuit(_) | State::Dialing(_) | State::Near => {}
            }
        }
        None
    }

    /// When something is due next.
    pub(crate) fn next_at(&self) -> Option<Time> {
        let near = self.tried.values().filter(|it| it.state == State::Near).count();
        let at = |tried: &Tried| match tried.state {
            State::Waiting(at) => (near < self.config.links).then_some(at),
            State::Circuit(until) => Some(until),
            State::Dialing(_) | State::Near => None,
        };
        self.tried.values().filter_map(at).min()
    }

    pub(crate) fn dialing(&mut self, peer: PeerId, connection: ConnectionId) {
        if let Some(tried) = self.tried.get_mut(&peer) {
            tried.state = State::Dialing(connection);
        }
    }

    /// Nothing can be dialed.
    pub(crate) fn failed(&mut self, peer: PeerId, now: Time) {
        if let Some(tried) = self.tried.get_mut(&peer) {
            tried.fail(now, &self.config);
        }
    }

    /// A dial came to nothing.
    pub(crate) fn lost(&mut self, connection: ConnectionId, now: Time) {
        let mut tried = self.tried.values_mut();
        if let Some(tried) = tried.find(|it| it.state == State::Dialing(connection)) {
            tried.fail(now, &self.config);
        }
    }

    /// There is a circuit.
    pub(crate) fn circuit(&mut self, peer: PeerId, now: Time) {
        if let Some(tried) = self.tried.get_mut(&peer).filter(|it| it.state != State::Near) {
            tried.state = State::Circuit(now + self.config.attempt);
        }
    }

    /// There is a direct link, or not any more.
    pub(crate) fn near(&mut self, peer: PeerId, near: bool, now: Time) {
        let Some(tried) = self.tried.get_mut(&peer) else { return };
        tried.count = 0;
        tried.state = if near { State::Near } else { State::Waiting(now + self.config.again) };
    }

    /// There is a relay: whoever waits is dialed at once.
    pub(crate) fn hurry(&mut self, now: Time) {
        for tried in self.tried.values_mut() {
            if let State::Waiting(at) = &mut tried.state {
                (*at, tried.count) = (now.min(*at), 0);
            }
        }
    }
}

impl Tried {
    fn fail(&mut self, now: Time, config: &DirectConfig) {
        let times = 2_u32.saturating_pow(self.count).min(LONGEST);
        self.count = self.count.saturating_add(1);
        self.state = State::Waiting(now + config.again.saturating_mul(times));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn attempts(config: DirectConfig) -> (Attempts, [PeerId; 3]) {
        let [me, one, other] = [2, 1, 3].map(|id| PeerId::new([id; 32]));
        let mut attempts = Attempts::new(me, config);
        attempts.keep(&BTreeSet::from([one, other]), Time::ZERO);
        (attempts, [me, one, other])
    }

    #[test]
    fn the_smaller_id_dials_and_tries_again_less_and_less() {
        let (mut attempts, [.., other]) = attempts(DirectConfig::default());
        let mut waits = Vec::new();
        let mut now = Time::ZERO;
        for count in 0..9 {
            assert_eq!(attempts.step(now), Some(Step::Dial(other, count)));
            let connection = ConnectionId::new_unchecked(count as usize);
            attempts.dialing(other, connection);
            assert_eq!((attempts.step(now), attempts.next_at()), (None, None));
            attempts.lost(connection, now);
            let next = attempts.next_at().unwrap();
            waits.push(next.since(now).as_secs());
            now = next;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
    }

    #[test]
    fn a_circuit_is_closed_that_leads_to_nothing_and_kept_otherwise_no_longer_than_it_takes() {
        let (mut attempts, [.., other]) = attempts(DirectConfig::default());
        attempts.circuit(other, Time::ZERO);
        let until = Time::ZERO + DirectConfig::default().attempt;
        assert_eq!(attempts.step(Time::ZERO), None);
        assert_eq!(attempts.step(until), Some(Step::Close(other)));
        assert_eq!(attempts.next_at(), Some(until + DirectConfig::default().again));
        attempts.near(other, true, until);
        attempts.circuit(other, until);
        assert_eq!(attempts.next_at(), None);
        attempts.near(other, false, until);
        assert_eq!(attempts.next_at(), Some(until + DirectConfig::default().again));
        attempts.hurry(until);
        assert_eq!(attempts.step(until), Some(Step::Dial(other, 0)));
        attempts.keep(&BTreeSet::new(), until);
        assert_eq!(attempts.step(until + Duration::from_secs(1_000)), None);
    }

    #[test]
    fn who_has_enough_dials_nobody() {
        let (mut attempts, [.., other]) =
            attempts(DirectConfig { links: 0, ..DirectConfig::default() });
        assert_eq!((attempts.step(Time::ZERO), attempts.next_at()), (None, None));
        attempts.keep(&BTreeSet::from([other]), Time::ZERO);
        assert_eq!(attempts.step(Time::ZERO), None);
    }
}
