//! W1: single updates. One integer of one object, then any property of any object, each update a
//! commit of its own and by somebody who did not make the objects. For Parlor alone, one integer
//! very often, in blocks: an author writes them, then a reader applies them one by one.

use super::trip::{Ends, Trips};
use super::{BATCH, Made, Plan, connected, pass};
use crate::content::{Dice, FIRST_INTEGER, Object, PROPERTIES, Tally};
use crate::engine::{Engine, Exchange, Outcome, deliver};
use crate::measure::{Series, held, timed};
use crate::report::{Report, Section};

/// How many updates one block has.
const BLOCK: usize = 100;
/// How many blocks a figure is the mean of.
const BLOCKS: usize = 10;
/// How many updates go before the first block.
const BEFORE: usize = 10;

const MAKER: usize = 0;
const AUTHOR: usize = 1;
const READER: usize = 2;

/// Runs all cases.
pub(super) fn run<E: Engine>(plan: &Plan, report: &mut Report) -> Outcome<()> {
    case::<E>(plan, report, "w1 one integer", |_| (0, FIRST_INTEGER))?;
    let objects = plan.objects;
    case::<E>(plan, report, "w1 any property", move |dice| {
        (dice.below(objects), dice.below(PROPERTIES))
    })
}

/// The same integer again and again.
pub(super) fn long<E: Engine>(plan: &Plan, report: &mut Report) -> Outcome<()> {
    let mut dice = Dice::new(plan.seed);
    let (mut author, mut reader) = (E::new(AUTHOR)?, E::new(READER)?);
    let mut relay = connected::<E>(&[AUTHOR, READER])?;
    let mut room = Made::new();
    room.more(&mut author, 0, vec![Object::random(&mut dice)])?;
    pass(&mut relay, (AUTHOR, &mut author), &mut [(READER, &mut reader)])?;
    for _ in 0..BEFORE {
        room.change(&mut author, 0, FIRST_INTEGER, &mut dice)?;
        pass(&mut relay, (AUTHOR, &mut author), &mut [(READER, &mut reader)])?;
    }
    let (mut writing, mut applying) = (Series::default(), Series::default());
    for _ in 0..plan.long.div_ceil(BLOCK).max(BLOCKS) + BLOCKS {
        let values: Vec<_> =
            (0..BLOCK).map(|_| room.objects[0].change(FIRST_INTEGER, &mut dice)).collect();
        let (written, taken) = timed(|| {
            let messages = values.into_iter().map(|value| {
                author.write(&[(&room.handles[0], FIRST_INTEGER, value)])?;
                author.encode()
            });
            messages.collect::<Outcome<Vec<_>>>()
        });
        writing.push(taken / BLOCK as f64);
        let mut given = Vec::new();
        for messages in written? {
            relay.take(AUTHOR, &messages)?;
            given.extend(relay.give(READER)?);
        }
        let (applied, taken) =
            timed(|| given.iter().try_for_each(|message| reader.apply(E::decode(message)?)));
        applied?;
        applying.push(taken / BLOCK as f64);
        deliver(&mut author, &relay.give(AUTHOR)?)?;
    }
    let mut expected = Tally::default();
    expected.object(&room.objects[0]);
    if reader.read()? != expected {
        return Err("the reader holds something else".into());
    }
    let mut sheet = report.sheet("w1 long", E::NAME);
    let many = format!("with encoding, after {}", plan.long);
    sheet.put(Section::Author, "with encoding, after 10", "us", writing.first(BLOCKS));
    sheet.put(Section::Author, &many, "us", writing.last(BLOCKS));
    let many = format!("with decoding, after {}", plan.long);
    sheet.put(Section::Apply, "with decoding, after 10", "us", applying.first(BLOCKS));
    sheet.put(Section::Apply, &many, "us", applying.last(BLOCKS));
    Ok(())
}

fn case<E: Engine>(
    plan: &Plan,
    report: &mut Report,
    name: &str,
    choose: impl Fn(&mut Dice) -> (usize, usize),
) -> Outcome<()> {
    let mut dice = Dice::new(plan.seed);
    let (mut maker, mut author) = (E::new(MAKER)?, E::new(AUTHOR)?);
    let mut reader = E::new(READER)?;
    let mut relay = connected::<E>(&[MAKER, AUTHOR, READER])?;
    let mut room = Made::new();
    for first in (0..plan.objects).step_by(BATCH) {
        let batch = first..plan.objects.min(first + BATCH);
        let objects = batch.map(|_| Object::random(&mut dice)).collect();
        room.more(&mut maker, first, objects)?;
        let others = &mut [(AUTHOR, &mut author), (READER, &mut reader)];
        pass(&mut relay, (MAKER, &mut maker), others)?;
    }
    // The first change of an author says more than the others.
    room.change(&mut author, 1, FIRST_INTEGER, &mut dice)?;
    pass(&mut relay, (AUTHOR, &mut author), &mut [(READER, &mut reader)])?;

    let mut trips = Trips::default();
    let mut ends =
        Ends { relay: &mut relay, author: (AUTHOR, &mut author), reader: (READER, &mut reader) };
    for _ in 0..plan.updates {
        let (object, property) = choose(&mut dice);
        let value = room.objects[object].change(property, &mut dice);
        trips.go(&mut ends, &[(&room.handles[object], property, value)])?;
    }
    let mut expected = Tally::default();
    room.objects.iter().for_each(|object| expected.object(object));
    if reader.read()? != expected {
        return Err(format!("{name}: the reader holds something else").into());
    }
    let mut sheet = report.sheet(name, E::NAME);
    trips.report::<E>(&mut sheet);
    sheet.put(Section::Heap, "reader", "kB", held(reader));
    Ok(())
}
