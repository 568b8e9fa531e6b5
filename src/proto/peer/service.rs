//! The room service of a peer: what it asks, what it says of itself, and what it is told of its room.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::Peer;
use super::connection::{Connection, Stage};
use crate::proto::config::Limits;
use crate::proto::dialogue::Dialogue;
use crate::proto::event::{Event, Member};
use crate::proto::id::{ClientNumber, Lane};
use crate::proto::proof::{self, PasswordKey, Side};
use crate::proto::reason::{
    Refusal, RequestError, SERVICE_SINCE, ServiceError, VOICE_SINCE, Version,
};
use crate::proto::service::{Entrance, Fact, PresenceError, Record, Request, RequestId};
use crate::proto::time::Time;
use crate::proto::wire::bounded::{Blob, Line, List};
use crate::proto::wire::message::{
    Asked, Enter, FactRecord, Hello, Join, Message, PresenceKey, PresenceValue, ServiceMessage,
    Told,
};
use crate::proto::wire::rooms;

/// The most items of one message, by the specification.
const MOST: usize = 64;
/// How many may be on their way.
const WINDOW: usize = 64;
/// How much of what this peer says of itself may wait: more of it goes later, and only the last of each
/// key.
const PRESENCES: usize = 16;

/// What a peer knows of its room beside the documents.
#[derive(Debug)]
pub(super) struct Service {
    entrance: Entrance,
    record: Option<Record>,
    /// Whether the relay has told everything that was so when this peer came in.
    here: bool,
    dialogue: Dialogue<Asked>,
    /// How many requests there ever were, and those that are not answered.
    asked: u64,
    unanswered: BTreeSet<u64>,
    /// Requests by which this peer comes in otherwise from then on, until they are answered.
    terms: BTreeMap<u64, Request>,
    /// What this peer says of itself, and what of that the relay is not told yet.
    own: BTreeMap<String, Own>,
    fresh: BTreeSet<String>,
    others: BTreeMap<ClientNumber, BTreeMap<String, Bytes>>,
    /// The highest number of a member that was there since the link came up.
    newest: Option<ClientNumber>,
}

#[derive(Clone, Debug)]
struct Own {
    value: Bytes,
    until: Option<Time>,
}

impl Service {
    pub(super) fn new(entrance: Entrance, limits: &Limits) -> Self {
        Self {
            entrance,
            record: None,
            here: false,
            dialogue: Dialogue::new(WINDOW, limits.acknowledge_after),
            asked: 0,
            unanswered: BTreeSet::new(),
            terms: BTreeMap::new(),
            own: BTreeMap::new(),
            fresh: BTreeSet::new(),
            others: BTreeMap::new(),
            newest: None,
        }
    }

    /// The relay has let this peer in: everything is said anew.
    pub(super) fn begin(&mut self, limits: &Limits, told: bool) {
        self.here = false;
        self.newest = None;
        self.record = self.record.take().filter(|_| told);
        self.dialogue = Dialogue::new(WINDOW, limits.acknowledge_after);
        self.fresh = self.own.keys().cloned().collect();
    }

    /// Whether everything is here that was so when this peer came in.
    pub(super) const fn is_here(&self) -> bool {
        self.here
    }

    /// From now on this peer comes back by other terms, and never by the old.
    fn come_by(&mut self, terms: Option<Request>) {
        if let Some(Request::Renew(token)) = terms {
            self.entrance.token = Some(token);
        } else if let Some(Request::SetPassword(password)) = terms {
            self.entrance.password = password;
        }
    }

    fn due(&self) -> Option<Time> {
        let own = self.own.values().filter_map(|own| own.until);
        self.dialogue.deadline().into_iter().chain(own).min()
    }

    fn next_presence(&mut self, now: Time) -> Option<Asked> {
        let key = self.fresh.pop_first()?;
        let own = self.own.get(&key).filter(|own| own.until.is_none_or(|until| until > now));
        let value = own.map(|own| Blob::new(own.value.clone()).unwrap_or_default());
        let left = own.and_then(|own| own.until).map_or(Duration::ZERO, |until| until - now);
        let ttl_ms = u32::try_from(left.as_micros().div_ceil(1_000)).unwrap_or(u32::MAX);
        Some(Asked::Presence { key: Line::new(key).unwrap_or_default(), value, ttl_ms })
    }

