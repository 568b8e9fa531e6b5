//! A relay and the apps on it, stepped by turns.

use std::error::Error;
use std::future::pending;
use std::time::Duration;

use bevy_app::App;
use bevy_ecs::prelude::{Component, Entity, With, World};
use bevy_parlor::{Owner, Parlor};
use bevy_transform::components::Transform;
use parlor::net::{Clock, Relay, RelayNetConfig};
use parlor::proto::hub::Hub;
use parlor::{AppKey, HubConfig, Identity, Room};
use tokio::runtime::Runtime;

use crate::lobby::{APP_KEY, Health, Lobby, Ship, app};

/// Far longer than anything takes, except on a computer that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(30);
const FRAME: Duration = Duration::from_micros(16_667);

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

pub(crate) struct Fleet {
    /// Before the relay: who leaves it first need not wait for it.
    apps: Vec<App>,
    runtime: Runtime,
    clock: Clock,
    relay: String,
}

/// What an app shows of its ship.
#[derive(Clone, Copy)]
pub(crate) struct Sight {
    pub(crate) transform: Transform,
    pub(crate) health: Health,
    pub(crate) owner: Owner,
}

impl Fleet {
    /// A relay in this process, at a port that the system chooses.
    pub(crate) fn new() -> Outcome<Self> {
        let runtime = Runtime::new()?;
        let identity = Identity::from_seed([1; 32]);
        let keys = [AppKey::new(APP_KEY)?];
        let config = HubConfig::default();
        let hub = Hub::new(identity.clone(), keys, config, Clock::unix_micros(), [9; 32], 1);
        let net = RelayNetConfig { exempt_loopback: true, ..RelayNetConfig::default() };
        let listen = ["/ip4/127.0.0.1/udp/0/quic-v1"];
        let relay = runtime.block_on(Box::pin(Relay::bind(&identity, &listen, net, hub)))?;
        let address = relay.addresses().first().cloned().ok_or("the relay is nowhere")?;
        runtime.spawn(async {
            Box::pin(relay.run(pending())).await;
        });
        Ok(Self { runtime, clock: Clock::new(), relay: address, apps: Vec::new() })
    }

    /// One more app. Returns its number.
    pub(crate) fn join(&mut self) -> Outcome<usize> {
        self.apps.push(app(&self.relay)?);
        Ok(self.apps.len() - 1)
    }

    /// One frame of every app, in the time of one.
    pub(crate) fn frame(&mut self) {
        let due = self.clock.now() + FRAME;
        for app in &mut self.apps {
            app.update();
        }
        self.runtime.block_on(self.clock.sleep_until(Some(due)));
    }

    /// Runs frames until something holds. Returns how long it took.
    pub(crate) fn until(
        &mut self,
        what: &str,
        mut holds: impl FnMut(&mut Self) -> bool,
    ) -> Outcome<Duration> {
        let start = self.clock.now();
        while !holds(self) {
            if self.clock.now().since(start) > PATIENCE {
                return Err(format!("not within {PATIENCE:?}: {what}").into());
            }
            self.frame();
        }
        Ok(self.clock.now().since(start))
    }

    /// Runs frames for a while, and looks after each.
    pub(crate) fn watch(&mut self, span: Duration, mut look: impl FnMut(&mut Self)) {
        let until = self.clock.now() + span;
        while self.clock.now() < until {
            self.frame();
            look(self);
        }
    }

    pub(crate) fn world(&mut self, app: usize) -> &mut World {
        self.apps[app].world_mut()
    }

    pub(crate) fn room(&mut self, app: usize) -> &mut Room<Lobby> {
        self.world(app).resource_mut::<Parlor<Lobby>>().into_inner().room()
    }

    /// The ship that an app shows, if it shows one.
    pub(crate) fn ship(&mut self, app: usize) -> Option<Entity> {
        let world = self.world(app);
        world.query_filtered::<Entity, With<Ship>>().iter(world).next()
    }

    pub(crate) fn sight(&mut self, app: usize) -> Option<Sight> {
        let ship = self.ship(app)?;
        let world = self.world(app);
        Some(Sight {
            transform: *part(world, ship)?,
            health: *part(world, ship)?,
            owner: *part(world, ship)?,
        })
    }
}

fn part<C: Component>(world: &World, entity: Entity) -> Option<&C> {
    world.get(entity)
}
