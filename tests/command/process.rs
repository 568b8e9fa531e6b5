//! Processes of the command, and what they say.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value as Json;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const KEY: &str = "the key of the tests";

/// The command, apart from the environment that the tests run in.
pub(crate) fn parlor(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlor"));
    command
        .args(arguments)
        .env_remove("PARLOR_RELAY")
        .env_remove("PARLOR_APP_KEY_FILE")
        .env("PARLOR_APP_KEY", KEY);
    command
}

/// Runs the command to its end, with some input.
pub(crate) fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = parlor(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs the command to its good end, and returns the objects that it wrote.
pub(crate) fn objects(arguments: &[&str], input: &str) -> Vec<Json> {
    let output = run(arguments, input);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}{err}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The last of [`objects`].
pub(crate) fn object(arguments: &[&str], input: &str) -> Json {
    objects(arguments, input).pop().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A process that goes on beside the test. It is killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
}

impl Process {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::of(&mut parlor(arguments))
    }

    /// Of a command with an environment of its own.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = child.stdout.take().unwrap();
        let (sender, lines) = mpsc::sync_channel(100_000);
        thread::spawn(move || read(output, &sender));
        Self { input: child.stdin.take(), child, lines }
    }

    /// Writes a line to it.
    pub(crate) fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
    }

    /// The first of its next objects that `is` what is looked for.
    pub(crate) fn until(&self, is: impl Fn(&Json) -> bool) -> Json {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).expect("an object");
            let object = serde_json::from_str(&line).unwrap();
            if is(&object) {
                return object;
            }
        }
    }

    /// Ends its input, and waits until it has ended.
    pub(crate) fn end(mut self) -> bool {
        drop(self.input.take());
        self.child.wait().unwrap().success()
    }

    /// As `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn read(output: impl Read, sender: &mpsc::SyncSender<String>) {
    for line in BufReader::new(output).lines() {
        let Ok(line) = line else { return };
        if sender.send(line).is_err() {
            return;
        }
    }
}

/// A relay, and where it is.
pub(crate) struct Relay {
    pub(crate) process: Process,
    pub(crate) addresses: Vec<String>,
}

impl Relay {
    /// A relay at ports that the system chose.
    pub(crate) fn start() -> Self {
        Self::listen(&["/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"], &[])
    }

    /// A relay at these addresses, with `more` arguments.
    pub(crate) fn listen(listen: &[&str], more: &[&str]) -> Self {
        let mut arguments = vec!["relay", "--json", "--exempt-loopback", "--until-eof"];
        for address in listen {
            arguments.extend(["--listen", *address]);
        }
        arguments.extend(more);
        let process = Process::start(&arguments);
        let mut addresses = Vec::new();
        loop {
            let line = process.until(|_| true);
            match line["address"].as_str() {
                Some(address) => addresses.push(address.to_owned()),
                None => return Self { process, addresses },
            }
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.addresses[0]
    }
}
