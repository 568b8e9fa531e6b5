//! Ownership in a [`World`]: what peers do about it, and what must hold of it. The audit reads the
//! relay's log in its order and knows nothing of how the relay decides.

use std::collections::BTreeMap;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::Rng;

use super::World;
use super::action::{Action, Edit};
use super::playground::{Figure, Playground};
use crate::proto::change::{Action as Deed, Change, Key, ObjectId};
use crate::proto::datastore::Datastore;
use crate::proto::id::{DocumentId, PeerId};
use crate::proto::log::{ChangeLog, Origin};
use crate::proto::model::handle::{Handle, ModelRef};
use crate::proto::model::path::Path;
use crate::proto::ownership::{
    Authority, Claim, Grant, META, Mode, Ownership, Session, Terms, from_value,
};
use crate::proto::table::Table;
use crate::proto::time::Time;

/// Something that happens in a world in which models are owned. Numbers are taken modulo what there
/// is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Move {
    /// Something that has nothing to do with it.
    Other(Action),
    /// A peer claims a figure.
    Claim(u8, u8, Terms),
    /// A peer lets go of a figure.
    Release(u8, u8),
    /// A peer gives a figure to another.
    Give(u8, u8, u8),
    /// A peer adds a figure that is its own from the start.
    Add(u8, Terms),
    /// A peer claims the captain, a model that always stands.
    Captain(u8, Mode),
}

impl Move {
    /// A move by chance; `crashes` is whether the relay may end.
    pub fn draw(rng: &mut ChaCha12Rng, crashes: bool) -> Self {
        let mut bytes = [0; 8];
        rng.fill_bytes(&mut bytes);
        let [peer, n, other, bits, ..] = bytes;
        let terms = Terms {
            mode: [Mode::Instant, Mode::Instant, Mode::Exclusive, Mode::Fixed]
                [usize::from(bits) % 4],
            prevent_takeover: bits & 0x30 == 0,
            destroy_with_owner: bits & 0xc0 == 0,
            destroy_with_last: bits & 0x1c == 0,
        };
        match rng.next_u32() % 16 {
            0..=2 => Self::Claim(peer, n, terms),
            3 => Self::Release(peer, n),
            4 => Self::Give(peer, n, other),
            5 => Self::Add(peer, terms),
            6 => Self::Captain(peer, terms.mode),
            7..=9 => Self::Other(Action::Edit(peer, Edit::Change(n, other))),
            10 => Self::Other(Action::Edit(peer, Edit::Memo(n, other))),
            _ => Self::Other(loop {
                let action = Action::draw(rng);
                if crashes || action != Action::CrashRelay {
                    break action;
                }
            }),
        }
    }

    /// Lets it happen. What cannot be asked for is not.
    pub fn apply(self, world: &mut World) {
        let count = world.len().max(1);
        let host = |number: u8| usize::from(number) % count;
        match self {
            Self::Other(action) => action.apply(world),
            Self::Claim(peer, n, terms) => {
                world.edit(host(peer), |store| {
                    figure(store, n).map(|figure| store.claim(&figure, terms))
                });
            }
            Self::Release(peer, n) => {
                world.edit(host(peer), |store| {
                    figure(store, n).map(|figure| store.release(&figure))
                });
            }
            Self::Give(peer, n, to) => {
                let to = world.peer(host(to)).peer();
                world.edit(host(peer), |store| {
                    figure(store, n).map(|figure| store.transfer(&figure, to))
                });
            }
            Self::Add(peer, terms) => {
                world.edit(host(peer), |store| {
                    let players = store.root::<Playground>()?.players.clone();
                    let figure = players.add(store, Figure::default()).ok()?;
                    store.claim(&figure, terms).ok()
                });
            }
            Self::Captain(peer, mode) => {
                world.edit(host(peer), |store| {
                    let captain = store.root::<Playground>()?.captain.clone();
                    store.claim(&captain, Terms { mode, ..Terms::default() }).ok()
                });
            }
        }
    }
}

