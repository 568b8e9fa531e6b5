//! Joins whose link breaks while what an epoch began with is on its way.

use std::time::Duration;

use bytes::Bytes;
use parlor::Model;
use parlor::proto::base::columns;
use parlor::proto::config::{HubConfig, Limits, PeerConfig};
use parlor::proto::event::{Effect, Event, Input, State};
use parlor::proto::hub::Hub;
use parlor::proto::id::{AppKey, DocumentId, Identity, Link, RoomName};
use parlor::proto::peer::{Peer, Setup};
use parlor::proto::reason::Reason;
use parlor::proto::time::Time;
use parlor::proto::wire::bounded::{Blob, List};
use parlor::proto::wire::message::{Message, Partial, SnapshotOffer};
use parlor::proto::wire::{MAX_FRAME, decode, encode};
use parlor::sim::network::Network;
use parlor::sim::playground::Playground;
use parlor::sim::{World, oracle};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

const MODELS: DocumentId = DocumentId::MODELS;

/// What deflate can do little about.
fn noise(seed: u64) -> String {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    (0..8_000).map(|_| char::from(33 + u8::try_from(rng.next_u32() % 90).unwrap())).collect()
}

fn entitle(world: &mut World, peer: usize, title: &str) {
    let titled = |root: &mut Playground| title.clone_into(&mut root.title);
    world.edit(peer, |store| store.update_root(titled)).unwrap().unwrap();
    world.flush(peer);
    world.run(Duration::from_secs(1));
}

/// How many bytes the relay's columns have.
fn size(world: &World) -> u64 {
    let log = world.hub().unwrap().log(&world.room_key(), MODELS).unwrap();
    columns::encode(log.base()).len() as u64
}

/// More than its pieces of 64 bytes have, each with version, variant, document, number and length.
const fn most(size: u64) -> u64 {
    size + size.div_ceil(64) * 7
}

fn received(world: &World, peer: usize) -> u64 {
    world.peer(peer).statistics(world.now()).snapshot.received.bytes
}

/// A network on which nothing overtakes, so that nothing is said twice.
fn stream() -> Network {
    Network::LAN.with_jitter(Duration::ZERO)
}

/// A room whose epoch began with much, and a second peer that lost its link when half of it had come.
fn broken_off(network: Network) -> (World, u64) {
    let mut world = World::new(1, network, Playground::shape);
    world.keep_history();
    for _ in 0..2 {
        world.add_peer(PeerConfig::default());
    }
    world.connect(0);
    world.run(Duration::from_secs(3));
    entitle(&mut world, 0, &noise(1));
    world.run(Duration::from_secs(3));
    world.cut_history();
    world.run(Duration::from_secs(1));
    let size = size(&world);
    world.connect(1);
    assert!(world.run_until(Duration::from_secs(60), |world| received(world, 1) > size / 2));
    assert_ne!(*world.peer(1).state(), State::Ready);
    world.cut(1);
    (world, size)
}

fn title(world: &World, peer: usize) -> String {
    world.peer(peer).store().root::<Playground>().unwrap().title.clone()
}

#[test]
fn a_join_goes_on_where_its_link_broke() {
    for network in [stream(), Network::LOSSY] {
        let (mut world, size) = broken_off(network);
        world.run(Duration::from_secs(1));
        world.mend(1);
        world.run(Duration::from_secs(10));
        oracle::at_rest(&mut world).unwrap();
        assert_eq!(title(&world, 1), noise(1));
        let received = received(&world, 1);
        let once = (size..most(size)).contains(&received);
        assert!(once || network == Network::LOSSY, "{received} bytes for {size}");
    }
}

#[test]
fn a_join_that_breaks_off_over_and_over_gets_everything_once() {
    let (mut world, size) = broken_off(stream());
    let mut links = 1;
    let mut at = received(&world, 1);
    loop {
        world.mend(1);
        let further =
            |world: &World| received(world, 1) > at + 500 || *world.peer(1).state() == State::Ready;
        assert!(world.run_until(Duration::from_secs(60), further));
        at = received(&world, 1);
        if *world.peer(1).state() == State::Ready {
            break;
        }
        links += 1;
        world.cut(1);
    }
    assert!(links > 5, "{links} links");
    assert!(at < most(size), "{at} bytes for {size}");
}

