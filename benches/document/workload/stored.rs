//! W2 as a relay and two peers have it, history cut as by default: what a relay stores while one
//! integer is written 20 times a second for ten minutes, and at rest after that.

use std::collections::VecDeque;
use std::time::Duration;

use parlor::proto::base::columns;
use parlor::proto::delta::record::{self, Kind};
use parlor::proto::event::{Effect, Input};
use parlor::proto::hub::{Hub, RoomKey};
use parlor::proto::id::{DocumentId, EpochId, Lane, Link};
use parlor::proto::log::ChangeLog;
use parlor::proto::peer::{Peer, Setup};
use parlor::proto::time::Time;
use parlor::proto::wire::message::Message;
use parlor::proto::wire::{self, MAX_FRAME};
use parlor::{HubConfig, Limits, Model, PeerConfig, State};

use super::Plan;
use crate::content::{Dice, FIRST_INTEGER, Object, Value};
use crate::engine::Outcome;
use crate::engine::parlor::{Space, app_key, identity, room_name, thing};
use crate::report::{Report, Section};

/// What a frame lasts.
const FRAME: Duration = Duration::from_millis(50);
/// How long nobody writes at the end.
const REST: Duration = Duration::from_secs(60);
/// Who the relay is, of the numbers that peers have too.
const RELAY: usize = 99;
/// What the record of a signature begins with: its place among the kinds of entries.
const SIGNED: u8 = 2;
const AUTHOR: usize = 0;
const READER: usize = 1;

/// Runs it.
pub(super) fn run(plan: &Plan, report: &mut Report) -> Outcome<()> {
    let mut dice = Dice::new(plan.seed);
    let mut table = Table::new()?;
    let mut object = Object::regular(0);
    let author = &mut table.peers[AUTHOR];
    let space = author.store().root::<Space>().ok_or("the room is of another type")?.clone();
    let made = space.things.add(author.store_mut(), thing(&object))?;
    table.go_on(FRAME)?;
    let mut most = Stored::default();
    for _ in 0..plan.commits {
        let Value::Integer(value) = object.change(FIRST_INTEGER, &mut dice) else {
            return Err("no integer".into());
        };
        let (now, author) = (table.now, &mut table.peers[AUTHOR]);
        author.store_mut().update(&made, |thing| thing.integer0 = value)?;
        author.flush(now);
        table.go_on(FRAME)?;
        most = most.most(&table.stored()?);
    }
    let busy = table.cuts;
    table.go_on(REST)?;
    let rest = table.stored()?;
    let reader = table.peers[READER].store();
    if reader.get(&made).map(|thing| thing.integer0) != Some(object.integers[0]) {
        return Err("the reader holds something else".into());
    }
    let hours = plan.commits as f64 * FRAME.as_secs_f64() / 3600.0;
    let mut sheet = report.sheet("w2 integer at a relay", "parlor");
    let mut put = |metric, unit, value: f64| sheet.put(Section::Store, metric, unit, value);
    put("at most", "kB", most.all() as f64 / 1e3);
    put("at most, base", "kB", most.base as f64 / 1e3);
    put("at most, changes", "kB", most.changes as f64 / 1e3);
    put("at most, signatures", "kB", most.words as f64 / 1e3);
    put("at most, signatures kept", "kB", most.word as f64 / 1e3);
    put("at most, if only the last signature is kept", "kB", most.kept() as f64 / 1e3);
    put("at rest", "kB", rest.all() as f64 / 1e3);
    put("at rest, base", "kB", rest.base as f64 / 1e3);
    put("at rest, changes", "kB", rest.changes as f64 / 1e3);
    put("cuts", "/h", f64::from(busy) / hours);
    put("cuts at rest", "", f64::from(table.cuts - busy));
    Ok(())
}

/// What is stored of a room, in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Stored {
    /// What the epoch began with, in columns.
    base: usize,
    /// Changes since then, in the frames in which they were passed on.
    changes: usize,
    /// Signatures since then.
    words: usize,
    /// The last of them.
    word: usize,
}

impl Stored {
    const fn all(&self) -> usize {
        self.base + self.changes + self.words
    }

    const fn kept(&self) -> usize {
        self.base + self.changes + self.word
    }

