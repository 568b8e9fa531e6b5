//! The relay: a machine behind listeners.

use std::collections::BTreeMap;

use futures::FutureExt;
use futures::future::{self, BoxFuture};
use libp2p::Multiaddr;
use libp2p::multiaddr::Error;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::net::clock::Clock;
use crate::net::config::RelayNetConfig;
use crate::net::keeper::{Keeper, Order};
use crate::net::links::Links;
use crate::net::operator::{Operator, OperatorError, Request};
use crate::net::swarm::Network;
use crate::proto::authorisation::{Question, Verdict};
use crate::proto::event::{Effect, Input};
use crate::proto::id::{Identity, Link, RoomKey};
use crate::proto::time::Time;
use crate::store::RoomStore;

/// Where a relay listens unless it is told otherwise.
pub const DEFAULT_LISTEN: [&str; 3] =
    ["/ip4/0.0.0.0/udp/4433/quic-v1", "/ip4/0.0.0.0/tcp/4433", "/ip4/0.0.0.0/tcp/4434/ws"];

/// Packets of voice that a machine is told of before it is asked what is due: what is due waits for no
/// more.
const AT_ONCE: u32 = 64;

/// A pure machine, as its driver sees it.
///
/// After every call its effects are drained, then it may [publish](Self::publish).
pub trait Machine {
    /// Something happened outside.
    fn handle(&mut self, now: Time, input: Input);
    /// The time that [`Self::poll_timeout`] asked for has come.
    fn tick(&mut self, now: Time);
    /// What to do outside, until there is nothing more.
    fn poll_effect(&mut self) -> Option<Effect>;
    /// When to call [`Self::tick`], if ever. [`Input::Spoken`] does not change it.
    fn poll_timeout(&mut self) -> Option<Time>;
    /// The relay is going down: last words to every link, which then end.
    fn shut_down(&mut self, _now: Time) {}
    /// A place to drain events to the log and to counters.
    fn publish(&mut self) {}
    /// There is a store from now on, for [`Effect::Commit`] and [`Effect::Fetch`], and what it keeps
    /// outlives the relay or not. By default it is not used.
    fn keep_rooms(&mut self, _is_durable: bool) {}
    /// Whether a room is open, or was asked for with [`Effect::Fetch`] without an answer yet, or something of
    /// it is to be kept that was not asked for with [`Effect::Commit`] yet: then what is kept of it cannot
    /// be replaced beside the machine. By default none ever is.
    fn is_open(&self, _room: &RoomKey) -> bool {
        false
    }
    /// Asks an application's server whether a peer may come in, for [`Effect::Authorise`]. The answer
    /// goes back to the machine, unless the relay ends before. By default there is nobody to ask.
    fn authorise(&self, _question: Question) -> BoxFuture<'static, Option<Verdict>> {
        future::ready(None).boxed()
    }
}

/// Why a relay does not run. The text says what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RelayError {
    /// An address to listen at is malformed.
    #[error("`{address}` is not an address ({why}): write it like {}", DEFAULT_LISTEN[0])]
    Address {
        /// The text.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// An address to listen at is not available.
    #[error("cannot listen at {address}: {why}; is another relay running?")]
    Listen {
        /// Which address.
        address: String,
        /// What the system says.
        why: String,
    },
    /// No address was given.
    #[error("no address to listen at was given: pass one like {}", DEFAULT_LISTEN[0])]
    NoAddress,
    /// The transports could not be set up.
    #[error("the network cannot be started: {why}")]
    Start {
        /// What the system says.
        why: String,
    },
}

/// A machine whose links come from listeners.
pub struct Relay<M> {
    machine: M,
    clock: Clock,
    links: Links,
    /// Boxed, for it is large and its relay is moved.
    network: Box<Network>,
    addresses: Vec<String>,
    config: RelayNetConfig,
    store: Option<Box<dyn RoomStore>>,
    operator: Operator,
    requests: mpsc::Receiver<Request>,
}

