//! Changes that somebody else's link brought: they wait for their author's word.
//!
//! A peer may refill a relay that lost its memory, or repair one, without being trusted: what it
//! brings of others is let in only up to a change that its author has signed. Every change depends
//! on its author's previous one, so that one signature covers all before it.

use std::collections::{BTreeMap, BTreeSet};

use super::ownership::gate::Gate;
use crate::proto::change::Sealed;
use crate::proto::delta::Token;
use crate::proto::id::PeerId;
use crate::proto::log::{Admission, Candidate, ChangeLog, Origin};
use crate::proto::reason::ChangeFault;
use crate::proto::wire::message::{
    Actor, EntryRecord, Hash, Introduction, Made, SignatureRecord, WellKnownRecord,
};

/// Entries of one document that came by one link and cannot be let in yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Unproven {
    waiting: Vec<Waiting>,
    /// The hashes of the changes that wait, and what they and the records depend on.
    known: BTreeSet<Hash>,
    wanted: BTreeSet<Hash>,
    /// Who the authors are of whom the log has nothing.
    introductions: BTreeMap<Actor, Introduction>,
    /// Changes whose authors signed for them.
    vouched: BTreeSet<(Actor, Hash)>,
    signatures: BTreeMap<Actor, SignatureRecord>,
    bytes: usize,
    /// Whether something came since [`Self::settle`] that may let others in.
    stirred: bool,
}

#[derive(Clone, Debug)]
enum Waiting {
    Authored { introduction: Option<Introduction>, change: Box<Sealed>, actor: Actor, own: bool },
    WellKnown(WellKnownRecord),
}

impl Waiting {
    /// What it takes, as an estimate from above.
    fn size(&self) -> usize {
        match self {
            Self::Authored { change, .. } => change.bytes.len() + 512,
            Self::WellKnown(record) => {
                let text = match &record.made {
                    Made::Record(text) => text.len(),
                    Made::Map | Made::Text | Made::Counter => 0,
                };
                record.key.len() + text + 512
            }
        }
    }
}

impl Unproven {
    /// Bytes that are waiting.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether something that waits may come in now that these changes are in the log.
    pub(super) fn wants(&self, changes: &[Hash]) -> bool {
        changes.iter().any(|change| self.wanted.contains(change))
    }

