//! How far relays are. Pure: who measures does what it says.

use std::collections::VecDeque;
use std::time::Duration;

use libp2p::swarm::ConnectionId;
use thiserror::Error;

use crate::net::address::RelayAddress;
use crate::net::config::NetConfig;
use crate::net::dial::{Dialing, Left, RelayAddresses, Step};
use crate::net::relays::grouped;
use crate::proto::id::PeerId;
use crate::proto::time::Time;

/// How far a relay is, by [`measure`](crate::net::measure).
#[derive(Clone, Debug)]
pub struct Measured {
    /// Which relay: the id that its addresses name, or else of who answered at them.
    pub relay: Option<PeerId>,
    /// Its addresses, of those that were given; the best transport first.
    pub addresses: Vec<RelayAddress>,
    /// The least of its round trips, or why there is none.
    pub round_trip: Result<Duration, Unmeasured>,
}

/// Why there is no round trip to a relay. Names each address, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unmeasured {
    /// No address led to it.
    #[error("{why}")]
    Unreachable {
        /// What stood in the way, for a person.
        why: String,
    },
    /// It might have answered later ([`NetConfig::measure`]).
    #[error("{why}")]
    Late {
        /// What stood in the way, for a person.
        why: String,
    },
}

/// What comes next in a [`Survey`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// Dial an address of a relay, and say how it went with [`Survey::started`] or
    /// [`Survey::not_started`].
    Start(Place, RelayAddress),
    /// Close a connection.
    Close(ConnectionId),
    /// Nothing, until something happens or [`Survey::next_at`].
    Wait,
    /// Everything is known that will be.
    Done,
}

/// A relay's place among those that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(usize);

/// Measures relays, all of them at once. Each is dialed as it would be alone.
#[derive(Debug)]
pub(crate) struct Survey {
    runs: Vec<Run>,
    until: Time,
    within: Duration,
    round_trips: u32,
    /// At most the connections that are open.
    to_close: VecDeque<ConnectionId>,
}

/// The way to one relay, and what came back from there.
#[derive(Debug)]
struct Run {
    addresses: RelayAddresses,
    relay: Option<PeerId>,
    dialing: Dialing,
    /// What the relay is measured over.
    up: Option<ConnectionId>,
    answers: u32,
    least: Option<Duration>,
    state: RunState,
}

#[derive(Debug)]
enum RunState {
    Going,
    Measured,
    Failed(String),
}

impl Survey {
    pub(crate) fn new(addresses: Vec<RelayAddress>, config: &NetConfig, now: Time) -> Self {
        let runs = grouped(addresses).into_iter().map(|addresses| Run {
            relay: addresses.first().and_then(RelayAddress::relay),
            dialing: Dialing::new(Left::InOrder([addresses.clone()].into()), config.head_start),
            addresses,
            up: None,
            answers: 0,
            least: None,
            state: RunState::Going,
        });
        Self {
            runs: runs.collect(),
            until: now + config.measure,
            within: config.measure,
            round_trips: config.round_trips.max(1),
            to_close: VecDeque::new(),
        }
    }

    /// When to take the next step even if nothing happens.
    pub(crate) fn next_at(&self) -> Time {
        let dialing = self.runs.iter().filter(|run| run.is_dialing());
        let next = dialing.filter_map(|run| run.dialing.next_at()).min();
        next.map_or(self.until, |next| next.min(self.until))
    }

    /// What to do at `now`.
    pub(crate) fn step(&mut self, now: Time) -> Move {
        if let Some(connection) = self.to_close.pop_front() {
            return Move::Close(connection);
        }
        if now >= self.until {
            return Move::Done;
        }
        for (at, run) in self.runs.iter_mut().enumerate().filter(|(_, run)| run.is_dialing()) {
            match run.dialing.step(now) {
                Step::Start(address) => return Move::Start(Place(at), address),
                Step::GiveUp(why) => run.state = RunState::Failed(why),
                Step::Wait | Step::Measure => {}
            }
        }
        let going = self.runs.iter().any(|run| matches!(run.state, RunState::Going));
        if going { Move::Wait } else { Move::Done }
    }

    pub(crate) fn started(&mut self, at: Place, connection: ConnectionId, address: RelayAddress) {
        if let Some(run) = self.runs.get_mut(at.0) {
            run.dialing.started(connection, address);
        }
    }

    pub(crate) fn not_started(&mut self, at: Place, address: &RelayAddress, why: &str) {
        if let Some(run) = self.runs.get_mut(at.0) {
            run.dialing.not_started(address, why);
        }
    }

