//! Rooms that close, are kept, and open again.

use std::collections::BTreeSet;
use std::time::Duration;

use parlor::proto::authorisation::Verdict;
use parlor::proto::config::HubConfig;
use parlor::proto::datastore::Datastore;
use parlor::proto::event::Member;
use parlor::proto::event::kept::{KeptRoom, RoomImage};
use parlor::proto::hub::HubEvent;
use parlor::proto::id::{DocumentId, RoomKey};
use parlor::{Entrance, Mode, ModelRef, Opening, Policy, Reason, Refusal, Request, State, Terms};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::stage::{CALM, Nothing, ROUGH, Stage, Thing, Weather, key, name, seeds};

/// Longer than a room stays open without members.
const CLOSES: Duration = Duration::from_secs(45);

fn stage(seed: u64, weather: Weather) -> Stage {
    let mut stage = Stage::new(seed, weather, HubConfig::default());
    stage.keep_rooms(false);
    stage
}

fn room_key() -> RoomKey {
    (key().app(), name("room"))
}

/// Everybody leaves, and the room closes.
fn close(stage: &mut Stage, ends: &[usize]) {
    for &end in ends {
        stage.leave(end);
    }
    stage.run(CLOSES);
    assert_eq!(stage.hub.rooms().count(), 0);
}

fn edit(stage: &mut Stage, end: usize, edit: impl FnOnce(&mut Datastore, &Nothing)) {
    let now = stage.now;
    let peer = stage.at_mut(end);
    let root: Nothing = (*peer.store().root::<Nothing>().unwrap()).clone();
    edit(peer.store_mut(), &root);
    peer.flush(now);
    stage.run(Duration::from_millis(50));
}

/// What is there, in words.
fn seen(stage: &Stage, end: usize) -> (i64, BTreeSet<i64>, String) {
    let store = stage.at(end).store();
    let root = store.root::<Nothing>().unwrap();
    let sizes = root.things.iter(store).map(|(_, thing)| thing.size).collect();
    (root.count, sizes, root.notes.read(store).to_owned())
}

fn digests(stage: &Stage, end: usize) -> [[u8; 8]; 2] {
    DocumentId::ALL.map(|document| stage.at(end).store().log(document).digest())
}

#[test]
fn a_room_is_open_from_when_it_is_looked_for_until_it_is_given_away() {
    let mut stage = stage(20, CALM);
    assert!(!stage.hub.is_open(&room_key()));
    let ann = stage.enter(1, "room", Entrance::default());
    stage.ready(ann);
    edit(&mut stage, ann, |store, _| {
        store.update_root(|root: &mut Nothing| root.count = 7).unwrap();
    });
    stage.leave(ann);
    stage.run(Duration::from_secs(5));
    assert!(stage.hub.is_open(&room_key()), "it is kept when it closes");
    stage.run(CLOSES);
    assert!(!stage.hub.is_open(&room_key()));
    stage.fetching = Duration::from_secs(1);
    let bob = stage.enter(2, "room", Entrance::default());
    stage.until("looked for", |stage| stage.hub.is_open(&room_key()));
    assert_eq!(stage.hub.rooms().count(), 0, "what is kept is on its way");
    stage.ready(bob);
    assert!(stage.hub.is_open(&room_key()));
}

