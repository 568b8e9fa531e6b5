//! A room with targets that are shot at, and what its peers hear of that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use parlor::proto::config::{PeerConfig, SignalConfig};
use parlor::proto::event::{Event, State};
use parlor::proto::id::PeerId;
use parlor::sim::World;
use parlor::sim::network::Network;
use parlor::sim::oracle;
use parlor::{
    Audience, Model, ModelRef, Origin, RealtimeSet, Signal, SignalError, SignalId, Signalled,
    Subject,
};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

/// The room.
#[derive(Clone, Debug, Default, Model)]
pub(crate) struct Field {
    #[property(1)]
    pub(crate) targets: RealtimeSet<Target>,
}

/// What is shot at.
#[derive(Clone, Debug, Default, Model)]
pub(crate) struct Target {
    #[property(1)]
    pub(crate) name: String,
    #[property(2)]
    pub(crate) shot: Signal<Shot>,
}

/// What a shot says.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Shot {
    pub(crate) number: u32,
    pub(crate) at: [f32; 2],
}

/// A world of such a room.
pub(crate) struct Range {
    pub(crate) world: World,
    events: BTreeMap<usize, Vec<Event>>,
}

impl Range {
    /// A room with peers that are in it.
    pub(crate) fn new(seed: u64, network: Network, peers: usize) -> Self {
        let mut range =
            Self { world: World::new(seed, network, Field::shape), events: BTreeMap::new() };
        range.world.keep_events();
        for _ in 0..peers {
            let peer = range.world.add_peer(PeerConfig::default());
            range.world.connect(peer);
        }
        range.world.run(Duration::from_secs(2));
        range
    }

    /// A room in which nobody is away for too long.
    fn patient(seed: u64, peers: usize) -> Self {
        let mut range = Self::new(seed, Network::LAN, 0);
        let long = Duration::from_secs(300);
        range.configure(|signals| signals.kept_for = long);
        for _ in 0..peers {
            let config = PeerConfig { signal_age: long, attempts: 0, ..PeerConfig::default() };
            let peer = range.world.add_peer(config);
            range.world.connect(peer);
        }
        range.world.run(Duration::from_secs(2));
        range
    }

    /// A room in which one peer is, that knows no relay.
    pub(crate) fn alone(seed: u64) -> Self {
        let mut range = Self::new(seed, Network::LAN, 0);
        range.world.add_peer(PeerConfig::default());
        range
    }

    /// The relay begins anew, with another configuration, and everybody comes back.
    pub(crate) fn configure(&mut self, change: impl FnOnce(&mut SignalConfig)) {
        self.world.configure_relay(|hub| change(&mut hub.signals));
        self.world.run(Duration::from_secs(5));
        self.events.clear();
        self.world.take_events();
    }

    pub(crate) fn id(&self, peer: usize) -> PeerId {
        self.world.peer(peer).peer()
    }

    /// A target of which only its maker knows yet.
    pub(crate) fn new_target(&mut self, peer: usize) -> ModelRef<Target> {
        let targets = self.world.peer(peer).store().root::<Field>().unwrap().targets.clone();
        self.world.edit(peer, |store| targets.add(store, Target::default())).unwrap().unwrap()
    }

    /// A target that everybody knows.
    pub(crate) fn target(&mut self, peer: usize) -> ModelRef<Target> {
        let target = self.new_target(peer);
        self.world.run(Duration::from_secs(2));
        self.events.clear();
        self.world.take_events();
        target
    }

    pub(crate) fn fire(
        &mut self,
        peer: usize,
        target: &ModelRef<Target>,
        shot: Shot,
    ) -> Result<SignalId, SignalError> {
        let signal = self.world.peer(peer).store().get(target).unwrap().shot.clone();
        self.world.edit(peer, |store| signal.fire(store, &shot)).unwrap()
    }

    pub(crate) fn call(
        &mut self,
        peer: usize,
        to: Audience,
        name: &str,
        payload: &[u8],
    ) -> Result<SignalId, SignalError> {
        let (subject, payload) = (Subject::Name(name.to_owned()), Bytes::copy_from_slice(payload));
        self.world.edit(peer, |store| store.signal(to, subject, payload)).unwrap()
    }

    pub(crate) fn read(
        &self,
        peer: usize,
        target: &ModelRef<Target>,
        signal: &Signalled,
    ) -> Option<Shot> {
        self.world.peer(peer).store().get(target)?.shot.said(signal)
    }

    /// What a peer was told since this was last asked.
    pub(crate) fn events(&mut self, peer: usize) -> Vec<Event> {
        for (peer, event) in self.world.take_events() {
            self.events.entry(peer).or_default().push(event);
        }
        self.events.remove(&peer).unwrap_or_default()
    }

    /// The signals among that.
    pub(crate) fn signals(&mut self, peer: usize) -> Vec<Signalled> {
        let signals = self.events(peer).into_iter().filter_map(|event| match event {
            Event::Signal(signal) => Some(signal),
            _ => None,
        });
        signals.collect()
    }

    /// The shots among that, with whose they are.
    pub(crate) fn heard(
        &mut self,
        peer: usize,
        target: &ModelRef<Target>,
    ) -> Vec<(PeerId, u32, Origin)> {
        let signals = self.signals(peer);
        let shots = signals.iter().map(|signal| {
            let shot = self.read(peer, target, signal).unwrap();
            (signal.by, shot.number, signal.origin)
        });
        shots.collect()
    }

    /// The numbers of the shots.
    pub(crate) fn numbers(&mut self, peer: usize, target: &ModelRef<Target>) -> Vec<u32> {
        self.heard(peer, target).into_iter().map(|(_, number, _)| number).collect()
    }

