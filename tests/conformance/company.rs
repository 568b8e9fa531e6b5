//! Members of a room, whole peers, and in words what they say of voices, and what they do with direct
//! links.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use parlor::proto::audio::stream::{Hearing, Share, Shared, StreamName, Topic};
use parlor::proto::config::{HubConfig, PeerConfig};
use parlor::proto::event::voice::VoiceEvent;
use parlor::proto::event::{Effect, Event, Input};
use parlor::proto::hub::Hub;
use parlor::proto::id::Link;
use parlor::proto::model::Model;
use parlor::proto::peer::{Peer, Setup};
use parlor::proto::time::Time;
use parlor::proto::wire::message::{
    Asked, HearingRecord, Message, ReceptionRecord, ServiceMessage, VoiceAsked,
};
use parlor::proto::wire::{MAX_FRAME, decode};
use parlor::{PeerId, Request};

use crate::stage::{RELAY, app_key, identity, peer, room};
use crate::wall::{BEGINS, configured, key, letter, owner};
use crate::world::Lobby;

/// How many letters there are for members.
const MOST: u8 = 4;

/// A relay, and the members that there may be, on links that take no time.
pub(crate) struct Company {
    hub: Hub,
    of: Of,
    now: Time,
    peers: BTreeMap<char, Peer>,
    links: BTreeMap<Link, char>,
    next_link: u64,
    /// Who cannot reach the relay, and who is trying to.
    lost: BTreeSet<char>,
    dialling: BTreeSet<char>,
    /// In the order in which they were drawn.
    epochs: Vec<(char, u8, u32)>,
    follows: Vec<String>,
    steps: Vec<String>,
}

/// What members do that is written down.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// What they say to the relay, and what they forget because it was refused.
    Relay,
    /// What they do with direct links, and which streams of others are open to them.
    Links,
}

/// Does what a script says, whose steps are apart by semicolons. Returns them, and behind each what the
/// members do of it.
pub(crate) fn play(config: &str, of: Of, script: &str) -> Vec<String> {
    let mut company = Company::new(config, of);
    script.split(';').for_each(|step| company.step(step.trim()));
    company.steps
}

fn hub(config: &str, boot: u32) -> Hub {
    let config = HubConfig { voice: configured(config), ..HubConfig::default() };
    let (epoch, seed) = (BEGINS * 1_000_000, [RELAY; 32]);
    Hub::new(identity(RELAY), [app_key()], config, epoch, seed, boot)
}

fn member(seed: u8) -> Peer {
    let setup = Setup {
        identity: identity(seed),
        app_key: app_key(),
        room: room(),
        metadata: Bytes::new(),
        incarnation: 1,
        shape: Lobby::shape(),
        entrance: parlor::Entrance::default(),
    };
    Peer::new(setup, PeerConfig::default(), [seed; 32])
}

fn hearing(words: &[&str]) -> Hearing {
    let but = words.iter().filter(|word| word.len() == 1).map(|word| key(letter(word)));
    let deaf = words.last() == Some(&"deaf");
    Hearing { deaf, all: words.first() == Some(&"all"), but: but.collect() }
}

