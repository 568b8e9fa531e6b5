//! Who may speak, over sockets: what a peer sends past the API, which nobody hears, and whom a moderator
//! silences, who costs nobody a byte. By datagrams and by gossip.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parlor::net::{Arrivals, Carrier, Clock, Ear, NetConfig, VoiceDesk};
use parlor::proto::audio::packet::{Kind, Level, Packet};
use parlor::proto::audio::stream::{Hearing, StreamError, Topic, Tune};
use parlor::proto::config::{HubConfig, PeerConfig};
use parlor::proto::event::voice::VoiceEvent;
use parlor::proto::event::{Effect, Event, Input, State};
use parlor::proto::hub::Hub;
use parlor::proto::id::{AppKey, Identity, Link, RoomName};
use parlor::proto::peer::{Peer, Setup};
use parlor::proto::time::Time;
use parlor::proto::token::{Claims, Role, TokenConfig, TokenLimits, TokenRing, TokenSecret};
use parlor::{Entrance, Model, Request};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::interval;

use super::counting::{Counts, counted};
use super::{Host, LISTEN, Table, within};

const LISTENER: [Role; 2] = [Role::Join, Role::Write];
const SPEAKER: [Role; 3] = [Role::Join, Role::Write, Role::Speak];
const MODERATOR: [Role; 3] = [Role::Join, Role::Write, Role::Moderate];

/// Bytes of 20 ms of voice at 32 kb/s.
const FRAME: usize = 80;

