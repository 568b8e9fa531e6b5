//! A member that says where something is.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use super::Motion;
use crate::proto::hub::ownership::Fold;
use crate::proto::id::{ClientNumber, PeerId};
use crate::proto::motion::name::Name;
use crate::proto::motion::pace::Pace;
use crate::proto::motion::packets::Arrivals;
use crate::proto::ownership::{Fence, Ledger, Session, prefixes};
use crate::proto::state::grid::{Kind, Truth};
use crate::proto::state::stream::{Incoming, StateFault};
use crate::proto::time::Time;
use crate::proto::wire::message::StateSection;

/// A value that counts.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) by: ClientNumber,
    pub(super) name: Name,
    pub(super) kind: Kind,
    pub(super) truth: Truth,
}

impl Held {
    /// What goes into the document of it.
    pub(super) fn fold(self) -> Option<Fold> {
        let Name { model, property, grid, ephemeral } = self.name;
        let value = grid.value(self.truth).filter(|_| !ephemeral)?;
        Some(Fold { model, property, value })
    }
}

/// A value as a member says it; nothing if it says it no more.
pub(super) type Said = (SmolStr, Kind, Option<Truth>);

/// A member that says something.
#[derive(Debug)]
pub(super) struct Source {
    peer: PeerId,
    session: Session,
    incoming: Incoming,
    pub(super) pace: Option<Pace>,
    pub(super) tick: u32,
    pub(super) beside: i8,
    pub(super) arrivals: Arrivals,
    /// The last packet with values that was taken.
    pub(super) received: [u8; 2],
    /// Of which grants it knew when it said what it says.
    known: Fence,
    /// Whether what did not count may count now.
    pub(super) looks_again: bool,
    /// What is different since the last tick.
    pub(super) fresh: BTreeMap<SmolStr, (Kind, Truth)>,
    /// Whether a frame came since the last tick.
    pub(super) stirred: bool,
    /// What it is to stop saying, because another's value counted before it. That does not count again,
    /// whatever becomes of the other's: its member stops saying it as soon as it hears of that.
    pub(super) yields: BTreeSet<SmolStr>,
    pub(super) yielded: Option<Time>,
    /// When what it said ends, if it is gone.
    pub(super) ends: Option<Time>,
    /// It is gone: nothing of what it said counts, and it stays until everybody knows.
    pub(super) over: bool,
}

impl Source {
    pub(super) fn new((peer, session): (PeerId, Session), limit: usize) -> Self {
        Self {
            peer,
            session,
            incoming: Incoming::new(limit),
            pace: None,
            tick: 0,
            beside: 0,
            arrivals: Arrivals::default(),
            received: [0; 2],
            known: Fence::NONE,
            looks_again: false,
            fresh: BTreeMap::new(),
            stirred: false,
            yields: BTreeSet::new(),
            yielded: None,
            ends: None,
            over: false,
        }
    }

    /// Who it is, in which of its lives.
    pub(super) const fn who(&self) -> (PeerId, Session) {
        (self.peer, self.session)
    }

    /// Whether its link is open.
    pub(super) const fn is_here(&self) -> bool {
        self.ends.is_none() && !self.over
    }

    /// It knew of grants up to one.
    pub(super) fn know(&mut self, known: Fence) {
        if known > self.known {
            (self.known, self.looks_again) = (known, true);
        }
    }

    /// Takes a frame. Returns what it says.
    pub(super) fn take(&mut self, section: StateSection) -> Result<Vec<Said>, StateFault> {
        let update = self.incoming.receive(&section.frame)?;
        if let Some(pace) = section.pace {
            self.pace = Some(Pace::read(pace).ok_or(StateFault::Malformed)?);
        }
        if self.pace.is_none() {
            return Err(StateFault::Malformed);
        }
        (self.tick, self.beside, self.stirred) = (update.tick, section.beside, true);
        let said = self.incoming.changes();
        Ok(said.map(|(entry, truth)| (entry.name.clone(), entry.kind, truth)).collect())
    }