#[test]
fn a_room_that_closed_opens_again_as_it_was() {
    for weather in [CALM, ROUGH] {
        let mut stage = stage(1, weather);
        let opening = Opening {
            capacity: Some(5),
            listed: true,
            description: "a hall".to_owned(),
            data: [("map".to_owned(), "harbour".to_owned())].into(),
            ..Opening::default()
        };
        let ann = stage.enter(1, "room", Entrance { opening, ..Entrance::default() });
        stage.ready(ann);
        edit(&mut stage, ann, |store, root| {
            store.update_root(|root: &mut Nothing| root.count = 7).unwrap();
            root.things.add(store, Thing { size: 3 }).unwrap();
            root.notes.insert(store, 0, "hello").unwrap();
        });
        let bob = stage.enter(2, "room", Entrance::default());
        stage.ready(bob);
        let (peer, ban) = (stage.id(bob), Duration::from_secs(3_600));
        stage.done(ann, &Request::Kick { peer, ban });
        stage.done(ann, &Request::SetPolicy(Policy::Invited));
        let (before, record) = (seen(&stage, ann), stage.record(ann).clone());
        close(&mut stage, &[ann]);
        assert_eq!(stage.kept.len(), 1);

        // Who does not want to open a room comes into one that is kept.
        let entrance = || Entrance { create: false, ..Entrance::default() };
        let again = stage.enter(1, "room", entrance());
        stage.ready(again);
        assert_eq!(seen(&stage, again), before);
        stage.until("a roster", |stage| !stage.members(again).is_empty());
        let members: Vec<Member> = stage.at(again).members().cloned().collect();
        assert!(members[0].rejoined && members[0].client.0 > 1, "{members:?}");
        assert_eq!(*stage.record(again), record, "and who comes first owns it");
        let bob = stage.enter(2, "room", entrance());
        let Reason::Refused(Refusal::Banned { retry_after_s }) = stage.closed(bob) else {
            panic!("it is kept out");
        };
        assert!((3_400..3_600).contains(&retry_after_s), "{retry_after_s}");
        let eve = stage.enter(3, "room", Entrance::default());
        assert_eq!(stage.closed(eve), Reason::Refused(Refusal::NotInvited));
        stage.write(again, 8);
        assert_eq!(stage.read(again), 8);
    }
}

#[test]
fn nothing_is_kept_of_what_never_was() {
    let mut stage = stage(2, CALM);
    let ann = stage.enter(1, "room", Entrance::default());
    stage.ready(ann);
    close(&mut stage, &[ann]);
    assert!(stage.kept.is_empty());
    let bob = stage.enter(2, "room", Entrance { create: false, ..Entrance::default() });
    assert_eq!(stage.closed(bob), Reason::Refused(Refusal::NoSuchRoom));
    // And nothing at all by a relay that was not told to.
    let mut stage = Stage::new(2, CALM, HubConfig::default());
    let ann = stage.enter(1, "room", Entrance::default());
    stage.ready(ann);
    stage.write(ann, 1);
    close(&mut stage, &[ann]);
    assert!(stage.kept.is_empty());
}

#[test]
fn those_who_come_at_once_are_in_one_room() {
    let mut stage = stage(3, CALM);
    let ann = stage.enter(1, "room", Entrance::default());
    stage.ready(ann);
    stage.write(ann, 7);
    close(&mut stage, &[ann]);
    stage.fetching = Duration::from_secs(2);
    let ends: Vec<usize> =
        (2..6).map(|who| stage.enter(who, "room", Entrance::default())).collect();
    // One does not wait for it.
    stage.run(Duration::from_secs(1));
    stage.leave(ends[0]);
    for end in &ends[1..] {
        stage.ready(*end);
        assert_eq!(stage.read(*end), 7);
    }
    stage.run(Duration::from_secs(1));
    assert_eq!(stage.members(ends[1]).len(), 3);
}

#[test]
fn who_waits_too_long_is_sent_away_and_comes_again() {
    let mut stage = stage(4, CALM);
    let ann = stage.enter(1, "room", Entrance::default());
    stage.ready(ann);
    stage.write(ann, 7);
    close(&mut stage, &[ann]);
    stage.fetching = Duration::from_secs(6);
    let bob = stage.enter(2, "room", Entrance::default());
    stage.until("sent away", |stage| matches!(stage.at(bob).state(), State::Reconnecting { .. }));
    let State::Reconnecting { reason, .. } = stage.at(bob).state().clone() else { panic!() };
    assert_eq!(reason, Reason::Refused(Refusal::HandshakeTimeout));
    stage.ready(bob);
    assert_eq!(stage.read(bob), 7);
}