fn figure(store: &Datastore, n: u8) -> Option<ModelRef<Figure>> {
    let players = &store.root::<Playground>()?.players;
    let count = players.len(store).max(1);
    players.iter(store).nth(usize::from(n) % count).map(|(figure, _)| figure)
}

/// How long owners may be gone: the grace, and a moment.
const GONE: Duration = Duration::from_millis(6_100);

/// Watches a world from the outside.
#[derive(Debug, Default)]
pub struct Watch {
    /// Since when each peer is not there.
    gone: BTreeMap<usize, Time>,
    /// Since when the relay is there, and anybody at it.
    relay: Option<Time>,
}

impl Watch {
    /// What must hold at any moment.
    ///
    /// # Errors
    ///
    /// What does not hold.
    pub fn look(&mut self, world: &World) -> Result<(), String> {
        never_two(world)?;
        let now = world.now();
        // What was owned is known again once somebody has brought it.
        if world.hub().is_none_or(|hub| hub.rooms().all(|(_, members)| members == 0)) {
            self.relay = None;
            return Ok(());
        }
        let up = *self.relay.get_or_insert(now);
        for peer in 0..world.len() {
            if world.is_there(peer) {
                self.gone.remove(&peer);
                continue;
            }
            let since = (*self.gone.entry(peer).or_insert(now)).max(up);
            if now >= since + GONE && owns_something(world, world.peer(peer).peer()) {
                return Err(format!(
                    "peer {peer} is gone since {since:?} and still owns something"
                ));
            }
        }
        Ok(())
    }
}

fn owns_something(world: &World, peer: PeerId) -> bool {
    let room = world.room_key();
    let Some(log) = world.hub().and_then(|hub| hub.log(&room, DocumentId::MODELS)) else {
        return false;
    };
    log.ledger().granted_from("").any(|(_, grant)| grant.owner() == Some(peer))
}

/// Of an exclusive model there are never two that believe that it is theirs.
fn never_two(world: &World) -> Result<(), String> {
    let mut owners: BTreeMap<Path, usize> = BTreeMap::new();
    for peer in 0..world.len() {
        let store = world.peer(peer).store();
        for (model, grant) in store.log(DocumentId::MODELS).ledger().granted_from("") {
            let model = Path::parse(&model);
            let mine = matches!(world.ownership_at(peer, &model), Ownership::Confirmed { .. });
            if grant.terms.mode == Mode::Exclusive
                && mine
                && let Some(other) = owners.insert(model.clone(), peer)
            {
                return Err(format!(
                    "peers {other} and {peer} both believe that {model} is theirs"
                ));
            }
        }
    }
    Ok(())
}

/// Everything that stands in the relay's log was its author's to write, when it came; tokens only rise;
/// and nobody but the relay granted anything. Costs the epoch. For relays that did not forget.
///
/// # Errors
///
/// What does not hold.
pub fn audit(world: &World) -> Result<(), String> {
    let room = world.room_key();
    let Some(log) = world.hub().and_then(|hub| hub.log(&room, DocumentId::MODELS)) else {
        return Ok(());
    };
    let Some(relay) = log.authority() else {
        return Err("the relay's log has no authority".to_owned());
    };
    let mut begun = log.successor(log.scope().clone(), log.base().clone());
    while begun.lay() {}
    let granted = begun.ledger().granted_from("");
    let mut auditor = Auditor {
        log,
        relay,
        grants: granted.map(|(model, grant)| (Path::parse(&model), grant)).collect(),
        answers: answers(log, relay),
    };
    for index in log.laid()..log.len() {
        if let (Some(change), Some(entry)) = (log.change(index), log.entry(index))
            && let Some(Origin::Peer(author)) = log.author(&entry.actor).map(|of| &of.origin)
        {
            let session = Session::of(author.incarnation);
            if author.peer == relay.peer() {
                auditor.grant(&change)?;
            } else {
                auditor.check(&change, (author.peer, session))?;
            }
        }
    }
    Ok(())
}

