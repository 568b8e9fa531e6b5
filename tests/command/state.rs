//! What a relay keeps from one run to the next.

use std::fs;
use std::path::Path;

use crate::process::{Relay, objects, run, text};

const LISTEN: &str = "/ip4/127.0.0.1/tcp/0";

/// The boot in a state file.
fn boot(path: &Path) -> u32 {
    let text = fs::read_to_string(path).unwrap();
    let (_, boot) = text.split_once("\nboot ").unwrap();
    boot.trim_end().parse().unwrap()
}

/// Who a relay is, by its address.
fn id(relay: &Relay) -> String {
    relay.address().rsplit('/').next().unwrap().to_owned()
}

#[test]
fn a_relay_that_is_killed_comes_back_as_itself_with_a_higher_boot() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay");
    let state = ["--state", path.to_str().unwrap()];
    let first = Relay::listen(&[LISTEN], &state);
    let peer = id(&first);
    assert_eq!(boot(&path), 1);
    first.process.kill();

    let second = Relay::listen(&[LISTEN], &state);
    assert_eq!(id(&second), peer);
    assert_eq!(boot(&path), 2);
    assert!(second.process.end());

    let third = ["relay", "--json", "--until-eof", "--listen", LISTEN];
    let lines = objects(&[&third[..], &state].concat(), "");
    let ready = lines.iter().find(|line| line["ready"] == true).unwrap();
    assert_eq!(ready["relay"], peer);
    assert_eq!(ready["boot"], 3);
    assert!(lines.iter().all(|line| line.get("warning").is_none()), "{lines:?}");
}

#[test]
fn a_second_relay_on_one_state_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay");
    let state = ["--state", path.to_str().unwrap()];
    let first = Relay::listen(&[LISTEN], &state);
    let second = ["relay", "--until-eof", "--listen", LISTEN];
    let output = run(&[&second[..], &state].concat(), "");
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    let words = format!("another relay is using {}: end it", path.display());
    assert!(errors.contains(&words), "{errors}");
    assert_eq!(text(&output.stdout), "");
    // Nor has it cost the first anything.
    assert_eq!(boot(&path), 1);
    assert!(first.process.end());
}

#[test]
fn a_relay_does_not_begin_anew_over_what_it_cannot_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay");
    let relay = ["relay", "--until-eof", "--listen", LISTEN, "--state", path.to_str().unwrap()];
    assert!(run(&relay, "").status.success());
    let good = fs::read_to_string(&path).unwrap();
    let cut = good.trim_end();
    fs::write(&path, cut).unwrap();
    let output = run(&relay, "");
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("is not a relay's state"), "{errors}");
    assert_eq!(fs::read_to_string(&path).unwrap(), cut);
}

#[test]
fn a_relay_without_a_state_says_what_it_forgets() {
    let relay = ["relay", "--until-eof", "--listen", LISTEN];
    let output = run(&relay, "");
    assert!(output.status.success());
    let said = text(&output.stdout);
    let warnings: Vec<_> = said.lines().filter(|line| line.contains("--state FILE")).collect();
    assert_eq!(warnings.len(), 1, "{said}");
    assert!(warnings[0].contains("ownership does not survive a restart"), "{said}");

    let lines = objects(&[&relay[..], &["--json"]].concat(), "");
    let warnings = lines.iter().filter_map(|line| line["warning"].as_str());
    assert_eq!(warnings.filter(|warning| warning.contains("--state FILE")).count(), 1, "{lines:?}");
    // Its boot is the time: above any that was counted.
    let ready = lines.iter().find(|line| line["ready"] == true).unwrap();
    assert!(ready["boot"].as_u64().unwrap() > 1_700_000_000, "{ready}");
}
