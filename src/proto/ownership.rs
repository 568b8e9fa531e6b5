//! Ownership as it stands in the document of the models: what peers claim, and what the relay
//! grants. `datastore-spec/ownership.md` has the rules.
//!
//! A claim is a value that any peer writes; a grant one that only the relay's own actors write, under
//! a key that names the relay, so that a forged one is told from its place alone. Grants have
//! **tokens** that only rise. What a writer knew of them follows from what its change depends on:
//! a token costs a write nothing, and cannot be lied about.

use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, format_smolstr};

use crate::proto::change::OpId;
use crate::proto::id::PeerId;
use crate::proto::model::path::Path;
use crate::proto::model::value::Value;
use crate::proto::table::{Cell, Live, ObjectIndex, Table};
use crate::proto::time::Time;

/// The root's key of the map that holds what is said about the room's models, for tools and here.
pub const META: &str = "0";
/// The key of the claims there: a map from a model's path to what peers ask for it.
pub const CLAIMS: &str = "@claims";
/// What the keys begin with that are not the names of types.
pub const RESERVED: char = '@';

/// How many low bits of an incarnation count the actors that one session has used up.
const SESSION_BITS: u32 = 16;

/// A life of a peer: from its start to its end, over all its links. Two processes of one key are two
/// sessions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Session(pub u64);

impl Session {
    /// The session that an incarnation is of.
    #[must_use]
    pub const fn of(incarnation: u64) -> Self {
        Self(incarnation >> SESSION_BITS)
    }

    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Its first incarnation. Of a session's number the lowest 48 bits count.
    #[must_use]
    pub const fn first(self) -> u64 {
        self.0 << SESSION_BITS
    }
}

/// A fencing token: which grant. Those of later boots of a relay are higher, and within a boot later
/// ones.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Fence(pub u64);

impl Fence {
    /// Below every grant.
    pub const NONE: Self = Self(0);

    /// The `counter`th of a boot.
    #[must_use]
    pub const fn new(boot: u32, counter: u32) -> Self {
        Self((boot as u64) << 32 | counter as u64)
    }

    /// The boot of the relay that gave it.
    #[must_use]
    pub const fn boot(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Which one of that boot's it is.
    #[must_use]
    pub fn counter(self) -> u32 {
        u32::try_from(self.0 & u64::from(u32::MAX)).unwrap_or(u32::MAX)
    }
}

/// How an owned model changes hands.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub enum Mode {
    /// Anyone may take it, at once; the owner before may believe for a moment that it still owns.
    #[default]
    Instant,
    /// It is handed over only when its owner has let go, or cannot believe any more that it owns:
    /// there are never two that both do.
    Exclusive,
    /// Only its first owner may own it.
    Fixed,
    /// It is a place where nothing stands yet, kept for who is to fill it. It is granted nowhere else,
    /// and forgotten as soon as it is let go of.
    Reserved,
}

/// On what terms a model is owned. The first claim of a model that nobody owns sets them.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Terms {
    /// How it changes hands.
    pub mode: Mode,
    /// Nobody may take it from its owner, who must let go first.
    pub prevent_takeover: bool,
    /// It is removed when its owner leaves the room, however that happens.
    pub destroy_with_owner: bool,
    /// It is removed when the last peer leaves the room.
    pub destroy_with_last: bool,
}

impl Terms {
    /// Those of a place that is kept for a moment, until something stands there.
    pub const RESERVED: Self = Self {
        mode: Mode::Reserved,
        prevent_takeover: true,
        destroy_with_owner: false,
        destroy_with_last: false,
    };
}

/// What a peer asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Claim {
    /// To own a model.
    Take(Terms),
    /// To own it no more.
    Release,
    /// That another owns it.
    Give(PeerId),
    /// To own it no more, and that the change which says so comes in only if this peer does own it
    /// till then.
    Redeem,
}

