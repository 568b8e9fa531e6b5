//! A relay and peers on links of one millisecond, and all that they say, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use parlor::proto::config::{HubConfig, PeerConfig};
use parlor::proto::event::{Effect, Input};
use parlor::proto::hub::Hub;
use parlor::proto::id::{AppKey, Lane, Link};
use parlor::proto::model::Model;
use parlor::proto::peer::{Peer, Setup};
use parlor::proto::time::Time;
use parlor::proto::wire::message::{Hello, Message};
use parlor::proto::wire::{MAX_FRAME, decode};
use serde_json::{Value, json};

use crate::stage::{RELAY, app_key, identity, peer, room};
use crate::vectors::describe;
use crate::world::Lobby;

/// How long a frame is on its way, and how often time passes.
const STEP: Duration = Duration::from_millis(1);
/// Room time at the beginning.
const EPOCH: u64 = 1_700_000_000_000_000;

/// Who is at the far end of a link.
#[derive(Clone, Copy)]
enum End {
    Peer(usize),
    /// Nobody: what is said is written down.
    Script,
}

/// A relay, its peers, and what they said.
pub(crate) struct Rig {
    pub(crate) now: Time,
    pub(crate) hub: Hub,
    pub(crate) peers: Vec<Peer>,
    links: BTreeMap<Link, End>,
    /// Inputs on their way: to whom, nobody being the relay.
    queue: BTreeMap<(Time, u64), (Option<usize>, Input)>,
    sent: u64,
    /// Lanes of pings that were written down once.
    pings: BTreeSet<(Link, bool)>,
    /// The relay's greeting to a script.
    pub(crate) greeting: Option<Hello>,
    pub(crate) steps: Vec<Value>,
}

impl Rig {
    pub(crate) fn new(config: HubConfig, key: &str) -> Self {
        let key = AppKey::new(key).unwrap();
        Self {
            now: Time::ZERO,
            hub: Hub::new(identity(RELAY), [key], config, EPOCH, [RELAY; 32], 1),
            peers: Vec::new(),
            links: BTreeMap::new(),
            queue: BTreeMap::new(),
            sent: 0,
            pings: BTreeSet::new(),
            greeting: None,
            steps: Vec::new(),
        }
    }

    /// One more peer, with the identity and the generator of a seed.
    pub(crate) fn add(&mut self, seed: u8, incarnation: u64) -> usize {
        let setup = Setup {
            identity: identity(seed),
            app_key: app_key(),
            room: room(),
            metadata: Bytes::from_static(b"Ada"),
            incarnation,
            shape: Lobby::shape(),
            entrance: parlor::Entrance::default(),
        };
        self.peers.push(Peer::new(setup, PeerConfig::default(), [seed; 32]));
        self.peers.len() - 1
    }

    /// Does something with a peer, and writes down what.
    pub(crate) fn act(&mut self, place: usize, what: &str, act: impl FnOnce(&mut Peer, Time)) {
        self.note(json!({ "who": name(Some(place)), "does": what }));
        act(&mut self.peers[place], self.now);
        self.drain();
    }

    /// Does something with the relay, and writes down what.
    pub(crate) fn relay_does(&mut self, what: &str, act: impl FnOnce(&mut Hub, Time)) {
        self.note(json!({ "who": "relay", "does": what }));
        act(&mut self.hub, self.now);
        self.drain();
    }

    /// The relay ends and begins again, with nothing; every link is gone.
    pub(crate) fn forget(&mut self, config: HubConfig, key: &str) {
        self.note(json!({ "who": "relay", "does": "ends, and begins again with nothing" }));
        let key = AppKey::new(key).unwrap();
        self.hub = Hub::new(identity(RELAY), [key], config, EPOCH, [RELAY + 1; 32], 2);
        self.queue.clear();
        for (link, end) in self.links.clone() {
            if let End::Peer(place) = end {
                self.send(Some(place), Input::Disconnected { link });
            }
        }
    }

    /// The link of a peer breaks, with what is on its way.
    pub(crate) fn lose(&mut self, place: usize) {
        self.note(json!({ "who": name(Some(place)), "does": "loses its link" }));
        let of = |end: &End| matches!(end, End::Peer(other) if *other == place);
        let link = self.links.iter().rev().find_map(|(link, end)| of(end).then_some(*link));
        let lost = || Input::Disconnected { link: link.unwrap() };
        self.queue.retain(
            |_, (_, input)| !matches!(input, Input::Received { link: on, .. } if Some(*on) == link),
        );
        self.give(None, lost());
        self.give(Some(place), lost());
    }

    pub(crate) fn connect(&mut self, place: usize) {
        self.act(place, "connects", |peer, now| peer.connect(now));
    }

    /// Opens a link from a peer that says only what a script has.
    pub(crate) fn script(&mut self, seed: u8) -> Link {
        let link = self.link(End::Script);
        self.note(json!({ "who": "script", "does": "connects" }));
        let input = Input::Connected { link, peer: peer(seed) };
        self.hub.handle(self.now, input);
        self.drain();
        link
    }

    /// The script says something.
    pub(crate) fn says(&mut self, link: Link, lane: Lane, frame: Bytes) {
        self.frame("script", "relay", lane, &frame);
        self.send(None, Input::Received { link, lane, frame });
    }

