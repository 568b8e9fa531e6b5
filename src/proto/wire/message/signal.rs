//! What is said of signals.

use serde::{Deserialize, Serialize};

use crate::proto::event::signal::Subject;
use crate::proto::id::PeerId;
use crate::proto::model::path::Path;
use crate::proto::wire::bounded::{Blob, Line, List};

/// Drawn by a relay for a room when it opens, and gone with it: signals are numbered within.
pub type Life = [u8; 8];

/// What a signal says; the receiver's limits are tighter.
pub type Payload = Blob<{ 64 << 10 }>;

/// What peers and relays say of signals.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SignalMessage {
    /// Peer to relay: which signal I heard last. Said again until answered.
    From {
        /// Of which life of the room; zeros if of none.
        life: Life,
        /// Its number; 0 if there was none.
        heard: u64,
    },
    /// Relay to peer: the answer. Signals go both ways from then on.
    Open {
        /// The room's life.
        life: Life,
        /// What comes is behind this number.
        heard: u64,
        /// The last signal of the peer's session that is here already; nothing if that is not known, or
        /// the peer said another life.
        taken: Option<u64>,
    },
    /// Peer to relay: signals of mine.
    Given {
        /// The position of the first among all that were said on this link.
        position: u64,
        /// The signals, in order.
        signals: List<SignalRecord, 256>,
    },
    /// Relay to peer: signals that the peer is to hear.
    Heard {
        /// The position of the first among all that were said on this link.
        position: u64,
        /// The signals, in order.
        signals: List<HeardRecord, 256>,
    },
    /// Both: signals before this position have arrived.
    Received {
        /// The position of the next that is expected.
        received: u64,
        /// Whether some came that are behind it: say them again from there.
        gap: bool,
    },
    /// Relay to peer, since 2.4: what became of signals of the peer's to one hearer.
    Settled {
        /// The position of the first among all that were said on this link, those of
        /// [`Heard`](Self::Heard) included.
        position: u64,
        /// The outcomes, in the order in which they were known.
        settled: List<SettledRecord, 256>,
    },
}

/// A signal that may be lost.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SignalCast {
    /// Peer to relay. Its number is which of its link's it is, from 1 on.
    Given(SignalRecord),
    /// Relay to peer. In the same way.
    Heard(HeardRecord),
}

/// A signal on its way to the relay.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SignalRecord {
    /// Which of its session's, from 1 on.
    pub number: u64,
    /// Who is to hear it.
    pub to: SignalAudience,
    /// What it is of.
    pub subject: SignalSubject,
    /// What it says.
    pub payload: Payload,
}

/// A signal on its way to who is to hear it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HeardRecord {
    /// Which of the room's, in the order in which the relay took them. Those that others are to hear
    /// are left out.
    pub number: u64,
    /// Whose it is.
    pub by: PeerId,
    /// What it is of.
    pub subject: SignalSubject,
    /// What it says.
    pub payload: Payload,
}

/// What became of a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SettledRecord {
    /// The number of this record: of the room's, as signals have them.
    pub number: u64,
    /// Which of its session's the signal was ([`SignalRecord::number`]).
    pub given: u64,
    /// What became of it.
    pub outcome: SignalOutcome,
}

/// What became of a signal to one hearer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SignalOutcome {
    /// It was heard.
    Heard,
    /// It was never said to the peer, and will not be: that is not in the room, or did not come back
    /// in time.
    Absent,
    /// It was said, and not acknowledged; or it was not let in.
    Unknown,
}

/// Who is to hear a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SignalAudience {
    /// Every member but who gave it.
    Others,
    /// One peer.
    Peer(PeerId),
    /// The relay itself, since 2.4.
    Relay,
}

/// What a signal is of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SignalSubject {
    /// A property of the model at a path.
    Property {
        /// The path.
        model: Line<512>,
        /// The property.
        property: u16,
    },
    /// A name.
    Name(Line<256>),
}

impl From<SignalSubject> for Subject {
    fn from(subject: SignalSubject) -> Self {
        match subject {
            SignalSubject::Property { model, property } => {
                Self::Property { model: Path::parse(&model), property }
            }
            SignalSubject::Name(name) => Self::Name((*name).to_owned()),
        }
    }
}
