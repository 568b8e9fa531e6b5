//! Rooms with a scene, and peers that hold what stands in it.

use std::collections::BTreeMap;
use std::time::Duration;

use parlor::proto::config::PeerConfig;
use parlor::proto::datastore::{Datastore, EditError};
use parlor::proto::event::Outcome;
use parlor::proto::id::DocumentId;
use parlor::proto::model::handle::{Child, ConfirmedDictionary, ModelRef, RealtimeSet};
use parlor::realtime::scene::{Instantiate, InstantiateError, Realtime, Reference, Spawn, Stage};
use parlor::realtime::transform::{Placed, RealtimeTransform, Transform, TransformConfig};
use parlor::realtime::view::{Actor, View};
use parlor::sim::World;
use parlor::sim::network::Network;
use parlor::{Choice, Model};

/// The root.
#[derive(Clone, Debug, Default, Model)]
pub(crate) struct Scene {
    #[property(1)]
    pub(crate) things: RealtimeSet<Thing>,
    #[property(2)]
    pub(crate) fixtures: ConfirmedDictionary<String, Thing>,
    #[property(3)]
    pub(crate) halls: RealtimeSet<Hall>,
}

/// A scene within the scene.
#[derive(Clone, Debug, Default, Model)]
pub(crate) struct Hall {
    #[property(1)]
    pub(crate) things: RealtimeSet<Thing>,
    #[property(2)]
    pub(crate) fixtures: ConfirmedDictionary<String, Thing>,
}

/// Everything that stands in it.
#[derive(Clone, Debug, Default, Model)]
pub(crate) struct Thing {
    #[property(1)]
    pub(crate) view: Child<View>,
    #[property(2)]
    pub(crate) transform: Child<Transform>,
    #[property(3)]
    pub(crate) name: String,
    #[property(4)]
    pub(crate) target: ModelRef<Self>,
    #[property(5, unreliable, quantize = 0.01, interpolate)]
    pub(crate) level: f32,
    #[property(6, unreliable, quantize = 0.5, round = 360.0, interpolate)]
    pub(crate) heading: f32,
    #[property(7, unreliable, interpolate)]
    pub(crate) lit: bool,
    #[property(8, unreliable)]
    pub(crate) gear: f32,
    #[property(9, unreliable, interpolate)]
    pub(crate) light: Light,
}

/// What a thing shows to those who come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Choice)]
pub(crate) enum Light {
    #[default]
    Red,
    Amber,
    Green,
}

impl Actor for Thing {
    fn view(&self) -> &Child<View> {
        &self.view
    }

    fn transform(&self) -> Option<&Child<Transform>> {
        Some(&self.transform)
    }
}

/// What stands for a view: something that is drawn where its transform says.
#[derive(Clone, Debug)]
pub(crate) struct Prop(pub(crate) Option<RealtimeTransform>);

impl PartialEq for Prop {
    fn eq(&self, other: &Self) -> bool {
        let model = |prop: &Self| prop.0.as_ref().map(|transform| transform.model().clone());
        model(self) == model(other)
    }
}

/// A host that writes down what it is told.
#[derive(Default)]
pub(crate) struct Log(pub(crate) Vec<String>);

impl Stage<Thing> for Log {
    type Object = Prop;

    fn despawn(&mut self, _: &ModelRef<Thing>, _: Prop) {
        self.0.push("despawn".to_owned());
    }

    fn unknown(&mut self, _: &ModelRef<Thing>, prefab: &str) {
        self.0.push(format!("unknown {prefab}"));
    }

    fn bound(&mut self, uuid: &str, _: &ModelRef<Thing>) {
        self.0.push(format!("bound {uuid}"));
    }

    fn stands(&mut self, uuid: &str, _: &ModelRef<Thing>) {
        self.0.push(format!("stands {uuid}"));
    }

    fn unbound(&mut self, uuid: &str, _: Prop, _: Outcome) {
        self.0.push(format!("unbound {uuid}"));
    }
}

pub(crate) fn build(log: &mut Log, spawn: &Spawn<'_, Thing>) -> Prop {
    let about = String::from_utf8_lossy(spawn.about);
    let place = spawn.transform.unwrap().position;
    log.0.push(format!("spawn {} {about} {place:?} {:?}", spawn.prefab, spawn.origin));
    let model = spawn.actor.transform.as_ref();
    Prop(Some(RealtimeTransform::new(model, TransformConfig::default())))
}

struct Seat {
    scene: Realtime<Thing, Log>,
    log: Log,
}

/// A world with a scene for every peer.
pub(crate) struct Theatre {
    pub(crate) world: World,
    seats: BTreeMap<usize, Seat>,
}

impl Theatre {
    pub(crate) fn new(seed: u64, network: Network, peers: usize) -> Self {
        let mut world = World::new(seed, network, Scene::shape);
        world.keep_events();
        let mut theatre = Self { world, seats: BTreeMap::new() };
        for _ in 0..peers {
            theatre.join(PeerConfig::default());
        }
        theatre.run(Duration::from_secs(2));
        theatre
    }

    pub(crate) fn join(&mut self, config: PeerConfig) -> usize {
        let peer = self.world.add_peer(config);
        let scene = self.store(peer).root::<Scene>().unwrap().clone();
        let mut scene = Realtime::new(scene.things, scene.fixtures);
        scene.register("ship", build);
        self.seats.insert(peer, Seat { scene, log: Log::default() });
        self.world.connect(peer);
        peer
    }

    pub(crate) fn leave(&mut self, peer: usize) {
        self.world.leave(peer);
    }

