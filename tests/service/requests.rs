//! What is asked, and what is answered.

use std::time::Duration;

use parlor::proto::config::HubConfig;
use parlor::proto::event::Event;
use parlor::{
    Answer, Door, Entrance, Fact, Opening, Policy, Request, RequestError, RoomId, ServiceError,
};

use super::doors::{opening, two};
use super::stage::{CALM, ROUGH, Stage, key, name};

fn listed() -> Opening {
    Opening { listed: true, ..Opening::default() }
}

#[test]
fn data_is_written_and_removed_and_bounded() {
    for weather in [CALM, ROUGH] {
        let mut stage = Stage::new(2, weather, HubConfig::default());
        let (owner, guest) = two(&mut stage, Opening::default());
        let put = |key: &str, value: Option<&str>| Request::Put {
            key: key.to_owned(),
            value: value.map(ToOwned::to_owned),
        };
        stage.done(owner, &put("map", Some("island")));
        stage.done(owner, &put("mode", Some("duel")));
        stage.done(owner, &put("map", None));
        let data = &stage.record(guest).data;
        assert_eq!(data.iter().collect::<Vec<_>>(), [(&"mode".to_owned(), &"duel".to_owned())]);
        let fact = Event::Room(Fact::Data { key: "map".to_owned() });
        assert_eq!(stage.ends[guest].events.iter().filter(|event| **event == fact).count(), 2);
        let long = "x".repeat(1_025);
        let too_long = ServiceError::TooLong { limit: 1_024, size: 1_025 };
        assert_eq!(
            stage.request(owner, &put("long", Some(&long))),
            Err(RequestError::Refused(too_long))
        );
        for number in 1..64 {
            let put = put(&format!("key {number}"), Some("x"));
            assert_eq!(stage.request(owner, &put), Ok(Answer::Done));
        }
        let many = ServiceError::TooMany { limit: 64 };
        assert_eq!(
            stage.request(owner, &put("one more", Some("x"))),
            Err(RequestError::Refused(many))
        );
        assert_eq!(stage.request(owner, &put("mode", Some("race"))), Ok(Answer::Done));
        stage.run(Duration::from_secs(5));
        assert_eq!(stage.record(guest).data, stage.record(owner).data);
        assert_eq!(stage.record(guest).data.len(), 64);
    }
}

#[test]
fn a_list_has_what_the_caller_may_know_in_pages() {
    let mut stage = Stage::new(2, ROUGH, HubConfig::default());
    for number in 0..25 {
        let of = Opening { description: format!("room {number}"), ..listed() };
        let end = stage.enter(number, &format!("open {number:02}"), opening(of));
        stage.ready(end);
    }
    let hidden = stage.enter(100, "hidden", Entrance::default());
    stage.ready(hidden);
    let asker = stage.lobby(200);
    let mut names = Vec::new();
    for (page, count, more) in [(0, 10, true), (1, 10, true), (2, 5, false), (3, 0, false)] {
        let answer = stage.request(asker, &Request::List { page, size: 10 });
        let Ok(Answer::Page(shown)) = answer else { panic!("{answer:?}") };
        assert_eq!((shown.page, shown.total, shown.more), (page, 25, more));
        assert_eq!(shown.rooms.len(), count);
        names.extend(shown.rooms.iter().map(|card| card.name.as_str().to_owned()));
        assert!(shown.rooms.iter().all(|card| card.members == 1 && card.door == Door::Open));
    }
    assert!(names.is_sorted() && names.len() == 25);
    let answer = stage.request(hidden, &Request::List { page: 0, size: 1 });
    let Ok(Answer::Page(shown)) = answer else { panic!("{answer:?}") };
    assert_eq!((shown.total, shown.rooms[0].door), (26, Door::Inside), "it knows its own");
    for size in [0, 21] {
        let error = ServiceError::OutOfRange { limit: 20, number: size };
        let answer = stage.request(asker, &Request::List { page: 0, size });
        assert_eq!(answer, Err(RequestError::Refused(error)));
    }
    let huge = stage.request(asker, &Request::List { page: u32::MAX, size: 20 });
    assert!(matches!(huge, Ok(Answer::Page(page)) if page.rooms.is_empty() && !page.more));
}

#[test]
fn a_list_says_how_it_is_at_the_door() {
    let mut stage = Stage::new(2, CALM, HubConfig::default());
    let rooms = [
        ("a", listed()),
        ("b", Opening { password: Some("x".to_owned()), ..listed() }),
        ("c", Opening { policy: Policy::Invited, ..listed() }),
        ("d", Opening { policy: Policy::Nobody, ..listed() }),
        ("e", Opening { capacity: Some(1), ..listed() }),
        ("f", listed()),
        ("g", listed()),
    ];
    let mut owners = Vec::new();
    for (number, (room, of)) in rooms.into_iter().enumerate() {
        let owner = stage.enter(number, room, opening(of));
        stage.ready(owner);
        owners.push(owner);
    }
    stage.done(owners[5], &Request::Lock(true));
    let guest = stage.enter(20, "g", Entrance::default());
    stage.ready(guest);
    let peer = stage.id(guest);
    stage.done(owners[6], &Request::Kick { peer, ban: Duration::from_secs(60) });
    let asker = stage.lobby(20);
    let Ok(Answer::Page(page)) = stage.request(asker, &Request::List { page: 0, size: 20 }) else {
        panic!("no page")
    };
    let doors: Vec<Door> = page.rooms.iter().map(|card| card.door).collect();
    let closed = Door::Closed;
    let expected =
        [Door::Open, Door::Password, Door::Invited, closed, Door::Full, closed, Door::Banned];
    assert_eq!(doors, expected);
}

