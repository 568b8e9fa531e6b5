//! What an application holds: a room, online or not.

mod diary;
mod handle;
mod kept;
mod options;
#[cfg(feature = "audio")]
mod voice;

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use bytes::Bytes;

use self::diary::Diary;
pub use self::diary::SharedStore;
pub use self::handle::{RoomGone, RoomHandle};
pub use self::options::{ConnectError, ConnectOptions, NotDurable, NotStored};
#[cfg(feature = "audio")]
use self::voice::Voices;
#[cfg(feature = "audio")]
pub use self::voice::{
    AudioError, AudioInput, AudioInputOptions, AudioOutput, Listener, MembersFull, VoiceOptions,
};
use crate::net::{Carrier, Clock, NetConfig, RelayAddress};
use crate::proto::datastore::Datastore;
#[cfg(feature = "audio")]
use crate::proto::event::Effect;
use crate::proto::event::{Event, Member, State, overrun};
use crate::proto::id::{AppKey, ClientNumber, Identity, PeerId, RoomName};
use crate::proto::model::Model;
use crate::proto::model::handle::Handle;
use crate::proto::motion::interest::{Interest, InterestError};
use crate::proto::ownership::Ownership;
use crate::proto::peer::{Peer, Setup};
use crate::proto::reason::{Reason, RequestError};
use crate::proto::service::{Answer, Entrance, PresenceError, Record, Request, RequestId};
use crate::proto::statistics::Statistics;
use crate::proto::wire::rooms;

/// A room whose root model is an `M`.
///
/// It *is* its [`Datastore`], which lives in this process and goes on when the network is gone; the
/// methods here are about the link and the others. Nothing happens between calls of [`Self::tick`]:
/// a game calls it every frame, an asynchronous program uses [`Self::wait`] or [`Self::spawn`].
#[derive(Debug)]
pub struct Room<M> {
    peer: Peer,
    carrier: Option<Carrier>,
    clock: Clock,
    identity: Identity,
    net: NetConfig,
    /// Events that came while an answer was awaited.
    held: VecDeque<Event>,
    /// Where it is kept for another life of this peer, if it is.
    diary: Option<Diary>,
    #[cfg(feature = "audio")]
    voices: Voices,
    of: PhantomData<fn() -> M>,
}

impl<M: Model> Room<M> {
    /// Enters a room: at once if no relay is named, else as soon as the relay lets this peer in, for
    /// which [`Event::Ready`] is the sign. What is edited before then merges.
    ///
    /// # Errors
    ///
    /// When an option cannot be used. That the relay cannot be reached is told later, by events.
    pub fn connect(options: ConnectOptions) -> Result<Self, ConnectError> {
        let relay = options.relay.clone();
        let mut room = Self::offline(options)?;
        if !relay.is_empty() {
            let relay: Vec<&str> = relay.iter().map(String::as_str).collect();
            room.go_online(&relay)?;
        }
        Ok(room)
    }

    fn offline(options: ConnectOptions) -> Result<Self, ConnectError> {
        let limit = options.config.limits.metadata;
        if options.metadata.len() > limit {
            return Err(ConnectError::Metadata { limit, size: options.metadata.len() });
        }
        let rate = options.config.frame_rate;
        if !(1..=120).contains(&rate) {
            return Err(ConnectError::FrameRate { rate });
        }
        let identity = match options.identity {
            Some(identity) => identity,
            None => Identity::from_seed(entropy()?),
        };
        let incarnation = options.incarnation.unwrap_or_else(|| Clock::unix_micros() / 1_000);
        let (app_key, room) = (AppKey::new(options.app_key)?, RoomName::new(&options.room)?);
        rooms::opening(&options.entrance.opening, app_key.app(), &room)
            .map_err(ConnectError::Opening)?;
        let setup = Setup {
            identity: identity.clone(),
            app_key,
            room,
            metadata: options.metadata,
            incarnation,
            shape: M::shape(),
            entrance: options.entrance,
        };
        let mut peer = Peer::new(setup, options.config, entropy()?);
        let diary = options.store.map(|store| kept::open(&mut peer, store)).transpose()?;
        Ok(Self {
            peer,
            diary,
            carrier: None,
            clock: Clock::new(),
            identity,
            net: options.net,
            held: VecDeque::new(),
            #[cfg(feature = "audio")]
            voices: Voices::new(options.voice),
            of: PhantomData,
        })
    }

