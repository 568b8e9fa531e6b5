//! Every limit, timeout and default, documented once.

mod relay;

use std::time::Duration;

pub use self::relay::{
    EpochConfig, HubConfig, KeepingConfig, OwnershipConfig, ServiceConfig, SignalConfig,
    VoiceConfig,
};

/// What a peer does and how often.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerConfig {
    /// Network frames a second, 1 to 120 (others are taken as the nearest): edits within one frame are one change. 20 by default, as
    /// Normcore's; more costs bytes, fewer costs latency.
    pub frame_rate: u32,
    /// How long after a lost link the second try begins at most; the first begins at once and each
    /// later one may wait twice as long. The wait is drawn evenly from zero to this ("full jitter").
    pub backoff: Duration,
    /// The longest that a wait between tries may be.
    pub backoff_cap: Duration,
    /// How many tries in a row may fail before the room closes; 0 means that it never gives up. It does
    /// not either while voices go on by direct links ([`Self::alone`]).
    pub attempts: u32,
    /// How long a link may be up without the relay's answer to the join.
    pub join_timeout: Duration,
    /// How long until an unanswered step of the join is said again: links of a simulator lose frames.
    pub handshake_retry: Duration,
    /// How often the relay is pinged until the clocks agree, which takes 32 answers.
    pub first_pings: Duration,
    /// How often the relay is pinged from then on.
    pub ping_interval: Duration,
    /// How long the relay may be silent before the link counts as lost.
    pub silence: Duration,
    /// How often own changes are signed and documents compared.
    pub compare_interval: Duration,
    /// The most events that wait for the application; beyond, all are dropped for one
    /// [`Event::Overrun`](crate::proto::event::Event::Overrun).
    pub event_capacity: usize,
    /// How many values of a document are gone through at once while its history is cut: about a
    /// millisecond.
    pub cut_budget: usize,
    /// How long everything else comes first after that.
    pub cut_pause: Duration,
    /// How long the relay may have everything that was written here, or by another that is in the room,
    /// without letting it in. Then what the relay has is taken instead, and what was written here is
    /// written anew.
    pub unconfirmed: Duration,
    /// How many epochs that are over a peer remembers, to know a relay that is behind.
    pub remembered_epochs: usize,
    /// How much earlier than the relay a peer counts its lease as over: what the two clocks may drift
    /// apart within one, and more.
    pub lease_margin: Duration,
    /// How what moves is told.
    pub state: StateConfig,
    /// How long what was written to a state property may rest before it goes into the document.
    pub rest: Duration,
    /// How long what moves on goes without.
    pub fold: Duration,
    /// How long a signal of this application may wait without a link to the relay. Then it is given up
    /// ([`Event::SignalLost`](crate::proto::event::Event::SignalLost)).
    pub signal_age: Duration,
    /// How long another's signal of a model waits for that to arrive, once all is here that was in the
    /// room. Then it is dropped.
    pub signal_patience: Duration,
    /// How many requests of the room service may be unanswered. One more is not asked
    /// ([`RequestError::Busy`](crate::proto::reason::RequestError::Busy)).
    pub requests: usize,
    /// How long who came to ask keeps a link on which nothing is asked.
    pub visit: Duration,
    /// How many streams of voice this peer has at once.
    pub streams: u8,
    /// How a room is kept that has a store of its own.
    pub diary: DiaryConfig,
    /// How long streams go on by direct links when the link to the relay is lost; so long, too, members
    /// keep theirs whom the relay has lost.
    pub alone: Duration,
    /// How long streams of others still go on so once a relay has let this peer in again, until their
    /// owners have opened them there: they come back when their own waits are over.
    pub handover: Duration,
    /// How many peers are to have a direct link with this one. More do not.
    pub acquaintances: usize,
    /// What is taken from others.
    pub limits: Limits,
}

