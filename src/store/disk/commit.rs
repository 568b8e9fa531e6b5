//! What is kept at once: one transaction, what it leaves for the next one to remove, and reading back.

use std::collections::{BTreeMap, BTreeSet};

use redb::{ReadableTable, Table, WriteTransaction};

use super::value::{DAMAGED, IMAGES, META, Place, RECORDS, RETIRED, ROOMS, Row, key};
use super::view::{self, Unread};
use super::{DiskStore, broken};
use crate::proto::event::kept::{Keeping, KeptRoom};
use crate::proto::id::RoomKey;
use crate::store::StoreError;

/// What a commit did, for who has to take it back.
#[derive(Default)]
pub(super) struct Done {
    /// The rooms that it touched, and what was said of each before.
    before: BTreeMap<Vec<u8>, Before>,
    /// Generations that it began, and of which room each is.
    begun: Vec<(u64, Vec<u8>)>,
}

/// What the tables said of a room.
enum Before {
    /// It was well.
    Read(Option<Row>),
    /// As it stood there, be it damaged.
    Stood { row: Option<Vec<u8>>, damage: Option<Vec<u8>> },
}

impl Done {
    /// Remembers what was said of a room, before anything else is.
    fn note(&mut self, key: &[u8], row: Option<Row>) {
        if !self.before.contains_key(key) {
            self.before.insert(key.to_vec(), Before::Read(row));
        }
    }
}

impl DiskStore {
    /// Keeps all of it, with one commit; with a second one that takes it back, if it is not what is read.
    pub(super) fn keep(&mut self, keepings: Vec<Keeping>) -> Result<(), StoreError> {
        self.refuse_unread(&keepings)?;
        self.check_retired()?;
        let limit = self.config.room_bytes;
        let spared = self.spared.clone();
        let done = self.transact(|pen| {
            pen.clear(&spared)?;
            let mut done = Done::default();
            for keeping in keepings {
                pen.keep(keeping, limit, &mut done)?;
            }
            Ok(done)
        })?;
        self.settle(&done)
    }

    /// What began a generation counts once it was read back; if it is not what was written, all of it is
    /// taken back.
    pub(super) fn settle(&mut self, done: &Done) -> Result<(), StoreError> {
        if done.begun.is_empty() {
            self.pages.pass();
            return Ok(());
        }
        self.read_back(done).map_err(|why| {
            let taken_back = self.transact(|pen| pen.take_back(done));
            let back = if taken_back.is_ok() { "and was taken back" } else { "and may be there" };
            let why = format!("what was written is not what is read ({why}), {back}");
            StoreError::Failed { why }
        })
    }

    /// Nothing is kept over a room that could not be read.
    fn refuse_unread(&self, keepings: &[Keeping]) -> Result<(), StoreError> {
        let rooms = keepings.iter().map(Keeping::room);
        let refused = rooms.filter_map(|room| Some((room, self.unread.get(room)?))).next();
        refused.map_or(Ok(()), |(room, why)| {
            Err(StoreError::Damaged { room: room.clone(), why: why.clone() })
        })
    }

