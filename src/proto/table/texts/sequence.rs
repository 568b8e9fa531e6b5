//! The characters of one text, in order, with those that were taken out.
//!
//! A replicated growable array (Roh et al., 2011), as automerge's texts are: a character is inserted
//! behind another, in front of whatever later ones stand there. What was taken out stays as a place
//! to insert behind until history is cut. Characters are kept in chunks, so that an edit costs the
//! same wherever it is, but for counting chunks.

use std::hash::{BuildHasherDefault, DefaultHasher};

use hashbrown::HashMap;

use super::Piece;

/// The most characters of a chunk, which is split when it is full.
const FULL: usize = 512;

/// How full chunks are that a base lays.
const LAID: usize = 384;

/// A character's id: the counter of the operation that inserted it, and the number that its actor
/// has in the table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Id {
    pub(super) counter: u32,
    pub(super) actor: u32,
}

/// A state of a text, of those that a peer keeps beside each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum View {
    /// After all changes.
    All,
    /// After those that have their place in the room's order.
    Confirmed,
    /// After this peer's own, and those of others that it has been shown.
    Shown,
}

impl View {
    pub(super) const EACH: [Self; 3] = [Self::All, Self::Confirmed, Self::Shown];

    const fn there(self) -> u32 {
        1 << (24 + self as u32)
    }

    const fn gone(self) -> u32 {
        1 << (27 + self as u32)
    }
}

/// A character, and in which views it came and went. The character takes the lower 24 bits.
#[derive(Clone, Copy, Debug)]
struct Mark(u32);

impl Mark {
    const fn character(self) -> char {
        match char::from_u32(self.0 & 0xff_ffff) {
            Some(character) => character,
            None => char::REPLACEMENT_CHARACTER,
        }
    }

    const fn shows(self, view: View) -> bool {
        self.0 & view.there() != 0 && self.0 & view.gone() == 0
    }
}

#[derive(Clone, Copy, Debug)]
struct Element {
    id: Id,
    mark: Mark,
}

#[derive(Clone, Default, Debug)]
struct Chunk {
    elements: Vec<Element>,
    /// How many show, in each view.
    showing: [usize; 3],
    /// A counter that none of them is below.
    lowest: u32,
}

impl Chunk {
    fn counted(elements: Vec<Element>) -> Self {
        let count = |view| elements.iter().filter(|element| element.mark.shows(view)).count();
        let showing = View::EACH.map(count);
        let lowest = elements.iter().map(|element| element.id.counter).min().unwrap_or_default();
        Self { elements, showing, lowest }
    }

    fn set(&mut self, at: usize, bits: u32) {
        let before = self.elements[at].mark;
        let now = Mark(before.0 | bits);
        self.elements[at].mark = now;
        for view in View::EACH {
            let count = &mut self.showing[view as usize];
            *count = *count + usize::from(now.shows(view)) - usize::from(before.shows(view));
        }
    }
}

/// A chunk by its name, and a place in it.
type Spot = (u32, usize);

/// The characters of a text.
#[derive(Clone, Default, Debug)]
pub(super) struct Sequence {
    /// By name: names stay when chunks are split.
    chunks: Vec<Chunk>,
    /// The names, in the order of the text.
    order: Vec<u32>,
    /// In which chunk each character is.
    within: HashMap<Id, u32, BuildHasherDefault<DefaultHasher>>,
    /// Where something was last: the next is often beside it.
    last: Spot,
}

impl Sequence {
    /// How many characters there are, with those that were taken out.
    pub(super) fn len(&self) -> usize {
        self.within.len()
    }

    /// How many characters a view shows.
    pub(super) fn showing(&self, view: View) -> usize {
        self.chunks.iter().map(|chunk| chunk.showing[view as usize]).sum()
    }

    /// What a view shows.
    pub(super) fn read(&self, view: View) -> String {
        let mut text = String::with_capacity(self.showing(view));
        text.extend(
            self.elements().filter(|one| one.mark.shows(view)).map(|one| one.mark.character()),
        );
        text
    }

    /// The character that has a place among those that a view shows.
    pub(super) fn nth(&self, view: View, place: usize) -> Option<Id> {
        let mut left = place;
        for &name in &self.order {
            let chunk = &self.chunks[name as usize];
            let here = chunk.showing[view as usize];
            if left < here {
                let mut shown = chunk.elements.iter().filter(|one| one.mark.shows(view));
                return shown.nth(left).map(|one| one.id);
            }
            left -= here;
        }
        None
    }