impl Company {
    fn new(config: &str, of: Of) -> Self {
        let letters = ('a'..='z').zip(1..=MOST);
        Self {
            hub: hub(config, 1),
            of,
            now: Time::ZERO,
            peers: letters.map(|(letter, seed)| (letter, member(seed))).collect(),
            links: BTreeMap::new(),
            next_link: 0,
            lost: BTreeSet::new(),
            dialling: BTreeSet::new(),
            epochs: Vec::new(),
            follows: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Does one line, when it is time for it.
    fn step(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let [at, who, does, rest @ ..] = &words[..] else { panic!("{line:?} is too short") };
        let at = Time::ZERO + Duration::from_millis(at.parse().unwrap());
        while self.now < at {
            let peers = self.peers.values().filter_map(Peer::poll_timeout);
            let due = peers.chain(self.hub.poll_timeout()).min().unwrap_or(at);
            self.now = at.min(due.max(self.now + Duration::from_micros(1)));
            self.tick();
        }
        self.steps.push(line.to_owned());
        match (*who, *does) {
            ("relay", "forgets") => self.restart(),
            (who, does) => self.act(letter(who), does, rest),
        }
        self.tick();
    }

    fn tick(&mut self) {
        let now = self.now;
        self.hub.tick(now);
        self.peers.values_mut().for_each(|peer| peer.tick(now));
        self.settle();
        let at = self.now.as_micros() / 1_000;
        self.steps.extend(self.follows.drain(..).map(|words| format!("{at} > {words}")));
    }

    fn act(&mut self, who: char, does: &str, rest: &[&str]) {
        let now = self.now;
        let peer = self.peers.get_mut(&who).unwrap();
        match (does, rest) {
            ("in", []) => peer.connect(now),
            ("leaves", []) => peer.leave(now),
            ("lost", []) => self.lose(who),
            ("found", []) => {
                self.lost.remove(&who);
                if self.dialling.remove(&who) {
                    self.connected(who);
                }
            }
            ("open", muted) => {
                let number = peer.open_stream(muted == ["muted"], now).unwrap();
                let epoch = peer.stream_epoch(number).unwrap();
                self.epochs.push((who, number, epoch));
            }
            ("close", [number]) => peer.close_stream(number.parse().unwrap(), now),
            ("mute" | "unmute", [number]) => {
                peer.mute_stream(number.parse().unwrap(), does == "mute", now);
            }
            ("hear", words) => peer.set_hearing(hearing(words), now),
            ("misses", [name, lost]) => {
                let name = self.read_name(name);
                let peer = self.peers.get_mut(&who).unwrap();
                peer.report_reception([(name, lost.parse().unwrap())], now);
            }
            ("silence" | "unsilence", [whom]) => {
                let (peer_id, silenced) = (key(letter(whom)), does == "silence");
                peer.ask(&Request::Silence { peer: peer_id, silenced }, now).unwrap();
            }
            ("kick", [whom]) => {
                let (peer_id, ban) = (key(letter(whom)), Duration::from_secs(60));
                peer.ask(&Request::Kick { peer: peer_id, ban }, now).unwrap();
            }
            ("near" | "far", [whom]) => self.neighbours((who, letter(whom)), does == "near"),
            _ => panic!("nobody does {does:?} {rest:?}"),
        }
        self.settle();
    }

    /// The relay ends and begins again, with nothing. Nobody is at it.
    fn restart(&mut self) {
        assert!(self.links.is_empty());
        self.hub = hub("", 2);
    }

    /// Two have a direct link, or not any more.
    fn neighbours(&mut self, (one, other): (char, char), near: bool) {
        for (who, of) in [(one, other), (other, one)] {
            let input = Input::Neighbour { peer: key(of), near };
            self.peers.get_mut(&who).unwrap().handle(self.now, input);
        }
    }

    /// Somebody cannot reach the relay any more.
    fn lose(&mut self, who: char) {
        self.lost.insert(who);
        let link = self.links.iter().find_map(|(link, of)| (*of == who).then_some(*link));
        if let Some(link) = link {
            self.links.remove(&link);
            self.hub.handle(self.now, Input::Disconnected { link });
            self.peers.get_mut(&who).unwrap().handle(self.now, Input::Disconnected { link });
        }
    }

    fn connected(&mut self, who: char) {
        self.next_link += 1;
        let link = Link(self.next_link);
        self.links.insert(link, who);
        let (now, relay) = (self.now, peer(RELAY));
        self.hub.handle(now, Input::Connected { link, peer: key(who) });
        self.peers.get_mut(&who).unwrap().handle(now, Input::Connected { link, peer: relay });
    }

    /// Does all that is to be done, until nothing is.
    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(effect) = self.hub.poll_effect() {
                quiet = false;
                self.of_hub(effect);
            }
            for who in self.peers.keys().copied().collect::<Vec<_>>() {
                while let Some(effect) = self.peers.get_mut(&who).unwrap().poll_effect() {
                    quiet = false;
                    self.of_peer(who, effect);
                }
                while let Some(event) = self.peers.get_mut(&who).unwrap().poll_event() {
                    self.tell(who, &event);
                }
            }
            if quiet {
                break;
            }
        }
    }

