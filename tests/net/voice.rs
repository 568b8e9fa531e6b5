//! Voice by gossip and by datagram: who hears, who does not, and what it costs.

use std::collections::{HashMap, HashSet};

use futures::StreamExt;
use libp2p::gossipsub::{
    self, IdentTopic, MessageAuthenticity, MessageId, ValidationMode, Version,
};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm, SwarmBuilder, noise, tcp, yamux};
use tokio::time::{interval, sleep};

use parlor::net::{Arrivals, Clock, Ear, VoiceDesk, VoiceNetConfig};
use parlor::proto::audio::stream::{Topic, Tune};

use super::cost::print;
use super::counting::counted;
use super::*;

/// How often somebody who speaks says something.
pub(super) const FRAME: Duration = Duration::from_millis(20);

/// Bytes of a packet at 32 kb/s: a header of 12 and 20 ms of sound.
pub(super) const PACKET: usize = 12 + 80;

/// What a peer asks a relay by its control lane: a letter and a topic.
const HEAR: u8 = b'h';
const SPEAK: u8 = b's';
const OFF: u8 = b'o';
/// To put out who speaks on the topic.
const KILL: u8 = b'k';

/// Tunes whoever asks for it, and passes what who speaks says.
#[derive(Debug, Default)]
struct Exchange {
    effects: VecDeque<Effect>,
    speakers: HashMap<Topic, Link>,
    spoken: Arc<Mutex<Vec<(Link, Topic)>>>,
}

impl Machine for Exchange {
    fn handle(&mut self, _: Time, input: Input) {
        match input {
            Input::Received { link, lane: Lane::Control, frame } => {
                let topic = Topic::read(&frame[1..]).unwrap();
                let tune = match frame[0] {
                    HEAR => Tune::Hear,
                    SPEAK => Tune::Speak,
                    OFF => Tune::Off,
                    KILL => {
                        let link = self.speakers[&topic];
                        return self.effects.push_back(Effect::Disconnect { link });
                    }
                    other => panic!("{other}"),
                };
                if tune == Tune::Speak {
                    self.speakers.insert(topic, link);
                }
                self.effects.push_back(Effect::Tune { link, topic, tune });
            }
            Input::Spoken { link, topic, packet } => {
                self.spoken.lock().unwrap().push((link, topic));
                if self.speakers.get(&topic) == Some(&link) {
                    self.effects.push_back(Effect::Pass { link, topic, packet });
                }
            }
            _ => {}
        }
    }

    fn tick(&mut self, _: Time) {}

    fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        None
    }
}

pub(super) struct Relaying {
    pub(super) addresses: Vec<String>,
    config: NetConfig,
    spoken: Arc<Mutex<Vec<(Link, Topic)>>>,
    _tasks: JoinSet<()>,
}

/// The ways that voice may go.
pub(super) fn ways() -> [(&'static str, NetConfig); 3] {
    let without = NetConfig { datagrams_unread: 0, ..NetConfig::default() };
    [(QUIC, NetConfig::default()), (QUIC, without), (TCP, NetConfig::default())]
}

pub(super) fn gossip_only() -> (&'static str, NetConfig) {
    ways()[1].clone()
}

impl Relaying {
    pub(super) async fn start((listen, config): (&str, NetConfig)) -> Self {
        Self::at(&[listen], config).await
    }

    async fn at(listen: &[&str], config: NetConfig) -> Self {
        let machine = Exchange::default();
        let spoken = Arc::clone(&machine.spoken);
        let net = config.clone();
        let relay = RelayNetConfig { exempt_loopback: true, net, ..RelayNetConfig::default() };
        let identity = Identity::from_seed([1; 32]);
        let relay = Relay::bind(&identity, listen, relay, machine).await.unwrap();
        let addresses = relay.addresses().to_vec();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            relay.run(std::future::pending()).await;
        });
        Self { addresses, config, spoken, _tasks: tasks }
    }

    pub(super) async fn guest(&self, seed: u8) -> Guest {
        self.guest_by(seed, &self.addresses[0]).await
    }

    pub(super) async fn guest_by(&self, seed: u8, address: &str) -> Guest {
        let mut carrier = carrier(seed, address.parse().unwrap(), self.config.clone());
        let link = connected(&mut carrier).await;
        let desk = carrier.voice();
        Guest { carrier, link, desk }
    }
}

pub(super) struct Guest {
    pub(super) carrier: Carrier,
    pub(super) link: Link,
    pub(super) desk: VoiceDesk,
}

