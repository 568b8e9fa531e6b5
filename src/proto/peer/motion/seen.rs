//! Values that others say.

use std::collections::BTreeSet;
use std::sync::Arc;

use smol_str::SmolStr;

use super::Peer;
use crate::proto::datastore::Mover;
use crate::proto::id::{ClientNumber, PeerId};
use crate::proto::model::path::Path;
use crate::proto::model::value::Value;
use crate::proto::motion::name::Name;
use crate::proto::motion::pace::Pace;
use crate::proto::ownership::prefixes;
use crate::proto::state::grid::Truth;
use crate::proto::state::stream::{Entry, Incoming, StateFault};
use crate::proto::wire::bounded::Line;
use crate::proto::wire::message::{StatePacket, StateSection};

/// The most writers of whom anything is kept on one link: more than a room has members, and those that
/// went out a moment ago.
const SOURCES: usize = 4_096;

/// One writer, as the relay passes it on.
#[derive(Debug)]
pub(super) struct Source {
    incoming: Incoming,
    pace: Option<Pace>,
    /// When the last frame was of.
    at: u64,
    tick: u32,
}

/// What a frame changed.
#[derive(Default)]
struct Changes {
    said: Vec<(Path, u16, Value)>,
    ended: Vec<(Path, u16)>,
    /// The names of those.
    names: BTreeSet<SmolStr>,
}

impl Source {
    /// What the last frame changed.
    fn changes(&self) -> Changes {
        let mut changes = Changes::default();
        for (entry, truth) in self.incoming.changes() {
            // What has no name that means anything here is of a later version.
            let Some(name) = Name::parse(&entry.name) else { continue };
            match truth {
                Some(truth) => changes.said.extend(value(name, truth)),
                None => {
                    changes.ended.push((name.model, name.property));
                    changes.names.insert(entry.name.clone());
                }
            }
        }
        changes
    }
}

impl Peer {
    /// A packet of the state lane came, or one that must arrive: such a one counts however many came
    /// since it was sent, because what came builds on it.
    pub(in crate::proto::peer) fn on_state(&mut self, packet: StatePacket, must: bool) {
        if self.connection.as_ref().is_none_or(|open| !open.is_in()) {
            return;
        }
        let lane = &mut self.motion.lane;
        for number in lane.departures.arrived(packet.answer).into_iter().flatten() {
            lane.outgoing.acknowledge(number);
            lane.unheard_since = None;
        }
        let number = u16::from_le_bytes(packet.number);
        if !must && !lane.arrivals.is_new(number) {
            return;
        }
        let (mut all, says) = (true, !packet.sections.is_empty());
        for section in packet.sections.into_vec() {
            match self.on_section(section) {
                Ok(()) => {}
                // It will be said again, on something that is here.
                Err(StateFault::Unfounded | StateFault::Stale) => all = false,
                Err(fault @ (StateFault::Malformed | StateFault::TooMany { .. })) => {
                    self.fault(&format!("a state frame: {fault}"));
                    return;
                }
            }
        }
        if all {
            self.motion.lane.arrivals.note(number, says);
        }
    }

    fn on_section(&mut self, section: StateSection) -> Result<(), StateFault> {
        let StateSection { client, beside, pace, frame } = section;
        let limit = self.config.state.entries;
        let by = Mover::Member { client, peer: self.peer_of(client) };
        let sources = &mut self.motion.lane.sources;
        if sources.len() >= SOURCES && !sources.contains_key(&client) {
            return Err(StateFault::TooMany { limit: SOURCES });
        }
        let source = sources.entry(client).or_insert_with(|| Source {
            incoming: Incoming::new(limit),
            pace: None,
            at: 0,
            tick: 0,
        });
        let update = source.incoming.receive(&frame)?;
        if let Some(pace) = pace {
            source.pace = Some(Pace::read(pace).ok_or(StateFault::Malformed)?);
        }
        let pace = source.pace.ok_or(StateFault::Malformed)?;
        (source.tick, source.at) = (update.tick, pace.at(update.tick, beside));
        let (at, changes) = (source.at, source.changes());
        let empty = source.incoming.values(source.tick).next().is_none();
        // Nobody is left who could say more.
        if empty && self.peer_of(client).is_none() {
            self.motion.lane.sources.remove(&client);
        }
        self.store.end_moved(by, changes.ended);
        self.store.show_moved((by, at), changes.said, false);
        if !changes.names.is_empty() {
            // Another may say it, and have said it all the while.
            self.show_again(|name| changes.names.contains(name));
        }
        Ok(())
    }

    /// Shows what others say of some values, by their names: another said them, whose word counted.
    pub(super) fn show_again(&mut self, wanted: impl Fn(&str) -> bool) {
        let mut said = Vec::new();
        for (client, source) in &self.motion.lane.sources {
            let values = source.incoming.values(source.tick);
            let values = values.filter(|(entry, _): &(&Arc<Entry>, Truth)| wanted(&entry.name));
            let values: Vec<_> = values
                .filter_map(|(entry, truth)| value(Name::parse(&entry.name)?, truth))
                .collect();
            if !values.is_empty() {
                said.push((source.at, *client, values));
            }
        }
        // What was said last counts.
        said.sort_by_key(|(at, client, _)| (*at, *client));
        for (at, client, values) in said {
            let by = Mover::Member { client, peer: self.peer_of(client) };
            self.store.show_moved((by, at), values, true);
        }
    }

    /// Shows what the owners of some models say, who became that only now as far as this peer knows.
    pub(super) fn show_owners(&mut self, models: &BTreeSet<Path>) {
        if !models.is_empty() {
            let models: BTreeSet<&str> = models.iter().map(Path::as_str).collect();
            self.show_again(|name| prefixes(name).any(|path| models.contains(path)));
        }
    }

    fn peer_of(&self, client: ClientNumber) -> Option<PeerId> {
        self.roster.members().find(|member| member.client == client).map(|member| member.peer)
    }

    /// Others' values count before some of this peer's, that it did not write since a packet.
    pub(in crate::proto::peer) fn on_yield(&mut self, received: [u8; 2], names: &[Line<512>]) {
        let names = names.iter().map(|name| SmolStr::new(&**name));
        self.stop_all(names, Some(u16::from_le_bytes(received)));
    }
}

fn value(name: Name, truth: Truth) -> Option<(Path, u16, Value)> {
    let value = name.grid.value(truth)?;
    Some((name.model, name.property, value))
}
