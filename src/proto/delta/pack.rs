//! One direction of one document on one link, at its writer: tokens to records.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::operation::{self, Pen, Terms};
use super::order::Order;
use super::record::{APART, Follows, Kind, OWN, REPEATED, Record, STATED};
use super::slots::Numbers;
use super::{Member, Spoken, Token, follows_of, previous_of};
use crate::proto::log::{ChangeLog, Entry, Index, Origin};
use crate::proto::wire::bounded::Blob;
use crate::proto::wire::message::{BaseRecord, DeniedRecord, EntryRecord, Hash, ResumedRecord};

/// How many bytes one piece of what an epoch began with has.
const PIECE: usize = 32 << 10;

/// How many entries are sent in full at least once it was asked for.
const FULL: u64 = 16;
/// How many at most: each time that it is asked for again they are twice as many.
const MOST_FULL: u64 = 4_096;

/// What was decided of a position when it was first written. It does not depend on what has
/// happened since, so that the receiver knows the same whichever try of it arrives.
#[derive(Clone, Copy, Debug)]
enum Plan {
    /// An entry as it is.
    Entry { apart: bool },
    /// The place of a change of the receiver's.
    Placed { sequence: u64, stated: bool },
    /// A change: what its author has seen, and had seen with its previous change.
    Change { follows: Follows, from: u64, seen: u64, stated: bool },
}

/// The writer.
#[derive(Clone, Debug)]
pub struct Packer {
    /// Whether its positions are the order: the relay's are.
    leads: bool,
    member: Option<Member>,
    numbers: Numbers,
    spoken: BTreeMap<[u8; 16], Spoken>,
    /// The sequence of the last change of the receiver's that was placed.
    placed: u64,
    /// From [`Self::base`] on.
    plans: VecDeque<Plan>,
    base: u64,
    /// Positions before this are sent in full.
    full_until: u64,
    /// How many are, the next time that it is asked for.
    full: u64,
    /// What the epoch began with, where it was wanted.
    columns: Bytes,
    /// What is not let in, by the positions at which that is said.
    denied: BTreeMap<u64, DeniedRecord>,
}

impl Packer {
    /// A writer at position 0; `leads` at a relay.
    #[must_use]
    pub fn new(leads: bool) -> Self {
        Self {
            leads,
            member: None,
            numbers: Numbers::default(),
            spoken: BTreeMap::new(),
            placed: 0,
            plans: VecDeque::new(),
            base: 0,
            full_until: 0,
            full: FULL,
            columns: Bytes::new(),
            denied: BTreeMap::new(),
        }
    }

    /// Says who the link's member is: before anything is written.
    pub const fn set_member(&mut self, member: Member) {
        self.member = Some(member);
    }

    /// Positions before this one have arrived.
    pub fn acknowledge(&mut self, base: u64) {
        while self.base < base && self.plans.pop_front().is_some() {
            self.base = self.base.saturating_add(1);
        }
        self.denied = self.denied.split_off(&base);
    }

    /// Keeps what is said at a position that is still to be pushed, for [`Token::Denied`].
    pub fn set_denied(&mut self, position: u64, denied: DeniedRecord) {
        self.denied.insert(position, denied);
    }

    /// Positions from this one on will be written again.
    pub fn go_back(&mut self, position: u64) {
        self.numbers.go_back(position);
    }

    /// The receiver wants what it lacks in full, from a position on; `end` is the first that nobody
    /// waits for. Returns whether it does not get that already.
    pub fn say_in_full(&mut self, position: u64, end: u64) -> bool {
        let news = position >= self.full_until;
        if news {
            self.full_until = end.saturating_add(self.full);
            self.full = self.full.saturating_mul(2).min(MOST_FULL);
        }
        news
    }