#[test]
fn a_join_begins_anew_when_history_was_cut_meanwhile() {
    let (mut world, _) = broken_off(stream());
    entitle(&mut world, 0, &noise(2));
    world.cut_history();
    world.run(Duration::from_secs(1));
    let (before, size) = (received(&world, 1), size(&world));
    world.mend(1);
    oracle::at_rest(&mut world).unwrap();
    assert_eq!(title(&world, 1), noise(2));
    assert!(received(&world, 1) - before > size);
}

#[test]
fn a_join_begins_anew_at_a_relay_that_has_forgotten_the_room() {
    let (mut world, size) = broken_off(stream());
    let before = received(&world, 1);
    world.cut(0);
    world.crash_relay();
    world.start_relay();
    world.mend(1);
    world.run(Duration::from_secs(5));
    assert_eq!((title(&world, 1), received(&world, 1)), (String::new(), before));
    // Who has it brings it back.
    world.mend(0);
    oracle::at_rest(&mut world).unwrap();
    assert_eq!(title(&world, 1), noise(1));
    assert!(received(&world, 1) - before > size);
}

/// Equal values, equal columns: they may come from another relay.
#[test]
fn a_join_goes_on_at_a_relay_that_was_brought_back() {
    let (mut world, size) = broken_off(stream());
    world.crash_relay();
    world.start_relay();
    world.run(Duration::from_secs(20));
    world.mend(1);
    world.run(Duration::from_secs(20));
    oracle::at_rest(&mut world).unwrap();
    assert_eq!(title(&world, 1), noise(1));
    assert!(received(&world, 1) < most(size));
}

/// A relay and a peer, what they say, and who changes it on the way.
struct Rig {
    hub: Hub,
    peers: Vec<Peer>,
    links: u64,
    /// What came of the last link's pieces.
    offer: Option<SnapshotOffer>,
    pieces: usize,
}

impl Rig {
    /// A room whose epoch began with something, brought by the first peer, which has left.
    fn new() -> Self {
        let limits = Limits { chunk: 1_000, ..Limits::default() };
        let config = HubConfig { limits, joins_per_minute: 1_000, ..HubConfig::default() };
        let key = AppKey::new("key").unwrap();
        let hub = Hub::new(Identity::from_seed([9; 32]), [key], config, 0, [9; 32], 1);
        let mut rig = Self { hub, peers: Vec::new(), links: 0, offer: None, pieces: 0 };
        let first = rig.add();
        rig.meet(first, Some);
        let titled = |root: &mut Playground| root.title = noise(1);
        rig.peers[first].store_mut().update_root(titled).unwrap();
        rig.peers[first].flush(Time::ZERO);
        rig.talk(first, &mut Some);
        rig.peers[first].leave(Time::ZERO);
        rig.talk(first, &mut Some);
        let room = rig.hub.rooms().next().unwrap().0.clone();
        assert!(rig.hub.cut(&room, DocumentId::MODELS, Time::ZERO));
        rig
    }

    fn add(&mut self) -> usize {
        let seed = u8::try_from(self.peers.len()).unwrap() + 1;
        let setup = Setup {
            identity: Identity::from_seed([seed; 32]),
            app_key: AppKey::new("key").unwrap(),
            room: RoomName::new("room").unwrap(),
            metadata: Bytes::new(),
            incarnation: 1,
            shape: Playground::shape(),
            entrance: parlor::Entrance::default(),
        };
        self.peers.push(Peer::new(setup, PeerConfig::default(), [seed; 32]));
        self.peers.len() - 1
    }

