//! Parlor: a [`Datastore`] and its end of a link to a relay, as a peer has them.
//!
//! What is written goes to the relay as a frame of the document lane, and comes from there to
//! everybody else as another. Applying a frame is what a peer does with it: each record is read with
//! the help of the log, checked by the guard, let in and shown, events are taken out, and what they
//! name is read as the application reads it. automerge's document is not part of that: it follows in
//! batches ([`Engine::follow`]). What arrived is acknowledged before the next frame is made, as part
//! of making it at a member, and where nobody measures at the relay.

mod model;
mod relay;

use std::hint::black_box;

use parlor::proto::authorship::Scope;
use parlor::proto::base::columns;
use parlor::proto::cut::Cut;
use parlor::proto::datastore::Kept;
use parlor::proto::delta::{Member, Token};
use parlor::proto::id::{DocumentId, EpochId};
use parlor::proto::lane::{DocumentLane, Side};
use parlor::proto::model::handle::Handle as _;
use parlor::proto::time::Time;
use parlor::proto::wire::message::{Introduction, Message, RecordBytes};
use parlor::proto::wire::{self, MAX_FRAME};
use parlor::{Datastore, Event, Limits, Model, ModelRef};

use parlor_bench::room::{app_key, identity, room_name};

use self::model::{Mover, Thing, assign, read};
pub(crate) use self::model::{Space, thing};
pub(crate) use self::relay::Relay;
use super::{Edit, Engine, Form, New, Outcome};
use crate::content::{TRANSFORM, Tally, Value};
use crate::measure::timed;

/// A replica.
pub(crate) struct Parlor {
    store: Datastore,
    author: Introduction,
    lane: DocumentLane,
    /// How many entries of each document were sent.
    sent: [u64; 2],
}

/// An object of either kind.
pub(crate) enum Handle {
    /// Of ten properties.
    Thing(ModelRef<Thing>),
    /// With a transform.
    Mover(ModelRef<Mover>),
}

/// The epoch that begins with what a joiner is sent.
const NEXT: EpochId = EpochId([1; 32]);
/// When everything happens at a member: nothing gets lost, so nothing depends on it.
const NOW: Time = Time::ZERO;

impl Parlor {
    /// The room.
    pub(crate) fn space(&self) -> Outcome<Space> {
        Ok(self.store.root::<Space>().ok_or("the room is of another type")?.clone())
    }

    /// The models and texts.
    pub(crate) const fn store(&self) -> &Datastore {
        &self.store
    }

    /// Types into the room's text, and ends the frame.
    pub(crate) fn type_in(&mut self, at: usize, typed: &str) -> Outcome<()> {
        self.space()?.text.insert(&mut self.store, at, typed)?;
        self.end_frame();
        Ok(())
    }

    /// Cuts history, about `budget` values at a time. Returns what each call took, in microseconds.
    pub(crate) fn cut(&mut self, budget: usize) -> Vec<f64> {
        let scope = self.store.log(DocumentId::MODELS).scope().of(NEXT);
        let mut calls = vec![timed(|| self.store.begin_cut(DocumentId::MODELS, scope)).1];
        let mut done = false;
        while !done {
            let (stepped, taken) = timed(|| self.store.step_cut(DocumentId::MODELS, budget));
            done = stepped;
            calls.push(taken);
        }
        calls
    }

    /// A replica made of columns, and what each step took, in microseconds: to read the columns, to
    /// lay the base, to go over.
    pub(crate) fn load_in_steps(number: usize, snapshot: &[u8]) -> Outcome<(Self, [f64; 3])> {
        let mut replica = Self::new(number)?;
        let (base, reading) = timed(|| columns::decode(snapshot, &Limits::default()));
        let (log, base) = (replica.store.log(DocumentId::MODELS), base?);
        let (begun, laying) = timed(|| {
            let mut begun = log.successor(log.scope().of(NEXT), base);
            while begun.lay() {}
            begun
        });
        let ((), going) = timed(|| {
            replica.store.begin_quiet();
            replica.store.go_over(begun, Kept::Unconfirmed);
            replica.end_frame();
            replica.store.end_quiet();
        });
        replica.set_members();
        Ok((replica, [reading, laying, going]))
    }

    fn set_members(&mut self) {
        for document in DocumentId::ALL {
            let actor = self.store.log(document).scope().actor(&self.author);
            self.lane.set_member(document, Member { introduction: self.author, actor });
        }
    }

    /// Ends the frame, and takes out what the application is told.
    fn end_frame(&mut self) {
        self.store.flush();
        while let Some(event) = self.store.poll_event() {
            self.look_at(event);
        }
    }

    /// Reads what an event names.
    fn look_at(&self, event: Event) {
        let Event::Changed(changed) = event else {
            return;
        };
        let named = ModelRef::<Thing>::at(changed.model);
        if let Some(thing) = self.store.get(&named) {
            black_box(thing.integer0);
        } else if let Some(path) = named.path() {
            let mover = self.store.get(&ModelRef::<Mover>::at(path.clone()));
            black_box(mover.map(|mover| mover.transform.len()));
        }
    }
}

impl Engine for Parlor {
    const NAME: &'static str = "parlor";
    const ENCODES: bool = true;
    const DECODES: bool = true;
    const RELAYS: bool = true;
    const FOLLOWS: bool = true;