#[test]
fn what_is_damaged_is_not_opened_nor_kept_over() {
    let mut stage = stage(5, CALM);
    let ann = stage.enter(1, "room", Entrance::default());
    stage.ready(ann);
    stage.write(ann, 7);
    close(&mut stage, &[ann]);
    let whole = stage.kept[&room_key()].image.clone();
    let mut damaged: Vec<Vec<u8>> = (0..whole.0.len())
        .map(|place| {
            let mut bytes = whole.0.to_vec();
            bytes[place] ^= 1;
            bytes
        })
        .collect();
    damaged.extend([0, 1, 31, 32, 33, whole.0.len() - 1].map(|end| whole.0[..end].to_vec()));
    for bytes in damaged {
        let kept = KeptRoom { image: RoomImage(bytes.into()), records: Vec::new() };
        stage.kept.insert(room_key(), kept.clone());
        stage.told.clear();
        let bob = stage.enter(2, "room", Entrance::default());
        assert_eq!(stage.closed(bob), Reason::Refused(Refusal::Unreadable));
        let said = |event: &HubEvent| matches!(event, HubEvent::Unreadable { .. });
        assert_eq!(stage.told.iter().filter(|event| said(event)).count(), 1);
        assert_eq!(stage.hub.rooms().count(), 0);
        assert_eq!(stage.kept[&room_key()], kept);
    }
    stage.kept.insert(room_key(), KeptRoom { image: whole, records: Vec::new() });
    let bob = stage.enter(2, "room", Entrance::default());
    stage.ready(bob);
    assert_eq!(stage.read(bob), 7);
}

#[test]
fn who_is_not_let_in_opens_no_room_and_costs_absent_owners_nothing() {
    let mut stage = stage(6, CALM);
    let ann = stage.enter(1, "room", Entrance::default());
    stage.ready(ann);
    owned(&mut stage, ann);
    stage.done(ann, &Request::SetPassword(Some("sesame".to_owned())));
    stage.ends[ann].cut = true;
    stage.restart(HubConfig::default(), 2);
    stage.told.clear();
    let kept = stage.kept.clone();
    let eve = stage.enter(3, "room", Entrance::default());
    assert_eq!(stage.closed(eve), Reason::Refused(Refusal::WrongPassword));
    stage.run(CLOSES);
    let opened = |event: &HubEvent| matches!(event, HubEvent::Opened { .. });
    assert!(!stage.told.iter().any(opened), "{:?}", stage.told);
    assert_eq!((stage.hub.rooms().count(), &stage.kept), (0, &kept));
    stage.ends[ann].cut = false;
    let password = Some("sesame".to_owned());
    stage.at_mut(ann).set_entrance(Entrance { password, ..Entrance::default() });
    stage.connect(ann);
    stage.ready(ann);
    stage.run(Duration::from_secs(10));
    assert_eq!(owners(&stage, ann), [(1, true), (2, true), (3, true)]);
    assert_eq!(stage.told.iter().filter(|event| opened(event)).count(), 1);
}

#[test]
fn a_relay_that_is_full_does_not_say_that_a_kept_room_is_none() {
    let config = HubConfig { rooms: 1, ..HubConfig::default() };
    let mut stage = Stage::new(7, CALM, config);
    stage.keep_rooms(false);
    let ann = stage.enter(1, "room", Entrance::default());
    stage.ready(ann);
    stage.write(ann, 7);
    close(&mut stage, &[ann]);
    let other = stage.enter(2, "other", Entrance::default());
    stage.ready(other);
    let bob = stage.enter(3, "room", Entrance { create: false, ..Entrance::default() });
    stage.until("sent away", |stage| matches!(stage.at(bob).state(), State::Reconnecting { .. }));
    let State::Reconnecting { reason, .. } = stage.at(bob).state().clone() else { panic!() };
    assert_eq!(reason, Reason::Refused(Refusal::RelayFull { limit: 1 }));
    stage.leave(other);
    stage.ready(bob);
    assert_eq!(stage.read(bob), 7);
}

