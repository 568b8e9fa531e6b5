//! What is said of rooms: the messages, and sessions in which they are said.

use std::time::Duration;

use bytes::Bytes;
use parlor::proto::audio::stream::{StreamEnd, StreamError, StreamName, Topic};
use parlor::proto::config::HubConfig;
use parlor::proto::id::{ClientNumber, Lane, RoomId};
use parlor::proto::proof::{self, Side};
use parlor::proto::reason::{Refusal, Right, ServiceError, Version};
use parlor::proto::token::TokenFault;
use parlor::proto::wire::bounded::{Blob, Line, List};
use parlor::proto::wire::encode;
use parlor::proto::wire::message::{
    AnswerRecord, Asked, CardRecord, Enter, FactRecord, HearingRecord, Hello, Join, Message,
    OpeningRecord, ReceptionRecord, RequestRecord, RoomRecord, ServiceMessage, StreamRecord, Told,
    VoiceAsked, VoiceTold,
};
use parlor::{Code, Door, Entrance, Invite, Opening, Policy, Request};

use crate::scripts::{Case, case, greet_as, hello, shake};
use crate::session::Rig;
use crate::stage::{APP_KEY, RELAY, app_key, peer};
use crate::wire::Named;

fn line<const MAX: usize>(text: &str) -> Line<MAX> {
    Line::new(text).unwrap()
}

fn enter() -> Enter {
    let join = Join {
        room: line("room"),
        proof: [3; 32],
        metadata: Blob::default(),
        incarnation: 1,
        known: List::of([]),
    };
    Enter {
        join,
        create: true,
        opening: OpeningRecord {
            capacity: 8,
            listed: true,
            description: line("ours"),
            data: List::of([(line("map"), line("island"))]),
            policy: Policy::Invited,
            password: Some([4; 32]),
        },
        password: Some([5; 32]),
        invite: Some(Invite([6; 16])),
        token: Some(line("v4.public.x")),
        context: line("from the lobby"),
    }
}

fn record() -> RoomRecord {
    RoomRecord {
        name: line("match/duel/00000Z"),
        members: 2,
        capacity: 8,
        owner: Some(peer(1)),
        listed: true,
        locked: false,
        password: true,
        policy: Policy::Everyone,
        group: Some((line("duel"), Code::of(31))),
        description: line("ours"),
        data: List::of([(line("map"), line("island"))]),
    }
}

pub(crate) fn messages() -> Vec<Named> {
    let plain = Enter { create: false, ..Enter::from(enter().join) };
    let service = |message| Message::Service(message);
    let received = ServiceMessage::Received { received: 300, gap: true };
    vec![
        ("enter", "a join, and every term", Message::Enter(enter())),
        ("enter-plain", "into a room that is open", Message::Enter(plain)),
        (
            "visit",
            "a peer that only asks",
            service(ServiceMessage::Visit { proof: [3; 32], token: None }),
        ),
        ("service-received", "as for signals", service(received)),
        ("asked", "everything that can be asked", service(asked())),
        ("told", "everything that is told", service(told())),
        ("told-answers", "every answer", service(answers())),
        ("asked-voice", "everything that can be said of one's voice", service(asked_voice())),
        ("told-voice", "everything that is told of voices", service(told_voice())),
        ("asked-keeping", "whether all is kept", service(asked_keeping())),
        ("told-keeping", "what is kept", service(told_keeping())),
        ("told-errors", "every reason why not", service(errors())),
    ]
}

