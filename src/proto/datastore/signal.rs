//! Signals that this peer gives, until a relay has them. A store knows no time: its peer says which are
//! too old.

use std::collections::VecDeque;

use bytes::Bytes;
use thiserror::Error;

use super::{Datastore, EditError};
use crate::proto::event::signal::{Audience, SignalId, Signalled, Subject};
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
/// What a signal takes beside its payload and its subject, as an estimate from above.
const HEAD: usize = 64;

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
        let (model, property) = self.place().ok_or(SignalError::Nowhere)?;
        let payload = postcard::to_allocvec(says)
            .map_err(|error| SignalError::Unwritable { why: error.to_string() })?;
        let subject = Subject::Property { model, property };
        store.signal(Audience::All, subject, Bytes::from(payload))
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

/// A signal that a relay is to have.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) id: SignalId,
    pub(crate) to: Audience,
    pub(crate) subject: Subject,
    pub(crate) payload: Bytes,
    /// Which of this session's it is, for the relay; 0 until it may go.
    pub(crate) number: u64,
    /// When its peer saw it first.
    pub(crate) since: Option<Time>,
    /// Whether it went out on any link.
    pub(crate) sent: bool,
}

impl Given {
    /// What it takes on its way, as an estimate from above.
    pub(crate) fn size(&self) -> usize {
        let subject = match &self.subject {
            Subject::Property { model, .. } => model.as_str().len(),
            Subject::Name(name) => name.len(),
        };
        HEAD + subject + self.payload.len()
    }
}

/// What a relay is to have.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// What may not go yet, oldest first.
    held: VecDeque<Given>,
    /// What may, in the order of its numbers.
    numbered: VecDeque<Given>,
    given: u64,
    last: u64,
}

impl Outbox {
    /// One more, if others are to hear it.
    fn put(&mut self, to: Audience, subject: Subject, payload: Bytes, others: bool) -> SignalId {
        self.given += 1;
        let id = SignalId(self.given);
        if others {
            let given = Given { id, to, subject, payload, number: 0, since: None, sent: false };
            self.held.push_back(given);
        }
        id
    }

    /// What may go.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = &Given> {
        self.numbered.iter()
    }

    /// Since when the oldest is here, that its peer saw.
    pub(crate) fn oldest(&self) -> Option<Time> {
        let first = [self.held.front(), self.numbered.front()].into_iter().flatten();
        first.filter_map(|given| given.since).min()
    }

    /// Whether there is something that its peer has not seen.
    pub(crate) fn is_fresh(&self) -> bool {
        self.held.back().is_some_and(|given| given.since.is_none())
    }

    /// One of those that may go.
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Given> {
        let place = self.numbered.binary_search_by_key(&number, |given| given.number).ok()?;
        self.numbered.get_mut(place)
    }

    /// Takes out the first ones that may go, as long as they are such.
    pub(crate) fn take_while(&mut self, such: impl Fn(&Given) -> bool) -> Vec<SignalId> {
        let count = self.numbered.iter().take_while(|given| such(given)).count();
        self.numbered.drain(..count).map(|given| given.id).collect()
    }

    /// Takes out all that are such.
    pub(crate) fn take(&mut self, such: impl Fn(&Given) -> bool) -> Vec<SignalId> {
        let mut taken = Vec::new();
        for queue in [&mut self.numbered, &mut self.held] {
            queue.retain(|given| {
                let goes = such(given);
                taken.extend(goes.then_some(given.id));
                !goes
            });
        }
        taken.sort_unstable();
        taken
    }

    fn len(&self) -> usize {
        self.held.len() + self.numbered.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether a signal may go.
enum Leave {
    /// It may.
    Given,
    /// A claim of its model is not answered.
    Waits,
    /// Its model is another's by now.
    Denied,
}

impl Datastore {
    /// Gives a signal. [`Signal::fire`] is this for a property; a name is for what is of no model.
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
        self.check_subject(&subject)?;
        let (size, limit) = (payload.len(), self.limits.signal.min(MAX_PAYLOAD));
        if size > limit {
            return Err(SignalError::TooLarge { limit, size });
        }
        let (waiting, limit) = (self.outbox.len(), self.limits.signals);
        if waiting >= limit {
            return Err(SignalError::Full { limit, waiting });
        }
        let me = self.author.peer;
        if matches!(to, Audience::All) || to == Audience::Peer(me) {
            let (subject, payload) = (subject.clone(), payload.clone());
            self.tell(Event::Signal(Signalled { subject, payload, by: me, origin: Origin::Local }));
        }
        Ok(self.outbox.put(to, subject, payload, to != Audience::Peer(me)))
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
        let (mut numbers, mut lost) = (Vec::new(), Vec::new());
        for mut given in std::mem::take(&mut self.outbox.held) {
            given.since.get_or_insert(now);
            match self.may_leave(&given.subject) {
                Leave::Given => {
                    self.outbox.last += 1;
                    given.number = self.outbox.last;
                    numbers.push(given.number);
                    self.outbox.numbered.push_back(given);
                }
                Leave::Waits => self.outbox.held.push_back(given),
                Leave::Denied => lost.push(given.id),
            }
        }
        self.lose_signals(lost);
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
    pub(crate) fn hear_signal(&mut self, by: PeerId, subject: Subject, payload: Bytes) {
        self.tell(Event::Signal(Signalled { subject, payload, by, origin: Origin::Remote }));
    }

    /// It is not known whether anybody heard some signals of this peer's.
    pub(crate) fn lose_signals(&mut self, ids: Vec<SignalId>) {
        ids.into_iter().for_each(|id| self.tell(Event::SignalLost { id }));
    }
}
