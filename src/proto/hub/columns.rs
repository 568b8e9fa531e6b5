//! What epochs began with, in columns for those who join: made a piece at a time once history is
//! cut, so that they are there when somebody comes and no other room waits for them.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::Hub;
use super::room::Room;
use crate::proto::base::columns::Encoder;
use crate::proto::config::EpochConfig;
use crate::proto::id::{DocumentId, EpochId};
use crate::proto::log::ChangeLog;
use crate::proto::time::Time;
use crate::proto::wire::message::Hash;

/// The columns of the base of an epoch. Once they are made they stay the same: a join goes on in them
/// where another link broke.
#[derive(Debug)]
pub(super) struct Columns {
    epoch: EpochId,
    stage: Stage,
    step_at: Time,
}

#[derive(Debug)]
enum Stage {
    Making(Box<Encoder>),
    /// With their SHA-256: joins come in crowds.
    Made(Bytes, Hash),
}

impl Columns {
    fn new(log: &ChangeLog, now: Time) -> Self {
        let encoder = Box::new(Encoder::new(log.base().clone()));
        Self { epoch: log.scope().epoch(), stage: Stage::Making(encoder), step_at: now }
    }

    /// Goes on through about `budget` values. Returns the columns and their SHA-256 once they are
    /// there.
    fn step(&mut self, budget: usize) -> Option<(Bytes, Hash)> {
        if let Stage::Making(encoder) = &mut self.stage
            && let Some(bytes) = encoder.step(budget)
        {
            let digest = Sha256::digest(&bytes).into();
            self.stage = Stage::Made(bytes.into(), digest);
        }
        match &self.stage {
            Stage::Making(_) => None,
            Stage::Made(bytes, digest) => Some((bytes.clone(), *digest)),
        }
    }
}

impl Room {
    /// Begins to make the columns of what the epoch of a document began with, if it did with
    /// anything.
    pub(super) fn begin_columns(&mut self, document: DocumentId, now: Time) {
        let (log, columns) = self.log_and_columns(document);
        *columns = (!log.base().is_empty()).then(|| Columns::new(log, now));
    }

    /// What the epoch of a document began with, in columns, and its SHA-256; nothing if it began
    /// with nothing. Who comes before they are there waits for no slices, as for none of a cut: the
    /// offer names their digest.
    pub(super) fn snapshot(&mut self, document: DocumentId, now: Time) -> Option<(Bytes, Hash)> {
        let (log, columns) = self.log_and_columns(document);
        let epoch = log.scope().epoch();
        if columns.as_ref().is_none_or(|columns| columns.epoch != epoch) {
            self.begin_columns(document, now);
        }
        self.log_and_columns(document).1.as_mut()?.step(usize::MAX)
    }

    /// When columns go on, if any are being made.
    pub(super) fn columns_due(&self) -> Option<Time> {
        DocumentId::ALL.into_iter().filter_map(|document| self.steps_at(document)).min()
    }

    /// When the columns of a document go on, if they are being made.
    fn steps_at(&self, document: DocumentId) -> Option<Time> {
        let columns = self.columns(document)?;
        matches!(columns.stage, Stage::Making(_)).then_some(columns.step_at)
    }

    fn step_columns(&mut self, document: DocumentId, config: &EpochConfig, now: Time) {
        if self.steps_at(document).is_none_or(|due| due > now) {
            return;
        }
        let (log, columns) = self.log_and_columns(document);
        // Nobody asks for those of an epoch that is over.
        columns.take_if(|columns| columns.epoch != log.scope().epoch());
        if let Some(columns) = columns {
            columns.step_at = now + config.pause;
            columns.step(config.budget);
        }
    }
}

impl Hub {
    pub(super) fn tick_columns(&mut self, now: Time) {
        for key in self.rooms_due(now, |_, (_, room)| room.columns_due()) {
            let Some(room) = self.rooms.get_mut(&key) else { continue };
            for document in DocumentId::ALL {
                room.step_columns(document, &self.config.epochs, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proto::base::{Base, Content, Row, columns};
    use crate::proto::config::HubConfig;
    use crate::proto::hub::record::Record;
    use crate::proto::id::{AppKey, PeerId, RoomName};
    use crate::proto::model::value::Value;

    const MODELS: DocumentId = DocumentId::MODELS;

    fn base(count: u32) -> Base {
        let row = |key: u32| {
            let content = Content::Value(Value::Int(key.into()));
            Row { object: 0, key: format!("{key:05}").into(), content, fixed: false }
        };
        Base::new((0..count).map(row).collect()).unwrap()
    }

    /// A room whose epoch has just begun with so many values.
    fn begun(count: u32, number: u8) -> Room {
        let config = HubConfig::default();
        let (app, name) = (AppKey::new("key").unwrap().app(), RoomName::new("room").unwrap());
        let mut room = Room::new(
            &(app, name),
            (Record::new(8), 1),
            &config,
            (PeerId::new([9; 32]), [1; 8], [2; 8]),
            Time::ZERO,
        );
        begin(&mut room, count, number);
        room
    }

    fn begin(room: &mut Room, count: u32, number: u8) {
        let log = room.gated(MODELS).0;
        *log = log.successor(log.scope().of(EpochId([number; 32])), base(count));
        while log.lay() {}
        room.begin_columns(MODELS, Time::ZERO);
    }

    #[test]
    fn columns_are_there_after_a_while_and_stay() {
        let config = EpochConfig { budget: 100, ..EpochConfig::default() };
        let mut room = begun(2_000, 2);
        let mut now = Time::ZERO;
        let mut steps = 0;
        while let Some(due) = room.columns_due() {
            assert!(due <= now + config.pause);
            now = due;
            room.step_columns(MODELS, &config, now);
            // Nothing more before its time.
            room.step_columns(MODELS, &config, now);
            steps += 1;
        }
        assert!(steps > 40, "{steps} steps");
        let (bytes, digest) = room.snapshot(MODELS, now).unwrap();
        assert_eq!(bytes, columns::encode(&base(2_000)));
        let again = room.snapshot(MODELS, now + Duration::from_secs(1)).unwrap();
        assert_eq!((again.0.as_ptr(), again.1), (bytes.as_ptr(), digest));
    }

    #[test]
    fn who_comes_before_they_are_there_waits_for_no_slices() {
        let config = EpochConfig { budget: 100, ..EpochConfig::default() };
        let mut room = begun(2_000, 2);
        room.step_columns(MODELS, &config, Time::ZERO);
        let (bytes, _) = room.snapshot(MODELS, Time::ZERO).unwrap();
        assert_eq!(bytes, columns::encode(&base(2_000)));
        assert_eq!(room.columns_due(), None);
    }

    #[test]
    fn columns_of_an_epoch_that_is_over_are_dropped() {
        let config = EpochConfig::default();
        let mut room = begun(2_000, 2);
        let log = room.gated(MODELS).0;
        *log = log.successor(log.scope().of(EpochId([3; 32])), base(10));
        assert!(room.columns_due().is_some());
        room.step_columns(MODELS, &config, Time::ZERO);
        assert_eq!(room.columns_due(), None);
        let (bytes, _) = room.snapshot(MODELS, Time::ZERO).unwrap();
        assert_eq!(bytes, columns::encode(&base(10)));
        // An epoch that begins with nothing has none.
        begin(&mut room, 0, 4);
        assert_eq!(room.snapshot(MODELS, Time::ZERO), None);
    }
}