    /// One thing of the room is another.
    fn learn(&mut self, fact: FactRecord) -> Option<Fact> {
        let record = self.record.as_mut()?;
        Some(match fact {
            FactRecord::Owner(owner) => {
                record.owner = owner;
                Fact::Owner
            }
            FactRecord::Description(description) => {
                record.description = description.to_string();
                Fact::Description
            }
            FactRecord::Data(key, value) => {
                let key = key.to_string();
                match value {
                    Some(value) => record.data.insert(key.clone(), value.to_string()),
                    None => record.data.remove(&key),
                };
                Fact::Data { key }
            }
            FactRecord::Capacity(capacity) => {
                record.capacity = capacity;
                Fact::Capacity
            }
            FactRecord::Listed(listed) => {
                record.listed = listed;
                Fact::Listed
            }
            FactRecord::Locked(locked) => {
                record.locked = locked;
                Fact::Locked
            }
            FactRecord::Password(password) => {
                record.password = password;
                Fact::Password
            }
            FactRecord::Policy(policy) => {
                record.policy = policy;
                Fact::Policy
            }
        })
    }
}

impl Peer {
    /// What the room is, as far as a relay has said; what it was, once the link is gone.
    #[must_use]
    pub const fn record(&self) -> Option<&Record> {
        self.service.record.as_ref()
    }

    /// Asks the relay for something. [`Event::Answered`] follows, whatever becomes of it.
    ///
    /// # Errors
    ///
    /// When it cannot be asked: see [`RequestError`].
    pub fn ask(&mut self, request: &Request, now: Time) -> Result<RequestId, RequestError> {
        let open = self.connection.as_ref().filter(|open| open.is_in());
        let open = open.ok_or(RequestError::Offline)?;
        if !knows(open) {
            return Err(unsupported(open));
        }
        let limit = self.config.requests;
        if self.service.unanswered.len() >= limit {
            return Err(RequestError::Busy { limit });
        }
        if matches!(request, Request::Silence { .. }) && minor(open) < VOICE_SINCE {
            return Err(unsupported(open));
        }
        let record = rooms::request(request, self.app_key.app(), Some(&self.room))?;
        let service = &mut self.service;
        service.asked += 1;
        let number = service.asked;
        if matches!(request, Request::Renew(_) | Request::SetPassword(_)) {
            service.terms.insert(number, request.clone());
        }
        let request = record;
        service.unanswered.insert(number);
        service.dialogue.push(Asked::Request { number, request });
        self.drive(now);
        Ok(RequestId(number))
    }

    /// Says something of this peer to everybody in the room, under a key, until it says otherwise, it
    /// leaves, or so long has passed; or nothing any more. Whoever comes in is told; nobody keeps it.
    /// The last of several at once is told, and not all of them.
    ///
    /// # Errors
    ///
    /// When it is more than a member may say.
    pub fn set_presence(
        &mut self,
        key: &str,
        value: Option<Bytes>,
        ttl: Option<Duration>,
        now: Time,
    ) -> Result<(), PresenceError> {
        let limits = &self.config.limits;
        let own = &mut self.service.own;
        let (limit, size) = (PresenceKey::MAX, key.len());
        if size > limit {
            return Err(PresenceError::TooLong { limit, size });
        }
        own.retain(|_, own| own.until.is_none_or(|until| until > now));
        if let Some(value) = value {
            check_presence(own, (key, &value), limits)?;
            own.insert(key.to_owned(), Own { value, until: ttl.map(|ttl| now + ttl) });
        } else {
            own.remove(key);
        }
        self.service.fresh.insert(key.to_owned());
        self.drive(now);
        Ok(())
    }

    /// What a member says of itself, in the order of its keys; of this peer itself, what it says.
    pub fn presence(&self, client: ClientNumber) -> impl Iterator<Item = (&str, &Bytes)> {
        let own = (self.client == Some(client)).then_some(&self.service.own);
        let own = own.into_iter().flatten().map(|(key, own)| (key.as_str(), &own.value));
        let others = self.service.others.get(&client).into_iter().flatten();
        own.chain(others.map(|(key, value)| (key.as_str(), value)))
    }

    /// How this peer comes into the room from now on, when it connects or comes back.
    pub fn set_entrance(&mut self, entrance: Entrance) {
        self.service.entrance = entrance;
    }

