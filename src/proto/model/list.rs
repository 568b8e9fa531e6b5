//! Positions in a [`RealtimeList`](super::handle::RealtimeList).
//!
//! A position is a key between two others, so that an insertion changes no other element. The idea
//! is known as fractional indexing; the whole numbers of variable length, with which a list that
//! only grows at its ends has keys as short as their logarithm, are those of D. Greenspan,
//! "Implementing Fractional Indexing" (2020). Where that has one fraction after the whole number,
//! a key here is a path of whole numbers, as in S. Weiss et al., "Logoot" (2009): what is inserted
//! between two neighbours counts up and down from there by whole numbers again.
//!
//! In writing: `a0x7k.a3p2q`. Steps are separated by `.`, which sorts before every digit, so what
//! is below a key comes right after it. A step is a whole number and a tag. A whole number is a
//! letter that says how many digits follow (`a` one, `b` two, ..; for negative numbers `Z` one, `Y`
//! two, ..) and the digits, `0-9A-Za-z`.

use std::fmt;

/// The place of an element in a list: a key, ordered by its bytes.
///
/// Keys of peers are taken as they are; [`Position::between`] makes the best of malformed ones.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(String);

impl Position {
    /// How many bytes [`Self::between`] gives at most. Elements in any usual order stay far below:
    /// it takes hundreds that are each put between the last two to come here, and then the next
    /// ones are not surely where they were put, though in one place for everybody.
    pub const LONGEST: usize = 4096;

    /// How many letters and digits of a tag count.
    pub const TAG: usize = 16;

    /// A key that is greater than `before` and less than `after`, each where given, and that ends
    /// in `tag`: a few letters and digits of the element, so that what two peers insert at one
    /// place at the same time has two places.
    ///
    /// It never fails. Keys that are equal or in the wrong order give a key right after `before`;
    /// malformed ones, or such as leave no room, give some key.
    #[must_use]
    pub fn between(before: Option<&Self>, after: Option<&Self>, tag: &str) -> Self {
        let digits = tag.chars().filter(char::is_ascii_alphanumeric);
        let tag: String = digits.take(Self::TAG).collect();
        let low = before.map_or("", Self::as_str);
        // No key is less than the empty one, so it stands for no bound.
        let high = after.map(Self::as_str).filter(|high| low < *high);
        let fits = |key: &String| {
            key.len() <= Self::LONGEST
                && low < key.as_str()
                && high.is_none_or(|high| key.as_str() < high)
        };
        let crossed = after.is_some() && high.is_none();
        let inside = high.and_then(|high| step_inside(low, high));
        let key = inside
            .into_iter()
            .chain(steps_beside(low).filter(|_| !crossed))
            .chain([below(low, ZERO)])
            .map(|key| key + &tag)
            .find(fits);
        Self(key.unwrap_or_else(|| ZERO.to_owned() + &tag))
    }

    /// The position that [`Self::as_str`] gave, or whatever a peer sent for one.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The key as it stands in the document.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Position({:?})", self.0)
    }
}

/// The key before `high`, if that is below `low`.
fn step_inside(low: &str, high: &str) -> Option<String> {
    let rest = match low {
        "" => high,
        low => high.strip_prefix(low)?.strip_prefix('.')?,
    };
    Some(below(low, &step_of(rest, Direction::Down)?))
}

/// The keys right after `low` and after each key that it is below, the shortest first. The key of a
/// hostile peer is not read to its end.
fn steps_beside(low: &str) -> impl Iterator<Item = String> {
    let starts = low.match_indices('.').map(|(dot, _)| dot + 1);
    [0].into_iter().chain(starts).take_while(|start| *start < Position::LONGEST).filter_map(
        |start| {
            let step = step_of(&low[start..], Direction::Up)?;
            Some(low[..start].to_owned() + &step)
        },
    )
}

/// The key of `step` below `key`; on top, where that is empty.
fn below(key: &str, step: &str) -> String {
    let dot = if key.is_empty() { "" } else { "." };
    format!("{key}{dot}{step}")
}

