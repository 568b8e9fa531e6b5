//! Rooms on disk: how long it takes until a relay says that what was written is kept, how often it asks
//! its disk for that, and how fast it is there again.
//!
//! `cargo bench -p parlor-bench --bench disk` does all of it; behind a `--` stand the options that
//! `--help` lists. So many rooms have a peer each, which writes so many times a second and waits each
//! time until its relay says that it is kept. Beside it, in the same run, what a file costs to which as
//! many bytes are written and synced, by nobody else: the floor. Then a large room is read again, and a
//! store with many rooms is opened; and a peer that has a store of its own was without a relay for so many
//! edits, was begun again, and merges them with what others did.
//!
//! The relay is in this process, over sockets on loopback. The store is in the folder that cargo has
//! for benchmarks, or in `--folder`: not on a disk in memory, where syncing is for nothing.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod again;
mod offline;
mod report;
mod stage;
#[path = "../sockets/table.rs"]
mod table;
mod writers;

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tokio::runtime::Runtime;

use self::report::Report;

type Failure = Box<dyn Error + Send + Sync>;

/// How soon what is written is kept, and how fast it is there again.
#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
struct Options {
    /// Do little. Also what is done without cargo's `--bench`, as under `cargo test`.
    #[arg(long, alias = "test")]
    quick: bool,
    /// Only these.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// How many rooms are written in.
    #[arg(long, default_value_t = 200)]
    rooms: usize,
    /// How often each is written in, in a second, at most: one waits until the last is kept.
    #[arg(long, default_value_t = 1)]
    rate: u32,
    /// For how many seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// How many KiB the large room has.
    #[arg(long, default_value_t = 10_240)]
    large: usize,
    /// How many rooms there are to be opened.
    #[arg(long, default_value_t = 1_000)]
    many: usize,
    /// How many edits are made without a relay.
    #[arg(long, default_value_t = 10_000)]
    edits: usize,
    /// Where the store is to be.
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    folder: PathBuf,
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
    /// A file, written and synced.
    Floor,
    /// Rooms that are written in.
    Writers,
    /// A large room that is opened again.
    Large,
    /// Many rooms, of which one is opened.
    Many,
    /// A peer that was without a relay, and was begun again since.
    Offline,
}

impl Part {
    async fn measure(self, options: &Options) -> Result<Report, Failure> {
        let folder = tempfile::tempdir_in(&options.folder)?;
        let length = Duration::from_secs(options.seconds);
        match self {
            Self::Floor => writers::floor(folder.path(), length.min(Duration::from_secs(5))),
            Self::Writers => {
                let plan = writers::Plan { rooms: options.rooms, rate: options.rate, length };
                Box::pin(writers::measure(folder.path(), plan)).await
            }
            Self::Large => Box::pin(again::large(folder.path(), options.large << 10)).await,
            Self::Many => Box::pin(again::many(folder.path(), options.many)).await,
            Self::Offline => Box::pin(offline::merge(folder.path(), options.edits)).await,
        }
    }
}

fn main() -> io::Result<ExitCode> {
    let mut options = Options::parse();
    if options.quick || !options.bench {
        (options.rooms, options.seconds, options.large, options.many) = (4, 1, 64, 4);
        options.edits = 100;
    }
    if options.only.is_empty() {
        options.only = Part::value_variants().to_vec();
    }
    let (mut reports, mut failed) = (Vec::new(), false);
    for &part in &options.only {
        // A runtime of its own, so that nothing of one is left when the next begins.
        match Runtime::new()?.block_on(part.measure(&options)) {
            Ok(report) => reports.push(report),
            Err(error) => {
                failed = true;
                writeln!(anstream::stderr().lock(), "{part:?}: {error}")?;
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
