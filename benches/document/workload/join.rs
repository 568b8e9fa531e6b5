//! W4: joining late. Eight authors made the room, each its share, and wrote again what they had
//! made; the newcomer has a snapshot and nothing else.

use super::{BATCH, Made, Plan, connected};
use crate::content::{Dice, FIRST_INTEGER, Object, PROPERTIES, Tally, Value};
use crate::engine::parlor::Parlor;
use crate::engine::{Engine, Exchange, Form, Outcome, deliver};
use crate::measure::{grown, heap, timed};
use crate::report::{Report, Section, Sheet};

/// How many made the room.
const AUTHORS: usize = 8;

/// Runs every size, with values much alike and with values by chance.
pub(super) fn run<E: Engine>(plan: &Plan, report: &mut Report) -> Outcome<()> {
    for &count in &plan.joined {
        for (kind, random) in [("regular", false), ("random", true)] {
            let room = made::<E>(plan, count, random)?;
            let mut sheet = report.sheet(&format!("w4 {count} {kind}"), E::NAME);
            measured(room, &mut sheet)?;
        }
    }
    Ok(())
}

/// What the steps of joining take, for Parlor alone.
pub(super) fn steps(plan: &Plan, report: &mut Report) -> Outcome<()> {
    for &count in &plan.joined {
        let mut room = made::<Parlor>(plan, count, true)?;
        let snapshot = room.replica.snapshot(Form::Usual)?.ok_or("an engine without a snapshot")?;
        drop(room);
        let (_, steps) = Parlor::load_in_steps(AUTHORS + 1, &snapshot)?;
        let mut sheet = report.sheet(&format!("w4 {count} random"), Parlor::NAME);
        let names = ["of it, reading the columns", "of it, laying the base", "of it, going over"];
        for (name, taken) in names.into_iter().zip(steps) {
            sheet.put(Section::Load, name, "ms", taken / 1e3);
        }
    }
    Ok(())
}

/// A room that has a past.
pub(super) struct Past<E: Engine> {
    /// A replica that has seen everything.
    pub(super) replica: E,
    /// What it should hold.
    pub(super) expected: Tally,
    /// One of its objects.
    pub(super) object: E::Handle,
}

/// A room of `count` objects.
pub(super) fn made<E: Engine>(plan: &Plan, count: usize, random: bool) -> Outcome<Past<E>> {
    let mut dice = Dice::new(plan.seed);
    let (mut room, mut relay) = (E::new(AUTHORS)?, connected::<E>(&[AUTHORS])?);
    let authors = (0..AUTHORS).map(|number| Ok((E::new(number)?, Made::new())));
    let mut authors = authors.collect::<Outcome<Vec<_>>>()?;
    let share = count / AUTHORS;
    for first in (0..share).step_by(BATCH) {
        let size = BATCH.min(share - first);
        for (number, (author, made)) in authors.iter_mut().enumerate() {
            let numbers = (number * share + first..).take(size);
            let object = |number| {
                if random { Object::random(&mut dice) } else { Object::regular(number) }
            };
            let objects = numbers.map(object).collect();
            made.more(author, number * share + first, objects)?;
            for _ in 0..size.div_ceil(10) {
                let (object, property) = (dice.below(made.objects.len()), dice.below(PROPERTIES));
                made.change(author, object, property, &mut dice)?;
            }
            relay.take(number, &author.encode()?)?;
        }
        deliver(&mut room, &relay.give(AUTHORS)?)?;
    }
    // One who has seen everything writes last: some engines can let go of the past only there.
    let (_, first) = &mut authors[0];
    first.change(&mut room, 0, FIRST_INTEGER, &mut dice)?;
    relay.take(AUTHORS, &room.encode()?)?;
    for _ in 0..2 {
        deliver(&mut room, &relay.give(AUTHORS)?)?;
        relay.rest();
    }
    let mut expected = Tally::default();
    let objects = authors.iter().flat_map(|(_, made)| &made.objects);
    objects.for_each(|object| expected.object(object));
    let (_, first) = &mut authors[0];
    let object = first.handles.swap_remove(0);
    Ok(Past { replica: room, expected, object })
}

fn measured<E: Engine>(past: Past<E>, sheet: &mut Sheet<'_>) -> Outcome<()> {
    let Past { replica: mut room, expected, object } = past;
    let (snapshot, making) = timed(|| room.snapshot(Form::Usual));
    let shallow = room.snapshot(Form::Shallow)?;
    drop(room);
    let snapshot = snapshot?.ok_or("an engine without a snapshot")?;
    sheet.put(Section::Snapshot, "size", "kB", snapshot.len() as f64 / 1e3);
    sheet.put(Section::Snapshot, "making it", "ms", making / 1e3);
    if let Some(shallow) = &shallow {
        sheet.put(Section::Snapshot, "size, shallow", "kB", shallow.len() as f64 / 1e3);
    }
    let forms = [("", Some(snapshot)), (", shallow", shallow)];
    for (form, snapshot) in forms {
        let Some(snapshot) = snapshot else {
            continue;
        };
        let before = heap();
        let (joined, load) = timed(|| E::load(AUTHORS + 1, &snapshot));
        let mut joined = joined?;
        let loaded = grown(before);
        let (tally, read) = timed(|| joined.read());
        let alive = grown(before);
        if tally? != expected {
            return Err("the newcomer holds something else".into());
        }
        let (_, again) = timed(|| joined.read());
        let (written, write) =
            timed(|| joined.write(&[(&object, FIRST_INTEGER, Value::Integer(-1))]));
        written?;
        let mut put = |section, metric: &str, unit, value: f64| {
            sheet.put(section, &format!("{metric}{form}"), unit, value);
        };
        put(Section::Heap, "loaded", "kB", loaded);
        put(Section::Heap, "loaded and read", "kB", alive);
        put(Section::Load, "load", "ms", load / 1e3);
        put(Section::Load, "reading all, the first time", "ms", read / 1e3);
        put(Section::Load, "bytes to readable values", "ms", (load + read) / 1e3);
        put(Section::Load, "reading all again", "ms", again / 1e3);
        put(Section::Load, "the first write", "ms", write / 1e3);
    }
    Ok(())
}
