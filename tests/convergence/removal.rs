//! C8: an edit within an element concurrent with its removal. The removal wins, and nothing of the
//! element or below it is left or comes back.

use parlor::proto::datastore::{Datastore, EditError};
use parlor::proto::model::handle::{Handle, ModelRef, Presence};
use parlor::sim::playground::{Figure, Thing};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::replica::{Replica, agree, cases, pull, replicas};

/// Where the element is.
#[derive(Clone, Copy, Debug)]
enum Home {
    Set,
    Dictionary,
    List,
}

impl Home {
    fn add(self, replica: &mut Replica) -> ModelRef<Figure> {
        let (root, store) = (replica.root().clone(), &mut replica.store);
        match self {
            Self::Set => root.players.add(store, Figure::default()),
            Self::Dictionary => root.seats.insert(store, &"a/b".to_owned(), Figure::default()),
            Self::List => root.queue.push(store, Figure::default()),
        }
        .unwrap()
    }
}

/// What is done within it.
#[derive(Clone, Copy, Debug)]
enum Within {
    Value(u8),
    Counter(i8),
    Item(u8),
    Text(u8),
    Place(u8),
}

impl Within {
    fn is_no_text(&self) -> bool {
        !matches!(self, Self::Text(_))
    }

    fn apply(self, replica: &mut Replica, figure: &ModelRef<Figure>) -> Result<(), EditError> {
        let (root, store) = (replica.root().clone(), &mut replica.store);
        let Some(read) = store.get(figure).cloned() else {
            return store.update(figure, |_| ());
        };
        match self {
            Self::Value(n) => store.update(figure, |figure| figure.name = format!("n{n}")),
            Self::Counter(n) => store.update(figure, |figure| figure.hits += i64::from(n)),
            Self::Item(n) => read.items.add(store, Thing { count: n.into() }).map(drop),
            Self::Text(n) => read.memo.insert(store, 0, &format!("m{n}")),
            Self::Place(n) if !root.queue.is_empty(store) => {
                let to = usize::from(n) % root.queue.len(store);
                // Not for those that are elsewhere.
                root.queue.move_to(store, figure, to).or(Ok(()))
            }
            Self::Place(_) => Ok(()),
        }
    }
}

fn within() -> impl Strategy<Value = Within> {
    prop_oneof![
        any::<u8>().prop_map(Within::Value),
        any::<i8>().prop_map(Within::Counter),
        any::<u8>().prop_map(Within::Item),
        any::<u8>().prop_map(Within::Text),
        any::<u8>().prop_map(Within::Place),
    ]
}

fn home() -> impl Strategy<Value = Home> {
    prop_oneof![Just(Home::Set), Just(Home::Dictionary), Just(Home::List)]
}

/// Nothing of a figure is left, and nobody can edit it.
fn check_gone(store: &mut Datastore, home: Home, figure: &ModelRef<Figure>) {
    let path = figure.path().unwrap();
    let left = store.mirror().nodes().find(|(at, _)| path.contains(at));
    assert!(left.is_none(), "left: {left:?}");
    let presence = match home {
        // Another may come under the same key.
        Home::Dictionary => Presence::Missing,
        Home::Set | Home::List => Presence::Gone,
    };
    assert_eq!(store.presence(figure), presence);
    let absent = Err(EditError::Absent { path: path.clone() });
    assert_eq!(store.update(figure, |figure| figure.name.push('x')), absent);
    assert!(!store.remove(figure).unwrap());
}

proptest! {
    #![proptest_config(cases(128, 10_000))]

    #[test]
    fn a_removal_wins_over_edits_within(
        home in home(),
        common in vec(within(), 0..4),
        edits in vec((within(), any::<bool>()), 1..8),
        orders in vec((0..3_usize, 0..3_usize), 0..8),
        late in vec(within(), 0..3),
        ends_frame in any::<bool>(),
    ) {
        let mut replicas = replicas(3);
        // A neighbour that stays, so that places exist.
        let neighbour = home.add(&mut replicas[0]);
        let figure = match home {
            Home::Dictionary => neighbour.clone(),
            Home::Set | Home::List => home.add(&mut replicas[0]),
        };
        for edit in common {
            edit.apply(&mut replicas[0], &figure).unwrap();
        }
        pull(&mut replicas, 0, 1);
        pull(&mut replicas, 0, 2);

        for (edit, ends_frame) in edits {
            edit.apply(&mut replicas[1], &figure).unwrap();
            if ends_frame {
                replicas[1].flush();
            }
        }
        prop_assert!(replicas[0].store.remove(&figure).unwrap());
        if ends_frame {
            replicas[1].flush();
        }
        replicas[0].flush();
        // One who has both goes on; one who has not heard of it edits still.
        for (from, to) in orders {
            pull(&mut replicas, from, to);
        }
        for edit in late {
            let there = replicas[2].store.get(&figure).is_some();
            prop_assert_eq!(edit.apply(&mut replicas[2], &figure).is_ok(), there);
        }
        agree(&mut replicas);
        for replica in &mut replicas {
            check_gone(&mut replica.store, home, &figure);
        }
        if !matches!(home, Home::Dictionary) {
            prop_assert!(replicas.iter().all(|replica| replica.store.get(&neighbour).is_some()));
        }
    }

    #[test]
    fn a_new_entry_of_a_dictionary_has_nothing_of_the_one_before(
        before in vec(within(), 1..6),
        // Texts are by path: what is typed at the same time into the one before stays.
        concurrent in vec(within().prop_filter("no text", Within::is_no_text), 0..6),
        removes in any::<bool>(),
    ) {
        let mut replicas = replicas(2);
        let figure = Home::Dictionary.add(&mut replicas[0]);
        for edit in before {
            edit.apply(&mut replicas[0], &figure).unwrap();
        }
        pull(&mut replicas, 0, 1);
        for edit in concurrent {
            edit.apply(&mut replicas[1], &figure).unwrap();
        }
        replicas[1].flush();
        if removes {
            prop_assert!(replicas[0].store.remove(&figure).unwrap());
            replicas[0].flush();
        }
        let again = Home::Dictionary.add(&mut replicas[0]);
        prop_assert_eq!(&again, &figure);
        let blank = |replica: &Replica| {
            let read = replica.store.get(&figure).unwrap();
            let memo = read.memo.read(&replica.store).to_owned();
            (read.name.clone(), read.hits.get(), read.items.len(&replica.store), memo)
        };
        prop_assert_eq!(blank(&replicas[0]), (String::new(), 0, 0, String::new()));
        agree(&mut replicas);
        for replica in &replicas {
            prop_assert_eq!(blank(replica), (String::new(), 0, 0, String::new()));
        }
    }
}
