//! How much of what a member says is passed on, however often it opens its streams.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::proto::bucket::Bucket;
use crate::proto::config::VoiceConfig;
use crate::proto::time::Time;

/// What is taken of each of a member's streams, by their numbers. It outlives a stream that is closed,
/// or who opens one again would owe nothing.
#[derive(Clone, Default, Debug)]
pub(in super::super) struct Allowances(BTreeMap<u8, Allowance>);

#[derive(Clone, Copy, Debug)]
struct Allowance {
    packets: Bucket,
    bytes: Bucket,
}

impl Allowance {
    fn owed(&self, now: Time) -> Duration {
        self.packets.owed(now).max(self.bytes.owed(now))
    }
}

impl Allowances {
    /// A stream is opened. It owes what the last of its number did. There are as many allowances as
    /// there may be streams: a number that has none takes that of a closed stream which owes least, so
    /// that more numbers are worth nothing.
    pub(super) fn open(
        &mut self,
        number: u8,
        is_open: impl Fn(u8) -> bool,
        config: &VoiceConfig,
        now: Time,
    ) {
        if self.0.contains_key(&number) {
            return;
        }
        let closed = self.0.iter().filter(|(number, _)| !is_open(**number));
        let spare = closed.min_by_key(|(_, it)| it.owed(now)).map(|(number, _)| *number);
        let spare = spare.filter(|_| self.0.len() >= usize::from(config.streams));
        let nothing = Allowance { packets: Bucket::new(now), bytes: Bucket::new(now) };
        let allowance = spare.and_then(|number| self.0.remove(&number)).unwrap_or(nothing);
        self.0.insert(number, allowance);
    }

    /// Whether another packet of an open stream is taken.
    pub(super) fn takes(
        &mut self,
        number: u8,
        bytes: usize,
        config: &VoiceConfig,
        now: Time,
    ) -> bool {
        let Some(allowance) = self.0.get_mut(&number) else { return false };
        let per_second = config.packets_per_second;
        let (price, depth) = (Bucket::price(1, per_second), u64::from(config.burst));
        let volume = Bucket::price(bytes as u64, config.bytes_per_second);
        let takes = allowance.bytes.owed(now) + volume <= Duration::from_millis(500)
            && allowance.packets.takes(price, Bucket::price(depth, per_second), now);
        if takes {
            allowance.bytes.pay(volume, now);
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many packets pass of streams that are opened one after the other, 50 in a second.
    fn passed(numbers: impl Iterator<Item = u8>) -> usize {
        let (mut allowances, config) = (Allowances::default(), VoiceConfig::default());
        let mut passed = 0;
        for (turn, number) in (0_u64..50).zip(numbers) {
            let now = Time::from_micros(turn * 20_000);
            allowances.open(number, |_| false, &config, now);
            passed += (0..40).filter(|_| allowances.takes(number, 60, &config, now)).count();
        }
        assert!(allowances.0.len() <= 4);
        passed
    }

    #[test]
    fn a_number_that_is_used_again_has_what_is_left_of_its_allowance() {
        let passed = passed(std::iter::repeat(0));
        assert!((85..=90).contains(&passed), "{passed}");
    }

    #[test]
    fn many_numbers_say_no_more_than_as_many_streams_as_a_member_may_have() {
        let passed = passed(0..50);
        assert!((330..=360).contains(&passed), "{passed}");
    }

    #[test]
    fn who_has_a_stream_open_keeps_its_allowance() {
        let config = VoiceConfig { streams: 2, ..VoiceConfig::default() };
        let mut allowances = Allowances::default();
        for number in 0..9 {
            let open = |it: u8| it == 0;
            allowances.open(number, open, &config, Time::ZERO);
            assert!(allowances.takes(0, 60, &config, Time::ZERO));
        }
        assert!(!allowances.takes(9, 60, &config, Time::ZERO), "it was never opened");
    }
}
