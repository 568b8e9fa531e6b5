//! A record as it is kept while its room is closed: with moments of the clock that all know.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Good, Record};
use crate::proto::id::PeerId;
use crate::proto::proof::PasswordKey;
use crate::proto::service::{Code, Group, Invite, Policy};
use crate::proto::time::Time;

/// Microseconds since the Unix epoch, by the relay's clock.
type Moment = u64;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(in crate::proto::hub) struct RecordImage {
    capacity: u32,
    listed: bool,
    policy: Policy,
    description: String,
    data: BTreeMap<String, String>,
    password: Option<[u8; 32]>,
    group: Option<(String, Code)>,
    locked: Option<BTreeSet<PeerId>>,
    bans: BTreeMap<PeerId, Moment>,
    invites: BTreeMap<[u8; 16], (Option<PeerId>, u32, Moment)>,
    blank: bool,
}

impl Record {
    /// What is kept of it, at a time of a clock that began at a moment. Who owned it is not: who comes
    /// first owns it.
    pub(in crate::proto::hub) fn image(&self, (now, began): (Time, Moment)) -> RecordImage {
        let moment = |time: Time| began.saturating_add(time.as_micros());
        let bans = self.bans.iter().filter(|(_, until)| **until > now);
        let invites = self.invites.iter().filter(|(_, good)| good.until > now);
        let invites = invites
            .map(|(invite, good)| (invite.0, (good.peer, good.uses, moment(good.until))))
            .collect();
        RecordImage {
            capacity: self.capacity,
            listed: self.listed,
            policy: self.policy,
            description: self.description.clone(),
            data: self.data.clone(),
            password: self.password.map(|password| password.0),
            group: self.group.as_ref().map(|(group, code)| (group.as_str().to_owned(), *code)),
            locked: self.locked.clone(),
            bans: bans.map(|(peer, until)| (*peer, moment(*until))).collect(),
            invites,
            blank: self.blank,
        }
    }
}

impl RecordImage {
    /// The record again, by a clock that began at another moment; nothing if it is none.
    pub(in crate::proto::hub) fn record(self, (now, began): (Time, Moment)) -> Option<Record> {
        let time = |moment: Moment| Time::from_micros(moment.saturating_sub(began));
        let group = match self.group {
            Some((group, code)) => Some((Group::new(&group).ok()?, code)),
            None => None,
        };
        let bans = self.bans.into_iter().map(|(peer, until)| (peer, time(until)));
        let invites = self.invites.into_iter().map(|(invite, (peer, uses, until))| {
            (Invite(invite), Good { peer, uses, until: time(until) })
        });
        let mut record = Record {
            listed: self.listed,
            policy: self.policy,
            description: self.description,
            data: self.data,
            password: self.password.map(PasswordKey),
            group,
            locked: self.locked,
            bans: bans.collect(),
            invites: invites.collect(),
            blank: self.blank,
            ..Record::new(self.capacity)
        };
        record.tidy(now);
        Some(record)
    }
}