impl Guest {
    fn ask(&mut self, what: u8, topic: Topic) {
        let frame = [&[what], topic.as_str().as_bytes()].concat();
        send(&mut self.carrier, self.link, Lane::Control, &frame);
    }

    /// Asks the relay, and does at once what it asked for.
    pub(super) fn tune(&mut self, topic: Topic, tune: Tune) {
        let what = match tune {
            Tune::Hear => HEAR,
            Tune::Speak => SPEAK,
            Tune::Off => OFF,
        };
        self.ask(what, topic);
        self.carrier.perform(Effect::Tune { link: self.link, topic, tune });
        // That something was written, which would wait here for good.
        while self.carrier.poll_input().is_some() {}
    }

    pub(super) fn listen(&self, topic: Topic) -> Arrivals {
        let (ear, arrivals) = Ear::ring(256);
        self.desk.listen(topic, ear);
        arrivals
    }
}

pub(super) fn topic(number: u16) -> Topic {
    let [low, high] = number.to_le_bytes();
    Topic::new([low, high, 1, 2, 3])
}

/// The packet with a number, by somebody.
pub(super) fn packet(by: u8, number: u32) -> Bytes {
    let mut packet = vec![by; PACKET];
    packet[..4].copy_from_slice(&number.to_le_bytes());
    packet.into()
}

pub(super) fn number(packet: &[u8]) -> u32 {
    u32::from_le_bytes(packet[..4].try_into().unwrap())
}

pub(super) fn pop_all(arrivals: &mut Arrivals) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| arrivals.pop()).map(|arrival| arrival.packet().to_vec()).collect()
}

/// Speaks once a frame, until it is dropped.
pub(super) fn speaking(desk: VoiceDesk, topics: Vec<Topic>, by: u8) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut frames = interval(FRAME);
        for number in 0.. {
            frames.tick().await;
            for topic in &topics {
                assert!(desk.speak(*topic, packet(by, number)));
            }
        }
    });
    tasks
}

