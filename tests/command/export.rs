//! Exported files in the hands of others.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value as Json, json};

use crate::furnish;
use crate::process::{Relay, object, run, text};

/// JavaScript's automerge, from its registry, or why not.
fn javascript() -> Result<PathBuf, String> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("javascript");
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let package = folder.join("node_modules/@automerge/automerge");
    let node = Command::new("node").arg("--version").output();
    if !node.is_ok_and(|output| output.status.success()) {
        return Err("node is not installed".to_owned());
    }
    if !package.exists() {
        let install = ["install", "--no-audit", "--no-fund", "@automerge/automerge@3"];
        let npm = Command::new("npm")
            .args(install)
            .args(["--prefix", "."])
            .current_dir(&folder)
            .output()
            .map_err(|error| format!("npm is not installed ({error})"))?;
        if !npm.status.success() {
            return Err(format!("npm failed: {}", text(&npm.stderr)));
        }
    }
    fs::copy("tests/command/export.mjs", folder.join("export.mjs"))
        .map_err(|error| error.to_string())?;
    Ok(folder)
}

#[test]
fn automerge_opens_what_is_exported() {
    let relay = Relay::start();
    furnish(&relay, "hall");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hall.automerge");
    let path = file.to_str().unwrap();
    let export = ["export", "hall", "--relay", relay.address(), "--out", path];
    assert!(run(&export, "").status.success());
    let values = object(&["export", "hall", "--relay", relay.address(), "--json"], "");

    let document = automerge::Automerge::load(&fs::read(&file).unwrap()).unwrap();
    compare(&serde_json::to_value(automerge::AutoSerde::from(&document)).unwrap(), &values, false);

    let folder = match javascript() {
        Ok(folder) => folder,
        Err(why) => {
            println!("skipped: JavaScript's automerge cannot be had: {why}");
            return;
        }
    };
    let node = Command::new("node")
        .args(["export.mjs", "@automerge/automerge", path])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(node.status.success(), "{}", text(&node.stderr));
    compare(&serde_json::from_slice(&node.stdout).unwrap(), &values, true);
}

/// Whether a document by ids is the room by names.
fn compare(document: &Json, values: &Json, all: bool) {
    assert_eq!(document["1"], values["title"]);
    assert_eq!(document["3"], values["visits"]);
    assert_eq!(document["6"], values["notes"]);
    let (raw, ann) = (&document["2"]["ann"], &values["players"]["ann"]);
    assert_eq!(raw["4"], ann["ready"]);
    assert_eq!(raw["5"], ann["hat"]);
    assert_eq!(raw["6"], ann["wins"]);
    assert_eq!(document["2/ann/7"], ann["diary"]);
    assert_eq!(raw["8"], ann["weight"]);
    assert_eq!(ann["score"], json!(i64::MIN.to_string()));
    assert_eq!(ann["seen"], json!(u64::MAX.to_string()));
    if all {
        assert_eq!(raw["1"], ann["score"], "a 64-bit integer, as a string or BigInt");
        assert_eq!(raw["2"], ann["seen"], "a 64-bit integer, as a string or BigInt");
        assert_eq!(raw["3"], ann["place"]);
        assert_eq!(raw["9"], ann["key"]);
    }
    let chairs = document["4"].as_object().unwrap();
    assert_eq!(chairs.len(), 2);
    for (key, chair) in chairs {
        assert_eq!(chair["1"], values["chairs"][key]["owner"]);
        assert_eq!(chair["2"], values["chairs"][key]["legs"]);
    }
    let mut turns: Vec<&Json> = document["5"].as_object().unwrap().values().collect();
    turns.sort_by_key(|turn| turn["@"].as_str().unwrap().to_owned());
    for (turn, named) in turns.into_iter().zip(values["turns"].as_array().unwrap()) {
        assert_eq!(turn["1"], named["owner"]);
        assert_eq!(turn["2"], named["legs"]);
    }
}
