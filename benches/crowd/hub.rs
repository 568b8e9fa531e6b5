//! The relay's process: this program once more, which says where it is and, for every line that it
//! gets, how much processor time it took so far. It ends with its input.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use cpu_time::ProcessTime;
use tokio::runtime::Runtime;
use tokio::time::sleep_until;

use crate::script::Script;
use crate::{Outcome, Tuning, Way, gossip, rooms, udp};

/// A relay that runs.
pub(crate) struct Hub {
    process: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    address: String,
}

/// What things took between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// The relay's processor time, and this process's.
    pub(crate) relay: Duration,
    pub(crate) peers: Duration,
    /// Bytes that went over loopback, of whoever used it.
    pub(crate) loopback: Option<u64>,
}

/// Is the relay.
pub(crate) fn serve(way: Way, tuning: Tuning) -> Outcome<()> {
    let runtime = Runtime::new()?;
    let address = runtime.block_on(async {
        match way {
            Way::Udp => udp::hub(runtime.handle()).await,
            Way::Gossip => gossip::hub(runtime.handle()).await,
            Way::Room | Way::Wire => Box::pin(rooms::hub(runtime.handle(), tuning)).await,
        }
    })?;
    let mut out = anstream::stdout();
    writeln!(out, "{address}")?;
    for question in io::stdin().lines() {
        question?;
        writeln!(out, "{}", ProcessTime::try_now()?.as_duration().as_nanos())?;
    }
    Ok(())
}

impl Hub {
    pub(crate) fn start(way: Way, tuning: Tuning) -> Outcome<Self> {
        let way = match way {
            Way::Room | Way::Wire => "room",
            Way::Udp => "udp",
            Way::Gossip => "gossip",
        };
        let mut process = Command::new(env::current_exe()?)
            .args(["--relay", way, "--relay-rate", &tuning.rate.to_string()])
            .args(["--resend", &tuning.resend.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let questions = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().ok_or("the relay says nothing")?);
        let mut hub = Self { process, questions, answers, address: String::new() };
        hub.address = hub.line()?;
        Ok(hub)
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err("the relay has ended".into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// How much processor time it took so far.
    fn took(&mut self) -> Outcome<Duration> {
        let questions = self.questions.as_mut().ok_or("the relay is asked nothing")?;
        writeln!(questions)?;
        questions.flush()?;
        Ok(Duration::from_nanos(self.line()?.parse()?))
    }

    fn usage(&mut self) -> Outcome<Usage> {
        let relay = self.took()?;
        let peers = ProcessTime::try_now()?.as_duration();
        Ok(Usage { relay, peers, loopback: loopback() })
    }

    /// What things take while a script is measured. It blocks its thread for moments: it must be what
    /// the runtime was begun with, not a task.
    pub(crate) async fn watch(&mut self, script: &Script) -> Outcome<Usage> {
        sleep_until(script.from().into()).await;
        let before = self.usage()?;
        sleep_until(script.to().into()).await;
        let after = self.usage()?;
        Ok(Usage {
            relay: after.relay.saturating_sub(before.relay),
            peers: after.peers.saturating_sub(before.peers),
            loopback: after.loopback.zip(before.loopback).map(|(after, before)| after - before),
        })
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        drop(self.questions.take());
        // It ends with its input.
        self.process.wait().ok();
    }
}

/// Bytes that ever went over loopback, where the system says.
fn loopback() -> Option<u64> {
    let all = std::fs::read_to_string("/proc/net/dev").ok()?;
    let line = all.lines().find_map(|line| line.trim_start().strip_prefix("lo:"))?;
    line.split_whitespace().next()?.parse().ok()
}
