//! W3: a room of eight. First each makes its share of the objects, edits them, takes some out and
//! puts others in, all without the others; then all is merged, and they edit each other's objects
//! with a tick between them.

use super::trip::size;
use super::{Made, Plan, connected};
use crate::content::{Dice, Object, PROPERTIES, Tally};
use crate::engine::{Engine, Exchange, Form, Outcome, deliver};
use crate::measure::{Series, grown, heap, timed};
use crate::report::{Report, Section};

/// How many they are.
const ACTORS: usize = 8;
/// One object of so many is taken out, and another put in.
const REPLACED: usize = 10;

const NAME: &str = "w3 room of eight";

/// A peer, the objects that it made, and what it wrote while it was alone.
struct Actor<E: Engine> {
    replica: E,
    made: Made<E::Handle>,
    written: Vec<Vec<u8>>,
}

/// Runs it.
pub(super) fn run<E: Engine>(plan: &Plan, report: &mut Report) -> Outcome<()> {
    let mut dice = Dice::new(plan.seed);
    let share = plan.objects / ACTORS;
    let alone = (0..ACTORS).map(|number| alone::<E>(number, share, &mut dice));
    let mut actors = alone.collect::<Outcome<Vec<_>>>()?;
    let numbers: Vec<usize> = (0..=ACTORS).collect();
    let mut relay = connected::<E>(&numbers)?;
    for (number, actor) in actors.iter_mut().enumerate() {
        relay.take(number, &std::mem::take(&mut actor.written))?;
    }
    merged(&mut relay, &actors, report)?;
    together(plan, (&mut relay, &mut actors), &mut dice, report)
}

/// What one does without the others, which is sent when it is done.
fn alone<E: Engine>(number: usize, share: usize, dice: &mut Dice) -> Outcome<Actor<E>> {
    let mut replica = E::new(number)?;
    let mut made = Made::new();
    let mut next = number * share * 2;
    let mut create = |replica: &mut E, made: &mut Made<E::Handle>, dice: &mut Dice| {
        next += 1;
        made.more(replica, next, vec![Object::random(dice)])
    };
    for _ in 0..share {
        create(&mut replica, &mut made, dice)?;
    }
    for _ in 0..share * 2 {
        let (object, property) = (dice.below(share), dice.below(PROPERTIES));
        made.change(&mut replica, object, property, dice)?;
    }
    for _ in 0..share.div_ceil(REPLACED) {
        let place = dice.below(made.handles.len());
        replica.remove(&made.handles.swap_remove(place))?;
        made.objects.swap_remove(place);
        create(&mut replica, &mut made, dice)?;
    }
    let written = replica.encode()?;
    Ok(Actor { replica, made, written })
}

/// Everybody's changes come to somebody who has nothing, all at once.
fn merged<E: Engine>(
    relay: &mut E::Relay,
    actors: &[Actor<E>],
    report: &mut Report,
) -> Outcome<()> {
    let given = relay.give(ACTORS)?;
    let before = heap();
    let mut reader = E::new(ACTORS)?;
    let (merged, taken) = timed(|| deliver(&mut reader, &given));
    merged?;
    let alive = grown(before);
    let mut expected = Tally::default();
    let objects = actors.iter().flat_map(|actor| &actor.made.objects);
    objects.for_each(|object| expected.object(object));
    if reader.read()? != expected {
        return Err("the reader holds something else".into());
    }
    let mut sheet = report.sheet(NAME, E::NAME);
    sheet.put(Section::Delta, "alone, total", "kB", size(&given) / 1e3);
    sheet.put(Section::Apply, "merge of all", "ms", taken / 1e3);
    sheet.put(Section::Heap, "merged", "kB", alive);
    if let Some(snapshot) = reader.snapshot(Form::Usual)? {
        sheet.put(Section::Snapshot, "merged", "kB", snapshot.len() as f64 / 1e3);
    }
    Ok(())
}

/// All edit all objects: what was written in a tick is everybody's after it.
fn together<E: Engine>(
    plan: &Plan,
    (relay, actors): (&mut E::Relay, &mut [Actor<E>]),
    dice: &mut Dice,
    report: &mut Report,
) -> Outcome<()> {
    let mut all = Made::new();
    for actor in &mut *actors {
        all.handles.append(&mut actor.made.handles);
        all.objects.append(&mut actor.made.objects);
    }
    exchange(relay, actors)?;
    let (mut bytes, mut apply) = (Series::default(), Series::default());
    for _ in 0..plan.live {
        for (number, actor) in actors.iter_mut().enumerate() {
            // Flags are left out: a value that is there already is no change to some engines.
            let property = [0, 1, 2, 3, 4, 5, 8, 9][dice.below(8)];
            let object = dice.below(all.objects.len());
            all.change(&mut actor.replica, object, property, dice)?;
            relay.take(number, &actor.replica.encode()?)?;
            bytes.push(size(&relay.give(ACTORS)?));
        }
        let taken = exchange(relay, actors)?;
        apply.push(taken / (actors.len() * (actors.len() - 1)) as f64);
    }
    let tallies = actors.iter().map(|actor| actor.replica.read()).collect::<Outcome<Vec<_>>>()?;
    if tallies.iter().any(|tally| *tally != tallies[0]) {
        return Err("the actors differ".into());
    }
    let mut sheet = report.sheet(NAME, E::NAME);
    sheet.put(Section::Delta, "together, mean", "B", bytes.mean());
    sheet.put(Section::Apply, "together, a tick a call", "us", apply.mean());
    Ok(())
}

/// Everybody gets what all others wrote. Returns how long they take to apply it.
fn exchange<E: Engine>(relay: &mut E::Relay, actors: &mut [Actor<E>]) -> Outcome<f64> {
    let mut all = 0.0;
    for (number, actor) in actors.iter_mut().enumerate() {
        let given = relay.give(number)?;
        let (delivered, taken) = timed(|| deliver(&mut actor.replica, &given));
        delivered?;
        all += taken;
    }
    Ok(all)
}
