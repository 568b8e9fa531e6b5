//! Which address of which relay is dialed when. Pure: the swarm does what it says.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::time::Duration;

use libp2p::swarm::{ConnectionId, DialError};

use crate::net::address::RelayAddress;
use crate::proto::time::Time;

/// The addresses of one relay, the best transport first.
pub(crate) type RelayAddresses = Vec<RelayAddress>;

/// How long a relay is left alone, at least, before it is dialed again: who gives others no head start
/// must not dial without end.
const LEAST_REST: Duration = Duration::from_millis(100);

/// One answer to [`Effect::Dial`](crate::proto::event::Effect::Dial) in the making.
///
/// One relay after the other is dialed, and of each the best transport first. The next address of a
/// relay is tried when those before it have failed, or beside them after a while; the next relay,
/// when all addresses of those before it have failed. The first link that is up wins.
#[derive(Debug)]
pub(crate) struct Dialing {
    /// Addresses of the relay whose turn it is.
    waiting: VecDeque<RelayAddress>,
    in_flight: BTreeMap<ConnectionId, RelayAddress>,
    failures: Vec<String>,
    head_start: Duration,
    next_at: Option<Time>,
    /// Whether [`Self::next_at`] holds even when nothing is in flight.
    resting: bool,
    stay: Option<Stay>,
    left: Left,
}

/// A relay that is dialed again and again until some time.
#[derive(Debug)]
struct Stay {
    relay: RelayAddresses,
    until: Time,
}

/// The relays whose turn has not come.
#[derive(Debug)]
pub(crate) enum Left {
    /// In this order.
    InOrder(VecDeque<RelayAddresses>),
    /// In an order that is yet to be measured.
    Unmeasured,
    /// In an order that is being measured.
    Measuring,
}

/// What comes next in a [`Dialing`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Dial this address, and say how it went with [`Dialing::started`] or [`Dialing::not_started`].
    Start(RelayAddress),
    /// Measure all relays, and say what was found with [`Dialing::measured`].
    Measure,
    /// Nothing, until something fails or [`Dialing::next_at`].
    Wait,
    /// No address is left.
    GiveUp(String),
}

impl Dialing {
    pub(crate) fn new(left: Left, head_start: Duration) -> Self {
        Self {
            waiting: VecDeque::new(),
            in_flight: BTreeMap::new(),
            failures: Vec::new(),
            head_start,
            next_at: None,
            resting: false,
            stay: None,
            left,
        }
    }

    /// Begins with `relay`, and dials none but it until `until`.
    pub(crate) fn stay(mut self, relay: RelayAddresses, until: Time) -> Self {
        self.waiting = relay.clone().into();
        self.stay = Some(Stay { relay, until });
        self
    }

    /// When to take the next step even if nothing happens.
    pub(crate) fn next_at(&self) -> Option<Time> {
        self.next_at.filter(|_| !self.waiting.is_empty())
    }

    /// What to do at `now`.
    pub(crate) fn step(&mut self, now: Time) -> Step {
        loop {
            let idle = self.in_flight.is_empty();
            let due = self.next_at.is_none_or(|next| next <= now);
            if (due || (idle && !self.resting))
                && let Some(address) = self.waiting.pop_front()
            {
                self.resting = false;
                self.next_at = Some(now + self.head_start);
                return Step::Start(address);
            }
            if !idle || !self.waiting.is_empty() {
                return Step::Wait;
            }
            if let Some(step) = self.turn(now) {
                return step;
            }
        }
    }

    /// Whose turn it is, now that the relay whose turn it was has failed; or what to do instead.
    fn turn(&mut self, now: Time) -> Option<Step> {
        if let Some(stay) = &self.stay
            && now < stay.until
        {
            // What is said in the end is why it failed last.
            self.failures.clear();
            self.waiting = stay.relay.clone().into();
            let rest = self.head_start.max(LEAST_REST);
            self.next_at = Some((now + rest).min(stay.until));
            self.resting = true;
            return None;
        }
        self.next_at = None;
        match &mut self.left {
            Left::InOrder(relays) => match relays.pop_front() {
                Some(relay) => {
                    self.waiting = relay.into();
                    None
                }
                None => Some(Step::GiveUp(self.failures.join("; "))),
            },
            Left::Unmeasured => {
                // Of every relay something is said by who measures it.
                self.failures.clear();
                self.left = Left::Measuring;
                Some(Step::Measure)
            }
            Left::Measuring => Some(Step::Wait),
        }
    }

