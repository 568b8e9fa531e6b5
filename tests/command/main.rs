//! The command, as its users run it: in processes of its own, over real sockets.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a failing test is a panic")]

mod data;
mod device;
mod export;
mod ownership;
mod process;
mod regions;
mod rooms;
#[cfg(unix)]
mod running;
mod state;
mod token;
mod voice;
mod webhook;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parlor::Model;
use parlor::proto::model::handle::{
    ConfirmedDictionary, RealtimeDictionary, RealtimeList, RealtimeSet, Text,
};
use parlor::proto::model::property::Counter;
use parlor::room::{ConnectOptions, Room};
use serde_json::{Value as Json, json};

use self::process::{KEY, Process, Relay, object, objects, run, text};

#[test]
fn the_demo_ends_with_four_equal_peers() {
    let outcome = object(&["demo", "--json"], "");
    assert_eq!(outcome["converged"], true, "{outcome}");
    assert_eq!(outcome["peers"], 4);
    assert_eq!(outcome["state_hash"].as_str().unwrap().len(), 64);
    assert!(outcome["late_join_bytes"].as_u64().unwrap() > 0);
    assert!(outcome["late_join_ms"].as_f64().unwrap() > 0.0);
    let mean = outcome["delta_bytes_mean"].as_f64().unwrap();
    assert!((5.0..40.0).contains(&mean), "{mean}");
    assert!(outcome["seconds"].as_f64().unwrap() < 30.0);
}

/// A room with something of everything.
#[derive(Model, Clone, Debug, Default)]
pub(crate) struct Hall {
    #[property(1)]
    title: String,
    #[property(2)]
    players: RealtimeDictionary<String, Player>,
    #[property(3)]
    visits: Counter,
    #[property(4)]
    chairs: RealtimeSet<Chair>,
    #[property(5)]
    turns: RealtimeList<Chair>,
    #[property(6)]
    notes: Text,
    #[property(7)]
    lockers: ConfirmedDictionary<String, Chair>,
}

/// A model in a dictionary.
#[derive(Model, Clone, Debug, Default)]
pub(crate) struct Player {
    #[property(1)]
    score: i64,
    #[property(2)]
    seen: u64,
    #[property(3)]
    place: [f32; 3],
    #[property(4)]
    ready: bool,
    #[property(5)]
    hat: Option<String>,
    #[property(6)]
    wins: Counter,
    #[property(7)]
    diary: Text,
    #[property(8)]
    weight: f64,
    #[property(9)]
    key: Vec<u8>,
}

/// A model in a set or list.
#[derive(Model, Clone, Debug, Default)]
pub(crate) struct Chair {
    #[property(1)]
    owner: String,
    #[property(2)]
    legs: u8,
}

/// Makes a room as an application does.
fn furnish(relay: &Relay, room: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = ConnectOptions::new(room, KEY, &[relay.address()]);
        let mut room: Room<Hall> = Room::connect(options).unwrap();
        room.ready().await.unwrap();
        let hall = room.root().clone();
        room.update_root(|hall: &mut Hall| {
            hall.title = "the hall".to_owned();
            hall.visits += 3;
        })
        .unwrap();
        let ann = Player {
            score: i64::MIN,
            seen: u64::MAX,
            place: [1.0, -2.5, 0.0],
            ready: true,
            hat: Some("top hat".to_owned()),
            weight: 0.1,
            key: vec![0, 255],
            ..Player::default()
        };
        let ann = hall.players.insert(&mut room, &"ann".to_owned(), ann).unwrap();
        let diary = room.get(&ann).unwrap().diary.clone();
        diary.insert(&mut room, 0, "Dear diary \u{1F98A}").unwrap();
        for (owner, legs) in [("ann", 4), ("bob", 3)] {
            let owner = owner.to_owned();
            let chair = Chair { owner, legs };
            hall.chairs.add(&mut room, chair.clone()).unwrap();
            hall.turns.push(&mut room, chair).unwrap();
        }
        hall.notes.insert(&mut room, 0, "hello").unwrap();
        assert!(room.settled(Duration::from_secs(10)).await);
        room.leave();
    });
}

