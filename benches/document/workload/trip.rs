//! One change on its way from its author to a reader.

use crate::engine::{Edit, Engine, Exchange, Outcome, deliver};
use crate::measure::{Series, timed};
use crate::report::{Section, Sheet};

/// Somebody who writes and somebody who reads, each with its number, and what is between them.
pub(super) struct Ends<'a, E: Engine> {
    /// What is between.
    pub(super) relay: &'a mut E::Relay,
    /// Who writes.
    pub(super) author: (usize, &'a mut E),
    /// Who reads.
    pub(super) reader: (usize, &'a mut E),
}

/// What changes cost on their ways, one by one.
#[derive(Default)]
pub(super) struct Trips {
    /// To the reader.
    bytes: Series,
    /// The changes alone, of that.
    contents: Series,
    /// To the relay.
    up: Series,
    /// Back to the author.
    back: Series,
    author: Series,
    encode: Series,
    decode: Series,
    apply: Series,
}

impl Trips {
    /// Writes, encodes, decodes and applies edits, all in one commit.
    pub(super) fn go<E: Engine>(
        &mut self,
        ends: &mut Ends<'_, E>,
        edits: &[Edit<'_, E::Handle>],
    ) -> Outcome<()> {
        let ((from, author), (to, reader)) = (&mut ends.author, &mut ends.reader);
        let (written, taken) = timed(|| author.write(edits));
        written?;
        self.author.push(taken);
        let (messages, taken) = timed(|| author.encode());
        let messages = messages?;
        self.encode.push(taken);
        self.up.push(size(&messages));
        ends.relay.take(*from, &messages)?;
        let messages = ends.relay.give(*to)?;
        if messages.is_empty() {
            return Err("an edit came to nothing".into());
        }
        self.bytes.push(size(&messages));
        let contents = messages.iter().map(|message| E::contents(message));
        self.contents.push(contents.sum::<Outcome<usize>>()? as f64);
        let (incoming, taken) = timed(|| {
            messages.iter().map(|message| E::decode(message)).collect::<Outcome<Vec<_>>>()
        });
        let incoming = incoming?;
        self.decode.push(taken);
        let (applied, taken) =
            timed(|| incoming.into_iter().try_for_each(|incoming| reader.apply(incoming)));
        applied?;
        self.apply.push(taken);
        let back = ends.relay.give(*from)?;
        self.back.push(size(&back));
        deliver(*author, &back)
    }

    /// The bytes of all changes.
    pub(super) fn bytes(&self) -> &Series {
        &self.bytes
    }

    /// Notes what all came to.
    pub(super) fn report<E: Engine>(&self, sheet: &mut Sheet<'_>) {
        sheet.put(Section::Delta, "mean", "B", self.bytes.mean());
        sheet.put(Section::Delta, "last tenth", "B", self.bytes.last_tenth());
        if E::RELAYS {
            sheet.put(Section::Delta, "the change alone, mean", "B", self.contents.mean());
            sheet.put(Section::Delta, "to the relay, mean", "B", self.up.mean());
            sheet.put(Section::Delta, "back to the author, mean", "B", self.back.mean());
        }
        if E::ENCODES {
            sheet.put(Section::Author, "mean", "us", self.author.mean());
            sheet.put(Section::Encode, "mean", "us", self.encode.mean());
        }
        let both = self.author.mean() + self.encode.mean();
        sheet.put(Section::Author, "with encoding, mean", "us", both);
        if E::DECODES {
            sheet.put(Section::Decode, "mean", "us", self.decode.mean());
            sheet.put(Section::Apply, "mean", "us", self.apply.mean());
        }
        let both = |part: fn(&Series) -> f64| part(&self.decode) + part(&self.apply);
        sheet.put(Section::Apply, "with decoding, mean", "us", both(Series::mean));
        sheet.put(Section::Apply, "with decoding, first tenth", "us", both(Series::first_tenth));
        sheet.put(Section::Apply, "with decoding, last tenth", "us", both(Series::last_tenth));
    }
}

/// How many bytes messages have.
pub(super) fn size(messages: &[Vec<u8>]) -> f64 {
    messages.iter().map(Vec::len).sum::<usize>() as f64
}
