//! What a relay keeps of a room's signals: those that not everybody has heard, whose outcomes are not
//! known, and how far each session came.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::dropped::Dropped;
use crate::proto::config::SignalConfig;
use crate::proto::id::PeerId;
use crate::proto::ownership::Session;
use crate::proto::time::Time;
use crate::proto::wire::message::{
    HeardRecord, Life, Payload, SettledRecord, SignalOutcome, SignalSubject,
};

/// What one takes in memory beside what it says and is of, as an estimate from above.
const HEAD: usize = 160;
/// How much longer signals may stay of which nobody wants to know what becomes of them.
const TOGETHER: Duration = Duration::from_secs(1);

/// What a relay does with signals, at a time.
pub(super) type Rule<'a> = (&'a SignalConfig, Time);

/// One session of a peer.
pub(super) type Who = (PeerId, Session);

/// The signals of one room.
#[derive(Debug)]
pub(in crate::proto::hub) struct Signals {
    life: Life,
    kept: VecDeque<Kept>,
    bytes: usize,
    newest: u64,
    /// Numbers of those that nobody was told of yet.
    fresh: Vec<u64>,
    dropped: Dropped,
    sessions: BTreeMap<Who, Sender>,
    /// Of those that one peer is to hear, by that and by number: who wants to know whether it did.
    asked: BTreeMap<(PeerId, u64), Asker>,
}

/// One that is kept.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) number: u64,
    pub(super) to: Hearer,
    pub(super) what: What,
    at: Time,
    /// Whether it went out by any link.
    pub(super) said: bool,
}

/// What is kept of it.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// A signal.
    Heard(HeardRecord),
    /// What became of one.
    Settled(SettledRecord),
}

/// Who is to hear one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hearer {
    /// All members but one.
    Others(PeerId),
    /// One peer.
    Peer(PeerId),
    /// One session.
    Session(Who),
}

/// Whose signal it is, and which of its session's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    pub(super) who: Who,
    pub(super) given: u64,
}

/// One session of a peer that is here, or was.
#[derive(Clone, Copy, Debug)]
struct Sender {
    /// The last of its signals that was taken.
    taken: u64,
    /// The last signal before it came in; nothing if it has left and is new when it comes back.
    since: Option<u64>,
    /// When it went out; nothing while it is here.
    gone_at: Option<Time>,
    /// Whether it was ever answered: one that was and is not known to have been is forgotten.
    answered: bool,
}

impl Kept {
    fn size(&self) -> usize {
        match &self.what {
            What::Heard(record) => HEAD + length(&record.subject) + record.payload.len(),
            What::Settled(_) => HEAD,
        }
    }

    /// Whether a session is to hear it.
    pub(super) fn is_for(&self, who: Who) -> bool {
        match self.to {
            Hearer::Others(by) => by != who.0,
            Hearer::Peer(to) => to == who.0,
            Hearer::Session(to) => to == who,
        }
    }

    /// Whether it says what became of another.
    pub(super) const fn settles(&self) -> bool {
        matches!(self.what, What::Settled(_))
    }

    /// Whose hearing of it somebody may ask for.
    const fn place(&self) -> Option<(PeerId, u64)> {
        match self.to {
            Hearer::Peer(to) => Some((to, self.number)),
            Hearer::Others(_) | Hearer::Session(_) => None,
        }
    }
}

impl Signals {
    pub(in crate::proto::hub) const fn new(life: Life) -> Self {
        Self {
            life,
            kept: VecDeque::new(),
            bytes: 0,
            newest: 0,
            fresh: Vec::new(),
            dropped: Dropped::new(),
            sessions: BTreeMap::new(),
            asked: BTreeMap::new(),
        }
    }

    /// Whether there was ever one.
    pub(in crate::proto::hub) const fn is_blank(&self) -> bool {
        self.newest == 0
    }

    pub(super) const fn life(&self) -> Life {
        self.life
    }

