//! The cases of `session.json` in which something is told once.

use bytes::Bytes;
use parlor::Audience;
use parlor::Subject;
use parlor::proto::config::{HubConfig, Limits};
use parlor::proto::id::{Lane, Link, PeerId};
use parlor::proto::reason::Version;
use parlor::proto::wire::bounded::{Blob, Line, List};
use parlor::proto::wire::encode;
use parlor::proto::wire::message::{
    HeardRecord, Hello, Message, SettledRecord, SignalAudience, SignalCast, SignalMessage,
    SignalOutcome, SignalRecord, SignalSubject,
};

use crate::scripts::{Case, case, greet, greet_as, hello};
use crate::session::Rig;
use crate::stage::{APP_KEY, app_key, peer, room};

pub(crate) fn signals() -> Vec<Case> {
    vec![
        case("signals", "who was away hears what was told meanwhile", resumed()),
        case("signals-forgotten", "a relay forgets: nothing is told again", forgotten()),
        case("signals-early", "before the relay was asked", early()),
        case("signals-large", "more than 8 bytes", large()),
        case("signals-again", "one number twice is one signal", again()),
        case("signals-settled", "what became of signals to one peer", settled()),
        case("signals-relay", "to the relay, and the relay's own", relayed()),
        case("signals-forged", "outcomes are a relay's to say", forged()),
        case(
            "signals-older",
            "a peer of 2.3 is told no outcome, and nothing that is cast",
            older(),
        ),
        case("cast", "what is told at most once, to all and to one", cast()),
        case("cast-again", "one number twice is one signal, whatever comes between", cast_again()),
        case("cast-large", "more than 8 bytes", cast_large()),
        case("cast-forged", "who it is by is the relay's to say", cast_forged()),
    ]
}

/// Two peers that are in.
fn pair(config: HubConfig) -> Rig {
    let mut rig = Rig::new(config, APP_KEY);
    for seed in [1, 2] {
        let peer = rig.add(seed, 1);
        rig.connect(peer);
    }
    rig.run(100);
    rig
}

fn call(rig: &mut Rig, place: usize, says: &'static str) {
    rig.act(place, &format!("calls {says}"), |peer, now| {
        let (subject, says) =
            (Subject::Name("call".to_owned()), Bytes::from_static(says.as_bytes()));
        peer.store_mut().signal(Audience::Others, subject, says).unwrap();
        peer.tick(now);
    });
}

fn resumed() -> Rig {
    let mut rig = pair(HubConfig::default());
    call(&mut rig, 0, "one");
    rig.run(110);
    rig.lose(1);
    call(&mut rig, 0, "two");
    rig.run(1_000);
    rig
}

fn forgotten() -> Rig {
    let mut rig = pair(HubConfig::default());
    call(&mut rig, 0, "one");
    rig.run(101);
    rig.forget(HubConfig::default(), APP_KEY);
    rig.run(1_000);
    call(&mut rig, 0, "two");
    rig.run(1_100);
    rig
}

/// A room of one, and a script that has joined it and been answered.
fn scripted(config: HubConfig, asks: bool) -> (Rig, Link) {
    let mut rig = Rig::new(config, APP_KEY);
    let second = rig.add(2, 1);
    rig.connect(second);
    rig.run(100);
    let link = greet(&mut rig);
    rig.run(110);
    if asks {
        say(&mut rig, link, &Message::Signal(SignalMessage::From { life: [0; 8], heard: 0 }));
        rig.run(120);
    }
    (rig, link)
}

fn say(rig: &mut Rig, link: Link, message: &Message) {
    rig.says(link, Lane::Control, encode(message));
}

fn given(position: u64, number: u64, says: &'static [u8]) -> Message {
    let subject = SignalSubject::Name(Line::new("call").unwrap());
    let payload = Blob::new(Bytes::from_static(says)).unwrap();
    let record = SignalRecord { number, to: SignalAudience::Others, subject, payload };
    Message::Signal(SignalMessage::Given { position, signals: List::of([record]) })
}

fn early() -> Rig {
    let (mut rig, link) = scripted(HubConfig::default(), false);
    say(&mut rig, link, &given(0, 1, b"one"));
    rig.run(200);
    rig
}

fn large() -> Rig {
    let limits = Limits { signal: 8, ..Limits::default() };
    let (mut rig, link) = scripted(HubConfig { limits, ..HubConfig::default() }, true);
    say(&mut rig, link, &given(0, 1, b"one"));
    say(&mut rig, link, &given(1, 2, b"much more"));
    rig.run(200);
    rig
}

fn again() -> Rig {
    let (mut rig, link) = scripted(HubConfig::default(), true);
    say(&mut rig, link, &given(0, 1, b"one"));
    say(&mut rig, link, &given(1, 1, b"again"));
    say(&mut rig, link, &given(2, 2, b"two"));
    rig.run(300);
    rig
}

