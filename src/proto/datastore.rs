//! A room's models and texts, as one peer holds them.
//!
//! Reads borrow from a typed mirror. Edits change the mirror at once and are written to the
//! documents when the network frame is over, as one change of each; what others wrote is let into
//! the log as it comes and refreshed in the mirror, except where this peer's own edits of the frame
//! stand. Both documents are read and written through their logs' tables; automerge's documents get
//! the same changes in batches.

mod collections;
mod edit;
mod element;
mod epoch;
mod hold;
pub mod intent;
mod life;
pub mod mirror;
mod moving;
mod ownership;
mod proposal;
mod refresh;
mod rollback;
mod script;
mod seed;
mod signal;
pub mod tree;
mod write;

use std::collections::{BTreeMap, VecDeque};

use automerge::Automerge;
use sha2::{Digest, Sha256};

pub use self::edit::EditError;
pub(in crate::proto) use self::edit::bind;
pub use self::element::ElementId;
use self::epoch::Brought;
pub use self::epoch::Kept;
use self::hold::Waiting;
use self::intent::Pending;
pub use self::life::Past;
use self::mirror::{Mirror, Node};
use self::moving::Moving;
pub use self::moving::{Moved, Mover};
use self::ownership::Estate;
pub use self::ownership::{ClaimError, Holding};
use self::proposal::Proposals;
pub(in crate::proto) use self::script::Script;
pub(crate) use self::signal::Given;
use self::signal::Outbox;
pub use self::signal::SignalError;
pub(in crate::proto) use self::write::perform;
use crate::proto::authorship::Scope;
use crate::proto::config::Limits;
use crate::proto::cut::Cut;
use crate::proto::document::{self, Image, ImageError};
use crate::proto::event::{self, Event, Origin};
use crate::proto::id::{DocumentId, PeerId};
use crate::proto::log::{ChangeLog, Index};
use crate::proto::model::handle::{Handle, ModelRef, Presence};
use crate::proto::model::path::Path;
use crate::proto::model::{Model, Shape};
use crate::proto::reason::{ChangeFault, Denial};
use crate::proto::table::{Table, Touched};
use crate::proto::wire::message::{Actor, EntryRecord, Introduction, SignatureRecord};

/// A room's models and texts.
#[derive(Debug)]
pub struct Datastore {
    author: Introduction,
    /// As whom it writes to the texts: another incarnation, if something in one of the documents was
    /// not let in.
    text_author: Introduction,
    /// With which the author writes to the models in the present epoch.
    actor: Actor,
    /// With which the author writes to the texts.
    text_actor: Actor,
    shape: Shape,
    models: ChangeLog,
    texts: ChangeLog,
    images: [Image; 2],
    mirror: Mirror,
    moving: Moving,
    pending: Pending,
    waiting_texts: Waiting,
    events: VecDeque<Event>,
    /// While a room is being joined, what comes is one `Ready` and not an event each.
    quiet: bool,
    limits: Limits,
    event_capacity: usize,
    created: u64,
    described: bool,
    wakes: bool,
    written: [Vec<Index>; 2],
    /// A cut of a document's history on its way.
    cut: [Option<Cut>; 2],
    /// How often that of the models was cut.
    cuts: u32,
    /// Logs of epochs that are over, until their memory is given back.
    left: Vec<ChangeLog>,
    /// How many changes of actors of earlier epochs there were, by the first half of the actor.
    departed: BTreeMap<[u8; 8], u64>,
    /// How many changes of texts there were in earlier epochs, by who wrote them.
    typed: BTreeMap<PeerId, u64>,
    /// What is compared with what the room has, once all of that is here.
    brought: Brought,
    estate: Estate,
    proposals: Proposals,
    outbox: Outbox,
    /// Where what is read anew comes from.
    origin: Origin,
}

