//! Voices: who speaks, who hears whom, and what a relay passes on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use parlor::proto::audio::packet::{Kind, Level, Packet};
use parlor::proto::audio::stream::{
    Hearing, Stream, StreamEnd, StreamError, StreamName, Topic, Tune,
};
use parlor::proto::config::{HubConfig, VoiceConfig};
use parlor::proto::event::Event;
use parlor::proto::event::voice::VoiceEvent;
use parlor::proto::token::{Claims, Role, TokenLimits};
use parlor::{Answer, Entrance, Opening, PeerId, Request, RequestError, Right, ServiceError};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::doors::two;
use super::stage::{CALM, ROUGH, Stage, Weather, key, seeds};
use super::tokens::{claims, issue, ring, with};

const SPEAKER: [Role; 3] = [Role::Join, Role::Write, Role::Speak];
pub(super) const MOMENT: Duration = Duration::from_millis(500);

pub(super) fn packet(epoch: u32, sequence: u16) -> Bytes {
    let packet = Packet {
        kind: Kind::Audio,
        first: sequence == 0,
        level: Level { voice: true, dbov: 20 },
        sequence,
        time: u32::from(sequence) * 960,
        epoch,
        previous: None,
        frame: Bytes::from_static(&[7; 60]),
    };
    packet.write()
}

impl Stage {
    pub(super) fn open(&mut self, end: usize) -> u8 {
        let now = self.now;
        let number = self.at_mut(end).open_stream(false, now).unwrap();
        self.run(MOMENT);
        number
    }

    pub(super) fn mute(&mut self, end: usize, muted: bool) {
        let now = self.now;
        self.at_mut(end).mute_stream(0, muted, now);
        self.settle(end);
        self.run(MOMENT);
    }

    pub(super) fn hear(&mut self, end: usize, hearing: Hearing) {
        let now = self.now;
        self.at_mut(end).set_hearing(hearing, now);
        self.run(MOMENT);
    }

    /// The topic of an end's first stream, by its own word.
    pub(super) fn topic(&self, end: usize) -> Option<Topic> {
        let client = self.at(end).client()?;
        Some(self.at(end).stream(StreamName { client, number: 0 })?.topic)
    }

    /// An end says ten packets, at their pace. Returns how many came to another.
    fn say(&mut self, end: usize, to: usize) -> usize {
        let (topic, epoch) = (self.topic(end).unwrap(), self.at(end).stream_epoch(0).unwrap());
        let before = self.ends[to].heard.len();
        for sequence in 0..10 {
            self.publish(end, topic, packet(epoch, sequence));
            self.run(Duration::from_millis(20));
        }
        self.run(MOMENT);
        self.ends[to].heard.len() - before
    }

    pub(super) fn voices(&self, end: usize) -> Vec<VoiceEvent> {
        let events = self.ends[end].events.iter();
        let voices = events.filter_map(|event| match event {
            Event::Voice(voice) => Some(voice.clone()),
            _ => None,
        });
        voices.collect()
    }
}

/// Two that hear everybody, of whom the first speaks.
pub(super) fn speaker(weather: Weather, config: HubConfig) -> (Stage, usize, usize) {
    let mut stage = Stage::new(4, weather, config);
    let (one, other) = two(&mut stage, Opening::default());
    stage.hear(one, Hearing::default());
    stage.hear(other, Hearing::default());
    stage.open(one);
    stage.run(MOMENT);
    (stage, one, other)
}

fn but(peer: PeerId) -> Hearing {
    Hearing { but: BTreeSet::from([peer]), ..Hearing::default() }
}