/// To who is there, to nobody, to who is away and comes back, and to who says goodbye before it hears.
fn settled() -> Rig {
    let mut rig = pair(HubConfig::default());
    whisper(&mut rig, peer(2), "heard");
    whisper(&mut rig, peer(9), "absent");
    rig.run(200);
    rig.lose(1);
    whisper(&mut rig, peer(2), "heard later");
    rig.run(1_000);
    whisper(&mut rig, peer(2), "unknown");
    rig.act(1, "leaves", |peer, now| peer.leave(now));
    rig.run(1_100);
    rig
}

fn relayed() -> Rig {
    let mut rig = pair(HubConfig::default());
    rig.act(0, "calls the relay", |peer, now| {
        let subject = Subject::Name("call".to_owned());
        peer.store_mut().signal(Audience::Relay, subject, Bytes::from_static(b"hello")).unwrap();
        peer.tick(now);
    });
    rig.run(200);
    rig.relay_does("calls all, and peer 2", |hub, now| {
        let key = (app_key().app(), room());
        for (to, says) in [(Audience::All, "all"), (Audience::Peer(peer(2)), "you")] {
            hub.signal(now, &key, to, "call", Bytes::from_static(says.as_bytes())).unwrap();
        }
    });
    rig.run(300);
    rig
}

fn whisper(rig: &mut Rig, to: PeerId, says: &'static str) {
    rig.act(0, &format!("whispers {says}"), |peer, now| {
        let (subject, says) =
            (Subject::Name("whisper".to_owned()), Bytes::from_static(says.as_bytes()));
        peer.store_mut().signal(Audience::Peer(to), subject, says).unwrap();
        peer.tick(now);
    });
}

fn forged() -> Rig {
    let (mut rig, link) = scripted(HubConfig::default(), true);
    let record = SettledRecord { number: 1, given: 1, outcome: SignalOutcome::Heard };
    let settled = List::of([record]);
    say(&mut rig, link, &Message::Signal(SignalMessage::Settled { position: 0, settled }));
    rig.run(200);
    rig
}

fn older() -> Rig {
    let mut rig = Rig::new(HubConfig::default(), APP_KEY);
    let second = rig.add(2, 1);
    rig.connect(second);
    rig.run(100);
    let version = Version { minor: 3, ..Version::CURRENT };
    let link = greet_as(&mut rig, Hello { version, ..hello() });
    rig.run(110);
    say(&mut rig, link, &Message::Signal(SignalMessage::From { life: [0; 8], heard: 0 }));
    rig.run(120);
    let subject = SignalSubject::Name(Line::new("call").unwrap());
    let record = |number, to| SignalRecord {
        number,
        to: SignalAudience::Peer(to),
        subject: subject.clone(),
        payload: Blob::default(),
    };
    let signals = List::of([record(1, peer(2)), record(2, peer(9))]);
    say(&mut rig, link, &Message::Signal(SignalMessage::Given { position: 0, signals }));
    rig.act(0, "casts all", |peer, now| {
        let subject = Subject::Name("call".to_owned());
        peer.store_mut().cast(Audience::All, subject, Bytes::from_static(b"all")).unwrap();
        peer.tick(now);
    });
    rig.run(300);
    rig
}

fn cast() -> Rig {
    let mut rig = pair(HubConfig::default());
    for (to, says) in [(Audience::All, "all"), (Audience::Peer(peer(2)), "you")] {
        rig.act(0, &format!("casts {says}"), |peer, now| {
            let subject = Subject::Name("call".to_owned());
            peer.store_mut().cast(to, subject, Bytes::from_static(says.as_bytes())).unwrap();
            peer.tick(now);
        });
    }
    rig.run(200);
    rig
}

fn throw(rig: &mut Rig, link: Link, cast: SignalCast) {
    rig.says(link, Lane::State, encode(&Message::Cast(cast)));
}

fn thrown(number: u64, says: &'static [u8]) -> SignalCast {
    let subject = SignalSubject::Name(Line::new("call").unwrap());
    let payload = Blob::new(Bytes::from_static(says)).unwrap();
    SignalCast::Given(SignalRecord { number, to: SignalAudience::Others, subject, payload })
}

fn cast_again() -> Rig {
    let (mut rig, link) = scripted(HubConfig::default(), false);
    for number in [2, 1, 2, 3, 1] {
        throw(&mut rig, link, thrown(number, b"one"));
    }
    rig.run(200);
    rig
}

fn cast_large() -> Rig {
    let limits = Limits { cast: 8, ..Limits::default() };
    let (mut rig, link) = scripted(HubConfig { limits, ..HubConfig::default() }, false);
    throw(&mut rig, link, thrown(1, b"one"));
    throw(&mut rig, link, thrown(2, b"much more"));
    rig.run(200);
    rig
}

fn cast_forged() -> Rig {
    let (mut rig, link) = scripted(HubConfig::default(), false);
    let subject = SignalSubject::Name(Line::new("call").unwrap());
    let by = peer(2);
    let record = HeardRecord { number: 1, by, subject, payload: Blob::default() };
    throw(&mut rig, link, SignalCast::Heard(record));
    rig.run(200);
    rig
}
