//! What the fuzz targets call: each takes any bytes and panics if something does not hold, so that
//! every input also replays as an ordinary test.

use std::sync::LazyLock;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;

use super::action::Action;
use super::guard::Stock;
use super::network::Network;
use super::playground::Playground;
use super::{World, guard, oracle, relay, relay_id};
use crate::proto::base::{Base, columns};
use crate::proto::config::{HubConfig, Limits, PeerConfig};
use crate::proto::event::Input;
use crate::proto::hub::Hub;
use crate::proto::id::{AppKey, Identity, Lane, Link, RoomName};
use crate::proto::model::Model;
use crate::proto::peer::{Peer, Setup};
use crate::proto::service::Entrance;
use crate::proto::state::grid::{Kind, Truth};
use crate::proto::state::rotation::Turn;
use crate::proto::state::stream::{Incoming, Outgoing};
use crate::proto::time::Time;
use crate::proto::token::{TokenConfig, TokenRing, TokenSecret};
use crate::proto::wire;

/// How many entries a stream of the state lane may have here.
const MOST_STATES: usize = 64;

/// What attacks on the guard begin with.
static STOCK: LazyLock<Stock> = LazyLock::new(Stock::new);

/// Bytes as a frame: what decodes is encoded to what decodes to the same.
///
/// # Panics
///
/// When it is not.
pub fn wire_frame(data: &[u8]) {
    if let Ok(message) = wire::decode(data, wire::MAX_FRAME) {
        let again = wire::decode(&wire::encode(&message), wire::MAX_FRAME);
        assert_eq!(again.as_ref(), Ok(&message));
    }
}

/// Bytes as frames of the state lane, behind one that is good: whatever they are, what is shown stays
/// within its limit, and a frame that is refused changes nothing.
///
/// # Panics
///
/// When it does not.
pub fn state_frames(data: &[u8]) {
    let mut outgoing = Outgoing::default();
    let turn = Truth::Rotation(Turn::small([1 << 24, 1 << 20, 0]));
    let place = Truth::Numbers([70_000, -4_000, 1 << 30, 0]);
    let values = [
        ("place", Kind::Vector { components: 3 }, place),
        ("heading", Kind::Circle { steps: 720 }, place),
        ("turn", Kind::Rotation { steps: 1_000 }, turn),
    ];
    for (name, kind, truth) in values {
        assert!(outgoing.set(name, kind, truth).is_ok());
    }
    let mut incoming = Incoming::new(MOST_STATES);
    if let Some(frame) = outgoing.frame(1, 1_200, false) {
        assert!(incoming.receive(&frame).is_ok());
    }
    let mut rest = data;
    while let Some((length, behind)) = rest.split_first() {
        let (frame, behind) = behind.split_at(behind.len().min(usize::from(*length)));
        rest = behind;
        let before = incoming.last();
        let outcome = incoming.receive(frame);
        assert_eq!(outcome.is_err(), incoming.last() == before);
        assert!(incoming.changes().count() <= 2 * MOST_STATES);
        assert!(incoming.values(u32::MAX).count() <= MOST_STATES);
    }
}

/// Bytes as a base in columns: what decodes is in order, within its limits, and encodes to what
/// decodes to the same.
///
/// # Panics
///
/// When it is not.
pub fn base_columns(data: &[u8]) {
    let limits = Limits { rows: 20_000, snapshot: 1 << 20, ..Limits::default() };
    let Ok(base) = columns::decode(data, &limits) else { return };
    assert!(base.rows().len() <= limits.rows, "{} rows", base.rows().len());
    assert!(Base::new(base.rows().to_vec()).is_some(), "the rows are out of order");
    // A NaN is not equal to itself, but its bits are.
    let rows = |base: &Base| format!("{:?}", base.rows());
    let bytes = columns::encode(&base);
    let again = columns::decode(&bytes, &Limits::default());
    assert_eq!(again.as_ref().map(rows), Ok(rows(&base)));
    assert_eq!(again.map(|again| columns::encode(&again)), Ok(bytes));
}

/// Bytes as frames from a stranger, to a relay and to a peer that is joining one: neither panics,
/// and neither keeps more of it than its limits allow.
///
/// # Panics
///
/// When one does.
pub fn join_handshake(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let (mut hub, mut peer) = machines();
    let stranger = Identity::from_seed([7; 32]).peer();
    let link = Link(1);
    let mut now = Time::ZERO;
    hub.handle(now, Input::Connected { link, peer: stranger });
    peer.connect(now);
    while peer.poll_effect().is_some() {}
    peer.handle(now, Input::Connected { link, peer: relay_id() });
    // At its end, an input goes on as zeros without end.
    while !input.is_empty()
        && let Ok(step) = Step::arbitrary(&mut input)
    {
        now += Duration::from_millis(u64::from(step.wait));
        let lane = Lane::ALL[usize::from(step.lane) % Lane::ALL.len()];
        let frame = Bytes::from(step.frame());
        let received = Input::Received { link, lane, frame };
        if step.to_peer {
            peer.handle(now, received);
        } else {
            hub.handle(now, received);
        }
        peer.tick(now);
        hub.tick(now);
        while peer.poll_effect().is_some() {}
        while hub.poll_effect().is_some() {}
        while peer.poll_event().is_some() {}
        while hub.poll_event().is_some() {}
    }
    assert!(hub.rooms().count() <= 1, "a stranger without the key opened a room");
}

