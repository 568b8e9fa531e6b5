//! What a room is at a relay, beside its documents: who may come in, and who may change that.

mod image;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(super) use self::image::RecordImage;
use super::seats::Seats;
use crate::proto::config::ServiceConfig;
use crate::proto::id::{PeerId, RoomName};
use crate::proto::proof::PasswordKey;
use crate::proto::reason::{Refusal, Right, ServiceError};
use crate::proto::service::{Code, Door, Group, Invite, Policy};
use crate::proto::time::Time;
use crate::proto::wire::bounded::{Line, List};
use crate::proto::wire::message::{
    AnswerRecord, CardRecord, FactRecord, OpeningRecord, RequestRecord, RoomRecord,
};
use crate::proto::wire::rooms;

/// One room's record.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) seats: Seats,
    capacity: u32,
    listed: bool,
    policy: Policy,
    description: String,
    data: BTreeMap<String, String>,
    password: Option<PasswordKey>,
    group: Option<(Group, Code)>,
    owner: Option<PeerId>,
    /// Who was inside when it was locked, if it is.
    locked: Option<BTreeSet<PeerId>>,
    /// Who is kept out, and until when.
    bans: BTreeMap<PeerId, Time>,
    invites: BTreeMap<Invite, Good>,
    /// Whether anything was ever said of it.
    blank: bool,
}

/// What an invite is good for.
#[derive(Clone, Copy, Debug)]
struct Good {
    peer: Option<PeerId>,
    uses: u32,
    until: Time,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    pub(super) peer: PeerId,
    /// Whether it moderates every room, whoever owns it.
    pub(super) moderates: bool,
}

/// With what somebody comes to the door.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) who: Asker,
    /// Whether it was in the room before.
    pub(super) familiar: bool,
    /// Whether it would open the room.
    pub(super) creates: bool,
    pub(super) invite: Option<Invite>,
}

/// What a request has done.
pub(super) struct Done {
    pub(super) answer: AnswerRecord,
    /// What is another now, for everybody.
    pub(super) fact: Option<FactRecord>,
}

impl From<FactRecord> for Done {
    fn from(fact: FactRecord) -> Self {
        Self { answer: AnswerRecord::Done, fact: Some(fact) }
    }
}

impl Record {
    /// The record of a room of which nothing is said but how many it takes.
    pub(super) const fn new(capacity: u32) -> Self {
        Self {
            seats: Seats::new(),
            capacity,
            listed: false,
            policy: Policy::Everyone,
            description: String::new(),
            data: BTreeMap::new(),
            password: None,
            group: None,
            owner: None,
            locked: None,
            bans: BTreeMap::new(),
            invites: BTreeMap::new(),
            blank: true,
        }
    }

    /// The record of a room that is opened like this.
    pub(super) fn open(
        opening: &OpeningRecord,
        (config, members): (&ServiceConfig, u32),
    ) -> Result<Self, ServiceError> {
        let capacity = if opening.capacity == 0 { members } else { opening.capacity };
        check_range(capacity, members)?;
        check_length(&opening.description, config.description)?;
        let mut record = Self {
            listed: opening.listed,
            policy: opening.policy,
            description: opening.description.to_string(),
            password: opening.password.map(PasswordKey),
            blank: *opening == OpeningRecord::default(),
            ..Self::new(capacity)
        };
        for (key, value) in opening.data.iter() {
            record.put(key, Some(value), config)?;
        }
        Ok(record)
    }

    /// The record of a new room of a group.
    pub(super) fn of_group(group: Group, code: Code, capacity: u32) -> Self {
        Self { group: Some((group, code)), ..Self::new(capacity) }
    }

    /// Whether nothing was ever said of it.
    pub(super) const fn is_blank(&self) -> bool {
        self.blank
    }

    pub(super) const fn capacity(&self) -> u32 {
        self.capacity
    }

    pub(super) const fn group(&self) -> Option<&(Group, Code)> {
        self.group.as_ref()
    }

