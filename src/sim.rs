//! The simulator: a relay and peers in one thread, one seed, one queue of things that are due.
//!
//! Applications test their own models on it: make a [`World`] with their root type's shape, edit
//! through [`World::edit`], let time pass, and ask at the end whether everybody agrees.
#![deny(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::disallowed_types,
    clippy::wildcard_enum_match_arm
)]

pub mod action;
mod engine;
pub mod follower;
pub mod fuzz;
pub mod guard;
mod host;
pub mod network;
pub mod oracle;
pub mod ownership;
pub mod playground;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

use self::engine::{Happening, Wire};
use self::follower::Follower;
use self::host::Host;
use self::network::{Network, Way};
use crate::proto::config::{EpochConfig, HubConfig, Limits, PeerConfig};
use crate::proto::datastore::Datastore;
use crate::proto::event::{Event, Input, Outcome, Ticket};
use crate::proto::hub::{Hub, HubEvent};
use crate::proto::id::{AppKey, DocumentId, Identity, Link, PeerId, RoomKey, RoomName};
use crate::proto::model::Shape;
use crate::proto::model::handle::Handle;
use crate::proto::model::path::Path;
use crate::proto::ownership::{Ownership, Session};
use crate::proto::peer::{Peer, Setup};
use crate::proto::service::Entrance;
use crate::proto::time::Time;

/// A relay, peers, and the network between them.
#[derive(Debug)]
pub struct World {
    now: Time,
    rng: ChaCha12Rng,
    network: Network,
    key: AppKey,
    room: RoomName,
    shape: fn() -> Shape,
    hub_config: HubConfig,
    hub: Option<Hub>,
    hub_starts: u64,
    hosts: Vec<Host>,
    links: BTreeMap<Link, Wire>,
    next_link: u64,
    due: BTreeMap<(Time, u64), Happening>,
    next_happening: u64,
    trace: Sha256,
    sightings: BTreeSet<&'static str>,
    ticks_at_once: u32,
    /// What applications were told, if it is kept.
    events: Option<Vec<(usize, Event)>>,
    /// What the relay's operator was told, if that is kept.
    relay_events: Vec<HubEvent>,
}

/// Epochs that end after little, and take many steps to.
fn hurried() -> EpochConfig {
    EpochConfig {
        floor: 512,
        interval: Duration::from_secs(2),
        rest: Duration::from_secs(1),
        rest_floor: 128,
        rest_ratio: 0,
        budget: 16,
        ..EpochConfig::default()
    }
}

impl World {
    /// The relay's room time at [`Time::ZERO`], in microseconds since the Unix epoch.
    pub const EPOCH: u64 = 1_700_000_000_000_000;

    /// A world with a relay and no peers, all of whose chance comes from `seed`. Peers' rooms have a
    /// root model of `shape`.
    ///
    /// # Panics
    ///
    /// Never: the app key and the room's name are constants.
    #[must_use]
    pub fn new(seed: u64, network: Network, shape: fn() -> Shape) -> Self {
        let mut world = Self {
            now: Time::ZERO,
            rng: ChaCha12Rng::seed_from_u64(seed),
            network,
            key: AppKey::new("simulated").expect("not empty"),
            room: RoomName::new("simulated").expect("not empty"),
            shape,
            hub_config: HubConfig {
                joins_per_minute: 100_000,
                epochs: hurried(),
                // Pieces so small that snapshots have many, and joins break off between them.
                limits: Limits { chunk: 64, ..Limits::default() },
                ..HubConfig::default()
            },
            hub: None,
            hub_starts: 0,
            hosts: Vec::new(),
            links: BTreeMap::new(),
            next_link: 0,
            due: BTreeMap::new(),
            next_happening: 0,
            trace: Sha256::new(),
            sightings: BTreeSet::new(),
            ticks_at_once: 0,
            events: None,
            relay_events: Vec::new(),
        };
        world.start_relay();
        world
    }

    /// Adds a peer, offline. Returns its number.
    pub fn add_peer(&mut self, config: PeerConfig) -> usize {
        let identity = Identity::from_seed(self.seed());
        self.add(config, identity, 1)
    }

    /// Adds a peer with the identity of a seed, in a session of its own, offline: two of one seed are
    /// two processes that run with one key. Returns its number.
    pub fn add_session(&mut self, config: PeerConfig, seed: [u8; 32], session: Session) -> usize {
        self.add(config, Identity::from_seed(seed), session.0)
    }

    fn add(&mut self, config: PeerConfig, identity: Identity, session: u64) -> usize {
        let number = self.hosts.len();
        let setup = Setup {
            identity,
            app_key: self.key.clone(),
            room: self.room.clone(),
            metadata: Bytes::from(format!("peer {number}")),
            incarnation: session,
            shape: (self.shape)(),
            entrance: Entrance::default(),
        };
        let peer =
            Peer::new(setup, PeerConfig { attempts: 0, cut_budget: 16, ..config }, self.seed());
        self.hosts.push(Host {
            peer,
            follower: Follower::default(),
            outcomes: BTreeMap::new(),
            asleep: false,
            cut: false,
            deaf: false,
            broken: None,
            rate: 0,
            leapt: Duration::ZERO,
            lost: Vec::new(),
        });
        number
    }

