//! A relay at its wall, and members that say what a script has them say of voices, in words.

use std::collections::BTreeMap;
use std::iter;
use std::time::Duration;

use bytes::Bytes;
use parlor::proto::audio::stream::{StreamError, StreamName, Topic, Tune};
use parlor::proto::config::{HubConfig, VoiceConfig};
use parlor::proto::event::{Effect, Input};
use parlor::proto::hub::Hub;
use parlor::proto::id::{ClientNumber, Link, PeerId};
use parlor::proto::lane::lane_of;
use parlor::proto::proof::{Side, prove};
use parlor::proto::reason::{ServiceError, Version};
use parlor::proto::time::Time;
use parlor::proto::token::{Claims, Role, Roles, TokenConfig, TokenLimits, TokenRing, TokenSecret};
use parlor::proto::wire::bounded::{Blob, Line, List};
use parlor::proto::wire::message::{
    Asked, Enter, HearingRecord, Hello, Join, Message, ReceptionRecord, RequestRecord,
    ServiceMessage, StreamRecord, Told, VoiceAsked, VoiceTold,
};
use parlor::proto::wire::{MAX_FRAME, decode, encode};

use crate::stage::{RELAY, ROOM, app_key, identity, peer, room};

/// The relay's clock when a script begins, in Unix seconds.
pub(crate) const BEGINS: u64 = 1_700_000_000;
/// The seed of the key that signs tokens.
const SIGNER: u8 = 7;

/// A relay, and who is at its links.
pub(crate) struct Wall {
    hub: Hub,
    now: Time,
    links: BTreeMap<Link, char>,
    /// Of whom there are numbers, also of those who are gone.
    clients: BTreeMap<ClientNumber, char>,
    members: BTreeMap<char, Member>,
    /// In the order in which they were drawn.
    topics: Vec<Topic>,
    tunes: BTreeMap<(Topic, Link), Tune>,
    /// The packet that was published last.
    published: Bytes,
    /// What the relay does of what was said last: to whom, and what.
    follows: Vec<(Vec<char>, String)>,
    /// The packets of that which were passed on.
    passes: Vec<(Vec<char>, String)>,
    steps: Vec<String>,
}

/// A member, on its newest link.
struct Member {
    link: Link,
    /// How many items it has said, and how many requests.
    asked: u64,
    requests: u64,
}

/// Does what a script says, whose steps are apart by semicolons. Returns them, and behind each what the
/// relay does of it.
pub(crate) fn play(config: &str, script: &str) -> Vec<String> {
    let mut wall = Wall::new(config);
    if script.contains(" with ") {
        let mut ring = TokenRing::new(TokenConfig::default());
        ring.insert(signer().public().clone()).unwrap();
        wall.hub.require_tokens(app_key().app(), ring);
    }
    script.split(';').for_each(|step| wall.step(step.trim()));
    wall.steps
}

fn signer() -> TokenSecret {
    TokenSecret::from_seed([SIGNER; 32]).unwrap()
}

pub(crate) fn configured(words: &str) -> VoiceConfig {
    let config = VoiceConfig::default();
    match words.split_once(' ') {
        None => config,
        Some(("streams", most)) => VoiceConfig { streams: most.parse().unwrap(), ..config },
        Some(("packet", most)) => VoiceConfig { packet: most.parse().unwrap(), ..config },
        Some(("silenced", most)) => VoiceConfig { silenced: most.parse().unwrap(), ..config },
        Some((other, _)) => panic!("{other:?} is no limit of voice"),
    }
}

pub(crate) fn letter(word: &str) -> char {
    word.parse().unwrap()
}

/// Whose letter is whose key: `a` has the seed `01`...
pub(crate) fn key(who: char) -> PeerId {
    peer(who as u8 - b'a' + 1)
}

pub(crate) fn owner(of: PeerId) -> char {
    ('a'..='z').find(|who| key(*who) == of).unwrap()
}

/// A token for what stands in words: roles, and `until` how many seconds it lets its bearer speak.
fn token(who: char, words: &[&str], number: usize) -> String {
    let (roles, until) = match words {
        [roles @ .., "until", until] => (roles, Some(BEGINS + until.parse::<u64>().unwrap())),
        roles => (roles, None),
    };
    let role = |name: &&str| Role::ALL.into_iter().find(|role| json(role) == **name).unwrap();
    let claims = Claims {
        app: app_key().app(),
        peer: key(who),
        rooms: ROOM.parse().unwrap(),
        roles: roles.iter().map(role).collect::<Roles>(),
        limits: TokenLimits { speak_until: until, ..TokenLimits::default() },
        not_before: BEGINS,
        expires: BEGINS + 3_600,
        id: format!("token {number}"),
    };
    signer().issue(&claims, &TokenConfig::default()).unwrap()
}