    /// Connects a peer and lets both sides say all that they have; what `change` returns arrives.
    fn meet(&mut self, place: usize, mut change: impl FnMut(Message) -> Option<Message>) {
        let (hub, peer) = (Identity::from_seed([9; 32]).peer(), self.peers[place].peer());
        self.links += 1;
        (self.offer, self.pieces) = (None, 0);
        let link = Link(self.links);
        self.peers[place].connect(Time::ZERO);
        self.peers[place].tick(Time::ZERO);
        self.peers[place].handle(Time::ZERO, Input::Connected { link, peer: hub });
        self.hub.handle(Time::ZERO, Input::Connected { link, peer });
        self.talk(place, &mut change);
    }

    /// The last link is lost.
    fn lose(&mut self, place: usize) {
        let link = Link(self.links);
        self.peers[place].handle(Time::ZERO, Input::Disconnected { link });
        self.hub.handle(Time::ZERO, Input::Disconnected { link });
    }

    fn talk(&mut self, place: usize, change: &mut impl FnMut(Message) -> Option<Message>) {
        loop {
            let (from_hub, effect) = match self.hub.poll_effect() {
                Some(effect) => (true, effect),
                None => match self.peers[place].poll_effect() {
                    Some(effect) => (false, effect),
                    None => return,
                },
            };
            let Effect::Send { link, lane, frame } = effect else { continue };
            let written = Input::Written { link, lane, bytes: frame.len() };
            let message = decode(&frame, MAX_FRAME).unwrap();
            let received = change(message).map(|message| {
                self.note(&message);
                Input::Received { link, lane, frame: encode(&message) }
            });
            let (hub, peer) = (&mut self.hub, &mut self.peers[place]);
            if from_hub {
                hub.handle(Time::ZERO, written);
                received.into_iter().for_each(|input| peer.handle(Time::ZERO, input));
            } else {
                peer.handle(Time::ZERO, written);
                received.into_iter().for_each(|input| hub.handle(Time::ZERO, input));
            }
        }
    }

    fn note(&mut self, message: &Message) {
        match message {
            Message::Welcome(welcome) => self.offer = welcome.documents[0].snapshot.clone(),
            Message::Piece { .. } => self.pieces += 1,
            _ => {}
        }
    }

    fn title(&self, place: usize) -> &str {
        &self.peers[place].store().root::<Playground>().unwrap().title
    }

    fn state(&self, place: usize) -> &State {
        self.peers[place].state()
    }

    /// What the relay has of the base: its digest and number of bytes.
    fn whole(&mut self) -> Partial {
        let peer = self.add();
        self.meet(peer, Some);
        let offer = self.offer.clone().unwrap();
        assert_eq!((offer.from, self.title(peer)), (0, noise(1).as_str()));
        Partial { digest: offer.digest, bytes: offer.bytes }
    }
}

/// The message, with another claim about the models in a join.
fn claiming(mut message: Message, partial: Partial) -> Option<Message> {
    if let Message::Join(join) = &mut message {
        let mut known = join.known.to_vec();
        known[0].partial = Some(partial);
        join.known = List::of(known);
    }
    Some(message)
}

/// The message, with the offer of a snapshot changed in a welcome.
fn offering(mut message: Message, change: impl Fn(&mut SnapshotOffer)) -> Option<Message> {
    if let Message::Welcome(welcome) = &mut message {
        let mut documents = welcome.documents.to_vec();
        documents[0].snapshot.iter_mut().for_each(change);
        welcome.documents = List::of(documents);
    }
    Some(message)
}

#[test]
fn a_claim_of_what_is_not_there_gets_all_of_it() {
    let mut rig = Rig::new();
    let whole = rig.whole();
    let claims = [
        Partial { digest: [7; 32], ..whole },
        Partial { digest: [7; 32], bytes: 1_000 },
        whole,
        Partial { bytes: whole.bytes + 1, ..whole },
        Partial { bytes: u64::MAX, ..whole },
        Partial { bytes: 0, ..whole },
    ];
    for claim in claims {
        let peer = rig.add();
        rig.meet(peer, |message| claiming(message, claim));
        assert_eq!(rig.offer.as_ref().map(|offer| offer.from), Some(0), "{claim:?}");
        assert_eq!((rig.state(peer), rig.title(peer)), (&State::Ready, noise(1).as_str()));
    }
}