    /// A peer goes online.
    pub fn connect(&mut self, peer: usize) {
        let now = self.local(peer);
        self.hosts[peer].peer.connect(now);
        self.settle_host(peer);
    }

    /// A peer leaves the room.
    pub fn leave(&mut self, peer: usize) {
        let now = self.local(peer);
        self.hosts[peer].peer.leave(now);
        self.settle_host(peer);
    }

    /// A peer's application edits, unless it is asleep.
    pub fn edit<R>(&mut self, peer: usize, edit: impl FnOnce(&mut Datastore) -> R) -> Option<R> {
        let host = &mut self.hosts[peer];
        if host.asleep {
            return None;
        }
        let outcome = edit(host.peer.store_mut());
        self.settle_host(peer);
        Some(outcome)
    }

    /// A peer ends its frame.
    pub fn flush(&mut self, peer: usize) {
        let now = self.local(peer);
        if !self.hosts[peer].asleep {
            self.hosts[peer].peer.flush(now);
            self.settle_host(peer);
        }
    }

    /// What a peer's application was told of what it proposed.
    #[must_use]
    pub fn outcomes(&self, peer: usize) -> &BTreeMap<Ticket, Outcome> {
        &self.hosts[peer].outcomes
    }

    /// How a peer sees who owns a model.
    #[must_use]
    pub fn ownership(&self, peer: usize, model: &impl Handle) -> Ownership {
        self.hosts[peer].peer.ownership_state(model, self.local(peer))
    }

    /// How a peer sees who owns the model at a path.
    #[must_use]
    pub fn ownership_at(&self, peer: usize, model: &Path) -> Ownership {
        self.hosts[peer].peer.ownership_at(model, self.local(peer))
    }

    /// Whether a peer is awake and in the room, or may be at any moment.
    #[must_use]
    pub fn is_there(&self, peer: usize) -> bool {
        let host = &self.hosts[peer];
        let heard = host.broken != Some(Way::Up);
        !host.asleep && !host.cut && heard && self.links.values().any(|wire| wire.host == peer)
    }

    /// A peer's clock runs faster than the relay's by so many millionths: before anything happens.
    pub fn set_rate(&mut self, peer: usize, rate: i32) {
        self.hosts[peer].rate = rate;
    }

    /// A peer's clock leaps ahead, as that of a computer that slept.
    pub fn leap(&mut self, peer: usize, span: Duration) {
        self.see("clock leapt");
        self.hosts[peer].leapt += span;
    }

    fn local(&self, peer: usize) -> Time {
        self.hosts[peer].local(self.now)
    }

    /// A peer.
    #[must_use]
    pub fn peer(&self, peer: usize) -> &Peer {
        &self.hosts[peer].peer
    }

    /// What a peer takes the room's time for.
    pub fn room_time(&mut self, peer: usize) -> Option<u64> {
        let now = self.local(peer);
        self.hosts[peer].peer.room_time(now)
    }

    /// How many peers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// The relay, while it runs.
    #[must_use]
    pub const fn hub(&self) -> Option<&Hub> {
        self.hub.as_ref()
    }

    /// The relay, while it runs, to be asked for its documents.
    pub const fn hub_mut(&mut self) -> Option<&mut Hub> {
        self.hub.as_mut()
    }

    /// The room, as the relay names it.
    #[must_use]
    pub fn room_key(&self) -> RoomKey {
        (self.key.app(), self.room.clone())
    }