impl Claim {
    /// Whether it asks for a place where nothing is to stand.
    #[must_use]
    pub const fn reserves(&self) -> bool {
        matches!(self, Self::Take(Terms { mode: Mode::Reserved, .. }))
    }
}

/// What a relay says of a model.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Grant {
    /// Which grant.
    pub token: Fence,
    /// How far below [`Self::token`] the token is since which the holder has had the model without a
    /// break: 0 unless the relay only confirmed it anew.
    pub kept: u64,
    /// Who owns it, or did last.
    pub holder: PeerId,
    /// In which of its lives.
    pub session: Session,
    /// Whether the holder owns it now.
    pub held: bool,
    /// On what terms.
    pub terms: Terms,
    /// The counter of the operation of the claim that this answers; 0 if it answers none.
    pub claim: u64,
}

impl Grant {
    /// Since which token the holder has had the model.
    #[must_use]
    pub const fn since(&self) -> Fence {
        Fence(self.token.0.saturating_sub(self.kept))
    }

    /// The owner, if there is one.
    #[must_use]
    pub fn owner(&self) -> Option<PeerId> {
        self.held.then_some(self.holder)
    }
}

/// What a claim or grant is in a document.
#[must_use]
pub fn to_value<T: Serialize>(said: &T) -> Value {
    Value::Bytes(postcard::to_allocvec(said).unwrap_or_default())
}

/// The claim or grant that a value is, if it is one, with nothing behind it.
#[must_use]
pub fn from_value<'a, T: Deserialize<'a>>(value: &'a Value) -> Option<T> {
    match value {
        Value::Bytes(bytes) => match postcard::take_from_bytes(bytes) {
            Ok((said, [])) => Some(said),
            Ok(_) | Err(_) => None,
        },
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Uint(_)
        | Value::Float(_)
        | Value::Text(_) => None,
    }
}

/// The relay whose grants count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authority {
    peer: PeerId,
    key: SmolStr,
}

impl Authority {
    /// The authority of a relay.
    #[must_use]
    pub fn of(peer: PeerId) -> Self {
        Self { peer, key: format_smolstr!("{RESERVED}{peer}") }
    }

    /// The relay.
    #[must_use]
    pub const fn peer(&self) -> PeerId {
        self.peer
    }

    /// The key of its grants in [`META`].
    #[must_use]
    pub const fn key(&self) -> &SmolStr {
        &self.key
    }
}

/// The claims and grants of a document. Cheap to make, and to ask of a room that has none.
#[derive(Clone, Copy, Debug)]
pub struct Ledger<'a> {
    table: &'a Table,
    grants: Option<ObjectIndex>,
    claims: Option<ObjectIndex>,
}

impl<'a> Ledger<'a> {
    /// What a table of models says, of the grants those of `authority`.
    #[must_use]
    pub fn of(table: &'a Table, authority: Option<&Authority>) -> Self {
        let meta = table.below(ObjectIndex::ROOT, META);
        let grants =
            meta.zip(authority).and_then(|(meta, authority)| table.below(meta, authority.key()));
        let claims = meta.and_then(|meta| table.below(meta, CLAIMS));
        Self { table, grants, claims }
    }

