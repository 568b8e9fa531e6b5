//! Replicas whose delivery is the test's own, and what they are fed with.

use std::env;

use parlor::Model;
use parlor::proto::authorship::Scope;
use parlor::proto::config::Limits;
use parlor::proto::datastore::Datastore;
use parlor::proto::id::{AppKey, DocumentId, Identity, RoomName};
use parlor::proto::model::Shape;
use parlor::proto::wire::message::{EntryRecord, Introduction};
use parlor::sim::action::Edit;
use parlor::sim::follower::Follower;
use parlor::sim::playground::Playground;
use proptest::prelude::*;

/// How many cases a property gets, by default and with `PARLOR_FULL`.
pub(crate) fn cases(small: u32, large: u32) -> ProptestConfig {
    let cases = if env::var_os("PARLOR_FULL").is_some() { large } else { small };
    // Some properties draw many cases for each that they take.
    let max_local_rejects = u32::MAX;
    ProptestConfig {
        cases,
        max_local_rejects,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// What every identifier of the tests' room is derived from.
pub(crate) fn scope() -> Scope {
    Scope::first(AppKey::new("convergence").unwrap().app(), RoomName::new("convergence").unwrap())
}

/// A datastore, and a view that is built from its events alone.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) store: Datastore,
    follower: Follower,
}

impl Replica {
    /// An empty room with one of everything, written to by the `number`th author.
    pub(crate) fn new(number: usize) -> Self {
        Self::of(number, Playground::shape())
    }

    /// An empty room whose root is of a `shape`.
    pub(crate) fn of(number: usize, shape: Shape) -> Self {
        let identity = Identity::from_seed([u8::try_from(number).unwrap(); 32]);
        let author = Introduction { peer: identity.peer(), incarnation: 1 };
        let store = Datastore::new(&scope(), author, shape, Limits::default(), 65_536);
        Self { store, follower: Follower::default() }
    }

    /// The root, which is a [`Playground`].
    pub(crate) fn root(&self) -> &Playground {
        self.store.root().unwrap()
    }

    /// Makes an edit, if it can be made. Returns whether it was.
    pub(crate) fn edit(&mut self, edit: Edit) -> bool {
        let made = edit.apply(&mut self.store).is_ok();
        self.follow();
        made
    }

    /// Ends the frame.
    pub(crate) fn flush(&mut self) {
        self.store.flush();
        self.follow();
    }

    /// Takes in what others wrote. Returns how much of it was news.
    pub(crate) fn receive(&mut self, document: DocumentId, entries: &[EntryRecord]) -> usize {
        let places = self.store.receive(document, entries).unwrap();
        self.follow();
        places.len()
    }

    /// Everything that `other` has and this has not, as after an absence; the frame of both ends.
    pub(crate) fn pull(&mut self, other: &mut Self) {
        other.flush();
        self.pull_written(other);
        self.flush();
    }

    /// Everything that `other` has written and this has not, while this has a frame open.
    pub(crate) fn pull_written(&mut self, other: &Self) {
        for document in DocumentId::ALL {
            let heads: Vec<_> = self.store.log(document).heads().collect();
            let log = other.store.log(document);
            let entries: Vec<EntryRecord> =
                log.missing(&heads).into_iter().map(|index| log.record(index).unwrap()).collect();
            self.receive(document, &entries);
        }
    }

    /// How many events came since the last time, which the follower has learnt from.
    pub(crate) fn follow(&mut self) -> usize {
        let mut count = 0;
        while let Some(event) = self.store.poll_event() {
            self.follower.follow(&event, &self.store);
            count += 1;
        }
        count
    }

    /// What must hold of one replica between frames: the mirror is what the documents make, and the
    /// events told of everything in it.
    pub(crate) fn check(&self) {
        let rebuilt = self.store.mirror().difference(&self.store.rebuilt());
        assert_eq!(rebuilt, None, "mirror and table differ");
        assert_eq!(self.follower.difference(&self.store), None, "an event is missing");
    }

    /// What must hold of two that have the same changes.
    pub(crate) fn check_same(&self, other: &Self) {
        assert_eq!(self.store.mirror().difference(other.store.mirror()), None, "mirrors differ");
        assert_eq!(self.store.state_hash(), other.store.state_hash(), "state hashes differ");
        assert_eq!(self.store.difference(), None, "table and document differ");
        for document in DocumentId::ALL {
            let digest = |replica: &Self| replica.store.log(document).digest();
            assert_eq!(digest(self), digest(other), "digests of {document:?} differ");
        }
    }
}

/// Empty replicas of a playground.
pub(crate) fn replicas(count: usize) -> Vec<Replica> {
    (0..count).map(Replica::new).collect()
}

/// One of several pulls from another.
pub(crate) fn pull(replicas: &mut [Replica], from: usize, to: usize) {
    if let Ok([from, to]) = replicas.get_disjoint_mut([from, to]) {
        to.pull(from);
    }
}

/// Lets everybody have everything, and checks that everybody then has the same.
pub(crate) fn agree(replicas: &mut [Replica]) {
    let (first, others) = replicas.split_first_mut().unwrap();
    for other in &mut *others {
        first.pull(other);
    }
    for other in others {
        other.pull(first);
        other.check_same(first);
        other.check();
    }
    first.check();
}

/// Something that happens among replicas.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// One of them edits.
    Edit(usize, Edit),
    /// One ends its frame.
    Flush(usize),
    /// One has all that another wrote so far; that other's frame ends.
    Pull { from: usize, to: usize },
    /// The same while it has a frame open.
    PullInFrame { from: usize, to: usize },
}

