//! Seats in rooms of a group.

use std::collections::BTreeMap;
use std::time::Duration;

use parlor::proto::config::HubConfig;
use parlor::{Answer, Entrance, Group, Request, RequestError, RoomName, Seat, ServiceError};

use super::stage::{CALM, ROUGH, Stage, Weather, count, seeds};

fn seat(stage: &mut Stage, asker: usize, capacity: u32) -> Seat {
    match stage.request(asker, &want(capacity)) {
        Ok(Answer::Seat(seat)) => seat,
        other => panic!("{other:?}"),
    }
}

fn want(capacity: u32) -> Request {
    Request::Match { group: Group::new("duel").unwrap(), capacity }
}

#[test]
fn a_seat_is_in_the_fullest_room_and_the_newest_of_equals() {
    let mut stage = Stage::new(4, CALM, HubConfig::default());
    let asker: Vec<usize> = (0..8).map(|who| stage.lobby(who)).collect();
    let first = seat(&mut stage, asker[0], 2);
    assert!(first.fresh && first.capacity == 2);
    assert_eq!(first.room, Group::new("duel").unwrap().room(first.code));
    let again = seat(&mut stage, asker[0], 2);
    assert_eq!((again.room.clone(), again.fresh), (first.room.clone(), false), "it is the same");
    let second = seat(&mut stage, asker[1], 5);
    assert_eq!((&second.room, second.capacity), (&first.room, 2), "the room keeps its own");
    let third = seat(&mut stage, asker[2], 3);
    assert!(third.fresh && third.room != first.room);
    let only = Entrance { create: false, ..Entrance::default() };
    let rooms = [&first.room, &first.room, &third.room];
    let ends: Vec<usize> =
        (0..3).map(|who| stage.enter(who, rooms[who].as_str(), only.clone())).collect();
    ends.iter().for_each(|end| stage.ready(*end));
    // Both have one member and a place: the newer is taken.
    stage.leave(ends[1]);
    stage.run(Duration::from_secs(1));
    let fourth = seat(&mut stage, asker[3], 3);
    assert_eq!((&fourth.room, fourth.fresh), (&third.room, false));
    let end = stage.enter(3, fourth.room.as_str(), only);
    stage.ready(end);
    assert_eq!(stage.record(end).group.as_ref().map(|(_, code)| *code), Some(fourth.code));
    let fifth = seat(&mut stage, asker[4], 3);
    assert_eq!(fifth.room, fourth.room, "it is the fullest");
}

#[test]
fn what_is_no_capacity_is_refused() {
    let mut stage = Stage::new(4, CALM, HubConfig::default());
    let asker = stage.lobby(1);
    for number in [0, 129] {
        let error = ServiceError::OutOfRange { limit: 128, number };
        assert_eq!(stage.request(asker, &want(number)), Err(RequestError::Refused(error)));
    }
    assert_eq!(stage.hub.rooms().count(), 0);
}

#[test]
fn a_seat_that_nobody_takes_is_free_again_and_its_room_closes() {
    let mut stage = Stage::new(4, ROUGH, HubConfig::default());
    let asker = stage.lobby(1);
    let first = seat(&mut stage, asker, 2);
    assert_eq!(stage.hub.rooms().count(), 1);
    stage.run(Duration::from_secs(60));
    assert_eq!(stage.hub.rooms().count(), 0);
    let late =
        stage.enter(1, first.room.as_str(), Entrance { create: false, ..Entrance::default() });
    let reason = stage.closed(late);
    assert!(reason.to_string().contains("no such room"), "{reason}");
}

/// So many peers find seats and take them, all at once. Every room is full but one.
fn crowd(seed: u64, peers: usize, capacity: u32, weather: Weather) {
    let mut stage = Stage::new(seed, weather, HubConfig::default());
    let askers: Vec<usize> = (0..peers).map(|who| stage.lobby(who)).collect();
    let ids: Vec<_> = askers.iter().map(|end| stage.ask(*end, &want(capacity)).unwrap()).collect();
    let mut seated: BTreeMap<usize, usize> = BTreeMap::new();
    let mut rooms: BTreeMap<RoomName, u32> = BTreeMap::new();
    while seated.len() < peers {
        stage.run(Duration::from_millis(20));
        for who in 0..peers {
            let answer = stage.ends[askers[who]].answers.remove(&ids[who]);
            let Some(answer) = answer else { continue };
            let Ok(Answer::Seat(seat)) = answer else { panic!("seed {seed}: {answer:?}") };
            let entrance = Entrance { create: false, ..Entrance::default() };
            seated.insert(who, stage.enter(who, seat.room.as_str(), entrance));
            *rooms.entry(seat.room).or_default() += 1;
        }
        assert!(stage.now.as_micros() < 60_000_000, "seed {seed}: {} seated", seated.len());
        for ((_, name), members) in stage.hub.rooms() {
            assert!(members <= capacity as usize, "seed {seed}: {name} has {members}");
        }
    }
    for end in seated.into_values() {
        stage.ready(end);
    }
    let sizes: Vec<usize> = stage.hub.rooms().map(|(_, members)| members).collect();
    assert_eq!(sizes.len(), peers.div_ceil(capacity as usize), "seed {seed}: {sizes:?}");
    let full = sizes.iter().filter(|members| **members == capacity as usize).count();
    assert!(full >= sizes.len() - 1, "seed {seed}: {sizes:?}");
    assert_eq!(sizes.iter().sum::<usize>(), peers);
}

#[test]
fn many_at_once_fill_rooms_one_after_another() {
    let peers = usize::try_from(count(60, 1_000)).unwrap();
    for seed in seeds(3, 100) {
        crowd(seed, peers, 8, Weather { loss: 20, ..CALM });
    }
}