fn asked() -> ServiceMessage {
    let requests = [
        RequestRecord::Describe(line("ours")),
        RequestRecord::Put(line("map"), Some(line("island"))),
        RequestRecord::Put(line("map"), None),
        RequestRecord::Capacity(8),
        RequestRecord::Listed(true),
        RequestRecord::Lock(true),
        RequestRecord::Policy(Policy::Nobody),
        RequestRecord::Password(Some([4; 32])),
        RequestRecord::HandOver(peer(2)),
        RequestRecord::Kick(peer(2), 600),
        RequestRecord::Pardon(peer(2)),
        RequestRecord::Invite(Some(peer(2)), 1, 3_600),
        RequestRecord::Withdraw(Invite([6; 16])),
        RequestRecord::List { page: 0, size: 20 },
        RequestRecord::Find(RoomId([7; 8])),
        RequestRecord::Peek(line("room")),
        RequestRecord::Match(line("duel"), 8),
        RequestRecord::Renew(line("v4.public.x")),
    ];
    let requests = (1..).zip(requests).map(|(number, request)| Asked::Request { number, request });
    let value = Blob::new(Bytes::from_static(b"hall"));
    let says = Asked::Presence { key: line("place"), value, ttl_ms: 30_000 };
    let stops = Asked::Presence { key: line("place"), value: None, ttl_ms: 0 };
    ServiceMessage::Asked { position: 300, items: List::of(requests.chain([says, stops])) }
}

fn asked_voice() -> ServiceMessage {
    let name = StreamName { client: ClientNumber(3), number: 1 };
    let silence = RequestRecord::Silence(peer(2), true);
    let voice = [
        VoiceAsked::Open { number: 0, epoch: 0x0102_0304, muted: false },
        VoiceAsked::Mute { number: 0, muted: true },
        VoiceAsked::Close { number: 0 },
        VoiceAsked::Hear(HearingRecord { deaf: false, all: true, but: List::of([peer(2)]) }),
        VoiceAsked::Report(List::of([ReceptionRecord { name, lost: 5 }])),
    ];
    let asked = voice.map(Asked::Voice).into_iter();
    let items = asked.chain([Asked::Request { number: 19, request: silence }]);
    ServiceMessage::Asked { position: 0, items: List::of(items) }
}

fn asked_keeping() -> ServiceMessage {
    ServiceMessage::Asked { position: 7, items: List::of([Asked::Keep { mark: 300 }]) }
}

fn told_keeping() -> ServiceMessage {
    let items = [Told::Keeps(true), Told::Kept { mark: 300 }, Told::Keeps(false)];
    ServiceMessage::Told { position: 9, items: List::of(items) }
}

fn told_voice() -> ServiceMessage {
    let name = StreamName { client: ClientNumber(3), number: 1 };
    let topic = Topic::new([1, 2, 3, 4, 5]);
    let record = StreamRecord { name, peer: peer(2), topic, epoch: 0x0102_0304, muted: true };
    let ends = [StreamEnd::Closed, StreamEnd::Left, StreamEnd::Forbidden, StreamEnd::Replaced];
    let errors =
        [StreamError::Forbidden, StreamError::TooMany { limit: 4 }, StreamError::Unsupported];
    let voice = [
        VoiceTold::Opened(record),
        VoiceTold::Muted { name, muted: false },
        VoiceTold::Silenced { peer: peer(2), silenced: true },
        VoiceTold::Reception { number: 1, lost: 5 },
        VoiceTold::Expires { seconds: 30 },
    ];
    let ends = ends.map(|why| VoiceTold::Closed { name, why });
    let errors = errors.map(|why| VoiceTold::Refused { number: 1, why });
    let items = voice.into_iter().chain(ends).chain(errors).map(Told::Voice);
    ServiceMessage::Told { position: 0, items: List::of(items) }
}

fn told() -> ServiceMessage {
    let facts = [
        FactRecord::Owner(Some(peer(1))),
        FactRecord::Owner(None),
        FactRecord::Description(line("ours")),
        FactRecord::Data(line("map"), Some(line("island"))),
        FactRecord::Data(line("map"), None),
        FactRecord::Capacity(8),
        FactRecord::Listed(true),
        FactRecord::Locked(true),
        FactRecord::Password(false),
        FactRecord::Policy(Policy::Everyone),
    ];
    let value = Blob::new(Bytes::from_static(b"hall"));
    let client = ClientNumber(3);
    let says = Told::Presence { client, key: line("place"), value };
    let stops = Told::Presence { client, key: line("place"), value: None };
    let first = [Told::Room(record()), says, stops, Told::Here];
    let items = List::of(
        first.into_iter().chain(facts.map(Told::Fact)).chain([Told::Expires { seconds: 60 }]),
    );
    ServiceMessage::Told { position: 0, items }
}