    /// Takes the numbers of those that nobody was told of yet.
    pub(super) fn take_fresh(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.fresh)
    }

    /// A session of a peer is here, or here again.
    pub(in crate::proto::hub) fn enter(&mut self, who: Who, senders: usize) {
        if self.sessions.len() >= senders && !self.sessions.contains_key(&who) {
            let gone = |(who, sender): (&_, &Sender)| Some((sender.gone_at?, *who));
            let mut gone: Vec<_> = self.sessions.iter().filter_map(gone).collect();
            gone.sort_unstable();
            for (_, who) in gone.into_iter().take(senders / 2 + 1) {
                self.sessions.remove(&who);
            }
        }
        let new = Sender { taken: 0, since: None, gone_at: None, answered: false };
        let sender = self.sessions.entry(who).or_insert(new);
        sender.since.get_or_insert(self.newest);
        sender.gone_at = None;
    }

    /// A session is gone, for good as far as it knows or not. Who left hears nothing more.
    pub(in crate::proto::hub) fn part(&mut self, who: Who, left: bool, now: Time) {
        if let Some(sender) = self.sessions.get_mut(&who) {
            sender.gone_at = Some(now);
            sender.since = sender.since.filter(|_| !left);
        }
        if left {
            self.skip(who.0, self.newest, now);
        }
    }

    /// What a session is answered that heard the signal `heard` last in a life: behind which number it
    /// hears more, and which of its own was taken last.
    pub(super) fn open(
        &mut self,
        who: Who,
        (life, named): (Life, u64),
        now: Time,
    ) -> (u64, Option<u64>) {
        let same = life == self.life;
        let named = if same { named.min(self.newest) } else { 0 };
        let (mut since, mut taken) = (self.newest, None);
        if let Some(sender) = self.sessions.get_mut(&who) {
            since = sender.since.unwrap_or(since);
            taken = (same && sender.answered).then_some(sender.taken);
            sender.answered = true;
        }
        let heard = named.max(since).max(self.dropped.newest_for(who.0)).min(self.newest);
        self.hear(who.0, named, now);
        self.skip(who.0, heard, now);
        (heard, taken)
    }

    /// Whether there is room for more, without any that a member may not have heard yet.
    pub(super) fn has_room(&self, (config, now): Rule<'_>) -> bool {
        !self.is_over(config, 1) || self.kept.front().is_none_or(|kept| kept.at + config.lag <= now)
    }

    /// Whether with so many more there is too much. What is not known to have been heard takes the room
    /// of what is said of that, too.
    fn is_over(&self, config: &SignalConfig, more: usize) -> bool {
        self.kept.len() + self.asked.len() + more > config.kept
            || self.bytes + (self.asked.len() + more) * HEAD > config.kept_bytes
    }

    /// Keeps a signal for who is to hear it. `asker` wants to know whether the one peer does.
    pub(super) fn keep(
        &mut self,
        (by, to): (PeerId, Hearer),
        (subject, payload): (SignalSubject, Payload),
        asker: Option<Asker>,
        (config, now): Rule<'_>,
    ) {
        let number = self.newest + 1;
        self.push(to, What::Heard(HeardRecord { number, by, subject, payload }), now);
        if let (Hearer::Peer(to), Some(asker)) = (to, asker) {
            self.asked.insert((to, number), asker);
        }
        while self.is_over(config, 0)
            && self.kept.front().is_some_and(|kept| kept.at + config.lag <= now)
        {
            self.drop_first(now);
        }
    }

    fn push(&mut self, to: Hearer, what: What, now: Time) {
        self.newest += 1;
        let kept = Kept { number: self.newest, to, what, at: now, said: false };
        self.bytes += kept.size();
        self.kept.push_back(kept);
        self.fresh.push(self.newest);
    }

    fn drop_first(&mut self, now: Time) {
        let Some(kept) = self.kept.pop_front() else { return };
        self.bytes -= kept.size();
        self.dropped.note(&kept);
        if let Some(asker) = kept.place().and_then(|place| self.asked.remove(&place)) {
            self.settle(asker, unheard(&kept), now);
        }
    }

    /// Lets those go that are too old for who comes back.
    pub(in crate::proto::hub) fn expire(&mut self, (config, now): Rule<'_>) {
        while self.kept.front().is_some_and(|kept| kept.at + config.kept_for <= now) {
            self.drop_first(now);
        }
    }

    /// When the next one is too old, and somebody wants to know what becomes of any; else when it is so for
    /// a while, and more may be, so that a relay is not woken for each.
    pub(in crate::proto::hub) fn due(&self, config: &SignalConfig) -> Option<Time> {
        let stays = if self.asked.is_empty() { TOGETHER } else { Duration::ZERO };
        self.kept.front().map(|first| first.at + config.kept_for + stays)
    }

    pub(super) fn get(&self, number: u64) -> Option<&Kept> {
        self.kept.get(self.index(number)?)
    }

    /// One that goes out.
    pub(super) fn say(&mut self, number: u64) -> Option<(What, usize)> {
        let index = self.index(number)?;
        let kept = self.kept.get_mut(index)?;
        kept.said = true;
        Some((kept.what.clone(), kept.size()))
    }

    fn index(&self, number: u64) -> Option<usize> {
        let first = self.kept.front()?.number;
        usize::try_from(number.checked_sub(first)?).ok()
    }

    /// The numbers of those behind one that a session is to hear.
    pub(super) fn behind(&self, heard: u64, who: Who) -> Vec<u64> {
        let behind = self.kept.iter().filter(|kept| kept.number > heard);
        behind.filter(|kept| kept.is_for(who)).map(|kept| kept.number).collect()
    }

    /// Whether a signal of a session is one that was not taken yet. It counts as taken from now on.
    pub(super) fn takes(&mut self, who: Who, number: u64) -> bool {
        let Some(sender) = self.sessions.get_mut(&who) else { return false };
        let new = number > sender.taken;
        sender.taken = number.max(sender.taken);
        new
    }

    /// Whether a peer is here, or has been within the time for which it is waited.
    pub(super) fn expects(&self, peer: PeerId, (config, now): Rule<'_>) -> bool {
        self.sessions_of(peer)
            .any(|sender| sender.gone_at.is_none_or(|gone_at| now < gone_at + config.kept_for))
    }

    /// Those of a peer's sessions that have not left.
    fn sessions_of(&self, peer: PeerId) -> impl Iterator<Item = &Sender> {
        let all = (peer, Session(0))..=(peer, Session(u64::MAX));
        self.sessions.range(all).map(|(_, sender)| sender).filter(|sender| sender.since.is_some())
    }

    /// A signal is for a peer that is not waited for. If it comes back after all, it has missed some.
    pub(super) fn miss(&mut self, peer: PeerId, asker: Asker, now: Time) {
        self.settle(asker, SignalOutcome::Absent, now);
        if self.sessions_of(peer).next().is_some() {
            self.dropped.note_for(peer, self.newest);
        }
    }

    /// A peer has heard all that it was to hear up to a number.
    pub(super) fn hear(&mut self, peer: PeerId, through: u64, now: Time) {
        for (_, asker) in self.take_asked(peer, through) {
            self.settle(asker, SignalOutcome::Heard, now);
        }
    }

    /// A peer will not hear what it was to hear up to a number and has not heard.
    fn skip(&mut self, peer: PeerId, through: u64, now: Time) {
        for (number, asker) in self.take_asked(peer, through) {
            let outcome = self.get(number).map_or(SignalOutcome::Unknown, unheard);
            self.settle(asker, outcome, now);
        }
    }

    fn take_asked(&mut self, peer: PeerId, through: u64) -> Vec<(u64, Asker)> {
        let asked = self.asked.range((peer, 0)..=(peer, through));
        let asked: Vec<_> = asked.map(|((_, number), asker)| (*number, *asker)).collect();
        for (number, _) in &asked {
            self.asked.remove(&(peer, *number));
        }
        asked
    }

    /// What became of a signal is known: who gave it is told, if it has not left.
    pub(super) fn settle(&mut self, asker: Asker, outcome: SignalOutcome, now: Time) {
        let Asker { who, given } = asker;
        if self.sessions.get(&who).is_some_and(|sender| sender.since.is_some()) {
            let settled = SettledRecord { number: self.newest + 1, given, outcome };
            self.push(Hearer::Session(who), What::Settled(settled), now);
        }
    }
}

