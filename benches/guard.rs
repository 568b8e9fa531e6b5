//! Attacks the guard for as long as it is told to, and says what was reached and how fast.
//!
//!     cargo bench -p parlor-bench --bench guard -- --inputs 100000000 --threads 2
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::io::{self, Write};
use std::panic;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use clap::Parser;
use parlor::sim::guard::{self, Coverage, Finding, ROUND};

/// Attacks the guard, and says what was reached.
#[derive(Debug, Parser)]
#[command(about, disable_version_flag = true)]
struct Arguments {
    /// How many inputs to offer, rounded up to whole rounds.
    #[arg(long, default_value_t = 1_000_000)]
    inputs: u64,
    /// Do little. Also what is done without cargo's `--bench`, as under `cargo test`.
    #[arg(long, alias = "test")]
    quick: bool,
    /// Where chance comes from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The first round.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many rounds are played at once.
    #[arg(long, default_value_t = 1)]
    threads: u64,
    /// How many changes honest peers write beside it, at least.
    #[arg(long, default_value_t = 0)]
    honest: u64,
    /// Inputs until automerge panics without the guard, for as many rounds.
    #[arg(long, default_value_t = 8)]
    unguarded: u64,
    /// Cargo says that it measures.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What a thread found.
#[derive(Default)]
struct Outcome {
    coverage: Coverage,
    findings: Vec<Finding>,
}

/// After so many findings, more say nothing new.
const ENOUGH: usize = 16;

fn main() -> io::Result<ExitCode> {
    let mut arguments = Arguments::parse();
    if arguments.quick || !arguments.bench {
        arguments.inputs = ROUND;
        arguments.unguarded = 1;
    }
    // Panics are what is looked for; each would be told again.
    panic::set_hook(Box::new(|_| {}));
    let mut out = io::stdout().lock();
    for round in 0..arguments.unguarded {
        match guard::unguarded(arguments.seed, round) {
            Ok(Some(inputs)) => writeln!(out, "without the guard: a panic after {inputs} inputs")?,
            Ok(None) => writeln!(out, "without the guard: no panic in {ROUND} inputs")?,
            Err(finding) => writeln!(out, "{finding}")?,
        }
    }
    let started = Instant::now();
    let outcome = attack(&arguments);
    let seconds = started.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = outcome.coverage.inputs() as f64 / seconds;
    writeln!(out, "\n{}", outcome.coverage)?;
    writeln!(out, "{seconds:.1} s, {rate:.0} inputs a second")?;
    for missing in outcome.coverage.missing() {
        writeln!(out, "never reached: {missing}")?;
    }
    for finding in &outcome.findings {
        writeln!(out, "\nFOUND {finding}")?;
    }
    let refused = honest(&arguments, &mut out)?;
    let failed = refused || !outcome.findings.is_empty();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn attack(arguments: &Arguments) -> Outcome {
    let end = arguments.from + arguments.inputs.div_ceil(ROUND);
    let next = AtomicU64::new(arguments.from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..arguments.threads)
            .map(|_| scope.spawn(|| work(arguments.seed, &next, end)))
            .collect();
        let mut all = Outcome::default();
        for thread in threads {
            let outcome = thread.join().unwrap_or_default();
            all.coverage.merge(&outcome.coverage);
            all.findings.extend(outcome.findings);
        }
        all
    })
}

fn work(seed: u64, next: &AtomicU64, end: u64) -> Outcome {
    let mut outcome = Outcome::default();
    while outcome.findings.len() < ENOUGH {
        let round = next.fetch_add(1, Ordering::Relaxed);
        if round >= end {
            break;
        }
        if let Err(finding) = guard::round(seed, round, &mut outcome.coverage) {
            outcome.findings.push(*finding);
        }
        if round % 1_024 == 1_023 {
            progress(round + 1, end, &outcome);
        }
    }
    outcome
}

fn progress(rounds: u64, end: u64, outcome: &Outcome) {
    let findings = outcome.findings.len();
    let line = format!("{rounds} of {end} rounds, {findings} findings of this thread\n");
    if let Err(error) = io::stderr().write_all(line.as_bytes()) {
        drop(error);
    }
}

/// Lets honest peers write. Returns whether one was refused.
fn honest(arguments: &Arguments, out: &mut impl Write) -> io::Result<bool> {
    let started = Instant::now();
    let (mut written, mut round) = (0, arguments.from);
    while written < arguments.honest {
        match guard::honest(arguments.seed, round) {
            Ok(changes) => written += changes,
            Err(why) => {
                writeln!(out, "REFUSED {why}")?;
                return Ok(true);
            }
        }
        round += 1;
    }
    let seconds = started.elapsed().as_secs_f64();
    writeln!(out, "{written} changes of honest peers, none refused, {seconds:.1} s")?;
    Ok(false)
}
