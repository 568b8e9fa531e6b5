//! The words of the wall: what happened outside, what to do outside, what to tell the application.

pub mod kept;
mod queue;
pub mod signal;
pub mod voice;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use self::kept::{Keeping, KeptRoom, Unfetched};
pub(crate) use self::queue::overrun;
#[cfg(feature = "net")]
pub(crate) use self::queue::wait;
use self::signal::{Delivery, SignalId, Signalled};
use self::voice::VoiceEvent;
use crate::proto::audio::stream::{Shared, Topic, Tune};
use crate::proto::authorisation::{Question, Verdict};
use crate::proto::id::{ClientNumber, DocumentId, Lane, Link, PeerId, RoomKey};
use crate::proto::model::path::Path;
use crate::proto::reason::{ChangeFault, Denial, Reason, RequestError};
use crate::proto::service::{Answer, Fact, RequestId};

/// What happened outside.
#[derive(Clone, Debug)]
pub enum Input {
    /// A link is up and its other end has proved to be `peer`.
    Connected {
        /// The new link.
        link: Link,
        /// Who is at its other end.
        peer: PeerId,
    },
    /// A link that was asked for ([`Effect::Dial`]) did not come about.
    Unreachable {
        /// What stood in the way, for a person.
        why: String,
    },
    /// A link is gone, whoever ended it.
    Disconnected {
        /// The link that is gone.
        link: Link,
    },
    /// A frame arrived: undecoded bytes from a stranger.
    Received {
        /// Where from.
        link: Link,
        /// On which lane.
        lane: Lane,
        /// One whole frame, without the length that delimits it on a stream.
        frame: Bytes,
    },
    /// The driver has handed `bytes` of an earlier [`Effect::Send`] to the transport, so that the
    /// lane has room for as many again. Not said of [`Lane::State`], which always has room.
    Written {
        /// Where to.
        link: Link,
        /// On which lane.
        lane: Lane,
        /// How many bytes of frames.
        bytes: usize,
    },
    /// What the application's server said to an [`Effect::Authorise`].
    Authorised {
        /// At whose other end the peer is.
        link: Link,
        /// What it said; nothing, if there was no good answer.
        verdict: Option<Verdict>,
    },
    /// What was kept of a room, for an [`Effect::Fetch`].
    Fetched {
        /// Which room.
        room: RoomKey,
        /// All of it; nothing, if nothing is. Or why it cannot be said.
        kept: Result<Option<KeptRoom>, Unfetched>,
    },
    /// A packet of a stream came to a relay: undecoded bytes from a stranger. What comes to a peer goes
    /// past its machine to who plays it.
    Spoken {
        /// Where from.
        link: Link,
        /// To which topic it was published.
        topic: Topic,
        /// The packet.
        packet: Bytes,
    },
    /// What became of an [`Effect::Commit`]. They end in the order in which they were begun.
    Committed {
        /// Which.
        number: u64,
        /// Rooms of which nothing of it is kept, if any; or why none of it is, for the operator, and then
        /// nothing of a later one will be.
        outcome: Result<Vec<RoomKey>, String>,
    },
    /// A peer that was named by [`Effect::Acquaint`] has a direct link with this one, or not any more.
    Neighbour {
        /// Who.
        peer: PeerId,
        /// Whether it has.
        near: bool,
    },
}

/// What to do outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Connect to the relay; answered by [`Input::Connected`] or [`Input::Unreachable`].
    Dial,
    /// Send a frame. Frames of one lane keep their order, and all are sent or the link ends; but on
    /// [`Lane::State`] the driver throws away what it cannot send soon, and no [`Input::Written`]
    /// follows.
    Send {
        /// Where to.
        link: Link,
        /// On which lane.
        lane: Lane,
        /// One whole frame, without the length that delimits it on a stream.
        frame: Bytes,
    },
    /// End a link once what was sent before is out; answered by [`Input::Disconnected`].
    Disconnect {
        /// Which link.
        link: Link,
    },
    /// Ask an application's server whether a peer may come in; answered by [`Input::Authorised`], soon.
    /// Only a relay asks.
    Authorise {
        /// At whose other end the peer is.
        link: Link,
        /// What to ask.
        question: Question,
    },
    /// Keep all of this or nothing of it; answered by [`Input::Committed`]. Only a relay keeps rooms.
    Commit {
        /// Which commit: each is one more than the last.
        number: u64,
        /// What to keep.
        keepings: Vec<Keeping>,
    },
    /// Bring what is kept of a room, with what was to be committed before; answered by
    /// [`Input::Fetched`].
    Fetch {
        /// Which room.
        room: RoomKey,
    },
    /// From now on a link has to do with a topic, or not any more. Ends with its link.
    Tune {
        /// Which link.
        link: Link,
        /// Which topic.
        topic: Topic,
        /// What it has to do with it.
        tune: Tune,
    },
    /// Pass an [`Input::Spoken`] on to everybody who hears its topic, but its speaker. A packet that is
    /// not sent soon is thrown away. Only a relay passes packets on; of one that it does not, nothing
    /// is said.
    Pass {
        /// By which link it came.
        link: Link,
        /// The topic.
        topic: Topic,
        /// The packet, as it came.
        packet: Bytes,
    },
    /// A peer is to have a direct link with this one, if both want any, or not any more: see
    /// [`Input::Neighbour`]. Only peers have such links.
    Acquaint {
        /// Who.
        peer: PeerId,
        /// Whether it is to have one.
        known: bool,
    },
    /// From now on this becomes of a stream on direct links, whatever did before.
    Share(Shared),
}

