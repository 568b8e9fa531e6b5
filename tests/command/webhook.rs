//! A relay that asks an application's server, and tells it what happens.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use serde_json::Value as Json;

use crate::process::{PATIENCE, Process, Relay, run, text};

/// A server that lets nobody in who says `bad`. Where it is, and what it is asked and told.
fn server() -> (String, mpsc::Receiver<Json>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hooks", listener.local_addr().unwrap());
    let (sender, seen) = mpsc::sync_channel(1_000);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let sender = sender.clone();
            thread::spawn(move || serve(&stream.unwrap(), &sender));
        }
    });
    (url, seen)
}

fn serve(stream: &TcpStream, sender: &mpsc::SyncSender<Json>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
            let line = line.trim_end().to_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body: Json = serde_json::from_slice(&body).unwrap();
        let answer = match body["data"]["context"].as_str() {
            Some("bad") => r#"{"allow":false,"message":"not today","context":"code 7"}"#,
            _ => r#"{"allow":true}"#,
        };
        sender.send(body).ok()?;
        let length = answer.len();
        let mut writer = stream;
        write!(writer, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{answer}").ok()?;
    }
}

fn secret() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    fs::write(&path, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn a_relay_asks_who_may_come_in_and_tells_what_happens() {
    let ((url, seen), (_folder, secret)) = (server(), secret());
    let hooks = [
        "--webhook-inside",
        "--webhook-join",
        &url,
        "--webhook-events",
        &url,
        "--webhook-secret-file",
        &secret,
    ];
    let relay = Relay::listen(&["/ip4/127.0.0.1/tcp/0"], &hooks);
    let join =
        |context| ["join", "room", "--json", "--relay", relay.address(), "--context", context];
    let bad = run(&join("bad"), "");
    let said = text(&bad.stdout) + &text(&bad.stderr);
    assert!(!bad.status.success() && said.contains("not let this peer in: not today"), "{said}");

    let good = Process::start(&join("good"));
    good.until(|line| line["event"] == "ready");
    assert!(good.end());
    assert!(relay.process.end());
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != "room.closed") {
        let seen = seen.recv_timeout(PATIENCE).unwrap();
        kinds.push(seen["type"].as_str().unwrap().to_owned());
    }
    let expected =
        ["room.join", "room.join", "room.created", "member.joined", "member.left", "room.closed"];
    assert_eq!(kinds, expected);
}

#[test]
fn what_is_no_server_is_said_before_the_relay_begins() {
    let (folder, secret) = secret();
    let relay = |more: &[&str]| {
        let listen = ["relay", "--listen", "/ip4/127.0.0.1/tcp/0", "--until-eof"];
        let output = run(&[&listen[..], more].concat(), "");
        (text(&output.stderr), output.status.code())
    };
    let join = ["--webhook-join", "http://example.com/"];
    let (why, status) = relay(&join);
    assert!(why.contains("--webhook-secret-file") && status == Some(2), "{why}");
    let file = ["--webhook-secret-file", secret.as_str()];
    let (why, status) = relay(&[join, file].concat());
    assert!(why.contains("must be https") && status == Some(2), "{why}");
    let wrong = folder.path().join("none");
    let (why, status) = relay(&[join, ["--webhook-secret-file", wrong.to_str().unwrap()]].concat());
    assert!(why.contains("cannot read the secret") && status == Some(1), "{why}");
}