#[test]
fn who_speaks_is_heard_by_all_who_want_to_and_nobody_else() {
    let (mut stage, one, other) = speaker(CALM, HubConfig::default());
    // Comes later, and takes no part.
    let late = stage.enter(3, "room", Entrance::default());
    stage.ready(late);
    assert_eq!(stage.at(late).streams().count(), 1, "it is told before the room is there");
    stage.run(MOMENT);
    assert_eq!(stage.say(one, other), 10);
    assert_eq!(stage.ends[late].heard.len(), 0, "nobody asked for it");
    assert_eq!(stage.ends[one].heard.len(), 0, "nobody hears itself");
    let stream = *stage.at(late).streams().next().unwrap();
    assert_eq!((stream.peer, stream.muted), (stage.id(one), false));
    assert!(stage.voices(one).contains(&VoiceEvent::Live { number: 0 }));
    assert!(stage.voices(other).contains(&VoiceEvent::Opened(stream)));
    assert!(stage.voices(late).contains(&VoiceEvent::Opened(stream)));
    stage.hear(late, Hearing::default());
    assert_eq!(stage.say(one, late), 10);
    stage.leave(one);
    stage.run(MOMENT);
    let closed =
        VoiceEvent::Closed { name: stream.name, peer: stream.peer, why: Some(StreamEnd::Left) };
    assert!(stage.voices(late).contains(&closed));
    assert_eq!(stage.at(late).streams().count(), 0);
    assert!(stage.ends[late].tunes.is_empty(), "{:?}", stage.ends[late].tunes);
    assert!(stage.tunes.is_empty(), "{:?}", stage.tunes);
}

#[test]
fn whom_a_peer_silences_it_does_not_hear_and_it_hears_it_again_at_once() {
    let (mut stage, one, other) = speaker(CALM, HubConfig::default());
    let speaker = stage.id(one);
    for _ in 0..5 {
        stage.hear(other, but(speaker));
        assert_eq!(stage.say(one, other), 0);
        stage.hear(other, Hearing { deaf: true, ..but(speaker) });
        stage.hear(other, but(speaker));
        assert_eq!(stage.say(one, other), 0, "who was deaf keeps whom it silenced");
        stage.hear(other, Hearing::default());
        assert_eq!(stage.say(one, other), 10);
        stage.hear(other, Hearing { all: false, ..Hearing::default() });
        assert_eq!(stage.say(one, other), 0);
        stage.hear(other, Hearing { all: false, ..but(speaker) });
        assert_eq!(stage.say(one, other), 10);
    }
    // It stays so when the speaker comes back.
    stage.hear(other, but(speaker));
    stage.cut(one);
    stage.ready(one);
    stage.run(MOMENT * 4);
    assert_eq!(stage.say(one, other), 0);
}

#[test]
fn who_mutes_itself_costs_nobody_a_packet_whatever_it_sends() {
    let (mut stage, one, other) = speaker(CALM, HubConfig::default());
    stage.mute(one, true);
    assert!(stage.at(other).streams().all(|stream| stream.muted));
    assert_eq!(stage.say(one, other), 0);
    stage.mute(one, false);
    assert_eq!(stage.say(one, other), 10);
    let name = stage.at(other).streams().next().unwrap().name;
    let told: Vec<_> = stage.voices(other).into_iter().skip(1).collect();
    let muted = |muted| VoiceEvent::Muted { name, muted };
    assert_eq!(told, [muted(true), muted(false)]);
}

#[test]
fn the_end_of_what_a_muted_peer_said_is_heard_and_nothing_else_of_it() {
    let (mut stage, one, other) = speaker(CALM, HubConfig::default());
    let (topic, epoch) = (stage.topic(one).unwrap(), stage.at(one).stream_epoch(0).unwrap());
    let end = |sequence| {
        let packet = Packet::read(packet(epoch, sequence)).unwrap();
        Packet { kind: Kind::End, first: false, frame: Bytes::new(), ..packet }.write()
    };
    let now = stage.now;
    stage.at_mut(one).mute_stream(0, true, now);
    while !stage.at(other).streams().all(|stream| stream.muted) {
        stage.run(Duration::from_millis(5));
    }
    let count = |stage: &mut Stage, packet: Bytes| {
        let before = stage.ends[other].heard.len();
        stage.publish(one, topic, packet);
        stage.run(Duration::from_millis(30));
        stage.ends[other].heard.len() - before
    };
    assert_eq!(count(&mut stage, end(1)), 1);
    assert_eq!(count(&mut stage, packet(epoch, 2)), 0);
    stage.run(Duration::from_millis(500));
    assert_eq!(count(&mut stage, end(3)), 0);
}

