//! Every limit, timeout and default, documented once.

use std::time::Duration;

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
    /// How many tries in a row may fail before the room closes; 0 means that it never gives up.
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
            limits: Limits::default(),
        }
    }
}

impl PeerConfig {
    /// How long a network frame lasts.
    #[must_use]
    pub fn frame(&self) -> Duration {
        Duration::from_micros(1_000_000 / u64::from(self.frame_rate.clamp(1, 120)))
    }
}

/// What a relay's rooms allow.
#[derive(Clone, Debug, PartialEq)]
pub struct HubConfig {
    /// The most rooms at once. One more is refused (`RelayFull`).
    pub rooms: u32,
    /// The most members of one room. One more is refused (`RoomFull`).
    pub members: u32,
    /// Joins a minute that one peer may try, bursts of as many included. More are refused
    /// (`RateLimited`): 30, so that a peer that reconnects as designed is never refused.
    pub joins_per_minute: u32,
    /// How long a link may be up without joining a room. Then it is closed (`HandshakeTimeout`).
    pub handshake: Duration,
    /// How long a member may be silent. Then it is closed (`Idle`).
    pub silence: Duration,
    /// How often documents are compared with each member.
    pub compare_interval: Duration,
    /// How long a room without members is kept in memory.
    pub linger: Duration,
    /// Bytes of other peers' changes that a link may have waiting for a signature that covers them.
    /// More end the link (`TooLarge`).
    pub unproven: usize,
    /// How often a peer is answered a question that costs the relay more than the peer: its roster,
    /// its welcome again, what its heads do not cover. More are ignored.
    pub question_interval: Duration,
    /// The longest round trip that a peer is believed: it makes the relay wait longer before it says
    /// something again.
    pub round_trip: Duration,
    /// How many peers a room remembers as having been there before. Later ones are always new.
    pub remembered: usize,
    /// The most events that wait for the operator; the oldest is dropped for one more.
    pub event_capacity: usize,
    /// What is taken from others.
    pub limits: Limits,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            rooms: 1_000,
            members: 128,
            joins_per_minute: 30,
            handshake: Duration::from_secs(5),
            silence: Duration::from_secs(10),
            compare_interval: Duration::from_secs(1),
            linger: Duration::from_secs(30),
            unproven: 64 << 20,
            question_interval: Duration::from_millis(250),
            round_trip: Duration::from_secs(5),
            remembered: 65_536,
            event_capacity: 4_096,
            limits: Limits::default(),
        }
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
    /// Bytes of the metadata that a peer shows to others.
    pub metadata: usize,
    /// Bytes of a snapshot that is taken from a relay.
    pub snapshot: u64,
    /// Incarnations of peers that write to one document. One more cannot write (`TooManyAuthors`).
    pub authors: usize,
    /// Well-known objects of one document: texts, and collections and children at fixed places. One
    /// more cannot be made (`TooManyAuthors`).
    pub well_known: usize,
    /// Changes of one document. A room that has more takes no others (`HistoryFull`).
    pub history: usize,
    /// Changes sent and not yet acknowledged, per link and document. More wait in the document.
    pub in_flight: usize,
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
            metadata: 4 << 10,
            snapshot: 64 << 20,
            authors: 2_048,
            well_known: 65_536,
            history: 1_000_000,
            in_flight: 4_096,
            acknowledge_after: Duration::from_millis(50),
            acknowledge_at: 256,
            outbox: 1 << 20,
            chunk: 64 << 10,
            chunks_in_flight: 16,
        }
    }
}