impl Datastore {
    /// An empty room whose root model has a `shape`, written to by `author`.
    #[must_use]
    pub fn new(
        scope: &Scope,
        author: Introduction,
        shape: Shape,
        limits: Limits,
        event_capacity: usize,
    ) -> Self {
        Self {
            author,
            text_author: author,
            actor: scope.actor(&author),
            text_actor: scope.actor(&author),
            models: ChangeLog::new(scope.clone(), DocumentId::MODELS, limits.clone()),
            texts: ChangeLog::new(scope.clone(), DocumentId::TEXTS, limits.clone()),
            images: [Image::new(), Image::new()],
            mirror: Mirror::new(&shape),
            moving: Moving::default(),
            shape,
            pending: Pending::default(),
            waiting_texts: Waiting::default(),
            events: VecDeque::new(),
            quiet: false,
            limits,
            event_capacity,
            created: 0,
            described: false,
            wakes: false,
            written: [Vec::new(), Vec::new()],
            cut: [None, None],
            cuts: 0,
            left: Vec::new(),
            departed: BTreeMap::new(),
            typed: BTreeMap::new(),
            brought: Brought::default(),
            estate: Estate::default(),
            proposals: Proposals::default(),
            outbox: Outbox::default(),
            origin: Origin::Remote,
        }
    }

    /// The root model, whose type is the application's own.
    ///
    /// Nothing if `M` is not the type that the room was made with.
    #[must_use]
    pub fn root<M: Model>(&self) -> Option<&M> {
        self.model(&Path::root())
    }

    /// A model, or nothing if it is not here or of another type. Costs a lookup.
    #[must_use]
    pub fn get<T: Model>(&self, model: &ModelRef<T>) -> Option<&T> {
        self.model(model.path()?)
    }

    fn model<T: Model>(&self, path: &Path) -> Option<&T> {
        match self.mirror.node(path)? {
            Node::Model(model) => model.data.as_any().downcast_ref(),
            Node::Collection { .. } | Node::List(_) | Node::Text(_) => None,
        }
    }

    /// Whether the model of a reference is here, has not come yet, or was removed.
    ///
    /// An absent element of a set or list counts as gone once the change that made it is in the
    /// log, and an absent dictionary entry or a reference to nowhere as missing: its key may be
    /// used again.
    #[must_use]
    pub fn presence<T: Model>(&self, model: &ModelRef<T>) -> Presence {
        let Some(path) = model.path() else {
            return Presence::Missing;
        };
        let mut at = Path::root();
        for key in path.keys() {
            at = at.join(&key);
            if self.mirror.node(&at).is_none()
                && ElementId::parse(&key).is_some_and(|element| self.made(&element))
            {
                return Presence::Gone;
            }
        }
        if self.mirror.node(path).is_some() { Presence::Present } else { Presence::Missing }
    }

    fn made(&self, element: &ElementId) -> bool {
        let mut authors = self.models.authors();
        authors.any(|(actor, author)| {
            actor[..8] == element.actor && author.changes.len() as u64 >= element.sequence
        }) || self.departed.get(&element.actor).is_some_and(|count| *count >= element.sequence)
    }

    /// Every model, text and collection, in the order of paths: for tools and oracles.
    #[must_use]
    pub const fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    /// A mirror built from the table and the texts alone. Equal to [`Self::mirror`] whenever no edit
    /// is pending and no text waits: an oracle of every test.
    #[must_use]
    pub fn rebuilt(&self) -> Mirror {
        let mut mirror = Mirror::new(&self.shape);
        refresh::load_all(&mut mirror, self.models.table(), self.texts.table());
        self.moving.apply(&mut mirror, &Path::root());
        mirror
    }

    /// Where a table and a document differ that automerge makes of the same changes, saves and
    /// loads again; nothing if they are equal: the other oracle. Costs the whole history.
    #[must_use]
    pub fn difference(&self) -> Option<String> {
        [&self.models, &self.texts].into_iter().find_map(|log| {
            let mut image = Image::new();
            let saved = match image.of(log) {
                Ok(document) => document.save(),
                Err(error) => return Some(error.to_string()),
            };
            match Automerge::load(&saved) {
                Ok(document) => log.table().difference(&document),
                Err(error) => Some(error.to_string()),
            }
        })
    }