    /// The relays that were measured, nearest first, and why others were not.
    pub(crate) fn measured(&mut self, relays: VecDeque<RelayAddresses>, failures: Vec<String>) {
        self.left = Left::InOrder(relays);
        self.failures.extend(failures);
    }

    pub(crate) fn started(&mut self, connection: ConnectionId, address: RelayAddress) {
        self.in_flight.insert(connection, address);
    }

    pub(crate) fn not_started(&mut self, address: &RelayAddress, why: &str) {
        self.failures.push(format!("{address}: {why}"));
    }

    /// The address that a connection is being made to.
    pub(crate) fn address(&self, connection: ConnectionId) -> Option<&RelayAddress> {
        self.in_flight.get(&connection)
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

    /// What failed, and `why` nothing came of what has not failed yet.
    pub(crate) fn overdue(&self, why: &str) -> String {
        let pending = self.in_flight.values().chain(&self.waiting);
        let pending = pending.map(|address| format!("{address}: {why}"));
        self.failures.iter().cloned().chain(pending).collect::<Vec<_>>().join("; ")
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

    const HEAD_START: Duration = Duration::from_secs(1);

    fn address(text: &str) -> RelayAddress {
        text.parse().unwrap()
    }

    /// A relay with two transports.
    fn relay(port: u16) -> RelayAddresses {
        vec![
            address(&format!("/ip4/127.0.0.1/udp/{port}/quic-v1")),
            address(&format!("/ip4/127.0.0.1/tcp/{port}/ws")),
        ]
    }

    fn in_order(relays: impl IntoIterator<Item = RelayAddresses>) -> Dialing {
        Dialing::new(Left::InOrder(relays.into_iter().collect()), HEAD_START)
    }

    fn seconds(seconds: u64) -> Time {
        Time::from_micros(seconds * 1_000_000)
    }

    /// Starts what is to be started, and lets it fail.
    fn refuse(dialing: &mut Dialing, address: &RelayAddress, now: Time) {
        assert_eq!(dialing.step(now), Step::Start(address.clone()));
        let connection = ConnectionId::new_unchecked(1);
        dialing.started(connection, address.clone());
        dialing.failed(connection, "refused");
    }

    #[test]
    fn the_best_transport_is_tried_first_and_the_next_beside_it_after_a_while() {
        let [quic, ws] = relay(1).try_into().unwrap();
        let mut dialing = in_order([relay(1), relay(2)]);
        assert_eq!(dialing.step(Time::ZERO), Step::Start(quic.clone()));
        let first = ConnectionId::new_unchecked(1);
        dialing.started(first, quic.clone());
        assert_eq!(dialing.step(Time::ZERO), Step::Wait);
        assert_eq!(dialing.next_at(), Some(seconds(1)));
        assert_eq!(dialing.step(seconds(1)), Step::Start(ws.clone()));
        let second = ConnectionId::new_unchecked(2);
        dialing.started(second, ws);
        assert_eq!(dialing.next_at(), None);
        assert!(dialing.is_in_flight(first) && dialing.is_in_flight(second));
        assert_eq!(dialing.address(first), Some(&quic));
        // The other relay is not raced with it.
        assert_eq!(dialing.step(seconds(60)), Step::Wait);
    }

    #[test]
    fn the_next_relay_has_its_turn_when_every_address_of_the_first_has_failed() {
        let mut dialing = in_order([relay(1), relay(2)]);
        for address in relay(1).iter().chain(&relay(2)) {
            refuse(&mut dialing, address, Time::ZERO);
        }
        let why: Vec<String> =
            relay(1).iter().chain(&relay(2)).map(|address| format!("{address}: refused")).collect();
        assert_eq!(dialing.step(Time::ZERO), Step::GiveUp(why.join("; ")));
    }

    #[test]
    fn an_address_in_flight_holds_up_the_next_relay() {
        let [quic, ws] = relay(1).try_into().unwrap();
        let mut dialing = in_order([relay(1), relay(2)]);
        assert_eq!(dialing.step(Time::ZERO), Step::Start(quic.clone()));
        let slow = ConnectionId::new_unchecked(7);
        dialing.started(slow, quic);
        refuse(&mut dialing, &ws, seconds(1));
        assert_eq!(dialing.step(seconds(4)), Step::Wait);
        dialing.failed(slow, "no answer");
        assert_eq!(dialing.step(seconds(5)), Step::Start(relay(2)[0].clone()));
    }

    #[test]
    fn a_relay_that_was_left_by_a_loss_is_dialed_alone_until_its_time_is_over() {
        let tcp = vec![address("/ip4/127.0.0.1/tcp/1")];
        let mut dialing = in_order([relay(2)]).stay(tcp.clone(), Time::from_micros(2_500_000));
        for at in [0, 1_000_000, 2_000_000, 2_500_000] {
            let now = Time::from_micros(at);
            refuse(&mut dialing, &tcp[0], now);
            if at < 2_500_000 {
                // Not at once again.
                assert_eq!(dialing.step(now), Step::Wait);
                assert!(dialing.next_at().is_some_and(|next| next > now));
            }
        }
        for address in &relay(2) {
            refuse(&mut dialing, address, seconds(3));
        }
        let Step::GiveUp(why) = dialing.step(seconds(3)) else { panic!("no address is left") };
        // Once, although it was dialed four times.
        assert_eq!(why.matches("/tcp/1: refused").count(), 1, "{why}");
        assert_eq!(why.matches("refused").count(), 3, "{why}");
    }

    #[test]
    fn who_gives_no_head_start_rests_all_the_same() {
        let tcp = vec![address("/ip4/127.0.0.1/tcp/1")];
        let mut dialing = Dialing::new(Left::InOrder(VecDeque::new()), Duration::ZERO)
            .stay(tcp.clone(), seconds(1));
        assert_eq!(dialing.step(Time::ZERO), Step::Start(tcp[0].clone()));
        dialing.not_started(&tcp[0], "refused");
        assert_eq!(dialing.step(Time::ZERO), Step::Wait);
        assert_eq!(dialing.next_at(), Some(Time::from_micros(100_000)));
    }

    #[test]
    fn what_was_measured_gives_the_order_and_what_was_not_is_said() {
        let mut dialing = Dialing::new(Left::Unmeasured, HEAD_START);
        assert_eq!(dialing.step(Time::ZERO), Step::Measure);
        assert_eq!(dialing.step(Time::ZERO), Step::Wait);
        dialing.measured([relay(2)].into(), vec!["the other: too far".to_owned()]);
        for address in &relay(2) {
            refuse(&mut dialing, address, Time::ZERO);
        }
        let Step::GiveUp(why) = dialing.step(Time::ZERO) else { panic!("no address is left") };
        assert!(why.starts_with("the other: too far; /ip4/127.0.0.1/udp/2"), "{why}");
    }

    #[test]
    fn a_relay_that_stays_away_is_measured_with_the_others() {
        let tcp = vec![address("/ip4/127.0.0.1/tcp/1")];
        let mut dialing = Dialing::new(Left::Unmeasured, HEAD_START).stay(tcp.clone(), Time::ZERO);
        refuse(&mut dialing, &tcp[0], Time::ZERO);
        assert_eq!(dialing.step(Time::ZERO), Step::Measure);
        dialing.measured(VecDeque::new(), vec!["none".to_owned()]);
        assert_eq!(dialing.step(Time::ZERO), Step::GiveUp("none".to_owned()));
    }

    #[test]
    fn what_is_overdue_names_every_address() {
        let mut dialing = in_order([relay(1)]);
        let [quic, ws] = relay(1).try_into().unwrap();
        assert_eq!(dialing.step(Time::ZERO), Step::Start(quic.clone()));
        dialing.started(ConnectionId::new_unchecked(1), quic.clone());
        assert_eq!(dialing.overdue("late"), format!("{quic}: late; {ws}: late"));
    }
}
