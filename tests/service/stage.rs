//! A relay and everybody around it, in one thread and from one seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use parlor::proto::audio::stream::{Share, Shared, Topic, Tune};
use parlor::proto::authorisation::{Question, Verdict};
use parlor::proto::config::{HubConfig, PeerConfig};
use parlor::proto::event::kept::{Keeping, KeptRoom};
use parlor::proto::event::{Effect, Event, Input, Member, State};
use parlor::proto::hub::{Hub, HubEvent};
use parlor::proto::id::{AppKey, Identity, Lane, Link, PeerId, RoomKey, RoomName};
use parlor::proto::lobby::Lobby;
use parlor::proto::peer::{Peer, Setup};
use parlor::proto::reason::Version;
use parlor::proto::time::Time;
use parlor::proto::wire::message::{Hello, Message};
use parlor::proto::wire::{MAX_FRAME, decode, encode};
use parlor::{
    Answer, Denial, Entrance, Model, RealtimeSet, Reason, Record, Request, RequestError, RequestId,
    Text,
};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

#[derive(Clone, Debug, Default, Model)]
pub(crate) struct Nothing {
    #[property(1)]
    pub(crate) count: i64,
    #[property(2)]
    pub(crate) things: RealtimeSet<Thing>,
    #[property(3)]
    pub(crate) notes: Text,
}

#[derive(Clone, Debug, Default, Model)]
pub(crate) struct Thing {
    #[property(1)]
    pub(crate) size: i64,
}

/// Somebody who is at the other end of the relay's links.
#[expect(clippy::large_enum_variant, reason = "there are few")]
enum Machine {
    Peer(Peer),
    Lobby(Lobby),
}

pub(crate) struct End {
    machine: Machine,
    id: PeerId,
    link: Option<Link>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) answers: BTreeMap<RequestId, Result<Answer, RequestError>>,
    /// Whether nothing goes through, either way.
    pub(crate) cut: bool,
    /// What it has to do with which topics of its link.
    pub(crate) tunes: BTreeMap<Topic, Tune>,
    /// Who is to have a direct link with it, and what goes by those.
    pub(crate) known: BTreeSet<PeerId>,
    pub(crate) shares: BTreeMap<Topic, Shared>,
    /// Packets that came, whether or not it was tuned to them.
    pub(crate) heard: Vec<(Topic, Bytes)>,
}

/// How links are.
#[derive(Clone, Copy)]
pub(crate) struct Weather {
    /// Of 1,000 frames so many are lost.
    pub(crate) loss: u64,
    /// Each frame takes up to so long; a lane's keep their order.
    pub(crate) delay: Duration,
}

pub(crate) const CALM: Weather = Weather { loss: 0, delay: Duration::from_millis(10) };
pub(crate) const ROUGH: Weather = Weather { loss: 100, delay: Duration::from_millis(80) };

enum Due {
    Up { end: usize, link: Link, relay: PeerId },
    ToHub { link: Link, input: Input },
    ToEnd { end: usize, link: Link, input: Input },
    Fetched { room: RoomKey, boot: u32 },
    Committed { boot: u32 },
    Heard { end: usize, link: Link, topic: Topic, packet: Bytes },
}

impl End {
    pub(crate) const fn link(&self) -> Option<Link> {
        self.link
    }

    pub(crate) const fn is_linked(&self) -> bool {
        self.link.is_some()
    }
}

/// A disk below a store, in place of [`Stage::kept`].
pub(crate) trait Disk {
    fn commit(&mut self, keepings: Vec<Keeping>);
    fn fetch(&mut self, room: &RoomKey) -> Option<KeptRoom>;
    /// Power is lost, maybe while something is committed; and is back.
    fn lose_power(&mut self, begun: Option<Vec<Keeping>>);
}