/// Which way a number changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// The whole number one more or less than the one at the start of `text`, if there are both.
fn step_of(text: &str, direction: Direction) -> Option<String> {
    let (&head, rest) = text.as_bytes().split_first()?;
    let digits = rest.get(..digits_after(head)?)?;
    let (last, first) = match direction {
        Direction::Up => (b'z', b'0'),
        Direction::Down => (b'0', b'z'),
    };
    // As on an odometer: the digits at the end that are at their last turn over.
    let turning = digits.iter().rev().take_while(|digit| **digit == last);
    let kept = digits.len() - turning.count();
    let Some((&digit, front)) = digits[..kept].split_last() else {
        let head = next_head(head, direction)?;
        let turned = vec![first; digits_after(head)?];
        return text_of(head, &[&turned]);
    };
    let place = DIGITS.iter().position(|known| *known == digit)?;
    let place = match direction {
        Direction::Up => place + 1,
        Direction::Down => place.checked_sub(1)?,
    };
    let digit = *DIGITS.get(place)?;
    let turned = vec![first; digits.len() - kept];
    text_of(head, &[front, &[digit], &turned])
}

/// How many digits follow the head of a whole number.
fn digits_after(head: u8) -> Option<usize> {
    match head {
        b'a'..=b'z' => Some(usize::from(head - b'a') + 1),
        b'A'..=b'Z' => Some(usize::from(b'Z' - head) + 1),
        _ => None,
    }
}

/// The head of the numbers that come after or before all numbers of a head.
fn next_head(head: u8, direction: Direction) -> Option<u8> {
    match (direction, head) {
        (Direction::Up, b'Z') => Some(b'a'),
        (Direction::Down, b'a') => Some(b'Z'),
        (Direction::Up, b'z') | (Direction::Down, b'A') => None,
        (Direction::Up, head) => Some(head + 1),
        (Direction::Down, head) => Some(head - 1),
    }
}

/// The text of a whole number, unless a digit of it is none.
fn text_of(head: u8, digits: &[&[u8]]) -> Option<String> {
    let digits = digits.concat();
    let all = digits.iter().all(u8::is_ascii_alphanumeric);
    let bytes = [head].into_iter().chain(digits).map(char::from);
    all.then(|| bytes.collect())
}

/// The digits, in the order of their bytes.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The whole number with as many before it as after it.
const ZERO: &str = "a0";

#[cfg(test)]
mod tests {
    use std::iter;

    use proptest::prelude::*;

    use super::*;

    /// A tag of four digits, unlike its neighbours.
    fn tag(number: usize) -> String {
        let digits = iter::successors(Some(number.wrapping_mul(7_368_787)), |rest| Some(rest / 62));
        let digit = |rest| char::from(DIGITS[rest % 62]);
        digits.take(4).map(digit).collect()
    }

    /// Inserts `count` keys, each at the index that `index` gives for a length; the longest.
    fn insert(count: usize, mut index: impl FnMut(usize) -> usize) -> usize {
        let mut keys: Vec<Position> = Vec::new();
        for number in 0..count {
            let at = index(keys.len());
            let before = at.checked_sub(1).and_then(|at| keys.get(at));
            let key = Position::between(before, keys.get(at), &tag(number));
            assert!(before.is_none_or(|before| *before < key), "{before:?} {key}");
            assert!(keys.get(at).is_none_or(|after| key < *after), "{key}");
            keys.insert(at, key);
        }
        assert!(keys.is_sorted());
        keys.iter().map(|key| key.as_str().len()).max().unwrap()
    }

    #[test]
    fn ends_that_grow_keep_keys_short() {
        assert!(insert(10_000, |length| length) <= 8);
        assert!(insert(10_000, |_| 0) <= 8);
    }

    #[test]
    fn a_place_that_grows_keeps_keys_short() {
        // After a fixed first, before a fixed last; and, the worst, between the last two.
        assert!(insert(10_000, |length| length.min(1)) <= 16);
        assert!(insert(10_000, |length| length.saturating_sub(1)) <= 16);
        assert!(insert(500, |length| length / 2) <= Position::LONGEST);
    }

