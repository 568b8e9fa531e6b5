//! What must hold at every step, and once everything has come to rest.

use std::time::Duration;

use super::World;
use super::network::Network;
use crate::proto::event::State;
use crate::proto::id::DocumentId;
use crate::proto::reason::{Class, Reason};

/// How long a healed world may take to agree.
const PATIENCE: Duration = Duration::from_secs(120);

/// What holds at any moment of any peer. Costs the size of the rooms.
///
/// # Errors
///
/// What does not hold.
pub fn always(world: &World) -> Result<(), String> {
    for (number, host) in world.hosts.iter().enumerate() {
        if let State::Closed(reason) = host.peer.state()
            && (reason.class() == Class::ApplicationFault
                || matches!(reason, Reason::RelayFault { .. }))
        {
            return Err(format!("peer {number}: an honest peer was closed: {reason}"));
        }
        let store = host.peer.store();
        // What waits for a claim to be answered shows, and is not written.
        if !store.is_waiting() && !store.is_pending() {
            if let Some(path) = store.mirror().difference(&store.rebuilt()) {
                return Err(format!("peer {number}: mirror and table differ at {path}"));
            }
            if let Some(path) = host.follower.difference(store).filter(|_| !store.is_quiet()) {
                return Err(format!("peer {number}: no event told of the change at {path}"));
            }
        }
    }
    Ok(())
}

/// Mends everything, waits, and compares everybody with everybody.
///
/// # Errors
///
/// What does not hold.
pub fn at_rest(world: &mut World) -> Result<(), String> {
    heal(world);
    if !world.run_until(PATIENCE, agreed) {
        return Err(format!("no agreement within {PATIENCE:?}: {}", state(world)));
    }
    // A while for acknowledgements, and for what was moved to come to rest or be given up, whoever moved
    // it; then nothing but heartbeats may be said.
    world.run(Duration::from_secs(12));
    always(world)?;
    let before = said(world);
    world.run(Duration::from_secs(5));
    if said(world) != before {
        return Err("there is talk though everybody agrees".to_owned());
    }
    same_values(world)
}

/// Ends every fault and brings everybody in.
pub fn heal(world: &mut World) {
    world.set_network(Network::LAN);
    world.start_relay();
    for peer in 0..world.len() {
        world.mend(peer);
        world.wake(peer);
        world.deafen(peer, false);
        world.connect(peer);
    }
}

fn agreed(world: &World) -> bool {
    let Some(hub) = world.hub() else {
        return false;
    };
    let room = world.room_key();
    let settled = world
        .hosts
        .iter()
        .all(|host| host.peer.is_settled() && host.peer.members().count() == world.hosts.len());
    settled
        && DocumentId::ALL.into_iter().all(|document| {
            let Some(digest) = hub.log(&room, document).map(|log| log.digest()) else {
                return false;
            };
            world.hosts.iter().all(|host| host.peer.store().log(document).digest() == digest)
        })
}

fn same_values(world: &World) -> Result<(), String> {
    let Some(first) = world.hosts.first() else {
        return Ok(());
    };
    for (number, host) in world.hosts.iter().enumerate().skip(1) {
        let (ours, theirs) = (first.peer.store(), host.peer.store());
        if let Some(path) = ours.mirror().difference(theirs.mirror()) {
            return Err(format!("peers 0 and {number} differ at {path}"));
        }
        if ours.state_hash() != theirs.state_hash() {
            return Err(format!("the state hashes of peers 0 and {number} differ"));
        }
    }
    if let Some(difference) = first.peer.store().difference() {
        return Err(format!("the table and the document of peer 0 differ: {difference}"));
    }
    Ok(())
}

/// How many messages there were of documents and of what moves.
fn said(world: &World) -> u64 {
    let statistics = world.hosts.iter().map(|host| host.peer.statistics(world.now));
    let lanes = statistics.flat_map(|all| [all.document, all.state]);
    lanes.map(|lane| lane.sent.messages + lane.received.messages).sum()
}

fn state(world: &World) -> String {
    let room = world.room_key();
    let hub = |document| {
        let log = world.hub().and_then(|hub| hub.log(&room, document));
        log.map(|log| (log.len(), log.scope().epoch()))
    };
    let mut lines = vec![format!("relay has {:?}", DocumentId::ALL.map(hub))];
    lines.extend(world.hosts.iter().enumerate().map(|(number, host)| {
        let lengths = DocumentId::ALL.map(|document| host.peer.store().log(document).len());
        let state = host.peer.state();
        let epochs =
            DocumentId::ALL.map(|document| host.peer.store().log(document).scope().epoch());
        let settled = host.peer.is_settled();
        format!("peer {number} has {lengths:?} in {epochs:?}, {state:?}, settled: {settled}")
    }));
    lines.join("; ")
}
