//! Rooms that are kept while they are open, and relays whose power is lost.

use std::collections::BTreeSet;
use std::time::Duration;

use parlor::proto::config::{EpochConfig, HubConfig, KeepingConfig};
use parlor::proto::event::Event;
use parlor::proto::hub::HubEvent;
use parlor::proto::id::{DocumentId, EpochId, RoomKey};
use parlor::{Entrance, Request, State};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::stage::{CALM, Disk, Nothing, ROUGH, Stage, Thing, Weather, key, name, seeds};

fn room_key() -> RoomKey {
    (key().app(), name("room"))
}

fn stage(seed: u64, weather: Weather, config: HubConfig) -> Stage {
    let mut stage = Stage::new(seed, weather, config);
    stage.keep_rooms(true);
    stage
}

fn enter(stage: &mut Stage, who: usize) -> usize {
    let end = stage.enter(who, "room", Entrance::default());
    stage.ready(end);
    end
}

/// Adds a thing, without waiting for anybody.
fn add(stage: &mut Stage, end: usize, size: i64) {
    let now = stage.now;
    let peer = stage.at_mut(end);
    let root: Nothing = (*peer.store().root::<Nothing>().unwrap()).clone();
    root.things.add(peer.store_mut(), Thing { size }).unwrap();
    peer.flush(now);
    stage.run(Duration::from_millis(1));
}

fn sizes(stage: &Stage, end: usize) -> BTreeSet<i64> {
    let store = stage.at(end).store();
    let root = store.root::<Nothing>().unwrap();
    root.things.iter(store).map(|(_, thing)| thing.size).collect()
}

fn epoch(stage: &Stage, end: usize) -> EpochId {
    stage.at(end).store().log(DocumentId::MODELS).scope().epoch()
}

/// Nobody is left who knows anything but the relay's disk.
fn lose_everybody(stage: &mut Stage, config: HubConfig, boot: u32) {
    for end in 0..stage.ends.len() {
        stage.ends[end].cut = true;
    }
    stage.crash(config, boot);
}

#[test]
fn what_is_said_to_be_kept_is_there_when_nobody_else_is() {
    let mut stage = stage(1, CALM, HubConfig::default());
    let ann = enter(&mut stage, 1);
    assert!(stage.at(ann).is_kept() && stage.ends[ann].events.contains(&Event::Keeps(true)));
    stage.done(ann, &Request::Put { key: "map".to_owned(), value: Some("harbour".to_owned()) });
    for size in 0..20 {
        add(&mut stage, ann, size);
        assert!(!stage.at(ann).is_durable(), "nothing can have said so yet");
        stage.until("durable", |stage| stage.at(ann).is_durable());
    }
    let kept = stage.ends[ann].events.iter().filter(|event| **event == Event::Kept).count();
    assert_eq!(kept, 20);
    lose_everybody(&mut stage, HubConfig::default(), 2);
    let bob = enter(&mut stage, 2);
    assert_eq!(sizes(&stage, bob), (0..20).collect());
    let data = &stage.record(bob).data;
    assert_eq!(data.get("map").map(String::as_str), Some("harbour"));
    // And goes on from there.
    add(&mut stage, bob, 20);
    stage.until("durable", |stage| stage.at(bob).is_durable());
    lose_everybody(&mut stage, HubConfig::default(), 3);
    let eve = enter(&mut stage, 3);
    assert_eq!(sizes(&stage, eve), (0..21).collect());
}

#[test]
fn of_many_edits_as_many_commits_are_made_as_there_is_time_for() {
    let mut stage = stage(2, CALM, HubConfig::default());
    let ann = enter(&mut stage, 1);
    stage.run(Duration::from_secs(1));
    let before = stage.committed;
    for size in 0..1_000 {
        add(&mut stage, ann, size);
    }
    stage.until("durable", |stage| stage.at(ann).is_durable());
    let (commits, bytes) = (stage.committed.0 - before.0, stage.committed.1 - before.1);
    assert!((10..=15).contains(&commits), "{commits} in a second");
    // A change is kept as it is: 1,000 of about 170 bytes, and 48 with each commit.
    assert!((100_000..260_000).contains(&bytes), "{bytes}");
    // Its author's word, and a cut when nobody writes any more; then nothing.
    stage.run(Duration::from_secs(30));
    let rest = stage.committed.0;
    stage.run(Duration::from_secs(60));
    assert_eq!(stage.committed.0, rest, "nothing is kept of nothing");
}

