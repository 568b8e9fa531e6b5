//! The door of a relay: what a peer has with it, whether its room lets it in, and what the application's
//! own server says, where it is asked.

use std::time::Duration;

use super::Hub;
use super::admission::Pass;
use super::guest::{Guest, Question, Stage};
use super::record::{Asker, Caller, Record};
use crate::proto::authorisation::{self, Verdict};
use crate::proto::event::Effect;
use crate::proto::id::{AppId, ClientNumber, Lane, Link, PeerId, RoomKey, RoomName};
use crate::proto::proof::{self, PasswordKey, Side};
use crate::proto::reason::{Refusal, Version};
use crate::proto::time::Time;
use crate::proto::wire::message::{Enter, Hello, Join, MemberRecord, OpeningRecord};

/// How long who joins a room waits that another is just bringing back.
pub(super) const RESTORING_MS: u32 = 250;

/// Somebody whose credentials are good, on the way into a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Knock {
    hello: Hello,
    enter: Enter,
    room: RoomKey,
    /// That the relay knows the app key.
    proof: [u8; 32],
    pass: Pass,
    /// How long it waits at most.
    until: Time,
    /// Whether nobody is left to be asked about it.
    is_allowed: bool,
    /// Whether it was looked for what is kept of the room.
    has_looked: bool,
}

/// What somebody waits for at the door.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Awaited {
    /// What the application's server says.
    Verdict,
    /// What is kept of the room, or that a cut in it is kept.
    Room,
}

impl Knock {
    pub(super) const fn until(&self) -> Time {
        self.until
    }

    pub(super) const fn room(&self) -> &RoomKey {
        &self.room
    }

    /// Whether what is kept of its room is here, if anything.
    pub(super) fn looked(self, has_looked: bool) -> Self {
        Self { has_looked, ..self }
    }
}

impl Hub {
    /// Lets nobody into the rooms of an application from now on about whom its server was not asked
    /// ([`Effect::Authorise`]). Who is in stays.
    pub fn ask_at_the_door(&mut self, app: AppId) {
        self.asked.insert(app);
    }

    pub(super) fn on_hello(&mut self, now: Time, link: Link, hello: Hello) {
        let (peer, relay) = (hello.version, Version::CURRENT);
        if peer.major != relay.major {
            self.refuse(link, Refusal::VersionMismatch { peer, relay }, now);
            return;
        }
        if !self.keys.contains_key(&hello.app) {
            self.refuse(link, Refusal::UnknownApp, now);
            return;
        }
        let Some(guest) = self.guests.get_mut(&link) else {
            return;
        };
        match guest.stage {
            Stage::Greeting => {
                guest.minor = hello.version.minor;
                guest.stage = Stage::Greeted(hello);
            }
            // Said again: ours was lost.
            Stage::Greeted(_) => {
                if self.may_ask(link, Question::Welcome, now) {
                    self.greet(link, now);
                }
            }
            Stage::Waiting(..) | Stage::Visitor { .. } | Stage::Member { .. } => {}
        }
    }

    pub(super) fn on_enter(&mut self, now: Time, link: Link, enter: &Enter) {
        let Some(guest) = self.guests.get(&link) else {
            return;
        };
        let hello = match &guest.stage {
            Stage::Greeted(hello) => hello.clone(),
            // Said again: the answer was lost.
            Stage::Member { .. } => {
                let welcome = guest.welcome.clone();
                let reads = guest.outstanding[Lane::Control as usize] == 0;
                if reads && self.may_ask(link, Question::Welcome, now) {
                    welcome.iter().for_each(|message| self.say(link, message));
                }
                return;
            }
            // An answer is on its way.
            Stage::Waiting(..) => return,
            Stage::Greeting | Stage::Visitor { .. } => return,
        };
        let peer = guest.peer;
        if let Err(refusal) = self.admit(now, link, hello, enter) {
            tracing::debug!(?peer, %refusal, "join refused");
            self.refuse(link, refusal, now);
        }
    }

    fn admit(&mut self, now: Time, link: Link, hello: Hello, enter: &Enter) -> Result<(), Refusal> {
        let guest = self.guests.get(&link).ok_or(Refusal::BadMessage)?;
        let (pass, proof) = self.credentials(now, guest, &hello, enter)?;
        let name = RoomName::new(&enter.join.room).map_err(|_| Refusal::BadMessage)?;
        let peer = guest.peer;
        self.count_join(peer, now)?;
        let (room, enter) = ((hello.app, name), enter.clone());
        let until = now + self.config.authorise;
        let is_allowed = !self.asked.contains(&room.0);
        let knock = Knock { hello, enter, room, proof, pass, until, is_allowed, has_looked: false };
        self.come(now, link, knock)
    }

