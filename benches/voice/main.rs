//! Voice: what a relay carries of it, what it costs on the wire and beside what moves, how late it is
//! heard, and what its parts take.
//!
//! `cargo bench -p parlor-bench --bench voice` does all of it; behind a `--` stand the options that
//! `--help` lists. All is on loopback. A relay is a process of its own, so that its processor time can
//! be read; the peers live in this process, so one clock says when something was sent and when it came.
//! Beside what is ours stand the same frames through plain gossipsub (`wire`) and the same packets at
//! the same times in the `neteq` crate (`playout`).
//!
//! Without cargo's `--bench`, as under `cargo test`, nothing is done.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod acoustics;
#[path = "../sockets/ages.rs"]
mod ages;
mod codec;
mod delay;
mod hub;
mod lanes;
mod load;
mod member;
#[path = "../sockets/mesh.rs"]
mod mesh;
#[path = "../sockets/options.rs"]
mod options;
mod plain;
mod playout;
#[path = "../sockets/process.rs"]
mod process;
#[path = "../sockets/proxy.rs"]
mod proxy;
mod report;
mod rival;
mod script;
#[path = "../../tests/audio/stage.rs"]
#[expect(clippy::unwrap_used, dead_code, reason = "it is what tests play on")]
mod stage;
#[path = "../../tests/audio/traces.rs"]
mod traces;
mod wire;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use parlor::net::NetConfig;
use tokio::runtime::Runtime;

use self::load::Shape;
use self::options::Run;
use self::report::Report;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What voice costs, and how late it is heard.
#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
struct Options {
    /// Only these.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Measurement>,
    /// Only by these, where packets are carried.
    #[arg(long, value_enum, value_delimiter = ',')]
    by: Vec<Carrier>,
    /// Of rooms: how many there are, each of 8 members of whom 2 talk.
    #[arg(long, default_value_t = 40)]
    rooms: usize,
    /// Of the hall: how many listen in one room, to 4 who talk.
    #[arg(long, default_value_t = 100)]
    listeners: usize,
    /// Of rooms: within how many milliseconds the frames of one begin behind those of another. At 0
    /// everybody's begin at once.
    #[arg(long, default_value_t = 20)]
    spread: u64,
    /// Of lanes: how often each lane is measured alone and beside the other.
    #[arg(long, default_value_t = 5)]
    runs: u32,
    #[command(flatten)]
    run: Run,
    /// Be the relay.
    #[arg(long, hide = true)]
    relay: bool,
    /// Do nothing. Also what cargo asks for when it tests.
    #[arg(long, hide = true)]
    test: bool,
    /// Cargo says that it measures.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Measurement {
    /// A relay with many rooms.
    Rooms,
    /// A relay with one room of many who listen.
    Hall,
    /// Bytes on the wire.
    Wire,
    /// Voice beside what moves.
    Lanes,
    /// From mouth to ear, over networks that are not good.
    Delay,
    /// The jitter buffer and the `neteq` crate.
    Playout,
    /// What encoding, decoding and mixing take.
    Codec,
    /// What processing what is captured takes, and takes away.
    Acoustics,
}

/// What brings packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Carrier {
    /// Datagrams of QUIC.
    Datagrams,
    /// Gossip over TCP.
    Gossip,
    /// Gossip by streams of QUIC: a peer without datagrams.
    Streams,
}

impl Carrier {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Datagrams => "datagrams",
            Self::Gossip => "gossip, TCP",
            Self::Streams => "gossip, QUIC",
        }
    }

    /// How a peer behaves that has voice by it.
    pub(crate) fn net(self) -> NetConfig {
        let net = NetConfig::default();
        match self {
            Self::Datagrams | Self::Gossip => net,
            Self::Streams => NetConfig { datagrams_unread: 0, ..net },
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match options.relay {
        true => hub::serve(),
        false if options.bench && !options.test => run(&options),
        false => Ok(()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Outcome<()> {
    let all = Measurement::value_variants();
    let only = if options.only.is_empty() { all } else { &options.only };
    let mut failed = Vec::new();
    for &measurement in only {
        let mut report = Report::default();
        // One that fails leaves the others alone.
        if let Err(error) = measure(measurement, options, &mut report) {
            failed.push(format!("{measurement:?}: {error}"));
        }
        report.show(options.run.json)?;
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ").into()) }
}

/// Measures one thing, in a runtime of its own, so that nothing is left of it when the next begins.
fn measure(what: Measurement, options: &Options, report: &mut Report) -> Outcome<()> {
    let seed = options.run.seed;
    let length = Duration::from_secs(options.run.seconds.into());
    let by = |usual: &[Carrier]| match &options.by[..] {
        [] => usual.to_vec(),
        by => by.to_vec(),
    };
    let both = by(&[Carrier::Datagrams, Carrier::Gossip]);
    // Only what is UDP goes through a proxy that counts or loses packets.
    let quic = by(&[Carrier::Datagrams, Carrier::Streams]);
    let runtime = Runtime::new()?;
    match what {
        Measurement::Rooms => {
            let shape = Shape::rooms(options.rooms, Duration::from_millis(options.spread));
            for carrier in both {
                let measured = Box::pin(load::measure(shape, carrier, length, seed));
                load::report(report, &runtime.block_on(measured)?);
            }
        }
        Measurement::Hall => {
            let shape = Shape::hall(options.listeners);
            for carrier in both {
                let measured = Box::pin(load::measure(shape, carrier, length, seed));
                load::report(report, &runtime.block_on(measured)?);
            }
        }
        Measurement::Wire => runtime.block_on(Box::pin(wire::measure(&quic, length, report)))?,
        Measurement::Lanes => {
            for carrier in both {
                let plan = lanes::Plan { carrier, runs: options.runs, length, seed };
                runtime.block_on(Box::pin(lanes::measure(plan, report)))?;
            }
        }
        Measurement::Delay => {
            runtime.block_on(Box::pin(delay::measure(&quic, length, seed, report)))?;
        }
        Measurement::Playout => playout::measure(length, seed, report)?,
        Measurement::Codec => codec::measure(report)?,
        Measurement::Acoustics => acoustics::measure(report, seed)?,
    }
    Ok(())
}
