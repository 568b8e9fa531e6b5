//! What an operator asks of a store: what is in it, whether it is well, and a copy.

use std::fmt;
use std::path::Path;

use thiserror::Error;

use super::opening::Unfinished;
use super::value::key;
use super::view::{Unread, View};
use super::{DiskStore, DiskStoreConfig, Medium, MediumStatistics, OpenError, export};
use crate::proto::event::kept::KeptRoom;
use crate::proto::id::RoomKey;
use crate::store::StoreError;

/// How many bytes of rooms are copied with one commit, at least.
const BATCH: usize = 8 << 20;

/// A room of which something is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredRoom {
    /// Which room.
    pub room: RoomKey,
    /// How many bytes it has.
    pub bytes: u64,
    /// How many times something came to it since it was last kept whole.
    pub records: u64,
    /// What is wrong with it, if that was found.
    pub damaged: Option<String>,
}

/// A room with which something is wrong.
struct Finding {
    room: RoomKey,
    why: String,
    /// Whether that stays: a part that cannot be read may be read another time.
    is_lasting: bool,
}

/// How far something is that goes over all rooms.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Rooms that are done.
    pub rooms: usize,
    /// Bytes of them.
    pub bytes: u64,
    /// All bytes.
    pub of_bytes: u64,
}

/// Why there is no copy. The text is for who operates a relay.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is something where it should be.
    #[error("something is there already: a backup replaces nothing")]
    Exists,
    /// What was written is not what is read.
    #[error("the copy is not what was written ({why}): there is no backup; look at its disk")]
    Differs {
        /// What differs.
        why: String,
    },
    /// It cannot be made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// One of the two stores failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A store as it was at one moment. The store serves on meanwhile, and what it removes takes its place on
/// the disk until this is dropped. Once the store is dropped, this fails whatever it is asked.
pub struct Snapshot {
    view: View,
    config: DiskStoreConfig,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

impl Snapshot {
    /// Every room of which something is kept, in order. Costs reading a row for each, and nothing of
    /// what they are.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`].
    pub fn rooms(&self) -> Result<Vec<StoredRoom>, StoreError> {
        let mut rooms = Vec::new();
        for (room, row) in self.view.rows()? {
            let damage = self.view.damage(&key(&room))?;
            let (bytes, records) = row.as_ref().map_or((0, 0), |row| (row.bytes(), row.records));
            rooms.push(StoredRoom { room, bytes, records, damaged: damage.or_else(|| row.err()) });
        }
        Ok(rooms)
    }

    /// Reads every room and returns those that are damaged, or of which a part cannot be read, with what
    /// is wrong with them. `progress` is told after each room.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`].
    pub fn verify(
        &self,
        progress: impl FnMut(Progress),
    ) -> Result<Vec<(RoomKey, String)>, StoreError> {
        let found = self.survey(progress)?;
        Ok(found.into_iter().map(|found| (found.room, found.why)).collect())
    }

    fn survey(&self, mut progress: impl FnMut(Progress)) -> Result<Vec<Finding>, StoreError> {
        let rooms = self.rooms()?;
        let mut done = Progress { of_bytes: total(&rooms), ..Progress::default() };
        let mut damaged = Vec::new();
        for stored in rooms {
            let (found, is_lasting) = match self.view.check(&key(&stored.room)) {
                Ok(()) => (None, true),
                Err(Unread::Damaged(why)) => (Some(why), true),
                Err(Unread::Unreadable(why)) => (Some(why), stored.damaged.is_some()),
                Err(Unread::Failed(error)) => return Err(error),
            };
            let why = stored.damaged.or(found);
            damaged.extend(why.map(|why| Finding { room: stored.room, why, is_lasting }));
            done.rooms += 1;
            done.bytes += stored.bytes;
            progress(done);
        }
        Ok(damaged)
    }

    /// A room as a file that [`DiskStore::import`] reads; nothing, if nothing is kept of it.
    ///
    /// # Errors
    ///
    /// When it is damaged or cannot be read, or the store failed.
    pub fn export(&self, room: &RoomKey) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(why) = self.view.damage(&key(room))? {
            return Err(StoreError::Damaged { room: room.clone(), why });
        }
        let kept = self.view.room(&key(room)).map_err(|unread| unread.of(room))?;
        Ok(kept.map(|kept| export::write(room, &kept)))
    }

    /// Makes a store at `path` with all that is in this one, and returns which rooms are not in it
    /// because they are damaged or cannot be read, with what is wrong with them. `progress` is told after
    /// each room. The copy stands in `PATH.unfinished` until it is whole, synced and was read again: what
    /// ends early leaves nothing at `path`. Costs reading every room twice.
    ///
    /// # Errors
    ///
    /// When there is something at `path`, it cannot be made, or either store fails. Then nothing is left.
    pub fn back_up(
        &self,
        path: &Path,
        progress: impl FnMut(Progress),
    ) -> Result<Vec<(RoomKey, String)>, BackupError> {
        if path.exists() {
            return Err(BackupError::Exists);
        }
        let (unfinished, file) = Unfinished::begin(path)?;
        let copied = self.copied(Box::new(file), path, progress).and_then(|(copy, without)| {
            unfinished.finish()?;
            drop(copy);
            Ok(without)
        });
        if copied.is_err() {
            unfinished.abandon();
        }
        copied
    }