    /// Somebody goes on at the door: the room is looked for, then its terms, and whom it does not let in
    /// anyway, nobody is asked about.
    pub(super) fn come(&mut self, now: Time, link: Link, knock: Knock) -> Result<(), Refusal> {
        if self.is_elsewhere(&knock.room) && !knock.has_looked {
            self.fetch(link, knock);
            return Ok(());
        }
        if knock.is_allowed {
            if self.makes_wait(now, &knock.room) {
                self.wait_before_room(link, knock);
                return Ok(());
            }
            return self.let_in(now, link, knock);
        }
        let caller = self.at_door(now, link, &knock)?;
        self.ask_about(link, caller.who.peer, knock);
        Ok(())
    }

    /// What a peer may do by what it has with it, and the relay's proof that it knows the app key.
    fn credentials(
        &self,
        now: Time,
        guest: &Guest,
        hello: &Hello,
        enter: &Enter,
    ) -> Result<(Pass, [u8; 32]), Refusal> {
        let join = &enter.join;
        // A name that is not in normal form would be another room under the same name.
        let name = RoomName::new(&join.room).map_err(|_| Refusal::BadMessage)?;
        if name.as_str() != &*join.room {
            return Err(Refusal::BadMessage);
        }
        let key = self.keys.get(&hello.app).ok_or(Refusal::UnknownApp)?;
        let (pair, nonces) = ((guest.peer, self.me), (&hello.nonce, &guest.nonce));
        if !proof::proves(key, Side::Peer, pair, nonces, name.as_str(), &join.proof) {
            return Err(Refusal::UnknownApp);
        }
        check_metadata(join, self.config.limits.metadata)?;
        let pass = self.pass((hello.app, guest.peer), Some(&name), enter.token.as_deref(), now);
        let pass = pass.map_err(|why| Refusal::Token { why })?;
        Ok((pass, proof::prove(key, Side::Relay, pair, nonces, name.as_str())))
    }

    /// With what a peer comes to its room, if that lets it in as far as it is not a matter of how many
    /// are there.
    fn at_door(&self, now: Time, link: Link, knock: &Knock) -> Result<Caller, Refusal> {
        let guest = self.guests.get(&link).ok_or(Refusal::BadMessage)?;
        let peer = guest.peer;
        let enter = &knock.enter;
        let room = self.rooms.get(&knock.room);
        let familiar = room.is_some_and(|room| room.knows(peer));
        let who = Asker { peer, moderates: knock.pass.moderates() };
        let caller = Caller { who, familiar, creates: enter.create, invite: enter.invite };
        let Some(room) = room else {
            return if enter.create { Ok(caller) } else { Err(Refusal::NoSuchRoom) };
        };
        let knows = |password: PasswordKey| {
            let (key, text) = (password.secret(), knock.room.1.as_str());
            let (pair, nonces) = ((peer, self.me), (&knock.hello.nonce, &guest.nonce));
            let good = |said| proof::proves(&key, Side::Password, pair, nonces, text, said);
            enter.password.as_ref().is_some_and(good)
        };
        room.record().lets_in(&caller, knows, now)?;
        if room.is_restored() {
            return Err(Refusal::RateLimited { retry_after_ms: RESTORING_MS });
        }
        Ok(caller)
    }

    fn let_in(&mut self, now: Time, link: Link, knock: Knock) -> Result<(), Refusal> {
        let caller = self.at_door(now, link, &knock)?;
        let Knock { hello, enter, room, proof, pass, .. } = knock;
        let (peer, join) = (caller.who.peer, &enter.join);
        self.make_room(&room, (peer, link), &enter.opening, now)?;
        self.welcome_back(now, &room);
        let record = MemberRecord {
            client: ClientNumber(0),
            peer,
            metadata: join.metadata.clone(),
            schema: hello.schema,
            rejoined: false,
        };
        if let Some(guest) = self.guests.get_mut(&link) {
            guest.pass = pass;
        }
        self.enter(now, link, room.clone(), record, (proof, join));
        // What it was told may have been too much for it already.
        let is_in = self.guests.get(&link).is_some_and(|guest| guest.client().is_some());
        if is_in {
            self.enter_service(now, link, &room, &caller);
        }
        Ok(())
    }