    /// A connection is up, with `relay` at its other end. The first of a relay is measured.
    pub(crate) fn up(&mut self, connection: ConnectionId, relay: Option<PeerId>) {
        match self.run(connection) {
            Some(run) if run.is_dialing() => {
                run.up = Some(connection);
                run.relay = relay;
            }
            _ => self.to_close.push_back(connection),
        }
    }

    /// Something went over a connection and back.
    pub(crate) fn answered(&mut self, connection: ConnectionId, round_trip: Duration) {
        let enough = self.round_trips;
        let Some(run) = self.run(connection).filter(|run| run.up == Some(connection)) else {
            return;
        };
        run.answers += 1;
        run.least = Some(run.least.map_or(round_trip, |least| least.min(round_trip)));
        if run.answers >= enough && matches!(run.state, RunState::Going) {
            run.state = RunState::Measured;
            self.to_close.push_back(connection);
        }
    }

    /// A connection did not come about, is gone, or is of no use.
    pub(crate) fn failed(&mut self, connection: ConnectionId, why: &str) {
        let Some(run) = self.run(connection) else { return };
        run.dialing.failed(connection, why);
        if run.up == Some(connection) {
            run.up = None;
            if run.least.is_some() {
                run.state = RunState::Measured;
            }
            self.to_close.push_back(connection);
        }
    }

    /// What was found: the nearest first, and those that were not measured last, in the order in which
    /// they were given.
    pub(crate) fn into_measured(self) -> Vec<Measured> {
        let late = format!("no answer within {} ms", self.within.as_millis());
        let mut measured: Vec<Measured> =
            self.runs.into_iter().map(|run| run.into_measured(&late)).collect();
        measured.sort_by_key(|relay| (relay.round_trip.is_err(), relay.round_trip.clone().ok()));
        measured
    }

    fn run(&mut self, connection: ConnectionId) -> Option<&mut Run> {
        self.runs.iter_mut().find(|run| run.dialing.is_in_flight(connection))
    }
}

impl Run {
    const fn is_dialing(&self) -> bool {
        matches!(self.state, RunState::Going) && self.up.is_none()
    }

    fn into_measured(self, late: &str) -> Measured {
        let round_trip = match (self.least, self.state) {
            (Some(least), _) => Ok(least),
            (None, RunState::Failed(why)) => Err(Unmeasured::Unreachable { why }),
            (None, RunState::Going | RunState::Measured) => {
                Err(Unmeasured::Late { why: self.dialing.overdue(late) })
            }
        };
        Measured { relay: self.relay, addresses: self.addresses, round_trip }
    }
}