    /// The record of a token at a position, which is one that was written before or the next.
    /// Nothing if the log does not have what it stands for.
    pub fn pack(
        &mut self,
        log: &ChangeLog,
        order: &mut Order,
        position: u64,
        token: Token,
    ) -> Option<Record> {
        let place = usize::try_from(position.checked_sub(self.base)?).ok()?;
        let plan = match self.plans.get(place) {
            Some(plan) => *plan,
            None => {
                let plan = self.plan(log, order, token)?;
                self.plans.push_back(plan);
                plan
            }
        };
        match (plan, token) {
            // From a member it is nothing, and so a record for nothing.
            (_, Token::Void) => Some(Record::new(Kind::Placed, Follows::Previous, OWN, Vec::new())),
            (Plan::Change { seen, .. }, Token::Change(index)) => {
                if position < self.full_until {
                    return full(log, index, seen);
                }
                self.strip(log, position, index, plan).or_else(|| {
                    // What it explained so far is in no record.
                    self.numbers.go_back(position);
                    full(log, index, seen)
                })
            }
            (Plan::Placed { sequence, stated }, _) => {
                let mut body = Vec::new();
                let flags = if stated { STATED } else { 0 };
                if stated {
                    super::cursor::put_number(&mut body, sequence);
                }
                Some(Record::new(Kind::Placed, Follows::Previous, OWN | flags, body))
            }
            (Plan::Entry { apart }, _) => {
                let entry = match token {
                    Token::Base(from) => self.piece(from)?,
                    Token::Denied => EntryRecord::Denied(self.denied.get(&position)?.clone()),
                    Token::Resumed => {
                        let incarnation = self.member?.introduction.incarnation;
                        EntryRecord::Resumed(ResumedRecord { incarnation })
                    }
                    Token::Change(_)
                    | Token::Placed(_)
                    | Token::Repair(_)
                    | Token::Signature(_)
                    | Token::Cut
                    | Token::Void => entry(log, token)?,
                };
                let body = postcard::to_allocvec(&entry).ok()?;
                let flags = if apart { APART } else { 0 };
                Some(Record::new(Kind::Entry, Follows::Previous, flags, body))
            }
            (Plan::Change { .. }, _) => None,
        }
    }

    fn plan(&mut self, log: &ChangeLog, order: &mut Order, token: Token) -> Option<Plan> {
        let (plan, index) = match token {
            Token::Change(index) => (self.plan_change(log, order, index)?, Some(index)),
            Token::Placed(index) => {
                let sequence = log.entry(index)?.sequence;
                let stated = sequence != self.placed.saturating_add(1);
                self.placed = sequence;
                (Plan::Placed { sequence, stated }, Some(index))
            }
            Token::Repair(_)
            | Token::Cut
            | Token::Base(_)
            | Token::Void
            | Token::Denied
            | Token::Resumed => (Plan::Entry { apart: true }, None),
            Token::Signature(actor) => {
                log.author(&actor)?.signature.as_ref()?;
                (Plan::Entry { apart: true }, None)
            }
        };
        if self.leads {
            let deps = index.map(|index| follows_of(log, index)).unwrap_or_default();
            order.place(index, deps);
            if token == Token::Cut {
                order.renew();
            }
        }
        Some(plan)
    }

    /// A piece of what the epoch began with.
    fn piece(&self, from: usize) -> Option<EntryRecord> {
        let end = from.saturating_add(PIECE).min(self.columns.len());
        let bytes = Blob::new(self.columns.slice(from..end))?;
        let left = self.columns.len().saturating_sub(end) as u64;
        Some(EntryRecord::Base(BaseRecord { left, bytes }))
    }

    /// What is sent in pieces of what the epoch began with. Returns where each begins.
    pub fn set_columns(&mut self, columns: Bytes) -> impl Iterator<Item = usize> + use<> {
        let length = columns.len().max(1);
        self.columns = columns;
        (0..length).step_by(PIECE)
    }

    fn plan_change(&mut self, log: &ChangeLog, order: &Order, index: Index) -> Option<Plan> {
        let entry = log.entry(index)?;
        let own = self.member.is_some_and(|member| member.actor == entry.actor);
        match &log.author(&entry.actor)?.origin {
            // What others wrote waits at a relay for their word: it is not in its log to build on.
            Origin::Peer(_) if self.leads || own => {}
            Origin::Peer(_) | Origin::WellKnown(_) | Origin::Base => {
                return Some(Plan::Entry { apart: false });
            }
        }
        let before = self.spoken.get(&entry.actor);
        let before = before.filter(|spoken| spoken.sequence.checked_add(1) == Some(entry.sequence));
        let (from, stated) = (before.map_or(0, |spoken| spoken.seen), before.is_none());
        let previous = previous_of(log, &entry.actor, entry.sequence);
        let (follows, seen) = follows(log, order, entry, previous, from);
        self.spoken.insert(entry.actor, Spoken { sequence: entry.sequence, seen });
        Some(Plan::Change { follows, from, seen, stated })
    }

