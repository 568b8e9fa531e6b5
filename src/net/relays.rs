//! The relays that a client may dial, and which of them it belongs to. Pure.

use std::time::Duration;

use crate::net::address::RelayAddress;
use crate::net::config::{NetConfig, RelayChoice};
use crate::net::dial::{Dialing, Left, RelayAddresses};
use crate::proto::time::Time;

/// What a client's dials begin with.
#[derive(Debug)]
pub(crate) struct Relays {
    relays: Vec<RelayAddresses>,
    choice: RelayChoice,
    head_start: Duration,
    stay: Duration,
    home: Option<Home>,
}

/// The relay that the last link was with.
#[derive(Debug)]
struct Home {
    relay: usize,
    /// Until when none but it is dialed. Not known before it is dialed again.
    until: Option<Time>,
}

impl Relays {
    pub(crate) fn new(addresses: Vec<RelayAddress>, config: &NetConfig) -> Self {
        Self {
            relays: grouped(addresses),
            choice: config.relays,
            head_start: config.head_start,
            stay: config.stay,
            home: None,
        }
    }

    /// How to make a link at `now`.
    pub(crate) fn dialing(&mut self, now: Time) -> Dialing {
        let home = self.home.as_ref().map(|home| home.relay);
        let others = self.relays.iter().enumerate().filter(|(at, _)| Some(*at) != home);
        let left = match self.choice {
            RelayChoice::Nearest if self.relays.len() > 1 => Left::Unmeasured,
            RelayChoice::Nearest | RelayChoice::InOrder => {
                Left::InOrder(others.map(|(_, relay)| relay.clone()).collect())
            }
        };
        let dialing = Dialing::new(left, self.head_start);
        let Some(home) = &mut self.home else { return dialing };
        let until = *home.until.get_or_insert(now + self.stay);
        // Who has nowhere else to go is told at once, and decides itself when to try again.
        let until = if self.relays.len() > 1 { until } else { now };
        dialing.stay(self.relays[home.relay].clone(), until)
    }

    /// A link is up at `address`.
    pub(crate) fn settle(&mut self, address: &RelayAddress) {
        let relay = self.relays.iter().position(|relay| relay.contains(address));
        self.home = relay.map(|relay| Home { relay, until: None });
    }

    /// Every address, relay by relay.
    pub(crate) fn addresses(&self) -> Vec<RelayAddress> {
        self.relays.concat()
    }
}

