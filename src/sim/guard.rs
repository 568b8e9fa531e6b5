//! Attacks on the guard: inputs that are nearly right, and what becomes of a document behind it.
//!
//! A round prepares a log and a document that honest peers made, offers inputs to the log, and
//! applies what is let in, in automerge; saves, loads and compares it, and goes on from there. Chance
//! comes from a seed and the number of the round, so that rounds can be shared out in any way.

mod arena;
mod coverage;
mod craft;
mod dice;
mod facts;
mod header;
mod honest;
mod mutate;
mod raw;
mod trial;

use std::fmt;

use automerge::Automerge;

use self::arena::{Arena, Prepared};
pub use self::coverage::{Coverage, Stage};
use self::dice::Dice;
pub use self::honest::{honest, scope};
use self::trial::{Input, unwinding};
use crate::proto::base::columns;
use crate::proto::config::Limits;
use crate::proto::datastore::Datastore;
use crate::proto::document::{self, Image};
use crate::proto::id::{DocumentId, Hex};
use crate::proto::log::ChangeLog;
use crate::proto::model::Model;
use crate::proto::wire::message::EntryRecord;
use crate::sim::playground::Playground;

/// How many inputs a round has.
pub const ROUND: u64 = 4_096;

/// How many inputs are offered before the document is put back, or how many are let in.
const SESSION: (usize, usize) = (96, 8);

/// Something that must not be: an input that got through and did harm.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// What happened.
    pub why: String,
    /// The seed.
    pub seed: u64,
    /// Its round.
    pub round: u64,
    /// The input's place in that round.
    pub input: u64,
    /// The document.
    pub document: DocumentId,
    /// The log up to and with the input: see [`replay`].
    pub entries: Vec<EntryRecord>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { why, seed, round, input, document, entries } = self;
        writeln!(f, "{why}: seed {seed}, round {round}, input {input}, document {}", document.0)?;
        let bytes = postcard::to_allocvec(entries).unwrap_or_default();
        write!(f, "entries {}", Hex(&bytes))
    }
}

/// Plays a round of [`ROUND`] inputs.
///
/// # Errors
///
/// The first input that did harm; or that honest peers were refused.
pub fn round(seed: u64, round: u64, coverage: &mut Coverage) -> Result<(), Box<Finding>> {
    play(seed, round, |dice, arena, _| {
        let input = trial::draw(dice, arena);
        attempt(dice, arena, input, coverage)
    })
}

/// Plays the inputs of [`round`] without the guard: bytes go straight into automerge, and only what
/// the guard would have let in stays. Returns how many inputs it took until automerge panicked.
///
/// # Errors
///
/// As [`round`].
pub fn unguarded(seed: u64, round: u64) -> Result<Option<u64>, Box<Finding>> {
    let mut first = None;
    play(seed, round, |dice, arena, number| {
        let input = trial::draw(dice, arena);
        if first.is_none()
            && let EntryRecord::Authored { bytes, .. } = &input.record
        {
            let (mut automerge, document) = (arena.automerge.clone(), arena.log.document());
            let applied = unwinding(|| arena::apply(&mut automerge, document, &[bytes.to_vec()]));
            if applied.is_err_and(|why| why.starts_with("panic")) {
                first = Some(number + 1);
            }
        }
        attempt(dice, arena, input, &mut Coverage::default())
    })?;
    Ok(first)
}

/// What does not hold, and the entry that it came with.
type Failure = Box<(String, Option<EntryRecord>)>;

fn attempt(
    dice: &mut Dice,
    arena: &mut Arena<'_>,
    input: Input,
    coverage: &mut Coverage,
) -> Result<(), Failure> {
    let attempted = trial::attempt(dice, arena, &input, coverage);
    attempted.map_err(|why| Box::new((why, Some(input.record))))
}