    type Handle = Handle;
    type Incoming = Message;
    type Relay = Relay;

    fn new(number: usize) -> Outcome<Self> {
        let (author, limits) = (introduction(number), Limits::default());
        let lane = DocumentLane::new(&limits, Side::Member);
        let store = Datastore::new(&scope()?, author, Space::shape(), limits, 1 << 16);
        let mut replica = Self { store, author, lane, sent: [0; 2] };
        replica.set_members();
        Ok(replica)
    }

    fn create(&mut self, objects: &[New<'_>]) -> Outcome<Vec<Handle>> {
        let space = self.space()?;
        let made = objects.iter().map(|(_, object)| {
            Ok(Handle::Thing(space.things.add(&mut self.store, thing(object))?))
        });
        let made = made.collect();
        self.end_frame();
        made
    }

    fn create_moving(&mut self, _: usize, transform: [u8; 40]) -> Outcome<Handle> {
        let mover = Mover { transform: transform.to_vec() };
        let made = self.space()?.movers.add(&mut self.store, mover)?;
        self.end_frame();
        Ok(Handle::Mover(made))
    }

    fn write(&mut self, edits: &[Edit<'_, Handle>]) -> Outcome<()> {
        for (handle, property, value) in edits {
            match handle {
                Handle::Thing(thing) => {
                    self.store.update(thing, |thing| assign(thing, *property, value))?;
                }
                Handle::Mover(mover) => self.store.update(mover, |mover| {
                    if let (TRANSFORM, Value::Transform(bytes)) = (*property, value) {
                        mover.transform.copy_from_slice(bytes);
                    }
                })?,
            }
        }
        self.end_frame();
        Ok(())
    }

    fn remove(&mut self, handle: &Handle) -> Outcome<()> {
        match handle {
            Handle::Thing(thing) => self.store.remove(thing)?,
            Handle::Mover(mover) => self.store.remove(mover)?,
        };
        self.end_frame();
        Ok(())
    }

    fn encode(&mut self) -> Outcome<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        for (document, sent) in DocumentId::ALL.into_iter().zip(&mut self.sent) {
            self.lane.acknowledge(document, *sent, false, NOW);
            for place in self.store.take_written(document) {
                self.lane.push(document, Token::Change(place));
                *sent += 1;
            }
            let log = self.store.log(document);
            while let Some(message) = self.lane.next_frame(log, None, NOW) {
                frames.push(wire::encode(&message).into());
            }
        }
        Ok(frames)
    }

    fn contents(message: &[u8]) -> Outcome<usize> {
        Ok(records(&Self::decode(message)?)?.1.clone().into_bytes().len())
    }

    fn follow(&mut self) -> Outcome<()> {
        self.store.models()?;
        Ok(())
    }

    fn decode(message: &[u8]) -> Outcome<Message> {
        Ok(wire::decode(message, MAX_FRAME)?)
    }

    fn apply(&mut self, incoming: Message) -> Outcome<()> {
        let (document, bytes, position, deflated) = records(&incoming)?;
        let mut incoming = self.lane.open(document, (position, bytes), deflated, NOW)?;
        while let Some(unpacked) = self.lane.unpack(self.store.log(document), &mut incoming, NOW) {
            self.store.receive(document, &unpacked.entry)?;
            if let Some(index) = unpacked.placed(self.store.log(document)) {
                self.store.confirm(document, index);
            }
            self.lane.settle(self.store.log(document), unpacked);
        }
        self.end_frame();
        Ok(())
    }

    fn snapshot(&mut self, form: Form) -> Outcome<Option<Vec<u8>>> {
        if form == Form::Shallow {
            return Ok(None);
        }
        // Nothing here is a text, so that document is empty and nothing is sent of it.
        let log = self.store.log(DocumentId::MODELS);
        let mut cut = Cut::into(log.scope().of(NEXT));
        loop {
            if let Some(next) = cut.step(log, usize::MAX) {
                return Ok(Some(columns::encode(next.base())));
            }
        }
    }

    fn load(number: usize, snapshot: &[u8]) -> Outcome<Self> {
        Ok(Self::load_in_steps(number, snapshot)?.0)
    }

    fn read(&self) -> Outcome<Tally> {
        let space = self.space()?;
        let mut tally = Tally::default();
        for (_, thing) in space.things.iter(&self.store) {
            read(&mut tally, thing);
        }
        for (_, mover) in space.movers.iter(&self.store) {
            tally.bytes(TRANSFORM, &mover.transform);
        }
        Ok(tally)
    }
}

/// The document of a frame, its records, their position and whether they are deflated.
fn records(message: &Message) -> Outcome<(DocumentId, &RecordBytes, u16, bool)> {
    match message {
        Message::Deltas { document, position, records } => {
            Ok((*document, records, *position, false))
        }
        Message::Bundle { document, position, records } => {
            Ok((*document, records, *position, true))
        }
        _ => Err("a frame of another lane".into()),
    }
}

/// The document that a frame is of.
pub(crate) fn document_of(message: &Message) -> Outcome<DocumentId> {
    Ok(records(message)?.0)
}

fn scope() -> Outcome<Scope> {
    Ok(Scope::first(app_key()?.app(), room_name()?))
}

fn introduction(number: usize) -> Introduction {
    Introduction { peer: identity(number).peer(), incarnation: 1 }
}