impl Default for PeerConfig {
    fn default() -> Self {
        Self {
            frame_rate: 20,
            backoff: Duration::from_millis(250),
            backoff_cap: Duration::from_secs(15),
            attempts: 5,
            join_timeout: Duration::from_secs(10),
            handshake_retry: Duration::from_millis(500),
            first_pings: Duration::from_millis(50),
            ping_interval: Duration::from_secs(1),
            silence: Duration::from_secs(10),
            compare_interval: Duration::from_secs(1),
            event_capacity: 65_536,
            cut_budget: 4_096,
            cut_pause: Duration::from_millis(4),
            unconfirmed: Duration::from_secs(10),
            remembered_epochs: 256,
            lease_margin: Duration::from_millis(200),
            state: StateConfig::default(),
            rest: Duration::from_secs(1),
            fold: Duration::from_secs(10),
            signal_age: Duration::from_secs(30),
            signal_patience: Duration::from_secs(2),
            requests: 64,
            visit: Duration::from_secs(5),
            streams: 4,
            diary: DiaryConfig::default(),
            alone: Duration::from_secs(10 * 60),
            handover: Duration::from_secs(20),
            acquaintances: 1_024,
            limits: Limits::default(),
        }
    }
}

/// How a peer keeps its room, if it has a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiaryConfig {
    /// How often what is new is kept. 250 ms: what was edited since is lost with the process.
    pub interval: Duration,
    /// Records behind what is kept whole. For one more it is kept whole again. 1,000.
    pub records: u32,
    /// Bytes of them, likewise. 4 MiB.
    pub bytes: usize,
}

impl Default for DiaryConfig {
    fn default() -> Self {
        Self { interval: Duration::from_millis(250), records: 1_000, bytes: 4 << 20 }
    }
}

impl PeerConfig {
    /// How long a network frame lasts.
    #[must_use]
    pub fn frame(&self) -> Duration {
        Duration::from_micros(1_000_000 / u64::from(self.frame_rate.clamp(1, 120)))
    }
}

/// How one side of a link tells what moves.
#[derive(Clone, Debug, PartialEq)]
pub struct StateConfig {
    /// Frames a second, 1 to 120 (others are taken as the nearest). For a relay 60 by default: what it
    /// adds to the age of a value is less than one of its frames.
    pub rate: u32,
    /// Bytes of one packet, so that it goes as one datagram: what has no room waits for the next tick,
    /// behind what is farther off.
    pub packet: usize,
    /// Bytes of a frame that builds on nothing, which goes with what must arrive.
    pub whole: usize,
    /// Bytes a second to one receiver, and as many at once as go in a quarter of a second. What has no
    /// room waits, and only the newest of it is told then.
    pub bytes_per_second: usize,
    /// The most values of one writer. More are not told, nor heard.
    pub entries: usize,
    /// How soon what was not answered is said again, at least; a quarter of the round trip, if that is
    /// longer. While things move, so much later than the next frame, which says it.
    pub resend: Duration,
    /// How often a relay looks at what members want to be told of, where that is not everything: what
    /// moves is looked at at once.
    pub review: Duration,
    /// After how long, and two round trips, without an answer to anything a stream begins anew.
    pub patience: Duration,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self {
            rate: 20,
            packet: 1_100,
            whole: 80 << 10,
            bytes_per_second: 256 << 10,
            entries: 4_096,
            resend: Duration::from_millis(10),
            review: Duration::from_millis(250),
            patience: Duration::from_millis(250),
        }
    }
}

impl StateConfig {
    /// How long a frame lasts.
    #[must_use]
    pub fn frame(&self) -> Duration {
        Duration::from_micros(1_000_000 / u64::from(self.rate.clamp(1, 120)))
    }

    /// After how long without an answer a stream begins anew.
    #[must_use]
    pub fn patience_of(&self, round_trip: Duration) -> Duration {
        self.patience + 2 * round_trip
    }

    /// How soon what was not answered is said again.
    #[must_use]
    pub fn resend_after(&self, round_trip: Duration) -> Duration {
        self.resend.max(round_trip / 4)
    }
}

