//! What a disk may have after a loss of power: every prefix of what was written, and any sectors of what
//! was not synced. Each opens to what was committed last, or to what was being committed.

use parlor::store::RoomStore;
use parlor::store::disk::{Crash, FrailMedium, Operation};

use super::stage::{self, Dice, Kept};

/// A history of commits: all that was done to the disk, and what was kept after how many operations.
struct History {
    before: Vec<u8>,
    operations: Vec<Operation>,
    /// After so many operations this was committed.
    kept: Vec<(usize, Kept)>,
}

/// Plays commits, removals, and opening again with and without an end before.
fn history(dice: &mut Dice, commits: usize) -> History {
    let medium = stage::fresh();
    let before = medium.bytes();
    medium.record();
    let mut store = stage::open(&medium).unwrap();
    let mut all = vec![(0, Kept::new())];
    for number in 0..commits {
        let mut kept = all.last().unwrap().1.clone();
        if number % 7 == 6 {
            let victim = kept.keys().nth(dice.below(kept.len())).cloned().unwrap();
            store.remove(&victim).unwrap();
            kept.remove(&victim);
        } else {
            let keepings = stage::commit(&kept, dice, 20_000);
            stage::keep(&mut kept, &keepings);
            store.commit(keepings).unwrap();
        }
        all.push((medium.history().len(), kept));
        if number % 5 == 4 {
            drop(store);
            store = stage::open(&medium).unwrap();
        }
    }
    drop(store);
    History { before, operations: medium.history(), kept: all }
}

impl History {
    /// Whether a disk with `image` has what was committed after `done` operations, or what came next.
    fn check(&self, image: Vec<u8>, done: usize) {
        let last = self.kept.iter().rposition(|(after, _)| *after <= done).unwrap();
        let medium = FrailMedium::new(image);
        let mut store = match stage::open(&medium) {
            Ok(store) => store,
            Err(error) => panic!("after {done} operations: {error}"),
        };
        let found = stage::kept(&mut store);
        let next = self.kept.get(last + 1);
        let is_next = next.is_some_and(|(_, kept)| *kept == found);
        assert!(found == self.kept[last].1 || is_next, "after {done} operations");
        // It goes on from there.
        store.commit(vec![stage::whole("a", "afterwards")]).unwrap();
        assert_eq!(store.fetch(&stage::room("a")).unwrap().unwrap().image.0, "afterwards");
        assert_eq!(store.statistics().medium.damaged, 0, "no page that counts was torn");
    }
}

#[test]
fn every_prefix_of_what_was_written_opens_to_what_was_committed() {
    let commits = if stage::is_full() { 60 } else { 12 };
    let history = history(&mut Dice::new(stage::seed()), commits);
    let mut crash = Crash::new(history.before.clone());
    for (done, operation) in history.operations.iter().enumerate() {
        if *operation != Operation::Sync {
            history.check(crash.image(|_, _| true), done);
        }
        crash.push(operation.clone());
    }
    history.check(crash.image(|_, _| true), history.operations.len());
}

#[test]
fn any_sectors_of_what_was_not_synced_open_to_what_was_committed() {
    let mut dice = Dice::new(stage::seed() + 1);
    let commits = if stage::is_full() { 60 } else { 12 };
    let history = history(&mut dice, commits);
    let tries = if stage::is_full() { 40 } else { 3 };
    let mut crash = Crash::new(history.before.clone());
    for (done, operation) in history.operations.iter().enumerate() {
        if *operation == Operation::Sync {
            for round in 0..tries {
                // Few of them, half, or most.
                let share = [1, 4, 7][round % 3];
                let image = crash.image(|_, _| dice.below(8) < share);
                history.check(image, done);
            }
            // All but one operation, and one operation alone.
            let odd = dice.below(crash.pending().max(1));
            history.check(crash.image(|number, _| number != odd), done);
            history.check(crash.image(|number, _| number == odd), done);
        }
        crash.push(operation.clone());
    }
}

#[test]
fn what_a_clean_end_wrote_is_not_needed() {
    // The process ends at once, again and again, and nothing is written between.
    let medium = stage::fresh();
    let mut store = stage::open(&medium).unwrap();
    store.commit(vec![stage::whole("a", "one"), stage::more("a", "x")]).unwrap();
    let kept = stage::kept(&mut store);
    let mut image = medium.bytes();
    for _ in 0..5 {
        let medium = FrailMedium::new(image);
        let mut store = stage::open(&medium).unwrap();
        assert_eq!(stage::kept(&mut store), kept);
        image = medium.bytes();
    }
}
