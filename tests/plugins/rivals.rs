//! Members that write at once, under rules, on networks that lose: everybody ends with the same, and
//! nobody ever sees of another what the rules do not let in.

use std::time::Duration;

use parlor::proto::datastore::intent::Intent;
use parlor::proto::hub::{Act, Ruling, Update, Write};
use parlor::proto::model::path::Path;
use parlor::proto::model::value::Value;
use parlor::sim::World;
use parlor::sim::network::Network;
use parlor::sim::playground::{Figure, Playground};
use parlor::{Datastore, ModelRef, Terms};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use crate::court::{Court, path, seeds};

const MOST: i64 = 100;
const FORBIDDEN: &str = "forbidden";

/// Scores are clamped, names are refused, hits are answered, and notes are in lower case.
fn rules(update: &Update<'_>) -> Ruling {
    let mut amended = Vec::new();
    for write in &update.writes {
        match write {
            Write::Set { model, property: 2, after: Some(Value::Int(score)), .. }
                if model.is_root() && *score > MOST =>
            {
                let (model, property, value) = (model.clone(), 2, Value::Int(MOST));
                let with = vec![Intent::Put { model, property, value }];
                return Ruling::Replace { place: write.place(), code: 1, with };
            }
            Write::Set { property: 1, after: Some(Value::Text(name)), .. } if name == FORBIDDEN => {
                return Ruling::Refuse { place: write.place(), code: 2 };
            }
            Write::Count { property: 6, before, after, .. } => {
                let by = after - before;
                amended.push(Intent::Count { model: Path::root(), property: 3, by });
            }
            Write::Type { text, inserted, .. } if inserted.contains('X') => {
                return Ruling::Refuse { place: text.clone(), code: 3 };
            }
            _ => {}
        }
    }
    if amended.is_empty() { Ruling::Accept } else { Ruling::Amend(amended) }
}

/// What somebody does. Returns how much it has counted.
fn edit(store: &mut Datastore, figures: &[ModelRef<Figure>], rng: &mut ChaCha12Rng) -> i64 {
    let draw = rng.next_u64();
    let figure = &figures[(draw >> 8) as usize % figures.len()];
    let value = i64::try_from(draw >> 16 & 0xff).unwrap();
    match draw % 8 {
        0 | 1 => {
            store.update_root(|root: &mut Playground| root.score = value).unwrap();
        }
        2 => {
            store.update(figure, |figure| figure.name = FORBIDDEN.into()).ok();
        }
        3 => {
            store.update(figure, |figure| figure.name = format!("name {value}")).ok();
        }
        4 => {
            if store.update(figure, |figure| figure.hits += 1).is_ok() {
                return 1;
            }
        }
        5 => {
            let notes = store.root::<Playground>().unwrap().notes.clone();
            notes.insert(store, 0, if value % 2 == 0 { "X" } else { "y" }).unwrap();
        }
        6 => {
            store.claim(figure, Terms::default()).ok();
        }
        _ => {
            store.release(figure).ok();
        }
    }
    0
}

/// Nobody shows what is not let in but who wrote it; those have it as theirs and not yet refused.
fn check(world: &World, wrote: &[bool], seed: u64) {
    for (peer, wrote) in wrote.iter().enumerate() {
        let store = world.peer(peer).store();
        let root: &Playground = store.root().unwrap();
        assert!(root.score <= MOST || *wrote, "seed {seed}: {peer} shows {}", root.score);
        let forbidden = root.players.iter(store).any(|(_, figure)| figure.name == FORBIDDEN);
        assert!(!forbidden || *wrote, "seed {seed}: {peer} shows a name");
        assert!(!root.notes.read(store).contains('X') || *wrote, "seed {seed}: {peer} shows an X");
    }
}

#[test]
fn rivals_agree_and_see_nothing_that_is_not_let_in() {
    let (all, mut counted) = (seeds(30, 1_000), 0);
    let many = all.end - all.start > 1;
    for seed in all {
        let network = [Network::LOSSY, Network::MOBILE, Network::BURSTS][seed as usize % 3];
        let mut court = Court::new(seed, network, 3, rules);
        let figures = [court.figure(0), court.figure(1)];
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        // The last only looks on.
        let mut wrote = [false; 3];
        for round in 0..60 {
            let peer = (rng.next_u64() % 2) as usize;
            court.world.edit(peer, |store| edit(store, &figures, &mut rng)).unwrap();
            wrote[peer] = true;
            match rng.next_u64() % 40 {
                0 => court.world.cut(peer),
                1 => court.world.mend(peer),
                2 => court.world.cut_history(),
                3..=6 => {
                    let (model, property) = (path(&figures[0]), 1);
                    let value = Value::Text(format!("relay {round}"));
                    let put = Intent::Put { model, property, value };
                    court.act(Act::Write(vec![put])).unwrap();
                }
                _ => {}
            }
            let span = Duration::from_millis(rng.next_u64() % 120);
            court.world.run_until(span, |world| {
                check(world, &wrote, seed);
                false
            });
        }
        court.at_rest(seed);
        check(&court.world, &[false; 3], seed);
        // What the relay counts is what came in, once each; who was away while history was cut may bring
        // anew what it had seen of others.
        if !court.world.sightings().contains("partition") {
            let view = court.view();
            let hits: i64 = figures.iter().map(|it| view.count(&path(it), 6)).sum();
            assert_eq!(view.count(&Path::root(), 3), hits, "seed {seed}");
            counted += hits;
        }
    }
    assert!(counted > 0 || !many, "some were counted");
}