#[test]
fn a_moderator_silences_a_member_for_all_and_only_a_moderator_does() {
    let mut stage = Stage::new(4, CALM, HubConfig::default());
    // Who owns the room moderates it.
    let (owner, guest) = two(&mut stage, Opening::default());
    let third = stage.enter(3, "room", Entrance::default());
    stage.ready(third);
    for end in [owner, guest, third] {
        stage.hear(end, Hearing::default());
    }
    stage.open(guest);
    let peer = stage.id(guest);
    let silence = |silenced| Request::Silence { peer, silenced };
    let refused = ServiceError::NotAllowed { who: Right::Moderator };
    for end in [guest, third] {
        let answer = stage.request(end, &silence(true));
        assert_eq!(answer, Err(RequestError::Refused(refused.clone())));
    }
    assert_eq!(stage.say(guest, third), 10);
    assert_eq!(stage.request(owner, &silence(true)), Ok(Answer::Done));
    stage.run(MOMENT);
    assert_eq!(stage.say(guest, third), 0);
    assert!((0..3).all(|end| stage.at(end).is_silenced(peer)));
    let told = VoiceEvent::Silenced { peer, silenced: true };
    assert!(stage.voices(guest).contains(&told), "it knows");
    // It does not help to come in again, nor to open the stream anew.
    stage.cut(guest);
    stage.ready(guest);
    stage.run(MOMENT * 4);
    assert_eq!(stage.say(guest, third), 0);
    assert!(stage.at(guest).is_silenced(peer));
    assert_eq!(stage.request(owner, &silence(false)), Ok(Answer::Done));
    stage.run(MOMENT);
    assert_eq!(stage.say(guest, third), 10);
    let stranger = Request::Silence { peer: stage.hub_peer(), silenced: true };
    let absent = ServiceError::NotMember { peer: stage.hub_peer() };
    assert_eq!(stage.request(owner, &stranger), Err(RequestError::Refused(absent)));
}

#[test]
fn a_room_has_so_many_silenced_at_most_and_one_more_is_refused() {
    let voice = VoiceConfig { silenced: 2, ..VoiceConfig::default() };
    let mut stage = Stage::new(4, CALM, HubConfig { voice, ..HubConfig::default() });
    let (owner, _) = two(&mut stage, Opening::default());
    let guests = [3, 4, 5].map(|who| stage.enter(who, "room", Entrance::default()));
    let peers = guests.map(|guest| {
        stage.ready(guest);
        stage.id(guest)
    });
    let silence = |of: usize, silenced| Request::Silence { peer: peers[of], silenced };
    let full = Err(RequestError::Refused(ServiceError::TooMany { limit: 2 }));
    for (of, silenced, answer) in [
        (0, true, Ok(Answer::Done)),
        (1, true, Ok(Answer::Done)),
        (2, true, full.clone()),
        (1, true, Ok(Answer::Done)),
        (2, false, Ok(Answer::Done)),
        (2, true, full),
        (0, false, Ok(Answer::Done)),
        (2, true, Ok(Answer::Done)),
    ] {
        assert_eq!(stage.request(owner, &silence(of, silenced)), answer, "{of} {silenced}");
    }
    stage.run(MOMENT);
    assert_eq!(peers.map(|peer| stage.at(owner).is_silenced(peer)), [false, true, true]);
}

#[test]
fn nobody_hears_who_may_not_speak_whatever_it_publishes() {
    let mut stage = Stage::new(5, CALM, HubConfig::default());
    stage.hub.require_tokens(key().app(), ring());
    let mut ends = Vec::new();
    for (who, roles) in [(1, &SPEAKER[..]), (2, &SPEAKER[..2]), (3, &SPEAKER[..])] {
        let end = stage.enter(who, "room", with(issue(1, &claims(who, "room", roles, 600))));
        stage.ready(end);
        stage.hear(end, Hearing::default());
        ends.push(end);
    }
    let [speaker, mute, hearer] = ends[..] else { panic!() };
    stage.open(speaker);
    stage.open(mute);
    let refused = VoiceEvent::Refused { number: 0, why: StreamError::Forbidden };
    assert!(stage.voices(mute).contains(&refused));
    assert_eq!(stage.topic(mute), None);
    // It takes the word of another, by its topic and its epoch.
    let (topic, epoch) =
        (stage.topic(speaker).unwrap(), stage.at(speaker).stream_epoch(0).unwrap());
    let before = stage.ends[hearer].heard.len();
    for sequence in 0..20 {
        stage.publish(mute, topic, packet(epoch, sequence));
        stage.publish(mute, Topic::new([sequence as u8; 5]), packet(epoch, sequence));
    }
    stage.run(MOMENT);
    assert_eq!(stage.ends[hearer].heard.len(), before);
    assert_eq!(stage.say(speaker, hearer), 10);
}