pub(crate) struct Stage {
    pub(crate) now: Time,
    pub(crate) hub: Hub,
    pub(crate) ends: Vec<End>,
    pub(crate) told: Vec<HubEvent>,
    /// What the application's server is asked, about whom is at the other end of which link.
    pub(crate) asked: Vec<(Link, Question)>,
    /// The rooms that the relay has given away to be kept, and how long it takes to fetch one, and to
    /// commit.
    pub(crate) kept: BTreeMap<RoomKey, KeptRoom>,
    pub(crate) fetching: Duration,
    pub(crate) committing: Duration,
    /// Where they are instead, if anything is said.
    pub(crate) disk: Option<Box<dyn Disk>>,
    /// Whether the disk has failed.
    pub(crate) has_failed: bool,
    /// When the disk has done all that it was told: one thing after the other.
    disk_free: Time,
    /// Commits that are under way, in the order in which they were begun.
    commits: VecDeque<(u64, Vec<Keeping>)>,
    /// How many commits there were, and bytes in them.
    pub(crate) committed: (u64, usize),
    boot: u32,
    is_durable: bool,
    /// The minor version that the relay and everybody says to speak, if not their own.
    pub(crate) minor: Option<u16>,
    /// How long voices go on without it.
    pub(crate) alone: Duration,
    /// How long others' do once it is back.
    pub(crate) handover: Duration,
    weather: Weather,
    rng: ChaCha12Rng,
    key: AppKey,
    relay: PeerId,
    links: BTreeMap<Link, usize>,
    next_link: u64,
    due: BTreeMap<(Time, u64), Due>,
    sequence: u64,
    /// When the last frame of a lane arrives, by link and way.
    last: BTreeMap<(Link, Lane, bool), Time>,
    /// What each link has to do with which topics, by the relay's word.
    pub(crate) tunes: BTreeMap<(Topic, Link), Tune>,
}

/// How many, by default and where the counts that are stated are run.
pub(crate) fn count(few: u64, many: u64) -> u64 {
    if std::env::var_os("PARLOR_FULL").is_some() { many } else { few }
}

/// So many seeds, or the one that is asked for.
pub(crate) fn seeds(few: u64, many: u64) -> Range<u64> {
    let one = std::env::var("SIM_SEED").ok().map(|seed| seed.parse().unwrap());
    one.map_or_else(|| 0..count(few, many), |seed: u64| seed..seed + 1)
}

fn whole(time: Time) -> Time {
    Time::from_micros(time.as_micros().div_ceil(1_000) * 1_000)
}

pub(crate) fn key() -> AppKey {
    AppKey::new("service").unwrap()
}

pub(crate) fn identity(number: usize) -> Identity {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&(number as u64).to_le_bytes());
    Identity::from_seed(seed)
}

pub(crate) fn name(text: &str) -> RoomName {
    RoomName::new(text).unwrap()
}

fn relay() -> Identity {
    Identity::from_seed([9; 32])
}

fn hub(config: HubConfig, boot: u32) -> Hub {
    Hub::new(relay(), [key()], config, 1_700_000_000_000_000, [1; 32], boot)
}

impl Stage {
    pub(crate) fn new(seed: u64, weather: Weather, config: HubConfig) -> Self {
        let config = HubConfig { joins_per_minute: 100_000, ..config };
        Self {
            now: Time::ZERO,
            hub: hub(config, 1),
            ends: Vec::new(),
            told: Vec::new(),
            asked: Vec::new(),
            kept: BTreeMap::new(),
            fetching: Duration::from_millis(3),
            committing: Duration::from_millis(9),
            disk: None,
            has_failed: false,
            disk_free: Time::ZERO,
            commits: VecDeque::new(),
            committed: (0, 0),
            boot: 1,
            is_durable: false,
            minor: None,
            alone: Duration::from_secs(90),
            handover: Duration::from_secs(40),
            weather,
            rng: ChaCha12Rng::seed_from_u64(seed),
            key: key(),
            relay: relay().peer(),
            links: BTreeMap::new(),
            next_link: 0,
            due: BTreeMap::new(),
            sequence: 0,
            last: BTreeMap::new(),
            tunes: BTreeMap::new(),
        }
    }

    fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        seed
    }

    fn add(&mut self, machine: Machine, id: PeerId) -> usize {
        let (events, answers) = (VecDeque::new(), BTreeMap::new());
        let (tunes, heard) = (BTreeMap::new(), Vec::new());
        let (known, shares) = (BTreeSet::new(), BTreeMap::new());
        self.ends.push(End {
            machine,
            id,
            link: None,
            events,
            answers,
            cut: false,
            tunes,
            known,
            shares,
            heard,
        });
        self.ends.len() - 1
    }

    /// A peer of a room that is not on its way there yet, with the identity of a number.
    pub(crate) fn peer(&mut self, who: usize, room: &str, entrance: Entrance) -> usize {
        let identity = identity(who);
        let id = identity.peer();
        let setup = Setup {
            identity,
            app_key: self.key.clone(),
            room: name(room),
            metadata: Bytes::new(),
            incarnation: self.ends.len() as u64 + 1,
            shape: Nothing::shape(),
            entrance,
        };
        let seed = self.seed();
        let config =
            PeerConfig { alone: self.alone, handover: self.handover, ..PeerConfig::default() };
        self.add(Machine::Peer(Peer::new(setup, config, seed)), id)
    }

    /// A peer that comes in.
    pub(crate) fn enter(&mut self, who: usize, room: &str, entrance: Entrance) -> usize {
        let end = self.peer(who, room, entrance);
        self.connect(end);
        end
    }

    /// Somebody who asks.
    pub(crate) fn lobby(&mut self, who: usize) -> usize {
        let (id, seed) = (identity(who).peer(), self.seed());
        let lobby = Lobby::new(id, self.key.clone(), PeerConfig::default(), seed);
        self.add(Machine::Lobby(lobby), id)
    }

    pub(crate) fn at(&self, end: usize) -> &Peer {
        match &self.ends[end].machine {
            Machine::Peer(peer) => peer,
            Machine::Lobby(_) => panic!("it is in no room"),
        }
    }

    pub(crate) fn at_mut(&mut self, end: usize) -> &mut Peer {
        match &mut self.ends[end].machine {
            Machine::Peer(peer) => peer,
            Machine::Lobby(_) => panic!("it is in no room"),
        }
    }

    pub(crate) fn id(&self, end: usize) -> PeerId {
        self.ends[end].id
    }

    /// Somebody who is never in a room.
    pub(crate) fn hub_peer(&self) -> PeerId {
        self.relay
    }

    pub(crate) fn record(&self, end: usize) -> &Record {
        self.at(end).record().expect("the relay has said what the room is")
    }

    pub(crate) fn members(&self, end: usize) -> Vec<PeerId> {
        self.at(end).members().map(|Member { peer, .. }| *peer).collect()
    }

    pub(crate) fn connect(&mut self, end: usize) {
        let now = self.now;
        self.at_mut(end).connect(now);
        self.settle(end);
    }

    pub(crate) fn leave(&mut self, end: usize) {
        let now = self.now;
        self.at_mut(end).leave(now);
        self.settle(end);
    }

    pub(crate) fn set_presence(
        &mut self,
        end: usize,
        key: &str,
        value: &str,
        ttl: Option<Duration>,
    ) {
        let (now, value) = (self.now, Bytes::copy_from_slice(value.as_bytes()));
        self.at_mut(end).set_presence(key, Some(value), ttl, now).unwrap();
        self.settle(end);
    }

    /// What somebody who asks shows the relay.
    pub(crate) fn set_token(&mut self, end: usize, token: String) {
        match &mut self.ends[end].machine {
            Machine::Peer(_) => panic!("it is on its way to a room"),
            Machine::Lobby(lobby) => lobby.set_token(Some(token)),
        }
    }

    /// Asks, without waiting.
    pub(crate) fn ask(&mut self, end: usize, request: &Request) -> Result<RequestId, RequestError> {
        let now = self.now;
        let asked = match &mut self.ends[end].machine {
            Machine::Peer(peer) => peer.ask(request, now),
            Machine::Lobby(lobby) => lobby.ask(request, now),
        };
        self.settle(end);
        asked
    }

    /// Asks, and waits for the answer.
    pub(crate) fn request(
        &mut self,
        end: usize,
        request: &Request,
    ) -> Result<Answer, RequestError> {
        let id = self.ask(end, request)?;
        self.until("an answer", |stage| stage.ends[end].answers.contains_key(&id));
        self.ends[end].answers.remove(&id).unwrap()
    }

    /// Asks for what is done.
    pub(crate) fn done(&mut self, end: usize, request: &Request) {
        assert_eq!(self.request(end, request), Ok(Answer::Done), "{request:?}");
        self.run(Duration::from_millis(500));
    }

    pub(crate) fn is_ready(&self, end: usize) -> bool {
        *self.at(end).state() == State::Ready
    }

    pub(crate) fn ready(&mut self, end: usize) {
        self.until("ready", |stage| stage.is_ready(end));
    }

    pub(crate) fn closed(&mut self, end: usize) -> Reason {
        self.until("closed", |stage| matches!(stage.at(end).state(), State::Closed(_)));
        match self.at(end).state() {
            State::Closed(reason) => reason.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// How far each peer is.
    fn states(&self) -> Vec<&State> {
        let peers = self.ends.iter().filter_map(|end| match &end.machine {
            Machine::Peer(peer) => Some(peer.state()),
            Machine::Lobby(_) => None,
        });
        peers.collect()
    }

    /// Lets time pass until something is so.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let latest = self.now + Duration::from_secs(120);
        while !is_so(self) {
            assert!(self.now < latest, "never {what}: {:?}", self.states());
            self.step(latest);
        }
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.now < until {
            self.step(until);
        }
    }

    pub(crate) fn write(&mut self, end: usize, count: i64) {
        let now = self.now;
        let peer = self.at_mut(end);
        peer.store_mut().update_root(|root: &mut Nothing| root.count = count).unwrap();
        peer.flush(now);
        self.run(Duration::from_secs(3));
    }

    pub(crate) fn read(&self, end: usize) -> i64 {
        self.at(end).store().root::<Nothing>().unwrap().count
    }

    /// Whether an edit of an end was taken back because it may not write.
    pub(crate) fn was_read_only(&self, end: usize) -> bool {
        let mut events = self.ends[end].events.iter();
        events.any(|event| matches!(event, Event::Refused { why: Denial::ReadOnly, .. }))
    }

    /// The application's server answers the oldest question that it was asked.
    pub(crate) fn answer(&mut self, verdict: Option<Verdict>) -> Question {
        self.until("asked", |stage| !stage.asked.is_empty());
        let (link, question) = self.asked.remove(0);
        self.hub.handle(self.now, Input::Authorised { link, verdict });
        self.settle_hub();
        question
    }

    /// The relay keeps rooms from now on.
    pub(crate) fn keep_rooms(&mut self, is_durable: bool) {
        self.is_durable = is_durable;
        self.hub.keep_rooms(is_durable);
    }

    /// The relay ends in good order, and another begins that keeps rooms.
    pub(crate) fn restart(&mut self, config: HubConfig, boot: u32) {
        self.hub.shut_down(self.now);
        self.settle_hub();
        while let Some((_, keepings)) = self.commits.pop_front() {
            self.carry_out(keepings);
        }
        self.begin_again(config, boot);
    }

    /// The relay's power is lost: of what was under way to its disk, as many commits are there as are
    /// drawn. Another begins at once; whoever was linked hears of it.
    pub(crate) fn crash(&mut self, config: HubConfig, boot: u32) {
        let there = self.rng.next_u64() as usize % (self.commits.len() + 1);
        let mut commits = std::mem::take(&mut self.commits).into_iter().map(|(_, it)| it);
        for keepings in commits.by_ref().take(there) {
            self.carry_out(keepings);
        }
        if let Some(disk) = &mut self.disk {
            disk.lose_power(commits.next());
        }
        self.begin_again(config, boot);
        self.asked.clear();
        self.tunes.clear();
        self.links.clear();
        for end in 0..self.ends.len() {
            if let Some(link) = self.ends[end].link.take() {
                self.ends[end].tunes.clear();
                self.feed_end(end, Input::Disconnected { link });
            }
        }
    }

    fn begin_again(&mut self, config: HubConfig, boot: u32) {
        (self.boot, self.disk_free) = (boot, self.now);
        // By its clock, which goes on.
        self.hub = hub(HubConfig { joins_per_minute: 100_000, ..config }, boot);
        self.hub.keep_rooms(self.is_durable);
    }

    fn carry_out(&mut self, keepings: Vec<Keeping>) {
        self.committed.0 += 1;
        self.committed.1 += keepings.iter().map(Keeping::size).sum::<usize>();
        if let Some(disk) = &mut self.disk {
            disk.commit(keepings);
            return;
        }
        for keeping in keepings {
            match keeping {
                Keeping::Whole { room, image } => {
                    self.kept.insert(room, KeptRoom { image, records: Vec::new() });
                }
                Keeping::More { room, record } => {
                    self.kept
                        .get_mut(&room)
                        .expect("nothing comes to nothing")
                        .records
                        .push(record);
                }
            }
        }
    }

    /// A link breaks, and both sides hear of it at once.
    pub(crate) fn cut(&mut self, end: usize) {
        if let Some(link) = self.ends[end].link.take() {
            self.ends[end].tunes.clear();
            self.tunes.retain(|(_, of), _| *of != link);
            self.links.remove(&link);
            self.feed_end(end, Input::Disconnected { link });
            let now = self.now;
            self.hub.handle(now, Input::Disconnected { link });
            self.settle_hub();
        }
    }

    fn step(&mut self, latest: Time) {
        let ends = self.ends.iter().filter_map(|end| match &end.machine {
            Machine::Peer(peer) => peer.poll_timeout(),
            Machine::Lobby(lobby) => lobby.poll_timeout(),
        });
        let due = self.due.keys().next().map(|(at, _)| *at);
        let next = ends.chain(due).chain(self.hub.poll_timeout()).min();
        // In whole milliseconds: what is due within one is done together.
        let next = next.map_or(latest, |next| whole(next).min(latest));
        self.now = next.max(self.now);
        let now = self.now;
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
            let due = entry.remove();
            self.happen(due);
        }
        if self.hub.poll_timeout().is_some_and(|due| due <= now) {
            self.hub.tick(now);
            self.settle_hub();
        }
        for end in 0..self.ends.len() {
            match &mut self.ends[end].machine {
                Machine::Peer(peer) if peer.poll_timeout().is_some_and(|due| due <= now) => {
                    peer.tick(now);
                }
                Machine::Lobby(lobby) if lobby.poll_timeout().is_some_and(|due| due <= now) => {
                    lobby.tick(now);
                }
                Machine::Peer(_) | Machine::Lobby(_) => continue,
            }
            self.settle(end);
        }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Up { end, link, relay } => {
                self.links.insert(link, end);
                self.ends[end].link = Some(link);
                let peer = self.ends[end].id;
                self.hub.handle(self.now, Input::Connected { link, peer });
                self.settle_hub();
                self.feed_end(end, Input::Connected { link, peer: relay });
            }
            Due::ToHub { link, input } => {
                if self.links.contains_key(&link) {
                    if matches!(input, Input::Disconnected { .. }) {
                        self.links.remove(&link);
                        self.tunes.retain(|(_, of), _| *of != link);
                    }
                    self.hub.handle(self.now, input);
                    self.settle_hub();
                }
            }
            Due::Heard { end, link, topic, packet } => {
                if self.ends[end].link == Some(link) {
                    self.ends[end].heard.push((topic, packet));
                }
            }
            Due::Fetched { room, boot } => {
                if boot == self.boot {
                    let kept = match &mut self.disk {
                        Some(disk) => disk.fetch(&room),
                        None => self.kept.get(&room).cloned(),
                    };
                    let kept = Ok(kept);
                    self.hub.handle(self.now, Input::Fetched { room, kept });
                    self.settle_hub();
                }
            }
            Due::Committed { boot } => {
                if boot == self.boot
                    && let Some((number, keepings)) = self.commits.pop_front()
                {
                    let outcome = if self.has_failed {
                        Err("no space is left".to_owned())
                    } else {
                        self.carry_out(keepings);
                        Ok(Vec::new())
                    };
                    self.hub.handle(self.now, Input::Committed { number, outcome });
                    self.settle_hub();
                }
            }
            Due::ToEnd { end, link, input } => {
                if self.ends[end].link == Some(link) {
                    if matches!(input, Input::Disconnected { .. }) {
                        self.ends[end].link = None;
                        self.ends[end].tunes.clear();
                    }
                    self.feed_end(end, input);
                }
            }
        }
    }

    pub(crate) fn feed_end(&mut self, end: usize, input: Input) {
        let now = self.now;
        match &mut self.ends[end].machine {
            Machine::Peer(peer) => peer.handle(now, input),
            Machine::Lobby(lobby) => lobby.handle(now, input),
        }
        self.settle(end);
    }

    /// Does what an end asks for, and hears what it tells.
    pub(crate) fn settle(&mut self, end: usize) {
        loop {
            let effect = match &mut self.ends[end].machine {
                Machine::Peer(peer) => peer.poll_effect(),
                Machine::Lobby(lobby) => lobby.poll_effect(),
            };
            let Some(effect) = effect else { break };
            match effect {
                Effect::Dial => self.dial(end),
                Effect::Send { link, lane, frame } => {
                    let written = Input::Written { link, lane, bytes: frame.len() };
                    let input = Input::Received { link, lane, frame: self.of_its_age(frame) };
                    self.post((link, lane, true), end, |_| Due::ToHub { link, input });
                    self.feed_quietly(end, written);
                }
                Effect::Authorise { .. } | Effect::Commit { .. } | Effect::Fetch { .. } => {
                    panic!("a peer asks nobody, and keeps nothing");
                }
                Effect::Tune { link, topic, tune } => {
                    if self.ends[end].link == Some(link) {
                        retune(&mut self.ends[end].tunes, topic, tune);
                    }
                }
                Effect::Pass { .. } => panic!("a peer passes nothing on"),
                Effect::Acquaint { peer, known: true } => {
                    assert!(self.ends[end].known.insert(peer), "it is said once");
                }
                Effect::Acquaint { peer, known: false } => {
                    assert!(self.ends[end].known.remove(&peer), "it is said once");
                }
                Effect::Share(shared) => {
                    let shares = &mut self.ends[end].shares;
                    match shared.share {
                        Share::Off => shares.remove(&shared.direct),
                        _ => shares.insert(shared.direct, shared),
                    };
                }
                Effect::Disconnect { link } => {
                    let input = Input::Disconnected { link };
                    self.close((link, true), Due::ToHub { link, input });
                    if self.ends[end].link == Some(link) {
                        self.ends[end].link = None;
                        self.ends[end].tunes.clear();
                    }
                }
            }
        }
        let End { machine, events, answers, .. } = &mut self.ends[end];
        match machine {
            Machine::Peer(peer) => {
                while let Some(event) = peer.poll_event() {
                    if let Event::Answered { request, answer } = &event {
                        answers.insert(*request, answer.clone());
                    }
                    events.push_back(event);
                }
            }
            Machine::Lobby(lobby) => answers.extend(std::iter::from_fn(|| lobby.poll_answer())),
        }
    }

    /// Tells an end something that leads to nothing but what it does anyway.
    fn feed_quietly(&mut self, end: usize, input: Input) {
        match &mut self.ends[end].machine {
            Machine::Peer(peer) => peer.handle(self.now, input),
            Machine::Lobby(lobby) => lobby.handle(self.now, input),
        }
    }

    fn dial(&mut self, end: usize) {
        if self.ends[end].cut {
            let why = "it is cut off".to_owned();
            self.feed_quietly(end, Input::Unreachable { why });
            return;
        }
        self.next_link += 1;
        let (link, relay) = (Link(self.next_link), self.relay);
        let at = self.now + self.draw_delay();
        self.put(at, Due::Up { end, link, relay });
    }

    fn settle_hub(&mut self) {
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Dial => panic!("a relay does not dial"),
                Effect::Send { link, lane, frame } => {
                    let written = Input::Written { link, lane, bytes: frame.len() };
                    let input = Input::Received { link, lane, frame: self.of_its_age(frame) };
                    if let Some(end) = self.links.get(&link).copied() {
                        self.post((link, lane, false), end, |end| Due::ToEnd { end, link, input });
                    }
                    self.hub.handle(self.now, written);
                }
                Effect::Authorise { link, question } => self.asked.push((link, question)),
                Effect::Commit { number, keepings } => {
                    self.commits.push_back((number, keepings));
                    self.disk_free = self.disk_free.max(self.now) + self.committing;
                    self.put(self.disk_free, Due::Committed { boot: self.boot });
                }
                Effect::Acquaint { .. } | Effect::Share(_) => panic!("a relay is no neighbour"),
                Effect::Tune { link, topic, tune } => retune(&mut self.tunes, (topic, link), tune),
                Effect::Pass { link, topic, packet } => self.pass(link, topic, &packet),
                Effect::Fetch { room } => {
                    let at = self.disk_free.max(self.now) + self.fetching;
                    self.put(at, Due::Fetched { room, boot: self.boot });
                }
                Effect::Disconnect { link } => {
                    self.tunes.retain(|(_, of), _| *of != link);
                    if let Some(end) = self.links.remove(&link) {
                        let input = Input::Disconnected { link };
                        self.close((link, false), Due::ToEnd { end, link, input });
                    }
                }
            }
        }
        self.told.extend(std::iter::from_fn(|| self.hub.poll_event()));
    }

    /// A frame as an older program says it: all that is beyond its version depends on what it says of that.
    fn of_its_age(&self, frame: Bytes) -> Bytes {
        match (self.minor, decode(&frame, MAX_FRAME)) {
            (Some(minor), Ok(Message::Hello(hello))) => {
                let version = Version { minor, ..hello.version };
                encode(&Message::Hello(Hello { version, ..hello }))
            }
            _ => frame,
        }
    }

    /// An end publishes a packet to a topic, as its own machine lets it or not.
    pub(crate) fn publish(&mut self, end: usize, topic: Topic, packet: Bytes) {
        let Some(link) = self.ends[end].link else { return };
        if !self.is_lost(end) {
            let at = self.now + self.draw_delay();
            self.put(at, Due::ToHub { link, input: Input::Spoken { link, topic, packet } });
        }
    }

    fn pass(&mut self, from: Link, topic: Topic, packet: &Bytes) {
        assert_eq!(self.tunes.get(&(topic, from)), Some(&Tune::Speak), "another spoke");
        let hears =
            self.tunes.iter().filter(|((of, _), tune)| *of == topic && **tune == Tune::Hear);
        let links: Vec<Link> = hears.map(|((_, link), _)| *link).collect();
        for link in links {
            let Some(end) = self.links.get(&link).copied() else { continue };
            if !self.is_lost(end) {
                let at = self.now + self.draw_delay();
                self.put(at, Due::Heard { end, link, topic, packet: packet.clone() });
            }
        }
    }

    fn is_lost(&mut self, end: usize) -> bool {
        self.rng.next_u64() % 1_000 < self.weather.loss || self.ends[end].cut
    }

    /// A frame is on its way, unless it is lost.
    fn post(&mut self, way: (Link, Lane, bool), end: usize, due: impl FnOnce(usize) -> Due) {
        if self.is_lost(end) {
            return;
        }
        let at = self.now + self.draw_delay();
        let last = self.last.entry(way).or_insert(at);
        *last = at.max(*last);
        let at = *last;
        self.put(at, due(end));
    }

    /// A link is closed behind what was said on it.
    fn close(&mut self, (link, up): (Link, bool), due: Due) {
        let lanes = self.last.range((link, Lane::Control, false)..);
        let lanes = lanes.take_while(|((of, _, _), _)| *of == link);
        let last = lanes.filter(|((_, _, way), _)| *way == up).map(|(_, at)| *at).max();
        let at = last.unwrap_or(self.now).max(self.now);
        self.put(at, due);
    }

    fn draw_delay(&mut self) -> Duration {
        let most = self.weather.delay.as_micros() as u64;
        Duration::from_micros(1 + self.rng.next_u64() % most)
    }

    fn put(&mut self, at: Time, due: Due) {
        self.sequence += 1;
        self.due.insert((at, self.sequence), due);
    }
}

fn retune<K: Ord>(tunes: &mut BTreeMap<K, Tune>, key: K, tune: Tune) {
    match tune {
        Tune::Off => tunes.remove(&key),
        Tune::Hear | Tune::Speak => tunes.insert(key, tune),
    };
}
