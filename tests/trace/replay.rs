//! A trace in the simulator: each agent a peer, all through the relay.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use automerge::{Automerge, ReadDoc};
use parlor::Model;
use parlor::proto::authorship::Scope;
use parlor::proto::config::PeerConfig;
use parlor::proto::datastore::Datastore;
use parlor::proto::event::State;
use parlor::proto::id::{DocumentId, PeerId};
use parlor::proto::model::handle::{Handle, Text};
use parlor::proto::ownership::Session;
use parlor::proto::time::Time;
use parlor::proto::wire::message::{Actor, Introduction};
use parlor::sim::network::Network;
use parlor::sim::{World, oracle};

use super::recorded::Trace;

/// A room with one text.
#[derive(Clone, Debug, Default, Model)]
pub(crate) struct Page {
    /// What is written.
    #[property(1)]
    pub(crate) text: Text,
}

/// How long a change may take to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it may take until everybody follows a cut and the relay knows.
const FOLLOWS: Duration = Duration::from_secs(2);

/// A room with `agents` peers, all of them offline.
fn world(seed: u64, agents: usize) -> World {
    let mut world = World::new(seed, Network::LOSSY, Page::shape);
    for _ in 0..agents {
        world.add_peer(PeerConfig::default());
    }
    world
}

/// The actors with which the agents of a replay write.
pub(crate) fn actors(seed: u64, agents: usize) -> Vec<Actor> {
    let world = world(seed, agents);
    let (app, room) = world.room_key();
    let scope = Scope::first(app, room);
    let introduction =
        |peer| Introduction { peer: world.peer(peer).peer(), incarnation: Session(1).first() };
    (0..agents).map(|peer| scope.actor(&introduction(peer))).collect()
}

/// A trace on its way through a room.
#[derive(Debug)]
pub(crate) struct Replay<'a> {
    world: World,
    trace: &'a Trace,
    /// Each agent's transactions.
    own: Vec<Vec<usize>>,
    /// Where each agent is among them.
    at: Vec<usize>,
    past: Vec<Vec<usize>>,
    named: BTreeSet<usize>,
    /// How many changes an author had written when a transaction that others name was in them.
    changes: BTreeMap<usize, u64>,
    /// After how many changes the relay cuts.
    cut_every: Option<usize>,
    cuts: usize,
    /// Before which there is no further cut.
    not_before: Time,
}

impl<'a> Replay<'a> {
    /// The agents of a trace in an empty room.
    pub(crate) fn new(seed: u64, trace: &'a Trace) -> Self {
        let mut world = world(seed, trace.agents);
        world.keep_history();
        let mut own = vec![Vec::new(); trace.agents];
        for (number, transaction) in trace.transactions.iter().enumerate() {
            own[transaction.agent].push(number);
        }
        for agent in 0..trace.agents {
            world.edit(agent, |store| store.hold_texts(true)).unwrap();
            world.connect(agent);
        }
        let (past, named) = (trace.past(), trace.named());
        let (at, changes) = (vec![0; trace.agents], BTreeMap::new());
        Self {
            world,
            trace,
            own,
            at,
            past,
            named,
            changes,
            cut_every: None,
            cuts: 0,
            not_before: Time::ZERO,
        }
    }

    /// Lets the relay cut history whenever it has so many changes, and everybody has followed the cut
    /// before.
    pub(crate) const fn cut_every(&mut self, changes: usize) {
        self.cut_every = Some(changes);
    }

    /// How often it was told to.
    pub(crate) const fn cuts(&self) -> usize {
        self.cuts
    }

    fn cut(&mut self) {
        let room = self.world.room_key();
        let log = self.world.hub().and_then(|hub| hub.log(&room, DocumentId::TEXTS));
        let changes = log.map_or(0, |log| log.len() - log.laid());
        let epoch = log.map(|log| log.scope().epoch());
        let follows = |agent| {
            let store = self.world.peer(agent).store();
            *self.world.peer(agent).state() == State::Ready
                && !store.is_cutting(DocumentId::TEXTS)
                && epoch == Some(store.log(DocumentId::TEXTS).scope().epoch())
        };
        let all = (0..self.trace.agents).all(follows);
        let late = self.world.now() >= self.not_before;
        if all && late && self.cut_every.is_some_and(|most| changes >= most) {
            self.world.cut_history();
            self.cuts += 1;
            // The relay refuses whoever has not followed the cut before.
            self.not_before = self.world.now() + FOLLOWS;
        }
    }

    /// Lets everybody write all that is theirs.
    pub(crate) fn run(&mut self) {
        let agents = 0..self.trace.agents;
        let mut last = self.world.now();
        while agents.clone().any(|agent| self.next_of(agent).is_some()) {
            let mut wrote = false;
            for agent in agents.clone() {
                while self.next_of(agent).is_some_and(|next| self.is_ready(next)) {
                    self.write(agent);
                    self.cut();
                    wrote = true;
                }
            }
            if !wrote {
                agents.clone().for_each(|agent| self.see(agent));
                self.cut();
                assert!(self.world.step(last + PATIENCE), "everybody waits for everybody");
            } else {
                last = self.world.now();
            }
        }
    }