#[test]
fn what_is_no_packet_of_the_stream_or_too_much_is_not_passed_on() {
    let config = VoiceConfig { packet: 100, ..VoiceConfig::default() };
    let config = HubConfig { voice: config, ..HubConfig::default() };
    let (mut stage, one, other) = speaker(CALM, config);
    let (topic, epoch) = (stage.topic(one).unwrap(), stage.at(one).stream_epoch(0).unwrap());
    let long =
        Packet { frame: Bytes::from(vec![1; 200]), ..Packet::read(packet(epoch, 1)).unwrap() };
    let bad = [
        Bytes::new(),
        Bytes::from_static(&[0; 11]),
        Bytes::from_static(&[255; 40]),
        packet(epoch ^ 1, 1),
        long.write(),
    ];
    for packet in bad {
        stage.publish(one, topic, packet);
    }
    stage.run(MOMENT);
    assert_eq!(stage.ends[other].heard.len(), 0);
    // A second's worth at twice the pace: the burst, and what a second allows.
    for sequence in 0..200 {
        stage.publish(one, topic, packet(epoch, sequence));
        stage.run(Duration::from_millis(5));
    }
    stage.run(MOMENT);
    let passed = stage.ends[other].heard.len();
    assert!((85..=92).contains(&passed), "{passed}");
    let links = stage.ends.iter().all(|end| end.is_linked());
    assert!(links, "it costs the packets, and not the link");
}

#[test]
fn who_may_speak_until_a_time_is_warned_and_silent_then() {
    let mut stage = Stage::new(5, CALM, HubConfig::default());
    stage.hub.require_tokens(key().app(), ring());
    let of = |until: u64| {
        let limits =
            TokenLimits { speak_until: Some(1_700_000_000 + until), ..TokenLimits::default() };
        let claims = claims(1, "room", &SPEAKER, 3_600);
        issue(1, &Claims { limits, id: format!("until {until}"), ..claims })
    };
    let one = stage.enter(1, "room", with(of(60)));
    let other = stage.enter(2, "room", with(issue(1, &claims(2, "room", &SPEAKER, 3_600))));
    for end in [one, other] {
        stage.ready(end);
        stage.hear(end, Hearing::default());
    }
    stage.open(one);
    assert_eq!(stage.say(one, other), 10);
    let warned = |stage: &Stage| {
        stage.voices(one).iter().any(|voice| matches!(voice, VoiceEvent::Expires { .. }))
    };
    stage.run(Duration::from_secs(20));
    assert!(!warned(&stage));
    stage.run(Duration::from_secs(15));
    assert!(warned(&stage));
    // Another token, in time: it goes on.
    assert_eq!(stage.request(one, &Request::Renew(of(120))), Ok(Answer::Done));
    stage.run(Duration::from_secs(40));
    assert_eq!(stage.say(one, other), 10);
    stage.run(Duration::from_secs(60));
    assert_eq!(stage.topic(one), None);
    let refused = VoiceEvent::Refused { number: 0, why: StreamError::Forbidden };
    assert_eq!(stage.voices(one).last(), Some(&refused));
    assert!(stage.is_ready(one), "it is in the room");
    assert_eq!(stage.at(other).streams().count(), 0);
    assert_eq!(stage.request(one, &Request::Renew(of(1_000))), Ok(Answer::Done));
    stage.open(one);
    assert_eq!(stage.say(one, other), 10);
}

