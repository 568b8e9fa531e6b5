//! C7: sets, lists and texts against a reference set in which an element is seen until a removal
//! that saw it, and C8 for edits of elements that somebody else removed.

use std::collections::{BTreeMap, BTreeSet};

use parlor::proto::datastore::Datastore;
use parlor::proto::model::handle::{Handle, ModelRef, Presence};
use parlor::sim::playground::{Figure, Playground};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use crate::replica::{Replica, agree, cases, pull, replicas};

/// How many replicas there are.
const REPLICAS: usize = 3;

/// Who has seen what.
#[derive(Clone, Debug, Default)]
struct Seen {
    added: BTreeSet<u32>,
    removed: BTreeSet<u32>,
}

impl Seen {
    fn present(&self) -> BTreeSet<u32> {
        self.added.difference(&self.removed).copied().collect()
    }
}

/// The reference: sets of elements by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reference {
    seen: [Seen; REPLICAS],
    count: u32,
}

/// What happens.
#[derive(Clone, Debug)]
pub(crate) enum Transition {
    /// A new element, in a place where there are places.
    Add { at: usize, element: u32, place: usize },
    /// An element that was seen goes; it may be gone already.
    Remove { at: usize, element: u32 },
    /// An element that was seen is edited; it may be gone already.
    Edit { at: usize, element: u32, by: u8 },
    /// An element that is there goes elsewhere.
    Move { at: usize, element: u32, place: usize },
    /// The frame ends.
    Flush { at: usize },
    /// One learns all that another knows.
    Sync { from: usize, to: usize },
}

impl ReferenceStateMachine for Reference {
    type State = Self;
    type Transition = Transition;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Transition> {
        let (at, element) = (0..REPLICAS, state.count);
        let add = (at.clone(), any::<usize>());
        let add = add.prop_map(move |(at, place)| Transition::Add { at, element, place });
        let known = 0..state.count.max(1);
        prop_oneof![
            4 => add,
            3 => (at.clone(), known.clone())
                .prop_map(|(at, element)| Transition::Remove { at, element }),
            2 => (at.clone(), known.clone(), any::<u8>())
                .prop_map(|(at, element, by)| Transition::Edit { at, element, by }),
            2 => (at.clone(), known, any::<usize>())
                .prop_map(|(at, element, place)| Transition::Move { at, element, place }),
            2 => at.clone().prop_map(|at| Transition::Flush { at }),
            3 => (at.clone(), at).prop_map(|(from, to)| Transition::Sync { from, to }),
        ]
        .boxed()
    }

    fn preconditions(state: &Self, transition: &Transition) -> bool {
        let seen = |at: usize, element| state.seen[at].added.contains(element);
        match transition {
            Transition::Add { element, .. } => *element == state.count,
            Transition::Remove { at, element } | Transition::Edit { at, element, .. } => {
                seen(*at, element)
            }
            Transition::Move { at, element, .. } => state.seen[*at].present().contains(element),
            Transition::Flush { .. } => true,
            Transition::Sync { from, to } => from != to,
        }
    }

    fn apply(mut state: Self, transition: &Transition) -> Self {
        match *transition {
            Transition::Add { at, element, .. } => {
                state.seen[at].added.insert(element);
                state.count += 1;
            }
            Transition::Remove { at, element } => {
                state.seen[at].removed.insert(element);
            }
            Transition::Sync { from, to } => {
                let Seen { added, removed } = state.seen[from].clone();
                state.seen[to].added.extend(added);
                state.seen[to].removed.extend(removed);
            }
            Transition::Edit { .. } | Transition::Move { .. } | Transition::Flush { .. } => {}
        }
        state
    }
}

/// What has elements.
pub(crate) trait Kind {
    /// The elements, by number, in their order.
    fn elements(store: &Datastore) -> Vec<u32>;
    /// Adds one. Texts have no handles.
    fn add(store: &mut Datastore, element: u32, place: usize) -> Option<ModelRef<Figure>>;
    /// Removes one, and then again.
    fn remove(store: &mut Datastore, element: u32, handle: Option<&ModelRef<Figure>>);
    /// Moves one, where that is possible.
    fn shift(store: &mut Datastore, handle: Option<&ModelRef<Figure>>, place: usize);
    /// Whether two elements stay in the order in which they were first seen.
    const FIXED: bool;
}

fn root(store: &Datastore) -> Playground {
    store.root::<Playground>().unwrap().clone()
}

fn figure(element: u32) -> Figure {
    Figure { level: Some(element), ..Figure::default() }
}

fn number(figure: &Figure) -> u32 {
    figure.level.unwrap()
}

