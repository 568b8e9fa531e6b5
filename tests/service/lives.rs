//! Peers that keep their room, are killed, and go on with what they had kept.

use std::time::Duration;

use parlor::Entrance;
use parlor::proto::config::{EpochConfig, HubConfig};
use parlor::proto::event::kept::{Keeping, KeptRoom};
use parlor::proto::id::DocumentId;
use parlor::proto::image::ImageError;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::stage::{CALM, Nothing, ROUGH, Stage, Thing, seeds};

/// What one life of a peer leaves to the next.
#[derive(Default)]
struct Disk(Option<KeptRoom>);

impl Disk {
    /// Everything that is new is kept. Returns whether all is: not while something is brought over.
    fn keep(&mut self, stage: &mut Stage, end: usize) -> bool {
        match stage.at_mut(end).keeping() {
            Some(Keeping::Whole { image, .. }) => {
                self.0 = Some(KeptRoom { image, records: Vec::new() });
            }
            Some(Keeping::More { record, .. }) => {
                self.0.as_mut().expect("nothing comes to nothing").records.push(record);
            }
            None => {}
        }
        !stage.at(end).store().is_bringing()
    }

    /// The peer is killed, and begins again with what was kept.
    fn next_life(&self, stage: &mut Stage, (end, who): (usize, usize)) -> usize {
        stage.cut(end);
        stage.ends[end].cut = true;
        let again = stage.peer(who, "room", Entrance::default());
        if let Some(kept) = &self.0 {
            stage.at_mut(again).resume(kept).unwrap();
        }
        again
    }
}

fn write(stage: &mut Stage, end: usize, size: i64) {
    let now = stage.now;
    let peer = stage.at_mut(end);
    let root: Nothing = (*peer.store().root::<Nothing>().unwrap()).clone();
    root.things.add(peer.store_mut(), Thing { size }).unwrap();
    let store = peer.store_mut();
    let length = root.notes.read(store).chars().count();
    root.notes.insert(store, length, &format!("{size} ")).unwrap();
    peer.flush(now);
    stage.run(Duration::from_millis(1));
}

/// What there is, with what is there twice.
fn sizes(stage: &Stage, end: usize) -> Vec<i64> {
    let store = stage.at(end).store();
    let root = store.root::<Nothing>().unwrap();
    let mut sizes: Vec<i64> = root.things.iter(store).map(|(_, thing)| thing.size).collect();
    sizes.sort_unstable();
    sizes
}

fn notes(stage: &Stage, end: usize) -> Vec<i64> {
    let store = stage.at(end).store();
    let text = store.root::<Nothing>().unwrap().notes.read(store);
    let mut sizes: Vec<i64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    sizes.sort_unstable();
    sizes
}

#[test]
fn what_was_edited_offline_is_there_in_the_next_life_and_merges() {
    let mut stage = Stage::new(1, CALM, HubConfig::default());
    let bob = stage.enter(2, "room", Entrance::default());
    stage.ready(bob);
    write(&mut stage, bob, 1_000);
    let ann = stage.peer(1, "room", Entrance::default());
    let mut disk = Disk::default();
    for size in 0..20 {
        write(&mut stage, ann, size);
        assert!(disk.keep(&mut stage, ann));
    }
    assert_eq!(disk.0.as_ref().unwrap().records.len(), 19);
    let ann = disk.next_life(&mut stage, (ann, 1));
    assert_eq!((sizes(&stage, ann), notes(&stage, ann)), ((0..20).collect(), (0..20).collect()));
    let store = stage.at(ann).store();
    assert_eq!(store.mirror().difference(&store.rebuilt()), None);
    write(&mut stage, ann, 20);
    stage.connect(ann);
    stage.ready(ann);
    stage.run(Duration::from_secs(5));
    let all: Vec<i64> = (0..21).chain([1_000]).collect();
    for end in [ann, bob] {
        assert_eq!((sizes(&stage, end), notes(&stage, end)), (all.clone(), all.clone()));
    }
    let digests = |end| DocumentId::ALL.map(|of| stage.at(end).store().log(of).digest());
    assert_eq!(digests(ann), digests(bob));
}

