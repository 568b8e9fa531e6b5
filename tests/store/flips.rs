//! Bits that flip, anywhere in the file: what is read is what was committed, or the room is named; and
//! the others serve.

use parlor::proto::id::RoomKey;
use parlor::store::disk::FrailMedium;
use parlor::store::{RoomStore, StoreError};

use super::stage::{self, Dice, Kept, more, room, whole};

/// A store with rooms of every size, and its file.
fn store(dice: &mut Dice) -> (Vec<u8>, Kept) {
    stage::filled(dice, [0, 10, 3_000, 5_000, 20_000, 40_000, 150_000, 300_000], 40)
}

/// What comes of a file in which something is wrong: the rooms that are named.
fn damaged(image: Vec<u8>, kept: &Kept, what: &str) -> Vec<RoomKey> {
    let medium = FrailMedium::new(image);
    let mut store = stage::open(&medium).unwrap_or_else(|error| panic!("{what}: {error}"));
    let named = stage::named(&mut store, kept, what);
    let named: Vec<RoomKey> = named.into_iter().map(|(room, _)| room).collect();
    // The others serve, and take what comes.
    for room in kept.keys().filter(|room| !named.contains(room)).take(2) {
        store.commit(vec![more(room.1.as_str(), "on")]).unwrap();
        let found = store.fetch(room).unwrap().unwrap();
        assert_eq!(found.records.last().unwrap().0, "on", "{what}");
    }
    named
}

#[test]
fn a_flipped_bit_anywhere_is_put_right_or_its_room_is_named() {
    let mut dice = Dice::new(stage::seed());
    let (image, kept) = store(&mut dice);
    let flips = if stage::is_full() { 60_000 } else { 700 };
    let mut named = 0;
    // In every page of the file, twice in each that has something in it; then anywhere.
    let pages =
        image.chunks(4096).enumerate().filter(|(_, page)| page.iter().any(|byte| *byte != 0));
    let mut places: Vec<_> = pages.flat_map(|(page, _)| [page, page]).collect();
    let structural = places.len();
    places.extend((structural..flips).map(|_| dice.below(image.len() / 4096)));
    for (number, page) in places.into_iter().enumerate() {
        let within = if page < 2 { dice.below(512) } else { dice.below(4096) };
        let bit = 1 << dice.below(8);
        let mut flipped = image.clone();
        let at = (page * 4096 + within).min(image.len() - 1);
        flipped[at] ^= bit;
        named += damaged(flipped, &kept, &format!("flip {number}: byte {at}, bit {bit}")).len();
    }
    assert!(named > 20, "{named} rooms were named");
}

#[test]
fn a_flipped_bit_in_each_byte_of_the_head_is_put_right() {
    let (image, kept) = store(&mut Dice::new(stage::seed()));
    let step = if stage::is_full() { 1 } else { 5 };
    for at in (0..512).step_by(step).chain((4096..4608).step_by(step)) {
        let mut flipped = image.clone();
        flipped[at] ^= 1 << (at % 8);
        assert_eq!(damaged(flipped, &kept, &format!("byte {at}")), []);
    }
}

#[test]
fn a_page_that_is_gone_is_put_right_or_its_room_is_named() {
    let mut dice = Dice::new(stage::seed());
    let (image, kept) = store(&mut dice);
    let pages = image.len() / 4096;
    for page in (0..pages).step_by(if stage::is_full() { 1 } else { 11 }) {
        let mut gone = image.clone();
        let other = dice.below(pages);
        match page % 3 {
            0 => gone[page * 4096..(page + 1) * 4096].fill(0),
            1 => gone[page * 4096..(page + 1) * 4096].fill(0xff),
            _ => gone.copy_within(other * 4096..(other + 1) * 4096, page * 4096),
        }
        damaged(gone, &kept, &format!("page {page}"));
    }
}

/// A large store has lists of its own pages that are longer than a page, and are read when it is opened.
#[test]
fn what_holds_a_large_store_together_is_put_right() {
    if !stage::is_full() {
        return;
    }
    let mut dice = Dice::new(stage::seed());
    let medium = FrailMedium::default();
    let mut store = stage::open(&medium).unwrap();
    let image = dice.bytes(1 << 20);
    for number in 0..120 {
        store.commit(vec![whole(&format!("room {number}"), image.clone())]).unwrap();
    }
    let mut kept = Kept::new();
    let keepings = vec![whole("a", "one"), more("a", "x")];
    stage::keep(&mut kept, &keepings);
    store.commit(keepings).unwrap();
    drop(store);
    let image = medium.bytes();
    let page = |at: usize| &image[at * 4096..(at + 1) * 4096];
    // Pages that have a copy.
    let groups = (2..image.len() / 4096 - 66).step_by(66);
    let pages: Vec<_> = groups
        .flat_map(|group| group + 1..group + 33)
        .filter(|at| page(*at) == page(at + 32) && page(*at).iter().any(|byte| *byte != 0))
        .collect();
    let is_tail = |at: &usize| pages.contains(&(at - 1)) && !matches!(page(*at)[0], 1 | 2);
    let tails: Vec<_> = pages.iter().copied().filter(is_tail).collect();
    assert!(tails.len() > 5, "{} pages, {tails:?}", pages.len());
    for number in 0..8 {
        let among = if number % 2 == 0 { &tails } else { &pages };
        let at = among[dice.below(among.len())] * 4096 + dice.below(4096);
        let mut flipped = image.clone();
        flipped[at] ^= 1 << dice.below(8);
        assert_eq!(damaged(flipped, &kept, &format!("byte {at}")), []);
    }
}

