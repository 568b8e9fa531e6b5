//! Every limit and timeout of the network, documented once.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::net::direct::DirectConfig;
use crate::net::voice::VoiceNetConfig;

/// Which of several relays a client is linked with.
///
/// A room is on one relay: of the same name there may be another on another relay, and who is in one
/// does not hear of who is in the other. So everybody who wants to meet must come to the same relay.
/// With [`Self::InOrder`] they do if all were given the same order and can reach the same relays; with
/// [`Self::Nearest`] those who are near each other do, mostly. Who must be sure agrees first: somebody
/// tells the others which relay it is on ([`Room::relay`](crate::Room::relay)), or a group
/// [measures](crate::net::measure) and passes one relay on; then each is given the addresses of that
/// one alone.
///
/// Addresses that end with the same `/p2p/ID` are of one relay. Those without an id are together one
/// relay as well, which is wrong if they are not: name ids where there are several. A relay has the
/// place of its first address.
///
/// Once a link was up, its relay is dialed before any other, and for [`NetConfig::stay`] none but it;
/// only then does the choice begin anew. So a short loss moves nobody, and a relay that brings links up
/// and lets nobody in is not left for another. Who is moved by a long one
/// brings the room along, as to a relay that forgot it, and finds there who was moved as well. Who
/// could stay does not hear of them any more, until the application brings them together: a room
/// that has moved stays where it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RelayChoice {
    /// Strictly in the order in which they were given: the next is dialed only when every address of
    /// those before it has failed.
    #[default]
    InOrder,
    /// The nearest first, by what [`measure`](crate::net::measure) finds, which takes up to
    /// [`NetConfig::measure`] before the first link; then as in order. Relays that were not measured
    /// are not dialed. With a single relay nothing is measured.
    Nearest,
}

