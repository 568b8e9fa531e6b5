//! A room in which things move.

use std::env;
use std::time::Duration;

use parlor::Model;
use parlor::proto::config::{HubConfig, PeerConfig, StateConfig};
use parlor::proto::event::Event;
use parlor::proto::model::handle::{Handle, ModelRef, RealtimeSet};
use parlor::proto::model::property::vector::Quaternion;
use parlor::proto::model::value::Value;
use parlor::proto::table::Cell;
use parlor::sim::World;
use parlor::sim::network::Network;

/// The seeds to play.
pub(crate) fn seeds(small: u64, large: u64) -> Vec<u64> {
    match env::var("SIM_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..if env::var_os("PARLOR_FULL").is_some() { large } else { small }).collect(),
    }
}

/// The root.
#[derive(Clone, Debug, Default, Model)]
pub(crate) struct Scene {
    #[property(1)]
    pub(crate) dancers: RealtimeSet<Pose>,
    /// Everybody's.
    #[property(2, unreliable, quantize = 0.01)]
    pub(crate) cursor: [f32; 2],
}

/// Something that moves.
#[derive(Clone, Debug, Default, Model)]
pub(crate) struct Pose {
    #[property(1)]
    pub(crate) name: String,
    #[property(2, unreliable, quantize = 0.01)]
    pub(crate) at: [f32; 3],
    #[property(3, unreliable)]
    pub(crate) turn: Quaternion,
    #[property(4, unreliable, ephemeral = 2.0)]
    pub(crate) typing: bool,
    #[property(5, unreliable, redundant, quantize = 0.1)]
    pub(crate) level: f32,
}

/// A room and peers in it.
pub(crate) struct Stage {
    pub(crate) world: World,
}

impl Stage {
    /// A room with so many peers, all in it.
    pub(crate) fn new(seed: u64, network: Network, peers: usize) -> Self {
        let mut world = World::new(seed, network, Scene::shape);
        world.keep_events();
        let mut stage = Self { world };
        for _ in 0..peers {
            stage.join();
        }
        stage.world.run(Duration::from_secs(2));
        stage
    }

    /// Another peer is on its way into the room.
    pub(crate) fn join(&mut self) -> usize {
        self.join_as(PeerConfig::default())
    }

    pub(crate) fn join_as(&mut self, config: PeerConfig) -> usize {
        let peer = self.world.add_peer(config);
        self.world.connect(peer);
        peer
    }

    /// The relay starts anew, and tells each member so many bytes a second at most.
    pub(crate) fn budget(&mut self, bytes_per_second: usize) {
        self.world.configure_relay(|config: &mut HubConfig| {
            config.state = StateConfig { bytes_per_second, ..config.state.clone() };
        });
    }

    /// A peer adds a dancer.
    pub(crate) fn add(&mut self, peer: usize, name: &str) -> ModelRef<Pose> {
        let pose = Pose { name: name.to_owned(), ..Pose::default() };
        let dancer = self.world.edit(peer, |store| {
            let dancers = store.root::<Scene>().unwrap().dancers.clone();
            dancers.add(store, pose).unwrap()
        });
        self.world.run(Duration::from_millis(300));
        dancer.unwrap()
    }

    /// A peer writes to a dancer.
    pub(crate) fn dance(
        &mut self,
        peer: usize,
        dancer: &ModelRef<Pose>,
        edit: impl FnOnce(&mut Pose),
    ) {
        self.world.edit(peer, |store| store.update(dancer, edit).unwrap()).unwrap();
    }

    /// A dancer as a peer sees it.
    pub(crate) fn see(&self, peer: usize, dancer: &ModelRef<Pose>) -> Option<Pose> {
        self.world.peer(peer).store().get(dancer).cloned()
    }

    /// The cursor as a peer sees it.
    pub(crate) fn cursor(&self, peer: usize) -> [f32; 2] {
        self.world.peer(peer).store().root::<Scene>().unwrap().cursor
    }

    pub(crate) fn point(&mut self, peer: usize, at: [f32; 2]) {
        let edit = |scene: &mut Scene| scene.cursor = at;
        self.world.edit(peer, |store| store.update_root(edit).unwrap()).unwrap();
    }

    /// What stands under a key of a dancer in a peer's document.
    pub(crate) fn stored(&self, peer: usize, dancer: &ModelRef<Pose>, key: &str) -> Option<Value> {
        let table = self.world.peer(peer).store().table();
        match table.get(table.find(dancer.path().unwrap())?, key)? {
            Cell::Value(value) => Some(value.clone()),
            Cell::Counter(_) | Cell::Object(_) => None,
        }
    }

    /// How many bytes a peer has said and heard on its state lane.
    pub(crate) fn state_bytes(&self, peer: usize) -> u64 {
        let state = self.world.peer(peer).statistics(self.world.now()).state;
        state.sent.bytes + state.received.bytes
    }

    pub(crate) fn received(&self, peer: usize) -> u64 {
        self.world.peer(peer).statistics(self.world.now()).state.received.bytes
    }

    /// What peers were told since this was asked.
    pub(crate) fn events(&mut self) -> Vec<(usize, Event)> {
        self.world.take_events()
    }
}
