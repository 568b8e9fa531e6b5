//! Whose packets go to one listener at present, so that a packet waits for those of others, and not in
//! vain.

use std::time::Duration;

use bytes::Bytes;

use crate::net::voice::pack::{Drawn, split};
use crate::proto::time::Time;

/// The topics of which something went a short while ago.
#[derive(Debug)]
pub(super) struct Company {
    /// When something of each went last.
    spoken: Vec<(Drawn, Time)>,
    lasts: Duration,
}

impl Company {
    /// Who was not heard for `lasts` is in it no more.
    pub(super) const fn new(lasts: Duration) -> Self {
        Self { spoken: Vec::new(), lasts }
    }

    /// How many speak: as many packets are worth waiting for, one of each.
    pub(super) fn size(&mut self, now: Time) -> usize {
        self.spoken.retain(|(_, last)| now.since(*last) < self.lasts);
        self.spoken.len()
    }

    /// A datagram of packets goes.
    pub(super) fn goes(&mut self, packed: &Bytes, now: Time) {
        for (topic, _) in split(packed.clone()) {
            match self.spoken.iter_mut().find(|(spoken, _)| *spoken == topic) {
                Some((_, last)) => *last = now,
                None => self.spoken.push((topic, now)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::voice::pack::pack;
    use crate::proto::audio::stream::Topic;

    fn packed(topic: u8) -> Bytes {
        pack(Topic::new([topic; 5]), &[topic; 20]).unwrap()
    }

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn who_speaks_is_in_it_once_and_for_a_while() {
        let mut company = Company::new(Duration::from_millis(50));
        assert_eq!(company.size(at(0)), 0);
        company.goes(&[packed(1), packed(2)].concat().into(), at(0));
        company.goes(&packed(1), at(20));
        assert_eq!(company.size(at(49)), 2);
        assert_eq!(company.size(at(50)), 1);
        assert_eq!(company.size(at(70)), 0);
    }
}