#[test]
fn rooms_that_close_are_kept_together_and_there_for_who_comes_at_once() {
    let (linger, interval) = (Duration::from_millis(100), Duration::from_secs(1));
    let keeping = KeepingConfig { interval, ..KeepingConfig::default() };
    let mut stage = stage(9, CALM, HubConfig { linger, keeping, ..HubConfig::default() });
    let room = |number: usize| format!("room {number}");
    let ends: Vec<usize> = (0..40)
        .map(|number| {
            let end = stage.enter(number, &room(number), Entrance::default());
            stage.ready(end);
            end
        })
        .collect();
    stage.run(Duration::from_secs(10));
    let before = stage.committed.0;
    for (size, &end) in (0..).zip(&ends) {
        add(&mut stage, end, size);
        stage.leave(end);
        stage.run(Duration::from_millis(4));
    }
    let is_open =
        |stage: &Stage, number| stage.hub.rooms().any(|(open, _)| open.1 == name(&room(number)));
    // The first is entered again as soon as it has closed: what is left of it is on its way by then.
    stage.until("closed", |stage| !is_open(stage, 0));
    let again = stage.enter(0, &room(0), Entrance::default());
    stage.ready(again);
    assert_eq!(sizes(&stage, again), [0].into());
    stage.run(Duration::from_secs(5));
    assert_eq!(stage.hub.rooms().count(), 1);
    // One each second, and one for who came.
    let commits = stage.committed.0 - before;
    assert!(commits <= 5, "{commits} commits of 40 rooms");
    // Who comes into another room hurries none.
    add(&mut stage, again, 1);
    stage.leave(again);
    stage.until("closed", |stage| !is_open(stage, 0));
    let last = stage.committed.0;
    let other = stage.enter(70, "other", Entrance::default());
    stage.run(Duration::from_millis(100));
    assert_eq!(stage.committed.0, last);
    stage.ready(other);
    stage.leave(other);
    stage.run(Duration::from_secs(5));
    for (size, number) in (0..).zip(0..40) {
        let end = stage.enter(50, &room(number), Entrance::default());
        stage.ready(end);
        assert!(sizes(&stage, end).contains(&size));
    }
}

#[test]
fn a_room_of_many_records_is_kept_whole_again() {
    let keeping = KeepingConfig { records: 5, closing: 2, ..KeepingConfig::default() };
    let config = HubConfig { keeping, ..HubConfig::default() };
    let mut stage = stage(3, CALM, config.clone());
    let ann = enter(&mut stage, 1);
    let mut most = 0;
    for size in 0..24 {
        add(&mut stage, ann, size);
        stage.until("durable", |stage| stage.at(ann).is_durable());
        most = most.max(stage.kept[&room_key()].records.len());
    }
    assert_eq!(most, 5);
    stage.leave(ann);
    stage.run(Duration::from_secs(45));
    assert_eq!(stage.hub.rooms().count(), 0);
    assert!(stage.kept[&room_key()].records.len() <= 2);
    lose_everybody(&mut stage, config, 2);
    let bob = enter(&mut stage, 2);
    assert_eq!(sizes(&stage, bob), (0..24).collect());
}

#[test]
fn a_cut_is_told_to_nobody_before_it_is_kept() {
    let mut stage = stage(4, CALM, HubConfig::default());
    let (ann, bob) = (enter(&mut stage, 1), enter(&mut stage, 2));
    for size in 0..50 {
        add(&mut stage, ann, size);
    }
    stage.until("durable", |stage| stage.at(ann).is_durable());
    let before = epoch(&stage, ann);
    stage.committing = Duration::from_secs(3);
    let now = stage.now;
    assert!(stage.hub.cut(&room_key(), DocumentId::MODELS, now));
    // Nor to who comes meanwhile.
    let eve = stage.enter(3, "room", Entrance::default());
    stage.run(Duration::from_secs(2));
    assert_eq!((epoch(&stage, ann), epoch(&stage, bob)), (before, before));
    assert!(!stage.is_ready(eve));
    // Members write on, and what they write has its place behind the cut.
    add(&mut stage, bob, 50);
    stage.ready(eve);
    stage.until("followed", |stage| epoch(stage, ann) != before && epoch(stage, bob) != before);
    stage.run(Duration::from_secs(5));
    for end in [ann, bob, eve] {
        assert_eq!(sizes(&stage, end), (0..51).collect());
    }
}

