//! What members say of themselves while they are there.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::proto::config::Limits;
use crate::proto::id::ClientNumber;
use crate::proto::time::Time;
use crate::proto::wire::bounded::Line;
use crate::proto::wire::message::{PresenceKey, PresenceValue, Told};

/// What everybody in a room says of itself.
#[derive(Debug, Default)]
pub(super) struct Presences(BTreeMap<ClientNumber, BTreeMap<String, Said>>);

#[derive(Clone, Debug)]
struct Said {
    value: PresenceValue,
    until: Option<Time>,
}

/// Why something is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TooMuch {
    pub(super) limit: usize,
    pub(super) size: usize,
}

impl Presences {
    /// A member says something under a key, or nothing any more; for so long, unless it is zero.
    /// Returns whether that is new to others.
    pub(super) fn say(
        &mut self,
        client: ClientNumber,
        (key, value): (&PresenceKey, &Option<PresenceValue>),
        ttl: Duration,
        (limits, now): (&Limits, Time),
    ) -> Result<bool, TooMuch> {
        let Some(value) = value else {
            let said = self.0.get_mut(&client);
            return Ok(said.is_some_and(|said| said.remove(&**key).is_some()));
        };
        let said = self.0.entry(client).or_default();
        let others = said.iter().filter(|(other, _)| ***other != **key);
        let sizes: Vec<usize> = others.map(|(key, said)| key.len() + said.value.len()).collect();
        let size = sizes.iter().sum::<usize>() + key.len() + value.len();
        if size > limits.presence {
            return Err(TooMuch { limit: limits.presence, size });
        }
        if sizes.len() >= limits.presence_keys {
            return Err(TooMuch { limit: limits.presence_keys, size: sizes.len() + 1 });
        }
        let until = (!ttl.is_zero()).then(|| now + ttl);
        let before = said.insert(key.to_string(), Said { value: value.clone(), until });
        Ok(before.is_none_or(|before| before.value != *value))
    }

    pub(super) fn part(&mut self, client: ClientNumber) {
        self.0.remove(&client);
    }

    /// All of it, to be told.
    pub(super) fn all(&self) -> impl Iterator<Item = Told> + '_ {
        self.0.iter().flat_map(|(client, said)| {
            said.iter().map(|(key, said)| told(*client, key, Some(said.value.clone())))
        })
    }

    /// Lets go of what was said for a while, and tells what that was.
    pub(super) fn expire(&mut self, now: Time) -> Vec<(ClientNumber, Told)> {
        let mut over = Vec::new();
        for (client, said) in &mut self.0 {
            said.retain(|key, said| {
                let stays = said.until.is_none_or(|until| until > now);
                if !stays {
                    over.push((*client, told(*client, key, None)));
                }
                stays
            });
        }
        over
    }

    /// When something is to be let go.
    pub(super) fn due(&self) -> Option<Time> {
        self.0.values().flat_map(BTreeMap::values).filter_map(|said| said.until).min()
    }
}

fn told(client: ClientNumber, key: &str, value: Option<PresenceValue>) -> Told {
    Told::Presence { client, key: Line::new(key).unwrap_or_default(), value }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::proto::wire::bounded::Blob;

    fn value(bytes: &'static [u8]) -> Option<PresenceValue> {
        Blob::new(Bytes::from_static(bytes))
    }

    #[test]
    fn what_is_said_for_a_while_is_told_to_be_over() {
        let (mut presences, config) = (Presences::default(), Limits::default());
        let (me, key) = (ClientNumber(1), Line::new("where").unwrap());
        let second = Duration::from_secs(1);
        let mut say =
            |value: &_, ttl, now| presences.say(me, (&key, value), ttl, (&config, now)).unwrap();
        assert!(say(&value(b"hall"), second, Time::ZERO));
        assert!(
            !say(&value(b"hall"), second, Time::ZERO + second / 2),
            "it is the same, for longer"
        );
        assert_eq!(presences.due(), Some(Time::ZERO + second + second / 2));
        assert!(presences.expire(Time::ZERO + second).is_empty());
        let over = presences.expire(Time::ZERO + second + second / 2);
        assert_eq!(over, [(me, told(me, "where", None))]);
        assert!(presences.all().next().is_none());
        assert!(!presences.say(me, (&key, &None), second, (&config, Time::ZERO)).unwrap());
    }

    #[test]
    fn a_member_says_no_more_than_it_may() {
        let (mut presences, now) = (Presences::default(), Time::ZERO);
        let config = Limits { presence: 10, presence_keys: 2, ..Limits::default() };
        let mut say = |key: &str, bytes: &'static [u8]| {
            let key = Line::new(key).unwrap();
            let said = (&key, &value(bytes));
            presences.say(ClientNumber(1), said, Duration::ZERO, (&config, now))
        };
        assert_eq!(say("a", b"12345678"), Ok(true));
        assert_eq!(say("b", b"1"), Err(TooMuch { limit: 10, size: 11 }));
        assert_eq!(say("a", b"123"), Ok(true));
        assert_eq!(say("b", b"1"), Ok(true));
        assert_eq!(say("c", b"1"), Err(TooMuch { limit: 2, size: 3 }));
        assert_eq!(say("b", b"2"), Ok(true), "another value is no other key");
    }
}