/// What both ends of a link do: the client's side has only these.
///
/// Sources: "libp2p" are the defaults of libp2p 0.57, "limits" is the project's table of limits.
#[derive(Clone, Debug, PartialEq)]
pub struct NetConfig {
    /// How long one address may take from dial to an encrypted connection, inbound ones included.
    /// Longer ones are given up. 5 s (libp2p: 10 s; limits: handshake 5 s).
    pub connect: Duration,
    /// How long a connection may take to open its four lanes. Then it is closed. 5 s (limits).
    pub lanes: Duration,
    /// How long an address has before the next one is tried beside it. QUIC comes first, then TCP,
    /// then WebSocket. 1 s: a handshake of QUIC takes 3 ms and two round trips.
    pub head_start: Duration,
    /// Which of several relays is dialed. In order.
    pub relays: RelayChoice,
    /// How long after a lost link only its relay is dialed, if there are others: again and again,
    /// [`Self::head_start`] apart but at least 100 ms. Counted from the first
    /// [`Effect::Dial`](crate::proto::event::Effect::Dial), which takes all of it. 10 s: a relay
    /// restarts, and a telephone changes networks, in less.
    pub stay: Duration,
    /// How long measuring relays may take, from the first dial on. What has not answered by then is
    /// not measured. 3 s: the head start of QUIC, and what it takes to reach the other side of the
    /// earth by TCP. Closing the connections may take [`Self::linger`] more.
    pub measure: Duration,
    /// How many round trips to a relay are measured, one after the other; the least counts. At least
    /// 1. 3.
    pub round_trips: u32,
    /// How long a QUIC connection may be without a packet before it counts as lost. 10 s (libp2p).
    pub quic_idle: Duration,
    /// How often a silent QUIC connection sends something. 5 s (libp2p); must be well below
    /// [`Self::quic_idle`].
    pub quic_keep_alive: Duration,
    /// The most streams at once that the other end may open in a QUIC connection; it waits for more.
    /// 32 (limits; libp2p: 256). Four are lanes, the others identify and ping.
    pub quic_streams: u32,
    /// Bytes that may be in flight on one QUIC stream. 1 MiB (limits; libp2p: 10 MB).
    pub quic_stream_window: u32,
    /// Bytes that may be in flight on one QUIC connection. 2 MiB (limits; libp2p: 15 MB).
    pub quic_connection_window: u32,
    /// The most streams at once in a TCP or WebSocket connection; one more closes it. 32 (limits;
    /// libp2p: 512), so that at most 32 x 256 KiB lie unread.
    pub yamux_streams: usize,
    /// The most inbound streams of one connection whose protocol is not agreed on yet; more are
    /// reset. 16 (limits; libp2p: 128).
    pub negotiating_streams: usize,
    /// How long a connection without streams is kept. 60 s (libp2p: 10 s).
    pub idle_connection: Duration,
    /// How often the transport is pinged. 15 s (libp2p). Rooms have pings of their own.
    pub ping: Duration,
    /// Bytes of one frame, without its length. A longer one that arrives ends its link unread.
    /// 128 KiB (limits).
    pub frame: usize,
    /// Frames that may wait on one lane of one link. One more ends the link. 65,536: machines count
    /// bytes, so that this is only met by frames of a few bytes each.
    pub outbox_frames: usize,
    /// Bytes of frames that may wait on one lane of one link. More end the link. 2 MiB: twice what a
    /// machine hands over ([`Limits::outbox`](crate::proto::config::Limits::outbox)).
    pub outbox_bytes: usize,
    /// Bytes of state frames that may wait at a link: as many to be sent as datagrams, to be written
    /// to its stream, and to be read by the machine. The oldest make room for new ones. 64 KiB; of
    /// 100 bytes each, about 500 frames.
    pub state_bytes: usize,
    /// How long a state frame may wait at each of these. Then it is thrown away. 250 ms.
    pub state_age: Duration,
    /// Bytes of state frames that may be on their way by a link's stream, which are answered one by
    /// one; the others wait. So they do if none is answered for [`Self::state_age`]. 16 KiB, and the
    /// rest of a frame.
    pub state_unanswered: usize,
    /// Bytes of datagrams of one connection that may wait for QUIC to send them. The oldest make room
    /// for new ones. 16 KiB (quinn: 1 MiB): what waits here knows no age.
    pub datagrams_unsent: usize,
    /// Bytes of datagrams of one connection that may wait to be read from it. The oldest make room
    /// for new ones. 64 KiB (quinn: 1.2 MB); 0 is no datagrams at all, in either direction.
    pub datagrams_unread: usize,
    /// Inputs that may wait for the machine. While it is full nothing is read from any link, which
    /// slows the senders down. 256, at most 256 x [`Self::frame`] bytes.
    pub inputs: usize,
    /// How long a link that is ended has to get out what was sent before, and how long the end of
    /// everything may take. 1 s. What is not out then is lost.
    pub linger: Duration,
    /// How voice travels.
    pub voice: VoiceNetConfig,
    /// Whether a client has direct links with other members, and how: voices go on by them when the
    /// relay is gone. None; a relay has none, whatever is said here.
    pub direct: Option<DirectConfig>,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            lanes: Duration::from_secs(5),
            head_start: Duration::from_secs(1),
            relays: RelayChoice::InOrder,
            stay: Duration::from_secs(10),
            measure: Duration::from_secs(3),
            round_trips: 3,
            quic_idle: Duration::from_secs(10),
            quic_keep_alive: Duration::from_secs(5),
            quic_streams: 32,
            quic_stream_window: 1 << 20,
            quic_connection_window: 2 << 20,
            yamux_streams: 32,
            negotiating_streams: 16,
            idle_connection: Duration::from_secs(60),
            ping: Duration::from_secs(15),
            frame: 128 << 10,
            outbox_frames: 65_536,
            outbox_bytes: 2 << 20,
            state_bytes: 64 << 10,
            state_age: Duration::from_millis(250),
            state_unanswered: 16 << 10,
            datagrams_unsent: 16 << 10,
            datagrams_unread: 64 << 10,
            inputs: 256,
            linger: Duration::from_secs(1),
            voice: VoiceNetConfig::default(),
            direct: None,
        }
    }
}