impl<M: Machine> Relay<M> {
    /// Listens at each address of `listen` and returns once all of them are up. Links are taken, and
    /// wait for [`Self::run`].
    ///
    /// # Errors
    ///
    /// When an address is malformed or not available.
    pub async fn bind(
        identity: &Identity,
        listen: &[&str],
        config: RelayNetConfig,
        machine: M,
    ) -> Result<Self, RelayError> {
        if listen.is_empty() {
            return Err(RelayError::NoAddress);
        }
        let mut parsed = Vec::new();
        for address in listen {
            let multiaddr: Multiaddr = address.parse().map_err(|why: Error| {
                RelayError::Address { address: (*address).to_owned(), why: why.to_string() }
            })?;
            parsed.push(multiaddr);
        }
        let clock = Clock::new();
        let (links, end) = Links::new(&config.net, clock);
        let network = Box::pin(Network::relay(identity, config.clone(), clock, end)).await;
        let mut network =
            Box::new(network.map_err(|error| RelayError::Start { why: error.to_string() })?);
        let mut addresses = Vec::new();
        for address in parsed {
            let text = address.to_string();
            let found = network
                .listen(address)
                .await
                .map_err(|why| RelayError::Listen { address: text, why })?;
            let peer = identity.peer();
            addresses.extend(found.iter().map(|address| format!("{address}/p2p/{peer}")));
        }
        let (operator, requests) = Operator::new();
        let store = None;
        Ok(Self { machine, clock, links, network, addresses, config, store, operator, requests })
    }

    /// Keeps rooms in a store, and opens them from there: if what that keeps outlives this relay, all that
    /// comes to them while they are open, else what they are when they close and when this relay ends.
    #[must_use]
    pub fn with_store(mut self, store: Box<dyn RoomStore>) -> Self {
        self.machine.keep_rooms(store.is_durable());
        self.store = Some(store);
        self
    }

    /// Where this relay can be dialed, as it was when it began: with its id, the ports that the system
    /// chose, and one for each of the computer's addresses if it listens at all of them.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Who can do something to closed rooms while this relay runs.
    #[must_use]
    pub fn operator(&self) -> Operator {
        self.operator.clone()
    }

    /// The clock that the machine is told the time of.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// Drives the machine until `shutdown` is ready; then lets it say its last words, ends every
    /// link once they are out, and returns it, at most twice
    /// [`NetConfig::linger`](crate::net::NetConfig::linger) later.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> M {
        let Self { mut machine, clock, links, network, config, store, mut requests, .. } = self;
        let mut tasks = JoinSet::new();
        tasks.spawn(Box::pin(network.run()));
        let keeper = store.map(|store| Keeper::begin(store, config.orders));
        let mut outside =
            Outside { clock, links, questions: JoinSet::new(), asking: BTreeMap::new(), keeper };
        tokio::pin!(shutdown);
        let mut deadline = machine.poll_timeout();
        loop {
            let mut is_news = true;
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                // Before what comes from links, which may never end.
                Some(answer) = outside.questions.join_next() => if let Ok((link, verdict)) = answer {
                    outside.asking.remove(&link);
                    machine.handle(clock.now(), Input::Authorised { link, verdict });
                },
                input = Keeper::next(&mut outside.keeper) => machine.handle(clock.now(), input),
                Some(request) = requests.recv() => outside.allow(&machine, request),
                input = outside.links.next_input() => match input {
                    Some(input) => is_news = outside.hear(&mut machine, input),
                    None => break,
                },
                () = clock.sleep_until(deadline) => {}
            }
            outside.settle(&mut machine);
            // Inputs that never end must not keep the timer from its turn.
            if is_news {
                deadline = machine.poll_timeout();
            }
            let now = clock.now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                machine.tick(now);
                outside.settle(&mut machine);
                deadline = machine.poll_timeout();
            }
        }
        // What was not begun is not done.
        drop(requests);
        machine.shut_down(clock.now());
        outside.settle(&mut machine);
        let Outside { mut links, keeper, .. } = outside;
        if let Some(keeper) = keeper {
            let patience = config.net.linger;
            keeper.close(patience, |answer| machine.handle(clock.now(), answer)).await;
            machine.publish();
        }
        links.close();
        let drained = async { while links.next_input().await.is_some() {} };
        // The network keeps to its own time; this is for the case that it does not.
        let patience = config.net.linger.saturating_mul(3);
        tokio::time::timeout(patience, drained).await.ok();
        machine
    }
}