#[test]
fn what_an_earlier_life_wrote_is_not_durable_before_the_relay_has_said_so() {
    let mut stage = Stage::new(3, CALM, HubConfig::default());
    stage.keep_rooms(true);
    let ann = stage.peer(1, "room", Entrance::default());
    let mut disk = Disk::default();
    write(&mut stage, ann, 1);
    assert!(disk.keep(&mut stage, ann));
    let ann = disk.next_life(&mut stage, (ann, 1));
    stage.committing = Duration::from_secs(3);
    stage.connect(ann);
    stage.until("settled", |stage| stage.at(ann).is_kept() && stage.at(ann).is_settled());
    stage.run(Duration::from_secs(1));
    assert!(!stage.at(ann).is_durable(), "nothing is on the disk yet");
    stage.until("durable", |stage| stage.at(ann).is_durable());
    assert_eq!(sizes(&stage, ann), [1]);
}

#[test]
fn what_is_damaged_is_refused_and_changes_nothing() {
    let mut stage = Stage::new(2, CALM, HubConfig::default());
    let ann = stage.peer(1, "room", Entrance::default());
    let mut disk = Disk::default();
    write(&mut stage, ann, 1);
    assert!(disk.keep(&mut stage, ann));
    write(&mut stage, ann, 2);
    assert!(disk.keep(&mut stage, ann));
    let kept = disk.0.unwrap();
    let again = stage.peer(1, "room", Entrance::default());
    for place in 0..kept.records[0].0.len() {
        let mut damaged = kept.clone();
        let mut bytes = damaged.records[0].0.to_vec();
        bytes[place] ^= 1;
        damaged.records[0].0 = bytes.into();
        assert_eq!(stage.at_mut(again).resume(&damaged), Err(ImageError::Damaged));
        assert!(sizes(&stage, again).is_empty());
    }
    stage.at_mut(again).resume(&kept).unwrap();
    assert_eq!(sizes(&stage, again), [1, 2]);
}

/// Peers that are killed at any time, with a disk that is behind, while history is cut.
#[test]
fn what_was_kept_is_there_once_whatever_became_of_who_wrote_it() {
    let mut lost = 0;
    for seed in seeds(24, 1_000) {
        let weather = if seed % 2 == 0 { CALM } else { ROUGH };
        let (floor, interval) = (2_000, Duration::from_secs(2));
        let epochs = EpochConfig { floor, interval, ..EpochConfig::default() };
        let mut stage = Stage::new(seed, weather, HubConfig { epochs, ..HubConfig::default() });
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let mut ends = [0, 1, 2].map(|who| stage.enter(who, "room", Entrance::default()));
        let mut disks = [0; 3].map(|_| Disk::default());
        let (mut written, mut kept) = (Vec::new(), Vec::new());
        // What each has written since it was last kept.
        let mut fresh = [Vec::new(), Vec::new(), Vec::new()];
        for size in 0..60 {
            let who = rng.next_u32() as usize % 3;
            write(&mut stage, ends[who], size);
            written.push(size);
            fresh[who].push(size);
            for who in 0..3 {
                // At any moment, not only when something was written.
                if rng.next_u32() % 2 == 0 && disks[who].keep(&mut stage, ends[who]) {
                    kept.append(&mut fresh[who]);
                }
            }
            if rng.next_u32() % 4 == 0 {
                stage.cut(ends[who]);
            }
            if rng.next_u32() % 8 == 0 {
                ends[who] = disks[who].next_life(&mut stage, (ends[who], who));
                fresh[who].clear();
                stage.run(Duration::from_millis(u64::from(rng.next_u32() % 500)));
                stage.connect(ends[who]);
            }
            stage.run(Duration::from_millis(u64::from(rng.next_u32() % 400)));
        }
        ends.iter().for_each(|end| stage.ready(*end));
        stage.run(Duration::from_secs(15));
        let there = sizes(&stage, ends[0]);
        for end in ends {
            assert_eq!(sizes(&stage, end), there, "seed {seed}");
            assert_eq!(notes(&stage, end), notes(&stage, ends[0]), "seed {seed}");
        }
        let mut once = there.clone();
        once.dedup();
        assert_eq!(once, there, "seed {seed}: something is there twice");
        assert!(kept.iter().all(|size| there.contains(size)), "seed {seed}: {kept:?}, {there:?}");
        assert!(there.iter().all(|size| written.contains(size)), "seed {seed}");
        lost += usize::from(there.len() < written.len());
    }
    if std::env::var_os("SIM_SEED").is_none() {
        assert!(lost > 0, "nothing was ever lost that was not kept: nobody was killed in time");
    }
}
