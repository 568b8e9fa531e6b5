//! What members say of themselves.

use std::time::Duration;

use parlor::proto::config::HubConfig;
use parlor::proto::event::Event;
use parlor::{Entrance, Opening, PresenceError};

use super::doors::two;
use super::stage::{CALM, ROUGH, Stage, seeds};

/// What an end knows that another says of itself, if it is there.
fn said(stage: &Stage, end: usize, of: usize) -> Vec<(String, String)> {
    let member = stage.at(end).members().find(|member| member.peer == stage.id(of));
    let Some(client) = member.map(|member| member.client) else { return Vec::new() };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let said = stage.at(end).presence(client);
    said.map(|(key, value)| (key.to_owned(), text(value))).collect()
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[test]
fn what_is_said_is_told_and_who_comes_later_is_told_too() {
    for weather in [CALM, ROUGH] {
        let mut stage = Stage::new(3, weather, HubConfig::default());
        let (owner, guest) = two(&mut stage, Opening::default());
        stage.set_presence(owner, "mood", "glad", None);
        stage.set_presence(owner, "place", "hall", None);
        stage.run(Duration::from_secs(2));
        let both = [pair("mood", "glad"), pair("place", "hall")];
        assert_eq!(said(&stage, guest, owner), both);
        assert_eq!(said(&stage, owner, owner), both, "of itself too");
        let late = stage.enter(3, "room", Entrance::default());
        stage.ready(late);
        // At once when it is ready.
        assert_eq!(said(&stage, late, owner), both);
        let now = stage.now;
        stage.at_mut(owner).set_presence("mood", None, None, now).unwrap();
        stage.run(Duration::from_secs(2));
        assert_eq!(said(&stage, late, owner), [pair("place", "hall")]);
        stage.leave(owner);
        stage.run(Duration::from_secs(2));
        assert_eq!(stage.members(late).len(), 2);
    }
}

#[test]
fn what_is_said_for_a_while_is_over_then() {
    let mut stage = Stage::new(3, ROUGH, HubConfig::default());
    let (owner, guest) = two(&mut stage, Opening::default());
    stage.set_presence(owner, "typing", "yes", Some(Duration::from_secs(5)));
    stage.run(Duration::from_secs(3));
    assert_eq!(said(&stage, guest, owner), [pair("typing", "yes")]);
    stage.set_presence(owner, "typing", "yes", Some(Duration::from_secs(5)));
    stage.run(Duration::from_secs(3));
    assert_eq!(said(&stage, guest, owner), [pair("typing", "yes")], "it was said again");
    stage.run(Duration::from_secs(4));
    assert_eq!(said(&stage, guest, owner), []);
    assert_eq!(said(&stage, owner, owner), []);
    let over = stage.ends[guest].events.iter().rev().find_map(|event| match event {
        Event::Presence { key, value, .. } => Some((key.clone(), value.clone())),
        _ => None,
    });
    assert_eq!(over, Some(("typing".to_owned(), None)));
}

#[test]
fn who_comes_back_still_says_what_it_said() {
    for seed in seeds(20, 300) {
        let mut stage = Stage::new(seed, ROUGH, HubConfig::default());
        let (owner, guest) = two(&mut stage, Opening::default());
        stage.set_presence(owner, "place", "hall", None);
        stage.cut(owner);
        stage.set_presence(owner, "mood", "glad", None);
        for step in 0..20 {
            stage.set_presence(owner, "step", &step.to_string(), None);
            stage.run(Duration::from_millis(30));
        }
        stage.ready(owner);
        let all = [pair("mood", "glad"), pair("place", "hall"), pair("step", "19")];
        // Who is there is compared once a second, on a link that loses a tenth.
        stage.until(&format!("all of it, seed {seed}"), |stage| said(stage, guest, owner) == all);
    }
}

#[test]
fn nobody_says_more_of_itself_than_it_may() {
    let mut stage = Stage::new(3, CALM, HubConfig::default());
    let (owner, _) = two(&mut stage, Opening::default());
    let now = stage.now;
    let peer = stage.at_mut(owner);
    let mut say =
        |key: &str, size: usize| peer.set_presence(key, Some(vec![1; size].into()), None, now);
    assert_eq!(say("k", 4_096), Err(PresenceError::TooLong { limit: 4_096, size: 4_097 }));
    assert_eq!(say(&"k".repeat(257), 1), Err(PresenceError::TooLong { limit: 256, size: 257 }));
    for number in 0..16 {
        say(&format!("{number}"), 1).unwrap();
    }
    assert_eq!(say("more", 1), Err(PresenceError::TooMany { limit: 16 }));
}