#[test]
fn a_refusal_is_of_the_opening_that_it_answers_and_of_none_that_came_later() {
    let mut stage = Stage::new(5, CALM, HubConfig::default());
    stage.hub.require_tokens(key().app(), ring());
    let of = |roles: &[Role]| issue(1, &claims(1, "room", roles, 600));
    let one = stage.enter(1, "room", with(of(&SPEAKER[..2])));
    stage.ready(one);
    // Said behind each other, before anything comes back.
    let now = stage.now;
    assert_eq!(stage.at_mut(one).open_stream(false, now), Ok(0));
    let renewed = stage.ask(one, &Request::Renew(of(&SPEAKER))).unwrap();
    stage.at_mut(one).close_stream(0, now);
    assert_eq!(stage.at_mut(one).open_stream(false, now), Ok(0));
    stage.settle(one);
    stage.run(MOMENT);
    assert_eq!(stage.ends[one].answers.remove(&renewed), Some(Ok(Answer::Done)));
    assert_eq!(stage.voices(one), [VoiceEvent::Live { number: 0 }]);
    let open = stage.at(one).streams().next().map(|stream| stream.epoch);
    assert_eq!((open.is_some(), open), (true, stage.at(one).stream_epoch(0)));
    // One that is open, and is refused later, is refused all the same.
    assert_eq!(stage.request(one, &Request::Renew(of(&SPEAKER[..2]))), Ok(Answer::Done));
    stage.run(MOMENT);
    let refused = || VoiceEvent::Refused { number: 0, why: StreamError::Forbidden };
    assert_eq!(stage.voices(one)[1..], [refused()]);
    stage.open(one);
    assert_eq!(stage.voices(one)[2..], [refused()]);
}

#[test]
fn who_only_asks_and_might_speak_for_a_while_keeps_nobody_busy() {
    let mut stage = Stage::new(5, CALM, HubConfig::default());
    stage.hub.require_tokens(key().app(), ring());
    let limits = TokenLimits { speak_until: Some(1_700_000_031), ..TokenLimits::default() };
    let lobby = stage.lobby(1);
    stage.set_token(lobby, issue(1, &Claims { limits, ..claims(1, "room", &SPEAKER, 3_600) }));
    let list = Request::List { page: 0, size: 1 };
    assert!(matches!(stage.request(lobby, &list), Ok(Answer::Page(_))));
    // It is warned of nothing, and may not speak then.
    for seconds in [2, 40] {
        let late = stage.now + Duration::from_secs(seconds);
        stage.hub.tick(late);
        assert!(stage.hub.poll_timeout().is_none_or(|due| due > late), "{seconds}");
    }
}

#[test]
fn a_stream_is_opened_before_the_room_is_there_and_again_when_it_comes_back() {
    for weather in [CALM, ROUGH] {
        let mut stage = Stage::new(6, weather, HubConfig::default());
        let one = stage.peer(1, "room", Entrance::default());
        let now = stage.now;
        stage.at_mut(one).open_stream(false, now).unwrap();
        stage.at_mut(one).set_hearing(Hearing::default(), now);
        let epoch = stage.at(one).stream_epoch(0);
        let other = stage.enter(2, "room", Entrance::default());
        stage.hear(other, Hearing::default());
        stage.ready(other);
        stage.connect(one);
        stage.ready(one);
        stage.run(Duration::from_secs(3));
        assert!(stage.say(one, other) > 4);
        let first = stage.topic(one);
        stage.cut(one);
        assert_eq!(stage.topic(one), None);
        assert_eq!(stage.ends[one].tunes, BTreeMap::new());
        stage.ready(one);
        stage.run(Duration::from_secs(3));
        assert_eq!(stage.at(one).stream_epoch(0), epoch, "it is the same stream");
        assert_ne!(stage.topic(one), first, "what its topic was opens nothing any more");
        assert!(stage.say(one, other) > 4);
        // Closed while the link is down, it does not come back.
        stage.cut(one);
        let now = stage.now;
        stage.at_mut(one).close_stream(0, now);
        stage.ready(one);
        stage.run(Duration::from_secs(3));
        assert_eq!(stage.at(other).streams().count(), 0);
    }
}