/// What is taken from others, and what may wait for them.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Bytes of one frame. A larger one is not decoded and ends its link (`TooLarge`). Never more
    /// than [`crate::proto::wire::MAX_FRAME`].
    pub frame: usize,
    /// Bytes of one change. A local edit over it is an error to its author before it is applied.
    pub change: usize,
    /// Operations of one change.
    pub operations: usize,
    /// Bytes of a key of a map, as others write it: more than an edit of one's own may take.
    pub key: usize,
    /// How many maps may lie within each other.
    pub depth: usize,
    /// Bytes of the metadata that a peer shows to others.
    pub metadata: usize,
    /// Bytes of a snapshot that is taken from a relay. As many are kept of each document's when its
    /// link breaks, until the next link brings the rest or another snapshot, or the room is left.
    pub snapshot: u64,
    /// Rows of a base that is taken from a relay: keys of all of its maps. In memory each takes 64
    /// bytes and what it holds.
    pub rows: usize,
    /// Characters of two texts that are compared one by one, when a peer comes back to one that was cut
    /// without it; of longer stretches that differ, lines are compared, and of more lines none. Costs
    /// the square of it at most: about 0.1 s.
    pub compared: usize,
    /// Incarnations of peers that write to one document. One more cannot write (`TooManyAuthors`).
    pub authors: usize,
    /// Well-known objects of one document: texts, and collections and children at fixed places. One
    /// more cannot be made (`TooManyAuthors`).
    pub well_known: usize,
    /// Changes of one document. A room that has more takes no others (`HistoryFull`).
    pub history: usize,
    /// Bytes that a signal says. More are an error to who gives it, and end the link of who tells it
    /// (`TooLarge`). Never more than 64 KiB.
    pub signal: usize,
    /// Bytes that a cast signal says, which may be lost: about what goes into one datagram. More are as
    /// of [`Self::signal`].
    pub cast: usize,
    /// Signals of this application that wait until the relay has them; and cast ones, until the next
    /// tick. More are an error.
    pub signals: usize,
    /// Signals to one hearer that the relay has and has not said the outcome of. Of more, the oldest is
    /// not waited for any more ([`Event::SignalLost`](crate::proto::event::Event::SignalLost)).
    pub signals_awaited: usize,
    /// Signals sent and not yet acknowledged, per link and direction. More wait.
    pub signals_in_flight: usize,
    /// Others' signals that wait for their models to arrive. More are dropped.
    pub signals_waiting: usize,
    /// Bytes that the control lane has been handed and has not written, above which signals wait: so
    /// much they may delay what else goes there.
    pub signal_window: usize,
    /// How many keys a member may say something of itself under.
    pub presence_keys: usize,
    /// How many things all members together may say of themselves. A peer that is told of more does not
    /// believe it.
    pub presences: usize,
    /// How many streams of voice may be open in a room, and how many peers silenced. A peer that is told of
    /// more does not believe it.
    pub streams: usize,
    /// Bytes of the keys of what a member says of itself, and of what stands there. More ends the link of who says it (`TooLarge`).
    pub presence: usize,
    /// Changes sent and not yet acknowledged, per link and document. More wait in the document.
    pub in_flight: usize,
    /// Positions of a link's order that changes may refer to, per document: what stands further back
    /// is named one by one.
    pub order: usize,
    /// Bytes that the records of one frame may be inflated to. More end the link.
    pub inflated: usize,
    /// How long what came may wait for more to be acknowledged with it.
    pub acknowledge_after: Duration,
    /// How many entries are acknowledged at once rather than later.
    pub acknowledge_at: u64,
    /// Bytes handed to the driver and not yet written, per link and lane. The document and snapshot
    /// lanes wait (their frames are made when there is room); a control lane over it closes its link
    /// (`SlowConsumer`).
    pub outbox: usize,
    /// Bytes of one piece of a snapshot.
    pub chunk: usize,
    /// Pieces of a snapshot sent and not yet acknowledged.
    pub chunks_in_flight: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame: 128 << 10,
            change: 96 << 10,
            operations: 20_000,
            key: 512,
            depth: 64,
            metadata: 4 << 10,
            snapshot: 64 << 20,
            rows: 1_200_000,
            compared: 16_384,
            authors: 2_048,
            well_known: 65_536,
            history: 1_000_000,
            signal: 16 << 10,
            signals: 1_024,
            cast: 1_000,
            signals_awaited: 4_096,
            signals_in_flight: 256,
            signals_waiting: 1_024,
            signal_window: 64 << 10,
            presence_keys: 16,
            presences: 16_384,
            streams: 4_096,
            presence: 4 << 10,
            in_flight: 4_096,
            order: 1_024,
            inflated: 1 << 20,
            acknowledge_after: Duration::from_millis(50),
            acknowledge_at: 256,
            outbox: 1 << 20,
            chunk: 64 << 10,
            chunks_in_flight: 16,
        }
    }
}