    /// As [`Self::back_up`], on a medium that is empty and that nobody else has. Errors call it `name`.
    /// What ends early leaves some of the rooms there.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or either store fails.
    pub fn back_up_on(
        &self,
        medium: Box<dyn Medium>,
        name: &Path,
        progress: impl FnMut(Progress),
    ) -> Result<Vec<(RoomKey, String)>, BackupError> {
        self.copied(medium, name, progress).map(|(_, without)| without)
    }

    /// A store with all rooms that are well, and was read again; and the others.
    fn copied(
        &self,
        medium: Box<dyn Medium>,
        name: &Path,
        mut progress: impl FnMut(Progress),
    ) -> Result<(DiskStore, Vec<(RoomKey, String)>), BackupError> {
        let mut copy = DiskStore::open_on(medium, name, self.config.clone())?;
        let rooms = self.rooms()?;
        let mut done = Progress { of_bytes: total(&rooms), ..Progress::default() };
        let (mut without, mut batch, mut held) = (Vec::new(), Vec::new(), 0);
        let mut written = Vec::new();
        for stored in rooms {
            let read = match &stored.damaged {
                Some(why) => Err(Unread::Damaged(why.clone())),
                None => self.view.room(&key(&stored.room)),
            };
            match read {
                Ok(kept) => {
                    held += kept.as_ref().map_or(0, KeptRoom::bytes);
                    batch.extend(kept.map(|kept| (stored.room.clone(), kept)));
                    written.push(stored.clone());
                }
                Err(Unread::Damaged(why) | Unread::Unreadable(why)) => {
                    without.push((stored.room, why));
                }
                Err(Unread::Failed(error)) => return Err(error.into()),
            }
            if held >= BATCH {
                put_all(&mut copy, &mut batch)?;
                held = 0;
            }
            done.rooms += 1;
            done.bytes += stored.bytes;
            progress(done);
        }
        put_all(&mut copy, &mut batch)?;
        let mut copy = copy.reopened(name)?;
        compare(&mut copy, &written)?;
        Ok((copy, without))
    }
}

/// Whether a copy that was opened anew is what was written.
fn compare(copy: &mut DiskStore, written: &[StoredRoom]) -> Result<(), BackupError> {
    let differs = |why| BackupError::Differs { why };
    let read = copy.ask(|copy| {
        let snapshot = Snapshot { view: copy.view()?, config: copy.config.clone() };
        Ok((snapshot.rooms()?, snapshot.survey(|_| {})?))
    })?;
    let (rooms, damaged) = read;
    if let Some(Finding { room, why, .. }) = damaged.into_iter().next() {
        return Err(differs(format!("the room {:?}: {why}", room.1)));
    }
    if rooms != written {
        return Err(differs("it has other rooms".into()));
    }
    let MediumStatistics { healed, unreadable, .. } = copy.statistics().medium;
    if healed + unreadable > 0 {
        return Err(differs("one of two copies of a page".into()));
    }
    Ok(())
}

fn put_all(copy: &mut DiskStore, batch: &mut Vec<(RoomKey, KeptRoom)>) -> Result<(), StoreError> {
    let rooms = std::mem::take(batch);
    copy.ask(|copy| {
        copy.transact(|pen| {
            rooms.iter().try_for_each(|(room, kept)| pen.put(&key(room), None, kept).map(drop))
        })
    })?;
    // All of it is read in the end.
    copy.pages.pass();
    Ok(())
}

fn total(rooms: &[StoredRoom]) -> u64 {
    rooms.iter().map(|stored| stored.bytes).sum()
}

impl DiskStore {
    /// The store as it is now, to be read while it goes on.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`].
    pub fn snapshot(&mut self) -> Result<Snapshot, StoreError> {
        self.ask(|store| Ok(Snapshot { view: store.view()?, config: store.config.clone() }))
    }

    /// Every room of which something is kept, as [`Snapshot::rooms`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`].
    pub fn rooms(&mut self) -> Result<Vec<StoredRoom>, StoreError> {
        self.ask(|store| Snapshot { view: store.view()?, config: store.config.clone() }.rooms())
    }

    /// Reads every room, as [`Snapshot::verify`]. Those that are found damaged stay closed from now on; of
    /// those that cannot be read nothing is remembered.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`].
    pub fn verify(
        &mut self,
        progress: impl FnMut(Progress),
    ) -> Result<Vec<(RoomKey, String)>, StoreError> {
        self.ask(|store| {
            let snapshot = Snapshot { view: store.view()?, config: store.config.clone() };
            let found = snapshot.survey(progress)?;
            let mut unmarked = Vec::new();
            for Finding { room, why, .. } in found.iter().filter(|found| found.is_lasting) {
                if snapshot.view.damage(&key(room))?.is_none() {
                    unmarked.push((key(room), why.clone()));
                }
            }
            drop(snapshot);
            store.quarantine(&unmarked)?;
            Ok(found.into_iter().map(|found| (found.room, found.why)).collect())
        })
    }
}