    #[test]
    fn the_bounded_length_is_kept_where_there_is_no_room() {
        let mut ends = [Position::parse("a0"), Position::parse("a1")];
        for number in 0..2_000 {
            let key = Position::between(Some(&ends[0]), Some(&ends[1]), &tag(number));
            assert!(key.as_str().len() <= Position::LONGEST);
            ends[number % 2] = key;
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn insertions_anywhere_keep_keys_short(places in prop::collection::vec(any::<prop::sample::Index>(), 10_000)) {
            let mut places = places.into_iter();
            let longest = insert(10_000, |length| places.next().unwrap().index(length + 1));
            prop_assert!(longest <= 200, "{}", longest);
        }
    }

    fn garbage() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[0-9A-Za-z.]{0,40}",
            "[azAZ0.]{0,60}",
            "(a0|Zz|b00|zzz)[a-c]{0,2}(\\.[abYZ][0z]{1,2}[a-c]{0,2}){0,3}",
            Just("z".repeat(5_000)),
            Just(".".repeat(5_000)),
            Just("A".to_owned() + &"0".repeat(26)),
        ]
    }

    proptest! {
        #[test]
        fn any_two_keys_give_a_key(low: Option<()>, a in garbage(), high: Option<()>, b in garbage(), tag: String) {
            let low = low.map(|()| Position::parse(&a));
            let high = high.map(|()| Position::parse(&b));
            let key = Position::between(low.as_ref(), high.as_ref(), &tag);
            prop_assert!(key.as_str().len() <= Position::LONGEST);
            prop_assert!(!key.as_str().is_empty());
        }

        #[test]
        fn a_key_is_strictly_between(places in prop::collection::vec(any::<prop::sample::Index>(), 1..60), tags in "[0-9A-Za-z]{0,3}") {
            let mut keys: Vec<Position> = Vec::new();
            for place in places {
                let at = place.index(keys.len() + 1);
                let before = at.checked_sub(1).map(|at| &keys[at]);
                let key = Position::between(before, keys.get(at), &tags);
                prop_assert!(before.is_none_or(|before| *before < key));
                prop_assert!(keys.get(at).is_none_or(|after| key < *after));
                keys.insert(at, key);
            }
        }
    }

    #[test]
    fn two_at_one_place_have_two_places_and_room_between() {
        let first = Position::between(None, None, "first");
        let one = Position::between(Some(&first), None, "A");
        let two = Position::between(Some(&first), None, "A0");
        assert!(one < two);
        let inside = Position::between(Some(&one), Some(&two), "x");
        assert!(one < inside && inside < two);
        assert_eq!(inside.as_str(), "a1A.a0x");
    }

    #[test]
    fn equal_and_swapped_keys_give_the_place_after_the_first() {
        let (one, two) = (Position::parse("a1A"), Position::parse("a2B"));
        assert_eq!(Position::between(Some(&one), Some(&one), "x").as_str(), "a1A.a0x");
        assert_eq!(Position::between(Some(&two), Some(&one), "x").as_str(), "a2B.a0x");
    }

    #[test]
    fn whole_numbers_count_through_their_lengths() {
        let up = ["XzzzA", "Y00", "Y01", "Zz", "a0", "az", "b00", "b0z", "b10"];
        assert_eq!(step_of("Xzzz", Direction::Up).unwrap(), "Y00");
        assert_eq!(step_of("Yzz", Direction::Up).unwrap(), "Z0");
        assert_eq!(step_of("a0", Direction::Down).unwrap(), "Zz");
        assert_eq!(step_of("b00", Direction::Down).unwrap(), "az");
        assert_eq!(step_of("b0z", Direction::Up).unwrap(), "b10");
        assert!(up.is_sorted());
        assert_eq!(step_of(&"z".repeat(27), Direction::Up), None);
        assert_eq!(step_of("a", Direction::Up), None);
        assert_eq!(step_of("a!", Direction::Up), None);
    }
}
