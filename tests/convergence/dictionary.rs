//! C7 for dictionaries and values: what is shown is what one of the last writers wrote, the same
//! everywhere; a removal takes away what it saw. Counters: what everybody added.

use std::collections::{BTreeMap, BTreeSet};

use parlor::proto::model::handle::Presence;
use parlor::sim::playground::{Figure, Playground};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use crate::replica::{Replica, agree, cases, pull, replicas};

const REPLICAS: usize = 3;

/// Where something is written: under a key, or in the root's score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Register {
    Seat(u8),
    Score,
}

/// What one replica knows of each register: the writes it has seen, and those that were overwritten
/// or removed by one that had seen them.
#[derive(Clone, Debug, Default)]
struct Seen {
    written: BTreeSet<(Register, u32)>,
    over: BTreeSet<(Register, u32)>,
}

impl Seen {
    fn candidates(&self, register: Register) -> BTreeSet<u32> {
        let there = self.written.difference(&self.over);
        there.filter(|(at, _)| *at == register).map(|(_, number)| *number).collect()
    }

    fn overwrite(&mut self, register: Register) {
        let seen = self.candidates(register);
        self.over.extend(seen.into_iter().map(|number| (register, number)));
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Reference {
    seen: [Seen; REPLICAS],
    count: u32,
}

#[derive(Clone, Debug)]
pub(crate) enum Transition {
    Write { at: usize, register: Register, number: u32 },
    Remove { at: usize, key: u8 },
    Touch { at: usize, key: u8 },
    Sync { from: usize, to: usize },
}

impl ReferenceStateMachine for Reference {
    type State = Self;
    type Transition = Transition;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Transition> {
        let (at, number) = (0..REPLICAS, state.count + 1);
        let register = prop_oneof![Just(Register::Score), (0..3_u8).prop_map(Register::Seat)];
        prop_oneof![
            4 => (at.clone(), register)
                .prop_map(move |(at, register)| Transition::Write { at, register, number }),
            2 => (at.clone(), 0..3_u8).prop_map(|(at, key)| Transition::Remove { at, key }),
            1 => (at.clone(), 0..3_u8).prop_map(|(at, key)| Transition::Touch { at, key }),
            4 => (at.clone(), at).prop_map(|(from, to)| Transition::Sync { from, to }),
        ]
        .boxed()
    }

    fn preconditions(state: &Self, transition: &Transition) -> bool {
        match *transition {
            Transition::Write { number, .. } => number == state.count + 1,
            Transition::Sync { from, to } => from != to,
            Transition::Remove { .. } | Transition::Touch { .. } => true,
        }
    }

    fn apply(mut state: Self, transition: &Transition) -> Self {
        match *transition {
            Transition::Write { at, register, number } => {
                state.seen[at].overwrite(register);
                state.seen[at].written.insert((register, number));
                state.count = number;
            }
            Transition::Remove { at, key } => state.seen[at].overwrite(Register::Seat(key)),
            Transition::Sync { from, to } => {
                let Seen { written, over } = state.seen[from].clone();
                state.seen[to].written.extend(written);
                state.seen[to].over.extend(over);
            }
            Transition::Touch { .. } => {}
        }
        state
    }
}

#[derive(Debug)]
pub(crate) struct Subject(Vec<Replica>);

fn seat(key: u8) -> String {
    format!("seat {key}/%")
}

/// What stands in a register, if anything was written there.
fn shown(replica: &Replica, register: Register) -> Option<u32> {
    let (store, root) = (&replica.store, replica.root());
    match register {
        Register::Score => u32::try_from(root.score).ok().filter(|score| *score > 0),
        Register::Seat(key) => {
            let figure = root.seats.get(store, &seat(key))?;
            assert_eq!(store.presence(&figure), Presence::Present);
            store.get(&figure)?.level
        }
    }
}

impl StateMachineTest for Subject {
    type SystemUnderTest = Self;
    type Reference = Reference;

    fn init_test(_: &Reference) -> Self {
        Self(replicas(REPLICAS))
    }

    fn apply(mut state: Self, reference: &Reference, transition: Transition) -> Self {
        match transition {
            Transition::Write { at, register, number } => {
                let (root, replica) = (state.0[at].root().clone(), &mut state.0[at]);
                let store = &mut replica.store;
                match register {
                    Register::Score => store
                        .update_root(|root: &mut Playground| {
                            root.score = number.into();
                        })
                        .unwrap(),
                    Register::Seat(key) => {
                        let figure = Figure { level: Some(number), ..Figure::default() };
                        drop(root.seats.insert(store, &seat(key), figure).unwrap());
                    }
                }
                replica.flush();
            }
            Transition::Remove { at, key } => {
                let (root, replica) = (state.0[at].root().clone(), &mut state.0[at]);
                let there = root.seats.get(&replica.store, &seat(key)).is_some();
                assert_eq!(root.seats.remove(&mut replica.store, &seat(key)).unwrap(), there);
                assert!(!root.seats.remove(&mut replica.store, &seat(key)).unwrap());
                replica.flush();
            }
            Transition::Touch { at, key } => {
                let (root, replica) = (state.0[at].root().clone(), &mut state.0[at]);
                if let Some(figure) = root.seats.get(&replica.store, &seat(key)) {
                    replica.store.update(&figure, |figure| figure.hits += 1).unwrap();
                }
                replica.flush();
            }
            Transition::Sync { from, to } => pull(&mut state.0, from, to),
        }
        for (replica, seen) in state.0.iter().zip(&reference.seen) {
            for register in
                [Register::Seat(0), Register::Seat(1), Register::Seat(2), Register::Score]
            {
                let (candidates, shown) = (seen.candidates(register), shown(replica, register));
                assert_eq!(shown.is_none(), candidates.is_empty(), "{register:?}: {candidates:?}");
                assert!(shown.is_none_or(|shown| candidates.contains(&shown)), "{register:?}");
            }
        }
        state
    }

    fn teardown(mut state: Self, _: Reference) {
        agree(&mut state.0);
    }
}

prop_state_machine! {
    #![proptest_config(cases(96, 10_000))]

    #[test]
    fn a_register_shows_what_one_of_its_last_writers_wrote(sequential 1..60 => Subject);
}

proptest! {
    #![proptest_config(cases(96, 10_000))]

    #[test]
    fn a_counter_is_the_sum_of_what_everybody_added(
        steps in vec((0..3_usize, 0..3_usize, any::<i32>(), any::<bool>()), 1..60),
    ) {
        let mut replicas = replicas(3);
        // Beside the root's, one within an element of a set.
        let root = replicas[0].root().clone();
        let figure = root.players.add(&mut replicas[0].store, Figure::default()).unwrap();
        pull(&mut replicas, 0, 1);
        pull(&mut replicas, 0, 2);
        let mut sums = BTreeMap::new();
        for (at, other, by, within) in steps {
            if at != other {
                pull(&mut replicas, other, at);
                continue;
            }
            *sums.entry(within).or_insert(0) += i64::from(by);
            let store = &mut replicas[at].store;
            if within {
                store.update(&figure, |figure| figure.hits += i64::from(by)).unwrap();
            } else {
                let vote = |root: &mut Playground| root.votes += i64::from(by);
                store.update_root(vote).unwrap();
            }
        }
        agree(&mut replicas);
        for replica in &replicas {
            let hits = replica.store.get(&figure).unwrap().hits.get();
            prop_assert_eq!(replica.root().votes.get(), sums.get(&false).copied().unwrap_or(0));
            prop_assert_eq!(hits, sums.get(&true).copied().unwrap_or(0));
        }
    }
}
