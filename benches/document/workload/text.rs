//! A text of 20 kB in which two type ten characters a second each, beside the writers of W5, for ten
//! seconds: what the text takes of a core, for one who reads and for one who types, and what the
//! writers' changes take with it and without it.

use super::writers::SECOND;
use super::{Made, Plan, connected};
use crate::content::{Dice, FIRST_INTEGER, Object};
use crate::engine::parlor::{Parlor, document_of};
use crate::engine::{Engine, Exchange, Outcome, deliver};
use crate::measure::{Series, timed};
use crate::report::{Report, Section};

use parlor::proto::id::DocumentId;

/// How many type.
const TYPISTS: usize = 2;
/// Characters of a paragraph.
const PARAGRAPH: usize = 800;
/// Ticks from one character of a typist to the next.
const EVERY: usize = 2;

/// Runs it with the text and without.
pub(super) fn run(plan: &Plan, report: &mut Report) -> Outcome<()> {
    let with = Room::new(plan)?.run(plan, true)?;
    let without = Room::new(plan)?.run(plan, false)?;
    let seconds = plan.typed as f64 / SECOND as f64;
    let share = |series: &Series| series.total() / 1e6 / seconds * 100.0;
    let mut sheet = report.sheet(&format!("text of {} characters", plan.text), Parlor::NAME);
    let mut put = |metric, unit, value: f64| sheet.put(Section::Text, metric, unit, value);
    put("a core, reader", "%", share(&with.texts));
    put("a core, typist", "%", share(&with.typing));
    put("a keystroke, reader", "us", with.texts.mean());
    put("a keystroke, typist, both ways", "us", with.typing.mean());
    put("a keystroke", "B", with.bytes.mean());
    put("the writers' changes, with the text", "/s", 1e6 / with.models.mean());
    put("the writers' changes, without", "/s", 1e6 / without.models.mean());
    put("a core, the writers' changes, with the text", "%", share(&with.ticks));
    put("a core, the writers' changes, without", "%", share(&without.ticks));
    Ok(())
}

/// What it took.
#[derive(Default)]
struct Taken {
    /// The reader: frames of the text, one by one.
    texts: Series,
    /// A typist: own characters and those of the other, one by one.
    typing: Series,
    /// The reader: the writers' changes, by change and by tick.
    models: Series,
    ticks: Series,
    /// The frames of the text that the reader gets.
    bytes: Series,
}

/// Writers, typists, and one who reads.
struct Room {
    dice: Dice,
    relay: <Parlor as Engine>::Relay,
    made: Made<<Parlor as Engine>::Handle>,
    members: Vec<Parlor>,
    writers: usize,
}

impl Room {
    /// Everybody has everything: an object of each writer, and the text.
    fn new(plan: &Plan) -> Outcome<Self> {
        let mut dice = Dice::new(plan.seed);
        let writers = plan.writers;
        let numbers: Vec<usize> = (0..=writers + TYPISTS).collect();
        let mut relay = connected::<Parlor>(&numbers)?;
        let members = numbers.into_iter().map(Parlor::new);
        let mut members = members.collect::<Outcome<Vec<_>>>()?;
        let mut made = Made::new();
        for number in 0..writers {
            made.more(&mut members[number], number, vec![Object::random(&mut dice)])?;
            relay.take(number, &members[number].encode()?)?;
            for (other, member) in members.iter_mut().enumerate() {
                deliver(member, &relay.give(other)?)?;
            }
        }
        // As much as one edit may be: a paragraph each.
        for place in (0..plan.text).step_by(PARAGRAPH) {
            let length = PARAGRAPH.min(plan.text - place);
            let text: String = (0..length.div_ceil(8)).map(|_| dice.text()).collect();
            members[writers].type_in(place, &text[..length])?;
        }
        relay.take(writers, &members[writers].encode()?)?;
        for (other, member) in members.iter_mut().enumerate() {
            deliver(member, &relay.give(other)?)?;
        }
        Ok(Self { dice, relay, made, members, writers })
    }