    /// What time it is.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    /// What was seen to happen at least once: faults, and the ways taken to mend them.
    #[must_use]
    pub const fn sightings(&self) -> &BTreeSet<&'static str> {
        &self.sightings
    }

    /// A digest of everything that happened: equal seeds, equal digests.
    #[must_use]
    pub fn trace(&self) -> [u8; 32] {
        self.trace.clone().finalize().into()
    }

    /// Another network from now on.
    pub const fn set_network(&mut self, network: Network) {
        self.network = network;
    }

    /// The relay ends without a word and forgets everything.
    pub fn crash_relay(&mut self) {
        if self.hub.take().is_some() {
            self.see("relay crashed");
            let links: Vec<Link> = self.links.keys().copied().collect();
            links.into_iter().for_each(|link| self.break_link(link));
        }
    }

    /// The relay cuts the history of every document that has any, if it is there.
    pub fn cut_history(&mut self) {
        let (room, now) = (self.room_key(), self.now);
        for document in DocumentId::ALL {
            if self.hub.as_mut().is_some_and(|hub| hub.cut(&room, document, now)) {
                let texts = document == DocumentId::TEXTS;
                self.see(if texts { "history of texts cut" } else { "history cut" });
            }
        }
    }

    /// Keeps what applications are told from now on, until it is asked for.
    pub fn keep_events(&mut self) {
        self.events.get_or_insert_default();
    }

    /// What which peer's application was told, since this was last asked.
    pub fn take_events(&mut self) -> Vec<(usize, Event)> {
        self.events.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// What the relay's operator was told, since this was last asked.
    pub fn take_relay_events(&mut self) -> Vec<HubEvent> {
        std::mem::take(&mut self.relay_events)
    }

    /// Does something with the relay, if it is there.
    pub fn with_relay<R>(&mut self, act: impl FnOnce(&mut Hub, Time) -> R) -> Option<R> {
        let now = self.now;
        let done = self.hub.as_mut().map(|hub| act(hub, now));
        self.settle_hub();
        done
    }

    /// The relay starts anew, with another configuration.
    pub fn configure_relay(&mut self, change: impl FnOnce(&mut HubConfig)) {
        change(&mut self.hub_config);
        self.crash_relay();
        self.start_relay();
    }

    /// The relay starts anew, and cuts no history but when it is told to.
    pub fn keep_history(&mut self) {
        let (floor, rest_floor) = (usize::MAX, usize::MAX);
        self.hub_config.epochs = EpochConfig { floor, rest_floor, ..EpochConfig::default() };
        self.crash_relay();
        self.start_relay();
    }

    /// The relay starts, with nothing in its memory.
    pub fn start_relay(&mut self) {
        if self.hub.is_none() {
            let (config, key) = (self.hub_config.clone(), self.key.clone());
            self.hub_starts += 1;
            let (seed, boot) = (self.seed(), u32::try_from(self.hub_starts).unwrap_or(u32::MAX));
            self.hub = Some(Hub::new(relay(), [key], config, Self::EPOCH, seed, boot));
        }
    }

    /// A peer loses its link, and gets none, until it is mended.
    pub fn cut(&mut self, peer: usize) {
        self.see("partition");
        self.hosts[peer].cut = true;
        self.break_links_of(peer);
    }

    /// A peer's link carries nothing in one direction any more, and no other comes about, until it is
    /// mended. What is on its way still arrives. Neither end is told, and the one that hears nothing
    /// does not hear that the other has hung up either.
    pub fn half_open(&mut self, peer: usize, broken: Way) {
        self.see("half-open link");
        self.hosts[peer].broken = Some(broken);
    }

    /// A peer's link may come about again, and carries frames both ways.
    pub fn mend(&mut self, peer: usize) {
        let host = &mut self.hosts[peer];
        (host.cut, host.broken) = (false, None);
    }

    /// A peer stops in the middle of whatever it did, and loses its link.
    pub fn sleep(&mut self, peer: usize) {
        self.see("crash and resume");
        self.hosts[peer].asleep = true;
        let lost = self.links_of(peer);
        self.hosts[peer].lost.extend(lost);
        self.break_links_of(peer);
    }

    /// A peer goes on where it stopped. It finds out by itself that its link is gone.
    pub fn wake(&mut self, peer: usize) {
        self.hosts[peer].asleep = false;
        self.hosts[peer].lost.clear();
    }

    /// A peer goes on where it stopped, and is told at once that its link is gone: its system has
    /// noticed.
    pub fn resume(&mut self, peer: usize) {
        let lost = std::mem::take(&mut self.hosts[peer].lost);
        self.wake(peer);
        let now = self.local(peer);
        for link in lost {
            self.hosts[peer].peer.handle(now, Input::Disconnected { link });
        }
        self.settle_host(peer);
    }

    /// A peer reads nothing any more, or reads again.
    pub fn deafen(&mut self, peer: usize, deaf: bool) {
        self.hosts[peer].deaf = deaf;
        if deaf {
            self.see("slow reader");
            return;
        }
        let wires: Vec<Link> = self.links_of(peer);
        for link in wires {
            let unread = self.links.get_mut(&link).map(|wire| std::mem::take(&mut wire.unread));
            for (lane, frame) in unread.unwrap_or_default() {
                self.receive(link, lane, frame);
            }
        }
    }

    /// Lets `span` pass.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {}
        self.now = end;
    }

    /// Lets time pass until `done`, at most `span`. Returns whether it was.
    pub fn run_until(&mut self, span: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + span;
        while !done(self) {
            if !self.step(end) {
                self.now = end;
                return done(self);
            }
        }
        true
    }

    fn see(&mut self, what: &'static str) {
        self.sightings.insert(what);
    }

    fn note(&mut self, happening: &Happening) {
        self.trace.update(self.now.as_micros().to_le_bytes());
        self.trace.update(format!("{happening:?}"));
    }

    fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        seed
    }
}

fn relay() -> Identity {
    Identity::from_seed([255; 32])
}

fn relay_id() -> PeerId {
    relay().peer()
}