/// What a relay allows to strangers.
#[derive(Clone, Debug, PartialEq)]
pub struct RelayNetConfig {
    /// What both ends of a link do.
    pub net: NetConfig,
    /// The most connections at once. One more is closed. 2,000 (limits; libp2p: none).
    pub connections: u32,
    /// The most connections at once that have not proved who they are. One more is closed. 64
    /// (limits).
    pub pending: u32,
    /// The most connections at once of one peer: the second takes over from the first while that is
    /// dying. One more is closed. 2 (limits).
    pub per_peer: u32,
    /// The most connections at once from one IPv4 address or one IPv6 network of 64 bits. One more
    /// is closed. 32 (limits).
    pub per_address: u32,
    /// New connections a second from one such address, in the long run. More are closed. 10 (limits).
    pub new_per_second: u32,
    /// New connections at once from one such address after it has been quiet. 20 (limits).
    pub new_burst: u32,
    /// The most addresses that are remembered. A new one is refused while all of them are in use.
    /// 65,536, of about 100 bytes each.
    pub addresses: usize,
    /// Whether connections from this computer are free of the limits per address. Off: a relay
    /// behind a proxy on the same computer sees only this one address. Tests turn it on.
    pub exempt_loopback: bool,
    /// Commits and questions that wait for the store of rooms. For one more the store counts as failed:
    /// nothing is kept any more. 4,096: one commit at a time, one for all that closes at once, and a
    /// question for each peer that waits at the door.
    pub orders: usize,
    /// What peers may send to each other through this relay beside its rooms (circuit relay v2),
    /// so that they find a direct link. Nothing turns it off: rooms do not need it.
    pub circuits: Option<CircuitConfig>,
}

impl Default for RelayNetConfig {
    fn default() -> Self {
        Self {
            net: NetConfig::default(),
            connections: 2_000,
            pending: 64,
            per_peer: 2,
            per_address: 32,
            new_per_second: 10,
            new_burst: 20,
            addresses: 65_536,
            exempt_loopback: false,
            orders: 4_096,
            circuits: Some(CircuitConfig::default()),
        }
    }
}

/// What a relay allows in circuits between peers: every limit of libp2p's circuit relay, stated.
#[derive(Clone, Debug, PartialEq)]
pub struct CircuitConfig {
    /// The most peers that can be reached through this relay. One more is refused. 128 (libp2p).
    pub reservations: usize,
    /// The most connections of one peer that it can be reached by. One more is refused. 2, as
    /// [`RelayNetConfig::per_peer`] (libp2p: 4).
    pub reservations_per_peer: usize,
    /// How long a peer can be reached before it must ask again. 1 h (libp2p).
    pub reservation: Duration,
    /// The most circuits at once. One more is refused. 64 (libp2p: 16).
    pub circuits: usize,
    /// The most circuits at once of one peer. One more is refused. 4 (libp2p).
    pub circuits_per_peer: usize,
    /// How long a circuit lasts. Then it is closed. 1 h (libp2p: 2 min, in which no direct link to
    /// replace it may have come about). At most 2^32 s.
    pub duration: Duration,
    /// Bytes that go through a circuit. Then it is closed. 64 MiB (libp2p: 128 KiB); 0 is no limit.
    pub bytes: u64,
    /// How many reservations and how many circuits a peer may ask for within [`Self::interval`].
    /// More are refused. 30 (libp2p).
    pub per_peer: NonZeroU32,
    /// How many reservations and how many circuits an IP address may ask for within
    /// [`Self::interval`]. More are refused. 60 (libp2p).
    pub per_ip: NonZeroU32,
    /// What the two above are measured in. 2 min (libp2p).
    pub interval: Duration,
}

impl Default for CircuitConfig {
    fn default() -> Self {
        Self {
            reservations: 128,
            reservations_per_peer: 2,
            reservation: Duration::from_secs(60 * 60),
            circuits: 64,
            circuits_per_peer: 4,
            duration: Duration::from_secs(60 * 60),
            bytes: 64 << 20,
            per_peer: NonZeroU32::MIN.saturating_add(29),
            per_ip: NonZeroU32::MIN.saturating_add(59),
            interval: Duration::from_secs(120),
        }
    }
}
