//! Anything that can be asked of a store, in any order, against a map.

use std::ops::Range;

use parlor::proto::event::kept::Keeping;
use parlor::store::disk::FrailMedium;
use parlor::store::{DiskStore, RoomStore, StoreError};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::stage::{self, Kept, more, room, whole};

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(usize, Option<usize>, u8)>),
    Remove(usize),
    Export(usize, usize),
    Reopen,
    PowerLoss(u64),
    Verify,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size: Range<usize> = 0..30_000;
    let keeping = (0..8_usize, weighted(0.4, size), any::<u8>());
    vec(
        prop_oneof![
            8 => vec(keeping, 0..6).prop_map(Step::Commit),
            2 => (0..8_usize).prop_map(Step::Remove),
            1 => (0..8_usize, 0..8_usize).prop_map(|(from, to)| Step::Export(from, to)),
            1 => Just(Step::Reopen),
            1 => any::<u64>().prop_map(Step::PowerLoss),
            1 => Just(Step::Verify),
        ],
        1..25,
    )
}

fn keeping((name, image, byte): (usize, Option<usize>, u8)) -> Keeping {
    match image {
        Some(size) => whole(NAMES[name], vec![byte; size]),
        None => more(NAMES[name], vec![byte; usize::from(byte)]),
    }
}

/// The first room of which nothing is kept when more comes to it.
fn absent(kept: &Kept, keepings: &[Keeping]) -> Option<Keeping> {
    let mut known: Vec<_> = kept.keys().cloned().collect();
    keepings.iter().find_map(|keeping| match keeping {
        Keeping::Whole { room, .. } => {
            known.push(room.clone());
            None
        }
        Keeping::More { room, .. } => (!known.contains(room)).then(|| keeping.clone()),
    })
}

fn step(step: Step, medium: &mut FrailMedium, store: &mut Option<DiskStore>, kept: &mut Kept) {
    let is = store.as_mut().unwrap();
    match step {
        Step::Commit(keepings) => {
            let keepings: Vec<_> = keepings.into_iter().map(keeping).collect();
            let committed = is.commit(keepings.clone());
            match absent(kept, &keepings) {
                Some(keeping) => {
                    assert_eq!(committed, Err(StoreError::Absent { room: keeping.room().clone() }));
                }
                None => {
                    committed.unwrap();
                    stage::keep(kept, &keepings);
                }
            }
        }
        Step::Remove(name) => {
            let was = kept.remove(&room(NAMES[name])).is_some();
            assert_eq!(is.remove(&room(NAMES[name])).unwrap(), was);
        }
        Step::Export(from, to) => {
            let exported = is.export(&room(NAMES[from])).unwrap();
            assert_eq!(exported.is_some(), kept.contains_key(&room(NAMES[from])));
            if let Some(bytes) = exported {
                is.import(&room(NAMES[to]), &bytes).unwrap();
                kept.insert(room(NAMES[to]), kept[&room(NAMES[from])].clone());
            }
        }
        Step::Reopen => {
            drop(store.take());
            *store = Some(stage::open(medium).unwrap());
        }
        Step::PowerLoss(seed) => {
            let mut dice = stage::Dice::new(seed);
            *medium = FrailMedium::new(medium.crash().image(|_, _| dice.below(2) == 0));
            *store = Some(stage::open(medium).unwrap());
        }
        Step::Verify => assert_eq!(is.verify(|_| {}).unwrap(), []),
    }
}

proptest! {
    #![proptest_config(Config {
        cases: if stage::is_full() { 1000 } else { 25 },
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn a_store_is_a_map_that_outlives_its_process(steps in steps()) {
        let mut medium = stage::fresh();
        let mut store = Some(stage::open(&medium).unwrap());
        let mut kept = Kept::new();
        for each in steps {
            step(each, &mut medium, &mut store, &mut kept);
            assert_eq!(stage::kept(store.as_mut().unwrap()), kept);
        }
        let listed = store.unwrap().rooms().unwrap();
        let sizes = listed.into_iter().map(|stored| (stored.room, stored.bytes, stored.records));
        let are = kept.iter().map(|(room, kept)| (room.clone(), kept.bytes() as u64, kept.records.len() as u64));
        assert_eq!(sizes.collect::<Vec<_>>(), are.collect::<Vec<_>>());
    }
}