/// Where a change came from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Origin {
    /// This application made it.
    Local,
    /// Another peer made it.
    Remote,
    /// An edit of this application was taken back: what it was of is another's, or it was not let in.
    Rollback,
}

/// What to tell the application.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The link to the relay is in another state.
    State(State),
    /// A snapshot is on its way.
    Progress {
        /// The document that it is of.
        document: DocumentId,
        /// Bytes that have arrived.
        received: u64,
        /// Bytes that it has.
        total: u64,
    },
    /// The room's documents are here, or merged again after an absence: everything can be read.
    Ready,
    /// A peer came in.
    Joined(Member),
    /// A peer went out.
    Left {
        /// Who.
        member: Member,
        /// Why, as far as the relay knows.
        reason: LeaveReason,
    },
    /// A model or text is different from what it was.
    Changed(Changed),
    /// A model was added to a collection.
    Added {
        /// The new model.
        model: Path,
        /// Who did it.
        origin: Origin,
    },
    /// A model is no longer in its collection, nor is anything below it.
    Removed {
        /// The model that was.
        model: Path,
        /// Who did it.
        origin: Origin,
    },
    /// Another model stands under a key of a dictionary.
    Replaced {
        /// The model that stands there now.
        model: Path,
        /// Who did it.
        origin: Origin,
    },
    /// A model has another place in its list.
    Moved {
        /// The model.
        model: Path,
        /// Who did it.
        origin: Origin,
    },
    /// An edit could not be written when its frame ended, and was taken back: its model was gone, or
    /// the room takes no more.
    Dropped {
        /// The model that was edited.
        model: Path,
    },
    /// A model has another owner than this application was told of before, or the relay has confirmed
    /// the one that it was told of.
    Owner {
        /// The model.
        model: Path,
        /// Its owner, if it has one.
        owner: Option<PeerId>,
        /// Whether the relay has said so.
        confirmed: bool,
    },
    /// The relay does not grant a model that this application claimed.
    ClaimDenied {
        /// The model.
        model: Path,
        /// Why.
        why: Denial,
    },
    /// What became of something that this application proposed for a confirmed dictionary.
    Settled {
        /// Which proposal.
        ticket: Ticket,
        /// The entry's place, or the dictionary's if all was to go.
        place: Path,
        /// What became of it.
        outcome: Outcome,
    },
    /// Edits of this application were taken back, because what they were of is another's, or a rule at
    /// the relay does not let them in: changes with [`Origin::Rollback`] follow. Nobody else has seen them.
    Refused {
        /// The model or text that was edited.
        model: Path,
        /// Why.
        why: Denial,
    },
    /// Something happened that is told once: see [`Signal`](crate::proto::model::handle::Signal).
    Signal(Signalled),
    /// What became of a signal of this application to one hearer. For each such signal either this is
    /// told or [`Self::SignalLost`], once.
    SignalSettled {
        /// Which.
        id: SignalId,
        /// What became of it.
        delivery: Delivery,
    },
    /// It is not known whether anybody heard a signal of this application: the relay lost its memory,
    /// or does not say (before 2.4); or the link, or that of the one peer that was to hear it, could
    /// not be mended in time.
    SignalLost {
        /// Which.
        id: SignalId,
    },
    /// Signals of others, or outcomes of its own, were not heard: this peer was away for longer than the relay keeps them, or
    /// the relay lost its memory.
    SignalsMissed,
    /// Something of the room's record is another: see [`Record`](crate::proto::service::Record).
    Room(Fact),
    /// A member says something else of itself.
    Presence {
        /// Who.
        client: ClientNumber,
        /// Under which key.
        key: String,
        /// What; nothing any more, if it is none.
        value: Option<Bytes>,
    },
    /// The answer to a request of this application.
    Answered {
        /// Which.
        request: RequestId,
        /// The answer.
        answer: Result<Answer, RequestError>,
    },
    /// This peer's token ends soon, and its time in the room with it: bring another by
    /// [`Request::Renew`](crate::proto::service::Request::Renew).
    TokenEnds {
        /// In so long.
        after: Duration,
    },
    /// Something is another of the voices in the room.
    Voice(VoiceEvent),
    /// Whether the relay keeps what comes such that it outlives the relay: told when this peer has come in
    /// where it does, and when it cannot any more.
    Keeps(bool),
    /// All that was edited here is kept, such that it outlives the relay. Told when nothing is on its way
    /// there: of who edits without a pause, at the end of it.
    Kept,
    /// The room's own store keeps nothing any more: what it kept before is there.
    NotStored {
        /// Why.
        why: String,
    },
    /// More happened than is told one by one: more than the queue of events holds, or the room was left
    /// while its documents were still coming. Events before this may have been discarded, but for
    /// [`Self::Settled`], [`Self::SignalSettled`], [`Self::SignalLost`], [`Self::Answered`] and
    /// [`Self::TokenEnds`], of which the last half of the queue stays; and the application should read
    /// everything anew.
    Overrun,
}

