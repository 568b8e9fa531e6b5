//! A relay with honest peers, and links to it on which a liar says what it likes. Links take no time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use parlor::proto::config::{HubConfig, PeerConfig};
use parlor::proto::datastore::tree;
use parlor::proto::delta::record::{self, Kind, Record};
use parlor::proto::event::{Effect, Event, Input, State};
use parlor::proto::hub::Hub;
use parlor::proto::id::{ClientNumber, DocumentId, Lane, Link};
use parlor::proto::lane::lane_of;
use parlor::proto::log::ChangeLog;
use parlor::proto::model::path::Path;
use parlor::proto::ownership::{Ownership, Session};
use parlor::proto::peer::{Peer, Setup};
use parlor::proto::proof::{Side, prove};
use parlor::proto::reason::{ChangeFault, Version};
use parlor::proto::time::Time;
use parlor::proto::wire::bounded::{Blob, Line, List};
use parlor::proto::wire::message::{
    Denied, DeniedRecord, EntryRecord, Hello, Introduction, Join, Message,
};
use parlor::proto::wire::{MAX_FRAME, decode, encode};
use parlor::sim::playground::{Figure, Playground};
use parlor::{Denial, Model, ModelRef, Refusal, Terms};

use super::craft::{self, MODELS, RELAY, app_key, author, identity, peer, room};

/// How often time passes.
const STEP: Duration = Duration::from_millis(5);

/// A link on which a liar speaks.
pub(crate) struct Liar {
    pub(crate) link: Link,
    pub(crate) author: Introduction,
    /// How many entries it has said.
    position: u16,
}

/// What the relay and the honest have: all that a lie could change.
#[derive(PartialEq, Debug)]
pub(crate) struct Facts {
    relay: BTreeMap<Path, String>,
    digests: [[u8; 8]; 2],
    honest: Vec<[u8; 32]>,
    owners: Vec<Ownership>,
}

