//! A room at a relay, with peers and links that take no time, in time that passes when it is told to;
//! and what of it is counted: what the relay stores, and what somebody who comes is sent.

mod count;

use std::collections::VecDeque;
use std::error::Error;
use std::time::Duration;

use parlor::proto::authorship::Scope;
use parlor::proto::base::columns;
use parlor::proto::cut::Cut;
use parlor::proto::event::{Effect, Input};
use parlor::proto::hub::Hub;
use parlor::proto::id::{AppKey, DocumentId, EpochId, Identity, Lane, Link, RoomKey, RoomName};
use parlor::proto::log::ChangeLog;
use parlor::proto::model::Shape;
use parlor::proto::peer::{Peer, Setup};
use parlor::proto::time::Time;
use parlor::proto::wire::message::Introduction;
use parlor::{Datastore, Event, HubConfig, Limits, PeerConfig, State};

use self::count::History;
pub use self::count::{Arrived, Stored, Written};

/// What comes of it, if anything does.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// Who the relay is, of the numbers that peers have too.
const RELAY: usize = 99;
/// Whoever comes later has a number from here on.
const GUESTS: usize = 1_000;

/// A relay and peers. The last peer only looks on: what it is sent is what the relay stores.
#[derive(Debug)]
pub struct Room {
    hub: Hub,
    key: RoomKey,
    shape: fn() -> Shape,
    peers: Vec<Peer>,
    /// How many of them stay.
    stay: usize,
    now: Time,
    history: History,
    guests: usize,
    arrived: Option<Arrived>,
}

impl Room {
    /// So many peers are in the room, and its relay cuts history as by default.
    ///
    /// # Errors
    ///
    /// When one of them is not.
    pub fn new(shape: fn() -> Shape, peers: usize) -> Outcome<Self> {
        let app = app_key()?;
        let key = (app.app(), room_name()?);
        let hub = Hub::new(identity(RELAY), [app], HubConfig::default(), 0, [3; 32], 1);
        let mut room = Self {
            hub,
            key,
            shape,
            peers: Vec::new(),
            stay: peers,
            now: Time::ZERO,
            history: History::default(),
            guests: 0,
            arrived: None,
        };
        for number in 0..peers {
            room.enter(number)?;
        }
        room.go_on(Duration::from_secs(2))?;
        if room.peers.iter().any(|peer| *peer.state() != State::Ready) {
            return Err("a peer is not in the room".into());
        }
        Ok(room)
    }

    /// What time it is.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    /// A peer.
    ///
    /// # Panics
    ///
    /// When there are fewer.
    #[must_use]
    pub fn peer(&mut self, number: usize) -> &mut Peer {
        &mut self.peers[number]
    }

    /// What a peer has.
    ///
    /// # Panics
    ///
    /// When there are fewer.
    #[must_use]
    pub fn store(&self, number: usize) -> &Datastore {
        self.peers[number].store()
    }

    /// Who only looks on.
    #[must_use]
    pub const fn reader(&self) -> usize {
        self.stay - 1
    }

    /// What is stored of the room's models.
    #[must_use]
    pub const fn stored(&self) -> Stored {
        self.history.stored
    }

    /// What was written to the room's models since it opened.
    #[must_use]
    pub const fn written(&self) -> Written {
        self.history.written
    }

    /// How often the history of the models was cut.
    #[must_use]
    pub const fn cuts(&self) -> u32 {
        self.history.cuts
    }

    /// The relay cuts the history of the models, whatever it weighs.
    ///
    /// # Errors
    ///
    /// When something that was sent cannot be read.
    pub fn cut(&mut self) -> Outcome<()> {
        self.hub.cut(&self.key, DocumentId::MODELS, self.now);
        self.settle()
    }

    /// Somebody comes who knows nothing of the room.
    ///
    /// # Errors
    ///
    /// When somebody else is still there that came so.
    pub fn invite(&mut self) -> Outcome<()> {
        if self.arrived.is_some() {
            return Err("there is a guest already".into());
        }
        self.arrived = Some(Arrived::default());
        self.guests += 1;
        self.enter(GUESTS + self.guests)?;
        self.settle()
    }

    /// Whether somebody came who is still there.
    #[must_use]
    pub const fn has_guest(&self) -> bool {
        self.arrived.is_some()
    }

    /// What was sent to the guest, and what it has, once its documents are there.
    #[must_use]
    pub fn guest(&self) -> Option<(Arrived, &Datastore)> {
        let arrived = self.arrived.filter(|arrived| arrived.ready)?;
        Some((arrived, self.peers.get(self.stay)?.store()))
    }

    /// The guest leaves.
    ///
    /// # Errors
    ///
    /// When something that was sent cannot be read.
    pub fn dismiss(&mut self) -> Outcome<()> {
        if let Some(guest) = self.peers.get_mut(self.stay) {
            guest.leave(self.now);
        }
        self.settle()?;
        self.peers.truncate(self.stay);
        self.arrived = None;
        Ok(())
    }

