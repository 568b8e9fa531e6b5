//! From a table to a base, a piece at a time: a large room must not stand still for it.

use smallvec::SmallVec;
use smol_str::SmolStr;

use super::{Base, Content, Row};
use crate::proto::ownership::{Authority, META, RESERVED};
use crate::proto::table::{Cell, ObjectIndex, ObjectKind, Role, Table, View};

/// A walk over the confirmed values of a table, which must not change meanwhile.
#[derive(Clone, Debug)]
pub struct Walk {
    rows: Vec<Row>,
    /// The places of the rows that hold maps.
    maps: Vec<u32>,
    /// The objects that were named, in order: those before `at` were walked through.
    objects: Vec<ObjectIndex>,
    at: usize,
    /// The last key of the present object that was looked at.
    after: Option<SmolStr>,
}

impl Default for Walk {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            maps: Vec::new(),
            objects: vec![ObjectIndex::ROOT],
            at: 0,
            after: None,
        }
    }
}

impl Walk {
    /// Goes on through at most `budget` keys. Returns the base once there are no more.
    ///
    /// Of claims and grants it keeps the grants of `authority` alone: what is claimed is answered, and
    /// other relays' grants are void.
    pub fn step(
        &mut self,
        table: &Table,
        authority: Option<&Authority>,
        budget: usize,
    ) -> Option<Base> {
        let mut left = budget;
        while let Some(&object) = self.objects.get(self.at) {
            let after = self.after.take();
            let mut seen: SmallVec<[ObjectIndex; 4]> = SmallVec::new();
            let number = u32::try_from(self.at).unwrap_or(u32::MAX);
            for (key, register) in table.registers(object, after.as_ref()) {
                if left == 0 {
                    self.objects.extend(seen);
                    return None;
                }
                left -= 1;
                self.after = Some(key.clone());
                let Some(live) = table.confirmed(register).last() else {
                    continue;
                };
                let said = key.starts_with(RESERVED) && table.path(object).as_str() == META;
                if said && authority.is_none_or(|authority| authority.key() != key) {
                    continue;
                }
                let Some(content) = content(table, &live.cell, &mut left) else {
                    continue;
                };
                if let (Cell::Object(below), Content::Map) = (&live.cell, &content) {
                    seen.push(*below);
                    self.maps.push(u32::try_from(self.rows.len()).unwrap_or(u32::MAX));
                }
                let fixed =
                    matches!(table.role(live.id), Some(Role::Fixed(_) | Role::FixedCounter(_)));
                self.rows.push(Row { object: number, key: key.clone(), content, fixed });
            }
            self.objects.extend(seen);
            self.after = None;
            self.at += 1;
        }
        Base::from_ordered(std::mem::take(&mut self.rows), std::mem::take(&mut self.maps))
    }
}

/// What a row holds of what shows; nothing of an empty text: who writes in it makes it again. The
/// characters of a text count against the budget.
fn content(table: &Table, cell: &Cell, left: &mut usize) -> Option<Content> {
    Some(match cell {
        Cell::Value(value) => Content::Value(value.clone()),
        Cell::Counter(total) => Content::Counter(*total),
        Cell::Object(below) if table.kind(*below) == ObjectKind::Map => Content::Map,
        Cell::Object(text) => {
            let text = table.read(*text, View::Confirmed);
            *left = left.saturating_sub(text.len());
            return (!text.is_empty()).then_some(Content::Text(text));
        }
    })
}