    /// Whether somebody may come in, as far as that is not a matter of how many are there.
    pub(super) fn lets_in(
        &self,
        caller: &Caller,
        knows: impl FnOnce(PasswordKey) -> bool,
        now: Time,
    ) -> Result<(), Refusal> {
        let peer = caller.who.peer;
        if let Some(until) = self.bans.get(&peer).filter(|until| **until > now) {
            return Err(Refusal::Banned { retry_after_s: rooms::seconds(*until - now) });
        }
        if self.seats.is_back(peer) || caller.who.moderates {
            return Ok(());
        }
        let unknown = if caller.creates { None } else { Some(Refusal::NoSuchRoom) };
        match self.policy {
            Policy::Invited if !caller.familiar && !self.is_invited(caller, now) => {
                return Err(unknown.unwrap_or(Refusal::NotInvited));
            }
            Policy::Nobody if !caller.familiar => return Err(unknown.unwrap_or(Refusal::Locked)),
            Policy::Everyone | Policy::Invited | Policy::Nobody => {}
        }
        if self.locked.as_ref().is_some_and(|inside| !inside.contains(&peer)) {
            return Err(Refusal::Locked);
        }
        if self.password.is_some_and(|password| !knows(password)) {
            return Err(Refusal::WrongPassword);
        }
        Ok(())
    }

    fn is_invited(&self, caller: &Caller, now: Time) -> bool {
        let good = caller.invite.and_then(|invite| self.invites.get(&invite));
        good.is_some_and(|good| {
            good.until > now && good.peer.is_none_or(|peer| peer == caller.who.peer)
        })
    }

    /// Somebody is in. Returns whether it is the owner now.
    pub(super) fn enter(&mut self, caller: &Caller, now: Time) -> bool {
        let needs = self.policy == Policy::Invited
            && !caller.familiar
            && !caller.who.moderates
            && !self.seats.is_back(caller.who.peer);
        if needs
            && self.is_invited(caller, now)
            && let Some(invite) = caller.invite
            && let Some(good) = self.invites.get_mut(&invite)
        {
            good.uses -= 1;
            if good.uses == 0 {
                self.invites.remove(&invite);
            }
        }
        self.seats.enter(caller.who.peer);
        // A room of a group is one once somebody is there.
        self.blank &= self.group.is_none();
        let owns = self.owner.is_none();
        if owns {
            self.owner = Some(caller.who.peer);
        }
        owns
    }

    /// Somebody is gone, for good or until a time. Returns who owns the room now, if that is another.
    pub(super) fn part(&mut self, peer: PeerId, until: Option<Time>) -> Option<FactRecord> {
        self.seats.part(peer, until);
        self.succeed()
    }

    /// Lets everything go whose time is over. Returns who owns the room now, if that is another.
    pub(super) fn expire(&mut self, now: Time) -> Option<FactRecord> {
        self.seats.expire(now);
        self.tidy(now);
        self.succeed()
    }

    fn tidy(&mut self, now: Time) {
        self.bans.retain(|_, until| *until > now);
        self.invites.retain(|_, good| good.until > now);
    }

    /// Who is there longest follows an owner that is gone.
    fn succeed(&mut self) -> Option<FactRecord> {
        let owner = self.owner?;
        if self.seats.is_back(owner) {
            return None;
        }
        self.owner = self.seats.oldest();
        Some(FactRecord::Owner(self.owner))
    }

    /// Whether somebody may know that there is this room, without being told its name by another.
    pub(super) fn is_known_to(&self, peer: PeerId) -> bool {
        self.listed || self.seats.has(peer)
    }

    /// Whether somebody who knows the name may know more.
    pub(super) fn is_shown_to(&self, peer: PeerId, familiar: bool) -> bool {
        self.is_known_to(peer) || familiar || self.policy == Policy::Everyone
    }