    /// Joins the room of the same name on a relay, with all that was edited before. Of several relays
    /// one is picked anew.
    ///
    /// # Errors
    ///
    /// When an address is malformed, the network cannot be used, or the room is on a relay already.
    pub fn go_online(&mut self, relay: &[&str]) -> Result<(), ConnectError> {
        if self.carrier.is_some() && !matches!(self.peer.state(), State::Closed(_)) {
            return Err(ConnectError::Online);
        }
        let addresses: Vec<RelayAddress> =
            relay.iter().map(|address| address.parse()).collect::<Result<_, _>>()?;
        let carrier = Carrier::new(&self.identity, addresses, self.net.clone())?;
        let before = self.carrier.replace(carrier);
        #[cfg(feature = "audio")]
        self.change_network(before.as_ref().map(Carrier::voice));
        drop(before);
        self.peer.connect(self.clock.now());
        self.perform();
        Ok(())
    }

    /// Lets everything happen that is due: takes what came, sends what is to go. Never waits.
    pub fn tick(&mut self) {
        while let Some(input) = self.carrier.as_mut().and_then(Carrier::poll_input) {
            self.peer.handle(self.clock.now(), input);
            self.perform();
        }
        self.peer.tick(self.clock.now());
        self.perform();
        self.keep_diary();
        #[cfg(feature = "audio")]
        self.keep_voices();
    }

    /// Waits until something came or is due, at most `patience`, and lets it happen.
    pub async fn wait(&mut self, patience: Duration) {
        let now = self.clock.now();
        let latest = now + patience;
        let due = self.peer.poll_timeout().map_or(latest, |due| due.min(latest));
        let due = self.diary.as_ref().and_then(Diary::due).map_or(due, |diary| diary.min(due));
        #[cfg(feature = "audio")]
        let due = self.voices_due(now).map_or(due, |voice| voice.min(due));
        let clock = self.clock;
        let input = match &mut self.carrier {
            Some(carrier) => {
                let timeout = clock.sleep_until(Some(due));
                tokio::select! {
                    input = carrier.wait_input() => Some(input),
                    () = timeout => None,
                }
            }
            None => {
                clock.sleep_until(Some(due)).await;
                None
            }
        };
        if let Some(input) = input {
            self.peer.handle(self.clock.now(), input);
        }
        self.tick();
    }

    /// Waits until the room is ready.
    ///
    /// # Errors
    ///
    /// The reason, if it closes instead.
    pub async fn ready(&mut self) -> Result<(), Reason> {
        loop {
            match self.peer.state() {
                State::Ready | State::Offline => return Ok(()),
                State::Closed(reason) => return Err(reason.clone()),
                State::Connecting | State::Joining | State::Reconnecting { .. } => {}
            }
            self.wait(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the relay has received all that was edited here, at most `patience`. Returns
    /// whether it has; never does without a relay.
    pub async fn settled(&mut self, patience: Duration) -> bool {
        let until = self.clock.now() + patience;
        while !self.peer.is_settled() {
            let over = matches!(self.peer.state(), State::Closed(_) | State::Offline);
            if self.clock.now() >= until || over {
                return false;
            }
            self.wait(Duration::from_millis(20)).await;
        }
        true
    }

    /// The next thing to tell the application. Read until there is none after each
    /// [`Self::tick`]; unread events are kept up to a bound.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.held.pop_front().or_else(|| self.peer.poll_event());
        #[cfg(feature = "audio")]
        let event = self.next_voice(event);
        event
    }

    /// Ends the network frame now: what was edited since the last is written and sent.
    pub fn flush(&mut self) {
        self.peer.flush(self.clock.now());
        self.perform();
    }

    /// Leaves the room: says what was edited, as far as the link takes it at once, then goodbye.
    /// After much work, wait for [`Self::settled`] first. The datastore stays.
    pub fn leave(&mut self) {
        self.peer.leave(self.clock.now());
        self.perform();
    }

    /// The root model.
    ///
    /// # Panics
    ///
    /// Never: the room was made with `M` as its root.
    #[must_use]
    pub fn root(&self) -> &M {
        self.peer.store().root().expect("the room was made with this root type")
    }

    /// How far the room is.
    #[must_use]
    pub const fn state(&self) -> &State {
        self.peer.state()
    }

    /// Who this peer is.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.peer.peer()
    }

    /// Which relay the room is, or was last, linked with: what to tell others that are to come into the
    /// same room, if there are several relays. None before the first link, and without a network.
    #[must_use]
    pub fn relay(&self) -> Option<PeerId> {
        self.carrier.as_ref().and_then(Carrier::relay)
    }

    /// This connection's number in the room, while it is in.
    #[must_use]
    pub const fn client(&self) -> Option<ClientNumber> {
        self.peer.client()
    }

    /// Who is in the room.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.peer.members()
    }