    /// One commit of what `write` does, or nothing of it.
    pub(super) fn transact<T>(
        &mut self,
        write: impl FnOnce(&mut Pen<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut transaction = self.database.begin_write().map_err(broken)?;
        // Two phases; and with the pages that are free, so that opening after a loss of power need not
        // read all of the file.
        transaction.set_quick_repair(true);
        let written = Pen::new(&transaction).and_then(|mut pen| write(&mut pen));
        match written {
            Ok(written) => {
                transaction.commit().map_err(broken)?;
                self.commits += 1;
                Ok(written)
            }
            Err(error) => {
                transaction.abort().map_err(broken)?;
                Err(error)
            }
        }
    }

    fn read_back(&self, done: &Done) -> Result<(), String> {
        match self.pages.read_back() {
            Ok(true) => {}
            Ok(false) => return Err("pages differ".into()),
            Err(error) => return Err(error.to_string()),
        }
        let view = self.view().map_err(|error| error.to_string())?;
        for (_, key) in &done.begun {
            match view.check(key) {
                Ok(()) => {}
                Err(Unread::Damaged(why) | Unread::Unreadable(why)) => return Err(why),
                Err(Unread::Failed(error)) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// After opening: generations that an earlier run left go only if what came in their place is well.
    fn check_retired(&mut self) -> Result<(), StoreError> {
        if self.has_checked {
            return Ok(());
        }
        let view = self.view()?;
        let mut damaged = Vec::new();
        for (generation, key) in view.retired()? {
            let Some(key) = key else {
                tracing::error!(generation, "of which room it was cannot be said: it stays");
                self.spared.insert(generation);
                continue;
            };
            if view.damage(&key)?.is_some() {
                self.spared.insert(generation);
                continue;
            }
            match view.check(&key) {
                Ok(()) => {}
                Err(Unread::Damaged(why)) => damaged.push((key, why)),
                Err(Unread::Unreadable(why)) => {
                    tracing::error!(generation, "what was kept before stays: {why}");
                    self.spared.insert(generation);
                }
                Err(Unread::Failed(error)) => return Err(error),
            }
        }
        drop(view);
        self.quarantine(&damaged)?;
        self.has_checked = true;
        Ok(())
    }

    /// Nothing is kept over these rooms from now on, and what was kept of them before stays.
    pub(super) fn quarantine(&mut self, damaged: &[(Vec<u8>, String)]) -> Result<(), StoreError> {
        for (key, _) in damaged {
            let generations = self.generations(key)?;
            self.spared.extend(generations);
        }
        if damaged.is_empty() {
            return Ok(());
        }
        self.transact(|pen| damaged.iter().try_for_each(|(key, why)| pen.mark(key, why)))
    }
}

/// The tables, while they are written.
pub(super) struct Pen<'t> {
    meta: Table<'t, &'static str, &'static [u8]>,
    rooms: Table<'t, &'static [u8], &'static [u8]>,
    images: Table<'t, u64, &'static [u8]>,
    records: Table<'t, (u64, u64), &'static [u8]>,
    retired: Table<'t, u64, &'static [u8]>,
    damaged: Table<'t, &'static [u8], &'static [u8]>,
}

impl<'t> Pen<'t> {
    fn new(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            meta: transaction.open_table(META).map_err(broken)?,
            rooms: transaction.open_table(ROOMS).map_err(broken)?,
            images: transaction.open_table(IMAGES).map_err(broken)?,
            records: transaction.open_table(RECORDS).map_err(broken)?,
            retired: transaction.open_table(RETIRED).map_err(broken)?,
            damaged: transaction.open_table(DAMAGED).map_err(broken)?,
        })
    }

    /// The tables of a new store.
    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        self.set_next(1)
    }

    fn keep(&mut self, keeping: Keeping, limit: usize, done: &mut Done) -> Result<(), StoreError> {
        match keeping {
            Keeping::Whole { room, image } => {
                let size = image.0.len();
                if size > limit {
                    return Err(StoreError::TooLarge { room, limit, size });
                }
                let (key, row) = self.row(&room)?;
                done.note(&key, row);
                let begun = self.put_image(&key, row, &image.0)?;
                done.begun.push((begun.generation, key));
            }
            Keeping::More { room, record } => {
                let (key, row) = self.row(&room)?;
                let Some(row) = row else { return Err(StoreError::Absent { room }) };
                let size = usize::try_from(row.bytes()).unwrap_or(usize::MAX);
                let size = size.saturating_add(record.0.len());
                if size > limit {
                    return Err(StoreError::TooLarge { room, limit, size });
                }
                done.note(&key, Some(row));
                self.put_record(&key, row, &record.0)?;
            }
        }
        Ok(())
    }

