//! What a peer may do in an application's rooms: everything but to moderate, where no tokens are asked
//! for, and else what its token says, for as long as that is good.

use std::time::Duration;

use super::Hub;
use super::guest::Stage;
use crate::proto::id::{AppId, Link, PeerId, RoomName};
use crate::proto::reason::{Refusal, ServiceError};
use crate::proto::time::Time;
use crate::proto::token::{Claims, Role, Roles, TokenFault, TokenRing};
use crate::proto::wire::message::{AnswerRecord, Told};

/// What a guest may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    roles: Roles,
    /// What the application's server said, where it is asked.
    said: Option<Roles>,
    token: Option<Token>,
    speech: Option<Speech>,
}

/// Until when a guest may speak, where that is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Speech {
    /// When it is told that this ends, unless it was.
    warns: Option<Time>,
    ends: Time,
    /// Whether what it says is known to be over.
    over: bool,
}

/// The token that a guest may do it by.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    claims: Claims,
    /// When its bearer is told to bring another, unless it was.
    warns: Option<Time>,
    ends: Time,
}

impl Pass {
    /// What everybody may who knows the app key, where that is enough.
    pub(super) const fn of_key() -> Self {
        let roles = Roles::NONE.with(Role::Join).with(Role::Write).with(Role::Speak);
        Self { roles, said: None, token: None, speech: None }
    }

    /// What is left of it by the word of the application's server, if that says roles: those, and of a
    /// token's only those.
    pub(super) fn limited(self, roles: Option<Roles>) -> Self {
        let Some(said) = roles else { return self };
        let has = |role: &Role| self.token.is_none() || self.roles.has(*role);
        Self { roles: said.iter().filter(has).collect(), said: roles, ..self }
    }

    pub(super) const fn joins(&self) -> bool {
        self.roles.has(Role::Join)
    }

    pub(super) const fn writes(&self) -> bool {
        self.roles.has(Role::Write)
    }

    /// Whether its bearer may speak.
    pub(super) fn speaks(&self, now: Time) -> bool {
        self.roles.has(Role::Speak) && self.speech.is_none_or(|speech| now < speech.ends)
    }

    /// For how long its bearer may speak yet, once it is time to say so.
    pub(super) fn take_warning(&mut self, now: Time) -> Option<Duration> {
        let speech = self.speech.as_mut()?;
        speech.over |= speech.ends <= now;
        speech.warns.take_if(|warns| *warns <= now)?;
        let left = speech.ends - now;
        (!left.is_zero()).then_some(left)
    }

    pub(super) const fn moderates(&self) -> bool {
        self.roles.has(Role::Moderate)
    }

    /// How many signals are taken of it in a second, of so many that others may give.
    pub(super) fn signals(&self, others: u32) -> u32 {
        let limit = self.token.as_ref().and_then(|token| token.claims.limits.signals_per_second);
        limit.map_or(others, |limit| limit.min(others))
    }

    /// How many bytes of frames are taken of it in a second, if that is limited.
    pub(super) fn bytes_per_second(&self) -> Option<u32> {
        self.token.as_ref()?.claims.limits.bytes_per_second
    }

    /// When its bearer is to be warned, or sent away.
    pub(super) fn due(&self) -> Option<Time> {
        let speech = self.speech.filter(|speech| !speech.over);
        let speech = speech.map(|speech| speech.warns.unwrap_or(speech.ends));
        let token = self.token.as_ref().map(|token| token.warns.unwrap_or(token.ends));
        token.into_iter().chain(speech).min()
    }
}

impl Hub {
    /// Lets nobody into the rooms of an application from now on without a token that `ring` takes. Who
    /// is in without one stays.
    pub fn require_tokens(&mut self, app: AppId, ring: TokenRing) {
        self.tokens.insert(app, ring);
    }

    /// The keys of an application's tokens and what is revoked, to be changed. Who is in by a token that
    /// is revoked is sent away within a second or so; by one of a key that is retired it stays until the
    /// token ends, and does not come back.
    pub fn tokens_mut(&mut self, app: AppId) -> Option<&mut TokenRing> {
        self.tokens.get_mut(&app)
    }

    /// What a peer may do that comes with a token, or without.
    pub(super) fn pass(
        &self,
        (app, peer): (AppId, PeerId),
        room: Option<&RoomName>,
        token: Option<&str>,
        now: Time,
    ) -> Result<Pass, TokenFault> {
        let Some(ring) = self.tokens.get(&app) else { return Ok(Pass::of_key()) };
        let token = token.ok_or(TokenFault::Missing)?;
        let seconds = self.room_time(now) / 1_000_000;
        let claims = ring.verify(token, app, peer, room, seconds)?;
        let config = ring.config();
        let (warns, ends) = (config.warns(claims.expires), config.ends(claims.expires));
        let (warns, ends) = (self.time_of(warns).max(now), self.time_of(ends));
        let roles = claims.roles;
        let until = claims.limits.speak_until.filter(|_| roles.has(Role::Speak));
        let speech = until.map(|until| {
            let (ends, warning) = (self.time_of(until), self.config.voice.warning);
            let warns = Time::ZERO + ends.since(Time::ZERO + warning);
            Speech { warns: Some(warns), ends, over: false }
        });
        let token = Some(Token { claims, warns: Some(warns), ends });
        Ok(Pass { roles, said: None, token, speech })
    }

    /// When it is so late, by the relay's clock.
    fn time_of(&self, seconds: u64) -> Time {
        Time::from_micros(seconds.saturating_mul(1_000_000).saturating_sub(self.epoch))
    }

    /// A member, or who came to ask, brings another token.
    pub(super) fn renew(
        &mut self,
        now: Time,
        link: Link,
        token: &str,
    ) -> Result<AnswerRecord, ServiceError> {
        let guest = self.guests.get(&link).ok_or(ServiceError::NotInRoom)?;
        let app = guest.app().ok_or(ServiceError::NotInRoom)?;
        let room = match &guest.stage {
            Stage::Member { room, .. } => Some(room.1.clone()),
            Stage::Greeting | Stage::Greeted(_) | Stage::Waiting(..) | Stage::Visitor { .. } => {
                None
            }
        };
        let pass = self.pass((app, guest.peer), room.as_ref(), Some(token), now);
        let pass = pass.map_err(|why| ServiceError::Token { why })?;
        if let Some(guest) = self.guests.get_mut(&link) {
            guest.pass = pass.limited(guest.pass.said);
            guest.forgive(now);
        }
        self.check_voice(now, link);
        Ok(AnswerRecord::Done)
    }

    /// Warns a guest whose token is about to end, and sends one away whose token is not good any more.
    /// Returns whether it may stay.
    pub(super) fn check_pass(&mut self, now: Time, link: Link) -> bool {
        let seconds = self.room_time(now) / 1_000_000;
        let Some(guest) = self.guests.get_mut(&link) else { return false };
        let ring = guest.app().and_then(|app| self.tokens.get(&app));
        let (Some(token), Some(ring)) = (&mut guest.pass.token, ring) else { return true };
        let fault = ring.check(&token.claims, seconds).err();
        if let Some(why) = fault {
            self.refuse(link, Refusal::Token { why }, now);
            return false;
        }
        let left = token.ends - now;
        if token.warns.take_if(|warns| *warns <= now).is_some() {
            let seconds = u32::try_from(left.as_secs()).unwrap_or(u32::MAX);
            self.tell_one(link, Told::Expires { seconds }, now);
        }
        true
    }
}
