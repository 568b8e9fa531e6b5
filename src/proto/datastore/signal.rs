//! Signals that this peer gives, until a relay has them. A store knows no time: its peer says which are
//! too old.

mod outbox;

use bytes::Bytes;
use thiserror::Error;

use self::outbox::Leave;
pub(crate) use self::outbox::{Cast, Given, Outbox};
use super::{Datastore, EditError};
use crate::proto::event::signal::{Audience, Delivery, SignalId, Signalled, Subject};
use crate::proto::event::{Event, Origin};
use crate::proto::id::PeerId;
use crate::proto::model::handle::{Handle, Payload, Signal};
use crate::proto::model::path::Path;
use crate::proto::time::Time;

/// The most bytes of a subject's name.
const MAX_NAME: usize = 256;
/// The most bytes of a payload, by the specification.
const MAX_PAYLOAD: usize = 64 << 10;
/// The most bytes of a model's path.
const MAX_PATH: usize = 512;

/// Why a signal was not given. Nobody hears it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignalError {
    /// The handle was made by hand and never in a room.
    #[error("the handle is of no room: take it from a model that was read from the room")]
    Nowhere,
    /// The model is not here.
    #[error("nothing stands at {model}: it was removed or has not arrived yet")]
    Absent {
        /// Where it would be.
        model: Path,
    },
    /// The model, or one that it is in, is another's.
    #[error("{model} belongs to {by}: claim it first, or ask its owner to let go")]
    Owned {
        /// The model that is owned.
        model: Path,
        /// Whose it is.
        by: PeerId,
    },
    /// It says too much.
    #[error(
        "the signal says {size} bytes, over the limit of {limit}: put what is large into a model"
    )]
    TooLarge {
        /// The most bytes.
        limit: usize,
        /// How many it says.
        size: usize,
    },
    /// Its name, or the path of its model, is too long.
    #[error("the name or path has {size} bytes, over the limit of {limit}: use a shorter one")]
    LongName {
        /// The most bytes.
        limit: usize,
        /// How many it has.
        size: usize,
    },
    /// As many wait for the relay as may.
    #[error("{waiting} signals wait for the relay, with a limit of {limit}: give fewer, or wait")]
    Full {
        /// The most that may.
        limit: usize,
        /// How many do.
        waiting: usize,
    },
    /// What it says has no encoding.
    #[error("what it says cannot be written: {why}")]
    Unwritable {
        /// Why, by the encoder.
        why: String,
    },
}

impl<T: Payload> Signal<T> {
    /// Tells everybody in the room, once: this application at once, others as soon as it gets there.
    /// Without a relay nobody else hears it; while the link is being mended it waits, for no longer
    /// than [`PeerConfig::signal_age`](crate::proto::config::PeerConfig::signal_age).
    ///
    /// # Errors
    ///
    /// When the model is not here or another's, or it says too much, or too many wait.
    pub fn fire(&self, store: &mut Datastore, says: &T) -> Result<SignalId, SignalError> {
        self.send(store, Audience::All, says)
    }

    /// Tells some, once: others, one peer or the relay. What becomes of it is told as of
    /// [`Datastore::signal`].
    ///
    /// # Errors
    ///
    /// As [`Self::fire`].
    pub fn send(
        &self,
        store: &mut Datastore,
        to: Audience,
        says: &T,
    ) -> Result<SignalId, SignalError> {
        let (subject, payload) = self.say(says)?;
        store.signal(to, subject, payload)
    }

    /// Tells some, at most once and out of order: see [`Datastore::cast`]. Who does not have the model
    /// yet does not hear it.
    ///
    /// # Errors
    ///
    /// As [`Self::fire`].
    pub fn cast(&self, store: &mut Datastore, to: Audience, says: &T) -> Result<(), SignalError> {
        let (subject, payload) = self.say(says)?;
        store.cast(to, subject, payload)
    }

    fn say(&self, says: &T) -> Result<(Subject, Bytes), SignalError> {
        let (model, property) = self.place().ok_or(SignalError::Nowhere)?;
        let payload = postcard::to_allocvec(says)
            .map_err(|error| SignalError::Unwritable { why: error.to_string() })?;
        Ok((Subject::Property { model, property }, Bytes::from(payload)))
    }

    /// What a signal that was heard says, if it is this one.
    #[must_use]
    pub fn said(&self, signalled: &Signalled) -> Option<T> {
        let (model, property) = self.place()?;
        let own = signalled.subject == Subject::Property { model, property };
        own.then(|| postcard::from_bytes(&signalled.payload).ok())?
    }

    fn place(&self) -> Option<(Path, u16)> {
        let (model, property) = self.path()?.split()?;
        Some((model, property.parse().ok()?))
    }
}

