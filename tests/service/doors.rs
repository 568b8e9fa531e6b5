//! Who may come in.

use std::time::Duration;

use parlor::proto::config::HubConfig;
use parlor::proto::event::Event;
use parlor::{
    Answer, Entrance, Fact, LeaveReason, Opening, Policy, Reason, Refusal, Request, RequestError,
    Right, ServiceError,
};

use super::stage::{CALM, ROUGH, Stage, name};

pub(crate) fn opening(opening: Opening) -> Entrance {
    Entrance { opening, ..Entrance::default() }
}

fn refused(stage: &mut Stage, end: usize) -> Refusal {
    match stage.closed(end) {
        Reason::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

/// A room of a first member, which owns it, and a second.
pub(crate) fn two(stage: &mut Stage, of: Opening) -> (usize, usize) {
    let owner = stage.enter(1, "room", opening(of));
    stage.ready(owner);
    let guest = stage.enter(2, "room", Entrance::default());
    stage.ready(guest);
    stage.run(Duration::from_secs(1));
    (owner, guest)
}

#[test]
fn who_opens_a_room_owns_it_and_says_what_it_is() {
    for weather in [CALM, ROUGH] {
        let mut stage = Stage::new(1, weather, HubConfig::default());
        let data = [("map".to_owned(), "island".to_owned())].into();
        let of = Opening {
            capacity: Some(3),
            description: "ours".to_owned(),
            data,
            ..Opening::default()
        };
        let (owner, guest) = two(&mut stage, of);
        for end in [owner, guest] {
            let record = stage.record(end);
            assert_eq!(record.owner, Some(stage.id(owner)));
            assert_eq!((record.capacity, record.description.as_str()), (3, "ours"));
            assert_eq!(record.data["map"], "island");
            assert_eq!(record.name, name("room"));
        }
        assert!(stage.ends[guest].events.contains(&Event::Room(Fact::Everything)));
    }
}

#[test]
fn a_room_that_is_not_open_is_not_opened_by_who_does_not_want_it() {
    let mut stage = Stage::new(1, CALM, HubConfig::default());
    let only = Entrance { create: false, ..Entrance::default() };
    let early = stage.enter(1, "room", only.clone());
    assert_eq!(refused(&mut stage, early), Refusal::NoSuchRoom);
    let owner = stage.enter(2, "room", Entrance::default());
    stage.ready(owner);
    let late = stage.enter(3, "room", only);
    stage.ready(late);
}

#[test]
fn a_room_takes_no_more_than_it_may_and_holds_the_place_of_who_is_lost() {
    let mut stage = Stage::new(1, CALM, HubConfig::default());
    let (owner, guest) = two(&mut stage, Opening { capacity: Some(2), ..Opening::default() });
    let third = stage.enter(3, "room", Entrance::default());
    stage.run(Duration::from_secs(1));
    assert!(!stage.is_ready(third));
    stage.ends[guest].cut = true;
    stage.cut(guest);
    stage.run(Duration::from_secs(2));
    assert!(!stage.is_ready(third), "the place is held");
    stage.ends[guest].cut = false;
    stage.ready(guest);
    stage.leave(guest);
    let fourth = stage.enter(4, "room", Entrance::default());
    stage.ready(fourth);
    stage.done(owner, &Request::SetCapacity(3));
    assert_eq!(stage.record(fourth).capacity, 3);
    let fifth = stage.enter(5, "room", Entrance::default());
    stage.ready(fifth);
}

#[test]
fn what_cannot_be_opened_says_why() {
    let config = HubConfig { members: 8, ..HubConfig::default() };
    let long = "x".repeat(513);
    let cases = [
        (
            Opening { capacity: Some(9), ..Opening::default() },
            ServiceError::OutOfRange { limit: 8, number: 9 },
        ),
        (
            Opening { description: long, ..Opening::default() },
            ServiceError::TooLong { limit: 512, size: 513 },
        ),
        (
            Opening { data: [("k".repeat(65), String::new())].into(), ..Opening::default() },
            ServiceError::TooLong { limit: 64, size: 65 },
        ),
        (Opening { description: "x".repeat(5_000), ..Opening::default() }, ServiceError::Unsayable),
    ];
    for (of, why) in cases {
        let mut stage = Stage::new(1, CALM, config.clone());
        let end = stage.enter(1, "room", opening(of));
        assert_eq!(refused(&mut stage, end), Refusal::BadOpening { why });
        assert_eq!(stage.hub.rooms().count(), 0);
    }
}

#[test]
fn a_password_is_known_or_not_and_can_be_changed() {
    let mut stage = Stage::new(1, ROUGH, HubConfig::default());
    let owner = stage.enter(
        1,
        "room",
        opening(Opening { password: Some("caf\u{e9}".to_owned()), ..Opening::default() }),
    );
    stage.ready(owner);
    let with =
        |password: &str| Entrance { password: Some(password.to_owned()), ..Entrance::default() };
    for (who, entrance) in [(2, Entrance::default()), (3, with("cafe"))] {
        let end = stage.enter(who, "room", entrance);
        assert_eq!(refused(&mut stage, end), Refusal::WrongPassword);
    }
    let good = stage.enter(4, "room", with("cafe\u{301}"));
    stage.ready(good);
    assert!(stage.record(good).password);
    stage.done(owner, &Request::SetPassword(Some("other".to_owned())));
    let old = stage.enter(5, "room", with("caf\u{e9}"));
    assert_eq!(refused(&mut stage, old), Refusal::WrongPassword);
    stage.done(owner, &Request::SetPassword(None));
    let none = stage.enter(6, "room", Entrance::default());
    stage.ready(none);
    // Who is told the right one comes in after all.
    stage.done(owner, &Request::SetPassword(Some("other".to_owned())));
    stage.at_mut(old).set_entrance(with("other"));
    stage.connect(old);
    stage.ready(old);
}

#[test]
fn a_locked_room_lets_those_back_in_who_were_inside() {
    for weather in [CALM, ROUGH] {
        let mut stage = Stage::new(1, weather, HubConfig::default());
        let (owner, guest) = two(&mut stage, Opening::default());
        stage.done(owner, &Request::Lock(true));
        assert!(stage.record(guest).locked);
        let third = stage.enter(3, "room", Entrance::default());
        assert_eq!(refused(&mut stage, third), Refusal::Locked);
        stage.leave(guest);
        stage.run(Duration::from_secs(15));
        stage.connect(guest);
        stage.ready(guest);
        stage.done(owner, &Request::Lock(false));
        stage.connect(third);
        stage.ready(third);
    }
}

#[test]
fn an_invite_is_good_for_whom_and_as_often_as_it_says() {
    let mut stage = Stage::new(1, ROUGH, HubConfig::default());
    let of = Opening { policy: Policy::Invited, ..Opening::default() };
    let owner = stage.enter(1, "room", opening(of));
    stage.ready(owner);
    let bare = stage.enter(2, "room", Entrance::default());
    assert_eq!(refused(&mut stage, bare), Refusal::NotInvited);
    let only = stage.enter(3, "room", Entrance { create: false, ..Entrance::default() });
    assert_eq!(refused(&mut stage, only), Refusal::NoSuchRoom, "it may not know of it");
    let invite = |stage: &mut Stage, peer, uses, valid| {
        let valid = Duration::from_secs(valid);
        match stage.request(owner, &Request::Invite { peer, uses, valid }) {
            Ok(Answer::Invite(invite)) => invite,
            other => panic!("{other:?}"),
        }
    };
    let with = |invite| Entrance { invite: Some(invite), ..Entrance::default() };
    let once = invite(&mut stage, None, 1, 3_600);
    let first = stage.enter(4, "room", with(once));
    stage.ready(first);
    let second = stage.enter(5, "room", with(once));
    assert_eq!(refused(&mut stage, second), Refusal::NotInvited, "it is used up");
    stage.leave(first);
    stage.run(Duration::from_secs(15));
    stage.connect(first);
    stage.ready(first);
    let meant = stage.id(bare);
    let personal = invite(&mut stage, Some(meant), 5, 3_600);
    let thief = stage.enter(6, "room", with(personal));
    assert_eq!(refused(&mut stage, thief), Refusal::NotInvited);
    stage.at_mut(bare).set_entrance(with(personal));
    stage.connect(bare);
    stage.ready(bare);
    let short = invite(&mut stage, None, 5, 2);
    stage.run(Duration::from_secs(3));
    let late = stage.enter(7, "room", with(short));
    assert_eq!(refused(&mut stage, late), Refusal::NotInvited, "it is over");
    let taken = invite(&mut stage, None, 5, 3_600);
    stage.done(owner, &Request::Withdraw(taken));
    let after = stage.enter(8, "room", with(taken));
    assert_eq!(refused(&mut stage, after), Refusal::NotInvited);
    let again = stage.request(owner, &Request::Withdraw(taken));
    assert_eq!(again, Err(RequestError::Refused(ServiceError::NoSuchInvite)));
}

#[test]
fn who_is_put_out_knows_why_and_stays_out_until_its_time_is_over() {
    for weather in [CALM, ROUGH] {
        let mut stage = Stage::new(1, weather, HubConfig::default());
        let (owner, guest) = two(&mut stage, Opening::default());
        let peer = stage.id(guest);
        stage.done(owner, &Request::Kick { peer, ban: Duration::from_secs(60) });
        // On a link that loses, the word may be lost with it.
        let why = refused(&mut stage, guest);
        let banned = matches!(why, Refusal::Kicked { ban_s: 60 } | Refusal::Banned { .. });
        assert!(banned, "{why:?}");
        assert_eq!(stage.members(owner), [stage.id(owner)]);
        let left = stage.ends[owner].events.iter().any(|event| {
            matches!(event, Event::Left { member, reason: LeaveReason::Kicked } if member.peer == peer)
        });
        assert!(left);
        stage.run(Duration::from_secs(10));
        stage.connect(guest);
        match refused(&mut stage, guest) {
            Refusal::Banned { retry_after_s } => assert!((20..60).contains(&retry_after_s)),
            other => panic!("{other:?}"),
        }
        stage.run(Duration::from_secs(60));
        stage.connect(guest);
        stage.ready(guest);
        stage.done(owner, &Request::Kick { peer, ban: Duration::from_secs(60) });
        stage.closed(guest);
        stage.done(owner, &Request::Pardon(peer));
        stage.connect(guest);
        stage.ready(guest);
    }
}

#[test]
fn an_owner_that_is_gone_is_followed_by_who_is_there_longest() {
    let mut stage = Stage::new(1, ROUGH, HubConfig::default());
    let (owner, guest) = two(&mut stage, Opening::default());
    let third = stage.enter(3, "room", Entrance::default());
    stage.ready(third);
    // Who comes back within its grace is as old as before, and owns what it owned.
    stage.cut(owner);
    stage.ready(owner);
    stage.run(Duration::from_secs(1));
    assert_eq!(stage.record(third).owner, Some(stage.id(owner)));
    stage.ends[owner].cut = true;
    stage.cut(owner);
    stage.run(Duration::from_secs(5));
    assert_eq!(stage.record(third).owner, Some(stage.id(owner)), "it is awaited");
    stage.run(Duration::from_secs(7));
    assert_eq!(stage.record(third).owner, Some(stage.id(guest)));
    assert!(stage.ends[guest].events.contains(&Event::Room(Fact::Owner)));
    // Who says goodbye is not awaited.
    stage.leave(guest);
    stage.run(Duration::from_secs(1));
    assert_eq!(stage.record(third).owner, Some(stage.id(third)));
    stage.leave(third);
    stage.run(Duration::from_secs(1));
    let next = stage.enter(9, "room", Entrance::default());
    stage.ready(next);
    assert_eq!(stage.record(next).owner, Some(stage.id(next)));
}

#[test]
fn only_an_owner_does_what_an_owner_may() {
    let mut stage = Stage::new(1, CALM, HubConfig::default());
    let (owner, guest) = two(&mut stage, Opening::default());
    let (first, second) = (stage.id(owner), stage.id(guest));
    let ban = Duration::from_secs(1);
    let denied = [
        Request::Describe("mine".to_owned()),
        Request::Put { key: "a".to_owned(), value: Some("b".to_owned()) },
        Request::SetCapacity(1),
        Request::SetListed(true),
        Request::Lock(true),
        Request::SetPolicy(Policy::Nobody),
        Request::SetPassword(Some("mine".to_owned())),
        Request::Kick { peer: first, ban },
        Request::Pardon(first),
        Request::Invite { peer: None, uses: 1, valid: ban },
    ];
    let before = stage.record(guest).clone();
    for request in denied {
        let error = ServiceError::NotAllowed { who: Right::Moderator };
        assert_eq!(
            stage.request(guest, &request),
            Err(RequestError::Refused(error)),
            "{request:?}"
        );
    }
    let error = ServiceError::NotAllowed { who: Right::Owner };
    let hand_over = Request::HandOver(second);
    assert_eq!(stage.request(guest, &hand_over), Err(RequestError::Refused(error)));
    stage.run(Duration::from_secs(1));
    assert_eq!(*stage.record(guest), before);
    let cases = [
        (Request::HandOver(first), ServiceError::AlreadyOwner { peer: first }),
        (Request::HandOver(stage.hub_peer()), ServiceError::NotMember { peer: stage.hub_peer() }),
        (Request::Kick { peer: first, ban }, ServiceError::Oneself),
        (
            Request::Kick { peer: stage.hub_peer(), ban },
            ServiceError::NotMember { peer: stage.hub_peer() },
        ),
        (Request::Pardon(second), ServiceError::NotBanned { peer: second }),
        (Request::SetCapacity(0), ServiceError::OutOfRange { limit: 128, number: 0 }),
        (
            Request::Invite { peer: None, uses: 0, valid: ban },
            ServiceError::OutOfRange { limit: u32::MAX, number: 0 },
        ),
    ];
    for (request, error) in cases {
        assert_eq!(
            stage.request(owner, &request),
            Err(RequestError::Refused(error)),
            "{request:?}"
        );
    }
    stage.done(owner, &hand_over);
    assert_eq!(stage.record(owner).owner, Some(second));
    stage.done(guest, &Request::Describe("mine".to_owned()));
    assert_eq!(stage.record(owner).description, "mine");
}

#[test]
fn who_opened_a_room_with_a_password_comes_back() {
    let mut stage = Stage::new(1, CALM, HubConfig::default());
    let of = Opening { password: Some("ours".to_owned()), ..Opening::default() };
    let owner = stage.enter(1, "room", opening(of));
    stage.ready(owner);
    let with = Entrance { password: Some("ours".to_owned()), ..Entrance::default() };
    let guest = stage.enter(2, "room", with);
    stage.ready(guest);
    // It is away until its place is gone.
    stage.leave(owner);
    stage.run(Duration::from_secs(15));
    stage.connect(owner);
    stage.ready(owner);
    // Who changes it knows the new one.
    stage.done(guest, &Request::SetPassword(Some("another".to_owned())));
    for (end, knows) in [(owner, false), (guest, true)] {
        stage.leave(end);
        stage.run(Duration::from_secs(1));
        stage.connect(end);
        if knows {
            stage.ready(end);
        } else {
            assert_eq!(refused(&mut stage, end), Refusal::WrongPassword);
        }
    }
}

#[test]
fn what_is_over_counts_no_more() {
    let mut stage = Stage::new(1, CALM, HubConfig::default());
    let (owner, guest) = two(&mut stage, Opening::default());
    let make =
        |seconds| Request::Invite { peer: None, uses: 1, valid: Duration::from_secs(seconds) };
    let Ok(Answer::Invite(first)) = stage.request(owner, &make(60)) else { panic!("no invite") };
    for _ in 0..255 {
        assert!(matches!(stage.request(owner, &make(60)), Ok(Answer::Invite(_))));
    }
    let many = Err(RequestError::Refused(ServiceError::TooMany { limit: 256 }));
    assert_eq!(stage.request(owner, &make(60)), many);
    stage.run(Duration::from_secs(90));
    assert!(matches!(stage.request(owner, &make(60)), Ok(Answer::Invite(_))));
    let gone = Err(RequestError::Refused(ServiceError::NoSuchInvite));
    assert_eq!(stage.request(owner, &Request::Withdraw(first)), gone);
    let peer = stage.id(guest);
    stage.done(owner, &Request::Kick { peer, ban: Duration::from_secs(1) });
    stage.run(Duration::from_secs(5));
    let over = Err(RequestError::Refused(ServiceError::NotBanned { peer }));
    assert_eq!(stage.request(owner, &Request::Pardon(peer)), over);
}
