//! A relay whose rooms are on disk, and rooms on it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parlor::Model;
use parlor::net::{Relay, RelayNetConfig};
use parlor::proto::config::HubConfig;
use parlor::proto::hub::Hub;
use parlor::proto::id::{AppKey, Identity};
use parlor::proto::model::handle::{RealtimeSet, Text};
use parlor::room::{ConnectOptions, Room};
use parlor::store::disk::DiskStatistics;
use parlor::store::{DiskStore, DiskStoreConfig};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::Failure;

pub(crate) const KEY: &str = "bench-disk-key";

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a room holds.
#[derive(Clone, Debug, Default, Model)]
pub(crate) struct Hall {
    #[property(1)]
    pub(crate) count: i64,
    #[property(2)]
    pub(crate) pages: RealtimeSet<Page>,
    #[property(3)]
    pub(crate) notes: Text,
}

/// A part of a large room.
#[derive(Clone, Debug, Default, Model)]
pub(crate) struct Page {
    #[property(1)]
    pub(crate) text: String,
}

/// A relay that runs.
pub(crate) struct Stage {
    store: Arc<Mutex<DiskStore>>,
    address: String,
    end: oneshot::Sender<()>,
    relay: JoinHandle<()>,
}

impl Stage {
    /// Opens the store in a folder, and begins. Rooms close soon after their members have left.
    pub(crate) async fn begin(folder: &Path, boot: u32) -> Result<Self, Failure> {
        let store = DiskStore::open(&folder.join("rooms"), DiskStoreConfig::default())?;
        let store = Arc::new(Mutex::new(store));
        let identity = Identity::from_seed([1; 32]);
        let epoch = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?;
        let linger = Duration::from_millis(200);
        let hub = HubConfig { linger, joins_per_minute: 1_000_000, ..HubConfig::default() };
        let keys = [AppKey::new(KEY)?];
        let hub = Hub::new(identity.clone(), keys, hub, epoch, [1; 32], boot);
        let config = RelayNetConfig { exempt_loopback: true, ..RelayNetConfig::default() };
        let listen = ["/ip4/127.0.0.1/udp/0/quic-v1"];
        let relay = Box::pin(Relay::bind(&identity, &listen, config, hub)).await?;
        let relay = relay.with_store(Box::new(Arc::clone(&store)));
        let address = relay.addresses()[0].clone();
        let (end, ended) = oneshot::channel();
        let relay = tokio::spawn(async move {
            Box::pin(relay.run(async { ended.await.unwrap_or(()) })).await;
        });
        Ok(Self { store, address, end, relay })
    }

    /// Where it can be dialed.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// A room, once it is ready.
    pub(crate) async fn enter(&self, room: &str) -> Result<Room<Hall>, Failure> {
        let mut room = Room::connect(ConnectOptions::new(room, KEY, &[&self.address]))?;
        timeout(PATIENCE, room.ready()).await??;
        Ok(room)
    }

    /// What the store did until now.
    pub(crate) fn statistics(&self) -> DiskStatistics {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).statistics()
    }

    /// Ends it, and closes the store.
    pub(crate) async fn end(self) -> Result<(), Failure> {
        self.end.send(()).ok();
        timeout(PATIENCE, self.relay).await??;
        Ok(())
    }
}