fn answers() -> ServiceMessage {
    let doors = [
        Door::Open,
        Door::Inside,
        Door::Password,
        Door::Invited,
        Door::Full,
        Door::Closed,
        Door::Banned,
    ];
    let card = |door| CardRecord {
        name: line("room"),
        members: 1,
        capacity: 128,
        description: line("ours"),
        door,
    };
    let answers = [
        AnswerRecord::Done,
        AnswerRecord::Invite(Invite([6; 16])),
        AnswerRecord::Page { page: 0, total: 9, more: true, rooms: List::of(doors.map(card)) },
        AnswerRecord::Room(record()),
        AnswerRecord::Seat {
            group: line("duel"),
            code: Code::of(31),
            capacity: 8,
            fresh: true,
            held_ms: 10_000,
        },
    ];
    let items = (1..).zip(answers);
    let items = items.map(|(number, answer)| Told::Answer { number, answer: Ok(answer) });
    ServiceMessage::Told { position: 14, items: List::of(items) }
}

fn errors() -> ServiceMessage {
    let errors = [
        ServiceError::NoSuchRoom,
        ServiceError::NotAllowed { who: Right::Owner },
        ServiceError::NotAllowed { who: Right::Moderator },
        ServiceError::NotInRoom,
        ServiceError::NotMember { peer: peer(2) },
        ServiceError::AlreadyOwner { peer: peer(2) },
        ServiceError::Oneself,
        ServiceError::NotBanned { peer: peer(2) },
        ServiceError::NoSuchInvite,
        ServiceError::TooLong { limit: 512, size: 513 },
        ServiceError::TooMany { limit: 64 },
        ServiceError::OutOfRange { limit: 128, number: 0 },
        ServiceError::RateLimited { retry_after_ms: 59_000 },
        ServiceError::RelayFull { limit: 1_000 },
        ServiceError::Unsayable,
        ServiceError::Token { why: TokenFault::Missing },
        ServiceError::NoGroup,
    ];
    let items = (1..).zip(errors);
    let items = items.map(|(number, error)| Told::Answer { number, answer: Err(error) });
    ServiceMessage::Told { position: 19, items: List::of(items) }
}