#[test]
fn a_cut_that_a_relay_forgot_never_was() {
    let (mut forgot, mut knew) = (0, 0);
    for seed in 0..8 {
        let mut stage = stage(seed, CALM, HubConfig::default());
        let (ann, bob) = (enter(&mut stage, 1), enter(&mut stage, 2));
        for size in 0..50 {
            add(&mut stage, ann, size);
        }
        stage.until("durable", |stage| stage.at(ann).is_durable());
        let before = epoch(&stage, ann);
        stage.committing = Duration::from_secs(1_000);
        let now = stage.now;
        assert!(stage.hub.cut(&room_key(), DocumentId::MODELS, now));
        stage.run(Duration::from_secs(1));
        add(&mut stage, bob, 50);
        stage.run(Duration::from_secs(1));
        stage.committing = Duration::from_millis(9);
        stage.crash(HubConfig::default(), 2);
        for end in [ann, bob] {
            stage.ready(end);
        }
        stage.run(Duration::from_secs(5));
        for end in [ann, bob] {
            assert_eq!(sizes(&stage, end), (0..51).collect());
        }
        // What was under way was there or not.
        let is_before = [ann, bob].map(|end| epoch(&stage, end) == before);
        assert_eq!(is_before[0], is_before[1]);
        if is_before[0] { forgot += 1 } else { knew += 1 }
    }
    assert!(forgot > 0 && knew > 0, "{forgot}, {knew}: only one was tried");
}

#[test]
fn a_relay_whose_disk_fails_says_so_and_serves() {
    let mut stage = stage(6, CALM, HubConfig::default());
    let ann = enter(&mut stage, 1);
    add(&mut stage, ann, 1);
    stage.until("durable", |stage| stage.at(ann).is_durable());
    stage.has_failed = true;
    add(&mut stage, ann, 2);
    stage.until("told", |stage| stage.ends[ann].events.contains(&Event::Keeps(false)));
    assert!(!stage.at(ann).is_kept() && !stage.at(ann).is_durable());
    let said = |event: &HubEvent| matches!(event, HubEvent::KeepsNoMore { .. });
    assert_eq!(stage.told.iter().filter(|event| said(event)).count(), 1);
    let commits = stage.committed.0;
    // A cut waits for nothing.
    let (before, now) = (epoch(&stage, ann), stage.now);
    assert!(stage.hub.cut(&room_key(), DocumentId::MODELS, now));
    stage.until("followed", |stage| epoch(stage, ann) != before);
    let bob = enter(&mut stage, 2);
    assert_eq!(sizes(&stage, bob), [1, 2].into());
    assert!(!stage.at(bob).is_kept());
    stage.run(Duration::from_secs(60));
    assert_eq!(stage.committed.0, commits);
    // What was kept before is there.
    stage.has_failed = false;
    lose_everybody(&mut stage, HubConfig::default(), 2);
    let eve = enter(&mut stage, 3);
    assert_eq!(sizes(&stage, eve), [1].into());
}

#[test]
fn who_waits_for_a_cut_while_the_room_closes_comes_into_what_was_kept() {
    let linger = Duration::from_secs(1);
    let mut stage = stage(8, CALM, HubConfig { linger, ..HubConfig::default() });
    let ann = enter(&mut stage, 1);
    for size in 0..50 {
        add(&mut stage, ann, size);
    }
    stage.until("durable", |stage| stage.at(ann).is_durable());
    stage.committing = Duration::from_secs(2);
    let now = stage.now;
    assert!(stage.hub.cut(&room_key(), DocumentId::MODELS, now));
    let bob = stage.enter(2, "room", Entrance::default());
    stage.run(Duration::from_millis(300));
    stage.leave(ann);
    stage.run(Duration::from_millis(1_500));
    assert_eq!(stage.hub.rooms().count(), 0, "it has closed");
    assert!(!stage.is_ready(bob));
    stage.ready(bob);
    assert_eq!(sizes(&stage, bob), (0..50).collect());
}

