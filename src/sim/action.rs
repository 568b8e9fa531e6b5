//! The one vocabulary of what can happen: property tests generate it, fuzzers decode it, seeds
//! expand to it.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use rand_chacha::ChaCha12Rng;
use rand_core::Rng;

use super::World;
use super::playground::{Figure, Mood, Playground, Thing};
use crate::proto::datastore::{Datastore, EditError};
use crate::proto::model::handle::{ModelRef, Text};

/// Something that happens in a [`World`] of [`Playground`]s. Numbers are taken modulo what there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Arbitrary)]
pub enum Action {
    /// A peer edits.
    Edit(u8, Edit),
    /// A peer ends its frame.
    Flush(u8),
    /// Up to a quarter of a second passes.
    Wait(u8),
    /// A peer is cut off.
    Cut(u8),
    /// A peer's link is mended.
    Mend(u8),
    /// A peer stops.
    Sleep(u8),
    /// A peer goes on.
    Wake(u8),
    /// A peer reads nothing.
    Deafen(u8),
    /// A peer reads again.
    Hear(u8),
    /// A peer leaves.
    Leave(u8),
    /// A peer comes back.
    Connect(u8),
    /// The relay crashes.
    CrashRelay,
    /// The relay starts.
    StartRelay,
    /// The relay cuts the history of the models.
    CutHistory,
}

/// Something that an application does to a [`Playground`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Arbitrary)]
pub enum Edit {
    /// Gives the root another title.
    Title(u8),
    /// Gives the root another score.
    Score(i8),
    /// Adds to the root's counter.
    Vote(i8),
    /// Adds a figure to the set.
    Add(u8),
    /// Removes a figure of the set.
    Remove(u8),
    /// Changes a figure of the set.
    Change(u8, u8),
    /// Adds to a figure's counter.
    Hit(u8, i8),
    /// Adds a thing to a figure.
    Give(u8, u8),
    /// Puts a figure in a seat.
    Seat(u8, u8),
    /// Changes the figure in a seat.
    ChangeSeated(u8, u8),
    /// Types into the memo of the figure in a seat.
    SeatedMemo(u8, u8),
    /// Empties a seat.
    Unseat(u8),
    /// Puts a figure in the queue.
    Enqueue(u8, u8),
    /// Moves a figure in the queue.
    Move(u8, u8),
    /// Takes a figure out of the queue.
    Dequeue(u8),
    /// Types into the notes.
    Type(u8, u8),
    /// Takes a piece out of the notes.
    Erase(u8, u8),
    /// Types into a figure's memo.
    Memo(u8, u8),
    /// Changes the captain.
    Captain(u8),
    /// Points the leader at a figure.
    Lead(u8),
    /// Points somewhere.
    Point(u8),
    /// Moves a figure of the set.
    Pose(u8, u8),
    /// Moves the captain, and makes it busy.
    March(u8),
}

impl Action {
    /// An action by chance: mostly edits, and faults rarer than their mending, so that peers are
    /// together most of the time.
    pub fn draw(rng: &mut ChaCha12Rng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        let [peer, n, ..] = bytes;
        match rng.next_u32() % 16 {
            0 => [
                Self::Cut(peer),
                Self::Sleep(peer),
                Self::Deafen(peer),
                Self::Leave(peer),
                Self::CrashRelay,
            ][usize::from(n) % 5],
            1 | 2 => [
                Self::Mend(peer),
                Self::Wake(peer),
                Self::Hear(peer),
                Self::Connect(peer),
                Self::StartRelay,
            ][usize::from(n) % 5],
            3 => Self::Flush(peer),
            4 if n % 4 == 0 => Self::CutHistory,
            4 | 5 => Self::Wait(n),
            // Enough bytes for any edit, so this never fails.
            _ => Edit::arbitrary(&mut Unstructured::new(&bytes[1..]))
                .map_or(Self::Wait(1), |edit| Self::Edit(peer, edit)),
        }
    }

    /// Lets it happen.
    pub fn apply(self, world: &mut World) {
        let count = world.len();
        let host = |number: u8| usize::from(number) % count.max(1);
        match self {
            Self::Edit(peer, edit) => {
                world.edit(host(peer), |store| {
                    if let Err(error) = edit.apply(store) {
                        tracing::debug!(%error, "edit not made");
                    }
                });
            }
            Self::Flush(peer) => world.flush(host(peer)),
            // Short waits are likelier, so that much happens within one frame.
            Self::Wait(n) => world.run(Duration::from_millis(1 + u64::from(n).pow(2) / 255)),
            Self::Cut(peer) => world.cut(host(peer)),
            Self::Mend(peer) => world.mend(host(peer)),
            Self::Sleep(peer) => world.sleep(host(peer)),
            Self::Wake(peer) => world.wake(host(peer)),
            Self::Deafen(peer) => world.deafen(host(peer), true),
            Self::Hear(peer) => world.deafen(host(peer), false),
            Self::Leave(peer) => world.leave(host(peer)),
            Self::Connect(peer) => world.connect(host(peer)),
            Self::CrashRelay => world.crash_relay(),
            Self::StartRelay => world.start_relay(),
            Self::CutHistory => world.cut_history(),
        }
    }
}