    fn of_hub(&mut self, effect: Effect) {
        match effect {
            Effect::Send { link, lane, frame } => {
                let written = Input::Written { link, lane, bytes: frame.len() };
                self.hub.handle(self.now, written);
                if let Some(who) = self.links.get(&link) {
                    let input = Input::Received { link, lane, frame };
                    self.peers.get_mut(who).unwrap().handle(self.now, input);
                }
            }
            Effect::Disconnect { link } => {
                if let Some(who) = self.links.remove(&link) {
                    self.hub.handle(self.now, Input::Disconnected { link });
                    let input = Input::Disconnected { link };
                    self.peers.get_mut(&who).unwrap().handle(self.now, input);
                }
            }
            Effect::Tune { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    fn of_peer(&mut self, who: char, effect: Effect) {
        match effect {
            Effect::Dial if self.lost.contains(&who) => {
                self.dialling.insert(who);
            }
            Effect::Dial => self.connected(who),
            Effect::Send { link, lane, frame } => {
                self.hear(who, &frame);
                let written = Input::Written { link, lane, bytes: frame.len() };
                self.peers.get_mut(&who).unwrap().handle(self.now, written);
                if self.links.contains_key(&link) {
                    self.hub.handle(self.now, Input::Received { link, lane, frame });
                }
            }
            Effect::Disconnect { link } => {
                if self.links.remove(&link).is_some() {
                    self.hub.handle(self.now, Input::Disconnected { link });
                }
            }
            Effect::Tune { .. } => {}
            Effect::Acquaint { peer, known } => {
                let what = if known { "links" } else { "parts" };
                self.follow(Of::Links, who, &format!("{what} {}", owner(peer)));
            }
            Effect::Share(shared) => self.follow(Of::Links, who, &self.shared(&shared)),
            other => panic!("{other:?}"),
        }
    }

    /// The relay hears something from a member.
    fn hear(&mut self, who: char, frame: &Bytes) {
        let said = decode(frame, MAX_FRAME).unwrap();
        let Message::Service(ServiceMessage::Asked { items, .. }) = said else { return };
        for asked in items.into_vec() {
            if let Asked::Voice(asked) = asked {
                self.follow(Of::Relay, who, &self.asked(who, asked));
            }
        }
    }

    fn asked(&self, who: char, asked: VoiceAsked) -> String {
        match asked {
            VoiceAsked::Open { number, epoch, muted } => {
                let opening = self.opening(key(who), number, epoch);
                format!("open {number} {opening}{}", if muted { " muted" } else { "" })
            }
            VoiceAsked::Close { number } => format!("close {number}"),
            VoiceAsked::Mute { number, muted } => {
                format!("{} {number}", if muted { "mute" } else { "unmute" })
            }
            VoiceAsked::Hear(HearingRecord { deaf, all, but }) => {
                let but: String = but.iter().map(|peer| format!(" {}", owner(*peer))).collect();
                let but = if but.is_empty() { but } else { format!(" but{but}") };
                let whom = if all { "all" } else { "none" };
                format!("hear {whom}{but}{}", if deaf { " deaf" } else { "" })
            }
            VoiceAsked::Report(reports) => {
                let report = |ReceptionRecord { name, lost }: &ReceptionRecord| {
                    format!(" {} {lost}", self.name(*name))
                };
                format!("report{}", reports.iter().map(report).collect::<String>())
            }
        }
    }

    /// What becomes of a stream on direct links.
    fn shared(&self, Shared { direct, peer, share, .. }: &Shared) -> String {
        let what = match share {
            Share::Hear => "asks",
            Share::Speak => "gives",
            Share::Hold => "holds",
            Share::Off => "ends",
        };
        let is_of = |(who, number, epoch): &&(char, u8, u32)| {
            key(*who) == *peer && Topic::direct(*peer, *number, *epoch) == *direct
        };
        let (who, number, epoch) = self.epochs.iter().find(is_of).unwrap();
        format!("{what} {who}/{number} {}", self.opening(*peer, *number, *epoch))
    }

    /// An application is told of streams that are open.
    fn tell(&mut self, who: char, event: &Event) {
        let (of, words) = match event {
            Event::Voice(VoiceEvent::Opened(stream)) => {
                let opening = self.opening(stream.peer, stream.name.number, stream.epoch);
                let number = stream.name.number;
                (Of::Links, format!("knows {}/{number} {opening}", owner(stream.peer)))
            }
            Event::Voice(VoiceEvent::Closed { name, peer, .. }) => {
                (Of::Links, format!("forgets {}/{}", owner(*peer), name.number))
            }
            Event::Voice(VoiceEvent::Refused { number, .. }) => {
                (Of::Relay, format!("drops {number}"))
            }
            _ => return,
        };
        self.follow(of, who, &words);
    }

    fn follow(&mut self, of: Of, who: char, words: &str) {
        if of == self.of {
            self.follows.push(format!("{who}: {words}"));
        }
    }

    /// Which opening an epoch is, of all that there were.
    fn opening(&self, of: PeerId, number: u8, epoch: u32) -> String {
        let drawn = (owner(of), number, epoch);
        let place = self.epochs.iter().position(|other| *other == drawn);
        format!("e{}", place.unwrap() + 1)
    }

    fn name(&self, StreamName { client, number }: StreamName) -> String {
        let is_of = |(_, peer): &(&char, &Peer)| peer.client() == Some(client);
        format!("{}/{number}", self.peers.iter().find(is_of).unwrap().0)
    }

    fn read_name(&self, name: &str) -> StreamName {
        let (who, number) = name.split_once('/').unwrap();
        let client = self.peers[&letter(who)].client().unwrap();
        StreamName { client, number: number.parse().unwrap() }
    }
}
