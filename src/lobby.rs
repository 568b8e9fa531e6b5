//! What an application asks a relay about rooms, while it is in none.

use std::time::Duration;

use crate::net::{Carrier, Clock, NetConfig, RelayAddress};
use crate::proto::config::PeerConfig;
use crate::proto::id::{AppKey, Identity, PeerId, RoomId, RoomName};
use crate::proto::lobby::Lobby as Machine;
use crate::proto::reason::RequestError;
use crate::proto::service::{Answer, Group, Page, Record, Request, RequestId, Seat};
use crate::room::{ConnectError, entropy};

/// Which relay, and who asks.
#[derive(Clone, Debug)]
pub struct LobbyOptions {
    /// The secret that the application's peers and its relay share.
    pub app_key: String,
    /// Where the relay is, or several are: see [`ConnectOptions::relay`](crate::ConnectOptions::relay).
    pub relay: Vec<String>,
    /// Who asks. A seat that is found is held for this one, which must be the one that comes into the
    /// room; by default somebody new.
    pub identity: Option<Identity>,
    /// What the application's server has given it, where that is asked for.
    pub token: Option<String>,
    /// Its requests, waits and limits count.
    pub config: PeerConfig,
    /// How the network behaves.
    pub net: NetConfig,
}

impl LobbyOptions {
    /// A relay, with everything else at its default.
    #[must_use]
    pub fn new(app_key: &str, relay: &[&str]) -> Self {
        Self {
            app_key: app_key.to_owned(),
            relay: relay.iter().map(|&address| address.to_owned()).collect(),
            identity: None,
            token: None,
            config: PeerConfig::default(),
            net: NetConfig::default(),
        }
    }
}

/// Asks a relay about rooms. It is in no room itself; it has a link while something is not answered,
/// and a little longer.
#[derive(Debug)]
pub struct Lobby {
    machine: Machine,
    carrier: Carrier,
    clock: Clock,
    peer: PeerId,
}

impl Lobby {
    /// Somebody who can ask. Nothing is said before the first request.
    ///
    /// # Errors
    ///
    /// When an option cannot be used. That the relay cannot be reached is the answer to a request.
    pub fn new(options: LobbyOptions) -> Result<Self, ConnectError> {
        let identity = match options.identity {
            Some(identity) => identity,
            None => Identity::from_seed(entropy()?),
        };
        let addresses: Vec<RelayAddress> =
            options.relay.iter().map(|address| address.parse()).collect::<Result<_, _>>()?;
        let (peer, app_key) = (identity.peer(), AppKey::new(options.app_key)?);
        let mut machine = Machine::new(peer, app_key, options.config, entropy()?);
        machine.set_token(options.token);
        let carrier = Carrier::new(&identity, addresses, options.net)?;
        Ok(Self { machine, carrier, clock: Clock::new(), peer })
    }

    /// Who asks.
    #[must_use]
    pub const fn peer(&self) -> PeerId {
        self.peer
    }

    /// Which relay is, or was last, asked, if there was a link yet. What it says is of its own rooms:
    /// who goes into one, of several relays, takes the addresses of this one.
    #[must_use]
    pub const fn relay(&self) -> Option<PeerId> {
        self.carrier.relay()
    }

    /// A page of the rooms of this application that are listed, by name.
    ///
    /// # Errors
    ///
    /// When the relay cannot be asked or says no.
    pub async fn list(&mut self, page: u32, size: u32) -> Result<Page, RequestError> {
        match self.request(&Request::List { page, size }).await? {
            Answer::Page(page) => Ok(page),
            other => Err(odd(&other)),
        }
    }

    /// The room of an id.
    ///
    /// # Errors
    ///
    /// When the relay cannot be asked, there is no such room, or this peer may not know of it.
    pub async fn find(&mut self, id: RoomId) -> Result<Record, RequestError> {
        self.record(&Request::Find(id)).await
    }

    /// The room of a name.
    ///
    /// # Errors
    ///
    /// When the relay cannot be asked, there is no such room, or this peer may not know of it.
    pub async fn peek(&mut self, name: &RoomName) -> Result<Record, RequestError> {
        self.record(&Request::Peek(name.clone())).await
    }

    async fn record(&mut self, request: &Request) -> Result<Record, RequestError> {
        match self.request(request).await? {
            Answer::Room(record) => Ok(*record),
            other => Err(odd(&other)),
        }
    }

    /// A seat in a room of a group, held for this peer for a while: see [`Request::Match`].
    ///
    /// # Errors
    ///
    /// When the relay cannot be asked or says no.
    pub async fn seat(&mut self, group: &Group, capacity: u32) -> Result<Seat, RequestError> {
        match self.request(&Request::Match { group: group.clone(), capacity }).await? {
            Answer::Seat(seat) => Ok(seat),
            other => Err(odd(&other)),
        }
    }

    /// Asks for something, and waits for the answer, at most
    /// [`PeerConfig::join_timeout`] once there is a link.
    ///
    /// # Errors
    ///
    /// When the relay cannot be asked or says no.
    pub async fn request(&mut self, request: &Request) -> Result<Answer, RequestError> {
        let id = self.machine.ask(request, self.clock.now())?;
        self.perform();
        loop {
            if let Some(answer) = self.answer_to(id) {
                return answer;
            }
            self.wait().await;
        }
    }

    /// The answer to a request; those to requests that nobody waits for any more are dropped.
    fn answer_to(&mut self, id: RequestId) -> Option<Result<Answer, RequestError>> {
        while let Some((answered, answer)) = self.machine.poll_answer() {
            if answered == id {
                return Some(answer);
            }
        }
        None
    }

    async fn wait(&mut self) {
        let latest = self.clock.now() + Duration::from_secs(1);
        let due = self.machine.poll_timeout().map_or(latest, |due| due.min(latest));
        let timeout = self.clock.sleep_until(Some(due));
        tokio::select! {
            input = self.carrier.wait_input() => self.machine.handle(self.clock.now(), input),
            () = timeout => {}
        }
        self.machine.tick(self.clock.now());
        self.perform();
    }

    fn perform(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            self.carrier.perform(effect);
        }
    }
}

/// An answer to another question.
fn odd(answer: &Answer) -> RequestError {
    tracing::warn!(?answer, "an answer to another question");
    RequestError::Odd
}
