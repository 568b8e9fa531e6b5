//! A crowd that moves: how old everybody's pose is when everybody else shows it, and what that costs.
//!
//! `cargo bench -p parlor-bench --bench crowd` does all of it; behind a `--` stand the options that
//! `--help` lists. So many peers write a pose of their own so many times a second, and a relay, which
//! is a process of its own so that its processor time can be read, tells the others: Parlor's rooms, a
//! bare UDP socket that passes on what it gets, and gossipsub over libp2p's QUIC. All is on loopback.
//!
//! The peers live in this process, so one clock says when something was written and when it shows. What
//! shows is looked up in a table of what was written. A room is a task that waits for what comes and
//! what is due, as an asynchronous program has it: no loop adds to the ages. Its network has the thread
//! that every room has.
//!
//! `wire` is another scene: asteroids that one peer moves and another sees, each behind a proxy that
//! loses packets and counts them.
//!
//! Without cargo's `--bench`, as under `cargo test`, nothing is done.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "../sockets/ages.rs"]
mod ages;
#[path = "../motion/asteroids.rs"]
mod asteroids;
mod gossip;
mod hub;
#[path = "../sockets/mesh.rs"]
mod mesh;
#[path = "../sockets/options.rs"]
mod options;
#[path = "../sockets/process.rs"]
mod process;
#[path = "../sockets/proxy.rs"]
mod proxy;
mod report;
mod rooms;
mod script;
mod seen;
mod udp;
mod wire;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use parlor::StateConfig;
use tokio::runtime::Runtime;

use self::options::Run;
use self::report::{Report, Row, WireRow};
use self::seen::Measured;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// How old everybody's pose is when everybody else shows it, and what that costs.
#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
struct Options {
    /// Only these; figures are compared with the first of the same rate.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Way>,
    /// How many peers there are.
    #[arg(long, default_value_t = 32)]
    peers: usize,
    /// How often each writes, and says what it wrote, in a second.
    #[arg(long, value_delimiter = ',', default_value = "20,60")]
    rate: Vec<u32>,
    /// How often a relay of rooms tells members what is new, in a second.
    #[arg(long, value_delimiter = ',', default_value = "60,120")]
    relay_rate: Vec<u32>,
    /// How soon a relay of rooms, or a peer, says again what was not answered, in milliseconds.
    #[arg(long, default_value_t = 15)]
    resend: u64,
    /// Of the wire: how often the peer that only looks on answers, in a second.
    #[arg(long, default_value_t = 30)]
    answer_rate: u32,
    /// Of the wire: packets of 100 that are lost, each way between the relay and either peer.
    #[arg(long, value_delimiter = ',', default_value = "0,2,10")]
    loss: Vec<u32>,
    /// Of the wire: how long packets are on their way to or from the relay, in milliseconds.
    #[arg(long, default_value_t = 10)]
    delay: u64,
    #[command(flatten)]
    run: Run,
    /// Be the relay of one way.
    #[arg(long, hide = true)]
    relay: Option<Way>,
    /// Do nothing. Also what cargo asks for when it tests.
    #[arg(long, hide = true)]
    test: bool,
    /// Cargo says that it measures.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Way {
    /// Parlor's rooms.
    Room,
    /// Datagrams that a socket passes on.
    Udp,
    /// gossipsub over libp2p's QUIC.
    Gossip,
    /// Asteroids in a room, over a network that loses packets.
    Wire,
}

/// How one side of a room's link tells what moves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    /// How often, in a second.
    pub(crate) rate: u32,
    /// How soon what was not answered is said again, in milliseconds.
    pub(crate) resend: u64,
}

impl Tuning {
    pub(crate) fn of(self, default: StateConfig) -> StateConfig {
        let resend = Duration::from_millis(self.resend);
        StateConfig { rate: self.rate, resend, ..default }
    }
}

/// What is done with one of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) peers: usize,
    /// How often each writes, in a second.
    pub(crate) rate: u32,
    pub(crate) relay: Tuning,
    pub(crate) length: Duration,
    pub(crate) seed: u64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match (options.relay, options.relay_rate.first()) {
        (Some(way), Some(rate)) => hub::serve(way, Tuning { rate: *rate, resend: options.resend }),
        _ if options.bench && !options.test => run(options),
        _ => Ok(()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(mut options: Options) -> Outcome<()> {
    if options.only.is_empty() {
        options.only = Way::value_variants().to_vec();
    }
    let mut report = Report::default();
    for &rate in &options.rate {
        for &way in options.only.iter().filter(|way| **way != Way::Wire) {
            let relays = if way == Way::Room { &options.relay_rate[..] } else { &[rate] };
            for &relay_rate in relays {
                let (peers, seed) = (options.peers, options.run.seed);
                let length = Duration::from_secs(options.run.seconds.into());
                let relay = Tuning { rate: relay_rate, resend: options.resend };
                let plan = Plan { peers, rate, relay, length, seed };
                report.add(Row::new(way, plan, crowd(way, plan)?));
            }
        }
    }
    if options.only.contains(&Way::Wire) {
        wires(&options, &mut report)?;
    }
    report.show(options.run.json)?;
    Ok(())
}

/// A runtime of its own, so that nothing of one way is left when the next begins.
fn crowd(way: Way, plan: Plan) -> Outcome<Measured> {
    Runtime::new()?.block_on(async {
        match way {
            Way::Udp => Box::pin(udp::measure(plan)).await,
            Way::Gossip => Box::pin(gossip::measure(plan)).await,
            Way::Room | Way::Wire => Box::pin(rooms::measure(plan)).await,
        }
    })
}

fn wires(options: &Options, report: &mut Report) -> Outcome<()> {
    let scene = wire::Scene::new(options.run.seed, options.run.seconds);
    for &loss in &options.loss {
        let delay = Duration::from_millis(options.delay);
        let relay_rate = options.relay_rate.first().copied().unwrap_or(60);
        let tuned = |rate| Tuning { rate, resend: options.resend };
        let plan = wire::Plan {
            loss,
            delay,
            relay: tuned(relay_rate),
            receiver: tuned(options.answer_rate),
            seed: options.run.seed,
        };
        let measured = Runtime::new()?.block_on(Box::pin(wire::measure(plan, &scene)))?;
        report.add_wire(WireRow::new(plan, measured));
    }
    Ok(())
}