    /// The numbers of the shots, and how often it was told that it missed some.
    pub(crate) fn numbers_and_gaps(
        &mut self,
        peer: usize,
        target: &ModelRef<Target>,
    ) -> (Vec<u32>, usize) {
        let events = self.events(peer);
        let gaps = events.iter().filter(|event| matches!(event, Event::SignalsMissed)).count();
        let numbers = events.iter().filter_map(|event| match event {
            Event::Signal(signal) => Some(self.read(peer, target, signal)?.number),
            _ => None,
        });
        (numbers.collect(), gaps)
    }

    /// The named signals, as text.
    pub(crate) fn said(&mut self, peer: usize) -> Vec<String> {
        let signals = self.signals(peer).into_iter();
        let text = signals.map(|signal| {
            let payload = String::from_utf8(signal.payload.to_vec()).unwrap();
            format!("{} {payload}", signal.subject)
        });
        text.collect()
    }
}

/// What was given, and who has to hear it.
#[derive(Default)]
struct Score {
    /// By sender and number: who was in the room.
    given: BTreeMap<(PeerId, u32), BTreeSet<usize>>,
    /// What each heard, in order.
    heard: BTreeMap<usize, Vec<(PeerId, u32)>>,
    /// Those that their senders were told may be lost.
    lost: BTreeSet<(PeerId, u32)>,
    ids: BTreeMap<(usize, SignalId), u32>,
    /// Who was told that it missed some.
    missed: BTreeSet<usize>,
}

impl Score {
    fn look(&mut self, range: &mut Range, target: &ModelRef<Target>) -> Result<(), String> {
        for peer in 0..range.world.len() {
            for event in range.events(peer) {
                match event {
                    Event::Signal(signal) => {
                        let shot = range.read(peer, target, &signal).ok_or("unreadable")?;
                        self.heard.entry(peer).or_default().push((signal.by, shot.number));
                    }
                    Event::SignalLost { id } => {
                        let number = self.ids.get(&(peer, id)).ok_or("lost, and never given")?;
                        self.lost.insert((range.id(peer), *number));
                    }
                    Event::SignalsMissed => drop(self.missed.insert(peer)),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Whether each heard in each sender's order, nothing twice, and, unless the relay forgot, all.
    fn check(&self, forgot: bool) -> Result<(), String> {
        for (peer, heard) in &self.heard {
            let mut last = BTreeMap::new();
            for (by, number) in heard {
                let before = last.insert(by, number);
                if before.is_some_and(|before| before >= number) {
                    return Err(format!("peer {peer} heard {number} of {by} behind {before:?}"));
                }
            }
        }
        for ((by, number), audience) in &self.given {
            for peer in audience {
                let all = self.heard.get(peer).is_some_and(|all| all.contains(&(*by, *number)));
                // Of what a relay forgot who gave it is told, or who was to hear it.
                let told = self.lost.contains(&(*by, *number)) || self.missed.contains(peer);
                if !(all || forgot && told) {
                    return Err(format!("peer {peer} never heard {number} of {by}"));
                }
            }
        }
        let whole = self.lost.is_empty() && self.missed.is_empty();
        if !(forgot || whole) {
            return Err(format!("lost: {:?}, missed by {:?}", self.lost, self.missed));
        }
        Ok(())
    }
}

/// Three to five peers shoot, and links break, sleep and lose, none for so long that it counts as gone.
pub(crate) fn play(seed: u64, crashes: bool) -> Result<(), String> {
    let mut rng = ChaCha12Rng::seed_from_u64(seed ^ 0x51_9a17);
    let network = [Network::LOCKSTEP, Network::LAN, Network::LOSSY, Network::MOBILE]
        [usize::try_from(seed % 4).unwrap()];
    let peers = 3 + usize::try_from(rng.next_u32() % 3).unwrap();
    let mut range = Range::patient(seed, peers);
    let target = range.target(0);
    range.world.set_network(network);
    let (mut score, mut crashed) = (Score::default(), false);
    for number in 0..150 {
        let peer = usize::try_from(rng.next_u32()).unwrap() % peers;
        match rng.next_u32() % 12 {
            0 => range.world.cut(peer),
            1 => range.world.sleep(peer),
            2 => range.world.cut_history(),
            3 if crashes && rng.next_u32() % 4 == 0 => {
                crashed = true;
                range.world.crash_relay();
                range.world.start_relay();
            }
            4 => {
                range.world.mend(peer);
                range.world.wake(peer);
            }
            _ => shoot(&mut range, &mut score, (peer, &target), number),
        }
        let span = [0, 1, 10, 100, 300][usize::try_from(rng.next_u32() % 5).unwrap()];
        range.world.run(Duration::from_millis(span));
        score.look(&mut range, &target)?;
    }
    oracle::heal(&mut range.world);
    range.world.run(Duration::from_secs(40));
    score.look(&mut range, &target)?;
    for peer in 0..peers {
        if *range.world.peer(peer).state() != State::Ready {
            return Err(format!("peer {peer} is {:?}", range.world.peer(peer).state()));
        }
    }
    score.check(crashed)
}

/// One shoots. Those that are asleep do not.
fn shoot(
    range: &mut Range,
    score: &mut Score,
    (peer, target): (usize, &ModelRef<Target>),
    number: u32,
) {
    let signal = range.world.peer(peer).store().get(target).unwrap().shot.clone();
    let shot = Shot { number, at: [0.5, -0.5] };
    let given = range.world.edit(peer, |store| signal.fire(store, &shot));
    if let Some(given) = given {
        score.ids.insert((peer, given.unwrap()), number);
        score.given.insert((range.id(peer), number), (0..range.world.len()).collect());
    }
}