impl Datastore {
    /// Gives a signal. [`Signal::fire`] is this for a property; a name is for what is of no model.
    ///
    /// What becomes of a signal to one peer or the relay is told by [`Event::SignalSettled`]: at once if
    /// that is this peer or there is no relay; else once it has it, or it is known that it will not.
    /// Where that cannot be known, [`Event::SignalLost`] is told instead. That a peer has it is known two
    /// ways and [`Limits::acknowledge_after`](crate::proto::config::Limits::acknowledge_after) later.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn signal(
        &mut self,
        to: Audience,
        subject: Subject,
        payload: Bytes,
    ) -> Result<SignalId, SignalError> {
        let (size, waiting) = (self.limits.signal, self.outbox.len());
        self.check_signal(&subject, &payload, size, waiting)?;
        let me = self.author.peer;
        self.hear_own(to, &subject, &payload, true);
        let id = self.outbox.put(to, subject, payload, to != Audience::Peer(me));
        if to == Audience::Peer(me) {
            self.settle_signal(id, Delivery::Heard);
        }
        Ok(id)
    }

    /// Gives a signal that goes out now or never: nothing of it is kept, nor said again, and what is
    /// given may be heard in another order, or by some only, but by nobody twice. While the room is not
    /// ready nobody else hears it, and a relay passes on only so many in a second
    /// ([`SignalConfig::casts_per_second`](crate::proto::config::SignalConfig::casts_per_second)). What
    /// becomes of it is not told. It waits for nothing, and where the path has datagrams, goes by one.
    ///
    /// # Errors
    ///
    /// As [`Self::signal`], but that it may say no more than
    /// [`Limits::cast`](crate::proto::config::Limits::cast).
    pub fn cast(
        &mut self,
        to: Audience,
        subject: Subject,
        payload: Bytes,
    ) -> Result<(), SignalError> {
        let (size, waiting) = (self.limits.cast, self.outbox.casts());
        self.check_signal(&subject, &payload, size, waiting)?;
        self.hear_own(to, &subject, &payload, false);
        if to != Audience::Peer(self.author.peer) {
            self.outbox.cast(Cast { to, subject, payload });
        }
        Ok(())
    }

    /// Tells this application of its own signal, if that is among who is to hear it.
    fn hear_own(&mut self, to: Audience, subject: &Subject, payload: &Bytes, reliable: bool) {
        let by = self.author.peer;
        if to == Audience::All || to == Audience::Peer(by) {
            let (subject, payload) = (subject.clone(), payload.clone());
            let origin = Origin::Local;
            self.tell(Event::Signal(Signalled { subject, payload, by, origin, reliable }));
        }
    }

    /// Whether a signal may be given, of which so many bytes may be said and so many wait.
    fn check_signal(
        &self,
        subject: &Subject,
        payload: &Bytes,
        most: usize,
        waiting: usize,
    ) -> Result<(), SignalError> {
        self.check_subject(subject)?;
        let (size, limit) = (payload.len(), most.min(MAX_PAYLOAD));
        if size > limit {
            return Err(SignalError::TooLarge { limit, size });
        }
        let limit = self.limits.signals;
        if waiting >= limit { Err(SignalError::Full { limit, waiting }) } else { Ok(()) }
    }

    fn check_subject(&self, subject: &Subject) -> Result<(), SignalError> {
        let (size, limit) = match subject {
            Subject::Name(name) => (name.len(), MAX_NAME),
            Subject::Property { model, .. } => {
                if !self.has_model(model) {
                    return Err(SignalError::Absent { model: model.clone() });
                }
                if let Err(EditError::Owned { model, by }) = self.may_touch(model) {
                    return Err(SignalError::Owned { model, by });
                }
                (model.as_str().len(), MAX_PATH)
            }
        };
        if size > limit { Err(SignalError::LongName { limit, size }) } else { Ok(()) }
    }

    /// Lets those go that may, which are numbered then. Returns their numbers; those that may not at all
    /// are lost.
    pub(crate) fn let_signals_go(&mut self, now: Time) -> Vec<u64> {
        let mut outbox = std::mem::take(&mut self.outbox);
        let (numbers, denied) = outbox.let_go(now, |subject| self.may_leave(subject));
        self.outbox = outbox;
        self.lose_signals(denied.iter().map(|given| given.id));
        numbers
    }

    /// Whether a signal may go: the relay drops what is of a model that is another's, so one that is
    /// claimed comes first.
    fn may_leave(&self, subject: &Subject) -> Leave {
        let Subject::Property { model, .. } = subject else { return Leave::Given };
        let grant = self.models.ledger().outermost(model.as_str());
        if grant.is_none_or(|(_, grant)| self.is_mine(&grant)) {
            Leave::Given
        } else if self.may_touch(model).is_ok() {
            Leave::Waits
        } else {
            Leave::Denied
        }
    }

    /// What a relay is to have.
    pub(crate) const fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The same, to be marked and taken.
    pub(crate) const fn outbox_mut(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Another's signal is heard.
    pub(crate) fn hear_signal(
        &mut self,
        by: PeerId,
        (subject, payload): (Subject, Bytes),
        reliable: bool,
    ) {
        let origin = Origin::Remote;
        self.tell(Event::Signal(Signalled { subject, payload, by, origin, reliable }));
    }

    /// What became of a signal of this peer's to one hearer.
    pub(crate) fn settle_signal(&mut self, id: SignalId, delivery: Delivery) {
        self.tell(Event::SignalSettled { id, delivery });
    }

    /// It is not known whether anybody heard some signals of this peer's.
    pub(crate) fn lose_signals(&mut self, ids: impl IntoIterator<Item = SignalId>) {
        ids.into_iter().for_each(|id| self.tell(Event::SignalLost { id }));
    }
}
