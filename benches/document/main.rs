//! What Parlor, automerge, loro and yrs cost on the same work, in one process.
//!
//! `cargo bench -p parlor-bench --bench document` does all of it; behind a `--` stand the options
//! that `--help` lists. Without cargo's `--bench`, as under `cargo test`, little is done of
//! everything. Times are of this thread's processor time. Everything that chance decides follows
//! from the seed.

mod content;
mod engine;
mod measure;
mod report;
mod workload;

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use self::engine::automerge::Automerge;
use self::engine::loro::Loro;
use self::engine::parlor::Parlor;
use self::engine::yrs::{First, Second, Yrs};
use self::engine::{Engine, Outcome};
use self::report::Report;
use self::workload::{Plan, Workload};

/// What documents cost: Parlor's, automerge's, loro's and those of yrs, on the same work.
#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
struct Options {
    /// Do little of everything. Also what cargo asks for when it tests.
    #[arg(long, alias = "test")]
    quick: bool,
    /// Only these workloads.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Workload>,
    /// Only these engines; figures are compared with the first.
    #[arg(long, value_enum, value_delimiter = ',')]
    engine: Vec<Name>,
    /// W4: how many objects the rooms have.
    #[arg(long, value_delimiter = ',')]
    objects: Vec<usize>,
    /// W5: how many ticks the chains have.
    #[arg(long, value_delimiter = ',')]
    chain: Vec<usize>,
    /// W5: how many ticks the meshes have.
    #[arg(long, value_delimiter = ',')]
    mesh: Vec<usize>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// A file that gets the same as JSON objects, one a line.
    #[arg(long)]
    also_json: Option<PathBuf>,
    /// Where chance begins.
    #[arg(long, default_value_t = 20)]
    seed: u64,
    /// Cargo says that it measures.
    #[arg(long, hide = true)]
    bench: bool,
}

/// An engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Name {
    Parlor,
    Automerge,
    Loro,
    YrsV1,
    YrsV2,
}

impl Name {
    const fn name(self) -> &'static str {
        match self {
            Self::Parlor => Parlor::NAME,
            Self::Automerge => Automerge::NAME,
            Self::Loro => Loro::NAME,
            Self::YrsV1 => Yrs::<First>::NAME,
            Self::YrsV2 => Yrs::<Second>::NAME,
        }
    }

    fn run(self, workload: Workload, plan: &Plan, report: &mut Report) -> Outcome<()> {
        match self {
            Self::Parlor => {
                workload.run::<Parlor>(plan, report)?;
                workload.run_own(plan, report)
            }
            Self::Automerge => workload.run::<Automerge>(plan, report),
            Self::Loro => workload.run::<Loro>(plan, report),
            Self::YrsV1 => workload.run::<Yrs<First>>(plan, report),
            Self::YrsV2 => workload.run::<Yrs<Second>>(plan, report),
        }
    }
}

impl Options {
    fn plan(&self) -> Plan {
        let quick = self.quick || !self.bench;
        let mut plan = if quick { Plan::quick(self.seed) } else { Plan::full(self.seed) };
        let given = [
            (&self.objects, &mut plan.joined),
            (&self.chain, &mut plan.chain),
            (&self.mesh, &mut plan.mesh),
        ];
        for (given, planned) in given {
            if !given.is_empty() {
                planned.clone_from(given);
            }
        }
        plan
    }
}

/// Those that were asked for, or all.
fn selected<T: ValueEnum>(asked: &[T]) -> Vec<T> {
    if asked.is_empty() { T::value_variants().to_vec() } else { asked.to_vec() }
}

fn main() -> io::Result<ExitCode> {
    let options = Options::parse();
    let plan = options.plan();
    let (workloads, engines) = (selected(&options.only), selected(&options.engine));
    let mut errors = anstream::stderr().lock();
    writeln!(
        errors,
        "seed {}; asking for the time takes {:.2} us",
        plan.seed,
        measure::overhead()
    )?;
    let mut report = Report::default();
    let mut failed = false;
    for workload in workloads {
        for engine in &engines {
            let (outcome, taken) = measure::timed(|| engine.run(workload, &plan, &mut report));
            let outcome = match outcome {
                Ok(()) => format!("{:.1} s", taken / 1e6),
                Err(error) => {
                    failed = true;
                    format!("failed: {error}")
                }
            };
            writeln!(errors, "{workload:?} {}: {outcome}", engine.name())?;
        }
    }
    if let Some(path) = &options.also_json {
        report.write_json(&mut File::create(path)?)?;
    }
    let mut out = anstream::stdout().lock();
    if options.json {
        report.write_json(&mut out)?;
    } else {
        let names: Vec<_> = engines.iter().map(|engine| engine.name()).collect();
        writeln!(out, "seed {}; in brackets, how many times {} it is", plan.seed, names[0])?;
        writeln!(out, "-: no such form, or no step of its own; then it is part of its neighbour")?;
        report.write_tables(&mut out, &names)?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
