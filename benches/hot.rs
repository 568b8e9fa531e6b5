//! What an edit costs from the application to the log, and another's change from its bytes to the
//! application: by the size of the room, by what came before, and with many writers.
//!
//! `cargo bench -p parlor-bench --bench hot` does all of it; behind a `--` stand the options that
//! `--help` lists. Without cargo's `--bench`, as under `cargo test`, little is done of everything.
//! Times are of this thread's processor time. Everything that chance decides follows from the seed.

use std::error::Error;
use std::fs;
use std::io::{self, Write};

use clap::Parser;
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use cpu_time::ThreadTime;
use parlor::proto::authorship::Scope;
use parlor::proto::id::{AppKey, DocumentId, Identity, RoomName};
use parlor::proto::wire::message::{EntryRecord, Introduction};
use parlor::{Datastore, Limits, Model, ModelRef, RealtimeSet};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::json;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Measures the hot paths.
#[derive(Debug, Parser)]
#[command(about, disable_version_flag = true)]
struct Options {
    /// Do little of everything. Also what cargo asks for when it tests.
    #[arg(long, alias = "test")]
    quick: bool,
    /// Only what has one of these in its name.
    #[arg(long)]
    only: Vec<String>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Where chance begins.
    #[arg(long, default_value_t = 20)]
    seed: u64,
    /// Cargo says that it measures.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The room.
#[derive(Clone, Debug, Default, Model)]
struct Space {
    #[property(1)]
    things: RealtimeSet<Thing>,
}

/// What is edited.
#[derive(Clone, Debug, Default, Model)]
struct Thing {
    #[property(1)]
    float: f64,
    #[property(2)]
    integer: i64,
    #[property(3)]
    flag: bool,
    #[property(4)]
    name: String,
}

/// How many edits are timed at once.
const BATCH: usize = 500;
/// How many write in a chain and in a mesh.
const WRITERS: usize = 32;

/// One figure.
struct Row {
    bench: String,
    metric: &'static str,
    unit: &'static str,
    value: f64,
}

/// What is measured, and what came out.
struct Report {
    only: Vec<String>,
    quick: bool,
    seed: u64,
    rows: Vec<Row>,
}

impl Report {
    fn wants(&self, bench: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| bench.contains(only))
    }

    fn put(&mut self, bench: &str, metric: &'static str, unit: &'static str, value: f64) {
        self.rows.push(Row { bench: bench.to_owned(), metric, unit, value });
    }

    /// The rooms, each with how many updates came before.
    const fn cases(&self) -> &'static [(usize, usize)] {
        const FULL: &[(usize, usize)] = &[
            (1, 10),
            (1, 100_000),
            (1_000, 10),
            (1_000, 100_000),
            (10_000, 10),
            (10_000, 100_000),
        ];
        if self.quick { &[(1, 10), (100, 1_000)] } else { FULL }
    }

    const fn batches(&self) -> usize {
        if self.quick { 2 } else { 20 }
    }

    fn write(&self, out: &mut impl Write, json: bool) -> io::Result<()> {
        if json {
            for Row { bench, metric, unit, value } in &self.rows {
                let line = json!({ "bench": bench, "engine": "parlor", "metric": metric, "unit": unit, "value": value });
                writeln!(out, "{line}")?;
            }
            return Ok(());
        }
        let mut table = Table::new();
        table.load_preset(ASCII_MARKDOWN).set_header(["bench", "metric", "unit", "value"]);
        for Row { bench, metric, unit, value } in &self.rows {
            table.add_row([bench, *metric, *unit, &format!("{value:.2}")]);
        }
        if let Some(column) = table.column_mut(3) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(out, "seed {}\n\n{table}", self.seed)
    }
}

/// A peer of the room.
struct Replica {
    store: Datastore,
    things: Vec<ModelRef<Thing>>,
    dice: ChaCha8Rng,
}

impl Replica {
    fn new(number: u64, seed: u64) -> Outcome<Self> {
        let mut identity = [7; 32];
        identity[..8].copy_from_slice(&number.to_le_bytes());
        let author = Introduction { peer: Identity::from_seed(identity).peer(), incarnation: 1 };
        let scope = Scope::first(AppKey::new("benchmark")?.app(), RoomName::new("benchmark")?);
        let store = Datastore::new(&scope, author, Space::shape(), Limits::default(), 1 << 16);
        Ok(Self { store, things: Vec::new(), dice: ChaCha8Rng::seed_from_u64(seed ^ number) })
    }

    /// Puts models in the set, some of them a frame.
    fn fill(&mut self, count: usize) -> Outcome<()> {
        let things = self.store.root::<Space>().ok_or("another type")?.things.clone();
        for number in 0..count {
            let thing = Thing { float: 0.5, integer: 1, flag: true, name: "a name".to_owned() };
            self.things.push(things.add(&mut self.store, thing)?);
            if number % 16 == 15 {
                self.store.flush();
            }
        }
        self.store.flush();
        self.drain();
        Ok(())
    }

