//! Who carries orders out, beside a relay that uses the store or without one.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::executor::block_on;
use parlor::net::{Operator, OperatorError};
use parlor::proto::id::RoomKey;
use parlor::store::disk::{BackupError, ExportError, Progress, Snapshot, StoredRoom, read_export};
use parlor::store::{DiskStore, RoomStore, StoreError};

use super::order::{Damaged, Listed, Order, Outcome, Wanted};
use crate::failure::Failure;

/// A store, and who lets something be done to its rooms.
#[derive(Clone, Debug)]
pub(crate) struct Clerk {
    store: Arc<Mutex<DiskStore>>,
    /// That of the relay which uses the store, if one does.
    operator: Option<Operator>,
}

impl Clerk {
    /// Of a store that nobody else uses.
    pub(super) fn alone(store: DiskStore) -> Self {
        Self { store: Arc::new(Mutex::new(store)), operator: None }
    }

    /// Of a store that a relay uses.
    pub(crate) const fn beside(store: Arc<Mutex<DiskStore>>, operator: Operator) -> Self {
        Self { store, operator: Some(operator) }
    }

    /// Does what is asked; not for who may not wait. The relay is kept from the store for moments only:
    /// rooms are read as they were when this began, and `tell` hears how far that is.
    pub(super) fn carry_out(
        &self,
        order: Order,
        tell: impl FnMut(Progress),
    ) -> Result<Outcome, Failure> {
        match order {
            Order::List => {
                let rooms = self.snapshot()?.rooms().map_err(Failure::failed)?;
                Ok(Outcome::Rooms(rooms.into_iter().map(Listed::from).collect()))
            }
            Order::Show(wanted) => {
                Ok(Outcome::Rooms(vec![find(&self.snapshot()?, &wanted)?.into()]))
            }
            Order::Export(wanted) => self.export(&wanted),
            Order::Import { name, bytes } => self.import(name, bytes),
            Order::Delete(wanted) => self.delete(&wanted),
            Order::Verify => self.verify(tell),
            Order::BackUp { file } => self.back_up(&file, tell),
        }
    }

    fn export(&self, wanted: &Wanted) -> Result<Outcome, Failure> {
        let snapshot = self.snapshot()?;
        let room = find(&snapshot, wanted)?.room;
        let exported = snapshot.export(&room);
        drop(snapshot);
        if let Err(StoreError::Damaged { room, .. }) = &exported {
            self.mark(room)?;
        }
        let bytes = exported.map_err(Failure::failed)?.unwrap_or_default().into();
        Ok(Outcome::Exported { room: room.1.to_string(), bytes })
    }

    fn import(&self, name: String, bytes: Bytes) -> Result<Outcome, Failure> {
        let wrong = |error: ExportError| match error {
            ExportError::Store(error) => Failure::failed(error),
            error => Failure::usage(format_args!("{name}: {error}")),
        };
        let (key, _) = read_export(&bytes).map_err(wrong)?;
        let room = key.1.to_string();
        let imported = self.while_closed(key.clone(), move |store| store.import(&key, &bytes))?;
        imported.map_err(wrong)?;
        Ok(Outcome::Imported { room, name })
    }

    fn delete(&self, wanted: &Wanted) -> Result<Outcome, Failure> {
        let key = find(&self.snapshot()?, wanted)?.room;
        let room = key.1.to_string();
        let deleted = self.while_closed(key.clone(), move |store| store.remove(&key))?;
        deleted.map_err(Failure::failed)?;
        Ok(Outcome::Deleted { room })
    }

    fn verify(&self, tell: impl FnMut(Progress)) -> Result<Outcome, Failure> {
        let damaged = self.snapshot()?.verify(tell).map_err(Failure::failed)?;
        damaged.iter().try_for_each(|(room, _)| self.mark(room))?;
        Ok(Outcome::Verified(damaged.into_iter().map(Damaged::from).collect()))
    }

    fn back_up(&self, file: &Path, tell: impl FnMut(Progress)) -> Result<Outcome, Failure> {
        let damaged = self.snapshot()?.back_up(file, tell).map_err(|error| match error {
            BackupError::Exists => Failure::usage(format_args!("{}: {error}", file.display())),
            error => Failure::failed(error),
        })?;
        Ok(Outcome::BackedUp(damaged.into_iter().map(Damaged::from).collect()))
    }

    fn snapshot(&self) -> Result<Snapshot, Failure> {
        held(&self.store).snapshot().map_err(Failure::failed)
    }

    /// A room was damaged a moment ago: if it still is, that is known from now on, and it stays closed.
    fn mark(&self, room: &RoomKey) -> Result<(), Failure> {
        match held(&self.store).fetch(room) {
            Err(why) if why.room().is_none() => Err(Failure::failed(why)),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Does something to a room into which nobody comes meanwhile.
    fn while_closed<T: Send + 'static>(
        &self,
        room: RoomKey,
        task: impl FnOnce(&mut DiskStore) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let store = Arc::clone(&self.store);
        let task = move || task(&mut held(&store));
        match &self.operator {
            None => Ok(task()),
            Some(operator) => {
                block_on(operator.while_closed(room, task)).map_err(|error| match error {
                    OperatorError::Open { .. } => Failure::usage(error),
                    error => Failure::failed(error),
                })
            }
        }
    }
}

/// The room that is meant.
fn find(snapshot: &Snapshot, wanted: &Wanted) -> Result<StoredRoom, Failure> {
    let rooms = snapshot.rooms().map_err(Failure::failed)?;
    let mut meant = rooms.into_iter().filter(|stored| wanted.is(&stored.room));
    let name = &wanted.room;
    match (meant.next(), meant.next()) {
        (Some(room), None) => Ok(room),
        (None, _) => Err(Failure::usage(format_args!("nothing is kept of a room {name:?}"))),
        (Some(_), Some(_)) => Err(Failure::usage(format_args!(
            "several applications have a room {name:?}: say which with --app"
        ))),
    }
}

/// The store, whatever became of who had it before: it knows itself whether it has failed.
fn held(store: &Mutex<DiskStore>) -> MutexGuard<'_, DiskStore> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}
