//! One value of a room on a timeline: what is said of it goes in, what is to be shown comes out.

use crate::proto::datastore::{Datastore, Moved, Mover};
use crate::proto::model::path::Path;
use crate::realtime::timeline::blend::Blend;
use crate::realtime::timeline::config::TimelineConfig;
use crate::realtime::timeline::{Sample, Shown, Timeline};

/// Who writes what this peer writes, and what stands in the document: no client has such a number.
const OWN: u64 = u64::MAX;
const DOCUMENT: u64 = u64::MAX - 1;

/// A room time that goes back by more, in microseconds, is another clock's: a relay was heard.
const OTHER_CLOCK: u64 = 1_000_000;

/// A value, as it was said.
#[derive(Clone, PartialEq, Debug)]
struct Heard<V> {
    value: V,
    at: u64,
    writer: u64,
}

/// How a value stands in the room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Said {
    writer: u64,
    /// Of when it is; nothing if that is not told.
    at: Option<u64>,
}

impl Said {
    /// Of a state property.
    pub(super) fn of(store: &Datastore, model: &Path, property: u16) -> Self {
        match store.moved(model, property).map(|Moved { by, at, .. }| (by, *at)) {
            Some((Mover::Me, _)) => Self { writer: OWN, at: None },
            Some((Mover::Member { client, .. }, at)) => {
                Self { writer: u64::from(client.0), at: Some(at) }
            }
            None => Self { writer: DOCUMENT, at: None },
        }
    }

    /// Whether this peer says it.
    pub(super) const fn is_own(self) -> bool {
        self.writer == OWN
    }

    /// Whether another says it.
    pub(super) const fn is_others(self) -> bool {
        self.writer != OWN && self.writer != DOCUMENT
    }
}

/// One value on its timeline.
///
/// What the room says is what comes to be shown, whatever time it is said to be of: a sample that would
/// be one of the past is taken as the newest.
#[derive(Clone, Debug)]
pub(super) struct Line<V: Blend> {
    timeline: Timeline<V>,
    config: TimelineConfig,
    heard: Option<Heard<V>>,
    now: u64,
}

impl<V: Blend> Line<V> {
    pub(super) fn new(config: TimelineConfig) -> Self {
        Self { timeline: Timeline::new(config.clone()), config, heard: None, now: 0 }
    }

    /// Takes what is said at a room time. A teleport shows at once.
    pub(super) fn hear(&mut self, value: V, said: Said, teleport: bool, now: u64) {
        if now.saturating_add(OTHER_CLOCK) < self.now {
            self.forget();
        }
        self.now = now;
        let at = match (said.at, &self.heard) {
            (Some(at), _) => at,
            (None, Some(heard)) if heard.writer == said.writer && heard.value == value => heard.at,
            (None, _) => now,
        };
        let heard = Heard { value, at, writer: said.writer };
        let known = self.heard.as_ref() == Some(&heard);
        if known && !teleport {
            return;
        }
        let newest = self.timeline.newest();
        let at = newest.map_or(at, |newest| at.max(newest + 1));
        let sample = Sample { at, value: heard.value.clone(), teleport, writer: heard.writer };
        if self.timeline.push(now, sample) {
            self.heard = Some(heard);
        }
    }

    /// What to show.
    pub(super) fn show(&mut self, now: u64) -> Option<Shown<V>> {
        self.timeline.show(now)
    }

    /// Nothing was heard of it.
    pub(super) fn forget(&mut self) {
        (self.timeline, self.heard) = (Timeline::new(self.config.clone()), None);
    }
}
