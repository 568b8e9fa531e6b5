//! Several relays, as the command takes them.

use std::net::TcpListener;

use parlor::proto::id::Identity;
use serde_json::Value as Json;

use crate::process::{Relay, objects, run, text};

/// Where nobody is.
fn dead() -> String {
    format!("/ip4/127.0.0.1/tcp/9/p2p/{}", Identity::from_seed([5; 32]).peer())
}

/// Which relay an address is of.
fn relay(address: &str) -> &str {
    address.rsplit_once("/p2p/").unwrap().1
}

#[test]
fn relays_are_measured_and_those_that_do_not_answer_are_last() {
    let (one, two, dead) = (Relay::start(), Relay::start(), dead());
    let mut arguments = vec!["relays", "--json", "--relay", &dead];
    for address in one.addresses.iter().chain(&two.addresses) {
        arguments.extend(["--relay", address]);
    }
    let measured = objects(&arguments, "");
    assert_eq!(measured.len(), 3, "{measured:?}");
    let trips: Vec<Option<f64>> =
        measured.iter().map(|relay| relay["round_trip_ms"].as_f64()).collect();
    assert!(trips[0] <= trips[1] && trips[0] > Some(0.0) && trips[2].is_none(), "{trips:?}");
    let mut found = [&measured[0], &measured[1]].map(|relay| relay["relay"].as_str().unwrap());
    let mut expected = [relay(one.address()), relay(two.address())];
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(measured[0]["addresses"].as_array().unwrap().len(), 2);
    assert_eq!(measured[0]["why"], Json::Null);
    assert_eq!(measured[2]["relay"], relay(&dead));
    assert!(measured[2]["why"].as_str().unwrap().contains(&dead), "{measured:?}");
    let shown = run(&["relays", "--relay", one.address(), "--relay", &dead], "");
    let shown = text(&shown.stdout);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[1].contains(" ms") && lines[1].contains(relay(one.address())), "{shown}");
    assert!(lines[2].contains(&dead), "{shown}");
}

#[test]
fn it_is_a_failure_if_no_relay_answers_and_a_mistake_if_there_is_none() {
    let dead = dead();
    let output = run(&["relays", "--json", "--relay", &dead], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no relay answered"), "{}", text(&output.stderr));
    let object: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["round_trip_ms"], Json::Null);
    for wrong in [&["relays"][..], &["relays", "--relay", "nonsense"]] {
        assert_eq!(run(wrong, "").status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn a_peer_takes_the_first_relay_that_it_reaches_or_the_nearest_and_says_which() {
    let (relay_one, relay_two, dead) = (Relay::start(), Relay::start(), dead());
    let (one, two) = (relay_one.address(), relay_two.address());
    let joined = |arguments: &[&str]| -> Json {
        let join = [&["join", "hall", "--json"], arguments].concat();
        let lines = objects(&join, "members\n");
        lines.into_iter().find(|line| line["event"] == "ready").unwrap()
    };
    let ready = joined(&["--relay", &dead, "--relay", two, "--relay", one]);
    assert_eq!(ready["relay"], relay(two));
    let ready = joined(&["--nearest", "--relay", &dead, "--relay", one]);
    assert_eq!(ready["relay"], relay(one));
}

#[test]
fn the_nearest_is_measured_before_it_is_joined() {
    // It says nothing, and is given up sooner by who measures it than by who dials it.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let silent = format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", Identity::from_seed([6; 32]).peer());
    let dead = dead();
    let asked = ["lobby", "list", "--nearest", "--relay", &silent, "--relay", &dead];
    let output = run(&asked, "");
    assert_eq!(output.status.code(), Some(1));
    let why = text(&output.stderr);
    assert!(why.contains(&format!("{silent}: no answer within 3000 ms")), "{why}");
    assert!(why.contains(&dead), "{why}");
}