impl<M> std::fmt::Debug for Relay<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// What a machine acts on.
struct Outside {
    clock: Clock,
    links: Links,
    /// What is being asked of applications' servers, and about whom: one for each link at most.
    questions: JoinSet<(Link, Option<Verdict>)>,
    /// What ends a question whose link has ended.
    asking: BTreeMap<Link, AbortHandle>,
    keeper: Option<Keeper>,
}

impl Outside {
    /// A link is over: nobody waits for what is asked about it.
    fn forget(&mut self, link: Link) {
        if let Some(question) = self.asking.remove(&link) {
            question.abort();
        }
    }

    /// Tells the machine of an input, and behind voice of more that are there already: packets come in
    /// crowds, and change nothing of what is due. Returns whether the machine is to be asked about that.
    fn hear<M: Machine>(&mut self, machine: &mut M, input: Input) -> bool {
        let mut is_news = false;
        let mut left = AT_ONCE;
        let mut next = Some(input);
        while let Some(input) = next {
            if let Input::Disconnected { link } = &input {
                self.forget(*link);
            }
            let is_voice = matches!(input, Input::Spoken { .. });
            is_news |= !is_voice;
            machine.handle(self.clock.now(), input);
            // A packet of voice is passed on or not before there is another input.
            self.settle(machine);
            left -= 1;
            next = if is_voice && left > 0 { self.links.poll_input() } else { None };
        }
        is_news
    }

    /// Has the store do something, or says at once that it will not.
    fn order<M: Machine>(&self, machine: &mut M, order: Order) {
        let refused = match &self.keeper {
            Some(keeper) => keeper.order(order).err(),
            None => Some(order),
        };
        if let Some(answer) = refused.and_then(|order| order.refused()) {
            machine.handle(self.clock.now(), answer);
        }
    }

    /// Lets an operator do something to a room, if that is closed: behind all that is to be kept of it,
    /// for the machine has asked for that by now, and before anything that it asks for later.
    fn allow<M: Machine>(&self, machine: &M, request: Request) {
        match &self.keeper {
            None => request.refuse(OperatorError::NoStore),
            Some(_) if machine.is_open(request.room()) => {
                let room = request.room().1.clone();
                request.refuse(OperatorError::Open { room });
            }
            Some(keeper) => keeper.allow(request),
        }
    }

    /// Does what the machine asks for, until it asks for nothing.
    fn settle<M: Machine>(&mut self, machine: &mut M) {
        while let Some(effect) = machine.poll_effect() {
            match effect {
                Effect::Authorise { link, question } => {
                    let verdict = machine.authorise(question);
                    let verdict = verdict.map(move |verdict| (link, verdict));
                    self.asking.insert(link, self.questions.spawn(verdict));
                }
                Effect::Commit { number, keepings } => {
                    let order = Order::Commit { number, keepings };
                    self.order(machine, order);
                }
                Effect::Fetch { room } => self.order(machine, Order::Fetch { room }),
                Effect::Disconnect { link } => {
                    self.forget(link);
                    self.links.perform(effect);
                }
                Effect::Dial
                | Effect::Send { .. }
                | Effect::Tune { .. }
                | Effect::Pass { .. }
                | Effect::Acquaint { .. }
                | Effect::Share(_) => {
                    self.links.perform(effect);
                }
            }
        }
        machine.publish();
    }
}