#[test]
fn a_room_is_found_by_name_and_id_by_who_may_know_of_it() {
    let mut stage = Stage::new(2, ROUGH, HubConfig::default());
    let of = Opening { description: "found".to_owned(), ..Opening::default() };
    let owner = stage.enter(1, "open", opening(of));
    let closed = Opening { policy: Policy::Invited, ..Opening::default() };
    let inside = stage.enter(2, "closed", opening(closed));
    stage.ready(owner);
    stage.ready(inside);
    let asker = stage.lobby(3);
    let id = RoomId::of(key().app(), &name("open"));
    for request in [Request::Find(id), Request::Peek(name("open"))] {
        match stage.request(asker, &request) {
            Ok(Answer::Room(record)) => {
                assert_eq!((record.id, record.members), (id, 1));
                assert_eq!(record.description, "found");
            }
            other => panic!("{other:?}"),
        }
    }
    // What is not there and what it may not know of are one answer.
    let secret = RoomId::of(key().app(), &name("closed"));
    let absent = RoomId::of(key().app(), &name("absent"));
    for request in [
        Request::Find(secret),
        Request::Find(absent),
        Request::Peek(name("closed")),
        Request::Peek(name("absent")),
        Request::Find(RoomId([0; 8])),
    ] {
        let error = RequestError::Refused(ServiceError::NoSuchRoom);
        assert_eq!(stage.request(asker, &request), Err(error), "{request:?}");
    }
    let shown = stage.request(inside, &Request::Find(secret));
    assert!(matches!(shown, Ok(Answer::Room(_))));
}

#[test]
fn what_is_of_a_room_is_not_done_for_who_is_in_none() {
    let mut stage = Stage::new(2, CALM, HubConfig::default());
    let asker = stage.lobby(1);
    let error = RequestError::Refused(ServiceError::NotInRoom);
    assert_eq!(stage.request(asker, &Request::Lock(true)), Err(error));
}

#[test]
fn every_request_is_answered_whatever_the_link_does() {
    for seed in super::stage::seeds(20, 300) {
        let mut stage = Stage::new(seed, ROUGH, HubConfig::default());
        let (owner, _) = two(&mut stage, Opening::default());
        let mut asked = Vec::new();
        for number in 0..40 {
            let value = Some(format!("{number}"));
            match stage.ask(owner, &Request::Put { key: "n".to_owned(), value }) {
                Ok(id) => asked.push(id),
                Err(error) => assert_eq!(error, RequestError::Offline),
            }
            stage.run(Duration::from_millis(40));
            if number == (seed % 40) {
                stage.cut(owner);
            }
        }
        stage.run(Duration::from_secs(30));
        for id in asked {
            let answer = stage.ends[owner].answers.get(&id);
            let good = matches!(answer, Some(Ok(Answer::Done) | Err(RequestError::Unanswered)));
            assert!(good, "seed {seed}: {id:?} {answer:?}");
        }
        let records = [0, 1].map(|end| stage.record(end).data.clone());
        assert_eq!(records[0], records[1], "seed {seed}");
    }
}

#[test]
fn too_many_at_once_wait_for_those_before() {
    let mut stage = Stage::new(2, CALM, HubConfig::default());
    let (owner, _) = two(&mut stage, Opening::default());
    for _ in 0..64 {
        stage.ask(owner, &Request::SetCapacity(9)).unwrap();
    }
    let busy = stage.ask(owner, &Request::SetCapacity(9));
    assert_eq!(busy, Err(RequestError::Busy { limit: 64 }));
    stage.run(Duration::from_secs(5));
    assert_eq!(stage.ends[owner].answers.len(), 64);
    stage.leave(owner);
    assert_eq!(stage.ask(owner, &Request::SetCapacity(9)), Err(RequestError::Offline));
}

#[test]
fn who_asks_and_cannot_be_heard_is_told() {
    let mut stage = Stage::new(2, CALM, HubConfig::default());
    let asker = stage.lobby(1);
    stage.ends[asker].cut = true;
    let answer = stage.request(asker, &Request::List { page: 0, size: 1 });
    assert!(matches!(answer, Err(RequestError::NoLink(_))), "{answer:?}");
    stage.ends[asker].cut = false;
    let answer = stage.request(asker, &Request::List { page: 0, size: 1 });
    assert!(matches!(answer, Ok(Answer::Page(_))), "{answer:?}");
    // It hangs up, and calls again when there is something to ask.
    stage.run(Duration::from_secs(60));
    let answer = stage.request(asker, &Request::List { page: 0, size: 1 });
    assert!(matches!(answer, Ok(Answer::Page(_))), "{answer:?}");
}