#[test]
fn a_pipe_edits_what_an_application_made() {
    let relay = Relay::start();
    furnish(&relay, "hall");
    let join = ["join", "hall", "--relay", relay.address(), "--json"];
    let commands = "set players/ann/score 41\n\
        set players/ann/hat none\n\
        set players/ann/place 1,2,3\n\
        count players/ann/wins 2\n\
        count visits -1\n\
        add players bob score=7\n\
        set players/bob/ready yes\n\
        add chairs owner=carol legs=5\n\
        add turns owner=carol legs=1\n\
        set turns/#0/legs 6\n\
        remove turns/#1\n\
        text notes insert 5 \", \\\"world\\\"\"\n\
        text notes delete 0 1\n\
        text players/bob/diary insert 0 new\n";
    let done = objects(&join, commands);
    assert!(done.iter().all(|line| line.get("error").is_none()), "{done:?}");
    let hall = object(&join, "show");
    let ann = &hall["players"]["ann"];
    assert_eq!(ann["score"], 41);
    assert_eq!(ann["hat"], Json::Null);
    assert_eq!(ann["wins"], 2);
    assert_eq!(hall["players"]["bob"]["score"], 7);
    assert_eq!(hall["players"]["bob"]["ready"], true);
    assert_eq!(hall["players"]["bob"]["diary"], "new");
    assert_eq!(hall["visits"], 2);
    assert_eq!(hall["chairs"].as_object().unwrap().len(), 3);
    let turns = json!([{ "owner": "ann", "legs": 6 }, { "owner": "carol", "legs": 1 }]);
    assert_eq!(hall["turns"], turns);
    assert_eq!(hall["notes"], "ello, \"world\"");
    let exported = object(&["export", "hall", "--relay", relay.address(), "--json"], "");
    assert_eq!(exported, hall);
}

#[test]
fn what_one_says_another_that_watches_is_told() {
    let relay = Relay::start();
    let join = ["join", "hall", "--relay", relay.address(), "--json"];
    let mut listener = Process::start(&join);
    listener.tell("watch");
    let ready = listener.until(|line| line["event"] == "ready");
    let mut speaker = Process::start(&join);
    listener.until(|line| line["event"] == "joined");
    speaker.tell("say greeting \"hello there\"");
    speaker.tell("wait");
    let heard = listener.until(|line| line["event"] == "signal");
    assert_eq!((&heard["path"], &heard["says"]), (&json!("greeting"), &json!("hello there")));
    speaker.tell("shout step 1");
    let heard = listener.until(|line| line["event"] == "signal");
    assert_eq!((&heard["path"], &heard["reliable"]), (&json!("step"), &json!(false)));
    for to in [ready["peer"].as_str().unwrap(), "relay"] {
        speaker.tell(&format!("tell {to} psst hello"));
        let outcome = speaker.until(|line| line["told"] == to);
        assert_eq!(outcome["outcome"], "heard");
    }
    let heard = listener.until(|line| line["event"] == "signal");
    assert_eq!((&heard["path"], &heard["reliable"]), (&json!("psst"), &json!(true)));
    assert!(listener.end() && speaker.end());
}

#[test]
fn a_pipe_is_told_what_is_wrong() {
    let relay = Relay::start();
    furnish(&relay, "hall");
    let join = ["join", "hall", "--relay", relay.address()];
    let output = run(&join, "set players/ann/ready 7\nremove visits\nfly\nshow title\n");
    assert_eq!(output.status.code(), Some(1));
    let errors = text(&output.stderr);
    assert!(errors.contains("`7` is not a value of kind `bool`"), "{errors}");
    assert!(errors.contains("visits is not in a set"), "{errors}");
    assert!(errors.contains("no command `fly`"), "{errors}");
    assert_eq!(text(&output.stdout), "\"the hall\"\n");
}

#[test]
fn mistakes_have_words_and_a_status() {
    let relay = Relay::start();
    let good = relay.address();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["fly"], 2, "unrecognized subcommand"),
        (&["join", "r"], 2, "no relay was given"),
        (&["join", "r", "--relay", "nowhere"], 2, "not an address"),
        (&["join", "", "--relay", good], 2, "the room name is empty"),
        (&["export", "r", "--relay", good], 2, "--out"),
        (
            &["export", "r", "--json", "--relay", good, "--app-key", "wrong"],
            1,
            "does not know this app key",
        ),
        (
            &["export", "r", "--json", "--relay", good, "--app-key-file", "no-such-file"],
            1,
            "cannot read the app key in no-such-file",
        ),
        (
            &["replay", "no-such.json", "--room", "r", "--relay", good],
            1,
            "cannot read no-such.json",
        ),
        (&["replay", "Cargo.toml", "--room", "r", "--relay", good], 2, "neither an editing trace"),
        (&["relay", "--listen", "here"], 2, "not an address"),
        (&["relay", "--state", "a", "--identity", "b"], 2, "cannot be used with"),
        (&["relay", "--data", "a", "--state", "b"], 2, "cannot be used with"),
        (&["relay", "--data", "Cargo.toml/a"], 1, "cannot make the folder"),
        (&["relay", "--state", "no-such-folder/a"], 1, "cannot write the relay's state"),
    ];
    for (arguments, status, words) in cases {
        let output = run(arguments, "");
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(*status), "{arguments:?}: {errors}");
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    }
}

#[test]
fn a_small_trace_ends_as_recorded() {
    let relay = Relay::start();
    let trace = "tests/data/small-trace.json";
    let replay = ["replay", trace, "--room", "r", "--relay", relay.address()];
    let outcome = object(&replay, "");
    assert_eq!(outcome["converged"], true, "{outcome}");
    assert_eq!(outcome["matches_recording"], true);
    assert_eq!(outcome["cuts"], 9);
    assert_eq!(outcome["chars"], 120);
    let trace: Json = serde_json::from_str(&fs::read_to_string(trace).unwrap()).unwrap();
    let late = object(&["export", "r", "--relay", relay.address(), "--json"], "");
    assert_eq!(late["text"], trace["endContent"]);
    // The room is not new any more.
    assert_eq!(run(&replay, "").status.code(), Some(2));
}