    fn run(mut self, plan: &Plan, types: bool) -> Outcome<Taken> {
        let mut taken = Taken::default();
        let mut places: Vec<usize> =
            (1..=TYPISTS).map(|part| plan.text * part / (TYPISTS + 1)).collect();
        for tick in 0..plan.typed {
            for number in 0..self.writers {
                let member = &mut self.members[number];
                self.made.change(member, number, FIRST_INTEGER, &mut self.dice)?;
                self.relay.take(number, &member.encode()?)?;
                self.read(&mut taken, true)?;
            }
            for (typist, place) in places.iter_mut().enumerate() {
                if types && tick % EVERY == typist % EVERY {
                    self.type_one(typist, *place, &mut taken)?;
                    *place += 1;
                }
            }
            let before = taken.models.total();
            self.read(&mut taken, false)?;
            let all = taken.models.last(self.writers) * self.writers as f64;
            taken.ticks.push(all + taken.models.total() - before);
            self.others_read(&mut taken)?;
        }
        self.agree()?;
        Ok(taken)
    }

    /// A typist types a character, and sends it.
    fn type_one(&mut self, typist: usize, place: usize, taken: &mut Taken) -> Outcome<()> {
        let number = self.writers + typist;
        let member = &mut self.members[number];
        let (messages, time) = timed(|| {
            member.type_in(place, "x")?;
            member.encode()
        });
        if typist == 0 {
            taken.typing.push(time);
        }
        self.relay.take(number, &messages?)?;
        self.read(taken, true)
    }

    /// The reader reads what has come.
    fn read(&mut self, taken: &mut Taken, wanted: bool) -> Outcome<()> {
        let number = self.writers + TYPISTS;
        let given = self.relay.give(number)?;
        if wanted && given.is_empty() {
            return Err("an edit came to nothing".into());
        }
        for message in given {
            let reader = &mut self.members[number];
            let (text, time) = apply(reader, &message)?;
            if text {
                taken.texts.push(time);
                taken.bytes.push(message.len() as f64);
            } else {
                taken.models.push(time);
            }
        }
        Ok(())
    }

    /// Everybody else reads what has come. Writers have no use for the text.
    fn others_read(&mut self, taken: &mut Taken) -> Outcome<()> {
        for number in 0..self.writers + TYPISTS {
            for message in self.relay.give(number)? {
                let text = document_of(&Parlor::decode(&message)?)? == DocumentId::TEXTS;
                if text && number < self.writers {
                    continue;
                }
                let (_, time) = apply(&mut self.members[number], &message)?;
                if text && number == self.writers {
                    taken.typing.push(time);
                }
            }
        }
        Ok(())
    }

    /// Everybody who has the text has the same.
    fn agree(&mut self) -> Outcome<()> {
        for _ in 0..2 {
            self.relay.rest();
            self.read(&mut Taken::default(), false)?;
            self.others_read(&mut Taken::default())?;
        }
        let having = &self.members[self.writers..];
        let texts = having.iter().map(|member| Ok(member.space()?.text.read(member.store())));
        let texts = texts.collect::<Outcome<Vec<_>>>()?;
        let tallies = having.iter().map(Engine::read).collect::<Outcome<Vec<_>>>()?;
        let same = texts.iter().all(|text| *text == texts[0] && !text.is_empty());
        if same && tallies.iter().all(|tally| *tally == tallies[0]) {
            Ok(())
        } else {
            Err("the members differ".into())
        }
    }
}

/// Applies a frame. Returns whether it is of the text, and how long that took.
fn apply(member: &mut Parlor, message: &[u8]) -> Outcome<(bool, f64)> {
    let text = document_of(&Parlor::decode(message)?)? == DocumentId::TEXTS;
    let (applied, taken) = timed(|| member.apply(Parlor::decode(message)?));
    applied?;
    Ok((text, taken))
}