    /// Inserts a character behind another, or at the beginning, in `views`; `later` is whether the
    /// first id is higher than the second.
    pub(super) fn insert(
        &mut self,
        behind: Option<Id>,
        (id, character): (Id, char),
        views: &[View],
        later: impl Fn(Id, Id) -> bool,
    ) {
        let Some(spot) = self.behind(behind) else {
            return;
        };
        let spot = self.skip(spot, id, later);
        let bits = views.iter().fold(0, |bits, view| bits | view.there());
        let mark = Mark(u32::from(character) | bits);
        self.put(spot, Element { id, mark });
    }

    /// Marks an inserted character as one that came in a view.
    pub(super) fn reveal(&mut self, id: Id, view: View) {
        self.set(id, view.there());
    }

    /// Takes a character out, in `views`.
    pub(super) fn erase(&mut self, id: Id, views: &[View]) {
        self.set(id, views.iter().fold(0, |bits, view| bits | view.gone()));
    }

    /// Makes one view what another is.
    pub(super) fn copy(&mut self, from: View, to: View) {
        for chunk in &mut self.chunks {
            for element in &mut chunk.elements {
                let mark = &mut element.mark.0;
                let (there, gone) = (*mark & from.there() != 0, *mark & from.gone() != 0);
                let bits = u32::from(there) * to.there() + u32::from(gone) * to.gone();
                *mark = (*mark & !(to.there() | to.gone())) | bits;
            }
            *chunk = Chunk::counted(std::mem::take(&mut chunk.elements));
        }
    }

    /// Makes a view anew, of what `state` says of each character: whether it came, and whether it
    /// went.
    pub(super) fn restate(&mut self, view: View, state: impl Fn(Id) -> (bool, bool)) {
        for chunk in &mut self.chunks {
            for element in &mut chunk.elements {
                let (there, gone) = state(element.id);
                let bits = u32::from(there) * view.there() + u32::from(gone) * view.gone();
                element.mark.0 = (element.mark.0 & !(view.there() | view.gone())) | bits;
            }
            *chunk = Chunk::counted(std::mem::take(&mut chunk.elements));
        }
    }

    /// How many characters a view shows before one, and whether it shows that.
    pub(super) fn rank(&self, view: View, id: Id) -> Option<(usize, bool)> {
        let (name, at) = self.find(id)?;
        let before = self.order.iter().take_while(|other| **other != name);
        let before: usize =
            before.map(|other| self.chunks[*other as usize].showing[view as usize]).sum();
        let (left, right) = self.chunks[name as usize].elements.split_at(at);
        let within = left.iter().filter(|one| one.mark.shows(view)).count();
        Some((before + within, right.first().is_some_and(|one| one.mark.shows(view))))
    }

    /// Whether a character came in a view, and whether it went.
    pub(super) fn state(&self, view: View, id: Id) -> (bool, bool) {
        let Some((name, at)) = self.find(id) else {
            return (false, false);
        };
        let mark = self.chunks[name as usize].elements[at].mark;
        (mark.0 & view.there() != 0, mark.0 & view.gone() != 0)
    }

    /// Puts characters behind all others, in all views: what an epoch begins with. Returns how
    /// many.
    pub(super) fn lay(&mut self, characters: impl Iterator<Item = (Id, char)>) -> usize {
        let before = self.len();
        let there = View::EACH.iter().fold(0, |bits, view| bits | view.there());
        for (id, character) in characters {
            let last = self.order.last().copied();
            let fits = |name: &u32| self.chunks[*name as usize].elements.len() < LAID;
            let name = last.filter(fits).unwrap_or_else(|| {
                let name = self.name(Chunk::default());
                self.order.push(name);
                name
            });
            let chunk = &mut self.chunks[name as usize];
            chunk.elements.push(Element { id, mark: Mark(u32::from(character)) });
            chunk.set(chunk.elements.len() - 1, there);
            self.within.insert(id, name);
        }
        self.len() - before
    }