    /// Keeps all of a room in place of whatever was kept of it, be it damaged.
    pub(super) fn replace(&mut self, key: &[u8], kept: &KeptRoom) -> Result<Done, StoreError> {
        let mut done = Done::default();
        let row = self.rooms.get(key).map_err(broken)?.map(|value| value.value().to_vec());
        // Which generation it had is not known if its row is damaged. It stays, where nothing finds it.
        let known = row.as_ref().and_then(|value| view::row(key, value).ok());
        let begun = self.put(key, known, kept)?;
        done.begun.push((begun.generation, key.to_vec()));
        let damage = self.damaged.remove(key).map_err(broken)?;
        let damage = damage.map(|value| value.value().to_vec());
        done.before.insert(key.to_vec(), Before::Stood { row, damage });
        Ok(done)
    }

    /// An image under a generation of its own; what was kept before waits to be removed.
    fn put_image(
        &mut self,
        key: &[u8],
        before: Option<Row>,
        image: &[u8],
    ) -> Result<Row, StoreError> {
        let generation = self.next()?;
        self.set_next(generation + 1)?;
        let (value, sum) = Place::Image(key, generation).seal(image);
        self.images.insert(generation, value.as_slice()).map_err(broken)?;
        if let Some(before) = before {
            self.retire(before.generation, key)?;
        }
        self.put_row(key, Row::new(generation, image.len(), sum))
    }

    fn put_record(&mut self, key: &[u8], row: Row, record: &[u8]) -> Result<Row, StoreError> {
        let (value, sum) = Place::Record(key, row.generation, row.records).seal(record);
        self.records.insert((row.generation, row.records), value.as_slice()).map_err(broken)?;
        self.put_row(key, row.with(record.len(), sum))
    }

    /// All of a room, under a generation of its own.
    pub(super) fn put(
        &mut self,
        key: &[u8],
        before: Option<Row>,
        kept: &KeptRoom,
    ) -> Result<Row, StoreError> {
        let mut row = self.put_image(key, before, &kept.image.0)?;
        for record in &kept.records {
            row = self.put_record(key, row, &record.0)?;
        }
        Ok(row)
    }

    fn put_row(&mut self, key: &[u8], row: Row) -> Result<Row, StoreError> {
        let (value, _) = Place::Row(key).seal(&row.to_bytes());
        self.rooms.insert(key, value.as_slice()).map_err(broken)?;
        Ok(row)
    }

    /// The key of a room, and what is kept of it.
    fn row(&self, room: &RoomKey) -> Result<(Vec<u8>, Option<Row>), StoreError> {
        let key = key(room);
        let damaged = |why| StoreError::Damaged { room: room.clone(), why };
        if let Some(why) = self.damaged.get(key.as_slice()).map_err(broken)? {
            return Err(damaged(view::damage(&key, why.value())));
        }
        let value = self.rooms.get(key.as_slice()).map_err(broken)?;
        let row = value.map(|value| view::row(&key, value.value())).transpose().map_err(damaged)?;
        Ok((key, row))
    }

    fn next(&self) -> Result<u64, StoreError> {
        let value = self.meta.get("next").map_err(broken)?;
        let next = value.and_then(|value| {
            Place::Next.open(value.value()).ok().and_then(|(bytes, _)| super::value::number(bytes))
        });
        next.ok_or_else(|| broken("the number of the next generation is damaged"))
    }

    fn set_next(&mut self, next: u64) -> Result<(), StoreError> {
        let (value, _) = Place::Next.seal(&next.to_le_bytes());
        self.meta.insert("next", value.as_slice()).map_err(broken)?;
        Ok(())
    }

    fn retire(&mut self, generation: u64, key: &[u8]) -> Result<(), StoreError> {
        let (value, _) = Place::Retired(generation).seal(key);
        self.retired.insert(generation, value.as_slice()).map_err(broken)?;
        Ok(())
    }

