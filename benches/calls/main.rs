//! How long a call takes that is answered, and how many signals a room carries: a relay and peers over
//! real sockets on loopback.
//!
//! `cargo bench -p parlor-bench --bench calls` does all of it; behind a `--` stand the options that
//! `--help` lists. A call goes from one peer through the relay to another, whose application answers
//! it by a signal: four ways. Beside it the same over TCP, through a process that does nothing but pass
//! bytes on: the floor. In the crowd, every peer of a room tells all others so many a second.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod crowd;
mod floor;
mod report;
mod stage;
#[path = "../sockets/table.rs"]
mod table;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tokio::runtime::Runtime;

use self::report::{Calls, Report};

type Failure = Box<dyn Error + Send + Sync>;

/// How long calls take, and how many signals a room carries.
#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
struct Options {
    /// Do little. Also what is done without cargo's `--bench`, as under `cargo test`.
    #[arg(long, alias = "test")]
    quick: bool,
    /// Only these.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// How many calls, one behind the other's answer, and at most every millisecond.
    #[arg(long, default_value_t = 5_000)]
    calls: usize,
    /// Bytes that a call says, and its answer.
    #[arg(long, default_value_t = 32)]
    bytes: usize,
    /// How many peers the crowd has.
    #[arg(long, default_value_t = 8)]
    peers: usize,
    /// How many signals the crowd gives in a second, all together.
    #[arg(long, default_value_t = 10_000)]
    rate: u32,
    /// For how many seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Cargo says that it measures.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Part {
    /// Calls by reliable signals.
    Reliable,
    /// Calls by cast ones.
    Cast,
    /// The same way over TCP.
    Tcp,
    /// A room in which everybody tells all others.
    Crowd,
}

async fn measure(part: Part, options: &Options) -> Result<Report, Failure> {
    let calls = |times| Report::Calls(Calls::new(part.name(), times));
    Ok(match part {
        Part::Reliable | Part::Cast => {
            let reliable = part == Part::Reliable;
            calls(Box::pin(stage::calls(options.calls, options.bytes, reliable)).await?)
        }
        Part::Tcp => calls(floor::calls(options.calls, options.bytes).await?),
        Part::Crowd => {
            let length = Duration::from_secs(options.seconds);
            let plan = crowd::Plan { peers: options.peers, rate: options.rate, length };
            Report::Crowd(crowd::measure(plan).await?)
        }
    })
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Reliable => "parlor, reliable",
            Self::Cast => "parlor, cast",
            Self::Tcp => "TCP through a proxy",
            Self::Crowd => "crowd",
        }
    }
}

fn main() -> io::Result<ExitCode> {
    let mut options = Options::parse();
    if options.quick || !options.bench {
        (options.calls, options.seconds, options.rate) = (50, 1, 400);
    }
    if options.only.is_empty() {
        options.only = Part::value_variants().to_vec();
    }
    let mut errors = anstream::stderr().lock();
    let mut reports = Vec::new();
    let mut failed = false;
    for &part in &options.only {
        // A runtime of its own, so that nothing of one is left when the next begins.
        match Runtime::new()?.block_on(measure(part, &options)) {
            Ok(report) => reports.push(report),
            Err(error) => {
                failed = true;
                writeln!(errors, "{}: {error}", part.name())?;
            }
        }
    }
    let mut out = anstream::stdout().lock();
    if options.json {
        report::write_json(&reports, &mut out)?;
    } else {
        report::write_tables(&reports, &mut out)?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
