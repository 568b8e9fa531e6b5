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
    /// When history is cut.
    pub epochs: EpochConfig,
    /// How models are owned.
    pub ownership: OwnershipConfig,
    /// How what moves is told: to each member, at most so often and so much.
    pub state: StateConfig,
    /// What is kept of signals, and how many are taken.
    pub signals: SignalConfig,
    /// What is taken from others.
    pub limits: Limits,
}

/// What a relay does with signals.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalConfig {
    /// The most that a room keeps for members that have not heard them; of more the oldest go. Who is
    /// in the room and has not heard one that goes loses its link (`SlowConsumer`); who comes back is
    /// told that it missed some.
    pub kept: usize,
    /// The most bytes of those, as an estimate from above.
    pub kept_bytes: usize,
    /// How long one is kept at most, for who comes back.
    pub kept_for: Duration,
    /// How long one is kept at least: so long a member may lag behind. While there is no room for that,
    /// nothing is taken: it is as if it had been lost, and said again.
    pub lag: Duration,
    /// How many of one member are taken in a second, and how many bytes that they say. The rest is as if
    /// it had been lost.
    pub per_second: u32,
    /// See there.
    pub bytes_per_second: usize,
    /// Of how many sessions a room remembers which of their signals it took. Of more, those that went
    /// out first are forgotten; who comes back then does not know whether its last ones were heard.
    pub senders: usize,
}

impl Default for SignalConfig {
    fn default() -> Self {
        Self {
            kept: 32_768,
            kept_bytes: 4 << 20,
            kept_for: Duration::from_secs(30),
            lag: Duration::from_secs(1),
            per_second: 4_000,
            bytes_per_second: 512 << 10,
            senders: 4_096,
        }
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

/// How a relay grants models.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnershipConfig {
    /// How long an owner may believe that it owns an exclusive model, from the last thing that it
    /// said: so long nobody else is granted it. Must be above [`PeerConfig::lease_margin`].
    pub lease: Duration,
    /// How long an owner may be away, from the last frame that was received of it, before what it
    /// owns is nobody's.
    pub grace: Duration,
    /// How long a model that was taken over stays with who took it.
    pub cooldown: Duration,
    /// Of how many changes of a peer the claims are answered within a second. More are denied.
    pub claims_per_second: u32,
    /// How many models of a room may be owned at once. Claims of more are denied.
    pub models: u32,
    /// How often the owner of an exclusive model is asked to let go while another waits.
    pub revoke_interval: Duration,
}

impl Default for OwnershipConfig {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(3),
            grace: Duration::from_secs(5),
            cooldown: Duration::from_millis(100),
            claims_per_second: 20,
            models: 20_000,
            revoke_interval: Duration::from_millis(500),
        }
    }
}

/// When a relay cuts the history of a document, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct EpochConfig {
    /// History of at most so many bytes is never cut while anybody writes, as an estimate of what it
    /// takes stripped.
    pub floor: usize,
    /// Nor is history that is at most so many hundredths of what the epoch began with.
    pub ratio: usize,
    /// How long an epoch lasts at least while anybody writes.
    pub interval: Duration,
    /// After so long without a write, whatever is over `rest_floor` is cut.
    pub rest: Duration,
    /// History of at most so many bytes stays for ever at rest.
    pub rest_floor: usize,
    /// Nor is, at rest, history of at most so many hundredths of what the epoch began with.
    pub rest_ratio: usize,
    /// How many values are gone through at once, so that other rooms don't wait: about a
    /// millisecond. So are cuts made, and behind each the columns of what the epoch begins with, which
    /// whoever joins is sent. Columns are kept as long as the epoch, whether anybody comes or not:
    /// about as many bytes as the values have deflated. Who comes before they are there has them made
    /// at once.
    pub budget: usize,
    /// How long others come first after that.
    pub pause: Duration,
    /// How long a member may take to bring back what an epoch began with, to a relay that has nothing
    /// of it; others are sent away meanwhile. Then it is closed (`HandshakeTimeout`).
    pub restoring: Duration,
    /// Of how many epochs a relay remembers whose changes went into the next. A peer that comes back
    /// from an older one may write again what it was not told the fate of.
    pub remembered: usize,
}

impl Default for EpochConfig {
    fn default() -> Self {
        Self {
            floor: 8 << 10,
            ratio: 100,
            interval: Duration::from_secs(30),
            rest: Duration::from_secs(10),
            rest_floor: 1 << 10,
            rest_ratio: 10,
            budget: 4_096,
            pause: Duration::from_millis(1),
            restoring: Duration::from_secs(30),
            remembered: 256,
        }
    }
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
            epochs: EpochConfig::default(),
            ownership: OwnershipConfig::default(),
            state: StateConfig { rate: 60, ..StateConfig::default() },
            signals: SignalConfig::default(),
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
    /// Signals of this application that wait until the relay has them. More are an error.
    pub signals: usize,
    /// Signals sent and not yet acknowledged, per link and direction. More wait.
    pub signals_in_flight: usize,
    /// Others' signals that wait for their models to arrive. More are dropped.
    pub signals_waiting: usize,
    /// Bytes that the control lane has been handed and has not written, above which signals wait: so
    /// much they may delay what else goes there.
    pub signal_window: usize,
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
            signals_in_flight: 256,
            signals_waiting: 1_024,
            signal_window: 64 << 10,
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
