//! Two versions of an application in one room.

use parlor::Model;
use parlor::proto::model::handle::{RealtimeSet, Text};
use parlor::proto::model::property::Counter;
use proptest::prelude::*;

use crate::replica::{Replica, agree, cases};

#[derive(Clone, Debug, Default, Model)]
#[model(name = "Board")]
struct OldBoard {
    #[property(1)]
    title: String,
    #[property(2)]
    cards: RealtimeSet<OldCard>,
}

#[derive(Clone, Debug, Default, Model)]
#[model(name = "Card")]
struct OldCard {
    #[property(1)]
    label: String,
}

#[derive(Clone, Debug, Default, Model)]
#[model(name = "Board")]
struct NewBoard {
    #[property(1)]
    title: String,
    #[property(2)]
    cards: RealtimeSet<NewCard>,
    #[property(3)]
    colour: u32,
    #[property(4)]
    archive: RealtimeSet<NewCard>,
    #[property(5)]
    visits: Counter,
    #[property(6)]
    notes: Text,
}

#[derive(Clone, Debug, Default, Model)]
#[model(name = "Card")]
struct NewCard {
    #[property(1)]
    label: String,
    #[property(2)]
    due: Option<u64>,
    #[property(3)]
    votes: Counter,
    #[property(4)]
    parts: RealtimeSet<OldCard>,
    #[property(5)]
    about: Text,
}

fn old(replica: &Replica) -> OldBoard {
    replica.store.root::<OldBoard>().unwrap().clone()
}

fn new(replica: &Replica) -> NewBoard {
    replica.store.root::<NewBoard>().unwrap().clone()
}

/// One who has an older version, and two who have a newer; the older made a card that all have.
fn room() -> Vec<Replica> {
    let mut replicas = vec![
        Replica::of(0, OldBoard::shape()),
        Replica::of(1, NewBoard::shape()),
        Replica::of(2, NewBoard::shape()),
    ];
    let cards = old(&replicas[0]).cards;
    drop(cards.add(&mut replicas[0].store, OldCard { label: "first".to_owned() }).unwrap());
    exchange(&mut replicas);
    replicas
}

/// Lets everybody have everything. Those of different versions have equal documents, and show what
/// they know of them.
fn exchange(replicas: &mut [Replica]) {
    let (first, newer) = replicas.split_first_mut().unwrap();
    for replica in &mut *newer {
        first.pull(replica);
    }
    for replica in &mut *newer {
        replica.pull(first);
        replica.check();
        assert_eq!(replica.store.state_hash(), first.store.state_hash());
    }
    first.check();
    agree(newer);
}

#[test]
fn what_an_older_version_does_not_know_survives_what_it_writes() {
    let mut replicas = room();
    let (card, _) = new(&replicas[1]).cards.iter(&replicas[1].store).next().unwrap();
    let store = &mut replicas[1].store;
    let edit = |board: &mut NewBoard| {
        board.colour = 9;
        board.visits += 3;
    };
    store.update_root(edit).unwrap();
    let edit = |card: &mut NewCard| {
        card.due = Some(7);
        card.votes += 2;
    };
    store.update(&card, edit).unwrap();
    let about = store.get(&card).unwrap().about.clone();
    about.insert(store, 0, "about it").unwrap();
    exchange(&mut replicas);

    let (card, _) = old(&replicas[0]).cards.iter(&replicas[0].store).next().unwrap();
    let store = &mut replicas[0].store;
    store.update_root(|board: &mut OldBoard| board.title = "old".to_owned()).unwrap();
    store.update(&card, |card| card.label = "changed".to_owned()).unwrap();
    exchange(&mut replicas);

    for replica in &replicas[1..] {
        let (board, store) = (new(replica), &replica.store);
        let (_, card) = board.cards.iter(store).next().unwrap();
        assert_eq!((board.title.as_str(), board.colour, board.visits.get()), ("old", 9, 3));
        assert_eq!((card.label.as_str(), card.due, card.votes.get()), ("changed", Some(7), 2));
        assert_eq!(card.about.read(store), "about it");
    }
}

proptest! {
    #![proptest_config(cases(64, 1_000))]

    /// What is new in a version is made by whoever needs it first, also within what an older one
    /// made, and by several at once.
    #[test]
    fn two_of_a_newer_version_start_what_is_new_at_once(
        older_writes in any::<bool>(),
        split in any::<bool>(),
        first in 1..3_usize,
    ) {
        let mut replicas = room();
        for number in [first, 3 - first] {
            let board = new(&replicas[number]);
            let (card, read) = board.cards.iter(&replicas[number].store).next().unwrap();
            let read = read.clone();
            let store = &mut replicas[number].store;
            drop(board.archive.add(store, NewCard::default()).unwrap());
            store.update_root(|board: &mut NewBoard| board.visits += 1).unwrap();
            board.notes.insert(store, 0, "n").unwrap();
            if split {
                store.flush();
            }
            store.update(&card, |card| card.votes += 1).unwrap();
            drop(read.parts.add(store, OldCard::default()).unwrap());
            read.about.insert(store, 0, "a").unwrap();
        }
        if older_writes {
            let (card, _) = old(&replicas[0]).cards.iter(&replicas[0].store).next().unwrap();
            let write = |card: &mut OldCard| card.label = "older".to_owned();
            replicas[0].store.update(&card, write).unwrap();
        }
        exchange(&mut replicas);
        for replica in &replicas[1..] {
            let (board, store) = (new(replica), &replica.store);
            let (_, card) = board.cards.iter(store).next().unwrap();
            prop_assert_eq!((board.archive.len(store), board.visits.get()), (2, 2));
            prop_assert_eq!((card.parts.len(store), card.votes.get()), (2, 2));
            prop_assert_eq!((board.notes.read(store), card.about.read(store)), ("nn", "aa"));
            let label = if older_writes { "older" } else { "first" };
            prop_assert_eq!(card.label.as_str(), label);
        }
    }
}