/// A relay and two honest peers. The first has made a figure, claimed it and let go of it.
pub(crate) struct Stage {
    now: Time,
    pub(crate) hub: Hub,
    pub(crate) honest: Vec<Peer>,
    pub(crate) figure: ModelRef<Figure>,
    /// Which honest peer a link is of, if it is one's.
    links: BTreeMap<Link, Option<usize>>,
    queue: VecDeque<(Option<usize>, Input)>,
    heard: Vec<(Link, Message)>,
    /// What the honest were told.
    pub(crate) events: Vec<Event>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let hub = Hub::new(identity(RELAY), [app_key()], HubConfig::default(), 1, [RELAY; 32], 1);
        let mut stage = Self {
            now: Time::ZERO,
            hub,
            honest: [2, 3].map(honest).into(),
            figure: ModelRef::default(),
            links: BTreeMap::new(),
            queue: VecDeque::new(),
            heard: Vec::new(),
            events: Vec::new(),
        };
        for peer in &mut stage.honest {
            peer.connect(stage.now);
        }
        stage.run(100);
        let store = stage.honest[0].store_mut();
        let players = store.root::<Playground>().unwrap().players.clone();
        stage.figure =
            players.add(store, Figure { name: "true".into(), ..Figure::default() }).unwrap();
        stage.run(200);
        stage.claims(0);
        let figure = stage.figure.clone();
        stage.honest[0].store_mut().release(&figure).unwrap();
        stage.run(1_200);
        stage
    }

    /// An honest peer claims the figure, and is granted it.
    pub(crate) fn claims(&mut self, place: usize) {
        let figure = self.figure.clone();
        self.honest[place].store_mut().claim(&figure, Terms::default()).unwrap();
        self.run(200);
        let seen = self.honest[place].ownership_state(&figure, self.now);
        assert!(matches!(seen, Ownership::Confirmed { .. }), "{seen:?}");
    }

    pub(crate) fn log(&self) -> &ChangeLog {
        self.hub.log(&(app_key().app(), room()), MODELS).unwrap()
    }

    pub(crate) fn facts(&self) -> Facts {
        let key = (app_key().app(), room());
        let [models, texts] = DocumentId::ALL.map(|document| self.hub.log(&key, document).unwrap());
        let digests = [models.digest(), texts.digest()];
        for peer in &self.honest {
            let theirs = DocumentId::ALL.map(|document| peer.store().log(document).digest());
            assert_eq!(theirs, digests, "an honest peer has something else than the relay");
        }
        let honest = self.honest.iter();
        let owners = honest.clone().map(|peer| {
            match peer.ownership_state(&self.figure, self.now) {
                // For how long is not what a lie could change.
                Ownership::Confirmed { token, .. } => Ownership::Stale { token },
                other => other,
            }
        });
        Facts {
            relay: tree::lines(models.table(), texts.table()),
            digests,
            honest: honest.clone().map(|peer| peer.store().state_hash()).collect(),
            owners: owners.collect(),
        }
    }

    /// The relay still takes what the honest write, and says it on.
    pub(crate) fn serves_the_honest(&mut self) {
        for place in [0, 1] {
            let title = format!("{place} at {:?}", self.now);
            let store = self.honest[place].store_mut();
            store.update_root(|root: &mut Playground| root.title.clone_from(&title)).unwrap();
            self.run(200);
            for peer in &self.honest {
                assert_eq!(*peer.state(), State::Ready);
                assert_eq!(peer.store().root::<Playground>().unwrap().title, title);
            }
            assert!(self.facts().relay.values().any(|line| line.contains(&title)));
        }
    }

    /// A peer of a seed, which knows the app key, comes in by hand.
    pub(crate) fn enter(&mut self, seed: u8) -> Liar {
        let link = self.link(None);
        self.hub.handle(self.now, Input::Connected { link, peer: peer(seed) });
        let hello = Hello {
            version: Version::CURRENT,
            nonce: [7; 16],
            app: app_key().app(),
            schema: [0; 8],
        };
        self.say(link, (Lane::Control, encode(&Message::Hello(hello))));
        let greeting = self.heard.iter().rev().find_map(|(on, message)| match message {
            Message::Hello(hello) if *on == link => Some(hello.nonce),
            _ => None,
        });
        let (pair, nonces) = ((peer(seed), peer(RELAY)), (&[7; 16], &greeting.unwrap()));
        let join = Join {
            room: Line::new(room().as_str()).unwrap(),
            proof: prove(&app_key(), Side::Peer, pair, nonces, room().as_str()),
            metadata: Blob::default(),
            incarnation: author(seed).incarnation,
            known: List::of([]),
        };
        self.say(link, (Lane::Control, encode(&Message::Join(join))));
        let welcome =
            |(on, message): &(Link, Message)| *on == link && matches!(message, Message::Welcome(_));
        assert!(self.heard.iter().any(welcome));
        self.run(100);
        Liar { link, author: author(seed), position: 0 }
    }

    /// A liar's link breaks.
    pub(crate) fn lose(&mut self, liar: &Liar) {
        self.hub.handle(self.now, Input::Disconnected { link: liar.link });
        self.run(100);
    }

    pub(crate) fn says(&mut self, liar: &mut Liar, entries: &[EntryRecord]) {
        self.records(liar, &entries.iter().map(craft::record).collect::<Vec<_>>());
    }

    pub(crate) fn records(&mut self, liar: &mut Liar, records: &[Record]) {
        self.say(liar.link, craft::frame(liar.position, records));
        liar.position += u16::try_from(records.len()).unwrap();
        self.run(200);
    }

    /// A liar says something that is no entry.
    pub(crate) fn tells(&mut self, liar: &Liar, message: &Message) {
        self.say(liar.link, (lane_of(message), encode(message)));
        self.run(200);
    }

    /// A liar's number in the room.
    pub(crate) fn client(&self, liar: &Liar) -> ClientNumber {
        let welcome = self.heard.iter().find_map(|(on, message)| match message {
            Message::Welcome(welcome) if *on == liar.link => Some(welcome.client),
            _ => None,
        });
        welcome.unwrap()
    }

    /// Whether a liar was sent away for what no peer says.
    pub(crate) fn is_refused(&self, liar: &Liar) -> bool {
        let refused = Message::Refused(Refusal::BadMessage);
        self.heard.iter().any(|(on, message)| *on == liar.link && *message == refused)
    }

    fn say(&mut self, link: Link, (lane, frame): (Lane, Bytes)) {
        self.hub.handle(self.now, Input::Received { link, lane, frame });
        self.drain();
    }

    /// Why a liar's link was ended, if it was.
    pub(crate) fn ended(&self, liar: &Liar) -> Option<ChangeFault> {
        self.heard.iter().find_map(|(on, message)| match message {
            Message::Refused(Refusal::BadChange { why }) if *on == liar.link => Some(*why),
            Message::Refused(other) if *on == liar.link => panic!("{other:?}"),
            _ => None,
        })
    }

    /// What a liar was told of changes that stayed out, each time once.
    pub(crate) fn denied(&self, liar: &Liar) -> Vec<Denial> {
        let records = self.heard.iter().filter_map(|(on, message)| match message {
            Message::Deltas { document: MODELS, position, records } if *on == liar.link => {
                Some((*position, records.clone().into_bytes()))
            }
            Message::Bundle { document: MODELS, position, records } if *on == liar.link => {
                Some((*position, record::inflate(records, 1 << 20).unwrap()))
            }
            _ => None,
        });
        let mut denied = BTreeMap::new();
        for (first, records) in records {
            for (position, record) in (first..).zip(record::split(&records).unwrap()) {
                if record.kind() == Kind::Entry
                    && let EntryRecord::Denied(DeniedRecord {
                        what: Denied::Change { .. },
                        why,
                        ..
                    }) = postcard::from_bytes(&record.body).unwrap()
                {
                    denied.insert(position, why);
                }
            }
        }
        denied.into_values().collect()
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while self.now < end {
            self.now += STEP;
            let now = self.now;
            self.hub.tick(now);
            self.honest.iter_mut().for_each(|peer| peer.tick(now));
            self.drain();
        }
    }

    fn link(&mut self, of: Option<usize>) -> Link {
        let link = Link(self.links.len() as u64 + 1);
        self.links.insert(link, of);
        link
    }

    fn drain(&mut self) {
        loop {
            let before = self.queue.len();
            while let Some(effect) = self.hub.poll_effect() {
                self.perform(None, effect);
            }
            for place in 0..self.honest.len() {
                while let Some(effect) = self.honest[place].poll_effect() {
                    self.perform(Some(place), effect);
                }
                while let Some(event) = self.honest[place].poll_event() {
                    self.events.push(event);
                }
            }
            let Some((to, input)) = self.queue.pop_front() else {
                assert_eq!(before, 0);
                break;
            };
            match to {
                Some(place) => self.honest[place].handle(self.now, input),
                None => self.hub.handle(self.now, input),
            }
        }
        while self.hub.poll_event().is_some() {}
    }

    fn perform(&mut self, who: Option<usize>, effect: Effect) {
        match effect {
            Effect::Dial => {
                let link = self.link(who);
                let peer = self.honest[who.unwrap()].peer();
                let relay = craft::peer(RELAY);
                self.queue.push_back((who, Input::Connected { link, peer: relay }));
                self.queue.push_back((None, Input::Connected { link, peer }));
            }
            Effect::Send { link, lane, frame } => {
                let bytes = frame.len();
                self.queue.push_back((who, Input::Written { link, lane, bytes }));
                match (who, self.links[&link]) {
                    (None, None) => {
                        self.heard.push((link, decode(&frame, MAX_FRAME).unwrap()));
                    }
                    (None, place) => {
                        self.queue.push_back((place, Input::Received { link, lane, frame }));
                    }
                    (Some(_), _) => {
                        self.queue.push_back((None, Input::Received { link, lane, frame }));
                    }
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
                self.queue.push_back((None, Input::Disconnected { link }));
                if let place @ Some(_) = self.links[&link] {
                    self.queue.push_back((place, Input::Disconnected { link }));
                }
            }
        }
    }
}

/// An honest peer with the identity of a seed.
pub(crate) fn honest(seed: u8) -> Peer {
    let setup = Setup {
        identity: identity(seed),
        app_key: app_key(),
        room: room(),
        metadata: Bytes::new(),
        incarnation: Session::of(author(seed).incarnation).0,
        shape: Playground::shape(),
        entrance: parlor::Entrance::default(),
    };
    Peer::new(setup, PeerConfig::default(), [seed; 32])
}