/// Checks that a local edit did in the order what it would do in a vector.
fn checked(store: &mut Datastore, edit: impl FnOnce(&mut Datastore, &mut Vec<u32>)) {
    let mut expected = List::elements(store);
    edit(store, &mut expected);
    assert_eq!(List::elements(store), expected, "a local edit did something else");
}

#[derive(Debug)]
pub(crate) struct Set;

impl Kind for Set {
    fn elements(store: &Datastore) -> Vec<u32> {
        let mut elements: Vec<u32> =
            root(store).players.iter(store).map(|(_, figure)| number(figure)).collect();
        elements.sort_unstable();
        elements
    }

    fn add(store: &mut Datastore, element: u32, _: usize) -> Option<ModelRef<Figure>> {
        Some(root(store).players.add(store, figure(element)).unwrap())
    }

    fn remove(store: &mut Datastore, _: u32, handle: Option<&ModelRef<Figure>>) {
        let players = root(store).players;
        let there = store.get(handle.unwrap()).is_some();
        assert_eq!(players.remove(store, handle.unwrap()).unwrap(), there);
        assert!(!players.remove(store, handle.unwrap()).unwrap());
    }

    fn shift(_: &mut Datastore, _: Option<&ModelRef<Figure>>, _: usize) {}

    const FIXED: bool = false;
}

#[derive(Debug)]
pub(crate) struct List;

impl Kind for List {
    fn elements(store: &Datastore) -> Vec<u32> {
        root(store).queue.iter(store).map(|(_, figure)| number(figure)).collect()
    }

    fn add(store: &mut Datastore, element: u32, place: usize) -> Option<ModelRef<Figure>> {
        let mut added = None;
        checked(store, |store, expected| {
            let place = place % (expected.len() + 1);
            expected.insert(place, element);
            added = Some(root(store).queue.insert(store, place, figure(element)).unwrap());
        });
        added
    }

    fn remove(store: &mut Datastore, element: u32, handle: Option<&ModelRef<Figure>>) {
        checked(store, |store, expected| {
            let there = expected.contains(&element);
            expected.retain(|other| *other != element);
            let queue = root(store).queue;
            assert_eq!(queue.remove(store, handle.unwrap()).unwrap(), there);
            assert!(!queue.remove(store, handle.unwrap()).unwrap());
        });
    }

    fn shift(store: &mut Datastore, handle: Option<&ModelRef<Figure>>, place: usize) {
        checked(store, |store, expected| {
            let handle = handle.unwrap();
            let element = number(store.get(handle).unwrap());
            let place = place % expected.len();
            expected.retain(|other| *other != element);
            expected.insert(place, element);
            root(store).queue.move_to(store, handle, place).unwrap();
        });
    }

    const FIXED: bool = false;
}

/// Elements are characters, of as many bytes as there may be.
#[derive(Debug)]
pub(crate) struct Letters;

impl Letters {
    fn letter(element: u32) -> char {
        let plane = [0x100, 0x1_F300, 0x4E00][element as usize % 3];
        char::from_u32(plane + element).unwrap()
    }

    fn element(letter: char) -> u32 {
        let letter = u32::from(letter);
        [0x1_F300, 0x4E00, 0x100].iter().find_map(|plane| letter.checked_sub(*plane)).unwrap()
    }
}

impl Kind for Letters {
    fn elements(store: &Datastore) -> Vec<u32> {
        root(store).notes.read(store).chars().map(Self::element).collect()
    }

    fn add(store: &mut Datastore, element: u32, place: usize) -> Option<ModelRef<Figure>> {
        let place = place % (Self::elements(store).len() + 1);
        let letter = Self::letter(element).to_string();
        root(store).notes.insert(store, place, &letter).unwrap();
        assert_eq!(Self::elements(store)[place], element);
        None
    }

    fn remove(store: &mut Datastore, element: u32, _: Option<&ModelRef<Figure>>) {
        if let Some(place) = Self::elements(store).iter().position(|other| *other == element) {
            root(store).notes.delete(store, place, 1).unwrap();
        }
    }

    fn shift(_: &mut Datastore, _: Option<&ModelRef<Figure>>, _: usize) {}

    const FIXED: bool = true;
}

/// Replicas, and their elements by number.
#[derive(Debug)]
pub(crate) struct Subject<K> {
    replicas: Vec<Replica>,
    handles: BTreeMap<u32, ModelRef<Figure>>,
    /// Elements that a frame ended with.
    written: BTreeSet<u32>,
    /// Which of two texts' letters stands before the other, wherever both were seen.
    before: BTreeSet<(u32, u32)>,
    kind: std::marker::PhantomData<K>,
}