    /// The log of a document.
    #[must_use]
    pub const fn log(&self, document: DocumentId) -> &ChangeLog {
        if document.0 == DocumentId::TEXTS.0 { &self.texts } else { &self.models }
    }

    /// Every value of the models, with those that lost to others.
    #[must_use]
    pub const fn table(&self) -> &Table {
        self.models.table()
    }

    /// Every text.
    #[must_use]
    pub const fn text_table(&self) -> &Table {
        self.texts.table()
    }

    /// The document of the models, brought up to date. Costs what came since the last time.
    ///
    /// # Errors
    ///
    /// When automerge refuses a change that the log let in, which its rules exclude.
    pub fn models(&mut self) -> Result<&Automerge, ImageError> {
        self.images[0].of(&self.models)
    }

    /// The document of the texts, brought up to date. Costs what came since the last time, and where
    /// a text is long, its length for each change.
    ///
    /// # Errors
    ///
    /// As [`Self::models`].
    pub fn texts(&mut self) -> Result<&Automerge, ImageError> {
        self.images[1].of(&self.texts)
    }

    /// SHA-256 over every value and text, in the order of paths, as the documents hold them: equal
    /// documents, equal hashes, in whatever order their changes came. What no model shows counts
    /// too: texts of models that are gone, and collections that were made and are empty. Costs the
    /// size of the room.
    #[must_use]
    pub fn state_hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for (path, line) in tree::lines(self.models.table(), self.texts.table()) {
            for part in [path.as_str(), &line] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part.as_bytes());
            }
        }
        hash.finalize().into()
    }

    /// Lets in what others wrote. Returns the places of what is news in the log.
    ///
    /// # Errors
    ///
    /// When an entry breaks a rule; those before it are in.
    pub fn receive<'a>(
        &mut self,
        document: DocumentId,
        entries: impl IntoIterator<Item = &'a EntryRecord>,
    ) -> Result<Vec<Index>, ChangeFault> {
        let mut places = Vec::new();
        let mut touched = Touched::new();
        let mut outcome = Ok(());
        for entry in entries {
            match document::admit(self.log_mut(document), entry) {
                Ok(Some(admitted)) => {
                    places.push(admitted.index);
                    touched.extend(admitted.touched);
                }
                Ok(None) => {}
                Err(fault) => {
                    outcome = Err(fault);
                    break;
                }
            }
        }
        // What was let in is in the log, so it must show whatever came after it.
        if document == DocumentId::TEXTS {
            self.receive_texts(&places);
        } else {
            let subjects = self.subjects(&touched);
            self.refresh(&touched, &[]);
            self.hear(subjects);
        }
        outcome.map(|()| places)
    }

    /// With which the author writes to a document.
    const fn actor_in(&self, document: DocumentId) -> &Actor {
        if document.0 == DocumentId::TEXTS.0 { &self.text_actor } else { &self.actor }
    }

    const fn log_mut(&mut self, document: DocumentId) -> &mut ChangeLog {
        if document.0 == DocumentId::TEXTS.0 { &mut self.texts } else { &mut self.models }
    }

    /// Ends the frame: goes on with what was proposed, writes what is pending, then applies the texts
    /// that waited.
    pub fn flush(&mut self) {
        self.advance();
        self.write_out();
        self.wakes = false;
        let due = self.waiting_texts.take_due();
        self.apply_texts(due);
    }

    /// Writes what is pending, and lets nothing else happen.
    fn write_out(&mut self) {
        let before = DocumentId::ALL.map(|document| self.log(document).len());
        if !self.pending.is_empty() {
            self.write();
        }
        for (place, document) in DocumentId::ALL.into_iter().enumerate() {
            let after = self.log(document).len();
            self.written[place].extend(before[place]..after);
        }
    }

    /// What one edit may take of a change, and what may wait before it: a third of the limit each.
    /// The rest is for what a change carries beside its operations.
    const fn share(&self) -> usize {
        self.limits.change / 3
    }

    /// Writes what is pending if it leaves no room for another edit in the same change. Before an
    /// edit is looked at, so that nothing it is based on moves.
    fn make_room(&mut self) {
        if self.pending.size() > self.share() {
            self.write_now();
        }
    }

    /// Writes out what waits, in the middle of a frame.
    fn write_now(&mut self) {
        // What waits must fit one change: a cut that takes so long is finished at once.
        while !self.step_cut(DocumentId::MODELS, usize::MAX) {}
        self.write_out();
    }

    /// The places in the log of a document of what this peer wrote since this was asked.
    pub fn take_written(&mut self, document: DocumentId) -> Vec<Index> {
        std::mem::take(&mut self.written[document.place()])
    }

    /// Who writes to a document.
    #[must_use]
    pub const fn author_of(&self, document: DocumentId) -> &Introduction {
        if document.0 == DocumentId::TEXTS.0 { &self.text_author } else { &self.author }
    }

    /// Writes as another incarnation from now on.
    pub(crate) fn set_author(&mut self, author: Introduction) {
        (self.author, self.text_author) = (author, author);
        self.actor = self.models.scope().actor(&author);
        self.text_actor = self.texts.scope().actor(&author);
    }

    /// With which incarnation this peer wrote what nobody confirmed last of a document; the present
    /// one, if there is nothing.
    #[must_use]
    pub fn wrote_as(&self, document: DocumentId) -> u64 {
        let log = self.log(document);
        let pending = log.pending().filter_map(|place| log.author(&log.entry(place)?.actor));
        let own = pending.filter_map(|author| author.origin.is_of(self.author.peer));
        own.last().unwrap_or_else(|| self.author_of(document).incarnation)
    }

    /// The first `count` changes that this peer wrote as an incarnation in the present epoch have
    /// their places, and so has what they follow; no others of them have.
    pub fn confirm_included(&mut self, document: DocumentId, incarnation: u64, count: u64) {
        let author = Introduction { incarnation, ..self.author };
        let log = self.log_mut(document);
        let actor = log.scope().actor(&author);
        let written = log.author(&actor).map_or(&[][..], |author| &author.changes);
        let last = usize::try_from(count).unwrap_or(usize::MAX).min(written.len());
        let last = last.checked_sub(1).and_then(|last| log.entry(written[last]));
        // With all that it follows, whoever wrote that.
        if let Some(hash) = last.map(|entry| entry.hash) {
            log.confirm_covered(&[hash]);
        }
        log.confirm_first(&actor, usize::try_from(count).unwrap_or(usize::MAX));
    }

    /// Keeps this peer's own word for its changes. Returns whether it was news.
    pub(crate) fn admit_own_signature(
        &mut self,
        document: DocumentId,
        record: &SignatureRecord,
    ) -> bool {
        matches!(self.log_mut(document).admit_signature(record), Ok(true))
    }

    /// Whether [`Self::flush`] has anything to do.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.wakes || self.pending.is_due() || self.has_proposals_due()
    }

    /// Whether this peer has edits that are not in its documents yet.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The next thing to tell the application.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Says nothing of what comes until [`Self::end_quiet`].
    pub const fn begin_quiet(&mut self) {
        self.quiet = true;
    }

    /// Whether nothing is said of what comes, because one `Ready` will say it all.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Says what comes from now on.
    pub const fn end_quiet(&mut self) {
        self.quiet = false;
    }

    fn tell(&mut self, event: Event) {
        if let Event::Refused { model, why } = &event {
            self.proposals.note_lost(model, *why);
        } else if let Event::Dropped { model } = &event {
            self.proposals.note_lost(model, Denial::NoModel);
        }
        if self.events.len() >= self.event_capacity {
            event::overrun(&mut self.events, self.event_capacity);
        }
        self.events.push_back(event);
    }

    /// An element id that nobody else will ever make: this peer's actor, the change that is about
    /// to be written, and a count within it.
    fn new_key(&mut self) -> String {
        self.make_room();
        self.created += 1;
        let actor = self.actor;
        let written = self.models.author(&actor).map_or(0, |author| author.changes.len());
        let mut id = ElementId { actor: [0; 8], sequence: written as u64 + 1, count: self.created };
        id.actor.copy_from_slice(&actor[..8]);
        id.to_key()
    }
}