    /// Members who have a direct link with this peer: see [`NetConfig::direct`]. With them voices go on
    /// without a relay.
    pub fn neighbours(&self) -> impl Iterator<Item = PeerId> {
        self.peer.neighbours()
    }

    /// The room's time in microseconds since the Unix epoch, the same on every peer within a few
    /// milliseconds; this computer's own while no relay was heard. It never goes back but once, if this
    /// computer's clock is ahead when a relay is first heard.
    pub fn room_time(&mut self) -> u64 {
        let now = self.clock.now();
        self.peer.room_time(now).unwrap_or_else(Clock::unix_micros)
    }

    /// What the room is, as the relay has said: see [`Peer::record`].
    #[must_use]
    pub const fn record(&self) -> Option<&Record> {
        self.peer.record()
    }

    /// Asks the relay for something, about this room or others: see [`Peer::ask`].
    ///
    /// # Errors
    ///
    /// When it cannot be asked.
    pub fn ask(&mut self, request: &Request) -> Result<RequestId, RequestError> {
        let asked = self.peer.ask(request, self.clock.now());
        self.perform();
        asked
    }

    /// Asks the relay for something, and waits for the answer. Other events wait meanwhile, and come
    /// from [`Self::poll_event`] afterwards.
    ///
    /// # Errors
    ///
    /// When it cannot be asked, the relay says no, or the link ends before it answers.
    pub async fn request(&mut self, request: &Request) -> Result<Answer, RequestError> {
        let id = self.ask(request)?;
        loop {
            while let Some(event) = self.peer.poll_event() {
                match event {
                    Event::Answered { request, answer } if request == id => return answer,
                    other => self.hold(other),
                }
            }
            self.wait(Duration::from_millis(100)).await;
        }
    }

    fn hold(&mut self, event: Event) {
        let capacity = self.peer.config().event_capacity;
        if self.held.len() >= capacity {
            overrun(&mut self.held, capacity);
        }
        self.held.push_back(event);
    }

    /// Says something of this peer to everybody in the room: see [`Peer::set_presence`].
    ///
    /// # Errors
    ///
    /// When it is more than a member may say.
    pub fn set_presence(
        &mut self,
        key: &str,
        value: Option<Bytes>,
        ttl: Option<Duration>,
    ) -> Result<(), PresenceError> {
        self.peer.set_presence(key, value, ttl, self.clock.now())?;
        self.perform();
        Ok(())
    }

    /// What a member says of itself, in the order of its keys.
    pub fn presence(&self, client: ClientNumber) -> impl Iterator<Item = (&str, &Bytes)> {
        self.peer.presence(client)
    }

    /// How this peer comes in from now on: with another password, for instance, before
    /// [`Self::go_online`] is tried again.
    pub fn set_entrance(&mut self, entrance: Entrance) {
        self.peer.set_entrance(entrance);
    }

    /// Who owns a model, and whether that is certain: see [`Datastore::claim`].
    #[must_use]
    pub fn ownership_state(&self, model: &impl Handle) -> Ownership {
        self.peer.ownership_state(model, self.clock.now())
    }

    /// What to be told of what moves: see [`Peer::set_interest`].
    ///
    /// # Errors
    ///
    /// When the interest is too large, or an area is nowhere.
    pub fn set_interest(&mut self, interest: &Interest) -> Result<(), InterestError> {
        self.peer.set_interest(interest)
    }

    /// The connection in numbers.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.peer.statistics(self.clock.now())
    }

    fn perform(&mut self) {
        #[cfg(feature = "audio")]
        let mut tuned = false;
        while let Some(effect) = self.peer.poll_effect() {
            #[cfg(feature = "audio")]
            {
                tuned |= matches!(
                    effect,
                    Effect::Tune { .. } | Effect::Share(_) | Effect::Disconnect { .. }
                );
            }
            if let Some(carrier) = &mut self.carrier {
                carrier.perform(effect);
            }
        }
        #[cfg(feature = "audio")]
        self.follow_voices(tuned);
    }
}

impl<M> Deref for Room<M> {
    type Target = Datastore;

    fn deref(&self) -> &Datastore {
        self.peer.store()
    }
}

impl<M> DerefMut for Room<M> {
    fn deref_mut(&mut self) -> &mut Datastore {
        self.peer.store_mut()
    }
}

/// Fresh randomness from the system.
pub(crate) fn entropy() -> Result<[u8; 32], ConnectError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| ConnectError::Entropy)?;
    Ok(seed)
}
