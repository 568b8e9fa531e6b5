//! Who owns what: by hand, and when an owner's process is killed.

use std::env;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use parlor::net::Clock;
use parlor::proto::event::Event;
use parlor::proto::id::DocumentId;
use parlor::room::{ConnectOptions, Room};
use parlor::{Ownership, PeerId, Terms};
use serde_json::Value as Json;
use tokio::runtime::{Builder, Runtime};

use crate::process::{KEY, PATIENCE, Process, Relay, objects, run, text};
use crate::{Chair, Hall, furnish};

/// Names the relay for a process that owns models until it is killed.
const OWNER: &str = "PARLOR_TEST_OWNER";
/// How many models it owns.
const MODELS: usize = 100;
/// How long a relay waits for an owner that it does not hear, as it is by default.
const GRACE: Duration = Duration::from_secs(5);
/// How often a peer says something at least, as it is by default.
const PING: Duration = Duration::from_secs(1);

fn room(address: &str) -> Room<Hall> {
    Room::connect(ConnectOptions::new("hall", KEY, &[address])).unwrap()
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().enable_all().build().unwrap()
}

/// A process that owns models. It is killed when it is dropped.
struct Owner(Child);

impl Owner {
    /// This program once more, as nothing but the owner.
    fn start(relay: &str) -> Self {
        let name = "ownership::an_owner_until_it_is_killed";
        let mut command = Command::new(env::current_exe().unwrap());
        command.args([name, "--exact", "--ignored"]).env(OWNER, relay).stdout(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// As `kill -9`. Whoever it was must not have ended before.
    fn kill(mut self) {
        assert_eq!(self.0.try_wait().unwrap(), None, "the owner ended by itself");
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // It may have been killed already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
#[ignore = "the other tests run it, as a process of its own"]
fn an_owner_until_it_is_killed() {
    let Some(relay) = env::var_os(OWNER) else { return };
    runtime().block_on(async {
        let mut room = room(relay.to_str().unwrap());
        room.ready().await.unwrap();
        let terms = Terms { destroy_with_owner: true, ..Terms::default() };
        let chairs = room.root().chairs.clone();
        // Claims of so many frames a second are answered that these are.
        for _ in 0..MODELS / 20 {
            for _ in 0..20 {
                let chair = Chair { owner: "me".to_owned(), legs: 4 };
                let chair = chairs.add(&mut room, chair).unwrap();
                room.claim(&chair, terms).unwrap();
            }
            room.flush();
            room.wait(Duration::from_millis(100)).await;
        }
        let clock = Clock::new();
        let end = clock.now() + PATIENCE;
        while clock.now() < end {
            room.wait(Duration::from_millis(100)).await;
            while room.poll_event().is_some() {}
        }
    });
}

/// What a peer has seen of the models, look by look.
struct Watcher {
    room: Room<Hall>,
    /// How many models there were, where that was another number than before.
    counts: Vec<usize>,
    /// The events of removals and the changes of the look in which the last model went.
    last: (usize, usize),
}

impl Watcher {
    fn look(&mut self) {
        let changes = |room: &Room<Hall>| room.log(DocumentId::MODELS).len();
        let before = changes(&self.room);
        self.room.tick();
        let events: Vec<Event> = std::iter::from_fn(|| self.room.poll_event()).collect();
        let now = self.count();
        if self.counts.last() != Some(&now) {
            self.counts.push(now);
            let removals = events.iter().filter(|event| matches!(event, Event::Removed { .. }));
            self.last = (removals.count(), changes(&self.room).wrapping_sub(before));
        }
    }

    fn count(&self) -> usize {
        self.room.root().chairs.len(&self.room)
    }

    /// Who owns every model, if one peer owns them all and the relay says so.
    fn owner(&self) -> Option<PeerId> {
        let chairs = &self.room.root().chairs;
        let states = chairs.iter(&self.room).map(|(chair, _)| self.room.ownership_state(&chair));
        let mut owners = states.map(|state| match state {
            Ownership::Remote { peer, confirmed: true } => Some(peer),
            _ => None,
        });
        let first = owners.next()??;
        owners.all(|owner| owner == Some(first)).then_some(first)
    }
}

/// Lets watchers look until something holds of them.
async fn until(watchers: &mut [Watcher], holds: impl Fn(&Watcher) -> bool) {
    let all = async {
        loop {
            watchers.iter_mut().for_each(Watcher::look);
            if watchers.iter().all(&holds) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap();
}

/// Kills an owner that is linked to a relay at one of its addresses, and sees what becomes of what it
/// had.
fn kill_an_owner(address: usize) {
    let relay = Relay::start();
    let address = &relay.addresses[address];
    runtime().block_on(async {
        let mut watchers = Vec::new();
        for _ in 0..2 {
            let mut room = room(address);
            room.ready().await.unwrap();
            watchers.push(Watcher { room, counts: Vec::new(), last: (0, 0) });
        }
        let owner = Owner::start(address);
        let has_all = |watcher: &Watcher| watcher.count() == MODELS && watcher.owner().is_some();
        until(&mut watchers, has_all).await;
        assert_eq!(watchers[0].owner(), watchers[1].owner());
        // It has been there for a while, and is.
        let clock = Clock::new();
        let later = clock.now() + GRACE / 2;
        until(&mut watchers, |_| clock.now() >= later).await;
        assert!(watchers.iter().all(has_all));
        watchers.iter_mut().for_each(|watcher| watcher.counts.clear());

        let killed = clock.now();
        owner.kill();
        until(&mut watchers, |watcher| watcher.count() < MODELS).await;
        let took = clock.now().since(killed);
        tell(address, took);
        // The relay heard it last when it was killed, or up to a ping before.
        assert!(took < GRACE + Duration::from_secs(1), "{took:?}");
        assert!(took > GRACE - PING - Duration::from_millis(200), "{took:?}");
        // Nothing of it comes back.
        let later = clock.now() + PING;
        until(&mut watchers, |_| clock.now() >= later).await;
        for watcher in &watchers {
            assert_eq!(watcher.counts, [MODELS, 0]);
            assert_eq!(watcher.last, (MODELS, 1), "all of them go in one change");
        }
    });
}

#[expect(clippy::print_stdout, reason = "how long it took is worth knowing")]
fn tell(address: &str, took: Duration) {
    let transport = if address.contains("quic") { "QUIC" } else { "TCP" };
    println!("{MODELS} models of a killed owner were gone after {took:?} ({transport})");
}

#[test]
fn what_a_killed_owner_had_is_gone_at_once_behind_the_grace() {
    kill_an_owner(0);
}

#[test]
fn what_an_owner_had_whose_socket_was_closed_is_gone_no_sooner() {
    kill_an_owner(1);
}

#[test]
fn models_are_claimed_given_and_let_go_of_by_hand() {
    let relay = Relay::start();
    furnish(&relay, "hall");
    let join = ["join", "hall", "--relay", relay.address(), "--json"];
    let start = || {
        let process = Process::start(&join);
        let ready = process.until(|line| line["event"] == "ready");
        (process, ready["peer"].as_str().unwrap().to_owned())
    };
    let ((mut ann, ann_id), (mut bob, bob_id)) = (start(), start());
    ann.tell("claim players/ann protected");
    let owned = |owner: &str| {
        let owner = owner.to_owned();
        move |line: &Json| {
            line["event"] == "owner"
                && line["path"] == "players/ann"
                && line["owner"] == owner.as_str()
                && line["confirmed"] == true
        }
    };
    ann.until(owned(&ann_id));
    bob.until(owned(&ann_id));
    bob.tell("owner players/ann");
    let said = bob.until(|line| line.get("decides").is_some());
    assert_eq!((&said["owner"], &said["state"]), (&ann_id.as_str().into(), &"remote".into()));
    let refused = [
        ("claim players/ann", "does not let others take it: wait until it is released"),
        ("set players/ann/score 7", "claim it first, or ask its owner to let go"),
        ("release players/ann", "it is not this peer's to give"),
    ];
    for (command, words) in refused {
        bob.tell(command);
        let error = bob.until(|line| line.get("error").is_some());
        assert!(error["error"].as_str().unwrap().contains(words), "{command}: {error}");
    }
    ann.tell("set players/ann/score 8");
    ann.tell(&format!("give players/ann {bob_id}"));
    bob.until(owned(&bob_id));
    bob.tell("show players/ann/score");
    assert_eq!(bob.until(Json::is_number), 8);
    bob.tell("set players/ann/score 9");
    bob.tell("release players/ann");
    ann.until(|line| line["event"] == "owner" && line["owner"].is_null());
    ann.tell("show players/ann/score");
    assert_eq!(ann.until(Json::is_number), 9);
    ann.tell("owner players/ann");
    let said = ann.until(|line| line.get("decides").is_some());
    assert_eq!((&said["owner"], &said["state"]), (&Json::Null, &"free".into()));
    assert!(!bob.end(), "not all of its commands were done");
    assert!(ann.end());
}

#[test]
fn a_key_goes_to_one_and_the_other_is_told() {
    let relay = Relay::start();
    furnish(&relay, "hall");
    let join = ["join", "hall", "--relay", relay.address(), "--json"];
    let mut peers = [0, 1].map(|_| Process::start(&join));
    peers.iter().for_each(|peer| drop(peer.until(|line| line["event"] == "ready")));
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.tell(&format!("add lockers red legs={}", number + 1));
    }
    let answer = |line: &Json| line.get("added").is_some() || line.get("error").is_some();
    let answers = [0, 1].map(|peer: usize| peers[peer].until(answer));
    let winner = answers.iter().position(|answer| answer["added"] == "red").unwrap();
    let error = answers[1 - winner]["error"].as_str().unwrap();
    assert!(error.starts_with("lockers: "), "{error}");
    let [mut first, mut second] = peers;
    for peer in [&mut first, &mut second] {
        // The loser may not have what the winner put there yet.
        let mut legs = Json::Null;
        for _ in 0..1_000 {
            peer.tell("show lockers/red/legs");
            legs = peer.until(|line| line.is_number() || line.get("error").is_some());
            if legs.is_number() {
                break;
            }
        }
        assert_eq!(legs, winner + 1);
    }
    first.tell("remove lockers/red");
    second.until(|line| line["event"] == "removed" && line["path"] == "lockers/red");
    second.tell("remove lockers/red");
    let error = second.until(|line| line.get("error").is_some());
    assert!(error["error"].as_str().unwrap().contains("nothing stands"), "{error}");
}

#[test]
fn a_pipe_is_told_why_a_model_cannot_be_had() {
    let relay = Relay::start();
    furnish(&relay, "hall");
    let join = ["join", "hall", "--relay", relay.address()];
    let commands = "claim players/ann exclusive\n\
        owner players/ann\n\
        set players/ann/score 7\n\
        show players/ann/score\n\
        release players/ann\n\
        claim title\n\
        claim players/zoe\n\
        claim players/ann forever\n\
        release players/ann\n\
        give players/ann nobody\n";
    let output = run(&join, commands);
    let (said, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}{errors}");
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].ends_with(" (you)"), "{said:?}");
    assert_eq!(said[1], "7");
    let words = [
        "title is no model",
        "there is no model at players/zoe: `add` makes one",
        "`forever` is no term of a claim",
        "players/ann: it is not this peer's to give",
        "no `nobody` is in the room: `members` lists who is",
    ];
    for words in words {
        assert!(errors.contains(words), "{words}: {errors}");
    }
    // And how many they are.
    assert_eq!(errors.lines().count(), words.len() + 1, "{errors}");
    let left = objects(&[&join[..], &["--json"]].concat(), "owner players/ann\n");
    assert_eq!(left.last().unwrap()["state"], "free", "{left:?}");
}
