//! Who owns what, and what goes with whom, across a loss of the relay's power.

use std::collections::BTreeMap;
use std::time::Duration;

use parlor::proto::config::HubConfig;
use parlor::{Entrance, Mode, ModelRef, Terms};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::stage::{CALM, Nothing, Stage, Thing, seeds};

const PEERS: usize = 3;

/// Each way to own, by the size of the thing that is owned so.
fn terms(size: i64) -> Terms {
    match size % 4 {
        0 => Terms::default(),
        1 => Terms { destroy_with_owner: true, ..Terms::default() },
        2 => Terms { destroy_with_last: true, ..Terms::default() },
        _ => Terms { mode: Mode::Exclusive, ..Terms::default() },
    }
}

fn things(stage: &Stage, end: usize) -> Vec<(ModelRef<Thing>, i64)> {
    let store = stage.at(end).store();
    let root = store.root::<Nothing>().unwrap();
    root.things.iter(store).map(|(thing, value)| (thing, value.size)).collect()
}

/// The things that are there, and the peer that owns each.
fn owners(stage: &Stage, end: usize, ends: &[usize]) -> BTreeMap<i64, Option<usize>> {
    let store = stage.at(end).store();
    let who = |thing| {
        let owner = store.owner(thing)?;
        Some(ends.iter().position(|end| stage.id(*end) == owner).unwrap())
    };
    things(stage, end).iter().map(|(thing, size)| (*size, who(thing))).collect()
}

/// A peer adds a thing, which it owns; or lets it go again, for it to be nobody's.
fn own(stage: &mut Stage, end: usize, size: i64, keeps: bool) {
    for step in 0..3 {
        let now = stage.now;
        let peer = stage.at_mut(end);
        let root: Nothing = (*peer.store().root::<Nothing>().unwrap()).clone();
        let store = peer.store_mut();
        let thing = root.things.iter(store).find(|(_, thing)| thing.size == size);
        match (step, thing) {
            (0, None) => root.things.add(store, Thing { size }).map(drop).unwrap(),
            (1, Some((thing, _))) => store.claim(&thing, terms(size)).unwrap(),
            (2, Some((thing, _))) if !keeps => store.release(&thing).unwrap(),
            _ => {}
        }
        peer.flush(now);
        stage.run(Duration::from_millis(400));
    }
}

/// What is to be there when only some have come back within the grace.
fn expected(before: &BTreeMap<i64, Option<usize>>, back: &[bool]) -> BTreeMap<i64, Option<usize>> {
    let somebody = back.contains(&true);
    let mut expected = BTreeMap::new();
    for (&size, &owner) in before {
        let is_back = owner.is_some_and(|owner| back[owner]);
        let terms = terms(size);
        let goes_with_owner = terms.destroy_with_owner && owner.is_some() && !is_back;
        let goes_with_last = terms.destroy_with_last && !somebody;
        if !goes_with_owner && !goes_with_last {
            expected.insert(size, owner.filter(|_| is_back));
        }
    }
    expected
}

#[test]
fn what_nobody_owns_goes_with_the_last_peer_too() {
    for comes_back in [false, true] {
        let mut stage = Stage::new(7, CALM, HubConfig::default());
        stage.keep_rooms(true);
        let ann = stage.enter(1, "room", Entrance::default());
        stage.ready(ann);
        own(&mut stage, ann, 2, false);
        stage.run(Duration::from_secs(2));
        stage.ends[ann].cut = !comes_back;
        stage.crash(HubConfig::default(), 2);
        let eve = stage.enter(9, "room", Entrance::default());
        stage.ready(eve);
        assert_eq!(things(&stage, eve).len(), 1);
        stage.run(Duration::from_secs(20));
        assert_eq!(things(&stage, eve).len(), usize::from(comes_back));
    }
}

#[test]
fn owners_have_a_while_to_come_back_after_a_loss_of_power_and_lifetimes_end() {
    let (mut gone, mut kept, mut alone) = (0, 0, 0);
    for seed in seeds(24, 1_000) {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let mut stage = Stage::new(seed, CALM, HubConfig::default());
        stage.keep_rooms(true);
        let ends: Vec<usize> = (0..PEERS)
            .map(|who| {
                let end = stage.enter(who, "room", Entrance::default());
                stage.ready(end);
                end
            })
            .collect();
        for size in 0..8 {
            let who = rng.next_u32() as usize % PEERS;
            let keeps = rng.next_u32() % 4 > 0;
            own(&mut stage, ends[who], size, keeps);
        }
        stage.committing = Duration::from_millis(1 + u64::from(rng.next_u32() % 120));
        stage.run(Duration::from_secs(2));
        let before = owners(&stage, ends[0], &ends);
        assert_eq!(before.len(), 8, "seed {seed}: somebody was there all the time");
        let mut back: Vec<bool> = (0..PEERS).map(|_| rng.next_u32() % 2 == 0).collect();
        if seed % 4 == 0 {
            back = vec![false; PEERS];
        }
        for (&end, &back) in ends.iter().zip(&back) {
            stage.ends[end].cut = !back;
        }
        stage.crash(HubConfig::default(), 2);
        // Who comes first may be somebody new; the grace begins with whoever it is.
        let eve = stage.enter(9, "room", Entrance::default());
        stage.ready(eve);
        if !back.contains(&true) {
            assert_eq!(things(&stage, eve).len(), 8, "seed {seed}: they may come back yet");
        }
        stage.run(Duration::from_secs(20));
        let expected = expected(&before, &back);
        let all: Vec<usize> =
            ends.iter().zip(&back).filter(|(_, back)| **back).map(|(end, _)| *end).collect();
        for end in all.into_iter().chain([eve]) {
            assert_eq!(owners(&stage, end, &ends), expected, "seed {seed}, back: {back:?}");
        }
        gone += before.len() - expected.len();
        kept += expected.values().filter(|owner| owner.is_some()).count();
        alone += usize::from(!back.contains(&true));
        // And so it stays.
        let config = HubConfig::default();
        ends.iter().for_each(|end| stage.ends[*end].cut = true);
        stage.ends[eve].cut = true;
        stage.crash(config, 3);
        let dan = stage.enter(8, "room", Entrance::default());
        stage.ready(dan);
        let there = owners(&stage, dan, &ends).into_keys();
        assert!(there.eq(expected.keys().copied()), "seed {seed}");
    }
    if std::env::var_os("SIM_SEED").is_none() {
        assert!(gone > 0 && kept > 0 && alone > 0, "{gone}, {kept}, {alone}");
    }
}