    /// Lets time pass.
    ///
    /// # Errors
    ///
    /// When somebody hangs up, or something that was sent cannot be read.
    pub fn go_on(&mut self, span: Duration) -> Outcome<()> {
        let end = self.now + span;
        self.settle()?;
        loop {
            let peers = self.peers.iter().filter_map(Peer::poll_timeout);
            let next = peers.chain(self.hub.poll_timeout()).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return Ok(());
            };
            self.now = self.now.max(next);
            for peer in &mut self.peers {
                if peer.poll_timeout().is_some_and(|due| due <= self.now) {
                    peer.tick(self.now);
                }
            }
            if self.hub.poll_timeout().is_some_and(|due| due <= self.now) {
                self.hub.tick(self.now);
            }
            self.settle()?;
        }
    }

    /// A peer is on its way into the room.
    fn enter(&mut self, number: usize) -> Outcome<()> {
        let setup = Setup {
            identity: identity(number),
            app_key: app_key()?,
            room: room_name()?,
            metadata: Vec::new().into(),
            incarnation: 1,
            shape: (self.shape)(),
            entrance: parlor::Entrance::default(),
        };
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let mut peer = Peer::new(setup, PeerConfig::default(), seed);
        peer.connect(self.now);
        self.peers.push(peer);
        Ok(())
    }

    /// Everything that was sent arrives.
    fn settle(&mut self) -> Outcome<()> {
        loop {
            let mut effects = VecDeque::new();
            for (number, peer) in self.peers.iter_mut().enumerate() {
                while let Some(effect) = peer.poll_effect() {
                    effects.push_back((number, effect));
                }
                let mut arrived = self.arrived.as_mut().filter(|_| number == self.stay);
                while let Some(event) = peer.poll_event() {
                    arrived.iter_mut().for_each(|guest| guest.ready |= event == Event::Ready);
                }
            }
            for (number, effect) in effects.drain(..) {
                self.perform(number, effect)?;
            }
            let mut quiet = true;
            while let Some(effect) = self.hub.poll_effect() {
                self.bring(effect)?;
                quiet = false;
            }
            while self.hub.poll_event().is_some() {}
            if quiet {
                return Ok(());
            }
        }
    }

    /// Does what a peer asks for.
    fn perform(&mut self, number: usize, effect: Effect) -> Outcome<()> {
        let (now, peer) = (self.now, &mut self.peers[number]);
        match effect {
            Effect::Dial => {
                let link = Link(number as u64);
                let (here, there) = (peer.peer(), identity(RELAY).peer());
                peer.handle(now, Input::Connected { link, peer: there });
                self.hub.handle(now, Input::Connected { link, peer: here });
            }
            Effect::Send { link, lane, frame } => {
                peer.handle(now, Input::Written { link, lane, bytes: frame.len() });
                self.hub.handle(now, Input::Received { link, lane, frame });
            }
            Effect::Disconnect { link } if number == self.stay => {
                peer.handle(now, Input::Disconnected { link });
                self.hub.handle(now, Input::Disconnected { link });
            }
            Effect::Acquaint { .. } | Effect::Share(_) => {}
            Effect::Disconnect { .. }
            | Effect::Authorise { .. }
            | Effect::Commit { .. }
            | Effect::Fetch { .. }
            | Effect::Tune { .. }
            | Effect::Pass { .. } => {
                return Err("a peer hung up".into());
            }
        }
        Ok(())
    }

    /// Does what the relay asks for.
    fn bring(&mut self, effect: Effect) -> Outcome<()> {
        let (link, lane, frame) = match effect {
            Effect::Send { link, lane, frame } => (link, lane, frame),
            // The guest said goodbye.
            Effect::Disconnect { link } if link == Link(self.stay as u64) => return Ok(()),
            Effect::Disconnect { .. }
            | Effect::Dial
            | Effect::Authorise { .. }
            | Effect::Commit { .. }
            | Effect::Fetch { .. }
            | Effect::Tune { .. }
            | Effect::Pass { .. }
            | Effect::Acquaint { .. }
            | Effect::Share(_) => {
                return Err("the relay hung up".into());
            }
        };
        let number = usize::try_from(link.0)?;
        if number == self.reader() && lane == Lane::Document {
            let log = self.hub.log(&self.key, DocumentId::MODELS).ok_or("the room is gone")?;
            self.history.count(&frame, log)?;
        }
        if let Some(arrived) = self.arrived.as_mut().filter(|_| number == self.stay) {
            arrived.count(lane, &frame)?;
        }
        self.hub.handle(self.now, Input::Written { link, lane, bytes: frame.len() });
        self.peers[number].handle(self.now, Input::Received { link, lane, frame });
        Ok(())
    }
}

/// How much is stored of a room that was just made: in columns, of everything that is added.
///
/// # Errors
///
/// What adding returns.
pub fn fresh(shape: Shape, add: impl FnOnce(&mut Datastore) -> Outcome<()>) -> Outcome<usize> {
    let author = Introduction { peer: identity(0).peer(), incarnation: 1 };
    let scope = Scope::first(app_key()?.app(), room_name()?);
    let mut store = Datastore::new(&scope, author, shape, Limits::default(), 1 << 16);
    add(&mut store)?;
    store.flush();
    for place in store.take_written(DocumentId::MODELS) {
        store.confirm(DocumentId::MODELS, place);
    }
    let log = store.log(DocumentId::MODELS);
    let mut cut = Cut::into(log.scope().of(EpochId([1; 32])));
    loop {
        if let Some(next) = cut.step(log, usize::MAX) {
            return Ok(columns_of(&next));
        }
    }
}

/// What an epoch began with, in columns.
fn columns_of(log: &ChangeLog) -> usize {
    let base = log.base();
    if base.is_empty() { 0 } else { columns::encode(base).len() }
}

/// The key of the application.
///
/// # Errors
///
/// Never: it is not empty.
pub fn app_key() -> Outcome<AppKey> {
    Ok(AppKey::new("benchmark")?)
}

/// The name of the room.
///
/// # Errors
///
/// Never: it is not empty.
pub fn room_name() -> Outcome<RoomName> {
    Ok(RoomName::new("benchmark")?)
}

/// The `number`th author.
#[must_use]
pub fn identity(number: usize) -> Identity {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&(number as u64).to_le_bytes());
    Identity::from_seed(seed)
}
