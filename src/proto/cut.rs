//! Cutting history: from the log of one epoch to the log of the next, a piece at a time.
//!
//! Nothing is downloaded for it. Everybody who has the same confirmed values lays the same base.

use crate::proto::authorship::Scope;
use crate::proto::base::{ROWS_EACH, Walk};
use crate::proto::log::ChangeLog;

/// A cut on its way. The log that is cut must not change meanwhile.
#[derive(Clone, Debug)]
pub struct Cut {
    scope: Scope,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    Walking(Walk),
    Laying(Box<ChangeLog>),
    Done,
}

impl Cut {
    /// A cut into the epoch of `scope`.
    #[must_use]
    pub fn into(scope: Scope) -> Self {
        Self { scope, stage: Stage::Walking(Walk::default()) }
    }

    /// The scope of the new epoch.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Goes on through about `budget` values of the log that is cut. Returns the new log once it is
    /// whole.
    pub fn step(&mut self, old: &ChangeLog, budget: usize) -> Option<ChangeLog> {
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Walking(mut walk) => {
                self.stage = match walk.step(old.table(), old.authority(), budget) {
                    Some(base) => Stage::Laying(Box::new(old.successor(self.scope.clone(), base))),
                    None => Stage::Walking(walk),
                };
                None
            }
            Stage::Laying(mut log) => {
                for _ in 0..budget.div_ceil(ROWS_EACH) {
                    if !log.lay() {
                        return Some(*log);
                    }
                }
                self.stage = Stage::Laying(log);
                None
            }
            Stage::Done => None,
        }
    }
}
