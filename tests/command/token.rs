//! Keys, tokens and identities, by hand.

use std::path::Path;

use serde_json::Value as Json;

use crate::process::{object, run, text};

/// A folder with a key in it, and its public half.
fn key() -> (tempfile::TempDir, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret").to_str().unwrap().to_owned();
    let made = object(&["token", "keygen", "--json", "--out", &path], "");
    let public = made["public"].as_str().unwrap().to_owned();
    assert_eq!(made["kid"].as_str().unwrap().len(), 16);
    (folder, path, public)
}

fn peer(folder: &Path) -> String {
    let path = folder.join("identity");
    let peer = object(&["identity", "--json", path.to_str().unwrap()], "");
    let again = run(&["identity", path.to_str().unwrap()], "");
    assert_eq!(text(&again.stdout).trim_end(), peer["peer"]);
    peer["peer"].as_str().unwrap().to_owned()
}

fn issue(key: &str, peer: &str, more: &[&str]) -> Json {
    let arguments = ["token", "issue", "--json", "--key", key, "--peer", peer, "--room", "match-*"];
    object(&[&arguments[..], &["--role", "join", "--for", "15m"], more].concat(), "")
}

/// What is said against arguments, and the status.
fn refused(arguments: &[&str]) -> (String, Option<i32>) {
    let output = run(arguments, "");
    (text(&output.stderr), output.status.code())
}

#[test]
fn a_key_is_made_for_its_owner_alone_and_only_once() {
    let (_folder, path, public) = key();
    let secret = std::fs::read_to_string(&path).unwrap();
    assert!(secret.starts_with("k4.secret.") && public.starts_with("k4.public."));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let (why, status) = refused(&["token", "keygen", "--out", &path]);
    assert!(why.contains("is there already") && status == Some(2), "{why}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), secret);
}

#[test]
fn a_token_is_issued_and_inspected() {
    let (folder, path, public) = key();
    let peer = peer(folder.path());
    let more = ["--role", "write", "--id", "t1", "--signals-per-second", "5"];
    let issued = issue(&path, &peer, &more);
    let token = issued["token"].as_str().unwrap();
    let seen = object(&["token", "inspect", "--json", "--key", &public, "-"], token);
    assert_eq!(seen["signature"], true);
    assert_eq!(seen["live"], true);
    assert_eq!(seen["peer"], Json::from(peer));
    assert_eq!(seen["room"], "match-*");
    assert_eq!(seen["roles"], serde_json::json!(["join", "write"]));
    assert_eq!(seen["limits"]["signals_per_second"], 5);
    assert_eq!(seen["id"], "t1");
    assert_eq!(seen["kid"], issued["kid"]);
    assert_eq!(seen["expires"], issued["expires"]);
    let shown = run(&["token", "inspect", token], "");
    let words = text(&shown.stdout);
    assert!(shown.status.success() && words.contains("match-*"), "{words}");
    assert!(words.contains("the signature was not checked"), "{words}");
}

#[test]
fn inspecting_says_by_its_status_whether_a_token_is_good() {
    let (folder, path, public) = key();
    let (_other, _, other) = key();
    let peer = peer(folder.path());
    let inspect = |token: &Json, key: &str| {
        let token = token["token"].as_str().unwrap();
        let output = run(&["token", "inspect", "--json", "--key", key, token], "");
        let seen: Json = serde_json::from_slice(&output.stdout).unwrap();
        (seen["signature"] == true, seen["live"] == true, output.status.code())
    };
    let good = issue(&path, &peer, &[]);
    assert_eq!(inspect(&good, &public), (true, true, Some(0)));
    assert_eq!(inspect(&good, &other), (false, true, Some(1)));
    let old = issue(&path, &peer, &["--not-before", "2020-01-01T00:00:00Z"]);
    assert_eq!(inspect(&old, &public), (true, false, Some(1)));
    let early = issue(&path, &peer, &["--not-before", "2100-01-01T00:00:00Z"]);
    assert_eq!(inspect(&early, &public), (true, false, Some(1)));
    let (why, status) = refused(&["token", "inspect", "v4.public.AAAA"]);
    assert!(why.contains("no admission token") && status == Some(1), "{why}");
}

#[test]
fn what_is_asked_wrongly_is_said() {
    let (folder, path, _) = key();
    let peer = peer(folder.path());
    let wrong: &[(&[&str], &str)] = &[
        (&["--peer", "ann"], "no peer id"),
        (&["--room", ""], "names no rooms"),
        (&["--role", "admin"], "no such role"),
        (&["--for", "1"], "for instance 15m"),
        (&["--for", "25h"], "over the limit of 86400 s"),
        (&["--not-before", "tomorrow"], "2027-01-15T08:00:00Z"),
        (&["--id", ""], "1 to 64 bytes"),
    ];
    for (wrong, words) in wrong {
        let good =
            [("--peer", peer.as_str()), ("--room", "*"), ("--role", "join"), ("--for", "1h")];
        let good = good.iter().filter(|(name, _)| *name != wrong[0]);
        let good = good.flat_map(|(name, value)| [*name, *value]);
        let mut arguments = vec!["token", "issue", "--key", &path];
        arguments.extend(good);
        arguments.extend(*wrong);
        let (why, status) = refused(&arguments);
        assert!(why.contains(words) && status == Some(2), "{wrong:?}: {why}");
    }
    let none = folder.path().join("none");
    let key = none.to_str().unwrap();
    let arguments = ["token", "issue", "--key", key, "--peer", &peer, "--room", "*"];
    let (why, status) = refused(&[&arguments[..], &["--role", "join", "--for", "1h"]].concat());
    assert!(why.contains(key) && status == Some(1), "{why}");
}
