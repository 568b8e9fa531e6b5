//! What a peer owns, as far as it takes a clock and a link to say.

use std::collections::VecDeque;
use std::time::Duration;

use super::Peer;
use crate::proto::datastore::Holding;
use crate::proto::id::DocumentId;
use crate::proto::model::handle::Handle;
use crate::proto::model::path::Path;
use crate::proto::ownership::{Fence, Ownership};
use crate::proto::time::Time;
use crate::proto::wire::message::{Denied, DeniedRecord};

/// How many answers wait until what had been granted when they were given is here. The oldest goes for
/// one more.
const MOST_ANSWERS: usize = 8;

/// How long what the relay granted holds, from the last question that it answered: never from the
/// answer, which may have been long on its way.
#[derive(Clone, Debug, Default)]
pub(super) struct Lease {
    boot: u32,
    term: Duration,
    /// When the questions were asked, and the highest grant that the room had at each answer.
    answers: VecDeque<(Time, Fence)>,
}

impl Lease {
    /// The boot of the relay that answered last.
    pub(super) const fn boot(&self) -> u32 {
        self.boot
    }

    /// When the last question was asked whose answer counts for who knows of grants up to `known`: the
    /// answer says that the relay has heard, and not that what this peer has was not taken from it.
    fn asked(&self, known: Fence) -> Option<Time> {
        let answers = self.answers.iter().filter(|(_, granted)| *granted <= known);
        answers.map(|(asked, _)| *asked).max()
    }
}

impl Peer {
    /// Who owns a model, and whether that is certain. Costs a few lookups.
    #[must_use]
    pub fn ownership_state(&self, model: &impl Handle, now: Time) -> Ownership {
        model.path().map_or(Ownership::Free, |path| self.ownership_at(path, now))
    }

    /// As [`Self::ownership_state`], of the model at a path.
    #[must_use]
    pub fn ownership_at(&self, path: &Path, now: Time) -> Ownership {
        match self.store.holding(path) {
            Holding::Free => Ownership::Free,
            Holding::Claimed => Ownership::Claimed,
            Holding::Other { peer, confirmed } => Ownership::Remote { peer, confirmed },
            Holding::Granted { token } => match self.lease_end() {
                Some(until) if now < until && token.boot() == self.lease.boot => {
                    Ownership::Confirmed { token, until }
                }
                _ => Ownership::Stale { token },
            },
        }
    }

    fn lease_end(&self) -> Option<Time> {
        let term = self.lease.term.checked_sub(self.config.lease_margin)?;
        Some(self.lease.asked(self.store.newest_grant())? + term)
    }

    /// The relay has heard what this peer asked at a time.
    pub(super) fn on_beat(
        &mut self,
        now: Time,
        (sent, room_time): (u64, u64),
        (boot, lease_ms, granted): (u32, u32, Fence),
    ) {
        self.on_pong(now, sent, room_time);
        let known = self.store.newest_grant().boot();
        if boot < known {
            self.fault(&format!(
                "its boot is {boot}, below {known} of which it gave tokens: it lost its state"
            ));
            return;
        }
        let lease = &mut self.lease;
        (lease.boot, lease.term) = (boot, Duration::from_millis(u64::from(lease_ms)));
        if lease.answers.len() >= MOST_ANSWERS {
            lease.answers.pop_front();
        }
        lease.answers.push_back((Time::from_micros(sent), granted));
    }

    /// The relay wants an exclusive model back that another waits for.
    pub(super) fn on_revoke(&mut self, now: Time, model: &str, token: u64) {
        if self.store.revoke(&Path::parse(model), Fence(token)) {
            self.flush(now);
        }
    }

    /// The relay does not let something in.
    pub(super) fn on_denied(&mut self, now: Time, document: DocumentId, denied: &DeniedRecord) {
        let model = Path::parse(&denied.model);
        match denied.what {
            Denied::Claim { counter, .. } => self.store.deny_claim(&model, counter, denied.why),
            Denied::Change { actor, sequence } => {
                self.renew();
                self.diary.lose();
                let (change, why) = ((&actor, sequence), (&model, denied.why));
                self.store.roll_back(document, change, why, self.author);
                let member = self.member(document);
                if let Some(open) = &mut self.connection {
                    open.lane.resume(document, member);
                }
            }
        }
        self.drive(now);
    }
}