#[test]
fn agents_can_be_processes() {
    let relay = Relay::start();
    let trace = "tests/data/small-trace.json";
    let replay = ["replay", trace, "--room", "r", "--relay", relay.address(), "--as"];
    let agents = ["0", "1"].map(|agent| Process::start(&[&replay[..], &[agent]].concat()));
    for agent in &agents {
        let outcome = agent.until(|_| true);
        assert_eq!(outcome["matches_recording"], true, "{outcome}");
    }
}

/// Recorded data beside the project, if it is there.
#[expect(clippy::print_stdout, reason = "who runs the tests is to know what was not tested")]
fn recorded(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let path = env::var_os("PARLOR_DATA").map_or(beside, PathBuf::from).join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there; PARLOR_DATA says where it is", path.display());
    None
}

#[test]
fn a_real_trace_ends_as_recorded() {
    let Some(path) = recorded("friendsforever.json.gz") else {
        return;
    };
    let relay = Relay::start();
    let path = path.to_str().unwrap();
    let mut replay = vec!["replay", path, "--room", "r", "--relay", relay.address()];
    let whole = env::var_os("PARLOR_FULL").is_some();
    if !whole {
        replay.extend(["--first", "2000"]);
    }
    let outcome = object(&replay, "");
    assert_eq!(outcome["converged"], true, "{outcome}");
    if whole {
        assert_eq!(outcome["cuts"], 2_446);
        assert_eq!(outcome["chars"], 21_362);
        assert_eq!(outcome["matches_recording"], true);
    }
    let late = object(&["export", "r", "--relay", relay.address(), "--json"], "");
    let chars = late["text"].as_str().unwrap().chars().count();
    assert_eq!(outcome["chars"], chars);
}

#[test]
fn real_tracks_arrive() {
    let Some(path) = recorded("football-20hz.csv.gz") else {
        return;
    };
    let relay = Relay::start();
    let path = path.to_str().unwrap();
    let replay = ["replay", path, "--room", "r", "--relay", relay.address(), "--first", "2200"];
    let outcome = object(&replay, "");
    assert_eq!(outcome["kind"], "tracks");
    assert_eq!(outcome["converged"], true, "{outcome}");
    let late = object(&["export", "r", "--relay", relay.address(), "--json"], "");
    let tracks = late["tracks"].as_object().unwrap().len();
    assert_eq!(outcome["tracks"], tracks);
}

#[test]
fn a_relay_that_is_killed_is_only_a_pause() {
    let folder = tempfile::tempdir().unwrap();
    let identity = folder.path().join("relay");
    let identity = ["--identity", identity.to_str().unwrap()];
    let first = Relay::listen(&["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"], &identity);
    furnish(&first, "hall");
    let addresses = first.addresses.clone();
    let join = |place: usize| {
        let peer = Process::start(&["join", "hall", "--relay", &addresses[place], "--json"]);
        peer.until(|line| line["event"] == "ready");
        peer
    };
    let mut peers = [join(0), join(0), join(1)];
    let mut edit = |round: usize| {
        for (peer, process) in peers.iter_mut().enumerate() {
            process.tell("count visits 1");
            process.tell(&format!("add players p{peer}-{round} score={round}"));
            process.tell(&format!("add chairs owner=p{peer} legs={round}"));
            process.tell("text notes insert 0 x");
        }
    };
    (0..5).for_each(&mut edit);
    first.process.kill();
    (5..10).for_each(&mut edit);
    let listen: Vec<&str> =
        addresses.iter().map(|address| address.split("/p2p/").next().unwrap()).collect();
    let second = Relay::listen(&listen, &identity);
    assert_eq!(second.addresses, addresses);
    (10..15).for_each(&mut edit);
    let halls = peers.map(|mut peer| {
        peer.tell("wait");
        peer.tell("show");
        peer.until(|line| line.get("title").is_some());
        peer
    });
    // What each has sent is with the relay; now everybody gets what the others sent.
    let late = object(&["export", "hall", "--relay", &addresses[0], "--json"], "");
    assert_eq!(late["visits"], 3 + 45);
    assert_eq!(late["players"].as_object().unwrap().len(), 1 + 45);
    assert_eq!(late["chairs"].as_object().unwrap().len(), 2 + 45);
    assert_eq!(late["notes"].as_str().unwrap().len(), 5 + 45);
    for mut peer in halls {
        peer.tell("show");
        // One that came back later may still be reading.
        let mut tries = 0;
        while peer.until(|line| line.get("title").is_some()) != late {
            tries += 1;
            assert!(tries < 1_000, "a peer did not converge");
            peer.tell("show");
        }
        assert!(peer.end());
    }
}
