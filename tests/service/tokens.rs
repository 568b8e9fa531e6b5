//! What a token opens, and for how long.

use std::time::Duration;

use parlor::proto::config::HubConfig;
use parlor::proto::event::Event;
use parlor::proto::id::AppId;
use parlor::proto::model::path::Path;
use parlor::proto::token::{
    Claims, Role, Roles, TokenConfig, TokenFault, TokenLimits, TokenRing, TokenSecret,
};
use parlor::{
    Answer, Audience, Denial, Entrance, Reason, Refusal, Request, RequestError, Right, RoomId,
    ServiceError, Subject, Terms,
};

use super::stage::{CALM, ROUGH, Stage, Weather, identity, key, name};

/// The relay's clock when a stage begins, in Unix seconds.
const BEGINS: u64 = 1_700_000_000;

fn secret(seed: u8) -> TokenSecret {
    TokenSecret::from_seed([seed; 32]).unwrap()
}

/// What peer `who` may do in rooms of a pattern for so many seconds.
pub(super) fn claims(who: usize, rooms: &str, roles: &[Role], seconds: u64) -> Claims {
    Claims {
        app: key().app(),
        peer: identity(who).peer(),
        rooms: rooms.parse().unwrap(),
        roles: roles.iter().copied().collect::<Roles>(),
        limits: TokenLimits::default(),
        not_before: BEGINS,
        expires: BEGINS + seconds,
        id: format!("token of {who} for {seconds} s"),
    }
}

pub(super) fn issue(seed: u8, claims: &Claims) -> String {
    secret(seed).issue(claims, &TokenConfig::default()).unwrap()
}

pub(super) fn with(token: String) -> Entrance {
    Entrance { token: Some(token), ..Entrance::default() }
}

pub(super) const WRITER: [Role; 2] = [Role::Join, Role::Write];

/// Takes tokens that key 1 has signed.
pub(super) fn ring() -> TokenRing {
    let mut ring = TokenRing::new(TokenConfig::default());
    ring.insert(secret(1).public().clone()).unwrap();
    ring
}

/// A relay that asks for such tokens.
fn stage(weather: Weather) -> Stage {
    let mut stage = Stage::new(5, weather, HubConfig::default());
    stage.hub.require_tokens(key().app(), ring());
    stage
}