    /// A change without what the log says.
    fn strip(
        &mut self,
        log: &ChangeLog,
        position: u64,
        index: Index,
        plan: Plan,
    ) -> Option<Record> {
        let Plan::Change { follows, from, seen, stated } = plan else {
            return None;
        };
        let (entry, change) = (log.entry(index)?, log.change(index)?);
        let previous = previous_of(log, &entry.actor, entry.sequence);
        let previous = previous.and_then(|previous| log.change(previous));
        let own = self.member.is_some_and(|member| member.actor == entry.actor);
        let mut flags = if own { OWN } else { 0 } | if stated { STATED } else { 0 };
        let mut pen = Pen { out: Vec::new(), numbers: &mut self.numbers, position };
        if stated {
            pen.number(change.sequence);
        }
        match &log.author(&entry.actor)?.origin {
            _ if own => {}
            Origin::Peer(introduction) if stated && change.sequence == 1 => {
                let (slot, _) = pen.numbers.number(&entry.actor);
                pen.number(slot);
                pen.out.extend_from_slice(introduction.peer.as_bytes());
                pen.number(introduction.incarnation);
                pen.numbers.explained(position, &entry.actor);
            }
            Origin::Peer(_) | Origin::WellKnown(_) | Origin::Base => pen.mention(&entry.actor),
        }
        match follows {
            Follows::Previous => {}
            Follows::Seen => pen.number(seen.checked_sub(from)?),
            Follows::Listed => {
                pen.number(seen.checked_sub(from)?);
                list(&mut pen, log, &change.deps)?;
            }
        }
        pen.out.extend(entry.hash.first());
        if previous
            .as_ref()
            .is_some_and(|previous| operation::put_repeated(&mut pen, previous, &change.operations))
        {
            flags |= REPEATED;
        } else {
            let terms = Terms {
                log,
                author: change.actor,
                sequence: change.sequence,
                start: change.start,
                previous: previous.as_ref(),
            };
            operation::put(&mut pen, &terms, &change.operations)?;
        }
        Some(Record::new(Kind::Stripped, follows, flags, pen.out))
    }
}

/// How to say what a change follows, and which positions its author has seen.
fn follows(
    log: &ChangeLog,
    order: &Order,
    entry: &Entry,
    previous: Option<Index>,
    from: u64,
) -> (Follows, u64) {
    let mut others = entry.deps().filter(|dep| Some(*dep) != previous).peekable();
    if others.peek().is_none() {
        return (Follows::Previous, from);
    }
    // Up to the last of what it follows: what its author has seen behind that, it follows too.
    let seen = others.filter_map(|dep| order.position(dep)?.checked_add(1)).fold(from, u64::max);
    let predicted = order.is_near(from)
        && order
            .predict(log, (&entry.actor, previous), (from, seen))
            .is_some_and(|deps| deps.into_iter().map(|(_, dep)| dep).eq(entry.deps()));
    (if predicted { Follows::Seen } else { Follows::Listed }, seen)
}

fn list(pen: &mut Pen<'_>, log: &ChangeLog, deps: &[Hash]) -> Option<()> {
    pen.number(deps.len() as u64);
    for dep in deps {
        let entry = log.entry(log.position(dep)?)?;
        pen.mention(&entry.actor);
        pen.number(entry.sequence);
    }
    Some(())
}

/// A change with all its bytes.
fn full(log: &ChangeLog, index: Index, seen: u64) -> Option<Record> {
    let mut body = Vec::new();
    super::cursor::put_number(&mut body, seen);
    body.extend(postcard::to_allocvec(&log.record(index)?).ok()?);
    Some(Record::new(Kind::Full, Follows::Previous, 0, body))
}

fn entry(log: &ChangeLog, token: Token) -> Option<EntryRecord> {
    match token {
        Token::Change(index) | Token::Placed(index) | Token::Repair(index) => log.record(index),
        Token::Signature(actor) => log.author(&actor)?.signature.clone().map(EntryRecord::Signed),
        Token::Cut => Some(EntryRecord::Cut(log.cut_record())),
        Token::Base(_) | Token::Void | Token::Denied | Token::Resumed => None,
    }
}