impl Edit {
    /// Makes the edit in a room whose root is a [`Playground`].
    ///
    /// # Errors
    ///
    /// When the datastore does not take it.
    ///
    /// # Panics
    ///
    /// When the root is another type.
    pub fn apply(self, store: &mut Datastore) -> Result<(), EditError> {
        let root = store.root::<Playground>().expect("a playground").clone();
        match self {
            Self::Title(n) => update_root(store, |root| root.title = format!("t{n}")),
            Self::Score(n) => update_root(store, |root| root.score = n.into()),
            Self::Vote(n) => update_root(store, |root| root.votes += i64::from(n)),
            Self::Lead(n) => {
                let leader = nth(store, &root, n).unwrap_or_default();
                update_root(store, |root| root.leader = leader)
            }
            Self::Point(n) => update_root(store, |root| root.pointer = [f32::from(n), 0.25]),
            Self::March(n) => store.update(&root.captain.as_ref(), |figure| {
                (figure.pose, figure.busy) = ([f32::from(n), 0.0, 1.0], true);
            }),
            Self::Pose(at, n) => with(nth(store, &root, at), |figure| {
                store.update(&figure, |figure| figure.pose[usize::from(n) % 3] += f32::from(n))
            }),
            Self::Captain(n) => store.update(&root.captain.as_ref(), |figure| change(figure, n)),
            Self::Add(n) => root.players.add(store, figure(n)).map(drop),
            Self::Remove(n) => {
                with(nth(store, &root, n), |figure| root.players.remove(store, &figure).map(drop))
            }
            Self::Change(at, n) => with(nth(store, &root, at), |figure| {
                store.update(&figure, |figure| change(figure, n))
            }),
            Self::Hit(at, n) => with(nth(store, &root, at), |figure| {
                store.update(&figure, |figure| figure.hits += i64::from(n))
            }),
            Self::Give(at, n) => with(nth(store, &root, at), |figure| {
                let items = store.get(&figure).map(|figure| figure.items.clone());
                items.unwrap_or_default().add(store, Thing { count: n.into() }).map(drop)
            }),
            Self::Memo(at, n) => with(nth(store, &root, at), |figure| {
                let memo = store.get(&figure).map(|figure| figure.memo.clone());
                type_into(store, &memo.unwrap_or_default(), n, n)
            }),
            Self::Seat(key, n) => root.seats.insert(store, &seat(key), figure(n)).map(drop),
            Self::ChangeSeated(key, n) => with(root.seats.get(store, &seat(key)), |figure| {
                store.update(&figure, |figure| change(figure, n))
            }),
            Self::SeatedMemo(key, n) => with(root.seats.get(store, &seat(key)), |figure| {
                let memo = store.get(&figure).map(|figure| figure.memo.clone());
                type_into(store, &memo.unwrap_or_default(), n, n)
            }),
            Self::Unseat(key) => root.seats.remove(store, &seat(key)).map(drop),
            Self::Enqueue(at, n) => {
                let at = usize::from(at) % (root.queue.len(store) + 1);
                root.queue.insert(store, at, figure(n)).map(drop)
            }
            Self::Move(n, to) => with(queued(store, &root, n), |figure| {
                let to = usize::from(to) % root.queue.len(store);
                root.queue.move_to(store, &figure, to)
            }),
            Self::Dequeue(n) => {
                with(queued(store, &root, n), |figure| root.queue.remove(store, &figure).map(drop))
            }
            Self::Type(at, n) => type_into(store, &root.notes, at, n),
            Self::Erase(at, count) => erase(store, &root.notes, at, count),
        }
    }
}

fn update_root(store: &mut Datastore, edit: impl FnOnce(&mut Playground)) -> Result<(), EditError> {
    store.update_root(edit)
}

/// Does something with a figure, if there is one.
fn with(
    figure: Option<ModelRef<Figure>>,
    edit: impl FnOnce(ModelRef<Figure>) -> Result<(), EditError>,
) -> Result<(), EditError> {
    figure.map_or(Ok(()), edit)
}

fn type_into(store: &mut Datastore, text: &Text, at: u8, n: u8) -> Result<(), EditError> {
    let len = text.read(store).chars().count();
    text.insert(store, usize::from(at) % (len + 1), &word(n))
}

fn erase(store: &mut Datastore, text: &Text, at: u8, count: u8) -> Result<(), EditError> {
    let len = text.read(store).chars().count();
    let at = usize::from(at) % len.max(1);
    text.delete(store, at, (usize::from(count) % 4).min(len - at))
}

fn queued(store: &Datastore, root: &Playground, n: u8) -> Option<ModelRef<Figure>> {
    let len = root.queue.len(store).max(1);
    root.queue.get(store, usize::from(n) % len)
}

fn nth(store: &Datastore, root: &Playground, n: u8) -> Option<ModelRef<Figure>> {
    let count = root.players.len(store).max(1);
    root.players.iter(store).nth(usize::from(n) % count).map(|(figure, _)| figure)
}

fn seat(key: u8) -> String {
    // A few keys, so that peers meet; with what must be escaped in paths.
    format!("seat/{}%", key % 4)
}

fn word(n: u8) -> String {
    ["a", "bc", "\u{e9}", "\u{1F980}", " x", "def"][usize::from(n) % 6].to_owned()
}

fn figure(n: u8) -> Figure {
    let mut figure = Figure { name: format!("f{n}"), ..Figure::default() };
    change(&mut figure, n);
    figure
}

fn change(figure: &mut Figure, n: u8) {
    match n % 5 {
        0 => figure.name = format!("n{n}"),
        1 => figure.place = [f32::from(n), 0.5, -f32::from(n)],
        2 => figure.level = n.is_multiple_of(2).then_some(u32::from(n)),
        3 => figure.mood = [Mood::Calm, Mood::Merry, Mood::Grim][usize::from(n / 5 % 3)],
        _ => figure.colour.0[0] = f32::from(n) / 255.0,
    }
}
