//! What a relay allows, and how it keeps its rooms.

use std::time::Duration;

use super::{Limits, StateConfig};

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
    /// How long a peer waits at the door: for the application's server to say whether it may come in,
    /// where that is asked, and for what is kept of its room. Then it is refused (`Unanswered`,
    /// `HandshakeTimeout`).
    pub authorise: Duration,
    /// How long a member may be silent. Then it is closed (`Idle`).
    pub silence: Duration,
    /// How often documents are compared with each member.
    pub compare_interval: Duration,
    /// How long a room without members stays open. Then it is kept, if the relay keeps rooms, or else
    /// forgotten.
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
    /// The most events that wait for the operator, and for a plugin; the oldest is dropped for one more.
    pub event_capacity: usize,
    /// When history is cut.
    pub epochs: EpochConfig,
    /// How models are owned.
    pub ownership: OwnershipConfig,
    /// How what moves is told: to each member, at most so often and so much.
    pub state: StateConfig,
    /// What is kept of signals, and how many are taken.
    pub signals: SignalConfig,
    /// What rooms are beside their documents, and what may be asked of them.
    pub service: ServiceConfig,
    /// What is carried of voices.
    pub voice: VoiceConfig,
    /// How open rooms are kept, where that outlives the relay.
    pub keeping: KeepingConfig,
    /// What is taken from others.
    pub limits: Limits,
}

/// How a relay keeps open rooms, where what is kept outlives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepingConfig {
    /// How long after one commit has begun the next may begin, with what came to all rooms meanwhile; one
    /// at a time. 85 ms: a store that writes in two phases asks its disk twice in each, 24 times a second.
    pub interval: Duration,
    /// Records behind what is kept whole of a room. For one more it is kept whole again. 1,000.
    pub records: u32,
    /// Bytes of them, likewise. 1 MiB.
    pub bytes: usize,
    /// A room that closes with more records than this is kept whole, so that it opens faster. 64.
    pub closing: u32,
    /// Bytes in one commit, behind which no further room comes into it. 8 MiB.
    pub at_once: usize,
}

impl Default for KeepingConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(85),
            records: 1_000,
            bytes: 1 << 20,
            closing: 64,
            at_once: 8 << 20,
        }
    }
}

/// What a relay carries of voices. What is over a limit is not passed on, and nothing is said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct VoiceConfig {
    /// How many streams a member has at once. One more is not opened (`TooMany`); with 0 the relay
    /// carries no voice.
    pub streams: u8,
    /// How many openings of streams are taken of a link in a second, in the long run: each has a topic
    /// that everybody is told of who is connected without datagrams. What is beyond is not taken, and
    /// comes again. 1.
    pub openings_per_second: u32,
    /// How many of them are taken at once, and the rest of a message. 16.
    pub openings: u32,
    /// Bytes of one packet, with its head of 12.
    pub packet: usize,
    /// Packets of one stream in a second: 50, each of 20 ms, and some for a clock that runs fast. What
    /// is taken of a stream counts on when it is closed and opened again.
    pub packets_per_second: u32,
    /// How many of them may come at once, as behind a burst of loss.
    pub burst: u32,
    /// Bytes of one stream's packets in a second, and as many at once as in half a second. 20,000: the
    /// most that a codec may be told, 128 kb/s, with the heads of its packets, and a fifth more for
    /// what varies.
    pub bytes_per_second: u32,
    /// For how long after a stream is muted the ends of what was said are still passed on, so that no
    /// hearer waits for more of it and makes it up: 500 ms.
    pub ends: Duration,
    /// How long before a member may not speak any more it is told so.
    pub warning: Duration,
    /// How many peers nobody hears in one room, because a moderator says so, also when they are gone. One
    /// more is not silenced (`TooMany`). Peers know of at most 4,096.
    pub silenced: usize,
}

impl Default for VoiceConfig {
    fn default() -> Self {
        Self {
            streams: 4,
            openings_per_second: 1,
            openings: 16,
            packet: 1_012,
            packets_per_second: 60,
            burst: 30,
            bytes_per_second: 20_000,
            ends: Duration::from_millis(500),
            warning: Duration::from_secs(30),
            silenced: 1_024,
        }
    }
}