impl<K: Kind> Subject<K> {
    fn check(&mut self, reference: &Reference) {
        for (replica, seen) in self.replicas.iter_mut().zip(&reference.seen) {
            let elements = K::elements(&replica.store);
            let unique: BTreeSet<u32> = elements.iter().copied().collect();
            assert_eq!(unique.len(), elements.len(), "an element is there twice: {elements:?}");
            assert_eq!(unique, seen.present());
            replica.follow();
            for (element, handle) in &self.handles {
                let presence = replica.store.presence(handle);
                assert_eq!(presence == Presence::Present, unique.contains(element));
                if seen.removed.contains(element) && !replica.store.is_pending() {
                    // What came and went in one frame was never in the room.
                    assert!(presence == Presence::Gone || !self.written.contains(element));
                    let path = handle.path().unwrap();
                    let mut nodes = replica.store.mirror().nodes();
                    assert!(!nodes.any(|(at, _)| path.contains(at)), "something is left of it");
                }
            }
            if K::FIXED {
                Self::check_order(&mut self.before, &elements);
            }
        }
    }

    fn check_order(before: &mut BTreeSet<(u32, u32)>, elements: &[u32]) {
        for (place, &one) in elements.iter().enumerate() {
            for &other in &elements[place + 1..] {
                assert!(!before.contains(&(other, one)), "letters changed places");
                before.insert((one, other));
            }
        }
    }
}

impl<K: Kind> StateMachineTest for Subject<K> {
    type SystemUnderTest = Self;
    type Reference = Reference;

    fn init_test(_: &Reference) -> Self {
        let kind = std::marker::PhantomData;
        let (written, before) = (BTreeSet::new(), BTreeSet::new());
        Self { replicas: replicas(REPLICAS), handles: BTreeMap::new(), written, before, kind }
    }

    fn apply(mut state: Self, reference: &Reference, transition: Transition) -> Self {
        let Self { replicas, handles, written, .. } = &mut state;
        if let Transition::Flush { at } | Transition::Sync { from: at, .. } = transition {
            written.extend(K::elements(&replicas[at].store));
        }
        match transition {
            Transition::Add { at, element, place } => {
                handles
                    .extend(K::add(&mut replicas[at].store, element, place).map(|h| (element, h)));
            }
            Transition::Remove { at, element } => {
                K::remove(&mut replicas[at].store, element, handles.get(&element));
            }
            Transition::Edit { at, element, by } => {
                if let Some(handle) = handles.get(&element) {
                    touch(&mut replicas[at].store, handle, by);
                }
            }
            Transition::Move { at, element, place } => {
                K::shift(&mut replicas[at].store, handles.get(&element), place);
            }
            Transition::Flush { at } => replicas[at].flush(),
            Transition::Sync { from, to } => pull(replicas, from, to),
        }
        state.check(reference);
        state
    }

    fn teardown(mut state: Self, reference: Reference) {
        agree(&mut state.replicas);
        let seen = reference.seen.iter();
        let removed: BTreeSet<u32> = seen.flat_map(|seen| seen.removed.clone()).collect();
        let expected: Vec<u32> =
            (0..reference.count).filter(|element| !removed.contains(element)).collect();
        let orders: Vec<_> =
            state.replicas.iter().map(|replica| K::elements(&replica.store)).collect();
        assert!(orders.iter().all(|order| *order == orders[0]));
        let mut elements = orders[0].clone();
        elements.sort_unstable();
        assert_eq!(elements, expected);
    }
}

/// Edits an element in one of the ways that there are, or learns that it is gone.
fn touch(store: &mut Datastore, handle: &ModelRef<Figure>, by: u8) {
    let Some(figure) = store.get(handle).cloned() else {
        assert!(store.update(handle, |figure| figure.name.push('x')).is_err());
        return;
    };
    match by % 4 {
        0 => store.update(handle, |figure| figure.name = format!("n{by}")).unwrap(),
        1 => store.update(handle, |figure| figure.hits += i64::from(by)).unwrap(),
        2 => drop(figure.items.add(store, Default::default()).unwrap()),
        _ => figure.memo.insert(store, 0, "memo").unwrap(),
    }
}

prop_state_machine! {
    #![proptest_config(cases(96, 10_000))]

    #[test]
    fn a_set_keeps_what_nobody_removed(sequential 1..60 => Subject<Set>);

    #[test]
    fn a_list_keeps_what_nobody_removed_once_and_in_one_order(sequential 1..60 => Subject<List>);

    #[test]
    fn a_text_keeps_what_nobody_removed_in_one_order(sequential 1..60 => Subject<Letters>);
}
