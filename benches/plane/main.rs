//! How old small frames are when they arrive, and how many do, while the network loses packets:
//! Parlor's datagrams, its streams, and gossipsub over libp2p's own QUIC.
//!
//! `cargo bench -p parlor-bench --bench plane` does all of it; behind a `--` stand the options that
//! `--help` lists. One sender and some receivers hang on one relay, all on loopback, each behind a
//! proxy that delays packets and drops some of them, each way. TCP is left out: a proxy that ends a
//! TCP connection cannot lose what is on it.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "../sockets/ages.rs"]
mod ages;
mod frame;
mod gossip;
#[path = "../sockets/mesh.rs"]
mod mesh;
#[path = "../sockets/options.rs"]
mod options;
mod ours;
#[path = "../sockets/proxy.rs"]
mod proxy;
mod report;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tokio::runtime::Runtime;

use self::frame::Arrivals;
use self::options::Run;
use self::report::{Report, Row};

type Failure = Box<dyn Error + Send + Sync>;

/// How old small frames are when they arrive over a network that loses packets.
#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
struct Options {
    /// Do little. Also what is done without cargo's `--bench`, as under `cargo test`.
    #[arg(long, alias = "test")]
    quick: bool,
    /// Only these ways; figures are compared with the first.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Way>,
    /// Packets of 100 that are lost, each way between the relay and everybody.
    #[arg(long, value_delimiter = ',', default_value = "0,2,10")]
    loss: Vec<u32>,
    /// How long packets are on their way to or from the relay, in milliseconds.
    #[arg(long, default_value_t = 10)]
    delay: u64,
    /// How many receive.
    #[arg(long, default_value_t = 8)]
    receivers: usize,
    #[command(flatten)]
    run: Run,
    /// Cargo says that it measures.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A way from the sender to the receivers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Way {
    /// The state lane, by datagram.
    Datagram,
    /// The state lane, by stream because one end has no datagrams.
    StateStream,
    /// A reliable lane, by stream.
    Stream,
    /// gossipsub over libp2p's QUIC.
    Gossip,
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::Datagram => "parlor, datagrams",
            Self::StateStream => "parlor, state by stream",
            Self::Stream => "parlor, reliable lane",
            Self::Gossip => "gossipsub over QUIC",
        }
    }
}

/// What is done with each way.
#[derive(Clone, Copy, Debug)]
struct Plan {
    loss: u32,
    delay: Duration,
    receivers: usize,
    frames: u32,
    seed: u64,
}

async fn measure(way: Way, plan: Plan) -> Result<Arrivals, Failure> {
    match way {
        Way::Datagram | Way::StateStream | Way::Stream => ours::measure(way, plan).await,
        Way::Gossip => gossip::measure(plan).await,
    }
}

fn main() -> io::Result<ExitCode> {
    let mut options = Options::parse();
    if options.quick || !options.bench {
        (options.run.seconds, options.receivers) = (1, 2);
    }
    if options.only.is_empty() {
        options.only = Way::value_variants().to_vec();
    }
    let mut errors = anstream::stderr().lock();
    let mut report = Report::default();
    let mut failed = false;
    for &loss in &options.loss {
        for &way in &options.only {
            let plan = Plan {
                loss,
                delay: Duration::from_millis(options.delay),
                receivers: options.receivers,
                frames: options.run.seconds * frame::RATE,
                seed: options.run.seed,
            };
            // A runtime of its own, so that nothing of one way is left when the next begins.
            let measured = Runtime::new()?.block_on(measure(way, plan));
            match measured {
                Ok(arrivals) => report.add(Row::new(way.name(), plan, arrivals)),
                Err(error) => {
                    failed = true;
                    writeln!(errors, "{} at {loss} %: {error}", way.name())?;
                }
            }
        }
    }
    let mut out = anstream::stdout().lock();
    if options.run.json {
        report.write_json(&mut out)?;
    } else {
        writeln!(out, "seed {}, {} receivers", options.run.seed, options.receivers)?;
        report.write_table(&mut out)?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
