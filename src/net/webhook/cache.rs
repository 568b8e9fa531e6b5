//! Answers that are remembered.

use std::collections::BTreeMap;
use std::time::Duration;

use super::answer::{Answer, Fields};
use crate::proto::authorisation::{Question, Verdict};
use crate::proto::id::digest;
use crate::proto::time::Time;

/// What a question is remembered by: a digest, so that all take the same room.
type Key = [u8; 32];

/// The last answers of one application's server, each for as long as it says.
#[derive(Debug)]
pub(super) struct Cache {
    limit: usize,
    longest: Duration,
    answers: BTreeMap<Key, Kept>,
    /// In the order in which they came.
    ages: BTreeMap<u64, Key>,
    next: u64,
}

#[derive(Debug)]
struct Kept {
    verdict: Verdict,
    until: Time,
    age: u64,
}

impl Cache {
    pub(super) const fn new(limit: usize, longest: Duration) -> Self {
        Self { limit, longest, answers: BTreeMap::new(), ages: BTreeMap::new(), next: 0 }
    }

    /// What holds of a question at `now`, by what was answered before.
    pub(super) fn find(&self, question: &Question, now: Time) -> Option<Verdict> {
        let keys = Fields::ALL.into_iter().map(|fields| key(question, fields));
        keys.filter_map(|key| self.answers.get(&key))
            .find(|kept| now < kept.until)
            .map(|kept| kept.verdict.clone())
    }

    /// Remembers an answer. The oldest makes room for it.
    pub(super) fn insert(&mut self, question: &Question, answer: &Answer, now: Time) {
        let kept_for = answer.cache.min(self.longest);
        if kept_for.is_zero() || self.limit == 0 {
            return;
        }
        let key = key(question, answer.key);
        let age = self.next;
        self.next += 1;
        let kept = Kept { verdict: answer.verdict.clone(), until: now + kept_for, age };
        if let Some(before) = self.answers.insert(key, kept) {
            self.ages.remove(&before.age);
        }
        self.ages.insert(age, key);
        while self.answers.len() > self.limit {
            let Some((_, oldest)) = self.ages.pop_first() else { return };
            self.answers.remove(&oldest);
        }
    }
}

fn key(question: &Question, fields: Fields) -> Key {
    let Question { app, room, peer, context } = question;
    let which = [u8::from(fields.room), u8::from(fields.peer), u8::from(fields.context)];
    let part = |is_meant: bool, bytes| if is_meant { bytes } else { &[][..] };
    let parts = [
        &app.0[..],
        &which,
        part(fields.room, room.as_str().as_bytes()),
        part(fields.peer, peer.as_bytes()),
        part(fields.context, context.as_bytes()),
    ];
    digest("parlor webhook answer", &parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::id::{AppId, PeerId, RoomName};

    fn question(room: &str, peer: u8, context: &str) -> Question {
        Question {
            app: AppId([1; 8]),
            room: RoomName::new(room).unwrap(),
            peer: PeerId::new([peer; 32]),
            context: context.to_owned(),
        }
    }

    fn answer(seconds: u64, key: Fields) -> Answer {
        let cache = Duration::from_secs(seconds);
        Answer { verdict: Verdict::Allowed { roles: None }, cache, key }
    }

    fn refusal(seconds: u64, key: Fields) -> Answer {
        let verdict = Verdict::Refused { message: "no".to_owned(), context: String::new() };
        Answer { verdict, ..answer(seconds, key) }
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn an_answer_is_remembered_for_as_long_as_it_says() {
        let mut cache = Cache::new(10, Duration::from_secs(100));
        let asked = question("a", 1, "x");
        cache.insert(&asked, &answer(0, Fields::ALL[0]), at(0));
        assert_eq!(cache.find(&asked, at(0)), None);
        cache.insert(&asked, &answer(10, Fields::ALL[0]), at(0));
        assert!(cache.find(&asked, at(9)).is_some());
        assert_eq!(cache.find(&asked, at(10)), None);
        cache.insert(&asked, &answer(u64::MAX, Fields::ALL[0]), at(20));
        assert!(cache.find(&asked, at(119)).is_some());
        assert_eq!(cache.find(&asked, at(120)), None);
    }

    #[test]
    fn an_answer_holds_where_the_fields_are_equal_that_it_names() {
        for fields in Fields::ALL {
            let mut cache = Cache::new(10, Duration::from_secs(100));
            cache.insert(&question("a", 1, "x"), &refusal(10, fields), at(0));
            assert!(cache.find(&question("a", 1, "x"), at(1)).is_some());
            assert_eq!(cache.find(&question("b", 1, "x"), at(1)).is_some(), !fields.room);
            assert_eq!(cache.find(&question("a", 2, "x"), at(1)).is_some(), !fields.peer);
            assert_eq!(cache.find(&question("a", 1, "y"), at(1)).is_some(), !fields.context);
            let other = Question { app: AppId([2; 8]), ..question("a", 1, "x") };
            assert_eq!(cache.find(&other, at(1)), None);
        }
    }

    #[test]
    fn what_is_said_of_one_counts_before_what_is_said_of_all() {
        let mut cache = Cache::new(10, Duration::from_secs(100));
        let asked = question("a", 1, "x");
        cache.insert(&asked, &refusal(10, Fields::ALL[0]), at(0));
        cache.insert(&asked, &answer(10, Fields::ALL[7]), at(0));
        assert!(matches!(cache.find(&asked, at(1)), Some(Verdict::Refused { .. })));
        let other = cache.find(&question("b", 2, "y"), at(1));
        assert_eq!(other, Some(Verdict::Allowed { roles: None }));
    }

    #[test]
    fn the_oldest_answer_makes_room() {
        let mut cache = Cache::new(2, Duration::from_secs(100));
        for room in ["a", "b", "a", "c"] {
            cache.insert(&question(room, 1, ""), &answer(50, Fields::ALL[0]), at(0));
        }
        let found = ["a", "b", "c"].map(|room| cache.find(&question(room, 1, ""), at(1)).is_some());
        assert_eq!(found, [true, false, true]);
        for room in 0..1_000 {
            cache.insert(&question(&room.to_string(), 1, ""), &answer(50, Fields::ALL[0]), at(0));
        }
        assert_eq!((cache.answers.len(), cache.ages.len()), (2, 2));
    }
}
