//! Who wrote what: actors derived from peers, signatures that cover all that an author wrote, and
//! well-known objects that everybody writes the same.

use crate::proto::change::{
    Action, Change, Key, ObjectId, OpId, Operation, Predecessors, Sealed, chunk,
};
use crate::proto::id::{AppId, DocumentId, EpochId, Identity, PeerId, RoomName, digest};
use crate::proto::model::value::Value;
use crate::proto::wire::bounded::Blob;
use crate::proto::wire::message::{
    Actor, Hash, Introduction, Made, SignatureRecord, WellKnownRecord,
};

/// What every identifier in one room's documents is derived from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scope {
    app: AppId,
    room: RoomName,
    epoch: EpochId,
}

impl Scope {
    /// The scope of a room's first epoch.
    #[must_use]
    pub fn first(app: AppId, room: RoomName) -> Self {
        let epoch = EpochId::first(app, &room);
        Self { app, room, epoch }
    }

    /// The scope of the epoch that begins when a document is cut at `heads`, ascending, by the holder
    /// of a room's `lease`.
    #[must_use]
    pub fn next(&self, document: DocumentId, heads: &[Hash], lease: u64) -> Self {
        let (document, lease) = (document.0.to_le_bytes(), lease.to_le_bytes());
        let mut parts: Vec<&[u8]> = vec![&self.epoch.0, &document, &lease];
        parts.extend(heads.iter().map(|head| &head[..]));
        let epoch = EpochId(digest("parlor cut", &parts));
        Self { epoch, ..self.clone() }
    }

    /// The scope of another epoch of the same room.
    #[must_use]
    pub fn of(&self, epoch: EpochId) -> Self {
        Self { epoch, ..self.clone() }
    }

    /// The epoch.
    #[must_use]
    pub const fn epoch(&self) -> EpochId {
        self.epoch
    }

    /// The actor that writes what the epoch begins with: nobody's.
    #[must_use]
    pub fn base_actor(&self) -> Actor {
        first_half(digest("parlor base", &[&self.epoch.0]))
    }

    /// The room's name.
    #[must_use]
    pub const fn room(&self) -> &RoomName {
        &self.room
    }

    /// The actor with which an incarnation of a peer writes.
    #[must_use]
    pub fn actor(&self, author: &Introduction) -> Actor {
        let room = self.room.as_str().as_bytes();
        let incarnation = author.incarnation.to_le_bytes();
        first_half(digest(
            "parlor actor",
            &[&self.app.0, room, &self.epoch.0, author.peer.as_bytes(), &incarnation],
        ))
    }

    /// Signs for all that `actor` wrote up to the change `change`, which is its `sequence`th.
    #[must_use]
    pub fn sign(
        &self,
        identity: &Identity,
        document: DocumentId,
        (actor, sequence, change): (Actor, u64, Hash),
    ) -> SignatureRecord {
        let signature = identity.sign(&self.signed(document, &actor, sequence, &change));
        let signature = Blob::new(signature.to_vec().into()).unwrap_or_default();
        SignatureRecord { actor, sequence, change, signature }
    }

    /// Whether a signature is `peer`'s.
    #[must_use]
    pub fn verifies(&self, peer: PeerId, document: DocumentId, record: &SignatureRecord) -> bool {
        let message = self.signed(document, &record.actor, record.sequence, &record.change);
        <&[u8; 64]>::try_from(&*record.signature)
            .is_ok_and(|signature| peer.verifies(&message, signature))
    }

    fn signed(
        &self,
        document: DocumentId,
        actor: &Actor,
        sequence: u64,
        change: &Hash,
    ) -> [u8; 32] {
        digest(
            "parlor signature",
            &[
                &self.app.0,
                self.room.as_str().as_bytes(),
                &document.0.to_le_bytes(),
                &self.epoch.0,
                actor,
                &sequence.to_le_bytes(),
                change,
            ],
        )
    }

    /// The change that creates a well-known object, the same on every peer: its actor is derived
    /// from where and what the object is, its sequence is 1, its time 0, it depends on the creation
    /// of its parent alone, and `parent_end` is that change's last operation.
    #[must_use]
    pub fn well_known(&self, record: &WellKnownRecord, parent_end: u64) -> Sealed {
        let operation = Operation {
            object: record.parent.as_ref().map_or(ObjectId::Root, |parent| {
                ObjectId::Made(OpId { counter: parent.counter, actor: parent.actor })
            }),
            key: Key::Map((*record.key).into()),
            insert: false,
            action: match &record.made {
                Made::Map => Action::MakeMap,
                Made::Text => Action::MakeText,
                Made::Counter => Action::Counter(0),
                Made::Record(text) => Action::Put(Value::Text((**text).to_owned())),
            },
            predecessors: Predecessors::new(),
        };
        chunk::encode(Change {
            actor: self.well_known_actor(record),
            sequence: 1,
            start: parent_end + 1,
            deps: record.parent.iter().map(|parent| parent.change).collect(),
            operations: vec![operation],
        })
    }

    /// The actor of the change that creates a well-known object.
    #[must_use]
    pub fn well_known_actor(&self, record: &WellKnownRecord) -> Actor {
        let (actor, counter) =
            record.parent.as_ref().map_or(([0; 16], 0), |parent| (parent.actor, parent.counter));
        let (kind, content): (&[u8], &[u8]) = match &record.made {
            Made::Map => (b"map", b""),
            Made::Text => (b"text", b""),
            Made::Counter => (b"counter", b""),
            Made::Record(text) => (b"record", text.as_bytes()),
        };
        first_half(digest(
            "parlor well-known",
            &[&self.epoch.0, &actor, &counter.to_le_bytes(), record.key.as_bytes(), kind, content],
        ))
    }
}

fn first_half(digest: [u8; 32]) -> Actor {
    let mut actor = [0; 16];
    actor.copy_from_slice(&digest[..16]);
    actor
}
