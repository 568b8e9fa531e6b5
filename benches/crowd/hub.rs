//! The relay, in a process of its own, and what it takes.

use std::time::Duration;

use cpu_time::ProcessTime;
use tokio::runtime::Runtime;
use tokio::time::sleep_until;

use crate::process::{self, Process};
use crate::script::Script;
use crate::{Outcome, Tuning, Way, gossip, rooms, udp};

/// A relay that runs.
pub(crate) struct Hub(Process);

/// What things took between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// The relay's processor time, and this process's.
    pub(crate) relay: Duration,
    pub(crate) peers: Duration,
    /// Bytes that went over loopback, of whoever used it.
    pub(crate) loopback: Option<u64>,
}

/// Is the relay, which says where it is.
pub(crate) fn serve(way: Way, tuning: Tuning) -> Outcome<()> {
    let runtime = Runtime::new()?;
    let address = runtime.block_on(async {
        match way {
            Way::Udp => udp::hub(runtime.handle()).await,
            Way::Gossip => gossip::hub(runtime.handle()).await,
            Way::Room | Way::Wire => Box::pin(rooms::hub(runtime.handle(), tuning)).await,
        }
    })?;
    process::answer(&address)
}

impl Hub {
    pub(crate) fn start(way: Way, tuning: Tuning) -> Outcome<Self> {
        let way = match way {
            Way::Room | Way::Wire => "room",
            Way::Udp => "udp",
            Way::Gossip => "gossip",
        };
        let (rate, resend) = (tuning.rate.to_string(), tuning.resend.to_string());
        let arguments = ["--relay", way, "--relay-rate", &rate, "--resend", &resend];
        Ok(Self(Process::start(&arguments)?))
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &str {
        self.0.said()
    }

    fn usage(&mut self) -> Outcome<Usage> {
        let relay = self.0.took()?;
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

/// Bytes that ever went over loopback, where the system says.
fn loopback() -> Option<u64> {
    let all = std::fs::read_to_string("/proc/net/dev").ok()?;
    let line = all.lines().find_map(|line| line.trim_start().strip_prefix("lo:"))?;
    line.split_whitespace().next()?.parse().ok()
}
