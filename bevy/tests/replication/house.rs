//! A relay, and apps that have a room on it.

use std::f32::consts::FRAC_PI_2;
use std::future::pending;
use std::time::Duration;

use bevy_app::App;
use bevy_ecs::prelude::{Commands, Component, Entity, ResMut, With, World};
use bevy_ecs::system::RunSystemOnce;
use bevy_parlor::{Owner, Parlor, ParlorApp, ParlorPlugin, Scene, View, to_room};
use bevy_transform::components::Transform;
use parlor::net::{Clock, Relay, RelayNetConfig};
use parlor::proto::datastore::Mover;
use parlor::proto::hub::Hub;
use parlor::proto::id::DocumentId;
use parlor::proto::model::handle::Handle;
use parlor::realtime::scene::Instantiate;
use parlor::realtime::transform::Transform as Place;
use parlor::realtime::view::{self, Actor};
use parlor::{
    AppKey, Child, ConfirmedDictionary, ConnectOptions, HubConfig, Identity, Model, RealtimeSet,
    Room, State, Text,
};
use tokio::runtime::Runtime;

const APP_KEY: &str = "replication";
const PATIENCE: Duration = Duration::from_secs(20);
const FRAME: Duration = Duration::from_millis(5);

#[derive(Model, Clone, Debug, Default)]
pub(crate) struct Lobby {
    #[property(1)]
    things: RealtimeSet<Thing>,
    #[property(2)]
    fixtures: ConfirmedDictionary<String, Thing>,
}

#[derive(Model, Clone, Debug, Default)]
pub(crate) struct Thing {
    #[property(1)]
    view: Child<view::View>,
    #[property(2)]
    transform: Child<Place>,
    #[property(3)]
    health: Child<Health>,
}

#[derive(Model, Component, Clone, Debug, Default, PartialEq)]
pub(crate) struct Health {
    #[property(1)]
    pub(crate) points: i64,
    #[property(2)]
    pub(crate) shield: f64,
    #[property(3)]
    pub(crate) wounds: Text,
    #[property(4, unreliable, interpolate)]
    pub(crate) heat: f32,
}

impl Actor for Thing {
    fn view(&self) -> &Child<view::View> {
        &self.view
    }

    fn transform(&self) -> Option<&Child<Place>> {
        Some(&self.transform)
    }
}

impl Scene for Lobby {
    type Actor = Thing;

    fn actors(&self) -> &RealtimeSet<Thing> {
        &self.things
    }

    fn fixtures(&self) -> &ConfirmedDictionary<String, Thing> {
        &self.fixtures
    }
}

/// What a builder adds.
#[derive(Component, Debug, PartialEq)]
pub(crate) struct Hull(pub(crate) Vec<u8>);

pub(crate) struct House {
    /// Before the relay: who leaves it first need not wait for it.
    apps: Vec<App>,
    runtime: Runtime,
    relay: String,
}

impl House {
    /// With so many apps, all of them in the room.
    pub(crate) fn of(apps: usize) -> Self {
        let runtime = Runtime::new().unwrap();
        let identity = Identity::from_seed([1; 32]);
        let keys = [AppKey::new(APP_KEY).unwrap()];
        let config = HubConfig::default();
        let hub = Hub::new(identity.clone(), keys, config, Clock::unix_micros(), [9; 32], 1);
        let net = RelayNetConfig { exempt_loopback: true, ..RelayNetConfig::default() };
        let listen = ["/ip4/127.0.0.1/udp/0/quic-v1"];
        let bound = Box::pin(Relay::bind(&identity, &listen, net, hub));
        let relay = runtime.block_on(bound).unwrap();
        let address = relay.addresses()[0].clone();
        runtime.spawn(async { drop(Box::pin(relay.run(pending())).await) });
        let mut house = Self { runtime, relay: address, apps: Vec::new() };
        for _ in 0..apps {
            house.join();
        }
        house
    }

    /// One more app, once it is in the room.
    pub(crate) fn join(&mut self) -> usize {
        let at = self.apps.len();
        self.apps.push(app(&[&self.relay]));
        self.until("in the room", |house| *house.room(at).state() == State::Ready);
        at
    }