fn fault(stage: &mut Stage, end: usize) -> TokenFault {
    match stage.closed(end) {
        Reason::Refused(Refusal::Token { why }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_token_that_is_not_for_this_opens_nothing() {
    for weather in [CALM, ROUGH] {
        let mut stage = stage(weather);
        let good = claims(1, "room", &WRITER, 600);
        let other_app = Claims { app: AppId([9; 8]), ..good.clone() };
        let later = Claims { not_before: BEGINS + 300, ..good.clone() };
        let over = Claims { not_before: BEGINS - 600, expires: BEGINS - 60, ..good.clone() };
        let reader = claims(1, "room", &[Role::Write], 600);
        let cases = [
            (None, TokenFault::Missing),
            (Some("v4.public.nonsense".to_owned()), TokenFault::Malformed),
            (Some(issue(2, &good)), TokenFault::UnknownKey),
            (Some(issue(1, &claims(2, "room", &WRITER, 600))), TokenFault::OtherPeer),
            (Some(issue(1, &claims(1, "other*", &WRITER, 600))), TokenFault::OtherRoom),
            (Some(issue(1, &other_app)), TokenFault::OtherApp),
            (Some(issue(1, &later)), TokenFault::NotYet { starts: BEGINS + 300 }),
            (Some(issue(1, &over)), TokenFault::Expired { since: BEGINS - 60 }),
            (Some(issue(1, &reader)), TokenFault::LacksRole { role: Role::Join }),
        ];
        for (token, why) in cases {
            let end = stage.enter(1, "room", Entrance { token, ..Entrance::default() });
            assert_eq!(fault(&mut stage, end), why);
            assert_eq!(stage.hub.rooms().count(), 0);
        }
        let end = stage.enter(1, "room", with(issue(1, &good)));
        stage.ready(end);
    }
}

#[test]
fn a_key_that_is_retired_opens_nothing_and_two_are_good_at_once() {
    let mut stage = stage(CALM);
    let ring = stage.hub.tokens_mut(key().app()).unwrap();
    ring.insert(secret(2).public().clone()).unwrap();
    let old = stage.enter(1, "room", with(issue(1, &claims(1, "*", &WRITER, 600))));
    let new = stage.enter(2, "room", with(issue(2, &claims(2, "*", &WRITER, 600))));
    stage.ready(old);
    stage.ready(new);
    let ring = stage.hub.tokens_mut(key().app()).unwrap();
    assert!(ring.retire(secret(1).public().id()));
    stage.run(Duration::from_secs(5));
    assert!(stage.is_ready(old), "who is in stays");
    stage.cut(old);
    assert_eq!(fault(&mut stage, old), TokenFault::UnknownKey, "and does not come back");
    assert!(stage.is_ready(new));
}

#[test]
fn who_is_revoked_is_sent_away() {
    let mut stage = stage(ROUGH);
    let token = claims(1, "room", &WRITER, 600);
    let end = stage.enter(1, "room", with(issue(1, &token)));
    stage.ready(end);
    let ring = stage.hub.tokens_mut(key().app()).unwrap();
    ring.revoke_id(&token.id, token.expires, BEGINS).unwrap();
    stage.run(Duration::from_secs(3));
    assert_eq!(fault(&mut stage, end), TokenFault::Revoked);
}

#[test]
fn who_is_warned_and_brings_another_never_leaves() {
    for weather in [CALM, ROUGH] {
        let mut stage = stage(weather);
        let end = stage.enter(1, "room", with(issue(1, &claims(1, "room", &WRITER, 100))));
        stage.ready(end);
        let client = stage.at(end).client();
        stage.until("warned", |stage| {
            stage.ends[end].events.iter().any(|event| matches!(event, Event::TokenEnds { .. }))
        });
        assert!(stage.now.as_micros() < 52_000_000, "a minute before its end: {:?}", stage.now);
        // One that is no good changes nothing.
        let bad = Request::Renew(issue(2, &claims(1, "room", &WRITER, 1_000)));
        let why = TokenFault::UnknownKey;
        let refused = Err(RequestError::Refused(ServiceError::Token { why }));
        assert_eq!(stage.request(end, &bad), refused);
        let renewed = Claims { not_before: BEGINS + 50, ..claims(1, "room", &WRITER, 400) };
        let renewed = Request::Renew(issue(1, &renewed));
        assert_eq!(stage.request(end, &renewed), Ok(Answer::Done));
        stage.run(Duration::from_secs(150));
        assert!(stage.is_ready(end) && stage.at(end).client() == client, "it never left");
        // It comes back with the new token, and not with the old, which is over.
        stage.cut(end);
        stage.ready(end);
        // Who does not bring another is sent away.
        let latest = stage.now + Duration::from_secs(300);
        while stage.is_ready(end) && stage.now < latest {
            stage.run(Duration::from_secs(1));
        }
        assert_eq!(fault(&mut stage, end), TokenFault::Expired { since: BEGINS + 400 });
        let after = stage.now.as_micros() / 1_000_000;
        assert!((408..=412).contains(&after), "sent away at {after} s");
    }
}

#[test]
fn who_may_only_read_reads_and_changes_nothing() {
    for weather in [CALM, ROUGH] {
        let mut stage = stage(weather);
        let writer = stage.enter(1, "room", with(issue(1, &claims(1, "*", &WRITER, 600))));
        stage.ready(writer);
        let reader = stage.enter(2, "room", with(issue(1, &claims(2, "*", &[Role::Join], 600))));
        stage.ready(reader);
        stage.write(writer, 7);
        assert_eq!(stage.read(reader), 7);
        stage.write(reader, 8);
        assert_eq!((stage.read(writer), stage.read(reader)), (7, 7), "it is taken back");
        assert!(stage.was_read_only(reader), "and it is said why");
        stage.write(writer, 9);
        assert_eq!(stage.read(reader), 9, "it goes on reading");
        // A claim is denied once, and not made again for ever.
        let peer = stage.at_mut(reader);
        peer.store_mut().claim_at(Path::root(), Terms::default()).unwrap();
        let now = stage.now;
        stage.at_mut(reader).flush(now);
        stage.run(Duration::from_secs(3));
        let events = &stage.ends[reader].events;
        let denied = Event::ClaimDenied { model: Path::root(), why: Denial::ReadOnly };
        assert_eq!(events.iter().filter(|event| **event == denied).count(), 1);
        assert!(!stage.at(reader).store().is_pending());
        // A call by name is no write.
        let to = Audience::Peer(stage.id(writer));
        let (subject, now) = (Subject::Name("wave".to_owned()), stage.now);
        let peer = stage.at_mut(reader);
        peer.store_mut().signal(to, subject, "hello".into()).unwrap();
        peer.tick(now);
        stage.run(Duration::from_secs(2));
        let heard = stage.ends[writer].events.iter().any(|event| matches!(event, Event::Signal(_)));
        assert!(heard);
    }
}

#[test]
fn who_moderates_does_so_in_every_room_and_owns_none() {
    let mut stage = stage(CALM);
    let owner = stage.enter(1, "room", with(issue(1, &claims(1, "*", &WRITER, 600))));
    stage.ready(owner);
    stage.done(owner, &Request::Lock(true));
    let roles = [Role::Join, Role::Moderate];
    let moderator = stage.enter(2, "room", with(issue(1, &claims(2, "*", &roles, 600))));
    stage.ready(moderator);
    let (first, ban) = (stage.id(owner), Duration::from_secs(60));
    let hand_over = stage.request(moderator, &Request::HandOver(first));
    let not_allowed = ServiceError::NotAllowed { who: Right::Owner };
    assert_eq!(hand_over, Err(RequestError::Refused(not_allowed)));
    stage.done(moderator, &Request::Kick { peer: first, ban });
    assert_eq!(stage.closed(owner), Reason::Refused(Refusal::Kicked { ban_s: 60 }));
}

#[test]
fn who_only_asks_needs_a_token_too() {
    let mut stage = stage(CALM);
    let asker = stage.lobby(1);
    let find = Request::Find(RoomId::of(key().app(), &name("room")));
    let missing = Reason::Refused(Refusal::Token { why: TokenFault::Missing });
    assert_eq!(stage.request(asker, &find), Err(RequestError::NoLink(Box::new(missing))));
    stage.set_token(asker, issue(1, &claims(2, "*", &WRITER, 600)));
    let stolen = Reason::Refused(Refusal::Token { why: TokenFault::OtherPeer });
    assert_eq!(stage.request(asker, &find), Err(RequestError::NoLink(Box::new(stolen))));
    stage.set_token(asker, issue(1, &claims(1, "*", &WRITER, 600)));
    let none = RequestError::Refused(ServiceError::NoSuchRoom);
    assert_eq!(stage.request(asker, &find), Err(none));
}

#[test]
fn of_who_may_say_little_little_is_taken_at_once_and_nothing_is_lost() {
    let mut stage = stage(CALM);
    let limits = TokenLimits { bytes_per_second: Some(10_000), ..TokenLimits::default() };
    let narrow = Claims { limits, ..claims(1, "*", &WRITER, 600) };
    let ann = stage.enter(1, "room", with(issue(1, &narrow)));
    let bob = stage.enter(2, "room", with(issue(1, &claims(2, "*", &WRITER, 600))));
    stage.ready(ann);
    stage.ready(bob);
    let heard = |stage: &Stage, end: usize| {
        let events = &stage.ends[end].events;
        events.iter().filter(|event| matches!(event, Event::Signal(_))).count()
    };
    let give = |stage: &mut Stage, from: usize| {
        let now = stage.now;
        let peer = stage.at_mut(from);
        for _ in 0..200 {
            let subject = Subject::Name("wave".to_owned());
            peer.store_mut().signal(Audience::Others, subject, vec![7; 1_000].into()).unwrap();
        }
        peer.tick(now);
        stage.run(Duration::from_millis(2_500));
    };
    give(&mut stage, bob);
    assert_eq!(heard(&stage, ann), 200, "of others all is taken");
    give(&mut stage, ann);
    let soon = heard(&stage, bob);
    assert!((1..60).contains(&soon), "{soon} of 200 signals of 1,000 bytes in 2.5 s");
    stage.run(Duration::from_secs(30));
    assert_eq!(heard(&stage, bob), 200);
    assert!(stage.is_ready(ann));
}