    /// Takes an entry from `peer`'s link: lets it in, or keeps it for [`Self::settle`]. Returns what
    /// is new in the log.
    pub(super) fn offer(
        &mut self,
        (log, gate): (&mut ChangeLog, &mut Gate<'_>),
        peer: PeerId,
        record: &EntryRecord,
    ) -> Result<Vec<Token>, ChangeFault> {
        match record {
            EntryRecord::Authored { introduction, bytes } => {
                let change = log.read(bytes)?;
                self.offer_change((log, gate), peer, *introduction, change)
            }
            EntryRecord::WellKnown(record) => match log.admit_well_known(record, false) {
                Ok(admission) => Ok(self.admitted(log, admission)),
                Err(ChangeFault::UnknownDependency) => {
                    self.keep_well_known(record);
                    Ok(Vec::new())
                }
                Err(fault) => Err(fault),
            },
            EntryRecord::Signed(record) => match log.admit_signature(record) {
                Ok(true) => Ok(vec![Token::Signature(record.actor)]),
                Ok(false) => Ok(Vec::new()),
                Err(ChangeFault::UnknownDependency) => {
                    self.vouch(log, record)?;
                    Ok(Vec::new())
                }
                Err(fault) => Err(fault),
            },
            // What these say is for who keeps the log.
            EntryRecord::Cut(_)
            | EntryRecord::Base(_)
            | EntryRecord::Denied(_)
            | EntryRecord::Resumed(_) => Ok(Vec::new()),
        }
    }

    fn offer_change(
        &mut self,
        (log, gate): (&mut ChangeLog, &mut Gate<'_>),
        peer: PeerId,
        introduction: Option<Introduction>,
        change: Sealed,
    ) -> Result<Vec<Token>, ChangeFault> {
        let (hash, actor) = (change.hash, change.change.actor);
        if log.position(&hash).is_some() || self.known.contains(&hash) {
            return Ok(Vec::new());
        }
        let author = self.author(log, &actor, introduction).ok_or(ChangeFault::WrongActor)?;
        let own = author.peer == peer;
        if own && depends_on_log(log, &change) {
            if gate.stops(log, &author, &change.change, false) {
                return Ok(Vec::new());
            }
            let admission = log.admit(Candidate { introduction, change, pending: false })?;
            gate.admitted();
            return Ok(self.admitted(log, admission));
        }
        self.introductions.insert(actor, author);
        self.known.insert(hash);
        self.wanted.extend(&change.change.deps);
        self.keep(Waiting::Authored { introduction, change: Box::new(change), actor, own });
        Ok(Vec::new())
    }

    fn keep_well_known(&mut self, record: &WellKnownRecord) {
        let known = self.waiting.iter().any(|waiting| match waiting {
            Waiting::WellKnown(other) => other == record,
            Waiting::Authored { .. } => false,
        });
        if !known {
            self.wanted.extend(record.parent.as_ref().map(|parent| parent.change));
            self.keep(Waiting::WellKnown(record.clone()));
        }
    }

    fn keep(&mut self, entry: Waiting) {
        self.bytes += entry.size();
        self.waiting.push(entry);
        self.stirred = true;
    }

    fn author(
        &self,
        log: &ChangeLog,
        actor: &Actor,
        said: Option<Introduction>,
    ) -> Option<Introduction> {
        let known = log.author(actor).and_then(|author| match &author.origin {
            Origin::Peer(introduction) => Some(*introduction),
            Origin::WellKnown(_) | Origin::Base => None,
        });
        let author = known.or_else(|| self.introductions.get(actor).copied()).or(said)?;
        (log.scope().actor(&author) == *actor).then_some(author)
    }

    /// An author's word for a change that waits. A word of an author who is not known is nothing.
    fn vouch(&mut self, log: &ChangeLog, record: &SignatureRecord) -> Result<(), ChangeFault> {
        let Some(author) = self.author(log, &record.actor, None) else {
            return Ok(());
        };
        if !log.scope().verifies(author.peer, log.document(), record) {
            return Err(ChangeFault::BadSignature);
        }
        self.vouched.insert((record.actor, record.change));
        self.signatures.insert(record.actor, record.clone());
        self.stirred = true;
        Ok(())
    }

    /// Lets in everything that waits and may come in by now. Returns what is new in the log. Costs
    /// what waits, so it is for the end of a frame that changed something.
    pub(super) fn settle(&mut self, log: &mut ChangeLog, gate: &mut Gate<'_>) -> Vec<Token> {
        let mut tokens = Vec::new();
        self.stirred = false;
        if self.waiting.is_empty() {
            return tokens;
        }
        self.prove_chains();
        loop {
            let before = tokens.len();
            for entry in std::mem::take(&mut self.waiting) {
                if let Some(entry) = self.try_admit((log, gate), entry, &mut tokens) {
                    self.waiting.push(entry);
                }
            }
            if tokens.len() == before || self.waiting.is_empty() {
                break;
            }
        }
        self.signatures.retain(|actor, record| match log.admit_signature(record) {
            Ok(true) => {
                tokens.push(Token::Signature(*actor));
                false
            }
            Err(ChangeFault::UnknownDependency) => true,
            Ok(false) | Err(_) => false,
        });
        if self.waiting.is_empty() {
            *self = Self::default();
        }
        self.bytes = self.waiting.iter().map(Waiting::size).sum();
        tokens
    }

    /// Whether [`Self::settle`] may have something to do.
    pub(super) const fn is_stirred(&self) -> bool {
        self.stirred
    }

    /// What a vouched change follows of its own author's is vouched too, from the last one back.
    fn prove_chains(&mut self) {
        for waiting in self.waiting.iter().rev() {
            if let Waiting::Authored { change, actor, .. } = waiting
                && self.vouched.contains(&(*actor, change.hash))
            {
                self.vouched.extend(change.change.deps.iter().map(|dep| (*actor, *dep)));
            }
        }
    }

    /// Lets one entry in. Gives it back if it must wait on.
    fn try_admit(
        &self,
        (log, gate): (&mut ChangeLog, &mut Gate<'_>),
        entry: Waiting,
        tokens: &mut Vec<Token>,
    ) -> Option<Waiting> {
        let admission = match &entry {
            Waiting::WellKnown(record) => log.admit_well_known(record, false),
            Waiting::Authored { introduction, change, actor, own } => {
                let hash = change.hash;
                let proven = *own || self.vouched.contains(&(*actor, hash));
                if log.position(&hash).is_some() {
                    return None;
                }
                if !proven || !depends_on_log(log, change) {
                    return Some(entry);
                }
                let author = self.author(log, actor, *introduction);
                if author.is_some_and(|author| gate.stops(log, &author, &change.change, !own)) {
                    return None;
                }
                let change = (**change).clone();
                let candidate = Candidate { introduction: *introduction, change, pending: false };
                let admission = log.admit(candidate);
                if admission.is_ok() {
                    gate.admitted();
                }
                admission
            }
        };
        match admission {
            Ok(admission) => tokens.extend(token(admission)),
            Err(ChangeFault::UnknownDependency) => return Some(entry),
            Err(fault) => tracing::debug!(%fault, "an entry that waited is refused"),
        }
        None
    }

    fn admitted(&mut self, log: &ChangeLog, admission: Admission) -> Vec<Token> {
        let token = token(admission);
        if let Some(Token::Change(index)) = token {
            self.stirred |= log.entry(index).is_some_and(|entry| self.wanted.contains(&entry.hash));
        }
        token.into_iter().collect()
    }
}

fn depends_on_log(log: &ChangeLog, sealed: &Sealed) -> bool {
    sealed.change.deps.iter().all(|dep| log.position(dep).is_some())
}

fn token(admission: Admission) -> Option<Token> {
    match admission {
        Admission::New(index, _) => Some(Token::Change(index)),
        Admission::Known => None,
    }
}