    fn edit(&mut self, at: usize) -> Outcome<()> {
        let number = self.dice.next_u64().cast_signed();
        self.store.update(&self.things[at], |thing| thing.integer = number)?;
        self.store.flush();
        Ok(())
    }

    /// What was written since the last time, for others.
    fn written(&mut self) -> Vec<EntryRecord> {
        let places = self.store.take_written(DocumentId::MODELS);
        let log = self.store.log(DocumentId::MODELS);
        places.into_iter().filter_map(|place| log.record(place)).collect()
    }

    fn receive(&mut self, entries: &[EntryRecord]) -> Outcome<()> {
        self.store.receive(DocumentId::MODELS, entries)?;
        Ok(())
    }

    fn drain(&mut self) {
        while self.store.poll_event().is_some() {}
    }

    fn pick(&mut self) -> usize {
        (self.dice.next_u64() % self.things.len() as u64) as usize
    }
}

/// Microseconds of the processor that each of `count` steps took.
fn timed<T>(count: usize, steps: impl FnOnce() -> T) -> (T, f64) {
    let start = ThreadTime::now();
    let outcome = steps();
    (outcome, start.elapsed().as_secs_f64() * 1e6 / count as f64)
}

/// The middle one: another process disturbs the fewest of the batches.
fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// The memory of this process, in bytes.
fn resident() -> Outcome<f64> {
    let pages = fs::read_to_string("/proc/self/statm")?;
    let pages: f64 = pages.split(' ').nth(1).ok_or("no figure")?.parse()?;
    Ok(pages * 4096.0)
}

fn local(report: &mut Report) -> Outcome<()> {
    for &(models, history) in report.cases() {
        let bench = format!("local edit, {models} models, after {history}");
        if !report.wants(&bench) {
            continue;
        }
        let mut replica = Replica::new(0, report.seed)?;
        replica.fill(models)?;
        for _ in 0..history {
            replica.edit(0)?;
            replica.drain();
        }
        let (mut one, mut any) = (Vec::new(), Vec::new());
        for _ in 0..report.batches() {
            let (outcome, taken) = timed(BATCH, || (0..BATCH).try_for_each(|_| replica.edit(0)));
            outcome?;
            one.push(taken);
            replica.drain();
            let picked: Vec<usize> = (0..BATCH).map(|_| replica.pick()).collect();
            let (outcome, taken) =
                timed(BATCH, || picked.iter().try_for_each(|&at| replica.edit(at)));
            outcome?;
            any.push(taken);
            replica.drain();
            replica.written();
        }
        report.put(&bench, "the same model", "us", median(&mut one));
        report.put(&bench, "any model", "us", median(&mut any));
    }
    Ok(())
}

/// What reading and applying a batch takes, each.
struct Applied {
    decode: f64,
    whole: f64,
}

/// Another's changes one by one, each until its event is here and its value read.
fn apply(reader: &mut Replica, entries: &[EntryRecord]) -> Outcome<Applied> {
    let log = reader.store.log(DocumentId::MODELS);
    let (decoded, decode) = timed(entries.len(), || {
        entries.iter().try_for_each(|entry| match entry {
            EntryRecord::Authored { bytes, .. } => log.read(bytes).map(drop),
            EntryRecord::WellKnown(_)
            | EntryRecord::Signed(_)
            | EntryRecord::Cut(_)
            | EntryRecord::Base(_)
            | EntryRecord::Denied(_)
            | EntryRecord::Resumed(_) => Ok(()),
        })
    });
    decoded?;
    let (seen, whole) = timed(entries.len(), || {
        let mut seen = 0_i64;
        for entry in entries {
            reader.receive(std::slice::from_ref(entry))?;
            while let Some(event) = reader.store.poll_event() {
                std::hint::black_box(event);
            }
            let thing = reader.things.first().and_then(|thing| reader.store.get(thing));
            seen = seen.wrapping_add(thing.map_or(0, |thing| thing.integer));
        }
        Outcome::Ok(seen)
    });
    std::hint::black_box(seen?);
    Ok(Applied { decode, whole })
}

fn remote(report: &mut Report) -> Outcome<()> {
    for &(models, history) in report.cases() {
        let bench = format!("remote change, {models} models, after {history}");
        if !report.wants(&bench) {
            continue;
        }
        let mut writer = Replica::new(0, report.seed)?;
        let mut reader = Replica::new(1, report.seed)?;
        writer.fill(models)?;
        reader.receive(&writer.written())?;
        reader.things.clone_from(&writer.things);
        for done in 0..history {
            writer.edit(0)?;
            if done % BATCH == BATCH - 1 || done == history - 1 {
                reader.receive(&writer.written())?;
                reader.drain();
                writer.drain();
            }
        }
        for metric in
            [["the same model", "that without decoding"], ["any model", "any, without decoding"]]
        {
            let any = metric[0] == "any model";
            let (mut whole, mut without) = (Vec::new(), Vec::new());
            for _ in 0..report.batches() {
                for _ in 0..BATCH {
                    let at = any.then(|| writer.pick());
                    writer.edit(at.unwrap_or_default())?;
                }
                writer.drain();
                let applied = apply(&mut reader, &writer.written())?;
                whole.push(applied.whole);
                without.push(applied.whole - applied.decode);
            }
            report.put(&bench, metric[0], "us", median(&mut whole));
            report.put(&bench, metric[1], "us", median(&mut without));
        }
    }
    Ok(())
}