/// Bytes as a schedule: whatever happens, everybody agrees in the end.
///
/// # Panics
///
/// When they do not.
pub fn sim_schedule(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let seed = u64::arbitrary(&mut input).unwrap_or_default();
    let networks = [Network::LOCKSTEP, Network::LAN, Network::LOSSY, Network::MOBILE];
    let network = networks[usize::from(u8::arbitrary(&mut input).unwrap_or_default()) % 4];
    let mut world = World::new(seed, network, Playground::shape);
    for peer in 0..3 {
        world.add_peer(PeerConfig::default());
        world.connect(peer);
    }
    // Enough to do something, little enough to be fast.
    for _ in 0..64 {
        let Some(action) = drawn(&mut input) else {
            break;
        };
        action.apply(&mut world);
        if let Err(why) = oracle::always(&world) {
            panic_with(&why);
        }
    }
    if let Err(why) = oracle::at_rest(&mut world) {
        panic_with(&why);
    }
}

/// Bytes as a change, after changes of honest peers: nothing that is let in does harm.
///
/// # Panics
///
/// When it does.
pub fn guard_change(data: &[u8]) {
    if let Err(finding) = guard::offered(&STOCK, data) {
        panic_with(&finding.to_string());
    }
}

/// Bytes as choices of what is done to changes: nothing that is let in does harm.
///
/// # Panics
///
/// When it does.
pub fn guard_mutate(data: &[u8]) {
    if let Err(finding) = guard::chosen(&STOCK, data) {
        panic_with(&finding.to_string());
    }
}

/// Bytes as a snapshot, let into an empty log.
///
/// # Panics
///
/// When the document that comes of it cannot be saved and loaded, or differs from the table.
pub fn snapshot_load(data: &[u8]) {
    if let Err(why) = guard::snapshot(data) {
        panic_with(&why);
    }
}

/// The next action of an input, if anything is left of it.
fn drawn(input: &mut Unstructured<'_>) -> Option<Action> {
    if input.is_empty() { None } else { Action::arbitrary(input).ok() }
}

/// Bytes as a token, and as what a token says, signed as one: what is read is issued as a token that
/// says the same.
///
/// # Panics
///
/// When it is not, or when anything else does.
pub fn admission_token(data: &[u8]) {
    let config = TokenConfig::default();
    let secret = TokenSecret::from_seed([1; 32]).expect("not only zeros");
    let mut ring = TokenRing::new(config.clone());
    ring.insert(secret.public().clone()).expect("there is no other");
    let signed = if data.is_empty() { String::new() } else { secret.sign(data) };
    for token in [str::from_utf8(data).unwrap_or_default(), &signed] {
        let Ok(claims) = ring.open(token) else { continue };
        let room = RoomName::new("fuzzed").expect("not empty");
        // Whatever it says: it must be said, and nothing may overflow.
        ring.verify(token, claims.app, claims.peer, Some(&room), claims.expires).ok();
        if let Ok(token) = secret.issue(&claims, &config) {
            assert_eq!(ring.open(&token), Ok(claims));
        }
    }
}

#[expect(clippy::panic, reason = "a fuzz target reports by panicking")]
fn panic_with(why: &str) -> ! {
    panic!("{why}")
}

/// One frame of a stranger: whole messages made of parts are likelier to get far than noise.
#[derive(Debug, Arbitrary)]
struct Step {
    to_peer: bool,
    lane: u8,
    wait: u16,
    variant: u8,
    with_header: bool,
    body: Vec<u8>,
}

impl Step {
    fn frame(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        if self.with_header {
            frame.extend([1, self.variant % 29]);
        }
        frame.extend(&self.body);
        frame
    }
}

fn machines() -> (Hub, Peer) {
    let key = AppKey::new("fuzzed").expect("not empty");
    let hub = Hub::new(relay(), [key.clone()], HubConfig::default(), 0, [1; 32], 1);
    let setup = Setup {
        identity: Identity::from_seed([3; 32]),
        app_key: key,
        room: RoomName::new("fuzzed").expect("not empty"),
        metadata: Bytes::new(),
        incarnation: 1,
        shape: Playground::shape(),
        entrance: Entrance::default(),
    };
    (hub, Peer::new(setup, PeerConfig::default(), [2; 32]))
}