    /// What lets this peer into its room.
    pub(super) fn entering(&self, join: Join, hello: &Hello) -> Result<Message, Refusal> {
        let entrance = &self.service.entrance;
        if hello.version.minor < SERVICE_SINCE {
            let (peer, relay) = (Version::CURRENT, hello.version);
            let plain = *entrance == Entrance::default();
            let old = Refusal::VersionMismatch { peer, relay };
            return if plain { Ok(Message::Join(join)) } else { Err(old) };
        }
        let Some(open) = &self.connection else { return Ok(Message::Join(join)) };
        let app = self.app_key.app();
        let (pair, nonces) = ((self.author.peer, open.relay), (&open.nonce, &hello.nonce));
        // Who opened the room knows its password.
        let opened = entrance.opening.password.as_deref();
        let password = entrance.password.as_deref().or(opened).map(|password| {
            let key = PasswordKey::of(app, &self.room, password).secret();
            proof::prove(&key, Side::Password, pair, nonces, self.room.as_str())
        });
        let opening = rooms::opening(&entrance.opening, app, &self.room);
        let opening = opening.map_err(|_| Refusal::BadOpening { why: ServiceError::Unsayable })?;
        Ok(Message::Enter(Enter {
            create: entrance.create,
            opening,
            password,
            invite: entrance.invite,
            token: entrance.token.as_deref().map(line).transpose()?,
            context: line(&entrance.context)?,
            ..Enter::from(join)
        }))
    }

    /// The link is gone: what was asked stays unanswered, and nobody says anything of itself.
    pub(super) fn hang_up_service(&mut self) {
        self.service.others.clear();
        self.service.here = false;
        self.service.terms.clear();
        for number in std::mem::take(&mut self.service.unanswered) {
            let answer = Err(RequestError::Unanswered);
            self.tell(Event::Answered { request: RequestId(number), answer });
        }
    }

    /// Members are others: what those said of themselves who are gone is gone.
    pub(super) fn tidy_presences(&mut self) {
        let members: Vec<ClientNumber> =
            self.members().map(|Member { client, .. }| *client).collect();
        let newest = members.iter().max().copied().max(self.service.newest);
        self.service.newest = newest;
        // Of who comes in it may be told before it is known to be there.
        let stays = |client: &ClientNumber| members.contains(client) || Some(*client) > newest;
        self.service.others.retain(|client, _| stays(client));
    }

    pub(super) fn on_service(&mut self, now: Time, message: ServiceMessage) {
        if !self.connection.as_ref().is_some_and(Connection::is_in) {
            // Before this peer knows that it is in: it comes again.
            return;
        }
        match message {
            ServiceMessage::Told { position, items } => {
                let known = self.service.dialogue.offer(position, items.len(), now);
                for told in items.into_vec().into_iter().skip(known.unwrap_or(usize::MAX)) {
                    self.on_told(now, told);
                }
            }
            ServiceMessage::Received { received, gap } => {
                let patience = self.patience();
                self.service.dialogue.acknowledge(received, gap, (now, patience));
            }
            ServiceMessage::Visit { .. } | ServiceMessage::Asked { .. } => {
                self.fault("a message that no relay sends");
            }
        }
    }

    fn on_told(&mut self, now: Time, told: Told) {
        match told {
            Told::Room(record) => {
                let record = rooms::record(record, self.app_key.app());
                let Some(record) = record.filter(|record| record.name == self.room) else {
                    self.fault("it speaks of another room");
                    return;
                };
                self.service.record = Some(record);
                self.tell(Event::Room(Fact::Everything));
            }
            Told::Fact(fact) => {
                if let Some(fact) = self.service.learn(fact) {
                    self.tell(Event::Room(fact));
                }
            }
            Told::Presence { client, key, value } => self.on_presence(client, &key, value),
            Told::Voice(voice) => self.on_voice(voice),
            Told::Keeps(keeps) => self.on_keeps(keeps),
            Told::Kept { mark } => self.on_kept(mark),
            Told::Expires { seconds } => {
                let after = Duration::from_secs(u64::from(seconds));
                self.tell(Event::TokenEnds { after });
            }
            Told::Here => {
                self.service.here = true;
                self.forget_silenced();
                self.finish_loading(now);
            }
            Told::Answer { number, answer } => {
                if !self.service.unanswered.remove(&number) {
                    return;
                }
                let terms = self.service.terms.remove(&number).filter(|_| answer.is_ok());
                self.service.come_by(terms);
                let app = self.app_key.app();
                let answer = match answer {
                    Ok(answer) => match rooms::answer(answer, app) {
                        Some(answer) => Ok(answer),
                        None => return self.fault("an answer with a name that is none"),
                    },
                    Err(error) => Err(RequestError::Refused(error)),
                };
                self.tell(Event::Answered { request: RequestId(number), answer });
            }
        }
    }