pub(super) async fn first(arrivals: &mut Arrivals) -> Vec<u8> {
    let arrived = async {
        loop {
            if let Some(arrival) = arrivals.pop() {
                return arrival.packet().to_vec();
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, arrived).await.expect("something is heard")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_tuned_hears_and_who_is_not_does_not() {
    for way in ways() {
        let name = format!("{} {}", way.0, way.1.datagrams_unread);
        let relay = Relaying::start(way).await;
        let (mut ada, mut ben, mut cy) =
            (relay.guest(2).await, relay.guest(3).await, relay.guest(4).await);
        ada.tune(topic(1), Tune::Speak);
        ben.tune(topic(1), Tune::Hear);
        let (mut bens, mut cys) = (ben.listen(topic(1)), cy.listen(topic(1)));
        // It wants to, but the relay was not asked.
        let (link, tune) = (cy.link, Tune::Hear);
        cy.carrier.perform(Effect::Tune { link, topic: topic(1), tune });
        let _speaking = speaking(ada.desk.clone(), vec![topic(1)], 7);
        let before = number(&first(&mut bens).await);
        sleep(FRAME * 50).await;
        let heard = pop_all(&mut bens);
        assert!(heard.len() >= 40, "{name}: {}", heard.len());
        for bytes in &heard {
            assert_eq!(*bytes, packet(7, number(bytes)), "{name}");
        }
        let numbers: Vec<_> = heard.iter().map(|bytes| number(bytes)).collect();
        assert!(numbers[0] > before && numbers.is_sorted_by(|a, b| a < b), "{name}: {numbers:?}");
        assert_eq!(pop_all(&mut cys).len(), 0, "{name}");
        assert_eq!(ada.desk.unsaid(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_one_says_on_anothers_topic_reaches_anybody() {
    for way in ways() {
        let name = format!("{} {}", way.0, way.1.datagrams_unread);
        let relay = Relaying::start(way).await;
        let (mut ada, mut ben, mut cy) =
            (relay.guest(2).await, relay.guest(3).await, relay.guest(4).await);
        ada.tune(topic(1), Tune::Speak);
        ben.tune(topic(1), Tune::Hear);
        let mut bens = ben.listen(topic(1));
        // Its own end lets it.
        let (link, tune) = (cy.link, Tune::Speak);
        cy.carrier.perform(Effect::Tune { link, topic: topic(1), tune });
        let _ada = speaking(ada.desk.clone(), vec![topic(1)], 7);
        let _cy = speaking(cy.desk.clone(), vec![topic(1)], 66);
        first(&mut bens).await;
        sleep(FRAME * 25).await;
        let heard = pop_all(&mut bens);
        assert!(heard.len() >= 15, "{name}: {}", heard.len());
        assert!(heard.iter().all(|bytes| bytes[12] == 7), "{name}");
        let spoken = relay.spoken.lock().unwrap().clone();
        assert!(spoken.iter().all(|(link, _)| *link == spoken[0].0), "{name}");
    }
}

/// Somebody who speaks the protocol of gossip and nothing else.
fn stranger(address: Multiaddr) -> Swarm<gossipsub::Behaviour> {
    let config = gossipsub::ConfigBuilder::default()
        .protocol_id("/parlor/2/voice", Version::V1_1)
        .validation_mode(ValidationMode::Anonymous)
        .message_id_fn(|message| MessageId::from(message.data.clone()))
        .build()
        .unwrap();
    let gossip = gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, config).unwrap();
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| gossip)
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(PATIENCE))
        .build();
    swarm.dial(address).unwrap();
    swarm
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_nothing_and_gives_nothing() {
    let relay = Relaying::start((TCP, NetConfig::default())).await;
    let (mut ada, mut ben) = (relay.guest(2).await, relay.guest(3).await);
    ada.tune(topic(1), Tune::Speak);
    ben.tune(topic(1), Tune::Hear);
    let mut bens = ben.listen(topic(1));
    let _speaking = speaking(ada.desk.clone(), vec![topic(1)], 7);
    first(&mut bens).await;
    let mut swarm = stranger(relay.addresses[0].parse().unwrap());
    let name = IdentTopic::new(topic(1).as_str());
    swarm.behaviour_mut().subscribe(&name).unwrap();
    let (mut published, mut got, mut frames) = (0, 0, interval(FRAME));
    let clock = Clock::new();
    let over = clock.now() + Duration::from_secs(2);
    while clock.now() < over {
        tokio::select! {
            _ = frames.tick() => {
                let said = packet(66, published);
                published += u32::from(swarm.behaviour_mut().publish(name.clone(), said).is_ok());
            }
            event = swarm.select_next_some() => {
                let message =
                    matches!(event, SwarmEvent::Behaviour(gossipsub::Event::Message { .. }));
                got += u32::from(message);
            }
        }
    }
    assert_eq!(got, 0);
    assert!(published > 10, "{published}");
    let heard = pop_all(&mut bens);
    assert!(heard.len() > 50 && heard.iter().all(|bytes| bytes[12] == 7), "{}", heard.len());
    let spoken = relay.spoken.lock().unwrap().clone();
    assert!(spoken.iter().all(|(link, _)| *link == spoken[0].0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_muted_costs_nothing_at_once_and_is_heard_at_once_again_and_again() {
    for way in [ways()[0].clone(), gossip_only()] {
        let name = way.1.datagrams_unread;
        let relay = Relaying::start(way).await;
        let mut tasks = JoinSet::new();
        let (by_here, counts) = counted(&relay.addresses[0], &mut tasks).await;
        let (mut ada, mut ben) = (relay.guest(2).await, relay.guest_by(3, &by_here).await);
        ada.tune(topic(1), Tune::Speak);
        ben.tune(topic(1), Tune::Hear);
        let mut bens = ben.listen(topic(1));
        let _speaking = speaking(ada.desk.clone(), vec![topic(1)], 7);
        first(&mut bens).await;
        let mut waits = Vec::new();
        for turn in 0..20 {
            ben.tune(topic(1), Tune::Off);
            sleep(Duration::from_millis(100)).await;
            pop_all(&mut bens);
            let before = counts.read();
            sleep(Duration::from_millis(100)).await;
            let [.., down, _] = counts.since(before);
            assert!(down < 3 * PACKET as u64, "{name} {turn}: {down} bytes while it is muted");
            assert_eq!(pop_all(&mut bens).len(), 0, "{name} {turn}");
            let clock = Clock::new();
            ben.tune(topic(1), Tune::Hear);
            first(&mut bens).await;
            let waited = clock.now().since(Time::ZERO);
            waits.push(waited.as_millis());
            sleep(Duration::from_millis(200).saturating_sub(waited)).await;
        }
        waits.sort_unstable();
        assert!(waits[18] <= 300, "{name}: heard again after {waits:?} ms");
        ben.tune(topic(1), Tune::Off);
        sleep(Duration::from_secs(1)).await;
        let before = counts.read();
        sleep(Duration::from_millis(500)).await;
        let [.., down, _] = counts.since(before);
        assert!(down < PACKET as u64, "{name}: {down} bytes: no packet is that short");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_topics_are_heard() {
    const TOPICS: u16 = 1_000;
    // One speaks as a thousand do.
    let voice = VoiceNetConfig { messages_per_second: 5_000, ..VoiceNetConfig::default() };
    let config = NetConfig { voice, ..NetConfig::default() };
    let relay = Relaying::start((TCP, config)).await;
    let (mut ada, mut ben) = (relay.guest(2).await, relay.guest(3).await);
    let mut ears: Vec<_> = (0..TOPICS).map(|at| ben.listen(topic(at))).collect();
    for at in 0..TOPICS {
        ada.tune(topic(at), Tune::Speak);
        ben.tune(topic(at), Tune::Hear);
    }
    let mut missing: HashSet<u16> = (0..TOPICS).collect();
    let clock = Clock::new();
    let said = async {
        for round in 0.. {
            for at in missing.clone() {
                assert!(ada.desk.speak(topic(at), packet(7, round)));
                sleep(Duration::from_micros(500)).await;
            }
            missing.retain(|at| ears[usize::from(*at)].pop().is_none());
            if missing.is_empty() {
                return;
            }
        }
    };
    timeout(PATIENCE, said).await.expect("all of them are heard");
    // Those that were subscribed to before the relay knew that they may be have their turn, 16 in 100 ms.
    let took = clock.now().since(Time::ZERO);
    print(&format!("{TOPICS} topics are heard after {took:?}"));
    assert!(took < Duration::from_secs(12), "{took:?}");
    // Who comes then is told of all of them at once, and can speak beside them.
    let mut cy = relay.guest(4).await;
    cy.tune(topic(TOPICS), Tune::Speak);
    ben.tune(topic(TOPICS), Tune::Hear);
    let mut bens = ben.listen(topic(TOPICS));
    let _speaking = speaking(cy.desk.clone(), vec![topic(TOPICS)], 7);
    first(&mut bens).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_out_of_a_link_that_was_ended() {
    for way in ways() {
        let name = format!("{} {}", way.0, way.1.datagrams_unread);
        let relay = Relaying::start(way).await;
        let (mut ada, mut ben) = (relay.guest(2).await, relay.guest(3).await);
        ada.tune(topic(1), Tune::Speak);
        ben.tune(topic(1), Tune::Hear);
        let mut bens = ben.listen(topic(1));
        let _speaking = speaking(ada.desk.clone(), vec![topic(1)], 7);
        first(&mut bens).await;
        ben.ask(KILL, topic(1));
        sleep(Duration::from_millis(300)).await;
        pop_all(&mut bens);
        let before = relay.spoken.lock().unwrap().len();
        sleep(Duration::from_millis(300)).await;
        assert_eq!(pop_all(&mut bens).len(), 0, "{name}");
        assert_eq!(relay.spoken.lock().unwrap().len(), before, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_speaks_and_hears_by_what_its_link_has() {
    let relay = Relaying::at(&[QUIC, TCP], NetConfig::default()).await;
    let tcp = relay.addresses[1].clone();
    let (mut ada, mut ben) = (relay.guest(2).await, relay.guest_by(3, &tcp).await);
    let (mut cy, mut dee) = (relay.guest(4).await, relay.guest_by(5, &tcp).await);
    ada.tune(topic(1), Tune::Speak);
    ben.tune(topic(2), Tune::Speak);
    let mut ears = Vec::new();
    for hearer in [&mut cy, &mut dee] {
        for at in [1, 2] {
            hearer.tune(topic(at), Tune::Hear);
            ears.push(hearer.listen(topic(at)));
        }
    }
    let _ada = speaking(ada.desk.clone(), vec![topic(1)], 1);
    let _ben = speaking(ben.desk.clone(), vec![topic(2)], 2);
    for ear in &mut ears {
        first(ear).await;
    }
    sleep(FRAME * 50).await;
    for (at, ear) in ears.iter_mut().enumerate() {
        let heard = pop_all(ear);
        assert!(heard.len() >= 40, "{at}: {}", heard.len());
        assert!(heard.iter().all(|bytes| usize::from(bytes[12]) == at % 2 + 1), "{at}");
        let numbers: HashSet<_> = heard.iter().map(|bytes| number(bytes)).collect();
        assert_eq!(numbers.len(), heard.len(), "{at}: once each");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_datagrams_do_not_bring_comes_by_gossip_after_a_while() {
    // Whatever this relay has to send by datagram is too old at once.
    let voice = VoiceNetConfig { age: Duration::ZERO, ..VoiceNetConfig::default() };
    let mut relay = Relaying::start((QUIC, NetConfig { voice, ..NetConfig::default() })).await;
    relay.config = NetConfig::default();
    let (mut ada, mut ben) = (relay.guest(2).await, relay.guest(3).await);
    ada.tune(topic(1), Tune::Speak);
    ben.tune(topic(1), Tune::Hear);
    let mut bens = ben.listen(topic(1));
    let _speaking = speaking(ada.desk.clone(), vec![topic(1)], 7);
    let clock = Clock::new();
    first(&mut bens).await;
    let waited = clock.now().since(Time::ZERO);
    assert!(waited >= Duration::from_millis(900), "{waited:?}");
    // Datagrams are tried once more, and not soon again.
    sleep(FRAME * 75).await;
    pop_all(&mut bens);
    sleep(FRAME * 50).await;
    let heard = pop_all(&mut bens).len();
    assert!(heard >= 40, "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_after_a_silence_is_heard_by_datagram() {
    let relay = Relaying::start(ways()[0].clone()).await;
    let mut tasks = JoinSet::new();
    let (by, counts) = counted(&relay.addresses[0], &mut tasks).await;
    let (mut ada, mut ben) = (relay.guest(2).await, relay.guest_by(3, &by).await);
    ada.tune(topic(1), Tune::Speak);
    ben.tune(topic(1), Tune::Hear);
    let mut bens = ben.listen(topic(1));
    // Long enough that it was asked for by gossip.
    sleep(Duration::from_millis(1_500)).await;
    let _speaking = speaking(ada.desk.clone(), vec![topic(1)], 7);
    first(&mut bens).await;
    sleep(FRAME * 10).await;
    pop_all(&mut bens);
    let before = counts.read();
    sleep(FRAME * 50).await;
    let heard = pop_all(&mut bens).len() as u64;
    let [_, _, down, _] = counts.since(before);
    assert!(heard >= 40, "{heard}");
    // By datagram each has 28 bytes of QUIC, by gossip 44.
    assert!(down / heard < PACKET as u64 + 36, "{down} bytes for {heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_datagrams_speaks_and_hears_where_others_have() {
    let mut relay = Relaying::start((QUIC, NetConfig::default())).await;
    let mut ada = relay.guest(2).await;
    relay.config.datagrams_unread = 0;
    let mut ben = relay.guest(3).await;
    ada.tune(topic(1), Tune::Speak);
    ben.tune(topic(2), Tune::Speak);
    ada.tune(topic(2), Tune::Hear);
    ben.tune(topic(1), Tune::Hear);
    let (mut adas, mut bens) = (ada.listen(topic(2)), ben.listen(topic(1)));
    let _ada = speaking(ada.desk.clone(), vec![topic(1)], 1);
    let _ben = speaking(ben.desk.clone(), vec![topic(2)], 2);
    first(&mut bens).await;
    first(&mut adas).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_peer_says_does_not_wait_for_more() {
    let mut relay = Relaying::start((QUIC, NetConfig::default())).await;
    // Longer than anything may be old at a peer: what waits so long is not heard at all.
    relay.config.voice.merge = Duration::from_secs(1);
    let (mut ada, mut ben) = (relay.guest(2).await, relay.guest(3).await);
    ada.tune(topic(1), Tune::Speak);
    ben.tune(topic(1), Tune::Hear);
    let mut bens = ben.listen(topic(1));
    let _speaking = speaking(ada.desk.clone(), vec![topic(1)], 7);
    first(&mut bens).await;
    sleep(FRAME * 50).await;
    let heard = pop_all(&mut bens).len();
    assert!(heard >= 40, "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stays_subscribed_to_what_it_is_not_to_have_is_disconnected() {
    let (listen, mut config) = gossip_only();
    config.voice.lapse = Duration::from_secs(1);
    let relay = Relaying::start((listen, config)).await;
    let (mut ada, mut ben) = (relay.guest(2).await, relay.guest(3).await);
    ada.tune(topic(1), Tune::Speak);
    ben.tune(topic(1), Tune::Hear);
    let mut bens = ben.listen(topic(1));
    let _speaking = speaking(ada.desk.clone(), vec![topic(1)], 7);
    first(&mut bens).await;
    ben.ask(OFF, topic(1));
    let input = next_other(&mut ben.carrier).await;
    assert!(matches!(input, Input::Disconnected { .. }), "{input:?}");
}