    /// Whether nothing was ever granted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.grants.is_none()
    }

    /// What was granted of the model at a path.
    #[must_use]
    pub fn grant(&self, path: &str) -> Option<Grant> {
        let values = self.table.all(self.grants?, path).iter();
        // Of two boots that did not know of each other the later counts.
        values.filter_map(granted).max_by_key(|grant| grant.token)
    }

    /// The outermost owned model on the way to a path, the path itself included: its owner decides.
    #[must_use]
    pub fn outermost<'p>(&self, path: &'p str) -> Option<(&'p str, Grant)> {
        self.grants?;
        prefixes(path).find_map(|prefix| {
            self.grant(prefix).filter(|grant| grant.held).map(|grant| (prefix, grant))
        })
    }

    /// The map of the claims, if there is one.
    #[must_use]
    pub const fn claims_map(&self) -> Option<ObjectIndex> {
        self.claims
    }

    /// Every model of which something was granted, from a path on, in the order of paths.
    pub fn granted_from(self, path: &str) -> impl Iterator<Item = (SmolStr, Grant)> {
        let table = self.table;
        let keys = self.grants.map(|grants| table.keys_from(grants, path));
        keys.into_iter().flatten().filter_map(move |key| Some((key.clone(), self.grant(key)?)))
    }

    /// What was granted of a model and of everything below it.
    pub fn granted_below(self, model: &Path) -> impl Iterator<Item = (Path, Grant)> {
        let from = self.granted_from(model.as_str());
        from.map(|(path, grant)| (Path::parse(&path), grant))
            .take_while(|(path, _)| path.as_str().starts_with(model.as_str()))
            .filter(|(path, _)| model.contains(path))
    }

    /// What peers ask for the model at a path, the highest operation last.
    pub fn claims(&self, path: &str) -> impl Iterator<Item = (OpId, Claim)> + use<'a> {
        let values = self.claims.map_or(&[][..], |claims| self.table.all(claims, path));
        values.iter().filter_map(|live| match &live.cell {
            Cell::Value(value) => Some((live.id, from_value(value)?)),
            Cell::Counter(_) | Cell::Object(_) => None,
        })
    }

    /// The model that a place in the table is said of, if the place is a claim or a grant.
    #[must_use]
    pub fn subject(&self, object: ObjectIndex, key: &str) -> Option<Path> {
        let said = Some(object) == self.grants || Some(object) == self.claims;
        said.then(|| Path::parse(key))
    }
}

fn granted(live: &Live) -> Option<Grant> {
    match &live.cell {
        Cell::Value(value) => from_value(value),
        Cell::Counter(_) | Cell::Object(_) => None,
    }
}

/// The paths on the way to one, from the root on, itself last.
pub fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let inner = path.match_indices('/').map(|(at, _)| &path[..at]);
    let whole = (!path.is_empty()).then_some(path);
    std::iter::once("").chain(inner).chain(whole)
}

/// How a peer sees who owns a model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ownership {
    /// Nobody.
    Free,
    /// This peer has asked for it, and was not answered.
    Claimed,
    /// This peer owns it: nobody else does before `until`, by this process's clock.
    Confirmed {
        /// The grant.
        token: Fence,
        /// How long that holds, unless it is said again; it is, as long as the relay is there.
        until: Time,
    },
    /// Another peer owns it, or has asked for it.
    Remote {
        /// Who.
        peer: PeerId,
        /// Whether the relay has said so.
        confirmed: bool,
    },
    /// This peer owned it when the relay was last heard.
    Stale {
        /// The grant.
        token: Fence,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_comes_first() {
        assert_eq!(prefixes("4/x/7/y").collect::<Vec<_>>(), ["", "4", "4/x", "4/x/7", "4/x/7/y"]);
        assert_eq!(prefixes("").collect::<Vec<_>>(), [""]);
    }

    #[test]
    fn a_later_boot_is_above_all_of_an_earlier_one() {
        assert!(Fence::new(2, 0) > Fence::new(1, u32::MAX));
        assert_eq!(Fence::new(7, 9).boot(), 7);
    }

    #[test]
    fn what_is_said_is_read_back_and_nothing_else() {
        let grant = Grant {
            token: Fence::new(1, 2),
            kept: 1,
            holder: PeerId::new([3; 32]),
            session: Session(4),
            held: true,
            terms: Terms { destroy_with_owner: true, ..Terms::default() },
            claim: 5,
        };
        assert_eq!(from_value(&to_value(&grant)), Some(grant));
        assert_eq!(grant.since(), Fence::new(1, 1));
        let Value::Bytes(mut bytes) = to_value(&Claim::Release) else { unreachable!() };
        bytes.push(0);
        assert_eq!(from_value::<Claim>(&Value::Bytes(bytes)), None);
        assert_eq!(from_value::<Claim>(&Value::Uint(1)), None);
    }
}