    /// Everything that it says.
    fn all(&self) -> Vec<Said> {
        let values = self.incoming.values(self.tick);
        values.map(|(entry, truth)| (entry.name.clone(), entry.kind, Some(truth))).collect()
    }

    /// Leaves what it says no more out of what it yields.
    pub(super) fn forget_yields(&mut self) {
        if self.yields.is_empty() {
            return;
        }
        let said: BTreeSet<SmolStr> =
            self.incoming.values(self.tick).map(|(entry, _)| entry.name.clone()).collect();
        self.yields.retain(|name| said.contains(name));
    }

    /// How a value of its stands: it counts if its model is this member's by a grant that it knew of, or
    /// nobody's, and it knew that. So must what stands in its place, should that be a model.
    fn standing(&self, ledger: Ledger<'_>, name: &Name) -> Standing {
        if ledger.is_empty() {
            return Standing::Counts;
        }
        let place = name.place();
        let grants = prefixes(place.as_str()).filter_map(|path| ledger.grant(path));
        let mut newest = Fence::NONE;
        for grant in grants {
            if grant.held {
                let owner = (grant.holder, grant.session) == self.who();
                let knew = owner && grant.since() <= self.known;
                return if knew { Standing::Counts } else { Standing::Owned };
            }
            newest = newest.max(grant.token);
        }
        if newest <= self.known { Standing::Counts } else { Standing::Outdated }
    }
}

/// How a value of a member's stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    /// It counts, if nothing came since.
    Counts,
    /// Its model is another's, or this member's and it did not know: its owner says it again.
    Owned,
    /// Its model is nobody's, and this member did not know that it had been somebody's.
    Outdated,
}

impl Motion {
    /// Sees which of the values that a member says count.
    pub(super) fn judge(&mut self, ledger: Ledger<'_>, client: ClientNumber, said: Vec<Said>) {
        self.judge_all(ledger, client, said, false);
    }

    fn judge_all(
        &mut self,
        ledger: Ledger<'_>,
        client: ClientNumber,
        said: Vec<Said>,
        again: bool,
    ) {
        for (text, kind, truth) in said {
            let held = self.held.get(&text);
            let own = held.is_some_and(|held| held.by == client);
            let Some(truth) = truth else {
                if own {
                    self.release(&text);
                }
                continue;
            };
            let name = held.map_or_else(|| Name::parse(&text), |held| Some(held.name.clone()));
            let Some(name) = name.filter(|name| name.grid.kind() == kind) else { continue };
            let by = held.and_then(|held| self.sources.get(&held.by)).map(Source::who);
            let Some(source) = self.sources.get_mut(&client) else { return };
            let standing = source.standing(ledger, &name);
            // Another's counts as long as this is not newer; what this member said by an earlier link
            // gives way.
            let other = by.is_some_and(|by| by != source.who());
            let yields =
                if again { source.yields.contains(&text) } else { source.yields.remove(&text) };
            if standing == Standing::Counts && !(again && (other || yields)) {
                source.fresh.insert(text.clone(), (kind, truth));
                match self.held.get_mut(&text).filter(|_| own) {
                    Some(held) => held.truth = truth,
                    None => self.hold(client, &text, Held { by: client, name, kind, truth }),
                }
            } else if other && standing != Standing::Owned {
                source.yields.insert(text);
            }
        }
    }

    /// Sees again which values count, of those who own something or know something that they did not.
    pub(super) fn look_again(&mut self, ledger: Ledger<'_>) {
        let again = self.sources.iter_mut().filter(|(_, source)| source.is_here());
        let again: Vec<ClientNumber> = again
            .filter_map(|(client, source)| {
                std::mem::take(&mut source.looks_again).then_some(*client)
            })
            .collect();
        for client in again {
            let all = self.sources.get(&client).map(Source::all).unwrap_or_default();
            self.judge_all(ledger, client, all, true);
        }
    }
}