fn json(role: &Role) -> String {
    serde_json::to_value(role).unwrap().as_str().unwrap().to_owned()
}

/// Bytes in hexadecimal, `-` for none; or such, `+`, one byte, `*` and how often.
fn bytes(text: &str) -> Vec<u8> {
    let (head, tail) = text.split_once('+').unwrap_or((text, ""));
    let mut bytes = hex::decode(head.trim_start_matches('-')).unwrap();
    if let Some((byte, times)) = tail.split_once('*') {
        let byte = u8::from_str_radix(byte, 16).unwrap();
        bytes.extend(iter::repeat_n(byte, times.parse().unwrap()));
    }
    bytes
}

/// What a member says of its voice.
fn voice(does: &str, rest: &[&str], name: impl Fn(&str) -> StreamName) -> VoiceAsked {
    let number = |word: &str| word.parse::<u8>().unwrap();
    match (does, rest) {
        ("open", [which, epoch, muted @ ..]) => {
            let epoch = u32::from_str_radix(epoch, 16).unwrap();
            VoiceAsked::Open { number: number(which), epoch, muted: muted == ["muted"] }
        }
        ("close", [which]) => VoiceAsked::Close { number: number(which) },
        ("mute" | "unmute", [which]) => {
            VoiceAsked::Mute { number: number(which), muted: does == "mute" }
        }
        ("hear", [whom, more @ ..]) => {
            let deaf = more.last() == Some(&"deaf");
            let but = more.iter().filter(|word| word.len() == 1).map(|word| key(letter(word)));
            let mut but: Vec<PeerId> = but.collect();
            but.sort();
            VoiceAsked::Hear(HearingRecord { deaf, all: *whom == "all", but: List::of(but) })
        }
        ("report", reports) => {
            let report =
                |pair: &[&str]| ReceptionRecord { name: name(pair[0]), lost: number(pair[1]) };
            VoiceAsked::Report(List::of(reports.chunks(2).map(report)))
        }
        _ => panic!("nobody does {does:?} {rest:?}"),
    }
}