    /// How it is at the door.
    pub(super) fn door(&self, caller: &Caller, now: Time) -> Door {
        let mut asked = false;
        let knows = |_| {
            asked = true;
            true
        };
        match self.lets_in(caller, knows, now) {
            _ if self.seats.is_there(caller.who.peer) => Door::Inside,
            Ok(()) if !self.seats.has_place(caller.who.peer, self.capacity) => Door::Full,
            Ok(()) if asked => Door::Password,
            Ok(()) => Door::Open,
            Err(Refusal::Banned { .. }) => Door::Banned,
            Err(_) if self.policy == Policy::Invited && self.locked.is_none() => Door::Invited,
            Err(_) => Door::Closed,
        }
    }

    /// All of it.
    pub(super) fn record(&self, name: &RoomName, members: usize) -> RoomRecord {
        let text = |(key, value): (&String, &String)| {
            (
                Line::new(key.as_str()).unwrap_or_default(),
                Line::new(value.as_str()).unwrap_or_default(),
            )
        };
        RoomRecord {
            name: Line::new(name.as_str()).unwrap_or_default(),
            members: u32::try_from(members).unwrap_or(u32::MAX),
            capacity: self.capacity,
            owner: self.owner,
            listed: self.listed,
            locked: self.locked.is_some(),
            password: self.password.is_some(),
            policy: self.policy,
            group: self
                .group
                .as_ref()
                .map(|(group, code)| (Line::new(group.as_str()).unwrap_or_default(), *code)),
            description: Line::new(self.description.as_str()).unwrap_or_default(),
            data: List::of(self.data.iter().map(text)),
        }
    }

    /// What a list has of it.
    pub(super) fn card(&self, name: &RoomName, members: usize, door: Door) -> CardRecord {
        CardRecord {
            name: Line::new(name.as_str()).unwrap_or_default(),
            members: u32::try_from(members).unwrap_or(u32::MAX),
            capacity: self.capacity,
            description: Line::new(self.description.as_str()).unwrap_or_default(),
            door,
        }
    }

    /// Does what somebody asks of its room that may; but what is another matter than this record's does
    /// nothing.
    pub(super) fn change(
        &mut self,
        asker: Asker,
        request: RequestRecord,
        (config, members, now): (&ServiceConfig, u32, Time),
        draw: impl FnOnce() -> Invite,
    ) -> Result<Done, ServiceError> {
        self.tidy(now);
        let done = match request {
            RequestRecord::Describe(description) => {
                check_length(&description, config.description)?;
                self.description = description.to_string();
                FactRecord::Description(description).into()
            }
            RequestRecord::Put(key, value) => {
                self.put(&key, value.as_deref(), config)?;
                FactRecord::Data(key, value).into()
            }
            RequestRecord::Capacity(capacity) => {
                check_range(capacity, members)?;
                self.capacity = capacity;
                FactRecord::Capacity(capacity).into()
            }
            RequestRecord::Listed(listed) => {
                self.listed = listed;
                FactRecord::Listed(listed).into()
            }
            RequestRecord::Lock(lock) => {
                self.locked = lock.then(|| self.seats.all().collect());
                FactRecord::Locked(lock).into()
            }
            RequestRecord::Policy(policy) => {
                self.policy = policy;
                FactRecord::Policy(policy).into()
            }
            RequestRecord::Password(password) => {
                self.password = password.map(PasswordKey);
                FactRecord::Password(password.is_some()).into()
            }
            RequestRecord::HandOver(peer) => self.hand_over(peer)?,
            RequestRecord::Kick(peer, seconds) => {
                self.ban(asker, peer, (seconds.min(config.ban_s), config.bans), now)?
            }
            RequestRecord::Pardon(peer) => self.pardon(peer)?,
            RequestRecord::Invite(peer, uses, seconds) => {
                let good =
                    Good { peer, uses, until: now + seconds_of(seconds.min(config.invite_s)) };
                self.invite(good, draw(), config.invites)?
            }
            RequestRecord::Withdraw(invite) => {
                self.invites.remove(&invite).ok_or(ServiceError::NoSuchInvite)?;
                AnswerRecord::Done.into()
            }
            RequestRecord::Silence(peer, silenced) => {
                // Who comes back may be let speak before.
                if silenced && !self.seats.has(peer) {
                    return Err(ServiceError::NotMember { peer });
                }
                return Ok(AnswerRecord::Done.into());
            }
            RequestRecord::List { .. }
            | RequestRecord::Find(_)
            | RequestRecord::Peek(_)
            | RequestRecord::Match(..)
            | RequestRecord::Renew(_) => AnswerRecord::Done.into(),
        };
        self.blank = false;
        Ok(done)
    }