    /// Removes what earlier commits retired.
    fn clear(&mut self, spared: &BTreeSet<u64>) -> Result<(), StoreError> {
        let mut generations = Vec::new();
        for entry in self.retired.iter().map_err(broken)? {
            generations.push(entry.map_err(broken)?.0.value());
        }
        for generation in generations.into_iter().filter(|generation| !spared.contains(generation))
        {
            self.erase(generation)?;
        }
        Ok(())
    }

    /// Removes all of a generation.
    fn erase(&mut self, generation: u64) -> Result<(), StoreError> {
        self.images.remove(generation).map_err(broken)?;
        let records = (generation, 0)..=(generation, u64::MAX);
        self.records.retain_in(records, |_, _| false).map_err(broken)?;
        self.retired.remove(generation).map_err(broken)?;
        Ok(())
    }

    /// What was kept before is kept again, and nothing else; what was begun goes with a later commit.
    fn take_back(&mut self, done: &Done) -> Result<(), StoreError> {
        for (generation, key) in &done.begun {
            self.retire(*generation, key)?;
        }
        for (key, before) in &done.before {
            let (row, damage) = match before {
                Before::Read(row) => (row.map(|row| Place::Row(key).seal(&row.to_bytes()).0), None),
                Before::Stood { row, damage } => (row.clone(), damage.as_ref()),
            };
            if let Some(damage) = damage {
                self.damaged.insert(key.as_slice(), damage.as_slice()).map_err(broken)?;
            }
            let Some(value) = row else {
                self.rooms.remove(key.as_slice()).map_err(broken)?;
                continue;
            };
            self.rooms.insert(key.as_slice(), value.as_slice()).map_err(broken)?;
            if let Ok(row) = view::row(key, &value) {
                self.retired.remove(row.generation).map_err(broken)?;
                let later = (row.generation, row.records)..=(row.generation, u64::MAX);
                self.records.retain_in(later, |_, _| false).map_err(broken)?;
            }
        }
        Ok(())
    }

    /// Nothing is kept over this room from now on.
    fn mark(&mut self, key: &[u8], why: &str) -> Result<(), StoreError> {
        let (value, _) = Place::Damage(key).seal(why.as_bytes());
        self.damaged.insert(key, value.as_slice()).map_err(broken)?;
        Ok(())
    }