    /// What makes of a view what another shows: for each place in the first, how many characters go
    /// there, and which come. Ascending.
    pub(super) fn difference(&self, from: View, to: View) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut place = 0;
        for element in self.elements() {
            let (before, now) = (element.mark.shows(from), element.mark.shows(to));
            if before != now {
                let last = pieces.last().filter(|last| last.at + last.delete == place);
                if last.is_none() {
                    pieces.push(Piece { at: place, delete: 0, insert: String::new() });
                }
                if let Some(last) = pieces.last_mut() {
                    last.delete += usize::from(before);
                    last.insert.extend(now.then(|| element.mark.character()));
                }
            }
            place += usize::from(before);
        }
        pieces
    }

    fn elements(&self) -> impl Iterator<Item = &Element> {
        self.order.iter().flat_map(|&name| &self.chunks[name as usize].elements)
    }

    fn at(&self, (name, at): Spot) -> Option<&Element> {
        self.chunks.get(name as usize)?.elements.get(at)
    }

    fn find(&self, id: Id) -> Option<Spot> {
        if self.at(self.last).is_some_and(|element| element.id == id) {
            return Some(self.last);
        }
        let name = *self.within.get(&id)?;
        let chunk = &self.chunks[name as usize];
        Some((name, chunk.elements.iter().position(|element| element.id == id)?))
    }

    /// The spot right behind a character.
    fn behind(&self, id: Option<Id>) -> Option<Spot> {
        match id {
            Some(id) => self.find(id).map(|(name, at)| self.forward((name, at + 1))),
            None => Some((self.order.first().copied().unwrap_or_default(), 0)),
        }
    }

    /// The first spot from one on where no later character than one stands. Costs the number of
    /// chunks, however many stand there.
    fn skip(&self, (name, at): Spot, id: Id, later: impl Fn(Id, Id) -> bool) -> Spot {
        let earlier = |elements: &[Element]| elements.iter().position(|one| !later(one.id, id));
        let Some(chunk) = self.chunks.get(name as usize) else {
            return (name, at);
        };
        if let Some(found) = earlier(&chunk.elements[at..]) {
            return (name, at + found);
        }
        let mut end = (name, chunk.elements.len());
        let behind = self.order.iter().skip_while(|other| **other != name).skip(1);
        for &name in behind {
            let chunk = &self.chunks[name as usize];
            if chunk.lowest <= id.counter
                && let Some(found) = earlier(&chunk.elements)
            {
                return (name, found);
            }
            end = (name, chunk.elements.len());
        }
        end
    }

    /// A spot, or if it is the end of a chunk, the beginning of the next. The end of the text stays.
    fn forward(&self, (name, at): Spot) -> Spot {
        if at < self.chunks[name as usize].elements.len() {
            return (name, at);
        }
        let place = self.order.iter().position(|other| *other == name);
        let next = place.and_then(|place| self.order.get(place + 1));
        next.map_or((name, at), |next| (*next, 0))
    }

    fn put(&mut self, spot: Spot, element: Element) {
        if self.order.is_empty() {
            let name = self.name(Chunk::default());
            self.order.push(name);
        }
        let (name, at) = self.split(spot);
        let chunk = &mut self.chunks[name as usize];
        chunk.lowest = chunk.lowest.min(element.id.counter);
        chunk.elements.insert(at, element);
        for view in View::EACH {
            chunk.showing[view as usize] += usize::from(element.mark.shows(view));
        }
        self.within.insert(element.id, name);
        self.last = (name, at);
    }

    /// Splits the chunk of a spot if it is full. Returns where the spot is then.
    fn split(&mut self, (name, at): Spot) -> Spot {
        let chunk = &mut self.chunks[name as usize];
        if chunk.elements.len() < FULL {
            return (name, at);
        }
        let tail = chunk.elements.split_off(FULL / 2);
        *chunk = Chunk::counted(std::mem::take(&mut chunk.elements));
        let new = self.name(Chunk::counted(tail));
        for element in &self.chunks[new as usize].elements {
            self.within.insert(element.id, new);
        }
        if let Some(place) = self.order.iter().position(|other| *other == name) {
            self.order.insert(place + 1, new);
        }
        if at > FULL / 2 { (new, at - FULL / 2) } else { (name, at) }
    }

    fn name(&mut self, chunk: Chunk) -> u32 {
        self.chunks.push(chunk);
        u32::try_from(self.chunks.len() - 1).unwrap_or(u32::MAX)
    }

    fn set(&mut self, id: Id, bits: u32) {
        if let Some((name, at)) = self.find(id) {
            self.chunks[name as usize].set(at, bits);
            self.last = (name, at);
        }
    }
}