/// What is known of one that nobody was heard to have heard.
fn unheard(kept: &Kept) -> SignalOutcome {
    if kept.said { SignalOutcome::Unknown } else { SignalOutcome::Absent }
}

fn length(subject: &SignalSubject) -> usize {
    match subject {
        SignalSubject::Property { model, .. } => model.len(),
        SignalSubject::Name(name) => name.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::wire::bounded::{Blob, Line};

    const ANN: Who = (PeerId::new([1; 32]), Session(1));
    const BOB: Who = (PeerId::new([2; 32]), Session(1));

    /// A room of two, one of which says something to the other.
    fn told(config: &SignalConfig) -> Signals {
        let mut signals = Signals::new([7; 8]);
        for who in [ANN, BOB] {
            signals.enter(who, 8);
            signals.open(who, ([0; 8], 0), Time::ZERO);
        }
        give(&mut signals, 1, (config, Time::ZERO));
        signals
    }

    fn give(signals: &mut Signals, number: u64, rule: Rule<'_>) {
        assert!(signals.takes(ANN, number));
        let subject = SignalSubject::Name(Line::new("call").unwrap());
        let asker = Asker { who: ANN, given: number };
        let told = (subject, Blob::default());
        signals.keep((ANN.0, Hearer::Peer(BOB.0)), told, Some(asker), rule);
    }

    /// What is kept for a session behind a number: outcomes with which signal they are of.
    fn outcomes(signals: &Signals, who: Who) -> Vec<(u64, SignalOutcome)> {
        let numbers = signals.behind(0, who).into_iter();
        let outcomes = numbers.filter_map(|number| match &signals.get(number)?.what {
            What::Heard(_) => None,
            What::Settled(settled) => Some((settled.given, settled.outcome)),
        });
        outcomes.collect()
    }

    #[test]
    fn an_outcome_is_for_the_session_that_gave_the_signal() {
        let mut signals = told(&SignalConfig::default());
        assert!(outcomes(&signals, ANN).is_empty());
        signals.hear(BOB.0, 1, Time::ZERO);
        signals.hear(BOB.0, 1, Time::ZERO);
        assert_eq!(outcomes(&signals, ANN), [(1, SignalOutcome::Heard)]);
        assert!(outcomes(&signals, (ANN.0, Session(2))).is_empty());
        assert!(outcomes(&signals, BOB).is_empty());
    }

    #[test]
    fn what_was_said_may_have_been_heard_and_what_was_not_was_not() {
        let config = SignalConfig::default();
        let late = Time::ZERO + config.kept_for;
        for (said, outcome) in [(false, SignalOutcome::Absent), (true, SignalOutcome::Unknown)] {
            let mut signals = told(&config);
            assert_eq!(signals.due(&config), Some(late));
            assert_eq!(said.then(|| signals.say(1)).is_some(), said);
            signals.expire((&config, late));
            assert_eq!(outcomes(&signals, ANN), [(1, outcome)]);
            assert_eq!(signals.due(&config), Some(late + config.kept_for + TOGETHER));
            signals.expire((&config, late + config.kept_for));
            assert_eq!(signals.due(&config), None);
        }
    }

    #[test]
    fn who_left_is_told_no_outcome() {
        let mut signals = told(&SignalConfig::default());
        signals.part(ANN, true, Time::ZERO);
        signals.hear(BOB.0, 1, Time::ZERO);
        assert!(outcomes(&signals, ANN).is_empty());
    }

    #[test]
    fn what_is_asked_for_takes_the_room_of_its_outcome() {
        let config = SignalConfig { kept: 8, ..SignalConfig::default() };
        let rule = (&config, Time::ZERO);
        let mut signals = told(&config);
        let mut given = 1;
        while signals.has_room(rule) {
            given += 1;
            give(&mut signals, given, rule);
        }
        assert_eq!(given, 4);
        signals.hear(BOB.0, u64::MAX, Time::ZERO);
        assert_eq!(signals.kept.len(), 8);
        // In a while the oldest make room.
        let later = (&config, Time::ZERO + Duration::from_secs(1));
        assert!(signals.has_room(later));
        give(&mut signals, 5, later);
        assert_eq!(signals.kept.len() + signals.asked.len(), 8);
    }
}