    fn on_presence(
        &mut self,
        client: ClientNumber,
        key: &PresenceKey,
        value: Option<PresenceValue>,
    ) {
        let is_there = self.members().any(|member| member.client == client);
        if !is_there && Some(client) <= self.service.newest {
            // It was said before its member left.
            return;
        }
        let others = &mut self.service.others;
        let known: usize = others.values().map(BTreeMap::len).sum();
        // A relay that tells of more than a room can hold is not believed.
        if known >= self.config.limits.presences && value.is_some() {
            return;
        }
        let said = others.entry(client).or_default();
        let (key, value) = (key.to_string(), value.map(Blob::into_bytes));
        match &value {
            Some(value) => said.insert(key.clone(), value.clone()),
            None => said.remove(&key),
        };
        if said.is_empty() {
            others.remove(&client);
        }
        self.tell(Event::Presence { client, key, value });
    }

    /// When there is something to do for the room service.
    pub(super) fn service_due(&self) -> Option<Time> {
        let open = self.connection.as_ref().is_some_and(knows);
        self.service.due().filter(|_| open)
    }

    pub(super) fn tick_service(&mut self, now: Time) {
        self.service.own.retain(|_, own| own.until.is_none_or(|until| until > now));
        self.service.dialogue.tick(now);
    }

    /// Says what is to be said, and acknowledges what came.
    pub(super) fn pump_service(&mut self, now: Time) {
        if !self.connection.as_ref().is_some_and(knows) {
            return;
        }
        let when = (now, self.patience());
        let service = &mut self.service;
        while service.dialogue.waiting() < PRESENCES
            && let Some(presence) = service.next_presence(now)
        {
            service.dialogue.push(presence);
        }
        while self.service.dialogue.waiting() < PRESENCES
            && let Some(asked) = self.next_voice().or_else(|| self.next_keeping())
        {
            self.service.dialogue.push(asked);
        }
        while let Some(open) = &self.connection
            && open.outstanding[Lane::Control as usize] < self.config.limits.signal_window
            && let Some((position, items)) = self.service.dialogue.gather(MOST, when, rooms::size)
        {
            let items = List::of(items);
            self.say(&Message::Service(ServiceMessage::Asked { position, items }), now);
        }
        if let Some((received, gap)) = self.service.dialogue.answer(now) {
            self.say(&Message::Service(ServiceMessage::Received { received, gap }), now);
        }
    }

    /// Whether the relay is one that tells of rooms.
    pub(super) fn tells_of_rooms(&self) -> bool {
        self.connection.as_ref().is_some_and(knows)
    }

    /// Whether the relay has told what the room is, or is one that does not.
    pub(super) fn is_introduced(&self) -> bool {
        let old = self.connection.as_ref().is_some_and(|open| open.is_in() && !knows(open));
        old || self.service.is_here()
    }
}

fn check_presence(
    own: &BTreeMap<String, Own>,
    (key, value): (&str, &Bytes),
    limits: &Limits,
) -> Result<(), PresenceError> {
    let others = own.iter().filter(|(other, _)| *other != key);
    let sizes: Vec<usize> = others.map(|(key, own)| key.len() + own.value.len()).collect();
    let size = sizes.iter().sum::<usize>() + key.len() + value.len();
    let limit = limits.presence.min(PresenceValue::MAX);
    if size > limit {
        return Err(PresenceError::TooLong { limit, size });
    }
    let limit = limits.presence_keys;
    if sizes.len() >= limit { Err(PresenceError::TooMany { limit }) } else { Ok(()) }
}

fn line<const MAX: usize>(text: &str) -> Result<Line<MAX>, Refusal> {
    rooms::line(text).map_err(|_| Refusal::BadOpening { why: ServiceError::Unsayable })
}

/// Whether the relay of a link is one that has the room service, and has let this peer in.
fn knows(open: &Connection) -> bool {
    matches!(open.stage, Stage::Loading | Stage::Ready) && minor(open) >= SERVICE_SINCE
}

/// The minor version that the relay of a link speaks, once it has said so.
fn minor(open: &Connection) -> u16 {
    open.theirs.as_ref().map_or(0, |hello| hello.version.minor)
}

fn unsupported(open: &Connection) -> RequestError {
    let relay = open.theirs.as_ref().map_or(Version::CURRENT, |hello| hello.version);
    RequestError::Unsupported { relay }
}