    /// Removes all of a room: `generations` are its own that are retired. Returns whether there was
    /// anything.
    pub(super) fn remove(&mut self, key: &[u8], generations: &[u64]) -> Result<bool, StoreError> {
        let value = self.rooms.remove(key).map_err(broken)?;
        let was = value.is_some();
        let row = value.map(|value| view::row(key, value.value()));
        match row {
            Some(Ok(row)) => self.erase(row.generation)?,
            // Which generation it had is not known. It stays, where nothing finds it.
            Some(Err(why)) => tracing::error!("a room that is removed: {why}"),
            None => {}
        }
        for generation in generations {
            self.erase(*generation)?;
        }
        let marked = self.damaged.remove(key).map_err(broken)?.is_some();
        Ok(was || marked)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use redb::ReadableDatabase;

    use super::*;
    use crate::proto::event::kept::{RoomImage, RoomRecord};
    use crate::proto::id::{AppId, RoomName};
    use crate::store::RoomStore;
    use crate::store::disk::{DiskStoreConfig, FrailMedium};

    fn room(name: &str) -> RoomKey {
        (AppId([1; 8]), RoomName::new(name).unwrap())
    }

    fn whole(name: &str, image: &'static str) -> Keeping {
        Keeping::Whole { room: room(name), image: RoomImage(image.into()) }
    }

    fn open(medium: FrailMedium) -> DiskStore {
        let config = DiskStoreConfig::default();
        DiskStore::open_on(Box::new(medium), Path::new("the disk"), config).unwrap()
    }

    /// A store in which generation 1 of the room `h` was retired by generation 2.
    fn store() -> (FrailMedium, DiskStore) {
        let medium = FrailMedium::default();
        let mut store = open(medium.clone());
        let record = RoomRecord("more".into());
        let more = Keeping::More { room: room("h"), record };
        store.commit(vec![whole("h", "before"), more]).unwrap();
        store.commit(vec![whole("h", "after")]).unwrap();
        assert_eq!(images(&store), [1, 2]);
        (medium, store)
    }

    /// The generations of which there are images; nothing else is kept of others.
    fn images(store: &DiskStore) -> Vec<u64> {
        let read = store.database.begin_read().unwrap();
        let entries = read.open_table(IMAGES).unwrap();
        let images: Vec<_> =
            entries.iter().unwrap().map(|entry| entry.unwrap().0.value()).collect();
        for entry in read.open_table(RECORDS).unwrap().iter().unwrap() {
            assert!(images.contains(&entry.unwrap().0.value().0));
        }
        images
    }

    fn on(store: &mut DiskStore) {
        for image in ["one", "two", "three"] {
            store.commit(vec![whole("a", image)]).unwrap();
        }
    }

    #[test]
    fn what_a_killed_process_retired_goes_and_never_what_came_in_its_place() {
        let (medium, store) = store();
        let killed = FrailMedium::new(medium.bytes());
        drop(store);
        for medium in [killed, medium] {
            let mut store = open(medium);
            assert_eq!(images(&store), [1, 2]);
            store.commit(vec![whole("a", "one")]).unwrap();
            assert_eq!(images(&store), [2, 3]);
            assert_eq!(store.view().unwrap().retired().unwrap(), []);
            let kept = store.fetch(&room("h")).unwrap().unwrap();
            assert_eq!((kept.image.0, kept.records.len()), ("after".into(), 0));
        }
    }

    /// What becomes of generation 1 if something was written wrong in the tables, before the store is
    /// opened again and while it is open.
    fn stays(write: impl Fn(&mut Pen<'_>) -> Result<(), StoreError>, is_named: bool) {
        let (medium, mut first) = store();
        first.transact(|pen| write(pen)).unwrap();
        let killed = FrailMedium::new(medium.bytes());
        drop((first, medium));
        for is_read in [false, true] {
            let mut store = open(FrailMedium::new(killed.bytes()));
            if is_read {
                assert_eq!(store.fetch(&room("h")).is_err(), is_named);
            }
            on(&mut store);
            assert_eq!(images(&store), [1, 2, 4, 5], "read first: {is_read}");
            assert_eq!(store.fetch(&room("h")).is_err(), is_named);
            assert!(store.remove(&room("h")).unwrap());
            on(&mut store);
            assert!(!images(&store).contains(&2) || is_named);
        }
    }

    #[test]
    fn what_was_retired_stays_while_what_came_in_its_place_is_not_well() {
        let key = key(&room("h"));
        let wrong = &b"no value"[..];
        stays(|pen| pen.rooms.insert(key.as_slice(), wrong).map(drop).map_err(broken), true);
        stays(|pen| pen.images.insert(2, wrong).map(drop).map_err(broken), true);
        stays(|pen| pen.mark(&key, "it was found before"), true);
        stays(|pen| pen.retired.insert(1, wrong).map(drop).map_err(broken), false);
    }

    #[test]
    fn what_was_retired_stays_if_what_came_in_its_place_is_found_damaged_before_it_goes() {
        for is_verified in [false, true] {
            let (_, mut store) = store();
            on(&mut store);
            store.commit(vec![whole("h", "newer")]).unwrap();
            assert_eq!(images(&store), [2, 5, 6]);
            let wrong = &b"no value"[..];
            let write = |pen: &mut Pen<'_>| pen.images.insert(6, wrong).map(drop).map_err(broken);
            store.transact(write).unwrap();
            if is_verified {
                assert_eq!(store.verify(|_| {}).unwrap().len(), 1);
            } else {
                store.fetch(&room("h")).unwrap_err();
            }
            on(&mut store);
            assert_eq!(images(&store), [2, 6, 8, 9]);
            assert!(store.remove(&room("h")).unwrap());
            on(&mut store);
            assert_eq!(images(&store), [11, 12]);
        }
    }
}