    /// Lets time pass, in which every scene hears what happens.
    pub(crate) fn run(&mut self, span: Duration) {
        let step = Duration::from_millis(10);
        let mut left = span;
        while !left.is_zero() {
            self.world.run(step.min(left));
            left = left.saturating_sub(step);
            self.hear();
        }
    }

    fn hear(&mut self) {
        for (peer, event) in self.world.take_events() {
            let Some(Seat { scene, log }) = self.seats.get_mut(&peer) else { continue };
            scene.handle(self.world.peer(peer).store(), &event, log);
        }
    }

    pub(crate) fn store(&self, peer: usize) -> &Datastore {
        self.world.peer(peer).store()
    }

    fn with<R>(
        &mut self,
        peer: usize,
        act: impl FnOnce(&mut Realtime<Thing, Log>, &mut Datastore, &mut Log) -> R,
    ) -> R {
        let Seat { scene, log } = self.seats.get_mut(&peer).unwrap();
        self.world.edit(peer, |store| act(scene, store, log)).unwrap()
    }

    pub(crate) fn instantiate(
        &mut self,
        peer: usize,
        prefab: &str,
        options: Instantiate<Thing>,
    ) -> Result<ModelRef<Thing>, InstantiateError> {
        self.with(peer, |scene, store, log| scene.instantiate(store, log, prefab, options))
    }

    pub(crate) fn destroy(
        &mut self,
        peer: usize,
        view: &ModelRef<Thing>,
    ) -> Result<bool, EditError> {
        self.with(peer, |scene, store, log| scene.destroy(store, log, view))
    }

    pub(crate) fn bind(&mut self, peer: usize, uuid: &str, actor: Thing) -> Result<(), EditError> {
        self.with(peer, |scene, store, log| scene.bind(store, log, (uuid, Prop(None)), actor))
    }

    pub(crate) fn register(&mut self, peer: usize, prefab: &str) {
        self.seats.get_mut(&peer).unwrap().scene.register(prefab, build);
    }

    pub(crate) fn appear(&mut self, peer: usize) {
        self.with(peer, |scene, store, log| scene.appear(store, log));
    }

    pub(crate) fn resolve(&self, peer: usize, to: &ModelRef<Thing>) -> Reference<'_, Prop> {
        self.seats[&peer].scene.resolve(to)
    }

    pub(crate) fn unknown(&self, peer: usize) -> Vec<String> {
        self.seats[&peer].scene.unknown().map(|(_, prefab)| prefab.to_owned()).collect()
    }

    pub(crate) fn log(&self, peer: usize) -> &[String] {
        &self.seats[&peer].log.0
    }

    /// Whether something stands for a view.
    pub(crate) fn has(&self, peer: usize, view: &ModelRef<Thing>) -> bool {
        self.seats[&peer].scene.object(view).is_some()
    }

    pub(crate) fn count(&self, peer: usize) -> usize {
        self.store(peer).root::<Scene>().unwrap().things.len(self.store(peer))
    }

    /// How many views are nobody's.
    pub(crate) fn unowned(&self, peer: usize) -> usize {
        let store = self.store(peer);
        let things = &store.root::<Scene>().unwrap().things;
        things.iter(store).filter(|(view, _)| store.owner(view).is_none()).count()
    }

    pub(crate) fn fixture(&self, peer: usize, uuid: &str) -> Thing {
        let store = self.store(peer);
        let fixtures = &store.root::<Scene>().unwrap().fixtures;
        store.get(&fixtures.get(store, &uuid.to_owned()).unwrap()).unwrap().clone()
    }

    /// How many changes of models a peer has that another wrote.
    pub(crate) fn changes_of(&self, peer: usize, author: usize) -> usize {
        let (log, author) =
            (self.store(peer).log(DocumentId::MODELS), self.world.peer(author).peer());
        (0..log.len()).filter(|index| log.writer(*index) == Some(author)).count()
    }

    /// Moves a view.
    pub(crate) fn shift(
        &mut self,
        peer: usize,
        view: &ModelRef<Thing>,
        edit: impl FnOnce(&mut Transform),
    ) -> Result<bool, EditError> {
        self.with(peer, |scene, store, _| {
            scene.object_mut(view).unwrap().0.as_mut().unwrap().set(store, edit)
        })
    }

    /// Puts a view somewhere.
    pub(crate) fn teleport(
        &mut self,
        peer: usize,
        view: &ModelRef<Thing>,
        edit: impl FnOnce(&mut Transform),
    ) -> Result<bool, EditError> {
        self.with(peer, |scene, store, _| {
            scene.object_mut(view).unwrap().0.as_mut().unwrap().teleport(store, edit)
        })
    }

    /// Where a peer shows a view now.
    pub(crate) fn show(&mut self, peer: usize, view: &ModelRef<Thing>) -> Option<Placed> {
        let now = self.world.room_time(peer)?;
        let seat = self.seats.get_mut(&peer)?;
        seat.scene.object_mut(view)?.0.as_mut()?.show(self.world.peer(peer).store(), now)
    }

    pub(crate) fn sleeps(&mut self, peer: usize, view: &ModelRef<Thing>) -> bool {
        let now = self.world.room_time(peer).unwrap();
        self.seats[&peer].scene.object(view).unwrap().0.as_ref().unwrap().sleeps(now)
    }

    /// How many bytes of state a peer has said.
    pub(crate) fn said(&self, peer: usize) -> u64 {
        self.world.peer(peer).statistics(self.world.now()).state.sent.bytes
    }
}
