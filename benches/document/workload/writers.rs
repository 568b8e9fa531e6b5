//! W5: many writers, each of them one integer of its own object a tick. In a chain each sees all
//! that was written before; in a mesh each sees all of the previous tick; with jitter each sees all
//! but the last few changes, fewer than two ticks', and they write in any order. One who only reads
//! applies everything afterwards, one by one; where a document follows the values in batches, another
//! does it again and has that brought up to date once a second.

use std::collections::VecDeque;

use super::trip::size;
use super::{Made, Plan, connected};
use crate::content::{Dice, FIRST_INTEGER, Object, Tally};
use crate::engine::{Engine, Exchange, Outcome, deliver};
use crate::measure::{Series, held, timed};
use crate::report::{Report, Section, Sheet};

/// Ticks of a second.
pub(super) const SECOND: usize = 20;

/// Runs chains and meshes.
pub(super) fn run<E: Engine>(plan: &Plan, report: &mut Report) -> Outcome<()> {
    for &ticks in &plan.chain {
        let mut room = Room::<E>::new(plan)?;
        // Where one replica can write as everybody, there need not be one for each.
        if E::new(0)?.write_as(1)? {
            room.chain_of_one(ticks)?;
        } else {
            room.chain_of_many(ticks)?;
        }
        room.report(&mut report.sheet(&format!("w5 chain, {ticks} ticks"), E::NAME))?;
    }
    for &ticks in &plan.mesh {
        let mut room = Room::<E>::new(plan)?;
        room.mesh(ticks)?;
        room.report(&mut report.sheet(&format!("w5 mesh, {ticks} ticks"), E::NAME))?;
        let mut room = Room::<E>::new(plan)?;
        room.jittered(ticks)?;
        room.report(&mut report.sheet(&format!("w5 mesh with jitter, {ticks} ticks"), E::NAME))?;
    }
    Ok(())
}

/// Somebody who reads when all is written.
struct Reader<E> {
    number: usize,
    replica: E,
    /// All that came, in order.
    given: Vec<Vec<u8>>,
}

/// The writers, the objects that they write to, and those who read.
struct Room<E: Engine> {
    dice: Dice,
    made: Made<E::Handle>,
    relay: E::Relay,
    writers: Vec<E>,
    readers: Vec<Reader<E>>,
    /// To the readers, and the changes alone of that; to the relay.
    bytes: Series,
    contents: Series,
    up: Series,
}

impl<E: Engine> Room<E> {
    /// Everybody has made its object, and everybody has everything.
    fn new(plan: &Plan) -> Outcome<Self> {
        let mut dice = Dice::new(plan.seed);
        let mut writers = (0..plan.writers).map(E::new).collect::<Outcome<Vec<_>>>()?;
        let count = plan.writers + 1 + usize::from(E::FOLLOWS);
        let readers = (plan.writers..count)
            .map(|number| Ok(Reader { number, replica: E::new(number)?, given: Vec::new() }));
        let mut readers = readers.collect::<Outcome<Vec<_>>>()?;
        let numbers: Vec<usize> = (0..count).collect();
        let mut relay = connected::<E>(&numbers)?;
        let mut made = Made::new();
        for number in 0..writers.len() {
            made.more(&mut writers[number], number, vec![Object::random(&mut dice)])?;
            relay.take(number, &writers[number].encode()?)?;
            for (other, writer) in writers.iter_mut().enumerate() {
                deliver(writer, &relay.give(other)?)?;
            }
        }
        for reader in &mut readers {
            deliver(&mut reader.replica, &relay.give(reader.number)?)?;
        }
        let (bytes, contents, up) = (Series::default(), Series::default(), Series::default());
        Ok(Self { dice, made, relay, writers, readers, bytes, contents, up })
    }

    /// One replica writes as everybody in turn: what each wrote is what it would have written with
    /// a replica of its own that has seen all the others'.
    fn chain_of_one(&mut self, ticks: usize) -> Outcome<()> {
        let count = self.writers.len();
        self.writers.truncate(1);
        for _ in 0..ticks {
            for number in 0..count {
                self.writers[0].write_as(number)?;
                self.step(0, number)?;
            }
            (0..count).try_for_each(|number| self.relay.give(number).map(drop))?;
        }
        Ok(())
    }

    /// Everybody writes in turn, when it has seen what the others wrote.
    fn chain_of_many(&mut self, ticks: usize) -> Outcome<()> {
        for _ in 0..ticks {
            for number in 0..self.writers.len() {
                deliver(&mut self.writers[number], &self.relay.give(number)?)?;
                self.step(number, number)?;
            }
        }
        Ok(())
    }

    /// Everybody writes, then everybody sees what the others wrote.
    fn mesh(&mut self, ticks: usize) -> Outcome<()> {
        for _ in 0..ticks {
            (0..self.writers.len()).try_for_each(|number| self.step(number, number))?;
            for (number, writer) in self.writers.iter_mut().enumerate() {
                deliver(writer, &self.relay.give(number)?)?;
            }
        }
        Ok(())
    }