/// A file whose room `h` is damaged.
fn quarantined() -> (FrailMedium, Kept) {
    let (mut image, kept) = store(&mut Dice::new(stage::seed()));
    let needle = &kept[&room("h")].image.0[200_000..200_032];
    let at = image.windows(32).position(|window| window == needle).unwrap();
    image[at] ^= 1;
    (FrailMedium::new(image), kept)
}

#[test]
fn nothing_is_kept_over_a_damaged_room_until_it_is_removed_or_imported() {
    let (medium, kept) = quarantined();
    let is_named = |error: StoreError| match error {
        StoreError::Damaged { room: of, .. } => of == room("h"),
        error => panic!("{error}"),
    };
    let mut store = stage::open(&medium).unwrap();
    let good = store.export(&room("g")).unwrap().unwrap();
    for _ in 0..3 {
        assert!(is_named(store.fetch(&room("h")).unwrap_err()));
        assert!(is_named(store.commit(vec![whole("h", "new")]).unwrap_err()));
        assert!(is_named(store.commit(vec![whole("a", "new"), more("h", "new")]).unwrap_err()));
        assert_eq!(
            store.fetch(&room("a")).unwrap(),
            kept.get(&room("a")).cloned(),
            "all or nothing"
        );
        assert!(is_named(store.export(&room("h")).unwrap_err()));
        // It is remembered without being read.
        drop(store);
        store = stage::open(&medium).unwrap();
        assert!(is_named(store.commit(vec![whole("h", "new")]).unwrap_err()));
    }
    let listed = store.rooms().unwrap();
    let damaged: Vec<_> = listed.iter().filter(|stored| stored.damaged.is_some()).collect();
    assert_eq!(damaged.iter().map(|stored| &stored.room).collect::<Vec<_>>(), [&room("h")]);
    store.import(&room("h"), &good).unwrap();
    assert_eq!(store.fetch(&room("h")).unwrap(), kept.get(&room("g")).cloned());

    let (medium, _) = quarantined();
    let mut store = stage::open(&medium).unwrap();
    assert_eq!(
        store.verify(|_| {}).unwrap().into_iter().map(|(room, _)| room).collect::<Vec<_>>(),
        [room("h")]
    );
    assert!(is_named(store.commit(vec![whole("h", "new")]).unwrap_err()), "verifying remembers it");
    assert!(store.remove(&room("h")).unwrap());
    store.commit(vec![whole("h", "new")]).unwrap();
    assert_eq!(store.fetch(&room("h")).unwrap().unwrap().image.0, "new");
    assert!(store.verify(|_| {}).unwrap().is_empty());
}

#[test]
fn what_was_kept_before_stays_while_what_came_in_its_place_is_damaged() {
    let mut dice = Dice::new(stage::seed());
    let (before, after) = (dice.bytes(200_000), dice.bytes(200_000));
    let medium = stage::fresh();
    let mut store = stage::open(&medium).unwrap();
    store.commit(vec![whole("h", before.clone())]).unwrap();
    store.commit(vec![whole("h", after.clone())]).unwrap();
    drop(store);
    let mut image = medium.bytes();
    let place = |image: &[u8], bytes: &[u8]| {
        let needle = &bytes[100_000..100_032];
        image.windows(32).position(|window| window == needle)
    };
    let at = place(&image, &after).unwrap();
    image[at] ^= 1;
    let medium = FrailMedium::new(image);
    let mut store = stage::open(&medium).unwrap();
    for name in ["a", "b", "c", "d", "a", "b", "c", "d"] {
        store.commit(vec![whole(name, dice.bytes(200_000))]).unwrap();
    }
    assert!(matches!(store.commit(vec![whole("h", "new")]), Err(StoreError::Damaged { .. })));
    assert!(place(&medium.bytes(), &before).is_some(), "for whoever can make something of it");
    assert!(store.remove(&room("h")).unwrap());
    for name in ["a", "b", "c", "d", "a", "b", "c", "d"] {
        store.commit(vec![whole(name, dice.bytes(200_000))]).unwrap();
    }
    assert!(place(&medium.bytes(), &before).is_none(), "its place was used again");
}

#[test]
fn a_copy_that_was_damaged_is_written_anew() {
    let (image, kept) = store(&mut Dice::new(stage::seed()));
    let read = |medium: &FrailMedium| {
        let mut store = stage::open(medium).unwrap();
        for (room, is) in kept.iter().filter(|(of, _)| **of != room("a")) {
            assert_eq!(store.fetch(room).unwrap().as_ref(), Some(is));
        }
        store.commit(vec![more("a", "on")]).unwrap();
        store.statistics().medium.healed
    };
    // The first group of pages: its sums, once in either copy, and its pages and their copies. What is
    // damaged later is the other copy of the same.
    let group = 2 * 4096;
    let sums = (0..32).map(|page| (group + page * 16 + 3, group + 65 * 4096 + page * 16 + 3));
    let pages = (1..32).map(|page| (group + (1 + page) * 4096 + 9, group + (33 + page) * 4096 + 9));
    let mut healed = 0;
    for (first, copy) in sums.chain(pages) {
        if image[first] != image[copy] {
            // A page that goes on a value, or was never written.
            continue;
        }
        for (now, later) in [(first, copy), (copy, first)] {
            let mut flipped = image.clone();
            flipped[now] ^= 4;
            let medium = FrailMedium::new(flipped);
            healed += read(&medium);
            let mut flipped = medium.bytes();
            flipped[later] ^= 4;
            read(&FrailMedium::new(flipped));
        }
    }
    assert!(healed > 20, "{healed}");
}