    fn next_of(&self, agent: usize) -> Option<usize> {
        self.own[agent].get(self.at[agent]).copied()
    }

    /// How many changes of each other author a transaction follows; nothing while they are not
    /// written yet. What an agent saw of another last is a transaction that is named.
    fn needs(&self, transaction: usize) -> Option<BTreeMap<PeerId, u64>> {
        let agent = self.trace.transactions[transaction].agent;
        let others = (0..self.trace.agents).filter(|&other| other != agent);
        let seen = others.map(|other| (other, self.past[transaction][other]));
        seen.filter(|(_, count)| *count > 0)
            .map(|(other, count)| {
                let last = self.own[other][count - 1];
                Some((self.world.peer(other).peer(), *self.changes.get(&last)?))
            })
            .collect()
    }

    /// Whether all that a transaction follows has come to its author.
    fn is_ready(&self, transaction: usize) -> bool {
        let agent = self.trace.transactions[transaction].agent;
        let store = self.world.peer(agent).store();
        self.needs(transaction)
            .is_some_and(|needs| needs.iter().all(|(peer, count)| store.typed_by(*peer) >= *count))
    }

    /// Shows to an agent that waits what its next transaction follows, as far as it is here. It may
    /// be what a cut waits for, and everything else behind that.
    fn see(&mut self, agent: usize) {
        let Some(next) = self.next_of(agent) else {
            self.world.edit(agent, |store| store.let_in_texts(|_, _| true)).unwrap();
            return;
        };
        let others = (0..self.trace.agents).filter(|&other| other != agent);
        let needs: BTreeMap<PeerId, u64> = others
            .map(|other| {
                let seen = self.past[next][other];
                let last = seen.checked_sub(1).map(|last| self.own[other][last]);
                // What is not written yet is behind all that is.
                let count = last.map_or(0, |last| *self.changes.get(&last).unwrap_or(&u64::MAX));
                (self.world.peer(other).peer(), count)
            })
            .collect();
        let may = |peer, change| needs.get(&peer).is_some_and(|count| change <= *count);
        self.world.edit(agent, |store| store.let_in_texts(may)).unwrap();
    }

    /// An agent's next transaction, onto exactly what it follows.
    fn write(&mut self, agent: usize) {
        let number = self.own[agent][self.at[agent]];
        let before = self.at[agent].checked_sub(1).map(|before| self.own[agent][before]);
        let others = |seen: &[usize]| {
            let mut seen = seen.to_vec();
            seen[agent] = 0;
            seen
        };
        let saw = before.map_or_else(|| vec![0; self.trace.agents], |at| others(&self.past[at]));
        if saw != others(&self.past[number]) {
            let needs = self.needs(number).unwrap();
            let may = |peer, change| needs.get(&peer).is_some_and(|count| change <= *count);
            self.world.edit(agent, |store| store.let_in_texts(may)).unwrap();
        }
        for patch in &self.trace.transactions[number].patches {
            let edit = |store: &mut Datastore| {
                let text = store.root::<Page>().unwrap().text.clone();
                text.splice(store, patch.at, patch.delete, &patch.insert).unwrap();
            };
            self.world.edit(agent, edit).unwrap();
        }
        self.at[agent] += 1;
        if self.named.contains(&number) {
            self.world.flush(agent);
            let me = self.world.peer(agent);
            self.changes.insert(number, me.store().typed_by(me.peer()));
        }
    }

    /// How many frames ended because somebody else had seen them.
    pub(crate) fn named_frames(&self) -> usize {
        self.changes.len()
    }

    /// What everybody has in the end: the agents, the relay, and one who comes later.
    pub(crate) fn finish(&mut self) -> String {
        for agent in 0..self.trace.agents {
            self.world.edit(agent, |store| store.hold_texts(false)).unwrap();
        }
        oracle::at_rest(&mut self.world).unwrap();
        let late = self.world.add_peer(PeerConfig::default());
        self.world.connect(late);
        oracle::at_rest(&mut self.world).unwrap();
        let read = |peer: usize| {
            let store = self.world.peer(peer).store();
            store.root::<Page>().unwrap().text.read(store).to_owned()
        };
        let texts: BTreeSet<String> = (0..=late).map(read).collect();
        assert_eq!(texts.len(), 1, "peers differ");
        let text = read(0);
        assert_eq!(self.on_the_relay(), text, "the relay's copy differs");
        text
    }

    fn on_the_relay(&mut self) -> String {
        let store = self.world.peer(0).store();
        let path = store.root::<Page>().unwrap().text.path().unwrap().clone();
        let room = self.world.room_key();
        let saved = self.world.hub_mut().unwrap().document(&room, DocumentId::TEXTS).unwrap();
        let document = Automerge::load(&saved).unwrap();
        let (_, text) = document.get(automerge::ROOT, path.as_str()).unwrap().unwrap();
        document.text(&text).unwrap()
    }
}
