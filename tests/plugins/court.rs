//! A world whose relay has a plugin that the test makes up.

use std::env;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use parlor::proto::config::PeerConfig;
use parlor::proto::event::State;
use parlor::proto::hub::{
    Act, ActError, Given, Hearing, Hub, HubEvent, Order, Plugin, Ruling, Update, View, Write,
};
use parlor::proto::id::{DocumentId, PeerId};
use parlor::proto::model::handle::Handle;
use parlor::proto::model::path::Path;
use parlor::proto::time::Time;
use parlor::sim::network::Network;
use parlor::sim::playground::{Figure, Playground};
use parlor::sim::{World, oracle};
use parlor::{Event, Model, ModelRef};

use crate::SECOND;

type Judge = fn(&Update<'_>) -> Ruling;
type Hear = fn(&Given<'_>) -> Hearing;

/// What a plugin was asked.
#[derive(Default, Debug)]
pub(crate) struct Asked {
    pub(crate) writes: Vec<(PeerId, Vec<Write>)>,
    pub(crate) signals: Vec<(PeerId, String, Vec<u8>, bool)>,
    pub(crate) told: Vec<HubEvent>,
    /// What is to be done at the next tick.
    pub(crate) orders: Vec<Order>,
}

/// A plugin that notes what it is asked, and answers as it is told to.
#[derive(Debug)]
pub(crate) struct Rules {
    judge: Judge,
    hear: Hear,
    asked: Arc<Mutex<Asked>>,
}

impl Plugin for Rules {
    fn judge(&mut self, update: &Update<'_>) -> Ruling {
        self.asked.lock().unwrap().writes.push((update.by.peer, update.writes.clone()));
        (self.judge)(update)
    }

    fn hear(&mut self, signal: &Given<'_>) -> Hearing {
        let (by, said) = (signal.by.peer, signal.payload.to_vec());
        let noted = (by, signal.subject.to_string(), said, signal.reliable);
        self.asked.lock().unwrap().signals.push(noted);
        (self.hear)(signal)
    }

    fn told(&mut self, hub: &Hub, event: &HubEvent, _: Time) -> Vec<Order> {
        if let HubEvent::Joined { room, .. } = event {
            assert!(hub.view(room).is_some(), "the room of the event can be seen");
        }
        self.asked.lock().unwrap().told.push(event.clone());
        Vec::new()
    }

    fn due(&self) -> Option<Time> {
        (!self.asked.lock().unwrap().orders.is_empty()).then_some(Time::ZERO)
    }

    fn tick(&mut self, _: &Hub, _: Time) -> Vec<Order> {
        std::mem::take(&mut self.asked.lock().unwrap().orders)
    }
}

pub(crate) fn passes(_: &Given<'_>) -> Hearing {
    Hearing::Pass
}

pub(crate) fn accepts(_: &Update<'_>) -> Ruling {
    Ruling::Accept
}

pub(crate) struct Court {
    pub(crate) world: World,
    asked: Arc<Mutex<Asked>>,
}

/// So many seeds, or the one that is asked for.
pub(crate) fn seeds(few: u64, many: u64) -> Range<u64> {
    let one = env::var("SIM_SEED").ok().map(|seed| seed.parse().unwrap());
    let all = if env::var_os("PARLOR_FULL").is_some() { many } else { few };
    one.map_or(0..all, |seed: u64| seed..seed + 1)
}

impl Court {
    /// A room of `count` peers, whose relay has rules.
    pub(crate) fn new(seed: u64, network: Network, count: usize, judge: Judge) -> Self {
        Self::with(seed, network, count, (judge, passes))
    }

    pub(crate) fn with(seed: u64, network: Network, count: usize, rules: (Judge, Hear)) -> Self {
        let world = World::new(seed, network, Playground::shape);
        let mut court = Self { world, asked: Arc::default() };
        court.set_rules(rules);
        court.world.keep_events();
        for peer in 0..count {
            court.world.add_peer(PeerConfig::default());
            court.world.connect(peer);
        }
        court.calm();
        court.world.take_events();
        court.take_asked();
        court
    }

    /// Lets time pass until everybody has everything.
    pub(crate) fn calm(&mut self) {
        let room = self.world.room_key();
        let calm = |world: &World| {
            let hub = world.hub().unwrap();
            (0..world.len()).map(|peer| world.peer(peer)).all(|peer| {
                let same = |document| {
                    let log = hub.log(&room, document);
                    log.map(|log| log.digest()) == Some(peer.store().log(document).digest())
                };
                *peer.state() == State::Ready
                    && peer.is_settled()
                    && peer.members().count() == world.len()
                    && DocumentId::ALL.into_iter().all(same)
            })
        };
        assert!(self.world.run_until(60 * SECOND, calm), "it never comes to rest");
        self.world.run(SECOND / 2);
    }

    /// The relay has rules from now on.
    pub(crate) fn set_rules(&mut self, (judge, hear): (Judge, Hear)) {
        let rules = Rules { judge, hear, asked: Arc::clone(&self.asked) };
        self.world.with_relay(|hub, _| hub.set_plugin(Box::new(rules))).unwrap();
    }

    /// What the plugin was asked since this was last taken.
    pub(crate) fn take_asked(&self) -> Asked {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// The plugin wants something done.
    pub(crate) fn order(&mut self, act: Act) {
        let room = self.world.room_key();
        self.asked.lock().unwrap().orders.push((room, act));
        // Whatever happens next lets it say so.
        self.world.with_relay(Hub::tick).unwrap();
    }

    /// The operator's program does something.
    pub(crate) fn act(&mut self, act: Act) -> Result<(), ActError> {
        let room = self.world.room_key();
        self.world.with_relay(|hub, now| hub.act(now, &room, act)).unwrap()
    }

    pub(crate) fn id(&self, peer: usize) -> PeerId {
        self.world.peer(peer).peer()
    }

    pub(crate) fn root(&self, peer: usize) -> &Playground {
        self.world.peer(peer).store().root().unwrap()
    }

    pub(crate) fn get(&self, peer: usize, model: &ModelRef<Figure>) -> &Figure {
        self.world.peer(peer).store().get(model).unwrap()
    }

    /// What the relay has.
    pub(crate) fn view(&self) -> View<'_> {
        self.world.hub().unwrap().view(&self.world.room_key()).unwrap()
    }

    /// A figure that everybody has.
    pub(crate) fn figure(&mut self, peer: usize) -> ModelRef<Figure> {
        let figure = self.world.edit(peer, |store| {
            let players = store.root::<Playground>().unwrap().players.clone();
            players.add(store, Figure { name: "one".into(), ..Figure::default() }).unwrap()
        });
        self.calm();
        self.world.take_events();
        self.take_asked();
        figure.unwrap()
    }

    pub(crate) fn score(&mut self, peer: usize, score: i64) {
        let edit = |store: &mut parlor::Datastore| {
            store.update_root(|root: &mut Playground| root.score = score).unwrap();
        };
        self.world.edit(peer, edit).unwrap();
    }

    pub(crate) fn rename(
        &mut self,
        peer: usize,
        model: &ModelRef<Figure>,
        name: &str,
    ) -> Result<(), parlor::EditError> {
        let edit = |figure: &mut Figure| figure.name = name.to_owned();
        self.world.edit(peer, |store| store.update(model, edit)).unwrap()
    }

    pub(crate) fn type_in(&mut self, peer: usize, at: usize, text: &str) {
        let edit = |store: &mut parlor::Datastore| {
            let notes = store.root::<Playground>().unwrap().notes.clone();
            notes.insert(store, at, text).unwrap();
        };
        self.world.edit(peer, edit).unwrap();
    }

    pub(crate) fn notes(&self, peer: usize) -> String {
        let store = self.world.peer(peer).store();
        self.root(peer).notes.read(store).to_owned()
    }

    /// What one peer's application was told; what others were is forgotten.
    pub(crate) fn events(&mut self, peer: usize) -> Vec<Event> {
        let events = self.world.take_events().into_iter();
        events.filter(|(of, _)| *of == peer).map(|(_, event)| event).collect()
    }

    pub(crate) fn at_rest(&mut self, seed: u64) {
        oracle::at_rest(&mut self.world).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
}

pub(crate) fn path(model: &impl Handle) -> Path {
    model.path().unwrap().clone()
}