impl Step {
    /// Lets it happen.
    pub(crate) fn apply(self, replicas: &mut [Replica]) {
        let count = replicas.len();
        match self {
            Self::Edit(at, edit) => {
                replicas[at % count].edit(edit);
            }
            Self::Flush(at) => replicas[at % count].flush(),
            Self::Pull { from, to } => pull(replicas, from % count, to % count),
            Self::PullInFrame { from, to } => {
                if let Ok([from, to]) = replicas.get_disjoint_mut([from % count, to % count]) {
                    from.flush();
                    to.pull_written(from);
                }
            }
        }
    }
}

/// Any edit.
pub(crate) fn edit() -> impl Strategy<Value = Edit> {
    let parts = (0..20_u8, any::<u8>(), any::<u8>());
    parts.prop_map(|(kind, a, b)| match kind {
        0 => Edit::Title(a),
        1 => Edit::Score(a.cast_signed()),
        2 => Edit::Vote(a.cast_signed()),
        3 => Edit::Remove(a),
        4 => Edit::Change(a, b),
        5 => Edit::Hit(a, b.cast_signed()),
        6 => Edit::Give(a, b),
        7 => Edit::Seat(a, b),
        8 => Edit::ChangeSeated(a, b),
        9 => Edit::Unseat(a),
        10 => Edit::Enqueue(a, b),
        11 => Edit::Move(a, b),
        12 => Edit::Dequeue(a),
        13 => Edit::Type(a, b),
        14 => Edit::Erase(a, b),
        15 => Edit::Memo(a, b),
        16 => Edit::Captain(a),
        17 => Edit::Lead(a),
        18 => Edit::SeatedMemo(a, b),
        _ => Edit::Add(a),
    })
}

/// Any step: three in five are edits.
pub(crate) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..60_usize, edit()).prop_map(|(at, edit)| Step::Edit(at, edit)),
        2 => (0..60_usize).prop_map(Step::Flush),
        1 => (0..60_usize, 0..60_usize).prop_map(|(from, to)| Step::Pull { from, to }),
        1 => (0..60_usize, 0..60_usize).prop_map(|(from, to)| Step::PullInFrame { from, to }),
    ]
}

/// Replicas to which steps happened.
pub(crate) fn played(count: usize, steps: &[Step]) -> Vec<Replica> {
    let mut replicas = replicas(count);
    for step in steps {
        step.apply(&mut replicas);
    }
    replicas.iter_mut().for_each(Replica::flush);
    replicas
}
