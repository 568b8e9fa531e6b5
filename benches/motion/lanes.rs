//! Ways to tell where players are. Each takes the same ticks, and says how many bytes go out for one.

use std::collections::VecDeque;
use std::error::Error;

use automerge::transaction::Transactable;
use automerge::{AutoCommit, ROOT, ReadDoc};
use loro::awareness::EphemeralStore;
use loro::{ExportMode, LoroDoc};
use parlor::proto::state::grid::{Kind, Truth, number, parts};
use parlor::proto::state::stream::{Incoming, Outgoing};
use yrs::{Doc, Map, ReadTxn, StateVector, Transact};

use crate::trace::{Pose, ROUND, Tick};

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// One way.
pub(crate) trait Lane {
    /// Tells a tick. Returns how many bytes that takes, of all messages.
    fn tell(&mut self, tick: &Tick) -> Outcome<usize>;

    /// How many bytes the document is that has all of it, with its history; none is kept if there is
    /// no document.
    fn stored(&mut self) -> Outcome<usize> {
        Ok(0)
    }

    /// How far what the other end shows is off at most, in steps, of what this end meant; nothing for
    /// those that carry whole numbers as they are.
    fn worst(&self) -> Option<f64> {
        None
    }
}

/// A step of the grid each: centimetres and half degrees.
fn whole(pose: &Pose) -> [i64; 3] {
    #[expect(clippy::cast_possible_truncation, reason = "a field is no larger than that")]
    pose.map(|part| part.round() as i64)
}

/// Parlor's state codec; what is acknowledged is known some ticks later.
pub(crate) struct State {
    outgoing: Outgoing,
    incoming: Incoming,
    delay: u32,
    tick: u32,
    acknowledged: VecDeque<(u32, u32)>,
    worst: f64,
}

const PLACE: Kind = Kind::Vector { components: 2 };
const HEADING: Kind = Kind::Circle { steps: 720 };

impl State {
    pub(crate) fn new(delay: u32) -> Self {
        Self {
            outgoing: Outgoing::default(),
            incoming: Incoming::new(1_000),
            delay,
            tick: 0,
            acknowledged: VecDeque::new(),
            worst: 0.0,
        }
    }

    fn look(&mut self, tick: &Tick) -> Outcome<()> {
        for (entry, truth) in self.incoming.values(self.tick) {
            let Truth::Numbers(shown) = truth else { continue };
            let (player, what) = entry.name.split_once('/').ok_or("a name of ours")?;
            let Some([x, y, heading]) = tick.get(&player.parse()?) else { continue };
            let off = |shown: i64, meant: f64| (number(shown, 1.0) - meant).abs();
            let off = if what == "place" {
                off(shown[0], *x).max(off(shown[1], *y))
            } else {
                let off = off(shown[0], *heading);
                off.min(ROUND - off)
            };
            self.worst = self.worst.max(off);
        }
        Ok(())
    }
}

impl Lane for State {
    fn tell(&mut self, tick: &Tick) -> Outcome<usize> {
        self.tick += 1;
        for (player, [x, y, heading]) in tick {
            let part = |number| parts(number, 1.0).ok_or("too far");
            let place = Truth::Numbers([part(*x)?, part(*y)?, 0, 0]);
            self.outgoing.set(&format!("{player}/place"), PLACE, place)?;
            let heading = Truth::Numbers([part(*heading)?, 0, 0, 0]);
            self.outgoing.set(&format!("{player}/heading"), HEADING, heading)?;
        }
        let frame = self.outgoing.frame(self.tick, 1_200, false);
        if let Some(frame) = &frame {
            let update = self.incoming.receive(frame)?;
            self.acknowledged.push_back((self.tick + self.delay, update.number));
        }
        while let Some((_, number)) =
            self.acknowledged.front().copied().filter(|(at, _)| *at <= self.tick)
        {
            self.outgoing.acknowledge(number);
            self.acknowledged.pop_front();
        }
        self.look(tick)?;
        Ok(frame.map_or(0, |frame| frame.len()))
    }

    fn worst(&self) -> Option<f64> {
        Some(self.worst)
    }
}

/// automerge: one change a tick, as its file has it.
#[derive(Default)]
pub(crate) struct Automerge(AutoCommit);

impl Lane for Automerge {
    fn tell(&mut self, tick: &Tick) -> Outcome<usize> {
        for (player, pose) in tick {
            for (at, value) in whole(pose).into_iter().enumerate() {
                let key = format!("{player}/{at}");
                let stands = self.0.get(ROOT, &key)?.and_then(|(value, _)| value.as_i64());
                if stands != Some(value) {
                    self.0.put(ROOT, key, value)?;
                }
            }
        }
        let change = self.0.commit().and_then(|hash| self.0.get_change_by_hash(&hash));
        Ok(change.map_or(0, |change| change.raw_bytes().len()))
    }

    fn stored(&mut self) -> Outcome<usize> {
        Ok(self.0.save().len())
    }
}

/// loro: one update a tick.
#[derive(Default)]
pub(crate) struct Loro(LoroDoc);

impl Lane for Loro {
    fn tell(&mut self, tick: &Tick) -> Outcome<usize> {
        let before = self.0.oplog_vv();
        let map = self.0.get_map("players");
        for (player, pose) in tick {
            for (at, value) in whole(pose).into_iter().enumerate() {
                map.insert(&format!("{player}/{at}"), value)?;
            }
        }
        self.0.commit();
        Ok(self.0.export(ExportMode::updates(&before))?.len())
    }

    fn stored(&mut self) -> Outcome<usize> {
        Ok(self.0.export(ExportMode::Snapshot)?.len())
    }
}

/// loro's store for what is not kept: one message a player.
pub(crate) struct Ephemeral(EphemeralStore);

impl Ephemeral {
    pub(crate) fn new() -> Self {
        Self(EphemeralStore::new(60_000))
    }
}

impl Lane for Ephemeral {
    fn tell(&mut self, tick: &Tick) -> Outcome<usize> {
        let mut bytes = 0;
        for (player, pose) in tick {
            let key = player.to_string();
            let values: Vec<loro::LoroValue> = whole(pose).into_iter().map(Into::into).collect();
            self.0.set(&key, values);
            bytes += self.0.encode(&key).len();
        }
        Ok(bytes)
    }
}

/// yrs: one update a tick, in its first encoding.
#[derive(Default)]
pub(crate) struct Yrs(Doc);

impl Lane for Yrs {
    fn tell(&mut self, tick: &Tick) -> Outcome<usize> {
        let map = self.0.get_or_insert_map("players");
        let mut transaction = self.0.transact_mut();
        for (player, pose) in tick {
            for (at, value) in whole(pose).into_iter().enumerate() {
                map.insert(&mut transaction, format!("{player}/{at}"), value);
            }
        }
        Ok(transaction.encode_update_v1().len())
    }

    fn stored(&mut self) -> Outcome<usize> {
        let all = StateVector::default();
        Ok(self.0.transact().encode_state_as_update_v1(&all).len())
    }
}