/// What a writer has not seen when it writes: in a chain all that the others wrote since it did, in
/// a mesh what they wrote in the last tick.
fn unseen(
    mesh: bool,
    number: usize,
    last: &[EntryRecord],
    tick: &[EntryRecord],
) -> Vec<EntryRecord> {
    let others = |(author, _): &(usize, _)| if mesh { *author != number } else { *author > number };
    let before = last.iter().enumerate().filter(others).map(|(_, entry)| entry);
    before.chain(if mesh { &[] } else { tick }).cloned().collect()
}

/// Many writers, one property each; one more only reads.
fn writers(report: &mut Report, mesh: bool) -> Outcome<()> {
    let bench = if mesh { "mesh of 32" } else { "chain of 32" };
    if !report.wants(bench) {
        return Ok(());
    }
    let ticks = if report.quick {
        10
    } else if mesh {
        400
    } else {
        600
    };
    let numbers = 0..=WRITERS as u64;
    let mut all =
        numbers.map(|number| Replica::new(number, report.seed)).collect::<Outcome<Vec<_>>>()?;
    for number in 0..WRITERS {
        all[number].fill(1)?;
        let entries = all[number].written();
        for (other, replica) in all.iter_mut().enumerate().filter(|(other, _)| *other != number) {
            replica.receive(&entries).map_err(|error| format!("{other}: {error}"))?;
        }
    }
    all[WRITERS].things = all[0].things.clone();
    let (mut write, mut read, mut decode) = (Vec::new(), Vec::new(), Vec::new());
    let mut last: Vec<EntryRecord> = Vec::new();
    for _ in 0..ticks {
        let mut tick: Vec<EntryRecord> = Vec::new();
        let mut writing = 0.0;
        for (number, writer) in all[..WRITERS].iter_mut().enumerate() {
            writer.receive(&unseen(mesh, number, &last, &tick))?;
            writer.drain();
            let (outcome, taken) = timed(WRITERS, || writer.edit(0));
            outcome?;
            writing += taken;
            tick.extend(writer.written());
        }
        let applied = apply(&mut all[WRITERS], &tick)?;
        write.push(writing);
        read.push(applied.whole);
        decode.push(applied.decode);
        last = tick;
    }
    let fifth = ticks / 5;
    report.put(bench, "write, first fifth", "us", median(&mut write[..fifth].to_vec()));
    report.put(bench, "write, last fifth", "us", median(&mut write[ticks - fifth..].to_vec()));
    report.put(bench, "read, first fifth", "us", median(&mut read[..fifth].to_vec()));
    report.put(bench, "read, last fifth", "us", median(&mut read[ticks - fifth..].to_vec()));
    let (read, decode) = (median(&mut read), median(&mut decode));
    report.put(bench, "read, without decoding", "us", read - decode);
    report.put(bench, "write", "/s", 1e6 / median(&mut write));
    report.put(bench, "read", "/s", 1e6 / read);
    Ok(())
}

/// What a log keeps of a change, and a table of a register: what the process grows by.
fn memory(report: &mut Report) -> Outcome<()> {
    if !report.wants("memory") {
        return Ok(());
    }
    let (changes, models) = if report.quick { (2_000, 1_000) } else { (200_000, 20_000) };
    let mut replica = Replica::new(0, report.seed)?;
    replica.fill(1)?;
    let before = resident()?;
    let mut bytes = 0;
    for _ in 0..changes {
        replica.edit(0)?;
        replica.drain();
        for place in replica.store.take_written(DocumentId::MODELS) {
            let entry = replica.store.log(DocumentId::MODELS).entry(place);
            bytes += entry.map_or(0, |entry| entry.bytes.len());
        }
    }
    let each = (resident()? - before) / f64::from(changes);
    report.put("memory", "of a change of one property", "B", each);
    report.put("memory", "of that, as on disk", "B", bytes as f64 / f64::from(changes));
    let before = resident()?;
    replica.fill(models)?;
    let each = (resident()? - before) / models as f64;
    report.put("memory", "of a model of four properties", "B", each);
    Ok(())
}

fn main() -> Outcome<()> {
    let options = Options::parse();
    let quick = options.quick || !options.bench;
    let mut report = Report { only: options.only, quick, seed: options.seed, rows: Vec::new() };
    memory(&mut report)?;
    local(&mut report)?;
    remote(&mut report)?;
    writers(&mut report, false)?;
    writers(&mut report, true)?;
    report.write(&mut anstream::stdout().lock(), options.json)?;
    Ok(())
}
