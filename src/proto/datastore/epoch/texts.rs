//! Texts in another epoch. Their characters have other operations there, so what this peer typed
//! that nobody confirmed is carried over by places.
//!
//! Where a peer was present at the cut, the epoch begins with just what was confirmed here, and
//! places are the same. Otherwise they are found by comparing (Myers, 1986).

use std::collections::BTreeSet;

use imara_diff::{Algorithm, Diff, InternedInput};

use super::{Datastore, Kept};
use crate::proto::datastore::intent::Splice;
use crate::proto::datastore::mirror::Node;
use crate::proto::document::Image;
use crate::proto::log::{ChangeLog, Index};
use crate::proto::model::path::Path;
use crate::proto::table::{ObjectIndex, Piece, View};

/// Pieces of a text, the last place first, so that none moves another.
fn splices(text: Path, pieces: Vec<Piece>) -> impl Iterator<Item = Splice> {
    pieces.into_iter().rev().map(move |piece| splice(text.clone(), piece))
}

fn splice(text: Path, Piece { at, delete, insert }: Piece) -> Splice {
    Splice { text, at, delete, insert }
}

impl Datastore {
    /// Goes over to an epoch of the texts that begins with just what is confirmed here. Each change
    /// that nobody confirmed is written again, as one change.
    pub(super) fn enter_with_texts(&mut self, begun: ChangeLog) {
        let typed = |place: &Index| self.texts.writer(*place).is_some();
        let pending: Vec<Index> = self.texts.pending().filter(typed).collect();
        let place = |place: &Index| {
            let pieces = self.texts.place_pieces(*place).into_iter();
            pieces.map(|(text, piece)| splice(text, piece)).collect()
        };
        let carried: Vec<Vec<Splice>> = pending.iter().map(place).collect();
        self.enter_texts(begun, pending.len());
        let before = self.texts.len();
        carried.into_iter().for_each(|splices| self.write_texts(splices));
        self.written[1].extend(before..self.texts.len());
    }

    /// `kept` is how many of this peer's own changes are about to be written again.
    fn enter_texts(&mut self, begun: ChangeLog, kept: usize) {
        self.count_typed(kept);
        self.text_actor = begun.scope().actor(&self.author);
        let left = std::mem::replace(&mut self.texts, begun);
        self.left.push(left);
        self.images[1] = Image::new();
        self.written[1].clear();
    }

    /// Writes splices as changes of this peer, of which each has room for what it takes.
    fn write_splices(&mut self, splices: Vec<Splice>) {
        let before = self.texts.len();
        let share = self.share();
        let (mut part, mut size) = (Vec::new(), 0);
        for splice in splices.into_iter().flat_map(|splice| parts(splice, share)) {
            size += splice.size();
            if size > share {
                self.write_texts(std::mem::take(&mut part));
                size = splice.size();
            }
            part.push(splice);
        }
        self.write_texts(part);
        self.written[1].extend(before..self.texts.len());
    }

    /// Goes over to an epoch of the texts that began elsewhere.
    pub(super) fn go_over_with_texts(&mut self, begun: ChangeLog, kept: Kept) {
        self.let_in_all();
        let before = self.texts.table();
        let mut carried = Vec::new();
        for key in before.keys(ObjectIndex::ROOT) {
            let Some(text) = before.text(key) else { continue };
            let there = begun.table();
            let there = there.text(key).map(|text| there.read(text, View::All)).unwrap_or_default();
            let pieces = match kept {
                Kept::Unconfirmed => {
                    let pieces = before.pieces(text, View::Confirmed, View::All);
                    moved(&before.read(text, View::Confirmed), &there, pieces)
                }
                Kept::Ahead | Kept::Everything => added(&there, &before.read(text, View::All)),
            };
            carried.extend(splices(before.property(text), pieces));
        }
        self.enter_texts(begun, 0);
        self.write_splices(carried);
        let texts = self.mirror.nodes().filter(|(_, node)| matches!(node, Node::Text(_)));
        let texts: BTreeSet<Path> = texts.map(|(path, _)| path.clone()).collect();
        self.refresh_texts(&texts);
    }
}

/// A splice as several that each take no more than a share, the last place first.
fn parts(splice: Splice, share: usize) -> Vec<Splice> {
    if splice.size() <= share {
        return vec![splice];
    }
    let Splice { text, at, delete, insert } = splice;
    // Four bytes of an estimate for each byte, three for each that goes.
    let most = (share / 16).max(1);
    let mut parts = Vec::new();
    let mut left = delete;
    while left > 0 {
        let delete = left.min(most);
        left -= delete;
        parts.push(Splice { text: text.clone(), at: at + left, delete, insert: String::new() });
    }
    let characters: Vec<char> = insert.chars().collect();
    for (number, part) in characters.chunks(most).enumerate() {
        let at = at + number * most;
        let insert = part.iter().collect();
        parts.push(Splice { text: text.clone(), at, delete: 0, insert });
    }
    parts
}

/// Where two texts differ.
fn compare(before: &str, after: &str) -> Diff {
    let mut input = InternedInput::default();
    input.update_before(before.chars());
    input.update_after(after.chars());
    Diff::compute(Algorithm::Myers, &input)
}

/// Pieces with places in one text, with those that correspond in another: what comes stands behind
/// the same character, or where that was; what goes, goes if it is still there.
fn moved(before: &str, after: &str, pieces: Vec<Piece>) -> Vec<Piece> {
    if pieces.is_empty() || before == after {
        return pieces;
    }
    let count = before.chars().count();
    let mut places: Vec<(usize, bool)> = Vec::with_capacity(count + 1);
    let mut next = 0;
    for hunk in compare(before, after).hunks() {
        // What is equal is as long on both sides.
        places.extend((next..hunk.after.start as usize).map(|place| (place, true)));
        places.extend(hunk.before.clone().map(|_| (hunk.after.start as usize, false)));
        next = hunk.after.end as usize;
    }
    while places.len() <= count {
        places.push((next, true));
        next += 1;
    }
    let mut moved = Vec::new();
    for Piece { at, delete, insert } in pieces {
        // Behind the character before it, if that is there.
        let stands = at.checked_sub(1).and_then(|before| places.get(before));
        let at_once = match stands {
            Some((place, true)) => place + 1,
            Some((place, false)) => *place,
            None => 0,
        };
        moved.push(Piece { at: at_once, delete: 0, insert });
        let gone = places.get(at..at + delete).unwrap_or_default();
        for (place, _) in gone.iter().filter(|(_, there)| *there) {
            moved.push(Piece { at: *place, delete: 1, insert: String::new() });
        }
    }
    moved
}

/// What a text lacks that another has: nothing goes.
fn added(there: &str, here: &str) -> Vec<Piece> {
    let characters: Vec<char> = here.chars().collect();
    let difference = compare(there, here);
    let pieces = difference.hunks().filter_map(|hunk| {
        let insert = characters.get(hunk.after.start as usize..hunk.after.end as usize)?;
        let at = hunk.before.end as usize;
        (!insert.is_empty()).then(|| Piece { at, delete: 0, insert: insert.iter().collect() })
    });
    pieces.collect()
}