/// A peer that lost its link after three pieces.
fn begun(rig: &mut Rig) -> usize {
    let peer = rig.add();
    let mut left = 3;
    rig.meet(peer, |message| match message {
        Message::Piece { .. } if left == 0 => None,
        Message::Piece { .. } => {
            left -= 1;
            Some(message)
        }
        message => Some(message),
    });
    rig.lose(peer);
    peer
}

#[test]
fn what_is_missing_comes_and_no_more() {
    let mut rig = Rig::new();
    let whole = rig.whole();
    let all = rig.pieces;
    let peer = begun(&mut rig);
    let mut totals = Vec::new();
    rig.meet(peer, Some);
    while let Some(event) = rig.peers[peer].poll_event() {
        if let Event::Progress { received, total, .. } = event {
            totals.push((received, total));
        }
    }
    assert_eq!(rig.offer.as_ref().map(|offer| offer.from), Some(3_000));
    assert_eq!((rig.pieces, totals.len()), (all - 3, all));
    assert_eq!(totals[..4].last(), Some(&(4_000, whole.bytes)));
    assert_eq!((rig.state(peer), rig.title(peer)), (&State::Ready, noise(1).as_str()));
    // Nothing is left of it.
    rig.lose(peer);
    rig.meet(peer, |message| {
        if let Message::Join(join) = &message {
            assert!(join.known.iter().all(|known| known.partial.is_none()));
        }
        Some(message)
    });
    assert_eq!(rig.pieces, 0);
}

#[test]
fn a_relay_that_goes_on_where_nobody_asked_is_left() {
    let changes: [fn(&mut SnapshotOffer); 6] = [
        |offer| offer.from = 1,
        |offer| offer.from += 1,
        |offer| offer.from = u64::MAX,
        |offer| offer.digest = [7; 32],
        |offer| offer.bytes = offer.from,
        |offer| offer.bytes = 0,
    ];
    for (place, change) in changes.into_iter().enumerate() {
        let mut rig = Rig::new();
        let peer = begun(&mut rig);
        rig.meet(peer, |message| offering(message, change));
        let fault = matches!(rig.state(peer), State::Closed(Reason::RelayFault { .. }));
        assert!(fault, "{place}: {:?}", rig.state(peer));
        // It comes in again, and asks for all.
        rig.lose(peer);
        rig.meet(peer, Some);
        assert_eq!(rig.offer.as_ref().map(|offer| offer.from), Some(0));
        assert_eq!(rig.title(peer), noise(1));
    }
    let mut rig = Rig::new();
    let peer = rig.add();
    rig.meet(peer, |message| offering(message, |offer| offer.from = 1));
    assert!(matches!(rig.state(peer), State::Closed(Reason::RelayFault { .. })));
}

/// Two halves of different snapshots are none: the digest shows it, and both are thrown away.
#[test]
fn a_rest_that_does_not_fit_is_a_fault_and_forgotten() {
    let mut rig = Rig::new();
    let peer = begun(&mut rig);
    rig.meet(peer, |message| match message {
        Message::Piece { document, index: 0, bytes } => {
            let mut bytes = bytes.to_vec();
            bytes[0] ^= 1;
            let bytes = Blob::new(bytes.into()).unwrap();
            Some(Message::Piece { document, index: 0, bytes })
        }
        message => Some(message),
    });
    assert!(matches!(rig.state(peer), State::Closed(Reason::RelayFault { .. })));
    rig.lose(peer);
    rig.meet(peer, Some);
    assert_eq!(rig.offer.as_ref().map(|offer| offer.from), Some(0));
    assert_eq!((rig.state(peer), rig.title(peer)), (&State::Ready, noise(1).as_str()));
}
