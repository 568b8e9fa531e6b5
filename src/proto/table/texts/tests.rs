//! A sequence against a list of characters.

use proptest::collection::vec;
use proptest::prelude::*;

use super::Piece;
use super::sequence::{Id, Sequence, View};

const ALL: [View; 2] = [View::All, View::Confirmed];

fn id(counter: usize) -> Id {
    Id { counter: u32::try_from(counter).unwrap() + 1, actor: 0 }
}

fn later(one: Id, other: Id) -> bool {
    one.counter > other.counter
}

/// What is done to a text: at which place of what shows, and whether something is taken out.
type Step = (usize, bool);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Mostly beside each other, so that chunks fill up and are split.
    vec((prop_oneof![4 => 0..8_usize, 1 => any::<usize>()], prop::bool::weighted(0.2)), 1..2_500)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_says_what_a_list_of_its_characters_says(laid in 0..1_000_usize, steps in steps()) {
        let mut sequence = Sequence::default();
        let character = |counter: usize| char::from(b'a' + u8::try_from(counter % 26).unwrap());
        let mut list: Vec<usize> = (0..laid).collect();
        sequence.lay(list.iter().map(|&counter| (id(counter), character(counter))));
        let mut next = laid;
        for (place, out) in steps {
            let place = place % (list.len() + 1);
            if out && place < list.len() {
                let gone = list.remove(place);
                prop_assert_eq!(sequence.nth(View::All, place), Some(id(gone)));
                sequence.erase(id(gone), &ALL);
            } else {
                let behind = place.checked_sub(1).map(|before| id(list[before]));
                sequence.insert(behind, (id(next), character(next)), &ALL, later);
                list.insert(place, next);
                prop_assert_eq!(sequence.rank(View::Confirmed, id(next)), Some((place, true)));
                next += 1;
            }
        }
        let said: String = list.iter().map(|&counter| character(counter)).collect();
        prop_assert_eq!(sequence.read(View::All), said.clone());
        prop_assert_eq!(sequence.read(View::Confirmed), said);
        prop_assert_eq!(sequence.showing(View::All), list.len());
        prop_assert_eq!(sequence.len(), next);
        for (place, &counter) in list.iter().enumerate() {
            prop_assert_eq!(sequence.nth(View::All, place), Some(id(counter)));
        }
    }

    #[test]
    fn what_two_views_differ_in_makes_one_of_the_other(steps in steps(), seen in vec(any::<bool>(), 2_500)) {
        let mut sequence = Sequence::default();
        let mut next = 0;
        for ((place, out), seen) in steps.into_iter().zip(seen) {
            let count = sequence.showing(View::All);
            let place = place % (count + 1);
            let views: &[View] = if seen { &ALL } else { &[View::All] };
            match sequence.nth(View::All, place).filter(|_| out) {
                Some(gone) => sequence.erase(gone, views),
                None => {
                    let behind =
                        place.checked_sub(1).and_then(|before| sequence.nth(View::All, before));
                    sequence.insert(behind, (id(next), 'x'), views, later);
                    next += 1;
                }
            }
        }
        let mut text: Vec<char> = sequence.read(View::Confirmed).chars().collect();
        for Piece { at, delete, insert } in sequence.difference(View::Confirmed, View::All).into_iter().rev() {
            text.splice(at..at + delete, insert.chars());
        }
        prop_assert_eq!(text.into_iter().collect::<String>(), sequence.read(View::All));
    }
}

#[test]
fn of_two_behind_the_same_the_later_comes_first_with_all_that_stands_behind_it() {
    let insert = |sequence: &mut Sequence, behind: Option<usize>, counter, character| {
        sequence.insert(behind.map(id), (id(counter), character), &ALL, later);
    };
    let mut sequence = Sequence::default();
    insert(&mut sequence, None, 0, 'a');
    insert(&mut sequence, Some(0), 3, 'c');
    insert(&mut sequence, Some(3), 4, 'd');
    insert(&mut sequence, Some(0), 1, 'e');
    insert(&mut sequence, Some(1), 2, 'f');
    insert(&mut sequence, Some(0), 5, 'b');
    assert_eq!(sequence.read(View::All), "abcdef");
}