#[test]
fn a_member_has_so_many_streams_and_a_relay_may_carry_none() {
    let voice = VoiceConfig { streams: 2, ..VoiceConfig::default() };
    let (mut stage, one, _) = speaker(CALM, HubConfig { voice, ..HubConfig::default() });
    assert_eq!([stage.open(one), stage.open(one)], [1, 2]);
    let refused = |number, why| VoiceEvent::Refused { number, why };
    assert!(stage.voices(one).contains(&refused(2, StreamError::TooMany { limit: 2 })));
    let now = stage.now;
    assert_eq!(stage.at_mut(one).open_stream(false, now), Ok(2), "it was none");
    stage.at_mut(one).open_stream(false, now).unwrap();
    assert_eq!(stage.at_mut(one).open_stream(false, now), Err(StreamError::TooMany { limit: 4 }));
    let voice = VoiceConfig { streams: 0, ..VoiceConfig::default() };
    let (stage, one, other) = speaker(CALM, HubConfig { voice, ..HubConfig::default() });
    assert!(stage.voices(one).contains(&refused(0, StreamError::Unsupported)));
    assert_eq!(stage.at(other).streams().count(), 0);
}

#[test]
fn an_older_relay_carries_no_voice_and_whoever_opens_a_stream_is_told_so() {
    let mut stage = Stage::new(4, CALM, HubConfig::default());
    stage.minor = Some(4);
    let one = stage.peer(1, "room", Entrance::default());
    let now = stage.now;
    for number in 0..2 {
        assert_eq!(stage.at_mut(one).open_stream(false, now), Ok(number));
    }
    assert_eq!(stage.voices(one), [], "nobody has said yet what the relay is");
    stage.connect(one);
    stage.ready(one);
    let refused = |number| VoiceEvent::Refused { number, why: StreamError::Unsupported };
    assert_eq!(stage.voices(one), [refused(0), refused(1)]);
    assert!(!stage.at(one).carries_voice());
    assert_eq!(stage.open(one), 0, "it was none");
    assert_eq!(stage.voices(one).last(), Some(&refused(0)));
    assert_eq!(stage.at(one).stream_epoch(0), None);
    stage.minor = None;
    stage.cut(one);
    stage.ready(one);
    stage.open(one);
    assert_eq!(stage.voices(one)[3..], [VoiceEvent::Live { number: 0 }]);
    assert!(stage.at(one).carries_voice());
}

#[test]
fn who_speaks_is_told_how_the_worst_hears_it() {
    let (mut stage, one, other) = speaker(CALM, HubConfig::default());
    let third = stage.enter(3, "room", Entrance::default());
    stage.ready(third);
    let name = stage.at(other).streams().next().unwrap().name;
    for end in [other, third] {
        let now = stage.now;
        stage.at_mut(end).set_hearing(Hearing::default(), now);
    }
    stage.run(MOMENT);
    let report = |stage: &mut Stage, end: usize, lost: u8| {
        let now = stage.now;
        stage.at_mut(end).report_reception([(name, lost)], now);
        stage.run(MOMENT);
    };
    for (end, lost) in [(other, 3), (third, 9), (other, 200), (other, 0), (third, 0), (third, 0)] {
        report(&mut stage, end, lost);
    }
    let told: Vec<u8> = stage
        .voices(one)
        .iter()
        .filter_map(|voice| match voice {
            VoiceEvent::Reception { lost, .. } => Some(*lost),
            _ => None,
        })
        .collect();
    assert_eq!(told, [3, 9, 100, 9, 0]);
    // Whoever encodes has it from the machine, whether or not anybody reads events.
    assert_eq!(stage.at_mut(one).take_receptions(), BTreeMap::from([(0, 0)]));
    assert_eq!(stage.at_mut(one).take_receptions(), BTreeMap::new());
    let last = |stage: &Stage| match stage.voices(one).last() {
        Some(VoiceEvent::Reception { lost, .. }) => *lost,
        told => panic!("{told:?}"),
    };
    // Who does not hear it any more has nothing to say of it, and what it said is forgotten.
    report(&mut stage, other, 1);
    report(&mut stage, third, 40);
    let now = stage.now;
    stage.at_mut(third).set_hearing(Hearing { deaf: true, ..Hearing::default() }, now);
    stage.run(MOMENT);
    assert_eq!(last(&stage), 1);
    report(&mut stage, third, 30);
    assert_eq!(last(&stage), 1);
    let now = stage.now;
    stage.at_mut(third).set_hearing(Hearing::default(), now);
    stage.run(MOMENT);
    // So it is with who is gone.
    report(&mut stage, third, 50);
    assert_eq!(last(&stage), 50);
    stage.leave(third);
    stage.run(MOMENT);
    assert_eq!(last(&stage), 1);
    let now = stage.now;
    stage.at_mut(other).set_hearing(Hearing { deaf: true, ..Hearing::default() }, now);
    stage.run(MOMENT);
    assert_eq!(last(&stage), 0, "nobody is left who misses anything");
}

