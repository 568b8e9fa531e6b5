//! Signals of the relay's own.

use bytes::Bytes;
use thiserror::Error;

use super::kept::Hearer;
use crate::proto::event::Origin;
use crate::proto::event::signal::{Audience, Signalled, Subject};
use crate::proto::hub::{Hub, HubEvent};
use crate::proto::id::{PeerId, RoomKey};
use crate::proto::time::Time;
use crate::proto::wire::bounded::{Blob, Line};
use crate::proto::wire::message::SignalSubject;

/// The most bytes of a name.
const MAX_NAME: usize = 256;
/// The most bytes of a payload, by the specification.
const MAX_PAYLOAD: usize = 64 << 10;

/// Why a relay's signal was not given. Nobody hears it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GiveError {
    /// There is no such room, or none any more.
    #[error("no such room is open")]
    NoRoom,
    /// The peer is not in the room, nor was it a moment ago.
    #[error("{peer} is not in the room")]
    Absent {
        /// Who.
        peer: PeerId,
    },
    /// It says too much.
    #[error("the signal says {size} bytes, over the limit of {limit}")]
    TooLarge {
        /// The most bytes.
        limit: usize,
        /// How many it says.
        size: usize,
    },
    /// Its name is too long.
    #[error("the name has {size} bytes, over the limit of {limit}: use a shorter one")]
    LongName {
        /// The most bytes.
        limit: usize,
        /// How many it has.
        size: usize,
    },
    /// The room keeps as many as it may, and members are to hear all of them.
    #[error("the room has as many signals as it keeps: give fewer, or wait")]
    Full,
}

impl Hub {
    /// Gives a signal of the relay's to a room: to all of its members, or to one peer, which may be away
    /// for a moment. They hear it as signals of members, in one order with them, by this relay. To
    /// [`Audience::Relay`], it is its own [`HubEvent::Signal`]. What becomes of it is not told.
    ///
    /// # Errors
    ///
    /// When there is no such room or peer, it says too much, or there is no room for it.
    pub fn signal(
        &mut self,
        now: Time,
        room: &RoomKey,
        to: Audience,
        name: &str,
        payload: Bytes,
    ) -> Result<(), GiveError> {
        let (size, limit) = (payload.len(), self.config.limits.signal.min(MAX_PAYLOAD));
        let large = GiveError::TooLarge { limit, size };
        let payload = Blob::new(payload).filter(|_| size <= limit).ok_or(large)?;
        let long = GiveError::LongName { limit: MAX_NAME, size: name.len() };
        let subject = SignalSubject::Name(Line::new(name).ok_or(long)?);
        let (by, rule) = (self.me, (&self.config.signals, now));
        let signals = self.rooms.get_mut(room).ok_or(GiveError::NoRoom)?.signals_mut();
        let hearer = match to {
            Audience::All | Audience::Others => Hearer::Others(by),
            Audience::Peer(peer) if !signals.expects(peer, rule) => {
                return Err(GiveError::Absent { peer });
            }
            Audience::Peer(peer) => Hearer::Peer(peer),
            Audience::Relay => {
                let (subject, payload) = (Subject::from(subject), payload.into_bytes());
                let (origin, reliable) = (Origin::Local, true);
                let signal = Signalled { subject, payload, by, origin, reliable };
                self.report(HubEvent::Signal { room: room.clone(), signal });
                return Ok(());
            }
        };
        if !signals.has_room(rule) {
            return Err(GiveError::Full);
        }
        signals.keep((by, hearer), (subject, payload), None, rule);
        self.spread(room, now);
        Ok(())
    }
}