impl Wall {
    fn new(config: &str) -> Self {
        let config = HubConfig { voice: configured(config), ..HubConfig::default() };
        Self {
            hub: Hub::new(identity(RELAY), [app_key()], config, BEGINS * 1_000_000, [RELAY; 32], 1),
            now: Time::ZERO,
            links: BTreeMap::new(),
            clients: BTreeMap::new(),
            members: BTreeMap::new(),
            topics: Vec::new(),
            tunes: BTreeMap::new(),
            published: Bytes::new(),
            follows: Vec::new(),
            passes: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Does one line, when it is time for it.
    fn step(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let [at, who, does, rest @ ..] = &words[..] else { panic!("{line:?} is too short") };
        self.pass_time(Time::ZERO + Duration::from_millis(at.parse().unwrap()));
        self.steps.push(line.to_owned());
        self.act(letter(who), does, rest);
        self.hub.tick(self.now);
        self.settle();
        self.follows.append(&mut self.passes);
        self.flush();
    }

    /// Lets time pass. Each second everybody says something, so that nobody is taken for lost.
    fn pass_time(&mut self, until: Time) {
        let second = |time: Time| time.as_micros() / 1_000_000;
        while self.now < until {
            let whole = Time::from_micros((second(self.now) + 1) * 1_000_000);
            let due = self.hub.poll_timeout().unwrap_or(until).max(self.now);
            let before = second(self.now);
            self.now = until.min(whole).min(due.max(self.now + Duration::from_micros(1)));
            if second(self.now) != before {
                for who in self.links.values().copied().collect::<Vec<_>>() {
                    let sign = ServiceMessage::Received { received: 0, gap: false };
                    self.send(who, &Message::Service(sign));
                }
            }
            self.hub.tick(self.now);
            self.settle();
            self.flush();
        }
    }

    fn act(&mut self, who: char, does: &str, rest: &[&str]) {
        match (does, rest) {
            ("in", terms) => self.enter(who, terms),
            ("leaves", []) => self.send(who, &Message::Leave),
            ("lost", []) => {
                let link = self.members[&who].link;
                self.part(link);
                self.hub.handle(self.now, Input::Disconnected { link });
            }
            ("silence" | "unsilence", [whom]) => {
                let whom = key(letter(whom));
                self.request(who, RequestRecord::Silence(whom, does == "silence"));
            }
            ("renew", ["with", terms @ ..]) => {
                let token = token(who, terms, self.steps.len());
                self.request(who, RequestRecord::Renew(Line::new(token).unwrap()));
            }
            ("says", [topic, packet, times @ ..]) => {
                let times: Vec<u64> = times.iter().map(|times| times.parse().unwrap()).collect();
                self.publish(who, topic.parse().unwrap(), bytes(packet), &times);
            }
            _ => {
                let asked = voice(does, rest, |name| self.read_name(name));
                self.ask(who, Asked::Voice(asked));
            }
        }
        self.settle();
    }

    /// Somebody comes in, by a new link.
    fn enter(&mut self, who: char, terms: &[&str]) {
        let link = Link(self.steps.len() as u64);
        let minor = match terms {
            ["minor", minor] => minor.parse().unwrap(),
            _ => Version::CURRENT.minor,
        };
        let token = match terms {
            ["with", terms @ ..] => Line::new(token(who, terms, self.steps.len())),
            _ => None,
        };
        self.links.insert(link, who);
        self.members.insert(who, Member { link, asked: 0, requests: 0 });
        self.hub.handle(self.now, Input::Connected { link, peer: key(who) });
        let version = Version { minor, ..Version::CURRENT };
        let nonce = [7; 16];
        let hello = Hello { version, nonce, app: app_key().app(), schema: [0; 8] };
        self.send(who, &Message::Hello(hello));
        let theirs = self.settle().unwrap();
        let pair = (key(who), peer(RELAY));
        let join = Join {
            room: Line::new(ROOM).unwrap(),
            proof: prove(&app_key(), Side::Peer, pair, (&nonce, &theirs), room().as_str()),
            metadata: Blob::default(),
            incarnation: link.0,
            known: List::of([]),
        };
        self.send(who, &Message::Enter(Enter { token, ..Enter::from(join) }));
    }

    fn request(&mut self, who: char, request: RequestRecord) {
        let member = self.members.get_mut(&who).unwrap();
        member.requests += 1;
        let number = member.requests;
        self.ask(who, Asked::Request { number, request });
    }

    fn ask(&mut self, who: char, asked: Asked) {
        let member = self.members.get_mut(&who).unwrap();
        let position = member.asked;
        member.asked += 1;
        let items = List::of([asked]);
        self.send(who, &Message::Service(ServiceMessage::Asked { position, items }));
    }

    fn send(&mut self, who: char, message: &Message) {
        let (link, lane) = (self.members[&who].link, lane_of(message));
        self.hub.handle(self.now, Input::Received { link, lane, frame: encode(message) });
    }

    /// A member publishes packets to a topic, of which each has one sequence more: how many, and a step
    /// of so many milliseconds behind each.
    fn publish(&mut self, who: char, topic: usize, mut packet: Vec<u8>, times: &[u64]) {
        let strange = Topic::new([0; 5]);
        let topic = topic.checked_sub(1).map_or(strange, |place| self.topics[place]);
        let link = self.members[&who].link;
        let (count, step) = (times.first().unwrap_or(&1), times.get(1).unwrap_or(&0));
        for turn in 0..*count {
            if turn > 0 {
                self.pass_time(self.now + Duration::from_millis(*step));
                let low = u16::from_le_bytes([packet[2], packet[3]]).wrapping_add(1);
                packet[2..4].copy_from_slice(&low.to_le_bytes());
            }
            let packet = Bytes::from(packet.clone());
            self.published = packet.clone();
            self.hub.handle(self.now, Input::Spoken { link, topic, packet });
            self.settle();
        }
    }

    /// Does what the relay wants done. Returns the nonce that it greets with, if it does.
    fn settle(&mut self) -> Option<[u8; 16]> {
        let mut nonce = None;
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Send { link, lane, frame } => {
                    let said = decode(&frame, MAX_FRAME).unwrap();
                    let written = Input::Written { link, lane, bytes: frame.len() };
                    self.hub.handle(self.now, written);
                    match said {
                        Message::Hello(hello) => nonce = Some(hello.nonce),
                        said => self.hear(link, said),
                    }
                }
                Effect::Tune { link, topic, tune: Tune::Off } => {
                    self.tunes.remove(&(topic, link));
                }
                Effect::Tune { link, topic, tune } => {
                    self.tunes.insert((topic, link), tune);
                }
                Effect::Pass { link, topic, packet } => {
                    assert_eq!(packet, self.published, "as it came");
                    self.passed(link, topic);
                }
                Effect::Disconnect { link } => {
                    self.part(link);
                    self.hub.handle(self.now, Input::Disconnected { link });
                }
                other => panic!("{other:?}"),
            }
        }
        nonce
    }

    fn part(&mut self, link: Link) {
        self.links.remove(&link);
        self.tunes.retain(|(_, of), _| *of != link);
    }