    fn frame(&mut self) {
        for app in &mut self.apps {
            app.update();
        }
        self.runtime.block_on(async { tokio::time::sleep(FRAME).await });
    }

    pub(crate) fn frames(&mut self, count: usize) {
        (0..count).for_each(|_| self.frame());
    }

    /// Lets time pass until something holds.
    pub(crate) fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let clock = Clock::new();
        let until = clock.now() + PATIENCE;
        while !holds(self) {
            assert!(clock.now() < until, "not {what} in {PATIENCE:?}");
            self.frame();
        }
    }

    pub(crate) fn world(&mut self, app: usize) -> &mut World {
        self.apps[app].world_mut()
    }

    pub(crate) fn room(&mut self, app: usize) -> &mut Room<Lobby> {
        self.world(app).resource_mut::<Parlor<Lobby>>().into_inner().room()
    }

    /// The entities of an app that stand for views.
    pub(crate) fn entities(&mut self, app: usize) -> Vec<Entity> {
        let world = self.world(app);
        world.query_filtered::<Entity, With<View<Thing>>>().iter(world).collect()
    }

    /// The only one, once it is there.
    pub(crate) fn only(&mut self, app: usize) -> Entity {
        self.until("one entity", |house| house.entities(app).len() == 1);
        self.entities(app)[0]
    }

    pub(crate) fn get<C: Component + Clone>(&mut self, app: usize, entity: Entity) -> C {
        self.world(app).get::<C>(entity).unwrap().clone()
    }

    pub(crate) fn transform(&mut self, app: usize, entity: Entity) -> &mut Transform {
        self.world(app).get_mut::<Transform>(entity).unwrap().into_inner()
    }

    pub(crate) fn owner(&mut self, app: usize, entity: Entity) -> Owner {
        self.get(app, entity)
    }

    pub(crate) fn act<R: 'static>(
        &mut self,
        app: usize,
        act: impl FnOnce(&mut Parlor<Lobby>, &mut Commands<'_, '_>) -> R + Send + Sync + 'static,
    ) -> R {
        act_in(self.world(app), act)
    }

    /// How many changes of models an app has written, and how many values that move show as its own.
    pub(crate) fn said(&mut self, app: usize) -> (usize, usize) {
        let room = self.room(app);
        let (log, me) = (room.log(DocumentId::MODELS), room.peer());
        let changes = (0..log.len()).filter(|at| log.writer(*at) == Some(me)).count();
        let things = room.root().things.iter(room);
        let parts = things.flat_map(|(_, thing)| [thing.transform.path(), thing.health.path()]);
        let moved = parts.flatten().flat_map(|part| room.moved_of(part));
        (changes, moved.filter(|(_, moved)| moved.by == Mover::Me).count())
    }
}

/// Lets an app do something, as a system does.
pub(crate) fn act_in<R: 'static>(
    world: &mut World,
    act: impl FnOnce(&mut Parlor<Lobby>, &mut Commands<'_, '_>) -> R + Send + Sync + 'static,
) -> R {
    let mut act = Some(act);
    let system = move |mut parlor: ResMut<'_, Parlor<Lobby>>, mut commands: Commands<'_, '_>| {
        act.take().map(|act| act(&mut parlor, &mut commands))
    };
    world.run_system_once(system).unwrap().unwrap()
}

/// An app whose room has a relay at these addresses, or none.
pub(crate) fn app(relay: &[&str]) -> App {
    let room = Room::<Lobby>::connect(ConnectOptions::new("lobby", APP_KEY, relay)).unwrap();
    let mut app = App::new();
    app.add_plugins(ParlorPlugin::new(room))
        .prefab::<Lobby>("ship", |entity, spawn| {
            entity.insert(Hull(spawn.about.to_vec()));
        })
        .replicate::<Lobby, Health>(|thing| &thing.health);
    app
}

/// A ship at a place, turned a quarter.
pub(crate) fn at(x: f32) -> Instantiate<Thing> {
    let mut place = Transform::from_xyz(x, 2.0, 3.0);
    place.rotate_y(FRAC_PI_2);
    Instantiate {
        about: b"red".to_vec(),
        transform: Some(to_room(&place)),
        ..Instantiate::default()
    }
}