/// Who was granted what for which claim, anywhere in a log.
fn answers(log: &ChangeLog, relay: &Authority) -> BTreeMap<(Path, u64), (PeerId, Session)> {
    let mut answers = BTreeMap::new();
    for change in (log.laid()..log.len()).filter_map(|index| log.change(index)) {
        for (model, grant) in grants_in(log.table(), relay, &change) {
            if let Some(grant) = grant.filter(|grant| grant.held) {
                answers.insert((model, grant.claim), (grant.holder, grant.session));
            }
        }
    }
    answers
}

fn grants_in(table: &Table, relay: &Authority, change: &Change) -> Vec<(Path, Option<Grant>)> {
    let map = Path::parse(META).join(relay.key());
    let grants = change.operations.iter().filter_map(|operation| {
        let object = table.object(&operation.object)?;
        let Key::Map(key) = &operation.key else { return None };
        let said = match &operation.action {
            Deed::Put(value) => Some(from_value(value)?),
            Deed::Delete
            | Deed::Counter(_)
            | Deed::MakeMap
            | Deed::MakeText
            | Deed::Increment(_) => None,
        };
        (*table.path(object) == map).then(|| (Path::parse(key), said))
    });
    grants.collect()
}

struct Auditor<'a> {
    log: &'a ChangeLog,
    relay: &'a Authority,
    grants: BTreeMap<Path, Grant>,
    answers: BTreeMap<(Path, u64), (PeerId, Session)>,
}

impl Auditor<'_> {
    fn grant(&mut self, change: &Change) -> Result<(), String> {
        for (model, grant) in grants_in(self.log.table(), self.relay, change) {
            let Some(grant) = grant else {
                self.grants.remove(&model);
                continue;
            };
            let before = self.grants.insert(model.clone(), grant);
            if before.is_some_and(|before| before.token >= grant.token) {
                return Err(format!("the token of {model} went back"));
            }
        }
        Ok(())
    }

    fn check(&self, change: &Change, author: (PeerId, Session)) -> Result<(), String> {
        let table = self.log.table();
        let claimed: Vec<Path> = self.claimed(change, author);
        for (at, operation) in change.operations.iter().enumerate() {
            let Key::Map(key) = &operation.key else { continue };
            let path = match table.object(&operation.object) {
                Some(object) => table.path(object).join(key),
                None => return Err(format!("operation {at} stands nowhere: {change:?}")),
            };
            if path.keys().next().is_some_and(|first| first == META) {
                continue;
            }
            let mut above: Vec<&Path> =
                self.grants.keys().filter(|model| model.contains(&path)).collect();
            above.sort_by_key(|model| model.as_str().len());
            let owner = above
                .into_iter()
                .filter_map(|model| Some((model, self.grants.get(model)?)))
                .find(|(_, grant)| grant.held);
            let Some((model, grant)) = owner else { continue };
            let mine = (grant.holder, grant.session) == author;
            if !mine && !claimed.iter().any(|claimed| claimed.contains(&path)) {
                return Err(format!("{author:?} wrote {path}, and {model} is {grant:?}"));
            }
        }
        Ok(())
    }

    /// What a change claims that was granted to its author for it.
    fn claimed(&self, change: &Change, author: (PeerId, Session)) -> Vec<Path> {
        let claims = change.operations.iter().enumerate().filter_map(|(at, operation)| {
            let Key::Map(key) = &operation.key else { return None };
            let Deed::Put(value) = &operation.action else { return None };
            let ObjectId::Made(_) = operation.object else { return None };
            from_value::<Claim>(value)?;
            let model = Path::parse(key);
            let answer = self.answers.get(&(model.clone(), change.id(at).counter))?;
            (*answer == author).then_some(model)
        });
        claims.collect()
    }
}

/// Whom a handle's model belongs to, as the relay has it: for tests.
#[must_use]
pub fn owner_at_relay(world: &World, model: &impl Handle) -> Option<PeerId> {
    let room = world.room_key();
    let log = world.hub()?.log(&room, DocumentId::MODELS)?;
    log.ledger().grant(model.path()?.as_str())?.owner()
}
