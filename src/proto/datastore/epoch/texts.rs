//! Texts in another epoch. Their characters have other operations there, so what this peer typed
//! that nobody confirmed is carried over by places.
//!
//! Where a peer was present at the cut, the epoch begins with just what was confirmed here, and
//! places are the same. Otherwise they are found by comparing (Myers, 1986).

use std::collections::{BTreeMap, BTreeSet};

use super::compare::compare;
use super::{Datastore, Kept};
use crate::proto::datastore::intent::Splice;
use crate::proto::datastore::mirror::Node;
use crate::proto::document::Image;
use crate::proto::log::{ChangeLog, Index};
use crate::proto::model::path::Path;
use crate::proto::table::{ObjectIndex, Piece, View};

/// A text as it was confirmed, and what this peer typed into it.
pub(super) type Typed = (Path, String, Vec<Piece>);

/// Pieces of a text, the last place first, so that none moves another.
fn splices(text: Path, pieces: Vec<Piece>) -> impl Iterator<Item = Splice> {
    pieces.into_iter().rev().map(move |piece| splice(text.clone(), piece))
}

fn splice(text: Path, Piece { at, delete, insert }: Piece) -> Splice {
    Splice { text, at, delete, insert }
}

impl Datastore {
    /// Goes over to an epoch of the texts that begins with just what is confirmed here. Each change
    /// that nobody confirmed is written again, as one change, if it is this peer's.
    pub(super) fn enter_with_texts(&mut self, begun: ChangeLog) {
        let carried = self.pending_splices();
        self.enter_texts(begun, carried.len());
        let before = self.texts.len();
        carried.into_iter().for_each(|splices| self.write_texts(splices));
        self.written[1].extend(before..self.texts.len());
    }

    /// What each change of this peer's does that nobody confirmed, in the places that it has among what
    /// is confirmed and what those before it do. The log is for nothing else after that.
    pub(in crate::proto::datastore) fn pending_splices(&mut self) -> Vec<Vec<Splice>> {
        let pending: Vec<Index> = self.texts.pending_of(self.author.peer).collect();
        let place = |place: &Index| {
            let pieces = self.texts.place_pieces(*place).into_iter();
            pieces.map(|(text, piece)| splice(text, piece)).collect()
        };
        pending.iter().map(place).collect()
    }

    /// `kept` is how many of this peer's own changes are about to be written again.
    fn enter_texts(&mut self, begun: ChangeLog, kept: usize) {
        self.count_typed(kept);
        self.text_actor = begun.scope().actor(&self.text_author);
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
        match kept {
            Kept::Unconfirmed => {
                let own = self.own_pieces();
                self.brought.typed.extend(own);
            }
            Kept::Ahead | Kept::Everything => {
                let table = self.texts.table();
                for key in table.keys(ObjectIndex::ROOT) {
                    let Some(text) = table.text(key) else { continue };
                    let said = table.read(text, View::All);
                    self.brought.texts.insert(Path::parse(key), said);
                }
            }
        }
        self.enter_texts(begun, 0);
        let texts = self.mirror.nodes().filter(|(_, node)| matches!(node, Node::Text(_)));
        let texts: BTreeSet<Path> = texts.map(|(path, _)| path.clone()).collect();
        self.refresh_texts(&texts);
    }

    /// What this peer typed that nobody confirmed, with the texts as they are confirmed. What another
    /// typed is that other's to bring.
    fn own_pieces(&mut self) -> Vec<Typed> {
        let own: Vec<Index> = self.texts.pending_of(self.author.peer).collect();
        self.texts.pieces_of(&own)
    }

    /// Types again what nobody confirmed, into what is here now.
    pub fn bring_typed(&mut self) {
        let typed = std::mem::take(&mut self.brought.typed);
        if typed.is_empty() {
            return;
        }
        self.let_in_all();
        let mut touched = BTreeSet::new();
        for (path, before, pieces) in typed {
            let after = self.says(&path);
            let moved = moved((&before, &after), pieces, self.limits.compared);
            self.write_splices(splices(path.clone(), moved).collect());
            touched.insert(path);
        }
        self.refresh_texts(&touched);
    }

    fn says(&self, path: &Path) -> String {
        let table = self.texts.table();
        table.text(path.as_str()).map(|text| table.read(text, View::All)).unwrap_or_default()
    }

    /// Adds to texts what they lack of what this peer brought.
    pub(super) fn bring_texts(&mut self, brought: BTreeMap<Path, String>) {
        if brought.is_empty() {
            return;
        }
        self.let_in_all();
        let mut carried = Vec::new();
        for (path, here) in &brought {
            let added = added(&self.says(path), here, self.limits.compared);
            carried.extend(splices(path.clone(), added));
        }
        self.write_splices(carried);
        self.refresh_texts(&brought.into_keys().collect());
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

/// Pieces with places in one text, with those that correspond in another: what comes stands behind
/// the same character, or where that was; what goes, goes if it is still there.
fn moved((before, after): (&str, &str), pieces: Vec<Piece>, most: usize) -> Vec<Piece> {
    if pieces.is_empty() || before == after {
        return pieces;
    }
    let (before, after): (Vec<char>, Vec<char>) =
        (before.chars().collect(), after.chars().collect());
    // For each character, where it is or where it was.
    let mut places: Vec<(usize, bool)> = Vec::with_capacity(before.len());
    let mut next = 0;
    for (gone, come) in compare(&before, &after, most) {
        // What is equal is as long on both sides.
        places.extend((next..come.start).map(|place| (place, true)));
        places.extend(gone.map(|_| (come.start, false)));
        next = come.end;
    }
    places.extend((next..after.len()).map(|place| (place, true)));
    let mut moved = Vec::new();
    for Piece { at, delete, insert } in pieces {
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
fn added(there: &str, here: &str, most: usize) -> Vec<Piece> {
    let (there, here): (Vec<char>, Vec<char>) = (there.chars().collect(), here.chars().collect());
    let pieces = compare(&there, &here, most).into_iter().filter_map(|(gone, come)| {
        let insert = here.get(come).filter(|insert| !insert.is_empty())?;
        Some(Piece { at: gone.end, delete: 0, insert: insert.iter().collect() })
    });
    pieces.collect()
}