/// One input of a round.
type Step<'s> = &'s mut dyn FnMut(&mut Dice, &mut Arena<'_>, u64) -> Result<(), Failure>;

/// Where an input comes from.
#[derive(Clone, Copy)]
struct Source {
    seed: u64,
    round: u64,
    inputs: u64,
}

impl Source {
    fn finding(self, why: String) -> Finding {
        let Self { seed, round, .. } = self;
        let document = DocumentId::MODELS;
        Finding { why, seed, round, input: 0, document, entries: Vec::new() }
    }
}

/// A round: prepares a document and plays inputs on it.
fn play(
    seed: u64,
    round: u64,
    step: impl FnMut(&mut Dice, &mut Arena<'_>, u64) -> Result<(), Failure>,
) -> Result<(), Box<Finding>> {
    let mut dice = Dice::new(seed, round, "parlor guard attack");
    let source = Source { seed, round, inputs: ROUND };
    let prepared = Prepared::new(&mut dice).map_err(|why| Box::new(source.finding(why)))?;
    play_on(&prepared, source, &mut dice, step)
}

fn play_on(
    prepared: &Prepared,
    source: Source,
    dice: &mut Dice,
    mut step: impl FnMut(&mut Dice, &mut Arena<'_>, u64) -> Result<(), Failure>,
) -> Result<(), Box<Finding>> {
    let mut arena = prepared.arena();
    let mut number = 0;
    while number < source.inputs {
        let played = session(dice, &mut arena, (&mut number, source.inputs), &mut step);
        played.map_err(|failure| {
            let (why, entry) = *failure;
            let mut entries = arena.history();
            entries.extend(entry.filter(|entry| entries.last() != Some(entry)));
            let document = arena.log.document();
            Box::new(Finding { input: number, document, entries, ..source.finding(why) })
        })?;
        arena.reset();
    }
    Ok(())
}

/// Offers inputs to a document, which is prepared, until there were enough of them.
fn session(
    dice: &mut Dice,
    arena: &mut Arena<'_>,
    (number, inputs): (&mut u64, u64),
    step: Step<'_>,
) -> Result<(), Failure> {
    let (offered, let_in) = SESSION;
    for _ in 0..offered {
        step(dice, arena, *number)?;
        *number += 1;
        if arena.let_in.len() >= let_in || *number >= inputs {
            break;
        }
    }
    if !arena.let_in.is_empty() && dice.once_in(16) {
        let store = dice.once_in(2);
        let entries = arena.history();
        let (document, limits) = (arena.log.document(), arena.log.limits().clone());
        unwinding(|| again(document, &limits, &entries, store))
            .map_err(|why| Box::new((why, None)))?;
    }
    Ok(())
}

/// Documents that honest peers made, for [`offered`] and [`chosen`]: to prepare one takes longer than
/// an input.
#[derive(Debug)]
pub struct Stock(Vec<Prepared>);

impl Stock {
    /// A few documents, always the same.
    #[must_use]
    pub fn new() -> Self {
        let prepared = |round| Prepared::new(&mut Dice::new(0, round, "parlor guard stock")).ok();
        Self((0..8).filter_map(prepared).collect())
    }
}

impl Default for Stock {
    fn default() -> Self {
        Self::new()
    }
}

/// Offers bytes as a change to each prepared document; the first byte says whose it is.
///
/// # Errors
///
/// When it did harm.
pub fn offered(stock: &Stock, data: &[u8]) -> Result<(), Box<Finding>> {
    let (said, bytes) = data.split_first().unwrap_or((&0, &[]));
    // Once as it is and once with what a fuzzer does not guess.
    let mut repaired = bytes.to_vec();
    raw::repair(&mut repaired);
    for prepared in &stock.0 {
        let source = Source { seed: 0, round: 0, inputs: 1 };
        play_on(prepared, source, &mut Dice::Tape(Vec::new()), |dice, arena, _| {
            let authors = &arena.prepared.authors;
            let author = authors.get(usize::from(*said) % (authors.len() + 1)).copied();
            for bytes in [bytes, &repaired] {
                let input = trial::as_it_is(author, bytes.to_vec());
                attempt(dice, arena, input, &mut Coverage::default())?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Plays a few inputs of which every choice is in `data`.
///
/// # Errors
///
/// As [`round`].
pub fn chosen(stock: &Stock, data: &[u8]) -> Result<(), Box<Finding>> {
    let (which, choices) = data.split_first().unwrap_or((&0, &[]));
    let Some(prepared) = stock.0.get(usize::from(*which) % stock.0.len().max(1)) else {
        return Ok(());
    };
    let source = Source { seed: 0, round: u64::from(*which), inputs: 8 };
    play_on(prepared, source, &mut Dice::Tape(choices.to_vec()), |dice, arena, _| {
        let input = trial::draw(dice, arena);
        attempt(dice, arena, input, &mut Coverage::default())
    })
}

/// Lays what bytes say that an epoch began with. What says nothing is no harm.
///
/// # Errors
///
/// What automerge makes of it, if that is not what the table has.
pub fn snapshot(data: &[u8]) -> Result<(), String> {
    let limits = Limits { rows: 20_000, snapshot: 1 << 20, ..Limits::default() };
    let Ok(base) = columns::decode(data, &limits) else {
        return Ok(());
    };
    let document = if base.has_texts() { DocumentId::TEXTS } else { DocumentId::MODELS };
    let empty = ChangeLog::new(scope(), document, limits);
    let mut log = empty.successor(scope(), base);
    while log.lay() {}
    let saved = Image::new().of(&log).map_err(|error| error.to_string())?.save();
    let loaded = Automerge::load(&saved).map_err(|error| error.to_string())?;
    log.table().difference(&loaded).map_or(Ok(()), Err)
}

/// Lets entries into an empty log, and makes its document at once.
///
/// # Errors
///
/// What does not hold; a refusal is none.
pub fn replay(document: DocumentId, entries: &[EntryRecord]) -> Result<(), String> {
    let mut log = ChangeLog::new(scope(), document, Limits::default());
    let mut automerge = arena::empty();
    let mut let_in = Vec::new();
    for record in entries {
        if let Ok(Some(admitted)) = document::admit(&mut log, record)
            && let Some(entry) = log.entry(admitted.index)
        {
            let bytes = entry.bytes.to_vec();
            unwinding(|| arena::apply(&mut automerge, document, &[bytes]))?;
            unwinding(|| trial::compare(&log, &automerge, true))?;
            let_in.push(record.clone());
        }
    }
    unwinding(|| again(document, &Limits::default(), &let_in, true))
}

/// The same in one batch, as a peer does it that comes late; and in a datastore.
fn again(
    document: DocumentId,
    limits: &Limits,
    entries: &[EntryRecord],
    store: bool,
) -> Result<(), String> {
    let mut log = ChangeLog::new(scope(), document, limits.clone());
    for entry in entries {
        document::admit(&mut log, entry).map_err(|fault| format!("{fault}, the second time"))?;
    }
    let mut image = Image::new();
    let automerge: &Automerge = image.of(&log).map_err(|error| error.to_string())?;
    trial::compare(&log, automerge, true)?;
    if store {
        let author = honest::introduction(202, 1);
        let shape = Playground::shape();
        let mut store = Datastore::new(&scope(), author, shape, limits.clone(), 16);
        let received = store.receive(document, entries);
        received.map_err(|fault| format!("{fault}, in a datastore"))?;
        store.flush();
        if let Some(path) = store.mirror().difference(&store.rebuilt()) {
            return Err(format!("mirror and table differ at {path}"));
        }
    }
    Ok(())
}
