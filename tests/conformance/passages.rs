//! The cases of `session.json` in which history is cut.

use parlor::proto::config::{HubConfig, Limits};
use parlor::proto::id::DocumentId;

use crate::scripts::{Case, add_lamp, case};
use crate::session::Rig;
use crate::stage::{APP_KEY, app_key, room};
use crate::world::Lobby;

pub(crate) fn epochs() -> Vec<Case> {
    vec![
        case("cut", "the relay cuts: both go over, and each writes on", cut_in_two()),
        case("late-after-cut", "a second peer gets what the epoch began with in columns", after()),
        case(
            "join-resumed",
            "its link breaks behind the first piece; the next one goes on",
            broken(),
        ),
        case("back-after-cut", "a peer that was away learns which of its changes went in", back()),
        case("restore", "an empty relay takes the base back from the first that comes", restore()),
    ]
}

fn cut(rig: &mut Rig) {
    rig.relay_does("cuts the history of the models", |hub, now| {
        let key = (app_key().app(), room());
        assert!(hub.cut(&key, DocumentId::MODELS, now));
    });
}

/// The first peer is in, has an item, and gave its word for it.
fn begun(config: HubConfig) -> Rig {
    let mut rig = Rig::new(config, APP_KEY);
    let first = rig.add(1, 1);
    rig.connect(first);
    rig.run(100);
    add_lamp(&mut rig, first);
    rig.run(200);
    rig
}

fn cut_in_two() -> Rig {
    let mut rig = begun(HubConfig::default());
    let second = rig.add(2, 1);
    rig.connect(second);
    rig.run(300);
    cut(&mut rig);
    // Written before the cut is known: void, and written anew.
    rig.act(second, "calls the lobby hall", |peer, now| {
        let name = |lobby: &mut Lobby| lobby.title = "hall".to_owned();
        peer.store_mut().update_root(name).unwrap();
        peer.flush(now);
    });
    rig.run(400);
    add_lamp(&mut rig, 0);
    rig.run(500);
    assert_eq!(rig.peers[0].store().state_hash(), rig.peers[1].store().state_hash());
    rig
}

fn after() -> Rig {
    let mut rig = begun(HubConfig::default());
    cut(&mut rig);
    rig.run(300);
    let second = rig.add(2, 1);
    rig.connect(second);
    rig.run(400);
    assert_eq!(rig.peers[0].store().state_hash(), rig.peers[1].store().state_hash());
    rig
}

/// Pieces of 64 bytes, one at a time.
fn broken() -> Rig {
    let limits = Limits { chunk: 64, chunks_in_flight: 1, ..Limits::default() };
    let mut rig = begun(HubConfig { limits, ..HubConfig::default() });
    cut(&mut rig);
    rig.run(300);
    let second = rig.add(2, 1);
    rig.connect(second);
    rig.run(306);
    rig.lose(second);
    rig.run(900);
    assert_eq!(rig.peers[0].store().state_hash(), rig.peers[1].store().state_hash());
    rig
}

fn back() -> Rig {
    let mut rig = begun(HubConfig::default());
    let second = rig.add(2, 1);
    rig.connect(second);
    rig.run(300);
    rig.act(second, "leaves", |peer, now| peer.leave(now));
    rig.act(second, "calls the lobby hall", |peer, now| {
        let name = |lobby: &mut Lobby| lobby.title = "hall".to_owned();
        peer.store_mut().update_root(name).unwrap();
        peer.flush(now);
    });
    rig.run(310);
    cut(&mut rig);
    rig.run(350);
    rig.connect(second);
    rig.run(500);
    assert_eq!(rig.peers[0].store().state_hash(), rig.peers[1].store().state_hash());
    rig
}

fn restore() -> Rig {
    let mut rig = begun(HubConfig::default());
    cut(&mut rig);
    rig.run(300);
    rig.forget(HubConfig::default(), APP_KEY);
    rig.run(800);
    let key = (app_key().app(), room());
    let log = rig.hub.log(&key, DocumentId::MODELS).unwrap();
    assert!(log.heads().eq(rig.peers[0].store().log(DocumentId::MODELS).heads()));
    rig
}