/// What a relay's room service allows.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceConfig {
    /// For how long the place is held of a member whose link is lost, and that of somebody for whom one
    /// was found. So long an owner may be away and be the owner.
    pub seat: Duration,
    /// Bytes of a room's description.
    pub description: usize,
    /// How many keys a room's data has.
    pub keys: usize,
    /// Bytes of one of them.
    pub key: usize,
    /// Bytes of one value.
    pub value: usize,
    /// Bytes of all keys and values of one room.
    pub data: usize,
    /// How many peers a room keeps out at once. One more is not put out (`TooMany`).
    pub bans: usize,
    /// For how many seconds a peer is kept out at most; what is asked beyond is cut.
    pub ban_s: u32,
    /// How many invites of a room are good at once. No more are made (`TooMany`).
    pub invites: usize,
    /// For how many seconds an invite is good at most; what is asked beyond is cut.
    pub invite_s: u32,
    /// How many rooms are on one page of a list, at most 64.
    pub page: u32,
    /// How much is taken of one peer in a second: requests, and what it says of itself. The rest is as
    /// if it had been lost, and comes again.
    pub per_second: u32,
    /// How many things may wait to be told to one member. One more ends its link (`SlowConsumer`). Who
    /// comes in is told at once what all members say of themselves: more than members by keys
    /// ([`Limits::presence_keys`]), or nobody comes into a room in which so much is said.
    pub waiting: usize,
    /// How many things may be on their way to one member, and not acknowledged. While so many wait,
    /// nothing that it asks is taken: it comes again.
    pub in_flight: usize,
    /// How long who came to ask may ask nothing. Then its link is closed (`Idle`).
    pub visit: Duration,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            seat: Duration::from_secs(10),
            description: 512,
            keys: 64,
            key: 64,
            value: 1 << 10,
            data: 32 << 10,
            bans: 1_024,
            ban_s: 365 * 24 * 3_600,
            invites: 256,
            invite_s: 7 * 24 * 3_600,
            page: 20,
            per_second: 60,
            waiting: 4_096,
            in_flight: 64,
            visit: Duration::from_secs(30),
        }
    }
}

/// What a relay does with signals.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalConfig {
    /// The most that a room keeps for members that have not heard them; of more the oldest go. One to one
    /// hearer counts twice until what became of it is known, because that is kept for its giver. Who is
    /// in the room and has not heard one that goes loses its link (`SlowConsumer`); who comes back is
    /// told that it missed some.
    pub kept: usize,
    /// The most bytes of those, as an estimate from above.
    pub kept_bytes: usize,
    /// How long one is kept at most, for who comes back. Who is away for longer does not hear what is
    /// told to it alone: its giver is told so.
    pub kept_for: Duration,
    /// How long one is kept at least: so long a member may lag behind. While there is no room for that,
    /// nothing is taken: it is as if it had been lost, and said again.
    pub lag: Duration,
    /// How many of one member are taken in a second, and how many bytes that they say. The rest is as if
    /// it had been lost.
    pub per_second: u32,
    /// See there.
    pub bytes_per_second: usize,
    /// How many cast signals of one member are passed on in a second, and to one member, and how many
    /// bytes that they say, each. The rest is lost.
    pub casts_per_second: u32,
    /// See there.
    pub cast_bytes_per_second: usize,
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
            casts_per_second: 4_000,
            cast_bytes_per_second: 256 << 10,
            senders: 4_096,
        }
    }
}

/// How a relay grants models.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnershipConfig {
    /// How long an owner may believe that it owns an exclusive model, from the last thing that it
    /// said: so long nobody else is granted it. Must be above
    /// [`PeerConfig::lease_margin`](super::PeerConfig::lease_margin).
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
            authorise: Duration::from_secs(5),
            silence: Duration::from_secs(10),
            compare_interval: Duration::from_secs(1),
            linger: Duration::from_secs(30),
            unproven: 64 << 20,
            question_interval: Duration::from_millis(250),
            round_trip: Duration::from_secs(5),
            remembered: 65_536,
            event_capacity: 16_384,
            epochs: EpochConfig::default(),
            ownership: OwnershipConfig::default(),
            state: StateConfig { rate: 60, ..StateConfig::default() },
            signals: SignalConfig::default(),
            service: ServiceConfig::default(),
            voice: VoiceConfig::default(),
            keeping: KeepingConfig::default(),
            limits: Limits::default(),
        }
    }
}