/// Something that an end does, by chance.
fn act(stage: &mut Stage, rng: &mut ChaCha12Rng) {
    let count = stage.ends.len();
    let mut draw = |most: usize| usize::try_from(rng.next_u32()).unwrap() % most;
    let (end, what, other) = (draw(count), draw(12), draw(count));
    let (now, yes) = (stage.now, draw(2) == 0);
    let hears = Hearing { deaf: draw(5) == 0, all: draw(4) > 0, but: [stage.id(other)].into() };
    match what {
        0 | 1 => drop(stage.at_mut(end).open_stream(yes, now)),
        2 => stage.at_mut(end).close_stream(0, now),
        3 | 4 => stage.at_mut(end).mute_stream(0, yes, now),
        5 | 6 => stage.at_mut(end).set_hearing(hears, now),
        7 => stage.cut(end),
        8 => {
            let peer = stage.id(other);
            drop(stage.ask(end, &Request::Silence { peer, silenced: yes }));
        }
        9 if yes => stage.leave(end),
        9 => stage.connect(end),
        10 if end != other => stage.neighbours((end, other), yes),
        _ => {
            let span = Duration::from_millis(1 + draw(400) as u64);
            stage.run(span);
        }
    }
}

/// What an end has to do with topics, by what it and the relay say.
fn tunes_of(stage: &Stage, end: usize) -> BTreeMap<Topic, Tune> {
    let peer = stage.at(end);
    let hears = |of| peer.hearing().is_some_and(|hearing| hearing.hears(of));
    let tunes = peer.streams().filter_map(|stream| {
        let own = Some(stream.name.client) == peer.client();
        let tune = if own { Some(Tune::Speak) } else { hears(stream.peer).then_some(Tune::Hear) };
        Some((stream.topic, tune?))
    });
    tunes.collect()
}

#[test]
fn whatever_happens_all_agree_on_who_speaks_and_each_hears_whom_it_wants() {
    for seed in seeds(40, 1_000) {
        let weather = if seed % 2 == 0 { CALM } else { ROUGH };
        let mut stage = Stage::new(seed, weather, HubConfig::default());
        let mut rng = ChaCha12Rng::seed_from_u64(seed ^ 0x0050_1ce5);
        for who in 0..4 {
            stage.enter(who, "room", Entrance::default());
        }
        for _ in 0..80 {
            act(&mut stage, &mut rng);
        }
        for end in 0..4 {
            stage.connect(end);
        }
        // They come back, and what went on without the relay does so for a while more.
        stage.run(stage.handover + Duration::from_secs(20));
        let all: Vec<Stream> = stage.at(0).streams().copied().collect();
        for end in 0..4 {
            assert!(stage.is_ready(end), "seed {seed}: {end}");
            let seen: Vec<Stream> = stage.at(end).streams().copied().collect();
            assert_eq!(seen, all, "seed {seed}: {end}");
            assert_eq!(stage.ends[end].tunes, tunes_of(&stage, end), "seed {seed}: {end}");
            let link = stage.ends[end].link().unwrap();
            let of = |((topic, of), tune): (&(Topic, _), &Tune)| {
                (*of == link).then_some((*topic, *tune))
            };
            let at_relay: BTreeMap<Topic, Tune> = stage.tunes.iter().filter_map(of).collect();
            assert_eq!(at_relay, stage.ends[end].tunes, "seed {seed}: {end}, at the relay");
            let client = stage.at(end).client().unwrap();
            for number in 0..4 {
                let open = all.iter().find(|it| it.name == StreamName { client, number });
                assert_eq!(
                    open.map(|it| it.epoch),
                    stage.at(end).stream_epoch(number),
                    "seed {seed}"
                );
            }
            let silenced = |of: usize| stage.at(end).is_silenced(stage.id(of));
            let first = |of: usize| stage.at(0).is_silenced(stage.id(of));
            assert!((0..4).all(|of| silenced(of) == first(of)), "seed {seed}");
        }
    }
}