    /// Everybody writes, in any order, and has seen all but a few.
    fn jittered(&mut self, ticks: usize) -> Outcome<()> {
        let count = self.writers.len();
        let mut waiting = vec![VecDeque::new(); count];
        let mut order: Vec<usize> = (0..count).collect();
        for _ in 0..ticks {
            for place in (1..count).rev() {
                order.swap(place, self.dice.below(place + 1));
            }
            for &number in &order {
                let unseen = self.dice.below(2 * count);
                while waiting[number].len() > unseen
                    && let Some(message) = waiting[number].pop_front()
                {
                    deliver(&mut self.writers[number], [&message])?;
                }
                self.step(number, number)?;
                for (other, waiting) in waiting.iter_mut().enumerate() {
                    waiting.extend(self.relay.give(other)?);
                }
            }
        }
        Ok(())
    }

    /// A writer writes.
    fn step(&mut self, writer: usize, number: usize) -> Outcome<()> {
        let writer = &mut self.writers[writer];
        self.made.change(writer, number, FIRST_INTEGER, &mut self.dice)?;
        let messages = writer.encode()?;
        self.up.push(size(&messages));
        self.relay.take(number, &messages)?;
        for (place, reader) in self.readers.iter_mut().enumerate() {
            let given = self.relay.give(reader.number)?;
            if place == 0 {
                self.bytes.push(size(&given));
                let contents = given.iter().map(|message| E::contents(message));
                self.contents.push(contents.sum::<Outcome<usize>>()? as f64);
            }
            reader.given.extend(given);
        }
        Ok(())
    }

    fn report(mut self, sheet: &mut Sheet<'_>) -> Outcome<()> {
        // Nobody else is there to take the reader's caches.
        self.writers.clear();
        let count = self.readers.first().map_or(0, |reader| reader.given.len());
        let tick = count.div_ceil(self.bytes.count().max(1)) * self.made.objects.len();
        let mut expected = Tally::default();
        self.made.objects.iter().for_each(|object| expected.object(object));
        sheet.put(Section::Delta, "mean", "B", self.bytes.mean());
        sheet.put(Section::Delta, "last tenth", "B", self.bytes.last_tenth());
        if E::RELAYS {
            sheet.put(Section::Delta, "the change alone, mean", "B", self.contents.mean());
            sheet.put(Section::Delta, "to the relay, mean", "B", self.up.mean());
        }
        for (place, mut reader) in self.readers.into_iter().enumerate() {
            let replayed = replay(&mut reader, tick, place > 0)?;
            if reader.replica.read()? != expected {
                return Err("the reader holds something else".into());
            }
            if place == 0 {
                alone(sheet, &replayed.apply);
                sheet.put(Section::Heap, "reader", "kB", held(reader.replica));
            } else {
                let all = (replayed.apply.total() * tick as f64 + replayed.follow) / count as f64;
                let each = replayed.follow / count as f64;
                sheet.put(Section::Apply, "documents included", "/s", 1e6 / all);
                sheet.put(Section::Apply, "the document, a change", "us", each);
                sheet.put(Section::Heap, "reader, documents included", "kB", held(reader.replica));
            }
        }
        Ok(())
    }
}

/// What reading everything took.
struct Replayed {
    /// A change, of each tick.
    apply: Series,
    /// All that the document took which follows in batches.
    follow: f64,
}

/// Somebody reads all that was written, one by one. Time is asked for once a tick: asking takes as
/// long as some engines do for a change.
fn replay<E: Engine>(reader: &mut Reader<E>, tick: usize, follows: bool) -> Outcome<Replayed> {
    let mut replayed = Replayed { apply: Series::default(), follow: 0.0 };
    let given = std::mem::take(&mut reader.given);
    let replica = &mut reader.replica;
    let ticks = given.chunks(tick);
    let last = ticks.len();
    for (number, messages) in (1..).zip(ticks) {
        let (applied, taken) =
            timed(|| messages.iter().try_for_each(|message| replica.apply(E::decode(message)?)));
        applied?;
        replayed.apply.push(taken / messages.len() as f64);
        if follows && (number % SECOND == 0 || number == last) {
            let (followed, taken) = timed(|| replica.follow());
            followed?;
            replayed.follow += taken;
        }
    }
    Ok(replayed)
}

fn alone(sheet: &mut Sheet<'_>, apply: &Series) {
    let metrics = ["1st fifth", "2nd fifth", "3rd fifth", "4th fifth", "5th fifth"];
    sheet.put(Section::Apply, "one by one", "/s", 1e6 / apply.mean());
    sheet.put(Section::Apply, "first tenth", "us", apply.first_tenth());
    for (metric, fifth) in metrics.into_iter().zip(apply.fifths()) {
        sheet.put(Section::Apply, metric, "us", fifth);
    }
    sheet.put(Section::Apply, "last tenth", "us", apply.last_tenth());
}