    /// A packet is passed on to those who hear its topic.
    fn passed(&mut self, from: Link, topic: Topic) {
        assert_eq!(self.tunes.get(&(topic, from)), Some(&Tune::Speak), "another spoke");
        let hears =
            |((of, _), tune): &(&(Topic, Link), &Tune)| *of == topic && **tune == Tune::Hear;
        let links = self.tunes.iter().filter(hears).map(|((_, link), _)| self.links[link]);
        let mut hearers: Vec<char> = links.collect();
        hearers.sort_unstable();
        if !hearers.is_empty() {
            let packet = format!("packet {}", self.place(topic));
            self.passes.push((hearers, packet));
        }
    }

    /// A member hears something from the relay, and says that it does.
    fn hear(&mut self, link: Link, said: Message) {
        let Some(who) = self.links.get(&link).copied() else { return };
        match said {
            Message::Welcome(welcome) => {
                self.clients.insert(welcome.client, who);
            }
            Message::Service(ServiceMessage::Told { position, items }) => {
                let received = position + items.len() as u64;
                let answer = ServiceMessage::Received { received, gap: false };
                for told in items.into_vec() {
                    if let Some(words) = self.told(told) {
                        self.follow(who, words);
                    }
                }
                self.send(who, &Message::Service(answer));
            }
            Message::Refused(refusal) => panic!("{who}: {refusal}"),
            _ => {}
        }
    }

    /// What is told to several stands there once.
    fn follow(&mut self, who: char, words: String) {
        let is_same =
            |(whom, told): &&mut (Vec<char>, String)| *told == words && !whom.contains(&who);
        match self.follows.iter_mut().rev().find(is_same) {
            Some((whom, _)) => whom.push(who),
            None => self.follows.push((vec![who], words)),
        }
    }

    /// Writes down what followed; of packets in a row that went to the same how many.
    fn flush(&mut self) {
        let at = self.now.as_micros() / 1_000;
        for run in self.follows.chunk_by(|a, b| a == b) {
            let (whom, words) = &run[0];
            let whom: Vec<String> = whom.iter().map(char::to_string).collect();
            let times = if run.len() > 1 { format!(" {}", run.len()) } else { String::new() };
            self.steps.push(format!("{at} > {}: {words}{times}", whom.join(" ")));
        }
        self.follows.clear();
    }

    fn told(&mut self, told: Told) -> Option<String> {
        match told {
            Told::Here => Some("here".to_owned()),
            Told::Answer { answer, .. } => Some(match answer {
                Ok(_) => "done".to_owned(),
                Err(ServiceError::NotAllowed { .. }) => "NotAllowed".to_owned(),
                Err(ServiceError::NotMember { .. }) => "NotMember".to_owned(),
                Err(ServiceError::TooMany { limit }) => format!("TooMany {limit}"),
                Err(other) => panic!("{other}"),
            }),
            Told::Voice(voice) => Some(self.voice(&voice)),
            _ => None,
        }
    }

    fn voice(&mut self, told: &VoiceTold) -> String {
        match told {
            VoiceTold::Opened(record) => self.opened(record),
            VoiceTold::Closed { name, why } => format!("closed {} {why:?}", self.name(*name)),
            VoiceTold::Muted { name, muted } => {
                format!("{} {}", if *muted { "muted" } else { "unmuted" }, self.name(*name))
            }
            VoiceTold::Silenced { peer, silenced } => {
                let what = if *silenced { "silenced" } else { "unsilenced" };
                format!("{what} {}", owner(*peer))
            }
            VoiceTold::Refused { number, why } => match why {
                StreamError::TooMany { limit } => format!("refused {number} TooMany {limit}"),
                why => format!("refused {number} {why:?}"),
            },
            VoiceTold::Reception { number, lost } => format!("reception {number} {lost}"),
            VoiceTold::Expires { seconds } => format!("expires {seconds}"),
        }
    }

    fn opened(&mut self, record: &StreamRecord) -> String {
        let StreamRecord { name, peer, topic, epoch, muted } = *record;
        if !self.topics.contains(&topic) {
            self.topics.push(topic);
        }
        let (name, place) = (self.name(name), self.place(topic));
        assert!(name.starts_with(owner(peer)), "the key is another's than the number");
        format!("opened {name} {place} {epoch:08x}{}", if muted { " muted" } else { "" })
    }

    fn place(&self, topic: Topic) -> usize {
        self.topics.iter().position(|other| *other == topic).unwrap() + 1
    }

    fn name(&self, StreamName { client, number }: StreamName) -> String {
        format!("{}/{number}", self.clients[&client])
    }

    /// The stream of a name, by the newest number of its member.
    fn read_name(&self, name: &str) -> StreamName {
        let (who, number) = name.split_once('/').unwrap();
        let mut clients = self.clients.iter().rev();
        let client = clients.find(|(_, other)| **other == letter(who)).map(|(client, _)| *client);
        StreamName { client: client.unwrap(), number: number.parse().unwrap() }
    }
}