    /// Whichever is more.
    const fn most(self, other: &Self) -> Self {
        if other.all() > self.all() { *other } else { self }
    }
}

/// A relay and two peers, and links that take no time.
struct Table {
    hub: Hub,
    room: RoomKey,
    peers: Vec<Peer>,
    now: Time,
    epoch: Option<EpochId>,
    cuts: u32,
    since: Stored,
}

impl Table {
    /// Both are in the room.
    fn new() -> Outcome<Self> {
        let (key, room) = (app_key()?, room_name()?);
        let hub = HubConfig::default();
        let hub = Hub::new(identity(RELAY), [key.clone()], hub, 0, [3; 32], 1);
        let peers = [AUTHOR, READER].map(|number| {
            let setup = Setup {
                identity: identity(number),
                app_key: key.clone(),
                room: room.clone(),
                metadata: Vec::new().into(),
                incarnation: 1,
                shape: Space::shape(),
            };
            Peer::new(setup, PeerConfig::default(), [number as u8; 32])
        });
        let (room, peers) = ((key.app(), room), peers.into());
        let (now, since) = (Time::ZERO, Stored::default());
        let mut table = Self { hub, room, peers, now, epoch: None, cuts: 0, since };
        for peer in &mut table.peers {
            peer.connect(Time::ZERO);
        }
        table.go_on(Duration::from_secs(2))?;
        if table.peers.iter().any(|peer| *peer.state() != State::Ready) {
            return Err("a peer is not in the room".into());
        }
        Ok(table)
    }

    fn log(&self) -> Outcome<&ChangeLog> {
        Ok(self.hub.log(&self.room, DocumentId::MODELS).ok_or("the room is gone")?)
    }

    fn stored(&self) -> Outcome<Stored> {
        let base = self.log()?.base();
        let base = if base.is_empty() { 0 } else { columns::encode(base).len() };
        Ok(Stored { base, ..self.since })
    }

    /// Lets time pass.
    fn go_on(&mut self, span: Duration) -> Outcome<()> {
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

    /// Everything that was sent arrives.
    fn settle(&mut self) -> Outcome<()> {
        loop {
            let mut effects = VecDeque::new();
            for (number, peer) in self.peers.iter_mut().enumerate() {
                while let Some(effect) = peer.poll_effect() {
                    effects.push_back((number, effect));
                }
                while peer.poll_event().is_some() {}
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
            let epoch = self.hub.log(&self.room, DocumentId::MODELS).map(|log| log.scope().epoch());
            if epoch != self.epoch {
                self.cuts += u32::from(self.epoch.is_some());
                (self.epoch, self.since) = (epoch, Stored::default());
            }
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
            Effect::Disconnect { .. } => return Err("a peer hung up".into()),
        }
        Ok(())
    }

    /// Does what the relay asks for.
    fn bring(&mut self, effect: Effect) -> Outcome<()> {
        let Effect::Send { link, lane, frame } = effect else {
            return Err("the relay hung up".into());
        };
        if lane == Lane::Document && link == Link(READER as u64) {
            self.count(&frame)?;
        }
        let number = usize::try_from(link.0)?;
        self.hub.handle(self.now, Input::Written { link, lane, bytes: frame.len() });
        self.peers[number].handle(self.now, Input::Received { link, lane, frame });
        Ok(())
    }

    /// Counts a frame that the reader gets as history.
    fn count(&mut self, frame: &[u8]) -> Outcome<()> {
        let (document, records, deflated) = match wire::decode(frame, MAX_FRAME)? {
            Message::Deltas { document, records, .. } => (document, records, false),
            Message::Bundle { document, records, .. } => (document, records, true),
            _ => return Ok(()),
        };
        if document != DocumentId::MODELS {
            return Ok(());
        }
        let mut bytes = records.into_bytes();
        if deflated {
            bytes = record::inflate(&bytes, Limits::default().inflated)?;
        }
        let signature = record::split(&bytes)?.iter().find_map(|record| {
            let signed = record.kind() == Kind::Entry && record.body.first() == Some(&SIGNED);
            signed.then(|| record.size())
        });
        self.since.words += signature.unwrap_or(0);
        self.since.word = signature.unwrap_or(self.since.word);
        self.since.changes += frame.len() - signature.unwrap_or(0).min(frame.len());
        Ok(())
    }
}
