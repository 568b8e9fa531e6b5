//! The cases of `session.json` in which something is told once.

use bytes::Bytes;
use parlor::Audience;
use parlor::Subject;
use parlor::proto::config::{HubConfig, Limits};
use parlor::proto::id::{Lane, Link};
use parlor::proto::wire::bounded::{Blob, Line, List};
use parlor::proto::wire::encode;
use parlor::proto::wire::message::{
    Message, SignalAudience, SignalMessage, SignalRecord, SignalSubject,
};

use crate::scripts::{Case, case, greet};
use crate::session::Rig;
use crate::stage::APP_KEY;

pub(crate) fn signals() -> Vec<Case> {
    vec![
        case("signals", "who was away hears what was told meanwhile", resumed()),
        case("signals-forgotten", "a relay forgets: nothing is told again", forgotten()),
        case("signals-early", "before the relay was asked", early()),
        case("signals-large", "more than 8 bytes", large()),
        case("signals-again", "one number twice is one signal", again()),
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
