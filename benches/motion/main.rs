//! What motion costs: the same recorded match by Parlor's state codec and by documents.
//!
//! `cargo bench -p parlor-bench --bench motion -- --trace FILE`, with the options that `--help` lists.
//! Bytes are payloads, without what a transport adds. Times are of this thread's processor time, and
//! both ends' of a codec. Without cargo's `--bench`, as under `cargo test`, and without a trace nothing
//! is done.

mod lanes;
mod report;
mod trace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use cpu_time::ThreadTime;

use self::lanes::{Automerge, Ephemeral, Lane, Loro, Outcome, State, Yrs};
use self::report::{Report, Row};
use self::trace::Tick;

/// What motion costs.
#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
struct Options {
    /// A recorded match, as `football-20hz.csv.gz`.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Only these scenes.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Scene>,
    /// Only so many ticks of it.
    #[arg(long)]
    ticks: Option<usize>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Do nothing. Also what cargo asks for when it tests.
    #[arg(long, hide = true)]
    test: bool,
    /// Cargo says that it measures.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Scene {
    /// Eleven players at 20 Hz.
    Football,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Outcome<()> {
    let Some(trace) = options.trace.as_ref().filter(|_| options.bench && !options.test) else {
        return Ok(());
    };
    let mut ticks = trace::read(trace).map_err(|why| format!("{}: {why}", trace.display()))?;
    ticks.truncate(options.ticks.unwrap_or(usize::MAX));
    let mut report = Report::default();
    if options.only.is_empty() || options.only.contains(&Scene::Football) {
        report.add(play("parlor, acknowledged at once", &mut State::new(0), &ticks)?);
        report.add(play("parlor, a tick later", &mut State::new(1), &ticks)?);
        report.add(play("parlor, 3 ticks later", &mut State::new(3), &ticks)?);
        report.add(play("loro, ephemeral", &mut Ephemeral::new(), &ticks)?);
        report.add(play("yrs", &mut Yrs::default(), &ticks)?);
        report.add(play("loro", &mut Loro::default(), &ticks)?);
        report.add(play("automerge", &mut Automerge::default(), &ticks)?);
    }
    report.show(options.json)?;
    Ok(())
}

/// Tells all ticks one way.
fn play(way: &'static str, lane: &mut dyn Lane, ticks: &[Tick]) -> Outcome<Row> {
    let (mut bytes, mut updates) = (0, 0);
    let clock = ThreadTime::now();
    for tick in ticks {
        bytes += lane.tell(tick)?;
        updates += tick.len();
    }
    Ok(Row { way, bytes, updates, took: clock.elapsed(), worst: lane.worst() })
}