/// Peers that write, a relay whose power is lost again and again, and history that is cut often. Returns
/// whether members brought back what was forgotten, and whether anything was in the end.
pub(crate) fn lose_power_often(seed: u64, disk: Option<Box<dyn Disk>>) -> [bool; 2] {
    let weather = if seed.is_multiple_of(2) { CALM } else { ROUGH };
    let interval = Duration::from_secs(2);
    let epochs = EpochConfig { floor: 2_000, interval, ..EpochConfig::default() };
    let keeping = KeepingConfig { records: 1 + seed as u32 % 9, ..KeepingConfig::default() };
    let config = HubConfig { epochs, keeping, ..HubConfig::default() };
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let mut stage = stage(seed, weather, config.clone());
    stage.disk = disk;
    let ends: Vec<usize> = (0..3).map(|who| enter(&mut stage, who)).collect();
    let (mut written, mut safe) = (BTreeSet::new(), BTreeSet::new());
    let mut own = vec![BTreeSet::new(); ends.len()];
    for round in 0..40 {
        let who = rng.next_u32() as usize % ends.len();
        let size = i64::from(round);
        add(&mut stage, ends[who], size);
        own[who].insert(size);
        written.insert(size);
        stage.committing = Duration::from_millis(1 + u64::from(rng.next_u32() % 120));
        stage.run(Duration::from_millis(u64::from(rng.next_u32() % 300)));
        for (end, own) in ends.iter().zip(&own) {
            if stage.at(*end).is_durable() {
                safe.extend(own.iter().copied());
            }
        }
        if rng.next_u32() % 8 == 0 {
            stage.crash(config.clone(), 2 + round);
        }
    }
    let everybody_lives = seed % 4 < 2;
    if everybody_lives {
        // What the relay forgot, its members bring.
        stage.run(Duration::from_secs(20));
        ends.iter().for_each(|end| stage.ready(*end));
        stage.run(Duration::from_secs(10));
        for end in &ends {
            assert_eq!(sizes(&stage, *end), written, "seed {seed}");
            assert!(stage.at(*end).is_durable(), "seed {seed}");
        }
        safe.clone_from(&written);
    }
    lose_everybody(&mut stage, config, 100);
    let eve = enter(&mut stage, 9);
    let there = sizes(&stage, eve);
    assert!(safe.is_subset(&there), "seed {seed}: {safe:?} in {there:?}");
    assert!(there.is_subset(&written), "seed {seed}");
    assert_eq!(*stage.at(eve).state(), State::Ready);
    [everybody_lives, there != written]
}

#[test]
fn nothing_is_lost_that_was_said_to_be_kept() {
    let mut seen = [0, 0];
    for seed in seeds(24, 1_000) {
        let was = lose_power_often(seed, None);
        seen = [0, 1].map(|of| seen[of] + u32::from(was[of]));
    }
    if std::env::var_os("SIM_SEED").is_none() {
        assert!(seen.iter().all(|count| *count > 0), "{seen:?}: nothing was tried");
    }
}

#[test]
fn many_rooms_that_are_written_in_are_all_kept_soon() {
    let mut stage = stage(10, CALM, HubConfig::default());
    stage.committing = Duration::from_millis(12);
    let ends: Vec<usize> = (0..25)
        .map(|number| {
            let end = stage.enter(number, &format!("room {number}"), Entrance::default());
            stage.ready(end);
            end
        })
        .collect();
    stage.run(Duration::from_secs(2));
    let mut since = vec![None; ends.len()];
    let mut slowest = Duration::ZERO;
    for millisecond in 0..4_000_usize {
        for (number, &end) in ends.iter().enumerate() {
            if millisecond % 1_000 == number * 40 && since[number].is_none() {
                let now = stage.now;
                let peer = stage.at_mut(end);
                let root: Nothing = (*peer.store().root::<Nothing>().unwrap()).clone();
                root.things.add(peer.store_mut(), Thing { size: 1 }).unwrap();
                peer.flush(now);
                stage.settle(end);
                since[number] = Some(now);
            }
            if let Some(before) = since[number]
                && stage.at(end).is_durable()
            {
                slowest = slowest.max(stage.now - before);
                since[number] = None;
            }
        }
        stage.run(Duration::from_millis(1));
    }
    assert!(slowest < Duration::from_millis(250), "{slowest:?}");
}