#[test]
fn an_applications_server_is_asked_behind_the_terms_of_a_kept_room() {
    let mut stage = stage(8, CALM);
    stage.hub.ask_at_the_door(key().app());
    let yes = || Some(Verdict::Allowed { roles: None });
    let nobody = stage.enter(9, "room", Entrance { create: false, ..Entrance::default() });
    assert_eq!(stage.closed(nobody), Reason::Refused(Refusal::NoSuchRoom));
    assert!(stage.asked.is_empty());
    let ann = stage.enter(1, "room", Entrance::default());
    stage.answer(yes());
    stage.ready(ann);
    stage.write(ann, 7);
    stage.done(ann, &Request::SetPassword(Some("sesame".to_owned())));
    close(&mut stage, &[ann]);
    let eve = stage.enter(3, "room", Entrance::default());
    assert_eq!(stage.closed(eve), Reason::Refused(Refusal::WrongPassword));
    assert!(stage.asked.is_empty(), "whom the room does not let in nobody is asked about");
    let entrance = || Entrance { password: Some("sesame".to_owned()), ..Entrance::default() };
    let bob = stage.enter(2, "room", entrance());
    stage.until("asked", |stage| !stage.asked.is_empty());
    stage.run(Duration::from_secs(3));
    assert_eq!(stage.hub.rooms().count(), 1, "the room waits as well");
    stage.answer(yes());
    stage.ready(bob);
    assert_eq!(stage.read(bob), 7);
    close(&mut stage, &[bob]);
    // Who is refused by the server leaves it as it was.
    let dan = stage.enter(4, "room", entrance());
    let (message, context) = (String::new(), String::new());
    stage.answer(Some(Verdict::Refused { message, context }));
    stage.closed(dan);
    stage.run(Duration::from_secs(1));
    assert_eq!(stage.hub.rooms().count(), 0);
}

/// A room with a model for each way to be owned; who owns them is gone in the end.
fn owned(stage: &mut Stage, end: usize) {
    let terms = [
        Terms::default(),
        Terms { destroy_with_last: true, ..Terms::default() },
        Terms { mode: Mode::Exclusive, ..Terms::default() },
    ];
    let mut things: Vec<ModelRef<Thing>> = Vec::new();
    edit(stage, end, |store, root| {
        for size in 1..=3 {
            things.push(root.things.add(store, Thing { size }).unwrap());
        }
    });
    for (thing, terms) in things.iter().zip(terms) {
        edit(stage, end, |store, _| store.claim(thing, terms).unwrap());
    }
    stage.run(Duration::from_secs(5));
}

fn owners(stage: &Stage, end: usize) -> Vec<(i64, bool)> {
    let store = stage.at(end).store();
    let root = store.root::<Nothing>().unwrap();
    let owned = |thing: &ModelRef<Thing>| store.owner(thing).is_some();
    let mut all: Vec<_> =
        root.things.iter(store).map(|(thing, value)| (value.size, owned(&thing))).collect();
    all.sort_unstable();
    all
}

#[test]
fn what_was_owned_is_nobodys_when_its_room_opens_again() {
    for seed in 0..10 {
        let mut stage = stage(seed, ROUGH);
        let ann = stage.enter(1, "room", Entrance::default());
        stage.ready(ann);
        owned(&mut stage, ann);
        assert_eq!(owners(&stage, ann), [(1, true), (2, true), (3, true)]);
        close(&mut stage, &[ann]);
        let bob = stage.enter(2, "room", Entrance::default());
        stage.ready(bob);
        assert_eq!(owners(&stage, bob), [(1, false), (3, false)]);
        // And it can be had again.
        let store = stage.at(bob).store();
        let things = store.root::<Nothing>().unwrap().things.clone();
        let things: Vec<ModelRef<Thing>> = things.iter(store).map(|(thing, _)| thing).collect();
        for thing in things {
            edit(&mut stage, bob, |store, _| store.claim(&thing, Terms::default()).unwrap());
        }
        stage.run(Duration::from_secs(5));
        assert_eq!(owners(&stage, bob), [(1, true), (3, true)]);
    }
}