/// The relays that `addresses` are of, in the order of their first addresses. Those without an id are
/// of one relay.
pub(crate) fn grouped(addresses: Vec<RelayAddress>) -> Vec<RelayAddresses> {
    let mut relays: Vec<RelayAddresses> = Vec::new();
    for address in addresses {
        match relays.iter_mut().find(|relay| relay[0].relay() == address.relay()) {
            Some(relay) => relay.push(address),
            None => relays.push(vec![address]),
        }
    }
    for relay in &mut relays {
        relay.sort_by_key(RelayAddress::transport);
    }
    relays
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use libp2p::swarm::ConnectionId;

    use super::*;
    use crate::net::dial::Step;
    use crate::proto::id::Identity;

    fn address(text: &str, relay: u8) -> RelayAddress {
        let peer = Identity::from_seed([relay; 32]).peer();
        format!("{text}/p2p/{peer}").parse().unwrap()
    }

    /// One address of each relay.
    fn one_each(choice: RelayChoice) -> (Relays, [RelayAddress; 3]) {
        let addresses = [1, 2, 3].map(|relay| address("/ip4/127.0.0.1/tcp/1", relay));
        let config = NetConfig { relays: choice, ..NetConfig::default() };
        (Relays::new(addresses.to_vec(), &config), addresses)
    }

    /// What is dialed at `now`, while everything fails at once.
    fn dialed(dialing: &mut Dialing, now: Time) -> Vec<RelayAddress> {
        let mut dialed = Vec::new();
        while let Step::Start(address) = dialing.step(now) {
            dialing.started(ConnectionId::new_unchecked(1), address.clone());
            dialing.failed(ConnectionId::new_unchecked(1), "refused");
            dialed.push(address);
        }
        dialed
    }

    #[test]
    fn addresses_of_one_id_are_one_relay_and_so_are_those_without() {
        let bare = |text: &str| -> RelayAddress { text.parse().unwrap() };
        let relays = grouped(vec![
            address("/ip4/127.0.0.1/tcp/1", 1),
            bare("/ip4/127.0.0.1/tcp/2"),
            address("/ip4/127.0.0.1/udp/3/quic-v1", 2),
            address("/ip4/127.0.0.1/udp/4/quic-v1", 1),
            bare("/ip4/127.0.0.1/udp/5/quic-v1"),
            address("/ip4/127.0.0.1/tcp/6", 1),
        ]);
        let expected = [
            vec![
                address("/ip4/127.0.0.1/udp/4/quic-v1", 1),
                address("/ip4/127.0.0.1/tcp/1", 1),
                address("/ip4/127.0.0.1/tcp/6", 1),
            ],
            vec![bare("/ip4/127.0.0.1/udp/5/quic-v1"), bare("/ip4/127.0.0.1/tcp/2")],
            vec![address("/ip4/127.0.0.1/udp/3/quic-v1", 2)],
        ];
        assert_eq!(relays, expected);
    }

    #[test]
    fn relays_are_dialed_in_order() {
        let (mut relays, addresses) = one_each(RelayChoice::InOrder);
        let mut dialing = relays.dialing(Time::ZERO);
        assert_eq!(dialed(&mut dialing, Time::ZERO), addresses);
    }

    #[test]
    fn who_was_linked_stays_for_a_while_and_then_the_order_holds_again() {
        let (mut relays, [first, second, third]) = one_each(RelayChoice::InOrder);
        relays.settle(&second);
        let lost = Time::from_micros(7_000_000);
        let over = lost + NetConfig::default().stay;
        let mut dialing = relays.dialing(lost);
        assert_eq!(dialed(&mut dialing, lost), from_ref(&second));
        assert_eq!(dialing.step(lost), Step::Wait);
        let rest = [second.clone(), first.clone(), third.clone()];
        assert_eq!(dialed(&mut dialing, over), rest);
        // The time is not granted anew to the next dial, but after the next link.
        let mut again = relays.dialing(over);
        assert_eq!(dialed(&mut again, over), rest);
        relays.settle(&first);
        let mut moved = relays.dialing(over);
        assert_eq!(dialed(&mut moved, over), [first]);
    }

    #[test]
    fn who_knows_one_relay_is_told_at_once_that_it_is_gone() {
        let only = address("/ip4/127.0.0.1/tcp/1", 1);
        for choice in [RelayChoice::InOrder, RelayChoice::Nearest] {
            let config = NetConfig { relays: choice, ..NetConfig::default() };
            let mut relays = Relays::new(vec![only.clone()], &config);
            relays.settle(&only);
            let mut dialing = relays.dialing(Time::ZERO);
            assert_eq!(dialed(&mut dialing, Time::ZERO), from_ref(&only));
            let gone = format!("{only}: refused");
            assert_eq!(dialing.step(Time::ZERO), Step::GiveUp(gone));
        }
    }

    #[test]
    fn the_nearest_is_asked_for_when_there_is_none_to_stay_with() {
        let (mut relays, [_, second, _]) = one_each(RelayChoice::Nearest);
        assert_eq!(relays.dialing(Time::ZERO).step(Time::ZERO), Step::Measure);
        relays.settle(&second);
        let mut dialing = relays.dialing(Time::ZERO);
        assert_eq!(dialed(&mut dialing, Time::ZERO), from_ref(&second));
        assert_eq!(dialing.step(Time::ZERO), Step::Wait);
        let over = Time::ZERO + NetConfig::default().stay;
        assert_eq!(dialed(&mut dialing, over), [second]);
        // Dialed and refused; the step after it was to measure.
        dialing.measured([vec![address("/ip4/127.0.0.1/tcp/1", 3)]].into(), Vec::new());
        assert_eq!(dialed(&mut dialing, over), [address("/ip4/127.0.0.1/tcp/1", 3)]);
    }
}