    /// Has the application's server asked about a peer, which waits meanwhile.
    fn ask_about(&mut self, link: Link, peer: PeerId, knock: Knock) {
        let (app, room) = knock.room.clone();
        let context = knock.enter.context.to_string();
        let question = authorisation::Question { app, room, peer, context };
        self.effects.push_back(Effect::Authorise { link, question });
        if let Some(guest) = self.guests.get_mut(&link) {
            guest.stage = Stage::Waiting(Awaited::Verdict, Box::new(knock));
        }
    }

    /// The application's server has spoken, or there was no good answer. Of a peer that did not wait, or
    /// for which it comes too late, it says nothing any more.
    pub(super) fn on_authorised(&mut self, now: Time, link: Link, verdict: Option<Verdict>) {
        let Some(knock) = self.take_knock(link, Awaited::Verdict) else { return };
        let outcome = match verdict {
            None => Err(Refusal::Unanswered),
            Some(Verdict::Refused { message, context }) => {
                Err(Refusal::Unauthorised { message, context })
            }
            Some(Verdict::Allowed { roles }) => match knock.pass.clone().limited(roles) {
                // It may have been closed and kept meanwhile.
                pass if pass.joins() => {
                    let knock = Knock { pass, is_allowed: true, has_looked: false, ..knock };
                    self.come(now, link, knock)
                }
                _ => {
                    let (message, context) = (String::new(), String::new());
                    Err(Refusal::Unauthorised { message, context })
                }
            },
        };
        if let Err(refusal) = outcome {
            self.refuse(link, refusal, now);
        }
    }

    /// What a peer comes with that has waited for this.
    pub(super) fn take_knock(&mut self, link: Link, awaited: Awaited) -> Option<Knock> {
        let guest = self.guests.get_mut(&link)?;
        let knock = match &guest.stage {
            Stage::Waiting(what, knock) if *what == awaited => (**knock).clone(),
            Stage::Greeting
            | Stage::Greeted(_)
            | Stage::Waiting(..)
            | Stage::Visitor { .. }
            | Stage::Member { .. } => return None,
        };
        guest.stage = Stage::Greeted(knock.hello.clone());
        Some(knock)
    }

    /// Refuses a peer that joins too often.
    pub(super) fn count_join(&mut self, peer: PeerId, now: Time) -> Result<(), Refusal> {
        let minute = Duration::from_secs(60);
        self.joins.retain(|_, times| times.back().is_some_and(|last| *last + minute > now));
        let times = self.joins.entry(peer).or_default();
        while times.front().is_some_and(|first| *first + minute <= now) {
            times.pop_front();
        }
        if times.len() >= self.config.joins_per_minute as usize {
            let wait = times.front().map_or(minute, |first| (*first + minute) - now);
            let retry_after_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
            return Err(Refusal::RateLimited { retry_after_ms });
        }
        times.push_back(now);
        Ok(())
    }

    /// Opens the room if it is not, and makes room for a peer in it: an older link of the same peer
    /// gives way.
    fn make_room(
        &mut self,
        key: &RoomKey,
        (peer, link): (PeerId, Link),
        opening: &OpeningRecord,
        now: Time,
    ) -> Result<(), Refusal> {
        if let Some(other) = self.rooms.get(key).and_then(|room| room.link_of(peer)) {
            // Links are numbered as they come up: the newest stays, whichever asks last.
            if other > link {
                return Err(Refusal::Replaced);
            }
            self.refuse(other, Refusal::Replaced, now);
        }
        if let Some(room) = self.rooms.get(key) {
            let (record, members) = (room.record(), self.config.members);
            let limit = record.capacity();
            let full = !record.seats.has_place(peer, limit) || room.len() >= members as usize;
            return if full { Err(Refusal::RoomFull { limit }) } else { Ok(()) };
        }
        let terms = (&self.config.service, self.config.members);
        let record = Record::open(opening, terms).map_err(|why| Refusal::BadOpening { why })?;
        self.open_room(key, record, now)
    }
}

fn check_metadata(join: &Join, limit: usize) -> Result<(), Refusal> {
    let (limit, size) = (limit as u64, join.metadata.len() as u64);
    if size > limit { Err(Refusal::TooLarge { limit, size }) } else { Ok(()) }
}
