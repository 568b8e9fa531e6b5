//! Well-known objects: any number of peers that start a room at once lose nothing to each other.

use std::collections::BTreeSet;

use parlor::sim::playground::{Figure, Playground, Thing};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::replica::{Replica, agree, cases, pull};

type First<'a> = dyn Fn(&mut Replica, &Playground) + 'a;

/// First edits of everything that stands in a room from the beginning, all told apart by `number`.
fn start(replica: &mut Replica, number: usize, kinds: u16, split: bool) {
    let n = u32::try_from(number).unwrap();
    let figure = || Figure { level: Some(n), ..Figure::default() };
    let edits: [&First<'_>; 9] = [
        &|replica, _| {
            replica
                .store
                .update_root(|root: &mut Playground| root.title = format!("t{n}"))
                .unwrap();
        },
        &|replica, _| {
            replica.store.update_root(|root: &mut Playground| root.votes += 1 << number).unwrap();
        },
        &|replica, root| drop(root.players.add(&mut replica.store, figure()).unwrap()),
        &|replica, root| {
            drop(root.seats.insert(&mut replica.store, &format!("{n}"), figure()).unwrap());
        },
        &|replica, root| drop(root.queue.push(&mut replica.store, figure()).unwrap()),
        &|replica, root| root.notes.insert(&mut replica.store, 0, &format!("<{n}>")).unwrap(),
        &|replica, root| {
            let captain = root.captain.as_ref();
            let edit = |captain: &mut Figure| {
                captain.name = format!("c{n}");
                captain.hits += 1 << number;
            };
            replica.store.update(&captain, edit).unwrap();
        },
        &|replica, root| {
            let items = replica.store.get(&root.captain.as_ref()).unwrap().items.clone();
            drop(items.add(&mut replica.store, Thing { count: n.into() }).unwrap());
        },
        &|replica, root| {
            let memo = replica.store.get(&root.captain.as_ref()).unwrap().memo.clone();
            memo.insert(&mut replica.store, 0, &format!("<{n}>")).unwrap();
        },
    ];
    let root = replica.root().clone();
    for (kind, edit) in edits.iter().enumerate() {
        if kinds & 1 << kind != 0 {
            edit(replica, &root);
            if split {
                replica.flush();
            }
        }
    }
    replica.flush();
}

/// The pieces of a text that everybody wrote one of.
fn pieces(text: &str) -> BTreeSet<String> {
    text.split_inclusive('>').map(str::to_owned).collect()
}

/// Every write is there.
fn check(replica: &Replica, kinds: &[u16]) {
    let (root, store) = (replica.root(), &replica.store);
    let who = |kind: u32| {
        let did = kinds.iter().enumerate().filter(move |(_, kinds)| *kinds & 1 << kind != 0);
        did.map(|(number, _)| u32::try_from(number).unwrap())
    };
    let sum = |kind| who(kind).map(|number| 1_i64 << number).sum::<i64>();
    let levels = |figures: Vec<&Figure>| -> BTreeSet<u32> {
        assert_eq!(figures.len(), figures.iter().map(|f| f.level).collect::<BTreeSet<_>>().len());
        figures.iter().filter_map(|figure| figure.level).collect()
    };
    let captain = store.get(&root.captain.as_ref()).unwrap();
    let one_of = |value: &str, prefix: &str, kind| {
        let mut writers = who(kind).peekable();
        let nobody = writers.peek().is_none() && value.is_empty();
        assert!(nobody || writers.any(|number| value == format!("{prefix}{number}")), "{value}");
    };
    one_of(&root.title, "t", 0);
    assert_eq!(root.votes.get(), sum(1));
    assert_eq!(levels(root.players.iter(store).map(|(_, f)| f).collect()), who(2).collect());
    assert_eq!(levels(root.seats.iter(store).map(|(_, _, f)| f).collect()), who(3).collect());
    assert_eq!(levels(root.queue.iter(store).map(|(_, f)| f).collect()), who(4).collect());
    let written = |kind| who(kind).map(|number| format!("<{number}>")).collect::<BTreeSet<_>>();
    assert_eq!(pieces(root.notes.read(store)), written(5));
    one_of(&captain.name, "c", 6);
    assert_eq!(captain.hits.get(), sum(6));
    let items = captain.items.iter(store).map(|(_, thing)| thing.count);
    assert_eq!(items.collect::<BTreeSet<_>>(), who(7).map(u64::from).collect());
    assert_eq!(pieces(captain.memo.read(store)), written(8));
}

proptest! {
    #![proptest_config(cases(64, 2_000))]

    #[test]
    fn nobody_loses_a_first_edit_to_another(
        starts in vec((1..1_u16 << 9, any::<bool>()), 2..9),
        pulls in vec((0..8_usize, 0..8_usize), 0..30),
    ) {
        let count = starts.len();
        let mut replicas: Vec<Replica> = (0..count).map(Replica::new).collect();
        for (number, (kinds, split)) in starts.iter().enumerate() {
            start(&mut replicas[number], number, *kinds, *split);
        }
        for (from, to) in pulls {
            pull(&mut replicas, from % count, to % count);
        }
        agree(&mut replicas);
        let kinds: Vec<u16> = starts.iter().map(|(kinds, _)| *kinds).collect();
        for replica in &replicas {
            check(replica, &kinds);
        }
    }

    /// The same within an element that one of them made before.
    #[test]
    fn nobody_loses_a_first_edit_within_an_element(count in 2..9_usize, split in any::<bool>()) {
        let mut replicas: Vec<Replica> = (0..count).map(Replica::new).collect();
        let root = replicas[0].root().clone();
        let figure = root.players.add(&mut replicas[0].store, Figure::default()).unwrap();
        for to in 1..count {
            pull(&mut replicas, 0, to);
        }
        for (number, replica) in replicas.iter_mut().enumerate() {
            let read = replica.store.get(&figure).unwrap().clone();
            let store = &mut replica.store;
            store.update(&figure, |figure| figure.hits += 1).unwrap();
            if split {
                store.flush();
            }
            drop(read.items.add(store, Thing::default()).unwrap());
            read.memo.insert(store, 0, &format!("<{number}>")).unwrap();
        }
        agree(&mut replicas);
        for replica in &replicas {
            let read = replica.store.get(&figure).unwrap();
            prop_assert_eq!(read.hits.get(), i64::try_from(count).unwrap());
            prop_assert_eq!(read.items.len(&replica.store), count);
            prop_assert_eq!(pieces(read.memo.read(&replica.store)).len(), count);
        }
    }
}