    /// A peer hears something from its relay that this relay does not say.
    pub(crate) fn hears(&mut self, place: usize, lane: Lane, frame: Bytes) {
        let ends = self.links.iter();
        let at = |end: &End| matches!(end, End::Peer(other) if *other == place);
        let link = ends.rev().find_map(|(link, end)| at(end).then_some(*link)).unwrap();
        self.frame("relay", &name(Some(place)), lane, &frame);
        self.send(Some(place), Input::Received { link, lane, frame });
    }

    /// Lets time pass until `until` milliseconds after the beginning.
    pub(crate) fn run(&mut self, until: u64) {
        while self.now.as_micros() < until * 1_000 {
            self.now += STEP;
            while let Some(entry) = self.queue.first_entry()
                && entry.key().0 <= self.now
            {
                let (to, input) = entry.remove();
                self.give(to, input);
            }
            self.hub.tick(self.now);
            let now = self.now;
            self.peers.iter_mut().for_each(|peer| peer.tick(now));
            self.drain();
        }
    }

    fn link(&mut self, end: End) -> Link {
        let link = Link(self.links.len() as u64 + 1);
        self.links.insert(link, end);
        link
    }

    fn send(&mut self, to: Option<usize>, input: Input) {
        self.sent += 1;
        self.queue.insert((self.now + STEP, self.sent), (to, input));
    }

    fn give(&mut self, to: Option<usize>, input: Input) {
        match to {
            Some(place) => self.peers[place].handle(self.now, input),
            None => self.hub.handle(self.now, input),
        }
        self.drain();
    }

    /// Does and writes down everything that is to be done.
    pub(crate) fn drain(&mut self) {
        loop {
            let mut quiet = true;
            for who in std::iter::once(None).chain((0..self.peers.len()).map(Some)) {
                while let Some(effect) = self.effect(who) {
                    quiet = false;
                    self.perform(who, effect);
                }
            }
            if quiet {
                break;
            }
        }
        while let Some(event) = self.hub.poll_event() {
            self.note(json!({ "who": "relay", "event": format!("{event:?}") }));
        }
        for place in 0..self.peers.len() {
            while let Some(event) = self.peers[place].poll_event() {
                self.note(json!({ "who": name(Some(place)), "event": format!("{event:?}") }));
            }
        }
    }

    fn effect(&mut self, who: Option<usize>) -> Option<Effect> {
        match who {
            Some(place) => self.peers[place].poll_effect(),
            None => self.hub.poll_effect(),
        }
    }

    fn perform(&mut self, who: Option<usize>, effect: Effect) {
        match effect {
            Effect::Dial => {
                let place = who.unwrap();
                let link = self.link(End::Peer(place));
                let relay = peer(RELAY);
                self.send(Some(place), Input::Connected { link, peer: relay });
                let peer = self.peers[place].peer();
                self.send(None, Input::Connected { link, peer });
            }
            Effect::Send { link, lane, frame } => {
                let (to, far) = match (who, self.links[&link]) {
                    (Some(_), _) => (Some(None), "relay".to_owned()),
                    (None, End::Peer(place)) => (Some(Some(place)), name(Some(place))),
                    (None, End::Script) => (None, "script".to_owned()),
                };
                let message = decode(&frame, MAX_FRAME).unwrap();
                self.frame_once(link, &message, (&name(who), &far), (lane, &frame));
                if let (None, Message::Hello(hello)) = (to, message) {
                    self.greeting = Some(hello);
                }
                let bytes = frame.len();
                if let Some(to) = to {
                    self.send(to, Input::Received { link, lane, frame });
                }
                // The driver's answer: the frame is with the transport.
                let written = Input::Written { link, lane, bytes };
                match who {
                    Some(place) => self.peers[place].handle(self.now, written),
                    None => self.hub.handle(self.now, written),
                }
            }
            Effect::Acquaint { .. } | Effect::Share(_) => {}
            Effect::Tune { .. }
            | Effect::Pass { .. }
            | Effect::Authorise { .. }
            | Effect::Commit { .. }
            | Effect::Fetch { .. } => {
                panic!("nobody is asked, and nothing kept");
            }
            Effect::Disconnect { link } => {
                self.note(json!({ "who": name(who), "disconnects": link.0 }));
                self.send(None, Input::Disconnected { link });
                if let End::Peer(place) = self.links[&link] {
                    self.send(Some(place), Input::Disconnected { link });
                }
            }
        }
    }

    /// Writes a frame down; of pings and their answers only the first of each link.
    fn frame_once(
        &mut self,
        link: Link,
        message: &Message,
        ends: (&str, &str),
        (lane, frame): (Lane, &Bytes),
    ) {
        let again = match message {
            Message::Ping { .. } => !self.pings.insert((link, false)),
            Message::Pong { .. } | Message::Beat { .. } => !self.pings.insert((link, true)),
            _ => false,
        };
        if !again {
            self.frame(ends.0, ends.1, lane, frame);
        }
    }

    fn frame(&mut self, from: &str, to: &str, lane: Lane, frame: &Bytes) {
        let message = match decode(frame, MAX_FRAME) {
            Ok(message) => describe(&message),
            Err(error) => json!({ "refused": error.to_string() }),
        };
        self.note(json!({
            "from": from,
            "to": to,
            "lane": format!("{lane:?}").to_lowercase(),
            "message": message,
            "frame": hex::encode(frame),
        }));
    }

    fn note(&mut self, mut step: Value) {
        step["at_us"] = json!(self.now.as_micros());
        self.steps.push(step);
    }
}

fn name(who: Option<usize>) -> String {
    who.map_or_else(|| "relay".to_owned(), |place| format!("peer {}", place + 1))
}