/// The ways that voice goes: what addresses have in them, and how peers are set.
fn ways() -> [(&'static str, NetConfig); 3] {
    let without = NetConfig { datagrams_unread: 0, ..NetConfig::default() };
    [("quic", NetConfig::default()), ("quic", without), ("/tcp/", NetConfig::default())]
}

fn secret() -> TokenSecret {
    TokenSecret::from_seed([8; 32]).unwrap()
}

/// What a peer may do for a minute, and speak for so many seconds of it.
fn token(who: u8, roles: &[Role], speaks: u64) -> String {
    let now = Clock::unix_micros() / 1_000_000;
    let claims = Claims {
        app: AppKey::new("end to end").unwrap().app(),
        peer: Identity::from_seed([who; 32]).peer(),
        rooms: "call".parse().unwrap(),
        roles: roles.iter().copied().collect(),
        limits: TokenLimits { speak_until: Some(now + speaks), ..TokenLimits::default() },
        not_before: now - 5,
        expires: now + 60,
        id: format!("{who} {speaks} {}", Clock::unix_micros()),
    };
    secret().issue(&claims, &TokenConfig::default()).unwrap()
}

/// A relay that lets in whom a token does.
async fn host() -> Host {
    let mut ring = TokenRing::new(TokenConfig { leeway: Duration::ZERO, ..TokenConfig::default() });
    ring.insert(secret().public().clone()).unwrap();
    let ask = move |hub: &mut Hub| {
        hub.require_tokens(AppKey::new("end to end").unwrap().app(), ring.clone());
    };
    let identity = Identity::from_seed([1; 32]);
    Box::pin(Host::start_with(&identity, &LISTEN, HubConfig::default(), ask)).await
}

fn address(host: &Host, part: &str) -> String {
    host.addresses.iter().find(|address| address.contains(part)).unwrap().clone()
}

/// A peer and its links, without a room's care for what it may do.
struct Raw {
    peer: Peer,
    carrier: Carrier,
    desk: VoiceDesk,
    link: Option<Link>,
    /// What it publishes every 20 ms: where, with which epoch, and how many so far.
    says: Vec<(Topic, u32, u16)>,
    told: Vec<VoiceEvent>,
}

impl Raw {
    fn enter(who: u8, (address, net): (&str, NetConfig), token: String) -> Self {
        let identity = Identity::from_seed([who; 32]);
        let setup = Setup {
            identity: identity.clone(),
            app_key: AppKey::new("end to end").unwrap(),
            room: RoomName::new("call").unwrap(),
            metadata: Bytes::new(),
            incarnation: Clock::unix_micros() / 1_000,
            shape: Table::shape(),
            entrance: Entrance { token: Some(token), ..Entrance::default() },
        };
        let peer = Peer::new(setup, PeerConfig::default(), [who; 32]);
        let addresses = vec![address.parse().unwrap()];
        let carrier = Carrier::on(&Handle::current(), &identity, addresses, net).unwrap();
        let desk = carrier.voice();
        let mut raw = Self { peer, carrier, desk, link: None, says: Vec::new(), told: Vec::new() };
        raw.peer.connect(raw.now());
        raw.peer.set_hearing(Hearing::default(), raw.now());
        raw
    }

    fn now(&self) -> Time {
        self.carrier.now()
    }

    fn step(&mut self) {
        while let Some(input) = self.carrier.poll_input() {
            if let Input::Connected { link, .. } = input {
                self.link = Some(link);
            }
            self.peer.handle(self.now(), input);
        }
        self.peer.tick(self.now());
        while let Some(effect) = self.peer.poll_effect() {
            self.carrier.perform(effect);
        }
        let events = std::iter::from_fn(|| self.peer.poll_event());
        self.told.extend(events.filter_map(|event| match event {
            Event::Voice(voice) => Some(voice),
            _ => None,
        }));
    }

    /// Says the next 20 ms, by which its packets can be told from others'.
    fn say(&mut self, by: u8) {
        for (topic, epoch, sequence) in &mut self.says {
            let packet = Packet {
                kind: Kind::Audio,
                first: *sequence == 0,
                level: Level { voice: true, dbov: 20 },
                sequence: *sequence,
                time: u32::from(*sequence) * 960,
                epoch: *epoch,
                previous: None,
                frame: Bytes::from(vec![by; FRAME]),
            };
            *sequence += u16::from(self.desk.speak(*topic, packet.write()));
        }
    }

    /// Its own end takes it that it may do so, whatever the relay says.
    fn force(&mut self, topic: Topic, tune: Tune) {
        let link = self.link.unwrap();
        self.carrier.perform(Effect::Tune { link, topic, tune });
    }

    fn listen(&self, topic: Topic) -> Arrivals {
        let (ear, arrivals) = Ear::ring(512);
        self.desk.listen(topic, ear);
        arrivals
    }

    fn refused(&self) -> usize {
        let refused = |told: &&VoiceEvent| {
            matches!(told, VoiceEvent::Refused { number: 0, why: StreamError::Forbidden })
        };
        self.told.iter().filter(refused).count()
    }

    /// Its first stream, if the relay has opened it: its topic and its epoch.
    fn stream(&self) -> Option<(Topic, u32)> {
        let topic = self.peer.live_stream(0)?.topic;
        Some((topic, self.peer.stream_epoch(0)?))
    }
}

/// Lets all go on, and each say what it says.
async fn run(all: &mut [Raw], length: Duration) {
    let mut clock = interval(Duration::from_millis(5));
    for tick in 0..length.as_millis() / 5 {
        clock.tick().await;
        for (raw, by) in all.iter_mut().zip(1..) {
            raw.step();
            if tick % 4 == 0 {
                raw.say(by);
            }
        }
    }
}

async fn until(all: &mut [Raw], holds: impl Fn(&[Raw]) -> bool) {
    within(async {
        while !holds(all) {
            run(all, Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// How many packets of each of three came since they were counted last.
fn taken(arrivals: &mut [Arrivals]) -> [usize; 3] {
    let mut of = [0; 3];
    for arrived in arrivals {
        while let Some(arrival) = arrived.pop() {
            of[usize::from(*arrival.packet().last().unwrap()) - 1] += 1;
        }
    }
    of
}

/// One with a stream opens it and speaks.
async fn speak(all: &mut [Raw], at: usize) -> Topic {
    let now = all[at].now();
    all[at].peer.open_stream(false, now).unwrap();
    until(all, |all| all[at].stream().is_some()).await;
    let (topic, epoch) = all[at].stream().unwrap();
    all[at].says = vec![(topic, epoch, 0)];
    until(all, |all| all.iter().all(|raw| raw.peer.streams().any(|it| it.topic == topic))).await;
    topic
}

/// One who may speak, one who may not, and one who listens.
async fn three(host: &Host, (part, net): &(&str, NetConfig)) -> Vec<Raw> {
    let address = address(host, part);
    let enter = |who, roles| Raw::enter(who, (&address, net.clone()), token(who, roles, 60));
    let mut all = vec![enter(2, &SPEAKER), enter(3, &LISTENER), enter(4, &LISTENER)];
    until(&mut all, |all| all.iter().all(|raw| matches!(raw.peer.state(), State::Ready))).await;
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_hears_who_may_not_speak_whatever_it_sends() {
    for way in ways() {
        let name = format!("{} {}", way.0, way.1.datagrams_unread);
        let host = Box::pin(host()).await;
        let mut all = Box::pin(three(&host, &way)).await;
        let adas = Box::pin(speak(&mut all, 0)).await;
        let (_, epoch) = all[0].stream().unwrap();
        // It asks, and is refused; so it takes the topic of who may, with that one's epoch, and one that
        // it made up.
        let now = all[1].now();
        all[1].peer.open_stream(false, now).unwrap();
        until(&mut all, |all| all[1].refused() == 1).await;
        let made_up = Topic::new([7; 5]);
        for topic in [adas, made_up] {
            all[1].force(topic, Tune::Speak);
            all[1].says.push((topic, epoch, 0));
        }
        all[2].force(made_up, Tune::Hear);
        all[0].force(made_up, Tune::Hear);
        let mut bens = [all[2].listen(adas), all[2].listen(made_up)];
        let mut ada_hears = [all[0].listen(adas), all[0].listen(made_up)];
        Box::pin(run(&mut all, Duration::from_secs(2))).await;
        let [by_ada, by_cy, _] = taken(&mut bens);
        assert!(by_ada > 60, "{name}: {by_ada}");
        assert_eq!(by_cy, 0, "{name}");
        assert_eq!(taken(&mut ada_hears), [0; 3], "{name}");
        assert!(all[1].says.iter().all(|(.., said)| *said >= 99), "{name}: it spoke");
        // With the right to it it is heard: what was sent would have come.
        let renewed = Request::Renew(token(3, &SPEAKER, 60));
        let now = all[1].now();
        all[1].peer.ask(&renewed, now).unwrap();
        Box::pin(run(&mut all, Duration::from_millis(200))).await;
        let own = Box::pin(speak(&mut all, 1)).await;
        let mut bens = [all[2].listen(own)];
        Box::pin(run(&mut all, Duration::from_secs(1))).await;
        let [_, by_cy, _] = taken(&mut bens);
        assert!(by_cy > 30, "{name}: {by_cy}");
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_speak_until_a_time_is_silent_from_then_on() {
    let host = Box::pin(host()).await;
    let mut all = Box::pin(three(&host, &ways()[0])).await;
    let now = all[0].now();
    all[0].peer.ask(&Request::Renew(token(2, &SPEAKER, 3)), now).unwrap();
    let topic = Box::pin(speak(&mut all, 0)).await;
    let mut bens = [all[2].listen(topic)];
    let warned = |told: &VoiceEvent| matches!(told, VoiceEvent::Expires { .. });
    until(&mut all, |all| all[0].told.iter().any(warned)).await;
    until(&mut all, |all| all[0].refused() == 1).await;
    assert!(taken(&mut bens)[0] > 20);
    // It goes on all the same.
    all[0].force(topic, Tune::Speak);
    all[2].force(topic, Tune::Hear);
    Box::pin(run(&mut all, Duration::from_millis(300))).await;
    taken(&mut bens);
    Box::pin(run(&mut all, Duration::from_secs(1))).await;
    assert_eq!(taken(&mut bens), [0; 3]);
    host.stop().await;
}

/// What came to one in half a second: bytes, and packets of the first.
async fn had(all: &mut [Raw], counts: &Arc<Counts>, ears: &mut [Arrivals]) -> (u64, usize) {
    taken(ears);
    let before = counts.read();
    run(all, Duration::from_millis(500)).await;
    let [_, _, down, _] = counts.since(before);
    (down, taken(ears)[0])
}

/// Goes on until something of the first has come.
async fn heard(all: &mut [Raw], ears: &mut [Arrivals]) {
    within(async {
        while taken(ears)[0] == 0 {
            run(all, Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_moderator_silences_costs_nobody_a_packet_and_is_heard_at_once_again() {
    for (part, net) in ways().into_iter().take(2) {
        let name = net.datagrams_unread;
        let host = Box::pin(host()).await;
        let mut tasks = JoinSet::new();
        let direct = address(&host, part);
        let (by_here, counts) = counted(&direct, &mut tasks).await;
        let enter = |who, address: &str, roles| {
            Raw::enter(who, (address, net.clone()), token(who, roles, 60))
        };
        let mut all = vec![
            enter(2, &direct, &SPEAKER),
            enter(3, &by_here, &LISTENER),
            enter(4, &direct, &MODERATOR),
        ];
        until(&mut all, |all| all.iter().all(|raw| matches!(raw.peer.state(), State::Ready))).await;
        let ada = all[0].peer.peer();
        let topic = Box::pin(speak(&mut all, 0)).await;
        let mut ears = [all[1].listen(topic)];
        let (bytes, packets) = Box::pin(had(&mut all, &counts, &mut ears)).await;
        assert!(packets > 15 && bytes > 15 * FRAME as u64, "{name}: {packets}, {bytes} bytes");
        let mut waits = Vec::new();
        for turn in 0..3 {
            let now = all[2].now();
            all[2].peer.ask(&Request::Silence { peer: ada, silenced: true }, now).unwrap();
            Box::pin(run(&mut all, Duration::from_millis(500))).await;
            let (bytes, packets) = Box::pin(had(&mut all, &counts, &mut ears)).await;
            assert!(bytes < 8 * FRAME as u64, "{name} {turn}: {bytes} bytes while it is silenced");
            assert_eq!(packets, 0, "{name} {turn}");
            let since = Clock::new();
            let now = all[2].now();
            all[2].peer.ask(&Request::Silence { peer: ada, silenced: false }, now).unwrap();
            Box::pin(heard(&mut all, &mut ears)).await;
            waits.push(since.now().since(Time::ZERO));
        }
        // The median: the machine may have had something else to do.
        waits.sort_unstable();
        assert!(waits[1] <= Duration::from_millis(300), "{name}: {waits:?}");
        host.stop().await;
    }
}
