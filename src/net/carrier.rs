//! The network under one room: what a client's side of the wall is driven by.

use std::sync::{Mutex, mpsc as blocking};
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;

use crate::net::address::RelayAddress;
use crate::net::clock::Clock;
use crate::net::config::NetConfig;
use crate::net::link::Happening;
use crate::net::links::{Command, Links, SwarmEnd};
use crate::net::swarm::{BuildError, Network};
use crate::net::voice::VoiceDesk;
use crate::proto::event::{Effect, Input};
use crate::proto::id::{Identity, PeerId};
use crate::proto::time::Time;

/// How much longer than links may linger a carrier waits for its network to end.
const GRACE: Duration = Duration::from_millis(500);

/// Why a carrier could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CarrierError {
    /// There is nothing to dial.
    #[error("no address of a relay was given: pass at least one")]
    NoAddress,
    /// The system did not give it a thread.
    #[error("the thread for the network cannot be started: {0}")]
    Thread(#[source] std::io::Error),
}

/// Links to a relay, for a machine that is driven from outside: it takes the machine's effects and
/// holds the inputs for it. Any number of them may live in a process. Of several relays it has a link
/// with one, by [`NetConfig::relays`].
///
/// None of its methods waits, except those that are `async`. Inputs wait in a queue of
/// [`NetConfig::inputs`]; while it is full nothing is read from the relay. Dropped, it ends its links
/// once what was sent before is out, and waits for that at most twice [`NetConfig::linger`] and half
/// a second; on a runtime of the caller's ([`Self::on`]) it does not wait.
#[derive(Debug)]
pub struct Carrier {
    clock: Clock,
    links: Links,
    relay: Option<PeerId>,
    desk: VoiceDesk,
    background: Option<Background>,
    patience: Duration,
}

#[derive(Debug)]
enum Background {
    /// A thread, and what it holds the other half of while the network is alive. The mutex is only
    /// for the carrier to be `Sync`.
    Thread(Mutex<blocking::Receiver<()>>),
    Task(JoinHandle<()>),
}

impl Carrier {
    /// A carrier with a thread of its own for the network.
    ///
    /// # Errors
    ///
    /// When there is no address or no thread. That a relay cannot be reached is not an error here
    /// but the answer to [`Effect::Dial`].
    pub fn new(
        identity: &Identity,
        addresses: Vec<RelayAddress>,
        config: NetConfig,
    ) -> Result<Self, CarrierError> {
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(CarrierError::Thread)?;
        let (mut carrier, network) = Self::prepare(identity, addresses, config)?;
        let (alive, ended) = blocking::sync_channel(0);
        thread::Builder::new()
            .name("parlor-net".to_owned())
            .spawn(move || {
                runtime.block_on(network);
                drop(runtime);
                drop(alive);
            })
            .map_err(CarrierError::Thread)?;
        carrier.background = Some(Background::Thread(Mutex::new(ended)));
        Ok(carrier)
    }

    /// A carrier whose network runs on `runtime`, which must have its timers and its input and
    /// output enabled.
    ///
    /// # Errors
    ///
    /// When there is no address.
    pub fn on(
        runtime: &Handle,
        identity: &Identity,
        addresses: Vec<RelayAddress>,
        config: NetConfig,
    ) -> Result<Self, CarrierError> {
        let (mut carrier, network) = Self::prepare(identity, addresses, config)?;
        carrier.background = Some(Background::Task(runtime.spawn(network)));
        Ok(carrier)
    }

    /// How long it has been since this carrier was made.
    #[must_use]
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// The clock that [`Self::now`] reads.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// Which relay the last link that came up is, or was, with.
    #[must_use]
    pub const fn relay(&self) -> Option<PeerId> {
        self.relay
    }

    /// Where packets of voice come and go.
    #[must_use]
    pub fn voice(&self) -> VoiceDesk {
        self.desk.clone()
    }

    /// The next input for the machine, if there is one.
    pub fn poll_input(&mut self) -> Option<Input> {
        let input = self.links.poll_input()?;
        Some(self.noted(input))
    }

    /// The next input for the machine, once there is one; never, if the network has ended. Can be
    /// cancelled without losing any. Works on any executor.
    pub async fn wait_input(&mut self) -> Input {
        match self.links.next_input().await {
            Some(input) => self.noted(input),
            None => std::future::pending().await,
        }
    }

    /// Does what the machine asks for.
    ///
    /// A frame for a link that has ended is dropped. One for which there is no room
    /// ([`NetConfig::outbox_bytes`]) ends its link.
    pub fn perform(&mut self, effect: Effect) {
        self.links.perform(effect);
    }

    /// Ends all links once what was sent before is out, and returns when they have ended, at most
    /// twice [`NetConfig::linger`] later.
    pub async fn close(mut self) {
        self.links.close();
        // What comes in until then is for nobody, but must not stand in the way.
        while self.links.next_input().await.is_some() {}
        if let Some(Background::Task(task)) = self.background.take() {
            // An error means that the runtime has ended it.
            task.await.ok();
        }
    }

    fn noted(&mut self, input: Input) -> Input {
        if let Input::Connected { peer, .. } = input {
            self.relay = Some(peer);
        }
        input
    }

    fn prepare(
        identity: &Identity,
        addresses: Vec<RelayAddress>,
        config: NetConfig,
    ) -> Result<(Self, impl Future<Output = ()> + Send + use<>), CarrierError> {
        if addresses.is_empty() {
            return Err(CarrierError::NoAddress);
        }
        let clock = Clock::new();
        let patience = config.linger.saturating_mul(2) + GRACE;
        let (links, end) = Links::new(&config, clock);
        let desk = VoiceDesk::new(links.voice().outgoing.clone());
        let for_network = desk.clone();
        let carrier = Self { clock, links, relay: None, desk, background: None, patience };
        let identity = identity.clone();
        let network = Box::pin(async move {
            let end = (end, for_network);
            let network = Network::client(&identity, addresses, config, clock, end);
            match Box::pin(network).await {
                Ok(network) => Box::pin(network.run()).await,
                Err((error, end)) => refuse_dials(end, &error).await,
            }
        });
        Ok((carrier, network))
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.links.close();
        if let Some(Background::Thread(ended)) = self.background.take()
            && let Ok(ended) = ended.into_inner()
        {
            // What ends this is that the thread drops its half, or that it takes too long.
            self.links.stop_listening();
            ended.recv_timeout(self.patience).ok();
        }
    }
}

/// Answers every dial with why there is no network.
async fn refuse_dials(mut end: SwarmEnd, error: &BuildError) {
    while let Some(Command::Dial) = end.commands.recv().await {
        let unreachable =
            Input::Unreachable { why: format!("the network cannot be started: {error}") };
        // An error means that nobody is interested any more.
        end.happenings.send(Happening::Input(unreachable)).await.ok();
    }
}
