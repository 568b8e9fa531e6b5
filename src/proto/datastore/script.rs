//! A change of texts that is being written: splices on top of a table, without touching it.

use std::collections::BTreeMap;

use super::intent::Splice;
use crate::proto::change::{Action, Change, Key, ObjectId, OpId, Operation, Predecessors};
use crate::proto::log::Next;
use crate::proto::model::value::Value;
use crate::proto::table::{ObjectIndex, Table, View};
use crate::proto::wire::message::Actor;

/// Characters that stand behind each other.
#[derive(Clone, Copy, Debug)]
enum Run {
    /// From a place on of what the table shows.
    There { from: usize, len: usize },
    /// Inserted by operations of this change, from one on.
    New { from: usize, len: usize },
}

impl Run {
    const fn len(self) -> usize {
        match self {
            Self::There { len, .. } | Self::New { len, .. } => len,
        }
    }

    /// Its first characters, and the others.
    const fn split(self, at: usize) -> (Self, Self) {
        match self {
            Self::There { from, len } => {
                (Self::There { from, len: at }, Self::There { from: from + at, len: len - at })
            }
            Self::New { from, len } => {
                (Self::New { from, len: at }, Self::New { from: from + at, len: len - at })
            }
        }
    }
}

/// A change that is being written.
pub(in crate::proto) struct Script<'a> {
    table: &'a Table,
    /// In which places count.
    view: View,
    change: Change,
    /// What each text looks like that was touched.
    texts: BTreeMap<ObjectIndex, Vec<Run>>,
}

impl<'a> Script<'a> {
    /// An empty change of `actor` that follows everything in the log of `table`. Places count in a
    /// view.
    pub(in crate::proto) fn new(
        (table, view): (&'a Table, View),
        actor: Actor,
        next: Next,
    ) -> Self {
        let Next { sequence, start, deps } = next;
        let change = Change { actor, sequence, start, deps, operations: Vec::new() };
        Self { table, view, change, texts: BTreeMap::new() }
    }

    /// The change, if there is anything in it.
    pub(in crate::proto) fn finish(self) -> Option<Change> {
        (!self.change.operations.is_empty()).then_some(self.change)
    }

    /// Does a splice. Places beyond the end are the end.
    pub(in crate::proto) fn splice(&mut self, text: ObjectIndex, splice: &Splice) {
        let len = self.table.showing(text, self.view);
        let mut runs =
            self.texts.remove(&text).unwrap_or_else(|| vec![Run::There { from: 0, len }]);
        let all: usize = runs.iter().map(|run| run.len()).sum();
        let at = splice.at.min(all);
        let first = cut(&mut runs, at);
        let behind = cut(&mut runs, at.saturating_add(splice.delete).min(all));
        let object = self.table.id(text);
        // What comes before what goes, as automerge writes it.
        let new = self.insert((text, object), runs[..first].last(), &splice.insert);
        for run in runs.splice(first..behind, new) {
            self.erase((text, object), run);
        }
        self.texts.insert(text, runs);
    }

    fn erase(&mut self, (text, object): (ObjectIndex, ObjectId), run: Run) {
        for place in 0..run.len() {
            let Some(id) = self.id(text, run, place) else { continue };
            self.change.operations.push(Operation {
                object,
                key: Key::Element(id),
                insert: false,
                action: Action::Delete,
                predecessors: std::iter::once(id).collect(),
            });
        }
    }

    /// Inserts characters behind a run.
    fn insert(
        &mut self,
        (text, object): (ObjectIndex, ObjectId),
        before: Option<&Run>,
        characters: &str,
    ) -> Option<Run> {
        let before = before.and_then(|run| self.id(text, *run, run.len().checked_sub(1)?));
        let from = self.change.operations.len();
        let mut key = before.map_or(Key::Head, Key::Element);
        for character in characters.chars() {
            let id = self.change.id(self.change.operations.len());
            self.change.operations.push(Operation {
                object,
                key: std::mem::replace(&mut key, Key::Element(id)),
                insert: true,
                action: Action::Put(Value::Text(character.to_string())),
                predecessors: Predecessors::new(),
            });
        }
        let len = self.change.operations.len() - from;
        (len > 0).then_some(Run::New { from, len })
    }

    /// The operation that inserted a character of a run.
    fn id(&self, text: ObjectIndex, run: Run, place: usize) -> Option<OpId> {
        match run {
            Run::There { from, .. } => self.table.element(text, self.view, from + place),
            Run::New { from, .. } => Some(self.change.id(from + place)),
        }
    }
}

/// Makes a run begin at a place. Returns which one.
fn cut(runs: &mut Vec<Run>, at: usize) -> usize {
    let mut left = at;
    for place in 0..runs.len() {
        let run = runs[place];
        if left == 0 {
            return place;
        }
        if left < run.len() {
            let (before, behind) = run.split(left);
            runs.splice(place..=place, [before, behind]);
            return place + 1;
        }
        left -= run.len();
    }
    runs.len()
}
