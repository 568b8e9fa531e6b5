//! What a relay keeps in its folder, whatever becomes of its process.

use std::env;
use std::time::Duration;

use parlor::room::{ConnectOptions, NotDurable, Room};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::Hall;
use crate::process::{KEY, PATIENCE, Relay, run, text};

const LISTEN: &str = "/ip4/127.0.0.1/tcp/0";

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

async fn enter(relay: &Relay) -> Room<Hall> {
    let mut room = Room::connect(ConnectOptions::new("r", KEY, &[relay.address()])).unwrap();
    room.ready().await.unwrap();
    room
}

fn visits(room: &Room<Hall>) -> i64 {
    room.root().visits.get()
}

/// Counts one by one for so long. Returns how far it was said to be kept, and how far it has counted.
async fn count(room: &mut Room<Hall>, duration: Duration) -> (i64, i64) {
    let mut kept = visits(room);
    timeout(duration, async {
        loop {
            room.update_root(|hall: &mut Hall| hall.visits += 1).unwrap();
            room.durable(PATIENCE).await.unwrap();
            kept = visits(room);
        }
    })
    .await
    .unwrap_err();
    (kept, visits(room))
}

#[test]
fn what_was_said_to_be_kept_is_there_after_a_kill() {
    let rounds = if env::var_os("PARLOR_FULL").is_some() { 200 } else { 4 };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let data = ["--data", path.to_str().unwrap()];
    let mut rng = ChaCha12Rng::seed_from_u64(8);
    let (mut kept, mut counted) = (0, 0);
    for round in 0..rounds {
        let relay = Relay::listen(&[LISTEN], &data);
        runtime().block_on(async {
            // Nobody else knows of it: who counted is gone.
            let mut room = Box::pin(enter(&relay)).await;
            let found = visits(&room);
            assert!((kept..=counted).contains(&found), "{round}: {kept}, {found}, {counted}");
            let duration = Duration::from_millis(100 + u64::from(rng.next_u32() % 500));
            (kept, counted) = count(&mut room, duration).await;
            relay.process.kill();
        });
    }
    assert!(kept > rounds, "{kept}: hardly anything was kept");
}

#[test]
fn a_relay_that_keeps_nothing_says_so() {
    let relay = Relay::start();
    runtime().block_on(async {
        let mut room = Box::pin(enter(&relay)).await;
        room.update_root(|hall: &mut Hall| hall.visits += 1).unwrap();
        let said = room.durable(PATIENCE).await;
        assert_eq!(said, Err(NotDurable::Unkept));
    });
}

#[test]
fn two_relays_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let data = ["--data", folder.path().to_str().unwrap()];
    let first = Relay::listen(&[LISTEN], &data);
    let second = ["relay", "--until-eof", "--listen", LISTEN];
    let output = run(&[&second[..], &data].concat(), "");
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("another relay is using"), "{errors}");
    assert!(first.process.end());
}
