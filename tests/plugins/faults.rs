//! Plugins that fail, and members that try to go around them.

use parlor::Denial;
use parlor::Terms;
use parlor::proto::config::HubConfig;
use parlor::proto::event::{Event, Input};
use parlor::proto::hub::{Hub, HubEvent, Order, Plugin, Ruling, Update, Write};
use parlor::proto::id::{AppKey, Identity, Lane, Link};
use parlor::proto::time::Time;
use parlor::sim::network::Network;

use crate::SECOND;
use crate::court::{Court, accepts};

/// A plugin that panics wherever it is told to.
#[derive(Debug)]
struct Trips {
    told: bool,
    due: bool,
    tick: bool,
}

impl Plugin for Trips {
    fn told(&mut self, _: &Hub, _: &HubEvent, _: Time) -> Vec<Order> {
        assert!(!self.told, "a plugin that panics");
        Vec::new()
    }

    fn due(&self) -> Option<Time> {
        assert!(!self.due, "a plugin that panics");
        self.tick.then_some(Time::ZERO)
    }

    fn tick(&mut self, _: &Hub, _: Time) -> Vec<Order> {
        assert!(!self.tick, "a plugin that panics");
        Vec::new()
    }
}

#[test]
fn a_plugin_that_always_panics_does_not_keep_the_relay_busy() {
    for (told, due, tick) in [(true, false, false), (false, true, false), (false, false, true)] {
        let (identity, key) = (Identity::from_seed([1; 32]), AppKey::new("key").unwrap());
        let mut hub = Hub::new(identity, [key], HubConfig::default(), 0, [1; 32], 1);
        // It was asked when it is due before it came to this.
        hub.set_plugin(Box::new(Trips { told, due: false, tick }));
        if due {
            hub.set_plugin(Box::new(Late(false)));
        }
        let now = Time::ZERO + SECOND;
        let (link, peer) = (Link(1), Identity::from_seed([2; 32]).peer());
        hub.handle(now, Input::Connected { link, peer });
        let frame = b"nonsense".as_slice().into();
        hub.handle(now, Input::Received { link, lane: Lane::Control, frame });
        for _ in 0..10 {
            hub.tick(now);
        }
        assert!(hub.poll_timeout().is_none_or(|due| due > now), "{told} {due} {tick}");
        let events: Vec<HubEvent> = std::iter::from_fn(|| hub.poll_event()).collect();
        let failed = events.iter().filter(|it| matches!(it, HubEvent::PluginFailed { .. })).count();
        assert!((1..15).contains(&failed), "{events:?}");
    }
}

/// A plugin that panics when it is asked again when it is due.
#[derive(Debug)]
struct Late(bool);

impl Plugin for Late {
    fn told(&mut self, _: &Hub, _: &HubEvent, _: Time) -> Vec<Order> {
        self.0 = true;
        Vec::new()
    }

    fn due(&self) -> Option<Time> {
        assert!(!self.0, "a plugin that panics");
        None
    }
}

#[test]
fn what_waits_for_a_claim_that_is_refused_is_taken_back_or_written() {
    fn no_claims(update: &Update<'_>) -> Ruling {
        let claim = update.writes.iter().find(|write| matches!(write, Write::Claim { .. }));
        claim.map_or(Ruling::Accept, |claim| Ruling::Refuse { place: claim.place(), code: 3 })
    }
    let mut court = Court::new(1, Network::LAN, 2, no_claims);
    let figure = court.figure(0);
    court.events(0);
    court
        .world
        .edit(0, |store| {
            store.claim(&figure, Terms::default()).unwrap();
            store.update(&figure, |figure| figure.name = "mine".to_owned()).unwrap();
        })
        .unwrap();
    court.world.run(10 * SECOND);
    let told = court.events(0);
    let why = Denial::Ruled { code: 3 };
    let denied = |event: &&Event| matches!(event, Event::ClaimDenied { why: it, .. } if *it == why);
    assert_eq!(told.iter().filter(denied).count(), 1, "{told:?}");
    assert!(!court.world.peer(0).store().is_pending(), "nothing waits for ever");
    assert_eq!(court.get(0, &figure).name, court.get(1, &figure).name);
    court.at_rest(1);
}

#[test]
fn of_many_writes_to_one_property_one_is_told() {
    let mut court = Court::new(2, Network::LAN, 2, accepts);
    court.score(0, 1);
    court.calm();
    court.take_asked();
    court.score(0, 5);
    court.calm();
    let asked = court.take_asked();
    let [(_, writes)] = &asked.writes[..] else { panic!("{asked:?}") };
    assert_eq!(writes.len(), 1, "{writes:?}");
}
