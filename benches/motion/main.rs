//! What motion costs: a recorded match by Parlor's state codec and by documents, asteroids by the codec
//! over hops that lose frames, and what movement leaves at a relay.
//!
//! `cargo bench -p parlor-bench --bench motion -- --trace FILE`, with the options that `--help` lists.
//! Bytes are payloads, without what a transport adds. Times are of this thread's processor time; of
//! the match, both ends' of a codec. What is stored is counted in virtual time, of a relay and peers
//! without sockets. Without cargo's `--bench`, as under `cargo test`, nothing is done; without a trace
//! the match is left out.

mod asteroids;
mod bars;
mod growth;
mod hop;
mod hour;
mod lanes;
mod report;
mod trace;
mod wander;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, ValueEnum};
use cpu_time::ThreadTime;

use self::hop::{Grid, Outcomes, Plan};
use self::lanes::{Automerge, Ephemeral, Lane, Loro, Outcome, State, Yrs};
use self::report::{Flight, Flights, Report, Row};
use self::trace::{Match, Tick};

/// Whose scenes are flown where nothing is said.
const SEEDS: RangeInclusive<u64> = 1..=5;

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
    /// Only so many ticks.
    #[arg(long)]
    ticks: Option<usize>,
    #[command(flatten)]
    room: InRoom,
    #[command(flatten)]
    hops: Hops,
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

/// Asteroids, and the hops that tell of them.
#[derive(Debug, Args)]
struct Hops {
    /// Where chance begins. Without it, the figures are of the seeds 1 to 5 together.
    #[arg(long)]
    seed: Option<u64>,
    /// How many of 100 frames are lost on each hop, and acknowledgements on their way back.
    #[arg(long, value_delimiter = ',', default_value = "0,2,10")]
    loss: Vec<u32>,
    /// How many are lost in a row, on average. Without it, each is lost by itself.
    #[arg(long)]
    burst: Option<f64>,
    /// Within how many ticks the writer knows what arrived.
    #[arg(long, value_delimiter = ',', default_value = "0,1,3")]
    delay: Vec<u32>,
    #[command(flatten)]
    grid: Grid,
}

/// Movement at a relay, of which some is stored.
#[derive(Debug, Args)]
struct InRoom {
    /// How many peers move what moves: a run for each.
    #[arg(long, value_delimiter = ',')]
    movers: Vec<usize>,
    /// Of the hour: history is cut as somebody comes, to see what that would save.
    #[arg(long)]
    cut_for_guests: bool,
}

/// What moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Scene {
    /// Eleven players at 20 Hz.
    Football,
    /// 250 asteroids at 30 Hz.
    Asteroids,
    /// What the match leaves in a document.
    Growth,
    /// 20 objects at 20 Hz for an hour: what a relay stores, and what somebody who comes is sent.
    Hour,
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
    if !options.bench || options.test {
        return Ok(());
    }
    let wanted = |scene| options.only.is_empty() || options.only.contains(&scene);
    if let Some(trace) = options.trace.as_ref().filter(|_| wanted(Scene::Football)) {
        football(trace, options.ticks)?.show(options.json)?;
    }
    if wanted(Scene::Asteroids) {
        fly(&options.hops, options.ticks)?.show(options.json)?;
    }
    if let Some(trace) = options.trace.as_ref().filter(|_| wanted(Scene::Growth)) {
        let played = read(trace, options.ticks)?;
        growth::measure(&played, &options.room.movers)?.show(options.json)?;
    }
    if wanted(Scene::Hour) {
        let seed = options.hops.seed.unwrap_or(*SEEDS.start());
        let ticks = options.ticks.unwrap_or(hour::TICKS);
        let plan = hour::Plan { seed, ticks, cut_for_guests: options.room.cut_for_guests };
        hour::measure(plan, &options.room.movers)?.show(options.json)?;
    }
    Ok(())
}

/// The ticks of a match in which anybody was seen, or so many of them.
fn read(trace: &Path, most: Option<usize>) -> Outcome<Match> {
    let played = trace::read(trace).map_err(|why| format!("{}: {why}", trace.display()))?;
    Ok(played.into_iter().take(most.unwrap_or(usize::MAX)).collect())
}

fn football(trace: &Path, most: Option<usize>) -> Outcome<Report> {
    let ticks: Vec<Tick> = read(trace, most)?.into_values().collect();
    let mut report = Report::default();
    report.add(play("parlor, acknowledged at once", &mut State::new(0), &ticks)?);
    report.add(play("parlor, a tick later", &mut State::new(1), &ticks)?);
    report.add(play("parlor, 3 ticks later", &mut State::new(3), &ticks)?);
    report.add(play("loro, ephemeral", &mut Ephemeral::new(), &ticks)?);
    report.add(play("yrs", &mut Yrs::default(), &ticks)?);
    report.add(play("loro", &mut Loro::default(), &ticks)?);
    report.add(play("automerge", &mut Automerge::default(), &ticks)?);
    Ok(report)
}

/// Tells of asteroids over one hop and over two.
fn fly(hops: &Hops, most: Option<usize>) -> Outcome<Flights> {
    let seeds: Vec<u64> = hops.seed.map_or_else(|| SEEDS.collect(), |seed| vec![seed]);
    let count = most.unwrap_or(usize::MAX).min(asteroids::TICKS);
    let scenes: Vec<(u64, Vec<asteroids::Tick>)> =
        seeds.iter().map(|seed| (*seed, asteroids::ticks(*seed, count))).collect();
    let mut flights = Flights::default();
    for (relayed, everything) in [(false, false), (false, true), (true, false)] {
        let losses = hops.loss.iter();
        for (&loss, &delay) in losses.flat_map(|loss| hops.delay.iter().map(move |at| (loss, at))) {
            let (burst, grid) = (hops.burst, hops.grid);
            let plan = Plan { relayed, everything, loss, burst, delay, grid };
            let mut all = Outcomes::default();
            for (seed, ticks) in &scenes {
                all.join(hop::tell(plan, ticks, *seed)?);
            }
            flights.add(Flight { plan, seeds: scenes.len(), all });
        }
    }
    Ok(flights)
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