    /// Whether a member may ask for something.
    pub(super) fn may(&self, asker: Asker, request: &RequestRecord) -> Result<(), ServiceError> {
        let owns = self.owner == Some(asker.peer);
        if owns {
            return Ok(());
        }
        if matches!(request, RequestRecord::HandOver(_)) {
            return Err(ServiceError::NotAllowed { who: Right::Owner });
        }
        let moderates = asker.moderates;
        if moderates { Ok(()) } else { Err(ServiceError::NotAllowed { who: Right::Moderator }) }
    }

    fn put(
        &mut self,
        key: &str,
        value: Option<&str>,
        config: &ServiceConfig,
    ) -> Result<(), ServiceError> {
        let Some(value) = value else {
            self.data.remove(key);
            return Ok(());
        };
        check_length(key, config.key)?;
        check_length(value, config.value)?;
        if self.data.len() >= config.keys && !self.data.contains_key(key) {
            return Err(ServiceError::TooMany { limit: count(config.keys) });
        }
        let others = self.data.iter().filter(|(other, _)| *other != key);
        let bytes: usize = others.map(|(key, value)| key.len() + value.len()).sum();
        check_total(bytes + key.len() + value.len(), config.data)?;
        self.data.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    fn hand_over(&mut self, peer: PeerId) -> Result<Done, ServiceError> {
        if !self.seats.is_there(peer) {
            return Err(ServiceError::NotMember { peer });
        }
        if self.owner == Some(peer) {
            return Err(ServiceError::AlreadyOwner { peer });
        }
        self.owner = Some(peer);
        Ok(FactRecord::Owner(self.owner).into())
    }

    fn ban(
        &mut self,
        asker: Asker,
        peer: PeerId,
        (seconds, most): (u32, usize),
        now: Time,
    ) -> Result<Done, ServiceError> {
        if peer == asker.peer {
            return Err(ServiceError::Oneself);
        }
        if !self.seats.is_back(peer) {
            return Err(ServiceError::NotMember { peer });
        }
        if self.bans.len() >= most && !self.bans.contains_key(&peer) {
            return Err(ServiceError::TooMany { limit: count(most) });
        }
        self.bans.insert(peer, now + seconds_of(seconds));
        if let Some(inside) = &mut self.locked {
            inside.remove(&peer);
        }
        Ok(AnswerRecord::Done.into())
    }

    fn pardon(&mut self, peer: PeerId) -> Result<Done, ServiceError> {
        self.bans.remove(&peer).ok_or(ServiceError::NotBanned { peer })?;
        Ok(AnswerRecord::Done.into())
    }

    fn invite(&mut self, good: Good, drawn: Invite, most: usize) -> Result<Done, ServiceError> {
        check_range(good.uses, u32::MAX)?;
        if self.invites.len() >= most {
            return Err(ServiceError::TooMany { limit: count(most) });
        }
        self.invites.insert(drawn, good);
        Ok(AnswerRecord::Invite(drawn).into())
    }
}

impl From<AnswerRecord> for Done {
    fn from(answer: AnswerRecord) -> Self {
        Self { answer, fact: None }
    }
}

fn check_length(text: &str, limit: usize) -> Result<(), ServiceError> {
    check_total(text.len(), limit)
}

fn check_total(size: usize, limit: usize) -> Result<(), ServiceError> {
    let (limit, size) = (count(limit), count(size));
    if size > limit { Err(ServiceError::TooLong { limit, size }) } else { Ok(()) }
}

fn check_range(number: u32, limit: u32) -> Result<(), ServiceError> {
    let good = (1..=limit).contains(&number);
    if good { Ok(()) } else { Err(ServiceError::OutOfRange { limit, number }) }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn seconds_of(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}
