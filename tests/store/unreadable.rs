//! Sectors that cannot be read: what is there twice is read from its copy, a room whose bytes are there is
//! named for as long as it lasts, and everything else serves.

use std::io::ErrorKind;

use parlor::proto::id::RoomKey;
use parlor::store::disk::{ExportError, FrailMedium, OpenError, Spoiled};
use parlor::store::{DiskStore, RoomStore, StoreError};

use super::stage::{self, Dice, Kept, more, room, whole};

const PAGE: u64 = 4096;
const SECTOR: u64 = 512;

/// A store with rooms of every size, and its file.
fn store(dice: &mut Dice) -> (Vec<u8>, Kept) {
    stage::filled(dice, [0, 10, 3_000, 5_000, 9_000, 20_000, 60_000, 300_000], 20)
}

/// The rooms that cannot be read; the others are what they were.
fn unread(store: &mut DiskStore, kept: &Kept, what: &str) -> Vec<RoomKey> {
    let named = stage::named(store, kept, what);
    for (_, why) in &named {
        assert_eq!(why, "a part of it cannot be read: a sector cannot be read", "{what}");
    }
    named.into_iter().map(|(room, _)| room).collect()
}

/// What comes of one sector that cannot be read: how many rooms are named.
fn survives(image: &[u8], kept: &Kept, sector: u64, how: Spoiled) -> usize {
    let what = format!("sector {sector}, {how:?}");
    let medium = FrailMedium::new(image.to_vec());
    medium.spoil(sector..sector + 1, how);
    let mut store = stage::open(&medium).unwrap_or_else(|error| panic!("{what}: {error}"));
    let named = unread(&mut store, kept, &what);
    assert_eq!(unread(&mut store, kept, &what), named, "{what}: what redb has kept");
    // The ends of two values may be in one sector.
    assert!(named.len() <= 2, "{what}: {named:?}");
    let listed = store.verify(|_| {}).unwrap();
    assert_eq!(listed.into_iter().map(|(room, _)| room).collect::<Vec<_>>(), named, "{what}");
    // It passes.
    medium.unspoil();
    assert_eq!(unread(&mut store, kept, &what), [], "{what}: it can be read again");
    // It comes again, and the store goes on.
    medium.spoil(sector..sector + 1, how);
    let mut after = kept.clone();
    for (number, room) in kept.keys().filter(|room| !named.contains(room)).enumerate() {
        let name = room.1.as_str();
        // Of what is there once, a sector that takes what is written has to give it back.
        let keepings = match how {
            Spoiled::UntilWritten if number == 2 => vec![whole(name, vec![7; 12_000])],
            Spoiled::UntilWritten => vec![more(name, "on"), more(name, vec![8; 5_000])],
            Spoiled::ForGood => vec![more(name, "on")],
        };
        stage::keep(&mut after, &keepings);
        store.commit(keepings).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    drop(store);
    let mut store = stage::open(&medium).unwrap_or_else(|error| panic!("{what}: {error}"));
    for (room, is) in after {
        match store.fetch(&room) {
            Ok(found) => assert_eq!(found, Some(is), "{what}: {room:?}"),
            Err(StoreError::Damaged { .. }) => assert!(named.contains(&room), "{what}: {room:?}"),
            Err(error) => panic!("{what}: {error}"),
        }
    }
    named.len()
}

#[test]
fn a_sector_that_cannot_be_read_costs_what_is_on_it() {
    let mut dice = Dice::new(stage::seed());
    let (image, kept) = store(&mut dice);
    let sectors: Vec<_> = image.chunks(512).collect();
    let is_used = |sector: &usize| sectors[*sector].iter().any(|byte| *byte != 0);
    let step = if stage::is_full() { 3 } else { 17 };
    let mut named = 0;
    let used: Vec<_> = (0..sectors.len()).filter(|at| stage::is_full() || is_used(at)).collect();
    for (number, sector) in used.into_iter().enumerate().skip(dice.below(step)).step_by(step) {
        let how = [Spoiled::UntilWritten, Spoiled::ForGood][number % 2];
        named += survives(&image, &kept, sector as u64, how);
    }
    for sector in (0..2).chain(8..10).chain([16, 16 + 65 * 8]) {
        survives(&image, &kept, sector, Spoiled::ForGood);
    }
    assert!(named > 10, "{named} rooms were named");
}

/// Where in the file some bytes are that are there once.
fn place(image: &[u8], bytes: &[u8]) -> u64 {
    image.windows(32).position(|window| window == &bytes[..32]).unwrap() as u64
}

/// Where in the file the end of what is kept of a room is: of its image, with the sum that follows.
fn end(image: &[u8], bytes: &[u8]) -> u64 {
    place(image, &bytes[bytes.len() - 32..]) + 32 + 16
}

/// A file whose room `h` has a sector that cannot be read, in its middle.
fn spoiled(how: Spoiled) -> (FrailMedium, Kept) {
    let (image, kept) = store(&mut Dice::new(stage::seed()));
    let place = place(&image, &kept[&room("h")].image.0[150_000..]);
    let medium = FrailMedium::new(image);
    medium.spoil(place / SECTOR..place / SECTOR + 1, how);
    (medium, kept)
}

#[test]
fn a_room_that_cannot_be_read_is_closed_until_it_can() {
    let (medium, mut kept) = spoiled(Spoiled::ForGood);
    let is_named = |error: StoreError| match error {
        StoreError::Damaged { room: of, .. } => of == room("h"),
        error => panic!("{error}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let mut store = stage::open(&medium).unwrap();
    for round in 0..2 {
        assert!(is_named(store.fetch(&room("h")).unwrap_err()));
        assert!(is_named(store.commit(vec![whole("h", "new")]).unwrap_err()), "not kept over");
        assert!(is_named(store.commit(vec![more("a", "on"), more("h", "on")]).unwrap_err()));
        assert!(is_named(store.export(&room("h")).unwrap_err()));
        assert_eq!(store.verify(|_| {}).unwrap().len(), 1);
        let snapshot = store.snapshot().unwrap();
        assert!(is_named(snapshot.export(&room("h")).unwrap_err()));
        assert!(snapshot.export(&room("g")).unwrap().is_some());
        let path = folder.path().join(format!("copy {round}"));
        let without = snapshot.back_up(&path, |_| {}).unwrap();
        assert_eq!(without.into_iter().map(|(room, _)| room).collect::<Vec<_>>(), [room("h")]);
        let mut copy = DiskStore::open(&path, stage::config()).unwrap();
        let mut others = kept.clone();
        others.remove(&room("h"));
        assert_eq!(stage::kept(&mut copy), others);
        let on = vec![more("g", "on")];
        stage::keep(&mut kept, &on);
        store.commit(on).unwrap();
    }
    assert!(store.statistics().medium.unreadable > 0);
    let said = store.rooms().unwrap();
    assert!(said.iter().all(|stored| stored.damaged.is_none()), "the file says nothing of it");
    drop(store);
    let mut store = stage::open(&medium).unwrap();
    assert!(is_named(store.fetch(&room("h")).unwrap_err()));
    medium.unspoil();
    assert_eq!(stage::kept(&mut store), kept);
    store.commit(vec![more("h", "on")]).unwrap();

    // All of it but its beginning cannot be read: little of that is tried.
    let (medium, kept) = spoiled(Spoiled::ForGood);
    let place = place(&medium.bytes(), &kept[&room("h")].image.0[10_000..]);
    let mut store = stage::open(&medium).unwrap();
    store.fetch(&room("h")).unwrap_err();
    drop(store);
    medium.spoil(place / SECTOR..place / SECTOR + 31 * 8, Spoiled::ForGood);
    let mut store = stage::open(&medium).unwrap();
    let before = store.statistics().medium.unreadable;
    assert!(is_named(store.fetch(&room("h")).unwrap_err()));
    assert!(store.statistics().medium.unreadable - before < 20);
    medium.unspoil();
    assert_eq!(stage::kept(&mut store), kept);

    // Or something else is put in its place, or nothing.
    let (medium, kept) = spoiled(Spoiled::ForGood);
    let mut store = stage::open(&medium).unwrap();
    let good = store.export(&room("g")).unwrap().unwrap();
    assert!(is_named(store.fetch(&room("h")).unwrap_err()));
    store.import(&room("h"), &good).unwrap();
    assert_eq!(store.fetch(&room("h")).unwrap().as_ref(), kept.get(&room("g")));
    let (medium, _) = spoiled(Spoiled::ForGood);
    let mut store = stage::open(&medium).unwrap();
    assert!(is_named(store.fetch(&room("h")).unwrap_err()));
    assert!(store.remove(&room("h")).unwrap());
    store.commit(vec![whole("h", "new")]).unwrap();
}

#[test]
fn what_is_damaged_is_remembered_only_once_everything_can_be_read() {
    let (medium, kept) = spoiled(Spoiled::ForGood);
    let mut image = medium.bytes();
    let at = place(&image, &kept[&room("g")].image.0[30_000..]);
    image[usize::try_from(at).unwrap()] ^= 1;
    let spoiled = place(&image, &kept[&room("h")].image.0[150_000..]) / SECTOR;
    let medium = FrailMedium::new(image);
    medium.spoil(spoiled..spoiled + 1, Spoiled::ForGood);
    for is_marked in [false, true] {
        let mut store = stage::open(&medium).unwrap();
        assert_eq!(store.fetch(&room("h")).is_err(), !is_marked);
        for _ in 0..2 {
            let told = store.fetch(&room("g"));
            assert!(matches!(told, Err(StoreError::Damaged { .. })), "{told:?}");
            store.commit(vec![whole("g", "new")]).unwrap_err();
        }
        let listed = store.rooms().unwrap();
        let marked = listed.into_iter().filter(|stored| stored.damaged.is_some());
        let marked: Vec<_> = marked.map(|stored| stored.room).collect();
        assert_eq!(marked, if is_marked { vec![room("g")] } else { vec![] });
        medium.unspoil();
    }
}

#[test]
fn what_was_kept_before_stays_while_what_came_in_its_place_cannot_be_read() {
    let mut dice = Dice::new(stage::seed());
    let (before, after) = (dice.bytes(200_000), dice.bytes(200_000));
    let medium = stage::fresh();
    let mut store = stage::open(&medium).unwrap();
    store.commit(vec![whole("h", before.clone())]).unwrap();
    store.commit(vec![whole("h", after.clone())]).unwrap();
    drop(store);
    let is_there = || {
        let needle = &before[100_000..100_032];
        medium.bytes().windows(32).any(|window| window == needle)
    };
    let spoiled = place(&medium.bytes(), &after[100_000..]) / SECTOR;
    medium.spoil(spoiled..spoiled + 1, Spoiled::ForGood);
    for is_there_still in [true, false] {
        let mut store = stage::open(&medium).unwrap();
        for name in ["a", "b", "c", "d", "a", "b", "c", "d"] {
            store.commit(vec![whole(name, dice.bytes(200_000))]).unwrap();
        }
        assert_eq!(is_there(), is_there_still);
        medium.unspoil();
        assert_eq!(store.fetch(&room("h")).unwrap().unwrap().image.0, after.clone());
    }
}

#[test]
fn a_room_is_whole_if_only_its_own_sum_cannot_be_read() {
    let mut dice = Dice::new(stage::seed());
    let bytes = dice.bytes(40_000);
    let kept = |len: usize| {
        let medium = stage::fresh();
        let mut store = stage::open(&medium).unwrap();
        store.commit(vec![whole("h", bytes[..len].to_vec()), more("h", "x")]).unwrap();
        drop(store);
        let end = end(&medium.bytes(), &bytes[..len]);
        (medium, end)
    };
    // So long that eight bytes of it are on the last page.
    let len = 20_000 + usize::try_from(PAGE - kept(20_000).1 % PAGE).unwrap() + 8;
    let (medium, end) = kept(len);
    assert_eq!(end % PAGE, 8);
    medium.spoil(end / SECTOR..end / SECTOR + 1, Spoiled::ForGood);
    let mut store = stage::open(&medium).unwrap();
    let found = store.fetch(&room("h")).unwrap().unwrap();
    assert_eq!(found.image.0, bytes[..len].to_vec());
    assert!(store.statistics().medium.unreadable > 0);
    // The page before it is not its sum.
    medium.spoil(end / SECTOR - 2..end / SECTOR - 1, Spoiled::ForGood);
    let mut store = stage::open(&medium).unwrap();
    assert!(matches!(store.fetch(&room("h")), Err(StoreError::Damaged { .. })));
}

#[test]
fn a_disk_that_is_gone_is_not_many_damaged_rooms() {
    let (image, kept) = store(&mut Dice::new(stage::seed()));
    let medium = FrailMedium::new(image);
    let mut store = stage::open(&medium).unwrap();
    store.fetch(&room("a")).unwrap();
    medium.pull();
    let told = store.fetch(&room("h"));
    assert!(matches!(told, Err(StoreError::Failed { .. })), "{told:?}");
    for room in kept.keys() {
        assert!(matches!(store.fetch(room), Err(StoreError::Failed { .. })), "{room:?}");
    }
    assert!(matches!(store.verify(|_| {}), Err(StoreError::Failed { .. })));
    drop(store);
    assert!(matches!(stage::open(&medium), Err(OpenError::Failed { .. })));
    let mut store = stage::open(&FrailMedium::new(medium.bytes())).unwrap();
    assert_eq!(store.verify(|_| {}).unwrap(), [], "nothing is said of them");
    assert_eq!(stage::kept(&mut store), kept);
}

#[test]
fn what_cannot_be_read_is_written_anew_from_its_copy() {
    let (image, kept) = store(&mut Dice::new(stage::seed()));
    let sector = |page: usize| page * 4096 / 512;
    // The heads; the sums of every group; pages of the first, if both copies are the same.
    let mut pairs = vec![(0, sector(1))];
    let groups = (2..image.len() / 4096 - 65).step_by(66);
    pairs.extend(groups.map(|group| (sector(group), sector(group + 65))));
    for page in 3..3 + 32 {
        let copy = page + 32;
        let at = |page: usize| &image[page * 4096..(page + 1) * 4096];
        if at(page) == at(copy) && at(page).iter().any(|byte| *byte != 0) {
            pairs.push((sector(page) + page % 8, sector(copy) + page % 8));
        }
    }
    assert!(pairs.len() > 8, "{pairs:?}");
    let spoil = |medium: &FrailMedium, at: usize| {
        medium.spoil(at as u64..at as u64 + 1, Spoiled::UntilWritten);
    };
    let mut healed = 0;
    for (first, copy) in pairs {
        for (now, later) in [(first, copy), (copy, first)] {
            let medium = FrailMedium::new(image.clone());
            spoil(&medium, now);
            let mut store = stage::open(&medium).unwrap();
            assert_eq!(unread(&mut store, &kept, "one copy"), []);
            store.commit(vec![more("a", "on")]).unwrap();
            let is_needed = store.statistics().medium.unreadable > 0;
            drop(store);
            // Pages that are free are not read.
            assert!(medium.is_readable() || !is_needed, "sector {now}");
            healed += usize::from(medium.is_readable());
            medium.unspoil();
            spoil(&medium, later);
            let mut store = stage::open(&medium).unwrap();
            assert!(store.fetch(&room("a")).unwrap().is_some());
            assert_eq!(store.fetch(&room("h")).unwrap().as_ref(), kept.get(&room("h")));
        }
        // And if neither copy can be read, that is said, and passes.
        let medium = FrailMedium::new(image.clone());
        spoil(&medium, first);
        spoil(&medium, copy);
        if let Err(error) = stage::open(&medium) {
            assert!(matches!(error, OpenError::Failed { .. }), "{error}");
        }
        assert_eq!(medium.bytes().len(), image.len());
        medium.unspoil();
        let mut store = stage::open(&medium).unwrap();
        assert_eq!(stage::kept(&mut store), kept);
    }
    assert!(healed > 10, "{healed}");
}

#[test]
fn a_store_serves_and_commits_without_any_of_its_copies() {
    let (image, mut kept) = store(&mut Dice::new(stage::seed()));
    let medium = FrailMedium::new(image.clone());
    medium.spoil(8..9, Spoiled::ForGood);
    for group in (2..image.len() as u64 / 4096).step_by(66) {
        medium.spoil((group + 33) * 8..(group + 66) * 8, Spoiled::ForGood);
    }
    for _ in 0..2 {
        let mut store = stage::open(&medium).unwrap();
        assert_eq!(stage::kept(&mut store), kept);
        for keepings in [vec![more("a", "on")], vec![whole("b", "small"), whole("g", [7; 20_000])]]
        {
            stage::keep(&mut kept, &keepings);
            store.commit(keepings).unwrap();
        }
        assert_eq!(stage::kept(&mut store), kept);
    }
}

/// Of what the file grows by from now on only copies can be read.
fn spoil_beyond(medium: &FrailMedium) {
    let end = medium.bytes().len() as u64 / PAGE;
    for page in (end..end + 2000).filter(|page| (1..33).contains(&((page - 2) % 66))) {
        medium.spoil(page * 8..page * 8 + 8, Spoiled::ForGood);
    }
}

#[test]
fn what_is_kept_whole_counts_only_once_it_can_be_read() {
    let mut dice = Dice::new(stage::seed());
    let (image, mut kept) = store(&mut dice);
    let medium = FrailMedium::new(image);
    let mut store = stage::open(&medium).unwrap();
    spoil_beyond(&medium);
    let image = dice.bytes(400_000);
    let keepings = vec![
        more("b", "with it"),
        more("h", "with it"),
        whole("a", "with it"),
        whole("h", image.clone()),
        more("h", "with it"),
        whole("c", "with it"),
        whole("c", "and again"),
        whole("new", "with it"),
        more("d", "with it"),
    ];
    let told = store.commit(keepings);
    assert!(matches!(told, Err(StoreError::Failed { .. })), "{told:?}");
    assert!(told.unwrap_err().to_string().contains("was taken back"));
    drop(store);
    medium.unspoil();
    let mut store = stage::open(&medium).unwrap();
    assert_eq!(stage::kept(&mut store), kept, "all of it or nothing");
    assert_eq!(store.fetch(&room("new")).unwrap(), None);
    assert_eq!(store.verify(|_| {}).unwrap(), []);
    // What it had begun is not kept for ever.
    let is_there = |medium: &FrailMedium| {
        let needles = image.chunks(32).skip(1000).step_by(50).take(20);
        let bytes = medium.bytes();
        needles.filter(|needle| bytes.windows(32).any(|window| window == *needle)).count() > 2
    };
    assert!(is_there(&medium));
    for name in ["a", "b", "c", "d", "a", "b", "c", "d"] {
        let keepings = vec![whole(name, dice.bytes(300_000))];
        stage::keep(&mut kept, &keepings);
        store.commit(keepings).unwrap();
    }
    assert!(!is_there(&medium), "its place was used again");
    drop(store);
    assert_eq!(stage::kept(&mut stage::open(&medium).unwrap()), kept);
}

#[test]
fn what_is_imported_counts_only_once_it_can_be_read() {
    let mut dice = Dice::new(stage::seed());
    let mut other = stage::open(&stage::fresh()).unwrap();
    other.commit(vec![whole("h", dice.bytes(400_000)), more("h", "x")]).unwrap();
    let file = other.export(&room("h")).unwrap().unwrap();
    // In place of a room that is well, of one that is marked as damaged, and of nothing.
    let (image, kept) = store(&mut dice);
    let mut damaged = image.clone();
    let at = place(&image, &kept[&room("h")].image.0[150_000..]);
    damaged[usize::try_from(at).unwrap()] ^= 1;
    for (image, name, is_damaged) in
        [(&image, "h", false), (&damaged, "h", true), (&image, "new", false)]
    {
        let medium = FrailMedium::new(image.clone());
        let mut store = stage::open(&medium).unwrap();
        let before = store.fetch(&room(name));
        assert_eq!(before.is_err(), is_damaged);
        spoil_beyond(&medium);
        let told = store.import(&room(name), &file);
        assert!(matches!(told, Err(ExportError::Store(StoreError::Failed { .. }))), "{told:?}");
        drop(store);
        medium.unspoil();
        let mut store = stage::open(&medium).unwrap();
        let listed = store.rooms().unwrap();
        let listed = listed.iter().filter(|stored| stored.damaged.is_some()).count();
        assert_eq!(listed, usize::from(is_damaged));
        assert_eq!(store.fetch(&room(name)), before);
        store.import(&room(name), &file).unwrap();
        assert_eq!(store.fetch(&room(name)), other.fetch(&room("h")));
        store.commit(vec![more(name, "on"), more("a", "on")]).unwrap();
        drop(store);
        assert_eq!(stage::open(&medium).unwrap().verify(|_| {}).unwrap(), []);
    }
}

#[test]
fn nothing_is_claimed_when_what_could_not_be_read_cannot_be_written_either() {
    let (image, kept) = store(&mut Dice::new(stage::seed()));
    let mut failures = 0;
    let step = if stage::is_full() { 1 } else { 3 };
    for after in (0..400).step_by(step) {
        let medium = FrailMedium::new(image.clone());
        // Both the first sums and the head.
        medium.spoil(0..1, Spoiled::ForGood);
        medium.spoil(16..17, Spoiled::ForGood);
        medium.fail(after, ErrorKind::Other);
        let Ok(mut store) = stage::open(&medium) else { continue };
        let mut then = kept.clone();
        stage::keep(&mut then, &[more("a", "on")]);
        let told = store.commit(vec![more("a", "on")]);
        drop(store);
        medium.heal();
        medium.unspoil();
        let found = stage::kept(&mut stage::open(&medium).unwrap());
        match told {
            Ok(()) => assert_eq!(found, then, "after {after}"),
            Err(StoreError::Failed { .. }) => {
                failures += 1;
                assert!(found == kept || found == then, "after {after}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(failures > 2, "{failures}");
}