pub(crate) fn refusals() -> Vec<(&'static str, Refusal)> {
    let why = ServiceError::OutOfRange { limit: 128, number: 500 };
    vec![
        ("refused-no-room", Refusal::NoSuchRoom),
        ("refused-uninvited", Refusal::NotInvited),
        ("refused-password", Refusal::WrongPassword),
        ("refused-locked", Refusal::Locked),
        ("refused-kicked", Refusal::Kicked { ban_s: 600 }),
        ("refused-banned", Refusal::Banned { retry_after_s: 599 }),
        ("refused-token", Refusal::Token { why: TokenFault::Expired { since: 1_700_000_000 } }),
        ("refused-opening", Refusal::BadOpening { why }),
        ("refused-unauthorised", {
            let (message, context) = ("closed".to_owned(), r#"{"code":7}"#.to_owned());
            Refusal::Unauthorised { message, context }
        }),
        ("refused-unanswered", Refusal::Unanswered),
        ("refused-unreadable", Refusal::Unreadable),
    ]
}

pub(crate) fn sessions() -> Vec<Case> {
    let entrance = |entrance: Entrance| move || came(entrance);
    let password = Entrance { password: Some("other".to_owned()), ..Entrance::default() };
    vec![
        case("room-owner", "an owner changes its room, another may not", owned()),
        case("room-presence", "who comes later is told what members say", present()),
        case("room-kicked", "put out, and kept out", kicked()),
        case("room-password", "the wrong one", entrance(password)()),
        case("room-absent", "a room that is not open", absent()),
        case("room-old-peer", "who knows no room service is told of no reason", old()),
        case("visit-list", "a list, and a seat", visit(true)),
        case("visit-wrong-proof", "without the app key", visit(false)),
    ]
}

fn owner(seed: u8, opening: Opening) -> Rig {
    let mut rig = Rig::new(HubConfig::default(), APP_KEY);
    let owner = rig.add(seed, 1);
    let entrance = Entrance { opening, ..Entrance::default() };
    rig.act(owner, "says what its room is to be like", |peer, _| peer.set_entrance(entrance));
    rig.connect(owner);
    rig.run(50);
    rig
}

fn ask(rig: &mut Rig, place: usize, request: &Request) {
    rig.act(place, &format!("asks {request:?}"), |peer, now| {
        peer.ask(request, now).unwrap();
    });
}

fn owned() -> Rig {
    let mut rig = owner(1, Opening { description: "ours".to_owned(), ..Opening::default() });
    let guest = rig.add(2, 1);
    rig.connect(guest);
    rig.run(100);
    ask(&mut rig, 0, &Request::Put { key: "map".to_owned(), value: Some("island".to_owned()) });
    rig.run(110);
    ask(&mut rig, guest, &Request::Lock(true));
    rig.run(120);
    let to = peer(2);
    ask(&mut rig, 0, &Request::HandOver(to));
    rig.run(200);
    rig
}

fn present() -> Rig {
    let mut rig = owner(1, Opening::default());
    rig.act(0, "says where it is, for a while", |peer, now| {
        let (value, ttl) = (Some(Bytes::from_static(b"hall")), Some(Duration::from_secs(1)));
        peer.set_presence("place", value, ttl, now).unwrap();
    });
    rig.run(100);
    let guest = rig.add(2, 1);
    rig.connect(guest);
    rig.run(1_200);
    rig
}

fn kicked() -> Rig {
    let mut rig = owner(1, Opening::default());
    let guest = rig.add(2, 1);
    rig.connect(guest);
    rig.run(100);
    ask(&mut rig, 0, &Request::Kick { peer: peer(2), ban: Duration::from_secs(600) });
    rig.run(200);
    rig.connect(guest);
    rig.run(300);
    rig
}

fn came(entrance: Entrance) -> Rig {
    let mut rig =
        owner(1, Opening { password: Some("caf\u{e9}".to_owned()), ..Opening::default() });
    let guest = rig.add(2, 1);
    rig.act(guest, "knows a password", |peer, _| peer.set_entrance(entrance));
    rig.connect(guest);
    rig.run(200);
    rig
}

fn absent() -> Rig {
    let mut rig = Rig::new(HubConfig::default(), APP_KEY);
    let guest = rig.add(1, 1);
    let entrance = Entrance { create: false, ..Entrance::default() };
    rig.act(guest, "opens no room", |peer, _| peer.set_entrance(entrance));
    rig.connect(guest);
    rig.run(100);
    rig
}

fn old() -> Rig {
    let mut rig = owner(2, Opening::default());
    ask(&mut rig, 0, &Request::Lock(true));
    rig.run(60);
    let version = Version { minor: 3, ..Version::CURRENT };
    greet_as(&mut rig, Hello { version, ..hello() });
    rig.run(200);
    rig
}

fn visit(knows: bool) -> Rig {
    let mut rig = owner(2, Opening { listed: true, ..Opening::default() });
    let (link, nonces) = shake(&mut rig, hello());
    let pair = (peer(1), peer(RELAY));
    let mut proof = proof::prove(&app_key(), Side::Visitor, pair, (&nonces.0, &nonces.1), "");
    if !knows {
        proof[0] ^= 1;
    }
    rig.says(
        link,
        Lane::Control,
        encode(&Message::Service(ServiceMessage::Visit { proof, token: None })),
    );
    rig.run(70);
    let requests = [
        RequestRecord::List { page: 0, size: 20 },
        RequestRecord::Match(line("duel"), 8),
        RequestRecord::Find(RoomId([0; 8])),
    ];
    let items = (1..).zip(requests).map(|(number, request)| Asked::Request { number, request });
    let asked = ServiceMessage::Asked { position: 0, items: List::of(items) };
    rig.says(link, Lane::Control, encode(&Message::Service(asked)));
    rig.run(200);
    rig
}