#[test]
fn a_relay_that_ends_keeps_its_rooms_and_owners_have_a_while_to_come_back() {
    for seed in 0..10 {
        // In rough weather some need longer than that.
        let mut stage = stage(seed, CALM);
        let ann = stage.enter(1, "room", Entrance::default());
        let bob = stage.enter(2, "room", Entrance::default());
        stage.ready(ann);
        stage.ready(bob);
        owned(&mut stage, ann);
        stage.write(ann, 7);
        stage.restart(HubConfig::default(), 2);
        stage.ready(ann);
        stage.ready(bob);
        stage.run(Duration::from_secs(10));
        assert_eq!(stage.read(bob), 7);
        assert_eq!(owners(&stage, bob), [(1, true), (2, true), (3, true)]);
        // Both are gone with the next: what it kept is all that there is.
        stage.ends[ann].cut = true;
        stage.ends[bob].cut = true;
        stage.restart(HubConfig::default(), 3);
        stage.run(Duration::from_secs(30));
        let eve = stage.enter(3, "room", Entrance::default());
        stage.ready(eve);
        stage.run(Duration::from_secs(20));
        assert_eq!(stage.read(eve), 7);
        assert_eq!(owners(&stage, eve), [(1, false), (3, false)], "the last had left");
    }
}

fn is_out(stage: &Stage, end: usize) -> bool {
    matches!(stage.at(end).state(), State::Offline | State::Closed(_))
}

fn come_or_go(stage: &mut Stage, end: usize) {
    if is_out(stage, end) {
        stage.connect(end);
    } else {
        stage.leave(end);
    }
}

/// Some peers edit, come, leave and are cut off, and now and then everybody is gone for so long that the
/// room closes, or the relay ends; in the end all are there and have the same. Returns how often it was
/// opened.
fn whatever_happens(seed: u64) -> usize {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let mut stage = stage(seed, ROUGH);
    let ends: Vec<usize> =
        (1..=4).map(|who| stage.peer(who, "room", Entrance::default())).collect();
    let mut boot = 1;
    for _ in 0..60 {
        let end = ends[rng.next_u64() as usize % ends.len()];
        let draw = rng.next_u64() as i64 % 1_000;
        match rng.next_u64() % 16 {
            0..=4 => edit(&mut stage, end, |store, _| {
                store.update_root(|root: &mut Nothing| root.count = draw).unwrap();
            }),
            5..=7 => edit(&mut stage, end, |store, root| {
                root.things.add(store, Thing { size: draw }).unwrap();
            }),
            8 => edit(&mut stage, end, |store, root| {
                let first = root.things.iter(store).next().map(|(thing, _)| thing);
                if let Some(thing) = first {
                    root.things.remove(store, &thing).unwrap();
                }
            }),
            9..=10 => edit(&mut stage, end, |store, root| {
                root.notes.insert(store, 0, &draw.to_string()).unwrap();
            }),
            11..=12 => come_or_go(&mut stage, end),
            13 => stage.cut(end),
            14 => {
                for &end in &ends {
                    stage.leave(end);
                }
                stage.run(CLOSES);
            }
            _ => {
                boot += 1;
                stage.restart(HubConfig::default(), boot);
            }
        }
        stage.run(Duration::from_millis(rng.next_u64() % 3_000));
    }
    for &end in &ends {
        if is_out(&stage, end) {
            stage.connect(end);
        }
    }
    let same = |stage: &Stage| {
        let ready = ends.iter().all(|&end| stage.is_ready(end));
        ready && ends.iter().all(|&end| digests(stage, end) == digests(stage, ends[0]))
    };
    stage.until("all have the same", same);
    stage.run(Duration::from_secs(5));
    assert!(same(&stage));
    let expected = seen(&stage, ends[0]);
    assert!(ends.iter().all(|&end| seen(&stage, end) == expected));
    // And the room can be kept, and opened again, once more.
    close(&mut stage, &ends);
    let late = stage.enter(9, "room", Entrance::default());
    stage.ready(late);
    assert_eq!(seen(&stage, late), expected);
    stage.told.iter().filter(|event| matches!(event, HubEvent::Opened { .. })).count()
}

#[test]
fn whatever_happens_all_have_the_same() {
    let seeds = seeds(40, 2_000);
    let (runs, opened) = (seeds.clone().count(), seeds.map(whatever_happens).sum::<usize>());
    assert!(opened > 3 * runs, "{opened} times in {runs} runs");
}