/// Something that was proposed for a confirmed dictionary: the [`Event::Settled`] with the same
/// number says what became of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// What became of a proposal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was done, and the relay has it.
    Done,
    /// A model stood there already, or another peer's came first: that is the one to use.
    Found,
    /// Another was first, or the relay said no. Nothing was changed.
    Lost(Denial),
    /// It was this peer's to do, and the document takes no more.
    Failed(ChangeFault),
}

/// What is different in one model or text after an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Which model or text.
    pub model: Path,
    /// The properties that have another value. Empty for a text.
    pub properties: BTreeSet<u16>,
    /// Who did it.
    pub origin: Origin,
    /// Whether the model came into being with this update.
    pub fresh: bool,
}

/// How far a room is.
///
/// Who comes from a service with a status of four values, as PICO's rooms have it, derives that: a lost
/// link is no exit there either, and every status behind `Processing` has a reason.
///
/// ```
/// use parlor::{Class, State};
///
/// #[derive(Debug, PartialEq)]
/// enum RoomStatus {
///     NotAvailable,
///     Idle,
///     Processing,
///     InRoom,
/// }
///
/// fn status(state: &State) -> RoomStatus {
///     match state {
///         // Nothing was asked of a relay, or nothing good can come of asking again.
///         State::Offline => RoomStatus::NotAvailable,
///         State::Closed(reason) if reason.class() == Class::ApplicationFault => {
///             RoomStatus::NotAvailable
///         }
///         State::Closed(_) => RoomStatus::Idle,
///         State::Connecting | State::Joining => RoomStatus::Processing,
///         State::Ready | State::Reconnecting { .. } => RoomStatus::InRoom,
///     }
/// }
///
/// assert_eq!(status(&State::Offline), RoomStatus::NotAvailable);
/// assert_eq!(status(&State::Joining), RoomStatus::Processing);
/// assert_eq!(status(&State::Ready), RoomStatus::InRoom);
/// assert_eq!(status(&State::Closed(parlor::Reason::Left)), RoomStatus::Idle);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// No relay was asked for: the room lives in this process.
    Offline,
    /// On the way to the relay for the first time.
    Connecting,
    /// The transport is up, the room's documents are not here yet.
    Joining,
    /// In the room, with its documents.
    Ready,
    /// The link was lost; another is tried. Edits go on and merge.
    Reconnecting {
        /// Which try, from 1.
        attempt: u32,
        /// How long until it begins.
        wait: Duration,
        /// Why the last link ended.
        reason: Reason,
    },
    /// Over. Edits still go to the documents, and no further.
    Closed(Reason),
}

/// A peer in a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// The number of its connection in this room.
    pub client: ClientNumber,
    /// Who it is, across connections.
    pub peer: PeerId,
    /// What it said of itself when it joined.
    pub metadata: Bytes,
    /// A digest of the models that it was built with; differs between versions of an application.
    pub schema: [u8; 8],
    /// Whether it had been in this room before, as far as the relay remembers.
    pub rejoined: bool,
}

/// Why a member is no longer in a room.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize,
)]
#[non_exhaustive]
pub enum LeaveReason {
    /// It said so.
    Left,
    /// Its link was lost.
    Lost,
    /// It came in again by a newer link.
    Replaced,
    /// It broke the protocol.
    Expelled,
    /// It was put out.
    Kicked,
}

impl LeaveReason {
    /// What those are told who know no room service.
    pub(crate) const fn of_old(self) -> Self {
        match self {
            Self::Kicked => Self::Expelled,
            Self::Left | Self::Lost | Self::Replaced | Self::Expelled => self,
        }
    }
}