/// What is said when nothing can be dialed at all.
pub(crate) fn unreachable(addresses: Vec<RelayAddress>, why: &str) -> Vec<Measured> {
    let relays = grouped(addresses).into_iter();
    relays
        .map(|addresses| Measured {
            relay: addresses.first().and_then(RelayAddress::relay),
            addresses,
            round_trip: Err(Unmeasured::Unreachable { why: why.to_owned() }),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::id::Identity;

    fn relay(number: u8) -> PeerId {
        Identity::from_seed([number; 32]).peer()
    }

    fn address(number: u8, transport: &str) -> RelayAddress {
        format!("/ip4/127.0.0.1/{transport}/p2p/{}", relay(number)).parse().unwrap()
    }

    fn survey(relays: &[u8]) -> Survey {
        let addresses = relays.iter().map(|number| address(*number, "tcp/1")).collect();
        Survey::new(addresses, &NetConfig::default(), Time::ZERO)
    }

    fn millis(millis: u64) -> Time {
        Time::from_micros(millis * 1_000)
    }

    /// Starts everything that is to be started, and numbers it.
    fn start(survey: &mut Survey, now: Time, first: usize) -> Vec<(ConnectionId, RelayAddress)> {
        let mut started = Vec::new();
        while let Move::Start(at, address) = survey.step(now) {
            let connection = ConnectionId::new_unchecked(first + started.len());
            survey.started(at, connection, address.clone());
            started.push((connection, address));
        }
        started
    }

    fn answer(survey: &mut Survey, connection: ConnectionId, millis: &[u64]) {
        for millis in millis {
            survey.answered(connection, Duration::from_millis(*millis));
        }
    }

    fn found(survey: Survey) -> Vec<(Option<PeerId>, Result<Duration, Unmeasured>)> {
        let measured = survey.into_measured().into_iter();
        measured.map(|measured| (measured.relay, measured.round_trip)).collect()
    }

    #[test]
    fn all_are_dialed_at_once_and_the_least_round_trip_of_each_gives_the_order() {
        let mut survey = survey(&[1, 2, 3]);
        let started = start(&mut survey, Time::ZERO, 0);
        assert_eq!(started.len(), 3);
        for (at, (connection, address)) in started.iter().enumerate() {
            survey.up(*connection, address.relay());
            assert_eq!(survey.step(Time::ZERO), Move::Wait);
            // The first of the first relay is late, as after a loss.
            let first = if at == 0 { 300 } else { 50 - 10 * at as u64 };
            answer(&mut survey, *connection, &[first, 25 - 10 * at as u64, 90]);
            assert_eq!(survey.step(Time::ZERO), Move::Close(*connection));
        }
        assert_eq!(survey.step(Time::ZERO), Move::Done);
        let expected = [(3, 5), (2, 15), (1, 25)]
            .map(|(number, millis)| (Some(relay(number)), Ok(Duration::from_millis(millis))));
        assert_eq!(found(survey), expected);
    }

    #[test]
    fn what_does_not_answer_in_time_is_last_and_holds_up_no_longer() {
        let mut survey = survey(&[1, 2, 3]);
        let started = start(&mut survey, Time::ZERO, 0);
        survey.failed(started[1].0, "refused");
        survey.up(started[2].0, Some(relay(3)));
        // One answer is enough to be measured, and not to be done.
        answer(&mut survey, started[2].0, &[7]);
        let until = Time::ZERO + NetConfig::default().measure;
        assert_eq!(survey.step(millis(2_999)), Move::Wait);
        assert_eq!(survey.next_at(), until);
        assert_eq!(survey.step(until), Move::Done);
        let late = format!("{}: no answer within 3000 ms", address(1, "tcp/1"));
        let refused = format!("{}: refused", address(2, "tcp/1"));
        let expected = [
            (Some(relay(3)), Ok(Duration::from_millis(7))),
            (Some(relay(1)), Err(Unmeasured::Late { why: late })),
            (Some(relay(2)), Err(Unmeasured::Unreachable { why: refused })),
        ];
        assert_eq!(found(survey), expected);
    }

    #[test]
    fn a_relay_has_its_transports_one_beside_the_other_and_one_is_measured() {
        let addresses = vec![address(1, "tcp/1"), address(1, "udp/1/quic-v1")];
        let mut survey = Survey::new(addresses, &NetConfig::default(), Time::ZERO);
        let quic = start(&mut survey, Time::ZERO, 0);
        assert_eq!(quic[0].1, address(1, "udp/1/quic-v1"));
        assert_eq!(survey.next_at(), millis(1_000));
        let tcp = start(&mut survey, millis(1_000), 1);
        assert_eq!(tcp[0].1, address(1, "tcp/1"));
        survey.up(tcp[0].0, Some(relay(1)));
        survey.up(quic[0].0, Some(relay(1)));
        assert_eq!(survey.step(millis(1_200)), Move::Close(quic[0].0));
        survey.failed(quic[0].0, "closed");
        answer(&mut survey, quic[0].0, &[1]);
        answer(&mut survey, tcp[0].0, &[9, 8, 9]);
        assert_eq!(survey.step(millis(1_300)), Move::Close(tcp[0].0));
        assert_eq!(survey.step(millis(1_300)), Move::Done);
        assert_eq!(found(survey), [(Some(relay(1)), Ok(Duration::from_millis(8)))]);
    }

    #[test]
    fn a_connection_that_breaks_is_followed_by_the_next_address() {
        let addresses = vec![address(1, "udp/1/quic-v1"), address(1, "tcp/1")];
        let mut survey = Survey::new(addresses, &NetConfig::default(), Time::ZERO);
        let quic = start(&mut survey, Time::ZERO, 0);
        survey.up(quic[0].0, Some(relay(1)));
        survey.failed(quic[0].0, "no ping");
        assert_eq!(survey.step(Time::ZERO), Move::Close(quic[0].0));
        let tcp = start(&mut survey, Time::ZERO, 1);
        assert_eq!(tcp[0].1, address(1, "tcp/1"));
        survey.up(tcp[0].0, Some(relay(1)));
        answer(&mut survey, tcp[0].0, &[9]);
        survey.failed(tcp[0].0, "closed");
        assert_eq!(survey.step(Time::ZERO), Move::Close(tcp[0].0));
        // It is measured, if only once.
        assert_eq!(survey.step(Time::ZERO), Move::Done);
        assert_eq!(found(survey), [(Some(relay(1)), Ok(Duration::from_millis(9)))]);
    }

    #[test]
    fn who_answers_at_addresses_without_an_id_is_named() {
        let bare = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let mut survey = Survey::new(vec![bare], &NetConfig::default(), Time::ZERO);
        let started = start(&mut survey, Time::ZERO, 0);
        survey.up(started[0].0, Some(relay(9)));
        answer(&mut survey, started[0].0, &[1, 1, 1]);
        assert_eq!(found(survey), [(Some(relay(9)), Ok(Duration::from_millis(1)))]);
    }
}
