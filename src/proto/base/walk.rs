//! From a table to a base, a piece at a time: a large room must not stand still for it.

use smallvec::SmallVec;
use smol_str::SmolStr;

use super::{Base, Content, Row};
use crate::proto::table::{Cell, ObjectIndex, ObjectKind, Role, Table};

/// A walk over the confirmed values of a table, which must not change meanwhile.
#[derive(Clone, Debug)]
pub struct Walk {
    rows: Vec<Row>,
    /// The objects that were named, in order: those before `at` were walked through.
    objects: Vec<ObjectIndex>,
    at: usize,
    /// The last key of the present object that was looked at.
    after: Option<SmolStr>,
}

impl Default for Walk {
    fn default() -> Self {
        Self { rows: Vec::new(), objects: vec![ObjectIndex::ROOT], at: 0, after: None }
    }
}

impl Walk {
    /// Goes on through at most `budget` keys. Returns the base once there are no more.
    pub fn step(&mut self, table: &Table, budget: usize) -> Option<Base> {
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
                let content = match &live.cell {
                    Cell::Value(value) => Content::Value(value.clone()),
                    Cell::Counter(total) => Content::Counter(*total),
                    Cell::Object(below) if table.kind(*below) == ObjectKind::Map => {
                        seen.push(*below);
                        Content::Map
                    }
                    // Texts have a document of their own.
                    Cell::Object(_) => continue,
                };
                let fixed =
                    matches!(table.role(live.id), Some(Role::Fixed(_) | Role::FixedCounter(_)));
                self.rows.push(Row { object: number, key: key.clone(), content, fixed });
            }
            self.objects.extend(seen);
            self.after = None;
            self.at += 1;
        }
        Base::new(std::mem::take(&mut self.rows))
    }
}
