//! How many messages of gossip may come by a connection.

use std::collections::HashMap;
use std::time::Duration;

use libp2p::swarm::ConnectionId;

use crate::net::voice::config::VoiceNetConfig;
use crate::proto::bucket::Bucket;
use crate::proto::time::Time;

/// How many times dearer messages are where there is no link.
const STRANGER: u32 = 16;

/// A bucket for each connection: gossipsub itself takes whatever comes.
#[derive(Debug)]
pub(super) struct Toll {
    paid: HashMap<ConnectionId, Bucket>,
    cost: Duration,
    depth: Duration,
}

impl Toll {
    pub(super) fn new(config: &VoiceNetConfig) -> Self {
        let cost = Duration::from_secs(1) / config.messages_per_second.max(1);
        let depth = cost.saturating_mul(config.message_burst);
        Self { paid: HashMap::new(), cost, depth }
    }

    /// Whether another message of a connection is taken.
    pub(super) fn takes(&mut self, connection: ConnectionId, is_linked: bool, now: Time) -> bool {
        let cost = if is_linked { self.cost } else { self.cost.saturating_mul(STRANGER) };
        let paid = self.paid.entry(connection).or_insert_with(|| Bucket::new(now));
        paid.takes(cost, self.depth, now)
    }

    /// A connection is over.
    pub(super) fn forget(&mut self, connection: ConnectionId) {
        self.paid.remove(&connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_then_as_many_as_are_paid_for_and_few_of_strangers() {
        let config = VoiceNetConfig {
            messages_per_second: 100,
            message_burst: 64,
            ..VoiceNetConfig::default()
        };
        let mut toll = Toll::new(&config);
        let (peer, stranger) = (ConnectionId::new_unchecked(1), ConnectionId::new_unchecked(2));
        let mut count =
            |peer, linked, now| (0..1_000).filter(|_| toll.takes(peer, linked, now)).count();
        assert_eq!(count(peer, true, Time::ZERO), 64);
        assert_eq!(count(stranger, false, Time::ZERO), 4);
        let later = Time::ZERO + Duration::from_millis(100);
        assert_eq!(count(peer, true, later), 10);
        assert_eq!(count(stranger, false, later), 0);
    }
}
